"""What is sent until it has arrived: the flight that is out, its timer, what waits behind it (RFC 9147 section 5.8,
RFC 6347 section 4.2.4).

One flight is out at a time. A flight of the handshake takes the place of the one before, which the peer has answered;
a message after the handshake waits until whatever is out has been acknowledged. That is stricter than the RFC, which
would allow several post-handshake messages at once, and keeps their order: nothing may follow a KeyUpdate in its epoch.
"""

from __future__ import annotations

from caesura.context import DTLSSettings
from caesura.dtls.flights import Ending, Flight, RetransmissionTimer
from caesura.dtls.fragments import ChangeCipherSpec, OutgoingMessage
from caesura.dtls.writer import RecordWriter
from caesura.errors import InternalError, ReadTimeoutExpired
from caesura.handshake.transport import Epoch
from caesura.wire.dtls import RecordNumber

_LAST_SEQ = 2**16 - 1
_SMALLER_FROM = 3  # the expiry from which on datagrams are smaller (RFC 9147 section 4.4: "2-3 seems appropriate")


class Retransmission:
    """Takes messages; sends flights, again and again. `now` is in seconds, monotonic."""

    __slots__ = (
        "_final_until",
        "_nudged",
        "_remembered",
        "_sent_at",
        "_settings",
        "_writer",
        "flight",
        "next_seq",
        "queued",
        "timer",
    )

    def __init__(self, settings: DTLSSettings, remembered: int, writer: RecordWriter, next_seq: int) -> None:
        self._settings = settings
        self._remembered = remembered
        self._writer = writer
        self.queued: list[OutgoingMessage | ChangeCipherSpec] = []
        self._nudged = False  # whether an ACK without news has made us send already
        self._sent_at = 0.0
        self._final_until = 0.0
        self.flight: Flight | None = None
        self.next_seq = next_seq
        self.timer = RetransmissionTimer(settings.initial_timeout, settings.maximum_timeout, settings.timer)

    # --- sending ----------------------------------------------------------------------------------------------------

    def queue(self, epoch: int, message: bytes) -> bytes:
        """A message for the next flight; as it stands there in one piece."""
        seq = self.next_seq
        if seq > _LAST_SEQ:
            raise InternalError("no message_seq is left", section="RFC 9147 section 5.2")
        self.next_seq = seq + 1
        outgoing = OutgoingMessage(epoch, seq, message)
        self.queued.append(outgoing)
        return outgoing.whole

    def change_cipher_spec(self) -> None:
        """What is queued from here on has new keys: DTLS 1.2 says so."""
        self.queued.append(ChangeCipherSpec(self._writer.current))

    def flush(self, now: float, ending: Ending) -> bool:
        """Send what is queued, which is something, as one flight if it may go out. Whether it was of the handshake."""
        after = self.queued[0].epoch >= Epoch.APPLICATION
        if after:
            if self.flight is not None:
                return False
            for message in self.queued:  # the keys may have changed while they waited
                message.epoch = self._writer.current
        messages, self.queued = self.queued, []
        self.flight = Flight(messages, ending, remembered=self._remembered)
        self.timer.reset()
        self._transmit(now)
        self._final_until = now + self._settings.old_epoch_lifetime
        return not after

    def _transmit(self, now: float) -> None:
        writer, flight = self._writer, self.flight
        assert flight is not None
        writer.out += flight.transmit(writer.seal, writer.overhead, writer.mtu, writer.max_content)
        self._sent_at = now
        if flight.ending is not Ending.FINAL:
            self.timer.start(now)

    def first_epoch(self, current: int) -> int:
        """The epoch of the first message of a handshake's flight that was not sent yet; else the current one."""
        return self.queued[0].epoch if self.queued and self.queued[0].epoch < Epoch.APPLICATION else current

    @property
    def waiting(self) -> bool:
        """Whether a flight could go out."""
        return bool(self.queued) and self.flight is None

    @property
    def idle(self) -> bool:
        """Whether nothing is out, and nothing waits."""
        return self.flight is None and not self.queued

    # --- what the peer lets us know ---------------------------------------------------------------------------------

    def answered(self) -> None:
        """The peer's next flight has begun: it has all of ours."""
        if self.flight is not None and self.flight.ending is Ending.ANSWERED:
            self._arrived()

    def acknowledged(self, numbers: list[RecordNumber], now: float) -> bool:
        """An ACK; whether with it the peer has all of the flight that is out.

        What the ACK shows to be missing is sent at once. One that says nothing new does so only once until the timer
        expires: anybody can send it in epoch 0.
        """
        flight = self.flight
        if flight is None:
            return False
        news = flight.acknowledge(numbers)
        if flight.arrived:
            self._arrived()
            return True
        self._forget_keys()
        running = self.timer.deadline is not None
        if self._settings.fast_retransmit and running and (news or not (numbers or self._nudged)):
            self._nudged = self._nudged or not news
            self._transmit(now)
        return False

    def repeated(self, now: float) -> None:
        """The peer has sent its last flight of the handshake again: it may lack ours (RFC 9147 section 5.8.1, point 3).

        Not so when ours may still be on its way, and not while the timer stands still.
        """
        flight = self.flight
        if flight is not None and flight.ending is Ending.FINAL:
            self._repeat_final(now)
            return
        if flight is None or flight.messages[0].epoch >= Epoch.APPLICATION or self.timer.deadline is None:
            return
        if now - self._sent_at >= self.timer.duration * self._settings.ack_delay:
            if (
                flight.ending is Ending.ANSWERED
            ):  # whatever was acknowledged: it has no use for it, or it would not repeat itself
                flight.lose()
            self._transmit(now)

    def _repeat_final(self, now: float) -> None:
        """The peer's last flight has come again, and under its keys: no doubt that it lacks ours."""
        if now < self._final_until:
            self._transmit(now)
        else:
            self._arrived()

    def _arrived(self) -> None:
        self.flight = None
        self._nudged = False
        self.timer.reset()
        self._forget_keys()

    def _forget_keys(self) -> None:
        """Drop the keys under which nothing will be sent again."""
        needed = {message.epoch for message in self.queued}
        if self.flight is not None:
            needed |= self.flight.epochs
        self._writer.forget(needed)

    # --- time -------------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """The timer has expired: send again what is missing. ReadTimeoutExpired after too many."""
        self.timer.expire(now)
        self._nudged = False
        if self.timer.expiries > self._settings.retransmissions:
            raise ReadTimeoutExpired(f"no answer to a flight that was sent {self.timer.expiries} times")
        if self.timer.expiries >= _SMALLER_FROM and self._settings.fallback_mtu is not None:
            self._writer.mtu = min(self._writer.mtu, self._settings.fallback_mtu)
        self._transmit(now)

    def suspend(self) -> None:
        """Our own work is paused: the peer cannot be late with an answer to a flight that it has answered in part."""
        if self.flight is not None and self.flight.ending is Ending.ANSWERED:
            self.timer.suspend()

    def go_on(self, now: float) -> None:
        """We wait for the peer again."""
        flight = self.flight
        if flight is not None and self.timer.deadline is None and flight.ending is not Ending.FINAL:
            self.timer.start(now)

    def close(self) -> None:
        """Send nothing more."""
        self.queued.clear()
        self.flight = None
        self.timer.reset()
