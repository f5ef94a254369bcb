"""Fragments in any order, overlapping and repeated, become the messages they were cut from, within bounds."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.dtls.reassembly import PartialMessage, Reassembly, Verdict
from caesura.errors import IllegalParameter
from caesura.wire.dtls import Fragment, decode_fragments


def new(limit: int = 10_000, ahead: int = 7, budget: int = 100_000) -> Reassembly:
    return Reassembly(limit, ahead, budget)


def whole(seq: int, body: bytes, msg_type: int = 11) -> Fragment:
    return Fragment(msg_type, len(body), seq, 0, body)


def raw(body: bytes, msg_type: int = 11) -> bytes:
    return bytes((msg_type,)) + len(body).to_bytes(3, "big") + body


@st.composite
def cut_up(draw: st.DrawFn) -> tuple[list[bytes], list[Fragment]]:
    """Some messages, and fragments that cover them, overlapping, repeated and shuffled."""
    bodies = draw(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
    fragments = []
    for seq, body in enumerate(bodies):
        cuts = sorted(draw(st.sets(st.integers(0, len(body)), max_size=8)) | {0, len(body)})
        pieces = list(pairwise(cuts)) or [(0, 0)]
        for start, stop in pieces:
            wider = (max(0, start - draw(st.integers(0, 20))), min(len(body), stop + draw(st.integers(0, 20))))
            fragments.append(Fragment(11, len(body), seq, wider[0], body[wider[0] : wider[1]]))
    fragments += draw(st.lists(st.sampled_from(fragments), max_size=5))
    return bodies, draw(st.permutations(fragments))


@given(cut_up())
def test_whatever_the_order(given_: tuple[list[bytes], list[Fragment]]) -> None:
    bodies, fragments = given_
    reassembly, found = new(), []
    for fragment in fragments:
        assert reassembly.add(fragment) is (Verdict.OLD if fragment.message_seq < reassembly.next_seq else Verdict.KEPT)
        while (message := reassembly.pop()) is not None:
            found.append(message)
    assert found == [raw(body) for body in bodies]
    assert reassembly.empty
    assert reassembly.next_seq == len(bodies)


@given(st.data(), st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 2), st.booleans())
def test_the_short_way_says_what_the_long_way_says(
    data: st.DataObject, bodies: list[bytes], first: int, damaged: bool
) -> None:
    content = b"".join(whole(seq, body).encode() for seq, body in enumerate(bodies, first))
    if damaged and content:
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes((data.draw(st.integers(0, 255)),)) + content[at + 1 :]
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    short, long = Reassembly(30, 4, 2000), Reassembly(30, 4, 2000)
    taken = short.add_whole(content)
    assert taken or short.empty
    in_order = [whole(seq, body).encode() for seq, body in enumerate(bodies)]
    if content == b"".join(in_order) and 0 < len(bodies) <= 4 and max(map(len, bodies)) <= 30:
        assert taken
    if taken:
        verdicts = [long.add(fragment) for fragment in decode_fragments(content)]
        assert verdicts == [Verdict.KEPT] * len(verdicts)
        while not short.empty:
            assert short.pop() == long.pop() is not None
        assert long.empty


def test_the_short_way_is_for_whole_messages_in_their_order() -> None:
    one, two, piece = whole(0, b"a").encode(), whole(1, b"b").encode(), Fragment(11, 2, 0, 0, b"a").encode()
    for content in (
        b"",
        two,
        two + one,
        piece,
        one + piece,
        one + two[:-1],
        one + bytes(3),
        whole(0, bytes(31)).encode(),
    ):
        reassembly = Reassembly(30, 4, 2000)
        assert not reassembly.add_whole(content)
        assert reassembly.empty
    assert not Reassembly(30, 1, 2000).add_whole(one + two)  # further ahead than messages are kept
    assert not Reassembly(30, 4, 500).add_whole(one)  # what could be more than is held for later
    reassembly = Reassembly(30, 4, 2000)
    reassembly.add(whole(1, b"b"))
    assert not reassembly.add_whole(one)


@pytest.mark.parametrize("size", [0, 1, 2, 1000, 9999])
def test_one_byte_at_a_time_in_random_order(size: int) -> None:
    body = random.Random(size).randbytes(size)
    fragments = [Fragment(11, size, 0, at, body[at : at + 1]) for at in range(max(size, 1))]
    random.Random(1).shuffle(fragments)
    reassembly = new()
    for fragment in fragments:
        assert reassembly.pop() is None
        assert reassembly.add(fragment) is Verdict.KEPT
    assert reassembly.pop() == raw(body)


def test_empty_fragments_complete_nothing() -> None:
    reassembly = new()
    for _ in range(100):
        assert reassembly.add(Fragment(11, 5, 0, 5, b"")) is Verdict.KEPT
    assert reassembly.pop() is None
    reassembly.add(whole(0, b"hello"))
    assert reassembly.pop() == raw(b"hello")


def test_messages_wait_for_those_before_them() -> None:
    reassembly = new()
    reassembly.add(whole(1, b"b"))
    assert reassembly.pop() is None
    assert not reassembly.empty
    reassembly.add(whole(0, b"a"))
    assert [reassembly.pop(), reassembly.pop(), reassembly.pop()] == [raw(b"a"), raw(b"b"), None]


def test_what_was_handed_over_is_old() -> None:
    reassembly = new()
    reassembly.add(whole(0, b"a"))
    reassembly.pop()
    assert reassembly.add(whole(0, b"a")) is Verdict.OLD
    assert reassembly.add(whole(0, b"another")) is Verdict.OLD


@pytest.mark.parametrize("change", ["type", "length"])
@pytest.mark.parametrize("complete", [False, True])
def test_fragments_that_contradict_each_other(change: str, complete: bool) -> None:
    reassembly = new()
    reassembly.add(whole(0, b"abc") if complete else Fragment(11, 3, 0, 0, b"a"))
    other = Fragment(12, 3, 0, 1, b"b") if change == "type" else Fragment(11, 4, 0, 1, b"b")
    with pytest.raises(IllegalParameter):
        reassembly.add(other)


def test_the_last_whole_message() -> None:
    reassembly = new()
    assert reassembly.last_whole() is None
    reassembly.add(whole(0, b"a", 8))
    assert reassembly.last_whole() == 8
    reassembly.add(whole(2, b"c", 20))
    assert reassembly.last_whole() == 8
    reassembly.add(whole(1, b"b", 11))
    assert reassembly.last_whole() == 20


# --- bounds -----------------------------------------------------------------------------------------------------


def test_a_message_that_is_too_long() -> None:
    reassembly = new(limit=100)
    assert reassembly.add(whole(0, bytes(100))) is Verdict.KEPT
    with pytest.raises(IllegalParameter, match="101"):
        reassembly.add(Fragment(11, 101, 1, 0, b"a"))


def test_a_message_too_far_ahead() -> None:
    reassembly = new(ahead=7)
    assert reassembly.add(whole(6, b"a")) is Verdict.KEPT
    assert reassembly.add(whole(7, b"a")) is Verdict.BEYOND
    reassembly.add(whole(0, b"a"))
    reassembly.pop()
    assert reassembly.add(whole(7, b"a")) is Verdict.KEPT


def test_a_budget_for_what_comes_later() -> None:
    reassembly = new(budget=2000)
    assert reassembly.add(Fragment(11, 5000, 1, 0, bytes(1000))) is Verdict.KEPT
    assert reassembly.add(Fragment(11, 5000, 2, 0, bytes(1000))) is Verdict.BEYOND
    assert reassembly.add(whole(0, bytes(5000))) is Verdict.KEPT  # what is next is never kept out
    reassembly.pop()
    assert reassembly.add(Fragment(11, 5000, 2, 0, bytes(1000))) is Verdict.KEPT


def test_what_is_held_grows_with_what_has_come() -> None:
    message = PartialMessage(raw(bytes(100_000))[:4])
    message.add(99_999, b"a")
    assert message.held < 300
    for at in range(5000):
        message.add(at, b"a")
    assert message.held < 115_000


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 10)), max_size=12), st.integers(30, 3000))
def test_the_beginning_of_a_message(pieces: list[tuple[int, int]], length: int) -> None:
    body = bytes(range(256)) * 12
    message, there = PartialMessage(raw(bytes(length))[:4]), set[int]()
    for start, size in pieces:
        stop = min(start + size, length)
        message.add(start, body[start:stop])
        there |= set(range(start, stop))
    known = next(at for at in range(length + 1) if at not in there)
    assert message.beginning() == body[:known]
    assert message.complete is (known == length)
