"""Certificates in the standard library's words, with the standard library itself as the judge."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from caesura.crypto.describe import peercert_dict
from caesura.errors import BadCertificate

KEY = ec.generate_private_key(ec.SECP256R1())
PLAIN = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plain")])


def issue(
    subject: x509.Name = PLAIN,
    *extensions: x509.ExtensionType,
    serial: int = 0x0BADC0DE,
    before: datetime = datetime(2020, 1, 5, 9, 4, 3, tzinfo=UTC),
) -> x509.Certificate:
    """A self-signed certificate that a client may be made to trust."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(before)
        .not_valid_after(datetime(2120, 11, 25, 23, 59, 59, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def as_ssl_says(certificate: x509.Certificate, tmp_path: Any) -> dict[str, Any]:
    """`getpeercert()` after a handshake in memory with a server of this certificate."""
    pem = certificate.public_bytes(Encoding.PEM)
    both = tmp_path / "both.pem"
    both.write_bytes(pem + KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(both)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.load_verify_locations(cadata=pem.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    described = client.getpeercert()
    assert described is not None
    return described


ATTRIBUTES = [
    (NameOID.COUNTRY_NAME, "DE"),
    (NameOID.STATE_OR_PROVINCE_NAME, "Hessen"),
    (NameOID.LOCALITY_NAME, "Darmstadt"),
    (NameOID.ORGANIZATION_NAME, "Größenwahn"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "Keys"),
    (NameOID.COMMON_NAME, "example.test"),
    (NameOID.SERIAL_NUMBER, "17"),
    (NameOID.SURNAME, "S"),
    (NameOID.GIVEN_NAME, "G"),
    (NameOID.TITLE, "T"),
    (NameOID.INITIALS, "I"),
    (NameOID.GENERATION_QUALIFIER, "Q"),
    (NameOID.DN_QUALIFIER, "D"),
    (NameOID.PSEUDONYM, "P"),
    (NameOID.USER_ID, "U"),
    (NameOID.DOMAIN_COMPONENT, "test"),
    (NameOID.EMAIL_ADDRESS, "a@example.test"),
    (NameOID.STREET_ADDRESS, "A street"),
    (NameOID.POSTAL_CODE, "64289"),
    (NameOID.BUSINESS_CATEGORY, "B"),
    (NameOID.JURISDICTION_COUNTRY_NAME, "DE"),
    (NameOID.JURISDICTION_LOCALITY_NAME, "L"),
    (NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME, "S"),
    (NameOID.POSTAL_ADDRESS, "A box"),
    (NameOID.ORGANIZATION_IDENTIFIER, "VATDE-1"),
    (NameOID.UNSTRUCTURED_NAME, "N"),
    (x509.ObjectIdentifier("1.2.3.4.5"), "unknown"),
]


@pytest.mark.parametrize(("oid", "value"), ATTRIBUTES, ids=lambda each: getattr(each, "dotted_string", None))
def test_each_attribute_of_a_name(oid: x509.ObjectIdentifier, value: str, tmp_path: Any) -> None:
    certificate = issue(x509.Name([x509.NameAttribute(oid, value)]))
    assert peercert_dict(certificate.public_bytes(Encoding.DER)) == as_ssl_says(certificate, tmp_path)


def test_names_of_several_parts_and_extensions(tmp_path: Any) -> None:
    subject = x509.Name(
        [
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "NL")]),
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(NameOID.COMMON_NAME, "two"), x509.NameAttribute(NameOID.USER_ID, "in one")]
            ),
        ]
    )
    certificate = issue(
        subject,
        x509.SubjectAlternativeName(
            [
                x509.DNSName("example.test"),
                x509.DNSName("*.example.test"),
                x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
                x509.IPAddress(ipaddress.ip_address("2001:db8::ff00:42:8329")),
                x509.RFC822Name("a@example.test"),
                x509.UniformResourceIdentifier("https://example.test/a"),
                x509.DirectoryName(PLAIN),
                x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4.5")),
            ]
        ),
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(
                    AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp.example.test")
                ),
                x509.AccessDescription(
                    AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example.test/a")
                ),
            ]
        ),
        x509.CRLDistributionPoints(
            [
                x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.test/1")], None, None, None),
                x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.test/2")], None, None, None),
            ]
        ),
    )
    assert peercert_dict(certificate.public_bytes(Encoding.DER)) == as_ssl_says(certificate, tmp_path)


@pytest.mark.parametrize("serial", [1, 0xAB, 0xABC, 2**159 - 1])
def test_serial_numbers(serial: int, tmp_path: Any) -> None:
    certificate = issue(serial=serial)
    assert peercert_dict(certificate.public_bytes(Encoding.DER)) == as_ssl_says(certificate, tmp_path)


@pytest.mark.parametrize(
    "moment", [datetime(1999, 12, 31, 0, 0, 1, tzinfo=UTC), datetime(2015, 6, 9, 7, 8, 9, tzinfo=UTC)]
)
def test_moments(moment: datetime, tmp_path: Any) -> None:
    certificate = issue(before=moment)
    assert peercert_dict(certificate.public_bytes(Encoding.DER)) == as_ssl_says(certificate, tmp_path)


def test_what_is_no_certificate() -> None:
    with pytest.raises(BadCertificate):
        peercert_dict(b"\x30\x03\x02\x01\x05")
