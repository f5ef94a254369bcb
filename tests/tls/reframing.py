"""A wire that cuts records anew: what one side sends in some records, the other receives in others.

It stands between a client and a server, knows their secrets by the key log, opens every record, collects what the
records of one type and epoch hold, and seals it again in records of its own. What may not change is kept: no record
holds two types, nothing moves over a change of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from caesura.context import Context
from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.tls.records import APPLICATION_DATA, HANDSHAKE, RecordKey, split_inner
from caesura.wire.messages import ServerHello, decode_message
from caesura.wire.records import HEADER
from caesura.wire.registries import HandshakeType
from tests.support.link import Link, drain, link

Cut = Callable[[bytes], Iterable[bytes]]
LABELS = {
    False: ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"),
    True: ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"),
}


class Direction:
    """One direction's records, opened and sealed again."""

    def __init__(self, secrets: dict[str, bytes], from_server: bool, cut: Cut, padding: int) -> None:
        self._secrets = secrets
        self._labels = list(LABELS[from_server])
        self._cut = cut
        self._padding = padding
        self._suite = SUITES[0x1301]
        self._keys: tuple[RecordKey, RecordKey] | None = None  # to open, to seal
        self._collected = b""
        self._partial = b""

    def carry(self, data: bytes) -> bytes:
        """What arrives of what was sent; at the end of each flight nothing is held back."""
        out = b""
        while data:
            stop = 5 + int.from_bytes(data[3:5], "big")
            record, data = data[:stop], data[stop:]
            content_type, content = record[0], record[5:]
            if content_type == APPLICATION_DATA:
                if self._keys is None:
                    self._next_keys()
                content_type, content = self._open(record)
            if content_type == HANDSHAKE:
                self._collected += content
                out += self._at_key_changes(content)
            else:
                out += self._flush() + self._seal(content_type, content)
        return out + self._flush()

    def _open(self, record: bytes) -> tuple[int, bytes]:
        assert self._keys is not None
        inner = self._keys[0].open_untrusted(record[:5], record[5:])
        assert inner is not None
        return split_inner(inner)

    def _at_key_changes(self, content: bytes) -> bytes:
        self._partial += content
        out = b""
        while len(self._partial) >= 4 and len(self._partial) >= (size := 4 + int.from_bytes(self._partial[1:4], "big")):
            message, self._partial = self._partial[:size], self._partial[size:]
            if message[0] == HandshakeType.server_hello:
                hello = decode_message(ServerHello, message)
                self._suite = SUITES[hello.cipher_suite]
                out += self._flush()
            elif message[0] == HandshakeType.finished:
                out += self._flush()
                self._next_keys()
        return out

    def _next_keys(self) -> None:
        secret = TrafficSecret(self._secrets[self._labels.pop(0)], self._suite)
        self._keys = RecordKey(secret, b"tls13 "), RecordKey(secret, b"tls13 ")

    def _flush(self) -> bytes:
        collected, self._collected = self._collected, b""
        return b"".join(self._seal(HANDSHAKE, piece) for piece in self._cut(collected)) if collected else b""

    def _seal(self, content_type: int, content: bytes) -> bytes:
        if self._keys is None or content_type == 20:
            return HEADER.pack(content_type, 0x0303, len(content)) + content
        if not self._padding:
            return self._keys[1].seal(content_type, content)
        return self._keys[1].seal(0, content + bytes((content_type,)) + bytes(self._padding - 1))


class ReframedLink:
    """A link whose wire cuts records anew. Both contexts need a key log of their own; this one takes its place."""

    def __init__(self, client: Context, server: Context, cut: Cut, padding: int = 0, chunk: int | None = None) -> None:
        secrets: dict[str, bytes] = {}

        def keep(line: str) -> None:
            label, _, secret = line.split(" ")
            secrets[label] = bytes.fromhex(secret)

        client.keylog = server.keylog = keep
        self.link: Link = link(client, server)
        self._to_server = Direction(secrets, False, cut, padding)
        self._to_client = Direction(secrets, True, cut, padding)
        self._chunk = chunk

    def exchange(self) -> Link:
        """Carry everything both ways until both are silent."""
        pair = self.link
        pair.start()
        while True:
            sent = pair.client.data_to_send(0.0)
            self._to_server._suite = self._to_client._suite
            self._feed(pair.server, self._to_server.carry(sent))
            answered = pair.server.data_to_send(0.0)
            self._feed(pair.client, self._to_client.carry(answered))
            if not sent and not answered:
                break
        pair.client_events += drain(pair.client)
        pair.server_events += drain(pair.server)
        return pair

    def _feed(self, connection: object, data: bytes) -> None:
        step = self._chunk or len(data) or 1
        for start in range(0, len(data), step):
            connection.receive_data(data[start : start + step], 0.0)  # type: ignore[attr-defined]
