"""What a context holds: frozen `Settings`, and what its callbacks are given.

Defaults and units stand beside each field. Whether a value can be used is said in `checks`; nothing here opens a
connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from typing import Any, Final, Protocol

from caesura.clock import Clock, SystemClock
from caesura.compression import CertificateCompression
from caesura.crypto.cookies import CookieKeys
from caesura.crypto.groups import GROUPS, GROUPS12
from caesura.crypto.identity import Identity
from caesura.crypto.psk import PSK
from caesura.crypto.suites import SUITES
from caesura.crypto.tickets import TicketKeys
from caesura.crypto.trust import TrustStore, VerificationCache
from caesura.engines import Answer, Engine, InlineEngine
from caesura.errors import ConfigError
from caesura.quic_settings import QUICSettings
from caesura.replay import ReplayCache, ReplayStore
from caesura.sessions import ServerSessionCache, ServerSessionStore, SessionCache, SessionStore
from caesura.wire.registries import (
    CertificateType,
    CipherSuite,
    NamedGroup,
    SignatureScheme,
    SRTPProtectionProfile,
    Version,
)

__all__ = [
    "QUIC_EARLY_DATA",
    "RAW_OR_X509",
    "VERSIONS",
    "CertificateRequestInfo",
    "ClientHelloInfo",
    "DTLSSettings",
    "FromEnvironment",
    "KeyLog",
    "Limits",
    "Method",
    "PeerChain",
    "Settings",
    "TraceEvent",
    "Verify",
]


QUIC_EARLY_DATA: Final = 2**32 - 1
"""`max_early_data` of a QUIC server that takes early data: flow control bounds it (RFC 9001 section 4.6.1)."""


class Method(Enum):
    """Which protocol a context is for (SSL_CTX_new(3))."""

    TLS = auto()
    DTLS = auto()
    QUIC = auto()


class Verify(Enum):
    """What is asked of the peer's certificate (SSL_CTX_set_verify(3))."""

    NONE = auto()  # a server does not ask for one; a client takes any
    OPTIONAL = auto()  # it need not come; when it comes it must be good
    REQUIRED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what the network may make us hold or do. Beyond one, the connection ends with an alert."""

    handshake_message: int = 131_072  # bytes of one handshake message
    certificate_chain: int = 10  # certificates in one Certificate message
    psk_identities: int = 8  # pre-shared keys of one hello that are looked at; the rest are ignored
    session_tickets: int = 32  # tickets taken over one connection; the rest are ignored
    key_updates: int = 32  # the peer's KeyUpdates (TLS 1.2: HelloRequests) in a row without application data
    empty_records: int = 32  # records in a row that carry nothing, ChangeCipherSpec included
    warning_alerts: int = 4  # user_canceled alerts, and whatever else only warns in TLS 1.2
    parked_bytes: int = 65_536  # ciphertext kept while work is paused, before the adapter must stop reading
    early_data_skipped: int = 65_536  # bytes of refused early data that are passed over
    authentications: int = 8  # requests for a client certificate after the handshake that wait for their answer

    # DTLS. What is beyond one of the first eight is dropped, as a network may.
    messages_ahead: int = 7  # handshake messages kept from the next expected one on
    reassembly_bytes: int = 262_144  # of handshake messages behind the next expected one
    early_bytes: int = 65_536  # of protected records whose keys are not there yet
    received_datagrams: int = 1024  # with application data, that wait to be read
    unsent_datagrams: int = 256  # that the transport has not taken
    hello_bytes: int = 65_536  # of fragments from unproven addresses, for one listener
    datagrams_at_once: int = 256  # read by one call, in QUIC
    pending_connections: int = 256  # of a QUIC listener, that nobody has accepted; who comes beyond is not answered
    half_open: int = 1024  # handshakes of one listener that are not complete
    associations: int = 65_536  # of one listener, half-open ones included
    verify_requests: int = 3  # times that a client sends its hello again with another cookie
    ack_records: int = 32  # record numbers in one ACK, the newest
    sent_records: int = 64  # records of ours that ACKs are matched against, the newest
    replay_window: int = 256  # record numbers behind the highest that are told apart
    connection_ids: int = 8  # of the peer's kept, of ours in force, and requests for more that are served
    repeated_alerts: int = 4  # times that the alert that ended a connection is sent again
    forged_records: int = 2**36  # that may fail to open with one key, if its algorithm allows as many
    epoch: int = 2**48 - 1  # that may be reached by KeyUpdates

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"limits.{each.name}: expected a whole number, 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class DTLSSettings:
    """What a context's `dtls` holds; given as a mapping of these names. Seconds and bytes.

    `mtu` bounds the datagrams we send (their payload, so IP and UDP headers are not counted). `timer` replaces the
    doubling of timers: it is given the present duration, 0 at first, and gives the next one. `connection_id` is the
    length of the ids we want to receive; None: not even the peer's are used.
    """

    mtu: int = 1400
    fallback_mtu: int | None = 548  # from the third expiry on (RFC 9147 section 4.4); None: `mtu` stays
    initial_timeout: float = 1.0
    maximum_timeout: float = 60.0
    retransmissions: int = 12  # of one flight; the next expiry ends the connection
    timer: Callable[[float], float] | None = None
    timer_slack: float = 0.015  # a timer with no more than this left has expired
    ack_delay: float = 0.25  # of the retransmission timer, before an incomplete flight is acknowledged
    ack_on_pause: bool = True  # acknowledge a complete flight at once when our own work is paused
    fast_retransmit: bool = True  # send what an ACK shows to be missing at once, not when the timer expires
    cookies: bool = True  # a listener has clients prove their address
    cookie_keys: CookieKeys = field(default_factory=CookieKeys, repr=False)
    amplification: int | None = 3  # times the bytes received that may be sent to an address that has proved nothing
    connection_id: int | None = 0
    srtp_profiles: tuple[SRTPProtectionProfile, ...] = ()  # that may be agreed on, the preferred one first (RFC 5764)
    old_epoch_lifetime: float = 240.0  # twice the MSL of RFC 9293, as RFC 9147 sections 4.2.1 and 5.8.1 have it
    idle_timeout: float | None = None
    forgery_resistant: bool = False  # the transport cannot be written to by others: malformed records are errors


@dataclass(frozen=True, slots=True)
class ClientHelloInfo:
    """What a client asks for, given to `select_identity` before anything is chosen."""

    server_name: str | None
    alpn: tuple[str, ...]
    cipher_suites: tuple[int, ...]
    groups: tuple[int, ...]
    signature_schemes: tuple[int, ...]
    versions: tuple[int, ...]
    psk_identities: tuple[bytes, ...] = ()  # tickets and external keys, as they stand in the hello
    certificate_authorities: tuple[bytes, ...] = ()  # distinguished names, DER, of those it believes


@dataclass(frozen=True, slots=True)
class CertificateRequestInfo:
    """What a server wants to see of a client, given to `select_client_identity`."""

    server_hostname: str | None  # the name the client wants to reach
    certificate_type: CertificateType  # of what may be shown
    signature_schemes: tuple[int, ...]
    certificate_authorities: tuple[bytes, ...] = ()  # distinguished names, DER, of those it believes
    client_certificate_types: tuple[int, ...] = ()  # TLS 1.2: kinds of keys (RFC 5246 section 7.4.4)


@dataclass(frozen=True, slots=True)
class PeerChain:
    """What the peer proved to hold the key of, given to `verify_peer`: certificates, or a raw public key."""

    certificates: tuple[bytes, ...]  # DER, leaf first, as they were sent
    server_hostname: str | None  # the name the client wants to reach
    server_side: bool  # True when it is a server that judges a client's chain
    ocsp_response: bytes | None
    public_key: bytes | None = None  # SubjectPublicKeyInfo in DER, when there are no certificates (RFC 7250)
    certificate_timestamps: tuple[bytes, ...] = ()  # of the logs that know the leaf, not judged (RFC 6962)


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One thing that happened on a connection, given to `trace`.

    `kind` is "sent", "received", "alert sent", "alert received", or of work "started", "paused", "resumed", "finished"
    or "failed". `name` is the message's or the operation's. Beside messages there are "ack" (DTLS 1.3, and QUIC in
    packets of the handshake), "ping" (a probe of QUIC's there) and, before TLS 1.3, "change_cipher_spec". What `trace`
    raises is reported by `threading.excepthook`, and changes nothing.
    """

    time: float  # seconds, the context's monotonic clock
    server_side: bool
    kind: str
    name: str
    size: int = 0  # bytes, of messages


class HasSettings(Protocol):
    """A context, as seen from here."""

    settings: Settings


SelectIdentity = Callable[[ClientHelloInfo], "Answer[Identity | HasSettings | None]"]
SelectClientIdentity = Callable[[CertificateRequestInfo], "Answer[Identity | None]"]
LookupPSK = Callable[[bytes | None], "Answer[tuple[bytes | str, bytes] | PSK | Sequence[PSK] | None]"]
VerifyPeer = Callable[[PeerChain], "Answer[bool | None]"]
Trace = Callable[[TraceEvent], object]
KeyLog = Callable[[str], object]


VERSIONS: Final[dict[Method, tuple[Version, ...]]] = {
    Method.TLS: (Version.TLS12, Version.TLS13),
    Method.DTLS: (Version.DTLS12, Version.DTLS13),
    Method.QUIC: (Version.TLS13,),
}
"""The versions of each method's handshake, oldest first: the numbers of DTLS count downwards. Those of QUIC itself are
a setting of its own (`QUICSettings.versions`)."""


class FromEnvironment(Enum):
    """A setting that a variable of the environment may give."""

    KEYLOG = "SSLKEYLOGFILE"


_DEFAULT_GROUPS: Final = tuple(
    code
    for code in (
        NamedGroup.X25519MLKEM768,
        NamedGroup.x25519,
        NamedGroup.secp256r1,
        NamedGroup.secp384r1,
        NamedGroup.secp521r1,
    )
    if code in GROUPS
)
_DEFAULT_SUITES: Final = (
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,  # from here on TLS 1.2 (RFC 9325 section 4.2)
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
)
_DEFAULT_SCHEMES: Final = (
    SignatureScheme.ecdsa_secp256r1_sha256,
    SignatureScheme.ed25519,
    SignatureScheme.rsa_pss_rsae_sha256,
    SignatureScheme.rsa_pss_pss_sha256,
    SignatureScheme.ecdsa_secp384r1_sha384,
    SignatureScheme.rsa_pss_rsae_sha384,
    SignatureScheme.rsa_pss_pss_sha384,
    SignatureScheme.ecdsa_secp521r1_sha512,
    SignatureScheme.rsa_pss_rsae_sha512,
    SignatureScheme.rsa_pss_pss_sha512,
    SignatureScheme.rsa_pkcs1_sha256,  # from here on TLS 1.2 alone
    SignatureScheme.rsa_pkcs1_sha384,
    SignatureScheme.rsa_pkcs1_sha512,
)


_X509: Final = (CertificateType.X509,)
_RAW: Final = (CertificateType.RawPublicKey,)
RAW_OR_X509: Final = _RAW + _X509


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """Every setting of a Context, checked and in its final form. Seconds and bytes throughout.

    `verify` None stands for the role's default: REQUIRED on a client, NONE on a server. `trust` None stands for the
    system's store on a client. `sessions` None switches a client's resumption off; `ticket_count` 0 together with
    `server_sessions` None a server's. `deadline` bounds one operation. `certificate_compression` are the algorithms
    (names, or objects of one's own) with which Certificate messages may be compressed in both directions, the preferred
    one first.

    `peer_certificate_types` are those taken from the peer, the preferred one first. None follows from `trust`: raw
    public keys if it holds any, X.509 unless it holds nothing else. `own_certificate_types` are those a client says it
    could show; None follows from `identity`. `post_handshake_auth` lets a server ask a client for its certificate after
    the handshake too. A callback may be a plain function or `async def`, and may pause.

    `key_shares` are the groups for which a client's first hello has shares. None: the preferred one and, beside a big
    one, the next that is small; over datagrams the small one alone. A server that wants another asks for it.

    `max_send_fragment` bounds the records of TLS that we send (SSL_CTX_set_max_send_fragment(3)), as the peer's
    record_size_limit does; `record_size_limit` those that we receive.

    `certificate_authorities` are names of CAs, in DER, that the peer is told of to choose its certificate by: a client
    when it is asked for one and, in TLS 1.3, a server.

    `select_client_identity` is asked on a client whenever the server wants a certificate, after the handshake too. It
    answers with the one identity that may be shown, or None: then it is one of `identity`, by what the server wants.
    What does not fit is not shown. A session that resumes stands for the client that it began with.

    `certificate_timestamps` has a client ask where the server's certificate was logged (RFC 6962); what comes is not
    judged, unless by `verify_peer`.

    `signature_schemes` are those a server signs with and a client takes, the preferred one first, and unless
    `client_signature_schemes` says otherwise also those that a client signs with and a server takes.

    `lookup_psk` knows external pre-shared keys: on a server by the identity that a client offers, on a client, where it
    is called with None, for the server at hand. It answers (identity, key), a `PSK`, on a client also several, or None.
    A client that has it and neither `trust` nor `verify_peer` takes no certificate instead. In TLS 1.2 such keys need
    one of the PSK suites, which are not among the default ones; `psk_identity_hint` is what a server says to help the
    client choose its key there.

    `max_early_data` is how many bytes of early data a server takes with each of its tickets, and may have to hold; 0,
    the default, is none. Early data may be a copy of what was sent before: `replay_store` remembers what was taken, and
    nothing is taken if the ticket is older or younger by `early_data_window` than the client says. A client needs no
    setting; it sends what its connection is given as early data.

    `verify_peer` is asked in addition to the verification of the chain, once for a full handshake: a session that
    resumes was judged when it was made, as with OpenSSL, and lasts `ticket_lifetime` at most. `verify_resumed` has it
    judged again by what is remembered, before there is any early data; who is refused then does not get in.

    A Context that `select_identity` gives counts from then on: identities, trust, policy, suites, groups, protocols,
    engine, deadline, trace, key log, and in TLS the limits. It must be of the same method, and has to speak the version
    that was chosen before. What the connection began with stays for the rest: the clock of its timers, `async_mode`,
    the engine of its records, and how it is carried (`dtls`, `quic`). `selected_context` tells which one it was.

    A version between minimum_version and maximum_version is spoken if `cipher_suites` and `groups` have something for
    it: `versions` are those, the newest first. `offered_versions` and `offered_suites` are what a client offers.

    `derived` is where handshakes keep what they make of the settings alone, to make it once. No secret is there.
    """

    method: Method = Method.TLS
    identity: tuple[Identity, ...] = ()
    trust: TrustStore | None = None
    verify: Verify | None = None
    minimum_version: Version = Version.TLS12
    maximum_version: Version = Version.TLS13
    cipher_suites: tuple[CipherSuite, ...] = _DEFAULT_SUITES
    groups: tuple[NamedGroup, ...] = _DEFAULT_GROUPS
    key_shares: tuple[NamedGroup, ...] | None = None
    signature_schemes: tuple[SignatureScheme, ...] = _DEFAULT_SCHEMES
    client_signature_schemes: tuple[SignatureScheme, ...] | None = None
    alpn: tuple[str, ...] = ()
    async_mode: bool = False
    async_callback: Callable[..., object] | None = None
    async_callback_arg: object = None
    engine: Engine = field(default_factory=InlineEngine)
    select_identity: SelectIdentity | None = None
    select_client_identity: SelectClientIdentity | None = None
    verify_peer: VerifyPeer | None = None
    verify_resumed: bool = False
    lookup_psk: LookupPSK | None = None
    verification_cache: VerificationCache | None = field(default_factory=VerificationCache)
    sessions: SessionStore | None = field(default_factory=SessionCache)
    server_sessions: ServerSessionStore | None = field(default_factory=ServerSessionCache)
    ticket_keys: TicketKeys = field(default_factory=TicketKeys)
    ticket_count: int = 2
    ticket_lifetime: int = 86_400
    max_early_data: int = 0
    early_data_window: float = 10.0
    replay_store: ReplayStore = field(default_factory=ReplayCache)
    psk_identity_hint: bytes | None = None
    ocsp_response: bytes | None = None
    certificate_timestamps: bool = False
    certificate_authorities: tuple[bytes, ...] = ()
    certificate_compression: tuple[CertificateCompression, ...] = ()
    own_certificate_types: tuple[CertificateType, ...] | None = None
    peer_certificate_types: tuple[CertificateType, ...] | None = None
    post_handshake_auth: bool = False
    record_size_limit: int | None = None
    max_send_fragment: int = 16_384
    deadline: float | None = 30.0
    dtls: DTLSSettings = field(default_factory=DTLSSettings)
    quic: QUICSettings = field(default_factory=QUICSettings)
    keylog: KeyLog | None = None
    trace: Trace | None = None
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[int], bytes] = os.urandom
    versions: tuple[Version, ...] = field(init=False)
    offered_versions: tuple[Version, ...] = field(init=False)
    offered_suites: tuple[CipherSuite, ...] = field(init=False)
    derived: dict[object, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.method is Method.QUIC:  # its handshake is TLS 1.3, but not every suite of that protects packets
            suites = tuple(code for code in self.cipher_suites if Version.QUIC1 in SUITES[code].versions)
            object.__setattr__(self, "cipher_suites", suites)
        every = VERSIONS[self.method]
        if {self.minimum_version, self.maximum_version} <= set(every):  # else it is refused in a moment
            every = every[every.index(self.minimum_version) : every.index(self.maximum_version) + 1]
        versions = tuple(filter(self._speaks, reversed(every)))
        usable = tuple(filter(self._offers, self.cipher_suites))
        offered = tuple(each for each in versions if any(each in SUITES[code].versions for code in usable))
        suites = tuple(code for code in usable if not SUITES[code].versions.isdisjoint(offered))
        object.__setattr__(self, "versions", versions)
        object.__setattr__(self, "offered_versions", offered)
        object.__setattr__(self, "offered_suites", suites)

    def _speaks(self, version: Version) -> bool:
        older = version in (Version.TLS12, Version.DTLS12)
        groups = GROUPS12 if older else GROUPS
        return any(version in SUITES[code].versions for code in self.cipher_suites) and any(
            code in groups for code in self.groups
        )

    def _offers(self, code: CipherSuite) -> bool:
        """Whether a client has what this suite needs: a way to get keys, or to judge certificates."""
        suite = SUITES[code]
        return self.lookup_psk is not None if suite.psk else not (suite.older and self.psk_only)

    def verify_mode(self, server_side: bool) -> Verify:
        """What is asked of the peer in this role."""
        if self.verify is not None:
            return self.verify
        return Verify.NONE if server_side else Verify.REQUIRED

    @property
    def psk_only(self) -> bool:
        """Whether a client insists on a pre-shared key: it has nothing that it would judge certificates by."""
        return self.lookup_psk is not None and self.trust is None and self.verify_peer is None

    def peer_schemes(self, server_side: bool) -> tuple[SignatureScheme, ...]:
        """The schemes that the peer may sign with, to one in this role."""
        return self.client_schemes if server_side else self.signature_schemes

    @property
    def client_schemes(self) -> tuple[SignatureScheme, ...]:
        """The schemes that a client may sign with."""
        return self.signature_schemes if self.client_signature_schemes is None else self.client_signature_schemes

    @property
    def accepted_types(self) -> tuple[CertificateType, ...]:
        """The certificate types that are taken from the peer, the preferred one first."""
        if self.peer_certificate_types is not None:
            return self.peer_certificate_types
        if self.trust is None or not self.trust.keys:
            return _X509
        return RAW_OR_X509 if self.trust.has_anchors else _RAW

    @property
    def shown_types(self) -> tuple[CertificateType, ...]:
        """The certificate types that we could show, the preferred one first."""
        if self.own_certificate_types is not None:
            return self.own_certificate_types
        return tuple(dict.fromkeys(identity.certificate_type for identity in self.identity)) or _X509

    def require(self, server_side: bool) -> None:
        """Raise the ConfigError that names what this role is missing."""
        if self.peer_certificate_types is not None and self.verify_mode(server_side) is not Verify.NONE:
            known = self.verify_peer is not None or (self.trust is not None and self.trust.keys)
            if CertificateType.RawPublicKey in self.peer_certificate_types and not known:
                raise ConfigError("trust: raw public keys are accepted, but none is known (TrustStore.public_keys)")
        if server_side:
            if not self.identity and self.select_identity is None and self.lookup_psk is None:
                raise ConfigError("identity: a server needs one (or select_identity, or lookup_psk)")
            verifies = self.verify_mode(server_side=True) is not Verify.NONE
            if verifies and self.trust is None and CertificateType.X509 in self.accepted_types:
                # Never the system's store: whoever owns a web site would be a client that is let in.
                raise ConfigError("trust: a server that verifies clients needs the store of the CAs it accepts")
