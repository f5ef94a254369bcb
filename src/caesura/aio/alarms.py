"""Timers beside those of a loop: alarms, which hardly ever ring, and bells, which do.

A loop sorts its timers into a heap, comparing them in Python, and one that is cancelled stays there until many are;
with thousands of connections that is most of what their timers cost. Alarms (of handshakes, of shutdowns, of pauses
that end in time) wait unsorted in bins of a quarter of a second. Only those that are left when their bin's time comes
become timers of the loop's, and ring when they are due. Bells (of work that waits for a while) are in a heap of their
own, with one timer of the loop's for the first of them, which rings for all that are due.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["Alarm", "Alarms", "Bell", "Bells"]

BIN = 0.25  # seconds


class Alarm:
    """What `Alarms.call_at` hands back."""

    __slots__ = ("_bin", "function", "handle", "when")

    def __init__(self, when: float, function: Callable[[], object], bin_: dict[Alarm, None] | None) -> None:
        self.when = when
        self.function = function
        self.handle: asyncio.TimerHandle | None = None  # once it is a timer of the loop's
        self._bin = bin_

    def cancel(self) -> None:
        """Do not call the function any more."""
        if self.handle is not None:
            self.handle.cancel()
        elif self._bin is not None:
            self._bin.pop(self, None)


class Alarms:
    """The alarms of one loop; used on its thread."""

    __slots__ = ("_bins",)

    def __init__(self) -> None:
        self._bins: dict[int, dict[Alarm, None]] = {}

    def call_at(self, loop: asyncio.AbstractEventLoop, when: float, function: Callable[[], object]) -> Alarm:
        """Call `function` at that time of the loop's clock."""
        number = int(when / BIN)
        found = self._bins.get(number)
        if found is None:
            opens = number * BIN
            if opens <= loop.time():
                alarm = Alarm(when, function, None)
                alarm.handle = loop.call_at(when, function)
                return alarm
            found = self._bins[number] = {}
            loop.call_at(opens, self._open, loop, number)
        alarm = Alarm(when, function, found)
        found[alarm] = None
        return alarm

    def _open(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        for alarm in self._bins.pop(number):
            alarm.handle = loop.call_at(alarm.when, alarm.function)


class Bell:
    """What `Bells.call_later` hands back."""

    __slots__ = ("_bells", "function")

    def __init__(self, bells: Bells, function: Callable[[], object]) -> None:
        self._bells = bells
        self.function: Callable[[], object] | None = function  # None: it has rung, or never will

    def cancel(self) -> None:
        """Do not call the function any more; nothing happens if it has been called."""
        if self.function is not None:
            self.function = None
            self._bells.forget_one()

    def ring(self) -> None:
        """Call the function, unless it was cancelled."""
        function, self.function = self.function, None
        if function is not None:
            function()


class Bells:
    """The bells of one loop; used on its thread. `ring(loop, bells)` rings those whose time has come."""

    __slots__ = ("_cancelled", "_queue", "_ring", "_serial", "_timer", "_until")

    CROWD = 100  # so many cancelled bells may stand in the queue, or as many as are not

    def __init__(self, ring: Callable[[asyncio.AbstractEventLoop, list[Bell]], object]) -> None:
        self._ring = ring
        self._queue: list[tuple[float, int, Bell]] = []
        self._serial = count()
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0  # when that rings

    def call_later(self, loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[[], object]) -> Bell:
        """Call `function` after so many seconds of the loop's clock."""
        bell = Bell(self, function)
        heapq.heappush(self._queue, (loop.time() + seconds, next(self._serial), bell))
        if self._queue[0][2] is bell:
            self._set_timer(loop)
        return bell

    def forget_one(self) -> None:
        """A bell was cancelled: clear the queue of such ones when they are many."""
        self._cancelled += 1
        if self._cancelled > max(self.CROWD, len(self._queue) // 2):
            self._queue = [entry for entry in self._queue if entry[2].function is not None]
            heapq.heapify(self._queue)
            self._cancelled = 0

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._until = self._queue[0][0]
        self._timer = loop.call_at(self._until, self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = max(loop.time(), self._until)  # a loop that rounds its clock may be here a little before
        due = []
        while self._queue and self._queue[0][0] <= now:
            due.append(heapq.heappop(self._queue)[2])
        if self._queue:
            self._set_timer(loop)
        self._ring(loop, due)
