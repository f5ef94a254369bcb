"""Descriptors that wake a waiter, waiting for descriptors, and the clock that rings: where `jobs` meets the machine.

A `Wakeup` is the descriptor an application watches while a job is paused (ASYNC_WAIT_CTX_set_wait_fd(3)); any thread
may signal it, the job's own side drains it. `wait_readable` blocks on a few descriptors; `call_later` is one timer
thread for the whole process. Nothing here knows what a job is.
"""

from __future__ import annotations

import atexit
import heapq
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from itertools import count
from time import monotonic
from types import TracebackType
from typing import Any

from caesura.errors import UsageError

__all__ = ["Lock", "Timer", "Wakeup", "call_later", "loop_future", "monotonic", "report", "thread_id", "wait_readable"]

Lock = type(threading.RLock())  # re-entrant, because a finaliser may run anywhere, also where the lock is held
thread_id = threading.get_ident


class _EventFD:
    """A counter of the kernel's, readable while it is not zero (Linux)."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        if self.fd >= 0:
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        if self.fd >= 0:
            os.eventfd_read(self.fd)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        fd, self.fd = self.fd, -1  # finalisers run in any order, and somebody's may close this once more
        if fd >= 0:
            _close(fd)


class _SocketPair:
    """One byte in a socket pair, for systems without eventfd; sockets, because Windows can select nothing else."""

    __slots__ = ("_reader", "_writer", "fd")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.fd = self._reader.fileno()

    def set(self) -> None:
        self._writer.send(b"\0")

    def clear(self) -> None:
        self._reader.recv(1)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def __del__(self) -> None:
        self.close()


_Signal: type[_EventFD | _SocketPair] = _EventFD if hasattr(os, "eventfd") else _SocketPair


class Wakeup:
    """A signal that any thread may set, with a descriptor that is readable while it is set.

    The descriptor is made when `fileno()` first asks for it and stays the same until `close()`. Setting and closing
    share a lock, and after `close()` a signal does nothing: a late thread must not write into a descriptor that someone
    else owns by now.
    """

    __slots__ = ("_closed", "_set", "_signal", "lock")

    def __init__(self) -> None:
        self.lock = Lock()
        self._signal: _EventFD | _SocketPair | None = None
        self._set = False
        self._closed = False

    def fileno(self) -> int:
        """The descriptor to watch for reading. Raises `UsageError` once closed."""
        with self.lock:
            if self._closed:
                raise UsageError("this wake-up descriptor has been closed")
            if self._signal is None:
                self._signal = _Signal()
                if self._set:
                    self._signal.set()
            return self._signal.fd

    def is_set(self) -> bool:
        """Whether a signal has come that nobody has cleared."""
        return self._set

    def set(self) -> None:
        """Make the descriptor readable. Signals add up to one; after `close()` they do nothing."""
        with self.lock:
            if not (self._set or self._closed):
                self._set = True
                if self._signal is not None:
                    self._signal.set()

    def clear(self) -> bool:
        """Take the signal back; true if there was one."""
        with self.lock:
            was_set, self._set = self._set, False
            if was_set and self._signal is not None:
                self._signal.clear()
            return was_set

    def close(self) -> None:
        """Close the descriptor; the second time nothing happens."""
        with self.lock:
            self._closed = True
            self._set = False
            signal, self._signal = self._signal, None
            if signal is not None:
                signal.close()

    def __enter__(self) -> Wakeup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def wait_readable(fds: Iterable[int], timeout: float | None) -> None:
    """Block this thread until one of `fds` is readable (or unusable), or `timeout` seconds have passed."""
    if hasattr(select, "poll"):
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        # Rounded up: waking before the time would make the caller go round once more for nothing.
        poll.poll(None if timeout is None else int(timeout * 1000) + 1)
    else:
        select.select(list(fds), (), (), timeout)


def loop_future(awaitable: Any) -> Any:
    """The awaitable as a future of the asyncio loop that runs on this thread. Raises `UsageError` when none does."""
    asyncio = sys.modules.get("asyncio")  # not imported by anybody: no loop runs
    try:
        if asyncio is not None and asyncio.get_running_loop() is not None:
            return asyncio.ensure_future(awaitable)
    except RuntimeError:
        pass
    raise UsageError("an awaitable was waited for where no event loop runs")


def report(error: BaseException) -> None:
    """Show an exception that nobody can be handed, as the end of a thread would show it (threading.excepthook)."""
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )


# --- the clock that rings -------------------------------------------------------------------------------------------


class Timer:
    """What `call_later` hands back."""

    __slots__ = ("_alarms", "_function")

    def __init__(self, alarms: _Alarms, function: Callable[[], object]) -> None:
        self._alarms = alarms
        self._function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """Do not call the function any more; nothing happens if it has been called."""
        if self._function is not None:
            self._function = None
            self._alarms.forget_one()

    def ring(self) -> None:
        """Call the function, once."""
        function, self._function = self._function, None
        if function is not None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - one bad callback must not stop everybody's clock
                report(error)

    @property
    def cancelled(self) -> bool:
        """Whether it will never ring, or has done so."""
        return self._function is None


class _Alarms:
    """All timers of the process on one thread, which starts with the first timer and ends after a while without any.

    A daemon, so that a timer of an hour does not hold up the end of the program; `atexit` ends it before the
    interpreter is taken down.
    """

    LINGER = 5.0  # seconds the thread stays when nothing is left to ring for
    CROWD = 100  # so many cancelled timers may stand in the queue, or as many as are not

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Timer]] = []
        self._serial = count()
        self._cancelled = 0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        timer = Timer(self, function)
        with self._changed:
            heapq.heappush(self._queue, (monotonic() + seconds, next(self._serial), timer))
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="caesura-timers", daemon=True)
                self._thread.start()
            elif self._queue[0][2] is timer:
                self._changed.notify()
        return timer

    def forget_one(self) -> None:
        """A timer was cancelled: clear the queue of such ones when they are many."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > max(self.CROWD, len(self._queue) // 2):
                self._queue = [entry for entry in self._queue if not entry[2].cancelled]
                heapq.heapify(self._queue)
                self._cancelled = 0

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            timer.ring()
            del timer

    def _next(self) -> Timer | None:
        """The next timer that is due, waited for; None when the thread has to end."""
        with self._changed:
            while not self._stopping:
                wait = self._queue[0][0] - monotonic() if self._queue else self.LINGER
                if self._queue and wait <= 0:
                    return heapq.heappop(self._queue)[2]
                if not self._changed.wait(wait) and not self._queue:
                    break
            self._thread = None
            return None


_alarms = _Alarms()
atexit.register(lambda: _alarms.stop())


def _after_fork_in_child() -> None:
    """Threads do not survive a fork: the child gets a clock of its own, and its parent's timers stay its parent's."""
    global _alarms
    _alarms = _Alarms()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork_in_child)


def call_later(seconds: float, function: Callable[[], object]) -> Timer:
    """Call `function` on the timer thread after so many seconds; it must be short, everybody's timers wait for it."""
    return _alarms.call_later(seconds, function)
