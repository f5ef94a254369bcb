"""Encryption levels and packet number spaces, as numbers: both are looked up once per packet.

RFC 9001 section 4, RFC 9000 section 12.3. The levels are those of `handshake.transport.Epoch`.
"""

from __future__ import annotations

from typing import Final

INITIAL: Final = 0
ZERO_RTT: Final = 1
HANDSHAKE: Final = 2
ONE_RTT: Final = 3

INITIAL_SPACE: Final = 0
HANDSHAKE_SPACE: Final = 1
APPLICATION_SPACE: Final = 2

SPACES: Final = (INITIAL_SPACE, APPLICATION_SPACE, HANDSHAKE_SPACE, APPLICATION_SPACE)
"""The packet number space of each level."""
