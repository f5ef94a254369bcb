"""Reading along: what two connections say under their keys, and saying things in their names.

The secrets come from the key log. Records are taken apart here with the primitives and not with the code under test, so
that a mistake made alike in sealing and opening shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caesura.crypto.aead import InvalidTag
from caesura.crypto.hkdf import expand_label
from caesura.crypto.secrets import Secret
from caesura.crypto.suites import Suite
from caesura.wire.dtls import Fragment, RecordNumber, decode_ack, decode_fragments
from caesura.wire.registries import ContentType, HandshakeType

PREFIX = b"dtls13"
ACK, ALERT, DATA, HANDSHAKE = (
    int(kind) for kind in (ContentType.ack, ContentType.alert, ContentType.application_data, ContentType.handshake)
)


@dataclass
class Keys:
    """One direction and epoch, from its traffic secret."""

    suite: Suite
    secret: bytes

    def __post_init__(self) -> None:
        hash_, aead = self.suite.hash, self.suite.aead

        def expand(label: bytes, length: int) -> Secret:
            return expand_label(hash_, Secret(self.secret), label, b"", length, PREFIX)

        self.aead = aead.new(expand(b"key", aead.key_length))
        self.iv = int.from_bytes(expand(b"iv", 12).reveal(), "big")
        self.mask = aead.new_mask(expand(b"sn", aead.key_length))

    def next(self) -> Keys:
        """Those that follow a KeyUpdate."""
        hash_ = self.suite.hash
        secret = expand_label(hash_, Secret(self.secret), b"traffic upd", b"", hash_.digest_size, PREFIX)
        return Keys(self.suite, secret.reveal())

    def seal(
        self,
        epoch: int,
        sequence: int,
        content_type: int,
        content: bytes,
        *,
        connection_id: bytes = b"",
        short: bool = False,
        length: bool = True,
        padding: int = 0,
    ) -> bytes:
        """One record, in any of the forms that there are."""
        inner = content + bytes((content_type,)) + bytes(padding)
        first = 0x20 | (0x10 if connection_id else 0) | (0 if short else 8) | (4 if length else 0) | epoch & 3
        number = (sequence & (0xFF if short else 0xFFFF)).to_bytes(1 if short else 2, "big")
        size = (len(inner) + 16).to_bytes(2, "big") if length else b""
        start = bytes((first,)) + connection_id
        body = self.aead.encrypt((self.iv ^ sequence).to_bytes(12, "big"), inner, start + number + size)
        return start + xor(number, self.mask(body[:16])) + size + body

    def open(self, record: bytes, highest: int, id_length: int) -> tuple[int, int, bytes]:
        """Number, content type and content of one of our own records: 16 bits of number, and a length."""
        at = 1 + id_length
        body = record[at + 4 :]
        number = xor(record[at : at + 2], self.mask(body[:16]))
        low = int.from_bytes(number, "big")
        sequence = min((each for each in range(low, highest + 0x20000, 0x10000)), key=lambda n: abs(n - highest - 1))
        inner = self.aead.decrypt(
            (self.iv ^ sequence).to_bytes(12, "big"), body, record[:at] + number + record[at + 2 : at + 4]
        )
        stripped = inner.rstrip(b"\0")
        return sequence, stripped[-1], stripped[:-1]


def xor(data: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, mask, strict=False))


@dataclass
class Seen:
    """One record that was sent."""

    at: float
    by_client: bool
    datagram: int  # which one of all
    epoch: int
    sequence: int
    content_type: int
    content: bytes

    @property
    def number(self) -> RecordNumber:
        return self.epoch, self.sequence

    @property
    def fragments(self) -> list[Fragment]:
        return decode_fragments(self.content)

    @property
    def messages(self) -> list[str]:
        return [HandshakeType(each.msg_type).name for each in self.fragments]

    @property
    def messages_or_none(self) -> list[str] | None:
        return self.messages if self.content_type == HANDSHAKE else None

    @property
    def acknowledged(self) -> list[RecordNumber]:
        return decode_ack(self.content)

    def __str__(self) -> str:
        what = ContentType(self.content_type).name
        if self.content_type == HANDSHAKE:
            what = ", ".join(self.messages)
        elif self.content_type == ACK:
            what = f"ACK {self.acknowledged}"
        return f"{self.at:.3f} {'C' if self.by_client else 'S'} {self.epoch}/{self.sequence} {what}"


LABELS = {
    (True, 2): "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    (False, 2): "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    (True, 3): "CLIENT_TRAFFIC_SECRET_0",
    (False, 3): "SERVER_TRAFFIC_SECRET_0",
}


@dataclass
class Tap:
    """Reads what a link has carried. `log` is what both contexts' `keylog` wrote to."""

    suite: Suite
    log: list[str] = field(default_factory=list)
    id_length: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})  # of the client's, the server's
    _keys: dict[tuple[bool, int], Keys] = field(default_factory=dict)
    _highest: dict[tuple[bool, int], int] = field(default_factory=dict)

    def keys(self, by_client: bool, epoch: int) -> Keys:
        """The keys of one side in one epoch."""
        if (by_client, epoch) not in self._keys:
            if epoch > 3:
                self._keys[by_client, epoch] = self.keys(by_client, epoch - 1).next()
            else:
                label = LABELS[by_client, epoch]
                line = next(line for line in reversed(self.log) if line.startswith(label + " "))
                self._keys[by_client, epoch] = Keys(self.suite, bytes.fromhex(line.split()[2]))
        return self._keys[by_client, epoch]

    def read(self, at: float, by_client: bool, index: int, datagram: bytes) -> list[Seen]:
        """The records in one datagram."""
        found, pos = [], 0
        while pos < len(datagram):
            if datagram[pos] & 0xE0 == 0x20:
                length_at = pos + 3 + self.id_length[not by_client]
                stop = length_at + 2 + int.from_bytes(datagram[length_at : length_at + 2], "big")
                found.append(self._open(at, by_client, index, datagram[pos:stop]))
            else:
                stop = pos + 13 + int.from_bytes(datagram[pos + 11 : pos + 13], "big")
                sequence = int.from_bytes(datagram[pos + 5 : pos + 11], "big")
                found.append(Seen(at, by_client, index, 0, sequence, datagram[pos], datagram[pos + 13 : stop]))
            pos = stop
        return found

    def _open(self, at: float, by_client: bool, index: int, record: bytes) -> Seen:
        last = max((epoch for side, epoch in self._highest if side is by_client), default=2)
        for epoch in (*range(last + 1, 1, -1),):
            if epoch & 3 == record[0] & 3:
                highest = self._highest.get((by_client, epoch), -1)
                try:
                    opened = self.keys(by_client, epoch).open(record, highest, self.id_length[not by_client])
                except (InvalidTag, StopIteration):
                    continue
                self._highest[by_client, epoch] = max(highest, opened[0])
                return Seen(at, by_client, index, epoch, *opened)
        raise AssertionError("a record that does not open")
