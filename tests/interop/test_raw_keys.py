"""Raw public keys with GnuTLS, the one peer that has them (RFC 7250)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caesura import SSL, Context, Error, Identity, TrustStore, Verify
from caesura.wire.registries import Version
from tests.interop.direct import accepted, connected, listening, read_exactly
from tests.interop.peers import Workshop
from tests.interop.peers.process import Process, on_free_port, program
from tests.support.pki import pki

CLIENT = "NORMAL:-VERS-ALL:+VERS-{}:-CTYPE-SRV-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK"
SERVER = "NORMAL:-VERS-ALL:+VERS-{}:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK"

Versions = pytest.mark.parametrize("version", ["TLS1.2", "TLS1.3"])


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """PEM files: server.key, server.pub, and the client's."""
    found = {}
    for role, credential in (("server", pki().ec), ("client", pki().p384)):
        found[f"{role}.key"], found[f"{role}.pub"] = tmp_path / f"{role}.key", tmp_path / f"{role}.pub"
        found[f"{role}.key"].write_bytes(credential.key_pem)
        public = credential.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        found[f"{role}.pub"].write_bytes(public)
    return found


def gnutls(workshop: Workshop, name: str, role: str, keys: dict[str, Path], *more: str) -> Process:
    path = program(name, "apt-get install gnutls-bin")
    buffered = program("stdbuf", "apt-get install coreutils")
    files = ("--rawpkkeyfile", str(keys[f"{role}.key"]), "--rawpkfile", str(keys[f"{role}.pub"]))
    return workshop.start([buffered, "-oL", path, *files, *more])


@pytest.mark.parametrize("ask", [False, True], ids=["server only", "both"])
@Versions
def test_our_client(workshop: Workshop, keys: dict[str, Path], version: str, ask: bool) -> None:
    wanted = "--require-client-cert" if ask else "--disable-client-cert"
    process, port = on_free_port(
        lambda port: gnutls(
            workshop,
            "gnutls-serv",
            "server",
            keys,
            "--port",
            str(port),
            "--echo",
            wanted,
            "--priority",
            SERVER.format(version),
        ),
        r"listening on IPv4 [^\n]*done",
    )
    context = Context.client(
        trust=TrustStore.public_keys(keys["server.pub"]), identity=Identity.raw_public_key(keys["client.key"])
    )
    for resumed in (False, True):
        with connected(port, context, None) as tls:
            tls.do_handshake()
            tls.write(b"there and back\n")
            assert read_exactly(tls, 15) == b"there and back\n"
            assert tls.session_reused is resumed
            assert tls.version is Version[version.replace(".", "")]
            assert {tls.peer_public_key} == TrustStore.public_keys(keys["server.pub"]).keys
            tls.shutdown()  # without it the session would not be resumed
    said = process.wait_for(r"- Channel bindings\n")
    assert ("Certificate type: Raw Public Key" in said) is ask


@contextmanager
def called_by_gnutls(
    workshop: Workshop, keys: dict[str, Path], version: str, *, trusted: str
) -> Iterator[tuple[SSL, Process]]:
    """Our server, which asks for a key and trusts one, and a client that connects to it."""
    context = Context.server(
        identity=Identity.raw_public_key(keys["server.key"]),
        verify=Verify.REQUIRED,
        trust=TrustStore.public_keys(keys[trusted]),
    )
    with listening() as listener:
        port = listener.getsockname()[1]
        more = ("--port", str(port), "127.0.0.1", "--no-ca-verification", "--priority", CLIENT.format(version))
        client = gnutls(workshop, "gnutls-cli", "client", keys, *more)
        with accepted(listener, context) as tls:
            yield tls, client


@Versions
def test_our_server(workshop: Workshop, keys: dict[str, Path], version: str) -> None:
    with called_by_gnutls(workshop, keys, version, trusted="client.pub") as (tls, client):
        tls.do_handshake()
        client.wait_for("- Certificate type: Raw Public Key.*Handshake was completed")
        client.send(b"from the client\n")
        assert read_exactly(tls, 16) == b"from the client\n"
        assert {tls.peer_public_key} == TrustStore.public_keys(keys["client.pub"]).keys


@Versions
def test_gnutls_hears_that_its_key_is_not_known(workshop: Workshop, keys: dict[str, Path], version: str) -> None:
    with called_by_gnutls(workshop, keys, version, trusted="server.pub") as (tls, client):
        with pytest.raises(Error, match="nobody vouches for"):
            tls.do_handshake()
        client.wait_for(r"Received alert \[42\]")
