"""The DTLS connection: datagrams in, datagrams out, events. No sockets, no clock of its own (RFC 9147, RFC 6347).

It is a switchboard. The reader opens records; this module hands each to its owner: fragments to the reassembly and from
there to the driver's inbox, application data to the application, ACKs to the retransmission, alerts to `_alert`. What
the handshake wants sent goes to the retransmission, which sends it until it has arrived. An exception that ends the
connection is turned into an alert in one place, `_fail`.

What nobody has authenticated is not believed. Records of epoch 0 are read while the handshake has no keys; one that is
malformed is dropped, as is whatever cannot be opened. Only a whole hello that says something wrong, or a server's alert
before its hello, ends an attempt to connect, since there is no other way to learn it. `dtls.forgery_resistant` is for
transports where nobody else can write: there, what is malformed is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from caesura.crypto.secrets import TrafficSecret
from caesura.dtls.cookies import Address
from caesura.dtls.flights import Ending
from caesura.dtls.greeting import Greeter, hello_in
from caesura.dtls.parts import DTLSParts
from caesura.dtls.reader import Record
from caesura.dtls.reassembly import Verdict
from caesura.dtls.records12 import EPOCH
from caesura.dtls.records13 import ReadKey, WriteKey
from caesura.errors import (
    AlertDescription,
    DecodeError,
    IdleTimeout,
    IllegalParameter,
    InternalError,
    LocalAlert,
    NoRenegotiation,
    PeerAlert,
    UnexpectedEOF,
    UnexpectedMessage,
)
from caesura.handshake.state import Established
from caesura.handshake.transport import Epoch
from caesura.wire import alerts
from caesura.wire.data import Data
from caesura.wire.dtls import (
    Fragment,
    NewConnectionId,
    RequestConnectionId,
    decode_ack,
    decode_fragments,
)
from caesura.wire.messages import CertificateRequest, HandshakeMessage, KeyUpdate, NewSessionTicket, decode_message
from caesura.wire.registries import (
    ContentType,
    HandshakeType,
    Version,
)

_ACK: Final = int(ContentType.ack)
_ALERT: Final = int(ContentType.alert)
_APPLICATION_DATA: Final = int(ContentType.application_data)
_CHANGE_CIPHER_SPEC: Final = int(ContentType.change_cipher_spec)
_HANDSHAKE: Final = int(ContentType.handshake)
_RENEGOTIATION: Final = frozenset({int(HandshakeType.hello_request), int(HandshakeType.client_hello)})
_ANSWER: Final = frozenset(
    map(
        int,
        (
            HandshakeType.certificate,
            HandshakeType.compressed_certificate,
            HandshakeType.certificate_verify,
            HandshakeType.finished,
        ),
    )
)
"""What a client's answer to a later CertificateRequest is made of."""
_LAST_OF_A_FLIGHT: Final = frozenset({int(HandshakeType.client_hello), int(HandshakeType.finished)})

M = TypeVar("M", bound=HandshakeMessage)

Datagram = tuple[bytes, Address]
"""What is to be sent, and where to."""


class DTLSConnection(DTLSParts):
    """One DTLS connection without I/O.

    Give it the datagrams that came (`receive_datagram`) and send those that `datagrams_to_send` returns. After every
    call that takes `now` (seconds, monotonic), send them, read `next_event()` until it gives None, and ask `timeout()`
    anew: when that time has come, call `handle_timeout(now)`. What the peer does is never raised: it is in `error`, and
    the last event says so.

    `addr` is the peer's address; None leaves it to the first datagram. It stays: a datagram from elsewhere is read when
    its connection id and its keys are right, and `heard_from` tells it, but nothing is sent there unless `follow` is
    called (RFC 9147 section 11). `idle_timeout` counts where `dtls.idle_timeout` is None. `address_validated`: who
    makes the connection knows that the peer is at this address; otherwise a server asks for a cookie first or, without
    `dtls.cookies`, sends no more than `dtls.amplification` times what has come from there until the peer has proved it.
    Early data: a client that is given a session and `early_data` sends that datagram with its first flight, if the
    session allows it; True offers what `write_early_data` then sends. A server takes some when `max_early_data` says
    so, unless `early_data` is False; True gives it as ordinary data, of which some may come before the handshake is
    complete. Who asks for a cookie takes none: early data travels with the first hello, and that one is the second.

    `proven` is what a cookie has proved already; `on_connection_ids` is told all ids that lead here whenever they
    change (see the listener).

    Work that pauses leaves the connection `waiting_for_async`, as on a `TLSConnection`; the protocol goes on meanwhile.

    Raises ConfigError for settings that cannot make a connection of this role. A connection belongs to one thread at a
    time; calling it from within its own callback is a UsageError, except for `close()`, which then takes effect when
    the callback has returned.
    """

    __slots__ = ()

    # --- driving --------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: Data, addr: Address, now: float, ecn: int = 0) -> None:  # noqa: ARG002
        """One datagram, and where it came from. The ECN field of its IP header means nothing to DTLS."""
        if self._quick and type(data) is bytes and not self._busy:
            content = self._reader.open_data(data, now)
            if content is not None:
                self._heard = now
                self._key_updates.data_received()
                self._data.received(content)
                return
        if self._closed:
            return
        if self.addr is None:
            self.addr = self.heard_from = addr
        if addr == self.addr:
            self._address.received(len(data))
        if self.error is not None:
            again = self._alerts.again() if not self._writer.out else None
            if again is not None:
                self._writer.out.append(again)
            return
        datagram = data if type(data) is bytes else bytes(data)
        if self._greeter is not None:
            self._greet(self._greeter, datagram, addr, now)
            return
        self._enter()
        try:
            if self._receive(datagram, addr, now):
                self._finish(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
        finally:
            self._leave()

    def _greet(self, greeter: Greeter, datagram: bytes, addr: Address, now: float) -> None:
        """Whoever it is has not proved its address: it gets an answer or, with a cookie of ours, its handshake."""
        hello = hello_in(datagram)
        found = greeter.greet(datagram, addr, hello) if hello is not None else None
        if isinstance(found, bytes):
            self.addr = addr
            self._writer.out = [found]
        elif found is not None:
            self._greeter = None
            self.addr = self.heard_from = addr
            self._address.validated = True
            proven = found.proven
            if self._driver is not None:
                self._driver.close()
            self._driver = self._new_handshake(None, proven.retried, proven.message_seq)
            self._writer.begin(proven.record_sequence)
            self._retransmission.next_seq = self._reassembly.next_seq = proven.message_seq
            for each in found.datagrams:
                self.receive_datagram(each, addr, now)

    def receive_eof(self, now: float) -> None:  # noqa: ARG002 - the same verb as on a stream
        """Nothing more will come: the socket says so, or the peer has begun anew. An error if it had not closed."""
        if not (self.close_notify_received or self.error is not None or self._closed):
            self._enter()
            self._fail(UnexpectedEOF())
            self._leave()

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Every datagram that is ready, with the address it goes to; handed over once."""
        if self._pending():
            self._enter()
            try:
                self._flush(now)
                self._writer.pump(now)
            except BaseException as error:  # noqa: BLE001 - sorted there
                self._stopped_by(error)
            finally:
                self._leave()
        out = self._writer.out
        if not out:
            return []
        addr = self.addr
        if self._address.validated:
            self._writer.out = []
            return [(datagram, addr) for datagram in out]
        count = self._address.allowed(out)
        self._writer.out = out[count:]
        return [(datagram, addr) for datagram in out[:count]]

    def _timers(self) -> Iterable[float | None]:
        idle = self._idle_timeout
        return (
            None if self._reader.paused else self._retransmission.timer.deadline,
            self._acks.deadline,
            None if idle is None or self._heard is None else self._heard + idle,
        )

    @property
    def timer_slack(self) -> float:
        """Seconds: for `handle_timeout`, a timer with no more than this left has expired (`dtls.timer_slack`)."""
        return self._settings.dtls.timer_slack

    def _serve_timers(self, now: float) -> None:
        due, idle = now + self.timer_slack, self._idle_timeout
        if idle is not None and self._heard is not None and self._heard + idle <= due:
            raise IdleTimeout(f"nothing has come for {idle:g} s")
        deadline = self._acks.deadline
        if deadline is not None and deadline <= due:
            self._send_ack()
        deadline = self._retransmission.timer.deadline
        if deadline is not None and deadline <= due and not self._reader.paused:  # else its answer may have come
            self._alerts.repeating()
            self._retransmission.expire(now)

    # --- the application ------------------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """The oldest datagram's application data; of a longer one `size` bytes, and the rest the next time.

        b"" when there is none now.
        """
        return self._data.read(size)

    def pending(self) -> int:
        """How many bytes of one datagram `read` could give at once."""
        return len(self._data.datagrams[0]) if self._data.datagrams else 0

    def write(self, data: Data) -> None:
        """Send one datagram of application data: sealed at once, or queued behind a seal that is paused.

        Raises UsageError before the handshake is complete, after `shutdown`, and for more than fits a datagram (see
        `max_datagram`); and the connection's error.
        """
        if not self.close_notify_sent and type(data) is bytes and self._writer.write_data(data):
            return
        self._require_open()
        try:
            self._writer.write(data if type(data) is bytes else bytes(data))
        except InternalError as error:
            self._fail(error)
            raise
        if self._writer.update_due:
            self._key_updates.want(request_peer=False)

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def wants_data(self) -> bool:
        """Whether the adapter should read on from the transport: also when all is paused, until the connection ends."""
        return self.error is None and not self._closed

    # --- going on -------------------------------------------------------------------------------------------------

    @property
    def _parked(self) -> bool:
        return self._driver is not None and self._driver.parked

    def _pending(self) -> bool:
        """Whether something waits to be sent that `datagrams_to_send` can send."""
        if self.error is not None or self._closed:
            return False
        return self.handshake_complete and (
            self._key_updates.wanted is not None or bool(self._retransmission.queued) or self._writer.paused
        )

    def _go_on(self, now: float) -> None:
        """Handshake, records, and what follows a handshake, as far as there are answers."""
        try:
            self._run_handshake(now)
            self._finish(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)

    def _finish(self, now: float) -> None:
        """What there is to do behind the handshake, once that has gone on."""
        if self._heard is None:
            self._heard = now
        if self._reader.through_engine:
            for record in self._reader.finished(now):
                self._record(record, now)
                self._run_handshake(now)
        if self._ack_now:
            self._send_ack()
        if self._post:
            held = self._held()
            self._run_post(now)
            if held:
                self._run_handshake(now)
        self._settle(now)
        if self._writer.through_engine:
            self._writer.pump(now)

    def _run_handshake(self, now: float) -> None:
        """The handshake goes on as far as messages are there; what follows it is taken as it comes."""
        while True:
            driver = self._driver
            if driver is not None:
                driver.advance(now)
                if driver.done:
                    self._driver = driver = None
            if driver is None:
                while not self._held() and (raw := self._reassembly.pop()) is not None:
                    self._post_handshake(raw, now)
            if self._installed is None or not self._release_early(now):
                return

    def _release_early(self, now: float) -> bool:
        """Read the records that came before the keys that are there now; whether that was progress."""
        epoch, self._installed = self._installed, None
        if epoch is None or not self._reader.early:
            return False
        if self._reader.early_data:
            for record in self._reader.early_records(Epoch.EARLY_DATA, now):
                self._record(record, now)
        for record in self._reader.early_records(epoch, now):
            self._record(record, now)
        return True

    def _settle(self, now: float) -> None:
        """Nothing more can be done at the moment: acknowledge and send accordingly."""
        if self._driver is not None and self._driver.parked:
            self._retransmission.suspend()
            whole = self._reassembly.last_type if self._reassembly.empty else self._reassembly.last_whole()
            acks = self._settings.dtls.ack_on_pause and not self._dtls12
            if acks and self._acks.unsent and whole in _LAST_OF_A_FLIGHT:
                self._send_ack()
            return
        self._retransmission.go_on(now)
        self._flush(now)
        if self._to_send and self._writer.early is not None:  # behind the hello
            datagram, self._to_send = self._to_send, b""
            self.write_early_data(datagram)

    def _flush(self, now: float) -> None:
        retransmission = self._retransmission
        if self._reader.update_wanted:
            self._reader.update_wanted = False
            if not self._dtls12:
                self._key_updates.want(request_peer=True)
        sending = self._post[0] if self._post and not self._post[0].inbox.limit else None
        if self._key_updates.ready and retransmission.idle and sending is None and not self.close_notify_sent:
            self._send(self._key_updates.take())
        if sending is not None and sending.parked:
            return  # a flight is sent whole: tickets go out together
        if retransmission.queued:
            last = Ending.FINAL if self._dtls12 else Ending.ACKNOWLEDGED
            if retransmission.flush(now, Ending.ANSWERED if self._driver is not None else last):
                self._acks.clear()  # our flight of the handshake answers all that has come

    # --- records --------------------------------------------------------------------------------------------------

    def _receive(self, datagram: bytes, addr: Address, now: float) -> bool:
        """The records of a datagram, and what the handshake makes of each.

        Whether anything but application data was among them, or may follow.
        """
        busy, ran = self._reader.paused, False
        for record in self._reader.records(datagram, now):
            content_type = record.content_type
            if content_type != _APPLICATION_DATA or not self.handshake_complete:
                busy = True
            proves = self._ids.length and record.epoch > (0 if self._dtls12 else Epoch.EARLY_DATA)
            if proves and record[:2] > self._newest:
                self._newest, self.heard_from = record[:2], addr
            self._record(record, now)
            if busy and content_type != _CHANGE_CIPHER_SPEC:  # which says nothing to the handshake
                self._run_handshake(now)
                ran = True
        if not self._dtls12 and self._version is Version.DTLS13 and self._reader.early and not self._parked:
            # They cannot be acknowledged, but that they came says that something before them has not: even an ACK
            # without a number makes the peer send it again (RFC 9147 section 7.1).
            self._acks.schedule(now + self._ack_delay())
        busy = busy or not self.handshake_complete or self._reader.holding
        if busy and not ran:
            self._run_handshake(now)
        return busy

    def _record(self, record: Record, now: float) -> None:
        epoch, content_type = record.epoch, record.content_type
        if not self._dtls12 and epoch == Epoch.EARLY_DATA:
            self._early_record(record)
            return
        if epoch:
            self._heard = now
            self._address.validated = True
        if content_type == _APPLICATION_DATA:
            self._application_data(record)
        elif content_type == _HANDSHAKE:
            self._handshake_record(record, now)
        elif content_type == _ACK:
            self._acknowledged(record, now)
        elif content_type == _ALERT:
            self._alert(record)
        elif content_type == _CHANGE_CIPHER_SPEC and self._may_be_dtls12():
            self._change_cipher_spec(record)
        else:
            self._reject(UnexpectedMessage(f"a record of type {content_type}", section="RFC 9147 section 4.5.2"))

    def _reject(self, error: LocalAlert) -> None:
        """A record that is none: dropped, unless nobody but the peer can have written it (RFC 9147 section 4.5.2)."""
        if self._settings.dtls.forgery_resistant:
            raise error

    def _wrong(self, epoch: int, error: LocalAlert) -> None:
        """A record that is wrong in itself: the peer's doing if it was protected, else perhaps anybody's."""
        if epoch:
            raise error
        self._reject(error)

    def _early_record(self, record: Record) -> None:
        """Early data. It may be a copy, so it says nothing of where the peer is, or whether it is still there."""
        if record.content_type != _APPLICATION_DATA:
            raise UnexpectedMessage("anything but early data in its epoch", section="RFC 9147 section 6.1")
        self._early.receive_untrusted(record.content)

    def _application_data(self, record: Record) -> None:
        if record.epoch < (EPOCH if self._dtls12 else Epoch.APPLICATION):
            self._wrong(record.epoch, UnexpectedMessage("application data before the handshake is complete"))
            return
        if not self.handshake_complete:
            self._data.hold(record)
        elif not self._data.too_late(record[:2], told=self._ended):
            self._key_updates.data_received()
            self._data.received(record.content)

    def _handshake_record(self, record: Record, now: float) -> None:
        """Fragments: into the reassembly, or recognised as those of messages that were handed over long ago."""
        epoch = record.epoch
        if self.handshake_complete and not epoch:
            return
        content, kept = record.content, True
        if (
            epoch == self._read_epoch
            and not (self._dtls12 and self.handshake_complete)
            and self._reassembly.add_whole(content)
        ):
            self._begins_to_answer()
        else:
            try:
                fragments = decode_fragments(content)
            except (DecodeError, IllegalParameter) as error:
                self._wrong(epoch, error)
                return
            for fragment in fragments:
                if self._dtls12 and self.handshake_complete and fragment.msg_type in _RENEGOTIATION:
                    self._renegotiation(fragment.msg_type)
                elif fragment.message_seq < self._reassembly.next_seq:
                    last = fragment.message_seq == self._reassembly.next_seq - 1 and fragment.stop == fragment.length
                    if last and not self._reader.paused:  # else what it has not answered yet may be an answer to us
                        self._retransmission.repeated(now)
                elif epoch != self._read_epoch:
                    text = "a new handshake message under old keys"
                    self._wrong(epoch, UnexpectedMessage(text, section="RFC 9147 section 8"))
                    return
                else:
                    kept = self._take(epoch, fragment) and kept
        if kept:
            self._alerts.heard()
            if not self._dtls12:
                self._acks.received(record[:2])
                if self._version is Version.DTLS13:
                    self._acks.schedule(now + self._ack_delay())

    def _take(self, epoch: int, fragment: Fragment) -> bool:
        """A fragment of a message that is still to come; False when it is dropped."""
        self._begins_to_answer()
        try:
            return self._reassembly.add(fragment) is not Verdict.BEYOND
        except IllegalParameter as error:
            self._wrong(epoch, error)
            return False

    def _begins_to_answer(self) -> None:
        """The peer's next flight has begun (RFC 9147 section 7.1)."""
        if not self._dtls12 and self._version is Version.DTLS13 and self._driver is not None:
            self._retransmission.answered()

    def _acknowledged(self, record: Record, now: float) -> None:
        if self._version is not Version.DTLS13 or (self.handshake_complete and not record.epoch):
            return
        try:
            numbers = decode_ack(record.content)
        except DecodeError as error:
            self._wrong(record.epoch, error)
            return
        if record.epoch < Epoch.APPLICATION and any(number[0] > record.epoch for number in numbers):
            text = "an ACK of records of a later epoch"
            self._wrong(record.epoch, IllegalParameter(text, section="RFC 9147 section 7.2"))
            return
        self._trace("received", "ack", len(record.content))
        if self._retransmission.acknowledged(numbers, now) and self._key_updates.acknowledged():
            self._writer.update_key(self._ids.theirs)

    def _send_ack(self) -> None:
        """In the newest epoch, unless the peer cannot have its keys yet (RFC 9147 section 7).

        It has not if our flight still waits to be sent, and may not have if all it has said was in the clear.
        """
        self._ack_now = False
        epoch = self._retransmission.first_epoch(self._writer.current)
        if not self.handshake_complete and self._acks.in_the_clear and self._writer.has_keys(0):
            epoch = 0
        content = self._acks.take(self._writer.room(epoch))
        self._writer.send(_ACK, content, epoch)
        self._trace("sent", "ack", len(content))

    def _may_be_dtls12(self) -> bool:
        """Whether ChangeCipherSpec may come: also before the hello that it has overtaken."""
        if self._version is None:
            return Version.DTLS12 in self._settings.versions
        return self._version is Version.DTLS12

    def _change_cipher_spec(self, record: Record) -> None:
        """It comes, and says nothing that the epoch of the records behind it does not (RFC 6347 section 4.1)."""
        if record.epoch or record.content != b"\x01":
            self._wrong(record.epoch, UnexpectedMessage("change_cipher_spec", section="RFC 5246 section 7.1"))
        elif not self.handshake_complete:
            self._spec(came=True)

    def _alert(self, record: Record) -> None:
        epoch, content = record.epoch, record.content
        if not epoch and not self._believes_anybody():
            if not self.handshake_complete:
                self._alerts.doubt(content)
            return
        try:
            level, description = alerts.read_untrusted(content, older=self._dtls12)
        except (DecodeError, IllegalParameter) as error:
            self._wrong(epoch, error)
            return
        self._trace("alert received", description)
        if description is not AlertDescription.close_notify:
            undecided = self._version is None and Version.DTLS12 in self._settings.versions
            self._alerted(level, description, undecided=undecided)
            return
        if not self.handshake_complete:
            raise PeerAlert(description)
        self.close_notify_received = True
        self._data.close(record[:2])
        self._quick = False

    def _believes_anybody(self) -> bool:
        """Whether an alert in the clear may be the peer's: a server's that cannot answer our hello, and no other."""
        hello_phase = not self.server_side and self._read_epoch == 0 and self._version is not Version.DTLS12
        return hello_phase or (self._settings.dtls.forgery_resistant and not self.handshake_complete)

    # --- after the handshake --------------------------------------------------------------------------------------

    def _post_handshake(self, raw: bytes, now: float) -> None:
        kind = raw[0]
        exchange = self._post[0].inbox if self.server_side and self._post and self._post[0].inbox.limit else None
        if self._dtls12:
            raise UnexpectedMessage(f"message type {kind} after the handshake")
        if exchange is not None and kind in _ANSWER:
            exchange.receive_untrusted(Epoch.APPLICATION, raw)
            self._run_post(now)
        elif kind == HandshakeType.certificate_request and self._may_be_asked():
            self._request_received(decode_message(CertificateRequest, raw))
        elif kind == HandshakeType.key_update:
            if exchange is not None and exchange.taken:
                raise UnexpectedMessage("a KeyUpdate within the client's answer", section="RFC 9846 section 4.7.2")
            self._key_update_received(decode_message(KeyUpdate, raw))
        elif kind == HandshakeType.new_session_ticket and not self.server_side:
            self._ticket_received(decode_message(NewSessionTicket, raw))
        elif kind == HandshakeType.request_connection_id:
            self._send(self._ids.requested(self._received(decode_message(RequestConnectionId, raw))))
        elif kind == HandshakeType.new_connection_id:
            if self._ids.received(self._received(decode_message(NewConnectionId, raw))):
                self._writer.use_connection_id(self._ids.theirs)
        else:
            raise UnexpectedMessage(f"message type {kind} after the handshake")

    def _read_secret(self) -> TrafficSecret:
        newest = self._reader.epochs.newest
        assert newest is not None
        assert isinstance(newest.key, ReadKey)
        return newest.key.secret

    def _write_secret(self) -> TrafficSecret:
        key = self._writer.application
        assert isinstance(key, WriteKey)
        return key.secret

    @property
    def _may_finish(self) -> bool:
        return not self._key_updates.out

    def _key_update_received(self, message: KeyUpdate) -> None:
        self._received(message)
        if not self._reassembly.empty:
            raise UnexpectedMessage("a message behind a KeyUpdate in its epoch", section="RFC 9147 section 8")
        self._key_updates.received(message, self._read_epoch, self._writer.current)
        self._read_epoch = self._reader.update_key()

    def _renegotiation(self, kind: int) -> None:
        """It is always refused: a server's wish with a warning, a client's try with the end (RFC 9325 section 3.5)."""
        if self.server_side is not (kind == HandshakeType.client_hello):
            raise UnexpectedMessage(f"message type {kind} after the handshake")
        if self.server_side:
            raise NoRenegotiation(section="RFC 5246 section 7.2.2")
        self._trace("received", HandshakeType.hello_request)
        self._key_updates.asked_again()
        if not self.close_notify_sent:
            self._writer.send(_ALERT, alerts.warning(AlertDescription.no_renegotiation), self._writer.current)
            self._trace("alert sent", AlertDescription.no_renegotiation)

    # --- the end of the handshake ------------------------------------------------------------------------------------

    def completed(self, established: Established) -> None:
        """The handshake is done: a server acknowledges the client's last flight, and its tickets follow."""
        super().completed(established)
        self._reader.complete = self._quick = True
        self._early.ended = True
        if self._reader.early_data:
            self._reader.end_early_data()
        self._writer.allow_data()
        if self._dtls12:  # there is nothing to acknowledge with, and the peer's Finished says that all has come
            self._retransmission.answered()
            for record in self._data.release():
                self._application_data(record)
        else:
            self._installed = Epoch.APPLICATION
            self._ack_now = self.server_side and self._acks.unsent

    # --- the end --------------------------------------------------------------------------------------------------

    def _send_close_notify(self) -> None:
        """It is not sent again when it is lost (RFC 9147 section 5.10)."""
        self._writer.send(_ALERT, alerts.warning(AlertDescription.close_notify), self._writer.current)

    def _send_fatal_alert(self, description: AlertDescription) -> bool:
        self._alerts.sent(self._writer.fatal_alert(alerts.fatal(description)))
        return True

    def _drop(self) -> None:
        super()._drop()
        self._quick = False
        self._retransmission.close()
        self._acks.clear()
        self._data.clear()

    def _discard(self) -> None:
        self._writer.out = []
