"""Jobs: calls that may pause and go on later (ASYNC_start_job(3), ASYNC_WAIT_CTX_new(3)). Knows nothing of TLS.

Any function can run as a job, and plain code at any depth inside it may pause:

    job = start_job(function, argument)
    while not job.done():
        ...                       # wait for job.wait_context, do something else
        job.resume()
    job.result()
"""

from __future__ import annotations

from caesura.errors import JobCancelled
from caesura.jobs.job import Job, JobState, block_pause, current_job, pause_job, start_job, unblock_pause
from caesura.jobs.pending import Completion, Pending
from caesura.jobs.pool import NoJobs, cleanup_thread, init_thread, is_capable
from caesura.jobs.wait import wait
from caesura.jobs.waitcontext import AsyncStatus, WaitContext
from caesura.jobs.wakeup import Wakeup

__all__ = [
    "AsyncStatus",
    "Completion",
    "Job",
    "JobCancelled",
    "JobState",
    "NoJobs",
    "Pending",
    "WaitContext",
    "Wakeup",
    "block_pause",
    "cleanup_thread",
    "current_job",
    "init_thread",
    "is_capable",
    "pause_job",
    "start_job",
    "unblock_pause",
    "wait",
]
