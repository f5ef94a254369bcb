"""Certificates as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pki import pki

PASSWORD = "open sesame"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem, other-ca.pem, and .pem and .key of server, renewed and client; server.encrypted.key."""
    made, directory = pki(), tmp_path_factory.mktemp("certificates")
    (directory / "ca.pem").write_bytes(made.root.pem)
    (directory / "other-ca.pem").write_bytes(made.other_root.pem)
    for name, credential in (("server", made.ec), ("renewed", made.ed25519), ("client", made.client)):
        credential.files(directory, name)
    (directory / "both.pem").write_bytes(made.ec.chain_pem + made.ec.key_pem)
    (directory / "server.encrypted.key").write_bytes(made.ec.private_bytes(password=PASSWORD.encode()))
    return directory
