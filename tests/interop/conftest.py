"""Fixtures: certificates as files, our own sides, and the workshop that ends what a test has started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.interop.datagram_world import World
from tests.interop.pairs import Accept, Files, Line, showing
from tests.interop.peers import PATIENCE, Setup, Workshop, listen
from tests.interop.peers.quic import Ours, QUICPeer
from tests.interop.subjects import SUBJECT, Connection, Subject
from tests.support.pki import DAY, key_usage, pki, rsa_key


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """PEM files: "root" and "other root", and NAME.chain and NAME.key for the others; "staple" is DER, for "ec"."""
    made = pki()
    folder = tmp_path_factory.mktemp("pki")
    found = {"root": folder / "root.pem", "other root": folder / "other_root.pem"}
    found["root"].write_bytes(made.root.pem)
    found["other root"].write_bytes(made.other_root.pem)
    found["staple"] = folder / "ocsp.der"
    found["staple"].write_bytes(ocsp_response())
    for_nss = ("digital_signature", "key_encipherment")  # what it wants an RSA certificate to be for
    leaves = {
        "ec": made.ec,
        "p384": made.p384,
        "ed25519": made.ed25519,
        "rsa": made.leaf("rsa", key=rsa_key(), usage=key_usage(*for_nss)),
        "client": made.client,
        "expired": made.expired,
        "wrong name": made.leaf("wrong name", names=("another.example",)),
    }
    for name, leaf in leaves.items():
        found[f"{name}.chain"], found[f"{name}.key"] = leaf.files(folder, name.replace(" ", "_"))
    return found


def ocsp_response() -> bytes:
    """What the CA of the EC leaf says of it: good."""
    made = pki()
    builder = ocsp.OCSPResponseBuilder().responder_id(ocsp.OCSPResponderEncoding.HASH, made.intermediate.certificate)
    builder = builder.add_response(
        cert=made.ec.certificate,
        issuer=made.intermediate.certificate,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=made.now - DAY,
        next_update=made.now + DAY,
        revocation_time=None,
        revocation_reason=None,
    )
    return builder.sign(made.intermediate.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Subject]:
    made = SUBJECT()
    yield made
    made.close()


@pytest.fixture
def accept(own: Subject) -> Iterator[Accept]:
    """A port, and a function that takes a connection there and completes the handshake as the server."""
    with listen() as listener:

        def take(setup: Setup) -> Connection:
            sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            return own.accept(sock, setup)

        yield listener.getsockname()[1], take


@pytest.fixture
def line(own: Subject, accept: Accept, workshop: Workshop) -> Line:
    return Line(own, accept, workshop)


@pytest.fixture
def versions() -> tuple[str, ...]:
    """That both sides speak unless a test says otherwise, the oldest first."""
    return ("1.3",)


@pytest.fixture
def server(files: Files, versions: tuple[str, ...]) -> Setup:
    return showing(Setup(versions=versions), files, "ec")


@pytest.fixture
def client(files: Files, versions: tuple[str, ...]) -> Setup:
    return Setup(versions=versions, trust=files["root"])


@pytest.fixture
def ours(files: Files, peer: QUICPeer) -> Ours:
    """Our side of QUIC, for the `peer` of the test."""
    return Ours(files, peer)


@pytest.fixture
def world(files: Files) -> Iterator[World]:
    made = World(files)
    yield made
    made.close()
