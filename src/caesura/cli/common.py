"""What the commands have in common: addresses, identities with passwords, and how failures are told."""

from __future__ import annotations

import getpass
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from caesura.context import Identity, TrustStore
from caesura.errors import ConfigError, Error, LocalAlert

PASSWORD_VARIABLE = "CAESURA_KEY_PASSWORD"  # noqa: S105 - its name, not a password


class Failed(click.ClickException):
    """What was asked for did not come about; the exit code is 1."""

    exit_code = 1


class Misused(click.ClickException):
    """What was asked for cannot be; the exit code is 2."""

    exit_code = 2


class Address(NamedTuple):
    """A host (empty: every address of this machine) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_to_connect(value: str) -> Address:
    """`HOST:PORT`; an IPv6 address stands in brackets."""
    address = _address(value)
    if not address.host:
        raise click.BadParameter(f"{value!r} has no host; write HOST:PORT")
    if address.port == 0:
        raise click.BadParameter("there is nobody at port 0")
    return address


def address_to_listen(value: str) -> Address:
    """The same, but the host may be empty, and the port 0."""
    return _address(value)


def _address(value: str) -> Address:
    host, colon, port = value.rpartition(":")
    if not colon:
        raise click.BadParameter(f"{value!r} has no port; write HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise click.BadParameter(f"{value!r} is ambiguous; write an IPv6 address in brackets, as in [::1]:443")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise click.BadParameter(f"{port!r} is not a port number")
    return Address(host, int(port))


def readable_file() -> click.Path:
    """The type of an option that names a file which is read."""
    return click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def load_identity(cert: Path, key: Path | None) -> Identity:
    """The identity in these files; without `key`, the key is in the certificate's file.

    An encrypted key is opened by the password in the environment, or else by the one that is asked for at the terminal.
    """
    holder = cert if key is None else key

    def password() -> str:
        given = os.environ.get(PASSWORD_VARIABLE)
        return ask_password(holder) if given is None else given

    return Identity.load(cert, holder, password)


def ask_password(path: Path) -> str:
    """Ask for a key's password at the terminal, and nowhere else: standard input may carry data."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # there is no terminal where it would not be seen
        try:
            answer: str = click.prompt(f"Password of {click.format_filename(path)}", hide_input=True, err=True)
        except getpass.GetPassWarning:
            raise Misused(
                f"the key in {click.format_filename(path)} is encrypted: "
                f"put its password into the environment variable {PASSWORD_VARIABLE}"
            ) from None
    return answer


def load_trust(path: Path) -> TrustStore:
    """The certificates in this file as trust anchors."""
    return TrustStore.load(path)


def load_psks(path: Path) -> dict[bytes, bytes]:
    """Pre-shared keys by their identities: in each line an identity, a colon, and the key in hexadecimal digits.

    Empty lines, and those that begin with #, say nothing. It is the format of GnuTLS's psktool.
    """
    keys: dict[bytes, bytes] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        identity, colon, digits = line.strip().rpartition(b":")
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            key = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            key = b""
        if not (colon and identity and key):
            raise Misused(f"--psk: line {number} of {click.format_filename(path)} is not IDENTITY:KEY in hexadecimal")
        keys[identity] = key
    if not keys:
        raise Misused(f"--psk: there is no key in {click.format_filename(path)}")
    return keys


@contextmanager
def told(about: str = "") -> Iterator[None]:
    """Tell failures in one line: exit code 2 for what was refused when it was given, 1 for what failed later.

    `about` is what the latter have to do with, an address.
    """
    try:
        yield
    except ConfigError as error:
        raise Misused(str(error)) from error
    except (Error, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Failed(f"{about}: {reason(error)}" if about else reason(error)) from error


def reason(error: BaseException) -> str:
    """One line that says what failed, and names the alert that was sent or received."""
    if isinstance(error, LocalAlert):
        return f"{error}; we sent the alert {error.description.name}"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, Error | socket.gaierror):
        return os.strerror(error.errno)  # asyncio's own words show the address as Python writes tuples
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
