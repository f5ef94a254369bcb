"""Connection ids: those we receive, those we write (RFC 9000 sections 5.1 and 19.15).

Each side numbers the ids it gives the other. What we give is replaced as it is retired; what the peer gives is used on
one path each, and retired with it. Both kinds are sent until they have arrived: see `sent_packets.Recallable`.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Final

from caesura.crypto.quic import ResetKey
from caesura.errors import ConnectionIdLimitError, ProtocolViolation
from caesura.quic import frames
from caesura.quic.outbox import LastingFrame, Outbox
from caesura.quic.ranges import RangeSet

PREFERRED: Final = 1
"""The sequence number of the id that comes with a preferred address (section 5.1.1)."""

_SECTION: Final = "RFC 9000 section 19.15"


class LocalConnectionIds:
    """The ids that we receive, by sequence number; of no bytes when `length` is 0, and then there is but one.

    `limit`: how many are in force at once; `issued_limit`: how many are given in all. `on_change` is told all of them
    whenever they change, for whoever finds the connection by them.
    """

    __slots__ = (
        "_frames",
        "_issued_limit",
        "_limit",
        "_next",
        "_on_change",
        "_outbox",
        "_preferred",
        "_random",
        "_reset_key",
        "ids",
        "length",
    )

    def __init__(
        self,
        length: int,
        limit: int,
        issued_limit: int,
        random: Callable[[int], bytes],
        reset_key: ResetKey,
        outbox: Outbox,
        on_change: Callable[[list[bytes]], object] | None = None,
    ) -> None:
        self.length = length
        self._limit = limit
        self._issued_limit = issued_limit
        self._random = random
        self._reset_key = reset_key
        self._outbox = outbox
        self._on_change = on_change
        self._frames: dict[int, LastingFrame] = {}
        self._next = 1
        self._preferred: tuple[bytes, bytes] | None = None
        self.ids = {0: random(length)}

    @property
    def first(self) -> bytes:
        """What stands in our long headers: the id with number 0, as long as it is in force."""
        return self.ids.get(0, b"")

    def reset_token(self, sequence_number: int) -> bytes:
        """The stateless reset token of one that is in force."""
        return self._reset_key.token(self.ids[sequence_number])

    def prefer(self) -> tuple[bytes, bytes]:
        """The id that goes with a preferred address, and its reset token: the first one after that of the handshake."""
        if self._preferred is None:
            self._next = PREFERRED + 1
            self.ids[PREFERRED] = self._random(self.length)
            self._preferred = self.ids[PREFERRED], self.reset_token(PREFERRED)
            if self._on_change is not None:
                self._on_change(list(self.ids.values()))
        return self._preferred

    def issue(self, peer_limit: int) -> None:
        """The peer keeps so many ids (active_connection_id_limit): give it as many, up to our own limit."""
        self._limit = min(self._limit, peer_limit)
        self._fill()

    def _fill(self) -> None:
        if not self.length:
            return
        while len(self.ids) < self._limit and self._next < self._issued_limit:
            number, self._next = self._next, self._next + 1
            self.ids[number] = self._random(self.length)
            frame = frames.new_connection_id(number, 0, self.ids[number], self.reset_token(number))
            self._frames[number] = LastingFrame(self._outbox, frame)
        if self._on_change is not None:
            self._on_change(list(self.ids.values()))

    def retired(self, sequence_number: int, used: bytes) -> None:
        """RETIRE_CONNECTION_ID has come, in a packet to the id `used`. Raises ProtocolViolation."""
        if sequence_number >= self._next or not self.length:
            text = f"connection id {sequence_number} was never given, and is retired"
            raise ProtocolViolation(text, section="RFC 9000 section 19.16")
        retired = self.ids.get(sequence_number)
        if retired is None:
            return
        if retired == used:
            text = "a connection id retired by a packet that was sent to it"
            raise ProtocolViolation(text, section="RFC 9000 section 19.16")
        del self.ids[sequence_number]
        if sequence_number in self._frames:
            self._frames.pop(sequence_number).call_off()
        self._fill()


class PeerId:
    """An id that we write. `used`: on a path, or has been."""

    __slots__ = ("reset_token", "retired", "sequence_number", "used", "value")

    def __init__(self, sequence_number: int, value: bytes, reset_token: bytes | None) -> None:
        self.sequence_number = sequence_number
        self.value = value
        self.reset_token = reset_token
        self.used = False
        self.retired = False


class PeerConnectionIds:
    """The ids that the peer has given us. `limit` are kept: our active_connection_id_limit.

    `first` is the one of the handshake; until the peer has chosen it, a client's own invention.
    """

    __slots__ = ("_active", "_limit", "_outbox", "_retire_prior_to", "_retired", "_unacked", "first")

    def __init__(self, limit: int, first: bytes, outbox: Outbox) -> None:
        self._limit = limit
        self._outbox = outbox
        self.first = PeerId(0, first, None)
        self.first.used = True
        self._active: dict[int, PeerId] = {0: self.first}
        self._retire_prior_to = 0
        self._retired = RangeSet()  # sequence numbers
        self._unacked = 0  # that are retired, and the peer may not know

    def received(self, sequence_number: int, retire_prior_to: int, value: bytes, reset_token: bytes) -> None:
        """NEW_CONNECTION_ID has come. Raises ProtocolViolation, or ConnectionIdLimitError for more than is kept.

        Paths whose id has become `retired` need another one.
        """
        if not self.first.value:
            raise ProtocolViolation("another connection id from a peer that receives none", section=_SECTION)
        known = self._active.get(sequence_number)
        for each in self._active.values():
            if (each.value == value) != (each is known):
                raise ProtocolViolation("one connection id for two, or two for one", section=_SECTION)
        if known is not None:
            if known.reset_token != reset_token:
                raise ProtocolViolation("a connection id with another reset token", section=_SECTION)
            return
        if sequence_number in self._retired:
            return
        if retire_prior_to > self._retire_prior_to:
            self._retire_prior_to = retire_prior_to
            for each in [each for number, each in self._active.items() if number < retire_prior_to]:
                self.retire(each)
        given = PeerId(sequence_number, value, reset_token)
        self._active[sequence_number] = given
        if sequence_number < self._retire_prior_to:
            self.retire(given)
        if len(self._active) > self._limit:
            raise ConnectionIdLimitError(f"more than {self._limit} connection ids", section="RFC 9000 section 5.1.1")

    def take(self) -> PeerId | None:
        """An id for another path: one that was not used before, if there is one (section 9.5)."""
        if not self.first.value:
            return self.first
        for each in self._active.values():
            if not each.used:
                each.used = True
                return each
        return None

    @property
    def spare(self) -> int:
        """How many there are that were not used."""
        return sum(not each.used for each in self._active.values())

    def retire(self, each: PeerId) -> None:
        """Write it no more. Raises ConnectionIdLimitError when too many wait for the peer to know."""
        if each.retired or not self.first.value:
            return
        each.retired = True
        number = each.sequence_number
        del self._active[number]
        self._retired.add(number, number + 1)
        self._unacked += 1
        LastingFrame(self._outbox, frames.numbers(frames.RETIRE_CONNECTION_ID, number), self._retirement_acked)
        # Numbers are given in order: only what is lost on its way leaves gaps, and no more than there can be ids.
        if self._unacked > 2 * self._limit or len(self._retired) > 2 * self._limit:
            raise ConnectionIdLimitError("too many connection ids to retire", section="RFC 9000 section 5.1.2")

    def _retirement_acked(self) -> None:
        self._unacked -= 1

    def is_reset(self, token: bytes) -> bool:
        """Whether this is the reset token of an id that we use (section 10.3.1); every one of them is compared."""
        found = False
        for each in self._active.values():
            if each.used and each.reset_token is not None:
                found |= compare_digest(each.reset_token, token)
        return found
