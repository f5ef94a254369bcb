"""One timer of the loop for the deadlines of many."""

from __future__ import annotations

import asyncio
from typing import Protocol

from caesura.deadlines import DeadlineQueue

CLOCK_TICK = 0.001  # seconds: loops may round their clock to this


class Waits(Protocol):
    """Who has deadlines."""

    scheduled: float | None  # belongs to the Deadlines

    def deadline(self) -> float | None:
        """When `expired` is to be called, on the loop's clock; None: never."""

    def expired(self, now: float) -> None:
        """The deadline has passed."""


class Deadlines:
    """Calls everybody's `expired` when it is time."""

    __slots__ = ("_loop", "_queue", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: DeadlineQueue[Waits] = DeadlineQueue()
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, who: Waits) -> None:
        """Look at the deadline again: it may have moved."""
        if self._queue.follow(who):
            self._set_timer()

    def forget(self, who: Waits) -> None:
        """Call nothing of theirs any more."""
        self._queue.forget(who)
        if self._queue.first() is None:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first = self._queue.first()
        if first is not None:
            self._timer = self._loop.call_at(max(first, self._loop.time() + CLOCK_TICK), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            for who in self._queue.due(now):
                who.expired(now)
        finally:  # what one of them raises is the loop's to report; the others have their time all the same
            if self._timer is None:
                self._set_timer()
