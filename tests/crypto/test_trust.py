"""The judgement on chains: what is accepted, and for each refusal the alert and OpenSSL's number."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto import trust
from caesura.crypto.certificates import Certificate, load_certificates
from caesura.crypto.trust import TrustStore, VerificationCache, verify_chain
from caesura.errors import AlertDescription, BadCertificate, CertificateVerifyError, ConfigError, Error
from tests.support.pki import DAY, NAMES, Credential, ec_key, general_names, key_usage, pki, rsa_key

SERVER, CLIENT, ANY = (
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
)
Alert = AlertDescription


def judge(chain: Credential | Sequence[bytes], **changes: Any) -> list[str]:
    """The subjects of the path, leaf first."""
    arguments: dict[str, Any] = {
        "trust": TrustStore.load(pki().trust_pem),
        "server_name": "localhost",
        "purpose": "server",
        "now": pki().now,
        **changes,
    }
    ders = chain.chain if isinstance(chain, Credential) else chain
    return [each.subject.removeprefix("CN=") for each in verify_chain(ders, **arguments)]


def refused(code: int, alert: Alert, chain: Credential | Sequence[bytes], **changes: Any) -> str:
    with pytest.raises(CertificateVerifyError) as caught:
        judge(chain, **changes)
    assert (caught.value.verify_code, caught.value.description) == (code, alert), str(caught.value)
    assert isinstance(caught.value, ssl.SSLCertVerificationError)
    return caught.value.verify_message


# --- accepted


@pytest.mark.parametrize("name", ["ec", "rsa", "rsa_pss", "ed25519", "ed448", "p384", "p521"])
def test_good_leaves(name: str) -> None:
    credential: Credential = getattr(pki(), name)
    assert judge(credential) == [name.replace("_", "-"), "Test Intermediate", "Test Root"]


@pytest.mark.parametrize(
    "name", ["localhost", "LocalHost.", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "example.test", "a.wild.example.test"]
)
def test_names_that_match(name: str) -> None:
    judge(pki().ec, server_name=name)


def test_without_a_name_names_are_not_compared() -> None:
    judge(pki().ec, server_name=None)
    judge(pki().no_san, server_name=None)


def test_host_names_with_underscores() -> None:
    leaf = pki().leaf("underscores", names=["my_host.test", "*.my_net.test"])
    judge(leaf, server_name="my_host.test")
    judge(leaf, server_name="a.my_net.test")
    refused(62, Alert.bad_certificate, leaf, server_name="other_host.test")
    refused(62, Alert.bad_certificate, leaf, server_name="a_b.test")


def test_clients_need_no_names() -> None:
    assert judge(pki().client, purpose="client", server_name=None)[0] == "client"


def test_the_rest_of_the_chain_may_be_in_any_order_and_hold_strangers() -> None:
    leaf, intermediate = pki().ec.chain
    judge([leaf, pki().root.der, pki().other_root.der, intermediate])
    judge([leaf, intermediate, leaf])


def test_an_intermediate_in_the_store_is_an_anchor() -> None:
    assert judge([pki().ec.der], trust=TrustStore.load(pki().intermediate.pem)) == ["ec", "Test Intermediate"]


@pytest.mark.parametrize("ca", [trustme.CA(), trustme.CA(key_type=trustme.KeyType.RSA)], ids=["ec", "rsa"])
def test_what_trustme_issues(ca: trustme.CA) -> None:
    """It makes subjectAltName and extended key usage critical, which the library's own policy refuses."""
    leaf = ca.create_child_ca().issue_cert("localhost", "127.0.0.1", "*.example.test")
    chain = load_certificates(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    store = TrustStore.load(ca.cert_pem.bytes())
    for name in ("localhost", "127.0.0.1", "a.example.test"):
        assert len(judge(chain, trust=store, server_name=name)) == 3
    judge(chain, trust=store, purpose="client", server_name=None)
    refused(62, Alert.bad_certificate, chain, trust=store, server_name="other.test")


def bare(
    name: str, extensions: Sequence[tuple[x509.ExtensionType, bool]], issuer: Credential | None = None
) -> Credential:
    """A certificate with these extensions and no others."""
    key = ec_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = pki().sign(
        subject,
        key.public_key(),
        issuer.certificate.subject if issuer else subject,
        issuer.key if issuer else key,
        extensions,
    )
    return Credential(certificate, key, issuer.to_present if issuer else ())


def test_the_least_a_private_ca_may_write() -> None:
    """No key usage, no key identifiers, nothing critical."""
    root = bare("bare root", [(x509.BasicConstraints(True, None), False)])
    leaf = bare("bare leaf", [(general_names(NAMES), False)], root)
    store = TrustStore.load(root.pem)
    assert judge(leaf, trust=store) == ["bare leaf", "bare root"]
    judge(leaf, trust=store, purpose="client", server_name=None)


@pytest.mark.parametrize("purposes", [(), (SERVER,), (ANY,), (CLIENT, SERVER)])
def test_purposes_of_leaf_and_ca(purposes: tuple[x509.ObjectIdentifier, ...]) -> None:
    own: list[Any] = [(x509.ExtendedKeyUsage(purposes), True)] if purposes else []
    ca = pki().ca("purposes", issuer=pki().root, extensions=own)
    judge(pki().leaf("leaf", issuer=ca, purposes=purposes))


# --- a self-signed certificate that is trusted itself


def test_a_trusted_self_signed_certificate() -> None:
    """As with OpenSSL; with the CA bit too, for so `openssl req -x509` makes them."""
    own = TrustStore.load(pki().self_signed.pem)
    assert judge(pki().self_signed, trust=own) == ["self-signed"]
    assert judge(pki().self_signed, trust=own, server_name="127.0.0.1") == ["self-signed"]
    plain = bare("plain", [(general_names(NAMES), False)])
    assert judge(plain, trust=TrustStore.load(plain.pem)) == ["plain"]


def test_a_trusted_self_signed_certificate_is_still_looked_at() -> None:
    own = TrustStore.load(pki().self_signed.pem)
    refused(62, Alert.bad_certificate, pki().self_signed, trust=own, server_name="other.test")
    late = pki().now + 400 * DAY
    refused(10, Alert.certificate_expired, pki().self_signed, trust=own, now=late)
    unsuited = bare("unsuited", [(general_names(NAMES), False), (x509.ExtendedKeyUsage([CLIENT]), False)])
    refused(26, Alert.unsupported_certificate, unsuited, trust=TrustStore.load(unsuited.pem))


def test_a_trusted_self_signed_certificate_vouches_for_itself_only() -> None:
    """One without the CA bit in the store does not make its key a CA's."""
    plain = bare("plain", [(general_names(NAMES), False)])
    child = bare("child", [(general_names(NAMES), False)], plain)
    refused(79, Alert.unknown_ca, child, trust=TrustStore.load(plain.pem))
    twin = bare("self-signed", [(general_names(NAMES), False)])
    refused(18, Alert.unknown_ca, twin, trust=TrustStore.load(pki().self_signed.pem))


# --- refused


def test_unknown_authorities() -> None:
    nobody = TrustStore.empty()
    refused(20, Alert.unknown_ca, pki().other_ca)
    refused(20, Alert.unknown_ca, pki().ec, trust=nobody)
    refused(20, Alert.unknown_ca, [pki().ec.der])
    refused(18, Alert.unknown_ca, pki().self_signed)
    refused(18, Alert.unknown_ca, pki().self_signed, trust=nobody)
    refused(19, Alert.unknown_ca, [*pki().other_ca.chain, pki().other_root.der])
    message = refused(19, Alert.unknown_ca, [*pki().ec.chain, pki().root.der], trust=nobody)
    assert "CN=Test Root" in message


def test_an_anchor_of_the_same_name_with_another_key() -> None:
    impostor = TrustStore.load(pki().ca("Test Root").pem)
    refused(20, Alert.unknown_ca, pki().ec, trust=impostor)
    silent = bare("leaf", [(general_names(NAMES), False)], pki().root)  # without a key identifier nobody can tell
    refused(7, Alert.bad_certificate, silent, trust=impostor)


def test_a_signature_that_does_not_verify() -> None:
    good = pki().ec.der
    refused(7, Alert.bad_certificate, [good[:-1] + bytes([good[-1] ^ 1]), *pki().ec.chain[1:]])


def test_dates() -> None:
    assert "CN=expired" in refused(10, Alert.certificate_expired, pki().expired)
    assert "CN=not yet valid" in refused(9, Alert.certificate_expired, pki().not_yet_valid)
    old_ca = pki().ca("old", issuer=pki().root, not_before=-9 * DAY, not_after=-DAY)
    assert "CN=old" in refused(10, Alert.certificate_expired, pki().leaf("leaf", issuer=old_ca))
    old_root = pki().ca("old root", not_before=-9 * DAY, not_after=-DAY)
    leaf = pki().leaf("leaf", issuer=old_root)
    refused(10, Alert.certificate_expired, leaf, trust=TrustStore.load(old_root.pem))


def test_validity_ends_with_its_last_second() -> None:
    last = pki().ec.certificate.not_valid_after_utc
    judge(pki().ec, now=last)
    refused(10, Alert.certificate_expired, pki().ec, now=last + timedelta(seconds=1))
    first = pki().ec.certificate.not_valid_before_utc
    judge(pki().ec, now=first)
    refused(9, Alert.certificate_expired, pki().ec, now=first - timedelta(seconds=1))


def test_names_that_do_not_match() -> None:
    for name in ("other.test", "ec", "wild.example.test", "a.b.wild.example.test", "sub.localhost"):
        assert "localhost" in refused(62, Alert.bad_certificate, pki().ec, server_name=name)
    for name in ("127.0.0.2", "::2"):
        refused(64, Alert.bad_certificate, pki().ec, server_name=name)


def test_names_are_compared_by_the_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own matching is for labels, and for host names with underscores."""
    monkeypatch.setattr(Certificate, "answers_to", lambda *_: True)
    refused(62, Alert.bad_certificate, pki().ec, server_name="other.test")
    refused(64, Alert.bad_certificate, pki().ec, server_name="127.0.0.2")


def test_the_common_name_is_never_looked_at() -> None:
    assert "no name at all" in refused(62, Alert.bad_certificate, pki().no_san, server_name="localhost")


def test_an_address_among_the_host_names_is_no_address() -> None:
    leaf = bare("leaf", [(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), False)], pki().intermediate)
    refused(64, Alert.bad_certificate, leaf, server_name="127.0.0.1")


def test_purposes() -> None:
    refused(26, Alert.unsupported_certificate, pki().client)
    server = pki().leaf("server", purposes=(SERVER,))
    refused(26, Alert.unsupported_certificate, server, purpose="client", server_name=None)
    ca = pki().ca("clients' CA", issuer=pki().root, extensions=[(x509.ExtendedKeyUsage([CLIENT]), False)])
    refused(26, Alert.unsupported_certificate, pki().leaf("leaf", issuer=ca))
    enciphers = pki().leaf("enciphers", usage=key_usage("key_encipherment"))
    assert "digital signatures" in refused(26, Alert.unsupported_certificate, enciphers)


def test_a_ca_is_no_leaf() -> None:
    ca = pki().ca("CA", issuer=pki().root, extensions=[(general_names(NAMES), False)])
    refused(37, Alert.unsupported_certificate, [ca.der])


def test_who_may_issue() -> None:
    refused(79, Alert.unknown_ca, pki().under_ca_without_cert_sign)
    no_bit = pki().ca("no CA bit", issuer=pki().root, is_ca=False)
    refused(79, Alert.unknown_ca, pki().leaf("leaf", issuer=no_bit))
    no_constraints = bare("no constraints", [], pki().root)
    refused(79, Alert.unknown_ca, pki().leaf("leaf", issuer=no_constraints))
    refused(79, Alert.unknown_ca, pki().leaf("leaf", issuer=pki().ec))  # a leaf's key signs another leaf
    root = pki().ca("root", usage=key_usage("digital_signature"))
    refused(79, Alert.unknown_ca, pki().leaf("leaf", issuer=root), trust=TrustStore.load(root.pem))


def test_another_path_is_taken_round_a_ca_that_may_not_issue() -> None:
    """One key certified twice, once without keyCertSign."""
    key = ec_key()
    good = pki().ca("twice", issuer=pki().root, key=key)
    bad = pki().ca("twice", issuer=pki().root, key=key, usage=key_usage("digital_signature"))
    leaf = pki().leaf("leaf", issuer=good)
    assert judge([leaf.der, bad.der, good.der]) == ["leaf", "twice", "Test Root"]
    refused(79, Alert.unknown_ca, [leaf.der, bad.der])


def test_path_lengths() -> None:
    below = pki().ca("below", issuer=pki().intermediate)  # the intermediate allows none below itself
    refused(25, Alert.unknown_ca, pki().leaf("leaf", issuer=below))
    deep = pki().root
    for number in range(4):
        deep = pki().ca(f"CA {number}", issuer=deep)
    leaf = pki().leaf("leaf", issuer=deep)
    assert len(judge(leaf, max_depth=4)) == 6
    refused(22, Alert.unknown_ca, leaf, max_depth=3)


def signed_with_sha1(leaf: Credential, issuer: Credential) -> bytes:
    """The same certificate, signed with RSA and SHA-1, which the builder will not write any more."""
    sha256_rsa, sha1_rsa = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    tbs = leaf.certificate.tbs_certificate_bytes.replace(sha256_rsa, sha1_rsa)
    signature = issuer.key.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    whole = leaf.der.replace(leaf.certificate.tbs_certificate_bytes, tbs).replace(sha256_rsa, sha1_rsa)
    return whole.replace(leaf.certificate.signature, signature)


def test_weak_keys_and_hashes() -> None:
    refused(66, Alert.bad_certificate, pki().leaf("weak", key=rsa_key(1024)))
    weak_ca = pki().ca("weak CA", issuer=pki().root, key=rsa_key(1024))
    refused(67, Alert.bad_certificate, pki().leaf("leaf", issuer=weak_ca))
    ca = pki().ca("RSA CA", issuer=pki().root, key=rsa_key())
    leaf = pki().leaf("leaf", issuer=ca)
    judge(leaf)
    refused(68, Alert.bad_certificate, [signed_with_sha1(leaf, ca), ca.der])


def test_keys_that_are_not_supported() -> None:
    refused(76, Alert.unsupported_certificate, pki().leaf("odd", key=ec_key(ec.SECP256K1())))
    edwards = pki().ca("Ed25519 CA", issuer=pki().root, key=ed25519.Ed25519PrivateKey.generate())
    assert "Ed25519" in refused(76, Alert.unsupported_certificate, pki().leaf("leaf", issuer=edwards))


def test_critical_extensions_that_are_not_understood() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert "1.2.3.4" in refused(34, Alert.unsupported_certificate, pki().leaf("l", extensions=[(unknown, True)]))
    ca = pki().ca("CA", issuer=pki().root, extensions=[(unknown, True)])
    refused(34, Alert.unsupported_certificate, pki().leaf("leaf", issuer=ca))
    judge(pki().leaf("leaf", extensions=[(unknown, False)]))


def constrained(**subtrees: list[x509.GeneralName]) -> Credential:
    permitted, excluded = subtrees.get("permitted"), subtrees.get("excluded")
    constraints = x509.NameConstraints(permitted, excluded)
    return pki().ca("constrained", issuer=pki().root, extensions=[(constraints, True)])


def test_name_constraints() -> None:
    inside = constrained(permitted=[x509.DNSName("example.test")])
    judge(pki().leaf("leaf", issuer=inside, names=["a.example.test"]), server_name="a.example.test")
    outside = pki().leaf("leaf", issuer=inside, names=["localhost"])
    refused(47, Alert.bad_certificate, outside)
    without = constrained(excluded=[x509.DNSName("localhost")])
    refused(48, Alert.bad_certificate, pki().leaf("leaf", issuer=without, names=["localhost"]))


def test_the_first_reason_is_openssls_first() -> None:
    """The authority before the purpose, the purpose before the name, the name before the dates."""
    leaf = pki().leaf("leaf", issuer=pki().other_root, not_after=-timedelta(hours=1), purposes=(CLIENT,))
    refused(20, Alert.unknown_ca, leaf, server_name="other.test")
    store = TrustStore.load(pki().other_root.pem)
    refused(26, Alert.unsupported_certificate, leaf, trust=store, server_name="other.test")
    refused(62, Alert.bad_certificate, leaf, trust=store, server_name="other.test", purpose="client")
    refused(10, Alert.certificate_expired, leaf, trust=store, purpose="client")


def test_the_second_pass_labels_and_never_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not understand is refused all the same, as certificate_unknown."""
    monkeypatch.setattr(trust, "_find_flaw", lambda _asked, verdict: trust._Flaw(1, verdict))
    refused(1, Alert.certificate_unknown, pki().expired)


# --- odd arguments


def test_an_empty_chain() -> None:
    with pytest.raises(BadCertificate):
        judge([])


@pytest.mark.parametrize("position", [0, 1])
def test_a_chain_with_bytes_that_are_no_certificate(position: int) -> None:
    chain = list(pki().ec.chain)
    chain[position] = b"garbage"
    with pytest.raises(BadCertificate):
        judge(chain)


@pytest.mark.parametrize("name", ["", "not a name", "*.wild.example.test", "a..b"])
def test_a_server_name_that_is_none(name: str) -> None:
    with pytest.raises(ConfigError, match="server_hostname"):
        judge(pki().ec, server_name=name)


def test_messages_stay_short_and_clean() -> None:
    many = pki().leaf("many", names=[f"h{number}.test" for number in range(500)])
    message = refused(62, Alert.bad_certificate, many, server_name="other.test")
    assert "and 495 more" in message
    assert len(message) < 300


@given(data=st.data())
def test_any_change_of_a_chain_ends_in_a_verdict(data: st.DataObject) -> None:
    """Network input raises a subclass of caesura.Error or nothing, and no changed certificate is accepted."""
    chain = [bytearray(der) for der in data.draw(st.sampled_from([pki().ec, pki().rsa, pki().client])).chain]
    victim = data.draw(st.sampled_from(chain))
    before = bytes(victim)
    for _ in range(data.draw(st.integers(1, 3))):
        victim[data.draw(st.integers(0, len(victim) - 1))] = data.draw(st.integers(0, 255))
    purpose = data.draw(st.sampled_from(["server", "client"]))
    name = data.draw(st.sampled_from(["localhost", "my_host.test", None]))
    if bytes(victim) != before:
        with pytest.raises(Error):
            judge([bytes(der) for der in chain], purpose=purpose, server_name=name)


# --- the cache


@dataclass
class Counter:
    calls: int = 0


@pytest.fixture
def validations(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How many chains were really validated."""
    counter, real = Counter(), trust._verify

    def counting(asked: Any) -> Any:
        counter.calls += 1
        return real(asked)

    monkeypatch.setattr(trust, "_verify", counting)
    return counter


def test_a_verdict_is_found_again(validations: Counter) -> None:
    cache, store = VerificationCache(), TrustStore.load(pki().trust_pem)
    first = judge(pki().ec, trust=store, cache=cache)
    assert judge(pki().ec, trust=store, cache=cache) == first
    assert validations.calls == 1
    assert len(cache) == 1


def test_without_a_cache_nothing_is_kept(validations: Counter) -> None:
    store = TrustStore.load(pki().trust_pem)
    judge(pki().ec, trust=store)
    judge(pki().ec, trust=store)
    assert validations.calls == 2


@pytest.mark.parametrize(
    "change",
    [
        {"server_name": "example.test"},
        {"server_name": None},
        {"purpose": "client"},
        {"max_depth": 3},
        {"trust": TrustStore.load(pki().trust_pem)},
        {"chain": [*pki().ec.chain, pki().root.der]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_verdict_holds_for_the_same_question_only(validations: Counter, change: dict[str, Any]) -> None:
    cache, store = VerificationCache(), TrustStore.load(pki().trust_pem)
    judge(pki().ec, trust=store, cache=cache)
    arguments = {"chain": pki().ec, "trust": store, "cache": cache, **change}
    judge(arguments.pop("chain"), **arguments)
    assert validations.calls == 2


def test_a_good_verdict_does_not_cover_another_name_or_store() -> None:
    cache, store = VerificationCache(), TrustStore.load(pki().trust_pem)
    judge(pki().ec, trust=store, cache=cache)
    refused(62, Alert.bad_certificate, pki().ec, trust=store, cache=cache, server_name="other.test")
    refused(20, Alert.unknown_ca, pki().ec, trust=TrustStore.load(pki().other_root.pem), cache=cache)
    refused(26, Alert.unsupported_certificate, pki().client, trust=store, cache=cache)


def test_a_verdict_ends_with_the_first_certificate_of_the_path() -> None:
    cache = VerificationCache()
    ca = pki().ca("short-lived", issuer=pki().root, not_after=2 * DAY)
    leaf, store = pki().leaf("leaf", issuer=ca), TrustStore.load(pki().trust_pem)
    judge(leaf, trust=store, cache=cache)
    last: datetime = pki().now + 2 * DAY
    judge(leaf, trust=store, cache=cache, now=last)
    refused(10, Alert.certificate_expired, leaf, trust=store, cache=cache, now=last + timedelta(seconds=1))
    refused(9, Alert.certificate_expired, leaf, trust=store, cache=cache, now=pki().now - 3 * DAY)


def test_refusals_are_not_kept(validations: Counter) -> None:
    cache, store = VerificationCache(), TrustStore.load(pki().trust_pem)
    for _ in range(2):
        refused(10, Alert.certificate_expired, pki().expired, trust=store, cache=cache)
    assert validations.calls == 2
    assert len(cache) == 0


def test_verdicts_go_with_their_store() -> None:
    cache, store = VerificationCache(), TrustStore.load(pki().trust_pem)
    judge(pki().ec, trust=store, cache=cache)
    assert len(cache) == 1
    del store
    assert len(cache) == 0


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    cache, store = VerificationCache(8), TrustStore.load(pki().trust_pem)
    kept = trust._Kept((), pki().now, pki().now)
    often = (b"often", None, "server", 8)
    cache.put(store, often, kept)  # type: ignore[arg-type]
    for number in range(100):
        cache.put(store, (b"%d" % number, None, "server", 8), kept)
        assert cache.get(store, often, pki().now) == ()  # type: ignore[arg-type]
        assert len(cache) <= 8


def test_the_cache_can_be_emptied() -> None:
    cache, store = VerificationCache(), TrustStore.load(pki().trust_pem)
    judge(pki().ec, trust=store, cache=cache)
    cache.clear()
    assert len(cache) == 0
    with pytest.raises(ConfigError, match="verification_cache"):
        VerificationCache(1)
