"""The client's side of TLS 1.3 from the ServerHello on (RFC 9846 section 2, figures 1 and 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from caesura.crypto.groups import KeyPair
from caesura.crypto.identity import Identity
from caesura.crypto.psk import PSK
from caesura.crypto.secrets import SharedSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import DecodeError, IllegalParameter, MissingExtension, ProtocolVersionAlert
from caesura.handshake import client_identity, early_data, raw_keys
from caesura.handshake.authenticate import judge_again
from caesura.handshake.authenticate13 import (
    authenticate_peer,
    certificate_message,
    prove_identity,
    receive_finished,
    send_finished,
)
from caesura.handshake.compression import certificate_messages, choose, expanded
from caesura.handshake.psk import OfferedKey, holder_of
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule13 import EarlySecret, HandshakeSecret
from caesura.handshake.state import Established, Handshake, PeerIdentity, remembered
from caesura.handshake.transport import Epoch
from caesura.sessions import Session
from caesura.wire.extensions import (
    ALPN_SERVER,
    CLIENT_CERTIFICATE_TYPE,
    KEY_SHARE_SERVER,
    PRE_SHARED_KEY_SERVER,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_VERSIONS_SERVER,
    Extensions,
)
from caesura.wire.messages import (
    DOWNGRADE_TLS11,
    DOWNGRADE_TLS12,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    ServerHello,
)
from caesura.wire.registries import CertificateType, ExtensionType, HandshakeType

_SECTION_PSK: Final = "RFC 9846 section 4.3.11"


@dataclass(slots=True)
class Offer:
    """What the client has offered, and the secrets that go with it."""

    hello: ClientHello
    key_pairs: dict[int, KeyPair] = field(repr=False)
    session: Session | None
    keys: list[OfferedKey]  # pre-shared ones of TLS 1.3, in the order they were offered in
    binding: bytes
    early: bool = False  # whether early data is on offer
    psk12: PSK | None = None  # the external key, if TLS 1.2 is agreed on with a suite that needs one
    retried: ServerHello | None = None


@dataclass(slots=True)
class Accepted:
    """What the server has chosen of it."""

    suite: Suite
    key_pair: KeyPair = field(repr=False)
    share: bytes
    key: OfferedKey | None  # the pre-shared one


def client13(hs: Handshake, offer: Offer, hello: ServerHello) -> Steps[Established]:
    """The handshake from the ServerHello on."""
    accepted = accept(hs, offer, hello)
    secret = yield from exchange_keys(hs, accepted, hello)
    keys = secret.traffic(hs.transcript.digest())
    hs.log_secrets(CLIENT_HANDSHAKE_TRAFFIC_SECRET=keys.client, SERVER_HANDSHAKE_TRAFFIC_SECRET=keys.server)
    hs.install_read(Epoch.HANDSHAKE, keys.server)
    if not (offer.early and hs.profile.end_of_early_data):  # else early data may follow until we know the answer
        hs.install_write(Epoch.HANDSHAKE, keys.client)
    answers = yield from receive_encrypted_extensions(hs, offer)
    alpn = agreed_protocol(hs, answers)
    early = offer.early and early_data.answered(hs, offer.keys, accepted.key, accepted.suite, alpn, answers)
    if offer.early and not early:
        hs.install_write(Epoch.HANDSHAKE, keys.client)
    if accepted.key is None:
        request, peer = yield from authenticate_server(hs, offer, answers)
    else:
        request, peer = None, proved_by(hs, accepted.key)
        if not early:  # else it was asked before the hello
            yield from judge_again(hs, peer)
    yield from receive_finished(hs, keys.server)

    main = secret.main()
    transcript_hash = hs.transcript.digest()
    traffic = main.traffic(transcript_hash)
    exporter = main.exporter(transcript_hash)
    hs.log_secrets(
        CLIENT_TRAFFIC_SECRET_0=traffic.client, SERVER_TRAFFIC_SECRET_0=traffic.server, EXPORTER_SECRET=exporter
    )
    hs.install_read(Epoch.APPLICATION, traffic.server)
    if early and hs.profile.end_of_early_data:
        early_data.end(hs, keys.client)
    identity = None
    if request is not None:
        identity = yield from answer_request(hs, request, raw_keys.client_type(hs.settings, answers))
    send_finished(hs, keys.client)
    hs.install_write(Epoch.APPLICATION, traffic.client)
    return Established(
        version=hs.profile.version13,
        suite=accepted.suite,
        group=accepted.key_pair.group.code,
        alpn=alpn,
        server_hostname=hs.server_hostname,
        peer=peer,
        identity=identity,
        session_reused=accepted.key is not None and accepted.key.session is not None,
        settings=hs.settings,
        exporter=exporter,
        resumption=main.resumption(hs.transcript.digest()) if hs.settings.sessions is not None else None,
        binding=offer.binding,
        transcript=hs.transcript if may_be_asked_later(offer, peer) else None,
        client_type=CertificateType(answers.get(CLIENT_CERTIFICATE_TYPE) or CertificateType.X509),
    )


def accept(hs: Handshake, offer: Offer, hello: ServerHello) -> Accepted:
    """Check the ServerHello against what was offered (RFC 9846 section 4.2.3)."""
    suite = check_server_hello(hs, offer, hello)
    hs.agree(hs.profile.version13)
    hello.extensions.check(HandshakeType.server_hello, offer.hello.extensions)
    hs.transport.peer_extensions(hello.extensions)
    if offer.retried is not None and hello.cipher_suite != offer.retried.cipher_suite:
        raise IllegalParameter("a suite other than the HelloRetryRequest's", section="RFC 9846 section 4.2.4")
    share = hello.extensions.get(KEY_SHARE_SERVER)
    if share is None and ExtensionType.pre_shared_key in hello.extensions:  # we offer psk_dhe_ke only
        raise IllegalParameter("a pre-shared key without a key share", section="RFC 9846 section 4.3.11")
    if share is None:
        raise MissingExtension("key_share", section="RFC 9846 section 4.2.3")
    key_pair = offer.key_pairs.get(share.group)
    if key_pair is None:
        raise IllegalParameter("a key share of a group for which none was sent", section="RFC 9846 section 4.3.8")
    key = accepted_key(offer, hello, suite)
    if key is None and hs.settings.psk_only:
        raise MissingExtension("pre_shared_key: there is nothing to judge certificates by", section=_SECTION_PSK)
    return Accepted(suite, key_pair, share.key_exchange, key)


def check_server_hello(hs: Handshake, offer: Offer, hello: ServerHello) -> Suite:
    """What holds for a ServerHello and a HelloRetryRequest alike."""
    section = "RFC 9846 section 4.2.3"
    version = hello.extensions.get(SUPPORTED_VERSIONS_SERVER)
    if version is None and hello.random.endswith((DOWNGRADE_TLS12, DOWNGRADE_TLS11)):
        raise IllegalParameter("a server of TLS 1.3 was made to choose a version before it", section=section)
    if version is None:
        raise ProtocolVersionAlert("the server chose a version before TLS 1.3", section=section)
    if version != hs.profile.version13:
        raise IllegalParameter("the server chose a version that was not offered", section=section)
    if hello.legacy_version != hs.profile.legacy_version:
        raise ProtocolVersionAlert(f"legacy_version {hello.legacy_version:#06x}", section=section)
    if hello.legacy_session_id_echo != (offer.hello.legacy_session_id if hs.profile.echoes_session_id else b""):
        raise IllegalParameter("legacy_session_id_echo is not what it must be", section=section)
    if hello.legacy_compression_method != 0:
        raise IllegalParameter("a compression method", section=section)
    suite = SUITES.get(hello.cipher_suite)
    offered = hello.cipher_suite in offer.hello.cipher_suites
    if suite is None or not offered or hs.profile.version13 not in suite.versions:
        raise IllegalParameter("a cipher suite that was not offered", section=section)
    return suite


def accepted_key(offer: Offer, hello: ServerHello, suite: Suite) -> OfferedKey | None:
    """The pre-shared key that the server takes, or None (RFC 9846 section 4.3.11)."""
    selected = hello.extensions.get(PRE_SHARED_KEY_SERVER)
    if selected is None:
        return None
    if selected >= len(offer.keys):
        raise IllegalParameter("a pre-shared key that was not offered", section=_SECTION_PSK)
    key = offer.keys[selected]
    if key.hash is not suite.hash:
        raise IllegalParameter("a suite whose hash is not that of the pre-shared key", section=_SECTION_PSK)
    return key


def exchange_keys(hs: Handshake, accepted: Accepted, hello: ServerHello) -> Steps[HandshakeSecret]:
    """The handshake secret, from the server's share and the pre-shared key if there is one."""
    shared: SharedSecret = yield from perform(Operation.KEY_EXCHANGE, accepted.key_pair.exchange, accepted.share)
    hs.transcript.start(accepted.suite.hash)
    hs.transcript.add(hello.raw)
    if accepted.key is not None:
        return accepted.key.early.handshake(accepted.suite, shared)
    return EarlySecret(accepted.suite.hash, hs.profile.label_prefix, None).handshake(accepted.suite, shared)


def receive_encrypted_extensions(hs: Handshake, offer: Offer) -> Steps[Extensions]:
    """Take the EncryptedExtensions."""
    message = yield from hs.receive(EncryptedExtensions)
    message.extensions.check(HandshakeType.encrypted_extensions, offer.hello.extensions)
    hs.transport.peer_extensions(message.extensions)
    return message.extensions


def agreed_protocol(hs: Handshake, answers: Extensions) -> str | None:
    """The application protocol the server chose."""
    protocol = answers.get(ALPN_SERVER)
    if protocol is None:
        return None
    text = protocol.decode("latin-1")
    if text not in hs.settings.alpn:
        raise IllegalParameter("an application protocol that was not offered", section="RFC 7301 section 3.1")
    return text


def authenticate_server(
    hs: Handshake, offer: Offer, answers: Extensions
) -> Steps[tuple[CertificateRequest | None, PeerIdentity]]:
    """Take the server's certificate, and its request for ours if there is one."""
    kind = raw_keys.server_type(hs.settings, answers)
    request: CertificateRequest | None = None
    kinds = certificate_messages(hs.settings)
    message = yield from hs.receive(CertificateRequest, *kinds)
    if isinstance(message, CertificateRequest):
        request = check_request(message)
        raw_keys.client_type(hs.settings, answers)
        message = yield from hs.receive(*kinds)
    certificate = expanded(hs.settings, message)
    if not certificate.certificate_list:
        raise DecodeError("the server sent no certificate", section="RFC 9846 section 4.5.1.3")
    return request, (yield from authenticate_peer(hs, certificate, offer.hello.extensions, kind))


def check_request(request: CertificateRequest) -> CertificateRequest:
    """Hold what RFC 9846 section 4.4.2 demands of a CertificateRequest in the handshake."""
    request.extensions.check(HandshakeType.certificate_request)
    if request.certificate_request_context:
        raise IllegalParameter("a certificate_request_context in the handshake", section="RFC 9846 section 4.4.2")
    if request.extensions.get(SIGNATURE_ALGORITHMS) is None:
        raise MissingExtension("signature_algorithms", section="RFC 9846 section 4.4.2")
    return request


def answer_request(hs: Handshake, request: CertificateRequest, kind: CertificateType) -> Steps[Identity | None]:
    """Send our certificate and prove it, or say that we have none that the server could take."""
    described = client_identity.describe(hs.server_hostname, request, kind)
    chosen = yield from client_identity.choose(hs.settings, described, hs.profile.version13)
    if chosen is None:
        hs.send(certificate_message(None, b"", None))
        return None
    identity, scheme = chosen
    yield from prove_identity(hs, identity, scheme, compression=choose(hs.settings, request.extensions))
    return identity


def proved_by(hs: Handshake, key: OfferedKey) -> PeerIdentity:
    """Whom the server proves to be by a pre-shared key: who it was when the session was made, or the key's holder."""
    session = key.session
    if session is None:
        assert key.psk is not None
        return holder_of(hs, key.psk)
    return remembered(session)


def may_be_asked_later(offer: Offer, peer: PeerIdentity) -> bool:
    """Whether the server may ask for a certificate after the handshake; beside an external key it may not."""
    return ExtensionType.post_handshake_auth in offer.hello.extensions and peer.psk_identity is None
