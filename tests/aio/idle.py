"""A program that prints what an idle connection of a server costs: bytes allocated by Python, or resident bytes.

`python -m tests.aio.idle allocated|resident`. A process of its own, because memory that was used before is used again.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import tracemalloc
from pathlib import Path

from caesura import aio
from caesura.tls import TLSConnection
from tests.aio.support import HOST, client_context, port_of, server_context

WARM_UP = 30
CONNECTIONS = {"allocated": 70, "resident": 300}  # what is resident grows by whole pages, and in leaps
STATM = Path("/proc/self/statm")


class Idle(asyncio.Protocol):
    """An application without any state."""

    __slots__ = ()


async def client_that_forgets(port: int) -> socket.socket:
    """A connection whose handshake is complete, of which the client keeps nothing but the socket."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, (HOST, port))
    connection = TLSConnection(client_context(sessions=None), server_side=False, server_hostname="localhost")
    connection.advance(0.0)
    while not connection.handshake_complete:
        await loop.sock_sendall(sock, connection.data_to_send(0.0))
        connection.receive_data(await loop.sock_recv(sock, 65_536), 0.0)
    await loop.sock_sendall(sock, connection.data_to_send(0.0))
    connection.close()
    return sock


def in_use(measure: str) -> int:
    if measure == "allocated":
        return tracemalloc.get_traced_memory()[0]
    return int(STATM.read_text().split()[1]) * 4096


async def main(measure: str) -> float:
    made: list[Idle] = []

    def factory() -> Idle:
        made.append(Idle())
        return made[-1]

    async with await aio.create_server(factory, HOST, 0, context=server_context()) as server:
        sockets = [await client_that_forgets(port_of(server)) for _ in range(WARM_UP)]
        gc.collect()
        if measure == "allocated":
            tracemalloc.start()
        before = in_use(measure)
        sockets += [await client_that_forgets(port_of(server)) for _ in range(CONNECTIONS[measure])]
        while len(made) < len(sockets):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
        gc.collect()
        each = (in_use(measure) - before) / CONNECTIONS[measure]
        for sock in sockets:
            sock.close()
    return each


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1])))  # noqa: T201
