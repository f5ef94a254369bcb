"""Cipher suites as records (RFC 9846 appendix B.4). What is offered and chosen is negotiation's affair, not theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.crypto.aead import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, Aead
from caesura.crypto.hkdf import SHA256, SHA384, Hash
from caesura.wire.registries import CipherSuite, Version


@dataclass(frozen=True, slots=True, eq=False)
class Suite:
    """One cipher suite. `versions` are those it may be negotiated with, on any transport."""

    code: CipherSuite
    hash: Hash
    aead: Aead
    versions: frozenset[Version]

    @property
    def name(self) -> str:
        """The registry's name."""
        return self.code.name


_TLS13: Final = frozenset({Version.TLS13, Version.DTLS13, Version.QUIC1, Version.QUIC2})

SUITES: Final[dict[int, Suite]] = {
    suite.code: suite
    for suite in (
        Suite(CipherSuite.TLS_AES_128_GCM_SHA256, SHA256, AES_128_GCM, _TLS13),
        Suite(CipherSuite.TLS_AES_256_GCM_SHA384, SHA384, AES_256_GCM, _TLS13),
        Suite(CipherSuite.TLS_CHACHA20_POLY1305_SHA256, SHA256, CHACHA20_POLY1305, _TLS13),
    )
}
"""Every suite there is, by its code on the wire."""
