"""Flights: what is sent again, and what is not; the timer that decides when."""

from __future__ import annotations

import pytest

from caesura.dtls.acks import Acknowledgements
from caesura.dtls.flights import Ending, Flight, RetransmissionTimer
from caesura.dtls.fragments import OutgoingMessage
from caesura.wire.dtls import Fragment, RecordNumber, decode_ack, decode_fragments


class Sealer:
    """Numbers records and keeps what they hold."""

    def __init__(self) -> None:
        self.records: dict[RecordNumber, list[Fragment]] = {}
        self.new: list[RecordNumber] = []

    def __call__(self, epoch: int, content_type: int, content: bytes) -> tuple[RecordNumber, bytes]:
        number = (epoch, len(self.records))
        self.records[number] = decode_fragments(content)
        self.new.append(number)
        return number, bytes(5) + content

    def ranges(self) -> list[tuple[int, int, int]]:
        """What was sent since this was last asked: message, from, to."""
        sent = [(f.message_seq, f.offset, f.stop) for number in self.new for f in self.records[number]]
        self.new.clear()
        return sent


def message(size: int) -> bytes:
    return (11 << 24 | size).to_bytes(4, "big") + bytes(size)


def flight(*sizes: int, remembered: int = 64) -> Flight:
    messages = [OutgoingMessage(2, seq, message(size)) for seq, size in enumerate(sizes)]
    return Flight(messages, Ending.ANSWERED, remembered=remembered)


def transmit(each: Flight, sealer: Sealer, mtu: int = 65) -> list[bytes]:
    return each.transmit(sealer, {2: 5}.__getitem__, mtu, 16384)


def test_unacknowledged_it_is_sent_whole() -> None:
    each, sealer = flight(100, 30), Sealer()
    transmit(each, sealer)
    first = sealer.ranges()
    assert first == [(0, 0, 48), (0, 48, 96), (0, 96, 100), (1, 0, 30)]
    transmit(each, sealer)
    assert sealer.ranges() == first


def test_what_was_acknowledged_is_not_sent_again() -> None:
    each, sealer = flight(100, 30), Sealer()
    transmit(each, sealer)
    sealer.ranges()
    assert each.acknowledge([(2, 1)])
    transmit(each, sealer)
    assert sealer.ranges() == [(0, 0, 48), (0, 96, 100), (1, 0, 30)]
    assert not each.acknowledge([(2, 1)])  # no news
    assert each.acknowledge([(2, 0)])  # of the first transmission
    assert not each.arrived
    assert each.acknowledge([(2, 4)])  # what the second had beside that
    assert each.arrived
    assert transmit(each, sealer) == []


def test_numbers_that_are_not_ours_mean_nothing() -> None:
    each, sealer = flight(10), Sealer()
    transmit(each, sealer)
    assert not each.acknowledge([(0, 0), (2, 7), (3, 0), (2**64 - 1, 2**64 - 1)])
    assert not each.arrived


def test_another_mtu_cuts_what_is_missing_anew() -> None:
    each, sealer = flight(100), Sealer()
    transmit(each, sealer, mtu=65)
    each.acknowledge([(2, 0)])
    sealer.ranges()
    transmit(each, sealer, mtu=40)
    assert sealer.ranges() == [(0, 48, 71), (0, 71, 94), (0, 94, 100)]


def test_records_of_long_ago_are_forgotten() -> None:
    each, sealer = flight(10, remembered=3), Sealer()
    for _ in range(4):
        transmit(each, sealer)
    assert not each.acknowledge([(2, 0)])
    assert each.acknowledge([(2, 1)])


def test_lost_is_lost() -> None:
    each, sealer = flight(10), Sealer()
    transmit(each, sealer)
    each.acknowledge([(2, 0)])
    each.lose()
    assert not each.arrived
    transmit(each, sealer)
    each.acknowledge([(2, 1)])
    assert each.arrived


@pytest.mark.parametrize("answered", [False, True])
def test_keys_are_kept_for_what_may_be_sent_again(answered: bool) -> None:
    messages = [OutgoingMessage(epoch, epoch, message(10)) for epoch in (0, 2)]
    each, sealer = Flight(messages, Ending.ANSWERED if answered else Ending.ACKNOWLEDGED, remembered=64), Sealer()
    each.transmit(sealer, {0: 5, 2: 5}.__getitem__, 100, 16384)
    assert each.epochs == {0, 2}
    each.acknowledge([(0, 0)])
    assert each.epochs == ({0, 2} if answered else {2})


# --- the timer --------------------------------------------------------------------------------------------------


def test_it_doubles_to_a_maximum() -> None:
    timer = RetransmissionTimer(1.0, 60.0, None)
    assert timer.deadline is None
    timer.start(100.0)
    waits, now = [], 100.0
    for _ in range(9):
        assert timer.deadline is not None
        waits.append(timer.deadline - now)
        now = timer.deadline
        timer.expire(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert timer.expiries == 9


def test_hearing_from_the_peer_resets_it() -> None:
    timer = RetransmissionTimer(1.0, 60.0, None)
    timer.start(0.0)
    timer.expire(1.0)
    timer.reset()
    assert timer.deadline is None
    timer.start(5.0)
    assert (timer.deadline, timer.expiries) == (6.0, 0)


def test_standing_still_it_forgets_nothing() -> None:
    timer = RetransmissionTimer(1.0, 60.0, None)
    timer.start(0.0)
    timer.expire(1.0)
    timer.suspend()
    assert timer.deadline is None
    timer.start(10.0)
    assert (timer.deadline, timer.expiries) == (12.0, 1)


def test_durations_of_ones_own() -> None:
    asked = []

    def choose(duration: float) -> float:
        asked.append(duration)
        return duration + 0.5

    timer = RetransmissionTimer(1.0, 60.0, choose)
    timer.start(0.0)
    assert timer.deadline == 0.5
    timer.expire(0.5)
    assert timer.deadline == 1.5
    assert asked == [0.0, 0.5]


def test_another_initial_duration_counts_what_has_elapsed() -> None:
    timer = RetransmissionTimer(0.4, 60.0, None)
    timer.start(0.0)
    timer.set_initial(0.2)
    assert timer.deadline == 0.2
    timer.expire(0.2)
    assert timer.deadline == pytest.approx(0.6)
    timer.set_initial(0.4)
    assert timer.deadline == pytest.approx(1.0)
    timer.set_initial(50)
    assert timer.duration == 60


# --- ACKs ---------------------------------------------------------------------------------------------------------


def test_an_ack_lists_what_came_in_order() -> None:
    acks = Acknowledgements(32)
    for number in [(2, 5), (0, 9), (2, 1)]:
        acks.received(number)
    assert acks.unsent
    assert decode_ack(acks.take(1000)) == [(0, 9), (2, 1), (2, 5)]
    assert not acks.unsent


def test_an_ack_repeats_what_the_last_one_said() -> None:
    acks = Acknowledgements(32)
    acks.received((3, 1))
    acks.take(1000)
    acks.received((3, 2))
    assert decode_ack(acks.take(1000)) == [(3, 1), (3, 2)]
    acks.clear()
    assert decode_ack(acks.take(1000)) == []


def test_whether_all_came_in_the_clear() -> None:
    acks = Acknowledgements(32)
    assert not acks.in_the_clear
    acks.received((0, 1))
    assert acks.in_the_clear
    acks.received((2, 0))
    assert not acks.in_the_clear


def test_a_number_is_listed_once() -> None:
    acks = Acknowledgements(32)
    acks.received((0, 1))
    acks.received((0, 1))
    assert decode_ack(acks.take(1000)) == [(0, 1)]


def test_the_newest_are_kept() -> None:
    acks = Acknowledgements(4)
    for sequence in range(10):
        acks.received((3, sequence))
    assert decode_ack(acks.take(1000)) == [(3, 6), (3, 7), (3, 8), (3, 9)]


@pytest.mark.parametrize(("room", "count"), [(2, 0), (17, 0), (18, 1), (49, 2), (50, 3), (66, 4), (0, 0)])
def test_an_ack_fits_its_datagram(room: int, count: int) -> None:
    acks = Acknowledgements(32)
    for sequence in range(4):
        acks.received((3, sequence))
    assert decode_ack(acks.take(room)) == [(3, sequence) for sequence in range(4 - count, 4)]


def test_the_first_to_come_decides_when() -> None:
    acks = Acknowledgements(32)
    assert acks.deadline is None
    acks.schedule(5.0)
    acks.schedule(6.0)
    assert acks.deadline == 5.0
    acks.take(100)
    assert acks.deadline is None
