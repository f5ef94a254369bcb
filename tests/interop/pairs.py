"""What tests of a protocol with every peer share: which peers take part, and both sides of one connection.

A peer takes part in the tests that its program can take part in (`can_serve`, `can_connect`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.interop.peers import PATIENCE, PEERS, Facts, Peer, Remote, Setup
from tests.interop.subjects import Connection

Accept = tuple[int, Callable[[Setup], Connection]]
"""A port, and a function that takes a connection there and completes the handshake as the server."""


def servers(*abilities: str) -> pytest.MarkDecorator:
    """The peers whose server can do all of this."""
    return pytest.mark.parametrize("kind", [kind for kind in PEERS if kind.can_serve >= set(abilities)], ids=name)


def clients(*abilities: str) -> pytest.MarkDecorator:
    """The peers whose client can do all of this."""
    return pytest.mark.parametrize("kind", [kind for kind in PEERS if kind.can_connect >= set(abilities)], ids=name)


def name(kind: type[Peer]) -> str:
    return kind.name


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def agree(ours: Facts, theirs: Facts) -> None:
    """Both sides say the same, where both say something."""
    for what in ("resumed", "version", "suite", "group", "alpn", "stapled", "exported"):
        here, there = getattr(ours, what), getattr(theirs, what)
        assert here is None or there is None or here == there, f"{what}: {here} here, {there} there"


def part(end: Connection, remote: Remote) -> None:
    """Both sides close; for clients that would go on waiting for their input."""
    remote.close()
    end.close()
