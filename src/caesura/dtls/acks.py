"""Acknowledging the peer's handshake records (RFC 9147 section 7).

The numbers of the latest records are kept until a flight of ours makes them superfluous. An ACK repeats them: one that
was lost must not cost the peer a retransmission.
"""

from __future__ import annotations

from caesura.wire.dtls import RECORD_NUMBER, RecordNumber, encode_ack

_LENGTH = 2  # bytes before the numbers


class Acknowledgements:
    """Handshake records of the peer's that were processed or buffered; the newest `limit` of them."""

    __slots__ = ("_limit", "_numbers", "deadline", "unsent")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers: list[RecordNumber] = []
        self.unsent = False  # whether something has come since the last ACK
        self.deadline: float | None = None

    def received(self, number: RecordNumber) -> None:
        """A record was taken. The same one may come twice in epoch 0, where no window tells."""
        if number not in self._numbers:
            self._numbers.append(number)
            del self._numbers[: -self._limit]
        self.unsent = True

    @property
    def in_the_clear(self) -> bool:
        """Whether there are records, and all of them came in epoch 0."""
        return bool(self._numbers) and not any(epoch for epoch, _ in self._numbers)

    def schedule(self, deadline: float) -> None:
        """Send an ACK then at the latest."""
        if self.deadline is None:
            self.deadline = deadline

    def clear(self) -> None:
        """A flight of ours says that all this has come."""
        self._numbers.clear()
        self.unsent = False
        self.deadline = None

    def take(self, room: int) -> bytes:
        """The content of an ACK of at most `room` bytes: the newest numbers, in increasing order."""
        self.unsent = False
        self.deadline = None
        count = min(max((room - _LENGTH) // RECORD_NUMBER.size, 0), len(self._numbers))
        return encode_ack(sorted(self._numbers[len(self._numbers) - count :]))
