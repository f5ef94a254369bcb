"""Application data that has come and was not read yet: datagram by datagram, as it was sent.

What is beyond a bound is dropped, as a network may.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from caesura.context import Limits
from caesura.dtls.reader import Record
from caesura.wire.dtls import RecordNumber

_COST: Final = 64  # bytes that a record that is held costs besides its content


class ApplicationData:
    """What `read` will give, and what is still held back."""

    __slots__ = ("_bytes_held", "_closed_at", "_held", "_limits", "datagrams")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.datagrams: deque[bytes] = deque()  # oldest first
        self._held: list[Record] = []
        self._bytes_held = 0
        self._closed_at: RecordNumber | None = None  # the record of the peer's close_notify

    def received(self, content: bytes) -> None:
        """One datagram's data."""
        if content and len(self.datagrams) < self._limits.received_datagrams:
            self.datagrams.append(content)

    def hold(self, record: Record) -> None:
        """Data of DTLS 1.2 that has overtaken the Finished, whose keys it has: it is believed when that has come."""
        cost = len(record.content) + _COST
        if self._bytes_held + cost <= self._limits.early_bytes:
            self._bytes_held += cost
            self._held.append(record)

    def release(self) -> list[Record]:
        """What was held, in the order it came in; it is held no longer."""
        held, self._held, self._bytes_held = self._held, [], 0
        return held

    def close(self, at: RecordNumber) -> None:
        """The peer's close_notify has come, in this record."""
        self._closed_at = at

    def too_late(self, number: RecordNumber, *, told: bool) -> bool:
        """Whether a record is behind the close_notify, or the application was `told` of that (RFC 9147 5.10)."""
        return self._closed_at is not None and (told or number > self._closed_at)

    def read(self, size: int) -> bytes:
        """The oldest datagram's data; of a longer one `size` bytes, and the rest the next time; b"" for none."""
        datagrams = self.datagrams
        if not datagrams or size == 0:
            return b""
        if size < 0 or len(datagrams[0]) <= size:
            return datagrams.popleft()
        data, datagrams[0] = datagrams[0][:size], datagrams[0][size:]
        return data

    def clear(self) -> None:
        """Forget what is held. What was received may still be read."""
        self.release()
