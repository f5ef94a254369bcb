"""`caesura serve --quic` and `caesura connect --quic`, against each other."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from caesura.cli.group import caesura as command
from caesura.cli.www import Refused, parse_plain_request
from tests.cli.process import Outcome, Running, Server, caesura_command, nobody


@pytest.fixture
def echo(files: Path) -> Iterator[Server]:
    with Server("--quic", "--echo", "--cert", files / "server.pem", "--key", files / "server.key") as server:
        yield server


def connect(port: int, files: Path, *arguments: object, data: bytes = b"") -> Outcome:
    return caesura_command(
        "connect", f"127.0.0.1:{port}", "--quic", "--ca", files / "ca.pem", "--servername", "localhost", *arguments,
        data=data,
    )  # fmt: skip


def test_there_and_back(echo: Server, files: Path) -> None:
    data = bytes(range(256)) * 1000
    done = connect(echo.port, files, data=data)
    assert (done.code, done.out) == (0, data)
    assert "QUIC 1" in done.err
    assert "hq-interop" in done.err
    assert "yes, as localhost" in done.err
    assert "for localhost" in echo.err_until("QUIC 1")
    echo.err_until("256,000 bytes sent back")
    echo.signal(signal.SIGTERM)
    assert "connections served: 1" in echo.wait().err


def test_a_conversation(echo: Server, files: Path) -> None:
    arguments = ("connect", f"127.0.0.1:{echo.port}", "--quic", "--ca", files / "ca.pem", "-q", "--servername",
                 "localhost")  # fmt: skip
    with Running(*arguments) as client:
        for line in (b"one\n", b"other\n"):
            client.send(line)
            assert client.receive(len(line)) == line
        assert client.finish().code == 0


def test_files(files: Path, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page").write_bytes(b"x" * 300_000)
    certificates = ("--cert", files / "server.pem", "--key", files / "server.key")
    with Server("--quic", "--www", tmp_path / "www", *certificates) as server:
        done = connect(server.port, files, data=b"GET /page\r\n")
        assert (done.code, done.out) == (0, b"x" * 300_000)
        server.err_until("GET /page: 300,000 bytes")
        done = connect(server.port, files, data=b"GET /none\r\n")
        assert (done.code, done.out) == (1, b"")
        assert "the peer has reset the stream" in done.err
        server.err_until("GET /none: Not Found")


@pytest.mark.parametrize(
    "line", [b"GET /page HTTP/1.0", b"POST /page", b"GET  /page", b"GET page", b"GET /../page", b""]
)
def test_what_is_no_request_of_http_0_9(line: bytes) -> None:
    with pytest.raises(Refused):
        parse_plain_request(line + b"\r\n")
    assert parse_plain_request(b"GET /a/page\n").parts == ("a", "page")


def test_a_session_and_early_data(files: Path, tmp_path: Path) -> None:
    (tmp_path / "early").write_bytes(b"early, ")
    certificates = ("--cert", files / "server.pem", "--key", files / "server.key")

    def talk(server: Server, kind: str, early: str) -> None:
        done = connect(
            server.port, files, "--session", tmp_path / "session", "--early-data", tmp_path / "early", data=b"late"
        )
        assert (done.code, done.out) == (0, b"early, late")
        assert re.search(rf"^session +{kind}", done.err, re.MULTILINE)
        assert re.search(rf"^early data +{early}", done.err, re.MULTILINE)

    with Server("--quic", "--max-early-data", 1, *certificates) as server:
        talk(server, "new", "not sent")
        talk(server, "resumed", "accepted")
    with Server("--quic", *certificates) as server:
        talk(server, "new", "rejected")


def test_the_wrong_name(echo: Server, files: Path) -> None:
    done = connect(echo.port, files, "--servername", "other.example")
    assert done.code == 1
    assert "other.example" in done.err
    echo.err_until("no connection")


def test_nobody_listens(files: Path) -> None:
    done = connect(nobody(socket.SOCK_DGRAM), files)
    assert done.code == 1
    assert "Connection refused" in done.err


@pytest.mark.parametrize("name", ["serve", "connect"])
def test_dtls_and_quic_exclude_each_other(name: str, files: Path) -> None:
    certificate = ("--cert", str(files / "server.pem")) if name == "serve" else ()
    shown = CliRunner().invoke(command, [name, "localhost:1", "--dtls", "--quic", *certificate])
    assert shown.exit_code == 2
    assert "exclude each other" in shown.output
