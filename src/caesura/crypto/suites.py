"""Cipher suites as records: those of TLS 1.3 (RFC 9846 appendix B.4), and of TLS 1.2 the AEAD ones with ECDHE (RFC
5289, RFC 7905, RFC 7251), with a pre-shared key (RFC 5487, RFC 6655) or with both (RFC 8442). What is offered and
chosen is negotiation's affair, not theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.crypto.aead import (
    AES_128_CCM,
    AES_128_CCM_8,
    AES_128_GCM,
    AES_256_CCM,
    AES_256_CCM_8,
    AES_256_GCM,
    CHACHA20_POLY1305,
    Aead,
)
from caesura.crypto.hkdf import SHA256, SHA384, Hash
from caesura.crypto.signatures import KeyKind
from caesura.wire.registries import CipherSuite, Version


@dataclass(frozen=True, slots=True, eq=False)
class Suite:
    """One cipher suite. `versions` are those it may be negotiated with, on any transport.

    A suite of TLS 1.2 also says with which kinds of key the server signs (`signers`; RFC 8422 section 2, and RFC 9846
    section 4.3.3 for RSASSA-PSS) or that both sides hold a pre-shared key, whether there is a key exchange, and how
    many bytes of each nonce travel with the record.
    """

    code: CipherSuite
    hash: Hash
    aead: Aead
    versions: frozenset[Version]
    signers: frozenset[KeyKind] = frozenset()
    explicit_nonce_length: int = 0
    psk: bool = False
    ecdhe: bool = True

    @property
    def name(self) -> str:
        """The registry's name."""
        return self.code.name

    @property
    def openssl_name(self) -> str:
        """What OpenSSL, and so CPython's `ssl`, calls it (openssl-ciphers(1)): in TLS 1.3 the same."""
        if not self.older:
            return self.name
        key_exchange, _, rest = self.name.removeprefix("TLS_").partition("_WITH_")
        rest = rest.removesuffix("_SHA256") if "CHACHA20" in rest else rest
        return f"{key_exchange}-{rest.replace('AES_', 'AES').replace('CCM_8', 'CCM8')}".replace("_", "-")

    @property
    def older(self) -> bool:
        """Whether it is one of TLS 1.2."""
        return Version.TLS12 in self.versions


_TLS13: Final = frozenset({Version.TLS13, Version.DTLS13, Version.QUIC1, Version.QUIC2})
_TLS13_CCM: Final = frozenset({Version.TLS13, Version.DTLS13})  # QUIC does without
_TLS12: Final = frozenset({Version.TLS12, Version.DTLS12})
_ECDSA: Final = frozenset({KeyKind.P256, KeyKind.P384, KeyKind.P521, KeyKind.ED25519, KeyKind.ED448})
_RSA: Final = frozenset({KeyKind.RSA, KeyKind.RSA_PSS})
_EXPLICIT: Final = 8  # bytes of the nonces of GCM and CCM (RFC 5288 section 3, RFC 6655 section 3)


def _ecdhe(name: str, hash: Hash, aead: Aead, signers: frozenset[KeyKind]) -> Suite:  # noqa: A002  # as in `hkdf`
    explicit = 0 if aead is CHACHA20_POLY1305 else _EXPLICIT
    return Suite(CipherSuite[f"TLS_ECDHE_{name}"], hash, aead, _TLS12, signers, explicit)


def _psk(name: str, hash: Hash, aead: Aead) -> Suite:  # noqa: A002  # as in `hkdf`
    explicit = 0 if aead is CHACHA20_POLY1305 else _EXPLICIT
    ecdhe = name.startswith("ECDHE")
    return Suite(CipherSuite[f"TLS_{name}"], hash, aead, _TLS12, frozenset(), explicit, psk=True, ecdhe=ecdhe)


SUITES: Final[dict[int, Suite]] = {
    suite.code: suite
    for suite in (
        Suite(CipherSuite.TLS_AES_128_GCM_SHA256, SHA256, AES_128_GCM, _TLS13),
        Suite(CipherSuite.TLS_AES_256_GCM_SHA384, SHA384, AES_256_GCM, _TLS13),
        Suite(CipherSuite.TLS_CHACHA20_POLY1305_SHA256, SHA256, CHACHA20_POLY1305, _TLS13),
        Suite(CipherSuite.TLS_AES_128_CCM_SHA256, SHA256, AES_128_CCM, _TLS13_CCM),
        Suite(CipherSuite.TLS_AES_128_CCM_8_SHA256, SHA256, AES_128_CCM_8, _TLS13_CCM),
        _ecdhe("ECDSA_WITH_AES_128_GCM_SHA256", SHA256, AES_128_GCM, _ECDSA),
        _ecdhe("ECDSA_WITH_AES_256_GCM_SHA384", SHA384, AES_256_GCM, _ECDSA),
        _ecdhe("ECDSA_WITH_CHACHA20_POLY1305_SHA256", SHA256, CHACHA20_POLY1305, _ECDSA),
        _ecdhe("RSA_WITH_AES_128_GCM_SHA256", SHA256, AES_128_GCM, _RSA),
        _ecdhe("RSA_WITH_AES_256_GCM_SHA384", SHA384, AES_256_GCM, _RSA),
        _ecdhe("RSA_WITH_CHACHA20_POLY1305_SHA256", SHA256, CHACHA20_POLY1305, _RSA),
        _ecdhe("ECDSA_WITH_AES_128_CCM", SHA256, AES_128_CCM, _ECDSA),
        _ecdhe("ECDSA_WITH_AES_256_CCM", SHA256, AES_256_CCM, _ECDSA),
        _ecdhe("ECDSA_WITH_AES_128_CCM_8", SHA256, AES_128_CCM_8, _ECDSA),
        _ecdhe("ECDSA_WITH_AES_256_CCM_8", SHA256, AES_256_CCM_8, _ECDSA),
        _psk("PSK_WITH_AES_128_GCM_SHA256", SHA256, AES_128_GCM),
        _psk("PSK_WITH_AES_256_GCM_SHA384", SHA384, AES_256_GCM),
        _psk("PSK_WITH_CHACHA20_POLY1305_SHA256", SHA256, CHACHA20_POLY1305),
        _psk("PSK_WITH_AES_128_CCM", SHA256, AES_128_CCM),
        _psk("PSK_WITH_AES_256_CCM", SHA256, AES_256_CCM),
        _psk("PSK_WITH_AES_128_CCM_8", SHA256, AES_128_CCM_8),
        _psk("PSK_WITH_AES_256_CCM_8", SHA256, AES_256_CCM_8),
        _psk("ECDHE_PSK_WITH_AES_128_GCM_SHA256", SHA256, AES_128_GCM),
        _psk("ECDHE_PSK_WITH_AES_256_GCM_SHA384", SHA384, AES_256_GCM),
        _psk("ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", SHA256, CHACHA20_POLY1305),
        _psk("ECDHE_PSK_WITH_AES_128_CCM_SHA256", SHA256, AES_128_CCM),
        _psk("ECDHE_PSK_WITH_AES_128_CCM_8_SHA256", SHA256, AES_128_CCM_8),
    )
}
"""Every suite there is, by its code on the wire."""
