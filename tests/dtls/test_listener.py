"""Many peers on one socket: nothing is kept of who has not proved its address."""

from __future__ import annotations

import random
from typing import Any

import pytest

from caesura.context import Limits
from caesura.dtls import DTLSConnection, DTLSListener
from caesura.errors import AlertDescription, IdleTimeout, PeerAlert, UnexpectedEOF, UsageError
from caesura.wire.registries import NamedGroup
from tests.dtls.world import client_context, linked, server_context
from tests.support.datagram_link import CLIENT, Lossy, drain, received


def hello(**settings: Any) -> list[bytes]:
    """A client's first flight."""
    client = DTLSConnection(client_context(**settings), server_side=False, server_hostname="localhost")
    client.advance(0.0)
    return [data for data, _ in client.datagrams_to_send(0.0)]


def other_client(seed: int, **settings: Any) -> DTLSConnection:
    context = client_context(random=random.Random(seed).randbytes, **settings)
    client = DTLSConnection(context, server_side=False, server_hostname="localhost")
    client.advance(0.0)
    return client


def shake(listener: DTLSListener, client: DTLSConnection, addr: object) -> DTLSConnection:
    """A whole handshake, without losses or time."""
    server = None
    for _ in range(20):
        for data, _ in client.datagrams_to_send(0.0):
            server = listener.receive_datagram(data, addr, 0.0) or server
        for data, to in [*listener.datagrams_to_send(0.0), *(server.datagrams_to_send(0.0) if server else [])]:
            assert to == addr
            client.receive_datagram(data, "server", 0.0)
    assert server is not None
    assert server.handshake_complete
    assert client.handshake_complete
    return server


def test_a_handshake_behind_a_cookie() -> None:
    link = linked(listener=True).handshake()
    assert link.listener is not None
    assert link.listener.connections == (link.server,)
    assert len(link.sent[1].data) <= 3 * len(link.sent[0].data)
    link.client.write(b"x")
    link.run()
    assert received(link.server_events) == [b"x"]


def test_a_flood_of_first_hellos_costs_no_memory() -> None:
    listener = DTLSListener(server_context())
    (data,) = hello()
    for number in range(2000):
        listener.receive_datagram(data, ("192.0.2.9", number), 0.0)
        (answer,) = listener.datagrams_to_send(0.0)
        assert len(answer[0]) < len(data)
    assert listener.connections == ()
    assert listener.accept() is None


def test_a_flood_of_pieces_costs_a_fixed_amount() -> None:
    budget = 20_000
    listener = DTLSListener(server_context(limits=Limits(hello_bytes=budget)))
    first, *_ = hello(groups=["X25519MLKEM768"], dtls={"mtu": 600})
    for number in range(1000):
        listener.receive_datagram(first, ("192.0.2.9", number), 0.0)
        assert listener._greeter.hellos.held <= budget
    assert listener.datagrams_to_send(0.0) == []
    shake(listener, other_client(1), CLIENT)  # short hellos come through


def test_a_long_second_hello_is_known_by_its_first_piece() -> None:
    settings = {"groups": ["X25519MLKEM768", "x25519"], "dtls": {"mtu": 600}}
    link = linked(settings, settings, listener=True).handshake()
    assert link.server.group is NamedGroup.X25519MLKEM768
    link = linked(settings, {**settings, "limits": Limits(hello_bytes=1)}, listener=True).handshake()
    assert link.server.group is NamedGroup.X25519MLKEM768


def test_a_cookie_is_for_its_address() -> None:
    listener, client = DTLSListener(server_context()), other_client(1)
    (first,) = [data for data, _ in client.datagrams_to_send(0.0)]
    listener.receive_datagram(first, CLIENT, 0.0)
    client.receive_datagram(listener.datagrams_to_send(0.0)[0][0], "server", 0.0)
    (second,) = [data for data, _ in client.datagrams_to_send(0.0)]
    assert listener.receive_datagram(second, ("192.0.2.66", 1), 0.0) is None
    ((alert, to),) = listener.datagrams_to_send(0.0)
    assert to == ("192.0.2.66", 1)
    assert alert[0] == 21
    assert alert[13:] == bytes((2, AlertDescription.illegal_parameter))
    assert listener.receive_datagram(second, CLIENT, 0.0) is not None


def test_a_hello_with_which_nothing_can_begin_is_told_so() -> None:
    link = linked({"groups": ["x25519"]}, {"groups": ["secp384r1"]}, listener=True).start().run()
    assert isinstance(link.client.error, PeerAlert)
    assert link.client.error.description is AlertDescription.handshake_failure
    assert link.listener is not None
    assert link.listener.connections == ()


def test_without_cookies_little_is_sent_until_the_address_is_proved() -> None:
    listener = DTLSListener(server_context(dtls={"cookies": False, "mtu": 300}))
    (data,) = hello()
    connection = listener.receive_datagram(data, CLIENT, 0.0)
    assert connection is not None
    sent, now = 0, 0.0
    while (timeout := connection.timeout()) is not None:
        sent += sum(len(each) for each, _ in connection.datagrams_to_send(now))
        now = timeout
        connection.handle_timeout(now)
    assert 0 < sent <= 3 * len(data)
    linked(server={"dtls": {"cookies": False, "mtu": 300}}, listener=True).handshake()


def test_many_clients_at_once() -> None:
    listener = DTLSListener(server_context())
    pairs = []
    for number in range(20):
        client = other_client(number)
        pairs.append((client, shake(listener, client, ("192.0.2.9", number))))
    for number, (client, server) in enumerate(pairs):
        client.write(b"%d" % number)
        for data, _ in client.datagrams_to_send(0.0):
            assert listener.receive_datagram(data, ("192.0.2.9", number), 0.0) is server
        assert received(drain(server)) == [b"%d" % number]
    assert len(listener.connections) == 20
    listener.forget(pairs[0][1])
    assert len(listener.connections) == 19


def test_a_client_that_begins_anew_needs_a_cookie_first() -> None:
    listener = DTLSListener(server_context())
    old = shake(listener, other_client(1), CLIENT)
    again = other_client(2)
    (first,) = [data for data, _ in again.datagrams_to_send(0.0)]
    assert listener.receive_datagram(first, CLIENT, 0.0) is None
    assert old.error is None
    listener.datagrams_to_send(0.0)
    new = shake(listener, other_client(3), CLIENT)
    assert new is not old
    assert isinstance(old.error, UnexpectedEOF)
    assert listener.connections == (new,)


def test_connection_ids_lead_to_connections_from_anywhere_but_answers_stay() -> None:
    listener = DTLSListener(server_context(dtls={"connection_id": 6}))
    client = other_client(1)
    server = shake(listener, client, CLIENT)
    client.write(b"from elsewhere")
    ((data, _),) = client.datagrams_to_send(0.0)
    assert listener.receive_datagram(data, ("203.0.113.5", 9), 0.0) is server
    assert received(drain(server)) == [b"from elsewhere"]
    server.write(b"x")
    assert {to for _, to in server.datagrams_to_send(0.0)} == {CLIENT}


def test_an_address_is_followed_when_the_application_says_so() -> None:
    moved = ("203.0.113.5", 9)
    listener = DTLSListener(server_context(dtls={"connection_id": 6}))
    client = other_client(1)
    server = shake(listener, client, CLIENT)
    late, newer = [client.write(data) or client.datagrams_to_send(0.0)[0][0] for data in (b"late", b"newer")]
    listener.receive_datagram(newer[:-1] + bytes((newer[-1] ^ 1,)), moved, 0.0)  # not authentic
    assert server.heard_from == CLIENT
    listener.receive_datagram(newer, moved, 0.0)
    assert server.heard_from == moved
    for data in (late, newer):  # older, repeated
        listener.receive_datagram(data, ("198.51.100.7", 1), 0.0)
    assert server.heard_from == moved
    listener.follow(server)
    server.write(b"x")
    assert {to for _, to in server.datagrams_to_send(0.0)} == {moved}
    assert listener.connections == (server,)
    other = shake(listener, other_client(2), CLIENT)  # the old address is somebody else's now
    assert set(listener.connections) == {server, other}
    client.write(b"back")
    listener.receive_datagram(client.datagrams_to_send(0.0)[0][0], CLIENT, 0.0)
    with pytest.raises(UsageError, match="another association"):
        listener.follow(server)
    listener.forget(server)
    with pytest.raises(UsageError, match="no such connection"):
        listener.follow(server)


def test_what_takes_no_new_ones_serves_those_it_has() -> None:
    begun: list[tuple[DTLSConnection, DTLSConnection | None]] = []
    listener = DTLSListener(server_context(), on_connection=lambda *each: begun.append(each))
    client = other_client(1)
    server = shake(listener, client, CLIENT)
    assert begun == [(server, None)]
    again = shake(listener, other_client(2), CLIENT)
    assert begun[1:] == [(again, server)]
    listener.accepting = False
    assert listener.receive_datagram(hello()[0], ("a", 1), 0.0) is None
    assert listener.datagrams_to_send(0.0) == []
    assert listener.receive_datagram(b"\x17", CLIENT, 0.0) is again


def test_silence_ends_an_association() -> None:
    for setting, seconds in ((None, 7.0), (3.0, 3.0)):
        listener = DTLSListener(server_context(ticket_count=0, dtls={"idle_timeout": setting}), idle_timeout=7.0)
        server = shake(listener, other_client(1), CLIENT)
        assert server.timeout() == seconds
        server.handle_timeout(seconds)
        assert isinstance(server.error, IdleTimeout)


def test_bounds_on_connections() -> None:
    listener = DTLSListener(server_context(limits=Limits(half_open=2), dtls={"cookies": False}))
    found = [listener.receive_datagram(hello(random=random.Random(n).randbytes)[0], ("a", n), 0.0) for n in range(4)]
    assert [each is not None for each in found] == [True, True, False, False]
    assert found[0] is not None
    found[0].close()
    assert listener.receive_datagram(hello()[0], ("b", 1), 0.0) is not None
    listener = DTLSListener(server_context(limits=Limits(associations=1)))
    shake(listener, other_client(1), ("a", 1))
    with pytest.raises(AssertionError):
        shake(listener, other_client(2), ("a", 2))


def test_a_closed_listener_takes_nothing() -> None:
    listener = DTLSListener(server_context())
    server = shake(listener, other_client(1), CLIENT)
    listener.close()
    assert server.closed
    assert listener.receive_datagram(hello()[0], CLIENT, 0.0) is None


def test_lossy_and_behind_cookies() -> None:
    settings = {"groups": ["X25519MLKEM768", "x25519"], "dtls": {"mtu": 600}}
    for seed in range(100):
        link = linked(settings, settings, Lossy(seed=seed), listener=True).start().run()
        assert link.client.handshake_complete, seed
        assert link.server.handshake_complete, seed
