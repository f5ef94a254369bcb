"""What the messages after a handshake lead to: key updates, tickets, requests for a certificate and their answers.

RFC 9846 section 4.7. In TLS 1.2 there is only renegotiation, which is refused. Messages come from the connection's
inbox, where the records put them. What takes several steps is an exchange with its own driver; exchanges queue.
"""

from __future__ import annotations

from abc import abstractmethod

from caesura.crypto.secrets import TrafficSecret
from caesura.errors import AlertDescription, NoRenegotiation, UnexpectedMessage, UsageError
from caesura.handshake.later_auth import LaterAuthentication
from caesura.tls.reader import RecordReader
from caesura.tls.writer import RecordWriter
from caesura.wire.messages import CertificateRequest, KeyUpdate, NewSessionTicket
from caesura.wire.messages12 import HelloRequest
from caesura.wire.registries import HandshakeType, KeyUpdateRequest


class PostHandshake(LaterAuthentication):
    """A connection, as far as it deals with messages after its handshake."""

    __slots__ = ("_idle_records", "_key_update_requested", "_key_updates", "_tls12")

    _reader: RecordReader
    _writer: RecordWriter
    _idle_records: int  # in a row
    _key_updates: int  # likewise
    _key_update_requested: bool
    _tls12: bool  # agreed on, or all that may be

    # --- the application ------------------------------------------------------------------------------------------

    def key_update(self, *, request_peer: bool = False) -> None:
        """Change our sending keys, and ask the peer to change its own (RFC 9846 section 4.7.3)."""
        if not self.handshake_complete:
            raise self._cannot_write()
        self._require_open()
        if self._tls12:
            raise UsageError("key_update: TLS 1.2 has none")
        # A second request may not be sent before the peer has answered the first with a KeyUpdate of its own.
        self._writer.update_key(request_peer=request_peer and not self._key_update_requested)
        self._key_update_requested = self._key_update_requested or request_peer
        self._settle()

    # --- exchanges --------------------------------------------------------------------------------------------------

    @abstractmethod
    def _settle(self) -> None:
        """Open the short ways for data, or close them, as things stand now."""

    # --- later authentication (see there) -------------------------------------------------------------------------

    def _read_secret(self) -> TrafficSecret:
        return self._reader.secret

    def _write_secret(self) -> TrafficSecret:
        return self._writer.secret

    @property
    def _may_finish(self) -> bool:
        return not self._writer.paused

    def _begin_exchange(self) -> None:
        super()._begin_exchange()
        self._writer.end_flight()

    # --- messages ---------------------------------------------------------------------------------------------------

    def _post_handshake(self, now: float) -> None:
        while (kind := self._inbox.next_type()) is not None:
            if self._tls12:
                self._renegotiation(kind)
                continue
            if self.server_side and self._post and self._post[0].inbox.limit:
                exchange = self._post[0]
                if exchange.parked:
                    return
                if kind != HandshakeType.key_update or exchange.inbox.taken:
                    self._inbox.pass_on(exchange.inbox)
                    self._run_post(now)
                    continue
            if kind == HandshakeType.key_update:
                self._key_update_received()
            elif kind == HandshakeType.new_session_ticket and not self.server_side:
                message = self._inbox.take((NewSessionTicket,))
                assert isinstance(message, NewSessionTicket)
                self._ticket_received(message)
            elif kind == HandshakeType.certificate_request and self._may_be_asked():
                request = self._inbox.take((CertificateRequest,))
                assert isinstance(request, CertificateRequest)
                self._request_received(request)
            else:
                self._inbox.take((KeyUpdate,) if self.server_side else (KeyUpdate, NewSessionTicket))

    def _renegotiation(self, kind: int) -> None:
        """It is always refused: a server's wish with a warning, a client's try with the end (RFC 9325 section 3.5)."""
        if self.server_side and kind == HandshakeType.client_hello:
            raise NoRenegotiation(section="RFC 5246 section 7.2.2")
        if self.server_side:
            raise UnexpectedMessage(f"message type {kind} after the handshake")
        self._inbox.take((HelloRequest,))
        self._trace("received", HandshakeType.hello_request)
        self._since_data()
        self._key_updates += 1
        if self._key_updates > self._settings.limits.key_updates:
            raise UnexpectedMessage(f"more than {self._settings.limits.key_updates} HelloRequests without data")
        if not self.close_notify_sent:
            self._writer.alert(AlertDescription.no_renegotiation)
            self._trace("alert sent", AlertDescription.no_renegotiation)

    def _key_update_received(self) -> None:
        message = self._inbox.take((KeyUpdate,))
        assert isinstance(message, KeyUpdate)
        self._trace("received", message.msg_type, len(message.raw))
        if not self._inbox.empty:
            raise UnexpectedMessage("a message behind a KeyUpdate in its record", section="RFC 9846 section 5.1")
        self._since_data()
        self._key_updates += 1
        if self._key_updates > self._settings.limits.key_updates:
            raise UnexpectedMessage(f"more than {self._settings.limits.key_updates} KeyUpdates without data")
        self._reader.update_key()
        self._key_update_requested = False
        if message.request_update == KeyUpdateRequest.update_requested and not self.close_notify_sent:
            # Answered before our next application data: many requests to a silent side get one answer.
            self._writer.key_update_owed = True

    def _since_data(self) -> None:
        """What is counted in a row is counted from the last data, which may have come by the short way."""
        if self._reader.carried_data():
            self._idle_records = self._key_updates = 0
