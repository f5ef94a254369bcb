"""The keys that seal a server's stateless tickets (RFC 9846 section 4.7.1, "self-encrypted").

A sealed ticket is a key name, a nonce, and AES-256-GCM over what the server must remember. The newest key seals, all
kept keys open. Servers that share the same secrets accept each other's tickets.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from caesura.crypto.aead import AES_256_GCM, InvalidTag
from caesura.crypto.hkdf import SHA256, expand_label
from caesura.crypto.secrets import Secret
from caesura.errors import ConfigError

_NAME_LENGTH: Final = 16
_NONCE_LENGTH: Final = 12


class _TicketKey:
    __slots__ = ("aead", "name")

    def __init__(self, secret: bytes) -> None:
        whole = Secret(secret)
        self.name = expand_label(SHA256, whole, b"name", b"", _NAME_LENGTH, b"ticket ").reveal()
        self.aead = AES_256_GCM.new(expand_label(SHA256, whole, b"key", b"", AES_256_GCM.key_length, b"ticket "))


class TicketKeys:
    """A rotating set of ticket keys.

    `secrets_`: 32 bytes or more each, newest first, to share tickets between servers or keep them over a restart; such
    a set changes only by `rotate`. Without any, one is made at random, and a new one every `period` seconds. `keep`
    keys stay able to open. Raises ConfigError for a short secret.
    """

    def __init__(self, secrets_: Iterable[bytes] = (), *, period: float = 43_200.0, keep: int = 3) -> None:
        given = tuple(secrets_)
        if any(len(secret) < 32 for secret in given):
            raise ConfigError("ticket_keys: a secret has at least 32 bytes")
        if keep < 1:
            raise ConfigError("ticket_keys: keep at least one key")
        self._keep = keep
        self._period = None if given else period
        self._rotated: float | None = None
        self._keys = tuple(map(_TicketKey, given)) or (_TicketKey(secrets.token_bytes(32)),)

    def rotate(self, secret: bytes | None = None) -> None:
        """Seal with a new key from now on (at random when none is given); the oldest beyond `keep` is forgotten."""
        if secret is not None and len(secret) < 32:
            raise ConfigError("ticket_keys: a secret has at least 32 bytes")
        self._keys = (_TicketKey(secret or secrets.token_bytes(32)), *self._keys)[: self._keep]

    def seal(self, state: bytes, wall: float) -> bytes:
        """A ticket that holds `state`; `wall` (seconds since 1970) decides when a key of our own making is replaced."""
        if self._period is not None:
            if self._rotated is None:
                self._rotated = wall
            elif wall - self._rotated >= self._period:
                self.rotate()
                self._rotated = wall
        key = self._keys[0]
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        return key.name + nonce + key.aead.encrypt(nonce, state, key.name)

    def open_untrusted(self, ticket: bytes) -> bytes | None:
        """What `seal` was given; None for anything that none of these keys sealed."""
        name, nonce = ticket[:_NAME_LENGTH], ticket[_NAME_LENGTH : _NAME_LENGTH + _NONCE_LENGTH]
        for key in self._keys:
            if key.name == name and len(nonce) == _NONCE_LENGTH:
                try:
                    return key.aead.decrypt(nonce, ticket[_NAME_LENGTH + _NONCE_LENGTH :], name)
                except InvalidTag:
                    return None
        return None
