"""External pre-shared keys in TLS 1.2, alone (RFC 4279 section 2) or with a key exchange (RFC 5489 section 2).

Both sides get them from the setting `lookup_psk`, as in TLS 1.3. One identity is named, and there is no binder: a key
that is another's shows when Finished does not verify. Without a key exchange there is no forward secrecy, and whoever
records a handshake may guess at a weak key.
"""

from __future__ import annotations

from caesura.context import Settings
from caesura.crypto.groups import GROUPS, GROUPS12, Group, KeyPair
from caesura.crypto.psk import PSK
from caesura.crypto.secrets import SharedSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import IllegalParameter, UnknownPSKIdentity
from caesura.handshake.psk import holder_of, look_up
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule12 import MainSecret12, preliminary_of_psk
from caesura.handshake.state import Handshake, PeerIdentity
from caesura.wire.messages12 import (
    ECDHEPSKClientKeyExchange,
    ECDHEPSKServerKeyExchange,
    PSKClientKeyExchange,
    PSKServerKeyExchange,
    ServerECDHParams,
    ServerHelloDone,
)
from caesura.wire.registries import CipherSuite, NamedGroup

Agreed = tuple[MainSecret12, PeerIdentity]
"""What both sides know now, and whom the key stands for."""


def own_key(settings: Settings, found: tuple[PSK, ...]) -> PSK | None:
    """The key that a client uses in TLS 1.2: the first it has, if a suite for it is on offer."""
    offered = any(SUITES[code].psk for code in settings.offered_suites)
    return found[0] if found and offered else None


def offered_suites(settings: Settings, key: PSK | None) -> tuple[CipherSuite, ...]:
    """What a client offers: suites that need a key only if it has one."""
    suites = settings.offered_suites
    if key is not None or settings.lookup_psk is None:
        return suites
    return tuple(code for code in suites if not SUITES[code].psk)


def agree_as_client(hs: Handshake, suite: Suite, psk: PSK) -> Steps[tuple[Agreed, NamedGroup | None]]:
    """From the server's key exchange, if there is one, to our own; the group of it too."""
    hint, params = yield from receive_server_flight(hs, suite)
    shared: SharedSecret | None = None
    if params is None:
        hs.send(PSKClientKeyExchange(psk.identity))
    else:
        if params.named_curve not in hs.settings.groups or params.named_curve not in GROUPS12:
            raise IllegalParameter("a curve that was not offered", section="RFC 8422 section 5.4")
        group = GROUPS[params.named_curve]
        share, shared = yield from perform(Operation.KEY_EXCHANGE, group.respond, params.public)
        hs.send(ECDHEPSKClientKeyExchange(psk.identity, share))
    peer = holder_of(hs, psk)
    peer.psk_identity_hint = hint
    named = NamedGroup(params.named_curve) if params is not None else None
    return agreed(hs, suite, psk, shared, peer), named


def receive_server_flight(hs: Handshake, suite: Suite) -> Steps[tuple[bytes | None, ServerECDHParams | None]]:
    """Take the server's hint, which need not come, and its share."""
    if suite.ecdhe:
        exchange = yield from hs.receive(ECDHEPSKServerKeyExchange)
        yield from hs.receive(ServerHelloDone)
        return exchange.psk_identity_hint or None, exchange.params
    message = yield from hs.receive(PSKServerKeyExchange, ServerHelloDone)
    if not isinstance(message, PSKServerKeyExchange):
        return None, None
    yield from hs.receive(ServerHelloDone)
    return message.psk_identity_hint or None, None


def agree_as_server(hs: Handshake, suite: Suite, group: Group | None) -> Steps[Agreed]:
    """Send what follows our hello, and take the client's key exchange. Raises UnknownPSKIdentity."""
    hint = hs.settings.psk_identity_hint or b""
    pair: KeyPair | None = None
    if group is not None:
        pair = yield from perform(Operation.GENERATE_KEY, group.generate)
        hs.send(ECDHEPSKServerKeyExchange(hint, ServerECDHParams(group.code, pair.share)))
    elif hint:
        hs.send(PSKServerKeyExchange(hint))
    hs.send(ServerHelloDone())
    shared: SharedSecret | None = None
    if pair is not None:
        exchange = yield from hs.receive(ECDHEPSKClientKeyExchange)
        identity = exchange.psk_identity
        shared = yield from perform(Operation.KEY_EXCHANGE, pair.exchange, exchange.public)
    else:
        identity = (yield from hs.receive(PSKClientKeyExchange)).psk_identity
    psk = yield from look_up(hs.settings, identity)
    if psk is None:
        raise UnknownPSKIdentity("the client's identity is nobody's", section="RFC 4279 section 2")
    return agreed(hs, suite, psk, shared, holder_of(hs, psk))


def agreed(hs: Handshake, suite: Suite, psk: PSK, shared: SharedSecret | None, peer: PeerIdentity) -> Agreed:
    """The main secret of the handshake so far."""
    preliminary = preliminary_of_psk(psk.key, shared)
    return MainSecret12.extended(suite, preliminary, hs.transcript.digest_with(suite.hash, b"")), peer
