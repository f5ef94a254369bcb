"""Which path is in use, and what it takes to change it (RFC 9000 section 9).

A client may come from another address at any moment, by intention or because a NAT has forgotten it. A packet from
there that is not merely probing, and newer than all others, makes that path the active one at once; whether the client
is really there is found out then. If it is not, the path that was good before is the active one again.
"""

from __future__ import annotations

from collections.abc import Callable

from caesura.quic.connection_ids import PeerConnectionIds
from caesura.quic.packets import MIN_INITIAL_DATAGRAM
from caesura.quic.path import Address, Path


class Paths:
    """All paths of one connection: the active one, and at most `limit` others, of which the latest are kept.

    `moved`: whether another host is sent to since somebody looked, who sets it back: what was learnt of the old path is
    not true of that one.
    """

    __slots__ = ("_amplification", "_ids", "_limit", "_others", "_random", "active", "moved", "preferred")

    def __init__(
        self,
        active: Path,
        ids: PeerConnectionIds,
        limit: int,
        amplification: int,
        random: Callable[[int], bytes],
    ) -> None:
        self.active = active
        self.preferred: Path | None = None  # of a server, while that is being found out about
        self._others: list[Path] = []
        self._ids = ids
        self._limit = limit
        self._amplification = amplification
        self._random = random
        self.moved = False

    @property
    def all(self) -> list[Path]:
        """Every path, the active one first."""
        return [self.active, *self._others]

    def find(self, address: Address) -> Path | None:
        """The path to an address, if there is one."""
        if address == self.active.address:
            return self.active
        return next((path for path in self._others if path.address == address), None)

    def add(self, address: Address, *, same_id: bool) -> Path:
        """A path to an address that a genuine packet has come from.

        `same_id`: the packet was sent to the same id of ours as before. Then the peer may not know that its address has
        changed, and ours need not change either (section 9.5); otherwise it does, if the peer has given another.
        """
        peer_id = self.active.peer_id if same_id else self._ids.take() or self.active.peer_id
        path = Path(address, peer_id, self._random, self._amplification, validated=False)
        self._others.append(path)
        while len(self._others) > self._limit:
            self._leave(self._others.pop(0))
        return path

    def migrate(self, path: Path, now: float, probe_timeout: float) -> None:
        """Use another path from now on, and find out about it if nothing is known. Seconds."""
        previous = self.active
        self._others.remove(path)
        self._others.append(previous)
        self.active = path
        if not path.validated:
            path.validate(now, probe_timeout)
            previous.validate(now, probe_timeout)  # perhaps only somebody's copies came from elsewhere (section 9.3.3)
        if _host(path.address) != _host(previous.address):
            self.moved = True

    def try_out(self, address: Address, now: float, probe_timeout: float) -> None:
        """Find out whether the server is at the address that it prefers, and go there if it is (section 9.6.1)."""
        peer_id = self._ids.take()
        if peer_id is not None:
            path = self.preferred = Path(address, peer_id, self._random, self._amplification, validated=False)
            path.received = MIN_INITIAL_DATAGRAM  # as if so much had come: enough for challenges, and for no more
            path.validate(now, probe_timeout)
            self._others.append(path)

    def _prefer(self, path: Path) -> None:
        """The server is there. What it has sent from the other address may still come."""
        previous, self.active, self.preferred = self.active, path, None
        self._others.remove(path)
        self._others.append(previous)
        self._ids.retire(previous.peer_id)
        self.moved = True

    def answered(self, data: bytes) -> Path | None:
        """A PATH_RESPONSE has come: the path that is validated by it, if any (section 8.2.3)."""
        path = next((path for path in self.all if path.answered(data)), None)
        if path is not None and path is self.preferred:
            self._prefer(path)
        return path

    def expire(self, now: float) -> bool:
        """Serve the timers; False when no path is left that is good (section 9.3.2)."""
        for path in self.all:
            if not path.expire(now):
                continue
            if path is not self.active:
                self._others.remove(path)
                self._leave(path)
                continue
            good = next((other for other in reversed(self._others) if other.validated), None)
            if good is None:
                return False
            self._others.remove(good)
            self.active = good
            self._leave(path)
            self.moved = True
        return True

    @property
    def deadline(self) -> float | None:
        """When `expire` is due."""
        if not self._others:
            return self.active.deadline
        return min((path.deadline for path in self.all if path.deadline is not None), default=None)

    def replace_retired(self) -> bool:
        """Give every path whose id the peer wants back another one; False when there is none for the active one."""
        for path in self.all:
            if path.peer_id.retired:
                another = self._ids.take()
                if another is not None:
                    path.peer_id = another
                elif path is self.active:
                    return False
                else:
                    self._others.remove(path)
        return True

    def _leave(self, path: Path) -> None:
        """A path is given up: its id is not written any more, unless another path has the same."""
        if all(other.peer_id is not path.peer_id for other in self.all):
            self._ids.retire(path.peer_id)


def _host(address: Address) -> object:
    """The address without its port, as far as that can be told: a new port alone is a NAT's doing (section 9.4)."""
    return address[0] if isinstance(address, tuple) and address else address
