"""Contract B: jobs, clause by clause, through the Python names (ASYNC_start_job(3) and its family)."""

from __future__ import annotations

import gc
import threading
import weakref
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from caesura.errors import JobCancelled, UsageError
from caesura.jobs import (
    Job,
    JobState,
    NoJobs,
    WaitContext,
    block_pause,
    cleanup_thread,
    current_job,
    init_thread,
    is_capable,
    pause_job,
    start_job,
    unblock_pause,
)
from tests.jobs.support import on_thread

pytestmark = pytest.mark.usefixtures("own_pool")


def give_back(value: Any) -> Any:
    pause_job()
    return value


# --- starting and resuming ------------------------------------------------------------------------------------------


def test_B1_the_function_runs_at_once_on_the_calling_thread() -> None:
    ran: list[object] = []
    start_job(lambda *args: ran.append((args, threading.get_ident())), 1, "two")
    assert ran == [((1, "two"), threading.get_ident())]


def test_B1_and_on_a_stack_of_its_own() -> None:
    """What the starter has below it is not below the job: its depth is counted anew."""
    order: list[str] = []

    def run() -> None:
        order.append("in")
        pause_job()
        order.append("in again")

    job = start_job(run)
    order.append("out")
    job.resume()
    assert order == ["in", "out", "in again"]


def test_B2_without_arguments_the_function_gets_none() -> None:
    assert start_job(lambda *args: args).result() == ()


def test_B3_a_function_that_ends_finishes_the_job_with_its_value() -> None:
    job = start_job(divmod, 7, 2)
    assert job.state is JobState.FINISHED
    assert job.done()
    assert job.result() == (3, 1)


def test_B4_a_function_that_pauses_has_no_value_yet() -> None:
    job = start_job(give_back, 1)
    assert job.state is JobState.PAUSED
    assert not job.done()
    with pytest.raises(UsageError, match="before the job had ended"):
        job.result()
    job.resume()


def test_B5_a_resume_goes_on_after_the_pause_with_what_the_job_was_started_with() -> None:
    with WaitContext() as context:
        seen: list[object] = []

        def run(first: str) -> str:
            seen.append(first)
            pause_job()
            job = current_job()
            assert job is not None
            assert job.wait_context is context
            return first

        job = start_job(run, "first", wait_context=context)
        job.resume()
        assert seen == ["first"]
        assert job.result() == "first"


def test_B5_a_job_that_has_ended_is_not_run_again() -> None:
    runs: list[int] = []
    job = start_job(runs.append, 1)
    job.resume()
    assert runs == [1]


def test_B6_the_end_cuts_the_link_to_the_wait_context_and_returns_the_job_to_the_pool() -> None:
    init_thread(1)
    context = WaitContext()
    gone = weakref.ref(start_job)  # any object: shows that weakref works before we rely on its being None
    assert gone() is start_job
    closed: list[int] = []
    context.set_wait_fd("key", 7, None, lambda *_: closed.append(7))
    job = start_job(give_back, 1, wait_context=context)
    assert job.wait_context is context
    job.resume()
    assert job.wait_context is None
    del context
    assert closed == [7]  # nothing holds it any more
    assert start_job(give_back, 2).state is JobState.PAUSED  # the only place of the pool is free


def test_B7_resuming_on_another_thread_is_an_error_and_does_no_harm() -> None:
    """Ours: OpenSSL checks nothing."""
    job = start_job(give_back, "value")
    error = on_thread(job.resume)
    assert isinstance(error, UsageError)
    assert "on the thread that started it" in str(error)
    assert job.state is JobState.PAUSED
    job.resume()
    assert job.result() == "value"


def test_B7_also_when_its_thread_has_ended() -> None:
    job: Job[int] = on_thread(start_job, give_back, 1)
    with pytest.raises(UsageError, match="on the thread that started it"):
        job.resume()
    job.cancel()
    assert job.state is JobState.PAUSED
    del job
    gc.collect()


def test_B8_many_are_paused_and_one_runs() -> None:
    jobs = [start_job(give_back, number) for number in range(50)]
    assert {job.state for job in jobs} == {JobState.PAUSED}
    seen: list[JobState] = []
    running = start_job(lambda: seen.extend(job.state for job in jobs))
    assert running.done()
    assert set(seen) == {JobState.PAUSED}
    for job in reversed(jobs):
        job.resume()
    assert [job.result() for job in jobs] == list(range(50))


def test_B9_what_cannot_start_raises_and_leaves_the_pool_as_it_was() -> None:
    init_thread(1)
    paused = start_job(give_back, 1)
    with pytest.raises(NoJobs):
        start_job(give_back, 2)
    paused.resume()
    assert start_job(int).done()


def test_B9_an_error_of_the_function_is_the_jobs_result() -> None:
    job = start_job(int, "x")
    assert job.state is JobState.FAILED
    with pytest.raises(ValueError, match="invalid literal"):
        job.result()


variable: ContextVar[str] = ContextVar("variable", default="nothing")


def test_B10_the_starters_context_variables_are_seen_and_changes_stay_in_the_job() -> None:
    def run() -> list[str]:
        seen = [variable.get()]
        variable.set("job")
        pause_job()
        seen.append(variable.get())
        return seen

    def starter() -> None:
        variable.set("starter")
        job = start_job(run)
        assert variable.get() == "starter"
        variable.set("later")
        job.resume()
        assert variable.get() == "later"
        assert job.result() == ["starter", "job"]

    copy_context().run(starter)


def test_B10_nor_do_they_reach_the_next_job_on_the_same_stack() -> None:
    def run() -> str:
        seen = variable.get()
        variable.set("left behind")
        return seen

    def starter() -> None:
        assert [start_job(run).result() for _ in range(3)] == ["nothing"] * 3
        copy_context().run(lambda: (variable.set("starter"), start_job(run)))
        assert start_job(run).result() == "nothing"

    starter()
    Context().run(starter)  # where nothing is inherited that could hide what was left behind


def test_B10_resuming_from_another_context_does_not_change_the_jobs() -> None:
    def run() -> str:
        pause_job()
        return variable.get()

    job = start_job(run)
    copy_context().run(lambda: (variable.set("resumer"), job.resume()))
    assert job.result() == "nothing"


# --- pausing --------------------------------------------------------------------------------------------------------


def test_B11_outside_a_job_a_pause_does_nothing() -> None:
    pause_job()


def test_B12_a_pause_gives_control_to_whoever_started_or_resumed() -> None:
    order: list[str] = []

    def run() -> None:
        order.append("one")
        pause_job()
        order.append("two")
        pause_job()
        order.append("three")

    job = start_job(run)
    order.append("started")
    start_job(job.resume)  # another job resumes it: control comes back there
    order.append("resumed")
    job.resume()
    assert order == ["one", "started", "two", "resumed", "three"]


def test_B13_a_blocked_pause_returns_at_once() -> None:
    def run() -> str:
        block_pause()
        pause_job()
        unblock_pause()
        return "ran on"

    assert start_job(run).result() == "ran on"


def test_B14_blocks_nest() -> None:
    def run() -> str:
        block_pause()
        block_pause()
        unblock_pause()
        pause_job()  # still blocked
        unblock_pause()
        pause_job()
        return "done"

    job = start_job(run)
    assert job.state is JobState.PAUSED
    job.resume()
    assert job.result() == "done"


def test_B14_outside_a_job_they_do_nothing_and_one_too_many_is_ignored() -> None:
    block_pause()
    unblock_pause()
    unblock_pause()

    def run() -> None:
        unblock_pause()
        unblock_pause()
        block_pause()
        pause_job()

    assert start_job(run).done()  # one block is one block, whatever was unblocked before
    block_pause()
    assert start_job(give_back, 1).state is JobState.PAUSED


def test_B15_a_block_belongs_to_its_job_and_ends_with_it() -> None:
    """Ours: in OpenSSL the thread stays blocked for ever."""
    init_thread(1)
    assert start_job(block_pause).done()
    job = start_job(give_back, 1)  # on the same stack
    assert job.state is JobState.PAUSED
    job.cancel()


def test_B15_a_block_in_one_job_is_none_in_another() -> None:
    def outer() -> JobState:
        block_pause()
        return start_job(give_back, 1).state

    assert start_job(outer).result() is JobState.PAUSED


def test_B16_the_current_job_is_the_one_that_runs() -> None:
    assert current_job() is None
    seen: list[Job[Any] | None] = []

    def run() -> None:
        seen.append(current_job())
        pause_job()
        seen.append(current_job())

    job = start_job(run)
    assert current_job() is None
    job.resume()
    assert seen == [job, job]


def test_B16_a_running_job_knows_that_it_runs() -> None:
    states: list[JobState] = []

    def run() -> None:
        job = current_job()
        assert job is not None
        states.append(job.state)

    start_job(run)
    assert states == [JobState.RUNNING]


def test_B17_the_wait_context_is_the_one_given_at_the_start() -> None:
    with WaitContext() as context:
        job = start_job(give_back, 1, wait_context=context)
        assert job.wait_context is context
        job.resume()


def test_B17_without_one_the_job_has_its_own() -> None:
    job, other = start_job(give_back, 1), start_job(give_back, 2)
    context = job.wait_context
    assert isinstance(context, WaitContext)
    assert job.wait_context is context
    assert other.wait_context is not context
    job.resume()
    other.resume()


# --- nesting --------------------------------------------------------------------------------------------------------


def test_B18_a_pause_in_code_called_by_a_job_pauses_that_job() -> None:
    """What an SSL call inside a job amounts to; with SSL itself it is tested beside the SSL."""

    def library_call() -> str:
        pause_job()
        return "called"

    job = start_job(lambda: library_call())
    assert job.state is JobState.PAUSED
    job.resume()
    assert job.result() == "called"


def test_B19_a_job_may_start_jobs() -> None:
    """Ours: OpenSSL crashes, or gives the stale result of another job."""

    def outer() -> list[Any]:
        inner = start_job(give_back, "inner")
        seen: list[Any] = [inner.state, current_job() is not inner]
        pause_job()
        inner.resume()
        return [*seen, inner.result()]

    job = start_job(outer)
    assert job.state is JobState.PAUSED
    job.resume()
    assert job.result() == [JobState.PAUSED, True, "inner"]


def test_B19_in_a_fresh_job_a_recycled_one_and_a_resumed_one() -> None:
    def outer() -> list[int]:
        fresh = start_job(give_back, 1)
        recycled = start_job(int, 2)
        pause_job()
        resumed = start_job(int, 3)
        fresh.resume()
        return [fresh.result(), recycled.result(), resumed.result()]

    for _ in range(2):  # the second time everything is recycled
        job = start_job(outer)
        job.resume()
        assert job.result() == [1, 2, 3]


def test_B19_an_inner_job_that_outlives_the_outer_is_resumed_from_outside() -> None:
    inner: Job[str] = start_job(lambda: start_job(give_back, "inner")).result()
    inner.resume()
    assert inner.result() == "inner"


def test_B19_the_outer_job_cannot_be_resumed_from_the_inner_one() -> None:
    errors: list[str] = []

    def inner(outer: Job[Any]) -> None:
        try:
            outer.resume()
        except UsageError as error:
            errors.append(str(error))

    start_job(lambda: start_job(inner, current_job()))
    assert len(errors) == 1
    assert "running" in errors[0]


# --- the pool -------------------------------------------------------------------------------------------------------


def test_B20_zero_is_unlimited_and_the_initial_size_may_not_exceed_the_maximum() -> None:
    init_thread(0, 0)
    init_thread(3, 3)
    for sizes in ((0, 1), (2, 3), (-1, 0), (1, -1)):
        with pytest.raises(UsageError, match="size"):
            init_thread(*sizes)


def test_B20_a_refused_init_leaves_the_pool_as_it_is() -> None:
    init_thread(1)
    with pytest.raises(UsageError, match="init_size"):
        init_thread(0, 1)
    paused = start_job(give_back, 1)
    with pytest.raises(NoJobs):
        start_job(give_back, 2)
    paused.resume()


def test_B21_without_init_the_pool_is_unlimited() -> None:
    def many() -> int:
        jobs = [start_job(give_back, number) for number in range(20)]
        for job in jobs:
            job.resume()
        return sum(job.done() for job in jobs)

    assert on_thread(many) == 20


@pytest.mark.parametrize("made_before", [0, 2])
def test_B22_an_exhausted_pool_refuses_until_a_job_ends(made_before: int) -> None:
    init_thread(2, made_before)
    one, two = start_job(give_back, 1), start_job(give_back, 2)
    for _ in range(2):
        with pytest.raises(NoJobs, match="2 jobs"):
            start_job(give_back, 3)
    one.resume()
    three = start_job(give_back, 3)
    for job in (two, three):
        job.resume()
    assert [job.result() for job in (one, two, three)] == [1, 2, 3]


def test_B22_jobs_that_are_nested_count_too() -> None:
    init_thread(1)

    def outer() -> str:
        try:
            start_job(int)
        except NoJobs:
            return "refused"
        return "started"

    assert start_job(outer).result() == "refused"


@pytest.mark.parametrize("end", ["failure", "cancel", "drop"])
def test_B22_however_a_job_ends_its_place_is_free(end: str) -> None:
    init_thread(1)
    if end == "failure":
        start_job(int, "x")
    else:
        job = start_job(give_back, 1)
        if end == "cancel":
            job.cancel()
        del job
    assert start_job(int).done()


def test_B23_finished_jobs_are_used_again() -> None:
    """What is used again is the stack: a thousand jobs in a row run on one."""
    import greenlet

    stacks = {id(start_job(greenlet.getcurrent).result()) for _ in range(1000)}
    assert len(stacks) == 1


def test_B23_and_kept_until_cleanup() -> None:
    import greenlet

    stacks = [weakref.ref(start_job(greenlet.getcurrent).result())]
    gc.collect()
    assert stacks[0]() is not None
    cleanup_thread()
    gc.collect()
    assert stacks[0]() is None


def test_B24_every_thread_has_its_own_pool() -> None:
    init_thread(1)
    paused = start_job(give_back, 1)
    assert on_thread(lambda: start_job(int).done()) is True
    paused.resume()


def test_B25_cleanup_leaves_paused_jobs_to_whoever_holds_them() -> None:
    """Ours: OpenSSL leaks them."""
    job, other = start_job(give_back, "value"), start_job(give_back, "other")
    cleanup_thread()
    job.resume()
    assert job.result() == "value"
    other.cancel()
    assert other.state is JobState.CANCELLED


def test_B25_also_when_a_running_job_asks_for_it() -> None:
    def run() -> str:
        cleanup_thread()
        pause_job()
        return "done"

    start_job(int)  # something idle to clean up
    job = start_job(run)
    job.resume()
    assert job.result() == "done"
    assert start_job(int).done()


def test_B25_also_when_it_was_started_by_one_that_has_ended() -> None:
    """Its stack was made on top of one that is idle now."""

    def inner() -> str:
        pause_job()
        cleanup_thread()
        return "done"

    job: Job[str] = start_job(start_job, inner).result()
    job.resume()
    assert job.result() == "done"


def test_B26_a_second_init_makes_a_new_pool_and_the_jobs_of_the_first_go_on() -> None:
    """Ours: OpenSSL drops the first without freeing it."""
    init_thread(1)
    first = start_job(give_back, "first")
    init_thread(1)
    second = start_job(give_back, "second")
    with pytest.raises(NoJobs):
        start_job(int)
    first.resume()
    with pytest.raises(NoJobs):
        start_job(int)  # the place that became free was the first pool's
    second.resume()
    assert (first.result(), second.result()) == ("first", "second")
    assert start_job(int).done()


def test_B27_jobs_can_pause_here() -> None:
    assert is_capable() is True


def test_B28_a_job_may_go_as_deep_as_any_code() -> None:
    """Ours: no stack of 32 KiB that overflows in silence."""

    def down(levels: int) -> int:
        if levels == 0:
            pause_job()
            return 0
        return 1 + down(levels - 1)

    def through_c(levels: int) -> int:
        if levels == 0:
            pause_job()
            return 0
        return 1 + max(map(through_c, [levels - 1]))

    for function in (down, through_c):
        jobs = [start_job(function, 100) for _ in range(3)]
        for job in jobs:
            job.resume()
        assert [job.result() for job in jobs] == [100] * 3


def test_B28_too_deep_is_an_error_of_that_job_alone() -> None:
    def bottomless() -> None:
        bottomless()

    job = start_job(bottomless)
    with pytest.raises(RecursionError):
        job.result()
    assert start_job(int).done()


def test_cancelled_is_no_exception_that_is_swallowed() -> None:
    assert not issubclass(JobCancelled, Exception)
