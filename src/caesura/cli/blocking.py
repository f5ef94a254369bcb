"""Blocking calls for an event loop, on a thread that nobody has to wait for.

Standard input and output may block for ever, and may be files, pipes or terminals, which loops do not watch alike. An
executor's threads are joined when the program ends; these are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class BlockingCalls:
    """Awaitable calls, made one after another on a thread of their own. Made on the loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """What the function returns or raises. Cancelling does not stop a call that blocks; its result is dropped."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((future, function, args))
        return await future

    def _run(self) -> None:
        while True:
            future, function, args = self._calls.get()
            try:
                result, error = function(*args), None
            except BaseException as raised:  # noqa: BLE001 - it belongs to who awaits the call
                result, error = None, raised
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
