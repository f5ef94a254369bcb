"""The end of a connection: closing, draining, gone (RFC 9000 section 10.2).

Who closes says so in a last datagram and repeats it when the peer goes on sending, ever more rarely. Who is told that
it is over says nothing more. Either way the connection is remembered for a while, so that what is still on its way
finds somebody who knows that it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.errors import Error, IdleTimeout, LocalAlert, PeerAlert, PeerClose, StatelessReset, TransportError
from caesura.errors import TransportErrorCode as Code
from caesura.quic import frames
from caesura.quic.levels import ONE_RTT, ZERO_RTT
from caesura.quic.path import Address, Path

_PERIOD: Final = 3  # probe timeouts (section 10.2)
_REASON: Final = 200  # bytes of reason phrase


class Ending:
    """The last state of a connection. Seconds. `datagram` is what is said on the path, empty when draining."""

    __slots__ = ("_again", "_path", "_received", "datagram", "pending", "until")

    def __init__(self, datagram: bytes, path: Path, now: float, probe_timeout: float) -> None:
        self._path = path
        self.datagram = datagram
        self.pending = bool(datagram)
        self.until = now + _PERIOD * probe_timeout
        self._received = 0
        self._again = 1

    def received(self, size: int, addr: Address) -> None:
        """Something has come, perhaps of the peer's: at the first, second, fourth … time it is told again.

        Not beyond what may be sent to an address that has proved nothing (section 10.2.1).
        """
        self._received += 1
        if addr == self._path.address:
            self._path.received += size
        if self.datagram and self._received >= self._again and len(self.datagram) <= self._path.room:
            self._again *= 2
            self.pending = True

    def take(self) -> list[tuple[bytes, Address]]:
        """What is to be said now, and where."""
        if not self.pending:
            return []
        self.pending = False
        self._path.sent += len(self.datagram)
        return [(self.datagram, self._path.address)]


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """How a connection was closed (SSL_get_conn_close_info(3)).

    `error_code` is the application protocol's, or, if `transport`, QUIC's (RFC 9000 section 20.1), to which belongs
    `frame_type`, 0 if no frame is to blame. `local`: by this side. Of an end that nobody has told the other side of,
    the code is `SILENT`.
    """

    error_code: int
    frame_type: int
    reason: str
    local: bool
    transport: bool


SILENT: Final = 2**64 - 1
"""No code that could be sent: nothing came for too long, or the peer had forgotten the connection. It is the number of
OSSL_QUIC_LOCAL_ERR_IDLE_TIMEOUT."""


class Close:
    """What a CONNECTION_CLOSE says. `frame_type` is None in the application's variant."""

    __slots__ = ("error_code", "frame_type", "reason")

    def __init__(self, error_code: int, frame_type: int | None, reason: str) -> None:
        self.error_code = error_code
        self.frame_type = frame_type
        self.reason = reason.encode()[:_REASON].decode(errors="ignore").encode()

    def info(self) -> CloseInfo:
        """The same, for whoever asks how it ended."""
        reason = self.reason.decode(errors="replace")
        return CloseInfo(
            int(self.error_code), self.frame_type or 0, reason, local=True, transport=self.frame_type is not None
        )

    def frame(self, level: int) -> bytes:
        """The frame. Before 1-RTT keys the application's words would be read by anybody (section 10.2.3)."""
        if self.frame_type is None and level not in (ONE_RTT, ZERO_RTT):
            return frames.connection_close(Code.APPLICATION_ERROR, 0, b"")
        return frames.connection_close(self.error_code, self.frame_type, self.reason)


def close_for(error: Error) -> Close | None:
    """What the peer is told of an error; None when there is nobody to tell (RFC 9001 section 4.8)."""
    if isinstance(error, PeerClose | PeerAlert | StatelessReset | IdleTimeout):
        return None
    reason = error.strerror or ""
    if isinstance(error, TransportError):
        return Close(error.error_code, error.frame_type or 0, reason)
    if isinstance(error, LocalAlert):
        return Close(Code.CRYPTO_ERROR + error.description, frames.CRYPTO, reason)
    return Close(Code.INTERNAL_ERROR, 0, "")
