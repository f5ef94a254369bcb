"""KeyUpdate: acknowledged before the keys change, in both directions (RFC 9147 section 8)."""

from __future__ import annotations

import pytest

from caesura.context import Limits
from caesura.errors import UnexpectedMessage, UsageError
from caesura.wire.messages import KeyUpdate
from caesura.wire.registries import HandshakeType, KeyUpdateRequest
from tests.dtls.tap import DATA, HANDSHAKE, Tap
from tests.dtls.test_forgeries import piece
from tests.dtls.world import connected, tapped
from tests.support.datagram_link import DatagramLink, Network, received

KEY_UPDATE = int(HandshakeType.key_update)


def ready(**settings: object) -> tuple[DatagramLink, Tap]:
    link, tap = tapped({"limits": Limits(), **settings}, {"ticket_count": 0, **settings})
    link.handshake()
    link.sent.clear()
    return link, tap


def test_data_stays_in_the_old_epoch_until_the_ack() -> None:
    link, tap = ready()
    link.client.key_update()
    link.wait(0.1)
    link.client.write(b"before")
    link.wait(0.1)
    link.run()
    link.client.write(b"after")
    link.run()
    data = [(each.epoch, each.content) for each in link.seen(tap, by_client=True) if each.content_type == DATA]
    assert data == [(3, b"before"), (4, b"after")]
    assert received(link.server_events) == [b"before", b"after"]


def test_many_wishes_are_one_update() -> None:
    link, tap = ready()
    for _ in range(10):
        link.client.key_update()
    link.wait(0.05)
    for _ in range(10):
        link.client.key_update()
    link.run()
    assert [each.messages_or_none for each in link.seen(tap, by_client=True)] == [["key_update"]]


def test_a_request_is_answered() -> None:
    link, tap = ready()
    link.client.key_update(request_peer=True)
    link.run()
    assert [each.messages for each in link.seen(tap) if each.content_type == HANDSHAKE] == [["key_update"]] * 2
    for side in (link.client, link.server):
        side.write(b"x")
    link.run()
    assert [each.epoch for each in link.seen(tap) if each.content_type == DATA] == [4, 4]


def test_a_hundred_of_them() -> None:
    link, _ = ready()
    for number in range(100):
        link.client.key_update(request_peer=True)
        link.run()
        link.client.write(b"%d" % number)
        link.server.write(b"%d" % number)
        link.run()
    assert received(link.server_events) == received(link.client_events) == [b"%d" % number for number in range(100)]


def test_an_ack_that_is_lost_keeps_the_old_keys_in_use() -> None:
    class Deaf(Network):
        deaf = True

        def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
            return [] if self.deaf and not to_server else super().carry(number, to_server, datagram)

    link, tap = ready()
    link.network = network = Deaf()
    link.client.key_update()
    link.wait(2.5)
    link.client.write(b"old keys")
    network.deaf = False
    link.run()
    link.client.write(b"new keys")
    link.run()
    assert received(link.server_events) == [b"old keys", b"new keys"]
    seen = link.seen(tap, by_client=True)
    assert [each.epoch for each in seen if each.content_type == DATA] == [3, 4]


def say(link: DatagramLink, tap: Tap, sequence: int, *fragments: bytes, epoch: int = 3) -> None:
    record = tap.keys(True, epoch).seal(epoch, sequence, HANDSHAKE, b"".join(fragments))
    link.deliver(record, to_server=True)


def update(seq: int, request: KeyUpdateRequest = KeyUpdateRequest.update_not_requested) -> bytes:
    return piece(seq, KEY_UPDATE, 1, 0, KeyUpdate(request).encode()[4:])


def test_nothing_may_follow_in_its_epoch() -> None:
    link, tap = ready()
    say(link, tap, 50, update(2), update(3))
    assert isinstance(link.server.error, UnexpectedMessage)
    link, tap = ready()
    say(link, tap, 50, update(3))
    assert link.server.error is None
    say(link, tap, 51, update(2))
    assert isinstance(link.server.error, UnexpectedMessage)


def test_a_repeated_one_is_no_second_one() -> None:
    link, tap = ready()
    for sequence in range(50, 55):
        say(link, tap, sequence, update(2))
    assert link.server.error is None
    link.deliver(tap.keys(True, 4).seal(4, 0, DATA, b"new"), to_server=True)
    link.deliver(tap.keys(True, 3).seal(3, 60, DATA, b"old"), to_server=True)
    assert received(link.server_events) == [b"new", b"old"]


def test_a_new_epoch_is_not_read_before_its_update() -> None:
    link, tap = ready()
    link.deliver(tap.keys(True, 4).seal(4, 0, DATA, b"too early"), to_server=True)
    say(link, tap, 50, update(2))
    link.run()
    assert received(link.server_events) == []


@pytest.mark.parametrize("bound", [1, 3])
def test_too_many_without_data(bound: int) -> None:
    link, tap = ready(limits=Limits(key_updates=bound))
    for number in range(bound + 1):
        assert link.server.error is None
        say(link, tap, 0 if number else 50, update(2 + number), epoch=3 + number)
    assert isinstance(link.server.error, UnexpectedMessage)


def test_the_last_epoch() -> None:
    link, tap = ready(limits=Limits(epoch=4))
    say(link, tap, 50, update(2, KeyUpdateRequest.update_requested))
    link.deliver(tap.keys(True, 4).seal(4, 0, DATA, b"x"), to_server=True)
    assert link.server.error is None
    say(link, tap, 1, update(3), epoch=4)
    assert isinstance(link.server.error, UnexpectedMessage)
    link = connected({"limits": Limits(epoch=3)})
    with pytest.raises(UsageError, match="epoch"):
        link.client.key_update()


@pytest.mark.parametrize("how", ["refused", "failed", "closed"])
def test_none_is_sent_by_a_connection_that_is_over(how: str) -> None:
    """It was wanted, by us or by a peer that then broke a rule, and there are no keys any more to send it with."""
    link, tap = ready()
    link.server.key_update()
    if how == "refused":
        link.server.abort(UnexpectedMessage("enough"))
    elif how == "failed":
        wrong = tap.keys(True, 3).seal(3, 50, HANDSHAKE, b"nothing of that kind")
        link.server.receive_datagram(wrong, link.server.addr, link.now)
        assert link.server.error is not None
    else:
        link.server.close()
    assert len(link.server.datagrams_to_send(link.now)) == (how != "closed")  # the alert
    assert link.server.datagrams_to_send(link.now) == []


def test_it_comes_by_itself_before_a_key_is_worn(monkeypatch: pytest.MonkeyPatch) -> None:
    link, tap = ready()
    link.client._writer.application.worn = 70  # type: ignore[union-attr]
    for _ in range(75):
        link.client.write(b"x")
    link.run()
    link.client.write(b"y")
    link.run()
    assert [each.epoch for each in link.seen(tap, by_client=True) if each.content == b"y"] == [4]
