"""0-RTT: sent, taken, refused, and never more than was permitted (RFC 9001 section 4.6, RFC 9000 section 7.4.1)."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.context import QUIC_EARLY_DATA, Context
from caesura.engines import Operation
from caesura.errors import ConfigError, UsageError, ZeroRTTRejected
from caesura.events import EarlyDataReason, EarlyDataRejected, EarlyDataStatus
from caesura.quic import QUICConnection, packets
from caesura.quic.levels import ZERO_RTT
from caesura.sessions import Session
from caesura.wire.registries import Version
from tests.quic.link import QUICLink, client_context, server_context
from tests.support.datagram_link import SERVER, ByHand, Lossy, Network, VirtualEngine

EARLY = {"max_early_data": QUIC_EARLY_DATA}
DATA = bytes(range(256)) * 40


class World:
    """A client that has a ticket of a server that takes 0-RTT."""

    def __init__(self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.client = client_context(**(client or {}))
        self.server = server_context(**{**EARLY, **(server or {})})
        self.first = self.link(early=False).establish()
        self.first.wait(1.0)
        assert self.first.client.session is not None

    def link(
        self,
        *,
        early: bool = True,
        network: Network | None = None,
        server: Context | None = None,
        client: Context | None = None,
        session: Session | None = None,
    ) -> QUICLink:
        one = QUICConnection(
            client or self.client,
            server_side=False,
            server_hostname="example.test",
            addr=SERVER,
            early_data=early,
            session=session,
        )
        return QUICLink(one, QUICConnection(server or self.server, server_side=True), network)

    def started(self, data: bytes = DATA, **options: Any) -> QUICLink:
        """A link whose client has sent its hello and this in one flight."""
        link = self.link(**options)
        link.client.advance(link.now)
        link.send(data)
        return link


def early_packets(link: QUICLink) -> int:
    """How many 0-RTT packets were sent."""
    found = 0
    for each in link.sent:
        pos = 0
        while pos < len(each.data) and each.data[pos] & 0x80:
            header = packets.read_long(each.data, pos)
            assert header is not None
            found += header.kind == ZERO_RTT
            pos = header.stop
    return found


def test_data_with_the_first_flight() -> None:
    link = World().started()
    link.wait(0.0)
    assert link.client.early_data_status is EarlyDataStatus.PENDING
    assert early_packets(link) > 3
    link.wait(0.012)
    assert link.theirs.streams == {0: DATA}
    assert not link.server.handshake_complete
    link.establish()
    link.wait(1.0)
    for side in (link.client, link.server):
        assert side.early_data_status is EarlyDataStatus.ACCEPTED
        assert side.early_data_reason is EarlyDataReason.ACCEPT
    link.ours.connection.write_stream(link.ours.connection.open_stream() or 4, b"later", fin=True)
    link.wait(1.0)
    assert link.theirs.streams == {0: DATA, 4: b"later"}


def test_an_answer_before_the_handshake_is_complete() -> None:
    link = World().started(b"question")
    link.wait(0.012)
    link.theirs.connection.write_stream(0, b"answer", fin=True)
    link.wait(0.012)
    assert link.ours.streams == {0: b"answer"}
    link.establish()


def test_without_a_session_there_is_none() -> None:
    link = QUICLink(
        QUICConnection(
            client_context(), server_side=False, server_hostname="example.test", addr=SERVER, early_data=True
        ),
        QUICConnection(server_context(**EARLY), server_side=True),
    )
    link.client.advance(link.now)
    with pytest.raises(UsageError, match="not complete"):
        link.ours.connection.open_stream()
    link.establish()
    assert link.client.early_data_status is EarlyDataStatus.NOT_SENT
    assert link.client.early_data_reason is EarlyDataReason.NO_SESSION_OFFERED


def test_a_server_that_takes_none_says_that_it_is_switched_off() -> None:
    link = QUICLink(
        QUICConnection(client_context(), server_side=False, server_hostname="example.test", addr=SERVER),
        QUICConnection(server_context(), server_side=True),
    ).establish()
    assert link.server.early_data_reason is EarlyDataReason.DISABLED
    assert link.client.early_data_reason is EarlyDataReason.DISABLED


def test_who_does_not_ask_sends_none() -> None:
    link = World().link(early=False).establish()
    assert link.client.session_reused
    assert early_packets(link) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_early_data": 0}, EarlyDataReason.PEER_DECLINED),
        ({"quic": {"initial_max_data": 1000}}, EarlyDataReason.PEER_DECLINED),
        ({"quic": {"initial_max_streams_bidi": 99}}, EarlyDataReason.PEER_DECLINED),
        ({"quic": {"active_connection_id_limit": 3}}, EarlyDataReason.PEER_DECLINED),
        ({"groups": ["secp256r1"]}, EarlyDataReason.HELLO_RETRY_REQUEST),
    ],
)
def test_what_is_refused_is_gone(changes: dict[str, Any], reason: EarlyDataReason) -> None:
    world = World()
    for name, value in changes.items():
        setattr(world.server, name, value)
    assert_rejected(world.started(), reason)


def assert_rejected(link: QUICLink, reason: EarlyDataReason) -> None:
    """Nothing of it is sent again, and its streams are gone, until the application opens others by the same ids."""
    client = link.client
    assert client.open_stream(unidirectional=True) == 2
    client.reset_stream(2, 1)
    link.wait(0.0)
    seen: list[tuple[bool, str]] = []  # what becomes of calls for the old stream, once they are rejected

    def watch() -> bool:
        link.ours.look()
        if client.early_data_status is EarlyDataStatus.REJECTED:
            with pytest.raises(ZeroRTTRejected, match=reason.value) as caught:
                client.write_stream(0, b"more")
            assert client.stream_backlog(0) == 0
            seen.append((client.handshake_complete, caught.value.code))
        return link.confirmed

    link.start()
    link.run(watch, seconds=5)
    for side in (link.client, link.server):
        assert side.error is None
    soon = reason is EarlyDataReason.HELLO_RETRY_REQUEST
    assert {complete for complete, _ in seen} == {True, not soon}
    assert {code for _, code in seen} == {"ZERO_RTT_REJECTED"}
    link.wait(5.0)
    assert link.theirs.streams == {}
    assert link.ours.happened(EarlyDataRejected) == [EarlyDataRejected(reason)]
    assert link.client.early_data_status is EarlyDataStatus.REJECTED
    assert link.client.early_data_reason is reason
    assert link.server.early_data_status is EarlyDataStatus.NOT_SENT
    for call in (client.reset_stream, client.stop_sending, client.read_stream):
        for stream_id in (0, 2):
            with pytest.raises(ZeroRTTRejected):
                call(stream_id, 1)
    again = link.send(DATA)
    assert again == 0
    link.run(lambda: 0 in link.theirs.ended, seconds=5)
    assert link.theirs.streams == {0: DATA}
    assert client.open_stream() == 4


def test_no_stream_is_opened_before_the_news_was_read() -> None:
    """Else whoever reads it would give up a new one that has an old one's id."""
    world = World()
    world.server.max_early_data = 0
    link = world.started()
    client = link.client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link.ours, "look", lambda: None)
        link.establish()
        with pytest.raises(ZeroRTTRejected):
            client.open_stream()
    link.ours.look()
    assert client.open_stream() == 0


def test_datagrams_with_the_first_flight() -> None:
    """They go by what the server took the last time (RFC 9221 section 3); what is rejected is not sent again."""
    both = {"quic": {"max_datagram_frame_size": 1000}}
    world = World(both, both)
    link = world.link()
    link.client.advance(link.now)
    assert link.client.send_datagram(b"taken")
    link.wait(0.012)
    assert link.server.read_datagram() == b"taken"
    assert not link.server.handshake_complete
    link.establish()

    world.first.wait(1.0)
    world.server.max_early_data = 0
    link = world.link()
    link.client.advance(link.now)
    for _ in range(100):
        link.client.send_datagram(bytes(900))
    link.establish()
    link.wait(1.0)
    assert link.server.read_datagram() is None
    assert link.client.send_datagram(b"again")
    link.wait(1.0)
    assert link.server.read_datagram() == b"again"


def test_a_ticket_that_is_good_no_more() -> None:
    world = World()
    world.server.ticket_keys.rotate()
    world.server.ticket_keys.rotate()
    world.server.ticket_keys.rotate()
    link = world.started()
    assert_rejected(link, EarlyDataReason.SESSION_NOT_RESUMED)
    assert not link.client.session_reused


def test_a_copy_of_the_first_flight_is_not_taken_twice() -> None:
    world = World()
    link = world.started()
    link.wait(0.012)
    assert link.theirs.streams == {0: DATA}
    again = QUICConnection(world.server, server_side=True)
    for each in link.sent:
        if each.by_client:
            again.receive_datagram(each.data, ("198.51.100.1", 1), link.now)
    assert again.early_data_reason is EarlyDataReason.REPLAY
    assert again.early_data_status is EarlyDataStatus.NOT_SENT
    while (event := again.next_event()) is not None:
        raise AssertionError(event)


@pytest.mark.parametrize("lost", range(10))
def test_any_datagram_lost(lost: int) -> None:
    link = World().started(network=ByHand(acts={lost: lambda _: []}))
    link.establish()
    link.run(lambda: 0 in link.theirs.ended, seconds=10)
    assert link.theirs.streams == {0: DATA}


@pytest.mark.parametrize("seed", range(8))
def test_a_bad_network(seed: int) -> None:
    link = World().started(DATA * 5, network=Lossy(seed=seed)).establish()
    link.run(lambda: 0 in link.theirs.ended, seconds=60)
    assert link.theirs.streams == {0: DATA * 5}


def test_packets_that_come_before_the_hello_is_whole_wait_for_it() -> None:
    """A hello of two datagrams, of which the second one comes later than what is behind it."""
    groups = {"groups": ["X25519MLKEM768", "x25519"]}
    late = ByHand(acts={1: lambda datagram: [(0.02, datagram)]})
    link = World(groups, groups).started(b"early", network=late)
    link.wait(0.015)
    assert link.theirs.streams == {}
    link.wait(0.01)
    assert link.theirs.streams == {0: b"early"}
    assert not link.server.handshake_complete
    link.establish()


def test_packets_that_waited_for_their_keys_are_not_counted_twice() -> None:
    """Against what may be sent to an address that has proved nothing (RFC 9000 section 8.1)."""
    groups = {"groups": ["X25519MLKEM768", "x25519"]}
    late = ByHand(acts={1: lambda datagram: [(0.02, datagram)]})
    link = World(groups, groups).started(DATA[:1000], network=late)
    link.wait(0.025)
    assert link.theirs.streams[0]
    came = sum(len(each.data) for each in link.sent if each.by_client)
    link.network = ByHand(acts={number: lambda _: [] for number in range(1000)})
    link.theirs.connection.write_stream(0, bytes(200_000), fin=True)
    link.wait(20.0)
    said = sum(len(each.data) for each in link.sent if not each.by_client)
    assert 2 * came < said <= 3 * came


def test_data_is_read_while_the_server_s_work_is_paused() -> None:
    """It cannot be acknowledged yet, and no timer rings in vain for that."""
    engine = VirtualEngine(3.0, [Operation.KEY_EXCHANGE])
    world = World()
    world.server.engine, world.server.async_mode = engine, True
    engine.link = link = world.started(b"early")
    link.wait(0.015)
    assert link.theirs.streams == {0: b"early"}
    assert link.server.waiting_for_async
    before = len(link.timeouts)
    link.wait(2.5)
    assert len(link.timeouts) - before < 20
    moment = link.server.timeout()
    assert moment is not None
    assert moment > link.now
    link.establish()
    link.wait(0.1)
    assert link.client.early_data_status is EarlyDataStatus.ACCEPTED


def test_limits_are_those_of_the_last_time() -> None:
    world = World(server={"quic": {"initial_max_streams_bidi": 2, "initial_max_data": 5000}})
    world.server.quic = {"initial_max_streams_bidi": 50, "initial_max_data": 50_000}
    link = world.started(bytes(20_000))
    assert [link.ours.connection.open_stream() for _ in range(3)] == [4, None, None]
    link.wait(0.012)
    assert len(link.theirs.streams[0]) == 5000
    link.establish()
    link.wait(1.0)
    assert len(link.theirs.streams[0]) == 20_000


class Careless(QUICConnection):
    """A server that takes 0-RTT whatever it permits."""

    def accepts_early_data(self, ticket_state: bytes) -> bool:
        super().accepts_early_data(ticket_state)
        return True


def test_a_server_that_permits_less_than_it_had_is_found_out() -> None:
    world = World()
    world.server.quic = {"initial_max_data": 1000}
    one = QUICConnection(world.client, server_side=False, server_hostname="example.test", addr=SERVER, early_data=True)
    link = QUICLink(one, Careless(world.server, server_side=True))
    link.start()
    link.run(lambda: link.failed, seconds=5)
    assert "7.4.1" in str(link.client.error)


def test_the_other_version_takes_no_more_of_it() -> None:
    """0-RTT packets are of the version that was chosen first; the server goes on in another one and takes none."""
    both = {"quic": {"versions": (Version.QUIC1, Version.QUIC2)}}
    world = World(both, both)
    world.server.quic = {"versions": (Version.QUIC2, Version.QUIC1)}
    link = world.started()
    assert_rejected(link, EarlyDataReason.SESSION_NOT_RESUMED)
    assert link.client.version is Version.QUIC2


def test_a_server_that_does_not_speak_the_version() -> None:
    """Its Version Negotiation packet ends the session's attempt, and with it 0-RTT."""
    world = World({"quic": {"versions": (Version.QUIC1, Version.QUIC2)}})
    world.server.quic = {"versions": (Version.QUIC2,)}
    link = world.started()
    found = packets.read_invariant(link.sent[0].data, 0)
    assert found is not None
    answer = packets.encode_version_negotiation(found[2], found[1], [Version.QUIC2], 0)
    link.client.receive_datagram(answer, SERVER, link.now)
    with pytest.raises(ZeroRTTRejected):
        link.client.write_stream(0, b"more")
    link.establish()
    assert link.ours.happened(EarlyDataRejected) == [EarlyDataRejected(EarlyDataReason.SESSION_NOT_RESUMED)]
    assert link.theirs.streams == {}
    assert link.send(DATA) == 0
    link.run(lambda: 0 in link.theirs.ended, seconds=5)
    assert link.theirs.streams == {0: DATA}


def test_a_session_that_was_stored_keeps_its_limits() -> None:
    world = World()
    session = world.first.client.session
    assert session is not None
    again = Session.from_bytes(session.to_bytes())
    assert again.transport_state == session.transport_state != b""
    world.client.sessions = None
    link = world.started(session=again).establish()
    assert link.client.early_data_status is EarlyDataStatus.ACCEPTED
    for state in (b"", b"\xff", b"\x04\x01"):
        again = Session.from_bytes(session.to_bytes())
        again.transport_state = state
        link = world.link(session=again).establish()
        assert link.client.early_data_reason is EarlyDataReason.TRANSPORT_MISMATCH


def test_flow_control_bounds_it_and_nothing_else() -> None:
    with pytest.raises(ConfigError, match="max_early_data"):
        server_context(max_early_data=16_384)
