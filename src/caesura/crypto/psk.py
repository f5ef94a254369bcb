"""External pre-shared keys: what an application knows of one, and how one is imported (RFC 9257, RFC 9258).

What is derived from a pre-shared key in a handshake is said by the key schedules.
"""

from __future__ import annotations

from typing import Final

from caesura.crypto.hkdf import SHA256, SHA384, Hash, expand_label, extract
from caesura.crypto.secrets import Secret
from caesura.errors import ConfigError
from caesura.wire.psk import IMPORTED_IDENTITY, ImportedIdentity
from caesura.wire.registries import KDFIdentifier

HASHES: Final = {"SHA256": SHA256, "SHA384": SHA384}
KDFS: Final[dict[int, Hash]] = {KDFIdentifier.HKDF_SHA256: SHA256, KDFIdentifier.HKDF_SHA384: SHA384}
MINIMUM_KEY: Final = 16
"""Bytes: TLS 1.3 takes no shorter ones (RFC 9257 section 6). A key is not a password: it must come from randomness."""

_MAX_IDENTITY: Final = 2**16 - 1 - 7  # bytes that PskIdentity and its list have room for
_SETTING: Final = "lookup_psk"


class PSK:
    """An external pre-shared key: its identity, the key, and the hash of the suites it may be used with.

    `imported` makes one that is used by way of RFC 9258, with any hash, and so may be known to TLS 1.2 as well. Raises
    ConfigError for an identity or a key that cannot be one.
    """

    __slots__ = ("context", "hash", "identity", "key")

    def __init__(self, identity: bytes | str, key: bytes, *, hash: str = "SHA256") -> None:  # noqa: A002
        self.identity = identity.encode() if isinstance(identity, str) else bytes(identity)
        if not 1 <= len(self.identity) <= _MAX_IDENTITY:
            raise ConfigError(f"{_SETTING}: an identity has 1 to {_MAX_IDENTITY} bytes")
        if not isinstance(key, bytes | bytearray | memoryview) or not len(key):
            raise ConfigError(f"{_SETTING}: a key is bytes, and not empty")
        if hash not in HASHES:
            raise ConfigError(f"{_SETTING}: {hash!r} is none of {', '.join(HASHES)}")
        self.key = Secret(bytes(key))
        self.hash = HASHES[hash]
        self.context: bytes | None = None

    @classmethod
    def imported(cls, identity: bytes | str, key: bytes, context: bytes = b"", *, hash: str = "SHA256") -> PSK:  # noqa: A002
        """A key that both sides import before they use it (RFC 9258); `hash` is then that of the importer.

        `context` may say where the key comes from or who its holders are; both sides must give the same one.
        """
        made = cls(identity, key, hash=hash)
        made.context = bytes(context)
        if len(made.identity) + len(made.context) + 8 > _MAX_IDENTITY:
            raise ConfigError(f"{_SETTING}: identity and context have at most {_MAX_IDENTITY - 8} bytes together")
        return made

    def __repr__(self) -> str:
        return f"<PSK {self.identity!r}{', imported' if self.context is not None else ''}>"


def import_key(psk: PSK, protocol: int, kdf: int, prefix: bytes) -> tuple[bytes, Secret]:
    """The identity and the key that an imported one has for this protocol and KDF (RFC 9258 section 5.1)."""
    assert psk.context is not None
    identity = IMPORTED_IDENTITY.encode(ImportedIdentity(psk.identity, psk.context, protocol, kdf))
    extracted = extract(psk.hash, psk.hash.zeros, psk.key)
    digest = psk.hash.digest(identity)
    return identity, expand_label(psk.hash, extracted, b"derived psk", digest, KDFS[kdf].digest_size, prefix)
