"""A peer that says whatever it is told to: it has the keys of a connection, and no manners."""

from __future__ import annotations

from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.quic import QUICConnection
from caesura.quic.packets import FIXED_BIT
from caesura.quic.protection import WriteKey
from caesura.quic.versions import VERSIONS
from tests.quic.world import QUICLink, quic_link
from tests.support.datagram_link import CLIENT, SERVER

_FOUR_BYTES = 3


class Puppet:
    """Takes the place of one side of an established connection; `victim` is the other."""

    def __init__(self, *, client: bool = True, **settings: object) -> None:
        lines: list[str] = []
        options = {"keylog": lines.append, **settings}
        self.link: QUICLink = quic_link(options, options, echo=False).handshake()
        end = self.link.server if client else self.link.client
        self.victim: QUICConnection = end.connection
        self.addr = CLIENT if client else SERVER
        self.bulk = False  # whether packets arrive as one of many
        suite = self.victim.cipher_suite
        version = self.victim.version
        assert suite is not None
        assert version is not None
        label = "CLIENT_TRAFFIC_SECRET_0" if client else "SERVER_TRAFFIC_SECRET_0"
        secret = next(bytes.fromhex(line.split()[2]) for line in lines if line.startswith(label))
        self._key = WriteKey(TrafficSecret(secret, SUITES[suite]), VERSIONS[version].label)
        self._number = 1000  # behind all that the connection has sent itself

    def packet(self, payload: bytes, number: int | None = None) -> bytes:
        """A 1-RTT packet with these frames."""
        if number is None:
            number = self._number
            self._number += 1
        destination = self.victim.connection_ids[0]
        return self._key.seal(FIXED_BIT | _FOUR_BYTES, destination, number, payload)

    def say(self, payload: bytes) -> Puppet:
        """Send it."""
        if self.bulk:
            self.victim.receive_datagrams([self.packet(payload)], self.addr, self.link.now)
        else:
            self.victim.receive_datagram(self.packet(payload), self.addr, self.link.now)
        return self

    def answer(self) -> list[bytes]:
        """What the victim sends."""
        return [data for data, _ in self.victim.datagrams_to_send(self.link.now)]
