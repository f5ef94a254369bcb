"""The engine for tests and demonstrations: every operation really pauses before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from caesura.engines.base import HANDSHAKE_OPERATIONS, Engine, Operation, Refused, Work
from caesura.engines.inline import InlineEngine
from caesura.errors import ConfigError
from caesura.jobs import AsyncStatus, Completion, Job, Pending, start_job, wait
from caesura.jobs.wait import ring_later

__all__ = ["DelayEngine"]

T = TypeVar("T")

Failure: TypeAlias = BaseException | Callable[[Work[Any]], BaseException | None]


class DelayEngine:
    """Lets each operation wait for `seconds`, then has it done by the engine `inner`.

    The wait is a paused job: its wait context gets a descriptor that becomes readable, or its callback is called. With
    `seconds=None` nothing goes on until `release()` says so, and `waiting` shows what waits.

    For what can go wrong: the first `refuse` offers are refused (status `EAGAIN`, the callback is called at once), and
    `fail` is raised instead of doing the work: an exception, or a function of the work that returns one or None.
    """

    __slots__ = ("_fail", "_held", "_refuse", "inner", "operations", "seconds")

    def __init__(
        self,
        seconds: float | None,
        inner: Engine | None = None,
        *,
        operations: Iterable[Operation] | None = None,
        refuse: int = 0,
        fail: Failure | None = None,
    ) -> None:
        if seconds is not None and seconds < 0:
            raise ConfigError("seconds: 0 or more, or None to wait for release()")
        if refuse < 0:
            raise ConfigError("refuse: 0 or more times")
        self.seconds = seconds
        self.inner: Engine = InlineEngine() if inner is None else inner
        self.operations = HANDSHAKE_OPERATIONS if operations is None else frozenset(operations)
        self._refuse = refuse
        self._fail = fail
        self._held: list[tuple[Work[Any], Completion[None]]] = []

    @property
    def waiting(self) -> list[Work[Any]]:
        """The work that waits for `release()`, the oldest first."""
        return [work for work, _ in self._held]

    def release(self, n: int = 1) -> None:
        """Let the `n` oldest pieces of waiting work go on, or as many as there are."""
        released, self._held[:n] = self._held[:n], []
        for _, held in released:
            held.set_result(None)

    def start(self, work: Work[T]) -> Pending[T]:
        """The paused job, or the refusal."""
        if self._refuse == 0:
            return self._begin(work)
        refused = Refused(work, self._offer)
        refused.resume()
        return refused

    def _begin(self, work: Work[T]) -> Job[T]:
        return start_job(self._run, work, wait_context=work.wait_context)

    def _offer(self, work: Work[T]) -> Job[T] | None:
        if self._refuse == 0:
            return self._begin(work)
        self._refuse -= 1
        if work.wait_context is not None:
            work.wait_context.notify(AsyncStatus.EAGAIN)
        return None

    def _run(self, work: Work[T]) -> T:
        wait(self._delay(work))
        failure = self._fail(work) if callable(self._fail) else self._fail
        if failure is not None:
            if work.wait_context is not None:
                work.wait_context.set_status(AsyncStatus.ERR)
            raise failure
        # Inline is here: this is a job with the work's wait context, as the inline engine would start one.
        return work.run() if type(self.inner) is InlineEngine else wait(self.inner.start(work))

    def _delay(self, work: Work[Any]) -> Completion[None]:
        if self.seconds is None:
            held: Completion[None] = Completion(lambda: self._held.remove(entry))
            entry = (work, held)
            self._held.append(entry)
            return held
        timed: Completion[None] = Completion(lambda: timer.cancel())
        timer = ring_later(work.wait_context, self.seconds, lambda: timed.set_result(None))
        return timed
