"""Contract F28: what a thread-assisted connection needs no call for, and what nobody but the application does.

OSSL_QUIC_client_thread_method(3). On virtual time the test takes the thread's place and calls its rounds; at the end
there is the thread itself, over real sockets.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

import caesura
from caesura import PollEvent, assist, polling
from caesura import openssl as o
from caesura.assist import Assist
from caesura.bio import DatagramBIO
from caesura.clock import SystemClock
from caesura.engines import InlineEngine, Operation, Work
from caesura.errors import IdleTimeout, OperationTimeout, PeerClose, UnexpectedEOF, WantAsync, WantRead
from caesura.jobs import Pending, WaitContext, pause_job, start_job
from caesura.quic.ecn import ECT0
from caesura.readiness import Watch
from caesura.sessions import Session, SessionCache
from caesura.sslobject.domain import Domain
from caesura.sslobject.quic import QUICSSL
from caesura.sslobject.quic_object import EventHandling
from tests.support import ssl_pair
from tests.support.quic_ssl import drive, settings
from tests.support.ssl_pair import StoppedClock
from tests.support.udp import datagram_sockets

ASSISTED = {"thread_assisted": True}
ALL = PollEvent((1 << 13) - 1)


@dataclass
class Callbacks:
    """Everything of the application's that a client's handshake calls, and on which threads that was."""

    names: set[str] = field(default_factory=set)
    threads: set[int] = field(default_factory=set)
    forbidden: bool = False  # whether it is the assist thread's turn, where the test takes its place

    def settings(self) -> dict[str, Any]:
        outer = self

        class Engine(InlineEngine):
            operations = frozenset(Operation) - {Operation.SEAL_RECORD, Operation.OPEN_RECORD}

            def start(self, work: Work[Any]) -> Pending[Any]:
                outer.called("engine")
                return super().start(work)

        class Sessions(SessionCache):
            def put(self, session: Session) -> None:
                outer.called("put")
                super().put(session)

            def take(self, binding: bytes) -> Session | None:
                outer.called("take")
                return super().take(binding)

        return {
            "engine": Engine(),
            "sessions": Sessions(),
            "verify_peer": lambda _: self.called("verify_peer"),
            "keylog": lambda _: self.called("keylog"),
            "trace": lambda _: self.called("trace"),
        }

    def called(self, name: str) -> None:
        assert not self.forbidden, name
        self.names.add(name)
        self.threads.add(threading.get_ident())


class World:
    """An assisted client and a server over a pair of sockets, on virtual time."""

    def __init__(self, client: dict[str, Any], server: dict[str, Any], callbacks: Callbacks) -> None:
        self.clock = StoppedClock()
        self.callbacks = callbacks
        self.sockets = datagram_sockets()
        quic = {"quic": {**ASSISTED, "max_ack_delay": 0.02, **client.pop("quic", {})}}
        ours = ssl_pair.client(DatagramBIO(self.sockets[0]), **settings(self.clock, **quic, **client))
        theirs = ssl_pair.server(DatagramBIO(self.sockets[1]), **settings(self.clock, **server))
        assert isinstance(ours, QUICSSL)
        assert isinstance(theirs, QUICSSL)
        self.client, self.server = ours, theirs
        for each in (ours, theirs):
            each.blocking = False

    def begin(self) -> World:
        """The hello is sent."""
        for each in (self.client, self.server):
            with pytest.raises(WantRead):
                each.do_handshake()
        return self

    def handshake(self) -> World:
        drive(self.clock, self.client.do_handshake, self.server.do_handshake)
        for _ in range(5):
            self.client.handle_events()
            self.server.handle_events()
            self.clock.now += 0.01
        return self

    def rounds(self, seconds: float, until: Callable[[], bool] = lambda: False, step: float = 0.01) -> World:
        """Let time pass without a call of the client's."""
        end = self.clock.now + seconds
        while self.clock.now < end and not until():
            self.callbacks.forbidden = True
            assist._assist.round(0)
            self.callbacks.forbidden = False
            self.server.handle_events()
            self.clock.now += step
        return self


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Makes worlds, in which the thread's rounds are the test's."""
    made: list[World] = []
    monkeypatch.setattr(assist, "_assist", Assist(start=False))
    monkeypatch.setattr(assist, "monotonic", lambda: made[0].clock.now)

    def world(
        client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, callbacks: Callbacks | None = None
    ) -> World:
        made.append(World(dict(client or {}), dict(server or {}), callbacks or Callbacks()))
        return made[-1]

    yield world
    for each in made:
        for end in (each.client, each.server, *each.sockets):
            end.close()


def test_F28_a_connection_lives_on_without_a_call(make: Callable[..., World]) -> None:
    """Data is acknowledged, credit is used, lost packets are sent again, the connection does not become idle."""
    world = make({"quic": {"keep_alive": True}}, {"quic": {"max_idle_timeout": 20.0}}).handshake()
    world.server.write(bytes(60_000))
    ours = world.client.new_stream()
    assert ours is not None
    ours.write(b"from here")
    world.rounds(2.0, lambda: not (world.server.connection.unacknowledged or world.client.connection.unacknowledged))
    assert not world.server.connection.unacknowledged
    assert not world.client.connection.unacknowledged
    world.rounds(300.0, step=0.5)
    for each in (world.client, world.server):
        assert not each.over
    theirs = world.client.accept_stream()
    assert theirs is not None
    assert len(theirs.read()) == 60_000


def test_F28_timers_need_no_call(make: Callable[..., World]) -> None:
    """A hello that nobody hears is sent again; a connection that has become idle ends."""
    world = make({"quic": {"max_idle_timeout": 20.0}})
    with pytest.raises(WantRead):
        world.client.do_handshake()
    before = len(drain(world.sockets[1]))
    assert before == 1
    world.server.close()
    world.rounds(15.0, step=0.1)
    assert len(drain(world.sockets[1])) >= 4
    world.rounds(300.0, step=1.0)
    assert isinstance(world.client.connection.error, IdleTimeout)
    assert assist._assist.count == 0


def drain(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(65_536))
        except BlockingIOError:
            return found


def test_F28_the_handshake_waits_for_the_application(make: Callable[..., World]) -> None:
    """The thread reads and acknowledges what comes of it; the next call goes on with that."""
    world = make().begin()
    world.rounds(1.0)
    assert drain(world.sockets[0]) == []
    assert not world.client.handshake_complete
    assert world.client.get_event_timeout() == 0.0  # there is something to be called for
    world.client.do_handshake()
    assert world.client.handshake_complete


def test_F28_nothing_of_the_application_s_is_called(make: Callable[..., World]) -> None:
    callbacks = Callbacks()
    world = make(callbacks.settings(), {"ticket_count": 2}, callbacks).begin()
    while not world.client.handshake_complete:
        world.rounds(0.05)
        with suppress(WantRead):
            world.client.do_handshake()
    world.rounds(0.1)
    assert world.server.handshake_complete
    before = callbacks.names
    assert before == {"engine", "take", "verify_peer", "keylog", "trace"}
    callbacks.names = set()
    world.rounds(1.0)  # tickets come
    assert callbacks.names == set()
    world.client.handle_events()
    assert "put" in callbacks.names
    assert world.client.session is not None


def test_F28_paused_work_is_the_application_s(make: Callable[..., World]) -> None:
    """It is resumed and unwound by its calls, though the connection has ended meanwhile."""
    seen: list[str] = []

    def verify(_: object) -> bool:
        seen.append("began")
        try:
            while True:
                pause_job()
                seen.append("resumed")
        finally:
            seen.append("unwound")

    world = make({"verify_peer": verify, "async_mode": True}).begin()
    world.rounds(0.1)
    with pytest.raises(WantAsync):
        world.client.do_handshake()
    assert seen[0] == "began"
    seen.clear()
    world.rounds(1.0)
    world.server.shutdown(rapid=True)
    world.rounds(20.0)
    assert seen == []
    with pytest.raises(PeerClose):
        world.client.do_handshake()
    assert seen == ["unwound"]


def test_F28_work_that_is_overdue_is_the_application_s_too(make: Callable[..., World]) -> None:
    """The thread does not spin because of it, and the application is told that it has something to do."""
    world = make({"verify_peer": pauses, "async_mode": True, "deadline": 5.0}).begin()
    world.rounds(0.1)
    with pytest.raises(WantAsync):
        world.client.do_handshake()
    domain = world.client.domain
    assert domain is not None
    world.rounds(8.0)
    wanted = domain.tend_at()
    assert wanted is None or wanted > world.clock.now
    assert world.client.get_event_timeout() == 0.0
    world.client.handle_events()
    assert isinstance(world.client.connection.error, OperationTimeout)


def pauses(_: object) -> bool:
    while True:
        pause_job()


def test_F28_a_job_that_waits_is_told_by_another_thread(make: Callable[..., World]) -> None:
    """What tells a job's application is a callback of its own."""
    world = make().handshake()
    told = threading.Event()
    by: set[int] = set()

    def callback(_: object) -> None:
        by.add(threading.get_ident())
        told.set()

    context = WaitContext()
    job = start_job(lambda: caesura.poll([(world.client, PollEvent.ISB)]), wait_context=context)
    context.set_callback(callback)
    world.server.write(b"x")
    world.rounds(0.2)
    assert told.wait(20)
    assert threading.get_ident() not in by  # which is the one that has done the rounds here
    job.resume()
    assert job.result() == [PollEvent.ISB]


def test_F28_the_peer_s_close_is_seen(make: Callable[..., World]) -> None:
    world = make().handshake()
    world.server.shutdown(rapid=True)
    world.rounds(20.0)
    assert world.client.over
    assert assist._assist.count == 0  # nothing is left to be done
    with pytest.raises(UnexpectedEOF):
        world.client.read()


def test_F28_without_the_setting_nobody_is_tended(make: Callable[..., World]) -> None:
    world = make({"quic": {"thread_assisted": False}}).handshake()
    assert assist._assist.count == 0
    world.server.write(b"x")
    world.rounds(0.5)
    assert len(drain(world.sockets[0])) > 0


def test_F28_who_waits_hears_of_what_another_thread_has_to_send(make: Callable[..., World]) -> None:
    """Which need not tick: one who reads gives credit, and may not call again."""
    world = make({"quic": {"thread_assisted": False}}).handshake()
    stream, domain = world.client.new_stream(), world.client.domain
    assert stream is not None
    assert domain is not None
    stream.event_handling = EventHandling.EXPLICIT
    with domain.lock:
        waiting = WaitContext()
        domain.waiting.append(waiting)
    assert not waiting.signalled
    stream.write(b"x")
    assert waiting.signalled
    domain.waiting.remove(waiting)


def test_F28_by_the_page_s_name() -> None:
    assert o.SSL_CTX_new(o.OSSL_QUIC_client_thread_method()).settings.quic.thread_assisted
    assert not o.SSL_CTX_new(o.OSSL_QUIC_client_method()).settings.quic.thread_assisted


def test_F28_freeing_ends_it(make: Callable[..., World]) -> None:
    world = make().handshake()
    assert assist._assist.count == 1
    world.client.close()
    assist._assist.round(0)
    assert assist._assist.count == 0


# --- the thread itself --------------------------------------------------------------------------------------------


def test_F28_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    """Over real sockets, with a client that blocks and then calls nothing."""
    callbacks = Callbacks()
    one, two = datagram_sockets()
    common = {**settings(StoppedClock()), "clock": ValidClock()}
    client = ssl_pair.client(
        DatagramBIO(one), **{**common, "quic": {**ASSISTED, "keep_alive": True}, **callbacks.settings()}
    )
    server = ssl_pair.server(DatagramBIO(two), **common)
    assert isinstance(client, QUICSSL)
    assert isinstance(server, QUICSSL)
    handshake = threading.Thread(target=server.do_handshake)
    handshake.start()
    client.do_handshake()
    handshake.join(20)
    thread = assist._assist.thread
    assert thread is not None
    assert server.write(bytes(50_000)) == 50_000
    quiet = threading.Event()
    assert server.shutdown() is True  # when all has arrived: nobody else can have said so
    thread.join(20)
    assert not thread.is_alive()
    assert not quiet.is_set()
    assert client.connection.close_notify_received
    assert callbacks.threads == {threading.get_ident()}
    assert caplog.records == []
    client.close()
    server.close()
    one.close()
    two.close()


class ValidClock(SystemClock):
    """Time goes by as ever, in the year of the test certificates."""

    def wall(self) -> float:
        return StoppedClock().wall()


def test_F28_a_poll_is_woken_by_what_the_thread_has_read() -> None:
    """Whoever of them reads it: the stream is readable in the end, and nobody waits for a descriptor in vain."""
    one, two = datagram_sockets()
    common = {**settings(StoppedClock()), "clock": ValidClock()}
    client = ssl_pair.client(DatagramBIO(one), **{**common, "quic": ASSISTED})
    server = ssl_pair.server(DatagramBIO(two), **common)
    assert isinstance(client, QUICSSL)
    assert isinstance(server, QUICSSL)
    for each in (client, server):
        each.blocking = False
        with pytest.raises(WantRead):
            each.do_handshake()
    while not (client.handshake_complete and server.handshake_complete):
        assert any(caesura.poll([(client, PollEvent.OS), (server, PollEvent.OS)], 20))
    for number in range(30):
        stream = server.new_stream()
        assert stream is not None
        stream.write(b"%d" % number)
        assert caesura.poll([(client, PollEvent.ISB)], 20) == [PollEvent.ISB]
        theirs = client.accept_stream()
        assert theirs is not None
        assert caesura.poll([(theirs, PollEvent.R)], 20) == [PollEvent.R]
        assert theirs.read() == b"%d" % number
    if sys.platform == "linux":  # marks of ECN are sent and told of
        assert {each.connection.ecn for each in (client, server)} == {ECT0}
    for end in (client, server, one, two):
        end.close()
    thread = assist._assist.thread
    if thread is not None:
        thread.join(20)


def test_F44_what_another_thread_reads_just_before_a_poll_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = datagram_sockets()
    common = {**settings(StoppedClock()), "clock": ValidClock()}
    client, server = ssl_pair.client(DatagramBIO(one), **common), ssl_pair.server(DatagramBIO(two), **common)
    with closing(one), closing(two), closing(client), closing(server):
        for each in (client, server):
            each.blocking = False
            with pytest.raises(WantRead):
                each.do_handshake()
        while not (client.handshake_complete and server.handshake_complete):
            assert any(caesura.poll([(client, PollEvent.OS), (server, PollEvent.OS)], 20))
        stream = server.new_stream()
        assert stream is not None

        def late(domain: Domain, watch: Watch) -> bool:
            stream.write(b"x")
            while not client.accept_stream_queue_len:  # type: ignore[attr-defined]
                domain.tick()
            return on_time(domain, watch)

        def block(watch: Watch) -> None:
            raise AssertionError("it waits for what has come already")

        on_time = Domain.poll_watch
        monkeypatch.setattr(Domain, "poll_watch", late)
        monkeypatch.setattr(polling, "_block", block)
        assert caesura.poll([(client, PollEvent.ISB)], 20) == [PollEvent.ISB]
