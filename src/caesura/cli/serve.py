"""`caesura serve`: a server that sends back what it receives, or files; like `openssl s_server`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import click
from rich.console import Console
from rich.text import Text

from caesura import aio
from caesura.cli.common import (
    Address,
    address_to_listen,
    load_identity,
    load_psks,
    load_trust,
    readable_file,
    reason,
    told,
)
from caesura.cli.facts import facts_line
from caesura.cli.www import (
    MAX_HEAD,
    Found,
    Refused,
    Request,
    find,
    found_headers,
    parse_plain_request,
    parse_request,
    refusal,
    response_head,
)
from caesura.context import QUIC_EARLY_DATA, Context, Method, Verify
from caesura.crypto.certificates import printable
from caesura.errors import ConfigError, Error, ZeroReturn

AnyServer: TypeAlias = aio.Server | aio.DatagramServer | aio.QUICServer

QUIC_ALPN = ("hq-interop",)  # QUIC needs an application protocol
CHUNK = 65_536  # bytes read at a time
REQUEST_SECONDS = 10.0  # for a whole request to arrive
STALL_SECONDS = 60.0  # in which a client must take something of what it is sent
HANDSHAKE_SECONDS = 30.0
SHUTDOWN_SECONDS = 30.0  # for the rest to be sent, and the client's close_notify to come
GRACE_SECONDS = 1.0  # for all of that when the server ends


@click.command(short_help="Serve TLS, DTLS or QUIC: an echo, or files over HTTP.")
@click.argument("address", metavar="HOST:PORT", type=address_to_listen)
@click.option("--dtls", is_flag=True, help="Serve DTLS on a UDP port; only an echo, of each datagram.")
@click.option("--quic", is_flag=True, help="Serve QUIC on a UDP port: an echo of each stream, or files (hq-interop).")
@click.option(
    "--cert",
    type=readable_file(),
    metavar="FILE",
    help="The server's certificate, with its chain (PEM). Needed, unless there is --psk.",
)
@click.option("--key", type=readable_file(), metavar="FILE", help="Its private key.  [default: in the file of --cert]")
@click.option(
    "--alpn",
    multiple=True,
    metavar="PROTOCOL",
    help="An application protocol, the preferred one first; may be given several times.",
)
@click.option(
    "--client-ca",
    type=readable_file(),
    metavar="FILE",
    help="Ask clients for a certificate of a CA in FILE, and refuse those without.",
)
@click.option(
    "--max-early-data",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="BYTES",
    help="Take that much of what a client that resumes sends with its first message.  [default: 0, none]",
)
@click.option(
    "--psk",
    type=readable_file(),
    metavar="FILE",
    help="Take the pre-shared keys in FILE too: in each line IDENTITY:KEY, the key in hexadecimal.",
)
@click.option("--echo", is_flag=True, help="Send back what comes (the default).")
@click.option(
    "--www",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Answer HTTP/1.0 GET and HEAD (with --quic HTTP/0.9 GET) with the files beneath DIR.",
)
@click.option("--quiet", "-q", is_flag=True, help="Do not tell of connections.")
def serve(
    address: Address,
    dtls: bool,
    quic: bool,
    cert: Path | None,
    key: Path | None,
    alpn: tuple[str, ...],
    client_ca: Path | None,
    max_early_data: int,
    psk: Path | None,
    echo: bool,
    www: Path | None,
    quiet: bool,
) -> None:
    """Serve TLS, DTLS or QUIC: an echo, or files over HTTP.

    Standard error tells where the server listens (port 0 chooses a free one; an empty host stands for every address of
    the machine) and tells of each connection. Ctrl-C ends it; SIGHUP makes it read its certificate and its keys again,
    for connections from then on.

    Everything beneath the directory of --www can be read by whoever can connect. Symbolic links that lead out of it are
    not followed.

    Early data is answered once the handshake is complete: then it is no copy that somebody has made.

    The password of an encrypted key is asked for, or taken from the environment variable CAESURA_KEY_PASSWORD.

    \b
    Examples:
      caesura serve localhost:4433 --cert server.pem --key server.key
      caesura serve '[::1]:0' --cert server.pem --www public --alpn http/1.0
      caesura serve :443 --cert server.pem --key server.key --client-ca staff.pem
      caesura serve localhost:4433 --cert server.pem --key server.key --dtls
      caesura serve localhost:4433 --cert server.pem --key server.key --quic --www public
    """
    if echo and www is not None:
        raise click.UsageError("--echo and --www exclude each other.")
    if dtls and quic:
        raise click.UsageError("--dtls and --quic exclude each other.")
    if dtls and www is not None:
        raise click.UsageError("--dtls and --www exclude each other: HTTP needs a stream.")
    if dtls and max_early_data:
        raise click.UsageError("--dtls and --max-early-data exclude each other: DTLS takes no early data here.")
    if cert is None and psk is None:
        raise click.UsageError("--cert or --psk is needed.")
    if key is not None and cert is None:
        raise click.UsageError("--key needs --cert.")

    def credentials() -> dict[str, Any]:
        return {
            "identity": load_identity(cert, key) if cert is not None else None,
            "lookup_psk": among(load_psks(psk)) if psk is not None else None,
        }

    with told(str(address)):
        context = Context.server(
            method=Method.DTLS if dtls else Method.QUIC if quic else Method.TLS,
            **credentials(),
            alpn=alpn or (QUIC_ALPN if quic else ()),
            trust=load_trust(client_ca) if client_ca is not None else None,
            verify=Verify.REQUIRED if client_ca is not None else Verify.NONE,
            max_early_data=QUIC_EARLY_DATA if quic and max_early_data else max_early_data,
        )
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        serving: Serving
        if dtls:
            serving = ServingDatagrams(context, console, quiet=quiet, reload=credentials)
        elif quic:
            per_stream: Service = PlainFiles(www) if www is not None else Echo()
            serving = ServingQUIC(context, console, quiet=quiet, reload=credentials, service=per_stream)
        else:
            service: Service = Files(www) if www is not None else Echo()
            serving = ServingStreams(context, console, quiet=quiet, reload=credentials, service=service)
        asyncio.run(serving.run(address))


def among(keys: dict[bytes, bytes]) -> Callable[[bytes], tuple[bytes, bytes] | None]:
    """The `lookup_psk` of a server that knows these keys."""
    return lambda identity: (identity, keys[identity]) if identity in keys else None


class Service(Protocol):
    """What is done with a connection."""

    title: str

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Serve one client until it is done; `tell` is for what an operator wants to know."""


class Echo:
    """Sends back what comes, and ends when the client does."""

    title = "an echo"

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Send everything back."""
        total = 0
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
            total += len(data)
        tell(sent_back(total))


def sent_back(total: int) -> str:
    """How much that was, for who reads along."""
    return f"{total:,} {'byte' if total == 1 else 'bytes'} sent back"


class Files:
    """Answers one HTTP/1.0 request for a file."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.title = f"the files in {printable(str(root))}"

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Read a request, and send the file or what is wrong with the request."""
        line = "no request"
        try:
            head = await read_head(reader)
            line = head.splitlines()[0].decode("latin-1")
            request = parse_request(head)
            found = await asyncio.to_thread(find, self._root, request)
        except Refused as refused:
            tell(f"{line}: {refused.status.value} {refused.status.phrase}")
            writer.write(refusal(refused, time.time()))
            return
        tell(f"{line}: {found.size:,} bytes")
        with found.file:
            await send_file(writer, request, found)


class PlainFiles:
    """Answers one HTTP/0.9 request on each stream: the file and nothing else, or a reset if there is none."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.title = f"the files in {printable(str(root))}"

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Read a request, and send the file."""
        line = b""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as rest:  # the end of the stream ends the request too
            line = rest.partial
        except (TimeoutError, asyncio.LimitOverrunError):
            tell("no request")
            writer.transport.abort()
            return
        shown = line.rstrip().decode("latin-1")
        try:
            found = await asyncio.to_thread(find, self._root, parse_plain_request(line))
        except Refused as refused:
            tell(f"{shown}: {refused.status.phrase}")
            writer.transport.abort()
            return
        tell(f"{shown}: {found.size:,} bytes")
        with found.file:
            await send_content(writer, found)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Request line and headers; Refused when they are too long, too slow, or do not come."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            head = b""
            while b"\r\n\r\n" not in head and b"\n\n" not in head:
                data = await reader.read(MAX_HEAD + 1 - len(head))
                if not data:
                    raise Refused(HTTPStatus.BAD_REQUEST)
                head += data
                if len(head) > MAX_HEAD:
                    raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return head
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None


async def send_file(writer: asyncio.StreamWriter, request: Request, found: Found) -> None:
    """Send a file as it was when it was opened: what it has grown since is left out."""
    writer.write(response_head(HTTPStatus.OK, found_headers(found), time.time()))
    if request.method == "GET":
        await send_content(writer, found)


async def send_content(writer: asyncio.StreamWriter, found: Found) -> None:
    """Send what is in it."""
    left = found.size
    while left and (data := await asyncio.to_thread(found.file.read, min(left, CHUNK))):
        writer.write(data)
        left -= len(data)
        async with asyncio.timeout(STALL_SECONDS):
            await writer.drain()


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

    @abstractmethod
    async def _dismiss(self, server: AnyServer) -> None:
        """End what is under way: with close_notify while there is time for it."""

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

    async def _dismiss(self, server: AnyServer) -> None:
        await server.wait_closed()

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

    async def _dismiss(self, server: AnyServer) -> None:
        await server.wait_closed()

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
