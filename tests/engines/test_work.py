"""Work: whatever a function answers with, `run()` comes back with the value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from caesura.engines import ALL_OPERATIONS, HANDSHAKE_OPERATIONS, InlineEngine, Operation, Work
from caesura.errors import UsageError
from caesura.jobs import (
    Completion,
    JobState,
    NoJobs,
    Pending,
    WaitContext,
    current_job,
    init_thread,
    pause_job,
    start_job,
    wait,
)

pytestmark = pytest.mark.usefixtures("own_pool")


def sign(function: Any, *args: Any, **rest: Any) -> Work[Any]:
    return Work(Operation.SIGN, function, args, **rest)


def test_the_record_operations_are_those_a_handshake_does_not_need() -> None:
    assert frozenset(Operation) == ALL_OPERATIONS
    assert {Operation.SEAL_RECORD, Operation.OPEN_RECORD} == ALL_OPERATIONS - HANDSHAKE_OPERATIONS


# --- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"signature", None, True, (1, 2), 7, "text", object()])
def test_a_value_is_the_answer(value: object) -> None:
    assert sign(lambda: value).run() is value


def test_an_exception_is_passed_on() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        sign(int, "x").run()


def test_pending_work_is_waited_for() -> None:
    work: Completion[bytes] = Completion()
    job = start_job(sign(lambda: work).run)
    assert job.state is JobState.PAUSED
    work.set_result(b"signature")
    job.resume()
    assert job.result() == b"signature"


async def at_once() -> bytes:
    return b"signature"


async def from_others() -> bytes:
    return await at_once()


async def failing() -> bytes:
    raise OSError("token removed")


async def suspending() -> bytes:
    try:
        await asyncio.sleep(0)
    finally:
        ended.append("finally")
    return b"never"


ended: list[str] = []


@pytest.mark.parametrize("function", [at_once, from_others])
def test_a_coroutine_that_never_suspends_needs_nobody(function: Any) -> None:
    assert sign(function).run() == b"signature"


def test_what_it_raises_is_passed_on() -> None:
    with pytest.raises(OSError, match="token removed"):
        sign(failing).run()


def test_one_that_answers_with_pending_work_is_waited_for() -> None:
    work: Completion[bytes] = Completion()
    work.set_result(b"signature")

    async def callback() -> Pending[bytes]:
        return work

    assert sign(callback).run() == b"signature"


def test_one_that_suspends_is_named_and_closed() -> None:
    ended.clear()
    coroutines = []

    def callback() -> Awaitable[bytes]:
        coroutines.append(suspending())
        return coroutines[0]

    with pytest.raises(UsageError, match=r"callback was suspended.*\(sign\)"):
        sign(callback).run()
    assert ended == ["finally"]


def test_any_awaitable_is_stepped() -> None:
    class Ready:
        def __await__(self) -> Iterator[Any]:
            return iter(())

    class Suspended:
        def __await__(self) -> Iterator[Any]:
            return iter((None,))

    assert sign(Ready).run() is None
    with pytest.raises(UsageError, match="Suspended was suspended"):
        sign(Suspended).run()


def test_with_an_awaiter_the_awaitable_is_run_there() -> None:
    handed: list[Awaitable[Any]] = []
    work: Completion[bytes] = Completion()

    def awaiter(awaitable: Awaitable[Any]) -> Pending[Any]:
        handed.append(awaitable)
        return work

    coroutine = suspending()
    job = start_job(sign(lambda: coroutine, awaiter=awaiter).run)
    assert handed == [coroutine]
    assert job.state is JobState.PAUSED
    work.set_result(b"signature")
    job.resume()
    assert job.result() == b"signature"
    coroutine.close()


# --- inline -------------------------------------------------------------------------------------------------------


def test_inline_work_that_does_not_pause_is_done_when_start_returns() -> None:
    job = InlineEngine().start(sign(divmod, 7, 2))
    assert job.done()
    assert job.result() == (3, 1)


def test_inline_work_runs_in_a_job_with_the_connections_wait_context() -> None:
    def key() -> bytes:
        job = current_job()
        assert job is not None
        assert job.wait_context is context
        pause_job()
        return b"signature"

    with WaitContext() as context:
        job = InlineEngine().start(sign(key, wait_context=context))
        assert job.state is JobState.PAUSED
        job.resume()
        assert job.result() == b"signature"


def test_inline_work_takes_the_handshakes_operations_unless_told() -> None:
    assert InlineEngine().operations == HANDSHAKE_OPERATIONS
    assert InlineEngine(operations=[Operation.SEAL_RECORD]).operations == {Operation.SEAL_RECORD}


def test_inline_work_finds_no_job_in_an_exhausted_pool() -> None:
    init_thread(1)
    paused = start_job(pause_job)
    with pytest.raises(NoJobs):
        InlineEngine().start(sign(int))
    paused.resume()
    assert wait(InlineEngine().start(sign(int))) == 0
