"""Connections of ours for tests of one feature: an SSL over a blocking loopback socket, and nothing around it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from caesura import SSL, Context, SocketBIO
from tests.interop.peers import PATIENCE, listen


@contextlib.contextmanager
def connected(port: int, context: Context, name: str | None = "localhost", **options: object) -> Iterator[SSL]:
    """A client of ours at a port; the handshake is the test's to begin."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        tls = SSL(context, SocketBIO(sock), server_side=False, server_hostname=name, **options)  # type: ignore[arg-type]
        yield tls
        tls.close()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A listening socket; its port is `getsockname()[1]`."""
    with listen() as listener:
        yield listener


@contextlib.contextmanager
def accepted(listener: socket.socket, context: Context) -> Iterator[SSL]:
    """A server of ours with the next client; the handshake is the test's to begin."""
    sock, _ = listener.accept()
    with sock:
        sock.settimeout(PATIENCE)
        tls = SSL(context, SocketBIO(sock), server_side=True)
        yield tls
        tls.close()


def read_exactly(tls: SSL, size: int) -> bytes:
    """That many bytes."""
    data = b""
    while len(data) < size:
        data += tls.read(size - len(data))
    return data
