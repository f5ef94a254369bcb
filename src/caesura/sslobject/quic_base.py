"""A QUIC connection as an object of its domain: how it is made, moved, and begun; what ends it."""

from __future__ import annotations

from typing import Any

from caesura import assist
from caesura.bio import BIO, DatagramBIO
from caesura.context import Context
from caesura.errors import Error, UsageError
from caesura.events import Event
from caesura.quic.closing import CloseInfo
from caesura.quic.connection import QUICConnection
from caesura.quic.path import Address
from caesura.quic.turn import Turn
from caesura.sessions import Session
from caesura.sslobject.base import NO_ROLE, NO_TYPE, SSL
from caesura.sslobject.domain import Domain, Waiter
from caesura.sslobject.ends import Want
from caesura.sslobject.quic_object import EventHandling, QUICObject
from caesura.sslobject.quic_stream import unfinished


class QUICBase(QUICObject, SSL):
    """What `QUICSSL` stands on."""

    __slots__ = (
        "_blocking",
        "_contradicted",
        "_domain",
        "_early",
        "event_handling",
        "initial_peer_address",
        "listener",
        "scheduled",
        "token",
    )

    _connection: QUICConnection | None

    def __init__(
        self,
        context: Context,
        rbio: BIO | None = None,
        wbio: BIO | None = None,
        *,
        server_side: bool | None = None,
        server_hostname: str | None = None,
        session: Session | None = None,
    ) -> None:
        self.initial_peer_address: Address = None
        self.event_handling = EventHandling.INHERIT
        self.token = b""  # of an earlier connection's `new_token`: the server need not ask where we are
        self.listener: Any = None  # that has made it
        self.scheduled: float | None = None  # the domain's
        self._blocking: bool | None = None  # None: as the BIOs are
        super().__init__(context, rbio, wbio, server_side=server_side, server_hostname=server_hostname, session=session)

    def _reset(self) -> None:
        super()._reset()
        self._domain: Domain | None = None
        self._contradicted = False  # the role is one, and the other was asked for
        self._early = False  # there is to be 0-RTT: the application asked for it before anything else

    # --- before the handshake -------------------------------------------------------------------------------------

    def _start_over(self, server_side: bool | None) -> None:
        """A role is for good; another one is refused when the handshake begins, as OpenSSL does."""
        if self._server_side is None:
            self._server_side = server_side
        self._contradicted = server_side is not self._server_side

    def set_bio(self, rbio: BIO | None, wbio: BIO | None = None) -> None:
        """Read datagrams from `rbio` and write them to `wbio`, or to `rbio` when it is None (SSL_set_bio(3)).

        `UsageError` once the connection has begun: its packets cannot go elsewhere.
        """
        if self._domain is not None:
            raise UsageError("set_bio: the connection has begun")
        super().set_bio(rbio, wbio)

    def _begin(self, no_role: str = NO_ROLE) -> Domain:
        """Enter a call; the connection is made here, when role, BIOs and all it cannot do without are known."""
        self._missing(no_role)
        if self._contradicted:
            raise UsageError(f"invalid argument: this is a {'server' if self._server_side else 'client'}")
        self._enter()
        try:
            self.want = Want.NOTHING
            domain = self._domain or self._connect()
            self._unwind(domain)
        except BaseException:
            self._leave()
            raise
        return domain

    def _connect(self) -> Domain:
        address = self.initial_peer_address
        if address is None and (
            self.listener is not None or (isinstance(self._wbio, DatagramBIO) and not _knows_peer(self._wbio))
        ):
            raise UsageError("no peer address: connect the socket, give the BIO one, or set initial_peer_address")
        assert self._rbio is not None
        assert self._wbio is not None
        shared = None if self.listener is None else self.listener.begin()
        turn = Turn() if shared is None else shared.turn
        connection = QUICConnection(
            self.context,
            server_side=bool(self._server_side),
            server_hostname=self._server_hostname,
            session=self._session,
            addr=address,
            token=self.token,
            async_mode=True,
            early_data=self._early,
            roams=address is not None,
            turn=turn,
            on_connection_ids=None if shared is None else lambda ids: shared.route(self, ids),
        )
        domain = shared or Domain(self.context.settings, self._rbio, self._wbio, turn, addressed=address is not None)
        domain.lock.acquire()  # this call is in it
        self.adopt(connection, domain)
        if shared is None:
            domain.add(self)
        else:
            domain.add_caller(self)
        if self.context.settings.quic.thread_assisted:
            assist.follow(domain)
        if not self._server_side:
            connection.advance(domain.now())
        return domain

    def adopt(self, connection: QUICConnection, domain: Domain) -> None:
        """Be the object of this connection."""
        connection.keep_alive = self.context.settings.quic.keep_alive is not False
        self._domain = domain
        self._adopt_work(connection)

    # --- for the domain (Member) ----------------------------------------------------------------------------------

    @property
    def connection(self) -> QUICConnection:
        """The connection, which has begun."""
        assert self._connection is not None
        return self._connection

    @property
    def quic(self) -> QUICConnection:
        """The connection, for its streams."""
        assert self._connection is not None
        return self._connection

    def deadline(self) -> float | None:
        """When the connection has something to do."""
        return self.connection.timeout()

    def resume(self, now: float) -> None:
        """Let paused work go on, if it is this thread's; else its own thread is told to look."""
        connection = self.connection
        context = connection.wait_context
        told = context.signalled
        self._go_on_from_mark(connection)
        context.drain()
        try:
            connection.advance(now)
        except UsageError:
            if told:
                before = context.listen(None)  # who waits in the domain was told when it came
                context.notify()
                context.listen(before)

    def happened(self, event: Event) -> None:
        """What the connection tells."""

    # --- an object of the domain ----------------------------------------------------------------------------------

    @property
    def domain(self) -> Domain | None:
        """The domain; None before the connection has begun."""
        return self._domain

    @property
    def blocking(self) -> bool:
        """Whether calls wait instead of saying what they wait for (SSL_set_blocking_mode(3)).

        At first that is so where the BIOs have a descriptor to wait on; `UsageError` for switching it on where they
        have none. The socket itself should not block.
        """
        if self._blocking is None:
            if self.listener is not None:
                return bool(self.listener.blocking)
            return self._can_block
        return self._blocking

    @blocking.setter
    def blocking(self, value: bool) -> None:
        self._may_block(value)
        self._blocking = value

    @property
    def _pauses_show(self) -> bool:
        return self._pausing

    @property
    def _implicit(self) -> bool:
        mode = self.event_handling
        if mode == EventHandling.INHERIT and self.listener is not None:
            return bool(self.listener._implicit)
        return mode != EventHandling.EXPLICIT

    def _check_work(self) -> None:
        connection = self.connection
        if connection.needs_job or (connection.handshake_paused and self._work_is_shown):
            self._want_async(connection)

    def _enter(self) -> None:
        super(QUICObject, self)._enter()
        if self._domain is not None:
            self._domain.lock.acquire()

    def _leave(self) -> None:
        if self._domain is not None:
            self._domain.lock.release()
        super(QUICObject, self)._leave()

    def _stirred(self, by: QUICObject) -> None:
        """Something is to be sent, because of a call on this object."""
        domain = self._domain
        assert domain is not None
        domain.stir(self)
        if by._implicit:
            by._turn(domain)

    # --- the handshake --------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        """Perform the handshake; return when it is done, at once when it is done already (SSL_do_handshake(3)).

        Raises `WantRead` or `WantAsync` when it must be called again, `UsageError` naming what is missing, and the
        connection's failure, then and at every later call.
        """
        domain = self._begin(NO_TYPE)
        try:
            if not self.connection.handshake_complete or self.over:
                self._until(domain, self._is_complete, Want.READING)
        finally:
            self._leave()

    def _handshake(self, domain: Domain, by: QUICObject) -> None:
        """Go on until it is done, as the mode of the object that was called wants it."""
        self._unwind(domain)
        if not self.connection.handshake_complete:
            by._until(domain, self._is_complete, Want.READING)

    def _unwind(self, domain: Domain) -> None:
        """What is paused on a connection that has ended in the assist thread's turn is unwound in ours."""
        if self.connection.deserted:
            self.connection.advance(domain.now())

    def _is_complete(self) -> bool | None:
        if self.over:
            raise self.why_over()
        return self.connection.handshake_complete or None

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent, nor received but what is here."""
        connection = self._connection
        return connection is not None and (
            self._closing
            or connection.error is not None
            or connection.close_notify_received
            or connection.close_notify_sent
            or connection.closed
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def why_over(self) -> Error:
        """What a call says that can do nothing any more."""
        connection = self.connection
        if connection.error is not None:
            return connection.error.with_traceback(None)
        if connection.close_notify_sent or self._closing:
            return UsageError("protocol is shutdown: the connection was closed on this side")
        return unfinished()

    # --- the end ----------------------------------------------------------------------------------------------------

    def shutdown(
        self,
        *,
        code: int = 0,
        reason: str = "",
        rapid: bool = False,
        no_stream_flush: bool = False,
        wait_peer: bool = False,
        no_block: bool = False,
    ) -> bool:
        """Close the connection, with a code of the application protocol's; whether it is done (SSL_shutdown_ex(3)).

        First all that was written to streams arrives, unless `no_stream_flush`; then the peer is told; then late
        packets are answered for a while (RFC 9000 section 10.2). With `rapid` the peer is told, and that is all. With
        `wait_peer` nothing is done but to wait until the peer closes. A blocking connection waits unless `no_block`;
        else it is called again until it is done.
        """
        domain = self._begin()
        try:
            connection, waiter = self.connection, Waiter(domain)
            block = self.blocking and not no_block
            flush = not (rapid or no_stream_flush)
            while True:
                if self._implicit or block:
                    self._turn(domain)
                if not (self.over or wait_peer or (flush and connection.unacknowledged)):
                    connection.shutdown(code, reason)
                    self._stirred(self)
                if connection.terminated or (rapid and self.over):
                    return True
                if not block:
                    self.want = Want.READING
                    return False
                self._sound(domain)
                self._wait(waiter)
        finally:
            self._leave()

    @property
    def close_info(self) -> CloseInfo | None:
        """How the connection was closed, by whom and with what; None while it was not (SSL_get_conn_close_info(3))."""
        return self._connection.close_info if self._connection is not None else None

    def close(self) -> None:
        """Give everything up, as every SSL does: nothing is sent. Whoever waits in a call on it is woken.

        If another thread moves the domain just now, that comes to its end before.
        """
        super().close()
        domain = self._domain
        if domain is not None:
            with domain.lock:
                domain.remove(self)  # even if another thread has still to unwind what is paused
            domain.wake()

    def give_up(self) -> None:
        """Close it where nobody has it, or ever will: no call can come that would unwind what is paused."""
        self._closing = True
        self._close()

    def _cancel(self) -> None:
        domain = self._domain
        if domain is None:
            super()._cancel()
            return
        with domain.lock:
            super()._cancel()
            domain.remove(self)


def _knows_peer(bio: DatagramBIO) -> bool:
    """Whether datagrams written to it find somebody."""
    if bio.address is not None:
        return True
    try:
        bio.socket.getpeername()
    except OSError:
        return False
    return True
