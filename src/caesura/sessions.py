"""What is kept so that a later handshake may resume (RFC 9846 sections 2.2 and 4.7.1), and where it is kept.

A session resumes only under the conditions it was made with. They are folded into `binding`, a digest over transport,
server name, identity, trust and verify policy; a handshake whose own digest differs does not offer the session, and
performs a full handshake instead. What a server keeps is inside the ticket: see `handshake.tickets`. Only for those
clients of TLS 1.2 that know no tickets it has a store, where sealed tickets lie under session ids (RFC 5246 section
7.4.1.2).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from caesura.crypto.groups import group_of
from caesura.crypto.secrets import Secret
from caesura.engines import Answer
from caesura.errors import DecodeError, UsageError
from caesura.jobs.wakeup import Lock
from caesura.wire.codec import U8, U16, U32, U64, Codec, Opaque, Struct, Vector
from caesura.wire.registries import NamedGroup


class SecretOpaque(Codec[Secret]):
    """`opaque` bytes that are secret, so that they are never bare in a record's field."""

    __slots__ = ("_bytes",)

    def __init__(self, minimum: int, maximum: int) -> None:
        self._bytes = Opaque(minimum, maximum)

    def read(self, data: bytes, pos: int) -> tuple[Secret, int]:
        """Read the secret."""
        value, stop = self._bytes.read(data, pos)
        return Secret(value), stop

    def encode(self, value: Secret) -> bytes:
        """Write the secret."""
        return self._bytes.encode(value.reveal())


@dataclass(slots=True)
class _Stored:
    """The bytes form of a session, format 8."""

    format: int
    version: int
    cipher_suite: int
    psk: Secret
    ticket: bytes
    ticket_age_add: int
    ticket_lifetime: int
    received: int
    valid_until: int
    binding: bytes
    server_hostname: bytes
    alpn: bytes
    peer_certificates: tuple[bytes, ...]
    peer_public_key: bytes
    session_id: bytes
    psk_identity: bytes
    max_early_data: int
    ocsp_response: bytes
    signature_scheme: int
    group: int
    transport_state: bytes
    timestamps: tuple[bytes, ...]


_FORMAT = 8
_STORED = Struct(
    _Stored,
    format=U8,
    version=U16,
    cipher_suite=U16,
    psk=SecretOpaque(1, 255),
    ticket=Opaque(0, 2**16 - 1),
    ticket_age_add=U32,
    ticket_lifetime=U32,  # seconds
    received=U64,  # milliseconds since 1970
    valid_until=U64,  # seconds since 1970
    binding=Opaque(32, 32),
    server_hostname=Opaque(0, 255),
    alpn=Opaque(0, 255),
    peer_certificates=Vector(Opaque(1, 2**24 - 1), 0, 2**24 - 1),
    peer_public_key=Opaque(0, 2**16 - 1),
    session_id=Opaque(0, 32),
    psk_identity=Opaque(0, 2**16 - 1),
    max_early_data=U32,
    ocsp_response=Opaque(0, 2**24 - 1),
    signature_scheme=U16,  # 0 where there is none
    group=U16,  # likewise
    transport_state=Opaque(0, 2**16 - 1),
    timestamps=Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1),
)


@dataclass(slots=True, eq=False)
class Session:
    """A ticket and what belongs to it. It is used once: offering it makes it not `resumable`.

    In TLS 1.2 it may be a session id instead of a ticket, `psk` is the main secret, which is always an extended one
    (RFC 7627), and a server that resumes gives no other ticket: what may be offered next is a new `Session` with the
    same content.

    `to_bytes` holds the pre-shared key in the clear: store it as you would store a password.
    """

    version: int
    cipher_suite: int
    psk: Secret = field(repr=False)
    ticket: bytes = field(repr=False)
    ticket_age_add: int = field(repr=False)
    ticket_lifetime: int  # seconds
    received: float  # seconds since 1970
    valid_until: int  # seconds since 1970: the earliest notAfter of the chain it stands for
    binding: bytes = field(repr=False)
    server_hostname: str | None
    alpn: str | None
    peer_certificates: tuple[bytes, ...] = field(repr=False)
    peer_public_key: bytes | None = field(default=None, repr=False)  # of a raw public key (RFC 7250)
    session_id: bytes = field(default=b"", repr=False)  # TLS 1.2, where there is no ticket
    psk_identity: bytes | None = field(default=None, repr=False)  # of the external key that it began with
    max_early_data: int = 0  # bytes that a server may take before the next handshake is complete
    ocsp_response: bytes | None = field(default=None, repr=False)  # as it came with the certificates
    signature_scheme: int | None = None  # that the peer signed with
    transport_state: bytes = field(default=b"", repr=False)  # what early data relies on, in QUIC
    timestamps: tuple[bytes, ...] = field(default=(), repr=False)  # as they came with the certificates (RFC 6962)
    group: NamedGroup | None = None  # TLS 1.2: of the key exchange that `psk` comes from
    resumable: bool = True

    def usable(self, wall: float) -> bool:
        """Whether it may still be offered at `wall` (seconds since 1970)."""
        return self.resumable and self.received <= wall < min(self.received + self.ticket_lifetime, self.valid_until)

    def to_bytes(self) -> bytes:
        """The session as bytes, secret included, for `from_bytes` in this or another process."""
        return _STORED.encode(
            _Stored(
                _FORMAT,
                self.version,
                self.cipher_suite,
                self.psk,
                self.ticket,
                self.ticket_age_add,
                self.ticket_lifetime,
                int(self.received * 1000),
                self.valid_until,
                self.binding,
                (self.server_hostname or "").encode(),
                (self.alpn or "").encode("latin-1"),
                self.peer_certificates,
                self.peer_public_key or b"",
                self.session_id,
                self.psk_identity or b"",
                self.max_early_data,
                self.ocsp_response or b"",
                self.signature_scheme or 0,
                self.group or 0,
                self.transport_state,
                self.timestamps,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Session:
        """The session that `to_bytes` wrote; raises `DecodeError` for anything else."""
        stored = _STORED.decode(data)
        if stored.format != _FORMAT:
            raise UsageError(f"a session of format {stored.format}; this release reads format {_FORMAT}")
        try:
            server_hostname = stored.server_hostname.decode()
        except UnicodeDecodeError:
            raise DecodeError("a stored session's server_hostname is no text") from None
        return cls(
            stored.version,
            stored.cipher_suite,
            stored.psk,
            stored.ticket,
            stored.ticket_age_add,
            stored.ticket_lifetime,
            stored.received / 1000,
            stored.valid_until,
            stored.binding,
            server_hostname or None,
            stored.alpn.decode("latin-1") or None,
            stored.peer_certificates,
            stored.peer_public_key or None,
            stored.session_id,
            stored.psk_identity or None,
            stored.max_early_data,
            stored.ocsp_response or None,
            stored.signature_scheme or None,
            stored.transport_state,
            stored.timestamps,
            group_of(stored.group),
        )


class SessionStore(Protocol):
    """Where a client's sessions live; both methods may pause, be `async def`, or answer at once."""

    def put(self, session: Session) -> Answer[None]:
        """Keep a session, under its `binding`."""

    def take(self, binding: bytes) -> Answer[Session | None]:
        """Give a session made under these conditions and forget it: a ticket is used once."""


class SessionCache:
    """Sessions in memory, for any thread: the newest `per_binding` of each of the latest `bindings` conditions."""

    def __init__(self, bindings: int = 256, per_binding: int = 4) -> None:
        self._bindings = bindings
        self._per_binding = per_binding
        self._lock = Lock()
        self._sessions: OrderedDict[bytes, list[Session]] = OrderedDict()

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._sessions.values()))

    def put(self, session: Session) -> None:
        """Keep a session; the oldest of its conditions, or the conditions longest unused, give way."""
        with self._lock:
            kept = self._sessions.setdefault(session.binding, [])
            kept.append(session)
            del kept[: -self._per_binding]
            self._sessions.move_to_end(session.binding)
            while len(self._sessions) > self._bindings:
                self._sessions.popitem(last=False)

    def take(self, binding: bytes) -> Session | None:
        """The newest session made under these conditions, removed; None when there is none."""
        with self._lock:
            kept = self._sessions.get(binding)
            if not kept:
                return None
            session = kept.pop()
            if not kept:
                del self._sessions[binding]
            return session


class ServerSessionStore(Protocol):
    """Where a server's sessions of TLS 1.2 live that have no ticket; both methods may pause, be `async def`, or answer
    at once. It may be shared by servers that share their ticket keys: what it holds is sealed with them.
    """

    def put(self, session_id: bytes, sealed: bytes) -> Answer[None]:
        """Keep a sealed session under its id."""

    def get(self, session_id: bytes) -> Answer[bytes | None]:
        """The sealed session of this id, which stays; None when there is none. The id is the client's word."""


class ServerSessionCache:
    """Sealed sessions in memory, for any thread: the latest `size` of them."""

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._lock = Lock()
        self._sealed: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sealed)

    def put(self, session_id: bytes, sealed: bytes) -> None:
        """Keep a sealed session; the oldest gives way."""
        with self._lock:
            self._sealed[session_id] = sealed
            while len(self._sealed) > self._size:
                self._sealed.popitem(last=False)

    def get(self, session_id: bytes) -> bytes | None:
        """The sealed session of this id, if it is still there."""
        return self._sealed.get(session_id)
