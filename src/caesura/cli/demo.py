"""`caesura demo`: what pausing is worth, measured on this machine and drawn.

A server and its clients share one process, one thread and one event loop, and speak TLS 1.3, then DTLS 1.3, then QUIC,
over loopback. The server's private key "lives in an HSM": each signature takes its time to come back. The same work is
done three times. First the handshakes pause while they wait (a `DelayEngine` stands for the HSM); then the signer
blocks, as it would behind an API that has no other way; then the key is in memory, which shows what the processor
allows. At last a handshake is traced, in which both sides have their keys in the HSM and the server decides by
coroutines, and is drawn; then one over QUIC, where acknowledgments go on during the pauses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from caesura import aio
from caesura.cli.common import told
from caesura.cli.timeline import DIM, PAUSED, Timeline
from caesura.context import ClientHelloInfo, Context, Identity, Method, PeerChain, TraceEvent, TrustStore, Verify
from caesura.crypto.selfsigned import Authority
from caesura.crypto.signatures import SigningKey
from caesura.engines import DelayEngine, Operation
from caesura.wire.registries import SignatureScheme

HOST = "127.0.0.1"
NAME = "localhost"
GREETING = b"a line there and back\n"
NOTICEABLE = 1.2  # a factor below it is not worth a sentence
GAIN = "bold green"

ROUNDS = 3  # at most, with at least two visits for each client that is there at a time
PAUSING, BLOCKING, IN_MEMORY = "pausing", "blocking", "key in memory"
REFRESH = 0.1  # seconds between two drawings of the progress bar
BEAT = 0.001  # seconds between two looks at whether the loop comes round
LEAST = 0.001  # seconds: a timeout cannot be none


@click.command(short_help="Handshakes that pause, measured and drawn.")
@click.option("--clients", default=300, show_default=True, type=click.IntRange(1, 100_000), help="How many come.")
@click.option(
    "--delay",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, 1000),
    metavar="MS",
    help="Milliseconds that the HSM takes for a signature.",
)
@click.option(
    "--concurrency",
    default=32,
    show_default=True,
    type=click.IntRange(1, 400),
    help="How many clients are there at a time.",
)
def demo(clients: int, delay: float, concurrency: int) -> None:
    """Show what it is worth that a handshake can pause.

    A server and its clients, in one process and on one event loop, perform real handshakes of TLS 1.3, DTLS 1.3 and
    QUIC over loopback. The server's private key is in an HSM, simulated by a delay, that takes its time for each
    signature. The same work is done with handshakes that pause meanwhile, with a signer that blocks, and with a key in
    memory; the figures stand side by side. Then a handshake of TLS and one of QUIC are drawn on a time axis, with their
    messages and their pauses.
    """
    with told():
        asyncio.run(perform(Console(highlight=False), Plan(clients, delay / 1000, concurrency)))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is to be done: `delay` is the HSM's time for a signature, in seconds."""

    clients: int
    delay: float
    concurrency: int


@dataclass(slots=True)
class Outcome:
    """What one run, or several, came to."""

    handshakes: int = 0
    pauses: int = 0
    seconds: float = 0.0
    longest_stall: float = 0.0  # seconds

    def add(self, other: Outcome) -> None:
        """Count another run too."""
        self.handshakes += other.handshakes
        self.pauses += other.pauses
        self.seconds += other.seconds
        self.longest_stall = max(self.longest_stall, other.longest_stall)

    @property
    def rate(self) -> float:
        """Handshakes per second."""
        return self.handshakes / self.seconds


class BlockingKey:
    """A key in an HSM behind an interface that can only block."""

    def __init__(self, key: SigningKey, delay: float) -> None:
        self._key = key
        self._delay = delay
        self.schemes = key.schemes

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """Wait for the HSM, and everything else waits too."""
        time.sleep(self._delay)
        signature: bytes = self._key.sign(scheme, message)
        return signature


class Heartbeat:
    """Measures the longest time in which the event loop did not come round, and lets the progress bar be drawn."""

    def __init__(self, draw: Callable[[], object]) -> None:
        self.longest_stall = 0.0
        self._draw = draw
        self._loop = asyncio.get_running_loop()
        self._drawn = self._loop.time()
        self._due = self._drawn + BEAT
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        self.longest_stall = max(self.longest_stall, now - self._due)
        if now - self._drawn >= REFRESH:
            self._draw()
            self._drawn = now = self._loop.time()  # what drawing costs is nobody's stall
        self._due = now + BEAT
        self._timer = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        """Stop measuring."""
        self._timer.cancel()


class PauseCounter:
    """Counts the operations that pause: once each, however often they are resumed before they are done."""

    def __init__(self) -> None:
        self.count = 0
        self._last = ""

    def trace(self, event: TraceEvent) -> None:
        """Take an event of `Context.trace`."""
        self.count += event.kind == "paused" and self._last == "started"
        self._last = event.kind


class Bar:
    """One line of the progress display, and its stopwatch."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, seconds=0.0)
        self._spent = 0.0
        self._started = 0.0

    def start(self) -> None:
        """The time runs."""
        self._started = time.perf_counter()

    def stop(self) -> float:
        """The time stands still; the seconds since it was started."""
        seconds = time.perf_counter() - self._started
        self._spent += seconds
        self._started += seconds
        self.draw()
        return seconds

    def advance(self) -> None:
        """One more is done. It is not drawn yet."""
        self._progress.advance(self._task)

    def draw(self) -> None:
        """Draw the whole display."""
        seconds = self._spent + time.perf_counter() - self._started
        self._progress.update(self._task, seconds=seconds)
        self._progress.refresh()


class Transport(Protocol):
    """What the handshakes travel on."""

    name: str
    method: Method
    settings: Mapping[str, Any]
    """Of both sides' contexts, beside those that are the same for all."""

    async def listen(self, context: Context) -> aio.Server | aio.DatagramServer | aio.QUICServer:
        """A server that sends back one line to each client."""

    async def visit(self, port: int, context: Context) -> None:
        """A client: a handshake, and one line that has to come back."""


class Streams:
    """TLS over TCP."""

    name = "TLS 1.3"
    method = Method.TLS
    settings: Mapping[str, Any] = {}

    async def listen(self, context: Context) -> aio.Server:
        """Serve."""
        return await aio.start_server(greet, HOST, 0, context=context)

    async def visit(self, port: int, context: Context) -> None:
        """Connect, exchange a line, close."""
        await exchange_greetings(*await aio.open_connection(HOST, port, context=context, server_hostname=NAME))


class Datagrams:
    """DTLS over UDP."""

    name = "DTLS 1.3"
    method = Method.DTLS
    settings: Mapping[str, Any] = {}

    async def listen(self, context: Context) -> aio.DatagramServer:
        """Serve."""
        return await aio.serve_datagram(greet_link, HOST, 0, context=context)

    async def visit(self, port: int, context: Context) -> None:
        """Connect, exchange a line, close. A line that gets lost is sent again."""
        async with await aio.connect_datagram(HOST, port, context=context, server_hostname=NAME) as link:
            answer = b""
            while not answer:
                await link.send(GREETING)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        answer = await link.recv()
        check_greeting(answer)


class QUICStreams:
    """QUIC, over UDP."""

    name = "QUIC"
    method = Method.QUIC
    settings: Mapping[str, Any] = {"alpn": "demo"}

    async def listen(self, context: Context) -> aio.QUICServer:
        """Serve."""
        return await aio.serve_quic(greet_streams, HOST, 0, context=context)

    async def visit(self, port: int, context: Context) -> None:
        """Connect, exchange a line, close. Who has nothing more to say need not wait for packets that come late."""
        connecting = aio.connect_quic(HOST, port, context=context, server_hostname=NAME, ssl_shutdown_timeout=LEAST)
        async with await connecting as link:
            reader, writer = await link.open_stream()
            assert reader is not None
            assert writer is not None
            await exchange_greetings(reader, writer)


TLS, DTLS, QUIC = Streams(), Datagrams(), QUICStreams()
TRANSPORTS: Sequence[Transport] = (TLS, DTLS, QUIC)


async def run(plan: Plan, clients: int, transport: Transport, server: Context, client: Context, bar: Bar) -> Outcome:
    """Some of the clients of a plan against one server."""
    pauses = PauseCounter()
    server.trace = pauses.trace
    async with await transport.listen(server) as listening:
        port = listening.sockets[0].getsockname()[1]
        visits = iter(range(clients))

        async def visit() -> None:
            for _ in visits:
                await transport.visit(port, client)
                bar.advance()

        heartbeat = Heartbeat(bar.draw)
        bar.start()
        await asyncio.gather(*(visit() for _ in range(min(plan.concurrency, clients))))
        seconds = bar.stop()
        heartbeat.stop()
    return Outcome(clients, pauses.count, seconds, heartbeat.longest_stall)


async def run_all(
    plan: Plan, transport: Transport, servers: Sequence[Context], client: Context, bars: Sequence[Bar]
) -> list[Outcome]:
    """A whole plan against each of the servers, in turns, so that whatever else the machine does falls upon all."""
    rounds = max(1, min(ROUNDS, plan.clients // (2 * plan.concurrency)))
    outcomes = [Outcome() for _ in servers]
    for number in range(rounds):
        clients = plan.clients * (number + 1) // rounds - plan.clients * number // rounds
        for outcome, server, bar in zip(outcomes, servers, bars, strict=True):
            outcome.add(await run(plan, clients, transport, server, client, bar))
    return outcomes


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server: one line, sent back."""
    writer.write(await reader.readline())
    writer.close()


async def greet_link(link: aio.DatagramLink) -> None:
    """The same over DTLS."""
    await link.send(await link.recv())


async def greet_streams(link: aio.QUICLink) -> None:
    """The same on each stream of a QUIC connection."""
    async for reader, writer in link.streams():
        if reader is not None and writer is not None:
            await greet(reader, writer)


async def exchange_greetings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The client: one line, which has to come back."""
    writer.write(GREETING)
    check_greeting(await reader.readline())
    writer.close()


def check_greeting(answer: bytes) -> None:
    """Insist that it has come back."""
    if answer != GREETING:
        raise click.ClickException("the server did not send back what it was sent")


async def trace_one(
    transport: Transport, trust: TrustStore, server: Identity, client: Identity, delay: float
) -> Timeline:
    """One handshake with both keys in the HSM, in which the server decides by coroutines."""
    events: list[TraceEvent] = []
    hsm = DelayEngine(delay, operations={Operation.SIGN})

    async def choose(_hello: ClientHelloInfo) -> Identity:
        await asyncio.sleep(delay / 2)
        return server

    async def judge(_chain: PeerChain) -> bool:
        await asyncio.sleep(delay / 2)
        return True

    accepting = Context.server(
        method=transport.method,
        select_identity=choose,
        verify_peer=judge,
        verify=Verify.REQUIRED,
        trust=trust,
        engine=hsm,
        ticket_count=0,
        trace=events.append,
        **transport.settings,
    )
    connecting = Context.client(
        method=transport.method,
        identity=client,
        trust=trust,
        engine=hsm,
        sessions=None,
        trace=events.append,
        **transport.settings,
    )
    async with await transport.listen(accepting) as listening:
        await transport.visit(listening.sockets[0].getsockname()[1], connecting)
    return Timeline(events)


# --- on the terminal ----------------------------------------------------------------------------------------------


async def perform(console: Console, plan: Plan) -> None:
    """The whole demonstration."""
    now = datetime.now(UTC)
    authority = Authority.create("Caesura demonstration CA", now)
    identity = authority.issue("the server", [NAME, HOST], now=now)
    trust = TrustStore.load(authority.pem)
    say(console, introduction(plan))
    results: dict[str, list[Outcome]] = {}
    with progress_display(console) as progress:
        for transport in TRANSPORTS:
            client = Context.client(method=transport.method, trust=trust, sessions=None, **transport.settings)
            servers = servers_of(transport, identity, plan.delay)
            bars = [Bar(progress, f"{transport.name}, {title}", plan.clients) for title in servers]
            results[transport.name] = await run_all(plan, transport, tuple(servers.values()), client, bars)
    if console.is_terminal:
        console.print()
    say(console, comparison((PAUSING, BLOCKING, IN_MEMORY), results))
    say(console, conclusion(*together(results.values())))
    visitor = authority.issue("the client", now=now)
    for transport, words in ((TLS, caption()), (QUIC, quic_caption())):
        timeline = await trace_one(transport, trust, identity, visitor, plan.delay)
        say(console, words)
        say(console, timeline)
        console.print(legend(timeline))
        if transport is not QUIC:
            console.print()


def servers_of(transport: Transport, identity: Identity, delay: float) -> dict[str, Context]:
    """The three servers whose work is compared."""
    hsm = DelayEngine(delay, operations={Operation.SIGN})
    blocking = replace(identity, key=BlockingKey(identity.key, delay))
    same = {"method": transport.method, "ticket_count": 0, **transport.settings}
    return {
        PAUSING: Context.server(identity=identity, engine=hsm, **same),
        BLOCKING: Context.server(identity=blocking, **same),
        IN_MEMORY: Context.server(identity=identity, **same),
    }


def together(results: Iterable[Sequence[Outcome]]) -> list[Outcome]:
    """The outcomes of all transports, added up for each server."""
    sums = [Outcome(), Outcome(), Outcome()]
    for outcomes in results:
        for each, outcome in zip(sums, outcomes, strict=True):
            each.add(outcome)
    return sums


def say(console: Console, what: RenderableType) -> None:
    """Print something, and an empty line."""
    console.print(what)
    console.print()


def introduction(plan: Plan) -> Text:
    """What is about to happen."""
    coming = f"{plan.clients:,} clients come, {min(plan.clients, plan.concurrency)} at a time; each"
    return Text.assemble(
        "A server and its clients share one thread and one event loop, and speak TLS 1.3, then DTLS 1.3, then QUIC, "
        "over loopback. The server's private key is in an HSM (simulated), which takes ",
        (f"{plan.delay * 1000:g} ms", f"bold {PAUSED}"),
        f" for a signature. {coming if plan.clients > 1 else 'One client comes, and'} "
        "performs a full handshake and exchanges a line of text.",
    )


class Seconds(ProgressColumn):
    """How long the work of a line has taken, to a tenth of a second."""

    def render(self, task: Task) -> Text:
        """The seconds its bar has told."""
        return Text(f"{task.fields['seconds']:.1f} s", style=DIM)


def progress_display(console: Console) -> Progress:
    """The bars, drawn when told so; nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, complete_style=PAUSED, finished_style=PAUSED),
        MofNCompleteColumn(),
        Seconds(),
        console=console,
        auto_refresh=False,
        expand=True,
        disable=not console.is_terminal,
    )


ROWS: Sequence[tuple[str, Callable[[Outcome], str]]] = (
    ("handshakes", lambda outcome: f"{outcome.handshakes:,}"),
    ("pauses", lambda outcome: f"{outcome.pauses:,}"),
    ("seconds", lambda outcome: f"{outcome.seconds:.2f}"),
    ("handshakes per second", lambda outcome: f"{outcome.rate:,.0f}"),
    ("longest stall of the event loop", lambda outcome: f"{outcome.longest_stall * 1000:,.0f} ms"),
)


def comparison(titles: Sequence[str], results: Mapping[str, Sequence[Outcome]]) -> Table:
    """The runs side by side, one transport below the other."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    for title in titles:
        table.add_column(title, justify="right", style="bold" if title is PAUSING else "")
    for transport, outcomes in results.items():
        table.add_row(Text(transport, style="bold"))
        for name, show in ROWS:
            table.add_row(f"  {name}", *map(show, outcomes))
    return table


def conclusion(pausing: Outcome, blocking: Outcome, _in_memory: Outcome) -> Text:
    """What the figures say."""
    rate, stall = pausing.rate / blocking.rate, blocking.longest_stall / pausing.longest_stall
    if rate < NOTICEABLE:
        return Text("With so short a delay, or so few clients at a time, there is little to be gained by pausing.")
    words = Text.assemble("Pausing brings ", (f"{rate:.1f} times", GAIN), " the handshakes that blocking does")
    if stall >= NOTICEABLE:
        words.append_text(Text.assemble(", and the loop's longest stall is ", (f"{stall:.1f} times", GAIN), " shorter"))
    return words.append(".")


def caption() -> Text:
    """What the drawing shows."""
    return Text.assemble(
        ("One handshake", "bold"),
        " with certificates on both sides. Both keys are in the HSM; the server chooses its certificate, and judges "
        "the client's, by coroutines that ask elsewhere.",
    )


def quic_caption() -> Text:
    """What is different over QUIC."""
    return Text.assemble(
        ("The same over QUIC.", "bold"),
        " The handshake pauses, the connection does not: what comes is read and acknowledged at once. A client that "
        "hears nothing more asks whether anybody is there (Ping), and is told (Ack).",
    )


def legend(timeline: Timeline) -> Text:
    """How the drawing is to be read."""
    return Text.assemble(
        (f"{timeline.seconds * 1000:.1f} ms", "bold"),
        ", of which ",
        (f"{timeline.paused * 1000:.1f} ms", f"bold {PAUSED}"),
        " were pauses: meanwhile the event loop was free for everybody else.",
    )
