"""UDP sockets on loopback, and what comes on the streams of a QUIC connection over one."""

from __future__ import annotations

import socket

from caesura import QUICStream, ZeroReturn


def datagram_sockets() -> tuple[socket.socket, socket.socket]:
    """Two that are connected to each other, and do not block."""
    one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (one, two):
        each.bind(("127.0.0.1", 0))
        each.setblocking(False)
    one.connect(two.getsockname())
    two.connect(one.getsockname())
    return one, two


def everything(stream: QUICStream) -> bytes:
    """All that a stream brings, waited for."""
    found = b""
    while True:
        try:
            found += stream.read()
        except ZeroReturn:
            return found
