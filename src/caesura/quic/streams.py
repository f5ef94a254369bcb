"""All streams of a connection (RFC 9000 sections 2 to 4): which there are, how many there may be, where frames go.

A stream is two halves, of which a one-way stream lacks one; each half is kept only as long as something can happen to
it. Of a stream that is over nothing is kept: its id is below the next one and in neither table. What the peer opens
counts against a limit that moves up as streams are over (section 4.6).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from caesura.errors import Error, StreamLimitError, StreamStateError, UsageError, ZeroRTTRejected
from caesura.events import (
    Event,
    StopSendingReceived,
    StreamDelivered,
    StreamOpened,
    StreamReadable,
    StreamsPermitted,
)
from caesura.quic import frames, varint
from caesura.quic.flow_control import ReceiveCredit, SendCredit
from caesura.quic.outbox import LastingFrame, Outbox
from caesura.quic.reassembly import PieceBudget
from caesura.quic.receive_stream import ReceiveStream
from caesura.quic.schedule import Schedule
from caesura.quic.send_stream import SendStream
from caesura.quic.transport_parameters import TransportParameters
from caesura.quic_settings import QUICSettings

SERVER: Final = 1
UNIDIRECTIONAL: Final = 2
"""Bits of a stream id (section 2.1)."""

_BULK: Final = frames.STREAM | frames.STREAM_OFFSET
_SHORTEST_BULK: Final = 1 + 8 + 8 + 1  # bytes with which no number in it can be cut short


def is_bulk(payload: bytes) -> bool:
    """Whether a 1-RTT packet has one STREAM frame, as bulk transfers have it: with an offset, without length and end.

    Its type is 0x0c. Many of them can be taken together, in a third of the time that the reader of all frames takes.
    """
    return len(payload) >= _SHORTEST_BULK and payload[0] == _BULK


_U32: Final = struct.Struct(">I").unpack_from


class _Opened:
    """Streams of one kind that the peer opens, and how many of them it may. Asks the outbox for MAX_STREAMS."""

    __slots__ = ("_head", "_outbox", "_window", "limit", "opened", "over")

    def __init__(self, window: int, kind: int, outbox: Outbox) -> None:
        self._head = b"\x13" if kind else b"\x12"
        self._outbox = outbox
        self._window = self.limit = window
        self.opened = 0
        self.over = 0

    def ended(self) -> None:
        """One of them is over."""
        self.over += 1
        if self.limit - self.over <= self._window >> 1:
            self._outbox.put(self)

    def frame(self, now: float, round_trip: float) -> tuple[bytes, int]:  # noqa: ARG002 - Writer
        """MAX_STREAMS."""
        self.limit = min(max(self.limit, self.over + self._window), frames.MAX_STREAMS_LIMIT)
        return self._head + varint.encode(self.limit), self.limit

    def acked(self, at: int, mark: int, data: bytes) -> None:
        """The peer knows."""

    def lost(self, at: int, mark: int, data: bytes) -> None:  # noqa: ARG002 - Recallable
        """The peer may not know."""
        if at == self.limit:
            self._outbox.put(self)


class Streams:
    """The table of streams. `events`: where the application is told. Raises what the peer's frames deserve.

    `receiving` and `sending` are the halves by stream id, as long as something can happen to them.
    """

    __slots__ = (
        "_blocked",
        "_budget",
        "_early",
        "_events",
        "_next",
        "_opened",
        "_outbox",
        "_own",
        "_peer",
        "_permitted",
        "_rejected",
        "_settings",
        "receive_credit",
        "receiving",
        "schedule",
        "send_credit",
        "sending",
    )

    def __init__(self, settings: QUICSettings, outbox: Outbox, events: list[Event], *, client: bool) -> None:
        self._settings = settings
        self._outbox = outbox
        self._events = events
        self._own = 0 if client else SERVER
        self._rejected = ""  # why 0-RTT was, if it was
        self._next = {kind: kind | self._own for kind in (0, UNIDIRECTIONAL)}
        self._early = self._next  # where the ids of streams end that went with it
        self._begin()

    def _begin(self) -> None:
        """There is no stream, and none is permitted."""
        settings, outbox = self._settings, self._outbox
        self._budget = PieceBudget(settings.stream_pieces)
        self._peer = TransportParameters()
        self._permitted = {0: 0, UNIDIRECTIONAL: 0}  # streams of a kind that we may open
        self._next = {kind: kind | self._own for kind in self._permitted}
        self._blocked: dict[int, LastingFrame] = {}
        self._opened = {
            0: _Opened(settings.initial_max_streams_bidi, 0, outbox),
            UNIDIRECTIONAL: _Opened(settings.initial_max_streams_uni, UNIDIRECTIONAL, outbox),
        }
        self.receive_credit = ReceiveCredit(settings.initial_max_data, settings.max_data_window, b"\x10", outbox)
        self.send_credit = SendCredit(0, b"\x14", outbox)
        self.schedule = Schedule(self.send_credit, self._sent)
        self.receiving: dict[int, ReceiveStream] = {}
        self.sending: dict[int, SendStream] = {}

    # --- from the application -------------------------------------------------------------------------------------

    def open(self, *, unidirectional: bool = False) -> int | None:
        """The id of a new stream; None when the peer does not permit one more yet, which it is told."""
        kind = UNIDIRECTIONAL if unidirectional else 0
        stream_id, permitted = self._next[kind], self._permitted[kind]
        if stream_id >> 2 >= permitted:
            if kind not in self._blocked:
                code = frames.STREAMS_BLOCKED_UNI if kind else frames.STREAMS_BLOCKED_BIDI
                self._blocked[kind] = LastingFrame(self._outbox, frames.numbers(code, permitted))
            return None
        self._next[kind] = stream_id + 4
        self._make(stream_id)
        return stream_id

    def next_id(self, *, unidirectional: bool) -> int:
        """The id of the next one that we open."""
        return self._next[UNIDIRECTIONAL if unidirectional else 0]

    def available(self, *, unidirectional: bool, local: bool) -> int:
        """How many more streams of a kind may be opened, by us or by the peer."""
        kind = UNIDIRECTIONAL if unidirectional else 0
        if local:
            return self._permitted[kind] - (self._next[kind] >> 2)
        return self._opened[kind].limit - self._opened[kind].opened

    def read(self, stream_id: int, size: int = -1) -> tuple[bytes, bool]:
        """At most `size` bytes (all there are when it is negative), and whether the stream ends behind them.

        Raises StreamReset when the peer has given the stream up, UsageError when there is nothing to be read from it,
        now or ever, ZeroRTTRejected when it went with that.
        """
        stream = self.receiving.get(stream_id)
        if stream is None:
            raise self._not_there(stream_id, "read from")
        try:
            data = stream.read(size)
        finally:
            self._look_after(stream)
        return data, stream.ended

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        """Read no more from a stream, and tell the peer so (section 3.5)."""
        stream = self.receiving.get(stream_id)
        if stream is not None:
            stream.stop(error_code)
            self._look_after(stream)
        elif self._is_rejected(stream_id):
            raise ZeroRTTRejected(self._rejected)

    def writer(self, stream_id: int) -> SendStream:
        """The half to write to. UsageError when there is none, or no more, ZeroRTTRejected when it went with that."""
        stream = self.sending.get(stream_id)
        if stream is None:
            raise self._not_there(stream_id, "written to")
        return stream

    def _not_there(self, stream_id: int, what: str) -> Error:
        if self._is_rejected(stream_id):
            return ZeroRTTRejected(self._rejected)
        return UsageError(f"stream {stream_id} is not there to be {what}")

    def _is_rejected(self, stream_id: int) -> bool:
        """Whether a stream of that id went with 0-RTT, and no other has it yet."""
        kind = stream_id & UNIDIRECTIONAL
        return stream_id & SERVER == self._own and self._next[kind] <= stream_id < self._early[kind]

    # --- what the peer permits ------------------------------------------------------------------------------------

    def permit(self, peer: TransportParameters) -> None:
        """The peer's transport parameters, or those remembered for 0-RTT. What is permitted already stays so."""
        self._peer = peer
        self.on_max_streams(peer.initial_max_streams_bidi, False)
        self.on_max_streams(peer.initial_max_streams_uni, True)
        for stream in self.sending.values():
            stream.grow(self._send_limit(stream.stream_id))
        self.on_max_data(peer.initial_max_data)

    def early_data_rejected(self, reason: str) -> None:
        """Every stream is gone, as if none had been opened (RFC 9001 section 4.6.2): ids begin anew.

        Whoever calls this forgets what was sent, so that nothing of an old stream is told what became of it.
        """
        self._early, self._rejected = self._next, reason
        self._outbox.clear()  # before the handshake is complete nobody but streams has frames there
        self._begin()

    def _send_limit(self, stream_id: int) -> int:
        """What the peer permits on a stream to begin with."""
        peer = self._peer
        if stream_id & SERVER != self._own:
            return peer.initial_max_stream_data_bidi_local
        if stream_id & UNIDIRECTIONAL:
            return peer.initial_max_stream_data_uni
        return peer.initial_max_stream_data_bidi_remote

    # --- from the peer --------------------------------------------------------------------------------------------

    def on_stream(self, stream_id: int, offset: int, data: bytes, fin: bool) -> None:
        """STREAM."""
        stream = self.receiving.get(stream_id)
        if stream is None:
            stream = self._receiver(stream_id)
            if stream is None:
                return
        stream.receive(offset, data, fin)
        if not stream.announced:
            self._look_after(stream)

    def on_bulk(self, payloads: Sequence[bytes]) -> None:
        """The frames of packets of which `is_bulk` is true. What is one piece of a stream goes there as one."""
        pieces: list[bytes] = []
        current = start = stop = -1  # the stream, and the bytes of it that `pieces` are
        for payload in payloads:
            stream_id, pos = payload[1], 2
            if stream_id >= 0x40:
                stream_id, pos = varint.decode(payload, 1)
            (offset,) = _U32(payload, pos)
            if offset >> 30 == 2:
                offset, pos = offset & 0x3FFF_FFFF, pos + 4
            else:
                offset, pos = varint.decode(payload, pos)
            if offset != stop or stream_id != current:
                if pieces:
                    self.on_stream(current, start, b"".join(pieces), False)
                    pieces.clear()
                current, start, stop = stream_id, offset, offset
            pieces.append(payload[pos:])
            stop += len(payload) - pos
        self.on_stream(current, start, b"".join(pieces), False)

    def on_reset_stream(self, stream_id: int, error_code: int, final_size: int) -> None:
        """RESET_STREAM."""
        stream = self._receiver(stream_id)
        if stream is not None:
            stream.reset(error_code, final_size)
            self._look_after(stream)

    def on_stop_sending(self, stream_id: int, error_code: int) -> None:
        """STOP_SENDING."""
        stream = self._sender(stream_id)
        if stream is not None and stream.stop(error_code):
            self._events.append(StopSendingReceived(stream_id, error_code))

    def on_max_stream_data(self, stream_id: int, maximum: int) -> None:
        """MAX_STREAM_DATA."""
        stream = self._sender(stream_id)
        if stream is not None:
            stream.grow(maximum)

    def on_max_data(self, maximum: int) -> None:
        """MAX_DATA."""
        if self.send_credit.grow(maximum):
            self.schedule.release()

    def on_max_streams(self, maximum: int, unidirectional: bool) -> None:
        """MAX_STREAMS."""
        kind = UNIDIRECTIONAL if unidirectional else 0
        before = self._permitted[kind]
        if maximum <= before:
            return
        self._permitted[kind] = maximum
        if kind in self._blocked:
            self._blocked.pop(kind).call_off()
        event = StreamsPermitted(unidirectional)
        if event not in self._events[-2:]:  # else a peer could make news faster than anybody takes it
            self._events.append(event)

    def on_stream_data_blocked(self, stream_id: int) -> None:
        """STREAM_DATA_BLOCKED: the stream must be one that can be."""
        self._receiver(stream_id)

    def _receiver(self, stream_id: int) -> ReceiveStream | None:
        """The half that the peer sends on; None when it is over."""
        if stream_id & SERVER != self._own:
            self._peer_opens(stream_id)
        elif stream_id & UNIDIRECTIONAL:
            raise StreamStateError(f"stream {stream_id} is ours to send on", section="RFC 9000 section 19.8")
        else:
            self._check_opened(stream_id)
        return self.receiving.get(stream_id)

    def _sender(self, stream_id: int) -> SendStream | None:
        """The half that we send on; None when it is over."""
        if stream_id & SERVER == self._own:
            self._check_opened(stream_id)
        elif stream_id & UNIDIRECTIONAL:
            raise StreamStateError(f"stream {stream_id} is not ours to send on", section="RFC 9000 section 19.10")
        else:
            self._peer_opens(stream_id)
        return self.sending.get(stream_id)

    def _check_opened(self, stream_id: int) -> None:
        if stream_id >= self._next[stream_id & UNIDIRECTIONAL]:
            raise StreamStateError(f"stream {stream_id} was never opened", section="RFC 9000 section 19.8")

    def _peer_opens(self, stream_id: int) -> None:
        """The stream, and those of its kind before it, are there from now on (section 3.2)."""
        opened, count = self._opened[stream_id & UNIDIRECTIONAL], (stream_id >> 2) + 1
        if count <= opened.opened:
            return
        if count > opened.limit:
            raise StreamLimitError(f"stream {stream_id} where {opened.limit} are allowed", section="RFC 9000 4.6")
        for each in range(stream_id - (count - 1 - opened.opened << 2), stream_id + 1, 4):
            self._make(each)
            self._events.append(StreamOpened(each))
        opened.opened = count

    # --- beginning and end ----------------------------------------------------------------------------------------

    def _make(self, stream_id: int) -> None:
        """The halves of a new stream."""
        settings, own = self._settings, stream_id & SERVER == self._own
        one_way = stream_id & UNIDIRECTIONAL
        if own or not one_way:
            limit = self._send_limit(stream_id)
            self.sending[stream_id] = SendStream(stream_id, limit, self.send_credit, self.schedule, self._outbox)
        if own and one_way:
            return
        if one_way:
            window = settings.initial_max_stream_data_uni
        elif own:
            window = settings.initial_max_stream_data_bidi_local
        else:
            window = settings.initial_max_stream_data_bidi_remote
        self.receiving[stream_id] = ReceiveStream(
            stream_id, window, settings.max_stream_data_window, self.receive_credit, self._budget, self._outbox
        )

    def _look_after(self, stream: ReceiveStream) -> None:
        """Tell the application if there is something to be read, forget the half if it is over."""
        if stream.over:
            if self.receiving.pop(stream.stream_id, None) is not None:
                self._half_over(stream.stream_id)
        elif not stream.announced and stream.readable:
            stream.announced = True
            self._events.append(StreamReadable(stream.stream_id))

    def _sent(self, stream: SendStream) -> None:
        """All that a stream will ever send has arrived."""
        if self.sending.pop(stream.stream_id, None) is not None:
            self._events.append(StreamDelivered(stream.stream_id))
            self._half_over(stream.stream_id)

    def _half_over(self, stream_id: int) -> None:
        if stream_id & SERVER != self._own and stream_id not in self.receiving and stream_id not in self.sending:
            self._opened[stream_id & UNIDIRECTIONAL].ended()
