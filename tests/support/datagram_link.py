"""Two DTLS connections and the network between them, on virtual time: it delays, loses, doubles, swaps and damages.

`run()` jumps from one thing that happens to the next: a datagram that arrives, a timer that expires. What the network
does is decided by a `Network`, by seed or by hand. Nothing sleeps, and nothing depends on the clock on the wall.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from caesura.context import Context
from caesura.dtls import DTLSConnection, DTLSListener
from caesura.engines import HANDSHAKE_OPERATIONS, Operation, Work
from caesura.events import DataReceived, Event
from caesura.jobs import Completion, Pending

CLIENT, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 443)


@dataclass
class Network:
    """A network that does nothing but take `delay` seconds for each datagram."""

    delay: float = 0.01

    def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
        """What arrives, and how many seconds later. `number` counts the datagrams of both directions."""
        return [(self.delay, datagram)]


@dataclass
class Lossy(Network):
    """A network that misbehaves by seed; the figures are probabilities."""

    seed: int = 0
    loss: float = 0.15
    reordering: float = 0.20
    duplication: float = 0.10
    corruption: float = 0.0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
        dice = self.dice
        copies = 2 if dice.random() < self.duplication else 1
        arriving = []
        for _ in range(copies):
            late = dice.uniform(1, 5) * self.delay if dice.random() < self.reordering else 0.0
            data = self._damaged(datagram) if dice.random() < self.corruption else datagram
            if dice.random() >= self.loss:
                arriving.append((self.delay + late, data))
        return arriving

    def _damaged(self, datagram: bytes) -> bytes:
        damaged = bytearray(datagram)
        damaged[self.dice.randrange(len(damaged))] ^= 1 << self.dice.randrange(8)
        return bytes(damaged)


@dataclass
class ByHand(Network):
    """A network whose doings are written down: datagram number -> what is done with it."""

    acts: dict[int, Callable[[bytes], list[tuple[float, bytes]]]] = field(default_factory=dict)

    def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
        act = self.acts.get(number)
        return super().carry(number, to_server, datagram) if act is None else act(datagram)


@dataclass
class Sent:
    """One datagram, when and by whom it was sent."""

    at: float
    by_client: bool
    data: bytes


class DatagramLink:
    """A client, a server, a network, and a clock. Behind a listener the server is there once it is accepted."""

    def __init__(
        self,
        client: DTLSConnection,
        server: DTLSConnection | DTLSListener,
        network: Network | None = None,
        now: float = 0.0,
    ) -> None:
        self.client = client
        self.listener = server if isinstance(server, DTLSListener) else None
        self._server = None if isinstance(server, DTLSListener) else server
        self.network = network or Network()
        self.now = now
        self.sent: list[Sent] = []
        self.timeouts: list[tuple[float, bool]] = []  # when a timer was served, and whether the client's
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self.at: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._in_flight: list[tuple[float, int, bool, bytes]] = []

    @property
    def server(self) -> DTLSConnection:
        """The server's connection."""
        assert self._server is not None, "the listener has not accepted the client yet"
        return self._server

    @property
    def sides(self) -> list[DTLSConnection]:
        """The connections that are there."""
        return [self.client] if self._server is None else [self.client, self._server]

    # --- driving ---

    def start(self) -> DatagramLink:
        """Start both handshakes."""
        for side in self.sides:
            side.advance(self.now)
        self._pump()
        return self

    def run(self, until: Callable[[], bool] | None = None, seconds: float = 2000.0) -> DatagramLink:
        """Go on until `until` holds, nothing more can happen, or so much time has passed."""
        end = self.now + seconds
        self._pump()
        while until is None or not until():
            moment = self._next()
            if moment is None or moment > end:
                break
            self.now = max(self.now, moment)
            self._happen()
        if until is None:
            self.now = max(self.now, min(end, self.now))
        return self

    def wait(self, seconds: float) -> DatagramLink:
        """Let time pass, and happen what happens in it."""
        end = self.now + seconds
        self._pump()
        while (moment := self._next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            self._happen()
        self.now = end
        return self

    def handshake(self) -> DatagramLink:
        """Start, run, and insist that both are done and nothing is unacknowledged."""
        self.start().run()
        for side in (self.client, self.server):
            if side.error is not None:
                raise side.error
            assert side.handshake_complete
            assert side.timeout() is None
        return self

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something at that time."""
        heapq.heappush(self.at, (self.now + seconds, next(self._order), action))

    def deliver(self, datagram: bytes, *, to_server: bool) -> DatagramLink:
        """Hand over a datagram, whoever made it."""
        if not to_server:
            self.client.receive_datagram(datagram, SERVER, self.now)
        elif self.listener is None:
            self.server.receive_datagram(datagram, CLIENT, self.now)
        else:
            self.listener.receive_datagram(datagram, CLIENT, self.now)
            self._server = self.listener.accept() or self._server
        self._pump()
        return self

    # --- what happened ---

    def seen(self, tap: Any, by_client: bool | None = None) -> list[Any]:
        """Every record that was sent, read by a tap (tests/dtls/tap.py)."""
        found = [
            record
            for index, each in enumerate(self.sent)
            for record in tap.read(each.at, each.by_client, index, each.data)
        ]
        return [each for each in found if by_client is None or each.by_client is by_client]

    def datagrams(self, by_client: bool | None = None) -> list[bytes]:
        """Everything that was sent."""
        return [each.data for each in self.sent if by_client is None or each.by_client is by_client]

    # --- inside ---

    def _next(self) -> float | None:
        moments = [each[0] for each in (self._in_flight[:1] + self.at[:1])]
        moments += [moment for side in self.sides if (moment := side.timeout()) is not None]
        return min(moments, default=None)

    def _happen(self) -> None:
        while self.at and self.at[0][0] <= self.now:
            heapq.heappop(self.at)[2]()
            for side in self.sides:
                side.advance(self.now)
            self._pump()
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, to_server, datagram = heapq.heappop(self._in_flight)
            self.deliver(datagram, to_server=to_server)
        for side in self.sides:
            moment = side.timeout()
            if moment is not None and moment <= self.now:
                self.timeouts.append((self.now, side is self.client))
                side.handle_timeout(self.now)
        self._pump()

    def _pump(self) -> None:
        if self.listener is not None:
            self._carry(self.listener.datagrams_to_send(self.now), by_client=False)
        for side in self.sides:
            self._carry(side.datagrams_to_send(self.now), by_client=side is self.client)
            (self.client_events if side is self.client else self.server_events).extend(drain(side))

    def _carry(self, datagrams: list[Any], *, by_client: bool) -> None:
        for datagram, _addr in datagrams:
            arriving = self.network.carry(len(self.sent), by_client, datagram)
            self.sent.append(Sent(self.now, by_client, datagram))
            for delay, data in arriving:
                heapq.heappush(self._in_flight, (self.now + delay, next(self._order), by_client, data))


class VirtualEngine:
    """Every operation it lists takes `seconds` of a link's time. The link is told to it once it is there."""

    def __init__(self, seconds: float, operations: Iterable[Operation] = HANDSHAKE_OPERATIONS) -> None:
        self.seconds = seconds
        self.operations = frozenset(operations)
        self.link: DatagramLink | None = None
        self.started: list[Operation] = []

    def start(self, work: Work[Any]) -> Pending[Any]:
        assert self.link is not None
        self.started.append(work.operation)
        completion: Completion[Any] = Completion()

        def finish() -> None:
            try:
                result = work.run()
            except Exception as error:  # noqa: BLE001 - it is the work's answer
                completion.set_exception(error)
            else:
                completion.set_result(result)

        self.link.later(self.seconds, finish)
        return completion


def drain(connection: DTLSConnection) -> list[Event]:
    """All events that are there."""
    return list(iter(connection.next_event, None))


def received(events: list[Event]) -> list[bytes]:
    """The application data among the events, datagram by datagram."""
    return [event.data for event in events if isinstance(event, DataReceived)]


def datagram_link(
    client: Context,
    server: Context,
    network: Network | None = None,
    *,
    server_hostname: str | None = "localhost",
    listener: bool = False,
    **options: Any,
) -> DatagramLink:
    """A client and a server of these contexts, behind a `listener` if it shall be. `options` are the client's."""
    return DatagramLink(
        DTLSConnection(client, server_side=False, server_hostname=server_hostname, addr=SERVER, **options),
        DTLSListener(server) if listener else DTLSConnection(server, server_side=True, addr=CLIENT),
        network,
    )
