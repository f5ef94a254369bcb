"""Contract F43: a QUIC listener and its connections (SSL_new_listener(3)), on virtual time and a made-up network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from caesura import Context, Listener, Method
from caesura import openssl as o
from caesura.errors import ConfigError, StatelessReset, UsageError, WantRead
from caesura.sslobject.quic import QUICSSL
from tests.support.quic_ssl import SERVER, Net, calling, drive, listening, settings
from tests.support.ssl_pair import StoppedClock, client_context, server_context, trust, wants


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


# --- connections of ours over the same BIOs -------------------------------------------------------------------------


def begun(listener: Listener, address: object, **options: Any) -> QUICSSL:
    """A client's connection over a listener's BIOs, its hello sent."""
    found = listener.new_connection(server_hostname="localhost", **options)
    assert o.SSL_set1_initial_peer_addr(found, address) == 1
    begin(found)
    return found


def test_several_connections_of_ours_share_the_bios_of_a_listener_that_accepts_nobody() -> None:
    listener, net, clock = listening()
    mine = ("192.0.2.9", 5000)
    bio: Any = net.end(mine)
    caller = o.SSL_new_listener(client_context(**settings(clock)), o.SSL_LISTENER_FLAG_NO_ACCEPT)
    assert caller is not None
    o.SSL_set_bio(caller, bio, bio)
    nowhere = o.SSL_new_from_listener(caller, 0)
    assert o.SSL_get0_listener(nowhere) is caller
    assert wants(nowhere, o.SSL_do_handshake(nowhere)) == o.SSL_ERROR_SSL
    assert "no peer address" in str(o.SSL_get_last_error(nowhere))
    assert o.SSL_new_from_listener(caller, 1) is None
    assert o.SSL_new_from_listener(nowhere, 0) is None
    clients = [begun(caller, SERVER) for _ in range(3)]
    drive(clock, *[each.do_handshake for each in clients], meanwhile=listener.handle_events)
    for number, client in enumerate(clients):
        client.write(b"call %d" % number)
    servers = [listener.accept_connection() for _ in range(3)]
    assert sorted(server.read() for server in servers if server is not None) == [b"call 0", b"call 1", b"call 2"]
    assert {server.peer_address for server in servers if isinstance(server, QUICSSL)} == {mine}
    stranger = calling(net, clock)
    stranger.initial_peer_address = mine
    begin(stranger)
    o.SSL_handle_events(caller)
    assert not net.end(("192.0.2.2", 5000)).arrived
    assert o.SSL_accept_connection(caller, 0) is None
    for server in servers[:2]:
        o.SSL_free(server)
    for client in clients:
        client.write(bytes(100))
    listener.handle_events()
    caller.handle_events()
    assert [isinstance(client.connection.error, StatelessReset) for client in clients].count(True) == 2
    for client in clients:
        client.close()
    assert caller.domain is not None
    assert caller.domain._callers == {}
    assert not caller.net_read_desired


def test_two_listeners_that_call_each_other() -> None:
    net, clock = Net(), StoppedClock()
    addresses = (SERVER, ("192.0.2.9", 443))
    both = []
    for address in addresses:
        bio: Any = net.end(address)
        both.append(Listener(server_context(**settings(clock, trust=trust())), bio))
        both[-1].listen()
    calls = [begun(both[number], addresses[1 - number], context=both[number].context) for number in range(2)]

    def go_on() -> None:
        for listener in both:
            listener.handle_events()

    drive(clock, *[each.do_handshake for each in calls], meanwhile=go_on)
    for number, call in enumerate(calls):
        call.write(b"from %d" % number)
    go_on()
    for number, listener in enumerate(both):
        server = listener.accept_connection()
        assert server is not None
        assert server.read() == b"from %d" % (1 - number)
        server.write(b"answer")
        assert listener.accept_connection() is None
    go_on()
    assert [call.read() for call in calls] == [b"answer", b"answer"]


def test_ids_have_to_tell_connections_apart() -> None:
    listener, _, clock = listening()
    for length in (0, 5):
        with pytest.raises(ConfigError, match="connection_id_length"):
            listener.new_connection(context=client_context(**settings(clock, quic={"connection_id_length": length})))
    listener.close()
    late = listener.new_connection(context=client_context(**settings(clock)), server_hostname="localhost")
    late.initial_peer_address = SERVER
    with pytest.raises(UsageError, match="closed"):
        late.do_handshake()


def test_ids_that_two_of_ours_happen_to_share() -> None:
    net, clock = Net(), StoppedClock()
    same = client_context(**settings(clock, random=lambda size: bytes([7]) * size))
    bio: Any = net.end(("192.0.2.9", 5000))
    caller = Listener(same, bio, accept=False)
    one, two = begun(caller, SERVER), begun(caller, SERVER)
    assert caller.domain is not None
    assert set(caller.domain._callers.values()) == {two}
    one.close()
    assert set(caller.domain._callers.values()) == {two}
    two.close()
    assert caller.domain._callers == {}
