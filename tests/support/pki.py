"""A certificate hierarchy for tests, made with `cryptography` once per process and only as far as it is asked for.

    root ── intermediate ── ec, rsa, rsa_pss, ed25519, ed448, p384, p521, client …
    other_root ── other_ca            (nobody trusts it)

`pki()` gives it. Every leaf answers to localhost, 127.0.0.1, ::1, example.test and *.wild.example.test unless its
name says otherwise. Validity is counted from `pki().now`, a whole second a little before the tests began, so clocks
that stand there and real ones agree.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "127.0.0.1", "::1", "example.test", "*.wild.example.test")
DAY = timedelta(days=1)

Extension = tuple[x509.ExtensionType, bool]


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """RSA keys are slow to make: one of each size does for all."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def general_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def key_usage(*bits: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


@dataclass(frozen=True, eq=False)
class Credential:
    """A certificate, its key, and the intermediates that go with it."""

    certificate: x509.Certificate
    key: Any
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def to_present(self) -> tuple[x509.Certificate, ...]:
        """What goes with a certificate that this one has issued: itself and those above it, but no root."""
        if self.certificate.subject == self.certificate.issuer:
            return ()
        return (self.certificate, *self.intermediates)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, leaf first, without the root."""
        return tuple(each.public_bytes(Encoding.DER) for each in (self.certificate, *self.intermediates))

    @property
    def chain_pem(self) -> bytes:
        """PEM, leaf first, without the root."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.intermediates))

    @property
    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return self.private_bytes()

    def private_bytes(
        self,
        encoding: Encoding = Encoding.PEM,
        format: PrivateFormat = PrivateFormat.PKCS8,  # noqa: A002
        password: bytes | None = None,
    ) -> bytes:
        """The key in any form."""
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        return bytes(self.key.private_bytes(encoding, format, encryption))

    def files(self, directory: Path, name: str = "credential") -> tuple[Path, Path]:
        """The chain and the key as PEM files in a directory."""
        chain, key = directory / f"{name}.pem", directory / f"{name}.key"
        chain.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        return chain, key


class PKI:
    """Certificate authorities and what they issued. Make special cases with `ca` and `leaf`."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    # --- authorities

    @cached_property
    def root(self) -> Credential:
        return self.ca("Test Root")

    @cached_property
    def intermediate(self) -> Credential:
        return self.ca("Test Intermediate", issuer=self.root, path_length=0)

    @cached_property
    def other_root(self) -> Credential:
        return self.ca("Other Root")

    @cached_property
    def ca_without_cert_sign(self) -> Credential:
        """It has the CA bit, but its key usages do not let it issue."""
        return self.ca("CA Without keyCertSign", issuer=self.root, usage=key_usage("digital_signature", "crl_sign"))

    @property
    def trust_pem(self) -> bytes:
        """What tests trust: the root."""
        return self.root.pem

    # --- good leaves

    @cached_property
    def ec(self) -> Credential:
        return self.leaf("ec")

    @cached_property
    def rsa(self) -> Credential:
        return self.leaf("rsa", key=rsa_key())

    @cached_property
    def rsa_pss(self) -> Credential:
        """An RSA key marked for RSASSA-PSS only (RFC 4055)."""
        return self.leaf("rsa-pss", key=rsa_key(), pss=True)

    @cached_property
    def ed25519(self) -> Credential:
        return self.leaf("ed25519", key=ed25519.Ed25519PrivateKey.generate())

    @cached_property
    def ed448(self) -> Credential:
        return self.leaf("ed448", key=ed448.Ed448PrivateKey.generate())

    @cached_property
    def p384(self) -> Credential:
        return self.leaf("p384", key=ec_key(ec.SECP384R1()))

    @cached_property
    def p521(self) -> Credential:
        return self.leaf("p521", key=ec_key(ec.SECP521R1()))

    @cached_property
    def client(self) -> Credential:
        """A client's: no names, and for clients only."""
        return self.leaf("client", names=(), purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,))

    @cached_property
    def self_signed(self) -> Credential:
        """As `openssl req -x509 -addext subjectAltName=…` makes it: its own issuer, with the CA bit."""
        key = ec_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
        extensions: list[Extension] = [(general_names(NAMES), False), (x509.BasicConstraints(True, None), True)]
        return Credential(self.sign(name, key.public_key(), name, key, extensions), key)

    # --- leaves that are to be refused

    @cached_property
    def expired(self) -> Credential:
        return self.leaf("expired", not_before=-30 * DAY, not_after=-DAY)

    @cached_property
    def not_yet_valid(self) -> Credential:
        return self.leaf("not yet valid", not_before=DAY, not_after=30 * DAY)

    @cached_property
    def other_ca(self) -> Credential:
        """Good in itself, but of a CA nobody trusts."""
        return self.leaf("other CA", issuer=self.other_root)

    @cached_property
    def no_san(self) -> Credential:
        """The name stands in the common name only."""
        return self.leaf("localhost", names=())

    @cached_property
    def under_ca_without_cert_sign(self) -> Credential:
        return self.leaf("under a CA without keyCertSign", issuer=self.ca_without_cert_sign)

    # --- making more

    def ca(
        self,
        name: str,
        *,
        issuer: Credential | None = None,
        key: Any = None,
        path_length: int | None = None,
        is_ca: bool = True,
        usage: x509.KeyUsage | None = None,
        extensions: Sequence[Extension] = (),
        not_before: timedelta = -DAY,
        not_after: timedelta = 90 * DAY,
    ) -> Credential:
        """A CA; self-signed without an issuer."""
        key = key or ec_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own: list[Extension] = [
            (x509.BasicConstraints(is_ca, path_length if is_ca else None), True),
            (usage or key_usage("digital_signature", "key_cert_sign", "crl_sign"), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            *extensions,
        ]
        if issuer:
            own.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False))
        certificate = self.sign(
            subject,
            key.public_key(),
            issuer.certificate.subject if issuer else subject,
            issuer.key if issuer else key,
            own,
            not_before,
            not_after,
        )
        return Credential(certificate, key, issuer.to_present if issuer else ())

    def leaf(
        self,
        name: str,
        *,
        issuer: Credential | None = None,
        key: Any = None,
        pss: bool = False,
        names: Iterable[str] = NAMES,
        purposes: Sequence[x509.ObjectIdentifier] = (
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ),
        usage: x509.KeyUsage | None = None,
        extensions: Sequence[Extension] = (),
        not_before: timedelta = -DAY,
        not_after: timedelta = 30 * DAY,
    ) -> Credential:
        """A leaf, of the intermediate unless another issuer is named."""
        issuer = issuer or self.intermediate
        key = key or ec_key()
        names = tuple(names)
        own: list[Extension] = [
            (x509.BasicConstraints(False, None), True),
            (usage or key_usage("digital_signature"), True),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False),
            *extensions,
        ]
        if names:
            own.append((general_names(names), False))
        if purposes:
            own.append((x509.ExtendedKeyUsage(purposes), False))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self.sign(
            subject, key.public_key(), issuer.certificate.subject, issuer.key, own, not_before, not_after
        )
        if pss:
            certificate = _marked_for_pss(certificate, issuer.key)
        return Credential(certificate, key, issuer.to_present)

    def sign(
        self,
        subject: x509.Name,
        public_key: Any,
        issuer: x509.Name,
        issuer_key: Any,
        extensions: Iterable[Extension],
        not_before: timedelta = -DAY,
        not_after: timedelta = 90 * DAY,
        digest: hashes.HashAlgorithm | None = None,
    ) -> x509.Certificate:
        """Any certificate at all."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + not_before)
            .not_valid_after(self.now + not_after)
        )
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        edwards = isinstance(issuer_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(issuer_key, None if edwards else digest or hashes.SHA256())


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
_RSASSA_PSS = bytes.fromhex("300b06092a864886f70d01010a")
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def _marked_for_pss(certificate: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The same certificate with the OID of RSASSA-PSS before its RSA key, which the builder cannot write."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    marked = _der(0x30, _RSASSA_PSS, spki[spki.index(_RSA_ENCRYPTION) + len(_RSA_ENCRYPTION) :])
    tbs = certificate.tbs_certificate_bytes
    tbs = _der(0x30, tbs[4:].replace(spki, marked))  # its header is 30 82 and two bytes of length
    signature = issuer_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_certificate(_der(0x30, tbs, _ECDSA_WITH_SHA256, _der(0x03, b"\0", signature)))


@cache
def pki() -> PKI:
    """The hierarchy of this test run."""
    return PKI()
