"""A clock that stands still until the test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    """What `Context(clock=…)` takes; both readings in seconds."""

    now: float = 1000.0
    wall_time: float = 1_767_225_600.0  # 2026-01-01 00:00 UTC

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.wall_time

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.now += seconds
        self.wall_time += seconds
