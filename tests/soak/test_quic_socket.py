"""A thousand QUIC connections on one socket of a server, from a few sockets of clients; time is virtual.

All are there at once. Then each goes in its own way: it closes or asks the server to, moves to another socket first,
falls silent, or dies of a handshake that was never finished. Afterwards nothing is left of any of them.
"""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from caesura import aio
from caesura.aio.quic_link import QUICLink
from caesura.aio.udp import Received, UDPSocket
from caesura.errors import CertificateVerifyError, IdleTimeout
from caesura.events import StreamReadable
from caesura.quic import QUICConnection
from tests.aio.support import HOST, port_of
from tests.aio.test_quic import client_context, server_context
from tests.soak.halting import open_fds
from tests.support.virtual_loop import VirtualLoop

MANY = 1000
SOCKETS = 4
ID_LENGTH = 8
IDLE = 30.0  # seconds
SPACING = 0.002  # seconds between two that come
BYE = b"please close"

FATES = {
    "closes": 3,
    "is closed": 2,
    "moves": 3,  # to another socket, then it closes
    "vanishes": 2,  # without a word
    "idles": 2,  # says nothing more, and hears how long the silence was
    "half-open": 1,  # nothing but its first flight
    "refuses": 1,  # the server's certificate
}
Ends = dict[str, list[type]]
"""Of which type the clients' errors were, by fate."""


class Client:
    """One connection, driven by hand: its application says something, reads what comes back, and meets its fate."""

    def __init__(self, crowd: Crowd, number: int, fate: str) -> None:
        self.crowd = crowd
        self.fate = fate
        self.door = crowd.doors[number % SOCKETS]
        self.next_door = crowd.doors[(number + 1) % SOCKETS]
        self.over = False
        self.said: dict[int, bytes] = {}
        self.heard: dict[int, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ids: list[bytes] = []
        name = "elsewhere.test" if fate == "refuses" else "localhost"
        self.connection = QUICConnection(
            crowd.context,
            server_side=False,
            server_hostname=name,
            addr=crowd.server,
            on_connection_ids=self._ids_changed,
        )
        self._ids_changed(list(self.connection.connection_ids))
        self.connection.advance(crowd.loop.time())
        self.settle()

    def _ids_changed(self, ids: list[bytes]) -> None:
        for each in self._ids:
            del self.crowd.by_id[each]
        self._ids = ids
        for each in ids:
            self.crowd.by_id[each] = self

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen before it is told to meet its fate."""
        if self.fate in ("half-open", "refuses"):
            return True
        return bool(self.said) and self.said == self.heard

    def say(self, data: bytes) -> None:
        stream_id = self.connection.open_stream()
        assert stream_id is not None
        self.said[stream_id], self.heard[stream_id] = data, b""
        self.connection.write_stream(stream_id, data, fin=True)

    def receive(self, datagram: bytes, door: Door) -> None:
        if door is self.door and self.fate != "half-open":
            self.connection.receive_datagram(datagram, self.crowd.server, self.crowd.loop.time())
            self.settle()

    def settle(self) -> None:
        """What an adapter does."""
        connection, now = self.connection, self.crowd.loop.time()
        while (event := connection.next_event()) is not None:
            if isinstance(event, StreamReadable):
                self.heard[event.stream_id] += connection.read_stream(event.stream_id)[0]
        if connection.handshake_complete and not self.said and connection.error is None:
            self.say(self.crowd.words())
        self.door.socket.send(connection.datagrams_to_send(now))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if connection.terminated:
            self.gone()
            return
        due = connection.timeout()
        if due is not None:
            self._timer = self.crowd.loop.call_at(due, self._expired)

    def _expired(self) -> None:
        self._timer = None
        self.connection.handle_timeout(self.crowd.loop.time())
        self.settle()

    def meet_fate(self) -> None:
        """Go, in one way or another."""
        match self.fate:
            case "closes":
                self.connection.shutdown()
            case "is closed":
                self.say(BYE)
            case "moves":
                self.door = self.next_door
                if self.crowd.dice.random() < 0.5:
                    self.connection.migrate()  # else it is a NAT's doing, of which it knows nothing
                self.say(self.crowd.words())
                self.crowd.loop.call_later(1.0, self._close)
            case "vanishes" | "half-open":
                self.connection.close()
        if not self.over:
            self.settle()

    def _close(self) -> None:
        assert self.said == self.heard, "what was said from elsewhere did not come back"
        self.connection.shutdown()
        self.settle()

    def gone(self) -> None:
        self.over = True
        self._ids_changed([])
        self.crowd.ends.setdefault(self.fate, []).append(type(self.connection.error))
        self.crowd.clients.discard(self)


class Crowd:
    """The clients."""

    def __init__(self, server: tuple[str, int], context: Any, seed: int) -> None:
        self.server = server
        self.context = context
        self.dice = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.doors = [Door(self) for _ in range(SOCKETS)]
        self.by_id: dict[bytes, Client] = {}
        self.clients: set[Client] = set()
        self.ends: Ends = {}

    def words(self) -> bytes:
        return self.dice.randbytes(self.dice.choice((20, 500, 3000, 3000, 20_000)))

    async def come(self, count: int) -> None:
        """So many clients, one by one."""
        fates = list(self.fates(count))
        self.dice.shuffle(fates)
        for number, fate in enumerate(fates):
            self.clients.add(Client(self, number, fate))
            await asyncio.sleep(SPACING)

    @staticmethod
    def fates(count: int) -> Iterator[str]:
        whole = sum(FATES.values())
        shares = {fate: count * share // whole for fate, share in FATES.items()}
        shares["closes"] += count - sum(shares.values())
        for fate, share in shares.items():
            yield from [fate] * share


class Door:
    """One of their sockets."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((HOST, 0))
        self.socket = UDPSocket(crowd.loop, sock, self, offload=True)

    def datagrams_received(self, batches: list[Received]) -> None:
        for datagrams, _, _ in batches:
            for datagram in datagrams:
                at = 6 if datagram[0] & 0x80 else 1
                client = self.crowd.by_id.get(datagram[at : at + ID_LENGTH])
                if client is not None:
                    client.receive(datagram, self)

    def error_received(self, exc: OSError) -> None:
        raise exc

    def resume_writing(self) -> None:
        """What waited was sent."""

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None


async def answer(link: QUICLink) -> None:
    """The server's application."""
    async for reader, writer in link.streams():
        assert reader is not None
        assert writer is not None
        data = await reader.read()
        writer.write(data)
        writer.write_eof()
        if data == BYE:
            await writer.wait_closed()
            return


@asynccontextmanager
async def gathered(server: aio.QUICServer, context: Any, seed: int) -> AsyncIterator[Crowd]:
    crowd = Crowd((HOST, port_of(server)), context, seed)
    for door in crowd.doors:
        await door.socket.start()
    yield crowd
    for door in crowd.doors:
        door.socket.close()
    await asyncio.sleep(0)


async def visit(server: aio.QUICServer, context: Any, count: int, seed: int) -> Ends:
    """So many clients, all there at once; back when the server knows nothing of them any more. How they ended."""
    async with gathered(server, context, seed) as crowd:
        await crowd.come(count)
        await until(lambda: all(each.settled for each in crowd.clients))
        assert len(server.links) >= sum(each.fate != "refuses" for each in crowd.clients)
        for each in sorted(crowd.clients, key=lambda each: each.fate):
            each.meet_fate()
        await until(lambda: not crowd.clients and not server.links)
        assert not crowd.by_id
        return crowd.ends


async def until(condition: Any) -> None:
    async with asyncio.timeout(10 * IDLE):  # virtual
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.1)


async def left() -> Counter[str]:
    """What there is when nothing is under way: objects and memory, tasks, timers, descriptors."""
    loop: VirtualLoop = asyncio.get_running_loop()  # type: ignore[assignment]
    await asyncio.sleep(2.0)
    gc.collect()
    return Counter(
        objects=len(gc.get_objects()),
        blocks=sys.getallocatedblocks(),
        tasks=len(asyncio.all_tasks()),
        timers=len(loop.timers),
        descriptors=open_fds(),
    )


async def soak(count: int) -> tuple[Counter[str], Counter[str], Ends]:
    """What there was before and after so many clients, and how these ended."""
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    quic = {"max_idle_timeout": IDLE}
    client = client_context(sessions=None, quic=quic)
    server_side = server_context(ticket_count=0, quic=quic)
    async with await aio.serve_quic(answer, HOST, 0, context=server_side) as server:
        await visit(server, client, 60, 1)  # what is kept for ever is kept now
        before = await left()
        ends = await visit(server, client, count, 2)
        after = await left()
    assert not troubles
    return before, after, ends


def test_a_thousand_connections() -> None:
    gc.collect()
    gc.freeze()  # what there was before is out of the collector's sight: looking takes no time
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            before, after, ends = runner.run(soak(MANY))
    finally:
        gc.unfreeze()
    assert {fate: set(errors) for fate, errors in ends.items()} == {
        "closes": {type(None)},
        "is closed": {type(None)},
        "moves": {type(None)},
        "vanishes": {type(None)},
        "idles": {IdleTimeout},
        "half-open": {type(None)},
        "refuses": {CertificateVerifyError},
    }
    assert sum(map(len, ends.values())) == MANY
    for what in ("tasks", "timers", "descriptors"):
        assert after[what] == before[what], what
    assert after["objects"] - before["objects"] < MANY / 10
    assert after["blocks"] - before["blocks"] < MANY  # tables that have grown, but nothing for each
