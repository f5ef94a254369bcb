"""Marks of ECN: sent, counted, believed as long as they add up, and heeded (RFC 9000 section 13.4, RFC 9002 7.1)."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from caesura.quic import QUICConnection
from caesura.quic.congestion import NewReno
from caesura.quic.ecn import ECT0, Ecn, EcnState
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE_SPACE, INITIAL_SPACE
from caesura.quic.loss_detection import LossDetection
from caesura.quic.rtt import RoundTrip
from tests.quic.link import QUICLink, linked
from tests.support.datagram_link import SERVER, Lossy, Network

Counts = tuple[int, int, int]

CE = 3
T, U, C, F = EcnState.TESTING, EcnState.UNKNOWN, EcnState.CAPABLE, EcnState.FAILED


# --- the state of a path ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "acks", "state", "congested"),
    [
        (3, [(2, (2, 0, 0))], C, False),
        (3, [(2, (3, 0, 0))], C, False),  # a packet of ACKs alone was marked too
        (3, [(2, (1, 0, 1))], C, True),
        (3, [(2, (0, 0, 3))], C, True),
        (3, [(2, None)], F, False),
        (3, [(2, (1, 0, 0))], F, False),
        (3, [(2, (4, 0, 0))], F, False),  # more than were sent
        (3, [(2, (1, 1, 0))], F, False),  # none of these were
        (9, [(2, (2, 0, 0)), (2, (4, 0, 0))], C, False),
        (9, [(2, (2, 0, 0)), (2, (2, 0, 2))], C, True),
        (9, [(2, (2, 0, 2)), (2, (4, 0, 2))], C, False),  # not again
        (9, [(2, (2, 0, 0)), (2, (3, 0, 0))], F, False),
        (9, [(2, (2, 0, 0)), (0, (1, 0, 0))], F, False),
        (9, [(2, (2, 0, 1)), (2, (5, 0, 0))], F, False),
        (9, [(2, (2, 0, 0)), (0, None)], C, False),
    ],
)
def test_counts(sent: int, acks: list[tuple[int, Counts | None]], state: EcnState, congested: bool) -> None:
    ecn = Ecn(enabled=True)
    assert ecn.begin(0)
    ecn.sent(APPLICATION_SPACE, sent)
    found = [ecn.acknowledged(APPLICATION_SPACE, marked, counts) for marked, counts in acks]
    assert (ecn.state, found[-1]) == (state, congested)
    assert ecn.begin(0) is (state is C)


def test_spaces_are_counted_apart() -> None:
    ecn = Ecn(enabled=True)
    for space in (INITIAL_SPACE, HANDSHAKE_SPACE):
        ecn.sent(space, 2)
        assert not ecn.acknowledged(space, 2, (2, 0, 0))
    assert ecn.state is C
    assert not ecn.acknowledged(APPLICATION_SPACE, 0, (1, 0, 0))
    assert ecn.state is F


def test_some_packets_are_marked_until_there_is_an_answer() -> None:
    ecn = Ecn(enabled=True)
    for _ in range(10):
        assert ecn.begin(0)
        ecn.sent(INITIAL_SPACE, 1)
    assert ecn.state is U
    assert not ecn.begin(0)
    ecn.acknowledged(INITIAL_SPACE, 1, (1, 0, 0))
    assert ecn.begin(0)


def test_marks_that_get_lost() -> None:
    ecn = Ecn(enabled=True)
    ecn.sent(INITIAL_SPACE, 3)
    assert [ecn.begin(probes) for probes in range(4)] == [True, True, False, False]
    ecn.lost(2)
    assert ecn.state is T
    ecn.lost(1)
    assert ecn.state is F
    ecn.reset()
    assert ecn.begin(0)


def test_it_can_be_switched_off() -> None:
    ecn = Ecn(enabled=False)
    for _ in range(2):
        assert not ecn.begin(0)
        ecn.reset()


# --- connections --------------------------------------------------------------------------------------------------


class MarkedLink(QUICLink):
    """A link that carries marks; `router(number, by client, mark)` says which mark arrives, None for no packet."""

    router: Callable[[int, bool, int], int | None] = staticmethod(lambda number, by_client, mark: mark)
    marks: list[tuple[bool, int]]

    def _carry_one(self, datagram: bytes, address: object, *, by_client: bool) -> None:
        side: QUICConnection = (self.ours if by_client else self.theirs).connection
        number = len(self.sent)
        if number == 0:
            self.marks = []
        self.marks.append((by_client, side.ecn))
        mark = type(self).router(number, by_client, side.ecn)
        super()._carry_one(datagram, address, by_client=by_client)
        self._in_flight = [
            each if each[3] is not datagram else (*each[:3], Marked(datagram, mark)) for each in self._in_flight
        ]
        heapq.heapify(self._in_flight)

    def deliver(self, datagram: bytes, *, to_server: bool) -> QUICLink:
        mark = datagram.mark if isinstance(datagram, Marked) else 0
        if mark is None:
            return self
        if to_server:
            self.theirs.connection.receive_datagram(bytes(datagram), self.client_address, self.now, mark)
        else:
            self.ours.connection.receive_datagram(bytes(datagram), SERVER, self.now, mark)
        self._pump()
        return self


class Marked(bytes):
    mark: int | None

    def __new__(cls, data: bytes, mark: int | None) -> Marked:
        made = super().__new__(cls, data)
        made.mark = mark
        return made


def marked(
    router: Callable[[int, bool, int], int | None] | None = None, network: Network | None = None, **quic: object
) -> MarkedLink:
    made = linked({"quic": quic}, {"quic": quic}, network)
    made.__class__ = type("Link", (MarkedLink,), {} if router is None else {"router": staticmethod(router)})
    assert isinstance(made, MarkedLink)
    return made


def states(link: QUICLink) -> list[EcnState]:
    return [side.connection._loss.ecn.state for side in (link.ours, link.theirs)]


def talk(link: QUICLink, size: int = 200_000) -> None:
    link.establish()
    for by_client in (True, False):
        link.send(bytes(size), by_client=by_client)
    link.run(lambda: bool(link.ours.ended) and bool(link.theirs.ended), seconds=60)
    assert link.ours.ended
    assert link.theirs.ended


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_path_that_carries_marks(seed: int | None) -> None:
    link = marked(network=None if seed is None else Lossy(seed=seed, loss=0.05))
    talk(link)
    assert states(link) == [C, C]
    assert {mark for _, mark in link.marks} == {ECT0}


@pytest.mark.parametrize(
    "router",
    [
        lambda number, by_client, mark: 0,  # cleared
        lambda number, by_client, mark: 1,  # changed
        lambda number, by_client, mark: mark if number < 60 else 0,  # cleared later
    ],
)
def test_a_path_that_does_not(router: Callable[[int, bool, int], int | None]) -> None:
    link = marked(router)
    talk(link)
    assert states(link) == [F, F]
    assert [mark for _, mark in link.marks[-50:]] == [0] * 50


def test_a_path_on_which_marked_packets_get_lost() -> None:
    """It costs two probe timeouts and no connection."""
    link = marked(lambda number, by_client, mark: None if mark else 0)
    talk(link)
    assert C not in states(link)
    assert [mark for _, mark in link.marks[-50:]] == [0] * 50
    assert link.now < 1010


def test_no_marks_when_none_are_wanted() -> None:
    link = marked(ecn=False)
    talk(link)
    assert {mark for _, mark in link.marks} == {0}


def test_congestion_that_is_marked_reduces_the_window_once_a_round_trip() -> None:
    """And nothing is sent again."""
    hit: list[int] = []

    def router(number: int, by_client: bool, mark: int) -> int:
        if by_client and mark and 60 <= number < 64:
            hit.append(number)
            return CE
        return mark

    plain, congested = marked(), marked(router)
    for link in (plain, congested):
        link.establish()
        link.send(bytes(150_000))
    for link in (plain, congested):
        link.run(lambda made=link: bool(made.theirs.ended), seconds=60)  # type: ignore[misc]
    assert len(hit) > 1
    loss = congested.ours.connection._loss
    assert states(congested) == [C, C]
    assert loss.packets_lost == 0
    assert loss.congestion.window < plain.ours.connection._loss.congestion.window
    assert loss.congestion.threshold < float("inf")
    assert plain.ours.connection._loss.congestion.threshold == float("inf")


def test_a_new_path_is_tested_anew() -> None:
    link = marked()
    talk(link)
    link.client_address = ("198.51.100.7", 7)
    link.theirs.connection._loss.ecn.state = F  # of the old one
    link.ours.connection.key_update()
    link.send(b"from there")
    link.wait(1.0)
    link.send(bytes(50_000), by_client=False)
    link.wait(1.0)
    assert link.theirs.connection.addr == link.client_address
    assert states(link) == [C, C]


@pytest.mark.parametrize("fate", ["lost", "cleared", CE])
def test_what_was_on_the_old_path_tells_nothing_of_the_new_one(fate: str | int) -> None:
    """Marked packets that were on their way when the peer moved (RFC 9000 sections 9.4, 13.4.2)."""
    loss = LossDetection(NewReno(1200), RoundTrip(0.1), client=False, ecn=True)
    ecn = loss.ecn
    for number in range(12):
        if number == 6:
            loss.new_path()
        ecn.begin(0)
        ecn.sent(APPLICATION_SPACE, 1)
        loss.spaces[APPLICATION_SPACE].next_number += 1
        loss.packet_sent(APPLICATION_SPACE, number, 1200, True, (), float(number))
    window = loss.congestion.window
    if fate != "lost":
        loss.ack_received(APPLICATION_SPACE, [(0, 6)], 0.0, 12.0, (0, 0, 6) if fate == CE else None)
        assert ecn.state is T
        assert loss.congestion.window == window
    loss.ack_received(APPLICATION_SPACE, [(9, 12)], 0.0, 12.0, (3, 0, 6 if fate == CE else 0))
    assert ecn.state is C
    assert loss.packets_lost == (9 if fate == "lost" else 3)
