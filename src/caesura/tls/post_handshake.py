"""What the messages after a handshake lead to: key updates, tickets, requests for a certificate and their answers.

RFC 9846 section 4.7. In TLS 1.2 there is only renegotiation, which is refused. Messages come from the connection's
inbox, where the records put them. What takes several steps is an exchange with its own driver; exchanges queue.
"""

from __future__ import annotations

from abc import abstractmethod

from caesura.crypto.identity import Identity
from caesura.errors import AlertDescription, NoRenegotiation, UnexpectedMessage, UsageError
from caesura.events import ClientAuthenticated
from caesura.handshake import post_auth
from caesura.handshake.driver import Driver
from caesura.handshake.endpoint import Endpoint
from caesura.handshake.inbox import Inbox
from caesura.handshake.state import PeerIdentity
from caesura.handshake.transport import Epoch
from caesura.tls.reader import RecordReader
from caesura.tls.writer import RecordWriter
from caesura.wire.messages import CertificateRequest, KeyUpdate, NewSessionTicket
from caesura.wire.messages12 import HelloRequest
from caesura.wire.registries import HandshakeType, KeyUpdateRequest


class PostHandshake(Endpoint):
    """A connection, as far as it deals with messages after its handshake."""

    __slots__ = ("_answers", "_idle_records", "_key_update_requested", "_key_updates", "_tls12")

    _reader: RecordReader
    _writer: RecordWriter
    _answers: int  # of ours that a server waits for
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

    def verify_client_post_handshake(self) -> None:
        """Ask the client for its certificate, on a connection that is open (RFC 9846 section 4.7.2).

        Its answer may take a while and comes as the event ClientAuthenticated; from then on `peer_certificates` is what
        it showed. A certificate that is not good ends the connection, and so does none at all if `verify` is REQUIRED.
        Several requests are sent one after the other, each when the one before is answered.

        Raises UsageError on a client, for a client that has not said it would answer (`post_handshake_auth`), or when
        `limits.authentications` wait already; ConfigError when there is nothing to judge a certificate by.
        """
        done = self._established
        if done is None or self.close_notify_sent or self.error is not None or self._closed:
            raise self._cannot_write()
        if not self.server_side:
            raise UsageError("verify_client_post_handshake: this is the client")
        if done.transcript is None:
            raise UsageError("verify_client_post_handshake: the client has not offered post_handshake_auth")
        if sum(driver.inbox.limit > 0 for driver in self._post) >= self._settings.limits.authentications:
            raise UsageError(f"{self._settings.limits.authentications} requests for a certificate wait already")
        hs = post_auth.exchange(done, self, self._profile, self._performer.trace, server_side=True)
        inbox = Inbox(self._settings.limits.handshake_message)
        inbox.epoch = Epoch.APPLICATION
        steps = post_auth.ask_client(hs, done, lambda: self._reader.secret, self._client_authenticated)
        self._follow(steps, inbox)
        if len(self._post) == 1:
            self._enter()
            try:
                self._post[0].advance(0.0)  # which only sends: time is of no interest yet
                self._writer.end_flight()
            finally:
                self._leave()

    @property
    def authentication_pending(self) -> bool:
        """Whether an answer to `verify_client_post_handshake` is still to come."""
        return self._asked() is not None

    # --- exchanges --------------------------------------------------------------------------------------------------

    @abstractmethod
    def _settle(self) -> None:
        """Open the short ways for data, or close them, as things stand now."""

    def _run_post(self, now: float) -> None:
        while self._post:
            if self._answers and self._writer.paused:  # a Finished is made with the key that is in use
                return
            self._post[0].advance(now)
            if not self._post[0].done:
                return
            self._post.pop(0)

    def _held(self) -> bool:
        """Whether the handshake, or an exchange that hears the peer, is busy with what has come."""
        if self._driver is not None:
            return self._driver.parked
        return bool(self._post) and self._post[0].inbox.limit > 0 and self._post[0].parked

    def _asked(self) -> Driver[None] | None:
        """The exchange that waits for the client's answer, or hears it."""
        return next((driver for driver in self._post if driver.inbox.limit > 0), None)

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
                self._request_received()
            else:
                self._inbox.take((KeyUpdate,) if self.server_side else (KeyUpdate, NewSessionTicket))

    def _may_be_asked(self) -> bool:
        return not self.server_side and self._established is not None and self._established.transcript is not None

    def _request_received(self) -> None:
        """The server wants to see a certificate: an answer follows, unless we have said that nothing will."""
        request = self._inbox.take((CertificateRequest,))
        done = self._established
        assert isinstance(request, CertificateRequest)
        assert done is not None
        self._trace("received", request.msg_type.name, len(request.raw))
        post_auth.check_request(request)
        self._answers += 1
        if self._answers > self._settings.limits.authentications:
            raise UnexpectedMessage(f"more than {self._settings.limits.authentications} unanswered CertificateRequests")
        if self.close_notify_sent:
            return
        hs = post_auth.exchange(done, self, self._profile, self._performer.trace, server_side=False)
        steps = post_auth.answer_server(hs, done, request, lambda: self._writer.secret, self._answered)
        self._follow(steps)

    def _answered(self, identity: Identity | None) -> None:
        assert self._established is not None
        self._answers -= 1
        if identity is not None:
            self._established.identity = identity

    def _client_authenticated(self, peer: PeerIdentity) -> None:
        assert self._established is not None
        if peer.certificates or peer.public_key:
            self._established.peer = peer
        self._events.append(ClientAuthenticated(peer.certificates, peer.public_key))

    def _renegotiation(self, kind: int) -> None:
        """It is always refused: a server's wish with a warning, a client's try with the end (RFC 9325 section 3.5)."""
        if self.server_side and kind == HandshakeType.client_hello:
            raise NoRenegotiation(section="RFC 5246 section 7.2.2")
        if self.server_side:
            raise UnexpectedMessage(f"message type {kind} after the handshake")
        self._inbox.take((HelloRequest,))
        self._trace("received", HandshakeType.hello_request.name)
        self._since_data()
        self._key_updates += 1
        if self._key_updates > self._settings.limits.key_updates:
            raise UnexpectedMessage(f"more than {self._settings.limits.key_updates} HelloRequests without data")
        if not self.close_notify_sent:
            self._writer.alert(AlertDescription.no_renegotiation)
            self._trace("alert sent", AlertDescription.no_renegotiation.name)

    def _key_update_received(self) -> None:
        message = self._inbox.take((KeyUpdate,))
        assert isinstance(message, KeyUpdate)
        self._trace("received", message.msg_type.name, len(message.raw))
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
