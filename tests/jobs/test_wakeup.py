"""The descriptor that wakes, and the clock that rings."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from caesura.errors import UsageError
from caesura.jobs import Wakeup, wakeup
from caesura.jobs.wakeup import call_later, wait_readable
from tests.jobs.support import on_thread, readable


@pytest.fixture(params=["_EventFD", "_SocketPair"], autouse=True)
def descriptor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds for both kinds; where there is no eventfd there is only one."""
    name: str = request.param
    if name == "_EventFD" and not hasattr(os, "eventfd"):
        pytest.skip("no eventfd on this system")
    monkeypatch.setattr(wakeup, "_Signal", getattr(wakeup, name))
    return name


@pytest.fixture
def signal() -> Iterator[Wakeup]:
    with Wakeup() as signal:
        yield signal


def test_set_makes_it_readable_and_clear_takes_that_back(signal: Wakeup) -> None:
    assert not readable(signal.fileno())
    signal.set()
    assert readable(signal.fileno())
    assert signal.is_set()
    assert signal.clear() is True
    assert not readable(signal.fileno())
    assert signal.clear() is False


def test_signals_add_up_to_one(signal: Wakeup) -> None:
    signal.fileno()
    for _ in range(1000):
        signal.set()
    signal.clear()
    assert not readable(signal.fileno())


def test_the_descriptor_is_made_on_demand_and_knows_what_came_before(signal: Wakeup) -> None:
    signal.set()
    assert readable(signal.fileno())
    assert signal.fileno() == signal.fileno()


def test_any_thread_may_signal(signal: Wakeup) -> None:
    fd = signal.fileno()
    on_thread(signal.set)
    assert readable(fd)


def test_after_close_a_signal_touches_no_descriptor(signal: Wakeup, descriptor: str) -> None:
    """Its number may belong to someone else by then."""
    fd = signal.fileno()
    signal.close()
    stranger, other_end = os.pipe()
    numbers = [stranger, other_end]
    while fd not in numbers:  # until the old number is in use again
        numbers.append(os.dup(stranger))
    signal.set()
    signal.clear()
    signal.close()
    assert not readable(stranger)
    for number in numbers:
        os.close(number)
    with pytest.raises(UsageError, match="closed"):
        signal.fileno()


def test_one_that_is_forgotten_leaves_no_descriptor_open(signal: Wakeup) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(10):
        forgotten = Wakeup()
        forgotten.fileno()
        del forgotten
    assert len(os.listdir("/dev/fd")) == before


def test_signals_and_closing_may_race(signal: Wakeup) -> None:
    rounds = [Wakeup() for _ in range(200)]
    for one in rounds:
        one.fileno()
    threads = [threading.Thread(target=lambda: [one.set() for one in rounds]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for one in rounds:
        one.close()
    for thread in threads:
        thread.join()
    assert not any(one.is_set() for one in rounds)


def test_waiting_ends_with_the_first_readable_descriptor(signal: Wakeup) -> None:
    with Wakeup() as never:
        call_later(0, signal.set)
        wait_readable([never.fileno(), signal.fileno()], None)
        assert signal.is_set()
        wait_readable([never.fileno()], 0)


# --- the clock ------------------------------------------------------------------------------------------------------


def test_timers_ring_in_the_order_of_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    done = threading.Event()
    now = wakeup.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(wakeup, "monotonic", lambda: now)  # all three are set at the same moment, however long it takes
        call_later(0.002, done.set)
        call_later(0.001, lambda: rung.append(2))
        call_later(0, lambda: rung.append(1))
    done.wait()
    assert rung == [1, 2]


def test_a_cancelled_timer_does_not_ring() -> None:
    rung: list[int] = []
    done = threading.Event()
    call_later(0, lambda: rung.append(1)).cancel()
    call_later(0.001, done.set)
    done.wait()
    assert rung == []


def test_one_thread_serves_all_timers() -> None:
    threads: set[int] = set()
    done = threading.Event()
    for _ in range(20):
        call_later(0, lambda: threads.add(threading.get_ident()))
    call_later(0.001, done.set)
    done.wait()
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_callback_that_raises_is_reported_and_the_clock_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(str(arguments.exc_value)))
    done = threading.Event()

    def bad() -> None:
        raise ValueError("bad timer")

    call_later(0, bad)
    call_later(0.001, done.set)
    done.wait()
    assert reported == ["bad timer"]


def test_the_thread_ends_when_there_is_nothing_left_to_ring_for() -> None:
    alarms = wakeup._Alarms()
    alarms.LINGER = 0.0
    threads: list[threading.Thread] = []
    for _ in range(2):  # and begins anew
        rang = threading.Event()
        alarms.call_later(0, lambda: (threads.append(threading.current_thread()), rang.set()))  # noqa: B023
        rang.wait()
        threads[-1].join()
        assert alarms._thread is None


def test_cancelled_timers_do_not_pile_up() -> None:
    alarms = wakeup._Alarms()
    kept = [alarms.call_later(3600, list) for _ in range(10)]
    for _ in range(10_000):
        alarms.call_later(3600, list).cancel()
    assert len(alarms._queue) < 250
    assert sum(not timer.cancelled for _, _, timer in alarms._queue) == len(kept)
    alarms.stop()
