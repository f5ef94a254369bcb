"""SSL: making connections, and what moves them (SSL_new(3), SSL_read(3), SSL_shutdown(3) and others)."""

from __future__ import annotations

from typing import Any, Final

from caesura.bio import (
    BIO,
    borrow_datagram_socket,
    borrow_socket,
)
from caesura.context import Context
from caesura.errors import Error, UnexpectedEOF, UsageError, ZeroReturn
from caesura.events import EarlyDataStatus
from caesura.openssl.calls import Object
from caesura.openssl.calls import call as _call
from caesura.openssl.calls import done as _done
from caesura.openssl.calls import failure as _failure
from caesura.openssl.calls import quietly as _quietly
from caesura.openssl.constants import (
    SSL_EARLY_DATA_ACCEPTED,
    SSL_EARLY_DATA_NOT_SENT,
    SSL_EARLY_DATA_REJECTED,
    SSL_ERROR_NONE,
    SSL_ERROR_SYSCALL,
    SSL_ERROR_ZERO_RETURN,
    SSL_KEY_UPDATE_REQUESTED,
    SSL_READ_EARLY_DATA_ERROR,
    SSL_READ_EARLY_DATA_FINISH,
    SSL_READ_EARLY_DATA_SUCCESS,
    SSL_RECEIVED_SHUTDOWN,
    SSL_SENT_SHUTDOWN,
    SSL_WRITE_FLAG_CONCLUDE,
)
from caesura.openssl.facts import SSL_is_tls
from caesura.openssl.quic_methods import QUICMethod
from caesura.openssl.quic_methods import quic_method as _quic_method
from caesura.sslobject import SSL, Want
from caesura.sslobject.quic import QUICSSL
from caesura.sslobject.quic_listener import Listener
from caesura.sslobject.quic_object import QUICObject
from caesura.sslobject.quic_stream import QUICStream
from caesura.wire.data import Data

_EARLY_DATA: Final = {
    EarlyDataStatus.NOT_SENT: SSL_EARLY_DATA_NOT_SENT,
    EarlyDataStatus.PENDING: SSL_EARLY_DATA_REJECTED,
    EarlyDataStatus.REJECTED: SSL_EARLY_DATA_REJECTED,
    EarlyDataStatus.ACCEPTED: SSL_EARLY_DATA_ACCEPTED,
}


def SSL_get_error(s: Object, ret: int) -> int:
    """What the last call on `s`, which returned `ret`, came to. SSL_get_error(3)."""
    if ret > 0:
        return SSL_ERROR_NONE
    if isinstance(s, QUICObject) and s.domain is not None and s.domain.failure is not None:
        return SSL_ERROR_SYSCALL  # the BIOs have failed, for good
    error = _failure(s)
    if isinstance(error, Error):
        return error.ssl_error
    closed = isinstance(s, SSL) and s.close_notify_received
    return SSL_ERROR_ZERO_RETURN if error is None and closed else SSL_ERROR_SYSCALL


def SSL_get_last_error(s: Object) -> Error | OSError | None:
    """What the last call on `s` raised, None if it succeeded. It stands for the pages' ERR_get_error(3)."""
    return _failure(s)


def SSL_CTX_get_last_error(ctx: Context) -> Error | OSError | None:
    """What the last call on `ctx` raised, None if it succeeded."""
    return _failure(ctx)


def SSL_new(ctx: Context) -> Any:
    """A connection with the context's settings as they are now, an SSL. SSL_new(3).

    In QUIC it is a client, or None with the server's method: servers are made by a listener (SSL_new_listener(3)).
    """
    method = _quic_method(ctx)
    if method is None:
        return SSL(ctx)
    if method is QUICMethod.SERVER:
        return _call(ctx, _refuse_server, None)
    return SSL(ctx, server_side=False)


def _refuse_server() -> None:
    raise UsageError("a QUIC server's connections are made by a listener: SSL_new_listener")


def SSL_free(s: Object | None) -> None:
    """Give the connection up at any moment; paused work is cancelled. SSL_free(3)."""
    if s is not None:
        s.close()


def SSL_clear(s: SSL) -> int:
    """Start over in the same role; paused work is cancelled. SSL_clear(3)."""
    return _done(s, s.clear)


def SSL_get_SSL_CTX(s: SSL) -> Context:
    """The connection's own copy of its context, or the one `select_identity` has brought. SSL_get_SSL_CTX(3)."""
    return s.selected_context or s.context


def SSL_set_bio(s: SSL | Listener, rbio: BIO | None, wbio: BIO | None) -> None:
    """Where bytes come from and go. SSL_set_bio(3)."""
    _quietly(lambda: s.set_bio(rbio, wbio))


def SSL_get_rbio(s: Object) -> BIO | None:
    """Where bytes come from. SSL_get_rbio(3)."""
    return s.rbio


def SSL_get_wbio(s: Object) -> BIO | None:
    """Where bytes go. SSL_get_wbio(3)."""
    return s.wbio


def SSL_set_fd(s: SSL | Listener, fd: int) -> int:
    """Use the socket with this descriptor, which stays the caller's to close. SSL_set_fd(3)."""
    return _done(s, lambda: s.set_bio(borrow_socket(fd) if SSL_is_tls(s) else borrow_datagram_socket(fd)))


def _descriptor(bio: BIO | None) -> tuple[int, int | None]:
    fileno = getattr(bio, "fileno", None)
    return (0, None) if fileno is None else (1, fileno())


def SSL_get_fd(s: Object) -> int:
    """The descriptor that is read, -1 if there is none. SSL_get_fd(3)."""
    found, fd = _descriptor(s.rbio)
    return -1 if not found or fd is None else fd


def SSL_get_rpoll_descriptor(s: Object) -> tuple[int, int | None]:
    """(1, descriptor to wait on for input), 0 if the BIO has none. SSL_get_rpoll_descriptor(3)."""
    return _descriptor(s.rbio)


def SSL_get_wpoll_descriptor(s: Object) -> tuple[int, int | None]:
    """(1, descriptor to wait on for output), 0 if the BIO has none. SSL_get_wpoll_descriptor(3)."""
    return _descriptor(s.wbio)


def SSL_set_connect_state(s: SSL) -> None:
    """Be the client, from the beginning. SSL_set_connect_state(3)."""
    _done(s, s.set_connect_state)


def SSL_set_accept_state(s: SSL) -> None:
    """Be the server, from the beginning. SSL_set_accept_state(3)."""
    _done(s, s.set_accept_state)


def SSL_is_server(s: Object) -> int:
    """1 for a server. SSL_is_server(3)."""
    return int(bool(s.server_side))


def _server_name(s: SSL, name: str | None) -> int:
    def change() -> None:
        s.server_hostname = name

    return _done(s, change)


def SSL_set_tlsext_host_name(s: SSL, name: str | None) -> int:
    """The server's name, asked for and checked. SSL_set_tlsext_host_name(3)."""
    return _server_name(s, name)


def SSL_set1_host(s: SSL, name: str | None) -> int:
    """The server's name, asked for and checked: here it is one setting. SSL_set1_host(3)."""
    return _server_name(s, name)


def SSL_do_handshake(s: SSL) -> int:
    """1 when it is done; 0 when the peer closed instead; -1 otherwise: ask SSL_get_error. SSL_do_handshake(3).

    In QUIC it is 0 whenever the connection is over.
    """
    if _done(s, s.do_handshake):
        return 1
    return 0 if isinstance(_failure(s), ZeroReturn) or (isinstance(s, QUICSSL) and s.over) else -1


def SSL_connect(s: SSL) -> int:
    """The handshake, as a client if no role is set. SSL_connect(3)."""
    if s.server_side is None:
        s.set_connect_state()
    return SSL_do_handshake(s)


def SSL_accept(s: SSL) -> int:
    """The handshake, as a server if no role is set. SSL_accept(3)."""
    if s.server_side is None:
        s.set_accept_state()
    return SSL_do_handshake(s)


def SSL_read(s: SSL | QUICStream, num: int) -> tuple[int, bytes]:
    """(how many bytes, the bytes); 0 at the end of the stream, -1 otherwise. SSL_read(3)."""
    data = _call(s, lambda: s.read(num), b"")
    if data:
        return len(data), data
    return 0 if isinstance(_failure(s), ZeroReturn | UnexpectedEOF | None) else -1, b""


def SSL_read_ex(s: SSL | QUICStream, num: int) -> tuple[int, bytes]:
    """(1, the bytes) or (0, b""). SSL_read_ex(3)."""
    data = _call(s, lambda: s.read(num), b"")
    return int(bool(data)), data


def SSL_write(s: SSL | QUICStream, data: Data) -> int:
    """How many bytes were written, all of them; -1 otherwise. SSL_write(3)."""
    return _call(s, lambda: s.write(data), -1)


def SSL_write_ex2(s: SSL | QUICStream, data: Data, flags: int) -> tuple[int, int]:
    """SSL_write_ex, and with SSL_WRITE_FLAG_CONCLUDE nothing behind it on this stream. SSL_write_ex2(3)."""

    def write() -> tuple[int, int]:
        conclude = bool(flags & SSL_WRITE_FLAG_CONCLUDE)
        if isinstance(s, SSL) and not isinstance(s, QUICSSL):
            if conclude:
                raise UsageError("SSL_WRITE_FLAG_CONCLUDE: of streams of QUIC")
            return 1, s.write(data)
        return 1, s.write(data, conclude=conclude)

    return _call(s, write, (0, 0))


def SSL_write_ex(s: SSL | QUICStream, data: Data) -> tuple[int, int]:
    """(1, how many bytes were written) or (0, 0). SSL_write_ex(3)."""
    return _call(s, lambda: (1, s.write(data)), (0, 0))


def SSL_write_early_data(s: SSL, data: Data) -> tuple[int, int]:
    """(1, how many bytes were written) or (0, 0), also when none may be. SSL_write_early_data(3)."""

    def write() -> tuple[int, int]:
        written = s.write_early_data(data)
        if data and not written:
            raise UsageError(f"no early data may be written: {s.early_data_reason.value}")
        return 1, written

    return _call(s, write, (0, 0))


def SSL_read_early_data(s: SSL, num: int) -> tuple[int, bytes]:
    """(1, the bytes), (2, b"") at the end of early data or without any, else (0, b""). SSL_read_early_data(3)."""

    def read() -> tuple[int, bytes]:
        data = s.read_early_data(num)
        return SSL_READ_EARLY_DATA_SUCCESS if data else SSL_READ_EARLY_DATA_FINISH, data

    return _call(s, read, (SSL_READ_EARLY_DATA_ERROR, b""))


def SSL_get_early_data_status(s: SSL) -> int:
    """What became of early data; it counts as rejected until it is known. SSL_get_early_data_status(3)."""
    return _EARLY_DATA[s.early_data_status]


def SSL_pending(s: SSL | QUICStream) -> int:
    """Bytes that can be read at once. SSL_pending(3)."""
    return s.pending()


def SSL_key_update(s: SSL, updatetype: int) -> int:
    """Change the keys; 1 when the update is under way. SSL_key_update(3)."""
    return _done(s, lambda: s.key_update(updatetype == SSL_KEY_UPDATE_REQUESTED))


def SSL_verify_client_post_handshake(s: SSL) -> int:
    """Ask the client for its certificate; 1 when the request is under way. SSL_verify_client_post_handshake(3)."""
    return _done(s, s.verify_client_post_handshake)


def SSL_shutdown(s: SSL) -> int:
    """1 when both sides have closed, 0 when this side has, -1 otherwise. SSL_shutdown(3)."""
    return _call(s, lambda: int(s.shutdown()), -1)


def SSL_get_shutdown(s: SSL) -> int:
    """Which close_notify alerts were sent and received. SSL_get_shutdown(3)."""
    return SSL_SENT_SHUTDOWN * s.close_notify_sent | SSL_RECEIVED_SHUTDOWN * s.close_notify_received


def SSL_want(s: Object) -> int:
    """What the last call waits for. SSL_want(3)."""
    return s.want


def SSL_want_nothing(s: Object) -> int:
    """1 if the last call waits for nothing. SSL_want_nothing(3)."""
    return int(s.want is Want.NOTHING)


def SSL_want_read(s: Object) -> int:
    """1 if the last call waits for the peer's bytes. SSL_want_read(3)."""
    return int(s.want is Want.READING)


def SSL_want_write(s: Object) -> int:
    """1 if the last call waits for the transport to take bytes. SSL_want_write(3)."""
    return int(s.want is Want.WRITING)


def SSL_want_async(s: Object) -> int:
    """1 if the last call waits for paused work. SSL_want_async(3)."""
    return int(s.want is Want.ASYNC_PAUSED)


def SSL_want_async_job(s: Object) -> int:
    """1 if the last call found no job. SSL_want_async_job(3)."""
    return int(s.want is Want.ASYNC_NO_JOBS)
