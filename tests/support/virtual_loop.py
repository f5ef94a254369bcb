"""An asyncio loop on virtual time, with real sockets: its clock jumps to the next timer when nothing is to be done.

What is sent over loopback is there when the call returns, or very soon afterwards, so a loop that finds nothing
readable for a moment would only wait for its next timer. What goes on in other threads and processes it knows nothing
of: tests that have some of those run on ordinary loops.
"""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable
from typing import Any

MOMENT = 0.001  # real seconds until nothing will come any more
STUCK = 20.0  # real seconds to wait when there is no timer at all
LEAP = 0.05  # virtual seconds; a timer that rings so much too early is like a datagram that is lost
YEAR = 31_557_600.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """`timers` are those that wait."""

    def __init__(self) -> None:
        self._watcher = _Watcher()
        self._timers: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()
        super().__init__(self._watcher)

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._watcher.now

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        handle = super().call_at(when, callback, *args, context=context)
        self._timers.add(handle)
        return handle

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """Those that will ring."""
        return [each for each in self._timers if not each.cancelled() and each.when() > self.time()]


class _Watcher(selectors.DefaultSelector):
    """Where a loop waits; here it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            ready = super().select(STUCK)
            assert ready, "nothing can ever happen any more"
            return ready
        ready = super().select(MOMENT if timeout > LEAP else 0)
        if not ready:
            self.now += timeout
        return ready


def patience(seconds: float = 20.0) -> asyncio.Timeout:
    """No test waits for anything longer than that; on virtual time, as long as anything else may still happen."""
    return asyncio.timeout(YEAR if isinstance(asyncio.get_running_loop(), VirtualLoop) else seconds)
