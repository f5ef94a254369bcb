"""Sets of ranges, against sets of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.quic.ranges import RangeSet

NUMBERS = range(40)
RANGE = st.tuples(st.integers(0, 39), st.integers(0, 39)).map(sorted)
CHANGES = st.lists(RANGE, max_size=20)


def made(*ranges: tuple[int, int]) -> RangeSet:
    found = RangeSet()
    for start, stop in ranges:
        found.add(start, stop)
    return found


def numbers(ranges: RangeSet) -> set[int]:
    return {number for start, stop in ranges for number in range(start, stop)}


@given(CHANGES, RANGE)
def test_as_a_set_of_numbers(added: list[list[int]], asked: list[int]) -> None:
    ranges, model = RangeSet(), set[int]()
    for start, stop in added:
        ranges.add(start, stop)
        model |= set(range(start, stop))
        flat = [edge for pair in ranges for edge in pair]
        assert flat == sorted(set(flat)), "ascending, none empty, none touching"
        assert numbers(ranges) == model
    assert {number for number in NUMBERS if number in ranges} == model
    missing = ranges.missing(*asked)
    assert {number for start, stop in missing for number in range(start, stop)} == set(range(*asked)) - model
    assert all(start < stop for start, stop in missing)


@pytest.mark.parametrize(
    ("first", "added", "left"),
    [
        ([], (3, 5), [(3, 5)]),
        ([(0, 3)], (3, 5), [(0, 5)]),  # in order
        ([(0, 3)], (4, 5), [(0, 3), (4, 5)]),
        ([(4, 5)], (3, 4), [(3, 5)]),
        ([(0, 2), (3, 5), (6, 8)], (2, 6), [(0, 8)]),
        ([(0, 2), (4, 6), (8, 9)], (1, 5), [(0, 6), (8, 9)]),
        ([(4, 6)], (0, 9), [(0, 9)]),
        ([(0, 9)], (4, 6), [(0, 9)]),
        ([(0, 9)], (4, 4), [(0, 9)]),
        ([(8, 9)], (2, 3), [(2, 3), (8, 9)]),
    ],
)
def test_adding(first: list[tuple[int, int]], added: tuple[int, int], left: list[tuple[int, int]]) -> None:
    ranges = made(*first)
    ranges.add(*added)
    assert list(ranges) == left
    assert len(ranges) == len(left)


def test_dropping_the_lowest_range() -> None:
    ranges = made((2, 5), (8, 9))
    assert ranges.drop_first() == 5
    assert list(ranges) == [(8, 9)]
    assert repr(ranges) == "RangeSet([(8, 9)])"
