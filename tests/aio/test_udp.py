"""UDP sockets: batches in one call, what systems refuse, full sockets, loops that watch no descriptors."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from caesura.aio.udp import Datagram, Received, UDPSocket, bound, connected
from tests.aio.support import HOST

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]
linux = pytest.mark.skipif(sys.platform != "linux", reason="segmentation offload and ECN are Linux's here")


class Heard:
    """What a socket has told."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, Any, int]] = []
        self.together: list[int] = []  # how many were told of at once
        self.errors: list[OSError] = []
        self.resumed = 0
        self.lost = False
        self._changed = asyncio.Event()

    def datagrams_received(self, batches: list[Received]) -> None:
        self.together += [len(datagrams) for datagrams, _, _ in batches]
        self.datagrams += [(data, addr, ecn) for datagrams, addr, ecn in batches for data in datagrams]
        self._changed.set()

    def error_received(self, exc: OSError) -> None:
        self.errors.append(exc)
        self._changed.set()

    def resume_writing(self) -> None:
        self.resumed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.lost = True
        self._changed.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Counting(socket.socket):
    """Remembers how many datagrams each call has carried."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.carried: list[int] = []

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        self.carried.append(len(buffers))
        return super().sendmsg(buffers, *args)

    def sendto(self, *args: Any) -> int:
        self.carried.append(1)
        return super().sendto(*args)

    def send(self, *args: Any) -> int:
        self.carried.append(1)
        return super().send(*args)


class Refusing(Counting):
    """Has no segmentation offload when it comes to it, as some devices have none."""

    def sendmsg(self, *args: Any) -> int:
        raise OSError(errno.EIO, "refused")


class Plain(Counting):
    """Knows nothing of segments, on an old system."""

    def setsockopt(self, level: int, *args: Any) -> None:
        if level == socket.IPPROTO_UDP:
            raise OSError(errno.ENOPROTOOPT, "unknown")
        super().setsockopt(level, *args)


class Full(Counting):
    """Takes nothing the first few times."""

    refusals = 3

    def sendmsg(self, *args: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError
        return super().sendmsg(*args)


@asynccontextmanager
async def pair(
    kind: type[socket.socket] = Counting, *, offload: bool = True
) -> AsyncIterator[tuple[UDPSocket, UDPSocket, Heard, Any]]:
    """A socket of this kind, one that it sends to, what that hears, and what the first one hears."""
    loop = asyncio.get_running_loop()
    heard, own = Heard(), Heard()
    there = UDPSocket(loop, await bound(loop, HOST, 0, 0, reuse_port=False), heard, offload=offload)
    sock = kind(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    here = UDPSocket(loop, sock, own, offload=offload)
    await here.start()
    await there.start()
    yield here, there, heard, own
    for each in (here, there):
        each.close()
        each.close()
        assert each.is_closing()
        each.send([(b"too late", (HOST, 9))])
    await heard.until(lambda: heard.lost)
    await own.until(lambda: own.lost)


def letters(there: UDPSocket, *sizes: int) -> list[Datagram]:
    to = there.get_extra_info("sockname")
    return [(bytes([number]) * size, to) for number, size in enumerate(sizes)]


async def test_what_one_sender_has_sent_in_a_row_is_told_of_at_once() -> None:
    async with pair(Plain) as (here, there, heard, _):
        here.send(letters(there, 1200, 900, 1200))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
            another.sendto(b"another", there.get_extra_info("sockname"))
        here.send(letters(there, 1200))
        await heard.until(lambda: len(heard.datagrams) == 5)
    assert heard.together == [3, 1, 1]


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        pytest.param(Counting, [3, 2, 1, 1], marks=linux),
        pytest.param(Plain, [1] * 7, id="an old system"),
        pytest.param(Refusing, [1] * 7, id="a device without"),
        pytest.param(Full, [3, 2, 1, 1], marks=linux),
    ],
)
async def test_datagrams_arrive_as_they_were_sent(kind: type[Counting], calls: list[int]) -> None:
    async with pair(kind) as (here, there, heard, own):
        sent = letters(there, 1200, 1200, 7, 1200, 1200, 1300, 0)
        here.send(sent[:5])
        here.send(sent[5:6])
        here.send(sent[6:])
        await heard.until(lambda: len(heard.datagrams) == 7)
        assert [data for data, _, _ in heard.datagrams] == [data for data, _ in sent]
        assert {addr for _, addr, _ in heard.datagrams} == {here.get_extra_info("sockname")}
        assert here.get_extra_info("socket").carried == calls
        assert own.resumed == (1 if kind is Full else 0)
        assert not here.full


async def test_one_by_one() -> None:
    async with pair(offload=False) as (here, there, heard, _):
        sent = letters(there, *[1200] * 200)
        here.send(sent)
        assert here.get_extra_info("socket").carried == [1] * 200
        await heard.until(lambda: len(heard.datagrams) == 200)
        assert [data for data, _, _ in heard.datagrams] == [data for data, _ in sent]
        assert max(heard.together) == 64  # then others have their turn
        if sys.platform == "linux":
            there_socket = there.get_extra_info("socket")
            assert there_socket.getsockopt(socket.IPPROTO_UDP, 104) == 0  # UDP_GRO
            assert there_socket.getsockopt(socket.IPPROTO_IP, 10) != 3  # IP_PMTUDISC_PROBE: routers may fragment


@linux
async def test_a_hundred_in_two_calls() -> None:
    async with pair() as (here, there, heard, _):
        sent = letters(there, *[1000] * 100)
        here.send(sent)
        await heard.until(lambda: len(heard.datagrams) == 100)
        assert [data for data, _, _ in heard.datagrams] == [data for data, _ in sent]
        assert here.get_extra_info("socket").carried == [64, 36]


async def test_others_go_elsewhere() -> None:
    async with pair() as (here, there, heard, _), pair() as (_, another, other, _):
        here.send([each for one in zip(letters(there, 10, 10), letters(another, 10, 10), strict=True) for each in one])
        await heard.until(lambda: len(heard.datagrams) == 2)
        await other.until(lambda: len(other.datagrams) == 2)


@linux
@pytest.mark.parametrize("kind", [Counting, Full])
async def test_bits_of_ecn(kind: type[Counting]) -> None:
    async with pair(kind) as (here, there, heard, _):
        for ecn in (0, 2, 2, 1, 3, 0):
            here.send(letters(there, 10, 10), ecn)
        await heard.until(lambda: len(heard.datagrams) == 12)
        assert [ecn for _, _, ecn in heard.datagrams][::2] == [0, 2, 2, 1, 3, 0]


@linux
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs a socket for both families")
async def test_bits_of_ecn_on_a_socket_for_both_families() -> None:
    heard, own, loop = Heard(), Heard(), asyncio.get_running_loop()
    there = UDPSocket(loop, await bound(loop, HOST, 0, 0, reuse_port=False), heard, offload=True)
    here = UDPSocket(loop, await bound(loop, None, 0, 0, reuse_port=False), own, offload=True)
    await there.start()
    port = there.get_extra_info("sockname")[1]
    here.send([(b"x", (f"::ffff:{HOST}", port, 0, 0))], 2)
    await heard.until(lambda: heard.datagrams)
    assert heard.datagrams[0][2] == 2
    here.close()
    there.close()
    await heard.until(lambda: heard.lost)


async def test_one_that_is_too_long_is_lost_and_no_other() -> None:
    async with pair() as (here, there, heard, own):
        assert here.send(letters(there, 10, 70_000, 80_000, 10)) == 80_000
        await heard.until(lambda: len(heard.datagrams) == 2)
        assert len(own.errors) == 2
        assert here.send(letters(there, 10)) == 0


async def test_connected_sockets() -> None:
    async with pair() as (_, there, heard, _):
        own = Heard()
        sock = connected(socket.AF_INET, there.get_extra_info("sockname"), (HOST, 0))
        here = UDPSocket(asyncio.get_running_loop(), sock, own, offload=True)
        await here.start()
        here.send([(b"a", None), (b"b", None), (b"c", None)])
        await heard.until(lambda: len(heard.datagrams) == 3)
        there.send([(b"back", heard.datagrams[0][1])])
        await own.until(lambda: own.datagrams)
        assert here.get_extra_info("peername") == there.get_extra_info("sockname")
        assert here.get_extra_info("nothing", 7) == 7
        assert repr(here) == f"<UDPSocket {here.get_extra_info('sockname')} open>"
        here.close()
        await own.until(lambda: own.lost)


async def test_nobody_there() -> None:
    async with pair() as (_, there, _, _):
        name = there.get_extra_info("sockname")
    own = Heard()
    here = UDPSocket(asyncio.get_running_loop(), connected(socket.AF_INET, name, None), own, offload=True)
    await here.start()
    here.send([(b"x", None)])
    await own.until(lambda: own.errors)
    assert isinstance(own.errors[0], ConnectionRefusedError)
    here.close()
    await own.until(lambda: own.lost)


async def test_a_loop_that_watches_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("only asyncio's own loop can be made to refuse")

    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(loop, "add_reader", refuse)
    async with pair() as (here, there, heard, own):
        here.send(letters(there, 10, 20))
        await heard.until(lambda: len(heard.datagrams) == 2)
        there.send([(b"back", here.get_extra_info("sockname"))])
        await own.until(lambda: own.datagrams == [(b"back", there.get_extra_info("sockname"), 0)])
        assert here._portable is not None
        here._portable.pause_writing()
        assert here.full
        here._portable.resume_writing()
        assert (here.full, own.resumed) == (False, 1)


async def test_cancelled_before_a_loop_has_made_its_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("only asyncio's own loop can be made to refuse")

    def refuse(*_: object) -> None:
        raise NotImplementedError

    add_reader = loop.add_reader
    monkeypatch.setattr(loop, "add_reader", refuse)
    own = Heard()
    here = UDPSocket(loop, await bound(loop, HOST, 0, 0, reuse_port=False), own, offload=False)
    starting = asyncio.create_task(here.start())
    await asyncio.sleep(0)
    starting.cancel()
    here.close()
    await asyncio.wait([starting])
    monkeypatch.setattr(loop, "add_reader", add_reader)
    await own.until(lambda: own.lost)


async def test_all_addresses_of_the_machine() -> None:
    loop = asyncio.get_running_loop()
    sock = await bound(loop, None, 0, 0, reuse_port=True)
    own, heard = Heard(), Heard()
    there = UDPSocket(loop, sock, heard, offload=True)
    await there.start()
    here = UDPSocket(loop, connected(socket.AF_INET, (HOST, sock.getsockname()[1]), None), own, offload=True)
    await here.start()
    here.send([(b"x", None)])
    await heard.until(lambda: heard.datagrams)
    there.send([(b"y", heard.datagrams[0][1])])
    await own.until(lambda: own.datagrams)
    here.close()
    there.close()
    await heard.until(lambda: heard.lost)
    await own.until(lambda: own.lost)
