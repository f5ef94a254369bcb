"""Contract F46: closing a QUIC connection, its phases and flags (SSL_shutdown_ex(3)), on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from caesura import openssl as o
from caesura.errors import PeerClose, UnexpectedEOF, UsageError, WantRead, ZeroReturn
from tests.support.quic_ssl import Pair, connected, drive, pair
from tests.support.ssl_pair import wants


def finish(both: Pair, *, flags: int = 0) -> float:
    """Go on with the client's shutdown until it is done; how long that took."""
    began = both.clock.now
    for _ in range(100):
        if o.SSL_shutdown_ex(both.client, flags) == 1:
            return both.clock.now - began
        both.server.handle_events()
        seconds = both.client.get_event_timeout()
        assert seconds is not None
        both.clock.now += max(seconds, 0.001)
    raise AssertionError("it does not end")


def test_F46_the_phases() -> None:
    both = connected()
    both.client.write(b"to be read")
    bio: Any = both.client.rbio
    assert o.SSL_shutdown_ex(both.client, 0, (7, "done")) == 0  # waits for the acknowledgement
    assert o.SSL_get_conn_close_info(both.client)[0] == 0
    assert both.server.read() == b"to be read"
    both.clock.now += 0.025
    both.server.handle_events()
    assert bio.pending
    assert o.SSL_shutdown_ex(both.client, 0, (7, "done")) == 0  # now the peer is told
    assert o.SSL_get_conn_close_info(both.client) == (1, 7, 0, "done", o.SSL_CONN_CLOSE_FLAG_LOCAL)
    assert 0 < finish(both) < 1  # about three probe timeouts
    assert o.SSL_shutdown(both.client) == 1
    assert o.SSL_get_conn_close_info(both.server) == (1, 7, 0, "done", 0)
    with pytest.raises(PeerClose, match="done"):
        both.server.read()


def test_F46_lost_data_is_sent_again_before_the_close() -> None:
    both = connected()
    bio: Any = both.server.rbio
    both.client.write(b"lost once")
    assert bio.read()
    finish(both)
    assert both.server.read() == b"lost once"
    with pytest.raises(UnexpectedEOF):
        both.server.read()


def test_F46_the_end_of_a_stream_is_waited_for_too() -> None:
    both = connected()
    both.client.write(b"x")
    assert both.server.read() == b"x"
    both.quiet()
    bio: Any = both.server.rbio
    both.client.conclude()
    assert bio.read()
    assert o.SSL_shutdown_ex(both.client, 0) == 0
    assert o.SSL_get_conn_close_info(both.client)[0] == 0
    finish(both)
    with pytest.raises(ZeroReturn):
        both.server.read()


@pytest.mark.parametrize("flags", [o.SSL_SHUTDOWN_FLAG_NO_STREAM_FLUSH, o.SSL_SHUTDOWN_FLAG_RAPID])
def test_F46_the_flush_can_be_skipped(flags: int) -> None:
    both = connected(server={"quic": {"initial_max_data": 10}})
    both.client.write(b"more than the peer takes")
    assert o.SSL_shutdown_ex(both.client, 0) == 0
    assert o.SSL_get_conn_close_info(both.client)[0] == 0
    rapid = flags == o.SSL_SHUTDOWN_FLAG_RAPID
    assert o.SSL_shutdown_ex(both.client, flags) == rapid
    assert o.SSL_get_conn_close_info(both.client)[0] == 1


def test_F46_rapid_is_one_packet_and_no_waiting() -> None:
    both = connected()
    bio: Any = both.server.rbio
    assert o.SSL_shutdown_ex(both.client, o.SSL_SHUTDOWN_FLAG_RAPID, (3, "")) == 1
    assert len(bio._in.datagrams) == 1
    assert o.SSL_shutdown_ex(both.client, o.SSL_SHUTDOWN_FLAG_RAPID) == 1
    assert len(bio._in.datagrams) == 1
    both.server.handle_events()
    assert o.SSL_get_conn_close_info(both.server) == (1, 3, 0, "", 0)


def test_F46_waiting_for_the_peer() -> None:
    both = connected()
    flags = o.SSL_SHUTDOWN_FLAG_WAIT_PEER
    assert o.SSL_shutdown_ex(both.client, flags) == 0
    assert o.SSL_get_conn_close_info(both.client)[0] == 0
    assert o.SSL_write(both.client, b"still open") == 10
    assert both.server.read() == b"still open"
    both.server.shutdown(code=9, reason="enough", rapid=True)
    finish(both, flags=flags)
    assert o.SSL_get_conn_close_info(both.client) == (1, 9, 0, "enough", 0)


def test_F46_not_on_a_stream() -> None:
    both = connected()
    stream = both.client.new_stream()
    assert stream is not None
    assert o.SSL_shutdown_ex(stream, 0) == -1
    assert o.SSL_get_conn_close_info(stream)[0] == 0
    both.client.shutdown(rapid=True)
    assert o.SSL_get_conn_close_info(stream)[0] == 1


def test_F46_a_failure_has_its_info_too() -> None:
    both = pair(server={"alpn": ["other"]})
    for _ in range(10):
        for side in (both.client, both.server):
            o.SSL_do_handshake(side)
    found, code, frame_type, _, flags = o.SSL_get_conn_close_info(both.server)
    assert (found, code, frame_type) == (1, 0x100 + 120, 6)
    assert flags == o.SSL_CONN_CLOSE_FLAG_LOCAL | o.SSL_CONN_CLOSE_FLAG_TRANSPORT
    assert o.SSL_get_conn_close_info(both.client)[1:3] == (0x100 + 120, 6)
    assert o.SSL_get_conn_close_info(both.client)[4] == o.SSL_CONN_CLOSE_FLAG_TRANSPORT


def test_F46_before_the_handshake_is_done() -> None:
    both = pair()
    with pytest.raises(UsageError, match="connection type"):
        type(both.client)(both.client.context).do_handshake()
    with pytest.raises(WantRead):
        both.client.do_handshake()
    assert both.client.shutdown(rapid=True)
    assert wants(both.client, o.SSL_read(both.client, 1)[0]) == o.SSL_ERROR_SSL
    for _ in range(3):
        o.SSL_do_handshake(both.server)
    assert o.SSL_get_conn_close_info(both.server)[0] == 1


def test_F46_late_packets_are_answered_while_it_closes() -> None:
    both = connected()
    bio: Any = both.server.rbio
    assert o.SSL_shutdown(both.client) == 0
    lost = bio.read()
    assert lost
    with pytest.raises(WantRead):
        both.server.read()
    both.server.write(b"are you there?")
    assert o.SSL_shutdown(both.client) == 0
    with pytest.raises(Exception, match="closed"):
        drive(both.clock, lambda: both.server.read())


def test_close_sends_nothing() -> None:
    both = connected()
    bio: Any = both.server.rbio
    both.client.close()
    both.client.close()
    assert not bio.pending
    assert both.client.get_event_timeout() is None
    assert not both.client.net_read_desired
    with pytest.raises(UsageError, match="closed"):
        both.client.read()
