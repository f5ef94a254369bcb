"""Streams of QUIC as asyncio's readers and writers.

Each half of a stream ends by itself. The reader ends where the peer concludes its half, and raises `StreamReset` when
the peer gives it up. `writer.write_eof()` (or `close()`) concludes ours, `writer.reset(code)` gives it up; `drain()`
waits until the peer has given credit for nearly all that was written, and raises `StreamStopped` when it wants no more;
`wait_closed()` waits until all has arrived. A reader that is not read from takes no more bytes than its limit allows,
and gives the peer no credit: its stream stops, the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from caesura.errors import Error, StreamReset, StreamStopped
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.aio.quic_link import QUICLink

LIMIT: Final = 65_536  # bytes a reader buffers, as in asyncio: up to twice as much, and one piece
HIGH, LOW = 65_536, 16_384  # bytes that wait to be sent: from where `drain` waits, and up to where
_PIECE: Final = 65_536  # bytes


class StreamReader(asyncio.StreamReader):
    """What the peer sends on a stream."""

    def __init__(self, stream: Stream, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self._stream = stream
        self.set_transport(stream)

    @property
    def stream_id(self) -> int:
        """RFC 9000 section 2.1."""
        return self._stream.stream_id

    def stop_sending(self, code: int = 0) -> None:
        """Read no more, and ask the peer to send no more (RFC 9000 section 3.5). What has come is dropped."""
        self._stream.stop_sending(code)


class StreamWriter(asyncio.StreamWriter):
    """What we send on a stream."""

    def __init__(self, stream: Stream, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(stream, _NOBODY, None, loop)
        self._stream = stream

    def __del__(self) -> None:
        """A stream that was not concluded must not look whole to the peer, so dropping a writer does nothing."""

    @property
    def stream_id(self) -> int:
        """RFC 9000 section 2.1."""
        return self._stream.stream_id

    def reset(self, code: int = 0) -> None:
        """Send nothing more, not even what was written and has not arrived (RFC 9000 section 3.3)."""
        self._stream.reset(code)

    async def drain(self) -> None:
        """Wait while more than 64 KiB wait to be sent. Raises `StreamStopped`, or why the connection is over."""
        await self._stream.drain()

    async def wait_closed(self) -> None:
        """Wait until all that was written has arrived, its end included, or the peer knows of the reset.

        Raises `StreamStopped` when the peer wanted no more, and why the connection is over if that came first.
        """
        await self._stream.delivered()


class Stream(asyncio.Transport):
    """Both halves, as far as there are two: the transport under the reader and the writer."""

    def __init__(self, link: QUICLink, stream_id: int, limit: int, *, reads: bool, writes: bool) -> None:
        super().__init__()
        self.stream_id = stream_id
        self.reading = reads  # whether the peer's half may bring anything more
        self.writing = writes  # whether anything may still happen to ours
        self._link = link
        self._paused = False
        self._concluded = not writes
        self._failure: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self.reader = StreamReader(self, limit, link.loop) if reads else None
        self.writer = StreamWriter(self, link.loop) if writes else None

    # --- the peer's half --------------------------------------------------------------------------------------------

    def readable(self, *, last: bool = False) -> None:
        """Move what has come to the reader, as long as it takes any; `last`: all of it."""
        reader, connection = self.reader, self._link.ssl
        while self.reading and reader is not None and (last or not self._paused):
            try:
                data, ended = connection.read_stream(self.stream_id, _PIECE)
            except StreamReset as error:
                self.reading = False
                reader.set_exception(error)
                return
            if data:
                reader.feed_data(data)
            if ended:
                self.reading = False
                reader.feed_eof()
            elif len(data) < _PIECE:
                return

    def pause_reading(self) -> None:
        """The reader has enough."""
        self._paused = True

    def resume_reading(self) -> None:
        """The reader takes more. Not at once: it calls this while it makes up its mind to wait."""
        self._paused = False
        if self.reading and not self._link.over:
            self._link.resumed.add(self)
            self._link.soon()

    def is_reading(self) -> bool:
        """Whether the reader takes what comes."""
        return self.reading and not self._paused

    def stop_sending(self, code: int) -> None:
        """See the reader."""
        if self.reading and self.reader is not None:
            self.reading = False
            if not self._link.over:
                self._link.ssl.stop_sending(self.stream_id, code)
                self._link.soon()
            if not self.reader.at_eof():
                self.reader.feed_eof()
            self._link.look_after(self)

    # --- ours -------------------------------------------------------------------------------------------------------

    def write(self, data: Data) -> None:
        """Send these bytes too; what cannot be sent any more is dropped, and `drain` says why."""
        if not isinstance(data, Data):
            raise TypeError(f"data: expected bytes, not {type(data).__name__}")
        if self._concluded:
            if self._failure is None:
                raise RuntimeError("Cannot call write() after write_eof()")
            return
        if self._link.over:
            return
        try:
            self._link.ssl.write_stream(self.stream_id, data)
        except StreamStopped as error:
            self.stopped(error.error_code)
        self._link.soon()

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        """Send all of these."""
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """Nothing more will be written (FIN). A second time it does nothing."""
        if self._concluded:
            return
        self._concluded = True
        if not self._link.over:
            self._link.ssl.write_stream(self.stream_id, b"", fin=True)
            self._link.soon()

    def close(self) -> None:
        """Conclude our half; the peer's goes on."""
        self.write_eof()

    def abort(self) -> None:
        """Give both halves up."""
        self.reset(0)
        self.stop_sending(0)

    def reset(self, code: int) -> None:
        """See the writer."""
        if not self.writing:
            return
        self._concluded = True
        if not self._link.over:
            self._link.ssl.reset_stream(self.stream_id, code)
            self._link.soon()
        self.tell()

    def is_closing(self) -> bool:
        """Whether our half is concluded, or the connection over."""
        return self._concluded or self._link.over

    def get_write_buffer_size(self) -> int:
        """Bytes that were written and not sent yet."""
        return self._link.ssl.stream_backlog(self.stream_id) if self.writing else 0

    async def drain(self) -> None:
        """See the writer."""
        if self.get_write_buffer_size() > HIGH:
            while self.writing and not self._link.over and self.get_write_buffer_size() > LOW:
                await self._change()
        else:
            await asyncio.sleep(0)  # as with asyncio's own: a loop of writes lets others have their turn
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._link.over and self.writing:
            raise self._link.why_over()

    async def delivered(self) -> None:
        """See the writer."""
        while self.writing and not self._link.over:
            await self._change()
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self.writing:
            raise self._link.why_over()

    # --- what the connection tells ----------------------------------------------------------------------------------

    def stopped(self, code: int) -> None:
        """STOP_SENDING has come: our half is reset by that."""
        if self._failure is None:
            self._concluded = True
            self._failure = StreamStopped(code)
            self.tell()

    def rejected(self, error: Exception) -> None:
        """It went with 0-RTT: another stream may have its id, with which it has nothing to do."""
        if self.reading and self.reader is not None:
            self.reader.set_exception(error)
        self._concluded, self._failure = True, error
        self.reading = self.writing = False
        self.tell()

    def sent(self) -> None:
        """All of our half has arrived."""
        self.writing = False
        self.tell()

    def ended(self, error: Error | BaseException) -> None:
        """The connection is over."""
        self.readable(last=True)
        if self.reading and self.reader is not None and isinstance(error, Exception):
            self.reader.set_exception(error)
        self.tell()

    @property
    def waits(self) -> bool:
        """Whether somebody waits until it has sent more."""
        return bool(self._waiting)

    def tell(self) -> None:
        """Wake who waits."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future = self._link.loop.create_future()
        self._waiting.append(future)
        self._link.waiting_streams.add(self)
        await future

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`stream_id`, or a fact of the connection."""
        return self.stream_id if name == "stream_id" else self._link.get_extra_info(name, default)

    def __repr__(self) -> str:
        return f"<Stream {self.stream_id}>"


_NOBODY: Final = asyncio.BaseProtocol()
