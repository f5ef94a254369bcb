"""Waiting for work: a job pauses, anything else blocks its thread (what ASYNC_pause_job(3) leaves to its caller)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from caesura.errors import OperationTimeout, UsageError
from caesura.jobs.job import can_pause, current_job, pause_job
from caesura.jobs.pending import Pending
from caesura.jobs.waitcontext import AsyncStatus, WaitContext
from caesura.jobs.wakeup import Wakeup, call_later, loop_future, monotonic, wait_readable

__all__ = ["wait"]

T = TypeVar("T")

_FIRST_POLL: Final = 0.0001  # seconds until paused work that names no descriptor is tried again, doubled each time
_LAST_POLL: Final = 0.05


class FutureLike(Protocol[T]):
    """What `concurrent.futures.Future` and `asyncio.Future` have in common."""

    def done(self) -> bool: ...  # noqa: D102
    def result(self) -> T: ...  # noqa: D102
    def cancel(self) -> bool: ...  # noqa: D102
    def add_done_callback(self, callback: Callable[[Any], object], /) -> None: ...  # noqa: D102


def wait(pending: Pending[T] | FutureLike[T] | Awaitable[T], timeout: float | None = None) -> T:
    """The result of `pending`, waited for; raises what the work raised.

    Inside a job this pauses the job until the work is done. Outside one, and while pauses are blocked, it blocks the
    thread. `pending` may be a `Pending`, a `concurrent.futures.Future`, or, inside a job of an asyncio program, any
    awaitable. After `timeout` seconds the work is cancelled and `OperationTimeout` raised; it is cancelled too when this
    job is, or the wait is interrupted.
    """
    work = _as_pending(pending)
    if not work.done():
        if can_pause():
            _pause(work, timeout)
        else:
            _block(work, timeout)
    return work.result()


def _pause(work: Pending[Any], timeout: float | None) -> None:
    """Pause the current job until the work is done. No local holds the job: see `Fiber`."""
    context = _current_context()
    inner = work.wait_context if work.resumable else None
    if inner is context:
        inner = None
    borrowed = _Borrowed(context, inner)
    late = Wakeup()
    timer = None if timeout is None else call_later(timeout, lambda: (late.set(), context.notify()))
    work.on_done(lambda _: context.notify())
    try:
        while not work.done():
            borrowed.update()
            if context.get_callback() is None and (not work.resumable or (inner is not None and inner.armed)):
                context.arm()
            pause_job()
            if not context.owned:
                context.drain()
            if work.resumable:
                work.resume()
            if late.is_set() and not work.done():
                raise OperationTimeout("the work was not done in time")
    except UsageError:
        raise
    except BaseException:
        work.cancel()
        raise
    finally:
        borrowed.give_back()
        if timer is not None:
            timer.cancel()


def _current_context() -> WaitContext:
    return cast("WaitContext", cast("Any", current_job()).wait_context)


class _Borrowed:
    """The descriptors of paused work, shown in the wait context of the job that waits for it."""

    def __init__(self, context: WaitContext, inner: WaitContext | None) -> None:
        self._context = context
        self._inner = inner
        self._shown: tuple[Any, ...] = ()
        self._before = None if inner is None else inner.listen(context.notify)

    def update(self) -> None:
        entries = () if self._inner is None else self._inner.foreign()
        for entry in self._shown:
            if entry not in entries:
                self._context.clear_fd(entry)
        for entry in reversed(entries):
            if entry not in self._shown:
                self._context.set_wait_fd(entry, entry.fd)
        self._shown = entries

    def give_back(self) -> None:
        if self._inner is not None:
            self._inner.listen(self._before)
            for entry in self._shown:
                self._context.clear_fd(entry)


def _block(work: Pending[Any], timeout: float | None) -> None:
    """Block the thread until the work is done, resuming what only moves when it is resumed."""
    deadline = None if timeout is None else monotonic() + timeout
    poll = _FIRST_POLL
    with Wakeup() as wakeup:
        context = work.wait_context if work.resumable else None
        before = None if context is None else context.listen(wakeup.set)
        if context is not None and context.signalled:
            wakeup.set()
        work.on_done(lambda _: wakeup.set())
        try:
            while not work.done():
                fds = [] if context is None else [entry.fd for entry in context.foreign()]
                pause = None
                if work.resumable and (
                    context is None or not (fds or context.armed) or context.get_status() == AsyncStatus.EAGAIN
                ):
                    pause, poll = poll, min(2 * poll, _LAST_POLL)
                if deadline is not None:
                    left = deadline - monotonic()
                    if left <= 0:
                        raise OperationTimeout("the work was not done in time")
                    pause = left if pause is None else min(pause, left)
                wait_readable([wakeup.fileno(), *fds], pause)
                wakeup.clear()
                if work.resumable:
                    work.resume()
        except UsageError:
            raise
        except BaseException:
            work.cancel()
            raise
        finally:
            if context is not None:
                context.listen(before)


class _Future(Pending[T], Generic[T]):
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
