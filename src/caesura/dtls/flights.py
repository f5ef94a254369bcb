"""Flights, and the timer that sends them again (RFC 9147 section 5.8).

A flight is what one side sends before it must hear from the other. It is kept until the peer is known to have it: by an
ACK, which may cover a part, or by the peer's answer. What differs between flights is who ends the waiting:

- an *answered* flight of the handshake: any part of the peer's next flight is an implicit acknowledgement. Its timer
  runs while the handshake waits for the peer, and stands still while the handshake's own work is paused;
- an *acknowledged* one, a client's last and everything after the handshake: nothing but ACKs end it;
- the *final* one of a handshake of DTLS 1.2, which has no ACKs: it has no timer, and is sent again when the peer
  repeats itself (RFC 6347 section 4.2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Final

from caesura.dtls.fragments import ChangeCipherSpec, OutgoingMessage, Part, plan
from caesura.wire.dtls import RecordNumber
from caesura.wire.registries import ContentType

_CHANGE_CIPHER_SPEC: Final = int(ContentType.change_cipher_spec)
_HANDSHAKE: Final = int(ContentType.handshake)

Seal = Callable[[int, int, bytes], tuple[RecordNumber, bytes]]
"""Seals content of a type under the keys of an epoch: the record's number and the record."""


class Ending(Enum):
    """What ends the waiting for a flight to arrive: see above."""

    ANSWERED = auto()
    ACKNOWLEDGED = auto()
    FINAL = auto()


class Flight:
    """Messages on their way. `remembered`: how many records are matched against ACKs, which DTLS 1.2 has not."""

    __slots__ = ("_remembered", "_sent", "ending", "messages")

    def __init__(
        self, messages: Sequence[OutgoingMessage | ChangeCipherSpec], ending: Ending, *, remembered: int
    ) -> None:
        self.messages = messages
        self.ending = ending
        self._remembered = remembered
        self._sent: dict[RecordNumber, list[Part]] = {}  # oldest first

    def transmit(self, seal: Seal, overhead_of: Callable[[int], int], mtu: int, max_content: int) -> list[bytes]:
        """Datagrams with what the peer is not known to have."""
        datagrams, sent = [], self._sent
        for records in plan(self.messages, overhead_of, mtu, max_content):
            sealed = []
            for epoch, parts in records:
                if parts:
                    content = b"".join([message.fragment(start, stop) for message, start, stop in parts])
                    number, record = seal(epoch, _HANDSHAKE, content)
                else:
                    number, record = seal(epoch, _CHANGE_CIPHER_SPEC, b"\x01")
                sent[number] = parts
                sealed.append(record)
            datagrams.append(b"".join(sealed))
        while len(sent) > self._remembered:
            del sent[next(iter(sent))]
        return datagrams

    def acknowledge(self, numbers: Iterable[RecordNumber]) -> bool:
        """The peer has these records; whether that is news. Numbers that are not ours, or forgotten, are none."""
        news = False
        for number in numbers:
            for message, start, stop in self._sent.pop(number, ()):
                news = news or bool(message.missing)
                message.arrived(start, stop)
        return news

    def lose(self) -> None:
        """The peer has shown that it lacks something: all is sent again."""
        for message in self.messages:
            message.lose()

    @property
    def arrived(self) -> bool:
        """Whether the peer has all of it."""
        return not any(message.missing for message in self.messages)

    @property
    def epochs(self) -> set[int]:
        """The epochs whose keys it may still need: all of its own, if all of it may be asked for again (see `lose`)."""
        return {message.epoch for message in self.messages if message.missing or self.ending is not Ending.ACKNOWLEDGED}


class RetransmissionTimer:
    """1 s, doubling at each expiry up to 60 s, with the default settings (RFC 9147 section 5.8.2). Seconds throughout.

    `choose` replaces the doubling: it is given the present duration, 0 at first, and gives the next one.
    """

    __slots__ = ("_choose", "_initial", "_maximum", "_started", "duration", "expiries")

    _started: float | None

    def __init__(self, initial: float, maximum: float, choose: Callable[[float], float] | None) -> None:
        self._initial = initial
        self._maximum = maximum
        self._choose = choose
        self.reset()

    @property
    def deadline(self) -> float | None:
        """When it expires; None while it does not run."""
        return None if self._started is None else self._started + self.duration

    def start(self, now: float) -> None:
        """Run, for the present duration from now."""
        self._started = now

    def suspend(self) -> None:
        """Stand still, and forget nothing."""
        self._started = None

    def reset(self) -> None:
        """The peer has been heard: stop, and begin with the initial duration the next time."""
        self._started = None
        self.expiries = 0
        self.duration = self._initial if self._choose is None else self._choose(0.0)

    def expire(self, now: float) -> None:
        """It has expired: run on with the next duration."""
        self.expiries += 1
        if self._choose is None:
            self.duration = min(self.duration * 2, self._maximum)
        else:
            self.duration = self._choose(self.duration)
        self._started = now

    def set_initial(self, seconds: float) -> None:
        """Another initial duration, which the present one follows in proportion; what has elapsed counts."""
        self._initial = seconds
        if self._choose is None:
            self.duration = min(seconds * 2**self.expiries, self._maximum)
