"""Work that is not done yet: what everybody waits for, a settable kind of it, and a kind that is looked at.

A job, a thread's answer and a remote request are all a `Pending`. Nothing here waits: see `wait`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, cast

from caesura.errors import JobCancelled, UsageError
from caesura.jobs.waitcontext import AsyncStatus, WaitContext
from caesura.jobs.wakeup import Lock, report

__all__ = ["Completion", "Condition", "Pending", "announce", "tell"]

T = TypeVar("T")


class Pending(ABC, Generic[T]):
    """Work that is not done yet."""

    __slots__ = ()

    resumable: ClassVar[bool] = False
    """True: it only moves when `resume()` is called on its own thread. False: it ends by itself and says so."""

    @property
    def wait_context(self) -> WaitContext | None:
        """What a resumable one waits with between its resumes, if anything."""
        return None

    @abstractmethod
    def done(self) -> bool:
        """Whether it has ended: finished, failed or cancelled."""

    @abstractmethod
    def result(self) -> T:
        """What the work returned; raises what it raised, `JobCancelled`, or `UsageError` while it is not done."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask the work to stop; what it still brings is discarded. Nothing happens when it is done."""

    @abstractmethod
    def on_done(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call `callback(self)` once when it is done: at once if it is, else perhaps on another thread."""

    def resume(self) -> None:
        """Let the work go on, if it is this thread that it waits for."""


def tell(pending: Pending[T], callbacks: list[Callable[[Pending[T]], object]]) -> None:
    """Run the callbacks of work that is done. One that raises is reported, and the others hear of it all the same."""
    for callback in callbacks:
        try:
            callback(pending)
        except Exception as error:  # noqa: BLE001
            report(error)


def announce(pending: Pending[Any], context: WaitContext) -> None:
    """Have `context` armed until the work is done, and then notified: `OK`, or `ERR` if it failed.

    For work that is not `resumable`: what is resumed has ended when `resume()` returns, and nobody need be told.
    """

    def done(_: Pending[Any]) -> None:
        try:
            pending.result()
        except BaseException:  # noqa: BLE001 - it will be raised where the result is asked for
            context.notify(AsyncStatus.ERR)
        else:
            context.notify()
        context.disarm()

    context.arm()
    pending.on_done(done)


class Completion(Pending[T]):
    """A `Pending` that whoever does the work settles, from any thread, once.

    The first of `set_result`, `set_exception` and `cancel` counts; what comes later is discarded, which is why the two
    setters say whether they were in time. `on_cancel()` is called when it is cancelled: stop the work there.
    """

    __slots__ = ("_callbacks", "_done", "_error", "_lock", "_on_cancel", "_value")

    def __init__(self, on_cancel: Callable[[], object] | None = None) -> None:
        self._lock = Lock()
        self._done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Pending[T]], object]] = []
        self._on_cancel = on_cancel

    def done(self) -> bool:
        """Whether it has been settled."""
        return self._done

    def result(self) -> T:
        """The value that was set; raises the exception that was set, `JobCancelled`, or `UsageError` while not done."""
        if not self._done:
            raise UsageError("the result was asked for before the work was done")
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def set_result(self, value: T) -> bool:
        """The work is done; false if that comes too late."""
        return self._settle(value, None)

    def set_exception(self, error: BaseException) -> bool:
        """The work failed; false if that comes too late."""
        return self._settle(None, error)

    def cancel(self) -> None:
        """Discard the work: `on_cancel` is called, and `result()` raises `JobCancelled`."""
        on_cancel = self._on_cancel
        if self._settle(None, JobCancelled()) and on_cancel is not None:
            on_cancel()

    def on_done(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call `callback(self)` once when it is settled: at once if it is, else on the thread that settles it."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        tell(self, [callback])

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        with self._lock:
            if self._done:
                return False
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._on_cancel = None
        tell(self, callbacks)
        return True


class Condition(Pending[None]):
    """Something that comes true where somebody looks, waited for with `context`. There is no result.

    A subclass says in `done` when that is, and in `resume` what a look does. Who no longer waits has stopped nothing.
    """

    __slots__ = ("_context",)

    resumable = True

    def __init__(self, context: WaitContext) -> None:
        self._context = context

    @property
    def wait_context(self) -> WaitContext:
        """What tells that a look may be worth it."""
        return self._context

    def result(self) -> None:
        """Nothing."""

    def cancel(self) -> None:
        """Nobody waits for it any more."""

    def on_done(self, callback: Callable[[Pending[None]], object]) -> None:
        """Nobody is told: it ends in `resume`, where whoever waits for it looks."""
