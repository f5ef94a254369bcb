"""The QUIC connection: datagrams in, datagrams out, events. No sockets, no clock of its own (RFC 9000, 9001, 9002).

It is a switchboard. The receiver opens packets; each of their frames is told to this module (`on_…`), which hands it to
its owner: streams, loss detection, paths, connection ids, the handshake. The sender asks the same owners what there is
to send. An exception that ends the connection becomes a CONNECTION_CLOSE in one place, `_fail`.

What nobody has authenticated is not believed: what does not open is dropped, and so is every packet before the
handshake that is not what the peer would send. While work of the handshake is paused all of this goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from caesura.context import QUIC_EARLY_DATA, Context, Method
from caesura.crypto.secrets import TrafficSecret
from caesura.errors import (
    AlertDescription,
    Error,
    MissingExtension,
    NoApplicationProtocol,
    NoViablePath,
    PeerAlert,
    PeerClose,
    ProtocolViolation,
    StatelessReset,
    TransportErrorCode,
    UnexpectedMessage,
    UsageError,
)
from caesura.errors import IdleTimeout as IdleTimeoutError
from caesura.events import DatagramReadable, EarlyDataReason, EarlyDataStatus
from caesura.handshake.endpoint import Endpoint
from caesura.handshake.performer import Awaiter
from caesura.handshake.state import Established
from caesura.handshake.transport import Epoch, Keys
from caesura.jobs import WaitContext
from caesura.quic import stateless_reset
from caesura.quic.acks import Acknowledgements
from caesura.quic.closing import Close, Ending, close_for
from caesura.quic.connection_ids import LocalConnectionIds, PeerConnectionIds
from caesura.quic.crypto_stream import CryptoStream
from caesura.quic.cubic import ALGORITHMS
from caesura.quic.datagrams import Datagrams
from caesura.quic.early_data import EarlyData, nothing_lowered, recall, remember
from caesura.quic.frames import (
    ACK_ELICITING,
    NOT_PROBING,
    AckRanges,
    EcnCounts,
    dispatch_untrusted,
    new_token,
    permitted,
)
from caesura.quic.handshake import PROFILES, HandshakeIds, check_ids, own_parameters
from caesura.quic.idle import IdleTimeout
from caesura.quic.key_update import KeyPhases
from caesura.quic.levels import (
    APPLICATION_SPACE,
    HANDSHAKE,
    HANDSHAKE_SPACE,
    INITIAL,
    INITIAL_SPACE,
    ONE_RTT,
    SPACES,
    ZERO_RTT,
)
from caesura.quic.loss_detection import LossDetection
from caesura.quic.migration import Paths
from caesura.quic.mtu import BASE, PathMTU
from caesura.quic.outbox import LastingFrame, Outbox
from caesura.quic.pacing import Pacer
from caesura.quic.packets import (
    LONG_HEADER,
    MIN_DESTINATION_LENGTH,
    MIN_INITIAL_DATAGRAM,
    LongHeader,
    read_long,
    read_version_negotiation,
    retry_is_genuine,
)
from caesura.quic.path import Address, Path
from caesura.quic.protection import InitialKeys, ReadKey, WriteKey
from caesura.quic.qlog import Qlog, log_of
from caesura.quic.receiver import Opened, Receiver
from caesura.quic.rtt import RoundTrip
from caesura.quic.sender import Datagram, Sender
from caesura.quic.space import PacketSpace
from caesura.quic.streams import Streams
from caesura.quic.tokens import Validated
from caesura.quic.transport_parameters import TransportParameters, VersionInformation, decode_untrusted
from caesura.quic.version_negotiation import check_server, choose, select
from caesura.quic.versions import RETRY, VERSIONS, VersionParameters
from caesura.sessions import Session
from caesura.wire.extensions import EARLY_DATA_TICKET, QUIC_TRANSPORT_PARAMETERS, Extensions
from caesura.wire.messages import NewSessionTicket
from caesura.wire.registries import HandshakeType, Version

_PING: Final = b"\x01"
_HANDSHAKE_DONE: Final = b"\x1e"
_BLACK_HOLE: Final = 3  # probe timeouts in a row without an answer

Data = bytes | bytearray | memoryview


class QUICConnection(Endpoint):
    """One QUIC connection without I/O.

    Give it the datagrams that came (`receive_datagram`, with the two ECN bits of their IP header) and send those that
    `datagrams_to_send` returns. After every call that takes `now` (seconds, monotonic), and after writing, send them,
    read `next_event()` until it gives None, and ask `timeout()` anew: when that time has come, call
    `handle_timeout(now)`. What the peer does is never raised: it is in `error`, and the last event says so.

    `addr` is the server's address on a client, and `token` what an earlier connection's `new_token` was: with it the
    server need not ask for the client's address. A server learns its client's from the first datagram. `validated`:
    what a token has proved to whoever makes the connection (a listener); without it a server sends at most
    `quic.max_amplification` times what has come, until the client has proved its address. `on_connection_ids` is told
    all ids that lead here whenever they change. `next_token` makes the token that a client is given for its next
    connection, from the version and the address.

    `early_data` lets a client open streams before the handshake is complete, if its session permits that (0-RTT): what
    it sends so may be read twice, by anybody's doing. If the server takes none, it is sent again. A server takes some
    when `max_early_data` says so.

    Raises ConfigError for settings that cannot make a connection of this role. A connection belongs to one thread at a
    time; calling it from within its own callback is a UsageError, except for `close()`, which then takes effect when
    the callback has returned.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_begun",
        "_chosen",
        "_datagrams",
        "_early",
        "_ending",
        "_idle",
        "_ids",
        "_key_update_wanted",
        "_local_ids",
        "_loss",
        "_next_token",
        "_now",
        "_outbox",
        "_pacer",
        "_parameters",
        "_path",
        "_paths",
        "_peer",
        "_peer_ids",
        "_permitted",
        "_profile",
        "_qlog",
        "_reacted",
        "_read_secret",
        "_reader",
        "_reread",
        "_spaces",
        "_streams",
        "_to",
        "_used",
        "_validated",
        "_version_settled",
        "_writer",
        "handshake_confirmed",
        "new_token",
    )

    _reader: Receiver
    _writer: Sender

    def __init__(
        self,
        context: Context,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: Session | None = None,
        addr: Address = None,
        token: bytes = b"",
        validated: Validated | None = None,
        on_connection_ids: Callable[[list[bytes]], object] | None = None,
        next_token: Callable[[int, Address], bytes] | None = None,
        wait_context: WaitContext | None = None,
        awaiter: Awaiter | None = None,
        async_mode: bool | None = None,
        early_data: bool = False,
    ) -> None:
        settings = context.settings
        options = settings.quic
        first = VERSIONS[options.versions[0]]
        self._profile = PROFILES[first.version]
        super().__init__(
            settings,
            Method.QUIC,
            server_side=server_side,
            server_hostname=server_hostname,
            session=session,
            wait_context=wait_context,
            awaiter=awaiter,
            async_mode=async_mode,
            early_data=0 if early_data or server_side else None,
        )
        self._outbox = Outbox()
        self._local_ids = LocalConnectionIds(
            options.connection_id_length,
            options.active_connection_id_limit,
            options.issued_connection_ids,
            settings.random,
            options.reset_key,
            self._outbox,
            on_connection_ids,
        )
        self._streams = Streams(options, self._outbox, self._events, client=not server_side)
        self._datagrams = Datagrams(options.max_datagram_frame_size, options.datagram_queue)
        self._permitted = tuple(permitted(level, from_server=not server_side) for level in range(ONE_RTT + 1))
        self._validated = validated
        self._next_token = next_token
        self._reacted = False  # whether a Version Negotiation packet has made us begin anew
        self._begun = False
        self._now = 0.0
        self._used = b""  # the id of ours that the peer uses on the active path
        self._to = b""  # the one that the packet at hand went to
        self._key_update_wanted = False
        self._ending: Ending | None = None
        self._early = EarlyData(wanted=early_data or server_side)
        self._qlog: Qlog | None = None
        self.handshake_confirmed = False
        self.new_token: bytes | None = None  # a client's, for its next connection (RFC 9000 section 8.1.3)
        self._set_up(first, addr, token)

    def _set_up(self, parameters: VersionParameters, addr: Address, token: bytes) -> None:
        """Everything that a first flight of this version begins with."""
        options, random, client = self._settings.quic, self._settings.random, not self.server_side
        self._parameters = self._chosen = parameters
        round_trip = RoundTrip(options.initial_rtt)
        congestion = ALGORITHMS[options.congestion](BASE)
        self._loss = LossDetection(congestion, round_trip, client=client)
        self._pacer = Pacer(congestion, round_trip)
        self._spaces = (
            self._space(INITIAL_SPACE, INITIAL),
            self._space(HANDSHAKE_SPACE, HANDSHAKE),
            self._space(APPLICATION_SPACE, ONE_RTT),
        )
        first = random(MIN_DESTINATION_LENGTH) if client else b""
        self._ids = HandshakeIds(first)
        self._peer_ids = PeerConnectionIds(options.active_connection_id_limit, first, self._outbox)
        validated = client or self._validated is not None
        self._path = Path(addr, self._peer_ids.first, random, options.max_amplification, validated=validated)
        self._paths = Paths(
            self._path, self._peer_ids, options.paths, options.max_amplification, random, self._on_new_path
        )
        self._reader = Receiver(
            self._spaces, self._local_ids, options.undecryptable_packets, fixed_bit=not options.grease_quic_bit
        )
        self._writer = Sender(
            parameters,
            self._local_ids.first,
            self._spaces,
            self._loss,
            self._pacer,
            self._paths,
            PathMTU(BASE),
            self._outbox,
            self._streams,
            self._datagrams,
            client=client,
        )
        self._writer.token = token
        self._idle = IdleTimeout(options.max_idle_timeout, self._now)
        self._peer: TransportParameters | None = None
        self._read_secret: TrafficSecret | None = None  # of 1-RTT packets, until they may be read
        self._reread = False  # whether keys have come that packets may have waited for
        self._version_settled = False  # whether the peer has gone on in a version

    def _space(self, number: int, level: int) -> PacketSpace:
        options = self._settings.quic
        delay = options.max_ack_delay if number == APPLICATION_SPACE else 0.0
        acks = Acknowledgements(delay, options.ack_delay_exponent, options.ack_ranges)
        return PacketSpace(number, level, self._loss.spaces[number], acks, CryptoStream(options.crypto_buffer))

    # --- driving --------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: Data, addr: Address, now: float, ecn: int = 0) -> None:
        """One datagram, where it came from, and the two ECN bits of its IP header."""
        if self._closed:
            return
        datagram = data if type(data) is bytes else bytes(data)
        if self._ending is not None:
            self._ending.received()
            return
        self._enter()
        try:
            self._now = now
            self._receive(datagram, addr, ecn)
            if self._driver is not None or self._post or self._reread or not self._inbox.empty:
                self._go_on(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
        finally:
            self._leave()

    def receive_datagrams(self, datagrams: Sequence[Data], addr: Address, now: float, ecn: int = 0) -> None:
        """Several from one address, as one read of a socket gives them: the same as one by one, and cheaper."""
        if self._closed or self._ending is not None or not self.handshake_confirmed:
            for each in datagrams:
                self.receive_datagram(each, addr, now, ecn)
            return
        self._enter()
        try:
            self._now = now
            whole = [each if type(each) is bytes else bytes(each) for each in datagrams]
            if not self._receive_bulk(whole, addr, ecn):
                for datagram in whole:
                    self._receive(datagram, addr, ecn)
                    if self._ending is not None:
                        break
            if self._driver is not None or self._post or self._reread or not self._inbox.empty:
                self._go_on(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
        finally:
            self._leave()

    def _receive_bulk(self, datagrams: list[bytes], addr: Address, ecn: int) -> bool:
        """Take datagrams that are all one 1-RTT packet on the path in use; whether they are."""
        path = self._path = self._paths.active
        if addr != path.address or self._qlog is not None:
            return False
        found = self._reader.open_bulk(datagrams, self._used, self._now)
        if found is None:
            return False
        self._to = self._used
        acks, on_bulk, now = self._spaces[APPLICATION_SPACE].acks, self._streams.on_bulk, self._now
        for index, opened in enumerate(found):
            if opened is None:
                self._unopened(datagrams[index])
                continue
            number, payload = opened
            path.received += len(datagrams[index])
            if acks.seen(number):
                continue
            if on_bulk(payload):
                acks.received(number, True, now, ecn)
                continue
            flags = dispatch_untrusted(payload, ONE_RTT, self._permitted[ONE_RTT], self)
            acks.received(number, flags & ACK_ELICITING != 0, now, ecn)
            if self._ending is not None:
                break
        if any(found):
            self._idle.received(now)
        return True

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Every datagram that may be sent now, with the address it goes to; handed over once."""
        ending = self._ending
        if ending is not None:
            if not ending.pending or self._closed:
                return []
            ending.pending = False
            return [(ending.datagram, self._paths.active.address)]
        if self._closed or not self._begun:
            return []
        self._enter()
        try:
            self._now = now
            self._update_keys()
            self._writer.fill(now)
            self._sent(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
            return self.datagrams_to_send(now)
        finally:
            self._leave()
        out, self._writer.out = self._writer.out, []
        return out

    def _sent(self, now: float) -> None:
        """What follows from what was sent."""
        writer = self._writer
        if writer.elicited:
            writer.elicited = False
            self._idle.sent(now)
        if writer.handshake_sent and not self.server_side and not self._spaces[INITIAL_SPACE].discarded:
            self._abandon(INITIAL_SPACE)  # RFC 9001 section 4.9.1

    def timeout(self) -> float | None:
        """When `handle_timeout` is due, on the clock of `now`: a timer, or paused work that is overdue. None: never."""
        if self._ending is not None:
            return None if self._closed else self._ending.until
        if self._closed or self.error is not None:
            return None
        found: float | None = None
        for each in self._timers():
            if each is not None and (found is None or each < found):
                found = each
        if self._driver is not None or self._post:  # nothing else can have work under way
            for part in self._parts():
                if part.deadline is not None and (found is None or part.deadline < found):
                    found = part.deadline
        return found

    def handle_timeout(self, now: float) -> None:
        """Serve every timer that has expired, and fail paused work that is overdue. Too early a call does nothing."""
        self._now = now
        if self._ending is not None:
            if self._ending.until <= now:
                self.close()
            return
        super().handle_timeout(now)

    def _timers(self) -> Iterable[float | None]:
        if not self._begun:
            return ()
        phases = self._reader.phases
        return (
            self._loss.timeout(),
            *(space.acks.deadline for space in self._spaces if self._can_send(space)),
            self._idle.deadline(self._probe_timeout()),
            self._keep_alive_at(),
            self._paths.deadline,
            None if phases is None else phases.previous_until,
            self._send_time(),
        )

    def _keep_alive_at(self) -> float | None:
        """When to send something for the connection to stay; None while something waits to be sent anyway."""
        wanted = self._settings.quic.keep_alive and self.handshake_confirmed and not self._outbox
        return self._idle.keep_alive_at() if wanted else None

    def _can_send(self, space: PacketSpace) -> bool:
        """Whether a packet of this space could go out: a timer for what cannot would ring for ever."""
        return space.write is not None and not self._loss.amplification_limited

    def _send_time(self) -> float | None:
        """When pacing lets something go out that waits; None when nothing waits for that."""
        return self._pacer.next_time() if self._writer.held_back else None

    def _serve_timers(self, now: float) -> None:
        idle = self._idle.deadline(self._probe_timeout())
        if idle is not None and idle <= now:
            raise IdleTimeoutError(f"nothing has come for {self._idle.duration:g} s")
        alive = self._keep_alive_at()
        if alive is not None and alive <= now:
            LastingFrame(self._outbox, _PING)
        due = self._loss.timeout()
        if due is not None and due <= now:
            self._loss.handle_timeout(now)
            if self._loss.pto_count == _BLACK_HOLE:
                self._writer.mtu.black_hole()
                self._datagrams.fit(self._writer.room)
        if not self._paths.expire(now):
            raise NoViablePath("the peer cannot be reached where it seems to be", section="RFC 9000 section 9.3.2")
        if self._reader.phases is not None:
            self._reader.phases.expire(now)

    def _probe_timeout(self) -> float:
        round_trip = self._loss.round_trip
        return round_trip.probe_timeout + round_trip.max_ack_delay

    def _go_on(self, now: float) -> None:
        self._now = now
        try:
            self._run_handshake(now)
            while self._post:
                self._post[0].advance(now)
                if not self._post[0].done:
                    break
                self._post.pop(0)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)

    def _run_handshake(self, now: float) -> None:
        driver = self._driver
        if driver is not None:
            driver.advance(now)
            if driver.done:
                self._driver = None
        if self._driver is None and self._established is not None:
            expected = () if self.server_side else (NewSessionTicket,)
            while (message := self._inbox.take(expected)) is not None:  # a KeyUpdate too is unexpected (RFC 9001 6)
                assert isinstance(message, NewSessionTicket)
                if message.extensions.get(EARLY_DATA_TICKET) not in (None, 0, QUIC_EARLY_DATA):
                    raise ProtocolViolation("a ticket with a limit of its own", section="RFC 9001 section 4.6.1")
                if self._parameters is self._chosen:  # else it would lie where those of the other version do
                    self._ticket_received(message)
        if self._reread:
            self._reread = False
            for packet, address, ecn in self._reader.take_kept():
                self._packets(packet, address, ecn)

    # --- beginning ------------------------------------------------------------------------------------------------

    def _begin(self, destination: bytes) -> None:
        """The first packet is there, or is about to be made; it goes to this id of the server's."""
        self._begun = True
        if self._qlog is None:
            self._qlog = log_of(self._settings, self._ids.original, self._now, client=not self.server_side)
        self._writer.qlog = self._qlog
        if self._qlog is not None:
            self._qlog.exponent = self._settings.quic.ack_delay_exponent
            self._loss.on_lost = self._qlog.packet_lost
        self._idle.received(self._now)
        self._reader.initial = self._initial_keys(destination)
        self._go_on_in(self._parameters)

    def _initial_keys(self, destination: bytes) -> InitialKeys:
        return InitialKeys(destination, self._settings.quic.versions, server_side=self.server_side)

    def _go_on_in(self, parameters: VersionParameters) -> None:
        """Packets are written in this version from now on (RFC 9369 section 4)."""
        self._parameters = self._writer.parameters = parameters
        self._reader.version = int(parameters.version)
        assert self._reader.initial is not None
        self._spaces[INITIAL_SPACE].write = self._reader.initial.write(parameters.version)
        if parameters is not self._chosen and self._spaces[APPLICATION_SPACE].level == ZERO_RTT:
            self._spaces[APPLICATION_SPACE].write = None  # 0-RTT packets are of the version that was chosen first

    def _first_packet(self, header: LongHeader, size: int, addr: Address) -> bool:
        """A server's first packet: whether it may begin a connection (RFC 9000 sections 14.1 and 7.2)."""
        acceptable = header.kind == INITIAL and header.parameters.version in self._settings.quic.versions
        if not acceptable or size < MIN_INITIAL_DATAGRAM or len(header.destination) < MIN_DESTINATION_LENGTH:
            return False
        proved = self._validated
        original = header.destination
        if proved is not None and proved.original_id is not None:
            original = proved.original_id
            self._ids.retry = proved.retry_id
        self._ids.original = original
        self._reader.original = header.destination
        self._reader.early_expected = self._settings.max_early_data > 0
        self._parameters = self._chosen = header.parameters
        self._peer_ids.first.value = header.source
        self._paths.active.address = addr
        self._begin(header.destination)
        return True

    def _forget(self) -> None:
        """What looked like a client's first packet was none: the next one that does may be."""
        self._begun = False
        self._reader.initial = None
        self._paths.active.received = 0

    # --- datagrams in ---------------------------------------------------------------------------------------------

    def _receive(self, datagram: bytes, addr: Address, ecn: int) -> None:
        if not datagram:
            return
        if datagram[0] & LONG_HEADER and not self.handshake_confirmed:
            header = read_long(datagram, 0)
            if header is None or header.kind == RETRY:
                if not self.server_side:
                    self._unprotected(header, datagram)
                return
            if not self._begun and not (self.server_side and self._first_packet(header, len(datagram), addr)):
                return
        if not self._begun or not (self._paths.find(addr) or self._may_move):
            return
        if not self._packets(datagram, addr, ecn):
            self._unopened(datagram)

    def _unopened(self, datagram: bytes) -> None:
        """Nothing in it is the peer's, or it cannot be read; it may be a reset."""
        if self._qlog is not None:
            self._qlog.packet_dropped(len(datagram), self._now)
        if self.server_side and self._reader.source is None:
            self._forget()
        elif self._is_reset(datagram):
            raise StatelessReset

    @property
    def _may_move(self) -> bool:
        """Whether the peer may come from somewhere else: a client, and not before the handshake is confirmed."""
        return self.server_side and self.handshake_confirmed

    def _packets(self, datagram: bytes, addr: Address, ecn: int) -> bool:
        """The packets of a datagram; whether one was opened."""
        if not datagram[0] & LONG_HEADER:  # nearly always, once the handshake is done
            opened = self._reader.open_short(datagram, addr, self._now, ecn)
            if opened is not None:
                self._short_packet(opened, addr, ecn, len(datagram))
            return opened is not None
        found = False
        self._paths.active.received += len(datagram)
        for opened in self._reader.packets(datagram, addr, self._now, ecn):
            found = True
            if opened[3] is not None:
                self._long_packet(opened, opened[3], ecn)
            else:
                self._short_packet(opened, addr, ecn, 0)
            if self._ending is not None:
                break
            if not self.handshake_complete:
                self._run_handshake(self._now)
        return found

    def _short_packet(self, opened: Opened, addr: Address, ecn: int, size: int) -> None:
        """A 1-RTT packet, and what it says of where the peer is (RFC 9000 section 9)."""
        space, number, payload, _, used = opened
        acks, paths = space.acks, self._paths
        if acks.seen(number):
            return
        if self._qlog is not None:
            self._qlog.packet_received(ONE_RTT, number, size or len(payload), payload, self._now)
        newest = number > acks.largest
        path = paths.active if addr == paths.active.address else paths.find(addr)
        if path is None:
            path = paths.add(addr, same_id=used == self._used)
        path.received += size
        if self._streams.on_bulk(payload):
            flags = ACK_ELICITING | NOT_PROBING
        else:
            self._path, self._to = path, used
            flags = dispatch_untrusted(payload, ONE_RTT, self._permitted[ONE_RTT], self)
        acks.received(number, flags & ACK_ELICITING != 0, self._now, ecn)
        self._idle.received(self._now)
        if path is paths.active:
            self._used = used
        elif newest and flags & NOT_PROBING and self._may_move:
            paths.migrate(path, self._now, self._probe_timeout())
            self._used = used

    def _long_packet(self, opened: Opened, header: LongHeader, ecn: int) -> None:
        """A packet of the handshake."""
        space, number, payload, _, _ = opened
        if space.acks.seen(number):
            return
        if self._qlog is not None:
            self._qlog.packet_received(header.kind, number, header.stop - header.start, payload, self._now)
        if header.parameters is not self._parameters and not self.server_side:
            if self._version_settled:
                return
            self._version_settled = True
            self._go_on_in(header.parameters)
        if self._reader.source is None:
            self._reader.source = header.source
            self._peer_ids.first.value = header.source
        if header.kind == HANDSHAKE and self.server_side:
            self._paths.active.validated = True  # RFC 9000 section 8.1
            if not self._spaces[INITIAL_SPACE].discarded:
                self._abandon(INITIAL_SPACE)
        flags = dispatch_untrusted(payload, header.kind, self._permitted[header.kind], self)
        space.acks.received(number, flags & ACK_ELICITING != 0, self._now, ecn)
        self._idle.received(self._now)

    def _unprotected(self, header: LongHeader | None, datagram: bytes) -> None:
        """Retry and Version Negotiation: what a server says in the clear to a client that has heard nothing yet."""
        if self._reader.source is not None or self._ids.retry is not None or not self._begun:
            return
        if header is not None:
            self._retry(header, datagram)
            return
        found = read_version_negotiation(datagram)
        if found is None or found[:2] != (self._local_ids.first, self._ids.original) or self._reacted:
            return
        version = choose(int(self._chosen.version), found[2], tuple(map(int, self._settings.quic.versions)))
        if version is not None:
            self._begin_anew(VERSIONS[version])

    def _begin_anew(self, parameters: VersionParameters) -> None:
        """Another attempt, in a version that the server speaks (RFC 9368 section 2.1). No session is offered again."""
        driver = self._driver
        assert driver is not None
        driver.close()
        self._reacted = True
        self._begun = False
        self._profile = PROFILES[parameters.version]
        self._set_up(parameters, self._paths.active.address, b"")
        self._driver = self._new_handshake(None)

    def _retry(self, header: LongHeader, datagram: bytes) -> None:
        """Begin again, with the server's token (RFC 9000 section 17.2.5)."""
        if (
            header.parameters is not self._chosen
            or header.destination != self._local_ids.first
            or header.source == self._ids.original
            or not header.token
            or not retry_is_genuine(header, datagram, self._ids.original)
        ):
            return
        self._ids.retry = header.source
        self._peer_ids.first.value = header.source
        self._writer.token = header.token
        self._reader.initial = self._initial_keys(header.source)
        self._go_on_in(self._chosen)
        self._loss.requeue(INITIAL_SPACE)
        self._loss.requeue(APPLICATION_SPACE)

    def _is_reset(self, datagram: bytes) -> bool:
        token = stateless_reset.token_of(datagram)
        return token is not None and self._peer_ids.is_reset(token)

    # --- frames (FrameReceiver) -----------------------------------------------------------------------------------

    def on_ack(self, level: int, ranges: AckRanges, delay: int, ecn: EcnCounts | None) -> None:  # noqa: ARG002
        """ACK. We mark nothing with ECN, so counts say nothing."""
        exponent = self._peer.ack_delay_exponent if self._peer is not None else 3
        if level == ONE_RTT and self._reader.phases is not None:
            self._reader.phases.acknowledged(ranges[0][1] - 1)
        self._loss.ack_received(SPACES[level], ranges, (delay << exponent) / 1_000_000, self._now)
        if self._qlog is not None:
            self._qlog.peer_exponent = exponent
            self._qlog.recovery_metrics(self._loss, self._now)

    def on_crypto(self, level: int, offset: int, data: bytes) -> None:
        """CRYPTO: bytes of the handshake, in order to its inbox."""
        stream = self._spaces[SPACES[level]].crypto
        stream.receive(offset, data)
        ready = stream.read()
        if ready:
            self._version_settled = True
            if level < self._inbox.epoch:
                raise ProtocolViolation("more handshake bytes of an old level", section="RFC 9001 section 4.1.3")
            self._inbox.receive_untrusted(Epoch(level), ready)

    def on_handshake_done(self) -> None:
        """HANDSHAKE_DONE: the handshake is confirmed (RFC 9001 section 4.1.2)."""
        if not self.handshake_confirmed:
            self._confirm()

    def on_new_token(self, token: bytes) -> None:
        """NEW_TOKEN: the latest is kept, for the application to give to its next connection (`token`)."""
        self.new_token = token

    def on_stream(self, stream_id: int, offset: int, data: bytes, fin: bool) -> None:
        """STREAM."""
        self._streams.on_stream(stream_id, offset, data, fin)

    def on_reset_stream(self, stream_id: int, error_code: int, final_size: int) -> None:
        """RESET_STREAM."""
        self._streams.on_reset_stream(stream_id, error_code, final_size)

    def on_stop_sending(self, stream_id: int, error_code: int) -> None:
        """STOP_SENDING."""
        self._streams.on_stop_sending(stream_id, error_code)

    def on_max_data(self, maximum: int) -> None:
        """MAX_DATA."""
        self._streams.on_max_data(maximum)

    def on_max_stream_data(self, stream_id: int, maximum: int) -> None:
        """MAX_STREAM_DATA."""
        self._streams.on_max_stream_data(stream_id, maximum)

    def on_max_streams(self, maximum: int, unidirectional: bool) -> None:
        """MAX_STREAMS."""
        self._streams.on_max_streams(maximum, unidirectional)

    def on_data_blocked(self, limit: int) -> None:
        """DATA_BLOCKED: windows grow by how fast they are used up, not by this."""

    def on_stream_data_blocked(self, stream_id: int, limit: int) -> None:  # noqa: ARG002
        """STREAM_DATA_BLOCKED."""
        self._streams.on_stream_data_blocked(stream_id)

    def on_streams_blocked(self, limit: int, unidirectional: bool) -> None:
        """STREAMS_BLOCKED: the limit moves up as streams end, not by this."""

    def on_new_connection_id(
        self, sequence_number: int, retire_prior_to: int, connection_id: bytes, reset_token: bytes
    ) -> None:
        """NEW_CONNECTION_ID."""
        self._peer_ids.received(sequence_number, retire_prior_to, connection_id, reset_token)
        if not self._paths.replace_retired():
            raise ProtocolViolation("every connection id is wanted back", section="RFC 9000 section 5.1.2")

    def on_retire_connection_id(self, sequence_number: int) -> None:
        """RETIRE_CONNECTION_ID."""
        self._local_ids.retired(sequence_number, self._to)

    def on_path_challenge(self, data: bytes) -> None:
        """PATH_CHALLENGE: answered on the path it came by."""
        self._path.respond(data, self._settings.quic.path_responses)

    def on_path_response(self, data: bytes) -> None:
        """PATH_RESPONSE."""
        self._paths.answered(data)

    def on_connection_close(self, error_code: int, frame_type: int | None, reason: bytes) -> None:
        """CONNECTION_CLOSE: it is over, and nothing more is said (RFC 9000 section 10.2.2)."""
        application = frame_type is None
        if error_code == TransportErrorCode.NO_ERROR:
            self.close_notify_received = True
        elif not application and error_code & ~0xFF == TransportErrorCode.CRYPTO_ERROR:
            self.error = PeerAlert(error_code & 0xFF)
        else:
            text = reason.decode(errors="replace")
            self.error = PeerClose(error_code, text, application=application, frame_type=frame_type or None)
        self._end(None)

    def on_datagram(self, data: bytes, size: int) -> None:
        """DATAGRAM."""
        self._datagrams.receive(data, size)
        if not self._datagrams.announced:
            self._datagrams.announced = True
            self._events.append(DatagramReadable())

    # --- the application ------------------------------------------------------------------------------------------

    def open_stream(self, *, unidirectional: bool = False) -> int | None:
        """The id of a new stream; None when the peer does not permit one more now (StreamsPermitted tells when)."""
        self._require_open()
        return self._streams.open(unidirectional=unidirectional)

    def write_stream(self, stream_id: int, data: Data, *, fin: bool = False) -> None:
        """Send bytes on a stream, and with `fin` nothing after them.

        All of it is taken; `stream_backlog` tells how much waits. Raises StreamStopped when the peer wants no more.
        """
        self._require_open()
        stream = self._streams.writer(stream_id)
        if data:
            stream.write(data if type(data) is bytes else bytes(data))
        if fin:
            stream.conclude()

    def stream_backlog(self, stream_id: int) -> int:
        """Bytes written to a stream and not sent yet; 0 for one that is over."""
        stream = self._streams.sending.get(stream_id)
        return 0 if stream is None else stream.backlog

    def read_stream(self, stream_id: int, size: int = -1) -> tuple[bytes, bool]:
        """At most `size` bytes of a stream (all there are by default), and whether it ends behind them.

        Raises StreamReset when the peer has given it up, UsageError when it is not there to be read from.
        """
        return self._streams.read(stream_id, size)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Send nothing more on a stream, not even what is lost (RFC 9000 section 3.3)."""
        self._require_open()
        self._streams.writer(stream_id).reset(error_code)

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        """Read no more from a stream, and ask the peer to send no more on it (RFC 9000 section 3.5)."""
        self._require_open()
        self._streams.stop_sending(stream_id, error_code)

    def send_datagram(self, data: Data) -> bool:
        """Send a datagram, which may be lost (RFC 9221); False when too many wait already. UsageError if too long."""
        self._require_open()
        return self._datagrams.send(data if type(data) is bytes else bytes(data), self._writer.room)

    def read_datagram(self) -> bytes | None:
        """The oldest datagram that has come; None when there is none now."""
        return self._datagrams.read()

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - the verb of other connections
        """Nothing: what there is to be read is in streams and datagrams."""
        return b""

    def pending(self) -> int:
        """Nothing: see `read`."""
        return 0

    def shutdown(self, error_code: int = 0, reason: str = "") -> None:
        """Close both directions at once (RFC 9000 section 10.2), with what the application protocol says by it.

        Legal twice, and at any moment: before the handshake is complete the peer learns that there was an end alone.
        """
        if self.close_notify_sent or self._ending is not None or self._closed:
            return
        self.close_notify_sent = True
        self._end(Close(error_code, None, reason))

    def key_update(self) -> None:
        """Change keys as soon as that may be (RFC 9001 section 6)."""
        self._require_open()
        self._key_update_wanted = True

    def change_connection_id(self) -> None:
        """Write another of the peer's ids from now on, and give the present one back (RFC 9000 section 5.1.2).

        UsageError when the peer has given none to change to.
        """
        self._require_open()
        path = self._paths.active
        another = self._peer_ids.take()
        if another is None or another is path.peer_id:
            raise UsageError("change_connection_id: the peer has given no spare one")
        before, path.peer_id = path.peer_id, another
        self._peer_ids.retire(before)

    @property
    def heard(self) -> bool:
        """Whether a genuine packet of the peer's has come."""
        return self._reader.source is not None

    def migrate(self) -> None:
        """Tell a client's connection that it will send from another address of ours from now on (RFC 9000 section 9.2).

        Another of the server's ids is written, so that nobody can link the two, and what was learnt of the old path is
        forgotten. UsageError when the server does not want it, has given no id to change to, or the handshake is not
        confirmed.
        """
        self._require_open()
        if self.server_side or not self.handshake_confirmed:
            raise UsageError("migrate: only clients do, when the handshake is confirmed")
        if self._peer is not None and self._peer.disable_active_migration:
            raise UsageError("migrate: the server does not want it (disable_active_migration)")
        if self._paths.active.peer_id.value:
            self.change_connection_id()
        self._on_new_path()

    @property
    def terminated(self) -> bool:
        """Whether nothing is left to do: the connection is over, and late packets need not be told so."""
        return self._closed

    @property
    def version(self) -> Version | None:
        """The version of QUIC, once it is agreed."""
        return self._parameters.version if self._established is not None else None

    @property
    def addr(self) -> Address:
        """Where the peer is: the address of the path in use."""
        return self._paths.active.address

    @property
    def address_validated(self) -> bool:
        """Whether the peer is known to be there (RFC 9000 section 8)."""
        return self._paths.active.validated

    @property
    def key_updates(self) -> int:
        """How many times our keys have changed (RFC 9001 section 6)."""
        key = self._spaces[APPLICATION_SPACE].write
        return 0 if key is None else key.generation

    @property
    def peer_parameters(self) -> TransportParameters | None:
        """The peer's transport parameters, once they have come."""
        return self._peer

    @property
    def peer_connection_id(self) -> bytes:
        """The id that we write."""
        return self._paths.active.peer_id.value

    @property
    def connection_ids(self) -> tuple[bytes, ...]:
        """The ids that lead here, and, while the handshake goes on, where the client's first packets went."""
        ids = tuple(self._local_ids.ids.values())
        first = self._reader.original
        return ids if self.handshake_confirmed or not first else (*ids, first)

    @property
    def wants_data(self) -> bool:
        """Whether the adapter should read on from the transport: until the connection is over."""
        return not self._closed

    # --- the seam under the handshake (MessageTransport) ----------------------------------------------------------

    def send(self, epoch: Epoch, message: bytes) -> None:
        """One handshake message, in CRYPTO frames; a client's first one begins the connection."""
        if not self._begun:
            self._begin(self._ids.original)
        self._spaces[SPACES[epoch]].crypto.write(message)

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Packets of this level can be sent."""
        assert isinstance(keys, TrafficSecret)
        space = self._spaces[SPACES[epoch]]
        space.level = int(epoch)
        space.write = WriteKey(keys, (self._chosen if epoch is Epoch.EARLY_DATA else self._parameters).label)
        if epoch is Epoch.HANDSHAKE:
            self._loss.handshake_keys = True

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Packets of this level can be read; 1-RTT packets when the handshake is complete (RFC 9001 section 5.7)."""
        assert isinstance(keys, TrafficSecret)
        self._reread = True
        if epoch is Epoch.EARLY_DATA:
            self._reader.early = ReadKey(keys, self._chosen.label)
            return
        if not self._inbox.empty or self._spaces[SPACES[self._inbox.epoch]].crypto.ahead:
            raise UnexpectedMessage("handshake bytes behind the last message of a level", section="RFC 9001 4.1.3")
        self._inbox.epoch = epoch
        if epoch is Epoch.HANDSHAKE:
            self._spaces[HANDSHAKE_SPACE].read = ReadKey(keys, self._parameters.label)
        else:
            self._read_secret = keys

    def version_chosen(self, version: Version) -> None:
        """The handshake's version, of which there is one."""

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:  # noqa: ARG002
        """Our transport parameters, in ClientHello and EncryptedExtensions."""
        extensions = Extensions()
        if message is not HandshakeType.server_hello:
            parameters = self._own_parameters()
            extensions.put(QUIC_TRANSPORT_PARAMETERS, parameters.encode())
            if self._qlog is not None:
                self._qlog.parameters_set(parameters, self._now, local=True)
        return extensions

    def _own_parameters(self) -> TransportParameters:
        options, noise = self._settings.quic, self._settings.random(4)
        information = VersionInformation(int(self._parameters.version), tuple(map(int, options.versions)))
        return own_parameters(options, self._ids, self._local_ids, information, noise, server_side=self.server_side)

    def peer_extensions(self, extensions: Extensions) -> None:
        """The peer's transport parameters; its ServerHello has none."""
        data = extensions.get(QUIC_TRANSPORT_PARAMETERS)
        if data is None:
            if self.server_side:
                raise MissingExtension("quic_transport_parameters", section="RFC 9001 section 8.2")
            return
        peer = decode_untrusted(data, from_server=not self.server_side)
        if self._qlog is not None:
            self._qlog.parameters_set(peer, self._now, local=False)
        check_ids(peer, self._ids, self._peer_ids.first.value, server_side=self.server_side)
        if self.server_side:
            self._agree_on_version(peer.version_information)
        else:
            ours = tuple(map(int, self._settings.quic.versions))
            negotiated, chosen = int(self._parameters.version), int(self._chosen.version)
            check_server(peer.version_information, negotiated, ours, chosen=chosen, reacted=self._reacted)
        self._peer = peer
        self._apply(peer)

    def _agree_on_version(self, information: VersionInformation | None) -> None:
        """Go on in the version that is preferred here, if the client knows it (RFC 9368 section 2.3)."""
        ours = tuple(map(int, self._settings.quic.versions))
        version = select(int(self._chosen.version), information, ours)
        if version != self._chosen.version:
            self._go_on_in(VERSIONS[version])

    def _apply(self, peer: TransportParameters) -> None:
        """What the peer's parameters change."""
        options = self._settings.quic
        self._loss.round_trip.max_ack_delay = peer.max_ack_delay
        self._idle.peer_declares(peer.max_idle_timeout)
        self._datagrams.peer_limit = peer.max_datagram_frame_size
        if peer.grease_quic_bit and options.grease_quic_bit:
            self._writer.grease = self._settings.random
        self._writer.mtu.maximum = min(options.mtu, peer.max_udp_payload_size)
        self._peer_ids.first.reset_token = peer.stateless_reset_token

    def ticket_state(self) -> bytes:
        """The version, as a ticket is good in no other (RFC 9369 section 5), and what 0-RTT may rely on."""
        return int(self._parameters.version).to_bytes(4, "big") + remember(self._own_parameters())

    def accepts(self, ticket_state: bytes) -> bool:
        """Whether the ticket is of this version."""
        return ticket_state[:4] == int(self._parameters.version).to_bytes(4, "big")

    def accepts_early_data(self, ticket_state: bytes) -> bool:
        """Whether 0-RTT may be sent, or taken, by what is remembered: a server that permits less now takes none."""
        remembered = recall(ticket_state[4:] if self.server_side else ticket_state)
        if remembered is None:
            return False
        self._early.remembered = remembered
        return not self.server_side or nothing_lowered(remembered, self._own_parameters())

    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:  # noqa: ARG002
        """0-RTT: streams are opened by it, or what was sent is sent again when the handshake is complete."""
        if self._early.told(accepted, reason):
            self._spaces[APPLICATION_SPACE].write = None
            self._loss.requeue(APPLICATION_SPACE)
            self._streams.early_data_rejected()
        elif accepted:
            permitted_by = self._peer if self.server_side else self._early.remembered
            assert permitted_by is not None
            self._streams.permit(permitted_by)
        elif self.server_side:
            self._reader.early_expected = False

    @property
    def may_write(self) -> bool:
        """Whether streams may be opened: the handshake is complete, or 0-RTT is under way."""
        return self.handshake_complete or self._early.open

    @property
    def early_data_status(self) -> EarlyDataStatus:
        """What became of 0-RTT."""
        return self._early.status

    @property
    def early_data_reason(self) -> EarlyDataReason:
        """Why."""
        return self._early.reason

    def completed(self, established: Established) -> None:
        """The handshake is done: 1-RTT packets are read, streams may be opened; to a server it is confirmed too."""
        if established.alpn is None:
            raise NoApplicationProtocol(section="RFC 9001 section 8.1")
        if self._peer is None:
            raise MissingExtension("quic_transport_parameters", section="RFC 9001 section 8.2")
        write, read = self._spaces[APPLICATION_SPACE].write, self._read_secret
        assert write is not None
        assert read is not None
        self._reader.phases = KeyPhases(write, read, self._parameters.label, self._probe_timeout)
        self._read_secret = None
        self._reread = True
        before = self._early.remembered
        if not self.server_side and before is not None and self._early.open and not nothing_lowered(before, self._peer):
            raise ProtocolViolation("less permitted than 0-RTT could rely on", section="RFC 9000 section 7.4.1")
        if not self.server_side:
            established.transport_state = remember(self._peer)
        super().completed(established)
        if self._qlog is not None:
            self._qlog.version_information(
                map(int, self._settings.quic.versions),
                int(self._parameters.version),
                self._now,
                client=not self.server_side,
            )
            self._qlog.alpn_information(established.alpn, self._now)
        self._streams.permit(self._peer)
        self._local_ids.issue(self._peer.active_connection_id_limit)
        if self.server_side:
            LastingFrame(self._outbox, _HANDSHAKE_DONE)
            if self._next_token is not None:
                token = self._next_token(int(self._parameters.version), self.addr)
                LastingFrame(self._outbox, new_token(token))
            self._confirm()

    def _confirm(self) -> None:
        """Both sides have completed the handshake (RFC 9001 section 4.1.2)."""
        self.handshake_confirmed = self._loss.handshake_confirmed = True
        self._reader.early, self._reader.early_expected = None, False
        self._paths.active.validated = True
        if not self._spaces[HANDSHAKE_SPACE].discarded:
            self._abandon(HANDSHAKE_SPACE)

    def _abandon(self, space: int) -> None:
        """The keys of a space are of no use any more (RFC 9001 section 4.9)."""
        self._spaces[space].discard()
        self._loss.discard(space, self._now)
        if space == INITIAL_SPACE:
            self._reader.initial = None

    # --- what else may happen -------------------------------------------------------------------------------------

    def _on_new_path(self) -> None:
        """Another host is sent to (RFC 9000 section 9.4)."""
        self._loss.new_path()
        mtu = PathMTU(BASE)
        mtu.maximum = self._writer.mtu.maximum
        self._writer.mtu = mtu
        self._datagrams.fit(self._writer.room)

    def _update_keys(self) -> None:
        phases, space = self._reader.phases, self._spaces[APPLICATION_SPACE]
        if phases is None or space.write is None or not self.handshake_confirmed:
            return
        due = self._key_update_wanted or space.write.sealed >= self._settings.quic.key_update_packets
        if due and phases.may_update(space.sent.largest_acked):
            self._key_update_wanted = False
            phases.update()
            if self._qlog is not None:
                self._qlog.key_updated(self.server_side, space.write.generation, self._now)

    # --- the end --------------------------------------------------------------------------------------------------

    def _fail(self, error: Error) -> None:
        """End the connection: the peer is told, if there is anything it could be told."""
        if self._ending is not None:
            return
        self.error = error
        self._end(close_for(error))

    def _end(self, close: Close | None) -> None:
        """Closing, or draining when there is nothing to say."""
        datagram = self._writer.last_words(close) if close is not None and self._begun else b""
        self._ending = Ending(datagram, self._now, self._probe_timeout())
        if self._qlog is not None:
            self._qlog.connection_closed(self.error, self._now, by_us=close is not None)
        self._drop()

    def _send_close_notify(self) -> None:
        """See `shutdown`."""

    def _send_fatal_alert(self, description: AlertDescription) -> bool:  # noqa: ARG002
        """See `_fail`."""
        return False

    def _drop(self) -> None:
        super()._drop()
        for space in self._spaces:
            space.discard()

    def _discard(self) -> None:
        """Forget what was to be sent."""
