"""Whom to believe: trust stores, and the judgement on a peer's chain (RFC 5280 section 6, RFC 9525).

Paths are built and validated by `cryptography.x509.verification`; its verdict is the only one. Its default policy is
the web's, which turns away private CAs for matters of form (a critical subjectAltName, a missing authority key
identifier). The policy here asks for what security rests on:

- every certificate: its validity period, a signature by a CA's key of at least 2048 bits (RSA) or on a NIST curve, no
  critical extension that is not understood, and the name constraints above it;
- a CA: the CA bit, its path length, keyCertSign if it has key usages, the purpose if it has extended key usages;
- the leaf: a key that can sign a handshake, digitalSignature if it has key usages, the purpose if it has extended ones,
  not to be a CA, and on a server the name among its subjectAltNames. The common name is never looked at. A client's
  certificate needs no subjectAltName, for no name is compared.

Every certificate of a trust store is an anchor: a path that reaches it is good, whoever issued it. So a self-signed
certificate that is itself in the store is accepted for the names in it, even one with the CA bit, as
`openssl req -x509` makes them; its dates, purposes and names are checked like those of any leaf.

The validator says no in words that do not tell which alert to send. So after a refusal, and only then, a second pass
looks for the reason. It can only put a label on a refusal: nothing it finds makes a chain acceptable.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import product
from typing import Final, Literal, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    Subject,
    VerificationError,
)

from caesura.crypto import names
from caesura.crypto.certificates import (
    MALFORMED,
    Certificate,
    Source,
    parse_certificate,
    read_source,
    split_certificates,
)
from caesura.crypto.names import ServerName
from caesura.crypto.rawkeys import KeySource, load_public_keys
from caesura.crypto.signatures import MINIMUM_RSA_BITS, KeyKind, PublicKey
from caesura.errors import AlertDescription, BadCertificate, CertificateVerifyError, ConfigError, LocalAlert, printable

Purpose: TypeAlias = Literal["server", "client"]
"""Whose chain it is: the extended key usage to be looked for is that of TLS servers or of TLS clients."""

DEFAULT_MAX_DEPTH: Final = 8
"""Intermediate CAs between a leaf and its anchor."""

_SETTING: Final = "trust"
_EKU: Final = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


# --- trust stores ----------------------------------------------------------------------------------------------------


class TrustStore:
    """A fixed set of trust anchors, and of raw public keys that are trusted as they are (RFC 7250).

    Made by `system`, `load`, `public_keys` or `empty`; `a | b` trusts what either does.
    """

    __slots__ = ("__weakref__", "_anchors", "_by_id", "_by_native", "_by_subject", "_identity", "_store", "keys")

    def __init__(self, anchors: Iterable[Certificate], keys: Iterable[bytes] = ()) -> None:
        self.keys = frozenset(keys)
        """SubjectPublicKeyInfo of each trusted public key, in DER."""
        self._anchors = {each.der: each for each in anchors}
        self._by_native = {each.native: each for each in self._anchors.values()}
        self._by_id = {id(each.native): each for each in self._anchors.values()}
        self._store: Store | None = None
        self._by_subject: dict[x509.Name, list[Certificate]] | None = None
        self._identity: bytes | None = None

    @classmethod
    def load(cls, source: Source) -> TrustStore:
        """The certificates of a PEM or DER file, of these bytes, or of a directory as OpenSSL's c_rehash makes it.

        ConfigError if it cannot be read or holds none, or one that is malformed.
        """
        if isinstance(source, str | os.PathLike) and os.path.isdir(source):
            anchors = [each for path in _certificate_files(source) for each in _read(path)]
        else:
            anchors = _read(source)
        if not anchors:
            raise ConfigError(f"{_SETTING}: no certificate found")
        return cls(anchors)

    @classmethod
    def system(cls) -> TrustStore:
        """The anchors OpenSSL uses on this machine (`ssl.get_default_verify_paths`), read again when they change.

        `SSL_CERT_FILE` and `SSL_CERT_DIR` have their usual meaning. ConfigError if there is nothing there.
        """
        paths = ssl.get_default_verify_paths()
        present = tuple((path, os.stat(path).st_mtime_ns) for path in (paths.cafile, paths.capath) if path)
        store = _system_stores.get(present)
        if store is None:
            store = cls(_read_system(paths.cafile, paths.capath))
            if not store:
                raise ConfigError(
                    f"{_SETTING}: this system has no trust store at {paths.openssl_cafile} or {paths.openssl_capath}; "
                    "install its CA certificates, set SSL_CERT_FILE, or give TrustStore.load a file"
                )
            _system_stores.clear()  # what was read from files that have changed since
            _system_stores[present] = store
        return store

    @classmethod
    def public_keys(cls, *sources: KeySource) -> TrustStore:
        """Trusts peers that show one of these keys instead of a certificate: whose they are, you know.

        Each is a path, PEM or DER bytes (SubjectPublicKeyInfo), or a key object. ConfigError if one cannot be read.
        """
        return cls((), (key.spki for source in sources for key in load_public_keys(source, _SETTING)))

    @classmethod
    def empty(cls) -> TrustStore:
        """Trusts nobody."""
        return cls(())

    @property
    def identity(self) -> bytes:
        """A digest of the set of anchors and keys: equal for stores that trust the same, in every process."""
        if self._identity is None:
            digests = sorted(hashlib.sha256(der).digest() for der in self._anchors)
            digests += sorted(hashlib.sha256(b"public key" + spki).digest() for spki in self.keys)
            self._identity = hashlib.sha256(b"".join(digests)).digest()
        return self._identity

    @property
    def store(self) -> Store | None:
        """The validator's form of it; None when it is empty, for which the validator has none."""
        if self._store is None and self._anchors:
            self._store = Store(list(self._by_native))
        return self._store

    def anchor(self, native: x509.Certificate) -> Certificate:
        """The anchor whose parsed form this is."""
        return self._by_id.get(id(native)) or self._by_native[native]

    def named(self, subject: x509.Name) -> list[Certificate]:
        """The anchors with this subject."""
        if self._by_subject is None:
            index: dict[x509.Name, list[Certificate]] = {}
            for each in self._anchors.values():
                index.setdefault(each.subject_name, []).append(each)
            self._by_subject = index
        return list(self._by_subject.get(subject, ()))

    def __contains__(self, certificate: Certificate) -> bool:
        return certificate.der in self._anchors

    @property
    def has_anchors(self) -> bool:
        """Whether a certificate could be accepted at all."""
        return bool(self._anchors)

    def vouches_for(self, key: PublicKey) -> bool:
        """Whether this raw public key is one of the trusted ones."""
        return key.spki in self.keys

    def __len__(self) -> int:
        return len(self._anchors) + len(self.keys)

    def __or__(self, other: TrustStore) -> TrustStore:
        return TrustStore((*self._anchors.values(), *other._anchors.values()), self.keys | other.keys)

    def __repr__(self) -> str:
        keys = f", {len(self.keys)} public keys" if self.keys else ""
        return f"<TrustStore of {len(self._anchors)} anchors{keys}>"


_system_stores: dict[tuple[tuple[str, int], ...], TrustStore] = {}

_HASHED_NAME: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def _certificate_files(directory: str | os.PathLike[str]) -> list[str]:
    """The trust anchors of a directory: the files c_rehash has named by hash, else those named like certificates."""
    found = sorted(os.listdir(directory))
    chosen = [name for name in found if _HASHED_NAME.fullmatch(name)]
    chosen = chosen or [name for name in found if name.endswith((".pem", ".crt", ".cer"))]
    return [os.path.join(directory, name) for name in chosen]


def _read(source: Source) -> list[Certificate]:
    anchors = []
    for der in split_certificates(read_source(source, _SETTING), _SETTING):
        try:
            anchors.append(Certificate(der, x509.load_der_x509_certificate(der)))
        except MALFORMED as error:
            raise ConfigError(f"{_SETTING}: a certificate is malformed: {error}") from error
    return anchors


def _read_system(cafile: str | None, capath: str | None) -> list[Certificate]:
    """What can be read there. One bad file among hundreds that somebody else installed must not stop everything."""
    anchors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library dislikes the serial numbers of some old roots
        for path in ([cafile] if cafile else []) + (_certificate_files(capath) if capath else []):
            with suppress(ConfigError):
                for der in split_certificates(read_source(path, _SETTING), _SETTING):
                    with suppress(*MALFORMED):
                        anchors.append(Certificate(der, x509.load_der_x509_certificate(der)))
    return anchors


# --- verdicts that are kept ------------------------------------------------------------------------------------------


class _Kept(NamedTuple):
    """A path that was found good, and when it is so."""

    path: tuple[Certificate, ...]
    not_before: datetime
    not_after: datetime


class VerificationCache:
    """Chains found good lately, so that the next connection to the same peer is spared the path (65 of 330
    microseconds).

    A verdict is found again for the same chain, name, purpose, depth and trust store only, while every certificate of
    the path is valid; it goes when its trust store goes. At most `size` are kept for one store. That the peer holds
    the leaf's key is proved anew on every connection, by CertificateVerify.
    """

    __slots__ = ("_half", "_kept")

    def __init__(self, size: int = 1024) -> None:
        if size < 2:
            raise ConfigError("verification_cache: a size of 2 or more (None switches it off)")
        self._half = size // 2
        # Two generations for each store: a full young one becomes the old one. Nothing is iterated, so that several
        # threads may use it without a lock.
        self._kept: WeakKeyDictionary[TrustStore, tuple[dict[_Key, _Kept], dict[_Key, _Kept]]] = WeakKeyDictionary()

    def get(self, trust: TrustStore, key: _Key, now: datetime) -> tuple[Certificate, ...] | None:
        """The path found earlier, if it is still good at `now`."""
        young, old = self._kept.get(trust, _NOTHING)
        kept = young.get(key)
        if kept is None:
            kept = old.get(key)
            if kept is None:
                return None
            self.put(trust, key, kept)
        return kept.path if kept.not_before <= now <= kept.not_after else None

    def put(self, trust: TrustStore, key: _Key, kept: _Kept) -> None:
        """Keep a verdict."""
        young, old = self._kept.get(trust, _NOTHING)
        if young is _NOTHING[0] or len(young) >= self._half:
            young, old = {}, young
            self._kept[trust] = (young, old)
        young[key] = kept

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        return sum(len(young.keys() | old.keys()) for young, old in self._kept.values())


_Key: TypeAlias = tuple[tuple[bytes, ...], str | None, Purpose, int]  # the chain itself, name, purpose, depth
_NOTHING: Final[tuple[dict[_Key, _Kept], dict[_Key, _Kept]]] = ({}, {})


# --- the verdict -----------------------------------------------------------------------------------------------------


def verify_chain(
    chain: Sequence[bytes],
    *,
    trust: TrustStore,
    server_name: str | None,
    purpose: Purpose,
    now: datetime,
    max_depth: int = DEFAULT_MAX_DEPTH,
    cache: VerificationCache | None = None,
) -> tuple[Certificate, ...]:
    """Judge a peer's chain (DER, leaf first, the rest in any order): the path from its leaf to an anchor.

    `server_name` is a host name or an address the leaf must answer to; None leaves names unchecked. `now` is an aware
    datetime. Raises CertificateVerifyError with the alert to send and OpenSSL's number for the reason, BadCertificate
    for a certificate that cannot be parsed, ConfigError for a `server_name` that is none.
    """
    if not chain:
        raise BadCertificate("the chain is empty")
    name = names.server_name(server_name) if server_name is not None else None
    if cache is None:
        return _verify(_Question([parse_certificate(der) for der in chain], trust, name, purpose, now, max_depth))
    key = (tuple(chain), name.text if name else None, purpose, max_depth)
    path = cache.get(trust, key, now)
    if path is None:
        path = _verify(_Question([parse_certificate(der) for der in chain], trust, name, purpose, now, max_depth))
        cache.put(trust, key, _Kept(path, max(each.not_before for each in path), min(each.not_after for each in path)))
    return path


class _Question(NamedTuple):
    """What is to be judged."""

    chain: list[Certificate]
    trust: TrustStore
    name: ServerName | None
    purpose: Purpose
    now: datetime
    max_depth: int


def _verify(asked: _Question) -> tuple[Certificate, ...]:
    leaf, *others = asked.chain
    if asked.trust.store is None or _key_flaw(leaf) is not None:
        raise _refusal(asked, "there are no trust anchors")
    # A host name with an underscore is none to the validator, but private networks are full of them.
    by_validator = asked.name is not None and "_" not in asked.name.text
    try:
        builder = PolicyBuilder().time(asked.now).max_chain_depth(min(asked.max_depth, 255)).store(asked.trust.store)
        builder = builder.extension_policies(
            ca_policy=_CA_POLICIES[asked.purpose],
            ee_policy=_LEAF_POLICIES[asked.purpose, by_validator, leaf in asked.trust],
        )
        intermediates = [each.native for each in others]
        if by_validator:
            path = builder.build_server_verifier(_subject(asked.name)).verify(leaf.native, intermediates)
        else:
            path = builder.build_client_verifier().verify(leaf.native, intermediates).chain
    except (VerificationError, *MALFORMED) as error:
        raise _refusal(asked, str(error)) from None
    if not by_validator and asked.name is not None and not leaf.answers_to(asked.name):
        raise _refusal(asked, "no matching subjectAltName")
    # By identity: the validator hands back the objects it was given, and to hash a certificate takes microseconds.
    known = {id(each.native): each for each in asked.chain}
    return tuple([known.get(id(each)) or asked.trust.anchor(each) for each in path])


def _subject(name: ServerName | None) -> Subject:
    assert name is not None
    return x509.IPAddress(name.address) if name.address else x509.DNSName(name.text)


# --- the policy ------------------------------------------------------------------------------------------------------

# These two are asked by the policy, and again when a reason is looked for.


def _may_issue(usage: x509.KeyUsage | None) -> bool:
    return usage is None or usage.key_cert_sign


def _serves(usage: x509.ExtendedKeyUsage | None, purpose: Purpose) -> bool:
    return usage is None or _EKU[purpose] in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _base_policy(purpose: Purpose) -> ExtensionPolicy:
    """What CAs and leaves have in common: the purpose."""

    def extended_key_usage(_policy: Policy, _cert: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        if not _serves(usage, purpose):
            raise ValueError("not for this purpose")

    return ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, extended_key_usage)


def _ca_policy(purpose: Purpose) -> ExtensionPolicy:
    """What CAs must be. The validator itself sees to the CA bit, the path length and the name constraints."""

    def key_usage(_policy: Policy, _ca: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        if not _may_issue(usage):
            raise ValueError("keyCertSign is missing")

    return (
        _base_policy(purpose)
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, key_usage)
    )


def _leaf_policy(purpose: Purpose, *, named: bool, trusted: bool) -> ExtensionPolicy:
    """What a leaf must be; `trusted` if it is an anchor itself. The validator itself compares the name."""

    def basic_constraints(_policy: Policy, _leaf: x509.Certificate, value: x509.BasicConstraints | None) -> None:
        if value is not None and value.ca and not trusted:
            raise ValueError("a CA's certificate")

    def key_usage(_policy: Policy, _leaf: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        if usage is not None and not usage.digital_signature:  # RFC 9846 section 4.5.1.2
            raise ValueError("digitalSignature is missing")

    policy = (
        _base_policy(purpose)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, basic_constraints)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, key_usage)
    )
    return policy.require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None) if named else policy


_PURPOSES: Final[tuple[Purpose, ...]] = ("server", "client")
_CA_POLICIES: Final = {purpose: _ca_policy(purpose) for purpose in _PURPOSES}
_LEAF_POLICIES: Final = {
    (purpose, named, trusted): _leaf_policy(purpose, named=named, trusted=trusted)
    for purpose, named, trusted in product(_PURPOSES, (True, False), (True, False))
}


class _Flaw(NamedTuple):
    """Why a chain is refused: OpenSSL's number (X509_STORE_CTX_get_error(3)) and a sentence."""

    code: int
    text: str


def _key_flaw(leaf: Certificate) -> _Flaw | None:
    """What is wrong with the leaf's key; the validator looks at issuers' keys only."""
    if leaf.public_key.kind is KeyKind.OTHER:
        return _Flaw(_UNSUPPORTED_SIGNATURE_ALGORITHM, f"the key of {leaf.subject} is of a kind that is not supported")
    if _is_weak(leaf):
        bits = leaf.public_key.bits
        return _Flaw(_EE_KEY_TOO_SMALL, f"the RSA key of {leaf.subject} has {bits} bits, fewer than {MINIMUM_RSA_BITS}")
    return None


def _leaf_flaw(asked: _Question) -> _Flaw | None:
    leaf = asked.chain[0]
    usage = leaf.extension(x509.KeyUsage)
    if leaf.is_ca and leaf not in asked.trust:
        return _Flaw(_INVALID_NON_CA, f"{leaf.subject} is a CA's certificate")
    if usage is not None and not usage.digital_signature:
        return _Flaw(_INVALID_PURPOSE, f"the key of {leaf.subject} is not for digital signatures")
    if not _serves(leaf.extension(x509.ExtendedKeyUsage), asked.purpose):
        return _Flaw(_INVALID_PURPOSE, f"{leaf.subject} is not for TLS {asked.purpose}s")
    return _key_flaw(leaf)


def _is_weak(certificate: Certificate) -> bool:
    key = certificate.public_key
    return key.kind in (KeyKind.RSA, KeyKind.RSA_PSS) and key.bits < MINIMUM_RSA_BITS


# --- why not ---------------------------------------------------------------------------------------------------------

_UNSPECIFIED: Final = 1
_CERT_SIGNATURE_FAILURE: Final = 7
_CERT_NOT_YET_VALID: Final = 9
_CERT_HAS_EXPIRED: Final = 10
_DEPTH_ZERO_SELF_SIGNED_CERT: Final = 18
_SELF_SIGNED_CERT_IN_CHAIN: Final = 19
_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: Final = 20
_CERT_CHAIN_TOO_LONG: Final = 22
_PATH_LENGTH_EXCEEDED: Final = 25
_INVALID_PURPOSE: Final = 26
_UNHANDLED_CRITICAL_EXTENSION: Final = 34
_INVALID_NON_CA: Final = 37
_PERMITTED_VIOLATION: Final = 47
_EXCLUDED_VIOLATION: Final = 48
_HOSTNAME_MISMATCH: Final = 62
_IP_ADDRESS_MISMATCH: Final = 64
_EE_KEY_TOO_SMALL: Final = 66
_CA_KEY_TOO_SMALL: Final = 67
_CA_MD_TOO_WEAK: Final = 68
_UNSUPPORTED_SIGNATURE_ALGORITHM: Final = 76
_INVALID_CA: Final = 79

_ALERTS: Final = {  # RFC 9846 section 6.2; every other flaw makes a bad_certificate
    _UNSPECIFIED: AlertDescription.certificate_unknown,
    _CERT_HAS_EXPIRED: AlertDescription.certificate_expired,
    _CERT_NOT_YET_VALID: AlertDescription.certificate_expired,  # "has expired or is not currently valid"
    _DEPTH_ZERO_SELF_SIGNED_CERT: AlertDescription.unknown_ca,
    _SELF_SIGNED_CERT_IN_CHAIN: AlertDescription.unknown_ca,
    _UNABLE_TO_GET_ISSUER_CERT_LOCALLY: AlertDescription.unknown_ca,
    _CERT_CHAIN_TOO_LONG: AlertDescription.unknown_ca,
    _PATH_LENGTH_EXCEEDED: AlertDescription.unknown_ca,
    _INVALID_CA: AlertDescription.unknown_ca,
    _INVALID_PURPOSE: AlertDescription.unsupported_certificate,
    _INVALID_NON_CA: AlertDescription.unsupported_certificate,
    _UNHANDLED_CRITICAL_EXTENSION: AlertDescription.unsupported_certificate,
    _UNSUPPORTED_SIGNATURE_ALGORITHM: AlertDescription.unsupported_certificate,
}

_UNDERSTOOD: Final = frozenset(  # the extensions the validator knows, which therefore may be critical
    kind.oid
    for kind in (
        x509.AuthorityInformationAccess,
        x509.AuthorityKeyIdentifier,
        x509.SubjectKeyIdentifier,
        x509.KeyUsage,
        x509.SubjectAlternativeName,
        x509.BasicConstraints,
        x509.NameConstraints,
        x509.ExtendedKeyUsage,
    )
)


def _refusal(asked: _Question, verdict: str) -> CertificateVerifyError:
    """The error for a chain that has been refused, with the first reason found in OpenSSL's order."""
    try:
        flaw = _find_flaw(asked, verdict)
    except LocalAlert:  # some certificate is too malformed to be asked; the refusal stands
        flaw = _Flaw(_UNSPECIFIED, printable(verdict))
    alert = _ALERTS.get(flaw.code, AlertDescription.bad_certificate)
    return CertificateVerifyError(flaw.text, description=alert, verify_code=flaw.code)


def _find_flaw(asked: _Question, verdict: str) -> _Flaw:
    path, flaw = _likely_path(asked)
    return (
        flaw
        or _leaf_flaw(asked)
        or _first(_ca_flaw(path, position, asked.purpose) for position in range(1, len(path)))
        or _first(_extension_flaw(each) for each in path)
        or _name_flaw(asked, verdict)
        or _first(_date_flaw(each, asked.now) for each in reversed(path))
        or _constraint_flaw(verdict)
        or _Flaw(_UNSPECIFIED, printable(verdict))
    )


def _first(flaws: Iterable[_Flaw | None]) -> _Flaw | None:
    return next(filter(None, flaws), None)


def _likely_path(asked: _Question) -> tuple[list[Certificate], _Flaw | None]:
    """The way from the leaf as far as signatures lead, and why it ends short of an anchor, if it does."""
    path = [asked.chain[0]]
    while (child := path[-1]) not in asked.trust:
        if len(path) - 1 > asked.max_depth:
            return path, _Flaw(_CERT_CHAIN_TOO_LONG, f"the chain has more than {asked.max_depth} intermediate CAs")
        named = asked.trust.named(child.issuer_name)
        named += [each for each in asked.chain if each.subject_name == child.issuer_name and each not in path]
        issuer = next((each for each in named if each.issued(child)), None)
        if issuer is None:
            return path, _no_issuer(child, named, at_leaf=len(path) == 1)
        path.append(issuer)
    return path, None


def _no_issuer(child: Certificate, named: list[Certificate], *, at_leaf: bool) -> _Flaw:
    if child.self_issued:
        code = _DEPTH_ZERO_SELF_SIGNED_CERT if at_leaf else _SELF_SIGNED_CERT_IN_CHAIN
        return _Flaw(code, f"the self-signed certificate {child.subject} is not among the trust anchors")
    if child.signature_digest in ("md5", "sha1"):
        return _Flaw(_CA_MD_TOO_WEAK, f"{child.subject} is signed with {child.signature_digest}")
    if any(_may_be_key_of(each, child) for each in named):
        return _Flaw(_CERT_SIGNATURE_FAILURE, f"the signature of the certificate {child.subject} does not verify")
    text = f"{child.subject} was issued by {child.issuer}, which is not known here"
    return _Flaw(_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, text)


def _may_be_key_of(issuer: Certificate, child: Certificate) -> bool:
    """Whether the key identifiers do not say that another CA of the same name has issued it."""
    wanted, own = child.extension(x509.AuthorityKeyIdentifier), issuer.extension(x509.SubjectKeyIdentifier)
    return wanted is None or own is None or wanted.key_identifier in (None, own.digest)


def _ca_flaw(path: list[Certificate], position: int, purpose: Purpose) -> _Flaw | None:
    ca = path[position]
    constraints = ca.extension(x509.BasicConstraints)
    if not ca.is_ca or constraints is None or not _may_issue(ca.extension(x509.KeyUsage)):
        return _Flaw(_INVALID_CA, f"{ca.subject} is not a CA that may issue certificates")
    if constraints.path_length is not None and position - 1 > constraints.path_length:
        return _Flaw(_PATH_LENGTH_EXCEEDED, f"there are more CAs below {ca.subject} than it allows")
    if not _serves(ca.extension(x509.ExtendedKeyUsage), purpose):
        return _Flaw(_INVALID_PURPOSE, f"{ca.subject} is not a CA for TLS {purpose}s")
    if ca.public_key.kind not in _ISSUING_KEYS:
        return _Flaw(
            _UNSUPPORTED_SIGNATURE_ALGORITHM,
            f"{ca.subject} has a key that is {ca.public_key.kind.value}; a CA's must be RSA or ECDSA on a NIST curve",
        )
    if _is_weak(ca):
        return _Flaw(_CA_KEY_TOO_SMALL, f"the RSA key of {ca.subject} has fewer than {MINIMUM_RSA_BITS} bits")
    return None


_ISSUING_KEYS: Final = (KeyKind.RSA, KeyKind.P256, KeyKind.P384, KeyKind.P521)


def _extension_flaw(certificate: Certificate) -> _Flaw | None:
    for each in certificate.extensions:
        if each.critical and each.oid not in _UNDERSTOOD:
            oid = each.oid.dotted_string
            return _Flaw(
                _UNHANDLED_CRITICAL_EXTENSION, f"{certificate.subject} has the unknown critical extension {oid}"
            )
    return None


def _name_flaw(asked: _Question, verdict: str) -> _Flaw | None:
    leaf = asked.chain[0]
    if asked.name is None or (leaf.answers_to(asked.name) and "subjectAltName" not in verdict):
        return None
    own = printable(", ".join(leaf.names[:5])) or "no name at all"
    if len(leaf.names) > 5:
        own += f" and {len(leaf.names) - 5} more"
    if asked.name.address:
        return _Flaw(_IP_ADDRESS_MISMATCH, f"the certificate is not for the address {asked.name.text}, but for {own}")
    return _Flaw(_HOSTNAME_MISMATCH, f"the certificate is not for the host {asked.name.text!r}, but for {own}")


def _date_flaw(certificate: Certificate, now: datetime) -> _Flaw | None:
    if now > certificate.not_after:
        return _Flaw(
            _CERT_HAS_EXPIRED, f"{certificate.subject} expired at {certificate.not_after:%Y-%m-%d %H:%M:%S} UTC"
        )
    if now < certificate.not_before:
        since = f"{certificate.not_before:%Y-%m-%d %H:%M:%S} UTC"
        return _Flaw(_CERT_NOT_YET_VALID, f"{certificate.subject} is not valid before {since}")
    return None


def _constraint_flaw(verdict: str) -> _Flaw | None:
    if "name constraint" not in verdict:
        return None
    if "excluded" in verdict:
        return _Flaw(_EXCLUDED_VIOLATION, "a CA's name constraints exclude a name of the certificate")
    return _Flaw(_PERMITTED_VIOLATION, "a CA's name constraints do not permit a name of the certificate")
