"""`caesura bench`: the repository's benchmarks where they are, or else a few figures taken in memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

import caesura
from caesura.context import Context, TrustStore
from caesura.crypto.selfsigned import Authority
from caesura.tls import TLSConnection
from caesura.wire.records import MAX_PLAINTEXT

SECONDS = 0.7  # for each figure
NAME = "localhost"
CONDITIONS = "TLS 1.3, X25519MLKEM768, AES-128-GCM, ECDSA on P-256; one thread does the work of both sides."
ROUNDS = 5
MEGA = 1_000_000


@click.command(
    short_help="Measure handshakes and throughput on this machine.", context_settings={"ignore_unknown_options": True}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure handshakes and throughput on this machine.

    In a checkout of the repository this runs its benchmarks, which compare Caesura with other libraries, and hands them
    ARGUMENTS (as in `caesura bench --only handshake`). Installed from a package, it takes a few figures by itself, in
    some five seconds: client and server in memory, on one thread, without a network.
    """
    root = checkout()
    if root is not None:
        command = [sys.executable, "-m", "benchmarks", *arguments]
        raise click.exceptions.Exit(subprocess.call(command, cwd=root))  # noqa: S603 - our own program
    if arguments:
        raise click.UsageError("There are no benchmarks here to hand these to: " + " ".join(arguments))
    console = Console(highlight=False)
    with console.status("measuring"):
        table = measure_all(Sides(), SECONDS)
    console.print(table)
    console.print()
    console.print(CONDITIONS, style="dim")


def checkout() -> Path | None:
    """The repository this package is run from, if it is run from one that has benchmarks."""
    source = Path(caesura.__file__).resolve().parent.parent
    root = source.parent
    found = (
        source.name == "src" and (root / "pyproject.toml").is_file() and (root / "benchmarks" / "__main__.py").is_file()
    )
    return root if found else None


class Sides:
    """A client's and a server's context, with a key on P-256."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        authority = Authority.create("Caesura benchmark CA", now)
        trust = TrustStore.load(authority.pem)
        self.server = Context.server(identity=authority.issue("the server", [NAME], now=now), keylog=None)
        self.resuming = Context.client(trust=trust, keylog=None)
        self.remembering = Context.client(trust=trust, sessions=None, keylog=None)
        self.forgetting = Context.client(trust=trust, sessions=None, verification_cache=None, keylog=None)

    def handshake(self, client: Context) -> tuple[TLSConnection, TLSConnection]:
        """A complete handshake; both sides of it."""
        ends = (
            TLSConnection(client, server_side=False, server_hostname=NAME),
            TLSConnection(self.server, server_side=True),
        )
        for end in ends:
            end.advance(0.0)
        while carry(*ends) | carry(*reversed(ends)):
            pass
        for end in ends:
            if end.error is not None:
                raise end.error
        return ends


def carry(sender: TLSConnection, receiver: TLSConnection) -> bool:
    """Carry what one side has to send to the other; whether it was anything."""
    data = sender.data_to_send(0.0)
    if data:
        receiver.receive_data(data, 0.0)
    while receiver.next_event() is not None:
        pass
    return bool(data)


def measure_all(sides: Sides, seconds: float) -> Table:
    """All figures as a table; so many seconds are spent on each."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("", "each", "per second"):
        table.add_column(title, justify="right" if title else "left")
    for title, client in (
        ("full handshake", sides.forgetting),
        ("full handshake, the chain's verification cached", sides.remembering),
        ("resumed handshake", sides.resuming),
    ):
        each = measure(partial(sides.handshake, client), seconds)
        table.add_row(title, f"{each * 1e3:.2f} ms", f"{1 / each:,.0f}")
    for size in (MAX_PLAINTEXT, 64):
        each = measure(one_record(*sides.handshake(sides.remembering), bytes(size)), seconds)
        rate = f"{size / each / MEGA:,.0f} MB" if size == MAX_PLAINTEXT else f"{1 / each:,.0f}"
        table.add_row(f"record of {size:,} bytes, sealed and opened", f"{each * 1e6:.1f} µs", rate)
    return table


def one_record(client: TLSConnection, server: TLSConnection, data: bytes) -> Callable[[], object]:
    """A function that sends one record from the client to the server."""

    def send() -> None:
        client.write(data)
        server.receive_data(client.data_to_send(0.0), 0.0)
        if len(server.read()) != len(data):
            raise click.ClickException("a record did not arrive")

    return send


def measure(function: Callable[[], object], seconds: float) -> float:
    """Seconds of one call, the median of several rounds."""
    function()
    started = time.perf_counter()
    function()
    calls = max(1, int(seconds / ROUNDS / max(time.perf_counter() - started, 1e-9)))
    return sorted(_round(function, calls) for _ in range(ROUNDS))[ROUNDS // 2]


def _round(function: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - started) / calls
