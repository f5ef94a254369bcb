"""What the tests of jobs and engines share."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from typing import Any


def readable(fd: int) -> bool:
    """Whether the descriptor is readable now."""
    return bool(select.select([fd], [], [], 0)[0])


def on_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What `function(*args)` returns, or the exception it raises, on a thread that has ended when this returns."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function(*args))
        except BaseException as error:  # noqa: BLE001
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]
