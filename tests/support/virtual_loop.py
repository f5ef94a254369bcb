"""An asyncio loop on virtual time, with real sockets: its clock jumps to the next timer when nothing is to be done.

What is sent over loopback is there when the call returns, so no datagram is overtaken by a timer but when the system is
late with it; then the time that has passed is as after a loss.
"""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0  # real seconds to wait when there is no timer at all


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
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(PATIENCE)
            assert ready, "nothing can ever happen any more"
            return ready
        self.now += max(timeout, 0.0)
        return super().select(0)
