"""Post-handshake client authentication over datagrams (RFC 9846 section 4.7.2): lost, repeated, paused, and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Identity, Limits, TrustStore, Verify
from caesura.engines import DelayEngine, Operation
from caesura.errors import CertificateRequired, CertificateVerifyError, ConfigError, PeerAlert, UnexpectedMessage
from caesura.errors import UsageError as Usage
from caesura.events import ClientAuthenticated
from caesura.handshake.transport import Epoch
from caesura.wire.extensions import SIGNATURE_ALGORITHMS, Extensions
from caesura.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    Finished,
    HandshakeMessage,
    KeyUpdate,
)
from caesura.wire.registries import KeyUpdateRequest, SignatureScheme
from tests.dtls.world import DTLS12, linked
from tests.support.datagram_link import ByHand, DatagramLink, Lossy, Network, VirtualEngine, received
from tests.support.pki import pki
from tests.tls.world import identity, trust

CLIENT = identity("client").chain
KNOWN = ClientAuthenticated(CLIENT, None)


def connected(
    client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, network: Network | None = None
) -> DatagramLink:
    """A client that has offered it, and a server that has not asked yet."""
    ours = {"post_handshake_auth": True, "identity": identity("client"), **(client or {})}
    link = linked(ours, {"trust": trust(), **(server or {})}, network).handshake()
    link.sent.clear()
    link.client_events.clear()
    link.server_events.clear()
    return link


def asked(link: DatagramLink) -> DatagramLink:
    link.server.verify_client_post_handshake()
    return link.run()


def quiet(link: DatagramLink) -> None:
    """Nothing is unacknowledged, and both sides still talk."""
    assert link.client.error is link.server.error is None
    assert link.client.timeout() is link.server.timeout() is None
    link.client.write(b"there")
    link.server.write(b"and back")
    link.run()
    assert received(link.server_events)[-1] == b"there"
    assert received(link.client_events)[-1] == b"and back"


# --- that it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "both",
    [{}, {"certificate_compression": "zlib"}, {"dtls": {"mtu": 300}}, {"cipher_suites": ["TLS_AES_256_GCM_SHA384"]}],
    ids=str,
)
def test_client_is_asked_and_answers(both: dict[str, Any]) -> None:
    link = connected(both, both)
    assert link.server.peer_certificates == ()
    link.server.verify_client_post_handshake()
    assert link.server.authentication_pending
    link.run()
    assert not link.server.authentication_pending
    assert link.server_events == [KNOWN]
    assert link.server.peer_certificates == CLIENT
    assert link.client.identity is identity("client")
    quiet(link)


def test_raw_public_key() -> None:
    raw = Identity.raw_public_key(pki().client.key_pem)
    link = asked(connected({"identity": raw}, {"trust": TrustStore.public_keys(raw.chain[0])}))
    assert link.server_events == [ClientAuthenticated((), raw.chain[0])]


def test_client_that_shows_nothing() -> None:
    link = asked(connected({"identity": ()}))
    assert link.server_events == [ClientAuthenticated((), None)]
    assert link.server.peer_certificates == ()
    quiet(link)


def test_client_that_shows_nothing_the_second_time_where_something_is_required() -> None:
    answers = [Identity.raw_public_key(pki().client.key_pem), identity("client")]  # the first does not fit
    ours = {"identity": (), "select_client_identity": lambda _: answers.pop()}
    link = asked(connected(ours, {"verify": Verify.REQUIRED}))
    assert isinstance(link.server.error, CertificateRequired)
    assert isinstance(link.client.error, PeerAlert)


def test_certificate_that_is_not_good() -> None:
    link = asked(connected(server={"trust": TrustStore.load(pki().self_signed.chain_pem)}))
    assert isinstance(link.server.error, CertificateVerifyError)
    assert isinstance(link.client.error, PeerAlert)


def test_requests_that_queue_are_answered_one_after_the_other() -> None:
    link = connected()
    for _ in range(3):
        link.server.verify_client_post_handshake()
    link.run()
    assert link.server_events == [KNOWN] * 3
    quiet(link)


def test_after_a_resumption() -> None:
    first = connected()
    ours = {"post_handshake_auth": True, "identity": identity("client")}
    again = linked(ours, {"trust": trust()}, session=first.client.session).handshake()
    again.server_events.clear()
    assert asked(again).server_events == [KNOWN]


# --- with key updates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False], ids=["request behind them", "request before them"])
@pytest.mark.parametrize("who", ["client", "server", "both"])
def test_a_finished_is_made_with_the_key_in_use(who: str, before: bool) -> None:
    link = connected()
    for _ in range(3):
        if not before:
            link.server.verify_client_post_handshake()
        if who != "server":
            link.client.key_update()
        if who != "client":
            link.server.key_update(request_peer=True)
        if before:
            link.server.verify_client_post_handshake()
        link.run()
    assert link.server_events == [KNOWN] * 3
    quiet(link)


def test_a_key_update_that_is_asked_for_while_the_answer_is_signed() -> None:
    engine = VirtualEngine(1.0, [Operation.SIGN])
    link = engine.link = connected({"engine": engine, "async_mode": True})
    link.server.verify_client_post_handshake()
    link.wait(0.5)
    link.client.key_update()
    link.server.key_update(request_peer=True)
    link.run()
    assert link.server_events == [KNOWN]
    quiet(link)


def test_a_server_changes_keys_while_it_waits_for_an_answer() -> None:
    engine = VirtualEngine(20.0, [Operation.SIGN])
    link = engine.link = connected({"engine": engine, "async_mode": True})
    link.server.verify_client_post_handshake()
    link.wait(1.0)
    epoch = link.server._writer.current
    link.server.key_update()
    link.wait(1.0)
    assert link.server._writer.current == epoch + 1
    link.run()
    assert link.server_events == [KNOWN]


# --- with what networks do -------------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[bytes], list[tuple[float, bytes]]]] = {
    "lost": lambda _: [],
    "doubled": lambda datagram: [(0.01, datagram), (0.02, datagram)],
    "late": lambda datagram: [(0.015, datagram)],
    "very late": lambda datagram: [(1.5, datagram)],
}


@pytest.mark.parametrize("mtu", [1400, 300])
@pytest.mark.parametrize("act", ACTS)
def test_any_datagram_of_an_exchange_misled(act: str, mtu: int) -> None:
    settings = {"dtls": {"mtu": mtu}}
    count = len(asked(connected(settings, settings)).sent)
    assert count >= 3
    for number in range(count):
        link = connected(settings, settings)
        link.network = ByHand(acts={number: ACTS[act]})
        asked(link)
        assert link.server_events == [KNOWN], number
        quiet(link)


@pytest.mark.parametrize("seed", range(40))
def test_lossy_links(seed: int) -> None:
    settings = {"dtls": {"mtu": 300}}
    link = connected(settings, settings)
    link.network = Lossy(seed=seed)
    for _ in range(3):
        link.server.verify_client_post_handshake()
        link.client.key_update()
        link.run()
    assert link.server_events == [KNOWN] * 3
    assert link.client.error is link.server.error is None


@pytest.mark.parametrize("side", ["client", "server"])
def test_data_flows_while_an_exchange_is_paused(side: str) -> None:
    operations = [Operation.SIGN] if side == "client" else [Operation.VERIFY_CHAIN, Operation.VERIFY_SIGNATURE]
    engine = VirtualEngine(3.0, operations)
    options = {"engine": engine, "async_mode": True}
    link = connected(**{side: options}) if side == "client" else _server_that_pauses(engine, options)
    engine.link = link
    link.server.verify_client_post_handshake()
    link.wait(1.0)
    assert getattr(link, side).waiting_for_async
    link.client.write(b"up")
    link.server.write(b"down")
    link.wait(0.5)
    assert (received(link.server_events), received(link.client_events)) == ([b"up"], [b"down"])
    link.run()
    assert KNOWN in link.server_events
    assert len(link.sent) < 12  # nothing is sent again and again meanwhile
    quiet(link)


def _server_that_pauses(engine: VirtualEngine, options: dict[str, Any]) -> DatagramLink:
    ours = {"post_handshake_auth": True, "identity": identity("client")}
    link = linked(ours, {"trust": trust(), **options})
    engine.link = link
    link.handshake()
    link.sent.clear()
    link.client_events.clear()
    link.server_events.clear()
    return link


# --- what is refused -------------------------------------------------------------------------------------------------


def test_who_may_ask_whom() -> None:
    link = connected()
    with pytest.raises(Usage, match="this is the client"):
        link.client.verify_client_post_handshake()
    link = connected({"post_handshake_auth": False})
    with pytest.raises(Usage, match="has not offered"):
        link.server.verify_client_post_handshake()
    link = connected(DTLS12, DTLS12)
    with pytest.raises(Usage, match="has not offered"):
        link.server.verify_client_post_handshake()
    link = linked({"post_handshake_auth": True}, {}).handshake()
    with pytest.raises(ConfigError, match="trust"):
        link.server.verify_client_post_handshake()


def test_no_more_requests_than_allowed() -> None:
    link = connected(server={"limits": Limits(authentications=2)})
    link.server.verify_client_post_handshake()
    link.server.verify_client_post_handshake()
    with pytest.raises(Usage, match="2 requests"):
        link.server.verify_client_post_handshake()


def test_a_client_takes_no_more_requests_than_allowed() -> None:
    engine = VirtualEngine(1000.0, [Operation.SIGN])
    link = engine.link = connected({"engine": engine, "async_mode": True, "limits": Limits(authentications=2)})
    for number in range(3):
        say(link, request(bytes((number,))))
    assert isinstance(link.client.error, UnexpectedMessage)


def say(link: DatagramLink, message: HandshakeMessage, *, by_server: bool = True) -> None:
    """Have a side say what it would not say."""
    side = link.server if by_server else link.client
    side.send(Epoch.APPLICATION, message.encode())
    link.wait(0.5)


def request(context: bytes = b"context") -> CertificateRequest:
    extensions = Extensions()
    extensions.put(SIGNATURE_ALGORITHMS, (SignatureScheme.ecdsa_secp256r1_sha256,))
    return CertificateRequest(context, extensions)


def test_request_to_a_client_that_has_not_offered_it() -> None:
    link = connected({"post_handshake_auth": False})
    say(link, request())
    assert isinstance(link.client.error, UnexpectedMessage)


@pytest.mark.parametrize("message", [Certificate(b"", ()), Finished(bytes(32))], ids=["certificate", "finished"])
def test_answer_that_nobody_asked_for(message: HandshakeMessage) -> None:
    link = connected()
    say(link, message, by_server=False)
    assert isinstance(link.server.error, UnexpectedMessage)


def half_answered(monkeypatch: pytest.MonkeyPatch, server: dict[str, Any] | None = None) -> DatagramLink:
    """A server that has heard a Certificate, from a client that says what it is told to."""
    monkeypatch.setattr("caesura.handshake.post_auth._CONTEXT_LENGTH", 0)
    engine = VirtualEngine(1000.0, [Operation.SIGN])
    link = engine.link = connected({"engine": engine, "async_mode": True, "deadline": None}, server)
    link.server.verify_client_post_handshake()
    link.wait(0.5)
    link.client._post.pop().close()
    say(link, Certificate(b"", tuple(CertificateEntry(each) for each in CLIENT)), by_server=False)
    assert link.server.error is None
    return link


@pytest.mark.parametrize(
    "message", [KeyUpdate(KeyUpdateRequest.update_not_requested), Certificate(b"", ())], ids=["key_update", "another"]
)
def test_what_stands_within_an_answer(monkeypatch: pytest.MonkeyPatch, message: HandshakeMessage) -> None:
    link = half_answered(monkeypatch)
    say(link, message, by_server=False)
    assert isinstance(link.server.error, UnexpectedMessage)


def test_what_is_kept_while_an_answer_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages stay where as few of them are kept as at any other time (`limits.messages_ahead`)."""
    engine = DelayEngine(None, operations=[Operation.VERIFY_CHAIN, Operation.VERIFY_SIGNATURE])
    link = half_answered(monkeypatch, {"engine": engine, "async_mode": True})
    proof = CertificateVerify(SignatureScheme.ecdsa_secp256r1_sha256, bytes(64))
    say(link, proof, by_server=False)
    exchange = link.server._post[0]
    assert exchange.parked
    before = link.server._reassembly.next_seq
    for _ in range(30):
        link.client.send(Epoch.APPLICATION, Finished(bytes(32)).encode())
    link.wait(5.0)
    assert exchange.inbox.size == 0
    assert link.server._reassembly.next_seq == before
