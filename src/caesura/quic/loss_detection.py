"""Which packets were lost, and when to ask (RFC 9002 section 6 and appendix A).

A packet is lost when one sent three packets or some time later has arrived. When nothing arrives at all the probe
timeout asks: it lets something be sent to which the peer must answer. Timers are not set, they are asked for:
`timeout()` reckons from what is known, so that sending a packet costs no timer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from caesura.errors import ProtocolViolation
from caesura.quic.congestion import NEVER, Congestion
from caesura.quic.ecn import Ecn
from caesura.quic.frames import EcnCounts
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE_SPACE, INITIAL_SPACE
from caesura.quic.rtt import RoundTrip
from caesura.quic.sent_packets import MarkedPacket, Recall, SentPacket, SentPackets

_PACKET_THRESHOLD: Final = 3  # section 6.1.1
_PROBES: Final = 2  # section 6.2.4: the second one in case the first is lost
_BACKOFF: Final = 32  # doublings of the probe timeout: idle connections end long before


class LossDetection:
    """All spaces of one connection, on one path. Seconds and bytes.

    The connection keeps what it knows in `handshake_confirmed`, `handshake_keys` and `amplification_limited` (servers:
    nothing may be sent until more has come), and sends `probes[space]` ack-eliciting packets, whatever the window says.
    """

    __slots__ = (
        "_idle_since",
        "_peer_validated",
        "amplification_limited",
        "congestion",
        "ecn",
        "handshake_confirmed",
        "handshake_keys",
        "on_lost",
        "packets_lost",
        "probes",
        "pto_count",
        "round_trip",
        "spaces",
    )

    def __init__(self, congestion: Congestion, round_trip: RoundTrip, *, client: bool, ecn: bool = False) -> None:
        self.congestion = congestion
        self.ecn = Ecn(enabled=ecn)
        self.round_trip = round_trip
        self.spaces = (SentPackets(), SentPackets(), SentPackets())
        self.probes = [0, 0, 0]
        self.pto_count = 0
        self.packets_lost = 0
        self.handshake_confirmed = False
        self.handshake_keys = False
        self.amplification_limited = False
        self.on_lost: Callable[[int, int, bool, float], None] | None = None  # for a log: space, number, by number, now
        self._peer_validated = not client  # whether the peer needs no more from us to be allowed to send
        self._idle_since = 0.0  # since when a client has had nothing in flight

    # --- sending --------------------------------------------------------------------------------------------------

    def packet_sent(
        self, space: int, number: int, size: int, ack_eliciting: bool, recalls: tuple[Recall, ...], now: float
    ) -> SentPacket:
        """A packet that is in flight: it is ack-eliciting, or has padding."""
        packet = (MarkedPacket if self.ecn.marking else SentPacket)(now, size, ack_eliciting, recalls)
        congestion = self.congestion
        if not congestion.bytes_in_flight:
            congestion.resumed(now)
        congestion.bytes_in_flight += size
        self.spaces[space].add(number, packet)
        if ack_eliciting and self.probes[space]:
            self.probes[space] -= 1
        return packet

    def bulk_sent(self, first: int, size: int, carried: Iterable[tuple[Recall, ...]], now: float) -> None:
        """1-RTT packets of `size` bytes each, all ack-eliciting, numbered from `first` on, with what each carries."""
        sent, congestion, number = self.spaces[APPLICATION_SPACE], self.congestion, first
        packets = sent.packets
        if not packets:
            sent.first = first
        if not congestion.bytes_in_flight:
            congestion.resumed(now)
        kind = MarkedPacket if self.ecn.marking else SentPacket
        for recalls in carried:
            packets[number] = kind(now, size, True, recalls)
            number += 1
        count = number - first
        congestion.bytes_in_flight += size * count
        sent.eliciting += count
        sent.last_eliciting_at = now
        self.probes[APPLICATION_SPACE] = max(self.probes[APPLICATION_SPACE] - count, 0)

    # --- an ACK ---------------------------------------------------------------------------------------------------

    def ack_received(
        self,
        space: int,
        ranges: Sequence[tuple[int, int]],
        ack_delay: float,
        now: float,
        ecn: EcnCounts | None = None,
    ) -> bool:
        """An ACK frame; whether it acknowledged anything new.

        `ranges`: [start, stop), descending as in the frame. `ecn`: the counts in it, if it has any. Raises
        ProtocolViolation when it acknowledges what was never sent (RFC 9000 section 13.1).
        """
        sent = self.spaces[space]
        packets, first = sent.packets, sent.first
        largest = ranges[0][1] - 1
        if largest >= sent.next_number:
            raise ProtocolViolation(f"packet {largest} was not sent and is acknowledged", section="RFC 9000 13.1")
        news = newest = largest > sent.largest_acked  # if only of packets that were not in flight
        if newest:
            sent.largest_acked = largest
        recovery = self.congestion.recovery_started
        size = growing = eliciting = marked = 0
        packet = None
        for start, stop in reversed(ranges):
            for number in range(max(first, start), stop):
                packet = packets.get(number)
                if packet is None:
                    continue
                if number == first:
                    del packets[number]
                    first = number + 1
                else:
                    packets[number] = None
                news = True
                size += packet.size
                if packet.sent_at > recovery:
                    growing += packet.size
                if packet.ack_eliciting:
                    eliciting += 1
                marked += packet.marked
                for owner, at, mark, data in packet.recalls:
                    owner.acked(at, mark, data)
        if not news:
            return False
        sent.first = first
        sent.eliciting -= eliciting
        # `packet` is the last that was looked at, thus the largest acknowledged: a sample only if that is news, and of
        # this path.
        if eliciting and packet is not None and packet.size:
            if self.handshake_confirmed:
                ack_delay = min(ack_delay, self.round_trip.max_ack_delay)
            self.round_trip.sample(now - packet.sent_at, 0.0 if space == INITIAL_SPACE else ack_delay, now)
        sent.advance()
        if self._detect_lost(sent, now):
            growing = 0
        if (
            newest
            and (marked or ecn is not None)
            and self.ecn.acknowledged(space, marked, ecn)
            and packet is not None
            and packet.size
            and self.congestion.lost(0, packet.sent_at, now)
        ):
            growing = 0  # RFC 9002 section 7.1: congestion, and nothing lost
        self.congestion.acked(size, growing, now, self.round_trip.smoothed)
        if space == HANDSHAKE_SPACE:
            self._peer_validated = True
        if self._peer_validated or self.handshake_confirmed:
            self.pto_count = 0
        self._idle_since = now
        return True

    # --- losses ---------------------------------------------------------------------------------------------------

    def _detect_lost(self, sent: SentPackets, now: float) -> bool:
        """Whether that was a congestion event. The order of numbers is that of sending: the first one kept ends it."""
        sent.loss_time = None
        largest = sent.largest_acked
        if not sent.packets or sent.first > largest:
            return False
        packets = sent.packets
        delay = self.round_trip.loss_delay
        lost: list[SentPacket] = []
        runs = [0]  # where in `lost` a run begins between whose packets nothing was acknowledged
        for number in range(sent.first, largest + 1):
            packet = packets.get(number)
            if packet is None:
                if number in packets:
                    runs.append(len(lost))
                continue
            if packet.sent_at + delay > now and number > largest - _PACKET_THRESHOLD:
                sent.loss_time = packet.sent_at + delay
                break
            del packets[number]
            lost.append(packet)
            if self.on_lost is not None:
                self.on_lost(self.spaces.index(sent), number, number <= largest - _PACKET_THRESHOLD, now)
        if not lost:
            return False
        sent.advance()
        return self._lose(sent, lost, runs, now)

    def _lose(self, sent: SentPackets, lost: list[SentPacket], runs: list[int], now: float) -> bool:
        size, last, marked = 0, NEVER, 0
        for packet in lost:
            size += packet.size
            marked += packet.marked
            sent.eliciting -= packet.ack_eliciting
            if packet.size and not packet.mtu_probe:
                last = packet.sent_at
            if not packet.recalled:
                for owner, at, mark, data in packet.recalls:
                    owner.lost(at, mark, data)
        self.packets_lost += len(lost)
        if marked:
            self.ecn.lost(marked)
        congestion = self.congestion
        event = congestion.lost(size, last, now)
        if self._persistent(lost, runs):
            congestion.persistent()
        return event

    def _persistent(self, lost: list[SentPacket], runs: list[int]) -> bool:
        """Whether these losses mean persistent congestion (section 7.6.2)."""
        since = self.round_trip.first_sample_at
        duration = self.round_trip.persistent_congestion
        if since is None or lost[-1].sent_at - lost[0].sent_at <= duration:
            return False
        for start, stop in zip(runs, [*runs[1:], len(lost)], strict=True):
            run = [each for each in lost[start:stop] if each.ack_eliciting and each.size]
            times = [each.sent_at for each in run if each.sent_at > since]
            if times and times[-1] - times[0] > duration:
                return True
        return False

    # --- time -----------------------------------------------------------------------------------------------------

    def timeout(self) -> float | None:
        """When `handle_timeout` is due; None when nothing is waited for."""
        losses = [sent.loss_time for sent in self.spaces if sent.loss_time is not None]
        if losses:
            return min(losses)
        if self.amplification_limited:
            return None
        due = self._probe_due()
        return None if due is None else due[0]

    def _probe_due(self) -> tuple[float, int] | None:
        """When the probe timeout expires, and in which space."""
        backoff: int = 1 << min(self.pto_count, _BACKOFF)
        duration = self.round_trip.probe_timeout * backoff
        found: tuple[float, int] | None = None
        for space, sent in enumerate(self.spaces):
            if not sent.eliciting:
                continue
            if space == APPLICATION_SPACE:
                if not self.handshake_confirmed:
                    break
                duration += self.round_trip.max_ack_delay * backoff
            at = sent.last_eliciting_at + duration
            if found is None or at < found[0]:
                found = at, space
        if found is None and not self._peer_validated and not self.handshake_confirmed:
            # Section 6.2.2.1: a server that may not send waits for us, and we would wait for it.
            return self._idle_since + duration, HANDSHAKE_SPACE if self.handshake_keys else INITIAL_SPACE
        return found

    def handle_timeout(self, now: float) -> None:
        """What was due by now is done: packets are lost, or `probes` asks for some to be sent."""
        expired = [sent for sent in self.spaces if sent.loss_time is not None and sent.loss_time <= now]
        for sent in expired:
            self._detect_lost(sent, now)
        if expired or self.amplification_limited:
            return
        due = self._probe_due()
        if due is None or due[0] > now:
            return
        self.pto_count += 1
        self._idle_since = now
        self._probe(due[1], _PROBES if self.spaces[due[1]].eliciting else 1)
        for space in (INITIAL_SPACE, HANDSHAKE_SPACE):  # coalesced with it, they cost no datagram of their own
            if space != due[1] and self.spaces[space].eliciting:
                self._probe(space, 1)

    def _probe(self, space: int, count: int) -> None:
        """Let so many packets be sent; what the oldest ones carry is sent again in them."""
        self.probes[space] = count
        for packet in self.spaces[space].outstanding():
            if not count:
                break
            if packet.ack_eliciting and not packet.recalled:
                packet.recalled = True
                count -= 1
                for owner, at, mark, data in packet.recalls:
                    owner.lost(at, mark, data)

    def repeat(self, space: int) -> None:
        """Let what the latest packet has carried be sent once more."""
        for packet in reversed(self.spaces[space].outstanding()):
            if packet.recalls:
                packet.recalled = True
                for owner, at, mark, data in packet.recalls:
                    owner.lost(at, mark, data)
                return

    # --- what else may happen -------------------------------------------------------------------------------------

    def discard(self, space: int, now: float) -> None:
        """The keys of a space are gone: nothing in it is waited for (section 6.4)."""
        sent = self.spaces[space]
        self.congestion.discarded(sum(packet.size for packet in sent.outstanding()))
        sent.clear()
        self.probes[space] = 0
        self.pto_count = 0
        self._idle_since = now

    def requeue(self, space: int) -> None:
        """Nothing that was sent in a space was taken (Retry): it is all sent again."""
        for packet in self.forget(space):
            if not packet.recalled:
                for owner, at, mark, data in packet.recalls:
                    owner.lost(at, mark, data)

    def forget(self, space: int) -> list[SentPacket]:
        """Nothing that is in flight in a space is waited for, nor sent again (0-RTT rejected); it is handed over."""
        sent = self.spaces[space]
        packets = sent.outstanding()
        self.congestion.discarded(sum(packet.size for packet in packets))
        sent.clear()
        return packets

    def new_path(self) -> None:
        """The peer's address has changed: what is in flight tells nothing of the new path (RFC 9000 section 9.4)."""
        for sent in self.spaces:
            for packet in sent.outstanding():
                self.congestion.discarded(packet.size)
                packet.size = 0
                packet.__class__ = SentPacket  # and if its mark is lost, that is the old path's doing
        self.congestion.reset()
        self.round_trip.reset()
        self.ecn.reset()
        self.pto_count = 0
