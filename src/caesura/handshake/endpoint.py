"""What every connection is around its own protocol: a handshake that is driven, work that may pause, events, an end.

The protocols differ in how bytes become messages and what keeps them coming; that is in `tls` and `dtls`. Here
is what they have in common: who may call when, whom paused work belongs to, what becomes of a ticket, and how an
exception ends a connection, in one place.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from enum import Enum
from typing import Protocol, TypeVar

from caesura.context import Context, Method, Settings
from caesura.crypto.names import server_name
from caesura.errors import (
    AlertDescription,
    Error,
    IdleTimeout,
    InternalError,
    LocalAlert,
    PeerAlert,
    ReadTimeoutExpired,
    UnexpectedEOF,
    UsageError,
)
from caesura.events import (
    CloseNotifyReceived,
    ConnectionTerminated,
    DataReceived,
    EarlyDataReason,
    EarlyDataStatus,
    Event,
    HandshakeCompleted,
    SessionReceived,
)
from caesura.handshake import client12, hello, post13
from caesura.handshake.driver import Driver
from caesura.handshake.early_state import EarlyState
from caesura.handshake.facts import Facts
from caesura.handshake.inbox import Inbox
from caesura.handshake.performer import Awaiter, Performer, Waits
from caesura.handshake.requests import Steps
from caesura.handshake.role import check_role
from caesura.handshake.state import Established, Handshake
from caesura.handshake.stateless import Retried
from caesura.handshake.tickets import MAX_TICKET
from caesura.handshake.transport import Epoch, Keys, Tracer
from caesura.jobs import NoJobs, WaitContext
from caesura.sessions import Session
from caesura.wire.extensions import Extensions
from caesura.wire.messages import HandshakeMessage, NewSessionTicket
from caesura.wire.registries import HandshakeType, Version

M = TypeVar("M", bound=HandshakeMessage)


class Part(Protocol):
    """What of a connection may have work under way: a driver, the reader, the writer."""

    @property
    def paused(self) -> bool:
        """Whether it has."""

    @property
    def deadline(self) -> float | None:
        """When that is overdue, on the clock of `now`; None when there is none."""

    def resume(self) -> None:
        """Let work that waits for this thread go on."""

    def expire(self, now: float) -> None:
        """Fail what is overdue; raises OperationTimeout."""

    def close(self) -> None:
        """Cancel the work, forget the keys."""


class Writer(Part, Protocol):
    """A part that seals."""

    @property
    def backlog(self) -> int:
        """Bytes of plaintext that wait for that."""


class Endpoint(Facts):
    """The client or the server of a connection. What the peer does is never raised: it is in `error`.

    A subclass makes its `_reader`, its `_writer` and its `_early`, says in `_go_on` what there is to do when something
    has come or been done, and is the transport of its own handshake (MessageTransport).
    """

    __slots__ = (
        "_busy",
        "_close_requested",
        "_closed",
        "_driver",
        "_early",
        "_ended",
        "_established",
        "_events",
        "_inbox",
        "_performer",
        "_post",
        "_settings",
        "_tickets",
        "_warnings",
        "close_notify_received",
        "close_notify_sent",
        "error",
        "handshake_complete",
        "needs_job",
        "selected_context",
        "server_hostname",
        "server_side",
        "session",
    )

    _reader: Part
    _writer: Writer
    _early: EarlyState

    def __init__(
        self,
        settings: Settings,
        method: Method,
        *,
        server_side: bool,
        server_hostname: str | None,
        session: Session | None,
        wait_context: Waits,
        awaiter: Awaiter | None,
        async_mode: bool | None,
        retried: Retried | None = None,
        message_seq: int = 0,
        early_data: int | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        check_role(settings, method, server_side, server_hostname)
        self._settings = settings
        self.server_side = server_side
        self.server_hostname = server_name(server_hostname).text if server_hostname is not None else None
        self._performer = Performer(
            settings, wait_context, awaiter, settings.async_mode if async_mode is None else async_mode, server_side
        )
        self.selected_context: Context | None = None  # the one that select_identity has brought, if it has
        self._inbox = Inbox(settings.limits.handshake_message) if inbox is None else inbox
        self._driver: Driver[None] | None = self._new_handshake(session, retried, message_seq, early_data)
        self._established: Established | None = None
        self._post: list[Driver[None]] = []  # exchanges after the handshake, one after the other
        self._events: list[Event] = []  # a few at most; lists, as an empty deque takes 760 bytes
        self._ended = False  # whether the last event was given
        self._tickets = 0
        self._warnings = 0
        self._busy = False
        self._close_requested = False
        self._closed = False
        self.session: Session | None = None
        self.handshake_complete = False
        self.needs_job = False
        self.close_notify_sent = False
        self.close_notify_received = False
        self.error: Error | None = None

    def _new_handshake(
        self,
        session: Session | None,
        retried: Retried | None = None,
        message_seq: int = 0,
        early_data: int | None = None,
    ) -> Driver[None]:
        """A handshake that has not begun."""
        hs = Handshake(
            self._settings,
            self,
            self._profile,
            self.server_side,
            self.server_hostname,
            session,
            early_data,
            retried=retried,
            trace=self._performer.trace,
            sent=message_seq,
            received=message_seq,
        )
        steps = hello.accept(hs) if self.server_side else hello.connect(hs)
        return Driver(steps, self._performer, self._inbox)

    # --- driving --------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Start the handshake, or go on with whatever paused. Harmless when there is nothing to do.

        Raises UsageError, and does no harm, when a job is paused that another thread has started.
        """
        if self._closed or self.error is not None:
            return
        self._enter()
        try:
            for part in self._parts():
                part.resume()
            self._go_on(now)
        finally:
            self._leave()

    def next_event(self) -> Event | None:
        """What happened, in order; None when there is no more for now."""
        if self._events:
            return self._events.pop(0)
        if self.pending():
            return DataReceived(self.read())
        if not self._ended:
            if self.error is not None:
                self._ended = True
                return ConnectionTerminated(self.error)
            if self.close_notify_received:
                self._ended = True
                return CloseNotifyReceived()
        return None

    def timeout(self) -> float | None:
        """When `handle_timeout` is due, on the clock of `now`: a timer, or paused work that is overdue. None: never."""
        if self._closed or self.error is not None:
            return None
        first: float | None = None
        parts = self._parts() if self._performer.limits else ()
        for due in (*self._timers(), *[part.deadline for part in parts]):
            if due is not None and (first is None or due < first):
                first = due
        return first

    def handle_timeout(self, now: float) -> None:
        """Serve every timer that has expired, and fail paused work that is overdue. Too early a call does nothing."""
        if self._closed or self.error is not None:
            return
        self._enter()
        try:
            for part in self._parts():
                part.expire(now + self.timer_slack)
            self._serve_timers(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
        finally:
            self._leave()

    @property
    def timer_slack(self) -> float:
        """Seconds: for `handle_timeout`, a timer with no more than this left has expired."""
        return 0.0

    # --- the application ------------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, size: int = -1) -> bytes:
        """Application data that is there; b"" when there is none now."""

    @abstractmethod
    def pending(self) -> int:
        """How many bytes `read` could give at once."""

    def shutdown(self) -> None:
        """Send close_notify: our direction ends, the peer's stays open (RFC 9846 section 6.1).

        Legal twice. Raises UsageError before the handshake is complete: what is not yet open can only be given up.
        """
        if self.close_notify_sent or self.error is not None or self._closed:
            return
        if not self.may_write:
            raise UsageError("shutdown: the handshake is not complete; close() gives it up")
        self.close_notify_sent = True
        self._send_close_notify()
        self._trace("alert sent", AlertDescription.close_notify)

    def abort(self, error: LocalAlert) -> None:
        """Refuse the peer, at any moment: end the connection with this error's alert. Nothing happens after its end.

        Raises UsageError within a callback of the connection: raise the error there.
        """
        if self.error is None and not self._closed:
            self._enter()
            self._fail(error)
            self._leave()

    def close(self) -> None:
        """Give up, at any moment: paused work is cancelled, secrets are dropped, nothing is sent. Legal twice."""
        if self._busy:
            self._close_requested = True
        elif not self._closed:
            self._closed = True
            self._drop()
            self._discard()

    def _require_open(self) -> None:
        """Raise what keeps the application from sending, if anything does."""
        if not self.may_write or self.close_notify_sent or self.error is not None or self._closed:
            raise self._cannot_write()

    def _cannot_write(self) -> Error:
        if self.error is not None:
            return self.error
        if self._closed:
            return UsageError("the connection is closed")
        if self.close_notify_sent:
            return UsageError("protocol is shutdown: close_notify was sent")
        return UsageError("the handshake is not complete")

    def leave_waiting(self) -> None:
        """Within a job, too, work pauses as everywhere: whoever called waits for it, by pausing that job (SSL on QUIC).

        Otherwise the job would be paused in the middle of a call on the connection, which nobody else could use then.
        """
        self._performer.waits_in_jobs = False

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def wait_context(self) -> WaitContext:
        """What paused work waits with."""
        return self._performer.wait_context

    @property
    def may_write(self) -> bool:
        """Whether data may be written."""
        return self.handshake_complete

    @property
    def handshake_paused(self) -> bool:
        """Whether work of the handshake, or of an exchange after it, is paused."""
        return (self._driver is not None and self._driver.parked) or (bool(self._post) and self._post[0].parked)

    @property
    def read_paused(self) -> bool:
        """Whether the opening of a record is paused."""
        return self._reader.paused

    @property
    def write_paused(self) -> bool:
        """Whether the sealing of a record is paused."""
        return self._writer.paused

    @property
    def waiting_for_async(self) -> bool:
        """Whether anything is paused (SSL_waiting_for_async(3))."""
        return self._reader.paused or self._writer.paused or self.handshake_paused

    @property
    def write_backlog(self) -> int:
        """Bytes of plaintext that wait to be sealed."""
        return self._writer.backlog

    @property
    def early_data_status(self) -> EarlyDataStatus:
        """What became of early data."""
        return self._early.status

    @property
    def early_data_reason(self) -> EarlyDataReason:
        """Why that is so."""
        return self._early.reason

    # --- going on -------------------------------------------------------------------------------------------------

    @abstractmethod
    def _go_on(self, now: float) -> None:
        """Do all that can be done now. Raises nothing: see `_stopped_by`."""

    def _parts(self) -> list[Part]:
        """What may have work under way."""
        if self._driver is not None:
            return [self._driver, self._reader, self._writer, *self._post]
        return [self._reader, self._writer, *self._post]

    def _timers(self) -> Iterable[float | None]:
        """When the protocol's own timers expire."""
        return ()

    def _serve_timers(self, now: float) -> None:
        """Serve those that have."""

    def _enter(self) -> None:
        if self._busy:
            raise UsageError("the connection is in use: by another thread, or by the callback that calls it")
        self._busy = True
        self.needs_job = False

    def _leave(self) -> None:
        self._busy = False
        if self._close_requested:
            self.close()

    def _stopped_by(self, error: BaseException) -> None:
        """Something was raised where nothing may be: it ends the connection, or only this attempt."""
        if isinstance(error, NoJobs):
            self.needs_job = True
        elif isinstance(error, Error):
            self._fail(error)
        elif isinstance(error, Exception):  # fail closed: whatever the network provoked, the connection ends
            failure = InternalError(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail(failure)
        else:  # the job that this call runs in was cancelled, or the program ends: nobody will go on here
            self._close_requested = True
            raise error

    def _trace(self, kind: str, what: object, size: int = 0) -> None:
        """Tell who listens of a message, an alert or something else: a registry's member goes by its name."""
        if self._performer.trace is not None:
            self._performer.trace(kind, what.name if isinstance(what, Enum) else str(what), size)

    # --- after the handshake --------------------------------------------------------------------------------------

    def _follow(self, steps: Steps[None], inbox: Inbox | None = None) -> None:
        """Queue an exchange behind those under way; without an inbox it hears nothing of the peer."""
        self._post.append(Driver(steps, self._performer, Inbox(0) if inbox is None else inbox))

    def _received(self, message: M) -> M:
        self._trace("received", message.msg_type, len(message.raw))
        return message

    def _ticket_received(self, message: NewSessionTicket) -> None:
        """Keep what the server gives to resume with, unless it is too much or of no use."""
        done = self._established
        assert done is not None
        message.extensions.check(HandshakeType.new_session_ticket)
        self._received(message)
        self._tickets += 1
        if (
            done.resumption is None
            or not message.ticket_lifetime
            or len(message.ticket) > MAX_TICKET
            or self._tickets > done.settings.limits.session_tickets
        ):
            return
        self._follow(post13.keep_session(self._profile, done, message, self._session_kept))

    def _session_kept(self, session: Session) -> None:
        self.session = session
        self._events.append(SessionReceived(session))

    # --- the seam under the handshake (MessageTransport) ----------------------------------------------------------

    @abstractmethod
    def send(self, epoch: Epoch, message: bytes) -> bytes:
        """Send one whole handshake message; as it stands there when it is in one piece."""

    @abstractmethod
    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Read with these keys from now on."""

    @abstractmethod
    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Write with these keys from now on."""

    @abstractmethod
    def version_chosen(self, version: Version) -> None:
        """Both sides speak this version from now on."""

    @abstractmethod
    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:
        """What this transport adds to a message."""

    @abstractmethod
    def peer_extensions(self, extensions: Extensions) -> None:
        """What the peer says to this transport."""

    def context_selected(self, context: Context) -> Tracer | None:
        """Work goes on as the context says that the application has brought (see Settings for what else follows)."""
        self.selected_context = context
        self._performer.adopt(context.settings)
        return self._performer.trace

    @abstractmethod
    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:
        """How it stands with early data."""

    @abstractmethod
    def accepts_early_data(self, ticket_state: bytes) -> bool:
        """Whether early data may come with a ticket that remembers this."""

    def ticket_state(self) -> bytes:
        """What a ticket must remember of this transport: nothing."""
        return b""

    def accepts(self, ticket_state: bytes) -> bool:
        """Whether a ticket that remembers this may be resumed here."""
        return ticket_state == b""

    def completed(self, established: Established) -> None:
        """The handshake is done; a server's tickets follow, or what a client keeps."""
        self._established = established
        self.handshake_complete = True
        self.server_hostname = established.server_hostname
        self._events.append(HandshakeCompleted())
        if self.server_side and established.resumption is not None and not self.close_notify_sent:
            self._follow(post13.send_tickets(self, self._profile, established, self._performer.trace))
        elif established.session is not None:
            self._follow(client12.keep_session(established, self._session_kept))

    # --- the end --------------------------------------------------------------------------------------------------

    def _fail(self, error: Error) -> None:
        """End the connection: an alert goes out if the fault is the peer's or ours, everything else is dropped."""
        self.error = error
        description: AlertDescription | None = None
        if isinstance(error, LocalAlert):
            description = error.description
        elif not isinstance(error, PeerAlert | UnexpectedEOF | ReadTimeoutExpired | IdleTimeout):
            description = AlertDescription.internal_error
        if description is not None and not self.close_notify_sent and self._send_fatal_alert(description):
            self._trace("alert sent", description)
        self._drop()

    @abstractmethod
    def _send_close_notify(self) -> None:
        """Send it behind all that was written."""

    @abstractmethod
    def _send_fatal_alert(self, description: AlertDescription) -> bool:
        """Send it under the keys in use; whether that was possible."""

    def _drop(self) -> None:
        """Cancel all work and forget the secrets; facts stay."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()
        while self._post:
            self._post.pop(0).close()
        self._reader.close()
        self._writer.close()
        self._performer.close()
        self._inbox.clear()

    @abstractmethod
    def _discard(self) -> None:
        """Forget what was to be sent."""
