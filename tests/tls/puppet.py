"""The other end of a connection, moved by hand: it can say anything at any time, and hears what is answered.

A puppet keeps its own transcript and keys (by the key schedule that the traces of RFC 8448 pin down), so that whatever
it says next is protected as the connection expects it. `refused` is what nearly every test of bad input ends with.
"""

from __future__ import annotations

from collections.abc import Iterable

from caesura.context import Identity
from caesura.crypto.groups import GROUPS
from caesura.crypto.hkdf import verify_data
from caesura.crypto.secrets import SharedSecret, TrafficSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.errors import AlertDescription, Error, LocalAlert, PeerAlert
from caesura.events import ConnectionTerminated
from caesura.handshake.authenticate13 import to_sign
from caesura.handshake.schedule13 import EarlySecret, HandshakeSecret, MainSecret, TrafficSecrets
from caesura.handshake.transcript import Transcript
from caesura.sessions import Session
from caesura.tls import TLSConnection
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, RecordKey, split_inner
from caesura.wire.extensions import (
    KEY_SHARE_CLIENT,
    KEY_SHARE_RETRY,
    KEY_SHARE_SERVER,
    PRE_SHARED_KEY_CLIENT,
    PRE_SHARED_KEY_SERVER,
    PSK_KEY_EXCHANGE_MODES,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS_CLIENT,
    SUPPORTED_VERSIONS_SERVER,
    Extensions,
    KeyShareEntry,
    OfferedPsks,
    PskIdentity,
)
from caesura.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    Finished,
    HandshakeMessage,
    ServerHello,
    decode_message,
)
from caesura.wire.records import HEADER
from caesura.wire.registries import CipherSuite, HandshakeType, NamedGroup, PskKeyExchangeMode, SignatureScheme, Version
from tests.support.link import drain
from tests.tls.strings import Strings, encoded

PREFIX = b"tls13 "
CCS = HEADER.pack(CHANGE_CIPHER_SPEC, 0x0303, 1) + b"\x01"
SCHEMES = (
    SignatureScheme.ecdsa_secp256r1_sha256,
    SignatureScheme.ed25519,
    SignatureScheme.rsa_pss_rsae_sha256,
    SignatureScheme.rsa_pkcs1_sha256,
)


class Puppet(Strings):
    """What both sides have in common. `transcript` holds everything said and heard."""

    def __init__(self, connection: TLSConnection) -> None:
        super().__init__(connection)
        self.transcript = Transcript()
        self.read_key: RecordKey | None = None
        self.write_key: RecordKey | None = None
        self.suite: Suite | None = None
        self.secret: HandshakeSecret | None = None
        self.handshake: TrafficSecrets | None = None
        self.main: MainSecret | None = None
        self.application: TrafficSecrets | None = None

    # --- saying

    def record(self, content_type: int, content: bytes, padding: int = 0) -> bytes:
        """One record as it would be sent now, under the keys of now if there are any."""
        if self.write_key is None:
            return HEADER.pack(content_type, 0x0303, len(content)) + content
        if padding:  # the zeros stand where the type of a padded content would
            return self.write_key.seal(0, content + bytes((content_type,)) + bytes(padding - 1))
        return self.write_key.seal(content_type, content)

    def send(self, content_type: int, content: bytes, padding: int = 0) -> None:
        """Send one record."""
        self.feed(self.record(content_type, content, padding))

    def say(self, *messages: HandshakeMessage | bytes) -> None:
        """Send handshake messages in one record; they join the transcript."""
        raws = encoded(messages)
        for raw in raws:
            self.transcript.add(raw)
        self.send(HANDSHAKE, b"".join(raws))

    def finished(self, **changes: bytes) -> Finished:
        """The right Finished for now (`verify_data` to say a wrong one)."""
        return Finished(changes.get("verify_data", self._verify_data()))

    def _verify_data(self) -> bytes:
        assert self.suite is not None
        return verify_data(self.suite.hash, self.own(self.handshake), self.transcript.digest(), PREFIX)

    def prove(self, identity: Identity, scheme: SignatureScheme | None = None) -> CertificateVerify:
        """The right CertificateVerify for now."""
        scheme = scheme or identity.key.schemes[0]
        signed = to_sign(self.transcript.digest(), by_server=not self.connection.server_side)
        return CertificateVerify(scheme, identity.key.sign(scheme, signed))

    # --- hearing

    def opened(self, header: bytes, content_type: int, content: bytes) -> tuple[int, bytes]:
        if content_type != APPLICATION_DATA:
            return content_type, content
        assert self.read_key is not None
        inner = self.read_key.open_untrusted(header, content)
        assert inner is not None, "a record that does not open"
        return split_inner(inner)

    # --- keys

    def own(self, secrets: TrafficSecrets | None) -> TrafficSecret:
        """The puppet's own secret of a pair."""
        assert secrets is not None
        return secrets.server if not self.connection.server_side else secrets.client

    def theirs(self, secrets: TrafficSecrets | None) -> TrafficSecret:
        """The connection's secret of a pair."""
        assert secrets is not None
        return secrets.client if not self.connection.server_side else secrets.server

    def agree(self, shared: SharedSecret, psk: Session | None = None) -> None:
        """The hellos are said: the handshake keys follow."""
        assert self.suite is not None
        early = EarlySecret(self.suite.hash, PREFIX, psk.psk if psk is not None else None)
        self.secret = early.handshake(self.suite, shared)
        self.handshake = self.secret.traffic(self.transcript.digest())
        self.read_key = RecordKey(self.theirs(self.handshake), PREFIX)
        self.write_key = RecordKey(self.own(self.handshake), PREFIX)

    def server_finished(self) -> None:
        """The server's Finished is in the transcript: the application secrets follow."""
        assert self.secret is not None
        self.main = self.secret.main()
        self.application = self.main.traffic(self.transcript.digest())


class PuppetClient(Puppet):
    """A client of a server under test."""

    def __init__(self, connection: TLSConnection, group: str = "x25519", session: Session | None = None) -> None:
        super().__init__(connection)
        connection.advance(self.now)
        self.pair = GROUPS[NamedGroup[group]].generate()
        self.session = session
        self.server_hello: ServerHello | None = None
        self.retry: ServerHello | None = None

    def hello(self, **changes: object) -> ClientHello:
        """A good hello."""
        extensions = Extensions()
        extensions.put(SERVER_NAME, "localhost")
        extensions.put(SUPPORTED_GROUPS, (NamedGroup.x25519, NamedGroup.secp256r1))
        extensions.put(SIGNATURE_ALGORITHMS, SCHEMES)
        extensions.put(SUPPORTED_VERSIONS_CLIENT, (Version.TLS13,))
        extensions.put(PSK_KEY_EXCHANGE_MODES, (PskKeyExchangeMode.psk_dhe_ke,))
        extensions.put(KEY_SHARE_CLIENT, (KeyShareEntry(self.pair.group.code, self.pair.share),))
        fields: dict[str, object] = {
            "legacy_version": 0x0303,
            "random": bytes(range(32)),
            "legacy_session_id": bytes(32),
            "cipher_suites": tuple(SUITES),
            "legacy_compression_methods": b"\x00",
            "extensions": extensions,
        }
        return ClientHello(**{**fields, **changes})  # type: ignore[arg-type]

    def bind(self, hello: ClientHello, *sessions: Session, binder: bytes | None = None) -> ClientHello:
        """The hello with pre_shared_key for these sessions, the binders right (or all as given)."""
        hello.extensions.remove(PRE_SHARED_KEY_CLIENT.code)
        identities = tuple(PskIdentity(each.ticket, each.ticket_age_add) for each in sessions)
        hashes = [SUITES[each.cipher_suite].hash for each in sessions]
        hello.extensions.put(
            PRE_SHARED_KEY_CLIENT, OfferedPsks(identities, tuple(bytes(h.digest_size) for h in hashes))
        )
        truncated = hello.without_binders(hello.encode())
        binders = tuple(
            binder
            or EarlySecret(h, PREFIX, each.psk).binder(
                self.transcript.digest_with(h, truncated), getattr(each, "label", b"res binder")
            )
            for each, h in zip(sessions, hashes, strict=True)
        )
        hello.extensions.put(PRE_SHARED_KEY_CLIENT, OfferedPsks(identities, binders))
        return hello

    def start(self, hello: ClientHello | None = None) -> PuppetClient:
        """Say hello and hear the answer."""
        hello = hello or self.hello()
        if self.session is not None:
            self.bind(hello, self.session)
        self.say(hello)
        self.pull()
        return self

    def hear(self, raw: bytes) -> None:
        if raw[0] == HandshakeType.server_hello:
            hello = decode_message(ServerHello, raw)
            self.suite = SUITES[hello.cipher_suite]
            if hello.is_retry:
                self.retry = hello
                self.transcript.retry(self.suite.hash)
                self.transcript.add(raw)
                return
            self.server_hello = hello
            self.transcript.start(self.suite.hash)
            self.transcript.add(raw)
            share = hello.extensions.get(KEY_SHARE_SERVER)
            assert share is not None
            psk = self.session if hello.extensions.get(PRE_SHARED_KEY_SERVER) is not None else None
            self.agree(self.pair.exchange(share.key_exchange), psk)
        elif self.application is None:
            self.transcript.add(raw)
            if raw[0] == HandshakeType.finished:
                self.server_finished()
                self.read_key = RecordKey(self.theirs(self.application), PREFIX)

    def certificate(self, identity: Identity | None, context: bytes = b"") -> Certificate:
        """The client's Certificate; without an identity an empty one."""
        chain = identity.chain if identity is not None else ()
        return Certificate(context, tuple(CertificateEntry(der) for der in chain))

    def finish(self) -> PuppetClient:
        """Say Finished and change keys."""
        self.say(self.finished())
        self.write_key = RecordKey(self.own(self.application), PREFIX)
        self.pull()
        return self


class PuppetServer(Puppet):
    """A server of a client under test."""

    def __init__(self, connection: TLSConnection, identity: Identity, session: Session | None = None) -> None:
        super().__init__(connection)
        self.identity = identity
        self.session = session
        self.hellos: list[ClientHello] = []
        self.client_finished = False
        connection.advance(self.now)
        self.pull()

    @property
    def client_hello(self) -> ClientHello:
        """The client's latest hello."""
        return self.hellos[-1]

    def hear(self, raw: bytes) -> None:
        if raw[0] == HandshakeType.client_hello:
            self.hellos.append(decode_message(ClientHello, raw))
        self.transcript.add(raw)
        if raw[0] == HandshakeType.finished and not self.client_finished:
            self.client_finished = True
            self.read_key = RecordKey(self.theirs(self.application), PREFIX)

    def hello(self, **changes: object) -> ServerHello:
        """A good ServerHello."""
        self.suite = SUITES[changes.get("cipher_suite", CipherSuite.TLS_AES_128_GCM_SHA256)]  # type: ignore[index]
        shares = self.client_hello.extensions.get(KEY_SHARE_CLIENT)
        assert shares is not None
        share, self.shared = GROUPS[shares[0].group].respond(shares[0].key_exchange)
        extensions = Extensions()
        extensions.put(SUPPORTED_VERSIONS_SERVER, Version.TLS13)
        extensions.put(KEY_SHARE_SERVER, KeyShareEntry(shares[0].group, share))
        if self.session is not None:
            extensions.put(PRE_SHARED_KEY_SERVER, 0)
        return self._hello(bytes(range(32, 64)), extensions, changes)

    def retry_request(self, group: NamedGroup | None = NamedGroup.secp256r1, **changes: object) -> ServerHello:
        """A good HelloRetryRequest."""
        extensions = Extensions()
        extensions.put(SUPPORTED_VERSIONS_SERVER, Version.TLS13)
        if group is not None:
            extensions.put(KEY_SHARE_RETRY, group)
        return self._hello(HELLO_RETRY_REQUEST_RANDOM, extensions, changes)

    def _hello(self, random: bytes, extensions: Extensions, changes: dict[str, object]) -> ServerHello:
        fields: dict[str, object] = {
            "legacy_version": 0x0303,
            "random": random,
            "legacy_session_id_echo": self.client_hello.legacy_session_id,
            "cipher_suite": CipherSuite.TLS_AES_128_GCM_SHA256,
            "legacy_compression_method": 0,
            "extensions": extensions,
        }
        return ServerHello(**{**fields, **changes})  # type: ignore[arg-type]

    def ask_again(self, request: ServerHello | None = None) -> PuppetServer:
        """Say HelloRetryRequest and hear the second hello."""
        request = request or self.retry_request()
        self.transcript.retry(SUITES[request.cipher_suite].hash)
        self.say(request)
        self.pull()
        return self

    def greet(self, hello: ServerHello | None = None) -> PuppetServer:
        """Say ServerHello and change keys."""
        hello = hello or self.hello()
        assert self.suite is not None
        self.transcript.start(self.suite.hash)
        self.say(hello)
        self.agree(self.shared, self.session)
        return self

    def encrypted_extensions(self) -> EncryptedExtensions:
        """The least of EncryptedExtensions."""
        return EncryptedExtensions(Extensions())

    def certificate_request(self) -> CertificateRequest:
        """A good CertificateRequest."""
        extensions = Extensions()
        extensions.put(SIGNATURE_ALGORITHMS, SCHEMES)
        return CertificateRequest(b"", extensions)

    def certificate(self, chain: Iterable[bytes] | None = None) -> Certificate:
        """The server's Certificate."""
        return Certificate(
            b"", tuple(CertificateEntry(der) for der in (self.identity.chain if chain is None else chain))
        )

    def finish(self) -> PuppetServer:
        """Say Finished, change keys, and hear the client's last flight."""
        self.say(self.finished())
        self.server_finished()
        self.write_key = RecordKey(self.own(self.application), PREFIX)
        self.pull()
        return self

    def run(self) -> PuppetServer:
        """A whole handshake."""
        self.greet()
        self.say(self.encrypted_extensions())
        if self.session is None:
            self.say(self.certificate())
            self.say(self.prove(self.identity))
        return self.finish()


# --- what is to be held at the end -----------------------------------------------------------------------------------


def refused(puppet: Puppet, kind: type[Error], description: AlertDescription | None = None) -> Error:
    """The connection has failed with `kind`, said so by just one alert, and says and does nothing any more."""
    connection = puppet.connection
    error = connection.error
    assert type(error) is kind, repr(error)
    if description is None and isinstance(error, LocalAlert):
        description = error.description
    alerts = [content for content_type, content in puppet.pull() if content_type == ALERT]
    assert alerts == ([bytes((2, description))] if description is not None else [])
    assert not alerts or puppet.heard[-1][0] == ALERT, "something follows the alert"
    last = drain(connection)[-1]
    assert isinstance(last, ConnectionTerminated)
    assert last.error is error
    silent(puppet)
    assert connection.error is error
    return error


def silent(puppet: Puppet) -> None:
    """Whatever comes, nothing happens any more."""
    connection = puppet.connection
    puppet.feed(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00")
    puppet.feed(puppet.record(APPLICATION_DATA, b"more"))
    connection.receive_eof(puppet.now)
    connection.advance(puppet.now)
    connection.handle_timeout(puppet.now + 1e9)
    connection.shutdown()
    assert connection.data_to_send(puppet.now) == b""
    assert connection.next_event() is None
    assert not connection.waiting_for_async
    assert connection.timeout() is None


def told(puppet: Puppet, description: AlertDescription) -> None:
    """Send the connection a fatal alert: it hears it, and answers nothing."""
    puppet.send(ALERT, bytes((2, description)))
    error = refused(puppet, PeerAlert)
    assert isinstance(error, PeerAlert)
    assert error.description is description
