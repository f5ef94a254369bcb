"""Servers, in the shape of `loop.create_server()` and `asyncio.Server`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from caesura.aio.endpoint import Endpoint, Peers, ProtocolFactory, refuse_ssl
from caesura.aio.protocol import TLSProtocol
from caesura.aio.serving import ServerBase
from caesura.context import Context


class Server(ServerBase):
    """An `asyncio.Server` whose connections speak TLS.

    Closing it drops the handshakes that are not complete, and their paused work, besides closing the sockets;
    connections that are open stay open, as with `asyncio.Server`.
    """

    def __init__(self, tcp: asyncio.AbstractServer, peers: Peers) -> None:
        super().__init__()
        self._tcp = tcp
        self._peers = peers

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets; none once closed."""
        return tuple(getattr(self._tcp, "sockets", ()))

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it serves on."""
        return self._tcp.get_loop()

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._tcp.is_serving()

    async def start_serving(self) -> None:
        """Accept connections; the second time nothing happens."""
        await self._tcp.start_serving()

    def close(self) -> None:
        """Close the sockets and drop the handshakes."""
        self._tcp.close()
        self._peers.close()
        super().close()

    async def wait_closed(self) -> None:
        """Wait until the sockets are closed and the handshakes gone; from Python 3.12 on also for the connections."""
        await self._peers.wait_closed()
        await self._tcp.wait_closed()

    def close_clients(self) -> None:
        """Close every connection."""
        self._peers.close_open()

    def abort_clients(self) -> None:
        """Drop every connection and every handshake."""
        self._peers.abort_all()


async def create_server(
    protocol_factory: ProtocolFactory,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    context: Context,
    early_data: bool = False,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **arguments: Any,
) -> Server:
    """Listen, and introduce a protocol to the transport of every connection whose handshake is complete.

    `context` stands where asyncio has `ssl`; its settings are read for each connection, so certificates may be changed
    while the server runs. The timeouts are in seconds, by default asyncio's 60 and 30; that of the handshake counts
    pauses. `arguments` go to the loop (`family`, `sock`, `backlog`, `reuse_port`, `start_serving` …).

    What clients send before the handshake is complete, where the context's `max_early_data` allows it, is data like any
    other by the time a protocol is there. With `early_data` the protocol meets its transport as soon as some is taken,
    and what it writes goes out at once. Until `get_extra_info("caesura").handshake_complete` whatever it has received
    may then be a copy that anybody has made, so it must only do what does no more harm twice than once; for anything
    else it waits, with `wait_handshake()`.

    A handshake that fails is logged by the logger `caesura`, at level DEBUG, or WARNING when it was our own engine or
    callback that failed. A client that is refused is waited for to go, as long as a shutdown may take. Raises
    ConfigError when the context lacks what a server needs.
    """
    refuse_ssl(arguments)
    endpoint = Endpoint(
        protocol_factory,
        context,
        server_side=True,
        early_data=early_data,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
    )
    tcp = await endpoint.loop.create_server(lambda: TLSProtocol(endpoint), host, cast("int", port), **arguments)
    return Server(tcp, endpoint.peers)
