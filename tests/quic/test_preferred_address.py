"""A server that would rather be reached elsewhere, and a client that goes there if it can (RFC 9000 section 9.6)."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.errors import ConfigError
from caesura.quic import QUICConnection, QUICListener
from caesura.quic.path import Address
from caesura.quic.preferred_address import announce, choose
from tests.quic.link import QUICLink, client_context, server_context
from tests.support.datagram_link import SERVER, Lossy, Network

V4, V6 = ("203.0.113.9", 4433), ("2001:db8::9", 4434)


class Elsewhere(QUICLink):
    """A server with two addresses, of which `reachable` says whether the second is. It answers where it was asked."""

    reachable = True
    asked: Address = SERVER

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.to: list[Address] = []

    def _carry_one(self, datagram: bytes, address: object, *, by_client: bool) -> None:
        if not by_client:
            super()._carry_one(From(datagram, self.asked), address, by_client=False)
            return
        self.to.append(address)
        if address == SERVER or self.reachable:
            super()._carry_one(From(datagram, address), SERVER, by_client=True)

    def deliver(self, datagram: bytes, *, to_server: bool) -> QUICLink:
        assert isinstance(datagram, From)
        if to_server:
            self.asked = datagram.address
            self.theirs.connection.receive_datagram(bytes(datagram), self.client_address, self.now)
        else:
            self.ours.connection.receive_datagram(bytes(datagram), datagram.address, self.now)
        self._pump()
        return self


class From(bytes):
    """A datagram, and an address of the server's."""

    address: Address

    def __new__(cls, data: bytes, address: Address) -> From:
        made = super().__new__(cls, data)
        made.address = address
        return made


def link(network: Network | None = None, *, roams: bool = True, addresses: Any = (V4, V6), **quic: Any) -> Elsewhere:
    one = QUICConnection(
        client_context(quic=quic), server_side=False, server_hostname="example.test", addr=SERVER, roams=roams
    )
    server = server_context(quic={"preferred_address": addresses, **quic})
    return Elsewhere(one, QUICConnection(server, server_side=True), network)


def talk(made: QUICLink, size: int = 50_000) -> None:
    for by_client in (True, False):
        stream_id = made.send(bytes(size), by_client=by_client)
        side = made.theirs if by_client else made.ours
        made.run(lambda side=side, stream_id=stream_id: stream_id in side.ended, seconds=60)  # type: ignore[misc]
        assert stream_id in side.ended


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_the_client_goes_there(seed: int | None) -> None:
    made = link(None if seed is None else Lossy(seed=seed))
    made.establish()
    made.send(bytes(100_000), by_client=False)  # under way meanwhile
    made.wait(5.0)
    client = made.ours.connection
    assert client.addr == V4
    assert client.peer_parameters is not None
    assert client.peer_parameters.preferred_address is not None
    assert client.peer_connection_id == client.peer_parameters.preferred_address.connection_id
    talk(made)
    assert set(made.to[-20:]) == {V4}
    assert made.theirs.connection.addr == made.client_address
    assert not made.failed


def test_one_that_does_not_answer() -> None:
    made = link()
    made.reachable = False
    made.establish().wait(10.0)
    assert made.ours.connection.addr == SERVER
    talk(made)
    challenges = [address for address in made.to if address == V4]
    assert 1 <= len(challenges) <= 3
    assert made.to[-1] == SERVER


@pytest.mark.parametrize(("roams", "addresses"), [(False, (V4, V6)), (True, ()), (True, (V6,)), (True, (SERVER,))])
def test_who_stays(roams: bool, addresses: Any) -> None:
    """The carrier can go nowhere else; there is nowhere else to go, or none that this client could."""
    made = link(roams=roams, addresses=addresses)
    made.establish().wait(5.0)
    talk(made)
    assert set(made.to) == {SERVER}
    for _ in range(2):  # the id is good for other uses
        made.ours.connection.change_connection_id()
    talk(made)


def test_a_listener_knows_the_id() -> None:
    """Before the handshake is over, and again when tickets look at the parameters."""
    context = server_context(quic={"preferred_address": (V4,), "retry": False})
    listener = QUICListener(context)
    client = QUICConnection(
        client_context(), server_side=False, server_hostname="example.test", addr=SERVER, roams=True
    )
    now, seen = 1000.0, set()
    client.advance(now)
    for _ in range(200):
        for data, address in client.datagrams_to_send(now):
            seen.add(address)
            listener.receive_datagram(data, ("192.0.2.1", 5), now)
        for connection in listener.connections:
            for data, _ in connection.datagrams_to_send(now):
                client.receive_datagram(data, V4 if V4 in seen else SERVER, now)
        now += 0.01
    assert client.handshake_confirmed
    assert client.addr == V4
    (connection,) = listener.connections
    assert connection.error is None
    assert 0 not in connection._local_ids.ids
    assert connection.ticket_state()  # tickets may come late, when the ids of the parameters are retired


@pytest.mark.parametrize(
    "value",
    [
        (V4, V4),
        (("203.0.113.9", 0),),
        (("203.0.113.9", 65_536),),
        (("nowhere", 1),),
        ("203.0.113.9",),
        [V4],
        (("203.0.113.9", "443"),),
        (5,),
    ],
)
def test_what_is_no_address(value: Any) -> None:
    with pytest.raises(ConfigError, match="preferred_address"):
        server_context(quic={"preferred_address": value})


def test_connection_ids_are_needed() -> None:
    with pytest.raises(ConfigError, match="connection_id_length"):
        server_context(quic={"preferred_address": (V4,), "connection_id_length": 0})


def test_which_address_is_chosen() -> None:
    both = announce((V4, V6), b"id", bytes(16))
    assert choose(both, ("192.0.2.1", 1)) == V4
    assert choose(both, ("2001:db8::1", 1, 0, 0)) == (*V6, 0, 0)
    assert choose(both, V4) is None
    assert choose(both, "somewhere") is None
    assert choose(both, None) is None
    assert choose(announce((V6,), b"id", bytes(16)), ("192.0.2.1", 1)) is None
