"""What stands between an SSL's connection and its BIOs: how bytes, or datagrams, get from one to the other.

There is one class per kind of transport, and `SSL` is the same over both. A stream keeps what its BIO has not taken and
hands it on piece by piece; datagrams go whole or not at all, may get lost on the way, and come with timers.

Nothing here waits for paused work, and nothing decides what a call is to raise.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

from caesura.bio import BIO
from caesura.context import Settings
from caesura.dtls.connection import DTLSConnection
from caesura.tls.connection import TLSConnection

Connection: TypeAlias = TLSConnection | DTLSConnection

CHUNK = 5 + 2**14 + 256
"""Bytes taken from a stream at a time: one TLS record of any size (RFC 9846 section 5.2). What is not taken stays with
the transport, so that a paused connection pushes back on its peer."""

_PIECE = 65_536  # bytes offered at a time to a BIO that did not take everything at once
_DATAGRAM = 65_536  # bytes: longer than any
_AT_ONCE = 64  # datagrams taken in one call while work is paused


class Transfer(Protocol):
    """What an SSL asks of what carries its bytes. `now` is in seconds, monotonic."""

    @property
    def connection(self) -> Connection:
        """Whose bytes they are."""

    @property
    def unsent(self) -> bool:
        """Whether there is something that the BIO has not taken."""

    @property
    def may_remain(self) -> bool:
        """Whether nobody has to wait for what is unsent when the handshake is complete."""

    def collect(self, now: float) -> None:
        """Take what the connection has to send."""

    def push(self, wbio: BIO) -> bool:
        """Give the BIO what was collected; whether it has taken all."""

    def before_waiting(self, wbio: BIO, now: float) -> None:
        """The call will wait for paused work: send what the peer should have meanwhile."""

    def take(self, rbio: BIO) -> bool:
        """Give the connection what the BIO has; whether that was anything."""

    def take_paused(self, rbio: BIO) -> bool:
        """The same while the handshake's work is paused, without waiting."""


class StreamTransfer:
    """A TLS connection's bytes."""

    __slots__ = ("_monotonic", "connection", "out", "position")

    def __init__(self, connection: TLSConnection, monotonic: Callable[[], float]) -> None:
        self.connection = connection
        self._monotonic = monotonic
        self.out = b""  # sealed bytes the write BIO has not taken …
        self.position = 0  # … up to here it has

    @property
    def unsent(self) -> bool:
        """Whether there are bytes that the BIO has not taken."""
        return bool(self.out)

    @property
    def may_remain(self) -> bool:
        """Whether what a server of TLS 1.3 has still to send are tickets.

        Whoever waited for them to leave would wait for ever when the client does not read before it writes.
        """
        return self.connection.sends_tickets_last

    def collect(self, now: float) -> None:
        """Take what is ready, behind what is here."""
        out = self.connection.data_to_send(now)
        if self.out:
            out = self.out[self.position :] + out
        self.out, self.position = out, 0

    def push(self, wbio: BIO) -> bool:
        """Offer all of it; whether the BIO has taken it."""
        out = self.out
        while (position := self.position) < len(out):
            try:
                taken = wbio.write(out[position : position + _PIECE] if position else out)
            except OSError:
                if self.connection.error is None:
                    raise
                taken = 0  # an alert that finds nobody: why it was to be sent is of more interest
            if not taken:
                return False
            self.position += taken
        self.out, self.position = b"", 0
        return True

    def before_waiting(self, wbio: BIO, now: float) -> None:
        """Nothing: a stream's flight is written when it is whole."""

    def take(self, rbio: BIO) -> bool:
        """One chunk."""
        chunk = rbio.read(CHUNK)
        if chunk:
            self.connection.receive_data(chunk, self._monotonic())
        return bool(chunk)

    def take_paused(self, rbio: BIO) -> bool:  # noqa: ARG002
        """Nothing: what is not taken pushes back on the peer."""
        return False


class DatagramTransfer:
    """A DTLS connection's datagrams, to and from one peer.

    A BIO that waits for datagrams has `set_next_timeout(seconds | None)`, after which it gives up and says that there
    is nothing now (BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT of BIO_s_datagram(3)): that is how timers get their turn.
    """

    __slots__ = ("_limit", "_monotonic", "connection", "out")

    may_remain = False

    def __init__(self, connection: DTLSConnection, settings: Settings) -> None:
        self.connection = connection
        self._monotonic = settings.clock.monotonic
        self._limit = settings.limits.unsent_datagrams
        self.out: deque[bytes] = deque()

    @property
    def unsent(self) -> bool:
        """Whether there are datagrams that the BIO has not taken."""
        return bool(self.out)

    def collect(self, now: float) -> None:
        """Take what is ready. What there is no room for is lost: it could be on the network, too."""
        for datagram, _ in self.connection.datagrams_to_send(now):
            if len(self.out) < self._limit:
                self.out.append(datagram)

    def push(self, wbio: BIO) -> bool:
        """Offer one after the other. One that cannot be sent is lost, and the error is raised."""
        out = self.out
        while out:
            try:
                if not wbio.write(out[0]):
                    return False
            except TimeoutError:
                raise
            except OSError as error:
                if not self._bears(error, len(out.popleft())):
                    raise
            else:
                out.popleft()
        return True

    def _bears(self, error: OSError, length: int) -> bool:
        """Whether an error need not be told: there is a better one to tell, or something to be done about it."""
        connection = self.connection
        return connection.error is not None or (error.errno == errno.EMSGSIZE and connection.too_long(length))

    def before_waiting(self, wbio: BIO, now: float) -> None:
        """Send acknowledgements and what timers have sent again: the peer waits on its own timers."""
        self.collect(now)
        self.push(wbio)

    def take(self, rbio: BIO) -> bool:
        """One datagram, or a timer that expires before one comes."""
        connection = self.connection
        set_next_timeout = getattr(rbio, "set_next_timeout", None)
        if set_next_timeout is not None:
            deadline = connection.timeout()
            left = None if deadline is None else max(0.0, deadline - self._monotonic())
            set_next_timeout(0.0 if connection.waiting_for_async else left)
        datagram = rbio.read(_DATAGRAM)
        now = self._monotonic()
        if datagram:
            connection.receive_datagram(datagram, None, now)
            return True
        if rbio.eof or (deadline := connection.timeout()) is None or deadline > now + connection.timer_slack:
            return False
        connection.handle_timeout(now)
        return True

    def take_paused(self, rbio: BIO) -> bool:
        """What is there, some datagrams at most: the peer goes on, and may have given up."""
        taken = 0
        with suppress(OSError):  # who waits for the peer will hear of it
            while taken < _AT_ONCE and self.take(rbio):
                taken += 1
        return taken > 0
