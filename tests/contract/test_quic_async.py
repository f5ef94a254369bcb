"""Contract C and D on QUIC, where OpenSSL has no asynchronous operations (F49, C14): ours pause there as everywhere.

While a handshake is paused packets are read, acknowledged and sent again, and the peer's end is seen.
"""

from __future__ import annotations

import select

import pytest

from caesura import openssl as o
from caesura.engines import DelayEngine, Operation
from caesura.errors import OperationTimeout, UsageError, WantAsync, WantRead
from caesura.jobs import AsyncStatus, JobState, pause_job, start_job
from caesura.sslobject import Want
from caesura.sslobject.domain import Waiter
from tests.support.quic_ssl import SERVER, Pair, calling, drive, listening, pair
from tests.support.ssl_pair import PausingKey, pausing_server, reason, small_pool, wants


def held(**settings: object) -> tuple[Pair, DelayEngine]:
    """A pair whose server's signature waits in an engine until the test lets it go."""
    engine = DelayEngine(None, operations=[Operation.SIGN])
    both = pair(server={"async_mode": True, "engine": engine, **settings})
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    return both, engine


def test_C1_C7_want_async() -> None:
    both, engine = held()
    assert o.SSL_waiting_for_async(both.server) == 1
    assert o.SSL_want_async(both.server) == 1
    assert both.server.want is Want.ASYNC_PAUSED
    for call in (lambda: o.SSL_do_handshake(both.server), lambda: o.SSL_read(both.server, 1)[0]):
        assert wants(both.server, call()) == o.SSL_ERROR_WANT_ASYNC
    engine.release()
    both.handshake()
    assert o.SSL_waiting_for_async(both.server) == 0


def test_C2_C4_descriptors() -> None:
    key = PausingKey(pauses=2)
    both = pair(server=pausing_server(key))
    assert o.SSL_get_all_async_fds(both.server) == (0, None)
    o.SSL_do_handshake(both.client)
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    assert o.SSL_get_all_async_fds(both.server) == (1, key.open)
    first = list(key.open)
    for _ in range(2):
        assert o.SSL_get_changed_async_fds(both.server) == (1, first, [])
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    second = list(key.open)
    assert o.SSL_get_changed_async_fds(both.server) == (1, second, first)
    both.handshake()
    assert o.SSL_get_all_async_fds(both.server) == (1, [])
    assert key.open == []


def test_C5_events_go_on_during_a_pause() -> None:
    both, engine = held()
    for _ in range(20):
        both.clock.now += both.client.get_event_timeout() or 0.0
        o.SSL_handle_events(both.client)  # the client probes
        assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
        o.SSL_handle_events(both.server)  # and is answered
        assert o.SSL_waiting_for_async(both.server) == 1
        if both.clock.now > 1003:
            break
    assert both.client.quic._loss.pto_count <= 1
    engine.release()
    both.handshake()


def test_a_callback_is_called_instead() -> None:
    both = pair(server={"async_mode": True, "engine": (engine := DelayEngine(None, operations=[Operation.SIGN]))})
    called: list[tuple[object, object]] = []
    o.SSL_set_async_callback(both.server, lambda ssl, arg: called.append((ssl, arg)))
    o.SSL_set_async_callback_arg(both.server, "argument")
    o.SSL_do_handshake(both.client)
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    assert o.SSL_get_async_status(both.server) == (1, AsyncStatus.OK)
    assert o.SSL_get_all_async_fds(both.server) == (1, [])
    engine.release()
    assert called == [(both.server, "argument")]
    both.handshake()


def test_C8_no_job_is_free() -> None:
    both = pair(server=pausing_server())
    o.SSL_do_handshake(both.client)
    with small_pool(1):
        blocker = start_job(pause_job)
        assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC_JOB
        blocker.resume()
        assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
        both.handshake()


def test_C15_closing_cancels() -> None:
    key = PausingKey()
    both = pair(server=pausing_server(key))
    o.SSL_do_handshake(both.client)
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    o.SSL_free(both.server)
    assert key.unwound == 1
    assert key.open == []
    assert len(key.cleaned) == 1


def test_a_deadline() -> None:
    both, engine = held(deadline=5.0)
    assert (both.server.get_event_timeout() or 9.0) <= 5.0
    both.clock.now += 5
    assert o.SSL_handle_events(both.server) == 1
    assert engine.waiting == []
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_SSL
    assert isinstance(o.SSL_get_last_error(both.server), OperationTimeout)
    for _ in range(3):
        o.SSL_do_handshake(both.client)
    assert "INTERNAL_ERROR" in reason(both.client)


def test_the_peers_end_is_seen_during_a_pause() -> None:
    both, engine = held()
    both.client.shutdown(rapid=True)
    o.SSL_handle_events(both.server)
    assert o.SSL_waiting_for_async(both.server) == 0
    assert engine.waiting == []
    assert o.SSL_do_handshake(both.server) == 0


def test_outside_asynchronous_mode_the_call_waits() -> None:
    both = pair(server={"engine": DelayEngine(0.01, operations=[Operation.SIGN])})
    both.handshake()
    assert both.server.handshake_complete


def test_within_a_job_the_call_pauses_that_job() -> None:
    key = PausingKey(pauses=3)
    both = pair(server={"identity": pausing_server(key)["identity"]})
    o.SSL_do_handshake(both.client)

    def attempt() -> int:
        try:
            both.server.do_handshake()
        except WantRead:
            return 2
        return 1

    job = start_job(attempt)
    seen = 0
    while job.state is JobState.PAUSED:
        assert job.wait_context is not None
        assert job.wait_context.get_all_fds()
        assert set(key.open) <= set(job.wait_context.get_all_fds())
        both.client.handle_events()
        with pytest.raises(UsageError, match="in use"):
            both.server.read()
        seen += 1
        job.resume()
    assert seen == 3
    assert job.result() == 2
    both.handshake()


def test_within_a_job_that_pauses_the_rest_of_the_domain_goes_on() -> None:
    listener, net, clock = listening(validate=False, identity=pausing_server(PausingKey(pauses=2))["identity"])
    known, one, two = (calling(net, clock, 5000 + number) for number in range(3))
    drive(clock, known.do_handshake, meanwhile=listener.handle_events)
    accepted = listener.accept_connection()
    assert accepted is not None
    with pytest.raises(WantRead):
        one.do_handshake()
    job = start_job(listener.handle_events)  # which waits for a signature
    assert job.state is JobState.PAUSED
    with pytest.raises(WantRead):
        two.do_handshake()
    assert net.end(SERVER).arrived
    accepted.handle_events()
    assert not net.end(SERVER).arrived
    while job.state is JobState.PAUSED:
        job.resume()
    drive(clock, one.do_handshake, two.do_handshake, meanwhile=listener.handle_events)


def test_a_listener_shows_the_work_of_connections_that_nobody_has_accepted() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    listener, net, clock = listening(validate=False, async_mode=True, engine=engine)
    client = calling(net, clock)
    with pytest.raises(WantRead):
        client.do_handshake()
    listener.handle_events()
    assert listener.waiting_for_async()
    assert len(listener.get_all_async_fds()) == 1
    server = listener.accept_connection()
    assert server is not None
    assert not listener.waiting_for_async()
    assert server.get_all_async_fds()
    with pytest.raises(WantAsync):
        server.do_handshake()
    engine.release()
    drive(clock, client.do_handshake, server.do_handshake)


def test_a_tick_takes_the_signal_back() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    listener, net, clock = listening(validate=False, async_mode=True, engine=engine)
    client = calling(net, clock)
    with pytest.raises(WantRead):
        client.do_handshake()
    listener.handle_events()
    (fd,) = listener.get_all_async_fds()
    engine.release()
    assert select.select([fd], [], [], 0)[0] == [fd]
    listener.handle_events()
    assert listener.get_all_async_fds() == []
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)


def test_one_paused_handshake_holds_up_no_other() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    listener, net, clock = listening(validate=False, async_mode=True, engine=engine)
    slow, quick = calling(net, clock, 5000), calling(net, clock, 5001)
    with pytest.raises(WantRead):
        slow.do_handshake()
    listener.handle_events()
    with pytest.raises(WantRead):
        quick.do_handshake()
    listener.handle_events()
    assert len(engine.waiting) == 2
    engine.release()  # the first one only
    drive(clock, slow.do_handshake, meanwhile=listener.handle_events)
    assert not quick.handshake_complete
    engine.release()
    drive(clock, quick.do_handshake, meanwhile=listener.handle_events)


def test_a_call_does_not_wait_for_handshakes_that_begin_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DelayEngine(0.001, operations=[Operation.SIGN])
    listener, net, clock = listening(validate=False, engine=engine)
    known = calling(net, clock, 5000)
    drive(clock, known.do_handshake, meanwhile=listener.handle_events)
    accepted = listener.accept_connection()
    assert accepted is not None
    clients: list[object] = []

    def begin() -> None:
        client = calling(net, clock, 5001 + len(clients))
        clients.append(client)
        assert len(clients) < 1000
        with pytest.raises(WantRead):
            client.do_handshake()

    def wait(waiter: Waiter) -> None:
        begin()
        once(waiter)

    once = Waiter.wait
    begin()
    monkeypatch.setattr(Waiter, "wait", wait)
    accepted.handle_events()
    monkeypatch.undo()
    assert accepted.get_event_timeout() == 0.0  # others have begun
    accepted.handle_events()
    assert engine.waiting == []
    assert accepted.get_event_timeout() != 0.0
