"""Contract F23 to F33 and F47 to F49: events, blocking, what a QUIC connection cannot do without, and its errors.

SSL_handle_events(3), SSL_get_event_timeout(3), SSL_set_blocking_mode(3), SSL_get_error(3), openssl-quic(7). On virtual
time. F28 is in test_assist.py.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from typing import Any

import pytest

from caesura import SSL, Context, DatagramBIO, Method, datagram_pair
from caesura import openssl as o
from caesura.errors import ConfigError, IdleTimeout, UsageError, WantRead
from caesura.sslobject import Want
from tests.support import ssl_pair
from tests.support.quic_ssl import Pair, calling, connected, drive, listening, pair, settings
from tests.support.ssl_pair import StoppedClock, reason, wants

NEVER = (1, 1_000_000.0, 1)


# --- F23: a tick ----------------------------------------------------------------------------------------------------


def test_F23_handle_events_on_any_object_moves_the_whole_domain() -> None:
    listener, net, clock = listening()
    one, two = calling(net, clock, 5000), calling(net, clock, 5001)
    assert listener.accept_connection() is None
    drive(clock, one.do_handshake, two.do_handshake, meanwhile=listener.handle_events)
    first, second = listener.accept_connection(), listener.accept_connection()
    assert first is not None
    assert second is not None
    for each in (first, second):  # only what is told to moves anything
        o.SSL_set_event_handling_mode(each, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT)
    stream = one.new_stream()
    assert stream is not None
    stream.write(b"for the first")
    assert o.SSL_handle_events(second) == 1  # by another connection
    theirs = first.accept_stream()
    assert theirs is not None
    assert theirs.pending() == 13
    stream.write(b"by a stream")
    assert o.SSL_handle_events(theirs) == 1
    assert theirs.pending() == 24
    stream.write(b"by the listener")
    assert o.SSL_handle_events(listener) == 1
    assert theirs.read() == b"for the firstby a streamby the listener"


def test_F23_it_succeeds_whatever_the_state() -> None:
    both = pair()
    assert o.SSL_handle_events(both.client) == 1  # not begun
    both.handshake().quiet()
    assert o.SSL_handle_events(both.client) == 1  # nothing due
    both.client.shutdown(rapid=True)
    assert o.SSL_handle_events(both.client) == 1
    both.server.handle_events()
    assert o.SSL_handle_events(both.server) == 1  # closed by the peer
    both.clock.now += 1000
    assert o.SSL_handle_events(both.server) == o.SSL_handle_events(both.client) == 1
    o.SSL_free(both.client)
    assert o.SSL_handle_events(both.client) == 1


def test_F23_a_tick_reads_all_that_waits_up_to_a_bound() -> None:
    both = connected(limits=replace(Context(Method.QUIC).limits, datagrams_at_once=3))
    for _ in range(7):
        both.client.write(b"x" * 100)
        both.clock.now += 0.001
    bio: Any = both.server.rbio
    waiting = len(bio._in.datagrams)
    assert waiting >= 7
    both.server.handle_events()
    assert len(bio._in.datagrams) == waiting - 3
    drive(both.clock, lambda: both.server.read())
    both.tick()
    assert not bio._in.datagrams


# --- F24: the timeout -----------------------------------------------------------------------------------------------


def test_F24_infinite_before_the_start_and_finite_after() -> None:
    both = pair()
    assert o.SSL_get_event_timeout(both.client) == NEVER
    assert o.SSL_handle_events(both.client) == 1
    assert o.SSL_get_event_timeout(both.client) == NEVER
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
    ok, seconds, infinite = o.SSL_get_event_timeout(both.client)  # a probe, if nothing comes
    assert (ok, infinite) == (1, 0)
    assert 0 < seconds < 2
    both.handshake().quiet()
    ok, seconds, infinite = o.SSL_get_event_timeout(both.client)  # the idle timeout
    assert (ok, infinite) == (1, 0)
    assert 1 < seconds <= 30


def test_F24_what_is_lost_is_sent_again_when_the_timer_rings() -> None:
    both = connected()
    outgoing: Any = both.server.rbio
    both.client.write(b"lost")
    assert outgoing.read()
    both.clock.now += both.client.get_event_timeout() or 0.0
    assert both.client.get_event_timeout() == 0.0
    both.client.handle_events()
    drive(both.clock, lambda: both.server.read(), meanwhile=both.client.handle_events)


def test_F24_the_timeout_of_a_stream_or_a_listener_is_that_of_all() -> None:
    listener, net, clock = listening(begin=False)
    assert o.SSL_get_event_timeout(listener) == NEVER
    listener.listen()
    assert o.SSL_get_event_timeout(listener) == NEVER
    client = calling(net, clock)
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    server = listener.accept_connection()
    assert server is not None
    stream = client.new_stream()
    assert stream is not None
    for _ in range(5):
        client.handle_events()
        listener.handle_events()
        clock.now += 0.1
    assert listener.get_event_timeout() == server.get_event_timeout() is not None
    assert stream.get_event_timeout() == client.get_event_timeout() is not None


# --- F25, F26: implicit and explicit event handling -----------------------------------------------------------------


def test_F25_calls_handle_events_by_themselves() -> None:
    both = connected()
    assert o.SSL_write(both.client, b"hello") == 5
    assert o.SSL_read(both.server, 100) == (5, b"hello")  # it had no data, and looked
    stream = o.SSL_new_stream(both.client, 0)
    assert stream is not None
    assert o.SSL_write(stream, b"another") == 7
    o.SSL_set_incoming_stream_policy(both.server, o.SSL_INCOMING_STREAM_POLICY_ACCEPT, 0)
    theirs = o.SSL_accept_stream(both.server, 0)
    assert theirs is not None
    both.quiet()
    assert o.SSL_shutdown(both.client) == 0  # it is sent by that
    assert wants(both.server, o.SSL_read(both.server, 1)[0]) == o.SSL_ERROR_SSL
    assert "closed" in reason(both.server)


def test_F25_a_timer_is_served_by_any_call_that_looks() -> None:
    both = connected()
    bio: Any = both.server.rbio
    both.client.write(b"lost")
    assert bio.read()
    both.clock.now += both.client.get_event_timeout() or 0.0
    with pytest.raises(WantRead):
        both.client.read()
    assert both.server.read() == b"lost"


def explicit(both: Pair) -> Pair:
    for side in (both.client, both.server):
        assert o.SSL_set_event_handling_mode(side, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT) == 1
        assert o.SSL_get_event_handling_mode(side) == (1, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT)
    return both


def test_F26_in_explicit_mode_only_handle_events_moves_anything() -> None:
    both = explicit(connected())
    assert o.SSL_write(both.client, b"hello") == 5
    assert o.SSL_get_event_timeout(both.client) == (1, 0.0, 0)  # there is something to send
    assert wants(both.server, o.SSL_read(both.server, 10)[0]) == o.SSL_ERROR_WANT_READ
    o.SSL_handle_events(both.client)
    assert wants(both.server, o.SSL_read(both.server, 10)[0]) == o.SSL_ERROR_WANT_READ
    o.SSL_handle_events(both.server)
    assert o.SSL_read(both.server, 10) == (5, b"hello")


def test_F26_switching_modes_ticks_nothing() -> None:
    both = connected()
    bio: Any = both.server.rbio
    both.client.write(b"hello")
    waiting = bio.pending
    assert waiting
    assert o.SSL_set_event_handling_mode(both.server, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT) == 1
    assert o.SSL_set_event_handling_mode(both.server, o.SSL_VALUE_EVENT_HANDLING_MODE_IMPLICIT) == 1
    assert bio.pending == waiting
    assert o.SSL_set_event_handling_mode(both.server, 7) == 0


def test_F26_streams_inherit_the_mode_and_may_have_their_own() -> None:
    both = connected()
    stream = both.client.new_stream()
    assert stream is not None
    assert o.SSL_get_event_handling_mode(stream) == (1, o.SSL_VALUE_EVENT_HANDLING_MODE_INHERIT)
    bio: Any = both.server.rbio
    o.SSL_set_event_handling_mode(both.client, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT)
    stream.write(b"inherited")
    assert not bio.pending
    o.SSL_set_event_handling_mode(stream, o.SSL_VALUE_EVENT_HANDLING_MODE_IMPLICIT)
    stream.write(b", own")
    assert bio.pending


def test_F26_a_tick_through_another_object_moves_this_one() -> None:
    both = connected()
    o.SSL_set_incoming_stream_policy(both.server, o.SSL_INCOMING_STREAM_POLICY_ACCEPT, 0)
    one, two = both.client.new_stream(), both.client.new_stream()
    assert one is not None
    assert two is not None
    o.SSL_set_event_handling_mode(one, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT)
    one.write(b"waits")
    two.write(b"goes")
    theirs = both.server.accept_stream()
    assert theirs is not None
    assert theirs.read() == b"waits"


# --- F27: blocking --------------------------------------------------------------------------------------------------


def test_F27_a_datagram_pair_cannot_block() -> None:
    both = pair()
    assert o.SSL_get_blocking_mode(both.client) == 0
    assert o.SSL_set_blocking_mode(both.client, 1) == 0
    assert o.SSL_set_blocking_mode(both.client, 0) == 1
    listener, _, _ = listening()
    assert o.SSL_get_blocking_mode(listener) == 0
    assert o.SSL_set_blocking_mode(listener, 1) == 0


def test_F27_a_socket_blocks_unless_it_is_told_not_to() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        client = ssl_pair.client(DatagramBIO(sock), **settings(StoppedClock()))
        assert o.SSL_get_blocking_mode(client) == 1
        assert o.SSL_set_blocking_mode(client, 0) == 1
        assert o.SSL_get_blocking_mode(client) == 0
        assert o.SSL_set_blocking_mode(client, 1) == 1
        assert o.SSL_get_rpoll_descriptor(client) == o.SSL_get_wpoll_descriptor(client) == (1, sock.fileno())


def test_F8_a_pair_has_no_descriptor() -> None:
    both = pair()
    assert o.SSL_get_rpoll_descriptor(both.client) == o.SSL_get_wpoll_descriptor(both.client) == (0, None)


# --- F29: the handshake ---------------------------------------------------------------------------------------------


def test_F29_do_handshake() -> None:
    both = pair()
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
    both.handshake()
    assert o.SSL_do_handshake(both.client) == 1
    bio: Any = both.server.rbio
    both.tick()
    assert o.SSL_do_handshake(both.client) == 1
    assert bio.pending == 0  # no input, no output
    assert (o.SSL_get_version(both.client), o.SSL_version(both.client)) == ("QUICv1", 1)
    assert o.SSL_is_quic(both.client) == 1
    assert o.SSL_is_tls(both.client) == o.SSL_is_dtls(both.client) == 0


def test_F29_a_connection_that_died() -> None:
    both = pair(server={"alpn": ["other"]})
    for _ in range(10):
        ret = o.SSL_do_handshake(both.client)
        o.SSL_do_handshake(both.server)
    assert (ret, wants(both.client, ret)) == (0, o.SSL_ERROR_SSL)
    assert "no_application_protocol" in reason(both.client)
    both = connected()
    both.client.shutdown(rapid=True)
    assert (o.SSL_do_handshake(both.client), wants(both.client, 0)) == (0, o.SSL_ERROR_SSL)
    assert "protocol is shutdown" in reason(both.client)


# --- F30, F31: what it cannot do without ----------------------------------------------------------------------------


def test_F30_the_role_comes_from_the_method() -> None:
    client = o.SSL_new(o.SSL_CTX_new(o.OSSL_QUIC_client_method()))
    assert o.SSL_is_server(client) == 0
    o.SSL_set_accept_state(client)  # accepted silently
    assert o.SSL_is_server(client) == 0
    o.SSL_set_bio(client, *datagram_pair())
    assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_SSL
    assert "invalid argument" in reason(client)
    o.SSL_set_connect_state(client)
    ctx = o.SSL_CTX_new(o.OSSL_QUIC_server_method())
    assert o.SSL_new(ctx) is None
    assert "listener" in str(o.SSL_CTX_get_last_error(ctx))
    assert o.SSL_new_listener(ctx, 0) is not None
    assert o.SSL_new_listener(client.context, 0) is not None  # a copy: only the context itself knows its method
    calls_only = o.SSL_new_listener(o.SSL_CTX_new(o.OSSL_QUIC_client_method()), 0)
    assert o.SSL_accept_connection(calls_only, 0) is None
    assert "accepts nobody" in reason(calls_only)


def test_F31_what_is_missing_is_named() -> None:
    context = ssl_pair.client_context(method=Method.QUIC)
    client = SSL(context, server_hostname="localhost")
    with pytest.raises(UsageError, match="connection type not set"):
        client.do_handshake()
    client.set_connect_state()
    with pytest.raises(UsageError, match="no read BIO"):
        client.do_handshake()
    client.set_bio(datagram_pair()[0])
    with pytest.raises(ConfigError, match="alpn"):
        client.do_handshake()
    client.context.alpn = ["test"]
    with pytest.raises(WantRead):
        client.do_handshake()
    with pytest.raises(UsageError, match="has begun"):
        client.set_bio(datagram_pair()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        lost = ssl_pair.client(DatagramBIO(sock), **settings(StoppedClock()))
        with pytest.raises(UsageError, match="no peer address"):
            lost.do_handshake()
    listener, _, _ = listening()
    listener = type(listener)(listener.context)
    with pytest.raises(UsageError, match="no BIOs"):
        listener.listen()


# --- F32: errors ----------------------------------------------------------------------------------------------------


def test_F32_what_the_last_io_call_on_that_object_came_to() -> None:
    both = connected()
    stream = both.client.new_stream()
    assert stream is not None
    assert wants(stream, o.SSL_read(stream, 10)[0]) == o.SSL_ERROR_WANT_READ
    assert stream.want is Want.READING
    assert o.SSL_write(both.client, b"x") == -1  # no default stream: its own error
    assert wants(both.client, -1) == o.SSL_ERROR_SSL
    assert wants(stream, -1) == o.SSL_ERROR_WANT_READ
    for call in (o.SSL_handle_events, o.SSL_get_event_timeout, o.SSL_net_read_desired, o.SSL_get_stream_id):
        call(stream)
    o.SSL_set_blocking_mode(stream, 1)
    o.SSL_stream_reset(stream, 3)
    o.SSL_stream_conclude(stream, 0)
    assert wants(stream, -1) == o.SSL_ERROR_WANT_READ  # none of these is I/O
    assert wants(stream, o.SSL_write(stream, b"x")) == o.SSL_ERROR_SSL


def test_F32_want_write_is_a_full_send_buffer() -> None:
    both = connected(client={"quic": {"stream_write_buffer": 1000}}, server={"quic": {"initial_max_data": 5000}})
    assert o.SSL_write(both.client, bytes(5000)) == 5000
    assert o.SSL_write(both.client, bytes(1500)) == 1500  # the window is full, and now the buffer
    assert o.SSL_get_stream_write_buf_used(both.client) == (1, 1500)
    assert o.SSL_get_stream_write_buf_avail(both.client) == (1, 0)
    assert wants(both.client, o.SSL_write(both.client, b"more")) == o.SSL_ERROR_WANT_WRITE
    assert both.client.want is Want.WRITING
    assert both.client.net_write_desired is False  # it is the peer that has to take it, not the network
    assert len(both.server.read()) == 5000
    both.tick()
    assert o.SSL_write(both.client, b"more") == 4
    assert o.SSL_get_stream_write_buf_size(both.client) == (1, 1000)


def test_F32_a_network_that_failed_for_good() -> None:
    listener, net, clock = listening()
    client = calling(net, clock)
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    bio: Any = client.wbio
    stream = client.new_stream()
    assert stream is not None
    bio.error = OSError(errno.EMSGSIZE, "too long")
    stream.write(b"lost")  # a datagram is lost, and no more
    bio.error = OSError(errno.EBADF, "the socket is closed")
    with pytest.raises(OSError, match="the socket is closed"):
        drive(clock, lambda: stream.read())
    assert o.SSL_get_error(stream, o.SSL_read(stream, 1)[0]) == o.SSL_ERROR_SYSCALL
    assert client.net_read_desired is False


def test_F32_a_network_that_takes_nothing_any_more() -> None:
    listener, net, clock = listening()
    client = calling(net, clock)
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    stream = client.new_stream()
    assert stream is not None
    bio: Any = client.wbio
    bio.write_error = OSError(errno.EMSGSIZE, "too long")
    assert stream.write(b"one that is lost") == 16
    assert wants(stream, o.SSL_read(stream, 1)[0]) == o.SSL_ERROR_WANT_READ
    assert client.net_read_desired
    bio.write_error = OSError(errno.EBADF, "the socket is closed")
    assert stream.write(b"taken by the stream") == 19
    assert not client.net_read_desired
    assert wants(stream, -1) == wants(client, -1) == o.SSL_ERROR_SYSCALL  # whatever the last call has come to
    assert o.SSL_get_error(stream, o.SSL_read(stream, 1)[0]) == o.SSL_ERROR_SYSCALL


def test_F32_a_pair_that_ends() -> None:
    both = connected()
    bio: Any = both.server.wbio
    bio.write_eof()
    assert wants(both.client, o.SSL_read(both.client, 1)[0]) == o.SSL_ERROR_SYSCALL


# --- F33: what to wait for ------------------------------------------------------------------------------------------


def test_F33_reading_is_desired_while_alive_and_writing_when_stuck() -> None:
    listener, net, clock = listening(begin=False)
    assert (o.SSL_net_read_desired(listener), o.SSL_net_write_desired(listener)) == (0, 0)
    o.SSL_listen(listener)
    assert (o.SSL_net_read_desired(listener), o.SSL_net_write_desired(listener)) == (1, 0)
    client = calling(net, clock)
    assert o.SSL_net_read_desired(client) == 0
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    stream = client.new_stream()
    assert stream is not None
    assert (o.SSL_net_read_desired(stream), o.SSL_net_write_desired(stream)) == (1, 0)
    bio: Any = client.wbio
    bio.full = True
    assert stream.write(b"hello") == 5
    assert (o.SSL_net_read_desired(client), o.SSL_net_write_desired(client)) == (1, 1)
    before = len(net.sent)
    o.SSL_handle_events(client)
    assert len(net.sent) == before
    for _ in range(3):  # nobody is called again and again for what cannot be sent
        clock.now += 1
        o.SSL_handle_events(client)
        assert o.SSL_get_event_timeout(client)[1] > 0
    bio.full = False
    o.SSL_handle_events(client)
    assert len(net.sent) > before
    assert o.SSL_net_write_desired(client) == 0
    client.shutdown(rapid=True)
    clock.now += 10
    client.handle_events()
    assert o.SSL_net_read_desired(client) == 0


# --- F47 to F49 -----------------------------------------------------------------------------------------------------


def test_F47_the_idle_timeout_is_the_smaller_and_silent() -> None:
    both = pair()
    assert o.SSL_set_feature_request_uint(both.client, o.SSL_VALUE_QUIC_IDLE_TIMEOUT, 20_000) == 1
    assert o.SSL_get_feature_request_uint(both.client, o.SSL_VALUE_QUIC_IDLE_TIMEOUT) == (1, 20_000)
    assert o.SSL_get_feature_negotiated_uint(both.client, o.SSL_VALUE_QUIC_IDLE_TIMEOUT) == (0, None)
    both.handshake().quiet()
    assert o.SSL_set_feature_request_uint(both.client, o.SSL_VALUE_QUIC_IDLE_TIMEOUT, 1) == 0
    assert o.SSL_get_feature_negotiated_uint(both.server, o.SSL_VALUE_QUIC_IDLE_TIMEOUT) == (1, 20_000)
    assert o.SSL_get_feature_peer_request_uint(both.client, o.SSL_VALUE_QUIC_IDLE_TIMEOUT) == (1, 30_000)
    both.clock.now += 20
    bio: Any = both.server.rbio
    o.SSL_handle_events(both.client)
    assert not bio.pending  # nothing is sent
    assert wants(both.client, o.SSL_read(both.client, 1)[0]) == o.SSL_ERROR_SSL
    assert isinstance(o.SSL_get_last_error(both.client), IdleTimeout)
    found, code, frame_type, _, flags = o.SSL_get_conn_close_info(both.client)
    assert (found, code, frame_type) == (1, o.OSSL_QUIC_LOCAL_ERR_IDLE_TIMEOUT, 0)
    assert flags == o.SSL_CONN_CLOSE_FLAG_LOCAL | o.SSL_CONN_CLOSE_FLAG_TRANSPORT


@pytest.mark.parametrize(("setting", "alive"), [(None, True), (True, True), (False, False)])
def test_F47_something_is_sent_half_way_to_the_idle_timeout(setting: bool | None, alive: bool) -> None:
    both = connected(quic={"keep_alive": setting, "max_idle_timeout": 200.0})
    for _ in range(100):
        waits = [each.get_event_timeout() for each in (both.client, both.server)]
        if None in waits:
            break
        both.clock.now += min(seconds for seconds in waits if seconds is not None)
        both.tick(2)
    assert both.clock.now > 1200
    assert (both.client.close_info is None) is alive


def test_F47_after_25_seconds_at_the_latest() -> None:
    both = connected(quic={"max_idle_timeout": 200.0})
    assert 20 < (both.client.get_event_timeout() or 0.0) <= 25


def test_F48_defaults() -> None:
    both = connected()
    assert o.SSL_get_quic_stream_bidi_local_avail(both.client) == (1, 100)
    assert o.SSL_get_quic_stream_uni_local_avail(both.client) == (1, 100)
    assert o.SSL_get_quic_stream_bidi_remote_avail(both.client) == (1, 100)
    assert o.SSL_get_quic_stream_uni_remote_avail(both.client) == (1, 100)
    assert o.SSL_get_stream_write_buf_size(both.client) == (0, None)  # there is no stream
    stream = both.client.new_stream()
    assert stream is not None
    assert o.SSL_get_stream_write_buf_size(stream) == (1, 524_288)
    assert o.SSL_get_quic_stream_bidi_local_avail(both.client) == (1, 99)
    assert both.client.context.quic.max_idle_timeout == 30
    assert both.client.context.quic.max_ack_delay == 0.025


def test_F49_what_a_quic_connection_has_not() -> None:
    both = connected()
    for call in (both.client.clear, both.client.listen, both.client.verify_client_post_handshake):
        with pytest.raises(UsageError, match="has no such thing"):
            call()
    assert o.SSL_clear(both.client) == 0
    tls = ssl_pair.server()
    for verb in (tls.new_stream, tls.accept_stream, tls.conclude):
        with pytest.raises(UsageError, match="RecordSSL"):
            verb()
    for function in (o.SSL_new_stream, o.SSL_accept_stream):
        assert function(tls, 0) is None
    assert o.SSL_stream_conclude(tls, 0) == o.SSL_shutdown_ex(tls, 0) + 1 == 0
