"""A QUIC server for many clients over one pair of BIOs (SSL_new_listener(3)).

The listener and the connections it gives are objects of one domain: a call on any of them moves all. Clients prove
their address by a Retry, unless that is turned off.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from dataclasses import replace
from typing import Final

from caesura import assist
from caesura.bio import BIO
from caesura.context import Context
from caesura.errors import ConfigError, UsageError
from caesura.quic.connection import QUICConnection
from caesura.quic.listener import QUICListener
from caesura.quic.turn import Turn
from caesura.readiness import PollEvent
from caesura.sessions import Session
from caesura.sslobject.base import CLOSED
from caesura.sslobject.domain import Domain, Waiter
from caesura.sslobject.ends import OverBIOs, Want
from caesura.sslobject.quic import QUICSSL
from caesura.sslobject.quic_object import EventHandling, QUICObject

_NOT_LISTENING: Final = "no BIOs: set them with set_bio before the listener listens"


class Listener(QUICObject, OverBIOs):
    """Accepts QUIC connections. `validate`: whether clients prove their address before anything is kept of them.

    `accept=False` makes one that accepts nobody: several connections of ours, made by `new_connection`, share its BIOs.

    `max_pending` connections that nobody has accepted are kept, and who comes beyond is not answered
    (SSL_VALUE_QUIC_MAX_PENDING_CONNS; 0: no bound); at first it is the `pending_connections` of the context's `limits`.
    """

    __slots__ = (
        "__weakref__",
        "_accepts",
        "_blocking",
        "_busy",
        "_closing",
        "_domain",
        "_pending",
        "_thread",
        "context",
        "event_handling",
        "max_pending",
    )

    server_side = True

    def __init__(
        self,
        context: Context,
        rbio: BIO | None = None,
        wbio: BIO | None = None,
        *,
        validate: bool = True,
        accept: bool = True,
    ) -> None:
        super().__init__(rbio, wbio)
        self.context = copy.copy(context)
        self.context.quic = replace(self.context.settings.quic, retry=validate)
        self._accepts = accept
        self.event_handling = EventHandling.INHERIT
        self.max_pending = context.settings.limits.pending_connections
        self._blocking: bool | None = None
        self._domain: Domain | None = None
        self._pending: deque[QUICSSL] = deque()
        self._busy = False
        self._closing = False
        self._thread = 0

    # --- the BIOs ---------------------------------------------------------------------------------------------------

    def set_bio(self, rbio: BIO | None, wbio: BIO | None = None) -> None:
        """Read datagrams from `rbio` and write them to `wbio`, or to `rbio` when it is None (SSL_set_bio(3)).

        `UsageError` once it listens.
        """
        if self._domain is not None:
            raise UsageError("set_bio: the listener listens")
        super().set_bio(rbio, wbio)

    # --- connections ------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Begin to listen; `accept_connection` does it too. Legal twice (SSL_listen(3))."""
        self._enter()
        self._leave()

    def accept_connection(self, no_block: bool = False) -> QUICSSL | None:
        """The next connection; None when there is none (SSL_accept_connection(3)). Its handshake may be under way.

        A blocking listener waits for one unless `no_block`.
        """
        if not self._accepts:
            raise UsageError("accept_connection: this listener accepts nobody")
        domain = self._enter()
        try:
            found = self._next()
            if found is None and (self._implicit or (self.blocking and not no_block)):
                self._turn(domain)
                found = self._next()
            waiter = Waiter(domain)
            while found is None and self.blocking and not no_block:
                self._sound(domain)
                self._wait(waiter)
                self._turn(domain)
                found = self._next()
            if found is None:
                self._sound(domain)
                self.want = Want.READING
            return found
        finally:
            self._leave()

    def _next(self) -> QUICSSL | None:
        self._forget_failures()
        return self._pending.popleft() if self._pending else None

    def _forget_failures(self) -> None:
        """Drop those that have ended before their handshake was complete: nobody can do anything with them."""
        for failed in [each for each in self._pending if each.over and not each.handshake_complete]:
            self._pending.remove(failed)
            assert self._domain is not None
            self._domain.abandon(failed.connection.wait_context)

    def new_connection(
        self, *, context: Context | None = None, server_hostname: str | None = None, session: Session | None = None
    ) -> QUICSSL:
        """A connection of ours, as a client, over the listener's BIOs (SSL_new_from_listener(3)).

        Set its `initial_peer_address` before anything else. `context` is the listener's unless it is given.
        """
        context = context or self.context
        length = context.settings.quic.connection_id_length
        if length != self.context.settings.quic.connection_id_length or not length:
            raise ConfigError("quic.connection_id_length: as the listener's, and not 0: ids tell connections apart")
        found = QUICSSL(
            context, self._rbio, self._wbio, server_side=False, server_hostname=server_hostname, session=session
        )
        found.listener = self
        return found

    def begin(self) -> Domain:
        """The domain, which begins with the first that needs it."""
        if self._closing:
            raise UsageError(CLOSED)
        return self._domain or self._listen()

    @property
    def accept_connection_queue_len(self) -> int:
        """Connections that wait to be accepted (SSL_get_accept_connection_queue_len(3))."""
        self._forget_failures()
        return len(self._pending)

    def close(self) -> None:
        """Listen no more: connections that nobody has accepted are given up, those that were accepted go on.

        Legal at any moment, from any thread; a call that waits is woken (SSL_free(3)).
        """
        if self._closing:
            return
        self._closing = True
        domain = self._domain
        if domain is not None:
            with domain.lock:
                domain.listening = False
                while self._pending:
                    self._pending.popleft().give_up()
            domain.wake()

    # --- asynchronous operations --------------------------------------------------------------------------------------

    def waiting_for_async(self) -> bool:
        """Whether work of a connection is paused that nobody has accepted."""
        return any(each.waiting_for_async() for each in self._pending)

    def get_all_async_fds(self) -> list[int]:
        """The descriptors that such work waits on. A callback of the context's is given the connection, as ever."""
        return [fd for each in self._pending for fd in each.get_all_async_fds()]

    # --- an object of the domain --------------------------------------------------------------------------------------

    @property
    def domain(self) -> Domain | None:
        """The domain; None before it listens."""
        return self._domain

    @property
    def blocking(self) -> bool:
        """Whether calls wait (SSL_set_blocking_mode(3)): see the connection's."""
        return self._can_block if self._blocking is None else self._blocking

    @blocking.setter
    def blocking(self, value: bool) -> None:
        self._may_block(value)
        self._blocking = value

    def _readiness(self, domain: Domain) -> PollEvent:
        failed = PollEvent.NONE if domain.failure is None else PollEvent.EL
        waits = any(not each.connection.terminated for each in self._pending)
        return failed | (PollEvent.IC if waits else PollEvent.NONE)

    @property
    def _pauses_show(self) -> bool:
        return self.context.settings.async_mode

    def _enter(self) -> Domain:
        if self._busy:
            raise UsageError("this listener is in use: by another thread, or by the call whose callback this is")
        if self._closing:
            raise UsageError(CLOSED)
        domain = self.begin()
        self._busy = True
        domain.lock.acquire()
        self._thread = threading.get_ident()
        self.want = Want.NOTHING
        return domain

    def _leave(self) -> None:
        self._busy = False
        assert self._domain is not None
        self._domain.lock.release()

    def _listen(self) -> Domain:
        if self._rbio is None or self._wbio is None:
            raise UsageError(_NOT_LISTENING)
        turn = Turn()
        listener = QUICListener(self.context, async_mode=True, turn=turn) if self._accepts else None
        self._domain = Domain(self.context.settings, self._rbio, self._wbio, turn, addressed=True)
        if listener is not None:
            self._domain.listens(listener, self._introduce, self._has_room)
        if self.context.settings.quic.thread_assisted:
            assist.follow(self._domain)
        return self._domain

    def _introduce(self, connection: QUICConnection) -> QUICSSL:
        """A new connection: it waits to be accepted."""
        assert self._domain is not None
        found = QUICSSL(self.context, self._rbio, self._wbio, server_side=True)
        found.listener = self
        found.adopt(connection, self._domain)
        self._pending.append(found)
        return found

    def _has_room(self) -> bool:
        if self.max_pending and len(self._pending) >= self.max_pending:
            self._forget_failures()
        return not self.max_pending or len(self._pending) < self.max_pending

    def __repr__(self) -> str:
        return f"<Listener {len(self._pending)} pending{', closed' if self._closing else ''}>"
