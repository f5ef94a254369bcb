"""Packet protection: one direction of one encryption level (RFC 9001 section 5).

Hot: `seal` and `open_untrusted` run once per packet. The header of a packet is handed over in pieces, since its first
byte and its number are what is hidden; the number's length is in the first byte's last two bits. What cannot be opened
is None, and counted by whoever owns the connection. How keys follow each other is in `key_update`.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from typing import Final

from caesura.crypto.aead import InvalidTag, Mask
from caesura.crypto.quic import SAMPLE_LENGTH, PacketKey, initial_secrets, packet_protection
from caesura.crypto.secrets import TrafficSecret
from caesura.errors import AEADLimitReached, ProtocolViolation
from caesura.quic.packets import KEY_PHASE, LONG_HEADER, LONG_RESERVED, NUMBER_LENGTH, SHORT_RESERVED, decode_number
from caesura.quic.versions import VERSIONS

BYTES: Final = tuple(bytes((value,)) for value in range(256))
LOW_BITS: Final = tuple((1 << (length << 3)) - 1 for length in range(5))
"""What of a number is in a header, by its length."""
U32: Final = struct.Struct(">I").unpack_from
"""Four bytes from somewhere on: of a number or of its mask, that may have fewer and is shifted by those it lacks."""

_LONG_BITS: Final = 0x0F  # of the first byte, hidden
SHORT_BITS: Final = 0x1F
SAMPLE_AT: Final = 4  # bytes behind the beginning of the number, however long that is (section 5.4.2)

MIN_PAYLOAD: Final = 4
"""Bytes of number and frames together: with fewer, a packet would be too short to be sampled (section 5.4.2)."""

Unmasked = tuple[int, int, int, int]
"""First byte, truncated number, the number's length, and where the payload begins."""


class WriteKey:
    """Seals the packets of one level. `label`: the version's.

    Of those sealed since the last key update, `sealed` is the number and `first_number` the first one's; `generation`
    counts the updates, and `phase_bit` is what they make of a short header.
    """

    __slots__ = ("_key", "_mask", "first_number", "generation", "limit", "phase_bit", "sealed")

    def __init__(self, secret: TrafficSecret, label: bytes) -> None:
        self._key, self._mask = packet_protection(secret, label)
        self.limit = self._key.confidentiality_limit
        self.generation = 0
        self.phase_bit = 0
        self.sealed = 0
        self.first_number = -1

    def update(self) -> None:
        """Go on with the next key; headers are hidden as before (section 6.1)."""
        self._key = self._key.next_phase()
        self.generation += 1
        self.phase_bit ^= KEY_PHASE
        self.sealed = 0
        self.first_number = -1

    def seal(self, first: int, rest: bytes, number: int, payload: bytes) -> bytes:
        """One whole packet: first byte, the rest of the header up to the number, number, frames.

        Raises AEADLimitReached when the key is used up: 1-RTT keys are updated before (section 6.6).
        """
        sealed = self.sealed
        if not sealed:
            self.first_number = number
        elif sealed >= self.limit:
            raise AEADLimitReached("as many packets were sealed with one key as may be", section="RFC 9001 section 6.6")
        self.sealed = sealed + 1
        key, length = self._key, (first & NUMBER_LENGTH) + 1
        low = number & (1 << (length << 3)) - 1
        header = BYTES[first] + rest + low.to_bytes(length, "big")
        body = key.encrypt((key.iv ^ number).to_bytes(12, "big"), payload, header)
        mask = self._mask(body[SAMPLE_AT - length : SAMPLE_AT + SAMPLE_LENGTH - length])
        first ^= mask[0] & (_LONG_BITS if first & LONG_HEADER else SHORT_BITS)
        low ^= int.from_bytes(mask[1 : 1 + length], "big")
        return b"".join((BYTES[first], rest, low.to_bytes(length, "big"), body))

    def seal_bulk(self, first: int, rest: bytes, number: int, payloads: Iterable[bytes]) -> list[bytes]:
        """Packets with the same header but for their numbers, which count up from `number`: short headers only.

        The same as `seal` for each, in one piece: at the rate of a bulk transfer that is a tenth of all there is to do.
        """
        key, mask_of = self._key, self._mask
        encrypt, iv, length = key.encrypt, key.iv, (first & NUMBER_LENGTH) + 1
        head, low_bits, shift = BYTES[first] + rest, LOW_BITS[length], 4 - length << 3
        sample_at, sample_to = SAMPLE_AT - length, SAMPLE_AT + SAMPLE_LENGTH - length
        if not self.sealed:
            self.first_number = number
        packets: list[bytes] = []
        for payload in payloads:
            low = number & low_bits
            body = encrypt((iv ^ number).to_bytes(12, "big"), payload, head + low.to_bytes(length, "big"))
            mask = mask_of(body[sample_at:sample_to])
            hidden = (low ^ U32(mask, 1)[0] >> shift).to_bytes(length, "big")
            packets.append(b"".join((BYTES[first ^ mask[0] & SHORT_BITS], rest, hidden, body)))
            number += 1
        self.sealed += len(packets)
        return packets


class ReadKey:
    """Opens the packets of one level. `integrity_limit` packets of a connection may fail to (section 6.6)."""

    __slots__ = ("_key", "_mask", "integrity_limit")

    def __init__(self, secret: TrafficSecret, label: bytes) -> None:
        self._key, self._mask = packet_protection(secret, label)
        self.integrity_limit = self._key.integrity_limit

    def open_untrusted(
        self, datagram: bytes, start: int, number_at: int, stop: int, largest: int
    ) -> tuple[int, bytes] | None:
        """The number and the frames of the packet from `start` to `stop`; None when it was not sealed with this key.

        `largest`: the largest number opened in its space, or -1. Raises ProtocolViolation for reserved bits that are
        set in a packet that is genuine.
        """
        found = unmask(self._mask, datagram, start, number_at, stop)
        if found is None:
            return None
        first, low, length, at = found
        number = decode_number(low, length, largest)
        header = BYTES[first] + datagram[start + 1 : number_at] + low.to_bytes(length, "big")
        payload = open_with(self._key, number, header, datagram[at:stop])
        if payload is not None:
            check_reserved(first)
            return number, payload
        return None


class InitialKeys:
    """The keys of Initial packets, which anybody can make: of each version when it is asked for (RFC 9001 section 5.2).

    `destination`: where the client's first packet, or its first after a Retry, goes. `versions`: those that are spoken.
    """

    __slots__ = ("_destination", "_read", "_secrets", "_server_side", "_versions")

    def __init__(self, destination: bytes, versions: Collection[int], *, server_side: bool) -> None:
        self._destination = destination
        self._versions = versions
        self._server_side = server_side
        self._secrets: dict[int, tuple[TrafficSecret, TrafficSecret]] = {}
        self._read: dict[int, ReadKey] = {}

    def read(self, version: int) -> ReadKey | None:
        """What opens the peer's packets; None for a version that is not spoken."""
        key = self._read.get(version)
        if key is None and version in self._versions:
            client, server = self._of(version)
            key = self._read[version] = ReadKey(client if self._server_side else server, VERSIONS[version].label)
        return key

    def write(self, version: int) -> WriteKey:
        """What seals ours."""
        client, server = self._of(version)
        return WriteKey(server if self._server_side else client, VERSIONS[version].label)

    def _of(self, version: int) -> tuple[TrafficSecret, TrafficSecret]:
        if version not in self._secrets:
            self._secrets[version] = initial_secrets(VERSIONS[version].initial_salt, self._destination)
        return self._secrets[version]


def unmask(mask_of: Mask, datagram: bytes, start: int, number_at: int, stop: int) -> Unmasked | None:
    """Remove header protection (section 5.4); None for a packet that is too short for it."""
    sample_at = number_at + SAMPLE_AT
    if sample_at + SAMPLE_LENGTH > stop:
        return None
    mask = mask_of(datagram[sample_at : sample_at + SAMPLE_LENGTH])
    first = datagram[start]
    first ^= mask[0] & (_LONG_BITS if first & LONG_HEADER else SHORT_BITS)
    length = (first & NUMBER_LENGTH) + 1
    at = number_at + length
    low = int.from_bytes(datagram[number_at:at], "big") ^ int.from_bytes(mask[1 : 1 + length], "big")
    return first, low, length, at


def open_with(key: PacketKey, number: int, header: bytes, body: bytes) -> bytes | None:
    """The frames of a packet; None when it was not sealed with this key and under this number."""
    try:
        return key.decrypt((key.iv ^ number).to_bytes(12, "big"), body, header)
    except InvalidTag:
        return None


def check_reserved(first: int) -> None:
    """Reserved bits are 0: looked at only in a genuine packet, as anybody could set them (RFC 9000 section 17.2)."""
    if first & (LONG_RESERVED if first & LONG_HEADER else SHORT_RESERVED):
        raise ProtocolViolation("reserved bits are set", section="RFC 9000 section 17")
