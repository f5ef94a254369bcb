"""Whatever comes, in whatever state: an error of ours or nothing, told once, and never without bound."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.errors import Error
from caesura.tls.records import HANDSHAKE
from tests.fuzz.states import SEEDS, TARGETS, hold
from tests.support.link import link
from tests.tls.early import Acquainted
from tests.tls.puppet import Puppet
from tests.tls.reframing import ReframedLink
from tests.tls.states import STATES
from tests.tls.world import client_context, server_context


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some bytes changed, put in, taken out or doubled."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        data[start:stop] = draw(
            st.binary(max_size=4) | st.sampled_from([b"\0", b"\xff\xff", bytes(data[start:stop]) * 2])
        )
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150)
@given(data=st.data())
def test_targets(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(st.binary(max_size=80) | damaged(SEEDS[name])))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """They reach every state, and most of them are welcome there."""
    outcomes = [TARGETS[name](seed) for seed in SEEDS[name]]
    if name == "connection.messages":
        assert sum(outcomes) >= 10  # signatures and Finished are those of another handshake
    assert {seed[0] for seed in SEEDS[name]} == set(range(len(STATES)))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), damages=st.integers(0, 3), early=st.booleans())
def test_genuine_flights_damaged_on_their_way(seed: int, damages: int, early: bool) -> None:
    """Bytes change, vanish or repeat: both sides end in peace or with an error each."""
    draw = random.Random(seed)  # flights differ in length from run to run, so hypothesis draws nothing on the way
    pair = (Acquainted().pair(bytes(1000)) if early else link(client_context(), server_context())).start()
    for _ in range(6):
        for sender, receiver in ((pair.client, pair.server), (pair.server, pair.client)):
            wire = bytearray(sender.data_to_send(0.0))
            for _ in range(damages):
                if wire and draw.random() < 0.4:
                    start = draw.randrange(len(wire))
                    stop = min(len(wire), start + draw.choice((1, 1, 5, 50)))
                    wire[start:stop] = draw.choice((b"", bytes(wire[start:stop]) * 2, draw.randbytes(stop - start)))
            receiver.receive_data(bytes(wire), 0.0)
            hold(receiver)
    for side in (pair.client, pair.server):
        side.receive_eof(0.0)
        assert side.error is not None
        hold(side)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_random_record_boundaries(seed: int) -> None:
    draw = random.Random(seed)

    def cut(data: bytes) -> list[bytes]:
        pieces = []
        while data:
            size = draw.choice((1, 2, 4, 30, 300, 3000))
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    wire = ReframedLink(
        client_context(), server_context(), cut, padding=draw.choice((0, 1, 100)), chunk=draw.choice((1, 7, None))
    )
    pair = wire.exchange()
    assert pair.client.handshake_complete
    assert pair.server.handshake_complete


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_memory_is_bounded(state: Callable[[], Puppet]) -> None:
    """Four megabytes of what may come for ever: the least of it is kept."""
    for flood in (endless_message, endless_fragments, endless_garbage):
        puppet = state()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            flood(puppet)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < 1_000_000
        assert isinstance(puppet.connection.error, Error)
        assert after - before < 300_000  # the error has a traceback, and that a message of the greatest length
        hold(puppet.connection)


def endless_message(puppet: Puppet) -> None:
    """Messages of the greatest length, one after the other."""
    content = b"\x0b\x02\x00\x00" + bytes(2**14 - 4)
    for number in range(256):
        if puppet.connection.error is not None:
            return
        puppet.send(HANDSHAKE, content if number % 8 == 0 else bytes(2**14))


def endless_fragments(puppet: Puppet) -> None:
    """As many messages in a record as there is room for."""
    content = b"\x63\x00\x00\x00" * 4096
    for _ in range(256):
        if puppet.connection.error is not None:
            return
        puppet.send(HANDSHAKE, content)


def endless_garbage(puppet: Puppet) -> None:
    noise = random.Random(7).randbytes(2**14)
    for _ in range(256):
        puppet.feed(noise)
