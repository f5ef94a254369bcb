"""The latency spin bit (RFC 9000 section 17.4): one change in a round trip, on most connections, unless refused."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from caesura.quic.packets import LONG_HEADER, SPIN_BIT
from tests.quic.link import QUICLink, linked
from tests.support.datagram_link import Lossy, Network

DELAY = 0.05


def spinning(seed: int = 1, network: Network | None = None, **quic: object) -> QUICLink:
    dice = random.Random(seed)
    settings = {"random": dice.randbytes, "quic": quic}
    return linked(settings, settings, network or Network(DELAY)).establish()


def spins(link: QUICLink, *, by_client: bool) -> list[tuple[float, int]]:
    """When the bit of one side has changed, and to what."""
    found: list[tuple[float, int]] = []
    for each in link.sent:
        if each.by_client is by_client and not each.data[0] & LONG_HEADER:
            bit = each.data[0] & SPIN_BIT
            if not found or found[-1][1] != bit:
                found.append((each.at, bit))
    return found


def traffic(link: QUICLink, seconds: float = 3.0) -> None:
    """A little all the time."""
    stream = link.ours.connection.open_stream()
    assert stream is not None
    for _ in range(int(seconds / 0.005)):
        link.ours.connection.write_stream(stream, b"x")
        link.wait(0.005)


@pytest.mark.parametrize("by_client", [True, False])
def test_it_changes_once_in_a_round_trip(by_client: bool) -> None:
    link = spinning()
    traffic(link)
    changes = spins(link, by_client=by_client)[2:]
    periods = [later[0] - earlier[0] for earlier, later in pairwise(changes)]
    assert len(periods) > 15
    assert min(periods) > 2 * DELAY - 0.001
    assert max(periods) < 2 * DELAY + 0.04  # an acknowledgement may wait


def test_packets_that_come_late_do_not_turn_it_back() -> None:
    link = spinning(network=Lossy(delay=DELAY, seed=4, loss=0.0, duplication=0.2, reordering=0.3))
    traffic(link)
    assert len(spins(link, by_client=True)) < 3.5 / (2 * DELAY)


def test_it_can_be_switched_off() -> None:
    """Then it has one value, whatever the other side does."""
    seen = set()
    for seed in range(12):
        link = spinning(seed, spin_bit=False)
        traffic(link, 0.5)
        for by_client in (True, False):
            ((_, bit),) = spins(link, by_client=by_client)
            seen.add(bit)
    assert seen == {0, SPIN_BIT}


def test_one_connection_in_sixteen_has_none() -> None:
    dice = random.Random(2)
    count = 600
    made = [linked({"random": dice.randbytes}).ours.connection._spins for _ in range(count)]
    assert count / 32 < made.count(False) < count / 8


def test_another_id_begins_anew() -> None:
    link = spinning()
    traffic(link, 1.0)
    connection = link.ours.connection
    connection._writer.spin = SPIN_BIT
    connection.change_connection_id()
    assert connection._writer.spin == 0


def test_many_packets_at_once() -> None:
    """The way in for many of one read heeds the newest of them."""
    link = spinning()
    link.wait(1.0)
    ours, theirs = link.ours.connection, link.theirs.connection
    for bit in (SPIN_BIT, 0, SPIN_BIT):
        ours._writer.spin = bit
        stream = ours.open_stream()
        assert stream is not None
        ours.write_stream(stream, bytes(5000))
        datagrams = [data for data, _ in ours.datagrams_to_send(link.now)]
        assert len(datagrams) > 1
        theirs.receive_datagrams(datagrams, link.client_address, link.now)
        assert theirs._writer.spin == bit
