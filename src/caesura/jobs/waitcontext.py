"""The wait context: what a paused job waits with (ASYNC_WAIT_CTX_new(3)).

Descriptors by key with what changed since the last pause, a callback with its status, and the completion signal of work
that ends on another thread. Nothing here starts, pauses or resumes anything.

What "changed" means. Two snapshots of the live entries are kept: the *mark*, taken when a pause is reported to the
application, and the *baseline*, which becomes the mark of the last pause when the job is resumed. Added is what lives
now and is not in the baseline; deleted is what one of the two snapshots has and lives no more. So the lists stay as
they are however often they are read during one pause, and a descriptor that was reported as added is also reported as
deleted, whoever cleared it and whenever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from enum import IntEnum, unique
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias

from caesura.errors import UsageError
from caesura.jobs.wakeup import Wakeup, call_later

__all__ = ["AsyncCallback", "AsyncStatus", "Cancellable", "Cleanup", "WaitContext"]

AsyncCallback: TypeAlias = Callable[[Any], object]
Cleanup: TypeAlias = "Callable[[WaitContext, Any, int, Any], object]"


class Cancellable(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> object:
        """Call it off."""


@unique
class AsyncStatus(IntEnum):
    """What the last submission of asynchronous code came to (ASYNC_WAIT_CTX_set_status(3))."""

    UNSUPPORTED = 0
    ERR = 1
    OK = 2
    EAGAIN = 3


class _Entry:
    """One descriptor. Entries are told apart by identity: two may share a key, or one number after a close."""

    __slots__ = ("cleanup", "custom_data", "fd", "key")

    def __init__(self, key: object, fd: int, custom_data: Any = None, cleanup: Cleanup | None = None) -> None:
        self.key = key
        self.fd = fd
        self.custom_data = custom_data
        self.cleanup = cleanup


_COMPLETION: Final = object()  # the key of a context's own descriptor, which nobody else can have


class WaitContext:
    """Descriptors, callback and status with which a paused job waits (ASYNC_WAIT_CTX_new(3)).

    It serves one job at a time and outlives it. `owned=True` says that whoever made it (an SSL) calls `mark()`,
    `reset()` and `drain()` itself, because several pieces of its work may be paused at once; otherwise the job does.

    The descriptors belong to who set them: the context neither reads nor closes one, except by the entry's cleanup.
    """

    __slots__ = (
        "_arg",
        "_armed",
        "_baseline",
        "_callback",
        "_closed",
        "_entries",
        "_listener",
        "_lock",
        "_mark",
        "_own",
        "_status",
        "_wakeup",
        "call_later",
        "owned",
    )

    def __init__(self, *, owned: bool = False) -> None:
        self.owned: Final = owned
        # How paused work has itself woken after a while: by a thread, unless who resumes it has timers, as a loop does.
        self.call_later: Callable[[float, Callable[[], object]], Cancellable] = call_later
        # Newest first, and replaced, never changed: a snapshot is one assignment, and any thread may read them.
        self._entries: tuple[_Entry, ...] = ()
        self._baseline: tuple[_Entry, ...] = ()
        self._mark: tuple[_Entry, ...] = ()
        self._callback: AsyncCallback | None = None
        self._arg: Any = None
        self._status: int = AsyncStatus.UNSUPPORTED
        self._wakeup = Wakeup()
        # The entry of that wake-up, one for ever: that it goes and comes again is no change to report.
        self._own: _Entry | None = None
        self._armed = 0
        self._listener: Callable[[], object] | None = None
        self._lock = self._wakeup.lock
        self._closed = False

    # --- descriptors ------------------------------------------------------------------------------------------------

    def set_wait_fd(self, key: object, fd: int, custom_data: Any = None, cleanup: Cleanup | None = None) -> None:
        """Add a descriptor that becomes readable when the job should be resumed (ASYNC_WAIT_CTX_set_wait_fd(3)).

        `key` counts by identity, and a second entry with the same key hides the first. `cleanup(context, key, fd,
        custom_data)` runs when the context is closed, unless the entry was cleared before. Raises `UsageError` when the
        context has been closed.
        """
        with self._lock:
            if self._closed:
                raise UsageError("this wait context has been closed")
            self._entries = (_Entry(key, fd, custom_data, cleanup), *self._entries)

    def get_fd(self, key: object) -> tuple[int, Any] | None:
        """Descriptor and custom data of the newest entry with this key, or None (ASYNC_WAIT_CTX_get_fd(3))."""
        entry = self._find(key)
        return None if entry is None else (entry.fd, entry.custom_data)

    def clear_fd(self, key: object) -> bool:
        """Drop the newest entry with this key; false if there is none (ASYNC_WAIT_CTX_clear_fd(3)).

        Its cleanup is not called: whoever clears a descriptor also closes it.
        """
        with self._lock:
            found = self._find(key)
            self._entries = tuple(entry for entry in self._entries if entry is not found)
        return found is not None

    def get_all_fds(self) -> list[int]:
        """All descriptors, newest first (ASYNC_WAIT_CTX_get_all_fds(3))."""
        if not self._entries:
            return []
        with self._lock:
            return self._fds(self._entries)

    def get_changed_fds(self) -> tuple[list[int], list[int]]:
        """`(added, deleted)` since the last pause, each newest first (ASYNC_WAIT_CTX_get_changed_fds(3)).

        A number may stand in both lists, when a descriptor was closed and its number used again: apply the deletions
        first.
        """
        if self._entries is self._mark is self._baseline:
            return [], []
        with self._lock:
            live, mark, baseline = self._entries, self._mark, self._baseline
            added = [entry for entry in live if entry not in baseline]
            deleted = [entry for entry in mark if entry not in live]
            deleted += [entry for entry in baseline if entry not in live and entry not in mark]
            return self._fds(added), self._fds(deleted)

    def foreign(self) -> tuple[_Entry, ...]:
        """The entries that others have set: all but the context's own completion descriptor."""
        return tuple(entry for entry in self._entries if entry is not self._own)

    def mark(self) -> None:
        """A pause is being reported: remember which descriptors live now."""
        self._mark = self._entries

    def reset(self) -> None:
        """The work is being resumed: from here on "changed" means changed since the `mark()` of the last pause."""
        self._baseline = self._mark

    def _find(self, key: object) -> _Entry | None:
        return next((entry for entry in self._entries if entry.key is key), None)

    def _fds(self, entries: Iterable[_Entry]) -> list[int]:
        # The own descriptor is only made when somebody asks for it: who has a callback, or blocks, never does.
        return [self._wakeup.fileno() if entry is self._own else entry.fd for entry in entries]

    # --- callback and status ----------------------------------------------------------------------------------------

    def set_callback(self, callback: AsyncCallback | None, arg: Any = None) -> None:
        """Have `callback(arg)` called when paused work may go on; None: nothing (ASYNC_WAIT_CTX_set_callback(3)).

        It may be called on any thread, and before the call that starts the work has returned. It must be short, must
        not block, and only schedules a retry. One set late is honoured: it is told at once of a completion that was
        signalled before and not drained since.
        """
        with self._lock:
            self._callback, self._arg = callback, arg
            tell = callback is not None and self._wakeup.is_set() and self._wakeup.clear()
            self._show_own()
        if tell:
            self.notify()

    def get_callback(self) -> tuple[AsyncCallback, Any] | None:
        """The callback and its argument, or None when none is set (ASYNC_WAIT_CTX_get_callback(3))."""
        with self._lock:
            return None if self._callback is None else (self._callback, self._arg)

    def set_status(self, status: int) -> None:
        """Any integer, usually an `AsyncStatus` (ASYNC_WAIT_CTX_set_status(3)).

        `OK` promises that the callback will come. `EAGAIN`: the work was refused, resume to try again. `ERR`: it has
        failed.
        """
        self._status = status

    def get_status(self) -> int:
        """What was set last; `AsyncStatus.UNSUPPORTED` in a new context (ASYNC_WAIT_CTX_get_status(3))."""
        return self._status

    # --- completion -------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Promise a `notify()`, until the matching `disarm()`.

        With a callback the status becomes `OK`, which says just that. Without one the context's own descriptor stands
        among the descriptors, one and the same until `close()`, until the promise is kept and the signal drained.
        """
        with self._lock:
            self._armed += 1
            if self._callback is not None:
                self._status = AsyncStatus.OK
            self._show_own()

    def disarm(self) -> None:
        """Take back one `arm()`: what was promised has come, or will not come."""
        with self._lock:
            self._armed -= 1
            self._show_own()

    @property
    def armed(self) -> bool:
        """Whether a `notify()` is promised."""
        return self._armed > 0

    @property
    def signalled(self) -> bool:
        """Whether a `notify()` has come that no callback was called for and nobody has drained."""
        return self._wakeup.is_set()

    def notify(self, status: int = AsyncStatus.OK) -> None:
        """Paused work may go on: tell the application, from any thread; after `close()` nobody is told.

        With a callback the status is set and then the callback called. Without, the context's own descriptor becomes
        readable; the status is then set only if it is not `OK`, because that would promise a callback.
        """
        with self._lock:
            if self._closed:
                return
            callback, arg, listener = self._callback, self._arg, self._listener
            if callback is None:
                self._wakeup.set()
                self._show_own()
            if callback is not None or status != AsyncStatus.OK:
                self._status = status
        if listener is not None:
            listener()
        if callback is not None:
            callback(arg)

    def drain(self) -> None:
        """Take back the signal of `notify()`; then look at everything that may have completed."""
        with self._lock:
            self._wakeup.clear()
            self._show_own()

    def listen(self, listener: Callable[[], object] | None) -> Callable[[], object] | None:
        """Have `listener()` called by each `notify()` too, and hand back the one before.

        For who waits in the application's place (`jobs.wait`); the application's own callback is not touched.
        """
        before, self._listener = self._listener, listener
        return before

    def _show_own(self) -> None:
        """Put the own descriptor among the entries while it may be or is signalled, and no callback comes instead."""
        if self._own is None and self._callback is not None:
            return
        shown = self._own in self._entries
        wanted = (self._armed > 0 or self._wakeup.is_set()) and self._callback is None and not self._closed
        if wanted and not shown:
            if self._own is None:
                self._own = _Entry(_COMPLETION, -1)
            self._entries = (self._own, *self._entries)
        elif shown and not wanted:
            self._entries = self.foreign()

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Run the cleanup of every live entry, newest first, each once, and drop them (ASYNC_WAIT_CTX_free(3)).

        The second time nothing happens. If cleanups raise, all of them still run and the first error is raised.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            entries = self._entries
            self._entries = self._baseline = self._mark = ()
            self._callback = self._arg = self._listener = self._own = None
            self._wakeup.close()
        failure: BaseException | None = None
        for entry in entries:
            if entry.cleanup is not None:
                try:
                    entry.cleanup(self, entry.key, entry.fd, entry.custom_data)
                except BaseException as error:  # noqa: BLE001 - the other descriptors must be cleaned up all the same
                    failure = failure or error
        if failure is not None:
            raise failure

    @property
    def closed(self) -> bool:
        """Whether `close()` has been called."""
        return self._closed

    def __enter__(self) -> WaitContext:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self, _finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not (self._closed or _finalizing()):
            self.close()
