"""Contract F1 to F8, as far as TLS over a stream goes: SSL_handle_events(3) and SSL_get_event_timeout(3).

What a TLS connection has to do with time are the deadlines of its paused operations, which OpenSSL does not have.
"""

from __future__ import annotations

import socket

import pytest

from caesura import openssl as o
from caesura.bio import MemoryBIO, bio_pair
from caesura.engines import DelayEngine, Operation
from caesura.errors import OperationTimeout
from caesura.sslobject import SSL
from tests.support.ssl_pair import StoppedClock, client, client_context, connected, handshake, pair, server, wants

NEVER = (1, 1_000_000.0, 1)


def paused(deadline: float | None = 10.0) -> tuple[SSL, SSL, DelayEngine, StoppedClock]:
    """A client, and a server whose signature waits in an engine, with a clock that the test moves."""
    clock = StoppedClock()
    engine = DelayEngine(None, operations=[Operation.SIGN])
    one, two = pair(server_settings={"async_mode": True, "engine": engine, "deadline": deadline, "clock": clock})
    o.SSL_do_handshake(one)
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
    return one, two, engine, clock


def test_F1_handle_events_does_nothing_and_succeeds_in_every_state() -> None:
    ssl = o.SSL_new(client_context())
    assert o.SSL_handle_events(ssl) == 1  # no role, no BIO
    incoming, outgoing = MemoryBIO(), MemoryBIO()
    o.SSL_set1_host(ssl, "localhost")
    o.SSL_set_bio(ssl, incoming, outgoing)
    o.SSL_set_connect_state(ssl)
    assert o.SSL_handle_events(ssl) == 1
    assert outgoing.pending == 0
    o.SSL_do_handshake(ssl)
    written = outgoing.pending
    assert o.SSL_handle_events(ssl) == 1
    assert (outgoing.pending, o.SSL_want(ssl)) == (written, o.SSL_READING)
    incoming.write(b"not a record at all")
    assert wants(ssl, o.SSL_do_handshake(ssl)) == o.SSL_ERROR_SSL
    assert o.SSL_handle_events(ssl) == 1
    o.SSL_free(ssl)
    assert o.SSL_handle_events(ssl) == 1

    one, two = connected()
    o.SSL_write(two, b"unread")
    assert o.SSL_handle_events(one) == 1
    assert o.SSL_pending(one) == 0


def test_F2_without_anything_to_wait_for_the_timeout_is_infinite() -> None:
    ssl = o.SSL_new(client_context())
    assert o.SSL_get_event_timeout(ssl) == NEVER
    one, two = connected()
    assert o.SSL_get_event_timeout(one) == o.SSL_get_event_timeout(two) == NEVER


def test_F3_pending_is_the_time_left_and_expired_is_zero() -> None:
    one, two, engine, clock = paused(deadline=10.0)
    assert o.SSL_get_event_timeout(two) == (1, 10.0, 0)
    clock.now += 4
    assert o.SSL_get_event_timeout(two) == (1, 6.0, 0)
    clock.now += 6
    assert o.SSL_get_event_timeout(two) == (1, 0.0, 0)
    clock.now += 1
    assert o.SSL_get_event_timeout(two) == (1, 0.0, 0)
    engine.release()
    handshake(one, two)  # it was done after all when somebody looked
    assert o.SSL_get_event_timeout(two) == NEVER


def test_F3_an_operation_may_have_no_deadline() -> None:
    _, two, _, _ = paused(deadline=None)
    assert o.SSL_get_event_timeout(two) == NEVER


def test_F4_a_deadline_that_is_due_is_served() -> None:
    one, two, engine, clock = paused(deadline=10.0)
    clock.now += 9.5
    assert o.SSL_handle_events(two) == 1
    assert o.SSL_waiting_for_async(two) == 1
    clock.now += 0.5
    assert o.SSL_handle_events(two) == 1
    assert o.SSL_waiting_for_async(two) == 0
    assert engine.waiting == []
    assert o.SSL_get_event_timeout(two) == NEVER
    assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_SSL  # the alert went out
    assert "internal_error" in str(o.SSL_get_last_error(one))
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_SSL
    assert isinstance(o.SSL_get_last_error(two), OperationTimeout)
    assert "SIGN" in str(o.SSL_get_last_error(two))
    assert o.SSL_handle_events(two) == 1


def test_F4_any_other_call_serves_it_too() -> None:
    _, two, _, clock = paused(deadline=10.0)
    clock.now += 10
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_SSL
    assert isinstance(o.SSL_get_last_error(two), OperationTimeout)


@pytest.mark.parametrize("size", [10, 0])
def test_F6_desired_is_what_the_last_call_waits_for(size: int) -> None:
    half, _ = bio_pair(size)
    one = client(half)
    assert (o.SSL_net_read_desired(one), o.SSL_net_write_desired(one)) == (0, 0)
    code = wants(one, o.SSL_do_handshake(one))
    assert code == (o.SSL_ERROR_WANT_WRITE if size else o.SSL_ERROR_WANT_READ)
    assert o.SSL_net_read_desired(one) == o.SSL_want_read(one) == (not size)
    assert o.SSL_net_write_desired(one) == o.SSL_want_write(one) == bool(size)


def test_F6_a_pause_desires_neither() -> None:
    _, two, _, _ = paused()
    assert (o.SSL_net_read_desired(two), o.SSL_net_write_desired(two)) == (0, 0)


def test_F7_blocking_is_a_matter_of_the_bio() -> None:
    ssl = server()
    assert o.SSL_get_blocking_mode(ssl) == -1
    assert o.SSL_set_blocking_mode(ssl, 1) == 0


def test_F8_poll_descriptors_come_from_the_bio() -> None:
    ssl = server()
    assert o.SSL_get_rpoll_descriptor(ssl) == o.SSL_get_wpoll_descriptor(ssl) == (0, None)
    assert o.SSL_get_fd(ssl) == -1
    o.SSL_set_bio(ssl, MemoryBIO(), MemoryBIO())
    assert o.SSL_get_rpoll_descriptor(ssl) == (0, None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        o.SSL_set_fd(ssl, ours.fileno())
        assert o.SSL_get_rpoll_descriptor(ssl) == o.SSL_get_wpoll_descriptor(ssl) == (1, ours.fileno())
        assert o.SSL_get_fd(ssl) == ours.fileno()
