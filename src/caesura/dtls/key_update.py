"""KeyUpdates of both directions (RFC 9147 section 8).

Ours changes the keys only when it has been acknowledged, and one is out at a time. What is asked for meanwhile, by the
application or by the peer, is answered by the one that is out, or becomes one more behind it.
"""

from __future__ import annotations

from caesura.context import Limits
from caesura.errors import UnexpectedMessage
from caesura.wire.messages import KeyUpdate
from caesura.wire.registries import KeyUpdateRequest


class KeyUpdates:
    """What is to be sent, what is out, and how much of it the peer does."""

    __slots__ = ("_asked", "_in_a_row", "_limits", "out", "wanted")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.wanted: bool | None = None  # one that is to be sent, and whether it asks the peer for one
        self._asked = False  # whether the peer owes us one
        self._in_a_row = 0
        self.out = False  # whether one of ours is not acknowledged yet

    def want(self, *, request_peer: bool) -> None:
        """Send one, as soon as that is possible."""
        # A second request may not be sent before the peer has answered the first with a KeyUpdate of its own.
        asks = request_peer and not self._asked
        if asks or not self.out:
            self.wanted = asks or self.wanted or False

    @property
    def ready(self) -> bool:
        """Whether one is to be sent now."""
        return self.wanted is not None and not self.out

    def take(self) -> KeyUpdate:
        """The message, which is out from now on."""
        asks, self.wanted = bool(self.wanted), None
        self.out = True
        self._asked = self._asked or asks
        return KeyUpdate(KeyUpdateRequest.update_requested if asks else KeyUpdateRequest.update_not_requested)

    def acknowledged(self) -> bool:
        """All that was out has arrived; whether a KeyUpdate was."""
        was_out, self.out = self.out, False
        return was_out

    def data_received(self) -> None:
        """Application data has come: KeyUpdates are counted from here."""
        self._in_a_row = 0

    def asked_again(self) -> None:
        """A HelloRequest of DTLS 1.2, which is counted as KeyUpdates are. UnexpectedMessage for too many."""
        self._in_a_row += 1
        if self._in_a_row > self._limits.key_updates:
            raise UnexpectedMessage(f"more than {self._limits.key_updates} HelloRequests without data")

    def received(self, message: KeyUpdate, read_epoch: int, write_epoch: int) -> None:
        """One of the peer's, in `read_epoch`. UnexpectedMessage for too many, or when there are no more epochs.

        If it asks for one of ours, the one that is out is an answer; and in our last epoch there is none (section 8).
        """
        limits = self._limits
        self._in_a_row += 1
        if self._in_a_row > limits.key_updates:
            raise UnexpectedMessage(f"more than {limits.key_updates} KeyUpdates without data")
        if read_epoch >= limits.epoch:
            raise UnexpectedMessage(f"a KeyUpdate beyond epoch {limits.epoch}", section="RFC 9147 section 8")
        self._asked = False
        if message.request_update is KeyUpdateRequest.update_requested and write_epoch < limits.epoch:
            self.want(request_peer=False)
