"""Frames: bytes and values in both directions, where each may stand, and what is malformed (RFC 9000 section 19)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import Error, FlowControlError, FrameEncodingError, ProtocolViolation
from caesura.quic import frames, varint
from caesura.quic.frames import ACK_ELICITING, FRAMES, NOT_PROBING, dispatch_untrusted, permitted
from caesura.quic.levels import HANDSHAKE, INITIAL, ONE_RTT, ZERO_RTT
from tests.quic.frame_log import FrameLog

LEVELS = {"I": INITIAL, "H": HANDSHAKE, "0": ZERO_RTT, "1": ONE_RTT}
ID, TOKEN, PATH = bytes(range(20)), bytes(range(16)), b"12345678"
BIG, MAX = 2**62 - 1, "ff" * 8

# What is sent, its bytes, what the receiver is told. ONE_RTT stands for the level.
ROWS: list[tuple[bytes, str, tuple[Any, ...] | None]] = [
    (b"\0", "00", None),
    (b"\1", "01", None),
    (frames.ack([(0, 1)], 0), "0200000000", ("ack", ONE_RTT, [(0, 1)], 0, None)),
    (frames.ack([(3, 6)], 100), "020540640002", ("ack", ONE_RTT, [(3, 6)], 100, None)),
    (
        frames.ack([(90, 101), (70, 80), (0, 69)], 5),
        "02 4064 05 02 0a 09 09 00 4044",
        ("ack", ONE_RTT, [(90, 101), (70, 80), (0, 69)], 5, None),
    ),
    (frames.ack([(7, 8)], 1, (1, 64, 2)), "03 07 01 00 00 01 4040 02", ("ack", ONE_RTT, [(7, 8)], 1, (1, 64, 2))),
    (frames.numbers(frames.RESET_STREAM, 4, 300, 70), "04 04 412c 4046", ("reset_stream", 4, 300, 70)),
    (frames.numbers(frames.STOP_SENDING, 8, 1), "05 08 01", ("stop_sending", 8, 1)),
    (frames.crypto(0, b"hello"), "06 00 05 68656c6c6f", ("crypto", ONE_RTT, 0, b"hello")),
    (frames.crypto(64, b""), "06 4040 00", ("crypto", ONE_RTT, 64, b"")),
    (frames.new_token(b"tok"), "07 03 746f6b", ("new_token", b"tok")),
    (frames.stream(4, 0, b"ab", False, last=True), "08 04 6162", ("stream", 4, 0, b"ab", False)),
    (frames.stream(4, 0, b"ab", True, last=True), "09 04 6162", ("stream", 4, 0, b"ab", True)),
    (frames.stream(4, 0, b"ab", False), "0a 04 02 6162", ("stream", 4, 0, b"ab", False)),
    (frames.stream(4, 0, b"", True), "0b 04 00", ("stream", 4, 0, b"", True)),
    (frames.stream(4, 64, b"ab", False, last=True), "0c 04 4040 6162", ("stream", 4, 64, b"ab", False)),
    (frames.stream(4, 64, b"", True, last=True), "0d 04 4040", ("stream", 4, 64, b"", True)),
    (frames.stream(4, 64, b"ab", False), "0e 04 4040 02 6162", ("stream", 4, 64, b"ab", False)),
    (frames.stream(BIG, BIG - 2, b"ab", True), f"0f {MAX} {MAX[:-1]}d 02 6162", ("stream", BIG, BIG - 2, b"ab", True)),
    (frames.numbers(frames.MAX_DATA, 16_384), "10 80004000", ("max_data", 16_384)),
    (frames.numbers(frames.MAX_STREAM_DATA, 4, 5), "11 04 05", ("max_stream_data", 4, 5)),
    (frames.numbers(frames.MAX_STREAMS_BIDI, 2**60), "12 d000000000000000", ("max_streams", 2**60, False)),
    (frames.numbers(frames.MAX_STREAMS_UNI, 3), "13 03", ("max_streams", 3, True)),
    (frames.numbers(frames.DATA_BLOCKED, 9), "14 09", ("data_blocked", 9)),
    (frames.numbers(frames.STREAM_DATA_BLOCKED, 4, 9), "15 04 09", ("stream_data_blocked", 4, 9)),
    (frames.numbers(frames.STREAMS_BLOCKED_BIDI, 2**60), "16 d000000000000000", ("streams_blocked", 2**60, False)),
    (frames.numbers(frames.STREAMS_BLOCKED_UNI, 9), "17 09", ("streams_blocked", 9, True)),
    (
        frames.new_connection_id(3, 2, ID, TOKEN),
        f"18 03 02 14 {ID.hex()} {TOKEN.hex()}",
        ("new_connection_id", 3, 2, ID, TOKEN),
    ),
    (frames.new_connection_id(0, 0, b"i", TOKEN), f"1800000169{TOKEN.hex()}", ("new_connection_id", 0, 0, b"i", TOKEN)),
    (frames.numbers(frames.RETIRE_CONNECTION_ID, 64), "19 4040", ("retire_connection_id", 64)),
    (frames.path_challenge(PATH), f"1a {PATH.hex()}", ("path_challenge", PATH)),
    (frames.path_response(PATH), f"1b {PATH.hex()}", ("path_response", PATH)),
    (frames.connection_close(10, 6, b"why"), "1c 0a 06 03 776879", ("connection_close", 10, 6, b"why")),
    (frames.connection_close(0x12A, 0, b""), "1c 412a 00 00", ("connection_close", 0x12A, 0, b"")),
    (frames.connection_close(7, None, b"why"), "1d 07 03 776879", ("connection_close", 7, None, b"why")),
    (b"\x1e", "1e", ("handshake_done",)),
    (frames.datagram(b"abc", last=True), "30 616263", ("datagram", b"abc", 4)),
    (frames.datagram(b"", last=True), "30", ("datagram", b"", 1)),
    (frames.datagram(b"abc"), "31 03 616263", ("datagram", b"abc", 5)),
]  # fmt: skip
TO_THE_END = {0x08, 0x09, 0x0C, 0x0D, 0x30}  # frames without a length
ALL = permitted(ONE_RTT, from_server=True)


def told(payload: bytes, level: int = ONE_RTT, allowed: bytes = ALL) -> tuple[list[tuple[Any, ...]], int]:
    log = FrameLog()
    flags = dispatch_untrusted(payload, level, allowed, log)
    return log.calls, flags


@pytest.mark.parametrize(("encoded", "expected", "call"), ROWS, ids=[row[1][:20] for row in ROWS])
def test_a_frame_and_its_bytes(encoded: bytes, expected: str, call: tuple[Any, ...] | None) -> None:
    assert encoded.hex() == expected.replace(" ", "")
    calls, flags = told(encoded)
    assert calls == ([call] if call else [])
    kind = FRAMES[encoded[0]]
    assert flags == (ACK_ELICITING * kind.ack_eliciting | NOT_PROBING * (not kind.probing))
    if encoded[0] not in TO_THE_END:
        assert told(encoded + b"\x01\0\0\0" + encoded)[0] == 2 * calls


@pytest.mark.parametrize(
    "encoded",
    [row[0] for row in ROWS if len(row[0]) > 1 and row[0][0] != frames.DATAGRAM],
    ids=lambda each: each.hex()[:20],
)
def test_a_frame_that_is_cut_short(encoded: bytes) -> None:
    for size in range(1, len(encoded)):
        if encoded[0] in TO_THE_END and size > len(encoded) - 3:
            continue
        with pytest.raises(FrameEncodingError) as caught:
            told(encoded[:size])
        assert caught.value.frame_type == encoded[0]


def test_every_frame_of_the_table_is_tried() -> None:
    assert {row[0][0] for row in ROWS} == set(FRAMES)


# Type, name, packets and rules: RFC 9000 section 12.4, table 3; RFC 9221 section 4. S: a server's alone (19.7, 19.20).
TABLE = """
00 PADDING IH01 NP
01 PING IH01
02 ACK IH_1 NC
03 ACK IH_1 NC
04 RESET_STREAM __01
05 STOP_SENDING __01
06 CRYPTO IH_1
07 NEW_TOKEN ___1 S
08 STREAM __01
0f STREAM __01
10 MAX_DATA __01
11 MAX_STREAM_DATA __01
12 MAX_STREAMS __01
13 MAX_STREAMS __01
14 DATA_BLOCKED __01
15 STREAM_DATA_BLOCKED __01
16 STREAMS_BLOCKED __01
17 STREAMS_BLOCKED __01
18 NEW_CONNECTION_ID __01 P
19 RETIRE_CONNECTION_ID ___1
1a PATH_CHALLENGE __01 P
1b PATH_RESPONSE ___1 P
1c CONNECTION_CLOSE IH01 N
1d CONNECTION_CLOSE __01 N
1e HANDSHAKE_DONE ___1 S
30 DATAGRAM __01
31 DATAGRAM __01
"""


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
def test_where_a_frame_may_stand(row: str) -> None:
    code, name, packets, *rules = row.split()
    kind, rule = FRAMES[int(code, 16)], "".join(rules)
    assert kind.name == name
    assert (not kind.ack_eliciting, not kind.in_flight, kind.probing) == ("N" in rule, "C" in rule, "P" in rule)
    for letter, level in LEVELS.items():
        assert permitted(level, from_server=True)[int(code, 16)] == (letter in packets)
        assert permitted(level, from_server=False)[int(code, 16)] == (letter in packets and "S" not in rule)
    payload = next(encoded for encoded, *_ in ROWS if encoded[0] == int(code, 16))
    for letter, level in LEVELS.items():
        if letter not in packets:
            with pytest.raises(ProtocolViolation) as caught:
                told(b"\1" + payload, level, permitted(level, from_server=True))
            assert caught.value.frame_type == int(code, 16)


@pytest.mark.parametrize(
    ("payload", "error", "frame_type"),
    [
        ("", ProtocolViolation, None),
        ("1f", FrameEncodingError, 0x1F),  # unknown
        ("32", FrameEncodingError, 0x32),
        ("3f", FrameEncodingError, 0x3F),
        ("4040", FrameEncodingError, 0x40),
        ("ffffffffffffffff", FrameEncodingError, BIG),
        ("4001", ProtocolViolation, 0x01),  # a long form
        ("80000006 00 00", ProtocolViolation, 0x06),
        ("40", FrameEncodingError, 0x40),  # a type that is cut short
        ("02 05 00 00 06", FrameEncodingError, 0x02),  # packet -1
        ("02 05 00 01 00 04 00", FrameEncodingError, 0x02),
        ("02 05 00 01 00 03 01", FrameEncodingError, 0x02),
        (f"02 05 00 {'ff' * 8} 00 00 00", FrameEncodingError, 0x02),  # more ranges than there are bytes
        (f"06 {'ff' * 8} 01 00", FrameEncodingError, 0x06),
        ("07 00", FrameEncodingError, 0x07),  # an empty token
        (f"0c 00 {'ff' * 8} 00", FrameEncodingError, 0x0C),
        ("12 d000000000000001", FrameEncodingError, 0x12),
        ("17 d000000000000001", FrameEncodingError, 0x17),
        (f"18 01 00 00 {TOKEN.hex()}", FrameEncodingError, 0x18),  # ids of 0 and 21 bytes
        (f"18 01 00 15 {'00' * 21} {TOKEN.hex()}", FrameEncodingError, 0x18),
        (f"18 01 02 01 00 {TOKEN.hex()}", FrameEncodingError, 0x18),  # retires itself
        ("31 04 616263", FrameEncodingError, 0x31),
    ],
)
def test_what_is_malformed(payload: str, error: type[Error], frame_type: int | None) -> None:
    with pytest.raises(error) as caught:
        told(bytes.fromhex(payload))
    assert caught.value.frame_type == frame_type  # type: ignore[attr-defined]


def test_an_ack_down_to_packet_0() -> None:
    assert told(bytes.fromhex("02 05 00 01 00 03 00"))[0] == [("ack", ONE_RTT, [(5, 6), (0, 1)], 0, None)]


def test_an_error_of_the_receiver_names_the_frame() -> None:
    class Refuses(FrameLog):
        def on_max_data(self, maximum: int) -> None:
            raise FlowControlError("no")

    with pytest.raises(FlowControlError) as caught:
        dispatch_untrusted(b"\x01\x10\x05", ONE_RTT, ALL, Refuses())
    assert caught.value.frame_type == 0x10


@pytest.mark.parametrize(
    ("payload", "flags"),
    [
        (b"\0" * 1000, 0),
        (b"\0\0\1", ACK_ELICITING | NOT_PROBING),
        (frames.path_challenge(PATH) + bytes(1000), ACK_ELICITING),
        (frames.ack([(0, 1)], 0) + bytes(5), NOT_PROBING),
        (frames.connection_close(0, 0, b""), NOT_PROBING),
    ],
)
def test_what_is_said_of_a_packet(payload: bytes, flags: int) -> None:
    assert told(payload)[1] == flags


@given(st.binary(min_size=1, max_size=80), st.sampled_from(list(LEVELS.values())), st.booleans())
def test_anything_is_frames_or_a_transport_error(payload: bytes, level: int, from_server: bool) -> None:
    with contextlib.suppress(FrameEncodingError, ProtocolViolation):
        told(payload, level, permitted(level, from_server=from_server))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), min_size=1, max_size=40), st.integers(0, varint.MAX)
)
def test_ack_ranges_come_back(spans: list[tuple[int, int]], delay: int) -> None:
    ranges, at = [], 0
    for gap, length in spans:
        start = at + gap + 1 if ranges else gap
        ranges.append((start, start + length))
        at = start + length
    ranges.reverse()
    assert told(frames.ack(ranges, delay))[0] == [("ack", ONE_RTT, ranges, delay, None)]
