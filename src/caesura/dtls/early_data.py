"""Early data over datagrams: what has come, how much more may go or come, and what became of it (RFC 9147 section 6.1).

It has an epoch of its own, the first. Datagrams of it are lost and overtaken as any others; where they end nobody says
(section 5.6): a client writes none once it has the keys of its next epoch, a server takes none once the handshake is
complete. Whether there is any at all is for the handshake to say (`handshake.early_data`).
"""

from __future__ import annotations

from caesura.dtls.datagram_queue import DatagramQueue
from caesura.events import EarlyDataStatus
from caesura.handshake.early_state import EarlyBytes


class EarlyData(EarlyBytes):
    """The early data of one connection. `most` datagrams of a server's wait to be read; what comes beyond is lost.

    `into` is where a server's goes, instead of what `read` gives.
    """

    __slots__ = ("_into", "_received")

    def __init__(self, most: int, *, wanted: bool, server_side: bool, into: DatagramQueue | None = None) -> None:
        super().__init__(wanted=wanted, server_side=server_side)
        self.ended = not wanted
        self._received = DatagramQueue(most)
        self._into = self._received if into is None else into

    def may_send(self, size: int) -> bool:
        """Whether a datagram of this size may go."""
        return not self.ended and self.status is not EarlyDataStatus.NOT_SENT and size <= self._left

    def sent(self, size: int) -> None:
        """It has gone."""
        self._left -= size

    def receive_untrusted(self, content: bytes) -> None:
        """What a record has brought; UnexpectedMessage beyond what the ticket allows."""
        super().receive_untrusted(content)
        self._into.received(content)

    @property
    def unread(self) -> bool:
        """Whether something has come that was not read."""
        return bool(self._received.datagrams)

    def read(self, size: int) -> bytes:
        """The oldest datagram, or `size` bytes of it and the rest the next time; b"" when there is none."""
        return self._received.read(size)
