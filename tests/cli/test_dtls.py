"""`caesura serve --dtls` and `caesura connect --dtls`, against each other and OpenSSL's."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from caesura.cli.group import caesura as command
from tests.cli.process import Running, Server, caesura_command, nobody
from tests.interop.peers.process import program


@pytest.fixture
def echo(files: Path) -> Iterator[Server]:
    with Server("--dtls", "--echo", "--cert", files / "server.pem", "--key", files / "server.key") as server:
        yield server


def test_datagrams_there_and_back(echo: Server, files: Path) -> None:
    done = caesura_command("connect", f"localhost:{echo.port}", "--dtls", "--ca", files / "ca.pem", data=b"a datagram")
    assert (done.code, done.out) == (0, b"a datagram")
    assert "DTLS 1.3" in done.err
    assert "yes, as localhost" in done.err
    assert "for localhost" in echo.err_until("DTLS 1.3")
    echo.err_until("10 bytes sent back")
    echo.signal(signal.SIGTERM)
    assert "connections served: 1" in echo.wait().err


def test_what_is_read_at_a_time_is_a_datagram(echo: Server, files: Path) -> None:
    with Running("connect", f"127.0.0.1:{echo.port}", "--dtls", "--ca", files / "ca.pem", "-q", "--servername",
                 "localhost") as client:  # fmt: skip
        for line in (b"one\n", b"two\n", b"x" * 1000):
            client.send(line)
            assert client.receive(len(line)) == line
        assert client.finish().code == 0
    echo.err_until("1,008 bytes sent back")


def test_a_session_is_kept_and_resumed(echo: Server, files: Path, tmp_path: Path) -> None:
    for kind in ("new", "resumed"):
        done = caesura_command(
            "connect", f"127.0.0.1:{echo.port}", "--dtls", "--ca", files / "ca.pem", "--servername", "localhost",
            "--session", tmp_path / "session", data=b"x",
        )  # fmt: skip
        assert (done.code, done.out) == (0, b"x")
        assert re.search(rf"^session +{kind}", done.err, re.MULTILINE)


@pytest.mark.parametrize("shown", [True, False])
def test_client_certificates(files: Path, shown: bool) -> None:
    certificates = ("--cert", files / "server.pem", "--key", files / "server.key", "--client-ca", files / "ca.pem")
    own = ("--cert", files / "client.pem", "--key", files / "client.key") if shown else ()
    with Server("--dtls", *certificates) as server:
        done = caesura_command(
            "connect", f"127.0.0.1:{server.port}", "--dtls", "--ca", files / "ca.pem", "--servername", "localhost",
            *own, data=b"x",
        )  # fmt: skip
        if shown:
            assert (done.code, done.out) == (0, b"x")
            server.err_until("client CN=")
        else:
            assert done.code == 1
            assert "certificate_required" in done.err
            server.err_until("no connection")


def test_early_data_to_a_server_that_takes_none(files: Path, echo: Server, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_bytes(b"early")
    session = ("--session", tmp_path / "session")
    common = ("connect", f"127.0.0.1:{echo.port}", "--dtls", "--ca", files / "ca.pem", "--servername", "localhost")
    for early, status in (((), "new"), (("--early-data", words), "resumed")):
        done = caesura_command(*common, *session, *early, data=b"x")
        assert (done.code, done.out) == (0, b"x")
        assert status in done.err


def test_nobody_listens(files: Path) -> None:
    port = nobody(socket.SOCK_DGRAM)
    done = caesura_command("connect", f"127.0.0.1:{port}", "--dtls", "--ca", files / "ca.pem")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "Connection refused" in done.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("serve", "localhost:0", "--cert", "server.pem", "--dtls", "--www", "."), "HTTP needs a stream"),
        (("serve", "localhost:0", "--cert", "server.pem", "--dtls", "--max-early-data", "9"), "early data"),
    ],
)
def test_what_excludes_each_other(arguments: tuple[str, ...], why: str, files: Path) -> None:
    shown = CliRunner().invoke(command, [str(files / each) if each == "server.pem" else each for each in arguments])
    assert shown.exit_code == 2
    assert why in shown.output


def test_openssl_s_client_talks_to_serve(echo: Server, files: Path) -> None:
    openssl = program("openssl", "apt-get install openssl")
    arguments = ("s_client", "-dtls1_2", "-connect", f"127.0.0.1:{echo.port}", "-servername", "localhost",
                 "-verify_hostname", "localhost", "-CAfile", files / "ca.pem", "-verify_return_error", "-quiet",
                 "-no_ign_eof")  # fmt: skip
    with Running(*arguments, command=(openssl,)) as client:
        client.send(b"from openssl\n")
        assert client.receive(13) == b"from openssl\n"
        client.send(b"Q\n")
        client.wait()
    assert "DTLS 1.2" in echo.err_until("DTLS 1.2")
    echo.err_until("13 bytes sent back")


def test_connect_talks_to_openssl_s_server(files: Path) -> None:
    openssl = program("openssl", "apt-get install openssl")
    arguments = ("s_server", "-dtls1_2", "-accept", "127.0.0.1:0", "-cert", files / "server.pem", "-cert_chain",
                 files / "server.pem", "-key", files / "server.key", "-listen")  # fmt: skip
    with Running(*arguments, command=(openssl,)) as server:
        port = server.out_line(rb"ACCEPT 127\.0\.0\.1:(\d+)")
        with Running("connect", f"127.0.0.1:{port}", "--dtls", "--ca", files / "ca.pem", "--servername",
                     "localhost") as client:  # fmt: skip
            client.err_until("DTLS 1.2")
            client.send(b"from caesura\n")
            assert server.out_line(rb"(from caesura)")
            server.send(b"from openssl\n")
            assert client.receive(13) == b"from openssl\n"
            assert client.finish().code == 0
