"""The pseudorandom function of TLS 1.2 (RFC 5246 section 5).

The hash is that of the cipher suite, SHA-256 or better. What is derived from what is said by the schedule.
"""

from __future__ import annotations

from caesura.crypto.hkdf import Hash
from caesura.crypto.secrets import Secret

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def prf(hash: Hash, secret: Secret, label: bytes, seed: bytes, length: int) -> Secret:  # noqa: A002  # as in `hkdf`
    """PRF(secret, label, seed), the first `length` bytes of it."""
    return PRF(hash, secret)(label, seed, length)


class PRF:
    """The same with one secret for several labels: what HMAC hashes of its key alone is hashed once, then copied."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, hash: Hash, secret: Secret) -> None:  # noqa: A002  # as in `hkdf`
        key = secret._value
        if len(key) > hash.block_size:  # the x-coordinate of a point on secp521r1 under SHA-256
            key = hash.digest(key)
        key = key.ljust(hash.block_size, b"\0")
        self._inner = hash.new(key.translate(_INNER_PAD))
        self._outer = hash.new(key.translate(_OUTER_PAD))

    def __call__(self, label: bytes, seed: bytes, length: int) -> Secret:
        """PRF(secret, label, seed), the first `length` bytes of it."""
        return Secret(self.public(label, seed, length))

    def public(self, label: bytes, seed: bytes, length: int) -> bytes:
        """The same where what comes of it is sent for everybody to see."""
        seed = label + seed
        output, data = b"", seed
        while len(output) < length:
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(data)
            outer.update(inner.digest())
            data = outer.digest()  # A(i)
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(data + seed)
            outer.update(inner.digest())
            output += outer.digest()
        return output[:length]
