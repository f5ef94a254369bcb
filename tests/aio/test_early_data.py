"""Early data over asyncio: what a client sends with its first flight, and when a server's application hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from caesura import aio
from caesura.context import Context
from caesura.errors import UnexpectedEOF
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.sessions import Session, SessionCache
from tests.aio.support import HOST, ByHand, Echo, Recorder, client_context, close, connect, port_of, server_context

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]


class Buffered(asyncio.BufferedProtocol):
    """Sends back what comes."""

    def __init__(self) -> None:
        self.buffer = bytearray(7)
        self.received = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        self.transport.write(self.buffer[:nbytes])


class Server:
    """A listening server, a session with it, and the protocols it has made since."""

    def __init__(self, listener: Any, context: Context, session: Session, made: asyncio.Queue[Any]) -> None:
        self.port = port_of(listener)
        self.listener = listener
        self.context = context
        self.session = session
        self.made = made

    async def by_hand(self, early_data: bytes = b"early") -> ByHand:
        """A client that has sent its hello and early data, and whose answer is not read."""
        peer = await ByHand.connect(
            self.port, client_context(sessions=SessionCache()), session=self.session, early_data=early_data
        )
        await peer.send()
        return peer

    async def protocol(self) -> Any:
        async with asyncio.timeout(20):
            return await self.made.get()


@asynccontextmanager
async def listening(
    make: Any = Echo, *, early_data: bool = True, arguments: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Server]:
    context = server_context(**{"max_early_data": 1000, **settings})
    made: asyncio.Queue[Any] = asyncio.Queue()

    def factory() -> asyncio.BaseProtocol:
        protocol = make()
        made.put_nowait(protocol)
        return protocol  # type: ignore[no-any-return]

    async with await aio.create_server(
        factory, HOST, 0, context=context, early_data=early_data, **(arguments or {})
    ) as listener:
        peer = await ByHand.connect(port_of(listener), client_context(sessions=SessionCache()))
        await peer.until(lambda: peer.connection.session is not None)
        assert peer.connection.session is not None
        session = peer.connection.session
        (await made.get()).transport.abort()
        await peer.close()
        yield Server(listener, context, session, made)
        listener.abort_clients()


async def test_streams_there_and_back() -> None:
    """All a program has to say on either side."""
    seen: list[Any] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(100))
        seen.append(writer.get_extra_info("caesura").handshake_complete)
        writer.write(b"answer")
        await aio.wait_handshake(writer)
        seen.append(writer.get_extra_info("caesura").handshake_complete)
        seen.append(writer.get_extra_info("early_data"))
        seen.append(await reader.read(100))
        await close(writer)

    ours = client_context()
    async with await aio.start_server(
        handler, HOST, 0, context=server_context(max_early_data=1000), early_data=True
    ) as server:
        reader, writer = await connect(port_of(server), ours)
        assert writer.get_extra_info("early_data") is EarlyDataStatus.NOT_SENT
        writer.write(b"hello")
        assert await reader.readexactly(6) == b"answer"
        await close(writer)
        reader, writer = await connect(port_of(server), ours, early_data=b"request")
        assert writer.get_extra_info("early_data") is EarlyDataStatus.ACCEPTED
        assert await reader.readexactly(6) == b"answer"
        writer.write(b"more")
        assert await reader.read() == b""
        await close(writer)
    status = EarlyDataStatus
    assert seen[:5] == [b"hello", True, True, status.NOT_SENT, b""]
    assert seen[5:] == [b"request", False, True, status.ACCEPTED, b"more"]


async def test_without_the_switch_it_is_data_like_any_other() -> None:
    """By the time the application hears of it the client is known to be there."""
    async with listening(early_data=False) as server:
        peer = await server.by_hand()
        await peer.until(lambda: peer.connection.handshake_complete)
        theirs = await server.protocol()
        assert theirs.transport.get_extra_info("caesura").handshake_complete
        await theirs.has(b"early")
        assert theirs.transport.get_extra_info("early_data") is EarlyDataStatus.ACCEPTED
        assert await peer.receive(5) == b"early"
        await aio.wait_handshake(theirs.transport)
        await peer.close()


async def test_a_protocol_hears_before_the_handshake_is_complete() -> None:
    async with listening() as server:
        peer = await server.by_hand()
        theirs = await server.protocol()
        await theirs.has(b"early")
        assert not theirs.transport.get_extra_info("caesura").handshake_complete
        assert peer.connection.write_early_data(b", more") == 6
        await peer.send()
        await theirs.has(b"early, more")
        await peer.until(lambda: peer.connection.pending() == 11)
        assert peer.connection.read() == b"early, more"
        await aio.wait_handshake(theirs.transport)
        peer.connection.write(b", late")
        await peer.send()
        await theirs.has(b"early, more, late")
        await peer.close()


async def test_buffered_protocols_too() -> None:
    async with listening(Buffered) as server:
        peer = await server.by_hand(b"longer than its buffer is")
        assert await peer.receive(25) == b"longer than its buffer is"
        await peer.close()


async def test_early_data_that_nobody_reads_yet_stays_in_front() -> None:
    class Slow(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    async with listening(Slow) as server:
        peer = await server.by_hand(b"one, ")
        theirs = await server.protocol()
        await theirs.told("made")
        await peer.handshake()
        peer.connection.write(b"two")
        await peer.send()
        await asyncio.sleep(0)
        theirs.transport.resume_reading()
        await theirs.has(b"one, two")
        await peer.close()


async def test_answer_and_close_before_the_handshake_is_complete() -> None:
    class Brief(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"answer")
            self.transport.close()

    async with listening(Brief) as server:
        peer = await server.by_hand()
        theirs = await server.protocol()
        await peer.until(lambda: peer.connection.close_notify_received)
        assert peer.connection.read() == b"answer"
        peer.connection.shutdown()
        await peer.send()
        await peer.finish()
        await theirs.told("lost")
        assert theirs.error is None
        await peer.close()


async def test_a_copy_is_dropped_in_time() -> None:
    """Whoever has only copied a flight can never complete the handshake: it does not hold a connection for long."""
    async with listening(arguments={"ssl_handshake_timeout": 0.05}) as server:
        peer = await server.by_hand()
        theirs = await server.protocol()
        await theirs.has(b"early")
        with pytest.raises(ConnectionAbortedError, match="not complete within"):
            await aio.wait_handshake(theirs.transport)
        await theirs.told("lost")
        assert isinstance(theirs.error, ConnectionAbortedError)
        with pytest.raises(ConnectionAbortedError):
            await aio.wait_handshake(theirs.transport)
        await peer.close()


async def test_handshake_that_fails_later() -> None:
    async with listening() as server:
        peer = await server.by_hand()
        theirs = await server.protocol()
        await theirs.has(b"early")
        waiting = asyncio.create_task(aio.wait_handshake(theirs.transport))
        await asyncio.sleep(0)
        peer.writer.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        await peer.writer.drain()
        with pytest.raises(Exception, match="record"):
            await waiting
        await theirs.told("lost")
        await peer.close()


@pytest.mark.parametrize("how", ["hangs up", "is aborted", "is cancelled"])
async def test_waiting_for_a_handshake_ends(how: str) -> None:
    async with listening() as server:
        peer = await server.by_hand()
        theirs = await server.protocol()
        await theirs.has(b"early")
        waiting = asyncio.create_task(aio.wait_handshake(theirs.transport))
        await asyncio.sleep(0)
        if how == "hangs up":
            await peer.close()
            with pytest.raises(UnexpectedEOF):
                await waiting
        elif how == "is aborted":
            theirs.transport.abort()
            with pytest.raises(ConnectionAbortedError):
                await waiting
        else:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await peer.handshake()
            await aio.wait_handshake(theirs.transport)
        if how != "hangs up":
            await peer.close()


async def test_closing_the_server_drops_whom_it_has_met_early() -> None:
    async with listening() as server:
        peer = await server.by_hand()
        theirs = await server.protocol()
        await theirs.has(b"early")
        server.listener.close()
        await theirs.told("lost")
        await peer.close()


@pytest.mark.parametrize("early_data", [b"", b"x" * 1001], ids=["nothing", "too much"])
async def test_what_a_client_is_told(early_data: bytes) -> None:
    ours = client_context()
    async with listening(early_data=False) as server:
        reader, writer = await connect(server.port, ours, session=server.session, early_data=early_data)
        connection = writer.get_extra_info("caesura")
        if early_data:
            assert connection.early_data_status is EarlyDataStatus.NOT_SENT
            assert connection.early_data_reason is EarlyDataReason.LIMIT
        else:
            assert connection.early_data_status is EarlyDataStatus.ACCEPTED
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await close(writer)


async def test_rejected_early_data_is_not_sent_again() -> None:
    async with listening() as server:
        server.context.max_early_data = 0
        reader, writer = await connect(
            server.port, client_context(sessions=None), session=server.session, early_data=b"x"
        )
        assert writer.get_extra_info("early_data") is EarlyDataStatus.REJECTED
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        theirs = await server.protocol()
        assert theirs.received == b"again"
        await close(writer)


async def test_not_a_transport_of_ours() -> None:
    with pytest.raises(TypeError, match=r"caesura\.aio"):
        await aio.wait_handshake(asyncio.Transport())
