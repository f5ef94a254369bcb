"""Packets of made-up sizes through loss detection, on virtual time; what became of what they carried."""

from __future__ import annotations

from caesura.quic.congestion import Congestion, NewReno
from caesura.quic.levels import APPLICATION_SPACE
from caesura.quic.loss_detection import LossDetection
from caesura.quic.rtt import RoundTrip

MTU = 1200


class Told:
    """Writes down what it is told of the things it put into packets: their numbers."""

    def __init__(self) -> None:
        self.acks: list[int] = []
        self.losses: list[int] = []

    def acked(self, at: int, mark: int, data: bytes) -> None:
        self.acks.append(at)

    def lost(self, at: int, mark: int, data: bytes) -> None:
        self.losses.append(at)


class Sender:
    """One side that sends packets; by default a connection whose handshake is confirmed, and 1-RTT packets."""

    def __init__(self, *, client: bool = True, confirmed: bool = True, congestion: Congestion | None = None) -> None:
        self.congestion = congestion or NewReno(MTU)
        self.round_trip = RoundTrip(0.333)
        self.loss = LossDetection(self.congestion, self.round_trip, client=client)
        self.loss.handshake_confirmed = confirmed
        self.told = Told()
        self.now = 0.0

    def send(
        self,
        count: int = 1,
        *,
        space: int = APPLICATION_SPACE,
        size: int = MTU,
        eliciting: bool = True,
        carrying: bool = True,
    ) -> list[int]:
        """Send packets; their numbers, which are also what they carry."""
        sent = self.loss.spaces[space]
        numbers = []
        for _ in range(count):
            number = sent.next_number
            sent.next_number += 1
            recalls = ((self.told, number, space, b""),) if carrying else ()
            self.loss.packet_sent(space, number, size, eliciting, recalls, self.now)
            numbers.append(number)
        return numbers

    def ack(self, *numbers: int, space: int = APPLICATION_SPACE, delay: float = 0.0) -> bool:
        """An ACK of these packets arrives."""
        ranges: list[tuple[int, int]] = []
        for number in sorted(numbers):
            if ranges and ranges[-1][1] == number:
                ranges[-1] = (ranges[-1][0], number + 1)
            else:
                ranges.append((number, number + 1))
        return self.loss.ack_received(space, ranges[::-1], delay, self.now)

    def wait(self, seconds: float) -> Sender:
        """Let time pass; what is due in it is done when it is due."""
        end = self.now + seconds
        while (due := self.loss.timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.loss.handle_timeout(self.now)
            if any(self.loss.probes):
                break
        self.now = end if not any(self.loss.probes) else self.now
        return self
