"""Peers that have the keys and no manners, by seed: `python -m tests.soak.bad_peers 0 200`.

What one side of a connection says is damaged before it is sealed, in whatever state both are: bits, bytes, pieces,
and in QUIC whole frames that nobody meant. So all of it is authentic. The other side may end the connection for it,
with an error that says what the peer did; it must not fail itself, raise anything, or say more than its last words.
"""

# ruff: noqa: T201  it talks to a terminal

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Verify
from caesura.dtls import DTLSConnection, plaintext, records12, records13
from caesura.errors import Error, InternalError, OperationFailed, UsageError
from caesura.quic import QUICConnection, protection, varint
from caesura.sessions import SessionCache
from caesura.tls import TLSConnection
from caesura.tls.writer import RecordWriter
from caesura.wire.registries import Version
from tests.dtls import world
from tests.dtls.world import DTLS12, DTLS13
from tests.quic.link import QUICLink, linked
from tests.support.datagram_link import Lossy
from tests.support.link import link as tls_link
from tests.tls.world import EITHER, TLS12, client_context, identity, server_context, trust

Connection = QUICConnection | DTLSConnection | TLSConnection

_CALLS = (
    "advance", "receive_data", "receive_datagram", "receive_datagrams", "data_to_send", "datagrams_to_send",
    "handle_timeout", "write", "shutdown",
)  # fmt: skip
_NUMBERS = (*range(9), 63, 64, 16_383, 2**30, 2**60, 2**60 + 1, 2**62 - 1)
_BYTES = (0, 1, 2, 0x3F, 0x40, 0x7F, 0x80, 0xFF)


class BadPeer:
    """Damages what one connection seals, as often as its seed says."""

    def __init__(self, patch: pytest.MonkeyPatch, seed: int, *, quic: bool) -> None:
        self.dice = random.Random(seed)
        self.rate = self.dice.choice([0.03, 0.1, 0.3])
        self.quic = quic
        self.connection: Connection | None = None
        self._speaks = False
        for name in _CALLS:
            for kind in (QUICConnection, DTLSConnection, TLSConnection):
                if hasattr(kind, name):
                    self._follow(patch, kind, name)
        self._lie(patch, protection.WriteKey, "seal", 3)
        self._lie(patch, protection.WriteKey, "seal_bulk", 3)
        self._lie(patch, records13.WriteKey, "seal_as", 2)
        self._lie(patch, records12.WriteKey12, "seal_as", 2)
        self._lie(patch, plaintext.PlaintextWriter, "seal", 1)
        self._lie(patch, RecordWriter, "_seal", 1)

    def _follow(self, patch: pytest.MonkeyPatch, kind: type[Any], name: str) -> None:
        """Know whose call it is in which something is sealed."""
        before: Callable[..., Any] = getattr(kind, name)

        def call(connection: Any, *args: Any) -> Any:
            spoke, self._speaks = self._speaks, connection is self.connection
            try:
                return before(connection, *args)
            finally:
                self._speaks = spoke

        patch.setattr(kind, name, call)

    def _lie(self, patch: pytest.MonkeyPatch, kind: type[Any], name: str, at: int) -> None:
        before: Callable[..., Any] = getattr(kind, name)

        def seal(key: Any, *args: Any) -> Any:
            said = args[at]
            changed = [self.damaged(each) for each in said] if name == "seal_bulk" else self.damaged(said)
            return before(key, *args[:at], changed, *args[at + 1 :])

        patch.setattr(kind, name, seal)

    def damaged(self, data: bytes) -> bytes:
        """Perhaps something else."""
        dice = self.dice
        if not self._speaks or not data or dice.random() > self.rate:
            return data
        if self.quic and dice.random() < 0.3:
            return data + self.frame()
        changed = bytearray(data)
        for _ in range(dice.choice([1, 1, 1, 2, 4])):
            at = dice.randrange(len(changed) if dice.random() < 0.5 else min(len(changed), 40))
            match dice.randrange(5):
                case 0:
                    changed[at] ^= 1 << dice.randrange(8)
                case 1:
                    changed[at] = dice.choice(_BYTES)
                case 2:
                    del changed[at : at + dice.randrange(1, 5)]
                case 3:
                    changed[at:at] = dice.randbytes(dice.randrange(1, 5))
                case _:
                    del changed[at:]
            if not changed:
                break
        return bytes(changed).ljust(4 if self.quic else 1, b"\x01")  # what has no sample cannot be sealed

    def frame(self) -> bytes:
        """A frame of QUIC, or what looks like one."""
        numbers = b"".join(varint.encode(self.dice.choice(_NUMBERS)) for _ in range(self.dice.randrange(6)))
        return (
            bytes((self.dice.choice([*range(32), 0x31, 0x40]),))
            + numbers
            + self.dice.randbytes(self.dice.choice([0, 3, 24]))
        )


def words(side: Connection, now: float) -> object:
    """What it says; nothing, b"" or []."""
    return side.data_to_send(now) if isinstance(side, TLSConnection) else side.datagrams_to_send(now)


def hold(victim: Connection, now: float) -> str:
    """What must be true in the end; the name of the victim's error."""
    error = victim.error
    assert not isinstance(error, InternalError | OperationFailed | UsageError), error
    if error is not None:
        words(victim, now)
        assert not words(victim, now)
    return type(error).__name__


def quic(patch: pytest.MonkeyPatch, seed: int) -> str:
    """One connection of QUIC, of which one side lies. What became of the other."""
    peer = BadPeer(patch, seed, quic=True)
    dice = peer.dice
    both = {"quic": {"max_datagram_frame_size": 1200}}
    asked = dice.random() < 0.3
    client = {**both, "identity": identity("client")} if asked else both
    server = {**both, "trust": trust(), "verify": Verify.REQUIRED} if asked else both
    link = linked(client, server, Lossy(seed=seed, loss=0.02))
    liar, victim = dice.sample([link.ours.connection, link.theirs.connection], 2)
    if dice.random() < 0.5:
        peer.connection = liar
    link.start().run(lambda: link.confirmed or link.failed, seconds=20)
    peer.connection = liar
    for _ in range(dice.randrange(1, 8)):
        if link.failed:
            break
        _use(link, dice.choice([liar, liar, victim]), dice)
        link.wait(dice.choice([0.01, 0.05, 0.5]))
    liar.shutdown(3, "bye")
    link.wait(1.0)
    return hold(victim, link.now)


def _use(link: QUICLink, side: QUICConnection, dice: random.Random) -> None:
    """Something that an application may do."""
    try:
        match dice.randrange(6):
            case 0 | 1 | 2:
                stream_id = side.open_stream(unidirectional=dice.random() < 0.3)
                if stream_id is not None:
                    side.write_stream(stream_id, bytes(dice.randrange(5000)), fin=True)
            case 3:
                side.send_datagram(bytes(dice.randrange(100)))
            case 4:
                side.key_update()
            case _:
                link.client_address = ("192.0.2.77", dice.randrange(1000, 1100))
    except Error:  # it may not just now
        pass


def dtls(patch: pytest.MonkeyPatch, seed: int, version: Version) -> str:
    """One association, of which one side lies. What became of the other."""
    peer = BadPeer(patch, seed, quic=False)
    dice = peer.dice
    settings = {
        **(DTLS12 if version is Version.DTLS12 else DTLS13),
        "dtls": {"connection_id": dice.choice([None, 0, 4]), "mtu": dice.choice([300, 1400])},
    }
    asked = dice.random() < 0.3
    client = {**settings, "identity": identity("client")} if asked else settings
    server = {**settings, "trust": trust(), "verify": Verify.REQUIRED} if asked else settings
    link = world.linked(client, server, Lossy(seed=seed, loss=0.02))
    liar, victim = dice.sample([link.client, link.server], 2)
    if dice.random() < 0.6:
        peer.connection = liar
    link.start().run(lambda: all(each.handshake_complete or each.error is not None for each in (liar, victim)))
    peer.connection = liar
    for _ in range(dice.randrange(1, 8)):
        _use_dtls(dice.choice([liar, liar, victim]), dice)
        link.run()
    return hold(victim, link.now)


def _use_dtls(side: DTLSConnection, dice: random.Random) -> None:
    try:
        match dice.randrange(4):
            case 0 | 1:
                side.write(bytes(dice.randrange(1, 900)))
            case 2:
                side.key_update(request_peer=dice.random() < 0.5)
            case _:
                side.shutdown()
    except Error:
        pass


def tls(patch: pytest.MonkeyPatch, seed: int) -> str:
    """Two connections of TLS, of either version, of which one side lies; the second one may resume."""
    peer = BadPeer(patch, seed, quic=False)
    dice = peer.dice
    settings: dict[str, Any] = dict(dice.choice([TLS12, EITHER, {}]))
    if dice.random() < 0.3:
        settings["certificate_compression"] = ["zlib"]
    client = {**settings, "sessions": SessionCache(), "post_handshake_auth": dice.random() < 0.3}
    server = {**settings, "max_early_data": dice.choice([0, 1000])}
    if dice.random() < 0.4:
        client["identity"] = identity("client")
        server |= {"trust": trust(), "verify": Verify.REQUIRED}
    contexts = client_context(**client), server_context(**server)
    for _ in range(2):
        link = tls_link(*contexts).start()
        liar, victim = dice.sample([link.client, link.server], 2)
        peer.connection = liar if dice.random() < 0.5 else None
        link.exchange()
        peer.connection = liar
        for _ in range(dice.randrange(6)):
            _use_tls(dice.choice([liar, liar, victim]), dice)
            link.exchange()
        hold(victim, link.now)
        peer.connection = None
    return type(victim.error).__name__


def _use_tls(side: TLSConnection, dice: random.Random) -> None:
    try:
        match dice.randrange(5):
            case 0 | 1:
                side.write(bytes(dice.randrange(1, 3000)))
            case 2:
                side.key_update(request_peer=dice.random() < 0.5)
            case 3:
                side.verify_client_post_handshake()
            case _:
                side.shutdown()
    except Error:
        pass


def meet(seed: int) -> list[str]:
    """One seed, over everything. Raises when something is not as it should be."""
    found = []
    for one in (
        quic,
        lambda patch, seed: dtls(patch, seed, Version.DTLS13),
        lambda patch, seed: dtls(patch, seed, Version.DTLS12),
        tls,
    ):
        with pytest.MonkeyPatch.context() as patch:
            found.append(one(patch, seed))
    return found


def main(start: int, stop: int) -> None:
    ends: dict[str, int] = {}
    for seed in range(start, stop):
        print(f"\rseed {seed}", end="", flush=True)
        for each in meet(seed):
            ends[each] = ends.get(each, 0) + 1
    print("\r" + ", ".join(f"{count} {name}" for name, count in sorted(ends.items(), key=lambda each: -each[1])))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
