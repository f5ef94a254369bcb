"""Record protection of TLS 1.3, one direction at a time (RFC 9846 section 5.2 to 5.5).

Hot: `seal` and `open_untrusted` run once per record. What a record means, and when keys change, is the connection's
affair.
"""

from __future__ import annotations

from typing import Final

from caesura.crypto.aead import InvalidTag
from caesura.crypto.secrets import TrafficSecret
from caesura.handshake.schedule13 import next_generation, write_key
from caesura.wire.records import HEADER, LEGACY_RECORD_VERSION

APPLICATION_DATA: Final = 23
ALERT: Final = 21
HANDSHAKE: Final = 22
CHANGE_CIPHER_SPEC: Final = 20

_pack_header = HEADER.pack
_EXPANSION: Final = 17  # bytes: the inner content type and the tag of each of TLS 1.3's algorithms
_TYPES: Final = tuple(bytes((code,)) for code in range(256))


class RecordKey:
    """One direction's key with its sequence number; the nonce is the IV exclusive-or that number (section 5.3).

    A key seals `limit` records of data, and then the KeyUpdate that ends it (section 5.5).
    """

    __slots__ = ("_decrypt", "_encrypt", "_iv", "_prefix", "_secret", "limit", "sequence")

    def __init__(self, secret: TrafficSecret, prefix: bytes) -> None:
        key, iv = write_key(secret, prefix)
        aead = secret.suite.aead.new(key)
        self._encrypt = aead.encrypt
        self._decrypt = aead.decrypt
        self._iv = int.from_bytes(iv.reveal(), "big")
        self._prefix = prefix
        self._secret = secret
        self.limit = min(secret.suite.aead.confidentiality_limit, 2**63) - 1
        self.sequence = 0

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

    def next_generation(self) -> RecordKey:
        """The key that follows a KeyUpdate (section 7.2)."""
        return RecordKey(next_generation(self._secret, self._prefix), self._prefix)


def split_inner(inner: bytes) -> tuple[int, bytes]:
    """The content type and content of a TLSInnerPlaintext, padding removed; type 0 when it holds nothing but zeros."""
    if inner and inner[-1]:  # nearly always: no padding
        return inner[-1], inner[:-1]
    stripped = inner.rstrip(b"\x00")
    return (stripped[-1], stripped[:-1]) if stripped else (0, b"")
