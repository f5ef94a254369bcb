"""Datagrams of the application (RFC 9221), and the idle timeout (RFC 9000 section 10.1)."""

from __future__ import annotations

import pytest

from caesura.errors import IdleTimeout as IdleTimeoutError
from caesura.errors import ProtocolViolation, UsageError
from caesura.quic.datagrams import Datagrams
from caesura.quic.idle import IdleTimeout
from tests.quic.world import quic_link


def new(peer_limit: int = 1200, queue: int = 4) -> Datagrams:
    datagrams = Datagrams(1000, queue)
    datagrams.peer_limit = peer_limit
    return datagrams


def test_datagrams_go_out_whole_and_in_order() -> None:
    datagrams = new()
    for size in (100, 200, 300):
        assert datagrams.send(bytes(size), 1160)
    pieces: list[bytes] = []
    assert datagrams.write(400, pieces) == 103 + 203
    assert pieces == [b"\x31\x40\x64" + bytes(100), b"\x31\x40\xc8" + bytes(200)]
    assert datagrams
    assert datagrams.write(302, []) == 0
    assert datagrams.write(303, []) == 303
    assert not datagrams


@pytest.mark.parametrize(("peer_limit", "room", "longest"), [(1200, 1160, 1157), (500, 1160, 497), (2, 1160, 0)])
def test_a_datagram_fits_into_a_packet_and_pleases_the_peer(peer_limit: int, room: int, longest: int) -> None:
    datagrams = new(peer_limit)
    assert datagrams.longest(room) == longest
    assert datagrams.send(bytes(longest), room)
    with pytest.raises(UsageError, match=str(longest)):
        datagrams.send(bytes(longest + 1), room)


def test_a_peer_that_takes_none_is_sent_none() -> None:
    with pytest.raises(UsageError, match="max_datagram_frame_size"):
        new(0).send(b"", 1160)


def test_smaller_packets_lose_what_fits_into_none() -> None:
    datagrams = new()
    for size in (1000, 500, 1100):
        datagrams.send(bytes(size), 1160)
    datagrams.fit(600)
    pieces: list[bytes] = []
    datagrams.write(5000, pieces)
    assert [len(each) for each in pieces] == [503]


def test_the_queues_are_bounded() -> None:
    datagrams = new()
    assert [datagrams.send(b"x", 1160) for _ in range(6)] == [True] * 4 + [False] * 2
    for number in range(6):
        datagrams.receive(bytes((number,)), 2)
    assert datagrams.dropped == 2
    datagrams.announced = True
    assert [datagrams.read() for _ in range(3)] == [b"\2", b"\3", b"\4"]
    assert datagrams.announced
    assert datagrams.read() == b"\5"
    assert not datagrams.announced
    assert datagrams.read() is None


def test_a_frame_that_is_too_long_ends_the_connection() -> None:
    datagrams = new()
    datagrams.receive(bytes(997), 1000)
    with pytest.raises(ProtocolViolation):
        datagrams.receive(bytes(998), 1001)
    with pytest.raises(ProtocolViolation):
        Datagrams(0, 4).receive(b"", 1)


# --- the idle timeout -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "peer", "agreed"), [(30, 10, 10), (10, 30, 10), (0, 10, 10), (10, 0, 10), (0, 0, 0)])
def test_the_smaller_of_both_counts(own: float, peer: float, agreed: float) -> None:
    idle = IdleTimeout(own, 1.0)
    idle.peer_declares(peer)
    assert idle.deadline(0.1) == (1.0 + agreed if agreed else None)


def test_it_begins_anew_with_what_comes_and_what_is_sent_first_after_that() -> None:
    idle = IdleTimeout(10, 0.0)
    idle.received(5.0)
    assert idle.deadline(0.1) == 15.0
    idle.sent(6.0)
    idle.sent(9.0)
    assert idle.deadline(0.1) == 16.0
    assert idle.keep_alive_at() is None
    idle.received(10.0)
    assert idle.deadline(0.1) == 20.0
    assert idle.keep_alive_at() == 15.0


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_connection_can_be_kept_alive(keep_alive: bool) -> None:
    """Section 10.1.2: one side sends a little, half-way to the timeout."""
    link = quic_link({"quic": {"keep_alive": keep_alive, "max_idle_timeout": 10.0}}).handshake()
    sent = len(link.sent)
    link.wait(100.0)
    assert all((end.connection.error is None) is keep_alive for end in link.ends)
    assert len(link.sent) - sent == (2 * 19 if keep_alive else 0)
    link.network.carry = lambda *_: []  # type: ignore[method-assign]
    link.wait(30.0)
    assert all(isinstance(end.connection.error, IdleTimeoutError) for end in link.ends)


def test_a_path_that_takes_less_costs_datagrams_that_are_too_long() -> None:
    settings = {"quic": {"max_datagram_frame_size": 2000}}
    link = quic_link(settings, settings).handshake()
    client = link.client.connection
    link.network.carry = lambda _n, _c, data: [(0.01, data)] if len(data) <= 1250 else []  # type: ignore[method-assign]
    stream_id = link.client.say(None, bytes(20_000))
    for _ in range(200):  # more than may be in flight
        client.send_datagram(bytes(1300))
    link.run(lambda: stream_id in link.client.ended, seconds=60.0)
    with pytest.raises(UsageError):
        client.send_datagram(bytes(1300))
    client.send_datagram(b"short")
    link.run(lambda: link.server.datagrams == [b"short"], seconds=5.0)
    assert client.error is None


def test_it_is_three_probe_timeouts_at_least() -> None:
    assert IdleTimeout(1, 0.0).deadline(2.0) == 6.0
    assert IdleTimeout(0, 0.0).keep_alive_at() is None
