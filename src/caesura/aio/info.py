"""What `get_extra_info()` tells of a connection, and the view that stands where asyncio has an `ssl.SSLObject`.

Programs ask for facts under the standard library's names: frameworks read `ssl_object.selected_alpn_protocol()`,
`peercert`, `cipher`. They get them here in the standard library's shapes; nobody can drive the connection through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeAlias

from caesura.aio.endpoint import Terms
from caesura.context import Context, Verify
from caesura.crypto.describe import peercert_dict
from caesura.crypto.suites import SUITES
from caesura.crypto.trust import TrustStore, verify_chain
from caesura.dtls.connection import DTLSConnection
from caesura.events import EarlyDataStatus
from caesura.quic.connection import QUICConnection
from caesura.sessions import Session
from caesura.tls.connection import TLSConnection
from caesura.wire.registries import VERSION_NAMES

Speaker: TypeAlias = TLSConnection | DTLSConnection | QUICConnection

_EXPORTER_LABEL: Final = "EXPORTER-Channel-Binding"  # RFC 9266 section 2
_EXPORTER_LENGTH: Final = 32


class Described(Protocol):
    """Of what facts are told."""

    @property
    def connection(self) -> Speaker:
        """The connection."""

    @property
    def endpoint(self) -> Terms:
        """Its role and context."""

    @property
    def raw(self) -> asyncio.BaseTransport:
        """What carries its bytes or datagrams."""


class SSLObjectView:
    """The facts of a connection under the names of `ssl.SSLObject`. Read-only."""

    __slots__ = ("_connection", "context", "server_side")

    def __init__(self, connection: Speaker, context: Context, server_side: bool) -> None:
        self._connection = connection
        self.context = context
        self.server_side = server_side

    @property
    def server_hostname(self) -> str | None:
        """The name the client wants to reach."""
        return self._connection.server_hostname

    @property
    def session(self) -> Session | None:
        """The latest session a client was given, for `session=` of a later connection."""
        return self._connection.session

    @property
    def session_reused(self) -> bool:
        """Whether the handshake resumed a session."""
        return self._connection.session_reused

    def version(self) -> str | None:
        """The protocol's name, such as "TLSv1.3"; None before it is known."""
        version = self._connection.version
        return None if version is None else VERSION_NAMES[version]

    def cipher(self) -> tuple[str, str, int] | None:
        """Suite, protocol and bits of the key; None before they are known."""
        code, version = self._connection.cipher_suite, self.version()
        if code is None or version is None:
            return None
        return SUITES[code].openssl_name, version, SUITES[code].aead.key_length * 8

    def group(self) -> str | None:
        """The key exchange group's registry name; None before it is known."""
        group = self._connection.group
        return None if group is None else group.name

    def compression(self) -> None:
        """None: nothing is ever compressed."""

    def shared_ciphers(self) -> None:
        """None: the peer's list is not kept."""

    def pending(self) -> int:
        """Bytes that have been opened and not been read."""
        return self._connection.pending()

    def selected_alpn_protocol(self) -> str | None:
        """The application protocol that was agreed on."""
        return self._connection.alpn

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """The peer's certificate, None if it sent none: as DER, or as a dict, which is empty if it was not verified."""
        chain = self._connection.peer_certificates
        if not chain:
            return None
        if binary_form:
            return chain[0]
        return peercert_dict(chain[0]) if self._verified else {}

    def get_verified_chain(self) -> list[bytes]:
        """The path from the peer's certificate to its anchor, as DER; empty if nothing was verified.

        It is built anew from what the peer sent, so CertificateVerifyError may rise once the chain has expired.
        """
        chain = self._connection.peer_certificates
        if not chain or not self._verified:
            return []
        settings = self.context.settings
        path = verify_chain(
            chain,
            trust=settings.trust or TrustStore.system(),
            server_name=None if self.server_side else self.server_hostname,
            purpose="client" if self.server_side else "server",
            now=datetime.fromtimestamp(settings.clock.wall(), UTC),
            max_depth=settings.limits.certificate_chain,
            cache=settings.verification_cache,
        )
        return [certificate.der for certificate in path]

    def get_unverified_chain(self) -> list[bytes]:
        """The certificates the peer sent, as DER, leaf first."""
        return list(self._connection.peer_certificates)

    def get_channel_binding(self, cb_type: str = "tls-exporter") -> bytes | None:
        """32 bytes that only this connection's two ends know (RFC 9266); None before the handshake is complete.

        `tls-unique` is not defined for TLS 1.3 and not offered for TLS 1.2, so it is refused with ValueError, as is any
        other unknown type.
        """
        if cb_type != "tls-exporter":
            raise ValueError(f"channel binding {cb_type!r} is not offered; tls-exporter is (RFC 9266)")
        if not self._connection.handshake_complete:
            return None
        return self._connection.export_keying_material(_EXPORTER_LABEL, b"", _EXPORTER_LENGTH)

    @property
    def _verified(self) -> bool:
        return self.context.settings.verify_mode(self.server_side) is not Verify.NONE

    def __repr__(self) -> str:
        return f"<SSLObjectView {self.version()} {'server' if self.server_side else 'client'}>"


def context_of(tls: Described) -> Context:
    """The context that counts: the one `select_identity` has brought, or else the endpoint's."""
    return tls.connection.selected_context or tls.endpoint.context


def _view(tls: Described) -> SSLObjectView:
    return SSLObjectView(tls.connection, context_of(tls), tls.endpoint.server_side)


_FACTS: Final[dict[str, Callable[[Described], Any]]] = {
    "ssl_object": _view,
    "sslcontext": lambda tls: context_of(tls),
    "peercert": lambda tls: _view(tls).getpeercert(),
    "cipher": lambda tls: _view(tls).cipher(),
    "early_data": lambda tls: getattr(tls.connection, "early_data_status", EarlyDataStatus.NOT_SENT),
    "compression": lambda tls: _view(tls).compression(),
    "caesura": lambda tls: tls.connection,
}


def extra_info(tls: Described, name: str, default: Any) -> Any:
    """One fact of the connection, else of its raw transport, else `default`."""
    fact = _FACTS.get(name)
    if fact is not None:
        return fact(tls)
    raw: asyncio.BaseTransport | None = tls.raw
    return default if raw is None else raw.get_extra_info(name, default)
