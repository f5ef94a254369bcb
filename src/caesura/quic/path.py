"""Paths: where the peer is, whether it really is there, and how much may be sent to it before that is known.

RFC 9000 sections 8 (address validation, three times what has come, path validation) and 9 (migration). A path is the
peer's address as packets show it. One is active: everything is sent there; on the others there are only challenges and
responses. An address that has proved nothing gets no more than a multiple of what came from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caesura.quic.connection_ids import PeerId
from caesura.quic.frames import PATH_DATA_LENGTH

Address = object
"""Where a datagram comes from: whatever the socket says, compared by equality."""

_CHALLENGES: Final = 3  # that one validation sends: one, and again while nothing has come of it
_ABANDON: Final = 3  # probe timeouts, then the path is given up (section 8.2.4)


class Path:
    """One address of the peer. Bytes and seconds.

    `challenge` is what waits to be sent in a PATH_CHALLENGE, `responses` what is to go back; `deadline` is when
    `expire` is due.
    """

    __slots__ = (
        "_abandon_at",
        "_amplification",
        "_expected",
        "_interval",
        "_random",
        "address",
        "challenge",
        "deadline",
        "failed",
        "peer_id",
        "received",
        "responses",
        "sent",
        "validated",
    )

    def __init__(
        self,
        address: Address,
        peer_id: PeerId,
        random: Callable[[int], bytes],
        amplification: int,
        *,
        validated: bool,
    ) -> None:
        self.address = address
        self.peer_id = peer_id
        self._random = random
        self._amplification = amplification
        self.validated = validated
        self.failed = False
        self.received = 0
        self.sent = 0
        self.challenge: bytes | None = None
        self.responses: list[bytes] = []
        self._expected: list[bytes] = []
        self._interval = 0.0
        self._abandon_at = 0.0
        self.deadline: float | None = None

    @property
    def room(self) -> int:
        """Bytes that may be sent to an address that is not validated; the largest number for one that is."""
        return 2**62 if self.validated else self._amplification * self.received - self.sent

    def validate(self, now: float, probe_timeout: float) -> None:
        """Find out whether the peer is there (section 8.2). One that is under way goes on."""
        if self.deadline is None:
            self.failed = False
            self._interval = probe_timeout
            self._abandon_at = now + _ABANDON * probe_timeout
            self._expected.clear()
            self._ask(now)

    def _ask(self, now: float) -> None:
        self.challenge = self._random(PATH_DATA_LENGTH)
        self._expected.append(self.challenge)
        again = now + self._interval
        self.deadline = again if len(self._expected) < _CHALLENGES else self._abandon_at

    def answered(self, data: bytes) -> bool:
        """A PATH_RESPONSE with this data has come, on whatever path: whether it was for a challenge of this one."""
        if data not in self._expected:
            return False
        self.validated = True
        self.deadline = self.challenge = None
        self._expected.clear()
        return True

    def expire(self, now: float) -> bool:
        """Serve the timer; True when the path is given up now."""
        if self.deadline is None or self.deadline > now:
            return False
        if self._abandon_at > now and len(self._expected) < _CHALLENGES:
            self._ask(now)
            return False
        self.deadline = self.challenge = None
        self._expected.clear()
        self.failed = True
        self.validated = False  # it may have been once
        return True

    def respond(self, data: bytes, limit: int) -> None:
        """A PATH_CHALLENGE has come this way; of those that wait for their response, the latest `limit` get one."""
        self.responses.append(data)
        del self.responses[:-limit]
