"""Packets of either side, at any level, that say what they like: sealed with the keys that a key log has told."""

from __future__ import annotations

from typing import Any

from caesura.crypto.quic import initial_secrets
from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.quic import packets, varint
from caesura.quic.levels import HANDSHAKE, INITIAL, ONE_RTT
from caesura.quic.protection import WriteKey
from caesura.quic.versions import QUIC1
from caesura.wire.registries import CipherSuite
from tests.quic.link import QUICLink, linked
from tests.support.datagram_link import SERVER

_LABELS = {
    (HANDSHAKE, True): "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    (HANDSHAKE, False): "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    (ONE_RTT, True): "CLIENT_TRAFFIC_SECRET_0",
    (ONE_RTT, False): "SERVER_TRAFFIC_SECRET_0",
}
_SUITE = SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]


class Forger:
    """A link, and whoever has the keys of its client (`by_client`) or of its server."""

    def __init__(self, *, by_client: bool = True, **settings: Any) -> None:
        self.lines: list[str] = []
        self.by_client = by_client
        client = {"keylog": self.lines.append, **settings.pop("client", {})}
        self.link: QUICLink = linked(client, **settings)
        self.number = 100
        self.keys: dict[int, WriteKey] = {}

    @property
    def victim(self) -> Any:
        """The connection that hears it all."""
        return self.link.server if self.by_client else self.link.client

    def _key(self, level: int) -> WriteKey:
        if level not in self.keys:
            if level == INITIAL:
                found = packets.read_invariant(self.link.sent[0].data, 0)
                assert found is not None
                secret = initial_secrets(QUIC1.initial_salt, found[1])[0 if self.by_client else 1]
            else:
                label = _LABELS[level, self.by_client]
                value = next(line for line in self.lines if line.startswith(label + " ")).split()[2]
                secret = TrafficSecret(bytes.fromhex(value), _SUITE)
            self.keys[level] = WriteKey(secret, QUIC1.label)
        return self.keys[level]

    def packet(self, payload: bytes, level: int = ONE_RTT, first: int = 0, number: int | None = None) -> bytes:
        """A packet to the victim with these frames; `first`: bits to set in its first byte."""
        if number is None:
            self.number += 1
            number = self.number
        destination = self.victim.connection_ids[0]
        if level == ONE_RTT:
            return self._key(level).seal(0x43 | first, destination, number, payload)
        source = (self.link.client if self.by_client else self.link.server).connection_ids[0]
        header = packets.long_header(QUIC1, level, destination, source, b"")
        length = varint.encode_two(4 + len(payload) + 16)
        return self._key(level).seal(header[0] | 3 | first, header[1:] + length, number, payload)

    def say(self, payload: bytes, level: int = ONE_RTT, first: int = 0, number: int | None = None) -> None:
        """Send such a packet."""
        address = self.link.client_address if self.by_client else SERVER
        self.victim.receive_datagram(self.packet(payload, level, first, number), address, self.link.now)
        self.link._pump()
