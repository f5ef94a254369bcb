"""What a QUIC connection consists of, and how that is put together.

Each part has a file of its own; here they are made and made known to each other, once for each first flight: after a
Version Negotiation packet a client begins with all of it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caesura.context import Context, Method
from caesura.crypto.secrets import TrafficSecret
from caesura.errors import ConfigError
from caesura.handshake.endpoint import Endpoint
from caesura.handshake.performer import Awaiter
from caesura.jobs import WaitContext
from caesura.quic.acks import Acknowledgements
from caesura.quic.closing import SILENT, Close, CloseInfo, Ending
from caesura.quic.connection_ids import LocalConnectionIds, PeerConnectionIds
from caesura.quic.crypto_stream import CryptoStream
from caesura.quic.cubic import ALGORITHMS
from caesura.quic.datagrams import Datagrams
from caesura.quic.early_data import EarlyData
from caesura.quic.frames import permitted
from caesura.quic.handshake import PROFILES, HandshakeIds
from caesura.quic.idle import IdleTimeout
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE, HANDSHAKE_SPACE, INITIAL, INITIAL_SPACE, ONE_RTT, ZERO_RTT
from caesura.quic.loss_detection import LossDetection
from caesura.quic.migration import Paths
from caesura.quic.mtu import BASE, PathMTU
from caesura.quic.outbox import Outbox
from caesura.quic.pacing import Pacer
from caesura.quic.packets import MIN_DESTINATION_LENGTH, SPIN_BIT
from caesura.quic.path import Address, Path
from caesura.quic.protection import InitialKeys
from caesura.quic.qlog import Qlog, log_of
from caesura.quic.receiver import Receiver
from caesura.quic.rtt import RoundTrip
from caesura.quic.sender import Sender
from caesura.quic.space import PacketSpace
from caesura.quic.streams import Streams
from caesura.quic.tokens import Validated
from caesura.quic.transport_parameters import TransportParameters
from caesura.quic.turn import Turn
from caesura.quic.versions import VERSIONS, VersionParameters
from caesura.sessions import Session

_UNSPUN: Final = 16  # one connection in so many has no spin bit, so that having none is nothing special


class Parts(Endpoint):
    """A connection, as far as it is its parts. What the arguments mean is said in `QUICConnection`."""

    __slots__ = (
        "__weakref__",
        "_begun",
        "_chosen",
        "_datagrams",
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
        "_roams",
        "_spaces",
        "_spins",
        "_streams",
        "_to",
        "_used",
        "_validated",
        "_version_settled",
        "_writer",
        "close_info",
        "deserted",
        "handshake_confirmed",
        "keep_alive",
        "new_token",
        "turn",
    )

    _reader: Receiver
    _writer: Sender
    _early: EarlyData

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
        roams: bool = False,
        turn: Turn | None = None,
    ) -> None:
        settings = context.settings
        self.turn = Turn() if turn is None else turn
        self._roams = roams and not server_side
        self.deserted = False  # what is paused has lost its connection, and waits for the application to unwind it
        options = settings.quic
        if len(token) > options.token_length:
            raise ConfigError(f"token: {len(token)} bytes, where quic.token_length is {options.token_length}")
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
        if turn is not None:
            self.leave_waiting()
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
        self.keep_alive = bool(options.keep_alive)  # whether something is sent for the idle timeout not to come
        self.close_info: CloseInfo | None = None  # how it was closed, once it was
        self._early = EarlyData(wanted=settings.max_early_data > 0 if server_side else early_data)
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
        self._loss = LossDetection(congestion, round_trip, client=client, ecn=options.ecn)
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
        self._paths = Paths(self._path, self._peer_ids, options.paths, options.max_amplification, random)
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
        self._spins = options.spin_bit and random(1)[0] % _UNSPUN != 0
        self._begin_to_spin()
        self._writer.trace = None if self._performer.trace is None else self._trace
        self._idle = IdleTimeout(options.max_idle_timeout, self._now)
        self._peer: TransportParameters | None = None
        self._read_secret: TrafficSecret | None = None  # of 1-RTT packets, until they may be read
        self._reread = False  # whether keys have come that packets may have waited for
        self._version_settled = False  # whether the peer has gone on in a version

    def _trace(self, kind: str, what: object, size: int = 0) -> None:
        """See `Endpoint`; in another turn than the application's it is not told."""
        if self.turn.handshakes:
            super()._trace(kind, what, size)

    def _space(self, number: int, level: int) -> PacketSpace:
        options = self._settings.quic
        delay = options.max_ack_delay if number == APPLICATION_SPACE else 0.0
        acks = Acknowledgements(delay, options.ack_delay_exponent, options.ack_ranges)
        return PacketSpace(number, level, self._loss.spaces[number], acks, CryptoStream(options.crypto_buffer))

    def _begin(self, destination: bytes) -> None:
        """The first packet is there, or is about to be made; it goes to this id of the server's."""
        self._begun = True
        if self._qlog is None:
            self._qlog = log_of(self._settings, self._ids.original, self._now, client=not self.server_side)
        self._reader.qlog = self._writer.qlog = self._qlog
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

    def _abandon(self, space: int) -> None:
        """The keys of a space are of no use any more (RFC 9001 section 4.9)."""
        self._spaces[space].discard()
        self._loss.discard(space, self._now)
        if space == INITIAL_SPACE:
            self._reader.initial = None

    def _look_for_new_path(self) -> None:
        if self._paths.moved:
            self._on_new_path()

    def _on_new_path(self) -> None:
        """Another host is sent to (RFC 9000 section 9.4)."""
        self._paths.moved = False
        self._loss.new_path()
        self._begin_to_spin()
        mtu = PathMTU(BASE)
        mtu.maximum = self._writer.mtu.maximum
        self._writer.mtu = mtu
        self._datagrams.fit(self._writer.room)

    def _begin_to_spin(self) -> None:
        """Another id is written: nobody is to know by the spin bit that it is the same connection."""
        self._writer.spin = 0 if self._spins else self._settings.random(1)[0] & SPIN_BIT

    def _probe_timeout(self) -> float:
        return self._loss.round_trip.longest_probe_timeout()

    def _end(self, close: Close | None) -> None:
        """Closing, or draining when there is nothing to say."""
        if self.close_info is None:
            silent = CloseInfo(SILENT, 0, str(self.error or ""), local=True, transport=True)
            self.close_info = silent if close is None else close.info()
        datagram = self._writer.last_words(close) if close is not None and self._begun else b""
        self._ending = Ending(datagram, self._paths.active, self._now, self._probe_timeout())
        if self._qlog is not None:
            self._qlog.connection_closed(self.error, self._now, by_us=close is not None)
        self._drop()
