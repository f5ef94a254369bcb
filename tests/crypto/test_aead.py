"""AEADs and the suites made of them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto.aead import (
    AES_128_CCM,
    AES_128_CCM_8,
    AES_128_GCM,
    AES_256_CCM,
    AES_256_CCM_8,
    AES_256_GCM,
    CHACHA20_POLY1305,
    Aead,
    InvalidTag,
)
from caesura.crypto.secrets import Secret
from caesura.crypto.signatures import KeyKind
from caesura.crypto.suites import SUITES
from caesura.wire.registries import CipherSuite, Version

unhex = bytes.fromhex
CCM = [AES_128_CCM, AES_256_CCM, AES_128_CCM_8, AES_256_CCM_8]
every = pytest.mark.parametrize("aead", [AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, *CCM], ids=lambda each: each.name)


def test_chacha20_poly1305_vector() -> None:
    """RFC 8439 section 2.8.2."""
    key = CHACHA20_POLY1305.new(Secret(bytes(range(0x80, 0xA0))))
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = key.encrypt(unhex("070000004041424344454647"), text, unhex("50515253c0c1c2c3c4c5c6c7"))
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


@pytest.mark.parametrize(
    ("aead", "tag"),
    [(AES_128_GCM, "58e2fccefa7e3061367f1d57a4e7455a"), (AES_256_GCM, "530f8afbc74536b9a963b4f1c4cb738b")],
)
def test_aes_gcm_vectors(aead: Aead, tag: str) -> None:
    """McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 1 and 13: all zero, no text."""
    assert aead.new(Secret(bytes(aead.key_length))).encrypt(bytes(12), b"", b"").hex() == tag


@pytest.mark.parametrize(("aead", "tag"), [(AES_128_CCM_8, 8), (AES_128_CCM, 16)])
def test_ccm_by_its_definition(aead: Aead, tag: int) -> None:
    """RFC 3610 section 2, by hand for one block of text, with AES alone: L is 3, as the nonce has 12 bytes."""
    key, nonce, text = bytes(range(16)), bytes(range(100, 112)), b"sixteen bytes ok"
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # what CCM is made of
    first = bytes((8 * ((tag - 2) // 2) + 2,)) + nonce + (16).to_bytes(3, "big")
    mac = block(bytes(a ^ b for a, b in zip(block(first), text, strict=True)))
    stream = [block(b"\x02" + nonce + number.to_bytes(3, "big")) for number in (0, 1)]
    sealed = bytes(a ^ b for a, b in zip(text + mac, stream[1] + stream[0], strict=True))[: 16 + tag]
    assert aead.new(Secret(key)).encrypt(nonce, text, b"") == sealed


@every
@given(nonce=st.binary(min_size=12, max_size=12), text=st.binary(max_size=200), header=st.binary(max_size=20))
def test_round_trip(aead: Aead, nonce: bytes, text: bytes, header: bytes) -> None:
    key = aead.new(Secret(b"k" * aead.key_length))
    sealed = key.encrypt(nonce, text, header)
    assert len(sealed) == len(text) + aead.tag_length
    assert key.decrypt(nonce, sealed, header) == text


@every
@pytest.mark.parametrize("changed", ["nonce", "text", "tag", "header", "short"])
def test_any_change_is_noticed(aead: Aead, changed: str) -> None:
    key = aead.new(Secret(b"k" * aead.key_length))
    sealed, nonce, header = key.encrypt(bytes(12), b"text", b"header"), bytes(12), b"header"
    match changed:
        case "nonce":
            nonce = b"\1" + bytes(11)
        case "text":
            sealed = bytes([sealed[0] ^ 1]) + sealed[1:]
        case "tag":
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        case "header":
            header = b"Header"
        case "short":
            sealed = sealed[: aead.tag_length - 1]
    with pytest.raises(InvalidTag):
        key.decrypt(nonce, sealed, header)


@every
def test_buffers_of_the_callers(aead: Aead) -> None:
    key = aead.new(Secret(b"k" * aead.key_length))
    sealed, opened = bytearray(4 + aead.tag_length), bytearray(4)
    assert key.encrypt_into(bytes(12), b"text", b"", sealed) == len(sealed)
    assert key.decrypt_into(bytes(12), bytes(sealed), b"", opened) == 4
    assert opened == b"text"


@every
def test_a_key_of_another_length_is_refused(aead: Aead) -> None:
    with pytest.raises(ValueError, match=aead.name):
        aead.new(Secret(bytes(aead.key_length + 1)))


@every
def test_limits_are_below_the_end_of_the_sequence_numbers(aead: Aead) -> None:
    assert aead.confidentiality_limit < 2**64
    assert aead.confidentiality_limit == {CHACHA20_POLY1305: 2**64 - 1, **dict.fromkeys(CCM, 2**23)}.get(
        aead, int(2**24.5)
    )
    assert aead.integrity_limit == {8: 2**7, 16: int(2**23.5) if aead in CCM else 2**36}[aead.tag_length]


def test_the_suites_of_tls13() -> None:
    """RFC 9846 appendix B.4: name, hash and AEAD belong together."""
    assert {suite.name: (suite.hash.name, suite.aead.name) for suite in SUITES.values() if not suite.older} == {
        "TLS_AES_128_GCM_SHA256": ("sha256", "AES-128-GCM"),
        "TLS_AES_256_GCM_SHA384": ("sha384", "AES-256-GCM"),
        "TLS_CHACHA20_POLY1305_SHA256": ("sha256", "ChaCha20-Poly1305"),
        "TLS_AES_128_CCM_SHA256": ("sha256", "AES-128-CCM"),
        "TLS_AES_128_CCM_8_SHA256": ("sha256", "AES-128-CCM-8"),
    }
    assert SUITES[0x1301].code is CipherSuite.TLS_AES_128_GCM_SHA256


@pytest.mark.parametrize(
    ("aead", "key", "sample", "mask"),
    [
        (AES_128_GCM, "9f50449e04a0e810283a1e9933adedd2", "d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36"),
        (
            CHACHA20_POLY1305,
            "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
            "5e5cd55c41f69080575d7999c25a5bfb",
            "aefefe7d03",
        ),
    ],
    ids=["AES", "ChaCha20"],
)
def test_masks_of_record_numbers(aead: Aead, key: str, sample: str, mask: str) -> None:
    """RFC 9001 appendices A.2 and A.5; RFC 9147 section 4.2.3 makes its masks the same way."""
    make = aead.new_mask(Secret(unhex(key)))
    assert make(unhex(sample))[:5].hex() == mask
    assert make(bytes(16))[:5] != make(unhex(sample))[:5]
    assert make(unhex(sample))[:5].hex() == mask


def test_the_suites_of_tls12() -> None:
    """RFC 5289 section 3.2, RFC 7905 section 2, RFC 7251: ECDHE and an AEAD, and nothing else."""
    suites = {suite.name: suite for suite in SUITES.values() if suite.signers}
    ccm = {
        f"AES_{size}_CCM{tag}": ("sha256", f"AES-{size}-CCM{tag.replace('_', '-')}")
        for size in (128, 256)
        for tag in ("", "_8")
    }
    assert {name: (suite.hash.name, suite.aead.name) for name, suite in suites.items()} == {
        f"TLS_ECDHE_{key}_WITH_{rest}": parts
        for key in ("ECDSA", "RSA")
        for rest, parts in {
            "AES_128_GCM_SHA256": ("sha256", "AES-128-GCM"),
            "AES_256_GCM_SHA384": ("sha384", "AES-256-GCM"),
            "CHACHA20_POLY1305_SHA256": ("sha256", "ChaCha20-Poly1305"),
            **(ccm if key == "ECDSA" else {}),
        }.items()
    }
    for name, suite in suites.items():
        assert suite.explicit_nonce_length == (0 if "CHACHA20" in name else 8)
        assert (KeyKind.RSA in suite.signers) is ("_RSA_" in name)
        assert (KeyKind.P256 in suite.signers) is ("_ECDSA_" in name)
        assert (KeyKind.ED25519 in suite.signers) is ("_ECDSA_" in name)  # RFC 8422 section 2
    assert {KeyKind.RSA, KeyKind.RSA_PSS} == suites["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"].signers


def test_the_suites_of_tls12_with_a_pre_shared_key() -> None:
    """RFC 5487 section 2, RFC 6655 section 4, RFC 7905 section 2, RFC 8442 section 3. No CBC, no DHE, no RSA."""
    suites = {suite.name: suite for suite in SUITES.values() if suite.psk}
    assert {name: (suite.hash.name, suite.aead.name) for name, suite in suites.items()} == {
        "TLS_PSK_WITH_AES_128_GCM_SHA256": ("sha256", "AES-128-GCM"),
        "TLS_PSK_WITH_AES_256_GCM_SHA384": ("sha384", "AES-256-GCM"),
        "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256": ("sha256", "ChaCha20-Poly1305"),
        "TLS_PSK_WITH_AES_128_CCM": ("sha256", "AES-128-CCM"),
        "TLS_PSK_WITH_AES_256_CCM": ("sha256", "AES-256-CCM"),
        "TLS_PSK_WITH_AES_128_CCM_8": ("sha256", "AES-128-CCM-8"),
        "TLS_PSK_WITH_AES_256_CCM_8": ("sha256", "AES-256-CCM-8"),
        "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256": ("sha256", "AES-128-GCM"),
        "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384": ("sha384", "AES-256-GCM"),
        "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256": ("sha256", "ChaCha20-Poly1305"),
        "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256": ("sha256", "AES-128-CCM"),
        "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256": ("sha256", "AES-128-CCM-8"),
    }
    for name, suite in suites.items():
        assert not suite.signers
        assert suite.ecdhe is ("ECDHE" in name)
        assert suite.explicit_nonce_length == (0 if "CHACHA20" in name else 8)


@pytest.mark.parametrize(
    ("name", "openssl"),
    [
        ("TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_CCM_8_SHA256"),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE-ECDSA-AES256-CCM"),
        ("TLS_PSK_WITH_AES_128_GCM_SHA256", "PSK-AES128-GCM-SHA256"),
        ("TLS_PSK_WITH_AES_128_CCM_8", "PSK-AES128-CCM8"),
        ("TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-PSK-CHACHA20-POLY1305"),
    ],
)
def test_what_openssl_calls_them(name: str, openssl: str) -> None:
    """openssl-ciphers(1)."""
    assert SUITES[CipherSuite[name]].openssl_name == openssl


def test_no_suite_serves_both_versions() -> None:
    for suite in SUITES.values():
        assert (Version.TLS13 in suite.versions) is not (Version.TLS12 in suite.versions)
        assert (Version.DTLS13 in suite.versions) is (Version.TLS13 in suite.versions)
        assert (Version.DTLS12 in suite.versions) is (Version.TLS12 in suite.versions)
        assert (Version.QUIC1 in suite.versions) is (Version.TLS13 in suite.versions and "CCM" not in suite.name)
