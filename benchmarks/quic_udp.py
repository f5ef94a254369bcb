"""QUIC on asyncio: bulk on one stream over loopback UDP, client and server on one loop, through each one's streams.

All is as in `quic`, but for the network, which is the system's: everybody brings their own sockets. On Linux we and qh3
hand many datagrams to the system at once (UDP_SEGMENT, UDP_GRO); both run a second time without that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from importlib import import_module
from typing import Any

from benchmarks.harness import Contestant, Goal, Race
from benchmarks.pairs import NAME
from benchmarks.quic import CHUNK, configurations, contexts, goals, installed, unpaced
from caesura import aio

HOST = "127.0.0.1"
GRO = (17, 104)  # SOL_UDP and UDP_GRO of Linux: the socket module has no names for them
WARM_CHUNKS = 8


class Pour:
    """A stream from a client to its server."""

    writer: Any

    def __init__(self) -> None:
        self._missing = 0
        self._arrived: asyncio.Future[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._other: Any = None

    def accept(self, reader: asyncio.StreamReader, writer: Any) -> None:
        """The server's handler of the stream, where it is a plain function."""
        self._reading, self._other = asyncio.ensure_future(self.read(reader)), writer

    async def read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            self._missing -= len(data)
            if not self._missing and self._arrived is not None:
                self._arrived.set_result(None)

    async def pour(self, count: int) -> None:
        """So many chunks, each of which has arrived before the next one is written."""
        chunk = bytes(CHUNK)
        for _ in range(count):
            self._missing, self._arrived = CHUNK, asyncio.get_running_loop().create_future()
            self.writer.write(chunk)
            await self._arrived

    async def stop(self) -> None:
        """The streams end. Other people's writers like to be closed."""
        for writer in (self.writer, self._other):
            writer.close()
        if self._reading is not None:
            await self._reading


async def ours(stack: AsyncExitStack, *, offload: bool) -> Pour:
    pour = Pour()

    async def handler(link: aio.QUICLink) -> None:
        async for reader, _ in link.streams():
            assert reader is not None
            await pour.read(reader)

    client, server = contexts()
    listening = await stack.enter_async_context(await aio.serve_quic(handler, HOST, 0, context=server))
    port = listening.sockets[0].getsockname()[1]
    link = await stack.enter_async_context(
        await aio.connect_quic(HOST, port, context=client, server_hostname=NAME, ssl_shutdown_timeout=0.1)
    )
    if link.raw.segments and not offload:
        link.raw.segments = False
        for sock in (link.raw.get_extra_info("socket"), listening.sockets[0]):
            sock.setsockopt(*GRO, 0)
    _, pour.writer = await link.open_stream()
    return pour


async def theirs(stack: AsyncExitStack, package: str, *, paced: bool = True, offload: bool = True) -> Pour:
    library = import_module(f"{package}.asyncio")
    pour = Pour()

    class Protocol(library.QuicConnectionProtocol):  # type: ignore[misc, name-defined]
        def __init__(self, quic: Any, stream_handler: Any = None) -> None:
            super().__init__(quic, stream_handler)
            if not paced:
                unpaced(quic)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if not offload:
                self._sendto_many = None

    client, server = configurations(package)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    listening = await library.serve(
        HOST, port, configuration=server, create_protocol=Protocol, stream_handler=pour.accept
    )
    stack.callback(listening.close)
    protocol = await stack.enter_async_context(
        library.connect(HOST, port, configuration=client, create_protocol=Protocol)
    )
    _, pour.writer = await protocol.create_stream()
    stack.push_async_callback(pour.stop)
    return pour


@contextmanager
def contestants() -> Iterator[Sequence[Contestant]]:
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()

    async def started(name: str, pour: Any) -> Pour:
        found: Pour = await pour
        await found.pour(WARM_CHUNKS)
        return found

    makers: dict[str, Callable[[], Any]] = {
        "caesura": lambda: ours(stack, offload=True),
        "caesura, no GSO": lambda: ours(stack, offload=False),
    }
    if installed("aioquic"):
        makers["aioquic"] = lambda: theirs(stack, "aioquic")
        makers["aioquic, not paced"] = lambda: theirs(stack, "aioquic", paced=False)
    if installed("qh3"):
        makers["qh3"] = lambda: theirs(stack, "qh3")
        makers["qh3, no GSO"] = lambda: theirs(stack, "qh3", offload=False)

    def contestant(name: str, make: Callable[[], Any]) -> Contestant:
        pour = loop.run_until_complete(started(name, make()))
        return Contestant(name, lambda count: loop.run_until_complete(pour.pour(count)))

    try:
        yield [contestant(name, make) for name, make in makers.items()]
    finally:
        loop.run_until_complete(stack.aclose())
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()


def against_all(who: str, qh3: str) -> tuple[Goal, ...]:
    """The goals of the row in memory, for one of our contestants."""
    return goals(
        Goal("aioquic", 1 / 4, 1 / 6, who),
        Goal("aioquic, not paced", 1 / 2.5, 1 / 4, who),
        Goal(qh3, 1 / 0.65, 1 / 0.9, who),
    )


ROWS = (
    Race(
        "quic-udp",
        "QUIC on asyncio: 256 KiB on one stream, loopback UDP",
        __name__,
        contestants,
        goals=against_all("caesura", "qh3") + against_all("caesura, no GSO", "qh3, no GSO"),
        sample=0.02,
    ),
)
