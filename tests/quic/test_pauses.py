"""A handshake that waits for an engine: packets are read, acknowledged and sent again meanwhile; nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.context import TraceEvent, Verify
from caesura.engines import DelayEngine, Operation
from caesura.errors import OperationTimeout, PeerClose, TransportErrorCode
from caesura.jobs import pause_job, start_job
from caesura.quic import QUICConnection
from caesura.quic_settings import QUICSettings
from tests.quic.link import QUICLink, client_context, linked, server_context
from tests.quic.packet_log import PacketLog
from tests.support.datagram_link import CLIENT, SERVER, ByHand, VirtualEngine
from tests.support.ssl_pair import small_pool
from tests.tls.world import identity, trust

SECONDS = 3.0
MAX_ACK_DELAY = QUICSettings().max_ack_delay
OPERATIONS = [
    ("client", Operation.GENERATE_KEY),
    ("client", Operation.KEY_EXCHANGE),
    ("client", Operation.VERIFY_CHAIN),
    ("client", Operation.VERIFY_SIGNATURE),
    ("client", Operation.SIGN),
    ("server", Operation.KEY_EXCHANGE),
    ("server", Operation.SIGN),
    ("server", Operation.VERIFY_CHAIN),
    ("server", Operation.SELECT_IDENTITY),
]


def paused(
    who: str, operation: Operation, seconds: float = SECONDS, log: PacketLog | None = None, **link: Any
) -> tuple[QUICLink, VirtualEngine]:
    """A link where one side's work of a kind takes long; both sides show certificates."""
    engine = VirtualEngine(seconds, [operation])
    client: dict[str, Any] = {"identity": identity("client")}
    server: dict[str, Any] = {"trust": trust(), "verify": Verify.REQUIRED}
    server["select_identity"] = lambda _: None
    client["quic"] = server["quic"] = {"qlog": log}
    (client if who == "client" else server).update(engine=engine, async_mode=True)
    engine.link = made = linked(client, server, **link)
    return made, engine


@pytest.mark.parametrize(("who", "operation"), OPERATIONS)
def test_the_connection_survives_every_pause(who: str, operation: Operation) -> None:
    link, engine = paused(who, operation)
    link.start().run(lambda: bool(engine.started), seconds=1)
    pausing = link.client if who == "client" else link.server
    assert pausing.waiting_for_async
    link.establish()
    assert link.now - 1000.0 < SECONDS * len(engine.started) + 0.2
    stream_id = link.send(b"data")
    link.wait(1.0)
    assert link.theirs.streams[stream_id] == b"data"


@pytest.mark.parametrize(("who", "operation"), OPERATIONS)
def test_a_pause_of_three_seconds_costs_no_ack_and_next_to_no_repetition(who: str, operation: Operation) -> None:
    """Every ACK comes within twice max_ack_delay. At most one packet is repeated, on a network that loses nothing.

    A client that has not computed the handshake's keys yet can open nothing of the server's flight, and what it cannot
    open it cannot acknowledge (RFC 9000 section 13.2.1). Then the server asks with its probe timeout, more and more
    seldom.
    """
    log = PacketLog()
    link, engine = paused(who, operation, log=log)
    log.follow(link)
    link.start().run(lambda: bool(engine.started), seconds=1)
    begin, end = link.now, link.now + SECONDS * len(engine.started)
    link.establish()
    assert log.late(begin, end, 2 * MAX_ACK_DELAY) == []
    blind = (who, operation) == ("client", Operation.KEY_EXCHANGE)
    assert len(log.repeated(by_client=True)) <= 1
    assert len(log.repeated(by_client=False)) <= (10 if blind else 1)
    probes = [each for each in log.packets if each.sent and begin <= each.at < end and each.has("ping")]
    assert len(probes) <= 6  # of a client that hears nothing: more and more seldom, too


def test_who_waits_acknowledges_at_once_and_the_other_side_repeats_nothing() -> None:
    """The server signs for three seconds; what the client has sent is known to have come: nothing is to be repeated.

    The client asks once whether anybody is there, as RFC 9002 section 6.2.2.1 has it; the answer ends that.
    """
    link, _ = paused("server", Operation.SIGN)
    link.start().wait(2.9)
    client = [(round(each.at - 1000, 2), len(each.data)) for each in link.sent if each.by_client]
    assert client[:2] == [(0.0, 1200), (0.02, 1200)]
    assert len(client) <= 4
    assert all(size < 100 for _, size in client[2:])


def test_packets_that_are_lost_during_a_pause_are_sent_again() -> None:
    link, engine = paused("server", Operation.SIGN, network=ByHand(acts={1: lambda _: [], 2: lambda _: []}))
    link.start().run(lambda: bool(engine.started), seconds=1)
    link.wait(2.0)
    assert link.server.waiting_for_async
    hellos = [each for each in link.sent if not each.by_client and len(each.data) == 1200]
    assert len(hellos) >= 2
    link.establish()


def test_the_peer_s_close_is_seen_during_a_pause() -> None:
    link, engine = paused("server", Operation.SIGN)
    link.start().run(lambda: bool(engine.started), seconds=1)
    link.ours.connection.shutdown()
    link.wait(0.1)
    assert isinstance(link.server.error, PeerClose)
    assert link.server.error.error_code is TransportErrorCode.APPLICATION_ERROR
    assert not link.server.waiting_for_async


@pytest.mark.parametrize("who", ["client", "server"])
def test_closing_cancels_what_is_paused(who: str) -> None:
    engine = DelayEngine(None, operations=[Operation.KEY_EXCHANGE])
    settings = {"engine": engine, "async_mode": True}
    link = linked(**{who: settings})
    link.start().wait(0.05)
    side = link.client if who == "client" else link.server
    assert len(engine.waiting) == 1
    side.close()
    assert engine.waiting == []
    assert not side.waiting_for_async


def test_work_that_is_overdue_ends_the_connection() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    link = linked(server={"engine": engine, "async_mode": True, "deadline": 5.0})
    link.start().run(lambda: link.failed)
    assert isinstance(link.server.error, OperationTimeout)
    link.wait(0.1)
    error = link.client.error
    assert isinstance(error, PeerClose)
    assert error.error_code is TransportErrorCode.INTERNAL_ERROR


def test_nothing_is_sent_before_there_is_a_hello() -> None:
    engine = VirtualEngine(3.0, [Operation.GENERATE_KEY])
    one = QUICConnection(
        client_context(engine=engine, async_mode=True), server_side=False, server_hostname="example.test", addr=SERVER
    )
    engine.link = link = QUICLink(one, QUICConnection(server_context(), server_side=True))
    link.start().wait(2.9)
    assert link.sent == []
    assert link.client.timeout() is not None  # the deadline of the work
    link.establish()


def test_acks_and_probes_of_the_handshake_are_traced() -> None:
    told: list[tuple[bool, str, str]] = []

    def trace(event: TraceEvent) -> None:
        if event.name in ("ack", "ping"):
            told.append((event.server_side, event.kind, event.name))

    engine = VirtualEngine(0.1, [Operation.SELECT_IDENTITY])
    settings = {"engine": engine, "async_mode": True, "select_identity": lambda _: None, "trace": trace}
    engine.link = link = linked({"trace": trace}, settings)
    link.establish()
    assert told[:5] == [
        (True, "sent", "ack"),
        (False, "received", "ack"),
        (False, "sent", "ping"),
        (True, "sent", "ack"),
        (False, "received", "ack"),
    ]
    count = len(told)
    link.send(bytes(100_000))
    link.wait(1.0)
    assert len(told) == count  # nothing of 1-RTT packets


def test_that_a_job_is_needed_is_not_forgotten() -> None:
    """Neither by what is sent meanwhile nor by a timer: whoever drives the connection tries again because of it."""
    link = linked(server={"async_mode": True})
    link.client.advance(link.now)
    (datagram, _), *_ = link.client.datagrams_to_send(link.now)
    with small_pool(1):
        occupied = start_job(pause_job)
        link.server.receive_datagram(datagram, CLIENT, link.now)
        assert link.server.needs_job
        link.server.datagrams_to_send(link.now)
        assert link.server.needs_job
        link.server.handle_timeout(link.now + 1)
        assert link.server.needs_job
        occupied.resume()
        link.server.advance(link.now)
        assert not link.server.needs_job
