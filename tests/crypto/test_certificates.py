"""Certificates and keys from bytes and files: every form they come in, and what happens to broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto import certificates
from caesura.crypto.certificates import load_certificates, load_private_key, parse_certificate
from caesura.errors import BadCertificate, ConfigError, Error, LocalAlert, printable
from tests.support.pki import Credential, general_names, pki

PEM, DER = Encoding.PEM, Encoding.DER
PKCS8, TRADITIONAL = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL


# --- of the network


def test_a_certificate_tells_what_is_in_it() -> None:
    certificate = parse_certificate(pki().ec.der)
    assert certificate.der == pki().ec.der
    assert certificate.subject == "CN=ec"
    assert certificate.issuer == "CN=Test Intermediate"
    assert certificate.names == ("localhost", "example.test", "*.wild.example.test", "127.0.0.1", "::1")
    assert certificate.not_before < pki().now < certificate.not_after
    assert not certificate.is_ca
    assert not certificate.self_issued
    assert certificate.signature_digest == "sha256"
    assert certificate.public_key.bits == 256


def test_the_common_name_is_no_name() -> None:
    assert parse_certificate(pki().no_san.der).names == ()


def test_who_issued_whom() -> None:
    leaf, ca, root = (parse_certificate(each.der) for each in (pki().ec, pki().intermediate, pki().root))
    assert ca.issued(leaf)
    assert root.issued(ca)
    assert root.issued(root)
    assert not root.issued(leaf)
    assert not leaf.issued(ca)
    same_name = parse_certificate(pki().ca("Test Intermediate", issuer=pki().root).der)
    assert not same_name.issued(leaf)


def test_a_certificate_is_parsed_once() -> None:
    assert parse_certificate(pki().ec.der) is parse_certificate(bytes(bytearray(pki().ec.der)))


def test_large_certificates_are_not_kept() -> None:
    large = pki().leaf("large", names=[f"host{number}.example.test" for number in range(600)]).der
    assert len(large) > certificates._CACHED_SIZE
    before = certificates._parse_cached.cache_info().currsize
    assert parse_certificate(large) is not parse_certificate(large)
    assert certificates._parse_cached.cache_info().currsize == before


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"not a certificate", b"\x30\x82\xff\xff", b"\0" * 100])
def test_bytes_that_are_no_certificate(der: bytes) -> None:
    with pytest.raises(BadCertificate):
        parse_certificate(der)


def test_trailing_bytes_make_a_bad_certificate() -> None:
    with pytest.raises(BadCertificate):
        parse_certificate(pki().ec.der + b"\0")


def test_malformed_extensions_are_found_when_asked_for() -> None:
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05a")
    certificate = parse_certificate(pki().leaf("broken", names=(), extensions=[(broken, False)]).der)
    with pytest.raises(BadCertificate):
        _ = certificate.names


@given(data=st.data())
def test_any_change_of_a_certificate_ends_in_a_value_or_an_alert(data: st.DataObject) -> None:
    """Network input raises a subclass of caesura.Error or nothing."""
    der = bytearray(data.draw(st.sampled_from([pki().ec, pki().rsa_pss, pki().ed25519, pki().root])).der)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = parse_certificate(bytes(der))
    except LocalAlert:
        return
    for ask in ("public_key", "names", "is_ca", "self_issued", "subject", "issuer", "signature_digest", "not_after"):
        try:
            getattr(certificate, ask)
        except LocalAlert:
            continue


def test_texts_of_the_peer_are_made_fit_for_a_log() -> None:
    assert printable("a\nb\x1b[31m\u202e") == "a?b?[31m?"
    assert len(printable("x" * 1000)) == 201
    noisy = pki().leaf("two\nlines")
    assert parse_certificate(noisy.der).subject == "CN=two?lines"


# --- of the configuration


def test_chains_in_every_form(tmp_path: Path) -> None:
    credential = pki().ec
    path, _ = credential.files(tmp_path)
    for source in (
        path,
        str(path),
        credential.chain_pem,
        credential.chain_pem.decode(),
        bytearray(credential.chain_pem),
        b"a comment\n" + credential.chain_pem.replace(b"\n", b"\r\n"),
    ):
        assert load_certificates(source) == credential.chain  # type: ignore[arg-type]
    assert load_certificates(credential.der) == (credential.der,)


def test_a_chain_and_its_key_may_share_a_file() -> None:
    both = pki().ec.key_pem + pki().ec.chain_pem
    assert load_certificates(both) == pki().ec.chain
    assert load_private_key(both).public_key.same_key(parse_certificate(pki().ec.der).public_key)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"", "no certificate"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed"),
        (b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "no end"),
        (b"neither", "malformed"),
        ("no such file.pem", "cannot read"),
        (5, "expected a path"),
        ("a\0b", "cannot read"),
    ],
)
def test_chains_that_cannot_be_read(source: object, why: str) -> None:
    with pytest.raises(ConfigError, match=f"identity: .*{why}"):
        load_certificates(source)  # type: ignore[arg-type]


FORMS = [(PEM, PKCS8), (DER, PKCS8), (PEM, TRADITIONAL), (DER, TRADITIONAL)]


@pytest.mark.parametrize(("encoding", "form"), FORMS)
@pytest.mark.parametrize("name", ["ec", "rsa", "p384"])
def test_keys_in_every_form(name: str, encoding: Encoding, form: PrivateFormat) -> None:
    credential: Credential = getattr(pki(), name)
    key = load_private_key(credential.private_bytes(encoding, form))
    assert key.public_key.same_key(parse_certificate(credential.der).public_key)


@pytest.mark.parametrize("password", [b"secret", "secret", lambda: b"secret", lambda: "secret"])
@pytest.mark.parametrize(("encoding", "form"), [(PEM, PKCS8), (DER, PKCS8), (PEM, TRADITIONAL)])
def test_encrypted_keys(password: object, encoding: Encoding, form: PrivateFormat) -> None:
    data = pki().ec.private_bytes(encoding, form, b"secret")
    key = load_private_key(data, password)  # type: ignore[arg-type]
    assert key.public_key.same_key(parse_certificate(pki().ec.der).public_key)


def test_a_password_is_asked_for_only_when_it_is_needed() -> None:
    def never() -> bytes:
        raise AssertionError

    load_private_key(pki().ec.key_pem, never)
    load_private_key(pki().ec.key_pem, "not needed")


@pytest.mark.parametrize("password", [None, "wrong", lambda: "wrong"])
def test_encrypted_keys_with_a_wrong_password(password: object) -> None:
    data = pki().ec.private_bytes(password=b"secret")
    with pytest.raises(ConfigError, match=r"identity: .*password") as caught:
        load_private_key(data, password)  # type: ignore[arg-type]
    assert "BEGIN" not in str(caught.value)
    assert str(caught.value).count("identity") == 1


@pytest.mark.parametrize(
    "source", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "gone"]
)
def test_keys_that_cannot_be_read(source: object) -> None:
    with pytest.raises(ConfigError, match="identity"):
        load_private_key(source)  # type: ignore[arg-type]


def test_a_key_given_as_text_never_shows_in_the_error() -> None:
    first, *body = pki().ec.key_pem.decode().splitlines(keepends=True)
    text = f"Bag Attributes\n{first}!{''.join(body)}"
    with pytest.raises(Error) as caught:
        load_private_key(text)
    assert body[0].strip() not in str(caught.value)


def test_names_of_every_sort_in_a_certificate() -> None:
    names = x509.SubjectAlternativeName([x509.RFC822Name("a@b.test"), *general_names(["b.test"]), x509.DNSName("")])
    certificate = parse_certificate(pki().leaf("sorts", names=(), extensions=[(names, True)]).der)
    assert certificate.names == ("b.test", "")
