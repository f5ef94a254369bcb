"""Servers of which one socket carries many connections: the socket, and what stands where asyncio has a `Server`."""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast

from caesura.aio.carrier import Carrier, L, made
from caesura.aio.endpoint import Terms
from caesura.aio.link import Link
from caesura.aio.serving import ServerBase
from caesura.aio.udp import Datagram, bound
from caesura.errors import Error, OperationFailed, OperationTimeout

if TYPE_CHECKING:
    from caesura.dtls.connection import DTLSConnection
    from caesura.quic.connection import QUICConnection

logger = logging.getLogger("caesura")

Handler: TypeAlias = Callable[[L], Awaitable[object]]

C = TypeVar("C", bound="DTLSConnection | QUICConnection")


class Listener(Protocol[C]):
    """Who tells the datagrams of a socket apart."""

    accepting: bool

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Answers to those of whom nothing is kept."""

    def accept(self) -> C | None:
        """The next new connection."""

    def forget(self, connection: C) -> None:
        """Have no more to do with it."""

    def close(self) -> None:
        """Take nothing any more."""


class ServerCarrier(Carrier[L], Generic[L, C]):
    """One socket, and everybody who is connected there."""

    listener: Listener[C]

    def __init__(self, endpoint: Terms, handler: Handler[L], sock: socket.socket, *, offload: bool) -> None:
        super().__init__(endpoint, sock, offload=offload)
        self.links: dict[C, L] = {}
        self.tasks: set[asyncio.Task[None]] = set()  # of the application
        self._handler = handler

    # --- driving ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def begin(self, connection: C) -> None:
        """Make a link of a new connection, if it has none yet."""

    def settle(self, touched: Iterable[C], now: float) -> None:
        """Datagrams have been given to the listener, and by it to these connections."""
        answers = self.listener.datagrams_to_send(now)
        if answers and not self.raw.full:  # else they are lost, as a network may lose them
            self.raw.send(answers)
        while (new := self.listener.accept()) is not None:
            self.begin(new)
        for connection in touched:
            link = self.links.get(connection)
            if link is not None:
                link.guard(link.settle, now)

    @property
    def accepting(self) -> bool:
        """Whether new peers are taken."""
        return self.listener.accepting

    # --- what links tell --------------------------------------------------------------------------------------------

    def introduce(self, link: L) -> None:
        """Here comes the application."""
        task = self.endpoint.loop.create_task(self._serve(link))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, link: L) -> None:
        try:
            await self._handler(link)
        except Exception as error:  # noqa: BLE001 - reported, as loops do it
            if _of_the_connection(error):
                logger.debug("connection with %s failed: %s", link.get_extra_info("peername"), error)
            else:
                message = f"the handler of a {self.endpoint.method.name} connection failed"
                self.endpoint.loop.call_exception_handler({"message": message, "exception": error})
        finally:
            link.begin_close()

    def failed(self, link: L, error: BaseException) -> None:
        """A handshake that fails is the peer's affair, unless it was our own engine or callback."""
        if not link.complete:
            ours = isinstance(error, OperationFailed | OperationTimeout)
            peer, level = link.get_extra_info("peername"), logging.WARNING if ours else logging.DEBUG
            logger.log(level, "handshake with %s failed: %s", peer, error, exc_info=error)

    def ended(self, link: L) -> None:
        """Nothing is kept of it."""
        self.links.pop(link.ssl, None)
        self.listener.forget(link.ssl)
        if not (self.links or self.accepting):
            self.raw.close()

    # --- the end ----------------------------------------------------------------------------------------------------

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


S = TypeVar("S", bound=ServerCarrier[Any, Any])


async def serve(
    endpoint: Terms,
    make: Callable[[socket.socket], S],
    host: str | None,
    port: int | None,
    *,
    family: int,
    reuse_port: bool,
    sock: socket.socket | None,
) -> S:
    """Bind a socket, or take this one, and read from it."""
    if sock is None:
        sock = await bound(endpoint.loop, host, port or 0, family, reuse_port=reuse_port)
    carrier = made(make, sock)
    await carrier.raw.start()
    return carrier


K = TypeVar("K", bound=Link[Any])


class LinkServer(ServerBase, Generic[K]):
    """Like an `asyncio.Server`, with one socket for all its connections. Closing it closes them too."""

    def __init__(self, carrier: ServerCarrier[K, Any]) -> None:
        super().__init__()
        self._carrier = carrier

    @property
    def sockets(self) -> Sequence[Any]:
        """The socket; none once closed."""
        return (self._carrier.raw.get_extra_info("socket"),) if self.is_serving() else ()

    @property
    def links(self) -> tuple[K, ...]:
        """The connections, with those whose handshake is going on."""
        return tuple(self._carrier.links.values())

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it serves on."""
        return self._carrier.endpoint.loop

    def is_serving(self) -> bool:
        """Whether it takes new peers."""
        return self._carrier.accepting

    async def start_serving(self) -> None:
        """It serves already."""

    def close(self) -> None:
        """Take nobody new, drop the handshakes, close the connections."""
        self._carrier.close()
        super().close()

    async def wait_closed(self) -> None:
        """Wait until the connections are gone and the handlers have ended; those that go on are cancelled then."""
        if self.is_serving():
            return
        await asyncio.shield(self._carrier.lost)
        tasks = self._carrier.tasks - {cast("Any", asyncio.current_task())}
        if tasks:
            await asyncio.wait(tasks, timeout=self._carrier.endpoint.shutdown_timeout)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def close_clients(self) -> None:
        """Close every connection."""
        for link in self.links:
            link.begin_close()

    def abort_clients(self) -> None:
        """Drop every connection and every handshake."""
        for link in self.links:
            link.abort()
