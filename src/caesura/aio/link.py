"""A DTLS association in asyncio: what the application holds, and what moves it.

A `DatagramLink` gives what arrives to its `DTLSConnection`, sends what that wants to send, follows its timers and its
paused work, and wakes whoever waits. The socket, and the one timer, are those of its `Carrier`, which a server's links
share. Everything runs on the loop's thread.

How a link ends. close_notify is the only clean end: `recv` gives what came before it, then raises `ZeroReturn`. An
association that fails raises why, at every later call. Datagrams may get lost, and so may a close_notify, which is not
sent again (RFC 9147 section 5.10): whoever must know that all has arrived says so in its own protocol.

Whatever happens, `settle` comes last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from caesura.aio.completion import Pause, Waker
from caesura.aio.deadlines import Deadlines
from caesura.aio.endpoint import Terms
from caesura.aio.info import extra_info
from caesura.dtls.connection import Data, Datagram, DTLSConnection
from caesura.errors import Error, ZeroReturn
from caesura.jobs import WaitContext

BACKLOG = 65_536  # bytes that may wait to be sealed before `send` waits too
BURST = 64  # datagrams that one task sends before it lets others have their turn


class Carrier(Protocol):
    """What carries a link's datagrams."""

    endpoint: Terms
    deadlines: Deadlines
    waker: Waker
    full: bool  # the socket takes no more for the moment

    @property
    def raw(self) -> asyncio.DatagramTransport:
        """The loop's transport."""

    def transmit(self, link: DatagramLink, datagrams: list[Datagram]) -> None:
        """Send them."""

    def completed(self, link: DatagramLink) -> None:
        """The handshake is complete."""

    def failed(self, link: DatagramLink, error: BaseException) -> None:
        """The association has failed; the alert that says so is sent. It may have to be sent again."""

    def ended(self, link: DatagramLink) -> None:
        """Nothing will come of it any more."""

    async def room(self) -> None:
        """Wait until the socket takes more."""


class DatagramLink:
    """One DTLS association (RFC 9147): whole datagrams, which may get lost or overtake each other on their way.

    `ssl` is the `DTLSConnection`: its facts, its mtu, its key update. Made by `connect_datagram` and `serve_datagram`;
    `async with` closes it, `async for` receives until the peer closes.
    """

    __slots__ = (
        "_burst", "_carrier", "_closing", "_complete", "_ended", "_failure", "_pause", "_until", "_waiting",
        "scheduled", "ssl",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, connection: DTLSConnection) -> None:
        self.ssl = connection
        self.scheduled: float | None = None
        self._carrier = carrier
        self._pause: Pause | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._complete = False
        self._closing = False
        self._ended = False
        self._failure: BaseException | None = None  # what is no failure of the connection's
        self._burst = 0
        # Of the handshake, of a close that waits for the peer, of a failure that the peer may not have heard of.
        self._until: float | None = self.loop.time() + carrier.endpoint.handshake_timeout
        connection.wait_context.set_callback(carrier.waker.completed, self)
        connection.wait_context.call_later = carrier.endpoint.call_later

    # --- the application's calls ------------------------------------------------------------------------------------

    async def send(self, data: Data) -> None:
        """Send one datagram, of at most `max_datagram` bytes; waits while the socket is full.

        Raises `UsageError` for one that is too long and after `close`, and the association's error once it has one.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data: expected bytes, not {type(data).__name__}")
        connection = self.ssl
        while (self._carrier.full or connection.write_backlog > BACKLOG) and not self._over:
            await (self._carrier.room() if self._carrier.full else self._change())
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        connection.write(data)
        self.settle(self.loop.time())
        self._burst += 1
        if self._burst >= BURST:
            self._burst = 0
            await asyncio.sleep(0)

    async def recv(self) -> bytes:
        """The next datagram that has arrived.

        Raises `ZeroReturn` after the peer's close_notify, or when our own `close` has ended; the association's error
        once it has one. While `close` waits for the peer, what it still sends may be received.
        """
        while not (data := self.ssl.read()):
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            if self.ssl.close_notify_received:
                raise ZeroReturn("the peer has closed the association")
            if self._ended:
                raise ZeroReturn("the association was closed on this side")
            await self._change()
        return data

    async def close(self) -> None:
        """Send close_notify, and wait for the peer's as long as `ssl_shutdown_timeout`. Legal twice, at any time."""
        self.begin_close()
        while not self._ended:
            await self._change()

    def abort(self) -> None:
        """Drop the association, and paused work with it; nothing is sent."""
        self._end()

    @property
    def max_datagram(self) -> int:
        """How many bytes `send` takes."""
        return self.ssl.max_datagram

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """A fact of the association or its socket: `peername`, `sockname`, `ssl_object`, `cipher`, `peercert` …"""
        if name == "peername" and self.ssl.addr is not None:
            return self.ssl.addr
        return extra_info(self, name, default)

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._over

    async def __aenter__(self) -> DatagramLink:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                data = await self.recv()
            except ZeroReturn:
                return
            yield data

    def __repr__(self) -> str:
        state = "ended" if self._ended else "closing" if self._closing else "open" if self._complete else "handshake"
        return f"<DatagramLink {self.get_extra_info('peername')} {state}>"

    # --- for whoever describes or wakes it --------------------------------------------------------------------------

    @property
    def connection(self) -> DTLSConnection:
        """The connection."""
        return self.ssl

    @property
    def endpoint(self) -> Terms:
        """Its role and context."""
        return self._carrier.endpoint

    @property
    def raw(self) -> asyncio.DatagramTransport:
        """The transport that carries its datagrams."""
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
    def _over(self) -> bool:
        return self._ended or self._closing or self._failure is not None or self.ssl.error is not None

    # --- driving ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the handshake, as a client."""
        self.resume_paused(self.loop.time())

    def receive(self, datagram: bytes, addr: Any) -> None:
        """A datagram has arrived for it."""
        now = self.loop.time()
        self.ssl.receive_datagram(datagram, addr, now)
        self.settle(now)

    def woken(self) -> None:
        """Paused work may go on."""
        if self._pause is not None:
            self._pause.woken()

    def resume_paused(self, now: float) -> None:
        """Let the handshake, or paused work, go on."""
        if self._ended:
            return
        try:
            self.ssl.advance(now)
            self.settle(now)
        except Exception as error:  # noqa: BLE001 - a bug must not leave an association that nothing will ever wake
            self.loop.call_exception_handler({"message": "a DTLS association failed unexpectedly", "exception": error})
            self.fail(error)

    def settle(self, now: float) -> None:
        """Send what is to be sent, follow paused work and timers, tell whoever waits."""
        if self._ended:
            return
        connection = self.ssl
        datagrams = connection.datagrams_to_send(now)
        if datagrams:
            self._carrier.transmit(self, datagrams)
            if self._ended:  # nobody is there
                return
        if connection.error is not None:
            self._follow_failure(connection.error, now)
        else:
            if connection.handshake_complete and not self._complete:
                self._complete = True
                self._until = None
                self._carrier.completed(self)
            self._follow_pause(now)
            if self._closing and connection.close_notify_received:
                self._end()
        if self._ended:
            return
        self._carrier.deadlines.follow(self)
        if self._waiting:
            self._tell()

    def _follow_failure(self, error: Error, now: float) -> None:
        if self._failure is None:
            self._failure = error
            self._release_pause()
            if self._closing:
                self._end()
                return
            self._until = now + self.endpoint.shutdown_timeout
            self._carrier.failed(self, error)

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
        if self._until is not None and self._until <= now:
            self._until = None
            if self._complete or self._failure is not None:
                self._end()
            else:
                seconds = self.endpoint.handshake_timeout
                text = f"the DTLS handshake was not complete within {seconds:g} seconds"
                self.fail(ConnectionAbortedError(text))
            return
        self.ssl.handle_timeout(now)
        self.settle(now)

    # --- the end ----------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Send close_notify, and end when the peer's has come, or after a while."""
        if self._ended or self._closing:
            return
        self._closing = True
        if not self._complete or self._failure is not None:
            self._end()
            return
        now = self.loop.time()
        self.ssl.shutdown()
        self._until = now + self.endpoint.shutdown_timeout
        self.settle(now)

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
        self.ssl.close()
        self.ssl.wait_context.close()
        self._carrier.ended(self)
        self._tell()

    # --- waiting ----------------------------------------------------------------------------------------------------

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
