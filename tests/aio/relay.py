"""Somebody between a client and a server, over UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.aio.support import HOST


class Relay(asyncio.DatagramProtocol):
    """Stands between one client and a server; may change its own address, or lose datagrams."""

    def __init__(self, port: int, lose: Callable[[bool, int], bool] = lambda to_server, number: False) -> None:
        self.port = port
        self.lose = lose
        self.counts = {True: 0, False: 0}
        self.front: Any = None
        self.back: Any = None
        self.client: Any = None

    async def start(self) -> int:
        loop = asyncio.get_running_loop()
        self.front, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, 0))
        await self.move()
        port: int = self.front.get_extra_info("sockname")[1]
        return port

    async def move(self) -> None:
        """Have another address, as seen by the server."""
        old = self.back
        self.back, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Back(self), remote_addr=(HOST, self.port)
        )
        if old is not None:
            old.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.client = addr
        if self._passes(to_server=True):
            self.back.sendto(data)

    def answered(self, data: bytes) -> None:
        if self._passes(to_server=False):
            self.front.sendto(data, self.client)

    def _passes(self, *, to_server: bool) -> bool:
        self.counts[to_server] += 1
        return not self.lose(to_server, self.counts[to_server])

    def close(self) -> None:
        self.front.close()
        self.back.close()


class Back(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.relay.answered(data)
