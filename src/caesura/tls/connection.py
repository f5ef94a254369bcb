"""The TLS connection: bytes in, bytes out, events. No sockets, no clock of its own.

It is a switchboard. The reader opens records, one at a time; this module hands each to its owner: handshake messages to
the driver's inbox, application data to the application, early data to `early`. What follows a handshake is in
`post_handshake`. What the handshake wants sent goes to the writer. An exception that ends the connection is turned into
an alert in one place, `Endpoint._fail`.

Three kinds of waiting are kept apart: for the peer, for work that is paused (a handshake, a record being opened, a
record being sealed), and for the transport, which is the adapter's affair.
"""

from __future__ import annotations

from typing import Final

from caesura.context import Context, Method
from caesura.crypto.protection12 import Protection12
from caesura.errors import (
    AlertDescription,
    InternalError,
    PeerAlert,
    UnexpectedEOF,
    UnexpectedMessage,
)
from caesura.events import EarlyDataReason, EarlyDataRejected
from caesura.handshake import record_size
from caesura.handshake.performer import Awaiter, Waits
from caesura.handshake.record_endpoint import early_data_asked
from caesura.handshake.state import Established
from caesura.handshake.transport import Epoch, Keys, Profile, Tracer
from caesura.jobs import NoJobs
from caesura.sessions import Session
from caesura.tls.early import EarlyData
from caesura.tls.post_handshake import PostHandshake
from caesura.tls.reader import RecordReader
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, record_key
from caesura.tls.records12 import AnyRecordKey, RecordKey12
from caesura.tls.writer import RecordWriter
from caesura.wire import alerts
from caesura.wire.data import Data
from caesura.wire.extensions import Extensions
from caesura.wire.registries import ContentType, HandshakeType, Version

PROFILE: Final = Profile(name=b"tls")


class TLSConnection(PostHandshake):
    """One TLS connection without I/O.

    Give it what the transport received (`receive_data`, `receive_eof`) and send what `data_to_send` returns. After
    every call that takes `now` (seconds, monotonic), read `next_event()` until it gives None. What the peer does is
    never raised: it is in `error`, and the last event says so.

    Work that pauses leaves the connection `waiting_for_async`. Its wait context says when to call `advance(now)`: by
    its callback, or by a descriptor that becomes readable. `timeout()` is when such work is overdue. `needs_job` tells
    that this thread's job pool was exhausted: nothing is damaged, call `advance` again later.

    Early data (RFC 9846 section 2.3): a client that is given a session and `early_data` sends those bytes with its
    first message, if the session allows it, or all of them not; True offers what `write_early_data` then sends. It is
    told by an event when they do not get through, and they are never sent again but by the application. A server takes
    early data when `max_early_data` says so, unless `early_data` is False; True gives it as ordinary data, of which
    whatever comes before `handshake_complete` may be a copy. What a server writes once it has taken some goes out at
    once, before it knows that the client is there, so that an answer needs one round trip.

    Raises ConfigError for settings that cannot make a connection of this role. A connection belongs to one thread at a
    time; calling it from within its own callback is a UsageError, except for `close()`, which then takes effect when
    the callback has returned.
    """

    __slots__ = (
        "_armed",
        "_epoch",
        "_reader",
        "_run_key",
        "_specs",
        "_writer",
        "at_rest",
        "eof_received",
        "open_key",
        "out",
        "plaintext",
        "seal_key",
    )

    _profile = PROFILE
    _reader: RecordReader
    _writer: RecordWriter
    _early: EarlyData

    def __init__(
        self,
        context: Context,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: Session | None = None,
        wait_context: Waits = None,
        awaiter: Awaiter | None = None,
        async_mode: bool | None = None,
        early_data: Data | bool | None = None,
    ) -> None:
        early = early_data_asked(early_data, server_side=server_side)
        super().__init__(
            context.settings,
            Method.TLS,
            server_side=server_side,
            server_hostname=server_hostname,
            session=session,
            wait_context=wait_context,
            awaiter=awaiter,
            async_mode=async_mode,
            early_data=len(early) if early is not None else None,
        )
        self._reader = RecordReader(self._performer)
        self._writer = RecordWriter(self._performer, server_side=server_side, largest=self._settings.max_send_fragment)
        self.out = self._writer.out  # sealed records that `data_to_send` will give
        # Set only while a record may be sealed, or opened, past this object: see _settle. Then an adapter may do with
        # seal_data what `write` and `data_to_send` do in two, while `out` is empty, and with open_data what
        # `receive_data` and `read` do, while `plaintext` is.
        self.seal_key: AnyRecordKey | None = None
        self.open_key: AnyRecordKey | None = None
        self._run_key: AnyRecordKey | None = None  # as open_key, but a record may have begun
        self._epoch = Epoch.INITIAL  # of what is read
        self._tls12 = Version.TLS13 not in context.settings.versions
        self._specs = 0  # ChangeCipherSpec records that were passed over
        self._armed: RecordKey12 | None = None  # TLS 1.2: what the peer's ChangeCipherSpec puts in force
        self.plaintext: list[bytes] = []  # opened data that `read` will give, oldest first
        self._early = EarlyData(
            self._reader,
            self._writer,
            server_side=server_side,
            to_send=early if not server_side else None,
            into=self.plaintext if server_side and early_data is True else None,
        )
        self._idle_records = 0
        self._key_updates = 0
        self._key_update_requested = False
        self._answers = 0
        self.eof_received = False
        self.at_rest = True  # the peer alone is waited for: nothing is paused, held or ended

    # --- driving --------------------------------------------------------------------------------------------------

    def receive_data(self, data: Data, now: float) -> None:
        """Bytes from the transport. Beyond `wants_data` they are kept as well, but an adapter should have stopped."""
        key = self.open_key
        if key is not None and type(data) is bytes:
            content = key.open_data(data)
            if content is not None:
                self.plaintext.append(content)
                return
        if self._run_key is not None and len(data) > 2048:
            left = self._reader.open_run(self._run_key, memoryview(data), self.plaintext)
            if left is None:
                self.open_key = self._reader.quiet_key()
                return
            data = left
        if self.close_notify_received or self.error is not None or self._closed:
            return
        self._enter()
        try:
            self._reader.feed(data if type(data) is bytes else bytes(memoryview(data)))
            self._go_on(now)
        finally:
            self._leave()

    def receive_eof(self, now: float) -> None:
        """The transport has ended. Without the peer's close_notify that is an error, as data may have been cut off."""
        if self.eof_received or self.close_notify_received or self.error is not None or self._closed:
            return
        self.eof_received = True
        self._enter()
        try:
            self._go_on(now)
        finally:
            self._leave()

    def data_to_send(self, now: float) -> bytes:
        """Every byte that is ready for the transport, handed over once."""
        out = self.out
        if len(out) == 1 and self.seal_key is not None:
            return out.pop()
        if self._writer.paused and self.error is None and not self._closed:
            needed = self.needs_job
            self._enter()
            try:
                self._pump(now)
            finally:
                self._leave()
            self.needs_job = self.needs_job or needed  # for what `advance` goes on with
        return self._writer.take()

    # --- the application ------------------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes of application data that are there (all by default); b"" when there are none now."""
        plaintext = self.plaintext
        if len(plaintext) == 1 and (size < 0 or len(plaintext[0]) <= size):
            return plaintext.pop()
        if not plaintext or size == 0:
            return b""
        if size < 0:
            data = b"".join(plaintext)
            plaintext.clear()
            return data
        count = total = 0
        for piece in plaintext:  # as many as are asked for and no more: a peer may have cut its data very fine
            total += len(piece)
            count += 1
            if total >= size:
                break
        data = plaintext[0] if count == 1 else b"".join(plaintext[:count])
        if total <= size:
            del plaintext[:count]
        else:
            plaintext[:count] = [data[size:]]
            data = data[:size]
        return data

    def pending(self) -> int:
        """How many bytes `read` could give at once."""
        return sum(map(len, self.plaintext))

    def write(self, data: Data) -> None:
        """Send application data: all of it is taken, and sealed at once or queued behind a seal that is paused.

        Raises UsageError before the handshake is complete and after `shutdown`, and the connection's error. A server
        that has accepted early data may write as soon as some has come.
        """
        key = self.seal_key
        if key is not None and type(data) is bytes:
            record = key.seal_data(data)
            if record is not None:
                self.out.append(record)
                return
            if data and key.seal_run(data, self.out):
                return
        self._require_open()
        if data:
            try:
                self._writer.write(data if type(data) is bytes else bytes(memoryview(data)))
            except InternalError as error:  # the key is used up, and part of the data may be on its way
                self._fail(error)
                raise
            finally:
                self._settle()

    def _write_early(self, data: Data) -> int:
        return self._early.write(data)

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def early_data_ended(self) -> bool:
        """Whether no more early data will be sent, or come; what has come may still be there to be read."""
        return super().early_data_ended or (self.server_side and self._epoch is Epoch.HANDSHAKE)

    @property
    def may_write(self) -> bool:
        """Whether data may be written: the handshake is complete, or this is a server that has taken early data."""
        return self.handshake_complete or self._early.may_answer

    @property
    def wants_data(self) -> bool:
        """Whether the adapter should read on from the transport."""
        if self.close_notify_received or self.error is not None or self.eof_received or self._closed:
            return False
        waiting = self._reader.paused or self.needs_job or self._held()
        return not waiting or self._reader.buffered < self._settings.limits.parked_bytes

    @property
    def _older(self) -> bool:
        return self._tls12

    @property
    def sends_tickets_last(self) -> bool:
        """Whether what is still to be sent of the handshake is nothing the peer waits for: not so in TLS 1.2."""
        return self.server_side and not self._tls12

    # --- going on -------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        super()._enter()
        self.seal_key = self.open_key = self._run_key = None

    def _leave(self) -> None:
        self._busy = False
        self._settle()
        if self._close_requested:
            self.close()

    def _settle(self) -> None:
        """Open the short ways for single records of data while nothing special is going on, else close them."""
        reader, writer, driver = self._reader, self._writer, self._driver
        quiet = self.error is None and not (self._closed or self._busy)
        hearing = quiet and not (self.close_notify_received or self._post)
        waits = reader.paused or writer.paused or self.needs_job or (driver is not None and driver.parked)
        self.at_rest = hearing and not (waits or self.eof_received)
        if self.handshake_complete:  # else they have not been open
            self.seal_key = writer.quiet_key() if quiet and not self.close_notify_sent else None
            hearing = hearing and not self._inbox.partial
            self.open_key = reader.quiet_key() if hearing else None
            self._run_key = reader.run_key() if hearing else None

    def _go_on(self, now: float) -> None:
        """Handshake, records, and what follows a handshake, as far as there are answers."""
        try:
            more = self._run_handshake(now)
            while more and (record := self._reader.next_record(now)) is not None:
                self._record(*record)
                # Nothing else has news for it.
                more = self._run_handshake(now) if record[0] == HANDSHAKE else not self.close_notify_received
            if self.eof_received and not self.close_notify_received:
                self._judge_eof()
            self._run_post(now)
            self._seal(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)

    def _stopped_by(self, error: BaseException) -> None:
        if isinstance(error, NoJobs):
            self._end_flight()
        super()._stopped_by(error)

    def _run_handshake(self, now: float) -> bool:
        """Go on with it; whether a record may be opened: never behind a message that is not consumed."""
        driver = self._driver
        if driver is not None:
            driver.advance(now)
            if not driver.done:
                return not (driver.parked or self.close_notify_received)
            self._driver = None
        elif self._post and self._post[0].inbox.limit:
            self._run_post(now)
        if not self._inbox.empty:
            self._post_handshake(now)
        return not (self.close_notify_received or self._held())

    def _end_flight(self) -> None:
        """Let a flight go, unless the handshake has still to add to it: a signature, and Finished."""
        driver = self._driver
        if driver is None or not driver.at_work:
            self._writer.end_flight()

    def _seal(self, now: float) -> None:
        self._end_flight()
        self._writer.pump(now)
        if self._answers and not self._writer.paused:  # they have waited for that
            self._run_post(now)
            self._end_flight()
            self._writer.pump(now)

    def _pump(self, now: float) -> None:
        try:
            self._seal(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)

    def _judge_eof(self) -> None:
        """The transport has ended: nothing more can come than what is buffered."""
        if not self._reader.paused and not (self._held() and self._reader.buffered):
            raise UnexpectedEOF

    # --- records --------------------------------------------------------------------------------------------------

    def _record(self, content_type: int, content: bytes) -> None:
        if content_type != HANDSHAKE and self._inbox.partial:
            raise UnexpectedMessage("a record within a handshake message", section="RFC 9846 section 5.1")
        if content_type == APPLICATION_DATA:
            if self._epoch is Epoch.EARLY_DATA:
                if content:
                    self._idle_records = 0
                    self._early.receive_untrusted(content)
                else:
                    self._idle_record()
                return
            if self._epoch is not Epoch.APPLICATION:
                raise UnexpectedMessage("application data before the handshake is complete")
            if self._post and self._post[0].inbox.taken:
                raise UnexpectedMessage("data within the client's answer", section="RFC 9846 section 4.7.2")
            self._application_data(content)
        elif content_type == HANDSHAKE:
            if not content:
                raise UnexpectedMessage("an empty handshake record", section="RFC 9846 section 5.1")
            self._idle_records = 0
            self._inbox.receive_untrusted(self._epoch, content)
        elif content_type == ALERT:
            self._alert(content)
        elif content_type == CHANGE_CIPHER_SPEC:
            self._change_cipher_spec(content)

    def _application_data(self, content: bytes) -> None:
        if content:
            self.plaintext.append(content)
            self._idle_records = self._key_updates = 0
        else:
            self._idle_record()

    def _idle_record(self) -> None:
        self._since_data()
        self._idle_records += 1
        if self._idle_records > self._settings.limits.empty_records:
            raise UnexpectedMessage(f"more than {self._settings.limits.empty_records} empty records in a row")

    def _change_cipher_spec(self, content: bytes) -> None:
        """Passed over for the middleboxes' sake, between the first hello and the end (RFC 9846 section 5).

        In TLS 1.2 it changes the keys, once the handshake is ready for that (RFC 5246 section 7.1).
        """
        if self._tls12:
            key, self._armed = self._armed, None
            if key is None or content != b"\x01":
                raise UnexpectedMessage("change_cipher_spec", section="RFC 5246 section 7.1")
            self._trace("received", ContentType.change_cipher_spec, 1)
            self._reader.install(key)
            self._epoch = Epoch.HANDSHAKE  # not more: the Finished has to come
            return
        begun = not self.server_side or self._epoch is not Epoch.INITIAL or self._driver_has_begun()
        if content != b"\x01" or self.handshake_complete or not begun:
            raise UnexpectedMessage("change_cipher_spec", section="RFC 9846 section 5")
        self._specs += 1
        self._idle_record()

    def _driver_has_begun(self) -> bool:
        """Whether a ClientHello was read: between the two of a retry nothing else tells."""
        return self._inbox.taken > 0

    def _alert(self, content: bytes) -> None:
        if not content:
            raise UnexpectedMessage("an empty alert record", section="RFC 9846 section 5.4")
        level, description = alerts.read_untrusted(content, older=self._tls12)
        self._trace("alert received", description)
        if description is not AlertDescription.close_notify:
            hello_phase = not self.server_side and self._epoch is Epoch.INITIAL
            undecided = hello_phase and Version.TLS12 in self._settings.versions
            self._alerted(level, description, undecided=undecided)
            return
        self.close_notify_received = True
        if not self.handshake_complete:
            raise PeerAlert(description)

    # --- the seam under the handshake (MessageTransport) ----------------------------------------------------------

    def send(self, epoch: Epoch, message: bytes) -> bytes:  # noqa: ARG002 - a stream has one epoch to write in
        """Send one whole handshake message, as it is."""
        self._writer.handshake(message)
        return message

    def version_chosen(self, version: Version) -> None:
        """Both sides speak this version. In TLS 1.2 nothing is passed over, nor should anything have been."""
        if version is Version.TLS12:
            self._tls12 = True
            self._writer.stay_true()
            if self._specs:
                raise UnexpectedMessage("change_cipher_spec before any hello", section="RFC 5246 section 7.1")

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Read with these keys from now on; messages of the old epoch may not remain (RFC 9846 section 5.1).

        In TLS 1.2 the peer's ChangeCipherSpec has to come first.
        """
        if not self._inbox.empty:
            raise UnexpectedMessage("messages of the old keys remain", section="RFC 9846 section 5.1")
        if isinstance(keys, Protection12):
            self._armed = RecordKey12(keys)
            self._inbox.epoch = Epoch.HANDSHAKE
            return
        if epoch is Epoch.EARLY_DATA:
            self._early.begin_reading()
        elif self._epoch is Epoch.EARLY_DATA:
            self._early.end_reading()
        # The client has not read our ServerHello yet:
        answered = self.server_side and epoch is Epoch.HANDSHAKE and self._epoch is Epoch.INITIAL
        self._reader.install(record_key(keys, PROFILE.label_prefix), may_fail_in_the_clear=answered)
        self._epoch = self._inbox.epoch = epoch

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Write with these keys from now on; in TLS 1.2 behind ChangeCipherSpec."""
        if isinstance(keys, Protection12):
            self._writer.change_cipher_spec(RecordKey12(keys))
            self._trace("sent", ContentType.change_cipher_spec, 1)
            return
        key = record_key(keys, PROFILE.label_prefix)
        self._writer.install(key, early=epoch is Epoch.EARLY_DATA)
        self._early.written_under(epoch, key)

    def context_selected(self, context: Context) -> Tracer | None:
        """Its limits follow too."""
        self._settings = context.settings
        self._inbox.limit = context.settings.limits.handshake_message
        return super().context_selected(context)

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:
        """record_size_limit, and nothing else."""
        extensions = Extensions()
        record_size.put_own(extensions, self._settings.record_size_limit, message, peer, older=self._tls12)
        return extensions

    def _limit_records(self, content: int, inner: int) -> None:
        self._writer.max_fragment = min(content, self._settings.max_send_fragment)
        self._reader.max_inner = inner

    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:
        """How it stands with early data: on a server that refuses it, it is passed over."""
        if self._early.told(accepted, limit, reason):
            self._events.append(EarlyDataRejected(reason))

    def completed(self, established: Established) -> None:
        """The handshake is done; a server's tickets follow, or what a client keeps."""
        if self._tls12:
            if not self._inbox.empty:
                raise UnexpectedMessage("a message behind the Finished in its record", section="RFC 5246 section 7.3")
            self._epoch = self._inbox.epoch = Epoch.APPLICATION
        super().completed(established)

    # --- the end --------------------------------------------------------------------------------------------------

    def _send_close_notify(self) -> None:
        self._writer.alert(AlertDescription.close_notify)
        self._settle()

    def _send_fatal_alert(self, description: AlertDescription) -> bool:
        if self._writer.sealing:  # an engine may be at work with the next nonce: rather no alert than a nonce twice
            return False
        self._writer.fatal_alert(description)
        return True

    def _drop(self) -> None:
        super()._drop()
        self._armed = None

    def _discard(self) -> None:
        self.out.clear()
        self._settle()
