"""QUIC over UDP on loopback: our side, a bad network, and what every peer can be asked to do.

As a server a peer sends back what it gets on a stream, as a client it sends something and wants it back; some do it in
HTTP/3 (`http3`). What one cannot do its class says, with its version and why: `lacks_as_server`, `lacks_as_client`.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from caesura import Context, Identity, Method, TrustStore, aio
from caesura.aio import QUICLink
from caesura.aio.quic_stream import StreamWriter
from tests.interop.peers import http3
from tests.interop.peers.process import Workshop

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds, far more than anything takes


# --- the other side -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """What a client of a peer's says of its connection; None where it does not say."""

    alpn: str | None = None
    group: int | None = None
    resumed: bool | None = None
    early_data: bool | None = None  # whether the server has accepted some


class QUICPeer(ABC):
    """An implementation in both roles. Features in `lacks_…`: "serve" or "connect" for the role itself, and

    retry, tickets, early data, own key update, waiting for streams, version 2, a bad network.
    """

    name: ClassVar[str]
    http3: ClassVar[bool] = False
    groups: ClassVar[tuple[str, ...]] = ("X25519MLKEM768", "x25519", "secp256r1")  # our client's offer
    prefers: ClassVar[str] = "X25519MLKEM768"  # the group of its client
    lacks_as_server: ClassVar[Mapping[str, str]] = {}
    lacks_as_client: ClassVar[Mapping[str, str]] = {}

    def __init__(self, files: dict[str, Path], workshop: Workshop) -> None:
        self.files = files
        self.workshop = workshop

    @property
    def alpn(self) -> str:
        return "h3" if self.http3 else "echo"

    @abstractmethod
    def serving(self, *, retry: bool = False, **settings: Any) -> AbstractAsyncContextManager[int]:
        """A server; its port."""

    @abstractmethod
    async def talk(self, *ports: int, streams: int = 1, size: int = 1, **settings: Any) -> list[Report]:
        """Connect to each port in turn, with the session of the one before, and exchange so many bytes on each stream.

        Raises AssertionError when they do not come back.
        """

    async def begin(self, conn: QUICLink) -> None:
        """Our client sends what comes first, if anything does."""
        if self.http3:
            await http3.begin(conn)

    async def exchange(self, conn: QUICLink, data: bytes) -> None:
        """Our client sends this, and gets all of it back."""
        if self.http3:
            status, body = await http3.request(*await conn.open_stream(), self.path(data), data)
            assert status == 200
            assert body == data
        else:
            await exchange(*await conn.open_stream(), data)

    def path(self, data: bytes) -> str:
        """What a request asks for to get this."""
        return "/"


async def wait_until(holds: Callable[[], object]) -> None:
    """Let the loop turn until it does; not everything has an event. Those who wait are bounded by the connections."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def exchange(reader: Any, writer: Any, data: bytes, start: int = 0) -> None:
    """Send it, but for so much that was sent before, and get all of it back."""

    async def send() -> None:
        for at in range(start, len(data), 65_536):
            writer.write(data[at : at + 65_536])
            await drain(writer)
        writer.write_eof()

    sending = asyncio.create_task(send())
    assert await reader.read() == data
    await sending


async def echo(reader: Any, writer: Any) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await drain(writer)
    writer.write_eof()


async def drain(writer: asyncio.StreamWriter) -> None:
    """qh3's writers cannot."""
    if isinstance(writer, StreamWriter):
        await writer.drain()


# --- ours ---------------------------------------------------------------------------------------------------------


class Ours:
    """Caesura's side, for one peer: it speaks what that speaks."""

    def __init__(self, files: dict[str, Path], peer: QUICPeer) -> None:
        self.files = files
        self.peer = peer
        self.links: asyncio.Queue[QUICLink] = asyncio.Queue()  # of our server

    def client(self, **settings: Any) -> Context:
        defaults = {"method": Method.QUIC, "trust": TrustStore.load(self.files["root"]), "keylog": None}
        return Context.client(**{**defaults, "alpn": [self.peer.alpn], "groups": self.peer.groups, **settings})

    @asynccontextmanager
    async def connected(self, port: int, context: Context | None = None, **arguments: Any) -> AsyncIterator[QUICLink]:
        arguments.setdefault("server_hostname", "localhost")
        async with (
            asyncio.timeout(PATIENCE),
            await aio.connect_quic(HOST, port, context=context or self.client(), **arguments) as conn,
        ):
            await self.peer.begin(conn)
            yield conn

    def server(self, **settings: Any) -> Context:
        identity = Identity.load(self.files["ec.chain"], self.files["ec.key"])
        defaults = {"method": Method.QUIC, "identity": identity, "keylog": None, "alpn": [self.peer.alpn]}
        return Context.server(**{**defaults, **settings})

    @asynccontextmanager
    async def serving(self, context: Context | None = None, **settings: Any) -> AsyncIterator[int]:
        """A server that sends back every stream and datagram; its port."""
        serve = http3.serve if self.peer.http3 else serve_echoes

        async def handler(conn: QUICLink) -> None:
            self.links.put_nowait(conn)
            await serve(conn)

        context = context or self.server(**settings)
        async with (
            asyncio.timeout(PATIENCE),
            await aio.serve_quic(handler, HOST, 0, context=context) as server,
        ):
            yield server.sockets[0].getsockname()[1]


async def serve_echoes(conn: QUICLink) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(datagrams(conn))
        async for reader, writer in conn.streams():
            group.create_task(echo(reader, writer))


async def datagrams(conn: QUICLink) -> None:
    while True:
        await conn.send_datagram(await conn.recv_datagram())


# --- a bad network ------------------------------------------------------------------------------------------------


class Lossy(asyncio.DatagramProtocol):
    """Stands between a client and a server; loses some datagrams, and lets others wait, by seed, in both directions."""

    transport: asyncio.DatagramTransport

    def __init__(self, server: int) -> None:
        self.server = server
        self.client: Any = None
        self.dice = random.Random(1)
        self.lost = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        to_server = addr[1] != self.server
        if to_server:
            self.client = addr
        fate = self.dice.random()
        if fate < 0.08:
            self.lost += 1
        else:
            delay = 0.01 if fate > 0.9 else 0
            to = (HOST, self.server) if to_server else self.client
            asyncio.get_running_loop().call_later(delay, self.transport.sendto, data, to)


@asynccontextmanager
async def lossy(server: int) -> AsyncIterator[int]:
    """The port of such a network; something has been lost in it at the end."""
    transport, network = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Lossy(server), local_addr=(HOST, 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
        await asyncio.sleep(0.02)  # what still waits is sent
    finally:
        transport.close()
    assert network.lost
