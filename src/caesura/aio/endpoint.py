"""What the connections of one server, or of one client's call, have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import get_ident
from typing import Any, Protocol, TypeAlias

from caesura.aio.awaiting import Awaiter
from caesura.aio.completion import waker_of
from caesura.context import Context, Method
from caesura.errors import ConfigError
from caesura.jobs.waitcontext import Cancellable
from caesura.jobs.wakeup import call_later
from caesura.sessions import Session
from caesura.wire.data import Data

ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]

HANDSHAKE_TIMEOUT = 60.0  # seconds, as asyncio has them
SHUTDOWN_TIMEOUT = 30.0


class Peer(Protocol):
    """A connection, as seen from here."""

    def close(self) -> None:
        """End it."""

    def abort(self) -> None:
        """Drop it."""


class Peers:
    """The connections of an endpoint. Closing a server drops those whose handshake is not complete."""

    __slots__ = ("_closed", "_emptied", "_open", "_under_way")

    def __init__(self) -> None:
        self._under_way: set[Peer] = set()
        self._open: set[Peer] = set()
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None  # who waits for the last handshake to go

    def begin(self, peer: Peer) -> bool:
        """A handshake begins; false if none may begin any more."""
        if not self._closed:
            self._under_way.add(peer)
        return not self._closed

    def complete(self, peer: Peer) -> None:
        """The handshake is complete."""
        self._under_way.discard(peer)
        self._open.add(peer)
        self._look()

    def end(self, peer: Peer) -> None:
        """It is gone."""
        self._under_way.discard(peer)
        self._open.discard(peer)
        self._look()

    def _look(self) -> None:
        if self._emptied is not None and not self._under_way:
            self._emptied.set_result(None)
            self._emptied = None

    def close(self) -> None:
        """Drop the handshakes."""
        self._closed = True
        for peer in tuple(self._under_way):
            peer.abort()

    def close_open(self) -> None:
        """Close the connections."""
        for peer in tuple(self._open):
            peer.close()

    def abort_all(self) -> None:
        """Drop the handshakes and the connections."""
        for peer in (*self._under_way, *self._open):
            peer.abort()

    async def wait_closed(self) -> None:
        """Wait until those that were dropped are gone."""
        if self._closed and self._under_way:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)


class Terms:
    """Role, context and timeouts (seconds) of connections that belong together."""

    __slots__ = (
        "_thread", "awaiter", "context", "handshake_timeout", "loop", "method", "server_hostname", "server_side",
        "session", "shutdown_timeout", "waker",
    )  # fmt: skip

    def __init__(
        self,
        context: Context,
        *,
        server_side: bool,
        method: Method = Method.TLS,
        server_hostname: str | None = None,
        session: Session | None = None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
        default_shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    ) -> None:
        if not isinstance(context, Context):
            raise ConfigError(f"context: expected a caesura.Context, not {type(context).__name__}")
        if context.method is not method:
            raise ConfigError(f"context: expected one of Method.{method.name}, not of Method.{context.method.name}")
        context.settings.require(server_side=server_side)
        self.loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self.waker = waker_of(self.loop)
        self.context = context
        self.method = method
        self.server_side = server_side
        self.server_hostname = server_hostname or None
        self.session = session
        self.handshake_timeout = _seconds("ssl_handshake_timeout", handshake_timeout, HANDSHAKE_TIMEOUT)
        self.shutdown_timeout = _seconds("ssl_shutdown_timeout", shutdown_timeout, default_shutdown_timeout)
        self.awaiter = Awaiter(self.loop)

    def call_later(self, seconds: float, function: Callable[[], object]) -> Cancellable:
        """A timer for paused work: a bell of the loop's, if this is its thread, else one on the thread for timers."""
        if get_ident() != self._thread:
            return call_later(seconds, function)
        return self.waker.bells.call_later(self.loop, seconds, function)


class Endpoint(Terms):
    """The terms of connections over streams, who they are, and where the application's protocols come from."""

    __slots__ = ("early_data", "make_protocol", "peers")

    def __init__(
        self,
        make_protocol: ProtocolFactory,
        context: Context,
        *,
        early_data: Data | bool | None = None,
        **terms: Any,
    ) -> None:
        super().__init__(context, **terms)
        self.make_protocol = make_protocol
        self.early_data = early_data  # on a server: whether protocols meet their transports as soon as some has come
        self.peers = Peers()


def name_to_prove(server_hostname: str | None, host: str | None) -> str:
    """The name that a server has to prove."""
    if server_hostname is not None:
        return server_hostname
    if not host:
        raise ValueError("server_hostname: needed when there is no host to take it from")
    return host


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
