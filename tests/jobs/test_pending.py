"""Work that somebody settles: once, from any thread, and whoever wants to know is told once."""

from __future__ import annotations

import threading

import pytest

from caesura.errors import JobCancelled, UsageError
from caesura.jobs import AsyncStatus, Completion, Pending, WaitContext
from caesura.jobs.pending import announce
from tests.jobs.support import on_thread, readable


def test_a_result_is_there_once_set() -> None:
    work: Completion[int] = Completion()
    assert not work.done()
    with pytest.raises(UsageError, match="before the work was done"):
        work.result()
    assert work.set_result(7)
    assert work.done()
    assert work.result() == 7


def test_an_exception_is_raised_as_often_as_the_result_is_asked_for() -> None:
    work: Completion[int] = Completion()
    work.set_exception(OSError("token removed"))
    for _ in range(2):
        with pytest.raises(OSError, match="token removed"):
            work.result()


def test_only_the_first_settles() -> None:
    work: Completion[int] = Completion()
    assert work.set_result(1)
    assert not work.set_result(2)
    assert not work.set_exception(OSError())
    work.cancel()
    assert work.result() == 1


def test_what_comes_after_a_cancel_is_discarded() -> None:
    told: list[str] = []
    work: Completion[int] = Completion(lambda: told.append("stop"))
    work.cancel()
    work.cancel()
    assert told == ["stop"]
    assert not work.set_result(1)
    with pytest.raises(JobCancelled):
        work.result()


def test_work_that_is_done_need_not_be_stopped() -> None:
    work: Completion[int] = Completion(lambda: pytest.fail("it was done"))
    work.set_result(1)
    work.cancel()


def test_listeners_are_told_once_in_order_late_ones_at_once() -> None:
    told: list[str] = []
    work: Completion[int] = Completion()
    work.on_done(lambda done: told.append(f"first {done.result()}"))
    work.on_done(lambda done: told.append("second"))
    assert told == []
    work.set_result(7)
    work.on_done(lambda done: told.append("late"))
    assert told == ["first 7", "second", "late"]


def test_the_mark_is_lowered_before_listeners_run() -> None:
    """One of them may be the application's callback, which looks at once."""
    seen: list[bool] = []
    work: Completion[int] = Completion()
    work.on_done(lambda done: seen.append(done.done()))
    work.set_result(1)
    assert seen == [True]


def test_a_listener_that_raises_is_reported_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(str(arguments.exc_value)))

    def bad(_: Pending[int]) -> None:
        raise ValueError("bad listener")

    told: list[str] = []
    work: Completion[int] = Completion()
    work.on_done(bad)
    work.on_done(lambda _: told.append("told"))
    work.set_result(1)
    assert (reported, told) == (["bad listener"], ["told"])


def test_of_many_threads_that_settle_one_is_in_time() -> None:
    for _ in range(50):
        work: Completion[int] = Completion()
        told: list[int] = []
        work.on_done(lambda done: told.append(done.result()))  # noqa: B023
        ready = threading.Barrier(3)

        def settle(value: int) -> None:
            ready.wait()  # noqa: B023
            in_time.append(work.set_result(value))  # noqa: B023

        in_time: list[bool] = []
        threads = [threading.Thread(target=settle, args=(value,)) for value in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(in_time) == [False, False, True]
        assert told == [work.result()]


# --- telling a wait context -----------------------------------------------------------------------------------------


def test_announced_work_arms_its_context_until_it_is_done() -> None:
    with WaitContext() as context:
        work: Completion[int] = Completion()
        announce(work, context)
        assert context.armed
        [fd] = context.get_all_fds()
        on_thread(work.set_result, 1)
        assert readable(fd)
        assert not context.armed
        assert context.get_all_fds() == [fd]  # who only looks now must still find what was signalled
        context.drain()
        assert context.get_all_fds() == []


def test_announced_work_calls_the_callback_once_with_its_status() -> None:
    with WaitContext() as context:
        seen: list[int] = []
        context.set_callback(lambda _: seen.append(context.get_status()))
        good: Completion[int] = Completion()
        announce(good, context)
        good.set_result(1)
        bad: Completion[int] = Completion()
        announce(bad, context)
        bad.set_exception(OSError())
        assert seen == [AsyncStatus.OK, AsyncStatus.ERR]


def test_work_that_is_done_already_is_announced_at_once() -> None:
    with WaitContext() as context:
        told: list[int] = []
        context.set_callback(told.append, 1)
        work: Completion[int] = Completion()
        work.set_result(1)
        announce(work, context)
        assert told == [1]


def test_two_pieces_of_work_share_one_descriptor_until_both_are_done() -> None:
    with WaitContext() as context:
        one: Completion[int] = Completion()
        two: Completion[int] = Completion()
        announce(one, context)
        announce(two, context)
        [fd] = context.get_all_fds()
        one.set_result(1)
        assert context.get_all_fds() == [fd]
        context.drain()
        two.set_result(2)
        context.drain()
        assert context.get_all_fds() == []
