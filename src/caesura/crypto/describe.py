"""Certificates described the way `ssl.SSLSocket.getpeercert()` describes them, for programs written against that shape.

Only a description: nothing here judges a certificate. Names and spellings are those of OpenSSL's printing functions,
which the standard library shows through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from caesura.crypto.certificates import Certificate, parse_certificate

RelativeName: TypeAlias = tuple[tuple[str, str], ...]

# The long names OpenSSL prints for attributes of a name; any other attribute is shown by its number.
_LONG_NAMES: Final = {
    NameOID.COMMON_NAME: "commonName",
    NameOID.COUNTRY_NAME: "countryName",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.DOMAIN_COMPONENT: "domainComponent",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.GIVEN_NAME: "givenName",
    NameOID.INITIALS: "initials",
    NameOID.JURISDICTION_COUNTRY_NAME: "jurisdictionCountryName",
    NameOID.JURISDICTION_LOCALITY_NAME: "jurisdictionLocalityName",
    NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "jurisdictionStateOrProvinceName",
    NameOID.BUSINESS_CATEGORY: "businessCategory",
    NameOID.LOCALITY_NAME: "localityName",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "organizationalUnitName",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
    NameOID.ORGANIZATION_NAME: "organizationName",
    NameOID.POSTAL_ADDRESS: "postalAddress",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.STATE_OR_PROVINCE_NAME: "stateOrProvinceName",
    NameOID.STREET_ADDRESS: "streetAddress",
    NameOID.SURNAME: "surname",
    NameOID.TITLE: "title",
    NameOID.UNSTRUCTURED_NAME: "unstructuredName",
    NameOID.USER_ID: "userId",
    NameOID.X500_UNIQUE_IDENTIFIER: "x500UniqueIdentifier",
}


def peercert_dict(der: bytes) -> dict[str, Any]:
    """What `getpeercert()` of the standard library returns for a verified certificate.

    Raises `BadCertificate` when the certificate, or an extension that is shown, cannot be parsed.
    """
    certificate = parse_certificate(der)
    native = certificate.native
    described: dict[str, Any] = {
        "subject": _name(native.subject),
        "issuer": _name(native.issuer),
        "version": native.version.value + 1,  # v3 is encoded as 2 (RFC 5280 section 4.1.2.1)
        "serialNumber": _serial_number(native.serial_number),
        "notBefore": _time(certificate.not_before),
        "notAfter": _time(certificate.not_after),
    }
    described.update((key, value) for key, value in _extensions(certificate) if value)
    return described


def _name(name: x509.Name) -> tuple[RelativeName, ...]:
    return tuple(
        tuple((_LONG_NAMES.get(each.oid, each.oid.dotted_string), _text(each.value)) for each in relative)
        for relative in name.rdns
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _serial_number(number: int) -> str:
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def _time(moment: datetime) -> str:
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.month - 1]
    return f"{month} {moment.day:2d} {moment:%H:%M:%S} {moment.year} GMT"


def _extensions(certificate: Certificate) -> Iterator[tuple[str, tuple[Any, ...]]]:
    alternative = certificate.extension(x509.SubjectAlternativeName)
    if alternative is not None:
        yield "subjectAltName", tuple(_general_name(each) for each in alternative)
    access = certificate.extension(x509.AuthorityInformationAccess)
    if access is not None:
        for key, method in (
            ("OCSP", AuthorityInformationAccessOID.OCSP),
            ("caIssuers", AuthorityInformationAccessOID.CA_ISSUERS),
        ):
            yield key, _locations(each.access_location for each in access if each.access_method == method)
    points = certificate.extension(x509.CRLDistributionPoints)
    if points is not None:
        yield "crlDistributionPoints", _locations(name for point in points for name in point.full_name or ())


def _locations(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))


def _general_name(name: x509.GeneralName) -> tuple[str, Any]:
    match name:
        case x509.DNSName():
            return "DNS", name.value
        case x509.IPAddress():
            return "IP Address", _address(name.value)
        case x509.RFC822Name():
            return "email", name.value
        case x509.UniformResourceIdentifier():
            return "URI", name.value
        case x509.DirectoryName():
            return "DirName", _name(name.value)
        case x509.RegisteredID():
            return "Registered ID", name.value.dotted_string
        case _:
            return "othername", "<unsupported>"


def _address(address: object) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        packed = address.packed
        return ":".join(f"{packed[i] << 8 | packed[i + 1]:X}" for i in range(0, 16, 2))  # never shortened with ::
    return str(address)
