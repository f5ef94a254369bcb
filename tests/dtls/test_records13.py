"""Record protection of DTLS 1.3: headers, numbers, keys."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto.hkdf import expand_label
from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.dtls.epochs import EarlyRecords, ReadEpochs
from caesura.dtls.plaintext import PlaintextWriter, split_plaintext
from caesura.dtls.records13 import ReadKey, WriteKey, reconstruct, split_ciphertext, split_inner
from caesura.errors import InternalError
from caesura.wire.registries import CipherSuite

PREFIX = b"dtls13"
SUITE = SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]
every = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


def secret(suite: Suite = SUITE) -> TrafficSecret:
    return TrafficSecret(bytes(range(suite.hash.digest_size)), suite)


def pair(epoch: int = 3, suite: Suite = SUITE, connection_id: bytes = b"") -> tuple[WriteKey, ReadKey]:
    return WriteKey(secret(suite), PREFIX, epoch, connection_id), ReadKey(secret(suite), PREFIX, epoch)


def opened(key: ReadKey, record: bytes, expected: int = 0, id_length: int = 0) -> tuple[int, int, bytes] | None:
    """Number, content type and content of a record; None when it does not open."""
    found = split_ciphertext(record, 0, id_length)
    assert found is not None
    sealed = key.unmask(record, 0, *found, expected)
    if sealed is None:
        return None
    inner = key.open_untrusted(*sealed)
    return None if inner is None else (sealed[0], *split_inner(inner))


# --- headers ----------------------------------------------------------------------------------------------------


def test_a_record_byte_by_byte() -> None:
    """RFC 9147 section 4, done by hand with the primitives."""
    write, _ = pair(epoch=2)
    write.sequence = 0x01_0203
    record = write.seal(22, b"content")
    body = record[5:]
    key = SUITE.aead.new(expand_label(SUITE.hash, secret(), b"key", b"", 16, PREFIX))
    iv = expand_label(SUITE.hash, secret(), b"iv", b"", 12, PREFIX).reveal()
    mask = SUITE.aead.new_mask(expand_label(SUITE.hash, secret(), b"sn", b"", 16, PREFIX))(body[:16])
    header = bytes((0b0010_1110, 0x02, 0x03, 0, len(body)))
    assert record[:1] == header[:1]
    assert record[3:5] == header[3:]
    assert bytes(a ^ b for a, b in zip(record[1:3], mask, strict=False)) == header[1:3]
    nonce = bytes(a ^ b for a, b in zip(iv, (0x01_0203).to_bytes(12, "big"), strict=True))
    assert key.decrypt(nonce, body, header) == b"content\x16"
    assert len(record) == len(b"content") + write.overhead


@every
@given(
    content=st.binary(max_size=100),
    content_type=st.sampled_from([21, 22, 23, 26]),
    sequence=st.integers(0, 2**48),
    epoch=st.integers(2, 1000),
    connection_id=st.binary(max_size=20),
)
def test_there_and_back(
    suite: Suite, content: bytes, content_type: int, sequence: int, epoch: int, connection_id: bytes
) -> None:
    write, read = pair(epoch, suite, connection_id)
    write.sequence = sequence
    record = write.seal(content_type, content)
    assert write.sequence == sequence + 1
    padded = max(0, 16 - suite.aead.tag_length - len(content) - 1)  # a mask is made of 16 bytes of ciphertext
    assert len(record) == len(content) + write.overhead + padded
    assert record[0] & 0b11 == epoch & 0b11
    assert bool(record[0] & 0b0001_0000) is bool(connection_id)
    assert record[1 : 1 + len(connection_id)] == connection_id
    assert opened(read, record, sequence, len(connection_id)) == (sequence, content_type, content)


def other_form(write: WriteKey, content: bytes, *, short: bool, length: bool, padding: int = 0) -> bytes:
    """A record with another header than we write."""
    sequence = write.take_number()
    inner = content + b"\x17" + bytes(padding)
    first = 0b0010_0000 | (0 if short else 8) | (4 if length else 0) | write.epoch & 3
    number = sequence.to_bytes(8, "big")[-1 if short else -2 :]
    header = bytes((first,)) + number + ((len(inner) + 16).to_bytes(2, "big") if length else b"")
    body = write._aead.encrypt((write._iv ^ sequence).to_bytes(12, "big"), inner, header)
    masked = bytes(a ^ b for a, b in zip(number, write._mask(body[:16]), strict=False))
    return header[:1] + masked + header[1 + len(number) :] + body


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("padding", [0, 30])
def test_every_form_is_read(short: bool, length: bool, padding: int) -> None:
    write, read = pair()
    for sequence in (0, 1, 255, 256, 70_000):
        write.sequence = sequence
        record = other_form(write, b"data", short=short, length=length, padding=padding)
        assert opened(read, record, sequence) == (sequence, 23, b"data")


@given(st.binary(min_size=1, max_size=60), st.integers(0, 3))
def test_any_bytes_are_records_or_none(data: bytes, id_length: int) -> None:
    data = bytes((0b0010_0000 | data[0] & 0b0001_1111,)) + data[1:]
    found = split_ciphertext(data, 0, id_length)
    if found is None:
        return
    number_at, start, stop = found
    assert 0 < number_at < start <= stop <= len(data)
    _, read = pair(data[0] & 3)
    sealed = read.unmask(data, 0, *found, 0)
    assert sealed is None or read.open_untrusted(*sealed) is None


@pytest.mark.parametrize("size", range(22))
def test_a_record_that_is_cut_short(size: int) -> None:
    write, read = pair()
    record = write.seal(23, b"")
    assert len(record) == 22
    if size:
        assert split_ciphertext(record[:size], 0, 0) is None
    unsized = bytes((record[0] & ~4,)) + record[1:3] + record[5 : 5 + max(size - 3, 0)]
    found = split_ciphertext(unsized, 0, 0)
    assert found is not None
    assert read.unmask(unsized, 0, *found, 0) is None or size >= 19


@every
def test_any_change_is_noticed(suite: Suite) -> None:
    write, read = pair(3, suite)
    record = write.seal(23, b"data")
    for at in range(len(record) * 8):
        changed = bytearray(record)
        changed[at // 8] ^= 1 << at % 8
        if changed[0] & 0b1111_1100 == record[0] & 0b1111_1100 and changed[3:5] == record[3:5]:
            assert opened(read, bytes(changed)) is None


def test_padding_and_nothing_but_padding() -> None:
    assert split_inner(b"data\x17\0\0\0") == (23, b"data")
    assert split_inner(b"\x17") == (23, b"")
    assert split_inner(b"\0\0\0") == (0, b"")
    assert split_inner(b"") == (0, b"")


def test_the_next_generation() -> None:
    write, read = pair(3)
    write.sequence = 77
    after, reading = write.next_generation(b"id"), read.next_generation()
    assert (after.epoch, after.sequence, reading.epoch) == (4, 0, 4)
    record = after.seal(23, b"data")
    assert opened(reading, record, 0, 2) == (0, 23, b"data")
    assert opened(read, record, 0, 2) is None


# --- record numbers ---------------------------------------------------------------------------------------------


@given(st.integers(0, 2**64 - 1), st.sampled_from([8, 16]), st.integers(-100_000, 100_000))
def test_the_closest_number_is_found(expected: int, bits: int, off: int) -> None:
    """RFC 9147 section 4.2.2, against the definition."""
    low = (expected + off) % (1 << bits)
    found = reconstruct(low, bits, expected)
    candidates = [
        number
        for number in range((expected >> bits << bits) + low - (2 << bits), expected + (3 << bits), 1 << bits)
        if 0 <= number < 2**64
    ]
    assert found in candidates
    assert abs(found - expected) == min(abs(number - expected) for number in candidates)


@pytest.mark.parametrize(
    ("low", "bits", "expected", "number"),
    [
        (0, 16, 0, 0),
        (0xFFFF, 16, 0, 0xFFFF),
        (0xFFFF, 16, 0x10000, 0xFFFF),
        (0, 16, 0xFFFF, 0x10000),
        (5, 8, 1000, 1029),
        (0, 8, 2**64 - 1, 2**64 - 256),
    ],
)
def test_numbers_at_the_edges(low: int, bits: int, expected: int, number: int) -> None:
    assert reconstruct(low, bits, expected) == number


# --- records of epoch 0 -------------------------------------------------------------------------------------------


def test_plaintext_records() -> None:
    writer = PlaintextWriter(0x0102_0304_0506)
    record = writer.seal(22, b"hello")
    assert record == bytes.fromhex("16 fefd 0000 010203040506 0005") + b"hello"
    assert split_plaintext(b"xx" + record, 2) == (22, 0, 0x0102_0304_0506, 15, 20)
    assert writer.sequence == 0x0102_0304_0507
    for size in range(len(record)):
        assert split_plaintext(record[:size], 0) is None


def test_no_number_beyond_48_bits() -> None:
    writer = PlaintextWriter(2**48 - 1)
    assert writer.seal(22, b"")[5:11] == b"\xff" * 6
    with pytest.raises(InternalError):
        writer.seal(22, b"")


# --- epochs -------------------------------------------------------------------------------------------------------


def epochs(*numbers: int) -> ReadEpochs:
    made = ReadEpochs(64, 240.0)
    for number in numbers:
        made.install(ReadKey(secret(), PREFIX, number))
    return made


def test_the_newest_epoch_with_these_bits() -> None:
    made = epochs(2, 3, 4)
    assert [epoch.number if epoch else None for bits in range(4) for epoch in [made.find(bits, 0.0)]] == [4, None, 2, 3]
    assert epochs().find(0, 0.0) is None


def test_no_more_than_two_old_epochs() -> None:
    made = epochs(3, 4, 5, 6, 7)
    assert [epoch.number if epoch else None for bits in range(4) for epoch in [made.find(bits, 0.0)]] == [None, 5, 6, 7]


def test_old_epochs_expire_when_the_new_one_is_in_use() -> None:
    made = epochs(3, 4)
    old, new = made.find(3, 0.0), made.find(0, 0.0)
    assert old is not None
    assert new is not None
    assert made.find(3, 10_000.0) is old  # the peer may not have changed yet
    made.opened(old, 10.0)
    assert made.find(3, 10_000.0) is old
    made.opened(new, 100.0)
    made.opened(new, 200.0)
    assert made.find(3, 339.9) is old
    assert made.find(3, 340.0) is None


def test_early_records_are_bounded_and_sorted() -> None:
    early = EarlyRecords(400)
    records = [bytes((0b0010_1100 | bits,)) + bytes(35) for bits in (2, 3, 2, 3)]
    assert [early.keep(record) for record in records] == [True, True, True, True]
    assert not early.keep(records[0])
    assert list(early.take(2)) == [records[0], records[2]]
    assert early
    assert list(early.take(3)) == [records[1], records[3]]
    assert not early
    assert early.keep(bytes(336))
    assert not early.keep(b"x")
    early.clear()
    assert early.keep(random.randbytes(300))
