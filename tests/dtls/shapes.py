"""The shapes that a handshake can have."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from caesura.crypto.tickets import TicketKeys
from caesura.sessions import ServerSessionCache, Session
from tests.dtls.world import DTLS12, EITHER, asking_context, client_context, linked
from tests.support.datagram_link import DatagramLink, Network, VirtualEngine, datagram_link
from tests.tls.world import identity

Shape = Callable[[Network], DatagramLink]
TICKETS = TicketKeys()
KEPT = ServerSessionCache()


def full(network: Network) -> DatagramLink:
    return linked(network=network)


def small_datagrams(network: Network) -> DatagramLink:
    settings = {"dtls": {"mtu": 300}}
    return linked(settings, settings, network)


def retry(network: Network) -> DatagramLink:
    """HelloRetryRequest, by a server that keeps what it has sent."""
    return linked({"groups": ["x25519", "secp256r1"]}, {"groups": ["secp256r1"]}, network)


def cookie(network: Network) -> DatagramLink:
    """HelloRetryRequest with a cookie, by a listener that keeps nothing."""
    return linked(network=network, listener=True)


def hybrid(network: Network) -> DatagramLink:
    """The same, with a second hello of several datagrams."""
    settings = {"groups": ["X25519MLKEM768", "x25519"], "dtls": {"mtu": 600}}
    return linked(settings, settings, network, listener=True)


def client_certificate(network: Network) -> DatagramLink:
    return datagram_link(client_context(identity=identity("client")), asking_context(), network)


@cache
def a_session() -> bytes:
    link = linked(server={"ticket_keys": TICKETS}).handshake()
    assert link.client.session is not None
    return link.client.session.to_bytes()


def resumed(network: Network) -> DatagramLink:
    return linked(server={"ticket_keys": TICKETS}, network=network, session=Session.from_bytes(a_session()))


def connection_ids(network: Network) -> DatagramLink:
    return linked({"dtls": {"connection_id": 4}}, {"dtls": {"connection_id": 7}}, network, listener=True)


def with_pauses(
    network: Network, seconds: float = 0.3, settings: dict[str, Any] | None = None, **options: Any
) -> DatagramLink:
    """Both sides authenticate themselves, and every operation of either pauses."""
    engines = VirtualEngine(seconds), VirtualEngine(seconds)
    link = datagram_link(
        client_context(
            identity=identity("client"), engine=engines[0], async_mode=True, deadline=None, **settings or {}
        ),
        asking_context(engine=engines[1], async_mode=True, deadline=None, **settings or {}),
        network,
        **options,
    )
    for engine in engines:
        engine.link = link
    return link


def with_a_slow_signature(network: Network) -> DatagramLink:
    return with_pauses(network, 3.0)


def full12(network: Network) -> DatagramLink:
    return linked(DTLS12, DTLS12, network)


def small_datagrams12(network: Network) -> DatagramLink:
    settings = {**DTLS12, "dtls": {"mtu": 300}}
    return linked(settings, settings, network)


def cookie12(network: Network) -> DatagramLink:
    """HelloVerifyRequest, by a listener that keeps nothing."""
    return linked(DTLS12, DTLS12, network, listener=True)


def older_server(network: Network) -> DatagramLink:
    """A client that would speak DTLS 1.3 too, so its hello is not what it seems; in small datagrams."""
    client: dict[str, Any] = {**EITHER, "groups": ["X25519MLKEM768", "x25519", "secp256r1"], "dtls": {"mtu": 256}}
    return linked(client, {**DTLS12, "dtls": {"mtu": 300}}, network, listener=True)


def older_client(network: Network) -> DatagramLink:
    return linked(DTLS12, EITHER, network)


def client_certificate12(network: Network) -> DatagramLink:
    return datagram_link(client_context(identity=identity("client"), **DTLS12), asking_context(**DTLS12), network)


@cache
def a_session12(tickets: bool) -> bytes:
    link = linked(DTLS12, {**resuming12(tickets), **DTLS12}).handshake()
    assert link.client.session is not None
    return link.client.session.to_bytes()


@cache
def resuming12(tickets: bool) -> dict[str, Any]:
    return {"ticket_keys": TICKETS} if tickets else {"ticket_keys": TICKETS, "ticket_count": 0, "server_sessions": KEPT}


def resumed12(network: Network) -> DatagramLink:
    server = {**resuming12(tickets=True), **DTLS12}
    return linked(DTLS12, server, network, session=Session.from_bytes(a_session12(tickets=True)))


def resumed_by_id12(network: Network) -> DatagramLink:
    server = {**resuming12(tickets=False), **DTLS12}
    return linked(DTLS12, server, network, session=Session.from_bytes(a_session12(tickets=False)))


def connection_ids12(network: Network) -> DatagramLink:
    client, server = {"dtls": {"connection_id": 4}}, {"dtls": {"connection_id": 7}}
    return linked({**client, **DTLS12}, {**server, **DTLS12}, network, listener=True)


def pre_shared_key12(network: Network) -> DatagramLink:
    """With a hint, and a share of each side."""
    common = {
        **DTLS12,
        "cipher_suites": ["TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256"],
        "lookup_psk": lambda _: ("who", bytes(16)),
    }
    client = {**common, "trust": None}
    return linked(client, {**common, "identity": None, "psk_identity_hint": "hint"}, network, listener=True)


def with_pauses12(network: Network) -> DatagramLink:
    return with_pauses(network, settings=DTLS12)


def with_a_slow_signature12(network: Network) -> DatagramLink:
    return with_pauses(network, 3.0, settings=DTLS12)


SHAPES13: tuple[Shape, ...] = (
    full,
    small_datagrams,
    retry,
    cookie,
    hybrid,
    client_certificate,
    resumed,
    connection_ids,
    with_pauses,
    with_a_slow_signature,
)
SHAPES12: tuple[Shape, ...] = (
    full12,
    small_datagrams12,
    cookie12,
    older_server,
    older_client,
    client_certificate12,
    resumed12,
    resumed_by_id12,
    connection_ids12,
    pre_shared_key12,
    with_pauses12,
    with_a_slow_signature12,
)
SHAPES = SHAPES13 + SHAPES12
