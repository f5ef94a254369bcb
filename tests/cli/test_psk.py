"""`--psk` on both commands, over TLS and DTLS, and with OpenSSL."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from caesura.cli.common import load_psks
from caesura.cli.group import caesura as command
from tests.cli.process import Running, Server, caesura_command
from tests.interop.peers.process import program

KEYS = b"# one of ours\nsensor:7:" + b"5a" * 32 + b"\n\nother:" + b"A5" * 16 + b"\n"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(KEYS)
    return path


def test_the_file(keys: Path) -> None:
    assert load_psks(keys) == {b"sensor:7": b"\x5a" * 32, b"other": b"\xa5" * 16}


@pytest.mark.parametrize("line", [b"no colon", b"name:", b":5a5a", b"name:xyz", b"name:5", b"\xff:\xff", b""])
def test_a_line_that_is_none(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(line + b"\n")
    shown = CliRunner().invoke(command, ["serve", "localhost:0", "--psk", str(tmp_path / "keys")])
    assert shown.exit_code == 2
    assert "--psk" in shown.output


@pytest.mark.parametrize("transport", [(), ("--dtls",)], ids=["tls", "dtls"])
def test_a_key_in_place_of_certificates(transport: tuple[str, ...], keys: Path) -> None:
    with Server("--psk", keys, *transport) as server:
        done = caesura_command("connect", f"127.0.0.1:{server.port}", "--psk", keys, *transport, data=b"there and back")
        assert (done.code, done.out) == (0, b"there and back")
        assert "yes, by the pre-shared key" in done.err
        assert "sensor:7" in done.err
        server.err_until("pre-shared key sensor:7")


def test_another_key_of_that_name(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_bytes(b"sensor:7:" + b"5b" * 32)
    with Server("--psk", keys) as server:
        done = caesura_command("connect", f"127.0.0.1:{server.port}", "--psk", tmp_path / "wrong")
        assert done.code == 1
        assert "decrypt_error" in done.err


def test_sighup_renews_the_keys(keys: Path) -> None:
    with Server("--psk", keys) as server:
        keys.write_bytes(b"new:" + b"01" * 32)
        server.signal(signal.SIGHUP)
        server.err_until("renewed")
        done = caesura_command("connect", f"127.0.0.1:{server.port}", "--psk", keys, data=b"x")
        assert (done.code, done.out) == (0, b"x")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("serve", "localhost:0"), "--cert or --psk is needed"),
        (("serve", "localhost:0", "--psk", "keys", "--key", "keys"), "--key needs --cert"),
        (("connect", "localhost:1", "--psk", "keys", "--insecure"), "exclude each other"),
    ],
)
def test_what_does_not_go_together(arguments: tuple[str, ...], why: str, keys: Path) -> None:
    shown = CliRunner().invoke(command, [str(keys) if each == "keys" else each for each in arguments])
    assert shown.exit_code == 2
    assert why in shown.output


def test_openssl_s_client_has_the_key(keys: Path) -> None:
    openssl = program("openssl", "apt-get install openssl")
    with Server("--psk", keys) as server:
        arguments = ("s_client", "-tls1_3", "-connect", f"127.0.0.1:{server.port}", "-psk_identity", "other", "-psk",
                     "a5" * 16, "-quiet", "-no_ign_eof")  # fmt: skip
        with Running(*arguments, command=(openssl,)) as client:
            client.send(b"from openssl\n")
            assert client.receive(13) == b"from openssl\n"
            client.send(b"Q\n")
            client.wait()
        server.err_until("pre-shared key other")
