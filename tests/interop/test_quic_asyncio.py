"""QUIC with aioquic and qh3, on one loop, over UDP on loopback: what test_quic_peers does not ask of every peer.

Their client and server are within reach here, so that they can be made to do something at a certain time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caesura import TrustStore, Version
from caesura.errors import CertificateVerifyError, PeerAlert, PeerClose
from tests.interop.peers.process import Workshop
from tests.interop.peers.quic import Ours, exchange, wait_until
from tests.interop.peers.quic_python import Aioquic, PythonPeer, Qh3

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 4096  # 1 MiB
ONE, TWO = Version.QUIC1, Version.QUIC2


@pytest.fixture(params=[Aioquic, Qh3], ids=lambda peer: peer.name)
def peer(request: pytest.FixtureRequest, files: dict[str, Path], workshop: Workshop) -> PythonPeer:
    made: PythonPeer = request.param(files, workshop)
    return made


# --- our client ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "theirs", "agreed"),
    [
        ((TWO,), (ONE, TWO), TWO),
        ((TWO, ONE), (ONE, TWO), TWO),
        ((ONE, TWO), (TWO,), TWO),  # Version Negotiation
        ((TWO, ONE), (ONE,), ONE),
    ],
)
async def test_versions_of_their_server(
    peer: PythonPeer, ours: Ours, versions: tuple[Version, ...], theirs: tuple[Version, ...], agreed: Version
) -> None:
    context = ours.client(quic={"versions": versions})
    async with peer.serving(versions=theirs) as port, ours.connected(port, context) as conn:
        assert conn.ssl.version is agreed
        await peer.exchange(conn, DATA)


async def test_key_updates_of_their_server(peer: PythonPeer, ours: Ours) -> None:
    made: list[Any] = []

    class Protocol(peer.protocol):  # type: ignore[misc,name-defined]
        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

    async with peer.serving(create_protocol=Protocol) as port, ours.connected(port) as conn:
        for number in range(1, 4):
            await peer.exchange(conn, b"with the next keys")
            await wait_until(lambda: conn.ssl.key_updates == number - 1)  # noqa: B023 - called here
            made[0].request_key_update()
            await peer.exchange(conn, b"with the next keys")
            assert conn.ssl.key_updates == number


async def test_a_certificate_we_do_not_trust(peer: PythonPeer, ours: Ours) -> None:
    context = ours.client(trust=TrustStore.load(ours.files["other root"]))
    async with peer.serving() as port:
        with pytest.raises(CertificateVerifyError):
            async with ours.connected(port, context):
                pass


async def test_no_protocol_in_common_with_their_server(peer: PythonPeer, ours: Ours) -> None:
    async with peer.serving() as port:
        with pytest.raises(PeerAlert):
            async with ours.connected(port, ours.client(alpn=["other"])):
                pass


# --- our server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "theirs", "agreed"),
    [
        ((TWO,), (TWO,), TWO),
        ((ONE, TWO), (ONE, TWO), ONE),
        ((TWO, ONE), (ONE, TWO), TWO),  # compatible: without another round trip (RFC 9368)
        ((TWO,), (ONE, TWO), TWO),  # Version Negotiation, or compatible as well
    ],
)
async def test_versions_of_their_client(
    peer: PythonPeer, ours: Ours, versions: tuple[Version, ...], theirs: tuple[Version, ...], agreed: Version
) -> None:
    async with ours.serving(quic={"versions": versions}) as port, peer.connected(port, versions=theirs) as client:
        await exchange(*await client.create_stream(), DATA)
        assert (await ours.links.get()).ssl.version is agreed


@pytest.mark.parametrize("peer", [Aioquic], ids=["aioquic"], indirect=True)  # qh3 2.1.0 and gtlsclient 0.12.1 cannot
async def test_our_token_spares_them_the_retry(peer: PythonPeer, ours: Ours) -> None:
    tokens: asyncio.Queue[bytes] = asyncio.Queue()
    logs: list[list[str]] = []

    def log(_: str) -> Callable[[str], object]:
        logs.append([])
        return logs[-1].append

    async with ours.serving(quic={"retry": True, "qlog": log}) as port:
        async with peer.connected(port, token_handler=tokens.put_nowait) as client:
            await exchange(*await client.create_stream(), b"x")
            token = await tokens.get()
        async with peer.connected(port, token=token) as client:
            await exchange(*await client.create_stream(), b"x")
    assert ["retry_source_connection_id" in "".join(each) for each in logs] == [True, False]


async def test_key_updates_and_other_ids_of_their_client(peer: PythonPeer, ours: Ours) -> None:
    async with ours.serving() as port, peer.connected(port) as client:
        await exchange(*await client.create_stream(), b"x")
        conn = await ours.links.get()
        for number in range(1, 4):
            client.request_key_update()
            client.change_connection_id()
            await exchange(*await client.create_stream(), b"with the next keys")
            assert conn.ssl.key_updates == number


async def test_datagrams_of_their_client(peer: PythonPeer, ours: Ours) -> None:
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


async def test_a_close_with_a_code(peer: PythonPeer, ours: Ours) -> None:
    async with ours.serving() as port, peer.connected(port) as client:
        await exchange(*await client.create_stream(), b"x")
        conn = await ours.links.get()
        client._quic.close(error_code=42, reason_phrase="enough")
        client.transmit()
        with pytest.raises(PeerClose, match="enough") as closed:
            while True:
                await conn.recv_datagram()
        assert closed.value.error_code == 42


async def test_their_client_does_not_trust_us(peer: PythonPeer, ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peer.files, "root", peer.files["other root"])
    async with ours.serving() as port:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with peer.connected(port):
                pass
