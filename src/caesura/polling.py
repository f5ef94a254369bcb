"""Waiting for any of several objects: TLS, DTLS and QUIC connections, streams, listeners, sockets (SSL_poll(3)).

Each round does what can be done without waiting, looks at what holds, and if that is nothing of what was asked for,
waits for descriptors, timers, and paused work of all objects together. Inside a job of the user's the wait pauses that
job. What the objects know of themselves is theirs to say: see `readiness`.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeAlias

from caesura.bio import BIO, descriptor
from caesura.errors import Error, UsageError
from caesura.jobs.job import can_pause
from caesura.jobs.wait import wait_once
from caesura.jobs.wakeup import Wakeup
from caesura.readiness import Pollable, PollEvent, Watch
from caesura.sslobject import RecordSSL, Want

Item: TypeAlias = "tuple[Any, PollEvent | int]"
"""What to poll (an object of `caesura.SSL`'s, a socket, a descriptor, or None) and for what."""

_NONE: Final = PollEvent.NONE
_ALL: Final = (1 << 13) - 1


def poll(items: Iterable[Item], timeout: float | None = None, *, handle_events: bool = True) -> list[PollEvent]:
    """What holds of each item, as soon as something does that was asked for: one `PollEvent` for each, in their order.

    `timeout` in seconds: None waits for ever, 0 does not wait; when it has passed no item has an event. An event that
    an item cannot have is ignored, and so is an item that is None. Failure to poll an item (`PollEvent.F`) ends the
    call: it is something that cannot be polled, was closed, or would have to be waited for and has no descriptor.

    Without `handle_events` nothing is read, served or sent before the call must wait: then what holds already counts.

    Sockets, and whatever has a `fileno()`, have R, W, and EC when the descriptor is in error. Raises UsageError for an
    item that is no pair, events that there are not, a negative timeout.
    """
    pairs = [_checked(item) for item in items]
    if timeout is not None and not timeout >= 0:
        raise UsageError(f"timeout: seconds, 0 or more, or None, not {timeout!r}")
    sources = [_source(thing) for thing, _ in pairs]
    wanted = [PollEvent(events) | PollEvent.F for _, events in pairs]
    deadline = None if timeout is None else monotonic() + timeout
    watch = Watch()
    waited = False
    try:
        while True:
            if handle_events or waited:
                _tick(sources, waited=waited)
            found = [
                _NONE if source is None else source.poll_events() & mask
                for source, mask in zip(sources, wanted, strict=True)
            ]
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if any(found) or left == 0:
                return found
            failed = _wait(list(zip(sources, wanted, strict=True)), watch, left)
            if failed:
                return [PollEvent.F if source in failed else _NONE for source in sources]
            waited = True
    finally:
        watch.context.close()


def _checked(item: Item) -> Item:
    try:
        thing, events = item
    except (TypeError, ValueError):
        raise UsageError("items: each is a pair of what to poll and for which events") from None
    if not isinstance(events, int) or not 0 <= events <= _ALL:
        raise UsageError(f"events: a PollEvent, not {events!r}")
    return thing, events


def _source(thing: Any) -> Pollable | None:
    if thing is None:
        return None
    if isinstance(thing, RecordSSL):
        return _Records(thing)
    if hasattr(thing, "poll_events"):
        found: Pollable = thing
        return found
    try:
        return _Descriptor(thing if isinstance(thing, int) else thing.fileno())
    except (AttributeError, TypeError, ValueError, OSError):
        return _Nothing()


def _tick(sources: Iterable[Pollable | None], *, waited: bool) -> None:
    movers = dict.fromkeys(source.poll_mover(waited=waited) for source in sources if source is not None)
    for mover in movers:
        if mover is not None:
            mover.poll_tick()


# --- waiting ------------------------------------------------------------------------------------------------------


def _wait(pairs: Sequence[tuple[Pollable | None, PollEvent]], watch: Watch, seconds: float | None) -> list[Pollable]:
    """Wait until something may have changed, or so long; or the sources of which nobody would hear."""
    watch.begin(seconds)
    pausing = can_pause()
    try:
        failed = [
            source
            for source, wanted in pairs
            if source is not None and not source.poll_watch(watch, wanted) and not pausing
        ]
        if not failed:
            watch.settle()
            if (watch.seconds is None or watch.seconds > 0) and not _any_holds(pairs):
                (_pause if pausing else _block)(watch)
        return failed
    finally:
        watch.end()


def _any_holds(pairs: Iterable[tuple[Pollable | None, PollEvent]]) -> bool:
    """Another thread may have moved something after our look, and before we were among those who are woken."""
    return any(source is not None and source.poll_events() & wanted for source, wanted in pairs)


def _block(watch: Watch) -> None:
    """Block this thread."""
    with Wakeup() as wakeup:
        before = watch.context.listen(wakeup.set)
        try:
            if not watch.context.signalled:
                _ready({wakeup.fileno(), *watch.readable}, watch.writable, watch.seconds)
        finally:
            watch.context.listen(before)


def _pause(watch: Watch) -> None:
    """Pause the job that this call is in: its application is shown what is waited for.

    A wait context has no descriptors for writing, so these are looked at from time to time.
    """
    if watch.writable:
        watch.look_again()
        watch.settle()
    keys = [(object(), fd) for fd in watch.readable]
    for key, fd in keys:
        watch.context.set_wait_fd(key, fd)
    try:
        wait_once(watch.context, watch.seconds)
    finally:
        for key, _ in keys:
            watch.context.clear_fd(key)


# --- TLS and DTLS -------------------------------------------------------------------------------------------------


class _Records:
    """A TLS or DTLS connection, as its BIOs and what it waits for show it. Nothing is read from the peer here.

    While work is paused it is that which is waited for, and not the BIO, in which there may be much.
    """

    def __init__(self, ssl: RecordSSL) -> None:
        self._ssl = ssl

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Records) and other._ssl is self._ssl

    def __hash__(self) -> int:
        return id(self._ssl)

    def poll_mover(self, *, waited: bool) -> _Records:  # noqa: ARG002 - Pollable
        return self

    def poll_tick(self) -> None:
        """Timers, and paused work."""
        with suppress(Error, OSError):  # told by the next call
            self._ssl.handle_events()
        with suppress(UsageError):  # it is another thread's
            self._ssl.resume_async()

    def poll_events(self) -> PollEvent:
        ssl, connection = self._ssl, self._ssl._connection
        if ssl._closing or ssl.rbio is None or ssl.wbio is None:
            return PollEvent.F
        found = _NONE
        if ssl.close_notify_sent or ssl.close_notify_received:
            found |= PollEvent.EC
        if ssl.close_notify_sent and ssl.close_notify_received:
            found |= PollEvent.ECD
        if connection is None:
            return found | (PollEvent.R if _has_input(ssl.rbio) else _NONE)
        if connection.error is not None:
            return found | PollEvent.EC | PollEvent.ECD | PollEvent.RW
        if ssl.want in _ASYNC and not self._paused:
            return found | PollEvent.RW  # what was to be waited for is over: the call can be made again
        if ssl.pending() or ssl.close_notify_received or (self._reads and _has_input(ssl.rbio)):
            found |= PollEvent.R
        if self._writes and _has_room(ssl.wbio):
            found |= PollEvent.W
        return found

    @property
    def _paused(self) -> bool:
        connection = self._ssl._connection
        return connection is not None and (connection.waiting_for_async or connection.needs_job)

    @property
    def _reads(self) -> bool:
        """Whether what is in the BIO would be read."""
        connection = self._ssl._connection
        return connection is None or not (connection.read_paused or connection.handshake_paused or connection.needs_job)

    @property
    def _writes(self) -> bool:
        """Whether what could be written to the BIO is there, or may come from the application."""
        ssl, connection = self._ssl, self._ssl._connection
        if connection is None or connection.write_paused:
            return False
        return ssl.want is Want.WRITING or (connection.may_write and not ssl.close_notify_sent)

    def poll_watch(self, watch: Watch, wanted: PollEvent) -> bool:
        ssl, connection = self._ssl, self._ssl._connection
        left = ssl.get_event_timeout()
        watch.within(left)
        heard = left is not None
        if connection is not None and connection.needs_job:
            watch.look_again()
            heard = True
        elif self._paused and connection is not None:
            watch.work(connection.wait_context, listen=True)
            heard = True
        if self._reads and not ssl.pending() and (fd := descriptor(ssl.rbio)) is not None:
            if wanted & PollEvent.R:
                watch.readable.add(fd)
            heard = True
        if self._writes and (fd := descriptor(ssl.wbio)) is not None:
            if wanted & PollEvent.W:
                watch.writable.add(fd)
            heard = True
        return heard


_ASYNC: Final = (Want.ASYNC_PAUSED, Want.ASYNC_NO_JOBS)


def _has_input(bio: BIO) -> bool:
    """Whether something can be read from it, its end included."""
    if bio.pending or bio.eof:
        return True
    fd = descriptor(bio)
    return fd is not None and bool(_Descriptor(fd).poll_events() & ~PollEvent.W)


def _has_room(bio: BIO) -> bool:
    """Whether something can be written to it."""
    fd = descriptor(bio)
    if fd is not None:
        return bool(_Descriptor(fd).poll_events() & (PollEvent.W | PollEvent.EC | PollEvent.F))
    guarantee = getattr(bio, "get_write_guarantee", None)
    return guarantee is None or guarantee() > 0


# --- descriptors --------------------------------------------------------------------------------------------------


def _ready(readable: Iterable[int], writable: Iterable[int], seconds: float | None) -> dict[int, PollEvent]:
    """What holds of descriptors, waited for; those that cannot be polled have F."""
    if not hasattr(select, "poll"):
        return _ready_by_select(list(readable), list(writable), seconds)
    masks: dict[int, int] = dict.fromkeys(readable, select.POLLIN)
    for fd in writable:
        masks[fd] = masks.get(fd, 0) | select.POLLOUT
    poller = select.poll()
    for fd, mask in masks.items():
        poller.register(fd, mask)
    found: dict[int, PollEvent] = {}
    for fd, bits in poller.poll(None if seconds is None else int(seconds * 1000) + (seconds > 0)):
        if bits & select.POLLNVAL:
            found[fd] = PollEvent.F
            continue
        broken = bits & (select.POLLERR | select.POLLHUP)  # reading tells of it, and so does writing
        found[fd] = (
            (PollEvent.R if bits & select.POLLIN or broken else _NONE)
            | (PollEvent.W if bits & select.POLLOUT or bits & select.POLLERR else _NONE)
            | (PollEvent.EC if broken else _NONE)
        )
    return found


def _ready_by_select(readable: list[int], writable: list[int], seconds: float | None) -> dict[int, PollEvent]:
    found: dict[int, PollEvent] = {}
    into, out, _ = select.select(readable, writable, [], seconds)
    for fds, event in ((into, PollEvent.R), (out, PollEvent.W)):
        for fd in fds:
            found[fd] = found.get(fd, _NONE) | event
    return found


class _Descriptor:
    """A socket, or a number."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def poll_mover(self, *, waited: bool) -> None:
        """Nothing."""

    def poll_events(self) -> PollEvent:
        if self._fd < 0:
            return PollEvent.F
        try:
            return _ready((self._fd,), (self._fd,), 0).get(self._fd, _NONE)
        except (OSError, ValueError):
            return PollEvent.F

    def poll_watch(self, watch: Watch, wanted: PollEvent) -> bool:
        if wanted & PollEvent.R:
            watch.readable.add(self._fd)
        if wanted & PollEvent.W:
            watch.writable.add(self._fd)
        return True


class _Nothing:
    """What cannot be polled."""

    def poll_mover(self, *, waited: bool) -> None:
        """Nothing."""

    def poll_events(self) -> PollEvent:
        return PollEvent.F

    def poll_watch(self, watch: Watch, wanted: PollEvent) -> bool:  # noqa: ARG002 - Pollable
        return False
