"""QUIC in asyncio: `connect_quic` for clients, `serve_quic` for servers with many connections on one socket.

What a connection is, and how it ends, is in `quic_link`; its streams in `quic_stream`; the socket in `udp`. Here is
what lies between: a server's datagrams are told apart by the `QUICListener`, which goes by connection ids, and all
links of a socket share one timer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from caesura.aio.deadlines import Deadlines
from caesura.aio.endpoint import Terms
from caesura.aio.link_server import LinkServer
from caesura.aio.quic_link import QUICLink
from caesura.aio.quic_stream import LIMIT
from caesura.aio.udp import Address, Received, UDPSocket, addresses, bound, connected
from caesura.context import Context, Method
from caesura.errors import ConfigError, Error, OperationFailed, OperationTimeout
from caesura.jobs import WaitContext
from caesura.quic.connection import QUICConnection
from caesura.quic.listener import QUICListener
from caesura.sessions import Session

logger = logging.getLogger("caesura")

SHUTDOWN_TIMEOUT = 1.0  # seconds: a close is repeated for those who have not heard of it, for three probe timeouts

Handler: TypeAlias = Callable[[QUICLink], Awaitable[object]]


class QUICSocket:
    """The carrier of one link or of many."""

    raw: UDPSocket

    def __init__(self, endpoint: Terms, limit: int, *, early_data: bool) -> None:
        self.endpoint = endpoint
        self.deadlines = Deadlines(endpoint.loop)
        self.waker = endpoint.waker
        self.limit = limit
        self.early_data = early_data
        self.lost = endpoint.loop.create_future()  # when the socket is closed
        self._waiting: dict[QUICLink, None] = {}

    def wait(self, link: QUICLink) -> None:
        """Settle the link when the socket takes more."""
        self._waiting[link] = None

    def resume_writing(self) -> None:
        """The socket takes more."""
        waiting, self._waiting = self._waiting, {}
        now = self.endpoint.loop.time()
        for link in waiting:
            link.settle(now)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The socket is closed."""
        if not self.lost.done():
            self.lost.set_result(None)


# --- clients ------------------------------------------------------------------------------------------------------


class ClientSocket(QUICSocket):
    """One socket that is connected to one peer."""

    def __init__(
        self, endpoint: Terms, limit: int, sock: socket.socket, *, token: bytes = b"", early_data: bool = False
    ) -> None:
        super().__init__(endpoint, limit, early_data=early_data)
        self.outcome: asyncio.Future[None] = endpoint.loop.create_future()
        self._heard = False
        self._addr: Address = sock.getpeername()
        self._connection = QUICConnection(
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
        self.link = QUICLink(self, self._connection)
        self.raw = UDPSocket(endpoint.loop, sock, self)

    def datagrams_received(self, batches: list[Received]) -> None:
        """Datagrams of the peer's."""
        self._heard = True
        now = self.endpoint.loop.time()
        for datagrams, _, ecn in batches:
            self._connection.receive_datagrams(datagrams, self._addr, now, ecn)
        self.link.settle(now)

    def error_received(self, exc: OSError) -> None:
        """Refused before anything was heard: nobody is there. Later that may be a passing trouble, or forged."""
        if isinstance(exc, ConnectionRefusedError) and not self._heard:
            self.link.fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and the link with it."""
        super().connection_lost(exc)
        self.link.fail(exc or ConnectionAbortedError("the socket was closed"))

    def introduce(self, link: QUICLink) -> None:  # noqa: ARG002 - there is one
        """The application may use it."""
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, link: QUICLink, error: BaseException) -> None:  # noqa: ARG002
        """The connection has failed."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def ended(self, link: QUICLink) -> None:  # noqa: ARG002
        """The socket has served its purpose."""
        if not self.outcome.done():
            self.outcome.set_exception(ConnectionAbortedError("the connection was closed during its handshake"))
        self.raw.close()


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
    if server_hostname is None:
        if not host:
            raise ValueError("server_hostname: needed when there is no host to take it from")
        server_hostname = host
    _check_method(context)
    endpoint = Terms(
        context,
        server_side=False,
        server_hostname=server_hostname,
        session=session,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    options: dict[str, Any] = {"token": token, "early_data": early_data}
    if sock is not None:
        return await _connect(endpoint, limit, sock, options)
    if not host or port is None:
        raise ValueError("host and port: needed where there is no sock")
    refused: OSError | None = None
    for found, peer in await addresses(endpoint.loop, host, port, family):
        try:
            return await _connect(endpoint, limit, connected(found, peer, local_addr), options)
        except (Error, ConnectionAbortedError):
            raise
        except OSError as error:
            refused = error
    assert refused is not None
    raise refused


async def _connect(endpoint: Terms, limit: int, sock: socket.socket, options: dict[str, Any]) -> QUICLink:
    try:
        carrier = ClientSocket(endpoint, limit, sock, **options)
    except BaseException:
        sock.close()
        raise
    try:
        await carrier.raw.start()
        carrier.link.begin()
        await carrier.outcome
    except BaseException:
        carrier.link.abort()
        raise
    return carrier.link


def _check_method(context: Context) -> None:
    if isinstance(context, Context) and context.method is not Method.QUIC:
        raise ConfigError(f"context: QUIC needs one of Method.QUIC, not of {context.method.name}")


# --- servers ------------------------------------------------------------------------------------------------------


class ServerSocket(QUICSocket):
    """One socket, and everybody who is connected there."""

    def __init__(self, endpoint: Terms, limit: int, handler: Handler, sock: socket.socket, *, early_data: bool) -> None:
        super().__init__(endpoint, limit, early_data=early_data)
        self.listener = QUICListener(
            endpoint.context, wait_context=self._wait_context, awaiter=endpoint.awaiter, async_mode=True
        )
        self.links: dict[QUICConnection, QUICLink] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._handler = handler
        self.raw = UDPSocket(endpoint.loop, sock, self)

    def _wait_context(self) -> WaitContext:
        made = WaitContext(owned=True)
        made.call_later = self.endpoint.call_later
        return made

    def datagrams_received(self, batches: list[Received]) -> None:
        """Datagrams of anybody's."""
        listener, links, now = self.listener, self.links, self.endpoint.loop.time()
        touched: dict[QUICConnection, None] = {}
        for datagrams, addr, ecn in batches:
            for connection in listener.receive_datagrams(datagrams, addr, now, ecn):
                touched[connection] = None
        answers = listener.datagrams_to_send(now)
        if answers and not self.raw.full:  # else they are lost, as a network may lose them
            self.raw.send(answers)
        while (new := listener.accept()) is not None:
            links[new] = QUICLink(self, new)
        for connection in touched:
            link = links.get(connection)
            if link is not None:
                link.settle(now)

    @property
    def accepting(self) -> bool:
        """Whether new peers are taken."""
        return self.listener.accepting

    def error_received(self, exc: OSError) -> None:
        """A datagram could not be sent: it is lost."""

    def introduce(self, link: QUICLink) -> None:
        """Here comes the application."""
        task = self.endpoint.loop.create_task(self._serve(link))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, link: QUICLink) -> None:
        try:
            await self._handler(link)
        except Exception as error:  # noqa: BLE001 - reported, as loops do it
            if _of_the_connection(error):
                logger.debug("connection with %s failed: %s", link.get_extra_info("peername"), error)
            else:
                message = "the handler of a QUIC connection failed"
                self.endpoint.loop.call_exception_handler({"message": message, "exception": error})
        finally:
            link.begin_close()

    def failed(self, link: QUICLink, error: BaseException) -> None:
        """A handshake that fails is the peer's affair, unless it was our own engine or callback."""
        if not link.complete:
            ours = isinstance(error, OperationFailed | OperationTimeout)
            peer, level = link.get_extra_info("peername"), logging.WARNING if ours else logging.DEBUG
            logger.log(level, "handshake with %s failed: %s", peer, error, exc_info=error)

    def ended(self, link: QUICLink) -> None:
        """Nothing is kept of it."""
        self.links.pop(link.ssl, None)
        self.listener.forget(link.ssl)
        if not (self.links or self.listener.accepting):
            self.raw.close()

    def close(self) -> None:
        """Take nobody new, and close the connections; the socket goes with the last of them."""
        self.listener.accepting = False
        for link in tuple(self.links.values()):
            link.begin_close()
        if not self.links:
            self.raw.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and everything with it."""
        super().connection_lost(exc)
        self.listener.accepting = False
        for link in tuple(self.links.values()):
            link.abort()
        self.listener.close()


def _of_the_connection(error: BaseException) -> bool:
    """Whether a handler ended with nothing but its connection's end; task groups gather that of several tasks."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_of_the_connection, error.exceptions))
    return isinstance(error, Error | OSError)


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
    _check_method(context)
    endpoint = Terms(
        context,
        server_side=True,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    if sock is None:
        sock = await bound(endpoint.loop, host, port or 0, family, reuse_port=reuse_port)
    try:
        carrier = ServerSocket(endpoint, limit, handler, sock, early_data=early_data)
    except BaseException:
        sock.close()
        raise
    await carrier.raw.start()
    return QUICServer(carrier)
