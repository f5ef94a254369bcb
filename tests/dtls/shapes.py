"""The shapes that a handshake can have."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from caesura.crypto.tickets import TicketKeys
from caesura.sessions import Session
from tests.dtls.world import asking_context, client_context, linked
from tests.support.datagram_link import DatagramLink, Network, VirtualEngine, datagram_link
from tests.tls.world import identity

Shape = Callable[[Network], DatagramLink]
TICKETS = TicketKeys()


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


def with_pauses(network: Network, seconds: float = 0.3, **options: Any) -> DatagramLink:
    """Both sides authenticate themselves, and every operation of either pauses."""
    engines = VirtualEngine(seconds), VirtualEngine(seconds)
    link = datagram_link(
        client_context(identity=identity("client"), engine=engines[0], async_mode=True, deadline=None),
        asking_context(engine=engines[1], async_mode=True, deadline=None),
        network,
        **options,
    )
    for engine in engines:
        engine.link = link
    return link


def with_a_slow_signature(network: Network) -> DatagramLink:
    return with_pauses(network, 3.0)


SHAPES: tuple[Shape, ...] = (
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
