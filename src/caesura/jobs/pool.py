"""Fibers and the pool of them that each thread has (ASYNC_init_thread(3)).

A fiber is a greenlet that runs one job after another: making one costs twenty times what switching to one does. What a
job is to whoever started it (handle, state, result) is in `job`; here is only where it runs.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from greenlet import error as GreenletError  # type: ignore[import-untyped]  # noqa: N812 - it is a class
from greenlet import getcurrent, greenlet

from caesura.errors import Error, UsageError

if TYPE_CHECKING:
    from caesura.jobs.job import Job

__all__ = ["Fiber", "GreenletError", "NoJobs", "Pool", "cleanup_thread", "getcurrent", "init_thread", "is_capable"]


class NoJobs(Error):
    """This thread's pool is exhausted: as many jobs as it may hold are paused or running (ASYNC_start_job(3)).

    Nothing is damaged; starting works again as soon as one of them ends.
    """

    code = "NO_JOBS"


class Fiber(greenlet):  # type: ignore[misc]
    """Where jobs run. `job` is the one that runs now, None while that one is paused and while there is none.

    A paused fiber must not hold its job, nor may any frame of ours on it: suspended greenlets are never collected, so
    the job's handle could not be either, and what is forgotten while it is paused would stay for ever.
    """

    __slots__ = ("blocked", "caller", "job", "pool")

    pool: Pool
    job: Any  # Job[Any] | None, but None only where nothing of it is asked
    caller: Any  # the greenlet that started or resumed the job, and gets control at its pause or end
    blocked: int  # how many block_pause() are open

    def run(self) -> None:
        """Run one job after another until a switch brings none. Between them no local keeps anything of the last."""
        self.gr_context = inherited = Context()  # type: ignore[misc] # greenlet's own, and so in none of our slots
        while True:
            caller, job, function, args, context = self.caller.switch()
            if job is None:
                return
            self.caller, self.job, self.blocked = caller, job, 0
            if context:
                self.gr_context = inherited = context  # type: ignore[misc]
            caller = job = context = None
            try:
                value = function(*args)
            except BaseException as error:  # noqa: BLE001 - it is the job's result, and belongs to who asks for that
                self.job.fail(error)
            else:
                self.job.finish(value)
            function = args = value = self.job = None
            if inherited:  # it is what the job has made of it: the next one must not see that
                self.gr_context = inherited = Context()  # type: ignore[misc]


class Pool:
    """The fibers of one thread: `size` of them exist, at most `limit` (0: as many as are needed)."""

    __slots__ = ("forgotten", "idle", "limit", "size", "thread")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.thread = threading.get_ident()
        self.idle: list[Fiber] | deque[Fiber] = []
        self.forgotten: deque[Job[Any]] = deque()  # paused jobs whose handle was dropped on another thread

    def grow(self) -> Fiber:
        """A new fiber, for when none is idle. Raises `NoJobs` at the limit."""
        self.unwind_forgotten()
        if self.idle:
            return self.idle.pop()
        if self.limit and self.size >= self.limit:
            raise NoJobs(f"all {self.limit} jobs of this thread's pool are in use")
        fiber = Fiber()
        # Not the greenlet that happens to be here: a parent is kept alive, and cannot become the child of its child.
        fiber.parent = _root()
        fiber.pool, fiber.job, fiber.caller = self, None, getcurrent()
        fiber.switch()  # up to where it takes jobs: arguments of the first switch would live as long as the fiber
        self.size += 1
        return fiber

    def forget(self, job: Job[Any], _finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """The handle of a paused job is going away: cancel the job, here or when its own thread comes by."""
        if not _finalizing():  # else greenlets cannot be switched any more
            job.cancel()
            if not job.done():
                self.forgotten.append(job)

    def unwind_forgotten(self) -> None:
        """Cancel the paused jobs whose last reference went away where they could not be unwound."""
        while self.forgotten:
            self.forgotten.popleft().cancel()

    def close(self) -> None:
        """End the idle fibers, and let those that are still at work end when they become idle."""
        self.unwind_forgotten()
        idle, self.idle = self.idle, _Ending(maxlen=0)
        for fiber in idle:
            self.idle.append(fiber)


class _Ending(deque[Fiber]):
    """What a closed pool has for a list of idle fibers: each that is put here ends."""

    def append(self, fiber: Fiber) -> None:
        fiber.parent = getcurrent()  # that is who goes on when a greenlet has ended
        fiber.switch(None, None, None, None, None)


def _root() -> Any:
    """The greenlet that this thread began with."""
    root = getcurrent()
    while root.parent is not None:
        root = root.parent
    return root


class _Keeper:
    """Ends the pool together with its thread: it lives nowhere but in the thread's own storage."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __del__(self, _finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _finalizing() and self._pool.thread == threading.get_ident():
            self._pool.close()


class _Thread(threading.local):
    """What each thread has: a pool, unlimited and empty until `init_thread` says otherwise."""

    def __init__(self) -> None:
        self.renew(Pool(0))

    def renew(self, pool: Pool) -> None:
        self.pool = pool
        self._keeper = _Keeper(pool)  # the one before closes its pool


thread = _Thread()


def init_thread(max_size: int = 0, init_size: int = 0) -> None:
    """Give this thread a new pool of at most `max_size` jobs (0: no limit), `init_size` of them made now.

    Jobs of the pool before go on and are not counted any more (ASYNC_init_thread(3)). Raises `UsageError` when
    `init_size` is greater than `max_size`, also when that is 0.
    """
    if max_size < 0 or init_size < 0:
        raise UsageError("max_size and init_size: 0 or more jobs")
    if init_size > max_size:
        raise UsageError("init_size: at most max_size jobs can be made beforehand")
    pool = Pool(max_size)
    pool.idle = [pool.grow() for _ in range(init_size)]
    thread.renew(pool)


def need_job() -> None:
    """See to it that a job could be started now. Raises `NoJobs` where `start_job` would."""
    pool = thread.pool
    if not pool.idle:
        pool.idle.append(pool.grow())


def cleanup_thread() -> None:
    """End the idle fibers of this thread (ASYNC_cleanup_thread(3)); a job that is paused can still be resumed."""
    thread.renew(Pool(0))


def is_capable() -> bool:
    """Whether jobs can pause here, which takes a machine that greenlet can switch stacks on (ASYNC_is_capable(3))."""
    return bool(greenlet(lambda: True).switch())
