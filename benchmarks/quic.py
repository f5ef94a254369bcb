"""QUIC in memory beside aioquic and qh3: bulk on one stream, and handshakes; both sides' work added up.

Time is virtual, with a round trip of a millisecond. Everybody sends datagrams of at most 1200 bytes, protected by
AES-256-GCM, and verifies nothing but what it always does; windows do not hold anybody back. aioquic paces as it is
shipped and so do we; it makes smaller bursts of that, which is why it runs a second time with its pacing switched off.
Peers that are not installed are left out.
"""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.handshakes import repeated
from benchmarks.harness import Contestant, Goal, Race
from benchmarks.pairs import ALPN, NAME, SUITE, caesura_contexts, credential_files
from caesura import Method
from caesura.quic import QUICConnection

CHUNK = 256 * 1024  # bytes that one operation carries
MTU = 1200
WINDOW = 16 * 1024 * 1024
ROUND_TRIP = 0.001
CLIENT, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 443)

CAESURA = {
    "method": Method.QUIC,
    "ticket_count": 0,
    "sessions": None,
    "quic": {
        "mtu": MTU,
        "initial_max_data": WINDOW,
        "initial_max_stream_data_bidi_remote": WINDOW,
        "initial_max_stream_data_bidi_local": WINDOW,
    },
}


def installed(*names: str) -> tuple[str, ...]:
    return tuple(name for name in names if find_spec(name) is not None)


class Pair(ABC):
    """A client and a server of one implementation, and the wire between them."""

    def __init__(self, client: Any, server: Any) -> None:
        self.client = client
        self.server = server
        self.now = 1.0
        self.received = 0
        self._wire: deque[tuple[float, Any, list[bytes]]] = deque()

    # --- what differs ---

    @abstractmethod
    def write(self, data: bytes) -> None:
        """The client writes to the one stream."""

    @abstractmethod
    def look(self) -> None:
        """Take what has happened; count what the server has received."""

    @abstractmethod
    def connected(self) -> bool:
        """Whether the handshake is confirmed at the client."""

    @abstractmethod
    def deliver(self, side: Any, datagrams: list[bytes]) -> None:
        """Datagrams arrive."""

    @abstractmethod
    def due(self, side: Any) -> float | None:
        """When a side's timer expires."""

    @abstractmethod
    def expire(self, side: Any) -> None:
        """It has expired."""

    # --- what does not ---

    def step(self) -> None:
        """Everybody sends what may be sent; then the next thing happens."""
        for side, other in ((self.client, self.server), (self.server, self.client)):
            datagrams = [data for data, _addr in side.datagrams_to_send(self.now)]
            if datagrams:
                self._wire.append((self.now + ROUND_TRIP / 2, other, datagrams))
        due = {side: self.due(side) for side in (self.client, self.server)}
        moments = [moment for moment in due.values() if moment is not None]
        arrival = self._wire[0][0] if self._wire else None
        self.now = max(self.now, min(moments if arrival is None else [arrival, *moments]))
        if arrival is not None and arrival <= self.now:
            _, side, datagrams = self._wire.popleft()
            self.deliver(side, datagrams)
        else:
            for side, moment in due.items():
                if moment is not None and moment <= self.now:
                    self.expire(side)
        self.look()

    def connect(self) -> None:
        while not self.connected():
            self.step()

    def rest(self, seconds: float) -> None:
        """Go on until nothing happens any more, or so much time has passed."""
        end = self.now + seconds
        while self._wire or any(
            (moment := self.due(side)) is not None and moment <= end for side in (self.client, self.server)
        ):
            self.step()

    def transfer(self, count: int) -> None:
        """So many chunks, each of which has arrived before the next one is written."""
        chunk = bytes(CHUNK)
        for _ in range(count):
            goal = self.received + CHUNK
            self.write(chunk)
            while self.received < goal:
                self.step()


class Ours(Pair):
    def __init__(self, contexts: tuple[Any, Any]) -> None:
        client = QUICConnection(contexts[0], server_side=False, server_hostname=NAME, addr=SERVER)
        super().__init__(client, QUICConnection(contexts[1], server_side=True))
        client.advance(self.now)
        self._stream: int | None = None

    def write(self, data: bytes) -> None:
        if self._stream is None:
            self._stream = self.client.open_stream()
        self.client.write_stream(self._stream, data)

    def look(self) -> None:
        for side in (self.client, self.server):
            while (event := side.next_event()) is not None:
                if side is self.server and type(event).__name__ == "StreamReadable":
                    self.received += len(side.read_stream(event.stream_id)[0])

    def connected(self) -> bool:
        return bool(self.client.handshake_confirmed)

    def deliver(self, side: Any, datagrams: list[bytes]) -> None:
        side.receive_datagrams(datagrams, CLIENT if side is self.server else SERVER, self.now)

    def due(self, side: Any) -> float | None:
        moment: float | None = side.timeout()
        return moment

    def expire(self, side: Any) -> None:
        side.handle_timeout(self.now)


def configurations(package: str) -> tuple[Any, Any]:
    """A client's and a server's, of aioquic or of qh3, which has kept its shape."""
    configuration = import_module(f"{package}.quic.configuration").QuicConfiguration
    suite = import_module(f"{package}.tls").CipherSuite[SUITE.removeprefix("TLS_")]
    common = {"alpn_protocols": [ALPN], "max_datagram_size": MTU, "cipher_suites": [suite]}
    client = configuration(is_client=True, server_name=NAME, verify_mode=ssl.CERT_NONE, **common)
    server = configuration(is_client=False, max_data=WINDOW, max_stream_data=WINDOW, **common)
    for each in (client, server):
        if hasattr(each, "probe_datagram_size"):
            each.probe_datagram_size = False
    chain, key, _ = credential_files()
    server.load_cert_chain(chain, key)
    return client, server


def unpaced(connection: Any) -> None:
    """Switch the pacing of one of aioquic's connections off."""
    connection._loss._pacer.next_send_time = lambda now: None


class Theirs(Pair):
    """aioquic and qh3. The server is there once the first datagram is."""

    def __init__(self, package: str, configured: tuple[Any, Any], *, paced: bool = True) -> None:
        self._make = import_module(f"{package}.quic.connection").QuicConnection
        self._events = import_module(f"{package}.quic.events")
        client, self._serving = configured
        super().__init__(self._make(configuration=client), _Nobody())
        self.client.connect(SERVER, now=self.now)
        self._paced = paced
        self._confirmed = False
        self._stream: int | None = None

    def write(self, data: bytes) -> None:
        if self._stream is None:
            self._stream = self.client.get_next_available_stream_id()
        self.client.send_stream_data(self._stream, data)

    def look(self) -> None:
        for side in (self.client, self.server):
            while (event := side.next_event()) is not None:
                if isinstance(event, self._events.StreamDataReceived):
                    self.received += len(event.data)
                elif isinstance(event, self._events.HandshakeCompleted) and side is self.client:
                    self._confirmed = True

    def connected(self) -> bool:
        return self._confirmed

    def deliver(self, side: Any, datagrams: list[bytes]) -> None:
        if isinstance(side, _Nobody):
            if side is self.server:
                first = self.client.original_destination_connection_id
                self.server = self._make(configuration=self._serving, original_destination_connection_id=first)
                if not self._paced:
                    unpaced(self.client)
                    unpaced(self.server)
            side = self.server
        addr = CLIENT if side is self.server else SERVER
        for data in datagrams:
            side.receive_datagram(data, addr, self.now)

    def due(self, side: Any) -> float | None:
        moment: float | None = side.get_timer()
        return moment

    def expire(self, side: Any) -> None:
        side.handle_timer(self.now)


class _Nobody:
    """The server before its first datagram."""

    def datagrams_to_send(self, now: float) -> list[Any]:
        return []

    def get_timer(self) -> float | None:
        return None

    def next_event(self) -> None:
        return None


def contexts() -> tuple[Any, Any]:
    client, server = caesura_contexts(**CAESURA)
    return client, server


def maker(package: str, **options: Any) -> Callable[[], Pair]:
    """What makes pairs of a package, on contexts or configurations that are made once."""
    if package == "caesura":
        ours = contexts()
        return lambda: Ours(ours)
    theirs = configurations(package)
    return lambda: Theirs(package, theirs, **options)


def warm(pair: Pair) -> Callable[[int], None]:
    """Connected, and with windows that have opened."""
    pair.connect()
    pair.transfer(8)
    return pair.transfer


@contextmanager
def bulk_contestants() -> Iterator[Sequence[Contestant]]:
    found = [Contestant(name, warm(maker(name)())) for name in ("caesura", *installed("aioquic", "qh3"))]
    if installed("aioquic"):
        found.append(Contestant("aioquic, not paced", warm(maker("aioquic", paced=False)())))
    yield found


def connecting(package: str) -> Callable[[int], object]:
    """Makes a pair and connects it, again and again."""
    make = maker(package)
    return repeated(lambda: make().connect())


@contextmanager
def handshake_contestants() -> Iterator[Sequence[Contestant]]:
    yield [Contestant(name, connecting(name)) for name in ("caesura", *installed("aioquic", "qh3"))]


def goals(*wanted: Goal) -> tuple[Goal, ...]:
    """Those whose peers are there."""
    return tuple(goal for goal in wanted if installed(goal.against.partition(",")[0]))


ROWS = (
    Race(
        "quic-bulk",
        "QUIC: 256 KiB on one stream, datagrams of 1200 B",
        __name__,
        bulk_contestants,
        goals=goals(
            Goal("aioquic", 1 / 4, 1 / 6),
            Goal("aioquic, not paced", 1 / 2.5, 1 / 4),
            Goal("qh3", 1 / 0.65, 1 / 0.9),
        ),
        sample=0.02,
    ),
    Race(
        "quic-handshake",
        "QUIC: full handshake",
        __name__,
        handshake_contestants,
        goals=goals(Goal("aioquic", 1 / 1.5)),
        sample=0.05,  # some twenty handshakes: with two, it is the others' code in the caches that is measured
    ),
)
