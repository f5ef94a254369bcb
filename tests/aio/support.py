"""What the tests of asyncio share: contexts, servers, protocols that remember, a peer that is moved by hand."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from caesura import aio
from caesura.aio.datagram_link import DatagramLink
from caesura.aio.protocol import State, TLSProtocol
from caesura.aio.quic_link import QUICLink
from caesura.context import Context
from caesura.crypto.identity import Identity
from caesura.crypto.trust import TrustStore
from caesura.tls import TLSConnection
from tests.support.pki import Credential, pki
from tests.support.virtual_loop import MOMENT, VirtualLoop, patience

HOST = "127.0.0.1"


class Tracked(TLSProtocol):
    """A connection that can be seen to go: all tests use it in the place of its base class."""

    __slots__ = ("__weakref__",)

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        alive.add(self)

    @property
    def settled(self) -> bool:
        return self.state is State.LOST


class TrackedDatagrams(DatagramLink):
    """The same of DTLS."""

    __slots__ = ("__weakref__",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        alive.add(self)

    @property
    def settled(self) -> bool:
        return self._ended


class TrackedQUIC(QUICLink):
    """The same of QUIC."""

    __slots__ = ("__weakref__",)

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        alive.add(self)

    @property
    def settled(self) -> bool:
        return self._ended


alive: weakref.WeakSet[Any] = weakref.WeakSet()

virtual_time = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"loop_factory": VirtualLoop}), id="virtual time")]
)
"""For tests in which timers ring. They run once: what loops make of timers is no affair of ours."""


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go round until the condition holds; there is no event for it."""
    async with patience():
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0)
        pause = MOMENT  # something has to ring first
        while not condition():
            await asyncio.sleep(pause)
            pause *= 1.1


def identity(credential: Credential | None = None) -> Identity:
    credential = credential or pki().ec
    return Identity.load(credential.chain_pem, credential.key_pem)


def trust() -> TrustStore:
    return TrustStore.load(pki().trust_pem)


def server_context(**settings: Any) -> Context:
    if "select_identity" not in settings:
        settings.setdefault("identity", identity())
    settings.setdefault("groups", ["x25519"])
    return Context.server(**settings)


def client_context(**settings: Any) -> Context:
    settings.setdefault("trust", trust())
    settings.setdefault("groups", ["x25519"])
    return Context.client(**settings)


def port_of(server: Any) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


class Recorder(asyncio.Protocol):
    """Remembers what it was told, and lets a test wait for it."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.calls: list[str] = []
        self.received = b""
        self.error: BaseException | None = None
        self.transport: Any = None
        self.keep_open = keep_open
        self._changed = asyncio.Event()

    def note(self, call: str) -> None:
        self.calls.append(call)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with patience():
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def told(self, call: str) -> None:
        await self.until(lambda: call in self.calls)

    async def has(self, data: bytes) -> None:
        await self.until(lambda: len(self.received) >= len(data))
        assert self.received == data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.note("data")

    def eof_received(self) -> bool:
        self.note("eof")
        return self.keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.error = exc
        self.note("lost")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")


class Echo(Recorder):
    """Sends back what comes."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


@asynccontextmanager
async def protocols(
    make_server: Callable[[], Recorder] = Recorder,
    make_client: Callable[[], Recorder] = Recorder,
    *,
    server: Context | None = None,
    client: Context | None = None,
    server_arguments: dict[str, Any] | None = None,
    **arguments: Any,
) -> AsyncIterator[tuple[Any, Any]]:
    """A connection between two protocols, server's first; both transports are gone afterwards."""
    made: asyncio.Queue[Any] = asyncio.Queue()

    def factory() -> asyncio.BaseProtocol:
        protocol = make_server()
        made.put_nowait(protocol)
        return protocol

    async with await aio.create_server(
        factory, HOST, 0, context=server or server_context(), **(server_arguments or {})
    ) as listener:
        _, ours = await aio.create_connection(
            make_client,
            HOST,
            port_of(listener),
            context=client or client_context(),
            server_hostname=arguments.pop("server_hostname", "localhost"),
            **arguments,
        )
        async with patience():
            theirs = await made.get()
        await theirs.told("made")
        try:
            yield theirs, ours
        finally:
            for each in (theirs, ours):
                each.transport.abort()
            for each in (theirs, ours):
                await each.told("lost")


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A handler that sends back what comes, until the end of the stream."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def serving(handler: Handler = echo, context: Context | None = None, **arguments: Any) -> AsyncIterator[int]:
    """A server of streams; its port."""
    async with await aio.start_server(handler, HOST, 0, context=context or server_context(), **arguments) as server:
        yield port_of(server)


async def connect(
    port: int, context: Context | None = None, **arguments: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    arguments.setdefault("server_hostname", "localhost")
    return await aio.open_connection(HOST, port, context=context or client_context(), **arguments)


class ByHand:
    """A peer whose every byte is moved by the test: a TLSConnection beside a TCP stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: TLSConnection) -> None:
        self.reader = reader
        self.writer = writer
        self.connection = connection
        self.ended = False

    @classmethod
    async def connect(cls, port: int, context: Context | None = None, **options: Any) -> ByHand:
        reader, writer = await asyncio.open_connection(HOST, port)
        options.setdefault("server_hostname", "localhost")
        connection = TLSConnection(context or client_context(), server_side=False, **options)
        connection.advance(0.0)
        return cls(reader, writer, connection)

    async def send(self) -> None:
        """Send what is ready."""
        self.writer.write(self.connection.data_to_send(0.0))
        await self.writer.drain()

    async def step(self) -> None:
        """Send what is ready, then take in what comes next."""
        await self.send()
        data = await self.reader.read(65_536)
        if data:
            self.connection.receive_data(data, 0.0)
        else:
            self.ended = True
            self.connection.receive_eof(0.0)

    async def until(self, condition: Callable[[], object]) -> None:
        async with patience():
            while not condition():
                assert not self.ended, self.connection.error
                await self.step()
        await self.send()

    async def handshake(self) -> ByHand:
        await self.until(lambda: self.connection.handshake_complete)
        return self

    async def receive(self, size: int) -> bytes:
        await self.until(lambda: self.connection.pending() >= size)
        return self.connection.read(size)

    async def finish(self) -> None:
        """Take in what comes until the other side has closed its socket."""
        async with patience():
            while not self.ended:
                await self.step()

    async def close(self) -> None:
        """Close the socket, without a word of TLS."""
        self.connection.close()
        await close(self.writer)


class Wire(asyncio.Transport):
    """A raw transport in memory that notes every call; at its other end is a connection that the test moves."""

    def __init__(self, peer: TLSConnection) -> None:
        super().__init__()
        self.peer = peer
        self.written: list[bytes] = []
        self.carried = 0  # so many of them
        self.calls: list[str] = []
        self.buffered = 0  # what it claims to hold back
        self.protocol: Any = None
        self.closing = False

    @classmethod
    async def to_server(cls, application: asyncio.BaseProtocol, **arguments: Any) -> tuple[Wire, asyncio.Transport]:
        """A server's transport whose handshake is complete, on a wire to a client."""
        wire = cls(TLSConnection(client_context(), server_side=False, server_hostname="localhost"))
        arguments.setdefault("context", server_context(ticket_count=0))
        wire.peer.advance(0.0)
        upgrade = asyncio.create_task(aio.start_tls(wire, application, server_side=True, **arguments))
        while not upgrade.done():
            await asyncio.sleep(0)
            wire.exchange()
        wire.written.clear()
        wire.carried = 0
        return wire, upgrade.result()

    def exchange(self) -> None:
        """Carry what there is, both ways."""
        while self.carried < len(self.written):
            self.peer.receive_data(self.written[self.carried], 0.0)
            self.carried += 1
        data = self.peer.data_to_send(0.0)
        if data and self.protocol is not None:
            self.feed(data)

    async def arrived(self, size: int) -> None:
        """Carry bytes until the peer has so much data."""
        async with patience():
            while self.peer.pending() < size:
                self.exchange()
                await asyncio.sleep(0)

    def feed(self, data: bytes) -> None:
        """Bytes arrive."""
        buffer = self.protocol.get_buffer(-1)
        buffer[: len(data)] = data
        self.protocol.buffer_updated(len(data))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"limits {low} {high}")

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def close(self) -> None:
        self._end("close")

    def abort(self) -> None:
        self._end("abort")

    def _end(self, how: str) -> None:
        self.calls.append(how)
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
