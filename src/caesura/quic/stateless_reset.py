"""Stateless reset: how a server that knows nothing of a connection ends it (RFC 9000 section 10.3).

The datagram looks like a packet with a short header and ends in a token that only the server, and the client whom it
was given, can know. It is shorter than what it answers, so that two servers cannot answer each other for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caesura.crypto.quic import RESET_TOKEN_LENGTH
from caesura.quic.packets import FIXED_BIT, LONG_HEADER

MIN_LENGTH: Final = 5 + RESET_TOKEN_LENGTH
"""Bytes of the shortest one: as many as the shortest packet of a peer that writes no connection ids."""

_USUAL: Final = 43  # bytes: a packet with an id of 20 bytes, as an answer to something large


def encode(token: bytes, received: int, random: Callable[[int], bytes]) -> bytes | None:
    """The datagram that answers one of `received` bytes; None when that was too short to be answered."""
    size = min(received - 1, _USUAL)
    if size < MIN_LENGTH:
        return None
    noise = random(size - RESET_TOKEN_LENGTH)
    first = noise[0] & ~LONG_HEADER & 0xFF | FIXED_BIT
    return first.to_bytes(1, "big") + noise[1:] + token


def token_of(datagram: bytes) -> bytes | None:
    """The token of this datagram, if it is a reset; None if it is too short to be one.

    Asked when the first packet of it could not be opened. Whatever its header looks like: other versions may have
    another one (section 10.3).
    """
    return datagram[-RESET_TOKEN_LENGTH:] if len(datagram) >= MIN_LENGTH else None
