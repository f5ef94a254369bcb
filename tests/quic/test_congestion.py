"""The congestion window (RFC 9002 section 7, RFC 9438), and pacing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.quic.congestion import NEVER, Congestion, NewReno
from caesura.quic.cubic import ALGORITHMS, Cubic
from caesura.quic.pacing import Pacer
from caesura.quic.rtt import RoundTrip
from caesura.quic_settings import QUICSettings
from tests.quic.recovery import MTU, Sender

KINDS = pytest.mark.parametrize("kind", [NewReno, Cubic])
Kind = Callable[[int], Congestion]


def flow(congestion: Congestion, rounds: int, round_trip: float = 0.1, now: float = 10.0) -> float:
    """Round trips in which the whole window is sent and acknowledged, packet by packet."""
    for _ in range(rounds):
        packets = congestion.window // MTU
        congestion.bytes_in_flight = packets * MTU
        now += round_trip
        for _ in range(packets):
            congestion.acked(MTU, MTU, now, round_trip)
            congestion.bytes_in_flight += MTU
        congestion.bytes_in_flight = 0
    return now


@KINDS
@pytest.mark.parametrize(("size", "window"), [(1200, 12_000), (1472, 14_720), (9000, 18_000)])
def test_the_initial_window(kind: Kind, size: int, window: int) -> None:
    """Section 7.2."""
    congestion = kind(size)
    assert congestion.window == window
    assert congestion.minimum == 2 * size
    assert congestion.slow_start


@KINDS
def test_slow_start_doubles_each_round_trip(kind: Kind) -> None:
    congestion = kind(MTU)
    flow(congestion, 3)
    assert congestion.window == 8 * 12_000


@KINDS
def test_one_reaction_to_all_that_is_lost_in_a_round_trip(kind: Kind) -> None:
    """Section 7.3.2."""
    sender = Sender(congestion=kind(MTU))
    sender.send(10)
    sender.now = 0.1
    sender.ack(4)  # 0 and 1 are lost
    reduced = sender.congestion.window
    assert reduced == (6000 if kind is NewReno else 8400)
    sender.ack(4, 9)  # more of the same flight
    assert sender.congestion.window == reduced
    sender.now = 0.11
    sender.send(4)
    sender.now = 0.2
    sender.ack(13)
    assert sender.congestion.window < reduced


@KINDS
def test_nothing_grows_from_packets_sent_before_the_reaction(kind: Kind) -> None:
    sender = Sender(congestion=kind(MTU))
    sender.send(10)
    sender.now = 0.1
    sender.ack(3)
    window = sender.congestion.window
    sender.now = 0.15
    sender.ack(1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert sender.congestion.window == window


@KINDS
def test_who_does_not_use_the_window_does_not_grow_it(kind: Kind) -> None:
    """Section 7.8."""
    congestion = kind(MTU)
    congestion.bytes_in_flight = 3 * MTU
    congestion.acked(MTU, MTU, 1.0, 0.1)
    assert congestion.window == 12_000
    congestion.window = congestion.threshold = 100 * MTU
    for now in range(1, 1000):
        congestion.bytes_in_flight = 50 * MTU
        congestion.acked(MTU, MTU, float(now), 0.1)
    assert congestion.window == 100 * MTU
    assert congestion.bytes_in_flight == 49 * MTU


@KINDS
def test_after_persistent_congestion_the_window_is_at_its_smallest(kind: Kind) -> None:
    """Section 7.6.2."""
    congestion = kind(MTU)
    now = flow(congestion, 4)
    congestion.bytes_in_flight = 2400
    assert congestion.lost(2400, now, now)
    congestion.persistent()
    assert congestion.window == 2 * MTU
    assert congestion.slow_start
    flow(congestion, 1, now=now)
    assert congestion.window == 4 * MTU


def test_a_new_path_begins_anew() -> None:
    congestion = NewReno(MTU)
    congestion.bytes_in_flight = 5000
    congestion.lost(0, 1.0, 1.0)
    congestion.reset()
    assert (congestion.window, congestion.bytes_in_flight, congestion.slow_start) == (12_000, 5000, True)
    assert congestion.recovery_started == NEVER


@pytest.mark.parametrize("name", ["newreno", "cubic"])
def test_the_setting_names_an_algorithm(name: str) -> None:
    assert issubclass(ALGORITHMS[QUICSettings(congestion=name).congestion], Congestion)
    assert ALGORITHMS[QUICSettings().congestion] is Cubic


# --- NewReno ----------------------------------------------------------------------------------------------------


def test_newreno_halves_and_then_grows_by_a_packet_each_round_trip() -> None:
    congestion = NewReno(MTU)
    now = flow(congestion, 3)
    congestion.lost(0, now, now)
    assert congestion.window == 4 * 12_000
    flow(congestion, 5, now=now)
    assert congestion.window == 4 * 12_000 + 5 * MTU


# --- CUBIC ------------------------------------------------------------------------------------------------------


def reduced(window: int, now: float = 10.0) -> Cubic:
    congestion = Cubic(MTU)
    congestion.window = window * MTU
    assert congestion.lost(0, now, now)
    return congestion


def test_cubic_comes_back_to_where_it_stood_and_stays_there_for_a_while() -> None:
    """Figures 1 and 2: K seconds after a reduction from W_max the window is W_max again, and grows least there."""
    window = 2000
    congestion = reduced(window)
    assert congestion.window == 1400 * MTU
    k = (window * 0.3 / 0.4) ** (1 / 3)
    sizes = []
    now = 10.0
    while now < 10.0 + 2 * k:
        now = flow(congestion, 1, now=now)
        sizes.append(congestion.window / MTU)
    at = int(k / 0.1)
    assert sizes[at] == pytest.approx(window, rel=0.02)
    growth = [after - before for before, after in pairwise(sizes)]
    assert growth[at] < growth[2] / 5
    assert growth[at] < growth[-1] / 5
    assert sizes[-1] == pytest.approx(2600, rel=0.1)


def test_cubic_is_no_slower_than_reno_would_be() -> None:
    """Section 4.3: a small window and a short round trip."""
    congestion = reduced(20)
    flow(congestion, 100, round_trip=0.005)
    assert congestion.window / MTU > 14 + 0.5 * 100
    assert congestion.window / MTU < 14 + 1.1 * 100


def test_cubic_grows_by_half_a_window_each_round_trip_at_most() -> None:
    congestion = reduced(4)
    now = flow(congestion, 1, round_trip=5.0)
    before = congestion.window
    flow(congestion, 1, round_trip=5.0, now=now + 1000.0)
    assert congestion.window <= 1.7 * before  # 1.5 in the RFC's sense: each ACK moves towards 1.5 times the window


def test_cubic_leaves_room_for_others() -> None:
    """Section 4.7: reduced again before it was back, it aims lower."""
    congestion = reduced(1000)
    now = flow(congestion, 3)
    window = congestion.window / MTU
    congestion.lost(0, now, now)
    k = ((window * 0.85 - window * 0.7) / 0.4) ** (1 / 3)
    flow(congestion, int(k / 0.1), now=now)
    assert congestion.window / MTU == pytest.approx(window * 0.85, rel=0.02)


@pytest.mark.parametrize("idle", [True, False])
def test_cubic_does_not_grow_by_the_clock_alone(idle: bool) -> None:
    congestion = reduced(1000)
    now = flow(congestion, 3)
    window = congestion.window
    if idle:
        congestion.resumed(now + 1000.0)
    else:
        congestion.bytes_in_flight = MTU
        congestion.acked(MTU, MTU, now + 1000.0, 0.1)
    flow(congestion, 1, now=now + 1000.0)
    assert congestion.window < 1.2 * window


# --- any order of things ----------------------------------------------------------------------------------------


@KINDS
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "ack", "lose", "persistent", "wait", "reset"]),
            st.integers(1, 40),
            st.floats(0, 30),
        ),
        max_size=60,
    )
)
def test_any_order(kind: Kind, steps: list[tuple[str, int, float]]) -> None:
    congestion, packets, now = kind(MTU), list[float](), 0.0
    for what, count, seconds in steps:
        window, threshold = congestion.window, congestion.threshold
        if what == "send":
            if not packets:
                congestion.resumed(now)
            packets += [now] * count
            congestion.bytes_in_flight += count * MTU
        elif what == "ack":
            gone, packets = packets[:count], packets[count:]
            new = sum(at > congestion.recovery_started for at in gone)
            congestion.acked(len(gone) * MTU, new * MTU, now, 0.1)
            assert window <= congestion.window <= window + max(len(gone), 1) * MTU
        elif what == "lose" and packets:
            gone, packets = packets[:count], packets[count:]
            reacted = congestion.lost(len(gone) * MTU, gone[-1], now)
            assert congestion.window <= window if reacted else congestion.window == window
            assert not congestion.slow_start or not reacted or threshold == congestion.threshold
        elif what == "persistent":
            congestion.persistent()
        elif what == "reset":
            congestion.reset()
        else:
            now += seconds
        assert congestion.bytes_in_flight == len(packets) * MTU
        assert congestion.window >= congestion.minimum
        assert congestion.room == congestion.window - congestion.bytes_in_flight


# --- pacing -----------------------------------------------------------------------------------------------------


def paced(window: int, round_trip: float = 0.1) -> tuple[Pacer, NewReno]:
    congestion, estimate = NewReno(MTU), RoundTrip(0.333)
    congestion.window = window * MTU
    congestion.threshold = MTU  # out of slow start
    estimate.sample(round_trip, 0.0, 0.0)
    return Pacer(congestion, estimate), congestion


def spread(pacer: Pacer, seconds: float) -> list[tuple[float, int]]:
    """(when, packets) of each burst of somebody who always has something to send."""
    bursts, now = [], 0.0
    while now <= seconds:
        allowance = pacer.allowance(now)
        count = 0
        while count * MTU < allowance:
            pacer.sent(MTU)
            count += 1
        bursts.append((now, count))
        assert pacer.next_time() > now
        now = pacer.next_time()
    return bursts


@pytest.mark.parametrize("window", [40, 100, 1000])
def test_a_window_is_spread_over_a_round_trip_in_bursts(window: int) -> None:
    """Section 7.7: 5/4 of a window each round trip, in bursts of ten to sixteen packets."""
    pacer, _ = paced(window)
    bursts = spread(pacer, 0.1)
    assert bursts[0] == (0.0, 16)
    assert {count for _, count in bursts[1:]} <= {10, 11}
    assert sum(count for _, count in bursts) == pytest.approx(1.25 * window + 16, abs=12)


def test_a_small_window_is_sent_in_small_bursts() -> None:
    pacer, _ = paced(8)
    assert {count for _, count in spread(pacer, 1.0)[1:]} <= {2, 3}


def test_a_burst_is_as_long_as_a_timers_tick_when_that_is_more() -> None:
    pacer, _ = paced(1000, round_trip=0.002)
    assert pacer.allowance(0.0) == 1000 * MTU * 1.25 / 2


def test_slow_start_is_paced_at_twice_the_window() -> None:
    pacer, congestion = paced(100)
    rate = pacer.rate
    congestion.threshold = float("inf")
    assert pacer.rate == pytest.approx(rate * 2 / 1.25)


def test_a_pause_saves_up_no_more_than_a_burst() -> None:
    pacer, _ = paced(100)
    spread(pacer, 0.1)
    assert pacer.allowance(1000.0) == 16 * MTU
