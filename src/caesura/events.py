"""What a connection tells the application, one object per happening, read with `next_event()`.

The same classes serve every transport. Data comes after the events that precede it and before the one that ends the
connection, which comes last and once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique

from caesura.errors import Error
from caesura.sessions import Session


class EarlyDataStatus(Enum):
    """What became of early data (SSL_get_early_data_status(3))."""

    NOT_SENT = auto()
    PENDING = auto()  # it was offered, and there is no answer; if there never is, the server may have acted on it
    REJECTED = auto()  # nobody has read it
    ACCEPTED = auto()


@unique
class EarlyDataReason(Enum):
    """Why early data has the status it has."""

    UNKNOWN = "unknown"  # the answer is still to come
    DISABLED = "disabled"  # on this side
    ACCEPT = "accept"
    PROTOCOL_VERSION = "protocol_version"  # it is one that has no early data
    PEER_DECLINED = "peer_declined"  # the session would have allowed it
    NO_SESSION_OFFERED = "no_session_offered"
    SESSION_NOT_RESUMED = "session_not_resumed"
    UNSUPPORTED_FOR_SESSION = "unsupported_for_session"  # its ticket is not for early data, or not for that here
    HELLO_RETRY_REQUEST = "hello_retry_request"  # the server needed another key share
    ALPN_MISMATCH = "alpn_mismatch"  # the application protocol is not that of the session
    CIPHER_SUITE_MISMATCH = "cipher_suite_mismatch"  # nor is the suite
    TRANSPORT_MISMATCH = "transport_mismatch"  # nor what the transport has agreed on
    TICKET_AGE_SKEW = "ticket_age_skew"  # the hello is not fresh, or the clocks do not agree
    REPLAY = "replay"  # early data came with this ticket before, or it is not certain that it did not
    LIMIT = "limit"  # there is more of it than the session allows


@dataclass(slots=True)
class EarlyDataReceived:
    """Data that a client sent before the handshake was complete (RFC 9846 section 2.3).

    It may be a copy, made by anybody, of what was sent before: act on it only where twice is no worse than once.
    """

    data: bytes


@dataclass(slots=True)
class EarlyDataRejected:
    """A client's early data did not get through, or was not even sent. Nothing sends it again but the application."""

    reason: EarlyDataReason


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
class StreamOpened:
    """The peer has opened a stream of QUIC (RFC 9000 section 2.1); it may have sent nothing on it yet."""

    stream_id: int


@dataclass(slots=True)
class StreamReadable:
    """There is something to be read from a stream: bytes, its end, or the news that the peer has reset it.

    Said once, and again when more comes after all was read.
    """

    stream_id: int


@dataclass(slots=True)
class StreamDelivered:
    """All that was written to a stream has arrived, its end included, or the peer knows that it was reset."""

    stream_id: int


@dataclass(slots=True)
class StopSendingReceived:
    """The peer wants no more of what we send on a stream, which has been reset by that (RFC 9000 section 3.5)."""

    stream_id: int
    error_code: int


@dataclass(slots=True)
class StreamsPermitted:
    """The peer permits more streams than it did (RFC 9000 section 4.6)."""

    unidirectional: bool


@dataclass(slots=True)
class DatagramReadable:
    """There are datagrams of the application's to be read (RFC 9221); said again when more come after all were."""


@dataclass(slots=True)
class ConnectionTerminated:
    """The connection failed; nothing comes after this."""

    error: Error


Event = (
    EarlyDataReceived
    | EarlyDataRejected
    | HandshakeCompleted
    | SessionReceived
    | ClientAuthenticated
    | DataReceived
    | CloseNotifyReceived
    | StreamOpened
    | StreamReadable
    | StreamDelivered
    | StopSendingReceived
    | StreamsPermitted
    | DatagramReadable
    | ConnectionTerminated
)
