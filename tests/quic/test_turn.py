"""A connection that somebody keeps alive who must not call the application (OSSL_QUIC_client_thread_method(3))."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import QUIC_EARLY_DATA, Context, Limits, PeerChain, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.engines import InlineEngine, Operation, Work
from caesura.errors import ConfigError, CryptoBufferExceeded, IdleTimeout, OperationTimeout, PeerClose
from caesura.events import EarlyDataStatus, SessionReceived
from caesura.jobs import Pending, pause_job
from caesura.quic import QUICConnection, QUICListener, frames, packets
from caesura.quic.turn import Turn
from caesura.replay import ReplayCache
from caesura.sessions import Session, SessionCache
from caesura.wire.registries import Version
from tests.quic.link import QUICLink, client_context, server_context
from tests.quic.puppet import Puppet
from tests.support.datagram_link import CLIENT, SERVER, Lossy, Network
from tests.tls.world import identity, trust


class Application:
    """Everything of the application's that a handshake calls. Called in another turn it remembers that."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.called: set[str] = set()
        self.trespasses: list[str] = []

    def enter(self, name: str) -> None:
        self.called.add(name)
        if not self.turn.handshakes:
            self.trespasses.append(name)

    def watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.enter(name)
            return function(*args)

        return call

    def settings(self) -> dict[str, Any]:
        return {
            "keylog": self.watched("keylog", lambda _: None),
            "trace": self.watched("trace", lambda _: None),
            "verify_peer": self.watched("verify_peer", lambda _: None),
            "engine": WatchedEngine(self),
            "trust": trust(),
            "verify": Verify.REQUIRED,
        }

    def client(self) -> dict[str, Any]:
        return {**self.settings(), "identity": identity("client"), "sessions": WatchedSessions(self)}

    def server(self) -> dict[str, Any]:
        return {
            **self.settings(),
            "select_identity": self.watched("select_identity", lambda _: None),
            "ticket_keys": WatchedKeys(self),
            "replay_store": WatchedReplays(self),
            "max_early_data": QUIC_EARLY_DATA,
        }


class WatchedEngine(InlineEngine):
    operations = frozenset(Operation) - {Operation.SEAL_RECORD, Operation.OPEN_RECORD}

    def __init__(self, app: Application) -> None:
        super().__init__()
        self.app = app

    def start(self, work: Work[Any]) -> Pending[Any]:
        self.app.enter("engine")
        return super().start(work)


class WatchedSessions(SessionCache):
    def __init__(self, app: Application) -> None:
        super().__init__()
        self.app = app

    def put(self, session: Session) -> None:
        self.app.enter("sessions.put")
        super().put(session)

    def take(self, binding: bytes) -> Session | None:
        self.app.enter("sessions.take")
        return super().take(binding)


class WatchedKeys(TicketKeys):
    def __init__(self, app: Application) -> None:
        super().__init__()
        self.app = app

    def seal(self, *args: Any) -> Any:
        self.app.enter("ticket_keys.seal")
        return super().seal(*args)

    def open_untrusted(self, *args: Any) -> Any:
        self.app.enter("ticket_keys.open")
        return super().open_untrusted(*args)


class WatchedReplays(ReplayCache):
    def __init__(self, app: Application) -> None:
        super().__init__()
        self.app = app

    def first_use(self, key: bytes, now: float, until: float) -> bool:
        self.app.enter("replay_store")
        return super().first_use(key, now, until)


class KeptAlive(QUICLink):
    """A link on which handshakes go on only when the application comes by, every so many seconds."""

    def __init__(self, turn: Turn, client: QUICConnection, server: QUICConnection, network: Network | None = None):
        super().__init__(client, server, network)
        self.turn = turn
        self.visit()

    def visit(self, every: float | None = None) -> KeptAlive:
        """The application comes by, and again after that time."""
        self.turn.handshakes = True
        for side in self.sides:
            side.advance(self.now)
        self._pump()
        self.turn.handshakes = False
        if every is not None:
            self.later(every, lambda: self.visit(every))
        return self


def kept_alive(
    client: dict[str, Any] | Context | None = None,
    server: dict[str, Any] | Context | None = None,
    network: Network | None = None,
    turn: Turn | None = None,
    **options: Any,
) -> KeptAlive:
    """Whoever comes by may do so from now on; the first time is done."""
    turn = turn or Turn()
    turn.handshakes = True
    ours = client if isinstance(client, Context) else client_context(**(client or {}))
    theirs = server if isinstance(server, Context) else server_context(**(server or {}))
    one = QUICConnection(ours, server_side=False, server_hostname="example.test", addr=SERVER, turn=turn, **options)
    return KeptAlive(turn, one, QUICConnection(theirs, server_side=True, turn=turn), network)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_of_the_application_s_is_called(seed: int) -> None:
    app = Application(Turn())
    contexts = client_context(**app.client()), server_context(**app.server())
    statuses = set()
    for life in range(3):
        link = kept_alive(*contexts, Lossy(seed=seed + 100 * life), app.turn, early_data=True).visit(0.03)
        link.run(lambda made=link: made.ours.connection.may_write, seconds=20)  # type: ignore[misc]
        link.send(bytes(50_000))
        link.run(lambda made=link: bool(made.theirs.ended) and made.confirmed, seconds=60)  # type: ignore[misc]
        link.run(lambda made=link: bool(made.ours.happened(SessionReceived)), seconds=60)  # type: ignore[misc]
        statuses.add(link.ours.connection.early_data_status)
        link.ours.connection.shutdown()
        link.wait(10.0)
    assert app.trespasses == []
    assert app.called >= {"engine", "keylog", "trace", "verify_peer", "select_identity"}
    assert app.called >= {"sessions.put", "sessions.take", "ticket_keys.seal", "ticket_keys.open", "replay_store"}
    assert EarlyDataStatus.ACCEPTED in statuses


def test_a_handshake_waits_and_what_has_come_is_acknowledged() -> None:
    link = kept_alive()
    link.wait(3.0)
    assert len([each for each in link.sent if each.by_client]) <= 8  # a hello, and rarer and rarer probes
    assert not link.failed
    for _ in range(4):
        link.visit().wait(0.1)
    assert link.confirmed


def test_a_connection_lives_without_its_application() -> None:
    """Timers, acknowledgements, path probes, and bytes that were written go on."""
    link = kept_alive({"quic": {"keep_alive": True}}, network=Lossy(seed=3)).visit(0.1)
    link.run(lambda: link.confirmed, seconds=20)
    link.at.clear()
    link.send(bytes(500_000))
    link.run(lambda: 0 in link.theirs.ended, seconds=120)
    assert len(link.theirs.streams[0]) == 500_000
    link.wait(600.0)
    assert not link.failed
    link.client_address = ("198.51.100.7", 7)
    link.ours.connection.key_update()
    link.wait(60.0)
    assert link.theirs.connection.addr == link.client_address
    assert link.ours.connection.key_updates == 1


class Pausing:
    """A callback that pauses, and what becomes of it."""

    def __init__(self) -> None:
        self.began = 0
        self.unwound = 0

    def __call__(self, _: PeerChain) -> bool:
        self.began += 1
        try:
            while True:
                pause_job()
        finally:
            self.unwound += 1


def waiting(pausing: Pausing, **settings: Any) -> KeptAlive:
    """The client's callback is paused, and the application has gone."""
    link = kept_alive({"verify_peer": pausing, "async_mode": True, **settings}, {"trust": trust()})
    for _ in range(3):
        link.wait(0.05)
        link.visit()
    assert link.client.waiting_for_async
    assert pausing.began == 1
    return link


@pytest.mark.parametrize("by", ["peer", "idle timeout", "deadline"])
@pytest.mark.parametrize("then", ["advance", "close"])
def test_what_is_paused_is_unwound_by_the_application(by: str, then: str) -> None:
    pausing = Pausing()
    link = waiting(pausing, deadline=5.0)
    if by == "peer":
        link.theirs.connection.shutdown()
        link.wait(0.1)
        assert isinstance(link.client.error, PeerClose)
        link.wait(60.0)
        assert link.ours.connection.terminated
    elif by == "idle timeout":
        link.network.delay = 1e9
        link.wait(100.0)
        assert isinstance(link.client.error, IdleTimeout)
    else:
        link.wait(20.0)
        assert link.client.error is None  # overdue work is the application's to give up
        link.turn.handshakes = True
        link.client.handle_timeout(link.now)
        assert isinstance(link.client.error, OperationTimeout)
        assert pausing.unwound == 1
        return
    assert pausing.unwound == 0
    assert link.client.waiting_for_async
    link.turn.handshakes = True
    if then == "advance":
        link.client.advance(link.now)
    else:
        link.client.close()
    assert pausing.unwound == 1
    assert not link.client.waiting_for_async


def test_a_listener_s_connections_have_its_turn() -> None:
    app = Application(Turn())
    listener = QUICListener(server_context(**app.server()), turn=app.turn)
    link = kept_alive({"identity": identity("client")})
    app.turn.handshakes = False
    for each in link.sent:
        listener.receive_datagram(each.data, CLIENT, link.now)
    connection = listener.accept()
    assert connection is not None
    assert connection.datagrams_to_send(link.now)  # an acknowledgement
    assert app.called == set()
    app.turn.handshakes = True
    connection.advance(link.now)
    assert "select_identity" in app.called


def test_version_negotiation_waits_for_nobody() -> None:
    """A new hello is the application's; what was sent in vain is not sent again."""
    versions = {"quic": {"versions": (Version.QUIC1, Version.QUIC2)}}
    link = kept_alive(versions, {"quic": {"versions": (Version.QUIC2,)}})
    found = packets.read_invariant(link.sent[0].data, 0)
    assert found is not None
    answer = packets.encode_version_negotiation(found[2], found[1], [Version.QUIC2], 0)
    link.client.receive_datagram(answer, SERVER, link.now)
    before = len(link.sent)
    link.wait(5.0)
    assert len(link.sent) == before
    link.visit(0.1).run(lambda: link.confirmed, seconds=10)
    assert link.client.version is Version.QUIC2


def test_handshake_messages_that_nobody_takes_are_bounded() -> None:
    puppet = Puppet(client=False, limits=Limits(handshake_message=4096), quic={"crypto_buffer": 4096})
    puppet.victim.turn.handshakes = False
    message = b"\x04" + (1000).to_bytes(3) + bytes(1000)
    offset = 10_000_000
    space = puppet.victim._spaces[2].crypto  # where the server's tickets have ended
    offset = space._data.next
    for _ in range(8):
        puppet.say(frames.crypto(offset, message))
        offset += len(message)
        assert puppet.victim.error is None
    for _ in range(2):
        puppet.say(frames.crypto(offset, message))
        offset += len(message)
    assert isinstance(puppet.victim.error, CryptoBufferExceeded)


def test_the_thread_calls_no_function_with_a_log() -> None:
    with pytest.raises(ConfigError, match="qlog"):
        client_context(quic={"thread_assisted": True, "qlog": lambda _: print})
