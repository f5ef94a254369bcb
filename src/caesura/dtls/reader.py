"""The reading half of the record layer: a datagram becomes records, opened and bounded (RFC 9147 4, RFC 6347 4.1).

What is not a record, is of no epoch that is read, does not open or was seen before is passed over without a word: a
forged datagram must cost its sender more than us. Records come out one at a time, since the next one may need keys that
the handshake makes of this one. A protected record whose keys are not there yet is kept, and comes out when they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from caesura.context import Settings
from caesura.dtls.connection_id import ConnectionIds
from caesura.dtls.epochs import EarlyRecords, ReadEpoch, ReadEpochs
from caesura.dtls.plaintext import split_plaintext
from caesura.dtls.records12 import CONNECTION_ID_AT, EPOCH, TLS12_CID, ReadKey12, split_with_id
from caesura.dtls.records13 import ReadKey, Sealed, split_ciphertext, split_inner
from caesura.engines import Operation
from caesura.errors import BadRecordMAC, RecordOverflow
from caesura.handshake.performer import NOT_YET, Ongoing, Performer
from caesura.handshake.requests import Perform
from caesura.handshake.transport import Epoch
from caesura.wire.dtls import CONNECTION_ID_PRESENT, EPOCH_BITS, UNIFIED_HEADER, UNIFIED_HEADER_MASK
from caesura.wire.records import MAX_CIPHERTEXT, MAX_INNER_PLAINTEXT
from caesura.wire.registries import ContentType

_PLAINTEXT_TYPES = frozenset(map(int, ContentType)) - {TLS12_CID}

_EMPTY: Final[deque[tuple[ReadEpoch, Sealed]]] = deque(maxlen=0)


class Record(NamedTuple):
    """A record that was opened, or that needed no opening: then its epoch is 0, and anybody may have written it."""

    epoch: int
    sequence: int
    content_type: int
    content: bytes


class RecordReader:
    """Takes datagrams; gives the records in them."""

    __slots__ = (
        "_early",
        "_forged",
        "_held_bytes",
        "_held_limit",
        "_ids",
        "_older",
        "_ongoing",
        "_performer",
        "_queue",
        "complete",
        "early_data",
        "epochs",
        "max_inner",
        "through_engine",
        "update_wanted",
    )

    def __init__(self, performer: Performer, settings: Settings, ids: ConnectionIds) -> None:
        limits = settings.limits
        self._performer = performer
        self.through_engine = performer.takes(Operation.OPEN_RECORD)
        self._ids = ids
        self._older = False  # whether this is DTLS 1.2
        self.epochs = ReadEpochs(limits.replay_window, settings.dtls.old_epoch_lifetime)
        self._early = EarlyRecords(limits.early_bytes)
        self._forged = limits.forged_records
        # To be opened by the engine, behind what it is opening. A deque takes more memory than all else here.
        self._queue: deque[tuple[ReadEpoch, Sealed]] = deque() if self.through_engine else _EMPTY
        self._held_bytes = 0
        self._held_limit = limits.parked_bytes
        self._ongoing: tuple[Ongoing, ReadEpoch, int] | None = None
        self.early_data = False  # whether there may be early data
        self.complete = False  # whether the handshake is: until then application records wait
        self.max_inner = MAX_INNER_PLAINTEXT
        self.update_wanted = False  # so many forgeries that the peer should change its keys

    # --- datagrams in, records out ----------------------------------------------------------------------------------

    def records(self, datagram: bytes, now: float) -> Iterator[Record]:
        """The records of a datagram, as far as they can be opened now. Raises BadRecordMAC after too many forgeries."""
        pos, size, ids = 0, len(datagram), self._ids
        while pos < size:
            first = datagram[pos]
            if first in _PLAINTEXT_TYPES:
                plain = split_plaintext(datagram, pos)
                if plain is None:
                    return
                _, epoch, sequence, start, stop = plain
                if not epoch:
                    yield Record(0, sequence, first, datagram[start:stop])
                elif epoch == EPOCH:
                    record = self._protected12(datagram, pos, sequence, start, stop, now)
                    if record is not None:
                        yield record
                else:
                    return
                pos = stop
            elif first == TLS12_CID:
                found = split_with_id(datagram, pos, ids.length)
                if found is None:
                    return
                sequence, start, stop = found
                record = self._protected12(datagram, pos, sequence, start, stop, now)
                if record is not None:
                    yield record
                pos = stop
            elif first & UNIFIED_HEADER_MASK == UNIFIED_HEADER and not self._older:
                found = split_ciphertext(datagram, pos, ids.length)
                if found is None:
                    return
                number_at, start, stop = found
                if not (
                    ids.accepts(datagram[pos + 1 : number_at] if first & CONNECTION_ID_PRESENT else b"")
                    or (self.early_data and first & (CONNECTION_ID_PRESENT | EPOCH_BITS) == Epoch.EARLY_DATA)
                ):  # who writes early data knows no id of ours yet
                    return  # the rest is another association's too, if anybody's (RFC 9147 section 4)
                record = self._protected(datagram, pos, number_at, start, stop, now)
                if record is not None:
                    yield record
                pos = stop
            else:
                return

    def open_data(self, datagram: bytes, now: float) -> bytes | None:
        """What a datagram holds that is one record of application data of the newest epoch, as nearly all are.

        None, and nothing is done, for anything else: the long way opens and judges what was declined here.
        """
        epoch = self.epochs.newest
        if epoch is None or self.through_engine or self._ids.length:
            return None
        window = epoch.window
        found = epoch.key.open_data(datagram, window.highest + 1)
        if found is None or len(found[1]) >= self.max_inner or not window.take(found[0]):
            return None
        self.epochs.opened(epoch, now)
        return found[1]

    def early_records(self, epoch: Epoch, now: float) -> Iterator[Record]:
        """The records of this epoch that came before they could be used; of DTLS 1.2, all that may be of its one."""
        for record in self._early.take(None if self._older else epoch & EPOCH_BITS):
            yield from self.records(record, now)

    def _protected(self, datagram: bytes, pos: int, number_at: int, start: int, stop: int, now: float) -> Record | None:
        epoch = self.epochs.find(datagram[pos] & EPOCH_BITS, now)
        if (
            epoch is None
            or not isinstance(epoch.key, ReadKey)
            or (epoch.number >= Epoch.APPLICATION and not self.complete)
        ):
            if not self.complete and (self.early_data or datagram[pos] & EPOCH_BITS != Epoch.EARLY_DATA):
                self._early.keep(datagram[pos:stop])
            return None
        if stop - start > MAX_CIPHERTEXT:
            return None
        sealed = epoch.key.unmask(datagram, pos, number_at, start, stop, epoch.window.highest + 1)
        if sealed is None:
            return None
        if self.through_engine:
            self._hold(epoch, sealed)
            return None
        return self._opened(epoch, sealed[0], epoch.key.open_untrusted(*sealed), now)

    def _protected12(
        self, datagram: bytes, pos: int, sequence: int, start: int, stop: int, now: float
    ) -> Record | None:
        epoch, ids = self.epochs.newest, self._ids
        if epoch is None:
            if not self.complete:
                self._early.keep(datagram[pos:stop])
            return None
        if not self._older or stop - start > MAX_CIPHERTEXT:
            return None
        with_id = datagram[pos] == TLS12_CID
        if with_id is not bool(ids.length) or (
            with_id and not ids.accepts(datagram[pos + CONNECTION_ID_AT : start - 2])
        ):
            return None
        sealed = (sequence, datagram[pos:start], datagram[start:stop])
        if self.through_engine:
            self._hold(epoch, sealed)
            return None
        return self._opened(epoch, sequence, epoch.key.open_untrusted(*sealed), now)

    def _opened(self, epoch: ReadEpoch, sequence: int, inner: bytes | None, now: float) -> Record | None:
        if inner is None:
            self._failed(epoch)
            return None
        # Only now, so that the time we take does not tell whether a number was seen (RFC 9147 section 4.5.1).
        if not epoch.window.take(sequence):
            return None
        self.epochs.opened(epoch, now)
        if len(inner) > self.max_inner:
            raise RecordOverflow(f"{len(inner)} bytes in a record", section="RFC 9147 section 4")
        return Record(epoch.number, sequence, *split_inner(inner))

    def _failed(self, epoch: ReadEpoch) -> None:
        """Count a forgery (RFC 9147 section 4.5.3): half-way a KeyUpdate is due, at the limit the key is not used."""
        epoch.failures += 1
        limit = min(epoch.key.integrity_limit, self._forged)
        if epoch.failures < limit:
            if epoch is self.epochs.newest and epoch.failures == limit // 2:
                self.update_wanted = True
        elif epoch is self.epochs.newest:
            raise BadRecordMAC(f"{limit} records that did not open", section="RFC 9147 section 4.5.3")
        else:
            self.epochs.drop(epoch)

    # --- keys -------------------------------------------------------------------------------------------------------

    def install(self, key: ReadKey | ReadKey12) -> None:
        """Read the epoch of this key too from now on."""
        self._older = isinstance(key, ReadKey12)
        self.epochs.install(key)

    def end_early_data(self) -> None:
        """There is none, or no more."""
        self.early_data = False
        self.epochs.forget(Epoch.EARLY_DATA)
        self._early.drop(Epoch.EARLY_DATA)

    def update_key(self) -> int:
        """The peer has sent a KeyUpdate: read the next epoch too, whose number this gives."""
        newest = self.epochs.newest
        assert newest is not None
        self.epochs.install(newest.key.next_generation())
        return newest.number + 1

    @property
    def early(self) -> bool:
        """Whether records wait for their keys."""
        return bool(self._early)

    # --- opening through the engine ---------------------------------------------------------------------------------

    @property
    def holding(self) -> bool:
        """Whether records wait for the engine."""
        return bool(self._queue)

    @property
    def paused(self) -> bool:
        """Whether a record is under way in the engine."""
        return self._ongoing is not None

    @property
    def deadline(self) -> float | None:
        """When the record under way must be opened."""
        return self._ongoing[0].deadline if self._ongoing is not None else None

    def resume(self) -> None:
        """Let the record under way go on."""
        if self._ongoing is not None:
            self._ongoing[0].resume()

    def expire(self, now: float) -> None:
        """Raise OperationTimeout when the record under way is overdue."""
        if self._ongoing is not None and self._ongoing[0].expired(now):
            ongoing, self._ongoing = self._ongoing[0], None
            raise ongoing.timed_out()

    def finished(self, now: float) -> Iterator[Record]:
        """The records that the engine has opened, in the order they came in."""
        while self._ongoing is not None or self._queue:
            if self._ongoing is None:
                epoch, sealed = self._queue[0]
                answer = self._performer.perform(Perform(Operation.OPEN_RECORD, epoch.key.open_untrusted, sealed), now)
                self._queue.popleft()
                self._held_bytes -= len(sealed[2])
                if isinstance(answer, Ongoing):
                    self._ongoing = (answer, epoch, sealed[0])
                    return
                sequence = sealed[0]
            else:
                ongoing, epoch, sequence = self._ongoing
                answer = ongoing.answer()
                if answer is NOT_YET:
                    return
                self._ongoing = None
            record = self._opened(epoch, sequence, answer, now)
            if record is not None:
                yield record

    def _hold(self, epoch: ReadEpoch, sealed: Sealed) -> None:
        if self._held_bytes + len(sealed[2]) <= self._held_limit:
            self._held_bytes += len(sealed[2])
            self._queue.append((epoch, sealed))

    def close(self) -> None:
        """Cancel what is under way, forget records and keys."""
        ongoing, self._ongoing = self._ongoing, None
        self._queue.clear()
        self._early.clear()
        self.epochs.clear()
        if ongoing is not None:
            ongoing[0].cancel()
