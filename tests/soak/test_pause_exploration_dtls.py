"""Every pause that a DTLS connection can have, and every way in which it can end, on virtual time.

As on a stream (test_pause_exploration.py): the operations of a life are counted first, records included; then each in
turn stands still for three seconds and is resumed, or fails, is cancelled by its engine, is closed under, or runs into
its deadline, in both roles. Meanwhile the network and the other side's timers go on: nobody may lose patience, nor
repeat itself more often than its own timer says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from caesura.context import Context, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.dtls import DTLSConnection
from caesura.engines import Engine, InlineEngine, Operation
from caesura.errors import AlertDescription, OperationFailed, OperationTimeout, PeerAlert, ReadTimeoutExpired
from caesura.sessions import Session
from caesura.wire.registries import Version
from tests.dtls.world import DTLS12, DTLS13, asking_context, client_context, server_context
from tests.soak.halting import HaltEngine, nothing_left
from tests.support.datagram_link import CLIENT, SERVER, DatagramLink, drain, received
from tests.tls.world import identity

DEADLINE = 30.0
PAUSE = 3.0
IDLE = InlineEngine()
PSK_SUITES = {"cipher_suites": ["TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"], "lookup_psk": lambda _: ("who", bytes(32))}


class Broken(Exception):
    pass


Settings = tuple[dict[str, Any], dict[str, Any], Callable[..., Context]]
AUTHENTICATED: Settings = (
    {"identity": identity("client"), "verify_peer": lambda _: True, "sessions": None},
    {"verify": Verify.REQUIRED, "verify_peer": lambda _: True, "select_identity": lambda _: None, "ticket_count": 0},
    asking_context,
)
FLAVOURS: dict[str, tuple[dict[str, Any], Settings]] = {
    "DTLS 1.2, full": (DTLS12, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.2, resumed": (DTLS12, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.2, authenticated": (DTLS12, AUTHENTICATED),
    "DTLS 1.2, with a pre-shared key": (
        DTLS12,
        ({"trust": None, **PSK_SUITES}, {"identity": None, "ticket_count": 1, **PSK_SUITES}, server_context),
    ),
    "DTLS 1.3, full": (DTLS13, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.3, retried": (DTLS13, ({}, {"groups": ["secp256r1"], "ticket_count": 1}, server_context)),
    "DTLS 1.3, resumed": (DTLS13, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.3, authenticated": (DTLS13, AUTHENTICATED),
}


class World:
    """The contexts of one flavour, made once; each life has engines of its own."""

    def __init__(self, flavour: str) -> None:
        version, (ours, theirs, make) = FLAVOURS[flavour]
        common = {**version, "async_mode": True, "deadline": DEADLINE}
        self.client = client_context(**common, **ours)
        self.server = make(**common, ticket_keys=TicketKeys(), **theirs)
        self._session: bytes | None = None
        if flavour.endswith("resumed"):
            session = finish(self.pair(HaltEngine(), HaltEngine())).client.session
            assert session is not None
            self._session = session.to_bytes()

    def pair(self, ours: Engine, theirs: Engine) -> DatagramLink:
        """A fresh pair with these engines."""
        self.client.engine, self.server.engine = ours, theirs
        session = Session.from_bytes(self._session) if self._session is not None else None
        link = DatagramLink(
            DTLSConnection(self.client, server_side=False, server_hostname="localhost", addr=SERVER, session=session),
            DTLSConnection(self.server, server_side=True, addr=CLIENT),
        )
        if self.client.settings.sessions is not None:
            self.client.settings.sessions._sessions.clear()
        return link

    def of(self, engine: HaltEngine, *, server_side: bool) -> DatagramLink:
        return self.pair(HaltEngine(), engine) if server_side else self.pair(engine, HaltEngine())

    def forget(self) -> None:
        """Let go of the last engines, and of all that they know."""
        self.client.engine = self.server.engine = IDLE


def live(link: DatagramLink) -> Iterator[None]:
    """A whole life, stage by stage; whoever drives it lets the network do its work after each."""
    link.start()
    yield
    link.client.write(b"from the client")
    link.server.write(b"from the server")
    yield
    if link.client.version is Version.DTLS13:
        link.client.key_update(request_peer=True)
        yield
    link.client.write(b", again")
    link.server.write(b", again")
    yield
    link.client.shutdown()
    link.server.shutdown()
    yield


def finish(link: DatagramLink) -> DatagramLink:
    """A life without any trouble."""
    for _ in live(link):
        link.run()
        assert not any(side.waiting_for_async for side in link.sides)
    happy(link)
    return link


def happy(link: DatagramLink) -> None:
    for side in link.sides:
        assert side.error is None
        assert side.close_notify_received
        assert side.timeout() is None
        side.wait_context.drain()
        assert side.wait_context.get_all_fds() == []
    assert received(link.server_events) == [b"from the client", b", again"]
    assert received(link.client_events) == [b"from the server", b", again"]


def halt(link: DatagramLink, subject: DTLSConnection) -> Iterator[None]:
    """The life up to where the subject stands still; going on with it goes on with the life."""
    for _ in live(link):
        link.run(lambda: subject.waiting_for_async)
        if subject.waiting_for_async:
            yield
            link.run()
            assert not subject.waiting_for_async


# --- ends ------------------------------------------------------------------------------------------------------------


def wake(link: DatagramLink, subject: DTLSConnection) -> None:
    """What an adapter does when the wait context says that something may go on."""
    subject.wait_context.drain()
    subject.advance(link.now)


def resume(link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
    paused_at, handshaking = link.now, not subject.handshake_complete
    link.wait(PAUSE)
    for _ in range(3):  # woken for nothing: it stands as it stood
        wake(link, subject)
        assert subject.waiting_for_async
        assert not engine.done
    if handshaking:
        patient(link, subject, paused_at)
    engine.go()
    wake(link, subject)
    assert engine.done


def patient(link: DatagramLink, subject: DTLSConnection, paused_at: float) -> None:
    """The other side repeats itself as its timer says, after 1 s and 3 s; what is paused says no more than "I know"."""
    by_client = subject is link.client
    later = [each for each in link.sent if each.at > paused_at + 2 * link.network.delay]
    repetitions = {each.at for each in later if each.by_client is not by_client}
    own = [each for each in later if each.by_client is by_client]
    assert len(repetitions) <= 2
    assert len(own) <= (0 if subject.version is Version.DTLS12 else len(repetitions))  # ACKs
    assert all(len(each.data) < 100 for each in own)


def fail(link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
    error = Broken("the device is gone")
    engine.fail(error)
    wake(link, subject)
    assert isinstance(subject.error, OperationFailed)
    assert subject.error.__cause__ is error


def give_up(link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
    engine.cancel()
    wake(link, subject)
    assert isinstance(subject.error, OperationFailed)


def close(link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
    subject.close()
    assert engine.done
    assert subject.error is None


def time_out(link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
    began = link.now
    link.run(lambda: subject.error is not None)
    assert link.now == began + DEADLINE
    assert engine.done
    assert isinstance(subject.error, OperationTimeout)
    assert engine.halted is not None
    assert engine.halted.name in str(subject.error)


ENDS = {"resumed": resume, "failed": fail, "given up": give_up, "closed": close, "timed out": time_out}


def explore(world: World, server_side: bool, kind: str, end: str, most: int = 1000) -> int:
    """Every operation of the subject in turn, records included; how many there were."""
    counting = HaltEngine()
    finish(world.of(counting, server_side=server_side))
    for at in range(min(counting.count, most)):
        engine = HaltEngine(at, kind)
        link = world.of(engine, server_side=server_side)
        subject, other = (link.server, link.client) if server_side else (link.client, link.server)
        life = halt(link, subject)
        next(life)
        assert engine.halted is counting.seen[at]
        assert not other.waiting_for_async
        assert (subject.wait_context.get_all_fds() == [engine.fd]) is (kind == "job")
        ENDS[end](link, subject, engine)
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


def ended(link: DatagramLink, subject: DTLSConnection, other: DTLSConnection, engine: HaltEngine) -> None:
    """The subject does nothing any more; the other side hears why, or learns from the silence."""
    link.run(seconds=1000)
    if isinstance(other.error, PeerAlert):
        assert other.error.description is AlertDescription.internal_error
    elif other.error is not None:
        assert isinstance(other.error, ReadTimeoutExpired)
    subject.receive_datagram(b"whatever comes", None, link.now)
    subject.advance(link.now)
    subject.handle_timeout(link.now + 1e6)
    assert not subject.waiting_for_async
    assert subject.timeout() is None
    assert engine.unwound == 1
    drain(subject)
    if engine.halted in (Operation.SEAL_RECORD, Operation.OPEN_RECORD, Operation.STORE_SESSION) and subject.error:
        assert isinstance(other.error, PeerAlert) or other.close_notify_received  # the keys are there to say so


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
    assert min(explored) >= 7
    tally[f"pauses {end}"] += sum(explored)
