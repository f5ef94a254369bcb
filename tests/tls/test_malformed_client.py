"""What a client may say wrongly, and the alert RFC 9846 has for it: servers under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Identity, Verify
from caesura.crypto.suites import SUITES
from caesura.errors import (
    AlertDescription,
    BadCertificate,
    CertificateRequired,
    CertificateVerifyError,
    DecodeError,
    DecryptError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    MissingExtension,
    NoApplicationProtocol,
    ProtocolVersionAlert,
    UnsupportedExtension,
)
from caesura.handshake.authenticate13 import to_sign
from caesura.sessions import Session
from caesura.wire.extensions import (
    ALPN,
    KEY_SHARE_CLIENT,
    PRE_SHARED_KEY_CLIENT,
    PSK_KEY_EXCHANGE_MODES,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS_CLIENT,
    KeyShareEntry,
    OfferedPsks,
)
from caesura.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateVerify,
    ClientHello,
    Finished,
    HandshakeMessage,
)
from caesura.wire.registries import CipherSuite, ExtensionType, NamedGroup, PskKeyExchangeMode, SignatureScheme, Version
from tests.support.pki import pki
from tests.tls.puppet import PuppetClient, refused
from tests.tls.states import (
    fresh_session,
    server,
    server_connected,
    wait_client_certificate,
    wait_client_finished,
    wait_client_finished_anonymous,
    wait_client_finished_certified,
    wait_client_finished_resumed,
    wait_client_hello,
    wait_client_hello_again,
)
from tests.tls.test_malformed_server import UNKNOWN, framed, longer, shorter, twice, with_extension, without_extension
from tests.tls.world import asking_context, identity, server_context

Say = Callable[[PuppetClient], HandshakeMessage | bytes]
GROUPS, SHARES = ExtensionType.supported_groups, ExtensionType.key_share
PSKS = ExtensionType.pre_shared_key


def table(*rows: tuple[str, Say, type[Error]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("say", "kind"), [pytest.param(say, kind, id=name) for name, say, kind in rows])


# --- ClientHello (section 4.2.2) -------------------------------------------------------------------------------------


def changed(**changes: Any) -> Say:
    return lambda p: p.hello(**changes)


def extended(code: int, data: bytes) -> Say:
    return lambda p: with_extension(p.hello(), code, data)


def without(code: int) -> Say:
    return lambda p: without_extension(p.hello(), code)


def groups(*codes: int) -> Say:
    def say(puppet: PuppetClient) -> ClientHello:
        hello = puppet.hello()
        hello.extensions.put(SUPPORTED_GROUPS, codes)
        return hello

    return say


def shares(*entries: tuple[int, bytes | None], groups: tuple[int, ...] = (0x1D, 0x17)) -> Say:
    """A hello with these shares; None stands for the right one."""

    def say(puppet: PuppetClient) -> ClientHello:
        hello = puppet.hello()
        hello.extensions.put(SUPPORTED_GROUPS, groups)
        made = [KeyShareEntry(code, puppet.pair.share if share is None else share) for code, share in entries]
        hello.extensions.put_data(SHARES, b"")
        data = b"".join(
            each.group.to_bytes(2, "big") + len(each.key_exchange).to_bytes(2, "big") + each.key_exchange
            for each in made
        )
        hello.extensions.put_data(SHARES, len(data).to_bytes(2, "big") + data)
        return hello

    return say


@table(
    ("legacy_version of TLS 1.1", changed(legacy_version=0x0302), ProtocolVersionAlert),
    ("legacy_version of TLS 1.3", changed(legacy_version=0x0304), ProtocolVersionAlert),
    ("compression beside none", changed(legacy_compression_methods=b"\x00\x01"), IllegalParameter),
    ("compression", changed(legacy_compression_methods=b"\x01"), IllegalParameter),
    ("no suite in common", changed(cipher_suites=(0xC02F, 0x00FF, UNKNOWN)), HandshakeFailure),
    ("no version", without(ExtensionType.supported_versions), ProtocolVersionAlert),
    ("TLS 1.2 alone", extended(ExtensionType.supported_versions, b"\x02\x03\x03"), ProtocolVersionAlert),
    ("GREASE alone", extended(ExtensionType.supported_versions, b"\x02\xfa\xfa"), ProtocolVersionAlert),
    ("no versions in the list", extended(ExtensionType.supported_versions, b"\x00"), DecodeError),
    ("half a version", extended(ExtensionType.supported_versions, b"\x03\x03\x04\x03"), DecodeError),
    ("no groups", without(GROUPS), MissingExtension),
    ("no key share", without(SHARES), MissingExtension),
    ("no signature algorithms", without(ExtensionType.signature_algorithms), MissingExtension),
    ("an empty list of groups", extended(GROUPS, b"\x00\x00"), DecodeError),
    ("no group in common", lambda p: groups(NamedGroup.secp521r1, UNKNOWN)(_shareless(p)), HandshakeFailure),
    ("a share beyond the groups", groups(NamedGroup.secp256r1), IllegalParameter),
    ("two shares of one group", shares((0x1D, None), (0x1D, None)), IllegalParameter),
    ("shares in another order", shares((0x17, b"\x04" + bytes(64)), (0x1D, None)), IllegalParameter),
    ("a share cut short", shares((0x1D, bytes(31))), IllegalParameter),
    ("a share too long", shares((0x1D, bytes(33))), IllegalParameter),
    ("a point of small order", shares((0x1D, bytes(32))), IllegalParameter),
    ("a point not on the curve", shares((0x17, b"\x04" + bytes(64))), IllegalParameter),
    ("a compressed point", shares((0x17, b"\x02" + bytes(32))), IllegalParameter),
    ("an empty share", shares((0x1D, b"")), DecodeError),
    ("no scheme of ours", extended(ExtensionType.signature_algorithms, b"\x00\x02\x08\x08"), HandshakeFailure),
    ("a scheme for certificates alone", extended(13, b"\x00\x02\x04\x01"), HandshakeFailure),
    ("no schemes in the list", extended(ExtensionType.signature_algorithms, b"\x00\x00"), DecodeError),
    ("an extension twice", lambda p: twice(p.hello(), ExtensionType.supported_versions), IllegalParameter),
    ("GREASE twice", lambda p: twice(with_extension(p.hello(), UNKNOWN, b""), UNKNOWN), IllegalParameter),
    ("an extension for elsewhere", extended(ExtensionType.oid_filters, b"\x00\x00"), IllegalParameter),
    ("a name with a NUL", extended(0, b"\x00\x07\x00\x00\x04a\x00.b"), DecodeError),
    ("an empty name", extended(0, b"\x00\x03\x00\x00\x00"), DecodeError),
    ("an empty list of names", extended(0, b"\x00\x00"), DecodeError),
    ("no protocols in the list", extended(16, b"\x00\x00"), DecodeError),
    ("an empty protocol", extended(16, b"\x00\x04\x02h2\x00"), DecodeError),
    ("a record size limit of 63", extended(ExtensionType.record_size_limit, b"\x00\x3f"), IllegalParameter),
    ("parameters of QUIC", extended(ExtensionType.quic_transport_parameters, b""), UnsupportedExtension),
    ("modes without one", extended(ExtensionType.psk_key_exchange_modes, b"\x00"), DecodeError),
    ("early data with content", extended(ExtensionType.early_data, b"\x00"), DecodeError),
    ("half a status request", extended(ExtensionType.status_request, b"\x01\x00"), DecodeError),
    ("a session id of 33 bytes", lambda p: _raw(p, session_id=bytes(33)), DecodeError),
    ("no suites", lambda p: _raw(p, suites=b""), DecodeError),
    ("half a suite", lambda p: _raw(p, suites=b"\x13\x01\x13"), DecodeError),
    ("no compression methods", lambda p: _raw(p, compression=b""), DecodeError),
    ("no extensions", lambda p: _without_extensions(p), ProtocolVersionAlert),
    ("a byte too many", lambda p: longer(p.hello()), DecodeError),
    ("a byte too few", lambda p: shorter(p.hello()), DecodeError),
    ("nothing", lambda _: framed(1, b""), DecodeError),
)  # fmt: skip
def test_client_hello(say: Say, kind: type[Error]) -> None:
    puppet = wait_client_hello()
    puppet.say(say(puppet))
    refused(puppet, kind)


def _shareless(puppet: PuppetClient) -> PuppetClient:
    made = puppet.hello

    def hello(**changes: Any) -> ClientHello:
        return with_extension(made(**changes), SHARES, b"\x00\x00")  # type: ignore[no-any-return]

    puppet.hello = hello  # type: ignore[method-assign]
    return puppet


def _raw(
    puppet: PuppetClient, session_id: bytes = b"", suites: bytes = b"\x13\x01", compression: bytes = b"\x00"
) -> bytes:
    return framed(
        1,
        b"\x03\x03"
        + bytes(32)
        + bytes((len(session_id),))
        + session_id
        + len(suites).to_bytes(2, "big")
        + suites
        + bytes((len(compression),))
        + compression
        + puppet.hello().extensions.encode(),
    )


def _without_extensions(puppet: PuppetClient) -> bytes:
    hello = puppet.hello()
    return framed(1, hello.encode()[4 : -len(hello.extensions.encode())])


def _first_bit(finished: Finished) -> Finished:
    return Finished(bytes((finished.verify_data[0] ^ 128,)) + finished.verify_data[1:])


def test_raw_hello_is_right_where_nothing_is_changed() -> None:
    """So that the rows above are refused for what they say they are."""
    puppet = wait_client_hello()
    puppet.say(_raw(puppet))
    puppet.pull()
    puppet.finish()
    assert puppet.connection.handshake_complete


def test_no_protocol_in_common() -> None:
    """RFC 7301 section 3.2. Without a list of its own a server ignores the client's."""
    puppet = PuppetClient(server(server_context(alpn=["h2"])))
    hello = puppet.hello()
    hello.extensions.put(ALPN, (b"h3", b"http/1.1"))
    puppet.say(hello)
    refused(puppet, NoApplicationProtocol)
    puppet = wait_client_hello()
    hello = puppet.hello()
    hello.extensions.put(ALPN, (b"h3",))
    puppet.start(hello).finish()
    assert puppet.connection.alpn is None


@pytest.mark.parametrize("length", [1184 + 31, 1184 + 33, 32, 1184])
def test_hybrid_share_of_a_wrong_length(length: int) -> None:
    puppet = PuppetClient(server(server_context(groups=["X25519MLKEM768"])))
    puppet.say(shares((NamedGroup.X25519MLKEM768, bytes(length)), groups=(NamedGroup.X25519MLKEM768,))(puppet))
    refused(puppet, IllegalParameter)


def test_hybrid_share_that_is_no_key() -> None:
    """FIPS 203 section 7.2, the modulus check."""
    puppet = PuppetClient(server(server_context(groups=["X25519MLKEM768"])))
    bad = b"\xff" * 1184 + puppet.pair.share
    puppet.say(shares((NamedGroup.X25519MLKEM768, bad), groups=(NamedGroup.X25519MLKEM768,))(puppet))
    refused(puppet, IllegalParameter)


# --- the second ClientHello (section 4.2.2) --------------------------------------------------------------------------


def retried(change: Callable[[ClientHello], object]) -> Say:
    def say(puppet: PuppetClient) -> ClientHello:
        hello = right_second_hello(puppet)
        change(hello)
        return hello

    return say


def right_second_hello(puppet: PuppetClient) -> ClientHello:
    hello = puppet.hello()
    fresh = PuppetClient(server(), group="secp256r1")
    puppet.pair = fresh.pair
    hello.extensions.put(KEY_SHARE_CLIENT, (KeyShareEntry(fresh.pair.group.code, fresh.pair.share),))
    return hello


def setting(name: str, value: Any) -> Callable[[ClientHello], object]:
    return lambda hello: setattr(hello, name, value)


def putting(code: int, data: bytes) -> Callable[[ClientHello], object]:
    return lambda hello: hello.extensions.put_data(code, data)


def key_offer(*identities: bytes) -> bytes:
    """pre_shared_key with binders that nobody looks at."""
    listed = b"".join(len(each).to_bytes(2, "big") + each + bytes(4) for each in identities)
    binders = (b"\x20" + bytes(32)) * len(identities)
    return len(listed).to_bytes(2, "big") + listed + len(binders).to_bytes(2, "big") + binders


def two_shares(hello: ClientHello) -> None:
    (share,) = hello.extensions.get(KEY_SHARE_CLIENT) or ()
    hello.extensions.put(KEY_SHARE_CLIENT, (KeyShareEntry(NamedGroup.x25519, bytes(range(32))), share))


def moved(hello: ClientHello) -> None:
    data = hello.extensions.get_data(ExtensionType.server_name)
    assert data is not None
    hello.extensions.remove(ExtensionType.server_name)
    hello.extensions.put_data(ExtensionType.server_name, data)


@table(
    ("another random", retried(setting("random", bytes(32))), IllegalParameter),
    ("another session id", retried(setting("legacy_session_id", b"")), IllegalParameter),
    ("fewer suites", retried(setting("cipher_suites", tuple(SUITES)[:1])), IllegalParameter),
    ("suites in another order", retried(setting("cipher_suites", tuple(SUITES)[::-1])), IllegalParameter),
    ("another name", retried(putting(0, b"\x00\x0c\x00\x00\x09otherhost")), IllegalParameter),
    ("no name", retried(lambda h: h.extensions.remove(ExtensionType.server_name)), IllegalParameter),
    ("more groups", retried(putting(GROUPS, b"\x00\x06\x00\x1d\x00\x17\x00\x18")), IllegalParameter),
    ("other schemes", retried(putting(13, b"\x00\x02\x04\x03")), IllegalParameter),
    ("protocols", retried(putting(16, b"\x00\x03\x02h2")), IllegalParameter),
    ("an unknown extension", retried(putting(UNKNOWN, b"")), IllegalParameter),
    ("extensions in another order", retried(moved), IllegalParameter),
    ("early data", retried(putting(ExtensionType.early_data, b"")), IllegalParameter),
    ("a cookie", retried(putting(ExtensionType.cookie, b"\x00\x01c")), IllegalParameter),
    ("half a cookie", retried(putting(ExtensionType.cookie, b"\x00\x02c")), DecodeError),
    ("a pre-shared key", retried(putting(PSKS, key_offer(b"new"))), IllegalParameter),
    ("the same share again", lambda p: p.hello(), IllegalParameter),
    ("one share more", retried(two_shares), IllegalParameter),
    ("no share", retried(putting(SHARES, b"\x00\x00")), IllegalParameter),
    ("a share cut short", retried(putting(SHARES, b"\x00\x05\x00\x17\x00\x01\x04")), IllegalParameter),
    ("legacy_version", retried(setting("legacy_version", 0x0302)), ProtocolVersionAlert),
    ("a byte too many", lambda p: longer(right_second_hello(p)), DecodeError),
)  # fmt: skip
def test_second_client_hello(say: Say, kind: type[Error]) -> None:
    puppet = wait_client_hello_again()
    puppet.say(say(puppet))
    refused(puppet, kind)


@pytest.mark.parametrize("padding", [None, b"", bytes(100)], ids=["unpadded", "empty", "padded"])
def test_what_a_second_client_hello_may_change(padding: bytes | None) -> None:
    puppet = wait_client_hello_again()
    hello = right_second_hello(puppet)
    if padding is not None:
        hello.extensions.put_data(ExtensionType.padding, padding)
    puppet.start(hello).finish()
    assert puppet.connection.handshake_complete


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        ((b"one", b"two", b"three"), None),
        ((b"one", b"three"), None),
        ((b"two",), None),
        ((), None),
        ((b"one", b"two", b"three", b"four"), IllegalParameter),
        ((b"two", b"one"), IllegalParameter),
        ((b"one", b"one"), IllegalParameter),
        ((b"four",), IllegalParameter),
    ],
    ids=lambda value: "".join(each.decode()[:2] for each in value) if isinstance(value, tuple) else "",
)
def test_pre_shared_keys_of_a_second_client_hello(second: tuple[bytes, ...], kind: type[Error] | None) -> None:
    """They may become fewer, and nothing else; here none is known."""
    puppet = PuppetClient(server(server_context(groups=["secp256r1"])))
    hello = puppet.hello()
    hello.extensions.put_data(PSKS, key_offer(b"one", b"two", b"three"))
    puppet.start(hello)
    again = right_second_hello(puppet)
    if second:
        again.extensions.put_data(PSKS, key_offer(*second))
    if kind is not None:
        puppet.say(again)
        refused(puppet, kind)
    else:
        puppet.start(again).finish()
        assert puppet.connection.handshake_complete


@pytest.mark.parametrize("again", [b"\x00\x01c", b"\x00\x01d", None], ids=["the same", "another", "none"])
def test_cookie_that_was_there_from_the_beginning(again: bytes | None) -> None:
    """A server that gives none looks at none; it has to stay as it was."""
    puppet = PuppetClient(server(server_context(groups=["secp256r1"])))
    hello = puppet.hello()
    hello.extensions.put_data(ExtensionType.cookie, b"\x00\x01c")
    puppet.start(hello)
    second = right_second_hello(puppet)
    if again is not None:
        second.extensions.put_data(ExtensionType.cookie, again)
    puppet.say(second)
    if again == b"\x00\x01c":
        assert puppet.connection.error is None
    else:
        refused(puppet, IllegalParameter)


def test_empty_list_of_shares_asks_for_a_retry() -> None:
    puppet = wait_client_hello()
    puppet.start(with_extension(puppet.hello(), SHARES, b"\x00\x00"))
    assert puppet.retry is not None
    puppet.start(puppet.hello()).finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.group is NamedGroup.x25519


# --- pre-shared keys (section 4.3.11) --------------------------------------------------------------------------------


def offer(change: Callable[[PuppetClient, ClientHello, Session], ClientHello]) -> tuple[PuppetClient, ClientHello]:
    session, _, context = fresh_session()
    puppet = PuppetClient(server(context))
    return puppet, change(puppet, puppet.hello(), session)


def rebound(hello: ClientHello, binders: tuple[bytes, ...]) -> ClientHello:
    offered = hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    hello.extensions.put(PRE_SHARED_KEY_CLIENT, OfferedPsks(offered.identities, binders))
    return hello


def not_last(puppet: PuppetClient, hello: ClientHello, session: Session) -> ClientHello:
    return with_extension(puppet.bind(hello, session), UNKNOWN, b"")  # type: ignore[no-any-return]


def without_modes(puppet: PuppetClient, hello: ClientHello, session: Session) -> ClientHello:
    return puppet.bind(without_extension(hello, ExtensionType.psk_key_exchange_modes), session)


def over_another_hello(puppet: PuppetClient, hello: ClientHello, session: Session) -> ClientHello:
    """The binder was made for another hello than it is sent with."""
    puppet.bind(hello, session)
    hello.random = bytes(32)
    return hello


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(lambda p, h, s: p.bind(h, s, binder=bytes(32)), DecryptError, id="a wrong binder"),
        pytest.param(over_another_hello, DecryptError, id="a binder over another hello"),
        pytest.param(lambda p, h, s: p.bind(h, s, binder=bytes(48)), DecryptError, id="a binder of another hash"),
        pytest.param(lambda p, h, s: rebound(p.bind(h, s), (bytes(32),) * 2), IllegalParameter, id="a binder too many"),
        pytest.param(lambda p, h, s: rebound(p.bind(h, s, s), (bytes(32),)), IllegalParameter, id="a binder too few"),
        pytest.param(not_last, IllegalParameter, id="not last"),
        pytest.param(without_modes, MissingExtension, id="no modes"),
        pytest.param(lambda _p, h, _s: with_extension(h, 41, b"\x00\x00\x00\x00"), DecodeError, id="no identities"),
        pytest.param(
            lambda _p, h, _s: with_extension(h, 41, b"\x00\x07\x00\x01x\x00\x00\x00\x00" + b"\x00\x20\x1f" + bytes(31)),
            DecodeError,
            id="a binder of 31 bytes",
        ),
    ],
)
def test_pre_shared_key(change: Callable[[PuppetClient, ClientHello, Session], ClientHello], kind: type[Error]) -> None:
    puppet, hello = offer(change)
    puppet.say(hello)
    refused(puppet, kind)


def unknown(session: Session, ticket: bytes) -> Session:
    other = Session.from_bytes(session.to_bytes())
    other.ticket = ticket
    return other


@pytest.mark.parametrize("ticket", ["foreign", "cut", "changed", "one byte"])
def test_ticket_that_does_not_open_leads_to_a_full_handshake(ticket: str) -> None:
    """RFC 9846 section 4.3.11: unknown keys are ignored. Its binder is nobody's to check."""
    session, _, context = fresh_session()
    made = {
        "foreign": bytes(200),
        "cut": session.ticket[:-1],
        "changed": session.ticket[:-1] + bytes((session.ticket[-1] ^ 1,)),
        "one byte": session.ticket[:1],
    }[ticket]
    puppet = PuppetClient(server(context))
    puppet.start(puppet.bind(puppet.hello(), unknown(session, made), binder=bytes(32))).finish()
    assert puppet.connection.handshake_complete
    assert not puppet.connection.session_reused


def test_second_ticket_is_taken_when_the_first_is_unknown() -> None:
    session, _, context = fresh_session()
    puppet = PuppetClient(server(context))
    hello = puppet.bind(puppet.hello(), unknown(session, b"unknown"), session)
    puppet.session = session
    puppet.say(hello)
    puppet.pull()
    puppet.finish()
    assert puppet.connection.session_reused
    assert puppet.server_hello is not None
    assert puppet.server_hello.extensions.get_data(ExtensionType.pre_shared_key) == b"\x00\x01"


@pytest.mark.parametrize("modes", [(PskKeyExchangeMode.psk_ke,), (0x0B,)], ids=["psk_ke", "GREASE"])
def test_modes_we_do_not_speak(modes: tuple[int, ...]) -> None:
    """Without (EC)DHE nothing is resumed, nor is a ticket of any use."""
    session, _, context = fresh_session()
    puppet = PuppetClient(server(context))
    hello = puppet.hello()
    hello.extensions.put(PSK_KEY_EXCHANGE_MODES, modes)
    puppet.start(puppet.bind(hello, session)).finish()
    assert not puppet.connection.session_reused
    assert [raw[0] for raw in puppet.messages] == [2, 8, 11, 15, 20]  # and no ticket


def test_pre_shared_key_without_signature_algorithms() -> None:
    """Who offers a pre-shared key need not offer them (section 9.2), but a server that authenticates with a certificate
    then misses them (section 4.3.3), and ours chooses its certificate before it looks at tickets."""
    session, _, context = fresh_session()
    for offered in (session, unknown(session, b"unknown")):
        puppet = PuppetClient(server(context))
        hello = without_extension(puppet.hello(), ExtensionType.signature_algorithms)
        puppet.say(puppet.bind(hello, offered))
        refused(puppet, MissingExtension)


# --- Certificate, CertificateVerify, Finished ------------------------------------------------------------------------


def certificate(*, context: bytes = b"", extension: int | None = None, data: bytes = b"") -> Say:
    def say(_: PuppetClient) -> Certificate:
        leaf = CertificateEntry(identity("client").chain[0])
        if extension is not None:
            leaf.extensions.put_data(extension, data)
        return Certificate(context, (leaf, *map(CertificateEntry, identity("client").chain[1:])))

    return say


@table(
    ("a context", certificate(context=b"x"), IllegalParameter),
    ("an unknown extension", certificate(extension=UNKNOWN), UnsupportedExtension),
    ("a status that was not asked for", certificate(extension=5, data=b"\x01\x00\x00\x01x"), UnsupportedExtension),
    ("an extension for elsewhere", certificate(extension=SHARES), IllegalParameter),
    ("a context without a certificate", lambda p: p.certificate(None, b"x"), IllegalParameter),
    ("an empty certificate", lambda _: framed(11, b"\x00\x00\x00\x05\x00\x00\x00\x00\x00"), DecodeError),
    ("what is no certificate", lambda _: Certificate(b"", (CertificateEntry(b"\x30\x00"),)), BadCertificate),
    ("a byte too many", lambda p: longer(p.certificate(identity("client"))), DecodeError),
    ("a byte too few", lambda p: shorter(p.certificate(identity("client"))), DecodeError),
    ("nothing", lambda _: framed(11, b""), DecodeError),
)
def test_client_certificate(say: Say, kind: type[Error]) -> None:
    puppet = wait_client_certificate()
    puppet.say(say(puppet))
    if puppet.connection.error is None:
        puppet.say(puppet.prove(identity("client")))
    refused(puppet, kind)


@pytest.mark.parametrize("verify", [Verify.OPTIONAL, Verify.REQUIRED])
def test_no_client_certificate(verify: Verify) -> None:
    puppet = PuppetClient(server(asking_context(verify))).start()
    puppet.say(puppet.certificate(None))
    if verify is Verify.REQUIRED:
        refused(puppet, CertificateRequired)
    else:
        puppet.finish()
        assert puppet.connection.handshake_complete
        assert puppet.connection.peer_certificates == ()


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("other_ca", AlertDescription.unknown_ca),
        ("self_signed", AlertDescription.unknown_ca),
        ("expired", AlertDescription.certificate_expired),
    ],
)
@pytest.mark.parametrize("verify", [Verify.OPTIONAL, Verify.REQUIRED])
def test_client_certificate_that_is_not_believed(verify: Verify, name: str, description: AlertDescription) -> None:
    """OPTIONAL does not mean that it may be bad."""
    credential = getattr(pki(), name)
    bad = Identity.load(credential.chain_pem, credential.key_pem)
    puppet = PuppetClient(server(asking_context(verify))).start()
    puppet.say(puppet.certificate(bad))
    puppet.say(puppet.prove(bad))
    refused(puppet, CertificateVerifyError, description)


def signed(puppet: PuppetClient, what: bytes) -> CertificateVerify:
    scheme = SignatureScheme.ecdsa_secp256r1_sha256
    return CertificateVerify(scheme, identity("client").key.sign(scheme, what))


def mine(puppet: PuppetClient) -> CertificateVerify:
    return puppet.prove(identity("client"))


@table(
    ("a scheme that was not asked for", lambda p: CertificateVerify(SignatureScheme.ed448, b"x"), IllegalParameter),
    ("a scheme of GREASE", lambda p: CertificateVerify(UNKNOWN, mine(p).signature), IllegalParameter),
    ("a scheme of another kind of key", lambda p: CertificateVerify(0x0807, mine(p).signature), IllegalParameter),
    ("a scheme for certificates alone", lambda p: CertificateVerify(0x0401, mine(p).signature), IllegalParameter),
    ("SHA-1", lambda p: CertificateVerify(0x0203, mine(p).signature), IllegalParameter),
    ("no signature", lambda p: CertificateVerify(0x0403, b""), DecryptError),
    ("a signature of another key", lambda p: p.prove(identity()), DecryptError),
    ("a signature over another transcript", lambda p: signed(p, to_sign(bytes(32), by_server=False)), DecryptError),
    ("a signature as of a server", lambda p: signed(p, to_sign(p.transcript.digest(), by_server=True)), DecryptError),
    ("a byte too many", lambda p: longer(mine(p)), DecodeError),
    ("a byte too few", lambda p: shorter(mine(p)), DecodeError),
)
def test_client_certificate_verify(say: Say, kind: type[Error]) -> None:
    puppet = wait_client_certificate()
    puppet.say(puppet.certificate(identity("client")))
    puppet.say(say(puppet))
    refused(puppet, kind)


@table(
    ("wrong", lambda _: Finished(bytes(32)), DecryptError),
    ("wrong in its first bit", lambda p: _first_bit(p.finished()), DecryptError),
    ("the server's", lambda p: p.messages[-1], DecryptError),
    ("a byte too many", lambda p: longer(p.finished()), DecodeError),
    ("a byte too few", lambda p: shorter(p.finished()), DecodeError),
    ("nothing", lambda _: Finished(b""), DecodeError),
)  # fmt: skip
@pytest.mark.parametrize(
    "state",
    [
        wait_client_finished,
        wait_client_finished_resumed,
        wait_client_finished_certified,
        wait_client_finished_anonymous,
    ],
)
def test_client_finished(state: Callable[[], PuppetClient], say: Say, kind: type[Error]) -> None:
    puppet = state()
    puppet.say(say(puppet))
    refused(puppet, kind)


def test_finished_over_another_transcript() -> None:
    """Somebody has changed a message on its way."""
    puppet = wait_client_finished()
    puppet.transcript.add(b"changed")
    puppet.say(puppet.finished())
    refused(puppet, DecryptError)


@table(
    ("a KeyUpdate of value 2", lambda _: framed(24, b"\x02"), IllegalParameter),
    ("a KeyUpdate of no value", lambda _: framed(24, b""), DecodeError),
    ("a KeyUpdate of two values", lambda _: framed(24, b"\x00\x00"), DecodeError),
)
def test_after_the_handshake(say: Say, kind: type[Error]) -> None:
    puppet = server_connected()
    puppet.say(say(puppet))
    refused(puppet, kind)


# --- what a server must not mind (section 9.3, RFC 8701) --------------------------------------------------------------


def greasy_hello(puppet: PuppetClient) -> ClientHello:
    """A hello with values of GREASE in every list that may have them."""
    hello = puppet.hello(cipher_suites=(0x0A0A, *SUITES, 0x1A1A))
    extensions = hello.extensions
    extensions.put_data(0x2A2A, b"")
    extensions.put(SUPPORTED_GROUPS, (0x3A3A, NamedGroup.x25519, NamedGroup.secp256r1, 0x4A4A))
    extensions.put(
        KEY_SHARE_CLIENT,
        (KeyShareEntry(0x3A3A, b"\x00"), KeyShareEntry(puppet.pair.group.code, puppet.pair.share)),
    )
    extensions.put(SIGNATURE_ALGORITHMS, (0x5A5A, SignatureScheme.ecdsa_secp256r1_sha256, 0x6A6A))
    extensions.put(SUPPORTED_VERSIONS_CLIENT, (0x7A7A, Version.TLS13, Version.TLS12, 0x8A8A))
    extensions.put(PSK_KEY_EXCHANGE_MODES, (0x0B, PskKeyExchangeMode.psk_dhe_ke, 0x2A))
    extensions.put(ALPN, (b"\x9a\x9a", b"h2", b"\xaa\xaa"))
    extensions.put_data(0xFAFA, b"\x00")
    return hello


@pytest.mark.parametrize("verify", Verify)
def test_grease(verify: Verify) -> None:
    puppet = PuppetClient(server(asking_context(verify, alpn=["h2"])))
    puppet.start(greasy_hello(puppet))
    if verify is not Verify.NONE:
        puppet.say(puppet.certificate(identity("client")))
        puppet.say(puppet.prove(identity("client")))
    puppet.finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.alpn == "h2"
    assert puppet.connection.cipher_suite in CipherSuite


def test_names_of_other_types_are_ignored_or_malformed_alike() -> None:
    """RFC 6066 section 3 has one type of name; a list of another type is not understood, and nothing else happens."""
    puppet = wait_client_hello()
    puppet.say(with_extension(puppet.hello(), ExtensionType.server_name, b"\x00\x05\x01\x00\x02xx"))
    assert puppet.connection.error is None or isinstance(puppet.connection.error, DecodeError | IllegalParameter)


def test_extensions_a_client_may_send_that_we_do_not_use() -> None:
    """Those of TLS 1.2 and those we have no use for."""
    puppet = wait_client_hello()
    hello = puppet.hello()
    for code, data in (
        (ExtensionType.extended_master_secret, b""),
        (ExtensionType.renegotiation_info, b"\x00"),
        (ExtensionType.session_ticket, b"an old ticket"),
        (ExtensionType.ec_point_formats, b"\x01\x00"),
        (ExtensionType.post_handshake_auth, b""),
        (ExtensionType.signature_algorithms_cert, b"\x00\x02\x04\x03"),
        (ExtensionType.signed_certificate_timestamp, b""),
        (ExtensionType.compress_certificate, b"\x02\x00\x02"),
        (ExtensionType.padding, bytes(50)),
        (ExtensionType.cookie, b"\x00\x06cookie"),
    ):
        hello.extensions.put_data(code, data)
    puppet.start(hello).finish()
    assert puppet.connection.handshake_complete
