"""Stateless tickets: what a server must remember, sealed (RFC 9846 section 4.7.1), and the conditions of resumption.

A ticket that does not open, is too old, or was made under other conditions is no error: a full handshake follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.context import Settings
from caesura.crypto.hkdf import SHA256
from caesura.crypto.identity import Identity
from caesura.crypto.secrets import Secret
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import DecodeError, IllegalParameter
from caesura.handshake.requests import Steps, perform
from caesura.handshake.transport import MessageTransport, Profile
from caesura.sessions import SecretOpaque
from caesura.wire.codec import U8, U16, U32, U64, Fixed, Opaque, Struct, Vector
from caesura.wire.registries import Version

MAX_LIFETIME: Final = 604_800
"""Seconds: no ticket lives longer, and no chain of resumptions outlives its first handshake by more (section 4.7.1)."""

MAX_TICKET: Final = 2**15
"""Bytes of a ticket that is made or kept. The format has room for twice as many, but they must fit into the extensions
of a hello beside everything else."""

_FORMAT: Final = 6


@dataclass(slots=True)
class TicketState:
    """What the server remembers of the handshake a ticket stands for."""

    format: int
    version: int
    cipher_suite: int
    created: int  # milliseconds since 1970
    valid_until: int  # seconds since 1970
    ticket_age_add: int
    max_early_data: int
    signature_scheme: int  # that the client signed with; 0 when it has not
    group: int  # TLS 1.2: of the key exchange; 0 when there was none
    binding: bytes
    psk: Secret  # TLS 1.2: the main secret
    transport_state: bytes
    peer_certificates: tuple[bytes, ...]
    peer_public_key: bytes  # empty when there is none
    psk_identity: bytes  # likewise
    alpn: bytes  # likewise
    replay_zone: bytes  # whose memory knows whether early data came with this ticket before


_STATE: Final = Struct(
    TicketState,
    format=U8,
    version=U16,
    cipher_suite=U16,
    created=U64,
    valid_until=U64,
    ticket_age_add=U32,
    max_early_data=U32,
    signature_scheme=U16,
    group=U16,
    binding=Fixed(32),
    psk=SecretOpaque(1, 255),
    transport_state=Opaque(0, 2**16 - 1),
    peer_certificates=Vector(Opaque(1, 2**24 - 1), 0, 2**24 - 1),
    peer_public_key=Opaque(0, 2**16 - 1),
    psk_identity=Opaque(0, 2**16 - 1),
    alpn=Opaque(0, 255),
    replay_zone=Opaque(0, 255),
)


def sealed(settings: Settings, state: TicketState) -> Steps[bytes]:
    """The ticket that holds `state`."""
    seal = settings.ticket_keys.seal
    return (yield from perform(Operation.SEAL_TICKET, seal, _STATE.encode(state), settings.clock.wall()))


def opened_untrusted(settings: Settings, ticket: bytes) -> Steps[TicketState | None]:
    """What a ticket of ours holds; None for any other."""
    opened = yield from perform(Operation.OPEN_TICKET, settings.ticket_keys.open_untrusted, ticket)
    if opened is None:
        return None
    try:
        state = _STATE.decode(opened)
    except (DecodeError, IllegalParameter):  # sealed by an older or newer release
        return None
    return state if state.format == _FORMAT else None


def new_state(
    version: int,
    suite: Suite,
    psk: Secret,
    created: float,
    valid_until: int,
    binding: bytes,
    transport_state: bytes,
    peer_certificates: tuple[bytes, ...],
    peer_public_key: bytes | None,
    psk_identity: bytes | None = None,
    alpn: str | None = None,
    ticket_age_add: int = 0,
    max_early_data: int = 0,
    replay_zone: bytes = b"",
    signature_scheme: int | None = None,
    group: int | None = None,
) -> TicketState:
    """A state of the present format; `created` in seconds since 1970."""
    return TicketState(
        _FORMAT,
        version,
        suite.code,
        int(created * 1000),
        valid_until,
        ticket_age_add,
        max_early_data,
        signature_scheme or 0,
        group or 0,
        binding,
        psk,
        transport_state,
        peer_certificates,
        peer_public_key or b"",
        psk_identity or b"",
        (alpn or "").encode("latin-1"),
        replay_zone,
    )


def still_good(
    state: TicketState, settings: Settings, version: Version, suite: Suite, binding: bytes, transport: MessageTransport
) -> bool:
    """Whether the ticket may be resumed under the present conditions."""
    now = settings.clock.wall()
    remembered = SUITES.get(state.cipher_suite)
    return (
        state.version == version
        and remembered is not None
        and remembered.hash is suite.hash
        and state.binding == binding
        and state.created <= now * 1000 < min(state.created + settings.ticket_lifetime * 1000, state.valid_until * 1000)
        and transport.accepts(state.transport_state)
    )


_KEPT: Final = 64  # per settings: whoever selects identities may make new ones without end


def binding(
    settings: Settings, profile: Profile, *, server_side: bool, server_name: str | None, identity: Identity | None
) -> bytes:
    """The conditions a session is made under, as a digest: it resumes where this is the same, and nowhere else."""
    known: dict[tuple[Profile, bool, Identity | None], bytes] = settings.derived.setdefault(binding, {})
    conditions = known.get((profile, server_side, identity))
    if conditions is None:
        if len(known) >= _KEPT:
            known.clear()
        conditions = _digest_conditions(settings, profile, server_side, identity)
        known[profile, server_side, identity] = conditions
    return SHA256.digest(conditions + (server_name or "").encode())


def _digest_conditions(settings: Settings, profile: Profile, server_side: bool, identity: Identity | None) -> bytes:
    """All of them but the name, which differs from connection to connection."""
    trust = settings.trust
    parts = (
        profile.name,
        b"server" if server_side else b"client",
        settings.verify_mode(server_side).name.encode(),
        b"system" if trust is None else trust.identity,
        b"verify_peer" if settings.verify_peer is not None else b"",
        b"" if identity is None else identity.chain[0],
        bytes(settings.accepted_types),
        b"lookup_psk" if settings.lookup_psk is not None else b"",
    )
    return SHA256.digest(b"".join(len(part).to_bytes(4, "big") + part for part in parts))
