"""Handshake bytes in CRYPTO frames (RFC 9000 sections 7.5 and 19.6)."""

from __future__ import annotations

import random

import pytest

from caesura.errors import CryptoBufferExceeded, TransportError
from caesura.quic import frames
from caesura.quic.crypto_stream import CryptoStream
from caesura.quic.levels import INITIAL
from caesura.quic.sent_packets import Recall

BODY = random.Random(4).randbytes(20_000)
ALLOWED = frames.permitted(INITIAL, from_server=True)


class Ear:
    """The peer's stream."""

    def __init__(self) -> None:
        self.stream = CryptoStream(65_536)
        self.seen: list[tuple[int, int]] = []

    def on_crypto(self, level: int, offset: int, data: bytes) -> None:
        self.seen.append((offset, len(data)))
        self.stream.receive(offset, data)


def packets(stream: CryptoStream, room: int = 1000) -> list[tuple[bytes, list[Recall]]]:
    found = []
    while stream:
        pieces: list[bytes] = []
        recalls: list[Recall] = []
        size = stream.write_frame(room, pieces, recalls)
        assert 0 < size == len(b"".join(pieces)) <= room
        found.append((b"".join(pieces), recalls))
    assert stream.write_frame(room, [], []) == 0
    return found


@pytest.mark.parametrize("room", [40, 100, 1000, 17_000, 100_000])
def test_bytes_arrive(room: int) -> None:
    stream, ear = CryptoStream(65_536), Ear()
    stream.write(BODY[:5000])
    stream.write(BODY[5000:])
    for payload, _ in packets(stream, room):
        frames.dispatch_untrusted(payload, INITIAL, ALLOWED, ear)
    assert ear.stream.read() == BODY
    assert ear.stream.read() == b""


@pytest.mark.parametrize("seed", range(10))
def test_what_is_lost_is_sent_again(seed: int) -> None:
    dice = random.Random(seed)
    stream, ear = CryptoStream(65_536), Ear()
    stream.write(BODY)
    while stream:
        found = packets(stream, dice.randint(50, 1500))
        dice.shuffle(found)
        for payload, recalls in found:
            ((owner, at, mark, data),) = recalls
            if dice.random() < 0.4:
                owner.lost(at, mark, data)
            else:
                frames.dispatch_untrusted(payload, INITIAL, ALLOWED, ear)
                owner.acked(at, mark, data)
    assert ear.stream.read() == BODY
    assert not ear.stream.ahead


def test_what_has_arrived_is_not_sent_again() -> None:
    """A probe has put everything into the queue again, and then the ACK of the first copy comes, or of parts of it."""

    def resent(stream: CryptoStream) -> list[tuple[int, int]]:
        ear = Ear()
        for payload, _ in packets(stream):
            frames.dispatch_untrusted(payload, INITIAL, ALLOWED, ear)
        return ear.seen

    for arrived, left in (
        ((0, 900), []),
        ((0, 400), [(400, 500)]),
        ((600, 900), [(0, 600)]),
        ((200, 300), [(0, 200), (300, 600)]),
        ((900, 1000), [(0, 900)]),
    ):
        stream = CryptoStream(65_536)
        stream.write(BODY[:1000])
        resent(stream)
        stream.lost(0, 0, BODY[:900])
        stream.acked(arrived[0], 0, BODY[slice(*arrived)])
        assert resent(stream) == left
        stream.lost(0, 0, BODY[:900])  # the copy, too
        assert resent(stream) == ([] if arrived == (0, 900) else [(400, 500)] if arrived == (0, 400) else [(0, 900)])


def test_a_frame_is_worth_its_while() -> None:
    stream = CryptoStream(65_536)
    stream.write(BODY[:100])
    assert stream.write_frame(30, [], []) == 0
    short = CryptoStream(65_536)
    short.write(b"four")
    assert short.write_frame(8, [], []) == 8


def test_what_comes_too_early_ends_the_connection() -> None:
    stream = CryptoStream(1000)
    stream.receive(500, bytes(500))
    with pytest.raises(CryptoBufferExceeded):
        stream.receive(999, bytes(2))
    stream.receive(0, bytes(1000))
    assert len(stream.read()) == 1000
    stream.receive(1000, bytes(1000))
    with pytest.raises(CryptoBufferExceeded):
        stream.receive(2**62 - 2, b"a")


def test_too_many_small_pieces_end_the_connection() -> None:
    stream = CryptoStream(65_536)
    with pytest.raises(TransportError):
        for at in range(1, 2000, 2):
            stream.receive(at, b"a")


def test_a_level_without_keys_is_silent() -> None:
    stream = CryptoStream(65_536)
    stream.write(BODY[:2000])
    _, recalls = packets(stream)[0]
    stream.write(BODY[2000:])
    recalls[0][0].lost(*recalls[0][1:])
    stream.receive(5, b"late")
    stream.close()
    assert not stream
    assert not stream.ahead
