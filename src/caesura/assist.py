"""The assist thread: keeps QUIC connections alive between the application's calls (OSSL_QUIC_client_thread_method(3)).

There is one for the process. It begins with the first domain that is to be assisted and ends with the last. It waits
for descriptors and for the earliest timer of all, and *tends* a domain then: reads, acknowledges, sends again, serves
timers, and nothing that would call the application (`quic.turn`). So it never has to be waited for, and handshakes,
tickets and all that is paused wait for the application's next call.

A domain's lock decides who moves it. The thread never waits for a lock: where the application is at work it stands back
for a moment. Whoever lets go of the lock tells the thread if the domain wants to be tended earlier than it knows
(`DomainLock`). What it has read is not on the socket any more, so there is no point in a program's watching that by
itself: blocking calls and `poll` are woken.

Domains are not kept alive by this. After a fork the child's domains, which are its parent's, are tended by nobody.
"""

from __future__ import annotations

import atexit
import logging
import os
import selectors
import sys
import threading
import weakref
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Protocol

from caesura.deadlines import DeadlineQueue
from caesura.jobs.wakeup import Wakeup

logger = logging.getLogger("caesura")

_LEAST: Final = 0.001  # seconds between two looks at a domain that has not got what it wants, and until a lock is tried
_LONGEST: Final = 0.032  # … again; doubled each time up to this


class DomainLock:
    """A re-entrant lock. `tended`, where there is one, learns from the last release what the domain wants."""

    __slots__ = ("_depth", "_lock", "tended")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0  # of whoever holds it
        self.tended: Tended | None = None

    def acquire(self) -> None:
        """Wait for it."""
        self._lock.acquire()
        self._depth += 1

    def try_acquire(self) -> bool:
        """Take it if nobody has it."""
        found = self._lock.acquire(blocking=False)
        if found:
            self._depth += 1
        return found

    def release(self, *, quietly: bool = False) -> None:
        """Let go of it once."""
        self._depth -= 1
        tended = None if self._depth or quietly else self.tended
        if tended is None:
            self._lock.release()
            return
        try:
            news = tended.look()
        finally:
            self._lock.release()
        if news:
            tended.tell()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


class Assisted(Protocol):
    """A domain, as far as it is tended. Everything but `lock` is asked for with the lock held."""

    lock: DomainLock

    def now(self) -> float:
        """Seconds, on the clock of its timers."""

    def tend(self) -> None:
        """Do what is due, and nothing of the application's."""

    def tend_at(self) -> float | None:
        """When that is next, if nothing comes; None: never."""

    def watched(self) -> dict[int, int]:
        """Descriptors, and what of them to wait for (selectors.EVENT_READ, EVENT_WRITE)."""

    @property
    def alive(self) -> bool:
        """Whether anything will ever have to be done again."""


class Tended:
    """What is known of one domain."""

    __slots__ = ("__weakref__", "_assist", "_back", "_domain", "asked", "at", "scheduled", "watched")

    def __init__(self, assist: Assist, domain: Assisted) -> None:
        self._assist = assist
        self._domain = weakref.ref(domain, lambda _: self.tell())
        self._back = 0.0  # seconds for which the thread stands back
        self.asked: float | None = None  # when the domain wanted to be tended, on its clock
        self.at: float | None = None  # the same on ours
        self.scheduled: float | None = None
        self.watched: dict[int, int] = {}

    @property
    def domain(self) -> Any:
        """The domain; None when there is none any more."""
        return self._domain()

    def deadline(self) -> float | None:
        """When to tend it, on the clock of this process."""
        return self.at

    def plan(self, domain: Assisted) -> None:
        """Ask what it wants; its lock is held."""
        self._back = 0.0
        self.asked = domain.tend_at()
        self.at = None if self.asked is None else monotonic() + max(_LEAST, self.asked - domain.now())

    def stand_back(self) -> None:
        """Somebody else has the lock: try again after a moment, which grows."""
        self._back = min(2 * self._back, _LONGEST) or _LEAST
        self.asked = None
        self.at = monotonic() + self._back

    # --- by whoever lets go of the lock ------------------------------------------------------------------------------

    def look(self) -> bool:
        """Whether the thread waits for the wrong things; the lock is still held."""
        domain = self.domain
        if domain is None or self._back:
            return False
        wanted = domain.tend_at()
        earlier = wanted is not None and (self.asked is None or wanted < self.asked)
        return earlier or not domain.alive or domain.watched() != self.watched

    def tell(self) -> None:
        """Wake the thread; from any thread."""
        self._assist.wake(self)


class Assist:
    """The thread, and whom it tends. `start` says whether there is to be one: without, `round` is for the caller."""

    def __init__(self, *, start: bool = True) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._tending = threading.Lock()  # held while it works on a domain, so that no fork comes between
        self._all: set[Tended] = set()
        self._news: deque[Tended] = deque()
        self._deadlines: DeadlineQueue[Tended] = DeadlineQueue()
        self._by_fd: dict[int, set[Tended]] = {}
        self._selector: selectors.BaseSelector | None = None
        self._wakeup: Wakeup | None = None
        self._stopping = False
        self.thread: threading.Thread | None = None

    def follow(self, domain: Assisted) -> None:
        """Tend this domain from now on, as long as it is there and alive. Legal again. Whoever calls has its lock."""
        known = domain.lock.tended
        if known is not None and known._assist is self:
            return  # the release of the lock tells what is new
        tended = Tended(self, domain)
        with self._lock:
            self._all.add(tended)
            self._news.append(tended)
            domain.lock.tended = tended
            if self._selector is None:
                self._selector, self._wakeup = selectors.DefaultSelector(), Wakeup()
                self._selector.register(self._wakeup.fileno(), selectors.EVENT_READ)
            if self.thread is None and self._start and not self._stopping:
                self.thread = threading.Thread(target=self._run, name="caesura-assist", daemon=True)
                self.thread.start()
        self.wake(tended)

    def wake(self, tended: Tended) -> None:
        """Something has changed about this domain; from any thread."""
        wakeup = self._wakeup
        if wakeup is not None:
            self._news.append(tended)
            wakeup.set()

    @property
    def count(self) -> int:
        """How many domains are tended."""
        return len(self._all)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self.round():
            pass

    def round(self, timeout: float | None = None) -> bool:
        """Wait for something to do, at most so many seconds, and do it; False when there is nobody left to tend."""
        selector, wakeup = self._selector, self._wakeup
        if selector is None or wakeup is None:
            return False
        first = self._deadlines.first()
        if first is not None:
            left = max(0.0, first - monotonic())
            timeout = left if timeout is None else min(left, timeout)
        ready: dict[Tended, None] = {}
        for key, _ in selector.select(timeout):
            for tended in self._by_fd.get(key.fd, ()):
                ready[tended] = None
        for tended in self._deadlines.due(monotonic()):
            ready[tended] = None
        wakeup.clear()
        news: dict[Tended, None] = {}
        while self._news:
            news[self._news.popleft()] = None
        for tended in ready:
            self._tend(tended, due=True)
        for tended in news:
            if tended not in ready:
                self._tend(tended, due=False)
        return self._goes_on()

    def _goes_on(self) -> bool:
        with self._lock:
            if (self._all or self._news) and not self._stopping:
                return True
            self._close()
            self.thread = None
            return False

    def _close(self) -> None:
        selector, wakeup, self._selector, self._wakeup = self._selector, self._wakeup, None, None
        if selector is not None:
            selector.close()
        if wakeup is not None:
            wakeup.close()
        self._by_fd.clear()

    def _tend(self, tended: Tended, *, due: bool) -> None:
        """Do what is due, if nobody else is at work on the domain, and learn what it wants next."""
        if tended not in self._all:
            return
        domain = tended.domain
        if domain is None:
            self._forget(tended)
            return
        with self._tending:
            if not domain.lock.try_acquire():
                self._watch(tended, {})
                tended.stand_back()
                self._schedule(tended)
                return
            try:
                alive = self._tend_locked(tended, domain, due=due)
            finally:
                domain.lock.release(quietly=True)
        if not alive:
            self._forget(tended)

    def _tend_locked(self, tended: Tended, domain: Assisted, *, due: bool) -> bool:
        try:
            wanted = domain.tend_at()
            if due or (wanted is not None and wanted <= domain.now()):
                domain.tend()
            tended.plan(domain)
            watched, alive = domain.watched(), domain.alive
        except Exception:
            logger.exception("a QUIC connection is assisted no more")  # or it would fail like this for ever
            alive, watched = False, {}
        if alive:
            self._watch(tended, watched)
            self._schedule(tended)
        else:
            domain.lock.tended = None  # while its lock is held: whoever follows it from here on begins anew
        return alive

    def _schedule(self, tended: Tended) -> None:
        self._deadlines.forget(tended)
        self._deadlines.follow(tended)

    def _forget(self, tended: Tended) -> None:
        self._watch(tended, {})
        self._deadlines.forget(tended)
        with self._lock:
            self._all.discard(tended)

    def _watch(self, tended: Tended, wanted: dict[int, int]) -> None:
        """Wait for these of its descriptors."""
        before, tended.watched = tended.watched, dict(wanted)
        if before == wanted:
            return
        for fd in before.keys() | wanted.keys():
            who = self._by_fd.setdefault(fd, set())
            (who.add if fd in wanted else who.discard)(tended)
            events = 0
            for each in who:
                events |= each.watched.get(fd, 0)
            self._register(fd, events)
            if not who:
                del self._by_fd[fd]

    def _register(self, fd: int, events: int) -> None:
        """A descriptor may have been closed meanwhile, and its number be somebody else's by now."""
        selector = self._selector
        assert selector is not None
        with suppress(KeyError, ValueError, OSError):
            selector.unregister(fd)
        if events:
            with suppress(ValueError, OSError):
                selector.register(fd, events)

    # --- the end ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the thread, and tend nobody any more."""
        with self._lock:
            self._stopping = True
            thread, wakeup = self.thread, self._wakeup
        if wakeup is not None:
            wakeup.set()
        if thread is not None:
            thread.join()

    def before_fork(self) -> None:
        """No domain is at work on while the process doubles: its lock would be held for ever in the child."""
        self._tending.acquire()

    def after_fork(self) -> None:
        """In the parent."""
        self._tending.release()

    def after_fork_in_child(self) -> None:
        """The thread is the parent's, and so are the domains: two processes must not serve one connection."""
        selector, self._selector, self._wakeup = self._selector, None, None
        if selector is not None:
            selector.close()


_assist = Assist()


def follow(domain: Assisted) -> None:
    """Have the assist thread tend this domain. Whoever calls has its lock."""
    _assist.follow(domain)


def _after_fork_in_child() -> None:
    global _assist
    _assist.after_fork_in_child()
    _assist = Assist()


atexit.register(lambda: _assist.stop())
if sys.platform != "win32":
    os.register_at_fork(
        before=lambda: _assist.before_fork(),
        after_in_parent=lambda: _assist.after_fork(),
        after_in_child=_after_fork_in_child,
    )
