"""UDP sockets and the links they carry: what a client's and a server's have in common, and clients.

A carrier reads for its links, tells them when a socket that was full takes more, has the one timer of all, and hears of
their beginning and their end. Which datagram is whose, each protocol says for itself: `datagrams`, `quic`.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from caesura.aio.deadlines import Deadlines
from caesura.aio.endpoint import Terms
from caesura.aio.link import Link
from caesura.aio.udp import Address, Received, UDPSocket, addresses, connected
from caesura.errors import Error

L = TypeVar("L", bound=Link[Any])


class Carrier(ABC, Generic[L]):
    """A socket: the carrier of one link or of many. It belongs to the carrier from now on."""

    def __init__(self, endpoint: Terms, sock: socket.socket, *, offload: bool) -> None:
        self.endpoint = endpoint
        self.deadlines = Deadlines(endpoint.loop)
        self.waker = endpoint.waker
        self.lost = endpoint.loop.create_future()  # when the socket is closed
        self.raw = UDPSocket(endpoint.loop, sock, self, offload=offload)
        self._waiting: dict[L, None] = {}

    # --- what the socket tells --------------------------------------------------------------------------------------

    @abstractmethod
    def datagrams_received(self, batches: list[Received]) -> None:
        """So many have come."""

    def error_received(self, exc: OSError) -> None:
        """A datagram could not be sent: it is lost."""

    def resume_writing(self) -> None:
        """The socket takes more."""
        waiting, self._waiting = self._waiting, {}
        now = self.endpoint.loop.time()
        for link in waiting:
            link.guard(link.settle, now)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The socket is closed."""
        if not self.lost.done():
            self.lost.set_result(None)

    def report(self, error: Exception) -> None:
        """Something of ours, or of the application's, has failed where nobody waits for it."""
        message = f"a {self.endpoint.method.name} connection failed unexpectedly"
        self.endpoint.loop.call_exception_handler({"message": message, "exception": error})

    # --- what links tell --------------------------------------------------------------------------------------------

    def wait(self, link: L) -> None:
        """Settle the link when the socket takes more."""
        self._waiting[link] = None

    @abstractmethod
    def introduce(self, link: L) -> None:
        """The application may use it."""

    @abstractmethod
    def failed(self, link: L, error: BaseException) -> None:
        """The connection has failed. It may stay a while for its alert."""

    @abstractmethod
    def ended(self, link: L) -> None:
        """Nothing will come of it any more."""


class ClientCarrier(Carrier[L]):
    """A socket that is connected to one peer."""

    link: L

    def __init__(self, endpoint: Terms, sock: socket.socket, *, offload: bool) -> None:
        super().__init__(endpoint, sock, offload=offload)
        self.outcome: asyncio.Future[None] = endpoint.loop.create_future()
        self._heard = False

    async def connect(self) -> L:
        """Perform the handshake; the link."""
        try:
            await self.raw.start()
            self.link.begin()
            await self.outcome
        except BaseException:
            self.link.abort()
            raise
        return self.link

    def error_received(self, exc: OSError) -> None:
        """Refused before anything was heard: nobody is there. Later that may be a passing trouble, or forged."""
        if isinstance(exc, ConnectionRefusedError) and not self._heard:
            self.link.fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and the link with it."""
        super().connection_lost(exc)
        self.link.fail(exc or ConnectionAbortedError("the socket was closed"))

    def introduce(self, link: L) -> None:  # noqa: ARG002 - there is one
        """The application may use it."""
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, link: L, error: BaseException) -> None:  # noqa: ARG002
        """The connection has failed."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def ended(self, link: L) -> None:
        """The socket has served its purpose."""
        self.failed(link, ConnectionAbortedError("the connection was closed during its handshake"))
        if not self.outcome.cancelled():
            self.outcome.exception()  # whoever waited may be gone: nobody need hear of it then
        self.raw.close()


M = TypeVar("M", bound=Carrier[Any])


async def connect(
    endpoint: Terms,
    make: Callable[[socket.socket], ClientCarrier[L]],
    host: str | None,
    port: int | None,
    *,
    family: int,
    local_addr: Address | None,
    sock: socket.socket | None,
) -> L:
    """Connect to the first of the host's addresses that does not refuse, or over this socket; the link."""
    if sock is not None:
        return await made(make, sock).connect()
    if not host or port is None:
        raise ValueError("host and port: needed where there is no sock")
    refused: OSError | None = None
    for found, peer in await addresses(endpoint.loop, host, port, family):
        try:
            return await made(make, connected(found, peer, local_addr)).connect()
        except (Error, ConnectionAbortedError):
            raise
        except OSError as error:
            refused = error
    assert refused is not None
    raise refused


def made(make: Callable[[socket.socket], M], sock: socket.socket) -> M:
    """A carrier on this socket, which is closed if there is something wrong with the terms."""
    try:
        return make(sock)
    except BaseException:
        sock.close()
        raise
