"""A flight leaves as a whole, however long its signature takes (RFC 9846 section 2, RFC 5246 section 7.3)."""

from __future__ import annotations

import pytest

from caesura.engines import DelayEngine, Operation
from caesura.errors import OperationFailed
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE
from tests.support.link import Link, link
from tests.tls.world import TLS12, asking_context, client_context, identity, server_context

HEADER = 5


def records(data: bytes) -> list[int]:
    """The content types of the records in `data`, which is whole records."""
    found, pos = [], 0
    while pos < len(data):
        found.append(data[pos])
        pos += HEADER + int.from_bytes(data[pos + 3 : pos + HEADER], "big")
    assert pos == len(data)
    return found


def about_to_sign(engine: DelayEngine, **settings: object) -> Link:
    """A server that has the client's hello and no signature yet."""
    server = server_context(engine=engine, async_mode=True, **settings)
    pair = link(client_context(**settings), server).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert [work.operation for work in engine.waiting] == [Operation.SIGN]
    return pair


@pytest.mark.parametrize(
    ("settings", "flight"),
    [({}, [HANDSHAKE, CHANGE_CIPHER_SPEC, APPLICATION_DATA]), (TLS12, [HANDSHAKE])],
    ids=["TLS 1.3", "TLS 1.2"],
)
def test_server(settings: dict[str, object], flight: list[int]) -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    pair = about_to_sign(engine, **settings)
    assert pair.server.data_to_send(0.0) == b""
    engine.release()
    pair.server.advance(0.0)
    data = pair.server.data_to_send(0.0)
    assert records(data) == flight
    pair.client.receive_data(data, 0.0)
    pair.exchange()
    assert pair.client.handshake_complete
    assert pair.server.handshake_complete


def test_client() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    pair = link(client_context(identity=identity("client"), engine=engine, async_mode=True), asking_context())
    pair.start().exchange()
    assert pair.client.waiting_for_async
    assert pair.client.data_to_send(0.0) == b""
    engine.release()
    pair.client.advance(0.0)
    assert records(pair.client.data_to_send(0.0)) == [CHANGE_CIPHER_SPEC, APPLICATION_DATA]


def test_signature_that_fails() -> None:
    """The alert does not wait for the rest of the flight."""

    def lost(_: object) -> Exception:
        return RuntimeError("the token is gone")

    engine = DelayEngine(None, operations=[Operation.SIGN], fail=lost)
    pair = about_to_sign(engine, **TLS12)
    engine.release()
    pair.server.advance(0.0)
    assert isinstance(pair.server.error, OperationFailed)
    assert records(pair.server.data_to_send(0.0)) == [HANDSHAKE, ALERT]
