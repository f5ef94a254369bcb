"""Handshake messages are cut to the size of the path: fragments into records, records into datagrams (RFC 9147 5.5).

A datagram is filled before the next one begins, and so is a record; a record holds fragments of one epoch. Nothing is
sealed here, and nothing is known of why something is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from caesura.errors import InternalError
from caesura.wire.dtls import FRAGMENT_HEADER_LENGTH, numbered, piece
from caesura.wire.messages import HEADER_LENGTH

Range = tuple[int, int]  # from, to: bytes of a message's body; (0, 0) stands for the header of an empty one


class OutgoingMessage:
    """A message of ours of `length` bytes, header aside; `missing` is what the peer is not known to have."""

    __slots__ = ("epoch", "length", "missing", "whole")

    def __init__(self, epoch: int, message_seq: int, message: bytes) -> None:
        self.epoch = epoch
        self.whole = numbered(message, message_seq)  # in one piece, as nearly always
        self.length = len(message) - HEADER_LENGTH
        self.missing: list[Range] = [(0, self.length)]

    def lose(self) -> None:
        """Nothing of it is known to have arrived."""
        self.missing = [(0, self.length)]

    def arrived(self, start: int, stop: int) -> None:
        """The peer has this part."""
        if start == stop:
            self.missing = []
            return
        left: list[Range] = []
        for first, last in self.missing:
            if first < start:
                left.append((first, min(last, start)))
            if last > stop:
                left.append((max(first, stop), last))
        self.missing = [each for each in left if each[0] < each[1]]

    def fragment(self, start: int, stop: int) -> bytes:
        """One fragment of it, with its header."""
        return self.whole if stop - start == self.length else piece(self.whole, start, stop)


class ChangeCipherSpec:
    """Where a flight of DTLS 1.2 changes its keys: one record of the epoch before, and no message (RFC 5246 7.1)."""

    __slots__ = ("epoch", "missing")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.missing: list[Range] = [(0, 1)]

    def lose(self) -> None:
        """It is never known to have arrived."""


Part = tuple[OutgoingMessage, int, int]  # a message, and which bytes of it


PlannedRecord = tuple[int, list[Part]]
"""A record to be sealed: its epoch, and what it holds; no part of any message where it is ChangeCipherSpec."""


def plan(
    messages: Iterable[OutgoingMessage | ChangeCipherSpec],
    overhead_of: Callable[[int], int],
    mtu: int,
    max_content: int,
) -> list[list[PlannedRecord]]:
    """Datagrams of at most `mtu` bytes, and the records in each, with all that is missing of the messages.

    `overhead_of`: what a record of an epoch costs besides its content, in bytes. `max_content`: bytes of content that a
    record may have. Raises InternalError when not a single byte would fit.
    """
    datagrams: list[list[PlannedRecord]] = []
    parts: list[Part] = []
    current = -1  # the epoch of the record to which these belong, if there is one
    left = room = 0  # bytes that still fit into the datagram, and of a body into the record
    for message in messages:
        if isinstance(message, ChangeCipherSpec):
            needed = overhead_of(message.epoch) + 1
            if left < needed:
                left = mtu
                datagrams.append([])
            datagrams[-1].append((message.epoch, []))
            left -= needed
            current = -1
            continue
        epoch = message.epoch
        for start, end in message.missing:
            while True:
                if epoch != current or room < (start < end):
                    overhead = overhead_of(epoch)  # only here: the keys of what has arrived may be gone
                    needed = overhead + FRAGMENT_HEADER_LENGTH + (start < end)
                    if mtu < needed:
                        raise InternalError(f"mtu: {mtu} bytes leave no room beside {overhead} of a record")
                    if left < needed:
                        left = mtu
                        datagrams.append([])
                    current, parts = epoch, []
                    datagrams[-1].append((epoch, parts))
                    left -= overhead
                    room = min(left, max_content) - FRAGMENT_HEADER_LENGTH
                stop = end if end - start <= room else start + room
                parts.append((message, start, stop))
                used = FRAGMENT_HEADER_LENGTH + stop - start
                left -= used
                room -= used
                start = stop
                if stop >= end:
                    break
    return datagrams
