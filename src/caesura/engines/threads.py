"""The engine that does the work on threads of its own."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from contextvars import copy_context
from types import TracebackType
from typing import Any, TypeVar

from caesura.engines.base import HANDSHAKE_OPERATIONS, Operation, Refused, Work
from caesura.errors import ConfigError, JobCancelled, UsageError
from caesura.jobs import AsyncStatus, Completion, Job, Pending, WaitContext, cleanup_thread, start_job, wait

__all__ = ["ThreadEngine"]

T = TypeVar("T")


class ThreadEngine:
    """Runs work as jobs on `workers` threads; `queue` more pieces may stand in line, and what comes then is refused.

    Refused: the status is `EAGAIN` and the callback called at once; each resume offers the work again, and when a place
    becomes free the wait context of the first in line is notified. A worker stays with its job through all pauses and
    waits for the job's descriptors. For a token with one session: one worker.

    Threads start with the first work and end with `close()`, with the engine itself, or with the program. Closing drops
    what stands in line, cancels what runs at its next pause, and waits for the threads.
    """

    __slots__ = ("__weakref__", "_close", "_line", "operations")

    def __init__(
        self, workers: int, *, queue: int = 256, operations: Iterable[Operation] = HANDSHAKE_OPERATIONS
    ) -> None:
        if workers < 1:
            raise ConfigError("workers: at least one thread")
        if queue < 0:
            raise ConfigError("queue: 0 or more pieces of work")
        self.operations = frozenset(operations)
        self._line = _Line(workers, queue)
        self._close = weakref.finalize(self, self._line.close)  # also when the program ends

    def start(self, work: Work[T]) -> Pending[T]:
        """What will bring the result; a worker settles it and notifies `work.wait_context`."""
        return self._line.enter(work)

    def close(self) -> None:
        """End the threads; the second time nothing happens. Work that is not done is cancelled."""
        self._close()

    def __enter__(self) -> ThreadEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class _Task(Completion[T]):
    """One piece of work, from the moment it was taken."""

    __slots__ = ("_context", "_job", "_line", "work")

    def __init__(self, line: _Line, work: Work[T]) -> None:
        super().__init__()
        self._line = line
        self._context = copy_context()
        self._job: Job[T] | None = None
        self.work = work

    def perform(self) -> None:
        """Do the work, on a worker."""
        status = AsyncStatus.OK
        with WaitContext() as context:
            try:
                self._job = self._context.run(lambda: start_job(self.work.run, wait_context=context))
                if self.done():  # cancelled before there was a job to cancel
                    self._job.cancel()
                in_time = self.set_result(wait(self._job))
            except BaseException as error:  # noqa: BLE001 - it is the work's result, and belongs to who asks for that
                status = AsyncStatus.ERR
                in_time = self.set_exception(error)
        if in_time and self.work.wait_context is not None:
            self.work.wait_context.notify(status)

    def cancel(self) -> None:
        """Drop the work if it still stands in line; else cancel its job, which ends at its next pause."""
        if self._settle(None, JobCancelled("the work was cancelled")):
            self._line.leave(self)
            if self._job is not None:
                self._job.cancel()


class _Line:
    """What the threads share. They hold this and not the engine, so that an engine nobody has any more ends them."""

    def __init__(self, workers: int, queue: int) -> None:
        self._workers = workers
        self._places = workers + queue
        self._closed = False
        self.reset()
        _lines.add(self)

    def reset(self) -> None:
        """Begin with no threads and no work: at first, and in the child of a fork, which has neither."""
        self._changed = threading.Condition()
        self._waiting: deque[_Task[Any]] = deque()
        self._running: set[_Task[Any]] = set()
        self._refused: deque[Work[Any]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    # --- on the threads of those who have work --------------------------------------------------------------------------

    def enter(self, work: Work[T]) -> Pending[T]:
        """Take the work or refuse it."""
        with self._changed:
            task = self._take(work)
            if task is None:
                self._refused.append(work)
        context = work.wait_context
        if context is not None:
            if context.get_callback() is None:
                context.arm()
                if task is None:
                    context.set_status(AsyncStatus.EAGAIN)
            elif task is None:
                context.notify(AsyncStatus.EAGAIN)
        return task or Refused(work, self._enter_again, lambda: self._withdraw(work))

    def leave(self, task: _Task[Any]) -> None:
        """The work was cancelled: if it still stands in line its place is free."""
        with self._changed:
            if task in self._waiting:
                self._waiting.remove(task)
        self._pass_on()

    def _enter_again(self, work: Work[T]) -> Pending[T] | None:
        with self._changed:
            task = self._take(work)
            if task is not None:
                if work in self._refused:
                    self._refused.remove(work)
            elif work not in self._refused:
                self._refused.appendleft(work)  # it was told of a free place that is taken again: it is still the first
        if task is None and work.wait_context is not None:
            work.wait_context.set_status(AsyncStatus.EAGAIN)
        return task

    def _withdraw(self, work: Work[Any]) -> None:
        with self._changed:
            if work in self._refused:
                self._refused.remove(work)
        self._pass_on()

    def _take(self, work: Work[T]) -> _Task[T] | None:
        if self._closed:
            raise UsageError("the engine has been closed")
        if len(self._waiting) + len(self._running) >= self._places:
            return None
        if self._idle <= len(self._waiting) and len(self._threads) < self._workers:
            thread = threading.Thread(target=self._work, name=f"caesura-engine-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)
        task = _Task(self, work)
        self._waiting.append(task)
        self._changed.notify()
        return task

    def _pass_on(self) -> None:
        """Tell as many of those that were refused as there are places now."""
        with self._changed:
            free = self._places - len(self._waiting) - len(self._running)
            told = [self._refused.popleft() for _ in range(min(free, len(self._refused)))]
        for work in told:
            if work.wait_context is not None:
                work.wait_context.notify()

    def close(self) -> None:
        """Cancel everything and wait for the threads; a worker that closes its own engine does not wait for itself."""
        with self._changed:
            self._closed = True
            tasks = [*self._waiting, *self._running]
            refused, self._refused = self._refused, deque()
            self._changed.notify_all()
        for task in tasks:
            task.cancel()
        for work in refused:
            if work.wait_context is not None:
                work.wait_context.notify(AsyncStatus.ERR)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    # --- on the workers -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (task := self._next()) is not None:
            task.perform()
            with self._changed:
                self._running.discard(task)
            del task
            self._pass_on()
        cleanup_thread()

    def _next(self) -> _Task[Any] | None:
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            task = self._waiting.popleft()
            self._running.add(task)
            return task


_lines: weakref.WeakSet[_Line] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Threads do not survive a fork: in the child an engine starts anew, and work in progress stays its parent's."""
    for line in _lines:
        line.reset()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork_in_child)
