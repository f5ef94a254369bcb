"""Variable-length integers (RFC 9000 section 16): numbers of 62 bits in 1, 2, 4 or 8 bytes.

Hot: every field of nearly every frame is one. `decode` moves an index through a buffer; nothing is copied.
"""

from __future__ import annotations

import struct
from typing import Final

from caesura.errors import FrameEncodingError

MAX: Final = 2**62 - 1
"""The greatest number that can be written."""

_U32: Final = struct.Struct(">I").unpack_from
_U64: Final = struct.Struct(">Q").unpack_from


def encode(value: int) -> bytes:
    """The number in as few bytes as possible. Raises ValueError when it is negative or above `MAX`."""
    if value < 0x40:
        if value < 0:
            raise ValueError(f"{value} is no variable-length integer")
        return value.to_bytes(1, "big")
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value < 0x4000_0000:
        return (value | 0x8000_0000).to_bytes(4, "big")
    if value <= MAX:
        return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")
    raise ValueError(f"{value} is no variable-length integer")


def encode_two(value: int) -> bytes:
    """A number below 16384 in two bytes, however small: for a length that is filled in when it is known."""
    return (value | 0x4000).to_bytes(2, "big")


def size(value: int) -> int:
    """How many bytes `encode` makes of the number."""
    return 1 if value < 0x40 else 2 if value < 0x4000 else 4 if value < 0x4000_0000 else 8


def decode(data: bytes, pos: int) -> tuple[int, int]:
    """The number that starts at `pos`, and where it stops. Raises FrameEncodingError when it is cut short.

    Forms longer than necessary are good everywhere but in a frame's type.
    """
    try:
        first = data[pos]
        if first < 0x40:
            return first, pos + 1
        if first < 0x80:
            return (first & 0x3F) << 8 | data[pos + 1], pos + 2
        if first < 0xC0:
            return _U32(data, pos)[0] & 0x3FFF_FFFF, pos + 4
        return _U64(data, pos)[0] & MAX, pos + 8
    except (IndexError, struct.error):
        raise FrameEncodingError("a number is cut short", section="RFC 9000 section 16") from None
