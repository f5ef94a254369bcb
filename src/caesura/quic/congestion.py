"""How many bytes may be in flight (RFC 9002 section 7 and appendix B).

`Congestion` is what every algorithm has: what is in flight, slow start, one reaction to each round trip with losses. An
algorithm says how the window grows beyond slow start and by how much it is reduced. `NewReno` is that of RFC 9002.
Nothing here knows packets: loss detection adds them up. Called once per ACK.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

NEVER: Final = float("-inf")

_BURST: Final = 16  # packets: so far below the window, what is in flight may stay because of pacing alone


class Congestion(ABC):
    """The congestion window of one path. Bytes and seconds.

    `recovery_started`: packets sent later than that make the window grow when they are acknowledged.
    """

    __slots__ = ("bytes_in_flight", "max_datagram_size", "recovery_started", "threshold", "window")

    def __init__(self, max_datagram_size: int) -> None:
        self.max_datagram_size = max_datagram_size
        self.bytes_in_flight = 0
        self.reset()

    def reset(self) -> None:
        """A new path: nothing is known of it. What is in flight stays counted."""
        size = self.max_datagram_size
        self.window = min(10 * size, max(14_720, 2 * size))
        self.threshold: float = float("inf")
        self.recovery_started = NEVER

    @property
    def minimum(self) -> int:
        """The window never gets smaller."""
        return 2 * self.max_datagram_size

    @property
    def slow_start(self) -> bool:
        """Whether the window grows by all that is acknowledged."""
        return self.window < self.threshold

    @property
    def room(self) -> int:
        """Bytes that may still be sent; negative when there are too many in flight already."""
        return self.window - self.bytes_in_flight

    # --- what loss detection tells --------------------------------------------------------------------------------

    def acked(self, size: int, growing: int, now: float, round_trip: float) -> None:
        """`size` bytes were acknowledged; `growing` of them sent after `recovery_started`."""
        in_flight = self.bytes_in_flight
        self.bytes_in_flight = in_flight - size
        if not growing:
            return
        if self.window < self.threshold:
            if 2 * in_flight >= self.window:
                self.window += growing
        elif in_flight >= self.window - min(_BURST * self.max_datagram_size, self.window // 2):
            self._grow(growing, now, round_trip)
        else:  # section 7.8: who does not use the window learns nothing of what the path could carry
            self._unused(now)

    def lost(self, size: int, sent_at: float, now: float) -> bool:
        """`size` bytes were lost, the last of them sent at `sent_at`; NEVER when that says nothing of congestion.

        Whether there was a reaction: one for all that was sent before it can show effect.
        """
        self.bytes_in_flight -= size
        if sent_at <= self.recovery_started:
            return False
        self.recovery_started = now
        self._reduce()
        return True

    def persistent(self) -> None:
        """Nothing came through for long (section 7.6)."""
        self.window = self.minimum
        self.recovery_started = NEVER

    def discarded(self, size: int) -> None:
        """`size` bytes in flight count no more, whatever became of them."""
        self.bytes_in_flight -= size

    def resumed(self, now: float) -> None:  # noqa: B027 - nothing to do is a good answer
        """Something is sent after nothing was in flight."""

    # --- what an algorithm says -----------------------------------------------------------------------------------

    @abstractmethod
    def _grow(self, size: int, now: float, round_trip: float) -> None:
        """Congestion avoidance: `size` bytes were acknowledged."""

    @abstractmethod
    def _reduce(self) -> None:
        """A congestion event."""

    def _unused(self, now: float) -> None:  # noqa: B027 - nothing to do is a good answer
        """Something was acknowledged while the window was not made use of."""


class NewReno(Congestion):
    """One packet more each round trip; half when something is lost (RFC 9002 section 7.3)."""

    __slots__ = ("_acked",)

    def reset(self) -> None:
        """Begin anew."""
        super().reset()
        self._acked = 0  # bytes towards the next packet more

    def _grow(self, size: int, now: float, round_trip: float) -> None:  # noqa: ARG002 - other algorithms need time
        self._acked += size
        if self._acked >= self.window:
            self._acked -= self.window
            self.window += self.max_datagram_size

    def _reduce(self) -> None:
        self.window = max(self.window // 2, self.minimum)
        self.threshold = self.window
        self._acked = 0
