"""Identities: what belongs together is taken, what does not is refused with the setting's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caesura.crypto.certificates import parse_certificate
from caesura.crypto.identity import Identity
from caesura.crypto.signatures import LocalKey, verify
from caesura.errors import ConfigError
from caesura.wire.registries import SignatureScheme, Version
from tests.support.pki import Credential, ec_key, pki, rsa_key

S = SignatureScheme


def load(credential: Credential, **changes: Any) -> Identity:
    arguments: dict[str, Any] = {"chain": credential.chain_pem, "key": credential.key_pem, **changes}
    return Identity.load(**arguments)


class RemoteKey:
    """A key of an engine: it has schemes and signs, and may tell its public key."""

    def __init__(self, credential: Credential, **public_key: object) -> None:
        self._key = LocalKey(credential.key)
        self.schemes = self._key.schemes
        for name, value in public_key.items():
            setattr(self, name, value)

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        return self._key.sign(scheme, message)


@pytest.mark.parametrize("name", ["ec", "rsa", "rsa_pss", "ed25519", "ed448", "p384", "p521", "client", "self_signed"])
def test_an_identity_signs_what_its_certificate_verifies(name: str) -> None:
    credential: Credential = getattr(pki(), name)
    identity = load(credential)
    assert identity.chain == credential.chain
    scheme = identity.scheme_for(tuple(SignatureScheme))
    assert scheme is not None
    signature = identity.key.sign(scheme, b"message")
    verify(scheme, parse_certificate(identity.chain[0]).public_key, signature, b"message")


def test_from_files(tmp_path: Path) -> None:
    chain, key = pki().ec.files(tmp_path)
    assert Identity.load(chain, str(key)).chain == pki().ec.chain


def test_from_der_and_key_objects() -> None:
    assert load(pki().ec, chain=pki().ec.der).chain == (pki().ec.der,)
    assert load(pki().ec, key=pki().ec.key).key.schemes == (S.ecdsa_secp256r1_sha256,)
    own = LocalKey(pki().ec.key)
    assert load(pki().ec, key=own).key is own


def test_encrypted_key_and_stapled_response() -> None:
    identity = load(
        pki().ec, key=pki().ec.private_bytes(password=b"secret"), password=lambda: "secret", ocsp_response=b"ocsp"
    )
    assert identity.ocsp_response == b"ocsp"


def test_an_identity_does_not_show_its_key() -> None:
    assert "BEGIN" not in repr(load(pki().ec))
    assert repr(load(pki().ec)).count("\\x") == 0


def test_an_identity_does_not_change() -> None:
    with pytest.raises(AttributeError):
        load(pki().ec).chain = ()  # type: ignore[misc]


# --- engines' keys


def spki(credential: Credential) -> bytes:
    return bytes(credential.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def pem(credential: Credential) -> bytes:
    return bytes(credential.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    "told",
    [
        lambda credential: credential.key.public_key(),
        lambda credential: credential.key.public_key,
        lambda credential: LocalKey(credential.key).public_key,
        spki,
        pem,
        lambda credential: None,
    ],
    ids=["object", "method", "ours", "der", "pem", "none"],
)
def test_an_engines_key_is_compared_with_the_leaf_if_it_tells_its_public_key(told: Any) -> None:
    remote = RemoteKey(pki().ec, public_key=told(pki().ec))
    assert load(pki().ec, key=remote).key is remote
    if told(pki().ec) is not None:
        with pytest.raises(ConfigError, match="identity: the private key does not belong"):
            load(pki().ec, key=RemoteKey(pki().ec, public_key=told(pki().client)))


def test_an_engines_key_may_keep_silent() -> None:
    remote = RemoteKey(pki().ec)
    assert load(pki().ec, key=remote).key is remote


@pytest.mark.parametrize("told", [b"nonsense", 17])
def test_an_engines_public_key_that_is_none(told: object) -> None:
    with pytest.raises(ConfigError, match="identity: the key's public_key"):
        load(pki().ec, key=RemoteKey(pki().ec, public_key=told))


def test_an_engines_key_without_a_scheme_for_the_leaf() -> None:
    with pytest.raises(ConfigError, match="identity: the private key has no scheme"):
        load(pki().ec, key=RemoteKey(pki().p384))


# --- what is refused


def test_another_certificates_key() -> None:
    with pytest.raises(ConfigError, match="identity: the private key does not belong to the certificate of CN=ec"):
        load(pki().ec, key=pki().client.key_pem)


def test_the_order_of_the_chain() -> None:
    leaf, intermediate, root = pki().ec.pem, pki().intermediate.pem, pki().root.pem
    assert len(load(pki().ec, chain=leaf + intermediate + root).chain) == 3
    for wrong in (intermediate + leaf, leaf + root, leaf + root + intermediate, leaf + leaf):
        with pytest.raises(ConfigError, match="identity: "):
            load(pki().ec, chain=wrong)
    with pytest.raises(ConfigError, match=r"certificate 2 of the chain \(CN=Test Root\) did not issue"):
        load(pki().ec, chain=leaf + root)


def test_an_issuer_of_the_same_name_with_another_key() -> None:
    impostor = pki().ca("Test Intermediate", issuer=pki().root)
    with pytest.raises(ConfigError, match="did not issue"):
        load(pki().ec, chain=pki().ec.pem + impostor.pem)


@pytest.mark.parametrize(
    "chain", [b"", b"garbage", "gone.pem", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"]
)
def test_chains_that_are_none(chain: object) -> None:
    with pytest.raises(ConfigError, match="identity"):
        load(pki().ec, chain=chain)


@pytest.mark.parametrize("key", [b"", b"garbage", "gone.key", 5])
def test_keys_that_are_none(key: object) -> None:
    with pytest.raises(ConfigError, match="identity"):
        load(pki().ec, key=key)


def test_weak_and_unknown_keys() -> None:
    weak = pki().leaf("weak", key=rsa_key(1024))
    with pytest.raises(ConfigError, match="1024 bits"):
        load(weak)
    odd = pki().leaf("odd", key=ec_key(ec.SECP256K1()))
    with pytest.raises(ConfigError, match="identity"):
        load(odd)
    with pytest.raises(ConfigError, match="identity: the certificate has a key"):
        load(odd, key=RemoteKey(pki().ec))


def test_a_leaf_with_malformed_extensions() -> None:
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05a")
    with pytest.raises(ConfigError, match="identity"):
        load(pki().leaf("broken", names=(), extensions=[(broken, False)]))


# --- choosing


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("localhost", True),
        ("EXAMPLE.test.", True),
        ("a.wild.example.test", True),
        ("a.b.wild.example.test", False),
        ("127.0.0.1", True),
        ("::1", True),
        ("other.test", False),
        ("ec", False),  # the common name
        ("not a name", False),
        ("", False),
    ],
)
def test_names(name: str, answer: bool) -> None:
    assert load(pki().ec).matches(name) is answer


def test_the_scheme_is_the_first_allowed_one_that_all_sides_have() -> None:
    rsa = load(pki().rsa)
    offered = [S.rsa_pkcs1_sha256, S.rsa_pss_rsae_sha512, S.rsa_pss_rsae_sha256, S.ed25519, 0x0A0A]
    assert rsa.scheme_for(offered) is S.rsa_pss_rsae_sha256
    assert rsa.scheme_for(offered, (S.rsa_pss_rsae_sha512, S.rsa_pss_rsae_sha256)) is S.rsa_pss_rsae_sha512
    assert rsa.scheme_for([S.rsa_pkcs1_sha256]) is None
    assert rsa.scheme_for([S.rsa_pkcs1_sha256], version=Version.TLS12) is S.rsa_pkcs1_sha256
    assert rsa.scheme_for([S.rsa_pss_pss_sha256]) is None
    assert load(pki().rsa_pss).scheme_for(offered) is None
    assert load(pki().ec).scheme_for([S.ecdsa_secp384r1_sha384]) is None
    assert load(pki().ec).scheme_for([]) is None
