"""The writing half of a TLS connection's record layer: what is sent becomes records, in order (RFC 9846 section 5).

Records are sealed at once, unless the engine lists SEAL_RECORD: then they queue behind the one that is under way, and
so does a change of keys.
"""

from __future__ import annotations

from typing import Final

from caesura.crypto.secrets import TrafficSecret
from caesura.engines import Operation
from caesura.errors import AlertDescription
from caesura.handshake.performer import NOT_YET, Ongoing, Performer, Working
from caesura.handshake.requests import Perform
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, RecordKey
from caesura.tls.records12 import AnyRecordKey, RecordKey12
from caesura.wire import alerts
from caesura.wire.messages import KeyUpdate
from caesura.wire.records import HEADER, INITIAL_RECORD_VERSION, LEGACY_RECORD_VERSION, MAX_PLAINTEXT
from caesura.wire.registries import KeyUpdateRequest

_CHANGE_CIPHER_SPEC: Final = HEADER.pack(CHANGE_CIPHER_SPEC, LEGACY_RECORD_VERSION, 1) + b"\x01"
_SESSION_ID_LENGTH: Final = 38  # where the length of the session id stands in either hello, header included


class RecordWriter(Working):
    """Takes messages, data and keys in order; gives the bytes to send."""

    __slots__ = (
        "_begun",
        "_change_cipher_spec",
        "_client",
        "_flight",
        "_flushed",
        "_key",
        "_largest",
        "_performer",
        "_queue",
        "_queued_bytes",
        "_through_engine",
        "key_update_owed",
        "max_fragment",
        "out",
    )

    def __init__(self, performer: Performer, *, server_side: bool, largest: int = MAX_PLAINTEXT) -> None:
        self._performer = performer
        self._client = not server_side
        self._through_engine = performer.takes(Operation.SEAL_RECORD)
        self.out: list[bytes] = []  # sealed records
        self._flight: list[bytes] = []  # messages that share a record with what comes next
        self._begun = False  # a flight is begun and not whole: its records wait, too
        self._flushed = False
        self._change_cipher_spec: bool | None = None  # None: not known before the first hello
        self._key: AnyRecordKey | None = None
        self._queue: list[tuple[int, bytes] | RecordKey | None] = []  # None: the key's next generation
        self._queued_bytes = 0
        self._ongoing = None
        self.max_fragment = self._largest = largest  # the peer may lower the first, for protected records
        self.key_update_owed = False

    def quiet_key(self) -> AnyRecordKey | None:
        """The key, while data may be sealed with it past this writer: nothing waits here."""
        if self._through_engine or self.key_update_owed or self._flight or self.paused or self._key is None:
            return None
        self._key.max_content = self.max_fragment
        return self._key

    # --- what is sent ---

    def write(self, data: bytes) -> None:
        """Application data of any length."""
        if self.key_update_owed:
            self.update_key(request_peer=False)
        self._fragment(APPLICATION_DATA, data)

    def stay_true(self) -> None:
        """Send no ChangeCipherSpec for the middleboxes' sake: in TLS 1.2 it means what it says."""
        self._change_cipher_spec = False

    def handshake(self, message: bytes) -> None:
        """One handshake message; messages under the same keys share records, and a flight is given out whole."""
        if self._change_cipher_spec is None:  # middlebox compatibility, RFC 9846 appendix E.4
            self._change_cipher_spec = message[_SESSION_ID_LENGTH] != 0
        self._begun = True
        self._flight.append(message)

    def end_flight(self) -> None:
        """The flight is whole: the peer has the word, or there is more of another kind to say."""
        if self._begun:
            self._flush()
            self._begun = False

    def _flush(self) -> None:
        """Make records of the messages so far."""
        if not self._flight:
            return
        flight = b"".join(self._flight)
        self._flight.clear()
        if self._client and self._flushed:  # immediately before its second flight
            self._send_change_cipher_spec()
        self._fragment(HANDSHAKE, flight)
        if not self._client:  # immediately after its first message
            self._send_change_cipher_spec()
        self._flushed = True

    def alert(self, description: AlertDescription) -> None:
        """A closing alert, behind whatever was to be sent before it."""
        self.end_flight()
        self._fragment(ALERT, alerts.warning(description))

    def fatal_alert(self, description: AlertDescription) -> None:
        """The last record: sealed at once, before anything that is still queued."""
        self.end_flight()
        self._queue.clear()
        if self._client and self._key is not None:  # an alert may be the whole of a second flight
            self._send_change_cipher_spec()
        self._seal(ALERT, alerts.fatal(description))

    def install(self, key: RecordKey, *, early: bool = False) -> None:
        """Seal with this key whatever comes from now on; `early`: right after the first hello."""
        self._flush()
        if early:  # then this comes before early data (RFC 9846 appendix E.4)
            self._send_change_cipher_spec()
        if self._queue or self._ongoing is not None:
            self._queue.append(key)
        else:
            self._key = key

    def abandon(self) -> None:
        """Early data was refused: what is queued of it goes nowhere, and its key is dropped."""
        self._queue.clear()
        self._queued_bytes = 0
        self._key = None
        self._cancel()

    @property
    def secret(self) -> TrafficSecret:
        """The traffic secret in use: nothing may wait here, or it would not be what the next message is sealed with."""
        assert isinstance(self._key, RecordKey)
        assert not self.paused
        return self._key.secret

    def change_cipher_spec(self, key: RecordKey12) -> None:
        """Send ChangeCipherSpec, and seal with this key whatever comes behind it (RFC 5246 section 7.1)."""
        self._flush()
        self.out.append(_CHANGE_CIPHER_SPEC)
        self._key = key

    def update_key(self, *, request_peer: bool) -> None:
        """Send a KeyUpdate and change to the next generation of keys (RFC 9846 section 4.7.3).

        Raises InternalError where there is none, which ends the connection: a key of TLS 1.2 that is used up.
        """
        if isinstance(self._key, RecordKey12):
            self._key.next_generation()
        self.key_update_owed = False
        wanted = KeyUpdateRequest.update_requested if request_peer else KeyUpdateRequest.update_not_requested
        self._fragment(HANDSHAKE, self._key_update(wanted))
        if self.paused:
            self._queue.append(None)
        else:
            self._next_generation()

    def _key_update(self, request: KeyUpdateRequest) -> bytes:
        message = KeyUpdate(request)
        raw = message.encode()
        if self._performer.trace is not None:
            self._performer.trace("sent", message.msg_type.name, len(raw))
        return raw

    def take(self) -> bytes:
        """Everything that is sealed, handed over once; of a flight nothing before it is whole."""
        out = self.out
        if not out or self._begun:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    # --- records ---

    def _fragment(self, content_type: int, content: bytes) -> None:
        size = self.max_fragment if self._key is not None else self._largest
        if len(content) <= size and not self._through_engine:  # nearly every flight and alert
            self._seal(content_type, content)
            return
        for start in range(0, len(content), size) or (0,):
            piece = content if len(content) <= size else content[start : start + size]
            if self._through_engine and self._key is not None:
                self._queue.append((content_type, piece))
                self._queued_bytes += len(piece)
            else:
                self._seal(content_type, piece)

    def _seal(self, content_type: int, piece: bytes) -> None:
        key = self._key
        if key is None:
            version = LEGACY_RECORD_VERSION if self._flushed or not self._client else INITIAL_RECORD_VERSION
            self.out.append(HEADER.pack(content_type, version, len(piece)) + piece)
            return
        if key.sequence >= key.limit and content_type == APPLICATION_DATA:
            self.update_key(request_peer=False)
            self._seal(content_type, piece)
            return
        self.out.append(key.seal(content_type, piece))

    def _send_change_cipher_spec(self) -> None:
        if self._change_cipher_spec:
            self._change_cipher_spec = False
            self.out.append(_CHANGE_CIPHER_SPEC)

    def _next_generation(self) -> None:
        assert self._key is not None
        self._key = self._key.next_generation()

    # --- sealing through the engine ---

    @property
    def paused(self) -> bool:
        """Whether a record is under way in the engine, or waits behind one."""
        return bool(self._queue) or self._ongoing is not None

    @property
    def backlog(self) -> int:
        """Plaintext bytes that are not sealed yet."""
        return self._queued_bytes

    @property
    def sealing(self) -> bool:
        """Whether the engine may be using the key at this moment: then nobody else may."""
        return self._ongoing is not None

    def pump(self, now: float) -> None:
        """Seal what is queued, one record after the other, as far as the engine answers at once."""
        while self._queue or self._ongoing is not None:
            if self._ongoing is None:
                item = self._queue[0]
                if isinstance(item, tuple):
                    self._start(item, now)
                    continue
                self._queue.pop(0)
                if item is None:
                    self._next_generation()
                else:
                    self._key = item
                continue
            answer = self._ongoing.answer()
            if answer is NOT_YET:
                return
            self._ongoing = None
            self.out.append(answer)

    def _start(self, item: tuple[int, bytes], now: float) -> None:
        key = self._key
        assert key is not None
        if key.sequence >= key.limit and item[0] == APPLICATION_DATA:
            if isinstance(key, RecordKey12):
                key.next_generation()
            update = self._key_update(KeyUpdateRequest.update_not_requested)
            self._queue[:0] = ((HANDSHAKE, update), None)
            self._queued_bytes += len(update)
            return
        answer = self._performer.perform(Perform(Operation.SEAL_RECORD, key.seal, item), now)
        self._queue.pop(0)
        self._queued_bytes -= len(item[1])
        if isinstance(answer, Ongoing):
            self._ongoing = answer
        else:
            self.out.append(answer)

    def expire(self, now: float) -> None:
        """Raise OperationTimeout when the record under way is overdue.

        It stays under way as far as `sealing` is concerned: an engine at work on another thread may still use the key.
        """
        if self._ongoing is not None and self._ongoing.expired(now):
            raise self._ongoing.timed_out()

    def close(self) -> None:
        """Cancel what is under way, forget what is queued and the key; what is sealed may still be taken."""
        self.abandon()
        self._flight.clear()
