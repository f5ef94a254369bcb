"""The engine that does the work on threads of its own."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import OrderedDict, deque
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

    `sched_idle=True`, on Linux, is for long computations beside an event loop: the threads have the policy SCHED_IDLE
    (sched(7)), so that a loop that wakes takes the processor from them at once, not when their slice ends. It is for
    machines with time to spare: beside others that keep all processors busy these threads hardly run, and may hold the
    interpreter's lock while they wait for their turn.

    Threads start with the first work and end with `close()`, with the engine itself, or with the program. Closing drops
    what stands in line, cancels what runs at its next pause, and waits for the threads.

    Raises ConfigError for fewer than one worker, a negative queue, and `sched_idle` where there is no such policy.
    """

    __slots__ = ("__weakref__", "_close", "_line", "operations")

    def __init__(
        self,
        workers: int,
        *,
        queue: int = 256,
        operations: Iterable[Operation] = HANDSHAKE_OPERATIONS,
        sched_idle: bool = False,
    ) -> None:
        if workers < 1:
            raise ConfigError("workers: at least one thread")
        if queue < 0:
            raise ConfigError("queue: 0 or more pieces of work")
        if sched_idle and sys.platform != "linux":  # elsewhere it is for whole processes, or not there
            raise ConfigError("sched_idle: threads have a scheduling policy of their own on Linux only")
        self.operations = frozenset(operations)
        self._line = _Line(workers, queue, sched_idle)
        self._close = weakref.finalize(self, self._line.close)  # also when the program ends

    def start(self, work: Work[T]) -> Pending[T]:
        """What a worker will settle, or the refusal. Raises `UsageError` when the engine has been closed."""
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
        with WaitContext() as context:
            try:
                self._job = job = self._context.run(lambda: start_job(self.work.run, wait_context=context))
                if self.done():  # cancelled before there was a job to cancel
                    job.cancel()
                self.set_result(wait(job))
            except BaseException as error:  # noqa: BLE001 - it is the work's result, and belongs to who asks for that
                self.set_exception(error)
            self._job = None

    def cancel(self) -> None:
        """Drop the work if it still stands in line; else cancel its job, which ends at its next pause."""
        if self._settle(None, JobCancelled("the work was cancelled")):
            self._line.leave(self)
            job = self._job
            if job is not None:
                job.cancel()


class _Line:
    """What the threads share. They hold this and not the engine, so that an engine nobody has any more ends them."""

    def __init__(self, workers: int, queue: int, sched_idle: bool) -> None:
        self._workers = workers
        self._sched_idle = sched_idle
        self._places = workers + queue
        self._closed = False
        self.reset()
        _lines.add(self)

    def reset(self) -> None:
        """Begin with no threads and no work: at first, and in the child of a fork, which has neither."""
        self._changed = threading.Condition()
        self._waiting: deque[_Task[Any]] = deque()
        self._running: set[_Task[Any]] = set()
        self._refused: OrderedDict[Work[Any], None] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    # --- on the threads of those who have work ----------------------------------------------------------------------

    def enter(self, work: Work[T]) -> Pending[T]:
        """Take the work or refuse it."""
        with self._changed:
            task = self._take(work)
            if task is None:
                refused = Refused(work, self._enter_again, lambda: self._withdraw(work))
                self._refused[work] = None
        if task is not None:
            return task
        if work.wait_context is not None and work.wait_context.get_callback() is not None:
            work.wait_context.notify(AsyncStatus.EAGAIN)
        return refused

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
                self._refused.pop(work, None)
            elif work not in self._refused:
                # It was told of a place, and somebody else was faster: it is still the first.
                self._refused[work] = None
                self._refused.move_to_end(work, last=False)
            return task

    def _withdraw(self, work: Work[Any]) -> None:
        with self._changed:
            self._refused.pop(work, None)
        self._pass_on()  # it may have been told of a place that it does not need now

    def _take(self, work: Work[T]) -> _Task[T] | None:
        if self._closed:
            raise UsageError("the engine has been closed")
        if len(self._waiting) + len(self._running) >= self._places:
            return None
        if self._idle <= len(self._waiting) and len(self._threads) < self._workers:
            self._hire()
        task = _Task(self, work)
        self._waiting.append(task)
        self._changed.notify()
        return task

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"caesura-engine-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _pass_on(self) -> None:
        """Tell as many of those that were refused as there are places now."""
        with self._changed:
            free = self._places - len(self._waiting) - len(self._running)
            told = [self._refused.popitem(last=False)[0] for _ in range(min(free, len(self._refused)))]
        for work in told:
            if work.wait_context is not None:
                work.wait_context.notify()

    def close(self) -> None:
        """Cancel everything and wait for the threads; a worker that closes its own engine does not wait for itself."""
        with self._changed:
            self._closed = True
            tasks = [*self._waiting, *self._running]
            refused, self._refused = self._refused, OrderedDict()
            self._changed.notify_all()
        for task in tasks:
            task.cancel()
        for work in refused:
            if work.wait_context is not None:
                work.wait_context.notify(AsyncStatus.ERR)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    # --- on the workers ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        if sys.platform == "linux" and self._sched_idle:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread
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
