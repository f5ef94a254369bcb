"""Messages cut to size: everything is sent once, nothing is longer than it may be, and datagrams are filled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.dtls.fragments import OutgoingMessage, Part, plan
from caesura.dtls.reassembly import Reassembly
from caesura.errors import InternalError
from caesura.wire.dtls import decode_fragments

OVERHEADS = {0: 13, 2: 22, 3: 22}
HEADER = 12


def message(seq: int, size: int, epoch: int = 2) -> OutgoingMessage:
    body = bytes((seq + at) % 256 for at in range(size))
    return OutgoingMessage(epoch, seq, (11 << 24 | size).to_bytes(4, "big") + body)


def content_of(parts: list[Part]) -> bytes:
    return b"".join(each.fragment(start, stop) for each, start, stop in parts)


def seq_of(each: OutgoingMessage) -> int:
    return int.from_bytes(each.whole[4:6], "big")


@st.composite
def flights(draw: st.DrawFn) -> list[OutgoingMessage]:
    sizes = draw(st.lists(st.integers(0, 900), min_size=1, max_size=5))
    epochs = sorted(draw(st.lists(st.sampled_from([0, 2]), min_size=len(sizes), max_size=len(sizes))))
    messages = [message(seq, size, epoch) for seq, (size, epoch) in enumerate(zip(sizes, epochs, strict=True))]
    for each in messages:
        for start in draw(st.lists(st.integers(0, 900), max_size=3)):
            each.arrived(min(start, each.length), min(start + 100, each.length))
        if not each.missing and not each.length:
            each.lose()
    return messages


@given(flights(), st.integers(64, 1500), st.integers(30, 600))
def test_all_that_is_missing_is_sent_once(messages: list[OutgoingMessage], mtu: int, max_content: int) -> None:
    sent: dict[int, list[tuple[int, int]]] = {seq_of(each): [] for each in messages}
    for records in plan(messages, OVERHEADS.__getitem__, mtu, max_content):
        assert records
        size = 0
        for epoch, parts in records:
            content = content_of(parts)
            assert 0 < len(content) <= max_content
            size += OVERHEADS[epoch] + len(content)
            assert [(f.message_seq, f.offset, f.stop) for f in decode_fragments(content)] == [
                (seq_of(each), start, stop) for each, start, stop in parts
            ]
            for each, start, stop in parts:
                assert each.epoch == epoch
                assert start < stop or not each.length
                sent[seq_of(each)].append((start, stop))
        assert size <= mtu
    for each in messages:
        covered = [at for start, stop in sent[seq_of(each)] for at in range(start, stop)]
        assert covered == [at for start, stop in each.missing for at in range(start, stop)]
        if not each.length:
            assert sent[seq_of(each)] == each.missing


def test_a_datagram_is_filled_before_the_next() -> None:
    datagrams = plan([message(0, 90, 0), message(1, 1000), message(2, 50)], OVERHEADS.__getitem__, 300, 16384)
    sizes = [sum(OVERHEADS[epoch] + len(content_of(parts)) for epoch, parts in records) for records in datagrams]
    assert sizes[:-1] == [300] * (len(sizes) - 1)
    assert [len(records) for records in datagrams] == [2, 1, 1, 1, 1]  # one record for each epoch in a datagram


def test_messages_share_a_record() -> None:
    (records,) = plan([message(seq, 20) for seq in range(5)], OVERHEADS.__getitem__, 1400, 16384)
    assert [len(parts) for _epoch, parts in records] == [5]


def test_together_they_are_reassembled() -> None:
    messages = [message(0, 700), message(1, 0), message(2, 1)]
    reassembly = Reassembly(10_000, 7, 100_000)
    for records in plan(messages, OVERHEADS.__getitem__, 100, 16384):
        for _epoch, parts in records:
            for fragment in decode_fragments(content_of(parts)):
                reassembly.add(fragment)
    for each in messages:
        found = reassembly.pop()
        assert found is not None
        assert found[4:] == each.whole[HEADER:]


def test_not_even_a_byte_fits() -> None:
    plan([message(0, 1)], OVERHEADS.__getitem__, 22 + HEADER + 1, 16384)
    with pytest.raises(InternalError, match="mtu"):
        plan([message(0, 1)], OVERHEADS.__getitem__, 22 + HEADER, 16384)
    plan([message(0, 0)], OVERHEADS.__getitem__, 22 + HEADER, 16384)


def test_what_has_arrived_is_not_missing() -> None:
    one = message(0, 100)
    one.arrived(10, 20)
    one.arrived(30, 40)
    assert one.missing == [(0, 10), (20, 30), (40, 100)]
    one.arrived(15, 35)
    assert one.missing == [(0, 10), (40, 100)]
    one.arrived(90, 100)
    assert one.missing == [(0, 10), (40, 90)]
    one.arrived(50, 60)
    one.arrived(0, 55)
    assert one.missing == [(60, 90)]
    one.arrived(0, 100)
    assert one.missing == []
    one.lose()
    assert one.missing == [(0, 100)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=10))
def test_arrived_as_a_set(ranges: list[tuple[int, int]]) -> None:
    one, left = message(0, 60), set(range(60))
    for first, second in ranges:
        start, stop = sorted((first, second))
        if start < stop:
            one.arrived(start, stop)
            left -= set(range(start, stop))
    assert [at for start, stop in one.missing for at in range(start, stop)] == sorted(left)
    assert all(a[1] < b[0] for a, b in zip(one.missing, one.missing[1:], strict=False))


def test_an_empty_message_has_arrived_with_its_header() -> None:
    empty = message(0, 0)
    assert empty.missing == [(0, 0)]
    empty.arrived(0, 0)
    assert empty.missing == []
