"""Many connections on one socket (RFC 9000 sections 5.2, 8.1, 10.3)."""

from __future__ import annotations

import random

import pytest

from caesura.context import Limits
from caesura.errors import PeerClose, StatelessReset, TransportErrorCode
from caesura.quic import QUICConnection, QUICListener, packets
from caesura.quic.levels import INITIAL
from caesura.quic.versions import QUIC1
from caesura.wire.registries import Version
from tests.quic.link import server_context
from tests.quic.world import QUICLink, quic_link
from tests.support.datagram_link import CLIENT, Lossy


def served(link: QUICLink, data: bytes = b"hello") -> None:
    """Every client sends something and gets it back."""
    said = {}
    for end in link.clients:
        said[end.addr] = end.say(None, data + repr(end.addr).encode())
    link.run(lambda: all(said[end.addr] in end.ended for end in link.clients))
    for end in link.clients:
        assert end.data[said[end.addr]] == data + repr(end.addr).encode()


def initial(size: int = 1200, version: int = 1, destination: bytes = b"original", token: bytes = b"") -> bytes:
    """A datagram that looks like a client's first."""
    start = bytearray(packets.long_header(QUIC1, INITIAL, destination, b"source", token))
    start[1:5] = version.to_bytes(4, "big")
    rest = size - len(start) - 2
    return bytes(start) + (rest | 0x4000).to_bytes(2, "big") + bytes(rest)


def listener(**settings: object) -> QUICListener:
    return QUICListener(server_context(**settings))


def answers(to: QUICListener, datagram: bytes, addr: object = CLIENT) -> list[bytes]:
    """What is said to a datagram for which there is no connection."""
    assert to.receive_datagram(datagram, addr, 0.0) is None
    assert to.connections == ()
    return [data for data, where in to.datagrams_to_send(0.0) if where == addr]


@pytest.mark.parametrize("length", [0, 4, 8, 20])
def test_many_clients_on_one_socket(length: int) -> None:
    link = quic_link(server={"quic": {"connection_id_length": length}}, listener=True, clients=5).handshake()
    assert link.listener is not None
    assert len(link.listener.connections) == len(link.servers) == 5
    served(link)


def test_many_clients_over_a_bad_network() -> None:
    link = quic_link(network=Lossy(seed=5, corruption=0.02), listener=True, clients=5)
    link.start().run(lambda: all(end.connection.handshake_confirmed for end in link.clients))
    served(link, bytes(20_000))


def test_many_datagrams_at_once_find_their_connections() -> None:
    link = quic_link(listener=True, clients=3).handshake()
    assert link.listener is not None
    said = {end: end.say(None, bytes(30_000)) for end in link.clients}
    batches = [[data for data, _ in end.connection.datagrams_to_send(link.now)] for end in link.clients]
    (one,) = link.listener.receive_datagrams(batches[0], link.clients[0].addr, link.now)
    mixed = [bytearray(batches[1][0]), b"", *batches[2], *batches[1][1:], bytes(50)]
    two, three = link.listener.receive_datagrams(mixed, link.clients[1].addr, link.now)
    assert {one, two, three} == {end.connection for end in link.servers}
    assert link.listener.receive_datagrams([], CLIENT, link.now) == []
    link.run(lambda: all(said[end] in end.ended for end in link.clients))


def test_a_client_that_moves_is_found_by_its_id() -> None:
    link = quic_link(listener=True).handshake()
    link.client.addr = ("192.0.2.77", 7777)
    served(link)
    assert len(link.servers) == 1


# --- proving an address -----------------------------------------------------------------------------------------


def test_with_retry_nothing_is_kept_of_who_has_proved_nothing() -> None:
    link = quic_link(server={"quic": {"retry": True}}, listener=True)
    assert link.listener is not None
    link.start()
    link.run(lambda: len(link.sent) == 2)
    assert link.listener.connections == ()
    assert len(link.sent[1].data) < len(link.sent[0].data)
    link.run(lambda: bool(link.servers))
    link.run(lambda: link.client.connection.handshake_confirmed)
    served(link)


def test_a_retry_is_sent_when_many_handshakes_are_under_way() -> None:
    to = listener(limits=Limits(half_open=8))
    clients = quic_link(clients=4).start()
    for data in clients.datagrams():
        assert to.receive_datagram(data, CLIENT, 0.0) is not None
    assert len(to.connections) == 4
    assert to.receive_datagram(initial(destination=b"client-x"), CLIENT, 0.0) is None
    ((answer, _),) = to.datagrams_to_send(0.0)
    retry = packets.read_long(answer, 0)
    assert retry is not None
    assert packets.retry_is_genuine(retry, answer, b"client-x")


def test_a_token_for_the_next_time_saves_the_retry() -> None:
    link = quic_link(server={"quic": {"retry": True}}, listener=True).handshake()
    token = link.client.connection.new_token
    assert token is not None
    for again, datagrams in ((False, 1), (True, 2)):  # it is good once
        del link.sent[:], link.servers[:]
        link.clients = quic_link(clients=1, token=token).clients
        link.client.addr = (CLIENT[0], 6000 + again)
        link.start().run(lambda: bool(link.servers))
        assert len([each for each in link.sent if each.by_client]) == datagrams
        link.run(lambda: link.client.connection.handshake_confirmed)


def test_tokens_for_the_next_time_can_be_switched_off() -> None:
    link = quic_link(server={"quic": {"new_token": False}}, listener=True).handshake()
    assert link.client.connection.new_token is None


def test_a_token_of_somebody_elses_retry_is_refused() -> None:
    to = listener(quic={"retry": True})
    (answer,) = answers(to, initial())
    retry = packets.read_long(answer, 0)
    assert retry is not None
    again = initial(destination=retry.source, token=retry.token)
    (refusal,) = answers(to, again, ("192.0.2.66", 1))
    header = packets.read_long(refusal, 0)
    assert header is not None
    assert header.kind == INITIAL
    assert answers(to, again) == []  # whoever it was sent to may bring it


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Limits(half_open=1), Limits(associations=1)])
def test_who_comes_beyond_the_limits_is_refused(limits: Limits) -> None:
    link = quic_link(server={"limits": limits}, listener=True, clients=2).start()
    link.run(lambda: link.clients[1].connection.error is not None)
    error = link.clients[1].connection.error
    assert isinstance(error, PeerClose)
    assert error.error_code is TransportErrorCode.CONNECTION_REFUSED
    link.run(lambda: link.client.connection.handshake_confirmed)


def test_what_is_over_makes_room() -> None:
    link = quic_link(server={"limits": Limits(associations=2, half_open=4)}, listener=True, clients=2).handshake()
    assert link.listener is not None
    link.client.connection.shutdown()
    link.run(lambda: link.servers[0].connection.terminated and link.client.connection.terminated)
    link.clients = quic_link(clients=3).clients[2:]
    link.start().run(lambda: link.client.connection.handshake_confirmed)
    assert len(link.listener.connections) == 2


def test_a_full_listener_does_not_look_at_all_for_each_packet_of_nobody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it take forever to see that there is room again."""
    count = 130
    link = quic_link(server={"limits": Limits(associations=count)}, listener=True, clients=count)
    link.start().run(lambda: len(link.servers) == count)
    listener = link.listener
    assert listener is not None
    looked = 0

    def terminated(self: QUICConnection) -> bool:
        nonlocal looked
        looked += 1
        return False

    noise = random.Random(99).randbytes  # else their ids would be those of the clients that are there
    more = [quic_link({"random": noise}).start().sent[0].data for _ in range(40)]
    with monkeypatch.context() as patch:
        patch.setattr(QUICConnection, "terminated", property(terminated))
        for port, datagram in enumerate(more):
            assert listener.receive_datagram(datagram, ("198.51.100.1", port), link.now) is None
    assert count <= looked <= count + 64 * len(more)
    link.servers[0].connection.close()
    found = [
        listener.receive_datagram(datagram, ("198.51.100.2", port), link.now)
        for port, datagram in enumerate(more[: 1 + count // 64])
    ]
    assert [each for each in found if each is not None]


def test_a_version_that_is_not_spoken() -> None:
    (answer,) = answers(listener(), initial(version=0x0A1A2A3A))
    found = packets.read_version_negotiation(answer)
    assert found is not None
    assert found[:2] == (b"source", b"original")
    assert set(found[2]) > {0x00000001, 0x6B3343CF}
    (answer,) = answers(listener(quic={"versions": (Version.QUIC1,)}), initial(version=0x6B3343CF))
    found = packets.read_version_negotiation(answer)
    assert found is not None
    assert found[2][0] == 1
    assert 0x6B3343CF not in found[2]


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xc0",
        bytes(1200),  # a short header, and the id that it names is that of nobody: a reset, below
        initial(1199),
        initial(1199, version=0x0A1A2A3A),
        initial(version=0),  # a Version Negotiation packet
        initial(destination=b"seven77"),
        b"\xe0" + initial()[1:],  # a Handshake packet
        b"\xd0" + initial()[1:],  # 0-RTT
        b"\xf0" + initial()[1:],  # Retry
        initial()[:30] + b"\xff" * 1170,
    ],
    ids=lambda data: data[:6].hex() or "empty",
)
def test_what_deserves_no_connection(datagram: bytes) -> None:
    found = answers(listener(), datagram)
    assert len(found) == (1 if datagram == bytes(1200) else 0)
    assert sum(map(len, found)) < max(len(datagram), 1)


# --- resets -----------------------------------------------------------------------------------------------------


def test_who_was_forgotten_is_told_so() -> None:
    link = quic_link(listener=True).handshake()
    assert link.listener is not None
    link.listener.forget(link.servers.pop().connection)
    link.listener.forget(link.client.connection)  # a stranger
    assert link.listener.connections == ()
    link.client.say(None, b"hello" * 20)
    link.run(lambda: link.client.connection.error is not None, seconds=10.0)
    assert isinstance(link.client.connection.error, StatelessReset)


def test_the_forgotten_do_not_come_back() -> None:
    link = quic_link(listener=True).handshake()
    assert link.listener is not None
    server = link.server.connection
    link.listener.forget(server)
    for sequence_number in range(1, 4):  # new ids are told to nobody
        server.on_retire_connection_id(sequence_number)
    assert link.listener.connections == ()
    assert link.listener.receive_datagram(b"\x40" + server.connection_ids[0] + bytes(50), CLIENT, 9.0) is None


def test_two_servers_do_not_answer_each_other_for_ever() -> None:
    one, other = listener(), listener()
    datagram, rounds = bytes(1200), 0
    while datagram:
        one, other = other, one
        found = answers(one, datagram)
        datagram, rounds = (found[0] if found else b""), rounds + 1
    assert rounds < 50


# --- bounds, and the end ----------------------------------------------------------------------------------------


def test_answers_that_nobody_takes_are_bounded() -> None:
    to = listener(limits=Limits(half_open=16))
    for _ in range(100):
        to.receive_datagram(initial(version=0x0A1A2A3A), CLIENT, 0.0)
    assert len(to.datagrams_to_send(0.0)) == 16
    assert to.datagrams_to_send(0.0) == []


def test_a_closed_listener_is_silent() -> None:
    link = quic_link(listener=True).handshake()
    assert link.listener is not None
    link.listener.receive_datagram(initial(version=0x0A1A2A3A), CLIENT, link.now)
    link.listener.close()
    assert link.listener.connections == ()
    assert link.server.connection.terminated
    assert link.listener.receive_datagram(initial(), CLIENT, link.now) is None
    assert link.listener.datagrams_to_send(link.now) == []
    assert link.listener.accept() is None


@pytest.mark.parametrize("seed", range(20))
def test_any_datagram_is_survived_and_little_is_said(seed: int) -> None:
    """Genuine packets with bits turned, cut and put together anew, from many addresses."""
    dice = random.Random(seed)
    link = quic_link(listener=True).handshake()
    served(link)
    genuine = link.datagrams()
    to = QUICListener(server_context(limits=Limits(half_open=50)))
    heard: dict[object, int] = {}
    said: dict[object, int] = {}
    for at in range(300):
        data = bytearray(dice.choice(genuine))
        for _ in range(dice.randrange(4)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        if dice.random() < 0.2:
            data = data[: dice.randrange(len(data))] + dice.choice(genuine)
        addr = ("192.0.2.9", dice.randrange(5))
        heard[addr] = heard.get(addr, 0) + len(data)
        to.receive_datagram(bytes(data), addr, at / 100)
        out = to.datagrams_to_send(at / 100)
        for connection in to.connections:
            out += connection.datagrams_to_send(at / 100)
        for datagram, where in out:
            said[where] = said.get(where, 0) + len(datagram)
    assert all(size <= 3 * heard[addr] for addr, size in said.items())
