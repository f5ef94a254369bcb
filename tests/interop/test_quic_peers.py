"""QUIC with every peer, in both roles, over UDP on loopback: the same table of feats for all of them.

Who cannot do something is not asked to: `lacks_as_server` and `lacks_as_client` of its class say why, with its version.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from caesura import Version
from caesura.aio import QUICLink
from caesura.context import QUIC_EARLY_DATA
from caesura.events import EarlyDataStatus
from caesura.quic import QUICConnection
from caesura.wire.registries import NamedGroup
from tests.interop.peers.process import Workshop
from tests.interop.peers.quic import Ours, QUICPeer, lossy, wait_until
from tests.interop.peers.quic_programs import NGTCP2, Caddy, Deno, GoQUIC
from tests.interop.peers.quic_python import Aioquic, Qh3

pytestmark = pytest.mark.anyio

PEERS: tuple[type[QUICPeer], ...] = (Aioquic, Qh3, GoQUIC, Deno, NGTCP2, Caddy)
DATA = bytes(range(256)) * 19_600  # 5 MB
ONE, TWO = Version.QUIC1, Version.QUIC2
EARLY_DATA = {"max_early_data": QUIC_EARLY_DATA}


def servers(*features: str) -> pytest.MarkDecorator:
    """The test is done with each peer that has these as a server."""
    able = [peer for peer in PEERS if not peer.lacks_as_server.keys() & {"serve", *features}]
    return pytest.mark.parametrize("peer", able, ids=lambda peer: peer.name, indirect=True)


def clients(*features: str) -> pytest.MarkDecorator:
    """… as a client."""
    able = [peer for peer in PEERS if not peer.lacks_as_client.keys() & {"connect", *features}]
    return pytest.mark.parametrize("peer", able, ids=lambda peer: peer.name, indirect=True)


@pytest.fixture
def peer(request: pytest.FixtureRequest, files: dict[str, Path], workshop: Workshop) -> QUICPeer:
    made: QUICPeer = request.param(files, workshop)
    return made


# --- our client ---------------------------------------------------------------------------------------------------


@servers()
async def test_5_mb_there_and_back(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving() as port, ours.connected(port) as conn:
        assert conn.ssl.version is ONE
        assert conn.ssl.alpn == peer.alpn
        assert conn.ssl.group is NamedGroup[peer.groups[0]]
        await peer.exchange(conn, DATA)


@servers()
async def test_more_streams_than_a_server_permits_at_first(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving() as port, ours.connected(port) as conn:
        assert conn.ssl.peer_parameters is not None
        number = conn.ssl.peer_parameters.initial_max_streams_bidi + 20
        await asyncio.gather(*(peer.exchange(conn, b"a few bytes") for _ in range(number)))


@servers()
async def test_a_bad_network_to_their_server(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving() as port, lossy(port) as way, ours.connected(way) as conn:
        await peer.exchange(conn, DATA[:300_000])


@servers("retry")
async def test_a_retry_of_theirs(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving(retry=True) as port, ours.connected(port) as conn:
        await peer.exchange(conn, b"after the retry")
        parameters = conn.ssl.peer_parameters
        assert parameters is not None
        assert parameters.retry_source_connection_id is not None


@pytest.mark.parametrize("peer", [NGTCP2], ids=["ngtcp2"], indirect=True)
async def test_their_token_spares_us_the_retry(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving(retry=True) as port:
        async with ours.connected(port) as conn:
            await wait_until(lambda: conn.ssl.new_token)
            token = conn.ssl.new_token
        async with ours.connected(port, token=token) as conn:
            await peer.exchange(conn, b"x")
            assert conn.ssl.peer_parameters is not None
            assert conn.ssl.peer_parameters.retry_source_connection_id is None


async def session_of(conn: QUICLink) -> Any:
    """What a server gives to resume with."""
    await wait_until(lambda: conn.ssl.session is not None)
    return conn.ssl.session


@servers("tickets")
async def test_resumption_with_their_server(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving() as port:
        async with ours.connected(port) as conn:
            await peer.exchange(conn, b"x")
            session = await session_of(conn)
            assert not conn.ssl.session_reused
        async with ours.connected(port, session=session) as conn:
            assert conn.ssl.session_reused
            await peer.exchange(conn, b"x")


@servers("tickets", "early data")
async def test_0rtt_to_their_server(peer: QUICPeer, ours: Ours) -> None:
    """Taken by the one that has given the session, and by no other; what has gone with it is sent anew."""
    async with peer.serving() as port, peer.serving() as other:
        async with ours.connected(port) as conn:
            await peer.exchange(conn, b"x")
            session = await session_of(conn)
        async with ours.connected(port, session=session, early_data=True) as conn:
            assert not conn.ssl.handshake_complete
            await peer.exchange(conn, b"early")
            assert conn.ssl.early_data_status is EarlyDataStatus.ACCEPTED
            session = await session_of(conn)
        async with ours.connected(other, session=session, early_data=True) as conn:
            _, writer = await conn.open_stream()
            assert writer is not None
            assert not conn.ssl.handshake_complete
            writer.write(b"early")
            await conn.wait_handshake()
            assert conn.ssl.early_data_status is EarlyDataStatus.REJECTED
            assert not conn.ssl.session_reused
            await peer.begin(conn)
            await peer.exchange(conn, b"x")


@servers()
async def test_our_key_updates(peer: QUICPeer, ours: Ours) -> None:
    """Ours, which they follow: what they send is sealed with the next keys too, or we could not take ours again."""
    async with peer.serving() as port, ours.connected(port) as conn:
        await peer.exchange(conn, b"x")
        before = conn.ssl.key_updates
        for number in range(before + 1, before + 4):
            conn.ssl.key_update()
            while conn.ssl.key_updates < number:
                await peer.exchange(conn, b"with the next keys")
        await peer.exchange(conn, DATA[:500_000])


@servers("own key update")
async def test_key_updates_of_their_server(peer: QUICPeer, ours: Ours) -> None:
    async with peer.serving() as port, ours.connected(port) as conn:
        await peer.exchange(conn, DATA)
        assert conn.ssl.key_updates


@servers()
async def test_a_version_they_do_not_know(peer: QUICPeer, ours: Ours) -> None:
    """They list what they know (Version Negotiation), and we begin anew. Those who know it too: test_quic_asyncio."""
    context = ours.client(quic={"versions": (TWO, ONE)})
    async with peer.serving() as port, ours.connected(port, context) as conn:
        assert conn.ssl.version is (ONE if "version 2" in peer.lacks_as_server else TWO)
        await peer.exchange(conn, b"x")


# --- our server ---------------------------------------------------------------------------------------------------


@clients()
async def test_5_mb_from_their_client(peer: QUICPeer, ours: Ours) -> None:
    async with ours.serving() as port:
        (report,) = await peer.talk(port, size=len(DATA))
        conn = await ours.links.get()
        assert conn.ssl.version is ONE
        assert conn.ssl.alpn == peer.alpn
        assert conn.ssl.group is NamedGroup[peer.prefers]
        assert report.alpn in (None, peer.alpn)
        assert report.group in (None, conn.ssl.group)


@clients("waiting for streams")
async def test_more_streams_of_their_client_than_we_permit_at_first(peer: QUICPeer, ours: Ours) -> None:
    async with ours.serving(quic={"initial_max_streams_bidi": 20}) as port:
        await peer.talk(port, streams=60, size=1000)


@clients("a bad network")
async def test_a_bad_network_from_their_client(peer: QUICPeer, ours: Ours) -> None:
    async with ours.serving() as port, lossy(port) as way:
        await peer.talk(way, size=300_000)


@clients()
async def test_a_retry_of_ours(peer: QUICPeer, ours: Ours) -> None:
    log: list[str] = []
    async with ours.serving(quic={"retry": True, "qlog": lambda _: log.append}) as port:
        await peer.talk(port)
        assert "retry_source_connection_id" in "".join(log)


@clients("tickets")
async def test_resumption_of_their_client(peer: QUICPeer, ours: Ours) -> None:
    async with ours.serving() as port:
        reports = await peer.talk(port, port)
        assert [(await ours.links.get()).ssl.session_reused for _ in reports] == [False, True]
        assert reports[1].resumed in (None, True)


@clients("tickets", "early data")
async def test_0rtt_of_their_client(peer: QUICPeer, ours: Ours) -> None:
    """Taken by the one that has given the ticket, not by one with the same keys that takes none any more."""
    context = ours.server(**EARLY_DATA)
    async with ours.serving(context) as port, ours.serving(ticket_keys=context.ticket_keys) as other:
        reports = await peer.talk(port, port, other)
        links = [(await ours.links.get()).ssl for _ in reports]
        assert [each.session_reused for each in links] == [False, True, True]
        assert [each.early_data_status is EarlyDataStatus.ACCEPTED for each in links] == [False, True, False]
        assert [
            each.early_data in (None, accepted) for each, accepted in zip(reports, (False, True, False), strict=True)
        ]


async def connection_of(ours: Ours, talking: asyncio.Task[Any]) -> QUICConnection:
    """Our server's connection, while their client is busy with it."""
    coming = asyncio.create_task(ours.links.get())
    await asyncio.wait([talking, coming], return_when=asyncio.FIRST_COMPLETED)
    if not coming.done():
        coming.cancel()
        await talking  # it says why nobody has come: their program may not be installed
    return (await coming).ssl


@clients()
async def test_key_updates_of_our_server(peer: QUICPeer, ours: Ours) -> None:
    """After 10 packets, before they think of it, and as often after that as there is time for."""
    log: list[str] = []
    async with ours.serving(quic={"key_update_packets": 10, "qlog": lambda _: log.append}) as port:
        await peer.talk(port, size=len(DATA))
        assert "local_update" in "".join(log)


@clients("own key update")
async def test_key_updates_of_their_client(peer: QUICPeer, ours: Ours) -> None:
    settings = {"options": ["--key-update=5ms"]} if isinstance(peer, NGTCP2) else {}
    async with ours.serving() as port:
        talking = asyncio.create_task(peer.talk(port, size=len(DATA), **settings))
        conn = await connection_of(ours, talking)
        await wait_until(lambda: conn.key_updates or talking.done())
        assert conn.key_updates
        await talking


@pytest.mark.parametrize("peer", [NGTCP2], ids=["ngtcp2"], indirect=True)
async def test_a_version_we_do_not_know(peer: QUICPeer, ours: Ours) -> None:
    """We list what we know, and their client begins anew."""
    async with ours.serving() as port:
        await peer.talk(port, options=["--version=v2draft", "--preferred-versions=v1,v2draft"])
        assert (await ours.links.get()).ssl.version is ONE


@pytest.mark.parametrize("peer", [NGTCP2], ids=["ngtcp2"], indirect=True)
@pytest.mark.parametrize("more", [[], ["--nat-rebinding"]], ids=["with a word", "without one"])
async def test_their_client_moves(peer: QUICPeer, ours: Ours, more: list[str]) -> None:
    async with ours.serving() as port:
        talking = asyncio.create_task(peer.talk(port, size=len(DATA), options=["--change-local-addr=5ms", *more]))
        conn = await connection_of(ours, talking)
        first = conn.addr
        await wait_until(lambda: conn.addr != first or talking.done())
        assert conn.addr != first
        await talking
