"""Clients: a TCP connection with TLS on it, in the shape of `loop.create_connection()`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, cast

from caesura.aio.endpoint import Endpoint, name_to_prove, refuse_ssl
from caesura.aio.protocol import TLSProtocol
from caesura.context import Context
from caesura.sessions import Session
from caesura.wire.data import Data

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def create_connection(
    protocol_factory: Callable[[], P],
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    server_hostname: str | None = None,
    session: Session | None = None,
    early_data: Data | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **arguments: Any,
) -> tuple[asyncio.Transport, P]:
    """Connect, perform the handshake as a client, and introduce a protocol to its transport.

    `context` stands where asyncio has `ssl`. `server_hostname` is the name the server has to prove, by default `host`.
    `session` is one that an earlier connection was given. `early_data` goes out with the first flight if the session,
    given or remembered by the context, allows it (RFC 9846 section 2.3). Anybody may copy it and send it again, so it
    must be something that does no more harm twice than once. `get_extra_info("early_data")` says what became of it:
    unless that is `EarlyDataStatus.ACCEPTED` nobody has read it, and sending it again is up to the caller.

    The timeouts are in seconds, by default asyncio's 60 and 30; that of the handshake counts pauses. `arguments` go to
    the loop (`family`, `sock`, `local_addr`, `happy_eyeballs_delay` …). `protocol_factory` is called when the handshake
    is complete.

    Raises OSError when there is no connection, `caesura.Error` when the handshake fails, ConnectionAbortedError when it
    takes too long. Cancelling drops the connection, and work of its handshake that is paused.
    """
    refuse_ssl(arguments)
    endpoint = Endpoint(
        protocol_factory,
        context,
        server_side=False,
        server_hostname=name_to_prove(server_hostname, host),
        session=session,
        early_data=early_data,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
    )
    loop = endpoint.loop
    tls = TLSProtocol(endpoint, outcome := loop.create_future())
    transport = cast("asyncio.Transport", tls.transport)
    try:
        await loop.create_connection(lambda: tls, cast("str", host), cast("int", port), **arguments)
        protocol = await outcome
    except BaseException:
        tls.give_up()
        raise
    return transport, cast("P", protocol)
