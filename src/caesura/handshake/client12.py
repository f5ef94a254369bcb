"""The client's side of TLS 1.2 from the ServerHello on (RFC 5246 section 7.3, figures 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from caesura.context import CertificateRequestInfo
from caesura.crypto.groups import GROUPS, GROUPS12, Group
from caesura.crypto.identity import Identity
from caesura.crypto.signatures import PublicKey
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import (
    DecodeError,
    HandshakeFailure,
    IllegalParameter,
    ProtocolVersionAlert,
)
from caesura.handshake import client_identity, psk12, raw_keys
from caesura.handshake.authenticate import Proof, judge, judge_again
from caesura.handshake.authenticate12 import (
    CURVES,
    receive_certificate,
    receive_finished,
    send_certificate,
    send_finished,
    sign_messages,
)
from caesura.handshake.client13 import Offer
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule12 import KeyBlock, MainSecret12
from caesura.handshake.state import Established, Handshake, PeerIdentity, remembered
from caesura.handshake.tickets import MAX_LIFETIME, MAX_TICKET
from caesura.handshake.transport import Epoch
from caesura.sessions import Session
from caesura.wire.extensions import (
    ALPN_SERVER,
    EC_POINT_FORMATS,
    EXTENDED_MASTER_SECRET,
    RENEGOTIATION_INFO,
    SIGNED_CERTIFICATE_TIMESTAMP_LIST,
    Extensions,
)
from caesura.wire.messages import DOWNGRADE_TLS11, DOWNGRADE_TLS12, ServerHello
from caesura.wire.messages12 import (
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket,
    ServerHelloDone,
    ServerKeyExchange,
    check_server_hello_extensions,
)
from caesura.wire.registries import CertificateType, ECPointFormat, ExtensionType, NamedGroup, SignatureScheme


@dataclass(slots=True)
class Accepted:
    """What the server has chosen of the offer."""

    suite: Suite
    server_random: bytes
    session_id: bytes
    alpn: str | None
    session: Session | None  # the one that resumes
    answers: Extensions  # of the ServerHello
    staples: bool  # an OCSP response may follow
    timestamps: tuple[bytes, ...]  # of the certificate that follows
    gives_ticket: bool


@dataclass(slots=True)
class Authenticated:
    """What the server's first flight has proven."""

    peer: PeerIdentity
    group: Group
    public: bytes
    request: CertificateRequest | None
    client_type: CertificateType  # of the certificate that is requested


def client12(hs: Handshake, offer: Offer, hello: ServerHello) -> Steps[Established]:
    """The handshake from the ServerHello on."""
    accepted = accept(hs, offer, hello)
    hs.join(hello)
    if accepted.session is not None:
        return (yield from resume(hs, offer, accepted, accepted.session))
    group: NamedGroup | None
    identity: Identity | None = None
    if accepted.suite.psk:
        assert offer.psk12 is not None  # else the suite was not on offer
        (main, peer), group = yield from psk12.agree_as_client(hs, accepted.suite, offer.psk12)
    else:
        main, peer, group, identity = yield from agree(hs, accepted)
    hs.transcript.start(accepted.suite.hash)
    keys = start_keys(hs, accepted, main)

    hs.install_write(Epoch.APPLICATION, keys.client)
    send_finished(hs, main)
    ticket = yield from receive_ticket(hs, accepted)
    hs.install_read(Epoch.APPLICATION, keys.server)
    yield from receive_finished(hs, main)
    return established(
        hs,
        offer,
        accepted,
        main,
        group=group,
        peer=peer,
        identity=identity,
        session=new_session(hs, offer, accepted, main, group, peer, ticket),
    )


def agree(hs: Handshake, accepted: Accepted) -> Steps[tuple[MainSecret12, PeerIdentity, NamedGroup, Identity | None]]:
    """Judge the server, exchange keys, and show our certificate if it wants one; which identity that was."""
    suite = accepted.suite
    server = yield from authenticate_server(hs, accepted)
    share, preliminary = yield from perform(Operation.KEY_EXCHANGE, server.group.respond, server.public)
    signer: tuple[Identity, SignatureScheme] | None = None
    if server.request is not None:
        described = describe(hs, server.request, server.client_type)
        signer = yield from client_identity.choose(hs.settings, described, hs.profile.version12)
        send_certificate(hs, signer[0] if signer is not None else None, server.client_type)
    hs.send(ClientKeyExchange(share))
    main = MainSecret12.extended(suite, preliminary, hs.transcript.digest_with(suite.hash, b""))
    if signer is not None:
        yield from sign_messages(hs, *signer)
    return main, server.peer, server.group.code, signer[0] if signer is not None else None


def resume(hs: Handshake, offer: Offer, accepted: Accepted, session: Session) -> Steps[Established]:
    """The abbreviated handshake: the server's Finished comes first (figure 2)."""
    main = MainSecret12(accepted.suite, session.psk)
    hs.transcript.start(accepted.suite.hash)
    keys = start_keys(hs, accepted, main)
    ticket = yield from receive_ticket(hs, accepted)
    hs.install_read(Epoch.APPLICATION, keys.server)
    yield from receive_finished(hs, main)
    peer = remembered(session)
    yield from judge_again(hs, peer)
    hs.install_write(Epoch.APPLICATION, keys.client)
    send_finished(hs, main)
    renewed = new_session(hs, offer, accepted, main, session.group, peer, ticket) if ticket is not None else None
    if renewed is None and hs.settings.sessions is not None:  # what was offered may be offered again
        renewed = replace(session, resumable=True)
    elif renewed is not None:
        # The main secret is the old one still, so its age counts from when it was made.
        renewed.received = session.received
        renewed.ticket_lifetime = session.ticket_lifetime
    return established(hs, offer, accepted, main, group=session.group, peer=peer, identity=None, session=renewed)


def established(
    hs: Handshake,
    offer: Offer,
    accepted: Accepted,
    main: MainSecret12,
    *,
    group: NamedGroup | None,
    peer: PeerIdentity,
    identity: Identity | None,
    session: Session | None,
) -> Established:
    """What is left of the handshake."""
    return Established(
        version=hs.profile.version12,
        suite=accepted.suite,
        group=group,
        alpn=accepted.alpn,
        server_hostname=hs.server_hostname,
        peer=peer,
        identity=identity,
        session_reused=accepted.session is not None,
        settings=hs.settings,
        exporter=main.exporter(hs.client_random, accepted.server_random),
        resumption=None,
        binding=offer.binding,
        session=session,
    )


# --- the ServerHello ----------------------------------------------------------------------------------------------


def accept(hs: Handshake, offer: Offer, hello: ServerHello) -> Accepted:
    """Check the ServerHello against what was offered (RFC 5246 section 7.4.1.3)."""
    section = "RFC 5246 section 7.4.1.3"
    if hs.profile.version13 in hs.settings.versions and hello.random.endswith((DOWNGRADE_TLS12, DOWNGRADE_TLS11)):
        raise IllegalParameter(
            "a server of TLS 1.3 was made to choose a version before it", section="RFC 9846 section 4.2.3"
        )
    if hello.legacy_version != hs.profile.legacy_version:
        raise ProtocolVersionAlert(f"the server chose version {hello.legacy_version:#06x}", section=section)
    if hello.legacy_compression_method != 0:
        raise IllegalParameter("a compression method", section=section)
    suite = SUITES.get(hello.cipher_suite)
    offered = hello.cipher_suite in offer.hello.cipher_suites
    if suite is None or not offered or hs.profile.version12 not in suite.versions:
        raise IllegalParameter("a cipher suite that was not offered for TLS 1.2", section=section)
    hs.agree(hs.profile.version12)
    check_extensions(offer, hello)
    hs.transport.peer_extensions(hello.extensions)
    return Accepted(
        suite=suite,
        server_random=hello.random,
        session_id=hello.legacy_session_id_echo,
        alpn=chosen_protocol(hs, hello),
        session=accepted_session(hs, offer, hello),
        answers=hello.extensions,
        staples=ExtensionType.status_request in hello.extensions,
        timestamps=hello.extensions.get(SIGNED_CERTIFICATE_TIMESTAMP_LIST) or (),
        gives_ticket=ExtensionType.session_ticket in hello.extensions,
    )


def check_extensions(offer: Offer, hello: ServerHello) -> None:
    """Those that are well-formed, were asked for, and without which there is no safe TLS 1.2."""
    extensions = hello.extensions
    check_server_hello_extensions(extensions, offer.hello.extensions)
    if extensions.get(EXTENDED_MASTER_SECRET) is None:
        raise HandshakeFailure("the server does not know extended_master_secret", section="RFC 7627 section 5.2")
    if extensions.get(RENEGOTIATION_INFO) != b"":
        # Without it somebody may have begun this connection, and our handshake may be a renegotiation to the server.
        raise HandshakeFailure(
            "renegotiation_info is missing, or not that of a new connection", section="RFC 5746 section 4.1"
        )
    if ECPointFormat.uncompressed not in (extensions.get(EC_POINT_FORMATS) or (ECPointFormat.uncompressed,)):
        raise IllegalParameter("no uncompressed points", section="RFC 8422 section 5.2")


def chosen_protocol(hs: Handshake, hello: ServerHello) -> str | None:
    """The application protocol the server chose (RFC 7301)."""
    protocol = hello.extensions.get(ALPN_SERVER)
    if protocol is None:
        return None
    text = protocol.decode("latin-1")
    if text not in hs.settings.alpn:
        raise IllegalParameter("an application protocol that was not offered", section="RFC 7301 section 3.1")
    return text


def accepted_session(hs: Handshake, offer: Offer, hello: ServerHello) -> Session | None:
    """The session the server resumes: it says so by the session id that came with it (RFC 5077 section 3.4)."""
    session_id = hello.legacy_session_id_echo
    if not session_id or session_id != offer.hello.legacy_session_id:
        return None
    session = offer.session
    if session is None or session.version != hs.profile.version12:
        raise IllegalParameter("the server resumes a session that was not offered", section="RFC 9846 section 4.2.3")
    if session.cipher_suite != hello.cipher_suite:
        raise IllegalParameter("another cipher suite than that of the session", section="RFC 5246 section 7.4.1.3")
    return session


# --- the server's flight ------------------------------------------------------------------------------------------


def authenticate_server(hs: Handshake, accepted: Accepted) -> Steps[Authenticated]:
    """Take the server's certificate and its signed key share, and its request for our certificate if there is one."""
    section = "RFC 5246 section 7.4.2"
    chain, key = yield from receive_certificate(hs, raw_keys.server_type(hs.settings, accepted.answers))
    if key is None:
        raise DecodeError("the server sent no certificate", section=section)
    check_key(hs, accepted.suite, key)
    ocsp_response, exchange = yield from receive_key_exchange(hs, accepted)
    params = exchange.params
    if params.named_curve not in hs.settings.groups or params.named_curve not in GROUPS12:
        raise IllegalParameter("a curve that was not offered", section="RFC 8422 section 5.4")
    signed = hs.client_random + accepted.server_random + params.encode()
    proof = Proof(chain, ocsp_response, key, exchange.algorithm, exchange.signature, signed, accepted.timestamps)
    peer = yield from judge(hs, hs.profile.version12, proof)
    request: CertificateRequest | None = None
    client_type = raw_keys.X509
    message = yield from hs.receive(CertificateRequest, ServerHelloDone)
    if isinstance(message, CertificateRequest):
        request = message
        client_type = raw_keys.client_type(hs.settings, accepted.answers)
        yield from hs.receive(ServerHelloDone)
    return Authenticated(peer, GROUPS[params.named_curve], params.public, request, client_type)


def check_key(hs: Handshake, suite: Suite, key: PublicKey) -> None:
    """The server's key is of the kind that the suite names, and on a curve that we have (RFC 8422 section 5.1.1)."""
    kind = key.kind
    if kind not in suite.signers:
        raise IllegalParameter(
            f"a certificate whose key is {kind.value}, under {suite.name}", section="RFC 8422 section 2"
        )
    if kind in CURVES and CURVES[kind] not in hs.settings.groups:
        raise IllegalParameter("a certificate on a curve that was not offered", section="RFC 8422 section 5.1.1")


def receive_key_exchange(hs: Handshake, accepted: Accepted) -> Steps[tuple[bytes | None, ServerKeyExchange]]:
    """Take the ServerKeyExchange, and before it a stapled OCSP response, which may be left out (RFC 6066 section 8)."""
    if not accepted.staples:
        return None, (yield from hs.receive(ServerKeyExchange))
    message = yield from hs.receive(CertificateStatus, ServerKeyExchange)
    if isinstance(message, CertificateStatus):
        return message.response, (yield from hs.receive(ServerKeyExchange))
    assert isinstance(message, ServerKeyExchange)
    return None, message


def describe(hs: Handshake, request: CertificateRequest, kind: CertificateType) -> CertificateRequestInfo:
    """What `select_client_identity` is told."""
    return CertificateRequestInfo(
        hs.server_hostname,
        kind,
        request.supported_signature_algorithms,
        request.certificate_authorities,
        request.certificate_types,
    )


# --- keys and sessions --------------------------------------------------------------------------------------------


def start_keys(hs: Handshake, accepted: Accepted, main: MainSecret12) -> KeyBlock:
    """The record keys of this connection."""
    hs.log_secrets(CLIENT_RANDOM=main.secret)
    return main.key_block(hs.client_random, accepted.server_random)


def receive_ticket(hs: Handshake, accepted: Accepted) -> Steps[NewSessionTicket | None]:
    """Take the ticket, if one was announced; an empty one is none (RFC 5077 section 3.3)."""
    if not accepted.gives_ticket:
        return None
    message = yield from hs.receive(NewSessionTicket)
    return message if 0 < len(message.ticket) <= MAX_TICKET else None


def new_session(
    hs: Handshake,
    offer: Offer,
    accepted: Accepted,
    main: MainSecret12,
    group: NamedGroup | None,
    peer: PeerIdentity,
    ticket: NewSessionTicket | None,
) -> Session | None:
    """What a later handshake may resume: by the ticket, or else by the session id, if the server has given one."""
    settings = hs.settings
    if settings.sessions is None or (ticket is None and not accepted.session_id):
        return None
    hint = ticket.ticket_lifetime_hint if ticket is not None else 0
    return Session(
        version=hs.profile.version12,
        cipher_suite=accepted.suite.code,
        psk=main.secret,
        ticket=ticket.ticket if ticket is not None else b"",
        ticket_age_add=0,
        ticket_lifetime=min(hint or settings.ticket_lifetime, MAX_LIFETIME),
        received=settings.clock.wall(),
        valid_until=peer.valid_until,
        binding=offer.binding,
        server_hostname=hs.server_hostname,
        alpn=accepted.alpn,
        peer_certificates=peer.certificates,
        peer_public_key=peer.public_key,
        ocsp_response=peer.ocsp_response,
        signature_scheme=peer.signature_scheme,
        timestamps=peer.timestamps,
        group=group,
        session_id=accepted.session_id if ticket is None else b"",
        psk_identity=peer.psk_identity,
    )


def keep_session(done: Established, received: Callable[[Session], None]) -> Steps[None]:
    """Store the session, and tell the application."""
    assert done.session is not None
    assert done.settings.sessions is not None
    yield from perform(Operation.STORE_SESSION, done.settings.sessions.put, done.session)
    received(done.session)
