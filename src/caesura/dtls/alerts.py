"""Alerts on datagrams: who may have written them, and our own last one (RFC 9147 section 5.10).

An alert in the clear may be anybody's. A client believes one that answers its hello, as there is no other way to learn
that a server cannot. Any other is doubted: it counts if the peer says nothing more while our flight is sent twice.
"""

from __future__ import annotations

from caesura.errors import ALERTS, PeerAlert
from caesura.wire.alerts import FATAL


class Alerts:
    """`repetitions`: how many times our own last alert is sent again."""

    __slots__ = ("_doubted", "_left", "_repeated", "_sent")

    def __init__(self, repetitions: int) -> None:
        self._left = repetitions
        self._sent: bytes | None = None
        self._doubted: PeerAlert | None = None
        self._repeated = False  # whether our flight was sent again since

    # --- those that anybody may have written ------------------------------------------------------------------------

    def doubt(self, content: bytes) -> None:
        """One in the clear, while the handshake goes on."""
        if len(content) == 2 and content[0] == FATAL and self._doubted is None:
            self._doubted = PeerAlert(ALERTS.get(content[1], content[1]))

    def heard(self) -> None:
        """The peer goes on: it has not sent such an alert."""
        self._doubted, self._repeated = None, False

    def repeating(self) -> None:
        """Our flight is due again. Raises the doubted alert if it was sent again before, and nothing has come."""
        if self._doubted is not None:
            if self._repeated:
                raise self._doubted
            self._repeated = True

    # --- our own ----------------------------------------------------------------------------------------------------

    def sent(self, datagram: bytes) -> None:
        """Our last words."""
        self._sent = datagram

    def again(self) -> bytes | None:
        """The peer goes on, so it may have missed them: the very same datagram, a few times."""
        if not self._left:
            return None
        self._left -= 1
        return self._sent
