"""Small frames that wait to be sent, and are sent again until they have arrived or are of no use any more.

All but ACK, CRYPTO, STREAM and DATAGRAM frames go this way (RFC 9000 section 13.3). A frame is not made before there is
a packet for it, so that it says what is true then: the newest limit, not the one that was due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from caesura.quic.sent_packets import Recall, Recallable


class Writer(Recallable, Protocol):
    """Whoever has something to say in one small frame at a time."""

    def frame(self, now: float, round_trip: float) -> tuple[bytes, int]:
        """The frame, and `at` for its recall; no bytes when there is nothing to say any more. Seconds.

        It may be asked for again before it is sent.
        """


class Outbox:
    """Writers that have something to say, first come first served."""

    __slots__ = ("_there", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Writer] = []  # few, mostly none; a list, as an empty deque takes 760 bytes
        self._there: set[Writer] = set()

    def put(self, writer: Writer) -> None:
        """Ask this one for a frame when there is a packet; once is enough."""
        if writer not in self._there:
            self._there.add(writer)
            self._waiting.append(writer)

    def write(self, room: int, pieces: list[bytes], recalls: list[Recall], now: float, round_trip: float) -> int:
        """Frames of at most `room` bytes together; how many bytes they take. Seconds."""
        waiting, used = self._waiting, 0
        while waiting:
            writer = waiting[0]
            frame, at = writer.frame(now, round_trip)
            if used + len(frame) > room:
                break
            del waiting[0]
            self._there.discard(writer)
            if frame:
                pieces.append(frame)
                recalls.append((writer, at, 0, b""))
                used += len(frame)
        return used

    def clear(self) -> None:
        """Nobody has anything to say any more."""
        self._waiting.clear()
        self._there.clear()

    def __bool__(self) -> bool:
        return bool(self._waiting)


class LastingFrame:
    """A frame that stays the same until it arrives, or is called off. `on_acked`: what to do then."""

    __slots__ = ("_bytes", "_on_acked", "_outbox")

    def __init__(self, outbox: Outbox, frame: bytes, on_acked: Callable[[], None] | None = None) -> None:
        self._outbox = outbox
        self._bytes = frame
        self._on_acked = on_acked
        outbox.put(self)

    def call_off(self) -> None:
        """It is of no use any more."""
        self._bytes = b""

    def frame(self, now: float, round_trip: float) -> tuple[bytes, int]:  # noqa: ARG002 - Writer
        """The frame."""
        return self._bytes, 0

    def acked(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """It has arrived."""
        if self._bytes:
            self._bytes = b""
            if self._on_acked is not None:
                self._on_acked()

    def lost(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """Send it again."""
        if self._bytes:
            self._outbox.put(self)
