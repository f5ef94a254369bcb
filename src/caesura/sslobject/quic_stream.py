"""A stream of a QUIC connection, as the object that SSL_new_stream(3) and SSL_accept_stream(3) give.

Its two halves end each by itself, and what they have ended with stays to be asked for when the connection has forgotten
the stream. A write is taken whole or not at all: while less than `quic.stream_write_buffer` waits to be sent.
"""

from __future__ import annotations

import threading
from enum import IntEnum, unique
from typing import TYPE_CHECKING, Final

from caesura.bio import BIO
from caesura.context import Context
from caesura.errors import Error, StreamReset, StreamStopped, UnexpectedEOF, UsageError, ZeroReturn
from caesura.readiness import PollEvent
from caesura.sslobject.base import CLOSED
from caesura.sslobject.ends import Want
from caesura.sslobject.quic_object import EventHandling, QUICObject
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.sslobject.domain import Domain
    from caesura.sslobject.quic_streams import StreamCalls

UNIDIRECTIONAL: Final = 2
SERVER: Final = 1
"""Bits of a stream id (RFC 9000 section 2.1)."""

_MAX_CODE: Final = 2**62 - 1


@unique
class StreamState(IntEnum):
    """What has become of one half of a stream, with the numbers of SSL_get_stream_read_state(3)."""

    OK = 1
    WRONG_DIR = 2  # the stream has no such half
    FINISHED = 3  # the end was read, or concluded
    RESET_LOCAL = 4  # given up here: `stop_sending`, `reset`
    RESET_REMOTE = 5  # given up by the peer
    CONN_CLOSED = 6


class QUICStream(QUICObject):
    """One stream; made by `new_stream` and `accept_stream` of a connection.

    `ahead` and `gone` are for the connection: what waits until the peer permits the stream, None once it does; and why
    there is no such stream any more.

    `read_code` and `write_code`: with what a half was given up, None if it was not (SSL_get_stream_read_error_code(3)).
    """

    __slots__ = (
        "__weakref__",
        "_blocking",
        "_busy",
        "_closing",
        "_read_state",
        "_told",
        "_write_state",
        "ahead",
        "connection",
        "event_handling",
        "gone",
        "id",
        "read_code",
        "write_code",
    )

    def __init__(self, connection: StreamCalls, stream_id: int, *, ahead: bool = False) -> None:
        super().__init__()
        self.connection = connection
        self.id = stream_id
        self.event_handling = EventHandling.INHERIT
        self.read_code: int | None = None
        self.write_code: int | None = None
        self._blocking = connection.blocking
        self._busy = False
        self._closing = False
        self._told = False  # the application has met the end of what it reads
        self.gone: Error | None = None  # it went with 0-RTT that was rejected
        self.ahead: list[bytes] | None = [] if ahead else None  # what is to be sent when the peer permits the stream
        one_way = self.unidirectional
        self._read_state = StreamState.WRONG_DIR if one_way and self.local else StreamState.OK
        self._write_state = StreamState.WRONG_DIR if one_way and not self.local else StreamState.OK

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def unidirectional(self) -> bool:
        """Whether only one side sends."""
        return bool(self.id & UNIDIRECTIONAL)

    @property
    def local(self) -> bool:
        """Whether this side has opened it (SSL_is_stream_local(3))."""
        return bool(self.id & SERVER) == bool(self.connection.server_side)

    @property
    def read_state(self) -> StreamState:
        """What has become of the half that is read (SSL_get_stream_read_state(3)).

        FINISHED says that the end has come, though not that all before it was read.
        """
        if self.connection.over:
            return StreamState.CONN_CLOSED
        if self._read_state is StreamState.OK and self.gone is None:
            self._look()
            if self._read_state is StreamState.OK and self.connection.quic.stream_ends(self.id):
                return StreamState.FINISHED
        return self._read_state

    @property
    def write_state(self) -> StreamState:
        """What has become of the half that is written to (SSL_get_stream_write_state(3))."""
        return StreamState.CONN_CLOSED if self.connection.over else self._write_state

    @property
    def context(self) -> Context:
        """The connection's."""
        return self.connection.context

    @property
    def rbio(self) -> BIO | None:
        """Where datagrams come from."""
        return self.connection.rbio

    @property
    def wbio(self) -> BIO | None:
        """Where they go."""
        return self.connection.wbio

    @property
    def server_side(self) -> bool | None:
        """Whether this is the server's end."""
        return self.connection.server_side

    @property
    def write_buffer_used(self) -> int:
        """Bytes that were written and not sent yet."""
        if self.ahead is not None:
            return sum(map(len, self.ahead))
        return 0 if self.gone is not None else self.connection.quic.stream_backlog(self.id)

    @property
    def write_buffer_available(self) -> int:
        """Bytes that a write takes before the next one has to wait."""
        if self.write_state is not StreamState.OK:
            return 0
        return max(self.connection.write_buffer - self.write_buffer_used, 0)

    def pending(self) -> int:
        """Bytes that can be read at once (SSL_pending(3))."""
        return 0 if self.gone is not None else self.connection.quic.stream_pending(self.id)

    def __repr__(self) -> str:
        return f"<QUICStream {self.id} read {self.read_state.name}, write {self.write_state.name}>"

    # --- data -------------------------------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, at least one; all that is there when `size` is negative (SSL_read(3)).

        Raises `ZeroReturn` behind the stream's end, `StreamReset` when the peer has given it up, `UnexpectedEOF` when
        the connection was closed before its end, `WantRead` when there is nothing now.
        """
        self._enter()
        try:
            return self.connection._read_stream(self, size)
        finally:
            self._leave()

    def write(self, data: Data, *, conclude: bool = False) -> int:
        """Send all of `data`, and with `conclude` nothing behind it; its length (SSL_write_ex2(3)).

        Raises `WantWrite`, and has taken nothing, while as much waits to be sent as may wait; `StreamStopped` when the
        peer wants no more of it.
        """
        self._enter()
        try:
            return self.connection._write_stream(self, bytes(memoryview(data)), conclude=conclude)
        finally:
            self._leave()

    def conclude(self) -> None:
        """Nothing more will be written; what was is sent, and then the end (SSL_stream_conclude(3)). Legal twice."""
        self._enter()
        try:
            if self._write_state is StreamState.FINISHED:
                return
            self.put(b"", conclude=True)
            self._stirred()
        finally:
            self._leave()

    def reset(self, code: int = 0) -> None:
        """Give up sending, what has not arrived included (SSL_stream_reset(3)). Legal twice: the first code counts."""
        self._enter()
        try:
            self._reset(_checked(code))
        finally:
            self._leave()

    def stop_sending(self, code: int = 0) -> None:
        """Read no more, and ask the peer to send no more (RFC 9000 section 3.5). Legal twice: the first code counts."""
        self._enter()
        try:
            self._stop(_checked(code))
        finally:
            self._leave()

    def close(self) -> None:
        """Have no more to do with it (SSL_free(3)): what is unfinished is given up, with code 0. Legal at any time."""
        if self._closing:
            return
        connection = self.connection
        domain = connection.domain
        assert domain is not None
        with domain.lock:
            self._closing = True
            if not connection.over:
                if self._write_state is StreamState.OK:
                    self._reset(0)
                if self._read_state is StreamState.OK:
                    self._stop(0)
            connection._forget(self)
        domain.wake()

    def _reset(self, code: int) -> None:
        if self._write_state is StreamState.WRONG_DIR:
            raise UsageError(f"stream {self.id} is the peer's to write to")
        if self.write_code is not None or self.gone is not None or self.connection.over:
            return
        quic = self.connection.quic
        if self.ahead is not None or quic.may_reset(self.id):
            self.write_code = code
            self._write_state = StreamState.RESET_LOCAL
            if self.ahead is None:
                quic.reset_stream(self.id, code)
            self._stirred()

    def _stop(self, code: int) -> None:
        if self._read_state is StreamState.WRONG_DIR:
            raise UsageError(f"stream {self.id} is ours alone to write to")
        if self._read_state is StreamState.OK and self.gone is None and not self.connection.over:
            self.read_code = code
            self._read_state = StreamState.RESET_LOCAL
            if self.ahead is None:
                self.connection.quic.stop_sending(self.id, code)
            self._stirred()

    # --- for the connection -----------------------------------------------------------------------------------------

    def permitted(self) -> None:
        """The peer permits it, and it was opened: what was asked of it meanwhile is done."""
        quic, ahead, self.ahead = self.connection.quic, self.ahead, None
        if self._write_state is StreamState.RESET_LOCAL:
            assert self.write_code is not None
            quic.reset_stream(self.id, self.write_code)
        else:
            quic.write_stream(self.id, b"".join(ahead or ()), fin=self._write_state is StreamState.FINISHED)
        if self._read_state is StreamState.RESET_LOCAL:
            assert self.read_code is not None
            quic.stop_sending(self.id, self.read_code)

    def stopped(self, code: int) -> None:
        """The peer wants no more of what is written."""
        if self._write_state in (StreamState.OK, StreamState.FINISHED):
            self._write_state = StreamState.RESET_REMOTE
            self.write_code = code

    def take(self, size: int) -> bytes | None:
        """What there is to read; None if there is nothing now. Raises what the half has ended with."""
        if self.gone is not None:
            raise self.gone.with_traceback(None)
        if self._read_state is StreamState.OK and self.ahead is None:
            try:
                data, ended = self.connection.quic.read_stream(self.id, size)
            except StreamReset as error:
                self._read_state, self.read_code = StreamState.RESET_REMOTE, error.error_code
                raise
            if ended:
                self._read_state = StreamState.FINISHED
            if data:
                return data
        state = self._read_state
        if state is StreamState.FINISHED:
            self._told = True
            raise ZeroReturn("the stream has ended")
        if state is StreamState.RESET_REMOTE:
            assert self.read_code is not None
            raise StreamReset(self.read_code)
        if state is StreamState.RESET_LOCAL:
            raise UsageError(f"stream {self.id}: reading was given up here")
        if state is StreamState.WRONG_DIR:
            raise UsageError(f"stream {self.id} is ours alone to write to")
        if self.connection.over:
            raise self.connection.why_over()
        return None

    def put(self, data: bytes, *, conclude: bool) -> int | None:
        """Take it to be sent, if it is time; None if not."""
        self._check_writable()
        if data and self.write_buffer_used >= self.connection.write_buffer:
            return None
        if self.ahead is not None:
            self.ahead.append(data)
        else:
            self.connection.quic.write_stream(self.id, data, fin=conclude)
        if conclude:
            self._write_state = StreamState.FINISHED
        return len(data)

    def _check_writable(self) -> None:
        if self.gone is not None:
            raise self.gone.with_traceback(None)
        state = self._write_state
        if state is StreamState.WRONG_DIR:
            raise UsageError(f"stream {self.id} is the peer's to write to")
        if state is StreamState.FINISHED:
            raise UsageError("stream finished: it was concluded")
        if state is StreamState.RESET_LOCAL:
            raise UsageError(f"stream {self.id}: writing was given up here")
        if state is StreamState.RESET_REMOTE:
            assert self.write_code is not None
            raise StreamStopped(self.write_code)
        if self.connection.over:
            raise self.connection.why_over()

    def _look(self) -> None:
        """Learn of a reset that nobody has read."""
        code = self.connection.quic.stream_reset_code(self.id)
        if code is not None:
            self._read_state, self.read_code = StreamState.RESET_REMOTE, code

    # --- polling ------------------------------------------------------------------------------------------------------

    def readiness(self) -> PollEvent:
        """What holds of it now; the domain's lock is held.

        Beyond SSL_poll(3) the end of the connection counts as an error in either direction, and so does that of its
        BIOs: who polls nothing but a stream would wait for ever.
        """
        found = PollEvent.NONE
        reading, writing, quic = self.read_state, self.write_state, self.connection.quic
        failed = self.domain is not None and self.domain.failure is not None
        if reading is StreamState.RESET_REMOTE:
            found |= PollEvent.ER
        elif quic.stream_readable(self.id) or (reading is StreamState.FINISHED and not self._told):
            found |= PollEvent.R
        elif reading is StreamState.CONN_CLOSED or (failed and reading is StreamState.OK):
            found |= PollEvent.ER
        if writing in (StreamState.RESET_REMOTE, StreamState.CONN_CLOSED) or (failed and writing is StreamState.OK):
            found |= PollEvent.EW
        elif writing is StreamState.OK and self.write_buffer_available and quic.may_write:
            found |= PollEvent.W
        return found

    def _readiness(self, domain: Domain) -> PollEvent:  # noqa: ARG002 - QUICObject
        return self.readiness()

    # --- an object of the domain ------------------------------------------------------------------------------------

    @property
    def domain(self) -> Domain | None:
        """The connection's."""
        return self.connection.domain

    @property
    def blocking(self) -> bool:
        """Whether calls wait instead of saying what they wait for (SSL_set_blocking_mode(3))."""
        return self._blocking

    @blocking.setter
    def blocking(self, value: bool) -> None:
        self.connection._may_block(value)
        self._blocking = value

    @property
    def _implicit(self) -> bool:
        mode = self.event_handling
        if mode == EventHandling.INHERIT:
            mode = self.connection.event_handling
        return mode != EventHandling.EXPLICIT

    @property
    def _pauses_show(self) -> bool:
        return self.connection._pauses_show

    def _check_work(self) -> None:
        self.connection._check_work()

    def _stirred(self) -> None:
        self.connection._stirred(self)

    def _enter(self) -> None:
        domain = self.connection.domain
        assert domain is not None
        if self._busy:
            raise UsageError("this stream is in use: by another thread, or by the call whose callback this is")
        if self._closing or self.connection.closed:
            raise UsageError(CLOSED)
        self._busy = True
        domain.lock.acquire()
        self.connection._thread = threading.get_ident()
        self.want = Want.NOTHING

    def _leave(self) -> None:
        self._busy = False
        domain = self.connection.domain
        assert domain is not None
        domain.lock.release()


def unfinished() -> Error:
    """Why nothing comes of a stream whose connection was closed in good order, but before the stream's end."""
    return UnexpectedEOF("the connection was closed before the stream's end")


def _checked(code: int) -> int:
    if not 0 <= code <= _MAX_CODE:
        raise UsageError(f"an error code has 62 bits, which {code} has not")
    return code
