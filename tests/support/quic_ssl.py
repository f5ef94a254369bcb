"""Two QUIC SSL objects, or clients and a listener, over datagrams that a test controls, on virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caesura.bio import datagram_pair
from caesura.context import Method
from caesura.errors import WantAsync, WantAsyncJob, WantRead
from caesura.sslobject.quic import QUICSSL
from caesura.sslobject.quic_listener import Listener
from tests.support import ssl_pair
from tests.support.ssl_pair import StoppedClock

SERVER = ("192.0.2.1", 443)


def settings(clock: StoppedClock, **more: Any) -> dict[str, Any]:
    return {"method": Method.QUIC, "alpn": ["test"], "clock": clock, "groups": ["x25519"], **more}


@dataclass
class Net:
    """A network of addresses; `carry(number, datagram)` says which datagrams arrive for one that is sent."""

    carry: Callable[[int, bytes], list[bytes]] = lambda number, datagram: [datagram]
    sent: list[tuple[Any, Any, bytes]] = field(default_factory=list)  # from, to, what
    ends: dict[Any, NetBIO] = field(default_factory=dict)

    def end(self, address: Any) -> NetBIO:
        """What a socket bound to this address would be."""
        return self.ends.setdefault(address, NetBIO(self, address))


@dataclass
class NetBIO:
    """A datagram BIO with addresses, as that of a socket."""

    net: Net
    address: Any
    arrived: deque[tuple[bytes, Any]] = field(default_factory=deque)
    full: bool = False
    error: OSError | None = None
    write_error: OSError | None = None
    eof = False

    @property
    def pending(self) -> int:
        return len(self.arrived[0][0]) if self.arrived else 0

    def read(self, size: int = -1, /) -> bytes:
        return self.read_from()[0]

    def read_from(self, size: int = -1, /) -> tuple[bytes, Any]:
        if self.error is not None:
            raise self.error
        return self.arrived.popleft() if self.arrived else (b"", None)

    def write(self, data: Any, /) -> int:
        return self.write_to(data, SERVER)

    def write_to(self, data: Any, address: Any, /) -> int:
        error = self.error or self.write_error
        if error is not None:
            raise error
        if self.full:
            return 0
        number = len(self.net.sent)
        self.net.sent.append((self.address, address, bytes(data)))
        for each in self.net.carry(number, bytes(data)):
            if address in self.net.ends:
                self.net.ends[address].arrived.append((each, self.address))
        return len(data)

    def write_eof(self) -> None:
        pass


@dataclass
class Pair:
    """A client and a server, and their clock."""

    client: QUICSSL
    server: QUICSSL
    clock: StoppedClock

    def handshake(self) -> Pair:
        """Perform the handshake of both."""
        drive(self.clock, self.client.do_handshake, self.server.do_handshake)
        return self

    def tick(self, times: int = 4) -> Pair:
        """Move both, without letting time pass."""
        for _ in range(times):
            self.client.handle_events()
            self.server.handle_events()
        return self

    def quiet(self) -> Pair:
        """Go on until nothing is under way but timers that are far away."""
        for _ in range(200):
            self.tick(1)
            soon = min((each.get_event_timeout() or 0.0) for each in (self.client, self.server))
            if soon > 1.0:
                return self
            self.clock.now += soon
        raise AssertionError("there is no end to it")


def drive(
    clock: StoppedClock, *calls: Callable[[], object], meanwhile: Callable[[], object] | None = None
) -> list[Any]:
    """Repeat each call until it does not ask for it any more, letting a little time pass; what they gave."""
    results: list[Any] = [None] * len(calls)
    left = set(range(len(calls)))
    for _ in range(2000):
        for number in sorted(left):
            try:
                results[number] = calls[number]()
            except (WantRead, WantAsync, WantAsyncJob):
                continue
            left.discard(number)
        if not left:
            return results
        if meanwhile is not None:
            meanwhile()
        clock.now += 0.001
    raise AssertionError("no progress")


def pair(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, **both: Any) -> Pair:
    """A client and a server over a datagram pair, their handshake not begun."""
    clock = StoppedClock()
    one, two = datagram_pair(256)
    ours = ssl_pair.client(one, **settings(clock, **{**both, **(client or {})}))
    theirs = ssl_pair.server(two, **settings(clock, **{**both, **(server or {})}))
    assert isinstance(ours, QUICSSL)
    assert isinstance(theirs, QUICSSL)
    return Pair(ours, theirs, clock)


def connected(**given: Any) -> Pair:
    """The same, the handshake done and nothing under way."""
    return pair(**given).handshake().quiet()


def listening(
    net: Net | None = None, *, validate: bool = True, clock: StoppedClock | None = None, begin: bool = True, **more: Any
) -> tuple[Listener, Net, StoppedClock]:
    """A listener on a network, which listens unless told not to begin."""
    net, clock = net or Net(), clock or StoppedClock()
    bio: Any = net.end(SERVER)
    listener = Listener(ssl_pair.server_context(**settings(clock, **more)), bio, validate=validate)
    if begin:
        listener.listen()
    return listener, net, clock


def calling(net: Net, clock: StoppedClock, port: int = 5000, **more: Any) -> QUICSSL:
    """A client on it."""
    bio: Any = net.end(("192.0.2.2", port))
    found = ssl_pair.client(bio, **settings(clock, **more))
    assert isinstance(found, QUICSSL)
    found.initial_peer_address = SERVER
    return found
