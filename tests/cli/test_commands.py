"""The command itself: help, version, addresses, and what it says when its packages are missing."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import caesura
from caesura.cli.common import Address, address_to_connect, address_to_listen
from caesura.cli.group import caesura as command
from tests.cli.process import PATIENCE, caesura_command, environment


def test_python_m_caesura_is_the_command() -> None:
    done = caesura_command("--version")
    assert done.code == 0
    assert done.out.decode().splitlines()[0] == f"caesura {caesura.__version__}"
    assert b"cryptography" in done.out


def test_help_lists_the_commands_in_the_order_in_which_one_meets_them() -> None:
    shown = CliRunner().invoke(command, ["--help"]).output
    places = [shown.index(f"\n  {name} ") for name in ("demo", "serve", "connect", "bench")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", sorted(command.commands))
def test_every_command_and_option_is_explained(name: str) -> None:
    shown = CliRunner().invoke(command, [name, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.split("Options:")[0]) > 200, "more than the usage line"
    for parameter in command.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} has no help"
            assert parameter.opts[0] in shown.output


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_package_is_named_with_the_way_to_get_it(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from caesura.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=PATIENCE,
        env=environment(),
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == f"caesura: the command line needs {package}: pip install 'caesura[cli]'\n"


def test_any_other_missing_module_is_a_bug_and_not_hidden() -> None:
    program = "import sys; sys.modules['caesura.cli.demo'] = None; from caesura.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=PATIENCE,
        env=environment(),
        check=False,
        text=True,
    )
    assert "caesura.cli.demo" in done.stderr
    assert "pip install" not in done.stderr


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:443", "localhost", 443),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:4433", "fe80::1%eth0", 4433),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert address_to_connect(text) == address_to_listen(text) == Address(host, port)
    assert str(Address(host, port)) == text


def test_a_server_may_listen_everywhere_and_on_any_port() -> None:
    assert address_to_listen(":0") == Address("", 0)


@pytest.mark.parametrize(
    "text", ["localhost", "", "localhost:", "localhost:http", "::1", "::1:443", "a:65536", "a:-1", "a:²"]
)
def test_what_is_no_address(text: str) -> None:
    for convert in (address_to_connect, address_to_listen):
        with pytest.raises(click.BadParameter):
            convert(text)


@pytest.mark.parametrize("text", [":443", "localhost:0"])
def test_nobody_can_be_reached_there(text: str) -> None:
    with pytest.raises(click.BadParameter):
        address_to_connect(text)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["connect", "localhost"], "no port"),
        (["connect", "localhost:1", "--insecure", "--ca", __file__], "exclude each other"),
        (["connect", "localhost:1", "--key", __file__], "--key needs --cert"),
        (["connect", "localhost:1", "--ca", "/no/such/file"], "does not exist"),
        (["connect", "localhost:1", "--ca", __file__], "trust: "),
        (["connect", "localhost:1", "--insecure", "--alpn", ""], "alpn"),
        (["connect", "localhost:1", "--insecure", "--servername", "a b"], "neither a host name nor an IP address"),
        (["serve", "localhost:0"], "--cert"),
        (["serve", "localhost:0", "--cert", __file__], "identity"),
        (["serve", "localhost:0", "--cert", __file__, "--echo", "--www", "."], "exclude each other"),
        (["demo", "--clients", "0"], "--clients"),
    ],
)
def test_wrong_use_has_exit_code_2_and_names_what_is_wrong(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert reason in result.output
