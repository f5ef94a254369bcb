"""`caesura serve`: a server that sends back what it receives, or files; like `openssl s_server`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from caesura.cli.common import (
    Address,
    address_to_listen,
    load_psks,
    load_trust,
    told,
)
from caesura.cli.options import (
    alpn_of,
    alpn_option,
    check_key,
    file_option,
    identity_of,
    identity_options,
    method_of,
    method_options,
)
from caesura.cli.services import Echo, Files, PlainFiles, Service
from caesura.cli.serving import Serving, ServingDatagrams, ServingQUIC, ServingStreams
from caesura.context import QUIC_EARLY_DATA, Context, Verify


@click.command(short_help="Serve TLS, DTLS or QUIC: an echo, or files over HTTP.")
@click.argument("address", metavar="HOST:PORT", type=address_to_listen)
@method_options(
    dtls="Serve DTLS on a UDP port; only an echo, of each datagram.",
    quic="Serve QUIC on a UDP port: an echo of each stream, or files (hq-interop).",
)
@identity_options(cert="The server's certificate, with its chain (PEM). Needed, unless there is --psk.")
@alpn_option("An application protocol, the preferred one first; may be given several times.")
@file_option("--client-ca", help="Ask clients for a certificate of a CA in FILE, and refuse those without.")
@click.option(
    "--max-early-data",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="BYTES",
    help="Take that much of what a client that resumes sends with its first message.  [default: 0, none]",
)
@file_option("--psk", help="Take the pre-shared keys in FILE too: in each line IDENTITY:KEY, the key in hexadecimal.")
@click.option("--echo", is_flag=True, help="Send back what comes (the default).")
@click.option(
    "--www",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Answer HTTP/1.0 GET and HEAD (with --quic HTTP/0.9 GET) with the files beneath DIR.",
)
@click.option("--quiet", "-q", is_flag=True, help="Do not tell of connections.")
def serve(
    address: Address,
    dtls: bool,
    quic: bool,
    cert: Path | None,
    key: Path | None,
    alpn: tuple[str, ...],
    client_ca: Path | None,
    max_early_data: int,
    psk: Path | None,
    echo: bool,
    www: Path | None,
    quiet: bool,
) -> None:
    """Serve TLS, DTLS or QUIC: an echo, or files over HTTP.

    Standard error tells where the server listens (port 0 chooses a free one; an empty host stands for every address of
    the machine) and tells of each connection. Ctrl-C ends it; SIGHUP makes it read its certificate and its keys again,
    for connections from then on.

    Everything beneath the directory of --www can be read by whoever can connect. Symbolic links that lead out of it are
    not followed.

    Early data is answered once the handshake is complete: then it is no copy that somebody has made.

    The password of an encrypted key is asked for, or taken from the environment variable CAESURA_KEY_PASSWORD.

    \b
    Examples:
      caesura serve localhost:4433 --cert server.pem --key server.key
      caesura serve '[::1]:0' --cert server.pem --www public --alpn http/1.0
      caesura serve :443 --cert server.pem --key server.key --client-ca staff.pem
      caesura serve localhost:4433 --cert server.pem --key server.key --dtls
      caesura serve localhost:4433 --cert server.pem --key server.key --quic --www public
    """
    if echo and www is not None:
        raise click.UsageError("--echo and --www exclude each other.")
    method = method_of(dtls, quic)
    if dtls and www is not None:
        raise click.UsageError("--dtls and --www exclude each other: HTTP needs a stream.")
    if dtls and max_early_data:
        raise click.UsageError(
            "--dtls and --max-early-data exclude each other: who asks every client for a cookie takes no early data."
        )
    if cert is None and psk is None:
        raise click.UsageError("--cert or --psk is needed.")
    check_key(cert, key)

    def credentials() -> dict[str, Any]:
        return {
            "identity": identity_of(cert, key),
            "lookup_psk": among(load_psks(psk)) if psk is not None else None,
        }

    with told(str(address)):
        context = Context.server(
            method=method,
            **credentials(),
            alpn=alpn_of(alpn, method),
            trust=load_trust(client_ca) if client_ca is not None else None,
            verify=Verify.REQUIRED if client_ca is not None else Verify.NONE,
            max_early_data=QUIC_EARLY_DATA if quic and max_early_data else max_early_data,
        )
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        serving: Serving
        if dtls:
            serving = ServingDatagrams(context, console, quiet=quiet, reload=credentials)
        elif quic:
            per_stream: Service = PlainFiles(www) if www is not None else Echo()
            serving = ServingQUIC(context, console, quiet=quiet, reload=credentials, service=per_stream)
        else:
            service: Service = Files(www) if www is not None else Echo()
            serving = ServingStreams(context, console, quiet=quiet, reload=credentials, service=service)
        asyncio.run(serving.run(address))


def among(keys: dict[bytes, bytes]) -> Callable[[bytes], tuple[bytes, bytes] | None]:
    """The `lookup_psk` of a server that knows these keys."""
    return lambda identity: (identity, keys[identity]) if identity in keys else None
