"""STARTTLS, and TLS inside TLS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caesura import aio
from caesura.engines import DelayEngine
from caesura.errors import CertificateVerifyError, Error, UsageError
from caesura.tls import TLSConnection
from tests.aio.support import (
    HOST,
    ByHand,
    Recorder,
    Wire,
    client_context,
    close,
    connect,
    port_of,
    protocols,
    server_context,
    serving,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]


async def plain_server(handler: Any) -> asyncio.Server:
    return await asyncio.start_server(handler, HOST, 0)


async def starttls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that speaks two lines in the clear, then echoes over TLS."""
    try:
        writer.write(b"ready\n")
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await aio.start_tls(writer, context=server_context(), server_side=True)
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        await close(writer)


async def test_streams_are_upgraded_in_place() -> None:
    async with await plain_server(starttls) as server:
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        assert await reader.readline() == b"ready\n"
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go ahead\n"
        transport = await aio.start_tls(writer, context=client_context(), server_hostname="localhost")
        assert writer.transport is transport
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        data = bytes(range(256)) * 8000  # more than a reader buffers: it has to hold the right transport
        writer.write(data)
        await writer.drain()
        assert await reader.readexactly(len(data)) == data
        writer.write_eof()
        assert await reader.read() == b""
        await close(writer)


async def test_who_holds_reading_during_the_handshake_holds_the_old_transport_after_it() -> None:
    async with await plain_server(starttls) as server:
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        await reader.readline()
        writer.write(b"STARTTLS\n")
        await reader.readline()
        raw = writer.transport
        upgrade = asyncio.ensure_future(aio.start_tls(writer, context=client_context(), server_hostname="localhost"))
        while writer.transport is raw:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
        writer.transport.pause_reading()
        transport = await upgrade
        assert not raw.is_reading()
        transport.resume_reading()
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        assert raw.is_reading()
        await close(writer)


async def test_a_reader_that_is_full_holds_the_new_transport() -> None:
    async with await plain_server(starttls) as server:
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        await reader.readline()
        writer.write(b"STARTTLS\n")
        await reader.readline()
        transport = await aio.start_tls(writer, context=client_context(), server_hostname="localhost")
        writer.write(bytes(300_000))
        async with asyncio.timeout(20):
            while transport.is_reading():  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
        assert len(await reader.readexactly(300_000)) == 300_000
        assert transport.is_reading()
        await close(writer)


async def test_an_application_that_was_told_to_pause_before_is_told_to_resume() -> None:
    wire, transport = await Wire.to_server(application := Recorder())
    wire.protocol.resume_writing()
    assert application.calls == ["resume"]
    transport.abort()
    await application.told("lost")


@pytest.mark.parametrize("failure", [None, OSError, NotImplementedError])
async def test_a_refused_client_is_waited_for_if_the_transport_can_end_one_direction(
    failure: type[Exception] | None,
) -> None:
    wire = Wire(TLSConnection(client_context(), server_side=False, server_hostname="localhost"))
    if failure is not None:
        wire.write_eof = raises(failure)  # type: ignore[method-assign]
    task = asyncio.create_task(
        aio.start_tls(wire, application := Recorder(), context=server_context(), server_side=True)
    )
    await asyncio.sleep(0)
    wire.feed(b"no hello at all")
    wire.feed(b"nobody listens to this")
    with pytest.raises(Error):
        await task
    assert len(wire.written) == 1
    assert wire.calls == (["write_eof"] if failure is None else ["close"])
    if failure is None:
        assert not wire.protocol.eof_received()
        wire.close()
    await application.told("lost")


def raises(error: type[Exception]) -> Any:
    def function() -> None:
        raise error

    return function


async def test_a_client_that_begins_early_loses_nothing() -> None:
    async with await plain_server(starttls) as server:
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        connection = TLSConnection(client_context(), server_side=False, server_hostname="localhost")
        connection.advance(0.0)
        writer.write(b"STARTTLS\n" + connection.data_to_send(0.0))  # the hello comes before the upgrade
        assert await reader.readline() == b"ready\n"
        assert await reader.readline() == b"go ahead\n"
        peer = await ByHand(reader, writer, connection).handshake()
        peer.connection.write(b"early")
        assert await peer.receive(5) == b"early"
        await peer.close()


async def test_plain_text_slipped_in_before_the_upgrade_is_not_taken_for_data() -> None:
    received = b""
    failed: asyncio.Future[Error] = asyncio.get_running_loop().create_future()

    async def server_side(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        assert await reader.readline() == b"STARTTLS\n"
        try:
            await aio.start_tls(writer, context=server_context(), server_side=True)
            received = await reader.read(100)
        except Error as error:
            failed.set_result(error)
        await close(writer)

    async with await plain_server(server_side) as server:
        _, writer = await asyncio.open_connection(HOST, port_of(server))
        writer.write(b"STARTTLS\nMAIL FROM:<intruder@example.test>\n")
        await failed
        await close(writer)
    assert received == b""


async def test_an_upgrade_that_fails_closes_the_streams() -> None:
    async with await plain_server(starttls) as server:
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        await reader.readline()
        writer.write(b"STARTTLS\n")
        await reader.readline()
        with pytest.raises(CertificateVerifyError):
            await aio.start_tls(writer, context=client_context(), server_hostname="other.test")
        with pytest.raises(CertificateVerifyError):
            await reader.read()
        with pytest.raises(OSError):
            await writer.wait_closed()


async def test_an_upgrade_can_be_cancelled() -> None:
    engine = DelayEngine(None)
    async with await plain_server(starttls) as server:
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        await reader.readline()
        writer.write(b"STARTTLS\n")
        await reader.readline()
        task = asyncio.create_task(
            aio.start_tls(writer, context=client_context(engine=engine), server_hostname="localhost")
        )
        async with asyncio.timeout(20):
            while not engine.waiting:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not engine.waiting
        await close(writer)


class Upgrading(Recorder):
    """A protocol that upgrades its own transport when the word comes."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments
        self.task: asyncio.Task[Any] | None = None

    def data_received(self, data: bytes) -> None:
        if self.task is None:
            word, _, rest = data.partition(b"\n")
            assert word == b"upgrade"
            self.task = asyncio.create_task(self.upgrade(rest))
        else:
            super().data_received(data)

    async def upgrade(self, received: bytes) -> None:
        self.transport = await aio.start_tls(self.transport, self, received=received, **self.arguments)
        self.note("upgraded")


async def test_protocols_are_upgraded_in_both_roles() -> None:
    loop = asyncio.get_running_loop()
    theirs = Upgrading({"context": server_context(), "server_side": True})
    ours = Upgrading({"context": client_context(), "server_hostname": "localhost"})
    server = await loop.create_server(lambda: theirs, HOST, 0)
    async with server:
        transport, _ = await loop.create_connection(lambda: ours, HOST, port_of(server))
        await theirs.told("made")
        theirs.transport.write(b"upgrade\n")
        transport.write(b"upgrade\n")
        await theirs.told("upgraded")
        await ours.told("upgraded")
        assert ours.transport is not transport
        assert ours.calls.count("made") == 1
        theirs.transport.write(b"hello")
        ours.transport.write(b"world")
        await ours.has(b"hello")
        await theirs.has(b"world")
        ours.transport.close()
        await ours.told("lost")
        await theirs.told("lost")
        assert (ours.error, theirs.error) == (None, None)


async def test_reading_that_was_paused_before_goes_on() -> None:
    loop = asyncio.get_running_loop()
    theirs, ours = Recorder(), Recorder()
    server = await loop.create_server(lambda: theirs, HOST, 0)
    async with server:
        transport, _ = await loop.create_connection(lambda: ours, HOST, port_of(server))
        await theirs.told("made")
        transport.pause_reading()
        theirs.transport.pause_reading()
        both = await asyncio.gather(
            aio.start_tls(theirs.transport, theirs, context=server_context(), server_side=True),
            aio.start_tls(transport, ours, context=client_context(), server_hostname="localhost"),
        )
        both[0].write(b"hello")
        await ours.has(b"hello")
        for each in both:
            each.abort()
        await ours.told("lost")
        await theirs.told("lost")


async def test_tls_inside_tls() -> None:
    async with protocols() as (theirs, ours):
        inner = await asyncio.gather(
            aio.start_tls(theirs.transport, theirs, context=server_context(), server_side=True),
            aio.start_tls(ours.transport, ours, context=client_context(), server_hostname="localhost"),
        )
        data = bytes(range(256)) * 4000
        inner[0].write(data)
        inner[1].write(b"inside")
        await ours.has(data)
        await theirs.has(b"inside")
        assert inner[1].get_extra_info("peername") == ours.transport.get_extra_info("peername")
        inner[1].close()
        await ours.told("lost")
        await theirs.told("lost")
        assert (ours.error, theirs.error) == (None, None)


async def test_tls_inside_tls_over_streams() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await aio.start_tls(writer, context=server_context(), server_side=True)
        writer.write(await reader.readexactly(4))
        assert await reader.read() == b""
        await close(writer)

    async with serving(handler) as port:
        reader, writer = await connect(port)
        await aio.start_tls(writer, context=client_context(), server_hostname="localhost")
        writer.write(b"deep")
        assert await reader.readexactly(4) == b"deep"
        await close(writer)


async def test_what_an_upgrade_needs() -> None:
    async with protocols() as (_, ours):
        with pytest.raises(TypeError, match="protocol"):
            await aio.start_tls(ours.transport, context=client_context())
        with pytest.raises(UsageError, match="server_hostname"):
            await aio.start_tls(ours.transport, ours, context=client_context())
