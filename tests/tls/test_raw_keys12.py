"""Raw public keys in TLS 1.2 and DTLS 1.2 (RFC 7250): the same rules as in TLS 1.3, in messages of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Context, Identity, PeerChain, Verify
from caesura.engines import DelayEngine, Operation
from caesura.errors import (
    CertificateVerifyError,
    DecodeError,
    DecryptError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    PeerAlert,
    UnexpectedMessage,
    UnsupportedCertificate,
)
from caesura.sessions import Session
from caesura.wire.extensions import (
    CLIENT_CERTIFICATE_TYPE,
    CLIENT_CERTIFICATE_TYPES,
    SERVER_CERTIFICATE_TYPE,
    SERVER_CERTIFICATE_TYPES,
    STATUS_REQUEST,
    CertificateStatusRequest,
    OCSPStatusRequest,
)
from caesura.wire.messages import ServerHello, decode_message
from caesura.wire.messages12 import Certificate, RawPublicKeyCertificate, ServerHelloDone
from caesura.wire.registries import CertificateType, HandshakeType, Version
from tests.dtls import world as dtls
from tests.support.link import link
from tests.support.pki import pki
from tests.tls.puppet import refused
from tests.tls.puppet12 import Puppet12, PuppetClient12, PuppetServer12
from tests.tls.states import client, server
from tests.tls.states12 import client12, server12
from tests.tls.test_raw_keys import CHANGES, known, raw
from tests.tls.world import identity, trust

X509, RAW = CertificateType.X509, CertificateType.RawPublicKey


def raw_client(**settings: Any) -> Context:
    return client12(**{"trust": known("ec"), **settings})


def raw_server(**settings: Any) -> Context:
    return server12(**{"identity": raw(), **settings})


def both(**settings: Any) -> tuple[Context, Context]:
    return (
        raw_client(identity=raw("client"), **settings),
        raw_server(verify=Verify.REQUIRED, trust=known("client"), **settings),
    )


# --- that it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ec", "p384", "p521", "rsa", "ed25519"])
def test_server_with_a_raw_key(name: str) -> None:
    groups = ["x25519", "secp256r1", "secp384r1", "secp521r1"]  # they are those of keys too (RFC 8422 section 5.1.1)
    made = link(raw_client(trust=known(name), groups=groups), raw_server(identity=raw(name), groups=groups)).handshake()
    assert made.client.version is Version.TLS12
    assert made.client.peer_public_key == raw(name).chain[0]
    assert made.client.peer_certificates == ()
    assert made.server.identity is raw(name)
    made.client.write(b"data")
    assert made.exchange().server_events[-1].data == b"data"  # type: ignore[union-attr]


@pytest.mark.parametrize("versions", [dtls.DTLS12, {}], ids=["DTLS 1.2", "DTLS 1.3"])
def test_both_sides_over_datagrams(versions: dict[str, Any]) -> None:
    ours = {"trust": known("ec"), "identity": raw("client"), **versions}
    theirs = {"trust": known("client"), "identity": raw(), "verify": Verify.REQUIRED, **versions}
    made = dtls.connected(ours, theirs)
    assert made.client.peer_public_key == raw().chain[0]
    assert made.server.peer_public_key == raw("client").chain[0]


def test_raw_key_one_way_certificate_the_other() -> None:
    made = link(client12(identity=raw("client")), server12(verify=Verify.REQUIRED, trust=known("client"))).handshake()
    assert (made.client.peer_certificates, made.server.peer_public_key) == (identity().chain, raw("client").chain[0])
    made = link(raw_client(identity=identity("client")), raw_server(verify=Verify.REQUIRED, trust=trust())).handshake()
    assert (made.server.peer_certificates, made.client.peer_public_key) == (identity("client").chain, raw().chain[0])


@pytest.mark.parametrize("by_ticket", [True, False])
def test_resumption_remembers_the_keys(by_ticket: bool) -> None:
    ours, theirs = both()
    theirs.ticket_count = 2 if by_ticket else 0
    first = link(ours, theirs).handshake()
    assert first.client.session is not None
    stored = Session.from_bytes(first.client.session.to_bytes())
    assert stored.peer_public_key == raw().chain[0]
    again = link(ours, theirs, session=stored).handshake()
    assert again.client.session_reused
    assert again.client.peer_public_key == raw().chain[0]
    assert again.server.peer_public_key == raw("client").chain[0]


@pytest.mark.parametrize("name", CHANGES)
def test_resumption_under_other_conditions(name: str) -> None:
    ours, theirs = both()
    link(ours, theirs).handshake()
    CHANGES[name](ours, theirs)
    made = link(ours, theirs).start().exchange()
    assert not made.client.session_reused
    assert not made.server.session_reused


@pytest.mark.parametrize("operation", [Operation.SIGN, Operation.VERIFY_SIGNATURE, Operation.VERIFY_PEER])
@pytest.mark.parametrize("paused", ["client", "server"])
def test_pauses(operation: Operation, paused: str) -> None:
    engine = DelayEngine(None, operations=[operation])
    ours, theirs = both(verify_peer=lambda _: True)
    context = ours if paused == "client" else theirs
    context.engine, context.async_mode = engine, True
    made = link(ours, theirs).start().exchange()
    side = getattr(made, paused)
    assert side.waiting_for_async
    engine.release()
    side.advance(0.0)
    made.exchange()
    assert made.server.peer_public_key == raw("client").chain[0]
    assert made.client.handshake_complete


# --- what is chosen --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "identities", "index"),
    [
        ((RAW,), [identity(), raw()], 1),
        ((RAW, X509), [identity(), raw()], 0),
        ((X509, RAW), [raw(), identity()], 0),
        ((RAW, 5), [identity(), raw()], 1),
        (None, [raw(), identity()], 1),
        ((RAW,), [identity()], None),
        ((5,), [identity(), raw()], None),
        (None, [raw()], None),
    ],
)
def test_identity_that_the_server_shows(offered: Any, identities: list[Identity], index: int | None) -> None:
    puppet = PuppetClient12(server(server12(identity=identities)))
    hello = puppet.hello()
    if offered is not None:
        hello.extensions.put(SERVER_CERTIFICATE_TYPES, offered)
    if index is None:
        puppet.say(hello)
        refused(puppet, UnsupportedCertificate)
        return
    puppet.start(hello)
    chosen = identities[index]
    assert puppet.server_hello is not None
    assert puppet.server_hello.extensions.get(SERVER_CERTIFICATE_TYPE) == (
        None if offered is None else chosen.certificate_type
    )
    if chosen.certificate_type is RAW:
        assert decode_message(RawPublicKeyCertificate, puppet.messages[2]).subject_public_key_info == chosen.chain[0]
    else:
        assert decode_message(Certificate, puppet.messages[2]).certificate_list == chosen.chain


@pytest.mark.parametrize(
    ("offered", "accepted", "chosen"),
    [
        ((RAW, X509), (RAW,), RAW),
        ((X509, RAW), (RAW, X509), RAW),
        ((RAW, X509), (X509, RAW), X509),
        (None, (RAW, X509), None),
        ((5,), (X509, RAW), UnsupportedCertificate),
        (None, (RAW,), UnsupportedCertificate),
    ],
)
def test_type_that_the_server_asks_for(offered: Any, accepted: Any, chosen: Any) -> None:
    context = server12(verify=Verify.REQUIRED, trust=trust() | known("ec"), peer_certificate_types=accepted)
    puppet = PuppetClient12(server(context))
    hello = puppet.hello()
    if offered is not None:
        hello.extensions.put(CLIENT_CERTIFICATE_TYPES, offered)
    if isinstance(chosen, type):
        puppet.say(hello)
        refused(puppet, chosen)
        return
    puppet.start(hello)
    assert puppet.server_hello is not None
    assert puppet.server_hello.extensions.get(CLIENT_CERTIFICATE_TYPE) == chosen


def test_the_type_of_the_server_is_answered_when_it_resumes_too() -> None:
    context = raw_server(verify=Verify.OPTIONAL, trust=known("client"))
    session = link(raw_client(identity=raw("client")), context).handshake().client.session
    assert session is not None
    puppet = PuppetClient12(server(context), session)
    hello = puppet.hello()
    hello.extensions.put(SERVER_CERTIFICATE_TYPES, (RAW,))
    hello.extensions.put(CLIENT_CERTIFICATE_TYPES, (RAW,))
    puppet.say(hello)
    said = puppet.connection.data_to_send(0.0)[5:]
    answer = decode_message(ServerHello, said[: 4 + int.from_bytes(said[1:4], "big")])
    assert answer.legacy_session_id_echo == hello.legacy_session_id
    assert answer.extensions.get(SERVER_CERTIFICATE_TYPE) == RAW
    assert answer.extensions.get(CLIENT_CERTIFICATE_TYPE) is None  # nobody is asked


def test_no_staple_goes_with_a_raw_key() -> None:
    puppet = PuppetClient12(server(raw_server(ocsp_response=b"status")))
    hello = puppet.hello()
    hello.extensions.put(SERVER_CERTIFICATE_TYPES, (RAW,))
    hello.extensions.put(STATUS_REQUEST, CertificateStatusRequest(1, OCSPStatusRequest()))
    puppet.start(hello)
    assert puppet.server_hello is not None
    assert STATUS_REQUEST.code not in puppet.server_hello.extensions
    assert HandshakeType.certificate_status not in [message[0] for message in puppet.messages]


# --- who is believed -------------------------------------------------------------------------------------------------


def failed(ours: Context, theirs: Context) -> tuple[Error | None, Error | None]:
    made = link(ours, theirs).start().exchange()
    return made.client.error, made.server.error


def test_keys_that_nobody_vouches_for() -> None:
    error, heard = failed(raw_client(trust=known("rsa")), raw_server())
    assert isinstance(error, CertificateVerifyError)
    assert error.verify_code == 95
    assert isinstance(heard, PeerAlert)
    _, error = failed(client12(identity=raw("client")), server12(verify=Verify.REQUIRED, trust=known("rsa")))
    assert isinstance(error, CertificateVerifyError)


@pytest.mark.parametrize(("verdict", "good"), [(True, True), (False, False), (None, False)])
def test_verify_peer(verdict: bool | None, good: bool) -> None:
    asked: list[PeerChain] = []

    def verify_peer(facts: PeerChain) -> bool | None:
        asked.append(facts)
        return verdict

    ours = raw_client(trust=None, verify_peer=verify_peer, peer_certificate_types="RawPublicKey")
    error, _ = failed(ours, raw_server())
    assert (error is None) is good
    assert asked == [PeerChain((), "localhost", False, None, raw().chain[0])]


@pytest.mark.parametrize(("verify", "kind"), [(Verify.REQUIRED, HandshakeFailure), (Verify.OPTIONAL, type(None))])
def test_client_that_shows_nothing(verify: Verify, kind: type) -> None:
    theirs = server12(verify=verify, trust=known("client"))
    assert type(failed(client12(own_certificate_types="RawPublicKey"), theirs)[1]) is kind


# --- what may not come -----------------------------------------------------------------------------------------------


def at_client(chosen: int | None = RAW, **settings: Any) -> PuppetServer12:
    """A client of raw keys that has heard the ServerHello."""
    puppet = PuppetServer12(client(raw_client(**settings)), raw())
    hello = puppet.hello()
    if chosen is not None:
        hello.extensions.put(SERVER_CERTIFICATE_TYPE, chosen)
    return puppet.greet(hello)


def at_server() -> PuppetClient12:
    """A server of raw keys that has asked for one."""
    puppet = PuppetClient12(server(raw_server(verify=Verify.REQUIRED, trust=known("client"))))
    hello = puppet.hello()
    hello.extensions.put(SERVER_CERTIFICATE_TYPES, (RAW,))
    hello.extensions.put(CLIENT_CERTIFICATE_TYPES, (RAW,))
    return puppet.start(hello)


def test_puppets_raw_keys_are_taken() -> None:
    ours = at_client()
    ours.say(RawPublicKeyCertificate(raw().chain[0]), ours.key_exchange(), ServerHelloDone())
    ours.pull()
    ours.finish()
    assert ours.connection.handshake_complete
    theirs = at_server()
    theirs.say(RawPublicKeyCertificate(raw("client").chain[0]))
    theirs.exchange().say(theirs.prove(raw("client")))
    theirs.finish()
    assert theirs.connection.handshake_complete


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "a list of one": lambda key: len(key).to_bytes(3, "big") + key,
    "two of them": lambda key: key + key,
    "a certificate": lambda key: pki().ec.der,
    "a byte too few": lambda key: key[:-1],
    "no key at all": lambda key: b"x",
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("side", [at_client, at_server])
def test_wrong_raw_key(side: Callable[[], Puppet12], name: str) -> None:
    puppet = side()
    puppet.say(RawPublicKeyCertificate(WRONG[name](raw().chain[0])))
    refused(puppet, DecodeError)


def test_nothing_is_shown() -> None:
    for side, kind in ((at_client, DecodeError), (at_server, HandshakeFailure)):
        puppet = side()
        puppet.say(RawPublicKeyCertificate(b""))
        refused(puppet, kind)


def test_certificates_where_raw_keys_were_agreed_and_the_reverse() -> None:
    puppet = at_client()
    puppet.say(Certificate(identity().chain))
    refused(puppet, DecodeError)
    puppet = at_client(X509, trust=known("ec") | trust())
    puppet.say(RawPublicKeyCertificate(raw().chain[0]))
    refused(puppet, DecodeError)


def test_signatures_of_another_key() -> None:
    ours = at_client()
    ours.identity = raw("client")
    ours.say(RawPublicKeyCertificate(raw().chain[0]), ours.key_exchange())
    refused(ours, DecryptError)
    theirs = at_server()
    theirs.say(RawPublicKeyCertificate(raw("client").chain[0]))
    theirs.exchange().say(theirs.prove(raw()))
    refused(theirs, DecryptError)


def test_scheme_that_does_not_fit_the_key() -> None:
    theirs = at_server()
    theirs.say(RawPublicKeyCertificate(raw("client").chain[0]))
    theirs.exchange().say(theirs.prove(raw("rsa")))
    refused(theirs, IllegalParameter)


def test_finished_without_a_proof() -> None:
    theirs = at_server()
    theirs.say(RawPublicKeyCertificate(raw("client").chain[0]))
    theirs.exchange().spec()
    assert isinstance(theirs.connection.error, UnexpectedMessage)


def test_key_that_does_not_fit_the_suite() -> None:
    puppet = at_client(trust=known("rsa"))
    puppet.say(RawPublicKeyCertificate(raw("rsa").chain[0]))
    refused(puppet, IllegalParameter)


@pytest.mark.parametrize("chosen", [X509, None, 1])
def test_server_shows_what_we_do_not_take(chosen: int | None) -> None:
    refused(at_client(chosen), UnsupportedCertificate)


@pytest.mark.parametrize("chosen", [X509, None])
def test_server_asks_for_what_we_have_not_offered(chosen: int | None) -> None:
    puppet = PuppetServer12(client(client12(identity=raw("client"))), identity())
    hello = puppet.hello()
    if chosen is not None:
        hello.extensions.put(CLIENT_CERTIFICATE_TYPE, chosen)
    puppet.greet(hello)
    puppet.say(puppet.certificate(), puppet.key_exchange())
    assert puppet.connection.error is None  # nothing has been asked for yet
    puppet.say(puppet.certificate_request())
    refused(puppet, UnsupportedCertificate)


def test_the_client_shows_the_identity_of_the_type_that_was_asked_for() -> None:
    ours = client12(identity=[raw("client"), identity("client")])
    assert link(ours, server12(verify=Verify.REQUIRED, trust=trust())).handshake().client.identity is identity("client")
    made = link(ours, server12(verify=Verify.REQUIRED, trust=known("client"))).handshake()
    assert made.client.identity is raw("client")
