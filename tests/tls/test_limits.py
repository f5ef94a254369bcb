"""Every bound in `Limits`: what reaches it passes, what crosses it ends the connection or is passed over."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable
from dataclasses import fields

import pytest

from caesura.context import Limits
from caesura.engines import DelayEngine, Operation
from caesura.errors import AlertDescription, BadCertificate, ConfigError, IllegalParameter, UnexpectedMessage
from caesura.sessions import ServerSessionCache, Session, SessionCache
from caesura.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE
from caesura.wire.extensions import Extensions
from caesura.wire.messages import KeyUpdate, NewSessionTicket
from caesura.wire.registries import KeyUpdateRequest
from tests.support.link import drain, link
from tests.tls.puppet import CCS, Puppet, PuppetClient, PuppetServer, refused
from tests.tls.states import (
    STATES,
    client,
    client_connected,
    fresh_session,
    server,
    server_connected,
    wait_certificate_or_request,
    wait_client_certificate,
    wait_client_hello,
    wait_server_hello,
)
from tests.tls.world import client_context, identity, server_context

Connected = pytest.mark.parametrize("state", [client_connected, server_connected], ids=lambda state: state.__name__)

EMPTY_DATA: Callable[[Puppet], bytes] = lambda puppet: puppet.record(APPLICATION_DATA, b"")  # noqa: E731
PADDED: Callable[[Puppet], bytes] = lambda puppet: puppet.record(APPLICATION_DATA, b"", 30)  # noqa: E731


def test_every_limit_is_crossed_here() -> None:
    """A new bound needs a test: this list is to be kept with those below."""
    assert {each.name for each in fields(Limits)} == {
        "handshake_message",
        "certificate_chain",
        "psk_identities",
        "session_tickets",
        "key_updates",
        "empty_records",
        "warning_alerts",
        "parked_bytes",
        "early_data_skipped",  # tests/tls/test_records.py
        "authentications",  # tests/tls/test_post_auth.py
        # tests/dtls/test_limits.py
        "messages_ahead",
        "reassembly_bytes",
        "early_bytes",
        "received_datagrams",
        "unsent_datagrams",  # tests/test_ssl_datagrams.py
        "datagrams_at_once",  # tests/contract/test_quic_events.py
        "pending_connections",  # tests/contract/test_quic_listener.py
        "hello_bytes",
        "half_open",
        "associations",
        "verify_requests",
        "ack_records",
        "sent_records",
        "replay_window",
        "connection_ids",
        "repeated_alerts",
        "forged_records",
        "epoch",
    }


@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: 0})


# --- handshake_message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_handshake_message(state: Callable[[], Puppet]) -> None:
    """Refused when its header has come; nothing of it is collected."""
    limit = Limits().handshake_message
    puppet = state()
    puppet.send(HANDSHAKE, b"\x0b" + (limit + 1).to_bytes(3, "big"))
    refused(puppet, IllegalParameter)
    puppet = state()
    puppet.send(HANDSHAKE, b"\x0b" + limit.to_bytes(3, "big") + bytes(100))
    assert puppet.connection.error is None


def test_handshake_message_of_the_longest_length() -> None:
    """A hello of just the limit, in many records, is taken."""
    context = server_context(limits=Limits(handshake_message=40_000))
    for size, kind in ((40_000, None), (40_001, IllegalParameter)):
        puppet = PuppetClient(server(context))
        hello = puppet.hello()
        hello.extensions.put_data(0xFAFA, b"")
        short = len(hello.encode()) - 4
        hello.extensions.put_data(0xFAFA, bytes(size - short))
        raw = hello.encode()
        assert len(raw) == 4 + size
        puppet.transcript.add(raw)
        for start in range(0, len(raw), 2**14):
            puppet.send(HANDSHAKE, raw[start : start + 2**14])
        if kind is None:
            puppet.pull()
            puppet.finish()
            assert puppet.connection.handshake_complete
        else:
            refused(puppet, kind)


# --- certificate_chain -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [wait_certificate_or_request, wait_client_certificate])
def test_certificate_chain(state: Callable[[], Puppet]) -> None:
    """Counted before one of them is parsed."""
    limit = Limits().certificate_chain
    for number in (limit, limit + 1):
        puppet = state()
        chain = (identity().chain[0], *[b"\x30\x00"] * (number - 1))
        puppet.say(wait_server_hello().certificate(chain))
        if number <= limit:
            assert puppet.connection.error is None
        else:
            refused(puppet, BadCertificate)


# --- psk_identities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "resumed"), [(0, True), (7, True), (8, False), (100, False)])
def test_psk_identities(before: int, resumed: bool) -> None:
    """As many tickets are looked at as the limit says; behind them the best one is not found."""
    session, _, context = fresh_session()
    opened: list[str] = []
    context.trace = lambda event: opened.append(event.name) if event.kind == "started" else None
    puppet = PuppetClient(server(context))
    unknown = Session.from_bytes(session.to_bytes())
    unknown.ticket = bytes(50)
    hello = puppet.bind(puppet.hello(), *[unknown] * before, session)
    puppet.session = session if resumed else None
    puppet.say(hello)
    puppet.pull()
    context.trace = None
    assert opened.count("OPEN_TICKET") == min(before + 1, 8)
    puppet.finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.session_reused is resumed


# --- session_tickets -------------------------------------------------------------------------------------------------


def ticket(number: int = 0, lifetime: int = 60) -> NewSessionTicket:
    return NewSessionTicket(lifetime, 1, bytes((number % 256,)), b"ticket %d" % number, Extensions())


def test_session_tickets() -> None:
    store = SessionCache(per_binding=1000)
    puppet = PuppetServer(client(client_context(sessions=store)), identity()).run()
    drain(puppet.connection)
    for number in range(100):
        puppet.say(ticket(number))
    assert puppet.connection.error is None
    assert len(store) == Limits().session_tickets
    assert len(drain(puppet.connection)) == Limits().session_tickets


def test_session_tickets_in_one_record() -> None:
    store = SessionCache(per_binding=1000)
    puppet = PuppetServer(client(client_context(sessions=store, limits=Limits(session_tickets=5))), identity()).run()
    puppet.say(*[ticket(number) for number in range(300)])
    assert puppet.connection.error is None
    assert len(store) == 5


def test_session_cache_is_bounded() -> None:
    """The newest of each binding, and the bindings used last."""
    session, _, _ = fresh_session()
    cache = SessionCache(bindings=2, per_binding=3)
    for binding in (b"a", b"b", b"a", b"c"):
        for number in range(5):
            kept = Session.from_bytes(session.to_bytes())
            kept.binding = binding
            kept.ticket = b"%d" % number
            cache.put(kept)
    assert len(cache) == 6
    assert cache.take(b"b") is None
    assert [taken.ticket for taken in iter(lambda: cache.take(b"a"), None)] == [b"4", b"3", b"2"]
    assert [taken.ticket for taken in iter(lambda: cache.take(b"c"), None)] == [b"4", b"3", b"2"]
    assert len(cache) == 0


def test_threads_may_share_a_session_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a context's connections, or of its engine: no look-up fails, and no session is given twice."""
    monkeypatch.setattr(threading, "excepthook", lambda arguments: failed.append(arguments.exc_value))
    failed: list[object] = []
    given: list[Session] = []  # all of them, so that no other has the same id
    cache, sealed = SessionCache(bindings=2, per_binding=2), ServerSessionCache(2)
    session, _, _ = fresh_session()

    def use() -> None:
        for number in range(8000):
            kept = copy.copy(session)
            kept.binding = bytes((number % 3,))
            cache.put(kept)
            for _ in range(2):
                taken = cache.take(kept.binding)
                if taken is not None:
                    given.append(taken)
            sealed.put(bytes((number % 7,)), b"")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failed == []
    assert len(given) == len(set(map(id, given))) > 1000


# --- key_updates -----------------------------------------------------------------------------------------------------


def key_update(puppet: Puppet) -> None:
    """The peer changes its keys."""
    puppet.say(KeyUpdate(KeyUpdateRequest.update_not_requested))
    if puppet.connection.error is None:
        assert puppet.write_key is not None
        puppet.write_key = puppet.write_key.next_generation()


@Connected
def test_key_updates(state: Callable[[], Puppet]) -> None:
    """In a row, without data between them; empty records are no data."""
    puppet = state()
    for _ in range(3):
        for _ in range(Limits().key_updates):
            key_update(puppet)
        puppet.send(APPLICATION_DATA, b"data")
    puppet.send(APPLICATION_DATA, b"")
    for _ in range(Limits().key_updates):
        key_update(puppet)
        puppet.feed(EMPTY_DATA(puppet))
    assert puppet.connection.error is None
    key_update(puppet)
    refused(puppet, UnexpectedMessage)


# --- empty_records ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [EMPTY_DATA, PADDED], ids=["empty", "padded"])
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "all at once"])
@Connected
def test_empty_records(state: Callable[[], Puppet], together: bool, record: Callable[[Puppet], bytes]) -> None:
    """In a row: data between them starts the count anew."""
    limit = Limits().empty_records
    puppet = state()
    for _ in range(3):
        for _ in range(limit):
            puppet.feed(record(puppet))
        puppet.send(APPLICATION_DATA, b"x")
    assert puppet.connection.error is None
    flood = [record(puppet) for _ in range(limit + 1)]
    for piece in [b"".join(flood)] if together else flood:
        puppet.feed(piece)
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize(
    "state",
    [state for state in STATES if state not in (wait_client_hello, client_connected, server_connected)],
    ids=lambda state: state.__name__,
)
def test_change_cipher_specs_are_empty_records(state: Callable[[], Puppet]) -> None:
    puppet = state()
    puppet.feed(CCS * Limits().empty_records)
    assert puppet.connection.error is None
    puppet.feed(CCS)
    refused(puppet, UnexpectedMessage)


# --- warning_alerts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_warning_alerts(state: Callable[[], Puppet]) -> None:
    puppet = state()
    for _ in range(Limits().warning_alerts):
        puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    assert puppet.connection.error is None
    puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    refused(puppet, UnexpectedMessage)


# --- parked_bytes ----------------------------------------------------------------------------------------------------


def test_parked_bytes() -> None:
    """While work is paused, ciphertext is kept up to the limit, and then the adapter is told to stop reading."""
    engine = DelayEngine(None, operations=[Operation.VERIFY_CHAIN])
    context = client_context(engine=engine, async_mode=True, limits=Limits(parked_bytes=1000))
    puppet = PuppetServer(client(context), identity()).greet()
    puppet.say(puppet.encrypted_extensions())
    puppet.say(puppet.certificate())
    puppet.say(puppet.prove(puppet.identity))
    assert puppet.connection.waiting_for_async
    assert puppet.connection.wants_data
    puppet.say(puppet.finished())
    assert puppet.connection.wants_data
    puppet.server_finished()
    puppet.write_key = type(puppet.write_key)(puppet.own(puppet.application), b"tls13 ")
    while puppet.connection.wants_data:
        puppet.send(APPLICATION_DATA, bytes(100))
        assert puppet.connection.error is None
    engine.release()
    puppet.connection.advance(puppet.now)
    assert puppet.connection.handshake_complete
    assert puppet.connection.wants_data
    assert 500 <= len(puppet.connection.read()) <= 1100


def test_record_that_is_not_all_there_is_wanted_whole() -> None:
    """The limit is for what waits behind paused work: a record longer than it is read to its end all the same."""
    tight = Limits(parked_bytes=1)
    for puppet in (
        PuppetServer(client(client_context(limits=tight)), identity()).run(),
        PuppetClient(server(server_context(limits=tight))).start().finish(),
    ):
        record = puppet.record(APPLICATION_DATA, bytes(2**14))
        for start in range(0, len(record), 1000):
            assert puppet.connection.wants_data
            puppet.feed(record[start : start + 1000])
        assert puppet.connection.wants_data
        assert puppet.connection.read() == bytes(2**14)


def test_limits_hold_for_the_connection_and_not_for_the_context_it_was_made_from() -> None:
    context = client_context(sessions=SessionCache(), limits=Limits(warning_alerts=1))
    puppet = PuppetServer(client(context), identity())
    context.limits = Limits(warning_alerts=100)
    puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    refused(puppet, UnexpectedMessage)


def test_many_handshakes_of_one_context_do_not_add_up() -> None:
    """Counters belong to connections."""
    contexts = client_context(limits=Limits(session_tickets=2)), server_context()
    for _ in range(3):
        assert link(*contexts).handshake().client.session is not None
