"""Resumption in TLS 1.2: by ticket (RFC 5077) and by session id (RFC 5246 section 7.4.1.2), and its conditions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from caesura.context import Context, Identity, Limits, TrustStore, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.errors import HandshakeFailure, OperationFailed
from caesura.events import SessionReceived
from caesura.handshake import tickets
from caesura.jobs import Completion
from caesura.sessions import ServerSessionCache, Session, SessionCache
from caesura.wire.extensions import SESSION_TICKET
from caesura.wire.messages import ClientHello, decode_message
from caesura.wire.messages12 import NewSessionTicket
from caesura.wire.registries import ExtensionType, Version
from tests.support.clock import FakeClock
from tests.support.link import Link, link
from tests.support.pki import pki
from tests.tls.puppet import refused
from tests.tls.puppet12 import PuppetClient12
from tests.tls.states import client, server
from tests.tls.states12 import fresh_session12, wait_server_ticket
from tests.tls.world import EITHER, TLS12, WALL, asking_context, client_context, identity, server_context, trust

DAY = 86_400.0
BY_ID = {"ticket_count": 0}
Ways = pytest.mark.parametrize("way", [{}, BY_ID], ids=["ticket", "session id"])


class Pair:
    """A client's and a server's context on one clock."""

    def __init__(self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.clock = FakeClock(wall_time=WALL)
        self.client = client_context(clock=self.clock, **{**TLS12, **(client or {})})
        make = asking_context if server and "verify" in server else server_context
        self.server = make(clock=self.clock, **{**TLS12, **(server or {})})

    def connect(self, name: str = "localhost", **options: Any) -> Link:
        return link(self.client, self.server, server_hostname=name, **options).handshake()

    def resumes(self, name: str = "localhost", **options: Any) -> bool:
        made = self.connect(name, **options)
        assert made.client.session_reused is made.server.session_reused
        return made.client.session_reused


def hello_of(context: Context, session: Session | None = None) -> ClientHello:
    connection = client(context, session)
    connection.advance(0.0)
    return decode_message(ClientHello, connection.data_to_send(0.0)[5:])


# --- that it resumes -------------------------------------------------------------------------------------------------


@Ways
@pytest.mark.parametrize(
    "both",
    [
        {},
        {"groups": ["secp256r1"]},
        {"cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
        {"cipher_suites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]},
        {"alpn": ["h2"]},
        {"record_size_limit": 100},
        {"ocsp_response": b"staple"},
    ],
    ids=str,
)
def test_resumes_again_and_again(way: dict[str, Any], both: dict[str, Any]) -> None:
    pair = Pair(both, {**both, **way})
    full = pair.connect()
    assert not full.client.session_reused
    for _ in range(5):
        made = pair.connect()
        assert made.client.session_reused
        assert made.server.session_reused
        assert made.client.group is made.server.group is full.client.group is not None
        assert made.client.cipher_suite is full.client.cipher_suite
        assert made.client.alpn == full.client.alpn
        assert made.client.peer_certificates == full.client.peer_certificates
        made.client.write(b"up")
        made.server.write(b"down")
        made.exchange()
        assert made.server.error is made.client.error is None


@Ways
def test_what_the_client_showed_is_remembered(way: dict[str, Any]) -> None:
    pair = Pair({"identity": identity("client")}, {"verify": Verify.REQUIRED, **way})
    full = pair.connect()
    again = pair.connect()
    assert again.server.session_reused
    assert again.server.peer_certificates == full.server.peer_certificates == identity("client").chain


def test_one_event_for_each_session() -> None:
    """After a resumption, too: what was offered may be offered again, as a session of its own."""
    pair = Pair()
    for _ in range(3):
        made = pair.connect()
        sessions = [event.session for event in made.client_events if isinstance(event, SessionReceived)]
        assert sessions == [made.client.session]
        assert made.client.session is not None
        assert made.client.session.resumable
        assert made.client.session.version is Version.TLS12


@Ways
def test_callers_keep_sessions_themselves(way: dict[str, Any]) -> None:
    pair = Pair(server=way)
    session = pair.connect().client.session
    assert session is not None
    pair.client.sessions = None
    restored = Session.from_bytes(session.to_bytes())
    assert bool(restored.ticket) is (way == {})
    assert len(restored.session_id) == (0 if way == {} else 32)
    assert "ticket" not in repr(restored).replace("ticket_lifetime", "")
    made = pair.connect(session=restored)
    assert made.client.session_reused
    assert made.client.session is None  # nobody wants to keep any
    assert not restored.resumable
    assert not pair.resumes(session=restored)  # it was used


def test_age_counts_from_the_full_handshake() -> None:
    """The main secret stays the one it was, so nothing may make it younger."""
    pair = Pair(server={"ticket_lifetime": 1000})
    assert not pair.resumes()
    for _ in range(3):
        pair.clock.wall_time += 300
        assert pair.resumes()
    pair.clock.wall_time += 200
    assert not pair.resumes()


@pytest.mark.parametrize("way", [{}, BY_ID], ids=["ticket", "session id"])
def test_ticket_of_a_client_that_says_no_session_id(way: dict[str, Any]) -> None:
    """RFC 5077 section 3.4: then there is none to send back, and the messages tell that the server resumes."""
    session, _, context = fresh_session12(by_ticket=not way)
    puppet = PuppetClient12(server(context), session)
    hello = puppet.hello()
    if not way:
        hello.legacy_session_id = b""
    puppet.start(hello)
    assert puppet.server_hello is not None
    assert puppet.server_hello.legacy_session_id_echo == hello.legacy_session_id
    assert ExtensionType.session_ticket not in puppet.server_hello.extensions
    puppet.finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.session_reused


def test_session_id_with_a_client_that_now_knows_tickets() -> None:
    session, _, context = fresh_session12(by_ticket=False)
    puppet = PuppetClient12(server(context), session)
    hello = puppet.hello()
    hello.extensions.put(SESSION_TICKET, b"")
    puppet.start(hello).finish()
    assert puppet.connection.session_reused


def test_ids_are_looked_up_only_without_a_ticket() -> None:
    """RFC 5077 section 3.4: a ticket that is not good is not made up for by an id."""
    asked: list[bytes] = []

    class Store(ServerSessionCache):
        def get(self, session_id: bytes) -> bytes | None:
            asked.append(session_id)
            return super().get(session_id)

    context = server_context(server_sessions=Store(), **TLS12)
    for ticket, expected in ((b"not one of ours", []), (b"", [b"an id"]), (None, [b"an id"])):
        puppet = PuppetClient12(server(context))
        hello = puppet.hello(legacy_session_id=b"an id")
        if ticket is not None:
            hello.extensions.put(SESSION_TICKET, ticket)
        puppet.start(hello).exchange().finish()
        assert not puppet.connection.session_reused
        assert asked == expected
        asked.clear()


# --- what a client offers --------------------------------------------------------------------------------------------


def test_offer_of_a_ticket_and_of_an_id() -> None:
    session, context, _ = fresh_session12()
    hello = hello_of(context, session)
    assert hello.extensions.get(SESSION_TICKET) == session.ticket
    assert len(hello.legacy_session_id) == 32
    session, context, _ = fresh_session12(by_ticket=False)
    hello = hello_of(context, session)
    assert hello.extensions.get(SESSION_TICKET) == b""
    assert hello.legacy_session_id == session.session_id


def test_offer_beside_tls13() -> None:
    """A session of TLS 1.2 is no pre-shared key, and one of TLS 1.3 no ticket of TLS 1.2."""
    either = Pair(EITHER, {"maximum_version": "TLS12"})
    session = either.connect().client.session
    assert session is not None
    assert session.version is Version.TLS12
    hello = hello_of(either.client, session)
    assert ExtensionType.pre_shared_key not in hello.extensions
    assert hello.extensions.get(SESSION_TICKET) == session.ticket
    newer = Pair(EITHER, EITHER)
    session = newer.connect().client.session
    assert session is not None
    assert session.version is Version.TLS13
    hello = hello_of(newer.client, session)
    assert ExtensionType.pre_shared_key in hello.extensions
    assert hello.extensions.get(SESSION_TICKET) == b""


def test_server_that_has_learnt_tls13() -> None:
    """The newer version comes before the older session."""
    pair = Pair(EITHER, {"maximum_version": "TLS12"})
    assert not pair.resumes()
    assert pair.resumes()
    pair.server.maximum_version = "TLS13"
    made = pair.connect()
    assert made.client.version is Version.TLS13
    assert not made.client.session_reused
    assert pair.resumes()
    pair.server.maximum_version = "TLS12"
    made = pair.connect()
    assert made.client.version is Version.TLS12
    assert not made.client.session_reused


def test_session_of_a_version_or_suite_that_is_no_longer_offered() -> None:
    for changes in (
        {"minimum_version": "TLS13", "maximum_version": "TLS13"},
        {"cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
    ):
        session, context, _ = fresh_session12()
        other = client_context(clock=context.clock, **{**TLS12, **changes})
        hello = hello_of(other, session)
        assert session.resumable
        assert not hello.extensions.get(SESSION_TICKET)


# --- where it does not resume ----------------------------------------------------------------------------------------


def changed(name: str, value: Any) -> Callable[[Pair], None]:
    return lambda pair: setattr(pair.server, name, value)


@Ways
@pytest.mark.parametrize(
    "change",
    [
        changed("identity", identity("rsa")),
        changed("verify", Verify.OPTIONAL),
        changed("trust", TrustStore.load(pki().other_root.pem)),
        changed("verify_peer", lambda _: True),
        changed("ticket_keys", TicketKeys()),
        changed("cipher_suites", ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]),
        changed("maximum_version", "TLS12"),
    ],
    ids=["identity", "verify", "trust", "verify_peer", "ticket keys", "suites", "nothing"],
)
def test_servers_conditions(way: dict[str, Any], change: Callable[[Pair], None], request: Any) -> None:
    pair = Pair(server={"trust": trust(), **way})
    assert not pair.resumes()
    change(pair)
    assert pair.resumes() is ("nothing" in request.node.callspec.id)
    assert pair.resumes()  # what was negotiated instead can be resumed itself


@Ways
def test_name_is_a_condition(way: dict[str, Any]) -> None:
    """RFC 6066 section 3; the client does not even offer it, so the server is asked by hand."""
    made = pki().leaf("both", names=("localhost", "other.example"))
    pair = Pair(server={"identity": Identity.load(made.chain_pem, made.key_pem), **way})
    session = pair.connect().client.session
    assert session is not None
    assert not pair.resumes("other.example", session=session)
    puppet = PuppetClient12(server(pair.server), session)
    hello = puppet.hello()
    hello.extensions.put_data(ExtensionType.server_name, b"\0\x10\0\0\x0dother.example")
    puppet.session = None
    puppet.start(hello).exchange().finish()
    assert puppet.connection.handshake_complete
    assert not puppet.connection.session_reused


@Ways
def test_clients_conditions(way: dict[str, Any]) -> None:
    for change in ({"verify": Verify.NONE}, {"identity": identity("client")}, {"verify_peer": lambda _: True}):
        pair = Pair(server=way)
        session = pair.connect().client.session
        for name, value in change.items():
            setattr(pair.client, name, value)
        assert not pair.resumes(session=session)
        assert session is not None
        assert session.resumable  # it was not offered


@Ways
@pytest.mark.parametrize(("lifetime", "late"), [(86_400, DAY), (10, 10.0)])
def test_lifetime(way: dict[str, Any], lifetime: int, late: float) -> None:
    for resumes, age in ((True, late - 1), (False, late)):
        pair = Pair({"ticket_lifetime": 604_800}, {"ticket_lifetime": lifetime, **way})
        session = pair.connect().client.session
        assert session is not None
        pair.clock.wall_time += age
        offered = replace(session, ticket_lifetime=604_800)  # whatever the client thinks of it
        assert pair.resumes(session=offered) is resumes


def test_lifetime_that_the_server_does_not_name() -> None:
    """RFC 5077 section 5.6: 0 leaves it to the client."""
    for hint, lifetime in ((0, 86_400), (100, 100), (10**9, 604_800)):
        puppet = wait_server_ticket()
        puppet.say(NewSessionTicket(hint, b"a ticket"))
        puppet.finish()
        assert puppet.connection.session is not None
        assert puppet.connection.session.ticket_lifetime == lifetime


@Ways
def test_session_does_not_outlive_the_certificate(way: dict[str, Any]) -> None:
    """That of the server for the client, that of the client for the server; and a week at most."""
    pair = Pair({"ticket_lifetime": 604_800}, {"ticket_lifetime": 604_800, **way})
    session = pair.connect().client.session
    assert session is not None
    assert session.valid_until == int(WALL) + tickets.MAX_LIFETIME
    pair.clock.wall_time += 7 * DAY
    assert not session.usable(pair.clock.wall_time)


@Ways
def test_hello_without_extended_main_secret_is_refused_as_any_other(way: dict[str, Any]) -> None:
    """RFC 7627 section 5.3."""
    session, _, context = fresh_session12(by_ticket=not way)
    puppet = PuppetClient12(server(context), session)
    hello = puppet.hello()
    hello.extensions.remove(ExtensionType.extended_master_secret)
    puppet.say(hello)
    refused(puppet, HandshakeFailure)


@pytest.mark.parametrize("spoil", [lambda t: t[:-1], lambda t: t + b"x", lambda t: b"x" + t[1:], lambda t: b"x"])
def test_ticket_that_is_not_ours(spoil: Callable[[bytes], bytes]) -> None:
    session, _, context = fresh_session12()
    puppet = PuppetClient12(server(context), session)
    hello = puppet.hello()
    hello.extensions.put(SESSION_TICKET, spoil(session.ticket))
    puppet.session = None
    puppet.start(hello).exchange().finish()
    assert puppet.connection.handshake_complete
    assert not puppet.connection.session_reused


def test_ticket_of_the_other_version() -> None:
    """Both are sealed with the same keys, and hold the same kind of state."""
    both = server_context(**EITHER)
    newer = link(client_context(clock=both.clock), both).handshake().client.session
    assert newer is not None
    puppet = PuppetClient12(server(both))
    hello = puppet.hello()
    hello.extensions.put(SESSION_TICKET, newer.ticket)
    puppet.start(hello).exchange().finish()
    assert puppet.connection.handshake_complete
    assert not puppet.connection.session_reused


def test_nothing_is_kept_where_nothing_shall_be() -> None:
    pair = Pair(server={"ticket_count": 0, "server_sessions": None})
    made = pair.connect()
    assert made.client.session is None
    assert not pair.resumes()
    assert pair.connect(session=None).client.session is None


def test_handshake_that_fails_leaves_no_session() -> None:
    """The Finished that says the client has the keys comes first."""
    store = ServerSessionCache()
    pair = Pair(server={"ticket_count": 0, "server_sessions": store})
    made = link(pair.client, pair.server).start()
    made.server.receive_data(made.client.data_to_send(0.0), 0.0)
    made.client.receive_data(made.server.data_to_send(0.0), 0.0)
    finished = made.client.data_to_send(0.0)
    made.server.receive_data(finished[:-1] + bytes((finished[-1] ^ 1,)), 0.0)
    assert made.server.error is not None
    assert len(store) == 0


@Ways
def test_chain_that_is_too_long_to_keep(way: dict[str, Any]) -> None:
    """Then there is no resumption: an empty ticket where one was announced, nothing in the store otherwise."""
    leaf, *rest = identity("client").chain
    for count, kept in ((2, True), (90, False)):
        chain = (leaf, *(rest or [leaf]) * count)
        ours = {"identity": replace(identity("client"), chain=chain)}
        pair = Pair(ours, {"verify": Verify.REQUIRED, "limits": Limits(certificate_chain=100), **way})
        session = pair.connect().client.session
        assert (session is not None) is (kept or bool(way))  # the id was said before the chain was known
        assert pair.resumes() is kept


# --- stores ----------------------------------------------------------------------------------------------------------


def test_server_cache_is_bounded() -> None:
    cache = ServerSessionCache(3)
    for number in range(10):
        cache.put(bytes((number,)), b"sealed %d" % number)
        assert len(cache) <= 3
    assert cache.get(b"\x07") == b"sealed 7"
    assert cache.get(b"\x06") is None
    assert cache.get(b"") is None


def test_what_a_store_holds_is_sealed() -> None:
    log: list[str] = []
    store = ServerSessionCache()
    pair = Pair({"keylog": log.append, "identity": identity("client")}, {"verify": Verify.REQUIRED, **BY_ID})
    pair.server.server_sessions = store
    pair.connect()
    secret = bytes.fromhex(log[0].split()[2])
    (sealed,) = store._sealed.values()
    assert secret not in sealed
    assert identity("client").chain[0] not in sealed


def test_servers_share_a_store() -> None:
    """If they share their ticket keys; else what one has stored is nothing to the other."""
    store, keys = ServerSessionCache(), TicketKeys([bytes(32)])
    clock = FakeClock(wall_time=WALL)
    ours = client_context(clock=clock, **TLS12)
    shared = [
        server_context(clock=clock, random=os.urandom, server_sessions=store, ticket_keys=each, **TLS12, **BY_ID)
        for each in (keys, TicketKeys([bytes(32)]), TicketKeys())
    ]
    assert not link(ours, shared[0]).handshake().server.session_reused
    assert link(ours, shared[1]).handshake().server.session_reused
    assert not link(ours, shared[2]).handshake().server.session_reused


class Store:
    """Stores of both sides that answer in their own way."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.server = ServerSessionCache()
        self.client = SessionCache()
        self._wrap = wrap

    def put(self, *args: Any) -> Any:
        return self._wrap(self.server.put(*args) if len(args) == 2 else self.client.put(*args))

    def get(self, session_id: bytes) -> Any:
        return self._wrap(self.server.get(session_id))

    def take(self, binding: bytes) -> Any:
        return self._wrap(self.client.take(binding))


def pending(value: Any) -> Any:
    done: Completion[Any] = Completion()
    done.set_result(value)
    return done


async def coroutine(value: Any) -> Any:
    return value


@pytest.mark.parametrize("wrap", [lambda value: value, pending, coroutine], ids=["plain", "pending", "coroutine"])
def test_stores_answer_as_they_like(wrap: Callable[[Any], Any]) -> None:
    store = Store(wrap)
    pair = Pair({"sessions": store}, {"server_sessions": store, **BY_ID})
    assert not pair.resumes()
    assert pair.resumes()


@pytest.mark.parametrize("method", ["put", "get"])
def test_store_that_fails(method: str) -> None:
    """What a store raises is the application's own failure, and ends the handshake."""

    def fail(*_: Any) -> Any:
        raise OSError("the store is gone")

    store = ServerSessionCache()
    pair = Pair(server={"server_sessions": store, **BY_ID})
    if method == "get":
        pair.connect()
    broken = type("Broken", (ServerSessionCache,), {method: fail})()
    pair.server.server_sessions = broken
    made = link(pair.client, pair.server).start().exchange()
    assert isinstance(made.server.error, OperationFailed)
    assert isinstance(made.server.error.__cause__, OSError)


@pytest.mark.parametrize("answer", [b"", b"garbage", bytes(1000)], ids=repr)
def test_store_that_answers_garbage(answer: bytes) -> None:
    """Bytes that are no session of ours are none."""
    store = type("Odd", (ServerSessionCache,), {"get": lambda self, _: answer})()
    session, _, context = fresh_session12(by_ticket=False)
    odd = server_context(server_sessions=store, clock=context.clock, **TLS12, **BY_ID)
    puppet = PuppetClient12(server(odd))
    puppet.start(puppet.hello(legacy_session_id=session.session_id)).exchange().finish()
    assert puppet.connection.handshake_complete
    assert not puppet.connection.session_reused
