"""External pre-shared keys (RFC 9846 sections 2.2 and 4.3.11, RFC 9257), plain and imported (RFC 9258)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from caesura.context import PSK, Context, Limits, TrustStore, Verify
from caesura.crypto.psk import import_key
from caesura.crypto.secrets import Secret
from caesura.crypto.tickets import TicketKeys
from caesura.engines import DelayEngine, Operation
from caesura.errors import (
    AlertDescription,
    CertificateVerifyError,
    ConfigError,
    DecodeError,
    DecryptError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    MissingExtension,
    OperationFailed,
    PeerAlert,
    UnexpectedMessage,
    UsageError,
)
from caesura.jobs import Completion
from caesura.sessions import Session
from caesura.tls import TLSConnection
from caesura.wire.extensions import (
    KEY_SHARE_CLIENT,
    KEY_SHARE_SERVER,
    POST_HANDSHAKE_AUTH,
    PRE_SHARED_KEY_CLIENT,
    PRE_SHARED_KEY_SERVER,
    PSK_KEY_EXCHANGE_MODES,
    SIGNATURE_ALGORITHMS,
    KeyShareEntry,
    OfferedPsks,
    PskIdentity,
)
from caesura.wire.messages import ClientHello, decode_message
from caesura.wire.registries import CipherSuite, ExtensionType, NamedGroup, Version
from tests.support.clock import FakeClock
from tests.support.link import Link, link
from tests.tls.puppet import PREFIX, PuppetClient, PuppetServer, refused
from tests.tls.states import server
from tests.tls.world import WALL, client_context, identity, server_context, trust

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))
SUITES_256 = ["TLS_AES_128_GCM_SHA256"]
SUITES_384 = ["TLS_AES_256_GCM_SHA384"]


class Book:
    """A `lookup_psk` that knows some keys, and remembers what it was asked."""

    def __init__(self, *keys: PSK, answer: Any = None) -> None:
        self.keys = {key.identity: key for key in keys}
        self.asked: list[bytes | None] = []
        self.answer = answer

    def __call__(self, identity: bytes | None) -> Any:
        self.asked.append(identity)
        if self.answer is not None:
            return self.answer
        return list(self.keys.values()) if identity is None else self.keys.get(identity)


def psk_client(*keys: PSK, **settings: Any) -> Context:
    """A client that has nothing but keys."""
    book = settings.pop("lookup_psk", None) or Book(*keys)
    return client_context(**{"trust": None, "lookup_psk": book, **settings})


def psk_server(*keys: PSK, **settings: Any) -> Context:
    """A server that has nothing but keys."""
    book = settings.pop("lookup_psk", None) or Book(*keys)
    return server_context(**{"identity": None, "lookup_psk": book, **settings})


def failed(ours: Context, theirs: Context) -> tuple[Error | None, Error | None]:
    made = link(ours, theirs).start().exchange()
    return made.client.error, made.server.error


def agreed(made: Link, who: bytes = b"who") -> Link:
    """Both sides hold the key, and data flows."""
    assert made.client.psk_identity == made.server.psk_identity == who
    assert made.client.peer_certificates == made.server.peer_certificates == ()
    assert not made.client.session_reused
    made.client.write(b"data")
    assert made.exchange().server_events[-1].data == b"data"  # type: ignore[union-attr]
    return made


# --- that it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SHA256", "SHA384"])
@pytest.mark.parametrize("groups", [["x25519"], ["secp256r1", "x25519"]], ids=["at once", "retried"])
def test_plain_key(name: str, groups: list[str]) -> None:
    psk = PSK("who", KEY, hash=name)
    made = agreed(link(psk_client(psk), psk_server(psk, groups=groups[:1]), server_hostname=None).handshake())
    assert made.client.cipher_suite is not None
    assert made.client.cipher_suite.name.endswith(name)
    assert made.client.group is NamedGroup[groups[0]]
    assert made.server.identity is None


@pytest.mark.parametrize("importer", ["SHA256", "SHA384"])
@pytest.mark.parametrize("suites", [SUITES_256, SUITES_384, SUITES_384 + SUITES_256], ids=["256", "384", "both"])
@pytest.mark.parametrize("groups", [["x25519"], ["secp256r1"]], ids=["at once", "retried"])
def test_imported_key(importer: str, suites: list[str], groups: list[str]) -> None:
    psk = PSK.imported("who", KEY, b"where", hash=importer)
    made = agreed(link(psk_client(psk), psk_server(psk, cipher_suites=suites, groups=groups)).handshake())
    assert made.client.cipher_suite is CipherSuite[suites[0]]


@pytest.mark.parametrize("suites", [SUITES_256, SUITES_384, SUITES_256 + SUITES_384], ids=["256", "384", "both"])
def test_imported_identities_that_a_client_offers(suites: list[str]) -> None:
    """One for each hash that it has a suite for; after a retry, only that of the suite."""
    psk = PSK.imported("who", KEY, b"where")
    connection = TLSConnection(psk_client(psk, cipher_suites=suites), server_side=False)
    puppet = PuppetServer(connection, identity())
    offered = puppet.client_hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    kdfs = [kdf for kdf, suite in ((1, SUITES_256), (2, SUITES_384)) if suite[0] in suites]
    wanted = [import_key(psk, Version.TLS13, kdf, PREFIX)[0] for kdf in kdfs]
    assert [each.identity for each in offered.identities] == wanted
    assert [each.obfuscated_ticket_age for each in offered.identities] == [0] * len(kdfs)
    assert [len(binder) for binder in offered.binders] == [{1: 32, 2: 48}[kdf] for kdf in kdfs]
    puppet.ask_again(puppet.retry_request(cipher_suite=CipherSuite[suites[-1]]))
    offered = puppet.client_hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    assert [each.identity for each in offered.identities] == wanted[-1:]


def test_key_chooses_the_suite() -> None:
    """RFC 9846 section 4.3.11: a key that the client brings influences the choice of the suite."""
    psk = PSK("who", KEY, hash="SHA384")
    both = {"cipher_suites": SUITES_256 + SUITES_384}
    made = link(psk_client(psk, **both), psk_server(psk, **both)).handshake()
    assert made.client.cipher_suite is CipherSuite.TLS_AES_256_GCM_SHA384


def test_key_without_a_suite_is_not_used() -> None:
    psk = PSK("who", KEY, hash="SHA384")
    _, error = failed(psk_client(psk), psk_server(psk, cipher_suites=SUITES_256))
    assert isinstance(error, HandshakeFailure)
    error, _ = failed(psk_client(psk, cipher_suites=SUITES_256), psk_server(psk))
    assert isinstance(error, UsageError)


@pytest.mark.parametrize("known", [0, 1, 2])
def test_client_with_several_keys(known: int) -> None:
    keys = [PSK("a", KEY), PSK("b", OTHER, hash="SHA384"), PSK.imported("c", KEY)]
    agreed(link(psk_client(*keys), psk_server(keys[known])).handshake(), keys[known].identity)


def test_first_of_the_clients_keys_that_is_known() -> None:
    keys = [PSK("a", KEY), PSK("b", OTHER)]
    agreed(link(psk_client(*keys), psk_server(*reversed(keys))).handshake(), b"a")


ANSWERS: dict[str, Callable[[PSK], Any]] = {
    "a pair": lambda psk: (psk.identity, KEY),
    "a pair with text": lambda psk: (psk.identity.decode(), KEY),
    "an object": lambda psk: psk,
    "a list of one": lambda psk: [psk],
    "a coroutine": lambda psk: _later(psk),
    "pending work": lambda psk: _done(psk),
}


async def _later(value: Any) -> Any:
    return value


def _done(value: Any) -> Completion[Any]:
    made: Completion[Any] = Completion()
    made.set_result(value)
    return made


@pytest.mark.parametrize("name", ANSWERS)
def test_ways_to_answer(name: str) -> None:
    psk = PSK("who", KEY)
    look: Callable[[Any], Any] = lambda _: ANSWERS[name](psk)  # noqa: E731
    agreed(link(psk_client(lookup_psk=look), psk_server(lookup_psk=look)).handshake())


@pytest.mark.parametrize(
    "answer",
    [
        b"key",
        (b"who",),
        (b"who", "a password"),
        (b"who", b""),
        (b"", KEY),
        (b"who", KEY[:15]),
        [(b"who", KEY)],
        5,
        {b"who": KEY},
        PSK("who", KEY[:15]),
    ],
    ids=repr,
)
def test_answers_that_cannot_be_used(answer: Any) -> None:
    """The caller's mistake: it is named, and the peer hears internal_error."""
    error, _ = failed(psk_client(lookup_psk=Book(answer=answer)), psk_server(PSK("who", KEY)))
    assert isinstance(error, UsageError)
    assert "lookup_psk" in str(error)
    heard, error = failed(psk_client(PSK("who", KEY)), psk_server(lookup_psk=Book(answer=answer)))
    assert isinstance(error, UsageError)
    assert isinstance(heard, PeerAlert)
    assert heard.description is AlertDescription.internal_error


def test_server_gives_one_key_for_an_identity() -> None:
    keys = [PSK("who", KEY), PSK("who", OTHER)]
    _, error = failed(psk_client(PSK("who", KEY)), psk_server(lookup_psk=Book(answer=keys)))
    assert isinstance(error, UsageError)


def test_lookup_that_fails() -> None:
    def fails(_identity: bytes | None) -> Any:
        raise OSError("the directory is down")

    error, _ = failed(psk_client(lookup_psk=fails), psk_server(PSK("who", KEY)))
    assert isinstance(error, OperationFailed)
    _, error = failed(psk_client(PSK("who", KEY)), psk_server(lookup_psk=fails))
    assert isinstance(error, OperationFailed)


# --- what is looked up -----------------------------------------------------------------------------------------------


def test_what_is_asked() -> None:
    plain, imported = PSK("plain", KEY), PSK.imported("imported", OTHER, b"where")
    ours, theirs = Book(plain, imported), Book(imported)
    agreed(link(psk_client(lookup_psk=ours), psk_server(lookup_psk=theirs)).handshake(), b"imported")
    assert ours.asked == [None]
    assert theirs.asked == [b"plain", b"imported"]


def test_imported_identity_of_which_only_the_whole_is_known() -> None:
    """An identity may look imported and be plain all the same."""
    looks = import_key(PSK.imported("who", OTHER), Version.TLS13, 1, PREFIX)[0]
    book = Book(PSK(looks, KEY))
    agreed(link(psk_client(PSK(looks, KEY)), psk_server(lookup_psk=book)).handshake(), looks)
    assert book.asked == [b"who", looks]


IMPORTED = PSK.imported("who", KEY, b"where")


@pytest.mark.parametrize(
    "theirs",
    [
        PSK.imported("who", KEY, b"elsewhere"),
        PSK.imported("who", KEY),
        PSK.imported("somebody", KEY, b"where"),
        PSK("who", KEY),
    ],
    ids=["another context", "no context", "another identity", "not imported"],
)
def test_imported_key_must_be_the_same_in_all(theirs: PSK) -> None:
    _, error = failed(psk_client(IMPORTED), psk_server(theirs))
    assert isinstance(error, HandshakeFailure)
    _, error = failed(psk_client(theirs), psk_server(IMPORTED))
    assert isinstance(error, HandshakeFailure)


@pytest.mark.parametrize(
    "identity",
    [
        import_key(IMPORTED, Version.DTLS13, 1, PREFIX)[0],
        import_key(IMPORTED, 0x1234, 1, PREFIX)[0],
        import_key(IMPORTED, Version.TLS13, 1, PREFIX)[0][:-1] + b"\x03",
        import_key(IMPORTED, Version.TLS13, 1, PREFIX)[0] + b"extra",
    ],
    ids=["DTLS", "another protocol", "another KDF", "extra bytes"],
)
def test_imported_identity_that_does_not_match(identity: bytes) -> None:
    puppet = PuppetClient(server(psk_server(IMPORTED)))
    puppet.say(puppet.bind(bare(puppet), Key(identity, import_key(IMPORTED, Version.TLS13, 1, PREFIX)[1])))
    refused(puppet, HandshakeFailure)


@pytest.mark.parametrize("importer", ["SHA256", "SHA384"])
def test_importer_with_another_hash(importer: str) -> None:
    """The hash is not in the identity: only the binder can tell."""
    other = {"SHA256": "SHA384", "SHA384": "SHA256"}[importer]
    ours, theirs = (PSK.imported("who", KEY, hash=name) for name in (importer, other))
    _, error = failed(psk_client(ours), psk_server(theirs))
    assert isinstance(error, DecryptError)


@pytest.mark.parametrize(("before", "found"), [(0, True), (7, True), (8, False), (50, False)])
def test_lookups_are_bounded(before: int, found: bool) -> None:
    """limits.psk_identities: as many are looked at, whatever they are."""
    book = Book(PSK("who", KEY))
    puppet = PuppetClient(server(psk_server(lookup_psk=book)))
    keys = [Key(b"%d" % number) for number in range(before)] + [Key(b"who")]
    puppet.say(puppet.bind(bare(puppet), *keys))  # type: ignore[arg-type]
    assert len(book.asked) == min(before + 1, Limits().psk_identities)
    assert (puppet.connection.error is None) is found


def test_our_own_tickets_are_not_looked_up() -> None:
    """Nor those that are too old; a ticket of others is an identity like any other."""
    clock = FakeClock(wall_time=WALL)
    book = Book(PSK("who", KEY))
    ours, theirs = psk_client(PSK("who", KEY), clock=clock), psk_server(lookup_psk=book, clock=clock)
    session = link(ours, theirs).handshake().client.session
    assert session is not None
    book.asked.clear()
    for age, asked in ((0.0, []), (90_000.0, [b"who"])):
        stored = Session.from_bytes(session.to_bytes())
        stored.ticket_lifetime = 200_000
        clock.advance(age)
        link(ours, theirs, session=stored).handshake()
        assert book.asked == asked
    theirs.ticket_keys = TicketKeys()
    book.asked.clear()
    stored = Session.from_bytes(session.to_bytes())
    stored.ticket_lifetime = 200_000
    made = link(ours, theirs, session=stored).handshake()
    assert book.asked == [session.ticket, b"who"]
    assert not made.client.session_reused


# --- beside certificates ---------------------------------------------------------------------------------------------


def test_key_goes_before_a_certificate() -> None:
    psk = PSK("who", KEY)
    ours, theirs = psk_client(psk, trust=trust()), psk_server(psk, identity=identity())
    agreed(link(ours, theirs).handshake())


def test_certificate_where_the_key_is_not_known() -> None:
    ours, theirs = psk_client(PSK("who", KEY), trust=trust()), psk_server(PSK("else", KEY), identity=identity())
    made = link(ours, theirs).handshake()
    assert made.client.psk_identity is None
    assert made.client.peer_certificates == identity().chain


def test_certificate_where_there_is_no_key_for_this_server() -> None:
    made = link(psk_client(lookup_psk=lambda _: None, trust=trust()), server_context()).handshake()
    assert made.client.peer_certificates == identity().chain


def test_server_that_knows_no_keys_shows_its_certificate() -> None:
    made = link(psk_client(PSK("who", KEY), trust=trust()), server_context()).handshake()
    assert made.client.peer_certificates == identity().chain


@pytest.mark.parametrize(
    "settings", [{}, {"verify": Verify.NONE}, {"verify": Verify.OPTIONAL}], ids=["default", "none", "optional"]
)
def test_client_with_nothing_but_keys_takes_no_certificate(settings: dict[str, Any]) -> None:
    """It does not even say which signatures it would take; a server that shows one all the same is refused."""
    ours = psk_client(PSK("who", KEY), **settings)
    heard, error = failed(ours, server_context())
    assert isinstance(error, MissingExtension)
    assert isinstance(heard, PeerAlert)
    puppet = PuppetServer(TLSConnection(ours, server_side=False), identity())
    offered = set(puppet.client_hello.extensions.codes)
    assert not offered & {ExtensionType.signature_algorithms, ExtensionType.status_request}
    puppet.say(puppet.hello())
    refused(puppet, MissingExtension)


def test_client_without_a_key_and_without_trust() -> None:
    error, _ = failed(psk_client(lookup_psk=lambda _: None), server_context())
    assert isinstance(error, UsageError)
    assert "no key for this server" in str(error)


def test_trust_makes_certificates_good_again_and_nothing_else() -> None:
    other = TrustStore.load(identity("self_signed").chain[0])
    error, _ = failed(psk_client(PSK("who", KEY), trust=other), server_context())
    assert isinstance(error, CertificateVerifyError)
    with pytest.raises(UsageError, match="server_hostname"):
        TLSConnection(psk_client(PSK("who", KEY), trust=other), server_side=False)


def test_server_needs_a_certificate_or_keys() -> None:
    with pytest.raises(ConfigError, match="lookup_psk"):
        Context.server()
    assert Context.server(lookup_psk=lambda _: None).identity == ()


def test_server_with_nothing_but_keys() -> None:
    for ours in (client_context(), psk_client(PSK("else", KEY))):
        heard, error = failed(ours, psk_server(PSK("who", KEY)))
        assert isinstance(error, HandshakeFailure)
        assert isinstance(heard, PeerAlert)
        assert heard.description is AlertDescription.handshake_failure


def test_selected_context_brings_its_keys() -> None:
    psk = PSK("who", KEY)
    heard: list[tuple[bytes, ...]] = []

    def select(info: Any) -> Context:
        heard.append(info.psk_identities)
        return psk_server(psk)

    agreed(link(psk_client(psk), server_context(select_identity=select)).handshake())
    assert heard == [(b"who",)]


# --- nothing else authenticates --------------------------------------------------------------------------------------


def test_no_certificate_is_asked_for() -> None:
    """RFC 9846 section 4.4.2: not in the handshake, and not later."""
    psk = PSK("who", KEY)
    ours = psk_client(psk, trust=trust(), identity=identity("client"), post_handshake_auth=True)
    theirs = psk_server(psk, verify=Verify.REQUIRED, trust=trust())
    made = agreed(link(ours, theirs).handshake())
    with pytest.raises(UsageError, match="post_handshake_auth"):
        made.server.verify_client_post_handshake()
    again = link(ours, theirs).handshake()
    assert again.server.session_reused
    with pytest.raises(UsageError):
        again.server.verify_client_post_handshake()


@pytest.mark.parametrize("when", ["before Finished", "after the handshake"])
def test_server_that_asks_all_the_same(when: str) -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY), trust=trust(), post_handshake_auth=True))
    assert POST_HANDSHAKE_AUTH.code in puppet.client_hello.extensions
    puppet.greet()
    puppet.say(puppet.encrypted_extensions())
    if when == "after the handshake":
        puppet.finish()
        assert puppet.connection.handshake_complete
    puppet.say(puppet.certificate_request())
    refused(puppet, UnexpectedMessage)


def test_server_that_shows_a_certificate_all_the_same() -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY)))
    puppet.greet()
    puppet.say(puppet.encrypted_extensions())
    puppet.say(puppet.certificate())
    refused(puppet, UnexpectedMessage)


# --- resumption ------------------------------------------------------------------------------------------------------


def both(**changes: Any) -> tuple[Context, Context]:
    clock = FakeClock(wall_time=WALL)
    psk = PSK("who", KEY)
    return psk_client(psk, clock=clock), psk_server(psk, clock=clock, identity=identity(), **changes)


def test_resumption_remembers_the_identity() -> None:
    ours, theirs = both()
    first = agreed(link(ours, theirs).handshake())
    assert first.client.session is not None
    stored = Session.from_bytes(first.client.session.to_bytes())
    assert stored.psk_identity == b"who"
    for session in (None, stored, None):
        again = link(ours, theirs, session=session).handshake()
        assert again.client.session_reused
        assert again.server.session_reused
        assert again.client.psk_identity == again.server.psk_identity == b"who"


def test_resumption_through_a_retry() -> None:
    ours, theirs = both(groups=["secp256r1"])
    link(ours, theirs).handshake()
    again = link(ours, theirs).handshake()
    assert again.client.session_reused
    assert again.client.psk_identity == b"who"


def test_key_when_the_ticket_is_no_good_any_more() -> None:
    ours, theirs = both()
    link(ours, theirs).handshake()
    theirs.ticket_keys = TicketKeys()
    again = agreed(link(ours, theirs).handshake())
    assert not again.server.session_reused


def test_ticket_of_a_certificate_and_ticket_of_a_key() -> None:
    """Beside each other at one server; each resumes as what it is."""
    ours, theirs = both()
    plain = client_context(clock=ours.clock)
    link(plain, theirs).handshake()
    link(ours, theirs).handshake()
    for context, who in ((plain, None), (ours, b"who")):
        again = link(context, theirs).handshake()
        assert again.client.session_reused
        assert again.server.session_reused
        assert again.client.psk_identity == again.server.psk_identity == who
        assert bool(again.client.peer_certificates) is (who is None)


def without_keys(ours: Context, theirs: Context) -> None:
    theirs.lookup_psk = None


def client_without_keys(ours: Context, theirs: Context) -> None:
    ours.lookup_psk = None
    ours.trust = trust()


def client_with_trust(ours: Context, theirs: Context) -> None:
    ours.trust = trust()


@pytest.mark.parametrize("change", [without_keys, client_without_keys])
@pytest.mark.parametrize("trusts", [False, True])
def test_session_of_a_key_does_not_resume_without_it(change: Callable[[Context, Context], None], trusts: bool) -> None:
    """A client that goes by certificates alone must not find itself connected to somebody who has shown none."""
    ours, theirs = both()
    ours.trust = trust() if trusts else None
    agreed(link(ours, theirs).handshake())
    session = link(ours, theirs).handshake().client.session
    change(ours, theirs)
    made = link(ours, theirs, session=session).start().exchange()
    assert not made.client.session_reused
    assert not made.server.session_reused


def test_session_of_a_certificate_is_not_that_of_a_key() -> None:
    """A client that took a certificate, and now takes nothing but keys, does not resume what the certificate began."""
    ours, theirs = both()
    client_with_trust(ours, theirs)
    ours.lookup_psk = lambda _: None
    session = link(ours, theirs).handshake().client.session
    assert session is not None
    assert session.peer_certificates
    ours.trust = None
    ours.lookup_psk = Book(PSK("who", KEY))
    made = agreed(link(ours, theirs, session=session).handshake())
    assert not made.server.session_reused


def test_sessions_end_a_week_after_the_key_was_used() -> None:
    ours, theirs = both()
    session = link(ours, theirs).handshake().client.session
    assert session is not None
    assert session.valid_until == int(WALL) + 604_800
    ours.clock.advance(86_000)
    again = link(ours, theirs).handshake()
    assert again.client.session is not None
    assert again.client.session_reused
    assert again.client.session.valid_until == int(WALL) + 604_800


# --- pauses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", ["client", "server"])
@pytest.mark.parametrize("groups", [["x25519"], ["secp256r1"]], ids=["at once", "retried"])
def test_pauses(paused: str, groups: list[str]) -> None:
    psk = PSK("who", KEY)
    engine = DelayEngine(None, operations=[Operation.LOOKUP_PSK])
    pausing = {"engine": engine, "async_mode": True}
    ours = psk_client(psk, **(pausing if paused == "client" else {}))
    theirs = psk_server(psk, groups=groups, **(pausing if paused == "server" else {}))
    made = link(ours, theirs).start().exchange()
    side = getattr(made, paused)
    assert side.waiting_for_async
    assert not made.client.handshake_complete
    engine.release()
    side.advance(0.0)
    made.exchange()
    assert made.server.handshake_complete
    agreed(made)


# --- what may not come: servers --------------------------------------------------------------------------------------


@dataclass
class Key:
    """An external key as a puppet offers it: what `Puppet.bind` and `Puppet.agree` want to know of a session."""

    ticket: bytes
    psk: Secret = field(default_factory=lambda: Secret(KEY))
    label: bytes = b"imp binder"
    ticket_age_add: int = 0
    cipher_suite: int = CipherSuite.TLS_AES_128_GCM_SHA256

    def __post_init__(self) -> None:
        if len(self.ticket) < 8:
            self.label = b"ext binder"


def bare(puppet: PuppetClient) -> ClientHello:
    """A hello that takes no certificate."""
    hello = puppet.hello()
    hello.extensions.remove(SIGNATURE_ALGORITHMS.code)
    return hello


def test_puppets_key_is_taken() -> None:
    key: Any = Key(b"who")
    puppet = PuppetClient(server(psk_server(PSK("who", KEY))), session=key)
    puppet.start(bare(puppet)).finish()
    assert puppet.connection.handshake_complete
    assert puppet.connection.psk_identity == b"who"


def test_age_of_an_external_key_is_ignored() -> None:
    """RFC 9846 section 4.3.11."""
    key: Any = Key(b"who", ticket_age_add=12345)
    puppet = PuppetClient(server(psk_server(PSK("who", KEY))), session=key)
    assert puppet.start(bare(puppet)).finish().connection.handshake_complete


WRONG: dict[str, tuple[Callable[[PuppetClient, ClientHello], None], type[Error]]] = {}


def wrong(kind: type[Error]) -> Callable[[Callable[[PuppetClient, ClientHello], None]], None]:
    def note(change: Callable[[PuppetClient, ClientHello], None]) -> None:
        WRONG[change.__name__] = change, kind

    return note


def offered_in(hello: ClientHello) -> OfferedPsks:
    offered = hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    return offered


def offer(hello: ClientHello, identities: tuple[PskIdentity, ...], binders: tuple[bytes, ...]) -> None:
    hello.extensions.put(PRE_SHARED_KEY_CLIENT, OfferedPsks(identities, binders))


@wrong(DecryptError)
def binder_of_another_key(puppet: PuppetClient, hello: ClientHello) -> None:
    puppet.bind(hello, Key(b"who", Secret(OTHER)))  # type: ignore[arg-type]


@wrong(DecryptError)
def binder_of_a_session(puppet: PuppetClient, hello: ClientHello) -> None:
    puppet.bind(hello, Key(b"who", label=b"res binder"))  # type: ignore[arg-type]
    key = Key(b"who")
    key.label = b"res binder"
    puppet.bind(hello, key)  # type: ignore[arg-type]


@wrong(DecryptError)
def binder_of_an_imported_key(puppet: PuppetClient, hello: ClientHello) -> None:
    key = Key(b"who")
    key.label = b"imp binder"
    puppet.bind(hello, key)  # type: ignore[arg-type]


@wrong(DecryptError)
def hello_that_was_changed(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.random = bytes(32)


@wrong(DecryptError)
def binder_of_another_length(puppet: PuppetClient, hello: ClientHello) -> None:
    offer(hello, offered_in(hello).identities, (bytes(48),))


@wrong(IllegalParameter)
def binder_too_many(puppet: PuppetClient, hello: ClientHello) -> None:
    offer(hello, offered_in(hello).identities, offered_in(hello).binders * 2)


@wrong(IllegalParameter)
def identity_too_many(puppet: PuppetClient, hello: ClientHello) -> None:
    offer(hello, (*offered_in(hello).identities, PskIdentity(b"else", 0)), offered_in(hello).binders)


@wrong(DecodeError)
def no_binder(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.extensions.put_data(ExtensionType.pre_shared_key, b"\x00\x09\x00\x03who\0\0\0\0\x00\x00")


@wrong(IllegalParameter)
def key_that_is_not_last(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.extensions.put_data(0xFAFA, b"")


@wrong(MissingExtension)
def no_modes(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.extensions.remove(PSK_KEY_EXCHANGE_MODES.code)


@wrong(HandshakeFailure)
def mode_without_a_key_exchange(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.extensions.put_data(PSK_KEY_EXCHANGE_MODES.code, b"\x01\x00")


@wrong(HandshakeFailure)
def mode_that_is_not_known(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.extensions.put_data(PSK_KEY_EXCHANGE_MODES.code, b"\x01\x1a")


@wrong(MissingExtension)
def no_share(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.extensions.remove(KEY_SHARE_CLIENT.code)


@wrong(HandshakeFailure)
def suite_of_another_hash(puppet: PuppetClient, hello: ClientHello) -> None:
    hello.cipher_suites = (CipherSuite.TLS_AES_256_GCM_SHA384,)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_hello(name: str) -> None:
    change, kind = WRONG[name]
    puppet = PuppetClient(server(psk_server(PSK("who", KEY))))
    hello = puppet.bind(bare(puppet), Key(b"who"))  # type: ignore[arg-type]
    change(puppet, hello)
    puppet.say(hello)
    refused(puppet, kind)


def retried(*keys: Key, **settings: Any) -> PuppetClient:
    """A puppet that has been asked for another share."""
    puppet = PuppetClient(server(psk_server(PSK("who", KEY), groups=["secp256r1"], **settings)))
    puppet.say(puppet.bind(bare(puppet), *keys or [Key(b"who")]))  # type: ignore[list-item]
    puppet.pull()
    assert puppet.retry is not None
    return puppet


def second(puppet: PuppetClient) -> ClientHello:
    share = PuppetClient(server(), group="secp256r1").pair
    puppet.pair = share
    hello = bare(puppet)
    hello.extensions.put(KEY_SHARE_CLIENT, (KeyShareEntry(share.group.code, share.share),))
    return hello


@pytest.mark.parametrize("places", [(0, 0), (1, 0), (2, 1)])
def test_key_may_change_its_place_in_the_second_hello(places: tuple[int, int]) -> None:
    """RFC 9846 section 4.2.2: keys that fit no more are left out. The server tells the new place."""

    def keys(place: int) -> list[Key]:
        return [*[Key(b"%d" % number) for number in range(place)], Key(b"who")]

    puppet = retried(*keys(places[0]))
    puppet.session = keys(places[1])[-1]  # type: ignore[assignment]
    puppet.say(puppet.bind(second(puppet), *keys(places[1])))  # type: ignore[arg-type]
    puppet.pull()
    assert puppet.server_hello is not None
    assert puppet.server_hello.extensions.get(PRE_SHARED_KEY_SERVER) == places[1]
    assert puppet.finish().connection.handshake_complete


def test_key_is_looked_up_once() -> None:
    book = Book(PSK("who", KEY))
    made = link(psk_client(PSK("who", KEY)), psk_server(lookup_psk=book, groups=["secp256r1"])).handshake()
    assert made.server.handshake_complete
    assert book.asked == [b"who"]


def test_second_hello_without_the_key() -> None:
    puppet = retried()
    puppet.say(puppet.bind(second(puppet), Key(b"else")))  # type: ignore[arg-type]
    refused(puppet, IllegalParameter)


def test_second_hello_without_any_key() -> None:
    puppet = retried()
    puppet.say(second(puppet))
    refused(puppet, MissingExtension)


def test_second_binder_counts() -> None:
    puppet = retried()
    puppet.say(puppet.bind(second(puppet), Key(b"who", Secret(OTHER))))  # type: ignore[arg-type]
    refused(puppet, DecryptError)


# --- what may not come: clients --------------------------------------------------------------------------------------


def server_with_key(context: Context, key: Key | None = None) -> PuppetServer:
    connection = TLSConnection(context, server_side=False, server_hostname="localhost")
    return PuppetServer(connection, identity(), key or Key(b"who"))  # type: ignore[arg-type]


def test_puppet_server_holds_the_key() -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY)))
    assert puppet.run().connection.handshake_complete


def test_server_that_does_not_hold_the_key() -> None:
    """It cannot make the handshake keys: nothing that it says opens."""
    puppet = server_with_key(psk_client(PSK("who", KEY)), Key(b"who", Secret(OTHER)))
    puppet.greet()
    puppet.say(puppet.encrypted_extensions())
    assert puppet.connection.error is not None
    assert puppet.connection.error.code == "TLS_BAD_RECORD_MAC"


@pytest.mark.parametrize("index", [1, 2, 65_535])
@pytest.mark.parametrize("retry", [False, True])
def test_index_that_was_not_offered(index: int, retry: bool) -> None:
    """Of the two imported identities, only one is left after a retry."""
    puppet = server_with_key(psk_client(PSK.imported("who", KEY) if retry else PSK("who", KEY)))
    if retry:
        puppet.ask_again()
    hello = puppet.hello()
    hello.extensions.put(PRE_SHARED_KEY_SERVER, index)
    puppet.transcript.start(puppet.suite.hash)  # type: ignore[union-attr]
    puppet.say(hello)
    refused(puppet, IllegalParameter)


def test_suite_of_another_hash_than_the_keys() -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY)))
    puppet.say(puppet.hello(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384))
    refused(puppet, IllegalParameter)


def test_retry_with_a_suite_that_fits_no_key() -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY)))
    puppet.say(puppet.retry_request(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384))
    refused(puppet, IllegalParameter)


def test_retry_with_a_suite_that_fits_no_key_where_certificates_are_taken() -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY), trust=trust()))
    puppet.session = None
    puppet.ask_again(puppet.retry_request(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384))
    assert ExtensionType.pre_shared_key not in puppet.client_hello.extensions
    puppet.greet(puppet.hello(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384))
    puppet.say(puppet.encrypted_extensions())
    puppet.say(puppet.certificate())
    puppet.say(puppet.prove(puppet.identity))
    assert puppet.finish().connection.handshake_complete


def test_key_without_a_share() -> None:
    """psk_ke: never offered, so never agreed to."""
    puppet = server_with_key(psk_client(PSK("who", KEY)))
    hello = puppet.hello()
    hello.extensions.remove(KEY_SHARE_SERVER.code)
    puppet.say(hello)
    refused(puppet, IllegalParameter)


def test_what_a_client_offers_on_the_wire() -> None:
    puppet = server_with_key(psk_client(PSK("who", KEY)))
    hello = decode_message(ClientHello, puppet.messages[0])
    assert hello.extensions.get(PSK_KEY_EXCHANGE_MODES) == (1,)
    assert hello.extensions.codes[-1] == ExtensionType.pre_shared_key
    assert KEY_SHARE_CLIENT.code in hello.extensions
