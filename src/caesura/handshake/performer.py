"""How work is handed to an engine, for a handshake and for records alike.

Asynchronous and blocking use are one path: work that is done at once never shows that it could have paused. Where the
connection may not pause (asynchronous mode is off, or the call itself runs inside somebody's job), the performer waits
for the work right here, in the latter case by pausing that job (ASYNC_start_job(3)).

Work that no engine wants and that only computes is done in the call itself. It never pauses, so that a job would buy
nothing, and costs four times what the rest of the request does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from caesura.context import Settings, TraceEvent
from caesura.crypto.signatures import LocalKey
from caesura.crypto.tickets import TicketKeys
from caesura.engines import InlineEngine, Operation, Work
from caesura.errors import JobCancelled, LocalAlert, OperationFailed, OperationTimeout, UsageError
from caesura.handshake.requests import Perform, PerformBoth
from caesura.jobs import Pending, WaitContext, current_job, wait
from caesura.jobs.pending import announce
from caesura.jobs.pool import need_job
from caesura.jobs.wakeup import report
from caesura.replay import ReplayCache
from caesura.sessions import ServerSessionCache, SessionCache

Awaiter = Callable[[Awaitable[Any]], Pending[Any]]

_INLINE: Final = InlineEngine()

_COMPUTED: Final = frozenset(
    {Operation.GENERATE_KEY, Operation.KEY_EXCHANGE, Operation.VERIFY_SIGNATURE, Operation.VERIFY_CHAIN}
)
"""Operations whose functions are always our own, and only compute."""

_RECORDS: Final = frozenset({Operation.SEAL_RECORD, Operation.OPEN_RECORD})

_COMPUTING: Final = frozenset({LocalKey, ReplayCache, ServerSessionCache, SessionCache, TicketKeys})
"""Classes of ours whose methods only compute, where a setting may bring others that pause."""

Waits = WaitContext | Callable[[], WaitContext] | None
"""What paused work waits with, or what makes that when somebody asks or some work may pause: most never does."""


class Performer:
    """Performs work for one connection: with its engine, its wait context, its deadline."""

    __slots__ = (
        "_async_mode", "_awaiter", "_computed", "_deadline", "_engine", "_operations", "_record_engine",
        "_server_side", "_wait_context", "limits", "trace", "waits_in_jobs",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        wait_context: Waits,
        awaiter: Awaiter | None,
        async_mode: bool,
        server_side: bool,
    ) -> None:
        self._record_engine = settings.engine
        self._awaiter = awaiter
        self._async_mode = async_mode
        self._wait_context = wait_context
        self._server_side = server_side
        self.limits = False  # whether any work has had a deadline
        self.waits_in_jobs = True  # what pauses within a job of the caller's pauses that job
        self.adopt(settings)

    def adopt(self, settings: Settings) -> None:
        """From now on do all work as these settings say, but records: they go where they went from the beginning."""
        engine = self._engine = settings.engine
        self._operations = frozenset() if type(engine) is InlineEngine else engine.operations
        self._computed = _COMPUTED - self._operations if self._operations else _COMPUTED
        self._deadline = settings.deadline
        self.trace = tracer(settings, self._server_side)

    @property
    def wait_context(self) -> WaitContext:
        """What paused work waits with: the one it was given, or one made when somebody asks or some work may pause."""
        found = self._wait_context
        if not isinstance(found, WaitContext):
            found = self._wait_context = WaitContext(owned=True) if found is None else found()
        return found

    def close(self) -> None:
        """There will be no work any more."""
        if not isinstance(self._wait_context, WaitContext):
            self._wait_context = None  # what would have made it holds on to whoever has the connection

    def takes(self, operation: Operation) -> bool:
        """Whether the engine lists this operation on records; they are sealed and opened inline unless it does."""
        return operation in self._record_engine.operations

    def perform(self, request: Perform[Any] | PerformBoth[Any, Any], now: float) -> Any:
        """The answer to the request, or the `Ongoing` that will have it.

        Raises what the work raised (see `outcome`), and NoJobs when it found no job: then nothing has happened.
        """
        if isinstance(request, Perform) and (request.operation in self._computed or self._only_computes(request)):
            return self._compute(request)
        deadline = None
        if self._deadline is not None:
            deadline = now + self._deadline
            self.limits = True
        if isinstance(request, Perform):
            pending = self._start(request, deadline)
            if pending.done():
                return self.outcome(request, pending.result)
            return Ongoing(self, request, ((request, pending),), deadline)
        if self._only_computes(request.first) and self._only_computes(request.second):
            return self._compute(request.first), self._compute(request.second)
        first = self._start(request.first, deadline)
        try:
            second = self._start(request.second, deadline)
        except BaseException:
            first.cancel()
            raise
        ongoing = Ongoing(self, request, ((request.first, first), (request.second, second)), deadline)
        answer = ongoing.answer()
        return ongoing if answer is NOT_YET else answer

    def outcome(self, request: Perform[Any], result_of: Callable[..., Any], *args: Any) -> Any:
        """What `result_of(*args)` returns. Verdicts it raises are raised as they are, the rest as OperationFailed."""
        try:
            result = result_of(*args)
        except (LocalAlert, OperationFailed, OperationTimeout, UsageError):
            self._tell("failed", request)
            raise
        except (Exception, JobCancelled) as error:  # cancelled by its engine: we would not have asked
            self._tell("failed", request)
            raise OperationFailed(f"{request.operation.name}: {type(error).__name__}: {error}") from error
        if self.trace is not None:
            self._tell("finished", request)
        return result

    def resume(self, request: Perform[Any], pending: Pending[Any]) -> None:
        """Let work that waits for this thread go on."""
        if self.trace is None:
            pending.resume()
        elif pending.resumable and not pending.done():
            self._tell("resumed", request)
            pending.resume()
            if not pending.done():
                self._tell("paused", request)

    def _only_computes(self, request: Perform[Any]) -> bool:
        """Whether the work never pauses, and no engine wants it."""
        operation = request.operation
        if operation in self._computed:
            return True
        return operation not in self._operations and type(getattr(request.function, "__self__", None)) in _COMPUTING

    def _compute(self, request: Perform[Any]) -> Any:
        if self._async_mode:
            need_job()  # without a free one an asynchronous call is to be repeated, whatever it has to do
        if self.trace is not None:
            self._tell("started", request)
        return self.outcome(request, request.function, *request.args)

    def _start(self, request: Perform[Any], deadline: float | None) -> Pending[Any]:
        operation = request.operation
        if operation in _RECORDS:
            engine = self._record_engine
        else:
            engine = self._engine if operation in self._operations else _INLINE
        caller = current_job() if self.waits_in_jobs else None
        wait_context = self.wait_context if caller is None else caller.wait_context
        if self.trace is not None:
            self._tell("started", request)
        pending: Pending[Any] = engine.start(
            Work(operation, request.function, request.args, wait_context, deadline, self._awaiter)
        )
        if pending.done():
            return pending
        if caller is not None or not self._async_mode:
            self._wait(pending)
        else:
            self._tell("paused", request)
            if not pending.resumable:
                announce(pending, self.wait_context)
        return pending

    def _wait(self, pending: Pending[Any]) -> None:
        try:
            wait(pending, self._deadline)
        except OperationTimeout:
            raise
        except Exception:  # noqa: BLE001, S110 - it has failed, and its result says how
            pass

    def _tell(self, kind: str, request: Perform[Any]) -> None:
        if self.trace is not None:
            self.trace(kind, request.operation.name, 0)


NOT_YET: Any = object()


class Ongoing:
    """Work under way: one piece, or two that do not depend on each other."""

    __slots__ = ("_performer", "_pieces", "_request", "_results", "deadline")

    def __init__(
        self,
        performer: Performer,
        request: Perform[Any] | PerformBoth[Any, Any],
        pieces: tuple[tuple[Perform[Any], Pending[Any]], ...],
        deadline: float | None,
    ) -> None:
        self._performer = performer
        self._request = request
        self._pieces = pieces
        self._results = [NOT_YET] * len(pieces)
        self.deadline = deadline

    def resume(self) -> None:
        """Let every piece that waits for this thread go on."""
        for request, pending in self._pieces:
            self._performer.resume(request, pending)

    def answer(self) -> Any:
        """The answer to the request, or NOT_YET. The first failure is raised, and cancels the rest."""
        if isinstance(self._request, Perform):
            pending = self._pieces[0][1]
            return self._performer.outcome(self._request, pending.result) if pending.done() else NOT_YET
        results = self._results
        for index, (request, pending) in enumerate(self._pieces):
            if results[index] is NOT_YET and pending.done():
                try:
                    results[index] = self._performer.outcome(request, pending.result)
                except BaseException:
                    self.cancel()
                    raise
        if any(result is NOT_YET for result in results):
            return NOT_YET
        return tuple(results)

    def expired(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and now >= self.deadline

    def timed_out(self) -> OperationTimeout:
        """Cancel what is under way; the error that says so."""
        missing = [request.operation.name for request, pending in self._pieces if not pending.done()]
        self.cancel()
        return OperationTimeout(f"{' and '.join(missing)} did not finish within the deadline")

    def cancel(self) -> None:
        """Drop what is not done; the engine hears of it and a late result goes nowhere."""
        for _request, pending in self._pieces:
            if not pending.done():
                try:
                    pending.cancel()
                except Exception as error:  # noqa: BLE001 - an engine that cannot let go must not keep us from doing so
                    report(error)


class Working:
    """A part of a connection that may have a piece of work under way (`_ongoing`)."""

    __slots__ = ("_ongoing",)

    _ongoing: Ongoing | None

    @property
    def paused(self) -> bool:
        """Whether work is under way, or waits behind such."""
        return self._ongoing is not None

    @property
    def deadline(self) -> float | None:
        """When the work under way must be done, on the clock of `now`; None when there is none."""
        return self._ongoing.deadline if self._ongoing is not None else None

    def resume(self) -> None:
        """Let work that waits for this thread go on; what came of it is taken by whoever goes on here."""
        if self._ongoing is not None:
            self._ongoing.resume()

    def expire(self, now: float) -> None:
        """Raise OperationTimeout when the work under way is overdue."""
        if self._ongoing is not None and self._ongoing.expired(now):
            ongoing, self._ongoing = self._ongoing, None
            raise ongoing.timed_out()

    def _cancel(self) -> None:
        """Drop the work under way."""
        ongoing, self._ongoing = self._ongoing, None
        if ongoing is not None:
            ongoing.cancel()


def tracer(settings: Settings, server_side: bool) -> Callable[[str, str, int], object] | None:
    """What tells the context's `trace` of a kind, a name and a size; None when nobody listens."""
    trace = settings.trace
    if trace is None:
        return None

    def tell(kind: str, name: str, size: int) -> None:
        try:
            trace(TraceEvent(settings.clock.monotonic(), server_side, kind, name, size))
        except Exception as error:  # noqa: BLE001 - it looks on, and must not decide what becomes of a connection
            report(error)

    return tell
