"""QUIC in asyncio: `connect_quic` for clients, `serve_quic` for servers with many connections on one socket.

What a connection is, and how it ends, is in `quic_link`; its streams in `quic_stream`; the socket in `udp`. Here is
what lies between: a server's datagrams are told apart by the `QUICListener`, which goes by connection ids, and all
links of a socket share one timer.
"""

from __future__ import annotations

import socket
from typing import TypeAlias

from caesura.aio.carrier import ClientCarrier, connect
from caesura.aio.endpoint import Terms, name_to_prove
from caesura.aio.link_server import Handler as HandlerOf
from caesura.aio.link_server import LinkServer, ServerCarrier, serve
from caesura.aio.quic_link import QUICLink
from caesura.aio.quic_stream import LIMIT
from caesura.aio.udp import Address, Received
from caesura.context import Context, Method
from caesura.jobs import WaitContext
from caesura.quic.connection import QUICConnection
from caesura.quic.listener import QUICListener
from caesura.sessions import Session

SHUTDOWN_TIMEOUT = 1.0  # seconds: a close is repeated for those who have not heard of it, for three probe timeouts

Handler: TypeAlias = HandlerOf[QUICLink]


# --- clients ------------------------------------------------------------------------------------------------------


class ClientSocket(ClientCarrier[QUICLink]):
    """One socket that is connected to one peer."""

    def __init__(self, endpoint: Terms, sock: socket.socket, *, token: bytes, early_data: bool, limit: int) -> None:
        super().__init__(endpoint, sock, offload=True)
        self._addr: Address = sock.getpeername()
        connection = QUICConnection(
            endpoint.context,
            server_side=False,
            server_hostname=endpoint.server_hostname,
            session=endpoint.session,
            addr=self._addr,
            token=token,
            early_data=early_data,
            awaiter=endpoint.awaiter,
            async_mode=True,
        )
        self.link = QUICLink(self, connection, limit=limit, early_data=early_data)

    def datagrams_received(self, batches: list[Received]) -> None:
        """Datagrams of the peer's."""
        self._heard = True
        now = self.endpoint.loop.time()
        for datagrams, _, ecn in batches:
            self.link.ssl.receive_datagrams(datagrams, self._addr, now, ecn)
        self.link.guard(self.link.settle, now)


async def connect_quic(
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    server_hostname: str | None = None,
    session: Session | None = None,
    token: bytes = b"",
    early_data: bool = False,
    limit: int = LIMIT,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    family: int = 0,
    local_addr: tuple[str, int] | None = None,
    sock: socket.socket | None = None,
) -> QUICLink:
    """Perform a QUIC handshake as a client; the connection.

    `context` is one of `Method.QUIC`. `server_hostname` is the name the server has to prove, by default `host`.
    `session` is one that an earlier connection was given, and so is `token` (`conn.ssl.new_token`), by which a server
    knows this client's address. `limit`: bytes that each reader buffers. The timeouts are in seconds, by default 60 and
    1; that of the handshake counts pauses. `sock`: a connected socket, in the place of a host. Of several addresses of
    the host, the next is tried when one refuses.

    With `early_data` and a session that permits it, the connection is there at once, and what is written goes out with
    the first packets (0-RTT): anybody may have the server read a copy of it, so it must do no more harm twice than
    once. If the server takes none, the streams that were opened so are gone, nothing is sent again, and their readers
    and writers raise ZeroRTTRejected: open others. `wait_handshake()` waits until it is certain, and
    `get_extra_info("early_data")` says what became of it.

    Raises OSError when nobody is there, `caesura.Error` when the handshake fails, ConnectionAbortedError when it takes
    too long. Cancelling drops the connection, and work of its handshake that is paused.
    """
    endpoint = Terms(
        context,
        method=Method.QUIC,
        server_side=False,
        server_hostname=name_to_prove(server_hostname, host),
        session=session,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    return await connect(
        endpoint,
        lambda sock: ClientSocket(endpoint, sock, token=token, early_data=early_data, limit=limit),
        host,
        port,
        family=family,
        local_addr=local_addr,
        sock=sock,
    )


# --- servers ------------------------------------------------------------------------------------------------------


class ServerSocket(ServerCarrier[QUICLink, QUICConnection]):
    """One socket, and everybody who is connected there."""

    listener: QUICListener

    def __init__(self, endpoint: Terms, handler: Handler, sock: socket.socket, *, early_data: bool, limit: int) -> None:
        super().__init__(endpoint, handler, sock, offload=True)
        self.listener = QUICListener(
            endpoint.context, wait_context=self._wait_context, awaiter=endpoint.awaiter, async_mode=True
        )
        self._early_data = early_data
        self._limit = limit

    def _wait_context(self) -> WaitContext:
        made = WaitContext(owned=True)
        made.call_later = self.endpoint.call_later
        return made

    def datagrams_received(self, batches: list[Received]) -> None:
        """Datagrams of anybody's."""
        listener, now = self.listener, self.endpoint.loop.time()
        touched: dict[QUICConnection, None] = {}
        for datagrams, addr, ecn in batches:
            try:
                found = listener.receive_datagrams(datagrams, addr, now, ecn)
            except Exception as error:  # noqa: BLE001 - what one peer's datagrams do is no affair of the others
                self.report(error)
                continue
            for connection in found:
                touched[connection] = None
        self.settle(touched, now)

    def begin(self, connection: QUICConnection) -> None:
        """Make a link of a new connection."""
        self.links[connection] = QUICLink(self, connection, limit=self._limit, early_data=self._early_data)


class QUICServer(LinkServer[QUICLink]):
    """What `serve_quic` gives: like an `asyncio.Server`, with one socket for all its connections.

    Closing it closes the connections, since the socket is theirs too.
    """


async def serve_quic(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    early_data: bool = False,
    limit: int = LIMIT,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    family: int = 0,
    reuse_port: bool = False,
    sock: socket.socket | None = None,
) -> QUICServer:
    """Bind a UDP socket, and run `handler(conn)` as a task for every connection whose handshake is complete.

    When the handler returns the connection is closed. A handler that ends with the connection's error or the peer's
    close is no failure; what else it raises goes to the loop's exception handler.

    What clients send before the handshake is complete, where `max_early_data` allows it, is data like any other by
    then. With `early_data` the handler begins as soon as some is taken. Until `conn.wait_handshake()` has come back,
    whatever it reads may be a copy that anybody has made, so it must only do what does no more harm twice than once.

    `context` is one of `Method.QUIC`; its settings are read for each connection. Bounds: `limits.associations` and
    `half_open`, and what `quic=` has. `limit` and the timeouts are those of `connect_quic`. `sock`: a bound socket, in
    the place of host and port.

    An empty host means all addresses of the machine; where it has several, answers may come from another one than was
    asked. A handshake that fails is logged by the logger `caesura`, as with `start_server`. Raises ConfigError when the
    context lacks what a server needs.
    """
    endpoint = Terms(
        context,
        method=Method.QUIC,
        server_side=True,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    carrier = await serve(
        endpoint,
        lambda sock: ServerSocket(endpoint, handler, sock, early_data=early_data, limit=limit),
        host,
        port,
        family=family,
        reuse_port=reuse_port,
        sock=sock,
    )
    return QUICServer(carrier)
