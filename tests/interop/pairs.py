"""What tests of a protocol with every peer share: which peers take part, in which role, and one connection with them.

A peer takes part in the tests that its program can take part in (`can_serve`, `can_connect`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.interop.peers import PATIENCE, PEERS, Facts, Peer, Remote, Setup, Workshop
from tests.interop.subjects import Connection, Subject

Accept = tuple[int, Callable[[Setup], Connection]]
"""A port, and a function that takes a connection there and completes the handshake as the server."""

Files = dict[str, Path]
"""See the fixture."""

Opposite = tuple[type[Peer], bool]
"""A peer, and whether it is the server."""


def peers(*abilities: str, roles: tuple[bool, ...] = (True, False)) -> pytest.MarkDecorator:
    """The peers that can do all of this, each as a server first and then as a client, if it can do so in that role."""
    found = [
        pytest.param((kind, serves), id=f"{kind.name} {'server' if serves else 'client'}")
        for serves in roles
        for kind in PEERS
        if (kind.can_serve if serves else kind.can_connect) >= set(abilities)
    ]
    return pytest.mark.parametrize("peer", found)


def servers(*abilities: str) -> pytest.MarkDecorator:
    """Those of them whose server can do it."""
    return peers(*abilities, roles=(True,))


def clients(*abilities: str) -> pytest.MarkDecorator:
    """Those of them whose client can do it."""
    return peers(*abilities, roles=(False,))


def showing(setup: Setup, files: Files, name: str) -> Setup:
    """The same with the certificate of that name."""
    return replace(setup, chain=files[f"{name}.chain"], key=files[f"{name}.key"])


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def agree(ours: Facts, theirs: Facts) -> None:
    """Both sides say the same, where both say something."""
    for what in ("resumed", "version", "suite", "group", "alpn", "stapled", "exported"):
        here, there = getattr(ours, what), getattr(theirs, what)
        assert here is None or there is None or here == there, f"{what}: {here} here, {there} there"


@dataclass
class Line:
    """Where we meet a peer, whoever of us is the server."""

    own: Subject
    accept: Accept
    workshop: Workshop

    def begin(self, peer: Opposite, server: Setup, client: Setup) -> tuple[Remote, Callable[[], Connection]]:
        """The other side, and what completes the handshake on ours; that raises `Refused` when it fails."""
        kind, serves = peer
        if serves:
            remote = kind(self.workshop).serve(server)
            return remote, lambda: self.own.connect(dial(remote.port), client)
        port, take = self.accept
        return kind(self.workshop).connect(port, client), lambda: take(server)

    def meet(self, peer: Opposite, server: Setup, client: Setup) -> tuple[Connection, Remote]:
        """Both sides of a connection."""
        remote, handshake = self.begin(peer, server, client)
        return handshake(), remote

    def talk(self, peer: Opposite, server: Setup, client: Setup) -> tuple[Facts, Facts]:
        """Connect, say something each way, close: what was agreed on, as we say and as the other side says."""
        end, remote = self.meet(peer, server, client)
        remote.talk(end)
        return self.part(peer, end, remote)

    def part(self, peer: Opposite, end: Connection, remote: Remote) -> tuple[Facts, Facts]:
        """Close on both sides; what both said was agreed on."""
        _, serves = peer
        ours = end.facts()
        if serves:  # it tells while the connection lasts, and a client when it ends
            theirs = remote.facts()
            self.close(peer, end, remote)
        else:
            self.close(peer, end, remote)
            theirs = remote.facts()
        agree(ours, theirs)
        return ours, theirs

    def close(self, peer: Opposite, end: Connection, remote: Remote) -> None:
        """Close on both sides."""
        _, serves = peer
        if not serves:  # it would go on waiting for its input
            remote.close()
        end.close()
