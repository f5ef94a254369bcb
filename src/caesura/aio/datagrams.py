"""DTLS in asyncio: `connect_datagram` for clients, `serve_datagram` for servers with many peers on one socket.

What an association is, and how it ends, is in `datagram_link`; the socket in `udp`. Here is what lies between: the
datagrams of a server are told apart by the `DTLSListener`, which keeps nothing of whoever has not proved its address.
A socket that is full loses what handshakes and acknowledgements want to send, as a network may; `send` waits instead.
"""

from __future__ import annotations

import socket
from typing import TypeAlias

from caesura.aio.carrier import ClientCarrier, connect
from caesura.aio.datagram_link import DatagramLink
from caesura.aio.endpoint import Terms, name_to_prove
from caesura.aio.link_server import Handler as HandlerOf
from caesura.aio.link_server import LinkServer, ServerCarrier, serve
from caesura.aio.udp import Received
from caesura.context import Context, Method
from caesura.dtls.connection import DTLSConnection
from caesura.dtls.listener import DTLSListener
from caesura.sessions import Session
from caesura.wire.data import Data

SHUTDOWN_TIMEOUT = 1.0  # seconds: close_notify is not sent again, so it helps little to wait for an answer for long
IDLE_TIMEOUT = 3600.0  # seconds without a word from a server's peer, where `dtls.idle_timeout` says nothing

Handler: TypeAlias = HandlerOf[DatagramLink]


# --- clients ------------------------------------------------------------------------------------------------------


class ClientSocket(ClientCarrier[DatagramLink]):
    """One socket that is connected to one peer."""

    def __init__(self, endpoint: Terms, sock: socket.socket, early_data: Data | None) -> None:
        super().__init__(endpoint, sock, offload=False)
        connection = DTLSConnection(
            endpoint.context,
            server_side=False,
            server_hostname=endpoint.server_hostname,
            session=endpoint.session,
            awaiter=endpoint.awaiter,
            async_mode=True,
            early_data=early_data,
        )
        self.link = DatagramLink(self, connection)

    def datagrams_received(self, batches: list[Received]) -> None:
        """Datagrams of the peer's."""
        self._heard = True
        now = self.endpoint.loop.time()
        for datagrams, _, ecn in batches:
            for datagram in datagrams:
                self.link.ssl.receive_datagram(datagram, None, now, ecn)
        self.link.guard(self.link.settle, now)


async def connect_datagram(
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    server_hostname: str | None = None,
    session: Session | None = None,
    early_data: Data | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    family: int = 0,
    local_addr: tuple[str, int] | None = None,
    sock: socket.socket | None = None,
) -> DatagramLink:
    """Perform a DTLS handshake as a client; the association.

    `context` is one of `Method.DTLS`. `server_hostname` is the name the server has to prove, by default `host`.
    `session` is one that an earlier association was given. `early_data` is one datagram that goes out with the first
    flight, if the session permits it: something that does no harm if it is lost, or read twice.
    `get_extra_info("early_data")` says what became of it; what is rejected is not sent again. The timeouts are in
    seconds, by default 60 and 1; that of the handshake counts pauses. `sock`: a connected socket, in the place of a
    host. Of several addresses of the host, the next is tried when one refuses.

    Raises OSError when nobody is there, `caesura.Error` when the handshake fails, ConnectionAbortedError when it takes
    too long. Cancelling drops the association, and work of its handshake that is paused.
    """
    endpoint = Terms(
        context,
        method=Method.DTLS,
        server_side=False,
        server_hostname=name_to_prove(server_hostname, host),
        session=session,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    return await connect(
        endpoint,
        lambda sock: ClientSocket(endpoint, sock, early_data),
        host,
        port,
        family=family,
        local_addr=local_addr,
        sock=sock,
    )


# --- servers ------------------------------------------------------------------------------------------------------


class ServerSocket(ServerCarrier[DatagramLink, DTLSConnection]):
    """One socket, and everybody who has proved to be at an address."""

    listener: DTLSListener

    def __init__(self, endpoint: Terms, handler: Handler, sock: socket.socket, *, idle_timeout: float) -> None:
        super().__init__(endpoint, handler, sock, offload=False)
        self.listener = DTLSListener(
            endpoint.context,
            awaiter=endpoint.awaiter,
            async_mode=True,
            on_connection=self._begun,
            idle_timeout=idle_timeout,
            early_data=True,
        )

    def datagrams_received(self, batches: list[Received]) -> None:
        """Datagrams of anybody's."""
        listener, now = self.listener, self.endpoint.loop.time()
        touched: dict[DTLSConnection, None] = {}
        for datagrams, addr, ecn in batches:
            for datagram in datagrams:
                try:
                    connection = listener.receive_datagram(datagram, addr, now, ecn)
                except Exception as error:  # noqa: BLE001 - what one datagram does is no affair of the others
                    self.report(error)
                    continue
                if connection is not None:
                    touched[connection] = None
        self.settle(touched, now)

    def _begun(self, connection: DTLSConnection, replaced: DTLSConnection | None) -> None:
        """A client has proved its address, perhaps one that had an association there, which has failed by that."""
        old = None if replaced is None else self.links.get(replaced)
        if old is not None:
            old.guard(old.settle, self.endpoint.loop.time())
        self.links[connection] = DatagramLink(self, connection)

    def begin(self, connection: DTLSConnection) -> None:
        """It has its link: work of its handshake may be paused already."""


class DatagramServer(LinkServer[DatagramLink]):
    """What `serve_datagram` gives: like an `asyncio.Server`, with one socket for all its associations.

    Closing it drops handshakes that are not complete, with their paused work, and closes the associations, since the
    socket is theirs too.
    """

    _carrier: ServerSocket

    def follow(self, link: DatagramLink) -> None:
        """Send to where the link's peer was last heard from: its address has changed, and its connection id found us.

        Anybody in between can make a datagram come from elsewhere, so it is for you to know that the peer hears what
        is sent there (`DTLSConnection.follow`).
        """
        self._carrier.listener.follow(link.ssl)


async def serve_datagram(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    context: Context,
    idle_timeout: float = IDLE_TIMEOUT,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    family: int = 0,
    reuse_port: bool = False,
    sock: socket.socket | None = None,
) -> DatagramServer:
    """Bind a UDP socket, and run `handler(link)` as a task for every association whose handshake is complete.

    When the handler returns the association is closed. A handler that ends with the association's error or the peer's
    close is no failure; what else it raises goes to the loop's exception handler.

    `context` is one of `Method.DTLS`; its settings are read for each association. Clients prove their address by a
    cookie before anything is kept of them, unless `dtls.cookies` is false. Bounds: `limits.associations`, `half_open`,
    `hello_bytes`, `received_datagrams` for each peer; what is beyond them is dropped. A peer that is silent for
    `dtls.idle_timeout` seconds is given up, or for `idle_timeout` where the context says nothing. The other timeouts
    are those of `connect_datagram`. `sock`: a bound socket, in the place of host and port. Early data, where
    `max_early_data` allows it and no cookie is asked for, is data like any other when the handler begins.

    An empty host means all addresses of the machine; where it has several, answers may come from another one than was
    asked. A handshake that fails is logged by the logger `caesura`, as with `start_server`. Raises ConfigError when the
    context lacks what a server needs.
    """
    endpoint = Terms(
        context,
        method=Method.DTLS,
        server_side=True,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
        default_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    if idle_timeout <= 0:
        raise ValueError(f"idle_timeout: must be more than 0 seconds, not {idle_timeout}")
    carrier = await serve(
        endpoint,
        lambda sock: ServerSocket(endpoint, handler, sock, idle_timeout=idle_timeout),
        host,
        port,
        family=family,
        reuse_port=reuse_port,
        sock=sock,
    )
    return DatagramServer(carrier)
