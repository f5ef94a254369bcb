"""Jobs: calls that may pause at any depth and go on later (ASYNC_start_job(3)).

A job runs on a fiber of its thread's pool. Starting and resuming switch to that fiber; `pause_job` and the end of the
function switch back to whoever did. That is a job's whole life, and both directions are kept short because it is the
price of every operation.

Whoever holds the handle may resume or cancel; cancelling is resuming with an error that rises at the pause. A handle
that is dropped while the job is paused cancels it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from enum import Enum, unique
from typing import Any, ClassVar, TypeVar

from caesura.errors import JobCancelled, UsageError
from caesura.jobs.pending import Pending, tell
from caesura.jobs.pool import Fiber, GreenletError, getcurrent, thread
from caesura.jobs.waitcontext import WaitContext
from caesura.jobs.wakeup import Lock, thread_id

__all__ = ["Job", "JobState", "block_pause", "can_pause", "current_job", "pause_job", "start_job", "unblock_pause"]

T = TypeVar("T")

_lock = Lock()  # for what is rare: who listens to a job, and a wait context made on demand


@unique
class JobState(Enum):
    """Where a job stands."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Pending[T]):
    """A call that may pause; made by `start_job` (ASYNC_JOB)."""

    __slots__ = ("_callbacks", "_error", "_fiber", "_value", "_wait_context")

    resumable: ClassVar[bool] = True

    _fiber: Fiber | None  # None once the job has ended
    _wait_context: WaitContext | None
    _value: T
    _error: BaseException | None  # what it ended with; before that: a JobCancelled if it is to be cancelled
    _callbacks: list[Callable[[Pending[T]], object]] | None

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        if self._fiber is not None:
            return JobState.PAUSED if self._fiber.job is None else JobState.RUNNING
        if self._error is None:
            return JobState.FINISHED
        return JobState.CANCELLED if isinstance(self._error, JobCancelled) else JobState.FAILED

    @property
    def wait_context(self) -> WaitContext | None:
        """The wait context it was started with, or one of its own (ASYNC_get_wait_ctx(3)).

        None once the job has ended: the link is cut then.
        """
        if self._wait_context is None and self._fiber is not None:
            with _lock:
                if self._wait_context is None:
                    self._wait_context = WaitContext()
        return self._wait_context

    def done(self) -> bool:
        """Whether it has ended: finished, failed or cancelled."""
        return self._fiber is None

    def result(self) -> T:
        """What the function returned; raises what it raised, `JobCancelled`, or `UsageError` before the end."""
        if self._fiber is not None:
            raise UsageError("the result of a job was asked for before the job had ended")
        if self._error is not None:
            raise self._error
        return self._value

    def resume(self) -> None:
        """Go on after the pause, on this thread, until the next pause or the end (ASYNC_start_job(3) with a job).

        Nothing happens when the job has ended. Raises `UsageError` while it runs, and on any thread but the one that
        started it.
        """
        fiber = self._fiber
        if fiber is None:
            return
        if fiber.job is not None:
            raise UsageError("a job that is running cannot be resumed")
        try:
            fiber.switch(getcurrent(), self)
        except GreenletError:
            raise UsageError("a job can only be resumed on the thread that started it") from None
        if self._fiber is None:
            fiber.pool.idle.append(fiber)
            if self._error is not None or self._callbacks is not None:
                self._ended()

    def cancel(self) -> None:
        """Raise `JobCancelled` where the job is paused, and at each further pause, so that it ends now.

        A job that runs meets it at its next pause. On another thread than the job's own: the job is marked and its
        wait context notified; it is unwound when its own thread resumes it.
        """
        fiber = self._fiber
        if fiber is None:
            return
        if self._error is None:
            self._error = JobCancelled("the job was cancelled")
        if fiber.pool.thread != thread_id():
            # Also when it runs: it may be about to pause, and not have seen the mark.
            if self._wait_context is not None:
                self._wait_context.notify()
        elif fiber.job is None:
            self.resume()

    def on_done(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call `callback(self)` once, when the job has ended; it runs on the job's thread, or on this one if it has."""
        with _lock:
            self._callbacks = [*(self._callbacks or ()), callback]
        if self._fiber is None:
            self._tell()

    def finish(self, value: T) -> None:
        """The function has returned (called by the fiber)."""
        self._value = value
        self._wait_context = None
        self._fiber = None

    def fail(self, error: BaseException) -> None:
        """The function has raised, or returned after it was cancelled (called by the fiber)."""
        cancelled = self._error
        if cancelled is None:
            self._error = error
        elif error is not cancelled:
            cancelled.__cause__ = error
        self._wait_context = None
        self._fiber = None

    def _ended(self) -> None:
        self._tell()
        if isinstance(self._error, (KeyboardInterrupt, SystemExit)):
            raise self._error  # meant for the program, whoever asks for the result of the job, if anybody

    def _tell(self) -> None:
        with _lock:
            callbacks, self._callbacks = self._callbacks, None
        tell(self, callbacks or [])

    def __del__(self) -> None:
        if self._fiber is not None:
            self._fiber.pool.forget(self)

    def __repr__(self) -> str:
        return f"<Job {self.state.value}>"


def start_job(function: Callable[..., T], *args: Any, wait_context: WaitContext | None = None) -> Job[T]:
    """Run `function(*args)` as a job until it ends or pauses, and hand back the job (ASYNC_start_job(3)).

    The starter's context variables are visible to the function; what it changes stays its own. An exception of the
    function belongs to `result()`. Raises `NoJobs` when the thread's pool is exhausted. Jobs may start jobs.
    """
    pool = thread.pool
    fiber = pool.idle.pop() if pool.idle else pool.grow()
    job: Job[T] = Job()
    job._fiber = fiber
    job._wait_context = wait_context
    job._error = job._callbacks = None
    fiber.switch(getcurrent(), job, function, args, copy_context())
    if job._fiber is None:
        fiber.pool.idle.append(fiber)
        if job._error is not None or job._callbacks is not None:
            job._ended()
    return job


def pause_job() -> None:
    """Give control back to whoever started or resumed this job, until it is resumed (ASYNC_pause_job(3)).

    Returns at once outside a job and while pauses are blocked. Raises `JobCancelled` if the job has been cancelled.
    """
    fiber = getcurrent()
    if type(fiber) is not Fiber or fiber.blocked:
        return
    if fiber.job._error is not None:
        raise fiber.job._error
    context = fiber.job._wait_context
    if context is not None and not context.owned:
        context.mark()
    fiber.job = None
    fiber.caller, fiber.job = fiber.caller.switch()
    if context is not None and not context.owned:
        context.reset()
    if fiber.job._error is not None:
        raise fiber.job._error


def current_job() -> Job[Any] | None:
    """The job this code runs in, or None (ASYNC_get_current_job(3)).

    Do not keep it in a local variable across a pause: the job would hold itself, and could be forgotten without being
    cancelled. Its wait context may be kept.
    """
    fiber = getcurrent()
    return fiber.job if type(fiber) is Fiber else None


def can_pause() -> bool:
    """Whether `pause_job` would pause: inside a job, while pauses are not blocked."""
    fiber = getcurrent()
    return type(fiber) is Fiber and not fiber.blocked


def nobody_blocks() -> bool:
    """Whether this job and all that it runs in can pause, so that its thread is not blocked until it has ended."""
    fiber = getcurrent()
    while type(fiber) is Fiber:
        if fiber.blocked:
            return False
        fiber = fiber.caller
    return True


def block_pause() -> None:
    """Until the matching `unblock_pause`, pauses of this job return at once (ASYNC_block_pause(3)).

    For code that holds a lock. Calls nest; the count belongs to the job and ends with it. Outside a job: nothing.
    """
    fiber = getcurrent()
    if type(fiber) is Fiber:
        fiber.blocked += 1


def unblock_pause() -> None:
    """Undo one `block_pause`; one too many is ignored (ASYNC_unblock_pause(3))."""
    fiber = getcurrent()
    if type(fiber) is Fiber and fiber.blocked:
        fiber.blocked -= 1
