"""Signature schemes: which key fits which, in which version; what verifies and what does not."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto.certificates import parse_certificate
from caesura.crypto.signatures import SCHEMES, KeyKind, LocalKey, PublicKey, SigningKey, schemes_for, verify
from caesura.errors import ConfigError, DecryptError, IllegalParameter, UsageError
from caesura.wire.registries import SignatureScheme, Version
from tests.support.pki import ec_key, pki, rsa_key

S = SignatureScheme
MESSAGE = b"what is signed"


def keys() -> dict[str, LocalKey]:
    return {
        "RSA": LocalKey(rsa_key()),
        "RSASSA-PSS": LocalKey(rsa_key(), pss=True),
        "P-256": LocalKey(ec_key()),
        "P-384": LocalKey(ec_key(ec.SECP384R1())),
        "P-521": LocalKey(ec_key(ec.SECP521R1())),
        "Ed25519": LocalKey(ed25519.Ed25519PrivateKey.generate()),
        "Ed448": LocalKey(ed448.Ed448PrivateKey.generate()),
    }


KEYS = keys()
ECDSA = {S.ecdsa_secp256r1_sha256, S.ecdsa_secp384r1_sha384, S.ecdsa_secp521r1_sha512}
PKCS1 = {S.rsa_pkcs1_sha256, S.rsa_pkcs1_sha384, S.rsa_pkcs1_sha512}

# Which schemes may sign a handshake with which key (RFC 9846 section 4.3.3, RFC 8422 section 5.10).
ALLOWED: dict[tuple[str, Version], set[SignatureScheme]] = {
    ("RSA", Version.TLS13): {S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384, S.rsa_pss_rsae_sha512},
    ("RSASSA-PSS", Version.TLS13): {S.rsa_pss_pss_sha256, S.rsa_pss_pss_sha384, S.rsa_pss_pss_sha512},
    ("P-256", Version.TLS13): {S.ecdsa_secp256r1_sha256},
    ("P-384", Version.TLS13): {S.ecdsa_secp384r1_sha384},
    ("P-521", Version.TLS13): {S.ecdsa_secp521r1_sha512},
    ("Ed25519", Version.TLS13): {S.ed25519},
    ("Ed448", Version.TLS13): {S.ed448},
    ("RSA", Version.TLS12): {S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384, S.rsa_pss_rsae_sha512} | PKCS1,
    ("RSASSA-PSS", Version.TLS12): {S.rsa_pss_pss_sha256, S.rsa_pss_pss_sha384, S.rsa_pss_pss_sha512},
    ("P-256", Version.TLS12): ECDSA,
    ("P-384", Version.TLS12): ECDSA,
    ("P-521", Version.TLS12): ECDSA,
    ("Ed25519", Version.TLS12): {S.ed25519},
    ("Ed448", Version.TLS12): {S.ed448},
}


@pytest.mark.parametrize(("name", "version"), list(ALLOWED))
def test_each_key_has_its_schemes(name: str, version: Version) -> None:
    """Every pair of key and scheme that is not in the table is refused, whoever made the signature."""
    key = KEYS[name]
    assert set(schemes_for(key.public_key, version)) == ALLOWED[name, version]
    for scheme in SignatureScheme:
        if scheme in ALLOWED[name, version]:
            continue
        with pytest.raises(IllegalParameter):
            verify(scheme, key.public_key, b"signature", MESSAGE, version)


@pytest.mark.parametrize(("name", "version"), list(ALLOWED))
def test_signatures_verify_and_changed_ones_do_not(name: str, version: Version) -> None:
    key = KEYS[name]
    for scheme in ALLOWED[name, version]:
        signature = SCHEMES[scheme].sign(key._native, MESSAGE)
        verify(scheme, key.public_key, signature, MESSAGE, version)
        for other, message in ((signature, MESSAGE + b"!"), (signature[:-1], MESSAGE), (b"", MESSAGE)):
            with pytest.raises(DecryptError):
                verify(scheme, key.public_key, other, message, version)


@pytest.mark.parametrize("name", list(KEYS))
def test_another_keys_signature_does_not_verify(name: str) -> None:
    key, other = KEYS[name], keys()[name]
    if name.startswith("RSA"):
        other = LocalKey(rsa.generate_private_key(public_exponent=65537, key_size=2048), pss=name == "RSASSA-PSS")
    scheme = key.schemes[0]
    with pytest.raises(DecryptError):
        verify(scheme, key.public_key, other.sign(scheme, MESSAGE), MESSAGE)


def test_pkcs1_never_signs_a_handshake_of_tls13() -> None:
    """RFC 9846 section 4.3.3."""
    for scheme in PKCS1:
        for version in set(Version) - {Version.TLS12, Version.DTLS12}:
            assert version not in SCHEMES[scheme].versions


def test_an_unknown_scheme_is_an_illegal_parameter() -> None:
    with pytest.raises(IllegalParameter, match="0x0a0a"):
        verify(0x0A0A, KEYS["P-256"].public_key, b"", MESSAGE)


def test_pss_salts_are_as_long_as_the_digest() -> None:
    """RFC 9846 section 4.3.3; signatures with another salt length are refused."""
    native = rsa_key()
    for length, good in ((32, True), (20, False), (padding.PSS.MAX_LENGTH, False)):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), length)
        signature = native.sign(MESSAGE, pss, hashes.SHA256())
        if good:
            verify(S.rsa_pss_rsae_sha256, KEYS["RSA"].public_key, signature, MESSAGE)
        else:
            with pytest.raises(DecryptError):
                verify(S.rsa_pss_rsae_sha256, KEYS["RSA"].public_key, signature, MESSAGE)
    ours = KEYS["RSA"].sign(S.rsa_pss_rsae_sha256, MESSAGE)
    strict = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    native.public_key().verify(ours, MESSAGE, strict, hashes.SHA256())


def test_ed25519_vector() -> None:
    """RFC 8032 section 7.1, test 2."""
    native = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    signature = LocalKey(native).sign(S.ed25519, b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(signature=st.binary(max_size=600), name=st.sampled_from(list(KEYS)))
def test_any_bytes_for_a_signature_end_in_an_alert(signature: bytes, name: str) -> None:
    key = KEYS[name]
    with pytest.raises(DecryptError):
        verify(key.schemes[0], key.public_key, signature, MESSAGE)


def test_a_local_key_signs_with_its_own_schemes_only() -> None:
    with pytest.raises(UsageError):
        KEYS["P-256"].sign(S.ecdsa_secp384r1_sha384, MESSAGE)
    with pytest.raises(UsageError):
        KEYS["RSASSA-PSS"].sign(S.rsa_pss_rsae_sha256, MESSAGE)
    assert isinstance(KEYS["RSA"], SigningKey)


def test_a_key_shows_its_kind_and_nothing_else() -> None:
    assert repr(KEYS["P-256"]) == "<LocalKey ECDSA on secp256r1>"
    assert repr(KEYS["RSA"].public_key) == "<PublicKey RSA, 2048 bits>"


@pytest.mark.parametrize(
    ("native", "why"),
    [
        (ec_key(ec.SECP256K1()), "curve"),
        (rsa_key(1024), "1024 bits"),
        (x25519.X25519PrivateKey.generate(), "cannot sign"),
        (object(), "cannot sign"),
    ],
    ids=["secp256k1", "rsa1024", "x25519", "object"],
)
def test_keys_that_are_not_supported(native: object, why: str) -> None:
    with pytest.raises(ConfigError, match=f"identity: .*{why}"):
        LocalKey(native)  # type: ignore[arg-type]


def test_the_mark_for_pss_is_read_from_the_certificate() -> None:
    assert parse_certificate(pki().rsa_pss.der).public_key.kind is KeyKind.RSA_PSS
    assert parse_certificate(pki().rsa.der).public_key.kind is KeyKind.RSA


def test_public_keys_of_other_kinds_have_no_scheme() -> None:
    key = PublicKey(x25519.X25519PrivateKey.generate().public_key())
    assert key.kind is KeyKind.OTHER
    assert schemes_for(key) == ()
    with pytest.raises(IllegalParameter):
        verify(S.ed25519, key, bytes(64), MESSAGE)
