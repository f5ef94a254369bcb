"""Record protection of TLS 1.2: nonces and additional data as the RFCs have them, done by hand."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from caesura.crypto.protection12 import Protection12, additional_data
from caesura.crypto.secrets import Secret
from caesura.crypto.suites import SUITES, Suite
from caesura.wire.registries import Version

SUITES12 = [suite for suite in SUITES.values() if Version.TLS12 in suite.versions]
every = pytest.mark.parametrize("suite", SUITES12, ids=lambda suite: suite.name)
NUMBERS = [0, 1, 2**48 - 1, 0x0001_0000_0000_0007, 2**64 - 1]  # the fourth is epoch 1, record 7 of DTLS


def key_of(suite: Suite) -> bytes:
    return bytes(range(suite.aead.key_length))


def iv_of(suite: Suite) -> bytes:
    return bytes(range(100, 100 + 12 - suite.explicit_nonce_length))


def protection(suite: Suite) -> Protection12:
    return Protection12(suite, Secret(key_of(suite)), Secret(iv_of(suite)))


@every
@pytest.mark.parametrize("number", NUMBERS)
def test_by_hand(suite: Suite, number: int) -> None:
    """RFC 5288 section 3, RFC 6655 3 and RFC 7905 2, with the additional data of RFC 5246 section 6.2.3.3."""
    content, associated = b"content", additional_data(number, 23, 0x0303, 7)
    assert associated == number.to_bytes(8, "big") + b"\x17\x03\x03\x00\x07"
    eight = number.to_bytes(8, "big")
    if "CHACHA20" in suite.name:
        nonce = bytes(a ^ b for a, b in zip(iv_of(suite), bytes(4) + eight, strict=True))
        expected = ChaCha20Poly1305(key_of(suite)).encrypt(nonce, content, associated)
    else:
        tag = suite.aead.tag_length
        aead = AESCCM(key_of(suite), tag) if "CCM" in suite.name else AESGCM(key_of(suite))
        expected = eight + aead.encrypt(iv_of(suite) + eight, content, associated)
    sealed = protection(suite).seal(number, content, associated)
    assert sealed == expected
    assert len(sealed) == len(content) + protection(suite).expansion
    for fragment in (sealed, memoryview(sealed)):
        assert protection(suite).open_untrusted(number, fragment, associated) == content


@every
@pytest.mark.parametrize("changed", ["number", "type", "version", "length", "nonce", "text", "tag", "short"])
def test_any_change_is_noticed(suite: Suite, changed: str) -> None:
    sealed = protection(suite).seal(5, b"content", additional_data(5, 23, 0x0303, 7))
    number, fields = 5, [5, 23, 0x0303, 7]
    match changed:
        case "number":
            number, fields[0] = 6, 6
        case "type":
            fields[1] = 22
        case "version":
            fields[2] = 0x0302
        case "length":
            fields[3] = 6
        case "nonce":
            sealed = bytes((sealed[0] ^ 1,)) + sealed[1:]
        case "text":
            middle = protection(suite).expansion - suite.aead.tag_length
            sealed = sealed[:middle] + bytes((sealed[middle] ^ 1,)) + sealed[middle + 1 :]
        case "tag":
            sealed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
        case "short":
            sealed = sealed[: protection(suite).expansion - 1]
    assert protection(suite).open_untrusted(number, sealed, additional_data(*fields)) is None


def test_the_explicit_nonce_of_the_peer_counts() -> None:
    """Only the sender has to make sure that it is never repeated; it need not be the sequence number."""
    suite = next(suite for suite in SUITES12 if suite.explicit_nonce_length)
    associated = additional_data(3, 23, 0x0303, 7)
    explicit = b"whatever"
    fragment = explicit + AESGCM(key_of(suite)).encrypt(iv_of(suite) + explicit, b"content", associated)
    assert protection(suite).open_untrusted(3, fragment, associated) == b"content"


@every
def test_nonces_differ_as_the_numbers_do(suite: Suite) -> None:
    seals = protection(suite)
    sealed = {seals.seal(number, b"", b"") for number in range(50)}
    assert len(sealed) == 50


@every
def test_keys_do_not_show(suite: Suite) -> None:
    assert repr(protection(suite)) == f"<Protection12 {suite.name}>"


@every
def test_a_key_of_another_length_is_refused(suite: Suite) -> None:
    with pytest.raises(ValueError, match=suite.aead.name):
        Protection12(suite, Secret(key_of(suite) + b"x"), Secret(iv_of(suite)))
