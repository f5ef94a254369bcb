"""Trust stores: where they come from, what they are equal to, and the system's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from caesura.crypto import trust
from caesura.crypto.trust import TrustStore, verify_chain
from caesura.errors import ConfigError
from tests.support.pki import pki


@pytest.fixture(autouse=True)
def no_system_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test begins on a machine without a trust store, and with nothing read."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(trust, "_system_stores", {})


def trusts(store: TrustStore) -> bool:
    arguments: Any = {"server_name": "localhost", "purpose": "server", "now": pki().now}
    try:
        verify_chain(pki().ec.chain, trust=store, **arguments)
    except trust.CertificateVerifyError:
        return False
    return True


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(pki().other_root.pem + pki().root.pem)
    for source in (path, str(path), path.read_bytes(), path.read_text()):
        store = TrustStore.load(source)
        assert len(store) == 2
        assert trusts(store)
    assert trusts(TrustStore.load(pki().root.der))
    assert not trusts(TrustStore.load(pki().other_root.pem))
    assert not trusts(TrustStore.empty())


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(pki().root.pem)
    (tmp_path / "b.crt").write_bytes(pki().other_root.pem)
    (tmp_path / "readme.txt").write_text("not a certificate")
    assert len(TrustStore.load(tmp_path)) == 2


def test_a_directory_of_hashed_names(tmp_path: Path) -> None:
    """As c_rehash and `openssl rehash` leave it: links by hash beside the files; the files are not read twice."""
    (tmp_path / "root.pem").write_bytes(pki().root.pem)
    (tmp_path / "0a1b2c3d.0").symlink_to("root.pem")
    (tmp_path / "unlinked.pem").write_bytes(pki().other_root.pem)
    assert len(TrustStore.load(tmp_path)) == 1


@pytest.mark.parametrize(
    "source", [b"", b"garbage", "gone.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_cannot_be_loaded(source: Any) -> None:
    with pytest.raises(ConfigError, match="trust"):
        TrustStore.load(source)


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trust: no certificate found"):
        TrustStore.load(tmp_path)


def test_identity_is_the_set_of_anchors() -> None:
    both = TrustStore.load(pki().root.pem + pki().other_root.pem)
    again = TrustStore.load(pki().other_root.pem + pki().root.pem + pki().root.pem)
    assert both.identity == again.identity
    assert len(both.identity) == 32
    only = TrustStore.load(pki().root.pem)
    assert len({both.identity, only.identity, TrustStore.empty().identity}) == 3


def test_a_union_trusts_what_either_does() -> None:
    both = TrustStore.load(pki().other_root.pem) | TrustStore.load(pki().root.pem)
    assert len(both) == 2
    assert trusts(both)
    assert repr(both) == "<TrustStore of 2 anchors>"


# --- the system's


def test_the_systems_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(pki().root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert trusts(TrustStore.system())


def test_the_systems_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "root.pem").write_bytes(pki().root.pem)
    subprocess.run(["openssl", "rehash", str(directory)], check=True)
    (directory / "noise.0").write_bytes(b"noise")
    (directory / "ffffffff.0").write_bytes(b"one bad file does not stop everything")
    monkeypatch.setenv("SSL_CERT_DIR", str(directory))
    store = TrustStore.system()
    assert len(store) == 1
    assert trusts(store)


def test_one_bad_certificate_of_the_systems_does_not_stop_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + pki().root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert trusts(TrustStore.system())


def test_the_systems_store_is_read_once_until_it_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(pki().root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    first = TrustStore.system()
    assert TrustStore.system() is first
    path.write_bytes(pki().other_root.pem)
    os.utime(path, (1, 1))
    second = TrustStore.system()
    assert second is not first
    assert not trusts(second)
    assert len(trust._system_stores) == 1


def test_a_system_without_a_store() -> None:
    with pytest.raises(ConfigError, match="trust: this system has no trust store"):
        TrustStore.system()
