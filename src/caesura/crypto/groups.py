"""Key exchange: one record per named group (RFC 9846 sections 4.3.7, 4.3.8 and 7.4).

A client calls `generate()` and later `exchange()` with the server's share; a server calls `respond()` with the
client's. The two forms fit Diffie-Hellman and key encapsulation alike. A key pair serves one exchange: RFC 9846
section 4.3.8 forbids the use of a share on two connections, so a second one is refused here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caesura.crypto.secrets import SharedSecret
from caesura.errors import IllegalParameter, UsageError
from caesura.wire.registries import NamedGroup

UNCOMPRESSED: Final = 4  # the first byte of an uncompressed point
X25519_LENGTH: Final = 32
MLKEM768_KEY_LENGTH: Final = 1184
MLKEM768_CIPHERTEXT_LENGTH: Final = 1088
MLKEM1024_LENGTH: Final = 1568  # of the key and of the ciphertext


class KeyPair:
    """Our half of one exchange: the private key and the `share` that goes on the wire."""

    __slots__ = ("_agree", "group", "share")

    def __init__(self, group: Group, share: bytes, agree: Callable[[bytes], bytes]) -> None:
        self.group = group
        self.share = share
        self._agree: Callable[[bytes], bytes] | None = agree  # holds the private key

    def exchange(self, peer_share: bytes) -> SharedSecret:
        """The secret shared with a server that answered with `peer_share`. Works once.

        IllegalParameter if the share is not one of this group; UsageError the second time.
        """
        agree, self._agree = self._agree, None
        if agree is None:
            raise UsageError("this key share has been used: each serves one connection")
        self.group.check_length(peer_share, self.group.server_share_length)
        return SharedSecret(agree(peer_share))

    def __repr__(self) -> str:
        return f"<KeyPair {self.group.name}{' (used)' if self._agree is None else ''}>"


class Group(ABC):
    """A named group. Lengths are in bytes; a KEM's two shares differ."""

    __slots__ = ("client_share_length", "code", "server_share_length")

    def __init__(self, code: NamedGroup, client_share_length: int, server_share_length: int) -> None:
        self.code = code
        self.client_share_length = client_share_length
        self.server_share_length = server_share_length

    @property
    def name(self) -> str:
        """The registry's name."""
        return self.code.name

    @abstractmethod
    def generate(self) -> KeyPair:
        """A fresh key pair, for a client's hello."""

    def respond(self, peer_share: bytes) -> tuple[bytes, SharedSecret]:
        """A server's whole part: its share and the secret. IllegalParameter if the peer's is not of this group."""
        self.check_length(peer_share, self.client_share_length)
        share, secret = self._respond(peer_share)
        return share, SharedSecret(secret)

    @abstractmethod
    def _respond(self, peer_share: bytes) -> tuple[bytes, bytes]:
        """Our share and the raw secret, for a client's share of the right length."""

    def check_length(self, share: bytes, length: int) -> None:
        """IllegalParameter unless the share has this length."""
        if len(share) != length:
            raise self.bad_share(f"{len(share)} bytes instead of {length}")

    def bad_share(self, why: str) -> IllegalParameter:
        """The error for a share that is none of this group's."""
        return IllegalParameter(f"key share of {self.name}: {why}", section="RFC 9846 section 4.3.8")

    def __repr__(self) -> str:
        return f"<Group {self.name}>"


class _X25519(Group):
    """RFC 7748. The all-zero secret of a share of small order is refused, as RFC 9846 section 7.4.2 demands."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NamedGroup.x25519, X25519_LENGTH, X25519_LENGTH)

    def generate(self) -> KeyPair:
        key = X25519PrivateKey.generate()
        return KeyPair(self, key.public_key().public_bytes_raw(), partial(self.agree, key))

    def _respond(self, peer_share: bytes) -> tuple[bytes, bytes]:
        key = X25519PrivateKey.generate()
        return key.public_key().public_bytes_raw(), self.agree(key, peer_share)

    def agree(self, key: X25519PrivateKey, peer_share: bytes) -> bytes:
        """The raw secret."""
        try:
            secret = key.exchange(X25519PublicKey.from_public_bytes(peer_share))
        except ValueError:
            secret = b""
        if not any(secret):  # the library has refused zeros already; its other builds might not
            raise self.bad_share("a point of small order")
        return secret


class _PrimeCurve(Group):
    """NIST's curves with uncompressed points, the one form TLS 1.3 has (RFC 9846 section 4.3.8.2)."""

    __slots__ = ("_curve",)

    def __init__(self, code: NamedGroup, curve: EllipticCurve) -> None:
        point_length = 1 + 2 * ((curve.key_size + 7) // 8)
        super().__init__(code, point_length, point_length)
        self._curve = curve

    def generate(self) -> KeyPair:
        key = generate_private_key(self._curve)
        return KeyPair(self, _point(key), partial(self._agree, key))

    def _respond(self, peer_share: bytes) -> tuple[bytes, bytes]:
        key = generate_private_key(self._curve)
        return _point(key), self._agree(key, peer_share)

    def _agree(self, key: EllipticCurvePrivateKey, peer_share: bytes) -> bytes:
        if peer_share[0] != UNCOMPRESSED:
            raise self.bad_share("the point is not uncompressed")
        try:
            return key.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(self._curve, peer_share))
        except ValueError:
            raise self.bad_share("not a point on the curve") from None


def _point(key: EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class _X25519MLKEM768(Group):
    """ML-KEM-768 first, then X25519, in shares and secret alike (draft-ietf-tls-ecdhe-mlkem)."""

    __slots__ = ("_x25519",)

    def __init__(self, x25519: _X25519) -> None:
        super().__init__(
            NamedGroup.X25519MLKEM768, MLKEM768_KEY_LENGTH + X25519_LENGTH, MLKEM768_CIPHERTEXT_LENGTH + X25519_LENGTH
        )
        self._x25519 = x25519

    def generate(self) -> KeyPair:
        kem, key = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        share = kem.public_key().public_bytes_raw() + key.public_key().public_bytes_raw()
        return KeyPair(self, share, partial(self._agree, kem, key))

    def _respond(self, peer_share: bytes) -> tuple[bytes, bytes]:
        try:
            encapsulation_key = MLKEM768PublicKey.from_public_bytes(peer_share[:MLKEM768_KEY_LENGTH])
        except ValueError:  # FIPS 203 section 7.2: a coefficient is out of range
            raise self.bad_share("not an ML-KEM-768 encapsulation key") from None
        key = X25519PrivateKey.generate()
        classical = self._classical(key, peer_share[MLKEM768_KEY_LENGTH:])
        secret, ciphertext = encapsulation_key.encapsulate()
        return ciphertext + key.public_key().public_bytes_raw(), secret + classical

    def _agree(self, kem: MLKEM768PrivateKey, key: X25519PrivateKey, peer_share: bytes) -> bytes:
        # A ciphertext of the right length always decapsulates; a forged one gives a secret the peer does not have.
        secret = kem.decapsulate(peer_share[:MLKEM768_CIPHERTEXT_LENGTH])
        return secret + self._classical(key, peer_share[MLKEM768_CIPHERTEXT_LENGTH:])

    def _classical(self, key: X25519PrivateKey, peer_share: bytes) -> bytes:
        try:
            return self._x25519.agree(key, peer_share)
        except IllegalParameter:
            raise self.bad_share("its X25519 part is a point of small order") from None


class _MLKEM1024(Group):
    """ML-KEM-1024 alone (draft-ietf-tls-mlkem), for those who must not rely on elliptic curves at all."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NamedGroup.MLKEM1024, MLKEM1024_LENGTH, MLKEM1024_LENGTH)

    def generate(self) -> KeyPair:
        kem = MLKEM1024PrivateKey.generate()
        return KeyPair(self, kem.public_key().public_bytes_raw(), kem.decapsulate)

    def _respond(self, peer_share: bytes) -> tuple[bytes, bytes]:
        try:
            secret, ciphertext = MLKEM1024PublicKey.from_public_bytes(peer_share).encapsulate()
        except ValueError:  # FIPS 203 section 7.2: a coefficient is out of range
            raise self.bad_share("not an ML-KEM-1024 encapsulation key") from None
        return ciphertext, secret


def _has_mlkem() -> bool:
    """Whether the linked library knows ML-KEM; older ones do not."""
    try:
        MLKEM768PrivateKey.from_seed_bytes(bytes(64))
    except UnsupportedAlgorithm:
        return False
    return True


def _groups() -> dict[int, Group]:
    x25519 = _X25519()
    groups: list[Group] = [
        x25519,
        _PrimeCurve(NamedGroup.secp256r1, SECP256R1()),
        _PrimeCurve(NamedGroup.secp384r1, SECP384R1()),
        _PrimeCurve(NamedGroup.secp521r1, SECP521R1()),
    ]
    if _has_mlkem():
        groups += _X25519MLKEM768(x25519), _MLKEM1024()
    return {group.code: group for group in groups}


GROUPS12: Final = frozenset({NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1})
"""Those that TLS 1.2 has (RFC 8422 section 5.1.1); hybrid groups are defined for TLS 1.3 alone."""

BIG: Final = frozenset({NamedGroup.X25519MLKEM768, NamedGroup.MLKEM1024})
"""Those whose shares have more than a kilobyte."""

GROUPS: Final = _groups()
"""Every group there is, by its code on the wire. Those with ML-KEM are absent where the linked library lacks it."""


def group_of(code: int) -> NamedGroup | None:
    """The group of this code, where something remembers one; None for any other."""
    group = GROUPS.get(code)
    return None if group is None else group.code
