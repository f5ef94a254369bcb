"""Every bound of DTLS: what reaches it passes, what crosses it is dropped or ends the connection.

`key_updates` and `epoch`: test_key_update.py. `connection_ids`: test_connection_ids.py. `hello_bytes`, `half_open`,
`associations`: test_listener.py. `messages_ahead` and `reassembly_bytes`: test_reassembly.py too.
"""

from __future__ import annotations

import pytest

from caesura.context import Limits
from caesura.dtls import DTLSConnection
from caesura.errors import BadRecordMAC, IdleTimeout, IllegalParameter, UnexpectedMessage
from tests.dtls.tap import ACK, ALERT, DATA, HANDSHAKE
from tests.dtls.test_acks import losing
from tests.dtls.test_forgeries import piece
from tests.dtls.world import client_context, linked, server_context, tapped
from tests.support.datagram_link import CLIENT, ByHand, drain, received


def ready(**limits: int):  # type: ignore[no-untyped-def]
    link, tap = tapped(server={"limits": Limits(**limits), "ticket_count": 0})
    link.handshake()
    link.sent.clear()
    return link, tap


def test_handshake_message() -> None:
    link, tap = ready(handshake_message=2000)
    link.deliver(tap.keys(True, 3).seal(3, 50, HANDSHAKE, piece(2, 24, 2000, 0, b"x")), to_server=True)
    assert link.server.error is None
    link.deliver(tap.keys(True, 3).seal(3, 51, HANDSHAKE, piece(3, 24, 2001, 0, b"x")), to_server=True)
    assert isinstance(link.server.error, IllegalParameter)


def test_messages_ahead_and_reassembly_bytes() -> None:
    link, tap = ready(messages_ahead=3, reassembly_bytes=1000)
    keys = tap.keys(True, 3)
    for sequence, seq in enumerate((4, 5, 6), start=50):
        link.deliver(keys.seal(3, sequence, HANDSHAKE, piece(seq, 24, 9000, 0, bytes(700))), to_server=True)
    link.run()
    (ack,) = [each.acknowledged for each in link.seen(tap) if each.content_type == ACK]
    assert (3, 50) in ack
    assert (3, 51) not in ack
    assert (3, 52) not in ack


def test_early_bytes() -> None:
    link = linked(server={"limits": Limits(early_bytes=1000)})
    link.start().run(lambda: link.client.handshake_complete)
    link._in_flight.clear()
    for number in range(50):
        link.client.write(b"%050d" % number)
    link.run()
    assert link.server.handshake_complete
    assert received(link.server_events) == [b"%050d" % number for number in range(7)]


def test_received_datagrams() -> None:
    link, tap = ready(received_datagrams=3)
    for sequence in range(50, 60):
        link.server.receive_datagram(tap.keys(True, 3).seal(3, sequence, DATA, b"%d" % sequence), None, 0.0)
    assert received(drain(link.server)) == [b"50", b"51", b"52"]
    link.server.receive_datagram(tap.keys(True, 3).seal(3, 70, DATA, b"70"), None, 0.0)
    assert link.server.read() == b"70"


def test_ack_records() -> None:
    settings = {"dtls": {"mtu": 256}, "limits": Limits(ack_records=3)}
    link, tap = tapped(settings, settings, losing(3))
    link.handshake()
    listed = [len(each.acknowledged) for each in link.seen(tap) if each.content_type == ACK]
    assert max(listed) == 3


@pytest.mark.parametrize(("remembered", "arrived"), [(1, False), (2, True)])
def test_sent_records(remembered: int, arrived: bool) -> None:
    settings = {"limits": Limits(sent_records=remembered), "dtls": {"fast_retransmit": False}}
    link, tap = tapped(settings, {"ticket_count": 0})
    link.start().run(lambda: link.client.handshake_complete)
    link._in_flight.clear()
    link.server.close()
    link.client.handle_timeout(link.now + 1)  # the last flight is out twice
    ack = (0).to_bytes(1, "big") + b"\x10" + (2).to_bytes(8, "big") + (0).to_bytes(8, "big")
    link.deliver(tap.keys(False, 3).seal(3, 0, ACK, ack), to_server=False)
    assert (link.client.timeout() is None) is arrived


@pytest.mark.parametrize(("window", "taken"), [(10, False), (11, True)])
def test_replay_window(window: int, taken: bool) -> None:
    link, tap = ready(replay_window=window)
    keys = tap.keys(True, 3)
    link.deliver(keys.seal(3, 60, DATA, b"60"), to_server=True)
    link.deliver(keys.seal(3, 50, DATA, b"50"), to_server=True)
    assert (b"50" in received(link.server_events)) is taken


def test_forged_records_half_way_ask_for_new_keys_and_then_end_it() -> None:
    link, tap = ready(forged_records=10)
    forged = bytearray(tap.keys(True, 3).seal(3, 50, DATA, b"x"))
    forged[-1] ^= 1
    for _ in range(5):
        link.deliver(bytes(forged), to_server=True)
    link.server.datagrams_to_send(link.now)
    assert link.server.error is None
    for _ in range(4):
        link.deliver(bytes(forged), to_server=True)
    assert link.server.error is None
    link.deliver(bytes(forged), to_server=True)
    assert isinstance(link.server.error, BadRecordMAC)


def test_forged_records_under_old_keys_only_cost_those_keys() -> None:
    link, tap = ready(forged_records=6)
    link.client.key_update()
    link.run()
    link.client.write(b"new")
    link.run()
    forged = bytearray(tap.keys(True, 3).seal(3, 50, DATA, b"x"))
    forged[-1] ^= 1
    for _ in range(20):
        link.deliver(bytes(forged), to_server=True)
    assert link.server.error is None
    link.deliver(tap.keys(True, 3).seal(3, 60, DATA, b"old"), to_server=True)
    assert received(link.server_events) == [b"new"]


def test_repeated_alerts() -> None:
    link, tap = ready(repeated_alerts=2)
    bad = tap.keys(True, 3).seal(3, 50, HANDSHAKE, b"x")
    for _ in range(6):
        link.deliver(bad, to_server=True)
    alerts = [each for each in link.sent if not each.by_client]
    assert len(alerts) == 3
    assert len({each.data for each in alerts}) == 1


def test_warning_alerts() -> None:
    link, tap = ready(warning_alerts=2)
    for sequence in range(50, 53):
        assert link.server.error is None
        link.deliver(tap.keys(True, 3).seal(3, sequence, ALERT, bytes((1, 90))), to_server=True)
    assert isinstance(link.server.error, UnexpectedMessage)


def test_idle_timeout() -> None:
    link, _ = tapped(server={"dtls": {"idle_timeout": 30.0}, "ticket_count": 0})
    link.start().run(lambda: link.server.handshake_complete)
    link.wait(20)
    link.client.write(b"x")
    link.wait(29)
    assert link.server.error is None
    link.wait(2)
    assert isinstance(link.server.error, IdleTimeout)
    assert [each for each in link.sent if not each.by_client][-1].at < 1


def test_idle_timeout_of_a_handshake_whose_peer_falls_silent_within_its_flight() -> None:
    """There is nothing to be sent again: the flight before was answered (RFC 9147 section 7.1)."""
    silent = ByHand(acts={number: lambda _: [] for number in range(2, 99)})
    link = linked({"dtls": {"idle_timeout": 5.0}}, {"dtls": {"mtu": 300}}, network=silent).start()
    link.wait(4.9)
    assert link.client.error is None
    link.wait(0.2)
    assert isinstance(link.client.error, IdleTimeout)
    assert len([each for each in link.sent if each.by_client]) == 2  # its hello, and an ACK


def test_amplification_is_by_what_came_from_there() -> None:
    """A client that is not where its hello says it is cannot make up for that by what it sends from elsewhere."""
    client = DTLSConnection(client_context(), server_side=False, server_hostname="localhost")
    client.advance(0.0)
    ((hello, _),) = client.datagrams_to_send(0.0)
    server = DTLSConnection(
        server_context(dtls={"cookies": False, "mtu": 300}), server_side=True, address_validated=False
    )
    server.receive_datagram(hello, CLIENT, 0.0)
    said, now = 0, 0.0
    while server.error is None:
        server.receive_datagram(bytes(1000), ("203.0.113.9", 9), now)
        said += sum(len(data) for data, _ in server.datagrams_to_send(now))
        now = server.timeout() or now
        server.handle_timeout(now)
    assert 0 < said <= 3 * len(hello)
