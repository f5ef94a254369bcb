"""What both sides of a link have sent and taken, packet by packet: their qlog, read as it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.datagram_link import DatagramLink

_NOT_ELICITING = {"ack", "padding", "connection_close"}


@dataclass
class Packet:
    """One packet, as the side that sent it or took it has logged it. `space`: `initial`, `handshake`, `1RTT`."""

    at: float
    by_client: bool
    sent: bool
    space: str
    number: int
    frames: list[dict[str, Any]]

    def has(self, kind: str) -> bool:
        return any(frame["frame_type"] == kind for frame in self.frames)

    @property
    def eliciting(self) -> bool:
        return any(frame["frame_type"] not in _NOT_ELICITING for frame in self.frames)

    def acknowledges(self, number: int) -> bool:
        ranges = [each for frame in self.frames for each in frame.get("acked_ranges", [])]
        return any(each[0] <= number <= each[-1] for each in ranges)


class PacketLog:
    """Give it as `qlog` to both sides' contexts, and `follow` the link."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self._link: DatagramLink | None = None

    def follow(self, link: DatagramLink | None) -> None:
        """From now on this link is looked at, or none."""
        self.packets.clear()
        self._link = link

    def __call__(self, name: str) -> Callable[[str], object]:
        by_client = name.endswith("_client")

        def write(record: str) -> None:
            event = json.loads(record.lstrip("\x1e"))
            kind, data = event.get("name"), event.get("data")
            if self._link is not None and kind in ("quic:packet_sent", "quic:packet_received"):
                header, sent = data["header"], kind == "quic:packet_sent"
                space, number = header["packet_type"], header["packet_number"]
                self.packets.append(Packet(self._link.now, by_client, sent, space, number, data["frames"]))

        return write

    def late(self, begin: float, end: float, seconds: float) -> list[Packet]:
        """Ack-eliciting packets taken in that time for which the ACK came later than so many seconds, or never."""
        return [
            each
            for each in self.packets
            if not each.sent and begin <= each.at <= end and each.eliciting and not self._answered(each, seconds)
        ]

    def _answered(self, packet: Packet, seconds: float) -> bool:
        """Acknowledged, or its space was dropped: HANDSHAKE_DONE says as much (RFC 9001 section 4.9.2)."""
        return any(
            (each.space == packet.space and each.acknowledges(packet.number))
            or (packet.space == "handshake" and each.has("handshake_done"))
            for each in self.packets
            if each.sent and each.by_client is packet.by_client and packet.at <= each.at <= packet.at + seconds
        )

    def repeated(self, *, by_client: bool) -> list[Packet]:
        """Packets with bytes of the handshake or of a stream that this side had sent before."""
        return list(self._repeated(by_client))

    def _repeated(self, by_client: bool) -> Iterator[Packet]:
        reached: dict[tuple[str, Any], int] = {}
        for each in self.packets:
            if not each.sent or each.by_client is not by_client:
                continue
            again = False
            for frame in each.frames:
                if frame["frame_type"] in ("crypto", "stream"):
                    what = (each.space, frame.get("stream_id"))
                    again |= frame["offset"] < reached.get(what, 0)
                    reached[what] = max(reached.get(what, 0), frame["offset"] + frame["raw"]["length"])
            if again:
                yield each
