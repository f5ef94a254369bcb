"""What signed, who stands behind it, and what of that a resumed connection remembers."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

from caesura.context import Context, Identity, PeerChain, TrustStore, Verify
from caesura.errors import CertificateVerifyError, ConfigError, UnsupportedCertificate
from caesura.events import EarlyDataStatus
from caesura.handshake.negotiate import choose_identity
from caesura.tls import TLSConnection
from caesura.wire.registries import SignatureScheme, Version
from tests.support.link import Link, link
from tests.support.pki import key_usage, pki
from tests.tls.early import early
from tests.tls.world import asking_context, client_context, identity, server_context

VERSIONS = pytest.mark.parametrize("version", [Version.TLS12, Version.TLS13])


@VERSIONS
def test_signature_schemes_by_role(version: Version) -> None:
    """SSL_CTX_set1_client_sigalgs(3): what clients sign with may be told apart from what servers sign with."""
    schemes = {"signature_schemes": ["rsa_pss_rsae_sha256"], "client_signature_schemes": ["ed25519"]}
    versions = {"minimum_version": version, "maximum_version": version}
    server = asking_context(identity=identity("rsa"), **schemes, **versions)
    client = client_context(identity=[identity("client"), identity("ed25519")], sessions=None, **versions)
    pair = link(client, server).handshake()
    assert pair.client.identity is client.identity[1]
    assert pair.client.peer_signature_scheme == SignatureScheme.rsa_pss_rsae_sha256
    assert pair.server.peer_signature_scheme == SignatureScheme.ed25519

    client.client_signature_schemes = ["ecdsa_secp256r1_sha256"]
    pair = link(client, server).start()
    pair.exchange()
    assert pair.server.error is not None  # nothing in common: it has shown none


@VERSIONS
def test_session_remembers_how_the_peer_has_proved_itself(version: Version) -> None:
    versions = {"minimum_version": version, "maximum_version": version}
    client = client_context(identity=identity("ed25519"), certificate_timestamps=True, **versions)
    credential = pki().rsa
    timestamps = [b"one log", b"another"]
    loaded = Identity.load(credential.chain_pem, credential.key_pem, ocsp_response=b"good", timestamps=timestamps)
    server = asking_context(identity=loaded, **versions)
    for resumed in (False, True, True):
        pair = link(client, server).handshake()
        assert pair.client.session_reused is resumed
        assert pair.client.ocsp_response == b"good"
        assert pair.client.certificate_timestamps == tuple(timestamps)
        assert pair.client.peer_signature_scheme == SignatureScheme.rsa_pss_rsae_sha256
        assert pair.server.peer_signature_scheme == SignatureScheme.ed25519
        pair.exchange()


@VERSIONS
@pytest.mark.parametrize("at_server", [False, True])
def test_peer_of_a_session_is_judged_again_if_that_is_wanted(version: Version, at_server: bool) -> None:
    asked = []

    def judge(peer: PeerChain) -> bool:
        asked.append(peer)
        return len(asked) < 3

    settings = {"verify_peer": judge, "verify_resumed": True}
    versions = {"minimum_version": version, "maximum_version": version}
    client = client_context(identity=identity("ed25519"), **versions, **({} if at_server else settings))
    server = asking_context(**versions, **(settings if at_server else {}))
    for _ in range(2):
        link(client, server).handshake().exchange()
    assert len(asked) == 2
    assert asked[0].certificates == asked[1].certificates
    pair = link(client, server).start().exchange()
    judging = pair.server if at_server else pair.client
    assert isinstance(judging.error, CertificateVerifyError)


def test_identity_of_an_issuer_that_the_peer_names() -> None:
    """RFC 9846 section 4.3.4, RFC 5246 section 7.4.4: the list of authorities guides the choice, and no more."""
    identities = []
    for _ in range(2):
        made = trustme.CA().issue_cert("localhost")
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        identities.append(Identity.load(chain, made.private_key_pem.bytes()))
    schemes = (SignatureScheme.ecdsa_secp256r1_sha256,)

    def chosen(*issuers: bytes) -> Identity | None:
        found = choose_identity(schemes, identities, None, schemes, issuers=issuers)
        return found[0] if found else None

    first, second = identities
    assert first.issuers.isdisjoint(second.issuers)
    assert chosen() is first
    assert chosen(*second.issuers) is second
    assert chosen(*second.issuers, *first.issuers) is first
    assert chosen(b"0\x00") is first

    made = trustme.CA().issue_cert("localhost")
    chain = b"".join(each.bytes() for each in made.cert_chain_pems)
    identities = [Identity.load(chain, made.private_key_pem.bytes(), only_for_issuers=True), second]
    assert chosen() is second
    assert chosen(*identities[0].issuers) is identities[0]
    identities.pop()
    assert chosen(*second.issuers) is None


@VERSIONS
def test_named_authorities_guide_the_peer(version: Version) -> None:
    versions = {"minimum_version": version, "maximum_version": version}
    made = trustme.CA().issue_cert("localhost")
    chain = b"".join(each.bytes() for each in made.cert_chain_pems)
    other = Identity.load(chain, made.private_key_pem.bytes())
    wanted = identity("client")
    client = client_context(identity=[other, wanted], sessions=None, **versions)
    pair = link(client, asking_context(certificate_authorities=wanted.issuers, **versions)).handshake()
    assert pair.client.identity is wanted
    if version is Version.TLS13:
        server = server_context(identity=[other, identity("ec")], **versions)
        client.certificate_authorities = identity("ec").issuers
        assert link(client, server, server_hostname="localhost").handshake().server.identity is identity("ec")


def test_change_cipher_spec_comes_before_an_alert_that_is_the_second_flight() -> None:
    """RFC 9846 appendix E.4: middleboxes see it before anything a client has encrypted."""
    client = TLSConnection(client_context(trust=TrustStore.empty()), server_side=False, server_hostname="localhost")
    server = TLSConnection(server_context(), server_side=True)
    client.advance(0.0)
    server.advance(0.0)
    server.receive_data(client.data_to_send(0.0), 0.0)
    client.receive_data(server.data_to_send(0.0), 0.0)
    assert client.error is not None
    sent = client.data_to_send(0.0)
    assert sent.startswith(b"\x14\x03\x03\x00\x01\x01\x17\x03\x03")


@VERSIONS
def test_key_that_is_not_for_signatures_is_refused_whoever_vouches_for_it(version: Version) -> None:
    """RFC 9846 section 4.5.1.2: digitalSignature must be set if there are key usages."""
    made = pki().leaf("for encipherment", usage=key_usage("key_encipherment"))
    loaded = Identity.load(made.chain_pem, made.key_pem)
    client = client_context(verify=Verify.NONE, minimum_version=version, maximum_version=version)
    pair = link(client, server_context(identity=loaded, minimum_version=Version.TLS12)).start().exchange()
    assert isinstance(pair.client.error, UnsupportedCertificate)


@VERSIONS
def test_timestamps_are_for_those_who_ask(version: Version) -> None:
    """RFC 6962 section 3.3: they come with the certificate, and verify_peer sees them."""
    seen: list[PeerChain] = []
    credential = pki().rsa
    loaded = Identity.load(credential.chain_pem, credential.key_pem, timestamps=[b"log"])
    for asks, expected in ((False, ()), (True, (b"log",))):
        settings = {"certificate_timestamps": asks, "verify_peer": seen.append}
        client = client_context(minimum_version=version, maximum_version=version, **settings)
        pair = link(client, server_context(identity=loaded, minimum_version=Version.TLS12)).handshake()
        assert pair.client.certificate_timestamps == seen[-1].certificate_timestamps == expected
    with pytest.raises(ConfigError, match="timestamp"):
        Identity.load(credential.chain_pem, credential.key_pem, timestamps=[b""])


def test_nothing_signed_nothing_known() -> None:
    pair = link(client_context(verify=Verify.NONE), server_context()).handshake()
    assert pair.server.peer_signature_scheme is None
    assert TLSConnection(Context(verify=Verify.NONE), server_side=False).peer_signature_scheme is None


@pytest.mark.parametrize("at_server", [False, True])
@pytest.mark.parametrize("verdict", [True, None, False])
def test_peer_is_judged_before_there_is_early_data(at_server: bool, verdict: bool | None) -> None:
    """What is refused by now has neither sent nor received any."""
    verdicts = [True, verdict]
    asked: list[PeerChain] = []

    def judge(peer: PeerChain) -> bool | None:
        asked.append(peer)
        return verdicts[len(asked) - 1]

    known: dict[str, Any] = {"verify_peer": judge, "verify_resumed": True}
    client = client_context(identity=identity("client"), **({} if at_server else known))
    server = asking_context(max_early_data=100, **(known if at_server else {}))
    link(client, server).handshake().exchange()
    ours = TLSConnection(client, server_side=False, server_hostname="localhost", early_data=b"early")
    ours.advance(0.0)
    assert len(asked) == (1 if at_server else 2)
    theirs = TLSConnection(server, server_side=True)
    pair = Link(ours, theirs).start().exchange()
    assert asked[-1].certificates == identity("client" if at_server else "ec").chain
    assert len(asked) == 2
    heard = early(pair.server_events)
    if verdict is not False:
        assert heard == b"early"
        assert pair.server.handshake_complete
        return
    assert heard == b""
    assert isinstance((theirs if at_server else ours).error, CertificateVerifyError)
    if not at_server:
        assert ours.early_data_status is EarlyDataStatus.NOT_SENT


def test_raw_key_needs_a_yes_again() -> None:
    """Where nothing else vouches for it, silence is a no, at a resumption too."""
    verdicts = [True, True, None]
    settings = {"trust": None, "peer_certificate_types": "RawPublicKey", "verify_resumed": True}
    client = client_context(verify_peer=lambda _: verdicts.pop(0), **settings)
    server = server_context(identity=Identity.raw_public_key(pki().ec.key_pem))
    for resumed in (False, True):
        assert link(client, server).handshake().client.session_reused is resumed
    assert isinstance(link(client, server).start().exchange().client.error, CertificateVerifyError)
