"""Post-handshake client authentication (RFC 9846 sections 4.3.6 and 4.7.2): asked once, often, and answered badly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.bio import bio_pair
from caesura.context import Context, Identity, Limits, TrustStore, Verify
from caesura.crypto.hkdf import verify_data
from caesura.crypto.signatures import verify as check_signature
from caesura.engines import DelayEngine, Operation
from caesura.errors import (
    AlertDescription,
    BadCertificate,
    CertificateRequired,
    CertificateVerifyError,
    ConfigError,
    DecryptError,
    Error,
    IllegalParameter,
    MissingExtension,
    OperationFailed,
    PeerAlert,
    UnexpectedMessage,
    UsageError,
    WantAsync,
    WantRead,
    ZeroReturn,
)
from caesura.events import ClientAuthenticated, DataReceived
from caesura.handshake.authenticate13 import to_sign
from caesura.handshake.transcript import Transcript
from caesura.sslobject import SSL
from caesura.tls.records import APPLICATION_DATA, HANDSHAKE, RecordKey
from caesura.wire.extensions import POST_HANDSHAKE_AUTH, SIGNATURE_ALGORITHMS, Extensions
from caesura.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    decode_message,
)
from caesura.wire.registries import KeyUpdateRequest, SignatureScheme
from tests.support.link import Link, drain, link, received
from tests.support.pki import pki
from tests.tls.puppet import PREFIX, SCHEMES, PuppetClient, PuppetServer, refused
from tests.tls.states import client, server
from tests.tls.world import client_context, identity, server_context, trust


def willing(**settings: Any) -> Context:
    return client_context(**{"post_handshake_auth": True, "identity": identity("client"), **settings})


def asking(**settings: Any) -> Context:
    return server_context(**{"trust": trust(), **settings})


def connected(ours: Context | None = None, theirs: Context | None = None, **options: Any) -> Link:
    made = link(ours or willing(), theirs or asking(), **options).handshake()
    made.server_events.clear()
    made.client_events.clear()
    return made


CLIENT = identity("client").chain
KNOWN = ClientAuthenticated(CLIENT, None)
NOBODY = ClientAuthenticated((), None)


# --- that it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "both",
    [{}, {"cipher_suites": ["TLS_AES_256_GCM_SHA384"]}, {"certificate_compression": "zlib"}, {"alpn": ["h2"]}],
    ids=str,
)
def test_client_is_asked_and_answers(both: dict[str, Any]) -> None:
    made = connected(willing(**both), asking(**both))
    assert made.server.peer_certificates == ()
    assert made.client.identity is None
    made.server.verify_client_post_handshake()
    assert made.server.authentication_pending
    made.exchange()
    assert made.server_events == [KNOWN]
    assert not made.server.authentication_pending
    assert made.server.peer_certificates == CLIENT
    assert made.client.identity is identity("client")
    made.client.write(b"there")
    made.server.write(b"and back")
    made.exchange()
    assert (received(made.server_events), received(made.client_events)) == (b"there", b"and back")


@pytest.mark.parametrize("name", ["client", "rsa", "ed25519", "p384"])
def test_any_kind_of_key(name: str) -> None:
    made = connected(willing(identity=identity(name)))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert made.server_events == [ClientAuthenticated(identity(name).chain, None)]


def test_raw_public_key() -> None:
    """Agreed on in the handshake, though nothing was asked for there."""
    raw = Identity.raw_public_key(pki().client.key_pem)
    made = connected(willing(identity=raw), asking(trust=TrustStore.public_keys(raw.chain[0])))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert made.server_events == [ClientAuthenticated((), raw.chain[0])]
    assert made.server.peer_public_key == raw.chain[0]


def test_after_key_updates() -> None:
    """Each Finished is made with the secret that is in use when it is sent."""
    made = connected()
    for _ in range(3):
        made.client.key_update()
        made.server.key_update(request_peer=True)
        made.client.write(b"x")
        made.exchange()
        made.server.verify_client_post_handshake()
        made.exchange()
    assert made.server_events.count(KNOWN) == 3


def test_after_a_resumption() -> None:
    """RFC 9846 section 4.4.2: not in the handshake, but afterwards."""
    ours, theirs = willing(), asking()
    connected(ours, theirs)
    made = connected(ours, theirs)
    assert made.server.session_reused
    made.server.verify_client_post_handshake()
    assert made.exchange().server_events == [KNOWN]


def test_session_of_before_knows_nobody() -> None:
    ours, theirs = willing(), asking()
    made = connected(ours, theirs)
    made.server.verify_client_post_handshake()
    made.exchange()
    again = connected(ours, theirs)
    assert again.server.session_reused
    assert again.server.peer_certificates == ()


@pytest.mark.parametrize("number", [2, 3, 8])
def test_several_requests(number: int) -> None:
    """One after the other: each goes out when the one before is answered."""
    made = connected()
    for _ in range(number):
        made.server.verify_client_post_handshake()
    for sent in range(number):
        assert made.server.authentication_pending
        assert made.server_events == [KNOWN] * sent
        made._carry(made.server, made.client)
        made._carry(made.client, made.server)
        made.server_events += drain(made.server)
    assert made.server_events == [KNOWN] * number
    assert not made.server.authentication_pending


def test_data_flows_while_an_answer_is_awaited() -> None:
    made = connected(willing(engine=(engine := DelayEngine(None, operations=[Operation.SIGN])), async_mode=True))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert made.client.waiting_for_async
    for _ in range(3):
        made.client.write(b"from the client ")
        made.server.write(b"from the server ")
        made.exchange()
    made.client.key_update(request_peer=True)
    made.exchange()
    assert received(made.server_events) == b"from the client " * 3
    assert received(made.client_events) == b"from the server " * 3
    engine.release()
    made.client.advance(0.0)
    made.exchange()
    assert made.server_events[-1] == KNOWN


def test_tickets_and_requests() -> None:
    """A request made at once waits behind the tickets, whose sealing pauses."""
    engine = DelayEngine(None, operations=[Operation.SEAL_TICKET])
    made = connected(theirs=asking(engine=engine, async_mode=True))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert made.server_events == []
    for _ in range(2):
        engine.release()
        made.server.advance(0.0)
    made.exchange()
    assert made.server_events == [KNOWN]
    assert len(made.client_events) == 2


# --- a client that has nothing to show -------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [None, Verify.NONE, Verify.OPTIONAL])
@pytest.mark.parametrize("shown", [None, "ed25519"], ids=["no identity", "no scheme"])
def test_client_declines(shown: str | None, verify: Verify | None) -> None:
    ours = willing(identity=identity(shown) if shown else None)
    theirs = asking(verify=verify, signature_schemes=["ecdsa_secp256r1_sha256"])
    made = connected(ours, theirs)
    made.server.verify_client_post_handshake()
    assert made.exchange().server_events == [NOBODY]
    assert made.client.identity is None
    made.client.write(b"all the same")
    assert received(made.exchange().server_events) == b"all the same"


def test_client_declines_where_it_must_not() -> None:
    other = asked(verify=Verify.REQUIRED)
    other.answer(None)
    refused(other.puppet, CertificateRequired)


def test_declining_later_does_not_forget_whom_the_handshake_has_proved() -> None:
    other = asked(verify=Verify.OPTIONAL, first=identity("client"))
    assert other.puppet.connection.peer_certificates == CLIENT
    other.answer(None)
    assert drain(other.puppet.connection)[-1] == NOBODY
    assert other.puppet.connection.peer_certificates == CLIENT


# --- who may ask whom ------------------------------------------------------------------------------------------------


def test_clients_say_that_they_are_willing_only_when_they_are_told_to() -> None:
    for context, offered in ((client_context(), None), (willing(), True)):
        connection = client(context)
        connection.advance(0.0)
        hello = decode_message(ClientHello, connection.data_to_send(0.0)[5:])
        assert hello.extensions.get(POST_HANDSHAKE_AUTH) is offered


def test_client_that_was_not_willing_is_not_asked() -> None:
    made = connected(client_context(identity=identity("client")))
    with pytest.raises(UsageError, match="post_handshake_auth"):
        made.server.verify_client_post_handshake()
    assert made.exchange().server_events == []


def test_misuse() -> None:
    made = link(willing(), asking())
    with pytest.raises(UsageError, match="not complete"):
        made.server.verify_client_post_handshake()
    made.handshake()
    with pytest.raises(UsageError, match="this is the client"):
        made.client.verify_client_post_handshake()
    made.server.shutdown()
    with pytest.raises(UsageError, match="shutdown"):
        made.server.verify_client_post_handshake()
    made.server.close()
    with pytest.raises(UsageError):
        made.server.verify_client_post_handshake()


def test_server_without_a_store_of_cas() -> None:
    made = connected(theirs=server_context())
    with pytest.raises(ConfigError, match="trust"):
        made.server.verify_client_post_handshake()
    assert not made.server.authentication_pending


@pytest.mark.parametrize("verify", [Verify.NONE, Verify.OPTIONAL, Verify.REQUIRED])
def test_certificate_is_judged_also_where_handshakes_ask_for_none(verify: Verify) -> None:
    other = asked(verify=verify, first=identity("client") if verify is not Verify.NONE else None)
    other.answer(identity("self_signed"))
    error = refused(other.puppet, CertificateVerifyError, AlertDescription.unknown_ca)
    assert isinstance(error, CertificateVerifyError)


def test_verify_peer_has_its_say() -> None:
    made = connected(theirs=asking(verify_peer=lambda facts: facts.certificates != CLIENT))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert isinstance(made.server.error, CertificateVerifyError)
    assert isinstance(made.client.error, PeerAlert)


def test_key_that_fails() -> None:
    class Broken:
        schemes = (SignatureScheme.ecdsa_secp256r1_sha256,)

        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            raise OSError("gone")

    made = connected(willing(identity=Identity.load(pki().client.chain_pem, Broken())))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert isinstance(made.client.error, OperationFailed)
    assert isinstance(made.server.error, PeerAlert)


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3])
def test_requests_that_wait_are_bounded_on_the_server(limit: int) -> None:
    made = connected(theirs=asking(limits=Limits(authentications=limit)))
    for _ in range(limit):
        made.server.verify_client_post_handshake()
    with pytest.raises(UsageError, match=f"{limit} requests"):
        made.server.verify_client_post_handshake()
    made.exchange()
    made.server.verify_client_post_handshake()
    assert made.exchange().server_events == [KNOWN] * (limit + 1)


def request(context: bytes = b"context") -> CertificateRequest:
    made = Extensions()
    made.put(SIGNATURE_ALGORITHMS, SCHEMES)
    return CertificateRequest(context, made)


@pytest.mark.parametrize("limit", [1, 3])
def test_requests_that_wait_are_bounded_on_the_client(limit: int) -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    context = willing(engine=engine, async_mode=True, limits=Limits(authentications=limit))
    puppet = PuppetServer(client(context), identity()).run()
    for number in range(limit):
        puppet.say(request(b"%d" % number))
    assert puppet.connection.error is None
    puppet.say(request(b"one too many"))
    refused(puppet, UnexpectedMessage)


def test_answered_requests_do_not_count() -> None:
    puppet = PuppetServer(client(willing(limits=Limits(authentications=1))), identity()).run()
    for number in range(20):
        puppet.say(request(b"%d" % number))
        puppet.pull()
    assert puppet.connection.error is None


def test_requests_that_come_at_once_do() -> None:
    """However fast they are answered: a server must not have a client sign as often as it can write a few bytes."""
    puppet = PuppetServer(client(willing(limits=Limits(authentications=3))), identity()).run()
    assert puppet.write_key is not None
    for count in (3, 3, 4):
        assert puppet.connection.error is None
        asked = [puppet.write_key.seal(HANDSHAKE, request(b"%d" % number).encode()) for number in range(count)]
        puppet.feed(b"".join(asked))
    refused(puppet, UnexpectedMessage)


# --- a server that asks badly ----------------------------------------------------------------------------------------


def test_client_that_has_not_offered_it() -> None:
    puppet = PuppetServer(client(client_context(identity=identity("client"))), identity()).run()
    puppet.say(request())
    refused(puppet, UnexpectedMessage)


def test_client_cannot_ask() -> None:
    puppet = puppet_client()
    puppet.say(request())
    refused(puppet, UnexpectedMessage)


def test_request_without_signature_algorithms() -> None:
    puppet = PuppetServer(client(willing()), identity()).run()
    puppet.say(CertificateRequest(b"context", Extensions()))
    refused(puppet, MissingExtension)


def test_request_with_an_extension_of_another_message() -> None:
    puppet = PuppetServer(client(willing()), identity()).run()
    bad = request()
    bad.extensions.put(POST_HANDSHAKE_AUTH, True)
    puppet.say(bad)
    refused(puppet, IllegalParameter)


def test_request_after_our_close_notify_is_not_answered() -> None:
    puppet = PuppetServer(client(willing()), identity()).run()
    puppet.connection.shutdown()
    puppet.pull()
    puppet.say(request())
    assert puppet.pull() == []
    assert puppet.connection.error is None


def test_answer_is_one_flight() -> None:
    """RFC 9846 section 4.7.2: nothing stands between its messages, and each confirms what stood before it."""
    puppet = PuppetServer(client(willing()), identity()).run()
    before = puppet.transcript.copy()
    puppet.connection.write(b"before")
    puppet.say(asked_for := request())
    puppet.connection.write(b"after")
    records = puppet.pull()
    assert [kind for kind, _ in records] == [APPLICATION_DATA, HANDSHAKE, APPLICATION_DATA]
    certificate, proof, finished = puppet.messages[-3:]
    answer = decode_message(Certificate, certificate)
    assert answer.certificate_request_context == b"context"
    assert tuple(entry.cert_data for entry in answer.certificate_list) == CLIENT
    before.add(asked_for.raw)
    before.add(certificate)
    verify = decode_message(CertificateVerify, proof)
    public = identity("client").public_key
    check_signature(verify.algorithm, public, verify.signature, to_sign(before.digest(), by_server=False))
    before.add(proof)
    assert puppet.suite is not None
    assert puppet.read_key is not None
    expected = verify_data(puppet.suite.hash, puppet.read_key.secret, before.digest(), PREFIX)
    assert decode_message(Finished, finished).verify_data == expected


# --- a client that answers badly -------------------------------------------------------------------------------------


class Asked:
    """A puppet that has been asked after the handshake, and the parts of an answer."""

    def __init__(self, puppet: PuppetClient) -> None:
        self.puppet = puppet
        self.transcript: Transcript = puppet.transcript.copy()
        puppet.connection.verify_client_post_handshake()
        puppet.pull()
        self.request = decode_message(CertificateRequest, puppet.messages[-1])
        self.transcript.add(self.request.raw)

    @property
    def context(self) -> bytes:
        return self.request.certificate_request_context

    def certificate(self, shown: Identity | None, context: bytes | None = None) -> Certificate:
        chain = shown.chain if shown is not None else ()
        return self._add(
            Certificate(self.context if context is None else context, tuple(CertificateEntry(der) for der in chain))
        )

    def proof(self, shown: Identity, *, by_server: bool = False) -> CertificateVerify:
        scheme = shown.key.schemes[0]
        message = to_sign(self.transcript.digest(), by_server=by_server)
        return self._add(CertificateVerify(scheme, shown.key.sign(scheme, message)))

    def finished(self, key: RecordKey | None = None) -> Finished:
        key = key or self.puppet.write_key
        assert key is not None
        assert self.puppet.suite is not None
        return Finished(verify_data(self.puppet.suite.hash, key.secret, self.transcript.digest(), PREFIX))

    def _add(self, message: Any) -> Any:
        self.transcript.add(message.encode())
        return message

    def say(self, *messages: HandshakeMessage) -> None:
        self.puppet.send(HANDSHAKE, b"".join(message.encode() for message in messages))

    def answer(self, shown: Identity | None, context: bytes | None = None) -> None:
        parts: list[HandshakeMessage] = [self.certificate(shown, context)]
        if shown is not None:
            parts.append(self.proof(shown))
        self.say(*parts, self.finished())


def puppet_client(first: Identity | None = None, **settings: Any) -> PuppetClient:
    """A puppet that is willing, connected to a server; `first` is what it shows in the handshake."""
    puppet = PuppetClient(server(asking(**settings)))
    hello = puppet.hello()
    hello.extensions.put(POST_HANDSHAKE_AUTH, True)
    puppet.start(hello)
    if first is not None or settings.get("verify") not in (None, Verify.NONE):
        puppet.say(puppet.certificate(first or identity("client")))
        puppet.say(puppet.prove(first or identity("client")))
    puppet.finish()
    assert puppet.connection.handshake_complete
    drain(puppet.connection)
    return puppet


def asked(first: Identity | None = None, **settings: Any) -> Asked:
    return Asked(puppet_client(first, **settings))


@pytest.mark.parametrize("pieces", [1, 3], ids=["one record", "a record each"])
def test_puppets_answer_is_taken(pieces: int) -> None:
    other = asked()
    parts = [other.certificate(identity("client")), other.proof(identity("client"))]
    parts.append(other.finished())
    for messages in [parts] if pieces == 1 else [[part] for part in parts]:
        other.say(*messages)
    assert drain(other.puppet.connection) == [KNOWN]


def test_context_of_a_request() -> None:
    """RFC 9846 section 4.4.2: unique on the connection, and drawn at random."""
    drawn: list[bytes] = []

    def draw(size: int) -> bytes:
        drawn.append(bytes((len(drawn) + 1,)) * size)
        return drawn[-1]

    puppet = puppet_client(random=draw)
    for _ in range(3):
        other = Asked(puppet)
        assert other.context == drawn[-1]
        assert len(other.context) == 32
        other.answer(None)
    assert len(set(drawn)) == len(drawn)


Wrong = Callable[[Asked], None]


def another_context(other: Asked) -> None:
    other.answer(identity("client"), b"another")


def no_context(other: Asked) -> None:
    other.answer(identity("client"), b"")


def no_context_and_no_certificate(other: Asked) -> None:
    other.answer(None, b"")


def proof_of_another_key(other: Asked) -> None:
    other.say(other.certificate(identity("client")), other.proof(identity("ec")))


def proof_of_the_handshake(other: Asked) -> None:
    other.transcript = other.puppet.transcript.copy()
    other.say(other.certificate(identity("client")), other.proof(identity("client")))


def proof_of_a_server(other: Asked) -> None:
    other.say(other.certificate(identity("client")), other.proof(identity("client"), by_server=True))


def no_proof(other: Asked) -> None:
    other.say(other.certificate(identity("client")), other.finished())


def proof_without_a_certificate(other: Asked) -> None:
    other.say(other.certificate(None), other.proof(identity("client")))


def finished_at_once(other: Asked) -> None:
    other.say(other.finished())


def finished_of_nothing(other: Asked) -> None:
    other.say(other.certificate(None), Finished(bytes(32)))


def finished_with_handshake_keys(other: Asked) -> None:
    other.certificate(None)
    key = RecordKey(other.puppet.own(other.puppet.handshake), PREFIX)
    other.say(Certificate(other.context, ()), other.finished(key))


def data_between(other: Asked) -> None:
    other.say(other.certificate(identity("client")))
    other.puppet.send(APPLICATION_DATA, b"data")


def key_update_between(other: Asked) -> None:
    other.say(other.certificate(identity("client")))
    other.say(KeyUpdate(KeyUpdateRequest.update_not_requested))


def second_certificate(other: Asked) -> None:
    other.say(other.certificate(identity("client")), Certificate(other.context, ()))


def malformed_certificate(other: Asked) -> None:
    other.say(Certificate(other.context, (CertificateEntry(b"junk"),)))


def too_many_certificates(other: Asked) -> None:
    other.say(Certificate(other.context, (CertificateEntry(identity("client").chain[0]),) * 11))


def a_new_hello(other: Asked) -> None:
    other.say(other.puppet.hello())


WRONG: dict[Wrong, type[Error]] = {
    another_context: IllegalParameter,
    no_context: IllegalParameter,
    no_context_and_no_certificate: IllegalParameter,
    proof_of_another_key: DecryptError,
    proof_of_the_handshake: DecryptError,
    proof_of_a_server: DecryptError,
    no_proof: UnexpectedMessage,
    proof_without_a_certificate: UnexpectedMessage,
    finished_at_once: UnexpectedMessage,
    finished_of_nothing: DecryptError,
    finished_with_handshake_keys: DecryptError,
    data_between: UnexpectedMessage,
    key_update_between: UnexpectedMessage,
    second_certificate: UnexpectedMessage,
    malformed_certificate: BadCertificate,
    too_many_certificates: BadCertificate,
    a_new_hello: UnexpectedMessage,
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_wrong_answer(wrong: Wrong) -> None:
    other = asked()
    wrong(other)
    refused(other.puppet, WRONG[wrong])


def test_answer_that_nobody_asked_for() -> None:
    puppet = puppet_client()
    puppet.say(puppet.certificate(identity("client")))
    refused(puppet, UnexpectedMessage)


def test_answer_that_is_said_again() -> None:
    other = asked()
    raws = [other.certificate(identity("client")), other.proof(identity("client"))]
    raws.append(other.finished())
    other.say(*raws)
    assert drain(other.puppet.connection) == [KNOWN]
    other.puppet.connection.verify_client_post_handshake()
    other.say(*raws)
    refused(other.puppet, IllegalParameter)


def test_key_update_before_the_answer() -> None:
    """Other messages may come between the request and its answer."""
    puppet = puppet_client()
    other = Asked(puppet)
    puppet.send(HANDSHAKE, KeyUpdate(KeyUpdateRequest.update_not_requested).encode())
    assert puppet.write_key is not None
    puppet.write_key = puppet.write_key.next_generation()
    puppet.send(APPLICATION_DATA, b"data")
    other.answer(identity("client"))
    assert drain(puppet.connection) == [KNOWN, DataReceived(b"data")]


def test_connection_ends_while_an_answer_is_awaited() -> None:
    other = asked()
    other.puppet.send(21, bytes((1, AlertDescription.close_notify)))
    assert other.puppet.connection.close_notify_received
    assert other.puppet.connection.error is None
    assert other.puppet.connection.authentication_pending


# --- pauses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.VERIFY_SIGNATURE, Operation.VERIFY_CHAIN, Operation.VERIFY_PEER])
@pytest.mark.parametrize("chunk", [None, 1])
def test_server_pauses(operation: Operation, chunk: int | None) -> None:
    """What follows the answer is not opened before the answer is judged."""
    engine = DelayEngine(None, operations=[operation])
    theirs = asking(engine=engine, async_mode=True, verify_peer=lambda _: True)
    made = connected(theirs=theirs)
    made.chunk = chunk
    made.server.verify_client_post_handshake()
    made._carry(made.server, made.client)
    made.client.write(b"data")
    made.client.key_update()
    made.client.write(b" and more")
    made.exchange()
    assert made.server.waiting_for_async
    assert made.server_events == []
    assert not made.server.read_paused
    engine.release()
    made.server.advance(0.0)
    made.exchange()
    assert made.server_events[0] == KNOWN
    assert received(made.server_events) == b"data and more"


def test_key_update_behind_the_answer_in_its_record() -> None:
    """It stays what it is, however long the answer takes to be judged."""
    engine = DelayEngine(None, operations=[Operation.VERIFY_CHAIN])
    other = asked(engine=engine, async_mode=True)
    puppet = other.puppet
    parts = [other.certificate(identity("client")), other.proof(identity("client"))]
    other.say(*parts, other.finished(), KeyUpdate(KeyUpdateRequest.update_not_requested))
    assert puppet.write_key is not None
    puppet.write_key = puppet.write_key.next_generation()
    puppet.send(APPLICATION_DATA, b"data")
    assert drain(puppet.connection) == []
    engine.release()
    puppet.connection.advance(0.0)
    assert puppet.connection.error is None
    assert drain(puppet.connection) == [KNOWN, DataReceived(b"data")]


def test_deadline_of_a_pause() -> None:
    engine = DelayEngine(None, operations=[Operation.VERIFY_CHAIN])
    made = connected(theirs=asking(engine=engine, async_mode=True, deadline=5.0))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert made.server.timeout() == 5.0
    made.server.handle_timeout(5.0)
    assert made.server.error is not None
    assert made.server.error.code == "OPERATION_TIMEOUT"
    made.exchange()
    assert isinstance(made.client.error, PeerAlert)


def test_closing_while_an_answer_pauses() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    made = connected(willing(engine=engine, async_mode=True))
    made.server.verify_client_post_handshake()
    made.exchange()
    assert len(engine.waiting) == 1
    made.client.close()
    assert len(engine.waiting) == 0
    assert not made.client.waiting_for_async


@pytest.mark.parametrize("updates", [0, 1, 2])
def test_answer_waits_for_records_that_are_being_sealed(updates: int) -> None:
    """Its Finished is made with the key that will seal it, which a queued KeyUpdate changes."""
    engine = DelayEngine(None, operations=[Operation.SEAL_RECORD])
    made = link(willing(engine=engine, async_mode=True), asking()).start()

    def go_on() -> None:
        while made.client.write_paused:
            engine.release()
            made.client.advance(0.0)
            made.exchange()

    made.exchange()
    go_on()
    assert made.client.handshake_complete
    made.client.write(b"one")
    for _ in range(updates):
        made.client.key_update()
        made.client.write(b"more")
    made.server.verify_client_post_handshake()
    made.exchange()
    go_on()
    assert made.server.error is None
    assert KNOWN in made.server_events
    assert received(made.server_events) == b"one" + b"more" * updates


# --- SSL -------------------------------------------------------------------------------------------------------------


def ssl_pair(ours: Context, theirs: Context) -> tuple[SSL, SSL]:
    one, two = bio_pair(0, 0)
    sides = SSL(ours, one, server_side=False, server_hostname="localhost"), SSL(theirs, two, server_side=True)
    left = list(sides)
    while left:
        for side in list(left):
            try:
                side.do_handshake()
            except WantRead:
                continue
            left.remove(side)
    return sides


def test_ssl() -> None:
    ours, theirs = ssl_pair(willing(), asking())
    assert not theirs.authentication_pending
    theirs.verify_client_post_handshake()
    assert theirs.authentication_pending
    with pytest.raises(WantRead):
        ours.read(10)
    with pytest.raises(WantRead):
        theirs.read(10)
    assert not theirs.authentication_pending
    assert theirs.peer_certificates == CLIENT
    ours.write(b"data")
    assert theirs.read(10) == b"data"
    ours.shutdown()
    with pytest.raises(ZeroReturn):
        theirs.read(10)


def test_ssl_that_pauses() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    ours, theirs = ssl_pair(willing(engine=engine, async_mode=True), asking())
    theirs.verify_client_post_handshake()
    with pytest.raises(WantAsync):
        ours.read(10)
    engine.release()
    with pytest.raises(WantRead):
        ours.read(10)
    with pytest.raises(WantRead):
        theirs.read(10)
    assert theirs.peer_certificates == CLIENT


def test_ssl_on_a_client_or_too_early() -> None:
    ours, theirs = ssl_pair(willing(), asking())
    with pytest.raises(UsageError, match="client"):
        ours.verify_client_post_handshake()
    with pytest.raises(UsageError, match="not complete"):
        SSL(asking(), *bio_pair(), server_side=True).verify_client_post_handshake()
    theirs.close()
