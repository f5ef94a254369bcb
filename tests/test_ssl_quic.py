"""What `caesura.SSL` has on QUIC beyond the manual pages: 0-RTT, datagrams, resumption, tokens, threads and jobs."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from caesura import (
    QUICSSL,
    SSL,
    Context,
    EarlyDataStatus,
    IncomingStreamPolicy,
    Listener,
    Method,
    QUICStream,
    SessionCache,
)
from caesura import openssl as o
from caesura.context import QUIC_EARLY_DATA
from caesura.engines import DelayEngine, Operation
from caesura.errors import UsageError, WantAsync, WantRead, ZeroRTTRejected
from caesura.sessions import Session
from caesura.sslobject import RecordSSL
from tests.support import ssl_pair
from tests.support.quic_ssl import Pair, calling, connected, drive, listening, pair
from tests.support.ssl_pair import PausingKey, pausing_server

EARLY = {"max_early_data": QUIC_EARLY_DATA, "ticket_count": 1}


def session_of(server: Context, **client: Any) -> tuple[Pair, Session]:
    """A connection to this server, and what it can be resumed with."""
    both = pair({"sessions": SessionCache(), **client})
    both.server.context = server
    both.handshake().quiet()
    assert both.client.session is not None
    return both, both.client.session


def again(before: Pair, session: Session, **server: Any) -> Pair:
    """Another connection of the same two, with that session, not begun."""
    both = pair({"sessions": SessionCache()})
    context = before.server.context
    for name, value in server.items():
        setattr(context, name, value)
    both.server.context = context
    both.client.set_session(session)
    both.clock.now = before.clock.now + 1
    both.client.context.clock = both.server.context.clock = both.clock
    return both


def early_server() -> Context:
    return pair(server=EARLY).server.context


def test_the_object_is_that_of_the_method() -> None:
    both = pair()
    assert isinstance(both.client, QUICSSL)
    assert isinstance(both.client, SSL)
    assert type(SSL(Context())) is not QUICSSL
    assert repr(both.client) == "<SSL client>"


# --- 0-RTT ----------------------------------------------------------------------------------------------------------


def test_early_data_is_taken() -> None:
    before, session = session_of(early_server())
    both = again(before, session)
    assert both.client.write_early_data(b"early") == 5
    assert both.client.early_data_status is EarlyDataStatus.PENDING
    with pytest.raises(WantRead):
        both.server.do_handshake()
    assert both.server.read_early_data() == b"early"
    assert not both.server.handshake_complete
    assert both.server.write_early_data(b"at once") == 7
    assert drive(both.clock, both.client.read, both.server.do_handshake)[0] == b"at once"
    assert both.client.early_data_status is EarlyDataStatus.ACCEPTED
    assert both.client.write(b", and late") == 10
    assert both.server.read() == b", and late"
    assert both.server.read_early_data() == b""
    assert both.client.write_early_data(b"too late") == 0


def test_early_data_that_nobody_reads_early_comes_when_it_is_certain() -> None:
    before, session = session_of(early_server())
    both = again(before, session)
    assert both.client.write_early_data(b"early") == 5
    assert drive(both.clock, both.server.read, both.client.do_handshake)[0] == b"early"
    assert both.server.handshake_complete


def test_early_data_that_is_rejected_is_not_sent_again() -> None:
    before, session = session_of(early_server())
    both = again(before, session, max_early_data=0)
    assert both.client.write_early_data(b"early") == 5
    stream = both.client.default_stream
    assert stream is not None
    drive(both.clock, both.client.do_handshake, both.server.do_handshake)
    assert both.client.early_data_status is EarlyDataStatus.REJECTED
    assert both.client.default_stream is None
    for call in (stream.read, lambda: stream.write(b"x"), stream.conclude):
        with pytest.raises(ZeroRTTRejected):
            call()
    stream.reset(1)
    stream.close()
    assert (stream.pending(), stream.write_buffer_used) == (0, 0)
    assert both.client.write(b"late") == 4
    assert both.server.read() == b"late"
    assert stream is not both.client.default_stream


def test_early_data_without_a_session_that_allows_it() -> None:
    both = pair()
    assert both.client.write_early_data(b"early") == 0
    both.handshake()
    with pytest.raises(UsageError, match="a client receives none"):
        both.client.read_early_data()
    assert pair().server.read_early_data.__doc__
    both = pair()
    with pytest.raises(WantRead):
        both.client.do_handshake()
    with pytest.raises(WantRead):
        both.server.read_early_data()
    assert drive(both.clock, both.server.read_early_data, both.client.do_handshake)[0] == b""


def test_early_data_behind_a_pause() -> None:
    before, session = session_of(early_server())
    both = again(before, session)
    engine = DelayEngine(None, operations=[Operation.GENERATE_KEY])
    both.client.context.engine, both.client.context.async_mode = engine, True
    for _ in range(2):
        with pytest.raises(WantAsync):
            both.client.write_early_data(b"early")
    engine.release(4)
    assert both.client.write_early_data(b"early") == 5
    assert drive(both.clock, both.server.read, both.client.do_handshake)[0] == b"early"


# --- sessions, tokens, addresses ------------------------------------------------------------------------------------


def test_resumption_through_the_contexts_store() -> None:
    store = SessionCache()
    server = pair(server={"ticket_count": 1}).server.context
    first, _ = session_of(server, sessions=store)
    second = pair({"sessions": store})
    second.server.context = server
    second.client.context.clock = second.server.context.clock = first.clock
    Pair(second.client, second.server, first.clock).handshake()
    assert second.client.session_reused
    assert o.SSL_session_reused(second.server) == 1


def test_a_token_spares_the_retry() -> None:
    listener, net, clock = listening()
    first = calling(net, clock, 5000)
    drive(clock, first.do_handshake, meanwhile=listener.handle_events)
    for _ in range(3):
        listener.handle_events()
        first.handle_events()
    assert first.new_token
    server = listener.accept_connection()
    assert isinstance(server, QUICSSL)
    assert (server.peer_address, first.peer_address) == (("192.0.2.2", 5000), ("192.0.2.1", 443))
    second = calling(net, clock, 5001)
    second.token = first.new_token
    with pytest.raises(WantRead):
        second.do_handshake()
    assert listener.accept_connection() is not None  # at once


# --- datagrams ------------------------------------------------------------------------------------------------------


def test_datagrams() -> None:
    both = pair(quic={"max_datagram_frame_size": 1200, "datagram_queue": 2})
    drive(both.clock, lambda: both.client.send_datagram(b"one"), both.server.do_handshake)
    assert both.client.send_datagram(memoryview(b"two"))
    assert [both.server.read_datagram() for _ in range(2)] == [b"one", b"two"]
    with pytest.raises(WantRead):
        both.server.read_datagram()
    with pytest.raises(UsageError, match="datagram of 1300 bytes"):
        both.client.send_datagram(bytes(1300))
    both.client.shutdown(rapid=True)
    for call in (both.server.read_datagram, lambda: both.client.send_datagram(b"x")):
        with pytest.raises(Exception, match="closed"):
            call()


# --- keys -----------------------------------------------------------------------------------------------------------


def test_key_update() -> None:
    both = connected()
    both.client.key_update()
    both.client.write(b"new keys")
    assert both.server.read() == b"new keys"
    both.tick()
    assert both.client.connection.key_updates == both.server.connection.key_updates == 1


# --- loss -----------------------------------------------------------------------------------------------------------


def test_many_datagrams_are_lost() -> None:
    listener, net, clock = listening(validate=False)
    net.carry = lambda number, datagram: [] if number * 7919 % 101 < 30 else [datagram]
    client = calling(net, clock)

    def go_on() -> None:
        while True:
            listener.handle_events()
            client.handle_events()
            if not any(end.arrived for end in net.ends.values()):
                break
        clock.now += min(each.get_event_timeout() or 0.001 for each in (listener, client))

    drive(clock, client.do_handshake, meanwhile=go_on)
    server = listener.accept_connection()
    assert server is not None
    data = bytes(range(256)) * 1000
    client.write(data)
    found = b""
    while len(found) < len(data):
        found += drive(clock, server.read, meanwhile=go_on)[0]
    assert found == data


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_network_does_to_datagrams_the_data_arrives(seed: int) -> None:
    """Nothing but what is waited for is raised, and handling events never fails."""
    chance = Random(seed)

    def carry(number: int, datagram: bytes) -> list[bytes]:
        kind = chance.randrange(12)
        if kind == 0:
            return []
        if kind == 1:
            return [datagram, datagram]
        spoilt = bytearray(datagram)
        if kind == 2:
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        elif kind == 3:
            del spoilt[chance.randrange(len(spoilt)) :]
        elif kind == 4:
            spoilt += chance.randbytes(50)
        return [bytes(spoilt), *([chance.randbytes(chance.randrange(1400))] if kind == 5 else [])]

    listener, net, clock = listening()
    net.carry = carry
    client = calling(net, clock)

    def go_on() -> None:
        for _ in range(4):
            assert o.SSL_handle_events(listener) == 1
            assert o.SSL_handle_events(client) == 1
        clock.now += min(each.get_event_timeout() or 0.001 for each in (listener, client))

    drive(clock, client.do_handshake, meanwhile=go_on)
    server = listener.accept_connection()
    assert isinstance(server, QUICSSL)
    server.set_incoming_stream_policy(IncomingStreamPolicy.ACCEPT)
    drive(clock, server.do_handshake, meanwhile=go_on)
    data = chance.randbytes(60_000)
    stream = client.new_stream()
    assert stream is not None
    stream.write(data, conclude=True)
    refused = client.new_stream()
    assert refused is not None
    refused.write(b"x")
    refused.reset(3)
    found: list[QUICStream] = []
    while len(found) < 2:
        go_on()
        found += filter(None, [server.accept_stream()])
    theirs = next(each for each in found if each.id == stream.id)
    got = b""
    while len(got) < len(data):
        got += drive(clock, theirs.read, meanwhile=go_on)[0]
    assert got == data
    client.shutdown(rapid=True)
    go_on()


# --- threads and jobs -----------------------------------------------------------------------------------------------


def test_the_job_of_another_thread_is_left_to_it() -> None:
    key = PausingKey()
    listener, net, clock = listening(validate=False, **pausing_server(key))
    client = calling(net, clock)
    with pytest.raises(WantRead):
        client.do_handshake()
    listener.handle_events()
    assert len(key.open) == 1
    with ThreadPoolExecutor(1) as pool:
        pool.submit(listener.handle_events).result(30)
        assert len(key.open) == 1
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    assert key.open == []


@pytest.mark.parametrize("accepted", [False, True])
def test_what_has_ended_in_another_turn_is_unwound_in_the_applications(accepted: bool) -> None:
    key = PausingKey()
    listener, net, clock = listening(validate=False, **pausing_server(key))
    client = calling(net, clock)
    with pytest.raises(WantRead):
        client.do_handshake()
    listener.handle_events()
    server = listener.accept_connection() if accepted else None
    client.shutdown(rapid=True)
    domain = listener.domain
    assert domain is not None
    for _ in range(40):  # the peer's end, and that of the draining period
        domain.tend()
        clock.now += 0.5
    assert key.unwound == 0
    assert listener.get_event_timeout() == 0.0
    listener.handle_events()
    assert key.unwound == 1
    assert listener.get_event_timeout() is None
    if server is not None:
        server.close()
        listener.handle_events()
        assert (len(key.cleaned), key.open) == (1, [])


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_what_is_paused_of_a_connection_that_nobody_accepts_is_given_back(how: str) -> None:
    """Its descriptors are closed when the listener has dropped it, not when the collector finds it."""
    key = PausingKey()
    listener, net, clock = listening(validate=False, **pausing_server(key))
    client = calling(net, clock)
    with pytest.raises(WantRead):
        client.do_handshake()
    listener.handle_events()
    assert len(key.open) == listener.accept_connection_queue_len == 1
    domain = listener.domain
    assert domain is not None
    (connection,) = domain.listener.connections  # type: ignore[union-attr]
    if how == "closed":
        listener.close()
    else:
        client.shutdown(rapid=True)
        listener.handle_events()
        assert listener.accept_connection_queue_len == 0
        assert not connection.terminated  # it still drains, for which it needs no descriptor
        listener.handle_events()
    assert key.unwound == 1
    assert (len(key.cleaned), key.open) == (1, [])
    assert connection.wait_context.closed


def test_a_callback_of_a_tick_may_call_other_objects_of_the_domain() -> None:
    listener, net, clock = listening(validate=False)
    seen: list[object] = []

    def select_identity(hello: object) -> None:
        seen.append(listener.accept_connection_queue_len)
        server = known.accept_stream() if known is not None else None
        seen.append(server)

    known: SSL | None = None
    first = calling(net, clock, 5000)
    drive(clock, first.do_handshake, meanwhile=listener.handle_events)
    known = listener.accept_connection()
    listener.domain.listener.context.select_identity = select_identity  # type: ignore[union-attr]
    second = calling(net, clock, 5001)
    drive(clock, second.do_handshake, meanwhile=listener.handle_events)
    assert seen == [0, None]


def test_forgotten_objects_are_freed() -> None:
    both = connected()
    stream = both.client.new_stream()
    assert isinstance(stream, QUICStream)
    stream.write(b"x")
    gone = [weakref.ref(each) for each in (both.client, both.client.connection, stream)]
    del both, stream
    gc.collect()
    assert [each() for each in gone] == [None] * 3


def test_an_object_of_the_method_for_the_listener() -> None:
    made = Listener(ssl_pair.server_context(method=Method.QUIC, alpn=["test"]))
    assert made.context.quic.retry
    assert not Listener(made.context, validate=False).context.quic.retry


def test_a_class_of_another_protocol_is_refused() -> None:
    class Own(QUICSSL):
        pass

    quic, tls = Context(Method.QUIC), Context()
    assert type(Own(quic)) is Own
    for kind, context in ((Own, tls), (RecordSSL, quic)):
        with pytest.raises(UsageError, match="what speaks"):
            kind(context)
