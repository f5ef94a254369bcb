"""Secrets that do not show themselves.

A traceback, an error report or a debugger prints the local variables of every frame. So nothing secret is ever bare
bytes in a variable outside this package: it is a `Secret`, whose `repr` says nothing and whose bytes leave by
`reveal()` only. Nothing here derives anything; that is `hkdf`. Python cannot wipe memory, so dropping the last
reference is all that can be done to forget a secret.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from caesura.crypto.suites import Suite


class Secret:
    """Some secret bytes: a redacted `repr`, equality in constant time, no hash, no pickle.

    Inside this package `_value` is read where `reveal()` would be called a hundred times in a handshake.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves: for a primitive or the key log, at once; not to be kept in a variable."""
        return self._value

    def split(self, *lengths: int) -> list[Secret]:
        """The secrets of these lengths that stand in this one, one behind the other."""
        parts, start = [], 0
        for length in lengths:
            parts.append(Secret(self._value[start : start + length]))
            start += length
        return parts

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would leak, and tell secrets apart in variable time

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._value)} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not to be pickled or copied")


class SharedSecret(Secret):
    """What a key exchange gave both sides (RFC 9846 section 7.4)."""

    __slots__ = ()


class TrafficSecret(Secret):
    """A secret from which the keys of one direction and epoch are made (RFC 9846 section 7.3), with its suite."""

    __slots__ = ("suite",)

    def __init__(self, value: bytes, suite: Suite) -> None:
        self._value = value
        self.suite = suite
