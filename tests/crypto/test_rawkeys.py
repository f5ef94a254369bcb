"""Raw public keys (RFC 7250): read from the network, loaded as configuration, trusted, and shown as an identity."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caesura.crypto.identity import Identity
from caesura.crypto.rawkeys import load_public_keys, parse_public_key
from caesura.crypto.signatures import KeyKind, LocalKey, PublicKey
from caesura.crypto.trust import TrustStore
from caesura.errors import ConfigError, DecodeError, UnsupportedCertificate
from caesura.wire.registries import CertificateType, SignatureScheme
from tests.support.pki import pki

SIGNERS = ("ec", "p384", "p521", "rsa", "ed25519", "ed448")


def der(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def pem(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def public(name: str = "ec") -> Any:
    return getattr(pki(), name).key.public_key()


# --- from the network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNERS)
def test_parse(name: str) -> None:
    parsed = parse_public_key(der(public(name)))
    assert parsed.kind is LocalKey(getattr(pki(), name).key).public_key.kind
    assert parsed.spki == der(public(name))


def test_key_for_pss_only_is_known_by_its_object_identifier() -> None:
    """RFC 4055 section 1.2: the one difference is the algorithm's identifier, in the certificate as in the raw key."""
    plain = der(public("rsa"))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    assert algorithm in plain
    marked = plain.replace(algorithm, bytes.fromhex("300d06092a864886f70d01010a0500"))
    marked = marked.replace(bytes.fromhex("0500"), b"", 1)  # its parameters are absent
    marked = bytes.fromhex("3082") + (len(marked) - 4).to_bytes(2, "big") + bytes.fromhex("300b") + marked[6:]
    assert parse_public_key(plain).kind is KeyKind.RSA
    assert parse_public_key(marked).kind is KeyKind.RSA_PSS
    assert parse_public_key(marked).same_key(parse_public_key(plain))


@pytest.mark.parametrize(
    "data", [b"", b"\x30\x00", b"\xff" * 50, der(public())[:-1], der(public()) + b"\0", pki().ec.der, pem(public())]
)
def test_what_is_no_key_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_public_key(data)


def weak() -> list[bytes]:
    return [
        der(rsa.generate_private_key(65537, 1024).public_key()),
        der(ec.generate_private_key(ec.SECP256K1()).public_key()),
        der(x25519.X25519PrivateKey.generate().public_key()),
        der(dsa.generate_private_key(2048).public_key()),
    ]


@pytest.mark.parametrize("number", range(4), ids=["RSA of 1024 bits", "secp256k1", "X25519", "DSA"])
def test_keys_that_are_not_taken(number: int) -> None:
    data = weak()[number]
    with pytest.raises(UnsupportedCertificate):
        parse_public_key(data)
    with pytest.raises(ConfigError, match="trust: a public key"):
        TrustStore.public_keys(data)


def test_any_bytes_are_a_key_or_an_alert() -> None:
    whole = der(public("p384"))
    for position in range(len(whole)):
        for value in (0x00, 0x7F, 0xFF, whole[position] ^ 1):
            with suppress(DecodeError, UnsupportedCertificate):
                parse_public_key(whole[:position] + bytes((value,)) + whole[position + 1 :])


# --- as configuration ------------------------------------------------------------------------------------------------


def test_ways_to_give_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(pem(public()))
    spki = der(public())
    for source in (
        path,
        str(path),
        pem(public()),
        pem(public()).decode(),
        spki,
        public(),
        pki().ec.key,
        LocalKey(pki().ec.key),
        PublicKey(public()),
        pki().ec.certificate,
        x509.load_der_x509_certificate(pki().ec.der),
    ):
        assert [key.spki for key in load_public_keys(source, "trust")] == [spki]


def test_several_keys_in_one_file() -> None:
    store = TrustStore.public_keys(pem(public()) + b"a remark\n" + pem(public("rsa")), public("ed25519"))
    assert store.keys == {der(public(name)) for name in ("ec", "rsa", "ed25519")}
    assert len(store) == 3


@pytest.mark.parametrize(
    "source", ["/no/such/key.pub", b"", b"-----BEGIN CERTIFICATE-----", b"junk", pki().ec.der, 5, None, object()]
)
def test_what_is_no_key_is_a_config_error(source: Any) -> None:
    with pytest.raises(ConfigError, match="trust"):
        TrustStore.public_keys(source)


# --- trust -----------------------------------------------------------------------------------------------------------


def test_vouches_for_its_keys_alone() -> None:
    store = TrustStore.public_keys(public())
    assert store.vouches_for(PublicKey(public()))
    assert not store.vouches_for(PublicKey(public("ed25519")))
    assert not TrustStore.load(pki().ec.der).vouches_for(PublicKey(public()))  # a certificate is no raw key


def test_identity_of_a_store_and_union() -> None:
    one, two = TrustStore.public_keys(public()), TrustStore.public_keys(public("rsa"))
    anchors = TrustStore.load(pki().trust_pem)
    assert one.identity == TrustStore.public_keys(pem(public())).identity
    assert len({store.identity for store in (one, two, anchors, one | two, anchors | one, TrustStore.empty())}) == 6
    assert (one | two).identity == (two | one).identity
    assert (anchors | one).vouches_for(PublicKey(public()))
    assert len(anchors | one) == len(anchors) + 1
    assert repr(anchors | one).endswith("1 public keys>")


# --- an identity -----------------------------------------------------------------------------------------------------


class RemoteKey:
    """A key of an engine, that need not tell its public half."""

    def __init__(self, **public_key: object) -> None:
        self.schemes = (SignatureScheme.ecdsa_secp256r1_sha256,)
        for name, value in public_key.items():
            setattr(self, name, value)

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        raise NotImplementedError


@pytest.mark.parametrize("name", SIGNERS)
def test_raw_identity(name: str) -> None:
    credential = getattr(pki(), name)
    identity = Identity.raw_public_key(credential.key_pem)
    assert identity.chain == (der(public(name)),)
    assert identity.certificate is None
    assert identity.certificate_type is CertificateType.RawPublicKey
    assert identity.names == ()
    assert identity.matches("any.name.at.all")
    assert identity.public_key.same_key(PublicKey(public(name)))
    assert identity.scheme_for(tuple(SignatureScheme)) in identity.key.schemes


def test_identity_with_certificates_says_so() -> None:
    identity = Identity.load(pki().ec.chain_pem, pki().ec.key_pem)
    assert identity.certificate_type is CertificateType.X509
    assert identity.public_key.same_key(PublicKey(public()))


@pytest.mark.parametrize("told", [lambda: public(), lambda: der(public()), lambda: pem(public())])
def test_public_half_of_an_engines_key(told: Any) -> None:
    assert Identity.raw_public_key(RemoteKey(public_key=told())).chain == (der(public()),)
    assert Identity.raw_public_key(RemoteKey(), public_key=told()).chain == (der(public()),)


@pytest.mark.parametrize(
    ("key", "arguments", "reason"),
    [
        (RemoteKey(), {}, "does not tell its public_key"),
        (RemoteKey(public_key=public("rsa")), {}, "has no scheme"),
        (RemoteKey(), {"public_key": public("rsa")}, "has no scheme"),
        (RemoteKey(public_key=public()), {"public_key": public("p384")}, "is not that of"),
        (pki().ec.key, {"public_key": public("p384")}, "is not that of"),
        (RemoteKey(), {"public_key": pem(public()) + pem(public())}, "is not that of"),
        (RemoteKey(), {"public_key": b"junk"}, "could not be read"),
        ("/no/such.key", {}, "cannot read"),
    ],
)
def test_raw_identity_that_does_not_fit(key: Any, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"identity: .*{reason}"):
        Identity.raw_public_key(key, **arguments)
