"""What is acknowledged, when, and what an ACK does (RFC 9147 section 7)."""

from __future__ import annotations

import pytest

from caesura.context import Limits, TraceEvent
from caesura.errors import AlertDescription, DecodeError, IllegalParameter
from caesura.wire.dtls import RecordNumber, encode_ack
from tests.dtls.tap import ACK, ALERT, HANDSHAKE, Seen, Tap
from tests.dtls.world import linked, tapped
from tests.support.datagram_link import ByHand, DatagramLink


def losing(*numbers: int) -> ByHand:
    """A network that loses the datagrams with these numbers."""
    return ByHand(acts={number: lambda _: [] for number in numbers})


def acks(seen: list[Seen]) -> list[list[RecordNumber]]:
    return [each.acknowledged for each in seen if each.content_type == ACK]


def small(network: ByHand, mtu: int = 300, **server: object) -> tuple[DatagramLink, Tap]:
    settings = {"dtls": {"mtu": mtu}}
    return tapped(settings, {**settings, **server}, network)


# --- sending ----------------------------------------------------------------------------------------------------


def test_a_handshake_without_loss_needs_one_ack_each() -> None:
    link, tap = tapped()
    link.handshake()
    assert [str(each) for each in link.seen(tap) if each.content_type == ACK] == [
        "0.030 S 3/0 ACK [(2, 0)]",  # the client's last flight, at once
        "0.290 C 3/0 ACK [(3, 1)]",  # the tickets, after a quarter of the timer
    ]


def test_a_flight_in_part_is_acknowledged_after_a_quarter_of_the_timer() -> None:
    link, tap = small(losing(3), ticket_count=0)  # the middle of the server's flight
    link.handshake()
    first = next(each for each in link.seen(tap, by_client=True) if each.content_type == ACK)
    assert first.at == pytest.approx(0.02 + 0.25)
    assert first.epoch == 2
    assert first.acknowledged == [(0, 0), (2, 0), (2, 1), (2, 3), (2, 4)]


@pytest.mark.parametrize(("delay", "at"), [(0.1, 0.12), (0.5, 0.52)])
def test_the_delay_is_a_setting(delay: float, at: float) -> None:
    settings = {"dtls": {"mtu": 300, "ack_delay": delay}}
    link, tap = tapped(settings, settings, losing(3))
    link.start().wait(0.6)
    assert next(each for each in link.seen(tap) if each.content_type == ACK).at == pytest.approx(at)


def test_what_an_ack_shows_to_be_missing_is_sent_at_once() -> None:
    link, tap = small(losing(3), ticket_count=0)
    link.handshake()
    again = [each for each in link.seen(tap, by_client=False) if each.content_type == HANDSHAKE][6:]
    assert [(f.message_seq, f.offset, f.stop) for each in again for f in each.fragments] == [(2, 403, 669)]
    assert again[0].at == pytest.approx(0.28)
    assert link.now < 0.5


def test_or_only_when_the_timer_expires() -> None:
    settings = {"dtls": {"mtu": 300, "fast_retransmit": False}}
    link, tap = tapped(settings, settings, losing(3))
    link.handshake()
    again = [each for each in link.seen(tap, by_client=False) if each.epoch == 2][5:]
    assert [(f.message_seq, f.offset, f.stop) for each in again for f in each.fragments] == [(2, 403, 669)]
    assert again[0].at == pytest.approx(1.01)


def test_the_last_flight_is_acknowledged_in_the_newest_epoch() -> None:
    link, tap = tapped(server={"ticket_count": 0})
    link.handshake()
    assert [(each.epoch, each.acknowledged) for each in link.seen(tap) if each.content_type == ACK] == [(3, [(2, 0)])]


def test_tickets_are_acknowledged_once_for_all_that_came() -> None:
    settings = {"dtls": {"mtu": 256}}
    link, tap = tapped(settings, {**settings, "ticket_count": 4})
    link.handshake()
    assert acks(link.seen(tap, by_client=True)) == [[(3, 1), (3, 2), (3, 3), (3, 4)]]


def test_a_ticket_that_comes_again_is_acknowledged_again() -> None:
    link, tap = tapped(server={"ticket_count": 1}, network=losing(5))  # the client's ACK
    link.handshake()
    assert acks(link.seen(tap, by_client=True)) == [[(3, 1)], [(3, 1), (3, 2)]]


def test_no_record_is_acknowledged_of_which_something_was_dropped() -> None:
    """Four messages in it, and room for two: the record counts as lost, and comes again."""
    link, tap = tapped({"limits": Limits(messages_ahead=2)}, {"ticket_count": 0})
    link.handshake()
    assert link.now > 1.0
    assert all((2, 0) not in each for each in acks(link.seen(tap, by_client=True)))


def test_nobody_acknowledges_before_the_version_is_known() -> None:
    """RFC 9147 section 7: the server's hello in part says nothing of the version yet."""
    link, tap = tapped(
        {"groups": ["X25519MLKEM768"]},
        {"groups": ["X25519MLKEM768"], "dtls": {"mtu": 600}},
        losing(2),  # the second half of the ServerHello
    )
    link.start().wait(0.9)
    assert acks(link.seen(tap, by_client=True)) == []
    assert link.client.timeout() == pytest.approx(1.0)


# --- receiving --------------------------------------------------------------------------------------------------


def between(**settings: object) -> tuple[DatagramLink, Tap]:
    """A server whose flight has come to nobody, and a tap to speak in the client's name."""
    link, tap = tapped({"dtls": {"mtu": 300}}, {"dtls": {"mtu": 300, **settings}}, losing(*range(1, 100)))
    link.start().wait(0.02)
    link.client.close()
    return link, tap


def say(link: DatagramLink, tap: Tap, *numbers: RecordNumber, epoch: int = 2, sequence: int = 0) -> None:
    """An ACK in the client's name."""
    link.sent.clear()
    if epoch:
        link.deliver(tap.keys(True, epoch).seal(epoch, sequence, ACK, encode_ack(numbers)), to_server=True)
    else:
        link.deliver(plain(ACK, encode_ack(numbers), sequence), to_server=True)


def plain(content_type: int, content: bytes, sequence: int = 9) -> bytes:
    header = bytes((content_type,)) + b"\xfe\xfd\0\0" + sequence.to_bytes(6, "big")
    return header + len(content).to_bytes(2, "big") + content


FLIGHT = [(0, 0), *((2, sequence) for sequence in range(5))]


def test_all_of_a_flight_acknowledged_stops_its_timer() -> None:
    link, tap = between()
    say(link, tap, *FLIGHT)
    assert link.server.timeout() is None
    assert link.sent == []
    link.wait(1000)
    assert link.sent == []
    assert link.server.error is None


def test_old_numbers_count_after_a_retransmission() -> None:
    link, tap = between(fast_retransmit=False)
    say(link, tap, *FLIGHT[:3])
    link.wait(1.0)
    assert len(link.sent) == 3
    say(link, tap, *FLIGHT[3:], sequence=1)
    assert link.server.timeout() is None


def test_numbers_of_nothing_we_sent_mean_nothing() -> None:
    link, tap = between()
    before = link.server.timeout()
    say(link, tap, (0, 5), (1, 0), (2, 99), (2, 2**64 - 1))
    assert link.server.timeout() == before
    assert link.sent == []


def test_an_empty_ack_brings_one_retransmission_and_no_more() -> None:
    link, tap = between()
    say(link, tap)
    assert len(link.sent) == 5
    for sequence in range(1, 10):
        say(link, tap, sequence=sequence)
        assert link.sent == []
    link.wait(1.0)
    say(link, tap, sequence=20)
    assert len(link.sent) == 5


def test_acks_in_the_clear_are_for_what_was_in_the_clear() -> None:
    link, tap = between(fast_retransmit=False)
    say(link, tap, (0, 0), epoch=0)
    link.wait(1.0)
    assert {each.epoch for each in link.seen(tap)} == {2}


def test_an_ack_of_a_later_epoch_in_the_clear_is_dropped() -> None:
    """RFC 9147 section 7.2 would have the connection end; but anybody can have sent it."""
    link, tap = between()
    say(link, tap, *FLIGHT, epoch=0)
    assert link.server.error is None
    assert link.server.timeout() is not None
    link, tap = between(forgery_resistant=True)
    say(link, tap, *FLIGHT, epoch=0)
    assert isinstance(link.server.error, IllegalParameter)


def test_an_ack_of_a_later_epoch_ends_the_connection() -> None:
    link, tap = between()
    say(link, tap, (3, 0))
    assert isinstance(link.server.error, IllegalParameter)
    assert [each.content for each in link.seen(tap) if each.content_type == ALERT] == [
        bytes((2, AlertDescription.illegal_parameter))
    ] * 2  # in both epochs for which the client may have keys


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x00\x08" + bytes(8), b"\x00\x00\x00"])
def test_an_ack_that_is_none(content: bytes) -> None:
    link, tap = between()
    link.deliver(plain(ACK, content), to_server=True)
    assert link.server.error is None
    link.deliver(tap.keys(True, 2).seal(2, 0, ACK, content), to_server=True)
    assert isinstance(link.server.error, DecodeError)


def test_acks_before_the_version_is_known_are_ignored() -> None:
    link, _ = tapped(network=losing(*range(100)))
    link.start()
    link.deliver(plain(ACK, encode_ack([(0, 0)])), to_server=False)
    link.deliver(plain(ACK, b"nonsense"), to_server=False)
    assert link.client.error is None
    assert link.client.timeout() == 1.0


def test_acks_in_the_clear_are_ignored_after_the_handshake() -> None:
    link, _ = tapped(network=losing(4, 5, 6, 7))
    link.start().run(lambda: link.server.handshake_complete)
    link.deliver(plain(ACK, encode_ack([(3, 0), (3, 1)])), to_server=True)
    assert link.server.error is None
    assert link.server.timeout() is not None


def test_a_flight_that_the_peer_asks_for_again_is_sent_again() -> None:
    """RFC 9147 section 5.8.1, point 3: the client repeats its hello, so our answer may be lost."""
    link, _ = between()
    (hello,) = [each.data for each in link.sent if each.by_client]
    link.sent.clear()
    link.deliver(hello, to_server=True)
    assert link.sent == []  # ours may still be on its way
    link.wait(0.3)
    link.sent.clear()
    link.deliver(hello, to_server=True)
    assert len(link.sent) == 5
    link.sent.clear()
    link.deliver(hello, to_server=True)
    assert link.sent == []


def test_and_whole_whatever_was_acknowledged_in_the_clear() -> None:
    """Else anybody could take the ServerHello from a client by acknowledging it."""
    link, tap = between(fast_retransmit=False)
    (hello,) = [each.data for each in link.sent if each.by_client]
    say(link, tap, (0, 0), epoch=0)
    link.wait(0.3)
    link.sent.clear()
    link.deliver(hello, to_server=True)
    assert {each.epoch for each in link.seen(tap)} == {0, 2}


def test_early_records_after_a_retry_bring_an_empty_ack() -> None:
    """RFC 9147 section 7.1: they cannot be opened, but that they came can be said."""
    link, tap = tapped(
        {"groups": ["x25519", "secp256r1"]},
        {"groups": ["secp256r1"], "dtls": {"mtu": 300}},
        losing(3),  # the ServerHello and what is with it
    )
    link.start().wait(0.4)
    first = next(each for each in link.seen(tap, by_client=True) if each.content_type == ACK)
    assert (first.epoch, first.acknowledged) == (0, [])
    assert first.at == pytest.approx(0.04 + 0.25)
    link.run()
    assert link.client.handshake_complete
    assert link.now < 1.0


def test_a_server_acknowledges_before_it_gives_tickets() -> None:
    """What is traced has the order of what is sent."""
    events: list[TraceEvent] = []
    linked({}, {"trace": events.append}).handshake()
    told = [event.name for event in events if event.kind == "sent"]
    assert told[-3:] == ["ack", "new_session_ticket", "new_session_ticket"]
