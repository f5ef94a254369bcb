"""The handshake messages of TLS 1.3, field by field as RFC 9846 section 4 has them.

Each message is a plain record with its format declared below it. A HelloRetryRequest is a `ServerHello` whose random
says so. Messages that another version writes differently are other classes with the same `msg_type`; which class is
read is decided by whoever knows the version, never by looking at bytes. What a message means, and whether it may come
now, is for the handshake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self, TypeVar

from caesura.errors import DecodeError, UnexpectedMessage
from caesura.wire.codec import (
    REST,
    U8,
    U16,
    U24,
    U32,
    ClosedEnumerated,
    Codec,
    Enumerated,
    Fixed,
    Opaque,
    Remembered,
    Struct,
    Vector,
)
from caesura.wire.data import Data
from caesura.wire.extensions import EXTENSIONS, FROZEN_EXTENSIONS, HELLO_EXTENSIONS, PRE_SHARED_KEY_CLIENT, Extensions
from caesura.wire.registries import (
    CertificateCompressionAlgorithm,
    CipherSuite,
    HandshakeType,
    KeyUpdateRequest,
    SignatureScheme,
)

HEADER_LENGTH: Final = 4
"""Bytes of msg_type and length, which stand before every handshake message (RFC 9846 section 4)."""

HELLO_RETRY_REQUEST_RANDOM: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest: the SHA-256 of that word (RFC 9846 section 4.2.3)."""

DOWNGRADE_TLS12: Final = b"DOWNGRD\x01"
DOWNGRADE_TLS11: Final = b"DOWNGRD\x00"
"""How the random of a server ends that speaks TLS 1.3 and has agreed to an older version (RFC 9846 section 4.2.3)."""

M = TypeVar("M", bound="HandshakeMessage")


@dataclass(slots=True)
class HandshakeMessage:
    """What all messages have in common."""

    msg_type: ClassVar[HandshakeType]
    codec: ClassVar[Codec[Any]]

    raw: bytes = field(init=False, default=b"", compare=False, repr=False)
    """The whole message with its header, as it was received or last encoded: what the transcript takes.

    What was received over DTLS 1.2 behind the hellos has the header of DTLS (RFC 6347 section 4.2.6)."""

    def encode(self) -> bytes:
        """Return the message with its header, and keep it in `raw`. Raises `ValueError` for a field out of bounds."""
        self.raw = _with_header(self.msg_type, self.codec.encode(self))
        return self.raw

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a message without its header. Raises `DecodeError` or `IllegalParameter`."""
        message: Self = cls.codec.decode(body)
        message.raw = _with_header(cls.msg_type, body)
        return message


def decode_message(cls: type[M], raw: bytes) -> M:
    """Read one whole message with its header as a `cls`.

    Raises `UnexpectedMessage` for another type, `DecodeError` for a length that is not that of `raw`, and what the
    format raises.
    """
    if len(raw) < HEADER_LENGTH or int.from_bytes(raw[1:4], "big") != len(raw) - HEADER_LENGTH:
        raise DecodeError("a handshake message is not as long as it says", section="RFC 9846 section 4")
    if raw[0] != cls.msg_type:
        raise UnexpectedMessage(f"message type {raw[0]} where {cls.__name__} must stand", section="RFC 9846 section 4")
    return read_message(cls, raw)


def read_message(cls: type[M], raw: bytes, header: int = HEADER_LENGTH) -> M:
    """The same for a message whose type and length are known to be right, and whose header has `header` bytes."""
    message: M
    message, stop = cls.codec.read(raw, header)
    if stop != len(raw):
        raise DecodeError(f"{len(raw) - stop} bytes left over in a {cls.__name__}")
    message.raw = raw
    return message


def message_length(data: Data, pos: int = 0) -> int | None:
    """Return the length with header, in bytes, of the message that begins at `pos`; None while its header is cut short.

    Known as soon as four bytes are there, so that a message too long to be wanted need not be collected first.
    """
    if len(data) - pos < HEADER_LENGTH:
        return None
    return HEADER_LENGTH + int.from_bytes(data[pos + 1 : pos + HEADER_LENGTH], "big")


def message_hash(digest: bytes) -> bytes:
    """Return the synthetic message that stands for the first ClientHello after a retry (RFC 9846 section 4.1)."""
    return _with_header(HandshakeType.message_hash, digest)


def _with_header(msg_type: HandshakeType, body: bytes) -> bytes:
    if len(body) >= 2**24:
        raise ValueError(f"a {msg_type.name} of {len(body)} bytes")
    return (msg_type << 24 | len(body)).to_bytes(HEADER_LENGTH, "big") + body


# --- key exchange messages (section 4.2) ---------------------------------------------------------------------------


@dataclass(slots=True)
class ClientHello(HandshakeMessage):
    """RFC 9846 section 4.2.2. A hello without `extensions`, as old clients send it, has empty ones.

    `legacy_cookie` is on the wire of DTLS only, where this is a `DTLSClientHello`; with TLS it is always empty.
    """

    msg_type = HandshakeType.client_hello

    legacy_version: int
    random: bytes
    legacy_session_id: bytes
    cipher_suites: tuple[int, ...]
    legacy_compression_methods: bytes
    extensions: Extensions
    legacy_cookie: bytes = field(init=False, default=b"")

    def without_binders(self, raw: bytes) -> bytes:
        """Return `raw`, this hello with its header, up to and including the PSK identities (RFC 9846 section 4.3.11.2).

        That is what the binders are computed over: everything before them, lengths as if they were there. Binders of
        the right lengths must already stand in pre_shared_key, which is last. Raises `ValueError` when there is none.
        """
        offered = self.extensions.get(PRE_SHARED_KEY_CLIENT)
        if offered is None:
            raise ValueError("a hello without pre_shared_key has no binders")
        return raw[: -2 - sum(1 + len(binder) for binder in offered.binders)]


# The lower bounds of `extensions` (7, and 6 in a ServerHello) hold for TLS 1.3 alone, and follow there from
# supported_versions, which must be present; an older hello may have fewer, or no such field.
CLIENT_HELLO: Final = Struct(
    ClientHello,
    legacy_version=U16,
    random=Fixed(32),
    legacy_session_id=Opaque(0, 32),
    cipher_suites=Vector(Remembered(Enumerated(CipherSuite, U16)), 2, 2**16 - 2),
    legacy_compression_methods=Opaque(1, 2**8 - 1),
    extensions=HELLO_EXTENSIONS,
)
ClientHello.codec = CLIENT_HELLO


@dataclass(slots=True)
class ServerHello(HandshakeMessage):
    """RFC 9846 section 4.2.3, and HelloRetryRequest, section 4.2.4."""

    msg_type = HandshakeType.server_hello

    legacy_version: int
    random: bytes
    legacy_session_id_echo: bytes
    cipher_suite: int
    legacy_compression_method: int
    extensions: Extensions

    @property
    def is_retry(self) -> bool:
        """Whether this is a HelloRetryRequest: then its extensions are checked as `hello_retry_request`."""
        return self.random == HELLO_RETRY_REQUEST_RANDOM


ServerHello.codec = Struct(
    ServerHello,
    legacy_version=U16,
    random=Fixed(32),
    legacy_session_id_echo=Opaque(0, 32),
    cipher_suite=Enumerated(CipherSuite, U16),
    legacy_compression_method=U8,
    extensions=HELLO_EXTENSIONS,
)


# --- server parameters (section 4.4) -------------------------------------------------------------------------------


@dataclass(slots=True)
class EncryptedExtensions(HandshakeMessage):
    """RFC 9846 section 4.4.1."""

    msg_type = HandshakeType.encrypted_extensions

    extensions: Extensions


EncryptedExtensions.codec = Struct(
    EncryptedExtensions,
    extensions=EXTENSIONS,
)


@dataclass(slots=True)
class CertificateRequest(HandshakeMessage):
    """RFC 9846 section 4.4.2."""

    msg_type = HandshakeType.certificate_request

    certificate_request_context: bytes
    extensions: Extensions


CertificateRequest.codec = Struct(
    CertificateRequest,
    certificate_request_context=Opaque(0, 2**8 - 1),
    extensions=EXTENSIONS,
)


# --- authentication messages (section 4.5) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """One certificate in DER, or a SubjectPublicKeyInfo where raw public keys were agreed (RFC 9846 section 4.5.1).

    One that was received cannot be changed, nor can its extensions: other connections may have got the same.
    """

    cert_data: bytes
    extensions: Extensions = field(default_factory=Extensions)


CERTIFICATE_ENTRY: Final = Struct(
    CertificateEntry,
    cert_data=Opaque(1, 2**24 - 1),
    extensions=FROZEN_EXTENSIONS,
)


@dataclass(slots=True)
class Certificate(HandshakeMessage):
    """RFC 9846 section 4.5.1. A client without a certificate sends an empty list; a server must not."""

    msg_type = HandshakeType.certificate

    certificate_request_context: bytes
    certificate_list: tuple[CertificateEntry, ...]


Certificate.codec = Struct(
    Certificate,
    certificate_request_context=Opaque(0, 2**8 - 1),
    # The chains of the servers that a client keeps talking to. Longer ones are rare, and must not fill the memory.
    certificate_list=Vector(Remembered(CERTIFICATE_ENTRY, longest=8192, writing=False), 0, 2**24 - 1),
)


@dataclass(slots=True)
class CompressedCertificate(HandshakeMessage):
    """RFC 8879 section 4: the body of a Certificate, and how long it is when it is unpacked."""

    msg_type = HandshakeType.compressed_certificate

    algorithm: int
    uncompressed_length: int
    compressed_certificate_message: bytes


CompressedCertificate.codec = Struct(
    CompressedCertificate,
    algorithm=Enumerated(CertificateCompressionAlgorithm, U16),
    uncompressed_length=U24,
    compressed_certificate_message=Opaque(1, 2**24 - 1),
)


@dataclass(slots=True)
class CertificateVerify(HandshakeMessage):
    """RFC 9846 section 4.5.2."""

    msg_type = HandshakeType.certificate_verify

    algorithm: int
    signature: bytes


CertificateVerify.codec = Struct(
    CertificateVerify,
    algorithm=Enumerated(SignatureScheme, U16),
    signature=Opaque(0, 2**16 - 1),
)


@dataclass(slots=True)
class Finished(HandshakeMessage):
    """RFC 9846 section 4.5.3. Its length is that of the hash, which only the handshake knows and compares."""

    msg_type = HandshakeType.finished

    verify_data: bytes = field(repr=False)


Finished.codec = Struct(
    Finished,
    verify_data=REST,
)


@dataclass(slots=True)
class EndOfEarlyData(HandshakeMessage):
    """RFC 9846 section 4.6."""

    msg_type = HandshakeType.end_of_early_data


EndOfEarlyData.codec = Struct(EndOfEarlyData)


# --- post-handshake messages (section 4.7) ---------------------------------------------------------------------------


@dataclass(slots=True)
class NewSessionTicket(HandshakeMessage):
    """RFC 9846 section 4.7.1. The lifetime is in seconds; the handshake holds it to 604800."""

    msg_type = HandshakeType.new_session_ticket

    ticket_lifetime: int
    ticket_age_add: int
    ticket_nonce: bytes
    ticket: bytes
    extensions: Extensions


NewSessionTicket.codec = Struct(
    NewSessionTicket,
    ticket_lifetime=U32,
    ticket_age_add=U32,
    ticket_nonce=Opaque(0, 255),
    ticket=Opaque(1, 2**16 - 1),
    extensions=EXTENSIONS,
)


@dataclass(slots=True)
class KeyUpdate(HandshakeMessage):
    """RFC 9846 section 4.7.3."""

    msg_type = HandshakeType.key_update

    request_update: KeyUpdateRequest


KeyUpdate.codec = Struct(
    KeyUpdate,
    request_update=ClosedEnumerated(KeyUpdateRequest, U8),
)
