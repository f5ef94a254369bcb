"""Two connections and the wire between them: everything in memory, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from caesura.context import Context
from caesura.events import DataReceived, Event
from caesura.tls import TLSConnection


@dataclass
class Link:
    """A client and a server. `exchange` carries bytes both ways until neither has any; `chunk` cuts them up."""

    client: TLSConnection
    server: TLSConnection
    now: float = 0.0
    chunk: int | None = None
    client_events: list[Event] = field(default_factory=list)
    server_events: list[Event] = field(default_factory=list)

    def start(self) -> Link:
        """Start both handshakes."""
        self.client.advance(self.now)
        self.server.advance(self.now)
        return self

    def exchange(self) -> Link:
        """Carry bytes until both sides are silent, and collect the events."""
        while self._carry(self.client, self.server) | self._carry(self.server, self.client):
            pass
        self.client_events += drain(self.client)
        self.server_events += drain(self.server)
        return self

    def handshake(self) -> Link:
        """Start, exchange, and insist that both are done."""
        self.start().exchange()
        for side in (self.client, self.server):
            if side.error is not None:
                raise side.error
            assert side.handshake_complete
        return self

    def _carry(self, sender: TLSConnection, receiver: TLSConnection) -> bool:
        data = sender.data_to_send(self.now)
        for piece in pieces(data, self.chunk):
            receiver.receive_data(piece, self.now)
        return bool(data)


def pieces(data: bytes, size: int | None) -> Iterator[bytes]:
    """The bytes in chunks of `size` (whole when None)."""
    step = size or max(len(data), 1)
    for start in range(0, len(data), step):
        yield data[start : start + step]


def drain(connection: TLSConnection) -> list[Event]:
    """All events that are there."""
    return list(iter(connection.next_event, None))


def received(events: list[Event]) -> bytes:
    """The application data among the events."""
    return b"".join(event.data for event in events if isinstance(event, DataReceived))


def link(client: Context, server: Context, *, server_hostname: str | None = "localhost", **options: object) -> Link:
    """A client and a server of these contexts."""
    make: Callable[..., TLSConnection] = TLSConnection
    return Link(
        make(client, server_side=False, server_hostname=server_hostname, **options), make(server, server_side=True)
    )
