"""What TLS 1.2 has to do with the first hellos: what a client adds to its own, what a server chooses and resumes."""

from __future__ import annotations

from caesura.context import Settings, Verify
from caesura.crypto.groups import GROUPS, GROUPS12, Group
from caesura.crypto.identity import Identity
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import HandshakeFailure
from caesura.handshake import raw_keys, tickets
from caesura.handshake.authenticate12 import CURVES
from caesura.handshake.negotiate import choose_alpn, choose_identity
from caesura.handshake.requests import Steps, perform
from caesura.handshake.server12 import Choice
from caesura.handshake.state import Handshake
from caesura.handshake.tickets import TicketState
from caesura.sessions import Session
from caesura.wire.extensions import (
    ALPN,
    CERTIFICATE_AUTHORITIES,
    EC_POINT_FORMATS,
    EXTENDED_MASTER_SECRET,
    RENEGOTIATION_INFO,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    Extensions,
)
from caesura.wire.messages import ClientHello
from caesura.wire.registries import ECPointFormat, SignatureScheme

_SESSION_ID_LENGTH = 32

# --- the client ---------------------------------------------------------------------------------------------------


def put_extensions(extensions: Extensions) -> None:
    """What is the same in every hello that offers TLS 1.2."""
    extensions.put(EXTENDED_MASTER_SECRET, True)
    extensions.put(RENEGOTIATION_INFO, b"")
    extensions.put(EC_POINT_FORMATS, (ECPointFormat.uncompressed,))


def offer_session(hs: Handshake, extensions: Extensions, session: Session | None) -> bytes:
    """Offer the session of TLS 1.2, or say that we could use a ticket; the session id.

    A ticket comes with an id of our own, which the server sends back if it resumes (RFC 5077 section 3.4).
    """
    if session is not None and session.version != hs.profile.version12:
        session = None
    if hs.settings.sessions is not None or session is not None:
        extensions.put(SESSION_TICKET, session.ticket if session is not None else b"")
    if session is None:
        return b""
    return session.session_id or hs.settings.random(_SESSION_ID_LENGTH)


# --- the server ---------------------------------------------------------------------------------------------------


def choose12(hs: Handshake, hello: ClientHello, identities: tuple[Identity, ...]) -> Steps[Choice]:
    """Choose every parameter, and look whether the client's session may be resumed."""
    settings, extensions = hs.settings, hello.extensions
    suite, signer = choose_suite_and_signer(hs, hello, identities)
    group = choose_group(settings, extensions.get(SUPPORTED_GROUPS) or ()) if suite.ecdhe else None
    alpn = choose_alpn(settings, extensions.get(ALPN))
    name = extensions.get(SERVER_NAME)
    identity = signer[0] if signer is not None else None
    binding = tickets.binding(settings, hs.profile, server_side=True, server_name=name, identity=identity)
    state = yield from find_state(hs, hello)
    if state is not None and not resumable(hs, state, suite, binding):
        state = None
    gives_ticket, session_id = new_session(settings, hello) if state is None else (False, hello.legacy_session_id)
    asks = signer is not None and state is None and settings.verify_mode(server_side=True) is not Verify.NONE
    client_type = raw_keys.choose_client_type(settings, extensions) if asks else None
    return Choice(suite, group, alpn, name, signer, state, binding, gives_ticket, session_id, client_type)


def choose_group(settings: Settings, offered: tuple[int, ...]) -> Group:
    """The first group of ours that the client has too and TLS 1.2 knows."""
    for code in settings.groups:
        if code in offered and code in GROUPS12:
            return GROUPS[code]
    raise HandshakeFailure("no group in common")


def choose_suite_and_signer(
    hs: Handshake, hello: ClientHello, identities: tuple[Identity, ...]
) -> tuple[Suite, tuple[Identity, SignatureScheme] | None]:
    """The first suite of ours that the client has too and that an identity can sign under, or that needs none.

    The client's groups are those of ECDSA certificates too (RFC 8422 section 5.1.1).
    """
    settings, extensions, version = hs.settings, hello.extensions, hs.profile.version12
    groups = extensions.get(SUPPORTED_GROUPS) or ()
    common = [
        SUITES[code]
        for code in settings.cipher_suites
        if code in hello.cipher_suites
        and version in SUITES[code].versions
        and (settings.lookup_psk is not None or not SUITES[code].psk)
    ]
    if not common:
        raise HandshakeFailure("no cipher suite in common")
    kinds = frozenset().union(*(suite.signers for suite in common))

    def fits(identity: Identity) -> bool:
        kind = identity.public_key.kind
        return kind in kinds and (kind not in CURVES or CURVES[kind] in groups)

    schemes = extensions.get(SIGNATURE_ALGORITHMS) or ()
    name = extensions.get(SERVER_NAME)
    issuers = extensions.get(CERTIFICATE_AUTHORITIES) or ()
    fitting = filter(fits, raw_keys.fitting(identities, extensions))
    chosen = choose_identity(settings.signature_schemes, fitting, name, schemes, version, issuers)
    for suite in common:
        if suite.psk:
            return suite, None
        if chosen is not None and chosen[0].public_key.kind in suite.signers:
            return suite, chosen
    raw_keys.acceptable(identities, extensions)  # says so if that is why
    raise HandshakeFailure("no identity that can sign under a suite and a scheme of the client's")


def find_state(hs: Handshake, hello: ClientHello) -> Steps[TicketState | None]:
    """What the client's ticket holds or, without one, what is stored under its session id (RFC 5077 section 3.4)."""
    settings = hs.settings
    ticket = hello.extensions.get(SESSION_TICKET)
    if not ticket and hello.legacy_session_id and settings.server_sessions is not None:
        ticket = yield from perform(Operation.LOOKUP_SESSION, settings.server_sessions.get, hello.legacy_session_id)
    if not ticket:
        return None
    return (yield from tickets.opened_untrusted(settings, ticket))


def resumable(hs: Handshake, state: TicketState, suite: Suite, binding: bytes) -> bool:
    """Whether the session may be resumed: also not with another suite than the one we would choose today."""
    good = tickets.still_good(state, hs.settings, hs.profile.version12, suite, binding, hs.transport)
    return good and state.cipher_suite == suite.code


def new_session(settings: Settings, hello: ClientHello) -> tuple[bool, bytes]:
    """Whether there will be a ticket and, if not, the id under which the session will be stored, if it will."""
    if settings.ticket_count > 0 and hello.extensions.get(SESSION_TICKET) is not None:
        return True, b""
    return False, settings.random(_SESSION_ID_LENGTH) if settings.server_sessions is not None else b""
