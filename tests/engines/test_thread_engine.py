"""The engine with threads: bounded, fair to those it refused, and gone when it is closed."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from caesura.engines import Operation, ThreadEngine, Work
from caesura.errors import ConfigError, JobCancelled, UsageError
from caesura.jobs import (
    AsyncStatus,
    Completion,
    Pending,
    WaitContext,
    current_job,
    pause_job,
    start_job,
    wait,
)
from caesura.jobs.pending import announce
from caesura.jobs.wakeup import wait_readable
from tests.jobs.support import readable

pytestmark = pytest.mark.usefixtures("own_pool")


def sign(function: Any, *args: Any, context: WaitContext | None = None) -> Work[Any]:
    return Work(Operation.SIGN, function, args, context)


class Gate:
    """Work that a test holds and lets go."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.order: list[str] = []

    def pass_through(self, name: str) -> str:
        self.entered.release()
        self._open.wait()
        self.order.append(name)
        return name

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("caesura-engine")]


# --- what is taken ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a scheduling policy of their own on Linux only")
@pytest.mark.parametrize("sched_idle", [False, True])
def test_threads_give_way_where_they_are_told_to(sched_idle: bool) -> None:
    before = os.sched_getscheduler(0)
    with ThreadEngine(1, sched_idle=sched_idle) as engine:
        assert wait(engine.start(sign(os.sched_getscheduler, 0))) == (os.SCHED_IDLE if sched_idle else before)
    assert os.sched_getscheduler(0) == before


def test_threads_cannot_give_way_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="sched_idle: threads have"):
        ThreadEngine(1, sched_idle=True)


def test_work_is_done_on_another_thread() -> None:
    with ThreadEngine(1) as engine:
        assert wait(engine.start(sign(threading.get_ident))) != threading.get_ident()


def test_its_exception_is_handed_back() -> None:
    with ThreadEngine(1) as engine, pytest.raises(ValueError, match="invalid literal"):
        wait(engine.start(sign(int, "x")))


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, JobCancelled])
def test_even_one_that_ends_programs_and_the_worker_goes_on(error: type[BaseException]) -> None:
    def bad() -> None:
        raise error

    with ThreadEngine(1) as engine:
        with pytest.raises(error):
            wait(engine.start(sign(bad)))
        assert wait(engine.start(sign(int))) == 0


def test_as_many_pieces_are_done_at_once_as_there_are_workers(gate: Gate) -> None:
    with ThreadEngine(3) as engine:
        pendings = [engine.start(sign(gate.pass_through, str(number))) for number in range(5)]
        for _ in range(3):
            gate.entered.acquire()
        assert not gate.entered.acquire(blocking=False)
        gate.open()
        assert [wait(pending) for pending in pendings] == list("01234")


def test_one_worker_keeps_the_order(gate: Gate) -> None:
    with ThreadEngine(1) as engine:
        pendings = [engine.start(sign(gate.pass_through, str(number))) for number in range(20)]
        gate.open()
        for pending in pendings:
            wait(pending)
    assert gate.order == [str(number) for number in range(20)]


def test_threads_are_made_as_they_are_needed() -> None:
    before = len(workers())
    with ThreadEngine(8) as engine:
        assert len(workers()) == before
        for _ in range(5):
            wait(engine.start(sign(int)))
        assert before < len(workers()) <= before + 2  # the first may still be on its way back to the line


variable: ContextVar[str] = ContextVar("variable", default="nothing")


def test_the_starters_context_variables_are_seen_by_the_work() -> None:
    with ThreadEngine(1) as engine:
        pending = copy_context().run(lambda: (variable.set("starter"), engine.start(sign(variable.get))))[1]
        assert wait(pending) == "starter"
        assert wait(engine.start(sign(variable.get))) == "nothing"


def test_work_runs_as_a_job_whose_descriptors_the_worker_waits_for() -> None:
    reader, writer = os.pipe()
    paused = threading.Event()

    def device() -> bytes:
        job = current_job()
        assert job is not None
        context = job.wait_context
        assert context is not None
        assert context is not application
        context.set_wait_fd("device", reader)
        paused.set()
        while not readable(reader):
            pause_job()
        context.clear_fd("device")
        return os.read(reader, 10)

    with ThreadEngine(1) as engine, WaitContext() as application:
        pending = engine.start(sign(device, context=application))
        paused.wait()
        os.write(writer, b"signature")
        assert wait(pending) == b"signature"
    os.close(reader)
    os.close(writer)


def test_work_may_pause_without_a_descriptor_and_wait_for_other_work() -> None:
    def device() -> int:
        for _ in range(3):
            pause_job()
        work: Completion[int] = Completion()
        threading.Timer(0.001, work.set_result, (7,)).start()
        return wait(work)

    with ThreadEngine(1) as engine:
        assert wait(engine.start(sign(device))) == 7


async def as_coroutine() -> bytes:
    return b"signature"


def test_a_coroutine_that_never_suspends_is_an_answer_there_too() -> None:
    with ThreadEngine(1) as engine:
        assert wait(engine.start(sign(as_coroutine))) == b"signature"


def test_inside_a_job_the_job_pauses_meanwhile(gate: Gate) -> None:
    with ThreadEngine(1) as engine:
        job = start_job(lambda: wait(engine.start(sign(gate.pass_through, "signature"))))
        assert not job.done()
        gate.open()
        assert wait(job) == "signature"


def test_taken_work_promises_that_the_wait_context_will_be_told(gate: Gate) -> None:
    with ThreadEngine(1) as engine, WaitContext() as context:
        pending = engine.start(sign(gate.pass_through, "signature", context=context))
        announce(pending, context)
        [fd] = context.get_all_fds()
        assert not readable(fd)
        gate.open()
        wait(pending)
        engine.close()
        assert not context.armed


# --- what is refused ----------------------------------------------------------------------------------------------


def full(gate: Gate, *, queue: int = 0) -> ThreadEngine:
    """An engine with one worker, busy, and a full line."""
    engine = ThreadEngine(1, queue=queue)
    for number in range(1 + queue):
        engine.start(sign(gate.pass_through, f"busy {number}"))
    gate.entered.acquire()
    return engine


@pytest.mark.parametrize("queue", [0, 3])
def test_a_full_line_refuses(gate: Gate, queue: int) -> None:
    with WaitContext() as context, full(gate, queue=queue) as engine:
        pending = engine.start(sign(gate.pass_through, "refused", context=context))
        assert context.get_status() == AsyncStatus.EAGAIN
        assert pending.resumable
        assert not pending.done()
        pending.resume()  # still full
        assert context.get_status() == AsyncStatus.EAGAIN
        gate.open()
        assert wait(pending) == "refused"
        engine.close()
        assert not context.armed


def test_the_callback_is_called_at_once_and_again_when_a_place_is_free(gate: Gate) -> None:
    told = threading.Semaphore(0)
    statuses: list[int] = []

    def callback(context: WaitContext) -> None:
        statuses.append(context.get_status())
        told.release()

    with full(gate) as engine, WaitContext() as context:
        context.set_callback(callback, context)
        pending = engine.start(sign(int, "7", context=context))
        assert statuses == [AsyncStatus.EAGAIN]
        told.acquire()
        pending.resume()
        assert statuses == [AsyncStatus.EAGAIN]  # to tell at once each time would make the application spin
        gate.open()
        told.acquire()
        assert statuses == [AsyncStatus.EAGAIN, AsyncStatus.OK]
        pending.resume()
        assert context.get_status() == AsyncStatus.OK  # taken
        told.acquire()
        assert statuses == [AsyncStatus.EAGAIN, AsyncStatus.OK, AsyncStatus.OK]
        assert pending.result() == 7


def test_without_a_callback_the_descriptor_tells(gate: Gate) -> None:
    with full(gate) as engine, WaitContext() as context:
        pending = engine.start(sign(int, "7", context=context))
        [fd] = context.get_all_fds()
        assert not readable(fd)
        gate.open()
        for _ in range(2):  # of the free place, then of the end
            wait_readable([fd], None)
            context.drain()
            pending.resume()
        assert pending.result() == 7


def test_those_that_were_refused_first_are_told_first(gate: Gate) -> None:
    told: list[str] = []
    first = threading.Event()
    contexts = [WaitContext() for _ in range(3)]
    with full(gate) as engine:
        pendings = [engine.start(sign(gate.pass_through, str(n), context=c)) for n, c in enumerate(contexts)]
        pendings[1].resume()  # asking in between changes no place in the line
        pendings[0].resume()
        for number in range(3):
            contexts[number].set_callback(lambda name: (told.append(name), first.set()), str(number))
        gate.open()
        first.wait()
        assert told == ["0"]
        for pending in pendings:
            wait(pending)
    assert gate.order == ["busy 0", "0", "1", "2"]


def test_one_that_found_the_place_taken_again_is_still_the_first() -> None:
    first, second = Gate(), Gate()
    told: list[str] = []
    contexts = {name: WaitContext() for name in ("slow", "other")}
    with full(first) as engine:
        pendings: dict[str, Pending[str]] = {
            name: engine.start(sign(second.pass_through, name, context=context)) for name, context in contexts.items()
        }
        place_free = threading.Event()
        contexts["slow"].set_callback(lambda _: (told.append("slow"), place_free.set()))
        contexts["other"].set_callback(lambda _: told.append("other"))
        first.open()
        place_free.wait()
        faster = engine.start(sign(second.pass_through, "faster"))
        second.entered.acquire()
        pendings["slow"].resume()
        assert contexts["slow"].get_status() == AsyncStatus.EAGAIN
        place_free.clear()
        second.open()
        place_free.wait()
        assert told == ["slow", "slow"]
        assert wait(faster) == "faster"
        assert [wait(pending) for pending in pendings.values()] == ["slow", "other"]


def test_one_that_withdraws_passes_its_place_on(gate: Gate) -> None:
    told = threading.Event()
    contexts = [WaitContext(), WaitContext()]
    with full(gate) as engine:
        first, second = (engine.start(sign(int, context=context)) for context in contexts)
        free = threading.Event()
        contexts[0].set_callback(lambda _: free.set())
        contexts[1].set_callback(lambda _: told.set())
        gate.open()
        free.wait()
        first.cancel()
        told.wait()
        with pytest.raises(JobCancelled):
            first.result()
        assert not contexts[0].armed
        assert wait(second) == 0


def test_refused_work_without_a_wait_context_is_tried_again(gate: Gate) -> None:
    with full(gate) as engine:
        pending = engine.start(sign(int, "7"))
        gate.open()
        assert wait(pending) == 7


def test_refused_work_inside_a_job(gate: Gate) -> None:
    with full(gate) as engine:
        job = start_job(lambda: wait(engine.start(sign(int, "7", context=WaitContext()))))
        gate.open()
        assert wait(job) == 7


def test_refused_and_taken_and_cancelled(gate: Gate) -> None:
    last = Gate()
    with full(gate) as engine, WaitContext() as context:
        pending = engine.start(sign(last.pass_through, "late", context=context))
        gate.open()
        while context.get_status() == AsyncStatus.EAGAIN:
            pending.resume()
        last.entered.acquire()
        pending.cancel()
        last.open()
        with pytest.raises(JobCancelled):
            pending.result()
        engine.close()
        assert not context.armed


# --- cancelling ---------------------------------------------------------------------------------------------------


def test_work_that_stands_in_line_is_dropped_and_its_place_is_free(gate: Gate) -> None:
    ran: list[int] = []
    with ThreadEngine(1, queue=1) as engine, WaitContext() as context:
        busy = engine.start(sign(gate.pass_through, "busy"))
        gate.entered.acquire()
        dropped = engine.start(sign(ran.append, 1, context=context))
        assert engine.start(sign(int)).resumable  # refused
        dropped.cancel()
        assert not context.armed
        last = engine.start(sign(int, "7"))
        assert not last.resumable  # taken
        gate.open()
        assert (wait(busy), wait(last)) == ("busy", 7)
    assert ran == []


def test_running_work_ends_at_its_next_pause_and_its_result_is_discarded() -> None:
    ended = threading.Event()
    paused = threading.Event()

    def device() -> str:
        try:
            paused.set()
            wait(Completion())
        finally:
            ended.set()
        return "never"

    with ThreadEngine(1) as engine:
        pending = engine.start(sign(device))
        paused.wait()
        pending.cancel()
        assert pending.done()
        with pytest.raises(JobCancelled):
            pending.result()
        ended.wait()
        assert wait(engine.start(sign(int))) == 0


def test_cancelled_before_its_first_pause(gate: Gate) -> None:
    log: list[str] = []

    def device() -> None:
        gate.pass_through("entered")
        try:
            pause_job()
        except JobCancelled:
            log.append("cancelled")
            raise

    with ThreadEngine(1) as engine:
        pending = engine.start(sign(device))
        gate.entered.acquire()
        pending.cancel()
        gate.open()
        wait(engine.start(sign(int)))
    assert log == ["cancelled"]


# --- the end ------------------------------------------------------------------------------------------------------


def test_closing_ends_the_threads_and_cancels_everything() -> None:
    before = workers()
    paused = threading.Event()

    def device() -> None:
        paused.set()
        wait(Completion())

    engine = ThreadEngine(1, queue=1)
    running, waiting = engine.start(sign(device)), engine.start(sign(int))
    paused.wait()
    with WaitContext() as context:
        refused = engine.start(sign(int, context=context))
        engine.close()
        engine.close()
        assert context.get_status() == AsyncStatus.ERR
        for pending in (running, waiting):
            with pytest.raises(JobCancelled):
                pending.result()
        with pytest.raises(UsageError, match="closed"):
            wait(refused)
        assert not context.armed
    assert workers() == before
    with pytest.raises(UsageError, match="closed"):
        engine.start(sign(int))


def test_an_engine_that_is_forgotten_ends_its_threads() -> None:
    before = workers()
    engine = ThreadEngine(2)
    wait(engine.start(sign(int)))
    threads = [thread for thread in workers() if thread not in before]
    assert threads
    del engine
    gc.collect()
    for thread in threads:
        thread.join()
    assert workers() == before


def test_a_worker_may_close_its_own_engine() -> None:
    engine = ThreadEngine(1)
    pending = engine.start(sign(engine.close))
    with pytest.raises(JobCancelled):
        wait(pending)
    with pytest.raises(UsageError, match="closed"):
        engine.start(sign(int))


def test_finished_work_is_not_kept() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    with ThreadEngine(1) as engine:
        wait(engine.start(sign(lambda _: None, thing)))
        wait(engine.start(sign(int)))
        wait(engine.start(sign(int)))
        del thing
        gc.collect()
        assert gone() is None


def test_bounds_are_checked() -> None:
    with pytest.raises(ConfigError, match="workers"):
        ThreadEngine(0)
    with pytest.raises(ConfigError, match="queue"):
        ThreadEngine(1, queue=-1)


def test_many_starters_and_cancellers_leave_nothing_behind() -> None:
    contexts: list[WaitContext] = []
    with ThreadEngine(2, queue=2) as engine:

        def client(seed: int) -> int:
            done = 0
            for number in range(60):
                with WaitContext() as context:
                    contexts.append(context)
                    pending = engine.start(sign(int, str(number), context=context))
                    if (number * seed) % 3 == 0:
                        pending.cancel()
                    else:
                        assert wait(pending) == number
                        done += 1
            return done

        counts: list[int] = []
        threads = [threading.Thread(target=lambda n: counts.append(client(n)), args=(n,)) for n in (1, 2, 4, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [40] * 4
    assert not any(context.armed for context in contexts)
