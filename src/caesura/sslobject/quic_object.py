"""What a QUIC connection, its streams and a listener have in common as objects of a domain.

Each has a mode of its own, blocking or not, and handles events implicitly or only when it is told to
(SSL_set_blocking_mode(3), SSL_set_event_handling_mode(3)). A call that cannot be answered at once ticks the domain;
then it says what it waits for, or waits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, unique
from typing import NoReturn, TypeVar

from caesura.errors import UsageError
from caesura.jobs import current_job
from caesura.readiness import PollEvent, Watch
from caesura.sslobject.base import CLOSED
from caesura.sslobject.domain import Domain, Waiter
from caesura.sslobject.ends import Want, Wanting

T = TypeVar("T")


@unique
class EventHandling(IntEnum):
    """Whether calls tick, with the numbers of SSL_VALUE_EVENT_HANDLING_MODE (SSL_get_value_uint(3))."""

    INHERIT = 0
    IMPLICIT = 1
    EXPLICIT = 2


class QUICObject(Wanting):
    """What moves when an object of a domain is called. `want` is what its last call waits for."""

    __slots__ = ()

    event_handling: EventHandling
    _closing: bool
    _enter: Callable[[], object]  # a call begins
    _leave: Callable[[], None]  # and ends

    # --- what each has in its own way -------------------------------------------------------------------------------

    @property
    def domain(self) -> Domain | None:
        """The domain; None before there are BIOs and a role."""
        raise UsageError("domain: of connections, streams and listeners")

    @property
    def blocking(self) -> bool:
        """Whether calls wait instead of saying what they wait for (SSL_set_blocking_mode(3))."""
        raise UsageError("blocking: of connections, streams and listeners")

    def _readiness(self, domain: Domain) -> PollEvent:  # noqa: ARG002
        """What holds of it now; the lock is held."""
        raise UsageError("poll: connections, streams and listeners")

    @property
    def _implicit(self) -> bool:
        """Whether calls tick."""
        return self.event_handling != EventHandling.EXPLICIT

    @property
    def _pauses_show(self) -> bool:
        """Whether paused work is the application's to wait for."""
        return False

    def _check_work(self) -> None:
        """Raise `WantAsync` when it is work of this object's, paused and shown, that must go on first."""

    # --- events -----------------------------------------------------------------------------------------------------

    def handle_events(self) -> None:
        """Tick the whole domain: read, serve timers, let paused work go on, send (SSL_handle_events(3)).

        Never fails: what has become of a connection is told by the calls on it.
        """
        domain = self.domain
        if domain is None or self._closing:
            return
        self._enter()
        try:
            self._turn(domain)
        finally:
            self._leave()

    def get_event_timeout(self) -> float | None:
        """Seconds until `handle_events` has something to do, 0.0 if now, None if never (SSL_get_event_timeout(3)).

        It is the time of the whole domain, so one of its objects needs to be asked.
        """
        domain = self.domain
        if domain is None:
            return None
        if domain.paused and not self._pauses_show and domain.working():
            return 0.0  # nothing else tells of its end
        return domain.time_left()

    @property
    def net_read_desired(self) -> bool:
        """Whether the transport should be watched for input: as long as anything lives (SSL_net_read_desired(3))."""
        domain = self.domain
        return domain is not None and not self._closing and domain.alive

    @property
    def net_write_desired(self) -> bool:
        """Whether there is output that the transport has not taken (SSL_net_write_desired(3))."""
        domain = self.domain
        return domain is not None and not self._closing and domain.unsent

    # --- polling (Pollable) -------------------------------------------------------------------------------------------

    def poll_events(self) -> PollEvent:
        """What holds now, for `caesura.poll`."""
        domain = self.domain
        if self._closing:
            return PollEvent.F
        if domain is None:
            return PollEvent.NONE
        with domain.lock:
            return self._readiness(domain)

    def poll_mover(self, *, waited: bool) -> Domain | None:
        """The domain, unless events are handled explicitly; a poll that blocks handles them all the same."""
        return self.domain if not self._closing and (waited or self._implicit) else None

    def poll_watch(self, watch: Watch, wanted: PollEvent) -> bool:  # noqa: ARG002 - Pollable
        """Say what a poll has to wait for."""
        domain = self.domain
        if domain is None:
            return False
        with domain.lock:
            return domain.poll_watch(watch)

    # --- what a call does -------------------------------------------------------------------------------------------

    def _turn(self, domain: Domain) -> None:
        """Tick; outside asynchronous mode, and within a job, until the work is done that is paused then.

        What begins meanwhile is waited for by the next call: peers may begin handshakes without end.
        """
        if domain.ticking:
            return  # a callback's call: the tick goes on behind it, and what is paused may be that very callback
        domain.tick()
        if domain.paused and not self._work_is_shown and (begun := set(domain.working())):
            waiter = Waiter(domain)
            while not begun.isdisjoint(domain.working()):
                self._wait(waiter)
                domain.tick()

    @property
    def _work_is_shown(self) -> bool:
        return self._pauses_show and current_job() is None

    def _wait(self, waiter: Waiter) -> None:
        waiter.wait()
        if self._closing:
            raise UsageError(CLOSED)

    def _until(self, domain: Domain, attempt: Callable[[], T | None], want: Want, *, block: bool = True) -> T:
        """What `attempt` gives, as soon as it gives something. Raises what it waits for unless the object may block."""
        found = attempt()
        if found is not None:
            return found
        if not (block and self.blocking):
            if self._implicit:
                self._turn(domain)
                found = attempt()
            if found is None:
                self._not_now(domain, want)
            return found
        waiter = Waiter(domain)
        while True:
            self._turn(domain)
            found = attempt()
            if found is not None:
                return found
            self._sound(domain)
            self._check_work()
            self._wait(waiter)

    def _not_now(self, domain: Domain, want: Want) -> NoReturn:
        """It cannot be done now."""
        self._sound(domain)
        self._check_work()
        if want is Want.READING:
            self._want_read()
        self._want_write()

    def _sound(self, domain: Domain) -> None:
        """Raise what the BIOs have failed with for good, if they have."""
        if domain.failure is not None:
            raise domain.failure.with_traceback(None)
