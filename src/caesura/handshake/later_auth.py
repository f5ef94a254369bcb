"""Post-handshake authentication as a connection sees it: who may ask, whom an answer is for, what comes of it.

RFC 9846 section 4.7.2. The exchanges themselves are `post_auth`; which message goes to one of them, and what carries
it, is for the protocols to say.
"""

from __future__ import annotations

from abc import abstractmethod

from caesura.crypto.identity import Identity
from caesura.crypto.secrets import TrafficSecret
from caesura.errors import UnexpectedMessage, UsageError
from caesura.events import ClientAuthenticated
from caesura.handshake import post_auth
from caesura.handshake.driver import Driver
from caesura.handshake.inbox import Inbox
from caesura.handshake.record_endpoint import RecordEndpoint
from caesura.handshake.state import PeerIdentity
from caesura.handshake.transport import Epoch
from caesura.wire.messages import CertificateRequest


class LaterAuthentication(RecordEndpoint):
    """A connection whose server may ask for a certificate when the handshake is done."""

    __slots__ = ("_answers",)

    _answers: int  # of ours that a server waits for

    # --- the application ------------------------------------------------------------------------------------------

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
        steps = post_auth.ask_client(hs, done, self._read_secret, self._client_authenticated)
        self._follow(steps, inbox)
        if len(self._post) == 1:
            self._enter()
            try:
                self._begin_exchange()
            finally:
                self._leave()

    @property
    def authentication_pending(self) -> bool:
        """Whether an answer to `verify_client_post_handshake` is still to come."""
        return self._asked() is not None

    # --- exchanges --------------------------------------------------------------------------------------------------

    @abstractmethod
    def _read_secret(self) -> TrafficSecret:
        """The peer's traffic secret that is in use."""

    @abstractmethod
    def _write_secret(self) -> TrafficSecret:
        """Ours."""

    @property
    @abstractmethod
    def _may_finish(self) -> bool:
        """Whether a Finished that is made now goes out under the key that is in use."""

    def _begin_exchange(self) -> None:
        """Ask: it only sends, and time is of no interest yet."""
        self._post[0].advance(0.0)

    def _run_post(self, now: float) -> None:
        while self._post:
            if self._answers and not self._may_finish:
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

    def _may_be_asked(self) -> bool:
        return not self.server_side and self._established is not None and self._established.transcript is not None

    def _request_received(self, request: CertificateRequest) -> None:
        """The server wants to see a certificate: an answer follows, unless we have said that nothing will."""
        done = self._established
        assert done is not None
        self._trace("received", request.msg_type, len(request.raw))
        post_auth.check_request(request)
        self._answers += 1
        if self._answers > self._settings.limits.authentications:
            raise UnexpectedMessage(f"more than {self._settings.limits.authentications} unanswered CertificateRequests")
        if self.close_notify_sent:
            return
        hs = post_auth.exchange(done, self, self._profile, self._performer.trace, server_side=False)
        steps = post_auth.answer_server(hs, done, request, self._write_secret, self._answered)
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
