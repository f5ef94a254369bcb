"""What a handshake knows besides its own local variables, and what it leaves behind.

`Handshake` bundles the settings, the transport below, the transcript, and the few verbs a step is written with.
`Established` is the result; with it, the handshake and its secrets are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from caesura.context import Settings
from caesura.crypto.identity import Identity
from caesura.crypto.secrets import Secret
from caesura.crypto.suites import Suite
from caesura.handshake.requests import Steps
from caesura.handshake.schedule12 import Exporter12
from caesura.handshake.stateless import Retried
from caesura.handshake.transcript import Transcript
from caesura.handshake.transport import Epoch, Keys, MessageTransport, Profile
from caesura.sessions import Session
from caesura.wire.dtls import NUMBER_LENGTH, numbered
from caesura.wire.messages import HandshakeMessage
from caesura.wire.registries import CertificateType, NamedGroup, Version

M = TypeVar("M", bound=HandshakeMessage)


@dataclass(slots=True)
class PeerIdentity:
    """Whom the peer proved to be. Neither chain nor key means that it proved nothing."""

    certificates: tuple[bytes, ...] = ()  # DER, leaf first
    ocsp_response: bytes | None = None
    valid_until: int = 2**63 - 1  # seconds since 1970: the earliest notAfter
    public_key: bytes | None = None  # SubjectPublicKeyInfo in DER, of a raw public key
    psk_identity: bytes | None = None  # of the external key that both sides have proved to hold
    signature_scheme: int | None = None  # of its signature; of the first handshake's, when it resumed
    timestamps: tuple[bytes, ...] = ()  # of logs that know its certificate (RFC 6962)
    psk_identity_hint: bytes | None = None  # of a server of TLS 1.2


def remembered(session: Session) -> PeerIdentity:
    """Whom the server has proved to be when the session was made."""
    return PeerIdentity(
        session.peer_certificates,
        session.ocsp_response,
        session.valid_until,
        session.peer_public_key,
        session.psk_identity,
        session.signature_scheme,
        session.timestamps,
    )


@dataclass(slots=True)
class Established:
    """What a finished handshake leaves to its connection."""

    version: Version
    suite: Suite
    group: NamedGroup | None
    alpn: str | None
    server_hostname: str | None
    peer: PeerIdentity
    identity: Identity | None
    session_reused: bool
    settings: Settings  # those of the context that was chosen
    exporter: Secret | Exporter12
    resumption: Secret | None  # None when no ticket can come of it
    binding: bytes
    transcript: Transcript | None = None  # kept only where the client may be asked for a certificate later
    client_type: CertificateType = CertificateType.X509  # of that certificate
    session: Session | None = None  # what a client keeps of TLS 1.2, where it is known at the end of the handshake
    ticket_age_skew: float | None = None  # seconds, on a server that has resumed
    transport_state: bytes = b""  # what a client's sessions remember of the transport


@dataclass(slots=True, eq=False)
class Handshake:
    """One handshake in progress."""

    settings: Settings
    transport: MessageTransport
    profile: Profile
    server_side: bool
    server_hostname: str | None
    session: Session | None = None  # the one the caller wants to resume
    early_data: int | None = None  # None: there is to be none; else how much of it a client has at the outset
    retried: Retried | None = None  # what a cookie has brought back: then the hello that comes is the client's second
    trace: Callable[[str, str, int], object] | None = None
    transcript: Transcript = field(default_factory=Transcript)
    client_random: bytes = b""
    epoch: Epoch = Epoch.INITIAL  # of what is written
    sent: int = 0  # messages so far, of ours and of the peer's: datagrams number them
    received: int = 0
    numbered: bool = False  # whether they enter the transcript with their number

    def agree(self, version: Version) -> None:
        """Both sides speak this version from now on."""
        self.transport.version_chosen(version)
        if self.profile.numbered12 and version is self.profile.version12:
            self.numbered = True
            self.transcript.revise(lambda hello: numbered(hello, self.sent - 1))

    def send(self, message: HandshakeMessage, raw: bytes | None = None) -> None:
        """Send a message, of which `raw` is the encoding if there is one already; it joins the transcript."""
        if raw is None:
            raw = message.encode()
        sent = self.transport.send(self.epoch, raw)
        self.transcript.add(sent if self.numbered else raw)
        self.sent += 1
        if self.trace is not None:
            self.trace("sent", message.msg_type.name, len(raw))

    def transmit(self, message: HandshakeMessage) -> None:
        """Send a message that is encoded, and part of the transcript where it has to be."""
        self.transport.send(self.epoch, message.raw or message.encode())
        if self.trace is not None:
            self.trace("sent", message.msg_type.name, len(message.raw))

    def receive_raw(self, *types: type[M]) -> Steps[M]:
        """The peer's next message, not yet part of the transcript: for hellos and for what signs the transcript."""
        message: M = yield types
        self.received += 1
        if self.trace is not None:
            self._trace_received(message)
        return message

    def receive(self, *types: type[M]) -> Steps[M]:
        """The peer's next message; it joins the transcript."""
        message: M = yield types  # as in receive_raw: every generator on the way costs at each step
        if self.trace is not None:
            self._trace_received(message)
        self.transcript.add(message.raw)
        self.received += 1
        return message

    def join(self, hello: HandshakeMessage) -> None:
        """The peer's hello joins the transcript: it came before it was known whether messages have their number."""
        self.transcript.add(numbered(hello.raw, self.received - 1) if self.numbered else hello.raw)

    def _trace_received(self, message: HandshakeMessage) -> None:
        assert self.trace is not None
        self.trace("received", message.msg_type.name, len(message.raw) - (NUMBER_LENGTH if self.numbered else 0))

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Read with these keys from now on."""
        self.transport.install_read(epoch, keys)

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Write with these keys from now on."""
        self.transport.install_write(epoch, keys)
        self.epoch = epoch

    def log_secrets(self, **secrets: Secret) -> None:
        """A line of the key log for each, by its label (the SSLKEYLOGFILE format): the only way a secret leaves."""
        if self.settings.keylog is not None:
            for label, secret in secrets.items():
                self.settings.keylog(f"{label} {self.client_random.hex()} {secret.reveal().hex()}")
