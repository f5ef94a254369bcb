"""Key update (RFC 9001 section 6)."""

from __future__ import annotations

import pytest

from caesura.crypto.secrets import TrafficSecret
from caesura.errors import KeyUpdateError, ProtocolViolation
from caesura.quic.key_update import KeyPhases
from caesura.quic.protection import WriteKey
from caesura.quic.versions import QUIC1
from tests.quic.test_protection import secret

PTO = 0.5


class Side:
    """One side's keys, and the numbers it has sent and opened."""

    def __init__(self, own: TrafficSecret, peer: TrafficSecret) -> None:
        self.write = WriteKey(own, QUIC1.label)
        self.phases = KeyPhases(self.write, peer, QUIC1.label, lambda: PTO)
        self.next = 0
        self.largest = -1

    def send(self, first: int = 0) -> bytes:
        number, self.next = self.next, self.next + 1
        return self.write.seal(0x41 | self.write.phase_bit | first, b"id", number, b"number %d" % number)

    def receive(self, packet: bytes, now: float = 0.0) -> int | None:
        opened = self.phases.open_untrusted(packet, 3, self.largest, now)
        if opened is None:
            return None
        assert opened[1] == b"number %d" % opened[0]
        self.largest = max(self.largest, opened[0])
        return opened[0]


@pytest.fixture
def pair() -> tuple[Side, Side]:
    one, two = secret(byte=1), secret(byte=2)
    return Side(one, two), Side(two, one)


def exchange(one: Side, two: Side) -> None:
    """A packet in each direction; each acknowledges what has come."""
    two.receive(one.send())
    one.receive(two.send())
    one.phases.acknowledged(two.largest)
    two.receive(one.send())
    two.phases.acknowledged(one.largest)


def test_both_sides_change_and_go_on(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    for generation in range(1, 4):
        exchange(ours, theirs)
        assert ours.phases.may_update(theirs.largest)
        ours.phases.update()
        exchange(ours, theirs)
        assert ours.write.generation == theirs.write.generation == generation
        assert ours.write.phase_bit == theirs.write.phase_bit == (4 if generation & 1 else 0)
        for side in pair:
            side.phases.expire(3 * PTO)


def test_keys_change_only_when_the_peer_has_the_present_ones(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    assert not ours.phases.may_update(-1)
    theirs.receive(ours.send())
    assert not ours.phases.may_update(-1)
    assert ours.phases.may_update(0)
    ours.phases.update()
    assert not ours.phases.may_update(0)
    theirs.receive(ours.send())
    assert not ours.phases.may_update(1)  # acknowledged, perhaps, but nothing has come under the peer's new keys
    ours.receive(theirs.send(), now=10.0)
    assert ours.phases.previous_until == 10.0 + 3 * PTO
    assert not ours.phases.may_update(1)  # the peer may still keep the old ones
    ours.phases.expire(10.0 + 3 * PTO - 0.01)
    assert not ours.phases.may_update(1)
    ours.phases.expire(10.0 + 3 * PTO)
    assert ours.phases.previous_until is None
    assert ours.phases.may_update(1)


def test_overtaken_packets_open_with_the_previous_keys_for_a_while(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    late = [ours.send() for _ in range(3)]
    ours.phases.update()
    assert theirs.receive(ours.send()) == 3
    assert theirs.receive(late[0]) == 0
    assert theirs.receive(late[2]) == 2
    theirs.phases.expire(3 * PTO)
    assert theirs.receive(late[1]) is None


def test_packets_of_the_new_phase_may_overtake_each_other(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    old = ours.send()
    ours.phases.update()
    first, second = ours.send(), ours.send()
    assert [theirs.receive(packet) for packet in (second, old, first)] == [2, 0, 1]


def test_older_keys_behind_newer_ones(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    stale = WriteKey(secret(byte=1), QUIC1.label)
    ours.phases.update()
    ours.next = 2
    early, late = ours.send(), ours.send()  # 2 and 3
    assert theirs.receive(late) == 3
    assert theirs.receive(stale.seal(0x41, b"id", 2, b"number 2")) == 2
    with pytest.raises(KeyUpdateError):  # 1 has newer keys than 2 had
        theirs.receive(ours.write.seal(0x45, b"id", 1, b"number 1"))
    assert early


def test_a_second_update_before_the_first_is_answered(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    exchange(ours, theirs)
    ours.phases.update()
    theirs.receive(ours.send())
    ours.write.update()
    with pytest.raises(KeyUpdateError):
        theirs.receive(ours.send())


def test_a_first_update_may_come_before_anything_was_sent(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    ours.phases.update()
    assert theirs.receive(ours.send()) == 0
    assert theirs.write.generation == 1


def test_an_acknowledgment_of_new_keys_under_old_ones(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    exchange(ours, theirs)
    ours.phases.update()
    ours.phases.acknowledged(ours.next - 1)  # of what went before
    number = ours.next
    ours.send()
    with pytest.raises(KeyUpdateError):
        ours.phases.acknowledged(number)


def test_a_forged_phase_bit_changes_nothing(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    exchange(ours, theirs)
    packet = bytearray(ours.send())
    packet[0] ^= 4
    assert theirs.receive(bytes(packet)) is None
    assert theirs.phases.previous_until is None
    assert theirs.write.generation == 0
    assert theirs.receive(b"\x44" + bytes(40)) is None
    assert theirs.receive(b"\x44" + bytes(10)) is None


def test_reserved_bits(pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    with pytest.raises(ProtocolViolation):
        theirs.receive(ours.send(0x08))
