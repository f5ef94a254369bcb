"""What tells the versions of QUIC apart, as data: one record each (RFC 9000 and 9001; RFC 9369 section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.quic.levels import HANDSHAKE, INITIAL, ZERO_RTT
from caesura.wire.registries import Version

RETRY: Final = 4
"""The kind of a Retry packet. The kind of every other packet is its encryption level."""


@dataclass(frozen=True, slots=True, eq=False)
class VersionParameters:
    """One version. `label` stands before `key`, `iv`, `hp` and `ku` in what keys are expanded with.

    `kinds` has the kind of packet for each value of the Long Packet Type.
    """

    version: Version
    initial_salt: bytes  # RFC 9001 section 5.2
    label: bytes
    retry_key: bytes  # RFC 9001 section 5.8: no secret, anybody may know it
    retry_nonce: bytes
    kinds: tuple[int, int, int, int]


QUIC1: Final = VersionParameters(
    version=Version.QUIC1,
    initial_salt=bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    label=b"quic ",
    retry_key=bytes.fromhex("be0c690b9f66575a1d766b54e368c84e"),
    retry_nonce=bytes.fromhex("461599d35d632bf2239825bb"),
    kinds=(INITIAL, ZERO_RTT, HANDSHAKE, RETRY),
)
QUIC2: Final = VersionParameters(
    version=Version.QUIC2,
    initial_salt=bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    label=b"quicv2 ",
    retry_key=bytes.fromhex("8fb4b01b56ac48e260fbcbcead7ccc92"),
    retry_nonce=bytes.fromhex("d86969bc2d7c6d9990efb04a"),
    kinds=(RETRY, INITIAL, ZERO_RTT, HANDSHAKE),
)

VERSIONS: Final[dict[int, VersionParameters]] = {int(each.version): each for each in (QUIC1, QUIC2)}
"""Every version that is spoken, by its number on the wire."""
