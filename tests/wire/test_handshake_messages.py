from __future__ import annotations

import dataclasses
import hashlib
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import DecodeError, IllegalParameter, UnexpectedMessage
from caesura.wire import extensions as x
from caesura.wire.extensions import Extensions
from caesura.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    CompressedCertificate,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    decode_message,
    message_hash,
    message_length,
)
from caesura.wire.registries import (
    CipherSuite,
    ExtensionType,
    HandshakeType,
    KeyUpdateRequest,
    NamedGroup,
    SignatureScheme,
    Version,
)
from tests.wire import rfc8448
from tests.wire.rows import GREASE_FIELD, MESSAGES, RANDOM, UNBOUNDED_MESSAGES
from tests.wire.strategies import extensions_in, messages

CLASSES = (
    ClientHello,
    ServerHello,
    EncryptedExtensions,
    CertificateRequest,
    Certificate,
    CompressedCertificate,
    CertificateVerify,
    Finished,
    EndOfEarlyData,
    NewSessionTicket,
    KeyUpdate,
)


def name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, HandshakeMessage) else None


def whole(message: HandshakeMessage, body: bytes) -> bytes:
    return bytes([message.msg_type]) + len(body).to_bytes(3, "big") + body


@pytest.mark.parametrize(("message", "text"), MESSAGES + UNBOUNDED_MESSAGES, ids=name)
class TestRows:
    def test_read(self, message: HandshakeMessage, text: str) -> None:
        body = bytes.fromhex(text)
        for read in (type(message).decode(body), decode_message(type(message), whole(message, body))):
            assert read == message
            assert read.raw == whole(message, body)

    def test_written(self, message: HandshakeMessage, text: str) -> None:
        fresh = dataclasses.replace(message)  # type: ignore[type-var]
        assert fresh.raw == b""
        assert fresh.encode() == whole(message, bytes.fromhex(text))
        assert fresh.raw == whole(message, bytes.fromhex(text))


@pytest.mark.parametrize(("message", "text"), MESSAGES, ids=name)
def test_every_truncation_fails(message: HandshakeMessage, text: str) -> None:
    body = bytes.fromhex(text)
    # What is left of a hello without its extensions is a hello of before there were extensions.
    without_extensions = (
        {len(body) - len(bytes.fromhex(GREASE_FIELD))} if isinstance(message, ClientHello | ServerHello) else ()
    )
    for length in range(len(body)):
        if length not in without_extensions:
            with pytest.raises(DecodeError):
                type(message).decode(body[:length])
            with pytest.raises(DecodeError):
                decode_message(type(message), whole(message, body[:length]))


@pytest.mark.parametrize(("message", "text"), MESSAGES, ids=name)
def test_a_byte_too_many_fails(message: HandshakeMessage, text: str) -> None:
    with pytest.raises(DecodeError):
        type(message).decode(bytes.fromhex(text) + b"\0")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_round_trip(cls: type[HandshakeMessage], data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    again = decode_message(cls, message.encode())
    assert again == message
    assert again.raw == message.raw


@given(data=st.data())
def test_round_trip_of_a_hello_with_all_it_may_carry(data: st.DataObject) -> None:
    hello = data.draw(messages(ClientHello))
    hello.extensions = data.draw(extensions_in(HandshakeType.client_hello))
    again = decode_message(ClientHello, hello.encode())
    again.extensions.check(HandshakeType.client_hello)
    assert again == hello


# --- headers ---------------------------------------------------------------------------------------------------------


def test_what_comes_to_several_connections_none_can_change() -> None:
    extensions = Extensions()
    extensions.put(x.STATUS_RESPONSE, b"good")
    raw = Certificate(b"", (CertificateEntry(b"leaf", extensions), CertificateEntry(b"ca"))).encode()
    mine, other = decode_message(Certificate, raw), decode_message(Certificate, raw)
    assert mine.certificate_list[0] is other.certificate_list[0]
    entry = mine.certificate_list[0]
    for name, value in (("cert_data", b"forged"), ("extensions", Extensions())):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(entry, name, value)
    for change in (
        lambda: entry.extensions.put(x.STATUS_RESPONSE, b"revoked"),
        lambda: entry.extensions.put(x.SIGNED_CERTIFICATE_TIMESTAMP_LIST, (b"log",)),
        lambda: entry.extensions.put_data(1234, b"new"),
        lambda: entry.extensions.remove(x.STATUS_RESPONSE.code),
    ):
        with pytest.raises(TypeError):
            change()
    assert other.certificate_list[0].extensions.get(x.STATUS_RESPONSE) == b"good"
    assert other.encode() == raw
    entry.extensions.copy().remove(x.STATUS_RESPONSE.code)  # one's own copy can be


def test_another_type_is_an_unexpected_message() -> None:
    with pytest.raises(UnexpectedMessage, match="message type 24 where Finished must stand"):
        decode_message(Finished, KeyUpdate(KeyUpdateRequest.update_requested).encode())


@pytest.mark.parametrize("raw", ["", "18", "180000", "18000001", "1800000001", "180000020100ff", "1800010001"])
def test_a_header_that_does_not_fit(raw: str) -> None:
    with pytest.raises(DecodeError, match="as long as it says"):
        decode_message(KeyUpdate, bytes.fromhex(raw))


def test_message_length() -> None:
    raw = rfc8448.CERTIFICATE
    assert [message_length(raw[:size]) for size in range(6)] == [None] * 4 + [445, 445]
    assert message_length(bytearray(b"skip" + raw), 4) == 445
    assert message_length(memoryview(raw)) == 445


def test_message_hash() -> None:
    """RFC 9846 section 4.1: type 254, length of the digest, digest."""
    assert message_hash(bytes(32)) == b"\xfe\0\0\x20" + bytes(32)


def test_a_message_too_long_is_not_written() -> None:
    with pytest.raises(ValueError):
        Finished(bytes(2**24)).encode()


# --- bounds ----------------------------------------------------------------------------------------------------------

START = "0303" + RANDOM.hex()


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (ClientHello, START + "21" + "00" * 33 + "0002 1301 01 00"),  # session id of 33 bytes
        (ClientHello, START + "00 0000 01 00"),  # no cipher suite
        (ClientHello, START + "00 0003 130113 01 00"),
        (ClientHello, START + "00 0002 1301 00"),  # no compression method
        (ClientHello, START + "00 0002 1301 01 00 00"),  # half a length of extensions
        (ServerHello, START + "21" + "00" * 33 + "1301 00"),
        (Certificate, "00 000005 000000 0000"),  # an empty certificate
        (NewSessionTicket, "00000000 00000000 00 0000 0000"),  # an empty ticket
        (EndOfEarlyData, "00"),
    ],
)
def test_what_the_rfc_forbids_is_a_decode_error(cls: type[HandshakeMessage], text: str) -> None:
    with pytest.raises(DecodeError):
        cls.decode(bytes.fromhex(text))


@pytest.mark.parametrize("code", [2, 255])
def test_a_key_update_that_asks_for_something_else(code: int) -> None:
    with pytest.raises(IllegalParameter):
        KeyUpdate.decode(bytes([code]))


def test_an_extension_twice_in_a_hello() -> None:
    with pytest.raises(IllegalParameter, match="server_name twice"):
        ClientHello.decode(bytes.fromhex(START + "00 0002 1301 01 00 0008 0000 0000 0000 0000"))


def test_hellos_of_before_there_were_extensions() -> None:
    """RFC 9846 section 4.2.2: the field may be missing, or be empty; either way nothing follows."""
    bare = bytes.fromhex(START + "00 0002 1301 01 00")
    for body in (bare, bare + b"\0\0"):
        hello = ClientHello.decode(body)
        assert len(hello.extensions) == 0
        assert hello.raw[4:] == body
    assert ClientHello.decode(bare).encode()[4:] == bare


# --- RFC 8448 and a real peer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "raw"),
    [
        (ClientHello, rfc8448.CLIENT_HELLO),
        (ServerHello, rfc8448.SERVER_HELLO),
        (EncryptedExtensions, rfc8448.ENCRYPTED_EXTENSIONS),
        (Certificate, rfc8448.CERTIFICATE),
        (CertificateVerify, rfc8448.CERTIFICATE_VERIFY),
        (Finished, rfc8448.FINISHED),
        (NewSessionTicket, rfc8448.NEW_SESSION_TICKET),
        (ClientHello, rfc8448.RESUMED_CLIENT_HELLO),
        (ServerHello, rfc8448.HELLO_RETRY_REQUEST),
    ],
)
def test_the_traces_of_rfc_8448_are_written_as_they_are_read(cls: type[HandshakeMessage], raw: bytes) -> None:
    assert dataclasses.replace(decode_message(cls, raw)).encode() == raw  # type: ignore[type-var]


def test_the_client_hello_of_rfc_8448_section_3() -> None:
    hello = decode_message(ClientHello, rfc8448.CLIENT_HELLO)
    hello.extensions.check(HandshakeType.client_hello)
    assert hello.legacy_version == Version.TLS12
    assert hello.legacy_compression_methods == b"\0"
    assert [CipherSuite(suite).name for suite in hello.cipher_suites] == [
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_256_GCM_SHA384",
    ]
    assert hello.extensions.get(x.SERVER_NAME) == "server"
    assert hello.extensions.get(x.SUPPORTED_VERSIONS_CLIENT) == (Version.TLS13,)
    assert hello.extensions.get(x.SUPPORTED_GROUPS)[:2] == (NamedGroup.x25519, NamedGroup.secp256r1)
    [share] = hello.extensions.get(x.KEY_SHARE_CLIENT)
    assert (share.group, len(share.key_exchange)) == (NamedGroup.x25519, 32)
    assert hello.extensions.get(x.RECORD_SIZE_LIMIT) == 16385
    assert hello.extensions.get(x.EARLY_DATA) is None


def test_the_server_s_messages_of_rfc_8448_section_3() -> None:
    offered = decode_message(ClientHello, rfc8448.CLIENT_HELLO).extensions
    hello = decode_message(ServerHello, rfc8448.SERVER_HELLO)
    assert not hello.is_retry
    hello.extensions.check(HandshakeType.server_hello, offered)
    encrypted = decode_message(EncryptedExtensions, rfc8448.ENCRYPTED_EXTENSIONS)
    encrypted.extensions.check(HandshakeType.encrypted_extensions, offered)
    assert encrypted.extensions.get(x.SERVER_NAME_ACCEPTED) is True
    [entry] = decode_message(Certificate, rfc8448.CERTIFICATE).certificate_list
    assert ssl.DER_cert_to_PEM_cert(entry.cert_data)
    assert (
        decode_message(CertificateVerify, rfc8448.CERTIFICATE_VERIFY).algorithm is SignatureScheme.rsa_pss_rsae_sha256
    )
    ticket = decode_message(NewSessionTicket, rfc8448.NEW_SESSION_TICKET)
    ticket.extensions.check(HandshakeType.new_session_ticket)
    assert (ticket.ticket_lifetime, ticket.extensions.get(x.EARLY_DATA_TICKET)) == (30, 1024)


def test_the_retry_of_rfc_8448_section_5() -> None:
    retry = decode_message(ServerHello, rfc8448.HELLO_RETRY_REQUEST)
    assert retry.is_retry
    retry.extensions.check(
        HandshakeType.hello_retry_request, {ExtensionType.key_share, ExtensionType.supported_versions}
    )
    assert retry.extensions.get(x.KEY_SHARE_RETRY) is NamedGroup.secp256r1
    assert len(retry.extensions.get(x.COOKIE)) == 114


def test_the_random_of_a_retry_is_what_the_rfc_says() -> None:
    assert hashlib.sha256(b"HelloRetryRequest").digest() == HELLO_RETRY_REQUEST_RANDOM


def test_the_binders_are_cut_off_as_in_rfc_8448_section_4() -> None:
    hello = decode_message(ClientHello, rfc8448.RESUMED_CLIENT_HELLO)
    hello.extensions.check(HandshakeType.client_hello)
    raw = rfc8448.RESUMED_CLIENT_HELLO
    assert hello.without_binders(raw) == raw[: rfc8448.RESUMED_CLIENT_HELLO_PREFIX_LENGTH]
    [binder] = hello.extensions.get(x.PRE_SHARED_KEY_CLIENT).binders
    assert raw[rfc8448.RESUMED_CLIENT_HELLO_PREFIX_LENGTH :] == b"\0\x21\x20" + binder


def test_several_binders_are_cut_off_together() -> None:
    hello = decode_message(ClientHello, rfc8448.RESUMED_CLIENT_HELLO)
    identity = x.PskIdentity(b"i", 0)
    hello.extensions.put(x.PRE_SHARED_KEY_CLIENT, x.OfferedPsks((identity, identity), (b"A" * 32, b"B" * 48)))
    assert hello.encode().startswith(hello.without_binders(hello.raw))
    assert hello.raw.removeprefix(hello.without_binders(hello.raw)) == b"\0\x52\x20" + b"A" * 32 + b"\x30" + b"B" * 48


def test_a_hello_without_a_psk_has_no_binders() -> None:
    with pytest.raises(ValueError, match="pre_shared_key"):
        decode_message(ClientHello, rfc8448.CLIENT_HELLO).without_binders(rfc8448.CLIENT_HELLO)


def test_a_hello_of_openssl_s() -> None:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="example.com").do_handshake()
    raw = outgoing.read()[5:]
    hello = decode_message(ClientHello, raw)
    hello.extensions.check(HandshakeType.client_hello)
    assert hello.extensions.get(x.SERVER_NAME) == "example.com"
    assert hello.extensions.get(x.ALPN) == (b"h2", b"http/1.1")
    assert Version.TLS13 in hello.extensions.get(x.SUPPORTED_VERSIONS_CLIENT)
    assert hello.extensions.get(x.EXTENDED_MASTER_SECRET) is True
    rebuilt: dict[str, Any] = {
        field: getattr(hello, field) for field in ("random", "legacy_session_id", "cipher_suites")
    }
    extensions = Extensions()
    for code in hello.extensions.codes:
        row = next((row for row in x.TABLE if row.code == code and HandshakeType.client_hello in row.messages), None)
        if row is None:
            extensions.put_data(code, hello.extensions.get_data(code))
        else:
            extensions.put(row, hello.extensions.get(row))
    again = ClientHello(
        legacy_version=Version.TLS12, legacy_compression_methods=b"\0", extensions=extensions, **rebuilt
    )
    assert again.encode() == raw
