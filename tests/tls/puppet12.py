"""The other end of a TLS 1.2 connection, moved by hand; as `tests/tls/puppet.py` has it for TLS 1.3.

The puppet keeps the messages said and heard, and its own keys. `spec` is its ChangeCipherSpec: from there on it seals.
"""

from __future__ import annotations

from caesura.context import Identity
from caesura.crypto.groups import GROUPS
from caesura.crypto.secrets import SharedSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.handshake.schedule12 import KeyBlock, MainSecret12
from caesura.sessions import Session
from caesura.tls import TLSConnection
from caesura.tls.records import CHANGE_CIPHER_SPEC, HANDSHAKE, split_inner
from caesura.tls.records12 import RecordKey12
from caesura.wire.extensions import (
    EC_POINT_FORMATS,
    EXTENDED_MASTER_SECRET,
    RENEGOTIATION_INFO,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    Extensions,
)
from caesura.wire.messages import (
    CertificateVerify,
    ClientHello,
    Finished,
    HandshakeMessage,
    ServerHello,
    decode_message,
)
from caesura.wire.messages12 import (
    Certificate,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
)
from caesura.wire.records import HEADER
from caesura.wire.registries import CipherSuite, HandshakeType, NamedGroup, SignatureScheme
from tests.tls.puppet import CCS, SCHEMES
from tests.tls.strings import Strings, encoded

SUITE = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
CLIENT_RANDOM = bytes(range(32))
SERVER_RANDOM = bytes(range(32, 64))


class Puppet12(Strings):
    """What both sides have in common. `messages` holds everything said and heard."""

    def __init__(self, connection: TLSConnection, session: Session | None = None) -> None:
        super().__init__(connection)
        self.session = session
        self.suite: Suite = SUITES[SUITE]
        self.client_random = self.server_random = b""
        self.main: MainSecret12 | None = None
        self.keys: KeyBlock | None = None
        self.read_key: RecordKey12 | None = None
        self.write_key: RecordKey12 | None = None

    # --- saying

    def record(self, content_type: int, content: bytes, padding: int = 0) -> bytes:
        """One record as it would be sent now, under the keys of now if there are any. There is no padding."""
        if self.write_key is None:
            return HEADER.pack(content_type, 0x0303, len(content)) + content
        return self.write_key.seal(content_type, content)

    def send(self, content_type: int, content: bytes) -> None:
        """Send one record."""
        self.feed(self.record(content_type, content))

    def say(self, *messages: HandshakeMessage | bytes) -> None:
        """Send handshake messages in one record; they join the transcript."""
        raws = encoded(messages)
        self.messages += raws
        self.send(HANDSHAKE, b"".join(raws))

    def spec(self) -> None:
        """Send ChangeCipherSpec, and seal from now on."""
        assert self.keys is not None
        self.feed(CCS)
        self.write_key = RecordKey12(self.keys.server if self.is_server else self.keys.client)

    def finished(self) -> Finished:
        """The right Finished for now."""
        assert self.main is not None
        return Finished(self.main.verify_data(self.digest(), by_server=self.is_server))

    # --- hearing

    def opened(self, header: bytes, content_type: int, content: bytes) -> tuple[int, bytes]:
        if content_type == CHANGE_CIPHER_SPEC:
            assert self.read_key is None
            assert content == b"\x01"
            if self.keys is None:
                self.agree(None)  # it resumes, and said so by nothing but its messages
            assert self.keys is not None
            self.read_key = RecordKey12(self.keys.client if self.is_server else self.keys.server)
        elif self.read_key is not None:
            inner = self.read_key.open_untrusted(header, content)
            assert inner is not None, "a record that does not open"
            return split_inner(inner)
        return content_type, content

    # --- keys

    @property
    def is_server(self) -> bool:
        return not self.connection.server_side

    def digest(self) -> bytes:
        return self.suite.hash.digest(b"".join(self.messages))

    def agree(self, shared: SharedSecret | None) -> None:
        """The ClientKeyExchange is said, or the session resumes: the keys follow."""
        if shared is None:
            assert self.session is not None
            self.main = MainSecret12(self.suite, self.session.psk)
        else:
            self.main = MainSecret12.extended(self.suite, shared, self.digest())
        self.keys = self.main.key_block(self.client_random, self.server_random)

    def prove(self, identity: Identity, scheme: SignatureScheme | None = None) -> CertificateVerify:
        """The right CertificateVerify of a client for now."""
        scheme = scheme or identity.key.schemes[0]
        return CertificateVerify(scheme, identity.key.sign(scheme, b"".join(self.messages)))


class PuppetClient12(Puppet12):
    """A client of a server under test. With a session it offers the ticket, or the id that the session has."""

    def __init__(self, connection: TLSConnection, session: Session | None = None) -> None:
        super().__init__(connection, session)
        self.client_random = CLIENT_RANDOM
        self.server_hello: ServerHello | None = None
        self.shared: SharedSecret | None = None
        self.share = b""
        connection.advance(self.now)

    def hello(self, **changes: object) -> ClientHello:
        """A good hello."""
        extensions = Extensions()
        extensions.put(SERVER_NAME, "localhost")
        extensions.put(SUPPORTED_GROUPS, (NamedGroup.x25519, NamedGroup.secp256r1))
        extensions.put(SIGNATURE_ALGORITHMS, SCHEMES)
        extensions.put(EXTENDED_MASTER_SECRET, True)
        extensions.put(RENEGOTIATION_INFO, b"")
        extensions.put(EC_POINT_FORMATS, (0,))
        session_id = b""
        if self.session is not None:
            session_id = self.session.session_id or bytes(32)
            if self.session.ticket:
                extensions.put(SESSION_TICKET, self.session.ticket)
        fields: dict[str, object] = {
            "legacy_version": 0x0303,
            "random": CLIENT_RANDOM,
            "legacy_session_id": session_id,
            "cipher_suites": tuple(code for code, suite in SUITES.items() if suite.signers),
            "legacy_compression_methods": b"\x00",
            "extensions": extensions,
        }
        return ClientHello(**{**fields, **changes})  # type: ignore[arg-type]

    def start(self, hello: ClientHello | None = None) -> PuppetClient12:
        """Say hello and hear the answer."""
        self.say(hello or self.hello())
        self.pull()
        return self

    def hear(self, raw: bytes) -> None:
        if raw[0] == HandshakeType.server_hello:
            hello = self.server_hello = decode_message(ServerHello, raw)
            self.suite = SUITES[hello.cipher_suite]
            self.server_random = hello.random
            if self.session is not None and hello.legacy_session_id_echo:
                self.agree(None)
        elif raw[0] == HandshakeType.server_key_exchange:
            params = decode_message(ServerKeyExchange, raw).params
            self.share, self.shared = GROUPS[params.named_curve].respond(params.public)

    def certificate(self, identity: Identity | None) -> Certificate:
        return Certificate(identity.chain if identity is not None else ())

    def exchange(self) -> PuppetClient12:
        """Say ClientKeyExchange; the keys follow."""
        self.say(ClientKeyExchange(self.share))
        self.agree(self.shared)
        return self

    def finish(self) -> PuppetClient12:
        """Say ChangeCipherSpec and Finished, and hear the end."""
        self.spec()
        self.say(self.finished())
        self.pull()
        return self


class PuppetServer12(Puppet12):
    """A server of a client under test."""

    def __init__(self, connection: TLSConnection, identity: Identity, session: Session | None = None) -> None:
        super().__init__(connection, session)
        self.identity = identity
        self.server_random = SERVER_RANDOM
        self.hellos: list[ClientHello] = []
        self.client_public = b""
        self.pair = GROUPS[NamedGroup.x25519].generate()
        connection.advance(self.now)
        self.pull()

    @property
    def client_hello(self) -> ClientHello:
        return self.hellos[-1]

    def hear(self, raw: bytes) -> None:
        if raw[0] == HandshakeType.client_hello:
            self.hellos.append(decode_message(ClientHello, raw))
            self.client_random = self.client_hello.random
        elif raw[0] == HandshakeType.client_key_exchange:
            self.client_public = decode_message(ClientKeyExchange, raw).public
            self.agree(self.pair.exchange(self.client_public))

    def hello(self, **changes: object) -> ServerHello:
        """A good ServerHello; it resumes the puppet's session if there is one."""
        extensions = Extensions()
        extensions.put(EXTENDED_MASTER_SECRET, True)
        extensions.put(RENEGOTIATION_INFO, b"")
        fields: dict[str, object] = {
            "legacy_version": 0x0303,
            "random": SERVER_RANDOM,
            "legacy_session_id_echo": self.client_hello.legacy_session_id if self.session is not None else b"",
            "cipher_suite": SUITE,
            "legacy_compression_method": 0,
            "extensions": extensions,
        }
        return ServerHello(**{**fields, **changes})  # type: ignore[arg-type]

    def extended(self, *codes: int) -> ServerHello:
        """A good ServerHello with these extensions, which are empty."""
        hello = self.hello()
        for code in codes:
            hello.extensions.put_data(code, b"")
        return hello

    def greet(self, hello: ServerHello | None = None) -> PuppetServer12:
        """Say ServerHello; the keys follow if the session resumes."""
        self.say(hello or self.hello())
        if self.session is not None:
            self.agree(None)
        return self

    def certificate(self, chain: tuple[bytes, ...] | None = None) -> Certificate:
        return Certificate(self.identity.chain if chain is None else chain)

    def status(self) -> CertificateStatus:
        return CertificateStatus(b"an OCSP response")

    def key_exchange(
        self,
        *,
        group: int = NamedGroup.x25519,
        public: bytes | None = None,
        scheme: SignatureScheme | None = None,
        signed: bytes | None = None,
    ) -> ServerKeyExchange:
        """A good ServerKeyExchange, or one that differs in what is named."""
        params = ServerECDHParams(group, self.pair.share if public is None else public)
        scheme = scheme or self.identity.key.schemes[0]
        signed = self.client_random + self.server_random + params.encode() if signed is None else signed
        return ServerKeyExchange(params, scheme, self.identity.key.sign(scheme, signed))

    def certificate_request(self) -> CertificateRequest:
        return CertificateRequest((64, 1), SCHEMES, ())

    def ticket(self) -> NewSessionTicket:
        return NewSessionTicket(7200, b"a ticket")

    def prove_and_hear(self, *, asking: bool = False) -> PuppetServer12:
        """Certificate, ServerKeyExchange and what follows, and the client's flight."""
        self.say(self.certificate(), self.key_exchange())
        if asking:
            self.say(self.certificate_request())
        self.say(ServerHelloDone())
        self.pull()
        return self

    def finish(self) -> PuppetServer12:
        """Say ChangeCipherSpec and Finished, and hear whatever follows."""
        self.spec()
        self.say(self.finished())
        self.pull()
        return self
