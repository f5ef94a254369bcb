"""What fuzzers call of QUIC: frames, packet headers, transport parameters (see decoders.py)."""

from __future__ import annotations

from functools import partial

from caesura.errors import Error, TransportError
from caesura.quic import packets
from caesura.quic.frames import dispatch_untrusted, permitted
from caesura.quic.levels import HANDSHAKE, INITIAL, ONE_RTT, ZERO_RTT
from caesura.quic.transport_parameters import decode_untrusted
from tests.quic.frame_log import FrameLog
from tests.vectors import rfc9001

LEVELS = {"initial": INITIAL, "0-RTT": ZERO_RTT, "handshake": HANDSHAKE, "1-RTT": ONE_RTT}


def frames(level: int, data: bytes) -> bool:
    """The frames of one packet; an error names the type of the frame, if there is one."""
    refusal = None
    try:
        dispatch_untrusted(data, level, permitted(level, from_server=True), FrameLog())
    except TransportError as error:
        refusal = error
    assert refusal is None or refusal.frame_type is not None or not data
    return refusal is None


def headers(data: bytes) -> bool:
    """Every packet of a datagram, as far as they have long headers."""
    pos, found = 0, False
    packets.read_version_negotiation(data)
    while pos < len(data) and (header := packets.read_long(data, pos)) is not None:
        assert pos == header.start < header.number_at <= header.stop <= len(data)
        pos, found = header.stop, True
    return found


def parameters(from_server: bool, data: bytes) -> bool:
    """One side's transport parameters."""
    try:
        read = decode_untrusted(data, from_server=from_server)
    except Error:
        return False
    assert decode_untrusted(read.encode(), from_server=from_server) == read
    return True


TARGETS = {
    **{f"quic.frames.{name}": partial(frames, level) for name, level in LEVELS.items()},
    "quic.headers": headers,
    "quic.parameters.client": partial(parameters, False),
    "quic.parameters.server": partial(parameters, True),
}

_EVERYWHERE = (b"\x01", bytes(20))
_HANDSHAKE = (
    bytes.fromhex("02050001000003 06000568656c6c6f"),  # ACK of two ranges, CRYPTO
    bytes.fromhex("0309000002030102"),  # ACK with counts of ECN marks
    bytes.fromhex("1c0a0603776879"),  # CONNECTION_CLOSE
)
_DATA = (
    bytes.fromhex("0e044040026162 0f0800026364 0a0c0165 080c66"),  # STREAM, with and without each field
    bytes.fromhex("040441044040 050801 104111 110403 1203 1303 1403 150403 1603 1703"),  # RESET_STREAM to limits
    b"\x18\x03\x02\x08identity" + bytes(16) + b"\x1a12345678",  # NEW_CONNECTION_ID, PATH_CHALLENGE
    bytes.fromhex("3103616263 3072657374"),  # DATAGRAM
    bytes.fromhex("1d0703776879"),  # the application's CONNECTION_CLOSE
)
_ANSWERS = (b"\x07\x03tok\x19\x03", b"\x1e\x1b12345678")  # NEW_TOKEN and the like
SEEDS: dict[str, tuple[bytes, ...]] = {
    "quic.frames.initial": _EVERYWHERE + _HANDSHAKE,
    "quic.frames.0-RTT": _EVERYWHERE + _DATA,
    "quic.frames.handshake": _EVERYWHERE + _HANDSHAKE,
    "quic.frames.1-RTT": _EVERYWHERE + _HANDSHAKE + _DATA + _ANSWERS,
    "quic.headers": (
        rfc9001.VERSION1.client_packet,
        rfc9001.VERSION2.server_packet + rfc9001.VERSION1.server_packet,
        rfc9001.VERSION1.retry,
        rfc9001.VERSION1.client_packet + b"\x80\0\0\0\0\x01d\x01s\0\0\0\x01",
    ),
    "quic.parameters.client": (
        bytes.fromhex("040480100000 050480018006 01010a 0e0108 0f026964 110800000001 00000001 2b0100"),
        bytes.fromhex("010480007530 030244b0 0a0114 0b027ffe 0c00 20048000ffff 6ab200"),
    ),
    "quic.parameters.server": (
        b"\0\x08original\x02\x10" + bytes(16) + b"\x10\0",
        bytes.fromhex("0d2b7f0000011151" + "00" * 15 + "01115202" + "6964" + "00" * 16),
    ),
}
