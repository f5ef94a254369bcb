"""Jobs (ASYNC_start_job(3))."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from caesura import jobs
from caesura.errors import Error, UsageError
from caesura.jobs import Job, JobState, WaitContext
from caesura.openssl.constants import ASYNC_ERR, ASYNC_FINISH, ASYNC_NO_JOBS, ASYNC_PAUSE

_T = TypeVar("_T")


def ASYNC_start_job(
    job: Job[Any] | None, ctx: WaitContext | None, func: Callable[[Any], _T] | None, args: Any
) -> tuple[int, Job[Any] | None, _T | None]:
    """Start `func(args)` as a job, or resume `job`: (code, the job while it is paused, its value). ASYNC_start_job(3).

    What the function raises is raised here; ASYNC_ERR says that the job cannot be started or resumed.
    """
    try:
        if job is not None:
            job.resume()
        elif func is None:
            return ASYNC_ERR, None, None
        else:
            job = jobs.start_job(func, args, wait_context=ctx)
    except jobs.NoJobs:
        return ASYNC_NO_JOBS, None, None
    except UsageError:
        return ASYNC_ERR, job, None
    if job.state is JobState.PAUSED:
        return ASYNC_PAUSE, job, None
    return ASYNC_FINISH, None, job.result()


def ASYNC_pause_job() -> int:
    """Pause the job that runs; without effect outside a job or while pauses are blocked. ASYNC_pause_job(3)."""
    jobs.pause_job()
    return 1


def ASYNC_get_current_job() -> Job[Any] | None:
    """The job that runs. ASYNC_get_current_job(3)."""
    return jobs.current_job()


def ASYNC_get_wait_ctx(job: Job[Any]) -> WaitContext | None:
    """The wait context the job was started with. ASYNC_get_wait_ctx(3)."""
    return job.wait_context


def ASYNC_block_pause() -> None:
    """Let the running job not be paused. ASYNC_block_pause(3)."""
    jobs.block_pause()


def ASYNC_unblock_pause() -> None:
    """Take one ASYNC_block_pause back. ASYNC_unblock_pause(3)."""
    jobs.unblock_pause()


def ASYNC_init_thread(max_size: int, init_size: int) -> int:
    """Bound this thread's pool of jobs (0: no bound) and fill it; 0 on failure. ASYNC_init_thread(3)."""
    try:
        jobs.init_thread(max_size, init_size)
    except Error:
        return 0
    return 1


def ASYNC_cleanup_thread() -> None:
    """Free this thread's idle jobs. ASYNC_cleanup_thread(3)."""
    jobs.cleanup_thread()


def ASYNC_is_capable() -> int:
    """1 where jobs can pause. ASYNC_is_capable(3)."""
    return int(jobs.is_capable())
