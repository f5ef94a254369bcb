"""TLS, DTLS and QUIC in which every cryptographic operation may pause instead of block.

The names here are the ones to start with: a `Context` makes connections, an `SSL` is one over a pair of BIOs, as in the
manual pages of OpenSSL. `caesura.aio` is for asyncio, `caesura.tls` and `caesura.dtls` for those who do their own I/O,
`caesura.jobs` and `caesura.engines` for whoever writes what pauses, `caesura.openssl` for programs ported from C.
"""

import importlib
from typing import TYPE_CHECKING, Any

from caesura import engines, errors, jobs
from caesura.bio import BIO, DatagramBIO, MemoryBIO, SocketBIO, bio_pair, datagram_pair
from caesura.compression import CertificateCompression
from caesura.context import PSK, Context, Identity, Limits, Method, TrustStore, Verify
from caesura.errors import (
    AlertDescription,
    CertificateVerifyError,
    ConfigError,
    Error,
    JobCancelled,
    LocalAlert,
    OperationFailed,
    OperationTimeout,
    PeerAlert,
    UnexpectedEOF,
    UsageError,
    WantAsync,
    WantAsyncJob,
    WantRead,
    WantWrite,
    ZeroReturn,
)
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.polling import poll
from caesura.readiness import PollEvent
from caesura.replay import ReplayCache
from caesura.sessions import ServerSessionCache, Session, SessionCache
from caesura.sslobject import SSL
from caesura.wire.registries import CipherSuite, NamedGroup, SignatureScheme, Version

if TYPE_CHECKING:
    from caesura import aio, dtls, openssl, quic, tls
    from caesura.sslobject.quic import QUICSSL, DefaultStreamMode, IncomingStreamPolicy
    from caesura.sslobject.quic_listener import Listener
    from caesura.sslobject.quic_object import EventHandling
    from caesura.sslobject.quic_stream import QUICStream, StreamState

__version__ = "0.1.0"

__all__ = [
    "BIO",
    "PSK",
    "QUICSSL",
    "SSL",
    "AlertDescription",
    "CertificateCompression",
    "CertificateVerifyError",
    "CipherSuite",
    "ConfigError",
    "Context",
    "DatagramBIO",
    "DefaultStreamMode",
    "EarlyDataReason",
    "EarlyDataStatus",
    "Error",
    "EventHandling",
    "Identity",
    "IncomingStreamPolicy",
    "JobCancelled",
    "Limits",
    "Listener",
    "LocalAlert",
    "MemoryBIO",
    "Method",
    "NamedGroup",
    "OperationFailed",
    "OperationTimeout",
    "PeerAlert",
    "PollEvent",
    "QUICStream",
    "ReplayCache",
    "ServerSessionCache",
    "Session",
    "SessionCache",
    "SignatureScheme",
    "SocketBIO",
    "StreamState",
    "TrustStore",
    "UnexpectedEOF",
    "UsageError",
    "Verify",
    "Version",
    "WantAsync",
    "WantAsyncJob",
    "WantRead",
    "WantWrite",
    "ZeroReturn",
    "aio",
    "bio_pair",
    "datagram_pair",
    "dtls",
    "engines",
    "errors",
    "jobs",
    "openssl",
    "poll",
    "quic",
    "tls",
]

_ON_DEMAND = frozenset({"aio", "dtls", "openssl", "quic", "tls"})
_OF_QUIC = {
    "DefaultStreamMode": "quic",
    "EventHandling": "quic_object",
    "IncomingStreamPolicy": "quic",
    "Listener": "quic_listener",
    "QUICSSL": "quic",
    "QUICStream": "quic_stream",
    "StreamState": "quic_stream",
}


def __getattr__(name: str) -> Any:
    """`caesura.aio` and the like are imported when they are first asked for: asyncio takes longer than all the rest."""
    if name in _ON_DEMAND:
        return importlib.import_module(f"caesura.{name}")
    if name in _OF_QUIC:
        return getattr(importlib.import_module(f"caesura.sslobject.{_OF_QUIC[name]}"), name)
    raise AttributeError(f"module 'caesura' has no attribute {name!r}")
