"""What an SSL, a stream and a listener have in common: what a call waits for, and the BIOs of those that have any."""

from __future__ import annotations

from enum import IntEnum, unique
from typing import NoReturn

from caesura.bio import BIO, descriptor
from caesura.errors import UsageError, WantRead, WantWrite


@unique
class Want(IntEnum):
    """What the last call is waiting for, with the numbers of SSL_want(3)."""

    NOTHING = 1
    WRITING = 2
    READING = 3
    ASYNC_PAUSED = 5
    ASYNC_NO_JOBS = 6


class Wanting:
    """Whose calls may have to wait: `want` says what the last one waits for."""

    __slots__ = ("want",)

    def __init__(self) -> None:
        self.want = Want.NOTHING

    def _want_read(self) -> NoReturn:
        self.want = Want.READING
        raise WantRead

    def _want_write(self) -> NoReturn:
        self.want = Want.WRITING
        raise WantWrite


class OverBIOs(Wanting):
    """What reads from one BIO and writes to another, or to the same."""

    __slots__ = ("_rbio", "_wbio")

    def __init__(self, rbio: BIO | None, wbio: BIO | None) -> None:
        super().__init__()
        self._rbio = rbio
        self._wbio = rbio if wbio is None else wbio

    def set_bio(self, rbio: BIO | None, wbio: BIO | None = None) -> None:
        """Read from `rbio` and write to `wbio`, or to `rbio` when it is None (SSL_set_bio(3)).

        `UsageError` for a QUIC connection that has begun, and a listener that listens: packets cannot go elsewhere.
        """
        self._rbio = rbio
        self._wbio = rbio if wbio is None else wbio

    @property
    def rbio(self) -> BIO | None:
        """Where bytes, or datagrams, come from."""
        return self._rbio

    @property
    def wbio(self) -> BIO | None:
        """Where they go."""
        return self._wbio

    @property
    def _can_block(self) -> bool:
        """Whether the BIOs have descriptors to wait on."""
        return descriptor(self._rbio) is not None and descriptor(self._wbio) is not None

    def _may_block(self, value: bool) -> None:
        """Raise `UsageError` if calls are to wait and cannot."""
        if value and not self._can_block:
            raise UsageError("blocking: these BIOs have no descriptor to wait on")
