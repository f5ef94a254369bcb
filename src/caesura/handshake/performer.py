"""How work is handed to an engine, for a handshake and for records alike.

Asynchronous and blocking use are one path: work that is done at once never shows that it could have paused. Where the
connection may not pause (asynchronous mode is off, or the call itself runs inside somebody's job), the performer waits
for the work right here, in the latter case by pausing that job (contract: ASYNC_start_job(3), nesting).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from caesura.context import Settings, TraceEvent
from caesura.engines import InlineEngine, Operation, Work
from caesura.errors import JobCancelled, LocalAlert, OperationFailed, OperationTimeout, UsageError
from caesura.handshake.requests import Perform
from caesura.jobs import Pending, WaitContext, current_job, wait

Awaiter = Callable[[Awaitable[Any]], Pending[Any]]

_INLINE = InlineEngine()


class Performer:
    """Starts work for one connection: its engine, its wait context, its deadline."""

    __slots__ = ("_async_mode", "_awaiter", "_server_side", "_settings", "wait_context")

    def __init__(
        self,
        settings: Settings,
        wait_context: WaitContext,
        awaiter: Awaiter | None,
        async_mode: bool,
        server_side: bool,
    ) -> None:
        self._settings = settings
        self._awaiter = awaiter
        self._async_mode = async_mode
        self._server_side = server_side
        self.wait_context = wait_context

    def takes(self, operation: Operation) -> bool:
        """Whether the engine lists this operation; records are sealed and opened inline unless it does."""
        return operation in self._settings.engine.operations

    def start(self, requests: Sequence[Perform[Any]], now: float) -> Ongoing:
        """Start all of them. Raises NoJobs when the first found no job; then nothing has happened."""
        deadline = None if self._settings.deadline is None else now + self._settings.deadline
        ongoing = Ongoing(self, requests, deadline)
        try:
            for request in requests:
                ongoing.pendings.append(self._start(request, deadline))
        except BaseException:
            ongoing.cancel()
            raise
        return ongoing

    def _start(self, request: Perform[Any], deadline: float | None) -> Pending[Any]:
        engine = self._settings.engine if self.takes(request.operation) else _INLINE
        caller = current_job()
        wait_context = self.wait_context if caller is None else caller.wait_context
        work: Work[Any] = Work(request.operation, request.function, request.args, wait_context, deadline, self._awaiter)
        self.trace("started", request.operation.name)
        pending = engine.start(work)
        if pending.done():
            return pending
        if caller is not None or not self._async_mode:
            self._wait(pending)
        else:
            self.trace("paused", request.operation.name)
            if not pending.resumable:
                pending.on_done(self._notify)
        return pending

    def _wait(self, pending: Pending[Any]) -> None:
        try:
            wait(pending, self._settings.deadline)
        except OperationTimeout:
            raise
        except Exception:  # noqa: BLE001, S110 - it has failed, and its result says how
            pass

    def _notify(self, _pending: Pending[Any]) -> None:
        self.wait_context.notify()

    def trace(self, kind: str, name: str, size: int = 0) -> None:
        """Tell the context's `trace` what happened."""
        trace = self._settings.trace
        if trace is not None:
            trace(TraceEvent(self._settings.clock.monotonic(), self._server_side, kind, name, size))


class Ongoing:
    """Work under way: one request, or two that do not depend on each other."""

    __slots__ = ("_performer", "_requests", "deadline", "pendings")

    def __init__(self, performer: Performer, requests: Sequence[Perform[Any]], deadline: float | None) -> None:
        self._performer = performer
        self._requests = requests
        self.deadline = deadline
        self.pendings: list[Pending[Any]] = []

    def resume(self) -> None:
        """Let every piece that waits for this thread go on."""
        for pending, request in zip(self.pendings, self._requests, strict=True):
            if not pending.done() and pending.resumable:
                self._performer.trace("resumed", request.operation.name)
                pending.resume()
                if not pending.done():
                    self._performer.trace("paused", request.operation.name)

    def results(self) -> list[Any] | None:
        """Every result, or None while one is missing. The first failure is raised, and cancels the rest."""
        results = []
        waiting = False
        for pending, request in zip(self.pendings, self._requests, strict=True):
            if not pending.done():
                waiting = True
                continue
            try:
                results.append(pending.result())
            except (LocalAlert, OperationFailed, OperationTimeout, UsageError):
                self._failed(request)
                raise
            except (Exception, JobCancelled) as error:  # cancelled by its engine: we would not have asked
                self._failed(request)
                raise OperationFailed(f"{request.operation.name}: {type(error).__name__}: {error}") from error
        if waiting:
            return None
        for request in self._requests:
            self._performer.trace("finished", request.operation.name)
        return results

    def _failed(self, request: Perform[Any]) -> None:
        self._performer.trace("failed", request.operation.name)
        self.cancel()

    def expired(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and now >= self.deadline

    def timed_out(self) -> OperationTimeout:
        """Cancel what is under way; the error that says so."""
        missing = [r.operation.name for r, p in zip(self._requests, self.pendings, strict=True) if not p.done()]
        self.cancel()
        return OperationTimeout(f"{' and '.join(missing)} did not finish within the deadline")

    def cancel(self) -> None:
        """Drop what is not done; the engine hears of it and a late result goes nowhere."""
        for pending in self.pendings:
            if not pending.done():
                pending.cancel()
