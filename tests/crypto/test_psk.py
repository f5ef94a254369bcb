"""External pre-shared keys: what they are, and how they are imported (RFC 9258), computed here a second time."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto.psk import PSK, import_key
from caesura.errors import ConfigError, DecodeError
from caesura.wire.psk import IMPORTED_IDENTITY, ImportedIdentity
from caesura.wire.registries import KDFIdentifier, Version

KEY = bytes(range(32))


def by_hand(key: bytes, importer: str, identity: bytes, prefix: bytes, length: int) -> bytes:
    """RFC 9258 section 5.1, with RFC 5869 and RFC 9846 section 7.1, for keys no longer than the hash."""
    size = hashlib.new(importer).digest_size
    extracted = hmac.digest(bytes(size), key, importer)
    digest = hashlib.new(importer, identity).digest()
    label = prefix + b"derived psk"
    info = length.to_bytes(2, "big") + bytes((len(label),)) + label + bytes((len(digest),)) + digest
    output = block = hmac.digest(extracted, info + b"\x01", importer)
    while len(output) < length:
        block = hmac.digest(extracted, block + info + b"\x02", importer)
        output += block
    return output[:length]


@pytest.mark.parametrize("importer", ["sha256", "sha384"])
@pytest.mark.parametrize(("kdf", "length"), [(1, 32), (2, 48)])
@pytest.mark.parametrize(("protocol", "prefix"), [(Version.TLS13, b"tls13 "), (Version.DTLS13, b"dtls13")])
def test_import(importer: str, kdf: int, length: int, protocol: int, prefix: bytes) -> None:
    psk = PSK.imported("psk1", KEY, b"context1", hash=importer.upper())
    identity, key = import_key(psk, protocol, kdf, prefix)
    wire = b"\x00\x04psk1" + b"\x00\x08context1" + protocol.to_bytes(2, "big") + kdf.to_bytes(2, "big")
    assert identity == wire
    assert key.reveal() == by_hand(KEY, importer, wire, prefix, length)


def test_every_part_of_the_identity_makes_another_key() -> None:
    keys = {
        import_key(PSK.imported(identity, KEY, context), protocol, kdf, b"tls13 ")[1].reveal()[:32]
        for identity in (b"a", b"b")
        for context in (b"", b"a")
        for protocol in (Version.TLS13, Version.DTLS13)
        for kdf in (1, 2)
    }
    assert len(keys) == 16


def test_identity_on_the_wire() -> None:
    decoded = IMPORTED_IDENTITY.decode(bytes.fromhex("0001610000" + "0304" + "0001"))
    assert decoded == ImportedIdentity(b"a", b"", Version.TLS13, KDFIdentifier.HKDF_SHA256)
    assert IMPORTED_IDENTITY.decode(bytes.fromhex("00016100016203090009")) == ImportedIdentity(b"a", b"b", 0x0309, 9)
    for wrong in (
        "",
        "0000" + "0000" + "0304" + "0001",
        "0001610000" + "0304" + "000100",
        "0001610000" + "0304" + "00",
    ):
        with pytest.raises(DecodeError):
            IMPORTED_IDENTITY.decode(bytes.fromhex(wrong))


@given(st.binary(min_size=1, max_size=30), st.binary(max_size=30), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_identity_round_trip(identity: bytes, context: bytes, protocol: int, kdf: int) -> None:
    value = ImportedIdentity(identity, context, protocol, kdf)
    assert IMPORTED_IDENTITY.decode(IMPORTED_IDENTITY.encode(value)) == value


@pytest.mark.parametrize(
    ("identity", "key", "options"),
    [
        (b"", KEY, {}),
        ("", KEY, {}),
        (b"x" * 65_536, KEY, {}),
        (b"x", b"", {}),
        (b"x", "a password", {}),
        (b"x", None, {}),
        (b"x", KEY, {"hash": "SHA512"}),
        (b"x", KEY, {"hash": "sha256"}),
    ],
)
def test_what_is_no_key(identity: Any, key: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="lookup_psk"):
        PSK(identity, key, **options)


def test_identity_and_context_that_are_too_long() -> None:
    with pytest.raises(ConfigError, match="context"):
        PSK.imported(b"x" * 40_000, KEY, b"y" * 40_000)


def test_it_does_not_show_the_key() -> None:
    for psk in (PSK("who", KEY), PSK.imported("who", KEY, b"where")):
        assert psk.identity == b"who"
        assert psk.key.reveal() == KEY
        assert KEY.hex() not in repr(psk)
        assert repr(KEY)[2:-1] not in repr(psk)
    assert PSK("who", KEY).context is None
    assert PSK.imported("who", KEY).context == b""
