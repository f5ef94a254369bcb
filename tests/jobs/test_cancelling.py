"""A paused job may be cancelled, dropped or outlived at any moment: it unwinds, and everything comes back."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress
from typing import Any

import pytest

from caesura.errors import JobCancelled, UsageError
from caesura.jobs import (
    Completion,
    Job,
    JobState,
    WaitContext,
    block_pause,
    cleanup_thread,
    current_job,
    init_thread,
    pause_job,
    start_job,
    unblock_pause,
    wait,
)
from tests.jobs.support import on_thread, readable

pytestmark = pytest.mark.usefixtures("own_pool")


def noting(log: list[str]) -> str:
    """Pauses once, and notes how that ended."""
    try:
        pause_job()
    except JobCancelled:
        log.append("cancelled")
        raise
    finally:
        log.append("finally")
    return "done"


# --- on the job's own thread ----------------------------------------------------------------------------------------


def test_cancelling_raises_at_the_pause_and_runs_finally() -> None:
    log: list[str] = []
    job = start_job(noting, log)
    job.cancel()
    assert log == ["cancelled", "finally"]
    assert job.state is JobState.CANCELLED
    assert job.done()
    with pytest.raises(JobCancelled):
        job.result()


def test_at_any_depth_and_through_with_blocks() -> None:
    log: list[str] = []

    class Held:
        def __enter__(self) -> None:
            log.append("held")

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
            log.append(f"released by {kind.__name__ if kind else None}")

    def down(levels: int) -> None:
        with Held():
            if levels:
                down(levels - 1)
            else:
                pause_job()

    start_job(down, 2).cancel()
    assert log == ["held"] * 3 + ["released by JobCancelled"] * 3


def test_it_is_raised_again_at_each_further_pause() -> None:
    log: list[str] = []

    def stubborn() -> None:
        for _ in range(3):
            try:
                pause_job()
            except JobCancelled:
                log.append("swallowed")
        log.append("end")

    job = start_job(stubborn)
    job.cancel()
    assert log == ["swallowed"] * 3 + ["end"]
    assert job.state is JobState.CANCELLED


def test_what_a_cancelled_job_returns_is_discarded() -> None:
    def stubborn() -> str:
        with suppress(JobCancelled):
            pause_job()
        return "late"

    job = start_job(stubborn)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result()


def test_an_error_while_unwinding_is_the_cause() -> None:
    def clumsy() -> None:
        try:
            pause_job()
        finally:
            raise OSError("while cleaning up")

    job = start_job(clumsy)
    job.cancel()
    assert job.state is JobState.CANCELLED
    with pytest.raises(JobCancelled) as caught:
        job.result()
    assert isinstance(caught.value.__cause__, OSError)


def test_a_blocked_pause_is_no_pause_when_cancelled_either() -> None:
    """Code that holds a lock has asked not to be interrupted."""
    log: list[str] = []

    def run() -> None:
        try:
            pause_job()
        finally:
            block_pause()
            pause_job()
            log.append("inside")
            unblock_pause()

    start_job(run).cancel()
    assert log == ["inside"]


def test_cancelling_what_has_ended_does_nothing() -> None:
    job = start_job(int, "7")
    job.cancel()
    assert job.result() == 7
    log: list[str] = []
    other = start_job(noting, log)
    other.cancel()
    other.cancel()
    assert log == ["cancelled", "finally"]


def test_a_running_job_that_is_cancelled_meets_it_at_its_next_pause() -> None:
    log: list[str] = []

    def run() -> None:
        job = current_job()
        assert job is not None
        job.cancel()
        del job
        log.append("went on")
        pause_job()
        log.append("never")

    job = start_job(run)
    assert log == ["went on"]
    assert job.state is JobState.CANCELLED


def test_a_running_job_that_is_cancelled_and_never_pauses_has_no_result_either() -> None:
    def run() -> str:
        job = current_job()
        assert job is not None
        job.cancel()
        return "value"

    job = start_job(run)
    assert job.state is JobState.CANCELLED
    with pytest.raises(JobCancelled):
        job.result()


def test_cancelling_the_outer_job_cancels_what_it_waits_for() -> None:
    log: list[str] = []
    job = start_job(lambda: wait(start_job(noting, log)))
    job.cancel()
    assert log == ["cancelled", "finally"]


def test_those_who_listen_hear_of_it() -> None:
    heard: list[JobState] = []
    job = start_job(pause_job)
    job.on_done(lambda done: heard.append(done.state))  # type: ignore[attr-defined]
    job.cancel()
    assert heard == [JobState.CANCELLED]


# --- dropping -------------------------------------------------------------------------------------------------------


def test_dropping_the_handle_cancels() -> None:
    log: list[str] = []
    job = start_job(noting, log)
    del job
    assert log == ["cancelled", "finally"]


def test_also_the_handle_of_a_fibers_first_job_and_of_its_second() -> None:
    init_thread(1)
    for _ in range(3):
        log: list[str] = []
        job = start_job(noting, log)
        del job
        assert log == ["cancelled", "finally"]


def test_dropping_in_a_cycle_cancels_when_the_cycle_is_collected() -> None:
    class Connection:
        job: Job[str]

    log: list[str] = []
    connection = Connection()

    def run(_connection: object) -> str:
        return noting(log)

    connection.job = start_job(run, connection)
    connection.job.on_done(lambda _: connection)
    gc.collect()
    assert log == []
    # The paused function holds the connection, as its argument: only letting go of the job itself unwinds it.
    del connection.job
    assert log == ["cancelled", "finally"]


def test_a_dropped_outer_job_drops_its_inner_one() -> None:
    log: list[str] = []

    def outer() -> None:
        inner = start_job(noting, log)
        pause_job()
        inner.resume()

    job = start_job(outer)
    del job
    assert log == ["cancelled", "finally"]


def test_a_dropped_job_lets_go_of_everything() -> None:
    class Thing:
        pass

    def run(thing: Thing) -> Thing:
        local = Thing()
        things.append(weakref.ref(local))
        pause_job()
        return thing

    things: list[weakref.ref[Thing]] = []
    thing = Thing()
    things.append(weakref.ref(thing))
    job = start_job(run, thing)
    del job, thing
    gc.collect()
    assert [ref() for ref in things] == [None, None]


def test_a_finished_job_leaves_nothing_on_its_stack() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    start_job(lambda _: Thing(), thing)
    del thing
    gc.collect()
    assert gone() is None


def test_dropped_on_another_thread_it_is_unwound_when_its_own_thread_comes_by() -> None:
    init_thread(1)
    log: list[str] = []
    jobs = [start_job(noting, log)]
    on_thread(jobs.clear)
    assert log == []
    assert start_job(int).done()  # which needs the place
    assert log == ["cancelled", "finally"]


def test_dropped_on_another_thread_it_is_unwound_by_cleanup_too() -> None:
    log: list[str] = []
    jobs = [start_job(noting, log)]
    on_thread(jobs.clear)
    cleanup_thread()
    assert log == ["cancelled", "finally"]


def test_dropped_on_another_thread_it_is_unwound_at_the_end_of_its_own() -> None:
    log: list[str] = []

    def owner() -> None:
        jobs = [start_job(noting, log)]
        on_thread(jobs.clear)
        assert log == []

    on_thread(owner)
    assert log == ["cancelled", "finally"]


def test_a_job_that_outlives_its_thread_is_only_forgotten() -> None:
    log: list[str] = []
    job = on_thread(start_job, noting, log)
    del job
    gc.collect()
    assert log == []  # its stack went with its thread: there is nobody who could unwind it


# --- from another thread --------------------------------------------------------------------------------------------


def test_cancelled_on_another_thread_a_job_is_marked_and_its_own_thread_woken() -> None:
    log: list[str] = []
    woken: list[str] = []
    with WaitContext() as context:
        context.set_callback(woken.append, "woken")
        job = start_job(noting, log, wait_context=context)
        on_thread(job.cancel)
        assert (log, woken) == ([], ["woken"])
        assert not job.done()
        job.resume()
        assert log == ["cancelled", "finally"]
        assert job.state is JobState.CANCELLED


def test_without_a_callback_the_descriptor_wakes() -> None:
    with WaitContext() as context:
        job = start_job(wait, Completion(), wait_context=context)
        [fd] = context.get_all_fds()
        on_thread(job.cancel)
        assert readable(fd)
        job.resume()
        assert job.state is JobState.CANCELLED


def test_a_thread_that_waits_for_its_job_unwinds_it() -> None:
    log: list[str] = []
    started = threading.Event()
    jobs: list[Job[Any]] = []

    def owner() -> BaseException | None:
        jobs.append(start_job(wait, Completion()))
        started.set()
        try:
            wait(jobs[0])
        except JobCancelled as error:
            log.append("cancelled")
            return error
        return None

    thread = threading.Thread(target=owner)
    thread.start()
    started.wait()
    jobs[0].cancel()  # before it waits or while it does
    thread.join()
    assert log == ["cancelled"]


def test_cancelled_while_it_runs_on_another_thread_it_ends_at_its_next_pause() -> None:
    running, cancelled = threading.Event(), threading.Event()
    seen: list[Job[Any]] = []

    def run() -> None:
        job = current_job()
        assert job is not None
        seen.append(job)
        del job
        running.set()
        cancelled.wait()
        pause_job()

    def owner() -> JobState:
        return start_job(run).state

    states: list[JobState] = []
    thread = threading.Thread(target=lambda: states.append(owner()))
    thread.start()
    running.wait()
    seen[0].cancel()
    cancelled.set()
    thread.join()
    assert states == [JobState.CANCELLED]


def test_resuming_on_another_thread_while_it_runs_is_an_error() -> None:
    job = start_job(lambda: on_thread(current_job().resume))  # type: ignore[union-attr]
    assert isinstance(job.result(), UsageError)


# --- what is meant for the program ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_through_and_the_pool_keeps_its_place(error: type[BaseException]) -> None:
    init_thread(1)

    def run() -> None:
        raise error

    def later() -> None:
        pause_job()
        raise error

    with pytest.raises(error):
        start_job(run)
    job = start_job(later)
    with pytest.raises(error):
        job.resume()
    assert job.state is JobState.FAILED
    assert start_job(int).done()
