"""`caesura serve` and `caesura connect` as programs, against each other, a server that misbehaves, and OpenSSL's."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from caesura import aio
from caesura.context import Context, Identity, TrustStore
from tests.cli.conftest import PASSWORD
from tests.cli.process import PATIENCE, Outcome, Running, Server, caesura_command, environment, nobody
from tests.interop.peers.process import program


@pytest.fixture
def echo(files: Path) -> Iterator[Server]:
    with Server("--cert", files / "server.pem", "--key", files / "server.key") as server:
        yield server


def connect(port: int, *arguments: object, data: bytes = b"", host: str = "localhost", **variables: str) -> Outcome:
    return caesura_command("connect", f"{host}:{port}", *arguments, data=data, **variables)


def session_of(done: Outcome) -> str:
    found = re.search(r"^session +(.*?) *$", done.err, re.MULTILINE)
    assert found, done.err
    return found[1]


# --- carrying bytes -------------------------------------------------------------------------------------------------


def test_input_goes_there_and_comes_back_and_the_facts_are_told(echo: Server, files: Path) -> None:
    done = connect(echo.port, "--ca", files / "ca.pem", data=b"there and back\n")
    assert (done.code, done.out) == (0, b"there and back\n")
    for fact in (
        "TLS 1.3",
        "TLS_AES_128_GCM_SHA256",
        "X25519MLKEM768",
        "CN=ec",
        "localhost, example.test",
        "yes, as localhost",
    ):
        assert fact in done.err
    assert session_of(done) == "new"
    assert "X25519MLKEM768, for localhost" in echo.err_until("TLS 1.3")
    echo.err_until("15 bytes sent back")


def test_large_binary_data_arrives_unchanged_and_quietly(echo: Server, files: Path) -> None:
    data = os.urandom(3_000_000)
    done = connect(echo.port, "--ca", files / "ca.pem", "-q", data=data)
    assert (done.code, done.err) == (0, "")
    assert done.out == data


def test_one_side_may_speak_while_the_other_has_not_ended(echo: Server, files: Path) -> None:
    with Running("connect", f"localhost:{echo.port}", "--ca", files / "ca.pem", "-q") as client:
        for line in (b"one\n", b"two\n"):
            client.send(line)
            assert client.receive(4) == line
        assert client.finish().code == 0


def test_an_address_in_brackets_is_verified_as_one(files: Path) -> None:
    with Server("--cert", files / "both.pem", host="[::1]") as server:
        done = connect(server.port, "--ca", files / "ca.pem", data=b"6", host="[::1]")
    assert (done.code, done.out) == (0, b"6")
    assert "yes, as ::1" in done.err


def test_a_reader_that_goes_away_ends_the_client(echo: Server, files: Path) -> None:
    with Running("connect", f"localhost:{echo.port}", "--ca", files / "ca.pem") as client:
        client.err_until("verified")
        client.close_output()
        client.send(b"nobody reads the answer\n")
        assert client.wait().code == 1


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason", "alert"),
    [
        (["--ca", "other-ca.pem"], "certificate verify failed", "we sent the alert unknown_ca"),
        (["--ca", "ca.pem", "--servername", "other.test"], "other.test", "we sent the alert bad_certificate"),
        (["--ca", "ca.pem", "--alpn", "nothing-common"], "", "the peer sent the alert no_application_protocol"),
    ],
)
def test_a_failed_handshake_is_one_line_that_names_the_alert(
    files: Path, arguments: list[str], reason: str, alert: str
) -> None:
    with Server("--cert", files / "both.pem", "--alpn", "h2") as server:
        given = [files / each if each.endswith(".pem") else each for each in arguments]
        done = connect(server.port, *given, data=b"never sent")
        assert (done.code, done.out) == (1, b"")
        (line,) = done.err.splitlines()
        assert line.startswith(f"Error: localhost:{server.port}: ")
        assert reason in line
        assert line.endswith(alert)
        server.err_until("no connection: ")


def test_insecure_takes_any_certificate_and_says_so(echo: Server) -> None:
    done = connect(echo.port, "--insecure", data=b"whoever you are")
    assert (done.code, done.out) == (0, b"whoever you are")
    assert "no: --insecure takes any certificate" in done.err


def test_nobody_listens(files: Path) -> None:
    port = nobody()
    done = connect(port, "--ca", files / "ca.pem")
    assert done.code == 1
    assert done.err == f"Error: localhost:{port}: Connection refused\n"


@pytest.mark.parametrize("wanted", ["given", "missing"])
def test_client_certificates(files: Path, wanted: str) -> None:
    with Server("--cert", files / "both.pem", "--client-ca", files / "ca.pem") as server:
        own = ["--cert", files / "client.pem", "--key", files / "client.key"] if wanted == "given" else []
        done = connect(server.port, "--ca", files / "ca.pem", *own, data=b"me")
        if wanted == "given":
            assert (done.code, done.out) == (0, b"me")
            assert "client CN=client" in server.err_until("TLS 1.3")
        else:
            assert (done.code, done.out) == (1, b"")
            assert "the peer sent the alert certificate_required" in done.err
            server.err_until("no connection: ")


def test_a_key_of_another_certificate(files: Path) -> None:
    done = connect(1, "--insecure", "--cert", files / "client.pem", "--key", files / "server.key")
    assert done.code == 2
    assert "identity: the private key does not belong to the certificate of CN=client" in done.err


@asynccontextmanager
async def server_that_cuts(files: Path) -> AsyncIterator[int]:
    """A server that sends half of something and drops the connection without close_notify."""

    async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of")
        await writer.drain()
        writer.transport.abort()

    context = Context.server(identity=Identity.load(files / "both.pem", files / "both.pem"))
    async with await aio.start_server(cut, "127.0.0.1", 0, context=context) as server:
        yield server.sockets[0].getsockname()[1]


def test_data_that_may_be_cut_short_is_a_failure(files: Path) -> None:
    async def attempt() -> Outcome:
        async with server_that_cuts(files) as port:
            return await asyncio.to_thread(connect, port, "--ca", files / "ca.pem", "-q")

    done = asyncio.run(attempt())
    assert (done.code, done.out) == (1, b"half of")
    assert "without" in done.err
    assert "close_notify" in done.err


# --- sessions -------------------------------------------------------------------------------------------------------


def test_a_session_is_kept_for_its_owner_and_resumed(echo: Server, files: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    again = [connect(echo.port, "--ca", files / "ca.pem", "--session", kept, data=b"x") for _ in range(3)]
    assert [done.code for done in again] == [0, 0, 0]
    assert [session_of(done) for done in again] == ["new", "resumed", "resumed"]
    assert "yes, as localhost when the session was made" in again[1].err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [kept], "no temporary file is left"


def early_data_of(done: Outcome) -> str | None:
    found = re.search(r"^early data +(.*?) *$", done.err, re.MULTILINE)
    return found[1] if found else None


def test_early_data_goes_first(files: Path, tmp_path: Path) -> None:
    kept, early = tmp_path / "kept", tmp_path / "early"
    early.write_bytes(b"early, ")
    certificate = ("--cert", files / "server.pem", "--key", files / "server.key")

    def attempt(port: int) -> Outcome:
        return connect(port, "--ca", files / "ca.pem", "--session", kept, "--early-data", early, data=b"late")

    with Server(*certificate, "--max-early-data", 1000) as server:
        first, second = attempt(server.port), attempt(server.port)
        assert (first.code, first.out, early_data_of(first)) == (0, b"late", "not sent (no_session_offered)")
        assert (second.code, second.out, early_data_of(second)) == (0, b"early, late", "accepted")
        server.err_until("early data accepted")
        server.err_until("11 bytes sent back")
        early.write_bytes(bytes(1001))
        third = attempt(server.port)
        assert (third.code, third.out, early_data_of(third)) == (0, b"late", "not sent (limit)")
    early.write_bytes(b"early, ")
    with Server(*certificate) as server:  # another one, which does not know the ticket
        done = attempt(server.port)
        assert (done.code, done.out, early_data_of(done)) == (0, b"late", "rejected (session_not_resumed)")
        server.err_until("early data rejected (disabled)")
    assert early_data_of(connect(1, "--ca", files / "ca.pem")) is None


def test_early_data_needs_a_session(files: Path) -> None:
    done = connect(1, "--ca", files / "ca.pem", "--early-data", files / "ca.pem")
    assert done.code == 2
    assert "--early-data needs --session" in done.err


def test_a_session_that_was_used_up_is_forgotten(echo: Server, files: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert connect(echo.port, "--ca", files / "ca.pem", "--session", kept, data=b"x").code == 0
    echo.signal(signal.SIGINT)
    assert echo.wait().code == 0
    before = kept.read_bytes()
    assert connect(echo.port, "--ca", files / "ca.pem", "--session", kept).code == 1  # nobody there: not offered
    assert kept.read_bytes() == before

    async def attempt() -> Outcome:
        context = Context.server(identity=Identity.load(files / "both.pem", files / "both.pem"), ticket_count=0)
        async with await aio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, context=context) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(connect, port, "--ca", files / "ca.pem", "--session", kept)

    done = asyncio.run(attempt())
    assert (done.code, session_of(done)) == (0, "new")
    assert not kept.exists()


def test_a_session_of_other_conditions_is_not_offered(echo: Server, files: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert connect(echo.port, "--insecure", "--session", kept, data=b"x").code == 0
    done = connect(echo.port, "--ca", files / "ca.pem", "--session", kept, data=b"x")
    assert (done.code, session_of(done)) == (0, "new")


def test_a_file_that_is_no_session(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    done = connect(1, "--insecure", "--session", other)
    assert done.code == 2
    assert "holds no session" in done.err
    assert other.read_bytes() == b"something else"


# --- keys -----------------------------------------------------------------------------------------------------------


def test_the_password_of_a_key_comes_from_the_environment(files: Path) -> None:
    own = ("--cert", files / "server.pem", "--key", files / "server.encrypted.key")
    with Server(*own, CAESURA_KEY_PASSWORD=PASSWORD) as server:
        assert connect(server.port, "--ca", files / "ca.pem", data=b"x").out == b"x"
    wrong = caesura_command("serve", "localhost:0", *own, CAESURA_KEY_PASSWORD="wrong")
    assert wrong.code == 2
    assert "identity: no private key could be read" in wrong.err


def without_terminal(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A program in a session of its own, which has no terminal to ask at."""
    return subprocess.run(
        [sys.executable, "-m", "caesura", *map(str, arguments)],
        input="a line of data, no password\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
        start_new_session=True,
        check=False,
    )


def test_without_a_terminal_nobody_is_asked_for_a_password(files: Path) -> None:
    done = without_terminal(
        "serve", "localhost:0", "--cert", files / "server.pem", "--key", files / "server.encrypted.key"
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("put its password into the environment variable CAESURA_KEY_PASSWORD")


def test_at_a_terminal_the_password_is_asked_for_and_not_shown(files: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:  # only exec: this is a copy of the test process
        arguments = [
            "connect",
            "localhost:1",
            "--insecure",
            "--cert",
            str(files / "client.pem"),
            "--key",
            str(files / "server.encrypted.key"),
        ]
        os.execvpe(sys.executable, [sys.executable, "-m", "caesura", *arguments], environment())
    shown = b""
    try:
        while b"Password of" not in shown or not shown.endswith(b": "):
            shown += os.read(terminal, 1024)
        os.write(terminal, PASSWORD.encode() + b"\n")
        while chunk := read_terminal(terminal):
            shown += chunk
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 2
    assert b"the private key does not belong to the certificate" in shown  # so it was opened
    assert PASSWORD.encode() not in shown


def read_terminal(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # how Linux says that the other side is gone
        return b""


def test_sighup_renews_the_certificate_for_later_connections(files: Path, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def put(name: str) -> None:
        chain.write_bytes((files / f"{name}.pem").read_bytes())
        key.write_bytes((files / f"{name}.key").read_bytes())

    put("server")
    with Server("--cert", chain, "--key", key) as server:
        assert "CN=ec\n" in connect(server.port, "--ca", files / "ca.pem", data=b"x").err.replace(" ", "")
        put("renewed")
        server.signal(signal.SIGHUP)
        server.err_until("certificate and key renewed")
        assert "CN=ed25519\n" in connect(server.port, "--ca", files / "ca.pem", data=b"x").err.replace(" ", "")
        key.write_text("not a key")
        server.signal(signal.SIGHUP)
        server.err_until("not renewed: identity: ")
        assert connect(server.port, "--ca", files / "ca.pem", data=b"x").out == b"x"


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_its_clients_in_an_orderly_way(
    echo: Server, files: Path, number: signal.Signals
) -> None:
    with Running("connect", f"localhost:{echo.port}", "--ca", files / "ca.pem", "-q") as client:
        client.send(b"here I am\n")
        assert client.receive(10) == b"here I am\n"
        echo.signal(number)
        ended = echo.wait()
        assert ended.code == 0
        assert ended.err.endswith("done; connections served: 1\n")
        left = client.wait()  # its input goes on, but the server has closed with close_notify
        assert (left.code, left.err) == (0, "")


def test_ctrl_c_ends_the_client(echo: Server, files: Path) -> None:
    with Running("connect", f"localhost:{echo.port}", "--ca", files / "ca.pem") as client:
        client.err_until("verified")
        client.signal(signal.SIGINT)
        ended = client.wait()
        assert ended.code == 130
        assert ended.err.rstrip().endswith("yes, as localhost")
    echo.err_until("0 bytes sent back")  # it was told by close_notify


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "index.html").write_text("hello")
    (directory / "large").write_bytes(os.urandom(1_000_000))
    (tmp_path / "secret").write_text("secret")
    (directory / "link").symlink_to("../secret")
    return directory


def test_files_over_http(files: Path, site: Path) -> None:
    context = Context.client(trust=TrustStore.load(files / "ca.pem"))

    async def request(port: int, head: bytes) -> tuple[str, bytes]:
        reader, writer = await aio.open_connection("127.0.0.1", port, context=context, server_hostname="localhost")
        writer.write(head)
        writer.write_eof()
        answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return answer.decode().splitlines()[0], body

    async def requests(port: int) -> None:
        assert await request(port, b"GET / HTTP/1.0\r\n\r\n") == ("HTTP/1.0 200 OK", b"hello")
        assert await request(port, b"HEAD / HTTP/1.0\r\n\r\n") == ("HTTP/1.0 200 OK", b"")
        large = (site / "large").read_bytes()
        assert await request(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") == ("HTTP/1.0 200 OK", large)
        for head, status in (
            (b"GET /link HTTP/1.0\r\n\r\n", "404 Not Found"),
            (b"GET /../secret HTTP/1.0\r\n\r\n", "404 Not Found"),
            (b"POST / HTTP/1.0\r\n\r\n", "405 Method Not Allowed"),
            (b"GET / HTTP/1.0\r\nX: " + bytes(9000), "431 Request Header Fields Too Large"),
            (b"GET / HTTP/1.0\r\n", "400 Bad Request"),  # it ends before the headers do
            (b"", "400 Bad Request"),
        ):
            assert (await request(port, head))[0] == f"HTTP/1.0 {status}"

    with Server("--cert", files / "both.pem", "--www", site) as server:
        asyncio.run(requests(server.port))
        server.signal(signal.SIGINT)
        told = server.wait().err
    assert "GET / HTTP/1.0: 5 bytes" in told
    assert "GET /link HTTP/1.0: 404 Not Found" in told


def test_what_a_client_sends_cannot_play_on_the_operators_terminal(files: Path, site: Path) -> None:
    with Server("--cert", files / "both.pem", "--www", site) as server:
        connect(server.port, "--ca", files / "ca.pem", data=b"GET /\x1b]0;x\x07[bold] HTTP/1.0\r\n\r\n")
        server.signal(signal.SIGINT)
        told = server.wait().err
    assert "\x1b" not in told
    assert "GET /?]0;x?[bold] HTTP/1.0: 400 Bad Request" in told


# --- against OpenSSL ------------------------------------------------------------------------------------------------


def test_openssl_s_client_talks_to_serve(echo: Server, files: Path) -> None:
    openssl = program("openssl", "apt-get install openssl")
    arguments = (
        "s_client",
        "-connect",
        f"127.0.0.1:{echo.port}",
        "-servername",
        "localhost",
        "-CAfile",
        files / "ca.pem",
    )
    with Running(*arguments, "-verify_return_error", "-quiet", "-no_ign_eof", command=(openssl,)) as client:
        client.send(b"from openssl\n")
        assert client.receive(13) == b"from openssl\n"
        assert client.finish().code == 0
    echo.err_until("13 bytes sent back")


def test_connect_talks_to_openssl_s_server(files: Path, tmp_path: Path) -> None:
    openssl = program("openssl", "apt-get install openssl")
    kept = tmp_path / "kept"
    own = ("-cert", files / "server.pem", "-cert_chain", files / "server.pem", "-key", files / "server.key")
    arguments = (
        "s_server",
        "-accept",
        "127.0.0.1:0",
        *own,
        "-CAfile",
        files / "ca.pem",
        "-rev",
        "-tls1_3",
        "-alpn",
        "http/1.0",
    )
    with Running(*arguments, "-verify", "3", command=(openssl,)) as server:
        port = int(server.out_line(rb"ACCEPT .*:(\d+)"))
        own = ("--cert", files / "client.pem", "--key", files / "client.key")
        again = [
            connect(port, "--ca", files / "ca.pem", *own, "--alpn", "http/1.0", "--session", kept, data=b"stressed\n")
            for _ in range(2)
        ]
    for done in again:
        assert (done.code, done.out) == (0, b"desserts\n")
        assert re.search(r"ALPN +http/1.0", done.err)
    assert [session_of(done) for done in again] == ["new", "resumed"]
