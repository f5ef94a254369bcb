"""Whether settings can make a connection of a method and a role: said when it is made, not when it fails."""

from __future__ import annotations

from caesura.context import Method, Settings, Verify
from caesura.crypto.trust import TrustStore
from caesura.errors import ConfigError, UsageError
from caesura.wire.registries import CertificateType


def check_role(settings: Settings, method: Method, server_side: bool, server_hostname: str | None) -> None:
    """ConfigError for another method and for what this role is missing, UsageError for the name."""
    if settings.method is not method:
        raise ConfigError(f"method: this connection speaks {method.name}, its context is for {settings.method.name}")
    settings.require(server_side)
    if method is Method.QUIC and not settings.alpn:
        raise ConfigError("alpn: QUIC needs an application protocol (RFC 9001 section 8.1)")
    if not server_side and not settings.offered_versions:
        raise ConfigError("lookup_psk: external keys need TLS 1.3, or a PSK suite of TLS 1.2 among cipher_suites")
    if not server_side and settings.verify_mode(server_side=False) is not Verify.NONE:
        if settings.psk_only or CertificateType.X509 not in settings.accepted_types:
            return
        if server_hostname is None:
            raise UsageError("server_hostname: needed to verify the server (or set verify to Verify.NONE)")
        if settings.trust is None:
            TrustStore.system()  # raises now what would otherwise fail the handshake
