"""Every pause that a QUIC connection can have, and every way in which it can end, on virtual time.

As on a stream and on datagrams (test_pause_exploration.py, test_pause_exploration_dtls.py): the operations of a life
are counted first; then each in turn stands still for three seconds and is resumed, or fails, is cancelled by its
engine, is closed under, or runs into its deadline, in both roles. Meanwhile the connection goes on: what comes is
acknowledged, and nobody repeats more than can be helped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from caesura.context import QUIC_EARLY_DATA, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.engines import Engine, InlineEngine, Operation
from caesura.errors import IdleTimeout, OperationFailed, OperationTimeout, PeerAlert, PeerClose, TransportErrorCode
from caesura.quic import QUICConnection
from caesura.quic_settings import QUICSettings
from caesura.sessions import Session, SessionCache
from tests.quic.link import QUICLink, client_context, server_context
from tests.quic.packet_log import PacketLog
from tests.soak.halting import HaltEngine, nothing_left
from tests.support.datagram_link import SERVER
from tests.tls.world import identity, trust

DEADLINE = 20.0
PAUSE = 3.0
STAGE = 0.5  # seconds that a stage of a life may take
IDLE = InlineEngine()
MAX_ACK_DELAY = QUICSettings().max_ack_delay

Settings = tuple[dict[str, Any], dict[str, Any]]
FLAVOURS: dict[str, Settings] = {
    "full": ({}, {"ticket_count": 1}),
    "retried": ({}, {"groups": ["secp256r1"], "ticket_count": 1}),
    "resumed": ({}, {"ticket_count": 1}),
    "with early data": ({}, {"ticket_count": 1, "max_early_data": QUIC_EARLY_DATA}),
    "authenticated": (
        {"identity": identity("client"), "verify_peer": lambda _: True, "sessions": None},
        {
            "trust": trust(),
            "verify": Verify.REQUIRED,
            "verify_peer": lambda _: True,
            "select_identity": lambda _: None,
            "ticket_count": 0,
        },
    ),
}


class Broken(Exception):
    pass


class World:
    """The contexts of one flavour, made once; each life has engines of its own."""

    def __init__(self, flavour: str) -> None:
        ours, theirs = FLAVOURS[flavour]
        self.log = PacketLog()
        common: dict[str, Any] = {"async_mode": True, "deadline": DEADLINE, "quic": {"qlog": self.log}}
        self.client = client_context(**common, **ours)
        self.server = server_context(**common, ticket_keys=TicketKeys(), **theirs)
        self.early = flavour == "with early data"
        self._session: bytes | None = None
        if flavour in ("resumed", "with early data"):
            session = finish(self.pair(HaltEngine(), HaltEngine())).client.session
            assert session is not None
            self._session = session.to_bytes()

    def pair(self, ours: Engine, theirs: Engine) -> QUICLink:
        """A fresh pair with these engines."""
        self.client.engine, self.server.engine = ours, theirs
        session = Session.from_bytes(self._session) if self._session is not None else None
        link = QUICLink(
            QUICConnection(
                self.client,
                server_side=False,
                server_hostname="example.test",
                addr=SERVER,
                session=session,
                early_data=self.early and session is not None,
            ),
            QUICConnection(self.server, server_side=True),
        )
        if isinstance(self.client.settings.sessions, SessionCache):
            self.client.settings.sessions._sessions.clear()
        self.log.follow(link)
        return link

    def of(self, engine: HaltEngine, *, server_side: bool) -> QUICLink:
        return self.pair(HaltEngine(), engine) if server_side else self.pair(engine, HaltEngine())

    def forget(self) -> None:
        """Let go of the last engines and of the last link, and of all that they know."""
        self.client.engine = self.server.engine = IDLE
        self.log.follow(None)


def live(link: QUICLink) -> Iterator[None]:
    """A whole life, stage by stage; whoever drives it lets the network do its work after each."""
    link.start()
    if link.client.may_write:  # 0-RTT
        link.send(b"early")
    yield
    for data in (b"from one side", b"and again"):
        link.send(data)
        link.send(data, by_client=False)
        yield
        link.client.key_update()
    link.client.shutdown()
    yield


def finish(link: QUICLink) -> QUICLink:
    """A life without any trouble."""
    for _ in live(link):
        link.wait(STAGE)
        assert not any(side.waiting_for_async for side in link.sides)
    happy(link)
    return link


def happy(link: QUICLink) -> None:
    for side in (link.ours, link.theirs):
        connection = side.connection
        assert connection.error is None
        assert connection.close_notify_received is (side is link.theirs)
        connection.wait_context.drain()
        assert connection.wait_context.get_all_fds() == []
        heard = [data for stream_id, data in side.streams.items() if data != b"early"]
        assert heard == [b"from one side", b"and again"]


def halt(link: QUICLink, subject: QUICConnection) -> Iterator[None]:
    """The life up to where the subject stands still; going on with it goes on with the life."""
    for _ in live(link):
        link.run(lambda: subject.waiting_for_async, seconds=STAGE)
        if subject.waiting_for_async:
            yield
            link.wait(STAGE)
            assert not subject.waiting_for_async


# --- ends ------------------------------------------------------------------------------------------------------------


def wake(link: QUICLink, subject: QUICConnection) -> None:
    """What an adapter does when the wait context says that something may go on."""
    subject.wait_context.drain()
    subject.advance(link.now)


def resume(world: World, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
    begin = link.now
    link.wait(PAUSE)
    for _ in range(3):  # woken for nothing: it stands as it stood
        wake(link, subject)
        assert subject.waiting_for_async
        assert not engine.done
    assert world.log.late(begin, link.now - 2 * MAX_ACK_DELAY, 2 * MAX_ACK_DELAY) == []
    by_client = subject is link.client
    assert len(world.log.repeated(by_client=by_client)) <= 1
    blind = by_client and engine.halted is Operation.KEY_EXCHANGE  # it can open nothing, and say so of nothing
    assert len(world.log.repeated(by_client=not by_client)) <= (10 if blind else 1)
    engine.go()
    wake(link, subject)
    assert engine.done


def fail(world: World, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
    error = Broken("the device is gone")
    engine.fail(error)
    wake(link, subject)
    assert isinstance(subject.error, OperationFailed)
    assert subject.error.__cause__ is error


def give_up(world: World, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
    engine.cancel()
    wake(link, subject)
    assert isinstance(subject.error, OperationFailed)


def close(world: World, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
    subject.close()
    assert engine.done
    assert subject.error is None


def time_out(world: World, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
    began = link.now
    link.run(lambda: subject.error is not None, seconds=2 * DEADLINE)
    assert link.now == began + DEADLINE
    assert engine.done
    assert isinstance(subject.error, OperationTimeout)
    assert engine.halted is not None
    assert engine.halted.name in str(subject.error)


ENDS = {"resumed": resume, "failed": fail, "given up": give_up, "closed": close, "timed out": time_out}


def explore(world: World, server_side: bool, kind: str, end: str, most: int = 1000) -> int:
    """Every operation of the subject in turn; how many there were."""
    counting = HaltEngine()
    finish(world.of(counting, server_side=server_side))
    for at in range(min(counting.count, most)):
        engine = HaltEngine(at, kind)
        link = world.of(engine, server_side=server_side)
        subject: QUICConnection = link.server if server_side else link.client  # type: ignore[assignment]
        other: QUICConnection = link.client if server_side else link.server  # type: ignore[assignment]
        life = halt(link, subject)
        next(life)
        assert engine.halted is counting.seen[at]
        assert not other.waiting_for_async
        assert (subject.wait_context.get_all_fds() == [engine.fd]) is (kind == "job")
        ENDS[end](world, link, subject, engine)
        assert engine.unwound == 1
        if end == "resumed":
            for _ in life:
                pytest.fail("it stood still twice")
            happy(link)
        else:
            ended(link, subject, other, engine)
        subject.wait_context.drain()
        assert subject.wait_context.get_all_fds() == []
        for side in (subject, other):
            side.close()
            side.wait_context.close()
    world.forget()
    return counting.count


def ended(link: QUICLink, subject: QUICConnection, other: QUICConnection, engine: HaltEngine) -> None:
    """The subject does nothing any more; the other side hears why, or learns from the silence."""
    link.run(lambda: other.terminated, seconds=1000)
    if isinstance(other.error, PeerClose):
        assert other.error.error_code is TransportErrorCode.INTERNAL_ERROR
    elif other.error is not None:
        assert isinstance(other.error, IdleTimeout | PeerAlert)
    subject.receive_datagram(b"whatever comes", SERVER, link.now)
    subject.advance(link.now)
    subject.handle_timeout(link.now + 1e6)
    assert not subject.waiting_for_async
    assert subject.timeout() is None
    assert engine.unwound == 1


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """How many cases there were, for the end of the report."""
    counts: Counter[str] = Counter()
    yield counts
    writer = request.config.get_terminal_writer()
    writer.line()
    for what, number in counts.items():
        writer.line(f"{number:6} {what}")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["job", "completion"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_pause(flavour: str, kind: str, end: str, tally: Counter[str]) -> None:
    world = World(flavour)
    for server_side in (False, True):
        explore(world, server_side, kind, end, 3)  # what is kept for ever is kept now
    with nothing_left(objects=40):
        explored = [explore(world, server_side, kind, end) for server_side in (False, True)]
    assert min(explored) >= 2
    tally[f"pauses {end}"] += sum(explored)
