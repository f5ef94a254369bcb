"""The server's side of TLS 1.3 once everything is chosen (RFC 9846 section 2, figures 1 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

from caesura.context import Settings, Verify
from caesura.crypto.groups import Group
from caesura.crypto.identity import Identity
from caesura.crypto.suites import Suite
from caesura.engines import Operation
from caesura.errors import CertificateRequired, IllegalParameter
from caesura.handshake import compression, raw_keys
from caesura.handshake.authenticate13 import authenticate_peer, prove_identity, receive_finished, send_finished
from caesura.handshake.negotiate import put_authorities, put_schemes, staple
from caesura.handshake.psk import External, Resumed, holder_of
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule13 import EarlySecret, HandshakeSecret, TrafficSecrets
from caesura.handshake.state import Established, Handshake, PeerIdentity
from caesura.handshake.transport import Epoch
from caesura.wire.extensions import (
    ALPN_SERVER,
    EARLY_DATA,
    KEY_SHARE_SERVER,
    PRE_SHARED_KEY_SERVER,
    SERVER_NAME,
    SERVER_NAME_ACCEPTED,
    SUPPORTED_VERSIONS_SERVER,
    Extensions,
    KeyShareEntry,
)
from caesura.wire.messages import CertificateRequest, ClientHello, EncryptedExtensions, EndOfEarlyData, ServerHello
from caesura.wire.registries import CertificateType, ExtensionType, HandshakeType, SignatureScheme


@dataclass(slots=True)
class Choice:
    """What the server chose of what the client offered."""

    suite: Suite
    group: Group
    share: KeyShareEntry  # the client's
    alpn: str | None
    server_name: str | None
    identity: Identity | None  # None where a pre-shared key stands for us
    scheme: SignatureScheme | None
    psk: Resumed | External | None
    early: bool  # whether early data is read
    asks: bool  # the client for a certificate
    client_type: CertificateType  # of that one, or of one that it is asked for later
    tickets: bool  # whether the client can use a ticket
    binding: bytes


def server13(hs: Handshake, hello: ClientHello, choice: Choice) -> Steps[Established]:
    """The handshake from the ServerHello on."""
    secret = yield from send_server_hello(hs, hello, choice)
    keys = secret.traffic(hs.transcript.digest())
    hs.log_secrets(CLIENT_HANDSHAKE_TRAFFIC_SECRET=keys.client, SERVER_HANDSHAKE_TRAFFIC_SECRET=keys.server)
    hs.install_write(Epoch.HANDSHAKE, keys.server)
    if not (choice.early and hs.profile.end_of_early_data):
        hs.install_read(Epoch.HANDSHAKE, keys.client)
    hs.send(encrypted_extensions(hs, hello, choice))
    request = certificate_request(hs.settings, choice)
    if request is not None:
        hs.send(request)
    if choice.psk is None:
        assert choice.identity is not None
        assert choice.scheme is not None
        yield from prove_identity(
            hs,
            choice.identity,
            choice.scheme,
            ocsp_response=staple(hs.settings, hello, choice.identity),
            timestamps=timestamps(hello, choice.identity),
            compression=compression.choose(hs.settings, hello.extensions),
        )
    send_finished(hs, keys.server)

    main = secret.main()
    transcript_hash = hs.transcript.digest()
    traffic = main.traffic(transcript_hash)
    exporter = main.exporter(transcript_hash)
    hs.log_secrets(
        CLIENT_TRAFFIC_SECRET_0=traffic.client, SERVER_TRAFFIC_SECRET_0=traffic.server, EXPORTER_SECRET=exporter
    )
    hs.install_write(Epoch.APPLICATION, traffic.server)
    peer = yield from receive_client(hs, keys, request, choice)
    hs.install_read(Epoch.APPLICATION, traffic.client)
    return Established(
        version=hs.profile.version13,
        suite=choice.suite,
        group=choice.group.code,
        alpn=choice.alpn,
        server_hostname=choice.server_name,
        peer=peer,
        identity=choice.identity,
        session_reused=isinstance(choice.psk, Resumed),
        settings=hs.settings,
        exporter=exporter,
        resumption=main.resumption(hs.transcript.digest()) if choice.tickets else None,
        binding=choice.binding,
        transcript=hs.transcript if asks_later(hs, hello) and peer.psk_identity is None else None,
        client_type=choice.client_type,
        ticket_age_skew=choice.psk.age_skew if isinstance(choice.psk, Resumed) else None,
    )


def send_server_hello(hs: Handshake, hello: ClientHello, choice: Choice) -> Steps[HandshakeSecret]:
    """Answer the client's share; the handshake secret."""
    share, shared = yield from perform(Operation.KEY_EXCHANGE, choice.group.respond, choice.share.key_exchange)
    hs.transcript.start(choice.suite.hash)
    hs.transcript.add(hello.raw)
    extensions = Extensions()
    extensions.put(SUPPORTED_VERSIONS_SERVER, hs.profile.version13)
    extensions.put(KEY_SHARE_SERVER, KeyShareEntry(choice.group.code, share))
    if choice.psk is not None:
        extensions.put(PRE_SHARED_KEY_SERVER, choice.psk.index)
    own = hs.transport.own_extensions(HandshakeType.server_hello, hello.extensions)
    for code in own.codes:
        extensions.put_data(code, own.get_data(code) or b"")
    hs.send(server_hello(hs, hello, choice.suite, extensions))
    # From here the handshake may pause for long, and the hello is most of what it holds: 4 KiB with a hybrid share.
    hello.raw = b""
    hello.extensions.remove(ExtensionType.key_share)
    hello.extensions.remove(ExtensionType.pre_shared_key)
    choice.share = KeyShareEntry(choice.group.code, b"")
    early = choice.psk.early if choice.psk is not None else None
    if early is None:
        early = EarlySecret(choice.suite.hash, hs.profile.label_prefix, None)
    return early.handshake(choice.suite, shared)


def server_hello(hs: Handshake, hello: ClientHello, suite: Suite, extensions: Extensions) -> ServerHello:
    """The message (RFC 9846 section 4.2.3)."""
    echo = hello.legacy_session_id if hs.profile.echoes_session_id else b""
    return ServerHello(hs.profile.legacy_version, hs.settings.random(32), echo, suite.code, 0, extensions)


def encrypted_extensions(hs: Handshake, hello: ClientHello, choice: Choice) -> EncryptedExtensions:
    """Answers that need not be seen by others (RFC 9846 section 4.4.1)."""
    extensions = hs.transport.own_extensions(HandshakeType.encrypted_extensions, hello.extensions)
    if hello.extensions.get(SERVER_NAME) is not None and choice.psk is None:
        extensions.put(SERVER_NAME_ACCEPTED, True)
    if choice.alpn is not None:
        extensions.put(ALPN_SERVER, choice.alpn.encode("latin-1"))
    if choice.early:
        extensions.put(EARLY_DATA, True)
    asks = choice.asks or (choice.client_type is not raw_keys.X509 and asks_later(hs, hello))
    raw_keys.answer(hello.extensions, extensions, choice.identity, choice.client_type if asks else None)
    return EncryptedExtensions(extensions)


def asks_later(hs: Handshake, hello: ClientHello) -> bool:
    """Whether the client may be asked for a certificate after the handshake (RFC 9846 section 4.3.6)."""
    return ExtensionType.post_handshake_auth in hello.extensions and hs.profile.post_handshake_auth


def certificate_request(settings: Settings, choice: Choice) -> CertificateRequest | None:
    """The wish for a client certificate; never together with a pre-shared key (RFC 9846 section 4.4.2)."""
    if not choice.asks:
        return None
    extensions = Extensions()
    put_schemes(settings.client_schemes, extensions)
    put_authorities(settings, extensions)
    compression.offer(settings, extensions)
    return CertificateRequest(b"", extensions)


def timestamps(hello: ClientHello, identity: Identity) -> tuple[bytes, ...]:
    """Where the certificate was logged, if the client asks (RFC 6962 section 3.3)."""
    return identity.timestamps if ExtensionType.signed_certificate_timestamp in hello.extensions else ()


def receive_client(
    hs: Handshake, keys: TrafficSecrets, request: CertificateRequest | None, choice: Choice
) -> Steps[PeerIdentity]:
    """Take the client's flight: whom it proved to be."""
    peer = PeerIdentity()
    if isinstance(choice.psk, Resumed):
        peer = choice.psk.peer
    elif choice.psk is not None:
        peer = holder_of(hs, choice.psk.psk)
    if choice.early and hs.profile.end_of_early_data:
        yield from hs.receive(EndOfEarlyData)
        hs.install_read(Epoch.HANDSHAKE, keys.client)
    if request is not None:
        sent = yield from hs.receive(*compression.certificate_messages(hs.settings))
        message = compression.expanded(hs.settings, sent)
        if message.certificate_request_context != request.certificate_request_context:
            raise IllegalParameter("another certificate_request_context", section="RFC 9846 section 4.5.1")
        if message.certificate_list:
            peer = yield from authenticate_peer(hs, message, request.extensions, choice.client_type)
        elif hs.settings.verify_mode(server_side=True) is Verify.REQUIRED:
            raise CertificateRequired(section="RFC 9846 section 4.5.1.3")
    yield from receive_finished(hs, keys.client)
    return peer
