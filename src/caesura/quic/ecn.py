"""Explicit congestion notification: whether a path carries our marks, and what the peer says of them (RFC 9000 13.4).

What is sent is marked ECT(0) at first. When the peer's counts show that the marks arrive, that goes on; when they do
not add up (a network that clears or changes them, a peer that does not count), nothing is marked any more. So whoever
sends our datagrams and cannot mark them does no harm. A mark that says Congestion Experienced counts as a lost packet
does (RFC 9002 section 7.1), and costs no retransmission.
"""

from __future__ import annotations

from enum import Enum, auto, unique
from typing import Final

from caesura.quic.frames import EcnCounts

ECT0: Final = 2  # the two bits in the IP header (RFC 3168 section 5)

_TESTING: Final = 10  # packets that are marked until there is an answer
_SILENCE: Final = 2  # probe timeouts in a row, from which on nothing is marked: perhaps it is marks that get lost


@unique
class EcnState(Enum):
    """Of a path (appendix A.4)."""

    TESTING = auto()
    UNKNOWN = auto()  # enough was marked, and there is no answer
    CAPABLE = auto()
    FAILED = auto()


class Ecn:
    """One connection's marks, on the path in use. `enabled`: whether any are wanted.

    `marking`: whether what is sent now is marked; it changes between bursts alone, see `begin`.
    """

    __slots__ = ("_counts", "_enabled", "_lost", "_sent", "_testing", "marking", "state")

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._sent = [0, 0, 0]  # packets that were marked, by space
        self._counts: list[EcnCounts] = [(0, 0, 0)] * 3  # the peer's
        self.marking = False
        self.reset()

    def reset(self) -> None:
        """Another path: whether it carries marks is not known."""
        self.state = EcnState.TESTING if self._enabled else EcnState.FAILED
        self._testing = 0  # marked packets on this path, until there is an answer …
        self._lost = 0  # … and those of them that are lost

    def begin(self, probes: int) -> bool:
        """A burst begins, after so many probe timeouts in a row: whether it is marked."""
        state = self.state
        self.marking = (state is EcnState.CAPABLE or state is EcnState.TESTING) and probes < _SILENCE
        return self.marking

    def sent(self, space: int, count: int) -> None:
        """So many packets were marked."""
        self._sent[space] += count
        if self.state is EcnState.TESTING:
            self._testing += count
            if self._testing >= _TESTING:
                self.state = EcnState.UNKNOWN

    def lost(self, marked: int) -> None:
        """So many marked packets are lost. If all are, it may be because of the mark."""
        if self.state in (EcnState.TESTING, EcnState.UNKNOWN):
            self._lost += marked
            if self._lost >= self._testing:
                self.state = EcnState.FAILED

    def acknowledged(self, space: int, marked: int, counts: EcnCounts | None) -> bool:
        """An ACK of the newest packets yet: `marked` of them were, for the first time. Whether there was congestion.

        `counts`: ECT(0), ECT(1) and CE, as the frame has them.
        """
        if self.state is EcnState.FAILED:
            return False
        before = self._counts[space]
        ect0, ect1, ce = before if counts is None else counts
        more = ect0 - before[0] + ce - before[2]
        if ect1 or ect0 > self._sent[space] or ect0 < before[0] or ce < before[2] or more < marked:
            self.state = EcnState.FAILED
            return False
        self._counts[space] = (ect0, ect1, ce)
        if marked:
            self.state = EcnState.CAPABLE
        return ce > before[2]
