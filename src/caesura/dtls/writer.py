"""The writing half of the record layer: what is sent becomes records, and those datagrams (RFC 9147 4, RFC 6347 4.1).

Keys of past epochs stay as long as something may be sent again under them: it must go out as it went out before. A
record is sealed at once, unless it holds application data and the engine lists SEAL_RECORD: then one is under way, and
the next ones wait behind it. Since every record takes its number when its sealing begins, handshake records, ACKs and
alerts never wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

from caesura.dtls.plaintext import PlaintextWriter
from caesura.dtls.records12 import WriteKey12
from caesura.dtls.records13 import WriteKey
from caesura.engines import Operation
from caesura.errors import InternalError, UsageError
from caesura.handshake.performer import NOT_YET, Ongoing, Performer, Working
from caesura.handshake.requests import Perform
from caesura.wire.dtls import RecordNumber
from caesura.wire.records import MAX_PLAINTEXT
from caesura.wire.registries import ContentType

_ALERT = int(ContentType.alert)
_APPLICATION_DATA = int(ContentType.application_data)

_EMPTY: Final[deque[bytes]] = deque(maxlen=0)
"""The queue of all who seal without an engine: a deque of their own would take more memory than their keys."""


class RecordWriter(Working):
    """Seals records; `out` are the datagrams that are ready. `mtu` bounds them, `max_content` what a record carries."""

    __slots__ = (
        "_epochs",
        "_performer",
        "_queue",
        "_queued_bytes",
        "application",
        "current",
        "early",
        "max_content",
        "mtu",
        "out",
        "through_engine",
    )

    def __init__(self, performer: Performer, mtu: int, first_sequence: int) -> None:
        self._performer = performer
        self.through_engine = performer.takes(Operation.SEAL_RECORD)
        self._epochs: dict[int, PlaintextWriter | WriteKey | WriteKey12] = {0: PlaintextWriter(first_sequence)}
        self.current = 0  # the newest epoch
        self.early: WriteKey | None = None  # of a client's early data: no handshake message or ACK is ever sent in it
        self.application: WriteKey | WriteKey12 | None = None  # its key, once application data may be sent
        self._queue: deque[bytes] = deque() if self.through_engine else _EMPTY
        self._queued_bytes = 0
        self._ongoing = None
        self.mtu = mtu
        self.max_content = MAX_PLAINTEXT
        self.out: list[bytes] = []

    # --- records ----------------------------------------------------------------------------------------------------

    def begin(self, sequence: int) -> None:
        """Number records from here on: nothing was sent yet."""
        self._epochs[0] = PlaintextWriter(sequence)

    def say_version(self, version: int) -> None:
        """Write this version into the records of epoch 0."""
        plain = self._epochs.get(0)
        if isinstance(plain, PlaintextWriter):
            plain.version = version

    def seal(self, epoch: int, content_type: int, content: bytes) -> tuple[RecordNumber, bytes]:
        """One record under the keys of an epoch, and its number."""
        key = self._epochs[epoch]
        if not isinstance(key, PlaintextWriter) and key.sequence >= key.limit:
            raise InternalError(f"the key of epoch {epoch} is used up", section="RFC 9147 section 4.5.3")
        number = (epoch, key.sequence)
        return number, key.seal(content_type, content)

    def send(self, content_type: int, content: bytes, epoch: int) -> None:
        """One record in a datagram of its own."""
        self.out.append(self.seal(epoch, content_type, content)[1])

    def fatal_alert(self, content: bytes) -> bytes:
        """The last datagram, which not even the end of a key's use keeps back.

        While the handshake goes on, a server writes in an epoch for which the client may not have keys yet: then the
        alert is there in the epoch before, too.
        """
        epochs = [self.current] if self.application is not None else [self.current, *self._handshake_epochs()]
        datagram = b"".join([self._epochs[epoch].seal(_ALERT, content) for epoch in epochs])
        self.out.append(datagram)
        return datagram

    def _handshake_epochs(self) -> list[int]:
        return [epoch for epoch in self._epochs if 0 < epoch < self.current]

    def room(self, epoch: int) -> int:
        """How many bytes of content fit into a record that fills a datagram."""
        key = self._epochs.get(epoch)
        return min(self.mtu - key.overhead, self.max_content) if key is not None else 0

    def overhead(self, epoch: int) -> int:
        """What a record of an epoch costs besides its content; KeyError where its keys are gone."""
        return self._epochs[epoch].overhead

    def has_keys(self, epoch: int) -> bool:
        """Whether something can still be sent in this epoch."""
        return epoch in self._epochs

    # --- keys -------------------------------------------------------------------------------------------------------

    def install(self, key: WriteKey | WriteKey12) -> None:
        """Write with this key from now on."""
        self._epochs[key.epoch] = key
        self.current = key.epoch

    def update_key(self, connection_id: bytes) -> None:
        """The peer has acknowledged our KeyUpdate."""
        assert self.application is not None
        self.application = self.application.next_generation(connection_id)
        self.install(self.application)

    def allow_data(self) -> None:
        """The handshake is complete."""
        key = self._epochs[self.current]
        assert not isinstance(key, PlaintextWriter)
        self.application = key

    @property
    def update_due(self) -> bool:
        """Whether the key is so worn that a KeyUpdate should begin: it takes its time (RFC 9147 section 4.5.3)."""
        key = self.application
        return isinstance(key, WriteKey) and key.sequence >= key.worn

    def use_connection_id(self, connection_id: bytes) -> None:
        """Write this connection id from now on."""
        for key in self._epochs.values():
            if not isinstance(key, PlaintextWriter):
                key.use_connection_id(connection_id)

    def forget(self, needed: Collection[int]) -> None:
        """Keep only the newest keys and those of the epochs that are still needed."""
        for epoch in [epoch for epoch in self._epochs if epoch != self.current and epoch not in needed]:
            del self._epochs[epoch]

    # --- application data -------------------------------------------------------------------------------------------

    def write_data(self, data: bytes) -> bool:
        """One datagram of application data; False, and nothing is done, where it takes the long way."""
        key, size = self.application, len(data)
        if (
            key is None
            or self.through_engine
            or size + key.overhead > self.mtu
            or size > self.max_content
            or key.sequence >= key.worn
        ):
            return False
        self.out.append(key.seal(_APPLICATION_DATA, data))
        return True

    def write_early(self, data: bytes) -> None:
        """One datagram of early data. UsageError when it does not fit."""
        key = self.early
        assert key is not None
        room = min(self.mtu - key.overhead, self.max_content)
        if len(data) > room:
            limit = f"{room} fit beside the record's own, with a dtls.mtu of {self.mtu}"
            raise UsageError(f"early data: {len(data)} bytes in one datagram, where {limit}")
        self.out.append(key.seal(_APPLICATION_DATA, data))

    def write(self, data: bytes) -> None:
        """One datagram of application data. UsageError when it does not fit."""
        key = self.application
        assert key is not None
        room = self.room(self.current)
        if len(data) > room:
            limit = f"{room} fit beside the record's own, with a dtls.mtu of {self.mtu}"
            raise UsageError(f"write: {len(data)} bytes in one datagram, where {limit}")
        if self.through_engine:
            self._queue.append(data)
            self._queued_bytes += len(data)
        else:
            self.out.append(self.seal(self.current, _APPLICATION_DATA, data)[1])

    # --- sealing through the engine ---------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether a record is under way in the engine, or waits behind one."""
        return bool(self._queue) or self._ongoing is not None

    @property
    def backlog(self) -> int:
        """Bytes of plaintext that are not sealed yet."""
        return self._queued_bytes

    def pump(self, now: float) -> None:
        """Seal what is queued, one record after the other, as far as the engine answers at once."""
        while self._queue or self._ongoing is not None:
            if self._ongoing is None:
                key, data = self.application, self._queue[0]
                assert key is not None
                if key.sequence >= key.limit:
                    raise InternalError(f"the key of epoch {key.epoch} is used up", section="RFC 9147 section 4.5.3")
                # A number that is taken twice for one record does no harm; one that two records share would.
                work = Perform(Operation.SEAL_RECORD, key.seal_as, (key.take_number(), _APPLICATION_DATA, data))
                answer = self._performer.perform(work, now)
                self._queue.popleft()
                self._queued_bytes -= len(data)
                if isinstance(answer, Ongoing):
                    self._ongoing = answer
                    return
            else:
                answer = self._ongoing.answer()
                if answer is NOT_YET:
                    return
                self._ongoing = None
            self.out.append(answer)

    def close(self) -> None:
        """Cancel what is under way, forget what is queued and the keys; what is sealed may still be taken."""
        self._queue.clear()
        self._queued_bytes = 0
        self._epochs.clear()
        self.application = self.early = None
        self._cancel()
