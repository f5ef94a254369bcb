"""STARTTLS: TLS on a connection that has spoken without it, in the shape of `loop.start_tls()`.

Bytes that arrived before the upgrade and that nobody has read yet go into the handshake. If the peer began its
handshake early they belong there; if somebody slipped in plain text, to have it taken for protected data later, the
handshake fails.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from caesura.aio.endpoint import Endpoint
from caesura.aio.protocol import TLSProtocol
from caesura.context import Context
from caesura.sessions import Session
from caesura.wire.data import Data


async def start_tls(
    target: asyncio.StreamWriter | asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol | None = None,
    *,
    context: Context,
    server_side: bool = False,
    server_hostname: str | None = None,
    session: Session | None = None,
    received: Data = b"",
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> asyncio.Transport:
    """Perform a handshake on a connection that exists, and return the transport to be used from now on.

    `target` is a transport, whose `protocol` is told of what comes over TLS (`connection_made()` is not called again),
    or a `StreamWriter`, which is upgraded in place together with its reader. It may itself be a transport over TLS.
    `received` is what a protocol has been given but belongs to the handshake already. The other arguments are those of
    `create_connection`; a client that verifies must give `server_hostname`.

    Raises what `create_connection` raises; the transport is closed then.
    """
    if isinstance(target, asyncio.StreamWriter):
        await target.drain()
        streams = target.transport.get_protocol()
        received = _read_ahead(target)
        raw: asyncio.BaseTransport = target.transport
        protocol = streams
    else:
        raw = target
        if protocol is None:
            raise TypeError("protocol: needed to upgrade a transport")
    application = protocol
    endpoint = Endpoint(
        lambda: application,
        context,
        server_side=server_side,
        server_hostname=server_hostname,
        session=session,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
    )
    tls = TLSProtocol(endpoint, outcome := endpoint.loop.create_future(), application)
    transport = cast("asyncio.Transport", tls.transport)
    try:
        _change_protocol(cast("asyncio.Transport", raw), tls, received)
        if isinstance(target, asyncio.StreamWriter):
            _change_transport(target, transport)
        await outcome
    except BaseException:
        tls.give_up()
        raise
    return transport


def _change_protocol(raw: asyncio.Transport, tls: TLSProtocol, received: Data) -> None:
    raw.set_protocol(tls)
    if not raw.is_reading():
        raw.resume_reading()  # the old protocol held it; the new one decides for itself
    tls.connection_made(raw)
    if received:
        tls.data_arrived(received)


def _read_ahead(writer: asyncio.StreamWriter) -> bytes:
    """What is in the reader's buffer, without waiting for more."""
    reader: asyncio.StreamReader = cast("Any", writer)._reader
    taken = b""
    while True:
        step = reader.read(65_536)
        try:
            step.send(None)
        except StopIteration as done:
            if not done.value:  # the end of the stream: the handshake will find out
                return taken
            taken += done.value
        else:
            step.close()  # it would have to wait
            return taken


def _change_transport(writer: asyncio.StreamWriter, transport: asyncio.Transport) -> None:
    """Make writer, reader and their protocol use the new transport, as `StreamWriter.start_tls()` does.

    There is no public way. Nor is a second writer one: the first would send in the clear on a connection that has been
    secured, and close it when it is collected.
    """
    streams: Any = transport.get_protocol()
    cast("Any", writer)._transport = transport
    cast("Any", writer)._reader._transport = transport
    streams._transport = transport
