"""How long the event loop of a server stands still: idle, and while RSA-4096 signs in a `ThreadEngine`, inline.

Clients in another process open connections in short bursts. A task of the server sleeps a millisecond at a time; how
much too late it wakes is how long something else held the loop. Of each round the 99th percentile is taken, and of the
rounds the median: a disturbance from outside spoils one round, not the figure.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness import Line, Probe, Progress, quantile
from benchmarks.loops import Accepted, wind_up
from caesura import Context, Identity, aio
from caesura.engines import Engine, InlineEngine, Operation, ThreadEngine
from tests.support.pki import pki, rsa_key

BURST = 12  # connections, a millisecond apart: faster than anybody signs with RSA-4096
REST = 0.05  # seconds after each burst
NAP = 0.001  # seconds
WINDOW = 1.0  # seconds of one measurement
ROUNDS = 7
SETTLE = 0.2  # seconds after clients have started or stopped
LABELS = {"threads": "in a ThreadEngine", "sched_idle": "in a ThreadEngine, sched_idle"}
IDLE_FLOOR = 0.5  # ms: an idle loop that is better than this counts as this


@contextmanager
def clients(mode: str, port: int, root: Path | None, *numbers: float) -> Iterator[None]:
    """`benchmarks.load` in its own process, ready."""
    arguments = [mode, str(port), str(root or "-"), *(str(number) for number in numbers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin, process.stdout:
        assert process.stdout.readline() == b"ready\n"
        yield


async def lateness(seconds: float) -> list[float]:
    """Milliseconds by which naps were too long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    found = []
    while (began := loop.time()) < end:
        await asyncio.sleep(NAP)
        found.append((loop.time() - began - NAP) * 1e3)
    return found


def probe(progress: Progress) -> Sequence[Line]:
    credential = pki().leaf("rsa-4096", issuer=pki().root, key=rsa_key(4096))
    identity = Identity.load(credential.chain_pem, credential.key_pem)
    loop = asyncio.new_event_loop()
    late: dict[str, list[float]] = {name: [] for name in ("idle", "threads", "sched_idle", "inline")}

    def measure(name: str) -> None:
        late[name].append(quantile(loop.run_until_complete(lateness(WINDOW)), 0.99))

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (root := folder / "root.pem").write_bytes(pki().trust_pem)
        engines: dict[str, Engine] = {
            "threads": stack.enter_context(ThreadEngine(1, operations={Operation.SIGN})),
            "inline": InlineEngine(),
        }
        if sys.platform == "linux":
            giving_way = ThreadEngine(1, operations={Operation.SIGN}, sched_idle=True)
            engines["sched_idle"] = stack.enter_context(giving_way)
        for number in range(ROUNDS):
            measure("idle")
            for name, engine in engines.items():
                context = Context.server(identity=identity, engine=engine)
                server = loop.run_until_complete(aio.create_server(Accepted, "127.0.0.1", 0, context=context))
                with clients("burst", server.sockets[0].getsockname()[1], root, BURST, REST):
                    loop.run_until_complete(asyncio.sleep(SETTLE))
                    measure(name)
                loop.run_until_complete(asyncio.sleep(SETTLE))  # who was still in the queue is gone by then
                server.close()
            progress((number + 1) / ROUNDS)
    wind_up(loop)
    found = {name: statistics.median(values) for name, values in late.items() if values}
    best = "sched_idle" if "sched_idle" in found else "threads"  # the goals are for this
    return [
        Line("idle", found["idle"], "ms", note=f"counts as {IDLE_FLOOR} at least"),
        *(
            Line(LABELS[name], found[name], "ms", found[name] / peer, against, goal if name == best else None)
            for name in ("threads", "sched_idle")
            if name in found
            for against, peer, goal in (
                ("idle", max(found["idle"], IDLE_FLOOR), 3.0),
                ("inline", found["inline"], 0.1),
            )
        ),
        Line("inline", found["inline"], "ms"),
    ]


ROWS = (Probe("stall", "event loop stalls while RSA-4096 signs, p99", probe),)
