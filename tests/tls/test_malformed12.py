"""What either side may say wrongly in TLS 1.2, and the alert there is for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Limits, Verify
from caesura.errors import (
    BadCertificate,
    DecodeError,
    DecryptError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    ProtocolVersionAlert,
    UnsupportedExtension,
)
from caesura.wire.extensions import ALPN_SERVER, EC_POINT_FORMATS, RENEGOTIATION_INFO, Extensions
from caesura.wire.messages import CertificateVerify, ClientHello, Finished, HandshakeMessage, ServerHello
from caesura.wire.messages12 import (
    Certificate,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    HelloRequest,
    NewSessionTicket,
    ServerHelloDone,
)
from caesura.wire.registries import CipherSuite, ExtensionType, NamedGroup, SignatureScheme
from tests.tls.puppet import refused
from tests.tls.puppet12 import SUITE, Puppet12, PuppetClient12, PuppetServer12
from tests.tls.states import client, server
from tests.tls.states12 import (
    STATES12,
    State12,
    client12,
    client_connected,
    resuming_server,
    server12,
    wait_client_certificate,
    wait_client_certificate_verify,
    wait_client_finished,
    wait_client_finished_resumed,
    wait_client_hello,
    wait_client_key_exchange,
    wait_request_or_done,
    wait_server_certificate,
    wait_server_finished,
    wait_server_finished_resumed,
    wait_server_hello,
    wait_server_key_exchange,
    wait_server_spec_resumed,
    wait_server_ticket,
    wait_status_or_key_exchange,
)
from tests.tls.world import EITHER, TLS12, asking_context, client_context, identity

Say = Callable[[Any], HandshakeMessage | bytes]
X = ExtensionType
UNKNOWN = 0xFAFA  # GREASE
PROTOCOL = X.application_layer_protocol_negotiation
RSA_SUITE = CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
LOW_ORDER = bytes(32)


def table(*rows: tuple[str, Say, type[Error]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("say", "kind"), [pytest.param(say, kind, id=name) for name, say, kind in rows])


def with_data(message: Any, code: int, data: bytes) -> Any:
    message.extensions.put_data(code, data)
    return message


def without(message: Any, code: int) -> Any:
    message.extensions.remove(code)
    return message


def framed(msg_type: int, body: bytes) -> bytes:
    return bytes((msg_type,)) + len(body).to_bytes(3, "big") + body


def body(message: HandshakeMessage) -> bytes:
    return message.encode()[4:]


def longer(message: HandshakeMessage) -> bytes:
    return framed(message.msg_type, body(message) + b"\x00")


def shorter(message: HandshakeMessage) -> bytes:
    return framed(message.msg_type, body(message)[:-1])


def doubled(message: Any, code: int) -> bytes:
    """The hello with one of its extensions once more at its end."""
    raw, inner = body(message), message.extensions.encode()[2:]
    data = message.extensions.get_data(code)
    more = inner + code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    return framed(message.msg_type, raw[: len(raw) - len(inner) - 2] + len(more).to_bytes(2, "big") + more)


def says(state: State12, say: Say, kind: type[Error]) -> None:
    puppet = state()
    puppet.pull()
    puppet.say(say(puppet))
    refused(puppet, kind)


# --- ServerHello (RFC 5246 section 7.4.1.3) --------------------------------------------------------------------------


@table(
    ("TLS 1.1", lambda p: p.hello(legacy_version=0x0302), ProtocolVersionAlert),
    ("TLS 1.0", lambda p: p.hello(legacy_version=0x0301), ProtocolVersionAlert),
    ("SSL 3.0", lambda p: p.hello(legacy_version=0x0300), ProtocolVersionAlert),
    ("a version after it", lambda p: p.hello(legacy_version=0x0304), ProtocolVersionAlert),
    ("no version at all", lambda p: p.hello(legacy_version=0x1234), ProtocolVersionAlert),
    ("compression", lambda p: p.hello(legacy_compression_method=1), IllegalParameter),
    ("CBC", lambda p: p.hello(cipher_suite=0xC009), IllegalParameter),
    ("static RSA", lambda p: p.hello(cipher_suite=0x009C), IllegalParameter),
    ("a suite of TLS 1.3", lambda p: p.hello(cipher_suite=0x1301), IllegalParameter),
    ("a suite of GREASE", lambda p: p.hello(cipher_suite=UNKNOWN), IllegalParameter),
    ("a signal as a suite", lambda p: p.hello(cipher_suite=0x00FF), IllegalParameter),
    ("no extended main secret", lambda p: without(p.hello(), X.extended_master_secret), HandshakeFailure),
    ("extended main secret with content", lambda p: with_data(p.hello(), X.extended_master_secret, b"x"), DecodeError),
    ("no renegotiation_info", lambda p: without(p.hello(), X.renegotiation_info), HandshakeFailure),
    ("renegotiation_info of another", lambda p: with_data(p.hello(), X.renegotiation_info, b"\x01x"), HandshakeFailure),
    ("renegotiation_info cut short", lambda p: with_data(p.hello(), X.renegotiation_info, b"\x02x"), DecodeError),
    ("renegotiation_info of nothing", lambda p: with_data(p.hello(), X.renegotiation_info, b""), DecodeError),
    ("no extensions", lambda p: p.hello(extensions=Extensions()), HandshakeFailure),
    ("ALPN unasked", lambda p: with_data(p.hello(), PROTOCOL, b"\0\3\2h2"), UnsupportedExtension),
    ("versions unasked", lambda p: with_data(p.hello(), X.supported_versions, b"\3\3"), UnsupportedExtension),
    ("a key share unasked", lambda p: with_data(p.hello(), X.key_share, b""), UnsupportedExtension),
    ("heartbeat unasked", lambda p: with_data(p.hello(), X.heartbeat, b"\1"), UnsupportedExtension),
    ("GREASE", lambda p: with_data(p.hello(), UNKNOWN, b""), UnsupportedExtension),
    ("signature algorithms", lambda p: with_data(p.hello(), X.signature_algorithms, b"\0\2\4\3"), IllegalParameter),
    ("a name in the answer", lambda p: with_data(p.hello(), X.server_name, b"x"), DecodeError),
    ("a request in the answer", lambda p: with_data(p.hello(), X.status_request, b"\1\0\0\0\0"), DecodeError),
    ("only compressed points", lambda p: with_data(p.hello(), X.ec_point_formats, b"\1\1"), IllegalParameter),
    ("no point formats", lambda p: with_data(p.hello(), X.ec_point_formats, b"\0"), DecodeError),
    ("an extension twice", lambda p: doubled(p.hello(), X.renegotiation_info), IllegalParameter),
    ("session id of 33 bytes", lambda p: framed(2, body(p.hello())[:34] + b"\x21" + bytes(36)), DecodeError),
    ("a byte too many", lambda p: longer(p.hello()), DecodeError),
    ("a byte too few", lambda p: shorter(p.hello()), DecodeError),
    ("nothing", lambda _: framed(2, b""), DecodeError),
)  # fmt: skip
def test_server_hello(say: Say, kind: type[Error]) -> None:
    says(wait_server_hello, say, kind)


def either() -> PuppetServer12:
    """A client that also speaks TLS 1.3."""
    return PuppetServer12(client(client_context(**EITHER)), identity())


def _echo(puppet: PuppetServer12) -> bytes:
    return puppet.client_hello.legacy_session_id


@table(
    ("TLS 1.1", lambda p: p.hello(legacy_version=0x0302), ProtocolVersionAlert),
    ("the session id that means nothing", lambda p: p.hello(legacy_session_id_echo=_echo(p)), IllegalParameter),
    ("a suite of TLS 1.3", lambda p: p.hello(cipher_suite=0x1301), IllegalParameter),
    ("a version that says 1.2", lambda p: with_data(p.hello(), X.supported_versions, b"\3\3"), IllegalParameter),
    ("a key share", lambda p: with_data(p.hello(), X.key_share, b"\0\x1d\0\x20" + bytes(32)), IllegalParameter),
    ("psk modes", lambda p: with_data(p.hello(), X.psk_key_exchange_modes, b"\1\1"), IllegalParameter),
    ("no extended main secret", lambda p: without(p.hello(), X.extended_master_secret), HandshakeFailure),
)  # fmt: skip
def test_server_hello_to_a_client_that_also_speaks_tls13(say: Say, kind: type[Error]) -> None:
    says(either, say, kind)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"\0\3\2h3", IllegalParameter), (b"\0\6\2h2\2h3", DecodeError), (b"\0\0", DecodeError), (b"\0\1\0", DecodeError)],
)
def test_protocol_that_cannot_be(data: bytes, kind: type[Error]) -> None:
    says(
        lambda: PuppetServer12(client(client12(alpn=["h2"])), identity()),
        lambda p: with_data(p.hello(), ALPN_SERVER.code, data),
        kind,
    )


@pytest.mark.parametrize(
    ("size", "kind"), [(63, IllegalParameter), (0, IllegalParameter), (16_385, IllegalParameter), (64, None)]
)
def test_record_size_limit_that_cannot_be(size: int, kind: type[Error] | None) -> None:
    puppet = PuppetServer12(client(client12(record_size_limit=1000)), identity())
    puppet.say(with_data(puppet.hello(), X.record_size_limit, size.to_bytes(2, "big")))
    if kind is None:
        assert puppet.connection.error is None
    else:
        refused(puppet, kind)


def test_ticket_to_a_client_that_keeps_none() -> None:
    says(
        lambda: PuppetServer12(client(client12(sessions=None)), identity()),
        lambda p: p.extended(X.session_ticket),
        UnsupportedExtension,
    )


def test_what_servers_say_and_need_not() -> None:
    """supported_groups has no place in a ServerHello; some servers send it, and all point formats they know."""
    puppet = wait_server_hello()
    hello = with_data(puppet.hello(), X.supported_groups, b"\0\2\0\x17")
    puppet.greet(with_data(hello, EC_POINT_FORMATS.code, b"\3\0\1\2")).prove_and_hear().finish()
    assert puppet.connection.handshake_complete


@table(
    ("another suite", lambda p: p.hello(cipher_suite=RSA_SUITE), IllegalParameter),
    ("no extended main secret", lambda p: without(p.hello(), X.extended_master_secret), HandshakeFailure),
    ("no renegotiation_info", lambda p: without(p.hello(), X.renegotiation_info), HandshakeFailure),
)
def test_server_hello_that_resumes(say: Say, kind: type[Error]) -> None:
    says(resuming_server, say, kind)


# --- the server's flight ---------------------------------------------------------------------------------------------


@table(
    ("no certificate", lambda _: Certificate(()), DecodeError),
    ("an empty one", lambda _: framed(11, b"\0\0\3\0\0\0"), DecodeError),
    ("no DER", lambda _: Certificate((b"certificate",)), BadCertificate),
    ("half of one", lambda p: Certificate((p.identity.chain[0][:100],)), BadCertificate),
    ("too many", lambda p: Certificate((p.identity.chain[0],) * (Limits().certificate_chain + 1)), BadCertificate),
    ("a key that the suite does not name", lambda _: Certificate(identity("rsa").chain), IllegalParameter),
    ("a format of TLS 1.3", lambda p: framed(11, b"\0" + body(p.certificate())), DecodeError),
    ("a byte too many", lambda p: longer(p.certificate()), DecodeError),
    ("a byte too few", lambda p: shorter(p.certificate()), DecodeError),
    ("nothing", lambda _: framed(11, b""), DecodeError),
)
def test_server_certificate(say: Say, kind: type[Error]) -> None:
    says(wait_server_certificate, say, kind)


def test_ecdsa_key_under_a_suite_of_rsa() -> None:
    puppet = wait_server_hello()
    puppet.greet(puppet.hello(cipher_suite=RSA_SUITE)).say(puppet.certificate())
    refused(puppet, IllegalParameter)


def test_certificate_on_a_curve_that_was_not_offered() -> None:
    """RFC 8422 section 5.1.1: the groups of a client are those of ECDSA certificates too."""
    puppet = PuppetServer12(client(client12(groups=["x25519"])), identity()).greet()
    puppet.say(puppet.certificate())
    refused(puppet, IllegalParameter)


@table(
    ("of another type", lambda _: framed(22, b"\x02\0\0\1x"), DecodeError),
    ("empty", lambda _: framed(22, b"\x01\0\0\0"), DecodeError),
    ("a byte too many", lambda p: longer(p.status()), DecodeError),
)
def test_certificate_status(say: Say, kind: type[Error]) -> None:
    says(wait_status_or_key_exchange, say, kind)


def test_certificate_status_may_be_left_out() -> None:
    puppet = wait_status_or_key_exchange()
    puppet.say(puppet.key_exchange(), ServerHelloDone())
    puppet.pull()
    puppet.finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.ocsp_response is None


@table(
    ("a group that was not offered", lambda p: p.key_exchange(group=NamedGroup.secp384r1), IllegalParameter),
    ("a hybrid group", lambda p: p.key_exchange(group=NamedGroup.X25519MLKEM768), IllegalParameter),
    ("a group of GREASE", lambda p: p.key_exchange(group=UNKNOWN), IllegalParameter),
    ("explicit curves", lambda p: framed(12, b"\1" + body(p.key_exchange())[1:]), DecodeError),
    ("explicit binary curves", lambda p: framed(12, b"\2" + body(p.key_exchange())[1:]), DecodeError),
    ("no share", lambda p: framed(12, b"\3\0\x1d\0" + body(p.key_exchange())[36:]), DecodeError),
    ("a scheme that was not offered", lambda p: _with_scheme(p, 0x0203), IllegalParameter),
    ("SHA-1", lambda p: _with_scheme(p, 0x0201), IllegalParameter),
    ("a scheme of another key", lambda p: _with_scheme(p, SignatureScheme.rsa_pss_rsae_sha256), IllegalParameter),
    ("the right one, renamed", lambda p: _with_scheme(p, SignatureScheme.ecdsa_secp384r1_sha384), DecryptError),
    ("not signed", lambda p: _signed(p, b""), DecryptError),
    ("signed by nobody", lambda p: _signed(p, bytes(70)), DecryptError),
    ("signed without the randoms", lambda p: p.key_exchange(signed=_params(p)), DecryptError),
    ("signed with the randoms exchanged", lambda p: p.key_exchange(signed=_randoms(p, -1) + _params(p)), DecryptError),
    ("another share signed", lambda p: p.key_exchange(signed=_randoms(p) + _another(_params(p))), DecryptError),
    ("a byte too many", lambda p: longer(p.key_exchange()), DecodeError),
    ("a byte too few", lambda p: shorter(p.key_exchange()), DecodeError),
    ("nothing", lambda _: framed(12, b""), DecodeError),
)  # fmt: skip
def test_server_key_exchange(say: Say, kind: type[Error]) -> None:
    says(wait_server_key_exchange, say, kind)


def _randoms(puppet: PuppetServer12, step: int = 1) -> bytes:
    return b"".join((puppet.client_random, puppet.server_random)[::step])


def _another(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


def _params(puppet: PuppetServer12) -> bytes:
    return puppet.key_exchange().params.encode()


def _with_scheme(puppet: PuppetServer12, scheme: int) -> HandshakeMessage:
    message = puppet.key_exchange()
    message.algorithm = scheme
    return message


def _signed(puppet: PuppetServer12, signature: bytes) -> HandshakeMessage:
    message = puppet.key_exchange()
    message.signature = signature
    return message


@pytest.mark.parametrize("public", [b"\4" + bytes(64), bytes(31), bytes(33), LOW_ORDER], ids=len)
def test_share_of_the_server_that_is_none(public: bytes) -> None:
    """The signature is good, the point is not (RFC 8422 section 5.11)."""
    puppet = wait_server_key_exchange()
    puppet.say(puppet.key_exchange(public=public), ServerHelloDone())
    refused(puppet, IllegalParameter)


def test_point_of_the_server_that_is_not_on_the_curve() -> None:
    puppet = wait_server_key_exchange()
    puppet.say(puppet.key_exchange(group=NamedGroup.secp256r1, public=b"\4" + b"\1" * 64), ServerHelloDone())
    refused(puppet, IllegalParameter)
    puppet = wait_server_key_exchange()
    puppet.say(puppet.key_exchange(group=NamedGroup.secp256r1, public=b"\2" + b"\1" * 32), ServerHelloDone())
    refused(puppet, IllegalParameter)


@table(
    ("no types", lambda _: framed(13, b"\0" + b"\0\2\4\3" + b"\0\0"), DecodeError),
    ("no schemes", lambda _: framed(13, b"\1\x40" + b"\0\0" + b"\0\0"), DecodeError),
    ("half a scheme", lambda _: framed(13, b"\1\x40" + b"\0\3\4\3\4" + b"\0\0"), DecodeError),
    ("an authority of nothing", lambda _: framed(13, b"\1\x40" + b"\0\2\4\3" + b"\0\2\0\0"), DecodeError),
    ("a format of TLS 1.3", lambda _: framed(13, b"\0" + b"\0\x08\0\x0d\0\4\0\2\4\3"), DecodeError),
    ("a byte too many", lambda p: longer(p.certificate_request()), DecodeError),
    ("done with a body", lambda _: framed(14, b"\0"), DecodeError),
)
def test_certificate_request_or_done(say: Say, kind: type[Error]) -> None:
    says(wait_request_or_done, say, kind)


def test_certificate_request_that_asks_for_what_nobody_has() -> None:
    """It is answered with nothing."""
    puppet = PuppetServer12(client(client12(identity=identity("client"))), identity()).greet()
    puppet.say(puppet.certificate(), puppet.key_exchange())
    puppet.say(CertificateRequest((UNKNOWN & 0xFF,), (UNKNOWN,), (b"\x30\x00",)), ServerHelloDone())
    puppet.pull()
    assert puppet.messages[-3] == Certificate(()).encode()
    puppet.finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.identity is None


@table(
    ("a format of TLS 1.3", lambda _: framed(4, bytes(8) + b"\0" + b"\0\1t" + b"\0\0"), DecodeError),
    ("cut short", lambda _: framed(4, bytes(4) + b"\0\2t"), DecodeError),
    ("a byte too many", lambda p: longer(p.ticket()), DecodeError),
    ("nothing", lambda _: framed(4, b""), DecodeError),
)
def test_ticket(say: Say, kind: type[Error]) -> None:
    says(wait_server_ticket, say, kind)


@pytest.mark.parametrize("ticket", [b"", bytes(2**15 + 1)], ids=["empty", "too long to be offered"])
def test_ticket_that_is_not_kept(ticket: bytes) -> None:
    puppet = wait_server_ticket()
    raw = NewSessionTicket(7200, ticket).encode()
    puppet.messages.append(raw)
    for start in range(0, len(raw), 2**14):
        puppet.send(22, raw[start : start + 2**14])
    puppet.finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.session is None


def test_hello_request_with_a_body() -> None:
    says(client_connected, lambda _: longer(HelloRequest()), DecodeError)


# --- Finished (section 7.4.9) ----------------------------------------------------------------------------------------


FINISHED = [wait_server_finished, wait_server_finished_resumed, wait_client_finished, wait_client_finished_resumed]


def _by_the_other(puppet: Puppet12) -> Finished:
    assert puppet.main is not None
    return Finished(puppet.main.verify_data(puppet.digest(), by_server=not puppet.is_server))


def _of_less(puppet: Puppet12) -> Finished:
    puppet.messages, kept = puppet.messages[:-1], puppet.messages
    message = puppet.finished()
    puppet.messages = kept
    return message


@table(
    ("of zeros", lambda _: Finished(bytes(12)), DecryptError),
    ("of the other side", _by_the_other, DecryptError),
    ("of less than all messages", _of_less, DecryptError),
    ("as long as a hash", lambda p: Finished(p.finished().verify_data + bytes(20)), DecodeError),
    ("a byte too few", lambda p: shorter(p.finished()), DecodeError),
    ("of nothing", lambda _: Finished(b""), DecodeError),
)
@pytest.mark.parametrize("state", FINISHED, ids=lambda state: state.__name__)
def test_finished(state: State12, say: Say, kind: type[Error]) -> None:
    says(state, say, kind)


# --- ClientHello (section 7.4.1.2) -----------------------------------------------------------------------------------


@table(
    ("TLS 1.1", lambda p: p.hello(legacy_version=0x0302), ProtocolVersionAlert),
    ("SSL 3.0", lambda p: p.hello(legacy_version=0x0300), ProtocolVersionAlert),
    ("SSL 2.0", lambda p: p.hello(legacy_version=0x0200), ProtocolVersionAlert),
    ("TLS 1.1 alone", lambda p: with_data(p.hello(), X.supported_versions, b"\2\3\2"), ProtocolVersionAlert),
    ("TLS 1.3 alone", lambda p: with_data(p.hello(), X.supported_versions, b"\2\3\4"), ProtocolVersionAlert),
    ("two versions", lambda p: _said_twice(p), ProtocolVersionAlert),
    ("compression alone", lambda p: p.hello(legacy_compression_methods=b"\1"), IllegalParameter),
    ("no compression methods", lambda p: framed(1, _hello(p, compression=b"\0")), DecodeError),
    ("no suites", lambda p: framed(1, _hello(p, suites=b"\0\0")), DecodeError),
    ("half a suite", lambda p: framed(1, _hello(p, suites=b"\0\3\xc0\x2b\xc0")), DecodeError),
    ("session id of 33 bytes", lambda p: framed(1, _hello(p, session_id=b"\x21" + bytes(33))), DecodeError),
    ("suites of TLS 1.3 alone", lambda p: p.hello(cipher_suites=(0x1301, 0x1302)), HandshakeFailure),
    ("CBC alone", lambda p: p.hello(cipher_suites=(0xC009, 0xC013, 0x002F)), HandshakeFailure),
    ("suites of another key", lambda p: p.hello(cipher_suites=(RSA_SUITE,)), HandshakeFailure),
    ("no extended main secret", lambda p: without(p.hello(), X.extended_master_secret), HandshakeFailure),
    ("no groups", lambda p: without(p.hello(), X.supported_groups), HandshakeFailure),
    ("groups of TLS 1.3 alone", lambda p: with_data(p.hello(), X.supported_groups, b"\0\2\x11\xec"), HandshakeFailure),
    ("finite fields alone", lambda p: with_data(p.hello(), X.supported_groups, b"\0\2\1\0"), HandshakeFailure),
    ("no curve of the key's", lambda p: with_data(p.hello(), X.supported_groups, b"\0\2\0\x1d"), HandshakeFailure),
    ("no schemes", lambda p: without(p.hello(), X.signature_algorithms), HandshakeFailure),
    ("SHA-1 alone", lambda p: with_data(p.hello(), X.signature_algorithms, b"\0\4\2\1\2\3"), HandshakeFailure),
    ("only compressed points", lambda p: with_data(p.hello(), X.ec_point_formats, b"\1\1"), IllegalParameter),
    ("renegotiation", lambda p: with_data(p.hello(), X.renegotiation_info, b"\x0c" + bytes(12)), HandshakeFailure),
    ("no extensions", lambda p: framed(1, _hello(p, extensions=b"")), HandshakeFailure),
    ("empty extensions", lambda p: framed(1, _hello(p, extensions=b"\0\0")), HandshakeFailure),
    ("an extension twice", lambda p: doubled(p.hello(), X.extended_master_secret), IllegalParameter),
    ("a malformed extension of TLS 1.3", lambda p: with_data(p.hello(), X.key_share, b"\0\1"), DecodeError),
    ("extended main secret with content", lambda p: with_data(p.hello(), X.extended_master_secret, b"x"), DecodeError),
    ("a byte too many", lambda p: longer(p.hello()), DecodeError),
    ("a byte too few", lambda p: shorter(p.hello()), DecodeError),
    ("nothing", lambda _: framed(1, b""), DecodeError),
)  # fmt: skip
def test_client_hello(say: Say, kind: type[Error]) -> None:
    says(wait_client_hello, say, kind)


def _said_twice(puppet: PuppetClient12) -> ClientHello:
    return with_data(puppet.hello(legacy_version=0x0302), X.supported_versions, b"\2\3\3")  # type: ignore[no-any-return]


def _hello(puppet: PuppetClient12, **parts: bytes) -> bytes:
    hello = puppet.hello()
    whole = {
        "version": b"\3\3",
        "random": hello.random,
        "session_id": b"\0",
        "suites": b"\0\2\xc0\x2b",
        "compression": b"\1\0",
        "extensions": hello.extensions.encode(),
    }
    return b"".join({**whole, **parts}.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.hello(legacy_version=0x0304),
        lambda p: p.hello(legacy_version=0x03FF),
        lambda p: p.hello(legacy_version=0x0400),
        lambda p: p.hello(legacy_compression_methods=b"\1\2\0\x40"),
        lambda p: p.hello(cipher_suites=(UNKNOWN, 0x1301, SUITE, 0xC013, 0x00FF)),
        lambda p: with_data(p.hello(), UNKNOWN, b"anything"),
        lambda p: with_data(p.hello(), X.supported_groups, b"\0\6\xfa\xfa\0\x1d\0\x17"),
        lambda p: with_data(p.hello(), X.signature_algorithms, b"\0\6\xfa\xfa\2\3\4\3"),
        lambda p: with_data(p.hello(), X.ec_point_formats, b"\3\x2a\0\1"),
        lambda p: without(p.hello(), X.ec_point_formats),
        lambda p: without(p.hello(), X.server_name),
        lambda p: with_data(p.hello(), X.supported_versions, b"\6\xfa\xfa\3\3\3\2"),
        lambda p: with_data(p.hello(), X.encrypt_then_mac, b""),
        lambda p: with_data(p.hello(), X.heartbeat, b"\1"),
        lambda p: with_data(p.hello(), X.max_fragment_length, b"\1"),
        lambda p: p.hello(legacy_session_id=b"unknown"),
    ],
    ids=[
        "TLS 1.3 as legacy_version", "a later minor version", "a later major version", "more compression methods",
        "more suites", "GREASE", "GREASE among groups", "GREASE and SHA-1 among schemes", "GREASE among point formats",
        "no point formats", "no name", "other versions", "encrypt_then_mac", "heartbeat", "max_fragment_length",
        "a session nobody knows",
    ],
)  # fmt: skip
def test_client_hello_that_is_taken(change: Callable[[PuppetClient12], ClientHello]) -> None:
    puppet = wait_client_hello()
    puppet.start(change(puppet)).exchange().finish()
    assert puppet.connection.handshake_complete, puppet.connection.error
    assert puppet.server_hello is not None
    offered = change(puppet).extensions
    assert all(code in offered for code in puppet.server_hello.extensions.codes)


def test_renegotiation_may_be_signalled_by_a_suite() -> None:
    """RFC 5746 section 3.6: the extension answers either."""
    for scsv, expected in ((True, True), (False, False)):
        puppet = wait_client_hello()
        hello = without(puppet.hello(), RENEGOTIATION_INFO.code)
        if scsv:
            hello.cipher_suites = (*hello.cipher_suites, CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV)
        puppet.start(hello).exchange().finish()
        assert puppet.connection.handshake_complete
        assert isinstance(puppet.server_hello, ServerHello)
        assert (X.renegotiation_info in puppet.server_hello.extensions) is expected


# --- the client's flight ---------------------------------------------------------------------------------------------


@table(
    ("no DER", lambda _: Certificate((b"certificate",)), BadCertificate),
    ("too many", lambda _: Certificate((b"\x30\0",) * (Limits().certificate_chain + 1)), BadCertificate),
    ("a format of TLS 1.3", lambda _: framed(11, b"\0" + bytes(3)), DecodeError),
    ("a byte too many", lambda p: longer(p.certificate(identity("client"))), DecodeError),
)
def test_client_certificate(say: Say, kind: type[Error]) -> None:
    says(wait_client_certificate, say, kind)


def test_client_certificate_that_is_required() -> None:
    says(
        lambda: PuppetClient12(server(asking_context(Verify.REQUIRED, **TLS12))).start(),
        lambda p: p.certificate(None),
        HandshakeFailure,
    )


@table(
    ("of small order", lambda _: ClientKeyExchange(LOW_ORDER), IllegalParameter),
    ("too short", lambda _: ClientKeyExchange(bytes(31)), IllegalParameter),
    ("too long", lambda _: ClientKeyExchange(bytes(33)), IllegalParameter),
    ("of another group", lambda _: ClientKeyExchange(b"\4" + bytes(64)), IllegalParameter),
    ("implicit, of a static key", lambda _: framed(16, b"\0"), DecodeError),
    ("of nothing", lambda _: framed(16, b""), DecodeError),
    ("a byte too many", lambda p: longer(ClientKeyExchange(p.share)), DecodeError),
)
def test_client_key_exchange(say: Say, kind: type[Error]) -> None:
    says(wait_client_key_exchange, say, kind)


def test_point_of_the_client_that_is_not_on_the_curve() -> None:
    for public in (b"\4" + b"\1" * 64, b"\2" + b"\1" * 32):
        says(
            lambda: PuppetClient12(server(server12(groups=["secp256r1"]))).start(),
            lambda _, public=public: ClientKeyExchange(public),
            IllegalParameter,
        )


def _signed_hash(puppet: PuppetClient12) -> bytes:
    key = identity("client").key
    return bytes(key.sign(key.schemes[0], puppet.digest()))


def _proof(puppet: PuppetClient12, **changes: Any) -> CertificateVerify:
    proof = puppet.prove(identity("client"))
    for name, value in changes.items():
        setattr(proof, name, value)
    return proof


@table(
    ("not signed", lambda p: _proof(p, signature=b""), DecryptError),
    ("signed by nobody", lambda p: _proof(p, signature=bytes(70)), DecryptError),
    ("signed by another", lambda p: p.prove(identity()), DecryptError),
    ("the hash signed", lambda p: _proof(p, signature=_signed_hash(p)), DecryptError),
    ("SHA-1", lambda p: _proof(p, algorithm=0x0203), IllegalParameter),
    ("a scheme of another key", lambda p: _proof(p, algorithm=SignatureScheme.rsa_pss_rsae_sha256), IllegalParameter),
    ("a scheme nobody has", lambda p: _proof(p, algorithm=UNKNOWN), IllegalParameter),
    ("a byte too many", lambda p: longer(p.prove(identity("client"))), DecodeError),
    ("nothing", lambda _: framed(15, b""), DecodeError),
)  # fmt: skip
def test_certificate_verify(say: Say, kind: type[Error]) -> None:
    says(wait_client_certificate_verify, say, kind)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES12, ids=lambda state: state.__name__)
def test_message_that_is_too_long(state: State12) -> None:
    """Refused when its header has come; nothing of it is collected."""
    limit = Limits().handshake_message
    puppet = state()
    puppet.pull()
    puppet.send(22, b"\x0b" + (limit + 1).to_bytes(3, "big"))
    refused(puppet, IllegalParameter)


@pytest.mark.parametrize("status", [CertificateStatus(b"x" * 100_000)], ids=["of 100 kB"])
def test_long_messages_in_many_records(status: CertificateStatus) -> None:
    puppet = wait_status_or_key_exchange()
    raw = status.encode()
    puppet.messages.append(raw)
    for start in range(0, len(raw), 2**14):
        puppet.send(22, raw[start : start + 2**14])
    puppet.say(puppet.key_exchange(), ServerHelloDone())
    puppet.pull()
    puppet.finish()
    assert puppet.connection.ocsp_response == b"x" * 100_000


def test_resumed_state_keeps_nothing_of_the_offer() -> None:
    """A session that was offered is used up, whatever becomes of the handshake."""
    puppet = wait_server_spec_resumed()
    assert puppet.session is not None
    assert not puppet.session.resumable
