"""What connections are made from: a `Context` holding one frozen `Settings`.

Setting an attribute of a Context makes a new Settings; a connection keeps the one it began with, so certificates and
keys can be replaced while a server runs. Nothing here opens a connection.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from caesura.checks import check_together, checked
from caesura.crypto.identity import Identity
from caesura.crypto.psk import PSK
from caesura.crypto.trust import TrustStore
from caesura.errors import ConfigError
from caesura.quic_settings import QUICSettings
from caesura.settings import (
    QUIC_EARLY_DATA,
    VERSIONS,
    CertificateRequestInfo,
    ClientHelloInfo,
    DTLSSettings,
    FromEnvironment,
    Limits,
    Method,
    PeerChain,
    Settings,
    TraceEvent,
    Verify,
)

__all__ = [
    "PSK",
    "QUIC_EARLY_DATA",
    "CertificateRequestInfo",
    "ClientHelloInfo",
    "Context",
    "DTLSSettings",
    "Identity",
    "Limits",
    "Method",
    "PeerChain",
    "QUICSettings",
    "Settings",
    "TraceEvent",
    "TrustStore",
    "Verify",
]


class Context:
    """Makes connections of one method from one set of settings (SSL_CTX_new(3)).

    The settings are keywords here and attributes afterwards; their names, defaults and units are those of `Settings`.
    An `identity` may be one Identity or several; registry settings take members or their registry names. Raises
    `ConfigError`, naming the setting, for a value that cannot be used.
    """

    settings: Settings

    def __init__(self, method: Method = Method.TLS, **settings: Any) -> None:
        if not isinstance(method, Method):
            raise ConfigError("method: expected a Method")
        settings.setdefault("keylog", FromEnvironment.KEYLOG)
        settings.setdefault("minimum_version", VERSIONS[method][0])
        settings.setdefault("maximum_version", VERSIONS[method][-1])
        object.__setattr__(self, "settings", Settings(method=method, **checked(settings)))
        check_together(self.settings)

    @classmethod
    def client(cls, **settings: Any) -> Context:
        """A context for clients."""
        context = cls(**settings)
        context.settings.require(server_side=False)
        return context

    @classmethod
    def server(cls, **settings: Any) -> Context:
        """A context for servers: what a server cannot do without must be among the settings."""
        context = cls(**settings)
        context.settings.require(server_side=True)
        return context

    def __getattr__(self, name: str) -> Any:
        if name == "settings" or not hasattr(Settings, name):
            raise AttributeError(f"a Context has no setting {name!r}")
        return getattr(self.settings, name)

    def __setattr__(self, name: str, value: object) -> None:
        changed = replace(self.settings, **checked({name: value}))
        check_together(changed)
        object.__setattr__(self, "settings", changed)

    def __repr__(self) -> str:
        return f"<Context {self.settings.method.name}>"
