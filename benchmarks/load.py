"""Clients in a process of their own, so that a server's figures are its own.

    python -m benchmarks.load burst PORT ROOT COUNT INTERVAL    COUNT handshakes, a millisecond apart, then a rest
    python -m benchmarks.load hold PORT ROOT|- COUNT            COUNT connections that stay open and say nothing

Without ROOT they are plain TCP connections. It says "ready" when it has begun or holds them all, and ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading

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


async def burst(port: int, context: ssl.SSLContext | None, count: int, interval: float) -> None:
    async def once() -> None:
        with contextlib.suppress(OSError):
            (await connect(port, context)).close()

    tasks: set[asyncio.Task[None]] = set()
    while True:
        for _ in range(count):
            task = asyncio.create_task(once())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(SPACING)
        await asyncio.sleep(interval)


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
        work = burst(int(port), context, int(count), float(more[0]))
        print("ready", flush=True)
    else:
        work = hold(int(port), context, int(count))
    task = asyncio.create_task(work)
    await over.wait()
    task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
