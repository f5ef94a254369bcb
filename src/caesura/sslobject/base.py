"""What every SSL is, whatever it speaks: a context, BIOs, a role, paused work, and one call at a time (SSL_new(3)).

`SSL(context, …)` makes the object for the context's method: `records.RecordSSL` for TLS and DTLS, `quic.QUICSSL` for
QUIC, which is imported when it is first asked for. The calls that move data are theirs.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from caesura.bio import BIO
from caesura.context import Context, Method
from caesura.errors import Error, UsageError, WantAsync, WantAsyncJob
from caesura.handshake.endpoint import Endpoint
from caesura.jobs import AsyncStatus, WaitContext
from caesura.sessions import Session
from caesura.sslobject.ends import Want
from caesura.sslobject.facts import Facts
from caesura.sslobject.verbs import Verbs

if TYPE_CHECKING:
    from typing import Self

CLOSED = "this connection is closed"
NO_ROLE = "uninitialized: neither set_connect_state nor set_accept_state was called"
NO_TYPE = "connection type not set: call set_connect_state or set_accept_state"


class SSL(Facts, Verbs):
    """One connection over two BIOs (SSL_new(3)): TLS, DTLS or QUIC, as the context says.

    `rbio` and `wbio` are any objects with the methods of `ssl.MemoryBIO` (see `caesura.bio`); without `wbio` the first
    serves both ways; for DTLS and QUIC they move datagrams. `server_side` None leaves the role to `set_connect_state`
    or `set_accept_state`. `session` is one that a client wants to resume. `context` becomes a copy of the connection's
    own: its settings may still be changed until the handshake starts, and changes to the original never reach it.

    `want` says what the last call waits for; `async_callback_arg` is what the callback is given.
    """

    __slots__ = (
        "__weakref__",
        "_asynchronous",
        "_busy",
        "_callback",
        "_closed",
        "_closing",
        "_marked",
        "_pausing",
        "_server_side",
        "_thread",
        "async_callback_arg",
        "context",
    )

    def __new__(cls, context: Context, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004 - they are __init__'s
        """The object for the context's method."""
        kind = _kind(context.settings.method)
        if cls is not SSL and not issubclass(cls, kind):
            raise UsageError(f"{cls.__name__}: what speaks {context.settings.method.name} is a {kind.__name__}")
        made: Self = object.__new__(kind if cls is SSL else cls)
        return made

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
        super().__init__(rbio, wbio)
        self.context = copy.copy(context)
        self._callback = context.settings.async_callback
        self.async_callback_arg: object = context.settings.async_callback_arg
        self._server_side = server_side
        self._server_hostname = server_hostname
        self._session = session
        self._asynchronous = False  # an asynchronous operation was begun, so there is a wait context to show
        self._busy = False  # a call is in progress
        self._thread = 0  # whose call it was that may have left paused work
        self._closing = False  # close() was called
        self._closed = False  # and has taken effect
        self._reset()

    def _reset(self) -> None:
        self._connection: Endpoint | None = None
        self._pausing = False  # paused work is the application's to wait for: asynchronous mode
        self._marked = False  # WANT_ASYNC was returned since paused work last went on
        self.want = Want.NOTHING

    # --- before the handshake -------------------------------------------------------------------------------------

    def set_connect_state(self) -> None:
        """Be the client, from the beginning: whatever was in progress is cancelled (SSL_set_connect_state(3))."""
        self._start_over(False)

    def set_accept_state(self) -> None:
        """Be the server, from the beginning: whatever was in progress is cancelled (SSL_set_accept_state(3))."""
        self._start_over(True)

    def _start_over(self, server_side: bool | None) -> None:
        self._enter()
        try:
            self._cancel()
            self._reset()
            self._server_side = server_side
        finally:
            self._leave()

    @property
    def server_side(self) -> bool | None:
        """Whether this is the server; None while no role is set."""
        return self._server_side

    def _missing(self, no_role: str) -> None:
        """Raise `UsageError` naming what a connection cannot do without."""
        if self._server_side is None:
            raise UsageError(no_role)
        if self._rbio is None or self._wbio is None:
            raise UsageError(f"no {'read' if self._rbio is None else 'write'} BIO: set one with set_bio")

    # --- the end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give everything up: paused work is cancelled, secrets are dropped, nothing is sent (SSL_free(3)).

        Legal at any moment and from any thread. While another call is in progress, which may be the one whose callback
        this is called from, it takes effect when that call ends; a call that waits for paused work is woken. (One that
        waits in its socket is not: shut the socket down.) Paused work of another thread is unwound on that thread, by
        its next call, for which it is woken as by a completion. A session whose connection ends without a close_notify
        in either direction will not be resumed.
        """
        if self._closing:
            return
        self._closing = True  # from here on no call begins …
        elsewhere = self._thread != threading.get_ident()
        if not self._busy and not (elsewhere and self.waiting_for_async()):
            self._close()
        elif elsewhere and self._connection is not None:
            self._connection.wait_context.notify()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._cancel()

    def _cancel(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if connection.session is not None and not connection.close_notify_sent and not connection.close_notify_received:
            connection.session.resumable = False
        connection.close()
        connection.wait_context.close()

    # --- asynchronous operations ----------------------------------------------------------------------------------

    def waiting_for_async(self) -> bool:
        """Whether work of this connection is paused (SSL_waiting_for_async(3))."""
        return self._connection is not None and self._connection.waiting_for_async

    @property
    def wait_context(self) -> WaitContext | None:
        """The wait context of this connection's work; None until an asynchronous operation has been begun."""
        return self._connection.wait_context if self._connection is not None and self._asynchronous else None

    def get_all_async_fds(self) -> list[int]:
        """The descriptors that paused work waits on, newest first (SSL_get_all_async_fds(3))."""
        return [] if self.wait_context is None else self.wait_context.get_all_fds()

    def get_changed_async_fds(self) -> tuple[list[int], list[int]]:
        """The descriptors (added, deleted) since paused work last went on (SSL_get_changed_async_fds(3))."""
        return ([], []) if self.wait_context is None else self.wait_context.get_changed_fds()

    def set_async_callback(self, callback: Callable[[SSL, object], object] | None, arg: object = None) -> None:
        """Have `callback(ssl, arg)` called instead of a descriptor made readable (SSL_set_async_callback(3)).

        It may be called from any thread, and before the call that paused has returned; it must not call this object but
        only see to it that somebody does. None unsets it. The latest one counts, whenever it is set.
        """
        self._callback = callback
        self.async_callback_arg = arg
        if self._connection is not None and self._pausing:
            self._connection.wait_context.set_callback(None if callback is None else call_back, self)

    def get_async_status(self) -> AsyncStatus | int:
        """What the engine last said: OK, try again, failed, or unsupported (SSL_get_async_status(3))."""
        return AsyncStatus.UNSUPPORTED if self.wait_context is None else self.wait_context.get_status()

    # --- one call at a time ---------------------------------------------------------------------------------------

    def _enter(self) -> None:
        # No lock: this catches misuse, it does not arbitrate it. No other thread runs between test and assignment.
        if self._busy:
            raise UsageError("this connection is in use: by another thread, or by the call whose callback this is")
        if self._closing:
            self._close()
            raise UsageError(CLOSED)
        self._busy = True
        self._thread = threading.get_ident()

    def _leave(self) -> None:
        self._busy = False
        if self._closing:  # … and the one in progress closes
            self._close()

    # --- what a call waits for ------------------------------------------------------------------------------------

    def _adopt_work(self, connection: Endpoint) -> None:
        """Paused work of this connection is this object's from now on."""
        settings = self.context.settings
        self._connection = connection
        self._pausing = settings.async_mode
        self._asynchronous = self._asynchronous or settings.async_mode
        if self._callback is not None and settings.async_mode:
            connection.wait_context.set_callback(call_back, self)

    def _go_on_from_mark(self, connection: Endpoint) -> None:
        """Paused work goes on now: what `get_changed_async_fds` reports is measured from here."""
        if self._marked:
            self._marked = False
            context = connection.wait_context
            context.reset()
            context.drain()

    def _want_async(self, connection: Endpoint) -> NoReturn:
        if connection.needs_job:
            self.want = Want.ASYNC_NO_JOBS
            raise WantAsyncJob
        self.want = Want.ASYNC_PAUSED
        self._marked = True
        connection.wait_context.mark()
        raise WantAsync

    def _fail(self, error: Error) -> NoReturn:
        raise error.with_traceback(None)

    def __repr__(self) -> str:
        role = {None: "no role", False: "client", True: "server"}[self._server_side]
        return f"<SSL {role}{', closed' if self._closed else ''}>"


def _kind(method: Method) -> type[Any]:
    """What an SSL of this method is."""
    if method is Method.QUIC:
        from caesura.sslobject.quic import QUICSSL

        return QUICSSL
    from caesura.sslobject.records import RecordSSL

    return RecordSSL


def call_back(ssl: SSL) -> object:
    """What the wait context calls: the callback as it is now, with the argument as it is now."""
    return ssl._callback(ssl, ssl.async_callback_arg) if ssl._callback is not None else None
