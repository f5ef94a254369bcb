"""QUIC: streams, listeners, closing, and what an object may be set to (openssl-quic(7) and the pages it names).

A call here that is no I/O leaves alone what SSL_get_error says.
"""
# ruff: noqa: ARG001 - C's arguments, also where Python does not need them

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from caesura.context import Context
from caesura.errors import UsageError
from caesura.openssl.calls import Object
from caesura.openssl.calls import call as _call
from caesura.openssl.calls import done as _done
from caesura.openssl.calls import quietly as _quietly
from caesura.openssl.constants import (
    SSL_ACCEPT_CONNECTION_NO_BLOCK,
    SSL_ACCEPT_STREAM_BIDI,
    SSL_ACCEPT_STREAM_NO_BLOCK,
    SSL_ACCEPT_STREAM_UNI,
    SSL_CONN_CLOSE_FLAG_LOCAL,
    SSL_CONN_CLOSE_FLAG_TRANSPORT,
    SSL_LISTENER_FLAG_NO_ACCEPT,
    SSL_LISTENER_FLAG_NO_VALIDATE,
    SSL_SHUTDOWN_FLAG_NO_BLOCK,
    SSL_SHUTDOWN_FLAG_NO_STREAM_FLUSH,
    SSL_SHUTDOWN_FLAG_RAPID,
    SSL_SHUTDOWN_FLAG_WAIT_PEER,
    SSL_STREAM_FLAG_ADVANCE,
    SSL_STREAM_FLAG_NO_BLOCK,
    SSL_STREAM_FLAG_UNI,
    SSL_STREAM_STATE_NONE,
    SSL_STREAM_TYPE_BIDI,
    SSL_STREAM_TYPE_NONE,
    SSL_STREAM_TYPE_READ,
    SSL_STREAM_TYPE_WRITE,
    SSL_VALUE_CLASS_FEATURE_NEGOTIATED,
    SSL_VALUE_CLASS_FEATURE_PEER_REQUEST,
    SSL_VALUE_CLASS_FEATURE_REQUEST,
    SSL_VALUE_CLASS_GENERIC,
    SSL_VALUE_EVENT_HANDLING_MODE,
    SSL_VALUE_QUIC_IDLE_TIMEOUT,
    SSL_VALUE_QUIC_STREAM_BIDI_LOCAL_AVAIL,
    SSL_VALUE_QUIC_STREAM_BIDI_REMOTE_AVAIL,
    SSL_VALUE_QUIC_STREAM_UNI_LOCAL_AVAIL,
    SSL_VALUE_QUIC_STREAM_UNI_REMOTE_AVAIL,
    SSL_VALUE_STREAM_WRITE_BUF_AVAIL,
    SSL_VALUE_STREAM_WRITE_BUF_SIZE,
    SSL_VALUE_STREAM_WRITE_BUF_USED,
)
from caesura.openssl.quic_methods import QUICMethod
from caesura.openssl.quic_methods import quic_method as _quic_method
from caesura.sslobject import SSL
from caesura.sslobject.quic import QUICSSL, DefaultStreamMode, IncomingStreamPolicy
from caesura.sslobject.quic_listener import Listener
from caesura.sslobject.quic_object import EventHandling
from caesura.sslobject.quic_stream import QUICStream, StreamState

_T = TypeVar("_T")

_NONE: Final = 2**64 - 1  # an id that is none

# --- which object is which ------------------------------------------------------------------------------------------


def SSL_is_connection(s: Object) -> int:
    """1 for a connection: neither a stream nor a listener. SSL_is_connection(3)."""
    return int(isinstance(s, SSL))


def SSL_is_listener(s: Object) -> int:
    """1 for a listener. SSL_is_listener(3)."""
    return int(isinstance(s, Listener))


def SSL_get0_connection(s: Object) -> SSL | None:
    """The connection of a stream, a connection itself, None for a listener. SSL_get0_connection(3)."""
    if isinstance(s, QUICStream):
        return s.connection
    return s if isinstance(s, SSL) else None


def SSL_get0_listener(s: Object) -> Listener | None:
    """The listener that a connection, or a stream of one, comes from; a listener itself. SSL_get0_listener(3)."""
    if isinstance(s, Listener):
        return s
    connection = SSL_get0_connection(s)
    return connection.listener if isinstance(connection, QUICSSL) else None


def _connection(s: Object) -> QUICSSL | None:
    return s if isinstance(s, QUICSSL) else None


def _stream(s: Object) -> QUICStream | None:
    """A stream itself, or the default stream of a connection."""
    if isinstance(s, QUICStream):
        return s
    return s.default_stream if isinstance(s, QUICSSL) else None


# --- streams --------------------------------------------------------------------------------------------------------


def SSL_new_stream(s: Object, flags: int) -> QUICStream | None:
    """A new stream; None when there may be no more now. SSL_new_stream(3)."""

    def make() -> QUICStream | None:
        connection = _connection(s)
        if connection is None:
            raise UsageError("SSL_new_stream: on a QUIC connection")
        found = connection.new_stream(
            bool(flags & SSL_STREAM_FLAG_UNI),
            bool(flags & SSL_STREAM_FLAG_ADVANCE),
            bool(flags & SSL_STREAM_FLAG_NO_BLOCK),
        )
        if found is None:
            raise UsageError("stream count limited: the peer permits no more now")
        return found

    return _call(s, make, None)


def SSL_accept_stream(s: Object, flags: int) -> QUICStream | None:
    """The next stream that the peer has opened; None when there is none. SSL_accept_stream(3)."""

    def accept() -> QUICStream | None:
        connection = _connection(s)
        if connection is None:
            raise UsageError("SSL_accept_stream: on a QUIC connection")
        kinds = flags & (SSL_ACCEPT_STREAM_UNI | SSL_ACCEPT_STREAM_BIDI)
        one = kinds in (SSL_ACCEPT_STREAM_UNI, SSL_ACCEPT_STREAM_BIDI)
        return connection.accept_stream(
            bool(flags & SSL_ACCEPT_STREAM_NO_BLOCK), unidirectional=kinds == SSL_ACCEPT_STREAM_UNI if one else None
        )

    return _call(s, accept, None)


def SSL_get_accept_stream_queue_len(s: Object) -> int:
    """Streams that wait to be accepted. SSL_get_accept_stream_queue_len(3)."""
    connection = _connection(s)
    return 0 if connection is None else connection.accept_stream_queue_len


def SSL_stream_conclude(s: Object, flags: int) -> int:
    """Write nothing more; 1 also the second time. SSL_stream_conclude(3)."""
    stream = _stream(s)
    return 0 if stream is None else _quietly(stream.conclude)


def SSL_stream_reset(s: Object, args: int | None) -> int:
    """Give up sending, with this code (C's quic_error_code), 0 for None. SSL_stream_reset(3)."""
    stream = _stream(s)
    return 0 if stream is None else _quietly(lambda: stream.reset(args or 0))


def SSL_get_stream_id(s: Object) -> int:
    """The stream's id; 2**64 - 1 where there is no stream. SSL_get_stream_id(3)."""
    stream = _stream(s)
    return _NONE if stream is None else stream.id


def SSL_get_stream_type(s: Object) -> int:
    """Which of its halves a stream has. SSL_get_stream_type(3)."""
    stream = _stream(s)
    if stream is None:
        return SSL_STREAM_TYPE_NONE if isinstance(s, QUICSSL) else SSL_STREAM_TYPE_BIDI
    if not stream.unidirectional:
        return SSL_STREAM_TYPE_BIDI
    return SSL_STREAM_TYPE_WRITE if stream.local else SSL_STREAM_TYPE_READ


def SSL_is_stream_local(s: Object) -> int:
    """1 if this side has opened the stream, 0 if the peer has, -1 where there is none. SSL_is_stream_local(3)."""
    stream = _stream(s)
    return -1 if stream is None else int(stream.local)


def SSL_get_stream_read_state(s: Object) -> int:
    """What has become of the half that is read. SSL_get_stream_read_state(3)."""
    stream = _stream(s)
    return SSL_STREAM_STATE_NONE if stream is None else int(stream.read_state)


def SSL_get_stream_write_state(s: Object) -> int:
    """What has become of the half that is written to. SSL_get_stream_write_state(3)."""
    stream = _stream(s)
    return SSL_STREAM_STATE_NONE if stream is None else int(stream.write_state)


def _code(state: StreamState, code: int | None) -> tuple[int, int | None]:
    if code is not None:
        return 1, code
    return (0 if state is StreamState.FINISHED else -1), None


def SSL_get_stream_read_error_code(s: Object) -> tuple[int, int | None]:
    """(1, with what the half was given up); 0 if it has ended well, else -1. SSL_get_stream_read_error_code(3)."""
    stream = _stream(s)
    return (-1, None) if stream is None else _code(stream.read_state, stream.read_code)


def SSL_get_stream_write_error_code(s: Object) -> tuple[int, int | None]:
    """(1, with what the half was given up); 0 if it has ended well, else -1. SSL_get_stream_write_error_code(3)."""
    stream = _stream(s)
    return (-1, None) if stream is None else _code(stream.write_state, stream.write_code)


def SSL_set_default_stream_mode(s: Object, mode: int) -> int:
    """Which stream SSL_read and SSL_write on the connection are for. SSL_set_default_stream_mode(3)."""

    def change(connection: QUICSSL) -> None:
        connection.default_stream_mode = DefaultStreamMode(mode)

    return _on_connection(s, change)


def SSL_set_incoming_stream_policy(s: Object, policy: int, app_error_code: int) -> int:
    """What becomes of streams that the peer opens. SSL_set_incoming_stream_policy(3)."""

    def change(connection: QUICSSL) -> None:
        connection.set_incoming_stream_policy(IncomingStreamPolicy(policy), app_error_code)

    return _on_connection(s, change)


def _on_connection(s: Object, function: Callable[[QUICSSL], None]) -> int:
    connection = _connection(s)
    if connection is None:
        return 0
    try:
        return _quietly(lambda: function(connection))
    except ValueError:  # a number that stands for nothing
        return 0


# --- before and after -----------------------------------------------------------------------------------------------


def SSL_set1_initial_peer_addr(s: Object, peer_addr: Any) -> int:
    """Where the server is, in the form `recvfrom` gives. SSL_set1_initial_peer_addr(3)."""

    def change(connection: QUICSSL) -> None:
        connection.initial_peer_address = peer_addr

    return _on_connection(s, change)


def SSL_shutdown_ex(s: Object, flags: int, args: tuple[int, str] | None = None) -> int:
    """1 when the connection is closed, 0 while it is being closed, -1 on failure. SSL_shutdown_ex(3).

    `args`: the application's code and reason (C's quic_error_code and quic_reason).
    """
    connection = _connection(s)
    if connection is None:
        return -1
    code, reason = args or (0, "")
    return _call(
        s,
        lambda: int(
            connection.shutdown(
                code=code,
                reason=reason,
                rapid=bool(flags & SSL_SHUTDOWN_FLAG_RAPID),
                no_stream_flush=bool(flags & SSL_SHUTDOWN_FLAG_NO_STREAM_FLUSH),
                wait_peer=bool(flags & SSL_SHUTDOWN_FLAG_WAIT_PEER),
                no_block=bool(flags & SSL_SHUTDOWN_FLAG_NO_BLOCK),
            )
        ),
        -1,
    )


def SSL_get_conn_close_info(s: Object) -> tuple[int, int | None, int | None, str | None, int | None]:
    """(1, error code, frame type, reason, flags) of a closed connection, else 0. SSL_get_conn_close_info(3)."""
    connection = SSL_get0_connection(s)
    info = connection.close_info if isinstance(connection, QUICSSL) else None
    if info is None:
        return 0, None, None, None, None
    flags = SSL_CONN_CLOSE_FLAG_LOCAL * info.local | SSL_CONN_CLOSE_FLAG_TRANSPORT * info.transport
    return 1, info.error_code, info.frame_type, info.reason, flags


# --- listeners ------------------------------------------------------------------------------------------------------


def SSL_new_listener(ctx: Context, flags: int) -> Listener | None:
    """A listener; clients prove their address unless SSL_LISTENER_FLAG_NO_VALIDATE. SSL_new_listener(3).

    With a client's method, or SSL_LISTENER_FLAG_NO_ACCEPT, it accepts nobody, and is for SSL_new_from_listener alone.
    """

    def make() -> Listener:
        accept = _quic_method(ctx) in (None, QUICMethod.SERVER) and not flags & SSL_LISTENER_FLAG_NO_ACCEPT
        return Listener(ctx, validate=not flags & SSL_LISTENER_FLAG_NO_VALIDATE, accept=accept)

    return _call(ctx, make, None)


def SSL_listen(s: Object) -> int:
    """Begin to listen; 1 also the second time. SSL_listen(3)."""
    return _done(s, s.listen) if isinstance(s, Listener) else 0


def SSL_accept_connection(s: Object, flags: int) -> SSL | None:
    """The next connection; None when there is none. SSL_accept_connection(3)."""
    if not isinstance(s, Listener):
        return None
    return _call(s, lambda: s.accept_connection(bool(flags & SSL_ACCEPT_CONNECTION_NO_BLOCK)), None)


def SSL_new_from_listener(s: Object, flags: int) -> SSL | None:
    """A client's connection over the listener's BIOs. SSL_new_from_listener(3)."""
    return _call(s, s.new_connection, None) if isinstance(s, Listener) and not flags else None


def SSL_get_accept_connection_queue_len(s: Object) -> int:
    """Connections that wait to be accepted. SSL_get_accept_connection_queue_len(3)."""
    return s.accept_connection_queue_len if isinstance(s, Listener) else 0


# --- values ---------------------------------------------------------------------------------------------------------

_AVAILABLE: Final = {
    SSL_VALUE_QUIC_STREAM_BIDI_LOCAL_AVAIL: (False, True),
    SSL_VALUE_QUIC_STREAM_BIDI_REMOTE_AVAIL: (False, False),
    SSL_VALUE_QUIC_STREAM_UNI_LOCAL_AVAIL: (True, True),
    SSL_VALUE_QUIC_STREAM_UNI_REMOTE_AVAIL: (True, False),
}


def SSL_get_value_uint(s: Object, class_: int, id: int) -> tuple[int, int | None]:  # noqa: A002 - C's name
    """(1, a value of an object), 0 if it has none such. SSL_get_value_uint(3)."""
    found = _idle_timeout(s, class_) if id == SSL_VALUE_QUIC_IDLE_TIMEOUT else None
    if class_ == SSL_VALUE_CLASS_GENERIC:
        found = _generic_value(s, id)
    return (0, None) if found is None else (1, found)


def _generic_value(s: Object, value_id: int) -> int | None:
    if value_id == SSL_VALUE_EVENT_HANDLING_MODE:
        return int(s.event_handling) if isinstance(s, QUICSSL | QUICStream | Listener) else None
    connection = _connection(s)
    if value_id in _AVAILABLE:
        unidirectional, local = _AVAILABLE[value_id]
        if connection is None or connection.domain is None:
            return None
        return connection.quic.streams_available(unidirectional=unidirectional, local=local)
    stream = _stream(s)
    if stream is None:
        return None
    return {
        SSL_VALUE_STREAM_WRITE_BUF_SIZE: stream.connection.write_buffer,
        SSL_VALUE_STREAM_WRITE_BUF_USED: stream.write_buffer_used,
        SSL_VALUE_STREAM_WRITE_BUF_AVAIL: stream.write_buffer_available,
    }.get(value_id)


def _idle_timeout(s: Object, class_: int) -> int | None:
    """Milliseconds."""
    connection = _connection(s)
    if connection is None:
        return None
    ours = connection.context.settings.quic.max_idle_timeout
    if class_ == SSL_VALUE_CLASS_FEATURE_REQUEST:
        return round(ours * 1000)
    peer = connection.quic.peer_parameters if connection.domain is not None else None
    if peer is None:
        return None
    if class_ == SSL_VALUE_CLASS_FEATURE_PEER_REQUEST:
        return round(peer.max_idle_timeout * 1000)
    if class_ == SSL_VALUE_CLASS_FEATURE_NEGOTIATED:
        return round(min((each for each in (ours, peer.max_idle_timeout) if each), default=0) * 1000)
    return None


def SSL_set_value_uint(s: Object, class_: int, id: int, value: int) -> int:  # noqa: A002 - C's name
    """Set a value of an object; 0 if it has none such, or cannot have this. SSL_set_value_uint(3)."""
    if (class_, id) == (SSL_VALUE_CLASS_GENERIC, SSL_VALUE_EVENT_HANDLING_MODE):
        if not isinstance(s, QUICSSL | QUICStream | Listener) or value not in set(EventHandling):
            return 0
        s.event_handling = EventHandling(value)
        return 1
    if (class_, id) == (SSL_VALUE_CLASS_FEATURE_REQUEST, SSL_VALUE_QUIC_IDLE_TIMEOUT):

        def change(connection: QUICSSL) -> None:
            if connection.domain is not None:
                raise UsageError("the idle timeout is asked for before the connection begins")
            quic = connection.context.settings.quic
            connection.context.quic = replace(quic, max_idle_timeout=value / 1000)

        return _on_connection(s, change)
    return 0


def SSL_get_generic_value_uint(s: Object, id: int) -> tuple[int, int | None]:  # noqa: A002
    """(1, a value of the generic class). SSL_get_generic_value_uint(3)."""
    return SSL_get_value_uint(s, SSL_VALUE_CLASS_GENERIC, id)


def SSL_set_generic_value_uint(s: Object, id: int, value: int) -> int:  # noqa: A002
    """Set a value of the generic class. SSL_set_generic_value_uint(3)."""
    return SSL_set_value_uint(s, SSL_VALUE_CLASS_GENERIC, id, value)


def SSL_get_feature_request_uint(s: Object, id: int) -> tuple[int, int | None]:  # noqa: A002
    """(1, what this side asks for). SSL_get_feature_request_uint(3)."""
    return SSL_get_value_uint(s, SSL_VALUE_CLASS_FEATURE_REQUEST, id)


def SSL_set_feature_request_uint(s: Object, id: int, value: int) -> int:  # noqa: A002
    """Ask for something, before the connection begins. SSL_set_feature_request_uint(3)."""
    return SSL_set_value_uint(s, SSL_VALUE_CLASS_FEATURE_REQUEST, id, value)


def SSL_get_feature_peer_request_uint(s: Object, id: int) -> tuple[int, int | None]:  # noqa: A002
    """(1, what the peer asks for), once it is known. SSL_get_feature_peer_request_uint(3)."""
    return SSL_get_value_uint(s, SSL_VALUE_CLASS_FEATURE_PEER_REQUEST, id)


def SSL_get_feature_negotiated_uint(s: Object, id: int) -> tuple[int, int | None]:  # noqa: A002
    """(1, what both sides keep to), once it is known. SSL_get_feature_negotiated_uint(3)."""
    return SSL_get_value_uint(s, SSL_VALUE_CLASS_FEATURE_NEGOTIATED, id)


def SSL_get_event_handling_mode(s: Object) -> tuple[int, int | None]:
    """(1, whether calls handle events by themselves). SSL_get_event_handling_mode(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_EVENT_HANDLING_MODE)


def SSL_set_event_handling_mode(s: Object, value: int) -> int:
    """Whether calls on this object handle events by themselves. SSL_set_event_handling_mode(3)."""
    return SSL_set_generic_value_uint(s, SSL_VALUE_EVENT_HANDLING_MODE, value)


def SSL_get_quic_stream_bidi_local_avail(s: Object) -> tuple[int, int | None]:
    """(1, streams of ours that the peer permits yet). SSL_get_quic_stream_bidi_local_avail(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_QUIC_STREAM_BIDI_LOCAL_AVAIL)


def SSL_get_quic_stream_bidi_remote_avail(s: Object) -> tuple[int, int | None]:
    """(1, streams of the peer's that are permitted yet). SSL_get_quic_stream_bidi_remote_avail(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_QUIC_STREAM_BIDI_REMOTE_AVAIL)


def SSL_get_quic_stream_uni_local_avail(s: Object) -> tuple[int, int | None]:
    """(1, one-way streams of ours that the peer permits yet). SSL_get_quic_stream_uni_local_avail(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_QUIC_STREAM_UNI_LOCAL_AVAIL)


def SSL_get_quic_stream_uni_remote_avail(s: Object) -> tuple[int, int | None]:
    """(1, one-way streams of the peer's that are permitted yet). SSL_get_quic_stream_uni_remote_avail(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_QUIC_STREAM_UNI_REMOTE_AVAIL)


def SSL_get_stream_write_buf_size(s: Object) -> tuple[int, int | None]:
    """(1, bytes that wait to be sent before a write has to). SSL_get_stream_write_buf_size(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_STREAM_WRITE_BUF_SIZE)


def SSL_get_stream_write_buf_used(s: Object) -> tuple[int, int | None]:
    """(1, bytes that wait to be sent). SSL_get_stream_write_buf_used(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_STREAM_WRITE_BUF_USED)


def SSL_get_stream_write_buf_avail(s: Object) -> tuple[int, int | None]:
    """(1, bytes that may still wait). SSL_get_stream_write_buf_avail(3)."""
    return SSL_get_generic_value_uint(s, SSL_VALUE_STREAM_WRITE_BUF_AVAIL)
