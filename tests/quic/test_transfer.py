"""Much data over networks that are slow, bad, or read slowly at their end (RFC 9000 section 4, RFC 9002, RFC 9438)."""

from __future__ import annotations

import random

import pytest

from caesura.errors import PeerClose
from tests.quic.world import Bottleneck, quic_link
from tests.support.datagram_link import SERVER, Lossy

BODY = random.Random(6).randbytes(3_000_000)
SMALL = {
    "initial_max_data": 12_000,
    "initial_max_stream_data_bidi_local": 5000,
    "initial_max_stream_data_bidi_remote": 5000,
    "max_data_window": 12_000,
    "max_stream_data_window": 5000,
    "initial_max_streams_bidi": 3,
}


@pytest.mark.parametrize("seed", range(10))
def test_small_windows_on_a_bad_network(seed: int) -> None:
    """All arrives, both ways, and what is sent for it is bounded."""
    network = Lossy(seed=seed, loss=0.02 + seed % 4 * 0.05, corruption=0.01)
    link = quic_link({"quic": SMALL}, {"quic": SMALL}, network, listener=seed % 2 == 0)
    link.start().run(lambda: link.client.connection.handshake_confirmed)
    said: dict[int, bytes] = {}
    while len(said) < 5:
        stream_id = link.client.connection.open_stream()
        if stream_id is None:
            link.wait(0.05)
        else:
            said[link.client.say(stream_id, BODY[stream_id * 99 : stream_id * 99 + 20_000])] = BODY[
                stream_id * 99 : stream_id * 99 + 20_000
            ]
    link.run(lambda: link.client.ended >= said.keys())
    assert {stream_id: bytes(data) for stream_id, data in link.client.data.items()} == said
    assert len(link.sent) < 1500
    for end in link.ends:
        assert end.connection.error is None


@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
@pytest.mark.parametrize(
    ("rate", "delay", "queue"),
    [
        (1e6, 0.02, 50_000),  # a queue of a round trip's data
        (2e6, 0.01, 400_000),  # a much longer one
        (1e6, 0.05, 20_000),  # a short one, on a long way
    ],
)
def test_a_bottleneck_is_filled_and_not_flooded(congestion: str, rate: float, delay: float, queue: int) -> None:
    settings = {"quic": {"congestion": congestion}}
    network = Bottleneck(delay, rate, queue)
    link = quic_link(settings, settings, network, echo=False).handshake()
    began, size = link.now, 2_000_000
    stream_id = link.client.say(None, BODY[:size])
    link.run(lambda: stream_id in link.server.ended)
    assert link.server.data[stream_id] == BODY[:size]
    assert link.now - began < 2 * size / rate + 10 * delay
    assert network.lost < 0.15 * size / 1200


def test_more_streams_than_are_permitted_at_once() -> None:
    link = quic_link(server={"quic": {"initial_max_streams_bidi": 10}}).handshake()
    begun: set[int] = set()
    while len(begun) < 80:
        stream_id = link.client.connection.open_stream()
        if stream_id is None:
            link.wait(0.02)
        else:
            begun.add(link.client.say(stream_id, BODY[:500]))
    link.run(lambda: link.client.ended == begun)
    assert all(data == BODY[:500] for data in link.client.data.values())


def test_who_reads_slowly_stops_one_stream_alone() -> None:
    link = quic_link(echo=False, server={"quic": {"max_stream_data_window": 20_000, **SMALL}}).handshake()
    link.server.greedy = False
    slow, fast = link.client.say(None, BODY[:30_000]), link.client.say(None, BODY[:30_000])
    while fast not in link.server.ended:
        link.wait(0.1)
        if fast in link.server.opened:
            link.server.read(fast)
    assert slow not in link.server.data
    assert 20_000 < link.client.connection.stream_backlog(slow) < 30_000
    while slow not in link.server.ended:
        link.server.read(slow, 2000)
        link.wait(0.05)
    assert link.server.data[slow] == link.server.data[fast] == BODY[:30_000]


@pytest.mark.parametrize("moved", [False, True])
def test_many_datagrams_at_once_are_as_many_one_by_one(moved: bool) -> None:
    link = quic_link(echo=False).handshake()
    client, server = link.client.connection, link.server.connection
    stream_id = link.client.say(None, BODY[:200_000])
    addr = ("192.0.2.44", 4444) if moved else link.client.addr
    link.client.addr = addr
    now, batches = link.now, 0
    while stream_id not in link.server.ended:
        now += 0.01
        batch: list[bytes | bytearray] = [data for data, _ in client.datagrams_to_send(now)]
        if batch:
            batches += 1
            damaged = bytes(batch[0])[:-1] + bytes((batch[0][-1] ^ 1,))
            batch += batch[0], bytearray(batch[-1]), damaged, batch[0][:20]  # twice, and what does not open
            random.Random(batches).shuffle(batch)
            if batches % 2:  # what is not like the rest
                batch += b"", b"\x40" + bytes(40), b"\xc0" + bytes(40)
            if batches == 3:
                client.key_update()
        server.receive_datagrams(batch, addr, now)
        link.server.look()
        answers = [data for data, where in server.datagrams_to_send(now) if where == addr]
        client.receive_datagrams(answers, SERVER, now)
        for end in link.ends:
            moment = end.connection.timeout()
            if moment is not None and moment <= now:
                end.connection.handle_timeout(now)
    assert link.server.data[stream_id] == BODY[:200_000]
    assert client.error is server.error is None
    assert server.key_updates == client.key_updates == 1


def test_a_batch_ends_with_the_connection() -> None:
    link = quic_link().handshake()
    client, server = link.client.connection, link.server.connection
    link.client.say(None, b"before")
    batch = [data for data, _ in client.datagrams_to_send(link.now)]
    client.shutdown(7, "enough")
    batch += [data for data, _ in client.datagrams_to_send(link.now)] * 3
    server.receive_datagrams(batch, link.client.addr, link.now)
    assert isinstance(server.error, PeerClose)
    assert server.error.error_code == 7
    server.receive_datagrams(batch, link.client.addr, link.now)
    assert server.datagrams_to_send(link.now) == []
