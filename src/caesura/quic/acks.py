"""What has come in one packet number space, and when to say so (RFC 9000 sections 13.2 and 12.3).

The same ranges tell what to acknowledge and what has come before. They are bounded: when there are too many, the lowest
is forgotten, and everything below it counts as having come. An ACK reaches down to what the peer is known to have heard
of; a packet that comes late all the same is acknowledged once more. Hot: `received` is called once per packet.
"""

from __future__ import annotations

from typing import Final

from caesura.quic import frames
from caesura.quic.frames import EcnCounts
from caesura.quic.ranges import RangeSet
from caesura.quic.sent_packets import Recall

_EVERY: Final = 2  # ack-eliciting packets that are acknowledged at once (section 13.2.2)
_ANSWERED: Final = 32  # ACKs without any of them acknowledged, until an answer is wanted (section 13.2.4)
_ECT1, _ECT0, _CE = 1, 2, 3  # the two bits in the IP header (RFC 3168 section 5)


class Acknowledgements:
    """Packets that were received in one space. Seconds.

    `max_delay`: how long an ACK may be held back, 0 for a space in which none is. `exponent`: of the ACK Delay field.
    `limit`: ranges that are kept, and sent in one frame. `due`: whether an ACK shall go out now; `deadline`: or when.
    """

    __slots__ = (
        "_eliciting",
        "_exponent",
        "_floor",
        "_from",
        "_limit",
        "_marks",
        "_max_delay",
        "_ranges",
        "_unanswered",
        "deadline",
        "due",
        "largest",
        "largest_at",
    )

    def __init__(self, max_delay: float, exponent: int, limit: int) -> None:
        self._max_delay = max_delay
        self._exponent = exponent
        self._limit = limit
        self._ranges = RangeSet()
        self._floor = 0  # below it everything counts as having come
        self._from = 0  # below it the peer knows what has come
        self._marks: list[int] | None = None  # packets by the two bits of ECN, once there was a mark
        self._eliciting = 0  # ack-eliciting packets that are not acknowledged yet
        self._unanswered = 0
        self.largest = -1
        self.largest_at = 0.0
        self.due = False
        self.deadline: float | None = None

    # --- packets in -----------------------------------------------------------------------------------------------

    def seen(self, number: int) -> bool:
        """Whether a packet has come before, or may have. One above `largest` has not."""
        return number <= self.largest and (number < self._floor or number in self._ranges)

    @property
    def following(self) -> int:
        """The number after the largest; -1 before there is one."""
        return self.largest + 1 or -1

    def received_run(self, count: int, now: float, ecn: int) -> None:
        """So many ack-eliciting packets were processed, numbered from `following` on."""
        self.largest += count
        self.largest_at = now
        self._ranges.stops[-1] = self.largest + 1
        if ecn:
            self._marked(ecn, count)
        self._eliciting += count
        if self._eliciting >= _EVERY or not self._max_delay or ecn == _CE:
            self.due = True
        elif self.deadline is None:
            self.deadline = now + self._max_delay

    def received(self, number: int, ack_eliciting: bool, now: float, ecn: int = 0) -> None:
        """A packet was processed. `ecn`: the two bits of its IP header."""
        expected = self.largest + 1
        if number == expected and number:
            self._ranges.stops[-1] = number + 1
            self.largest = number
            self.largest_at = now
        else:
            self._out_of_order(number, now)
        if ecn:
            self._marked(ecn, 1)
        if not ack_eliciting:
            return
        self._eliciting += 1
        if number != expected or self._eliciting >= _EVERY or not self._max_delay or ecn == _CE:
            self.due = True
        elif self.deadline is None:
            self.deadline = now + self._max_delay

    def _out_of_order(self, number: int, now: float) -> None:
        ranges = self._ranges
        ranges.add(number, number + 1)
        if number > self.largest:
            self.largest = number
            self.largest_at = now
        elif number < self._from:
            self._from = number
        if len(ranges) > self._limit:
            self._floor = ranges.drop_first()

    def _marked(self, ecn: int, count: int) -> None:
        if self._marks is None:
            self._marks = [0, 0, 0, 0]
        self._marks[ecn] += count

    @property
    def pending(self) -> bool:
        """Whether an ACK would tell of an ack-eliciting packet for the first time."""
        return self._eliciting > 0

    @property
    def wants_answer(self) -> bool:
        """Whether an ack-eliciting frame should go with the next ACK, so that ranges can be forgotten."""
        return self._unanswered >= _ANSWERED and len(self._ranges) > 1

    @property
    def ecn(self) -> EcnCounts | None:
        """What has come with which mark; None when nothing has."""
        marks = self._marks
        return None if marks is None else (marks[_ECT0], marks[_ECT1], marks[_CE])

    # --- frames out -----------------------------------------------------------------------------------------------

    def write(self, room: int, pieces: list[bytes], recalls: list[Recall], now: float) -> int:
        """An ACK frame of at most `room` bytes, if there is anything to acknowledge; how many bytes it takes."""
        if not self._ranges.stops:
            return 0
        count, known = self._limit, self._from
        delay = int((now - self.largest_at) * 1_000_000) >> self._exponent
        while True:
            starts, stops = self._ranges.starts[-count:], self._ranges.stops[-count:]
            pairs = [pair for pair in zip(reversed(starts), reversed(stops), strict=True) if pair[1] > known]
            frame = frames.ack(pairs or [(starts[-1], stops[-1])], delay, self.ecn)
            if len(frame) <= room:
                break
            if count == 1:
                return 0
            count = max(min(count, len(pairs)) // 2, 1)
        self._eliciting = 0
        self._unanswered += 1
        self.due = False
        self.deadline = None
        pieces.append(frame)
        recalls.append((self, self.largest, 0, b""))
        return len(frame)

    def acked(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """The peer has our ACK of all up to `at`."""
        self._unanswered = 0
        if at >= self._from:
            self._from = at + 1

    def lost(self, at: int, mark: int, data: bytes) -> None:
        """The next ACK says the same, and more (section 13.2.1)."""
