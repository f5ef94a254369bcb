"""How much data may be sent (RFC 9000 section 4): credit in both directions, of a stream and of the whole connection.

`SendCredit` is what the peer permits us, `ReceiveCredit` what we permit it. Both go by absolute offsets and are raised,
never lowered. A window we offer grows when it is used up within two round trips: then it was what held the peer back.
Retransmissions cost nothing; what a stream was reset with counts as received (section 4.5).

`head` is the frame that tells of it up to the limit: the type, and a stream's id.
"""

from __future__ import annotations

from typing import Final

from caesura.errors import FlowControlError
from caesura.quic import varint
from caesura.quic.outbox import Outbox

_ROUND_TRIPS: Final = 2.0  # within which a window that is used up is too small


class SendCredit:
    """Bytes we may send. `limit` is the peer's, `used` what we have sent."""

    __slots__ = ("_head", "_outbox", "_told_at", "limit", "used")

    def __init__(self, limit: int, head: bytes, outbox: Outbox) -> None:
        self.limit = limit
        self.used = 0
        self._head = head
        self._outbox = outbox
        self._told_at = -1  # the limit at which we said that it holds us back

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return self.limit - self.used

    def grow(self, limit: int) -> bool:
        """The peer permits more; False when it is not more, as when frames change places."""
        if limit <= self.limit:
            return False
        self.limit = limit
        return True

    def held_back(self) -> None:
        """There is more to send than may be sent: the peer is told, once for each limit."""
        if self._told_at != self.limit:
            self._told_at = self.limit
            self._outbox.put(self)

    def frame(self, now: float, round_trip: float) -> tuple[bytes, int]:  # noqa: ARG002 - Writer
        """DATA_BLOCKED or STREAM_DATA_BLOCKED, if that is still so."""
        if self._told_at != self.limit:
            return b"", 0
        return self._head + varint.encode(self.limit), self.limit

    def acked(self, at: int, mark: int, data: bytes) -> None:
        """The peer knows."""

    def lost(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """The peer may not know."""
        if at == self.limit:
            self._outbox.put(self)


class ReceiveCredit:
    """Bytes the peer may send. `window`: how far ahead of what was `consumed` it may be, at most `maximum` in the end.

    `received` is the highest offset that has come, or the sum of those of all streams.
    """

    __slots__ = ("_head", "_outbox", "_raised_at", "consumed", "limit", "maximum", "received", "window")

    def __init__(self, window: int, maximum: int, head: bytes, outbox: Outbox) -> None:
        self.window = self.limit = window
        self.maximum = max(window, maximum)
        self.received = 0
        self.consumed = 0
        self._head = head
        self._outbox = outbox
        self._raised_at: float | None = None

    def check(self) -> None:
        """Raise FlowControlError when more was received than is permitted."""
        if self.received > self.limit:
            raise FlowControlError(f"{self.received} bytes where {self.limit} are allowed", section="RFC 9000 4.1")

    def consume(self, size: int) -> None:
        """So many bytes more are not held any more. The peer is told of a new limit once half the window is used up."""
        self.consumed += size
        if self.limit - self.consumed <= self.window >> 1 and size:
            self._outbox.put(self)

    def close(self) -> None:
        """No more will come: there is nothing to tell the peer."""
        self.window = 0

    def frame(self, now: float, round_trip: float) -> tuple[bytes, int]:
        """MAX_DATA or MAX_STREAM_DATA."""
        if not self.window:
            return b"", 0
        if self.consumed + self.window > self.limit:
            if self._raised_at is not None and now - self._raised_at < _ROUND_TRIPS * round_trip:
                self.window = min(2 * self.window, self.maximum)
            self._raised_at = now
            self.limit = self.consumed + self.window
        return self._head + varint.encode(self.limit), self.limit

    def acked(self, at: int, mark: int, data: bytes) -> None:
        """The peer knows."""

    def lost(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """The peer may not know; it need not, if it was told more later."""
        if at == self.limit:
            self._outbox.put(self)
