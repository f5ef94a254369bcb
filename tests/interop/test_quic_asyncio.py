"""QUIC against aioquic and qh3, in both roles, on one loop, over UDP on loopback.

qh3 began as a copy of aioquic and has their interface; what moves its packets is its own, in Rust.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from caesura import Context, Identity, Method, TrustStore, Version, aio
from caesura.aio import QUICLink
from caesura.aio.quic_stream import StreamWriter
from caesura.errors import CertificateVerifyError, PeerAlert, PeerClose
from tests.interop.peers.process import missing

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds, far more than anything takes
DATA = bytes(range(256)) * 4096  # 1 MiB
VERSIONS = {Version.QUIC1: 0x00000001, Version.QUIC2: 0x6B3343CF}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Peer:
    """One of the two packages."""

    def __init__(self, name: str, files: dict[str, Path]) -> None:
        try:
            self._asyncio = importlib.import_module(f"{name}.asyncio")
        except ImportError:
            missing(name, "pip install -e '.[peers]'")
        self.configuration = importlib.import_module(f"{name}.quic.configuration").QuicConfiguration
        self.events = importlib.import_module(f"{name}.quic.events")
        self.protocol = self._asyncio.QuicConnectionProtocol
        self.files = files
        self.tickets: dict[bytes, Any] = {}

    @asynccontextmanager
    async def serving(self, *, retry: bool = False, **settings: Any) -> AsyncIterator[int]:
        """A server of theirs that echoes every stream; its port."""
        configuration = self.configuration(is_client=False, alpn_protocols=["echo"], **settings)
        configuration.load_cert_chain(self.files["ec.chain"], self.files["ec.key"])
        tasks: set[asyncio.Task[None]] = set()

        def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.get_running_loop().create_task(echo(reader, writer)))

        server = await self._asyncio.serve(
            HOST,
            0,
            configuration=configuration,
            stream_handler=stream,
            retry=retry,
            session_ticket_fetcher=self.tickets.get,
            session_ticket_handler=lambda ticket: self.tickets.update({ticket.ticket: ticket}),
        )
        try:
            async with asyncio.timeout(PATIENCE):
                yield server._transport.get_extra_info("sockname")[1]
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def connected(self, port: int, **settings: Any) -> AsyncIterator[Any]:
        """A client of theirs."""
        settings = {"server_name": "localhost", "alpn_protocols": ["echo"], **settings}
        options = {
            name: settings.pop(name) for name in ("create_protocol", "session_ticket_handler") if name in settings
        }
        configuration = self.configuration(is_client=True, **settings)
        configuration.load_verify_locations(cafile=str(self.files["root"]))
        async with (
            asyncio.timeout(PATIENCE),
            self._asyncio.connect(HOST, port, configuration=configuration, **options) as client,
        ):
            yield client


async def echo(reader: Any, writer: Any) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await drain(writer)
    writer.write_eof()


async def drain(writer: asyncio.StreamWriter) -> None:
    """qh3's writers cannot."""
    if isinstance(writer, StreamWriter):
        await writer.drain()


async def exchange(reader: Any, writer: Any, data: bytes = DATA, start: int = 0) -> None:
    """Send it, but for so much that was sent before, and get all of it back."""

    async def send() -> None:
        for at in range(start, len(data), 65_536):
            writer.write(data[at : at + 65_536])
            await drain(writer)
        writer.write_eof()

    sending = asyncio.create_task(send())
    assert await reader.read() == data
    await sending


@pytest.fixture(params=["aioquic", "qh3"])
def peer(request: pytest.FixtureRequest, files: dict[str, Path]) -> Peer:
    return Peer(request.param, files)


class Ours:
    """Caesura's side."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.links: asyncio.Queue[QUICLink] = asyncio.Queue()

    def client(self, **settings: Any) -> Context:
        defaults = {"method": Method.QUIC, "trust": TrustStore.load(self.files["root"]), "keylog": None}
        return Context.client(**{**defaults, "alpn": ["echo"], "groups": ["x25519", "secp256r1"], **settings})

    async def connect(self, port: int, context: Context | None = None, **arguments: Any) -> QUICLink:
        arguments.setdefault("server_hostname", "localhost")
        return await aio.connect_quic(HOST, port, context=context or self.client(), **arguments)

    @asynccontextmanager
    async def serving(self, **settings: Any) -> AsyncIterator[int]:
        """A server that echoes every stream and datagram; its port."""
        identity = Identity.load(self.files["ec.chain"], self.files["ec.key"])
        defaults = {"method": Method.QUIC, "identity": identity, "keylog": None, "alpn": ["echo"]}
        context = Context.server(**{**defaults, **settings})

        async def handler(conn: QUICLink) -> None:
            self.links.put_nowait(conn)
            async with asyncio.TaskGroup() as group:
                group.create_task(datagrams(conn))
                async for reader, writer in conn.streams():
                    group.create_task(echo(reader, writer))

        async with (
            asyncio.timeout(PATIENCE),
            await aio.serve_quic(handler, HOST, 0, context=context) as server,
        ):
            yield server.sockets[0].getsockname()[1]


async def datagrams(conn: QUICLink) -> None:
    while True:
        await conn.send_datagram(await conn.recv_datagram())


@pytest.fixture
def ours(files: dict[str, Path]) -> Ours:
    return Ours(files)


class Lossy(asyncio.DatagramProtocol):
    """Stands between a client and a server; loses some datagrams, and lets others wait, by seed."""

    transport: asyncio.DatagramTransport

    def __init__(self, server: int) -> None:
        self.server = server
        self.client: Any = None
        self.dice = random.Random(1)
        self.lost = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        to_server = addr[1] != self.server
        if to_server:
            self.client = addr
        fate = self.dice.random()
        if fate < 0.08:
            self.lost += 1
        else:
            delay = 0.01 if fate > 0.9 else 0
            to = (HOST, self.server) if to_server else self.client
            asyncio.get_running_loop().call_later(delay, self.transport.sendto, data, to)


@asynccontextmanager
async def lossy(server: int) -> AsyncIterator[int]:
    """The port of such a network; something has been lost in it at the end."""
    transport, network = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Lossy(server), local_addr=(HOST, 0)
    )
    yield transport.get_extra_info("sockname")[1]
    await asyncio.sleep(0.02)  # what still waits is sent
    transport.close()
    assert network.lost


# --- our client ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
async def test_a_mebibyte_there_and_back(peer: Peer, ours: Ours, version: Version) -> None:
    async with peer.serving(supported_versions=list(VERSIONS.values())) as port:
        context = ours.client(quic={"versions": (version,)})
        async with await ours.connect(port, context) as conn:
            assert conn.ssl.version is version
            assert conn.ssl.alpn == "echo"
            await exchange(*await conn.open_stream())


async def test_our_client_on_a_bad_network(peer: Peer, ours: Ours) -> None:
    async with peer.serving() as port, lossy(port) as way, await ours.connect(way) as conn:
        await exchange(*await conn.open_stream(), DATA[:300_000])


async def test_several_streams_at_once(peer: Peer, ours: Ours) -> None:
    async with peer.serving() as port, await ours.connect(port) as conn:
        streams = [await conn.open_stream() for _ in range(10)]
        await asyncio.gather(*(exchange(*stream, bytes([number]) * 100_000) for number, stream in enumerate(streams)))


async def test_a_retry_of_theirs(peer: Peer, ours: Ours) -> None:
    async with peer.serving(retry=True) as port, await ours.connect(port) as conn:
        await exchange(*await conn.open_stream(), b"after the retry")


async def test_resumption_with_their_server(peer: Peer, ours: Ours) -> None:
    async with peer.serving() as port:
        async with await ours.connect(port) as conn:
            await exchange(*await conn.open_stream(), b"x")
            while conn.ssl.session is None:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.001)
            assert not conn.ssl.session_reused
        async with await ours.connect(port, session=conn.ssl.session) as again:
            assert again.ssl.session_reused
            await exchange(*await again.open_stream(), b"x")


async def test_our_key_updates(peer: Peer, ours: Ours) -> None:
    async with peer.serving() as port, await ours.connect(port) as conn:
        for number in range(1, 4):
            conn.ssl.key_update()
            await exchange(*await conn.open_stream(), b"with the next keys")
            while conn.ssl.key_updates < number:
                await exchange(*await conn.open_stream(), b"with the next keys")


async def test_a_certificate_we_do_not_trust(peer: Peer, ours: Ours) -> None:
    context = ours.client(trust=TrustStore.load(ours.files["other root"]))
    async with peer.serving() as port:
        with pytest.raises(CertificateVerifyError):
            await ours.connect(port, context)


async def test_no_protocol_in_common_with_their_server(peer: Peer, ours: Ours) -> None:
    async with peer.serving() as port:
        with pytest.raises(PeerAlert):
            await ours.connect(port, ours.client(alpn=["other"]))


# --- our server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
async def test_a_mebibyte_from_their_client(peer: Peer, ours: Ours, version: Version) -> None:
    async with ours.serving() as port, peer.connected(port, supported_versions=[VERSIONS[version]]) as client:
        await exchange(*await client.create_stream())
        conn = await ours.links.get()
        assert conn.ssl.version is version


async def test_their_client_on_a_bad_network(peer: Peer, ours: Ours) -> None:
    async with ours.serving() as port, lossy(port) as way, peer.connected(way) as client:
        await exchange(*await client.create_stream(), DATA[:300_000])


async def test_several_streams_of_their_client(peer: Peer, ours: Ours) -> None:
    async with ours.serving() as port, peer.connected(port) as client:
        streams = []
        for number in range(10):
            streams.append(await client.create_stream())
            streams[-1][1].write(bytes([number]))  # only now it has an id of its own
        data = [bytes([number]) * 100_000 for number in range(10)]
        await asyncio.gather(*(exchange(*each, data[number], start=1) for number, each in enumerate(streams)))


async def test_a_retry_of_ours(peer: Peer, ours: Ours) -> None:
    async with ours.serving(quic={"retry": True}) as port, peer.connected(port) as client:
        await exchange(*await client.create_stream(), b"after the retry")


@pytest.mark.parametrize("peer", ["aioquic"], indirect=True)  # qh3's hello has no room for a ticket of 200 bytes
async def test_resumption_of_their_client(peer: Peer, ours: Ours) -> None:
    tickets: list[Any] = []
    async with ours.serving() as port:
        async with peer.connected(port, session_ticket_handler=tickets.append) as client:
            await exchange(*await client.create_stream(), b"x")
            while not tickets:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.001)
            assert not (await ours.links.get()).ssl.session_reused
        async with peer.connected(port, session_ticket=tickets[0]) as client:
            await exchange(*await client.create_stream(), b"x")
            assert (await ours.links.get()).ssl.session_reused


async def test_key_updates_and_other_ids_of_their_client(peer: Peer, ours: Ours) -> None:
    async with ours.serving() as port, peer.connected(port) as client:
        await exchange(*await client.create_stream(), b"x")
        conn = await ours.links.get()
        for number in range(1, 4):
            client.request_key_update()
            client.change_connection_id()
            await exchange(*await client.create_stream(), b"with the next keys")
            assert conn.ssl.key_updates == number


async def test_datagrams_of_their_client(peer: Peer, ours: Ours) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    class Protocol(peer.protocol):  # type: ignore[misc,name-defined]
        def quic_event_received(self, event: Any) -> None:
            if isinstance(event, peer.events.DatagramFrameReceived):
                received.put_nowait(event.data)
            super().quic_event_received(event)

    settings = {"create_protocol": Protocol, "max_datagram_frame_size": 1200}
    async with ours.serving(quic={"max_datagram_frame_size": 1200}) as port, peer.connected(port, **settings) as client:
        for data in (b"one", b"other"):
            client._quic.send_datagram_frame(data)
            client.transmit()
            assert await received.get() == data


async def test_a_close_with_a_code(peer: Peer, ours: Ours) -> None:
    async with ours.serving() as port, peer.connected(port) as client:
        await exchange(*await client.create_stream(), b"x")
        conn = await ours.links.get()
        client._quic.close(error_code=42, reason_phrase="enough")
        client.transmit()
        with pytest.raises(PeerClose, match="enough") as closed:
            while True:
                await conn.recv_datagram()
        assert closed.value.error_code == 42


async def test_their_client_does_not_trust_us(peer: Peer, ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peer.files, "root", peer.files["other root"])
    async with ours.serving() as port:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with peer.connected(port):
                pass
