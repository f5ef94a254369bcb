"""Key update: how the keys of 1-RTT packets follow each other (RFC 9001 section 6).

A phase bit in the header says which keys a packet has. Three sets may open one: the current, the next, which is made
before anybody asks for it, and for a while the previous, for packets that were overtaken. The phase bit cannot tell the
last two apart; the packet's number does. A packet that opens with the next keys is the peer's update, and ours follows
before anything else is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from caesura.crypto.aead import InvalidTag
from caesura.crypto.quic import SAMPLE_LENGTH, PacketKey, packet_protection
from caesura.crypto.secrets import TrafficSecret
from caesura.errors import KeyUpdateError
from caesura.quic.packets import KEY_PHASE, NUMBER_LENGTH, SHORT_RESERVED, decode_number
from caesura.quic.protection import BYTES, LOW_BITS, SAMPLE_AT, SHORT_BITS, U32, WriteKey, check_reserved

Numbered = tuple[int, bytes]
"""A packet's number and its frames."""

_USUAL: Final = KEY_PHASE | SHORT_RESERVED
_OLD_KEYS: Final = 3  # PTOs that the previous keys are kept (section 6.5)
_NONE_YET: Final = 2**62


class KeyPhases:
    """The 1-RTT keys of both directions: those that open, and when those that seal are updated.

    `probe_timeout` gives the seconds by which the previous keys' time is measured. `previous_until` is when they are
    dropped (by `expire`), None while there are none; `integrity_limit` is as that of a `ReadKey`.
    """

    __slots__ = (
        "_current",
        "_generation",
        "_highest_previous",
        "_lowest",
        "_mask",
        "_next",
        "_previous",
        "_probe_timeout",
        "_write",
        "integrity_limit",
        "previous_until",
    )

    def __init__(self, write: WriteKey, read: TrafficSecret, label: bytes, probe_timeout: Callable[[], float]) -> None:
        self._write = write
        self._probe_timeout = probe_timeout
        self._current, self._mask = packet_protection(read, label)
        self._previous: PacketKey | None = None
        self._next = self._current.next_phase()
        self._generation = 0  # of the current keys
        self._lowest = _NONE_YET  # number opened with the current keys
        self._highest_previous = -1  # number opened with the previous ones
        self.previous_until: float | None = None
        self.integrity_limit = self._current.integrity_limit

    def open_untrusted(self, datagram: bytes, number_at: int, largest: int, now: float) -> Numbered | None:
        """The number and the frames of a packet that is the whole datagram from 0 on; None when it does not open.

        `largest`: the largest number opened, or -1. Raises ProtocolViolation for reserved bits, KeyUpdateError for keys
        that changed too soon or backwards. What `unmask` and `open_with` do stands here once more: see `ReadKey`.
        """
        sample_at = number_at + SAMPLE_AT
        sample = datagram[sample_at : sample_at + SAMPLE_LENGTH]
        if len(sample) < SAMPLE_LENGTH:
            return None
        mask = self._mask(sample)
        first = datagram[0] ^ mask[0] & SHORT_BITS
        length = (first & NUMBER_LENGTH) + 1
        at = number_at + length
        low = int.from_bytes(datagram[number_at:at], "big") ^ int.from_bytes(mask[1 : 1 + length], "big")
        number = decode_number(low, length, largest)
        header = BYTES[first] + datagram[1:number_at] + low.to_bytes(length, "big")
        current = (first & KEY_PHASE != 0) == self._generation & 1
        if current:
            key = self._current
        else:
            key = self._previous if self._previous is not None and number < self._lowest else self._next
        try:
            payload = key.decrypt((key.iv ^ number).to_bytes(12, "big"), datagram[at:], header)
        except InvalidTag:
            return None
        if first & SHORT_RESERVED:
            check_reserved(first)
        if not current:
            self._opened_otherwise(key, number, now)
        elif number < self._lowest:
            self._opened_early(number)
        return number, payload

    def open_bulk(self, datagrams: Sequence[bytes], used: bytes, largest: int, now: float) -> list[Numbered | None]:
        """The same for many that all begin with a short header and the connection id `used`.

        In one piece, and what is not as usual is left to `open_untrusted`: a third less work for each packet.
        """
        mask_of, number_at = self._mask, 1 + len(used)
        sample_at, sample_to = number_at + SAMPLE_AT, number_at + SAMPLE_AT + SAMPLE_LENGTH
        key, usual = self._current, KEY_PHASE if self._generation & 1 else 0
        decrypt, iv, lowest = key.decrypt, key.iv, self._lowest
        found: list[Numbered | None] = []
        for datagram in datagrams:
            if len(datagram) < sample_to:
                found.append(None)
                continue
            mask = mask_of(datagram[sample_at:sample_to])
            first = datagram[0] ^ mask[0] & SHORT_BITS
            length = (first & NUMBER_LENGTH) + 1
            low = (U32(datagram, number_at)[0] ^ U32(mask, 1)[0]) >> (4 - length << 3)
            number = largest + 1  # nearly always
            if number & LOW_BITS[length] != low:
                number = decode_number(low, length, largest)
            if first & _USUAL != usual or number < lowest:
                opened = self.open_untrusted(datagram, number_at, largest, now)
                key, usual = self._current, KEY_PHASE if self._generation & 1 else 0
                decrypt, iv, lowest = key.decrypt, key.iv, self._lowest
            else:
                header = BYTES[first] + used + low.to_bytes(length, "big")
                body = datagram[number_at + length :]
                try:
                    opened = number, decrypt((iv ^ number).to_bytes(12, "big"), body, header)
                except InvalidTag:
                    opened = None
            found.append(opened)
            if opened is not None and number > largest:
                largest = number
        return found

    def _opened_early(self, number: int) -> None:
        """A packet of the current phase that comes before all others of it."""
        if number < self._highest_previous:
            raise KeyUpdateError("older keys for a later packet", section="RFC 9001 section 6.4")
        self._lowest = number

    def _opened_otherwise(self, key: PacketKey, number: int, now: float) -> None:
        if key is self._previous:
            self._highest_previous = max(self._highest_previous, number)
            return
        if self._write.generation == self._generation:  # the peer's own idea: our keys follow
            if self._generation and not self._write.sealed:
                text = "a second key update before the first was acknowledged"
                raise KeyUpdateError(text, section="RFC 9001 section 6.2")
            self._write.update()
        self._previous, self._current, self._next = self._current, self._next, self._next.next_phase()
        self._generation += 1
        self._lowest = number
        self._highest_previous = -1
        self.previous_until = now + _OLD_KEYS * self._probe_timeout()

    def acknowledged(self, largest: int) -> None:
        """The peer has acknowledged our packets up to this number.

        Raises KeyUpdateError when it has seen our new keys and goes on with its old ones (section 6.2).
        """
        if self._write.generation > self._generation and largest >= self._write.first_number >= 0:
            raise KeyUpdateError("an acknowledgment of new keys under old ones", section="RFC 9001 section 6.2")

    def may_update(self, largest_acked: int) -> bool:
        """Whether we may change keys, on a connection whose handshake is confirmed (section 6.1).

        `largest_acked`: the largest of our numbers that the peer has acknowledged, or -1. Not before it has a packet of
        the present keys, nor while the previous ones are kept: the peer may still have its own (section 6.5).
        """
        sent = self._write.first_number
        return self._previous is None and self._write.generation == self._generation and 0 <= sent <= largest_acked

    def update(self) -> None:
        """Seal with the next keys from now on. Only when `may_update` says so."""
        self._write.update()

    def expire(self, now: float) -> None:
        """Drop the previous keys if their time has come."""
        if self.previous_until is not None and self.previous_until <= now:
            self._previous = self.previous_until = None
