"""Two SSL objects over a wire of datagrams that a test controls, on virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caesura import openssl as o
from caesura.context import Context, Method
from caesura.sslobject import SSL
from caesura.wire.registries import Version
from tests.support import ssl_pair
from tests.support.ssl_pair import StoppedClock

DTLS_VERSIONS = tuple(reversed(Context(Method.DTLS).versions))
"""Those that are spoken, oldest first."""


@dataclass
class Wire:
    """What is between two ends. `carry(number, datagram)` says which datagrams arrive for one that is sent."""

    carry: Callable[[int, bytes], list[bytes]] = lambda number, datagram: [datagram]
    sent: list[tuple[bool, bytes]] = field(default_factory=list)  # whether by the client, and what


class WireBIO:
    """One end of a wire."""

    eof = False

    def __init__(self, wire: Wire, is_client: bool) -> None:
        self.wire = wire
        self.is_client = is_client
        self.arrived: deque[bytes] = deque()
        self.other: WireBIO
        self.full = False
        self.error: OSError | None = None

    @property
    def pending(self) -> int:
        return len(self.arrived[0]) if self.arrived else 0

    def read(self, size: int = -1, /) -> bytes:
        return self.arrived.popleft() if self.arrived else b""

    def write(self, data: Any, /) -> int:
        if self.error is not None:
            raise self.error
        if self.full:
            return 0
        number = len(self.wire.sent)
        self.wire.sent.append((self.is_client, bytes(data)))
        self.other.arrived.extend(self.wire.carry(number, bytes(data)))
        return len(data)

    def write_eof(self) -> None:
        pass


def wire(carry: Callable[[int, bytes], list[bytes]] | None = None) -> tuple[WireBIO, WireBIO]:
    """The client's end and the server's end."""
    between = Wire() if carry is None else Wire(carry)
    one, two = WireBIO(between, True), WireBIO(between, False)
    one.other, two.other = two, one
    return one, two


@dataclass
class Pair:
    """A client and a server, their wire and their clock."""

    client: SSL
    server: SSL
    ends: tuple[WireBIO, WireBIO]
    clock: StoppedClock

    @property
    def sent(self) -> list[tuple[bool, bytes]]:
        return self.ends[0].wire.sent

    def by(self, client: bool) -> list[bytes]:
        """What the client, or the server, has sent."""
        return [datagram for by_client, datagram in self.sent if by_client is client]

    def handshake(self, seconds: float = 600.0) -> Pair:
        """Perform the handshake of both, going from timer to timer as a program would that waits for them."""
        end = self.clock.now + seconds
        unfinished = [self.client, self.server]
        while unfinished:
            before = len(self.sent)
            for side in list(unfinished):
                ret = o.SSL_do_handshake(side)
                if ret == 1:
                    unfinished.remove(side)
                elif o.SSL_get_error(side, ret) != o.SSL_ERROR_WANT_READ:
                    raise AssertionError(f"{side}: {ret}") from o.SSL_get_last_error(side)
            self.listen(*{self.client, self.server}.difference(unfinished))
            if unfinished and len(self.sent) == before and not any(each.arrived for each in self.ends):
                self.sleep()
                assert self.clock.now < end, "the handshake makes no progress"
        return self

    def listen(self, *sides: SSL) -> None:
        """Those whose handshake is done read, as programs do: their last flight may have to be sent again."""
        for side in sides:
            assert o.SSL_read(side, 100)[0] == -1
            assert o.SSL_get_error(side, -1) == o.SSL_ERROR_WANT_READ, o.SSL_get_last_error(side)

    def sleep(self) -> None:
        """Until a timer expires."""
        timeouts = [o.SSL_get_event_timeout(side) for side in (self.client, self.server)]
        waits = [seconds for _, seconds, infinite in timeouts if not infinite]
        assert waits, "nobody waits for anything"
        self.clock.now += min(waits)

    def quiet(self) -> Pair:
        """Go on until nothing is under way: the last flight is acknowledged, tickets too."""
        for _ in range(100):
            self.listen(self.client, self.server)
            if any(each.arrived for each in self.ends):
                continue
            if all(o.SSL_get_event_timeout(side)[2] for side in (self.client, self.server)):
                self.sent.clear()
                return self
            self.sleep()
        raise AssertionError("there is no end to it")


def pair(
    version: Version,
    *,
    carry: Callable[[int, bytes], list[bytes]] | None = None,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **both: Any,
) -> Pair:
    """A client and a server of this version whose handshake is not begun."""
    clock = StoppedClock()
    ends = wire(carry)
    common = {
        "method": Method.DTLS,
        "minimum_version": version,
        "maximum_version": version,
        "clock": clock,
        "groups": ["x25519", "secp256r1"],
        **both,
    }
    return Pair(
        ssl_pair.client(ends[0], **{**common, **(client or {})}),
        ssl_pair.server(ends[1], **{**common, **(server or {})}),
        ends,
        clock,
    )


def connected(version: Version, **settings: Any) -> Pair:
    """The same, the handshake done and nothing under way."""
    return pair(version, **settings).handshake().quiet()
