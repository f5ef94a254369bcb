"""How a wait context tells of a completion: promise, signal, callback, close (design: engines, keys, waiting)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from caesura.errors import UsageError
from caesura.jobs import AsyncStatus, Completion, WaitContext, start_job, wait
from tests.jobs.support import on_thread, readable


@pytest.fixture
def context() -> Iterator[WaitContext]:
    with WaitContext() as context:
        yield context


def test_the_descriptor_stands_there_while_a_notify_is_promised(context: WaitContext) -> None:
    assert context.get_all_fds() == []
    context.arm()
    context.arm()
    [fd] = context.get_all_fds()
    context.disarm()
    assert context.get_all_fds() == [fd]
    context.disarm()
    assert context.get_all_fds() == []


def test_promised_again_before_the_application_looked_is_no_change(context: WaitContext) -> None:
    """Operation after operation must not make an application leave and enter its poll set each time."""
    context.arm()
    context.mark()
    context.reset()
    context.disarm()
    context.arm()
    assert context.get_changed_fds() == ([], [])


def test_a_signal_before_the_promise_is_not_lost(context: WaitContext) -> None:
    context.notify()
    context.arm()
    assert readable(context.get_all_fds()[0])


def test_a_signal_stays_visible_until_it_is_drained(context: WaitContext) -> None:
    """Else an application that looks a moment later finds nothing to wait for, and waits for ever."""
    context.arm()
    context.notify()
    context.disarm()
    [fd] = context.get_all_fds()
    assert readable(fd)
    context.drain()
    assert context.get_all_fds() == []


def test_no_descriptor_is_opened_unless_somebody_asks_for_it(context: WaitContext) -> None:
    before = os.listdir("/dev/fd")
    work: Completion[int] = Completion()
    job = start_job(wait, work, wait_context=context)
    work.set_result(7)
    job.resume()
    assert job.result() == 7
    assert len(os.listdir("/dev/fd")) == len(before)
    context.arm()
    assert len(context.get_all_fds()) == 1
    assert len(os.listdir("/dev/fd")) == len(before) + 1


def test_draining_takes_the_signal_back(context: WaitContext) -> None:
    context.arm()
    context.notify()
    context.notify()
    assert context.signalled
    context.drain()
    assert not context.signalled
    assert not readable(context.get_all_fds()[0])


def test_with_a_callback_there_is_no_descriptor_and_no_signal(context: WaitContext) -> None:
    calls: list[tuple[str, int]] = []
    context.set_callback(lambda arg: calls.append((arg, context.get_status())), "arg")
    context.arm()
    assert context.get_all_fds() == []
    context.notify()
    assert calls == [("arg", AsyncStatus.OK)]
    assert not context.signalled


def test_a_callback_set_late_is_honoured(context: WaitContext) -> None:
    calls: list[str] = []
    context.arm()
    assert len(context.get_all_fds()) == 1
    context.set_callback(calls.append, "late")
    assert context.get_all_fds() == []
    context.notify()
    assert calls == ["late"]


def test_a_callback_set_after_the_completion_is_told_of_it(context: WaitContext) -> None:
    calls: list[str] = []
    context.notify()
    context.set_callback(calls.append, "late")
    assert calls == ["late"]
    context.set_callback(calls.append, "again")
    assert calls == ["late"]


def test_a_callback_that_is_unset_leaves_the_descriptor(context: WaitContext) -> None:
    context.set_callback(print)
    context.arm()
    context.set_callback(None)
    [fd] = context.get_all_fds()
    context.notify()
    assert readable(fd)


def test_the_argument_is_the_one_set_last(context: WaitContext) -> None:
    calls: list[str] = []
    context.set_callback(calls.append, "old")
    context.set_callback(calls.append, "new")
    context.notify()
    assert calls == ["new"]


def test_a_failure_sets_its_status_with_and_without_a_callback(context: WaitContext) -> None:
    context.notify(AsyncStatus.ERR)
    assert context.get_status() == AsyncStatus.ERR
    context.drain()
    context.set_callback(lambda _: None)
    context.notify()
    assert context.get_status() == AsyncStatus.OK


def test_after_close_nobody_is_told(context: WaitContext) -> None:
    calls: list[str] = []
    context.set_callback(calls.append, "too late")
    context.arm()
    context.close()
    on_thread(context.notify)
    context.set_callback(calls.append, "too late")
    context.notify()
    assert calls == []
    assert context.get_all_fds() == []
    assert context.get_changed_fds() == ([], [])
    context.disarm()
    assert context.clear_fd("key") is False
    with pytest.raises(UsageError, match="closed"):
        context.set_wait_fd("key", 7)


def test_promising_after_close_opens_no_descriptor(context: WaitContext) -> None:
    context.close()
    context.arm()
    assert context.get_all_fds() == []


def test_notifying_and_closing_may_race() -> None:
    contexts = [WaitContext() for _ in range(200)]
    for context in contexts:
        context.arm()
    threads = [threading.Thread(target=lambda: [one.notify() for one in contexts]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for context in contexts:
        context.close()
    for thread in threads:
        thread.join()
    assert not any(context.signalled for context in contexts)


def test_jobs_leave_the_books_of_an_owned_context_to_its_owner() -> None:
    with WaitContext(owned=True) as context:
        work: Completion[int] = Completion()
        job = start_job(wait, work, wait_context=context)
        [fd] = context.get_all_fds()
        assert context.get_changed_fds() == ([fd], [])
        job.resume()
        assert context.get_changed_fds() == ([fd], [])  # no resume of a job moves the baseline
        work.set_result(1)
        job.resume()
        assert job.done()
        assert context.signalled  # nor is the signal drained
        assert context.get_changed_fds() == ([fd], [])
        context.drain()
        assert context.get_changed_fds() == ([], [])


def test_two_jobs_paused_in_one_owned_context_are_both_told() -> None:
    with WaitContext(owned=True) as context:
        works: list[Completion[int]] = [Completion(), Completion()]
        jobs = [start_job(wait, work, wait_context=context) for work in works]
        [fd] = context.get_all_fds()
        for number in (1, 0):
            works[number].set_result(number)
            assert readable(fd)
            context.drain()
            for job in jobs:
                job.resume()
        assert [job.result() for job in jobs] == [0, 1]
