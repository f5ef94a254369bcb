"""Which stream is sent from next (RFC 9000 section 2.3): each in its turn, some packets long.

A turn of one packet would be fairer and cost more; one of a whole window would let the others wait for a round trip.
Streams that wait for the connection's credit stand aside, so that a thousand of them cost nothing. Hot: once a packet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caesura.quic.flow_control import SendCredit
from caesura.quic.send_stream import SendStream
from caesura.quic.sent_packets import Recall

_TURN: Final = 16 * 1200  # bytes: about a burst

_NOWHERE, _READY, _HELD = range(3)  # `SendStream.place`


class Schedule:
    """Streams with something to send. `credit`: the connection's. `on_over` is told of streams that have sent all."""

    __slots__ = ("_credit", "_held", "_on_over", "_ready", "_turn")

    def __init__(self, credit: SendCredit, on_over: Callable[[SendStream], None]) -> None:
        self._credit = credit
        self._on_over = on_over
        self._ready: list[SendStream] = []  # few, mostly none; a list, as an empty deque takes 760 bytes
        self._held: list[SendStream] = []
        self._turn = 0  # bytes that the first one has sent in its turn

    def ready(self, stream: SendStream) -> None:
        """A stream may have something to send."""
        if stream.place == _NOWHERE or (stream.place == _HELD and stream.again):
            stream.place = _READY
            self._ready.append(stream)

    def release(self) -> None:
        """The connection's credit has grown."""
        held, self._held = self._held, []
        for stream in held:
            if stream.place == _HELD:
                stream.place = _READY
                self._ready.append(stream)

    def over(self, stream: SendStream) -> None:
        """All that a stream will ever send has arrived."""
        self._on_over(stream)

    def write(self, room: int, pieces: list[bytes], recalls: list[Recall]) -> int:
        """STREAM frames of at most `room` bytes together; how many bytes they take."""
        ready, used = self._ready, 0
        while ready:
            stream = ready[0]
            size = stream.write_frame(room - used, pieces, recalls)
            used += size
            if used == room:  # the packet is full; whether there is more is seen next time
                self._turn += size
                if self._turn >= _TURN:
                    self._turn = 0
                    ready.append(ready.pop(0))
                break
            if size:
                continue
            if not stream.sendable:
                place = _NOWHERE
            elif stream.again or self._credit.room:
                break  # no room in the packet
            else:
                place = _HELD
                self._held.append(stream)
            del ready[0]
            self._turn = 0
            stream.place = place
        return used

    def write_bulk(self, room: int, count: int) -> list[tuple[bytes, tuple[Recall, ...]]]:
        """What `count` packets carry at most, each filled to its `room` bytes by one frame; see `SendStream`.

        Fewer, or none, when there is more to it: then `write` makes the next packet.
        """
        ready = self._ready
        if not ready:
            return []
        if len(ready) > 1:
            count = min(count, max((_TURN - self._turn) // room, 1))
        found = ready[0].write_bulk(room, count)
        self._turn += room * len(found)
        if self._turn >= _TURN:
            self._turn = 0
            ready.append(ready.pop(0))
        return found

    def __bool__(self) -> bool:
        """Whether there may be something to send."""
        return bool(self._ready)
