"""Post-handshake client authentication (RFC 9846 sections 4.3.6 and 4.7.2): one small generator for each exchange.

What both sides sign and confirm is the handshake's transcript and the request, so an exchange goes on with a copy of
the transcript. A Finished is made with the traffic secret that is in use when it is sent; the transport tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from caesura.context import Settings, Verify
from caesura.crypto.hkdf import verify_data
from caesura.crypto.identity import Identity
from caesura.crypto.secrets import TrafficSecret
from caesura.engines import Operation
from caesura.errors import CertificateRequired, IllegalParameter, MissingExtension
from caesura.handshake import client_identity, compression
from caesura.handshake.authenticate13 import authenticate_peer, certificate_message, receive_finished, to_sign
from caesura.handshake.negotiate import put_authorities, put_schemes
from caesura.handshake.requests import Steps, perform
from caesura.handshake.state import Established, Handshake, PeerIdentity
from caesura.handshake.transport import Epoch, MessageTransport, Profile
from caesura.wire.extensions import SIGNATURE_ALGORITHMS, Extensions
from caesura.wire.messages import CertificateRequest, CertificateVerify, Finished, HandshakeMessage
from caesura.wire.registries import HandshakeType

CurrentSecret = Callable[[], TrafficSecret]

_CONTEXT_LENGTH = 32  # bytes: unique on the connection, and nothing a client could have signed before


def exchange(
    established: Established,
    transport: MessageTransport,
    profile: Profile,
    trace: Callable[[str, str, int], object] | None,
    *,
    server_side: bool,
) -> Handshake:
    """What an exchange begins with."""
    assert established.transcript is not None
    return Handshake(
        judging(established.settings) if server_side else established.settings,
        transport,
        profile,
        server_side,
        established.server_hostname,
        trace=trace,
        transcript=established.transcript.copy(),
        epoch=Epoch.APPLICATION,
    )


def judging(settings: Settings) -> Settings:
    """The settings of a server that asks now, also where it does not ask in handshakes: what comes must be good."""
    if settings.verify_mode(server_side=True) is Verify.NONE:
        settings = replace(settings, verify=Verify.OPTIONAL)
    settings.require(server_side=True)
    return settings


# --- the server ---------------------------------------------------------------------------------------------------


def ask_client(
    hs: Handshake, established: Established, secret: CurrentSecret, told: Callable[[PeerIdentity], object]
) -> Steps[None]:
    """Ask for a certificate, judge it, and tell whom the client proved to be. It may take its time to answer."""
    extensions = Extensions()
    put_schemes(hs.settings.client_schemes, extensions)
    put_authorities(hs.settings, extensions)
    compression.offer(hs.settings, extensions)
    request = CertificateRequest(hs.settings.random(_CONTEXT_LENGTH), extensions)
    hs.send(request)
    sent = yield from hs.receive(*compression.certificate_messages(hs.settings))
    message = compression.expanded(hs.settings, sent)
    peer = PeerIdentity()
    if message.certificate_request_context != request.certificate_request_context:
        raise IllegalParameter("another certificate_request_context", section="RFC 9846 section 4.5.1")
    if message.certificate_list:
        peer = yield from authenticate_peer(
            hs, message, extensions, established.client_type, request.certificate_request_context
        )
    elif hs.settings.verify_mode(server_side=True) is Verify.REQUIRED:
        raise CertificateRequired(section="RFC 9846 section 4.5.1.3")
    yield from receive_finished(hs, secret())
    told(peer)


# --- the client ---------------------------------------------------------------------------------------------------


def check_request(request: CertificateRequest) -> None:
    """Hold what RFC 9846 section 4.4.2 demands of every CertificateRequest."""
    request.extensions.check(HandshakeType.certificate_request)
    if request.extensions.get(SIGNATURE_ALGORITHMS) is None:
        raise MissingExtension("signature_algorithms", section="RFC 9846 section 4.4.2")


def answer_server(
    hs: Handshake,
    established: Established,
    request: CertificateRequest,
    secret: CurrentSecret,
    shown: Callable[[Identity | None], object],
) -> Steps[None]:
    """Show our certificate and prove it, or say that we have none that the server could take.

    Nothing is sent before everything can be: the messages of an answer stand together (section 4.7.2).
    """
    hs.transcript.add(request.raw)
    settings, context = hs.settings, request.certificate_request_context
    described = client_identity.describe(established.server_hostname, request, established.client_type)
    chosen = yield from client_identity.choose(settings, described, hs.profile.version13)
    certificate: HandshakeMessage = certificate_message(None, context, None)
    if chosen is not None:
        identity, scheme = chosen
        plain = certificate_message(identity, context, None)
        algorithm = compression.choose(settings, request.extensions)
        certificate = plain if algorithm is None else compression.compressed(identity, plain, algorithm)
    answer: list[HandshakeMessage] = [certificate]
    hs.transcript.add(certificate.encode())
    if chosen is not None:
        message = to_sign(hs.transcript.digest(), by_server=False)
        signature = yield from perform(Operation.SIGN, identity.key.sign, scheme, message)
        answer.append(CertificateVerify(scheme, signature))
        hs.transcript.add(answer[-1].encode())
    current = secret()
    finished = verify_data(current.suite.hash, current, hs.transcript.digest(), hs.profile.label_prefix)
    answer.append(Finished(finished))
    for each in answer:
        hs.transmit(each)
    shown(chosen[0] if chosen is not None else None)
