"""DTLS in asyncio: links, servers with many peers on one socket, how they end, and what they cost."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from caesura import aio
from caesura.aio.datagram_link import DatagramLink
from caesura.context import Context, Limits, Method, PeerChain
from caesura.engines import DelayEngine, Operation, ThreadEngine
from caesura.errors import (
    CertificateVerifyError,
    ConfigError,
    IdleTimeout,
    PeerAlert,
    UnexpectedEOF,
    UsageError,
    ZeroReturn,
)
from caesura.sessions import SessionCache
from caesura.wire.registries import SignatureScheme, Version
from tests.aio import support
from tests.aio.relay import Relay
from tests.aio.support import HOST, alive, identity, port_of, until, virtual_time
from tests.support.datagram_wire import DTLS_VERSIONS
from tests.support.pki import pki
from tests.support.ssl_pair import PausingKey, pausing_identity
from tests.support.virtual_loop import patience

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]
every_version = pytest.mark.parametrize("version", DTLS_VERSIONS, ids=lambda version: version.name)


def server_context(version: Version | None = None, **settings: Any) -> Context:
    return support.server_context(**_settings(version, settings))


def client_context(version: Version | None = None, **settings: Any) -> Context:
    return support.client_context(**_settings(version, settings))


def _settings(version: Version | None, settings: dict[str, Any]) -> dict[str, Any]:
    bounds = {} if version is None else {"minimum_version": version, "maximum_version": version}
    return {"method": Method.DTLS, "groups": ["x25519", "secp256r1"], **bounds, **settings}


async def echo(link: DatagramLink) -> None:
    async for data in link:
        await link.send(data)


Handler = Callable[[DatagramLink], Awaitable[None]]


@asynccontextmanager
async def serving(
    handler: Handler = echo, context: Context | None = None, **arguments: Any
) -> AsyncIterator[aio.DatagramServer]:
    async with (
        patience(),
        await aio.serve_datagram(handler, HOST, 0, context=context or server_context(), **arguments) as server,
    ):
        try:
            yield server
        except BaseException:  # what a test has left open must not keep the loop from ending
            for each in tuple(alive):
                each.abort()
            raise


async def connect(server: aio.DatagramServer | int, context: Context | None = None, **arguments: Any) -> DatagramLink:
    arguments.setdefault("server_hostname", "localhost")
    port = server if isinstance(server, int) else port_of(server)
    return await aio.connect_datagram(HOST, port, context=context or client_context(), **arguments)


# --- links --------------------------------------------------------------------------------------------------------


@every_version
async def test_datagrams_there_and_back(version: Version) -> None:
    async with serving(context=server_context(version)) as server:
        async with await connect(server, client_context(version)) as link:
            for data in (b"one", bytearray(b"two"), memoryview(bytes(link.max_datagram))):
                await link.send(data)
                assert await link.recv() == bytes(data)
            assert link.ssl.version is version
            assert not link.is_closing()
        assert link.is_closing()
        await until(lambda: not server.links)


async def test_facts() -> None:
    seen: list[DatagramLink] = []

    async def handler(link: DatagramLink) -> None:
        seen.append(link)
        await echo(link)

    async with serving(handler, server_context(alpn=["coap"])) as server:  # noqa: SIM117
        async with await connect(server, client_context(alpn=["coap"])) as link:
            await link.send(b"x")
            await link.recv()
            assert link.get_extra_info("peername") == (HOST, port_of(server))
            assert link.get_extra_info("sockname") == seen[0].get_extra_info("peername")
            assert link.get_extra_info("caesura") is link.ssl
            assert link.get_extra_info("ssl_object").version() == "DTLSv1.3"
            assert link.get_extra_info("ssl_object").selected_alpn_protocol() == "coap"
            assert link.get_extra_info("peercert")["subject"]
            assert link.get_extra_info("cipher")[1] == "DTLSv1.3"
            assert link.get_extra_info("early_data").name == "NOT_SENT"
            assert link.get_extra_info("sslcontext").method is Method.DTLS
            assert link.get_extra_info("no such fact", 7) == 7
            assert repr(link) == f"<TrackedDatagrams {(HOST, port_of(server))} open>"
            assert seen[0].ssl.alpn == "coap"


async def test_early_data() -> None:
    """It is there when the handler begins; a server that asks for cookies takes none."""
    for cookies, status in ((False, "ACCEPTED"), (True, "REJECTED")):
        heard: list[bytes] = []

        async def handler(link: DatagramLink, heard: list[bytes] = heard) -> None:
            async for data in link:
                heard.append(data)
                await link.send(data)

        theirs = server_context(max_early_data=1000, dtls={"cookies": cookies})
        ours = client_context(sessions=SessionCache())
        async with serving(handler, theirs) as server:
            async with await connect(server, ours) as link:
                await link.send(b"hello")
                assert await link.recv() == b"hello"
                await until(lambda link=link: link.ssl.session is not None)  # type: ignore[misc]
            async with await connect(server, ours, early_data=b"early") as link:
                assert link.get_extra_info("early_data").name == status
                await link.send(b"later")
                assert await link.recv() == (b"later" if cookies else b"early")
            assert heard == ([b"hello", b"later"] if cookies else [b"hello", b"early", b"later"])
            with pytest.raises(UsageError, match="early_data"):
                await connect(server, ours, early_data=bytes(1400))


async def test_many_peers_on_one_socket() -> None:
    async with serving() as server:
        peers = await asyncio.gather(*(connect(server) for _ in range(20)))
        assert len(server.links) == 20
        for number, link in enumerate(peers):
            await link.send(b"%d" % number)
        assert [await link.recv() for link in peers] == [b"%d" % number for number in range(20)]
        listener = server._carrier.listener
        assert len(listener.connections) == 20
        await asyncio.gather(*(link.close() for link in peers))
        await until(lambda: not server.links)
        assert listener.connections == ()
        assert listener.accept() is None


async def test_what_cannot_be_sent() -> None:
    async with serving() as server:
        link = await connect(server)
        with pytest.raises(TypeError, match="expected bytes"):
            await link.send("text")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="fit"):
            await link.send(bytes(link.max_datagram + 1))
        await link.send(b"still there")
        assert await link.recv() == b"still there"
        await link.close()
        with pytest.raises(UsageError):
            await link.send(b"x")


class Full(socket.socket):
    """Takes nothing for a while."""

    full = False

    def send(self, *args: Any) -> int:
        if self.full:
            raise BlockingIOError
        return super().send(*args)


async def test_a_full_socket_makes_send_wait() -> None:
    received: list[bytes] = []

    async def silent(link: DatagramLink) -> None:  # what it said would wake the sender
        while True:
            received.append(await link.recv())

    async with serving(silent) as server:
        sock = Full(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((HOST, port_of(server)))
        async with await aio.connect_datagram(sock=sock, server_hostname="localhost", context=client_context()) as link:
            await until(lambda: link.ssl.timeout() is None)  # nothing is to be acknowledged any more
            sock.full = True
            await link.send(b"first")  # which waits at the socket
            assert link.raw.full
            sending = asyncio.create_task(link.send(b"later"))
            cancelled = asyncio.create_task(link.send(b"never"))
            for _ in range(5):
                await asyncio.sleep(0)
            cancelled.cancel()
            assert not sending.done()
            sock.full = False
            await sending
            await until(lambda: received == [b"first", b"later"])
            await asyncio.wait([cancelled])
            assert cancelled.cancelled()


async def test_a_sender_lets_others_have_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def ignore(link: DatagramLink) -> None:
        async for _ in link:
            pass

    async with serving(ignore) as server, await connect(server) as link:
        task = asyncio.create_task(other())
        for _ in range(200):
            await link.send(b"x")
        task.cancel()
        assert turns >= 3


# --- how links end ------------------------------------------------------------------------------------------------


async def test_the_peers_close_comes_after_its_data() -> None:
    async def handler(link: DatagramLink) -> None:
        for data in (b"one", b"two"):
            await link.send(data)

    async with serving(handler) as server:
        link = await connect(server)
        assert [data async for data in link] == [b"one", b"two"]
        for _ in range(2):
            with pytest.raises(ZeroReturn):
                await link.recv()
        await link.close()
        await link.close()


async def test_our_close_wakes_who_receives() -> None:
    async with serving() as server:
        link = await connect(server)
        waiting = asyncio.create_task(link.recv())
        await asyncio.sleep(0)
        await link.close()
        with pytest.raises(ZeroReturn):
            await waiting


async def test_a_receiver_may_be_cancelled() -> None:
    async with serving() as server, await connect(server) as link:
        waiting = asyncio.create_task(link.recv())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await link.send(b"for another")
        assert await link.recv() == b"for another"


async def test_a_close_that_is_answered_waits_no_longer() -> None:
    async with serving(ssl_shutdown_timeout=1000) as server:
        link = await connect(server, ssl_shutdown_timeout=1000)
        async with asyncio.timeout(10):
            await link.close()


@virtual_time
async def test_a_peer_that_does_not_answer_our_close() -> None:
    async def deaf(link: DatagramLink) -> None:
        link.get_extra_info("caesura").close()
        await asyncio.sleep(0)

    async with serving(deaf) as server:
        link = await connect(server)
        await link.close()
        assert link.is_closing()
        await until(lambda: not server.links)


@virtual_time
async def test_abort_says_nothing() -> None:
    failures: list[BaseException] = []

    async def handler(link: DatagramLink) -> None:
        try:
            await link.recv()
        except OSError as error:
            failures.append(error)
            raise

    async with serving(handler, server_context(ticket_count=0)) as server:  # nothing is to be acknowledged
        link = await connect(server)
        link.abort()
        with pytest.raises(ZeroReturn):
            await link.recv()
        with pytest.raises(UsageError):
            await link.send(b"x")
        await until(lambda: not server.links)
    assert isinstance(failures[0], IdleTimeout)


@virtual_time
async def test_the_contexts_idle_timeout_counts() -> None:
    async with (
        serving(idle_timeout=10, context=server_context(dtls={"idle_timeout": 100})) as server,
        await connect(server) as link,
    ):
        await asyncio.sleep(50)
        await link.send(b"x")
        assert await link.recv() == b"x"
    with pytest.raises(ValueError, match="idle_timeout"):
        await aio.serve_datagram(echo, HOST, 0, context=server_context(), idle_timeout=0)


async def test_a_handler_that_fails_is_reported() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(what))

    async def handler(link: DatagramLink) -> None:
        raise LookupError(await link.recv())

    async with serving(handler) as server:
        link = await connect(server)
        await link.send(b"boom")
        with pytest.raises(ZeroReturn):
            await link.recv()
        await link.close()
    assert [type(each["exception"]) for each in reported] == [LookupError]
    reported.clear()


async def test_a_client_that_begins_anew_at_its_address() -> None:
    ends: list[BaseException] = []

    async def handler(link: DatagramLink) -> None:
        try:
            while True:
                await link.send(await link.recv())
        except OSError as error:
            ends.append(error)

    async with serving(handler) as server:
        first = await connect(server)
        address = first.get_extra_info("sockname")
        first.abort()
        await until(lambda: first._ended)
        await asyncio.sleep(0)
        async with await connect(server, local_addr=address) as second:
            await second.send(b"again")
            assert await second.recv() == b"again"
            await until(lambda: len(ends) == 1)
    assert isinstance(ends[0], UnexpectedEOF)
    assert isinstance(ends[1], ZeroReturn)


# --- handshakes ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_client_that_does_not_believe_the_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "caesura")
    async with serving() as server:
        with pytest.raises(CertificateVerifyError):
            await connect(server, server_hostname="elsewhere.example")
        began = asyncio.get_running_loop().time()
        await until(lambda: not server.links)
        assert asyncio.get_running_loop().time() < began + 10  # the alert may have been lost: it stays for a moment
    assert any("handshake with" in each.getMessage() for each in caplog.records)


@virtual_time
async def test_a_server_that_refuses_the_client() -> None:
    async with serving(context=server_context(Version.DTLS12)) as server:
        with pytest.raises(PeerAlert):
            await connect(server, client_context(Version.DTLS13))


async def test_nobody_is_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await connect(port)


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server:
        port = port_of(server)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((HOST, 0))
            nobody = sock.getsockname()[1]

        async def resolve(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, (HOST, each)) for each in (nobody, port)]

        monkeypatch.setattr("caesura.aio.carrier.addresses", resolve)
        async with await aio.connect_datagram("localhost", port, context=client_context()) as link:
            await link.send(b"x")
            assert await link.recv() == b"x"


@virtual_time
async def test_a_handshake_has_a_time_limit() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        with pytest.raises(ConnectionAbortedError, match=r"DTLS handshake .* 60 seconds"):
            await connect(sock.getsockname()[1])


@virtual_time
async def test_a_server_keeps_nothing_of_who_has_proved_nothing() -> None:
    async with serving() as server:
        link: list[DatagramLink] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((HOST, 0))
            sock.setblocking(False)
            with pytest.raises(ConnectionAbortedError):  # its hello goes to us
                await connect(sock.getsockname()[1])
            hello = sock.recv(2000)
            sock.connect((HOST, port_of(server)))
            for garbage in (b"", b"\x00", b"\x16\xfe\xfd", bytes(1200), hello[:40]):
                sock.send(garbage)
            sock.send(hello)
            answer = await asyncio.get_running_loop().sock_recv(sock, 2000)
            assert len(answer) <= 3 * len(hello)
            assert server.links == ()
            assert not link


@virtual_time
async def test_bounds_on_peers() -> None:
    async with serving(context=server_context(limits=Limits(associations=2))) as server:
        first, second = await connect(server), await connect(server)
        with pytest.raises(ConnectionAbortedError):
            await connect(server, client_context())
        assert len(server.links) == 2
        await first.close()
        await until(lambda: len(server.links) == 1)
        third = await connect(server)
        await third.close()
        await second.close()


async def test_bounds_on_what_a_peer_leaves_unread() -> None:
    handled: list[DatagramLink] = []
    ready = asyncio.Event()
    received: list[bytes] = []

    async def busy(link: DatagramLink) -> None:
        handled.append(link)
        await ready.wait()
        received.extend([data async for data in link])

    async with serving(busy, server_context(limits=Limits(received_datagrams=3))) as server:
        link = await connect(server)
        for number in range(10):
            await link.send(b"%d" % number)
        await until(lambda: handled and handled[0].ssl.pending())
        closing = asyncio.create_task(link.close())
        await until(lambda: handled[0].ssl.close_notify_received)
        ready.set()
        await closing
        await until(lambda: not server.links)
        assert received == [b"0", b"1", b"2"]


@every_version
async def test_sessions_resume(version: Version) -> None:
    context = client_context(version, sessions=SessionCache())
    async with serving(context=server_context(version)) as server:
        for reused in (False, True):
            async with await connect(server, context) as link:
                await link.send(b"x")
                await link.recv()
                assert link.ssl.session_reused is reused
                session = link.ssl.session
        given = client_context(version, sessions=None)
        given.identity = None
        context = client_context(version, sessions=SessionCache())
        async with await connect(server, context, session=session) as link:
            assert link.get_extra_info("ssl_object") is not None


# --- pauses -------------------------------------------------------------------------------------------------------


@virtual_time
@every_version
async def test_signatures_that_pause_do_so_side_by_side(version: Version) -> None:
    engine = DelayEngine(20.0, operations=[Operation.SIGN])
    async with serving(context=server_context(version, engine=engine)) as server:
        peers = await asyncio.gather(*(connect(server, client_context(version)) for _ in range(10)))
        await asyncio.gather(*(link.close() for link in peers))


async def test_an_engine_with_threads() -> None:
    engine = ThreadEngine(workers=2)
    async with (
        serving(context=server_context(engine=engine)) as server,
        await connect(server, client_context(engine=engine)) as link,
    ):
        await link.send(b"x")
        assert await link.recv() == b"x"
    engine.close()


@virtual_time
@pytest.mark.parametrize("descriptors", [True, False])
async def test_a_key_that_pauses_in_plain_code(descriptors: bool) -> None:
    key = PausingKey(pauses=3, descriptors=descriptors)
    async with (
        serving(context=server_context(identity=pausing_identity(key))) as server,
        await connect(server) as link,
    ):
        await link.send(b"x")
        assert await link.recv() == b"x"
    assert key.signatures == 1
    assert key.open == []


@asynccontextmanager
async def relayed(server: aio.DatagramServer, **options: Any) -> AsyncIterator[tuple[Relay, int]]:
    relay = Relay(port_of(server), **options)
    port = await relay.start()
    try:
        yield relay, port
    finally:
        relay.close()


@virtual_time
@every_version
async def test_a_long_pause_loses_nobody(version: Version) -> None:
    """The client's timers expire several times while the server waits for its signature."""
    released = asyncio.Event()

    class Key:
        schemes: tuple[SignatureScheme, ...] = identity().key.schemes

        async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            await released.wait()
            signature: bytes = identity().key.sign(scheme, message)
            return signature

    slow = identity().load(pki().ec.chain_pem, Key())
    async with (
        serving(context=server_context(version, identity=slow)) as server,
        relayed(server) as (relay, port),
    ):
        connecting = asyncio.create_task(connect(port, client_context(version)))
        if version is Version.DTLS12:  # the client sends its hello again and again
            await until(lambda: relay.counts[True] >= 5)
        else:  # the server has acknowledged it
            await until(lambda: relay.counts[False] >= 2)
            await asyncio.sleep(10)
            assert relay.counts[True] <= 4
        assert not connecting.done()
        released.set()
        async with await connecting as link:
            await link.send(b"x")
            assert await link.recv() == b"x"


@virtual_time
async def test_cancelling_a_client_cancels_its_paused_work() -> None:
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def judge(_chain: PeerChain) -> bool:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return True

    async with serving() as server:
        connecting = asyncio.create_task(connect(server, client_context(verify_peer=judge)))
        await asked.wait()
        connecting.cancel()
        await asyncio.wait([connecting])
        await given_up.wait()
        assert connecting.cancelled()
        await until(lambda: not server.links)


@virtual_time
async def test_a_client_may_be_cancelled_at_any_moment() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(what))
    async with serving() as server:
        for turns in range(12):
            connecting = asyncio.create_task(connect(server))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait([connecting])
            if not connecting.cancelled():
                connecting.result().abort()
        await until(lambda: not server.links)
    gc.collect()
    assert reported == []


async def test_a_link_that_is_dropped_during_its_handshake() -> None:
    engine = DelayEngine(None, operations=[Operation.VERIFY_CHAIN])
    async with serving() as server:
        connecting = asyncio.create_task(connect(server, client_context(engine=engine)))
        await until(lambda: engine.waiting)
        for each in tuple(alive):
            each.abort()
        with pytest.raises(ConnectionAbortedError, match="during its handshake"):
            await connecting


async def test_closing_a_server_cancels_paused_handshakes() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    async with serving(context=server_context(engine=engine)) as server:
        connecting = asyncio.create_task(connect(server))
        await until(lambda: engine.waiting)
        server.close()
        assert server.sockets == ()
        assert engine.waiting == []
        connecting.cancel()
        await asyncio.wait([connecting])


# --- networks -----------------------------------------------------------------------------------------------------


@virtual_time
@every_version
async def test_a_network_that_loses_a_quarter(version: Version) -> None:
    settings = {"dtls": {"mtu": 400}}
    dice = random.Random(3)
    async with (
        serving(context=server_context(version, **settings)) as server,
        relayed(server, lose=lambda *_: dice.random() < 0.25) as (_, port),
        await connect(port, client_context(version, **settings)) as link,
    ):
        await until(lambda: server.links and server.links[0].complete)
        assert link.ssl.handshake_complete


@every_version
async def test_a_peer_whose_address_changes(version: Version) -> None:
    handled: asyncio.Queue[DatagramLink] = asyncio.Queue()
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(link: DatagramLink) -> None:
        handled.put_nowait(link)
        async for data in link:
            received.put_nowait(data)
            await link.send(b"echo " + data)

    async with (
        serving(handler, server_context(version, dtls={"connection_id": 4})) as server,
        relayed(server) as (relay, port),
        await connect(port, client_context(version)) as link,
    ):
        theirs = await handled.get()
        await link.send(b"here")
        assert await link.recv() == b"echo here"
        before = theirs.get_extra_info("peername")
        await relay.move()
        await link.send(b"there")
        assert await received.get() == b"here"
        assert await received.get() == b"there"
        assert theirs.get_extra_info("peername") == before  # answers go where they went
        assert theirs.ssl.heard_from != before
        server.follow(theirs)
        assert theirs.get_extra_info("peername") == theirs.ssl.heard_from
        await link.send(b"and here")
        assert await link.recv() == b"echo and here"


@virtual_time
async def test_without_connection_ids_an_address_is_all_there_is() -> None:
    async with (
        serving() as server,
        relayed(server) as (relay, port),
        await connect(port) as link,
    ):
        await until(lambda: server.links and server.links[0].complete)
        theirs = server.links[0]
        before = theirs.ssl.heard_from
        await relay.move()
        await link.send(b"lost")
        await asyncio.sleep(2)
        assert theirs.ssl.heard_from == before


class Narrow(socket.socket):
    """Leads into a network that carries short datagrams."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.refused: list[int] = []

    def send(self, data: Any, *args: Any) -> int:
        if len(data) > 600:
            self.refused.append(len(data))
            raise OSError(errno.EMSGSIZE, "too long")
        return super().send(data, *args)


@virtual_time
async def test_datagrams_that_are_too_long_for_the_path() -> None:
    context = client_context(alpn=["x" * 250] * 8)
    async with serving(context=server_context(alpn=["x" * 250])) as server:
        sock = Narrow(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((HOST, port_of(server)))
        async with await aio.connect_datagram(sock=sock, server_hostname="localhost", context=context) as link:
            assert link.ssl.mtu == 548
    assert 1 <= len(sock.refused) <= 2  # the first flight, and no other


# --- servers ------------------------------------------------------------------------------------------------------


async def test_closing_a_server_closes_its_links() -> None:
    ended: list[str] = []

    async def handler(link: DatagramLink) -> None:
        await echo(link)
        ended.append("well")

    async with serving(handler) as server:
        link = await connect(server)
        await until(lambda: server.links[0].complete)
        await server.wait_closed()  # does not wait while it serves
        server.close()
        assert not server.is_serving()
        with pytest.raises(ZeroReturn):
            await link.recv()
        await link.close()
        await server.wait_closed()
        assert ended == ["well"]
        assert server.sockets == server.links == ()
        server.close()


@virtual_time
async def test_a_handler_that_does_not_end_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def handler(_link: DatagramLink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(handler) as server:
        link = await connect(server)
        await until(lambda: server.links[0].complete)
    assert cancelled.is_set()
    link.abort()


async def test_serving_for_ever() -> None:
    async with serving() as server:
        await server.start_serving()
        assert server.get_loop() is asyncio.get_running_loop()
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already"):
            await server.serve_forever()
        forever.cancel()
        await asyncio.wait([forever])
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="closed"):
            await server.serve_forever()


async def test_close_clients() -> None:
    async with serving() as server:
        link = await connect(server)
        await until(lambda: server.links[0].complete)
        server.close_clients()
        with pytest.raises(ZeroReturn):
            await link.recv()
        await link.close()
        assert server.is_serving()


async def test_a_certificate_that_is_changed_counts_for_the_next() -> None:
    context = server_context(Version.DTLS12)
    async with serving(context=context) as server:
        first = await connect(server, client_context(Version.DTLS12, sessions=None))
        context.identity = identity(pki().rsa)
        second = await connect(server, client_context(Version.DTLS12, sessions=None))
        assert first.ssl.peer_certificates != second.ssl.peer_certificates
        await first.close()
        await second.close()


async def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Method\.DTLS"):
        await aio.serve_datagram(echo, HOST, 0, context=support.server_context())
    with pytest.raises(ConfigError, match=r"Method\.DTLS"):
        await aio.connect_datagram(HOST, 1, context=support.client_context())
    with pytest.raises(ConfigError, match="identity"):
        await aio.serve_datagram(echo, HOST, 0, context=client_context())
    with pytest.raises(ConfigError, match=r"Method\.TLS"):
        await aio.create_connection(asyncio.Protocol, HOST, 1, context=client_context())
    with pytest.raises(ConfigError, match=r"Method\.TLS"):
        await aio.create_server(asyncio.Protocol, HOST, 0, context=server_context())
    with pytest.raises(ValueError, match="server_hostname"):
        await aio.connect_datagram(context=client_context(), sock=None)
    with pytest.raises(ValueError, match="sock"):
        await aio.connect_datagram(HOST, context=client_context())
