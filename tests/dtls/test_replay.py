"""The replay window, against a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.dtls.replay import ReplayWindow


def test_nothing_is_seen_at_first() -> None:
    window = ReplayWindow(64)
    assert window.highest == -1
    assert not window.seen(0)
    assert not window.seen(2**64 - 1)


@given(
    st.integers(1, 70),
    st.lists(st.one_of(st.integers(0, 200), st.sampled_from([2**32, 2**48 - 1, 2**64 - 1])), max_size=80),
)
def test_as_a_set_that_forgets_what_is_old(size: int, numbers: list[int]) -> None:
    window, marked = ReplayWindow(size), set[int]()
    for number in numbers:
        old = number <= max(marked, default=-1) - size
        assert window.seen(number) is (old or number in marked)
        if not window.seen(number):
            window.mark(number)
            marked.add(number)
            assert window.seen(number)
    assert window.highest == max(marked, default=-1)


def test_a_number_far_ahead_costs_nothing() -> None:
    window = ReplayWindow(256)
    window.mark(0)
    window.mark(2**63)
    assert window._bitmap == 1
    assert window.seen(0)
    assert not window.seen(2**63 - 1)


@pytest.mark.parametrize("size", [1, 64, 256])
def test_the_edge_of_the_window(size: int) -> None:
    window = ReplayWindow(size)
    window.mark(1000)
    assert window.seen(1000 - size)
    assert window.seen(1000 - size + 1) is (size == 1)
