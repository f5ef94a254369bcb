"""Many connections on one socket, without I/O: datagrams are told apart and handed to their connections.

They are told apart by the connection id that stands first in them (RFC 9000 section 5.2); a client's first packets,
whose ids it has made up itself, by that id and where they come from. What belongs to no connection is answered as
section 5.2.2 has it, and nothing is kept of whoever sent it: see `stateless`. An Initial packet that opens makes a
connection; when `quic.retry` says so, or half of the half-open connections that may be are there, only with a token
that proves where it comes from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from caesura.context import Context, Limits, Method
from caesura.errors import ConnectionRefused, InvalidToken
from caesura.handshake.performer import Awaiter
from caesura.handshake.role import check_role
from caesura.jobs import WaitContext
from caesura.quic.connection import QUICConnection
from caesura.quic.levels import INITIAL
from caesura.quic.packets import (
    LONG_HEADER,
    MIN_DESTINATION_LENGTH,
    MIN_INITIAL_DATAGRAM,
    LongHeader,
    read_invariant,
    read_long,
)
from caesura.quic.sender import Datagram
from caesura.quic.stateless import Address, StatelessAnswers
from caesura.quic.tokens import AddressTokens, Validated
from caesura.quic.turn import Turn
from caesura.wire.data import Data

_LOOKED_AT: Final = 64  # connections, on average, for one packet of nobody's to a listener that is full
_SHORTEST: Final = 21  # bytes of the shortest datagram that a stateless reset could answer


class _Association:
    """A connection, and what leads to it."""

    __slots__ = ("connection", "first", "forgotten", "ids")

    def __init__(self, first: tuple[Address, bytes]) -> None:
        self.first = first  # where the client's first packet came from, and where it went
        self.forgotten = False
        self.ids: list[bytes] = []
        self.connection: QUICConnection


class QUICListener:
    """Takes every datagram of one socket; gives the connections.

    After `receive_datagram`, send what `datagrams_to_send` returns; it answers peers of whom nothing is kept. The
    connection that the datagram was for is returned: drive it as any other. New ones come out of `accept` too, their
    handshake still going on. Timers and paused work are the connections' own. `forget` one that is over.

    `turn` is that of all its connections: see `turn`.

    `wait_context` makes what each connection's paused work waits with. While `accepting` is false, nobody new is taken.

    Bounds: `limits.half_open` and `limits.associations`; who comes beyond them is refused.
    """

    def __init__(
        self,
        context: Context,
        *,
        wait_context: Callable[[], WaitContext] | None = None,
        awaiter: Awaiter | None = None,
        async_mode: bool | None = None,
        turn: Turn | None = None,
    ) -> None:
        settings = context.settings
        self._turn = turn
        check_role(settings, Method.QUIC, True, None)
        self.context = context
        self.accepting = True
        self._wait_context = wait_context
        self._awaiter = awaiter
        self._async_mode = async_mode
        self._id_length = settings.quic.connection_id_length
        self._versions = tuple(map(int, settings.quic.versions))
        tokens = AddressTokens(
            settings.quic.token_keys,
            settings.quic.retry_lifetime,
            settings.quic.token_lifetime,
            settings.quic.used_tokens,
        )
        self._answers = StatelessAnswers(settings, tokens, self._versions)
        self._by_id: dict[bytes, _Association] = {}
        self._by_first: dict[tuple[Address, bytes], _Association] = {}
        self._by_address: dict[Address, _Association] = {}  # where our ids have no bytes
        self._associations: dict[QUICConnection, _Association] = {}
        self._half_open: set[QUICConnection] = set()
        self._new: deque[QUICConnection] = deque()
        self._out: list[Datagram] = []
        self._in_vain = 0  # so many more attempts to make room are left out: see `_has_room`
        self._closed = False

    # --- driving --------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: Data, addr: Address, now: float, ecn: int = 0) -> QUICConnection | None:
        """One datagram. The connection that it was for, if there is one. `ecn`: the two bits of its IP header."""
        datagram = data if type(data) is bytes else bytes(data)
        if not datagram or self._closed:
            return None
        if datagram[0] & LONG_HEADER:
            found = read_invariant(datagram, 0)
            if found is None:
                return None
            version, destination, source, _ = found
            association = self._by_id.get(destination) or self._by_first.get((addr, destination))
            if association is None and not destination:
                association = self._by_address.get(addr)
            if association is None:
                return self._greet(datagram, version, destination, source, addr, now, ecn)
        elif self._id_length:
            destination = datagram[1 : 1 + self._id_length]
            association = self._by_id.get(destination)
            if association is None:
                self._reset(destination, datagram, addr)
                return None
        else:
            association = self._by_address.get(addr)
            if association is None:
                return None
        connection = association.connection
        connection.receive_datagram(datagram, addr, now, ecn)
        if connection.handshake_complete:
            self._half_open.discard(connection)
        return connection

    def receive_datagrams(
        self, datagrams: Sequence[Data], addr: Address, now: float, ecn: int = 0
    ) -> list[QUICConnection]:
        """Several from one address, as one read of a socket gives them. The connections that they were for."""
        stop = 1 + self._id_length
        first = bytes(datagrams[0][1:stop]) if datagrams else b""
        association = self._by_id.get(first)
        if association is not None and all(
            each and not each[0] & LONG_HEADER and each[1:stop] == first for each in datagrams
        ):
            connection = association.connection
            connection.receive_datagrams(datagrams, addr, now, ecn)
            return [connection]
        found = [self.receive_datagram(each, addr, now, ecn) for each in datagrams]
        return list(dict.fromkeys(each for each in found if each is not None))

    def datagrams_to_send(self, now: float) -> list[Datagram]:  # noqa: ARG002 - the same verb as a connection's
        """Answers to peers of whom nothing is kept; handed over once. Connections have their own."""
        out, self._out = self._out, []
        return out

    def accept(self) -> QUICConnection | None:
        """The next new connection, its handshake perhaps still going on; None when there is none."""
        return self._new.popleft() if self._new else None

    def forget(self, connection: QUICConnection) -> None:
        """Have no more to do with a connection; it is not closed by that. What comes for it is answered by resets."""
        association = self._associations.pop(connection, None)
        if association is not None:
            self._register(association, [])
            association.forgotten = True
            self._by_first.pop(association.first, None)
            if self._by_address.get(association.first[0]) is association:
                del self._by_address[association.first[0]]
        self._half_open.discard(connection)

    def close(self) -> None:
        """Close every connection, and take no datagram any more."""
        self._closed = True
        for connection in self.connections:
            connection.close()
            self.forget(connection)
        self._new.clear()
        self._out.clear()

    @property
    def connections(self) -> tuple[QUICConnection, ...]:
        """The connections that datagrams lead to."""
        return tuple(self._associations)

    # --- packets of nobody ------------------------------------------------------------------------------------------

    def _greet(
        self, datagram: bytes, version: int, destination: bytes, source: bytes, addr: Address, now: float, ecn: int
    ) -> QUICConnection | None:
        """A packet with a long header for none of our connections."""
        if len(datagram) < MIN_INITIAL_DATAGRAM or not self.accepting:
            return None
        if version not in self._versions:
            if version:  # a Version Negotiation packet is never answered
                self._answer(self._answers.version_negotiation(destination, source), addr)
            return None
        header = read_long(datagram, 0)
        if header is None or header.kind != INITIAL or len(destination) < MIN_DESTINATION_LENGTH:
            return None
        wall = self.context.settings.clock.wall()
        try:
            proven = self._answers.prove(header, addr, wall)
        except InvalidToken as error:
            self._answer(self._answers.refuse(header, error), addr)
            return None
        if not self._has_room():
            self._answer(self._answers.refuse(header, ConnectionRefused()), addr)
            return None
        if proven is None and self._must_prove:
            self._answer(self._answers.retry(header, addr, wall), addr)
            return None
        return self._begin(datagram, header, proven, addr, now, ecn)

    @property
    def _must_prove(self) -> bool:
        settings = self.context.settings
        return settings.quic.retry or 2 * len(self._half_open) >= settings.limits.half_open

    def _reset(self, destination: bytes, datagram: bytes, addr: Address) -> None:
        if len(destination) == self._id_length and len(datagram) > _SHORTEST:
            answer = self._answers.reset(destination, len(datagram))
            if answer is not None:
                self._answer(answer, addr)

    def _answer(self, datagram: bytes, addr: Address) -> None:
        if len(self._out) < self.context.settings.limits.half_open:
            self._out.append((datagram, addr))

    # --- connections ------------------------------------------------------------------------------------------------

    def _begin(
        self, datagram: bytes, header: LongHeader, proven: Validated | None, addr: Address, now: float, ecn: int
    ) -> QUICConnection | None:
        association = _Association((addr, header.destination))
        connection = association.connection = QUICConnection(
            self.context,
            server_side=True,
            validated=proven,
            on_connection_ids=lambda ids: self._register(association, ids),
            next_token=self._answers.next_token if self.context.settings.quic.new_token else None,
            wait_context=None if self._wait_context is None else self._wait_context(),
            awaiter=self._awaiter,
            async_mode=self._async_mode,
            turn=self._turn,
        )
        connection.receive_datagram(datagram, addr, now, ecn)
        if not connection.heard:  # only its header was like a client's
            return None
        self._register(association, list(connection.connection_ids))
        self._associations[connection] = association
        self._by_first[association.first] = association
        if not self._id_length:
            self._by_address[addr] = association
        self._half_open.add(connection)
        self._new.append(connection)
        return connection

    def _has_room(self) -> bool:
        """Whether there may be one more. Handshakes that are complete, and connections that are over, do not count.

        When all are alive, that was much work for a packet that anybody could have sent: it is not done for each.
        """
        limits = self.context.settings.limits
        if self._is_full(limits):
            if self._in_vain:
                self._in_vain -= 1
            else:
                self._make_room(limits)
                if self._is_full(limits):
                    self._in_vain = max(len(self._half_open), len(self._associations)) // _LOOKED_AT
        return not self._is_full(limits)

    def _is_full(self, limits: Limits) -> bool:
        return len(self._half_open) >= limits.half_open or len(self._associations) >= limits.associations

    def _make_room(self, limits: Limits) -> None:
        if len(self._half_open) >= limits.half_open:
            self._half_open = {each for each in self._half_open if not each.handshake_complete and not each.terminated}
        if len(self._associations) >= limits.associations:
            for connection in [each for each in self._associations if each.terminated]:
                self.forget(connection)

    def _register(self, association: _Association, ids: list[bytes]) -> None:
        if association.forgotten:
            return
        for each in association.ids:
            del self._by_id[each]
        association.ids = ids if self._id_length else []
        for each in association.ids:
            self._by_id[each] = association
