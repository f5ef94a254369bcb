"""The streams of a QUIC connection: the default one, those that are made or accepted, and 0-RTT on the first."""

from __future__ import annotations

from collections import deque
from enum import IntEnum, unique
from typing import Any, Final
from weakref import WeakValueDictionary

from caesura.errors import Error, UsageError, ZeroRTTRejected
from caesura.events import (
    EarlyDataRejected,
    Event,
    StopSendingReceived,
    StreamOpened,
    StreamsPermitted,
)
from caesura.readiness import PollEvent
from caesura.sslobject.domain import Domain, Waiter
from caesura.sslobject.ends import Want
from caesura.sslobject.quic_base import QUICBase
from caesura.sslobject.quic_object import QUICObject
from caesura.sslobject.quic_stream import SERVER, UNIDIRECTIONAL, QUICStream
from caesura.wire.data import Data

_NO_STREAM: Final = "no stream: this connection has no default stream; make one with new_stream or accept_stream"


@unique
class DefaultStreamMode(IntEnum):
    """Which stream `read` and `write` of a connection are for (SSL_set_default_stream_mode(3))."""

    NONE = 0
    AUTO_BIDI = 1  # the first write opens one; if a read comes first, the first one of the peer's
    AUTO_UNI = 2


@unique
class IncomingStreamPolicy(IntEnum):
    """What becomes of streams that the peer opens (SSL_set_incoming_stream_policy(3))."""

    AUTO = 0  # they are refused once there is a default stream
    ACCEPT = 1
    REJECT = 2


class StreamCalls(QUICBase):
    """A connection, as far as its streams go."""

    __slots__ = (
        "_ahead",
        "_default",
        "_default_mode",
        "_had_default",
        "_incoming",
        "_policy",
        "_reject_code",
        "_streams",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._default_mode = DefaultStreamMode.AUTO_BIDI
        self._policy = IncomingStreamPolicy.AUTO
        self._reject_code = 0
        super().__init__(*args, **kwargs)

    def _reset(self) -> None:
        super()._reset()
        self._streams: WeakValueDictionary[int, QUICStream] = WeakValueDictionary()  # those that somebody holds
        self._incoming: deque[QUICStream] = deque()
        self._ahead: tuple[deque[QUICStream], deque[QUICStream]] = (deque(), deque())  # of each kind
        self._default: QUICStream | None = None
        self._had_default = False

    # --- what the connection tells ----------------------------------------------------------------------------------

    def happened(self, event: Event) -> None:
        """What the connection tells."""
        if isinstance(event, StreamOpened):
            self._opened(event.stream_id)
        elif isinstance(event, StreamsPermitted):
            self._open_ahead(event.unidirectional)
        elif isinstance(event, EarlyDataRejected):
            self._early_data_rejected(ZeroRTTRejected(event.reason.value))
        elif isinstance(event, StopSendingReceived):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.stopped(event.error_code)

    def _opened(self, stream_id: int) -> None:
        """The peer has opened a stream."""
        if self._rejects and not self.over:
            if self.connection.may_reset(stream_id):
                self.connection.reset_stream(stream_id, self._reject_code)
            self.connection.stop_sending(stream_id, self._reject_code)
            return
        stream = self._streams[stream_id] = QUICStream(self, stream_id)
        self._incoming.append(stream)

    @property
    def _rejects(self) -> bool:
        if self._policy is IncomingStreamPolicy.AUTO:
            return self._had_default and self._default_mode is not DefaultStreamMode.NONE
        return self._policy is IncomingStreamPolicy.REJECT

    def _readiness(self, domain: Domain) -> PollEvent:
        connection = self.connection
        found = PollEvent.NONE
        if self.over or domain.failure is not None:
            found |= PollEvent.EC
            if connection.terminated or domain.failure is not None:
                found |= PollEvent.ECD
        else:
            for stream in self._incoming:
                found |= PollEvent.ISU if stream.unidirectional else PollEvent.ISB
            for unidirectional, event in ((False, PollEvent.OSB), (True, PollEvent.OSU)):
                if connection.may_write and not self._ahead[unidirectional]:
                    available = connection.streams_available(unidirectional=unidirectional, local=True)
                    found |= event if available else PollEvent.NONE
        if self._default is not None:
            found |= self._default.readiness()
        return found

    # --- the default stream -----------------------------------------------------------------------------------------

    @property
    def default_stream_mode(self) -> DefaultStreamMode:
        """Which stream `read` and `write` are for; until there is one (SSL_set_default_stream_mode(3))."""
        return self._default_mode

    @default_stream_mode.setter
    def default_stream_mode(self, mode: DefaultStreamMode) -> None:
        if self._had_default:
            raise UsageError("default_stream_mode: there is a default stream already")
        self._default_mode = DefaultStreamMode(mode)

    def set_incoming_stream_policy(self, policy: IncomingStreamPolicy, code: int = 0) -> None:
        """What becomes of streams that the peer opens from now on (SSL_set_incoming_stream_policy(3)).

        `code` is what the refused are given up with.
        """
        self._policy = IncomingStreamPolicy(policy)
        self._reject_code = code

    @property
    def incoming_stream_policy(self) -> IncomingStreamPolicy:
        """What was set."""
        return self._policy

    @property
    def default_stream(self) -> QUICStream | None:
        """The stream that `read` and `write` are for, once there is one."""
        return self._default

    def read(self, size: int = -1) -> bytes:
        """Read from the default stream, as its own `read`; if there is none, it is to be the peer's first one."""
        domain = self._begin()
        try:
            self._handshake(domain, self)
            stream = self._default or self._until(domain, self._adopt_default, Want.READING)
            return self._read_stream(stream, size, self)
        finally:
            self._leave()

    def write(self, data: Data, *, conclude: bool = False) -> int:
        """Write to the default stream, as its own `write`; in an automatic mode it is opened if there is none."""
        domain = self._begin()
        try:
            self._handshake(domain, self)
            stream = self._default or self._open_default(domain)
            return self._write_stream(stream, bytes(memoryview(data)), conclude=conclude, by=self)
        finally:
            self._leave()

    def pending(self) -> int:
        """Bytes of the default stream that can be read at once (SSL_pending(3))."""
        return 0 if self._default is None else self._default.pending()

    def conclude(self) -> None:
        """Conclude the default stream (SSL_stream_conclude(3))."""
        self._the_default.conclude()

    @property
    def _the_default(self) -> QUICStream:
        if self._default is None:
            raise UsageError(_NO_STREAM)
        return self._default

    def _open_default(self, domain: Domain) -> QUICStream:
        """A default stream of ours."""
        if self._default_mode is DefaultStreamMode.NONE or self._had_default:
            raise UsageError(_NO_STREAM)
        stream = self._new_stream(domain, self._default_mode is DefaultStreamMode.AUTO_UNI)
        self._set_default(stream)
        return stream

    def _adopt_default(self) -> QUICStream | None:
        """The peer's first stream of the kind, if it has come."""
        mode = self._default_mode
        if mode is DefaultStreamMode.NONE or self._had_default:
            raise UsageError(_NO_STREAM)
        wanted = (0 if self._server_side else SERVER) | (UNIDIRECTIONAL if mode is DefaultStreamMode.AUTO_UNI else 0)
        for stream in self._incoming:
            if stream.id == wanted:
                self._incoming.remove(stream)
                self._set_default(stream)
                return stream
        if self.over:
            raise self.why_over()
        return None

    def _set_default(self, stream: QUICStream) -> None:
        self._default = stream
        self._had_default = True

    # --- 0-RTT ------------------------------------------------------------------------------------------------------

    def write_early_data(self, data: Data) -> int:
        """Write to the default stream before the handshake is complete; how many bytes were taken (RFC 9001 4.6).

        On a client it has to be the first call. It needs a session that allows it, and its bytes can be copied and sent
        again by anybody: use it where twice is no worse than once. 0 says that none may go, or no more;
        `early_data_reason` says why. If the server takes none, the stream is gone: `early_data_status` knows once
        `do_handshake` has returned, and nothing sends the bytes again but you.

        On a server it sends before the client's Finished has come, to a client whose 0-RTT was accepted.
        """
        if self._connection is None and self._server_side is False:
            self._early = True
        domain = self._begin()
        try:
            connection = self.connection
            if self.over:
                raise self.why_over()
            if not (connection.may_write or connection.handshake_complete):
                if self._implicit:
                    self._turn(domain)
                self._check_work()  # before there is a hello
            if connection.handshake_complete or not connection.may_write:
                return 0
            stream = self._default or self._open_default(domain)
            return self._put(stream, bytes(memoryview(data)), conclude=False, by=self)
        finally:
            self._leave()

    def read_early_data(self, size: int = -1) -> bytes:
        """What a client has sent before the handshake is complete, of its first stream; b"" when that is complete.

        What is read here may be a copy, made by anybody, of what was sent before: afterwards `read` brings what is none
        (RFC 9001 section 9.2). A server takes 0-RTT with `max_early_data` set. Raises `UsageError` on a client.
        """
        if self._server_side is False:
            raise UsageError("read_early_data: a client receives none")
        domain = self._begin()
        try:
            return self._until(domain, lambda: self._take_early(size), Want.READING)
        finally:
            self._leave()

    def _take_early(self, size: int) -> bytes | None:
        if self.connection.handshake_complete:
            return b""
        stream = self._default or self._adopt_default()
        return None if stream is None else stream.take(size)

    def _early_data_rejected(self, why: Error) -> None:
        """The streams that were opened for it are gone, and ids begin anew."""
        for stream in tuple(self._streams.values()):
            stream.gone = why
        self._streams.clear()
        self._default = None
        self._had_default = False

    # --- streams ----------------------------------------------------------------------------------------------------

    def new_stream(
        self, unidirectional: bool = False, advance: bool = False, no_block: bool = False
    ) -> QUICStream | None:
        """A new stream; None when the peer permits no more now (SSL_new_stream(3)).

        A blocking connection waits for that unless `no_block`; with `advance` the stream is made at once, and sent from
        when it is permitted. There will be no default stream if there is none yet. Performs the handshake.
        """
        domain = self._begin()
        try:
            self._handshake(domain, self)
            self._no_default()
            stream = self._open(unidirectional, advance)
            if stream is None and self._implicit:
                self._turn(domain)
                stream = self._open(unidirectional)
            if stream is None and self.blocking and not no_block:
                stream = self._new_stream(domain, unidirectional)
            return stream
        finally:
            self._leave()

    def _no_default(self) -> None:
        """The application makes its streams itself."""
        if not self._had_default:
            self._default_mode = DefaultStreamMode.NONE

    def _open(self, unidirectional: bool, advance: bool = False) -> QUICStream | None:
        if self.over:
            raise self.why_over()
        stream_id = self.connection.open_stream(unidirectional=unidirectional)
        if stream_id is None:
            domain = self._domain
            assert domain is not None
            domain.stir(self)  # the peer is told that its limit is felt
            if not advance:
                return None
            ahead = self._ahead[unidirectional]
            stream_id = self.connection.next_stream(unidirectional=unidirectional) + 4 * len(ahead)
            stream = QUICStream(self, stream_id, ahead=True)
            ahead.append(stream)
        else:
            stream = QUICStream(self, stream_id)
        self._streams[stream_id] = stream
        return stream

    def _open_ahead(self, unidirectional: bool) -> None:
        """The peer permits more streams: first those that were made before it did."""
        ahead = self._ahead[unidirectional]
        while ahead and not self.over and self.connection.open_stream(unidirectional=unidirectional) is not None:
            ahead.popleft().permitted()
        assert self._domain is not None
        self._domain.stir(self)

    def _new_stream(self, domain: Domain, unidirectional: bool) -> QUICStream:
        return self._until(domain, lambda: self._open(unidirectional), Want.WRITING)

    def accept_stream(self, no_block: bool = False, *, unidirectional: bool | None = None) -> QUICStream | None:
        """The next stream that the peer has opened; None when there is none, or none will come (SSL_accept_stream(3)).

        A blocking connection waits for one unless `no_block`. `unidirectional` says of which kind; None: of either.
        There will be no default stream if there is none yet.
        """
        domain = self._begin()
        try:
            self._handshake(domain, self)
            self._no_default()
            stream = self._next_stream(unidirectional)
            if stream is None and self._implicit:
                self._turn(domain)
                stream = self._next_stream(unidirectional)
            waiter = Waiter(domain)
            while stream is None and self.blocking and not no_block and not self.over:
                self._sound(domain)
                self._check_work()
                self._wait(waiter)
                self._turn(domain)
                stream = self._next_stream(unidirectional)
            return stream
        finally:
            self._leave()

    def _next_stream(self, unidirectional: bool | None) -> QUICStream | None:
        for stream in self._incoming:
            if unidirectional is None or stream.unidirectional is unidirectional:
                self._incoming.remove(stream)
                return stream
        return None

    @property
    def accept_stream_queue_len(self) -> int:
        """Streams that the peer has opened and nobody has taken (SSL_get_accept_stream_queue_len(3))."""
        return len(self._incoming)

    def _read_stream(self, stream: QUICStream, size: int, by: QUICObject | None = None) -> bytes:
        by = by or stream
        domain = self._domain
        assert domain is not None
        if size == 0:
            return b""
        self._handshake(domain, by)
        try:
            return by._until(domain, lambda: stream.take(size), Want.READING)
        finally:
            if self.connection.owes:  # credit, or one stream more: reading the end makes a stream be over
                domain.stir(self)

    def _write_stream(self, stream: QUICStream, data: bytes, *, conclude: bool, by: QUICObject | None = None) -> int:
        by = by or stream
        domain = self._domain
        assert domain is not None
        self._handshake(domain, by)
        return self._put(stream, data, conclude=conclude, by=by)

    def _put(self, stream: QUICStream, data: bytes, *, conclude: bool, by: QUICObject) -> int:
        assert self._domain is not None
        count = by._until(self._domain, lambda: stream.put(data, conclude=conclude), Want.WRITING)
        self._stirred(by)
        return count

    def _forget(self, stream: QUICStream) -> None:
        self._streams.pop(stream.id, None)
        if stream is self._default:
            self._default = None
        if stream in self._incoming:
            self._incoming.remove(stream)

    @property
    def write_buffer(self) -> int:
        """Bytes of one stream that wait to be sent before a write has to."""
        return self.context.settings.quic.stream_write_buffer
