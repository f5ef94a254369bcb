"""An identity: a certificate chain, or a raw public key, with the private key behind it, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeGuard

from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from caesura.crypto.certificates import (
    MALFORMED,
    Certificate,
    Password,
    Source,
    load_certificates,
    load_private_key,
    parse_certificate,
)
from caesura.crypto.names import server_name
from caesura.crypto.rawkeys import KeySource, load_public_keys
from caesura.crypto.signatures import SCHEMES, KeyKind, LocalKey, NativePrivateKey, PublicKey, SigningKey
from caesura.errors import ConfigError, LocalAlert
from caesura.wire.registries import CertificateType, SignatureScheme, Version

_SETTING: Final = "identity"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Identity:
    """Who we are to the peer. Made by `load` or `raw_public_key`; shared by any number of connections, never changed.

    `chain` holds DER certificates, leaf first, `certificate` is the leaf; of a raw public key, `chain` holds nothing
    but its SubjectPublicKeyInfo, and `certificate` is None. `key` signs, wherever it lives; `ocsp_response` is stapled
    as it is, and so are `timestamps`, which say where the certificate was logged (RFC 6962), for clients that ask.
    With `only_for_issuers` it is shown only to peers that name one of the CAs behind it (`certificate_authorities`).
    """

    chain: tuple[bytes, ...] = field(repr=False)
    key: SigningKey
    certificate: Certificate | None
    ocsp_response: bytes | None = field(default=None, repr=False)
    _raw: PublicKey | None = field(default=None, repr=False)
    timestamps: tuple[bytes, ...] = field(default=(), repr=False)
    only_for_issuers: bool = False

    @classmethod
    def load(
        cls,
        chain: Source,
        key: Source | SigningKey | NativePrivateKey,
        password: Password = None,
        *,
        ocsp_response: bytes | None = None,
        timestamps: Iterable[bytes] = (),
        only_for_issuers: bool = False,
    ) -> Identity:
        """Load a chain (leaf first, each certificate certifying the one before it) and its key.

        Each is a path, or PEM or DER bytes; both may be in one PEM file. The key may also be a private key object of
        `cryptography`, or an engine's: any object with `schemes` and `sign`. `password` opens an encrypted key; a
        function is called when the key needs it. Raises ConfigError, naming `identity`, for what cannot be read or does
        not belong together.
        """
        certificates = load_certificates(chain, _SETTING)
        leaf = _checked_chain(certificates)
        signer = _signer(key, password)
        if leaf.public_key.kind is KeyKind.RSA_PSS and isinstance(signer, LocalKey):
            signer = signer.for_pss()
        _check_pair(leaf, signer)
        given = tuple(timestamps)
        if not all(isinstance(each, bytes) and each for each in given):
            raise ConfigError(f"{_SETTING}: a timestamp is bytes, and not empty")
        return cls(certificates, signer, leaf, ocsp_response, timestamps=given, only_for_issuers=only_for_issuers)

    @classmethod
    def raw_public_key(
        cls,
        key: Source | SigningKey | NativePrivateKey,
        password: Password = None,
        *,
        public_key: KeySource | None = None,
    ) -> Identity:
        """A key that is shown without a certificate, to peers that know it (RFC 7250).

        `key` and `password` as in `load`. An engine's key that does not tell its `public_key` needs it here: a path,
        PEM or DER bytes, or a key object. Raises ConfigError, naming `identity`.
        """
        signer = _signer(key, password)
        known = _public_key(getattr(signer, "public_key", None))
        if public_key is not None:
            given, *more = load_public_keys(public_key, _SETTING)
            if more or (known is not None and not given.same_key(known)):
                raise ConfigError(f"{_SETTING}: public_key is not that of the private key")
            known = known or given
        if known is None:
            raise ConfigError(f"{_SETTING}: the key does not tell its public_key; give it as public_key=")
        if not any(scheme in SCHEMES and known.kind in SCHEMES[scheme].kinds for scheme in signer.schemes):
            raise ConfigError(f"{_SETTING}: the private key has no scheme for a key that is {known.kind.value}")
        return cls((known.spki,), signer, None, None, known)

    @property
    def public_key(self) -> PublicKey:
        """The key that the peer verifies signatures with."""
        if self.certificate is not None:
            return self.certificate.public_key
        assert self._raw is not None
        return self._raw

    @property
    def issuers(self) -> frozenset[bytes]:
        """The distinguished names, in DER, of the CAs that stand behind the chain; a raw public key has none."""
        if self.certificate is None:
            return frozenset()
        return frozenset(parse_certificate(der).issuer_name.public_bytes() for der in self.chain)

    @property
    def certificate_type(self) -> CertificateType:
        """Whether `chain` is of certificates or a raw public key."""
        return CertificateType.X509 if self.certificate is not None else CertificateType.RawPublicKey

    @property
    def names(self) -> tuple[str, ...]:
        """The host names and addresses of the leaf; a raw public key has none."""
        return self.certificate.names if self.certificate is not None else ()

    def matches(self, name: str) -> bool:
        """Whether the leaf answers to a name as a client's hello gives it; a name that is none matches nothing.

        A raw public key has no name, and so answers to all: the client knows whose it is.
        """
        if self.certificate is None:
            return True
        try:
            return self.certificate.answers_to(server_name(name))
        except ConfigError:
            return False

    def scheme_for(
        self,
        offered: Collection[int],
        allowed: Iterable[SignatureScheme] = tuple(SignatureScheme),
        version: Version = Version.TLS13,
    ) -> SignatureScheme | None:
        """The first `allowed` scheme that the peer offered and that fits this key and version."""
        for scheme in allowed:
            if scheme in offered and scheme in self.key.schemes:
                row = SCHEMES.get(scheme)
                if row and row.fits(self.public_key, version):
                    return scheme
        return None


def _checked_chain(certificates: tuple[bytes, ...]) -> Certificate:
    """The leaf of a chain in which each certificate is issued by the next."""
    parsed = [parse_certificate(der) for der in certificates]
    for position, (child, issuer) in enumerate(pairwise(parsed)):
        if not issuer.issued(child):
            raise ConfigError(
                f"{_SETTING}: certificate {position + 2} of the chain ({issuer.subject}) did not issue the one before "
                f"it ({child.subject}); the order is the leaf first, then each issuer"
            )
    leaf = parsed[0]
    try:
        kind = leaf.public_key.kind
        _ = leaf.names
    except LocalAlert as error:
        raise ConfigError(f"{_SETTING}: {error}") from None
    if kind is KeyKind.OTHER:
        raise ConfigError(f"{_SETTING}: the certificate has a key of a kind or on a curve that is not supported")
    return leaf


def _signer(key: Source | SigningKey | NativePrivateKey, password: Password) -> SigningKey:
    if isinstance(key, NativePrivateKey):
        return LocalKey(key, setting=_SETTING)
    if _is_signing_key(key):
        return key
    return load_private_key(key, password, _SETTING)  # type: ignore[arg-type]  # refused when read


def _is_signing_key(key: object) -> TypeGuard[SigningKey]:
    return hasattr(key, "schemes") and callable(getattr(key, "sign", None))


def _check_pair(leaf: Certificate, key: SigningKey) -> None:
    """ConfigError if the key is known not to be the leaf's, or can sign in no way that fits it."""
    public = _public_key(getattr(key, "public_key", None))
    if public is not None and not public.same_key(leaf.public_key):
        raise ConfigError(f"{_SETTING}: the private key does not belong to the certificate of {leaf.subject}")
    if not any(scheme in SCHEMES and leaf.public_key.kind in SCHEMES[scheme].kinds for scheme in key.schemes):
        raise ConfigError(
            f"{_SETTING}: the private key has no scheme for a certificate whose key is {leaf.public_key.kind.value}"
        )


def _public_key(given: object) -> PublicKey | None:
    """The public key an engine's key tells of: an object, PEM or DER bytes, or a function giving one of these."""
    if given is None or isinstance(given, PublicKey):
        return given
    if callable(given):
        return _public_key(given())
    try:
        if isinstance(given, bytes):
            load = load_pem_public_key if given.lstrip().startswith(b"-----BEGIN ") else load_der_public_key
            return PublicKey(load(given))
        if hasattr(given, "public_bytes"):
            return PublicKey(given)
    except MALFORMED as error:
        raise ConfigError(f"{_SETTING}: the key's public_key could not be read: {error}") from error
    raise ConfigError(
        f"{_SETTING}: the key's public_key is a {type(given).__name__}; expected SPKI bytes or a key object"
    )
