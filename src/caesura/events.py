"""What a connection tells the application, one object per happening, read with `next_event()`.

The same classes serve every transport. Data comes after the events that precede it and before the one that ends the
connection, which comes last and once.
"""

from __future__ import annotations

from dataclasses import dataclass

from caesura.errors import Error
from caesura.sessions import Session


@dataclass(slots=True)
class HandshakeCompleted:
    """Both Finished messages are verified; the connection's facts are final."""


@dataclass(slots=True)
class SessionReceived:
    """A client was given a ticket with which it may resume (RFC 9846 section 4.7.1)."""

    session: Session


@dataclass(slots=True)
class ClientAuthenticated:
    """The client has answered a server that asked it after the handshake (RFC 9846 section 4.7.2).

    `certificates` is its chain, or `public_key` its raw key; with neither, it has declined.
    """

    certificates: tuple[bytes, ...]  # DER, leaf first
    public_key: bytes | None  # SubjectPublicKeyInfo, DER


@dataclass(slots=True)
class DataReceived:
    """Application data, in order."""

    data: bytes


@dataclass(slots=True)
class CloseNotifyReceived:
    """The peer will send nothing more; our own direction is still open (RFC 9846 section 6.1)."""


@dataclass(slots=True)
class ConnectionTerminated:
    """The connection failed; nothing comes after this."""

    error: Error


Event = (
    HandshakeCompleted
    | SessionReceived
    | ClientAuthenticated
    | DataReceived
    | CloseNotifyReceived
    | ConnectionTerminated
)
