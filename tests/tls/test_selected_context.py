"""A context that `select_identity` brings: what of it counts from then on, what stays, and that it can be seen."""

from __future__ import annotations

from typing import Any

import pytest

from caesura import openssl as o
from caesura.bio import bio_pair
from caesura.context import Context, Limits, Method, TraceEvent, Verify
from caesura.engines import DelayEngine, InlineEngine, Operation, Work
from caesura.errors import OperationTimeout, UnexpectedMessage, UsageError
from caesura.jobs import Completion, Pending
from caesura.sslobject import SSL
from caesura.tls import TLSConnection
from tests.support.link import Link, link
from tests.tls.puppet import PuppetClient
from tests.tls.world import EITHER, client_context, identity, server_context, trust


class Listing(InlineEngine):
    """Notes what it is given; it takes everything."""

    operations = frozenset(Operation)

    def __init__(self) -> None:
        self.given: list[Operation] = []

    def start(self, work: Work[Any]) -> Pending[Any]:
        self.given.append(work.operation)
        return super().start(work)


def choosing(chosen: Context, **settings: Any) -> Context:
    """A context whose connections go over to another one."""
    return server_context(select_identity=lambda _: chosen, **settings)


@pytest.mark.parametrize("versions", [{}, EITHER | {"maximum_version": "TLS12"}], ids=["1.3", "1.2"])
def test_engine_follows(versions: dict[str, Any]) -> None:
    """Records stay where they were: their keys are in use already when the choice is made, or could be."""
    first, second = Listing(), Listing()
    pair = link(
        client_context(**versions), choosing(server_context(engine=second, **versions), engine=first, **versions)
    )
    pair.handshake()
    pair.client.write(b"data")
    pair.exchange()
    assert first.given[0] is Operation.SELECT_IDENTITY
    assert set(first.given[1:]) == {Operation.SEAL_RECORD, Operation.OPEN_RECORD}
    assert {Operation.SIGN, Operation.KEY_EXCHANGE} <= set(second.given)
    assert Operation.SEAL_TICKET in second.given
    assert not {Operation.SELECT_IDENTITY, Operation.SEAL_RECORD, Operation.OPEN_RECORD} & set(second.given)


def test_engine_that_pauses_follows() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    pair = link(client_context(), choosing(server_context(engine=engine), async_mode=True)).start().exchange()
    assert pair.server.handshake_paused
    engine.release()
    pair.server.advance(0.0)
    assert pair.exchange().server.handshake_complete


@pytest.mark.parametrize("deadline", [None, 7.0])
def test_deadline_follows(deadline: float | None) -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    chosen = server_context(engine=engine, deadline=deadline)
    pair = link(client_context(), choosing(chosen, async_mode=True, deadline=3.0)).start().exchange()
    assert pair.server.timeout() == deadline
    if deadline is not None:
        pair.server.handle_timeout(7.0)
        assert isinstance(pair.server.error, OperationTimeout)


def test_selection_itself_has_the_deadline_of_the_first() -> None:
    held: Completion[Context] = Completion()
    context = server_context(select_identity=lambda _: held, async_mode=True, deadline=3.0)
    pair = link(client_context(), context).start().exchange()
    assert pair.server.timeout() == 3.0
    held.set_result(server_context(deadline=7.0))
    pair.server.advance(0.0)
    assert pair.exchange().server.handshake_complete


def test_trace_follows() -> None:
    first: list[TraceEvent] = []
    second: list[TraceEvent] = []
    chosen = server_context(trace=second.append)
    pair = link(client_context(), choosing(chosen, trace=first.append)).handshake()
    pair.server.key_update()
    pair.server.shutdown()
    assert [event.name for event in first] == ["client_hello", "SELECT_IDENTITY", "SELECT_IDENTITY"]
    told = [event.name for event in second if event.kind != "started"]
    assert told[:3] == ["KEY_EXCHANGE", "server_hello", "encrypted_extensions"]
    assert told[-2:] == ["key_update", "close_notify"]
    assert "new_session_ticket" in told


def test_trace_that_the_other_context_has_not() -> None:
    first: list[TraceEvent] = []
    link(client_context(), choosing(server_context(), trace=first.append)).handshake()
    assert first[-1].name == "SELECT_IDENTITY"


def test_key_log_follows() -> None:
    first: list[str] = []
    second: list[str] = []
    link(client_context(), choosing(server_context(keylog=second.append), keylog=first.append)).handshake()
    assert first == []
    assert len(second) == 5


@pytest.mark.parametrize(("ours", "theirs"), [(2, 5), (5, 2)])
def test_limits_follow(ours: int, theirs: int) -> None:
    chosen = server_context(limits=Limits(empty_records=theirs))
    puppet = PuppetClient(TLSConnection(choosing(chosen, limits=Limits(empty_records=ours)), server_side=True))
    puppet.start().finish()
    for _ in range(theirs):
        puppet.send(23, b"")
    assert puppet.connection.error is None
    puppet.send(23, b"")
    assert isinstance(puppet.connection.error, UnexpectedMessage)


def test_limit_of_messages_follows() -> None:
    chosen = server_context(trust=trust(), verify=Verify.REQUIRED, limits=Limits(handshake_message=1000))
    pair = link(client_context(identity=identity("client")), choosing(chosen)).start().exchange()
    assert pair.server.handshake_complete
    small = server_context(trust=trust(), verify=Verify.REQUIRED, limits=Limits(handshake_message=400))
    pair = link(client_context(identity=identity("client")), choosing(small)).start().exchange()
    assert pair.server.error is not None


def test_record_size_limit_follows() -> None:
    pair = link(client_context(record_size_limit=200), choosing(server_context(record_size_limit=100)))
    pair.handshake()
    pair.client.write(bytes(300))
    wire = pair.client.data_to_send(0.0)
    assert max(int.from_bytes(wire[at + 3 : at + 5], "big") for at in starts(wire)) == 100 + 16


def starts(wire: bytes) -> list[int]:
    found, at = [], 0
    while at < len(wire):
        found.append(at)
        at += 5 + int.from_bytes(wire[at + 3 : at + 5], "big")
    return found


def test_it_can_be_seen() -> None:
    chosen = server_context()
    pair = Link(*(TLSConnection(each, server_side=bool(side), server_hostname=None if side else "localhost")
                  for side, each in enumerate((client_context(), choosing(chosen)))))  # fmt: skip
    assert pair.server.selected_context is None
    pair.handshake()
    assert pair.server.selected_context is chosen
    assert pair.client.selected_context is None


@pytest.mark.parametrize("answer", [None, "an identity"])
def test_none_where_none_was_selected(answer: object) -> None:
    context = server_context(select_identity=lambda _: answer and identity())
    assert link(client_context(), context).handshake().server.selected_context is None


def test_it_can_be_seen_of_an_ssl() -> None:
    chosen = server_context()
    one, two = bio_pair(0, 0)
    client = SSL(client_context(), one, server_side=False, server_hostname="localhost")
    server = SSL(choosing(chosen), two, server_side=True)
    assert server.selected_context is None
    assert o.SSL_get_SSL_CTX(server) is server.context
    for side in (client, server, client, server):
        o.SSL_do_handshake(side)
    assert server.selected_context is chosen
    assert o.SSL_get_SSL_CTX(server) is chosen


def test_context_of_another_method() -> None:
    other = Context(Method.DTLS, identity=identity())
    pair = link(client_context(), choosing(other)).start().exchange()
    assert isinstance(pair.server.error, UsageError)
    assert "DTLS" in str(pair.server.error)
