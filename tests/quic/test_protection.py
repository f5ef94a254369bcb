"""Packet protection beyond the RFCs' samples (RFC 9001 section 5)."""

from __future__ import annotations

import pytest

from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.errors import AEADLimitReached, ProtocolViolation
from caesura.quic.protection import ReadKey, WriteKey
from caesura.quic.versions import QUIC1, QUIC2
from caesura.wire.registries import CipherSuite

LABEL = QUIC1.label
ALL = [
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
]


def secret(suite: CipherSuite = CipherSuite.TLS_AES_128_GCM_SHA256, byte: int = 7) -> TrafficSecret:
    return TrafficSecret(bytes([byte]) * SUITES[suite].hash.digest_size, SUITES[suite])


@pytest.mark.parametrize("suite", ALL, ids=lambda each: each.name)
@pytest.mark.parametrize("first", [0x40, 0x60, 0xC0, 0xE0])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_what_is_sealed_opens(suite: CipherSuite, first: int, length: int) -> None:
    write, read = WriteKey(secret(suite), LABEL), ReadKey(secret(suite), LABEL)
    packet = write.seal(first | length - 1, b"rest of it", 0x12345678, b"frames!")
    assert len(packet) == 1 + 10 + length + 7 + 16
    datagram = b"before" + packet + b"behind"
    opened = read.open_untrusted(datagram, 6, 17, 6 + len(packet), 0x12345678)
    assert opened == (0x12345678, b"frames!")


@pytest.mark.parametrize("first", [0x41, 0xC1])
def test_a_changed_bit_anywhere_and_it_does_not_open(first: int) -> None:
    packet = WriteKey(secret(), LABEL).seal(first, b"id", 9, b"frames!")
    read = ReadKey(secret(), LABEL)
    assert read.open_untrusted(packet, 0, 3, len(packet), 8) == (9, b"frames!")
    for at in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[at >> 3] ^= 1 << (at & 7)
        assert read.open_untrusted(bytes(changed), 0, 3, len(packet), 8) is None


def test_other_keys_do_not_open() -> None:
    packet = WriteKey(secret(), LABEL).seal(0x40, b"", 0, b"frames!")
    for other in (ReadKey(secret(byte=8), LABEL), ReadKey(secret(), QUIC2.label)):
        assert other.open_untrusted(packet, 0, 1, len(packet), -1) is None


def test_too_short_to_be_sampled() -> None:
    packet = WriteKey(secret(), LABEL).seal(0x40, b"", 0, b"abc")
    assert len(packet) == 21
    read = ReadKey(secret(), LABEL)
    assert read.open_untrusted(packet, 0, 1, 21, -1) == (0, b"abc")
    for size in range(1, 21):
        assert read.open_untrusted(packet[:size], 0, 1, size, -1) is None


@pytest.mark.parametrize(("first", "reserved"), [(0xC0, 0x04), (0xC0, 0x08), (0x40, 0x08), (0x40, 0x10)])
def test_reserved_bits_are_an_error_in_a_genuine_packet(first: int, reserved: int) -> None:
    packet = WriteKey(secret(), LABEL).seal(first | reserved, b"", 0, b"frames")
    with pytest.raises(ProtocolViolation):
        ReadKey(secret(), LABEL).open_untrusted(packet, 0, 1, len(packet), -1)
    assert ReadKey(secret(byte=8), LABEL).open_untrusted(packet, 0, 1, len(packet), -1) is None


@pytest.mark.parametrize(
    ("suite", "sealed", "failed"), [(ALL[0], 2**23, 2**52), (ALL[1], 2**23, 2**52), (ALL[2], 2**62, 2**36)]
)
def test_limits(suite: CipherSuite, sealed: int, failed: int) -> None:
    assert WriteKey(secret(suite), LABEL).limit == sealed
    assert ReadKey(secret(suite), LABEL).integrity_limit == failed


@pytest.mark.parametrize("suite", ALL, ids=lambda each: each.name)
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_in_bulk_the_same(suite: CipherSuite, length: int) -> None:
    one, many = WriteKey(secret(suite), LABEL), WriteKey(secret(suite), LABEL)
    payloads = [b"payload %d" % number for number in range(5)]
    expected = [one.seal(0x40 | length - 1, b"id", 254 + at, payload) for at, payload in enumerate(payloads)]
    assert many.seal_bulk(0x40 | length - 1, b"id", 254, payloads) == expected
    assert (many.sealed, many.first_number) == (5, 254)
    assert many.seal(0x40, b"id", 259, b"next") == one.seal(0x40, b"id", 259, b"next")


def test_a_key_that_is_used_up_seals_no_more() -> None:
    key = WriteKey(secret(), LABEL)
    key.limit = 3
    for number in range(5, 8):
        key.seal(0x40, b"", number, b"frames")
    assert (key.sealed, key.first_number) == (3, 5)
    with pytest.raises(AEADLimitReached):
        key.seal(0x40, b"", 8, b"frames")
    key.update()
    assert (key.sealed, key.first_number, key.generation, key.phase_bit) == (0, -1, 1, 4)
    key.seal(0x44, b"", 8, b"frames")
