"""Records in memory: one message written by a client and read by its server, both sides' work added up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.harness import Contestant, Goal, Race
from benchmarks.pairs import (
    End,
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
from caesura.tls import TLSConnection


def sender(client: End, server: End, message: bytes) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            client.write(message)
            server.read(65536)

    client.write(message)
    assert server.read(65536) == message
    return run


def connected() -> tuple[TLSConnection, TLSConnection]:
    """Two connections of Caesura's without BIOs."""
    client, server = caesura_connections(*caesura_contexts(ticket_count=0))
    connect(client, server)
    return client, server


def courier(client: TLSConnection, server: TLSConnection, message: bytes) -> Callable[[int], None]:
    """The same for connections, between which the caller carries the bytes."""

    def run(count: int) -> None:
        for _ in range(count):
            client.write(message)
            server.receive_data(client.data_to_send(0.0), 0.0)
            server.read(65536)

    client.write(message)
    server.receive_data(client.data_to_send(0.0), 0.0)
    assert server.read(65536) == message
    return run


@contextmanager
def contestants(size: int) -> Iterator[Sequence[Contestant]]:
    message = os.urandom(size)
    found = [Contestant("caesura", courier(*connected(), message))]
    for name, pair in (
        ("caesura, SSL over BIOs", caesura_pair(*caesura_contexts(ticket_count=0))),
        ("ssl", stdlib_pair(*stdlib_contexts())),
        ("pyOpenSSL", pyopenssl_pair(*pyopenssl_contexts())),
    ):
        shake_hands(*pair)
        client, server = pair
        found.append(Contestant(name, sender(client, server, message)))
    yield found


ROWS = (
    Race(
        "records-16k",
        "16 KiB record, sealed and opened",
        __name__,
        lambda: contestants(16384),
        goals=(Goal("ssl", 0.75, 0.60), Goal("pyOpenSSL", 0.95, 0.75)),
    ),
    Race(
        "records-64",
        "64 B record, sealed and opened",
        __name__,
        lambda: contestants(64),
        goals=(Goal("ssl", 1.45, 1.20),),
    ),
)
