"""What a server may say wrongly, and the alert RFC 9846 has for it: clients under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Verify
from caesura.errors import (
    BadCertificate,
    DecodeError,
    DecryptError,
    Error,
    IllegalParameter,
    MissingExtension,
    ProtocolVersionAlert,
    UnsupportedExtension,
)
from caesura.handshake.authenticate13 import to_sign
from caesura.tls.records import HANDSHAKE
from caesura.wire.extensions import (
    ALPN_SERVER,
    COOKIE,
    EARLY_DATA,
    KEY_SHARE_SERVER,
    PRE_SHARED_KEY_SERVER,
    SERVER_NAME_ACCEPTED,
    SIGNATURE_ALGORITHMS,
    STATUS_RESPONSE,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS_SERVER,
    Extensions,
    KeyShareEntry,
)
from caesura.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    EncryptedExtensions,
    Finished,
    HandshakeMessage,
    NewSessionTicket,
    ServerHello,
)
from caesura.wire.registries import CipherSuite, ExtensionType, NamedGroup, SignatureScheme
from tests.support.link import drain
from tests.tls.puppet import PuppetServer, refused
from tests.tls.states import (
    client,
    client_connected,
    fresh_session,
    wait_certificate_after_request,
    wait_certificate_or_request,
    wait_encrypted_extensions,
    wait_encrypted_extensions_resumed,
    wait_server_certificate_verify,
    wait_server_finished,
    wait_server_finished_resumed,
    wait_server_hello,
)
from tests.tls.world import client_context, identity

Say = Callable[[PuppetServer], HandshakeMessage | bytes]
UNKNOWN = 0xFAFA  # GREASE


def table(*rows: tuple[str, Say, type[Error]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("say", "kind"), [pytest.param(say, kind, id=name) for name, say, kind in rows])


def with_extension(message: Any, code: int, data: bytes) -> Any:
    message.extensions.put_data(code, data)
    return message


def without_extension(message: Any, code: int) -> Any:
    message.extensions.remove(code)
    return message


def twice(message: Any, code: int) -> bytes:
    """The message with one of its extensions once more at its end."""
    raw = message.encode()
    data = message.extensions.get_data(code)
    assert raw.endswith(message.extensions.encode())
    head = raw[4 : len(raw) - len(message.extensions.encode())]
    more = message.extensions.encode()[2:] + code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    return framed(raw[0], head + len(more).to_bytes(2, "big") + more)


def framed(msg_type: int, body: bytes) -> bytes:
    return bytes((msg_type,)) + len(body).to_bytes(3, "big") + body


def longer(message: HandshakeMessage) -> bytes:
    raw = message.encode()
    return framed(raw[0], raw[4:] + b"\x00")


def shorter(message: HandshakeMessage, by: int = 1) -> bytes:
    raw = message.encode()
    return framed(raw[0], raw[4 : len(raw) - by])


# --- ServerHello (section 4.2.3) and HelloRetryRequest (section 4.2.4) ------------------------------------------------


def share(puppet: PuppetServer, group: int, data: bytes) -> ServerHello:
    hello = puppet.hello()
    hello.extensions.put(KEY_SHARE_SERVER, KeyShareEntry(group, data))
    return hello


BOTH_HELLOS = table(
    ("legacy_version of TLS 1.0", lambda p: p.made(legacy_version=0x0301), ProtocolVersionAlert),
    ("legacy_version of TLS 1.3", lambda p: p.made(legacy_version=0x0304), ProtocolVersionAlert),
    ("session id not echoed", lambda p: p.made(legacy_session_id_echo=b""), IllegalParameter),
    ("another session id", lambda p: p.made(legacy_session_id_echo=bytes(32)), IllegalParameter),
    ("a suite nobody has", lambda p: with_suite(p, 0x1304), IllegalParameter),
    ("a suite of TLS 1.2", lambda p: with_suite(p, 0xC02F), IllegalParameter),
    ("a suite of GREASE", lambda p: with_suite(p, UNKNOWN), IllegalParameter),
    ("compression", lambda p: p.made(legacy_compression_method=1), IllegalParameter),
    ("no version", lambda p: without_extension(p.made(), ExtensionType.supported_versions), ProtocolVersionAlert),
    ("TLS 1.2", lambda p: with_extension(p.made(), ExtensionType.supported_versions, b"\x03\x03"), IllegalParameter),
    (
        "a later version",
        lambda p: with_extension(p.made(), ExtensionType.supported_versions, b"\x03\x05"),
        IllegalParameter,
    ),
    ("half a version", lambda p: with_extension(p.made(), ExtensionType.supported_versions, b"\x03"), DecodeError),
    (
        "two versions",
        lambda p: with_extension(p.made(), ExtensionType.supported_versions, b"\x03\x04\x03\x04"),
        DecodeError,
    ),
    ("an unknown extension", lambda p: with_extension(p.made(), UNKNOWN, b""), UnsupportedExtension),
    (
        "an extension for elsewhere",
        lambda p: with_extension(p.made(), ExtensionType.server_name, b""),
        IllegalParameter,
    ),
    ("a version twice", lambda p: twice(p.made(), ExtensionType.supported_versions), IllegalParameter),
    ("a byte too many", lambda p: longer(p.made()), DecodeError),
    ("a byte too few", lambda p: shorter(p.made()), DecodeError),
    ("nothing", lambda p: framed(2, b""), DecodeError),
)


def with_suite(puppet: PuppetServer, code: int) -> ServerHello:
    hello: ServerHello = puppet.made()  # type: ignore[attr-defined]
    hello.cipher_suite = code
    return hello


@BOTH_HELLOS
@pytest.mark.parametrize("made", ["hello", "retry_request"])
def test_hello(made: str, say: Say, kind: type[Error]) -> None:
    puppet = wait_server_hello()
    puppet.made = getattr(puppet, made)  # type: ignore[attr-defined]
    puppet.say(say(puppet))
    refused(puppet, kind)


@BOTH_HELLOS
def test_hello_after_a_retry(say: Say, kind: type[Error]) -> None:
    puppet = wait_server_hello().ask_again()
    puppet.made = puppet.hello  # type: ignore[attr-defined]
    puppet.say(say(puppet))
    refused(puppet, kind)


@table(
    ("no key share", lambda p: without_extension(p.hello(), ExtensionType.key_share), MissingExtension),
    ("a share of a group that was not offered", lambda p: share(p, NamedGroup.secp521r1, bytes(133)), IllegalParameter),
    ("a share of a group without one of ours", lambda p: share(p, NamedGroup.secp256r1, bytes(65)), IllegalParameter),
    ("a share of GREASE", lambda p: share(p, UNKNOWN, b"\x00"), IllegalParameter),
    ("a share cut short", lambda p: share(p, NamedGroup.x25519, bytes(31)), IllegalParameter),
    ("a share too long", lambda p: share(p, NamedGroup.x25519, bytes(33)), IllegalParameter),
    ("a point of small order", lambda p: share(p, NamedGroup.x25519, bytes(32)), IllegalParameter),
    ("an empty share", lambda p: with_extension(p.hello(), ExtensionType.key_share, b"\x00\x1d\x00\x00"), DecodeError),
    ("a share as in a retry", lambda p: with_extension(p.hello(), ExtensionType.key_share, b"\x00\x17"), DecodeError),
    ("a cookie", lambda p: with_extension(p.hello(), ExtensionType.cookie, b"\x00\x01c"), IllegalParameter),
    (
        "alpn",
        lambda p: with_extension(p.hello(), ExtensionType.application_layer_protocol_negotiation, b""),
        IllegalParameter,
    ),
    (
        "a pre-shared key that was not offered",
        lambda p: with_extension(p.hello(), ExtensionType.pre_shared_key, b"\x00\x00"),
        UnsupportedExtension,
    ),
)
def test_server_hello(say: Say, kind: type[Error]) -> None:
    puppet = wait_server_hello()
    puppet.say(say(puppet))
    refused(puppet, kind)


@pytest.mark.parametrize("ending", [b"DOWNGRD\x01", b"DOWNGRD\x00"])
def test_downgrade_sentinel(ending: bytes) -> None:
    """RFC 9846 section 4.2.3: a server that could have spoken TLS 1.3 says TLS 1.2; somebody stands between."""
    puppet = wait_server_hello()
    hello = without_extension(puppet.hello(random=bytes(24) + ending), ExtensionType.supported_versions)
    puppet.say(hello)
    refused(puppet, IllegalParameter)


def test_suite_that_was_not_offered_although_it_is_known() -> None:
    puppet = PuppetServer(client(client_context(cipher_suites=["TLS_AES_128_GCM_SHA256"])), identity())
    puppet.say(puppet.hello(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384))
    refused(puppet, IllegalParameter)


def test_point_that_is_not_on_the_curve() -> None:
    puppet = PuppetServer(client(client_context(groups=["secp256r1"])), identity())
    puppet.say(share(puppet, NamedGroup.secp256r1, b"\x04" + bytes(64)))
    refused(puppet, IllegalParameter)


def test_ciphertext_of_the_wrong_length() -> None:
    puppet = PuppetServer(client(client_context(groups=["X25519MLKEM768"])), identity())
    puppet.say(share(puppet, NamedGroup.X25519MLKEM768, bytes(1088 + 31)))
    refused(puppet, IllegalParameter)


@table(
    ("changes nothing", lambda p: p.retry_request(None), IllegalParameter),
    ("a group whose share was sent", lambda p: p.retry_request(NamedGroup.x25519), IllegalParameter),
    ("a group that was not offered", lambda p: p.retry_request(NamedGroup.secp521r1), IllegalParameter),
    ("a group of GREASE", lambda p: p.retry_request(UNKNOWN), IllegalParameter),
    (
        "a share as in a ServerHello",
        lambda p: with_extension(p.retry_request(None), ExtensionType.key_share, b"\x00\x17\x00\x01x"),
        DecodeError,
    ),
    ("an empty cookie", lambda p: with_extension(p.retry_request(), ExtensionType.cookie, b"\x00\x00"), DecodeError),
    (
        "a pre-shared key",
        lambda p: with_extension(p.retry_request(), ExtensionType.pre_shared_key, b"\x00\x00"),
        IllegalParameter,
    ),
)
def test_hello_retry_request(say: Say, kind: type[Error]) -> None:
    puppet = wait_server_hello()
    puppet.say(say(puppet))
    refused(puppet, kind)


def test_server_hello_with_another_suite_than_the_retry() -> None:
    puppet = wait_server_hello().ask_again()
    puppet.say(puppet.hello(cipher_suite=CipherSuite.TLS_CHACHA20_POLY1305_SHA256))
    refused(puppet, IllegalParameter)


def test_server_hello_with_another_group_than_the_retry() -> None:
    puppet = wait_server_hello().ask_again()
    puppet.say(share(puppet, NamedGroup.x25519, bytes(range(32))))
    refused(puppet, IllegalParameter)


@pytest.mark.parametrize("group", [None, NamedGroup.secp256r1])
def test_cookie_is_echoed(group: NamedGroup | None) -> None:
    """With or without a group: then the same share comes again."""
    puppet = wait_server_hello()
    request = puppet.retry_request(group)
    request.extensions.put(COOKIE, b"a cookie")
    puppet.ask_again(request)
    first, second = puppet.hellos
    assert second.extensions.get(COOKIE) == b"a cookie"
    changed = {
        code for code in second.extensions.codes if second.extensions.get_data(code) != first.extensions.get_data(code)
    }
    assert changed == {ExtensionType.cookie} | ({ExtensionType.key_share} if group is not None else set())
    assert (first.random, first.legacy_session_id) == (second.random, second.legacy_session_id)
    puppet.run()
    assert puppet.connection.handshake_complete


def test_cookie_that_leaves_no_room_for_the_hello() -> None:
    puppet = wait_server_hello()
    request = puppet.retry_request()
    request.extensions.put(COOKIE, bytes(65_400))
    raw = request.encode()
    for start in range(0, len(raw), 2**14):
        puppet.send(HANDSHAKE, raw[start : start + 2**14])
    refused(puppet, IllegalParameter)


# --- resumption ------------------------------------------------------------------------------------------------------


def resuming(**settings: Any) -> PuppetServer:
    session, context, _ = fresh_session()
    return PuppetServer(client(context, session), identity(), session)


@table(
    (
        "an identity that was not offered",
        lambda p: with_extension(p.hello(), ExtensionType.pre_shared_key, b"\x00\x01"),
        IllegalParameter,
    ),
    (
        "the last identity there can be",
        lambda p: with_extension(p.hello(), ExtensionType.pre_shared_key, b"\xff\xff"),
        IllegalParameter,
    ),
    ("a suite with another hash", lambda p: p.hello(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384), IllegalParameter),
    ("no key share", lambda p: without_extension(p.hello(), ExtensionType.key_share), IllegalParameter),
    ("half an identity", lambda p: with_extension(p.hello(), ExtensionType.pre_shared_key, b"\x00"), DecodeError),
)
def test_resumption(say: Say, kind: type[Error]) -> None:
    """RFC 9846 section 4.3.11: psk_dhe_ke is all that is offered, so a share is required."""
    puppet = resuming()
    puppet.say(say(puppet))
    refused(puppet, kind)


def test_pre_shared_key_that_a_retry_has_put_aside() -> None:
    """Its hash is not that of the suite the retry names, so the second hello does not offer it."""
    puppet = resuming()
    puppet.ask_again(puppet.retry_request(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384))
    assert ExtensionType.pre_shared_key not in puppet.client_hello.extensions
    hello = puppet.hello(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384)
    assert hello.extensions.get(PRE_SHARED_KEY_SERVER) == 0
    puppet.say(hello)
    refused(puppet, UnsupportedExtension)


def test_resumption_with_another_secret_than_the_tickets() -> None:
    """The server says it knows the ticket, and does not."""
    puppet = resuming()
    assert puppet.session is not None
    other, _, _ = fresh_session()
    puppet.session.psk, puppet.session.psk = other.psk, puppet.session.psk
    hello = puppet.hello()
    puppet.session = other
    puppet.greet(hello)
    puppet.say(puppet.encrypted_extensions())
    assert puppet.connection.error is not None
    assert puppet.connection.error.code == "TLS_BAD_RECORD_MAC"


def test_server_may_decline_the_session() -> None:
    puppet = resuming()
    puppet.session = None
    puppet.run()
    assert puppet.connection.handshake_complete
    assert not puppet.connection.session_reused


# --- EncryptedExtensions (section 4.4.1) -----------------------------------------------------------------------------


def encrypted(code: int, data: bytes) -> Say:
    return lambda _: with_extension(EncryptedExtensions(Extensions()), code, data)


@table(
    ("an unknown extension", encrypted(UNKNOWN, b""), UnsupportedExtension),
    (
        "alpn that was not offered",
        encrypted(ExtensionType.application_layer_protocol_negotiation, b"\x00\x03\x02h2"),
        UnsupportedExtension,
    ),
    ("early_data that was not offered", encrypted(ExtensionType.early_data, b""), UnsupportedExtension),
    ("a limit that was not offered", encrypted(ExtensionType.record_size_limit, b"\x40\x00"), UnsupportedExtension),
    ("a key share", encrypted(ExtensionType.key_share, b"\x00\x17"), IllegalParameter),
    ("a version", encrypted(ExtensionType.supported_versions, b"\x03\x04"), IllegalParameter),
    ("a pre-shared key", encrypted(ExtensionType.pre_shared_key, b"\x00\x00"), IllegalParameter),
    ("a status", encrypted(ExtensionType.status_request, b""), IllegalParameter),
    ("signature algorithms", encrypted(ExtensionType.signature_algorithms, b"\x00\x02\x04\x03"), IllegalParameter),
    ("a cookie", encrypted(ExtensionType.cookie, b"\x00\x01c"), IllegalParameter),
    ("a name that is not empty", encrypted(ExtensionType.server_name, b"\x00"), DecodeError),
    ("groups without one", encrypted(ExtensionType.supported_groups, b"\x00\x00"), DecodeError),
    ("a byte too many", lambda p: longer(p.encrypted_extensions()), DecodeError),
    ("a byte too few", lambda p: shorter(p.encrypted_extensions()), DecodeError),
    ("nothing", lambda p: framed(8, b""), DecodeError),
    (
        "an extension twice",
        lambda p: twice(with_extension(p.encrypted_extensions(), ExtensionType.server_name, b""), 0),
        IllegalParameter,
    ),
)
@pytest.mark.parametrize("state", [wait_encrypted_extensions, wait_encrypted_extensions_resumed])
def test_encrypted_extensions(state: Callable[[], PuppetServer], say: Say, kind: type[Error]) -> None:
    puppet = state()
    puppet.say(say(puppet))
    refused(puppet, kind)


@table(
    ("another protocol", encrypted(16, b"\x00\x06\x05other"), IllegalParameter),
    ("two protocols", encrypted(16, b"\x00\x06\x02h2\x02h3"), IllegalParameter),
    ("no protocol", encrypted(16, b"\x00\x00"), DecodeError),
    ("an empty protocol", encrypted(16, b"\x00\x01\x00"), DecodeError),
    (
        "early data",
        lambda _: with_extension(EncryptedExtensions(Extensions()), EARLY_DATA.code, b""),
        UnsupportedExtension,
    ),
)
def test_alpn(say: Say, kind: type[Error]) -> None:
    puppet = PuppetServer(client(client_context(alpn=["h2", "h3"])), identity()).greet()
    puppet.say(say(puppet))
    assert puppet.connection.error is not None
    if kind is IllegalParameter:
        assert isinstance(puppet.connection.error, IllegalParameter | DecodeError)
        kind = type(puppet.connection.error)
    refused(puppet, kind)


def test_encrypted_extensions_that_are_all_right() -> None:
    puppet = PuppetServer(client(client_context(alpn=["h2", "h3"])), identity()).greet()
    message = puppet.encrypted_extensions()
    message.extensions.put(ALPN_SERVER, b"h3")
    message.extensions.put(SERVER_NAME_ACCEPTED, True)
    message.extensions.put(SUPPORTED_GROUPS, (NamedGroup.x25519, 0xFAFA))
    puppet.say(message)
    puppet.say(puppet.certificate())
    puppet.say(puppet.prove(puppet.identity))
    puppet.finish()
    assert puppet.connection.alpn == "h3"


# --- CertificateRequest (section 4.4.2) ------------------------------------------------------------------------------


@table(
    ("a context", lambda p: CertificateRequest(b"x", p.certificate_request().extensions), IllegalParameter),
    ("no signature algorithms", lambda _: CertificateRequest(b"", Extensions()), MissingExtension),
    (
        "an empty list of them",
        lambda _: with_extension(CertificateRequest(b"", Extensions()), 13, b"\x00\x00"),
        DecodeError,
    ),
    ("half of one", lambda _: with_extension(CertificateRequest(b"", Extensions()), 13, b"\x00\x01\x04"), DecodeError),
    (
        "a key share",
        lambda p: with_extension(p.certificate_request(), ExtensionType.key_share, b"\x00\x17"),
        IllegalParameter,
    ),
    ("a status that is not empty", lambda p: with_extension(p.certificate_request(), 5, b"\x00"), DecodeError),
    ("a byte too many", lambda p: longer(p.certificate_request()), DecodeError),
    ("a byte too few", lambda p: shorter(p.certificate_request()), DecodeError),
)
def test_certificate_request(say: Say, kind: type[Error]) -> None:
    puppet = wait_certificate_or_request()
    puppet.say(say(puppet))
    refused(puppet, kind)


def test_unknown_extensions_of_a_certificate_request_are_ignored() -> None:
    puppet = wait_certificate_or_request()
    puppet.say(with_extension(puppet.certificate_request(), UNKNOWN, b"whatever"))
    puppet.say(puppet.certificate())
    puppet.say(puppet.prove(puppet.identity))
    puppet.finish()
    assert puppet.connection.handshake_complete


# --- Certificate (section 4.5.1) -------------------------------------------------------------------------------------


def entry(extension: int | None = None, data: bytes = b"", der: bytes | None = None, context: bytes = b"") -> Say:
    def say(puppet: PuppetServer) -> Certificate:
        leaf = CertificateEntry(puppet.identity.chain[0] if der is None else der)
        if extension is not None:
            leaf.extensions.put_data(extension, data)
        return Certificate(context, (leaf, *(CertificateEntry(each) for each in puppet.identity.chain[1:])))

    return say


CERTIFICATES = table(
    ("empty", lambda _: Certificate(b"", ()), DecodeError),
    ("a context", entry(context=b"x"), IllegalParameter),
    ("an unknown extension", entry(UNKNOWN), UnsupportedExtension),
    (
        "an extension that was not asked for",
        entry(ExtensionType.signed_certificate_timestamp, b"\x00\x03\x00\x01x"),
        UnsupportedExtension,
    ),
    ("an extension for elsewhere", entry(ExtensionType.key_share), IllegalParameter),
    ("half a status", entry(ExtensionType.status_request, b"\x01\x00"), DecodeError),
    ("an empty status", entry(ExtensionType.status_request, b"\x01\x00\x00\x00"), DecodeError),
    ("an empty certificate", lambda _: framed(11, b"\x00\x00\x00\x05\x00\x00\x00\x00\x00"), DecodeError),
    ("a byte too many", lambda p: longer(p.certificate()), DecodeError),
    ("a byte too few", lambda p: shorter(p.certificate()), DecodeError),
)


@CERTIFICATES
@pytest.mark.parametrize("state", [wait_certificate_or_request, wait_certificate_after_request])
def test_certificate(state: Callable[[], PuppetServer], say: Say, kind: type[Error]) -> None:
    """Refused when it comes, or at the latest with the signature that belongs to it."""
    puppet = state()
    puppet.say(say(puppet))
    if puppet.connection.error is None:
        puppet.say(puppet.prove(puppet.identity))
    refused(puppet, kind)


@pytest.mark.parametrize("der", [b"\x30\x00", b"\x00", bytes(1000), b"\x30\x82\xff\xff"], ids=lambda der: der[:4].hex())
@pytest.mark.parametrize("verify", [Verify.REQUIRED, Verify.NONE])
def test_certificate_that_is_none(der: bytes, verify: Verify) -> None:
    """Whether or not it is to be believed, its key is needed."""
    puppet = PuppetServer(client(client_context(verify=verify)), identity()).greet()
    puppet.say(puppet.encrypted_extensions())
    puppet.say(entry(der=der)(puppet))
    if puppet.connection.error is None:
        puppet.say(puppet.prove(puppet.identity))
    refused(puppet, BadCertificate)


def test_ocsp_staple_of_the_wrong_type() -> None:
    """Other types than OCSP are not asked for."""
    puppet = wait_certificate_or_request()
    puppet.say(entry(ExtensionType.status_request, b"\x02\x00\x00\x01x")(puppet))
    if puppet.connection.error is None:
        puppet.say(puppet.prove(puppet.identity))
    assert isinstance(puppet.connection.error, DecodeError | IllegalParameter)
    refused(puppet, type(puppet.connection.error))


def test_ocsp_staple_on_an_intermediate_is_nobodys() -> None:
    puppet = wait_certificate_or_request()
    message = puppet.certificate()
    message.certificate_list[1].extensions.put(STATUS_RESPONSE, b"of the intermediate")
    puppet.say(message)
    puppet.say(puppet.prove(puppet.identity))
    puppet.finish()
    assert puppet.connection.ocsp_response is None


# --- CertificateVerify (section 4.5.2) -------------------------------------------------------------------------------


def signed(
    puppet: PuppetServer, what: bytes, scheme: SignatureScheme = SignatureScheme.ecdsa_secp256r1_sha256
) -> CertificateVerify:
    return CertificateVerify(scheme, puppet.identity.key.sign(scheme, what))


@table(
    ("a scheme that was not offered", lambda p: CertificateVerify(SignatureScheme.ed448, b"x"), IllegalParameter),
    ("a scheme of GREASE", lambda p: CertificateVerify(UNKNOWN, p.prove(p.identity).signature), IllegalParameter),
    (
        "a scheme of another kind of key",
        lambda p: CertificateVerify(SignatureScheme.ed25519, p.prove(p.identity).signature),
        IllegalParameter,
    ),
    (
        "a scheme of another curve",
        lambda p: CertificateVerify(SignatureScheme.ecdsa_secp384r1_sha384, p.prove(p.identity).signature),
        IllegalParameter,
    ),
    (
        "a scheme for certificates alone",
        lambda p: CertificateVerify(SignatureScheme.rsa_pkcs1_sha256, b"x"),
        IllegalParameter,
    ),
    ("SHA-1", lambda p: CertificateVerify(0x0203, p.prove(p.identity).signature), IllegalParameter),
    ("no signature", lambda p: CertificateVerify(SignatureScheme.ecdsa_secp256r1_sha256, b""), DecryptError),
    (
        "a signature that is none",
        lambda p: CertificateVerify(SignatureScheme.ecdsa_secp256r1_sha256, bytes(70)),
        DecryptError,
    ),
    ("a signature of another key", lambda p: p.prove(identity("client")), DecryptError),
    ("a signature over another transcript", lambda p: signed(p, to_sign(bytes(32), by_server=True)), DecryptError),
    ("a signature as of a client", lambda p: signed(p, to_sign(p.transcript.digest(), by_server=False)), DecryptError),
    ("a signature over the bare hash", lambda p: signed(p, p.transcript.digest()), DecryptError),
    ("a byte too many", lambda p: longer(p.prove(p.identity)), DecodeError),
    ("a byte too few", lambda p: shorter(p.prove(p.identity)), DecodeError),
)
@pytest.mark.parametrize("verify", [Verify.REQUIRED, Verify.NONE])
def test_certificate_verify(verify: Verify, say: Say, kind: type[Error]) -> None:
    """Checked whether or not the chain is."""
    puppet = PuppetServer(client(client_context(verify=verify)), identity()).greet()
    puppet.say(puppet.encrypted_extensions())
    puppet.say(puppet.certificate())
    puppet.say(say(puppet))
    refused(puppet, kind)


def test_certificate_verify_of_a_state() -> None:
    puppet = wait_server_certificate_verify()
    puppet.say(puppet.prove(identity("client")))
    refused(puppet, DecryptError)


# --- Finished (section 4.5.3) ----------------------------------------------------------------------------------------


def clients_finished(puppet: PuppetServer) -> Finished:
    """What the client would say at this point: not to be reflected."""
    handshake, puppet.handshake = puppet.handshake, None
    assert handshake is not None
    swapped = type(handshake)(client=handshake.server, server=handshake.client)
    puppet.handshake = swapped
    made = puppet.finished()
    puppet.handshake = handshake
    return made


@table(
    ("wrong", lambda _: Finished(bytes(32)), DecryptError),
    (
        "wrong in its last bit",
        lambda p: Finished(p.finished().verify_data[:-1] + bytes((p.finished().verify_data[-1] ^ 1,))),
        DecryptError,
    ),
    ("the client's", clients_finished, DecryptError),
    ("a byte too many", lambda p: longer(p.finished()), DecodeError),
    ("a byte too few", lambda p: shorter(p.finished()), DecodeError),
    ("12 bytes, as in TLS 1.2", lambda p: Finished(p.finished().verify_data[:12]), DecodeError),
    ("nothing", lambda _: Finished(b""), DecodeError),
)
@pytest.mark.parametrize("state", [wait_server_finished, wait_server_finished_resumed])
def test_finished(state: Callable[[], PuppetServer], say: Say, kind: type[Error]) -> None:
    puppet = state()
    puppet.say(say(puppet))
    refused(puppet, kind)


# --- after the handshake ---------------------------------------------------------------------------------------------


def ticket(lifetime: int = 60, ticket: bytes = b"ticket", nonce: bytes = b"") -> NewSessionTicket:
    return NewSessionTicket(lifetime, 1, nonce, ticket, Extensions())


@table(
    ("an empty ticket", lambda _: framed(4, bytes(8) + b"\x00" + b"\x00\x00" + b"\x00\x00"), DecodeError),
    ("a byte too many", lambda _: longer(ticket()), DecodeError),
    ("a byte too few", lambda _: shorter(ticket()), DecodeError),
    ("an extension for elsewhere", lambda _: with_extension(ticket(), ExtensionType.key_share, b""), IllegalParameter),
    ("half of early_data", lambda _: with_extension(ticket(), ExtensionType.early_data, b"\x00\x00"), DecodeError),
    ("an extension twice", lambda _: twice(with_extension(ticket(), UNKNOWN, b""), UNKNOWN), IllegalParameter),
    ("a KeyUpdate of value 2", lambda _: framed(24, b"\x02"), IllegalParameter),
    ("a KeyUpdate of no value", lambda _: framed(24, b""), DecodeError),
    ("a KeyUpdate of two values", lambda _: framed(24, b"\x00\x00"), DecodeError),
)
def test_after_the_handshake(say: Say, kind: type[Error]) -> None:
    puppet = client_connected()
    puppet.say(say(puppet))
    refused(puppet, kind)


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (ticket(), 1),
        (ticket(nonce=bytes(255)), 1),
        (ticket(lifetime=0), 0),  # to be discarded immediately
        (ticket(lifetime=2**32 - 1), 1),
        (with_extension(ticket(), UNKNOWN, b"whatever"), 1),
        (with_extension(ticket(), ExtensionType.early_data, b"\x00\x00\x00\x01"), 1),
    ],
    ids=["plain", "long nonce", "no lifetime", "long lifetime", "unknown extension", "early data"],
)
def test_tickets_that_are_all_right(message: NewSessionTicket, kept: int) -> None:
    puppet = client_connected()
    drain(puppet.connection)
    puppet.say(message)
    assert puppet.connection.error is None
    events = drain(puppet.connection)
    assert len(events) == kept
    if kept:
        assert puppet.connection.session is not None
        assert puppet.connection.session.ticket_lifetime <= 604_800


def test_client_without_resumption_ignores_tickets() -> None:
    """RFC 9846 section 4.7.1: silently."""
    puppet = PuppetServer(client(client_context(sessions=None)), identity())
    assert ExtensionType.psk_key_exchange_modes not in puppet.client_hello.extensions
    puppet.run()
    drain(puppet.connection)
    puppet.say(ticket())
    assert puppet.connection.error is None
    assert drain(puppet.connection) == []
    assert puppet.connection.session is None


def test_ticket_that_is_too_long_to_be_offered_is_no_hindrance() -> None:
    """The longest that the format allows does not fit into a hello beside everything else: a full handshake follows."""
    context = client_context()
    puppet = PuppetServer(client(context), identity()).run()
    raw = ticket(ticket=bytes(65_535)).encode()
    for start in range(0, len(raw), 2**14):
        puppet.send(HANDSHAKE, raw[start : start + 2**14])
    assert puppet.connection.error is None
    again = PuppetServer(client(context), identity())
    assert again.connection.error is None
    again.run()
    assert again.connection.handshake_complete
    assert again.connection.error is None


def test_extensions_may_come_in_any_order() -> None:
    puppet = wait_server_hello()
    hello = puppet.hello()
    versions = hello.extensions.get_data(SUPPORTED_VERSIONS_SERVER.code)
    assert versions is not None
    hello.extensions.remove(SUPPORTED_VERSIONS_SERVER.code)
    hello.extensions.put_data(SUPPORTED_VERSIONS_SERVER.code, versions)
    assert hello.extensions.codes[-1] == SUPPORTED_VERSIONS_SERVER.code
    puppet.greet(hello)
    puppet.say(puppet.encrypted_extensions())
    assert puppet.connection.error is None
    assert puppet.certificate_request().extensions.get(SIGNATURE_ALGORITHMS)
