"""Certificates made on the fly are what our verifier and others accept, for a day and for their names only."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from caesura.crypto.selfsigned import Authority
from caesura.crypto.trust import TrustStore, verify_chain
from caesura.errors import AlertDescription, CertificateVerifyError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def verify(authority: Authority, chain: tuple[bytes, ...], name: str | None, now: datetime = NOW) -> None:
    verify_chain(
        chain,
        trust=TrustStore.load(authority.pem),
        server_name=name,
        purpose="server" if name else "client",
        now=now,
        max_depth=4,
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "a.example.test"])
def test_a_leaf_answers_to_its_names(name: str) -> None:
    authority = Authority.create("an authority", NOW)
    identity = authority.issue("a leaf", ["localhost", "127.0.0.1", "::1", "a.example.test"], now=NOW)
    verify(authority, identity.chain, name)
    with pytest.raises(CertificateVerifyError):
        verify(authority, identity.chain, "b.example.test")


def test_a_leaf_without_names_is_a_clients() -> None:
    authority = Authority.create("an authority", NOW)
    verify(authority, authority.issue("a client", now=NOW).chain, None)


def test_it_is_valid_for_a_day() -> None:
    authority = Authority.create("an authority", NOW)
    identity = authority.issue("a leaf", ["localhost"], now=NOW)
    verify(authority, identity.chain, "localhost", NOW + timedelta(hours=23))
    with pytest.raises(CertificateVerifyError) as refused:
        verify(authority, identity.chain, "localhost", NOW + timedelta(hours=25))
    assert refused.value.description is AlertDescription.certificate_expired
    with pytest.raises(CertificateVerifyError, match="not valid before"):
        verify(authority, identity.chain, "localhost", NOW - timedelta(hours=2))


def test_another_authority_of_the_same_name_is_not_believed() -> None:
    authority, other = Authority.create("an authority", NOW), Authority.create("an authority", NOW)
    with pytest.raises(CertificateVerifyError) as refused:
        verify(other, authority.issue("a leaf", ["localhost"], now=NOW).chain, "localhost")
    assert refused.value.description in {AlertDescription.unknown_ca, AlertDescription.bad_certificate}


def test_openssl_reads_the_authority() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=Authority.create("an authority", NOW).pem.decode())
    assert context.cert_store_stats()["x509_ca"] == 1
