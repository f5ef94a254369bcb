"""Datagrams of the application (RFC 9221): whole or not at all, in no order, never sent again.

Both directions have a queue with a bound. What does not fit when it is to be sent is refused; when the application does
not read, the oldest goes: what it would read first is what has waited longest.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from caesura.errors import ProtocolViolation, UsageError
from caesura.quic import frames

_HEAD = 3  # bytes of a frame besides the data, at most, as long as packets are shorter than 16 KiB


_NONE_YET: Final[deque[bytes]] = deque(maxlen=0)
"""The queue of all who have had no datagram: an empty deque takes 760 bytes."""


class Datagrams:
    """One connection's. `own_limit` and `peer_limit`: max_datagram_frame_size, bytes of a whole frame; 0: none.

    `queue`: datagrams that wait in each direction. `dropped`: those that came and were not read.
    """

    __slots__ = ("_own_limit", "_queue", "_received", "_sending", "announced", "dropped", "peer_limit")

    def __init__(self, own_limit: int, queue: int) -> None:
        self._own_limit = own_limit
        self._queue = queue
        self._received = self._sending = _NONE_YET
        self.peer_limit = 0
        self.announced = False  # whether the application knows that there are some to read
        self.dropped = 0

    # --- to the peer ----------------------------------------------------------------------------------------------

    def longest(self, room: int) -> int:
        """Bytes that a datagram can have, of a packet that has `room` for frames; 0 when the peer takes none."""
        return max(min(self.peer_limit, room) - _HEAD, 0)

    def send(self, data: bytes, room: int) -> bool:
        """Queue a datagram; False when the queue is full. UsageError when it is too long, or the peer takes none.

        `room`: bytes that a packet has for frames.
        """
        if not self.peer_limit:
            raise UsageError("the peer takes no datagrams: it has not declared max_datagram_frame_size")
        if len(data) > self.longest(room):
            raise UsageError(f"a datagram of {len(data)} bytes, where {self.longest(room)} can be sent")
        if len(self._sending) >= self._queue:
            return False
        if self._sending is _NONE_YET:
            self._sending = deque()
        self._sending.append(data)
        return True

    def __bool__(self) -> bool:
        """Whether there is something to send."""
        return bool(self._sending)

    def write(self, room: int, pieces: list[bytes]) -> int:
        """DATAGRAM frames of at most `room` bytes together; how many bytes they take."""
        used = 0
        while self._sending:
            frame = frames.datagram(self._sending[0])
            if used + len(frame) > room:
                break
            self._sending.popleft()
            pieces.append(frame)
            used += len(frame)
        return used

    def fit(self, room: int) -> None:
        """Packets have become smaller: what fits into none of them is dropped."""
        longest = self.longest(room)
        if self._sending:
            self._sending = deque(data for data in self._sending if len(data) <= longest)

    def forget(self) -> None:
        """What waits is not sent: 0-RTT was rejected (RFC 9001 section 4.6.2)."""
        self._sending.clear()

    # --- from the peer --------------------------------------------------------------------------------------------

    def receive(self, data: bytes, size: int) -> None:
        """A DATAGRAM frame of `size` bytes. Raises ProtocolViolation when it is longer than we have declared."""
        if size > self._own_limit:
            text = f"a DATAGRAM frame of {size} bytes where {self._own_limit} are allowed"
            raise ProtocolViolation(text, section="RFC 9221 section 3")
        if len(self._received) >= self._queue:
            self._received.popleft()
            self.dropped += 1
        if self._received is _NONE_YET:
            self._received = deque()
        self._received.append(data)

    def read(self) -> bytes | None:
        """The next datagram; None when there is none now."""
        if len(self._received) <= 1:
            self.announced = False
        return self._received.popleft() if self._received else None
