"""The deadlines of many, of which only the first is of interest.

Deadlines of connections move with every datagram, mostly to a later time. So a deadline that moves back is left where
it was, and looked up again when that time has come; the heap holds little more than one entry for each who waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

_SLACK: Final = 64  # entries that are out of date and not worth a clean-up


class Waits(Protocol):
    """Who has deadlines."""

    scheduled: float | None  # belongs to the queue

    def deadline(self) -> float | None:
        """When something is due; None: never."""


W = TypeVar("W", bound=Waits)


class DeadlineQueue(Generic[W]):
    """Who has a deadline, the earliest first. A deadline that has moved to an earlier time must be followed anew."""

    __slots__ = ("_count", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, W]] = []
        self._order = count()
        self._count = 0  # of those who are scheduled

    def follow(self, who: W) -> bool:
        """Look at a deadline again: it may have moved. Whether it is the first one now, and was not before."""
        when = who.deadline()
        if when is None or (who.scheduled is not None and who.scheduled <= when):
            return False
        self._count += who.scheduled is None
        who.scheduled = when
        heappush(self._heap, (when, next(self._order), who))
        if len(self._heap) > 2 * self._count + _SLACK:
            self._heap = [each for each in self._heap if each[2].scheduled == each[0]]
            heapify(self._heap)
        return self._heap[0][2] is who

    def forget(self, who: W) -> None:
        """Nothing of theirs is due any more."""
        if who.scheduled is not None:
            who.scheduled = None
            self._count -= 1
        if not self._count:
            self._heap.clear()

    def first(self) -> float | None:
        """When to look for who is due; it may be too early, never too late. None: never."""
        return self._heap[0][0] if self._heap else None

    def earliest(self) -> float | None:
        """When the first one is due, after another look at those that may have moved. None: never."""
        while self._heap:
            when, _, who = self._heap[0]
            if who.scheduled == when and who.deadline() == when:
                return when
            if self._take() is not None:
                self.follow(who)
        return None

    def due(self, now: float) -> Iterator[W]:
        """Those whose deadline has passed, each once; follow them when it has been seen to."""
        while self._heap and self._heap[0][0] <= now:
            who = self._take()
            if who is None:
                continue
            deadline = who.deadline()
            if deadline is not None and deadline <= now:
                yield who
            else:
                self.follow(who)

    def _take(self) -> W | None:
        """The first one, unless its entry is out of date."""
        when, _, who = heappop(self._heap)
        if who.scheduled != when:
            return None
        who.scheduled = None
        self._count -= 1
        return who
