"""`caesura connect`: a client, like `openssl s_client`.

Standard input goes to the server, what the server sends to standard output, and the handshake's facts to standard
error. The end of the input closes our direction (close_notify) and leaves the server's open; the command ends when the
server has closed its own. Over DTLS, what is read at a time is a datagram, and the server has some seconds to answer.
Over QUIC one stream carries both directions.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from caesura import aio
from caesura.cli.common import (
    Address,
    Misused,
    address_to_connect,
    load_psks,
    load_trust,
    told,
)
from caesura.cli.conversation import Conversation, Datagrams, QUICStream, Stream
from caesura.cli.facts import Connection, facts_table
from caesura.cli.options import (
    alpn_of,
    alpn_option,
    check_key,
    file_option,
    identity_of,
    identity_options,
    method_of,
    method_options,
)
from caesura.context import Context, Method, Verify
from caesura.errors import Error
from caesura.events import EarlyDataStatus
from caesura.sessions import Session

CLOSING = 5.0  # seconds in which a DTLS server may still answer when the input has ended
INTERRUPTED = 130  # the exit code of a program that SIGINT has ended


@click.command(short_help="Connect to a TLS, DTLS or QUIC server, like openssl s_client.")
@click.argument("address", metavar="HOST:PORT", type=address_to_connect)
@method_options(
    dtls="Speak DTLS over UDP: what is read at a time is sent as one datagram.",
    quic="Speak QUIC over UDP: one stream carries both directions.",
)
@file_option("--ca", help="Trust the certificates in FILE (PEM or DER), not the system's.")
@click.option(
    "--insecure", is_flag=True, help="Take any certificate. Whoever is in between can read and change everything."
)
@click.option(
    "--servername", metavar="NAME", help="The name the server has to prove, and is asked for (SNI).  [default: HOST]"
)
@alpn_option("Offer an application protocol; may be given several times.")
@identity_options(cert="Our certificate, if the server asks for one, with its chain (PEM).")
@file_option(
    "--psk",
    help="Offer the first pre-shared key in FILE (IDENTITY:KEY in hexadecimal). Without --ca, nothing else is taken.",
)
@click.option(
    "--session",
    "session_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Resume the session in FILE if there is one, and keep the newest there.",
)
@file_option(
    "--early-data",
    help="Send FILE with the first message. Anybody may copy that and send it again. Needs --session.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about the handshake.")
def connect(
    address: Address,
    dtls: bool,
    quic: bool,
    ca: Path | None,
    insecure: bool,
    servername: str | None,
    alpn: tuple[str, ...],
    cert: Path | None,
    key: Path | None,
    psk: Path | None,
    session_file: Path | None,
    early_data: Path | None,
    quiet: bool,
) -> None:
    """Connect to a TLS, DTLS or QUIC server, like openssl s_client.

    Standard input goes to the server, what it sends comes to standard output, and the facts of the handshake to
    standard error. At the end of the input our direction is closed; the command ends when the server closes its own.

    What --early-data holds goes out in front of standard input, if the session allows it and the server takes it. The
    facts say whether it got through; it is not sent a second time, except over QUIC.

    An IPv6 address stands in brackets: [::1]:443. The password of an encrypted key is asked for, or taken from the
    environment variable CAESURA_KEY_PASSWORD. SSLKEYLOGFILE names a file to which the secrets are logged, for
    Wireshark.

    The exit code is 0, or 1 if the connection or its handshake failed (a line says why, and names the alert), or 2 if
    the command was used in the wrong way.

    \b
    Examples:
      caesura connect example.org:443 --alpn http/1.1
      printf 'GET / HTTP/1.0\\r\\n\\r\\n' | caesura connect localhost:4433 --ca ca.pem
      caesura connect localhost:4433 --ca ca.pem --session last.session
      caesura connect localhost:4433 --ca ca.pem --dtls
      echo 'GET /' | caesura connect localhost:4433 --ca ca.pem --quic
    """
    method = method_of(dtls, quic)
    if ca is not None and insecure:
        raise click.UsageError("--ca and --insecure exclude each other.")
    if psk is not None and insecure:
        raise click.UsageError("--psk and --insecure exclude each other.")
    check_key(cert, key)
    if early_data is not None and session_file is None:
        raise click.UsageError("--early-data needs --session.")
    with told(str(address)):
        context = Context.client(
            method=method,
            trust=load_trust(ca) if ca is not None else None,
            verify=Verify.NONE if insecure else Verify.REQUIRED,
            identity=identity_of(cert, key),
            lookup_psk=first_of(load_psks(psk)) if psk is not None else None,
            alpn=alpn_of(alpn, method),
        )
        session = load_session(session_file) if session_file is not None else None
        early = early_data.read_bytes() if early_data is not None else None
        client = Client(address, servername or address.host, context, session, session_file, early)
        console = Console(stderr=True, highlight=False, quiet=quiet)
        try:
            asyncio.run(client.run(console))
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def first_of(keys: dict[bytes, bytes]) -> Callable[[bytes | None], tuple[bytes, bytes]]:
    """The `lookup_psk` of a client with one key."""
    first = next(iter(keys.items()))
    return lambda _identity: first


class Client:
    """One connection between the server and the standard streams."""

    def __init__(
        self,
        address: Address,
        name: str,
        context: Context,
        session: Session | None,
        session_file: Path | None,
        early_data: bytes | None,
    ) -> None:
        self._address = address
        self._name = name
        self._context = context
        self._session = session
        self._session_file = session_file
        self._early_data = early_data

    async def run(self, console: Console) -> None:
        """Connect, tell the facts, and carry bytes both ways until the server closes."""
        started = time.perf_counter()
        connection: Connection | None = None
        try:
            conversation = await self._open()
            connection = conversation.connection
            console.print(self._greeting(conversation, time.perf_counter() - started))
            console.print(facts_table(connection, self._verified(connection)))
            console.print()
            await conversation.carry()
        finally:
            self._keep_session(connection)

    async def _open(self) -> Conversation:
        host, port = self._address
        if self._context.method is Method.DTLS:
            link = await aio.connect_datagram(
                host,
                port,
                context=self._context,
                server_hostname=self._name,
                session=self._session,
                early_data=self._early_data,
                ssl_shutdown_timeout=CLOSING,
            )
            return Datagrams(link)
        if self._context.method is Method.QUIC:
            return await self._open_quic()
        reader, writer = await aio.open_connection(
            host,
            port,
            context=self._context,
            server_hostname=self._name,
            session=self._session,
            early_data=self._early_data,
        )
        return Stream(reader, writer)

    async def _open_quic(self) -> Conversation:
        early = self._early_data
        link = await aio.connect_quic(
            *self._address,
            context=self._context,
            server_hostname=self._name,
            session=self._session,
            early_data=early is not None,
        )
        reader, writer = await link.open_stream()
        assert reader is not None
        assert writer is not None
        if early is not None:
            writer.write(early)
            await link.wait_handshake()
            if link.ssl.early_data_status is EarlyDataStatus.REJECTED:  # the stream went with it
                reader, writer = await link.open_stream()
                assert reader is not None
                assert writer is not None
                writer.write(early)
        return QUICStream(link, reader, writer)

    def _greeting(self, conversation: Conversation, seconds: float) -> Text:
        where = Address(*conversation.peername)
        return Text.assemble(("connected", "bold green"), f" to {self._name} at {where} in {seconds * 1000:.0f} ms")

    def _verified(self, connection: Connection) -> Text:
        if self._context.verify is Verify.NONE:
            return Text("no: --insecure takes any certificate", style="bold red")
        when = " when the session was made" if connection.session_reused else ""
        if connection.psk_identity is not None:
            return Text(f"yes, by the pre-shared key{when}", style="green")
        return Text(f"yes, as {self._name}{when}", style="green")

    def _keep_session(self, connection: Connection | None) -> None:
        """Write the newest session; forget the one that has been offered, for a ticket is used once."""
        if self._session_file is None:
            return
        if connection is not None and connection.session is not None:
            save_session(self._session_file, connection.session)
        elif self._session is not None and not self._session.resumable:
            self._session_file.unlink(missing_ok=True)


def load_session(path: Path) -> Session | None:
    """The session in the file; None if there is no such file."""
    try:
        return Session.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except Error as error:
        raise Misused(f"--session: {click.format_filename(path)} holds no session of this release: {error}") from error


def save_session(path: Path, session: Session) -> None:
    """Replace the file by one that holds this session, and that nobody but its owner can read."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(session.to_bytes())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
