"""When to send what the congestion window allows (RFC 9002 section 7.7): in bursts, not packet by packet.

A bucket fills at somewhat more than a window each round trip. Sending waits until there is a burst in it: some ten
packets, less while the window is small. A burst costs one timer, one pass through the sending path and, with
segmentation offload, one system call.
"""

from __future__ import annotations

from typing import Final

from caesura.quic.congestion import Congestion
from caesura.quic.rtt import GRANULARITY, RoundTrip

_BURST: Final = 10  # packets that are worth being sent together
_CAPACITY: Final = 16  # packets that are sent together at most after a pause …
# … unless timers are too coarse for that: then as much as goes by between two of their ticks.


class Pacer:
    """The bucket of one path. Bytes and seconds."""

    __slots__ = ("_congestion", "_filled_at", "_round_trip", "_tokens")

    def __init__(self, congestion: Congestion, round_trip: RoundTrip) -> None:
        self._congestion = congestion
        self._round_trip = round_trip
        self._tokens = float("inf")  # full, however large it is
        self._filled_at = 0.0

    @property
    def rate(self) -> float:
        """Bytes a second: above the window's own, or the window would never be full."""
        congestion = self._congestion
        gain = 2.0 if congestion.slow_start else 1.25
        return gain * congestion.window / max(self._round_trip.smoothed, 1e-6)

    @property
    def _burst(self) -> float:
        congestion = self._congestion
        size = congestion.max_datagram_size
        return min(_BURST * size, max(congestion.window / 4, size))

    def allowance(self, now: float) -> int:
        """Bytes that may be sent at once; 0 when that is not worth it yet."""
        rate = self.rate
        capacity = max(_CAPACITY * self._congestion.max_datagram_size, rate * GRANULARITY)
        self._tokens = min(self._tokens + rate * (now - self._filled_at), capacity)
        self._filled_at = now
        return int(self._tokens) if self._tokens > self._burst - 1 else 0  # a byte for what rounding costs

    def sent(self, size: int) -> None:
        """So many bytes were sent."""
        self._tokens -= size

    def next_time(self) -> float:
        """When there will be an allowance again."""
        return self._filled_at + max(self._burst - self._tokens, 0.0) / self.rate
