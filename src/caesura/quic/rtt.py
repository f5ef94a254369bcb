"""How long a round trip takes (RFC 9002 section 5). Seconds."""

from __future__ import annotations

from typing import Final

GRANULARITY: Final = 0.001
"""What timers can be relied on to tell apart (kGranularity)."""


class RoundTrip:
    """The estimate for one path. `max_ack_delay` is the peer's, once it is known."""

    __slots__ = ("_initial", "first_sample_at", "latest", "max_ack_delay", "minimum", "smoothed", "variation")

    def __init__(self, initial: float) -> None:
        self._initial = initial
        self.max_ack_delay = 0.0
        self.reset()

    def reset(self) -> None:
        """A new path: nothing is known of it."""
        self.latest = self.smoothed = self._initial
        self.variation = self._initial / 2
        self.minimum = 0.0
        self.first_sample_at: float | None = None

    def sample(self, latest: float, ack_delay: float, now: float) -> None:
        """A packet was acknowledged `latest` after it was sent; the peer says it held the ACK back for `ack_delay`."""
        self.latest = latest
        if self.first_sample_at is None:
            self.first_sample_at = now
            self.minimum = self.smoothed = latest
            self.variation = latest / 2
            return
        if latest < self.minimum:
            self.minimum = latest
        if latest >= self.minimum + ack_delay:
            latest -= ack_delay
        self.variation += (abs(self.smoothed - latest) - self.variation) / 4
        self.smoothed += (latest - self.smoothed) / 8

    @property
    def probe_timeout(self) -> float:
        """The PTO without the peer's delay and without backing off (section 6.2.1)."""
        return self.smoothed + max(4 * self.variation, GRANULARITY)

    def longest_probe_timeout(self) -> float:
        """The PTO with the peer's delay, as it is for 1-RTT packets."""
        return self.probe_timeout + self.max_ack_delay

    @property
    def loss_delay(self) -> float:
        """How much later a packet sent after another may be acknowledged before that one is lost (section 6.1.2)."""
        return max(9 / 8 * max(self.latest, self.smoothed), GRANULARITY)

    @property
    def persistent_congestion(self) -> float:
        """For how long all must be lost for congestion to be called persistent (section 7.6.1)."""
        return 3 * self.longest_probe_timeout()
