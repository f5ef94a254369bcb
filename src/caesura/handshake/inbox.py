"""Where handshake bytes become messages: reassembled, bounded, and kept with the epoch they arrived under.

The handshake takes one message at a time and names the types that may come. What it does not ask for cannot arrive.
"""

from __future__ import annotations

from struct import Struct

from caesura.errors import IllegalParameter, UnexpectedMessage
from caesura.handshake.transport import Epoch
from caesura.wire.messages import HEADER_LENGTH, HandshakeMessage, read_message
from caesura.wire.registries import HandshakeType

_unpack_header = Struct(">I").unpack_from  # msg_type and a 24-bit length (RFC 9846 section 4)


class Inbox:
    """Messages that have come and were not asked for yet. `epoch` is the one that is read now."""

    __slots__ = ("_messages", "_partial", "epoch", "limit", "size", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.epoch = Epoch.INITIAL
        self.taken = 0  # messages handed over
        self.size = 0  # bytes of whole messages that wait
        self._partial = bytearray()
        self._messages: list[tuple[Epoch, bytes]] = []

    def receive_untrusted(self, epoch: Epoch, data: bytes) -> None:
        """Handshake bytes in order; IllegalParameter for a message longer than `limit` bytes."""
        if self._partial:
            self._partial += data
            stop = self._split(epoch, self._partial)
            del self._partial[:stop]
        else:
            stop = self._split(epoch, data)
            if stop < len(data):
                self._partial += data[stop:]

    def _split(self, epoch: Epoch, data: bytes | bytearray) -> int:
        """Queue the whole messages at the beginning of `data`; where the rest begins."""
        pos, size = 0, len(data)
        while size - pos >= HEADER_LENGTH:
            length = _unpack_header(data, pos)[0] & 0xFFFFFF
            if length > self.limit:
                raise IllegalParameter(f"a handshake message of {length} bytes where {self.limit} are allowed")
            stop = pos + HEADER_LENGTH + length
            if stop > size:
                break
            self._messages.append((epoch, bytes(data[pos:stop])))
            self.size += stop - pos
            pos = stop
        return pos

    def take(self, types: tuple[type[HandshakeMessage], ...]) -> HandshakeMessage | None:
        """The next message, which must be of one of `types` and of this epoch; None when there is none."""
        if not self._messages:
            return None
        epoch, raw = self._messages.pop(0)
        self.size -= len(raw)
        self.taken += 1
        for each in types:
            if each.msg_type == raw[0] and epoch is self.epoch:
                return read_message(each, raw)
        raise unexpected(raw, types)

    def pass_on(self, other: Inbox) -> None:
        """Give the next message to the inbox of an exchange that will take it."""
        message = self._messages.pop(0)
        self.size -= len(message[1])
        other._messages.append(message)
        other.size += len(message[1])

    def next_type(self) -> int | None:
        """The type of the next whole message; None when there is none."""
        return self._messages[0][1][0] if self._messages else None

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended: nothing but handshake records may follow (section 5.1)."""
        return bool(self._partial)

    @property
    def empty(self) -> bool:
        """Whether nothing is left, so that the keys may change."""
        return not self._messages and not self._partial

    def clear(self) -> None:
        """Forget everything."""
        self._messages.clear()
        self._partial.clear()
        self.size = 0


def unexpected(raw: bytes, types: tuple[type[HandshakeMessage], ...]) -> UnexpectedMessage:
    """The error for a message that is of none of these types."""
    return UnexpectedMessage(f"{_name(raw[0])} where {' or '.join(t.msg_type.name for t in types)} may stand")


def _name(msg_type: int) -> str:
    return HandshakeType(msg_type).name if msg_type in HandshakeType._value2member_map_ else f"message type {msg_type}"
