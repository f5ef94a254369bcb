"""Application data that has come and was not read yet, and what has overtaken the handshake's end."""

from __future__ import annotations

from typing import Final

from caesura.context import Limits
from caesura.dtls.datagram_queue import DatagramQueue
from caesura.dtls.reader import Record
from caesura.wire.dtls import RecordNumber

_COST: Final = 64  # bytes that a record that is held costs besides its content


class ApplicationData(DatagramQueue):
    """What `read` will give, and what is still held back."""

    __slots__ = ("_bytes_held", "_closed_at", "_held", "_limits")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits.received_datagrams)
        self._limits = limits
        self._held: list[Record] = []
        self._bytes_held = 0
        self._closed_at: RecordNumber | None = None  # the record of the peer's close_notify

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

    def clear(self) -> None:
        """Forget what is held. What was received may still be read."""
        self.release()
