"""The sending half of a stream (RFC 9000 sections 2.2 and 3.1).

Bytes move: from what the application has written into a packet, and if that is lost back into a queue, from which they
go before anything new. So they are held once, and nothing is searched for. What has been acknowledged is known as the
offset up to which all of it is, and the ranges beyond. Hot: `write_frame` and `acked` are called once per STREAM frame.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, Final

from caesura.errors import StreamStopped, UsageError
from caesura.quic import frames, varint
from caesura.quic.flow_control import SendCredit
from caesura.quic.outbox import LastingFrame, Outbox
from caesura.quic.ranges import RangeSet
from caesura.quic.sent_packets import Recall

if TYPE_CHECKING:
    from caesura.quic.schedule import Schedule


@unique
class SendState(Enum):
    """Figure 2."""

    READY = auto()
    SEND = auto()
    DATA_SENT = auto()
    DATA_RECVD = auto()
    RESET_SENT = auto()
    RESET_RECVD = auto()


@unique
class _Event(Enum):
    SENT = auto()  # a STREAM frame
    FIN = auto()  # … with the FIN bit
    ACKED = auto()  # all of it, or the RESET_STREAM
    RESET = auto()


_S, _E = SendState, _Event
TRANSITIONS: Final[dict[tuple[SendState, _Event], SendState]] = {
    (_S.READY, _E.SENT): _S.SEND,
    (_S.READY, _E.RESET): _S.RESET_SENT,
    (_S.SEND, _E.FIN): _S.DATA_SENT,
    (_S.SEND, _E.RESET): _S.RESET_SENT,
    (_S.DATA_SENT, _E.ACKED): _S.DATA_RECVD,
    (_S.DATA_SENT, _E.RESET): _S.RESET_SENT,
    (_S.RESET_SENT, _E.ACKED): _S.RESET_RECVD,
}
"""Figure 2; what is not here changes nothing."""

TERMINAL: Final = frozenset({SendState.DATA_RECVD, SendState.RESET_RECVD})
_RESETTABLE: Final = frozenset({SendState.READY, SendState.SEND, SendState.DATA_SENT})

_TYPES: Final = tuple(bytes((frames.STREAM | frames.STREAM_OFFSET | flags,)) for flags in range(4))
"""The type by the bits FIN and LEN. The offset always stands there: a byte at most, once in a stream's life."""

_NEARLY_LARGE: Final = 2**30 - 2**24  # offsets beyond the next packets of which may need eight bytes
_LONGEST: Final = 2**14 - 1  # bytes in a frame with a length of two bytes


class SendStream:
    """What we send on one stream. `connection`: the credit of all streams together.

    `offset`: up to where it has been sent, `end`: up to where it was written.
    """

    __slots__ = (
        "_acked",
        "_acked_to",
        "_chunks",
        "_connection",
        "_fin_acked",
        "_head",
        "_id",
        "_lost",
        "_outbox",
        "_reset",
        "_schedule",
        "_skip",
        "concluded",
        "credit",
        "end",
        "offset",
        "place",
        "state",
        "stop_code",
        "stream_id",
    )

    def __init__(self, stream_id: int, limit: int, connection: SendCredit, schedule: Schedule, outbox: Outbox) -> None:
        self._id = varint.encode(stream_id)
        self._head = _TYPES[0] + self._id
        self.stream_id = stream_id
        self.state = SendState.READY
        self.credit = SendCredit(limit, b"\x15" + self._id, outbox)
        self.offset = 0
        self.end = 0
        self.concluded = False  # `end` is final
        self.stop_code: int | None = None  # the peer's, if it wants no more
        self.place = 0  # the schedule's
        self._connection = connection
        self._schedule = schedule
        self._outbox = outbox
        self._chunks: deque[bytes] = deque()  # from `offset` on …
        self._skip = 0  # … but for so many bytes of the first one
        self._lost: list[tuple[int, int, bytes]] = []  # offset, FIN, bytes; a list, as an empty deque takes 760 bytes
        self._acked_to = 0
        self._acked: RangeSet | None = None  # beyond that
        self._fin_acked = False
        self._reset: LastingFrame | None = None

    # --- from the application -------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send these bytes too. UsageError behind the end, StreamStopped when the peer wants no more."""
        if self.stop_code is not None:
            raise StreamStopped(self.stop_code)
        if self.concluded or self.state is SendState.RESET_SENT:
            raise UsageError(f"stream {self.stream_id} is concluded: nothing more can be written")
        if data:
            self._chunks.append(data)
            self.end += len(data)
            self._schedule.ready(self)

    def conclude(self) -> None:
        """Nothing more will be written (FIN). A second time it does nothing."""
        if not self.concluded and self.state in _RESETTABLE:
            self.concluded = True
            self._schedule.ready(self)

    def reset(self, error_code: int) -> None:
        """Give the stream up: what has not arrived is not sent any more (section 3.3)."""
        if self.state not in _RESETTABLE:
            return
        self._happened(_Event.RESET)
        self._chunks.clear()
        self._skip = 0
        self._lost.clear()
        self.end = self.offset
        self.concluded = True
        frame = frames.numbers(frames.RESET_STREAM, self.stream_id, error_code, self.offset)
        self._reset = LastingFrame(self._outbox, frame, self._all_acked)

    @property
    def backlog(self) -> int:
        """Bytes that were written and not sent yet."""
        return self.end - self.offset

    @property
    def delivered(self) -> bool:
        """Whether all that was written has arrived, and its end if that was."""
        return self.state is SendState.RESET_SENT or (
            self._acked_to == self.end and (self._fin_acked or not self.concluded)
        )

    @property
    def over(self) -> bool:
        """Whether nothing of this half can happen any more."""
        return self.state in TERMINAL

    # --- from the peer --------------------------------------------------------------------------------------------

    def stop(self, error_code: int) -> bool:
        """STOP_SENDING: it is answered with a reset (section 3.5). Whether it is news."""
        if self.stop_code is not None or self.state not in _RESETTABLE:
            return False
        self.stop_code = error_code
        self.reset(error_code)
        return True

    def grow(self, limit: int) -> None:
        """MAX_STREAM_DATA."""
        if self.credit.grow(limit) and self.backlog:
            self._schedule.ready(self)

    # --- sending --------------------------------------------------------------------------------------------------

    def write_frame(self, room: int, pieces: list[bytes], recalls: list[Recall]) -> int:
        """One STREAM frame of at most `room` bytes; how many it takes, 0 when there is none to be sent.

        One that leaves almost no room behind it has no length, and takes all of it: nothing may follow.
        """
        if self._lost:
            return self._write_again(room, pieces, recalls)
        offset, connection = self.offset, self._connection
        size = left = self.end - offset
        permitted = min(self.credit.limit - offset, connection.limit - connection.used)
        if size > permitted:
            self._held_back(permitted)
            size = permitted
        place = _place(offset)
        head = len(self._head) + len(place)
        if size + head + 2 > room:  # bulk: the rest of the packet
            size = min(size, room - head)
            if size <= 0:
                return 0
            taken, fin = room, self.concluded and size == left
            pieces.append((_TYPES[1] + self._id if fin else self._head) + place)
        else:
            fin = self.concluded and size == left
            if size <= 0 and not (fin and self.state in _SENDING):
                return 0
            size = min(size, _LONGEST)
            fin = fin and size == left
            taken = head + 2 + size
            pieces.append(_TYPES[3 if fin else 2] + self._id + place + varint.encode_two(size))
        chunk, stop = self._chunks[0] if size else b"", self._skip + size
        if stop < len(chunk):
            data = chunk[self._skip : stop]
            self._skip = stop
        else:
            data = self._gather(size)
        pieces.append(data)
        recalls.append((self, offset, fin, data))
        self.offset = self.credit.used = offset + size
        connection.used += size
        if fin or not offset:
            self._happened(_Event.SENT)
            if fin:
                self._happened(_Event.FIN)
        return taken

    def write_bulk(self, room: int, count: int) -> list[tuple[bytes, tuple[Recall, ...]]]:
        """What `count` packets carry at most, each filled to its `room` bytes by one frame of new data.

        Nothing when it is not as simple as that, and fewer where it ceases to be: `write_frame` does the rest.
        """
        offset, connection = self.offset, self._connection
        if self._lost or not self._chunks or not offset:
            return []
        chunk, skip, head = self._chunks[0], self._skip, self._head
        form, width = (0x8000_0000, 4) if offset < _NEARLY_LARGE else (0xC000_0000_0000_0000, 8)
        size = room - len(head) - width
        permitted = min(self.credit.limit - offset, connection.limit - connection.used, len(chunk) - skip - 1)
        found: list[tuple[bytes, tuple[Recall, ...]]] = []
        for _ in range(min(count, permitted // size)):
            data = chunk[skip : skip + size]
            found.append((head + (offset | form).to_bytes(width, "big") + data, ((self, offset, 0, data),)))
            skip += size
            offset += size
        connection.used += offset - self.offset
        self.offset = self.credit.used = offset
        self._skip = skip
        return found

    def _held_back(self, permitted: int) -> None:
        if permitted == self.credit.limit - self.offset:
            self.credit.held_back()
        else:
            self._connection.held_back()

    def _gather(self, size: int) -> bytes:
        """The next bytes, out of more than one chunk or up to the end of one."""
        chunks, parts = self._chunks, []
        while size:
            chunk = chunks[0]
            part = chunk[self._skip : self._skip + size] if self._skip or size < len(chunk) else chunk
            parts.append(part)
            size -= len(part)
            self._skip += len(part)
            if self._skip == len(chunk):
                chunks.popleft()
                self._skip = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _write_again(self, room: int, pieces: list[bytes], recalls: list[Recall]) -> int:
        """What was lost, before anything new: it costs no credit (section 4.1)."""
        lost = self._lost
        offset, fin, data = lost[0]
        while offset + len(data) <= self._acked_to and (self._fin_acked or not fin):  # a late ACK, or another copy's
            del lost[0]
            if not lost:
                return self.write_frame(room, pieces, recalls)
            offset, fin, data = lost[0]
        place = _place(offset)
        head = len(self._head) + len(place)
        if len(data) + head + 2 > room:
            size = min(len(data), room - head)
            if size <= 0:
                return 0
            taken, length = room, b""
        else:
            size = min(len(data), _LONGEST)
            taken, length = head + 2 + size, varint.encode_two(size)
        if size < len(data):
            lost[0] = offset + size, fin, data[size:]
            data, fin = data[:size], 0
        else:
            del lost[0]
        pieces += _TYPES[(frames.STREAM_LENGTH if length else 0) | fin] + self._id + place + length, data
        recalls.append((self, offset, fin, data))
        return taken

    @property
    def sendable(self) -> bool:
        """Whether there is a frame to be sent, as far as this stream goes: the connection's credit is not looked at."""
        if self._lost:
            return True
        left = self.end - self.offset
        return self.credit.limit > self.offset if left else self.concluded and self.state in _SENDING

    @property
    def again(self) -> bool:
        """Whether there is something to be sent again, which costs no credit."""
        return bool(self._lost)

    # --- what became of it ----------------------------------------------------------------------------------------

    def acked(self, at: int, mark: int, data: bytes) -> None:
        """A frame has arrived; `mark`: with FIN."""
        if at == self._acked_to and self._acked is None:
            self._acked_to = at + len(data)
        else:
            self._acked_beyond(at, at + len(data))
        if mark:
            self._fin_acked = True
        if self._fin_acked and self._acked_to == self.end:
            self._all_acked()

    def _acked_beyond(self, start: int, stop: int) -> None:
        if self._acked is None:
            self._acked = RangeSet()
        ranges = self._acked
        ranges.add(max(start, self._acked_to), stop)
        if ranges.starts and ranges.starts[0] <= self._acked_to:
            self._acked_to = ranges.drop_first()
        if not ranges.starts:
            self._acked = None

    def lost(self, at: int, mark: int, data: bytes) -> None:
        """A frame may not have arrived: what is not known to have goes into the queue again."""
        if self.state not in _SENDING_AGAIN:
            return
        stop = at + len(data)
        start = max(at, self._acked_to)
        missing = [(start, stop)] if self._acked is None else self._acked.missing(start, stop)
        for first, last in missing:
            if first < last:
                self._lost.append((first, mark if last == stop else 0, data[first - at : last - at]))
        if mark and not self._fin_acked and not (missing and missing[-1][0] < missing[-1][1] == stop):
            self._lost.append((stop, mark, b""))
        if self._lost:
            self._schedule.ready(self)

    def _all_acked(self) -> None:
        self._happened(_Event.ACKED)
        if self.state in TERMINAL:
            self._lost.clear()
            self._schedule.over(self)

    def _happened(self, event: _Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)


_SENDING: Final = frozenset({SendState.READY, SendState.SEND})
_SENDING_AGAIN: Final = frozenset({SendState.SEND, SendState.DATA_SENT})


def _place(offset: int) -> bytes:
    """The offset in a form whose size hardly ever changes."""
    if offset < 0x4000_0000:
        return (offset | 0x8000_0000).to_bytes(4, "big")
    return (offset | 0xC000_0000_0000_0000).to_bytes(8, "big")
