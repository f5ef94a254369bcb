"""The engine that really pauses: by a timer, by hand, with refusals and failures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from caesura.engines import HANDSHAKE_OPERATIONS, DelayEngine, Operation, Refused, ThreadEngine, Work
from caesura.errors import ConfigError, JobCancelled, OperationTimeout
from caesura.jobs import (
    AsyncStatus,
    Completion,
    Job,
    JobState,
    NoJobs,
    Pending,
    WaitContext,
    block_pause,
    current_job,
    init_thread,
    pause_job,
    start_job,
    wait,
)
from caesura.jobs.wakeup import wait_readable
from tests.jobs.support import readable

pytestmark = pytest.mark.usefixtures("own_pool")


def sign(function: Any = divmod, *args: Any, context: WaitContext | None = None) -> Work[Any]:
    return Work(Operation.SIGN, function, args or (7, 2), context)


# --- by a timer ---------------------------------------------------------------------------------------------------


def test_work_is_paused_with_a_descriptor_until_its_time_has_come(context: WaitContext) -> None:
    pending = DelayEngine(0.001).start(sign(context=context))
    assert not pending.done()
    [fd] = context.get_all_fds()
    wait_readable([fd], None)
    assert readable(fd)
    pending.resume()
    assert pending.result() == (3, 1)
    assert context.get_all_fds() == []


def test_with_a_callback_that_is_called_instead(context: WaitContext) -> None:
    called = threading.Event()
    context.set_callback(lambda _: called.set())
    pending = DelayEngine(0.001).start(sign(context=context))
    assert context.get_all_fds() == []
    assert context.get_status() == AsyncStatus.OK
    called.wait()
    pending.resume()
    assert pending.result() == (3, 1)


def test_without_a_wait_context_it_can_be_waited_for_all_the_same() -> None:
    assert wait(DelayEngine(0.001).start(sign())) == (3, 1)


def test_no_delay_is_a_pause_too(context: WaitContext) -> None:
    assert not DelayEngine(0).start(sign(context=context)).done()


def test_resumed_too_early_it_goes_on_waiting(context: WaitContext) -> None:
    pending = DelayEngine(3600).start(sign(context=context))
    pending.resume()
    assert not pending.done()
    pending.cancel()


def test_many_wait_on_one_timer_thread() -> None:
    engine = DelayEngine(0.001)
    pendings = [engine.start(sign(divmod, number, 2)) for number in range(100)]
    assert sum(thread.name == "caesura-timers" for thread in threading.enumerate()) == 1
    assert [wait(pending) for pending in pendings] == [divmod(number, 2) for number in range(100)]


class Timers:
    """What a loop has, rung by hand."""

    def __init__(self, context: WaitContext) -> None:
        self.set: list[Callable[[], object]] = []
        context.call_later = self.call_later

    def call_later(self, _seconds: float, function: Callable[[], object]) -> threading.Timer:
        self.set.append(function)
        return threading.Timer(0, function)  # which is never started


def test_who_resumes_the_work_may_have_timers(context: WaitContext) -> None:
    timers = Timers(context)
    pending = DelayEngine(3600).start(sign(context=context))
    [ring] = timers.set
    assert not context.signalled
    ring()
    assert context.signalled
    pending.resume()
    assert pending.result() == (3, 1)


def test_a_wait_of_limited_time_uses_them_too(context: WaitContext) -> None:
    timers = Timers(context)
    pending = start_job(lambda: wait(Completion(), 3600), wait_context=context)
    [ring] = timers.set
    ring()
    pending.resume()
    with pytest.raises(OperationTimeout):
        pending.result()


def test_timers_that_cannot_ring_are_not_relied_on(context: WaitContext) -> None:
    """Those of a loop do not while its thread is blocked, as it is by a job that must not pause."""
    timers = Timers(context)

    def must_not_pause() -> Any:
        block_pause()
        return wait(DelayEngine(0.001).start(sign(context=context)))

    assert start_job(must_not_pause, wait_context=context).result() == (3, 1)
    assert timers.set == []


def test_it_takes_the_handshakes_operations_unless_told() -> None:
    assert DelayEngine(0).operations == HANDSHAKE_OPERATIONS
    assert DelayEngine(0, operations=[Operation.OPEN_RECORD]).operations == {Operation.OPEN_RECORD}


def test_work_may_pause_again_by_itself(context: WaitContext) -> None:
    def key() -> str:
        job = current_job()
        assert job is not None
        assert job.wait_context is context
        del job
        pause_job()
        return "signature"

    engine = DelayEngine(None)
    pending = engine.start(sign(lambda *_: key(), context=context))
    engine.release()
    pending.resume()
    assert not pending.done()
    pending.resume()
    assert pending.result() == "signature"


def test_the_inner_engine_does_the_work(context: WaitContext) -> None:
    with ThreadEngine(1) as threads:
        pending = DelayEngine(0, threads).start(sign(lambda *_: threading.get_ident(), context=context))
        assert wait(pending) != threading.get_ident()


def test_a_refusal_of_the_inner_engine_is_part_of_the_wait(context: WaitContext) -> None:
    inner = DelayEngine(0, refuse=2)
    assert wait(DelayEngine(0, inner).start(sign(context=context))) == (3, 1)


def test_while_pauses_are_blocked_it_blocks() -> None:
    def run() -> Any:
        block_pause()
        return wait(DelayEngine(0.001).start(sign()))

    assert start_job(run).result() == (3, 1)


def test_what_makes_no_sense_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="seconds"):
        DelayEngine(-1)
    with pytest.raises(ConfigError, match="refuse"):
        DelayEngine(0, refuse=-1)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_held_work_waits_until_it_is_released(context: WaitContext) -> None:
    engine = DelayEngine(None)
    work = sign(context=context)
    pending = engine.start(work)
    assert engine.waiting == [work]
    [fd] = context.get_all_fds()
    assert not readable(fd)
    engine.release()
    assert engine.waiting == []
    assert readable(fd)
    assert not pending.done()  # until it is resumed
    pending.resume()
    assert pending.result() == (3, 1)


def test_the_oldest_is_released_first() -> None:
    engine = DelayEngine(None)
    contexts = [WaitContext() for _ in range(4)]
    works = [sign(context=context) for context in contexts]
    pendings = [engine.start(work) for work in works]
    engine.release()
    assert engine.waiting == works[1:]
    engine.release(2)
    assert engine.waiting == works[3:]
    assert [context.signalled for context in contexts] == [True, True, True, False]
    engine.release(10)
    for pending in pendings:
        pending.resume()
        assert pending.done()


def test_cancelled_work_is_not_held_any_more(context: WaitContext) -> None:
    engine = DelayEngine(None)
    pending = engine.start(sign(context=context))
    pending.cancel()
    assert engine.waiting == []
    engine.release()
    assert not context.signalled
    with pytest.raises(JobCancelled):
        pending.result()


def test_a_timeout_takes_it_back_too() -> None:
    engine = DelayEngine(None)
    with pytest.raises(OperationTimeout):
        wait(engine.start(sign()), 0.001)
    assert engine.waiting == []


def test_release_from_another_thread_wakes_who_blocks() -> None:
    engine = DelayEngine(None)
    pending = engine.start(sign())
    timer = threading.Timer(0.001, engine.release)
    timer.start()
    assert wait(pending) == (3, 1)
    timer.join()


# --- refusals -----------------------------------------------------------------------------------------------------


def test_refused_work_is_offered_again_by_each_resume(context: WaitContext) -> None:
    engine = DelayEngine(None, refuse=2)
    pending = engine.start(sign(context=context))
    assert isinstance(pending, Refused)
    assert pending.resumable
    assert context.get_status() == AsyncStatus.EAGAIN
    assert engine.waiting == []
    pending.resume()
    assert context.get_status() == AsyncStatus.EAGAIN
    pending.resume()
    assert context.get_status() == AsyncStatus.OK
    assert len(engine.waiting) == 1
    engine.release()
    pending.resume()
    assert pending.result() == (3, 1)
    following = engine.start(sign(context=context))
    assert not isinstance(following, Refused)
    assert len(engine.waiting) == 1


def test_each_refusal_calls_the_callback_at_once(context: WaitContext) -> None:
    statuses: list[int] = []
    context.set_callback(lambda _: statuses.append(context.get_status()))
    engine = DelayEngine(None, refuse=2)
    pending = engine.start(sign(context=context))
    assert statuses == [AsyncStatus.EAGAIN]
    pending.resume()
    assert statuses == [AsyncStatus.EAGAIN] * 2
    pending.resume()
    engine.release()
    assert statuses == [AsyncStatus.EAGAIN] * 2 + [AsyncStatus.OK]
    pending.resume()
    assert pending.result() == (3, 1)


def test_without_a_callback_the_descriptor_says_try_again(context: WaitContext) -> None:
    DelayEngine(0, refuse=1).start(sign(context=context))
    [fd] = context.get_all_fds()
    assert readable(fd)


def test_refused_work_that_is_waited_for_gets_through(context: WaitContext) -> None:
    assert wait(DelayEngine(0, refuse=3).start(sign(context=context))) == (3, 1)
    assert wait(DelayEngine(0, refuse=3).start(sign())) == (3, 1)
    job: Job[Any] = start_job(lambda: wait(DelayEngine(0, refuse=3).start(sign(context=WaitContext()))))
    assert wait(job) == (3, 1)


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_refused_work_may_be_cancelled_at_any_point(context: WaitContext, tries: int) -> None:
    heard: list[Pending[Any]] = []
    engine = DelayEngine(None, refuse=2)
    pending = engine.start(sign(context=context))
    pending.on_done(heard.append)
    for _ in range(tries - 1):
        pending.resume()
    pending.cancel()
    pending.cancel()
    assert heard == [pending]
    assert engine.waiting == []
    assert not context.armed
    with pytest.raises(JobCancelled):
        pending.result()
    pending.resume()


def test_an_exhausted_pool_is_a_further_refusal() -> None:
    init_thread(1)
    engine = DelayEngine(None, refuse=1)
    pending = engine.start(sign())
    other = start_job(pause_job)
    pending.resume()
    assert not pending.done()
    other.resume()
    pending.resume()
    assert len(engine.waiting) == 1
    pending.cancel()
    with pytest.raises(NoJobs):  # at the start it is an answer of its own
        other = start_job(pause_job)
        DelayEngine(0).start(sign())
    other.cancel()


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_failure_comes_after_the_pause(context: WaitContext) -> None:
    engine = DelayEngine(None, fail=OSError("token removed"))
    pending = engine.start(sign(pytest.fail, context=context))
    assert not pending.done()
    engine.release()
    pending.resume()
    assert context.get_status() == AsyncStatus.ERR
    with pytest.raises(OSError, match="token removed"):
        pending.result()


def test_what_fails_may_be_chosen() -> None:
    def fail(work: Work[Any]) -> Exception | None:
        return OSError("token removed") if work.args == (1, 2) else None

    engine = DelayEngine(0, fail=fail)
    assert wait(engine.start(sign(divmod, 7, 2))) == (3, 1)
    with pytest.raises(OSError, match="token removed"):
        wait(engine.start(sign(divmod, 1, 2)))


def test_the_works_own_failure_is_handed_back() -> None:
    job = DelayEngine(0).start(sign(divmod, 1, 0))
    with pytest.raises(ZeroDivisionError):
        wait(job)
    assert isinstance(job, Job)
    assert job.state is JobState.FAILED
