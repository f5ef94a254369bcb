"""What is acknowledged, and when (RFC 9000 sections 13.2, 12.3 and 19.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.quic import frames
from caesura.quic.acks import Acknowledgements
from caesura.quic.levels import ONE_RTT
from caesura.quic.sent_packets import Recall


def new(max_delay: float = 0.025, limit: int = 32) -> Acknowledgements:
    return Acknowledgements(max_delay, 3, limit)


class Heard:
    """What the peer reads in our ACKs."""

    def on_ack(self, level: int, ranges: list[tuple[int, int]], delay: int, ecn: tuple[int, int, int] | None) -> None:
        self.ranges, self.delay, self.ecn = ranges, delay, ecn


def sent(acks: Acknowledgements, now: float = 0.0, room: int = 1000) -> tuple[Heard, Recall] | None:
    """The ACK that is sent now, as the peer reads it."""
    pieces: list[bytes] = []
    recalls: list[Recall] = []
    size = acks.write(room, pieces, recalls, now)
    if not size:
        assert pieces == recalls == []
        return None
    assert size == len(b"".join(pieces)) <= room
    heard = Heard()
    frames.dispatch_untrusted(b"".join(pieces), ONE_RTT, frames.permitted(ONE_RTT, from_server=True), heard)
    return heard, recalls[0]


def ranges(acks: Acknowledgements, **options: float) -> list[tuple[int, int]]:
    found = sent(acks, **options)
    assert found is not None
    return found[0].ranges


def arrive(acks: Acknowledgements, *numbers: int, eliciting: bool = True) -> None:
    for number in numbers:
        acks.received(number, eliciting, 0.0)


# --- when -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "due"),
    [
        ([0], False),
        ([0, 1], True),  # section 13.2.2: every second
        ([1], True),  # section 13.2.1: there is a gap before it
        ([0, 2], True),
    ],
)
def test_at_once_or_later(numbers: list[int], due: bool) -> None:
    acks = new()
    arrive(acks, *numbers)
    assert acks.due is due
    assert acks.pending


def test_a_packet_below_another_is_acknowledged_at_once() -> None:
    acks = new()
    arrive(acks, 0, 1, 3)
    sent(acks)
    assert not acks.due
    arrive(acks, 2)
    assert acks.due


def test_one_packet_is_acknowledged_within_the_delay() -> None:
    acks = new()
    acks.received(0, True, 5.0)
    assert acks.deadline == 5.025
    sent(acks, 5.02)
    assert (acks.deadline, acks.due, acks.pending) == (None, False, False)
    acks.received(1, False, 6.0)
    assert (acks.deadline, acks.due, acks.pending) == (None, False, False)
    acks.received(2, True, 7.0)
    assert acks.deadline == 7.025


def test_nothing_is_held_back_in_a_handshake() -> None:
    acks = new(max_delay=0.0)
    arrive(acks, 0)
    assert acks.due


def test_a_mark_of_congestion_is_passed_on_at_once() -> None:
    acks = new()
    acks.received(0, True, 0.0, ecn=3)
    assert acks.due


def test_what_asks_for_no_acknowledgement_gets_none() -> None:
    acks = new()
    arrive(acks, 0, 1, 5, 3, eliciting=False)
    assert (acks.due, acks.deadline, acks.pending) == (False, None, False)
    assert ranges(acks) == [(5, 6), (3, 4), (0, 2)]


# --- what -------------------------------------------------------------------------------------------------------


def test_before_anything_has_come_there_is_nothing_to_say() -> None:
    assert sent(new()) is None


def test_the_delay_is_in_units_of_the_exponent() -> None:
    acks = new()
    acks.received(0, True, 1.0)
    found = sent(acks, 1.008)
    assert found is not None
    assert found[0].delay == 1000
    acks.received(7, True, 2.0)
    acks.received(3, True, 2.004)  # not the largest
    found = sent(acks, 2.008)
    assert found is not None
    assert found[0].delay == 1000


def test_marks_are_counted() -> None:
    """Section 13.4.1."""
    acks = new()
    for number, ecn in enumerate([2, 2, 2, 1, 1, 3, 0]):
        acks.received(number, True, 0.0, ecn)
    found = sent(acks)
    assert found is not None
    assert found[0].ecn == (3, 2, 1)
    plain = new()
    arrive(plain, 0)
    found = sent(plain)
    assert found is not None
    assert found[0].ecn is None


def test_what_the_peer_has_heard_is_not_said_again() -> None:
    """Section 13.2.4."""
    acks = new()
    arrive(acks, 0, 2, 4)
    found = sent(acks)
    assert found is not None
    arrive(acks, 6)
    assert ranges(acks) == [(6, 7), (4, 5), (2, 3), (0, 1)]
    owner, at, mark, data = found[1]
    owner.lost(at, mark, data)
    owner.acked(at, mark, data)
    assert ranges(acks) == [(6, 7)]
    arrive(acks, 3)  # late: the peer cannot know yet
    assert ranges(acks) == [(6, 7), (2, 5)]
    assert all(acks.seen(number) for number in (0, 2, 3, 4, 6))
    assert not any(acks.seen(number) for number in (1, 5, 7))


def test_with_little_room_the_newest_are_said() -> None:
    acks = new()
    arrive(acks, *range(0, 60, 2))
    assert len(ranges(acks)) == 30
    few = ranges(acks, room=20)
    assert few == [(58 - 2 * at, 59 - 2 * at) for at in range(len(few))]
    assert 1 <= len(few) < 10
    assert sent(acks, room=4) is None
    arrive(acks, 60)
    assert sent(acks, room=4) is None
    assert acks.due


def test_an_answer_is_wanted_now_and_then() -> None:
    """Section 13.2.4: who only sends ACKs would never learn that they arrive."""
    acks = new()
    for number in range(0, 200, 2):
        arrive(acks, number)
        found = sent(acks)
        assert found is not None
        assert acks.wants_answer is (number >= 62)
    owner, at, mark, data = found[1]
    owner.acked(at, mark, data)
    assert not acks.wants_answer


def test_in_order_no_answer_is_wanted() -> None:
    acks = new()
    for number in range(200):
        arrive(acks, number)
        sent(acks)
    assert not acks.wants_answer


# --- bounds -----------------------------------------------------------------------------------------------------


def test_ranges_are_bounded_and_what_is_forgotten_counts_as_seen() -> None:
    acks = new(limit=4)
    arrive(acks, 0, 2, 4, 6, 8)
    assert ranges(acks) == [(8, 9), (6, 7), (4, 5), (2, 3)]
    assert acks.seen(0)
    assert not acks.seen(1)
    arrive(acks, 1)
    assert ranges(acks) == [(8, 9), (6, 7), (4, 5), (1, 3)]
    arrive(acks, 10)
    assert acks.seen(0)
    assert acks.seen(1)
    assert acks.seen(2)
    assert not acks.seen(3)
    arrive(acks, 2**62 - 1)
    assert ranges(acks)[0] == (2**62 - 1, 2**62)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["packet", "ack", "answered"])), max_size=60),
    st.integers(2, 8),
)
def test_any_order_of_packets(steps: list[tuple[int, str]], limit: int) -> None:
    acks, come, told, flying = new(limit=limit), set[int](), set[int](), list[tuple[Recall, set[int]]]()
    for number, what in steps:
        if what == "packet":
            if acks.seen(number):
                continue
            assert number not in come
            acks.received(number, True, 0.0)
            come.add(number)
        elif what == "ack" and (found := sent(acks)) is not None:
            said = {each for start, stop in found[0].ranges for each in range(start, stop)}
            assert said <= come
            assert max(come) in said
            assert len(found[0].ranges) <= limit
            if limit == 8:
                assert said | told == come or len(found[0].ranges) == limit
            flying.append((found[1], said))
        elif what == "answered" and flying:
            (owner, at, mark, data), said = flying.pop(number % len(flying))
            owner.acked(at, mark, data)
            told |= {each for each in come if each <= at}
    assert all(acks.seen(number) for number in come)
    assert not any(acks.seen(number) for number in range(41, 50))


@pytest.mark.parametrize("ecn", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 2, 16])
@pytest.mark.parametrize("before", [[0], [0, 1, 2], [3, 7]])
def test_a_run_is_as_its_packets_one_by_one(before: list[int], count: int, ecn: int) -> None:
    together, singly = new(), new()
    assert together.following == -1  # before anything has come there is nothing to follow
    for acks in (together, singly):
        for number in before:
            acks.received(number, False, 1.0)
    assert together.following == before[-1] + 1
    together.received_run(count, 2.0, ecn)
    for number in range(before[-1] + 1, before[-1] + 1 + count):
        singly.received(number, True, 2.0, ecn)
    for name in ("due", "largest", "largest_at", "pending", "ecn"):
        assert getattr(together, name) == getattr(singly, name)
    assert together.due or together.deadline == singly.deadline
    assert ranges(together, now=2.0) == ranges(singly, now=2.0)
