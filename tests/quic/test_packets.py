"""Packet headers (RFC 9000 section 17, RFC 8999)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.quic import packets, varint
from caesura.quic.levels import HANDSHAKE, INITIAL, ZERO_RTT
from caesura.quic.versions import QUIC1, QUIC2, RETRY, VERSIONS, VersionParameters

DESTINATION, SOURCE = b"destination", b"source"
KINDS = [(INITIAL, b""), (INITIAL, b"token" * 20), (ZERO_RTT, b""), (HANDSHAKE, b"")]


def long_packet(parameters: VersionParameters, kind: int, token: bytes, body: bytes = b"number and payload") -> bytes:
    header = packets.long_header(parameters, kind, DESTINATION, SOURCE, token)
    return header + varint.encode_two(len(body)) + body


@pytest.mark.parametrize("parameters", VERSIONS.values(), ids=lambda each: each.version.name)
@pytest.mark.parametrize(("kind", "token"), KINDS)
def test_long_headers(parameters: VersionParameters, kind: int, token: bytes) -> None:
    packet = long_packet(parameters, kind, token)
    found = packets.read_long(b"before" + packet + b"behind", 6)
    assert found is not None
    assert (found.parameters, found.kind, found.destination, found.source, found.token) == (
        parameters, kind, DESTINATION, SOURCE, token,
    )  # fmt: skip
    assert (found.start, found.number_at, found.stop) == (6, 6 + len(packet) - 18, 6 + len(packet))
    assert packets.read_invariant(packet, 0) == (parameters.version, DESTINATION, SOURCE, 7 + 11 + 6)


@pytest.mark.parametrize(
    ("kind", "first1", "first2"),
    [(INITIAL, 0xC0, 0xD0), (ZERO_RTT, 0xD0, 0xE0), (HANDSHAKE, 0xE0, 0xF0), (RETRY, 0xF0, 0xC0)],
)
def test_each_version_numbers_its_packets_in_its_own_way(kind: int, first1: int, first2: int) -> None:
    assert packets.long_header(QUIC1, kind, b"", b"", b"")[0] == first1
    assert packets.long_header(QUIC2, kind, b"", b"", b"")[0] == first2


@pytest.mark.parametrize(("kind", "token"), KINDS)
def test_what_is_cut_short_is_no_header(kind: int, token: bytes) -> None:
    packet = long_packet(QUIC1, kind, token)
    for size in range(len(packet)):
        assert packets.read_long(packet[:size], 0) is None


def test_coalesced_packets_are_found_one_by_one() -> None:
    parts = [long_packet(QUIC1, kind, token) for kind, token in KINDS]
    datagram, pos, kinds = b"".join(parts) + b"\x40short", 0, []
    while datagram[pos] & packets.LONG_HEADER:
        found = packets.read_long(datagram, pos)
        assert found is not None
        kinds.append(found.kind)
        pos = found.stop
    assert kinds == [kind for kind, _ in KINDS]
    assert datagram[pos:] == b"\x40short"


@pytest.mark.parametrize(
    ("destination", "source", "good"), [(20, 20, True), (21, 0, False), (0, 21, False), (255, 255, False)]
)
def test_ids_of_more_than_20_bytes_are_of_other_versions_only(destination: int, source: int, good: bool) -> None:
    packet = packets.long_header(QUIC1, HANDSHAKE, bytes(destination), bytes(source), b"") + b"\x01n"
    assert (packets.read_long(packet, 0) is not None) == good
    assert packets.read_invariant(packet, 0) == (1, bytes(destination), bytes(source), 7 + destination + source)


def test_a_version_that_we_do_not_speak() -> None:
    packet = b"\xc0\x1a\x2a\x3a\x4a\x02id\x03own" + bytes(30)
    assert packets.read_long(packet, 0) is None
    assert packets.read_invariant(packet, 0) == (0x1A2A3A4A, b"id", b"own", 12)


def test_a_length_that_reaches_beyond_the_datagram() -> None:
    header = packets.long_header(QUIC1, HANDSHAKE, DESTINATION, SOURCE, b"")
    assert packets.read_long(header + varint.encode(5) + bytes(5), 0) is not None
    assert packets.read_long(header + varint.encode(6) + bytes(5), 0) is None
    assert packets.read_long(header + varint.encode(varint.MAX) + bytes(5), 0) is None
    token = packets.long_header(QUIC1, INITIAL, DESTINATION, SOURCE, b"")[:-1] + varint.encode(varint.MAX)
    assert packets.read_long(token + bytes(50), 0) is None


# --- Retry and Version Negotiation ------------------------------------------------------------------------------


def test_a_retry_needs_room_for_its_tag() -> None:
    retry = packets.encode_retry(QUIC1, DESTINATION, SOURCE, b"original", b"", 0)
    found = packets.read_long(retry, 0)
    assert found is not None
    assert (found.kind, found.token, found.number_at, found.stop) == (RETRY, b"", len(retry) - 16, len(retry))
    assert packets.read_long(retry[:-1], 0) is None


def test_version_negotiation() -> None:
    datagram = packets.encode_version_negotiation(bytes(21), SOURCE, [1, 0x6B3343CF, 0x1A2A3A4A], 0x15)
    assert datagram[0] == 0xD5
    assert packets.read_version_negotiation(datagram) == (bytes(21), SOURCE, (1, 0x6B3343CF, 0x1A2A3A4A))
    for size in range(len(datagram)):
        shorter = packets.read_version_negotiation(datagram[:size])
        assert (shorter is not None) == (size in (len(datagram) - 8, len(datagram) - 4))
    assert packets.read_version_negotiation(b"\x55" + datagram[1:]) is None  # a short header
    assert packets.read_version_negotiation(long_packet(QUIC1, INITIAL, b"")) is None
    assert packets.read_long(datagram, 0) is None


# --- packet numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "largest_acked", "length"),
    [
        (0xAC5C02, 0xABE8B3, 2),  # from here: RFC 9000 appendix A.2
        (0xACE8FE, 0xABE8B3, 3),
        (0, -1, 1),
        (126, -1, 1),
        (127, -1, 2),
        (0x7FFE, -1, 2),
        (0x7FFF, -1, 3),
        (0x7F_FFFE, -1, 3),
        (0x7F_FFFF, -1, 4),
        (2**62 - 1, 2**62 - 2, 1),
    ],
)
def test_the_length_of_a_number(number: int, largest_acked: int, length: int) -> None:
    assert packets.number_length(number, largest_acked) == length


@pytest.mark.parametrize(
    ("truncated", "length", "largest", "number"),
    [
        (0x9B32, 2, 0xA82F30EA, 0xA82F9B32),  # RFC 9000 appendix A.3
        (0, 1, -1, 0),
        (0xFF, 1, -1, 0xFF),
        (0, 1, 0xFF, 0x100),
        (0xFF, 1, 0x100, 0xFF),
        (0x81, 1, 0x100, 0x181),
        (0x82, 1, 0x100, 0x82),
        (0xFF, 1, 2**62 - 2, 2**62 - 1),
        (0, 1, 2**62 - 2, 2**62 - 256),
    ],
)
def test_a_number_from_its_last_bytes(truncated: int, length: int, largest: int, number: int) -> None:
    assert packets.decode_number(truncated, length, largest) == number


@given(st.integers(0, 2**31), st.integers(0, 2**31 - 2), st.integers(-(2**31), 2**31))
def test_a_peer_finds_the_number_again(acked: int, ahead: int, seen: int) -> None:
    """Whatever the peer has opened, from the packet it has acknowledged to as far beyond ours as that is behind."""
    number = acked + 1 + ahead
    length = packets.number_length(number, acked)
    largest = min(max(acked, number + seen), number + (number - acked) - 1)
    assert packets.decode_number(number & (1 << 8 * length) - 1, length, largest) == number
