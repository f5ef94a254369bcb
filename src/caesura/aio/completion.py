"""How paused work reaches its connection again: one path per loop, shared by all its connections.

A connection's wait context calls `Waker.completed` when work is done, from any thread. Completions gather in a queue,
and one `call_soon_threadsafe` brings the loop to it however many there are: no descriptor per connection, one wake-up
for many. Descriptors that engines of the user put into a wait context are watched with one reader each, whoever waits
on them. What a connection needs only while its work is paused is in a `Pause`, so that an idle connection pays nothing.

Nothing here knows TLS records or flow control.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from threading import get_ident
from typing import Protocol
from weakref import WeakKeyDictionary

from caesura.aio.alarms import Alarm, Alarms, Bell, Bells
from caesura.jobs import AsyncStatus, WaitContext

__all__ = ["Pause", "Waiting", "Waker", "waker_of"]

BUFFER_SIZE = 262_144  # bytes one read may bring: sixteen records of the largest size
FIRST_POLL = 0.001  # seconds until paused work without any descriptor is tried again; doubled while it does not help
LAST_POLL = 0.064
PROMISED_POLL = 0.5  # where a callback was promised: only in case it was for an earlier piece of work
CLOCK_TICK = 0.001  # seconds: loops may round their clock to this


class Waiting(Protocol):
    """A connection, as seen from here."""

    @property
    def wait_context(self) -> WaitContext:
        """What its paused work waits with."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""

    def woken(self) -> None:
        """Paused work may go on; called on the loop's thread."""

    def resume_paused(self, now: float) -> None:
        """Let the paused work go on; called in the connection's own context variables."""


class Waker:
    """What the connections of one loop share: a queue of completions, watched descriptors, timers, a receive buffer."""

    __slots__ = ("_ready", "_scheduled", "_thread", "_watched", "alarms", "bells", "buffer")

    def __init__(self) -> None:
        self._ready: deque[Waiting] = deque()
        self._scheduled = False
        self._thread = 0
        self._watched: dict[int, dict[Waiting, None]] = {}
        self.alarms = Alarms()
        self.bells = Bells(self._ring)
        # One for all: a loop reads one socket at a time, and what was read is consumed before it reads the next.
        self.buffer = memoryview(bytearray(BUFFER_SIZE))

    def belongs_to_this_thread(self) -> None:
        """Remember which thread runs the loop."""
        self._thread = get_ident()

    # --- completions ------------------------------------------------------------------------------------------------

    def completed(self, connection: Waiting) -> None:
        """Work of this connection may go on. Called on any thread, perhaps before the call that started it returned."""
        self._ready.append(connection)
        if self._scheduled:
            return
        self._scheduled = True
        if get_ident() == self._thread:
            connection.loop.call_soon(self._run)
            return
        try:
            connection.loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # the loop has been closed: there is nobody to tell
            self._ready.clear()
            self._scheduled = False

    def _run(self) -> None:
        # Lowered first: a completion that finds it raised was queued before, and so is among those taken below.
        self._scheduled = False
        for _ in range(len(self._ready)):
            self._ready.popleft().woken()

    def _ring(self, loop: asyncio.AbstractEventLoop, bells: list[Bell]) -> None:
        """Ring what is due. Nothing else is under way here, so that those whom it completes may go on at once."""
        self._scheduled = True
        try:
            for bell in bells:
                try:
                    bell.ring()
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - one that fails holds up nobody else
                    loop.call_exception_handler({"message": "a timer's function failed", "exception": error})
        finally:
            self._run()

    # --- descriptors ------------------------------------------------------------------------------------------------

    def watch(self, fd: int, connection: Waiting) -> bool:
        """Wake the connection whenever `fd` is readable; false if the loop cannot watch it."""
        waiting = self._watched.get(fd)
        if waiting is None:
            try:
                connection.loop.add_reader(fd, self._readable, fd)
            except (OSError, RuntimeError, ValueError):  # a plain file, one the loop uses itself, no descriptor at all
                return False
            waiting = self._watched[fd] = {}
        waiting[connection] = None
        return True

    def unwatch(self, fd: int, connection: Waiting) -> None:
        """The connection does not wait on `fd` any more."""
        waiting = self._watched.get(fd, {})
        waiting.pop(connection, None)
        if not waiting and self._watched.pop(fd, None) is not None:
            connection.loop.remove_reader(fd)

    def _readable(self, fd: int) -> None:
        for connection in tuple(self._watched.get(fd, ())):
            connection.woken()


_wakers: WeakKeyDictionary[asyncio.AbstractEventLoop, Waker] = WeakKeyDictionary()


def waker_of(loop: asyncio.AbstractEventLoop) -> Waker:
    """The waker of the running loop. It goes when its loop goes."""
    waker = _wakers.get(loop)
    if waker is None:
        waker = _wakers[loop] = Waker()
    waker.belongs_to_this_thread()
    return waker


class Pause:
    """What one connection waits with while its work is paused: descriptors, a timer, context variables to return to."""

    __slots__ = (
        "_connection", "_context", "_deadline", "_delay", "_fds", "_timer", "_wait_context", "_waker", "_when",
    )  # fmt: skip

    def __init__(self, connection: Waiting, waker: Waker) -> None:
        self._connection = connection
        self._wait_context = connection.wait_context
        self._waker = waker
        self._context = contextvars.copy_context()
        self._fds: list[int] = []  # those the loop watches for us; a number twice if two keys have it
        self._deadline: float | None = None
        self._delay = FIRST_POLL
        self._timer: Alarm | None = None
        self._when = 0.0
        self._watch(self._wait_context.get_all_fds())  # some may have outlived an earlier pause

    def follow(self, deadline: float | None, now: float, *, poll: bool) -> None:
        """The work is paused, still or again: watch the descriptors it has now, and set the timer.

        `deadline` is the earliest of its operations, on the loop's clock. Without descriptors the work is tried again
        after a while, or after long if its status promises a callback (ASYNC_WAIT_CTX_set_status(3)); with `poll` in
        any case.
        """
        self._follow_descriptors()
        self._deadline = when = deadline
        if poll or not self._fds:
            promised = self._wait_context.get_status() == AsyncStatus.OK
            again = now + (PROMISED_POLL if promised and not poll else self._delay)
            when = again if when is None or again < when else when
        self._set_timer(when, now)

    def overdue(self, now: float) -> bool:
        """Whether the earliest deadline has passed."""
        return self._deadline is not None and self._deadline <= now

    def _follow_descriptors(self) -> None:
        added, deleted = self._wait_context.get_changed_fds()
        if not (added or deleted):
            return
        for fd in deleted:  # first: a number that stands in both lists is another descriptor now
            if fd in self._fds:
                self._fds.remove(fd)
                if fd not in self._fds:
                    self._waker.unwatch(fd, self._connection)
        self._watch(added)

    def _watch(self, fds: list[int]) -> None:
        for fd in fds:
            if fd in self._fds or self._waker.watch(fd, self._connection):
                self._fds.append(fd)
        self._wait_context.mark()  # `follow` has seen these: from here on "changed" means changed since now
        self._wait_context.reset()

    def _set_timer(self, when: float | None, now: float) -> None:
        if self._timer is not None:
            if when == self._when:
                return
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._when = when
            self._timer = self._waker.alarms.call_at(self._connection.loop, max(when, now + CLOCK_TICK), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._delay = min(self._delay * 2, LAST_POLL)
        self._resume()

    def woken(self) -> None:
        """A completion or a readable descriptor: let the work go on, unless it was only told to try again later."""
        if not self._fds and self._wait_context.get_status() == AsyncStatus.EAGAIN:
            return  # the timer is set: trying at once would spin
        self._delay = FIRST_POLL
        self._context.run(self._resume)

    def _resume(self) -> None:
        _forget_status(self._wait_context)
        self._connection.resume_paused(self._connection.loop.time())

    def end(self) -> None:
        """Nothing is paused any more."""
        for fd in set(self._fds):
            self._waker.unwatch(fd, self._connection)
        self._fds.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        _forget_status(self._wait_context)


def _forget_status(wait_context: WaitContext) -> None:
    """What an earlier submission came to says nothing about the next one."""
    wait_context.set_status(AsyncStatus.UNSUPPORTED)
