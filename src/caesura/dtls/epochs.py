"""The epochs that are read, and the records that came before their keys (RFC 9147 sections 4.2 and 6.1).

A header has only the two lowest bits of its epoch. An old epoch stays until the first record of the next one has come
and `lifetime` seconds more: reordered records still open, and a peer that missed our ACK is still heard. No more than
the two before the newest are kept, so that their bits never mean two things. DTLS 1.2 has one
protected epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

from caesura.dtls.records12 import ReadKey12
from caesura.dtls.records13 import ReadKey
from caesura.dtls.replay import ReplayWindow
from caesura.wire.dtls import EPOCH_BITS

_OLD = 2  # epochs before the newest


class ReadEpoch:
    """One epoch: its key, the numbers it has seen, how many records did not open."""

    __slots__ = ("expires", "failures", "key", "number", "window")

    def __init__(self, key: ReadKey | ReadKey12, window: int) -> None:
        self.key = key
        self.number = key.epoch
        self.window = ReplayWindow(window)
        self.failures = 0
        self.expires: float | None = None


class ReadEpochs:
    """All protected epochs that are read at the moment."""

    __slots__ = ("_epochs", "_lifetime", "_settled", "_window", "newest")

    def __init__(self, window: int, lifetime: float) -> None:
        self._window = window
        self._lifetime = lifetime
        self._epochs: dict[int, ReadEpoch] = {}
        self.newest: ReadEpoch | None = None
        self._settled: ReadEpoch | None = None  # the last one that `opened` was told of

    def install(self, key: ReadKey | ReadKey12) -> None:
        """Read this epoch from now on too."""
        self.newest = self._epochs[key.epoch] = ReadEpoch(key, self._window)
        for number in [number for number in self._epochs if number < key.epoch - _OLD]:
            del self._epochs[number]

    def find(self, bits: int, now: float) -> ReadEpoch | None:
        """The newest epoch with these bits; None when none is read."""
        newest = self.newest
        if newest is None or newest.number & EPOCH_BITS == bits:
            return newest
        for number, epoch in sorted(self._epochs.items(), reverse=True):
            if number & EPOCH_BITS == bits:
                if epoch.expires is None or now < epoch.expires:
                    return epoch
                del self._epochs[number]
        return None

    def opened(self, epoch: ReadEpoch, now: float) -> None:
        """A record of this epoch has opened: from now on the older ones are on borrowed time."""
        if epoch is self._settled:
            return
        self._settled = epoch
        for number, old in self._epochs.items():
            if number < epoch.number and old.expires is None:
                old.expires = now + self._lifetime

    def forget(self, number: int) -> None:
        """Read the epoch of this number no more, if it is read at all."""
        self._epochs.pop(number, None)

    def drop(self, epoch: ReadEpoch) -> None:
        """Read this epoch no more."""
        self._epochs.pop(epoch.number, None)

    def clear(self) -> None:
        """Forget all keys."""
        self._epochs.clear()
        self.newest = self._settled = None


class EarlyRecords:
    """Protected records whose keys are not there yet, as they came: at most `limit` bytes, what is more is dropped."""

    __slots__ = ("_held", "_limit", "_records")

    _COST = 64  # bytes that a record costs besides its own

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._records: list[bytes] = []

    def keep(self, record: bytes) -> bool:
        """Keep one record, if there is room."""
        cost = len(record) + self._COST
        if self._held + cost > self._limit:
            return False
        self._held += cost
        self._records.append(record)
        return True

    def take(self, bits: int | None) -> Iterator[bytes]:
        """The records of an epoch with these bits, or all, in their order; they are kept no longer."""
        records, self._records, self._held = self._records, [], 0
        for record in records:
            if bits is None or record[0] & EPOCH_BITS == bits:
                yield record
            else:
                self.keep(record)

    def drop(self, bits: int) -> None:
        """Keep the records of an epoch with these bits no longer."""
        for _ in self.take(bits):
            pass

    def __bool__(self) -> bool:
        return bool(self._records)

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self._held = 0
