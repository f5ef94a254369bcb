"""Who the peer is: identities and how one is chosen, client certificates, callbacks, staples, reload, kinds of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from caesura.context import ClientHelloInfo, Context, Identity, PeerChain, TrustStore, Verify
from caesura.crypto.signatures import LocalKey
from caesura.errors import (
    AccessDenied,
    AlertDescription,
    CertificateVerifyError,
    ConfigError,
    Error,
    HandshakeFailure,
    InternalError,
    LocalAlert,
    OperationFailed,
    PeerAlert,
    UnrecognizedName,
    UsageError,
)
from caesura.jobs import Completion, pause_job
from caesura.tls import TLSConnection
from caesura.wire.messages import Certificate, decode_message
from caesura.wire.registries import ExtensionType, NamedGroup, SignatureScheme
from tests.support.link import Link, link
from tests.support.pki import Credential, pki
from tests.tls.puppet import PuppetClient
from tests.tls.states import server
from tests.tls.world import asking_context, client_context, identity, server_context, trust


def load(credential: Credential, **options: Any) -> Identity:
    return Identity.load(credential.chain_pem, credential.key_pem, **options)


def fails(
    client: Context, server: Context, name: str | None = "localhost", *, at_server: bool = False
) -> tuple[Error, Error]:
    """Connect; the error of the side that refuses, and what the other hears. Exactly one alert passes."""
    pair = link(client, server, server_hostname=name).start()
    pair.exchange()
    ours, theirs = (pair.server, pair.client) if at_server else (pair.client, pair.server)
    assert ours.error is not None
    assert isinstance(theirs.error, PeerAlert), theirs.error
    if isinstance(ours.error, LocalAlert):
        assert theirs.error.description is ours.error.description
    else:
        assert theirs.error.description is AlertDescription.internal_error
    return ours.error, theirs.error


# --- the server's certificate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "localhost.", "127.0.0.1", "::1", "a.wild.example.test"])
def test_names_that_match(name: str) -> None:
    pair = link(client_context(), server_context(), server_hostname=name).handshake()
    assert pair.client.peer_certificates == identity().chain
    assert pair.client.server_hostname is not None


@pytest.mark.parametrize(
    ("name", "credential", "description"),
    [
        ("other.test", "ec", AlertDescription.bad_certificate),
        ("127.0.0.2", "ec", AlertDescription.bad_certificate),
        ("a.b.wild.example.test", "ec", AlertDescription.bad_certificate),
        ("localhost", "no_san", AlertDescription.bad_certificate),
        ("localhost", "expired", AlertDescription.certificate_expired),
        ("localhost", "other_ca", AlertDescription.unknown_ca),
        ("localhost", "self_signed", AlertDescription.unknown_ca),
    ],
)
def test_servers_that_are_not_believed(name: str, credential: str, description: AlertDescription) -> None:
    ours, _ = fails(client_context(), server_context(identity=load(getattr(pki(), credential))), name)
    assert isinstance(ours, CertificateVerifyError)
    assert ours.description is description
    assert ours.verify_code != 0
    assert ours.verify_message


def test_purpose_of_the_certificate() -> None:
    clients = pki().leaf("a client's", purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    ours, _ = fails(client_context(), server_context(identity=load(clients)))
    assert isinstance(ours, CertificateVerifyError)
    servers = pki().leaf("a server's", purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
    ours, _ = fails(client_context(identity=load(servers)), asking_context(), at_server=True)
    assert isinstance(ours, CertificateVerifyError)


def test_nobody_is_believed_with_an_empty_store() -> None:
    ours, _ = fails(client_context(trust=TrustStore.empty()), server_context())
    assert isinstance(ours, CertificateVerifyError)


@pytest.mark.parametrize("name", [None, "localhost", "other.test"])
def test_without_verification_anybody_will_do(name: str | None) -> None:
    pair = link(client_context(verify=Verify.NONE), server_context(identity=load(pki().expired)), server_hostname=name)
    pair.handshake()
    assert pair.client.peer_certificates == load(pki().expired).chain


def test_name_is_needed_to_verify() -> None:
    with pytest.raises(UsageError, match="server_hostname"):
        TLSConnection(client_context(), server_side=False)


@pytest.mark.parametrize("name", ["", "a..b", "x" * 300, "a b", "ex\x00ample.test", "*.example.test"])
def test_name_that_is_none(name: str) -> None:
    with pytest.raises((UsageError, ConfigError)):
        TLSConnection(client_context(), server_side=False, server_hostname=name)


@pytest.mark.parametrize(("name", "sent"), [("localhost", True), ("127.0.0.1", False), ("::1", False)])
def test_addresses_are_no_server_names(name: str, sent: bool) -> None:
    """RFC 6066 section 3."""
    seen: list[ClientHelloInfo] = []
    context = server_context(select_identity=lambda info: seen.append(info))
    pair = link(client_context(), context, server_hostname=name).handshake()
    assert seen[0].server_name == (name if sent else None)
    assert pair.server.server_hostname == (name if sent else None)


# --- several identities ----------------------------------------------------------------------------------------------


def leaf(name: str, **options: Any) -> Identity:
    return load(pki().leaf(name, names=(name,), **options))


@pytest.fixture(scope="module")
def several() -> tuple[Identity, ...]:
    """Two names; one with an ECDSA and an RSA key."""
    return (
        leaf("a.test"),
        leaf("b.test"),
        load(pki().leaf("b.test", names=("b.test",), key=pki().rsa.key)),
    )


@pytest.mark.parametrize(
    ("name", "schemes", "chosen"),
    [
        ("a.test", ["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"], 0),
        ("b.test", ["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"], 1),
        ("b.test", ["rsa_pss_rsae_sha256"], 2),
        ("b.test", ["rsa_pss_rsae_sha512"], 2),
        ("c.test", ["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"], 0),
        (None, ["ecdsa_secp256r1_sha256"], 0),
        ("a.test", ["rsa_pss_rsae_sha256"], 2),  # the only one that can sign at all
    ],
)
def test_identity_is_chosen_by_name_and_scheme(
    several: tuple[Identity, ...], name: str | None, schemes: list[str], chosen: int
) -> None:
    client = client_context(verify=Verify.NONE, signature_schemes=schemes)
    pair = link(client, server_context(identity=several), server_hostname=name).handshake()
    assert pair.client.peer_certificates == several[chosen].chain
    assert pair.server.identity is several[chosen]


def test_no_identity_can_sign() -> None:
    client = client_context(signature_schemes=["ed25519"])
    ours, _ = fails(client, server_context(), at_server=True)
    assert isinstance(ours, HandshakeFailure)


def test_server_signs_only_with_what_it_allows_itself() -> None:
    context = server_context(identity=identity("rsa"), signature_schemes=["rsa_pss_rsae_sha512"])
    used: list[SignatureScheme] = []

    class Watched:
        schemes = identity("rsa").key.schemes
        public_key = pki().rsa.key.public_key()

        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            used.append(scheme)
            return identity("rsa").key.sign(scheme, message)  # type: ignore[no-any-return]

    context.identity = Identity.load(pki().rsa.chain_pem, Watched())
    link(client_context(), context).handshake()
    assert used == [SignatureScheme.rsa_pss_rsae_sha512]


# --- select_identity -------------------------------------------------------------------------------------------------


async def later(value: Any) -> Any:
    return value


def completed(value: Any) -> Completion[Any]:
    done: Completion[Any] = Completion()
    done.set_result(value)
    return done


Answers = pytest.mark.parametrize(
    "wrap", [lambda value: value, later, completed], ids=["value", "async def", "pending"]
)


@Answers
def test_select_identity_gives_an_identity(wrap: Callable[[Any], Any]) -> None:
    context = server_context(select_identity=lambda _: wrap(identity("rsa")))
    pair = link(client_context(), context).handshake()
    assert pair.client.peer_certificates == identity("rsa").chain


@Answers
def test_select_identity_gives_nothing(wrap: Callable[[Any], Any]) -> None:
    context = server_context(select_identity=lambda _: wrap(None))
    assert link(client_context(), context).handshake().server.identity is identity()


@Answers
def test_select_identity_gives_a_context(wrap: Callable[[Any], Any]) -> None:
    """Its settings take the place of the first one's: identity, protocols, verification, tickets, key log."""
    log: list[str] = []
    other = asking_context(
        Verify.REQUIRED, identity=identity("rsa"), alpn=["h3"], ticket_count=1, keylog=log.append, groups=["secp256r1"]
    )
    context = server_context(select_identity=lambda _: wrap(other), alpn=["h2"])
    client = client_context(alpn=["h2", "h3"], identity=identity("client"))
    pair = link(client, context).handshake()
    assert pair.client.peer_certificates == identity("rsa").chain
    assert pair.server.peer_certificates == identity("client").chain
    assert pair.client.alpn == pair.server.alpn == "h3"
    assert pair.client.group is NamedGroup.secp256r1
    assert len(log) == 5
    assert link(client, context).handshake().client.session_reused


def test_select_identity_is_told_what_the_client_offers() -> None:
    seen: list[ClientHelloInfo] = []
    context = server_context(select_identity=lambda info: seen.append(info))
    link(client_context(alpn=["h2", "x"], cipher_suites=["TLS_AES_128_GCM_SHA256"]), context).handshake()
    (info,) = seen
    assert info.server_name == "localhost"
    assert info.alpn == ("h2", "x")
    assert info.cipher_suites == (0x1301,)
    assert info.groups == (0x1D, 0x17)
    assert info.versions == (0x0304,)
    assert SignatureScheme.ed25519 in info.signature_schemes


def test_select_identity_is_asked_once_also_when_there_is_a_retry() -> None:
    seen: list[ClientHelloInfo] = []
    context = server_context(select_identity=lambda info: seen.append(info), groups=["secp256r1"])
    link(client_context(), context).handshake()
    assert len(seen) == 1


def test_server_without_identity_needs_select_identity_to_give_one() -> None:
    context = server_context(identity=None, select_identity=lambda _: identity("rsa"))
    assert link(client_context(), context).handshake().server.identity is identity("rsa")
    context = server_context(identity=None, select_identity=lambda _: None)
    ours, _ = fails(client_context(), context, at_server=True)
    assert isinstance(ours, HandshakeFailure)


class Refusal(Exception):
    pass


def raising(error: BaseException) -> Callable[[Any], Any]:
    def raise_it(_: Any) -> Any:
        raise error

    return raise_it


async def raising_later(_: Any) -> Any:
    raise Refusal


def raising_after_a_pause(_: Any) -> Any:
    pause_job()
    raise Refusal


@pytest.mark.parametrize("callback", ["select_identity", "verify_peer"])
@pytest.mark.parametrize("function", [raising(Refusal("no")), raising_later, raising_after_a_pause])
def test_callback_that_raises(callback: str, function: Callable[[Any], Any]) -> None:
    """The peer hears internal_error, the application gets the cause."""
    client, serving = client_context(), server_context()
    setattr(client if callback == "verify_peer" else serving, callback, function)
    ours, _ = fails(client, serving, at_server=callback == "select_identity")
    assert isinstance(ours, OperationFailed)
    assert isinstance(ours.__cause__, Refusal)
    assert callback.upper() in str(ours)


def test_callback_that_raises_an_alert() -> None:
    """It is sent as it is: so a server can say that it does not know the name."""
    context = server_context(select_identity=raising(UnrecognizedName("nobody here has that name")))
    ours, _ = fails(client_context(), context, at_server=True)
    assert isinstance(ours, UnrecognizedName)
    ours, _ = fails(client_context(verify_peer=raising(AccessDenied("not you"))), server_context())
    assert isinstance(ours, AccessDenied)


@pytest.mark.parametrize("answer", ["a.pem", 0, False, True, ()], ids=repr)
def test_select_identity_that_gives_something_else(answer: Any) -> None:
    ours, _ = fails(client_context(), server_context(select_identity=lambda _: answer), at_server=True)
    assert isinstance(ours, UsageError)
    assert "select_identity" in str(ours)


def test_select_identity_that_gives_a_context_for_clients() -> None:
    """What is missing is named."""
    ours, _ = fails(client_context(), server_context(select_identity=lambda _: client_context()), at_server=True)
    assert isinstance(ours, ConfigError)
    assert "identity" in str(ours)


def test_coroutine_that_suspends_needs_a_loop() -> None:
    async def suspending(_: Any) -> None:
        await asyncio.sleep(0)

    ours, _ = fails(client_context(), server_context(select_identity=suspending), at_server=True)
    assert isinstance(ours, UsageError)
    assert "suspending" in str(ours)


# --- verify_peer -----------------------------------------------------------------------------------------------------


@Answers
@pytest.mark.parametrize(("verdict", "good"), [(True, True), (None, True), (False, False), (0, False), ("yes", True)])
def test_verify_peer(wrap: Callable[[Any], Any], verdict: Any, good: bool) -> None:
    """True and None let pass, False refuses; whatever else is taken for what it is worth."""
    client = client_context(verify_peer=lambda _: wrap(verdict))
    if good:
        link(client, server_context()).handshake()
    else:
        ours, theirs = fails(client, server_context())
        assert isinstance(ours, CertificateVerifyError)
        assert isinstance(theirs, PeerAlert)
        assert theirs.description is AlertDescription.certificate_unknown


def test_verify_peer_is_told_what_was_proved() -> None:
    seen: list[PeerChain] = []
    client = client_context(identity=identity("client"), verify_peer=lambda facts: seen.append(facts))
    context = asking_context(verify_peer=lambda facts: seen.append(facts), ocsp_response=b"staple")
    link(client, context).handshake()
    of_server, of_client = seen
    assert of_server == PeerChain(identity().chain, "localhost", False, b"staple")
    assert of_client == PeerChain(identity("client").chain, None, True, None)


def test_verify_peer_is_no_substitute_for_the_chain() -> None:
    """It comes after the chain was found good, and can refuse, not accept."""
    client = client_context(verify_peer=lambda _: True)
    ours, _ = fails(client, server_context(identity=load(pki().other_ca)))
    assert isinstance(ours, CertificateVerifyError)
    ours, _ = fails(
        client_context(identity=load(pki().other_ca)), asking_context(verify_peer=lambda _: True), at_server=True
    )
    assert isinstance(ours, CertificateVerifyError)


def test_verify_peer_alone_judges_where_the_chain_is_not_verified() -> None:
    pinned = identity("ec").chain[0]
    client = client_context(verify=Verify.NONE, verify_peer=lambda facts: facts.certificates[0] == pinned)
    link(client, server_context()).handshake()
    ours, _ = fails(client, server_context(identity=identity("rsa")))
    assert isinstance(ours, CertificateVerifyError)


def test_verify_peer_is_not_asked_about_nobody() -> None:
    seen: list[PeerChain] = []
    context = asking_context(Verify.OPTIONAL, verify_peer=lambda facts: seen.append(facts))
    link(client_context(), context).handshake()
    assert seen == []


# --- client certificates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["client", "ec", "rsa", "rsa_pss", "ed25519", "p384", "p521"])
@pytest.mark.parametrize("verify", [Verify.OPTIONAL, Verify.REQUIRED])
def test_client_certificate(verify: Verify, name: str) -> None:
    pair = link(client_context(identity=identity(name)), asking_context(verify)).handshake()
    assert pair.server.peer_certificates == identity(name).chain
    assert pair.client.identity is identity(name)


def test_client_chooses_among_its_identities_by_scheme() -> None:
    client = client_context(identity=[identity("client"), identity("rsa")])
    context = asking_context(signature_schemes=["rsa_pss_rsae_sha256"], identity=identity("rsa"))
    pair = link(client, context).handshake()
    assert pair.server.peer_certificates == identity("rsa").chain


def test_client_without_a_fitting_identity_sends_none() -> None:
    client = client_context(identity=identity("ed25519"))
    schemes = ["ecdsa_secp256r1_sha256"]
    pair = link(client, asking_context(Verify.OPTIONAL, signature_schemes=schemes)).handshake()
    assert pair.server.peer_certificates == ()
    assert pair.client.identity is None
    ours, theirs = fails(client, asking_context(Verify.REQUIRED, signature_schemes=schemes), at_server=True)
    assert ours.code == "TLS_CERTIFICATE_REQUIRED"
    assert isinstance(theirs, PeerAlert)


def test_client_certificate_is_sent_only_when_it_is_asked_for() -> None:
    pair = link(client_context(identity=identity("client")), server_context()).handshake()
    assert pair.client.identity is None
    assert pair.server.peer_certificates == ()


def test_trust_is_needed_to_ask() -> None:
    with pytest.raises(ConfigError, match="trust"):
        server_context(verify=Verify.REQUIRED)


# --- OCSP staples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_identity", "of_context", "seen"),
    [(None, None, None), (b"mine", None, b"mine"), (None, b"ours", b"ours"), (b"mine", b"ours", b"mine")],
)
def test_ocsp_staple(of_identity: bytes | None, of_context: bytes | None, seen: bytes | None) -> None:
    context = server_context(identity=load(pki().ec, ocsp_response=of_identity), ocsp_response=of_context)
    pair = link(client_context(), context).handshake()
    assert pair.client.ocsp_response == seen
    assert pair.server.ocsp_response is None


def test_long_ocsp_staple() -> None:
    pair = link(client_context(), server_context(ocsp_response=bytes(50_000))).handshake()
    assert pair.client.ocsp_response == bytes(50_000)


def test_ocsp_staple_only_for_those_who_ask() -> None:
    puppet = PuppetClient(server(server_context(ocsp_response=b"staple"))).start()
    message = decode_message(Certificate, puppet.messages[2])
    assert all(ExtensionType.status_request not in entry.extensions for entry in message.certificate_list)


# --- reload ----------------------------------------------------------------------------------------------------------


def test_certificate_reload_while_serving() -> None:
    """New connections show the new one; those that live, and those that have begun, keep what they began with."""
    context = server_context()
    living = link(client_context(), context).handshake()
    begun = link(client_context(), context)
    context.identity = identity("rsa")
    begun.handshake()
    assert begun.client.peer_certificates == identity().chain
    assert link(client_context(), context).handshake().client.peer_certificates == identity("rsa").chain
    living.client.write(b"still there")
    assert living.exchange().server_events[-1].data == b"still there"  # type: ignore[union-attr]
    assert living.server.identity is identity()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpn", ["other"]),
        ("groups", ["secp521r1"]),
        ("cipher_suites", ["TLS_CHACHA20_POLY1305_SHA256"]),
        ("verify", Verify.NONE),
        ("trust", TrustStore.empty()),
        ("sessions", None),
        ("signature_schemes", ["ed25519"]),
    ],
)
def test_connection_keeps_its_settings(name: str, value: Any) -> None:
    """Whatever is changed, at whatever moment, reaches only connections that begin later."""
    client, context = client_context(alpn=["h2"]), server_context(alpn=["h2"])
    pair = link(client, context)
    setattr(client, name, value)
    pair.start()
    if name not in ("trust", "verify", "sessions"):
        setattr(context, name, value)
    pair.exchange()
    assert pair.client.handshake_complete
    assert pair.server.handshake_complete
    assert (pair.client.alpn, pair.client.group) == ("h2", NamedGroup.x25519)
    assert pair.client.session is not None


# --- every kind of key, group and suite ------------------------------------------------------------------------------

KEYS = ["ec", "rsa", "rsa_pss", "ed25519", "p384", "p521"]


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
@pytest.mark.parametrize("group", ["X25519MLKEM768", "x25519", "secp256r1", "secp384r1", "secp521r1"])
def test_groups_suites_and_keys(group: str, suite: str) -> None:
    for name in KEYS:
        both: dict[str, Any] = {"groups": [group], "cipher_suites": [suite]}
        pair = link(client_context(**both), server_context(identity=identity(name), **both)).handshake()
        for side in (pair.client, pair.server):
            assert side.group is NamedGroup[group]
            assert side.cipher_suite is not None
            assert side.cipher_suite.name == suite
        pair.client.write(b"there")
        pair.server.write(b"and back")
        pair.exchange()
        assert pair.client_events[-1].data == b"and back"  # type: ignore[union-attr]


def test_ed448_is_there_for_those_who_allow_it() -> None:
    schemes = ["ed448", "ecdsa_secp256r1_sha256"]
    ed448 = load(pki().ed448)
    pair = link(client_context(signature_schemes=schemes), server_context(identity=ed448, signature_schemes=schemes))
    assert pair.handshake().client.peer_certificates == ed448.chain
    ours, _ = fails(client_context(), server_context(identity=ed448), at_server=True)
    assert isinstance(ours, HandshakeFailure)


def test_key_that_makes_bad_signatures() -> None:
    """A broken device: the client notices, and no session comes of it."""

    class Broken(LocalKey):
        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            return super().sign(scheme, message + b"!")

    broken = replace(identity(), key=Broken(pki().ec.key))
    ours, _ = fails(client_context(), server_context(identity=broken))
    assert ours.code == "TLS_DECRYPT_ERROR"


@pytest.mark.parametrize("signature", [None, "text", 5, bytearray(b"bytes")], ids=repr)
def test_key_that_returns_something_else(signature: Any) -> None:
    class Odd:
        schemes = identity().key.schemes

        def sign(self, scheme: SignatureScheme, message: bytes) -> Any:
            return signature

    pair = link(client_context(), server_context(identity=Identity.load(pki().ec.chain_pem, Odd()))).start()
    pair.exchange()
    assert isinstance(pair.client.error, Error)
    assert isinstance(pair.server.error, InternalError | OperationFailed | UsageError | PeerAlert)


def test_key_may_pause_and_wait() -> None:
    """As an HSM's would."""
    held: Completion[bytes] = Completion()

    class Slow:
        schemes = identity().key.schemes
        public_key = pki().ec.key.public_key()
        asked: tuple[SignatureScheme, bytes]

        def sign(self, scheme: SignatureScheme, message: bytes) -> Completion[bytes]:
            Slow.asked = (scheme, message)
            return held

    context = server_context(identity=Identity.load(pki().ec.chain_pem, Slow()), async_mode=True)
    pair: Link = link(client_context(), context).start()
    pair.exchange()
    assert pair.server.handshake_paused
    assert not pair.client.handshake_complete
    held.set_result(identity().key.sign(*Slow.asked))
    pair.server.advance(0.0)
    pair.exchange()
    assert pair.client.handshake_complete
    assert trust() is pair.client._settings.trust
