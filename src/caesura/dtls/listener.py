"""Many peers on one socket, without I/O: datagrams are told apart and handed to their connections.

Of an address that has proved nothing, nothing is kept. A first hello is answered with a cookie; a hello that brings it
back makes a connection (RFC 9147 section 5.1, RFC 6347 section 4.2.1). Hellos in pieces share one budget. A client that
begins anew from an address where there is a connection must bring a cookie too, and only then takes its place (RFC 9147
section 5.11).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from caesura.context import Context, Method
from caesura.dtls.connection import Datagram, DTLSConnection
from caesura.dtls.cookies import Address, Proven
from caesura.dtls.greeting import RANDOM, Greeted, Greeter, Hello, hello_in
from caesura.dtls.records12 import CONNECTION_ID_AT, TLS12_CID
from caesura.errors import UsageError
from caesura.handshake.performer import Awaiter
from caesura.handshake.role import check_role
from caesura.wire.data import Data
from caesura.wire.dtls import (
    CONNECTION_ID_PRESENT,
    UNIFIED_HEADER,
    UNIFIED_HEADER_MASK,
    Fragment,
)


class _Association:
    """A connection, and what leads to it."""

    __slots__ = ("addr", "connection", "ids", "random")

    def __init__(self, addr: Address, random: bytes) -> None:
        self.addr = addr
        self.random = random  # of the client's hello: tells a repeated hello from a new attempt
        self.ids: list[bytes] = []
        self.connection: DTLSConnection


class DTLSListener:
    """Takes every datagram of one socket; gives the connections.

    After `receive_datagram`, send what `datagrams_to_send` returns; it answers clients of whom nothing is kept. The
    connection that the datagram was for is returned: drive it as any other. New ones come out of `accept` too, their
    handshake still going on; `on_connection` is given each before it has read or done anything, and with it the one it
    replaces, if any. Timers and paused work are the connections' own. `forget` one that is over. While `accepting` is
    false there are no new ones. `idle_timeout` is for contexts whose `dtls.idle_timeout` is None, `early_data` is what
    `DTLSConnection` takes; it needs contexts without `dtls.cookies`.

    Whether cookies are asked for, `dtls.cookies` says; without them a connection begins with the first hello, and sends
    no more than `dtls.amplification` allows until its peer has proved its address. Bounds: `limits.hello_bytes`,
    `half_open`, `associations`; what comes beyond them is dropped.
    """

    def __init__(
        self,
        context: Context,
        *,
        awaiter: Awaiter | None = None,
        async_mode: bool | None = None,
        on_connection: Callable[[DTLSConnection, DTLSConnection | None], object] | None = None,
        idle_timeout: float | None = None,
        early_data: bool | None = None,
    ) -> None:
        check_role(context.settings, Method.DTLS, True, None)
        self.context = context
        self._awaiter = awaiter
        self._async_mode = async_mode
        self._on_connection = on_connection
        self._idle_timeout = idle_timeout
        self._early_data = early_data
        self.accepting = True
        self._greeter = Greeter(context.settings)
        self._by_address: dict[Address, _Association] = {}
        self._by_id: dict[bytes, _Association] = {}
        self._half_open: set[DTLSConnection] = set()
        self._new: deque[DTLSConnection] = deque()
        self._out: list[Datagram] = []
        self._closed = False

    # --- driving --------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: Data, addr: Address, now: float, ecn: int = 0) -> DTLSConnection | None:
        """One datagram. The connection that it was for, if there is one."""
        datagram = data if type(data) is bytes else bytes(data)
        if not datagram or self._closed:
            return None
        association = self._find(datagram, addr)
        hello = hello_in(datagram)
        if (
            hello is not None
            and self.accepting
            and (association is None or self._begins_anew(association, hello.fragment))
        ):
            return self._greet(datagram, addr, now, hello)
        if association is None:
            return None
        connection = association.connection
        connection.receive_datagram(datagram, addr, now, ecn)
        return connection

    def datagrams_to_send(self, now: float) -> list[Datagram]:  # noqa: ARG002 - the same verb as a connection's
        """Answers to clients of whom nothing is kept; handed over once. Connections have their own."""
        out, self._out = self._out, []
        return out

    def accept(self) -> DTLSConnection | None:
        """The next new connection, its handshake perhaps still going on; None when there is none."""
        return self._new.popleft() if self._new else None

    def follow(self, connection: DTLSConnection) -> None:
        """Have a connection send to where it was last heard from (`DTLSConnection.follow`), and look for it there.

        Raises UsageError when there is another association at that address.
        """
        association = self._by_address.get(connection.addr)
        there = self._by_address.get(connection.heard_from)
        if association is None or association.connection is not connection:
            raise UsageError("follow: this listener has no such connection")
        if there is not None and there is not association:
            raise UsageError("follow: there is another association at that address")
        del self._by_address[association.addr]
        connection.follow()
        association.addr = connection.addr
        self._by_address[association.addr] = association

    def forget(self, connection: DTLSConnection) -> None:
        """Have no more to do with a connection; it is not closed by that."""
        association = self._by_address.get(connection.addr)
        if association is not None and association.connection is connection:
            self._remove(association)
        self._half_open.discard(connection)

    def close(self) -> None:
        """Close every connection, and take no datagram any more."""
        self._closed = True
        for connection in self.connections:
            connection.close()
        self._by_address.clear()
        self._by_id.clear()
        self._half_open.clear()
        self._new.clear()
        self._out.clear()
        self._greeter.hellos.clear()

    @property
    def connections(self) -> tuple[DTLSConnection, ...]:
        """The connections that datagrams lead to."""
        return tuple(association.connection for association in self._by_address.values())

    # --- telling datagrams apart ----------------------------------------------------------------------------------

    def _find(self, datagram: bytes, addr: Address) -> _Association | None:
        """By connection id if there is one, else by address."""
        length = self.context.settings.dtls.connection_id
        first = datagram[0]
        if length and first & UNIFIED_HEADER_MASK == UNIFIED_HEADER and first & CONNECTION_ID_PRESENT:
            return self._by_id.get(datagram[1 : 1 + length])
        if length and first == TLS12_CID:
            return self._by_id.get(datagram[CONNECTION_ID_AT : CONNECTION_ID_AT + length])
        association = self._by_address.get(addr)
        if association is not None and association.connection.closed:
            self._remove(association)
            return None
        return association

    def _begins_anew(self, association: _Association, fragment: Fragment) -> bool:
        """Whether a hello is not that of the connection which is there already."""
        if fragment.offset:
            return self._greeter.hellos.gathers(association.addr, fragment.message_seq)
        return len(fragment.data) >= RANDOM.stop and fragment.data[RANDOM] != association.random

    # --- hellos ---------------------------------------------------------------------------------------------------

    def _greet(self, datagram: bytes, addr: Address, now: float, hello: Hello) -> DTLSConnection | None:
        """A hello, or a piece of one, from somebody who has no connection."""
        fragment = hello.fragment
        if not fragment.message_seq and not self.context.settings.dtls.cookies and addr not in self._by_address:
            return self._begin([datagram], addr, now, None, fragment.data[RANDOM])
        found = self._greeter.greet(datagram, addr, hello)
        if isinstance(found, Greeted):
            return self._begin(found.datagrams, addr, now, found.proven, found.random)
        if found is not None:
            self._answer(found, addr)
        return None

    def _answer(self, record: bytes, addr: Address) -> None:
        if len(self._out) < self.context.settings.limits.half_open:
            self._out.append((record, addr))

    def _begin(
        self, datagrams: list[bytes], addr: Address, now: float, proven: Proven | None, random: bytes
    ) -> DTLSConnection | None:
        """A connection for whoever has proved its address, or need not; None when there are too many."""
        if not self._has_room():
            return None
        association = _Association(addr, random)
        old = self._by_address.get(addr)
        connection = association.connection = DTLSConnection(
            self.context,
            server_side=True,
            addr=addr,
            address_validated=False,
            proven=proven,
            on_connection_ids=lambda ids: self._register(association, ids),
            awaiter=self._awaiter,
            async_mode=self._async_mode,
            idle_timeout=self._idle_timeout,
            early_data=self._early_data,
        )
        if old is not None:
            self._remove(old)
            old.connection.receive_eof(now)
        self._by_address[addr] = association
        self._half_open.add(connection)
        self._new.append(connection)
        if self._on_connection is not None:
            self._on_connection(connection, old.connection if old is not None else None)
        connection.advance(now)
        for datagram in datagrams:
            connection.receive_datagram(datagram, addr, now)
        return connection

    def _has_room(self) -> bool:
        """Whether there may be one connection more; those that are over do not count."""
        limits = self.context.settings.limits
        if len(self._half_open) >= limits.half_open:
            over = [each for each in self._half_open if each.handshake_complete or each.error or each.closed]
            self._half_open.difference_update(over)
        if len(self._by_address) >= limits.associations:
            for association in list(self._by_address.values()):
                if association.connection.error is not None or association.connection.closed:
                    self._remove(association)
        return len(self._half_open) < limits.half_open and len(self._by_address) < limits.associations

    # --- what leads where -----------------------------------------------------------------------------------------

    def _register(self, association: _Association, ids: list[bytes]) -> None:
        for each in association.ids:
            self._by_id.pop(each, None)
        association.ids = ids
        for each in ids:
            self._by_id[each] = association

    def _remove(self, association: _Association) -> None:
        self._register(association, [])
        if self._by_address.get(association.addr) is association:
            del self._by_address[association.addr]
        self._half_open.discard(association.connection)
