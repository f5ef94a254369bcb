"""Every pause that a connection can have, and every way in which it can end: what is the same for all protocols.

The operations of a life are counted first. Then each of them in turn stands still, and is resumed, fails, is cancelled
by its engine, is closed under, or runs into its deadline, in both roles. Nothing may be left behind, and the other side
must hear what the protocol has for the case.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from caesura.context import Context
from caesura.engines import Engine, InlineEngine
from caesura.errors import OperationFailed, OperationTimeout
from caesura.sessions import Session, SessionCache
from tests.soak.halting import HaltEngine, nothing_left

IDLE = InlineEngine()
ENDS = ("resumed", "failed", "given up", "closed", "timed out")

every_pause = pytest.mark.parametrize(("kind", "end"), [(kind, end) for kind in ("job", "completion") for end in ENDS])


class Broken(Exception):
    pass


class Exploration(ABC):
    """The contexts of one flavour of connections, made once; each life has engines of its own."""

    least: ClassVar[int]  # operations that a life has at the very least

    client: Context
    server: Context

    def __init__(self) -> None:
        self._session: bytes | None = None

    # --- what a protocol says of itself -----------------------------------------------------------------------------

    @abstractmethod
    def pair(self, ours: Engine, theirs: Engine) -> Any:
        """A fresh pair with these engines."""

    @abstractmethod
    def live(self, link: Any) -> Iterator[None]:
        """A whole life, stage by stage; whoever drives it lets the network do its work after each."""

    @abstractmethod
    def rest(self, link: Any, until: Callable[[], object] = lambda: False) -> None:
        """Let the network do its work, all of it or until something has come of it."""

    @abstractmethod
    def happy(self, link: Any) -> None:
        """A life has gone well."""

    def stand(self, link: Any, subject: Any, engine: HaltEngine) -> None:  # noqa: B027 - a stream notices nothing
        """The subject stands still while time passes."""

    @abstractmethod
    def expire(self, link: Any, subject: Any, engine: HaltEngine) -> None:
        """The deadline of the operation passes."""

    @abstractmethod
    def ended(self, link: Any, subject: Any, other: Any, engine: HaltEngine, end: str) -> None:
        """The subject says and does nothing any more, and the other side has heard why, as far as it can."""

    # --- lives ------------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """For another life: a copy of the session that was kept."""
        return Session.from_bytes(self._session) if self._session is not None else None

    def keep_session(self) -> None:
        """Live once, to have a session for later lives."""
        session = self.finish(self.pair(HaltEngine(), HaltEngine())).client.session
        assert session is not None
        self._session = session.to_bytes()

    def fresh(self, ours: Engine, theirs: Engine) -> None:
        """Give the contexts these engines, and let them forget earlier sessions."""
        self.client.engine, self.server.engine = ours, theirs
        if isinstance(self.client.settings.sessions, SessionCache):
            self.client.settings.sessions._sessions.clear()

    def of(self, engine: Engine, *, server_side: bool) -> Any:
        """A pair in which this engine is the subject's."""
        return self.pair(HaltEngine(), engine) if server_side else self.pair(engine, HaltEngine())

    def count(self, *, server_side: bool) -> HaltEngine:
        """An engine that has seen a whole life of the subject."""
        counting = HaltEngine()
        self.finish(self.of(counting, server_side=server_side))
        return counting

    def forget(self) -> None:
        """Let go of the last engines, and of all that they know."""
        self.client.engine = self.server.engine = IDLE

    def finish(self, link: Any) -> Any:
        """A life without any trouble."""
        for _ in self.live(link):
            self.rest(link)
            assert not link.client.waiting_for_async
            assert not link.server.waiting_for_async
        self.happy(link)
        return link

    def _halt(self, link: Any, subject: Any) -> Iterator[None]:
        """The life up to where the subject stands still; going on with it goes on with the life."""
        for _ in self.live(link):
            self.rest(link, lambda: subject.waiting_for_async)
            if subject.waiting_for_async:
                yield
                self.rest(link)
                assert not subject.waiting_for_async

    # --- ends -------------------------------------------------------------------------------------------------------

    def _end(self, end: str, link: Any, subject: Any, engine: HaltEngine) -> None:
        if end == "resumed":
            self.stand(link, subject, engine)
            for _ in range(3):  # woken for nothing: it stands as it stood
                wake(link, subject)
                assert subject.waiting_for_async
                assert not engine.done
            engine.go()
            wake(link, subject)
        elif end == "failed":
            error = Broken("the device is gone")
            engine.fail(error)
            wake(link, subject)
            assert isinstance(subject.error, OperationFailed)
            assert subject.error.__cause__ is error
        elif end == "given up":
            engine.cancel()
            wake(link, subject)
            assert isinstance(subject.error, OperationFailed)
        elif end == "closed":
            subject.close()
            assert subject.error is None
        else:
            self.expire(link, subject, engine)
            assert isinstance(subject.error, OperationTimeout)
            assert engine.halted is not None
            assert engine.halted.name in str(subject.error)
        assert engine.done
        assert engine.unwound == 1

    def explore(self, server_side: bool, kind: str, end: str, most: int = 1000) -> int:
        """Every operation of the subject in turn; how many there were."""
        counting = self.count(server_side=server_side)
        for at in range(min(counting.count, most)):
            engine = HaltEngine(at, kind)
            link = self.of(engine, server_side=server_side)
            subject, other = (link.server, link.client) if server_side else (link.client, link.server)
            life = self._halt(link, subject)
            next(life)
            assert engine.halted is counting.seen[at]
            assert subject.waiting_for_async
            assert not other.waiting_for_async
            assert (subject.wait_context.get_all_fds() == [engine.fd]) is (kind == "job")
            self._end(end, link, subject, engine)
            if end == "resumed":
                for _ in life:
                    pytest.fail("it stood still twice")
                self.happy(link)
            else:
                self.ended(link, subject, other, engine, end)
                assert not subject.waiting_for_async
                assert subject.timeout() is None
                assert engine.unwound == 1
            assert_quiet(subject)
            for side in (subject, other):
                side.close()
                side.wait_context.close()
        self.forget()
        return counting.count

    def explore_all(self, kind: str, end: str, tally: Counter[str]) -> None:
        """The same in both roles, and nothing is left behind."""
        for server_side in (False, True):
            self.explore(server_side, kind, end, 3)  # what is kept for ever is kept now
        with nothing_left(objects=40):
            explored = [self.explore(server_side, kind, end) for server_side in (False, True)]
        assert min(explored) >= self.least
        tally[f"pauses {end}"] += sum(explored)


def wake(link: Any, subject: Any) -> None:
    """What an adapter does when the wait context says that something may go on."""
    subject.wait_context.drain()
    subject.advance(link.now)


def assert_quiet(side: Any) -> None:
    """Nobody waits for anything in its wait context."""
    side.wait_context.drain()
    assert side.wait_context.get_all_fds() == []
