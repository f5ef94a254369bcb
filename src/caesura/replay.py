"""What remembers which early data was taken, so that none is taken twice (RFC 9846 section 8).

Early data can be copied off the wire and sent again. So a server takes it once for each ticket, and remembers that for
as long as a copy could still pass for fresh (`early_data_window`). Each ticket names the zone whose memory is asked.
One that was made in another zone, be it another process, another machine or this program before it was started again,
resumes but brings no early data (section 8.2).
"""

from __future__ import annotations

import os
import secrets
from heapq import heappop, heappush
from typing import Protocol

from caesura.engines import Answer
from caesura.jobs.wakeup import Lock


class ReplayStore(Protocol):
    """Where a server looks up whether early data came before; it may pause, be `async def`, or answer at once."""

    @property
    def zone(self) -> bytes:
        """Whose memory this is, in 255 bytes at most: the same for all who share it, as long as nothing is forgotten.

        What is gone after a restart must have another zone then.
        """

    def first_use(self, key: bytes, now: float, until: float) -> Answer[bool]:
        """Whether `key` comes for the first time: true once, however many ask at the same moment.

        It may be forgotten after `until`; both times are seconds since 1970. False whenever that is not certain: then
        there is no early data, and the handshake goes on. What is raised here ends the connection instead.
        """


class ReplayCache:
    """A memory of one process: the keys of the last seconds, `size` of them, some 250 bytes each.

    None gives way to another: when it is full, no more early data is taken until the oldest ones have run out. A
    process that is forked off begins with an empty one, and so with a zone of its own.
    """

    def __init__(self, size: int = 65_536) -> None:
        self._size = size
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._zone = secrets.token_bytes(16)
        self._lock = Lock()
        self._uses: set[bytes] = set()
        self._oldest: list[tuple[float, bytes]] = []  # a heap
        self._forgotten = float("-inf")  # whatever ran out until then is not known any more

    def __len__(self) -> int:
        return len(self._uses)

    @property
    def zone(self) -> bytes:
        """This very memory."""
        if self._process != os.getpid():
            self._start()
        return self._zone

    def first_use(self, key: bytes, now: float, until: float) -> bool:
        """Whether `key` comes for the first time. Threads may ask at once."""
        with self._lock:
            self._forget(now)
            if until <= self._forgotten or key in self._uses or len(self._uses) >= self._size:
                return False
            self._uses.add(key)
            heappush(self._oldest, (until, key))
            return True

    def _forget(self, now: float) -> None:
        while self._oldest and self._oldest[0][0] < now:
            until, key = heappop(self._oldest)
            self._forgotten = max(self._forgotten, until)
            self._uses.discard(key)
