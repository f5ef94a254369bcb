"""Hashes, HMAC and HKDF as the key schedules use them (RFC 2104, RFC 5869, RFC 9846 section 7.1).

What is secret goes in and comes out as a `Secret`. The schedule itself, which says what is derived from what, is not
here.

HMAC is made of two one-shot hash calls over a key that `bytes.translate` has masked. For the short inputs of a key
schedule that takes 0.6 to 0.75 of the time of `hmac.digest`, and a handshake makes some forty of them. Where one secret
gives several others, `Keyed` hashes the masked key once: half the time again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from caesura.crypto.secrets import Secret, TrafficSecret

if TYPE_CHECKING:
    from caesura.crypto.aead import AeadKey
    from caesura.crypto.suites import Suite

_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))

TLS13_PREFIX: Final = b"tls13 "
"""The label prefix of TLS 1.3 and QUIC; DTLS 1.3 has `dtls13` without a space (RFC 9147 section 5.9)."""


class RunningHash(Protocol):
    """A hash that is still being fed."""

    def update(self, data: bytes, /) -> None:
        """More data."""

    def copy(self) -> RunningHash:
        """A second one that goes on from here by itself."""

    def digest(self) -> bytes:
        """The hash of all data so far."""


@dataclass(frozen=True, slots=True, eq=False)
class Hash:
    """One hash function. `new(data=b"")` starts an incremental one, as a transcript needs it. Sizes are in bytes."""

    name: str
    digest_size: int
    block_size: int
    new: Callable[..., RunningHash] = field(repr=False)
    empty_digest: bytes = field(init=False, repr=False)
    zeros: Secret = field(init=False, repr=False)
    """As many zero bytes as a digest has: they stand in the schedule where there is no secret (section 7.1)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "empty_digest", self.new(b"").digest())
        object.__setattr__(self, "zeros", Secret(bytes(self.digest_size)))

    def digest(self, data: bytes) -> bytes:
        """The hash of all of `data`."""
        return self.new(data).digest()

    def hmac(self, key: bytes, data: bytes) -> bytes:
        """HMAC of RFC 2104 with a key of any length."""
        if len(key) > self.block_size:
            key = self.new(key).digest()
        key = key.ljust(self.block_size, b"\0")
        new = self.new
        return new(key.translate(_OUTER_PAD) + new(key.translate(_INNER_PAD) + data).digest()).digest()


SHA256: Final = Hash("sha256", 32, 64, hashlib.sha256)
SHA384: Final = Hash("sha384", 48, 128, hashlib.sha384)


def extract(hash: Hash, salt: Secret, ikm: Secret) -> Secret:  # noqa: A002  # the RFC's word
    """HKDF-Extract (RFC 5869 section 2.2). Where there is no salt or no key, the schedule has `hash.zeros`."""
    return Secret(hash.hmac(salt._value, ikm._value))


def expand(hash: Hash, secret: Secret, info: bytes, length: int) -> Secret:  # noqa: A002
    """HKDF-Expand (RFC 5869 section 2.3) to `length` bytes, at most 255 digests."""
    if length > 255 * hash.digest_size:
        raise ValueError(f"HKDF-Expand gives at most {255 * hash.digest_size} bytes, not {length}")
    output = block = hash.hmac(secret._value, info + b"\1")
    for counter in range(2, -(-length // hash.digest_size) + 1):
        block = hash.hmac(secret._value, block + info + counter.to_bytes(1, "big"))
        output += block
    return Secret(output[:length])


@lru_cache(maxsize=256)
def _info_head(prefix: bytes, label: bytes, length: int, context_length: int) -> bytes:
    """HkdfLabel up to the context's bytes. Labels are few; an exporter's own come and go."""
    full = prefix + label
    if not 7 <= len(full) <= 255 or context_length > 255 or not 0 <= length <= 0xFFFF:
        raise ValueError("HkdfLabel: a label of 1 to 249 bytes, a context of at most 255, a length of at most 65535")
    return length.to_bytes(2, "big") + len(full).to_bytes(1, "big") + full + context_length.to_bytes(1, "big")


def expand_label(
    hash: Hash,  # noqa: A002
    secret: Secret,
    label: bytes,
    context: bytes,
    length: int,
    prefix: bytes = TLS13_PREFIX,
) -> Secret:
    """HKDF-Expand-Label to `length` bytes (RFC 9846 section 7.1). `context` is mostly a transcript hash, or empty."""
    info = _info_head(prefix, label, length, len(context)) + context
    if length <= hash.digest_size:  # nearly always: a key, an IV or another secret
        return Secret(hash.hmac(secret._value, info + b"\1")[:length])
    return expand(hash, secret, info, length)


def derive_secret(
    hash: Hash,  # noqa: A002
    secret: Secret,
    label: bytes,
    transcript_hash: bytes,
    prefix: bytes = TLS13_PREFIX,
) -> Secret:
    """Derive-Secret (RFC 9846 section 7.1), given the transcript's hash and not its messages."""
    return expand_label(hash, secret, label, transcript_hash, hash.digest_size, prefix)


def verify_data(hash: Hash, base_key: Secret, transcript_hash: bytes, prefix: bytes = TLS13_PREFIX) -> bytes:  # noqa: A002
    """What a Finished or a PSK binder carries (RFC 9846 sections 4.5.3 and 4.3.11.2). Compare in constant time."""
    finished_key = hash.hmac(base_key._value, _info_head(prefix, b"finished", hash.digest_size, 0) + b"\1")
    return hash.hmac(finished_key, transcript_hash)


class Keyed:
    """HMAC with one secret for several inputs: what is the same for all of them is hashed once, then copied.

    The secret is a salt for `extract`, or what `expand_label` and `derive` make others of.
    """

    __slots__ = ("_heads", "_inner", "_outer")

    def __init__(self, hash: Hash, secret: Secret, prefix: bytes = TLS13_PREFIX) -> None:  # noqa: A002
        key = secret._value.ljust(hash.block_size, b"\0")
        self._inner = hash.new(key.translate(_INNER_PAD))
        self._outer = hash.new(key.translate(_OUTER_PAD))
        self._heads = _heads(prefix, hash.digest_size)

    def extract(self, ikm: Secret) -> Secret:
        """HKDF-Extract with the secret as the salt."""
        return Secret(self._hmac(ikm._value))

    def derive(self, label: bytes, transcript_hash: bytes) -> Secret:
        """Derive-Secret."""
        return Secret(self._hmac(self._heads[label] + transcript_hash + b"\1"))

    def traffic(self, transcript_hash: bytes, suite: Suite, *labels: bytes) -> list[TrafficSecret]:
        """Derive-Secret with each of these labels, for secrets that record keys will be made of."""
        hmac, heads, tail = self._hmac, self._heads, transcript_hash + b"\1"
        return [TrafficSecret(hmac(heads[label] + tail), suite) for label in labels]

    def _hmac(self, data: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()


class _Heads(dict[bytes, bytes]):
    """HkdfLabel by label, up to the transcript hash: a handshake asks for a dozen of the same few."""

    __slots__ = ("_prefix", "_size")

    def __init__(self, prefix: bytes, size: int) -> None:
        self._prefix = prefix
        self._size = size

    def __missing__(self, label: bytes) -> bytes:
        head = self[label] = _info_head(self._prefix, label, self._size, self._size)
        return head


_heads: Final = lru_cache(maxsize=16)(_Heads)


def label_info(label: bytes, length: int) -> bytes:
    """What `expand_all` takes for a label without a context, of which no more bytes are wanted than a digest has."""
    return _info_head(TLS13_PREFIX, label, length, 0) + b"\1"


def expand_all(hash: Hash, secret: Secret, infos: Iterable[bytes]) -> list[bytes]:  # noqa: A002
    """HKDF-Expand-Label for each of these, not cut to its length yet.

    The same as `Keyed` does, in one piece. What it gives becomes a key at once, and is in no variable for long.
    """
    new, masked = hash.new, secret._value.ljust(hash.block_size, b"\0")
    inner, outer = new(masked.translate(_INNER_PAD)), new(masked.translate(_OUTER_PAD))
    found: list[bytes] = []
    for info in infos:
        first, last = inner.copy(), outer.copy()
        first.update(info)
        last.update(first.digest())
        found.append(last.digest())
    return found


@lru_cache(maxsize=16)
def _write_infos(prefix: bytes, key_length: int, iv_length: int) -> tuple[bytes, bytes]:
    return _info_head(prefix, b"key", key_length, 0) + b"\1", _info_head(prefix, b"iv", iv_length, 0) + b"\1"


def write_key(secret: TrafficSecret, prefix: bytes = TLS13_PREFIX) -> tuple[AeadKey, int]:
    """The key, ready for use, and the IV, as a number, of one direction (RFC 9846 section 7.3)."""
    hash, aead = secret.suite.hash, secret.suite.aead  # noqa: A001
    new, masked = hash.new, secret._value.ljust(hash.block_size, b"\0")
    # The same as `Keyed` does, in one piece: a handshake makes eight of them.
    inner, outer = new(masked.translate(_INNER_PAD)), new(masked.translate(_OUTER_PAD))
    inner_copy, outer_copy = inner.copy(), outer.copy()
    key_info, iv_info = _write_infos(prefix, aead.key_length, aead.iv_length)
    inner.update(key_info)
    outer.update(inner.digest())
    inner_copy.update(iv_info)
    outer_copy.update(inner_copy.digest())
    return aead._new(outer.digest()[: aead.key_length]), int.from_bytes(outer_copy.digest()[: aead.iv_length], "big")
