"""The handshakes as generators: what they ask, in what order, and how they end when an answer is a failure.

There is no connection here, no engine, no job: a handshake only asks, so a hand can answer.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caesura.context import Context, Verify
from caesura.handshake.requests import Perform, PerformBoth
from tests.handshake.by_hand import Hand, pair_of, run
from tests.support.link import link
from tests.tls.world import asking_context, client_context, identity, server_context

Contexts = Callable[[], tuple[Context, Context]]


def full() -> tuple[Context, Context]:
    return client_context(), server_context()


def without_sessions() -> tuple[Context, Context]:
    return client_context(sessions=None), server_context(ticket_count=0)


def retrying() -> tuple[Context, Context]:
    return client_context(), server_context(groups=["secp256r1"])


def resuming() -> tuple[Context, Context]:
    contexts = full()
    give_session(*contexts)
    return contexts


def retrying_and_resuming() -> tuple[Context, Context]:
    contexts = retrying()
    give_session(*contexts)
    return contexts


def authenticating() -> tuple[Context, Context]:
    return client_context(identity=identity("client")), asking_context(Verify.REQUIRED)


def anonymous() -> tuple[Context, Context]:
    return client_context(), asking_context(Verify.OPTIONAL)


def judging() -> tuple[Context, Context]:
    """Callbacks of the users' on both sides."""
    return (
        client_context(identity=identity("client"), verify_peer=lambda _: None),
        asking_context(Verify.REQUIRED, verify_peer=lambda _: True, select_identity=lambda _: None),
    )


def trusting() -> tuple[Context, Context]:
    return client_context(verify=Verify.NONE, groups=["x25519"]), server_context()


def hybrid() -> tuple[Context, Context]:
    groups = ["X25519MLKEM768", "x25519"]
    return client_context(groups=groups), server_context(groups=groups)


def give_session(client: Context, server: Context) -> None:
    """A full handshake over connections, so that the store has a session."""
    link(client, server).handshake()


HELLO = "receive ServerHello"
FULL_TAIL = ["receive CertificateVerify", "VERIFY_SIGNATURE and VERIFY_CHAIN"]
CLIENT = [
    "LOOKUP_SESSION",
    "GENERATE_KEY",
    HELLO,
    "KEY_EXCHANGE",
    "receive EncryptedExtensions",
    "receive CertificateRequest or Certificate",
    *FULL_TAIL,
    "receive Finished",
]
ASKED = [
    *CLIENT[:6],
    "receive Certificate",
    *FULL_TAIL,
    "receive Finished",
]
RESUMED = [*CLIENT[:5], "receive Finished"]
SERVER = ["receive ClientHello", "KEY_EXCHANGE", "SIGN", "receive Finished"]
CERTIFIED = ["receive ClientHello", "KEY_EXCHANGE", "SIGN", "receive Certificate", *FULL_TAIL, "receive Finished"]
RETRIED = ["receive ClientHello", "receive ClientHello"]

TABLE: dict[Contexts, tuple[list[str], list[str]]] = {
    full: (CLIENT, SERVER),
    without_sessions: (CLIENT[1:], SERVER),
    retrying: ([*CLIENT[:3], "GENERATE_KEY", *CLIENT[2:]], [*RETRIED, *SERVER[1:]]),
    resuming: (RESUMED, ["receive ClientHello", "OPEN_TICKET", "KEY_EXCHANGE", "receive Finished"]),
    retrying_and_resuming: (
        [*RESUMED[:3], "GENERATE_KEY", *RESUMED[2:]],
        [*RETRIED, "OPEN_TICKET", "KEY_EXCHANGE", "receive Finished"],
    ),
    authenticating: ([*ASKED, "SIGN"], CERTIFIED),
    anonymous: (ASKED, [*SERVER[:3], "receive Certificate", "receive Finished"]),
    judging: (
        [*ASKED[:-1], "VERIFY_PEER", "receive Finished", "SIGN"],
        ["receive ClientHello", "SELECT_IDENTITY", *CERTIFIED[1:-1], "VERIFY_PEER", "receive Finished"],
    ),
    trusting: ([*CLIENT[:7], "VERIFY_SIGNATURE", "receive Finished"], SERVER),
    hybrid: (["LOOKUP_SESSION", "GENERATE_KEY", *CLIENT[1:]], SERVER),
}
Flavours = pytest.mark.parametrize("contexts", TABLE, ids=lambda contexts: contexts.__name__)


@Flavours
def test_what_is_asked(contexts: Contexts) -> None:
    client, server = pair_of(*contexts())
    run(client, server)
    assert client.done
    assert server.done
    assert (client.asked, server.asked) == TABLE[contexts]


@Flavours
def test_both_sides_agree(contexts: Contexts) -> None:
    """Secrets of every epoch, and all that a connection is told in the end."""
    client, server = pair_of(*contexts())
    run(client, server)
    for epoch in ("handshake", "application"):
        for reading, writing in ((client, server), (server, client)):
            assert reading.transport.secrets[f"read {epoch}"] == writing.transport.secrets[f"write {epoch}"]
    ours, theirs = client.transport.established, server.transport.established
    assert ours is not None
    assert theirs is not None
    for fact in ("version", "suite", "group", "alpn", "server_hostname", "session_reused", "exporter"):
        assert getattr(ours, fact) == getattr(theirs, fact), fact
    if ours.resumption is not None and theirs.resumption is not None:
        assert ours.resumption == theirs.resumption
    assert client.transport.secrets["read application"] != client.transport.secrets["write application"]
    assert client.transport.secrets["read handshake"] != client.transport.secrets["read application"]


def test_what_the_transport_is_told() -> None:
    """Figure 1 of RFC 9846 section 2, and appendix A: when each side changes its keys."""
    client, server = pair_of(*authenticating())
    run(client, server)
    assert client.transport.told == [
        "initial: client_hello",
        "read handshake",
        "write handshake",
        "read application",
        "handshake: certificate",
        "handshake: certificate_verify",
        "handshake: finished",
        "write application",
        "completed",
    ]
    assert server.transport.told == [
        "initial: server_hello",
        "write handshake",
        "read handshake",
        "handshake: encrypted_extensions",
        "handshake: certificate_request",
        "handshake: certificate",
        "handshake: certificate_verify",
        "handshake: finished",
        "write application",
        "read application",
        "completed",
    ]


def test_what_the_transport_is_told_after_a_retry() -> None:
    client, server = pair_of(*retrying())
    run(client, server)
    assert client.transport.told[:3] == ["initial: client_hello", "initial: client_hello", "read handshake"]
    assert server.transport.told[:3] == ["initial: server_hello", "initial: server_hello", "write handshake"]


def halts(contexts: Contexts) -> list[tuple[bool, int]]:
    """Each request of each side: (server's or not, its number)."""
    client, server = TABLE[contexts]
    return [(False, number) for number in range(len(client))] + [(True, number) for number in range(len(server))]


class Broken(Exception):
    pass


def brought_to(contexts: Contexts, server_side: bool, number: int) -> Hand:
    """The side at its `number`th request."""
    hands = pair_of(*contexts())
    subject, other = hands[server_side], hands[not server_side]
    while len(subject.asked) <= number:
        if subject.step(other):
            continue
        assert other.step(subject)
    return subject


@pytest.mark.parametrize("how", ["fails", "is closed"])
@Flavours
def test_end_at_every_request(contexts: Contexts, how: str) -> None:
    """The failure leaves the handshake as it came, at once: nothing is asked, sent or installed any more."""
    for server_side, number in halts(contexts):
        subject = brought_to(contexts, server_side, number)
        before = list(subject.transport.told)
        if how == "fails":
            with pytest.raises(Broken):
                subject.steps.throw(Broken())
        else:
            subject.steps.close()
        with pytest.raises(StopIteration):
            next(subject.steps)
        assert subject.transport.told == before
        assert subject.transport.established is None


@Flavours
def test_asks_nothing_but_requests(contexts: Contexts) -> None:
    for server_side, number in halts(contexts):
        assert type(brought_to(contexts, server_side, number).request) in (tuple, Perform, PerformBoth)


def test_key_shares_serve_one_connection() -> None:
    """RFC 9846 section 4.3.8: each hello has a share of its own, also in a retry of the same context."""
    client = client_context()
    shares = set()
    for _ in range(10):
        hand = Hand(client, server_side=False)
        while hand.perform():
            pass
        shares.add(hand.transport.sent[0][-40:])
    assert len(shares) == 10
