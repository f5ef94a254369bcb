"""Fragments of handshake messages become whole messages, in the order of their numbers (RFC 9147 sections 5.2 and 5.5).

Fragments come in any order, overlap, and repeat. What is held for a message grows with what has come for it, never with
the length it claims: until there could be enough to complete it, its pieces are kept as they came; then they move into
one buffer with a bitmap. Messages ahead of the next one share a budget. The next one does not count in it, so that
whatever was kept before cannot keep it out.

A whole message stays here until the handshake asks for it: this is its inbox. It is kept as it would stand in one
piece, with its number: so the transcript of DTLS 1.2 takes it. DTLS 1.3 has it with the header of TLS.
"""

from __future__ import annotations

from enum import Enum, auto

from caesura.errors import IllegalParameter
from caesura.handshake.inbox import Inbox, unexpected
from caesura.wire.dtls import FRAGMENT_HEADER_LENGTH, Fragment, numbered, unpack_whole
from caesura.wire.messages import HEADER_LENGTH, HandshakeMessage, read_message

_PIECE = 64  # bytes that a piece costs besides its own


class Verdict(Enum):
    """What became of a fragment."""

    KEPT = auto()  # or was there already
    OLD = auto()  # of a message that was handed over before
    BEYOND = auto()  # too far ahead, or more than is held for later: as if it had been lost


class PartialMessage:
    """One message that is being put together; `header` has its type and its length."""

    __slots__ = ("_buffer", "_missing", "_pieces", "header", "held", "length")

    def __init__(self, header: bytes) -> None:
        self.header = header
        self.length = int.from_bytes(header[1:], "big")
        self.held = _PIECE
        self._pieces: list[tuple[int, bytes]] | None = []
        self._buffer = bytearray()
        self._missing = 1  # a bit for each byte once there is a buffer

    def add(self, offset: int, data: bytes) -> None:
        """One piece, which lies within the message."""
        if self._pieces is not None:
            self._pieces.append((offset, data))
            self.held += len(data) + _PIECE
            if self.held < self.length:
                return
            pieces, self._pieces = self._pieces, None
            self._buffer = bytearray(self.length)
            self._missing = (1 << self.length) - 1
            self.held = _PIECE + self.length + self.length // 8
        else:
            pieces = [(offset, data)]
        for start, piece in pieces:
            self._buffer[start : start + len(piece)] = piece
            self._missing &= ~(((1 << len(piece)) - 1) << start)

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self._missing == 0

    def beginning(self) -> bytes:
        """What is there of it without a gap from its first byte on."""
        if self._pieces is not None:
            found = b""
            for start, piece in sorted(self._pieces):
                if start > len(found):
                    break
                found += piece[len(found) - start :]
            return found
        gap = (self._missing & -self._missing).bit_length() - 1
        return bytes(self._buffer if self.complete else self._buffer[:gap])


class Reassembly(Inbox):
    """The peer's messages from `next_seq` on.

    `limit`: bytes of one message. `ahead`: how many messages from the next one on are kept. `budget`: bytes held for
    those behind the next one.
    """

    __slots__ = ("_ahead", "_budget", "_kept", "last_type", "next_seq", "numbered")

    def __init__(self, limit: int, ahead: int, budget: int, next_seq: int = 0) -> None:
        super().__init__(limit)
        self._ahead = ahead
        self._budget = budget
        self._kept: dict[int, bytes | PartialMessage] = {}  # a whole one as it stands in one piece
        self.numbered = False  # whether messages are handed over as they are kept: DTLS 1.2
        self.next_seq = next_seq
        self.last_type = -1  # of the messages that were handed over

    def add_whole(self, content: bytes) -> bool:
        """Take a record of whole messages, the next ones in their order, as nearly all are.

        False, and nothing is done, for anything else: the long way, `add`, judges what was declined here.
        """
        size, first = len(content), self.next_seq
        if self._kept or size + 2 * _PIECE * self._ahead > self._budget:
            return False
        pos, seq, end, found = 0, first, first + self._ahead, []
        while size - pos >= FRAGMENT_HEADER_LENGTH and seq < end:
            head, place = unpack_whole(content, pos)
            length = head & 0xFFFFFF
            stop = pos + FRAGMENT_HEADER_LENGTH + length
            if place != seq << 48 | length or length > self.limit or stop > size:
                return False
            found.append(content[pos:stop])
            pos = stop
            seq += 1
        if pos < size or not found:
            return False
        self._kept.update(enumerate(found, first))
        return True

    def add(self, fragment: Fragment) -> Verdict:
        """Take a fragment. IllegalParameter for one that contradicts an earlier one, or of too long a message."""
        seq, header, data = fragment.message_seq, fragment.header, fragment.data
        ahead = seq - self.next_seq
        if ahead < 0:
            return Verdict.OLD
        if fragment.length > self.limit:
            raise IllegalParameter(f"a handshake message of {fragment.length} bytes where {self.limit} are allowed")
        if ahead >= self._ahead:
            return Verdict.BEYOND
        kept = self._kept.get(seq)
        if kept is not None and (kept if isinstance(kept, bytes) else kept.header)[:HEADER_LENGTH] != header:
            raise IllegalParameter("two fragments of one message that differ in type or length")
        if isinstance(kept, bytes):
            return Verdict.KEPT
        if ahead and self._held_ahead() + len(data) + 2 * _PIECE > self._budget:
            return Verdict.BEYOND
        if len(data) == fragment.length:  # all of it at once, as nearly always
            self._kept[seq] = numbered(header + data, seq)
            return Verdict.KEPT
        partial = PartialMessage(header) if kept is None else kept
        partial.add(fragment.offset, data)
        self._kept[seq] = numbered(header + partial.beginning(), seq) if partial.complete else partial
        return Verdict.KEPT

    def pop(self) -> bytes | None:
        """The next message with the header of TLS, once it is whole."""
        whole = self._pop()
        return None if whole is None else _without_number(whole)

    def _pop(self) -> bytes | None:
        whole = self._kept.get(self.next_seq)
        if not isinstance(whole, bytes):
            return None
        del self._kept[self.next_seq]
        self.next_seq += 1
        self.last_type = whole[0]
        return whole

    def take(self, types: tuple[type[HandshakeMessage], ...]) -> HandshakeMessage | None:
        """The next message, which must be of one of `types`; None while it is not whole.

        Its epoch was looked at when it came: a message of another is none (see the connection).
        """
        whole = self._pop() if self._kept else None
        if whole is None:
            return None
        for each in types:
            if each.msg_type == whole[0]:
                if self.numbered:
                    return read_message(each, whole, FRAGMENT_HEADER_LENGTH)
                return read_message(each, _without_number(whole))
        raise unexpected(whole, types)

    @property
    def empty(self) -> bool:
        """Whether nothing is held, whole or in part."""
        return not self._kept

    def last_whole(self) -> int | None:
        """The type of the last message of those that are whole without a gap; None when the next one is not."""
        kind, seq = None, self.next_seq
        while isinstance(raw := self._kept.get(seq), bytes):
            kind, seq = raw[0], seq + 1
        return kind

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def _held_ahead(self) -> int:
        ahead = [kept for seq, kept in self._kept.items() if seq != self.next_seq]
        return sum(len(kept) + _PIECE if isinstance(kept, bytes) else kept.held for kept in ahead)


def _without_number(whole: bytes) -> bytes:
    """A message in one piece with the header of TLS."""
    return whole[:HEADER_LENGTH] + whole[FRAGMENT_HEADER_LENGTH:]
