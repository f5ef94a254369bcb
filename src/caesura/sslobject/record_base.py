"""What the SSL of TLS and DTLS stands on: how it begins, what every call does, what a call waits for.

A `TLSConnection` or a `DTLSConnection` knows the protocol and touches nothing; an SSL sees to it that what it has to
send gets to one BIO and what comes from the other gets to it, and says with an exception what a call is waiting for.
How bytes and datagrams travel is said in `transfer`; here they are the same. Every call goes the same round:

1. let paused work go on, 2. hand out what is ready to be sent, 3. answer from what has come, 4. take more from the BIO.

Output always goes out before a call waits for input, or two ends of one byte pair would wait for each other for ever.
A call that cannot finish raises `WantRead`, `WantWrite`, `WantAsync` or `WantAsyncJob` and is repeated later; `want`
says the same. Reads, writes and the handshake wait separately: after any of these every other call is legal.

Outside asynchronous mode the connection's work pauses as it does inside; it is the call that waits for it then, so that
`close` can wake it. A call made inside a job waits too, by pausing that job.

Timers, which only DTLS has beside the deadlines of paused work, are served by `handle_events`, and by every call that
comes when they are due or waits until they are, each once (SSL_handle_events(3)). Nothing happens between calls.

One SSL is used by one thread at a time. `close` alone may be called at any moment and from anywhere.
"""

from __future__ import annotations

from contextlib import suppress
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
    ZeroReturn,
)
from caesura.jobs import current_job, wait
from caesura.jobs.pending import Condition
from caesura.sslobject.base import CLOSED, NO_ROLE, SSL
from caesura.sslobject.ends import Want
from caesura.tls.connection import TLSConnection
from caesura.transfer import Connection, DatagramTransfer, StreamTransfer, Transfer

_RECORD_OPERATIONS = frozenset({Operation.SEAL_RECORD, Operation.OPEN_RECORD})
_TIMERS_FAILED = (ReadTimeoutExpired, IdleTimeout)


class RecordBase(SSL):
    """What `RecordSSL` stands on."""

    __slots__ = (
        "_early",
        "_finished",
        "_monotonic",
        "_records_pause",
        "_short",
        "_transfer",
        "_waits",
    )

    _connection: Connection | None

    def _reset(self) -> None:
        super()._reset()
        self._finished = False  # the handshake is done, and the application was told
        self._short: StreamTransfer | None = None  # there is one, and nothing stands in the way of the short paths
        self._early = False  # there is to be early data: the application asked for it before anything else

    # --- before the handshake ---------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Be ready for another connection in the same role; paused work is cancelled (SSL_clear(3))."""
        self._start_over(self._server_side)

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
        if self._connection is None:
            self._want_read()
        self.want = Want.NOTHING
        return address

    # --- the connection ---------------------------------------------------------------------------------------------

    def _begin(self, no_role: str = NO_ROLE) -> Connection:
        """Enter a call that needs the connection; it is made here, when role and BIOs are known."""
        self._missing(no_role)
        self._enter()
        self.want = Want.NOTHING
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

    # --- time -------------------------------------------------------------------------------------------------------

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

    # --- the transport ----------------------------------------------------------------------------------------------

    @property
    def net_read_desired(self) -> bool:
        """Whether the last call waits for the peer's bytes (SSL_net_read_desired(3))."""
        return self.want is Want.READING

    @property
    def net_write_desired(self) -> bool:
        """Whether the last call waits for the transport to take bytes (SSL_net_write_desired(3))."""
        return self.want is Want.WRITING

    # --- the rounds -------------------------------------------------------------------------------------------------

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

    def _see_out(self, connection: Connection) -> None:
        """Hand out all that is ready; raise what the call waits for until all of it has gone, or why it never will."""
        self._gone(connection, flushed=self._flush(connection))

    def _gone(self, connection: Connection, *, flushed: bool) -> None:
        """The same once that was tried."""
        if connection.error is not None:
            self._fail(connection.error)
        if connection.write_paused:
            self._want_async(connection)
        if not flushed:
            self._want_write()

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

    def __init__(self, ssl: RecordBase, connection: Connection) -> None:
        super().__init__(connection.wait_context)
        self._ssl = ssl
        self._connection = connection

    def done(self) -> bool:
        return self._ssl._closing or self._connection.needs_job or not self._connection.waiting_for_async

    def resume(self) -> None:
        self._context.drain()
        self._connection.advance(self._ssl._monotonic())
