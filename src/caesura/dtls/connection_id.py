"""Connection ids: what finds an association when its address does not (RFC 9146, RFC 9147 section 9).

Each side says in its hello which id it wants to receive, an empty one if none, and may issue more later. All of ours
have one length: a header does not tell where they end.
"""

from __future__ import annotations

from collections.abc import Callable

from caesura.errors import TooManyCIDsRequested, UnexpectedMessage
from caesura.wire.dtls import NewConnectionId, RequestConnectionId
from caesura.wire.extensions import CONNECTION_ID, Extensions
from caesura.wire.registries import ConnectionIdUsage, HandshakeType


class ConnectionIds:
    """The ids of both directions on one connection.

    `length`: bytes of an id that we want to receive, 0 for none, None not to speak of ids at all. `limit`: how many of
    the peer's are kept, how many of ours are in force, and how many requests for more are served. `changed` is told of
    all of ours whenever they change.
    """

    __slots__ = (
        "_changed",
        "_limit",
        "_random",
        "_requests",
        "_spare",
        "_wanted",
        "agreed",
        "asked",
        "length",
        "ours",
        "theirs",
    )

    def __init__(
        self,
        length: int | None,
        limit: int,
        random: Callable[[int], bytes],
        changed: Callable[[list[bytes]], object] | None = None,
    ) -> None:
        self._limit = limit
        self._random = random
        self._changed = changed
        self._wanted = length
        self._requests = 0
        self._spare: list[bytes] = []
        self.agreed = False  # whether both sides have sent the extension
        self.asked = False  # whether a request of ours is unfulfilled
        self.length = 0  # of those in force on what we receive
        self.ours: list[bytes] = []  # what the peer may write, oldest first
        self.theirs = b""  # what we write; empty for none

    # --- the hellos -------------------------------------------------------------------------------------------------

    def offer(self, extensions: Extensions) -> None:
        """Say in a ClientHello what we want to receive: also nothing, so that the server may want it (section 5.1)."""
        if self._wanted is not None:
            extensions.put(CONNECTION_ID, self._first())

    def answer(self, offered: Extensions, extensions: Extensions) -> None:
        """Say in a ServerHello what we want to receive, if ids are of use to either side."""
        theirs = offered.get(CONNECTION_ID) if self._wanted is not None else None
        if theirs is None or not (theirs or self._wanted):
            return
        extensions.put(CONNECTION_ID, self._first())
        self._agree(theirs)

    def answered(self, extensions: Extensions) -> None:
        """What the ServerHello says."""
        theirs = extensions.get(CONNECTION_ID)
        if theirs is not None:
            self._agree(theirs)

    def _first(self) -> bytes:
        if not self.ours:
            self._force([self._random(self._wanted or 0)])
        return self.ours[0]

    def _force(self, ours: list[bytes]) -> None:
        self.ours = ours
        if self._changed is not None and any(ours):
            self._changed(ours)

    def _agree(self, theirs: bytes) -> None:
        self.agreed = True
        self.length = self._wanted or 0
        self.theirs = theirs

    # --- afterwards -------------------------------------------------------------------------------------------------

    def accepts(self, connection_id: bytes) -> bool:
        """Whether a record with this id, or without any if it is empty, is for this connection."""
        return connection_id in self.ours if self.length else not connection_id

    def issue(self, count: int, usage: ConnectionIdUsage) -> NewConnectionId:
        """Fresh ids for the peer, as many as are in force at most; the oldest ones go out of force for them."""
        count = min(count, self._limit)
        fresh = tuple(self._random(self.length) for _ in range(count))
        self._force([*self.ours, *fresh][-self._limit :])
        return NewConnectionId(fresh, usage)

    def requested(self, message: RequestConnectionId) -> NewConnectionId:
        """The peer wants more: as many as leave room for those it may be using. Too many requests end it all."""
        self._check(bool(self.length), message.msg_type)
        self._requests += 1
        if self._requests > self._limit:
            raise TooManyCIDsRequested(f"more than {self._limit} requests", section="RFC 9147 section 9")
        return self.issue(min(message.num_cids, self._limit - len(self.ours)), ConnectionIdUsage.cid_spare)

    def received(self, message: NewConnectionId) -> bool:
        """The peer gives us ids; whether one of them is to be written at once. Those beyond the limit are ignored."""
        self._check(bool(self.theirs), message.msg_type)
        if not all(message.cids):
            raise UnexpectedMessage("an empty connection id", section="RFC 9147 section 9")
        immediate = message.usage is ConnectionIdUsage.cid_immediate and bool(message.cids)
        self.asked = self.asked and immediate  # spare ones are an answer
        if immediate:  # those before are not wanted any more
            self._spare.clear()
        self._spare.extend(message.cids[: self._limit - len(self._spare)])
        return immediate and self.change()

    def change(self) -> bool:
        """Write the next spare id from now on; False when there is none."""
        if not self._spare:
            return False
        self.theirs = self._spare.pop(0)
        return True

    @property
    def spare(self) -> int:
        """How many of the peer's ids are left to change to."""
        return len(self._spare)

    def _check(self, in_use: bool, kind: HandshakeType) -> None:
        if not self.agreed or not in_use:
            raise UnexpectedMessage(f"{kind.name} where no connection ids are in use", section="RFC 9147 section 9")
