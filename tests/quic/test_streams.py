"""Streams from end to end: opening, limits, credit, loss, ends (RFC 9000 sections 2 to 4 and 13.3)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from caesura.errors import (
    FinalSizeError,
    FlowControlError,
    StreamLimitError,
    StreamReset,
    StreamStateError,
    StreamStopped,
    UsageError,
    ZeroRTTRejected,
)
from caesura.events import StopSendingReceived, StreamOpened, StreamReadable, StreamsPermitted
from caesura.quic.sent_packets import Recall
from caesura.quic.streams import SERVER, UNIDIRECTIONAL, is_bulk
from tests.quic.stream_pair import LossyLink, Packet, Side, exchange, pair

BODY = random.Random(3).randbytes(300_000)
SMALL = {
    "initial_max_data": 6000,
    "initial_max_stream_data_bidi_local": 2500,
    "initial_max_stream_data_bidi_remote": 2500,
    "initial_max_stream_data_uni": 2500,
    "max_data_window": 6000,
    "max_stream_data_window": 2500,
    "initial_max_streams_bidi": 3,
    "initial_max_streams_uni": 3,
}


def opened(side: Side, *, unidirectional: bool = False) -> int:
    stream_id = side.streams.open(unidirectional=unidirectional)
    assert stream_id is not None
    return stream_id


def say(side: Side, stream_id: int, data: bytes, *, conclude: bool = True) -> None:
    writer = side.streams.writer(stream_id)
    writer.write(data)
    if conclude:
        writer.conclude()


def names(side: Side) -> list[str]:
    return [each[0] for each in side.heard]


# --- data and its end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 1151, 1152, 1153, 1154, 1155, 1156, 5000, 300_000])
def test_bytes_arrive_and_nothing_is_kept(size: int) -> None:
    client, server = pair()
    stream_id = opened(client)
    say(client, stream_id, BODY[:size])
    exchange(client, server)
    assert server.data == {0: BODY[:size]}
    assert server.ended == {0}
    say(server, stream_id, b"answer")
    exchange(client, server)
    assert client.data == {0: b"answer"}
    for side in (client, server):
        assert side.streams.receiving == side.streams.sending == {}
        assert not side.outbox
        assert not side.streams.schedule


def test_the_end_may_come_alone() -> None:
    client, server = pair()
    stream_id = opened(client, unidirectional=True)
    say(client, stream_id, b"hello", conclude=False)
    exchange(client, server)
    assert server.data == {2: b"hello"}
    assert server.ended == set()
    client.streams.writer(stream_id).conclude()
    client.streams.writer(stream_id).conclude()
    with pytest.raises(UsageError, match="concluded"):
        client.streams.writer(stream_id).write(b"more")
    exchange(client, server)
    assert server.ended == {2}
    assert [each[3:] for each in server.heard if each[0] == "on_stream"] == [(b"hello", False), (b"", True)]


def test_bulk_fills_packets() -> None:
    client, _ = pair()
    say(client, opened(client), BODY[:20_000])
    packets = client.packets()
    assert {len(each.payload) for each in packets[:-1]} == {client.room}
    assert [len(each.recalls) for each in packets] == [1] * len(packets)


@pytest.mark.parametrize("ids", [1, 3, 40])
def test_the_short_way_for_bulk_says_the_same(ids: int) -> None:
    """Byte for byte what the other way says, packet by packet, with turns and all."""
    slow, server = pair({}, {"initial_max_data": 700_000})
    quick, _ = pair({}, {"initial_max_data": 700_000})
    quick.bulk = True
    for side in (slow, quick):
        for _ in range(ids):
            stream_id = opened(side)
            for at in range(0, 120_000, 30_000):
                say(side, stream_id, BODY[at : at + 30_000], conclude=at == 90_000)
    expected = slow.packets(limit=10_000)
    found: list[Packet] = []
    while packets := quick.packets(limit=7):
        found += packets
    assert [each.payload for each in found] == [each.payload for each in expected]
    assert [[each[1:] for each in packet.recalls] for packet in found] == [
        [each[1:] for each in packet.recalls] for packet in expected
    ]
    server.bulk = True
    for packet in found:
        server.hear(packet)
    assert sum(1 for each in server.heard if each[0] == "on_stream") < len(found) / 4
    server.look()
    assert sum(map(len, server.data.values())) == min(120_000 * ids, 700_000)
    assert all(BODY[: len(data)] == data for data in server.data.values())


@pytest.mark.parametrize("offset", [0, 2**30 - 2**24, 2**30 - 5000, 2**30, 2**33])
def test_bulk_far_into_a_stream(offset: int) -> None:
    client, server = pair({}, {"initial_max_data": 2**40, "initial_max_stream_data_bidi_remote": 2**40})
    client.bulk = server.bulk = True
    writer = client.streams.writer(opened(client))
    writer.offset = writer.end = writer.credit.used = offset
    server.streams.on_stream(0, offset, b"", False)
    say(client, 0, BODY[:50_000])
    for packet in client.packets():
        assert len(packet.payload) <= client.room
        server.hear(packet)
    assert server.streams.receiving[0].final_size == offset + 50_000


@pytest.mark.parametrize("seed", range(5))
def test_bulk_of_many_packets_at_once(seed: int) -> None:
    """Of two streams, in the order of sending but for some that come late or twice."""
    dice = random.Random(seed)
    client, server = pair()
    client.bulk = True
    ids = [opened(client), opened(client)]
    for stream_id in ids:
        say(client, stream_id, BODY[:30_000])
    packets = client.packets()
    bulk = [each.payload for each in packets if is_bulk(each.payload)]
    assert len(bulk) > 20
    for _ in range(6):
        bulk.insert(dice.randrange(len(bulk)), bulk.pop(dice.randrange(len(bulk))))
        bulk.insert(dice.randrange(len(bulk)), dice.choice(bulk))
    while bulk:
        count = dice.randrange(1, 12)
        server.streams.on_bulk(bulk[:count])
        del bulk[:count]
        server.look()
    for packet in packets:
        if not is_bulk(packet.payload):
            server.hear(packet)
    server.look()
    assert all(server.data[stream_id] == BODY[:30_000] for stream_id in ids)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x0c", b"\x0c\x00" + bytes(10), b"\x0d\x00" + bytes(30), b"\x0e\x00" + bytes(30), b"\x08" * 30],
)
def test_what_is_no_bulk_is_left_to_the_reader_of_frames(payload: bytes) -> None:
    _, server = pair()
    assert not is_bulk(payload)
    assert not server.events


def test_many_small_writes_become_one_frame() -> None:
    client, server = pair()
    stream_id = opened(client)
    for at in range(0, 3000, 10):
        say(client, stream_id, BODY[at : at + 10], conclude=False)
    exchange(client, server)
    assert server.data[0] == BODY[:3000]
    assert len(server.heard) == 3


def test_reading_a_little_at_a_time() -> None:
    client, server = pair()
    say(client, opened(client), BODY[:1000])
    for packet in client.packets():
        server.hear(packet)
    assert list(server.events) == [StreamOpened(0), StreamReadable(0)]
    server.look(300)
    assert server.data[0] == BODY[:300]
    for _ in range(3):
        assert 0 not in server.ended
        server.read(0, 300)
    assert server.data[0] == BODY[:1000]
    assert server.ended == {0}
    with pytest.raises(UsageError, match="stream 0"):
        server.streams.read(0)


def test_news_comes_once_until_all_is_read() -> None:
    client, server = pair()
    stream_id = opened(client)
    for _ in range(3):
        say(client, stream_id, b"more", conclude=False)
        for packet in client.packets():
            server.hear(packet)
    assert list(server.events) == [StreamOpened(0), StreamReadable(0)]
    server.look()
    say(client, stream_id, b"more")
    exchange(client, server)
    assert server.data[0] == b"more" * 4


def test_streams_take_turns() -> None:
    client, server = pair()
    ids = [opened(client) for _ in range(3)]
    for stream_id in ids:
        say(client, stream_id, BODY[:100_000])
    order = []
    for packet in client.packets():
        server.heard.clear()
        server.hear(packet)
        order.append(server.heard[0][1])
    turns = [stream_id for at, stream_id in enumerate(order) if at == 0 or order[at - 1] != stream_id]
    assert turns[:6] == ids * 2
    assert order.index(8) <= 2 * 17


# --- loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_small_windows_with_loss(seed: int) -> None:
    """All that is lost is sent again, if it must be: data, its end, limits, and that one is held back by them."""
    client, server = pair(SMALL, SMALL)
    client.bulk, server.bulk = seed % 3 == 0, seed % 3 <= 1
    link = LossyLink(client, server, seed, 0.02 + seed % 5 * 0.08)
    wanted: dict[int, bytes] = {}
    for side in (client, server):
        for unidirectional in (False, True, False, True):
            stream_id = side.streams.open(unidirectional=unidirectional)
            if stream_id is not None:
                wanted[stream_id] = BODY[stream_id * 100 : stream_id * 100 + 20_000]
                say(side, stream_id, wanted[stream_id])
    for _ in range(3000):
        more = link.round()
        for side in (client, server):
            side.look(1000 if seed % 2 else -1)
            for stream_id in list(side.streams.receiving):
                if side.streams.receiving[stream_id].readable:
                    side.read(stream_id, 1500)
            for stream_id in [each for each in side.opened if not each & UNIDIRECTIONAL]:
                side.opened.remove(stream_id)
                say(side, stream_id, b"answer")
        if not more:
            break
    for side, other in ((client, SERVER), (server, 0)):
        for stream_id, data in wanted.items():
            if stream_id & SERVER == other:
                assert side.data[stream_id] == data
                assert stream_id in side.ended
            elif not stream_id & UNIDIRECTIONAL:
                assert side.data[stream_id] == b"answer"
        assert side.streams.receiving == side.streams.sending == {}
        assert side.streams.receive_credit.consumed == side.streams.receive_credit.received
    enough = 2 * sum(map(len, wanted.values())) / 1160
    assert link.sent < 6 * enough


def test_a_lost_max_stream_data_is_sent_again() -> None:
    client, server = pair(SMALL, SMALL)
    say(client, opened(client), BODY[:10_000])
    for packet in client.packets():
        server.hear(packet)
        packet.acked()
    server.look()
    (update,) = server.packets()
    update.lost()
    assert client.packets() == []
    (again,) = server.packets()
    client.hear(again)
    assert ("on_max_stream_data", 0, 5000) in client.heard
    assert client.packets()


def test_a_limit_that_is_not_the_newest_is_not_sent_again() -> None:
    client, server = pair(SMALL, SMALL)
    stream_id = opened(client)
    updates = []
    for _ in range(2):
        say(client, stream_id, BODY[:2400], conclude=False)
        for packet in client.packets():
            server.hear(packet)
        server.look()
        updates += server.packets()
        client.hear(updates[-1])
    updates[0].lost()
    assert server.packets() == []


def test_data_that_was_acknowledged_meanwhile_is_not_sent_again() -> None:
    client, _ = pair()
    say(client, opened(client), BODY[:5000])
    first, second, *rest = client.packets()
    for packet in rest:
        packet.acked()
    second.lost()
    second.acked()  # a probe: both copies may arrive
    first.acked()
    assert client.streams.sending == {}
    first.lost()
    assert client.packets() == []


def test_what_is_lost_goes_first_and_needs_no_credit() -> None:
    client, server = pair(SMALL, SMALL)
    say(client, opened(client), BODY[:10_000])
    first, *_ = client.packets()
    assert client.packets() == []
    first.lost()
    (again,) = client.packets()
    server.hear(again)
    assert ("on_stream", 0, 0) in [each[:3] for each in server.heard]


def test_the_end_alone_is_sent_again() -> None:
    client, server = pair()
    stream_id = opened(client)
    say(client, stream_id, b"hello", conclude=False)
    (data,) = client.packets()
    data.acked()
    client.streams.writer(stream_id).conclude()
    (end,) = client.packets()
    end.lost()
    (end,) = client.packets()
    server.hear(data)
    server.hear(end)
    server.look()
    assert server.ended == {0}
    end.acked()
    assert client.streams.sending == {}


# --- credit -----------------------------------------------------------------------------------------------------


def test_no_more_is_sent_than_is_permitted_and_the_peer_hears_of_it() -> None:
    client, server = pair(SMALL, SMALL)
    ids = [opened(client) for _ in range(3)]
    for stream_id in ids:
        say(client, stream_id, BODY[:10_000])
    packets = client.packets()
    assert client.streams.send_credit.used == 6000
    assert [client.streams.writer(stream_id).offset for stream_id in ids] == [2500, 2500, 1000]
    for packet in packets:
        server.hear(packet)
    assert ("on_data_blocked", 6000) in server.heard
    assert ("on_stream_data_blocked", 0, 2500) in server.heard
    assert ("on_stream_data_blocked", 8, 2500) not in server.heard
    assert client.packets() == []


def test_a_reader_that_is_slow_stops_its_stream_alone() -> None:
    client, server = pair({}, {**SMALL, "initial_max_data": 20_000})
    slow, fast = opened(client), opened(client)
    say(client, slow, BODY[:10_000])
    say(client, fast, BODY[:10_000])
    for _ in range(20):
        for packet in client.packets():
            server.hear(packet)
            packet.acked()
        server.events.clear()
        if server.streams.receiving.get(fast) is not None:
            server.read(fast)
        for packet in server.packets():
            client.hear(packet)
            packet.acked()
    assert server.data == {fast: BODY[:10_000]}
    assert client.streams.writer(slow).offset == 2500


def test_a_window_that_holds_the_peer_back_grows() -> None:
    client, server = pair({}, {**SMALL, "max_data_window": 100_000, "max_stream_data_window": 40_000})
    say(client, opened(client), BODY[:200_000])
    now, sizes = 0.0, []
    while client.streams.sending:
        now += 0.1
        packets = client.packets(now)
        sizes.append(sum(len(each.payload) for each in packets))
        for packet in packets:
            server.hear(packet)
            packet.acked()
        server.look()
        for packet in server.packets(now):
            client.hear(packet)
            packet.acked()
    assert max(sizes) > 30_000
    assert max(sizes) < 45_000
    assert server.data[0] == BODY[:200_000]


def test_a_window_that_does_not_hold_the_peer_back_stays() -> None:
    client, server = pair({}, {**SMALL, "max_data_window": 100_000, "max_stream_data_window": 40_000})
    stream_id = opened(client)
    for second in range(20):
        say(client, stream_id, BODY[:1300], conclude=False)
        for packet in client.packets(float(second)):
            server.hear(packet)
        server.look()
        for packet in server.packets(float(second)):
            client.hear(packet)
    assert server.streams.receive_credit.window == 6000


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (("on_stream", 0, 2500, b"a", False), FlowControlError),
        (("on_stream", 0, 2**62 - 2, b"a", True), FlowControlError),
        (("on_reset_stream", 0, 7, 2501), FlowControlError),
        (("on_stream", 12, 0, b"", False), StreamLimitError),
        (("on_stream", 14, 0, b"", False), StreamLimitError),
        (("on_reset_stream", 2**62 - 4, 0, 0), StreamLimitError),
        (("on_stop_sending", 12, 0), StreamLimitError),
        (("on_stream", 1, 0, b"", False), StreamStateError),  # ours, and not opened
        (("on_max_stream_data", 1, 5), StreamStateError),
        (("on_stop_sending", 3, 0), StreamStateError),
        (("on_stream", 3, 0, b"", False), StreamStateError),  # ours to send on
        (("on_reset_stream", 3, 0, 0), StreamStateError),
        (("on_stream_data_blocked", 3), StreamStateError),
        (("on_max_stream_data", 2, 5), StreamStateError),  # the peer's
        (("on_stop_sending", 2, 0), StreamStateError),
    ],
)
def test_what_a_peer_may_not_do(frame: tuple[Any, ...], error: type[Exception]) -> None:
    _, server = pair(SMALL, SMALL)
    name, *values = frame
    with pytest.raises(error):
        getattr(server.streams, name)(*values)


def test_the_connection_has_a_limit_too() -> None:
    _, server = pair(SMALL, SMALL)
    for stream_id in (0, 4):
        server.streams.on_stream(stream_id, 0, bytes(2500), False)
    server.streams.on_stream(8, 0, bytes(1000), False)
    with pytest.raises(FlowControlError):
        server.streams.on_reset_stream(8, 0, 1001)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("on_stream", 0, 0, b"hello", True), ("on_stream", 0, 5, b"!", False)),
        (("on_stream", 0, 0, b"hello", True), ("on_stream", 0, 0, b"hell", True)),
        (("on_stream", 0, 3, b"lo", True), ("on_stream", 0, 3, b"lo!", True)),
        (("on_stream", 0, 0, b"hello", False), ("on_stream", 0, 0, b"hell", True)),
        (("on_stream", 0, 3, b"lo", True), ("on_reset_stream", 0, 1, 6)),
        (("on_stream", 0, 0, b"hello", False), ("on_reset_stream", 0, 1, 4)),
        (("on_reset_stream", 0, 1, 5), ("on_reset_stream", 0, 1, 6)),
        (("on_reset_stream", 0, 1, 5), ("on_stream", 0, 0, b"hello!", False)),
    ],
)
def test_a_final_size_does_not_change(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    """Section 4.5."""
    _, server = pair()
    getattr(server.streams, before[0])(*before[1:])
    with pytest.raises(FinalSizeError):
        getattr(server.streams, after[0])(*after[1:])


# --- opening ----------------------------------------------------------------------------------------------------


def test_a_stream_opens_those_before_it() -> None:
    _, server = pair()
    server.streams.on_stream(8, 0, b"hello", False)
    assert list(server.events) == [StreamOpened(0), StreamOpened(4), StreamOpened(8), StreamReadable(8)]
    server.streams.on_max_stream_data(13 - 1, 5)
    assert server.events[-1] == StreamOpened(12)


def test_limits_on_streams_move_up_as_streams_are_over() -> None:
    client, server = pair(SMALL, SMALL)
    seen = []
    for _ in range(20):
        stream_id = opened(client, unidirectional=True)
        seen.append(stream_id)
        say(client, stream_id, b"hello")
        exchange(client, server)
    assert seen == list(range(2, 82, 4))
    assert server.opened == seen
    assert server.streams.receiving == {}


def test_who_wants_more_streams_than_are_permitted_says_so() -> None:
    client, server = pair(SMALL, SMALL)
    ids = [opened(client) for _ in range(3)]
    assert client.streams.open() is None
    assert client.streams.open() is None
    exchange(client, server)
    assert server.heard == [("on_streams_blocked", 3, False)]
    for stream_id in ids:
        say(client, stream_id, b"")
    exchange(client, server)
    for stream_id in ids:
        say(server, stream_id, b"")
    exchange(client, server)
    assert client.streams.open() == 12


def test_the_application_hears_that_it_may_open_more() -> None:
    client, _ = pair(SMALL, SMALL)
    client.streams.on_max_streams(3, False)
    assert not client.events
    client.streams.on_max_streams(4, False)
    client.streams.on_max_streams(9, True)
    assert list(client.events) == [StreamsPermitted(False), StreamsPermitted(True)]
    for number in range(10, 1000):  # the same again tells nothing more, and would wait as long as nobody looks
        for one_way in (False, True):
            client.streams.on_max_streams(number, one_way)
    assert list(client.events) == [StreamsPermitted(False), StreamsPermitted(True)]


def test_frames_for_a_stream_that_is_over_are_nothing() -> None:
    client, server = pair()
    say(client, opened(client), b"hello")
    exchange(client, server)
    say(server, 0, b"answer")
    exchange(client, server)
    for side in (client, server):
        side.streams.on_stream(0, 0, b"hello", True)
        side.streams.on_reset_stream(0, 1, 5)
        side.streams.on_stop_sending(0, 1)
        side.streams.on_max_stream_data(0, 2**62 - 1)
        side.streams.on_stream_data_blocked(0)
        assert not side.events
        assert side.streams.receiving == side.streams.sending == {}
    assert client.packets() == server.packets() == []


# --- giving up --------------------------------------------------------------------------------------------------


def test_a_reset_takes_back_what_has_not_arrived() -> None:
    client, server = pair(SMALL, SMALL)
    stream_id = opened(client)
    say(client, stream_id, BODY[:10_000])
    first, second, third = client.packets()[:3]
    server.hear(second)
    client.streams.writer(stream_id).reset(77)
    client.streams.writer(stream_id).reset(78)
    first.lost()
    third.lost()
    (packet,) = client.packets()
    server.hear(packet)
    assert server.heard[-1] == ("on_reset_stream", 0, 77, 2500)
    assert list(server.events) == [StreamOpened(0), StreamReadable(0)]
    with pytest.raises(StreamReset) as caught:
        server.streams.read(0)
    assert caught.value.error_code == 77
    packet.acked()
    assert client.streams.sending == {}
    assert 0 not in server.streams.receiving
    credit = server.streams.receive_credit
    assert credit.received == credit.consumed == 2500


def test_a_reset_is_sent_until_it_arrives() -> None:
    client, _ = pair()
    client.streams.writer(opened(client)).reset(1)
    for _ in range(3):
        (packet,) = client.packets()
        packet.lost()
    (packet,) = client.packets()
    packet.acked()
    packet.lost()
    assert client.packets() == []


def test_a_reset_behind_the_end_changes_nothing() -> None:
    """Section 3.2: all the data has come; it is given to the application."""
    _, server = pair()
    server.streams.on_stream(0, 0, b"hello", True)
    server.streams.on_reset_stream(0, 1, 5)
    assert server.streams.read(0) == (b"hello", True)


def test_stop_sending_is_answered_with_a_reset() -> None:
    client, server = pair(SMALL, SMALL)
    stream_id = opened(client)
    say(client, stream_id, BODY[:10_000], conclude=False)
    for packet in client.packets():
        server.hear(packet)
    server.streams.stop_sending(stream_id, 5)
    server.streams.stop_sending(stream_id, 6)
    (packet,) = server.packets()
    client.hear(packet)
    client.hear(packet)
    assert list(client.events) == [StopSendingReceived(0, 5)]
    with pytest.raises(StreamStopped) as caught:
        client.streams.writer(stream_id).write(b"more")
    assert caught.value.error_code == 5
    exchange(client, server)
    assert ("on_reset_stream", 0, 5, 2500) in server.heard
    assert 0 not in server.streams.receiving
    assert server.streams.receive_credit.consumed == 2500
    assert server.data == {}


@pytest.mark.parametrize("known", [True, False])
def test_stop_sending_is_not_sent_once_the_end_is_known(known: bool) -> None:
    _, server = pair()
    server.streams.on_stream(0, 3, b"lo", known)
    server.streams.stop_sending(0, 5)
    assert len(server.packets()) == (0 if known else 1)
    assert (0 in server.streams.receiving) is not known
    if not known:
        server.streams.on_stream(0, 3, b"lo", True)
        assert 0 not in server.streams.receiving
    assert server.streams.receive_credit.consumed == 5


# --- 0-RTT ------------------------------------------------------------------------------------------------------


def test_streams_go_with_early_data_that_is_rejected() -> None:
    """RFC 9001 section 4.6.2: their state, what they have in flight, and their ids."""
    client, server = Side(client=True), Side(client=False, **SMALL)
    client.streams.permit(Side(client=False).parameters())
    ids = [opened(client) for _ in range(5)] + [opened(client, unidirectional=True)]
    for stream_id in ids:
        say(client, stream_id, BODY[:4000], conclude=stream_id != ids[-1])
    assert client.packets()
    assert client.streams.send_credit.used == 24_000
    client.streams.stop_sending(ids[0], 5)
    client.streams.writer(ids[1]).reset(5)
    say(client, ids[-1], BODY, conclude=False)  # held back, which the server is to be told
    old = client.streams.writer(ids[-1])
    client.streams.early_data_rejected("replay")
    assert client.packets() == []
    assert client.streams.send_credit.used == client.streams.receive_credit.received == 0
    assert client.streams.sending == client.streams.receiving == {}
    for stream_id in ids:
        for call in (
            client.streams.read,
            client.streams.writer,
            lambda each: client.streams.stop_sending(each, 0),
        ):
            with pytest.raises(ZeroRTTRejected, match="replay"):
                call(stream_id)
    for stream_id in (20, 6, 1):  # were never opened
        with pytest.raises(UsageError):
            client.streams.writer(stream_id)
    with pytest.raises(StreamStateError):
        client.streams.on_max_stream_data(0, 100)
    assert client.streams.open() is None

    client.streams.permit(server.parameters())
    server.streams.permit(client.parameters())
    assert [opened(client), opened(client), opened(client, unidirectional=True)] == [0, 4, 2]
    old.write(b"nobody hears that")
    say(client, 0, BODY[:4000])
    for _ in range(3):
        exchange(client, server)
    assert server.data == {0: BODY[:4000]}
    with pytest.raises(ZeroRTTRejected):
        client.streams.writer(16)
    server.streams.writer(0).conclude()
    exchange(client, server)
    with pytest.raises(UsageError, match="not there"):
        client.streams.writer(0)


# --- what is written down of a packet ---------------------------------------------------------------------------


def test_recalls_say_where_the_bytes_came_from() -> None:
    client, _ = pair()
    say(client, opened(client), BODY[:2000])
    packets: list[Packet] = client.packets()
    recalls: list[Recall] = [recall for packet in packets for recall in packet.recalls]
    assert b"".join(data for _, _, _, data in recalls) == BODY[:2000]
    assert [(at, bool(mark)) for _, at, mark, _ in recalls] == [(0, False), (len(recalls[0][3]), True)]
