"""The keys of QUIC packets: Initial secrets, key and header protection of one direction, Retry tag, reset tokens.

RFC 9001 sections 5 and 6; RFC 9000 section 10.3.2. Versions differ in a salt, a label and the key of the Retry tag,
which are handed in. Headers, packet numbers and counting belong to `quic`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from caesura.crypto.aead import AES_128_GCM, CHACHA20_POLY1305, Aead, Mask
from caesura.crypto.hkdf import SHA256, expand_all, expand_label, extract, label_info
from caesura.crypto.secrets import Secret, TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.errors import ConfigError
from caesura.wire.registries import CipherSuite

RESET_TOKEN_LENGTH: Final = 16
RETRY_TAG_LENGTH: Final = 16
TAG_LENGTH: Final = 16
"""Bytes that every algorithm's tag adds to a packet."""

SAMPLE_LENGTH: Final = 16

_INITIAL_SUITE: Final = SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]
_INITIAL_INFOS: Final = tuple(label_info(label, SHA256.digest_size) for label in (b"client in", b"server in"))


class PacketKey:
    """Seals or opens the packets of one direction, level and key phase; counts are kept where it is used.

    `iv` is a number: exclusive-or'd with a packet number it is that packet's nonce. `confidentiality_limit` packets may
    be sealed with one key, and `integrity_limit` packets of a connection may fail to open (RFC 9001 section 6.6).
    `key` and `iv` are what was expanded from the secret.
    """

    __slots__ = ("_label", "_secret", "confidentiality_limit", "decrypt", "encrypt", "integrity_limit", "iv")

    def __init__(self, secret: TrafficSecret, label: bytes, key: bytes, iv: bytes) -> None:
        aead = secret.suite.aead
        used = aead._new(key[: aead.key_length])
        self.encrypt: Callable[[bytes, bytes, bytes], bytes] = used.encrypt
        self.decrypt: Callable[[bytes, bytes, bytes], bytes] = used.decrypt
        self.iv = int.from_bytes(iv[: aead.iv_length], "big")
        self.confidentiality_limit, self.integrity_limit = _limits(aead)
        self._secret = secret
        self._label = label

    def next_phase(self) -> PacketKey:
        """The key that follows a key update (RFC 9001 section 6.1). Header protection stays what it is."""
        hash = self._secret.suite.hash  # noqa: A001
        updated = expand_label(hash, self._secret, self._label + b"ku", b"", hash.digest_size)
        secret = TrafficSecret(updated.reveal(), self._secret.suite)
        return PacketKey(secret, self._label, *expand_all(hash, secret, _infos(self._label, secret.suite.aead)[:2]))


@lru_cache(maxsize=16)
def _infos(label: bytes, aead: Aead) -> tuple[bytes, bytes, bytes]:
    """What is expanded from a secret: for the key, the IV and header protection (RFC 9001 section 5.1)."""
    names = ((b"key", aead.key_length), (b"iv", aead.iv_length), (b"hp", aead.key_length))
    key, iv, header = (label_info(label + name, length) for name, length in names)
    return key, iv, header


def _limits(aead: Aead) -> tuple[int, int]:
    return (2**62, 2**36) if aead is CHACHA20_POLY1305 else (2**23, 2**52)


def packet_protection(secret: TrafficSecret, label: bytes) -> tuple[PacketKey, Mask]:
    """The key of one direction and level, and what hides first bytes and packet numbers (RFC 9001 section 5.4)."""
    suite = secret.suite
    key, iv, header = expand_all(suite.hash, secret, _infos(label, suite.aead))
    return PacketKey(secret, label, key, iv), suite.aead._new_mask(header[: suite.aead.key_length])


def initial_secrets(salt: bytes, connection_id: bytes) -> tuple[TrafficSecret, TrafficSecret]:
    """The client's and the server's secret of Initial packets (RFC 9001 section 5.2), which anybody can make.

    `connection_id`: the Destination Connection ID of the client's first Initial packet, or of its first after a Retry.
    """
    initial = extract(SHA256, Secret(salt), Secret(connection_id))
    client, server = expand_all(SHA256, initial, _INITIAL_INFOS)
    return TrafficSecret(client, _INITIAL_SUITE), TrafficSecret(server, _INITIAL_SUITE)


def retry_tag(key: bytes, nonce: bytes, original_id: bytes, retry: bytes) -> bytes:
    """The Retry Integrity Tag of a Retry packet, given without it (RFC 9001 section 5.8).

    `original_id`: the Destination Connection ID of the Initial packet that it answers.
    """
    pseudo_packet = len(original_id).to_bytes(1, "big") + original_id + retry
    return AES_128_GCM.new(Secret(key)).encrypt(nonce, b"", pseudo_packet)


class ResetKey:
    """Makes the stateless reset token of each connection id (RFC 9000 section 10.3.2).

    Servers that receive each other's packets share one, and a server that is to reset what it knew before a restart
    keeps it; without one it is made at random. Raises ConfigError for fewer than 32 bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and len(key) < 32:
            raise ConfigError("reset_key: a key has at least 32 bytes")
        self._key = Secret(secrets.token_bytes(32) if key is None else key)

    def token(self, connection_id: bytes) -> bytes:
        """The token that belongs to this id."""
        return SHA256.hmac(self._key.reveal(), connection_id)[:RESET_TOKEN_LENGTH]
