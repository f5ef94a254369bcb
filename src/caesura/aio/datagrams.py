"""DTLS in asyncio: `connect_datagram` for clients, `serve_datagram` for servers with many peers on one socket.

What an association is, and how it ends, is in `link`. Here are the sockets: datagrams that come are told apart by the
`DTLSListener`, which keeps nothing of whoever has not proved its address, and all links of a server share one timer.
A socket that is full loses what handshakes and acknowledgements want to send, as a network may; `send` waits instead.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from caesura.aio.deadlines import Deadlines
from caesura.aio.endpoint import Terms, refuse_ssl
from caesura.aio.link import DatagramLink
from caesura.aio.link_server import LinkServer
from caesura.context import Context, Method
from caesura.dtls.connection import Datagram, DTLSConnection
from caesura.dtls.listener import DTLSListener
from caesura.errors import ConfigError, Error, OperationFailed, OperationTimeout
from caesura.sessions import Session

logger = logging.getLogger("caesura")

SHUTDOWN_TIMEOUT = 1.0  # seconds: close_notify is not sent again, so it helps little to wait for an answer for long
IDLE_TIMEOUT = 3600.0  # seconds without a word from a server's peer, where `dtls.idle_timeout` says nothing

Handler: TypeAlias = Callable[[DatagramLink], Awaitable[object]]


class DatagramSocket(asyncio.DatagramProtocol):
    """The protocol of the loop's datagram transport: the carrier of one link or of many."""

    raw: asyncio.DatagramTransport

    def __init__(self, endpoint: Terms) -> None:
        self.endpoint = endpoint
        self.deadlines = Deadlines(endpoint.loop)
        self.waker = endpoint.waker
        self.full = False
        self.lost = endpoint.loop.create_future()  # when the transport is gone
        self._sending: tuple[DatagramLink, int] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self.raw = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It is gone."""
        if not self.lost.done():
            self.lost.set_result(None)
        self.resume_writing()

    def pause_writing(self) -> None:
        """The socket is full."""
        self.full = True

    def resume_writing(self) -> None:
        """The socket takes more."""
        self.full = False
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def room(self) -> None:
        """Wait until the socket takes more."""
        future = self.endpoint.loop.create_future()
        self._waiting.append(future)
        await future

    def transmit(self, link: DatagramLink, datagrams: list[Datagram]) -> None:
        """Send a link's datagrams, unless the socket is full or gone: then they are lost."""
        if self.full or self.raw.is_closing():
            return
        for datagram, addr in datagrams:
            self._sending = link, len(datagram)
            self.raw.sendto(datagram, cast("Any", addr))
        self._sending = None

    def error_received(self, exc: Exception) -> None:
        """A datagram could not be sent, or was not wanted."""
        if self._sending is not None and isinstance(exc, OSError) and exc.errno == errno.EMSGSIZE:
            link, length = self._sending
            link.ssl.too_long(length)


# --- clients ------------------------------------------------------------------------------------------------------


class ClientSocket(DatagramSocket):
    """One socket that is connected to one peer."""

    def __init__(self, endpoint: Terms) -> None:
        super().__init__(endpoint)
        self.outcome: asyncio.Future[None] = endpoint.loop.create_future()
        self._heard = False
        self._made = False
        connection = DTLSConnection(
            endpoint.context,
            server_side=False,
            server_hostname=endpoint.server_hostname,
            session=endpoint.session,
            awaiter=endpoint.awaiter,
            async_mode=True,
        )
        self.link = DatagramLink(self, connection)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there, perhaps too late."""
        super().connection_made(transport)
        self._made = True
        if self.outcome.cancelled():
            transport.close()

    def give_up(self) -> None:
        """Nobody waits for the socket any more, made or not: not all loops look after it."""
        self.outcome.cancel()
        self.link.ssl.close()
        if self._made:
            self.raw.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - it is the one we are connected to
        """A datagram of the peer's."""
        self._heard = True
        self.link.receive(data, None)

    def error_received(self, exc: Exception) -> None:
        """Refused before anything was heard: nobody is there. Later that may be a passing trouble, or forged."""
        super().error_received(exc)
        if isinstance(exc, ConnectionRefusedError) and not self._heard:
            self.link.fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and the link with it."""
        super().connection_lost(exc)
        self.link.fail(exc or ConnectionAbortedError("the socket was closed"))

    def completed(self, link: DatagramLink) -> None:  # noqa: ARG002 - there is one
        """The handshake is complete."""
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, link: DatagramLink, error: BaseException) -> None:  # noqa: ARG002
        """The association has failed."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def ended(self, link: DatagramLink) -> None:  # noqa: ARG002
        """The socket has served its purpose."""
        self.outcome.cancel()
        self.raw.close()


async def connect_datagram(
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    server_hostname: str | None = None,
    session: Session | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **arguments: Any,
) -> DatagramLink:
    """Perform a DTLS handshake as a client; the association.

    `context` is one of `Method.DTLS`. `server_hostname` is the name the server has to prove, by default `host`.
    `session` is one that an earlier association was given. The timeouts are in seconds, by default 60 and 1; that of
    the handshake counts pauses. `arguments` go to `loop.create_datagram_endpoint` (`family`, `local_addr`, `sock`,
    which has to be connected …). Of several addresses of the host, the next is tried when one refuses.

    Raises OSError when nobody is there, `caesura.Error` when the handshake fails, ConnectionAbortedError when it takes
    too long. Cancelling drops the association, and work of its handshake that is paused.
    """
    refuse_ssl(arguments)
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
    refused: OSError | None = None
    for address in await _addresses(endpoint.loop, host, port, arguments):
        try:
            return await _connect(endpoint, {**arguments, **address})
        except (Error, ConnectionAbortedError):
            raise
        except OSError as error:
            refused = error
    assert refused is not None
    raise refused


async def _addresses(
    loop: asyncio.AbstractEventLoop, host: str | None, port: int | None, arguments: dict[str, Any]
) -> list[dict[str, Any]]:
    """What `create_datagram_endpoint` is to be told of each address of the host, in the resolver's order."""
    if host is None:
        return [{}]
    family = arguments.get("family", 0)
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
    return [{"family": each[0], "remote_addr": each[4][:2]} for each in found]


async def _connect(endpoint: Terms, arguments: dict[str, Any]) -> DatagramLink:
    carrier = ClientSocket(endpoint)
    try:
        await endpoint.loop.create_datagram_endpoint(lambda: carrier, **arguments)
    except BaseException:
        carrier.give_up()
        raise
    try:
        carrier.link.begin()
        await carrier.outcome
    except BaseException:
        carrier.link.abort()
        raise
    return carrier.link


def _check_method(context: Context) -> None:
    if isinstance(context, Context) and context.method is not Method.DTLS:
        raise ConfigError(f"context: datagrams need one of Method.DTLS, not of {context.method.name}")


# --- servers ------------------------------------------------------------------------------------------------------


class ServerSocket(DatagramSocket):
    """One socket, and everybody who has proved to be at an address."""

    def __init__(self, endpoint: Terms, handler: Handler, idle_timeout: float) -> None:
        super().__init__(endpoint)
        self.listener = DTLSListener(
            endpoint.context,
            awaiter=endpoint.awaiter,
            async_mode=True,
            on_connection=self._begun,
            idle_timeout=idle_timeout,
        )
        self.links: dict[DTLSConnection, DatagramLink] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._handler = handler

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram of anybody's."""
        listener, now = self.listener, self.endpoint.loop.time()
        connection = listener.receive_datagram(data, addr, now)
        answers = listener.datagrams_to_send(now)
        if answers and not (self.full or self.raw.is_closing()):
            for answer, to in answers:
                self.raw.sendto(answer, cast("Any", to))
        if connection is not None:
            while listener.accept() is not None:
                pass  # they are in `links` already
            link = self.links.get(connection)
            if link is not None:
                link.settle(now)

    def _begun(self, connection: DTLSConnection, replaced: DTLSConnection | None) -> None:
        """A client has proved its address, perhaps one that had an association there, which has failed by that."""
        old = None if replaced is None else self.links.get(replaced)
        if old is not None:
            old.settle(self.endpoint.loop.time())
        self.links[connection] = DatagramLink(self, connection)

    @property
    def accepting(self) -> bool:
        """Whether new peers are taken."""
        return self.listener.accepting

    def completed(self, link: DatagramLink) -> None:
        """The handshake is complete: here comes the application."""
        task = self.endpoint.loop.create_task(self._serve(link))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, link: DatagramLink) -> None:
        try:
            await self._handler(link)
        except (Error, OSError) as error:
            logger.debug("association with %s failed: %s", link.get_extra_info("peername"), error)
        except Exception as error:  # noqa: BLE001 - reported, as loops do it
            message = "the handler of a DTLS association failed"
            self.endpoint.loop.call_exception_handler({"message": message, "exception": error})
        finally:
            link.begin_close()

    def failed(self, link: DatagramLink, error: BaseException) -> None:
        """A handshake that fails is the peer's affair, unless it was our own engine or callback."""
        if not link.complete:
            ours = isinstance(error, OperationFailed | OperationTimeout)
            peer, level = link.get_extra_info("peername"), logging.WARNING if ours else logging.DEBUG
            logger.log(level, "handshake with %s failed: %s", peer, error, exc_info=error)

    def ended(self, link: DatagramLink) -> None:
        """Nothing is kept of it."""
        self.links.pop(link.ssl, None)
        self.listener.forget(link.ssl)
        if not (self.links or self.listener.accepting):
            self.raw.close()

    def close(self) -> None:
        """Take nobody new, drop the handshakes, and close the associations; the socket goes with the last of them."""
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


class DatagramServer(LinkServer[DatagramLink]):
    """What `serve_datagram` gives: like an `asyncio.Server`, with one socket for all its associations.

    Closing it drops handshakes that are not complete, with their paused work, and closes the associations, since the
    socket is theirs too.
    """

    _carrier: ServerSocket

    def follow(self, link: DatagramLink) -> None:
        """Send to where the link's peer was last heard from: its address has changed, and its connection id found us.

        Anybody in between can make a datagram come from elsewhere, so it is for you to know that the peer hears what
        is sent there (`DTLSConnection.follow`).
        """
        self._carrier.listener.follow(link.ssl)


async def serve_datagram(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    idle_timeout: float = IDLE_TIMEOUT,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **arguments: Any,
) -> DatagramServer:
    """Bind a UDP socket, and run `handler(link)` as a task for every association whose handshake is complete.

    When the handler returns the association is closed. A handler that ends with the association's error or the peer's
    close is no failure; what else it raises goes to the loop's exception handler.

    `context` is one of `Method.DTLS`; its settings are read for each association. Clients prove their address by a
    cookie before anything is kept of them, unless `dtls.cookies` is false. Bounds: `limits.associations`, `half_open`,
    `hello_bytes`, `received_datagrams` for each peer; what is beyond them is dropped. A peer that is silent for
    `dtls.idle_timeout` seconds is given up, or for `idle_timeout` where the context says nothing. The other timeouts
    are those of `connect_datagram`. `arguments` go to `loop.create_datagram_endpoint` (`family`, `reuse_port`,
    `sock` …).

    An empty host means all addresses of the machine; where it has several, answers may come from another one than was
    asked. A handshake that fails is logged by the logger `caesura`, as with `start_server`. Raises ConfigError when the
    context lacks what a server needs.
    """
    refuse_ssl(arguments)
    _check_method(context)
    endpoint = Terms(
        context,
        server_side=True,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    if idle_timeout <= 0:
        raise ValueError(f"idle_timeout: must be more than 0 seconds, not {idle_timeout}")
    carrier = ServerSocket(endpoint, handler, idle_timeout)
    if "sock" not in arguments:
        arguments["local_addr"] = (host or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0"), port or 0)  # noqa: S104
    await endpoint.loop.create_datagram_endpoint(lambda: carrier, **arguments)
    return DatagramServer(carrier)
