"""What was sent and is not yet known to have arrived, in one packet number space (RFC 9002 appendix A.1).

Information is sent again, not packets: each packet carries a tuple of recalls, one for each thing in it that somebody
wants to hear about. Whoever put the thing there (a stream, a credit, a connection id) is told `acked` or `lost` with
the numbers it left, and puts what is still of use into a later packet.

Packets that are not in flight (nothing but ACK frames, CONNECTION_CLOSE) are not remembered. Hot: once per packet.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias


class Recallable(Protocol):
    """Whoever puts something into packets that must arrive, or be known to have arrived.

    `at`, `mark` and `data` are what it left in the `Recall`; they mean something to it alone.
    """

    def acked(self, at: int, mark: int, data: bytes) -> None:
        """The peer has it."""

    def lost(self, at: int, mark: int, data: bytes) -> None:
        """It may not have arrived: to be sent again, if it is of use still. `acked` may come later all the same."""


Recall: TypeAlias = tuple[Recallable, int, int, bytes]


class SentPacket:
    """One packet in flight. `sent_at` in seconds, `size` in bytes, all of the packet; 0 if it does not count."""

    __slots__ = ("ack_eliciting", "mtu_probe", "recalled", "recalls", "sent_at", "size")

    marked = 0  # ECT(0) in its IP header

    def __init__(self, sent_at: float, size: int, ack_eliciting: bool, recalls: tuple[Recall, ...]) -> None:
        self.sent_at = sent_at
        self.size = size
        self.ack_eliciting = ack_eliciting
        self.recalls = recalls
        self.recalled = False  # a probe has brought again what it carries: nothing more to be done if it is lost
        self.mtu_probe = False  # its loss says nothing of congestion (RFC 9000 section 14.4)


class MarkedPacket(SentPacket):
    """One that was marked with ECN."""

    __slots__ = ()

    marked = 1


class SentPackets:
    """The packets in flight of one space.

    `packets` maps numbers to them. None stands for one that was acknowledged while one before it was not. From
    `first` on they are looked for: no loop over numbers is longer than what was sent.
    """

    __slots__ = (
        "eliciting",
        "first",
        "largest_acked",
        "last_eliciting_at",
        "loss_time",
        "next_number",
        "packets",
    )

    def __init__(self) -> None:
        self.packets: dict[int, SentPacket | None] = {}
        self.first = 0
        self.next_number = 0  # what the next packet is given; whoever makes packets counts it up
        self.largest_acked = -1
        self.eliciting = 0  # how many of them are ack-eliciting
        self.last_eliciting_at = 0.0
        self.loss_time: float | None = None

    def add(self, number: int, packet: SentPacket) -> None:
        """Remember a packet that was sent."""
        packets = self.packets
        if not packets:
            self.first = number
        packets[number] = packet
        if packet.ack_eliciting:
            self.eliciting += 1
            self.last_eliciting_at = packet.sent_at

    def advance(self) -> None:
        """Let `first` be the number of the first packet in flight."""
        packets, first = self.packets, self.first
        while packets and packets.get(first) is None:
            packets.pop(first, None)
            first += 1
        self.first = first

    def outstanding(self) -> list[SentPacket]:
        """All that are in flight, in the order they were sent."""
        return [packet for packet in self.packets.values() if packet is not None]

    def clear(self) -> None:
        """Forget them all."""
        self.packets.clear()
        self.eliciting = 0
        self.loss_time = None
