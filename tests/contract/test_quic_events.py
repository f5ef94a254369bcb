"""Contract F23 to F33: events, blocking, what a QUIC connection cannot do without, and its errors.

SSL_handle_events(3), SSL_get_event_timeout(3), SSL_set_blocking_mode(3), SSL_get_error(3), openssl-quic(7).
"""

from __future__ import annotations

from tests.support.quic_ssl import calling, connected, drive, listening, pair


def test_F23_handle_events_on_any_object_moves_the_whole_domain() -> None:
    listener, net, clock = listening()
    one, two = calling(net, clock, 5000), calling(net, clock, 5001)
    assert listener.accept_connection() is None
    drive(clock, one.do_handshake, two.do_handshake, meanwhile=listener.handle_events)
    first, second = listener.accept_connection(), listener.accept_connection()
    assert first is not None
    assert second is not None
    stream = one.new_stream()
    assert stream is not None
    stream.write(b"for the first")
    second.handle_events()  # by another connection
    theirs = first.accept_stream()
    assert theirs is not None
    assert theirs.read() == b"for the first"
    stream.write(b"by a stream")
    theirs.handle_events()
    assert theirs.pending() == 11


def test_F24_the_timeout() -> None:
    both = pair()
    assert both.client.get_event_timeout() is None
    both.client.handle_events()
    assert both.client.get_event_timeout() is None
    both.handshake().quiet()
    assert 0 < (both.client.get_event_timeout() or 0) <= 30


def test_F25_calls_handle_events_by_themselves() -> None:
    both = connected()
    assert both.client.write(b"hello") == 5
    assert both.server.read() == b"hello"
