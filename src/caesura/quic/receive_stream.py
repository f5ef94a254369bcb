"""The receiving half of a stream (RFC 9000 sections 2.2, 3.2 and 4.5).

Bytes go through flow control into reassembly, and from there to the application, which gives credit back by taking
them. The end comes with FIN, or with RESET_STREAM; either way the final size is known and never changes. Hot: `receive`
is called once per STREAM frame.
"""

from __future__ import annotations

from enum import Enum, auto, unique
from typing import Final

from caesura.errors import FinalSizeError, StreamReset
from caesura.quic import frames, varint
from caesura.quic.flow_control import ReceiveCredit
from caesura.quic.outbox import LastingFrame, Outbox
from caesura.quic.reassembly import PieceBudget, Reassembly


@unique
class ReceiveState(Enum):
    """Figure 3."""

    RECV = auto()
    SIZE_KNOWN = auto()
    DATA_RECVD = auto()
    DATA_READ = auto()
    RESET_RECVD = auto()
    RESET_READ = auto()


@unique
class _Event(Enum):
    FIN = auto()  # the final size has come
    ALL = auto()  # all bytes have
    RESET = auto()
    READ = auto()  # the application has taken the last byte, or knows of the reset


_S, _E = ReceiveState, _Event
TRANSITIONS: Final[dict[tuple[ReceiveState, _Event], ReceiveState]] = {
    (_S.RECV, _E.FIN): _S.SIZE_KNOWN,
    (_S.RECV, _E.RESET): _S.RESET_RECVD,
    (_S.SIZE_KNOWN, _E.ALL): _S.DATA_RECVD,
    (_S.SIZE_KNOWN, _E.RESET): _S.RESET_RECVD,
    (_S.DATA_RECVD, _E.READ): _S.DATA_READ,
    (_S.RESET_RECVD, _E.READ): _S.RESET_READ,
}
"""Figure 3; what is not here changes nothing."""

TERMINAL: Final = frozenset({ReceiveState.DATA_READ, ReceiveState.RESET_READ})


class ReceiveStream:
    """What the peer sends on one stream. `connection`: the credit of all streams together.

    `announced` is for whoever tells the application: whether it has been told and has not looked yet. `error_code`: why
    the peer has reset the stream. `stopped`: we have asked it to; what comes is dropped.
    """

    __slots__ = (
        "_connection",
        "_credit",
        "_data",
        "_outbox",
        "_plain",
        "_stop",
        "announced",
        "error_code",
        "final_size",
        "state",
        "stopped",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: int,
        window: int,
        maximum: int,
        connection: ReceiveCredit,
        budget: PieceBudget,
        outbox: Outbox,
    ) -> None:
        head = b"\x11" + varint.encode(stream_id)
        self.stream_id = stream_id
        self.state = ReceiveState.RECV
        self.final_size: int | None = None
        self.error_code: int | None = None
        self.announced = False
        self.stopped = False
        self._plain = True  # neither is it stopped nor its end known
        self._connection = connection
        self._credit = ReceiveCredit(window, maximum, head, outbox)
        self._data = Reassembly(budget)
        self._outbox = outbox
        self._stop: LastingFrame | None = None

    # --- from the peer --------------------------------------------------------------------------------------------

    def receive(self, offset: int, data: bytes, fin: bool) -> None:
        """A STREAM frame. Raises FlowControlError, FinalSizeError, and TransportError for pieces that are too fine."""
        stop = offset + len(data)
        plain = self._plain and not fin
        if not plain:
            self._size(stop, fin)
        credit = self._credit
        grown = stop - credit.received
        if grown > 0:
            connection = self._connection
            credit.received = stop
            connection.received += grown
            if stop > credit.limit or connection.received > connection.limit:
                credit.check()
                connection.check()
        if plain:
            self._data.add(offset, data)
        elif self.stopped:
            self._drop()
        elif self.error_code is None:
            self._data.add(offset, data)
            if self._data.next == self.final_size:
                self._happened(_Event.ALL)

    def reset(self, error_code: int, final_size: int) -> None:
        """RESET_STREAM. Raises FlowControlError, FinalSizeError."""
        self._size(final_size, True)
        self._connection.received += final_size - self._credit.received
        self._credit.received = final_size
        self._credit.check()
        self._connection.check()
        self._happened(_Event.RESET)
        if self.state is ReceiveState.RESET_RECVD and self.error_code is None:
            self.error_code = error_code
            self._drop()

    def _size(self, stop: int, final: bool) -> None:
        """A frame reaches to `stop`, and says perhaps that there is nothing behind it (section 4.5)."""
        known = self.final_size
        if known is not None and (stop > known or (final and stop != known)):
            raise FinalSizeError(f"stream {self.stream_id} was to end at {known}, not {stop}", section="RFC 9000 4.5")
        if final and known is None:
            if stop < self._credit.received:
                raise FinalSizeError(
                    f"stream {self.stream_id} ends at {stop}, and has come to {self._credit.received}",
                    section="RFC 9000 4.5",
                )
            self.final_size = stop
            self._plain = False
            self._credit.close()
            self._happened(_Event.FIN)

    def _drop(self) -> None:
        """Nobody reads what has come, and what may still come: the credit for it is given back."""
        self._data.clear()
        credit = self._credit
        self._connection.consume(credit.received - credit.consumed)
        credit.consumed = credit.received
        if self.stopped and self.final_size is not None:
            if self._stop is not None:
                self._stop.call_off()
            self._happened(_Event.ALL)
            self._happened(_Event.READ)

    def _happened(self, event: _Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)

    # --- from the application -------------------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """Whether a read would give something: bytes, the end, or the news of a reset."""
        return self._data.ready > 0 or self.state in (ReceiveState.DATA_RECVD, ReceiveState.RESET_RECVD)

    @property
    def ready(self) -> int:
        """Bytes that can be read now."""
        return self._data.ready

    @property
    def ended(self) -> bool:
        """Whether all was read up to the end that the peer has set."""
        return self.state is ReceiveState.DATA_READ

    @property
    def over(self) -> bool:
        """Whether nothing of this half can happen any more."""
        return self.state in TERMINAL

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes in order, all there are when it is negative; none when there are none, see `ended`.

        Raises StreamReset when the peer has given the stream up.
        """
        if self.error_code is not None:
            self._happened(_Event.READ)
            raise StreamReset(self.error_code)
        data = self._data.take(size)
        self._credit.consume(len(data))
        self._connection.consume(len(data))
        if not self._data.ready:
            self.announced = False
            if self.state is ReceiveState.DATA_RECVD:
                self._happened(_Event.READ)
        return data

    def stop(self, error_code: int) -> None:
        """STOP_SENDING: the application wants no more of it (section 3.5). What is there is dropped."""
        if self.stopped or self.over or self.error_code is not None:
            return
        self.stopped = True
        self._plain = False
        if self.state is ReceiveState.RECV:
            frame = frames.numbers(frames.STOP_SENDING, self.stream_id, error_code)
            self._stop = LastingFrame(self._outbox, frame)
        self._drop()
