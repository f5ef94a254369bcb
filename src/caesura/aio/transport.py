"""The upper face of a TLS connection in asyncio: the transport that the application holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from caesura.aio.info import extra_info
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.aio.protocol import TLSProtocol


async def wait_handshake(target: asyncio.StreamWriter | asyncio.BaseTransport) -> None:
    """Wait until the handshake of this connection is complete: what it has brought until then is no copy.

    For servers that let protocols meet their transports by early data; elsewhere it returns at once. Raises why the
    handshake is not going to be complete.
    """
    transport = target.transport if isinstance(target, asyncio.StreamWriter) else target
    if not isinstance(transport, TLSTransport):
        raise TypeError(f"expected a transport of caesura.aio or a writer on one, not {type(transport).__name__}")
    await transport._tls.wait_handshake()


class TLSTransport(asyncio.Transport):
    """A transport whose bytes travel in TLS. Its methods mean what `asyncio.Transport` says they mean.

    `write_eof()` ends our direction with close_notify and leaves the peer's open. `close()` sends what is buffered and
    close_notify, and waits for the peer's; `abort()` waits for nothing. `get_extra_info()` knows `ssl_object`,
    `sslcontext`, `peercert`, `cipher`, `compression`, `early_data` (an `EarlyDataStatus`) and `caesura` (the
    `TLSConnection`) besides the names of the raw transport.
    """

    __slots__ = ("_tls",)

    def __init__(self, tls: TLSProtocol) -> None:
        self._tls = tls  # and no dict for extra information, which the base class would make

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """A fact of the connection or of its raw transport; `default` if there is no such fact."""
        return extra_info(self._tls, name, default)

    # --- both directions --------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another protocol from now on."""
        self._tls.set_application(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The application's protocol."""
        return self._tls.application

    def is_closing(self) -> bool:
        """Whether the transport is closing or closed."""
        return self._tls.closing

    def close(self) -> None:
        """Send what is buffered and close_notify; it ends with the peer's, or after ssl_shutdown_timeout."""
        self._tls.close()

    def abort(self) -> None:
        """Drop the connection, what is buffered, and work that is paused."""
        self._tls.abort()

    # --- reading ----------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether the protocol may be told of data."""
        return self._tls.reading

    def pause_reading(self) -> None:
        """Tell the protocol of no data until `resume_reading()`."""
        self._tls.hold_reading()

    def resume_reading(self) -> None:
        """Tell the protocol of data again, that which has arrived meanwhile first."""
        self._tls.release_reading()

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, data: Data) -> None:
        """Send data. After `close()` or the end of the connection it goes nowhere; after `write_eof()` RuntimeError."""
        self._tls.write(data)

    def write_eof(self) -> None:
        """Send close_notify after what is buffered; reading goes on."""
        self._tls.write_eof()

    def can_write_eof(self) -> bool:
        """True: TLS 1.3 closes its directions one by one (RFC 9846 section 6.1)."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes that have not reached the socket: sealed ones, and those that wait for a paused seal."""
        return self._tls.unsent()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and high marks of the write buffer, in bytes."""
        return self._tls.write_limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol's `pause_writing()` and `resume_writing()` are called."""
        self._tls.set_write_limits(high, low)

    def __repr__(self) -> str:
        return f"<TLSTransport {self._tls.state.name.lower()} over {self._tls.raw!r}>"
