"""`caesura.SSL` and `Listener` over QUIC on real UDP sockets with Go's x/net/quic and deno's quinn: blocking calls."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from caesura import SSL, DatagramBIO, Listener
from tests.interop.peers.process import Workshop
from tests.interop.peers.quic import HOST, PATIENCE, Ours, QUICPeer
from tests.interop.peers.quic_programs import Deno, GoQUIC, Reporting
from tests.support.udp import everything

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 800  # 200 kB: an echo of it fits into the windows, whoever reads first
STREAMS = 3


@pytest.fixture(params=[GoQUIC, Deno], ids=lambda peer: peer.name)
def peer(request: pytest.FixtureRequest, files: dict[str, Path], workshop: Workshop) -> QUICPeer:
    made: Reporting = request.param(files, workshop)
    assert made.command  # where it is not installed the test is skipped here, before a server waits for it
    return made


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(PATIENCE)
        yield sock


async def test_our_client(peer: QUICPeer, ours: Ours) -> None:
    def talk(port: int) -> None:
        with udp() as sock:
            sock.connect((HOST, port))
            client = SSL(ours.client(), DatagramBIO(sock), server_side=False, server_hostname="localhost")
            streams = [client.new_stream() for _ in range(STREAMS)]
            for stream in streams:
                stream.write(DATA, conclude=True)
                assert everything(stream) == DATA
            client.shutdown()

    async with peer.serving() as port:
        await asyncio.to_thread(talk, port)


async def test_our_server(peer: QUICPeer, ours: Ours) -> None:
    def serve(sock: socket.socket) -> None:
        listener = Listener(ours.server(), DatagramBIO(sock))
        connection = listener.accept_connection()
        assert connection is not None
        for _ in range(STREAMS):
            stream = connection.accept_stream()
            stream.write(everything(stream), conclude=True)
        assert connection.alpn == "echo"
        connection.shutdown(wait_peer=True)
        listener.close()

    with udp() as sock:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(serve, sock))
            group.create_task(peer.talk(sock.getsockname()[1], streams=STREAMS, size=len(DATA)))
