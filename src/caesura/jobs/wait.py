"""Waiting for work: a job pauses, anything else blocks its thread (what ASYNC_pause_job(3) leaves to its caller)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar, cast

from caesura.errors import OperationTimeout, UsageError
from caesura.jobs.job import can_pause, current_job, nobody_blocks, pause_job
from caesura.jobs.pending import Condition, Pending
from caesura.jobs.waitcontext import AsyncStatus, Cancellable, WaitContext
from caesura.jobs.wakeup import Wakeup, call_later, loop_future, monotonic, wait_readable

__all__ = ["BackOff", "ring_later", "wait", "wait_once"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_AT_FIRST: Final = 0.0001  # seconds until paused work that names no descriptor is tried again
_AT_LAST: Final = 0.05  # … and at most until anything is


class FutureLike(Protocol[T_co]):
    """What `concurrent.futures.Future` and `asyncio.Future` have in common."""

    def done(self) -> bool: ...
    def result(self) -> T_co: ...
    def cancel(self) -> bool: ...
    def add_done_callback(self, callback: Callable[[Any], object], /) -> None: ...


def wait(pending: Pending[T] | FutureLike[T] | Awaitable[T], timeout: float | None = None) -> T:
    """The result of `pending`, waited for; raises what the work raised.

    Inside a job this pauses the job until the work is done. Outside one, and while pauses are blocked, it blocks the
    thread. `pending` may be a `Pending`, a `concurrent.futures.Future`, or, inside a job of an asyncio program, any
    awaitable. After `timeout` seconds the work is cancelled and `OperationTimeout` raised; it is cancelled too when
    this job is, or when the wait is interrupted.
    """
    work = _as_pending(pending)
    if not work.done():
        try:
            if can_pause():
                _pause(work, timeout)
            else:
                _block(work, timeout)
        except UsageError:
            raise  # it cannot be waited for here, which is not its fault
        except BaseException:
            work.cancel()
            raise
    return cast("T", work.result())


def wait_once(context: WaitContext, timeout: float | None = None) -> None:
    """Wait until `context` has been told, or a descriptor in it is readable, or so many seconds have passed.

    It may be for nothing: inside a job, whoever resumes it means that something may have happened.
    """
    with suppress(OperationTimeout):
        wait(_Round(context), timeout)


class _Round(Condition):
    """Over when its wait context has been told, or a descriptor in it."""

    __slots__ = ("_left",)

    def __init__(self, context: WaitContext) -> None:
        super().__init__(context)
        self._left = 1 if can_pause() else 2  # a thread that blocks looks once before it does

    def done(self) -> bool:
        return self._left <= 0

    def resume(self) -> None:
        self._left -= 2 if self._context.signalled else 1


# --- inside a job -----------------------------------------------------------------------------------------------------


def _pause(work: Pending[Any], timeout: float | None) -> None:
    """Pause the current job until the work is done."""
    job = current_job()
    assert job is not None
    context = job.wait_context
    assert context is not None
    del job  # a paused fiber must not hold its job
    if timeout is None and not work.resumable:
        _pause_until_told(work, context)
        return
    waiting = _Waiting(context, work, timeout)
    try:
        while not work.done():
            waiting.show()
            pause_job()
            if not context.owned:
                context.drain()
            waiting.go_on()
    finally:
        waiting.end()


def _pause_until_told(work: Pending[Any], context: WaitContext) -> None:
    """The work ends by itself, and nothing limits the wait: all that `_Waiting` would do in this case."""
    waits = True

    def done(_: Pending[Any]) -> None:
        if waits:
            context.notify()

    context.arm()
    try:
        work.on_done(done)
        while not work.done():
            pause_job()
            if not context.owned:
                context.drain()
    finally:
        waits = False
        context.disarm()


def ring_later(context: WaitContext | None, seconds: float, function: Callable[[], object]) -> Cancellable:
    """Call `function` after so many seconds, for work that waits with `context`.

    An event loop's timers ring on its own thread, at a tenth of what a switch of threads costs; but not while that
    thread is blocked, as it is when somebody around this job waits for it without pausing.
    """
    timers = call_later if context is None or not nobody_blocks() else context.call_later
    return timers(seconds, function)


class _Waiting:
    """What makes the application resume a job that waits for some work.

    Work that ends by itself notifies the job's wait context. Work that must be resumed is in the same position as the
    job: what it waits with is shown in the job's wait context, so that the application waits with it too.
    """

    __slots__ = ("_armed", "_before", "_context", "_inner", "_late", "_ours", "_shown", "_timer", "_work")

    def __init__(self, context: WaitContext, work: Pending[Any], timeout: float | None) -> None:
        inner = work.wait_context if work.resumable else None
        self._context = context
        self._work = work
        self._inner = None if inner is context else inner
        self._before = None if self._inner is None else self._inner.listen(context.notify)
        self._shown: tuple[Any, ...] = ()
        self._armed = False
        self._ours = False  # while true, what happens to the work is our own doing
        self._late = False
        self._timer = None if timeout is None else ring_later(context, timeout, self._expired)
        work.on_done(self._done)
        if self._inner is not None and self._inner.signalled:
            context.notify()  # it was told before we listened

    def show(self) -> None:
        """Bring the job's wait context up to date before the job pauses."""
        inner = self._inner
        entries = () if inner is None else inner.foreign()
        for entry in self._shown:
            if entry not in entries:
                self._context.clear_fd(entry)
        for entry in reversed(entries):
            if entry not in self._shown:
                self._context.set_wait_fd(entry, entry.fd)  # the entry is its own key: nobody else has it
        self._shown = entries
        # A promise only where somebody will keep it: the application polls what has neither that nor descriptors.
        self._arm(
            not self._work.resumable
            or (inner is not None and inner.armed)
            or (self._timer is not None and entries != ())
        )

    def go_on(self) -> None:
        """The job has been resumed: let the work go on, unless its time is over."""
        if self._work.resumable:
            self._ours = True
            self._work.resume()
            self._ours = False
        if self._late and not self._work.done():
            raise OperationTimeout("the work was not done in time")

    def end(self) -> None:
        """Leave the wait context as it was."""
        self._ours = True
        self._arm(False)
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.listen(self._before)
            for entry in self._shown:
                self._context.clear_fd(entry)

    def _arm(self, wanted: bool) -> None:
        if wanted != self._armed:
            self._armed = wanted
            if wanted:
                self._context.arm()
            else:
                self._context.disarm()

    def _done(self, _: Pending[Any]) -> None:
        if not self._ours:
            self._context.notify()

    def _expired(self) -> None:
        self._late = True
        self._context.notify()


# --- outside a job ----------------------------------------------------------------------------------------------------


def _block(work: Pending[Any], timeout: float | None) -> None:
    """Block the thread until the work is done, resuming what only moves when it is resumed."""
    deadline = None if timeout is None else monotonic() + timeout
    context = work.wait_context if work.resumable else None
    back_off = BackOff(_AT_FIRST)
    with Wakeup() as wakeup:
        before = None if context is None else context.listen(wakeup.set)
        work.on_done(lambda _: wakeup.set())
        try:
            while True:
                wakeup.clear()
                if work.resumable:
                    work.resume()  # the first time too: it may have been told to go on before we listened
                if work.done():
                    return
                pause = None
                if work.resumable and not _will_tell(context):
                    pause = back_off.next()
                if deadline is not None:
                    left = deadline - monotonic()
                    if left <= 0:
                        raise OperationTimeout("the work was not done in time")
                    pause = left if pause is None else min(pause, left)
                fds = () if context is None else context.foreign()
                wait_readable([wakeup.fileno(), *(entry.fd for entry in fds)], pause)
        finally:
            if context is not None:
                context.listen(before)


def _will_tell(context: WaitContext | None) -> bool:
    """Whether paused work says when it may go on; otherwise it is tried again from time to time."""
    return (
        context is not None
        and (context.armed or context.foreign() != ())
        and context.get_status() != AsyncStatus.EAGAIN  # refused: to be tried again anyway
    )


class BackOff:
    """How long until something is looked at again that tells nobody when it should be: longer each time."""

    __slots__ = ("_seconds",)

    def __init__(self, first: float) -> None:
        self._seconds = first

    def next(self) -> float:
        """So many seconds this time."""
        seconds = self._seconds
        self._seconds = min(2 * seconds, _AT_LAST)
        return seconds


# --- what is no Pending yet -------------------------------------------------------------------------------------------


class _Future(Pending[T]):
    """A future of the standard library as a `Pending`."""

    __slots__ = ("_future",)

    def __init__(self, future: FutureLike[T]) -> None:
        self._future = future

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> T:
        return self._future.result()

    def cancel(self) -> None:
        self._future.cancel()

    def on_done(self, callback: Callable[[Pending[T]], object]) -> None:
        self._future.add_done_callback(lambda _: callback(self))


def _as_pending(thing: Any) -> Pending[Any]:
    if isinstance(thing, Pending):
        return thing
    if hasattr(thing, "__await__"):
        if not can_pause():
            raise UsageError("an awaitable can only be waited for inside a job; anywhere else it must be awaited")
        return _Future(loop_future(thing))
    if hasattr(thing, "add_done_callback"):
        return _Future(thing)
    raise UsageError(f"cannot wait for {type(thing).__name__}: it is neither pending work, nor a future, nor awaitable")
