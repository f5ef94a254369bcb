"""Contract A: the wait context, clause by clause, through the Python names (ASYNC_WAIT_CTX_new(3))."""

from __future__ import annotations

import os
from typing import Any

import pytest

from caesura.jobs import (
    AsyncStatus,
    Completion,
    Job,
    JobState,
    WaitContext,
    current_job,
    pause_job,
    start_job,
    wait,
)
from tests.jobs.support import readable

pytestmark = pytest.mark.usefixtures("own_pool")


class Key:
    """Keys count by identity; these are told apart in failures by their names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


A, B, C = Key("A"), Key("B"), Key("C")


def legs(context: WaitContext, *steps: Any) -> Job[None]:
    """A job that does one step, pauses, does the next, pauses …, and is paused after the first."""

    def run() -> None:
        for step in steps[:-1]:
            step()
            pause_job()
        steps[-1]()

    return start_job(run, wait_context=context)


def nothing() -> None:
    pass


# --- lifecycle ------------------------------------------------------------------------------------------------------


def test_A1_a_new_context_is_empty() -> None:
    context = WaitContext()
    assert context.get_all_fds() == []
    assert context.get_changed_fds() == ([], [])
    assert context.get_callback() is None
    assert context.get_status() == AsyncStatus.UNSUPPORTED == 0


def test_A2_closing_what_is_closed_does_nothing(context: WaitContext) -> None:
    """There is no NULL to free; the nearest are closing twice and a context nobody ever used."""
    calls: list[int] = []
    context.set_wait_fd(A, 1, None, lambda *_: calls.append(1))
    context.close()
    context.close()
    assert calls == [1]
    del context
    WaitContext().close()


def test_A3_close_runs_the_cleanup_of_every_live_entry_once(context: WaitContext) -> None:
    calls: list[tuple[Any, ...]] = []
    context.set_wait_fd(A, 7, "custom", lambda *args: calls.append(args))
    context.set_wait_fd(B, 8)
    context.close()
    context.close()
    assert calls == [(context, A, 7, "custom")]


def test_A3_dropping_the_last_reference_is_closing() -> None:
    calls: list[int] = []
    context = WaitContext()
    context.set_wait_fd(A, 7, None, lambda *args: calls.append(args[2]))
    del context
    assert calls == [7]


def test_A3_a_cleanup_that_raises_keeps_no_other_from_running(context: WaitContext) -> None:
    calls: list[int] = []

    def bad(*_: Any) -> None:
        raise OSError("closed already")

    context.set_wait_fd(A, 7, None, lambda *args: calls.append(args[2]))
    context.set_wait_fd(B, 8, None, bad)
    with pytest.raises(OSError, match="closed already"):
        context.close()
    assert calls == [7]


def test_A4_the_newest_is_cleaned_up_first(context: WaitContext) -> None:
    order: list[int] = []
    for fd in (7, 8, 9):
        context.set_wait_fd(Key("any"), fd, None, lambda _context, _key, fd, _custom: order.append(fd))
    context.close()
    assert order == [9, 8, 7]


def test_A5_what_was_cleared_gets_no_cleanup(context: WaitContext) -> None:
    calls: list[int] = []
    context.set_wait_fd(A, 7, None, lambda *args: calls.append(args[2]))
    job = legs(context, nothing, lambda: context.clear_fd(A), nothing)
    job.resume()
    assert context.get_changed_fds() == ([], [7])  # cleared, and not discarded yet
    job.resume()
    context.close()
    assert calls == []


def test_A6_a_context_serves_one_job_after_the_other_and_even_two_at_once(context: WaitContext) -> None:
    for _ in range(2):
        job = start_job(pause_job, wait_context=context)
        job.resume()
        assert job.state is JobState.FINISHED
    one, two = (start_job(pause_job, wait_context=context) for _ in range(2))
    one.resume()
    two.resume()
    assert one.done()
    assert two.done()


def test_A7_a_context_outlives_its_jobs(context: WaitContext) -> None:
    start_job(context.set_wait_fd, A, 7, wait_context=context)
    seen = start_job(context.get_fd, A, wait_context=context)
    assert seen.result() == (7, None)


# --- set, get, clear ------------------------------------------------------------------------------------------------


def test_A8_setting_always_adds_at_the_head(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    context.set_wait_fd(B, 8)
    context.set_wait_fd(A, 9)
    assert context.get_all_fds() == [9, 8, 7]


def test_A9_the_newest_entry_of_a_key_is_got(context: WaitContext) -> None:
    context.set_wait_fd(A, 7, "old")
    context.set_wait_fd(A, 8, "new")
    assert context.get_fd(A) == (8, "new")


def test_A10_an_unknown_or_deleted_key_is_not_got(context: WaitContext) -> None:
    assert context.get_fd(A) is None
    context.set_wait_fd(A, 7)
    job = legs(context, nothing, lambda: context.clear_fd(A), nothing)
    job.resume()
    assert context.get_changed_fds() == ([], [7])
    assert context.get_fd(A) is None


def test_A11_keys_compare_by_identity(context: WaitContext) -> None:
    one, other = ["key"], ["key"]
    assert one == other
    context.set_wait_fd(one, 7)
    assert context.get_fd(other) is None
    assert context.clear_fd(other) is False
    assert context.get_fd(one) == (7, None)


def test_A12_clearing_an_unknown_key_is_false(context: WaitContext) -> None:
    assert context.clear_fd(A) is False


def test_A13_clearing_calls_no_cleanup(context: WaitContext) -> None:
    context.set_wait_fd(A, 7, None, lambda *_: pytest.fail("cleared, yet cleaned up"))
    assert context.clear_fd(A) is True
    context.close()


def test_A14_clearing_what_was_added_since_removes_it_at_once(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    context.set_wait_fd(B, 8)
    assert context.get_changed_fds() == ([8, 7], [])
    context.clear_fd(A)
    assert context.get_changed_fds() == ([8], [])


def test_A15_clearing_an_older_one_marks_it_deleted_until_the_next_reset(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    job = legs(context, nothing, lambda: context.clear_fd(A), nothing, nothing)
    job.resume()
    assert context.get_fd(A) is None
    assert context.get_all_fds() == []
    assert context.get_changed_fds() == ([], [7])
    job.resume()
    assert context.get_changed_fds() == ([], [])


def test_A16_with_one_key_twice_only_the_newest_is_cleared(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    context.set_wait_fd(A, 8)
    assert context.clear_fd(A) is True
    assert context.get_fd(A) == (7, None)
    assert context.get_all_fds() == [7]


def test_A17_clearing_twice_is_false(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    job = legs(context, nothing, lambda: context.clear_fd(A), nothing)
    job.resume()
    assert context.clear_fd(A) is False


# --- all and changed ------------------------------------------------------------------------------------------------


def test_A18_all_descriptors_newest_first_as_often_as_asked(context: WaitContext) -> None:
    for fd in (7, 8, 9):
        context.set_wait_fd(Key("any"), fd)
    assert context.get_all_fds() == [9, 8, 7]
    assert context.get_all_fds() == [9, 8, 7]


def test_A19_deleted_ones_are_not_among_all(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    context.set_wait_fd(B, 8)
    job = legs(context, nothing, lambda: context.clear_fd(A), nothing)
    job.resume()
    assert context.get_all_fds() == [8]


def test_A20_both_lists_are_always_given(context: WaitContext) -> None:
    assert context.get_changed_fds() == ([], [])
    context.set_wait_fd(A, 7)
    assert context.get_changed_fds() == ([7], [])


def test_A21_added_lives_and_was_not_there_deleted_was_there_and_does_not_live(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    context.set_wait_fd(B, 8)

    def change() -> None:
        context.clear_fd(A)
        context.set_wait_fd(C, 9)

    job = legs(context, nothing, change, nothing)
    job.resume()
    assert context.get_changed_fds() == ([9], [7])


def test_A22_the_lists_are_reset_when_the_job_is_resumed(context: WaitContext) -> None:
    at_resume: list[Any] = []
    job = legs(context, lambda: context.set_wait_fd(A, 7), lambda: at_resume.append(context.get_changed_fds()), nothing)
    assert context.get_changed_fds() == ([7], [])  # not when the pause is reported
    assert context.get_changed_fds() == ([7], [])  # nor when they are read
    job.resume()
    assert at_resume == [([], [])]


def test_A23_added_and_cleared_in_one_leg_is_not_reported(context: WaitContext) -> None:
    def come_and_go() -> None:
        context.set_wait_fd(A, 7)
        context.clear_fd(A)

    legs(context, come_and_go, nothing).resume()
    assert context.get_changed_fds() == ([], [])


def test_A24_one_number_cleared_and_set_again_stands_in_both_lists(context: WaitContext) -> None:
    def again() -> None:
        context.clear_fd(A)
        context.set_wait_fd(A, 7)

    job = legs(context, lambda: context.set_wait_fd(A, 7), again, nothing)
    job.resume()
    assert context.get_changed_fds() == ([7], [7])


def test_A25_added_after_the_last_pause_is_reported_at_the_end_and_at_the_next_pause(context: WaitContext) -> None:
    job = legs(context, nothing, lambda: context.set_wait_fd(A, 7))
    job.resume()
    assert job.done()
    assert context.get_changed_fds() == ([7], [])
    job = legs(context, nothing, nothing)
    assert context.get_changed_fds() == ([7], [])
    job.resume()
    assert context.get_changed_fds() == ([], [])


def test_A26_reported_as_added_and_cleared_from_outside_is_reported_as_deleted(context: WaitContext) -> None:
    """Ours: OpenSSL forgets such a descriptor without a word."""
    job = legs(context, lambda: context.set_wait_fd(A, 7), nothing, nothing)
    assert context.get_changed_fds() == ([7], [])
    context.clear_fd(A)
    assert context.get_changed_fds() == ([], [7])
    job.resume()
    assert context.get_changed_fds() == ([], [7])  # who did not ask during that pause hears of it in the next
    job.resume()
    assert context.get_changed_fds() == ([], [])


def test_A27_at_the_first_pause_all_that_was_ever_set_is_added(context: WaitContext) -> None:
    context.set_wait_fd(A, 7)
    start_job(context.set_wait_fd, B, 8, wait_context=context)
    job = legs(context, lambda: context.set_wait_fd(C, 9), nothing)
    assert context.get_changed_fds() == ([9, 8, 7], [])
    job.resume()


# --- callback and status --------------------------------------------------------------------------------------------


def test_A28_a_callback_is_stored_with_its_argument_and_can_be_unset(context: WaitContext) -> None:
    calls: list[str] = []
    context.set_callback(calls.append, "argument")
    assert context.get_callback() == (calls.append, "argument")
    context.set_callback(None)
    assert context.get_callback() is None


def test_A29_without_a_callback_there_is_nothing_to_get(context: WaitContext) -> None:
    assert context.get_callback() is None
    context.set_callback(print, 1)
    assert context.get_callback() == (print, 1)


@pytest.mark.parametrize("status", [*AsyncStatus, -1, 4, 1 << 40])
def test_A30_any_integer_is_a_status(context: WaitContext, status: int) -> None:
    context.set_status(status)
    assert context.get_status() == status


def test_A31_pausing_and_resuming_neither_calls_nor_sets_anything(context: WaitContext) -> None:
    context.set_callback(lambda _: pytest.fail("nobody has signalled"))
    job = legs(context, nothing, nothing)
    assert context.get_status() == AsyncStatus.UNSUPPORTED
    job.resume()
    assert context.get_status() == AsyncStatus.UNSUPPORTED


def test_A32_the_status_is_ok_while_paused_when_a_callback_will_come(context: WaitContext) -> None:
    calls: list[int] = []
    context.set_callback(lambda _: calls.append(context.get_status()))
    work: Completion[str] = Completion()
    job = start_job(wait, work, wait_context=context)
    assert context.get_status() == AsyncStatus.OK
    assert calls == []
    work.set_result("done")
    assert calls == [AsyncStatus.OK]
    job.resume()
    assert job.result() == "done"


def test_A32_without_a_callback_the_status_promises_none(context: WaitContext) -> None:
    work: Completion[str] = Completion()
    job = start_job(wait, work, wait_context=context)
    work.set_result("done")
    assert context.get_status() == AsyncStatus.UNSUPPORTED
    job.resume()


def test_A33_a_callback_is_preferred_to_descriptors(context: WaitContext) -> None:
    calls: list[str] = []
    context.set_callback(calls.append, "retry")
    work: Completion[str] = Completion()
    job = start_job(wait, work, wait_context=context)
    assert context.get_all_fds() == []
    work.set_result("done")
    assert calls == ["retry"]
    job.resume()
    assert job.done()


def test_A33_the_callback_may_come_before_the_starting_call_returns(context: WaitContext) -> None:
    calls: list[str] = []
    context.set_callback(calls.append, "early")

    def hasty() -> str:
        callback = context.get_callback()
        assert callback is not None
        callback[0](callback[1])
        pause_job()
        return "done"

    job = start_job(hasty, wait_context=context)
    assert calls == ["early"]
    assert job.state is JobState.PAUSED
    job.resume()
    assert job.result() == "done"


def test_A34_the_callback_only_schedules_resuming_the_job_that_runs_is_an_error(context: WaitContext) -> None:
    """It may be called by the very code that is running; then there is nothing to resume yet."""
    jobs: list[Job[Any]] = []
    errors: list[str] = []

    def reenter(_: Any) -> None:
        try:
            jobs[0].resume()
        except Exception as error:  # noqa: BLE001
            errors.append(type(error).__name__)

    def run() -> None:
        job = current_job()
        assert job is not None
        jobs.append(job)
        context.notify()

    context.set_callback(reenter)
    start_job(run, wait_context=context)
    assert errors == ["UsageError"]


def test_A35_ready_means_readable_and_the_asynchronous_code_drains(context: WaitContext) -> None:
    reader, writer = os.pipe()

    def device() -> bytes:
        context.set_wait_fd(A, reader)
        pause_job()
        answer = os.read(reader, 10)
        context.clear_fd(A)
        return answer

    job = start_job(device, wait_context=context)
    [fd] = context.get_all_fds()
    assert not readable(fd)
    os.write(writer, b"answer")
    assert readable(fd)
    job.resume()
    assert job.result() == b"answer"
    os.close(reader)
    os.close(writer)


def test_A35_the_descriptor_of_a_completion_is_drained_by_the_job(context: WaitContext) -> None:
    one: Completion[int] = Completion()
    two: Completion[int] = Completion()
    job = start_job(lambda: wait(one) + wait(two), wait_context=context)
    [fd] = context.get_all_fds()
    one.set_result(1)
    assert readable(fd)
    job.resume()
    assert job.state is JobState.PAUSED
    assert context.get_all_fds() == [fd]  # one, and stable
    assert not readable(fd)
    two.set_result(2)
    job.resume()
    assert job.result() == 3


def test_A36_without_a_descriptor_the_application_retries() -> None:
    tries = iter(range(3))

    def device() -> int:
        while (number := next(tries)) < 2:
            pause_job()
        return number

    job = start_job(device)
    pauses = 0
    while not job.done():
        assert job.wait_context is not None
        assert job.wait_context.get_all_fds() == []
        pauses += 1
        job.resume()
    assert (pauses, job.result()) == (2, 2)
