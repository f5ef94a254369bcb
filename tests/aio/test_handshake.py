"""Handshakes that fail, take too long, or are given up."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from caesura import aio
from caesura.aio.endpoint import Endpoint
from caesura.context import Verify
from caesura.engines import DelayEngine
from caesura.errors import AlertDescription, CertificateVerifyError, Error, OperationFailed, PeerAlert, UnexpectedEOF
from caesura.tls import TLSConnection
from caesura.wire.records import HEADER
from tests.aio.support import (
    HOST,
    ByHand,
    Recorder,
    Tracked,
    Wire,
    client_context,
    close,
    connect,
    identity,
    port_of,
    server_context,
    serving,
    trust,
    virtual_time,
)
from tests.support.pki import Credential, pki

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """A TCP server that accepts and says nothing."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while await reader.read(65_536):
                pass
        await close(writer)

    server = await asyncio.start_server(handler, HOST, 0)
    async with server:
        yield port_of(server)


# --- what is wrong with the other side -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "alert"),
    [
        ("other_ca", AlertDescription.unknown_ca),
        ("expired", AlertDescription.certificate_expired),
        ("no_san", AlertDescription.bad_certificate),
    ],
)
async def test_a_certificate_that_is_refused(
    credential: str, alert: AlertDescription, caplog: pytest.LogCaptureFixture
) -> None:
    shown: Credential = getattr(pki(), credential)
    ended: asyncio.Queue[None] = asyncio.Queue()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ended.put_nowait(None)

    logger = logging.getLogger("caesura")
    watch = Watch()
    logger.addHandler(watch)
    with caplog.at_level(logging.DEBUG, "caesura"):
        async with serving(context=server_context(identity=identity(shown))) as port:
            with pytest.raises(CertificateVerifyError) as caught:
                await connect(port)
            assert caught.value.description is alert
            assert caught.value.verify_message
            await ended.get()  # the alert has reached the server
    logger.removeHandler(watch)
    (record,) = [each for each in caplog.records if each.name == "caesura"]
    assert record.levelname == "DEBUG"
    assert alert.name in record.getMessage()


async def test_a_name_that_the_certificate_does_not_have() -> None:
    async with serving() as port:
        with pytest.raises(CertificateVerifyError):
            await connect(port, server_hostname="other.test")


async def test_an_address_is_a_name_too() -> None:
    async with serving() as port:
        reader, writer = await connect(port, server_hostname=None)
        assert writer.get_extra_info("ssl_object").server_hostname == HOST
        writer.write_eof()
        assert await reader.read() == b""
        await close(writer)


async def test_nothing_in_common() -> None:
    async with serving(context=server_context(alpn=["h2"])) as port:
        with pytest.raises(PeerAlert) as caught:
            await connect(port, client_context(alpn=["http/1.1"]))
    assert caught.value.description is AlertDescription.no_application_protocol


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_a_client_without_the_certificate_hears_why(size: int) -> None:
    """Although it has sent data by then, which nobody reads any more."""
    async with serving(context=server_context(verify=Verify.REQUIRED, trust=trust())) as port:
        reader, writer = await connect(port)  # in TLS 1.3 the client is done first
        writer.write(bytes(size))
        with pytest.raises(PeerAlert) as caught:
            await reader.read()
        assert caught.value.description is AlertDescription.certificate_required
        await close(writer)


async def test_plain_text_is_answered_by_an_alert() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        content_type, _, length = HEADER.unpack_from(answer)
        assert (content_type, length, len(answer)) == (21, 2, 7)
        await close(writer)


async def test_a_peer_that_goes_in_the_middle() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        await close(writer)

    server = await asyncio.start_server(handler, HOST, 0)
    async with server:
        with pytest.raises(UnexpectedEOF):
            await connect(port_of(server))


async def test_nobody_listens() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, HOST, 0)
    port = port_of(server)
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await connect(port)


async def test_a_failed_handshake_makes_no_protocol() -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with await aio.create_server(factory, HOST, 0, context=server_context()) as server:
        with pytest.raises(Error):
            await connect(port_of(server), server_hostname="other.test")
    assert not made


# --- time ------------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_client_does_not_wait_for_ever() -> None:
    async with silent_server() as port:
        with pytest.raises(ConnectionAbortedError, match=r"handshake .* 60 seconds"):
            await connect(port)


@virtual_time
async def test_nor_does_a_server() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await reader.read() == b""
        await close(writer)


@virtual_time
async def test_the_time_of_a_handshake_counts_its_pauses() -> None:
    engine = DelayEngine(None)
    async with serving() as port:
        with pytest.raises(ConnectionAbortedError):
            await connect(port, client_context(engine=engine), ssl_handshake_timeout=20)
        assert not engine.waiting
        server = server_context(engine=engine)
    async with serving(context=server, ssl_handshake_timeout=20) as port:
        with pytest.raises(OSError):
            await connect(port)
        assert not engine.waiting


@virtual_time
async def test_a_client_that_fails_and_stays_is_dropped() -> None:
    server = server_context(verify=Verify.REQUIRED, trust=trust())
    async with serving(context=server) as port:
        peer = await (await ByHand.connect(port)).handshake()
        with suppress(OSError):
            await peer.finish()  # our direction stays open; the server's end comes all the same
        assert isinstance(peer.connection.error, PeerAlert)
        with pytest.raises(OSError):
            while True:
                peer.writer.write(b"still here")
                await peer.writer.drain()
                await asyncio.sleep(1)
        await peer.close()


# --- giving up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(14))
async def test_cancelling_at_every_moment(turns: int) -> None:
    unheard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    async with serving() as port:
        task = asyncio.create_task(connect(port))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await close(task.result()[1])
        await close((await connect(port))[1])  # by now the server has seen the first one too
        gc.collect()
    assert not unheard


class Broken:
    """A session store that fails at once."""

    def put(self, session: object) -> None:
        raise ZeroDivisionError

    def take(self, binding: bytes) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("soon", [False, True])
async def test_cancelling_when_the_handshake_may_have_failed_already(soon: bool, turns: int) -> None:
    unheard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    async with silent_server() as port:
        task = asyncio.create_task(connect(port, client_context(sessions=Broken())))
        for _ in range(turns):
            await asyncio.sleep(0)
        if soon:  # at another place among what this turn of the loop does
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            task.cancel()
        with pytest.raises((asyncio.CancelledError, OperationFailed)):
            await task
        del task
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
    assert not unheard


async def test_a_failure_that_nobody_waits_for_any_more_is_no_complaint() -> None:
    unheard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    outcome: asyncio.Future[asyncio.BaseProtocol] = loop.create_future()
    context = client_context(sessions=Broken())
    given_up = Tracked(Endpoint(Recorder, context, server_side=False, server_hostname="localhost"), outcome)
    wire = Wire(TLSConnection(server_context(), server_side=True))
    wire.set_protocol(given_up)
    given_up.connection_made(wire)
    assert outcome.done()
    given_up.give_up()
    del given_up, outcome, wire
    await asyncio.sleep(0)
    gc.collect()
    assert not unheard


async def test_cancelling_drops_what_is_paused_and_closes_the_socket() -> None:
    engine = DelayEngine(None)
    async with silent_server() as port:
        task = asyncio.create_task(connect(port, client_context(engine=engine)))
        async with asyncio.timeout(20):
            while not engine.waiting:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not engine.waiting


@pytest.mark.parametrize("held", range(4))
async def test_cancelling_at_every_pause(held: int) -> None:
    engine = DelayEngine(None)
    async with serving() as port:
        task = asyncio.create_task(connect(port, client_context(engine=engine)))
        async with asyncio.timeout(20):
            for _ in range(held):
                while not engine.waiting:  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0)
                engine.release(len(engine.waiting))
            while not engine.waiting and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not engine.waiting


async def test_cancelling_before_there_is_a_connection() -> None:
    task = asyncio.create_task(connect(9))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, OSError)):
        await task


async def test_facts_are_those_of_the_context_that_was_selected() -> None:
    chosen = server_context(trust=trust(), verify=Verify.REQUIRED)
    seen: list[Any] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend((writer.get_extra_info("sslcontext"), writer.get_extra_info("peercert")))
        await close(writer)

    async with serving(handler, server_context(select_identity=lambda _: chosen)) as port:
        reader, writer = await connect(port, client_context(identity=identity(pki().client)))
        assert await reader.read() == b""
        await close(writer)
    assert seen[0] is chosen
    assert seen[1]["subject"]  # it was verified, which the first context would not have asked for
