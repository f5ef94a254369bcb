"""Client authentication after the handshake, with OpenSSL's s_server and s_client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caesura import Context, Identity, TrustStore
from tests.interop.direct import accepted, connected, listening, read_exactly
from tests.interop.peers import Workshop
from tests.interop.peers.process import program

Files = dict[str, Path]


def test_our_client_is_asked(workshop: Workshop, files: Files) -> None:
    openssl = program("openssl", "apt-get install openssl")
    server = workshop.start(
        [
            *(openssl, "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-msg"),
            *("-cert", str(files["ec.chain"]), "-cert_chain", str(files["ec.chain"]), "-key", str(files["ec.key"])),
            *("-CAfile", str(files["root"]), "-chainCAfile", str(files["root"])),
        ]
    )
    port = int(re.findall(r":(\d+)\n", server.wait_for(r"ACCEPT [^\n]*:\d+\n"))[-1])
    context = Context.client(
        trust=TrustStore.load(files["root"]),
        identity=Identity.load(files["client.chain"], files["client.key"]),
        post_handshake_auth=True,
    )
    with connected(port, context) as tls:
        tls.do_handshake()
        tls.write(b"hello\n")
        server.wait_for("hello\n", "data")
        server.send(b"c\n")
        server.wait_for(r">>> [^\n]*CertificateRequest")
        server.send(b"still here\n")
        assert read_exactly(tls, 11) == b"still here\n"
        tls.write(b"and here\n")
        server.wait_for(r"<<< [^\n]*, Certificate\n.*<<< [^\n]*CertificateVerify\n.*<<< [^\n]*Finished\n")
        server.wait_for("and here\n", "data")


@pytest.mark.parametrize("shows", [True, False])
def test_our_server_asks(workshop: Workshop, files: Files, shows: bool) -> None:
    openssl = program("openssl", "apt-get install openssl")
    context = Context.server(
        identity=Identity.load(files["ec.chain"], files["ec.key"]), trust=TrustStore.load(files["root"])
    )
    own = ("-cert", str(files["client.chain"]), "-cert_chain", str(files["client.chain"])) if shows else ()
    key = ("-key", str(files["client.key"])) if shows else ()
    with listening() as listener:
        port = listener.getsockname()[1]
        client = workshop.start(
            [
                *(openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-enable_pha", "-msg"),
                *("-CAfile", str(files["root"]), *own, *key),
            ]
        )
        with accepted(listener, context) as tls:
            tls.do_handshake()
            assert tls.peer_certificates == ()
            client.wait_for(r">>> [^\n]*Finished\n")
            for _ in range(2):
                tls.verify_client_post_handshake()
                client.wait_for(r">>> [^\n]*Finished\n")
                client.send(b"more\n")
                assert read_exactly(tls, 5) == b"more\n"
            assert bool(tls.peer_certificates) is shows
            assert not tls.authentication_pending
