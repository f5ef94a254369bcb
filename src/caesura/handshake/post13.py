"""What follows a handshake of TLS 1.3: one small generator for each exchange (RFC 9846 section 4.7)."""

from __future__ import annotations

from collections.abc import Callable

from caesura.engines import Operation
from caesura.handshake import tickets
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule13 import ticket_psk
from caesura.handshake.state import Established
from caesura.handshake.transport import Epoch, MessageTransport, Profile
from caesura.sessions import Session
from caesura.wire.extensions import EARLY_DATA_TICKET, Extensions
from caesura.wire.messages import NewSessionTicket


def send_tickets(
    transport: MessageTransport,
    profile: Profile,
    established: Established,
    trace: Callable[[str, str, int], object] | None,
) -> Steps[None]:
    """Give the client its tickets: `ticket_count` after a full handshake, one after a resumption."""
    settings, suite, peer = established.settings, established.suite, established.peer
    assert established.resumption is not None
    wall = settings.clock.wall()
    now = int(wall)
    valid_until = min(peer.valid_until, now + tickets.MAX_LIFETIME)
    lifetime = min(settings.ticket_lifetime, valid_until - now)
    extensions = Extensions()
    if settings.max_early_data:
        extensions.put(EARLY_DATA_TICKET, settings.max_early_data)
    if lifetime < 1:  # what the client proved has run out while its handshake was paused
        return
    for number in range(1 if established.session_reused else settings.ticket_count):
        nonce = number.to_bytes(1, "big")
        age_add = int.from_bytes(settings.random(4), "big")
        state = tickets.new_state(
            version=profile.version13,
            suite=suite,
            psk=ticket_psk(suite.hash, established.resumption, nonce, profile.label_prefix),
            created=wall,
            valid_until=valid_until,
            binding=established.binding,
            transport_state=transport.ticket_state(),
            peer_certificates=peer.certificates,
            peer_public_key=peer.public_key,
            psk_identity=peer.psk_identity,
            alpn=established.alpn,
            ticket_age_add=age_add,
            max_early_data=settings.max_early_data,
            replay_zone=settings.replay_store.zone if settings.max_early_data else b"",
            signature_scheme=peer.signature_scheme,
        )
        ticket = yield from tickets.sealed(settings, state)
        if len(ticket) > tickets.MAX_TICKET:  # the client's chain is too long for it: then there is no resumption
            return
        message = NewSessionTicket(lifetime, age_add, nonce, ticket, extensions)
        raw = message.encode()
        transport.send(Epoch.APPLICATION, raw)
        if trace is not None:
            trace("sent", message.msg_type.name, len(raw))


def keep_session(
    profile: Profile, established: Established, message: NewSessionTicket, received: Callable[[Session], None]
) -> Steps[None]:
    """Make a session of a ticket, store it, and tell the application (RFC 9846 section 4.7.1)."""
    settings, suite = established.settings, established.suite
    assert established.resumption is not None
    assert settings.sessions is not None
    session = Session(
        version=profile.version13,
        cipher_suite=suite.code,
        psk=ticket_psk(suite.hash, established.resumption, message.ticket_nonce, profile.label_prefix),
        ticket=message.ticket,
        ticket_age_add=message.ticket_age_add,
        ticket_lifetime=min(message.ticket_lifetime, tickets.MAX_LIFETIME),
        received=settings.clock.wall(),
        valid_until=established.peer.valid_until,
        binding=established.binding,
        server_hostname=established.server_hostname,
        alpn=established.alpn,
        peer_certificates=established.peer.certificates,
        peer_public_key=established.peer.public_key,
        psk_identity=established.peer.psk_identity,
        max_early_data=message.extensions.get(EARLY_DATA_TICKET) or 0,
        ocsp_response=established.peer.ocsp_response,
        signature_scheme=established.peer.signature_scheme,
        transport_state=established.transport_state,
        timestamps=established.peer.timestamps,
    )
    yield from perform(Operation.STORE_SESSION, settings.sessions.put, session)
    received(session)
