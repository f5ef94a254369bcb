"""Pieces of a stream become its bytes (RFC 9000 sections 2.2 and 21.7)."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import TransportError
from caesura.quic.reassembly import PieceBudget, Reassembly

BODY = random.Random(1).randbytes(3000)


def new(allowance: int = 1000) -> Reassembly:
    return Reassembly(PieceBudget(allowance))


PIECES = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 300)), max_size=30)


@given(PIECES, st.lists(st.integers(-1, 400), max_size=30))
def test_any_pieces_in_any_order(pieces: list[tuple[int, int]], takes: list[int]) -> None:
    budget = PieceBudget(1000)
    reassembly, there, taken = Reassembly(budget), set[int](), b""
    for index, (offset, size) in enumerate(pieces):
        reassembly.add(offset, BODY[offset : offset + size])
        there |= set(range(offset, offset + size))
        known = next(at for at in range(1000) if at not in there)
        assert reassembly.next == known
        assert reassembly.ready == known - len(taken)
        assert reassembly.ahead is any(at > known for at in there)
        assert budget.held == sum(at > known for at in there)
        if index < len(takes):
            data = reassembly.take(takes[index])
            assert len(data) == (min(takes[index], known - len(taken)) if takes[index] >= 0 else known - len(taken))
            taken += data
    taken += reassembly.take()
    assert taken == BODY[: reassembly.next]
    reassembly.clear()
    assert (budget.pieces, budget.held) == (0, 0)


def test_bytes_that_come_twice_count_once_and_the_first_ones_do() -> None:
    reassembly = new()
    reassembly.add(2, b"cde")
    reassembly.add(0, b"XXXXXXX")
    assert reassembly.take() == b"XXcdeXX"
    reassembly.add(0, b"YYYYYYYYY")
    assert reassembly.take() == b"YY"


def test_what_is_in_order_is_not_copied() -> None:
    reassembly, data = new(), bytes(1200)
    reassembly.add(0, data)
    assert reassembly.take() is data


def test_an_empty_piece_is_nothing() -> None:
    reassembly = new()
    reassembly.add(0, b"")
    reassembly.add(5, b"")
    assert (reassembly.next, reassembly.ready, reassembly.ahead) == (0, 0, False)
    assert reassembly.take() == reassembly.take(0) == b""


@pytest.mark.parametrize("size", [1, 100, 1200])
def test_a_gap_before_much(size: int) -> None:
    """A lost packet at the front of a whole window: any size of packet is held, and told apart from an attack."""
    budget = PieceBudget(64)
    reassembly = Reassembly(budget)
    body = random.Random(2).randbytes(600 * size)
    for at in range(size, len(body), size):
        reassembly.add(at, body[at : at + size])
    assert budget.held == len(body) - size
    reassembly.add(0, body[:size])
    assert (budget.pieces, budget.held) == (0, 0)
    assert reassembly.take() == body


# --- bounds -----------------------------------------------------------------------------------------------------


def test_pieces_with_gaps_are_bounded_for_all_streams_together() -> None:
    budget = PieceBudget(100)
    first, second = Reassembly(budget), Reassembly(budget)
    for at in range(50):
        first.add(2 * at + 1, b"a")
        second.add(2 * at + 1, b"a")
    with pytest.raises(TransportError, match="pieces") as caught:
        first.add(201, b"a")
    assert caught.value.error_code == 1
    first.clear()
    second.add(201, b"a")


def test_big_pieces_with_gaps_are_not() -> None:
    reassembly = new(allowance=10)
    for at in range(1000):
        reassembly.add(400 * at + 200, bytes(200))
    assert reassembly.ready == 0


def test_small_pieces_in_order_become_few() -> None:
    reassembly = new()
    tracemalloc.start()
    try:
        for at in range(50_000):
            reassembly.add(at, b"a")
        assert tracemalloc.get_traced_memory()[0] < 150_000
    finally:
        tracemalloc.stop()
    assert reassembly.take(20_000) + reassembly.take() == b"a" * 50_000


def test_a_little_from_much_is_cheap_to_take() -> None:
    reassembly, body = new(), bytes(2_000_000)
    reassembly.add(0, body)
    reassembly.add(len(body), body)
    for _ in range(20_000):  # copying the rest each time would take a minute
        assert len(reassembly.take(100)) == 100
    assert reassembly.take() == body
