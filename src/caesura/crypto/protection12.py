"""Record protection of TLS 1.2 and DTLS 1.2: one direction's key, without headers and without counting (RFC 5246
section 6.2.3.3).

Who seals a record says its sequence number: 64 bits, which in DTLS are the epoch and 48 bits of a number (RFC 6347
section 4.1.2.1). Whoever opens one says the same. Type, version and length come in as additional data, because DTLS has
two forms of it (RFC 9146 section 5).
"""

from __future__ import annotations

import struct
from typing import Final

from caesura.crypto.aead import InvalidTag
from caesura.crypto.secrets import Secret
from caesura.crypto.suites import Suite

_ADDITIONAL_DATA: Final = struct.Struct(">QBHH")

additional_data = _ADDITIONAL_DATA.pack
"""(sequence number, content type, version, length of the plaintext) as a record is authenticated with."""


class Protection12:
    """One direction's key: its IV is the beginning of each nonce, or is combined with the sequence number.

    AES-GCM has a fixed part of four bytes and eight that every record carries, for which the sequence number serves:
    no other choice is as certainly never repeated (RFC 5288 section 3, RFC 9325 section 7.2.1). ChaCha20-Poly1305
    carries nothing: the nonce is the IV exclusive-or the sequence number (RFC 7905 section 2).
    """

    __slots__ = ("_decrypt", "_encrypt", "_explicit", "_iv", "_mask", "expansion", "suite")

    def __init__(self, suite: Suite, key: Secret, iv: Secret) -> None:
        aead = suite.aead.new(key)
        self.suite = suite
        self.expansion = suite.explicit_nonce_length + suite.aead.tag_length
        """Bytes by which a sealed record is longer than what it holds."""
        self._encrypt = aead.encrypt
        self._decrypt = aead.decrypt
        self._explicit = suite.explicit_nonce_length
        self._iv = iv.reveal()
        self._mask = int.from_bytes(self._iv, "big")

    def seal(self, sequence: int, content: bytes, associated: bytes) -> bytes:
        """The fragment of a record: the explicit part of the nonce, if there is one, the ciphertext and the tag."""
        if self._explicit:
            explicit = sequence.to_bytes(8, "big")
            return explicit + self._encrypt(self._iv + explicit, content, associated)
        return self._encrypt((self._mask ^ sequence).to_bytes(12, "big"), content, associated)

    def open_untrusted(self, sequence: int, fragment: bytes | memoryview, associated: bytes) -> bytes | None:
        """What was sealed; None when it was not sealed with this key, number and additional data."""
        try:
            if self._explicit:
                return self._decrypt(self._iv + bytes(fragment[:8]), fragment[8:], associated)
            return self._decrypt((self._mask ^ sequence).to_bytes(12, "big"), fragment, associated)
        except InvalidTag:
            return None

    def __repr__(self) -> str:
        return f"<Protection12 {self.suite.name}>"
