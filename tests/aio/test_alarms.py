"""Timers in bins, and bells in a heap, on a clock that is set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from caesura.aio.alarms import BIN, Alarms, Bell, Bells


class Timer:
    def __init__(self, when: float, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when, self.function, self.args = when, function, args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """What alarms ask of a loop."""

    def __init__(self) -> None:
        self.now = 1000.1
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, function: Callable[..., object], *args: Any) -> Timer:
        self.timers.append(Timer(when, function, args))
        return self.timers[-1]

    def until(self, end: float) -> None:
        """Ring what is due until then, each at its time."""
        while due := [timer for timer in self.timers if timer.when <= end and not timer.cancelled]:
            timer = min(due, key=lambda each: each.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.function(*timer.args)
        self.now = end


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def at(loop: Loop) -> Callable[..., Any]:
    alarms = Alarms()
    return lambda when, function: alarms.call_at(cast("asyncio.AbstractEventLoop", loop), when, function)


@pytest.mark.parametrize("after", [0.0, 0.001, BIN / 2, BIN, 1.0, 59.99])
def test_it_rings_when_it_is_due(loop: Loop, at: Callable[..., Any], after: float) -> None:
    rung: list[float] = []
    when = loop.now + after
    at(when, lambda: rung.append(loop.now))
    loop.until(when - 0.00001)
    assert not rung
    loop.until(loop.now + 100)
    assert rung == [when]


def test_many_of_one_bin_are_one_timer_of_the_loop(loop: Loop, at: Callable[..., Any]) -> None:
    rung: list[int] = []
    for number in range(100):
        at(1060.0 + number / 1000, lambda number=number: rung.append(number))
    assert len(loop.timers) == 1
    loop.until(2000.0)
    assert rung == list(range(100))
    assert not loop.timers


@pytest.mark.parametrize("after", [0.01, 30.0])
def test_a_cancelled_one_does_not_ring(loop: Loop, at: Callable[..., Any], after: float) -> None:
    alarm = at(loop.now + after, lambda: pytest.fail("it rang"))
    alarm.cancel()
    alarm.cancel()
    loop.until(loop.now + 100)


def test_one_that_is_cancelled_when_its_bin_has_come_up(loop: Loop, at: Callable[..., Any]) -> None:
    alarm = at(1030.2, lambda: pytest.fail("it rang"))
    loop.until(1030.1)
    alarm.cancel()
    loop.until(1100.0)


def test_one_may_cancel_another_of_its_bin(loop: Loop, at: Callable[..., Any]) -> None:
    second = None
    at(1030.1, lambda: second.cancel())
    second = at(1030.2, lambda: pytest.fail("it rang"))
    loop.until(1100.0)


def test_bins_that_have_come_up_are_gone(loop: Loop) -> None:
    alarms = Alarms()
    for _ in range(10):
        alarms.call_at(cast("asyncio.AbstractEventLoop", loop), loop.now + 5, list)
        loop.until(loop.now + 1)
    loop.until(loop.now + 10)
    assert not alarms._bins


# --- bells ------------------------------------------------------------------------------------------------------------


def ring(loop: object, bells: list[Bell]) -> None:
    for bell in bells:
        bell.ring()


@pytest.fixture
def after(loop: Loop) -> Callable[..., Bell]:
    bells = Bells(ring)
    return lambda seconds, function: bells.call_later(cast("asyncio.AbstractEventLoop", loop), seconds, function)


def test_bells_ring_when_they_are_due_whatever_the_order_they_were_asked_for_in(
    loop: Loop, after: Callable[..., Bell]
) -> None:
    rung: list[float] = []
    began = loop.now
    for seconds in (3.0, 1.0, 2.0, 1.0, 0.5):
        after(seconds, lambda: rung.append(loop.now - began))
    assert len([timer for timer in loop.timers if not timer.cancelled]) == 1
    loop.until(began + 100)
    assert rung == pytest.approx([0.5, 1.0, 1.0, 2.0, 3.0])
    assert all(timer.cancelled for timer in loop.timers)


def test_a_loop_that_rounds_its_clock_down_does_not_go_round_for_nothing(
    loop: Loop, after: Callable[..., Bell]
) -> None:
    rung: list[int] = []
    after(1.0, lambda: rung.append(1))
    timer = loop.timers.pop()
    loop.now = timer.when - 0.0009  # its own timer has come all the same
    timer.function(*timer.args)
    assert rung == [1]
    assert not loop.timers


def test_one_bell_may_cancel_another_that_is_due_with_it(loop: Loop, after: Callable[..., Bell]) -> None:
    after(1.0, lambda: second.cancel())
    second = after(1.0, lambda: pytest.fail("it rang"))
    loop.until(loop.now + 10)
    second.cancel()


def test_a_bell_may_ask_for_another(loop: Loop, after: Callable[..., Bell]) -> None:
    rung: list[float] = []
    began = loop.now
    after(1.0, lambda: after(1.0, lambda: rung.append(loop.now - began)))
    loop.until(began + 10)
    assert rung == pytest.approx([2.0])


def test_cancelled_bells_do_not_gather(loop: Loop) -> None:
    bells = Bells(ring)
    kept = bells.call_later(cast("asyncio.AbstractEventLoop", loop), 1000.0, lambda: pytest.fail("it rang"))
    for _ in range(1000):
        bells.call_later(cast("asyncio.AbstractEventLoop", loop), 2000.0, lambda: pytest.fail("it rang")).cancel()
    assert len(bells._queue) <= Bells.CROWD + 2
    kept.cancel()
    loop.until(loop.now + 5000)
