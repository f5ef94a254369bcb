"""Whatever frames a peer sends under the right keys: taken, or CONNECTION_CLOSE with the code the RFC has for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.errors import Error, InternalError, PeerAlert, TransportError, UnexpectedMessage
from caesura.errors import TransportErrorCode as Code
from caesura.quic import frames
from caesura.quic.frames import numbers
from caesura.quic.varint import encode
from tests.quic.puppet import Puppet

HUGE = 2**62 - 1


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", Code.PROTOCOL_VIOLATION),
        (b"\x40\x01", Code.PROTOCOL_VIOLATION),  # PING in two bytes
        (b"\x3f", Code.FRAME_ENCODING_ERROR),
        (b"\x7f\xff", Code.FRAME_ENCODING_ERROR),
        (numbers(frames.MAX_DATA)[:1], Code.FRAME_ENCODING_ERROR),
        (b"\x0e\x00\x00\x05abc", Code.FRAME_ENCODING_ERROR),
        (frames.ack([(0, 2000)], 0), Code.PROTOCOL_VIOLATION),
        (frames.ack([(HUGE, HUGE + 1)], 0), Code.PROTOCOL_VIOLATION),
        (b"\x02\x05\x00\x00\x06", Code.FRAME_ENCODING_ERROR),
        (frames.crypto(70_000, b"a"), Code.CRYPTO_BUFFER_EXCEEDED),
        (frames.crypto(HUGE, b"a"), Code.FRAME_ENCODING_ERROR),
        (frames.new_token(b"token"), Code.PROTOCOL_VIOLATION),
        (b"\x07\x00", Code.PROTOCOL_VIOLATION),
        (b"\x1e", Code.PROTOCOL_VIOLATION),
        (frames.stream(0, HUGE, b"a", False), Code.FRAME_ENCODING_ERROR),
        (frames.stream(0, 2**61, b"a", False), Code.FLOW_CONTROL_ERROR),
        (frames.stream(400, 0, b"a", False), Code.STREAM_LIMIT_ERROR),
        (frames.stream(1, 0, b"a", False), Code.STREAM_STATE_ERROR),
        (frames.stream(3, 0, b"a", False), Code.STREAM_STATE_ERROR),
        (frames.stream(0, 0, b"ab", True) + frames.stream(0, 0, b"abc", False), Code.FINAL_SIZE_ERROR),
        (numbers(frames.RESET_STREAM, 3, 0, 0), Code.STREAM_STATE_ERROR),
        (numbers(frames.RESET_STREAM, 0, 0, 2**60), Code.FLOW_CONTROL_ERROR),
        (numbers(frames.STOP_SENDING, 2, 0), Code.STREAM_STATE_ERROR),
        (numbers(frames.STOP_SENDING, 1, 0), Code.STREAM_STATE_ERROR),
        (numbers(frames.MAX_STREAM_DATA, 2, 0), Code.STREAM_STATE_ERROR),
        (numbers(frames.MAX_STREAMS_BIDI, 2**60 + 1), Code.FRAME_ENCODING_ERROR),
        (numbers(frames.STREAMS_BLOCKED_UNI, 2**60 + 1), Code.FRAME_ENCODING_ERROR),
        (numbers(frames.STREAM_DATA_BLOCKED, 3, 0), Code.STREAM_STATE_ERROR),
        (frames.new_connection_id(1, 2, b"12345678", bytes(16)), Code.FRAME_ENCODING_ERROR),
        (b"\x18\x09\x00\x00" + bytes(16), Code.FRAME_ENCODING_ERROR),
        (
            b"".join(frames.new_connection_id(20 + n, 0, b"%08d" % n, bytes(16)) for n in range(20)),
            Code.CONNECTION_ID_LIMIT_ERROR,
        ),
        (numbers(frames.RETIRE_CONNECTION_ID, 1000), Code.PROTOCOL_VIOLATION),
        (numbers(frames.RETIRE_CONNECTION_ID, 0), Code.PROTOCOL_VIOLATION),  # the one it is sent to
        (frames.datagram(b"nobody asked"), Code.PROTOCOL_VIOLATION),
        (b"".join(frames.stream(0, 2 * n + 1, b"a", False) for n in range(1100)), Code.INTERNAL_ERROR),
    ],
)
def test_what_is_wrong_ends_the_connection_with_its_code(payload: bytes, code: Code) -> None:
    puppet = Puppet()
    puppet.say(payload)
    error = puppet.victim.error
    assert isinstance(error, TransportError), error
    assert error.error_code is code
    assert len(puppet.answer()) == 1
    puppet.say(b"\x01")  # and nothing after it but the same again
    assert all(len(data) < 300 for data in puppet.answer())


def test_a_key_update_of_tls_is_unexpected() -> None:
    """RFC 9001 section 6."""
    puppet = Puppet().say(frames.crypto(0, b"\x18\0\0\1\0"))
    assert isinstance(puppet.victim.error, UnexpectedMessage)
    (datagram,) = puppet.answer()
    puppet.link.deliver(datagram, to_server=False)
    assert isinstance(puppet.link.client.connection.error, PeerAlert)


VALUE = st.one_of(st.integers(0, 20), st.integers(0, 5000), st.sampled_from([2**14, 2**30, 2**60, 2**61, HUGE]))
BYTES = st.binary(max_size=30)
EIGHT, SIXTEEN = st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16)
NUMBERS = {
    frames.RESET_STREAM: 3,
    frames.STOP_SENDING: 2,
    frames.MAX_DATA: 1,
    frames.MAX_STREAM_DATA: 2,
    frames.MAX_STREAMS_BIDI: 1,
    frames.MAX_STREAMS_UNI: 1,
    frames.DATA_BLOCKED: 1,
    frames.STREAM_DATA_BLOCKED: 2,
    frames.STREAMS_BLOCKED_BIDI: 1,
    frames.RETIRE_CONNECTION_ID: 1,
}


def ack_of(packets: set[int]) -> bytes:
    """ACK of these packets."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(packets, reverse=True):
        if ranges and ranges[-1][0] == number + 1:
            ranges[-1] = (number, ranges[-1][1])
        else:
            ranges.append((number, number + 1))
    return frames.ack(ranges, 5)


FRAME = st.one_of(
    st.integers(1, 5).map(bytes),
    st.just(b"\x01"),
    st.lists(VALUE, min_size=4, max_size=8).map(lambda values: b"\x02" + b"".join(map(encode, values))),
    st.sets(st.integers(0, 12), min_size=1).map(ack_of),
    *(
        st.lists(VALUE, min_size=count, max_size=count).map(lambda values, code=code: numbers(code, *values))
        for code, count in NUMBERS.items()
    ),
    st.builds(frames.crypto, VALUE, BYTES),
    st.builds(frames.new_token, BYTES),
    st.builds(frames.stream, st.integers(0, 30), VALUE, BYTES, st.booleans()),
    st.builds(frames.new_connection_id, st.integers(0, 20), st.integers(0, 20), st.binary(max_size=20), SIXTEEN),
    st.builds(frames.path_challenge, EIGHT),
    st.builds(frames.path_response, EIGHT),
    st.builds(frames.connection_close, VALUE, st.none() | st.integers(0, 100), BYTES),
    st.just(b"\x1e"),
    st.builds(frames.datagram, BYTES),
    st.binary(min_size=1, max_size=20),
)


@pytest.mark.parametrize("client", [True, False])
@settings(max_examples=60, deadline=None)
@given(
    packets=st.lists(st.lists(FRAME, max_size=4).map(b"".join), max_size=8),
    times=st.lists(st.floats(0, 40), max_size=8),
)
def test_any_frames_are_survived(client: bool, packets: list[bytes], times: list[float]) -> None:
    puppet = Puppet(client=client, quic={"max_datagram_frame_size": 100})
    puppet.bulk = len(packets) % 2 == 0
    victim = puppet.victim
    stream_id = victim.open_stream()
    assert stream_id is not None
    victim.write_stream(stream_id, bytes(3000), fin=True)
    for at, payload in enumerate(packets):
        puppet.say(payload)
        while victim.next_event() is not None:
            pass
        assert len(puppet.answer()) <= 70
        if at < len(times):
            puppet.link.now += times[at]
            moment = victim.timeout()
            if moment is not None and moment <= puppet.link.now:
                victim.handle_timeout(puppet.link.now)
            puppet.answer()
        assert victim.error is None or isinstance(victim.error, Error)
        assert not isinstance(victim.error, InternalError), victim.error.__cause__
