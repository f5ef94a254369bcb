"""What the connections of one server, or of one client's call, have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from caesura.aio.awaiting import Awaiter
from caesura.context import Context
from caesura.errors import ConfigError
from caesura.sessions import Session

ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]

HANDSHAKE_TIMEOUT = 60.0  # seconds, as asyncio has them
SHUTDOWN_TIMEOUT = 30.0


class Abortable(Protocol):
    """A connection that can be dropped at once."""

    def abort(self) -> None:
        """Drop it."""


class Handshakes:
    """The handshakes of a server that are not complete: closing it drops them, and lets no other begin."""

    __slots__ = ("_closed", "_emptied", "_under_way")

    def __init__(self) -> None:
        self._under_way: set[Abortable] = set()
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None  # who waits for it

    def begin(self, connection: Abortable) -> bool:
        """Count one in; false if none may begin any more."""
        if not self._closed:
            self._under_way.add(connection)
        return not self._closed

    def end(self, connection: Abortable) -> None:
        """It is complete, or gone."""
        self._under_way.discard(connection)
        if self._emptied is not None and not self._under_way:
            self._emptied.set_result(None)
            self._emptied = None

    def close(self) -> None:
        """Drop all of them."""
        self._closed = True
        for connection in tuple(self._under_way):
            connection.abort()

    async def wait_closed(self) -> None:
        """Wait until those that were dropped are gone."""
        if self._closed and self._under_way:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)


class Endpoint:
    """Role, context and timeouts (seconds), and where the application's protocols come from."""

    __slots__ = (
        "awaiter", "context", "handshake_timeout", "handshakes", "loop", "make_protocol", "server_hostname",
        "server_side", "session", "shutdown_timeout",
    )  # fmt: skip

    def __init__(
        self,
        make_protocol: ProtocolFactory,
        context: Context,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: Session | None = None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
    ) -> None:
        if not isinstance(context, Context):
            raise ConfigError(f"context: expected a caesura.Context, not {type(context).__name__}")
        context.settings.require(server_side=server_side)
        self.loop = asyncio.get_running_loop()
        self.make_protocol = make_protocol
        self.context = context
        self.server_side = server_side
        self.server_hostname = server_hostname or None
        self.session = session
        self.handshake_timeout = _seconds("ssl_handshake_timeout", handshake_timeout, HANDSHAKE_TIMEOUT)
        self.shutdown_timeout = _seconds("ssl_shutdown_timeout", shutdown_timeout, SHUTDOWN_TIMEOUT)
        self.awaiter = Awaiter(self.loop)
        self.handshakes = Handshakes()


def _seconds(name: str, given: float | None, default: float) -> float:
    if given is None:
        return default
    if given <= 0:
        raise ValueError(f"{name}: must be more than 0 seconds, not {given}")
    return given


def refuse_ssl(arguments: dict[str, Any]) -> None:
    """Raise TypeError if asyncio's own `ssl` is among the arguments for the loop: it would mean TLS twice."""
    if "ssl" in arguments:
        raise TypeError("ssl: give a caesura.Context as context=")
