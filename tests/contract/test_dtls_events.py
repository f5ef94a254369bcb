"""Contract F3 to F22 as far as DTLS goes: timers, what is lost, and stateless listening, through the pages' names.

SSL_handle_events(3), SSL_get_event_timeout(3), DTLSv1_handle_timeout(3), DTLSv1_get_timeout(3), DTLSv1_listen(3).
On virtual time, for every version. Where DTLS 1.3 differs it is said: ACKs end a flight, and the last one has a timer.
"""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from caesura import openssl as o
from caesura.bio import DatagramBIO, datagram_pair
from caesura.context import Context, Method
from caesura.engines import DelayEngine, Operation
from caesura.errors import ConfigError, ReadTimeoutExpired, UnexpectedEOF, UsageError
from caesura.sslobject import SSL
from caesura.wire.registries import Version
from tests.support import ssl_pair
from tests.support.datagram_wire import DTLS_VERSIONS, Pair, WireBIO, connected, pair, wire
from tests.support.ssl_pair import StoppedClock, handshake, reason, wants

NEVER = (1, 1_000_000.0, 1)
HEADER = 13  # bytes of a record in the clear

every_version = pytest.mark.parametrize("version", DTLS_VERSIONS, ids=lambda version: version.name)


def lonely(version: Version = Version.DTLS13, **dtls: object) -> tuple[SSL, WireBIO, StoppedClock]:
    """A client whose hello is out, and lost."""
    both = pair(version, carry=lambda number, datagram: [], dtls=dtls)
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
    return both.client, both.ends[0], both.clock


def sent(end: WireBIO) -> list[bytes]:
    return [datagram for _, datagram in end.wire.sent]


def sequence(datagram: bytes) -> int:
    """The number of a record in epoch 0."""
    return int.from_bytes(datagram[5:11], "big")


# --- what the timeout is ------------------------------------------------------------------------------------------


@every_version
def test_F3_pending_is_the_time_left_and_expired_is_zero(version: Version) -> None:
    client, _, clock = lonely(version)
    assert o.SSL_get_event_timeout(client) == (1, 1.0, 0)
    clock.now += 0.75
    assert o.SSL_get_event_timeout(client) == (1, 0.25, 0)
    clock.now += 0.25
    assert o.SSL_get_event_timeout(client) == (1, 0.0, 0)
    clock.now += 100
    assert o.SSL_get_event_timeout(client) == (1, 0.0, 0)


@every_version
def test_F4_F5_what_the_two_calls_say(version: Version) -> None:
    client, end, clock = lonely(version)
    assert o.SSL_handle_events(client) == 1  # none was due
    assert o.DTLSv1_handle_timeout(client) == 0
    assert o.DTLSv1_get_timeout(client) == (1, 1.0)
    assert len(sent(end)) == 1
    clock.now += 1
    assert o.SSL_handle_events(client) == 1  # one was
    assert len(sent(end)) == 2
    clock.now += 2
    assert o.DTLSv1_handle_timeout(client) == 1
    assert len(sent(end)) == 3
    assert o.DTLSv1_handle_timeout(client) == 0


@every_version
def test_F5_the_older_call_knows_no_infinity(version: Version) -> None:
    both = connected(version)
    for side in (both.client, both.server):
        assert o.SSL_get_event_timeout(side) == NEVER
        assert o.DTLSv1_get_timeout(side) == (0, None)
        assert o.DTLSv1_handle_timeout(side) == 0


def test_F5_the_older_calls_on_a_stream() -> None:
    stream = ssl_pair.server()
    assert o.DTLSv1_get_timeout(stream) == (0, None)
    assert o.DTLSv1_handle_timeout(stream) == 0
    assert o.SSL_is_dtls(stream) == 0


@every_version
def test_F6_desired_is_what_the_last_call_waits_for(version: Version) -> None:
    both = pair(version)
    assert (o.SSL_net_read_desired(both.client), o.SSL_net_write_desired(both.client)) == (0, 0)
    both.ends[0].full = True
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_WRITE
    assert (o.SSL_net_read_desired(both.client), o.SSL_net_write_desired(both.client)) == (0, 1)
    both.ends[0].full = False
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
    assert (o.SSL_net_read_desired(both.client), o.SSL_net_write_desired(both.client)) == (1, 0)
    assert len(both.sent) == 1


def test_F7_blocking_is_a_matter_of_the_bio() -> None:
    client, _, _ = lonely()
    assert o.SSL_get_blocking_mode(client) == -1
    assert o.SSL_set_blocking_mode(client, 1) == 0


def test_F8_poll_descriptors_come_from_the_bio() -> None:
    ssl = ssl_pair.server(method=Method.DTLS)
    assert o.SSL_get_rpoll_descriptor(ssl) == (0, None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert o.SSL_set_fd(ssl, sock.fileno()) == 1
        assert isinstance(o.SSL_get_rbio(ssl), DatagramBIO)
        assert o.SSL_get_rpoll_descriptor(ssl) == o.SSL_get_wpoll_descriptor(ssl) == (1, sock.fileno())


# --- the retransmission timer -------------------------------------------------------------------------------------


@every_version
def test_F9_no_timer_before_the_first_flight(version: Version) -> None:
    both = pair(version)
    for side in (both.client, both.server):
        assert o.SSL_get_event_timeout(side) == NEVER
        assert o.SSL_handle_events(side) == 1
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_READ
    assert o.SSL_get_event_timeout(both.server) == NEVER
    assert both.sent == []


@every_version
@pytest.mark.parametrize(("left", "expired"), [(0.5, False), (0.016, False), (0.015, True), (0.001, True)])
def test_F10_a_second_of_which_the_last_15_ms_do_not_count(version: Version, left: float, expired: bool) -> None:
    client, end, clock = lonely(version)
    assert o.SSL_get_event_timeout(client) == (1, 1.0, 0)
    clock.now += 1.0 - left
    assert o.SSL_get_event_timeout(client) == (1, 0.0 if expired else pytest.approx(left), 0)
    assert o.DTLSv1_handle_timeout(client) == expired
    assert len(sent(end)) == 1 + expired


@every_version
def test_F11_expiry_doubles_and_sends_the_flight_again_under_new_numbers(version: Version) -> None:
    client, end, clock = lonely(version)
    waits = []
    for _ in range(8):
        seconds = o.SSL_get_event_timeout(client)[1]
        waits.append(seconds)
        clock.now += seconds
        assert o.SSL_handle_events(client) == 1
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    hellos = sent(end)
    assert [sequence(each) for each in hellos] == list(range(9))
    assert len({each[HEADER:] for each in hellos}) == 1


@every_version
def test_F11_a_whole_flight_is_sent_again(version: Version) -> None:
    both = pair(version, client={"dtls": {"mtu": 300}}, server={"dtls": {"mtu": 300}})
    o.SSL_do_handshake(both.client)
    o.SSL_do_handshake(both.server)
    flight = both.by(client=False)
    assert len(flight) > 2
    both.ends[0].arrived.clear()
    both.clock.now += 1
    assert o.SSL_handle_events(both.server) == 1
    again = both.by(client=False)[len(flight) :]
    assert [len(each) for each in again] == [len(each) for each in flight]
    assert not set(again) & set(flight)


@every_version
def test_F12_a_callback_gives_the_durations_in_microseconds(version: Version) -> None:
    both = pair(version, carry=lambda number, datagram: [])
    asked: list[tuple[SSL, int]] = []

    def timer(ssl: SSL, microseconds: int) -> int:
        asked.append((ssl, microseconds))
        return microseconds * 3 if microseconds else 200_000

    o.DTLS_set_timer_cb(both.client, timer)
    o.SSL_do_handshake(both.client)
    assert o.SSL_get_event_timeout(both.client) == (1, pytest.approx(0.2), 0)
    both.clock.now += 0.2
    assert o.SSL_handle_events(both.client) == 1
    assert o.SSL_get_event_timeout(both.client) == (1, pytest.approx(0.6), 0)
    assert set(asked) == {(both.client, 0), (both.client, 200_000)}


@every_version
@pytest.mark.parametrize("options", [0, o.SSL_OP_NO_QUERY_MTU])
def test_F13_from_the_third_expiry_on_datagrams_are_smaller(version: Version, options: int) -> None:
    both = pair(version, carry=lambda number, datagram: [], client={"alpn": ["x" * 250] * 8})
    assert o.SSL_set_options(both.client, options) == options
    largest = []
    for _ in range(5):
        o.SSL_do_handshake(both.client)
        largest.append(max(map(len, both.by(client=True))))
        both.sent.clear()
        both.sleep()
    assert largest == [1400] * 3 + ([1400] * 2 if options else [548] * 2)
    assert both.client.mtu == 1400 if options else 548


@every_version
def test_F14_the_13th_expiry_is_fatal(version: Version) -> None:
    client, end, clock = lonely(version)
    began = clock.now
    for _ in range(12):
        clock.now += o.SSL_get_event_timeout(client)[1]
        assert o.SSL_handle_events(client) == 1
    clock.now += o.SSL_get_event_timeout(client)[1]
    assert len(sent(end)) == 13
    assert clock.now - began == 483
    assert o.SSL_handle_events(client) == 0
    assert len(sent(end)) == 13
    assert isinstance(o.SSL_get_last_error(client), ReadTimeoutExpired)
    for _ in range(2):
        assert o.SSL_handle_events(client) == 0
        assert o.DTLSv1_handle_timeout(client) == -1
        assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_SSL
        assert o.SSL_get_error(client, o.SSL_read(client, 10)[0]) == o.SSL_ERROR_SSL
    assert len(sent(end)) == 13


@every_version
def test_F14_any_call_finds_out(version: Version) -> None:
    client, _, clock = lonely(version, retransmissions=1)
    for _ in range(2):
        clock.now += o.SSL_get_event_timeout(client)[1]
        ret = o.SSL_do_handshake(client)
    assert wants(client, ret) == o.SSL_ERROR_SSL
    assert "was sent 2 times" in reason(client)


def test_F14_all_of_it_is_settable() -> None:
    client, end, clock = lonely(initial_timeout=0.25, maximum_timeout=0.5, retransmissions=2)
    waits = []
    while o.SSL_handle_events(client):
        waits.append(o.SSL_get_event_timeout(client)[1])
        clock.now += waits[-1]
    assert waits == [0.25, 0.5, 0.5]
    assert len(sent(end)) == 3


@every_version
def test_F15_the_awaited_flight_stops_the_timer(version: Version) -> None:
    both = pair(version, carry=lambda number, datagram: [] if number < 3 else [datagram])
    for _ in range(3):
        o.SSL_do_handshake(both.client)
        both.sleep()
    assert both.clock.now == 1007
    both.handshake()
    seconds, infinite = o.SSL_get_event_timeout(both.client)[1:]
    assert infinite or seconds <= 1.0  # duration and count begin anew
    both.quiet()
    assert o.SSL_get_event_timeout(both.client) == o.SSL_get_event_timeout(both.server) == NEVER


@every_version
def test_F16_the_handshake_sends_again_when_it_is_due_and_once(version: Version) -> None:
    client, end, clock = lonely(version)
    clock.now += 0.5
    o.SSL_do_handshake(client)
    assert len(sent(end)) == 1
    clock.now += 0.5
    for _ in range(3):
        assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_WANT_READ
        assert o.SSL_handle_events(client) == 1
    assert len(sent(end)) == 2
    clock.now += 2
    assert o.SSL_handle_events(client) == 1
    assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_WANT_READ
    assert len(sent(end)) == 3
    clock.now += 4
    assert o.SSL_get_error(client, o.SSL_read(client, 10)[0]) == o.SSL_ERROR_WANT_READ
    assert o.SSL_handle_events(client) == 1
    assert len(sent(end)) == 4
    clock.now += 8
    assert wants(client, o.SSL_write(client, b"x")) == o.SSL_ERROR_WANT_READ
    assert len(sent(end)) == 5


def test_F16_so_does_a_write() -> None:
    both = connected(Version.DTLS13)
    assert o.SSL_key_update(both.client, o.SSL_KEY_UPDATE_NOT_REQUESTED) == 1
    assert len(both.sent) == 1
    both.clock.now += 0.99
    assert o.SSL_write(both.client, b"data") == 4
    assert len(both.sent) == 3


@every_version
def test_F16_nothing_happens_when_nobody_calls(version: Version) -> None:
    client, end, clock = lonely(version)
    clock.now += 1000
    assert o.SSL_get_event_timeout(client) == (1, 0.0, 0)
    assert len(sent(end)) == 1
    assert o.SSL_handle_events(client) == 1
    assert len(sent(end)) == 2  # one expiry, however late


@every_version
def test_F17_a_lost_last_flight_is_sent_again_from_within_read(version: Version) -> None:
    """DTLS 1.3: what is sent again from within read are the client's Finished and the ACK that answers it."""
    both = pair(version).handshake()
    last = both.by(client=version is Version.DTLS13)[-1]
    number = next(index for index, (_, datagram) in enumerate(both.sent) if datagram == last)
    again = pair(version, carry=lambda each, datagram: [] if each == number else [datagram]).handshake()
    began = again.clock.now
    again.quiet()
    assert again.clock.now - began <= 3
    assert o.SSL_write(again.client, b"data") == 4
    assert o.SSL_read(again.server, 10) == (4, b"data")


# --- what is lost, repeated, forged -------------------------------------------------------------------------------


@every_version
def test_F18_what_is_no_record_is_dropped_silently(version: Version) -> None:
    both = connected(version)
    assert o.SSL_write(both.client, b"one") == 3
    authentic = both.by(client=True)[-1]
    forged = authentic[:-1] + bytes((authentic[-1] ^ 1,))
    garbage = [b"\x00", b"not a record", forged, authentic[:20], bytes(1400), authentic]
    both.ends[1].arrived.extendleft(reversed(garbage))
    both.sent.clear()
    assert o.SSL_read(both.server, 10) == (3, b"one")
    assert o.SSL_get_error(both.server, o.SSL_read(both.server, 10)[0]) == o.SSL_ERROR_WANT_READ
    assert both.sent == []


@every_version
def test_F18_so_it_is_during_the_handshake(version: Version) -> None:
    both = pair(version, carry=lambda number, datagram: [b"\x16garbage", datagram[:-1], b"\xff" * 40, datagram])
    both.handshake().quiet()


@every_version
def test_F19_any_datagram_may_be_lost(version: Version) -> None:
    shape = {"dtls": {"mtu": 400}}
    count = len(pair(version, **shape).handshake().sent)
    assert count > 5
    for lost in range(count):
        both = pair(version, carry=lambda each, datagram, lost=lost: [] if each == lost else [datagram], **shape)
        both.handshake().quiet()


@every_version
def test_F19_all_of_them_may_come_twice(version: Version) -> None:
    pair(version, carry=lambda number, datagram: [datagram] * 2).handshake().quiet()


@every_version
def test_F19_they_may_overtake_each_other(version: Version) -> None:
    both = pair(version, dtls={"mtu": 400})
    for _ in range(20):
        for side, end in zip((both.client, both.server), both.ends, strict=True):
            end.arrived.extend([end.arrived.popleft() for _ in range(len(end.arrived))][::-1])
            o.SSL_do_handshake(side)
    assert o.SSL_is_init_finished(both.client) == o.SSL_is_init_finished(both.server) == 1


@every_version
def test_F19_data_before_its_keys_is_kept_and_data_is_delivered_once(version: Version) -> None:
    both = pair(version)
    while o.SSL_do_handshake(both.client) != 1:
        o.SSL_do_handshake(both.server)
    if o.SSL_is_init_finished(both.server):  # the client was not last
        held: list[bytes] = []
    else:
        held = list(both.ends[1].arrived)
        both.ends[1].arrived.clear()
    assert o.SSL_write(both.client, b"early") == 5
    data = both.by(client=True)[-1]
    o.SSL_do_handshake(both.server)
    both.ends[1].arrived.extend([*held, data, data])
    assert o.SSL_read(both.server, 100) == (5, b"early")
    assert o.SSL_get_error(both.server, o.SSL_read(both.server, 10)[0]) == o.SSL_ERROR_WANT_READ


# --- one datagram a call ------------------------------------------------------------------------------------------


@every_version
def test_E_one_datagram_a_read_and_the_rest_of_a_long_one_the_next_time(version: Version) -> None:
    both = connected(version)
    for data in (b"first", b"second", b"third"):
        assert o.SSL_write(both.client, data) == len(data)
    assert o.SSL_read(both.server, 100) == (5, b"first")
    assert o.SSL_read(both.server, 3) == (3, b"sec")
    assert o.SSL_pending(both.server) == 3
    assert o.SSL_read(both.server, 100) == (3, b"ond")
    assert both.server.read() == b"third"
    assert o.SSL_pending(both.server) == 0


@every_version
def test_E_a_write_is_one_datagram_or_an_error(version: Version) -> None:
    both = connected(version)
    room = o.DTLS_get_data_mtu(both.client)
    assert 1300 < room < 1400
    assert o.SSL_write(both.client, bytes(room)) == room
    assert wants(both.client, o.SSL_write(both.client, bytes(room + 1))) == o.SSL_ERROR_SSL
    assert [len(each) for each in both.by(client=True)] == [1400]
    assert o.SSL_set_mtu(both.client, 600) == 1
    assert o.DTLS_get_data_mtu(both.client) == room - 800
    assert o.DTLS_set_link_mtu(both.client, 628 + 100) == 1
    assert o.DTLS_get_data_mtu(both.client) == room - 700
    assert o.SSL_set_mtu(both.client, 10) == 0
    assert o.SSL_read(both.server, 2000)[0] == room


@every_version
def test_E20_a_write_that_the_transport_does_not_take_is_repeated(version: Version) -> None:
    both = connected(version)
    both.ends[0].full = True
    assert wants(both.client, o.SSL_write(both.client, b"data")) == o.SSL_ERROR_WANT_WRITE
    with pytest.raises(UsageError, match="not finished"):
        both.client.write(b"other")
    both.ends[0].full = False
    assert o.SSL_write(both.client, b"data") == 4
    assert len(both.sent) == 1
    assert o.SSL_read(both.server, 100) == (4, b"data")


@every_version
def test_E23_E24_shutdown(version: Version) -> None:
    both = connected(version)
    assert o.SSL_shutdown(both.client) == 0
    assert wants(both.client, o.SSL_shutdown(both.client)) == o.SSL_ERROR_WANT_READ
    assert o.SSL_read(both.server, 10) == (0, b"")
    assert o.SSL_get_error(both.server, 0) == o.SSL_ERROR_ZERO_RETURN
    assert o.SSL_shutdown(both.server) == 1
    assert o.SSL_shutdown(both.client) == 1
    assert wants(both.client, o.SSL_write(both.client, b"x")) == o.SSL_ERROR_SSL


# --- pauses -------------------------------------------------------------------------------------------------------


@every_version
def test_C7_F3_a_paused_handshake_has_its_timers_and_hears_its_peer(version: Version) -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    both = pair(version, server={"engine": engine, "async_mode": True, "deadline": 20.0})
    o.SSL_do_handshake(both.client)
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    assert o.SSL_waiting_for_async(both.server) == 1
    assert len(o.SSL_get_all_async_fds(both.server)[1] or ()) == 1
    assert o.SSL_get_event_timeout(both.server) == (1, 20.0, 0)
    began = len(both.sent)
    for _ in range(3):  # the client is impatient; what it sends is read, and does not end the pause
        both.clock.now += o.SSL_get_event_timeout(both.client)[1] if version is not Version.DTLS13 else 1
        o.SSL_do_handshake(both.client)
        assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
        assert not both.ends[1].arrived
    answers = sum(not by_client for by_client, _ in both.sent[began:])
    assert answers <= 3
    engine.release()
    both.handshake().quiet()
    assert both.clock.now < 1020


@every_version
def test_F4_the_deadline_of_a_paused_operation(version: Version) -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    both = pair(version, server={"engine": engine, "async_mode": True, "deadline": 5.0})
    o.SSL_do_handshake(both.client)
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    both.clock.now += 4.99
    assert o.SSL_get_event_timeout(both.server) == (1, 0.0, 0)
    assert o.SSL_handle_events(both.server) == 1
    assert o.SSL_waiting_for_async(both.server) == 0
    assert engine.waiting == []
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_SSL
    assert "SIGN" in reason(both.server)


@every_version
def test_D_the_callback_and_the_status(version: Version) -> None:
    called: list[tuple[SSL, object]] = []
    both = pair(version, server={"engine": DelayEngine(None, operations=[Operation.SIGN]), "async_mode": True})
    o.SSL_set_async_callback(both.server, lambda ssl, arg: called.append((ssl, arg)))
    o.SSL_set_async_callback_arg(both.server, "the argument")
    o.SSL_do_handshake(both.client)
    assert wants(both.server, o.SSL_do_handshake(both.server)) == o.SSL_ERROR_WANT_ASYNC
    assert o.SSL_get_all_async_fds(both.server) == (1, [])
    assert o.SSL_get_async_status(both.server) == (1, o.ASYNC_STATUS_OK)
    both.server.context.engine.release()
    assert called == [(both.server, "the argument")]
    both.handshake().quiet()


@every_version
def test_A_blocking_call_waits_for_its_work(version: Version) -> None:
    both = pair(version, server={"engine": DelayEngine(0.0, operations=[Operation.SIGN])})
    both.handshake().quiet()


# --- listening ----------------------------------------------------------------------------------------------------


def listening(version: Version) -> tuple[Pair, SSL]:
    both = pair(version)
    o.SSL_do_handshake(both.client)
    return both, both.server


@every_version
def test_F20_a_client_proves_its_address(version: Version) -> None:
    both, server = listening(version)
    assert o.DTLSv1_listen(server) == (0, None)  # it was sent a cookie
    assert o.SSL_get_event_timeout(server) == NEVER
    assert o.DTLSv1_listen(server) == (0, None)  # nothing there
    assert wants(both.client, o.SSL_do_handshake(both.client)) == o.SSL_ERROR_WANT_READ
    assert o.DTLSv1_listen(server) == (1, None)  # a wire has no addresses
    both.handshake().quiet()
    assert o.SSL_is_server(server) == 1


@every_version
def test_F20_nothing_is_kept_in_between(version: Version) -> None:
    both, server = listening(version)
    assert o.DTLSv1_listen(server)[0] == 0
    assert o.SSL_do_handshake(both.client) == -1
    another = SSL(server.context, both.ends[1])  # with the same cookie keys
    o.SSL_free(server)
    assert o.DTLSv1_listen(another)[0] == 1
    Pair(both.client, another, both.ends, both.clock).handshake().quiet()


@every_version
@pytest.mark.parametrize("datagram", [b"\x00", b"\x16\xfe\xfd", bytes(100), b"\x17" * 60])
def test_F20_a_bad_packet_is_not_fatal(version: Version, datagram: bytes) -> None:
    both, server = listening(version)
    both.ends[1].arrived.appendleft(datagram)
    assert o.DTLSv1_listen(server) == (0, None)
    assert o.SSL_get_error(server, 0) == o.SSL_ERROR_WANT_READ
    assert len(both.sent) == 1
    assert o.DTLSv1_listen(server) == (0, None)
    assert len(both.sent) == 2


@every_version
def test_F20_it_starts_over(version: Version) -> None:
    both = connected(version)
    assert o.DTLSv1_listen(both.server) == (0, None)
    assert o.SSL_is_init_finished(both.server) == 0


def test_F20_what_cannot_be_is_fatal() -> None:
    stream = ssl_pair.server(o.BIO_new(o.BIO_s_mem()))
    assert o.DTLSv1_listen(stream) == (-1, None)
    assert isinstance(o.SSL_get_last_error(stream), UsageError)
    server = ssl_pair.server(wire()[1], method=Method.DTLS)
    server.context.dtls = replace(server.context.dtls, cookies=False)
    assert o.DTLSv1_listen(server) == (-1, None)
    assert isinstance(o.SSL_get_last_error(server), ConfigError)
    assert o.DTLSv1_listen(ssl_pair.server(method=Method.DTLS)) == (-1, None)


@every_version
def test_F21_the_caller_connects_the_socket(version: Version) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        for sock in (ours, theirs):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        theirs.connect(ours.getsockname())
        settings = {"method": Method.DTLS, "minimum_version": version, "maximum_version": version}
        bio = o.BIO_new_dgram(ours.fileno(), 0)
        server, client = ssl_pair.server(bio, **settings), ssl_pair.client(DatagramBIO(theirs), **settings)
        assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_WANT_READ
        assert o.DTLSv1_listen(server) == (0, None)
        assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_WANT_READ
        assert o.DTLSv1_listen(server) == (1, theirs.getsockname())
        assert o.BIO_dgram_get_peer(bio) == (0, None)
        assert o.BIO_dgram_set_peer(bio, theirs.getsockname()) == 1
        assert o.BIO_dgram_get_peer(bio) == (1, theirs.getsockname())
        handshake(client, server)
        assert o.SSL_write(client, b"hello") == 5
        bio.socket.settimeout(20)
        assert o.SSL_read(server, 100) == (5, b"hello")


def test_F22_versions() -> None:
    context = Context(Method.DTLS)
    for version in DTLS_VERSIONS:
        assert connected(version).client.version is version
    assert o.SSL_CTX_set_min_proto_version(context, 0xFEFF) == 0  # DTLS 1.0
    assert o.SSL_version(o.SSL_new(context)) == o.DTLS1_3_VERSION
    assert o.SSL_is_dtls(o.SSL_new(context)) == 1


def test_a_datagram_pair_ends() -> None:
    one, two = datagram_pair()
    client, server = ssl_pair.client(one, method=Method.DTLS), ssl_pair.server(two, method=Method.DTLS)
    handshake(client, server)
    one.write_eof()
    while o.SSL_read(server, 10)[0] == -1 and o.SSL_get_error(server, -1) == o.SSL_ERROR_WANT_READ:
        pass
    assert isinstance(o.SSL_get_last_error(server), UnexpectedEOF)
