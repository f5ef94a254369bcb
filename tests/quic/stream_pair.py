"""Two tables of streams, and packets between them that are delivered, lost, or both believed lost and delivered."""

from __future__ import annotations

import random
from typing import Any

from caesura.errors import StreamReset
from caesura.events import Event, StreamOpened, StreamReadable
from caesura.quic import frames
from caesura.quic.levels import ONE_RTT
from caesura.quic.outbox import Outbox
from caesura.quic.sent_packets import Recall
from caesura.quic.streams import Streams, is_bulk
from caesura.quic.transport_parameters import TransportParameters
from caesura.quic_settings import QUICSettings

_ALLOWED = frames.permitted(ONE_RTT, from_server=True)


class Packet:
    """What one packet carries, and who is to hear what became of it."""

    def __init__(self, payload: bytes, recalls: list[Recall]) -> None:
        self.payload = payload
        self.recalls = recalls

    def acked(self) -> None:
        for owner, at, mark, data in self.recalls:
            owner.acked(at, mark, data)

    def lost(self) -> None:
        for owner, at, mark, data in self.recalls:
            owner.lost(at, mark, data)


class Side:
    """One side's streams, driven as a connection would. It hears frames, and keeps what it reads."""

    def __init__(self, *, client: bool, **settings: Any) -> None:
        self.settings = QUICSettings(**settings)
        self.outbox = Outbox()
        self.events: list[Event] = []
        self.streams = Streams(self.settings, self.outbox, self.events, client=client)
        self.room = 1160
        self.bulk = False  # by the short ways for bulk transfers, as far as they go
        self.opened: list[int] = []
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.heard: list[tuple[Any, ...]] = []

    def parameters(self) -> TransportParameters:
        """What it declares."""
        names = [each for each in TransportParameters.__dataclass_fields__ if each.startswith("initial_max")]
        return TransportParameters(**{name: getattr(self.settings, name) for name in names})

    def packet(self, now: float = 0.0) -> Packet | None:
        """The next packet; None when there is nothing to send."""
        pieces: list[bytes] = []
        recalls: list[Recall] = []
        used = self.outbox.write(self.room, pieces, recalls, now, 0.1)
        used += self.streams.schedule.write(self.room - used, pieces, recalls)
        payload = b"".join(pieces)
        assert len(payload) <= used <= self.room
        return Packet(payload, recalls) if payload else None

    def packets(self, now: float = 0.0, limit: int = 1000) -> list[Packet]:
        """All there is to send."""
        found: list[Packet] = []
        if self.bulk and not self.outbox:
            bulk = self.streams.schedule.write_bulk(self.room, limit)
            found = [Packet(payload, list(recalls)) for payload, recalls in bulk]
            assert all(len(each.payload) == self.room for each in found)
        while len(found) < limit and (packet := self.packet(now)) is not None:
            found.append(packet)
        return found

    def hear(self, packet: Packet) -> None:
        if self.bulk and is_bulk(packet.payload):
            self.streams.on_bulk([packet.payload])
            return
        frames.dispatch_untrusted(packet.payload, ONE_RTT, _ALLOWED, self)

    def look(self, size: int = -1) -> None:
        """Do with all events what an application would: read what there is to be read."""
        events = list(self.events)
        self.events.clear()
        for event in events:
            if isinstance(event, StreamOpened):
                self.opened.append(event.stream_id)
            elif isinstance(event, StreamReadable) and event.stream_id in self.streams.receiving:
                self.read(event.stream_id, size)

    def read(self, stream_id: int, size: int = -1) -> None:
        try:
            data, ended = self.streams.read(stream_id, size)
        except StreamReset as error:
            self.resets[stream_id] = error.error_code
            return
        self.data[stream_id] = self.data.get(stream_id, b"") + data
        if ended:
            self.ended.add(stream_id)

    def __getattr__(self, name: str) -> Any:
        """`on_…`: a frame; it goes where it belongs."""
        if name in ("on_data_blocked", "on_streams_blocked"):
            return lambda *values: self.heard.append((name, *values))
        handler = getattr(self.streams, name)

        def told(*values: Any) -> None:
            self.heard.append((name, *values))
            handler(*(values[:1] if name == "on_stream_data_blocked" else values))

        return told


def pair(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> tuple[Side, Side]:
    """A client and a server that know what the other permits."""
    first, second = Side(client=True, **(client or {})), Side(client=False, **(server or {}))
    first.streams.permit(second.parameters())
    second.streams.permit(first.parameters())
    first.events.clear()
    second.events.clear()
    return first, second


def exchange(first: Side, second: Side) -> None:
    """Everything each has to say arrives, until there is nothing more."""
    while packets := [(second, each) for each in first.packets()] + [(first, each) for each in second.packets()]:
        for to, packet in packets:
            to.hear(packet)
            packet.acked()
        first.look()
        second.look()


class LossyLink:
    """Carries packets between two sides, in rounds; what becomes of each is decided by seed."""

    def __init__(self, first: Side, second: Side, seed: int, loss: float) -> None:
        self.sides = first, second
        self.dice = random.Random(seed)
        self.loss = loss
        self.late: list[tuple[Side, Packet]] = []
        self.sent = 0
        self.lost = 0
        self.now = 0.0

    def round(self, each: int = 20) -> bool:
        """A round trip; whether anything was sent."""
        self.now += 0.1
        carried = [(to, packet) for by, to in self._ways() for packet in by.packets(self.now, each)]
        self.sent += len(carried)
        late, self.late = self.late, []
        dice = self.dice
        if dice.random() < 0.3:
            dice.shuffle(carried)
        outcomes: list[tuple[Packet, bool]] = []
        for to, packet in carried:
            fate = dice.random()
            if fate < self.loss:
                self.lost += 1
                outcomes.append((packet, False))
                if dice.random() < 0.2:  # believed lost, and only late
                    self.late.append((to, packet))
                continue
            to.hear(packet)
            if fate > 0.95:  # twice
                to.hear(packet)
            outcomes.append((packet, fate < 0.93 or fate > 0.95))  # between: its acknowledgement is lost
        for to, packet in late:
            to.hear(packet)
        for packet, arrived in outcomes:
            if arrived:
                packet.acked()
            else:
                packet.lost()
        return bool(carried or late or self.late)

    def _ways(self) -> list[tuple[Side, Side]]:
        first, second = self.sides
        return [(first, second), (second, first)]
