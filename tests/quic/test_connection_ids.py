"""Connection ids: issued, used, retired, and their bounds (RFC 9000 section 5.1)."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.crypto.quic import ResetKey
from caesura.errors import ConnectionIdLimitError, Error, ProtocolViolation
from caesura.quic.connection_ids import LocalConnectionIds, PeerConnectionIds
from caesura.quic.frames import dispatch_untrusted, permitted
from caesura.quic.levels import ONE_RTT
from caesura.quic.outbox import Outbox
from tests.quic.frame_log import FrameLog

KEY = ResetKey(bytes(32))
ALL = permitted(ONE_RTT, from_server=True)


def token(number: int) -> bytes:
    return bytes([number]) * 16


def identifier(number: int) -> bytes:
    return b"id%06d" % number


class Ids:
    """A side's own ids with predictable values, and what it has told the listener."""

    def __init__(self, length: int = 8, limit: int = 4, issued_limit: int = 100) -> None:
        self.told: list[list[bytes]] = []
        self.made = 0
        self.outbox = Outbox()
        self.ids = LocalConnectionIds(length, limit, issued_limit, self.random, KEY, self.outbox, self.told.append)

    def random(self, size: int) -> bytes:
        self.made += 1
        return identifier(self.made)[:size]


class Theirs(PeerConnectionIds):
    """The peer's ids, with an outbox of their own."""

    def __init__(self, limit: int, first: bytes) -> None:
        self.outbox = Outbox()
        super().__init__(limit, first, self.outbox)


def written(part: Any, room: int = 1200) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """The frames that wait to be sent, as they are read, and their recalls."""
    pieces: list[bytes] = []
    recalls: list[Any] = []
    size = part.outbox.write(room, pieces, recalls, 0.0, 0.1)
    payload = b"".join(pieces)
    assert len(payload) == size <= room
    log = FrameLog()
    if payload:
        dispatch_untrusted(payload, ONE_RTT, ALL, log)
    return log.calls, recalls


# --- ours -------------------------------------------------------------------------------------------------------


def test_as_many_are_given_as_the_peer_keeps_up_to_our_limit() -> None:
    for peer_limit, count in ((2, 1), (3, 2), (100, 3)):
        ours = Ids(limit=4)
        assert ours.ids.first == identifier(1)
        assert not ours.outbox
        ours.ids.issue(peer_limit)
        frames, recalls = written(ours)
        assert frames == [
            ("new_connection_id", n, 0, identifier(n + 1), KEY.token(identifier(n + 1))) for n in range(1, count + 1)
        ]
        assert ours.told[-1] == [identifier(n + 1) for n in range(count + 1)]
        assert len(recalls) == count
        assert not ours.outbox
        assert ours.ids.reset_token(0) == KEY.token(identifier(1)) != KEY.token(identifier(2))


def test_what_is_lost_is_sent_again() -> None:
    ours = Ids()
    ours.ids.issue(4)
    frames, recalls = written(ours)
    for owner, at, mark, data in recalls[:2]:
        owner.lost(at, mark, data)
        owner.lost(at, mark, data)  # of two packets that carried it
    assert written(ours)[0] == frames[:2]
    for owner, at, mark, data in recalls:
        owner.acked(at, mark, data)
    assert not ours.outbox


def test_what_is_retired_is_replaced_and_not_sent_again() -> None:
    ours = Ids()
    ours.ids.issue(4)
    _, recalls = written(ours)
    ours.ids.retired(1, used=ours.ids.first)
    recalls[0][0].lost(*recalls[0][1:])
    assert [frame[1] for frame in written(ours)[0]] == [4]
    assert ours.told[-1] == [identifier(n) for n in (1, 3, 4, 5)]
    ours.ids.retired(1, used=ours.ids.first)  # repeated
    assert not ours.outbox
    ours.ids.retired(0, used=identifier(3))
    assert ours.ids.first == b""
    assert identifier(1) not in ours.told[-1]


def test_frames_go_where_there_is_room() -> None:
    ours = Ids()
    ours.ids.issue(4)
    assert written(ours, 20) == ([], [])
    assert [frame[1] for frame in written(ours, 30)[0]] == [1]
    assert [frame[1] for frame in written(ours, 1000)[0]] == [2, 3]


@pytest.mark.parametrize(
    ("number", "used"), [(4, identifier(1)), (2**62 - 1, identifier(1)), (0, identifier(1)), (2, identifier(3))]
)
def test_what_the_peer_may_not_retire(number: int, used: bytes) -> None:
    ours = Ids()
    ours.ids.issue(4)
    with pytest.raises(ProtocolViolation):
        ours.ids.retired(number, used)


def test_an_id_of_no_bytes_is_the_only_one() -> None:
    ours = Ids(length=0)
    ours.ids.issue(4)
    assert not ours.outbox
    assert ours.ids.ids == {0: b""}
    assert ours.told == []
    with pytest.raises(ProtocolViolation):
        ours.ids.retired(0, b"")


def test_no_more_are_given_than_over_a_whole_connection() -> None:
    ours = Ids(limit=2, issued_limit=5)
    ours.ids.issue(2)
    for number in range(1, 5):
        ours.ids.retired(number, ours.ids.first)
    assert ours.ids.ids == {0: identifier(1)}
    assert ours.made == 5


# --- the peer's -------------------------------------------------------------------------------------------------


def theirs(limit: int = 4, count: int = 0) -> Theirs:
    ids = Theirs(limit, identifier(0))
    for number in range(1, count + 1):
        ids.received(number, 0, identifier(number), token(number))
    return ids


def test_each_is_used_once() -> None:
    ids = theirs(count=2)
    assert ids.spare == 2
    first, second = ids.take(), ids.take()
    assert (first is not None, second is not None) == (True, True)
    assert first is not None
    assert (first.value, first.reset_token) == (identifier(1), token(1))
    assert ids.take() is None
    ids.retire(first)
    ids.retire(first)
    assert written(ids)[0] == [("retire_connection_id", 1)]
    assert first.retired
    ids.received(3, 0, identifier(3), token(3))
    third = ids.take()
    assert third is not None
    assert third.value == identifier(3)


def test_a_retirement_that_is_lost_is_sent_again_until_it_is_known() -> None:
    ids = theirs(count=1)
    ids.retire(ids.first)
    _, recalls = written(ids)
    owner, *what = recalls[0]
    owner.lost(*what)
    assert written(ids)[0] == [("retire_connection_id", 0)]
    owner.acked(*what)
    owner.lost(*what)
    assert not ids.outbox


def test_the_peer_may_want_ids_back() -> None:
    ids = theirs(count=3)
    ids.received(4, 3, identifier(4), token(4))
    assert ids.first.retired
    assert [frame[1] for frame in written(ids)[0]] == [0, 1, 2]
    assert ids.spare == 2
    ids.received(2, 0, identifier(2), token(2))  # a late copy: nothing new
    assert not ids.outbox


def test_one_that_comes_when_it_is_no_longer_wanted_is_retired_at_once() -> None:
    ids = theirs()
    ids.received(5, 4, identifier(5), token(5))
    written(ids)
    ids.received(3, 0, identifier(3), token(3))
    assert written(ids)[0] == [("retire_connection_id", 3)]
    assert ids.spare == 1


def test_a_repetition_is_nothing_new() -> None:
    ids = theirs(limit=2, count=1)
    for _ in range(3):
        ids.received(1, 0, identifier(1), token(1))
    assert ids.spare == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, 0, identifier(1), token(9)), ProtocolViolation),
        ((1, 0, identifier(9), token(1)), ProtocolViolation),
        ((2, 0, identifier(1), token(1)), ProtocolViolation),
        ((2, 0, identifier(0), token(2)), ProtocolViolation),
        ((0, 0, identifier(9), token(9)), ProtocolViolation),
        ((2, 0, identifier(2), token(2)), ConnectionIdLimitError),
    ],
)
def test_what_is_not_taken(arguments: Any, error: type[Error]) -> None:
    ids = theirs(limit=2, count=1)
    with pytest.raises(error):
        ids.received(*arguments)


def test_a_peer_without_ids_gives_none() -> None:
    ids = Theirs(4, b"")
    assert ids.take() is ids.first
    ids.retire(ids.first)
    assert not ids.outbox
    with pytest.raises(ProtocolViolation):
        ids.received(1, 0, identifier(1), token(1))


def test_retirements_that_nobody_acknowledges_are_bounded() -> None:
    ids = theirs(limit=3)
    with pytest.raises(ConnectionIdLimitError):
        for number in range(1, 100):
            ids.received(number, number, identifier(number), token(number))
    assert number == 7


def test_gaps_in_the_numbers_are_bounded() -> None:
    ids = theirs(limit=3)
    with pytest.raises(ConnectionIdLimitError):
        for number in range(2, 200, 2):
            ids.received(number, number, identifier(number), token(number))
            for owner, *what in written(ids)[1]:
                owner.acked(*what)
    assert number == 14


def test_reset_tokens_count_while_their_id_is_used() -> None:
    ids = theirs(count=2)
    assert not ids.is_reset(token(1))
    first = ids.take()
    assert first is not None
    assert ids.is_reset(token(1))
    assert not ids.is_reset(token(2))
    ids.first.reset_token = token(7)
    assert ids.is_reset(token(7))
    ids.retire(first)
    assert not ids.is_reset(token(1))
