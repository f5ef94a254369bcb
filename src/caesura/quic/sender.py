"""Filling datagrams: what is sent next, and in which packets (RFC 9000 sections 12.2, 13 and 14).

A datagram holds a packet of each space that has something to say, in the order of their levels, so that all of it can
be read in one pass; once the handshake is over, that is one packet. In a packet stand, in this order: an ACK, bytes of
the handshake, small frames, DATAGRAM frames, STREAM frames. How much may be sent is for others to say: the path
(amplification, MTU), congestion control, pacing; probes are sent in spite of the last two. Hot: once per packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from caesura.crypto.quic import TAG_LENGTH
from caesura.handshake.performer import Working
from caesura.quic import frames, varint
from caesura.quic.closing import Close
from caesura.quic.datagrams import Datagrams
from caesura.quic.ecn import ECT0
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE_SPACE, INITIAL, INITIAL_SPACE, ONE_RTT
from caesura.quic.loss_detection import LossDetection
from caesura.quic.migration import Paths
from caesura.quic.mtu import PathMTU
from caesura.quic.outbox import Outbox
from caesura.quic.pacing import Pacer
from caesura.quic.packets import FIXED_BIT, MIN_INITIAL_DATAGRAM, long_header, number_length
from caesura.quic.path import Address, Path
from caesura.quic.protection import MIN_PAYLOAD, WriteKey
from caesura.quic.qlog import Qlog
from caesura.quic.sent_packets import Recall
from caesura.quic.space import PacketSpace
from caesura.quic.streams import Streams
from caesura.quic.versions import VersionParameters

_BURST: Final = 64  # datagrams at most in one go
_PING: Final = b"\x01"
_LENGTH: Final = 2  # bytes of a long header's Length field
_NOISE: Final = 32  # random bytes that are asked for at once: to ask costs nearly as much as to send
_LEAST: Final = 64  # bytes of room that a packet needs to be begun

Datagram = tuple[bytes, Address]
"""What is to be sent, and where to."""


class _Draft:
    """A packet that is not sealed yet. `size`: bytes of its frames, which are `payload`; `overhead`: of all else."""

    __slots__ = (
        "eliciting", "first", "key", "number", "overhead", "padded", "payload", "recalls", "rest", "size", "space",
    )  # fmt: skip

    def __init__(self, space: PacketSpace, key: WriteKey, first: int, rest: bytes) -> None:
        self.space = space
        self.key = key
        sent = space.sent
        self.number = number = sent.next_number
        length = number_length(number, sent.largest_acked)
        self.first = first | length - 1
        self.rest = rest
        self.overhead = 1 + len(rest) + (0 if space.level == ONE_RTT else _LENGTH) + length + TAG_LENGTH
        self.payload: list[bytes] = []
        self.recalls: list[Recall] = []
        self.size = 0
        self.eliciting = False
        self.padded = False

    def add(self, frame: bytes) -> None:
        """Put an ack-eliciting frame in that is not sent again when it is lost."""
        self.payload.append(frame)
        self.size += len(frame)
        self.eliciting = True

    def pad(self, size: int) -> None:
        """Fill the packet up to so many bytes."""
        missing = size - self.overhead - self.size
        if missing > 0:
            self.payload.append(bytes(missing))
            self.size += missing
            self.padded = True


class Sender(Working):
    """Makes the datagrams of one connection; `out` has those that are ready.

    `parameters`: the version's. `local_id`: the source in long headers. `token`: a client's, for its Initial packets.
    `handshake_sent`: whether a Handshake packet has gone out; `elicited`: whether something has to which the peer must
    answer, for whoever sets it back; `held_back`: whether nothing but pacing keeps something back. `grease`: random
    bytes, if the fixed bit of 1-RTT packets may be anything (RFC 9287); it changes from one burst to the next. `ecn`:
    the two bits of the IP header with which the burst is to be sent.
    """

    __slots__ = (
        "_bits",
        "_client",
        "_datagrams",
        "_loss",
        "_noise",
        "_outbox",
        "_pacer",
        "_paths",
        "_spaces",
        "_streams",
        "ecn",
        "elicited",
        "grease",
        "handshake_sent",
        "held_back",
        "local_id",
        "mtu",
        "out",
        "parameters",
        "qlog",
        "spin",
        "token",
        "trace",
    )

    def __init__(
        self,
        parameters: VersionParameters,
        local_id: bytes,
        spaces: tuple[PacketSpace, PacketSpace, PacketSpace],
        loss: LossDetection,
        pacer: Pacer,
        paths: Paths,
        mtu: PathMTU,
        outbox: Outbox,
        streams: Streams,
        datagrams: Datagrams,
        *,
        client: bool,
    ) -> None:
        self.parameters = parameters
        self.local_id = local_id
        self.token = b""
        self.mtu = mtu
        self.handshake_sent = False
        self.ecn = 0
        self.elicited = False
        self.held_back = False
        self.out: list[Datagram] = []
        self.qlog: Qlog | None = None
        self.trace: Callable[[str, str, int], object] | None = None
        self._spaces = spaces
        self._loss = loss
        self._pacer = pacer
        self._paths = paths
        self._outbox = outbox
        self._streams = streams
        self._datagrams = datagrams
        self._client = client
        self._bits = FIXED_BIT  # of short headers, the spin bit among them
        self.spin = 0
        self.grease: Callable[[int], bytes] | None = None
        self._noise: Iterator[int] = iter(())
        self._ongoing = None  # packets are sealed at once

    @property
    def room(self) -> int:
        """Bytes of frames that a 1-RTT packet can have."""
        return self.mtu.size - 1 - len(self._paths.active.peer_id.value) - 4 - TAG_LENGTH

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sealed: none."""
        return 0

    def close(self) -> None:
        """Nothing more is sent of what was to be sent."""
        self.out = []

    # --- datagrams ------------------------------------------------------------------------------------------------

    def fill(self, now: float) -> None:
        """Make every datagram that may be sent now."""
        out, paths = self.out, self._paths
        self.ecn = ECT0 if self._loss.ecn.begin(self._loss.pto_count) else 0
        self._bits = (FIXED_BIT if self.grease is None else self._random_fixed_bit(self.grease)) | self.spin
        key = self._spaces[APPLICATION_SPACE].write if self._spaces[HANDSHAKE_SPACE].discarded else None
        if key is not None:
            for path in paths.all:
                if path.challenge is not None or path.responses:
                    self._validate(path, key, now)
        path, congestion = paths.active, self._loss.congestion
        if congestion.max_datagram_size != self.mtu.size:
            congestion.max_datagram_size = self.mtu.size
        allowance = self._pacer.allowance(now)
        if key is not None and path.validated and allowance > 0:
            allowance -= self._bulk(path, key, allowance, now)
        while len(out) < _BURST:
            size = self._datagram(path, now, allowance > 0)
            if not size:
                break
            allowance -= size
        if key is not None and allowance > 0 and path.validated:
            self._probe_mtu(path, key, now)
        self.held_back = allowance <= 0 < congestion.room and self._anything_waits()
        needed = _LEAST if self._spaces[INITIAL_SPACE].discarded else MIN_INITIAL_DATAGRAM
        self._loss.amplification_limited = path.room < needed

    def _random_fixed_bit(self, grease: Callable[[int], bytes]) -> int:
        noise = next(self._noise, None)
        if noise is None:
            self._noise = iter(grease(_NOISE))
            noise = next(self._noise)
        return noise & FIXED_BIT

    def _datagram(self, path: Path, now: float, paced: bool) -> int:
        """One datagram for the active path; how large it is, 0 for none."""
        size = min(self.mtu.size, path.room)
        drafts: list[_Draft] = []
        used = 0
        for space in self._spaces:
            key = space.write
            if key is None or size - used < _LEAST:
                continue
            if space.number == INITIAL_SPACE and size < MIN_INITIAL_DATAGRAM and not self._client:
                continue  # what the peer must answer to needs a datagram of full size (section 14.1)
            draft = self._draft(space, key, path, size - used, now, paced)
            if draft is not None:
                drafts.append(draft)
                used += draft.overhead + draft.size
        if not drafts:
            return 0
        if drafts[0].space.number == INITIAL_SPACE and (self._client or drafts[0].eliciting):  # section 14.1
            last = drafts[-1]
            last.pad(min(MIN_INITIAL_DATAGRAM, size) - used + last.overhead + last.size)
        return self._send(drafts, path, now)

    def _bulk(self, path: Path, key: WriteKey, allowance: int, now: float) -> int:
        """Packets that hold one STREAM frame and nothing else, as many as may be sent; their bytes.

        None while there is anything else to send: then `_datagram` makes the next one.
        """
        space, loss = self._spaces[APPLICATION_SPACE], self._loss
        if space.acks.pending or self._outbox or self._datagrams or space.crypto:
            return 0
        size, number = self.mtu.size, space.sent.next_number
        count = min(_BURST - len(self.out), allowance // size, loss.congestion.room // size, key.limit - key.sealed)
        if count < 2:
            return 0
        rest = path.peer_id.value
        length = number_length(number + count, space.sent.largest_acked)
        carried = self._streams.schedule.write_bulk(size - 1 - len(rest) - length - TAG_LENGTH, count)
        if not carried:
            return 0
        first = self._bits | key.phase_bit | length - 1
        packets = key.seal_bulk(first, rest, number, [payload for payload, _ in carried])
        if self.qlog is not None:
            for at, (payload, _) in enumerate(carried):
                self.qlog.packet_sent(ONE_RTT, number + at, size, payload, now)
        loss.bulk_sent(number, size, [recalls for _, recalls in carried], now)
        space.sent.next_number = number + len(packets)
        sent = size * len(packets)
        if self.ecn:
            loss.ecn.sent(APPLICATION_SPACE, len(packets))
        self._pacer.sent(sent)
        path.sent += sent
        self.elicited = True
        address = path.address
        self.out += [(packet, address) for packet in packets]
        return sent

    def _validate(self, path: Path, key: WriteKey, now: float) -> None:
        """Challenges and responses of a path, in datagrams of their own (section 8.2)."""
        while path.room >= _LEAST and (path.challenge is not None or path.responses):
            draft = self._begin(self._spaces[APPLICATION_SPACE], key, path)
            if path.challenge is not None:
                draft.add(frames.path_challenge(path.challenge))
                path.challenge = None
            if path.responses:
                draft.add(frames.path_response(path.responses.pop(0)))
            draft.pad(min(MIN_INITIAL_DATAGRAM, path.room))
            self._send([draft], path, now)

    def _probe_mtu(self, path: Path, key: WriteKey, now: float) -> None:
        """A packet of a size that is tried (section 14.4)."""
        size = self.mtu.probe_size(now)
        if not size or self._loss.congestion.room < size:
            return
        draft = self._begin(self._spaces[APPLICATION_SPACE], key, path)
        draft.add(_PING)
        draft.pad(size)
        draft.recalls.append((self.mtu, size, 0, b""))
        self.mtu.sent(size)
        self._send([draft], path, now)
        packet = draft.space.sent.packets[draft.number]
        assert packet is not None
        packet.mtu_probe = True

    def last_words(self, close: Close) -> bytes:
        """A datagram that says at each level whose keys there are why the connection ends; empty if there are none.

        The peer may not have the newest keys, nor we any but those (section 10.2.3).
        """
        path = self._paths.active
        drafts: list[_Draft] = []
        for space in self._spaces:
            if space.write is not None:
                draft = self._begin(space, space.write, path)
                frame = close.frame(space.level)
                draft.payload.append(frame)
                draft.size = len(frame)
                drafts.append(draft)
        used = sum(draft.overhead + draft.size for draft in drafts)
        if self._client and drafts and drafts[0].space.number == INITIAL_SPACE:
            drafts[-1].pad(MIN_INITIAL_DATAGRAM - used + drafts[-1].overhead + drafts[-1].size)
        datagram = b"".join([self._seal(draft) for draft in drafts])
        return datagram if len(datagram) <= path.room else b""

    # --- packets --------------------------------------------------------------------------------------------------

    def _begin(self, space: PacketSpace, key: WriteKey, path: Path) -> _Draft:
        if space.level == ONE_RTT:
            return _Draft(space, key, self._bits | key.phase_bit, path.peer_id.value)
        token = self.token if space.level == INITIAL else b""
        header = long_header(self.parameters, space.level, path.peer_id.value, self.local_id, token)
        return _Draft(space, key, header[0], header[1:])

    def _draft(
        self, space: PacketSpace, key: WriteKey, path: Path, size: int, now: float, paced: bool
    ) -> _Draft | None:
        """What this space has to say, in a packet of at most `size` bytes."""
        loss, acks = self._loss, space.acks
        probing = loss.probes[space.number] > 0
        due = acks.due or (acks.deadline is not None and acks.deadline <= now)
        if not (due or probing or self._waiting(space)):
            return None
        # Handshake bytes are few, and not held back by data: a peer that cannot read that yet does not acknowledge it,
        # so it would fill the window for ever (nor has RFC 9002 section 6.2.1 a probe timeout for it by then).
        may = probing or (
            paced and (loss.congestion.room > 0 or (space.number != APPLICATION_SPACE and bool(space.crypto)))
        )
        if not (due or may):
            return None
        draft = self._begin(space, key, path)
        payload, recalls = draft.payload, draft.recalls
        room = whole = size - draft.overhead
        if due or acks.pending:
            room -= acks.write(room, payload, recalls, now)
            if self.trace is not None and space.number != APPLICATION_SPACE:
                self.trace("sent", "ack", whole - room)
        before = room
        if may:
            room = self._content(space, room, payload, recalls, now)
        if probing and room == before and space.number != APPLICATION_SPACE:
            # The second probe of one packet's bytes brings them again: a PING is of no use to a server that has seen no
            # hello, and some take such a packet for an error.
            loss.repeat(space.number)
            room = self._content(space, room, payload, recalls, now)
        draft.eliciting = room < before
        draft.size = whole - room
        if not draft.eliciting and room and (probing or acks.wants_answer):
            draft.add(_PING)
            if self.trace is not None and space.number != APPLICATION_SPACE:
                self.trace("sent", "ping", len(_PING))
        return draft if payload else None

    def _waiting(self, space: PacketSpace) -> bool:
        if space.number != APPLICATION_SPACE:
            return bool(space.crypto)
        return bool(space.crypto or self._streams.schedule or self._outbox or self._datagrams)

    def _content(self, space: PacketSpace, room: int, payload: list[bytes], recalls: list[Recall], now: float) -> int:
        """Everything ack-eliciting that there is and fits; the room that is left."""
        while space.crypto and (size := space.crypto.write_frame(room, payload, recalls)):
            room -= size
        if space.number == APPLICATION_SPACE:
            if self._outbox:
                room -= self._outbox.write(room, payload, recalls, now, self._loss.round_trip.smoothed)
            if self._datagrams:
                room -= self._datagrams.write(room, payload)
            if self._streams.schedule:
                room -= self._streams.schedule.write(room, payload, recalls)
        return room

    def _anything_waits(self) -> bool:
        for space in self._spaces:  # noqa: SIM110 - a loop takes half the time
            if space.write is not None and self._waiting(space):
                return True
        return False

    def _send(self, drafts: list[_Draft], path: Path, now: float) -> int:
        """Seal the packets of one datagram, remember what is in flight, put it out; its size."""
        packets: list[bytes] = []
        for draft in drafts:
            packet = self._seal(draft)
            packets.append(packet)
            if self.ecn:
                self._loss.ecn.sent(draft.space.number, 1)
            self.elicited |= draft.eliciting
            if self.qlog is not None:
                self.qlog.packet_sent(draft.space.level, draft.number, len(packet), b"".join(draft.payload), now)
            if draft.eliciting or draft.padded:
                number, recalls = draft.space.number, tuple(draft.recalls)
                self._loss.packet_sent(number, draft.number, len(packet), draft.eliciting, recalls, now)
                self._pacer.sent(len(packet))
            if draft.space.number == HANDSHAKE_SPACE:
                self.handshake_sent = True
        datagram = b"".join(packets)
        path.sent += len(datagram)
        self.out.append((datagram, path.address))
        return len(datagram)

    def _seal(self, draft: _Draft) -> bytes:
        length = (draft.first & 3) + 1
        if length + draft.size < MIN_PAYLOAD:
            draft.payload.append(bytes(MIN_PAYLOAD - length - draft.size))
            draft.size = MIN_PAYLOAD - length
        rest = draft.rest
        if draft.space.level != ONE_RTT:
            rest += varint.encode_two(length + draft.size + TAG_LENGTH)
        draft.space.sent.next_number = draft.number + 1
        return draft.key.seal(draft.first, rest, draft.number, b"".join(draft.payload))
