"""What is to be known of a connection, for people: as a table, and in one line.

Names in certificates are the peer's words. They are shown without control characters and never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeAlias

from rich.table import Table
from rich.text import Text

from caesura.crypto.certificates import Certificate, parse_certificate
from caesura.dtls import DTLSConnection
from caesura.errors import LocalAlert, printable
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.quic import QUICConnection
from caesura.tls import TLSConnection
from caesura.wire.registries import NamedGroup, Version

VERSIONS = {
    Version.TLS12: "TLS 1.2",
    Version.TLS13: "TLS 1.3",
    Version.DTLS12: "DTLS 1.2",
    Version.DTLS13: "DTLS 1.3",
    Version.QUIC1: "QUIC 1",
    Version.QUIC2: "QUIC 2",
}
Connection: TypeAlias = TLSConnection | DTLSConnection | QUICConnection
_NO_EARLY_DATA = {EarlyDataReason.DISABLED, EarlyDataReason.UNKNOWN}
HYBRID = {NamedGroup.X25519MLKEM768}


def facts_table(connection: Connection, verified: Text) -> Table:
    """Everything about a client's connection; `verified` says how far the server's certificate is believed."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(connection):
        table.add_row(name, value)
    table.add_row("verified", verified)
    return table


def _facts(connection: Connection) -> Iterator[tuple[str, Text]]:
    version, suite, group = connection.version, connection.cipher_suite, connection.group
    assert version is not None
    assert suite is not None
    yield "protocol", Text(VERSIONS[version])
    yield "cipher suite", Text(suite.name)
    if group is not None:
        yield "key exchange", Text(group.name + (" (post-quantum hybrid)" if group in HYBRID else ""))
    yield "ALPN", Text(connection.alpn or "none")
    yield "session", Text("resumed" if connection.session_reused else "new")
    if connection.early_data_reason not in _NO_EARLY_DATA:
        yield "early data", Text(early_data(connection))
    if connection.psk_identity is not None:
        yield "pre-shared key", Text(printable(connection.psk_identity.decode("latin-1")))
    chain = connection.peer_certificates
    if chain:
        leaf = parse_certificate(chain[0])
        yield "certificate", Text(leaf.subject or "(no subject)")
        yield "  for", Text(_names(leaf))
        yield "  issued by", Text(leaf.issuer)
        yield "  valid", _validity(leaf)
        if len(chain) > 1:
            yield "  chain", Text(f"{len(chain)} certificates")


def early_data(connection: Connection) -> str:
    """What became of it, and why."""
    status = connection.early_data_status.name.lower().replace("_", " ")
    if connection.early_data_status is EarlyDataStatus.ACCEPTED:
        return status
    return f"{status} ({connection.early_data_reason.value})"


def _names(certificate: Certificate) -> str:
    try:
        return ", ".join(printable(name) for name in certificate.names) or "no names"
    except LocalAlert:  # nobody has verified it
        return "names that cannot be read"


def _validity(certificate: Certificate) -> Text:
    left = certificate.not_after - datetime.now(UTC)
    text = f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
    if left.total_seconds() < 0:
        return Text.assemble(text, (" (expired)", "red"))
    return Text(
        f"{text} ({left.days} days left)" if left.days > 1 else f"{text} ({left.total_seconds() / 3600:.0f} hours left)"
    )


def facts_line(connection: Connection) -> str:
    """A server's connection in one line."""
    words = [VERSIONS[version] for version in (connection.version,) if version is not None]
    words += [code.name for code in (connection.cipher_suite, connection.group) if code is not None]
    if connection.server_hostname:
        words.append(f"for {connection.server_hostname}")
    if connection.alpn:
        words.append(f"ALPN {printable(connection.alpn)}")
    if connection.session_reused:
        words.append("resumed")
    if connection.early_data_status is not EarlyDataStatus.NOT_SENT:
        words.append(f"early data {early_data(connection)}")
    if connection.psk_identity is not None:
        words.append(f"pre-shared key {printable(connection.psk_identity.decode('latin-1'))}")
    if connection.peer_certificates:
        words.append(f"client {parse_certificate(connection.peer_certificates[0]).subject}")
    return ", ".join(words)
