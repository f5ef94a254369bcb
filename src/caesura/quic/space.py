"""One packet number space: its keys, what has come in it, the handshake's bytes (RFC 9000 section 12.3).

What was sent in it is with loss detection. 0-RTT and 1-RTT packets share the application's space.
"""

from __future__ import annotations

from caesura.quic.acks import Acknowledgements
from caesura.quic.crypto_stream import CryptoStream
from caesura.quic.protection import ReadKey, WriteKey
from caesura.quic.sent_packets import SentPackets


class PacketSpace:
    """The space of one number; `level` is the encryption level that it is sent at, which in the application's changes.

    `write` is None before its key is there and after it is gone; `read` likewise, but for 1-RTT packets, which
    `key_update.KeyPhases` opens. `discarded`: the keys are gone for good.
    """

    __slots__ = ("acks", "crypto", "discarded", "level", "number", "read", "sent", "write")

    def __init__(
        self, number: int, level: int, sent: SentPackets, acks: Acknowledgements, crypto: CryptoStream
    ) -> None:
        self.number = number
        self.level = level
        self.sent = sent
        self.acks = acks
        self.crypto = crypto
        self.write: WriteKey | None = None
        self.read: ReadKey | None = None
        self.discarded = False

    def discard(self) -> None:
        """Forget the keys; nothing more is read or sent (RFC 9001 section 4.9)."""
        self.discarded = True
        self.write = self.read = None
        self.crypto.close()
        self.acks.due = False
        self.acks.deadline = None
