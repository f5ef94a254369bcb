"""What a DTLS connection consists of, and what the application may change about it.

Each part has a file of its own; here they are made. What moves them is in `connection`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caesura.context import Context, Method
from caesura.dtls.acks import Acknowledgements
from caesura.dtls.address import AddressValidation
from caesura.dtls.alerts import Alerts
from caesura.dtls.application_data import ApplicationData
from caesura.dtls.connection_id import ConnectionIds
from caesura.dtls.cookies import Address, Proven
from caesura.dtls.early_data import EarlyData
from caesura.dtls.greeting import Greeter
from caesura.dtls.key_update import KeyUpdates
from caesura.dtls.reader import RecordReader
from caesura.dtls.reassembly import Reassembly
from caesura.dtls.retransmission import Retransmission
from caesura.dtls.srtp import SRTP
from caesura.dtls.transport import DTLSTransport
from caesura.dtls.writer import RecordWriter
from caesura.errors import UsageError
from caesura.handshake.performer import Awaiter
from caesura.handshake.record_endpoint import early_data_asked
from caesura.handshake.transport import Epoch
from caesura.jobs import WaitContext
from caesura.sessions import Session
from caesura.wire.data import Data
from caesura.wire.dtls import FIRST_RECORD_VERSION, RecordNumber, RequestConnectionId
from caesura.wire.messages import HandshakeMessage
from caesura.wire.registries import ConnectionIdUsage, SRTPProtectionProfile, Version

_EARLY_OVERHEAD: Final = 22  # bytes of a record without an id: its header, its content type, the longest tag


class DTLSParts(DTLSTransport):
    """The parts, and the application's hand on them."""

    __slots__ = (
        "__weakref__",
        "_ack_now",
        "_acks",
        "_address",
        "_alerts",
        "_data",
        "_greeter",
        "_heard",
        "_idle_timeout",
        "_key_updates",
        "_newest",
        "_quick",
        "addr",
        "heard_from",
    )

    def __init__(
        self,
        context: Context,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: Session | None = None,
        addr: Address = None,
        address_validated: bool = True,
        proven: Proven | None = None,
        on_connection_ids: Callable[[list[bytes]], object] | None = None,
        wait_context: WaitContext | None = None,
        awaiter: Awaiter | None = None,
        async_mode: bool | None = None,
        idle_timeout: float | None = None,
        early_data: Data | bool | None = None,
    ) -> None:
        early = early_data_asked(early_data, server_side=server_side)
        to_send = early or b""
        settings = context.settings
        limits, options = settings.limits, settings.dtls
        if len(to_send) > options.mtu - _EARLY_OVERHEAD:
            raise UsageError(f"early_data: {len(to_send)} bytes in one datagram, with a dtls.mtu of {options.mtu}")
        first_seq = proven.message_seq if proven is not None else 0
        self._reassembly = Reassembly(
            limits.handshake_message, limits.messages_ahead, limits.reassembly_bytes, first_seq
        )
        super().__init__(
            settings,
            Method.DTLS,
            server_side=server_side,
            server_hostname=server_hostname,
            session=session,
            wait_context=wait_context,
            awaiter=awaiter,
            async_mode=async_mode,
            retried=proven.retried if proven is not None else None,
            message_seq=first_seq,
            early_data=len(early) if early is not None else None,
            inbox=self._reassembly,
        )
        self._data = ApplicationData(limits)
        wanted = early is not None and (not server_side or settings.max_early_data > 0)
        into = self._data if server_side and early_data is True else None
        self._early = EarlyData(limits.received_datagrams, wanted=wanted, server_side=server_side, into=into)
        self._to_send = to_send
        self._ids = ConnectionIds(options.connection_id, limits.connection_ids, settings.random, on_connection_ids)
        self._srtp = SRTP(options.srtp_profiles)
        self._reader = RecordReader(self._performer, settings, self._ids)
        self._reader.early_data = server_side and wanted
        self._writer = RecordWriter(self._performer, options.mtu, proven.record_sequence if proven is not None else 0)
        if not server_side:
            self._writer.say_version(FIRST_RECORD_VERSION)
        self._retransmission = Retransmission(options, limits.sent_records, self._writer, first_seq)
        self._acks = Acknowledgements(limits.ack_records)
        self._version = None
        self._dtls12 = Version.DTLS13 not in settings.versions  # agreed on, or all that may be
        self._read_epoch = 0  # in which the next handshake message comes
        self._installed = None  # for which early records may now be read
        self._ack_now = False
        self._answers = 0
        self._spec_came = None
        self._quick = False  # whether data may take the short way
        self._alerts = Alerts(limits.repeated_alerts)
        self._key_updates = KeyUpdates(limits)
        self._address = AddressValidation(options.amplification, validated=address_validated or proven is not None)
        ask = server_side and not address_validated and proven is None and options.cookies
        self._greeter = Greeter(settings) if ask else None
        self._heard: float | None = None
        self._idle_timeout = idle_timeout if options.idle_timeout is None else options.idle_timeout
        self._newest: RecordNumber = (0, 0)
        self.addr = addr
        self.heard_from = addr

    def _write_early(self, data: Data) -> int:
        datagram = data if type(data) is bytes else bytes(data)
        if self._writer.early is None or not self._early.may_send(len(datagram)):
            return 0
        self._writer.write_early(datagram)
        self._early.sent(len(datagram))
        return len(datagram)

    # --- the path ---------------------------------------------------------------------------------------------------

    @property
    def max_datagram(self) -> int:
        """How many bytes `write` takes: what the path's MTU and the peer leave of a datagram."""
        return self._writer.room(self._writer.current)

    @property
    def mtu(self) -> int:
        """Bytes that a datagram of ours may have; what is sent from now on heeds a change."""
        return self._writer.mtu

    @mtu.setter
    def mtu(self, value: int) -> None:
        self._writer.mtu = value

    def too_long(self, length: int) -> bool:
        """The transport refuses datagrams of `length` bytes: use `dtls.fallback_mtu` (RFC 9147 section 4.4).

        Whether nothing is lost by that: a flight of the handshake will be sent again, in smaller datagrams.
        """
        fallback = self._settings.dtls.fallback_mtu
        if fallback is None or length <= fallback:
            return False
        self.mtu = min(self.mtu, fallback)
        return not self.handshake_complete

    def set_initial_timeout(self, seconds: float, now: float) -> None:
        """Another initial timeout. Timers that run follow it in proportion; what has elapsed of them counts."""
        timer = self._retransmission.timer
        started = self._acks.deadline - self._ack_delay() if self._acks.deadline is not None else now
        timer.set_initial(seconds)
        if self._acks.deadline is not None:
            self._acks.deadline = started + self._ack_delay()

    def key_update(self, *, request_peer: bool = False) -> None:
        """Change our sending keys, and ask the peer to change its own (RFC 9147 section 8).

        They change when the peer has acknowledged it. Until then, and while another flight is out, further calls are
        one.
        """
        self._require_open()
        if self._dtls12:
            raise UsageError("key_update: DTLS 1.2 has none")
        if self._writer.current >= self._settings.limits.epoch:
            raise UsageError(f"key_update: there is no epoch after {self._writer.current}")
        self._key_updates.want(request_peer=request_peer)

    # --- connection ids -------------------------------------------------------------------------------------------

    @property
    def connection_ids(self) -> tuple[bytes, ...]:
        """The ids that we receive, oldest first; none where none are in use."""
        return tuple(self._ids.ours) if self._ids.length else ()

    @property
    def peer_connection_id(self) -> bytes:
        """The id that we write; empty for none."""
        return self._ids.theirs

    @property
    def spare_connection_ids(self) -> int:
        """How many more ids the peer has given us to change to."""
        return self._ids.spare

    @property
    def srtp_profile(self) -> SRTPProtectionProfile | None:
        """What SRTP shall protect with, if that was agreed on (RFC 5764); see `export_keying_material` for its keys.

        Their label is EXTRACTOR-dtls_srtp, and there is no context.
        """
        return self._srtp.agreed

    def new_connection_ids(self, count: int = 1, *, immediate: bool = False) -> None:
        """Give the peer fresh ids, to be used at once or kept as spare ones (RFC 9147 section 9)."""
        self._check_ids(bool(self._ids.length), "new_connection_ids: we receive no connection ids (dtls.connection_id)")
        usage = ConnectionIdUsage.cid_immediate if immediate else ConnectionIdUsage.cid_spare
        self._send(self._ids.issue(count, usage))

    def request_connection_ids(self, count: int = 1) -> None:
        """Ask the peer for ids (RFC 9147 section 9). UsageError while an earlier request is unfulfilled."""
        self._check_ids(bool(self._ids.theirs), "request_connection_ids: the peer receives none")
        if self._ids.asked:
            raise UsageError("request_connection_ids: an earlier request is unfulfilled")
        self._ids.asked = True
        self._send(RequestConnectionId(count))

    def change_connection_id(self) -> None:
        """Write the next of the peer's spare ids from now on, as on a new path. UsageError when there is none."""
        self._check_ids(bool(self._ids.theirs), "change_connection_id: the peer receives none")
        if not self._ids.change():
            raise UsageError("change_connection_id: the peer has given no spare one")
        self._writer.use_connection_id(self._ids.theirs)

    def follow(self) -> None:
        """Send to `heard_from` from now on: where the newest authentic record has come from, which may be new.

        Anybody in between can make a record come from elsewhere. So this is for applications that have seen, by their
        own means, that the peer hears what is sent there (RFC 9147 section 11, RFC 9146 section 6).
        """
        self.addr = self.heard_from

    def _check_ids(self, in_use: bool, reason: str) -> None:
        self._require_open()
        if self._dtls12:
            raise UsageError("connection ids of DTLS 1.2 do not change")
        if not self._ids.agreed or not in_use:
            raise UsageError(reason)

    # --- for these and for what moves them ---------------------------------------------------------------------------

    def _ack_delay(self) -> float:
        return self._retransmission.timer.duration * self._settings.dtls.ack_delay

    def _send(self, message: HandshakeMessage) -> None:
        """A message of ours after the handshake."""
        raw = message.encode()
        self._retransmission.queue(Epoch.APPLICATION, raw)
        self._trace("sent", message.msg_type, len(raw))
