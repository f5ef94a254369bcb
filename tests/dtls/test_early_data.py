"""Early data over datagrams: taken once, lost without harm, refused for a reason, and never trusted (RFC 9147 6.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caesura.context import Context, Limits, TrustStore
from caesura.dtls import DTLSConnection, DTLSListener
from caesura.dtls.records13 import WriteKey
from caesura.engines import Operation
from caesura.errors import ProtocolVersionAlert, UnexpectedMessage
from caesura.errors import UsageError as Usage
from caesura.events import DataReceived, EarlyDataReason, EarlyDataReceived, EarlyDataStatus
from caesura.handshake.transport import Epoch
from caesura.sessions import Session
from caesura.wire.registries import ContentType
from tests.dtls.world import DTLS12, EITHER, client_context, server_context
from tests.support.datagram_link import (
    CLIENT,
    SERVER,
    ByHand,
    DatagramLink,
    Lossy,
    Network,
    VirtualEngine,
    received,
)


class World:
    """A client that has tickets of a server that takes early data."""

    def __init__(self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.client = client_context(**(client or {}))
        self.server = server_context(**{"max_early_data": 1000, **(server or {})})
        first = self.link(early=None).handshake()
        assert first.client.early_data_status is EarlyDataStatus.NOT_SENT
        assert first.client.session is not None
        self.session: Session = first.client.session

    def link(
        self,
        *,
        early: bytes | bool | None = True,
        taking: bool | None = None,
        network: Network | None = None,
        server: Context | None = None,
        listener: bool = False,
    ) -> DatagramLink:
        theirs = server or self.server
        return DatagramLink(
            DTLSConnection(self.client, server_side=False, server_hostname="localhost", addr=SERVER, early_data=early),
            DTLSListener(theirs)
            if listener
            else DTLSConnection(theirs, server_side=True, addr=CLIENT, early_data=taking),
            network,
        )

    def begun(self, *datagrams: bytes, **options: Any) -> DatagramLink:
        """A link whose client has sent its hello, and these behind it."""
        link = self.link(**options)
        link.start()
        for each in datagrams:
            assert link.client.write_early_data(each) == len(each)
        return link


def early(link: DatagramLink) -> list[bytes]:
    """The early data that the server has heard of."""
    return [event.data for event in link.server_events if isinstance(event, EarlyDataReceived)]


def finish(link: DatagramLink) -> DatagramLink:
    """The handshake is completed, and both sides talk."""
    link.run()
    assert link.client.error is link.server.error is None
    assert link.client.handshake_complete
    assert link.server.handshake_complete
    assert link.client.timeout() is link.server.timeout() is None
    link.client.write(b"there")
    link.server.write(b"and back")
    link.run()
    assert received(link.server_events)[-1] == b"there"
    assert received(link.client_events)[-1] == b"and back"
    return link


# --- that it works ---------------------------------------------------------------------------------------------------


def test_datagrams_with_the_first_flight() -> None:
    link = World().begun(b"one", b"two")
    assert link.client.early_data_status is EarlyDataStatus.PENDING
    link.wait(0.015)
    assert early(link) == [b"one", b"two"]
    assert not link.server.handshake_complete
    finish(link)
    for side in (link.client, link.server):
        assert side.early_data_status is EarlyDataStatus.ACCEPTED
        assert side.early_data_reason is EarlyDataReason.ACCEPT
        assert side.early_data_ended
        assert side.session_reused
    assert received(link.server_events) == [b"there"]


def test_one_datagram_may_be_given_at_the_beginning() -> None:
    link = World().link(early=b"at once").start()
    assert len(link.sent) == 2
    assert early(finish(link)) == [b"at once"]


def test_a_server_may_take_it_as_ordinary_data() -> None:
    link = World().begun(b"one", taking=True)
    link.wait(0.015)
    assert link.server_events == [DataReceived(b"one")]
    finish(link)
    assert early(link) == []


def test_what_waits_is_read_datagram_by_datagram() -> None:
    world = World()
    link = world.link()
    link.client.advance(0.0)
    out = link.client.datagrams_to_send(0.0)
    for each in (b"one", b"twofold"):
        link.client.write_early_data(each)
    for datagram, _ in [*out, *link.client.datagrams_to_send(0.0)]:
        link.server.receive_datagram(datagram, CLIENT, 0.0)
    assert [link.server.read_early_data(each) for each in (-1, 3, -1, -1)] == [b"one", b"two", b"fold", b""]


def test_with_connection_ids() -> None:
    """Early data has none yet."""
    options = {"dtls": {"connection_id": 8}}
    assert early(finish(World(options, options).begun(b"one"))) == [b"one"]


def test_with_either_version_on_offer() -> None:
    assert early(finish(World(EITHER, EITHER).begun(b"one"))) == [b"one"]


@pytest.mark.parametrize("operation", [Operation.KEY_EXCHANGE, Operation.OPEN_TICKET, Operation.CHECK_REPLAY])
def test_while_the_server_is_paused(operation: Operation) -> None:
    """What has come before its keys are there is kept, and what comes when they are is read."""
    world = World()
    engine = VirtualEngine(1.0, [operation])
    world.server.engine, world.server.async_mode = engine, True
    link = engine.link = world.link()
    link.start()
    link.client.write_early_data(b"one")
    link.wait(0.5)
    link.client.write_early_data(b"two")
    assert early(finish(link)) == [b"one", b"two"]


# --- with what networks do -------------------------------------------------------------------------------------------


ACTS: dict[str, Callable[[bytes], list[tuple[float, bytes]]]] = {
    "lost": lambda _: [],
    "doubled": lambda datagram: [(0.01, datagram), (0.02, datagram)],
    "late": lambda datagram: [(0.015, datagram)],
    "too late": lambda datagram: [(100.0, datagram)],
}


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("act", ACTS)
def test_any_datagram_misled(act: str, number: int) -> None:
    link = finish(World().begun(b"one", b"two", network=ByHand(acts={number: ACTS[act]})))
    found = early(link)
    assert len(found) == len(set(found))
    assert set(found) <= {b"one", b"two"}
    if act in ("doubled", "late") and number != 0:
        assert set(found) == {b"one", b"two"}
    assert link.client.early_data_status is EarlyDataStatus.ACCEPTED


def test_early_data_before_the_hello() -> None:
    """It is kept until the hello has brought its keys, within `limits.early_bytes`."""
    link = World().begun(b"one", network=ByHand(acts={0: lambda datagram: [(0.1, datagram)]}))
    assert early(finish(link)) == [b"one"]


@pytest.mark.parametrize("seed", range(40))
def test_lossy_links(seed: int) -> None:
    link = World().begun(*[bytes((number,)) * 50 for number in range(10)], network=Lossy(seed=seed))
    finish_lossy(link)
    assert len(early(link)) == len(set(early(link)))
    assert link.client.early_data_status is EarlyDataStatus.ACCEPTED


def finish_lossy(link: DatagramLink) -> None:
    link.run()
    assert link.client.error is link.server.error is None
    assert link.client.handshake_complete
    assert link.server.handshake_complete


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_early_data": 0}, EarlyDataReason.PEER_DECLINED),
        ({"max_early_data": 500}, EarlyDataReason.PEER_DECLINED),
        ({"groups": ["secp256r1"]}, EarlyDataReason.HELLO_RETRY_REQUEST),
        ({"trust": TrustStore.empty(), "verify_peer": lambda _: True}, EarlyDataReason.SESSION_NOT_RESUMED),
    ],
)
def test_what_a_server_refuses_is_gone(changes: dict[str, Any], reason: EarlyDataReason) -> None:
    world = World()
    for name, value in changes.items():
        setattr(world.server, name, value)
    link = finish(world.begun(b"one", b"two"))
    assert early(link) == []
    assert received(link.server_events) == [b"there"]
    assert link.client.early_data_status is EarlyDataStatus.REJECTED
    assert link.client.early_data_reason is reason
    assert link.client.write_early_data(b"more") == 0


@pytest.mark.parametrize("most", [0, 500])
@pytest.mark.parametrize("hello_first", [True, False])
def test_what_is_refused_takes_no_room(most: int, hello_first: bool) -> None:
    world = World()
    world.server.max_early_data = most
    late = ByHand(acts={0: lambda datagram: [(0.01 if hello_first else 0.1, datagram)]})
    link = world.begun(bytes(300), bytes(300), network=late)
    link.wait(0.105)
    assert link.server.early_data_reason is not EarlyDataReason.UNKNOWN
    assert not link.server._reader.early


def test_a_server_that_is_told_to_takes_none() -> None:
    link = finish(World().begun(b"one", taking=False))
    assert early(link) == []
    assert link.server.early_data_reason is EarlyDataReason.DISABLED


def test_whoever_asks_for_a_cookie_takes_none() -> None:
    """The hello that it comes with is asked for again (RFC 9147 section 5.1)."""
    link = World().begun(b"one", listener=True)
    finish(link)
    assert early(link) == []
    assert link.client.early_data_status is EarlyDataStatus.REJECTED
    assert link.client.early_data_reason is EarlyDataReason.HELLO_RETRY_REQUEST


def test_a_listener_without_cookies_takes_it() -> None:
    link = World(server={"dtls": {"cookies": False}}).begun(b"one", listener=True)
    assert early(finish(link)) == [b"one"]


def test_a_copy_is_not_taken_twice() -> None:
    world = World()
    link = finish(world.begun(b"one"))
    again = DTLSConnection(world.server, server_side=True, addr=CLIENT)
    for each in link.sent:
        if each.by_client:
            again.receive_datagram(each.data, CLIENT, link.now)
    assert again.early_data_reason is EarlyDataReason.REPLAY
    assert again.read_early_data() == b""
    assert not again.handshake_complete


def test_a_copy_proves_no_address() -> None:
    """Whoever sends a first flight again from somewhere else: no more than three times as much goes there."""
    world = World(server={"dtls": {"cookies": False}})
    link = world.link()
    link.client.advance(0.0)
    flight = [datagram for datagram, _ in link.client.datagrams_to_send(0.0)]
    link.client.write_early_data(b"one")
    flight += [datagram for datagram, _ in link.client.datagrams_to_send(0.0)]
    server = DTLSConnection(world.server, server_side=True, addr=CLIENT, address_validated=False)
    for datagram in flight:
        server.receive_datagram(datagram, CLIENT, 0.0)
    assert server.read_early_data() == b"one"
    assert not server._address.validated
    said, now = 0, 0.0
    for _ in range(8):
        said += sum(len(datagram) for datagram, _ in server.datagrams_to_send(now))
        now = server.timeout() or now
        server.handle_timeout(now)
    assert said <= 3 * sum(map(len, flight))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"early": None}, EarlyDataReason.DISABLED),
        ({"early": bytes(1001)}, EarlyDataReason.LIMIT),
    ],
)
def test_what_a_client_does_not_send(options: dict[str, Any], reason: EarlyDataReason) -> None:
    link = finish(World().link(**options).start())
    assert link.client.early_data_status is EarlyDataStatus.NOT_SENT
    assert link.client.early_data_reason is reason
    assert early(link) == []


def test_without_a_session_there_is_none() -> None:
    world = World()
    world.client.sessions = None
    link = world.link().start()
    assert link.client.write_early_data(b"one") == 0
    assert link.client.early_data_reason is EarlyDataReason.NO_SESSION_OFFERED
    finish(link)


def test_a_server_of_dtls12_ends_it() -> None:
    """Whoever offers early data is not led to an older version (RFC 9846 appendix E.3)."""
    world = World(EITHER, EITHER)
    link = world.begun(b"one", server=server_context(**DTLS12))
    link.run(seconds=5)
    assert isinstance(link.client.error, ProtocolVersionAlert)


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_no_more_than_the_ticket_allows() -> None:
    link = World().begun(bytes(600))
    assert link.client.write_early_data(bytes(401)) == 0
    assert link.client.write_early_data(bytes(400)) == 400
    assert link.client.write_early_data(b"x") == 0
    assert [len(each) for each in early(finish(link))] == [600, 400]


def test_a_client_that_sends_more_than_the_ticket_allows() -> None:
    link = World().begun(bytes(600))
    link.client._early._left = 1000
    link.client.write_early_data(bytes(600))
    link.run(seconds=1)
    assert isinstance(link.server.error, UnexpectedMessage)


def test_no_more_datagrams_wait_than_may() -> None:
    world = World(server={"limits": Limits(received_datagrams=3)})
    link = world.link()
    link.client.advance(0.0)
    out = link.client.datagrams_to_send(0.0)
    for number in range(10):
        link.client.write_early_data(bytes((number,)))
    for datagram, _ in [*out, *link.client.datagrams_to_send(0.0)]:
        link.server.receive_datagram(datagram, CLIENT, 0.0)
    assert [link.server.read_early_data() for _ in range(4)] == [b"\x00", b"\x01", b"\x02", b""]


def test_a_datagram_that_does_not_fit() -> None:
    world = World(server={"max_early_data": 100_000})
    link = world.begun()
    with pytest.raises(Usage, match="1378 fit"):
        link.client.write_early_data(bytes(1379))
    assert link.client.write_early_data(bytes(1378)) == 1378
    assert link.client._early._left == 100_000 - 1378
    with pytest.raises(Usage, match="1379 bytes"):
        world.link(early=bytes(1379))
    assert len(world.link(early=bytes(1378)).start().sent) == 2


@pytest.mark.parametrize("content_type", [ContentType.handshake, ContentType.ack, ContentType.alert])
def test_nothing_else_comes_in_its_epoch(content_type: ContentType) -> None:
    link = World().begun()
    key = link.client._writer.early
    assert isinstance(key, WriteKey)
    link.client._writer.out.append(key.seal(content_type, bytes(20)))
    link.run(seconds=1)
    assert isinstance(link.server.error, UnexpectedMessage)


def test_its_keys_are_dropped_when_the_handshake_is_complete() -> None:
    link = World().begun(b"one")
    key = link.client._writer.early
    assert isinstance(key, WriteKey)
    finish(link)
    assert link.client._writer.early is None
    before = len(link.server_events)
    link.deliver(key.seal(ContentType.application_data, b"late"), to_server=True)
    assert len(link.server_events) == before
    assert link.server.error is None
    assert Epoch.EARLY_DATA not in link.server._reader.epochs._epochs
    assert not link.server._reader.early


def test_who_may_do_what() -> None:
    world = World()
    link = world.link()
    with pytest.raises(Usage, match="a server sends none"):
        link.server.write_early_data(b"x")
    with pytest.raises(Usage, match="a server receives it"):
        DTLSConnection(world.server, server_side=True, early_data=b"x")
    assert link.client.write_early_data(b"x") == 0  # not begun yet
