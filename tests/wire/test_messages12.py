"""The messages of TLS 1.2: values and bytes, both ways; what is malformed; which extensions a ServerHello may carry."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import DecodeError, IllegalParameter, UnexpectedMessage, UnsupportedExtension
from caesura.wire import extensions as x
from caesura.wire import messages, messages12
from caesura.wire.dtls import HelloVerifyRequest
from caesura.wire.extensions import Extension, Extensions
from caesura.wire.messages import HandshakeMessage, decode_message
from caesura.wire.messages12 import (
    Certificate,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    ECDHEPSKClientKeyExchange,
    ECDHEPSKServerKeyExchange,
    HelloRequest,
    NewSessionTicket,
    PSKClientKeyExchange,
    PSKServerKeyExchange,
    RawPublicKeyCertificate,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
    check_server_hello_extensions,
)
from caesura.wire.registries import (
    ClientCertificateType,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
    Version,
)
from tests.wire import strategies
from tests.wire.rows import MESSAGES12 as ROWS

CLASSES = (
    HelloRequest,
    Certificate,
    RawPublicKeyCertificate,
    CertificateStatus,
    ServerKeyExchange,
    CertificateRequest,
    ServerHelloDone,
    ClientKeyExchange,
    NewSessionTicket,
    PSKServerKeyExchange,
    PSKClientKeyExchange,
    ECDHEPSKServerKeyExchange,
    ECDHEPSKClientKeyExchange,
    HelloVerifyRequest,
)


def name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, HandshakeMessage) else None


def whole(cls: type[HandshakeMessage], body: bytes) -> bytes:
    return bytes([cls.msg_type]) + len(body).to_bytes(3, "big") + body


@pytest.mark.parametrize(("message", "text"), ROWS, ids=name)
class TestRows:
    def test_read(self, message: HandshakeMessage, text: str) -> None:
        raw = whole(type(message), bytes.fromhex(text))
        read = decode_message(type(message), raw)
        assert read == message
        assert read.raw == raw

    def test_written(self, message: HandshakeMessage, text: str) -> None:
        fresh = dataclasses.replace(message)  # type: ignore[type-var]
        assert fresh.encode() == fresh.raw == whole(type(message), bytes.fromhex(text))

    def test_cut_anywhere(self, message: HandshakeMessage, text: str) -> None:
        body = bytes.fromhex(text)
        for stop in range(len(body)):
            with pytest.raises(DecodeError):
                type(message).decode(body[:stop])

    def test_one_byte_more(self, message: HandshakeMessage, text: str) -> None:
        with pytest.raises(DecodeError):
            type(message).decode(bytes.fromhex(text) + b"\0")


def test_every_message_has_a_row() -> None:
    assert {type(message) for message, _ in ROWS} == set(CLASSES)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_whatever_is_written_is_read(cls: type[HandshakeMessage], data: st.DataObject) -> None:
    message = data.draw(strategies.messages(cls))
    assert decode_message(cls, message.encode()) == message


@pytest.mark.parametrize(
    "cls", [Certificate, CertificateRequest, NewSessionTicket], ids=lambda cls: f"{cls.__name__} of both versions"
)
def test_same_type_other_format(cls: type[HandshakeMessage]) -> None:
    other = getattr(messages, cls.__name__)
    assert other.msg_type is cls.msg_type
    assert other is not cls


def test_another_type_is_not_read() -> None:
    with pytest.raises(UnexpectedMessage):
        decode_message(ServerHelloDone, HelloRequest().encode())


@pytest.mark.parametrize(
    ("cls", "text", "why"),
    [
        (Certificate, "000003 000000", "a certificate of no bytes"),
        (CertificateStatus, "02 000001 00", "ocsp_multi"),
        (CertificateStatus, "01 000000", "no response"),
        (ServerKeyExchange, "01 0017 01 04 0403 0000", "explicit_prime"),
        (ServerKeyExchange, "02 0017 01 04 0403 0000", "explicit_char2"),
        (ServerKeyExchange, "03 001d 00 0403 0000", "no point"),
        (ServerKeyExchange, "03 001d 01 04", "not signed"),
        (CertificateRequest, "00 0002 0403 0000", "no certificate type"),
        (CertificateRequest, "01 40 0000 0000", "no algorithm"),
        (CertificateRequest, "01 40 0001 04 0000", "half an algorithm"),
        (CertificateRequest, "01 40 0002 0403 0002 0000", "an authority of no bytes"),
        (ClientKeyExchange, "00", "no point"),
        (HelloRequest, "00", "a body"),
        (ServerHelloDone, "00", "a body"),
        (NewSessionTicket, "000000 0000", "a lifetime of three bytes"),
    ],
)
def test_malformed(cls: type[HandshakeMessage], text: str, why: str) -> None:
    with pytest.raises(DecodeError):
        cls.decode(bytes.fromhex(text))


def test_what_is_signed_are_the_bytes_of_the_params() -> None:
    raw = ServerKeyExchange(
        ServerECDHParams(NamedGroup.x25519, bytes(32)), SignatureScheme.ed25519, b"signature"
    ).encode()
    read = decode_message(ServerKeyExchange, raw)
    assert read.params.encode() == raw[4 : 4 + 4 + 32]


def test_known_codes_become_members() -> None:
    request = CertificateRequest.decode(bytes.fromhex("03 01 40 2a 0004 0403 2a2a 0000"))
    assert request.certificate_types == (ClientCertificateType.rsa_sign, ClientCertificateType.ecdsa_sign, 0x2A)
    assert request.supported_signature_algorithms == (SignatureScheme.ecdsa_secp256r1_sha256, 0x2A2A)


# --- the extensions of a ServerHello ---------------------------------------------------------------------------------

GOOD: list[tuple[Extension[object], object]] = [
    (x.SERVER_NAME_ACCEPTED, True),
    (x.STATUS_REQUEST_SERVER, True),
    (x.SIGNED_CERTIFICATE_TIMESTAMP_LIST, (b"timestamp",)),
    (x.EC_POINT_FORMATS, (0,)),
    (x.ALPN_SERVER, b"h2"),
    (x.EXTENDED_MASTER_SECRET, True),
    (x.RECORD_SIZE_LIMIT, 16384),
    (x.USE_SRTP, x.UseSRTP((1,), b"")),
    (x.CONNECTION_ID, b"id"),
    (x.SESSION_TICKET, b""),
    (x.RENEGOTIATION_INFO, b""),
    (x.SUPPORTED_GROUPS, (NamedGroup.x25519,)),
    (x.CLIENT_CERTIFICATE_TYPE, 0),
    (x.SERVER_CERTIFICATE_TYPE, 2),
]


@pytest.mark.parametrize(("row", "value"), GOOD, ids=lambda value: getattr(getattr(value, "code", None), "name", None))
def test_extension_in_its_place(row: Extension[object], value: object) -> None:
    extensions = Extensions()
    extensions.put(row, value)
    read = Extensions.decode(extensions.encode())
    check_server_hello_extensions(read, {row.code})
    assert read.get(row) == value
    with pytest.raises(UnsupportedExtension, match="not offered"):
        check_server_hello_extensions(read, ())


def test_the_table_is_the_whole_list() -> None:
    assert messages12.SERVER_HELLO.keys() == {row.code for row, _ in GOOD}


@pytest.mark.parametrize(
    "code",
    sorted({row.code for row in x.TABLE} - messages12.SERVER_HELLO.keys()),
    ids=lambda code: ExtensionType(code).name,
)
def test_extension_out_of_place(code: int) -> None:
    """Offered by a client that also speaks TLS 1.3, and nothing that a ServerHello of TLS 1.2 answers."""
    extensions = Extensions()
    extensions.put_data(code, b"")
    with pytest.raises(IllegalParameter, match="server_hello of TLS 1\\.2"):
        check_server_hello_extensions(extensions, {code})


def test_malformed_extension_is_found_though_nobody_reads_it() -> None:
    extensions = Extensions()
    extensions.put_data(ExtensionType.server_name, b"\0")
    with pytest.raises(DecodeError, match="server_name"):
        check_server_hello_extensions(extensions, {ExtensionType.server_name})


def test_hellos_of_tls13_do_not_take_them() -> None:
    """The other table still holds: in a ServerHello of TLS 1.3 none of these may stand, except for connection_id."""
    for row, value in GOOD:
        if row is x.CONNECTION_ID:
            continue
        extensions = Extensions()
        extensions.put(row, value)
        with pytest.raises(IllegalParameter):
            extensions.check(HandshakeType.server_hello, {row.code})


def test_supported_versions_is_no_answer_of_tls12() -> None:
    extensions = Extensions()
    extensions.put(x.SUPPORTED_VERSIONS_SERVER, Version.TLS12)
    with pytest.raises(IllegalParameter):
        check_server_hello_extensions(extensions, {ExtensionType.supported_versions})
