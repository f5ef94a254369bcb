"""When a connection on which nothing happens is over (RFC 9000 section 10.1). Seconds."""

from __future__ import annotations

_KEEP_ALIVE = 25.0  # seconds: what is on the way may forget a connection sooner than the idle timeout (section 10.1.2)
_PROBE_TIMEOUTS = 3  # a connection lives at least as long, so that loss alone does not end it


class IdleTimeout:
    """The smaller of what both sides have declared; 0 is none.

    It begins anew with each packet that is processed, and with the first ack-eliciting one that is sent after that.
    """

    __slots__ = ("_awaiting", "_since", "duration")

    def __init__(self, duration: float, now: float) -> None:
        self.duration = duration
        self._since = now
        self._awaiting = False

    def peer_declares(self, duration: float) -> None:
        """The peer's max_idle_timeout."""
        if duration and (not self.duration or duration < self.duration):
            self.duration = duration

    def received(self, now: float) -> None:
        """A packet of the peer's was processed."""
        self._since = now
        self._awaiting = False

    def sent(self, now: float) -> None:
        """An ack-eliciting packet was sent."""
        if not self._awaiting:
            self._awaiting = True
            self._since = now

    def deadline(self, probe_timeout: float) -> float | None:
        """When the connection is over; None when it has no such end."""
        if not self.duration:
            return None
        return self._since + max(self.duration, _PROBE_TIMEOUTS * probe_timeout)

    def keep_alive_at(self) -> float | None:
        """When to send something, for the connection to stay: half-way (section 10.1.2)."""
        return self._since + min(self.duration / 2, _KEEP_ALIVE) if self.duration and not self._awaiting else None
