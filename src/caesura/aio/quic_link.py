"""A QUIC connection in asyncio: what the application holds. What it shares with an association of DTLS is in `link`.

How a link ends. Either side closes it, with a code and a reason of the application's; with code 0 that is a clean end:
`streams()` ends, what else waits raises `ZeroReturn`. A connection that fails, or that the peer closes with another
code, raises why. Closing does not wait for what was written: whoever must know that all has arrived waits for it
(`writer.wait_closed()`) before.

Writes gather until the loop's next turn, so that a call carries many packets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from caesura.aio.link import Link
from caesura.aio.quic_stream import LOW, Stream, StreamReader, StreamWriter
from caesura.errors import ZeroReturn, ZeroRTTRejected
from caesura.events import (
    EarlyDataReason,
    EarlyDataRejected,
    StopSendingReceived,
    StreamDelivered,
    StreamOpened,
    StreamReadable,
)
from caesura.quic.connection import QUICConnection
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.aio.carrier import Carrier

_UNIDIRECTIONAL: Final = 2  # bits of a stream id (RFC 9000 section 2.1)
_SERVER: Final = 1

Streams = tuple[StreamReader | None, StreamWriter | None]


class QUICLink(Link[QUICConnection]):
    """One QUIC connection (RFC 9000): streams, and datagrams where both sides take them.

    `ssl` is the `QUICConnection`: its facts, its key update. Made by `connect_quic` and `serve_quic`; `async with`
    closes it.
    """

    __slots__ = (
        "_early_data", "_incoming", "_introduced", "_limit", "_peer_closed", "_soon", "_stopped", "_streams",
        "_wants_room", "resumed", "waiting_streams",
    )  # fmt: skip

    def __init__(self, carrier: Carrier[QUICLink], connection: QUICConnection, *, limit: int, early_data: bool) -> None:
        super().__init__(carrier, connection)
        self.resumed: set[Stream] = set()  # whose readers take more
        self.waiting_streams: set[Stream] = set()  # whose writers wait until more is sent
        self._limit = limit  # bytes that readers buffer
        self._early_data = early_data  # whether the application begins before the handshake is complete, where it can
        self._incoming: list[int] = []  # ids of streams of the peer's that nobody has taken yet
        self._stopped: dict[int, int] = {}  # of these, whose other half the peer does not want, and why
        self._streams: dict[int, Stream] = {}
        self._soon = False
        self._wants_room = False
        self._peer_closed = False
        self._introduced = False

    # --- the application's calls ------------------------------------------------------------------------------------

    async def open_stream(self, *, unidirectional: bool = False) -> Streams:
        """A new stream; waits until the peer permits one more. A one-way stream has no reader: it is None.

        The peer hears of a stream by what is written to it.
        """
        while True:
            await self._may_write()
            stream_id = self.ssl.open_stream(unidirectional=unidirectional)
            if stream_id is not None:
                return self._make(stream_id)
            self.soon()  # the peer is told that its limit is felt
            await self._change()

    async def streams(self) -> AsyncIterator[Streams]:
        """The streams that the peer opens, in order, until the connection is closed; of a one-way one, no writer.

        What is not taken here is not read, and counts against what the peer may open.
        """
        while True:
            while self._incoming:
                yield self._make(self._incoming.pop(0))
            if self.over:
                why = self.why_over()
                if isinstance(why, ZeroReturn):
                    return
                raise why
            await self._change()

    async def send_datagram(self, data: Data) -> None:
        """Send a datagram, which may get lost (RFC 9221); waits while too many wait to be sent.

        Raises UsageError when it is too long, or the peer takes none.
        """
        if not isinstance(data, Data):
            raise TypeError(f"data: expected bytes, not {type(data).__name__}")
        while True:
            await self._may_write()
            if self.ssl.send_datagram(data):
                self.soon()
                return
            self._wants_room = True
            await self._change()

    async def recv_datagram(self) -> bytes:
        """The next datagram that has come. Beyond `quic.datagram_queue` the oldest are dropped."""
        while (data := self.ssl.read_datagram()) is None:
            if self.over:
                raise self.why_over()
            await self._change()
        return data

    async def close(self, code: int = 0, reason: str = "") -> None:
        """Close at once, and wait until late packets need no answer, or as long as `ssl_shutdown_timeout`.

        `code` and `reason` are the application protocol's. Legal twice, at any time.
        """
        self.begin_close(code, reason)
        await self._closed()

    async def wait_handshake(self) -> None:
        """Wait until the handshake is complete, which it is unless early data was asked for. Raises why it failed.

        Until then whatever a server has received may be a copy that anybody has made (RFC 9001 section 9.2).
        """
        while not self._complete:
            if self.over:
                raise self.why_over()
            await self._change()

    async def _may_write(self) -> None:
        """Wait for the handshake, if 0-RTT was rejected meanwhile. Raises why the connection is over."""
        while not self.over and not self.ssl.may_write:
            await self._change()
        if self.over:
            raise self.why_over()

    # --- driving ----------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent or received."""
        return super().over or self._peer_closed

    def why_over(self) -> BaseException:
        """What is raised by whatever waits for something."""
        if self._failure is not None:
            return self._failure.with_traceback(None)
        by = "by the peer" if self._peer_closed else "on this side"
        return ZeroReturn(f"the connection was closed {by}")

    def soon(self) -> None:
        """Settle in the loop's next turn."""
        if not self._soon and not self._ended:
            self._soon = True
            self.loop.call_soon(self._now)

    def _now(self) -> None:
        self._soon = False
        self.guard(self.settle, self.loop.time())

    def settle(self, now: float) -> None:
        """Take what has come, send what is to be sent, follow paused work and timers, tell whoever waits."""
        if self._ended:
            return
        connection, raw = self.ssl, self.raw
        if self.resumed:
            self._read_resumed()
        news = self._take_events()
        while not raw.full and (datagrams := connection.datagrams_to_send(now)):
            raw.send(datagrams, connection.ecn)
        if raw.full:
            self._carrier.wait(self)
        if connection.error is not None or connection.close_notify_received:
            news |= self._follow_end(now)
        elif not self._complete:
            news |= self._follow_handshake()
        self._follow_pause(now)
        if connection.terminated:
            self._end()
            return
        self._carrier.deadlines.follow(self)
        if self.waiting_streams:
            self._tell_streams()
        if self._waiting and (news or self._wants_room):
            self._wants_room = False
            self._tell()

    def _follow_handshake(self) -> bool:
        """The handshake is complete, or the application may begin without waiting for that; whether that is news."""
        connection = self.ssl
        if connection.handshake_complete:
            self._complete = True
            self._until = None
        elif self._introduced or not (self._early_data and connection.may_write):
            return False
        if not self._introduced:
            self._introduced = True
            self._carrier.introduce(self)
        return True

    def _take_events(self) -> bool:
        """What has happened; whether it concerns who waits for the connection itself."""
        news = False
        streams = self._streams
        while (event := self.ssl.next_event()) is not None:
            if isinstance(event, StreamReadable):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.readable()
                    self.look_after(stream)
            elif isinstance(event, StreamDelivered):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.sent()
                    self.look_after(stream)
            elif isinstance(event, StreamOpened):
                self._incoming.append(event.stream_id)
                news = True
            elif isinstance(event, StopSendingReceived):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.stopped(event.error_code)
                else:
                    self._stopped[event.stream_id] = event.error_code
            elif isinstance(event, EarlyDataRejected):
                self._reject_streams(event.reason)
                news = True
            else:
                news = True
        return news

    def _reject_streams(self, reason: EarlyDataReason) -> None:
        """The server took no 0-RTT: every stream is gone, and all ids are free (RFC 9001 section 4.6.2)."""
        streams, self._streams = self._streams, {}
        self.resumed.clear()
        for stream in streams.values():
            stream.rejected(ZeroRTTRejected(reason.value))

    def _read_resumed(self) -> None:
        """Move what has come to the readers that take more."""
        resumed, self.resumed = self.resumed, set()
        for stream in resumed:
            stream.readable()
            self.look_after(stream)

    def _make(self, stream_id: int) -> Streams:
        """The halves of a stream that is there."""
        one_way, own = stream_id & _UNIDIRECTIONAL, (stream_id & _SERVER == _SERVER) == self.ssl.server_side
        stream = Stream(self, stream_id, self._limit, reads=not (own and one_way), writes=own or not one_way)
        self._streams[stream_id] = stream
        if not own:
            stream.readable(last=self.over)
            if stream_id in self._stopped:
                stream.stopped(self._stopped.pop(stream_id))
            self.look_after(stream)
            self.soon()
        return stream.reader, stream.writer

    def look_after(self, stream: Stream) -> None:
        """Forget a stream of which nothing more will come."""
        if not (stream.reading or stream.writing) and self._streams.get(stream.stream_id) is stream:
            del self._streams[stream.stream_id]

    def _tell_streams(self) -> None:
        """Wake the writers that wait and have sent nearly all."""
        for stream in tuple(self.waiting_streams):
            if not stream.writing or stream.get_write_buffer_size() <= LOW:
                stream.tell()
            if not stream.waits:
                self.waiting_streams.discard(stream)

    def _follow_end(self, now: float) -> bool:
        """The connection is over, by a failure or by the peer; whether that is news."""
        if self._failure is not None or self._peer_closed:
            return False
        if not self._closing:
            self._until = now + self.endpoint.shutdown_timeout
        error = self.ssl.error
        if error is not None:
            self._failure = error
            self._carrier.failed(self, error)
        else:
            self._peer_closed = True
        self._end_streams()
        return True

    # --- the end ----------------------------------------------------------------------------------------------------

    def begin_close(self, code: int = 0, reason: str = "") -> None:
        """Say that it is over, and end when late packets need no answer any more, or after a while."""
        if self._ended or self._closing:
            return
        now = self.loop.time()
        if not self.over:
            self.ssl.handle_timeout(now)  # it learns what time it is
            self.ssl.shutdown(code, reason)
        self._closing = True
        self._until = now + self.endpoint.shutdown_timeout
        self._end_streams()
        self.settle(now)

    def _end_streams(self) -> None:
        why = self.why_over()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.ended(why)
        self.resumed.clear()
        self.waiting_streams.clear()
