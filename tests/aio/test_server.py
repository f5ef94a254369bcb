"""Servers: what `asyncio.Server` promises, and handshakes that are under way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caesura import aio
from caesura.aio.endpoint import Endpoint
from caesura.aio.protocol import State, TLSProtocol
from caesura.engines import DelayEngine, InlineEngine, Operation
from caesura.tls import TLSConnection
from tests.aio.support import (
    HOST,
    Recorder,
    Wire,
    alive,
    client_context,
    close,
    connect,
    echo,
    identity,
    port_of,
    server_context,
)
from tests.support.pki import pki

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]


async def test_a_server_like_asyncios() -> None:
    server = await aio.start_server(echo, HOST, 0, context=server_context(), start_serving=False)
    assert isinstance(server, asyncio.AbstractServer)
    assert not server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    assert len(server.sockets) == 1
    await server.start_serving()
    await server.start_serving()
    assert server.is_serving()
    assert str(port_of(server)) in repr(server)
    _, writer = await connect(port_of(server))
    server.close()
    server.close()
    assert not server.is_serving()
    assert server.sockets == ()
    await close(writer)
    await server.wait_closed()
    await server.wait_closed()


async def test_connections_outlive_the_listening_socket() -> None:
    server = await aio.start_server(echo, HOST, 0, context=server_context())
    reader, writer = await connect(port_of(server))
    writer.write(b"before")
    assert await reader.readexactly(6) == b"before"
    server.close()
    writer.write(b"after")
    assert await reader.readexactly(5) == b"after"
    await close(writer)
    await server.wait_closed()


async def test_serving_for_ever_ends_when_it_is_cancelled() -> None:
    server = await aio.start_server(echo, HOST, 0, context=server_context(), start_serving=False)
    task = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    _, writer = await connect(port_of(server))
    await close(writer)
    with pytest.raises(RuntimeError):
        await server.serve_forever()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not server.is_serving()
    with pytest.raises(RuntimeError, match="closed"):
        await server.serve_forever()


async def test_serving_for_ever_ends_when_somebody_closes_the_server() -> None:
    server = await aio.start_server(echo, HOST, 0, context=server_context())
    task = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    server.close()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_drops_handshakes_that_are_paused() -> None:
    engine = DelayEngine(None, operations={Operation.SIGN})
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    server = await aio.create_server(factory, HOST, 0, context=server_context(engine=engine))
    tasks = [asyncio.create_task(connect(port_of(server))) for _ in range(5)]
    async with asyncio.timeout(20):
        while len(engine.waiting) < 5:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
    server.close()
    assert not engine.waiting
    await server.wait_closed()
    assert all(each.state is State.LOST for each in alive if each.endpoint.server_side)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, OSError) for each in outcomes)
    assert not made


async def test_what_is_accepted_while_the_server_closes_is_dropped() -> None:
    endpoint = Endpoint(Recorder, server_context(), server_side=True)
    accepted = TLSProtocol(endpoint)
    endpoint.peers.close()
    wire = Wire(TLSConnection(client_context(), server_side=False, server_hostname="localhost"))
    wire.set_protocol(accepted)
    accepted.connection_made(wire)
    assert wire.calls == ["abort"]
    await endpoint.peers.wait_closed()
    await asyncio.sleep(0)


async def test_clients_can_be_closed() -> None:
    context = server_context(engine=(engine := DelayEngine(None, operations={Operation.SIGN})))
    async with await aio.start_server(echo, HOST, 0, context=context) as server:
        task = asyncio.create_task(connect(port_of(server)))
        async with asyncio.timeout(20):
            while not engine.waiting:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
        context.engine = InlineEngine()
        first, second = [await connect(port_of(server)) for _ in range(2)]
        second[1].write(b"x")
        assert await second[0].readexactly(1) == b"x"  # the server has seen it by now
        server.close_clients()
        assert await first[0].read() == b""
        assert await second[0].read() == b""
        for _, writer in (first, second):
            await close(writer)
        third = await connect(port_of(server))
        third[1].write(b"x")
        assert await third[0].readexactly(1) == b"x"
        server.abort_clients()
        assert not engine.waiting
        with pytest.raises(OSError):
            await third[0].read()
        with pytest.raises(OSError):
            await task
        await close(third[1])


async def test_certificates_can_be_replaced_while_serving() -> None:
    context = server_context()
    async with await aio.start_server(echo, HOST, 0, context=context) as server:
        port = port_of(server)
        first = await connect(port)
        context.identity = identity(pki().p384)
        second = await connect(port)
        names = [writer.get_extra_info("peercert")["subject"][0][0][1] for _, writer in (first, second)]
        assert names == ["ec", "p384"]
        for reader, writer in (first, second):
            writer.write(b"still there")
            assert await reader.readexactly(11) == b"still there"
            await close(writer)


async def test_client_contexts_can_change_too() -> None:
    context = client_context()
    async with await aio.start_server(echo, HOST, 0, context=server_context(alpn=["a", "b"])) as server:
        seen: list[Any] = []
        for protocol in ("a", "b"):
            context.alpn = protocol
            _, writer = await connect(port_of(server), context)
            seen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await close(writer)
    assert seen == ["a", "b"]
