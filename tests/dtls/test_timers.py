"""Contract F9 to F19: timers and retransmission of one connection, on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.dtls import DTLSConnection
from caesura.errors import ReadTimeoutExpired, UsageError
from caesura.events import ConnectionTerminated
from tests.dtls.tap import ACK, HANDSHAKE
from tests.dtls.world import client_context, connected, linked, server_context, tapped
from tests.support.datagram_link import ByHand, drain, received


def lonely(**dtls: Any) -> DTLSConnection:
    """A client whose peer is silent."""
    return DTLSConnection(client_context(dtls=dtls), server_side=False, server_hostname="localhost")


def sequence(datagram: bytes) -> int:
    """The number of a record in epoch 0."""
    return int.from_bytes(datagram[5:11], "big")


def body(datagram: bytes) -> bytes:
    return datagram[13:]


def test_F9_no_timer_before_the_first_flight() -> None:
    client = lonely()
    assert client.timeout() is None
    client.handle_timeout(1000.0)
    assert client.datagrams_to_send(1000.0) == []
    server = DTLSConnection(server_context(), server_side=True)
    server.advance(0.0)
    assert server.timeout() is None


def test_F10_a_flight_that_expects_an_answer_arms_a_second() -> None:
    client = lonely()
    client.advance(100.0)
    assert client.timeout() == 101.0
    assert len(client.datagrams_to_send(100.0)) == 1


@pytest.mark.parametrize(("left", "expired"), [(0.5, False), (0.016, False), (0.015, True), (0.001, True), (0.0, True)])
def test_F10_a_timer_with_15_ms_left_has_expired(left: float, expired: bool) -> None:
    client = lonely()
    client.advance(0.0)
    client.datagrams_to_send(0.0)
    client.handle_timeout(1.0 - left)
    assert bool(client.datagrams_to_send(1.0 - left)) is expired
    assert client.timeout() == pytest.approx(1.0 - left + 2.0 if expired else 1.0)


def test_F10_the_slack_is_a_setting() -> None:
    client = lonely(timer_slack=0)
    client.advance(0.0)
    client.datagrams_to_send(0.0)
    client.handle_timeout(0.999)
    assert client.datagrams_to_send(0.999) == []
    client.handle_timeout(1.0)
    assert client.datagrams_to_send(1.0)


def test_F11_expiry_doubles_and_sends_the_flight_again_under_new_numbers() -> None:
    client, now, waits, sent = lonely(timer_slack=0), 0.0, [], []
    client.advance(now)
    for _ in range(8):
        sent += [data for data, _ in client.datagrams_to_send(now)]
        timeout = client.timeout()
        assert timeout is not None
        waits.append(timeout - now)
        now = timeout
        client.handle_timeout(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len({body(each) for each in sent}) == 1
    assert [sequence(each) for each in sent] == list(range(8))


def test_F11_each_expiry_is_served_once() -> None:
    client = lonely()
    client.advance(0.0)
    client.datagrams_to_send(0.0)
    for _ in range(5):
        client.handle_timeout(1.0)
        client.advance(1.0)
    assert len(client.datagrams_to_send(1.0)) == 1
    assert client.timeout() == 3.0


def test_F12_durations_of_ones_own() -> None:
    asked: list[float] = []

    def choose(duration: float) -> float:
        asked.append(duration)
        return 0.1 if not duration else duration * 3

    client = lonely(timer=choose)
    client.advance(0.0)
    assert client.timeout() == 0.1
    client.handle_timeout(0.1)
    assert client.timeout() == pytest.approx(0.4)
    assert asked[-1] == pytest.approx(0.1)


def hello_of(size: int, **dtls: Any) -> DTLSConnection:
    """A client with a hello of about so many bytes."""
    context = client_context(alpn=["x" * 250] * (size // 251), dtls=dtls)
    return DTLSConnection(context, server_side=False, server_hostname="localhost")


@pytest.mark.parametrize(("fallback", "sizes"), [(548, [1400, 1400, 1400, 548, 548]), (None, [1400] * 5)])
def test_F13_from_the_third_expiry_on_datagrams_are_smaller(fallback: int | None, sizes: list[int]) -> None:
    client, now, largest = hello_of(2000, fallback_mtu=fallback), 0.0, []
    client.advance(now)
    for _ in sizes:
        largest.append(max(len(data) for data, _ in client.datagrams_to_send(now)))
        now = client.timeout() or 0.0
        client.handle_timeout(now)
    assert largest == sizes


def test_F13_a_smaller_mtu_is_not_made_larger() -> None:
    client, now = hello_of(2000, mtu=300), 0.0
    client.advance(now)
    for _ in range(5):
        assert max(len(data) for data, _ in client.datagrams_to_send(now)) == 300
        now = client.timeout() or 0.0
        client.handle_timeout(now)


def test_F14_the_13th_expiry_is_fatal() -> None:
    client, now, sent = lonely(timer_slack=0), 0.0, 0
    client.advance(now)
    while (timeout := client.timeout()) is not None:
        sent += len(client.datagrams_to_send(now))
        now = timeout
        client.handle_timeout(now)
    assert sent == 13
    assert now == 483.0
    assert isinstance(client.error, ReadTimeoutExpired)
    assert client.error.code == "READ_TIMEOUT_EXPIRED"
    assert client.datagrams_to_send(now) == []
    assert [type(event) for event in drain(client)] == [ConnectionTerminated]
    client.handle_timeout(now + 1000)
    assert client.timeout() is None
    with pytest.raises(ReadTimeoutExpired):
        client.write(b"x")


@pytest.mark.parametrize("retransmissions", [0, 1, 3])
def test_F14_how_often_is_a_setting(retransmissions: int) -> None:
    client, now, sent = lonely(retransmissions=retransmissions), 0.0, 0
    client.advance(now)
    while (timeout := client.timeout()) is not None:
        sent += len(client.datagrams_to_send(now))
        now = timeout
        client.handle_timeout(now)
    assert sent == retransmissions + 1


def test_F14_a_last_flight_that_nobody_acknowledges() -> None:
    link, tap = tapped()
    link.start().run(lambda: link.client.handshake_complete)
    link.network = ByHand(acts={number: lambda _: [] for number in range(1000)})
    link._in_flight.clear()
    link.run()
    assert isinstance(link.client.error, ReadTimeoutExpired)
    assert isinstance(link.server.error, ReadTimeoutExpired)
    last = [each for each in link.seen(tap, by_client=True) if each.epoch == 2]
    assert [each.messages for each in last] == [["finished"]] * 13


def test_F15_the_awaited_flight_stops_the_timer() -> None:
    link = linked()
    link.start().run(lambda: link.client.handshake_complete, seconds=5)
    assert link.client.timeout() == pytest.approx(link.now + 1.0)  # its last flight wants an ACK
    link.run()
    assert link.client.timeout() is None
    assert link.server.timeout() is None


def test_F15_duration_and_count_begin_anew() -> None:
    link = linked(network=ByHand(acts={0: lambda _: [], 1: lambda _: [], 2: lambda _: []}))  # three hellos lost
    link.start().run(lambda: link.client.handshake_complete)
    assert link.now > 7
    assert link.client.timeout() == pytest.approx(link.now + 1.0)


def test_F15_part_of_the_next_flight_acknowledges_the_last() -> None:
    """RFC 9147 section 7.1, where DTLS 1.3 differs from F15: what matters is that it has begun."""
    settings = {"dtls": {"mtu": 300}}
    link, tap = tapped(settings, settings, ByHand(acts={number: lambda _: [] for number in (3, 4, 5)}))
    link.start().wait(0.1)
    assert not link.client.handshake_complete
    assert link.client.timeout() == pytest.approx(0.27)  # an ACK, and no retransmission
    link.wait(0.2)
    sent = link.seen(tap, by_client=True)
    assert [each.content_type for each in sent[:2]] == [HANDSHAKE, ACK]


def test_F16_nothing_happens_when_nobody_asks() -> None:
    client = lonely()
    client.advance(0.0)
    client.datagrams_to_send(0.0)
    assert client.datagrams_to_send(1000.0) == []
    assert client.timeout() == 1.0


def test_F17_a_repeated_last_flight_is_acknowledged_again() -> None:
    """With DTLS 1.3 it is the ACK that is repeated, and the timer of the client that asks for it."""
    link, tap = tapped(server={"ticket_count": 0}, network=ByHand(acts={3: lambda _: []}))  # the server's ACK is lost
    link.handshake()
    assert link.timeouts == [(pytest.approx(1.02), True), (pytest.approx(1.28), False)]
    seen = [str(each) for each in link.seen(tap)]
    assert seen[4:] == [
        "0.030 S 3/0 ACK [(2, 0)]",
        "1.020 C 2/1 finished",
        "1.280 S 3/1 ACK [(2, 0), (2, 1)]",
    ]


def test_F17_so_it_is_after_application_data_too_but_not_for_ever() -> None:
    link, tap = tapped(server={"ticket_count": 0})
    link.handshake()
    link.client.write(b"data")
    link.run()
    finished = next(each for each in link.seen(tap) if each.messages_or_none == ["finished"] and each.by_client)
    link.sent.clear()
    keys = tap.keys(True, 2)
    link.deliver(keys.seal(2, 1, HANDSHAKE, finished.content), to_server=True).run()
    assert [str(each)[6:] for each in link.seen(tap)] == ["S 3/1 ACK [(2, 0), (2, 1)]"]
    link.sent.clear()
    link.wait(239)
    link.deliver(keys.seal(2, 2, HANDSHAKE, finished.content), to_server=True).run()
    assert len(link.sent) == 1
    link.sent.clear()
    link.wait(2)
    link.deliver(keys.seal(2, 3, HANDSHAKE, finished.content), to_server=True).run()
    assert link.sent == []


def test_F19_application_data_that_overtakes_the_last_flight_is_kept() -> None:
    link = linked()
    link.start().run(lambda: link.client.handshake_complete)
    held = [each for each in link._in_flight if each[2]]
    link._in_flight = [each for each in link._in_flight if not each[2]]
    link.client.write(b"one")
    link.client.write(b"two")
    link.wait(0.1)
    assert not link.server.handshake_complete
    for _, _, _, datagram in held:
        link.deliver(datagram, to_server=True)
    link.run()
    assert received(link.server_events) == [b"one", b"two"]


def test_F19_data_is_delivered_once() -> None:
    link = connected()
    link.client.write(b"once")
    link.run()
    (datagram,) = link.datagrams(by_client=True)
    for _ in range(3):
        link.deliver(datagram, to_server=True)
    assert received(link.server_events) == [b"once"]


# --- settings that change while a timer runs (what a test harness wants) ---------------------------------------------


def test_another_initial_timeout_rescales_what_runs() -> None:
    client = lonely(initial_timeout=0.4)
    client.advance(0.0)
    client.set_initial_timeout(0.2, 0.0)
    assert client.timeout() == pytest.approx(0.2)
    client.handle_timeout(0.2)
    client.set_initial_timeout(0.4, 0.2)
    assert client.timeout() == pytest.approx(1.0)


def test_another_initial_timeout_rescales_the_delay_of_acks() -> None:
    link = connected(server={"ticket_count": 0})
    link.server.key_update()
    link.run(lambda: link.client.timeout() is not None)
    began = link.now
    assert link.client.timeout() == pytest.approx(began + 0.25)
    link.client.set_initial_timeout(0.4, began + 0.05)
    assert link.client.timeout() == pytest.approx(began + 0.1)


def test_another_mtu_cuts_a_retransmission_anew() -> None:
    client = hello_of(1000)
    client.advance(0.0)
    assert len(client.datagrams_to_send(0.0)) == 1
    client.mtu = 300
    client.handle_timeout(1.0)
    sizes = [len(data) for data, _ in client.datagrams_to_send(1.0)]
    assert max(sizes) == 300
    assert len(sizes) == 4


def test_mtu_bounds_every_datagram() -> None:
    settings = {"dtls": {"mtu": 333}, "groups": ["X25519MLKEM768"]}
    link = linked(settings, settings).handshake()
    assert max(map(len, link.datagrams())) == 333


def test_more_than_a_datagram_is_refused() -> None:
    link = connected({"dtls": {"mtu": 500}})
    room = link.client.max_datagram
    assert room == 500 - 22
    link.client.write(bytes(room))
    with pytest.raises(UsageError, match=r"479 bytes.*478.*500"):
        link.client.write(bytes(room + 1))
    link.run()
    assert [len(each) for each in received(link.server_events)] == [room]
    assert len(link.datagrams()[0]) == 500
    assert link.client.error is None


def test_the_largest_record_there_is() -> None:
    link = connected({"dtls": {"mtu": 65_507}})
    assert link.client.max_datagram == 2**14
    link.client.write(bytes(2**14))
    with pytest.raises(UsageError):
        link.client.write(bytes(2**14 + 1))
    link.run()
    assert received(link.server_events) == [bytes(2**14)]


@pytest.mark.parametrize(("theirs", "room"), [(64, 63), (1000, 999), (16_385, 1378)])
def test_the_peers_record_size_limit(theirs: int, room: int) -> None:
    link = connected(server={"record_size_limit": theirs}, client={"record_size_limit": 16_385})
    assert link.client.max_datagram == room
    link.client.write(bytes(room))
    with pytest.raises(UsageError):
        link.client.write(bytes(room + 1))
    link.run()
    assert received(link.server_events) == [bytes(room)]
