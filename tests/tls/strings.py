"""What the puppets of TLS 1.2 and 1.3 have in common: records are cut, opened and split into messages."""

from __future__ import annotations

from abc import ABC, abstractmethod

from caesura.tls import TLSConnection
from caesura.tls.records import HANDSHAKE
from caesura.wire.messages import HandshakeMessage


class Strings(ABC):
    """A connection whose other end is moved by hand; `heard` holds every record of it, `messages` the messages."""

    def __init__(self, connection: TLSConnection) -> None:
        self.connection = connection
        self.now = 0.0
        self.heard: list[tuple[int, bytes]] = []
        self.messages: list[bytes] = []
        self._partial = b""

    def feed(self, data: bytes) -> None:
        """Send any bytes."""
        self.connection.receive_data(data, self.now)

    @abstractmethod
    def opened(self, header: bytes, content_type: int, content: bytes) -> tuple[int, bytes]:
        """What is in a record of the connection's, under the keys of now."""

    @abstractmethod
    def hear(self, raw: bytes) -> None:
        """One handshake message of the connection's."""

    def pull(self) -> list[tuple[int, bytes]]:
        """Open everything the connection sends: the new records, by type and content."""
        data = self.connection.data_to_send(self.now)
        before = len(self.heard)
        while data:
            stop = 5 + int.from_bytes(data[3:5], "big")
            record, data = data[:stop], data[stop:]
            content_type, content = self.opened(record[:5], record[0], record[5:])
            self.heard.append((content_type, content))
            if content_type == HANDSHAKE:
                self._partial += content
                self._split()
        return self.heard[before:]

    def _split(self) -> None:
        while len(self._partial) >= 4:
            stop = 4 + int.from_bytes(self._partial[1:4], "big")
            if len(self._partial) < stop:
                return
            raw, self._partial = self._partial[:stop], self._partial[stop:]
            self.messages.append(raw)
            self.hear(raw)


def encoded(messages: tuple[HandshakeMessage | bytes, ...]) -> list[bytes]:
    """Each as it goes over the wire."""
    return [each if isinstance(each, bytes) else each.encode() for each in messages]
