"""The pseudorandom function of TLS 1.2 (RFC 5246 section 5).

The hash is that of the cipher suite, SHA-256 or better. What is derived from what is said by the schedule.
"""

from __future__ import annotations

from caesura.crypto.hkdf import Hash, RunningHash
from caesura.crypto.secrets import Secret

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def prf(hash: Hash, secret: Secret, label: bytes, seed: bytes, length: int) -> Secret:  # noqa: A002  # as in `hkdf`
    """PRF(secret, label, seed), the first `length` bytes of it."""
    inner, outer = _keyed(hash, secret)
    seed = label + seed
    output, block = b"", seed
    while len(output) < length:
        block = _hmac(inner, outer, block)  # A(i)
        output += _hmac(inner, outer, block + seed)
    return Secret(output[:length])


def _keyed(hash: Hash, secret: Secret) -> tuple[RunningHash, RunningHash]:  # noqa: A002
    """Both halves of HMAC with the key already hashed: they are copied for every block (RFC 2104 section 4)."""
    key = secret._value
    if len(key) > hash.block_size:  # the x-coordinate of a point on secp521r1 under SHA-256
        key = hash.digest(key)
    key = key.ljust(hash.block_size, b"\0")
    return hash.new(key.translate(_INNER_PAD)), hash.new(key.translate(_OUTER_PAD))


def _hmac(inner: RunningHash, outer: RunningHash, data: bytes) -> bytes:
    inner, outer = inner.copy(), outer.copy()
    inner.update(data)
    outer.update(inner.digest())
    return outer.digest()
