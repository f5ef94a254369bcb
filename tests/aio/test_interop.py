"""The standard library's TLS on the other side of the same loop, both roles."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from caesura import aio
from caesura.context import Verify
from caesura.engines import DelayEngine
from tests.aio.support import (
    HOST,
    Echo,
    Recorder,
    client_context,
    close,
    connect,
    echo,
    identity,
    port_of,
    server_context,
    serving,
    trust,
)
from tests.support.pki import pki

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]

MUCH = bytes(range(256)) * 12_000


def ssl_client() -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pki().trust_pem.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@pytest.fixture
def ssl_server(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*pki().ec.files(tmp_path))
    return context


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Much data there and back."""

    async def send() -> None:
        for start in range(0, len(MUCH), 100_000):
            writer.write(MUCH[start : start + 100_000])
            await writer.drain()

    sending = asyncio.create_task(send())
    assert await reader.readexactly(len(MUCH)) == MUCH
    await sending


async def test_our_server_and_their_client() -> None:
    async with serving(context=server_context(alpn=["h2"])) as port:
        context = ssl_client()
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await exchange(reader, writer)
        writer.close()
        await writer.wait_closed()  # their transport insists on our close_notify


async def test_our_client_and_their_server(ssl_server: ssl.SSLContext) -> None:
    ssl_server.set_alpn_protocols(["h2"])
    async with await asyncio.start_server(echo, HOST, 0, ssl=ssl_server) as server:
        reader, writer = await connect(port_of(server), client_context(alpn=["h2"]))
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await exchange(reader, writer)
        writer.close()
        await writer.wait_closed()


async def test_facts_have_the_shapes_of_theirs() -> None:
    async with serving() as port:
        _, writer = await connect(port)
        _, other = await asyncio.open_connection(HOST, port, ssl=ssl_client(), server_hostname="localhost")
        for name in ("peercert", "compression"):
            assert writer.get_extra_info(name) == other.get_extra_info(name)
        ours, theirs = (each.get_extra_info("ssl_object") for each in (writer, other))
        assert ours.getpeercert(True) == theirs.getpeercert(True)
        assert ours.version() == theirs.version()
        assert list(map(type, ours.cipher())) == list(map(type, theirs.cipher()))
        assert ours.selected_alpn_protocol() is theirs.selected_alpn_protocol() is None
        await close(writer)
        other.close()
        await other.wait_closed()


async def test_both_ends_of_their_close(ssl_server: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Recorder, HOST, 0, ssl=ssl_server) as server:
        transport, ours = await aio.create_connection(
            Recorder, HOST, port_of(server), context=client_context(), server_hostname="localhost"
        )
        transport.write(b"the end")
        transport.close()
        await ours.told("lost")
        assert ours.error is None
    made: asyncio.Queue[Recorder] = asyncio.Queue()

    def factory() -> Recorder:
        made.put_nowait(recorder := Recorder())
        return recorder

    async with await aio.create_server(factory, HOST, 0, context=server_context()) as server:
        transport, theirs = await loop.create_connection(
            Recorder, HOST, port_of(server), ssl=ssl_client(), server_hostname="localhost"
        )
        transport.close()
        recorder = await made.get()
        await recorder.told("lost")
        assert recorder.calls == ["made", "eof", "lost"]
        assert recorder.error is None
        await theirs.told("lost")


async def test_their_client_shows_a_certificate(tmp_path: Path) -> None:
    context = ssl_client()
    context.load_cert_chain(*pki().client.files(tmp_path))
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(writer.get_extra_info("peercert"))
        await echo(reader, writer)

    async with serving(handler, server_context(verify=Verify.REQUIRED, trust=trust())) as port:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert "'client'" in str(await seen.get())
        writer.close()
        await writer.wait_closed()


async def test_we_show_them_a_certificate(ssl_server: ssl.SSLContext) -> None:
    ssl_server.verify_mode = ssl.CERT_REQUIRED
    ssl_server.load_verify_locations(cadata=pki().trust_pem.decode())
    async with await asyncio.start_server(echo, HOST, 0, ssl=ssl_server) as server:
        reader, writer = await connect(port_of(server), client_context(identity=identity(pki().client)))
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await close(writer)


async def test_their_session_ticket_resumes_us(ssl_server: ssl.SSLContext) -> None:
    context = client_context()
    async with await asyncio.start_server(echo, HOST, 0, ssl=ssl_server) as server:
        for reused in (False, True):
            reader, writer = await connect(port_of(server), context)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            assert writer.get_extra_info("ssl_object").session_reused is reused
            await close(writer)


async def test_pauses_are_nothing_to_them(ssl_server: ssl.SSLContext) -> None:
    async with serving(context=server_context(engine=DelayEngine(0.0))) as port:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=ssl_client(), server_hostname="localhost")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()
    async with await asyncio.start_server(echo, HOST, 0, ssl=ssl_server) as server:
        reader, writer = await connect(port_of(server), client_context(engine=DelayEngine(0.0)))
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await close(writer)


async def test_their_upgrade_and_ours(ssl_server: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    theirs = Echo()
    async with await loop.create_server(lambda: theirs, HOST, 0) as server:
        transport, ours = await loop.create_connection(Recorder, HOST, port_of(server))
        await theirs.told("made")
        upgraded, theirs.transport = await asyncio.gather(
            aio.start_tls(transport, ours, context=client_context(), server_hostname="localhost"),
            loop.start_tls(theirs.transport, theirs, ssl_server, server_side=True),
        )
        upgraded.write(b"hello")
        await ours.has(b"hello")
        upgraded.close()
        await ours.told("lost")
        assert ours.error is None
