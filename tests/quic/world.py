"""QUIC connections and the network between them, on virtual time: it delays, loses, doubles, swaps and damages.

`run()` jumps from one thing that happens to the next. Each `End` is a connection with an application that reads what
there is to be read, keeps it, and may answer. Nothing sleeps; what the network does is decided by seed or by hand.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from caesura.errors import StreamReset, UsageError
from caesura.events import DatagramReadable, Event, StreamOpened, StreamReadable
from caesura.quic import QUICConnection, QUICListener
from tests.quic.link import client_context, server_context
from tests.support.datagram_link import CLIENT, SERVER, Network, Sent


class End:
    """A connection and its application: it reads all that comes, and with `echo` sends it back."""

    def __init__(self, connection: QUICConnection, addr: object, *, echo: bool = False, greedy: bool = True) -> None:
        self.connection = connection
        self.addr = addr
        self.echo = echo
        self.greedy = greedy  # reads what there is at once
        self.events: list[Event] = []
        self.opened: list[int] = []
        self.data: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.datagrams: list[bytes] = []

    def say(self, stream_id: int | None, data: bytes, *, fin: bool = True) -> int:
        """Write to a stream, or to a new one; its id."""
        if stream_id is None:
            stream_id = self.connection.open_stream()
            assert stream_id is not None
        self.connection.write_stream(stream_id, data, fin=fin)
        return stream_id

    def look(self) -> None:
        """What an application does with events."""
        while (event := self.connection.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, StreamOpened):
                self.opened.append(event.stream_id)
            elif isinstance(event, StreamReadable) and self.greedy:
                self.read(event.stream_id)
            elif isinstance(event, DatagramReadable):
                while (data := self.connection.read_datagram()) is not None:
                    self.datagrams.append(data)

    def read(self, stream_id: int, size: int = -1) -> None:
        """Read from a stream; answer, when this is an end that does."""
        try:
            data, ended = self.connection.read_stream(stream_id, size)
        except StreamReset as error:
            self.resets[stream_id] = error.error_code
            return
        except UsageError:  # it is over: the event was older
            return
        self.data.setdefault(stream_id, bytearray()).extend(data)
        if ended:
            self.ended.add(stream_id)
        if self.echo and (data or ended) and stream_id in self.opened and not stream_id & 2:
            self.connection.write_stream(stream_id, data, fin=ended)

    def saw(self, kind: type[Event]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Bottleneck(Network):
    """A link of so many bytes a second, with a queue of so many bytes before it: what does not fit is lost."""

    rate: float = 1e6
    queue: int = 50_000
    now: float = 0.0
    lost: int = 0

    def __post_init__(self) -> None:
        self._free = [0.0, 0.0]  # when each direction will have sent all that waits

    def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
        free = max(self._free[to_server], self.now)
        if (free - self.now) * self.rate + len(datagram) > self.queue:
            self.lost += 1
            return []
        self._free[to_server] = free + len(datagram) / self.rate
        return [(self._free[to_server] - self.now + self.delay, datagram)]


class QUICLink:
    """Clients, a server's connection or a listener, a network, and a clock. Accepted connections become `servers`."""

    def __init__(
        self,
        clients: list[End],
        server: End | QUICListener,
        network: Network | None = None,
        *,
        echo: bool = True,
        now: float = 0.0,
    ) -> None:
        self.clients = clients
        self.listener = server if isinstance(server, QUICListener) else None
        self.servers = [] if isinstance(server, QUICListener) else [server]
        self.network = network or Network()
        self.echo = echo
        self.now = now
        self.sent: list[Sent] = []
        self.at: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._in_flight: list[tuple[float, int, bool, bytes, object]] = []

    @property
    def client(self) -> End:
        """The first client."""
        return self.clients[0]

    @property
    def server(self) -> End:
        """The first connection of the server."""
        return self.servers[0]

    # --- driving ---

    def start(self) -> QUICLink:
        """Start the handshakes."""
        for end in self.clients:
            end.connection.advance(self.now)
        self.pump()
        return self

    def run(self, until: Callable[[], bool], seconds: float = 600.0) -> QUICLink:
        """Go on until that holds; it must, within so much time."""
        assert self.go(until, seconds), f"not within {seconds} s: {self.now}"
        return self

    def go(self, until: Callable[[], bool] | None = None, seconds: float = 600.0) -> bool:
        """Go on until that holds, or nothing more can happen, or so much time has passed; whether it holds."""
        end = self.now + seconds
        self.pump()
        while until is None or not until():
            moment = self._next()
            if moment is None or moment > end:
                self.now = end
                return False
            self.now = max(self.now, moment)
            self._happen()
        return True

    def wait(self, seconds: float) -> QUICLink:
        """Let time pass, and happen what happens in it."""
        self.go(None, seconds)
        return self

    def handshake(self) -> QUICLink:
        """Start, and go on until both sides have confirmed it."""
        self.start().run(
            lambda: (
                bool(self.servers)
                and all(each.connection.handshake_confirmed or each.connection.error for each in self.ends)
            )
        )
        for each in self.ends:
            if each.connection.error is not None:
                raise each.connection.error
        return self.quiet()

    def quiet(self) -> QUICLink:
        """Go on until nothing is under way any more and nothing is owed but what is far away."""
        while self._in_flight or any((each.connection.timeout() or 1e9) < self.now + 0.3 for each in self.ends):
            moment = self._next()
            assert moment is not None
            self.now = max(self.now, moment)
            self._happen()
        return self

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something at that time."""
        heapq.heappush(self.at, (self.now + seconds, next(self._order), action))

    def deliver(self, datagram: bytes, *, to_server: bool, addr: object = CLIENT) -> QUICLink:
        """Hand over a datagram, whoever made it. `addr`: of the client."""
        if not to_server:
            for end in self.clients:
                if end.addr == addr:
                    end.connection.receive_datagram(datagram, SERVER, self.now)
        elif self.listener is None:
            self.server.connection.receive_datagram(datagram, addr, self.now)
        else:
            self.listener.receive_datagram(datagram, addr, self.now)
            while (connection := self.listener.accept()) is not None:
                self.servers.append(End(connection, SERVER, echo=self.echo))
        self.pump()
        return self

    # --- what happened ---

    @property
    def ends(self) -> list[End]:
        """Every connection that is there."""
        return [*self.clients, *self.servers]

    def datagrams(self, by_client: bool | None = None) -> list[bytes]:
        """Everything that was sent."""
        return [each.data for each in self.sent if by_client is None or each.by_client is by_client]

    # --- inside ---

    def _next(self) -> float | None:
        moments = [each[0] for each in (*self._in_flight[:1], *self.at[:1])]
        moments += [moment for each in self.ends if (moment := each.connection.timeout()) is not None]
        return min(moments, default=None)

    def _happen(self) -> None:
        while self.at and self.at[0][0] <= self.now:
            heapq.heappop(self.at)[2]()
            for each in self.ends:
                each.connection.advance(self.now)
            self.pump()
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, to_server, datagram, addr = heapq.heappop(self._in_flight)
            self.deliver(datagram, to_server=to_server, addr=addr)
        for each in self.ends:
            moment = each.connection.timeout()
            if moment is not None and moment <= self.now:
                each.connection.handle_timeout(self.now)
        self.pump()

    def pump(self) -> None:
        """Let the applications do what they want, and send what is to be sent."""
        if self.listener is not None:
            self._carry(self.listener.datagrams_to_send(self.now), None)
        for each in self.ends:
            each.look()
            self._carry(each.connection.datagrams_to_send(self.now), each)
            each.look()

    def _carry(self, datagrams: list[Any], by: End | None) -> None:
        by_client = by in self.clients
        self.network.now = self.now  # type: ignore[attr-defined]  # for those who want to know
        for datagram, addr in datagrams:
            arriving = self.network.carry(len(self.sent), by_client, datagram)
            self.sent.append(Sent(self.now, by_client, datagram))
            where = by.addr if by is not None and by_client else addr
            for delay, data in arriving:
                heapq.heappush(self._in_flight, (self.now + delay, next(self._order), by_client, data, where))


def quic_link(
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    network: Network | None = None,
    *,
    clients: int = 1,
    listener: bool = False,
    echo: bool = True,
    **options: Any,
) -> QUICLink:
    """Clients and a server with these settings, behind a `listener` if it shall be. `options` are the clients'."""
    context, serving = client_context(**(client or {})), server_context(**(server or {}))
    ends = [
        End(
            QUICConnection(context, server_side=False, server_hostname="example.test", addr=SERVER, **options),
            (CLIENT[0], CLIENT[1] + number),
        )
        for number in range(clients)
    ]
    peer = QUICListener(serving) if listener else End(QUICConnection(serving, server_side=True), SERVER, echo=echo)
    return QUICLink(ends, peer, network, echo=echo)
