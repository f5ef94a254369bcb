"""What SSL_poll(3) tells of an object, and what a poll that blocks waits for. The polling itself is in `polling`.

An object that can be polled is `Pollable`. It says what holds now, moves what it can without waiting, and puts into a
`Watch` what could change that.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag
from typing import Final, Protocol

from caesura.jobs import AsyncStatus, WaitContext
from caesura.jobs.wait import BackOff


class PollEvent(IntFlag):
    """What may hold of an object, with the numbers and names of SSL_poll(3). All are level-triggered.

    On a TLS or DTLS connection R means that `read` would not have to wait for the peer, and W the same of `write`:
    either may have a failure to tell. EC: the connection has failed, or a close_notify was sent or has come; ECD: it
    has failed, or one has in both directions.
    """

    NONE = 0
    F = 1 << 0  # it cannot be polled; said whether it was asked for or not
    EL = 1 << 1  # a listener has failed
    EC = 1 << 2  # a connection is ending
    ECD = 1 << 3  # … and has ended
    ER = 1 << 4  # a stream's peer has reset it; nothing more can be read
    EW = 1 << 5  # a stream's peer wants no more of it; nothing more can be written
    R = 1 << 6  # there are bytes to be read, or the end
    W = 1 << 7  # bytes can be written
    IC = 1 << 8  # a listener has a connection to be accepted
    ISB = 1 << 9  # a bidirectional stream can be accepted
    ISU = 1 << 10  # a unidirectional one can
    OSB = 1 << 11  # the peer permits one more bidirectional stream
    OSU = 1 << 12  # … one more unidirectional stream
    RW = R | W
    RE = R | ER
    WE = W | EW
    RWE = RE | WE
    E = EL | EC | ER | EW
    IS = ISB | ISU
    ISE = IS | EC
    I = IS | IC  # noqa: E741 - the page's name
    OS = OSB | OSU
    OSE = OS | EC


_FIRST_LOOK: Final = 0.001  # seconds until what tells nobody is looked at again


class Watch:
    """What one poll waits for, and for how long.

    `readable` and `writable` are descriptors. `context` is notified when something else may have happened.
    """

    __slots__ = ("_back_off", "_restless", "_undo", "context", "readable", "seconds", "writable")

    def __init__(self) -> None:
        self.context = WaitContext()
        self.readable: set[int] = set()
        self.writable: set[int] = set()
        self.seconds: float | None = None
        self._undo: dict[object, Callable[[], object]] = {}
        self._restless = False
        self._back_off = BackOff(_FIRST_LOOK)

    def begin(self, seconds: float | None) -> None:
        """Begin another wait, of at most so many seconds."""
        self.context.drain()
        self.readable.clear()
        self.writable.clear()
        self.seconds = seconds
        self._restless = False

    def within(self, seconds: float | None) -> None:
        """Something is due after so many seconds; None: nothing is."""
        if seconds is not None and (self.seconds is None or seconds < self.seconds):
            self.seconds = seconds

    def work(self, context: WaitContext, *, listen: bool) -> None:
        """Something waits for paused work with this context: its descriptors are watched, and with `listen` itself."""
        entries = context.foreign()
        self.readable.update(entry.fd for entry in entries)
        if not (context.armed or entries) or context.get_status() == AsyncStatus.EAGAIN:
            self.look_again()
        if listen and self.first(context):
            before = context.listen(self.context.notify)
            promised = context.armed
            if promised:
                self.context.arm()

            def undo() -> None:
                context.listen(before)
                if promised:
                    self.context.disarm()

            self.undo(context, undo)
            if context.signalled:  # before we listened
                self.context.notify()

    def look_again(self) -> None:
        """Nobody will tell of a change: look again after a while, which grows."""
        self._restless = True

    def first(self, key: object) -> bool:
        """Whether nobody has said yet how what belongs to this is undone."""
        return key not in self._undo

    def undo(self, key: object, function: Callable[[], object]) -> None:
        """Call this when the wait is over."""
        self._undo[key] = function

    def settle(self) -> None:
        """All have said what they wait for."""
        if self._restless:
            self.within(self._back_off.next())

    def end(self) -> None:
        """The wait is over."""
        while self._undo:
            self._undo.popitem()[1]()


class Mover(Protocol):
    """What can be moved: a connection, or all those that share their BIOs."""

    def poll_tick(self) -> None:
        """Do what can be done without waiting. What goes wrong is told by the events."""


class Pollable(Protocol):
    """An object that can be polled."""

    def poll_mover(self, *, waited: bool) -> Mover | None:
        """What a poll moves for it; None: nothing. `waited`: the poll has blocked, and is no mere look any more."""

    def poll_events(self) -> PollEvent:
        """All that holds now."""

    def poll_watch(self, watch: Watch, wanted: PollEvent) -> bool:
        """Say what could change that, as far as these events go; False when there is nothing to hear of it by."""
