"""Raw public keys (RFC 7250): who shows what, who is believed, and what neither side may do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from caesura.context import Context, Identity, PeerChain, TrustStore, Verify
from caesura.engines import DelayEngine, Operation
from caesura.errors import (
    AlertDescription,
    CertificateRequired,
    CertificateVerifyError,
    ConfigError,
    DecodeError,
    DecryptError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    OperationFailed,
    PeerAlert,
    UnexpectedMessage,
    UnsupportedCertificate,
    UnsupportedExtension,
    UsageError,
)
from caesura.sessions import Session
from caesura.tls import TLSConnection
from caesura.wire.extensions import (
    CLIENT_CERTIFICATE_TYPE,
    CLIENT_CERTIFICATE_TYPES,
    PRE_SHARED_KEY_SERVER,
    SERVER_CERTIFICATE_TYPE,
    SERVER_CERTIFICATE_TYPES,
    STATUS_REQUEST,
    CertificateStatusRequest,
    Extensions,
    OCSPStatusRequest,
)
from caesura.wire.messages import (
    Certificate,
    CertificateEntry,
    ClientHello,
    EncryptedExtensions,
    decode_message,
)
from caesura.wire.registries import CertificateType
from tests.support.clock import FakeClock
from tests.support.link import Link, link
from tests.support.pki import pki
from tests.tls.puppet import PuppetClient, PuppetServer, refused
from tests.tls.states import server
from tests.tls.world import WALL, client_context, identity, server_context, trust

X509, RAW = CertificateType.X509, CertificateType.RawPublicKey


@cache
def raw(name: str = "ec") -> Identity:
    """The key of one of the hierarchy's leaves, without its certificate."""
    return Identity.raw_public_key(getattr(pki(), name).key_pem)


def known(*names: str) -> TrustStore:
    return TrustStore.public_keys(*[raw(name).chain[0] for name in names])


def raw_server(**settings: Any) -> Context:
    return server_context(**{"identity": raw(), **settings})


def raw_client(**settings: Any) -> Context:
    return client_context(**{"trust": known("ec"), **settings})


def failed(client: Context, theirs: Context, **options: Any) -> tuple[Error | None, Error | None]:
    made = link(client, theirs, **options).start().exchange()
    return made.client.error, made.server.error


# --- that it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ec", "p384", "p521", "rsa", "ed25519"])
def test_server_with_a_raw_key(name: str) -> None:
    made = link(raw_client(trust=known(name)), raw_server(identity=raw(name))).handshake()
    assert made.client.peer_public_key == raw(name).chain[0]
    assert made.client.peer_certificates == ()
    assert made.server.identity is raw(name)
    assert made.server.peer_public_key is None
    made.client.write(b"data")
    assert made.exchange().server_events[-1].data == b"data"  # type: ignore[union-attr]


def test_both_sides_with_raw_keys() -> None:
    ours = raw_client(identity=raw("client"))
    theirs = raw_server(verify=Verify.REQUIRED, trust=known("client", "rsa"))
    made = link(ours, theirs).handshake()
    assert made.client.peer_public_key == raw().chain[0]
    assert made.server.peer_public_key == raw("client").chain[0]
    assert made.client.identity is raw("client")


def test_raw_key_one_way_certificate_the_other() -> None:
    made = link(
        client_context(identity=raw("client")), server_context(verify=Verify.REQUIRED, trust=known("client"))
    ).handshake()
    assert (made.client.peer_certificates, made.server.peer_public_key) == (identity().chain, raw("client").chain[0])
    made = link(raw_client(identity=identity("client")), raw_server(verify=Verify.REQUIRED, trust=trust())).handshake()
    assert (made.server.peer_certificates, made.client.peer_public_key) == (identity("client").chain, raw().chain[0])


def test_no_name_is_needed_where_no_certificate_is_taken() -> None:
    assert link(raw_client(), raw_server(), server_hostname=None).handshake().client.peer_public_key
    with pytest.raises(UsageError, match="server_hostname"):
        TLSConnection(raw_client(trust=known("ec") | trust()), server_side=False)


@pytest.mark.parametrize("theirs", [identity(), [identity("rsa"), raw()], [raw(), identity()]], ids=["X.509", "2", "3"])
def test_either_is_good_to_a_client_that_trusts_both(theirs: Any) -> None:
    """The server's order of identities decides, and among certificates the name."""
    made = link(raw_client(trust=known("ec") | trust()), server_context(identity=theirs)).handshake()
    assert bool(made.client.peer_public_key) is (theirs != identity() and theirs[0] is raw())
    assert bool(made.client.peer_certificates) is not bool(made.client.peer_public_key)


@pytest.mark.parametrize(
    ("offered", "identities", "index"),
    [
        ((RAW,), [raw()], 0),
        ((RAW,), [raw(), raw("rsa")], 0),
        ((RAW, X509), [raw()], 0),
        ((X509, RAW), [raw()], 0),
        ((RAW,), [raw(), identity()], 0),
        ((X509, RAW), [raw(), identity()], 0),
        ((RAW,), [identity(), raw()], 1),
        ((RAW, X509), [identity(), raw()], 0),
        ((RAW, 5), [identity(), raw()], 1),
        ((X509, 5), [raw(), identity()], 1),
        (None, [raw(), identity()], 1),
    ],
)
def test_identity_that_the_server_shows(offered: Any, identities: list[Identity], index: int) -> None:
    puppet = PuppetClient(server(server_context(identity=identities)))
    hello = puppet.hello()
    if offered is not None:
        hello.extensions.put(SERVER_CERTIFICATE_TYPES, offered)
    puppet.start(hello)
    answer, certificate = puppet.messages[1:3]
    chosen = identities[index]
    extensions = decode_message(EncryptedExtensions, answer).extensions
    assert extensions.get(SERVER_CERTIFICATE_TYPE) == (None if offered is None else chosen.certificate_type)
    entries = decode_message(Certificate, certificate).certificate_list
    assert tuple(entry.cert_data for entry in entries) == chosen.chain


@pytest.mark.parametrize(
    ("settings", "taken", "shown"),
    [
        ({}, None, None),
        ({"trust": known("ec")}, (RAW,), None),
        ({"trust": known("ec") | trust()}, (RAW, X509), None),
        ({"trust": known("ec"), "peer_certificate_types": ["X509", "RawPublicKey"]}, (X509, RAW), None),
        ({"trust": known("ec"), "peer_certificate_types": "X509"}, None, None),
        ({"verify_peer": lambda _: True, "peer_certificate_types": "RawPublicKey"}, (RAW,), None),
        ({"identity": identity("client")}, None, None),
        ({"identity": raw("client")}, None, (RAW,)),
        ({"identity": [raw("client"), raw("rsa"), identity("client")]}, None, (RAW, X509)),
        ({"identity": [identity("client"), raw("client")]}, None, (X509, RAW)),
        ({"identity": [identity("client"), raw("client")], "own_certificate_types": "X509"}, None, None),
        ({"own_certificate_types": ["RawPublicKey"]}, None, (RAW,)),
    ],
)
def test_what_a_client_offers(settings: dict[str, Any], taken: Any, shown: Any) -> None:
    connection = TLSConnection(client_context(**settings), server_side=False, server_hostname="localhost")
    connection.advance(0.0)
    extensions = decode_message(ClientHello, connection.data_to_send(0.0)[5:]).extensions
    assert extensions.get(SERVER_CERTIFICATE_TYPES) == taken
    assert extensions.get(CLIENT_CERTIFICATE_TYPES) == shown


@pytest.mark.parametrize(
    ("offered", "accepted", "chosen"),
    [
        ((RAW,), (RAW,), RAW),
        ((RAW, X509), (RAW,), RAW),
        ((X509, RAW), (RAW, X509), RAW),
        ((RAW, X509), (X509, RAW), X509),
        ((RAW, 5), (X509, RAW), RAW),
        (None, (RAW, X509), None),
        ((5,), (X509, RAW), UnsupportedCertificate),
        ((X509, 5), (RAW,), UnsupportedCertificate),
        (None, (RAW,), UnsupportedCertificate),
    ],
)
def test_type_that_the_server_asks_for(offered: Any, accepted: Any, chosen: Any) -> None:
    context = server_context(verify=Verify.REQUIRED, trust=trust() | known("ec"), peer_certificate_types=accepted)
    puppet = PuppetClient(server(context))
    hello = puppet.hello()
    if offered is not None:
        hello.extensions.put(CLIENT_CERTIFICATE_TYPES, offered)
    if isinstance(chosen, type):
        puppet.say(hello)
        refused(puppet, chosen)
        return
    puppet.start(hello)
    answer = decode_message(EncryptedExtensions, puppet.messages[1]).extensions
    assert answer.get(CLIENT_CERTIFICATE_TYPE) == chosen


def test_the_type_of_the_server_is_answered_when_it_resumes_too() -> None:
    context = raw_server(verify=Verify.OPTIONAL, trust=known("client"))
    session = link(raw_client(identity=raw("client")), context).handshake().client.session
    assert session is not None
    puppet = PuppetClient(server(context), session=session)
    hello = puppet.hello()
    hello.extensions.put(SERVER_CERTIFICATE_TYPES, (RAW,))
    hello.extensions.put(CLIENT_CERTIFICATE_TYPES, (RAW,))
    puppet.start(puppet.bind(hello, session))
    assert puppet.server_hello is not None
    assert PRE_SHARED_KEY_SERVER.code in puppet.server_hello.extensions
    answer = decode_message(EncryptedExtensions, puppet.messages[1]).extensions
    assert answer.get(SERVER_CERTIFICATE_TYPE) == RAW
    assert answer.get(CLIENT_CERTIFICATE_TYPE) is None  # nobody is asked


def test_no_staple_goes_with_a_raw_key() -> None:
    puppet = PuppetClient(server(raw_server(ocsp_response=b"status")))
    hello = puppet.hello()
    hello.extensions.put(SERVER_CERTIFICATE_TYPES, (RAW,))
    hello.extensions.put(STATUS_REQUEST, CertificateStatusRequest(1, OCSPStatusRequest()))
    puppet.start(hello)
    (entry,) = decode_message(Certificate, puppet.messages[2]).certificate_list
    assert entry.extensions.codes == ()


def test_server_that_asks_for_nothing_says_nothing() -> None:
    puppet = PuppetClient(server())
    hello = puppet.hello()
    hello.extensions.put(CLIENT_CERTIFICATE_TYPES, (RAW,))
    puppet.start(hello)
    assert decode_message(EncryptedExtensions, puppet.messages[1]).extensions.codes == (0,)  # server_name


# --- who is believed -------------------------------------------------------------------------------------------------


def test_key_that_nobody_vouches_for() -> None:
    error, heard = failed(raw_client(trust=known("rsa", "client")), raw_server())
    assert isinstance(error, CertificateVerifyError)
    assert (error.description, error.verify_code) == (AlertDescription.bad_certificate, 95)
    assert isinstance(heard, PeerAlert)
    assert heard.description is AlertDescription.bad_certificate


def test_clients_key_that_nobody_vouches_for() -> None:
    theirs = server_context(verify=Verify.REQUIRED, trust=known("rsa"))
    _, error = failed(client_context(identity=raw("client")), theirs)
    assert isinstance(error, CertificateVerifyError)


def test_certificate_of_a_trusted_ca_does_not_make_its_raw_key_good() -> None:
    """The client trusts the CA that certified this very key, and another raw key."""
    error, _ = failed(raw_client(trust=trust() | known("rsa")), raw_server(identity=raw("ec")))
    assert isinstance(error, CertificateVerifyError)
    assert error.verify_code == 95


def test_known_key_does_not_make_a_certificate_good() -> None:
    """A trusted raw key is not an anchor: a self-signed certificate with the same key is refused."""
    credential = pki().self_signed
    theirs = server_context(identity=Identity.load(credential.chain_pem, credential.key_pem))
    ours = raw_client(trust=TrustStore.public_keys(credential.key), peer_certificate_types=["RawPublicKey", "X509"])
    error, _ = failed(ours, theirs)
    assert isinstance(error, CertificateVerifyError)
    assert error.description is AlertDescription.unknown_ca


YES_OR_NO: dict[str, tuple[Any, Any, bool]] = {  # trust, answer, good
    "known, no objection": (known("ec"), None, True),
    "known, yes": (known("ec"), True, True),
    "known, no": (known("ec"), False, False),
    "not known, yes": (known("rsa"), True, False),
    "no store, yes": (None, True, True),
    "no store, no": (None, False, False),
    "no store, nothing": (None, None, False),
    "store of anchors, yes": (trust(), True, True),
    "store of anchors, nothing": (trust(), None, False),
}


@pytest.mark.parametrize("name", YES_OR_NO)
def test_verify_peer(name: str) -> None:
    """Where no store knows raw keys, the callback alone decides, and then silence is no consent."""
    store, verdict, good = YES_OR_NO[name]
    asked: list[PeerChain] = []

    def verify_peer(facts: PeerChain) -> Any:
        asked.append(facts)
        return verdict

    ours = raw_client(trust=store, verify_peer=verify_peer, peer_certificate_types="RawPublicKey")
    error, _ = failed(ours, raw_server())
    assert (error is None) is good
    if error is not None:
        assert isinstance(error, CertificateVerifyError)
    if name != "not known, yes":
        assert asked == [PeerChain((), "localhost", False, None, raw().chain[0])]


@pytest.mark.parametrize("verdict", [True, None, False])
def test_verify_none_leaves_the_verdict_to_the_callback(verdict: bool | None) -> None:
    ours = client_context(
        trust=None, verify=Verify.NONE, verify_peer=lambda _: verdict, peer_certificate_types="RawPublicKey"
    )
    error, _ = failed(ours, raw_server())
    assert (error is None) is (verdict is not False)


def test_verify_none_takes_any_key() -> None:
    made = link(client_context(trust=None, verify=Verify.NONE, peer_certificate_types="RawPublicKey"), raw_server())
    assert made.handshake().client.peer_public_key == raw().chain[0]


async def _say_yes(_facts: PeerChain) -> bool:
    return True


def test_verify_peer_may_be_a_coroutine() -> None:
    ours = raw_client(trust=None, verify_peer=_say_yes, peer_certificate_types="RawPublicKey")
    assert link(ours, raw_server()).handshake().client.peer_public_key


def test_verify_peer_that_fails() -> None:
    def verify_peer(_facts: PeerChain) -> bool:
        raise OSError("no directory")

    error, heard = failed(
        raw_client(trust=None, verify_peer=verify_peer, peer_certificate_types="RawPublicKey"), raw_server()
    )
    assert isinstance(error, OperationFailed)
    assert isinstance(heard, PeerAlert)


@pytest.mark.parametrize("side", ["client", "server"])
def test_raw_keys_without_a_store_and_a_callback(side: str) -> None:
    make = {"client": Context.client, "server": lambda **s: Context.server(identity=raw(), **s)}[side]
    with pytest.raises(ConfigError, match="trust: raw public keys are accepted, but none is known"):
        make(verify=Verify.REQUIRED, peer_certificate_types="RawPublicKey")
    with pytest.raises(ConfigError, match="trust: raw public keys"):
        make(verify=Verify.OPTIONAL, peer_certificate_types=["X509", "RawPublicKey"], trust=trust())


@pytest.mark.parametrize(("verify", "kind"), [(Verify.REQUIRED, CertificateRequired), (Verify.OPTIONAL, type(None))])
def test_client_that_shows_nothing(verify: Verify, kind: type) -> None:
    theirs = server_context(verify=verify, trust=known("client"))
    ours = client_context(own_certificate_types="RawPublicKey")
    assert type(failed(ours, theirs)[1]) is kind


def test_client_without_raw_keys_at_a_server_that_takes_nothing_else() -> None:
    theirs = server_context(verify=Verify.OPTIONAL, trust=known("client"))
    _, error = failed(client_context(identity=identity("client")), theirs)
    assert isinstance(error, UnsupportedCertificate)


def test_client_shows_the_identity_of_the_type_that_was_asked_for() -> None:
    ours = client_context(identity=[raw("client"), identity("client")])
    made = link(ours, server_context(verify=Verify.REQUIRED, trust=trust())).handshake()
    assert made.client.identity is identity("client")
    made = link(ours, server_context(verify=Verify.REQUIRED, trust=known("client"))).handshake()
    assert made.client.identity is raw("client")


# --- resumption ------------------------------------------------------------------------------------------------------


def both(**changes: Any) -> tuple[Context, Context]:
    clock = FakeClock(wall_time=WALL)
    ours = raw_client(identity=raw("client"), clock=clock)
    theirs = raw_server(verify=Verify.REQUIRED, trust=known("client"), clock=clock)
    return ours, theirs


def test_resumption_remembers_the_keys() -> None:
    ours, theirs = both()
    first = link(ours, theirs).handshake()
    assert first.client.session is not None
    stored = Session.from_bytes(first.client.session.to_bytes())
    assert stored.peer_public_key == raw().chain[0]
    for session in (None, stored):
        again = link(ours, theirs, session=session).handshake()
        assert again.client.session_reused
        assert again.client.peer_public_key == raw().chain[0]
        assert again.server.peer_public_key == raw("client").chain[0]


CHANGES: dict[str, Callable[[Context, Context], object]] = {
    "the client knows another key": lambda c, s: setattr(c, "trust", known("ec", "rsa")),
    "the client takes certificates too": lambda c, s: setattr(c, "peer_certificate_types", ["RawPublicKey", "X509"]),
    "the client shows another key": lambda c, s: setattr(c, "identity", raw("rsa")),
    "the server shows another key": lambda c, s: setattr(s, "identity", raw("rsa")),
    "the server shows its certificate": lambda c, s: setattr(s, "identity", identity()),
    "the server knows another key": lambda c, s: setattr(s, "trust", known("client", "rsa")),
    "the server takes certificates too": lambda c, s: setattr(s, "peer_certificate_types", ["RawPublicKey", "X509"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_resumption_under_other_conditions(name: str) -> None:
    ours, theirs = both()
    link(ours, theirs).handshake()
    CHANGES[name](ours, theirs)
    made = link(ours, theirs).start().exchange()
    assert not made.client.session_reused
    assert not made.server.session_reused


def test_session_ends_a_week_after_it_began() -> None:
    """A raw key has no date; what it has proved does not last for ever all the same."""
    ours, theirs = both()
    session = link(ours, theirs).handshake().client.session
    assert session is not None
    assert session.valid_until == int(WALL) + 604_800


# --- pauses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.SIGN, Operation.VERIFY_SIGNATURE, Operation.VERIFY_PEER])
@pytest.mark.parametrize("paused", ["client", "server"])
def test_pauses(operation: Operation, paused: str) -> None:
    engine = DelayEngine(None, operations=[operation])
    pausing = {"engine": engine, "async_mode": True}
    ours = raw_client(identity=raw("client"), verify_peer=lambda _: True, **(pausing if paused == "client" else {}))
    theirs = raw_server(
        verify=Verify.REQUIRED,
        trust=known("client"),
        verify_peer=lambda _: True,
        **(pausing if paused == "server" else {}),
    )
    made: Link = link(ours, theirs).start().exchange()
    side = getattr(made, paused)
    assert side.waiting_for_async
    assert not made.server.handshake_complete
    engine.release()
    side.advance(0.0)
    made.exchange()
    assert made.client.handshake_complete
    assert made.server.handshake_complete
    assert made.server.peer_public_key == raw("client").chain[0]


# --- what may not come -----------------------------------------------------------------------------------------------


def at_client(chosen: int | None = RAW, **settings: Any) -> PuppetServer:
    """A client of raw keys that has heard EncryptedExtensions."""
    connection = TLSConnection(raw_client(**settings), server_side=False, server_hostname="localhost")
    puppet = PuppetServer(connection, raw()).greet()
    extensions = Extensions()
    if chosen is not None:
        extensions.put(SERVER_CERTIFICATE_TYPE, chosen)
    puppet.say(EncryptedExtensions(extensions))
    return puppet


def at_server(**settings: Any) -> PuppetClient:
    """A server of raw keys that has asked for one."""
    context = raw_server(**{"verify": Verify.REQUIRED, "trust": known("client"), **settings})
    puppet = PuppetClient(server(context))
    hello = puppet.hello()
    hello.extensions.put(SERVER_CERTIFICATE_TYPES, (RAW,))
    hello.extensions.put(CLIENT_CERTIFICATE_TYPES, (RAW,))
    return puppet.start(hello)


def of(*keys: bytes) -> Certificate:
    return Certificate(b"", tuple(CertificateEntry(key) for key in keys))


Sides = pytest.mark.parametrize(
    ("side", "signer"), [(at_client, raw()), (at_server, raw("client"))], ids=["client", "server"]
)


@Sides
def test_puppets_raw_key_is_taken(side: Callable[[], Any], signer: Identity) -> None:
    puppet = side()
    puppet.say(of(signer.chain[0]))
    puppet.say(puppet.prove(signer))
    puppet.finish()
    assert puppet.connection.handshake_complete


WRONG: dict[str, tuple[Callable[[bytes], tuple[bytes, ...]], type[Error]]] = {
    "two of them": (lambda key: (key, key), DecodeError),
    "a certificate": (lambda key: (pki().ec.der,), DecodeError),
    "a byte too many": (lambda key: (key + b"\0",), DecodeError),
    "a byte too few": (lambda key: (key[:-1],), DecodeError),
    "no key at all": (lambda key: (b"x",), DecodeError),
}


@pytest.mark.parametrize("name", WRONG)
@Sides
def test_wrong_raw_key(side: Callable[[], Any], signer: Identity, name: str) -> None:
    keys, kind = WRONG[name]
    puppet = side()
    puppet.say(of(*keys(signer.chain[0])))
    refused(puppet, kind)


def test_empty_list() -> None:
    puppet = at_client()
    puppet.say(of())
    refused(puppet, DecodeError)
    other = at_server()
    other.say(of())
    refused(other, CertificateRequired)


@Sides
def test_signature_of_another_key(side: Callable[[], Any], signer: Identity) -> None:
    puppet = side()
    puppet.say(of(signer.chain[0]))
    puppet.say(puppet.prove(raw("client") if signer is raw() else raw()))
    refused(puppet, DecryptError)


@Sides
def test_scheme_that_does_not_fit_the_key(side: Callable[[], Any], signer: Identity) -> None:
    puppet = side()
    puppet.say(of(signer.chain[0]))
    puppet.say(puppet.prove(raw("rsa")))
    refused(puppet, IllegalParameter)


@Sides
def test_finished_without_a_proof(side: Callable[[], Any], signer: Identity) -> None:
    puppet = side()
    puppet.say(of(signer.chain[0]))
    puppet.say(puppet.finished())
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize(
    ("chosen", "kind"), [(X509, UnsupportedCertificate), (None, UnsupportedCertificate), (1, UnsupportedCertificate)]
)
def test_server_shows_what_we_do_not_take(chosen: int | None, kind: type[Error]) -> None:
    refused(at_client(chosen), kind)


def test_raw_key_where_x509_was_agreed() -> None:
    puppet = at_client(X509, trust=known("ec") | trust())
    puppet.say(of(raw().chain[0]))
    assert puppet.connection.error is not None
    assert puppet.connection.error.code == "TLS_BAD_CERTIFICATE"


@pytest.mark.parametrize("row", [SERVER_CERTIFICATE_TYPE, CLIENT_CERTIFICATE_TYPE])
def test_answer_that_was_not_asked_for(row: Any) -> None:
    connection = TLSConnection(client_context(), server_side=False, server_hostname="localhost")
    puppet = PuppetServer(connection, identity()).greet()
    extensions = Extensions()
    extensions.put(row, RAW)
    puppet.say(EncryptedExtensions(extensions))
    refused(puppet, UnsupportedExtension)


@pytest.mark.parametrize("chosen", [X509, None])
def test_server_asks_for_what_we_have_not_offered(chosen: int | None) -> None:
    connection = TLSConnection(client_context(identity=raw("client")), server_side=False, server_hostname="localhost")
    puppet = PuppetServer(connection, identity()).greet()
    extensions = Extensions()
    if chosen is not None:
        extensions.put(CLIENT_CERTIFICATE_TYPE, chosen)
    puppet.say(EncryptedExtensions(extensions))
    assert puppet.connection.error is None  # nothing has been asked for yet
    puppet.say(puppet.certificate_request())
    refused(puppet, UnsupportedCertificate)


@pytest.mark.parametrize("row", [SERVER_CERTIFICATE_TYPES, CLIENT_CERTIFICATE_TYPES])
def test_list_of_nothing_but_the_default(row: Any) -> None:
    puppet = PuppetClient(server())
    hello = puppet.hello()
    hello.extensions.put(row, (X509,))
    puppet.say(hello)
    refused(puppet, IllegalParameter)


def test_client_takes_no_type_of_ours() -> None:
    error, _ = failed(raw_client(), server_context())
    assert isinstance(error, PeerAlert)
    assert error.description is AlertDescription.unsupported_certificate
    error, _ = failed(client_context(), raw_server())
    assert isinstance(error, PeerAlert)
    assert error.description is AlertDescription.unsupported_certificate


def test_client_takes_the_type_but_no_scheme() -> None:
    _, error = failed(raw_client(signature_schemes=["ed25519"]), raw_server())
    assert isinstance(error, HandshakeFailure)
