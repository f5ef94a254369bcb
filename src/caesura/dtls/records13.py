"""Record protection of DTLS 1.3, one epoch and direction at a time (RFC 9147 section 4).

Hot: `seal`, `split_ciphertext` and `open_untrusted` run once per record. The unified header is written with a 16-bit
sequence number and with the length, so that records can share a datagram; every form of it is read. The number on the
wire is masked with a key of its own (section 4.2.3), and the nonce is made of the whole 64-bit number.
"""

from __future__ import annotations

import struct
from typing import Final

from caesura.crypto.aead import InvalidTag
from caesura.crypto.hkdf import expand_label, write_key
from caesura.crypto.secrets import TrafficSecret
from caesura.handshake.schedule13 import next_generation
from caesura.wire.dtls import (
    CONNECTION_ID_PRESENT,
    EPOCH_BITS,
    LENGTH_PRESENT,
    SEQUENCE_16_BITS,
    UNIFIED_HEADER,
)

SAMPLE: Final = 16
"""Bytes of ciphertext that the mask is made of; a record with fewer is rejected (section 4.2.3)."""

_TAIL: Final = struct.Struct(">HH")  # sequence number and length, the end of the header
_APPLICATION_DATA: Final = 23
_TYPES: Final = tuple(bytes((code,)) for code in range(256))
_MAX_SEQUENCE: Final = 2**64 - 1

Sealed = tuple[int, bytes, bytes]
"""A record that is to be opened: its number, its header with that number in the clear, its ciphertext."""


class _Key:
    __slots__ = ("_aead", "_iv", "_mask", "_prefix", "epoch", "secret")

    def __init__(self, secret: TrafficSecret, prefix: bytes, epoch: int) -> None:
        suite = secret.suite
        self._aead, self._iv = write_key(secret, prefix)
        number_key = expand_label(suite.hash, secret, b"sn", b"", suite.aead.key_length, prefix)
        self._mask = suite.aead.new_mask(number_key)
        self.secret = secret
        self._prefix = prefix
        self.epoch = epoch


class WriteKey(_Key):
    """Seals the records of one epoch. At most `limit` of them: the connection changes keys before (section 4.5.3)."""

    __slots__ = ("_first", "_shortest", "_tag_length", "limit", "overhead", "sequence", "worn")

    def __init__(self, secret: TrafficSecret, prefix: bytes, epoch: int, connection_id: bytes = b"") -> None:
        super().__init__(secret, prefix, epoch)
        self._tag_length = secret.suite.aead.tag_length
        self._shortest = SAMPLE - self._tag_length  # what is shorter has to be padded (section 4.2.3)
        self.limit = min(secret.suite.aead.confidentiality_limit, 2**48)
        self.worn = self.limit - self.limit // 8  # changing it takes its time (section 4.5.3)
        self.sequence = 0
        self.use_connection_id(connection_id)

    def use_connection_id(self, connection_id: bytes) -> None:
        """Write this connection id into every record from now on; none when it is empty."""
        first = UNIFIED_HEADER | SEQUENCE_16_BITS | LENGTH_PRESENT | self.epoch & EPOCH_BITS
        if connection_id:
            first |= CONNECTION_ID_PRESENT
        self._first = _TYPES[first] + connection_id
        self.overhead = len(self._first) + _TAIL.size + 1 + self._tag_length

    def seal(self, content_type: int, content: bytes) -> bytes:
        """One whole record."""
        sequence = self.sequence
        self.sequence = sequence + 1
        return self.seal_as(sequence, content_type, content)

    def take_number(self) -> int:
        """A record number that nothing else will have: for a record that is sealed elsewhere, by `seal_as`."""
        sequence = self.sequence
        self.sequence = sequence + 1
        return sequence

    def seal_as(self, sequence: int, content_type: int, content: bytes) -> bytes:
        """One whole record with a number that was taken for it."""
        inner = content + _TYPES[content_type]
        if len(inner) < self._shortest:
            inner = inner.ljust(self._shortest, b"\0")
        first, low, length = self._first, sequence & 0xFFFF, len(inner) + self._tag_length
        header = first + _TAIL.pack(low, length)
        nonce = (self._iv ^ sequence).to_bytes(12, "big")
        body = self._aead.encrypt(nonce, inner, header)
        mask = self._mask(body[:SAMPLE])
        return first + _TAIL.pack(low ^ (mask[0] << 8 | mask[1]), length) + body

    def next_generation(self, connection_id: bytes) -> WriteKey:
        """The key that follows a KeyUpdate (RFC 9846 section 7.2)."""
        return WriteKey(next_generation(self.secret, self._prefix), self._prefix, self.epoch + 1, connection_id)


class ReadKey(_Key):
    """Opens the records of one epoch."""

    __slots__ = ("_data", "integrity_limit")

    def __init__(self, secret: TrafficSecret, prefix: bytes, epoch: int) -> None:
        super().__init__(secret, prefix, epoch)
        self.integrity_limit = secret.suite.aead.integrity_limit
        self._data = _TYPES[UNIFIED_HEADER | SEQUENCE_16_BITS | LENGTH_PRESENT | epoch & EPOCH_BITS]

    def unmask(self, datagram: bytes, pos: int, number_at: int, start: int, stop: int, expected: int) -> Sealed | None:
        """What `split_ciphertext` found, its number in the clear and completed; None for too short a ciphertext."""
        body = datagram[start:stop]
        if len(body) < SAMPLE:
            return None
        mask = self._mask(body[:SAMPLE])
        if datagram[pos] & SEQUENCE_16_BITS:
            low = (datagram[number_at] << 8 | datagram[number_at + 1]) ^ (mask[0] << 8 | mask[1])
            header = datagram[pos:number_at] + low.to_bytes(2, "big") + datagram[number_at + 2 : start]
            return reconstruct(low, 16, expected), header, body
        low = datagram[number_at] ^ mask[0]
        header = datagram[pos:number_at] + _TYPES[low] + datagram[number_at + 1 : start]
        return reconstruct(low, 8, expected), header, body

    def open_untrusted(self, sequence: int, header: bytes, body: bytes) -> bytes | None:
        """The DTLSInnerPlaintext of a record; None when it was not sealed with this key."""
        try:
            return self._aead.decrypt((self._iv ^ sequence).to_bytes(12, "big"), body, header)
        except InvalidTag:
            return None

    def open_data(self, datagram: bytes, expected: int) -> tuple[int, bytes] | None:
        """Number and content of a datagram that is one record of application data, as we write it; None for others."""
        if len(datagram) < 5 + SAMPLE or datagram[:1] != self._data:
            return None
        masked, length = _TAIL.unpack_from(datagram, 1)
        body = datagram[5:]
        if length != len(body):
            return None
        mask = self._mask(body[:SAMPLE])
        low = masked ^ (mask[0] << 8 | mask[1])
        sequence = reconstruct(low, 16, expected)
        try:
            inner = self._aead.decrypt((self._iv ^ sequence).to_bytes(12), body, self._data + _TAIL.pack(low, length))
        except InvalidTag:
            return None
        return (sequence, inner[:-1]) if inner[-1] == _APPLICATION_DATA else None

    def next_generation(self) -> ReadKey:
        """The key that follows a KeyUpdate."""
        return ReadKey(next_generation(self.secret, self._prefix), self._prefix, self.epoch + 1)


def split_ciphertext(datagram: bytes, pos: int, id_length: int) -> tuple[int, int, int] | None:
    """Where the record number of the record at `pos` stands, and where its ciphertext starts and stops.

    `id_length`: bytes of a connection id, if the record has one. None for what is cut short.
    """
    first = datagram[pos]
    number_at = pos + 1 + (id_length if first & CONNECTION_ID_PRESENT else 0)
    start = number_at + (2 if first & SEQUENCE_16_BITS else 1)
    size = len(datagram)
    if not first & LENGTH_PRESENT:
        return (number_at, start, size) if start <= size else None
    if start + 2 > size:
        return None
    stop = start + 2 + (datagram[start] << 8 | datagram[start + 1])
    return (number_at, start + 2, stop) if stop <= size else None


def split_inner(inner: bytes) -> tuple[int, bytes]:
    """The content type and content of a DTLSInnerPlaintext, padding removed; type 0 when it is nothing but zeros."""
    if inner and inner[-1]:  # nearly always: no padding
        return inner[-1], inner[:-1]
    stripped = inner.rstrip(b"\x00")
    return (stripped[-1], stripped[:-1]) if stripped else (0, b"")


def reconstruct(low: int, bits: int, expected: int) -> int:
    """The record number that ends in these bits and is closest to the expected one (section 4.2.2)."""
    modulus = 1 << bits
    number = expected + (low - expected) % modulus
    if number - expected > modulus // 2 and number >= modulus:
        number -= modulus
    return number if number <= _MAX_SEQUENCE else number - modulus
