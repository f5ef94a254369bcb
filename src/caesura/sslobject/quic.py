"""The SSL of QUIC: a connection with streams, over datagram BIOs (openssl-quic(7)).

It is one object of a `Domain`, which it makes itself, or which a listener has. `read` and `write` are those of its
default stream; `new_stream` and `accept_stream` give others, as objects of their own. Closing has phases, see
`shutdown`.

Paused work of the handshake shows as on TLS: `WantAsync`, descriptors, callback and status. What OpenSSL cannot do
here: meanwhile every call, and `handle_events` above all, goes on reading, acknowledging and sending.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum, unique
from typing import Any, Final
from weakref import WeakValueDictionary

from caesura import assist
from caesura.bio import BIO, Data, DatagramBIO
from caesura.context import Context
from caesura.errors import Error, UsageError, ZeroRTTRejected
from caesura.events import (
    EarlyDataReason,
    EarlyDataRejected,
    EarlyDataStatus,
    Event,
    StopSendingReceived,
    StreamOpened,
    StreamsPermitted,
)
from caesura.quic.closing import CloseInfo
from caesura.quic.connection import QUICConnection
from caesura.quic.path import Address
from caesura.quic.turn import Turn
from caesura.readiness import PollEvent
from caesura.sessions import Session
from caesura.sslobject.base import NO_ROLE, NO_TYPE, SSL, Want
from caesura.sslobject.domain import Domain, Waiter, descriptor
from caesura.sslobject.quic_object import EventHandling, QUICObject
from caesura.sslobject.quic_stream import SERVER, UNIDIRECTIONAL, QUICStream, unfinished

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


class QUICSSL(QUICObject, SSL):
    """A QUIC connection. As a server it has one peer, unless a `Listener` has made it.

    `initial_peer_address` is where a client finds its server, for a BIO that does not know
    (SSL_set1_initial_peer_addr(3)).
    """

    __slots__ = (
        "_ahead",
        "_blocking",
        "_contradicted",
        "_default",
        "_default_mode",
        "_domain",
        "_early",
        "_had_default",
        "_incoming",
        "_policy",
        "_reject_code",
        "_shutting",
        "_streams",
        "event_handling",
        "initial_peer_address",
        "listener",
        "scheduled",
        "token",
    )

    _connection: QUICConnection | None

    def __init__(
        self,
        context: Context,
        rbio: BIO | None = None,
        wbio: BIO | None = None,
        *,
        server_side: bool | None = None,
        server_hostname: str | None = None,
        session: Session | None = None,
    ) -> None:
        self.initial_peer_address: Address = None
        self.event_handling = EventHandling.INHERIT
        self.token = b""  # of an earlier connection's `new_token`: the server need not ask where we are
        self.listener: Any = None  # that has made it
        self.scheduled: float | None = None  # the domain's
        self._blocking: bool | None = None  # None: as the BIOs are
        self._default_mode = DefaultStreamMode.AUTO_BIDI
        self._policy = IncomingStreamPolicy.AUTO
        self._reject_code = 0
        super().__init__(context, rbio, wbio, server_side=server_side, server_hostname=server_hostname, session=session)

    def _reset(self) -> None:
        super()._reset()
        self._domain: Domain | None = None
        self._streams: WeakValueDictionary[int, QUICStream] = WeakValueDictionary()  # those that somebody holds
        self._incoming: deque[QUICStream] = deque()
        self._ahead: tuple[deque[QUICStream], deque[QUICStream]] = (deque(), deque())  # of each kind
        self._default: QUICStream | None = None
        self._had_default = False
        self._contradicted = False  # the role is one, and the other was asked for
        self._early = False
        self._shutting = False

    # --- before the handshake -------------------------------------------------------------------------------------

    def _start_over(self, server_side: bool | None) -> None:
        """A role is for good; another one is refused when the handshake begins, as OpenSSL does."""
        if self._server_side is None:
            self._server_side = server_side
        self._contradicted = server_side is not self._server_side

    def set_bio(self, rbio: BIO | None, wbio: BIO | None = None) -> None:
        """Read datagrams from `rbio` and write them to `wbio`, or to `rbio` when it is None (SSL_set_bio(3)).

        `UsageError` once the connection has begun: its packets cannot go elsewhere.
        """
        if self._domain is not None:
            raise UsageError("set_bio: the connection has begun")
        super().set_bio(rbio, wbio)

    def _begin(self, no_role: str = NO_ROLE) -> Domain:
        """Enter a call; the connection is made here, when role, BIOs and all it cannot do without are known."""
        self._missing(no_role)
        if self._contradicted:
            raise UsageError(f"invalid argument: this is a {'server' if self._server_side else 'client'}")
        self._enter()
        try:
            self.want = Want.NOTHING
            domain = self._domain or self._connect()
            self._unwind(domain)
        except BaseException:
            self._leave()
            raise
        return domain

    def _connect(self) -> Domain:
        address = self.initial_peer_address
        if address is None and isinstance(self._wbio, DatagramBIO) and not _knows_peer(self._wbio):
            raise UsageError("no peer address: connect the socket, give the BIO one, or set initial_peer_address")
        assert self._rbio is not None
        assert self._wbio is not None
        turn = Turn()
        connection = QUICConnection(
            self.context,
            server_side=bool(self._server_side),
            server_hostname=self._server_hostname,
            session=self._session,
            addr=address,
            token=self.token,
            async_mode=True,
            early_data=self._early,
            turn=turn,
        )
        domain = Domain(self.context.settings, self._rbio, self._wbio, turn, addressed=address is not None)
        domain.lock.acquire()  # this call is in it
        self.adopt(connection, domain)
        domain.add(self)
        if self.context.settings.quic.thread_assisted:
            assist.follow(domain)
        if not self._server_side:
            connection.advance(domain.now())
        return domain

    def adopt(self, connection: QUICConnection, domain: Domain) -> None:
        """Be the object of this connection."""
        connection.leave_waiting()
        self._domain = domain
        self._adopt_work(connection)

    # --- for the domain (Member) ----------------------------------------------------------------------------------

    @property
    def connection(self) -> QUICConnection:
        """The connection, which has begun."""
        assert self._connection is not None
        return self._connection

    @property
    def quic(self) -> QUICConnection:
        """The connection, for its streams."""
        assert self._connection is not None
        return self._connection

    def deadline(self) -> float | None:
        """When the connection has something to do."""
        return self.connection.timeout()

    def resume(self, now: float) -> None:
        """Let paused work go on, if it is this thread's; else its own thread is told to look."""
        connection = self.connection
        context = connection.wait_context
        told = context.signalled
        self._go_on_from_mark(connection)
        context.drain()
        try:
            connection.advance(now)
        except UsageError:
            if told:
                before = context.listen(None)  # who waits in the domain was told when it came
                context.notify()
                context.listen(before)

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
        if self._rejects:
            if not stream_id & UNIDIRECTIONAL:
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

    # --- an object of the domain ----------------------------------------------------------------------------------

    @property
    def domain(self) -> Domain | None:
        """The domain; None before the connection has begun."""
        return self._domain

    @property
    def blocking(self) -> bool:
        """Whether calls wait instead of saying what they wait for (SSL_set_blocking_mode(3)).

        At first that is so where the BIOs have a descriptor to wait on; `UsageError` for switching it on where they
        have none. The socket itself should not block.
        """
        if self._blocking is None:
            if self.listener is not None:
                return bool(self.listener.blocking)
            return descriptor(self._rbio) is not None and descriptor(self._wbio) is not None
        return self._blocking

    @blocking.setter
    def blocking(self, value: bool) -> None:
        self._may_block(value)
        self._blocking = value

    def _may_block(self, value: bool) -> None:
        if value and (descriptor(self._rbio) is None or descriptor(self._wbio) is None):
            raise UsageError("blocking: these BIOs have no descriptor to wait on")

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

    @property
    def _pauses_show(self) -> bool:
        return self._pausing

    @property
    def _implicit(self) -> bool:
        mode = self.event_handling
        if mode == EventHandling.INHERIT and self.listener is not None:
            return bool(self.listener._implicit)
        return mode != EventHandling.EXPLICIT

    def _check_work(self) -> None:
        connection = self.connection
        if connection.needs_job or (connection.handshake_paused and self._work_is_shown):
            self._want_async(connection)

    def _enter(self) -> None:
        super(QUICObject, self)._enter()
        if self._domain is not None:
            self._domain.lock.acquire()

    def _leave(self) -> None:
        if self._domain is not None:
            self._domain.lock.release()
        super(QUICObject, self)._leave()

    def _stirred(self, by: QUICObject) -> None:
        """Something is to be sent, because of a call on this object."""
        domain = self._domain
        assert domain is not None
        domain.stir(self)
        if by._implicit:
            by._turn(domain)

    # --- the handshake --------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        """Perform the handshake; return when it is done, at once when it is done already (SSL_do_handshake(3)).

        Raises `WantRead` or `WantAsync` when it must be called again, `UsageError` naming what is missing, and the
        connection's failure, then and at every later call.
        """
        domain = self._begin(NO_TYPE)
        try:
            if not self.connection.handshake_complete or self.over:
                self._until(domain, self._is_complete, Want.READING)
        finally:
            self._leave()

    def _handshake(self, domain: Domain, by: QUICObject) -> None:
        """Go on until it is done, as the mode of the object that was called wants it."""
        self._unwind(domain)
        if not self.connection.handshake_complete:
            by._until(domain, self._is_complete, Want.READING)

    def _unwind(self, domain: Domain) -> None:
        """What is paused on a connection that has ended in the assist thread's turn is unwound in ours."""
        if self.connection.deserted:
            self.connection.advance(domain.now())

    def _is_complete(self) -> bool | None:
        if self.over:
            raise self.why_over()
        return self.connection.handshake_complete or None

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent, nor received but what is here."""
        connection = self._connection
        return connection is not None and (
            self._closing
            or connection.error is not None
            or connection.close_notify_received
            or connection.close_notify_sent
            or connection.closed
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def why_over(self) -> Error:
        """What a call says that can do nothing any more."""
        connection = self.connection
        if connection.error is not None:
            return connection.error.with_traceback(None)
        if connection.close_notify_sent or self._closing:
            return UsageError("protocol is shutdown: the connection was closed on this side")
        return unfinished()

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

    # --- the end ----------------------------------------------------------------------------------------------------

    def shutdown(
        self,
        *,
        code: int = 0,
        reason: str = "",
        rapid: bool = False,
        no_stream_flush: bool = False,
        wait_peer: bool = False,
        no_block: bool = False,
    ) -> bool:
        """Close the connection, with a code of the application protocol's; whether it is done (SSL_shutdown_ex(3)).

        First all that was written to streams arrives, unless `no_stream_flush`; then the peer is told; then late
        packets are answered for a while (RFC 9000 section 10.2). With `rapid` the peer is told, and that is all. With
        `wait_peer` nothing is done but to wait until the peer closes. A blocking connection waits unless `no_block`;
        else it is called again until it is done.
        """
        domain = self._begin()
        try:
            connection, waiter = self.connection, Waiter(domain)
            block = self.blocking and not no_block
            flush = not (rapid or no_stream_flush)
            while True:
                if self._implicit or block:
                    self._turn(domain)
                if not (self.over or wait_peer or (flush and connection.unacknowledged)):
                    connection.shutdown(code, reason)
                    self._stirred(self)
                if connection.terminated or (rapid and self.over):
                    return True
                if not block:
                    self.want = Want.READING
                    return False
                self._sound(domain)
                self._wait(waiter)
        finally:
            self._leave()

    @property
    def close_info(self) -> CloseInfo | None:
        """How the connection was closed, by whom and with what; None while it was not (SSL_get_conn_close_info(3))."""
        return self._connection.close_info if self._connection is not None else None

    def close(self) -> None:
        """Give everything up, as every SSL does: nothing is sent. Whoever waits in a call on it is woken."""
        super().close()
        if self._domain is not None:
            self._domain.wake()

    def _cancel(self) -> None:
        domain = self._domain
        if domain is None:
            super()._cancel()
            return
        with domain.lock:
            super()._cancel()
            domain.remove(self)

    # --- what else there is -------------------------------------------------------------------------------------------

    def key_update(self, request_peer: bool = False) -> None:  # noqa: ARG002 - in QUIC the peer always follows
        """Change the keys, as soon as that may be; the peer changes its own too (RFC 9001 section 6)."""
        self._begin()
        try:
            self.connection.key_update()
            self._stirred(self)
        finally:
            self._leave()

    @property
    def peer_address(self) -> Address:
        """Where the peer is, in the form the BIO gives; None where that knows no addresses."""
        return self._connection.addr if self._connection is not None else self.initial_peer_address

    def send_datagram(self, data: Data) -> bool:
        """Send a datagram, which may get lost (RFC 9221); False when as many wait as may wait.

        Performs the handshake. Raises `UsageError` when it is too long, or the peer takes none.
        """
        domain = self._begin()
        try:
            self._handshake(domain, self)
            if self.over:
                raise self.why_over()
            taken = self.connection.send_datagram(data)
            self._stirred(self)
            return taken
        finally:
            self._leave()

    def read_datagram(self) -> bytes:
        """The oldest datagram that has come. Beyond `quic.datagram_queue` the oldest are dropped."""
        domain = self._begin()
        try:
            self._handshake(domain, self)
            return self._until(domain, self._next_datagram, Want.READING)
        finally:
            self._leave()

    def _next_datagram(self) -> bytes | None:
        data = self.connection.read_datagram()
        if data is None and self.over:
            raise self.why_over()
        return data

    @property
    def new_token(self) -> bytes | None:
        """What the server has given a client for its next connection: see `token` (RFC 9000 section 8.1.3)."""
        return self._connection.new_token if self._connection is not None else None

    @property
    def early_data_status(self) -> EarlyDataStatus:
        """What became of 0-RTT."""
        return self._connection.early_data_status if self._connection is not None else EarlyDataStatus.NOT_SENT

    @property
    def early_data_reason(self) -> EarlyDataReason:
        """Why that is so."""
        return self._connection.early_data_reason if self._connection is not None else EarlyDataReason.UNKNOWN


def _knows_peer(bio: DatagramBIO) -> bool:
    """Whether datagrams written to it find somebody."""
    if bio.address is not None:
        return True
    try:
        bio.socket.getpeername()
    except OSError:
        return False
    return True
