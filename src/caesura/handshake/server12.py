"""The server's side of TLS 1.2 once everything is chosen (RFC 5246 section 7.3, figures 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.context import Settings, Verify
from caesura.crypto.groups import Group, KeyPair, group_of
from caesura.crypto.identity import Identity
from caesura.crypto.signatures import PublicKey
from caesura.crypto.suites import Suite
from caesura.engines import Operation
from caesura.errors import HandshakeFailure
from caesura.handshake import psk12, raw_keys, tickets
from caesura.handshake.authenticate import Proof, judge, judge_again
from caesura.handshake.authenticate12 import receive_certificate, receive_finished, send_certificate, send_finished
from caesura.handshake.negotiate import staple
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule12 import KeyBlock, MainSecret12
from caesura.handshake.state import Established, Handshake, PeerIdentity
from caesura.handshake.tickets import TicketState
from caesura.handshake.transport import Epoch
from caesura.wire.extensions import (
    ALPN_SERVER,
    EC_POINT_FORMATS,
    EXTENDED_MASTER_SECRET,
    RENEGOTIATION_INFO,
    SERVER_NAME_ACCEPTED,
    SESSION_TICKET,
    SIGNED_CERTIFICATE_TIMESTAMP_LIST,
    STATUS_REQUEST_SERVER,
    Extensions,
)
from caesura.wire.messages import DOWNGRADE_TLS12, CertificateVerify, ClientHello, ServerHello
from caesura.wire.messages12 import (
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
)
from caesura.wire.registries import (
    CertificateType,
    CipherSuite,
    ClientCertificateType,
    ECPointFormat,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
)

_SERVER_HELLO_DONE: Final = ServerHelloDone()
_SERVER_HELLO_DONE.encode()


@dataclass(slots=True)
class Choice:
    """What the server chose of what the client offered."""

    suite: Suite
    group: Group | None  # of the key exchange, if there is one
    alpn: str | None
    server_name: str | None
    signer: tuple[Identity, SignatureScheme] | None  # None where a pre-shared key takes its place
    resumed: TicketState | None
    binding: bytes
    gives_ticket: bool
    session_id: bytes  # of the ServerHello; a new one is that of a session to be stored
    client_type: CertificateType | None  # of the certificate that the client is asked for; None: it is not asked


def server12(hs: Handshake, hello: ClientHello, choice: Choice) -> Steps[Established]:
    """The handshake from the ServerHello on."""
    hs.transport.peer_extensions(hello.extensions)
    hs.join(hello)
    staple = ocsp_response(hs.settings, hello, choice)
    server_random = send_server_hello(hs, hello, choice, stapled=staple is not None)
    if choice.resumed is not None:
        return (yield from resume(hs, choice, choice.resumed, server_random))
    if choice.signer is None:
        main, peer = yield from psk12.agree_as_server(hs, choice.suite, choice.group)
    else:
        main, peer = yield from agree(hs, choice, *choice.signer, server_random, staple)
    hs.transcript.start(choice.suite.hash)
    keys = start_keys(hs, main, server_random)
    hs.install_read(Epoch.APPLICATION, keys.client)
    yield from receive_finished(hs, main)

    yield from give_session(hs, choice, main, peer)
    hs.install_write(Epoch.APPLICATION, keys.server)
    send_finished(hs, main)
    group = choice.group.code if choice.group is not None else None
    return established(hs, choice, main, server_random, group=group, peer=peer)


def agree(
    hs: Handshake,
    choice: Choice,
    identity: Identity,
    scheme: SignatureScheme,
    server_random: bytes,
    staple: bytes | None,
) -> Steps[tuple[MainSecret12, PeerIdentity]]:
    """Show our certificate, exchange keys, and judge the client if we ask for its own."""
    send_certificate(hs, identity, identity.certificate_type)
    if staple is not None:
        hs.send(CertificateStatus(staple))
    assert choice.group is not None
    pair = yield from send_key_exchange(hs, choice.group, identity, scheme, server_random)
    request = certificate_request(hs.settings) if choice.client_type is not None else None
    if request is not None:
        hs.send(request)
    hs.send(_SERVER_HELLO_DONE, _SERVER_HELLO_DONE.raw)

    suite = choice.suite
    if request is None:
        hs.transcript.start(suite.hash)  # nobody will sign the messages themselves
    chain: tuple[bytes, ...] = ()
    key: PublicKey | None = None
    if choice.client_type is not None:
        chain, key = yield from receive_client_certificate(hs, choice.client_type)
    exchange = yield from hs.receive(ClientKeyExchange)
    preliminary = yield from perform(Operation.KEY_EXCHANGE, pair.exchange, exchange.public)
    main = MainSecret12.extended(suite, preliminary, hs.transcript.digest_with(suite.hash, b""))
    return main, (yield from receive_proof(hs, chain, key)) if key is not None else PeerIdentity()


def resume(hs: Handshake, choice: Choice, state: TicketState, server_random: bytes) -> Steps[Established]:
    """The abbreviated handshake: our Finished comes first (figure 2).

    There is no new ticket: the main secret stays the one it was, and shall not outlive `ticket_lifetime`.
    """
    main = MainSecret12(choice.suite, state.psk)
    hs.transcript.start(choice.suite.hash)
    keys = start_keys(hs, main, server_random)
    hs.install_write(Epoch.APPLICATION, keys.server)
    send_finished(hs, main)
    hs.install_read(Epoch.APPLICATION, keys.client)
    yield from receive_finished(hs, main)
    peer = PeerIdentity(
        state.peer_certificates,
        None,
        state.valid_until,
        state.peer_public_key or None,
        psk_identity=state.psk_identity or None,
        signature_scheme=state.signature_scheme or None,
    )
    yield from judge_again(hs, peer)
    return established(hs, choice, main, server_random, group=group_of(state.group), peer=peer)


def established(
    hs: Handshake,
    choice: Choice,
    main: MainSecret12,
    server_random: bytes,
    *,
    group: NamedGroup | None,
    peer: PeerIdentity,
) -> Established:
    """What is left of the handshake."""
    return Established(
        version=hs.profile.version12,
        suite=choice.suite,
        group=group,
        alpn=choice.alpn,
        server_hostname=choice.server_name,
        peer=peer,
        identity=choice.signer[0] if choice.signer is not None else None,
        session_reused=choice.resumed is not None,
        settings=hs.settings,
        exporter=main.exporter(hs.client_random, server_random),
        resumption=None,
        binding=choice.binding,
    )


# --- the first flight ---------------------------------------------------------------------------------------------


def send_server_hello(hs: Handshake, hello: ClientHello, choice: Choice, *, stapled: bool) -> bytes:
    """Answer the hello; our random, which says so if a newer version could have been agreed on."""
    settings = hs.settings
    random = settings.random(32)
    if hs.profile.version13 in settings.versions:
        random = random[: -len(DOWNGRADE_TLS12)] + DOWNGRADE_TLS12  # RFC 9846 section 4.2.3
    extensions = answers(hs, hello, choice, stapled=stapled)
    hs.send(ServerHello(hs.profile.legacy_version, random, choice.session_id, choice.suite.code, 0, extensions))
    return random


def answers(hs: Handshake, hello: ClientHello, choice: Choice, *, stapled: bool) -> Extensions:
    """The extensions of the ServerHello."""
    asked = hello.extensions
    extensions = hs.transport.own_extensions(HandshakeType.server_hello, asked)
    extensions.put(EXTENDED_MASTER_SECRET, True)
    scsv = CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV
    if ExtensionType.renegotiation_info in asked or scsv in hello.cipher_suites:
        extensions.put(RENEGOTIATION_INFO, b"")
    if choice.alpn is not None:
        extensions.put(ALPN_SERVER, choice.alpn.encode("latin-1"))
    raw_keys.answer(asked, extensions, choice.signer[0] if choice.signer is not None else None, choice.client_type)
    if choice.resumed is not None:
        return extensions
    if choice.server_name is not None:
        extensions.put(SERVER_NAME_ACCEPTED, True)
    if ExtensionType.ec_point_formats in asked and choice.group is not None:
        extensions.put(EC_POINT_FORMATS, (ECPointFormat.uncompressed,))
    if stapled:
        extensions.put(STATUS_REQUEST_SERVER, True)
    if (
        ExtensionType.signed_certificate_timestamp in asked
        and choice.signer is not None
        and choice.signer[0].timestamps
    ):
        extensions.put(SIGNED_CERTIFICATE_TIMESTAMP_LIST, choice.signer[0].timestamps)
    if choice.gives_ticket:
        extensions.put(SESSION_TICKET, b"")
    return extensions


def ocsp_response(settings: Settings, hello: ClientHello, choice: Choice) -> bytes | None:
    """The OCSP response to send along: the identity's own before the context's, if the client asked for one."""
    if choice.resumed is not None or choice.signer is None:
        return None
    return staple(settings, hello, choice.signer[0])


def send_key_exchange(
    hs: Handshake, group: Group, identity: Identity, scheme: SignatureScheme, server_random: bytes
) -> Steps[KeyPair]:
    """Send our share, signed together with both randoms (RFC 8422 section 5.4); the key pair."""
    pair = yield from perform(Operation.GENERATE_KEY, group.generate)
    params = ServerECDHParams(group.code, pair.share)
    signed = hs.client_random + server_random + params.encode()
    signature = yield from perform(Operation.SIGN, identity.key.sign, scheme, signed)
    hs.send(ServerKeyExchange(params, scheme, signature))
    return pair


def certificate_request(settings: Settings) -> CertificateRequest:
    """The wish for a client certificate."""
    types = (ClientCertificateType.ecdsa_sign, ClientCertificateType.rsa_sign)
    return CertificateRequest(types, settings.client_schemes, settings.certificate_authorities)


# --- the client's flight, and the last one ---------------------------------------------------------------------------


def receive_client_certificate(
    hs: Handshake, kind: CertificateType
) -> Steps[tuple[tuple[bytes, ...], PublicKey | None]]:
    """Take the client's certificate, which may be none unless we insist (RFC 5246 section 7.4.6)."""
    chain, key = yield from receive_certificate(hs, kind)
    if key is None and hs.settings.verify_mode(server_side=True) is Verify.REQUIRED:
        raise HandshakeFailure("a client certificate is required and none was given", section="RFC 5246 section 7.4.6")
    return chain, key


def receive_proof(hs: Handshake, chain: tuple[bytes, ...], key: PublicKey) -> Steps[PeerIdentity]:
    """Take the client's CertificateVerify; whom it proves."""
    proof = yield from hs.receive_raw(CertificateVerify)
    signed = hs.transcript.messages()
    peer = yield from judge(hs, hs.profile.version12, Proof(chain, None, key, proof.algorithm, proof.signature, signed))
    hs.transcript.add(proof.raw)
    return peer


def start_keys(hs: Handshake, main: MainSecret12, server_random: bytes) -> KeyBlock:
    """The record keys of this connection."""
    hs.log_secrets(CLIENT_RANDOM=main.secret)
    return main.key_block(hs.client_random, server_random)


def give_session(hs: Handshake, choice: Choice, main: MainSecret12, peer: PeerIdentity) -> Steps[None]:
    """Give the client its ticket, or store the session under the id that it was given."""
    if not choice.gives_ticket and not choice.session_id:
        return
    settings = hs.settings
    now = int(settings.clock.wall())
    state = tickets.new_state(
        version=hs.profile.version12,
        suite=choice.suite,
        psk=main.secret,
        created=now,
        valid_until=min(peer.valid_until, now + tickets.MAX_LIFETIME),
        binding=choice.binding,
        transport_state=hs.transport.ticket_state(),
        peer_certificates=peer.certificates,
        peer_public_key=peer.public_key,
        signature_scheme=peer.signature_scheme,
        group=choice.group.code if choice.group is not None else None,
        psk_identity=peer.psk_identity,
    )
    sealed = yield from tickets.sealed(settings, state)
    if len(sealed) > tickets.MAX_TICKET:  # the client's chain is too long for it: then there is no resumption
        sealed = b""
    if choice.gives_ticket:
        lifetime = max(0, min(settings.ticket_lifetime, state.valid_until - now))
        hs.send(NewSessionTicket(lifetime, sealed if lifetime else b""))
    elif sealed and settings.server_sessions is not None:
        yield from perform(Operation.STORE_SESSION, settings.server_sessions.put, choice.session_id, sealed)
