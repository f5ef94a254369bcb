"""A DTLS association in asyncio: what the application holds.

How it ends. close_notify is the only clean end: `recv` gives what came before it, then raises `ZeroReturn`. An
association that fails raises why, at every later call. Datagrams may get lost, and so may a close_notify, which is not
sent again (RFC 9147 section 5.10): whoever must know that all has arrived says so in its own protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from caesura.aio.link import Link
from caesura.dtls.connection import DTLSConnection
from caesura.errors import Error, ZeroReturn
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.aio.carrier import Carrier

BACKLOG = 65_536  # bytes that may wait to be sealed before `send` waits too
BURST = 64  # datagrams that one task sends before it lets others have their turn


class DatagramLink(Link[DTLSConnection]):
    """One DTLS association (RFC 9147): whole datagrams, which may get lost or overtake each other on their way.

    `ssl` is the `DTLSConnection`: its facts, its mtu, its key update. Made by `connect_datagram` and `serve_datagram`;
    `async with` closes it, `async for` receives until the peer closes.
    """

    __slots__ = ("_burst",)

    def __init__(self, carrier: Carrier[DatagramLink], connection: DTLSConnection) -> None:
        super().__init__(carrier, connection)
        self._burst = 0

    # --- the application's calls ------------------------------------------------------------------------------------

    async def send(self, data: Data) -> None:
        """Send one datagram, of at most `max_datagram` bytes; waits while the socket is full.

        Raises `UsageError` for one that is too long and after `close`, and the association's error once it has one.
        """
        if not isinstance(data, Data):
            raise TypeError(f"data: expected bytes, not {type(data).__name__}")
        connection = self.ssl
        while (self.raw.full or connection.write_backlog > BACKLOG) and not self.over:
            if self.raw.full:
                self._carrier.wait(self)
            await self._change()
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
        await self._closed()

    @property
    def max_datagram(self) -> int:
        """How many bytes `send` takes."""
        return self.ssl.max_datagram

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                data = await self.recv()
            except ZeroReturn:
                return
            yield data

    # --- driving ----------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent."""
        return super().over or self.ssl.error is not None

    def settle(self, now: float) -> None:
        """Send what is to be sent, follow paused work and timers, tell whoever waits."""
        if self._ended:
            return
        connection, raw = self.ssl, self.raw
        datagrams = connection.datagrams_to_send(now)
        if datagrams and not raw.full:  # else they are lost, as a network may lose them
            too_long = raw.send(datagrams)
            if too_long:
                connection.too_long(too_long)
            if self._ended:  # nobody is there
                return
        if connection.error is not None:
            self._follow_failure(connection.error, now)
        else:
            if connection.handshake_complete and not self._complete:
                self._complete = True
                self._until = None
                self._carrier.introduce(self)
            self._follow_pause(now)
            if self._closing and connection.close_notify_received:
                self._end()
        if self._ended:
            return
        self._carrier.deadlines.follow(self)
        if self._waiting:
            self._tell()

    def _follow_failure(self, error: Error, now: float) -> None:
        """Tell of it, and stay a while: the alert that says so may have to be sent again."""
        if self._failure is None:
            self._failure = error
            self._release_pause()
            if self._closing:
                self._end()
                return
            self._until = now + self.endpoint.shutdown_timeout
            self._carrier.failed(self, error)

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
