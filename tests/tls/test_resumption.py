"""Resumption (RFC 9846 sections 2.2 and 4.7.1) and every condition it stands under; tickets, their keys, and stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.context import Identity, TrustStore, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.errors import ConfigError, DecodeError, Error, OperationFailed, UsageError
from caesura.handshake import tickets
from caesura.jobs import Completion
from caesura.sessions import Session, SessionCache
from caesura.tls import TLSConnection
from caesura.tls.connection import PROFILE
from caesura.wire.extensions import PRE_SHARED_KEY_CLIENT
from caesura.wire.messages import ClientHello, NewSessionTicket, decode_message
from caesura.wire.registries import ExtensionType
from tests.support.clock import FakeClock
from tests.support.link import Link, link
from tests.support.pki import pki
from tests.tls.puppet import PuppetClient
from tests.tls.states import server
from tests.tls.world import WALL, asking_context, client_context, identity, server_context, trust

DAY = 86_400.0


class Pair:
    """A client's and a server's context on one clock."""

    def __init__(self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.clock = FakeClock(wall_time=WALL)
        self.client = client_context(clock=self.clock, **(client or {}))
        make = asking_context if server and "verify" in server else server_context
        self.server = make(clock=self.clock, **(server or {}))

    def connect(self, name: str = "localhost", **options: Any) -> Link:
        return link(self.client, self.server, server_hostname=name, **options).handshake()

    def resumes(self, name: str = "localhost", **options: Any) -> bool:
        made = self.connect(name, **options)
        assert made.client.session_reused is made.server.session_reused
        return made.client.session_reused


def offers(connection: TLSConnection) -> bool:
    """Whether the connection's first hello offers a session."""
    connection.advance(0.0)
    hello = decode_message(ClientHello, connection.data_to_send(0.0)[5:])
    return ExtensionType.pre_shared_key in hello.extensions


# --- that it resumes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "both",
    [
        {},
        {"groups": ["secp256r1"]},
        {"groups": ["X25519MLKEM768", "x25519"]},
        {"cipher_suites": ["TLS_AES_256_GCM_SHA384"]},
        {"cipher_suites": ["TLS_CHACHA20_POLY1305_SHA256"]},
        {"alpn": ["h2"]},
        {"record_size_limit": 100},
    ],
    ids=str,
)
def test_resumes(both: dict[str, Any]) -> None:
    pair = Pair(both, both)
    full = pair.connect()
    assert not full.client.session_reused
    for _ in range(5):
        again = pair.connect()
        assert again.client.session_reused
        assert again.server.session_reused
        assert again.client.peer_certificates == full.client.peer_certificates
        assert again.client.identity is None
        assert again.client.alpn == full.client.alpn
        again.client.write(b"data")
        assert b"".join(e.data for e in again.exchange().server_events if hasattr(e, "data")) == b"data"


def test_resumes_through_a_retry() -> None:
    pair = Pair(server={"groups": ["secp256r1"]})
    assert not pair.resumes()
    assert pair.resumes()


def test_resumes_with_another_suite_of_the_same_hash() -> None:
    """RFC 9846 section 4.7.1: the hash must be the same, the cipher need not."""
    pair = Pair(server={"cipher_suites": ["TLS_CHACHA20_POLY1305_SHA256"]})
    pair.connect()
    pair.server.cipher_suites = ["TLS_AES_128_GCM_SHA256"]
    assert pair.resumes()


def test_client_certificate_is_remembered() -> None:
    pair = Pair({"identity": identity("client")}, {"verify": Verify.REQUIRED})
    pair.connect()
    again = pair.connect()
    assert again.server.session_reused
    assert again.server.peer_certificates == identity("client").chain


def test_resumption_asks_for_no_certificate() -> None:
    """RFC 9846 section 4.4.2."""
    pair = Pair({"identity": identity("client")}, {"verify": Verify.REQUIRED})
    pair.connect()
    names: list[str] = []
    pair.client.trace = lambda event: names.append(event.name)
    assert pair.resumes()
    assert "certificate_request" not in names
    assert "certificate" not in names


@pytest.mark.parametrize(("count", "full", "resumed"), [(0, 0, 0), (1, 1, 1), (2, 2, 1), (16, 16, 1)])
def test_number_of_tickets(count: int, full: int, resumed: int) -> None:
    pair = Pair({"sessions": SessionCache(per_binding=100)}, {"ticket_count": count})
    store = pair.client.sessions
    pair.connect()
    assert len(store) == full
    pair.connect()
    assert len(store) == (full - 1 + resumed if count else 0)


def test_every_ticket_of_a_connection_is_another() -> None:
    """RFC 9846 section 4.7.1: nonces, keys and ticket_age_add."""
    store = SessionCache(per_binding=100)
    pair = Pair({"sessions": store}, {"ticket_count": 16})
    made = pair.connect()
    sessions = list(iter(lambda: store.take(made.client.session.binding), None))  # type: ignore[union-attr]
    for different in ("ticket", "ticket_age_add"):
        assert len({getattr(each, different) for each in sessions}) == 16
    assert len({each.psk.reveal() for each in sessions}) == 16
    for each in sessions:
        assert pair.resumes(session=each)


def test_obfuscated_ticket_age() -> None:
    """RFC 9846 section 4.3.11.1: milliseconds since the ticket came, plus ticket_age_add, modulo 2^32."""
    pair = Pair()
    session = pair.connect().client.session
    assert session is not None
    session.ticket_age_add = 2**32 - 1000
    pair.clock.advance(12.3456)
    client = TLSConnection(pair.client, server_side=False, server_hostname="localhost", session=session)
    client.advance(0.0)
    offered = decode_message(ClientHello, client.data_to_send(0.0)[5:]).extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    assert offered.identities[0].obfuscated_ticket_age == 12_345 - 1000


# --- single use ------------------------------------------------------------------------------------------------------


def test_session_is_used_once() -> None:
    """Offering it uses it up, even if nothing came of it (RFC 9846 section 8.1, appendix C.4)."""
    pair = Pair()
    session = pair.connect().client.session
    assert session is not None
    assert offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost", session=session))
    assert not session.resumable
    assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost", session=session))
    assert not pair.resumes(session=session)


def test_parallel_connections_use_different_tickets() -> None:
    pair = Pair(server={"ticket_count": 3})
    pair.connect()
    hellos = []
    for _ in range(5):
        client = TLSConnection(pair.client, server_side=False, server_hostname="localhost")
        client.advance(0.0)
        offered = decode_message(ClientHello, client.data_to_send(0.0)[5:]).extensions.get(PRE_SHARED_KEY_CLIENT)
        hellos.append(None if offered is None else offered.identities[0].identity)
    assert hellos[3:] == [None, None]
    assert len(set(hellos[:3])) == 3


# --- what the client must hold ---------------------------------------------------------------------------------------


def other_trust() -> TrustStore:
    return TrustStore.load(pki().trust_pem + pki().other_root.pem)


CLIENT_CONDITIONS: dict[str, Callable[[Pair], object]] = {
    "another trust store": lambda p: setattr(p.client, "trust", other_trust()),
    "another verify policy": lambda p: setattr(p.client, "verify", Verify.OPTIONAL),
    "no verification": lambda p: setattr(p.client, "verify", Verify.NONE),
    "a verify_peer": lambda p: setattr(p.client, "verify_peer", lambda _: None),
    "an identity": lambda p: setattr(p.client, "identity", identity("client")),
    "suites of another hash": lambda p: setattr(p.client, "cipher_suites", ["TLS_AES_256_GCM_SHA384"]),
    "no sessions any more": lambda p: setattr(p.client, "sessions", None),
    "an age beyond its lifetime": lambda p: p.clock.advance(DAY),
    "a clock before its receipt": lambda p: p.clock.advance(-1),
}


@pytest.mark.parametrize("name", CLIENT_CONDITIONS)
def test_session_is_not_offered_under_other_conditions(name: str) -> None:
    pair = Pair()
    pair.connect()
    CLIENT_CONDITIONS[name](pair)
    assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost"))


@pytest.mark.parametrize("name", [name for name in CLIENT_CONDITIONS if name != "no sessions any more"])
def test_session_handed_in_is_not_offered_under_other_conditions(name: str) -> None:
    """The same for a session that the caller brings: it is left aside, and a full handshake follows."""
    pair = Pair()
    session = pair.connect().client.session
    assert session is not None
    CLIENT_CONDITIONS[name](pair)
    assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost", session=session))
    if not name.startswith(("an age", "a clock")):
        made = pair.connect(session=session)
        assert not made.client.session_reused


def test_session_is_not_offered_to_another_name() -> None:
    pair = Pair()
    pair.connect("localhost")
    assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="example.test"))
    assert offers(TLSConnection(pair.client, server_side=False, server_hostname="LOCALHOST"))


def test_lifetime_that_the_server_says() -> None:
    pair = Pair(server={"ticket_lifetime": 100})
    pair.connect()
    pair.clock.advance(99)
    assert pair.resumes()
    pair.connect()
    pair.clock.advance(100)
    assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost"))


def short_lived(seconds: float) -> Identity:
    credential = pki().leaf("short-lived", not_after=(pki().now - pki().now) + _seconds(60 + seconds))
    return Identity.load(credential.chain_pem, credential.key_pem)


def _seconds(number: float) -> Any:
    return type(pki().now - pki().now)(seconds=number)


def test_session_does_not_outlive_the_servers_certificate() -> None:
    pair = Pair(server={"identity": short_lived(500)})
    pair.connect()
    pair.clock.advance(499)
    assert offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost"))
    pair.clock.advance(1)
    assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost"))


def test_chain_of_resumptions_ends_after_a_week() -> None:
    """New tickets do not extend what the first handshake has proved (RFC 9846 section 4.7.1, last paragraph)."""
    pair = Pair()
    pair.connect()
    days = 0.0
    while pair.resumes():
        pair.clock.advance(DAY / 2)
        days += 0.5
        assert days <= 7
    assert days == 7


# --- what the server must hold ---------------------------------------------------------------------------------------

SERVER_CONDITIONS: dict[str, Callable[[Pair], object]] = {
    "another identity": lambda p: setattr(p.server, "identity", identity("rsa")),
    "other ticket keys": lambda p: setattr(p.server, "ticket_keys", TicketKeys()),
    "suites of another hash": lambda p: setattr(p.server, "cipher_suites", ["TLS_AES_256_GCM_SHA384"]),
    "a shorter lifetime": lambda p: (setattr(p.server, "ticket_lifetime", 10), p.clock.advance(10)),
    "a verify policy": lambda p: (setattr(p.server, "trust", trust()), setattr(p.server, "verify", Verify.OPTIONAL)),
    "a verify_peer": lambda p: setattr(p.server, "verify_peer", lambda _: True),
    "a trust store": lambda p: setattr(p.server, "trust", trust()),
}


@pytest.mark.parametrize("name", SERVER_CONDITIONS)
def test_ticket_is_not_taken_under_other_conditions(name: str) -> None:
    pair = Pair()
    pair.connect()
    SERVER_CONDITIONS[name](pair)
    assert offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost"))
    assert not pair.resumes()
    assert pair.resumes()


def test_identity_loaded_anew_with_the_same_certificate_resumes() -> None:
    """A reload that changes nothing costs nobody a full handshake."""
    pair = Pair()
    pair.connect()
    pair.server.identity = Identity.load(pki().ec.chain_pem, pki().ec.key_pem)
    assert pair.resumes()


@pytest.mark.parametrize("name", ["other_trust", "required", "optional to required"])
def test_client_certificates_are_asked_for_again(name: str) -> None:
    pair = Pair({"identity": identity("client")}, {"verify": Verify.OPTIONAL})
    pair.connect()
    if name == "other_trust":
        pair.server.trust = other_trust()
    else:
        pair.server.verify = Verify.REQUIRED
    made = pair.connect()
    assert not made.server.session_reused
    assert made.server.peer_certificates == identity("client").chain


def test_anonymous_ticket_is_no_way_round_a_client_certificate() -> None:
    """Made where none was asked for, it does not resume where one is, whatever name it is offered under."""
    open_context = server_context()
    closed = asking_context(Verify.REQUIRED, ticket_keys=open_context.ticket_keys)
    client = client_context()
    session = link(client, open_context).handshake().client.session
    assert session is not None
    puppet = PuppetClient(server(closed))
    puppet.start(puppet.bind(puppet.hello(), session))
    assert puppet.server_hello is not None
    assert ExtensionType.pre_shared_key not in puppet.server_hello.extensions
    assert [raw[0] for raw in puppet.messages] == [2, 8, 13, 11, 15, 20]


def test_ticket_is_for_the_name_it_was_made_with() -> None:
    context = server_context()
    session = link(client_context(), context).handshake().client.session
    assert session is not None
    for name, taken in (("localhost", True), ("example.test", False), (None, False)):
        puppet = PuppetClient(server(context))
        hello = puppet.hello()
        hello.extensions.remove(ExtensionType.server_name)
        if name is not None:
            data = name.encode()
            hello.extensions.put_data(
                0, (len(data) + 3).to_bytes(2, "big") + b"\x00" + len(data).to_bytes(2, "big") + data
            )
        if taken:
            puppet.session = session
            puppet.start(hello)
        else:
            puppet.start(puppet.bind(hello, session))
        assert puppet.server_hello is not None
        assert (ExtensionType.pre_shared_key in puppet.server_hello.extensions) is taken


def test_server_without_tickets_still_resumes_those_it_gave() -> None:
    pair = Pair()
    pair.connect()
    pair.server.ticket_count = 0
    assert pair.resumes()
    assert pair.resumes()
    assert not pair.resumes()


def test_tickets_do_not_outlive_the_clients_certificate() -> None:
    credential = pki().leaf("short-lived client", not_after=_seconds(60 + 1000))
    pair = Pair({"identity": Identity.load(credential.chain_pem, credential.key_pem)}, {"verify": Verify.REQUIRED})
    lifetimes: list[int] = []
    made = pair.connect()
    assert made.client.session is not None
    lifetimes.append(made.client.session.ticket_lifetime)
    pair.clock.advance(400)
    made = pair.connect()
    assert made.client.session_reused
    assert made.client.session is not None
    lifetimes.append(made.client.session.ticket_lifetime)
    assert lifetimes == [1000, 600]


def test_no_ticket_for_a_client_whose_certificate_has_just_expired() -> None:
    """It was good when it was verified; by the time its handshake has ended it is not."""
    credential = pki().leaf("short-lived client", not_after=_seconds(60 + 1000))
    held = Completion[bool]()
    pair = Pair(
        {"identity": Identity.load(credential.chain_pem, credential.key_pem)},
        {"verify": Verify.REQUIRED, "verify_peer": lambda _: held, "async_mode": True},
    )
    made = link(pair.client, pair.server).start()
    made.exchange()
    assert made.server.waiting_for_async
    pair.clock.advance(2000)
    held.set_result(True)
    made.server.advance(0.0)
    made.exchange()
    assert made.server.error is None
    assert made.server.handshake_complete
    assert made.client.session is None


def test_no_ticket_for_a_client_whose_chain_does_not_fit() -> None:
    """Tickets hold the client's chain. One that is too long for a hello costs a full handshake each time, no more."""
    big = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), bytes(60_000))
    credential = pki().leaf("big", extensions=[(big, False)])
    pair = Pair({"identity": Identity.load(credential.chain_pem, credential.key_pem)}, {"verify": Verify.REQUIRED})
    for _ in range(2):
        made = pair.connect()
        assert not made.client.session_reused
        assert made.client.session is None
        assert made.server.peer_certificates == credential.chain


# --- ticket keys -----------------------------------------------------------------------------------------------------


def test_keys_rotate() -> None:
    """The newest seals; as many as are kept open."""
    pair = Pair(server={"ticket_keys": TicketKeys(keep=3)})
    for rotations, resumes in ((0, True), (1, True), (2, True), (3, False)):
        session = pair.connect().client.session
        assert session is not None
        for _ in range(rotations):
            pair.server.ticket_keys.rotate()
        assert pair.resumes(session=session) is resumes


def test_keys_of_our_own_rotate_by_themselves() -> None:
    keys = TicketKeys(period=100.0, keep=2)
    first = keys.seal(b"state", 1000.0)
    assert keys.open_untrusted(first) == b"state"
    assert keys.seal(b"state", 1099.0)[:16] == first[:16]
    second = keys.seal(b"state", 1100.0)
    assert second[:16] != first[:16]
    assert keys.open_untrusted(first) == b"state"
    keys.seal(b"state", 1200.0)
    assert keys.open_untrusted(first) is None
    assert keys.open_untrusted(second) == b"state"


def test_keys_that_are_given_do_not_rotate_by_themselves() -> None:
    """Other servers would not know the new one."""
    keys = TicketKeys([bytes(32)], period=1.0)
    assert keys.seal(b"", 0.0)[:16] == keys.seal(b"", 1e9)[:16]


def test_shared_keys() -> None:
    """Two servers with the same secrets take each other's tickets, whatever the order of rotation."""
    old, new = b"o" * 32, b"n" * 32
    client = client_context()
    servers = [server_context(ticket_keys=TicketKeys(secrets)) for secrets in ([old], [new, old])]
    assert not link(client, servers[0]).handshake().client.session_reused
    assert link(client, servers[1]).handshake().client.session_reused
    servers[0].ticket_keys.rotate(new)
    assert link(client, servers[0]).handshake().client.session_reused
    stranger = server_context(ticket_keys=TicketKeys([b"s" * 32]))
    assert not link(client, stranger).handshake().client.session_reused


def test_context_shares_keys_with_nobody_by_default() -> None:
    client = client_context()
    link(client, server_context()).handshake()
    assert not link(client, server_context()).handshake().client.session_reused


@pytest.mark.parametrize(
    "make",
    [
        lambda: TicketKeys([bytes(31)]),
        lambda: TicketKeys([bytes(32), b""]),
        lambda: TicketKeys(keep=0),
        lambda: TicketKeys().rotate(b"short"),
    ],
)
def test_bad_ticket_keys(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="ticket_keys"):
        make()


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_whatever_is_offered_as_a_ticket(data: bytes) -> None:
    keys = TicketKeys([bytes(32)])
    assert keys.open_untrusted(data) is None
    assert keys.open_untrusted(keys.seal(b"", 0.0)[:16] + data) is None


def test_ticket_shows_nothing() -> None:
    """Two tickets of one state have nothing in common but the name of their key."""
    keys = TicketKeys([bytes(32)])
    first, second = keys.seal(bytes(100), 0.0), keys.seal(bytes(100), 0.0)
    assert first[:16] == second[:16]
    assert first[16:28] != second[16:28]
    assert not set(zip(first[28:], second[28:], strict=True)) <= {(a, a) for a in range(256)}


def test_ticket_of_another_release() -> None:
    """A format that is not known is a ticket that is not ours."""
    pair = Pair()
    session = pair.connect().client.session
    assert session is not None
    keys = pair.server.ticket_keys
    state = keys.open_untrusted(session.ticket)
    for other in (b"\x7f" + state[1:], state + b"\x00", state[:-1], b""):
        session = pair.connect().client.session
        assert session is not None
        session.ticket = keys.seal(other, WALL)
        assert not pair.resumes(session=session)


# --- sessions as bytes -----------------------------------------------------------------------------------------------


def test_session_as_bytes() -> None:
    pair = Pair({"identity": identity("client"), "alpn": ["h2"]}, {"verify": Verify.REQUIRED, "alpn": ["h2"]})
    session = pair.connect().client.session
    assert session is not None
    stored = session.to_bytes()
    copy = Session.from_bytes(stored)
    assert copy.to_bytes() == stored
    for name in ("version", "cipher_suite", "ticket", "ticket_age_add", "ticket_lifetime", "valid_until", "binding"):
        assert getattr(copy, name) == getattr(session, name)
    assert (copy.server_hostname, copy.alpn) == ("localhost", "h2")
    assert copy.peer_certificates == identity().chain
    assert copy.psk == session.psk
    assert abs(copy.received - session.received) < 0.001
    assert pair.resumes(session=copy)


def test_session_does_not_show_its_secrets() -> None:
    session = Pair().connect().client.session
    assert session is not None
    shown = repr(session)
    for secret in (session.psk.reveal(), session.ticket):
        assert repr(secret) not in shown
        assert secret.hex() not in shown


def a_session() -> bytes:
    session = Pair().connect().client.session
    assert session is not None
    return session.to_bytes()


STORED = a_session()


@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, len(STORED) - 1), st.integers(0, 255))))
@settings(max_examples=200)
def test_bytes_that_are_no_session(given: bytes | tuple[int, int]) -> None:
    """Nothing but an error of ours, wherever a stored session is damaged."""
    data = given
    if isinstance(data, tuple):
        position, byte = data
        data = STORED[:position] + bytes((byte,)) + STORED[position + 1 :]
    try:
        session = Session.from_bytes(data)
    except Error:
        return
    assert isinstance(given, tuple)
    session.to_bytes()


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_part_of_a_session(cut: int) -> None:
    with pytest.raises(DecodeError):
        Session.from_bytes(STORED[:cut])
    with pytest.raises(DecodeError):
        Session.from_bytes(STORED + b"\x00")


def test_session_of_another_format() -> None:
    with pytest.raises((DecodeError, UsageError)):
        Session.from_bytes(b"\x7f" + STORED[1:])


def test_name_in_a_stored_session_that_is_none() -> None:
    position = STORED.index(b"localhost")
    with pytest.raises(DecodeError):
        Session.from_bytes(STORED[:position] + b"\xff" + STORED[position + 1 :])


# --- stores ----------------------------------------------------------------------------------------------------------


class Store:
    """A store that answers in its own way."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.cache = SessionCache()
        self._wrap = wrap

    def put(self, session: Session) -> Any:
        return self._wrap(self.cache.put(session))

    def take(self, binding: bytes) -> Any:
        return self._wrap(self.cache.take(binding))


def at_once(value: Any) -> Any:
    return value


async def asynchronous(value: Any) -> Any:
    return value


def pending(value: Any) -> Any:
    done: Completion[Any] = Completion()
    done.set_result(value)
    return done


@pytest.mark.parametrize("wrap", [at_once, asynchronous, pending])
def test_store_may_answer_in_any_way(wrap: Callable[[Any], Any]) -> None:
    pair = Pair({"sessions": Store(wrap)})
    assert not pair.resumes()
    assert pair.resumes()


class SlowStore:
    """A store whose answers come when the test says so."""

    def __init__(self) -> None:
        self.cache = SessionCache()
        self.asked: list[tuple[str, Completion[Any], Any]] = []

    def put(self, session: Session) -> Completion[Any]:
        self.asked.append(("put", Completion(), session))
        return self.asked[-1][1]

    def take(self, binding: bytes) -> Completion[Any]:
        self.asked.append(("take", Completion(), binding))
        return self.asked[-1][1]

    def answer(self) -> str:
        kind, answer, argument = self.asked.pop(0)
        answer.set_result(getattr(self.cache, kind)(argument))
        return kind


def test_store_that_pauses() -> None:
    """The hello waits for the session; a ticket waits to be kept while data goes on."""
    store = SlowStore()
    context = client_context(sessions=store, async_mode=True)
    servers = server_context()
    for resumed in (False, True):
        pair = link(context, servers).start()
        assert pair.client.waiting_for_async
        assert pair.client.data_to_send(0.0) == b""
        assert store.answer() == "take"
        pair.client.advance(0.0)
        pair.exchange()
        assert pair.client.handshake_complete
        assert pair.client.session_reused is resumed
        assert pair.client.waiting_for_async
        assert pair.client.session is None
        pair.client.write(b"meanwhile")
        pair.server.write(b"meanwhile too")
        pair.exchange()
        assert pair.server_events[-1].data == b"meanwhile"  # type: ignore[union-attr]
        while store.asked:
            assert store.answer() == "put"
            pair.client.advance(0.0)
        assert pair.client.session is not None
        assert not pair.client.waiting_for_async


@pytest.mark.parametrize("method", ["put", "take"])
def test_store_that_fails(method: str) -> None:
    class Failing(SessionCache):
        pass

    def fail(*_: Any) -> None:
        raise ConnectionError("the store is away")

    store = Failing()
    setattr(store, method, fail)
    pair = link(client_context(sessions=store), server_context()).start()
    pair.exchange()
    assert isinstance(pair.client.error, OperationFailed)
    assert isinstance(pair.client.error.__cause__, ConnectionError)


def test_store_that_hands_out_what_does_not_fit() -> None:
    """Another's session, or one that is used up, is not offered."""
    pair = Pair()
    foreign = Pair({"identity": identity("client")}, {"verify": Verify.REQUIRED}).connect().client.session
    used = pair.connect().client.session
    assert foreign is not None
    assert used is not None
    used.resumable = False
    for session in (foreign, used):
        store = SessionCache()
        store.take = lambda _, session=session: session  # type: ignore[method-assign]
        pair.client.sessions = store
        assert not offers(TLSConnection(pair.client, server_side=False, server_hostname="localhost"))


def test_nothing_is_looked_up_without_a_store() -> None:
    names: list[str] = []
    pair = Pair({"sessions": None, "trace": lambda event: names.append(event.name)})
    pair.connect()
    assert not {"LOOKUP_SESSION", "STORE_SESSION"} & set(names)


def test_session_handed_in_without_a_store() -> None:
    """It is offered all the same; what the server then gives is ignored."""
    pair = Pair()
    session = pair.connect().client.session
    pair.client.sessions = None
    made = pair.connect(session=session)
    assert made.client.session_reused
    assert made.client.session is None


def test_profile_is_part_of_the_binding() -> None:
    """A ticket never changes its transport (design: a session resumes only under the transport it was made with)."""
    context = client_context()
    bindings = {
        tickets.binding(context.settings, profile, server_side=side, server_name="localhost", identity=None)
        for profile in (PROFILE, replace(PROFILE, name=b"quic"))
        for side in (True, False)
    }
    assert len(bindings) == 4


def test_tickets_as_a_server_sends_them() -> None:
    pair = Pair()
    puppet = PuppetClient(server(pair.server)).start().finish()
    given = [decode_message(NewSessionTicket, raw) for raw in puppet.messages if raw[0] == 4]
    assert len(given) == 2
    assert [each.ticket_nonce for each in given] == [b"\x00", b"\x01"]
    assert {each.ticket_lifetime for each in given} == {86_400}
    assert all(not each.extensions.codes for each in given)
