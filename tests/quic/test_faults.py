"""What a peer with the right keys and bad manners gets: CONNECTION_CLOSE with the code the RFCs name, or nothing."""

from __future__ import annotations

import random

import pytest

from caesura.crypto.quic import initial_secrets
from caesura.errors import AEADLimitReached, PeerAlert, PeerClose, TransportError
from caesura.errors import TransportErrorCode as Code
from caesura.quic import frames, packets, varint
from caesura.quic.levels import HANDSHAKE, INITIAL
from caesura.quic.protection import ReadKey, WriteKey
from caesura.quic.versions import QUIC1
from tests.quic.forger import Forger
from tests.quic.frame_log import FrameLog
from tests.support.datagram_link import SERVER

TOKEN = bytes(16)
BIG = 2**62 - 1
n = frames.numbers

# What is said, by whom, and the code of the answer. C: a client says it, S: a server.
ROWS: list[tuple[str, bytes, Code]] = [
    ("CS", b"", Code.PROTOCOL_VIOLATION),
    ("CS", b"\x21\x00\x00\x00", Code.FRAME_ENCODING_ERROR),
    ("CS", b"\x40\x01\x00\x00", Code.PROTOCOL_VIOLATION),
    ("CS", frames.ack([(0, 10_000)], 0), Code.PROTOCOL_VIOLATION),  # of what was never sent
    ("CS", b"\x02\x05\x00\x00\x06", Code.FRAME_ENCODING_ERROR),
    ("C", frames.new_token(b"token"), Code.PROTOCOL_VIOLATION),
    ("S", frames.new_token(b""), Code.FRAME_ENCODING_ERROR),
    ("C", b"\x1e\x00\x00\x00", Code.PROTOCOL_VIOLATION),  # HANDSHAKE_DONE
    ("CS", frames.crypto(0, b"\x18\x00\x00\x01\x00"), Code.CRYPTO_ERROR + 10),  # KeyUpdate (RFC 9001 section 6)
    ("CS", frames.crypto(70_000, b"x"), Code.CRYPTO_BUFFER_EXCEEDED),
    ("CS", frames.crypto(BIG, b"x"), Code.FRAME_ENCODING_ERROR),
    ("C", frames.stream(400, 0, b"x", False), Code.STREAM_LIMIT_ERROR),
    ("S", frames.stream(401, 0, b"x", False), Code.STREAM_LIMIT_ERROR),
    ("C", frames.stream(1, 0, b"x", False), Code.STREAM_STATE_ERROR),  # not opened yet
    ("C", frames.stream(3, 0, b"x", False), Code.STREAM_STATE_ERROR),  # ours to send on
    ("C", frames.stream(0, 300_000, b"x", False), Code.FLOW_CONTROL_ERROR),
    ("C", frames.stream(0, 0, b"abc", True) + frames.stream(0, 0, b"abcd", False), Code.FINAL_SIZE_ERROR),
    ("C", frames.stream(0, 0, b"abc", True) + n(frames.RESET_STREAM, 0, 1, 2), Code.FINAL_SIZE_ERROR),
    ("C", n(frames.RESET_STREAM, 3, 1, 2), Code.STREAM_STATE_ERROR),
    ("C", n(frames.STOP_SENDING, 2, 1), Code.STREAM_STATE_ERROR),
    ("C", n(frames.MAX_STREAM_DATA, 2, 1), Code.STREAM_STATE_ERROR),
    ("C", n(frames.STREAM_DATA_BLOCKED, 3, 1), Code.STREAM_STATE_ERROR),
    ("CS", n(frames.MAX_STREAMS_BIDI, 2**60 + 1), Code.FRAME_ENCODING_ERROR),
    ("CS", n(frames.STREAMS_BLOCKED_UNI, 2**60 + 1), Code.FRAME_ENCODING_ERROR),
    ("CS", frames.new_connection_id(5, 6, b"12345678", TOKEN), Code.FRAME_ENCODING_ERROR),
    ("CS", frames.new_connection_id(99, 0, b"12345678", TOKEN), Code.CONNECTION_ID_LIMIT_ERROR),
    ("CS", frames.new_connection_id(1, 0, b"12345678", TOKEN), Code.PROTOCOL_VIOLATION),  # another 1 is known
    ("CS", n(frames.RETIRE_CONNECTION_ID, 99), Code.PROTOCOL_VIOLATION),
    ("CS", n(frames.RETIRE_CONNECTION_ID, 0), Code.PROTOCOL_VIOLATION),  # by a packet to that very id
    ("CS", frames.datagram(b"unasked"), Code.PROTOCOL_VIOLATION),
]


def established(by_client: bool) -> Forger:
    forger = Forger(by_client=by_client, server={"ticket_count": 0})
    forger.link.establish().wait(1.0)
    return forger


@pytest.mark.parametrize(
    ("by_client", "payload", "code"),
    [(who == "C", payload, code) for whos, payload, code in ROWS for who in whos],
    ids=[f"{who}-{payload.hex()[:16]}" for whos, payload, _ in ROWS for who in whos],
)
def test_the_code_that_is_said(by_client: bool, payload: bytes, code: int) -> None:
    forger = established(by_client)
    forger.say(payload)
    link = forger.link
    assert forger.victim.error is not None
    link.wait(0.05)
    other = link.client if by_client else link.server
    error = other.error
    if code >= Code.CRYPTO_ERROR:
        assert isinstance(error, PeerAlert)
        assert error.description == code & 0xFF
    else:
        assert isinstance(error, PeerClose)
        assert error.error_code == code
        own = forger.victim.error
        assert isinstance(own, TransportError)
        assert own.error_code == code


@pytest.mark.parametrize(
    "payload",
    [
        n(frames.STREAM_DATA_BLOCKED, 0, 5),
        n(frames.DATA_BLOCKED, 5) + n(frames.STREAMS_BLOCKED_BIDI, 5) + n(frames.STREAMS_BLOCKED_UNI, 5),
        n(frames.MAX_DATA, 0) + n(frames.MAX_STREAMS_BIDI, 0) + n(frames.MAX_STREAM_DATA, 0, 0),
        frames.path_response(b"12345678"),
        frames.path_challenge(b"12345678") * 50,
        n(frames.RETIRE_CONNECTION_ID, 1) * 3,
        frames.ack([(0, 1)], BIG),
        frames.ack([(0, 1)], 0, (BIG, BIG, BIG)),
        bytes(1000),
        b"\x01" * 1000,
    ],
)
def test_what_is_no_fault(payload: bytes) -> None:
    forger = established(by_client=True)
    forger.say(payload)
    assert forger.victim.error is None


@pytest.mark.parametrize("level", [INITIAL, HANDSHAKE])
@pytest.mark.parametrize("payload", [frames.stream(0, 0, b"x", False), b"\x1e", frames.connection_close(1, None, b"")])
def test_frames_that_a_packet_of_the_handshake_cannot_have(level: int, payload: bytes) -> None:
    forger = Forger(by_client=False)
    forger.link.start()
    forger.link.wait(0.025)
    if level == HANDSHAKE:
        assert forger.lines
    forger.say(payload, level)
    error = forger.victim.error
    if level == INITIAL and error is None:  # the keys may be gone already
        assert forger.link.client.handshake_complete
    else:
        assert isinstance(error, TransportError)
        assert error.error_code is Code.PROTOCOL_VIOLATION


@pytest.mark.parametrize("by_client", [True, False])
@pytest.mark.parametrize("bits", [0x08, 0x10, 0x18])
def test_reserved_bits(by_client: bool, bits: int) -> None:
    forger = established(by_client)
    forger.say(b"\x01\0\0", first=bits)
    error = forger.victim.error
    assert isinstance(error, TransportError)
    assert error.error_code is Code.PROTOCOL_VIOLATION


def test_the_same_packet_twice_is_read_once() -> None:
    forger = established(by_client=True)
    packet = forger.packet(frames.stream(0, 0, b"once", False))
    for _ in range(3):
        forger.victim.receive_datagram(packet, forger.link.client_address, forger.link.now)
    forger.link._pump()
    assert forger.link.theirs.streams == {0: b"once"}


def test_a_number_again_with_other_frames_is_not_read() -> None:
    forger = established(by_client=True)
    forger.say(frames.stream(0, 0, b"once", False), number=500)
    forger.say(frames.stream(0, 4, b"more", False), number=500)
    assert forger.link.theirs.streams == {0: b"once"}


@pytest.mark.parametrize("seed", range(10))
def test_forged_datagrams_at_random_change_nothing(seed: int) -> None:
    forger = established(by_client=True)
    dice = random.Random(seed)
    genuine = forger.packet(b"\x01\0\0")
    for _ in range(200):
        forged = bytearray(genuine if dice.random() < 0.5 else dice.randbytes(dice.randrange(1, 1400)))
        forged[dice.randrange(len(forged))] ^= 1 << dice.randrange(8)
        for side in (forger.link.server, forger.link.client):
            address = forger.link.client_address if side is forger.link.server else SERVER
            side.receive_datagram(bytes(forged), address, forger.link.now)
    stream_id = forger.link.send(b"still there")
    forger.link.wait(0.5)
    assert forger.link.theirs.streams[stream_id] == b"still there"


def test_as_many_forgeries_as_a_key_may_see() -> None:
    forger = established(by_client=True)
    forger.victim._reader.phases.integrity_limit = 5
    forged = b"\x40" + forger.victim.connection_ids[0] + bytes(30)
    for _ in range(5):
        forger.victim.receive_datagram(forged, ("192.0.2.66", 1), forger.link.now)
    assert forger.victim.error is None
    forger.victim.receive_datagram(forged, ("192.0.2.66", 1), forger.link.now)
    assert isinstance(forger.victim.error, AEADLimitReached)


def test_a_hello_with_a_session_id() -> None:
    """RFC 9001 section 8.4: middleboxes do not look into QUIC."""
    forger = Forger()
    link = forger.link
    link.client.advance(link.now)
    ((hello, _),) = link.client.datagrams_to_send(link.now)
    header = packets.read_long(hello, 0)
    assert header is not None
    secret = initial_secrets(QUIC1.initial_salt, header.destination)[0]
    opened = ReadKey(secret, QUIC1.label).open_untrusted(hello, 0, header.number_at, header.stop, -1)
    assert opened is not None
    log = FrameLog()
    frames.dispatch_untrusted(opened[1], INITIAL, frames.permitted(INITIAL, from_server=False), log)
    message = b"".join(call[3] for call in log.calls)
    at = 4 + 2 + 32
    assert message[at] == 0
    changed = message[:at] + b"\x20" + bytes(32) + message[at + 1 :]
    changed = changed[:1] + (len(changed) - 4).to_bytes(3, "big") + changed[4:]
    payload = frames.crypto(0, changed).ljust(1162, b"\0")
    start = packets.long_header(QUIC1, INITIAL, header.destination, header.source, b"")
    length = varint.encode_two(4 + len(payload) + 16)
    packet = WriteKey(secret, QUIC1.label).seal(start[0] | 3, start[1:] + length, 0, payload)
    link.server.receive_datagram(packet, link.client_address, link.now)
    error = link.server.error
    assert isinstance(error, TransportError)
    assert error.error_code is Code.PROTOCOL_VIOLATION
