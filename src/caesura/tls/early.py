"""What a TLS connection knows of its early data (RFC 9846 section 2.3): what has come, how much more may go or come,
and what became of it. The records themselves are the connection's and the writer's affair.
"""

from __future__ import annotations

from caesura.errors import UnexpectedMessage
from caesura.events import EarlyDataReason, EarlyDataStatus


class EarlyData:
    """The early data of one connection. A client sends it, a server receives it."""

    __slots__ = ("ended", "left", "max_inner", "may_answer", "reason", "received", "records", "status", "to_send")

    def __init__(self, to_send: bytes = b"") -> None:
        self.to_send = to_send  # by a client, at the outset
        self.received: list[bytes] = []
        self.left = 0  # bytes that may still be sent, or come
        self.records = 0  # that may still be sent under the one key there is
        self.ended = False  # nothing more will be sent, or come
        self.may_answer = False  # a server may write before the client's Finished has come
        self.max_inner = 0  # of the records that follow
        self.status = EarlyDataStatus.NOT_SENT
        self.reason = EarlyDataReason.UNKNOWN

    def offered(self, limit: int) -> None:
        """A client may send up to `limit` bytes, and hears later whether they are accepted."""
        self.left = limit
        self.status = EarlyDataStatus.PENDING

    def accepted(self, limit: int) -> None:
        """A server takes up to `limit` bytes, or has told its client so."""
        if self.status is not EarlyDataStatus.PENDING:
            self.left = limit
        self.status = EarlyDataStatus.ACCEPTED
        self.reason = EarlyDataReason.ACCEPT

    def refused(self, reason: EarlyDataReason, *, was_offered: bool) -> None:
        """There is none, or none is taken."""
        self.left = 0
        self.ended = True
        self.to_send = b""
        self.reason = reason
        if was_offered:
            self.status = EarlyDataStatus.REJECTED

    def room(self, size: int, max_fragment: int) -> int:
        """How many of `size` bytes may be sent now; they are counted as sent."""
        if self.ended or self.status is EarlyDataStatus.NOT_SENT:
            return 0
        size = min(size, self.left, self.records * max_fragment)
        self.left -= size
        self.records -= -(-size // max_fragment)
        return size

    def receive_untrusted(self, content: bytes, into: list[bytes]) -> None:
        """What a record has brought; UnexpectedMessage beyond what the ticket allows."""
        if len(content) > self.left:
            raise UnexpectedMessage("more early data than the ticket allows", section="RFC 9846 section 4.7.1")
        self.left -= len(content)
        into.append(content)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of what has come, all of it if `size` is negative."""
        data = b"".join(self.received)
        self.received.clear()
        if 0 <= size < len(data):
            self.received.append(data[size:])
            data = data[:size]
        return data
