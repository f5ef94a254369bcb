"""Waiting: inside a job it pauses, anywhere else it blocks; with both, work gets on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from caesura.errors import JobCancelled, OperationTimeout, UsageError
from caesura.jobs import (
    AsyncStatus,
    Completion,
    Job,
    JobState,
    WaitContext,
    block_pause,
    current_job,
    pause_job,
    start_job,
    wait,
)
from caesura.jobs.wait import wait_once
from caesura.jobs.wakeup import call_later, wait_readable
from tests.jobs.support import on_thread, readable

pytestmark = pytest.mark.usefixtures("own_pool")


def own_context() -> WaitContext:
    job = current_job()
    assert job is not None
    assert job.wait_context is not None
    return job.wait_context


def later(value: Any) -> Completion[Any]:
    """Work that ends by itself, on another thread."""
    work: Completion[Any] = Completion()
    call_later(0.001, lambda: work.set_result(value))
    return work


class Pipe:
    """A device with a descriptor, answered by the test."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def ask(self) -> bytes:
        """Plain code that pauses until there is an answer."""
        context = own_context()
        context.set_wait_fd(self, self.reader)
        while not readable(self.reader):
            pause_job()
        context.clear_fd(self)
        return os.read(self.reader, 100)

    def answer(self, data: bytes) -> None:
        os.write(self.writer, data)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


# --- what is done already -------------------------------------------------------------------------------------------


def test_what_is_done_is_not_waited_for() -> None:
    work: Completion[int] = Completion()
    work.set_result(7)
    assert wait(work) == 7
    assert start_job(wait, work).result() == 7


def test_its_exception_is_raised() -> None:
    work: Completion[int] = Completion()
    work.set_exception(OSError("token removed"))
    with pytest.raises(OSError, match="token removed"):
        wait(work)


def test_what_cannot_be_waited_for_is_named() -> None:
    with pytest.raises(UsageError, match="cannot wait for int"):
        wait(7)  # type: ignore[arg-type]


# --- inside a job ---------------------------------------------------------------------------------------------------


def test_inside_a_job_waiting_pauses_until_the_work_is_done() -> None:
    work: Completion[int] = Completion()
    job = start_job(wait, work)
    assert job.state is JobState.PAUSED
    assert job.wait_context is not None
    [fd] = job.wait_context.get_all_fds()
    job.resume()  # too early: it pauses again
    assert job.state is JobState.PAUSED
    work.set_result(7)
    assert readable(fd)
    job.resume()
    assert job.result() == 7


def test_the_failure_of_the_work_rises_in_the_job() -> None:
    work: Completion[int] = Completion()

    def run() -> str:
        try:
            return str(wait(work))
        except OSError as error:
            return f"failed: {error}"

    job = start_job(run)
    work.set_exception(OSError("token removed"))
    job.resume()
    assert job.result() == "failed: token removed"


def test_a_job_that_waits_for_a_job_shows_its_descriptors(pipe: Pipe) -> None:
    def outer() -> bytes:
        return wait(start_job(pipe.ask, wait_context=WaitContext()))

    with WaitContext() as context:
        job = start_job(outer, wait_context=context)
        assert context.get_all_fds() == [pipe.reader]
        assert context.get_changed_fds() == ([pipe.reader], [])
        job.resume()
        assert job.state is JobState.PAUSED
        assert context.get_changed_fds() == ([], [])  # the same one still
        pipe.answer(b"signature")
        job.resume()
        assert job.result() == b"signature"
        assert context.get_all_fds() == []


def test_through_three_jobs_and_with_descriptors_that_change() -> None:
    one, two = Pipe(), Pipe()

    def both() -> bytes:
        return one.ask() + two.ask()

    def nest(levels: int) -> bytes:
        return wait(start_job(nest, levels - 1)) if levels else both()

    with WaitContext() as context:
        job = start_job(nest, 2, wait_context=context)
        assert context.get_all_fds() == [one.reader]
        one.answer(b"1")
        job.resume()
        assert context.get_all_fds() == [two.reader]
        assert context.get_changed_fds() == ([two.reader], [one.reader])
        two.answer(b"2")
        job.resume()
        assert job.result() == b"12"
    one.close()
    two.close()


def test_a_completion_deep_inside_calls_the_outermost_callback() -> None:
    calls: list[str] = []
    work: Completion[int] = Completion()

    def nest(levels: int) -> int:
        return wait(start_job(nest, levels - 1)) if levels else wait(work)

    with WaitContext() as context:
        context.set_callback(calls.append, "go on")
        job = start_job(nest, 2, wait_context=context)
        assert context.get_status() == AsyncStatus.OK
        assert calls == []
        work.set_result(7)
        assert calls == ["go on"]
        job.resume()
        assert job.result() == 7
        assert calls == ["go on"]


def test_a_completion_deep_inside_makes_the_outermost_descriptor_readable() -> None:
    work: Completion[int] = Completion()
    with WaitContext() as context:
        job = start_job(lambda: wait(start_job(lambda: wait(start_job(wait, work)))), wait_context=context)
        [fd] = context.get_all_fds()
        assert not readable(fd)
        on_thread(work.set_result, 7)
        assert readable(fd)
        job.resume()
        assert job.result() == 7


def test_a_job_in_the_same_wait_context_shows_its_descriptors_once(pipe: Pipe) -> None:
    with WaitContext() as context:
        job = start_job(lambda: wait(start_job(pipe.ask, wait_context=context)), wait_context=context)
        assert context.get_all_fds() == [pipe.reader]
        pipe.answer(b"signature")
        job.resume()
        assert job.result() == b"signature"


def test_waiting_for_what_polls_promises_nothing() -> None:
    """The application would wait for a signal that nobody gives."""

    def device() -> None:
        pause_job()
        pause_job()

    with WaitContext() as context:
        job = start_job(lambda: wait(start_job(device)), wait_context=context)
        assert context.get_all_fds() == []
        assert not context.armed
        job.resume()
        assert job.state is JobState.PAUSED
        job.resume()
        assert job.done()


def test_a_promise_of_before_is_none_for_what_polls_now() -> None:
    work: Completion[int] = Completion()

    def run() -> None:
        wait(work)
        pause_job()

    with WaitContext() as context:
        job = start_job(run, wait_context=context)
        assert len(context.get_all_fds()) == 1
        work.set_result(1)
        job.resume()
        assert context.get_all_fds() == []
        job.resume()
        assert job.done()


def test_several_may_wait_for_one_job() -> None:
    inner = start_job(pause_job)
    contexts = [WaitContext(), WaitContext()]
    told: list[int] = []
    for number, context in enumerate(contexts):
        context.set_callback(told.append, number)
    first, second = (start_job(wait, inner, wait_context=context) for context in contexts)
    first.resume()
    assert first.done()
    assert told == [1]  # the other is told, the one that did it is not
    second.resume()
    assert second.done()


def test_cancelling_the_job_cancels_the_work_and_ends_the_promise() -> None:
    told: list[str] = []
    work: Completion[int] = Completion(lambda: told.append("stop"))
    with WaitContext() as context:
        context.set_callback(told.append, "callback")
        job = start_job(wait, work, wait_context=context)
        job.cancel()
        assert not context.armed
    assert job.state is JobState.CANCELLED
    assert told == ["stop"]


def test_work_that_was_cancelled_elsewhere_rises_as_such() -> None:
    work: Completion[int] = Completion()
    job = start_job(wait, work)
    work.cancel()
    job.resume()
    assert job.state is JobState.CANCELLED


# --- outside a job --------------------------------------------------------------------------------------------------


def test_outside_a_job_waiting_blocks() -> None:
    assert wait(later(7)) == 7


def test_while_pauses_are_blocked_too() -> None:
    def run() -> int:
        block_pause()
        return wait(later(7))  # type: ignore[no-any-return]

    job = start_job(run)
    assert job.result() == 7


def test_a_job_is_resumed_when_its_descriptor_is_readable(pipe: Pipe) -> None:
    job = start_job(pipe.ask)
    call_later(0.001, lambda: pipe.answer(b"signature"))
    assert wait(job) == b"signature"


def test_a_job_without_any_descriptor_is_tried_again_and_again() -> None:
    def device() -> str:
        for _ in range(5):
            pause_job()
        return "done"

    assert wait(start_job(device)) == "done"


def test_a_job_that_was_refused_by_its_device_is_tried_again_whatever_descriptors_it_has(pipe: Pipe) -> None:
    def device() -> str:
        own_context().set_wait_fd("never readable", pipe.reader)
        own_context().set_status(AsyncStatus.EAGAIN)
        pause_job()
        pause_job()
        return "done"

    assert wait(start_job(device)) == "done"


def test_a_job_whose_application_callback_is_set_is_resumed_as_well() -> None:
    """Who blocks stands in the application's place; its callback hears of it all the same."""
    told: list[str] = []
    with WaitContext() as context:
        context.set_callback(told.append, "callback")
        assert wait(start_job(lambda: wait(later(7)), wait_context=context)) == 7
        assert told == ["callback"]


def test_a_promise_that_outlives_its_work_does_not_block_what_polls() -> None:
    def run() -> str:
        wait(later(1))
        pause_job()
        return "done"

    assert wait(start_job(run)) == "done"


def test_jobs_within_jobs_get_on() -> None:
    def nest(levels: int) -> int:
        if levels == 0:
            return wait(later(0))  # type: ignore[no-any-return]
        return wait(start_job(nest, levels - 1)) + 1

    assert wait(start_job(nest, 5)) == 5


def test_a_blocked_job_resumes_the_job_it_waits_for(pipe: Pipe) -> None:
    def run() -> bytes:
        block_pause()
        return wait(start_job(pipe.ask))

    call_later(0.001, lambda: pipe.answer(b"signature"))
    assert start_job(run).result() == b"signature"


def test_a_wait_that_is_interrupted_cancels_the_work() -> None:
    class Interrupted(Completion[int]):
        def on_done(self, callback: Any) -> None:
            raise KeyboardInterrupt

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        wait(Interrupted(lambda: told.append("stop")))
    assert told == ["stop"]


def test_a_job_of_another_thread_cannot_be_waited_for_and_is_left_alone() -> None:
    job = start_job(pause_job)
    assert isinstance(on_thread(wait, job), UsageError)
    assert job.state is JobState.PAUSED
    job.resume()
    assert job.state is JobState.FINISHED


# --- timeouts -------------------------------------------------------------------------------------------------------


def test_a_timeout_outside_a_job_cancels_the_work() -> None:
    told: list[str] = []
    work: Completion[int] = Completion(lambda: told.append("stop"))
    with pytest.raises(OperationTimeout):
        wait(work, 0.001)
    assert told == ["stop"]


def test_a_timeout_of_a_job_unwinds_it() -> None:
    job = start_job(lambda: wait(Completion()))
    with pytest.raises(OperationTimeout):
        wait(job, 0.001)
    assert job.state is JobState.CANCELLED


def test_a_timeout_inside_a_job_wakes_it_and_cancels_the_work() -> None:
    told: list[str] = []
    work: Completion[int] = Completion(lambda: told.append("stop"))
    job = start_job(wait, work, 0.001)
    with pytest.raises(OperationTimeout):
        wait(job)
    assert told == ["stop"]
    assert job.state is JobState.FAILED


def test_a_timeout_inside_a_job_that_waits_for_a_silent_device(pipe: Pipe) -> None:
    job = start_job(lambda: wait(start_job(pipe.ask), 0.001))
    with pytest.raises(OperationTimeout):
        wait(job)


def test_a_timeout_wakes_an_application_that_watches_descriptors(pipe: Pipe) -> None:
    with WaitContext() as context:
        job = start_job(lambda: wait(start_job(pipe.ask), 0.001), wait_context=context)
        fds = context.get_all_fds()
        wait_readable(fds, 10)
        assert any(readable(fd) for fd in fds)
        job.resume()
        with pytest.raises(OperationTimeout):
            job.result()


def test_work_that_is_in_time_has_no_timeout() -> None:
    assert wait(later(7), 60) == 7
    job = start_job(lambda: wait(later(7), 60))
    assert wait(job) == 7


# --- futures and awaitables -----------------------------------------------------------------------------------------


def test_a_future_of_a_thread_pool() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert wait(pool.submit(divmod, 7, 2)) == (3, 1)
        assert wait(start_job(lambda: wait(pool.submit(divmod, 7, 2)))) == (3, 1)


def test_cancelling_a_job_cancels_the_future() -> None:
    future: Future[int] = Future()
    start_job(wait, future).cancel()
    assert future.cancelled()


async def drive(job: Job[Any]) -> Any:
    """Resume a job on the loop whenever its wait context says so."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    assert job.wait_context is not None
    job.wait_context.set_callback(lambda _: loop.call_soon_threadsafe(woken.set))
    while not job.done():
        await woken.wait()
        woken.clear()
        job.resume()
    return job.result()


@pytest.mark.anyio
async def test_inside_a_job_of_an_asyncio_program_anything_awaitable() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    assert await drive(start_job(lambda: wait(answer()))) == 7
    assert await drive(start_job(lambda: wait(asyncio.ensure_future(answer())))) == 7


@pytest.mark.anyio
async def test_the_failure_of_an_awaitable_rises_in_the_job() -> None:
    async def fail() -> int:
        raise OSError("token removed")

    with pytest.raises(OSError, match="token removed"):
        await drive(start_job(lambda: wait(fail())))


@pytest.mark.anyio
async def test_cancelling_the_job_cancels_the_task() -> None:
    task = asyncio.ensure_future(asyncio.sleep(3600))
    job = start_job(wait, task)
    job.cancel()
    assert job.state is JobState.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.anyio
async def test_outside_a_job_an_awaitable_must_be_awaited() -> None:
    task = asyncio.ensure_future(asyncio.sleep(0))
    with pytest.raises(UsageError, match="must be awaited"):
        wait(task)
    await task


def test_without_a_loop_an_awaitable_cannot_be_waited_for() -> None:
    async def answer() -> int:
        return 7

    coroutine = answer()
    job = start_job(wait, coroutine)
    with pytest.raises(UsageError, match="no event loop runs"):
        job.result()
    coroutine.close()


def test_cancellation_is_not_an_exception_the_waiter_swallows() -> None:
    def run() -> str:
        try:
            wait(Completion())
        except Exception:  # noqa: BLE001
            return "swallowed"
        return "done"

    job = start_job(run)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result()


def test_many_threads_wait_at_once() -> None:
    work: Completion[int] = Completion()
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(wait(work))) for _ in range(8)]
    for thread in threads:
        thread.start()
    work.set_result(7)
    for thread in threads:
        thread.join()
    assert results == [7] * 8


def test_a_thread_that_waits_once_goes_on_when_the_context_was_told_or_the_time_is_over() -> None:
    with WaitContext() as context:
        wait_once(context, 0.001)  # no news is nobody's failure
        call_later(0.001, context.notify)
        while not context.signalled:
            wait_once(context)  # it may be for nothing


def test_a_job_that_waits_once_goes_on_with_the_first_resume() -> None:
    with WaitContext() as context:
        job = start_job(wait_once, context)
        assert not job.done()
        job.resume()
        assert job.done()
