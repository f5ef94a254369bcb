"""A QUIC client and server, and the network between them, on virtual time (tests/support/datagram_link.py)."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caesura.context import Context, Method
from caesura.errors import StreamReset
from caesura.events import Event, StreamOpened, StreamReadable
from caesura.quic.connection import QUICConnection
from tests.support.datagram_link import CLIENT, SERVER, DatagramLink, Network, Sent
from tests.tls import world

START = 1000.0  # seconds: the beginning of time is no special moment
QUICK = {"keylog": None}


def client_context(**settings: Any) -> Context:
    """A client's context."""
    return world.client_context(**{"method": Method.QUIC, "alpn": ["test"], **settings})


def server_context(**settings: Any) -> Context:
    """A server's context with an ECDSA identity."""
    return world.server_context(**{"method": Method.QUIC, "alpn": ["test"], **settings})


@dataclass
class Side:
    """What one side's application has seen: events, and what came on each stream, read as it came."""

    connection: QUICConnection
    events: list[Event] = field(default_factory=list)
    streams: dict[int, bytes] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    resets: dict[int, int] = field(default_factory=dict)
    reading: bool = True

    def look(self) -> None:
        """Take all events, read what there is to read."""
        while (event := self.connection.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, StreamOpened):
                self.streams.setdefault(event.stream_id, b"")
            elif isinstance(event, StreamReadable) and self.reading:
                try:
                    data, ended = self.connection.read_stream(event.stream_id)
                except StreamReset as error:
                    self.resets[event.stream_id] = error.error_code
                    continue
                self.streams[event.stream_id] = self.streams.get(event.stream_id, b"") + data
                if ended:
                    self.ended.add(event.stream_id)

    def happened(self, kind: type[Event]) -> list[Any]:
        """All events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


class QUICLink(DatagramLink):
    """Both sides read what comes. `client_address` may change: then the server sees the client come from there.

    What is sent to an address where the client no longer is gets lost.
    """

    def __init__(self, client: QUICConnection, server: QUICConnection, network: Network | None = None) -> None:
        super().__init__(client, server, network, START)  # type: ignore[arg-type]
        self.ours = Side(client)
        self.theirs = Side(server)
        self.client_address: tuple[str, int] = CLIENT

    def establish(self) -> QUICLink:
        """Run until both sides know that the handshake is confirmed."""
        self.start()
        self.run(lambda: self.confirmed or self.failed, seconds=60)
        for side in (self.client, self.server):
            if side.error is not None:
                raise side.error
        assert self.confirmed
        return self

    @property
    def confirmed(self) -> bool:
        return all(side.connection.handshake_confirmed for side in (self.ours, self.theirs))

    @property
    def failed(self) -> bool:
        return any(side.connection.error is not None for side in (self.ours, self.theirs))

    def send(self, data: bytes, *, fin: bool = True, by_client: bool = True) -> int:
        """Send on a new stream; its id."""
        side = self.ours if by_client else self.theirs
        stream_id = side.connection.open_stream()
        assert stream_id is not None
        side.connection.write_stream(stream_id, data, fin=fin)
        self._pump()
        return stream_id

    def deliver(self, datagram: bytes, *, to_server: bool) -> QUICLink:
        if to_server:
            self.server.receive_datagram(datagram, self.client_address, self.now)  # type: ignore[attr-defined]
        else:
            self.client.receive_datagram(datagram, SERVER, self.now)
        self._pump()
        return self

    def _happen(self) -> None:
        super()._happen()
        for (
            side
        ) in self.sides:  # a timer that has been served does not ring again at once, or an application would spin
            moment = side.timeout()
            assert moment is None or moment > self.now, "a timer in the past"

    def _pump(self) -> None:
        for side, by_client in ((self.ours, True), (self.theirs, False)):
            side.look()
            for datagram, address in side.connection.datagrams_to_send(self.now):
                self._carry_one(datagram, address, by_client=by_client)

    def _carry_one(self, datagram: bytes, address: object, *, by_client: bool) -> None:
        arriving = self.network.carry(len(self.sent), by_client, datagram)
        self.sent.append(Sent(self.now, by_client, datagram))
        if address in (SERVER, self.client_address):
            for delay, data in arriving:
                heapq.heappush(self._in_flight, (self.now + delay, next(self._order), by_client, data))


def linked(
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    network: Network | None = None,
    *,
    prepare: Callable[[QUICConnection], object] | None = None,
    **options: Any,
) -> QUICLink:
    """A client and a server with these settings; `options` are the client connection's."""
    one = QUICConnection(
        client_context(**(client or {})), server_side=False, server_hostname="example.test", addr=SERVER, **options
    )
    two = QUICConnection(server_context(**(server or {})), server_side=True)
    if prepare is not None:
        prepare(two)
    return QUICLink(one, two, network)
