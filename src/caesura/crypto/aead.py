"""Authenticated encryption: one record per algorithm with its sizes and limits (RFC 5116, RFC 9846 section 5).

A key becomes an object once and is used for all its records: making one costs as much as sealing a short record.
Nonces, record headers and counting belong to the record layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from caesura.crypto.secrets import Secret

__all__ = [
    "AES_128_CCM",
    "AES_128_CCM_8",
    "AES_128_GCM",
    "AES_256_CCM",
    "AES_256_CCM_8",
    "AES_256_GCM",
    "CHACHA20_POLY1305",
    "Aead",
    "AeadKey",
    "InvalidTag",
    "Mask",
]


class AeadKey(Protocol):
    """A key in use. Arguments are positional: nonce, data, associated data."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """The ciphertext with the tag behind it."""

    def decrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes | None, /) -> bytes:
        """The plaintext; `InvalidTag` if it was not sealed with this key, nonce and associated data."""

    def encrypt_into(
        self, nonce: bytes, data: bytes, associated_data: bytes | None, buf: bytearray | memoryview, /
    ) -> int:
        """As `encrypt`, written into a buffer of just that length; how many bytes that were."""

    def decrypt_into(self, nonce: bytes, data: bytes, associated_data: bytes | None, buf: bytearray, /) -> int:
        """As `decrypt`, written into a buffer of just that length; how many bytes that were."""


Mask = Callable[[bytes], bytes]
"""What hides record and packet numbers: 16 bytes of ciphertext in, five or more bytes of mask out."""


def _aes_mask(key: bytes) -> Mask:
    return Cipher(algorithms.AES(key), _ECB).encryptor().update


def _chacha20_mask(key: bytes) -> Mask:
    def mask(sample: bytes) -> bytes:
        return Cipher(algorithms.ChaCha20(key, sample), None).encryptor().update(_ZEROS)

    return mask


_ECB: Final = modes.ECB()  # noqa: S305  # one block of noise: the RFCs' way
_ZEROS: Final = bytes(5)


@dataclass(frozen=True, slots=True, eq=False)
class Aead:
    """One algorithm; sizes in bytes.

    The limits hold for one key and records of full size: `confidentiality_limit` records may be sealed, and
    `integrity_limit` records may fail to open on a transport that drops such records. QUIC counts packets and has
    limits of its own (RFC 9001 section 6.6).
    """

    name: str
    key_length: int
    confidentiality_limit: int
    integrity_limit: int
    _new: Callable[[bytes], AeadKey] = field(repr=False)
    _new_mask: Callable[[bytes], Mask] = field(repr=False)
    iv_length: int = 12
    tag_length: int = 16

    def new(self, key: Secret) -> AeadKey:
        """A key for use; ValueError if its length is wrong."""
        value = key._value
        if len(value) != self.key_length:
            raise ValueError(f"{self.name} has keys of {self.key_length} bytes, not {len(value)}")
        return self._new(value)

    def new_mask(self, key: Secret) -> Mask:
        """What this algorithm's ciphers hide record numbers with (RFC 9147 section 4.2.3, RFC 9001 section 5.4)."""
        return self._new_mask(key._value)


# RFC 9846 section 5.5: 2^24.5 full-size records for AES-GCM; with ChaCha20 the sequence number ends first.
# RFC 9147 section 4.5.3: 2^36 records that failed to open, for all three.
AES_128_GCM: Final = Aead("AES-128-GCM", 16, 23_726_566, 2**36, AESGCM, _aes_mask)
AES_256_GCM: Final = Aead("AES-256-GCM", 32, 23_726_566, 2**36, AESGCM, _aes_mask)
CHACHA20_POLY1305: Final = Aead("ChaCha20-Poly1305", 32, 2**64 - 1, 2**36, ChaCha20Poly1305, _chacha20_mask)

# RFC 9147 section 4.5.3 and appendix B: 2^23 records sealed and 2^23.5 that failed to open; with a short tag no more
# than 2^7 of these.
_CCM_LIMITS: Final = (2**23, 11_863_283)


def _ccm_8(key: bytes) -> AeadKey:
    return AESCCM(key, tag_length=8)


AES_128_CCM: Final = Aead("AES-128-CCM", 16, *_CCM_LIMITS, AESCCM, _aes_mask)
AES_256_CCM: Final = Aead("AES-256-CCM", 32, *_CCM_LIMITS, AESCCM, _aes_mask)
AES_128_CCM_8: Final = Aead("AES-128-CCM-8", 16, 2**23, 2**7, _ccm_8, _aes_mask, tag_length=8)
AES_256_CCM_8: Final = Aead("AES-256-CCM-8", 32, 2**23, 2**7, _ccm_8, _aes_mask, tag_length=8)
