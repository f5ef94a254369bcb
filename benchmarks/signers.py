"""Handshakes with a slow signer: how much of the processor-only rate is left when every signature takes its time.

Client and server on one loop over loopback. The limit is the rate with a signer that answers at once; the others keep
4 (1 + L / c) handshakes under way, where L is the signer's time and c the processor time of a handshake, so that the
processor always has something to do. Part of what is missing then is the price of the crowd and not of the pauses:
what many handshakes touch does not stay in the caches. The line with as many under way, answered at once, shows it.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Line, Probe, Progress
from benchmarks.loops import Accepted, wind_up
from benchmarks.pairs import NAME, caesura_contexts
from caesura import Context, aio
from caesura.engines import DelayEngine, Operation

DELAYS = (0.001, 0.005, 0.020)  # seconds
ROUNDS = 5
HANDSHAKES = 250  # of a sample; more for those that keep more under way
FEWEST_UNDER_WAY = 4


class Client(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


async def seconds_for_one(client: Context, server: Context, under_way: int, handshakes: int) -> float:
    """Seconds for one handshake with so many under way, the first of them not counted."""
    loop = asyncio.get_running_loop()
    listener = await aio.create_server(Accepted, "127.0.0.1", 0, context=server)
    port = listener.sockets[0].getsockname()[1]
    finished = 0
    began = ended = 0.0

    async def worker() -> None:
        nonlocal finished, began, ended
        while finished < under_way + handshakes:
            transport, protocol = await aio.create_connection(
                lambda: Client(loop), "127.0.0.1", port, context=client, server_hostname=NAME
            )
            transport.close()
            await protocol.lost
            finished += 1
            if finished == under_way:
                began = time.perf_counter()
            elif finished == under_way + handshakes:
                ended = time.perf_counter()

    await asyncio.gather(*(worker() for _ in range(under_way)))
    listener.close()
    await listener.wait_closed()
    return (ended - began) / handshakes


def probe(progress: Progress) -> Sequence[Line]:
    settings: dict[str, Any] = {"ticket_count": 0, "sessions": None}
    client, at_once = caesura_contexts(**settings)
    slow = [caesura_contexts(**settings, engine=DelayEngine(delay, operations={Operation.SIGN}))[1] for delay in DELAYS]
    loop = asyncio.new_event_loop()

    def measure(server: Context, under_way: int) -> float:
        return loop.run_until_complete(seconds_for_one(client, server, under_way, max(HANDSHAKES, 4 * under_way)))

    processor = statistics.median(measure(at_once, FEWEST_UNDER_WAY) for _ in range(3))
    numbers = [math.ceil(4 * (1 + delay / processor)) for delay in DELAYS]
    limit: list[float] = []
    crowd: list[float] = []
    times: list[list[float]] = [[] for _ in DELAYS]
    for number in range(ROUNDS):
        limit.append(measure(at_once, FEWEST_UNDER_WAY))
        crowd.append(measure(at_once, numbers[-1]))
        for index, server in enumerate(slow):
            times[index].append(measure(server, numbers[index]))
        progress((number + 1) / ROUNDS)
    wind_up(loop)
    lines = [
        Line("signer answers at once", 1 / statistics.median(limit), "/s"),
        Line(f"signer answers at once, {numbers[-1]} under way", 1 / statistics.median(crowd), "/s"),
    ]
    for delay, under_way, found in zip(DELAYS, numbers, times, strict=True):
        # Each sample against the limit beside it.
        ratio = statistics.median(most / own for most, own in zip(limit, found, strict=True))
        lines.append(
            Line(
                f"signer takes {delay * 1e3:g} ms, {under_way} under way",
                1 / statistics.median(found),
                "/s",
                ratio=ratio,
                against="at once",
                must=0.90,
                more_is_better=True,
            )
        )
    return lines


ROWS = (Probe("signer", "handshakes per second with a slow signer", probe),)
