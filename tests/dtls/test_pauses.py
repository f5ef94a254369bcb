"""A handshake that waits for an engine keeps its peer: it acknowledges, and neither side repeats itself for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.crypto.suites import SUITES
from caesura.engines import DelayEngine, Operation
from caesura.errors import OperationTimeout
from caesura.wire.registries import CipherSuite
from tests.dtls.tap import ACK, HANDSHAKE, Tap
from tests.dtls.world import asking_context, client_context, linked, server_context
from tests.support.datagram_link import DatagramLink, VirtualEngine, datagram_link, received
from tests.tls.world import identity

SECONDS = 3.0


def slow(side: str, operation: Operation, *, listener: bool = True) -> tuple[DatagramLink, Tap]:
    """A mutual handshake in which one operation of one side takes three seconds."""
    engine = VirtualEngine(SECONDS, [operation])
    tap = Tap(SUITES[CipherSuite.TLS_AES_128_GCM_SHA256])
    common: dict[str, Any] = {"keylog": tap.log.append, "cipher_suites": ["TLS_AES_128_GCM_SHA256"]}
    pausing: dict[str, Any] = {**common, "engine": engine, "async_mode": True}
    client = client_context(identity=identity("client"), **(pausing if side == "client" else common))
    server = asking_context(**{"ticket_count": 0, **(pausing if side == "server" else common)})
    engine.link = link = datagram_link(client, server, listener=listener)
    return link.start().run(), tap


@pytest.mark.parametrize(
    ("side", "operation"),
    [
        ("server", Operation.SIGN),
        ("server", Operation.VERIFY_CHAIN),
        ("server", Operation.KEY_EXCHANGE),
        ("client", Operation.SIGN),
        ("client", Operation.VERIFY_CHAIN),
        ("client", Operation.VERIFY_SIGNATURE),
    ],
)
def test_three_seconds_cost_one_ack_and_no_retransmission(side: str, operation: Operation) -> None:
    link, tap = slow(side, operation)
    assert link.client.handshake_complete
    assert link.server.handshake_complete
    assert link.now >= SECONDS
    seen = link.seen(tap)
    handshake = [each for each in seen if each.content_type == HANDSHAKE]
    parts = [(each.by_client, f.message_seq, f.offset) for each in handshake for f in each.fragments]
    assert len(parts) == len(set(parts)), "something was sent twice"
    early = [each for each in seen if each.content_type == ACK and each.at < SECONDS]
    assert [each.by_client for each in early] == [side == "client"]
    assert early[0].acknowledged


def test_without_a_retry_the_client_cannot_know_that_it_was_heard() -> None:
    """RFC 9147 section 7: an ACK before the version is known is ignored, so the client repeats its hello."""
    link, tap = slow("server", Operation.SIGN, listener=False)
    hellos = [each.at for each in link.seen(tap, by_client=True) if each.messages_or_none == ["client_hello"]]
    assert hellos == [0.0, 1.0, 3.0]
    assert link.server.handshake_complete


def test_no_ack_at_once_where_that_is_switched_off() -> None:
    engine = VirtualEngine(0.1, [Operation.SIGN])
    server = asking_context(engine=engine, async_mode=True, dtls={"ack_on_pause": False}, ticket_count=0)
    engine.link = link = datagram_link(client_context(identity=identity("client")), server)
    link.start().run()
    assert link.server.handshake_complete
    assert not any(each.data[0] == ACK for each in link.sent)


def test_a_deadline_ends_it() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    link = linked(server={"engine": engine, "async_mode": True, "deadline": 5.0})
    link.start().run()
    assert isinstance(link.server.error, OperationTimeout)
    assert link.client.error is not None


def test_closing_cancels_what_is_paused() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    link = linked(server={"engine": engine, "async_mode": True}).start().wait(0.05)
    assert link.server.waiting_for_async
    assert len(engine.waiting) == 1
    link.server.close()
    assert engine.waiting == []
    assert link.server.timeout() is None


@pytest.mark.parametrize("operation", [Operation.SEAL_RECORD, Operation.OPEN_RECORD])
def test_records_that_pause_keep_their_order(operation: Operation) -> None:
    engine = VirtualEngine(0.2, [operation])
    settings: dict[str, Any] = {"engine": engine, "async_mode": True, "deadline": None}
    link = linked(settings, settings)
    engine.link = link
    link.start().run(lambda: link.client.handshake_complete and link.server.handshake_complete)
    for number in range(10):
        link.client.write(b"%d" % number)
        link.server.write(b"%d" % number)
    link.run()
    assert received(link.server_events) == received(link.client_events) == [b"%d" % number for number in range(10)]
    assert link.client.error is None
    assert not link.client.waiting_for_async


def test_a_client_that_computes_does_not_repeat_its_hello() -> None:
    """Its hello was answered: while the key exchange takes its time, the timer stands still."""
    engine = VirtualEngine(SECONDS, [Operation.KEY_EXCHANGE])
    tap = Tap(SUITES[CipherSuite.TLS_AES_128_GCM_SHA256])
    common: dict[str, Any] = {"keylog": tap.log.append, "cipher_suites": ["TLS_AES_128_GCM_SHA256"]}
    client = client_context(engine=engine, async_mode=True, **common)
    engine.link = link = datagram_link(client, server_context(ticket_count=0, **common))
    link.start().run()
    assert link.client.handshake_complete
    hellos = [each.at for each in link.seen(tap, by_client=True) if each.messages_or_none == ["client_hello"]]
    assert hellos == [0.0]


def test_tickets_go_out_together_however_long_each_takes() -> None:
    """A flight is written whole: the first of two tickets does not go ahead, to be waited for alone."""
    engine = VirtualEngine(SECONDS, [Operation.SEAL_TICKET])
    tap = Tap(SUITES[CipherSuite.TLS_AES_128_GCM_SHA256])
    common: dict[str, Any] = {"keylog": tap.log.append, "cipher_suites": ["TLS_AES_128_GCM_SHA256"]}
    server = server_context(engine=engine, async_mode=True, ticket_count=2, **common)
    engine.link = link = datagram_link(client_context(**common), server)
    link.start().run()
    seen = [each for each in link.seen(tap) if each.content_type == HANDSHAKE and not each.by_client]
    tickets = [each for each in seen if any(fragment.msg_type == 4 for fragment in each.fragments)]
    assert engine.started == [Operation.SEAL_TICKET] * 2
    assert {each.at for each in tickets} == {tickets[-1].at}
    assert tickets[-1].at >= 2 * SECONDS
