"""Engines that stop where they are told to, and a look at what is left behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from greenlet import greenlet

from caesura.engines import ALL_OPERATIONS, Operation, Work
from caesura.jobs import Completion, Job, Pending, WaitContext, cleanup_thread, current_job, pause_job, start_job
from caesura.jobs.pool import thread


class Gate:
    """What a job stands at. It knows neither job nor engine: a paused frame that did would keep both for ever."""

    def __init__(self) -> None:
        self.answer: Callable[[], Any] | None = None
        self.fd: int | None = None
        self.unwound = 0

    def stand_still(self, work: Work[Any]) -> Any:
        context = wait_context_of_job()
        fd = self.fd = os.eventfd(0)
        context.set_wait_fd(self, fd)
        try:
            while self.answer is None:
                pause_job()
            self.answer()
            return work.run()
        finally:
            context.clear_fd(self)
            os.close(fd)
            self.unwound += 1


class HaltEngine:
    """Does everything at once, except one operation, the `at`th: that one stands still until `go` or `fail`.

    `kind` says how it stands still: as a job that has paused, with a descriptor of its own in the wait context, or as
    pending work that somebody else will finish.
    """

    def __init__(
        self, at: int | None = None, kind: str = "job", operations: frozenset[Operation] = ALL_OPERATIONS
    ) -> None:
        self.at = at
        self.kind = kind
        self.operations = operations
        self.count = 0
        self.seen: list[Operation] = []
        self.halted: Operation | None = None
        self.gate = Gate()
        self.pending: Pending[Any] | None = None
        self._work: Work[Any] | None = None

    def start(self, work: Work[Any]) -> Pending[Any]:
        self.seen.append(work.operation)
        self.count += 1
        if self.count - 1 != self.at:
            return start_job(work.run, wait_context=work.wait_context)
        self.halted = work.operation
        if self.kind == "job":
            pending: Pending[Any] = start_job(self.gate.stand_still, work, wait_context=work.wait_context)
        else:
            pending = Completion(self._cancelled)
            self._work = work
        self.pending = pending
        return pending

    def _cancelled(self) -> None:
        self.gate.unwound += 1

    @property
    def fd(self) -> int | None:
        """The descriptor of the paused job."""
        return self.gate.fd

    @property
    def unwound(self) -> int:
        """How often the halted work has ended, in whatever way."""
        return self.gate.unwound

    def go(self) -> None:
        """Let it be done."""
        self._settle(lambda: None)

    def fail(self, error: BaseException) -> None:
        """Let it fail."""

        def raise_it() -> None:
            raise error

        self._settle(raise_it)

    def cancel(self) -> None:
        """The engine gives the work up by itself."""
        assert self.pending is not None
        self.pending.cancel()

    def _settle(self, answer: Callable[[], Any]) -> None:
        self.gate.answer = answer
        if isinstance(self.pending, Completion):
            assert self._work is not None
            try:
                answer()
                self.pending.set_result(self._work.run())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the work's
                self.pending.set_exception(error)
            self.gate.unwound += 1

    @property
    def done(self) -> bool:
        """Whether the halted work has ended."""
        return self.pending is None or self.pending.done()


class Routed:
    """One engine in front of several: each takes its own operations."""

    def __init__(self, *engines: Any) -> None:
        self.engines = engines
        self.operations = frozenset().union(*(engine.operations for engine in engines))

    def start(self, work: Work[Any]) -> Pending[Any]:
        (engine,) = [engine for engine in self.engines if work.operation in engine.operations]
        return engine.start(work)  # type: ignore[no-any-return]


def only(*operations: Operation) -> frozenset[Operation]:
    return frozenset(operations)


def wait_context_of_job() -> WaitContext:
    """The wait context of the job this runs in. No local of a paused frame may hold the job itself."""
    job: Job[Any] | None = current_job()
    assert job is not None
    assert job.wait_context is not None
    return job.wait_context


# --- what is left ----------------------------------------------------------------------------------------------------


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def greenlets() -> int:
    """Greenlets that are alive: started, and not at their end."""
    return sum(1 for each in gc.get_objects() if isinstance(each, greenlet) and not each.dead)


@contextmanager
def nothing_left(objects: int | None = None) -> Iterator[None]:
    """No job, greenlet or descriptor remains, and (where `objects` says how many may) no objects.

    What there was before is put out of the collector's sight, so that looking takes no time.
    """
    cleanup_thread()
    gc.freeze()
    try:
        fds, fibers, count = open_fds(), greenlets(), len(gc.get_objects())
        yield
        gc.collect()
        thread.pool.unwind_forgotten()
        assert len(thread.pool.idle) == thread.pool.size, "jobs are still paused"
        cleanup_thread()
        gc.collect()
        assert open_fds() == fds, "descriptors are still open"
        assert greenlets() == fibers, "greenlets are still alive"
        if objects is not None:
            left = len(gc.get_objects()) - count
            assert left <= objects, f"{left} objects more than before"
    finally:
        gc.unfreeze()
