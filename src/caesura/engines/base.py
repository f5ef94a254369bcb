"""What an engine is: operations, the work they make, and where it may run.

An engine takes a piece of `Work` and hands back a `Pending`. What the work calls (a key, a callback) is plain code: it
returns a value, a `Pending` or an awaitable, or stops at any depth with `jobs.pause_job()`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar, cast

from caesura.errors import UsageError
from caesura.jobs import AsyncStatus, Completion, NoJobs, Pending, WaitContext, wait
from caesura.jobs.pending import announce
from caesura.wire.registries import SignatureScheme

__all__ = ["ALL_OPERATIONS", "HANDSHAKE_OPERATIONS", "Answer", "Engine", "Operation", "PrivateKey", "Refused", "Work"]

T = TypeVar("T")

Answer: TypeAlias = T | Awaitable[T] | Pending[T]
"""What a key or a callback may return: the value, or something that will bring it."""


@unique
class Operation(Enum):
    """What a piece of work is."""

    SIGN = "sign"
    KEY_EXCHANGE = "key exchange"
    GENERATE_KEY = "generate key"
    VERIFY_SIGNATURE = "verify signature"
    VERIFY_CHAIN = "verify chain"
    SELECT_IDENTITY = "select identity"
    VERIFY_PEER = "verify peer"
    OPEN_TICKET = "open ticket"
    SEAL_TICKET = "seal ticket"
    LOOKUP_SESSION = "lookup session"
    STORE_SESSION = "store session"
    LOOKUP_PSK = "lookup psk"
    CHECK_REPLAY = "check replay"
    SEAL_RECORD = "seal record"
    OPEN_RECORD = "open record"

    __hash__ = object.__hash__  # members are one of a kind; Enum's own hash is that of the name, in Python


ALL_OPERATIONS: Final = frozenset(Operation)
HANDSHAKE_OPERATIONS: Final = ALL_OPERATIONS - {Operation.SEAL_RECORD, Operation.OPEN_RECORD}


_PLAIN: Final = frozenset({bytes, bool, tuple, type(None)})
"""What most answers are: values, certainly nothing that has to be waited for."""


class PrivateKey(Protocol):
    """A key that signs; it may live anywhere."""

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]:
        """The schemes it can sign with, the preferred one first."""

    def sign(self, scheme: SignatureScheme, message: bytes) -> Answer[bytes]:
        """The signature over `message`, which is the message itself and not its digest."""


@dataclass(slots=True, eq=False)
class Work(Generic[T]):
    """One piece of work, handed to an engine.

    `wait_context` is the connection's, if there is one; `deadline` is absolute on the connection's monotonic clock,
    in seconds; `awaiter` runs an awaitable where awaitables are run, and may be called on an engine's thread.
    """

    operation: Operation
    function: Callable[..., Answer[T]]
    args: tuple[Any, ...] = field(default=(), repr=False)  # plaintext and keys are among them
    wait_context: WaitContext | None = None
    deadline: float | None = None
    awaiter: Callable[[Awaitable[T]], Pending[T]] | None = None

    def run(self) -> T:
        """Call the function and wait for its answer; inside a job, waiting pauses.

        Raises what the function raises, and `UsageError` if it is a coroutine that suspends while there is no awaiter.
        """
        answer: Any = self.function(*self.args)
        if type(answer) not in _PLAIN:
            if isinstance(answer, Awaitable):
                answer = self._step(answer) if self.awaiter is None else self.awaiter(answer)
            if isinstance(answer, Pending):
                answer = wait(answer)
        return cast("T", answer)

    def _step(self, awaitable: Awaitable[T]) -> T:
        """The result of an awaitable that never suspends: an `async def` without an `await` that has to wait."""
        steps = awaitable.__await__()
        try:
            next(steps)
        except StopIteration as stop:
            return cast("T", stop.value)
        if hasattr(steps, "close"):
            steps.close()
        name = getattr(self.function, "__qualname__", repr(self.function))
        raise UsageError(f"{name} was suspended, and no event loop is there to go on with it ({self.operation.value})")


class Engine(Protocol):
    """Where operations run."""

    @property
    def operations(self) -> frozenset[Operation]:
        """The operations it takes; all others are done inline."""

    def start(self, work: Work[T]) -> Pending[T]:
        """Take the work, and hand back what will bring its result: done already, or pending.

        Whoever asked waits for it (`jobs.wait`), resumes it when it is `resumable`, or has `work.wait_context` told of
        its end (`announce`). Work that cannot be taken now is handed back as `Refused`.
        """


class Refused(Completion[T]):
    """Work that an engine could not take yet: "refused, try again", which is not "submitted".

    Each `resume()` offers it again: `offer(work)` is what the engine made of it, or None for a further refusal. Until
    it is taken, its wait context has the status `EAGAIN` and is promised a `notify()`: the engine says when to try
    again.
    """

    __slots__ = ("_offer", "_taken", "_work")

    resumable: ClassVar[bool] = True

    def __init__(
        self,
        work: Work[T],
        offer: Callable[[Work[T]], Pending[T] | None],
        on_cancel: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(on_cancel)
        self._work = work
        self._offer = offer
        self._taken: Pending[T] | None = None
        if work.wait_context is not None:
            work.wait_context.arm()
            work.wait_context.set_status(AsyncStatus.EAGAIN)

    @property
    def wait_context(self) -> WaitContext | None:
        """The wait context of the work."""
        return self._work.wait_context

    def resume(self) -> None:
        """Offer the work again; once it has been taken, let it go on."""
        if self._taken is not None:
            self._taken.resume()
        elif not self.done():
            self._try_again()

    def cancel(self) -> None:
        """Withdraw the work, or cancel it if it has been taken."""
        if self._taken is not None:
            self._taken.cancel()
        elif not self.done():
            self._leave(AsyncStatus.UNSUPPORTED)
            super().cancel()

    def _try_again(self) -> None:
        try:
            taken = self._offer(self._work)
        except NoJobs:
            taken = None
        except Exception as error:  # noqa: BLE001 - it is the engine's answer
            self._leave(AsyncStatus.ERR)
            self.set_exception(error)
            return
        if taken is None:
            self._set_status(AsyncStatus.EAGAIN)
            return
        self._taken = taken
        self._leave(AsyncStatus.OK)
        if not taken.resumable and self._work.wait_context is not None:
            announce(self, self._work.wait_context)
        taken.on_done(self._copy)

    def _leave(self, status: AsyncStatus) -> None:
        """The work is not refused any more."""
        self._set_status(status)
        if self._work.wait_context is not None:
            self._work.wait_context.disarm()

    def _set_status(self, status: AsyncStatus) -> None:
        if self._work.wait_context is not None:
            self._work.wait_context.set_status(status)

    def _copy(self, taken: Pending[T]) -> None:
        try:
            self.set_result(taken.result())
        except BaseException as error:  # noqa: BLE001 - it is the work's result, and belongs to who asks for that
            self.set_exception(error)
