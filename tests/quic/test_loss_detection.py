"""Which packets are lost, and when the peer is asked (RFC 9002 section 6 and appendix A)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import ProtocolViolation
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE_SPACE, INITIAL_SPACE
from tests.quic.recovery import MTU, Sender


def measured(round_trip: float = 0.1, **options: bool) -> Sender:
    """A sender that has measured the round trip."""
    sender = Sender(**options)
    sender.send()
    sender.now += round_trip
    sender.ack(0)
    sender.told.acks.clear()
    return sender


# --- acknowledgements -------------------------------------------------------------------------------------------


def test_what_is_acknowledged_is_told_and_forgotten() -> None:
    sender = Sender()
    sender.send(4)
    assert sender.ack(0, 1, 3)
    assert sender.told.acks == [0, 1, 3]
    assert sender.congestion.bytes_in_flight == MTU
    assert not sender.ack(0, 1, 3)
    assert sender.ack(2)
    assert sender.told.acks == [0, 1, 3, 2]
    assert sender.congestion.bytes_in_flight == 0
    assert sender.loss.timeout() is None


@pytest.mark.parametrize("ranges", [[(0, 4)], [(3, 4), (0, 1)], [(2**62 - 1, 2**62)]])
def test_what_was_never_sent_cannot_be_acknowledged(ranges: list[tuple[int, int]]) -> None:
    sender = Sender()
    sender.send(3)
    with pytest.raises(ProtocolViolation):
        sender.loss.ack_received(APPLICATION_SPACE, ranges, 0.0, 1.0)
    assert sender.told.acks == []


def test_packets_that_are_not_in_flight_are_looked_past() -> None:
    """A receiver sends ten thousand ACKs, and then a packet of its own."""
    sender = Sender()
    sender.send()
    sender.ack(0)
    sender.loss.spaces[APPLICATION_SPACE].next_number = 10_000
    assert sender.send(2) == [10_000, 10_001]
    assert sender.loss.ack_received(APPLICATION_SPACE, [(0, 10_002)], 0.0, 0.1)
    assert sender.told.acks == [0, 10_000, 10_001]


def test_many_packets_at_once_are_as_many_one_by_one() -> None:
    sender, other = Sender(), Sender()
    other.send(5)
    other.loss.probes[APPLICATION_SPACE] = sender.loss.probes[APPLICATION_SPACE] = 2
    sender.now = other.now = 0.1
    other.send(10)
    sender.send(5)
    sender.loss.bulk_sent(5, MTU, [((sender.told, number, 0, b""),) for number in range(5, 15)], 0.1)
    sender.loss.spaces[APPLICATION_SPACE].next_number = 15
    assert sender.loss.probes == other.loss.probes == [0, 0, 0]
    for each in (sender, other):
        each.now = 0.2
        each.ack(0, 2, 7, 14)
        assert each.told.acks == [0, 2, 7, 14]
        assert each.told.losses == [1, 3, 4, 5, 6, 8, 9, 10, 11]
        assert each.congestion.bytes_in_flight == 2 * MTU
        assert each.loss.spaces[APPLICATION_SPACE].eliciting == 2
    assert sender.loss.timeout() == other.loss.timeout()


# --- losses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "acked", "lost"),
    [
        (4, [3], [0]),
        (4, [2], []),
        (6, [5], [0, 1, 2]),
        (6, [0, 1, 5], [2]),
        (8, [2, 3, 4, 7], [0, 1]),
        (9, [4, 8], [0, 1, 2, 3, 5]),
    ],
)
def test_three_packets_later(sent: int, acked: list[int], lost: list[int]) -> None:
    """Section 6.1.1."""
    sender = Sender()
    sender.send(sent)
    sender.now = 0.1
    sender.ack(*acked)
    assert sender.told.losses == [number for number in lost if number not in acked]
    gone = {*acked, *sender.told.losses}
    assert sender.congestion.bytes_in_flight == MTU * (sent - len(gone))


def test_nine_eighths_of_a_round_trip_later() -> None:
    """Section 6.1.2."""
    sender = measured(0.1)
    sender.send()
    sender.now += 0.01
    sender.send()
    sender.now += 0.1
    sender.ack(2)
    assert sender.told.losses == []
    assert sender.loss.timeout() == pytest.approx(0.1 + 9 / 8 * 0.1)
    sender.loss.handle_timeout(sender.loss.timeout() - 1e-4)
    assert sender.told.losses == []
    sender.loss.handle_timeout(sender.loss.timeout())
    assert sender.told.losses == [1]
    assert sender.loss.timeout() is None
    assert not any(sender.loss.probes)


def test_a_late_acknowledgement_of_a_lost_packet_changes_nothing() -> None:
    sender = Sender()
    sender.send(4)
    sender.ack(3)
    assert not sender.ack(0)
    assert sender.told.acks == [3]
    assert sender.congestion.bytes_in_flight == 2 * MTU


def test_a_lost_mtu_probe_is_no_sign_of_congestion() -> None:
    """RFC 9000 section 14.4."""
    sender = Sender()
    number = sender.loss.spaces[APPLICATION_SPACE].next_number
    sender.loss.spaces[APPLICATION_SPACE].next_number += 1
    sender.loss.packet_sent(APPLICATION_SPACE, number, 1450, True, (), 0.0).mtu_probe = True
    sender.send(3)
    window = sender.congestion.window
    sender.ack(3)
    assert sender.loss.packets_lost == 1
    assert sender.congestion.window >= window


# --- the probe timeout ------------------------------------------------------------------------------------------


def test_a_probe_brings_again_what_the_oldest_packets_carried() -> None:
    sender = measured(0.1)
    sender.round_trip.max_ack_delay = 0.02
    sender.send(4)
    expected = 0.1 + 0.1 + 4 * 0.05 + 0.02  # section 6.2.1: when it was sent, and the PTO
    assert sender.loss.timeout() == pytest.approx(expected)
    sender.wait(1.0)
    assert sender.now == pytest.approx(expected)
    assert sender.loss.probes == [0, 0, 2]
    assert sender.told.losses == [1, 2]
    assert sender.congestion.bytes_in_flight == 4 * MTU  # nothing was declared lost
    sender.send(2)
    assert sender.loss.probes == [0, 0, 0]
    sender.now += 0.1
    sender.ack(5, 6)
    assert sender.told.losses == [1, 2, 3, 4]  # what was sent again is not sent a third time
    assert sender.congestion.bytes_in_flight == 0


def test_probes_back_off_until_something_is_acknowledged() -> None:
    sender = measured(0.1)
    times = []
    for _ in range(4):
        before = sender.now
        sender.send()
        sender.wait(100.0)
        times.append(sender.now - before)
    assert times == pytest.approx([0.3, 0.6, 1.2, 2.4])
    sender.ack(1)
    assert sender.loss.pto_count == 0


def test_no_probe_of_1rtt_packets_before_the_handshake_is_confirmed() -> None:
    """Section 6.2.1."""
    sender = Sender(client=False, confirmed=False)
    sender.send()
    assert sender.loss.timeout() is None
    sender.loss.handshake_confirmed = True
    assert sender.loss.timeout() is not None


def test_an_earlier_space_is_probed_and_a_later_one_with_it() -> None:
    sender = Sender(client=False, confirmed=False)
    sender.send(space=INITIAL_SPACE)
    sender.now = 0.01
    sender.send(3, space=HANDSHAKE_SPACE)
    sender.wait(10.0)
    assert sender.now == pytest.approx(0.333 * 3)  # section 6.2.2
    assert sender.loss.probes == [2, 1, 0]
    assert sender.told.losses == [0, 0]


def test_a_client_asks_a_server_that_may_not_send() -> None:
    """Section 6.2.2.1: all is acknowledged, and nothing comes."""
    sender = Sender(confirmed=False)
    sender.send(space=INITIAL_SPACE)
    sender.now = 0.1
    sender.ack(0, space=INITIAL_SPACE)
    assert sender.loss.timeout() == pytest.approx(0.1 + 0.3)
    sender.wait(1.0)
    assert sender.loss.probes == [1, 0, 0]
    sender.loss.handshake_keys = True
    sender.send(space=INITIAL_SPACE, carrying=False)
    sender.loss.discard(INITIAL_SPACE, sender.now)
    sender.wait(1.0)
    assert sender.loss.probes == [0, 1, 0]
    sender.send(space=HANDSHAKE_SPACE)
    sender.ack(0, space=HANDSHAKE_SPACE)
    assert sender.loss.timeout() is None


def test_a_client_that_was_not_heard_backs_off_all_the_same() -> None:
    """Section 6.2.1: an Initial that is acknowledged does not say that the server may send."""
    sender = Sender(confirmed=False)
    sender.send(space=INITIAL_SPACE)
    sender.wait(5.0)
    assert sender.loss.pto_count == 1
    sender.ack(0, space=INITIAL_SPACE)
    assert sender.loss.pto_count == 1


def test_a_server_that_may_not_send_has_no_timer() -> None:
    sender = Sender(client=False, confirmed=False)
    sender.send(space=INITIAL_SPACE)
    sender.loss.amplification_limited = True
    assert sender.loss.timeout() is None
    sender.loss.handle_timeout(100.0)
    assert not any(sender.loss.probes)
    sender.loss.amplification_limited = False
    assert sender.loss.timeout() == pytest.approx(0.999)


def test_the_peers_delay_is_taken_off() -> None:
    sender = measured(0.1)
    sender.round_trip.max_ack_delay = 0.03
    sender.send()
    sender.now += 0.2
    sender.ack(1, delay=5.0)  # more than it may: section 5.3
    assert sender.round_trip.smoothed == pytest.approx(0.1 + (0.17 - 0.1) / 8)
    assert sender.round_trip.latest == pytest.approx(0.2)
    assert sender.round_trip.minimum == pytest.approx(0.1)


def test_only_the_largest_packet_gives_a_sample() -> None:
    sender = measured(0.1)
    sender.send(2)
    sender.now += 0.1
    sender.ack(2)
    sender.now += 5.0
    sender.ack(1, 2)
    assert sender.round_trip.latest == pytest.approx(0.1)


def test_padding_alone_gives_no_sample() -> None:
    sender = Sender()
    sender.send(eliciting=False)
    sender.now = 0.5
    sender.ack(0)
    assert sender.round_trip.first_sample_at is None


# --- what else may happen ---------------------------------------------------------------------------------------


def test_a_discarded_space_is_not_waited_for() -> None:
    sender = Sender(client=False)
    sender.send(3, space=INITIAL_SPACE)
    sender.send(1, space=HANDSHAKE_SPACE)
    sender.loss.discard(INITIAL_SPACE, 0.0)
    assert sender.congestion.bytes_in_flight == MTU
    assert sender.told.losses == []
    sender.loss.discard(HANDSHAKE_SPACE, 0.0)
    assert sender.loss.timeout() is None


def test_what_was_not_taken_is_sent_again() -> None:
    """After a Retry, or when 0-RTT is rejected: no sign of congestion."""
    sender = Sender(confirmed=False)
    sender.send(3, space=INITIAL_SPACE)
    window = sender.congestion.window
    sender.loss.requeue(INITIAL_SPACE)
    assert sender.told.losses == [0, 1, 2]
    assert (sender.congestion.bytes_in_flight, sender.congestion.window) == (0, window)
    sender.ack(0, space=INITIAL_SPACE)
    assert sender.told.acks == []


def test_a_new_path_is_not_judged_by_the_old_one() -> None:
    """RFC 9000 section 9.4."""
    sender = measured(0.1)
    sender.send(5)
    sender.loss.new_path()
    assert sender.congestion.bytes_in_flight == 0
    sender.now += 3.0
    window = sender.congestion.window
    sender.ack(5)
    assert sender.told.losses == [1, 2, 3, 4]
    assert sender.congestion.window == window
    assert sender.round_trip.first_sample_at is None
    assert sender.congestion.bytes_in_flight == 0
    sender.send()
    sender.now += 0.2
    sender.ack(6)
    assert sender.round_trip.smoothed == pytest.approx(0.2)


# --- persistent congestion --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acked", "persistent"),
    [
        ([], True),
        ([2], True),  # still long enough on one side
        ([4], False),  # something came through in the middle
    ],
)
def test_persistent_congestion(acked: list[int], persistent: bool) -> None:
    """Section 7.6: all packets over more than three probe timeouts were lost."""
    sender = measured(0.1)  # the PTO is 0.3
    for _ in range(8):
        sender.now += 0.2
        sender.send()
    sender.now += 0.05
    sender.send()
    sender.now += 0.1
    sender.ack(*acked, 9)
    assert sender.loss.packets_lost == 8 - len(acked)
    assert (sender.congestion.window == sender.congestion.minimum) is persistent


def test_losses_before_the_first_sample_are_not_persistent_congestion() -> None:
    sender = Sender()
    for _ in range(20):
        sender.send()
        sender.now += 1.0
    sender.send()
    sender.now += 0.1
    sender.ack(20)
    assert sender.loss.packets_lost == 20
    assert sender.congestion.window > sender.congestion.minimum


# --- any order of things ----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("ack"), st.sets(st.integers(0, 40), min_size=1, max_size=6)),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.05, 0.1, 0.4, 3.0])),
        st.tuples(st.just("skip"), st.integers(1, 3)),  # packets that are not in flight
    ),
    max_size=40,
)


@given(STEPS)
def test_every_packet_is_in_flight_acknowledged_or_lost(steps: list[tuple[str, object]]) -> None:
    sender = Sender()
    space = sender.loss.spaces[APPLICATION_SPACE]
    in_flight: set[int] = set()
    for what, argument in steps:
        if what == "send":
            in_flight |= set(sender.send(argument))
            sender.loss.probes[APPLICATION_SPACE] = 0
        elif what == "skip":
            space.next_number += argument
        elif what == "wait":
            sender.wait(argument)
            sender.loss.probes[APPLICATION_SPACE] = 0
        elif what == "ack" and (known := {number for number in argument if number < space.next_number}):
            sender.ack(*known)
            assert not known & {number for number, packet in space.packets.items() if packet is not None}
            assert in_flight & known <= set(sender.told.acks) | set(sender.told.losses)
        left = {number for number, packet in space.packets.items() if packet is not None}
        assert left <= in_flight
        assert in_flight - left <= set(sender.told.acks) | set(sender.told.losses)
        assert sender.congestion.bytes_in_flight == MTU * len(left)
        assert space.eliciting == len(left)
        assert (sender.loss.timeout() is None) == (not left)
        assert len(sender.told.acks) == len(set(sender.told.acks))
        assert sender.congestion.window >= sender.congestion.minimum
        assert not left or space.first == min(left)
        assert all(number + 3 > space.largest_acked for number in left)
