"""From the shim's flags to the settings of a Context, and the hooks that the flags ask for."""

from __future__ import annotations

from typing import Any

from caesura.context import (
    QUIC_EARLY_DATA,
    CertificateRequestInfo,
    ClientHelloInfo,
    DTLSSettings,
    Limits,
    PeerChain,
    TraceEvent,
    Verify,
)
from caesura.crypto.identity import Identity
from caesura.crypto.psk import PSK
from caesura.crypto.signatures import SCHEMES
from caesura.crypto.trust import TrustStore
from caesura.engines import HANDSHAKE_OPERATIONS, Operation, Work
from caesura.errors import (
    AlertDescription,
    BadCertificateStatusResponse,
    CertificateVerifyError,
    ConfigError,
    DecodeError,
    HandshakeFailure,
    InternalError,
)
from caesura.events import EarlyDataStatus
from caesura.jobs import pause_job, start_job
from caesura.wire.extensions import SIGNED_CERTIFICATE_TIMESTAMP_LIST
from caesura.wire.registries import (
    CipherSuite,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
    SRTPProtectionProfile,
    Version,
)
from tests.bogo.flags import Credential, Flags, Unimplemented

_GROUPS = (NamedGroup.X25519MLKEM768, NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1)
_SIGNED = tuple(each for each in SignatureScheme if each in SCHEMES)
_VERIFIED = tuple(
    SignatureScheme[name]
    for name in (
        "ecdsa_secp256r1_sha256",
        "rsa_pss_rsae_sha256",
        "rsa_pkcs1_sha256",
        "ecdsa_secp384r1_sha384",
        "rsa_pss_rsae_sha384",
        "rsa_pkcs1_sha384",
        "rsa_pss_rsae_sha512",
        "rsa_pkcs1_sha512",
    )
)
_VERSIONS = {0x0303: Version.TLS12, 0x0304: Version.TLS13, 0xFEFD: Version.DTLS12, 0xFEFC: Version.DTLS13}
_LEGACY = {0x0300, 0x0301, 0x0302, 0xFEFF}


_TRACED = {"sent": "write", "received": "read", "alert sent": "write", "alert received": "read"}


def _alert(name: str) -> int:
    return int(name) if name.isdigit() else int(AlertDescription[name])


class PausingEngine:
    """Every operation pauses before it is done, signatures twice."""

    operations = HANDSHAKE_OPERATIONS

    def start(self, work: Work[Any]) -> Any:
        return start_job(self._run, work, wait_context=work.wait_context)

    def _run(self, work: Work[Any]) -> Any:
        pause_job()
        if work.operation is Operation.SIGN:
            pause_job()
        return work.run()


class Key:
    """A private key that signs with some of its schemes only."""

    def __init__(self, inner: Any, schemes: tuple[SignatureScheme, ...]) -> None:
        self._inner = inner
        self.schemes = schemes
        self.public_key = inner.public_key

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        return self._inner.sign(scheme, message)


class Hooks:
    """What the callbacks of one connection have seen, and what they do."""

    def __init__(self, flags: Flags, retry: Flags) -> None:
        self.flags = flags
        self.retry = retry
        self.connection: Any = None
        self.server = "server" in flags
        self.retried = False
        self._answers = 0
        self.server_name: str | None = None
        self.peer_schemes: list[int] = []
        self.requested_types = b""
        self.requested_authorities: list[bytes] = []
        self.said: list[str] = []  # the trace, as the runner words it
        self.advertised_alpn = b""
        self.identities: list[tuple[int, Identity]] = []
        self.keys: dict[bytes, int] = {}  # the places of external keys

    # --- callbacks ---

    def select_identity(self, hello: ClientHelloInfo) -> None:
        """Look at the hello; refuse it if the flags say so."""
        flags = self.flags
        self.server_name = hello.server_name
        self.peer_schemes = list(hello.signature_schemes)
        self.advertised_alpn = b"".join(bytes((len(each),)) + each.encode("latin-1") for each in hello.alpn)
        if "fail-early-callback" in flags:
            raise HandshakeFailure("CONNECTION_REJECTED")
        if "fail-ddos-callback" in flags:
            raise InternalError("CONNECTION_REJECTED")
        if "fail-cert-callback" in flags:
            raise InternalError("CERT_CB_ERROR")
        if "use-ocsp-callback" in flags and "fail-ocsp-callback" in flags:
            raise InternalError("OCSP_CB_ERROR")
        if "reject-alpn" in flags:
            from caesura.errors import NoApplicationProtocol

            raise NoApplicationProtocol("refused")

    def select_client_identity(self, request: CertificateRequestInfo) -> None:
        """Look at what the server wants to see; refuse it if the flags say so."""
        self.peer_schemes = list(request.signature_schemes)
        self.requested_types = bytes(request.client_certificate_types)
        self.requested_authorities = list(request.certificate_authorities)
        if "fail-cert-callback" in self.flags:
            raise InternalError("CERT_CB_ERROR")

    def verify_peer(self, peer: PeerChain) -> bool:
        """Judge the peer as the flags say, those of the retry if early data was refused before."""
        refused = "dtls" not in self.flags and self.connection.early_data_status is EarlyDataStatus.REJECTED
        flags = self.retry if refused and "expect-reject-early-data" in self.flags else self.flags
        insists = {"verify-peer", "require-any-client-certificate", "accepted-peer-cert-types"} & flags.names
        if "verify-fail" in flags and insists:
            custom = "use-custom-verify-callback" in flags
            raise CertificateVerifyError(
                "refused",
                description=AlertDescription.certificate_unknown if custom else AlertDescription.handshake_failure,
            )
        if "use-ocsp-callback" in flags and not peer.server_side and "fail-ocsp-callback" in flags:
            raise BadCertificateStatusResponse("OCSP_CB_ERROR")
        return True

    def trace(self, event: TraceEvent) -> None:
        """Notice a retry."""
        word = _TRACED.get(event.kind)
        if word == "ack" or event.name == "ack":
            self.said.append(f"{_TRACED[event.kind]} ack")
        elif event.name == "change_cipher_spec":
            self.said.append(f"{word} ccs")
        elif event.kind in ("sent", "received"):
            self.said.append(f"{word} hs {int(HandshakeType[event.name])}")
        elif word is not None:
            self.said.append(f"{word} alert {1 if event.name == 'close_notify' else 2} {_alert(event.name)}")
        if event.kind in ("sent", "received") and event.name == "server_hello":
            self._answers += 1
            self.retried = self._answers > 1

    def selected(self, connection: Any) -> int:
        """The number of the credential that was shown; -1 for the default one, or none."""
        if connection.psk_identity is not None and connection.identity is None:
            return self.keys.get(connection.psk_identity, -1)
        for number, identity in self.identities:
            if connection.identity is identity:
                return number
        return -1


def settings_for(flags: Flags, world: Any, hooks: Hooks) -> dict[str, Any]:
    """The settings of a Context for one connection."""
    server = "server" in flags
    settings: dict[str, Any] = {
        "keylog": None,
        "clock": world.clock,
        "deadline": None,
        "ticket_keys": world.ticket_keys if "no-ticket" not in flags else world.other_keys,
        "replay_store": world.replay_store,
        "server_sessions": world.server_sessions,
        "groups": _groups(flags),
        "trace": hooks.trace,
        "limits": Limits(
            epoch=65535,
            certificate_chain=100,
            early_data_skipped=16_384,
            handshake_message=flags.get("max-cert-list", 131_072),
        ),
    }
    authorities = flags.get("use-client-ca-list", "<NULL>")
    if not authorities.startswith("<"):
        settings["certificate_authorities"] = tuple(map(bytes.fromhex, authorities.split(",")))
    if "max-send-fragment" in flags:
        settings["max_send_fragment"] = flags.get("max-send-fragment")
    settings["certificate_timestamps"] = "enable-signed-cert-timestamps" in flags
    if "async" in flags:
        settings["engine"] = PausingEngine()
    if "key-shares" in flags or "no-key-shares" in flags:
        settings["key_shares"] = tuple(map(NamedGroup, flags.get("key-shares", ())))
    _versions(flags, settings)
    _suites(flags, settings)
    _schemes(flags, settings)
    _identities(flags, world, hooks, settings)
    _peer(flags, hooks, settings)
    _names(flags, hooks, settings)
    if {"no-ticket", "skip-ticket"} & flags.names:
        settings["ticket_count"] = 0
    for name, setting in (
        ("accepted-peer-cert-types", "peer_certificate_types"),
        ("available-client-cert-types", "own_certificate_types"),
    ):
        if name in flags:
            settings[setting] = tuple(flags.get(name))
    if "dtls" in flags:
        settings["dtls"] = DTLSSettings(
            mtu=flags.get("mtu", 1400),
            initial_timeout=flags.get("initial-timeout-duration-ms", 400) / 1000,
            ack_on_pause="private-key-delay-ms" in flags,
            srtp_profiles=_srtp(flags),
            fast_retransmit=False,
            forgery_resistant=True,
        )
    if "enable-early-data" in flags:
        settings["early_data_window"] = 60.5  # as BoringSSL has it, which counts whole seconds
        limit = QUIC_EARLY_DATA if "quic" in flags else 14336
        settings["max_early_data"] = limit if server and "dtls" not in flags else 0
    if server:
        settings["select_identity"] = hooks.select_identity
    else:
        settings["select_client_identity"] = hooks.select_client_identity
    return settings


def _srtp(flags: Flags) -> tuple[SRTPProtectionProfile, ...]:
    """The profiles, which have names of OpenSSL's."""
    names = [each for each in flags.get("srtp-profiles", "").split(":") if each]
    return tuple(SRTPProtectionProfile[each.replace("_SHA1_", "_HMAC_SHA1_")] for each in names)


def _versions(flags: Flags, settings: dict[str, Any]) -> None:
    dtls = "dtls" in flags
    low, high = (Version.DTLS12, Version.DTLS13) if dtls else (Version.TLS12, Version.TLS13)
    if "quic" in flags:
        low = Version.TLS13
    wanted = flags.get("min-version")
    if wanted is not None and wanted not in _LEGACY:
        low = _VERSIONS[wanted]
    wanted = flags.get("max-version")
    if wanted is not None:
        if wanted in _LEGACY:
            raise Unimplemented(f"version {wanted:#06x}")
        high = _VERSIONS[wanted]
    if "no-tls13" in flags:
        high = Version.DTLS12 if dtls else Version.TLS12
    if "no-tls12" in flags:
        low = Version.DTLS13 if dtls else Version.TLS13
        if "no-tls13" in flags:
            raise ConfigError("minimum_version: there is no version left")
    settings["minimum_version"], settings["maximum_version"] = low, high


_AES_FIRST = tuple(
    CipherSuite[name]
    for name in (
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    )
)
_SUITES12 = tuple(
    CipherSuite[f"TLS_ECDHE_{kind}_WITH_{rest}"]
    for rest in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    for kind in ("ECDSA", "RSA")
)


def _suites(flags: Flags, settings: dict[str, Any]) -> None:
    if "psk" in flags:  # then its suites are among the default ones
        settings["cipher_suites"] = (*_AES_FIRST, *_SUITES12, CipherSuite.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256)
        settings["lookup_psk"] = lambda identity: (flags.get("psk-identity"), flags.get("psk"))
        settings["psk_identity_hint"] = flags.get("psk-identity") if "server" in flags else None
    rule = flags.get("cipher")
    if rule is None:
        return
    known = {each.name: each for each in _SUITES12}
    chosen: list[CipherSuite] = []
    for word in rule.replace("[", "").replace("]", "").replace("|", ":").split(":"):
        if word in known:
            chosen.append(known[word])
        elif word in ("DEFAULT", "ALL"):
            chosen += _SUITES12
        elif word == "!AES":
            chosen = [each for each in chosen if "AES" not in each.name]
        elif word.startswith("TLS_") or "3DES" in word:
            continue  # suites that are not here by decision
        else:
            raise Unimplemented(f"-cipher {rule}")
    settings["cipher_suites"] = (*_AES_FIRST, *chosen)


def _groups(flags: Flags) -> tuple[NamedGroup, ...]:
    wanted = flags.get("curves")
    if wanted is None:
        return (
            _GROUPS[1:] if "dtls" in flags else _GROUPS
        )  # a share of a kilobyte is no datagram's: it would be asked for
    try:
        return tuple(NamedGroup(each) for each in wanted)
    except ValueError:
        raise Unimplemented(f"groups {wanted}") from None


def _scheme(code: int) -> SignatureScheme:
    try:
        return SignatureScheme(code)
    except ValueError:
        raise Unimplemented(f"signature scheme {code:#06x}") from None


def _schemes(flags: Flags, settings: dict[str, Any]) -> None:
    """Whom we verify and what we sign with are told apart by role: a server's peers are clients."""
    server = "server" in flags
    taken, signing = ("client_signature_schemes", "signature_schemes")[:: 1 if server else -1]
    settings[taken] = _VERIFIED
    if "verify-prefs" in flags:
        settings[taken] = tuple(map(_scheme, flags.get("verify-prefs")))
    preferred = [code for each in flags.credentials for code in each.get("signing-prefs") or ()]
    known = {each: None for each in (*map(_scheme, preferred), *_SIGNED) if each in SCHEMES}
    settings[signing] = tuple(known)


def _identities(flags: Flags, world: Any, hooks: Hooks, settings: dict[str, Any]) -> None:
    keys = []
    found: list[Identity] = []
    number = -1
    ordered = [each for each in flags.credentials if not each.default] + flags.credentials[:1]
    for credential in ordered:
        place = -1
        if not credential.default:
            number += 1
            place = number
        if credential.kind == "psk":
            keys.append(_psk(credential))
            hooks.keys.setdefault(keys[-1].identity, place)
            continue
        if credential.get("key-file") is None:
            continue
        identity = _identity(credential, flags, world)
        found.append(identity)
        hooks.identities.append((place, identity))
    settings["identity"] = tuple(found)
    if keys:
        if hooks.server:
            settings["lookup_psk"] = lambda identity: next((each for each in keys if each.identity == identity), None)
        else:
            settings["lookup_psk"] = lambda identity: tuple(keys)


def _identity(credential: Credential, flags: Flags, world: Any) -> Identity:
    place = repr(sorted(credential.values.items(), key=lambda item: item[0])) + credential.kind
    if place in world.identities:
        return world.identities[place]
    options: dict[str, Any] = {"only_for_issuers": bool(credential.get("must-match-issuer"))}
    declined = "use-ocsp-callback" in flags and "decline-ocsp-callback" in flags
    if credential.get("ocsp-response") is not None and not declined:
        options["ocsp_response"] = credential.get("ocsp-response")
    if credential.get("signed-cert-timestamps") is not None:
        options["timestamps"] = _timestamps(credential.get("signed-cert-timestamps"))
    key: Any = credential.get("key-file")
    prefs = credential.get("signing-prefs")
    if prefs is not None:
        from caesura.crypto.certificates import load_private_key

        inner = load_private_key(key, None, "identity")
        schemes = tuple(_scheme(each) for each in prefs)
        key = Key(inner, schemes)
    if credential.kind == "rpk":
        identity = Identity.raw_public_key(key)
    else:
        identity = Identity.load(credential.get("cert-file"), key, **options)
    world.identities[place] = identity
    return identity


def _timestamps(data: bytes) -> tuple[bytes, ...]:
    try:
        return SIGNED_CERTIFICATE_TIMESTAMP_LIST.decode(data)
    except DecodeError as error:
        raise ConfigError(f"identity: {error}") from None


def _psk(credential: Credential) -> PSK:
    return PSK.imported(
        credential.get("psk-importer-identity"),
        credential.get("psk-importer-key"),
        credential.get("psk-importer-context") or b"",
        hash="SHA384" if credential.get("psk-importer-sha384") else "SHA256",
    )


def _peer(flags: Flags, hooks: Hooks, settings: dict[str, Any]) -> None:
    """Whom to believe: on a client everybody, unless the hook says no; a server asks if it is told to."""
    settings["verify"] = Verify.NONE
    if hooks.server:
        if "verify-peer" in flags:
            settings["verify"] = Verify.OPTIONAL
        if "require-any-client-certificate" in flags:
            settings["verify"] = Verify.REQUIRED
        root = flags.get("trust-cert")
        settings["trust"] = TrustStore.load(root) if root else TrustStore.empty()
    if hooks.server or "verify-peer" in flags or not any(each.kind == "psk" for each in flags.credentials):
        settings["verify_peer"] = hooks.verify_peer
    settings["verify_resumed"] = "reverify-on-resume" in flags


def _names(flags: Flags, hooks: Hooks, settings: dict[str, Any]) -> None:
    if hooks.server:
        chosen = flags.get("select-alpn")
        if chosen is not None and "decline-alpn" not in flags:
            settings["alpn"] = (chosen,) if chosen else ()
        elif "quic" in flags:  # where nobody can do without
            settings["alpn"] = (b"what nobody offers",)
    elif "advertise-alpn" in flags:
        settings["alpn"] = _split(flags.get("advertise-alpn"))
    if "install-cert-compression-algs" in flags or "install-one-cert-compression-alg" in flags:
        settings["certificate_compression"] = _compression(flags.get("install-one-cert-compression-alg"))


def _split(data: bytes) -> tuple[bytes, ...]:
    names = []
    while data:
        length = data[0]
        names.append(data[1 : 1 + length])
        data = data[1 + length :]
    return tuple(names)


def _compression(only: int | None) -> tuple[Any, ...]:
    from caesura.compression import CertificateCompression

    def exactly(data: bytes, length: int) -> bytes:
        if len(data) != length:
            raise ValueError("another length")
        return data

    def shrink(data: bytes) -> bytes:
        assert data[:2] == b"\0\0"
        return data[2:]

    def without(prefix: bytes, data: bytes) -> bytes:
        if not data.startswith(prefix):
            raise ValueError("another prefix")
        return data[len(prefix) :]

    expanding = b"\x01\x02\x03\x04"
    toys = (
        CertificateCompression(
            0xFF02, lambda data: expanding + data, lambda data, length: exactly(without(expanding, data), length)
        ),
        CertificateCompression(0xFF01, shrink, lambda data, length: exactly(b"\0\0" + data, length)),
        CertificateCompression(0xFF03, lambda data: b"\x07" + data, lambda data, length: exactly(data[1:], length)),
    )
    return tuple(each for each in toys if only is None or each.code == only)
