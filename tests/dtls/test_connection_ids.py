"""Connection ids (RFC 9146, RFC 9147 section 9)."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.context import Limits
from caesura.errors import TooManyCIDsRequested, UnexpectedMessage, UsageError
from caesura.wire.dtls import NewConnectionId, RequestConnectionId
from caesura.wire.messages import HandshakeMessage
from caesura.wire.registries import ConnectionIdUsage
from tests.dtls.tap import DATA, HANDSHAKE, Tap
from tests.dtls.test_forgeries import piece
from tests.dtls.world import tapped
from tests.support.datagram_link import DatagramLink, received


def linked(client: int | None, server: int | None, **options: Any) -> tuple[DatagramLink, Tap]:
    link, tap = tapped(
        {"dtls": {"connection_id": client}}, {"dtls": {"connection_id": server}, "ticket_count": 0}, **options
    )
    link.handshake()
    tap.id_length = {True: len(link.server.peer_connection_id), False: len(link.client.peer_connection_id)}
    return link, tap


def talk(link: DatagramLink) -> None:
    link.client.write(b"ping")
    link.server.write(b"pong")
    link.run()
    assert received(link.server_events)[-1] == b"ping"
    assert received(link.client_events)[-1] == b"pong"


@pytest.mark.parametrize("client", [None, 0, 1, 8])
@pytest.mark.parametrize("server", [None, 0, 1, 8])
def test_each_side_receives_what_it_wants(client: int | None, server: int | None) -> None:
    link, _ = linked(client, server)
    agreed = client is not None and server is not None
    assert len(link.server.peer_connection_id) == (client or 0 if agreed else 0)
    assert len(link.client.peer_connection_id) == (server or 0 if agreed else 0)
    assert link.client.connection_ids == ((link.server.peer_connection_id,) if agreed and client else ())
    talk(link)


def test_every_protected_record_has_it() -> None:
    link, _ = linked(4, 7)
    talk(link)
    for each in link.sent:
        if each.data[0] & 0xE0 == 0x20:
            theirs = (link.client if each.by_client else link.server).peer_connection_id
            assert each.data[0] & 0x10
            assert each.data[1 : 1 + len(theirs)] == theirs


def test_records_without_it_or_with_another_are_dropped() -> None:
    link, tap = linked(4, 7)
    keys = tap.keys(True, 3)
    right = link.client.peer_connection_id
    for sequence, wrong in enumerate((b"", b"another", right[:-1] + bytes((right[-1] ^ 1,))), start=50):
        link.deliver(keys.seal(3, sequence, DATA, b"x", connection_id=wrong), to_server=True)
    assert received(link.server_events) == []
    assert link.server.error is None
    link.deliver(keys.seal(3, 60, DATA, b"x", connection_id=right), to_server=True)
    assert received(link.server_events) == [b"x"]


def test_where_none_were_agreed_none_is_read() -> None:
    link, tap = linked(None, None)
    link.deliver(tap.keys(True, 3).seal(3, 50, DATA, b"x", connection_id=b"id"), to_server=True)
    assert received(link.server_events) == []


def test_fresh_ones_at_once_and_spare_ones_later() -> None:
    link, _ = linked(4, 7)
    first = link.client.peer_connection_id
    link.server.new_connection_ids(2)
    link.run()
    assert link.client.peer_connection_id == first
    assert link.client.spare_connection_ids == 2
    link.client.change_connection_id()
    second = link.client.peer_connection_id
    assert second in link.server.connection_ids
    assert second != first
    talk(link)
    link.server.new_connection_ids(1, immediate=True)
    link.run()
    assert link.client.peer_connection_id not in (first, second)
    talk(link)


def test_asking_for_more() -> None:
    link, _ = linked(4, 7)
    link.client.request_connection_ids(3)
    with pytest.raises(UsageError, match="unfulfilled"):
        link.client.request_connection_ids(3)
    link.run()
    assert link.client.spare_connection_ids == 3
    link.client.request_connection_ids(200)  # as many as leave room for those in use
    link.run()
    assert link.client.spare_connection_ids == 7
    assert len(link.server.connection_ids) == Limits().connection_ids


def test_misuse() -> None:
    link, _ = linked(0, 0)
    for call in (link.client.new_connection_ids, link.client.request_connection_ids, link.client.change_connection_id):
        with pytest.raises(UsageError):
            call()
    link, _ = linked(4, 7)
    with pytest.raises(UsageError, match="spare"):
        link.client.change_connection_id()


def say(link: DatagramLink, tap: Tap, seq: int, message: HandshakeMessage) -> None:
    raw = message.encode()
    content = piece(seq, raw[0], len(raw) - 4, 0, raw[4:])
    cid = link.client.peer_connection_id
    link.deliver(tap.keys(True, 3).seal(3, 50 + seq, HANDSHAKE, content, connection_id=cid), to_server=True)


@pytest.mark.parametrize(("client", "server"), [(None, None), (0, 0), (4, 0)])
def test_a_request_where_the_server_receives_none(client: int | None, server: int | None) -> None:
    link, tap = linked(client, server)
    say(link, tap, 2, RequestConnectionId(1))
    assert isinstance(link.server.error, UnexpectedMessage)


@pytest.mark.parametrize(("client", "server"), [(None, None), (0, 0), (0, 4)])
def test_new_ids_where_the_client_receives_none(client: int | None, server: int | None) -> None:
    link, tap = linked(client, server)
    say(link, tap, 2, NewConnectionId((b"abcd",), ConnectionIdUsage.cid_spare))
    assert isinstance(link.server.error, UnexpectedMessage)


def test_too_many_requests() -> None:
    link, tap = linked(4, 7)
    for seq in range(2, 2 + Limits().connection_ids + 1):
        assert link.server.error is None
        say(link, tap, seq, RequestConnectionId(1))
    assert isinstance(link.server.error, TooManyCIDsRequested)


def test_more_ids_than_are_kept() -> None:
    link, tap = linked(4, 7)
    say(link, tap, 2, NewConnectionId(tuple(b"%04d" % n for n in range(1000)), ConnectionIdUsage.cid_spare))
    assert link.server.error is None
    assert link.server.spare_connection_ids == Limits().connection_ids
