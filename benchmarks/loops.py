"""asyncio: client and server on one loop over loopback TCP, with protocols; our transports beside asyncio's `ssl`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from benchmarks.harness import Contestant, Goal, Race
from benchmarks.pairs import NAME, caesura_contexts, stdlib_contexts
from caesura import aio

MESSAGE = bytes(64)
PIECE = bytes(128 * 1024)
PATIENCE = 5.0  # seconds for connections to end

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[tuple[Any, Any]]]


class Accepted(asyncio.Protocol):
    """A server's end that only sees to it that it can be waited for."""

    open: ClassVar[set[Accepted]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)


class Echo(Accepted):
    """The server of the echo rows."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.write(data)


class Sink(Accepted):
    """The server of the bulk row: says when everything has come."""

    def __init__(self) -> None:
        self.missing = 0
        self.complete: asyncio.Future[None] | None = None

    def expect(self, size: int, complete: asyncio.Future[None]) -> None:
        self.missing, self.complete = size, complete

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing == 0 and self.complete is not None:
            self.complete.set_result(None)


class Pinger(asyncio.Protocol):
    """Sends the message, waits until it is back, again and again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = 0
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]

    def ping(self, times: int) -> asyncio.Future[None]:
        self._left = times
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._write(MESSAGE)
        return self._done

    def data_received(self, data: bytes) -> None:
        self._left -= 1
        if self._left:
            self._write(MESSAGE)
        else:
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


class Pourer(asyncio.Protocol):
    """Writes as fast as the transport lets it."""

    def __init__(self) -> None:
        self._left = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]

    def pour(self, pieces: int) -> None:
        self._left = pieces
        self._go_on()

    def _go_on(self) -> None:
        while self._left and not self._paused:
            self._left -= 1
            self._write(PIECE)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()


@contextmanager
def servers(factory: Callable[[], asyncio.Protocol]) -> Iterator[tuple[asyncio.AbstractEventLoop, dict[str, Connect]]]:
    """A loop, and for each implementation a way to connect to its server there."""
    loop = asyncio.new_event_loop()
    ours_client, ours_server = caesura_contexts(ticket_count=0, sessions=None)
    theirs_client, theirs_server = stdlib_contexts()

    async def start() -> tuple[Any, Any]:
        ours = await aio.create_server(factory, "127.0.0.1", 0, context=ours_server)
        return ours, await loop.create_server(factory, "127.0.0.1", 0, ssl=theirs_server)

    ours, theirs = loop.run_until_complete(start())
    port, their_port = (server.sockets[0].getsockname()[1] for server in (ours, theirs))
    opened: list[Any] = []

    def remembering(connect: Connect) -> Connect:
        async def remember(protocol: Callable[[], asyncio.Protocol]) -> tuple[Any, Any]:
            connection = await connect(protocol)
            opened.append(connection[0])
            return connection

        return remember

    connect: dict[str, Connect] = {
        "caesura": lambda protocol: aio.create_connection(
            protocol, "127.0.0.1", port, context=ours_client, server_hostname=NAME
        ),
        "ssl": lambda protocol: loop.create_connection(
            protocol, "127.0.0.1", their_port, ssl=theirs_client, server_hostname=NAME
        ),
    }
    yield loop, {name: remembering(each) for name, each in connect.items()}
    for transport in opened:
        transport.abort()
    for server in (ours, theirs):
        server.close()
    wind_up(loop)


def wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Let the other ends of closed connections notice, and close the loop."""
    end = loop.time() + PATIENCE
    loop.run_until_complete(asyncio.sleep(0.05))
    while Accepted.open and loop.time() < end:
        loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


@contextmanager
def connecting() -> Iterator[Sequence[Contestant]]:
    with servers(Echo) as (loop, connects):

        def contestant(name: str, connect: Connect) -> Contestant:
            async def many(count: int) -> None:
                for _ in range(count):
                    transport, pinger = await connect(lambda: Pinger(loop))
                    await pinger.ping(1)
                    transport.close()
                    await pinger.lost

            return Contestant(name, lambda count: loop.run_until_complete(many(count)))

        yield [contestant(name, connect) for name, connect in connects.items()]


@contextmanager
def echoing() -> Iterator[Sequence[Contestant]]:
    with servers(Echo) as (loop, connects):

        def contestant(name: str, connect: Connect) -> Contestant:
            _transport, pinger = loop.run_until_complete(_awaited(connect(lambda: Pinger(loop))))
            return Contestant(name, lambda count: loop.run_until_complete(pinger.ping(count)))

        yield [contestant(name, connect) for name, connect in connects.items()]


@contextmanager
def pouring() -> Iterator[Sequence[Contestant]]:
    sinks: list[Sink] = []

    def sink() -> Sink:
        sinks.append(Sink())
        return sinks[-1]

    with servers(sink) as (loop, connects):

        def contestant(name: str, connect: Connect) -> Contestant:
            _transport, pourer = loop.run_until_complete(_awaited(connect(Pourer)))
            loop.run_until_complete(asyncio.sleep(0.01))
            mine = sinks[-1]

            def run(count: int) -> None:
                complete = loop.create_future()
                mine.expect(count * len(PIECE), complete)
                pourer.pour(count)
                loop.run_until_complete(complete)

            return Contestant(name, run)

        yield [contestant(name, connect) for name, connect in connects.items()]


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


ROWS = (
    Race(
        "asyncio-connect",
        "asyncio: connect, handshake, 64 B echo, close",
        __name__,
        connecting,
        goals=(Goal("ssl", 0.70, 0.58),),
        quantile=0.25,
        sample=0.02,
    ),
    Race("asyncio-echo", "asyncio: 64 B echo", __name__, echoing, goals=(Goal("ssl", 0.95, 0.85),)),
    Race(
        "asyncio-bulk",
        "asyncio: 128 KiB one way",
        __name__,
        pouring,
        goals=(Goal("ssl", 0.87, 0.71),),  # 1.15 and 1.4 times the throughput
        sample=0.02,
    ),
)
