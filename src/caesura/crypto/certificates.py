"""Certificates and private keys: from bytes, PEM or files to records (RFC 5280, RFC 7468, RFC 5958).

`parse_certificate` is for bytes of the network and raises alerts; `load_*` are for configuration and raise
`ConfigError`. Whether a certificate is to be believed is said by `trust`.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key
from cryptography.x509.oid import PublicKeyAlgorithmOID

from caesura.crypto.names import Address, ServerName, matches
from caesura.crypto.signatures import LocalKey, NativePrivateKey, PublicKey
from caesura.errors import BadCertificate, ConfigError, UnsupportedCertificate, printable

Source: TypeAlias = str | os.PathLike[str] | bytes
"""A path (`str` or path-like), or the PEM or DER bytes themselves; a `str` that holds PEM text is taken as such."""

Password: TypeAlias = str | bytes | Callable[[], str | bytes] | None
"""What opens an encrypted key; a function is called only when the key is encrypted."""

# What `cryptography` raises for encodings it will not have. Warning: programs may run with warnings as errors.
MALFORMED: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    InternalError,
    Warning,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_T = TypeVar("_T")
_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True, eq=False)
class Certificate:
    """One certificate. What is read from its extensions is read when asked for, once; then BadCertificate may rise."""

    der: bytes = field(repr=False)
    native: x509.Certificate

    @cached_property
    def not_before(self) -> datetime:
        """The start of its validity (UTC)."""
        return self.native.not_valid_before_utc

    @cached_property
    def not_after(self) -> datetime:
        """The last second of its validity (UTC)."""
        return self.native.not_valid_after_utc

    @cached_property
    def expires(self) -> int:
        """The last second of its validity, in seconds since 1970."""
        return int(self.native.not_valid_after_utc.timestamp())

    @cached_property
    def public_key(self) -> PublicKey:
        """The subject's key; UnsupportedCertificate if it is of a kind the library does not know."""
        return self._read(_public_key)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Host names and IP addresses of the subjectAltName extension, in that order. The common name is no name."""
        return (*self.host_names, *map(str, self.addresses))

    @cached_property
    def host_names(self) -> tuple[str, ...]:
        """The host names of the subjectAltName extension, some of them with wildcards."""
        alternative = self.extension(x509.SubjectAlternativeName)
        return tuple(alternative.get_values_for_type(x509.DNSName)) if alternative else ()

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """The IP addresses of the subjectAltName extension."""
        alternative = self.extension(x509.SubjectAlternativeName)
        found = alternative.get_values_for_type(x509.IPAddress) if alternative else ()
        return tuple(each for each in found if isinstance(each, IPv4Address | IPv6Address))

    def answers_to(self, name: ServerName) -> bool:
        """Whether one of its names is this one, or a wildcard for it."""
        return name.address in self.addresses if name.address else matches(name.text, self.host_names)

    @cached_property
    def is_ca(self) -> bool:
        """Whether basicConstraints says it may issue certificates."""
        constraints = self.extension(x509.BasicConstraints)
        return constraints is not None and constraints.ca

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are one name."""
        return self.subject_name == self.issuer_name

    @cached_property
    def subject_name(self) -> x509.Name:
        """Whose certificate it is."""
        return self._read(lambda native: native.subject)

    @cached_property
    def issuer_name(self) -> x509.Name:
        """Who issued it, by its own account."""
        return self._read(lambda native: native.issuer)

    @property
    def subject(self) -> str:
        """The subject's name as text, for messages."""
        return printable(self._read(lambda native: native.subject.rfc4514_string()))

    @property
    def may_sign(self) -> bool:
        """Whether it has no key usages, or digitalSignature is among them."""
        usage = self.extension(x509.KeyUsage)
        return usage is None or usage.digital_signature

    @property
    def issuer(self) -> str:
        """The issuer's name as text, for messages."""
        return printable(self._read(lambda native: native.issuer.rfc4514_string()))

    @property
    def signature_digest(self) -> str | None:
        """The name of the hash its issuer signed; None for schemes that have none of their own."""
        digest = self._read(lambda native: native.signature_hash_algorithm)
        return digest.name if digest else None

    @cached_property
    def extensions(self) -> x509.Extensions:
        """All of its extensions."""
        return self._read(lambda native: native.extensions)

    def extension(self, kind: type[_E]) -> _E | None:
        """The value of one extension, or None."""
        return next((each.value for each in self.extensions if isinstance(each.value, kind)), None)

    def issued(self, child: Certificate) -> bool:
        """Whether this one's name and key are those that issued `child`; nothing else is looked at."""
        try:
            child.native.verify_directly_issued_by(self.native)
        except Exception:  # noqa: BLE001  # InvalidSignature, or a key or encoding it will not have: all mean no
            return False
        return True

    def _read(self, field_of: Callable[[x509.Certificate], _T]) -> _T:
        try:
            return field_of(self.native)
        except UnsupportedAlgorithm:
            raise UnsupportedCertificate("a certificate has a key or signature of an unknown kind") from None
        except MALFORMED:
            raise BadCertificate("a certificate is malformed") from None


def _public_key(native: x509.Certificate) -> PublicKey:
    return PublicKey(native.public_key(), pss=native.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS)


_CACHED_SIZE: Final = 8192  # bytes; larger ones are rare, and 512 of them must not fill the memory


def parse_certificate(der: bytes) -> Certificate:
    """The certificate in these bytes of the network; BadCertificate if there is none. Recent ones are kept parsed."""
    return _parse_cached(der) if len(der) <= _CACHED_SIZE else _parse(der)


def _parse(der: bytes) -> Certificate:
    try:
        return Certificate(der, x509.load_der_x509_certificate(der))
    except MALFORMED:
        raise BadCertificate("a certificate is malformed") from None


_parse_cached = lru_cache(maxsize=512)(_parse)


# --- configuration ---------------------------------------------------------------------------------------------------

_LABELS: Final = (b"CERTIFICATE", b"X509 CERTIFICATE")  # the latter is an old one of OpenSSL's


def read_source(source: Source, setting: str) -> bytes:
    """The bytes of a file, or those given; ConfigError naming the setting if there are none to be had."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str) and "-----BEGIN " in source:
        return source.encode()
    if not isinstance(source, str | os.PathLike):  # `open` would take a number for a descriptor
        raise ConfigError(f"{setting}: expected a path or bytes, not {type(source).__name__}")
    try:
        with open(source, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting}: cannot read {source!r}: {error}") from error


def split_certificates(data: bytes, setting: str) -> list[bytes]:
    """The DER of each certificate in PEM text, or the one DER certificate there is; nothing is parsed yet."""
    if b"-----BEGIN " not in data:
        return [data] if data else []
    found = []
    for block in data.split(b"-----BEGIN ")[1:]:
        label, _, rest = block.partition(b"-----")
        if label in _LABELS:
            body, end, _ = rest.partition(b"-----END ")
            if not end:
                raise ConfigError(f"{setting}: a PEM certificate has no end")
            try:
                found.append(binascii.a2b_base64(body))
            except binascii.Error as error:
                raise ConfigError(f"{setting}: a certificate is not valid PEM: {error}") from error
    return found


def load_certificates(source: Source, setting: str = "identity") -> tuple[bytes, ...]:
    """The certificates of a PEM chain or a DER file, as DER, in their order; ConfigError naming the setting."""
    found = split_certificates(read_source(source, setting), setting)
    if not found:
        raise ConfigError(f"{setting}: no certificate found{_in(source)}")
    for der in found:
        try:
            parse_certificate(der)
        except BadCertificate:
            raise ConfigError(f"{setting}: a certificate{_in(source)} is malformed") from None
    return tuple(found)


def load_private_key(source: Source, password: Password = None, setting: str = "identity") -> LocalKey:
    """A private key from PEM or DER, PKCS#8 or traditional, encrypted or not; ConfigError naming the setting."""
    data = read_source(source, setting)
    load = load_pem_private_key if b"-----BEGIN " in data else load_der_private_key
    try:
        try:
            native = load(data, None)
        except TypeError:  # it is encrypted; only now is a password called for
            native = load(data, _password(password, setting))
    except ConfigError:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        raise ConfigError(f"{setting}: no private key could be read{_in(source)}: {error}") from error
    return LocalKey(cast("NativePrivateKey", native), setting=setting)


def _password(password: Password, setting: str) -> bytes:
    given = password() if callable(password) else password
    if given is None:
        raise ConfigError(f"{setting}: the private key is encrypted and no password was given")
    return given.encode() if isinstance(given, str) else bytes(given)


def _in(source: Source) -> str:
    """Where a thing was looked for, if that can be said without showing what may be a key."""
    is_path = isinstance(source, os.PathLike) or (isinstance(source, str) and "-----BEGIN " not in source)
    return f" in {os.fspath(source)!r}" if is_path else ""
