"""What an association of DTLS and a connection of QUIC have in common in asyncio: what moves them, and who waits.

A `Link` is what the application holds. It follows the timers and the paused work of its connection, and wakes whoever
waits. The socket, and the one timer, are those of its `Carrier`, which a server's links share. Everything runs on the
loop's thread. What is said and heard, and how a link ends, is in `datagram_link` and `quic_link`.

Whatever happens, `settle` comes last.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from caesura.aio.completion import Pause
from caesura.aio.info import extra_info
from caesura.jobs import WaitContext

if TYPE_CHECKING:
    from caesura.aio.carrier import Carrier
    from caesura.aio.endpoint import Terms
    from caesura.aio.udp import UDPSocket
    from caesura.dtls.connection import DTLSConnection
    from caesura.quic.connection import QUICConnection

C = TypeVar("C", bound="DTLSConnection | QUICConnection")


class Link(ABC, Generic[C]):
    """One connection over a socket of datagrams; `async with` closes it."""

    __slots__ = (
        "_carrier", "_closing", "_complete", "_ended", "_failure", "_pause", "_until", "_waiting", "scheduled", "ssl",
    )  # fmt: skip

    def __init__(self, carrier: Carrier[Any], connection: C) -> None:
        self.ssl = connection
        self.scheduled: float | None = None
        self._carrier = carrier
        self._pause: Pause | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._complete = False
        self._closing = False
        self._ended = False
        self._failure: BaseException | None = None
        # Of the handshake, of a close that waits, of a failure that the peer may not have heard of.
        self._until: float | None = self.loop.time() + carrier.endpoint.handshake_timeout
        connection.wait_context.set_callback(carrier.waker.completed, self)
        connection.wait_context.call_later = carrier.endpoint.call_later

    # --- the application's calls ------------------------------------------------------------------------------------

    @abstractmethod
    def begin_close(self) -> None:
        """Say that it is over. The end comes when the peer has heard of it, or after a while."""

    def abort(self) -> None:
        """Drop it, and paused work with it; nothing is sent."""
        self._end()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """A fact of the connection or its socket: `peername`, `sockname`, `ssl_object`, `cipher`, `peercert` …"""
        if name == "peername" and self.ssl.addr is not None:
            return self.ssl.addr
        return extra_info(self, name, default)

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self.over

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.begin_close()
        await self._closed()

    def __repr__(self) -> str:
        state = "ended" if self._ended else "over" if self.over else "open" if self._complete else "handshake"
        return f"<{type(self).__name__} {self.get_extra_info('peername')} {state}>"

    # --- for whoever describes or wakes it --------------------------------------------------------------------------

    @property
    def connection(self) -> C:
        """The connection."""
        return self.ssl

    @property
    def endpoint(self) -> Terms:
        """Its role and context."""
        return self._carrier.endpoint

    @property
    def raw(self) -> UDPSocket:
        """What carries its datagrams."""
        return self._carrier.raw

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self._carrier.endpoint.loop

    @property
    def wait_context(self) -> WaitContext:
        """What its paused work waits with."""
        return self.ssl.wait_context

    @property
    def complete(self) -> bool:
        """Whether the handshake is."""
        return self._complete

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent."""
        return self._ended or self._closing or self._failure is not None

    # --- driving ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the handshake, as a client."""
        self.resume_paused(self.loop.time())

    def woken(self) -> None:
        """Paused work may go on."""
        if self._pause is not None:
            self._pause.woken()

    def resume_paused(self, now: float) -> None:
        """Let the handshake, or paused work, go on."""
        if not self._ended:
            self.guard(self._advance, now)

    def _advance(self, now: float) -> None:
        self.ssl.advance(now)
        self.settle(now)

    @abstractmethod
    def settle(self, now: float) -> None:
        """Send what is to be sent, follow paused work and timers, tell whoever waits."""

    def guard(self, step: Callable[[float], object], now: float) -> None:
        """Take a step that nobody waits for: one that fails ends this link, and is no affair of the others' there."""
        try:
            step(now)
        except Exception as error:  # noqa: BLE001 - a bug must not leave a link that nothing will ever wake
            self._carrier.report(error)
            self.fail(error)

    def _follow_pause(self, now: float) -> None:
        connection = self.ssl
        if connection.waiting_for_async or connection.needs_job:
            if self._pause is None:
                self._pause = Pause(self, self._carrier.waker)
            self._pause.follow(None, now, poll=connection.needs_job)  # the deadline is among `deadline`'s
        else:
            self._release_pause()

    def _release_pause(self) -> None:
        if self._pause is not None:
            self._pause.end()
            self._pause = None

    def deadline(self) -> float | None:
        """When `expired` has something to do."""
        own, until = self.ssl.timeout(), self._until
        return own if until is None else until if own is None else min(own, until)

    def expired(self, now: float) -> None:
        """A timer of the protocol's, or one of ours."""
        self.guard(self._expire, now)

    def _expire(self, now: float) -> None:
        if self._until is not None and self._until <= now:
            self._until = None
            if self._complete or self.over:
                self._end()
            else:
                method, seconds = self.endpoint.method.name, self.endpoint.handshake_timeout
                text = f"the {method} handshake was not complete within {seconds:g} seconds"
                self.fail(ConnectionAbortedError(text))
            return
        self.ssl.handle_timeout(now)
        self.settle(now)

    # --- the end ----------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """It is over, for a reason that the connection does not know of."""
        if not self._ended:
            self._failure = error
            self._carrier.failed(self, error)
            self._end()

    def _end(self) -> None:
        """Let go of everything but the facts."""
        if self._ended:
            return
        self._ended = True
        self._release_pause()
        self._carrier.deadlines.forget(self)
        try:
            self._end_streams()
            self.ssl.close()
            self.ssl.wait_context.close()
        finally:  # a cleanup of the application's may raise
            self._carrier.ended(self)
            self._tell()

    def _end_streams(self) -> None:
        """Where there are streams: tell them, while what has come can still be read."""

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def _closed(self) -> None:
        """Wait until the end has come."""
        while not self._ended:
            await self._change()

    async def _change(self) -> None:
        """Wait until something has happened."""
        future = self.loop.create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:  # cancelled, and not told of anything
                self._waiting.remove(future)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
