"""A `FrameReceiver` that writes down what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FrameLog:
    """`calls` has each frame as (name of the method without `on_`, its arguments …)."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *values: self.calls.append((name.removeprefix("on_"), *values))
