"""What a server says to packets that belong to none of its connections, keeping nothing of whom it says it to.

RFC 9000 sections 5.2.2 (which is answered at all), 6 (Version Negotiation), 8.1.2 (Retry), 10.2.3 and 20.1 (refusal),
10.3 (stateless reset). Each answer is smaller than what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caesura.context import Settings
from caesura.crypto.quic import TAG_LENGTH
from caesura.errors import TransportError
from caesura.quic import frames, packets, stateless_reset, varint
from caesura.quic.levels import INITIAL
from caesura.quic.packets import MIN_DESTINATION_LENGTH, LongHeader
from caesura.quic.protection import InitialKeys
from caesura.quic.tokens import AddressTokens, Validated
from caesura.quic.version_negotiation import reserved

Address = object
"""Where a datagram comes from: whatever the socket says; the host is the first part of a tuple."""

_NONCE = 8


class StatelessAnswers:
    """Makes the answers of one server. `wall` is in seconds since 1970."""

    __slots__ = ("_random", "_settings", "_tokens", "_versions")

    def __init__(self, settings: Settings, tokens: AddressTokens, versions: Sequence[int]) -> None:
        self._settings = settings
        self._tokens = tokens
        self._versions = versions
        self._random: Callable[[int], bytes] = settings.random

    def version_negotiation(self, destination: bytes, source: bytes) -> bytes:
        """To a packet of a version that we do not speak; the ids are those of that packet."""
        noise = self._random(5)
        versions = (*self._versions, reserved(noise[:4]))
        return packets.encode_version_negotiation(source, destination, versions, noise[4])

    def prove(self, header: LongHeader, addr: Address, wall: float) -> Validated | None:
        """What the token of an Initial packet proves; None when nothing. Raises InvalidToken."""
        if not header.token:
            return None
        address, host = address_bytes(addr)
        version = int(header.parameters.version)
        return self._tokens.check_untrusted(header.token, version, address, host, header.destination, wall)

    def next_token(self, version: int, addr: Address) -> bytes:
        """For a client that has proved where it is: with it, its next connection begins without a Retry."""
        wall = self._settings.clock.wall()
        return self._tokens.new_token(version, address_bytes(addr)[1], self._random(_NONCE), wall)

    def retry(self, header: LongHeader, addr: Address, wall: float) -> bytes:
        """To an Initial packet: come again, with this token."""
        parameters = header.parameters
        retry_id = self._random(max(self._settings.quic.connection_id_length, MIN_DESTINATION_LENGTH))
        token = self._tokens.retry(
            int(parameters.version),
            address_bytes(addr)[0],
            header.destination,
            retry_id,
            self._random(_NONCE),
            wall,
        )
        unused = self._random(1)[0]
        return packets.encode_retry(parameters, header.source, retry_id, header.destination, token, unused)

    def refuse(self, header: LongHeader, error: TransportError) -> bytes:
        """To an Initial packet: CONNECTION_CLOSE, in an Initial packet of our own."""
        parameters = header.parameters
        version = int(parameters.version)
        key = InitialKeys(header.destination, (version,), server_side=True).write(version)
        start = packets.long_header(parameters, INITIAL, header.source, self._random(MIN_DESTINATION_LENGTH), b"")
        payload = frames.connection_close(error.error_code, 0, b"")
        rest = start[1:] + varint.encode_two(1 + len(payload) + TAG_LENGTH)
        return key.seal(start[0], rest, 0, payload)

    def reset(self, connection_id: bytes, size: int) -> bytes | None:
        """To a packet of `size` bytes with a short header, for a connection that is not known; None for a small one."""
        token = self._settings.quic.reset_key.token(connection_id)
        return stateless_reset.encode(token, size, self._random)


def address_bytes(addr: Address) -> tuple[bytes, bytes]:
    """An address, and its host alone, as tokens have them."""
    host = addr[0] if isinstance(addr, tuple) and addr else addr
    return repr(addr).encode(), repr(host).encode()
