"""Every pause that a connection over a stream can have, and every way in which it can end (see `exploring`).

A life is the handshake, tickets, data both ways, a key update, the end of each direction; the other side must hear what
RFC 9846 has for each case. Then several pauses at once, jobs of the user's around it all, and very many connections.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from caesura.context import PSK, Context, Verify
from caesura.engines import ALL_OPERATIONS, DelayEngine, Engine, Operation, Work
from caesura.errors import AlertDescription, OperationFailed, PeerAlert, UnexpectedEOF
from caesura.events import EarlyDataStatus
from caesura.jobs import JobState, NoJobs, Pending, start_job
from caesura.tls import TLSConnection
from tests.soak.exploring import IDLE, Broken, Exploration, assert_quiet, every_pause
from tests.soak.halting import HaltEngine, Routed, nothing_left, only
from tests.support.link import Link, drain, received
from tests.tls.early import early, reasons
from tests.tls.world import asking_context, client_context, identity, server_context, trust

DEADLINE = 30.0

# --- lives -----------------------------------------------------------------------------------------------------------


class Forgetful:
    """Takes the early data of every life."""

    zone = b"here"

    def first_use(self, key: bytes, now: float, until: float) -> bool:
        return True


EARLY = b"early, "
Settings = tuple[dict[str, Any], dict[str, Any], Callable[..., Context]]

FLAVOURS: dict[str, Settings] = {
    "full": ({}, {"ticket_count": 1}, server_context),
    "retried": ({}, {"groups": ["secp256r1"], "ticket_count": 1}, server_context),
    "resumed": ({}, {"ticket_count": 1}, server_context),
    "with early data": ({}, {"ticket_count": 1, "max_early_data": 1000, "replay_store": Forgetful()}, server_context),
    "authenticated": (
        {"identity": identity("client"), "verify_peer": lambda _: True, "sessions": None},
        {"verify": Verify.REQUIRED, "verify_peer": lambda _: True, "select_identity": lambda _: None},
        asking_context,
    ),
    "with a pre-shared key": (
        {"trust": None, "lookup_psk": lambda _: PSK.imported("who", bytes(32))},
        {"identity": None, "lookup_psk": lambda _: PSK.imported("who", bytes(32)), "ticket_count": 1},
        server_context,
    ),
    "authenticated later": (
        {"identity": identity("client"), "post_handshake_auth": True},
        {"trust": trust(), "verify_peer": lambda _: True, "ticket_count": 1},
        server_context,
    ),
}


class World(Exploration):
    least = 12

    def __init__(self, flavour: str) -> None:
        super().__init__()
        ours, theirs, make = FLAVOURS[flavour]
        self.client = client_context(async_mode=True, deadline=DEADLINE, **ours)
        self.server = make(async_mode=True, deadline=DEADLINE, **theirs)
        self.early = flavour == "with early data"
        if flavour in ("resumed", "with early data"):
            self.keep_session()

    def pair(self, ours: Engine, theirs: Engine) -> Link:
        self.fresh(ours, theirs)
        session = self.session
        early = EARLY if self.early and session is not None else None
        return Link(
            TLSConnection(
                self.client, server_side=False, server_hostname="localhost", session=session, early_data=early
            ),
            TLSConnection(self.server, server_side=True),
        )

    def live(self, pair: Link) -> Iterator[None]:
        pair.start()
        yield
        if pair.server._established is not None and pair.server._established.transcript is not None:
            pair.server.verify_client_post_handshake()
            yield
        for side, text in ((pair.client, b"from the client"), (pair.server, b"from the server")):
            side.write(text)
        yield
        pair.client.key_update(request_peer=True)
        pair.client.write(b", again")
        pair.exchange()
        pair.server.write(b", again")
        yield
        pair.client.shutdown()
        pair.server.shutdown()
        yield

    def rest(self, pair: Link, until: Callable[[], object] = lambda: False) -> None:
        pair.exchange()

    def happy(self, pair: Link) -> None:
        for side in (pair.client, pair.server):
            assert side.error is None
            assert side.close_notify_received
            assert side.timeout() is None
            assert_quiet(side)
        assert received(pair.server_events) == b"from the client, again"
        accepted = pair.client.early_data_status is EarlyDataStatus.ACCEPTED
        assert early(pair.server_events) == (EARLY if accepted else b"")
        assert reasons(pair.client_events) == []
        assert received(pair.client_events) == b"from the server, again"

    def expire(self, pair: Link, subject: TLSConnection, engine: HaltEngine) -> None:
        deadline = subject.timeout()
        assert deadline == pair.now + DEADLINE
        subject.handle_timeout(deadline - 0.001)
        assert subject.error is None
        pair.now = deadline
        subject.handle_timeout(deadline)

    def ended(self, pair: Link, subject: TLSConnection, other: TLSConnection, engine: HaltEngine, end: str) -> None:
        told_before = other.close_notify_received
        wire = subject.data_to_send(pair.now)
        if wire:
            other.receive_data(wire, pair.now)
        silent = end == "closed" or engine.halted is Operation.SEAL_RECORD or subject.close_notify_sent
        if silent and not other.close_notify_received:
            assert other.error is None
            other.receive_eof(pair.now)
            assert isinstance(other.error, UnexpectedEOF)
        elif not silent:
            assert not told_before
            assert isinstance(other.error, PeerAlert)
            assert other.error.description is AlertDescription.internal_error
        subject.receive_data(b"whatever comes", pair.now)
        subject.advance(pair.now)
        subject.handle_timeout(pair.now + 1e6)
        assert subject.data_to_send(pair.now) == b""
        drain(subject)


@every_pause
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_pause(flavour: str, kind: str, end: str, tally: Counter[str]) -> None:
    World(flavour).explore_all(kind, end, tally)


# --- no job, no asynchronous mode, somebody else's job ---------------------------------------------------------------


class Exhausted(HaltEngine):
    """Finds no job for the `at`th operation, the first three times."""

    def start(self, work: Work[Any]) -> Pending[Any]:
        if self.count == self.at:
            self.gate.unwound += 1
            if self.gate.unwound <= 3:
                raise NoJobs
        self.seen.append(work.operation)
        self.count += 1
        return start_job(work.run, wait_context=work.wait_context)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_job_for_any_operation(flavour: str, tally: Counter[str]) -> None:
    """Nothing is damaged: the connection says `needs_job`, and goes on when it is called again."""
    world = World(flavour)
    for server_side in (False, True):
        for at in range(world.count(server_side=server_side).count):
            engine = Exhausted(at)
            pair = world.of(engine, server_side=server_side)
            subject = pair.server if server_side else pair.client
            for _ in world.live(pair):
                pair.exchange()
                while subject.needs_job:
                    assert subject.error is None
                    subject.advance(pair.now)
                    pair.exchange()
            assert engine.gate.unwound == 4
            world.happy(pair)
            tally["operations without a job"] += 1


def drive(world: World, pair: Link) -> None:
    """A life inside a job of the user's."""
    for _ in world.live(pair):
        pair.exchange()


@pytest.mark.parametrize("end", ["resumed", "cancelled"])
@pytest.mark.parametrize("kind", ["job", "completion"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_inside_a_job_of_the_users(flavour: str, kind: str, end: str, tally: Counter[str]) -> None:
    """There a call pauses that job instead of returning; and when that job is cancelled, the connection is over."""
    world = World(flavour)
    with nothing_left():
        for server_side in (False, True):
            for at in range(world.count(server_side=server_side).count):
                live_in_a_job(world, server_side, HaltEngine(at, kind), end)
                tally[f"pauses inside a job, {end}"] += 1
        world.forget()


def live_in_a_job(world: World, server_side: bool, engine: HaltEngine, end: str) -> None:
    pair = world.of(engine, server_side=server_side)
    subject = pair.server if server_side else pair.client
    job = start_job(drive, world, pair)
    assert not job.done()
    job.resume()
    assert not job.done()
    if end == "resumed":
        engine.go()
        job.resume()
        job.result()
        world.happy(pair)
    else:
        job.cancel()
        assert job.state is JobState.CANCELLED
        assert engine.unwound == 1
        assert subject.closed
        subject.advance(pair.now)
        subject.receive_data(b"whatever", pair.now)
        assert subject.data_to_send(pair.now) == b""
        assert not subject.waiting_for_async
    pair.client.close()
    pair.server.close()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_asynchronous_mode_calls_block(flavour: str) -> None:
    """The same handshakes, each operation waited for where it stands."""
    world = World(flavour)
    world.client.async_mode = world.server.async_mode = False
    with nothing_left():
        pair = world.pair(DelayEngine(0.0, operations=ALL_OPERATIONS), DelayEngine(0.0, operations=ALL_OPERATIONS))
        world.finish(pair)
        for side in (pair.client, pair.server):
            side.close()
            side.wait_context.close()


# --- several pauses at once ------------------------------------------------------------------------------------------


def test_two_paused_one_resumed() -> None:
    """The other's descriptor is still reported, and only the resumed one's is reported as deleted."""
    engines = (
        HaltEngine(0, operations=only(Operation.VERIFY_SIGNATURE)),
        HaltEngine(0, operations=only(Operation.VERIFY_CHAIN)),
    )
    with nothing_left():
        pair = Link(
            TLSConnection(
                client_context(engine=Routed(*engines), async_mode=True), server_side=False, server_hostname="localhost"
            ),
            TLSConnection(server_context(), server_side=True),
        )
        pair.start().exchange()
        client, context = pair.client, pair.client.wait_context
        fds = [engine.fd for engine in engines]
        assert sorted(context.get_all_fds()) == sorted(fds)  # type: ignore[type-var]
        added, deleted = context.get_changed_fds()
        assert (sorted(added), deleted) == (sorted(fds), [])  # type: ignore[type-var]
        context.mark()
        context.reset()
        engines[0].go()
        client.advance(0.0)
        assert client.waiting_for_async
        assert context.get_all_fds() == [fds[1]]
        assert context.get_changed_fds() == ([], [fds[0]])
        assert not engines[1].done
        engines[1].go()
        client.advance(0.0)
        assert context.get_all_fds() == []
        pair.exchange()
        assert client.handshake_complete
        client.close()
        context.close()
        pair.server.close()


@pytest.mark.parametrize("failing", [0, 1])
def test_first_failure_cancels_the_other(failing: int) -> None:
    engines = (
        HaltEngine(0, operations=only(Operation.VERIFY_SIGNATURE)),
        HaltEngine(0, operations=only(Operation.VERIFY_CHAIN)),
    )
    with nothing_left():
        pair = Link(
            TLSConnection(
                client_context(engine=Routed(*engines), async_mode=True), server_side=False, server_hostname="localhost"
            ),
            TLSConnection(server_context(), server_side=True),
        )
        pair.start().exchange()
        engines[failing].fail(Broken())
        pair.client.advance(0.0)
        assert isinstance(pair.client.error, OperationFailed)
        assert isinstance(pair.client.error.__cause__, Broken)
        assert [engine.done for engine in engines] == [True, True]
        assert [engine.unwound for engine in engines] == [1, 1]
        assert pair.client.wait_context.get_all_fds() == []
        pair.exchange()
        assert isinstance(pair.server.error, PeerAlert)


def test_one_connection_over_two_engines() -> None:
    """The key in one device, the key exchange in another, each with a descriptor of its own."""
    signing = HaltEngine(0, operations=only(Operation.SIGN))
    exchanging = HaltEngine(0, operations=only(Operation.KEY_EXCHANGE))
    with nothing_left():
        pair = Link(
            TLSConnection(client_context(), server_side=False, server_hostname="localhost"),
            TLSConnection(server_context(engine=Routed(signing, exchanging), async_mode=True), server_side=True),
        )
        pair.start().exchange()
        context = pair.server.wait_context
        assert context.get_changed_fds() == ([exchanging.fd], [])
        context.mark()
        context.reset()
        first = exchanging.fd
        exchanging.go()
        pair.server.advance(0.0)
        assert context.get_all_fds() == [signing.fd]
        added, deleted = context.get_changed_fds()
        assert added == [signing.fd]
        assert deleted == [first]
        signing.go()
        pair.server.advance(0.0)
        pair.exchange()
        assert pair.client.handshake_complete
        assert context.get_all_fds() == []


def test_reading_writing_and_storing_paused_at_once() -> None:
    """Three kinds of work on one connection, each resumed in any order; the others stand as they stood."""
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2)):
        engines = [
            HaltEngine(None, operations=only(op))
            for op in (Operation.STORE_SESSION, Operation.OPEN_RECORD, Operation.SEAL_RECORD)
        ]
        with nothing_left():
            pair = Link(
                TLSConnection(
                    client_context(engine=Routed(*engines), async_mode=True),
                    server_side=False,
                    server_hostname="localhost",
                ),
                TLSConnection(server_context(ticket_count=1), server_side=True),
            )
            engines[0].at = 0
            pair.start().exchange()
            assert pair.client.handshake_paused
            assert pair.client.handshake_complete
            for engine in engines[1:]:
                engine.at = engine.count
            pair.client.write(b"out")
            pair.server.write(b"in")
            pair.exchange()
            flags = ("handshake_paused", "read_paused", "write_paused")
            assert [getattr(pair.client, flag) for flag in flags] == [True, True, True]
            assert len(pair.client.wait_context.get_all_fds()) == 3
            assert pair.client.write_backlog == 0
            pair.client.write(b" and more")
            assert pair.client.write_backlog == 9
            left = {0, 1, 2}
            for number in order:
                engines[number].go()
                pair.client.advance(0.0)
                pair.exchange()
                left.discard(number)
                assert [getattr(pair.client, flag) for flag in flags] == [n in left for n in range(3)]
                assert len(pair.client.wait_context.get_all_fds()) == len(left)
            pair.exchange()
            assert received(pair.client_events) == b"in"
            assert received(pair.server_events) == b"out and more"
            assert pair.client.session is not None


def test_order_is_kept_behind_a_paused_seal() -> None:
    """Data, a key update and the end queue behind it, and leave in their order."""
    engine = HaltEngine(None, operations=only(Operation.SEAL_RECORD))
    with nothing_left():
        pair = Link(
            TLSConnection(
                client_context(engine=engine, async_mode=True), server_side=False, server_hostname="localhost"
            ),
            TLSConnection(server_context(), server_side=True),
        )
        pair.handshake()
        engine.at = engine.count
        pair.client.write(b"one ")
        assert pair.client.data_to_send(0.0) == b""
        pair.client.write(b"two ")
        pair.client.key_update()
        pair.client.write(b"three" * 5000)
        pair.client.shutdown()
        assert pair.client.write_backlog == 4 + 25_000 + 5 + 2
        assert pair.client.data_to_send(0.0) == b""
        engine.go()
        pair.client.advance(0.0)
        pair.exchange()
        assert received(pair.server_events) == b"one two " + b"three" * 5000
        assert pair.server.close_notify_received
        assert pair.client.write_backlog == 0


def test_nothing_is_opened_ahead_of_a_paused_handshake() -> None:
    """What follows a message that changes the keys stays ciphertext until the message has been consumed."""
    engine = HaltEngine(0, operations=only(Operation.VERIFY_PEER))
    context = asking_context(Verify.REQUIRED, verify_peer=lambda _: True, engine=engine, async_mode=True)
    with nothing_left():
        pair = Link(
            TLSConnection(client_context(identity=identity("client")), server_side=False, server_hostname="localhost"),
            TLSConnection(context, server_side=True),
        )
        pair.start().exchange()
        assert pair.server.handshake_paused
        assert pair.client.handshake_complete
        pair.client.write(b"early, but in order")
        pair.client.shutdown()
        pair.exchange()
        assert not pair.server.handshake_complete
        assert pair.server.read() == b""
        pair.server.receive_eof(0.0)
        assert pair.server.error is None  # what is buffered may still hold the close_notify, and does
        engine.go()
        pair.server.advance(0.0)
        assert pair.server.handshake_complete
        assert received(drain(pair.server)) == b"early, but in order"
        assert pair.server.close_notify_received
        assert pair.server.error is None


def test_peer_that_leaves_while_work_is_paused() -> None:
    """Nobody waits for the answer any more: the work is cancelled at once."""
    for leave in ("eof", "alert"):
        engine = HaltEngine(0, operations=only(Operation.SIGN))
        with nothing_left():
            pair = Link(
                TLSConnection(client_context(), server_side=False, server_hostname="localhost"),
                TLSConnection(server_context(engine=engine, async_mode=True), server_side=True),
            )
            pair.start().exchange()
            assert pair.server.handshake_paused
            if leave == "eof":
                pair.server.receive_eof(0.0)
                assert isinstance(pair.server.error, UnexpectedEOF)
                assert engine.done
                assert engine.unwound == 1
            else:
                pair.client.close()
                pair.server.close()
                assert engine.unwound == 1


# --- many ------------------------------------------------------------------------------------------------------------

MANY = 10_000


def test_ten_thousand_closed_at_random_pauses(tally: Counter[str]) -> None:
    """Some by close, some dropped without a word; a few dozen stand still at any time."""
    draw = random.Random(20_260_101)
    client = client_context(sessions=None, async_mode=True)
    server = server_context(select_identity=lambda _: None, ticket_count=1, async_mode=True)
    client.engine = HaltEngine()
    canned = TLSConnection(client, server_side=False, server_hostname="localhost")
    canned.advance(0.0)
    hello = canned.data_to_send(0.0)
    alive: list[tuple[TLSConnection, ...]] = []
    engines: weakref.WeakSet[HaltEngine] = weakref.WeakSet()
    ends: dict[str, int] = {}

    def one() -> None:
        kind = draw.choice(("job", "completion"))
        place = draw.random()
        if place < 0.45:  # a client before its hello
            client.engine = engine = HaltEngine(0, kind)
            made: tuple[TLSConnection, ...] = (TLSConnection(client, server_side=False, server_hostname="localhost"),)
            made[0].advance(0.0)
        elif place < 0.9:  # a server behind a hello
            server.engine = engine = HaltEngine(draw.randrange(3), kind)
            made = (TLSConnection(server, server_side=True),)
            made[0].receive_data(hello, 0.0)
        else:  # any of both anywhere
            ours, theirs = HaltEngine(), HaltEngine()
            engine = draw.choice((ours, theirs))
            engine.kind, engine.at = kind, draw.randrange(4)
            client.engine, server.engine = ours, theirs
            made = (
                TLSConnection(client, server_side=False, server_hostname="localhost"),
                TLSConnection(server, server_side=True),
            )
            Link(*made).start().exchange()
        assert any(each.waiting_for_async for each in made)
        assert engine.halted is not None
        ends[engine.halted.name] = ends.get(engine.halted.name, 0) + 1
        alive.append(made)
        engines.add(engine)

    def end() -> None:
        made = alive.pop(draw.randrange(len(alive)))
        if draw.random() < 0.9:
            for each in made:
                each.close()
                assert not each.waiting_for_async
                assert each.data_to_send(0.0) == b""

    for _ in range(100):
        one()
    while alive:
        end()
    ends.clear()
    client.engine = server.engine = IDLE
    gc.collect()
    with nothing_left(objects=200):
        for number in range(MANY):
            one()
            if len(alive) > 40:
                end()
            if number % 1000 == 999:
                gc.collect()
        while alive:
            end()
        client.engine = server.engine = IDLE
    assert not engines
    assert sum(ends.values()) == MANY
    assert len(ends) >= 6
    tally[f"connections closed at random pauses, of {len(ends)} operations"] += MANY
