"""The handshake messages that TLS 1.2 writes in its own way, field by field (RFC 5246, RFC 8422, RFC 5077, RFC 6066).

ClientHello, ServerHello, CertificateVerify and Finished are those of `messages`. The others have the RFC's names here
too, so that a module imports them from the version it speaks. Key exchange is by elliptic curves alone: the formats of
other key exchanges are not read, as no suite that needs them is ever agreed to.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, Final

from caesura.errors import IllegalParameter, UnsupportedExtension
from caesura.wire.codec import U8, U16, U32, Case, Codec, Enumerated, Opaque, Remembered, Struct, Vector
from caesura.wire.extensions import (
    ALPN_SERVER,
    CLIENT_CERTIFICATE_TYPE,
    CONNECTION_ID,
    EC_POINT_FORMATS,
    EXTENDED_MASTER_SECRET,
    RECORD_SIZE_LIMIT,
    RENEGOTIATION_INFO,
    SERVER_CERTIFICATE_TYPE,
    SERVER_NAME_ACCEPTED,
    SESSION_TICKET,
    SIGNED_CERTIFICATE_TIMESTAMP_LIST,
    STATUS_REQUEST_SERVER,
    SUPPORTED_GROUPS,
    USE_SRTP,
    Extension,
    Extensions,
    name_of,
)
from caesura.wire.messages import HandshakeMessage
from caesura.wire.registries import (
    CertificateStatusType,
    ClientCertificateType,
    ECCurveType,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
)


@dataclass(slots=True)
class HelloRequest(HandshakeMessage):
    """RFC 5246 section 7.4.1.1: a server's wish for another handshake. It is never part of a transcript."""

    msg_type = HandshakeType.hello_request


HelloRequest.codec = Struct(HelloRequest)


@dataclass(slots=True)
class Certificate(HandshakeMessage):
    """RFC 5246 sections 7.4.2 and 7.4.6. A client without a certificate sends an empty list; a server must not."""

    msg_type = HandshakeType.certificate

    certificate_list: tuple[bytes, ...]  # DER, leaf first


Certificate.codec = Struct(
    Certificate,
    # As in TLS 1.3: a server's chain is read once, and is the same object every time it comes.
    certificate_list=Vector(Remembered(Opaque(1, 2**24 - 1), longest=8192, writing=False), 0, 2**24 - 1),
)


@dataclass(slots=True)
class RawPublicKeyCertificate(HandshakeMessage):
    """RFC 7250 section 3: the Certificate where raw public keys were agreed, which has no list around the one key.

    A client without a key sends no bytes, which is what an empty list looks like too; a server must not.
    """

    msg_type = HandshakeType.certificate

    subject_public_key_info: bytes  # DER


RawPublicKeyCertificate.codec = Struct(
    RawPublicKeyCertificate,
    subject_public_key_info=Opaque(0, 2**24 - 1),
)


@dataclass(slots=True)
class CertificateStatus(HandshakeMessage):
    """RFC 6066 section 8: an OCSP response for the server's certificate, in DER."""

    msg_type = HandshakeType.certificate_status

    response: bytes


CertificateStatus.codec = Struct(
    CertificateStatus,
    response=Case(U8, CertificateStatusType.ocsp, Opaque(1, 2**24 - 1)),
)


# --- key exchange (RFC 8422 sections 5.4 and 5.7) ------------------------------------------------------------------


@dataclass(slots=True)
class ServerECDHParams:
    """The server's half of the key exchange: what its signature covers, behind both randoms. It does not change."""

    named_curve: int  # explicit curves are read no more
    public: bytes
    raw: bytes = field(init=False, default=b"", compare=False, repr=False)

    def encode(self) -> bytes:
        """The bytes that are signed, as they were received or encoded the first time."""
        if not self.raw:
            self.raw = _PARAMS.encode(self)
        return self.raw


_PARAMS: Final = Struct(
    ServerECDHParams,
    named_curve=Case(U8, ECCurveType.named_curve, Enumerated(NamedGroup, U16)),
    public=Opaque(1, 2**8 - 1),
)


class _ParamsCodec(Codec[ServerECDHParams]):
    """The same bytes are signed and stand in a message."""

    __slots__ = ()

    def read(self, data: bytes, pos: int) -> tuple[ServerECDHParams, int]:
        params, stop = _PARAMS.read(data, pos)
        params.raw = data[pos:stop]
        return params, stop

    def encode(self, value: ServerECDHParams) -> bytes:
        return value.encode()


SERVER_ECDH_PARAMS: Final = _ParamsCodec()


@dataclass(slots=True)
class ServerKeyExchange(HandshakeMessage):
    """RFC 8422 section 5.4, with the signature's algorithm as RFC 5246 section 4.7 has it."""

    msg_type = HandshakeType.server_key_exchange

    params: ServerECDHParams
    algorithm: int
    signature: bytes


ServerKeyExchange.codec = Struct(
    ServerKeyExchange,
    params=SERVER_ECDH_PARAMS,
    algorithm=Enumerated(SignatureScheme, U16),
    signature=Opaque(0, 2**16 - 1),
)


@dataclass(slots=True)
class CertificateRequest(HandshakeMessage):
    """RFC 5246 section 7.4.4."""

    msg_type = HandshakeType.certificate_request

    certificate_types: tuple[int, ...]
    supported_signature_algorithms: tuple[int, ...]
    certificate_authorities: tuple[bytes, ...]  # distinguished names in DER


CertificateRequest.codec = Struct(
    CertificateRequest,
    certificate_types=Vector(Enumerated(ClientCertificateType, U8), 1, 2**8 - 1),
    supported_signature_algorithms=Vector(Enumerated(SignatureScheme, U16), 2, 2**16 - 2),
    certificate_authorities=Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1),
)


@dataclass(slots=True)
class ServerHelloDone(HandshakeMessage):
    """RFC 5246 section 7.4.5."""

    msg_type = HandshakeType.server_hello_done


ServerHelloDone.codec = Struct(ServerHelloDone)


@dataclass(slots=True)
class ClientKeyExchange(HandshakeMessage):
    """RFC 8422 section 5.7: the client's half of the key exchange."""

    msg_type = HandshakeType.client_key_exchange

    public: bytes


ClientKeyExchange.codec = Struct(
    ClientKeyExchange,
    public=Opaque(1, 2**8 - 1),
)


# --- pre-shared keys (RFC 4279 section 2, RFC 5489 section 2) -------------------------------------------------------


@dataclass(slots=True)
class PSKServerKeyExchange(HandshakeMessage):
    """RFC 4279 section 2: a hint which key the client should use. Without one there is no message."""

    msg_type = HandshakeType.server_key_exchange

    psk_identity_hint: bytes


PSKServerKeyExchange.codec = Struct(
    PSKServerKeyExchange,
    psk_identity_hint=Opaque(0, 2**16 - 1),
)


@dataclass(slots=True)
class PSKClientKeyExchange(HandshakeMessage):
    """RFC 4279 section 2: which key the client uses."""

    msg_type = HandshakeType.client_key_exchange

    psk_identity: bytes


PSKClientKeyExchange.codec = Struct(
    PSKClientKeyExchange,
    psk_identity=Opaque(0, 2**16 - 1),
)


@dataclass(slots=True)
class ECDHEPSKServerKeyExchange(HandshakeMessage):
    """RFC 5489 section 2: the hint, which may be empty, and the server's share, which nobody signs."""

    msg_type = HandshakeType.server_key_exchange

    psk_identity_hint: bytes
    params: ServerECDHParams


ECDHEPSKServerKeyExchange.codec = Struct(
    ECDHEPSKServerKeyExchange,
    psk_identity_hint=Opaque(0, 2**16 - 1),
    params=SERVER_ECDH_PARAMS,
)


@dataclass(slots=True)
class ECDHEPSKClientKeyExchange(HandshakeMessage):
    """RFC 5489 section 2: which key the client uses, and its share."""

    msg_type = HandshakeType.client_key_exchange

    psk_identity: bytes
    public: bytes


ECDHEPSKClientKeyExchange.codec = Struct(
    ECDHEPSKClientKeyExchange,
    psk_identity=Opaque(0, 2**16 - 1),
    public=Opaque(1, 2**8 - 1),
)


@dataclass(slots=True)
class NewSessionTicket(HandshakeMessage):
    """RFC 5077 section 3.3. An empty ticket: the server has changed its mind. The hint is in seconds, 0 for none."""

    msg_type = HandshakeType.new_session_ticket

    ticket_lifetime_hint: int
    ticket: bytes


NewSessionTicket.codec = Struct(
    NewSessionTicket,
    ticket_lifetime_hint=U32,
    ticket=Opaque(0, 2**16 - 1),
)


# --- the extensions of a ServerHello ---------------------------------------------------------------------------------

SERVER_HELLO: Final[dict[int, Extension[Any]]] = {
    row.code: row
    for row in (
        SERVER_NAME_ACCEPTED,  # RFC 6066 section 3
        STATUS_REQUEST_SERVER,  # RFC 6066 section 8
        SIGNED_CERTIFICATE_TIMESTAMP_LIST,  # RFC 6962 section 3.3.1
        EC_POINT_FORMATS,  # RFC 8422 section 5.2
        ALPN_SERVER,  # RFC 7301 section 3.1
        EXTENDED_MASTER_SECRET,  # RFC 7627 section 5.1
        RECORD_SIZE_LIMIT,  # RFC 8449 section 4
        CONNECTION_ID,  # RFC 9146 section 3
        USE_SRTP,  # RFC 5764 section 4.1
        SESSION_TICKET,  # RFC 5077 section 3.2
        RENEGOTIATION_INFO,  # RFC 5746 section 3.2
        CLIENT_CERTIFICATE_TYPE,  # RFC 7250 section 3
        SERVER_CERTIFICATE_TYPE,
        SUPPORTED_GROUPS,  # has no meaning there, but servers are known to send it
    )
}
"""What may stand in a ServerHello of TLS 1.2, where TLS 1.3 has EncryptedExtensions. Their formats are the same."""


def check_server_hello_extensions(extensions: Extensions, offered: Container[int]) -> None:
    """Hold for a ServerHello of TLS 1.2 what `Extensions.check` holds for the messages of TLS 1.3.

    Raises `UnsupportedExtension` for an answer to what was not offered (RFC 5246 section 7.4.1.4), `IllegalParameter`
    for an extension that has no place there, and what decoding raises.
    """
    for code in extensions.codes:
        if code not in offered:
            raise UnsupportedExtension(f"{name_of(code)} was not offered", section="RFC 5246 section 7.4.1.4")
        row = SERVER_HELLO.get(code)
        if row is None:
            raise IllegalParameter(f"{name_of(code)} in a server_hello of TLS 1.2", section="RFC 9846 section 4.3")
        extensions.get(row)
