"""Options that `connect` and `serve` have in common, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from caesura.cli.common import load_identity, readable_file
from caesura.context import Identity, Method

Command = TypeVar("Command", bound=Callable[..., Any])

QUIC_ALPN = ("hq-interop",)  # where nothing else is said: QUIC needs an application protocol


def method_options(*, dtls: str, quic: str) -> Callable[[Command], Command]:
    """`--dtls` and `--quic`, with these texts."""

    def add(command: Command) -> Command:
        command = click.option("--quic", is_flag=True, help=quic)(command)
        return click.option("--dtls", is_flag=True, help=dtls)(command)

    return add


def identity_options(cert: str) -> Callable[[Command], Command]:
    """`--cert`, with this text, and `--key`."""

    def add(command: Command) -> Command:
        command = file_option("--key", help="Its private key.  [default: in the file of --cert]")(command)
        return file_option("--cert", help=cert)(command)

    return add


def file_option(name: str, *, help: str) -> Callable[[Command], Command]:  # noqa: A002 - click's word
    """An option that names a file which is read."""
    return click.option(name, type=readable_file(), metavar="FILE", help=help)


def alpn_option(help: str) -> Callable[[Command], Command]:  # noqa: A002
    """`--alpn`, as often as wanted."""
    return click.option("--alpn", multiple=True, metavar="PROTOCOL", help=help)


def method_of(dtls: bool, quic: bool) -> Method:
    """Which protocol these flags ask for."""
    if dtls and quic:
        raise click.UsageError("--dtls and --quic exclude each other.")
    return Method.DTLS if dtls else Method.QUIC if quic else Method.TLS


def alpn_of(alpn: tuple[str, ...], method: Method) -> tuple[str, ...]:
    """The application protocols, the preferred one first."""
    return alpn or (QUIC_ALPN if method is Method.QUIC else ())


def check_key(cert: Path | None, key: Path | None) -> None:
    """Refuse `--key` without `--cert`."""
    if key is not None and cert is None:
        raise click.UsageError("--key needs --cert.")


def identity_of(cert: Path | None, key: Path | None) -> Identity | None:
    """The identity in these files, if there is one."""
    return load_identity(cert, key) if cert is not None else None
