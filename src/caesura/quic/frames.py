"""Frames: which there are, where each may stand, their bytes in both directions (RFC 9000 section 19, RFC 9221).

`FRAMES` is table 3 of RFC 9000 section 12.4. `dispatch_untrusted` walks through the frames of a packet and hands each
to a `FrameReceiver`, one call and no object per frame. It knows formats and the rules that need nothing else: what
stands where it may not is PROTOCOL_VIOLATION, what is malformed or unknown FRAME_ENCODING_ERROR. The encoders give
whole frames as bytes; streams write the frames with their data themselves, as these are most of what is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Final, NamedTuple, Protocol

from caesura.crypto.quic import RESET_TOKEN_LENGTH
from caesura.errors import FrameEncodingError, ProtocolViolation, TransportError
from caesura.quic.levels import HANDSHAKE, INITIAL, ONE_RTT, ZERO_RTT
from caesura.quic.packets import MAX_ID_LENGTH
from caesura.quic.varint import MAX, decode, encode

PADDING: Final = 0x00
PING: Final = 0x01
ACK: Final = 0x02
ACK_ECN: Final = 0x03
RESET_STREAM: Final = 0x04
STOP_SENDING: Final = 0x05
CRYPTO: Final = 0x06
NEW_TOKEN: Final = 0x07
STREAM: Final = 0x08
STREAM_LAST: Final = 0x0F
STREAM_FIN: Final = 0x01
STREAM_LENGTH: Final = 0x02
STREAM_OFFSET: Final = 0x04
MAX_DATA: Final = 0x10
MAX_STREAM_DATA: Final = 0x11
MAX_STREAMS_BIDI: Final = 0x12
MAX_STREAMS_UNI: Final = 0x13
DATA_BLOCKED: Final = 0x14
STREAM_DATA_BLOCKED: Final = 0x15
STREAMS_BLOCKED_BIDI: Final = 0x16
STREAMS_BLOCKED_UNI: Final = 0x17
NEW_CONNECTION_ID: Final = 0x18
RETIRE_CONNECTION_ID: Final = 0x19
PATH_CHALLENGE: Final = 0x1A
PATH_RESPONSE: Final = 0x1B
CONNECTION_CLOSE: Final = 0x1C
CONNECTION_CLOSE_APPLICATION: Final = 0x1D
HANDSHAKE_DONE: Final = 0x1E
DATAGRAM: Final = 0x30
DATAGRAM_LENGTH: Final = 0x31

MAX_STREAMS_LIMIT: Final = 2**60
"""Streams of one kind that there can be (section 19.11)."""

PATH_DATA_LENGTH: Final = 8


class FrameType(NamedTuple):
    """What is true of every frame of a type.

    `levels` are those it may stand in; `server_only` that only a server sends it. A packet with nothing but frames that
    are not `ack_eliciting` is not acknowledged, with nothing but such as are not `in_flight` it is not counted by
    congestion control, and with nothing but `probing` ones it probes a path (RFC 9000 section 9.1).
    """

    name: str
    levels: tuple[int, ...]
    ack_eliciting: bool = True
    in_flight: bool = True
    probing: bool = False
    server_only: bool = False


_ANY: Final = (INITIAL, ZERO_RTT, HANDSHAKE, ONE_RTT)
_NOT_EARLY: Final = (INITIAL, HANDSHAKE, ONE_RTT)
_DATA: Final = (ZERO_RTT, ONE_RTT)
_ONLY_1RTT: Final = (ONE_RTT,)

FRAMES: Final[dict[int, FrameType]] = {
    PADDING: FrameType("PADDING", _ANY, ack_eliciting=False, probing=True),
    PING: FrameType("PING", _ANY),
    ACK: FrameType("ACK", _NOT_EARLY, ack_eliciting=False, in_flight=False),
    ACK_ECN: FrameType("ACK", _NOT_EARLY, ack_eliciting=False, in_flight=False),
    RESET_STREAM: FrameType("RESET_STREAM", _DATA),
    STOP_SENDING: FrameType("STOP_SENDING", _DATA),
    CRYPTO: FrameType("CRYPTO", _NOT_EARLY),
    NEW_TOKEN: FrameType("NEW_TOKEN", _ONLY_1RTT, server_only=True),
    **{code: FrameType("STREAM", _DATA) for code in range(STREAM, STREAM_LAST + 1)},
    MAX_DATA: FrameType("MAX_DATA", _DATA),
    MAX_STREAM_DATA: FrameType("MAX_STREAM_DATA", _DATA),
    MAX_STREAMS_BIDI: FrameType("MAX_STREAMS", _DATA),
    MAX_STREAMS_UNI: FrameType("MAX_STREAMS", _DATA),
    DATA_BLOCKED: FrameType("DATA_BLOCKED", _DATA),
    STREAM_DATA_BLOCKED: FrameType("STREAM_DATA_BLOCKED", _DATA),
    STREAMS_BLOCKED_BIDI: FrameType("STREAMS_BLOCKED", _DATA),
    STREAMS_BLOCKED_UNI: FrameType("STREAMS_BLOCKED", _DATA),
    NEW_CONNECTION_ID: FrameType("NEW_CONNECTION_ID", _DATA, probing=True),
    RETIRE_CONNECTION_ID: FrameType("RETIRE_CONNECTION_ID", _ONLY_1RTT),  # section 12.5 takes it out of 0-RTT packets
    PATH_CHALLENGE: FrameType("PATH_CHALLENGE", _DATA, probing=True),
    PATH_RESPONSE: FrameType("PATH_RESPONSE", _ONLY_1RTT, probing=True),
    CONNECTION_CLOSE: FrameType("CONNECTION_CLOSE", _ANY, ack_eliciting=False),
    CONNECTION_CLOSE_APPLICATION: FrameType("CONNECTION_CLOSE", _DATA, ack_eliciting=False),
    HANDSHAKE_DONE: FrameType("HANDSHAKE_DONE", _ONLY_1RTT, server_only=True),
    DATAGRAM: FrameType("DATAGRAM", _DATA),
    DATAGRAM_LENGTH: FrameType("DATAGRAM", _DATA),
}

_TYPES: Final = 0x40  # types of one byte


@cache
def permitted(level: int, *, from_server: bool) -> bytes:
    """Which frame types may stand in a packet of this level: a byte for each type, 1 or 0."""
    return bytes(
        code in FRAMES and level in FRAMES[code].levels and (from_server or not FRAMES[code].server_only)
        for code in range(_TYPES)
    )


ACK_ELICITING: Final = 1
NOT_PROBING: Final = 2
"""Bits of what `dispatch_untrusted` says of a packet: it has an ack-eliciting frame, and one that is not probing."""

_FLAGS: Final = tuple(
    (ACK_ELICITING if FRAMES[code].ack_eliciting else 0) | (0 if FRAMES[code].probing else NOT_PROBING)
    if code in FRAMES
    else 0
    for code in range(_TYPES)
)

AckRanges = list[tuple[int, int]]
"""Ranges of packet numbers, [start, stop), the highest first."""

EcnCounts = tuple[int, int, int]
"""ECT(0), ECT(1), CE: packets of the space that came marked so."""


class FrameReceiver(Protocol):
    """Who is told of each frame of a packet, in its order. PADDING and PING need no telling."""

    def on_ack(self, level: int, ranges: AckRanges, delay: int, ecn: EcnCounts | None) -> None:
        """ACK (19.3). `delay` is the field as it stands; it is scaled by the peer's ack_delay_exponent."""

    def on_reset_stream(self, stream_id: int, error_code: int, final_size: int) -> None:
        """RESET_STREAM (19.4)."""

    def on_stop_sending(self, stream_id: int, error_code: int) -> None:
        """STOP_SENDING (19.5)."""

    def on_crypto(self, level: int, offset: int, data: bytes) -> None:
        """CRYPTO (19.6)."""

    def on_new_token(self, token: bytes) -> None:
        """NEW_TOKEN (19.7)."""

    def on_stream(self, stream_id: int, offset: int, data: bytes, fin: bool) -> None:
        """STREAM (19.8)."""

    def on_max_data(self, maximum: int) -> None:
        """MAX_DATA (19.9)."""

    def on_max_stream_data(self, stream_id: int, maximum: int) -> None:
        """MAX_STREAM_DATA (19.10)."""

    def on_max_streams(self, maximum: int, unidirectional: bool) -> None:
        """MAX_STREAMS (19.11)."""

    def on_data_blocked(self, limit: int) -> None:
        """DATA_BLOCKED (19.12)."""

    def on_stream_data_blocked(self, stream_id: int, limit: int) -> None:
        """STREAM_DATA_BLOCKED (19.13)."""

    def on_streams_blocked(self, limit: int, unidirectional: bool) -> None:
        """STREAMS_BLOCKED (19.14)."""

    def on_new_connection_id(
        self, sequence_number: int, retire_prior_to: int, connection_id: bytes, reset_token: bytes
    ) -> None:
        """NEW_CONNECTION_ID (19.15)."""

    def on_retire_connection_id(self, sequence_number: int) -> None:
        """RETIRE_CONNECTION_ID (19.16)."""

    def on_path_challenge(self, data: bytes) -> None:
        """PATH_CHALLENGE (19.17)."""

    def on_path_response(self, data: bytes) -> None:
        """PATH_RESPONSE (19.18)."""

    def on_connection_close(self, error_code: int, frame_type: int | None, reason: bytes) -> None:
        """CONNECTION_CLOSE (19.19). `frame_type` is None in the application's variant, 0 where none is blamed."""

    def on_handshake_done(self) -> None:
        """HANDSHAKE_DONE (19.20)."""

    def on_datagram(self, data: bytes, size: int) -> None:
        """DATAGRAM (RFC 9221). `size`: bytes of the whole frame."""


# --- reading ----------------------------------------------------------------------------------------------------


def dispatch_untrusted(payload: bytes, level: int, allowed: bytes, to: FrameReceiver) -> int:
    """Hand every frame of a packet to its receiver; gives ACK_ELICITING and NOT_PROBING as they apply to it.

    `allowed` is what `permitted` says of the level. Raises ProtocolViolation for no frame at all and for one that may
    not stand here, FrameEncodingError for one that is unknown or malformed, and what the receiver raises; an error
    names the frame's type.
    """
    pos, size, flags, code = 0, len(payload), 0, PADDING
    if not size:
        raise ProtocolViolation("a packet without frames", section="RFC 9000 section 12.4")
    try:
        while pos < size:
            code = payload[pos]
            if code >= _TYPES or not allowed[code]:
                raise _misplaced(payload, pos, level)
            flags |= _FLAGS[code]
            pos = READERS[code](payload, pos + 1, code, level, to)
    except TransportError as error:
        if error.frame_type is None:
            error.frame_type = code
        raise
    return flags


def _misplaced(payload: bytes, pos: int, level: int) -> FrameEncodingError | ProtocolViolation:
    code, _ = decode(payload, pos)
    if code < _TYPES and payload[pos] >= _TYPES:
        return ProtocolViolation("a frame type in a long form", frame_type=code, section="RFC 9000 section 12.4")
    if code not in FRAMES:
        return FrameEncodingError(f"frame type {code:#x}", frame_type=code, section="RFC 9000 section 12.4")
    text = f"{FRAMES[code].name} where it may not stand (level {level})"
    return ProtocolViolation(text, frame_type=code, section="RFC 9000 section 12.5")


def _padding(payload: bytes, pos: int, _code: int, _level: int, _to: FrameReceiver) -> int:
    if pos < len(payload) and not payload[pos]:  # a run of it
        return len(payload) - len(payload[pos:].lstrip(b"\0"))
    return pos


def _ping(_payload: bytes, pos: int, _code: int, _level: int, _to: FrameReceiver) -> int:
    return pos


def _ack(payload: bytes, pos: int, code: int, level: int, to: FrameReceiver) -> int:
    largest, pos = decode(payload, pos)
    delay, pos = decode(payload, pos)
    count, pos = decode(payload, pos)
    length, pos = decode(payload, pos)
    smallest = largest - length
    ranges = [(smallest, largest + 1)]
    if count:
        if count > (len(payload) - pos) >> 1:
            raise _cut_short()
        for _ in range(count):
            gap, pos = decode(payload, pos)
            length, pos = decode(payload, pos)
            stop = smallest - gap - 1
            smallest = stop - 1 - length
            ranges.append((smallest, stop))
    if smallest < 0:
        raise FrameEncodingError("an ACK of a negative packet number", section="RFC 9000 section 19.3.1")
    if code == ACK:
        to.on_ack(level, ranges, delay, None)
        return pos
    ect0, pos = decode(payload, pos)
    ect1, pos = decode(payload, pos)
    ce, pos = decode(payload, pos)
    to.on_ack(level, ranges, delay, (ect0, ect1, ce))
    return pos


def _reset_stream(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    stream_id, pos = decode(payload, pos)
    error_code, pos = decode(payload, pos)
    final_size, pos = decode(payload, pos)
    to.on_reset_stream(stream_id, error_code, final_size)
    return pos


def _stop_sending(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    stream_id, pos = decode(payload, pos)
    error_code, pos = decode(payload, pos)
    to.on_stop_sending(stream_id, error_code)
    return pos


def _crypto(payload: bytes, pos: int, _code: int, level: int, to: FrameReceiver) -> int:
    offset, pos = decode(payload, pos)
    data, pos = _opaque(payload, pos)
    if offset + len(data) > MAX:
        raise FrameEncodingError("data beyond 2^62 - 1", section="RFC 9000 section 19.6")
    to.on_crypto(level, offset, data)
    return pos


def _new_token(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    token, pos = _opaque(payload, pos)
    if not token:
        raise FrameEncodingError("an empty token", section="RFC 9000 section 19.7")
    to.on_new_token(token)
    return pos


def _stream(payload: bytes, pos: int, code: int, _level: int, to: FrameReceiver) -> int:
    stream_id, pos = decode(payload, pos)
    offset = 0
    if code & STREAM_OFFSET:
        offset, pos = decode(payload, pos)
    if code & STREAM_LENGTH:
        data, pos = _opaque(payload, pos)
    else:
        data, pos = payload[pos:], len(payload)
    if offset + len(data) > MAX:
        raise FrameEncodingError("data beyond 2^62 - 1", section="RFC 9000 section 19.8")
    to.on_stream(stream_id, offset, data, code & STREAM_FIN != 0)
    return pos


def _max_data(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    maximum, pos = decode(payload, pos)
    to.on_max_data(maximum)
    return pos


def _max_stream_data(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    stream_id, pos = decode(payload, pos)
    maximum, pos = decode(payload, pos)
    to.on_max_stream_data(stream_id, maximum)
    return pos


def _max_streams(payload: bytes, pos: int, code: int, _level: int, to: FrameReceiver) -> int:
    maximum, pos = _stream_count(payload, pos)
    to.on_max_streams(maximum, code == MAX_STREAMS_UNI)
    return pos


def _data_blocked(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    limit, pos = decode(payload, pos)
    to.on_data_blocked(limit)
    return pos


def _stream_data_blocked(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    stream_id, pos = decode(payload, pos)
    limit, pos = decode(payload, pos)
    to.on_stream_data_blocked(stream_id, limit)
    return pos


def _streams_blocked(payload: bytes, pos: int, code: int, _level: int, to: FrameReceiver) -> int:
    limit, pos = _stream_count(payload, pos)
    to.on_streams_blocked(limit, code == STREAMS_BLOCKED_UNI)
    return pos


def _new_connection_id(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    sequence_number, pos = decode(payload, pos)
    retire_prior_to, pos = decode(payload, pos)
    if pos >= len(payload) or not 1 <= payload[pos] <= MAX_ID_LENGTH or retire_prior_to > sequence_number:
        raise FrameEncodingError("a connection id that cannot be", section="RFC 9000 section 19.15")
    connection_id, pos = _fixed(payload, pos + 1, payload[pos])
    reset_token, pos = _fixed(payload, pos, RESET_TOKEN_LENGTH)
    to.on_new_connection_id(sequence_number, retire_prior_to, connection_id, reset_token)
    return pos


def _retire_connection_id(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    sequence_number, pos = decode(payload, pos)
    to.on_retire_connection_id(sequence_number)
    return pos


def _path_challenge(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    data, pos = _fixed(payload, pos, PATH_DATA_LENGTH)
    to.on_path_challenge(data)
    return pos


def _path_response(payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    data, pos = _fixed(payload, pos, PATH_DATA_LENGTH)
    to.on_path_response(data)
    return pos


def _connection_close(payload: bytes, pos: int, code: int, _level: int, to: FrameReceiver) -> int:
    error_code, pos = decode(payload, pos)
    frame_type: int | None = None
    if code == CONNECTION_CLOSE:
        frame_type, pos = decode(payload, pos)
    reason, pos = _opaque(payload, pos)
    to.on_connection_close(error_code, frame_type, reason)
    return pos


def _handshake_done(_payload: bytes, pos: int, _code: int, _level: int, to: FrameReceiver) -> int:
    to.on_handshake_done()
    return pos


def _datagram(payload: bytes, pos: int, code: int, _level: int, to: FrameReceiver) -> int:
    start = pos - 1
    if code == DATAGRAM_LENGTH:
        data, pos = _opaque(payload, pos)
    else:
        data, pos = payload[pos:], len(payload)
    to.on_datagram(data, pos - start)
    return pos


def _stream_count(payload: bytes, pos: int) -> tuple[int, int]:
    count, pos = decode(payload, pos)
    if count > MAX_STREAMS_LIMIT:
        raise FrameEncodingError("more than 2^60 streams", section="RFC 9000 section 19.11")
    return count, pos


def _opaque(payload: bytes, pos: int) -> tuple[bytes, int]:
    """Bytes behind their length."""
    length, pos = decode(payload, pos)
    return _fixed(payload, pos, length)


def _fixed(payload: bytes, pos: int, length: int) -> tuple[bytes, int]:
    stop = pos + length
    if stop > len(payload):
        raise _cut_short()
    return payload[pos:stop], stop


def _cut_short() -> FrameEncodingError:
    return FrameEncodingError("a frame is cut short", section="RFC 9000 section 12.4")


READERS: Final[dict[int, Callable[[bytes, int, int, int, FrameReceiver], int]]] = {
    PADDING: _padding,
    PING: _ping,
    ACK: _ack,
    ACK_ECN: _ack,
    RESET_STREAM: _reset_stream,
    STOP_SENDING: _stop_sending,
    CRYPTO: _crypto,
    NEW_TOKEN: _new_token,
    **dict.fromkeys(range(STREAM, STREAM_LAST + 1), _stream),
    MAX_DATA: _max_data,
    MAX_STREAM_DATA: _max_stream_data,
    MAX_STREAMS_BIDI: _max_streams,
    MAX_STREAMS_UNI: _max_streams,
    DATA_BLOCKED: _data_blocked,
    STREAM_DATA_BLOCKED: _stream_data_blocked,
    STREAMS_BLOCKED_BIDI: _streams_blocked,
    STREAMS_BLOCKED_UNI: _streams_blocked,
    NEW_CONNECTION_ID: _new_connection_id,
    RETIRE_CONNECTION_ID: _retire_connection_id,
    PATH_CHALLENGE: _path_challenge,
    PATH_RESPONSE: _path_response,
    CONNECTION_CLOSE: _connection_close,
    CONNECTION_CLOSE_APPLICATION: _connection_close,
    HANDSHAKE_DONE: _handshake_done,
    DATAGRAM: _datagram,
    DATAGRAM_LENGTH: _datagram,
}


# --- writing ----------------------------------------------------------------------------------------------------


def numbers(code: int, *values: int) -> bytes:
    """A frame whose fields are nothing but numbers: its type and these, in their order."""
    return b"".join((code.to_bytes(1, "big"), *map(encode, values)))


def ack(ranges: Iterable[tuple[int, int]], delay: int, ecn: EcnCounts | None = None) -> bytes:
    """ACK of ranges [start, stop), the highest first, of which there is at least one; `delay` as it is to stand."""
    (smallest, stop), *rest = ranges
    pieces = [encode(stop - 1), encode(delay), encode(len(rest)), encode(stop - 1 - smallest)]
    for start, stop in rest:
        pieces += encode(smallest - stop - 1), encode(stop - 1 - start)
        smallest = start
    if ecn is None:
        return b"\x02" + b"".join(pieces)
    return b"\x03" + b"".join((*pieces, *map(encode, ecn)))


def crypto(offset: int, data: bytes) -> bytes:
    """CRYPTO."""
    return b"".join((b"\x06", encode(offset), encode(len(data)), data))


def stream(stream_id: int, offset: int, data: bytes, fin: bool, *, last: bool = False) -> bytes:
    """STREAM. `last`: nothing follows in its packet, so that it needs no length."""
    code = STREAM | (STREAM_FIN if fin else 0) | (STREAM_OFFSET if offset else 0) | (0 if last else STREAM_LENGTH)
    place = encode(offset) if offset else b""
    return b"".join((code.to_bytes(1, "big"), encode(stream_id), place, b"" if last else encode(len(data)), data))


def new_token(token: bytes) -> bytes:
    """NEW_TOKEN."""
    return b"".join((b"\x07", encode(len(token)), token))


def new_connection_id(sequence_number: int, retire_prior_to: int, connection_id: bytes, reset_token: bytes) -> bytes:
    """NEW_CONNECTION_ID."""
    length = len(connection_id).to_bytes(1, "big")
    return b"".join((b"\x18", encode(sequence_number), encode(retire_prior_to), length, connection_id, reset_token))


def path_challenge(data: bytes) -> bytes:
    """PATH_CHALLENGE with its 8 bytes."""
    return b"\x1a" + data


def path_response(data: bytes) -> bytes:
    """PATH_RESPONSE with the 8 bytes of the challenge."""
    return b"\x1b" + data


def connection_close(error_code: int, frame_type: int | None, reason: bytes) -> bytes:
    """CONNECTION_CLOSE; with None for a frame type the application's variant."""
    if frame_type is None:
        return b"".join((b"\x1d", encode(error_code), encode(len(reason)), reason))
    return b"".join((b"\x1c", encode(error_code), encode(frame_type), encode(len(reason)), reason))


def datagram(data: bytes, *, last: bool = False) -> bytes:
    """DATAGRAM. `last`: nothing follows in its packet."""
    return b"\x30" + data if last else b"".join((b"\x31", encode(len(data)), data))
