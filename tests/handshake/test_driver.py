"""The driver answers a generator from its inbox and its engine; here the generators are made up for the purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import TraceEvent
from caesura.engines import ALL_OPERATIONS, InlineEngine, Operation, Work
from caesura.errors import (
    DecryptError,
    Error,
    IllegalParameter,
    JobCancelled,
    LocalAlert,
    OperationFailed,
    OperationTimeout,
    UnexpectedMessage,
    UsageError,
)
from caesura.handshake.driver import Driver
from caesura.handshake.inbox import Inbox
from caesura.handshake.performer import Performer
from caesura.handshake.requests import Perform, Steps, perform, perform_both, receive
from caesura.handshake.transport import Epoch
from caesura.jobs import Completion, NoJobs, Pending, WaitContext, cleanup_thread, init_thread
from caesura.wire.messages import Finished, KeyUpdate
from caesura.wire.registries import KeyUpdateRequest
from tests.support.link import link
from tests.tls.world import client_context, server_context

SIGN, KEY_EXCHANGE = Operation.SIGN, Operation.KEY_EXCHANGE


class ByHandEngine:
    """Work that is done when the test says so."""

    operations = ALL_OPERATIONS

    def __init__(self) -> None:
        self.works: list[Work[Any]] = []
        self.pendings: list[Completion[Any]] = []
        self.cancelled: list[Operation] = []

    def start(self, work: Work[Any]) -> Pending[Any]:
        pending: Completion[Any] = Completion(lambda: self.cancelled.append(work.operation))
        self.works.append(work)
        self.pendings.append(pending)
        return pending


class Bench:
    """A driver of some steps, with all that it needs."""

    def __init__(self, steps: Callable[[], Steps[Any]], engine: Any = None, **settings: Any) -> None:
        self.engine = engine or ByHandEngine()
        self.trace: list[tuple[str, str]] = []
        self.notified: list[int] = []
        self.wait_context = WaitContext(owned=True)
        self.wait_context.set_callback(self.notified.append, 1)

        def trace(event: TraceEvent) -> None:
            self.trace.append((event.kind, event.name))

        context = client_context(engine=self.engine, trace=trace, **settings)
        self.performer = Performer(context.settings, self.wait_context, None, True, False)
        self.inbox = Inbox(1000)
        self.ended: list[str] = []
        self.driver: Driver[Any] = Driver(self._watched(steps), self.performer, self.inbox)

    def _watched(self, steps: Callable[[], Steps[Any]]) -> Steps[Any]:
        try:
            result = yield from steps()
            self.ended.append(f"returned {result!r}")
        except GeneratorExit:
            self.ended.append("closed")
            raise
        except BaseException as error:
            self.ended.append(f"raised {type(error).__name__}")
            raise

    def advance(self, now: float = 0.0) -> Bench:
        self.driver.advance(now)
        return self


def one() -> Steps[str]:
    return (yield from perform(SIGN, str.upper, "done"))


def both() -> Steps[tuple[str, str]]:
    return (yield from perform_both(Perform(SIGN, str.upper, ("a",)), Perform(KEY_EXCHANGE, str.upper, ("b",))))


def two() -> Steps[str]:
    first = yield from perform(SIGN, str.upper, "first")
    return first + (yield from perform(KEY_EXCHANGE, str.upper, " second"))


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answers_that_are_there_at_once() -> None:
    bench = Bench(two, InlineEngine()).advance()
    assert bench.driver.done
    assert bench.ended == ["returned 'FIRST SECOND'"]
    assert not bench.driver.parked


def test_nothing_happens_before_it_is_advanced() -> None:
    bench = Bench(one)
    assert bench.engine.works == []
    assert not bench.driver.parked


def test_parked_until_the_work_is_done() -> None:
    bench = Bench(two).advance()
    assert bench.driver.parked
    bench.advance()
    assert len(bench.engine.works) == 1
    bench.engine.pendings[0].set_result("x")
    assert bench.notified == [1]
    bench.advance()
    assert bench.driver.parked
    bench.engine.pendings[1].set_result("y")
    bench.advance()
    assert bench.ended == ["returned 'xy'"]


def test_work_brings_what_the_engine_needs() -> None:
    bench = Bench(one, deadline=5.0).advance(100.0)
    (work,) = bench.engine.works
    assert (work.operation, work.args, work.deadline) == (SIGN, ("done",), 105.0)
    assert work.wait_context is bench.wait_context
    assert work.run() == "DONE"


def test_what_work_is_given_is_not_shown() -> None:
    """Plaintext is among it, and keys; requests and work end up in tracebacks."""
    assert "hidden" not in repr(Perform(SIGN, str.upper, ("hidden",)))
    assert "hidden" not in repr(Work(SIGN, str.upper, ("hidden",)))


def test_operations_that_the_engine_does_not_take_are_done_inline() -> None:
    engine = ByHandEngine()
    engine.operations = frozenset({KEY_EXCHANGE})
    bench = Bench(two, engine).advance()
    assert [work.operation for work in engine.works] == [KEY_EXCHANGE]
    assert bench.driver.parked


def test_messages_from_the_inbox() -> None:
    def steps() -> Steps[int]:
        first = yield from receive(Finished)
        second = yield from receive(KeyUpdate, Finished)
        assert isinstance(second, KeyUpdate)
        return len(first.verify_data)

    bench = Bench(steps).advance()
    assert not bench.driver.parked
    finished = Finished(bytes(7)).encode()
    bench.inbox.receive_untrusted(Epoch.INITIAL, finished[:5])
    bench.advance()
    assert not bench.driver.done
    bench.inbox.receive_untrusted(Epoch.INITIAL, finished[5:] + KeyUpdate(KeyUpdateRequest.update_requested).encode())
    bench.advance()
    assert bench.ended == ["returned 7"]


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no such key"), OperationFailed),
        (DecryptError("a verdict"), DecryptError),
        (OperationFailed("as it is"), OperationFailed),
        (OperationTimeout("as it is"), OperationTimeout),
        (UsageError("as it is"), UsageError),
        (JobCancelled("by its engine"), OperationFailed),
        (TimeoutError("not ours"), OperationFailed),
    ],
)
def test_failure_of_the_work(error: BaseException, kind: type[Error]) -> None:
    """Verdicts are raised as they are; anything else is OperationFailed with its cause."""
    bench = Bench(one).advance()
    bench.engine.pendings[0].set_exception(error)
    with pytest.raises(kind) as caught:
        bench.advance()
    assert caught.value is error or caught.value.__cause__ is error
    if caught.value is not error:
        assert "SIGN" in str(caught.value)
    assert bench.ended == [f"raised {kind.__name__}"]
    assert bench.driver.done
    assert not bench.driver.parked


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_what_is_meant_for_the_program_passes(error: BaseException) -> None:
    bench = Bench(one).advance()
    bench.engine.pendings[0].set_exception(error)
    with pytest.raises(type(error)):
        bench.advance()
    assert bench.driver.done


def test_engine_that_refuses_by_raising() -> None:
    class Raising(ByHandEngine):
        def start(self, work: Work[Any]) -> Pending[Any]:
            raise UsageError("the engine has been closed")

    bench = Bench(one, Raising())
    with pytest.raises(UsageError):
        bench.advance()
    assert bench.driver.done


def test_failure_can_be_handled_by_the_steps() -> None:
    """It is thrown in where the handshake asked."""

    def steps() -> Steps[str]:
        try:
            yield from perform(SIGN, str.upper, "x")
        except OperationFailed:
            return "handled"
        return "not raised"

    bench = Bench(steps).advance()
    bench.engine.pendings[0].set_exception(ValueError())
    with pytest.raises(StopIteration):  # a handshake never does that: a failure ends it
        bench.advance()


# --- two at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_both_results_in_their_order(order: tuple[int, int]) -> None:
    bench = Bench(both).advance()
    assert [work.operation for work in bench.engine.works] == [SIGN, KEY_EXCHANGE]
    for index in order:
        assert bench.driver.parked
        bench.engine.pendings[index].set_result("ab"[index])
        bench.advance()
    assert bench.ended == ["returned ('a', 'b')"]
    assert bench.engine.cancelled == []


@pytest.mark.parametrize("failing", [0, 1])
def test_first_failure_cancels_the_other(failing: int) -> None:
    bench = Bench(both).advance()
    bench.engine.pendings[failing].set_exception(DecryptError("no"))
    with pytest.raises(DecryptError):
        bench.advance()
    assert bench.engine.cancelled == [(SIGN, KEY_EXCHANGE)[1 - failing]]
    assert bench.engine.pendings[1 - failing].set_result("late") is False


def test_failure_after_the_other_was_done() -> None:
    bench = Bench(both).advance()
    bench.engine.pendings[0].set_result("a")
    bench.advance()
    bench.engine.pendings[1].set_exception(DecryptError("no"))
    with pytest.raises(DecryptError):
        bench.advance()
    assert bench.engine.cancelled == []


@pytest.mark.parametrize("failing", [0, 1])
def test_failure_at_the_start_cancels_the_other(failing: int) -> None:
    class Half(ByHandEngine):
        def start(self, work: Work[Any]) -> Pending[Any]:
            pending = super().start(work)
            if work.operation is (SIGN, KEY_EXCHANGE)[failing]:
                assert isinstance(pending, Completion)
                pending.set_exception(DecryptError("at once"))
            return pending

    bench = Bench(both, Half())
    with pytest.raises(DecryptError):
        bench.advance()
    assert bench.engine.cancelled == [(SIGN, KEY_EXCHANGE)[1 - failing]]


def test_each_piece_is_traced_once() -> None:
    bench = Bench(both).advance()
    for pending, value in zip(bench.engine.pendings, "ab", strict=True):
        bench.advance()
        pending.set_result(value)
        bench.advance()
    for operation in ("SIGN", "KEY_EXCHANGE"):
        assert [kind for kind, name in bench.trace if name == operation] == ["started", "paused", "finished"]


# --- deadlines, jobs, closing ----------------------------------------------------------------------------------------


def test_deadline() -> None:
    bench = Bench(both, deadline=5.0).advance(100.0)
    assert bench.driver.deadline == 105.0
    bench.engine.pendings[0].set_result("a")
    bench.advance(104.0)
    bench.driver.expire(104.9)
    assert bench.driver.parked
    with pytest.raises(OperationTimeout, match="KEY_EXCHANGE did not"):
        bench.driver.expire(105.0)
    assert bench.engine.cancelled == [KEY_EXCHANGE]
    assert bench.driver.done
    assert bench.driver.deadline is None
    assert bench.ended == ["raised OperationTimeout"]
    bench.driver.expire(1e9)


def test_each_operation_has_its_own_deadline() -> None:
    bench = Bench(two, deadline=5.0).advance(100.0)
    bench.engine.pendings[0].set_result("x")
    bench.advance(104.0)
    assert bench.driver.deadline == 109.0
    bench.driver.expire(105.0)
    assert bench.driver.parked


def test_no_deadline() -> None:
    bench = Bench(one, deadline=None).advance(100.0)
    assert bench.driver.deadline is None
    bench.driver.expire(1e9)
    assert bench.driver.parked


def test_no_job_is_free() -> None:
    """Nothing has happened: the handshake stands where it stood, and goes on later."""
    init_thread(1)
    try:
        holder = Completion[None]()
        blocking = InlineEngine().start(Work(SIGN, lambda: holder))
        assert not blocking.done()
        bench = Bench(two, InlineEngine())
        for _ in range(3):
            with pytest.raises(NoJobs):
                bench.advance()
        assert not bench.driver.done
        assert not bench.driver.parked
        holder.set_result(None)
        blocking.resume()
        bench.advance()
        assert bench.ended == ["returned 'FIRST SECOND'"]
    finally:
        cleanup_thread()


def test_no_job_is_free_for_the_second_of_two() -> None:
    """The first, which had one, is dropped and asked for again."""
    init_thread(1)
    calls = []

    def pausing(name: str) -> Any:
        calls.append(name)
        return Completion[str]() if len(calls) == 1 else name

    def steps() -> Steps[tuple[str, str]]:
        return (yield from perform_both(Perform(SIGN, pausing, ("a",)), Perform(KEY_EXCHANGE, pausing, ("b",))))

    try:
        bench = Bench(steps, InlineEngine())
        with pytest.raises(NoJobs):
            bench.advance()
        assert not bench.driver.parked
        bench.advance()
        assert bench.ended == ["returned ('a', 'b')"]
        assert calls == ["a", "a", "b"]
    finally:
        cleanup_thread()


@pytest.mark.parametrize("steps", [one, both], ids=["one", "both"])
def test_close_cancels_and_unwinds(steps: Callable[[], Steps[Any]]) -> None:
    bench = Bench(steps).advance()
    bench.driver.close()
    bench.driver.close()
    assert bench.ended == ["closed"]
    assert bench.engine.cancelled == [work.operation for work in bench.engine.works]
    for pending in bench.engine.pendings:
        assert pending.set_result("late") is False
    bench.advance()
    assert bench.driver.done


@pytest.mark.parametrize("steps", [one, both], ids=["one", "both"])
def test_an_engine_that_cannot_cancel_keeps_nothing_from_ending(
    steps: Callable[[], Steps[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(str(arguments.exc_value)))

    def fail() -> None:
        raise OSError("the device is gone")

    bench = Bench(steps).advance()
    for pending in bench.engine.pendings:
        pending._on_cancel = fail
    bench.driver.close()
    assert bench.ended == ["closed"]
    assert reported == ["the device is gone"] * len(bench.engine.works)


def test_a_trace_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a handshake that goes well nor one that ends: of that nothing is left out."""
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(str(arguments.exc_value)))

    def trace(event: TraceEvent) -> None:
        raise OSError(event.kind)

    pair = link(client_context(trace=trace), server_context(trace=trace), server_hostname="example.test").handshake()
    pair.client.receive_data(b"no record at all", 0.0)
    assert isinstance(pair.client.error, LocalAlert)
    assert pair.client._reader._key is None
    assert {"sent", "received", "started", "finished", "alert sent"} <= set(reported)


def test_close_before_the_beginning() -> None:
    bench = Bench(one)
    bench.driver.close()
    assert bench.driver.done
    assert bench.ended == []


def test_late_result_after_an_expiry_goes_nowhere() -> None:
    bench = Bench(one, deadline=1.0).advance(0.0)
    with pytest.raises(OperationTimeout):
        bench.driver.expire(1.0)
    assert bench.engine.pendings[0].set_result("late") is False
    assert bench.notified in ([], [1])


# --- the inbox -------------------------------------------------------------------------------------------------------


def test_inbox_takes_any_pieces() -> None:
    whole = Finished(bytes(5)).encode() + KeyUpdate(KeyUpdateRequest.update_requested).encode() + Finished(b"").encode()
    for size in range(1, len(whole) + 1):
        inbox = Inbox(100)
        for start in range(0, len(whole), size):
            inbox.receive_untrusted(Epoch.INITIAL, whole[start : start + size])
        assert not inbox.partial
        assert inbox.next_type() == 20
        kinds = [type(inbox.take((Finished, KeyUpdate))) for _ in range(3)]
        assert kinds == [Finished, KeyUpdate, Finished]
        assert inbox.empty
        assert inbox.take((Finished,)) is None
        assert inbox.next_type() is None
        assert inbox.taken == 3


def test_inbox_refuses_another_type() -> None:
    inbox = Inbox(100)
    inbox.receive_untrusted(Epoch.INITIAL, Finished(b"").encode())
    with pytest.raises(UnexpectedMessage, match="finished where key_update"):
        inbox.take((KeyUpdate,))


def test_inbox_refuses_another_epoch() -> None:
    """What came under the old keys is not read as if it had come under the new ones."""
    inbox = Inbox(100)
    inbox.receive_untrusted(Epoch.INITIAL, Finished(b"").encode())
    inbox.epoch = Epoch.HANDSHAKE
    with pytest.raises(UnexpectedMessage):
        inbox.take((Finished,))


def test_inbox_is_bounded() -> None:
    inbox = Inbox(100)
    inbox.receive_untrusted(Epoch.INITIAL, b"\x14\x00\x00\x64" + bytes(100))
    with pytest.raises(IllegalParameter, match="101"):
        inbox.receive_untrusted(Epoch.INITIAL, b"\x14\x00\x00\x65")
    inbox = Inbox(100)
    inbox.receive_untrusted(Epoch.INITIAL, b"\x14\x00\x00")
    with pytest.raises(IllegalParameter):
        inbox.receive_untrusted(Epoch.INITIAL, b"\x65")


def test_inbox_forgets() -> None:
    inbox = Inbox(100)
    inbox.receive_untrusted(Epoch.INITIAL, Finished(b"").encode() + b"\x14")
    assert inbox.partial
    assert not inbox.empty
    inbox.clear()
    assert inbox.empty
