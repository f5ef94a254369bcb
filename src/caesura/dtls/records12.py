"""Record protection of DTLS 1.2, one direction at a time (RFC 6347 section 4.1, RFC 9146 sections 4 and 5).

Hot: `seal_as` and `open_untrusted` run once per record. There is one protected epoch, 1. Where the receiver wants a
connection id, records are of the type tls12_cid, have it in their header, and keep their own type inside.
"""

from __future__ import annotations

import struct
from typing import Final, NoReturn

from caesura.crypto.protection12 import Protection12, additional_data
from caesura.errors import InternalError
from caesura.wire.dtls import PLAINTEXT_HEADER, PLAINTEXT_HEADER_LENGTH, RECORD_VERSION
from caesura.wire.registries import ContentType

EPOCH: Final = 1
"""The epoch behind ChangeCipherSpec. Another would need a renegotiation."""

CONNECTION_ID_AT: Final = 11
"""Where a tls12_cid record has its connection id."""

TLS12_CID: Final = int(ContentType.tls12_cid)

_FIRST: Final = EPOCH << 48  # epoch and sequence number are one number of 64 bits
_MAX_SEQUENCE: Final = 2**48 - 1
_pack_header = PLAINTEXT_HEADER.pack
_CID_HEADER: Final = struct.Struct(">BHQ")  # the same up to the connection id
_LENGTH: Final = struct.Struct(">H")
_APPLICATION_DATA: Final = int(ContentType.application_data)
_DATA: Final = bytes((_APPLICATION_DATA,)) + RECORD_VERSION.to_bytes(2, "big") + EPOCH.to_bytes(2, "big")
_TYPES: Final = tuple(bytes((code,)) for code in range(256))

Sealed12 = tuple[int, bytes, bytes]
"""A record that is to be opened: its number, its header, what was sealed."""


def _additional_data(header: bytes, id_length: int, size: int) -> bytes:
    """What a tls12_cid record is authenticated with (RFC 9146 section 5.3)."""
    return b"".join(
        (_PLACEHOLDER, _TYPES[id_length], header[:CONNECTION_ID_AT], header[CONNECTION_ID_AT:-2], _LENGTH.pack(size))
    )


_PLACEHOLDER: Final = b"\xff" * 8 + _TYPES[TLS12_CID]


class WriteKey12:
    """Seals the records of epoch 1; the same verbs as a key of DTLS 1.3. At most `limit` of them (RFC 9325 4.4)."""

    __slots__ = ("_id", "_protection", "limit", "overhead", "sequence", "worn")

    epoch: Final = EPOCH

    def __init__(self, protection: Protection12, connection_id: bytes) -> None:
        self._protection = protection
        self.limit = self.worn = min(protection.suite.aead.confidentiality_limit, _MAX_SEQUENCE)
        self.sequence = 0
        self.use_connection_id(connection_id)

    def use_connection_id(self, connection_id: bytes) -> None:
        """Write this connection id into every record from now on; none when it is empty."""
        self._id = connection_id
        self.overhead = PLAINTEXT_HEADER_LENGTH + len(connection_id) + bool(connection_id) + self._protection.expansion

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
        number = _FIRST | sequence
        if self._id:
            return self._seal_with_id(number, content + _TYPES[content_type])
        associated = additional_data(number, content_type, RECORD_VERSION, len(content))
        fragment = self._protection.seal(number, content, associated)
        header: bytes = _pack_header(content_type, RECORD_VERSION, number, len(fragment))
        return header + fragment

    def _seal_with_id(self, number: int, inner: bytes) -> bytes:
        size = len(inner)
        header = (
            _CID_HEADER.pack(TLS12_CID, RECORD_VERSION, number)
            + self._id
            + _LENGTH.pack(size + self._protection.expansion)
        )
        return header + self._protection.seal(number, inner, _additional_data(header, len(self._id), size))

    def next_generation(self, connection_id: bytes) -> NoReturn:  # noqa: ARG002 - as in DTLS 1.3
        """There is none: the key has sealed all it may."""
        raise InternalError("a key of DTLS 1.2 has sealed all it may, and cannot be changed", section="RFC 9325 4.4")


class ReadKey12:
    """Opens the records of epoch 1."""

    __slots__ = ("_protection", "integrity_limit")

    epoch: Final = EPOCH

    def __init__(self, protection: Protection12) -> None:
        self._protection = protection
        self.integrity_limit = protection.suite.aead.integrity_limit

    def open_untrusted(self, sequence: int, header: bytes, fragment: bytes) -> bytes | None:
        """The content with its type behind it, as a DTLSInnerPlaintext has them; None when it was not sealed so."""
        protection = self._protection
        size = len(fragment) - protection.expansion
        if size < 0:
            return None
        number, content_type = _FIRST | sequence, header[0]
        if content_type == TLS12_CID:
            associated = _additional_data(header, len(header) - PLAINTEXT_HEADER_LENGTH, size)
            return protection.open_untrusted(number, fragment, associated)
        associated = additional_data(number, content_type, header[1] << 8 | header[2], size)
        content = protection.open_untrusted(number, fragment, associated)
        return None if content is None else content + _TYPES[content_type]

    def open_data(self, datagram: bytes, expected: int) -> tuple[int, bytes] | None:  # noqa: ARG002 - as in DTLS 1.3
        """Number and content of a datagram that is one record of application data; None for any other."""
        protection = self._protection
        length = len(datagram) - PLAINTEXT_HEADER_LENGTH
        size = length - protection.expansion
        if size < 0 or datagram[:5] != _DATA or datagram[11] << 8 | datagram[12] != length:
            return None
        number = int.from_bytes(datagram[3:11])
        associated = additional_data(number, _APPLICATION_DATA, RECORD_VERSION, size)
        content = protection.open_untrusted(number, datagram[PLAINTEXT_HEADER_LENGTH:], associated)
        return None if content is None else (number & _MAX_SEQUENCE, content)

    def next_generation(self) -> NoReturn:
        """There is none."""
        raise InternalError("DTLS 1.2 has no KeyUpdate")


def split_with_id(datagram: bytes, pos: int, id_length: int) -> tuple[int, int, int] | None:
    """Sequence number, and where the ciphertext starts and stops, of the tls12_cid record at `pos`.

    `id_length`: bytes of the connection id. None for what is cut short, and for an epoch that there is not.
    """
    start = pos + PLAINTEXT_HEADER_LENGTH + id_length
    if start > len(datagram):
        return None
    number = int.from_bytes(datagram[pos + 3 : pos + 11], "big")
    stop = start + (datagram[start - 2] << 8 | datagram[start - 1])
    if stop > len(datagram) or number >> 48 != EPOCH:
        return None
    return number & _MAX_SEQUENCE, start, stop
