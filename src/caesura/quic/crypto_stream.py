"""Handshake bytes of one encryption level in CRYPTO frames (RFC 9000 sections 7.5 and 19.6).

A stream in both directions without flow control, end or reset. What may come ahead of its turn is bounded in bytes; how
long the messages in it are is for the handshake to judge. What a level sends is lost with its keys and not before.
"""

from __future__ import annotations

from typing import Final

from caesura.errors import CryptoBufferExceeded
from caesura.quic import varint
from caesura.quic.reassembly import PieceBudget, Reassembly
from caesura.quic.sent_packets import Recall

_PIECES: Final = 256  # small ones ahead of their turn: some clients cut their first hello to bits, and shuffle them
_LONGEST: Final = 2**14 - 1  # bytes in a frame: its length takes two bytes
_WORTHWHILE: Final = 32  # bytes; no frame for less, unless that is all there is


class CryptoStream:
    """One level's handshake bytes. `limit`: bytes that are kept ahead of those before them."""

    __slots__ = ("_arrived", "_data", "_limit", "_lost", "_offset", "_unsent")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = Reassembly(PieceBudget(_PIECES))
        self._unsent = b""
        self._offset = 0  # of the first byte that was never sent
        self._arrived = 0  # up to where the peer is known to have it
        self._lost: list[tuple[int, bytes]] = []  # a few at most; a list, as an empty deque takes 760 bytes

    # --- from the peer --------------------------------------------------------------------------------------------

    def receive(self, offset: int, data: bytes) -> None:
        """A CRYPTO frame. Raises CryptoBufferExceeded, and TransportError for pieces that are too fine."""
        if offset + len(data) - self._data.next > self._limit:
            raise CryptoBufferExceeded(
                f"handshake bytes to {offset + len(data)}, where {self._data.next} have come", section="RFC 9000 7.5"
            )
        self._data.add(offset, data)

    def read(self) -> bytes:
        """What has come in order since the last time."""
        return self._data.take()

    @property
    def ahead(self) -> bool:
        """Whether something waits for bytes before it."""
        return self._data.ahead

    # --- to the peer ----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send these bytes too."""
        self._unsent += data

    def __bool__(self) -> bool:
        """Whether there is something to send, for the first time or again."""
        return bool(self._unsent or self._lost)

    def write_frame(self, room: int, pieces: list[bytes], recalls: list[Recall]) -> int:
        """One CRYPTO frame of at most `room` bytes; how many it takes, 0 when there is none to be sent."""
        if self._lost:
            offset, data = self._lost[0]
        elif self._unsent:
            offset, data = self._offset, self._unsent
        else:
            return 0
        place = varint.encode(offset)
        size = min(len(data), room - len(place) - 3, _LONGEST)
        if size < min(len(data), _WORTHWHILE):
            return 0
        rest = data[size:]
        data = data[:size]
        if not self._lost:
            self._unsent = rest
            self._offset += size
        elif rest:
            self._lost[0] = offset + size, rest
        else:
            del self._lost[0]
        pieces += b"\x06" + place + varint.encode_two(size), data
        recalls.append((self, offset, 0, data))
        return 3 + len(place) + size

    def acked(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """It has arrived: if it was to be sent again, it need not be."""
        stop = at + len(data)
        if at <= self._arrived < stop:
            self._arrived = stop
        waiting, self._lost = self._lost, []
        for offset, piece in waiting:
            if offset < at:
                self._lost.append((offset, piece[: at - offset]))
            behind = max(stop - offset, 0)
            if behind < len(piece):
                self._lost.append((offset + behind, piece[behind:]))

    def lost(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """It may not have arrived, unless another packet has brought it."""
        behind = max(self._arrived - at, 0)
        if behind < len(data):
            self._lost.append((at + behind, data[behind:]))

    def close(self) -> None:
        """The level's keys are gone: nothing can be sent or read any more."""
        self._unsent = b""
        self._lost.clear()
        self._data.clear()
