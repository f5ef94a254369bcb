"""Paths: amplification, validation, migration (RFC 9000 sections 8 and 9)."""

from __future__ import annotations

from itertools import count

import pytest

from caesura.quic.connection_ids import PeerConnectionIds
from caesura.quic.migration import Paths
from caesura.quic.outbox import Outbox
from caesura.quic.path import Path

HOME, AWAY, NAT = ("192.0.2.1", 4000), ("198.51.100.7", 4000), ("192.0.2.1", 5000)
PTO = 0.5


class World:
    """A server's paths, with predictable challenges."""

    def __init__(self, limit: int = 4, spare: int = 3) -> None:
        self.numbers = count()
        self._resets = 0
        self.ids = PeerConnectionIds(8, b"id000000", Outbox())
        for number in range(1, spare + 1):
            self.ids.received(number, 0, b"id%06d" % number, bytes([number]) * 16)
        home = Path(HOME, self.ids.first, self.random, 3, validated=True)
        self.paths = Paths(home, self.ids, limit, 3, self.random)

    def random(self, size: int) -> bytes:
        return next(self.numbers).to_bytes(size, "big")

    @property
    def resets(self) -> int:
        """How often another host was sent to."""
        self.look()
        return self._resets

    def look(self) -> None:
        self._resets += self.paths.moved
        self.paths.moved = False

    def move(self, address: tuple[str, int], now: float = 0.0, *, same_id: bool = False) -> Path:
        path = self.paths.find(address) or self.paths.add(address, same_id=same_id)
        self.paths.migrate(path, now, PTO)
        self.look()
        return path


@pytest.fixture
def world() -> World:
    return World()


def challenge(path: Path) -> bytes:
    found, path.challenge = path.challenge, None
    assert found is not None
    return found


# --- one path ---------------------------------------------------------------------------------------------------


def test_three_times_what_came_until_the_address_is_validated(world: World) -> None:
    path = Path(AWAY, world.ids.first, world.random, 3, validated=False)
    assert path.room == 0
    path.received += 100
    assert path.room == 300
    path.sent += 250
    assert path.room == 50
    path.validate(0.0, PTO)
    assert path.answered(challenge(path))
    assert path.validated
    assert path.room > 2**60


def test_challenges_until_one_is_answered(world: World) -> None:
    path = Path(AWAY, world.ids.first, world.random, 3, validated=False)
    path.validate(10.0, PTO)
    first = challenge(path)
    path.validate(10.1, PTO)  # goes on
    assert path.challenge is None
    assert path.deadline == 10.5
    assert not path.expire(10.4)
    assert not path.expire(10.5)
    second = challenge(path)
    assert first != second
    assert not path.answered(b"something")
    assert path.answered(first)
    assert path.deadline is None
    assert not path.answered(second)
    assert path.deadline is None


def test_a_path_that_nobody_answers_on_is_given_up(world: World) -> None:
    path = Path(AWAY, world.ids.first, world.random, 3, validated=False)
    path.validate(0.0, PTO)
    times = []
    while not path.failed:
        assert path.deadline is not None
        times.append(path.deadline)
        path.expire(path.deadline)
    assert times == [0.5, 1.0, 1.5]
    assert path.deadline is None
    assert not path.validated


def test_responses_that_wait_are_bounded(world: World) -> None:
    path = world.paths.active
    for number in range(10):
        path.respond(bytes([number]) * 8, 4)
    assert path.responses == [bytes([number]) * 8 for number in (6, 7, 8, 9)]


# --- several ----------------------------------------------------------------------------------------------------


def test_a_new_address_is_used_at_once_and_validated(world: World) -> None:
    path = world.move(AWAY)
    assert world.paths.active is path
    assert path.peer_id.value == b"id000001"
    assert world.resets == 1
    home = world.paths.find(HOME)
    assert home is not None
    assert home.deadline is not None
    assert world.paths.answered(challenge(path)) is path
    assert world.paths.answered(b"x" * 8) is None
    assert path.validated


def test_a_new_port_alone_teaches_nothing_new(world: World) -> None:
    path = world.move(NAT, same_id=True)
    assert path.peer_id is world.ids.first
    assert world.resets == 0
    assert path.deadline is not None


def test_an_attacker_who_moved_the_connection_loses_it_again(world: World) -> None:
    path = world.move(AWAY)
    home = world.paths.find(HOME)
    assert home is not None
    assert world.paths.answered(challenge(home)) is home
    while world.paths.deadline is not None:
        assert world.paths.expire(world.paths.deadline)
    assert world.paths.active is home
    assert world.paths.find(AWAY) is None
    assert path.peer_id.retired
    assert world.resets == 2


def test_no_path_is_left(world: World) -> None:
    world.move(AWAY)
    alive = True
    while alive:
        assert world.paths.deadline is not None
        alive = world.paths.expire(world.paths.deadline)
    assert [(path.address, path.failed) for path in world.paths.all] == [(HOME, True)]


def test_back_to_a_path_that_was_good_needs_no_validation(world: World) -> None:
    world.move(AWAY)
    world.paths.answered(challenge(world.paths.active))
    home = world.move(HOME)
    assert home.validated
    assert world.paths.active is home


def test_paths_are_bounded_and_their_ids_go_with_them() -> None:
    world = World(limit=2, spare=5)
    made = [world.paths.add(("192.0.2.9", port), same_id=False) for port in range(4)]
    assert [path.address for path in world.paths.all] == [HOME, ("192.0.2.9", 2), ("192.0.2.9", 3)]
    assert [path.peer_id.retired for path in made] == [True, True, False, False]


def test_without_a_spare_id_the_present_one_is_used() -> None:
    world = World(spare=0)
    path = world.paths.add(AWAY, same_id=False)
    assert path.peer_id is world.ids.first
    world.move(AWAY)
    assert not world.ids.first.retired


def test_ids_that_the_peer_wants_back_are_replaced(world: World) -> None:
    away = world.paths.add(AWAY, same_id=False)
    world.ids.received(4, 2, b"id000004", bytes([4]) * 16)
    assert world.paths.replace_retired()
    assert world.paths.active.peer_id.value == b"id000002"
    assert away.peer_id.value == b"id000003"
    world.ids.received(5, 5, b"id000005", bytes([5]) * 16)
    assert world.paths.replace_retired()
    assert world.paths.active.peer_id.value == b"id000005"
    assert world.paths.find(AWAY) is None
