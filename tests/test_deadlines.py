"""Who of many is due first, when deadlines move. What a loop's timer makes of it is in tests/aio/test_deadlines.py."""

from __future__ import annotations

from dataclasses import dataclass

from caesura.deadlines import DeadlineQueue


@dataclass(eq=False)
class Waiter:
    when: float | None
    scheduled: float | None = None

    def deadline(self) -> float | None:
        return self.when


def queue(*waiters: Waiter) -> DeadlineQueue[Waiter]:
    found: DeadlineQueue[Waiter] = DeadlineQueue()
    for each in waiters:
        found.follow(each)
    return found


def test_the_earliest_is_exact_although_deadlines_have_moved_back() -> None:
    one, two, three = Waiter(1.0), Waiter(2.0), Waiter(None)
    deadlines = queue(one, two, three)
    assert deadlines.earliest() == 1.0
    one.when = 5.0
    assert deadlines.first() == 1.0  # nobody has looked
    assert deadlines.earliest() == deadlines.first() == 2.0
    two.when = None
    assert deadlines.earliest() == 5.0
    one.when = None
    assert deadlines.earliest() is deadlines.first() is None
    three.when = 3.0
    assert deadlines.follow(three)
    assert deadlines.earliest() == 3.0


def test_an_earlier_deadline_is_known_when_it_is_followed() -> None:
    one, two = Waiter(10.0), Waiter(20.0)
    deadlines = queue(one, two)
    two.when = 5.0
    assert deadlines.follow(two)
    assert not deadlines.follow(one)
    assert deadlines.earliest() == 5.0
    deadlines.forget(two)
    assert deadlines.earliest() == 10.0


def test_who_is_due_is_given_once() -> None:
    one, two, late = Waiter(1.0), Waiter(1.5), Waiter(1.0)
    deadlines = queue(one, two, late)
    late.when = 9.0
    assert list(deadlines.due(2.0)) == [one, two]
    assert list(deadlines.due(2.0)) == []
    assert deadlines.earliest() == 9.0
    one.when = 3.0
    deadlines.follow(one)
    assert list(deadlines.due(3.0)) == [one]


def test_entries_that_are_out_of_date_do_not_pile_up() -> None:
    one = Waiter(1000.0)
    deadlines = queue(one)
    for step in range(1000):
        one.when = 999.0 - step / 10
        deadlines.follow(one)
    assert len(deadlines._heap) < 100
