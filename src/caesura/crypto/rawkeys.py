"""Raw public keys: a SubjectPublicKeyInfo where otherwise a certificate stands (RFC 7250 section 3).

`parse_public_key` is for bytes of the network and raises alerts; `load_public_keys` is for configuration and raises
`ConfigError`. A raw key carries no name and no date: whose it is, only the application can know.
"""

from __future__ import annotations

import binascii
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.serialization import load_der_public_key

from caesura.crypto.certificates import MALFORMED, Source, read_source
from caesura.crypto.signatures import MINIMUM_RSA_BITS, KeyKind, PublicKey
from caesura.errors import ConfigError, DecodeError, UnsupportedCertificate

KeySource: TypeAlias = "Source | PublicKey | Any"
"""A path or PEM or DER bytes; or a key object of `cryptography`, ours, or anything with a `public_key`."""

_RSASSA_PSS: Final = bytes.fromhex("06092a864886f70d01010a")  # its object identifier (RFC 4055 section 3.1) …
_WITHIN: Final = 19  # … which ends before this byte where it is the algorithm's
_BEGIN: Final = b"-----BEGIN PUBLIC KEY-----"
_END: Final = b"-----END PUBLIC KEY-----"


def parse_public_key(spki: bytes) -> PublicKey:
    """The key in a peer's SubjectPublicKeyInfo.

    DecodeError if there is none in these bytes, UnsupportedCertificate for a kind or a size of key that is not taken.
    """
    try:
        key = _read(spki)
    except MALFORMED:
        raise DecodeError("a raw public key is malformed", section="RFC 7250 section 3") from None
    if flaw := _flaw(key):
        raise UnsupportedCertificate(f"a raw public key {flaw}")
    return key


def load_public_keys(source: KeySource, setting: str) -> list[PublicKey]:
    """The public keys of a PEM or DER file, of these bytes, or of a key object; ConfigError naming the setting."""
    if isinstance(source, PublicKey):
        keys = [source]
    elif hasattr(source, "public_key"):
        inner = source.public_key
        return load_public_keys(inner() if callable(inner) else inner, setting)
    elif hasattr(source, "public_bytes"):
        keys = [PublicKey(source)]
    else:
        data = read_source(source, setting)
        try:
            keys = [_read(each) for each in _split(data)]
        except MALFORMED as error:
            raise ConfigError(f"{setting}: a public key could not be read: {error}") from error
    if not keys:
        raise ConfigError(f"{setting}: no public key found")
    for key in keys:
        if flaw := _flaw(key):
            raise ConfigError(f"{setting}: a public key {flaw}")
    return keys


def _read(spki: bytes) -> PublicKey:
    return PublicKey(load_der_public_key(spki), pss=_RSASSA_PSS in spki[:_WITHIN])


def _split(data: bytes) -> list[bytes]:
    """The DER of each public key in PEM text, or the one that the data are."""
    if b"-----BEGIN " not in data:
        return [data] if data else []
    return [binascii.a2b_base64(block.partition(_END)[0]) for block in data.split(_BEGIN)[1:]]


def _flaw(key: PublicKey) -> str | None:
    if key.kind is KeyKind.OTHER:
        return "is of a kind or on a curve that is not supported"
    if key.kind in (KeyKind.RSA, KeyKind.RSA_PSS) and key.bits < MINIMUM_RSA_BITS:
        return f"for RSA has {key.bits} bits, fewer than {MINIMUM_RSA_BITS}"
    return None
