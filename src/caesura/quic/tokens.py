"""Tokens by which a server knows that a client is where it says it is (RFC 9000 sections 8.1.2 to 8.1.4).

A token is sealed (`TicketKeys`: rotating, perhaps shared by several servers), so that nothing in it can be read or
linked. It holds what kind it is, when it was made, for which version and which address. One of a Retry also holds the
ids that the handshake will be checked against; it is good for seconds, and from the same port alone. One for the next
time is good for days, from any port, and once, as far as this server remembers.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from caesura.crypto.tickets import TicketKeys
from caesura.errors import DecodeError, InvalidToken
from caesura.quic.packets import MAX_ID_LENGTH
from caesura.wire.codec import U8, U32, U64, Fixed, Opaque, Struct

_RETRY: Final = 1
_NEW_TOKEN: Final = 2
NONCE_LENGTH: Final = 8
"""Bytes that tell two tokens of the same millisecond apart."""


@dataclass(slots=True)
class _Token:
    """What is sealed in one."""

    kind: int
    version: int
    issued: int  # milliseconds since 1970
    nonce: bytes
    address: bytes
    original_id: bytes
    retry_id: bytes


_TOKEN: Final = Struct(
    _Token,
    kind=U8,
    version=U32,
    issued=U64,
    nonce=Fixed(NONCE_LENGTH),
    address=Opaque(0, 255),
    original_id=Opaque(0, MAX_ID_LENGTH),
    retry_id=Opaque(0, MAX_ID_LENGTH),
)


@dataclass(frozen=True, slots=True)
class Validated:
    """A good token. After a Retry the two ids that the client has used are in it, else None."""

    original_id: bytes | None = None
    retry_id: bytes | None = None


class AddressTokens:
    """Makes and judges tokens. Seconds; `wall` is since 1970, `nonce` 8 random bytes.

    `keys` is `TicketKeys`; `retry_lifetime` and `lifetime` are how long tokens are good; of those used `remembered` are
    known again.
    """

    __slots__ = ("_keys", "_lifetime", "_remembered", "_retry_lifetime", "_used")

    def __init__(self, keys: TicketKeys, retry_lifetime: float, lifetime: float, remembered: int) -> None:
        self._keys = keys
        self._retry_lifetime = retry_lifetime
        self._lifetime = lifetime
        self._remembered = remembered
        self._used: OrderedDict[bytes, None] = OrderedDict()

    def retry(
        self, version: int, address: bytes, original_id: bytes, retry_id: bytes, nonce: bytes, wall: float
    ) -> bytes:
        """A token for a Retry packet. `address`: host and port. `retry_id`: the Source Connection ID of the Retry."""
        return self._seal(_Token(_RETRY, version, int(wall * 1000), nonce, address, original_id, retry_id), wall)

    def new_token(self, version: int, host: bytes, nonce: bytes, wall: float) -> bytes:
        """A token for a NEW_TOKEN frame: for the next connection from this host."""
        return self._seal(_Token(_NEW_TOKEN, version, int(wall * 1000), nonce, host, b"", b""), wall)

    def _seal(self, token: _Token, wall: float) -> bytes:
        return self._keys.seal(_TOKEN.encode(token), wall)

    def check_untrusted(
        self, token: bytes, version: int, address: bytes, host: bytes, destination: bytes, wall: float
    ) -> Validated | None:
        """What the token of an Initial packet proves; None when it proves nothing and is as good as none.

        `destination`: where the packet went. Raises InvalidToken for one of a Retry of ours that is not good: its
        client must not be sent another one, and would wait in vain.
        """
        content = self._keys.open_untrusted(token)
        if content is None:
            return None
        try:
            found = _TOKEN.decode(content)
        except DecodeError:  # the keys are used for something else too
            return None
        age = wall - found.issued / 1000
        if found.kind == _RETRY:
            fresh = -self._retry_lifetime < age <= self._retry_lifetime
            if not fresh or (found.address, found.version, found.retry_id) != (address, version, destination):
                raise InvalidToken("a Retry token that is too old or somebody else's", section="RFC 9000 section 8.1.3")
            return Validated(found.original_id, found.retry_id)
        good = found.kind == _NEW_TOKEN and found.address == host and found.version == version
        if not good or not -self._retry_lifetime < age <= self._lifetime or found.nonce in self._used:
            return None
        self._used[found.nonce] = None
        if len(self._used) > self._remembered:
            self._used.popitem(last=False)
        return Validated()
