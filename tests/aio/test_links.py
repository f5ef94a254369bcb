"""What links of DTLS and of QUIC have in common: a bug in one is no affair of the others on its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from caesura import aio
from caesura.aio.datagram_link import DatagramLink
from caesura.aio.quic_link import QUICLink
from caesura.context import Method
from tests.aio.support import HOST, alive, client_context, port_of, server_context, until, virtual_time
from tests.support.virtual_loop import patience

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]

SETTINGS: dict[Method, dict[str, Any]] = {
    Method.DTLS: {"method": Method.DTLS, "groups": ["x25519", "secp256r1"]},
    Method.QUIC: {"method": Method.QUIC, "alpn": ["echo"], "quic": {"max_datagram_frame_size": 1000}},
}

Link = DatagramLink | QUICLink
Server = aio.DatagramServer | aio.QUICServer


class Bug(Exception):
    """One of ours."""


async def say(link: Link, data: bytes) -> None:
    await (link.send_datagram(data) if isinstance(link, QUICLink) else link.send(data))


async def hear(link: Link) -> bytes:
    return await (link.recv_datagram() if isinstance(link, QUICLink) else link.recv())


async def echo(link: Link) -> None:
    while True:
        await say(link, await hear(link))


@asynccontextmanager
async def serving(method: Method) -> AsyncIterator[Server]:
    context = server_context(**SETTINGS[method])
    serve = aio.serve_quic if method is Method.QUIC else aio.serve_datagram
    async with patience(), await serve(echo, HOST, 0, context=context) as server:
        try:
            yield server
        except BaseException:  # what a test has left open must not keep the loop from ending
            for each in tuple(alive):
                each.abort()
            raise


async def connect(server: Server) -> Link:
    context = client_context(**SETTINGS[Method.QUIC if isinstance(server, aio.QUICServer) else Method.DTLS])
    dial = aio.connect_quic if context.method is Method.QUIC else aio.connect_datagram
    return await dial(HOST, port_of(server), context=context, server_hostname="localhost")


def of(link: Link, server: Server) -> Link:
    """The server's end of it."""
    here = link.get_extra_info("sockname")
    return next(each for each in server.links if each.get_extra_info("peername") == here)


def spoil(monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str, when: Callable[[Any, Any], object]) -> None:
    """Have a method fail, if it is called so."""
    before = getattr(owner, name)

    def spoiled(self: Any, *args: Any) -> Any:
        if when(self, args):
            raise Bug
        return before(self, *args)

    monkeypatch.setattr(owner, name, spoiled)


@pytest.mark.parametrize("method", [Method.DTLS, Method.QUIC], ids=["DTLS", "QUIC"])
@pytest.mark.parametrize("where", ["settled", "timer", "full socket", "listener"])
@virtual_time
async def test_a_bug_in_one(where: str, method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and ends that one; what the same read of the socket has brought for the others reaches them."""
    reported: list[type[Exception]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: reported.append(type(what["exception"])))
    async with serving(method) as server:
        first, second = await connect(server), await connect(server)
        bad = of(first, server)
        carrier, now = bad._carrier, loop.time()
        with monkeypatch.context() as patch:
            if where == "listener":
                called = "receive_datagrams" if method is Method.QUIC else "receive_datagram"
                here = first.get_extra_info("sockname")
                spoil(patch, type(carrier.listener), called, lambda _, args: args[1] == here)
            else:
                spoil(patch, type(bad), "_expire" if where == "timer" else "settle", lambda self, _: self is bad)
            if where == "timer":
                bad.expired(now)
            elif where == "full socket":
                carrier._waiting = dict.fromkeys(server.links)
                carrier.resume_writing()
            else:
                read = carrier.datagrams_received
                together: list[Any] = []
                patch.setattr(carrier, "datagrams_received", lambda batches: together.extend(batches))
                for link in (first, second):
                    await say(link, b"hello")
                await until(lambda: len({each[1] for each in together}) == 2)
                read(sorted(together, key=lambda each: each[1] != first.get_extra_info("sockname")))
                assert await hear(second) == b"hello"
            assert set(reported) == {Bug}
        assert bad.is_closing() is (where != "listener")
        await say(second, b"again")
        assert await hear(second) == b"again"
        first.abort()
        bad.abort()
        await second.close()
        assert first not in server.links


@pytest.mark.parametrize("method", [Method.DTLS, Method.QUIC], ids=["DTLS", "QUIC"])
@virtual_time
async def test_a_bug_in_a_client(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits hears of it."""
    reported: list[type[Exception]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(type(what["exception"])))
    async with serving(method) as server:
        link = await connect(server)
        await say(link, b"hello")
        with monkeypatch.context() as patch, pytest.raises(Bug):
            spoil(patch, type(link), "settle", lambda self, _: self is link)
            while True:
                assert await hear(link) == b"hello"
        assert reported == [Bug]
        assert link.raw.is_closing()
        server.abort_clients()


@virtual_time
async def test_a_cleanup_that_fails_leaves_no_link_behind() -> None:
    async with serving(Method.DTLS) as server:
        link = await connect(server)
        end = of(link, server)

        def cleanup(*_: object) -> None:
            raise Bug

        end.wait_context.set_wait_fd(cleanup, 0, None, cleanup)
        with pytest.raises(Bug):
            end.abort()
        assert server.links == ()
        link.abort()
