"""Clients in a process of their own, so that a server's figures are its own.

    python -m benchmarks.load burst PORT ROOT COUNT REST    COUNT half handshakes, a millisecond apart, then a rest
    python -m benchmarks.load hold PORT ROOT|- COUNT        COUNT connections that stay open and say nothing

Without ROOT they are plain TCP connections. It says "ready" when it begins with bursts or holds all connections, and
ends with its standard input.

A burst's clients say the same ClientHello again and again, take the server's flight, signature and all, and go. The
server does what it does for any client up to there; these do next to nothing. Clients that shake hands in earnest, as
other machines would, take turns with the server on the processors of this one, and what it then waits for its turn
looks like a stall that no signer caused: with keys on P-256, signed at once, that was 2 to 4 ms of what was measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
import time

from benchmarks.pairs import NAME

SPACING = 0.001  # seconds


def client_context(root: str) -> ssl.SSLContext | None:
    if root == "-":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root)
    return context


async def connect(port: int, context: ssl.SSLContext | None) -> asyncio.StreamWriter:
    name = NAME if context is not None else None
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    return writer


def first_flights(port: int, context: ssl.SSLContext) -> tuple[bytes, int]:
    """A ClientHello, and how many bytes the server answers it with; from one handshake that is completed."""
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, to_send, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello, size = to_send.read(), 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(hello)
        while True:
            flight = connection.recv(65536)
            received.write(flight)
            size += len(flight)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
                break
        connection.sendall(to_send.read())
    return hello, size


def burst(port: int, context: ssl.SSLContext, count: int, rest: float) -> None:
    hello, size = first_flights(port, context)
    while True:
        connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(hello)
            connections.append(connection)
            time.sleep(SPACING)
        for connection in connections:
            with connection:
                connection.recv(size, socket.MSG_WAITALL)
        time.sleep(rest)


async def hold(port: int, context: ssl.SSLContext | None, count: int) -> None:
    held = [await connect(port, context) for _ in range(count)]
    print("ready", flush=True)
    await asyncio.Event().wait()
    del held


async def main(arguments: list[str]) -> None:
    mode, port, root, count, *more = arguments
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=watch, daemon=True).start()
    context = client_context(root)
    if mode == "burst":
        assert context is not None
        numbers = int(port), context, int(count), float(more[0])
        print("ready", flush=True)
        threading.Thread(target=burst, args=numbers, daemon=True).start()
        await over.wait()
        return
    task = asyncio.create_task(hold(int(port), context, int(count)))
    await over.wait()
    task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
