"""Bytes of memory: of a paused handshake, of an idle connection, of an association of DTLS, of a connection of QUIC.

Each figure comes from a process of its own (`python -m benchmarks.memory KIND`), which measures how much its resident
memory grows. That counts all there is: objects, the stacks of paused fibers, and what the libraries below hold.
"Objects" are what Python's own allocator gave, which leaves out the first pages of a fiber's frame stack.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.harness import Line, Probe, Progress
from benchmarks.older import DTLS12, DTLS13, NO_SESSIONS
from benchmarks.pairs import NAME, caesura_contexts, credential_files, stdlib_contexts
from benchmarks.quic import Pair, installed, maker
from caesura import aio
from caesura.dtls import DTLSConnection, DTLSListener
from caesura.engines import DelayEngine, Operation
from caesura.tls import TLSConnection

PAUSED = 1500  # handshakes
ASSOCIATIONS = 400
QUIC = 300  # connections
QUIC_REST = 1.0  # seconds that they have nothing to do: what the handshake needed is gone by then
IDLE = 300  # connections; each needs two descriptors
ROUNDS = 3
BEFORE = 50  # of each before the measurement begins: pools, caches and the allocator's first pages


def resident() -> int:
    """Bytes of resident memory, garbage apart."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def allocated() -> int:
    """Bytes that Python's allocator has handed out since it was first asked, garbage apart."""
    gc.collect()
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


def client_hello() -> bytes:
    """The first flight of a client."""
    client = TLSConnection(caesura_contexts()[0], server_side=False, server_hostname="localhost")
    client.advance(0.0)
    return client.data_to_send(0.0)


def paused(now: Callable[[], int]) -> float:
    """Bytes of a server's handshake that waits for its signature, by the measure `now`; its output has been sent."""
    engine = DelayEngine(None, operations={Operation.SIGN})
    server = caesura_contexts(engine=engine, async_mode=True)[1]
    hello = client_hello()
    kept: list[TLSConnection] = []

    def pause(count: int) -> None:
        for _ in range(count):
            connection = TLSConnection(server, server_side=True)
            connection.receive_data(hello, 0.0)
            connection.data_to_send(0.0)
            kept.append(connection)

    pause(BEFORE)
    before = now()
    pause(PAUSED)
    grown = now() - before
    assert len(engine.waiting) == BEFORE + PAUSED
    for each in kept:
        each.close()
    return grown / PAUSED


def association(now: Callable[[], int], settings: dict[str, Any]) -> float:
    """Bytes of a server's association behind a listener, by the measure `now`, its handshake complete."""
    client_context, server_context = caesura_contexts(**settings, **NO_SESSIONS)
    listener = DTLSListener(server_context)

    def associate(first: int, count: int) -> None:
        for addr in range(first, first + count):
            client = DTLSConnection(client_context, server_side=False, server_hostname=NAME, addr="server")
            client.advance(0.0)
            moved = True
            while moved:
                moved = False
                for datagram, _addr in client.datagrams_to_send(0.0):
                    server = listener.receive_datagram(datagram, addr, 0.0)
                    answers = listener.datagrams_to_send(0.0)
                    answers += server.datagrams_to_send(0.0) if server is not None else []
                    for answer, _to in answers:
                        moved = True
                        client.receive_datagram(answer, None, 0.0)
            connection = listener.accept()
            assert connection is not None
            assert connection.handshake_complete
            while connection.next_event() is not None:
                pass

    associate(0, BEFORE)
    before = now()
    associate(BEFORE, ASSOCIATIONS)
    grown = now() - before
    listener.close()
    return grown / ASSOCIATIONS


def quic(now: Callable[[], int], make: Callable[[], Pair]) -> float:
    """Bytes of a server's connection of QUIC, by the measure `now`: its handshake confirmed, and nothing under way."""
    kept: list[Any] = []

    def connect(count: int) -> None:
        for _ in range(count):
            pair = make()
            pair.connect()
            pair.rest(QUIC_REST)
            kept.append(pair.server)

    connect(BEFORE)
    before = now()
    connect(QUIC)
    return (now() - before) / QUIC


async def held(port: int, root: str, count: int) -> asyncio.subprocess.Process:
    """A process that holds so many connections open."""
    arguments = ["hold", str(port), root, str(count)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    await asyncio.sleep(0.2)  # the server may still be busy with what the clients need no answer to
    return process


async def idle(kind: str) -> float:
    """Bytes of an idle connection of a server: TLS by Caesura or `ssl`, or plain TCP."""
    loop = asyncio.get_running_loop()
    if kind == "caesura":
        server: Any = await aio.create_server(asyncio.Protocol, "127.0.0.1", 0, context=caesura_contexts()[1])
    else:
        context = stdlib_contexts(tickets=2)[1] if kind == "ssl" else None
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    root = "-" if kind == "tcp" else str(credential_files()[2])
    processes = [await held(port, root, BEFORE)]
    before = resident()
    processes.append(await held(port, root, IDLE))
    grown = resident() - before
    for process in processes:
        process.stdin.close()  # type: ignore[union-attr]
        await process.wait()
    server.close()
    return grown / IDLE


def measured(kind: str) -> float:
    """KiB, as a process of its own finds."""
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", kind], capture_output=True, check=True, text=True, timeout=120
    )
    return float(found.stdout) / 1024


def probe(progress: Progress) -> Sequence[Line]:
    packages = ("caesura", *installed("aioquic", "qh3"))
    counted = ("paused-objects", "dtls12", "dtls13", "quic-objects")  # by the allocator, which never errs
    kinds = [*counted, "paused", "tcp", "caesura", "ssl", *(f"quic:{package}" for package in packages)]
    found = {}
    for number, kind in enumerate(kinds):
        found[kind] = statistics.median(measured(kind) for _ in range(1 if kind in counted else ROUNDS))
        progress((number + 1) / len(kinds))
    socket = found["tcp"]
    quic = [Line(f"QUIC connection, {package}", found[f"quic:{package}"], "KiB") for package in packages]
    ours, *theirs = quic
    compared = [
        replace(ours, ratio=ours.value / each.value, against=package)
        for each, package in zip(theirs, packages[1:], strict=True)
    ]
    return (
        Line("paused handshake, objects", found["paused-objects"], "KiB", must=12),
        Line("paused handshake, resident", found["paused"], "KiB"),
        Line("DTLS 1.2 association, objects", found["dtls12"], "KiB", must=16, note="of a listener"),
        Line("DTLS 1.3 association, objects", found["dtls13"], "KiB", must=16, note="of a listener"),
        Line("QUIC connection, objects", found["quic-objects"], "KiB", note="the lines below: resident"),
        *(compared or [ours]),
        *theirs,
        Line("idle connection, caesura", found["caesura"] - socket, "KiB", must=24, note="beyond the socket"),
        Line("idle connection, ssl", found["ssl"] - socket, "KiB", note="beyond the socket"),
        Line("idle connection, plain TCP", socket, "KiB"),
    )


ROWS = (Probe("memory", "memory of a server", probe),)


if __name__ == "__main__":
    match sys.argv[1]:
        case "paused":
            print(paused(resident))
        case "paused-objects":
            print(paused(allocated))
        case "dtls12":
            print(association(allocated, DTLS12))
        case "dtls13":
            print(association(allocated, DTLS13))
        case "quic-objects":
            print(quic(allocated, maker("caesura")))
        case kind if kind.startswith("quic:"):
            print(quic(resident, maker(kind.removeprefix("quic:"))))
        case kind:
            print(asyncio.run(idle(kind)))
