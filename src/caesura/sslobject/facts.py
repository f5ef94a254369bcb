"""What an SSL can say of its connection, the same on every transport, and what may be said before there is one."""

from __future__ import annotations

from caesura.context import Context
from caesura.errors import UsageError
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.handshake.endpoint import Endpoint
from caesura.sessions import Session
from caesura.sslobject.ends import OverBIOs
from caesura.wire.registries import CipherSuite, NamedGroup, Version


class Facts(OverBIOs):
    """The facts of a connection, read from it as it is now."""

    __slots__ = ("_connection", "_server_hostname", "_session")

    _connection: Endpoint | None
    _server_hostname: str | None
    _session: Session | None

    @property
    def handshake_complete(self) -> bool:
        """Whether the handshake is done (SSL_is_init_finished(3))."""
        return self._connection is not None and self._connection.handshake_complete

    @property
    def close_notify_sent(self) -> bool:
        """Whether `shutdown` was called, even if the bytes are still here (SSL_get_shutdown(3))."""
        return self._connection is not None and self._connection.close_notify_sent

    @property
    def close_notify_received(self) -> bool:
        """Whether the peer has closed its direction (SSL_get_shutdown(3))."""
        return self._connection is not None and self._connection.close_notify_received

    @property
    def version(self) -> Version | None:
        """The protocol version; None before it is known."""
        return self._connection.version if self._connection is not None else None

    @property
    def cipher_suite(self) -> CipherSuite | None:
        """The cipher suite; None before it is known."""
        return self._connection.cipher_suite if self._connection is not None else None

    @property
    def group(self) -> NamedGroup | None:
        """The group of the key exchange; None before it is known."""
        return self._connection.group if self._connection is not None else None

    @property
    def alpn(self) -> str | None:
        """The application protocol agreed on; None when there is none."""
        return self._connection.alpn if self._connection is not None else None

    @property
    def server_hostname(self) -> str | None:
        """The name the client asks for: on a client the one it was given, on a server the one it was sent."""
        return self._connection.server_hostname if self._connection is not None else self._server_hostname

    @server_hostname.setter
    def server_hostname(self, name: str | None) -> None:
        self._before_the_handshake("server_hostname")
        self._server_hostname = name

    @property
    def peer_certificates(self) -> tuple[bytes, ...]:
        """The peer's chain as it was sent, DER, leaf first; empty when it proved nothing."""
        return self._connection.peer_certificates if self._connection is not None else ()

    @property
    def peer_public_key(self) -> bytes | None:
        """The peer's raw public key (SubjectPublicKeyInfo, DER), if it showed that and no certificate (RFC 7250)."""
        return self._connection.peer_public_key if self._connection is not None else None

    @property
    def psk_identity(self) -> bytes | None:
        """The identity of the external pre-shared key that both sides hold, if one was used."""
        return self._connection.psk_identity if self._connection is not None else None

    @property
    def session(self) -> Session | None:
        """The session this connection can be resumed with: the latest that came, else the one that was set."""
        latest = self._connection.session if self._connection is not None else None
        return latest or self._session

    def set_session(self, session: Session | None) -> None:
        """Offer `session` for resumption (SSL_set_session(3)); `UsageError` once the handshake has started."""
        self._before_the_handshake("a session")
        self._session = session

    @property
    def session_reused(self) -> bool:
        """Whether this handshake resumed a session."""
        return self._connection is not None and self._connection.session_reused

    @property
    def selected_context(self) -> Context | None:
        """The context that `select_identity` has brought for this connection; None if it has brought none."""
        return self._connection.selected_context if self._connection is not None else None

    @property
    def early_data_status(self) -> EarlyDataStatus:
        """What became of early data (SSL_get_early_data_status(3))."""
        return self._connection.early_data_status if self._connection is not None else EarlyDataStatus.NOT_SENT

    @property
    def early_data_reason(self) -> EarlyDataReason:
        """Why that is so."""
        return self._connection.early_data_reason if self._connection is not None else EarlyDataReason.UNKNOWN

    def export_keying_material(self, label: str | bytes, context: bytes | None, length: int) -> bytes:
        """`length` bytes that both ends derive from this connection (RFC 9846 section 7.5).

        Raises `UsageError` before the handshake is done.
        """
        if self._connection is None:
            raise UsageError("keying material can be exported once the handshake is done")
        return self._connection.export_keying_material(label, context, length)

    def _before_the_handshake(self, what: str) -> None:
        if self._connection is not None:
            raise UsageError(f"{what} can be set until the handshake starts")
