"""QUIC over networks that misbehave in every way at once, by seed: `python -m tests.soak.quic_networks 0 200`.

A seed decides how bad the network is, which settings both sides have, how many clients there are, how much they send
and whether one of them moves. Whatever it is, all that was sent comes back, and nobody fails. Then 5 MB go one way
through small windows, and what is sent for them is bounded.
"""

# ruff: noqa: T201  it talks to a terminal

from __future__ import annotations

import random
import sys

from tests.quic.test_transfer import BODY, SMALL
from tests.quic.world import End, quic_link
from tests.support.datagram_link import Lossy


def transfer(seed: int) -> None:
    """One seed. Raises when something is not as it should be."""
    dice = random.Random(seed)
    network = Lossy(
        seed=seed,
        delay=dice.choice([0.001, 0.01, 0.1]),
        loss=dice.choice([0, 0.05, 0.15, 0.3]),
        reordering=dice.choice([0, 0.2, 0.6]),
        duplication=dice.choice([0, 0.1, 0.4]),
        corruption=dice.choice([0, 0.02, 0.1]),
    )
    options: dict[str, object] = {
        **(SMALL if dice.random() < 0.6 else {}),
        "congestion": dice.choice(["cubic", "newreno"]),
        "max_idle_timeout": 600.0,
        "connection_id_length": dice.choice([0, 4, 8]),
        "ack_ranges": dice.choice([2, 4, 64]),
        "retry": dice.random() < 0.3,
    }
    clients = dice.choice([1, 1, 3])
    listener = clients > 1 or bool(options["retry"]) or dice.random() < 0.5
    link = quic_link({"quic": options}, {"quic": options}, network, clients=clients, listener=listener)
    link.start().run(lambda: all(each.connection.handshake_confirmed for each in link.clients), seconds=5000)
    size, streams = dice.choice([100, 20_000, 100_000]), dice.choice([1, 3])
    said: dict[End, list[int]] = {}
    for each in link.clients:
        said[each] = [each.say(None, BODY[:size]) for _ in range(streams)]
        if dice.random() < 0.3:
            each.connection.key_update()
    # A move needs an id to be recognized by, and challenges that arrive: of three, or the path is given up.
    if options["connection_id_length"] and network.loss + network.corruption < 0.1 and dice.random() < 0.5:
        link.client.addr = ("192.0.2.200", dice.randrange(1000, 9999))
    link.run(
        lambda: all(each.connection.error or each.ended.issuperset(ids) for each, ids in said.items()), seconds=5000
    )
    for end in link.ends:
        if end.connection.error is not None:
            raise end.connection.error
    for each, ids in said.items():
        assert all(each.data[stream_id] == BODY[:size] for stream_id in ids)


FIVE_MB = random.Random(7).randbytes(5_000_000)
WINDOWS = {
    "initial_max_data": 60_000,
    "initial_max_stream_data_bidi_remote": 40_000,
    "max_data_window": 60_000,
    "max_stream_data_window": 40_000,
    "max_idle_timeout": 600.0,
}


def bulk(seed: int) -> None:
    """5 MB on one stream, where 15 % are lost, 20 % late and 10 % doubled. Raises when something is wrong.

    Nearly one in seven has to go twice, and some of the late ones: half as much again is more than enough.
    """
    link = quic_link({"quic": WINDOWS}, {"quic": WINDOWS}, Lossy(seed=seed, delay=0.01), echo=False)
    link.start().run(lambda: link.client.connection.handshake_confirmed, seconds=5000)
    stream_id = link.client.say(None, FIVE_MB)
    link.run(lambda: stream_id in link.server.ended, seconds=5000)
    assert link.server.data[stream_id] == FIVE_MB
    sent = sum(len(each.data) for each in link.sent if each.by_client)
    assert sent < 1.5 * len(FIVE_MB), sent


def main(first: str, last: str) -> None:
    for seed in range(int(first), int(last)):
        print("seed", seed, end="\r", flush=True)
        transfer(seed)
        bulk(seed)
    print(f"{int(last) - int(first)} seeds, and all that was sent arrived")


if __name__ == "__main__":
    main(*sys.argv[1:])
