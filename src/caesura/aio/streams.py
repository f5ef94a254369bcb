"""Streams: asyncio's own `StreamReader` and `StreamWriter` over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from caesura.aio.connect import create_connection
from caesura.aio.server import Server, create_server
from caesura.context import Context

LIMIT = 65_536  # bytes a reader buffers, as in asyncio

ClientConnected: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


class StreamProtocol(asyncio.StreamReaderProtocol):
    """asyncio's protocol for streams, that leaves our direction open when the peer closes its own.

    asyncio closes both when the transport has an `sslcontext`; TLS 1.3 need not, so streams over TLS end as they do
    over TCP: the writer is closed by who writes.
    """

    def eof_received(self) -> bool:
        """The reader comes to its end; the writer goes on."""
        super().eof_received()
        return True


async def open_connection(
    host: str | None = None, port: int | None = None, *, context: Context, limit: int = LIMIT, **arguments: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and perform the handshake; all other arguments are those of `create_connection`.

    A reader raises `UnexpectedEOF` if the transport ends without the peer's close_notify.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = StreamProtocol(reader, loop=loop)
    transport, _ = await create_connection(lambda: protocol, host, port, context=context, **arguments)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: ClientConnected,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    context: Context,
    limit: int = LIMIT,
    **arguments: Any,
) -> Server:
    """Listen, and call `client_connected_cb(reader, writer)` for each connection whose handshake is complete.

    A coroutine function runs as a task. All other arguments are those of `create_server`.
    """
    loop = asyncio.get_running_loop()

    def streams() -> StreamProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return StreamProtocol(reader, client_connected_cb, loop=loop)

    return await create_server(streams, host, port, context=context, **arguments)
