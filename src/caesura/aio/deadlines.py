"""One timer of the loop for the deadlines of many.

Deadlines of associations move with every datagram, mostly to a later time. So a deadline that moves back is left where
it was, and looked up again when that time has come; the heap holds little more than one entry for each who waits.
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

CLOCK_TICK = 0.001  # seconds: loops may round their clock to this
_SLACK = 64  # entries that are out of date and not worth a clean-up


class Waits(Protocol):
    """Who has deadlines."""

    scheduled: float | None  # belongs to the Deadlines

    def deadline(self) -> float | None:
        """When `expired` is to be called, on the loop's clock; None: never."""

    def expired(self, now: float) -> None:
        """The deadline has passed."""


class Deadlines:
    """Calls everybody's `expired` when it is time."""

    __slots__ = ("_count", "_heap", "_loop", "_order", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, Waits]] = []
        self._order = count()
        self._count = 0  # of those who are scheduled
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, who: Waits) -> None:
        """Look at the deadline again: it may have moved."""
        when = who.deadline()
        if when is None or (who.scheduled is not None and who.scheduled <= when):
            return
        self._count += who.scheduled is None
        who.scheduled = when
        heappush(self._heap, (when, next(self._order), who))
        if len(self._heap) > 2 * self._count + _SLACK:
            self._heap = [each for each in self._heap if each[2].scheduled == each[0]]
            heapify(self._heap)
        if self._heap[0][2] is who:
            self._set_timer()

    def forget(self, who: Waits) -> None:
        """Call nothing of theirs any more."""
        if who.scheduled is not None:
            who.scheduled = None
            self._count -= 1
        if not self._count:
            self._heap.clear()
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            soonest = max(self._heap[0][0], self._loop.time() + CLOCK_TICK)
            self._timer = self._loop.call_at(soonest, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            when, _, who = heappop(self._heap)
            if who.scheduled != when:
                continue
            who.scheduled = None
            self._count -= 1
            deadline = who.deadline()
            if deadline is not None and deadline <= now:
                who.expired(now)
            else:
                self.follow(who)
        if self._timer is None:
            self._set_timer()
