"""Extensions: one table of code, format and the messages where each may stand (RFC 9846 section 4.3).

`Extensions` is what a message carries: codes and bytes in their order, decoded when asked for. `check` holds what can
be said without knowing the handshake: nothing in a wrong message, no answer to what was not asked, pre_shared_key last,
and every extension that we know well-formed, whether or not anybody will look at it. Which of them must be there, and
what they mean, is for the handshake.

Where one code has different formats in different messages, each has a constant of its own: `KEY_SHARE_CLIENT` stands in
a ClientHello, `KEY_SHARE_SERVER` in a ServerHello, `KEY_SHARE_RETRY` in a HelloRetryRequest.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, cast

from caesura.errors import DecodeError, IllegalParameter, UnsupportedExtension
from caesura.wire.codec import (
    EMPTY,
    REST,
    U8,
    U16,
    U32,
    Case,
    Checked,
    Codec,
    Enumerated,
    One,
    Opaque,
    Remembered,
    Select,
    Struct,
    Vector,
)
from caesura.wire.registries import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CertificateType,
    ECPointFormat,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    PskKeyExchangeMode,
    ServerNameType,
    SignatureScheme,
    SRTPProtectionProfile,
    Version,
)

T = TypeVar("T")

_OPAQUE16: Final = 2**16 - 1


class Extension(Generic[T]):
    """One row of the table: a code, the format of its extension_data, and the messages where that format stands."""

    __slots__ = ("code", "codec", "messages")

    def __init__(self, code: ExtensionType, codec: Codec[T], messages: frozenset[HandshakeType]) -> None:
        self.code: Final = code
        self.codec: Final = codec
        self.messages: Final = messages

    def __repr__(self) -> str:
        return f"<Extension {self.code.name} in {', '.join(sorted(message.name for message in self.messages))}>"

    def decode(self, data: bytes) -> T:
        """Return the value of an extension_data. Raises `DecodeError` or `IllegalParameter`."""
        try:
            return self.codec.decode(data)
        except DecodeError as error:
            raise self.named(error) from None

    def named(self, error: DecodeError) -> DecodeError:
        """The error of its format, saying where that stands."""
        return DecodeError(f"{self.code.name}: {error.strerror}")

    def encode(self, value: T) -> bytes:
        """Return the extension_data. Raises `ValueError` when the value is out of bounds."""
        return self.codec.encode(value)


class Extensions:
    """The extensions of one message, in their order."""

    __slots__ = ("_data", "_values")

    def __init__(self) -> None:
        self._data: dict[int, bytes] = {}
        self._values: dict[Extension[Any], Any] = {}

    # --- reading ---

    @property
    def codes(self) -> tuple[int, ...]:
        """The extension types, in their order."""
        return tuple(self._data)

    def __contains__(self, code: object) -> bool:
        return code in self._data

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extensions):
            return NotImplemented
        return list(self._data.items()) == list(other._data.items())

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        return f"<Extensions {' '.join(name_of(code) for code in self._data)}>"

    def get(self, extension: Extension[T]) -> T | None:
        """Return the extension's value, decoded once, or None. Raises `DecodeError` or `IllegalParameter`."""
        value: T | None = self._values.get(extension)
        if value is None and (data := self._data.get(extension.code)) is not None:
            value = self._values[extension] = extension.decode(data)
        return value

    def get_data(self, code: int) -> bytes | None:
        """Return the extension_data as it stands on the wire, or None."""
        return self._data.get(code)

    # --- building ---

    def put(self, extension: Extension[T], value: T) -> None:
        """Append the extension, or give it another value in its place."""
        code = extension.code
        known = code in self._data
        self._data[code] = extension.codec.encode(value)
        if known:
            self._forget(code)
        self._values[extension] = value

    def put_data(self, code: int, data: bytes) -> None:
        """Append an extension as bytes, or replace it in its place: for codes that are not in the table."""
        known = code in self._data
        self._data[code] = data
        if known:
            self._forget(code)

    def remove(self, code: int) -> None:
        """Take the extension out, if it is there."""
        if code in self._data:
            del self._data[code]
            self._forget(code)

    def freeze(self) -> None:
        """Refuse every change from now on with a TypeError: these are handed to several connections."""
        self._data = cast("dict[int, bytes]", MappingProxyType(self._data))

    def copy(self) -> Extensions:
        """Return extensions of the same content, to be changed independently."""
        other = Extensions()
        other._data.update(self._data)
        other._values.update(self._values)
        return other

    def _forget(self, code: int) -> None:
        for extension in [known for known in self._values if known.code == code]:
            del self._values[extension]

    # --- the wire ---

    def encode(self) -> bytes:
        """Return the field `extensions` with its length. Raises `ValueError` beyond 2^16-1 bytes."""
        return EXTENSIONS.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Extensions:
        """Read a field `extensions` with its length. Raises `DecodeError`, `IllegalParameter` for one that is twice."""
        return EXTENSIONS.decode(data)

    def check(self, message: HandshakeType, offered: Container[int] | None = None) -> None:
        """Hold the rules of RFC 9846 section 4.3 for extensions received in `message`.

        `offered` are the codes (or the `Extensions`) that this message answers; None where it answers nothing, as a
        ClientHello, CertificateRequest or NewSessionTicket, and then unknown extensions are ignored. Raises
        `IllegalParameter` for a known extension in a wrong message or pre_shared_key not last in a ClientHello,
        `UnsupportedExtension` for an answer that was not asked for, and what decoding raises.
        """
        rows = _ROWS[message]
        values = self._values
        asked = offered._data if isinstance(offered, Extensions) else offered
        for code, data in self._data.items():
            row = rows.get(code)
            if row is None and code in _KNOWN:
                raise IllegalParameter(f"{name_of(code)} in {message.name}", section="RFC 9846 section 4.3")
            if asked is not None and code not in asked and row is not COOKIE:  # which may come unasked
                raise UnsupportedExtension(f"{name_of(code)} was not offered", section="RFC 9846 section 4.3")
            if row is not None and row not in values:
                try:
                    values[row] = row.codec.decode(data)
                except DecodeError as error:
                    raise row.named(error) from None
        if PRE_SHARED_KEY_CLIENT in values and next(reversed(self._data)) != PRE_SHARED_KEY_CLIENT.code:
            raise IllegalParameter("pre_shared_key is not last", section="RFC 9846 section 4.3.11")


class _ExtensionsCodec(Codec[Extensions]):
    """`Extension extensions<minimum..2^16-1>`.

    `optional`: at the end of a hello, where before TLS 1.3 the whole field may be missing (RFC 9846 section 4.2.2).
    `frozen`: what is read can no more be changed.
    """

    __slots__ = ("_frozen", "_optional")

    _HEAD: Final = struct.Struct(">HH")  # extension_type, length of extension_data

    def __init__(self, *, optional: bool = False, frozen: bool = False) -> None:
        self._optional = optional
        self._frozen = frozen

    def read(self, data: bytes, pos: int) -> tuple[Extensions, int]:
        extensions = Extensions()
        if self._optional and pos == len(data):
            return extensions, pos
        length, pos = U16.read(data, pos)
        end = pos + length
        if end > len(data):
            raise DecodeError(f"cut short: {length} bytes needed, {len(data) - pos} there")
        found, unpack = extensions._data, self._HEAD.unpack_from
        while end - pos >= 4:
            code, length = unpack(data, pos)
            start = pos + 4
            pos = start + length
            if code in found:
                raise IllegalParameter(f"{name_of(code)} twice", section="RFC 9846 section 4.3")
            found[code] = data[start:pos]
        if pos != end:  # a short head is left over, or the last extension_data points outside
            raise DecodeError("an extension is cut short")
        if self._frozen:
            extensions.freeze()
        return extensions, end

    def encode(self, value: Extensions) -> bytes:
        if self._optional and not value._data:
            return b""
        pack = self._HEAD.pack
        return _EXTENSIONS_BODY.encode(b"".join([pack(code, len(data)) + data for code, data in value._data.items()]))


_EXTENSIONS_BODY: Final = Opaque(0, _OPAQUE16)
EXTENSIONS: Final = _ExtensionsCodec()
FROZEN_EXTENSIONS: Final = _ExtensionsCodec(frozen=True)
HELLO_EXTENSIONS: Final = _ExtensionsCodec(optional=True)


def name_of(code: int) -> str:
    """Return an extension's name in the registry, or its number."""
    try:
        return ExtensionType(code).name
    except ValueError:
        return f"extension {code:#06x}"


# --- values that are more than a number or a list ------------------------------------------------------------------


@dataclass(slots=True)
class KeyShareEntry:
    """One key share (RFC 9846 section 4.3.8)."""

    group: int
    key_exchange: bytes


@dataclass(slots=True)
class UseSRTP:
    """What SRTP may protect with, and perhaps an identifier of its keys (RFC 5764 section 4.1.1)."""

    profiles: tuple[int, ...]
    mki: bytes


USE_SRTP_DATA: Final = Struct(
    UseSRTP,
    profiles=Vector(Enumerated(SRTPProtectionProfile, U16), 2, 2**16 - 1),
    mki=Opaque(0, 255),
)


@dataclass(slots=True)
class PskIdentity:
    """A label for a key (RFC 9846 section 4.3.11); the age is in milliseconds, plus ticket_age_add, modulo 2^32."""

    identity: bytes
    obfuscated_ticket_age: int


@dataclass(slots=True)
class OfferedPsks:
    """What a client offers in pre_shared_key, one binder for each identity (RFC 9846 section 4.3.11)."""

    identities: tuple[PskIdentity, ...]
    binders: tuple[bytes, ...]


@dataclass(slots=True)
class OIDFilter:
    """A certificate extension that the client's certificate shall have, both parts in DER (RFC 9846 section 4.3.5)."""

    certificate_extension_oid: bytes
    certificate_extension_values: bytes


@dataclass(frozen=True, slots=True)
class OCSPStatusRequest:
    """Which OCSP responders a client trusts, and extensions for them, in DER (RFC 6066 section 8)."""

    responder_id_list: tuple[bytes, ...] = ()
    request_extensions: bytes = b""


@dataclass(frozen=True, slots=True)
class CertificateStatusRequest:
    """A client's wish for a certificate status (RFC 6066 section 8); of an unknown type the request stays bytes."""

    status_type: int
    request: OCSPStatusRequest | bytes


class _HostName(Codec[str]):
    """`opaque HostName<1..2^16-1>`: a DNS name in ASCII without a trailing dot (RFC 6066 section 3).

    Only visible characters are let through: a NUL or a line feed in a name that later reaches a C library, a log or a
    file name has been an attack more than once.
    """

    __slots__ = ()

    _BYTES: Final = Opaque(1, _OPAQUE16)
    _VISIBLE: Final = bytes(range(0x21, 0x7F))

    def read(self, data: bytes, pos: int) -> tuple[str, int]:
        name, stop = self._BYTES.read(data, pos)
        if not self._is_host_name(name):
            raise DecodeError("a host name is visible ASCII without a trailing dot")
        return name.decode(), stop

    def encode(self, value: str) -> bytes:
        name = value.encode("ascii")
        if not self._is_host_name(name):
            raise ValueError(f"{value!r}: a host name is visible ASCII without a trailing dot")
        return self._BYTES.encode(name)

    def _is_host_name(self, name: bytes) -> bool:
        return not name.translate(None, self._VISIBLE) and not name.endswith(b".")


# --- rules that bytes alone do not say ------------------------------------------------------------------------------


def _one_share_for_each_group(shares: tuple[KeyShareEntry, ...]) -> None:
    if len({share.group for share in shares}) != len(shares):
        raise IllegalParameter("two key shares for one group", section="RFC 9846 section 4.3.8")


def _one_filter_for_each_oid(filters: tuple[OIDFilter, ...]) -> None:
    if len({each.certificate_extension_oid for each in filters}) != len(filters):
        raise IllegalParameter("two filters for one certificate extension", section="RFC 9846 section 4.3.5")


def _each_algorithm_once(algorithms: tuple[int, ...]) -> None:
    if len(set(algorithms)) != len(algorithms):
        raise IllegalParameter("a compression algorithm twice", section="RFC 8879 section 3")


def _more_than_the_default(types: tuple[int, ...]) -> None:
    if types == (CertificateType.X509,):
        raise IllegalParameter("certificate types that are nothing but the default", section="RFC 7250 section 4.1")


def _at_least_64(limit: int) -> None:
    if limit < 64:
        raise IllegalParameter(f"a record size limit of {limit}", section="RFC 8449 section 4")


# --- formats ---------------------------------------------------------------------------------------------------------

_PROTOCOL_VERSION: Final = Enumerated((Version.TLS12, Version.TLS13, Version.DTLS12, Version.DTLS13), U16)
_GROUP: Final = Enumerated(NamedGroup, U16)
_SCHEMES: Final = Remembered(Vector(Enumerated(SignatureScheme, U16), 2, 2**16 - 2))
_PROTOCOL_NAMES: Final = Vector(Opaque(1, 255), 2, _OPAQUE16)
_CERTIFICATE_TYPE: Final = Enumerated(CertificateType, U8)
_CERTIFICATE_TYPES: Final = Checked(Vector(_CERTIFICATE_TYPE, 1, 255), _more_than_the_default)

KEY_SHARE_ENTRY: Final = Struct(
    KeyShareEntry,
    group=_GROUP,
    key_exchange=Opaque(1, _OPAQUE16),
)
PSK_IDENTITY: Final = Struct(
    PskIdentity,
    identity=Opaque(1, _OPAQUE16),
    obfuscated_ticket_age=U32,
)
OFFERED_PSKS: Final = Struct(
    OfferedPsks,
    identities=Vector(PSK_IDENTITY, 7, _OPAQUE16),
    binders=Vector(Opaque(32, 255), 33, _OPAQUE16),
)
OID_FILTER: Final = Struct(
    OIDFilter,
    certificate_extension_oid=Opaque(1, 255),
    certificate_extension_values=Opaque(0, _OPAQUE16),
)
OCSP_STATUS_REQUEST: Final = Struct(
    OCSPStatusRequest,
    responder_id_list=Vector(Opaque(1, _OPAQUE16), 0, _OPAQUE16),
    request_extensions=Opaque(0, _OPAQUE16),
)
CERTIFICATE_STATUS_REQUEST: Final = Select(
    CertificateStatusRequest,
    Enumerated(CertificateStatusType, U8),
    {CertificateStatusType.ocsp: OCSP_STATUS_REQUEST},
)

# --- the table -------------------------------------------------------------------------------------------------------

_CH: Final = HandshakeType.client_hello
_SH: Final = HandshakeType.server_hello
_HRR: Final = HandshakeType.hello_retry_request
_EE: Final = HandshakeType.encrypted_extensions
_CR: Final = HandshakeType.certificate_request
_CT: Final = HandshakeType.certificate
_NST: Final = HandshakeType.new_session_ticket

_ROWS: Final[dict[HandshakeType, dict[int, Extension[Any]]]] = {
    message: {} for message in (_CH, _SH, _HRR, _EE, _CR, _CT, _NST)
}
_KNOWN: Final[set[int]] = set()


def _row(code: ExtensionType, codec: Codec[T], *messages: HandshakeType) -> Extension[T]:
    extension = Extension(code, codec, frozenset(messages))
    _KNOWN.add(code)
    for message in messages:
        if _ROWS[message].setdefault(code, extension) is not extension:
            raise TypeError(f"{code.name} has two formats in {message.name}")
    return extension


_X = ExtensionType

# RFC 9846 sections 4.3.1 to 4.3.11
SUPPORTED_VERSIONS_CLIENT: Final = _row(_X.supported_versions, Remembered(Vector(_PROTOCOL_VERSION, 2, 254)), _CH)
SUPPORTED_VERSIONS_SERVER: Final = _row(_X.supported_versions, Remembered(_PROTOCOL_VERSION), _SH, _HRR)
COOKIE: Final = _row(_X.cookie, Opaque(1, _OPAQUE16), _CH, _HRR)
SIGNATURE_ALGORITHMS: Final = _row(_X.signature_algorithms, _SCHEMES, _CH, _CR)
SIGNATURE_ALGORITHMS_CERT: Final = _row(_X.signature_algorithms_cert, _SCHEMES, _CH, _CR)
CERTIFICATE_AUTHORITIES: Final = _row(_X.certificate_authorities, Vector(Opaque(1, _OPAQUE16), 3, _OPAQUE16), _CH, _CR)
OID_FILTERS: Final = _row(_X.oid_filters, Checked(Vector(OID_FILTER, 0, _OPAQUE16), _one_filter_for_each_oid), _CR)
POST_HANDSHAKE_AUTH: Final = _row(_X.post_handshake_auth, EMPTY, _CH)
SUPPORTED_GROUPS: Final = _row(_X.supported_groups, Remembered(Vector(_GROUP, 2, _OPAQUE16)), _CH, _EE)
KEY_SHARE_CLIENT: Final = _row(
    _X.key_share, Checked(Vector(KEY_SHARE_ENTRY, 0, _OPAQUE16), _one_share_for_each_group), _CH
)
KEY_SHARE_SERVER: Final = _row(_X.key_share, KEY_SHARE_ENTRY, _SH)
KEY_SHARE_RETRY: Final = _row(_X.key_share, _GROUP, _HRR)
PSK_KEY_EXCHANGE_MODES: Final = _row(
    _X.psk_key_exchange_modes, Remembered(Vector(Enumerated(PskKeyExchangeMode, U8), 1, 255)), _CH
)
EARLY_DATA: Final = _row(_X.early_data, EMPTY, _CH, _EE)
EARLY_DATA_TICKET: Final = _row(_X.early_data, U32, _NST)
PRE_SHARED_KEY_CLIENT: Final = _row(_X.pre_shared_key, OFFERED_PSKS, _CH)
PRE_SHARED_KEY_SERVER: Final = _row(_X.pre_shared_key, U16, _SH)

# RFC 6066 sections 3 and 8 as RFC 9846 section 4.5.1.1 uses them, RFC 6962 section 3.3
SERVER_NAME: Final = _row(
    _X.server_name, Remembered(One(Vector(Case(U8, ServerNameType.host_name, _HostName()), 1, _OPAQUE16))), _CH, _CR
)
SERVER_NAME_ACCEPTED: Final = _row(_X.server_name, EMPTY, _EE)
STATUS_REQUEST: Final = _row(_X.status_request, Remembered(CERTIFICATE_STATUS_REQUEST), _CH)
STATUS_REQUEST_SERVER: Final = _row(_X.status_request, EMPTY, _CR)
STATUS_RESPONSE: Final = _row(_X.status_request, Case(U8, CertificateStatusType.ocsp, Opaque(1, 2**24 - 1)), _CT)
SIGNED_CERTIFICATE_TIMESTAMP: Final = _row(_X.signed_certificate_timestamp, EMPTY, _CH, _CR)
SIGNED_CERTIFICATE_TIMESTAMP_LIST: Final = _row(
    _X.signed_certificate_timestamp, Vector(Opaque(1, _OPAQUE16), 1, _OPAQUE16), _CT
)

# RFC 7301, 7250, 8879, 8449, 7685. A server chooses one protocol and one certificate type.
ALPN: Final = _row(_X.application_layer_protocol_negotiation, Remembered(_PROTOCOL_NAMES), _CH)
ALPN_SERVER: Final = _row(_X.application_layer_protocol_negotiation, Remembered(One(_PROTOCOL_NAMES)), _EE)
CLIENT_CERTIFICATE_TYPES: Final = _row(_X.client_certificate_type, _CERTIFICATE_TYPES, _CH)
CLIENT_CERTIFICATE_TYPE: Final = _row(_X.client_certificate_type, _CERTIFICATE_TYPE, _EE)
SERVER_CERTIFICATE_TYPES: Final = _row(_X.server_certificate_type, _CERTIFICATE_TYPES, _CH)
SERVER_CERTIFICATE_TYPE: Final = _row(_X.server_certificate_type, _CERTIFICATE_TYPE, _EE)
COMPRESS_CERTIFICATE: Final = _row(
    _X.compress_certificate,
    Checked(Vector(Enumerated(CertificateCompressionAlgorithm, U16), 2, 254), _each_algorithm_once),
    _CH,
    _CR,
)
RECORD_SIZE_LIMIT: Final = _row(_X.record_size_limit, Checked(U16, _at_least_64), _CH, _EE)
PADDING: Final = _row(_X.padding, REST, _CH)

# RFC 9001 section 8.2, QUIC only
QUIC_TRANSPORT_PARAMETERS: Final = _row(_X.quic_transport_parameters, REST, _CH, _EE)

# RFC 9146 section 3, DTLS only: the connection id that the sender wants to receive; empty if it wants none.
USE_SRTP: Final = _row(_X.use_srtp, USE_SRTP_DATA, _CH, _EE)
CONNECTION_ID: Final = _row(_X.connection_id, Opaque(0, 255), _CH, _SH)

# What a client that also speaks TLS 1.2 adds: RFC 7627, 5746, 5077, 8422. None of it stands in TLS 1.3's own messages.
EXTENDED_MASTER_SECRET: Final = _row(_X.extended_master_secret, EMPTY, _CH)
RENEGOTIATION_INFO: Final = _row(_X.renegotiation_info, Opaque(0, 255), _CH)
SESSION_TICKET: Final = _row(_X.session_ticket, REST, _CH)
EC_POINT_FORMATS: Final = _row(_X.ec_point_formats, Remembered(Vector(Enumerated(ECPointFormat, U8), 1, 255)), _CH)

TABLE: Final = tuple(dict.fromkeys(row for rows in _ROWS.values() for row in rows.values()))
"""Every row once."""
