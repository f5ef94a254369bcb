"""Credit in both directions (RFC 9000 section 4), in any order of things."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from caesura.quic.flow_control import ReceiveCredit, SendCredit
from caesura.quic.outbox import LastingFrame, Outbox
from caesura.quic.sent_packets import Recall
from tests.quic.stream_pair import Packet, exchange, pair
from tests.quic.test_streams import BODY, SMALL

STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 4000)),
    st.tuples(st.just("send"), st.booleans(), st.integers(1, 3)),
    st.tuples(st.just("deliver"), st.booleans(), st.integers(0, 5)),
    st.tuples(st.just("lose"), st.booleans(), st.integers(0, 5)),
    st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 4000)),
    st.tuples(st.just("stop"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("reset"), st.integers(0, 2), st.just(0)),
)


@given(st.lists(STEP, max_size=50))
def test_what_is_sent_is_permitted_and_what_is_taken_is_given_back(steps: list[tuple[str, int, int]]) -> None:
    client, server = pair({}, {**SMALL, "max_data_window": 12_000})
    ids = [client.streams.open() for _ in range(3)]
    flying: dict[bool, list[Packet]] = {True: [], False: []}
    sides = {True: (client, server), False: (server, client)}
    given_up: set[int] = set()
    now = 0.0
    for what, which, count in steps:
        now += 0.05
        stream_id = ids[which % 3]
        if what == "write" and stream_id not in given_up:
            writer = client.streams.writer(stream_id)
            writer.write(BODY[writer.end : writer.end + count])
        elif what == "send":
            flying[bool(which)] += sides[bool(which)][0].packets(now, count)
        elif what in ("deliver", "lose") and flying[bool(which)]:
            packet = flying[bool(which)].pop(count % len(flying[bool(which)]))
            if what == "deliver":
                sides[bool(which)][1].hear(packet)
                packet.acked()
            else:
                packet.lost()
        elif what == "read" and stream_id in server.streams.receiving and stream_id not in given_up:
            server.read(stream_id, count)
        elif what == "stop" and stream_id in server.streams.receiving:
            server.streams.stop_sending(stream_id, 1)
            given_up.add(stream_id)
        elif what == "reset" and stream_id in client.streams.sending:
            client.streams.writer(stream_id).reset(1)
            given_up.add(stream_id)
        credit, owed = client.streams.send_credit, server.streams.receive_credit
        assert credit.used <= credit.limit <= owed.limit
        assert owed.consumed <= owed.received <= credit.used
        assert owed.limit <= owed.consumed + owed.window <= owed.consumed + 12_000
    for packet in flying[True] + flying[False]:
        packet.lost()
    written = {stream_id: client.streams.writer(stream_id).end for stream_id in ids if stream_id not in given_up}
    for _ in range(20):
        exchange(client, server)
        for stream_id in written:
            if stream_id in server.streams.receiving:
                server.read(stream_id)
    assert all(server.data.get(stream_id, b"") == BODY[:end] for stream_id, end in written.items())
    assert client.streams.send_credit.used == server.streams.receive_credit.consumed


def frames_of(outbox: Outbox, now: float = 0.0) -> tuple[list[bytes], list[Recall]]:
    pieces: list[bytes] = []
    recalls: list[Recall] = []
    outbox.write(1000, pieces, recalls, now, 0.1)
    return pieces, recalls


def test_a_limit_is_told_once_half_of_it_is_used_up() -> None:
    outbox = Outbox()
    credit = ReceiveCredit(1000, 1000, b"\x10", outbox)
    credit.received = 900
    credit.consume(499)
    assert not outbox
    credit.consume(1)
    assert frames_of(outbox)[0] == [b"\x10\x45\xdc"]  # 1500
    assert credit.limit == 1500
    assert not outbox


def test_a_window_of_nothing_stays_so() -> None:
    outbox = Outbox()
    credit = ReceiveCredit(0, 0, b"\x10", outbox)
    credit.consume(0)
    assert frames_of(outbox) == ([], [])


def test_being_held_back_is_told_once_for_each_limit() -> None:
    outbox = Outbox()
    credit = SendCredit(5, b"\x14", outbox)
    for _ in range(3):
        credit.held_back()
    pieces, recalls = frames_of(outbox)
    assert pieces == [b"\x14\x05"]
    owner, at, mark, data = recalls[0]
    owner.lost(at, mark, data)
    assert frames_of(outbox)[0] == [b"\x14\x05"]
    assert credit.grow(6)
    assert not credit.grow(6)
    owner.lost(at, mark, data)
    assert frames_of(outbox)[0] == []
    credit.held_back()
    credit.grow(7)  # before it was sent
    assert frames_of(outbox)[0] == []


def test_frames_wait_for_room_in_their_order() -> None:
    outbox, arrived = Outbox(), []
    for at in range(3):
        LastingFrame(outbox, bytes((at,)) * 10, lambda at=at: arrived.append(at))
    pieces: list[bytes] = []
    recalls: list[Recall] = []
    assert outbox.write(25, pieces, recalls, 0.0, 0.1) == 20
    assert outbox
    assert outbox.write(9, [], [], 0.0, 0.1) == 0
    assert outbox.write(25, pieces, recalls, 0.0, 0.1) == 10
    assert pieces == [bytes((at,)) * 10 for at in range(3)]
    assert not outbox
    recalls[1][0].acked(0, 0, b"")
    recalls[1][0].acked(0, 0, b"")
    recalls[1][0].lost(0, 0, b"")
    recalls[2][0].lost(0, 0, b"")
    recalls[2][0].lost(0, 0, b"")
    assert arrived == [1]
    assert frames_of(outbox)[0] == [b"\x02" * 10]


def test_a_frame_that_is_called_off_is_not_sent() -> None:
    outbox = Outbox()
    LastingFrame(outbox, b"gone").call_off()
    frame = LastingFrame(outbox, b"sent")
    assert frames_of(outbox)[0] == [b"sent"]
    frame.call_off()
    frame.lost(0, 0, b"")
    assert not outbox
