"""Sets of whole numbers that lie mostly side by side: packet numbers, bytes of a stream.

Ranges are half-open, [start, stop), kept ascending, apart from each other by at least one number. Nothing here is
bounded: whoever lets a peer decide what is added counts the ranges (`len`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeSet:
    """A set of numbers, as few ranges as possible.

    `starts` and `stops` may be read, and the last of `stops` raised: numbers that come in order touch nothing else.
    """

    __slots__ = ("starts", "stops")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Put a range in. An empty one changes nothing."""
        starts, stops = self.starts, self.stops
        if start >= stop:
            return
        if not stops or start > stops[-1]:
            starts.append(start)
            stops.append(stop)
            return
        if start >= starts[-1]:
            if stop > stops[-1]:
                stops[-1] = stop
            return
        first = bisect_left(stops, start)  # the first range that touches the new one …
        behind = bisect_right(starts, stop)  # … and the first behind it
        if first < behind:
            start = min(start, starts[first])
            stop = max(stop, stops[behind - 1])
        starts[first:behind] = [start]
        stops[first:behind] = [stop]

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of a range that are not in the set, ascending."""
        found = []
        index = bisect_right(self.stops, start)
        while index < len(self.starts) and self.starts[index] < stop:
            if start < self.starts[index]:
                found.append((start, self.starts[index]))
            start = self.stops[index]
            index += 1
        if start < stop:
            found.append((start, stop))
        return found

    def drop_first(self) -> int:
        """Take the lowest range out; where it stopped."""
        del self.starts[0]
        return self.stops.pop(0)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.starts, number) - 1
        return index >= 0 and number < self.stops[index]

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.stops, strict=True)

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
