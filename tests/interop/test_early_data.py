"""Early data with OpenSSL's s_server and s_client, and with gnutls-serv and gnutls-cli."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caesura import Context, Identity, TrustStore
from caesura.errors import ZeroReturn
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.sessions import Session
from tests.interop.direct import accepted, connected, listening, read_exactly
from tests.interop.peers import Workshop
from tests.interop.peers.process import Process, on_free_port, program

Files = dict[str, Path]
ACCEPTED, REJECTED = EarlyDataStatus.ACCEPTED, EarlyDataStatus.REJECTED


def s_server(workshop: Workshop, files: Files, *more: str) -> tuple[Process, int]:
    server = workshop.start(
        [
            *(program("openssl", "apt-get install openssl"), "s_server", "-accept", "127.0.0.1:0", "-tls1_3"),
            *("-cert", str(files["ec.chain"]), "-cert_chain", str(files["ec.chain"]), "-key", str(files["ec.key"])),
            *more,
        ]
    )
    return server, int(re.findall(r":(\d+)\n", server.wait_for(r"ACCEPT [^\n]*:\d+\n"))[-1])


def session_with(server: Process, port: int, context: Context) -> Session:
    """A session of a new connection to s_server."""
    with connected(port, context) as tls:
        tls.do_handshake()
        tls.write(b"first\n")
        server.wait_for("first\n", "data")
        server.send(b"hello\n")
        assert read_exactly(tls, 6) == b"hello\n"
        assert tls.session is not None
        server.send(b"q\n")  # it stays for the next connection
        assert tls.shutdown() in (True, False)
        return tls.session


@pytest.mark.parametrize("groups", [None, "P-256"], ids=["at once", "with a retry"])
def test_our_client_is_read_early(workshop: Workshop, files: Files, groups: str | None) -> None:
    # Against copies s_server forgets a session at the first hello, so that it could not resume at the second.
    more = ["-early_data", "-max_early_data", "1000", *(["-groups", groups, "-no_anti_replay"] if groups else [])]
    server, port = s_server(workshop, files, *more)
    context = Context.client(trust=TrustStore.load(files["root"]), groups=["x25519", "secp256r1"])
    session = session_with(server, port, context)
    assert session.max_early_data == 1000
    with connected(port, context, session=session) as tls:
        assert tls.write_early_data(b"early\n") == 6
        tls.do_handshake()
        assert tls.session_reused
        if groups is None:
            server.wait_for("Early data received:")
            server.wait_for("early\n", "data")
            assert tls.early_data_status is ACCEPTED
        else:
            assert not server.said("Early data received:")
            assert (tls.early_data_status, tls.early_data_reason) == (REJECTED, EarlyDataReason.HELLO_RETRY_REQUEST)
        tls.write(b"late\n")
        server.wait_for("late\n", "data")
        server.send(b"hello\n")
        assert read_exactly(tls, 6) == b"hello\n"


def test_our_client_is_refused(workshop: Workshop, files: Files) -> None:
    """A ticket is used once there, too."""
    server, port = s_server(workshop, files, "-early_data", "-max_early_data", "1000")
    context = Context.client(trust=TrustStore.load(files["root"]))
    session = session_with(server, port, context)
    copy = session.to_bytes()
    for outcome in (ACCEPTED, REJECTED):
        with connected(port, context, session=Session.from_bytes(copy)) as tls:
            assert tls.write_early_data(b"early\n") == 6
            tls.do_handshake()
            assert tls.early_data_status is outcome
            tls.write(b"late\n")
            server.wait_for("late\n", "data")
            server.send(b"q\n")
            tls.shutdown()


def s_client(workshop: Workshop, files: Files, port: int, *more: str) -> Process:
    return workshop.start(
        [
            *(program("openssl", "apt-get install openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3"),
            *("-servername", "localhost", "-CAfile", str(files["root"]), *more),
        ]
    )


@pytest.mark.parametrize("asks", [True, False], ids=["that asks", "that does not ask"])
@pytest.mark.parametrize("retry", [False, True], ids=["at once", "with a retry"])
def test_our_server_reads_early(workshop: Workshop, files: Files, asks: bool, retry: bool) -> None:
    context = Context.server(
        identity=Identity.load(files["ec.chain"], files["ec.key"]),
        max_early_data=1000,
        groups=["secp256r1"] if retry else ["x25519"],
    )
    kept, early = workshop.path("session.pem"), workshop.path("early")
    early.write_bytes(b"early\n")
    with listening() as listener:
        port = listener.getsockname()[1]
        client = s_client(workshop, files, port, "-sess_out", str(kept))
        with accepted(listener, context) as tls:
            tls.do_handshake()
            tls.write(b"hello\n")
            client.wait_for("hello\n", "data")
            client.send(b"Q\n")
            with pytest.raises(ZeroReturn):
                tls.read()
        client = s_client(workshop, files, port, "-sess_in", str(kept), "-early_data", str(early))
        with accepted(listener, context) as tls:
            heard = b""
            while asks and (piece := tls.read_early_data()):
                heard += piece
                assert tls.write_early_data(b"half\n") == 5
            tls.do_handshake()
            taken = asks and not retry
            assert heard == (b"early\n" if taken else b"")
            assert tls.early_data_status is (ACCEPTED if taken else REJECTED)
            assert tls.session_reused
            client.wait_for("Early data was accepted" if taken else "Early data was rejected")
            if taken:
                client.wait_for("half\n", "data")
            tls.write(b"late\n")
            client.wait_for("late\n", "data")
            client.send(b"hello\n")
            assert read_exactly(tls, 6) == b"hello\n"


def gnutls(workshop: Workshop, name: str, arguments: list[str]) -> Process:
    path = program(name, "apt-get install gnutls-bin")
    return workshop.start([program("stdbuf", "apt-get install coreutils"), "-oL", path, *arguments])


def test_our_client_is_read_early_by_gnutls(workshop: Workshop, files: Files) -> None:
    options = [
        *("--echo", "--earlydata", "--maxearlydata", "1000", "--disable-client-cert"),
        *("--x509certfile", str(files["ec.chain"]), "--x509keyfile", str(files["ec.key"])),
    ]
    _, port = on_free_port(
        lambda port: gnutls(workshop, "gnutls-serv", ["--port", str(port), *options]),
        r"listening on IPv4 [^\n]*done",
    )
    context = Context.client(trust=TrustStore.load(files["root"]), groups=["x25519"])
    session = None
    for early in (b"", b"early\n"):
        with connected(port, context, session=session) as tls:
            if early:
                assert tls.write_early_data(early) == 6
            tls.do_handshake()
            assert tls.early_data_status is (ACCEPTED if early else EarlyDataStatus.NOT_SENT)
            tls.write(b"late\n")
            assert read_exactly(tls, 5) == b"late\n"
            assert tls.session is not None
            session = tls.session
            assert session.max_early_data == 1000
            tls.shutdown()


@pytest.mark.parametrize("asks", [True, False], ids=["that asks", "that does not ask"])
def test_our_server_reads_gnutls_early(workshop: Workshop, files: Files, asks: bool) -> None:
    context = Context.server(
        identity=Identity.load(files["ec.chain"], files["ec.key"]), max_early_data=1000, groups=["x25519"]
    )
    early = workshop.path("early")
    early.write_bytes(b"early\n")
    with listening() as listener:
        port = listener.getsockname()[1]
        client = gnutls(
            workshop,
            "gnutls-cli",
            [
                *("--port", str(port), "127.0.0.1", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"),
                *("--sni-hostname", "localhost", "--verify-hostname", "localhost", "--x509cafile", str(files["root"])),
                *("--resume", "--waitresumption", "--earlydata", str(early)),
            ],
        )
        with accepted(listener, context) as tls:
            tls.do_handshake()
            with pytest.raises(ZeroReturn):
                tls.read()
            tls.shutdown()
        with accepted(listener, context) as tls:
            heard = b""
            while asks and (piece := tls.read_early_data()):
                heard += piece
            tls.do_handshake()
            assert heard == (b"early\n" if asks else b"")
            assert tls.early_data_status is (ACCEPTED if asks else REJECTED)
            tls.write(b"late\n")
            client.wait_for("late\n", "data")
            client.send(b"hello\n")
            assert read_exactly(tls, 6) == b"hello\n"
