"""How large the datagrams of a path may be (RFC 9000 section 14, RFC 8899 as that profiles it).

It begins with 1200 bytes, which every path has to carry. A probe is a PING with PADDING of a size that is tried: when
it arrives, so much is used; when it is lost several times, less is tried. A probe's loss says nothing of congestion.
When nothing arrives any more, the path may have changed to one that carries less: back to 1200.
"""

from __future__ import annotations

from typing import Final

BASE: Final = 1200
"""Bytes of UDP payload (BASE_PLPMTU in RFC 8899)."""

_PROBES: Final = 3  # of one size (MAX_PROBES)
_STEP: Final = 16  # bytes: a smaller gain is not looked for
_RAISE: Final = 600.0  # seconds until a larger size is tried again (PMTU_RAISE_TIMER)


class PathMTU:
    """The search on one path. Bytes and seconds.

    `size` is what may be used now. `maximum` bounds the search: the smaller of what we and the peer take; it is set
    when that is known. `probe_size(now)` says which size to try, and `sent` that it is on its way.
    """

    __slots__ = ("_failed", "_failures", "_in_flight", "_raise_at", "maximum", "size")

    def __init__(self, maximum: int) -> None:
        self.size = BASE
        self.maximum = maximum
        self._failed = 0  # the smallest size that did not get through; 0: none
        self._failures = 0  # probes of the present size that were lost
        self._in_flight = 0  # size of the probe that is on its way; 0: none
        self._raise_at: float | None = None

    def probe_size(self, now: float) -> int:
        """The size to try now; 0 when there is nothing to try."""
        if self._in_flight or self.maximum - self.size < _STEP:
            return 0
        if not self._failed:
            return self.maximum  # most paths carry it, and then this was the only probe
        if self._failed - self.size <= _STEP:
            if self._raise_at is None:
                self._raise_at = now + _RAISE
            if now < self._raise_at:
                return 0
            self._failed, self._raise_at = 0, None
            return self.maximum
        return (self.size + self._failed) // 2

    def sent(self, size: int) -> None:
        """A probe of this size is on its way."""
        self._in_flight = size

    def acked(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """A probe of `at` bytes has arrived."""
        self._in_flight = self._failures = 0
        self.size = max(self.size, min(at, self.maximum))

    def lost(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002
        """A probe of `at` bytes has not."""
        self._in_flight = 0
        self._failures += 1
        if self._failures >= _PROBES:
            self._failures = 0
            self._failed = at

    def black_hole(self) -> None:
        """Nothing arrives any more (RFC 8899 section 4.3)."""
        if self.size > BASE:
            self._failed, self._failures, self._raise_at = self.size, 0, None
            self.size = BASE
