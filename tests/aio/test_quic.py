"""QUIC in asyncio: streams, datagrams, how connections end, servers with many on one socket, pauses."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from caesura import aio
from caesura.aio.quic_link import QUICLink
from caesura.aio.quic_stream import HIGH, StreamReader, StreamWriter
from caesura.context import QUIC_EARLY_DATA, Context, Method
from caesura.crypto.trust import TrustStore
from caesura.engines import DelayEngine, Operation, ThreadEngine
from caesura.errors import (
    CertificateVerifyError,
    ConfigError,
    IdleTimeout,
    PeerAlert,
    PeerClose,
    StreamReset,
    StreamStopped,
    UsageError,
    ZeroReturn,
    ZeroRTTRejected,
)
from caesura.events import EarlyDataStatus
from caesura.quic.ecn import ECT0, EcnState
from caesura.sessions import SessionCache
from tests.aio import support
from tests.aio.relay import Relay
from tests.aio.support import HOST, alive, port_of, until, virtual_time
from tests.support.pki import pki
from tests.support.virtual_loop import patience

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]

DATA = bytes(range(256)) * 4096  # 1 MiB
CLOSING = 0.001  # seconds: nothing is lost here that would have to be said again


def server_context(**settings: Any) -> Context:
    return support.server_context(**{"method": Method.QUIC, "alpn": ["echo"], **settings})


def client_context(**settings: Any) -> Context:
    return support.client_context(**{"method": Method.QUIC, "alpn": ["echo"], **settings})


async def echo_stream(reader: StreamReader | None, writer: StreamWriter | None) -> None:
    assert reader is not None
    if writer is None:
        await reader.read()
        return
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def echo(conn: QUICLink) -> None:
    """Sends back on each stream what comes there."""
    async with asyncio.TaskGroup() as group:
        async for reader, writer in conn.streams():
            group.create_task(echo_stream(reader, writer))


Handler = Callable[[QUICLink], Awaitable[None]]


@asynccontextmanager
async def serving(
    handler: Handler = echo, context: Context | None = None, **arguments: Any
) -> AsyncIterator[aio.QUICServer]:
    arguments = {"host": HOST, "ssl_shutdown_timeout": CLOSING, "context": context or server_context(), **arguments}
    async with patience(), await aio.serve_quic(handler, **arguments) as server:
        yield server


async def connect(server: aio.QUICServer | int, context: Context | None = None, **arguments: Any) -> QUICLink:
    arguments = {"server_hostname": "localhost", "ssl_shutdown_timeout": CLOSING, **arguments}
    port = server if isinstance(server, int) else port_of(server)
    return await aio.connect_quic(HOST, port, context=context or client_context(), **arguments)


async def halves(conn: QUICLink) -> tuple[StreamReader, StreamWriter]:
    """A stream with both halves."""
    reader, writer = await conn.open_stream()
    assert reader is not None
    assert writer is not None
    return reader, writer


class Kept:
    """A handler that keeps its connection for the test, until that closes it."""

    def __init__(self) -> None:
        self._links: asyncio.Queue[QUICLink] = asyncio.Queue()

    async def __call__(self, conn: QUICLink) -> None:
        self._links.put_nowait(conn)
        await until(conn.is_closing)

    async def next(self) -> QUICLink:
        return await self._links.get()


# --- streams ------------------------------------------------------------------------------------------------------


async def test_there_and_back() -> None:
    async with serving() as server:
        async with await connect(server) as conn:
            reader, writer = await halves(conn)
            assert isinstance(reader, asyncio.StreamReader)
            assert isinstance(writer, asyncio.StreamWriter)
            assert (reader.stream_id, writer.stream_id) == (0, 0)
            writer.write(b"one line\n")
            writer.writelines([bytearray(b"an"), memoryview(b"other\n")])
            assert await reader.readline() == b"one line\n"
            assert await reader.readline() == b"another\n"
            writer.write_eof()
            assert writer.is_closing()
            assert await reader.read() == b""
            await writer.wait_closed()
            assert not conn.is_closing()
        assert conn.is_closing()
        await until(lambda: not server.links)


async def test_many_streams_at_once_beyond_the_limit() -> None:
    async def one(conn: QUICLink, number: int) -> None:
        reader, writer = await halves(conn)
        writer.write(b"%d" % number * 1000)
        writer.close()
        assert await reader.read() == b"%d" % number * 1000

    context = server_context(quic={"initial_max_streams_bidi": 3})
    async with serving(context=context) as server, await connect(server) as conn:
        await asyncio.gather(*(one(conn, number) for number in range(20)))
        await until(lambda: not conn._streams)  # nothing is kept of those that are over


async def test_bulk_in_both_directions() -> None:
    async with serving() as server, await connect(server) as conn:
        reader, writer = await halves(conn)

        async def send() -> None:
            writer.write(DATA)
            await writer.drain()
            writer.write_eof()
            await writer.wait_closed()

        sending = asyncio.create_task(send())
        assert await reader.read() == DATA
        await sending


async def test_one_way_streams_of_both_sides() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        for one, other in ((conn, theirs), (theirs, conn)):
            reader, writer = await one.open_stream(unidirectional=True)
            assert reader is None
            assert writer is not None
            assert writer.stream_id & 2
            writer.write(b"only this way")
            writer.write_eof()
            reader, none = await anext(other.streams())
            assert none is None
            assert reader is not None
            assert await reader.read() == b"only this way"


async def test_a_slow_reader_stops_its_stream_and_no_other() -> None:
    handler = Kept()
    window = {"quic": {"initial_max_stream_data_bidi_remote": 100_000, "max_stream_data_window": 100_000}}
    async with serving(handler, server_context(**window), limit=20_000) as server, await connect(server) as conn:
        theirs = await handler.next()
        _, slow = await halves(conn)
        slow.write(DATA)
        draining = asyncio.create_task(slow.drain())
        slow_reader, _ = await anext(theirs.streams())
        assert slow_reader is not None
        await until(lambda: conn.ssl.stream_backlog(0) <= len(DATA) - 100_000)
        _, quick = await halves(conn)
        quick.write(DATA)
        quick.write_eof()
        quick_reader, _ = await anext(theirs.streams())
        assert quick_reader is not None
        assert await quick_reader.read() == DATA
        assert not draining.done()
        assert conn.ssl.stream_backlog(0) > HIGH
        assert len(await slow_reader.readexactly(len(DATA))) == len(DATA)
        await draining


async def test_reset_and_stop_sending() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        reader, writer = await halves(conn)
        writer.write(b"x")
        their_reader, their_writer = await anext(theirs.streams())
        assert their_reader is not None
        assert their_writer is not None
        assert await their_reader.read(1) == b"x"

        writer.reset(7)
        with pytest.raises(StreamReset) as reset:
            await their_reader.read()
        assert reset.value.error_code == 7
        await writer.wait_closed()

        their_writer.write(DATA)
        reader.stop_sending(9)
        assert await reader.read() == b""
        with pytest.raises(StreamStopped) as stopped:
            await their_writer.drain()
            await their_writer.wait_closed()
        assert stopped.value.error_code == 9
        with pytest.raises(StreamStopped):
            await their_writer.drain()
        their_writer.write(b"dropped")
        await until(lambda: not conn._streams and not theirs._streams)


async def test_a_stream_that_was_given_up_before_it_was_taken() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        reader, writer = await halves(conn)
        writer.write(b"x")
        reader.stop_sending(3)
        writer.reset(4)
        await until(lambda: theirs._incoming and theirs._stopped)
        their_reader, their_writer = await anext(theirs.streams())
        assert their_reader is not None
        assert their_writer is not None
        with pytest.raises(StreamReset):
            await their_reader.read()
        with pytest.raises(StreamStopped):
            await their_writer.drain()


async def test_what_cannot_be_written() -> None:
    async with serving() as server, await connect(server) as conn:
        _, writer = await halves(conn)
        with pytest.raises(TypeError, match="expected bytes"):
            writer.write("text")  # type: ignore[arg-type]
        writer.write_eof()
        writer.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            writer.write(b"x")


async def test_a_writer_that_is_dropped_concludes_nothing() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        _, writer = await halves(conn)
        writer.write(b"x")
        del writer
        reader, _ = await anext(theirs.streams())
        assert reader is not None
        assert await reader.read(1) == b"x"
        gc.collect()
        assert not reader.at_eof()


async def test_cancelling_who_waits() -> None:
    context = server_context(quic={"initial_max_streams_bidi": 1})
    async with serving(context=context) as server, await connect(server) as conn:
        await halves(conn)
        waiting = [
            asyncio.create_task(each)
            for each in (halves(conn), anext(aiter(conn.streams())), conn.recv_datagram())  # type: ignore[arg-type]
        ]
        await until(lambda: len(conn._waiting) == 3)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not conn._waiting


# --- datagrams ----------------------------------------------------------------------------------------------------


async def test_datagrams() -> None:
    async def handler(conn: QUICLink) -> None:
        while True:
            await conn.send_datagram(await conn.recv_datagram())

    settings = {"quic": {"max_datagram_frame_size": 1200, "datagram_queue": 4}}
    context = client_context(**settings)
    async with serving(handler, server_context(**settings)) as server, await connect(server, context) as conn:
        for number in range(20):  # more than the queue: it waits
            await conn.send_datagram(b"%d" % number)
            assert await conn.recv_datagram() == b"%d" % number
        for _ in range(20):
            await conn.send_datagram(bytearray(b"waits for room"))
        with pytest.raises(UsageError, match="bytes"):
            await conn.send_datagram(bytes(5000))
        with pytest.raises(TypeError, match="expected bytes"):
            await conn.send_datagram("text")  # type: ignore[arg-type]


# --- the end ------------------------------------------------------------------------------------------------------


async def test_a_code_and_a_reason() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        reader, writer = await halves(conn)
        writer.write(b"x")
        reading = asyncio.create_task(reader.read())
        await theirs.close(77, "enough")
        with pytest.raises(PeerClose, match="enough") as closed:
            await reading
        assert closed.value.error_code == 77
        for refused in (halves(conn), conn.recv_datagram(), conn.send_datagram(b"x"), writer.drain()):
            with pytest.raises(PeerClose):
                await refused
        with pytest.raises(PeerClose):
            async for _ in conn.streams():
                pass


async def test_a_clean_end() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        reader, writer = await halves(conn)
        writer.write(b"x")
        taken = [each async for each in _closing(theirs, conn)]
        assert len(taken) == 1
        with pytest.raises(ZeroReturn, match="by the peer"):
            await theirs.open_stream()
        with pytest.raises(ZeroReturn, match="on this side"):
            await conn.open_stream()
        with pytest.raises(ZeroReturn):
            await reader.read()
        with pytest.raises(ZeroReturn):
            await writer.wait_closed()
        writer.write(b"dropped")
        await conn.close()


async def _closing(theirs: QUICLink, conn: QUICLink) -> AsyncIterator[object]:
    """The streams that come before the other side closes."""
    async for each in theirs.streams():
        yield each
        conn.begin_close()


async def test_what_came_before_the_end_can_be_read() -> None:
    handler = Kept()
    async with serving(handler, limit=1000) as server, await connect(server) as conn:
        theirs = await handler.next()
        _, writer = await halves(conn)
        writer.write(bytes(50_000))
        writer.write_eof()
        reader, _ = await anext(theirs.streams())
        assert reader is not None
        await writer.wait_closed()
        await conn.close()
        assert len(await reader.read()) == 50_000


@virtual_time
async def test_abort_says_nothing() -> None:
    handler = Kept()
    async with serving(handler) as server:
        conn = await connect(server)
        theirs = await handler.next()
        conn.abort()
        with pytest.raises(ZeroReturn):
            await conn.open_stream()
        with pytest.raises(IdleTimeout):
            await theirs.recv_datagram()


async def test_facts() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        assert conn.get_extra_info("peername") == (HOST, port_of(server))
        assert conn.get_extra_info("sockname") == theirs.get_extra_info("peername")
        assert conn.get_extra_info("caesura") is conn.ssl
        view = conn.get_extra_info("ssl_object")
        assert (view.version(), view.selected_alpn_protocol(), view.pending()) == ("QUICv1", "echo", 0)
        assert view.cipher()[1] == "QUICv1"
        assert conn.get_extra_info("peercert")["subject"]
        assert conn.get_extra_info("no such fact", 7) == 7
        assert repr(conn) == f"<TrackedQUIC {(HOST, port_of(server))} open>"
        reader, writer = await halves(conn)
        assert writer.get_extra_info("stream_id") == 0
        assert writer.get_extra_info("caesura") is conn.ssl
        assert writer.can_write_eof()
        assert repr(writer.transport) == "<Stream 0>"
        assert reader.stream_id == 0


# --- handshakes ---------------------------------------------------------------------------------------------------


async def test_nobody_there() -> None:
    async with serving() as server:
        port = port_of(server)
    with pytest.raises(ConnectionRefusedError):
        await connect(port)


async def test_a_server_that_is_not_trusted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "caesura")
    async with serving() as server:
        with pytest.raises(CertificateVerifyError):
            await connect(server, client_context(trust=TrustStore.load(pki().other_root.pem)))
        await until(lambda: "failed" in caplog.text)
        with pytest.raises(PeerAlert):
            await connect(server, client_context(alpn=["other"]))


@virtual_time
async def test_a_handshake_that_takes_too_long() -> None:
    with udp_socket(0) as nobody, pytest.raises(ConnectionAbortedError, match=r"QUIC handshake .* 20 seconds"):
        await connect(nobody.getsockname()[1], ssl_handshake_timeout=20)


@pytest.mark.parametrize("where", ["client", "server"])
async def test_paused_operations(where: str) -> None:
    operations = {Operation.SIGN, Operation.KEY_EXCHANGE, Operation.VERIFY_CHAIN, Operation.VERIFY_SIGNATURE}
    with ThreadEngine(2, operations=operations) as engine:
        server = server_context(engine=engine) if where == "server" else server_context()
        client = client_context(engine=engine) if where == "client" else client_context()
        async with serving(context=server) as listening, await connect(listening, client) as conn:
            reader, writer = await halves(conn)
            writer.write(b"x")
            assert await reader.read(1) == b"x"


async def test_cancelling_a_handshake_cancels_its_paused_work() -> None:
    cancelled = asyncio.Event()

    async def verify(chain: object) -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return True

    async with serving() as server:
        connecting = asyncio.create_task(connect(server, client_context(verify_peer=verify)))
        await until(lambda: any(each.ssl.waiting_for_async for each in alive))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await cancelled.wait()


async def test_resumption_and_a_token() -> None:
    settings = {"quic": {"retry": True}}
    client = client_context(sessions=SessionCache())
    async with serving(context=server_context(**settings)) as server:
        async with await connect(server, client) as conn:
            await until(lambda: conn.ssl.session is not None and conn.ssl.new_token is not None)
            session, token = conn.ssl.session, conn.ssl.new_token
        assert not conn.ssl.session_reused
        async with await connect(server, client, session=session, token=token) as conn:
            assert conn.ssl.session_reused


@pytest.mark.parametrize("handler_waits", [True, False])
async def test_early_data(handler_waits: bool) -> None:
    seen: list[tuple[bytes, bool]] = []

    async def handler(conn: QUICLink) -> None:
        async for reader, writer in conn.streams():
            assert reader is not None
            assert writer is not None
            seen.append((await reader.read(), conn.complete))
            await conn.wait_handshake()
            writer.write(b"answer")
            writer.write_eof()

    client, server = client_context(sessions=SessionCache()), server_context(max_early_data=QUIC_EARLY_DATA)

    async def ask(port: int) -> EarlyDataStatus:
        async with await connect(port, client, early_data=True) as conn:
            reader, writer = await halves(conn)
            writer.write(b"question")
            writer.write_eof()
            assert await reader.read() == b"answer"
            await until(lambda: conn.ssl.session is not None)
            status: EarlyDataStatus = conn.get_extra_info("early_data")
            return status

    async with serving(handler, server, early_data=not handler_waits) as serving_them:
        port = port_of(serving_them)
        assert await ask(port) is EarlyDataStatus.NOT_SENT
        assert await ask(port) is EarlyDataStatus.ACCEPTED
    assert seen == [(b"question", True), (b"question", handler_waits)]
    async with serving(handler, sock=udp_socket(port)):  # which takes no early data
        with pytest.raises(ZeroRTTRejected):
            await ask(port)
    assert len(seen) == 2


async def test_early_data_that_is_rejected() -> None:
    """Who waits for a stream that was opened early hears of it; another stream has nothing to do with the old one."""
    both = {"quic": {"max_datagram_frame_size": 1000}}
    client, server = client_context(sessions=SessionCache(), **both), server_context(**both)
    server.max_early_data = QUIC_EARLY_DATA
    async with serving(context=server) as them:
        port = port_of(them)
        async with await connect(port, client) as conn:
            await until(lambda: conn.ssl.session is not None)
    server.max_early_data = 0
    async with serving(context=server, sock=udp_socket(port)), await connect(port, client, early_data=True) as conn:
        reader, writer = await halves(conn)
        other_reader, _ = await halves(conn)
        writer.write(bytes(1_000_000))
        assert not conn.complete
        opening = asyncio.create_task(first_again(conn))
        calls = (reader.read(), other_reader.readexactly(1), writer.drain(), writer.wait_closed(), opening)
        async with asyncio.timeout(10):
            found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in found[:4]] == [ZeroRTTRejected] * 4
        assert "peer_declined" in str(found[0])
        assert isinstance(found[4], tuple)
        reader_again, writer_again = found[4]
        assert writer.stream_id == writer_again.stream_id == 0
        await conn.send_datagram(b"datagram")
        old = writer.transport
        for each in (b"x", b"y"):
            writer.write(each)
        writer.write_eof()
        writer.reset(1)
        reader.stop_sending(1)
        other_reader.stop_sending(1)
        old.abort()
        old.resume_reading()
        writer_again.write(DATA)
        assert old.get_write_buffer_size() == 0
        writer_again.write_eof()
        assert await reader_again.read() == DATA
        await writer_again.wait_closed()
        for call in (reader.read(), writer.drain(), writer.wait_closed()):
            with pytest.raises(ZeroRTTRejected):
                await call


async def first_again(conn: QUICLink) -> tuple[StreamReader, StreamWriter]:
    """Open streams, of which there may be 100, until one has the first id again."""
    for stream_id in range(8, 400, 4):
        assert (await halves(conn))[1].stream_id == stream_id
    return await halves(conn)


def udp_socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, port))
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="where the system tells of marks")
async def test_what_is_sent_is_marked_with_ecn() -> None:
    handler = Kept()
    async with serving(handler) as server, await connect(server) as conn:
        theirs = await handler.next()
        reader, writer = await halves(conn)
        writer.write(DATA)
        their_reader, their_writer = await anext(theirs.streams())
        assert their_reader is not None
        assert their_writer is not None
        await their_reader.readexactly(len(DATA))
        their_writer.write(DATA)
        await reader.readexactly(len(DATA))
        for each in (conn, theirs):
            assert each.ssl._loss.ecn.state is EcnState.CAPABLE
            assert each.ssl.ecn == ECT0


async def test_the_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match=r"Method\.QUIC"):
        await aio.connect_quic(HOST, 1, context=support.client_context())
    with pytest.raises(ConfigError, match=r"Method\.QUIC"):
        await aio.serve_quic(echo, HOST, 0, context=support.server_context())
    with pytest.raises(ValueError, match="server_hostname"):
        await aio.connect_quic(port=1, context=client_context())
    with pytest.raises(ValueError, match="sock"):
        await aio.connect_quic(HOST, context=client_context())
    with pytest.raises(ConfigError, match="alpn"):
        await aio.connect_quic(HOST, 1, context=client_context(alpn=[]))
    with pytest.raises(ConfigError, match="alpn"):
        await aio.serve_quic(echo, HOST, 0, context=server_context(alpn=[]))


# --- servers ------------------------------------------------------------------------------------------------------


async def test_many_connections_on_one_socket() -> None:
    async def one(server: aio.QUICServer, number: int) -> None:
        async with await connect(server) as conn:
            reader, writer = await halves(conn)
            writer.write(b"%d" % number)
            writer.write_eof()
            assert await reader.read() == b"%d" % number

    async with serving() as server:
        await asyncio.gather(*(one(server, number) for number in range(10)))
        await until(lambda: not server.links)
        assert server._carrier.listener.connections == ()


async def test_a_client_whose_address_changes() -> None:
    handler = Kept()
    async with serving(handler) as server:
        relay = Relay(port_of(server))
        conn = await connect(await relay.start())
        theirs = await handler.next()
        reader, writer = await halves(conn)
        writer.write(b"from here")
        their_reader, their_writer = await anext(theirs.streams())
        assert their_reader is not None
        assert their_writer is not None
        assert await their_reader.read(100) == b"from here"
        before = theirs.get_extra_info("peername")
        await until(lambda: conn.ssl.handshake_confirmed)
        await relay.move()
        writer.write(b"from there")
        assert await their_reader.read(100) == b"from there"
        their_writer.write(DATA)
        assert len(await reader.readexactly(len(DATA))) == len(DATA)
        assert theirs.get_extra_info("peername") != before
        await conn.close()
        relay.close()


async def test_noise_changes_nothing() -> None:
    dice = random.Random(1)
    async with serving() as server, await connect(server) as conn:
        with udp_socket(0) as noise:
            noise.connect((HOST, port_of(server)))
            for size in (0, 1, 7, 20, 21, 50, 1199, 1200, 1472, 9000):
                for first in (0x40, 0x80, 0xC0, 0xE0, 0xFF):
                    noise.send((bytes([first, 0, 0, 0, dice.randrange(3)]) + dice.randbytes(size))[:size])
        await halves(conn)
        reader, writer = await halves(conn)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        assert len(server.links) == 1


async def test_closing_a_server_closes_its_connections() -> None:
    handler = Kept()
    async with serving(handler) as server:
        conn = await connect(server)
        await handler.next()
        assert server.is_serving()
        assert len(server.sockets) == 1
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        await server.wait_closed()
        assert server.links == ()
        async for _ in conn.streams():
            pytest.fail("there is none")
        await conn.close()


async def test_a_handshake_under_way_when_the_server_closes() -> None:
    delay = DelayEngine(30, operations={Operation.SIGN})
    async with serving(context=server_context(engine=delay)) as server:
        connecting = asyncio.create_task(connect(server))
        await until(lambda: server.links and server.links[0].ssl.waiting_for_async)
        server.close()
        with pytest.raises(OSError):
            await connecting


async def test_a_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(conn: QUICLink) -> None:
        raise ValueError("of the handler's")

    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    async with serving(handler) as server, await connect(server) as conn:
        with suppress(PeerClose):  # the close came before the handshake was known to be complete
            async for _ in conn.streams():
                pytest.fail("there is none")
    assert reported == ["of the handler's"]
