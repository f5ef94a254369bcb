"""Signatures: one table row per scheme, keys that know which schemes fit them (RFC 9846 section 4.3.3).

The table says which key a scheme takes, how it signs, and under which versions it may sign a handshake; TLS 1.3 binds
an ECDSA scheme to its curve, TLS 1.2 does not. What is signed is said by the handshakes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caesura.errors import ConfigError, DecryptError, IllegalParameter, UsageError
from caesura.wire.registries import SignatureScheme, Version

NativePrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
"""The private keys of `cryptography` that can sign a handshake."""

MINIMUM_RSA_BITS: Final = 2048


class KeyKind(Enum):
    """What a public key is, as far as schemes care. `RSA_PSS` keys are marked for nothing but RSASSA-PSS (RFC 4055)."""

    RSA = "RSA"
    RSA_PSS = "RSASSA-PSS"
    P256 = "ECDSA on secp256r1"
    P384 = "ECDSA on secp384r1"
    P521 = "ECDSA on secp521r1"
    ED25519 = "Ed25519"
    ED448 = "Ed448"
    OTHER = "of a kind not supported"

    __hash__ = object.__hash__  # members are one of a kind; Enum's own hash is that of the name, in Python


_CURVES: Final = {"secp256r1": KeyKind.P256, "secp384r1": KeyKind.P384, "secp521r1": KeyKind.P521}


def _kind(key: object, pss: bool) -> KeyKind:
    if isinstance(key, EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, KeyKind.OTHER)
    if isinstance(key, RSAPublicKey):
        return KeyKind.RSA_PSS if pss else KeyKind.RSA
    if isinstance(key, Ed25519PublicKey):
        return KeyKind.ED25519
    return KeyKind.ED448 if isinstance(key, Ed448PublicKey) else KeyKind.OTHER


class PublicKey:
    """A peer's or our own public key. `native` is `cryptography`'s object; `bits` is 0 where size is no question."""

    __slots__ = ("bits", "kind", "native")

    def __init__(self, native: Any, *, pss: bool = False) -> None:
        self.native = native
        self.kind = _kind(native, pss)
        self.bits: int = getattr(native, "key_size", 0)

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo in DER, without the mark for RSASSA-PSS."""
        return bytes(self.native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def same_key(self, other: PublicKey) -> bool:
        """Whether both are one key, whatever it is marked for."""
        return self.spki == other.spki

    def __repr__(self) -> str:
        return f"<PublicKey {self.kind.value}{f', {self.bits} bits' if self.bits else ''}>"


@dataclass(frozen=True, slots=True, eq=False)
class Scheme:
    """One row: `kinds` of key under TLS 1.3, `loose_kinds` under 1.2; `versions` may sign handshakes with it."""

    code: SignatureScheme
    kinds: frozenset[KeyKind]
    loose_kinds: frozenset[KeyKind]
    versions: frozenset[Version]
    sign: Callable[[Any, bytes], bytes] = field(repr=False)
    verify: Callable[[Any, bytes, bytes], None] = field(repr=False)

    def fits(self, key: PublicKey, version: Version = Version.TLS13) -> bool:
        """Whether a handshake of this version may be signed by such a key under this scheme."""
        kinds = self.loose_kinds if version in _TLS12 else self.kinds
        return version in self.versions and key.kind in kinds


_TLS12: Final = frozenset({Version.TLS12, Version.DTLS12})
_TLS13: Final = frozenset(Version) - _TLS12
_ECDSA_KINDS: Final = frozenset(_CURVES.values())


def _with_parameters(
    code: SignatureScheme,
    kind: KeyKind,
    *parameters: object,
    loose_kinds: frozenset[KeyKind] | None = None,
    versions: frozenset[Version] = _TLS12 | _TLS13,
) -> Scheme:
    """A row whose key's own `sign` and `verify` take these parameters after the message."""
    kinds = frozenset({kind})
    return Scheme(
        code,
        kinds,
        loose_kinds or kinds,
        versions,
        lambda key, message: key.sign(message, *parameters),
        lambda key, signature, message: key.verify(signature, message, *parameters),
    )


def _pss(digest: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)  # the salt is as long as the digest


def _rows() -> list[Scheme]:
    s, sha256, sha384, sha512 = SignatureScheme, hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
    row, any_curve = _with_parameters, _ECDSA_KINDS
    return [
        row(s.ecdsa_secp256r1_sha256, KeyKind.P256, ec.ECDSA(sha256), loose_kinds=any_curve),
        row(s.ecdsa_secp384r1_sha384, KeyKind.P384, ec.ECDSA(sha384), loose_kinds=any_curve),
        row(s.ecdsa_secp521r1_sha512, KeyKind.P521, ec.ECDSA(sha512), loose_kinds=any_curve),
        row(s.ed25519, KeyKind.ED25519),
        row(s.ed448, KeyKind.ED448),
        row(s.rsa_pss_rsae_sha256, KeyKind.RSA, _pss(sha256), sha256),
        row(s.rsa_pss_rsae_sha384, KeyKind.RSA, _pss(sha384), sha384),
        row(s.rsa_pss_rsae_sha512, KeyKind.RSA, _pss(sha512), sha512),
        row(s.rsa_pss_pss_sha256, KeyKind.RSA_PSS, _pss(sha256), sha256),
        row(s.rsa_pss_pss_sha384, KeyKind.RSA_PSS, _pss(sha384), sha384),
        row(s.rsa_pss_pss_sha512, KeyKind.RSA_PSS, _pss(sha512), sha512),
        # In TLS 1.3 these stand for signatures in certificates only (RFC 9846 section 4.3.3).
        row(s.rsa_pkcs1_sha256, KeyKind.RSA, padding.PKCS1v15(), sha256, versions=_TLS12),
        row(s.rsa_pkcs1_sha384, KeyKind.RSA, padding.PKCS1v15(), sha384, versions=_TLS12),
        row(s.rsa_pkcs1_sha512, KeyKind.RSA, padding.PKCS1v15(), sha512, versions=_TLS12),
    ]


SCHEMES: Final[dict[int, Scheme]] = {row.code: row for row in _rows()}
"""Every scheme there is, by its code on the wire, in order of preference among those of one key."""


def schemes_for(public_key: PublicKey, version: Version | None = None) -> tuple[SignatureScheme, ...]:
    """The schemes a key can sign with, best first: in a handshake of `version`, or in some version."""
    if version is not None:
        return tuple(row.code for row in SCHEMES.values() if row.fits(public_key, version))
    return tuple(row.code for row in SCHEMES.values() if public_key.kind in row.kinds)


def verify(
    scheme: int, public_key: PublicKey, signature: bytes, message: bytes, version: Version = Version.TLS13
) -> None:
    """Check the peer's signature of a handshake of `version` over `message` (the message, not its digest).

    DecryptError if it is not the key's signature; IllegalParameter if the scheme is unknown, or is not one for this key
    and version (RFC 9846 section 4.5.2).
    """
    row = SCHEMES.get(scheme)
    if row is None or not row.fits(public_key, version):
        name = row.code.name if row else f"{scheme:#06x}"
        raise IllegalParameter(
            f"signature scheme {name} does not fit a key that is {public_key.kind.value}",
            section="RFC 9846 section 4.3.3",
        )
    try:
        row.verify(public_key.native, signature, message)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise DecryptError("the peer's signature does not verify") from None


@runtime_checkable
class SigningKey(Protocol):
    """What an identity needs of a private key, wherever it lives: `engines.PrivateKey` as this package sees it."""

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]:
        """What it can sign with, best first."""

    # Any: an answer may be the signature, an awaitable or pending work, whose types lie above this package.
    def sign(self, scheme: SignatureScheme, message: bytes) -> Any:
        """Sign the message (not its digest)."""


class LocalKey:
    """A private key in this process's memory. `pss` marks an RSA key for RSASSA-PSS only, as its certificate may.

    ConfigError for a kind of key, a curve or an RSA size that is not supported.
    """

    __slots__ = ("_native", "public_key", "schemes")

    def __init__(self, native: NativePrivateKey, *, pss: bool = False, setting: str = "identity") -> None:
        if not isinstance(native, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey):
            raise ConfigError(f"{setting}: a key that is a {type(native).__name__} cannot sign here")
        self._native = native
        self.public_key = PublicKey(native.public_key(), pss=pss)
        self.schemes = schemes_for(self.public_key)
        if not self.schemes:
            raise ConfigError(f"{setting}: the key is on a curve that is not supported")
        if isinstance(native, RSAPrivateKey) and native.key_size < MINIMUM_RSA_BITS:
            raise ConfigError(
                f"{setting}: an RSA key of {native.key_size} bits; at least {MINIMUM_RSA_BITS} are needed"
            )

    def for_pss(self) -> LocalKey:
        """The same RSA key, marked for RSASSA-PSS only."""
        return LocalKey(self._native, pss=True)

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature over `message`; UsageError if the scheme is not among `schemes`."""
        if scheme not in self.schemes:
            raise UsageError(f"a key that is {self.public_key.kind.value} does not sign with {scheme!r}")
        return SCHEMES[scheme].sign(self._native, message)

    def __repr__(self) -> str:
        return f"<LocalKey {self.public_key.kind.value}>"
