"""The sliding window that tells records that were seen before (RFC 9147 section 4.5.1, RFC 4303 section 3.4.3).

Hot: asked once per record. What lies left of the window counts as seen.
"""

from __future__ import annotations


class ReplayWindow:
    """The sequence numbers seen in one epoch; `highest` is -1 before the first."""

    __slots__ = ("_bitmap", "_mask", "highest", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.highest = -1
        self._bitmap = 0  # bit n: whether `highest - n` was seen
        self._mask = (1 << size) - 1

    def seen(self, sequence: int) -> bool:
        """Whether this number was marked, or is too old to know."""
        behind = self.highest - sequence
        return behind >= 0 and (behind >= self.size or self._bitmap >> behind & 1 == 1)

    def take(self, sequence: int) -> bool:
        """Mark the number of a record that has proved to be genuine; False when it was seen before."""
        if sequence == self.highest + 1:  # nearly always
            self._bitmap = self._bitmap << 1 & self._mask | 1
            self.highest = sequence
            return True
        if self.seen(sequence):
            return False
        self.mark(sequence)
        return True

    def mark(self, sequence: int) -> None:
        """A record with this number, which was not seen, has proved to be genuine."""
        ahead = sequence - self.highest
        if ahead <= 0:
            self._bitmap |= 1 << -ahead
            return
        # A number far ahead must not make a bitmap as long as the gap.
        self._bitmap = (self._bitmap << ahead & self._mask | 1) if ahead < self.size else 1
        self.highest = sequence
