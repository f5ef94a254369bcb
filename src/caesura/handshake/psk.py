"""External pre-shared keys in TLS 1.3 (RFC 9846 sections 2.2 and 4.3.11), plain or imported (RFC 9258).

Both sides get them from the setting `lookup_psk`. They are used with a key exchange only (psk_dhe_ke). An identity that
is nobody's is no error as long as there is another way to authenticate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

from caesura.context import Settings
from caesura.crypto.hkdf import Hash
from caesura.crypto.identity import Identity
from caesura.crypto.psk import KDFS, MINIMUM_KEY, PSK, import_key
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import (
    ConfigError,
    DecodeError,
    DecryptError,
    HandshakeFailure,
    IllegalParameter,
    MissingExtension,
    UsageError,
)
from caesura.handshake import raw_keys, tickets
from caesura.handshake.negotiate import choose_identity
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule13 import EarlySecret
from caesura.handshake.state import Handshake, PeerIdentity
from caesura.handshake.tickets import TicketState
from caesura.sessions import Session
from caesura.wire.extensions import (
    CERTIFICATE_AUTHORITIES,
    PRE_SHARED_KEY_CLIENT,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    OfferedPsks,
    PskIdentity,
)
from caesura.wire.messages import ClientHello
from caesura.wire.psk import IMPORTED_IDENTITY, ImportedIdentity

RESUMPTION = b"res binder"
EXTERNAL = b"ext binder"
IMPORTED = b"imp binder"
_SECTION = "RFC 9846 section 4.3.11"


@dataclass(slots=True)
class OfferedKey:
    """A pre-shared key as a client offers it: that of a session, or an external one."""

    identity: bytes
    hash: Hash
    early: EarlySecret = field(repr=False)
    label: bytes  # of its binder
    session: Session | None
    psk: PSK | None


@dataclass(slots=True)
class Resumed:
    """The ticket that a server has accepted."""

    index: int  # of its identity in the client's list
    state: TicketState
    early: EarlySecret = field(repr=False)
    age: int  # milliseconds, as the client has it
    age_skew: float  # seconds: by how much that is more than we make it

    @property
    def peer(self) -> PeerIdentity:
        """Whom the client has proved to be when the session was made."""
        state = self.state
        return PeerIdentity(
            state.peer_certificates,
            None,
            state.valid_until,
            state.peer_public_key or None,
            state.psk_identity or None,
            state.signature_scheme or None,
        )


@dataclass(slots=True)
class External:
    """The external key that a server has accepted, as long as its binder verifies."""

    index: int  # of its identity in the client's list
    identity: bytes  # as it stands there
    psk: PSK
    suite: Suite
    early: EarlySecret = field(repr=False)
    label: bytes


# --- what lookup_psk answers -----------------------------------------------------------------------------------------


def answered(answer: Any) -> tuple[PSK, ...]:
    """The keys in an answer: None, an (identity, key) pair, a PSK, or several PSKs; UsageError for anything else."""
    if answer is None:
        return ()
    if isinstance(answer, PSK):
        answer = (answer,)
    elif isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], bytes | str):
        try:
            answer = (PSK(*answer),)
        except ConfigError as error:
            raise UsageError(str(error.strerror)) from error
    if not isinstance(answer, Sequence) or not all(isinstance(each, PSK) for each in answer):
        raise UsageError(
            f"lookup_psk: expected (identity, key), a PSK, several of them or None, not {type(answer).__name__}"
        )
    for each in answer:
        if len(each.key) < MINIMUM_KEY:
            raise UsageError(f"lookup_psk: a key of {len(each.key)} bytes; TLS 1.3 needs {MINIMUM_KEY} (RFC 9257)")
    return tuple(answer)


# --- the client ---------------------------------------------------------------------------------------------------


def own_keys(settings: Settings) -> Steps[tuple[PSK, ...]]:
    """What the application has for this server."""
    assert settings.lookup_psk is not None
    return answered((yield from perform(Operation.LOOKUP_PSK, settings.lookup_psk, None)))


def external_keys(hs: Handshake, found: tuple[PSK, ...]) -> list[OfferedKey]:
    """Those keys as TLS 1.3 offers them: an imported one stands once for each hash that we have a suite for."""
    settings, version = hs.settings, hs.profile.version13
    if version not in settings.versions:
        return []
    hashes = {SUITES[code].hash.name for code in settings.cipher_suites if version in SUITES[code].versions}
    keys = []
    for psk in found:
        if psk.context is None:
            if psk.hash.name in hashes:
                early = EarlySecret(psk.hash, hs.profile.label_prefix, psk.key)
                keys.append(OfferedKey(psk.identity, psk.hash, early, EXTERNAL, None, psk))
            continue
        for kdf, algorithm in KDFS.items():
            if algorithm.name in hashes:
                identity, key = import_key(psk, hs.profile.version13, kdf, hs.profile.label_prefix)
                early = EarlySecret(algorithm, hs.profile.label_prefix, key)
                keys.append(OfferedKey(identity, algorithm, early, IMPORTED, None, psk))
    return keys


def of_session(hs: Handshake, session: Session) -> OfferedKey:
    """The key that belongs to a session."""
    algorithm = SUITES[session.cipher_suite].hash
    early = EarlySecret(algorithm, hs.profile.label_prefix, session.psk)
    return OfferedKey(session.ticket, algorithm, early, RESUMPTION, session, None)


# --- the server ---------------------------------------------------------------------------------------------------


def find(
    hs: Handshake, hello: ClientHello, suite: Suite, identities: tuple[Identity, ...]
) -> Steps[tuple[Resumed | External | None, Identity | None]]:
    """The first key of the client's that is good, and the identity whose ticket it is; its binder is still to verify.

    `suite` is the one that would be chosen without a key. Our own tickets go before the application's keys at their
    place in the list only: the client's order decides.
    """
    settings, extensions = hs.settings, hello.extensions
    offered = checked(extensions.get(PRE_SHARED_KEY_CLIENT))
    if offered is None:
        return None, None
    name = extensions.get(SERVER_NAME)
    schemes = extensions.get(SIGNATURE_ALGORITHMS) or ()
    issuers = extensions.get(CERTIFICATE_AUTHORITIES) or ()
    fitting = raw_keys.fitting(identities, extensions)
    chosen = choose_identity(settings.signature_schemes, fitting, name, schemes, issuers=issuers)
    owners: dict[bytes, Identity | None] = {binding_of(hs, name, None): None}
    if chosen is not None:
        owners[binding_of(hs, name, chosen[0])] = chosen[0]
    for index, each in enumerate(offered.identities[: settings.limits.psk_identities]):
        state = yield from tickets.opened_untrusted(settings, each.identity)
        if state is None:
            external = yield from find_external(hs, hello, index, each.identity, suite)
            if external is not None:
                return external, None
        elif state.binding in owners and tickets.still_good(
            state, settings, hs.profile.version13, suite, state.binding, hs.transport
        ):
            return resumed(hs, index, each, state, suite), owners[state.binding]
    return None, None


def resumed(hs: Handshake, index: int, offered: PskIdentity, state: TicketState, suite: Suite) -> Resumed:
    """What a ticket brings that is still good (RFC 9846 section 4.3.11.1 for its age)."""
    early = EarlySecret(suite.hash, hs.profile.label_prefix, state.psk)
    age = (offered.obfuscated_ticket_age - state.ticket_age_add) % 2**32
    return Resumed(index, state, early, age, (age + state.created) / 1000 - hs.settings.clock.wall())


def binding_of(hs: Handshake, name: str | None, identity: Identity | None) -> bytes:
    """The conditions of sessions with this identity of ours, None for those that an external key began."""
    return tickets.binding(hs.settings, hs.profile, server_side=True, server_name=name, identity=identity)


def find_external(
    hs: Handshake, hello: ClientHello, index: int, identity: bytes, suite: Suite
) -> Steps[External | None]:
    """The application's key of this identity, if there is a suite for it.

    What looks like an imported identity is looked up by the identity inside; what comes of that must be a key that is
    to be imported, in this very context.
    """
    imported = read_imported(hs, identity)
    if imported is not None:
        psk = yield from look_up(hs.settings, imported.external_identity)
        if psk is not None and (psk.identity, psk.context) == (imported.external_identity, imported.context):
            return import_for(hs, hello, index, psk, imported.target_kdf, suite)
    psk = yield from look_up(hs.settings, identity)
    if psk is None or psk.context is not None:
        return None
    fitting = suite_with(hs, hello, suite, psk.hash)
    if fitting is None:
        return None
    return External(index, identity, psk, fitting, EarlySecret(psk.hash, hs.profile.label_prefix, psk.key), EXTERNAL)


def look_up(settings: Settings, identity: bytes) -> Steps[PSK | None]:
    """Ask the application for one key."""
    assert settings.lookup_psk is not None
    found = answered((yield from perform(Operation.LOOKUP_PSK, settings.lookup_psk, identity)))
    if len(found) > 1:
        raise UsageError("lookup_psk: several keys for one identity")
    return found[0] if found else None


def read_imported(hs: Handshake, identity: bytes) -> ImportedIdentity | None:
    """What an identity says that may have been imported for this protocol; None for any other."""
    try:
        imported = IMPORTED_IDENTITY.decode(identity)
    except DecodeError:
        return None
    fits = imported.target_protocol == hs.profile.version13 and imported.target_kdf in KDFS
    return imported if fits else None


def import_for(hs: Handshake, hello: ClientHello, index: int, psk: PSK, kdf: int, suite: Suite) -> External | None:
    """The key as it was offered at `index` or, further down, for the hash of the suite that we prefer."""
    offered = hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    places = {each.identity: place for place, each in enumerate(offered.identities)}
    protocol, prefix = hs.profile.version13, hs.profile.label_prefix
    for preferred in (each for each, algorithm in KDFS.items() if algorithm is suite.hash):
        place = places.get(import_key(psk, protocol, preferred, prefix)[0], 0)
        if place > index:
            index, kdf = place, preferred
    fitting = suite_with(hs, hello, suite, KDFS[kdf])
    if fitting is None:
        return None
    identity, key = import_key(psk, protocol, kdf, prefix)
    return External(index, identity, psk, fitting, EarlySecret(KDFS[kdf], prefix, key), IMPORTED)


def suite_with(hs: Handshake, hello: ClientHello, suite: Suite, algorithm: Hash) -> Suite | None:
    """The preferred suite, or else the first in common that has this hash."""
    if suite.hash is algorithm:
        return suite
    if hs.retried is not None:  # it was agreed on with the HelloRetryRequest
        return None
    common = (SUITES[code] for code in hs.settings.cipher_suites if code in hello.cipher_suites)
    return next((each for each in common if each.hash is algorithm and hs.profile.version13 in each.versions), None)


def checked(offered: OfferedPsks | None) -> OfferedPsks | None:
    """A client's list, in which identities and binders are as many."""
    if offered is not None and len(offered.identities) != len(offered.binders):
        raise IllegalParameter("binders and identities differ in number", section=_SECTION)
    return offered


def find_again(hello: ClientHello, external: External) -> None:
    """The key's place in the second ClientHello, which may have left others out (RFC 9846 section 4.2.2)."""
    offered = checked(hello.extensions.get(PRE_SHARED_KEY_CLIENT))
    if offered is None:
        raise MissingExtension("pre_shared_key in the second ClientHello", section=_SECTION)
    for index, each in enumerate(offered.identities):
        if each.identity == external.identity:
            external.index = index
            return
    raise IllegalParameter("the second ClientHello has left out the pre-shared key", section=_SECTION)


def verify_binder(
    hs: Handshake, hello: ClientHello, index: int, early: EarlySecret, algorithm: Hash, label: bytes
) -> None:
    """Hold that the client knows the key (RFC 9846 section 4.3.11.2). No other binder is looked at."""
    offered = hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    expected = early.binder(hs.transcript.digest_with(algorithm, hello.without_binders(hello.raw)), label)
    if not compare_digest(offered.binders[index], expected):
        raise DecryptError("a binder does not verify", section="RFC 9846 section 4.3.11.2")


def holder_of(hs: Handshake, psk: PSK) -> PeerIdentity:
    """Whom the other side proves to be by an external key. Sessions that begin with it last a week at most."""
    return PeerIdentity(valid_until=int(hs.settings.clock.wall()) + tickets.MAX_LIFETIME, psk_identity=psk.identity)


def no_way_to_authenticate() -> HandshakeFailure:
    """For a server without certificates: it has no key of the client's. It says no more, and no less, than that."""
    return HandshakeFailure("no pre-shared key in common, and no certificate to show", section=_SECTION)
