"""One timer for many deadlines, on a loop whose time the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.aio.deadlines import Deadlines


class Loop:
    """As much of an event loop as timers need."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(self, when, callback)
        self.timers.append(timer)
        return timer

    def pass_to(self, now: float) -> None:
        """Let time pass; timers ring at their time."""
        while self.timers and (first := min(self.timers, key=lambda each: each.when)).when <= now:
            self.timers.remove(first)
            self.now = max(self.now, first.when)
            first.callback()
        self.now = now


class Timer:
    def __init__(self, loop: Loop, when: float, callback: Callable[[], object]) -> None:
        self.loop = loop
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        self.loop.timers.remove(self)


class Waiter:
    def __init__(self, deadlines: Deadlines, loop: Loop) -> None:
        self.scheduled: float | None = None
        self.due: float | None = None
        self.rang: list[float] = []
        self._deadlines = deadlines
        self._loop = loop

    def deadline(self) -> float | None:
        return self.due

    def wait(self, due: float | None) -> None:
        self.due = due
        self._deadlines.follow(self)

    def expired(self, now: float) -> None:
        self.rang.append(now)
        self.due = None


def world(count: int) -> tuple[Any, Loop, list[Waiter]]:
    loop = Loop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    return deadlines, loop, [Waiter(deadlines, loop) for _ in range(count)]


def test_one_timer_rings_for_each_at_its_time() -> None:
    _, loop, waiters = world(5)
    for number, each in enumerate(waiters):
        each.wait(5.0 - number)
        assert len(loop.timers) == 1
    loop.pass_to(10.0)
    assert [each.rang for each in waiters] == [[5.0], [4.0], [3.0], [2.0], [1.0]]
    assert loop.timers == []


def test_a_deadline_that_moves_back_costs_nothing_and_rings_at_its_time() -> None:
    deadlines, loop, (one, *_) = world(1)
    for step in range(1000):
        one.wait(10.0 + step)
    assert len(deadlines._queue._heap) == 1
    loop.pass_to(2000.0)
    assert one.rang == [1009.0]


def test_a_deadline_that_goes_does_not_ring() -> None:
    _, loop, (one, two) = world(2)
    one.wait(1.0)
    two.wait(2.0)
    one.due = None
    loop.pass_to(3.0)
    assert one.rang == []
    assert two.rang == [2.0]
    one.wait(4.0)
    loop.pass_to(5.0)
    assert one.rang == [4.0]


def test_who_is_forgotten_is_not_called() -> None:
    deadlines, loop, (one, two) = world(2)
    one.wait(1.0)
    two.wait(2.0)
    deadlines.forget(one)
    loop.pass_to(1.5)
    deadlines.forget(two)
    deadlines.forget(two)
    assert loop.timers == []
    assert one.rang == two.rang == []


def test_what_is_out_of_date_is_bounded() -> None:
    deadlines, loop, waiters = world(10)
    for number in range(10_000):
        waiters[number % 10].wait(100_000.0 - number)
    assert len(deadlines._queue._heap) <= 2 * 10 + 64
    loop.pass_to(200_000.0)
    assert all(len(each.rang) == 1 for each in waiters)


def test_what_is_due_at_once_rings_from_the_loop() -> None:
    _, loop, (one, *_) = world(1)
    one.wait(-5.0)
    assert one.rang == []
    loop.pass_to(1.0)
    assert len(one.rang) == 1


def test_one_that_fails_holds_up_no_other() -> None:
    class Broken(Waiter):
        def expired(self, now: float) -> None:
            super().expired(now)
            raise RuntimeError("a bug")

    deadlines, loop, (one, two) = world(2)
    broken = Broken(deadlines, loop)  # type: ignore[arg-type]
    for each in (broken, one, two):
        each.wait(1.0)
    two.wait(2.0)
    with pytest.raises(RuntimeError, match="a bug"):
        loop.pass_to(3.0)
    loop.pass_to(3.0)
    assert (len(broken.rang), len(one.rang), len(two.rang)) == (1, 1, 1)
