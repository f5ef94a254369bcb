"""HMAC, HKDF and the pieces of the key schedule, against the published vectors and the standard library."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto.hkdf import SHA256, SHA384, Hash, derive_secret, expand, expand_label, extract, verify_data
from caesura.crypto.secrets import Secret

unhex = bytes.fromhex
both = pytest.mark.parametrize("hash_", [SHA256, SHA384], ids=lambda each: each.name)


# RFC 4231 sections 4.2, 4.3, 4.4 and 4.7: key, data, HMAC-SHA-256, HMAC-SHA-384
HMAC_VECTORS = [
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
    ),
]


@pytest.mark.parametrize(("key", "data", "sha256", "sha384"), HMAC_VECTORS)
def test_hmac_vectors(key: bytes, data: bytes, sha256: str, sha384: str) -> None:
    assert SHA256.hmac(key, data).hex() == sha256
    assert SHA384.hmac(key, data).hex() == sha384


@both
@given(key=st.binary(max_size=200), data=st.binary(max_size=300))
def test_hmac_is_the_standard_librarys(hash_: Hash, key: bytes, data: bytes) -> None:
    assert hash_.hmac(key, data) == hmac.digest(key, data, hash_.name)


@both
def test_hash_records(hash_: Hash) -> None:
    assert len(hash_.digest(b"abc")) == hash_.digest_size
    assert hash_.new(b"abc").digest() == hash_.digest(b"abc")
    assert hash_.empty_digest == hash_.digest(b"")
    assert hash_.zeros.reveal() == bytes(hash_.digest_size)


# RFC 5869 appendix A: input key, salt, info, length, PRK, output
HKDF_VECTORS = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8"
            "367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("ikm", "salt", "info", "length", "prk", "okm"), HKDF_VECTORS)
def test_hkdf_vectors(ikm: str, salt: str, info: str, length: int, prk: str, okm: str) -> None:
    extracted = extract(SHA256, Secret(unhex(salt)), Secret(unhex(ikm)))
    assert extracted.reveal().hex() == prk
    assert expand(SHA256, extracted, unhex(info), length).reveal().hex() == okm


@both
@given(first=st.integers(0, 300), second=st.integers(0, 300))
def test_a_shorter_output_is_a_prefix_of_a_longer_one(hash_: Hash, first: int, second: int) -> None:
    secret = Secret(bytes(hash_.digest_size))
    short, long = sorted((first, second))
    assert expand(hash_, secret, b"info", long).reveal().startswith(expand(hash_, secret, b"info", short).reveal())
    assert len(expand(hash_, secret, b"info", long)) == long


@both
def test_expand_is_bounded(hash_: Hash) -> None:
    most = 255 * hash_.digest_size
    assert len(expand(hash_, Secret(b"x"), b"", most)) == most
    with pytest.raises(ValueError, match="at most"):
        expand(hash_, Secret(b"x"), b"", most + 1)


def test_the_key_schedule_of_a_simple_handshake() -> None:
    """RFC 8448 section 3, its secrets one after the other."""
    early = extract(SHA256, SHA256.zeros, SHA256.zeros)
    assert early.reveal().hex() == "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"

    derived = derive_secret(SHA256, early, b"derived", SHA256.empty_digest)
    assert derived.reveal().hex() == "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"

    shared = Secret(unhex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"))
    handshake = extract(SHA256, derived, shared)
    assert handshake.reveal().hex() == "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"

    hellos = unhex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8")
    client = derive_secret(SHA256, handshake, b"c hs traffic", hellos)
    assert client.reveal().hex() == "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"
    server = derive_secret(SHA256, handshake, b"s hs traffic", hellos)
    assert server.reveal().hex() == "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"

    assert expand_label(SHA256, server, b"key", b"", 16).reveal().hex() == "3fce516009c21727d0f2e4e86ee403bc"
    assert expand_label(SHA256, server, b"iv", b"", 12).reveal().hex() == "5d313eb2671276ee13000b30"

    before_finished = unhex("edb7725fa7a3473b031ec8ef65a2485493900138a2b91291407d7951a06110ed")
    finished = verify_data(SHA256, server, before_finished)
    assert finished.hex() == "9b9b141d906337fbd2cbdce71df4deda4ab42c309572cb7fffee5454b78f0718"

    derived = derive_secret(SHA256, handshake, b"derived", SHA256.empty_digest)
    main = extract(SHA256, derived, SHA256.zeros)
    assert main.reveal().hex() == "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"


def test_quics_initial_secret() -> None:
    """RFC 9001 appendix A.1: the salt, the connection ID, and the client's packet key."""
    salt = Secret(unhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"))
    initial = extract(SHA256, salt, Secret(unhex("8394c8f03e515708")))
    client = expand_label(SHA256, initial, b"client in", b"", 32)
    assert client.reveal().hex() == "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea"
    assert expand_label(SHA256, client, b"quic key", b"", 16).reveal().hex() == "1f369613dd76d5467730efcbe3b1a22d"


def test_the_prefix_is_part_of_the_label() -> None:
    secret = Secret(b"x" * 32)
    plain = expand_label(SHA256, secret, b"key", b"", 16)
    assert expand_label(SHA256, secret, b"key", b"", 16, b"dtls13") != plain
    assert expand_label(SHA256, secret, b"3 key", b"", 16, b"tls1") == plain


@pytest.mark.parametrize(
    ("label", "context", "length"),
    [(b"", b"", 16), (b"x" * 250, b"", 16), (b"key", b"c" * 256, 16), (b"key", b"", 65536)],
)
def test_labels_that_do_not_fit_are_refused(label: bytes, context: bytes, length: int) -> None:
    with pytest.raises(ValueError, match="HkdfLabel"):
        expand_label(SHA256, Secret(b"x"), label, context, length)
