"""How much may be sent to an address before its owner has shown to be there (RFC 9147 section 5.1).

Whoever writes somebody else's address into a datagram must not turn us into an amplifier.
"""

from __future__ import annotations


class AddressValidation:
    """Counts what comes and goes until the address is `validated`. `factor`: bytes out for each byte in."""

    __slots__ = ("_factor", "_received", "_sent", "validated")

    def __init__(self, factor: int | None, *, validated: bool) -> None:
        self._factor = factor or 0
        self._received = 0
        self._sent = 0
        self.validated = validated or factor is None

    def received(self, size: int) -> None:
        """A datagram has come from there."""
        self._received += size

    def allowed(self, datagrams: list[bytes]) -> int:
        """How many of these datagrams may be sent now; they count as sent."""
        if self.validated:
            return len(datagrams)
        left = self._received * self._factor - self._sent
        count = 0
        for datagram in datagrams:
            left -= len(datagram)
            if left < 0:
                break
            self._sent += len(datagram)
            count += 1
        return count
