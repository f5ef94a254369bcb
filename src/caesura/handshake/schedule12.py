"""The key schedule of TLS 1.2 (RFC 5246 sections 6.3, 7.4.9 and 8.1), extended main secret only (RFC 7627).

What RFC 5246 calls the premaster and the master secret are, since RFC 9846 appendix D, the preliminary and the main
one; the labels still have the old words. The secrets stay inside these objects; record keys leave as `Protection12`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.crypto.prf import PRF, prf
from caesura.crypto.protection12 import Protection12
from caesura.crypto.secrets import Secret, SharedSecret
from caesura.crypto.suites import Suite

VERIFY_DATA_LENGTH: Final = 12
"""Bytes of a Finished (RFC 5246 section 7.4.9)."""

_MAIN_SECRET_LENGTH: Final = 48
_CLIENT_FINISHED: Final = b"client finished"
_SERVER_FINISHED: Final = b"server finished"
_EXTENDED: Final = b"extended master secret"
_RESERVED: Final = frozenset({_CLIENT_FINISHED, _SERVER_FINISHED, _EXTENDED, b"master secret", b"key expansion"})


@dataclass(slots=True)
class KeyBlock:
    """Both directions' keys (RFC 5246 section 6.3)."""

    client: Protection12
    server: Protection12


def preliminary_of_psk(psk: Secret, shared: SharedSecret | None) -> SharedSecret:
    """The preliminary secret of a pre-shared key and what was exchanged besides, if anything (RFC 4279 section 2)."""
    key = psk.reveal()
    other = bytes(len(key)) if shared is None else shared.reveal()
    return SharedSecret(len(other).to_bytes(2, "big") + other + len(key).to_bytes(2, "big") + key)


class MainSecret12:
    """The main secret of a session: from a key exchange (`extended`), or remembered."""

    __slots__ = ("_prf", "_suite", "secret")

    def __init__(self, suite: Suite, secret: Secret) -> None:
        self._suite = suite
        self._prf = PRF(suite.hash, secret)
        self.secret: Final = secret

    @classmethod
    def extended(cls, suite: Suite, preliminary: SharedSecret, session_hash: bytes) -> MainSecret12:
        """Over all messages up to and including the ClientKeyExchange (RFC 7627 section 4)."""
        return cls(suite, prf(suite.hash, preliminary, _EXTENDED, session_hash, _MAIN_SECRET_LENGTH))

    def key_block(self, client_random: bytes, server_random: bytes) -> KeyBlock:
        """The keys of one connection."""
        suite = self._suite
        key, iv = suite.aead.key_length, suite.aead.iv_length - suite.explicit_nonce_length
        block = self._prf(b"key expansion", server_random + client_random, 2 * (key + iv))
        client_key, server_key, client_iv, server_iv = block.split(key, key, iv, iv)
        return KeyBlock(Protection12(suite, client_key, client_iv), Protection12(suite, server_key, server_iv))

    def verify_data(self, transcript_hash: bytes, *, by_server: bool) -> bytes:
        """What a Finished carries (RFC 5246 section 7.4.9). Compare in constant time."""
        label = _SERVER_FINISHED if by_server else _CLIENT_FINISHED
        return self._prf.public(label, transcript_hash, VERIFY_DATA_LENGTH)

    def exporter(self, client_random: bytes, server_random: bytes) -> Exporter12:
        """What keying material is exported with once the handshake is forgotten."""
        return Exporter12(self._suite, self.secret, client_random + server_random)


class Exporter12:
    """The exporter of RFC 5705 section 4; safe to use, as its secret is extended (RFC 7627 section 5.4)."""

    __slots__ = ("_randoms", "_secret", "_suite")

    def __init__(self, suite: Suite, secret: Secret, randoms: bytes) -> None:
        self._suite = suite
        self._secret = secret
        self._randoms = randoms

    def __call__(self, label: bytes, context: bytes | None, length: int) -> bytes:
        """`length` bytes for a label and a context; no context is another thing here than an empty one.

        Raises ValueError for a label that the handshake uses itself, and for a context longer than 65535 bytes.
        """
        if label in _RESERVED:
            raise ValueError(f"{label!r} is no label for an exporter (RFC 5705 section 4)")
        seed = self._randoms
        if context is not None:
            if len(context) > 0xFFFF:
                raise ValueError("a context of at most 65535 bytes")
            seed += len(context).to_bytes(2, "big") + context
        return prf(self._suite.hash, self._secret, label, seed, length).reveal()
