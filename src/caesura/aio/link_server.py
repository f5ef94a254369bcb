"""What stands where asyncio has a `Server`, for transports of which one socket carries many connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from caesura.aio.endpoint import Terms


class Link(Protocol):
    """One of the connections."""

    def begin_close(self) -> None:
        """Close it."""

    def abort(self) -> None:
        """Drop it."""


L = TypeVar("L", bound=Link)
L_co = TypeVar("L_co", bound=Link, covariant=True)


class Carrier(Protocol[L_co]):
    """The socket of all of them."""

    endpoint: Terms
    tasks: set[asyncio.Task[None]]  # of the application
    lost: asyncio.Future[None]  # when the socket is gone

    @property
    def links(self) -> Mapping[Any, L_co]:
        """The connections."""

    @property
    def raw(self) -> asyncio.BaseTransport:
        """The transport."""

    @property
    def accepting(self) -> bool:
        """Whether new peers are taken."""

    def close(self) -> None:
        """Take nobody new, and close the connections; the socket goes with the last of them."""


class LinkServer(asyncio.AbstractServer, Generic[L]):
    """Like an `asyncio.Server`, with one socket for all its connections. Closing it closes them too."""

    def __init__(self, carrier: Carrier[L]) -> None:
        self._carrier = carrier
        self._forever: asyncio.Future[None] | None = None

    @property
    def sockets(self) -> Sequence[Any]:
        """The socket; none once closed."""
        return (self._carrier.raw.get_extra_info("socket"),) if self.is_serving() else ()

    @property
    def links(self) -> tuple[L, ...]:
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

    async def serve_forever(self) -> None:
        """Serve until cancelled, then close; raises CancelledError also when somebody else closes it."""
        if self._forever is not None:
            raise RuntimeError("serve_forever() runs already")
        if not self.is_serving():
            raise RuntimeError("the server is closed")
        self._forever = self.get_loop().create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """Take nobody new, drop the handshakes, close the connections."""
        self._carrier.close()
        if self._forever is not None:
            self._forever.cancel()

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self.wait_closed()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets}>"
