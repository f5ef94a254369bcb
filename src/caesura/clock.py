"""Where time comes from: the one place in the pure layers that reads a clock.

Everything below the adapters takes `now` as an argument; what needs wall time (certificates, ticket ages) takes it from
the context's clock, which a test replaces by one that stands still.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time, both in seconds."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; timeouts are points on it."""

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; validity periods and ticket ages are points on it."""


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
