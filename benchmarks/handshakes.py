"""Handshakes in memory: new objects, a complete handshake, nothing sent on it; both sides' work added up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ssl import SSLWantReadError
from typing import Any

from benchmarks import primitives
from benchmarks.harness import Contestant, Goal, Race
from benchmarks.pairs import (
    caesura_connections,
    caesura_contexts,
    caesura_pair,
    connect,
    pyopenssl_contexts,
    pyopenssl_pair,
    shake_hands,
    stdlib_contexts,
    stdlib_pair,
)
from caesura import Session, WantRead
from caesura.crypto.certificates import _parse_cached
from caesura.tls import TLSConnection


def full(pair: Callable[[], tuple[Any, Any]]) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            shake_hands(*pair())

    return run


def repeated(handshake: Callable[[], None]) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            handshake()

    return run


def nothing_cached(handshake: Callable[[], None]) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            _parse_cached.cache_clear()
            handshake()

    return run


@contextmanager
def full_contestants() -> Iterator[Sequence[Contestant]]:
    uncached = caesura_contexts(ticket_count=0, sessions=None, verification_cache=None)
    cached = caesura_contexts(ticket_count=0, sessions=None)
    stdlib, pyopenssl = stdlib_contexts(), pyopenssl_contexts()
    slow = nothing_cached(lambda: connect(*caesura_connections(*uncached)))
    fast = repeated(lambda: connect(*caesura_connections(*cached)))
    yield (
        Contestant("caesura, nothing cached", slow),
        primitives.alone("its primitives alone, nothing cached", slow),
        Contestant("caesura, verification cached", fast),
        primitives.alone("its primitives alone, verification cached", fast),
        Contestant("caesura, cached, SSL over BIOs", full(lambda: caesura_pair(*cached))),
        Contestant("ssl", full(lambda: stdlib_pair(*stdlib))),
        Contestant("pyOpenSSL (X25519MLKEM768)", full(lambda: pyopenssl_pair(*pyopenssl))),
    )


class ResumingConnections:
    """Each connection resumes the one before it, and takes the ticket for the next."""

    def __init__(self) -> None:
        self._contexts = caesura_contexts(ticket_count=1)
        self._session: Session | None = None
        self.connect()

    def connect(self) -> TLSConnection:
        client, server = caesura_connections(*self._contexts, self._session)
        connect(client, server)
        self._session = client.session
        return client

    def run(self, count: int) -> None:
        for _ in range(count):
            self.connect()


class Resuming:
    """The same over BIOs."""

    def __init__(self, pair: Callable[[Any], tuple[Any, Any]]) -> None:
        self._pair = pair
        self._session: Any = None
        self.connect()

    def connect(self) -> Any:
        client, server = self._pair(self._session)
        shake_hands(client, server)
        with suppress(WantRead, SSLWantReadError):
            client.read(1)  # the ticket comes after the handshake
        self._session = client.session
        return client

    def run(self, count: int) -> None:
        for _ in range(count):
            self.connect()


@contextmanager
def resumed_contestants() -> Iterator[Sequence[Contestant]]:
    ours, stdlib = caesura_contexts(ticket_count=1), stdlib_contexts(tickets=1)
    resuming: dict[str, ResumingConnections | Resuming] = {
        "caesura": ResumingConnections(),
        "caesura, SSL over BIOs": Resuming(lambda session: caesura_pair(*ours, session)),
        "ssl": Resuming(lambda session: stdlib_pair(*stdlib, session)),
    }
    for each in resuming.values():
        assert each.connect().session_reused
    yield [
        *(Contestant(name, each.run) for name, each in resuming.items()),
        primitives.alone("its primitives alone", resuming["caesura"].run),
    ]


ROWS = (
    Race(
        "handshake-full",
        "full handshake",
        __name__,
        full_contestants,
        goals=(
            Goal("ssl", 0.90, 0.75, ours="caesura, nothing cached"),
            Goal("ssl", ours="its primitives alone, nothing cached"),
            Goal("ssl", 0.70, 0.58, ours="caesura, verification cached"),
            Goal("ssl", ours="its primitives alone, verification cached"),
        ),
        quantile=0.25,
    ),
    Race(
        "handshake-resumed",
        "resumed handshake",
        __name__,
        resumed_contestants,
        goals=(Goal("ssl", 0.65, 0.50), Goal("ssl", ours="its primitives alone")),
        quantile=0.25,
    ),
)
