"""Callbacks and keys written as `async def`: their awaitables become pending work of the loop.

A connection calls the awaiter on the loop's thread, or on a worker's when an engine runs its operations there; either
way the awaitable runs as a task of the loop, in a copy of the context variables of where it was called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from threading import get_ident
from typing import Generic, TypeVar

from caesura.errors import OperationFailed
from caesura.jobs import Completion, Pending

T = TypeVar("T")


class Awaiter:
    """Makes awaitables into pending work of one loop. Made on the loop's thread."""

    __slots__ = ("_loop", "_thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = get_ident()

    def __call__(self, awaitable: Awaitable[T]) -> Pending[T]:
        """Start the awaitable as a task, or wait for it if it is a future already; to cancel one cancels the other."""
        running = _Running(awaitable, self._loop, self._thread)
        if get_ident() == self._thread:
            running.start()
        else:
            self._loop.call_soon_threadsafe(running.start)
        return running.completion


class _Running(Generic[T]):
    """One awaitable under way: a future of the loop on one side, a completion for any thread on the other."""

    __slots__ = ("_awaitable", "_future", "_loop", "_thread", "completion")

    def __init__(self, awaitable: Awaitable[T], loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._awaitable = awaitable
        self._loop = loop
        self._thread = thread
        self._future: asyncio.Future[T] | None = None
        self.completion: Completion[T] = Completion(self._cancel)

    def start(self) -> None:
        self._future = asyncio.ensure_future(self._awaitable, loop=self._loop)
        self._future.add_done_callback(self._finished)

    def _finished(self, future: asyncio.Future[T]) -> None:
        if future.cancelled():
            self.completion.set_exception(OperationFailed("the task of a callback was cancelled"))
        elif (error := future.exception()) is not None:
            self.completion.set_exception(error)
        else:
            self.completion.set_result(future.result())

    def _cancel(self) -> None:
        if get_ident() == self._thread:
            self._stop()
        else:
            with suppress(RuntimeError):  # the loop has been closed, and its tasks with it
                self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._future is not None:
            self._future.cancel()
