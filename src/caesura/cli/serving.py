"""The servers of `caesura serve`, from their start to their end, over each of the protocols."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.text import Text

from caesura import aio
from caesura.cli.common import (
    Address,
    reason,
)
from caesura.cli.facts import facts_line
from caesura.cli.services import Service, sent_back
from caesura.context import Context
from caesura.errors import ConfigError, Error, ZeroReturn, printable

AnyServer: TypeAlias = aio.Server | aio.DatagramServer | aio.QUICServer

HANDSHAKE_SECONDS = 30.0
SHUTDOWN_SECONDS = 30.0  # for the rest to be sent, and the client's close_notify to come
GRACE_SECONDS = 1.0  # for all of that when the server ends


class Serving(ABC):
    """A server from its start to its end."""

    title: str

    def __init__(
        self, context: Context, console: Console, *, quiet: bool, reload: Callable[[], dict[str, Any]]
    ) -> None:
        self._context = context
        self._console = console
        self._quiet = quiet
        self._reload = reload
        self._served = 0

    async def run(self, address: Address) -> None:
        """Listen until a signal says that it is enough."""
        logger = logging.getLogger("caesura")
        logger.addHandler(FailedHandshakes(self._tell))
        logger.setLevel(logging.DEBUG)
        enough = asyncio.Event()
        self._on_signals(enough)
        server = await self._listen(address)
        for socket in server.sockets:
            where = Address(*socket.getsockname()[:2])
            self._console.print(Text.assemble(("listening", "bold green"), f" on {where}, serving {self.title}"))
        try:
            await enough.wait()
        finally:
            server.close()
            await self._dismiss(server)
        self._console.print(f"done; connections served: {self._served}")

    @abstractmethod
    async def _listen(self, address: Address) -> AnyServer:
        """Serve at this address from now on."""

    async def _dismiss(self, server: AnyServer) -> None:
        """End what is under way: with close_notify while there is time for it."""
        await server.wait_closed()

    def _on_signals(self, enough: asyncio.Event) -> None:
        """The first Ctrl-C ends the server in an orderly way, the second one at once."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            enough.set()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

        if sys.platform != "win32":  # whose loops know no signals: there Ctrl-C is an exception
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop)
            loop.add_signal_handler(signal.SIGHUP, self._renew)

    def _renew(self) -> None:
        try:
            for name, value in self._reload().items():
                setattr(self._context, name, value)
        except (ConfigError, click.ClickException) as error:
            self._console.print(Text.assemble(("not renewed", "bold red"), f": {error}"))
        else:
            self._console.print("certificate and key renewed")

    def _tell(self, peer: tuple[object, ...] | None, text: str) -> None:
        if not self._quiet:
            who = str(Address(str(peer[0]), int(str(peer[1])))) if peer else "somebody"
            self._console.print(Text.assemble((f"{who}  ", "bright_black"), printable(text)))


class ServingStreams(Serving):
    """Connections over TLS, each served by a task."""

    def __init__(
        self, context: Context, console: Console, *, quiet: bool, reload: Callable[[], dict[str, Any]], service: Service
    ) -> None:
        super().__init__(context, console, quiet=quiet, reload=reload)
        self.title = service.title
        self._service = service
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def _listen(self, address: Address) -> aio.Server:
        return await aio.start_server(
            self._connected,
            address.host or None,
            address.port,
            context=self._context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )

    async def _dismiss(self, server: AnyServer) -> None:  # noqa: ARG002 - it is closed
        """Give the clients a moment for their close_notify."""
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=GRACE_SECONDS)
        for writer in self._clients.values():
            writer.transport.abort()
        if self._clients:
            await asyncio.wait(self._clients)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A handshake is complete. The task is our own: streams of Python 3.11 do not expect theirs to be cancelled."""
        self._served += 1
        task = asyncio.create_task(self._answer(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._clients.pop)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        self._tell(peer, facts_line(writer.get_extra_info("caesura")))
        try:
            await self._service.answer(reader, writer, lambda text: self._tell(peer, text))
        except (Error, OSError) as error:
            self._tell(peer, reason(error))
        finally:
            writer.close()
            try:
                with suppress(Error, OSError):
                    await writer.wait_closed()
            finally:
                writer.transport.abort()


class ServingDatagrams(Serving):
    """An echo of datagrams over DTLS."""

    title = "an echo of datagrams (DTLS)"

    async def _listen(self, address: Address) -> aio.DatagramServer:
        return await aio.serve_datagram(
            self._answer,
            address.host or None,
            address.port,
            context=self._context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=GRACE_SECONDS,
        )

    async def _answer(self, link: aio.DatagramLink) -> None:
        self._served += 1
        peer, total = link.get_extra_info("peername"), 0
        self._tell(peer, facts_line(link.ssl))
        try:
            async for data in link:
                await link.send(data)
                total += len(data)
        except (Error, OSError) as error:
            self._tell(peer, reason(error))
        else:
            self._tell(peer, sent_back(total))


class ServingQUIC(Serving):
    """Connections over QUIC, each stream of which is served by a task."""

    def __init__(
        self, context: Context, console: Console, *, quiet: bool, reload: Callable[[], dict[str, Any]], service: Service
    ) -> None:
        super().__init__(context, console, quiet=quiet, reload=reload)
        self.title = f"{service.title} (QUIC)"
        self._service = service

    async def _listen(self, address: Address) -> aio.QUICServer:
        return await aio.serve_quic(
            self._answer,
            address.host or None,
            address.port,
            context=self._context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=GRACE_SECONDS,
        )

    async def _answer(self, conn: aio.QUICLink) -> None:
        self._served += 1
        peer, tasks = conn.get_extra_info("peername"), set[asyncio.Task[None]]()
        self._tell(peer, facts_line(conn.ssl))
        try:
            async for reader, writer in conn.streams():
                if reader is not None and writer is not None:
                    task = asyncio.create_task(self._stream(peer, reader, writer))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                elif reader is not None:
                    reader.stop_sending()  # nothing could be answered
        except Error as error:
            self._tell(peer, reason(error))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stream(
        self, peer: tuple[object, ...], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self._service.answer(reader, writer, lambda text: self._tell(peer, text))
            writer.write_eof()
        except (Error, OSError) as error:
            if not isinstance(error, ZeroReturn):
                self._tell(peer, reason(error))


class FailedHandshakes(logging.Handler):
    """Tells of the handshakes that failed: the library logs them with the peer and the error as arguments."""

    def __init__(self, tell: Callable[[tuple[object, ...] | None, str], object]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell in one line."""
        match record.args:
            case (tuple() | None as peer, BaseException() as error):
                self._tell(peer, f"no connection: {reason(error)}")
            case _:
                self._tell(None, record.getMessage())
