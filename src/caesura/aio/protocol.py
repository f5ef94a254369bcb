"""The lower face of a TLS connection in asyncio: the protocol of the loop's raw transport.

`TLSProtocol` feeds what arrives to a `TLSConnection`, writes what that wants to send, and tells the application's
protocol; `TLSTransport`, in `transport`, is the upper face, which the application holds. Only public interfaces of
loops and transports are used, so any loop will do. Everything runs on the loop's thread.

    NEW --connected--> HANDSHAKE --complete--> OPEN --close()--> CLOSING --the peer's close_notify, or a timeout--> LOST
                           |                     |
                           +------failure--------+--> FAILED: the alert is on its way --> LOST

One rule for the end of the stream. close_notify is the only clean end: the application hears `eof_received()`, and may
go on writing if that returns true. A transport that ends without close_notify may have been cut by anybody, so
`connection_lost()` is given `UnexpectedEOF` (a stream's reader raises it), however complete the data looks. After the
application has called `close()` it does not matter any more how the peer goes.

Whatever happens, `_settle` comes last: it writes what is to be written, follows work that is paused, and keeps the flow
control of both directions. Writes inside a callback of the application are gathered, so that one read of the socket is
answered by one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import IntEnum, unique
from typing import TYPE_CHECKING, Any, Final, cast

from caesura.aio.alarms import Alarm
from caesura.aio.completion import Pause
from caesura.aio.transport import TLSTransport
from caesura.errors import Error, OperationFailed, OperationTimeout, PeerAlert, UnexpectedEOF
from caesura.jobs import WaitContext
from caesura.tls.connection import TLSConnection
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.aio.endpoint import Endpoint

logger = logging.getLogger("caesura")
logger.addHandler(logging.NullHandler())

WRITE_LIMITS: Final = (16_384, 65_536)  # bytes, low and high: asyncio's own defaults for transports
_LARGE: Final = 20_000  # bytes: more than one record
GATHERED: Final = 65_536  # bytes that callbacks may write before they are sent on the way
FUTILE_WRITES: Final = 5  # writes into a closed connection that are passed over; from then on there is a warning


@unique
class State(IntEnum):
    """Where a connection stands; see the drawing above."""

    NEW = 0
    HANDSHAKE = 1
    OPEN = 2
    CLOSING = 3
    FAILED = 4
    LOST = 5


class TLSProtocol(asyncio.BufferedProtocol):
    """One TLS connection between a raw transport and the application's protocol.

    `waiter` is given the outcome of the handshake. `application` is a protocol that knows its connection already
    (start_tls); without one the endpoint makes a protocol when the handshake is complete.
    """

    __slots__ = (
        "_app", "_app_fills_buffers", "_app_holds_reading", "_app_holds_writing", "_confirmed", "_end_told", "_error",
        "_futile_writes", "_gathered", "_gathering", "_handshaking", "_pause", "_raw_full", "_raw_held", "_time",
        "_timer", "_told_plainly", "_wait_context", "_waiter", "_waker", "_write_ended", "connection", "endpoint",
        "raw", "state", "transport", "write_limits",
    )  # fmt: skip

    endpoint: Endpoint
    connection: TLSConnection
    raw: asyncio.Transport  # from `connection_made` on, and kept for its extra information
    transport: TLSTransport | None  # while the connection lasts

    def __init__(
        self,
        endpoint: Endpoint,
        waiter: asyncio.Future[asyncio.BaseProtocol] | None = None,
        application: asyncio.BaseProtocol | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.state = State.NEW
        self._wait_context: WaitContext | None = None  # once some work might have paused
        self.connection = TLSConnection(
            endpoint.context,
            server_side=endpoint.server_side,
            server_hostname=endpoint.server_hostname,
            session=endpoint.session,
            wait_context=self._make_wait_context,
            awaiter=endpoint.awaiter,
            async_mode=True,
            early_data=True if endpoint.server_side else endpoint.early_data,
        )
        self.transport = TLSTransport(self)
        self.write_limits = WRITE_LIMITS
        self._waiter = waiter
        self._time = endpoint.loop.time
        self._waker = endpoint.waker
        self._pause: Pause | None = None
        self._timer: Alarm | None = None  # of the handshake, or of the end
        self._handshaking = True
        self._confirmed: asyncio.Future[None] | None = None  # whoever was introduced early may wait for the end of that
        self._error: BaseException | None = None  # what `connection_lost()` will say
        self._app: Any = None  # a protocol, or a buffered one
        self._app_fills_buffers = False
        self._told_plainly = False  # the application may be told of data now, by data_received()
        self._app_holds_reading = False
        self._app_holds_writing = False  # it has been told to
        self._end_told = False
        self._write_ended = False
        self._raw_held = False  # we read nothing
        self._raw_full = False  # it wants nothing to be written
        self._gathering = False  # a callback of the application is running
        self._gathered = 0
        self._futile_writes = 0
        if application is not None:
            self.set_application(application)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self.endpoint.loop

    @property
    def wait_context(self) -> WaitContext:
        """What its paused work waits with."""
        return self.connection.wait_context

    def _make_wait_context(self) -> WaitContext:
        made = self._wait_context = WaitContext(owned=True)
        made.set_callback(self._waker.completed, self)
        made.call_later = self.endpoint.call_later
        return made

    # --- the raw transport's calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The raw transport is there: begin the handshake."""
        self.raw = cast("asyncio.Transport", transport)
        if self.state is not State.NEW:  # whoever wanted the connection has given up
            self.raw.abort()
            return
        self.state = State.HANDSHAKE
        if not self.endpoint.peers.begin(self):
            self.abort()
            return
        self._set_timer(self.endpoint.handshake_timeout, self._handshake_expired)
        if not self.endpoint.server_side:  # a server hears the client first
            self.resume_paused(self._time())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """The buffer that all connections of the loop share."""
        return self._waker.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """That many bytes have arrived."""
        data = self._waker.buffer[:nbytes]
        self.data_arrived(bytes(data) if nbytes < _LARGE else data)

    def data_arrived(self, data: Data) -> None:
        """Ciphertext has arrived. The buffer is the caller's again when this has returned."""
        connection = self.connection
        key = connection.open_key
        if key is not None and type(data) is bytes and self._told_plainly and not connection.plaintext:
            content = key.open_data(data)
            if content is not None:  # the short way: it was one whole record of data, as it is most of the time
                self._tell(content)
                if self._gathered or connection.seal_key is None:
                    self._settle(self._time())
                return
            connection.open_key = None  # it need not be asked again
        if self.state < State.FAILED:  # else the peer is only waited for to go
            now = self._time()
            connection.receive_data(data, now)
            self._react(now)

    def eof_received(self) -> bool:
        """The peer has closed its direction of the raw transport. True keeps ours open."""
        if self.state is State.CLOSING:
            self._end_told = True
            self._settle(self._time())  # what is still being sealed may still be sent
        elif self.state < State.FAILED:
            now = self._time()
            self.connection.receive_eof(now)
            self._react(now)
        return self.state < State.FAILED and not self.raw.is_closing()

    def pause_writing(self) -> None:
        """The raw transport's buffer is full."""
        self._raw_full = True
        self._control_writing()

    def resume_writing(self) -> None:
        """The raw transport's buffer has drained."""
        if not self._raw_full:  # it filled up before start_tls, and told the application then
            self._app_holds_writing = True
        self._raw_full = False
        self._control_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The raw transport is gone."""
        before = self.state
        if before is State.LOST:
            return
        error = self._error or exc
        if before is State.CLOSING and isinstance(error, ConnectionError):
            error = None  # it was to be closed, and is
        elif before is State.HANDSHAKE and error is None:
            error = UnexpectedEOF("the transport was closed during the handshake")
        if error is not None and before is State.HANDSHAKE:
            self._log(error)
            self._tell_waiter(error)
        application = self._app
        self._leave()
        if application is not None:
            application.connection_lost(cast("Exception | None", error))

    def _leave(self) -> None:
        """Nothing will happen any more: let go of everything but the facts."""
        self._release()
        self.state = State.LOST
        self.endpoint.peers.end(self)
        self._app = self.transport = None

    # --- paused work ------------------------------------------------------------------------------------------------

    def woken(self) -> None:
        """Paused work may go on."""
        if self._pause is not None:
            self._pause.woken()

    def resume_paused(self, now: float) -> None:
        """Let the handshake, or paused work, go on; fail what has gone past its deadline."""
        if self.state >= State.FAILED:
            return
        connection = self.connection
        try:
            connection.advance(now)
            if self._pause is not None and self._pause.overdue(now):
                connection.handle_timeout(now)
            self._react(now)
        except Exception as error:  # noqa: BLE001 - a bug must not leave a connection that nothing will ever wake
            self._break(error, "a TLS connection failed unexpectedly")

    # --- what the connection's state asks for -----------------------------------------------------------------------

    def _react(self, now: float) -> None:
        """The connection has moved: tell whoever is to hear of it."""
        if self._handshaking:
            self._look_for_completion()
        if self.state is State.OPEN:
            self._deliver()
        elif self.state is State.CLOSING:
            self.connection.read()  # nobody wants it any more
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Write what is to be written, and bring timers, watched descriptors and flow control up to date."""
        if self.state >= State.FAILED:
            return
        connection = self.connection
        data = connection.data_to_send(now)
        if data:
            # What a transport cannot send at once it slices, and slices of a view are no copies.
            self.raw.write(data if len(data) < _LARGE else memoryview(data))
        self._gathered = 0
        if connection.at_rest and not (
            self._pause is not None or self._app_holds_reading or self._raw_held or self._end_told
        ):
            return  # the peer alone is waited for
        error = connection.error
        if error is not None and self.state is not State.CLOSING:
            self._fail(error)
            return
        self._follow_pause(now)
        ended = error or connection.close_notify_received or self._end_told
        if ended and self.state is State.CLOSING and self._pause is None:
            self._finish()

    def _follow_pause(self, now: float) -> None:
        """Follow work that is paused, or has been, and what it does to the flow of both directions."""
        connection = self.connection
        if (
            not connection.at_rest
            and connection.error is None
            and (connection.waiting_for_async or connection.needs_job)
        ):
            if self._pause is None:
                self._pause = Pause(self, self._waker)
            self._pause.follow(connection.timeout(), now, poll=connection.needs_job)
        elif self._pause is not None:
            self._pause.end()
            self._pause = None
        self._control_reading()
        self._control_writing()

    def _look_for_completion(self) -> None:
        """The handshake was not complete yet. Introduce the application when it is, or even before, by early data."""
        connection, endpoint = self.connection, self.endpoint
        if connection.handshake_complete:
            self._handshaking = False
            endpoint.peers.complete(self)
            if self.state < State.CLOSING:  # else the timer is that of the end
                self._cancel_timer()
            if self._confirmed is not None:
                self._confirmed.set_result(None)
                self._confirmed = None
        elif not (endpoint.server_side and endpoint.early_data and connection.may_write):
            return
        if self.state is State.HANDSHAKE:
            self._introduce()

    def _introduce(self) -> None:
        """Introduce the application to its transport."""
        self.state = State.OPEN
        self._note_listening()
        if self._app is None and not self._call(
            self._make_application, "making the application's protocol, or its connection_made(), failed"
        ):
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self.application)
        self._waiter = None

    def _make_application(self) -> None:
        application = self.endpoint.make_protocol()
        self.set_application(application)
        application.connection_made(cast("TLSTransport", self.transport))

    def _deliver(self) -> None:
        """Tell the application what has arrived, in order, as long as it listens."""
        connection = self.connection
        if self._app_fills_buffers:
            self._call(self._fill_buffers, "get_buffer() or buffer_updated() of the application's protocol failed")
        elif not self._app_holds_reading:
            data = connection.read()
            if data:
                self._tell(data)
        if connection.close_notify_received and not self._end_told and self.reading:
            self._end_told = True
            self._call(self._tell_end, "eof_received() of the application's protocol failed")

    def _tell(self, data: bytes) -> None:
        """Data for the application: as `_call`, which would cost another call for each message."""
        self._gathering = True
        try:
            self._app.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - reported, as loops do it
            self._break(error, "data_received() of the application's protocol failed")
        self._gathering = False

    def _tell_end(self) -> None:
        keep_open = self._app.eof_received()
        if not keep_open:
            self.close()

    def _fill_buffers(self) -> None:
        """For an application with a BufferedProtocol: what has arrived goes into the buffers it offers."""
        connection = self.connection
        while self.reading and (size := connection.pending()):
            application = self._app
            with memoryview(application.get_buffer(size)) as buffer:
                if not buffer.nbytes:
                    raise RuntimeError("get_buffer() returned an empty buffer")
                data = connection.read(buffer.nbytes)
                buffer[: len(data)] = data
            application.buffer_updated(len(data))

    def _call(self, function: Callable[[], object], failure: str) -> bool:
        """Call the application: whether it raised nothing. What it writes meanwhile is gathered, for `_settle`."""
        self._gathering = True
        try:
            function()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - reported, as loops do it
            self._break(error, failure)
            return False
        finally:
            self._gathering = False
        return True

    def _tell_waiter(self, error: BaseException) -> None:
        """The handshake has failed: tell whoever waits for it; nobody waits for a server's."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    async def wait_handshake(self) -> None:
        """Wait until the handshake is complete; raises why it is not going to be."""
        if self.connection.handshake_complete:
            return
        if self.state >= State.FAILED:
            raise self._error or self._gone()
        if self._confirmed is None:
            self._confirmed = self.loop.create_future()
        await asyncio.shield(self._confirmed)

    def _gone(self) -> Exception:
        return ConnectionAbortedError("the connection was given up before its handshake was complete")

    # --- the application's calls, by way of its transport -----------------------------------------------------------

    @property
    def application(self) -> asyncio.BaseProtocol:
        """The application's protocol, while the connection lasts."""
        return self._app  # type: ignore[no-any-return]

    def set_application(self, application: asyncio.BaseProtocol) -> None:
        """Tell this protocol from now on."""
        self._app = application
        self._app_fills_buffers = isinstance(application, asyncio.BufferedProtocol)
        self._note_listening()

    def _note_listening(self) -> None:
        self._told_plainly = self.reading and not self._app_fills_buffers

    @property
    def closing(self) -> bool:
        """Whether the end has begun."""
        return self.state > State.OPEN

    @property
    def reading(self) -> bool:
        """Whether the application may be told of data."""
        return self.state is State.OPEN and not self._app_holds_reading

    def hold_reading(self) -> None:
        """The application wants no data for a while."""
        self._app_holds_reading = True
        self._note_listening()
        if self.state is State.OPEN:
            self._control_reading()

    def release_reading(self) -> None:
        """The application wants data again: first what has arrived meanwhile, but not before it has returned."""
        if self._app_holds_reading:
            self._app_holds_reading = False
            self._note_listening()
            self.loop.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        if self.state is State.OPEN:
            self._react(self._time())
        if self.state is State.OPEN:
            self._control_reading()

    def write(self, data: Data) -> None:
        """Seal and send; from a callback of the application, it is sent when the callback returns."""
        connection = self.connection
        key = connection.seal_key
        if key is not None and type(data) is bytes and not (self._gathering or connection.out):
            record = key.seal_data(data)
            if record is not None:  # the short way
                self.raw.write(record)
                return
        if self.state is not State.OPEN or self._write_ended or connection.error is not None:
            self._refuse_to_write()
            return
        if not isinstance(data, Data):
            raise TypeError(f"data: expected bytes, not {type(data).__name__}")
        data = bytes(data)
        if not data:
            return
        connection.write(data)
        if self._gathering:
            self._gathered += len(data)
            if self._gathered < GATHERED:
                return
        self._settle(self._time())

    def _refuse_to_write(self) -> None:
        if self._write_ended and self.state is State.OPEN:  # as asyncio's own transports do
            raise RuntimeError("cannot write() after write_eof()")
        self._futile_writes += 1
        if self._futile_writes >= FUTILE_WRITES:
            logger.warning("write() on a TLS connection that is closed")

    def write_eof(self) -> None:
        """Send close_notify behind what is buffered."""
        if self.state is State.OPEN and not self._write_ended:
            self._write_ended = True
            self.connection.shutdown()
            self._settle(self._time())

    def unsent(self) -> int:
        """Bytes that have not reached the socket."""
        if self.state is State.LOST:
            return 0
        return self._gathered + self.connection.write_backlog + self.raw.get_write_buffer_size()

    def set_write_limits(self, high: int | None, low: int | None) -> None:
        """Set the marks for the application's `pause_writing()` and `resume_writing()`, in bytes."""
        if high is None:
            high = WRITE_LIMITS[1] if low is None else 4 * low
        if low is None:
            low = high // 4
        self.raw.set_write_buffer_limits(high=high, low=low)  # which refuses what makes no sense
        self.write_limits = (low, high)
        self._control_writing()

    def close(self) -> None:
        """Send what is buffered and close_notify, and wait for the peer's; drop a handshake that is not complete."""
        if self.state is State.HANDSHAKE:
            self.abort()
        elif self.state is State.OPEN:
            self.state = State.CLOSING
            self._note_listening()
            self.connection.read()
            self._cancel_timer()
            if not self._write_ended:
                self.connection.shutdown()
            self._settle(self._time())
            if not self.raw.is_closing() or self.raw.get_write_buffer_size():
                self._set_timer(self.endpoint.shutdown_timeout, self._shutdown_expired)

    def abort(self) -> None:
        """Drop everything, now."""
        if self.state < State.LOST:
            self.state = State.FAILED
            self._release()
            self.raw.abort()

    def give_up(self) -> None:
        """Whoever waited for the handshake does so no more, perhaps before there was a raw transport."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.cancel()  # which also keeps a failure that is in it from being reported as never seen
        if self.state is State.NEW:
            self.state = State.LOST
            return
        if self.state < State.FAILED:
            self.abort()
        if self._app is None and not self.raw.get_write_buffer_size():
            self._leave()  # loops need not tell of the end of a connection that they have not handed over

    # --- flow control -----------------------------------------------------------------------------------------------

    def _control_reading(self) -> None:
        """Hold the raw transport while the application does not listen, or too much waits behind paused work."""
        connection = self.connection
        hold = (self._app_holds_reading and self.state is State.OPEN) or not (
            connection.at_rest
            or connection.wants_data
            or connection.close_notify_received  # then we still want to see the peer go
        )
        if hold is not self._raw_held and not self.raw.is_closing():
            self._raw_held = hold
            if hold:
                self.raw.pause_reading()
            else:
                self.raw.resume_reading()

    def _control_writing(self) -> None:
        """Hold the application while the raw transport is full, or too much waits behind paused seals."""
        if self._app is None:
            return
        low, high = self.write_limits
        try:
            if not self._app_holds_writing:
                if self._raw_full or self.connection.write_backlog > high:
                    self._app_holds_writing = True
                    self._app.pause_writing()
            elif not self._raw_full and self.connection.write_backlog <= low:
                self._app_holds_writing = False
                self._app.resume_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - reported, as loops do it
            self._report(error, "pause_writing() or resume_writing() of the application's protocol failed")

    # --- the end ----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Both directions are closed: let the raw transport send what it has."""
        self.connection.close()
        self.raw.close()

    def _handshake_expired(self) -> None:
        self._timer = None
        self._error = ConnectionAbortedError(
            f"the TLS handshake was not complete within {self.endpoint.handshake_timeout:g} seconds"
        )
        self._log(self._error)
        self._tell_waiter(self._error)
        self.abort()

    def _shutdown_expired(self) -> None:
        self._timer = None
        if self.unsent():
            self._error = TimeoutError(
                f"what was written could not be sent within {self.endpoint.shutdown_timeout:g} seconds of close()"
            )
        self.abort()

    def _fail(self, error: Error) -> None:
        """The connection has ended with an error, and its alert, if any, is on its way."""
        handshaking = self.state is State.HANDSHAKE
        self.state = State.FAILED
        self._error = error
        self._release()
        self._log(error)
        self._tell_waiter(error)
        if handshaking and self.endpoint.server_side and not isinstance(error, PeerAlert | UnexpectedEOF):
            self._linger()
        else:
            self.raw.close()
        if not self.raw.is_closing() or self.raw.get_write_buffer_size():
            self._set_timer(self.endpoint.shutdown_timeout, self.raw.abort)

    def _linger(self) -> None:
        """Wait for the client to go, discarding what it sends.

        A client of TLS 1.3 may send data before it hears that its certificate is refused. Closing on top of unread
        bytes resets the connection, and the client would see that instead of the alert.
        """
        if self._raw_held:
            self._raw_held = False
            self.raw.resume_reading()
        try:
            self.raw.write_eof()
        except (OSError, NotImplementedError):  # the peer is gone already, or this transport cannot
            self.raw.close()

    def _log(self, error: BaseException) -> None:
        """A server's handshake has failed. That is the peer's affair, unless it was our own engine or callback."""
        if self._waiter is None and self._app is None:
            ours = isinstance(error, OperationFailed | OperationTimeout)
            peer = self.raw.get_extra_info("peername")
            logger.log(
                logging.WARNING if ours else logging.DEBUG, "handshake with %s failed: %s", peer, error, exc_info=error
            )

    def _break(self, error: BaseException, message: str) -> None:
        """Something raised that should not have: report it and drop the connection."""
        self._report(error, message)
        self._error = error
        self._tell_waiter(error)
        self.abort()

    def _report(self, error: BaseException, message: str) -> None:
        self.loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self.transport, "protocol": self._app}
        )

    def _release(self) -> None:
        """Stop timers, paused work and whatever waits for it."""
        self._told_plainly = False
        self._cancel_timer()
        if self._pause is not None:  # before the engine closes descriptors that the loop still watches
            self._pause.end()
            self._pause = None
        self.connection.close()
        if self._wait_context is not None:
            self._wait_context.close()
        if self._confirmed is not None:
            self._confirmed.set_exception(self._error or self._gone())
            self._confirmed.exception()  # the one who waits may have been cancelled: nobody need hear of it then
            self._confirmed = None

    def _set_timer(self, seconds: float, function: Callable[[], object]) -> None:
        self._timer = self._waker.alarms.call_at(self.loop, self._time() + seconds, function)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
