"""asyncio's streams over TLS."""

from __future__ import annotations

import asyncio

import pytest

from caesura import aio
from caesura.errors import UnexpectedEOF
from caesura.sessions import Session
from tests.aio.support import ByHand, client_context, close, connect, echo, server_context, serving

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]

FIVE_MEGABYTES = bytes(range(256)) * 20_480


async def test_an_echo() -> None:
    async with serving() as port:
        reader, writer = await connect(port)
        writer.write(b"a pause ")
        writer.writelines([b"inside ", b"a line"])
        await writer.drain()
        assert await reader.readexactly(21) == b"a pause inside a line"
        await close(writer)


async def test_many_at_once() -> None:
    async def talk(number: int) -> bytes:
        reader, writer = await connect(port)
        writer.write(b"%d\n" % number)
        line = await reader.readline()
        await close(writer)
        return line

    async with serving() as port:
        assert await asyncio.gather(*map(talk, range(20))) == [b"%d\n" % number for number in range(20)]


async def test_much_both_ways_with_slow_readers() -> None:
    async def slowly(reader: asyncio.StreamReader) -> bytes:
        pieces = []
        while piece := await reader.read(30_011):
            pieces.append(piece)
            await asyncio.sleep(0)  # others first
        return b"".join(pieces)

    async def much(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(FIVE_MEGABYTES), 200_003):
            writer.write(FIVE_MEGABYTES[start : start + 200_003])
            await writer.drain()
        writer.write_eof()

    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data, _ = await asyncio.gather(slowly(reader), much(writer))
        received.put_nowait(data)
        await close(writer)

    async with serving(both) as port:
        reader, writer = await connect(port)
        await both(reader, writer)
        assert await received.get() == FIVE_MEGABYTES
        assert await received.get() == FIVE_MEGABYTES


async def test_one_direction_may_end_before_the_other() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read()
        writer.write(b"%d bytes" % len(request))
        await close(writer)

    async with serving(answer_at_the_end) as port:
        reader, writer = await connect(port)
        assert writer.can_write_eof()
        writer.write(b"x" * 100_000)
        writer.write_eof()
        assert await reader.read() == b"100000 bytes"
        with pytest.raises(RuntimeError, match="after write_eof"):
            writer.write(b"more")
        await close(writer)


async def test_the_end_without_close_notify_is_an_error() -> None:
    outcome: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(4) == b"data"
        try:
            await reader.read()
        except UnexpectedEOF as error:
            outcome.set_result(error)
        await close(writer)

    # Without tickets: a peer that goes and has not read everything resets the connection.
    async with serving(handler, server_context(ticket_count=0)) as port:
        peer = await (await ByHand.connect(port)).handshake()
        peer.connection.write(b"data")
        await peer.send()
        await peer.close()
        assert isinstance(await outcome, UnexpectedEOF)


async def test_the_end_with_close_notify_is_none() -> None:
    outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outcome.set_result(await reader.read())
        await close(writer)

    # Without tickets: a peer that goes and has not read everything resets the connection.
    async with serving(handler, server_context(ticket_count=0)) as port:
        peer = await (await ByHand.connect(port)).handshake()
        peer.connection.write(b"data")
        peer.connection.shutdown()
        await peer.send()
        await peer.close()
        assert await outcome == b"data"


async def test_a_session_is_resumed() -> None:
    async def once(session: Session | None) -> tuple[bool, Session | None]:
        reader, writer = await connect(port, client_context(), session=session)  # a new context: no store of its own
        writer.write(b"x")
        await reader.readexactly(1)
        facts = writer.get_extra_info("ssl_object")
        await close(writer)
        return facts.session_reused, facts.session

    async with serving() as port:
        reused, session = await once(None)
        assert not reused
        assert session is not None
        assert (await once(Session.from_bytes(session.to_bytes())))[0]


async def test_sessions_of_the_context_are_resumed_by_themselves() -> None:
    context = client_context()
    async with serving() as port:
        for expected in (False, True):
            reader, writer = await connect(port, context)
            writer.write(b"x")
            await reader.readexactly(1)
            assert writer.get_extra_info("ssl_object").session_reused is expected
            await close(writer)


async def test_asyncios_own_ssl_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="context="):
        await connect(1, ssl=True)
    with pytest.raises(TypeError, match="context="):
        async with serving(echo, ssl=None):
            pass


async def test_a_name_to_verify_is_needed() -> None:
    with pytest.raises(ValueError, match="server_hostname"):
        await aio.open_connection(context=client_context())
