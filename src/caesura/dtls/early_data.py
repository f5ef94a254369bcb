"""Early data over datagrams: what has come, how much more may go or come, and what became of it (RFC 9147 section 6.1).

It has an epoch of its own, the first. Datagrams of it are lost and overtaken as any others; where they end nobody says
(section 5.6): a client writes none once it has the keys of its next epoch, a server takes none once the handshake is
complete. Whether there is any at all is for the handshake to say (`handshake.early_data`).
"""

from __future__ import annotations

from collections import deque

from caesura.errors import UnexpectedMessage
from caesura.events import EarlyDataReason, EarlyDataStatus


class EarlyData:
    """The early data of one connection. `wanted`: a client has some, or a server would take it.

    `datagrams`: of a server's that wait to be read, no more than `limit` of them; what comes beyond is lost.
    """

    __slots__ = ("_left", "_limit", "datagrams", "ended", "reason", "status")

    def __init__(self, limit: int, *, wanted: bool) -> None:
        self._limit = limit
        self._left = 0  # bytes that may still be sent, or come
        self.datagrams: deque[bytes] = deque()
        self.ended = not wanted  # nothing more will be sent, or come
        self.status = EarlyDataStatus.NOT_SENT
        self.reason = EarlyDataReason.UNKNOWN if wanted else EarlyDataReason.DISABLED

    @property
    def decided(self) -> bool:
        """Whether it is known if there is any."""
        return self.reason is not EarlyDataReason.UNKNOWN or self.status is not EarlyDataStatus.NOT_SENT

    def told(self, accepted: bool, limit: int, reason: EarlyDataReason, *, server_side: bool) -> None:
        """How it stands now (see MessageTransport)."""
        if not accepted:
            offered = limit > 0 if server_side else self.status is EarlyDataStatus.PENDING
            if offered:
                self.status = EarlyDataStatus.REJECTED
            self.ended = True
        elif not server_side and self.status is EarlyDataStatus.NOT_SENT:
            self._left = limit
            self.status = EarlyDataStatus.PENDING
        else:
            self.status = EarlyDataStatus.ACCEPTED
            if server_side:
                self._left = limit
        self.reason = reason

    def may_send(self, size: int) -> bool:
        """Whether a datagram of this size may go."""
        return not self.ended and self.status is not EarlyDataStatus.NOT_SENT and size <= self._left

    def sent(self, size: int) -> None:
        """It has gone."""
        self._left -= size

    def receive(self, content: bytes) -> bytes:
        """What a record has brought, counted; UnexpectedMessage beyond what the ticket allows."""
        if len(content) > self._left:
            raise UnexpectedMessage("more early data than the ticket allows", section="RFC 9846 section 4.7.1")
        self._left -= len(content)
        return content

    def keep(self, content: bytes) -> None:
        """For `read`, if there is room."""
        if content and len(self.datagrams) < self._limit:
            self.datagrams.append(content)

    def read(self, size: int) -> bytes:
        """The oldest datagram, or `size` bytes of it and the rest the next time; b"" when there is none."""
        datagrams = self.datagrams
        if not datagrams or size == 0:
            return b""
        if size < 0 or len(datagrams[0]) <= size:
            return datagrams.popleft()
        data, datagrams[0] = datagrams[0][:size], datagrams[0][size:]
        return data
