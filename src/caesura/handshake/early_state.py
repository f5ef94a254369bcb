"""How it stands with the early data of one connection: what became of it and why, and how much more may go or come.

Whether there is any is for the handshake to say (`early_data`); what carries it is the transport's affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from caesura.errors import UnexpectedMessage
from caesura.events import EarlyDataReason, EarlyDataStatus


class EarlyState:
    """What became of it. `wanted`: a client has some, or a server would take it."""

    __slots__ = ("reason", "status")

    def __init__(self, *, wanted: bool) -> None:
        self.status = EarlyDataStatus.NOT_SENT
        self.reason = EarlyDataReason.UNKNOWN if wanted else EarlyDataReason.DISABLED

    @property
    def decided(self) -> bool:
        """Whether it is known if there is any."""
        return self.reason is not EarlyDataReason.UNKNOWN or self.status is not EarlyDataStatus.NOT_SENT


class EarlyBytes(EarlyState, ABC):
    """Where it is read and written apart from other data, as in TLS and DTLS."""

    __slots__ = ("_left", "_server_side", "ended")

    def __init__(self, *, wanted: bool, server_side: bool) -> None:
        super().__init__(wanted=wanted)
        self._server_side = server_side
        self._left = 0  # bytes that may still be sent, or come
        self.ended = False  # nothing more will be sent, or come

    @property
    @abstractmethod
    def unread(self) -> bool:
        """Whether something has come that was not read."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Up to `size` bytes of it, all of it (or of the oldest datagram) if `size` is negative; b"" for none."""

    def told(self, accepted: bool, limit: int, reason: EarlyDataReason) -> bool:
        """How it stands now (see MessageTransport); whether something that was sent, or offered, is refused."""
        self.reason = reason
        if not accepted:
            offered = limit > 0 if self._server_side else self.status is EarlyDataStatus.PENDING
            if offered:
                self.status = EarlyDataStatus.REJECTED
            self._left = 0
            self.ended = True
            return offered
        may_begin = not self._server_side and self.status is EarlyDataStatus.NOT_SENT
        if may_begin or self._server_side:
            self._left = limit
        self.status = EarlyDataStatus.PENDING if may_begin else EarlyDataStatus.ACCEPTED
        return False

    def receive_untrusted(self, content: bytes) -> None:
        """A record has brought this; UnexpectedMessage beyond what the ticket allows."""
        if len(content) > self._left:
            raise UnexpectedMessage("more early data than the ticket allows", section="RFC 9846 section 4.7.1")
        self._left -= len(content)
