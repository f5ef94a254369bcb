"""The SSL of TLS and DTLS, protocols of records: a connection over two BIOs (SSL_do_handshake(3) and neighbours).

A `TLSConnection` or a `DTLSConnection` knows the protocol and touches nothing; an SSL sees to it that what it has to
send gets to one BIO and what comes from the other gets to it, and says with an exception what a call is waiting for.
How bytes and datagrams travel is said in `transfer`; here they are the same. Every call goes the same round:

1. let paused work go on, 2. hand out what is ready to be sent, 3. answer from what has come, 4. take more from the BIO.

Output always goes out before a call waits for input, or two ends of one byte pair would wait for each other for ever.
A call that cannot finish raises `WantRead`, `WantWrite`, `WantAsync` or `WantAsyncJob` and is repeated later; `want`
says the same. Reads, writes and the handshake wait separately: after any of these every other call is legal.

A write is *taken* when it is first accepted. If it then raises `WantAsync` or `WantWrite` it is finished by writing the
same bytes again, or `b""`; other bytes before that are a `UsageError`, because they would overtake nothing and surprise
everybody.

Outside asynchronous mode the connection's work pauses as it does inside; it is the call that waits for it then, so that
`close` can wake it. A call made inside a job waits too, by pausing that job.

Timers, which only DTLS has beside the deadlines of paused work, are served by `handle_events`, and by every call that
comes when they are due or waits until they are, each once (SSL_handle_events(3)). Nothing happens between calls.

One SSL is used by one thread at a time. `close` alone may be called at any moment and from anywhere.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from caesura.bio import BIO, DatagramBIO
from caesura.context import Method
from caesura.dtls.connection import DTLSConnection
from caesura.dtls.listener import DTLSListener
from caesura.engines import Operation
from caesura.errors import (
    ConfigError,
    Error,
    IdleTimeout,
    OperationTimeout,
    ReadTimeoutExpired,
    UnexpectedEOF,
    UsageError,
    WantRead,
    ZeroReturn,
)
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.jobs import current_job, wait
from caesura.jobs.pending import Condition
from caesura.sslobject.base import CLOSED, NO_ROLE, NO_TYPE, SSL
from caesura.sslobject.ends import Want
from caesura.tls.connection import TLSConnection
from caesura.transfer import CHUNK, Connection, DatagramTransfer, StreamTransfer, Transfer
from caesura.wire.data import Data

_RECORD_OPERATIONS = frozenset({Operation.SEAL_RECORD, Operation.OPEN_RECORD})
_TIMERS_FAILED = (ReadTimeoutExpired, IdleTimeout)
_NOTHING = Want.NOTHING


class RecordSSL(SSL):
    """A TLS or DTLS connection. What a write is that did not finish, and what waits for what, is said above."""

    __slots__ = (
        "_early",
        "_finished",
        "_held",
        "_held_early",
        "_monotonic",
        "_records_pause",
        "_short",
        "_shutdown_told",
        "_transfer",
        "_waits",
    )

    _connection: Connection | None

    def _reset(self) -> None:
        super()._reset()
        self._finished = False  # the handshake is done, and the application was told
        self._short: StreamTransfer | None = None  # there is one, and nothing stands in the way of the short paths
        self._held: bytes | None = None  # a write that was taken and has not returned its count
        self._held_early: tuple[bytes, int] | None = None  # one of early data, with the count
        self._early = False  # there is to be early data: the application asked for it before anything else
        self._shutdown_told = False  # a shutdown() has returned that close_notify is sent

    # --- before the handshake -------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Be ready for another connection in the same role; paused work is cancelled (SSL_clear(3))."""
        self._start_over(self._server_side)

    # --- the handshake --------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        """Perform the handshake; return when it is done, at once when it is done already (SSL_do_handshake(3)).

        Raises a Want… exception when it must be called again, `ZeroReturn` when the peer closed instead, `UsageError`
        naming what is missing, and the handshake's failure, then and at every later call.
        """
        connection = self._begin(NO_TYPE)
        try:
            if not self._finished or connection.error is not None:
                self._handshake(connection)
        finally:
            self._leave()

    def listen(self) -> Any:
        """Look at one datagram, and be the server of whoever has proved its address; that address (DTLSv1_listen(3)).

        For DTLS over a BIO that may hear from anybody: a `DatagramBIO` on a socket that is not connected. A first hello
        is answered with a cookie, and nothing is kept of it; whoever brings the cookie back is the peer. Connect the
        socket, or set the BIO's `address`, and go on with `do_handshake`. The address is None where the BIO knows none.

        Starts over: what was in progress is cancelled. Raises `WantRead` when there was nothing, or not yet a peer.
        """
        if self.context.settings.method is not Method.DTLS:
            raise UsageError("listen: a stream's peer has proved its address; use do_handshake")
        if not self.context.settings.dtls.cookies:
            raise ConfigError("dtls.cookies: listen stands on them")
        self._start_over(True)
        self._missing(NO_ROLE)
        self._enter()
        try:
            return self._listen(self._rbio, self._wbio)  # type: ignore[arg-type]
        finally:
            self._leave()

    def _listen(self, rbio: BIO, wbio: BIO) -> Any:
        if isinstance(rbio, DatagramBIO):
            rbio.set_next_timeout(None)  # nothing is under way that could have a timer
            datagram, address = rbio.read_from()
        else:
            datagram, address = rbio.read(), None
        if datagram:
            listener = DTLSListener(
                self.context, async_mode=True, on_connection=lambda connection, _: self._adopt(connection)
            )
            now = self.context.settings.clock.monotonic()
            listener.receive_datagram(datagram, address, now)
            for answer, _ in listener.datagrams_to_send(now):
                _ = wbio.write_to(answer, address) if isinstance(wbio, DatagramBIO) else wbio.write(answer)
            if self._connection is not None:
                self.want = Want.NOTHING
                return address
        self.want = Want.READING
        raise WantRead

    def _begin(self, no_role: str = NO_ROLE) -> Connection:
        """Enter a call that needs the connection; it is made here, when role and BIOs are known."""
        self._missing(no_role)
        self._enter()
        self.want = _NOTHING
        try:
            connection = self._connection or self._connect(bool(self._server_side))
            self._waits = not self._pausing or current_job() is not None
            return connection
        except BaseException:
            self._leave()
            raise

    def _connect(self, server_side: bool) -> Connection:
        arguments: dict[str, Any] = {
            "server_side": server_side,
            "server_hostname": self._server_hostname,
            "session": self._session,
            "async_mode": True,
            "early_data": (None if self._early else False) if server_side else (self._early or None),
        }
        connection: Connection
        if self.context.settings.method is Method.DTLS:
            connection = DTLSConnection(self.context, **arguments)
        else:
            connection = TLSConnection(self.context, **arguments)
        self._adopt(connection)
        return connection

    def _adopt(self, connection: Connection) -> None:
        settings = self.context.settings
        self._adopt_work(connection)
        self._monotonic = settings.clock.monotonic
        self._transfer: Transfer
        if isinstance(connection, DTLSConnection):
            self._transfer = DatagramTransfer(connection, settings)
        else:
            self._transfer = StreamTransfer(connection, self._monotonic)
        self._records_pause = not settings.engine.operations.isdisjoint(_RECORD_OPERATIONS)

    def _handshake(self, connection: Connection) -> None:
        self._advance(connection)
        while True:
            flushed = self._flush(connection)
            if connection.close_notify_received and not connection.handshake_complete:
                raise ZeroReturn("the peer closed before the handshake was done")
            if connection.error is not None:
                self._fail(connection.error)
            transfer = self._transfer
            if connection.handshake_complete and (flushed or transfer.may_remain):
                self._finished = True
                if isinstance(transfer, StreamTransfer) and not self._records_pause:
                    self._short = transfer
                return
            if connection.waiting_for_async or connection.needs_job:
                if transfer.take_paused(self._rbio):  # type: ignore[arg-type]
                    self._flush(connection)
                if connection.error is None:
                    self._want_async(connection)
            elif not flushed:
                self._want_write()
            else:
                self._fill(connection)

    # --- data -----------------------------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes of data, at least one; all that is there when `size` is negative (SSL_read(3)).

        Performs the handshake if it is not done. Raises `ZeroReturn` after the peer's close_notify, `UnexpectedEOF`
        when the transport ended without one, a Want… exception when there is nothing now.
        """
        short = self._short
        if short is not None and not self._busy:
            self._busy = True
            try:
                connection = short.connection
                if not connection.plaintext and (chunk := self._rbio.read(CHUNK)):  # type: ignore[union-attr]
                    key = connection.open_key
                    data = key.open_data(chunk) if key is not None and type(chunk) is bytes else None
                    if data is None:
                        connection.receive_data(chunk, self._monotonic())
                        if connection.error is not None:
                            self._short = None  # its alert goes out by the long path
                        elif connection.out:  # a KeyUpdate, a warning: the next read may wait for long
                            with suppress(OSError):
                                self._flush(connection)
                    elif 0 <= size < len(data):
                        connection.plaintext.append(data)
                    else:
                        self.want = _NOTHING
                        return data
                if data := connection.read(size):
                    self.want = _NOTHING
                    return data
            finally:  # _leave(), without the call
                self._busy = False
                if self._closing:
                    self._close()
        return self._read(size)

    def _read(self, size: int) -> bytes:
        connection = self._begin()
        try:
            if size == 0:
                return b""
            if connection.handshake_complete:
                self._advance(connection)
            else:
                self._handshake(connection)
            while True:
                if data := connection.read(size):
                    if self._held is not None:
                        with suppress(OSError):  # the data came first; who writes will hear of it
                            self._flush(connection)
                    return data
                flushed = self._flush(connection)
                if connection.error is not None:
                    self._fail(connection.error)
                if connection.close_notify_received:
                    raise ZeroReturn("the peer has closed its direction")
                if connection.read_paused or connection.needs_job:
                    self._want_async(connection)
                # What a write of the application's left behind is the writer's to wait for; what this side owes the
                # peer by itself (a KeyUpdate, an alert) has nobody else to push it out.
                self._fill(connection, Want.READING if flushed or self._held is not None else Want.WRITING)
        finally:
            self._leave()

    def write(self, data: Data) -> int:
        """Send all of `data`; its length (SSL_write(3)).

        Performs the handshake if it is not done. When it raises `WantAsync` or `WantWrite` after that, the bytes have
        been taken: write the same ones again, or b"", to finish; the count is that of the original.
        """
        short = self._short
        if short is not None and not short.out and self._held is None and not self._busy and type(data) is bytes:
            self._busy = True
            try:
                connection = short.connection
                key = connection.seal_key
                out = key.seal_data(data) if key is not None and not connection.out else None
                if out is None:
                    connection.write(data)
                    out = connection.data_to_send(0.0)  # of interest to paused seals, of which there are none
                try:
                    taken = self._wbio.write(out)  # type: ignore[union-attr]
                except BaseException:  # a timeout, perhaps: the record has its number and must not be lost
                    self._held, short.out, short.position = data, out, 0
                    raise
                if taken == len(out):
                    self.want = _NOTHING
                    return len(data)
                self._held, short.out, short.position = data, out, taken
            finally:  # _leave(), without the call
                self._busy = False
                if self._closing:
                    self._close()
        return self._write(bytes(memoryview(data)))

    def _write(self, data: bytes) -> int:
        connection = self._begin()
        try:
            if connection.handshake_complete:
                self._advance(connection)
            else:
                self._handshake(connection)
            if connection.error is not None:
                self._flush(connection)
                self._fail(connection.error)
            if self._held is None:
                if not data:
                    return 0
                connection.write(data)
                self._held = data
            elif data and data != self._held:
                raise UsageError(
                    f"a write of {len(self._held)} bytes is not finished: call write with the same bytes or with b''"
                )
            try:
                flushed = self._flush(connection)
            except OSError:
                if not self._transfer.unsent:  # it was a datagram, and is lost
                    self._held = None
                raise
            if connection.error is not None:
                self._fail(connection.error)
            if connection.write_paused:
                self._want_async(connection)
            if not flushed:
                self._want_write()
            count = len(self._held)
            self._held = None
            return count
        finally:
            self._leave()

    def write_early_data(self, data: Data) -> int:
        """Send data before the handshake is complete; how many bytes were taken (SSL_write_early_data(3)).

        On a client it has to be the first call, as early data travels behind the first message (RFC 9846 section 2.3).
        It needs a session that allows it, and its bytes can be copied and sent again by anybody: use it where twice is
        no worse than once. 0 says that none may go, or no more; `early_data_reason` says why. What was taken may be
        rejected yet: `early_data_status` knows once `do_handshake` has returned, and nothing sends it again but you.

        On a server it sends before the client's Finished has come, to a client whose early data was accepted; else it
        takes nothing. When it raises a Want… exception, repeat it with the same bytes.
        """
        data = bytes(memoryview(data))
        connection = self._begin_early(NO_ROLE)
        try:
            self._advance(connection)
            if self._held_early is None:
                if self._early and not connection.server_side and not connection.early_data_decided:
                    self._await_hello(connection)
                if connection.error is not None:
                    self._flush(connection)
                    self._fail(connection.error)
                self._held_early = (data, self._take_early(connection, data))
            elif self._held_early[0] != data:
                raise UsageError("a write of early data is not finished: repeat it with the same bytes")
            flushed = self._flush(connection)
            if connection.error is not None:
                self._fail(connection.error)
            if connection.write_paused:
                self._want_async(connection)
            if not flushed:
                self._want_write()
            count = self._held_early[1]
            self._held_early = None
            return count
        finally:
            self._leave()

    def read_early_data(self, size: int = -1) -> bytes:
        """Up to `size` bytes of early data, at least one; b"" when there is none, or no more (SSL_read_early_data(3)).

        A server that wants any calls this before anything else, with `max_early_data` set: if another call begins the
        handshake, early data is rejected. What is read here may be a copy, made by anybody, of what was sent before
        (RFC 9846 section 8). Raises `UsageError` on a client, a Want… exception when there is nothing now, and the
        handshake's failure.
        """
        if self._server_side is False:
            raise UsageError("read_early_data: a client receives none")
        connection = self._begin_early("uninitialized: set_accept_state was not called")
        try:
            self._advance(connection)
            while True:
                data = connection.read_early_data(size)
                if data or size == 0:
                    with suppress(OSError):  # the data came first; who goes on with the handshake will hear of it
                        self._flush(connection)
                    return data
                flushed = self._flush(connection)
                if connection.error is not None:
                    self._fail(connection.error)
                if connection.early_data_ended:
                    return b""
                if connection.waiting_for_async or connection.needs_job:
                    self._want_async(connection)
                # A client that is still writing may not read our flight before it has done so.
                self._fill(connection, Want.READING if flushed else Want.WRITING)
        finally:
            self._leave()

    def _begin_early(self, no_role: str) -> Connection:
        if self._connection is None and self._server_side is not None:
            self._early = True
        return self._begin(no_role)

    def _await_hello(self, connection: Connection) -> None:
        """A client's work before its hello is paused."""
        self._flush(connection)
        if connection.waiting_for_async or connection.needs_job:
            self._want_async(connection)

    def _take_early(self, connection: Connection, data: bytes) -> int:
        if not connection.server_side:
            return connection.write_early_data(data)
        if connection.handshake_complete or not connection.may_write:
            return 0
        connection.write(data)
        return len(data)

    def pending(self) -> int:
        """Bytes of data that have been opened and not been read (SSL_pending(3))."""
        return self._connection.pending() if self._connection is not None else 0

    def key_update(self, request_peer: bool = False) -> None:
        """Change the keys this side writes with, and ask the peer to do so too (SSL_key_update(3)).

        The message goes out with this call, or with the next if the write BIO is full.
        """
        connection = self._begin()
        try:
            connection.key_update(request_peer=request_peer)
            self._flush(connection)
        finally:
            self._leave()

    def verify_client_post_handshake(self) -> None:
        """Ask the client for its certificate, on a connection that is open (SSL_verify_client_post_handshake(3)).

        The request goes out with this call, or with the next if the write BIO is full. The answer comes while this side
        reads; until then `authentication_pending` is true, from then on `peer_certificates` is what the client showed,
        if anything. A certificate that is not good ends the connection, and so does none at all if the context's
        `verify` is REQUIRED. Raises `UsageError` for a client that has not offered it, `ConfigError` without `trust`.
        """
        connection = self._begin()
        try:
            connection.verify_client_post_handshake()
            self._flush(connection)
        finally:
            self._leave()

    @property
    def authentication_pending(self) -> bool:
        """Whether the client has still to answer a `verify_client_post_handshake`."""
        return self._connection is not None and self._connection.authentication_pending

    # --- the end --------------------------------------------------------------------------------------------------

    def shutdown(self) -> bool:
        """Close this side's direction with close_notify; whether the peer has closed its own too (SSL_shutdown(3)).

        The first call sends and, if the peer's close_notify has not come, returns False. A further call waits for it.
        Data that comes instead is a `UsageError` and stays to be read.
        """
        connection = self._begin()
        try:
            if connection.error is not None:
                self._fail(connection.error)
            if not connection.handshake_complete:
                raise UsageError("shutdown while in init: the handshake is not done")
            self._advance(connection)
            if not connection.close_notify_sent:
                connection.shutdown()
            while True:
                flushed = self._flush(connection)
                if connection.error is not None:
                    self._fail(connection.error)
                if connection.write_paused:
                    self._want_async(connection)
                if not flushed:
                    self._want_write()
                if connection.close_notify_received:
                    return True
                if not self._shutdown_told:
                    self._shutdown_told = True
                    return False
                if connection.pending():
                    raise UsageError("application data after close notify: read it first")
                if connection.read_paused:
                    self._want_async(connection)
                self._fill(connection)
        finally:
            self._leave()

    def close(self) -> None:
        """Give everything up, as every SSL does; the short paths are closed first."""
        self._short = None
        super().close()

    # --- early data -----------------------------------------------------------------------------------------------

    @property
    def early_data_status(self) -> EarlyDataStatus:
        """What became of early data (SSL_get_early_data_status(3))."""
        connection = self._connection
        return connection.early_data_status if connection is not None else EarlyDataStatus.NOT_SENT

    @property
    def early_data_reason(self) -> EarlyDataReason:
        """Why that is so."""
        connection = self._connection
        return connection.early_data_reason if connection is not None else EarlyDataReason.UNKNOWN

    # --- time -----------------------------------------------------------------------------------------------------

    def handle_events(self) -> None:
        """Serve what is due: deadlines of paused operations and, on DTLS, timers (SSL_handle_events(3)).

        An operation that is out of time fails the connection; the next call says so. Raises `ReadTimeoutExpired` when a
        peer has not answered a flight however often it was sent, `IdleTimeout` when nothing has come for too long, and
        the same from then on; otherwise it never fails.
        """
        connection = self._connection
        if connection is None or self._closing:
            return
        if self.get_event_timeout() == 0.0:
            self._enter()
            try:
                connection.handle_timeout(self._monotonic())
                with suppress(OSError):  # the failure is told by the next call, with the connection's own error first
                    self._flush(connection)
            finally:
                self._leave()
        if isinstance(connection.error, _TIMERS_FAILED):
            self._fail(connection.error)

    def get_event_timeout(self) -> float | None:
        """Seconds until `handle_events` has something to do, 0.0 if now, None if never (SSL_get_event_timeout(3))."""
        connection = self._connection
        if connection is None or (deadline := connection.timeout()) is None:
            return None
        left = deadline - self._monotonic()
        return left if left > connection.timer_slack else 0.0

    def resume_async(self) -> None:
        """Let paused work go on, and do not wait for it, nor for anything else; `caesura.poll` does so."""
        connection = self._connection
        if connection is None or self._busy or self._closing or not self.waiting_for_async():
            return
        self._enter()
        try:
            self._waits = False
            self._advance(connection)
        finally:
            self._leave()

    @property
    def mtu(self) -> int:
        """Bytes that a datagram of ours may have; what is sent from now on heeds a change. Raises UsageError on TLS."""
        if self.context.settings.method is not Method.DTLS:
            raise UsageError("mtu: a stream has none")
        if isinstance(self._connection, DTLSConnection):
            return self._connection.mtu
        return self.context.settings.dtls.mtu

    @mtu.setter
    def mtu(self, value: int) -> None:
        self.context.dtls = replace(self.context.settings.dtls, mtu=value)
        if isinstance(self._connection, DTLSConnection):
            self._connection.mtu = value

    @property
    def max_datagram(self) -> int:
        """How many bytes a `write` on DTLS takes; 0 before the handshake is complete."""
        connection = self._connection
        if not isinstance(connection, DTLSConnection) or not connection.handshake_complete:
            return 0
        return connection.max_datagram

    @property
    def net_read_desired(self) -> bool:
        """Whether the last call waits for the peer's bytes (SSL_net_read_desired(3))."""
        return self.want is Want.READING

    @property
    def net_write_desired(self) -> bool:
        """Whether the last call waits for the transport to take bytes (SSL_net_write_desired(3))."""
        return self.want is Want.WRITING

    # --- the rounds -----------------------------------------------------------------------------------------------

    def _advance(self, connection: Connection) -> None:
        """Let paused work go on: what `get_changed_async_fds` reports is measured from here."""
        if (
            connection.handshake_complete
            and not (connection.waiting_for_async or connection.needs_job)
            and connection.timeout() is None
        ):
            return
        self._go_on_from_mark(connection)
        now = self._monotonic()
        connection.advance(now)
        if (deadline := connection.timeout()) is not None and deadline <= now + connection.timer_slack:
            connection.handle_timeout(now)
        if self._waits and connection.waiting_for_async:
            self._wait_for_work(connection)

    def _flush(self, connection: Connection) -> bool:
        """Hand out all that is ready; whether the write BIO has taken it."""
        transfer = self._transfer
        transfer.collect(self._monotonic())
        if self._waits and connection.waiting_for_async:  # the sealing of some of it, perhaps
            self._wait_for_work(connection)
            transfer.collect(self._monotonic())
        return transfer.push(self._wbio)  # type: ignore[arg-type]

    def _wait_for_work(self, connection: Connection) -> None:
        """Wait until nothing is paused any more; within a job, by pausing that job."""
        work = _Work(self, connection)
        while not work.done():
            now = self._monotonic()
            self._transfer.before_waiting(self._wbio, now)  # type: ignore[arg-type]
            deadline = connection.timeout()
            try:
                wait(work, None if deadline is None else max(0.0, deadline - now))
            except OperationTimeout:
                connection.handle_timeout(self._monotonic())
        if self._closing:
            raise UsageError(CLOSED)

    def _fill(self, connection: Connection, want: Want = Want.READING) -> None:
        """Take what the read BIO has next, or raise what the call must wait for."""
        if self._closing:
            raise UsageError(CLOSED)
        if self._transfer.take(self._rbio):  # type: ignore[arg-type]
            if self._waits and connection.waiting_for_async:
                self._wait_for_work(connection)
        elif self._rbio.eof:  # type: ignore[union-attr]
            connection.receive_eof(self._monotonic())
            if connection.error is None and not connection.close_notify_received:
                raise UnexpectedEOF("unexpected eof while reading")
        elif connection.handshake_paused:  # tickets, or what the application does with a session
            self._want_async(connection)
        elif want is Want.WRITING:
            self._want_write()
        else:
            self._want_read()

    def _fail(self, error: Error) -> NoReturn:
        self._short = None
        super()._fail(error)


class _Work(Condition):
    """All that is paused on a connection, as one thing to wait for; `close`, too, notifies who waits."""

    __slots__ = ("_connection", "_ssl")

    def __init__(self, ssl: RecordSSL, connection: Connection) -> None:
        super().__init__(connection.wait_context)
        self._ssl = ssl
        self._connection = connection

    def done(self) -> bool:
        return self._ssl._closing or self._connection.needs_job or not self._connection.waiting_for_async

    def resume(self) -> None:
        self._context.drain()
        self._connection.advance(self._ssl._monotonic())
