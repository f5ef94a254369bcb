"""CUBIC (RFC 9438): a congestion window that is a cubic function of the time since the last congestion event.

The RFC counts in segments; so does this, in fractions of `max_datagram_size`, and keeps bytes outside. Time in which
the window was not made use of does not count (section 4.2: growth must not come from the clock alone).
"""

from __future__ import annotations

from typing import Final

from caesura.quic.congestion import Congestion, NewReno

_C: Final = 0.4
_BETA: Final = 0.7
_ALPHA: Final = 3 * (1 - _BETA) / (1 + _BETA)  # section 4.3: as fair as Reno, which would halve


class Cubic(Congestion):
    """Section by section: `_w_max` W_max, `_k` K, `_w_est` W_est, `_prior` cwnd_prior; all but `_k` in segments."""

    __slots__ = ("_epoch", "_k", "_prior", "_touched", "_w_est", "_w_max")

    def reset(self) -> None:
        """Begin anew."""
        super().reset()
        self._w_max = self._prior = self._w_est = self._k = 0.0
        self._epoch: float | None = None  # when congestion avoidance began
        self._touched = 0.0  # when the window was last made use of

    def _grow(self, size: int, now: float, round_trip: float) -> None:
        segment = self.max_datagram_size
        window = self.window / segment
        epoch = self._epoch
        if epoch is None:  # section 4.2: the beginning of an epoch
            self._epoch = epoch = now
            self._w_est = window
            self._w_max = max(self._w_max, window)
            self._k = ((self._w_max - window) / _C) ** (1 / 3)
        self._touched = now
        elapsed = now - epoch
        segments = size / segment
        self._w_est += (_ALPHA if self._w_est < self._prior else 1.0) * segments / window
        if _C * (elapsed - self._k) ** 3 + self._w_max < self._w_est:  # section 4.3: Reno would be ahead
            window = max(window, self._w_est)
        else:  # sections 4.4 and 4.5
            target = _C * (elapsed + round_trip - self._k) ** 3 + self._w_max
            window += (min(max(target, window), 1.5 * window) - window) / window * segments
        self.window = int(window * segment)

    def _reduce(self) -> None:
        window = self.window / self.max_datagram_size
        self._prior = window
        # Section 4.7, fast convergence: who is reduced before it was back where it stood leaves room for others.
        self._w_max = window * (1 + _BETA) / 2 if window < self._w_max else window
        self.window = max(int(self.window * _BETA), self.minimum)
        self.threshold = self.window
        self._epoch = None

    def persistent(self) -> None:
        """Nothing came through for long: slow start, and a new epoch behind it (section 4.8)."""
        super().persistent()
        self._epoch = None

    def resumed(self, now: float) -> None:
        """Something is sent after nothing was in flight: that time does not count."""
        self._unused(now)

    def _unused(self, now: float) -> None:
        if self._epoch is not None:
            self._epoch += now - self._touched
            self._touched = now


ALGORITHMS: Final[dict[str, type[Congestion]]] = {"cubic": Cubic, "newreno": NewReno}
"""By the name that `quic.congestion` takes."""
