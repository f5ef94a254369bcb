"""DTLS's own formats: headers, fragments, ACKs, and the messages that TLS writes differently or does not have."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import DecodeError, IllegalParameter
from caesura.wire.dtls import (
    FRAGMENT_HEADER_LENGTH,
    PLAINTEXT_HEADER,
    PLAINTEXT_HEADER_LENGTH,
    DTLSClientHello,
    Fragment,
    NewConnectionId,
    RequestConnectionId,
    decode_ack,
    decode_fragments,
    encode_ack,
)
from caesura.wire.extensions import Extensions
from caesura.wire.messages import ClientHello, decode_message
from caesura.wire.registries import CipherSuite, ConnectionIdUsage

U64 = st.integers(0, 2**64 - 1)


def test_plaintext_header() -> None:
    assert PLAINTEXT_HEADER_LENGTH == 13
    packed = PLAINTEXT_HEADER.pack(22, 0xFEFD, 1 << 48 | 0x0203_0405_0607, 8)
    assert packed.hex(" ") == "16 fe fd 00 01 02 03 04 05 06 07 00 08"


# --- fragments ------------------------------------------------------------------------------------------------------


def test_a_fragment_and_its_bytes() -> None:
    fragment = Fragment(1, 0x010203, 0x0405, 2, b"abc")
    data = bytes.fromhex("01 010203 0405 000002 000003") + b"abc"
    assert fragment.encode() == data
    assert decode_fragments(data) == [fragment]
    assert fragment.stop == 5


@st.composite
def fragments(draw: st.DrawFn) -> Fragment:
    data = draw(st.binary(max_size=40))
    offset = draw(st.integers(0, 2**24 - 1 - len(data)))
    length = draw(st.integers(offset + len(data), 2**24 - 1))
    return Fragment(draw(st.integers(0, 255)), length, draw(st.integers(0, 2**16 - 1)), offset, data)


@given(st.lists(fragments(), min_size=1, max_size=5))
def test_fragments_there_and_back(given_: list[Fragment]) -> None:
    assert decode_fragments(b"".join(each.encode() for each in given_)) == given_


@given(st.binary(max_size=60))
def test_any_bytes_are_fragments_or_refused(data: bytes) -> None:
    try:
        found = decode_fragments(data)
    except (DecodeError, IllegalParameter):
        return
    assert b"".join(each.encode() for each in found) == data


@pytest.mark.parametrize("size", range(FRAGMENT_HEADER_LENGTH + 3))
def test_a_fragment_that_is_cut_short(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_fragments(Fragment(1, 3, 0, 0, b"abc").encode()[:size])


def test_a_fragment_beyond_its_message() -> None:
    data = bytearray(Fragment(1, 3, 0, 0, b"abc").encode())
    data[8] = 1  # its offset
    with pytest.raises(IllegalParameter):
        decode_fragments(bytes(data))


def test_an_empty_fragment_of_an_empty_message() -> None:
    assert decode_fragments(Fragment(5, 0, 7, 0, b"").encode()) == [Fragment(5, 0, 7, 0, b"")]


# --- ACKs -----------------------------------------------------------------------------------------------------------


def test_an_ack_and_its_bytes() -> None:
    data = struct.pack(">HQQQQ", 32, 0, 1, 2, 0)
    assert encode_ack([(0, 1), (2, 0)]) == data
    assert decode_ack(data) == [(0, 1), (2, 0)]
    assert decode_ack(b"\x00\x00") == []


@given(st.lists(st.tuples(U64, U64), max_size=40))
def test_acks_there_and_back(numbers: list[tuple[int, int]]) -> None:
    assert decode_ack(encode_ack(numbers)) == numbers


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x01", b"\x00\x10", b"\x00\x00\x00", b"\x00\x08" + bytes(8)])
def test_an_ack_that_is_none(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_ack(data)


# --- messages -------------------------------------------------------------------------------------------------------


def hello(cookie: bytes, session_id: bytes) -> DTLSClientHello:
    made = DTLSClientHello(
        0xFEFD, bytes(range(32)), session_id, (CipherSuite.TLS_AES_128_GCM_SHA256,), b"\0", Extensions()
    )
    made.extensions.put_data(0x2A2A, b"abc")
    made.legacy_cookie = cookie
    return made


@pytest.mark.parametrize("session_id", [b"", b"s" * 32])
@pytest.mark.parametrize("cookie", [b"", b"cookie", b"c" * 255])
def test_a_client_hello_has_its_cookie_behind_its_session_id(cookie: bytes, session_id: bytes) -> None:
    made = hello(cookie, session_id)
    raw = made.encode()
    fields = bytes((len(session_id),)) + session_id + bytes((len(cookie),)) + cookie
    assert raw[4:] == b"\xfe\xfd" + bytes(range(32)) + fields + bytes.fromhex("0002 1301 01 00 0007 2a2a 0003 616263")
    read = decode_message(DTLSClientHello, raw)
    assert read == made
    assert read.legacy_cookie == cookie
    assert read.raw == raw


def test_the_hello_of_tls_has_no_cookie() -> None:
    made = hello(b"", b"s")
    raw = made.encode()
    with pytest.raises(DecodeError):
        decode_message(ClientHello, raw)
    assert ClientHello.codec.encode(made) == raw[4:40] + raw[41:]


@pytest.mark.parametrize("cut", [1, 30, 36, 38, 45])
def test_a_client_hello_that_is_cut_short(cut: int) -> None:
    body = hello(b"cookie", b"").encode()[4:]
    with pytest.raises(DecodeError):
        DTLSClientHello.decode(body[:cut])


def test_no_cookie_beyond_255_bytes() -> None:
    with pytest.raises(ValueError, match="256"):
        hello(bytes(256), b"").encode()


def test_connection_id_messages() -> None:
    request = RequestConnectionId(3)
    assert request.encode() == bytes.fromhex("09 000001 03")
    assert decode_message(RequestConnectionId, request.raw) == request
    fresh = NewConnectionId((b"ab", b""), ConnectionIdUsage.cid_spare)
    assert fresh.encode() == bytes.fromhex("0a 000007 0004 02 6162 00 01")
    assert decode_message(NewConnectionId, fresh.raw) == fresh
    with pytest.raises(IllegalParameter):
        decode_message(NewConnectionId, bytes.fromhex("0a 000003 0000 02"))
