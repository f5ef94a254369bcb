"""Handshake messages are cut to the size of the path: fragments into records, records into datagrams (RFC 9147 5.5).

A datagram is filled before the next one begins, and so is a record; a record holds fragments of one epoch. Nothing is
sealed here, and nothing is known of why something is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from caesura.errors import InternalError
from caesura.wire.dtls import FRAGMENT_HEADER_LENGTH, encode_fragment
from caesura.wire.registries import ContentType

_CHANGE_CIPHER_SPEC: Final = int(ContentType.change_cipher_spec)
_HANDSHAKE: Final = int(ContentType.handshake)

Range = tuple[int, int]  # from, to: bytes of a message's body; (0, 0) stands for the header of an empty one


class OutgoingMessage:
    """A message of ours; `missing` is what the peer is not known to have."""

    __slots__ = ("body", "epoch", "message_seq", "missing", "msg_type")

    def __init__(self, epoch: int, msg_type: int, message_seq: int, body: bytes) -> None:
        self.epoch = epoch
        self.msg_type = msg_type
        self.message_seq = message_seq
        self.body = body
        self.missing: list[Range] = [(0, len(body))]

    def lose(self) -> None:
        """Nothing of it is known to have arrived."""
        self.missing = [(0, len(self.body))]

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
        return encode_fragment(self.msg_type, len(self.body), self.message_seq, start, self.body[start:stop])


@dataclass(slots=True, eq=False)
class ChangeCipherSpec:
    """Where a flight of DTLS 1.2 changes its keys: one record of the epoch before, and no message (RFC 5246 7.1)."""

    epoch: int
    missing: list[Range] = field(init=False, default_factory=lambda: [(0, 1)])

    def lose(self) -> None:
        """It is never known to have arrived."""


Part = tuple[OutgoingMessage, int, int]  # a message, and which bytes of it


@dataclass(slots=True, eq=False)
class PlannedRecord:
    """A record to be sealed: of the handshake, or ChangeCipherSpec."""

    epoch: int
    parts: list[Part]
    content_type: int = _HANDSHAKE

    def content(self) -> bytes:
        """Its fragments, one behind the other."""
        if self.content_type == _CHANGE_CIPHER_SPEC:
            return b"\x01"
        return b"".join([message.fragment(start, stop) for message, start, stop in self.parts])


def plan(
    messages: Iterable[OutgoingMessage | ChangeCipherSpec], overheads: Mapping[int, int], mtu: int, max_content: int
) -> list[list[PlannedRecord]]:
    """Datagrams of at most `mtu` bytes, and the records in each, with all that is missing of the messages.

    `overheads`: what a record of each epoch costs besides its content, in bytes. `max_content`: bytes of content that a
    record may have. Raises InternalError when not a single byte would fit.
    """
    datagrams: list[list[PlannedRecord]] = []
    record: PlannedRecord | None = None
    left = room = 0  # bytes that still fit into the datagram, and of a body into the record
    for message in messages:
        if isinstance(message, ChangeCipherSpec):
            needed = overheads[message.epoch] + 1
            if left < needed:
                left = mtu
                datagrams.append([])
            datagrams[-1].append(PlannedRecord(message.epoch, [], _CHANGE_CIPHER_SPEC))
            left -= needed
            record = None
            continue
        for start, end in message.missing:
            while True:
                if record is None or record.epoch != message.epoch or room < (start < end):
                    overhead = overheads[message.epoch]  # only here: the keys of what has arrived may be gone
                    needed = overhead + FRAGMENT_HEADER_LENGTH + (start < end)
                    if mtu < needed:
                        raise InternalError(f"mtu: {mtu} bytes leave no room beside {overhead} of a record")
                    if left < needed:
                        left = mtu
                        datagrams.append([])
                    record = PlannedRecord(message.epoch, [])
                    datagrams[-1].append(record)
                    left -= overhead
                    room = min(left, max_content) - FRAGMENT_HEADER_LENGTH
                stop = min(end, start + room)
                record.parts.append((message, start, stop))
                used = FRAGMENT_HEADER_LENGTH + stop - start
                left -= used
                room -= used
                start = stop
                if stop >= end:
                    break
    return datagrams
