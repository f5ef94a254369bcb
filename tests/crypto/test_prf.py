"""The pseudorandom function of TLS 1.2 against answers of others."""

from __future__ import annotations

import pytest

from caesura.crypto.hkdf import SHA256, SHA384, Hash
from caesura.crypto.prf import prf
from caesura.crypto.secrets import Secret

unhex = bytes.fromhex

# Posted to the TLS working group's list in 2009, and quoted since by every implementation:
# https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms/
PUBLISHED = [
    (
        SHA256,
        "9bbe436ba940f017b17652849a71db35",
        "a0ba9f936cda311827a6f796ffd5198c",
        (
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
            "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
            "87347b66"
        ),
    ),
    (
        SHA384,
        "b80b733d6ceefcdc71566ea48e5567df",
        "cd665cf6a8447dd6ff8b27555edb7465",
        (
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0"
            "e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425"
            "9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e099070"
            "3d73e56f"
        ),
    ),
]

# OpenSSL 3.0's TLS1-PRF, over secrets longer than the hash's block:
#   openssl kdf -keylen 48 -kdfopt digest:SHA256 -kdfopt hexsecret:… -kdfopt hexseed:… TLS1-PRF
LONG_SECRETS = [
    (SHA256, 66, "76d106ecb079581d3a6fbdae7172c36701d66006669a88e0e8bee2a5fc08ce81991bf08c7fa44708c54ba919827bd1ae"),
    (SHA256, 129, "1ac5a5a85299ded74dd691c49e6b7622a28ea7fc3d3eab0e9a6b8e290a2530d79c39abe76ad6c90ac5fa31d92cc09d9e"),
    (SHA384, 66, "df1b85e8f7dd5aaa5641fcf3824c3fe98e853de35f9e2ffc2ee26e2fe29e13dcbfb982f85087bcd8f385251cf5fe72db"),
    (SHA384, 129, "a77f3decc2464d289bbae30984b5221734a45ad03829cb151f49e4c8ca5c696615cc4acbaf7e699dea732d3e9eb60578"),
]


@pytest.mark.parametrize(("algorithm", "secret", "seed", "output"), PUBLISHED)
def test_published_vectors(algorithm: Hash, secret: str, seed: str, output: str) -> None:
    length = len(output) // 2
    assert prf(algorithm, Secret(unhex(secret)), b"test label", unhex(seed), length).reveal().hex() == output


@pytest.mark.parametrize(("algorithm", "length", "output"), LONG_SECRETS)
def test_secrets_longer_than_a_block(algorithm: Hash, length: int, output: str) -> None:
    """A share of secp521r1 gives 66 bytes, which SHA-256 has to hash before HMAC takes them."""
    derived = prf(algorithm, Secret(bytes(range(length))), b"extended master secret", b"h" * 32, 48)
    assert derived.reveal().hex() == output


@pytest.mark.parametrize("length", [0, 1, 12, 31, 32, 33, 64, 100])
def test_shorter_outputs_are_the_beginning_of_longer_ones(length: int) -> None:
    secret = Secret(b"secret")
    whole = prf(SHA256, secret, b"label", b"seed", 200).reveal()
    assert prf(SHA256, secret, b"label", b"seed", length).reveal() == whole[:length]


def test_the_output_is_secret() -> None:
    assert "7b" not in repr(prf(SHA384, Secret(b"s"), b"l", b"", 12))
