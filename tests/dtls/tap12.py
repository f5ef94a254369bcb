"""Reading along in DTLS 1.2, and saying things in the names of either side.

The main secret comes from the key log, the randoms from the hellos. Records are taken apart here with the primitives
and not with the code under test, so that a mistake made alike in sealing and opening shows (RFC 6347 section 4.1.2.1,
RFC 5288 section 3, RFC 9146 section 5.3).
"""

from __future__ import annotations

import struct
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from caesura.crypto.hkdf import SHA256
from caesura.crypto.prf import prf
from caesura.crypto.secrets import Secret
from tests.dtls.world import DTLS12, linked
from tests.support.datagram_link import DatagramLink, Network

ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, WITH_ID = 21, 20, 23, 22, 25


class Side:
    """What one side writes in epoch 1, under TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256."""

    def __init__(self, key: bytes, iv: bytes, connection_id: bytes = b"") -> None:
        self.aead = AESGCM(key)
        self.iv = iv
        self.id = connection_id

    def seal(self, sequence: int, content_type: int, content: bytes, padding: int = 0) -> bytes:
        """One record of epoch 1."""
        number = struct.pack(">HHL", 1, sequence >> 32, sequence & 0xFFFFFFFF)
        if self.id:
            inner, content_type = content + bytes((content_type,)) + bytes(padding), WITH_ID
        else:
            inner = content
        head = bytes((content_type,)) + b"\xfe\xfd" + number + self.id
        sealed = self.aead.encrypt(self.iv + number, inner, self._associated(head, number, len(inner)))
        return head + struct.pack(">H", len(sealed) + 8) + number + sealed

    def open(self, record: bytes) -> tuple[int, int, bytes]:
        """Sequence number, content type and content of a record of epoch 1."""
        at = 11 + len(self.id)
        assert record[11:at] == self.id
        head, number, fragment = record[:at], record[3:11], record[at + 2 :]
        assert fragment[:8] == number  # the explicit nonce is the record's number
        inner = self.aead.decrypt(self.iv + number, fragment[8:], self._associated(head, number, len(fragment) - 24))
        sequence = int.from_bytes(number[2:], "big")
        if self.id:
            assert record[0] == WITH_ID
            stripped = inner.rstrip(b"\0")
            return sequence, stripped[-1], stripped[:-1]
        return sequence, record[0], inner

    def _associated(self, head: bytes, number: bytes, size: int) -> bytes:
        if self.id:
            return b"\xff" * 8 + bytes((WITH_ID, len(self.id))) + head + struct.pack(">H", size)
        return number + head[:3] + struct.pack(">H", size)


class Tap12:
    """Both sides of a link, once its key log has the secret. `log` is what either context's `keylog` wrote to."""

    def __init__(self, link: DatagramLink, log: list[str], ids: tuple[bytes, bytes] = (b"", b"")) -> None:
        client_random, server_random = random_of(link, 1), random_of(link, 2)
        secret = bytes.fromhex(log[-1].split()[2])
        block = prf(SHA256, Secret(secret), b"key expansion", server_random + client_random, 40).reveal()
        self.client = Side(block[:16], block[32:36], ids[0])
        self.server = Side(block[16:32], block[36:40], ids[1])


def random_of(link: DatagramLink, msg_type: int) -> bytes:
    """The random of the last hello of this type that began a datagram."""
    hellos = [
        data for data in link.datagrams() if data[0] == HANDSHAKE and data[3:5] == b"\0\0" and data[13] == msg_type
    ]
    return hellos[-1][27:59]


def tapped12(
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    network: Network | None = None,
    **options: Any,
) -> tuple[DatagramLink, list[str]]:
    """A link of DTLS 1.2 with the suite that the tap reads, and the key log."""
    log: list[str] = []
    common = {**DTLS12, "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"], "keylog": log.append}
    return linked({**common, **(client or {})}, {**common, **(server or {})}, network, **options), log
