"""A domain: one pair of network BIOs, and all QUIC connections over it (openssl-quic-concurrency(7)).

`tick` is all that ever happens to them: what has come is read, timers that have expired are served, work that was
paused goes on, what may be sent is sent. Whichever object of a domain is called, connection, stream or listener, it is
this that moves, so a call on one of them moves the others (SSL_handle_events(3)).

A domain has a lock, which every call on one of its objects holds but while it waits: threads may share a domain, each
with objects of its own. Who waits is woken when another one's tick has moved anything.
"""

from __future__ import annotations

import errno
import selectors
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from caesura.assist import DomainLock
from caesura.bio import BIO, DatagramBIO, descriptor
from caesura.context import Settings
from caesura.deadlines import DeadlineQueue
from caesura.events import Event
from caesura.jobs import AsyncStatus, WaitContext
from caesura.jobs.wait import BackOff, wait_once
from caesura.jobs.wakeup import call_later
from caesura.quic.connection import QUICConnection
from caesura.quic.listener import QUICListener
from caesura.quic.packets import LONG_HEADER, read_invariant
from caesura.quic.path import Address
from caesura.quic.turn import Turn
from caesura.readiness import Watch

_DATAGRAM: Final = 65_536  # bytes: longer than any
_FIRST_POLL: Final = 0.001  # seconds until what tells nobody is tried again
_PASSING: Final = frozenset(
    {errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM}
)
"""What a network may say of one datagram, and not of the next: that one is lost."""


class Member(Protocol):
    """What a domain knows of who owns one of its connections."""

    scheduled: float | None

    @property
    def connection(self) -> QUICConnection:
        """The connection."""

    def deadline(self) -> float | None:
        """When the connection has something to do."""

    def resume(self, now: float) -> None:
        """Let work of the connection that was paused go on."""

    def happened(self, event: Event) -> None:
        """What the connection tells. It may not call anything of the user's."""


class Domain:
    """The BIOs, the connections over them, and what is on its way.

    `failure` is what the BIOs have failed with for good. `only` is the one connection there is, where there is no
    listener; `introduce` is given each new connection of the listener. `addressed`: whether datagrams come and go with
    addresses.
    """

    __slots__ = (
        "__weakref__",
        "_abandoned",
        "_at_once",
        "_callers",
        "_connections",
        "_deadlines",
        "_has_room",
        "_held",
        "_id_length",
        "_ids",
        "_introduce",
        "_marks",
        "_monotonic",
        "_out",
        "_rbio",
        "_read_from",
        "_set_ecn",
        "_set_next_timeout",
        "_stirred",
        "_wbio",
        "_withheld",
        "_write",
        "failure",
        "listener",
        "listening",
        "lock",
        "only",
        "paused",
        "ticking",
        "turn",
        "waiting",
    )

    def __init__(self, settings: Settings, rbio: BIO, wbio: BIO, turn: Turn, *, addressed: bool) -> None:
        self._rbio, self._wbio = rbio, wbio
        self._set_next_timeout = getattr(rbio, "set_next_timeout", None)
        self._read_from = getattr(rbio, "read_from", None) if addressed else None
        write_to = getattr(wbio, "write_to", None) if addressed else None
        self._write: Callable[[bytes, Address], int] = write_to or (lambda datagram, _: wbio.write(datagram))
        self._marks = rbio if isinstance(rbio, DatagramBIO) else None  # the BIO that tells of ECN
        self._set_ecn = wbio.set_ecn if isinstance(wbio, DatagramBIO) else None
        if self._marks is not None:
            self._marks.tell_ecn()
        self._monotonic = settings.clock.monotonic
        self._at_once = settings.limits.datagrams_at_once
        self._connections: dict[QUICConnection, Member] = {}
        self._callers: dict[bytes, Member] = {}  # clients' connections beside others, by the ids of ours
        self._ids: dict[Member, list[bytes]] = {}  # of each
        self._id_length = settings.quic.connection_id_length
        self._deadlines: DeadlineQueue[Member] = DeadlineQueue()
        self._stirred: dict[Member, None] = {}  # something has happened to them since they were last looked at
        self._held: dict[Member, None] = {}  # they have something to send when the BIO takes more
        self._out: deque[tuple[bytes, Address, int]] = deque()  # with ECN bits
        self._withheld: dict[Member, None] = {}  # they may have more to do in the application's turn
        self.ticking = False  # a tick is under way
        self._introduce: Callable[[QUICConnection], Member]
        self._has_room: Callable[[], bool]
        self.failure: OSError | None = None
        self.listener: QUICListener | None = None
        self.listening = False
        self.only: QUICConnection | None = None
        self.paused: dict[Member, None] = {}  # with work that is
        self.waiting: list[WaitContext] = []  # of those who wait for something to happen
        self._abandoned: list[WaitContext] = []  # of connections that nobody has
        self.turn = turn
        self.lock = DomainLock()

    def listens(
        self, listener: QUICListener, introduce: Callable[[QUICConnection], Member], has_room: Callable[[], bool]
    ) -> None:
        """Many connections, which this listener makes as long as there is room for them."""
        self.listener = listener
        self.listening = True
        self._introduce = introduce
        self._has_room = has_room

    def add(self, member: Member) -> None:
        """A connection is there: one that the listener has made, or the only one."""
        self._connections[member.connection] = member
        if self.listener is None:
            self.only = member.connection
        self.stir(member)

    def add_caller(self, member: Member) -> None:
        """A client's connection is there, one of several: it is found by the ids that it makes known."""
        self._connections[member.connection] = member
        self._ids[member] = []
        self.route(member, list(member.connection.connection_ids))
        self.stir(member)

    def route(self, member: Member, ids: list[bytes]) -> None:
        """All ids that lead to a client's connection, from now on, as long as it is there."""
        if member in self._ids:
            for each in self._ids[member]:
                if self._callers.get(each) is member:  # short ids may happen to be another's, too
                    del self._callers[each]
            self._ids[member] = ids
            self._callers.update(dict.fromkeys(ids, member))

    def remove(self, member: Member) -> None:
        """Nothing more will happen to a connection."""
        for each in (self._stirred, self._held, self._withheld, self.paused):
            each.pop(member, None)
        if self._connections.pop(member.connection, None) is None:
            return
        self._deadlines.forget(member)
        self.route(member, [])
        self._ids.pop(member, None)
        if self.listener is not None:
            self.listener.forget(member.connection)

    # --- what happens ---------------------------------------------------------------------------------------------

    def abandon(self, context: WaitContext) -> None:
        """Nobody will wait for the work of a connection any more: its descriptors are closed, in the next turn."""
        if context.get_all_fds():
            self._abandoned.append(context)

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._monotonic()

    def stir(self, member: Member) -> None:
        """Something was asked of this connection: the next tick looks at it.

        Who asks need not tick; other threads that wait would not know that there is something to be sent.
        """
        if member.connection in self._connections:
            self._stirred[member] = None
            if self.waiting and not self.ticking:
                self.wake()

    def tick(self, *, handshakes: bool = True) -> None:
        """Read what has come, serve timers, let paused work go on, send what may be sent.

        Without `handshakes` nothing of the application's is called: see `quic.turn`. Within a callback that a tick has
        called it does nothing: the tick is under way. Whoever calls it holds the lock.
        """
        if self.ticking:
            return
        self.ticking = True
        self.turn.handshakes = handshakes
        try:
            now = self._monotonic()
            self._receive(now)
            if handshakes:
                self._follow_paused()
            for member in self._deadlines.due(now):
                member.connection.handle_timeout(now)
                self._stirred[member] = None
            if handshakes:
                for member in (*self.paused, *self._withheld):
                    member.resume(now)
                    self._stirred[member] = None
                self._withheld.clear()
                while self._abandoned:
                    self._abandoned.pop().close()
            else:
                self._withheld |= self._stirred
            self._settle(now)
        finally:
            self.ticking = False
            self.turn.handshakes = True

    def poll_tick(self) -> None:
        """The same for a poll, which holds nothing."""
        with self.lock:
            self.tick()

    def _receive(self, now: float) -> None:
        """Every datagram that waits, up to a bound; those of one address in a row go together."""
        run: list[bytes] = []
        before: tuple[Address, int] = (None, 0)
        for _ in range(self._at_once):
            datagram, address = self._read()
            if not datagram:
                break
            come = (address, 0 if self._marks is None else self._marks.received_ecn)
            if run and come != before:
                self._deliver(run, *before, now)
                run = []
            run.append(datagram)
            before = come
        if run:
            self._deliver(run, *before, now)

    def _read(self) -> tuple[bytes, Address]:
        if self.failure is not None:
            return b"", None
        datagram: bytes
        address: Address = None
        try:
            if self._set_next_timeout is not None:
                self._set_next_timeout(0.0)
            if self._read_from is not None:
                datagram, address = self._read_from(_DATAGRAM)
            else:
                datagram = self._rbio.read(_DATAGRAM)
            if not datagram and self._rbio.eof:
                self._fail(BrokenPipeError(errno.EPIPE, "no datagram will come any more: the read BIO has ended"))
        except OSError as error:
            if error.errno not in _PASSING:
                self._fail(error)
            return b"", None
        return datagram, address

    def _deliver(self, datagrams: list[bytes], address: Address, ecn: int, now: float) -> None:
        if self._callers:
            datagrams = [each for each in datagrams if not self._answered(each, address, ecn, now)]
            if not datagrams:
                return
        listener = self.listener
        if listener is None:
            if self.only is not None and (member := self._connections.get(self.only)) is not None:
                self.only.receive_datagrams(datagrams, address, now, ecn)
                self._stirred[member] = None
            return
        if all(not datagram[0] & LONG_HEADER for datagram in datagrams):
            runs = [datagrams]
        else:
            runs = [[datagram] for datagram in datagrams]  # each may make a connection, and be the last one that may
        for run in runs:
            listener.accepting = self.listening and self._has_room()
            for connection in listener.receive_datagrams(run, address, now, ecn):
                member = self._connections.get(connection)
                if member is not None:
                    self._stirred[member] = None
            while (new := listener.accept()) is not None:
                self.add(self._introduce(new))

    def _answered(self, datagram: bytes, address: Address, ecn: int, now: float) -> bool:
        """Whether a datagram was for one of the clients' connections that are found by their ids."""
        if datagram[0] & LONG_HEADER:
            found = read_invariant(datagram, 0)
            member = None if found is None else self._callers.get(found[1])
        else:
            member = self._callers.get(datagram[1 : 1 + self._id_length])
        if member is not None:
            found_by = [member]
        elif self.listener is None:  # it may be a reset, which bears no id
            found_by = [who for who in self._ids if who.connection.addr == address]
        else:
            return False
        for who in found_by:
            who.connection.receive_datagram(datagram, address, now, ecn)
            self._stirred[who] = None
        return True

    def _settle(self, now: float) -> None:
        """Look at all to whom something has happened, and send."""
        if self.listener is not None:
            self._out.extend((*each, 0) for each in self.listener.datagrams_to_send(now))
        free = self._push()
        if free:
            self._stirred |= self._held
            self._held.clear()
        if not self._stirred:
            return
        if self.turn.handshakes:
            self.wake()
        elif self.waiting:
            call_later(0.0, self.wake)  # where a job waits this calls the application's callback
        stirred, self._stirred = self._stirred, {}
        for member in stirred:
            connection = member.connection
            while (event := connection.next_event()) is not None:
                member.happened(event)
            self._stirred.pop(member, None)  # what that has brought about goes now
            while free and (datagrams := connection.datagrams_to_send(now)):
                ecn = connection.ecn
                self._out.extend((*each, ecn) for each in datagrams)
                free = self._push()
            if connection.terminated or connection not in self._connections:
                self.remove(member)
                if connection.deserted:
                    self._withheld[member] = None  # what is paused of it is unwound in the application's turn
                continue
            if not free:
                self._held[member] = None
            if connection.waiting_for_async or connection.needs_job:
                self._follow_work(member)
            else:
                self.paused.pop(member, None)
            self._deadlines.follow(member)

    def _follow_work(self, member: Member) -> None:
        if member not in self.paused:
            self.paused[member] = None
            context = member.connection.wait_context
            context.listen(self.wake)
            if context.signalled:
                self.wake()

    def wake(self) -> None:
        """Have everybody who waits look again; from any thread."""
        for wait_context in tuple(self.waiting):
            if not wait_context.signalled:  # else who waits may be work of ours, whose context wakes everybody in turn
                wait_context.notify()

    def _push(self) -> bool:
        """Give the BIO what it takes; whether that is all."""
        out = self._out
        while out:
            datagram, address, ecn = out[0]
            try:
                if self._set_ecn is not None:
                    self._set_ecn(ecn)
                taken = self._write(datagram, address)
            except OSError as error:
                if error.errno not in _PASSING:
                    self._fail(error)
                    out.clear()
                    return True
                taken = 1
            if not taken:
                return False
            out.popleft()
        return True

    def _fail(self, error: OSError) -> None:
        if self.failure is None:
            self.failure = error.with_traceback(None)

    # --- when, and what for ---------------------------------------------------------------------------------------

    def timeout(self) -> float | None:
        """When `tick` has something to do if nothing comes, on its clock: it may have passed. None: never."""
        if (self._stirred and not self._out) or self._withheld:
            return self._monotonic()
        self._follow_paused()
        earliest = self._deadlines.earliest()
        if earliest is not None and self._out:
            return max(earliest, self._monotonic() + _FIRST_POLL)  # what is due may have to wait for the BIO
        return earliest

    def _follow_paused(self) -> None:
        """The time that work has counts in the application's turn alone."""
        for member in self.paused:
            self._deadlines.follow(member)

    def time_left(self) -> float | None:
        """Seconds until then; 0.0 when it has passed."""
        when = self.timeout()
        return None if when is None else max(0.0, when - self._monotonic())

    def poll_watch(self, watch: Watch) -> bool:
        """What a poll is to wait for; False when there is no descriptor to wait on. Whoever calls holds the lock."""
        watch.within(self.time_left())
        for fd, event in self.watched().items():
            (watch.readable if event & selectors.EVENT_READ else watch.writable).add(fd)
            if event == selectors.EVENT_READ | selectors.EVENT_WRITE:
                watch.writable.add(fd)
        if watch.first(self):  # before a look at the work: what ends from here on tells us
            self.waiting.append(watch.context)
            watch.undo(self, lambda: self._forget(watch))
        for member in self.paused:
            context = member.connection.wait_context
            watch.work(context, listen=False)
            if context.signalled:
                watch.look_again()  # it told while nobody waited
        return self.fileno() is not None

    def _forget(self, watch: Watch) -> None:
        with self.lock:
            self.waiting.remove(watch.context)

    @property
    def alive(self) -> bool:
        """Whether anything that comes could matter."""
        return self.failure is None and (bool(self._connections) or self.listening)

    @property
    def unsent(self) -> bool:
        """Whether there are datagrams that the BIO has not taken."""
        return bool(self._out)

    def fileno(self) -> int | None:
        """The descriptor that is readable when something has come; None where the BIO has none."""
        return descriptor(self._rbio)

    # --- for the assist thread (Assisted) -----------------------------------------------------------------------------

    def tend(self) -> None:
        """Tick, but for what is the application's."""
        self.tick(handshakes=False)

    def tend_at(self) -> float | None:
        """When that has something to do; None: never."""
        if self._stirred and not self._out:
            return self._monotonic()
        self.turn.handshakes = False
        try:
            return self._deadlines.earliest()
        finally:
            self.turn.handshakes = True

    def watched(self) -> dict[int, int]:
        """The descriptors of the BIOs, and what of them is waited for."""
        found: dict[int, int] = {}
        if self.failure is None:
            for fd, event in (
                (self.fileno(), selectors.EVENT_READ),
                (descriptor(self._wbio) if self._out else None, selectors.EVENT_WRITE),
            ):
                if fd is not None and fd >= 0:
                    found[fd] = found.get(fd, 0) | event
        return found

    def working(self) -> tuple[Member, ...]:
        """Whose paused work ends, or goes on, by itself or by being resumed."""
        return tuple(member for member in self.paused if not member.connection.needs_job)


class Waiter:
    """One call that waits for something to happen in a domain, whose lock it holds once.

    Inside a job that is the job's pause: its application is shown the descriptors to wait on.
    """

    __slots__ = ("_back_off", "_domain")

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._back_off = BackOff(_FIRST_POLL)

    def wait(self) -> None:
        """Until something has come or is due, or paused work may go on, or another thread's tick has moved something.

        It may be for nothing.
        """
        domain, context = self._domain, WaitContext()
        pause = domain.time_left()
        fd = domain.fileno()
        if fd is not None and fd >= 0 and domain.failure is None:
            context.set_wait_fd(self, fd)
        tells = not domain.unsent
        domain.waiting.append(context)  # before a look at the work: what ends from here on tells us
        for member in domain.paused:
            inner = member.connection.wait_context
            for entry in inner.foreign():
                context.set_wait_fd(entry, entry.fd)
            tells = tells and (inner.armed or inner.foreign() != ()) and inner.get_status() != AsyncStatus.EAGAIN
            tells = tells and not inner.signalled  # it told while nobody waited
        if not tells:
            again = self._back_off.next()
            pause = again if pause is None else min(pause, again)
        domain.lock.release()
        try:
            wait_once(context, pause)
        finally:
            domain.lock.acquire()
            domain.waiting.remove(context)
            context.close()
