"""aioquic and qh3, in this process, on the test's loop.

qh3 began as a copy of aioquic and has their interface; what moves its packets is its own, in Rust.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from caesura import Version
from tests.interop.peers.process import Workshop, missing
from tests.interop.peers.quic import HOST, PATIENCE, QUICPeer, Report, echo, exchange

BOTH = (Version.QUIC1, Version.QUIC2)


class PythonPeer(QUICPeer):
    """Either of the two packages."""

    def __init__(self, files: dict[str, Path], workshop: Workshop) -> None:
        super().__init__(files, workshop)
        try:
            self._asyncio = importlib.import_module(f"{self.name}.asyncio")
        except ImportError:
            missing(self.name, "pip install -e '.[peers]'")
        self.configuration = importlib.import_module(f"{self.name}.quic.configuration").QuicConfiguration
        self.events = importlib.import_module(f"{self.name}.quic.events")
        self.protocol = self._asyncio.QuicConnectionProtocol

    @asynccontextmanager
    async def serving(
        self,
        *,
        retry: bool = False,
        versions: Sequence[int] = BOTH,
        create_protocol: type | None = None,
        **settings: Any,
    ) -> AsyncIterator[int]:
        settings |= {"alpn_protocols": ["echo"], "supported_versions": list(map(int, versions))}
        configuration = self.configuration(is_client=False, **settings)
        configuration.load_cert_chain(self.files["ec.chain"], self.files["ec.key"])
        tasks: set[asyncio.Task[None]] = set()
        tickets: dict[bytes, Any] = {}

        def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.get_running_loop().create_task(echo(reader, writer)))

        server = await self._asyncio.serve(
            HOST,
            0,
            configuration=configuration,
            create_protocol=create_protocol or self.protocol,
            stream_handler=stream,
            retry=retry,
            session_ticket_fetcher=tickets.get,
            session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
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
    async def connected(
        self, port: int, *, versions: Sequence[int] = (Version.QUIC1,), **settings: Any
    ) -> AsyncIterator[Any]:
        """A client of theirs; it begins with the first of its versions."""
        settings = {"server_name": "localhost", "alpn_protocols": ["echo"], **settings}
        settings |= {"supported_versions": list(map(int, versions)), "original_version": int(versions[0])}
        own = ("create_protocol", "session_ticket_handler", "token_handler", "wait_connected")
        options = {name: settings.pop(name) for name in own if name in settings}
        configuration = self.configuration(is_client=True, **settings)
        configuration.load_verify_locations(cafile=str(self.files["root"]))
        async with (
            asyncio.timeout(PATIENCE),
            self._asyncio.connect(HOST, port, configuration=configuration, **options) as client,
        ):
            yield client

    async def talk(self, *ports: int, streams: int = 1, size: int = 1, **settings: Any) -> list[Report]:
        reports: list[Report] = []
        tickets: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        completed: list[Any] = []
        events = self.events

        class Protocol(self.protocol):  # type: ignore[misc,name-defined]
            def quic_event_received(self, event: Any) -> None:
                if isinstance(event, events.HandshakeCompleted):
                    completed.append(event)
                super().quic_event_received(event)

        settings |= {"create_protocol": Protocol, "session_ticket_handler": tickets.put_nowait}
        for port in ports:
            if reports:
                settings |= {
                    "session_ticket": await tickets.get(),
                    "wait_connected": "early data" in self.lacks_as_client,
                }
            async with self.connected(port, **settings) as client:
                made = []
                for number in range(streams):
                    made.append(await client.create_stream())
                    made[-1][1].write(bytes([number % 251]))  # only now it has an id of its own
                data = [bytes([number % 251]) * size for number in range(streams)]
                await asyncio.gather(*(exchange(*each, data[number], 1) for number, each in enumerate(made)))
            done = completed.pop()
            reports.append(Report(done.alpn_protocol, None, done.session_resumed, done.early_data_accepted))
        return reports


class Aioquic(PythonPeer):
    name = "aioquic"
    prefers: ClassVar = "x25519"
    groups: ClassVar = ("x25519", "secp256r1")  # of others it makes nothing: 1.7.2 has no HelloRetryRequest as a server
    lacks_as_server: ClassVar = {"own key update": "aioquic 1.7.2 makes one when it is asked to, see test_quic_asyncio"}
    lacks_as_client: ClassVar = lacks_as_server


class Qh3(PythonPeer):
    """Its hello has 2048 bytes in 2.1.0, of which its share for X25519MLKEM768 takes the most, in two packets.

    When only the first of them has come, and was acknowledged in version 1, its client does not follow to version 2
    any more (RFC 9369 section 4.1), so a network that loses packets is none for that.
    """

    name = "qh3"
    lacks_as_server: ClassVar = {"own key update": "qh3 2.1.0 makes one when it is asked to, see test_quic_asyncio"}
    lacks_as_client: ClassVar = {
        **lacks_as_server,
        "a bad network": "the client of qh3 2.1.0 may fall silent for good when its Finished is lost",
        "early data": "no room is left for a ticket of ours that permits it",
        "waiting for streams": "qh3 2.1.0 raises where the server permits no more of them",
    }

    async def talk(self, *ports: int, streams: int = 1, size: int = 1, **settings: Any) -> list[Report]:
        """It has one signature scheme, which leaves room for a ticket of ours."""
        return await super().talk(*ports, streams=streams, size=size, signature_algorithms=[0x0403], **settings)
