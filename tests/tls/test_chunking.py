"""Any chunking gives the same: whole flights, single bytes, many messages in a record, messages across records."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.context import Context, Verify
from caesura.tls.records import APPLICATION_DATA
from tests.support.link import Link, drain, link, received
from tests.tls.puppet import PuppetClient, PuppetServer
from tests.tls.reframing import Cut, ReframedLink
from tests.tls.states import client, server
from tests.tls.world import asking_context, client_context, identity, server_context

Contexts = Callable[[], tuple[Context, Context]]


def plain() -> tuple[Context, Context]:
    return client_context(), server_context()


def retrying() -> tuple[Context, Context]:
    return client_context(), server_context(groups=["secp256r1"])


def resuming() -> tuple[Context, Context]:
    contexts = plain()
    link(*contexts).handshake()
    return contexts


def retrying_and_resuming() -> tuple[Context, Context]:
    contexts = retrying()
    link(*contexts).handshake()
    return contexts


def authenticating() -> tuple[Context, Context]:
    return client_context(identity=identity("rsa")), asking_context(Verify.REQUIRED)


def other_suite() -> tuple[Context, Context]:
    return client_context(cipher_suites=["TLS_AES_256_GCM_SHA384"]), server_context(identity=identity("rsa"))


FLAVOURS = pytest.mark.parametrize(
    "contexts",
    [plain, retrying, resuming, retrying_and_resuming, authenticating, other_suite],
    ids=lambda contexts: contexts.__name__,
)


def pieces_of(size: int) -> Cut:
    return lambda data: (data[start : start + size] for start in range(0, len(data), size))


def message_by_message(data: bytes) -> Iterable[bytes]:
    while data:
        stop = 4 + int.from_bytes(data[1:4], "big")
        yield data[:stop]
        data = data[stop:]


def across_messages(data: bytes) -> Iterable[bytes]:
    """Every record ends in the middle of a message header, where there is another message."""
    cut: list[bytes] = []
    for message in message_by_message(data):
        if cut:
            cut[-1] += message[:2]
            cut.append(message[2:])
        else:
            cut.append(message)
    return cut


def at_random(seed: int) -> Cut:
    draw = random.Random(seed)

    def cut(data: bytes) -> Iterable[bytes]:
        while data:
            size = draw.choice((1, 2, 3, 5, 50, 500, 16_384))
            yield data[:size]
            data = data[size:]

    return cut


def works(pair: Link, resumed: bool | None = None) -> None:
    """Both are done and agree, and data passes both ways."""
    for side in (pair.client, pair.server):
        assert side.error is None
        assert side.handshake_complete
    assert pair.client.cipher_suite is pair.server.cipher_suite
    assert pair.client.group is pair.server.group
    assert pair.client.session_reused is pair.server.session_reused
    if resumed is not None:
        assert pair.client.session_reused is resumed
    args = ("EXPERIMENTAL", b"context", 32)
    assert pair.client.export_keying_material(*args) == pair.server.export_keying_material(*args)


def talk(pair: Link) -> None:
    pair.client.write(b"from the client" * 2000)
    pair.server.write(b"from the server" * 2000)
    pair.client.shutdown()
    pair.server.shutdown()


def heard(pair: Link) -> None:
    assert received(pair.server_events) == b"from the client" * 2000
    assert received(pair.client_events) == b"from the server" * 2000
    assert pair.client.close_notify_received
    assert pair.server.close_notify_received


@pytest.mark.parametrize("chunk", [1, 2, 5, 6, 100, 16_389, None])
@FLAVOURS
def test_chunks_of_the_transport(contexts: Contexts, chunk: int | None) -> None:
    pair = link(*contexts())
    pair.chunk = chunk
    pair.handshake()
    works(pair, "resuming" in contexts.__name__)
    talk(pair)
    pair.exchange()
    heard(pair)


@pytest.mark.parametrize(
    "cut",
    [pieces_of(1), pieces_of(3), pieces_of(2**14), message_by_message, across_messages, at_random(1), at_random(2)],
    ids=["1 byte", "3 bytes", "as few as can be", "a message each", "across messages", "random", "random again"],
)
@FLAVOURS
def test_records_cut_anew(contexts: Contexts, cut: Cut) -> None:
    wire = ReframedLink(*contexts(), cut)
    works(wire.exchange(), "resuming" in contexts.__name__)
    talk(wire.link)
    heard(wire.exchange())


@FLAVOURS
def test_records_cut_anew_and_padded_and_byte_by_byte(contexts: Contexts) -> None:
    wire = ReframedLink(*contexts(), across_messages, padding=77, chunk=1)
    works(wire.exchange(), "resuming" in contexts.__name__)
    wire.link.client.write(b"data")
    assert received(wire.exchange().server_events) == b"data"


@given(
    cuts=st.lists(st.integers(1, 3000), max_size=30),
    chunk=st.integers(1, 3000),
    flavour=st.sampled_from([plain, retrying, authenticating]),
)
@settings(max_examples=15)
def test_any_cut_and_any_chunk(cuts: list[int], chunk: int, flavour: Contexts) -> None:
    sizes = iter(cuts)

    def cut(data: bytes) -> Iterable[bytes]:
        while data:
            size = next(sizes, 4000)
            yield data[:size]
            data = data[size:]

    works(ReframedLink(*flavour(), cut, chunk=chunk).exchange())


def test_everything_after_the_first_flight_in_one_piece() -> None:
    """Finished, data and close_notify of a client at once; a server's tickets, data and close_notify at once."""
    pair = link(*plain()).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    pair.client.write(b"at once")
    pair.client.shutdown()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert pair.server.handshake_complete
    assert received(drain(pair.server)) == b"at once"
    pair.server.write(b"the same")
    pair.server.shutdown()
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    assert received(drain(pair.client)) == b"the same"
    assert pair.client.session is not None
    assert pair.client.close_notify_received


@pytest.mark.parametrize("chunk", [1, 9, None])
def test_whole_life_of_a_puppets_peer_in_chunks(chunk: int | None) -> None:
    """Seen from one side: what a puppet says reaches the connection in pieces, and the events are the same."""
    for puppet in (PuppetServer(client(), identity()), PuppetClient(server())):
        whole = puppet.feed

        def feed(data: bytes, whole: Callable[[bytes], None] = whole) -> None:
            for start in range(0, len(data), chunk or len(data) or 1):
                whole(data[start : start + (chunk or len(data))])

        puppet.feed = feed  # type: ignore[method-assign]
        if isinstance(puppet, PuppetServer):
            puppet.run()
        else:
            puppet.start().finish()
        puppet.send(APPLICATION_DATA, b"one")
        puppet.send(APPLICATION_DATA, b"two")
        assert received(drain(puppet.connection)) == b"onetwo"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    """What is handed in may be reused by its owner at once."""
    pair = link(*plain()).handshake()
    data = bytearray(b"some data")
    pair.client.write(kind(data))
    data[:] = b"XXXXXXXXX"
    wire = bytearray(pair.client.data_to_send(0.0))
    pair.server.receive_data(kind(wire), 0.0)
    wire[:] = bytes(len(wire))
    assert pair.server.read() == b"some data"
