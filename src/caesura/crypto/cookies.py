"""Cookies by which a server recognises a client it has kept nothing of (RFC 9147 section 5.1, RFC 9846 section 4.3.2).

A cookie is what the server wants to know again, in the clear, with the time and a MAC over both and the client's
address. Its secret changes often, so that cookies gathered from many addresses cannot be spent later.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hmac import compare_digest
from typing import Final

from caesura.crypto.hkdf import SHA256
from caesura.crypto.secrets import Secret
from caesura.errors import ConfigError

_ISSUED: Final = 8  # bytes: milliseconds since 1970
_MAC: Final = 16  # bytes of HMAC-SHA256


class CookieKeys:
    """The secrets of cookies. Seconds throughout.

    `secrets_`: 32 bytes or more each, newest first, for servers that share an address; such a set changes only by
    `rotate`. Without any, one is made at random, and a new one every `period`. The newest makes cookies, it and the one
    before accept them, for `lifetime` at most. Raises ConfigError for a short secret.
    """

    def __init__(self, secrets_: Iterable[bytes] = (), *, period: float = 60.0, lifetime: float = 60.0) -> None:
        given = tuple(secrets_)
        if any(len(secret) < 32 for secret in given):
            raise ConfigError("cookie_keys: a secret has at least 32 bytes")
        self._period = None if given else period
        self._lifetime = lifetime
        self._rotated: float | None = None
        self._keys = tuple(map(Secret, given or (secrets.token_bytes(32),)))

    def rotate(self, secret: bytes | None = None) -> None:
        """Make cookies with a new secret from now on, at random when none is given."""
        if secret is not None and len(secret) < 32:
            raise ConfigError("cookie_keys: a secret has at least 32 bytes")
        self._keys = (Secret(secret or secrets.token_bytes(32)), self._keys[0])

    def seal(self, state: bytes, address: bytes, wall: float) -> bytes:
        """A cookie for the client at `address`; `wall` is seconds since 1970."""
        if self._rotated is None:
            self._rotated = wall
        elif self._period is not None and wall - self._rotated >= self._period:
            self.rotate()
            self._rotated = wall
        cookie = int(wall * 1000).to_bytes(_ISSUED, "big") + state
        return cookie + _mac(self._keys[0], cookie, address)

    def open_untrusted(self, cookie: bytes, address: bytes, wall: float) -> bytes | None:
        """The state in a cookie of ours; None for any other, one for another address, or one that is too old."""
        content, mac = cookie[:-_MAC], cookie[-_MAC:]
        if len(content) < _ISSUED:
            return None
        if not any(compare_digest(_mac(key, content, address), mac) for key in self._keys[:2]):
            return None
        age = wall - int.from_bytes(content[:_ISSUED], "big") / 1000
        return content[_ISSUED:] if -self._lifetime < age <= self._lifetime else None


def _mac(key: Secret, content: bytes, address: bytes) -> bytes:
    return SHA256.hmac(key.reveal(), len(address).to_bytes(2, "big") + address + content)[:_MAC]
