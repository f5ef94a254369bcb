"""Timers that hardly ever ring: of handshakes, of shutdowns, of pauses that end in time.

A loop sorts its timers into a heap, and one that is cancelled stays there until many are; with thousands of connections
that is most of what their timers cost. Here they wait unsorted in bins of a quarter of a second. Only those that are
left when their bin's time comes become timers of the loop's, and ring when they are due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Alarm", "Alarms"]

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
