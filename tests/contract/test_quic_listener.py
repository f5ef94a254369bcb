"""Contract F43: a QUIC listener and its connections (SSL_new_listener(3)), on virtual time and a made-up network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from caesura import Context, Listener, Method
from caesura import openssl as o
from caesura.errors import StatelessReset, UsageError, WantRead
from caesura.sslobject.quic import QUICSSL
from tests.support.quic_ssl import SERVER, Net, calling, drive, listening
from tests.support.ssl_pair import StoppedClock


def begin(client: QUICSSL) -> None:
    """Send a client's first packets."""
    with pytest.raises(WantRead):
        client.do_handshake()


def test_F43_listening_is_idempotent_and_implied() -> None:
    listener, _, _ = listening(begin=False)
    assert (o.SSL_is_listener(listener), o.SSL_is_connection(listener)) == (1, 0)
    assert o.SSL_get0_listener(listener) is listener
    assert o.SSL_get0_connection(listener) is None
    assert o.SSL_listen(listener) == o.SSL_listen(listener) == 1
    with pytest.raises(UsageError, match="listens"):
        listener.set_bio(None)
    other, net, clock = listening(begin=False)
    assert o.SSL_accept_connection(other, 0) is None
    assert o.SSL_accept_connection(other, o.SSL_ACCEPT_CONNECTION_NO_BLOCK) is None
    client = calling(net, clock)
    begin(client)
    assert o.SSL_listen(client) == 0  # not on a connection
    assert o.SSL_accept_connection(client, 0) is None


def test_F43_by_the_pages_names() -> None:
    net, clock = Net(), StoppedClock()
    made, _, _ = listening(net, clock=clock, begin=False)
    listener = o.SSL_new_listener(made.context, o.SSL_LISTENER_FLAG_NO_VALIDATE)
    assert listener is not None
    bio: Any = net.end(SERVER)
    o.SSL_set_bio(listener, bio, bio)
    assert o.SSL_handle_events(listener) == o.SSL_listen(listener) == 1
    assert o.SSL_get_rbio(listener) is o.SSL_get_wbio(listener) is bio
    client = calling(net, clock)
    begin(client)
    o.SSL_handle_events(listener)
    assert o.SSL_get_accept_connection_queue_len(listener) == 1
    server = o.SSL_accept_connection(listener, 0)
    assert isinstance(server, QUICSSL)
    assert o.SSL_get_accept_connection_queue_len(listener) == 0
    assert o.SSL_is_server(server) == o.SSL_is_server(listener) == 1
    assert o.SSL_get0_listener(server) is listener
    drive(clock, client.do_handshake, server.do_handshake)
    assert o.SSL_write(client, b"hello") == 5
    assert o.SSL_read(server, 10) == (5, b"hello")


def test_F43_a_connection_may_be_accepted_while_its_handshake_goes_on() -> None:
    listener, net, clock = listening(validate=False)
    client = calling(net, clock)
    begin(client)
    server = listener.accept_connection()
    assert server is not None
    assert not server.handshake_complete
    drive(clock, client.do_handshake, server.do_handshake)


@pytest.mark.parametrize("validate", [True, False])
def test_F43_address_validation_is_on_unless_a_flag_turns_it_off(validate: bool) -> None:
    listener, net, clock = listening(validate=validate)
    client = calling(net, clock)
    begin(client)
    assert (listener.accept_connection() is None) is validate
    answers = [data for source, _, data in net.sent if source == SERVER]
    assert (len(answers) == 1 and answers[0][0] & 0xF0 == 0xF0) is validate  # a Retry, and nothing else
    if validate:
        begin(client)  # with the token
        assert listener.accept_connection() is not None


def test_F43_the_pending_limit() -> None:
    listener, net, clock = listening(validate=False)
    assert listener.max_pending == 256
    listener.max_pending = 2
    clients = [calling(net, clock, 5000 + number) for number in range(3)]
    for client in clients:
        begin(client)
    listener.handle_events()
    assert listener.accept_connection_queue_len == 2
    assert {target for _, target, _ in net.sent if target != SERVER} == {("192.0.2.2", 5000), ("192.0.2.2", 5001)}
    assert listener.accept_connection() is not None
    clock.now += 2
    clients[2].handle_events()  # it tries again
    listener.handle_events()
    assert listener.accept_connection_queue_len == 2
    listener.max_pending = 0  # no limit
    for number in range(3):
        begin(calling(net, clock, 6000 + number))
    listener.handle_events()
    assert listener.accept_connection_queue_len == 5


def test_F43_the_limit_is_a_setting() -> None:
    limits = replace(Context(Method.QUIC).limits, pending_connections=1)
    listener, net, clock = listening(validate=False, limits=limits)
    for number in range(2):
        begin(calling(net, clock, 5000 + number))
    listener.handle_events()
    assert listener.accept_connection_queue_len == 1


def test_F43_who_has_given_up_is_not_accepted() -> None:
    listener, net, clock = listening(validate=False)
    listener.max_pending = 2
    gone, there = calling(net, clock, 5000), calling(net, clock, 5001)
    begin(gone)
    drive(clock, there.do_handshake, meanwhile=listener.handle_events)
    assert listener.accept_connection_queue_len == 2
    there.write(b"read me all the same")
    net.end(("192.0.2.2", 5000)).arrived.clear()  # it gives up before it has heard anything
    for client in (gone, there):
        client.shutdown(rapid=True)
    listener.handle_events()
    assert listener.accept_connection_queue_len == 1
    begin(calling(net, clock, 5002))  # there is room for it
    server = listener.accept_connection()
    assert server is not None
    assert server.read() == b"read me all the same"
    assert listener.accept_connection() is not None
    assert listener.accept_connection() is None


def test_F43_many_connections_each_with_its_own_streams() -> None:
    listener, net, clock = listening()
    clients = [calling(net, clock, 5000 + number) for number in range(20)]
    drive(clock, *[each.do_handshake for each in clients], meanwhile=listener.handle_events)
    servers = []
    while (server := listener.accept_connection()) is not None:
        servers.append(server)
    assert len(servers) == 20
    for number, client in enumerate(clients):
        client.write(b"I am %d" % number)
    said = sorted(drive(clock, *[server.read for server in servers]))
    assert said == sorted(b"I am %d" % number for number in range(20))
    for client in clients[:10]:
        client.shutdown(rapid=True)
    clock.now += 1
    listener.handle_events()
    clock.now += 10
    listener.handle_events()
    assert listener.domain is not None
    assert len(listener.domain._connections) == 10  # nothing is kept of those that are over


def test_F43_blocking_and_events_are_inherited() -> None:
    listener, net, clock = listening(validate=False)
    assert o.SSL_set_event_handling_mode(listener, o.SSL_VALUE_EVENT_HANDLING_MODE_EXPLICIT) == 1
    client = calling(net, clock)
    begin(client)
    assert listener.accept_connection() is None  # it does not look
    listener.handle_events()
    server = listener.accept_connection()
    assert server is not None
    before = len(net.sent)
    with pytest.raises(WantRead):
        server.do_handshake()
    assert len(net.sent) == before
    assert server.blocking is listener.blocking is False


def test_F43_what_a_listener_cannot_do() -> None:
    listener, _, _ = listening()
    for call in (o.SSL_new_stream, o.SSL_accept_stream):
        assert call(listener, 0) is None
    assert o.SSL_stream_conclude(listener, 0) == 0
    assert o.SSL_shutdown_ex(listener, 0) == -1
    assert o.SSL_get_stream_id(listener) == 2**64 - 1


def test_closing_a_listener_leaves_the_connections_that_were_accepted() -> None:
    listener, net, clock = listening(validate=False)
    one, two = calling(net, clock, 5000), calling(net, clock, 5001)
    drive(clock, one.do_handshake, two.do_handshake, meanwhile=listener.handle_events)
    server = listener.accept_connection()
    assert server is not None
    assert listener.accept_connection_queue_len == 1
    o.SSL_free(listener)
    o.SSL_free(listener)
    with pytest.raises(UsageError, match="closed"):
        listener.accept_connection()
    begin(calling(net, clock, 5002))
    one.write(b"hello")
    assert server.read() == b"hello"
    assert listener.accept_connection_queue_len == 0
    assert server.domain is not None
    assert len(server.domain._connections) == 1


def test_a_connection_that_was_freed_is_answered_by_a_reset() -> None:
    listener, net, clock = listening()
    client = calling(net, clock)
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    for _ in range(3):
        listener.handle_events()
        client.handle_events()
    server = listener.accept_connection()
    assert server is not None
    o.SSL_free(server)
    client.write(bytes(100))
    listener.handle_events()
    with pytest.raises(StatelessReset):
        client.read()


def test_what_comes_from_anybody_does_no_harm() -> None:
    listener, net, clock = listening()
    end: Any = net.end(SERVER)
    for noise in (b"", b"\x00", bytes(1200), b"\xc0" * 1200, b"\x40" * 30, b"\xc0\0\0\0\1\x08" + bytes(1300)):
        end.arrived.append((noise, ("192.0.2.66", 666)))
        listener.handle_events()
    client = calling(net, clock)
    drive(clock, client.do_handshake, meanwhile=listener.handle_events)
    assert isinstance(listener, Listener)
