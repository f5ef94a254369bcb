"""Pieces of a byte stream, in any order, become its bytes in order (RFC 9000 sections 2.2 and 19.6).

Pieces come in any order, overlap, and repeat; of bytes that come twice the first ones count. How far ahead they may lie
is for flow control or the crypto buffer to say. What is bounded here is how finely they may be cut (section 21.7): a
piece costs far more than the one byte it may bring. In order, small pieces are joined; ahead of their turn they are
joined with the piece they follow, and what then is still too fine ends the connection.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from caesura.errors import TransportError

_SMALL: Final = 128
"""Bytes on average from which on pieces are no burden."""


class PieceBudget:
    """How many pieces the streams of a connection hold ahead of their turn, together.

    `allowance` pieces of any size, and as many more as make `_SMALL` bytes on average.
    """

    __slots__ = ("allowance", "held", "pieces")

    def __init__(self, allowance: int) -> None:
        self.allowance = allowance
        self.pieces = 0
        self.held = 0  # bytes

    def check(self) -> None:
        """Raise TransportError (INTERNAL_ERROR) when there are too many."""
        if self.pieces > self.allowance + self.held // _SMALL:
            raise TransportError(f"{self.pieces} pieces of {self.held} bytes wait for those before them")


class Reassembly:
    """One stream of bytes. `next`: the offset up to which it is there without a gap. `ready`: bytes to be taken."""

    __slots__ = ("_budget", "_chunks", "_pieces", "_skip", "_starts", "next", "ready")

    def __init__(self, budget: PieceBudget) -> None:
        self._budget = budget
        self._chunks: list[bytes] = []  # in order, not taken yet …
        self._skip = 0  # … but for so many bytes of the first one
        self._starts: list[int] = []  # ascending: where there is a piece ahead of its turn; none overlap
        self._pieces: dict[int, bytes] = {}
        self.next = 0
        self.ready = 0

    # --- bytes in -------------------------------------------------------------------------------------------------

    def add(self, offset: int, data: bytes) -> None:
        """One piece. TransportError (INTERNAL_ERROR) when too many small ones wait."""
        if offset == self.next and not self._starts:
            size = len(data)
            if size >= _SMALL:
                self._chunks.append(data)
                self.next = offset + size
                self.ready += size
            else:
                self._append(data)
            return
        behind = self.next - offset
        if behind >= len(data) or not data:
            return
        if behind > 0:
            offset, data = self.next, data[behind:]
        self._insert(offset, data)
        if self._starts[0] == self.next:
            self._deliver()
        self._budget.check()

    def _append(self, data: bytes) -> None:
        size = len(data)
        if size < _SMALL:
            if not size:
                return
            if len(self._chunks) > 64 + self.ready // _SMALL:
                self._chunks = [b"".join(self._chunks)]
        self._chunks.append(data)
        self.next += size
        self.ready += size

    def _insert(self, offset: int, data: bytes) -> None:
        """Keep of a piece what is not there already."""
        starts, pieces = self._starts, self._pieces
        index = bisect_right(starts, offset)
        if index:
            there = starts[index - 1] + len(pieces[starts[index - 1]]) - offset
            if there >= len(data):
                return
            if there > 0:
                offset, data = offset + there, data[there:]
        stop = offset + len(data)
        while index < len(starts) and starts[index] < stop:
            start = starts[index]
            index += 1
            if start > offset:
                index += self._put(index - 1, offset, data[: start - offset])
            end = start + len(pieces[start])
            if end >= stop:
                return
            offset, data = end, data[end - offset :]
        self._put(index, offset, data)

    def _put(self, index: int, offset: int, data: bytes) -> int:
        """Put a piece where nothing is, before the piece with this index; how many pieces there are more by that."""
        self._budget.held += len(data)
        if index:
            start = self._starts[index - 1]
            before = self._pieces[start]
            if start + len(before) == offset and len(before) + len(data) <= 2 * _SMALL:
                self._pieces[start] = before + data
                return 0
        self._starts.insert(index, offset)
        self._pieces[offset] = data
        self._budget.pieces += 1
        return 1

    def _deliver(self) -> None:
        """What was ahead of its turn is not any more."""
        starts, pieces = self._starts, self._pieces
        count = held = 0
        for start in starts:
            if start != self.next:
                break
            piece = pieces.pop(start)
            self._append(piece)
            count += 1
            held += len(piece)
        del starts[:count]
        self._budget.pieces -= count
        self._budget.held -= held

    # --- bytes out ------------------------------------------------------------------------------------------------

    def take(self, size: int = -1) -> bytes:
        """At most `size` bytes, in order; all that are ready when it is negative."""
        chunks = self._chunks
        if size < 0 or size >= self.ready:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self._skip:
                data = data[self._skip :]
            chunks.clear()
            self._skip = self.ready = 0
            return data
        self.ready -= size
        stop = self._skip + size  # counted from the first byte of the first chunk
        index = total = 0
        while total + len(chunks[index]) <= stop:
            total += len(chunks[index])
            index += 1
        if not index:
            data = chunks[0][self._skip : stop]
            self._skip = stop
            return data
        parts = chunks[:index]
        parts[0] = parts[0][self._skip :]
        if stop > total:
            parts.append(chunks[index][: stop - total])
        del chunks[:index]
        self._skip = stop - total
        return b"".join(parts)

    @property
    def ahead(self) -> bool:
        """Whether something waits for what is before it."""
        return bool(self._starts)

    def clear(self) -> None:
        """Drop whatever is held."""
        self._budget.pieces -= len(self._starts)
        self._budget.held -= sum(map(len, self._pieces.values()))
        self._starts.clear()
        self._pieces.clear()
        self._chunks.clear()
        self._skip = self.ready = 0
