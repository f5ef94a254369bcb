"""Record protection of TLS 1.3, one direction at a time (RFC 9846 section 5.2 to 5.5).

Hot: each of these runs once per record. `seal_data` and `open_data` are the short forms for a record of application
data with nothing special about it, one call from bytes to bytes; whatever they decline goes the long way. What a record
means, and when keys change, is the connection's affair.
"""

from __future__ import annotations

from typing import Final

from caesura.crypto.aead import InvalidTag
from caesura.crypto.hkdf import write_key
from caesura.crypto.secrets import TrafficSecret
from caesura.handshake.schedule13 import next_generation
from caesura.wire.records import HEADER, HEADER_LENGTH, LEGACY_RECORD_VERSION, MAX_PLAINTEXT

APPLICATION_DATA: Final = 23
ALERT: Final = 21
HANDSHAKE: Final = 22
CHANGE_CIPHER_SPEC: Final = 20

_pack_header = HEADER.pack
_unpack_header = HEADER.unpack_from
_SHORT_TAG: Final = 8  # bytes (RFC 6655 section 4)
_EXPANSION: Final = 17  # bytes: the inner content type and the tag of all algorithms but one
_ALERT_LENGTH: Final = 2  # bytes: data as short as that goes the long way, where an alert would be opened once more
_DATA: Final = bytes((APPLICATION_DATA,))
_HEADERS: Final = [_pack_header(APPLICATION_DATA, LEGACY_RECORD_VERSION, size + 17) for size in range(2048)]
"""By the size of the content: for small records the header is a good part of the work around the two AEAD calls."""
_TYPES: Final = tuple(bytes((code,)) for code in range(256))
_spare: Final[list[memoryview]] = []
"""Buffers for the ciphertext of one record of the largest size, as many as threads have sealed at the same moment."""


class RecordKey:
    """One direction's key with its sequence number; the nonce is the IV exclusive-or that number (section 5.3).

    A key seals `limit` records of data, and then the KeyUpdate that ends it (section 5.5).
    """

    __slots__ = (
        "_aead",
        "_decrypt",
        "_encrypt",
        "_iv",
        "_prefix",
        "_secret",
        "carried_data",
        "limit",
        "max_content",
        "sequence",
    )

    hides_type: Final = True  # outside, every record is one of application data

    def __init__(self, secret: TrafficSecret, prefix: bytes) -> None:
        aead, self._iv = write_key(secret, prefix)
        self._aead = aead
        self._encrypt = aead.encrypt
        self._decrypt = aead.decrypt
        self._prefix = prefix
        self._secret = secret
        self.limit = secret.suite.aead.confidentiality_limit - 1
        self.sequence = 0
        self.carried_data = False  # whether open_data has opened anything
        self.max_content = MAX_PLAINTEXT  # bytes in a record that takes the short way

    def seal(self, content_type: int, content: bytes) -> bytes:
        """One whole record, header included."""
        sequence = self.sequence
        self.sequence = sequence + 1
        header = _pack_header(APPLICATION_DATA, LEGACY_RECORD_VERSION, len(content) + _EXPANSION)
        nonce = (self._iv ^ sequence).to_bytes(12, "big")
        return header + self._encrypt(nonce, content + _TYPES[content_type], header)

    def open_untrusted(self, header: bytes, fragment: bytes | memoryview) -> bytes | None:
        """The TLSInnerPlaintext of a record (see `split_inner`); None when it was not sealed with this key."""
        sequence = self.sequence
        try:
            inner = self._decrypt((self._iv ^ sequence).to_bytes(12, "big"), fragment, header)
        except InvalidTag:
            return None
        self.sequence = sequence + 1
        return inner

    def seal_data(self, data: bytes) -> bytes | None:
        """One whole record of application data; None, and nothing is done, when it is too long or the key used up."""
        sequence = self.sequence
        size = len(data)
        if sequence >= self.limit or not 0 < size <= self.max_content:
            return None
        self.sequence = sequence + 1
        if size < 2048:
            header = _HEADERS[size]
            encrypt = self._encrypt  # CPython 3.11 is slow to call what a slot holds, unless it is a local
            return header + encrypt((self._iv ^ sequence).to_bytes(12), data + _DATA, header)
        header = _pack_header(APPLICATION_DATA, LEGACY_RECORD_VERSION, size + 17)
        # Into a buffer that is used again: 9 % less than into new memory, and what it keeps is no secret.
        try:
            room = _spare.pop()
        except IndexError:
            room = memoryview(bytearray(MAX_PLAINTEXT + 17))
        body = room if size == MAX_PLAINTEXT else room[: size + 17]
        self._aead.encrypt_into((self._iv ^ sequence).to_bytes(12), data + _DATA, header, body)
        record = header + body
        _spare.append(room)
        return record

    def seal_run(self, data: bytes, out: list[bytes]) -> bool:
        """Records for all of `data`, header and body apart; false, and nothing is done, when they would be too many."""
        size, step, sequence = len(data), self.max_content, self.sequence
        count = -(-size // step)
        if sequence + count > self.limit:
            return False
        self.sequence = sequence + count  # before anything is sealed: whatever happens, no nonce is used again
        view, encrypt, iv = memoryview(data), self._encrypt, self._iv
        for start in range(0, size, step):
            piece = view[start : start + step]
            header = _pack_header(APPLICATION_DATA, LEGACY_RECORD_VERSION, len(piece) + _EXPANSION)
            out += header, encrypt((iv ^ sequence).to_bytes(12, "big"), b"".join((piece, _DATA)), header)
            sequence += 1
        return True

    def open_data(self, record: bytes) -> bytes | None:
        """What one whole record of application data holds; None, and nothing is done, for anything else.

        None is no verdict: the long way opens and judges whatever was declined here.
        """
        size = len(record) - 22
        if _ALERT_LENGTH < size < 2048:
            header = _HEADERS[size]
            fragment: bytes | memoryview = record[5:]
        elif 2048 <= size <= self.max_content:
            header = _pack_header(APPLICATION_DATA, LEGACY_RECORD_VERSION, size + 17)
            fragment = memoryview(record)[5:]
        else:
            return None
        if record[:5] != header or size > self.max_content:
            return None
        sequence, decrypt = self.sequence, self._decrypt
        try:
            inner = decrypt((self._iv ^ sequence).to_bytes(12), fragment, header)
        except InvalidTag:
            return None
        if inner[-1] != APPLICATION_DATA:
            return None
        self.sequence = sequence + 1
        self.carried_data = True
        return inner[:-1]

    @property
    def secret(self) -> TrafficSecret:
        """What it was made of."""
        return self._secret

    def open_run(self, data: memoryview, pos: int, contents: list[bytes]) -> int:
        """Open the whole records of application data from `pos` on, one after the other; the position behind the last.

        It stops before whatever is something else, or not authentic: the long way judges that.
        """
        size, longest, sequence = len(data), self.max_content + _EXPANSION, self.sequence
        decrypt, iv = self._decrypt, self._iv
        while pos + HEADER_LENGTH <= size:
            content_type, _version, length = _unpack_header(data, pos)
            start = pos + HEADER_LENGTH
            stop = start + length
            if content_type != APPLICATION_DATA or stop > size or not _EXPANSION < length <= longest:
                break
            try:
                inner = decrypt((iv ^ sequence).to_bytes(12, "big"), data[start:stop], bytes(data[pos:start]))
            except InvalidTag:
                break
            if inner[-1] != APPLICATION_DATA:
                break
            sequence += 1
            contents.append(inner[:-1])
            pos = stop
        if sequence != self.sequence:
            self.sequence = sequence
            self.carried_data = True
        return pos

    def next_generation(self) -> RecordKey:
        """The key that follows a KeyUpdate (section 7.2)."""
        return record_key(next_generation(self._secret, self._prefix), self._prefix)


class ShortTagKey(RecordKey):
    """A key of AES-CCM-8, whose records are shorter than all others: none takes the short way."""

    __slots__ = ()

    def seal(self, content_type: int, content: bytes) -> bytes:
        """One whole record, header included."""
        sequence = self.sequence
        self.sequence = sequence + 1
        header = _pack_header(APPLICATION_DATA, LEGACY_RECORD_VERSION, len(content) + 1 + _SHORT_TAG)
        nonce = (self._iv ^ sequence).to_bytes(12, "big")
        return header + self._encrypt(nonce, content + _TYPES[content_type], header)

    def seal_data(self, data: bytes) -> None:  # noqa: ARG002
        """Nothing is done."""
        return

    def seal_run(self, data: bytes, out: list[bytes]) -> bool:  # noqa: ARG002
        """Nothing is done."""
        return False

    def open_data(self, record: bytes) -> None:  # noqa: ARG002
        """Nothing is done."""
        return

    def open_run(self, data: memoryview, pos: int, contents: list[bytes]) -> int:  # noqa: ARG002
        """Nothing is done."""
        return pos


def record_key(secret: TrafficSecret, prefix: bytes) -> RecordKey:
    """The key of one direction."""
    short = secret.suite.aead.tag_length == _SHORT_TAG
    return ShortTagKey(secret, prefix) if short else RecordKey(secret, prefix)


def split_inner(inner: bytes) -> tuple[int, bytes]:
    """The content type and content of a TLSInnerPlaintext, padding removed; type 0 when it holds nothing but zeros."""
    if inner and inner[-1]:  # nearly always: no padding
        return inner[-1], inner[:-1]
    stripped = inner.rstrip(b"\x00")
    return (stripped[-1], stripped[:-1]) if stripped else (0, b"")
