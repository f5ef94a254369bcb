from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import RecordOverflow, UnexpectedMessage
from caesura.wire.records import (
    HEADER,
    HEADER_LENGTH,
    MAX_CIPHERTEXT,
    MAX_CIPHERTEXT_TLS12,
    MAX_INNER_PLAINTEXT,
    MAX_PLAINTEXT,
    split_records,
)
from caesura.wire.registries import ContentType

TYPES = (ContentType.change_cipher_spec, ContentType.alert, ContentType.handshake, ContentType.application_data)
RECORDS = st.lists(st.tuples(st.sampled_from(TYPES), st.integers(0, 2**16 - 1), st.binary(max_size=50)), max_size=6)


def record(content_type: int, fragment: bytes, version: int = 0x0303) -> bytes:
    return HEADER.pack(content_type, version, len(fragment)) + fragment


def test_the_bounds_are_those_of_rfc_9846_section_5_and_rfc_5246() -> None:
    assert (MAX_PLAINTEXT, MAX_INNER_PLAINTEXT, MAX_CIPHERTEXT, MAX_CIPHERTEXT_TLS12) == (16384, 16385, 16640, 18432)
    assert HEADER_LENGTH == 5


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_whole_records(kind: type) -> None:
    buffer = kind(record(22, b"abc") + record(23, b"") + record(21, b"xy"))
    assert split_records(buffer) == [(22, 5, 8), (23, 13, 13), (21, 18, 20)]


def test_from_a_place_in_the_buffer() -> None:
    assert split_records(b"skip" + record(22, b"abc"), 4) == [(22, 9, 12)]


@given(RECORDS, st.data())
def test_any_chunking_gives_the_same_records(records: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    """Whatever version a header says: it is ignored (RFC 9846 section 5.1)."""
    stream = b"".join(record(content_type, fragment, version) for content_type, version, fragment in records)
    buffer, found = bytearray(), []
    rest = stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        buffer += rest[:size]
        rest = rest[size:]
        pieces = split_records(buffer)
        found += [(content_type, bytes(buffer[start:stop])) for content_type, start, stop in pieces]
        if pieces:
            del buffer[: pieces[-1][2]]
    assert found == [(content_type, fragment) for content_type, _version, fragment in records]
    assert not buffer


@pytest.mark.parametrize("limit", [MAX_PLAINTEXT, MAX_CIPHERTEXT, MAX_CIPHERTEXT_TLS12])
def test_a_record_too_long_is_refused_by_its_header(limit: int) -> None:
    assert split_records(record(23, bytes(limit)), 0, limit) == [(23, 5, 5 + limit)]
    with pytest.raises(RecordOverflow):
        split_records(HEADER.pack(23, 0x0303, limit + 1), 0, limit)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\0\0\0\0\0", b"\x80\x2e\x01\x03\x01", b"\x18\3\3\0\1"])
def test_what_is_no_record_of_tls_is_refused_by_its_header(first: bytes) -> None:
    with pytest.raises(UnexpectedMessage):
        split_records(first)


@pytest.mark.parametrize("bad", [HEADER.pack(23, 0x0303, 2**16 - 1), b"GET / "])
def test_records_before_a_bad_header_are_handed_over_first(bad: bytes) -> None:
    good = record(22, b"abc")
    assert split_records(good + bad) == [(22, 5, 8)]
    with pytest.raises((RecordOverflow, UnexpectedMessage)):
        split_records(good + bad, len(good))


def test_a_short_tail_is_normal() -> None:
    whole = record(22, b"abc")
    for length in range(len(whole)):
        assert split_records(whole[:length]) == []
