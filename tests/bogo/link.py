"""The shim's end of the runner's TCP connection: bytes for TLS, packets and orders for DTLS, records for QUIC.

For DTLS every item begins with one byte: P a datagram, T let time pass, M another MTU, E what the next timeout must be,
U another initial timeout.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

_LENGTH = struct.Struct(">I")
HEADER = struct.Struct(">BBHI")  # of a record: its type, level, cipher suite and length
_NANOSECONDS = struct.Struct(">Q")
NO_TIMER = 2**64 - 1


class Link:
    """The connection to the runner; it begins with the shim's number."""

    def __init__(self, port: int, shim_id: int, ipv6: bool) -> None:
        self.socket = socket.create_connection(("::1" if ipv6 else "127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(shim_id.to_bytes(8, "little"))
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send bytes; what cannot be sent any more is no failure of ours."""
        with suppress(OSError):
            self.socket.sendall(data)

    def send_packet(self, datagram: bytes) -> None:
        """Send a datagram."""
        self.send(b"P" + _LENGTH.pack(len(datagram)) + datagram)

    def receive(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        try:
            return self.socket.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            return b""

    def receive_item(self) -> tuple[str, bytes | int] | None:
        """The next datagram or order; None at the end."""
        head = self._exactly(1)
        if not head:
            return None
        kind = head.decode("latin-1")
        if kind == "P":
            return kind, self._exactly(_LENGTH.unpack(self._exactly(4))[0])
        if kind in "TE":
            return kind, _NANOSECONDS.unpack(self._exactly(8))[0]
        if kind in "MU":
            return kind, _LENGTH.unpack(self._exactly(4))[0]
        raise ValueError(f"item of kind {kind!r}")

    def receive_record(self) -> tuple[bytes, bytes] | None:
        """The next record of QUIC, its header and the rest; None at the end."""
        header = self._exactly(HEADER.size)
        return (header, self._exactly(HEADER.unpack(header)[-1])) if header else None

    def close(self) -> None:
        """Half-close, wait for the runner's end, and close."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(5)
            while self.socket.recv(65536):
                pass
        except OSError:
            pass
        self.socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self.receive(size - len(data))):
            data += piece
        return data
