"""Packet headers: what can be read of a packet before its protection is removed, and written before it is applied.

RFC 9000 section 17, RFC 8999 for what all versions share, RFC 9001 section 5.8 for the tag of a Retry. Packets with a
short header are found without a call: they end with their datagram, and their number stands behind a connection id of
known length. Nothing here opens or seals a packet; what is malformed is None, as it is dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from caesura.crypto.quic import RETRY_TAG_LENGTH, retry_tag
from caesura.errors import FrameEncodingError
from caesura.quic import varint
from caesura.quic.levels import INITIAL
from caesura.quic.versions import RETRY, VERSIONS, VersionParameters

LONG_HEADER: Final = 0x80
FIXED_BIT: Final = 0x40
SPIN_BIT: Final = 0x20  # of short headers (RFC 9000 section 17.4)
KEY_PHASE: Final = 0x04
LONG_RESERVED: Final = 0x0C
SHORT_RESERVED: Final = 0x18
NUMBER_LENGTH: Final = 0x03
"""Bits of the first byte. The last four are protected, and with a short header the one before them too."""

MAX_ID_LENGTH: Final = 20
"""Bytes of a connection id in versions 1 and 2."""

MIN_INITIAL_DATAGRAM: Final = 1200
"""Bytes of payload that a datagram with an ack-eliciting Initial packet has at least (RFC 9000 section 14.1)."""

MIN_DESTINATION_LENGTH: Final = 8
"""Bytes of the connection id that a client makes up for its first packets (RFC 9000 section 7.2)."""

_VERSION: Final = struct.Struct(">I")


@dataclass(slots=True)
class LongHeader:
    """The header of a packet of a version we speak, as far as it is in the clear.

    The packet begins at `start`, its number at `number_at`, and it ends at `stop`. A Retry packet has no number: its
    token is `token`, and `number_at` is where its tag begins.
    """

    parameters: VersionParameters
    kind: int
    destination: bytes
    source: bytes
    token: bytes
    start: int
    number_at: int
    stop: int


def read_invariant(datagram: bytes, pos: int) -> tuple[int, bytes, bytes, int] | None:
    """Version, destination and source id of any long header, and where they stop (RFC 8999 section 5.1)."""
    size = len(datagram)
    if size - pos < 7:
        return None
    (version,) = _VERSION.unpack_from(datagram, pos + 1)
    at = pos + 6 + datagram[pos + 5]
    if at >= size:
        return None
    stop = at + 1 + datagram[at]
    if stop > size:
        return None
    return version, datagram[pos + 6 : at], datagram[at + 1 : stop], stop


def read_long(datagram: bytes, pos: int) -> LongHeader | None:
    """The long header that begins at `pos`; None when it is malformed or of a version we do not speak.

    The fixed bit is not looked at: whether it means anything is agreed on elsewhere (RFC 9287).
    """
    found = read_invariant(datagram, pos)
    if found is None:
        return None
    version, destination, source, at = found
    parameters = VERSIONS.get(version)
    if parameters is None or len(destination) > MAX_ID_LENGTH or len(source) > MAX_ID_LENGTH:
        return None
    size, kind, token = len(datagram), parameters.kinds[datagram[pos] >> 4 & 3], b""
    if kind == RETRY:
        tag_at = size - RETRY_TAG_LENGTH
        if tag_at < at:
            return None
        return LongHeader(parameters, kind, destination, source, datagram[at:tag_at], pos, tag_at, size)
    try:
        if kind == INITIAL:
            length, at = varint.decode(datagram, at)
            if length > size - at:
                return None
            token, at = datagram[at : at + length], at + length
        length, at = varint.decode(datagram, at)
    except FrameEncodingError:
        return None
    if length > size - at:
        return None
    return LongHeader(parameters, kind, destination, source, token, pos, at, at + length)


def long_header(parameters: VersionParameters, kind: int, destination: bytes, source: bytes, token: bytes) -> bytes:
    """A long header up to its Length field, with the number-length bits of its first byte still 0.

    The same for all packets of a kind; `finish_long` completes it.
    """
    first = LONG_HEADER | FIXED_BIT | parameters.kinds.index(kind) << 4
    pieces = [
        first.to_bytes(1, "big"),
        _VERSION.pack(parameters.version),
        len(destination).to_bytes(1, "big"),
        destination,
        len(source).to_bytes(1, "big"),
        source,
    ]
    if kind == INITIAL:
        pieces += varint.encode(len(token)), token
    return b"".join(pieces)


# --- packet numbers (RFC 9000 section 17.1, appendix A) ------------------------------------------------------------


def number_length(number: int, largest_acked: int) -> int:
    """Bytes that a packet's number takes, given the largest one the peer has acknowledged, or -1 (appendix A.2)."""
    unacked = number - largest_acked
    return 1 if unacked < 0x80 else 2 if unacked < 0x8000 else 3 if unacked < 0x80_0000 else 4


def decode_number(truncated: int, length: int, largest: int) -> int:
    """The number that ends in these `length` bytes and is closest to the one after `largest` (appendix A.3).

    `largest` is the largest number opened so far, or -1.
    """
    expected, window = largest + 1, 1 << (length << 3)
    number = expected & -window | truncated
    if number <= expected - (window >> 1) and number < (1 << 62) - window:
        return number + window
    if number > expected + (window >> 1) and number >= window:
        return number - window
    return number


# --- Version Negotiation (RFC 9000 section 17.2.1) -----------------------------------------------------------------


def encode_version_negotiation(destination: bytes, source: bytes, versions: Iterable[int], unused: int) -> bytes:
    """The packet that says which versions we speak. `unused`: seven arbitrary bits; the fixed bit is set in them."""
    return b"".join(
        (
            (LONG_HEADER | FIXED_BIT | unused & 0x7F).to_bytes(1, "big"),
            _VERSION.pack(0),
            len(destination).to_bytes(1, "big"),
            destination,
            len(source).to_bytes(1, "big"),
            source,
            *map(_VERSION.pack, versions),
        )
    )


def read_version_negotiation(datagram: bytes) -> tuple[bytes, bytes, tuple[int, ...]] | None:
    """Destination and source id and the versions of a Version Negotiation packet; None when it is none."""
    found = read_invariant(datagram, 0)
    if found is None or found[0] or not datagram[0] & LONG_HEADER:
        return None
    _, destination, source, at = found
    count, rest = divmod(len(datagram) - at, _VERSION.size)
    if rest or not count:
        return None
    return destination, source, struct.unpack_from(f">{count}I", datagram, at)


# --- Retry (RFC 9000 section 17.2.5) -------------------------------------------------------------------------------


def encode_retry(
    parameters: VersionParameters, destination: bytes, source: bytes, original_id: bytes, token: bytes, unused: int
) -> bytes:
    """A Retry packet that answers an Initial packet sent to `original_id`. `unused`: four arbitrary bits."""
    header = long_header(parameters, RETRY, destination, source, b"")
    retry = (header[0] | unused & 0x0F).to_bytes(1, "big") + header[1:] + token
    return retry + retry_tag(parameters.retry_key, parameters.retry_nonce, original_id, retry)


def retry_is_genuine(header: LongHeader, datagram: bytes, original_id: bytes) -> bool:
    """Whether a Retry packet answers our Initial packet to `original_id` (RFC 9001 section 5.8)."""
    parameters, retry = header.parameters, datagram[header.start : header.number_at]
    expected = retry_tag(parameters.retry_key, parameters.retry_nonce, original_id, retry)
    return compare_digest(expected, datagram[header.number_at : header.stop])
