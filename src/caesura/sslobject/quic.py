"""The SSL of QUIC: a connection with streams, over datagram BIOs (openssl-quic(7)).

It is one object of a `Domain`, which it makes itself, or which a listener has. `read` and `write` are those of its
default stream; `new_stream` and `accept_stream` give others, as objects of their own. Closing has phases, see
`shutdown`.

Paused work of the handshake shows as on TLS: `WantAsync`, descriptors, callback and status. What OpenSSL cannot do
here: meanwhile every call, and `handle_events` above all, goes on reading, acknowledging and sending.
"""

from __future__ import annotations

from caesura.quic.path import Address
from caesura.sslobject.ends import Want
from caesura.sslobject.quic_streams import DefaultStreamMode, IncomingStreamPolicy, StreamCalls
from caesura.wire.data import Data

__all__ = ["QUICSSL", "DefaultStreamMode", "IncomingStreamPolicy"]


class QUICSSL(StreamCalls):
    """A QUIC connection. As a server it has one peer, unless a `Listener` has made it.

    `initial_peer_address` is where a client finds its server, for a BIO that does not know
    (SSL_set1_initial_peer_addr(3)).
    """

    __slots__ = ()

    def key_update(self, request_peer: bool = False) -> None:  # noqa: ARG002 - in QUIC the peer always follows
        """Change the keys, as soon as that may be; the peer changes its own too (RFC 9001 section 6)."""
        self._begin()
        try:
            self.connection.key_update()
            self._stirred(self)
        finally:
            self._leave()

    @property
    def peer_address(self) -> Address:
        """Where the peer is, in the form the BIO gives; None where that knows no addresses."""
        return self._connection.addr if self._connection is not None else self.initial_peer_address

    def send_datagram(self, data: Data) -> bool:
        """Send a datagram, which may get lost (RFC 9221); False when as many wait as may wait.

        Performs the handshake. Raises `UsageError` when it is too long, or the peer takes none.
        """
        domain = self._begin()
        try:
            self._handshake(domain, self)
            if self.over:
                raise self.why_over()
            taken = self.connection.send_datagram(data)
            self._stirred(self)
            return taken
        finally:
            self._leave()

    def read_datagram(self) -> bytes:
        """The oldest datagram that has come. Beyond `quic.datagram_queue` the oldest are dropped."""
        domain = self._begin()
        try:
            self._handshake(domain, self)
            return self._until(domain, self._next_datagram, Want.READING)
        finally:
            self._leave()

    def _next_datagram(self) -> bytes | None:
        data = self.connection.read_datagram()
        if data is None and self.over:
            raise self.why_over()
        return data

    @property
    def new_token(self) -> bytes | None:
        """What the server has given a client for its next connection: see `token` (RFC 9000 section 8.1.3)."""
        return self._connection.new_token if self._connection is not None else None
