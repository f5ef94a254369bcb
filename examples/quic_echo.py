"""QUIC on asyncio: many streams of one connection, on each of which a question is answered.

Run it: it makes a certificate for itself, serves on a free port, asks ten questions at once over one connection, and
ends. Streams do not wait for each other: the question that is asked last is the first to be answered.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from caesura import Context, Identity, Method, TrustStore, aio
from caesura.crypto.selfsigned import Authority


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One stream: a question up to its end, an answer up to its end."""
    question = await reader.read()
    await asyncio.sleep(0.01 * int(question))
    writer.write(b"echo: " + question)
    writer.write_eof()


async def serve_client(conn: aio.QUICLink) -> None:
    """What the server does with a connection: it ends when the client closes."""
    async with asyncio.TaskGroup() as group:
        async for reader, writer in conn.streams():
            if reader is not None and writer is not None:
                group.create_task(answer(reader, writer))


async def ask(conn: aio.QUICLink, question: bytes) -> None:
    reader, writer = await conn.open_stream()
    assert reader is not None
    assert writer is not None
    writer.write(question)
    writer.write_eof()
    print((await reader.read()).decode())


async def main() -> None:
    now = datetime.now(UTC)
    authority = Authority.create("an example's CA", now)
    identity: Identity = authority.issue("an example's server", ["localhost"], now=now)
    serving = Context.server(method=Method.QUIC, identity=identity, alpn=["echo"])
    asking = Context.client(method=Method.QUIC, trust=TrustStore.load(authority.pem), alpn=["echo"])
    async with await aio.serve_quic(serve_client, "127.0.0.1", 0, context=serving) as server:
        port = server.sockets[0].getsockname()[1]
        async with await aio.connect_quic("127.0.0.1", port, context=asking, server_hostname="localhost") as conn:
            await asyncio.gather(*(ask(conn, b"%d" % number) for number in range(9, -1, -1)))


if __name__ == "__main__":
    asyncio.run(main())
