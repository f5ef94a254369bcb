"""ALPN, exporters, the key log, key updates, and the end of each direction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caesura.context import Context, TraceEvent
from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import HANDSHAKE_OPERATIONS, InlineEngine, Operation
from caesura.errors import (
    AlertDescription,
    NoApplicationProtocol,
    PeerAlert,
    UnexpectedEOF,
    UnexpectedMessage,
    UsageError,
)
from caesura.events import (
    CloseNotifyReceived,
    ConnectionTerminated,
    DataReceived,
    HandshakeCompleted,
    SessionReceived,
)
from caesura.tls import TLSConnection
from caesura.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE, RecordKey, record_key
from caesura.wire.messages import KeyUpdate
from caesura.wire.registries import CipherSuite, HandshakeType, KeyUpdateRequest, NamedGroup, Version
from tests.support.link import Link, drain, link, received
from tests.tls.puppet import Puppet, PuppetClient, PuppetServer, refused
from tests.tls.states import client, client_connected, server, server_connected, wait_client_hello
from tests.tls.world import client_context, identity, server_context

Connected = pytest.mark.parametrize("state", [client_connected, server_connected], ids=lambda state: state.__name__)
CLOSE_NOTIFY = (ALERT, bytes((1, AlertDescription.close_notify)))
THROUGH_ENGINE = InlineEngine(operations=HANDSHAKE_OPERATIONS | {Operation.SEAL_RECORD, Operation.OPEN_RECORD})


def connected(**both: Any) -> Link:
    return link(client_context(**both), server_context(**both)).handshake()


# --- facts and events ------------------------------------------------------------------------------------------------


def test_facts_before_and_after() -> None:
    pair = link(client_context(alpn=["h2"]), server_context(alpn=["h2"]))
    for side in (pair.client, pair.server):
        assert side.version is side.cipher_suite is side.group is side.alpn is side.identity is side.session is None
        assert side.peer_certificates == ()
        assert not side.session_reused
        assert not side.handshake_complete
        assert not side.waiting_for_async
        assert side.timeout() is None
    pair.handshake()
    for side in (pair.client, pair.server):
        assert side.version is Version.TLS13
        assert side.cipher_suite is CipherSuite.TLS_AES_128_GCM_SHA256
        assert side.group is NamedGroup.x25519
        assert (side.alpn, side.server_hostname) == ("h2", "localhost")
    assert pair.client.peer_certificates == pair.server.identity.chain == identity().chain  # type: ignore[union-attr]
    assert pair.server.peer_certificates == ()
    pair.client.close()
    assert pair.client.alpn == "h2"  # facts outlive the connection
    assert pair.client.closed


def test_events_in_their_order() -> None:
    """What precedes the data comes before it, the end comes last, and once."""
    pair = link(client_context(), server_context()).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    pair.client.write(b"one")
    pair.client.write(b"two")
    pair.client.shutdown()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert drain(pair.server) == [HandshakeCompleted(), DataReceived(b"onetwo"), CloseNotifyReceived()]
    pair.server.write(b"three")
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    kinds = [type(event) for event in drain(pair.client)]
    assert kinds == [HandshakeCompleted, SessionReceived, SessionReceived, DataReceived]
    pair.client.receive_eof(0.0)
    (last,) = drain(pair.client)
    assert isinstance(last, ConnectionTerminated)
    assert isinstance(last.error, UnexpectedEOF)
    assert drain(pair.client) == drain(pair.server) == []


def test_trace_tells_every_message_alert_and_operation() -> None:
    events: list[TraceEvent] = []
    pair = link(client_context(trace=events.append), server_context(trace=events.append)).handshake()
    pair.client.key_update()
    pair.client.shutdown()
    pair.exchange()
    told = [(event.server_side, event.kind, event.name) for event in events]
    for name in ("server_hello", "encrypted_extensions", "certificate", "certificate_verify", "finished"):
        assert (True, "sent", name) in told
        assert (False, "received", name) in told
    assert (
        told.count((True, "sent", "new_session_ticket")) == told.count((False, "received", "new_session_ticket")) == 2
    )
    assert told.count((False, "sent", "key_update")) == told.count((True, "received", "key_update")) == 1
    assert (False, "alert sent", "close_notify") in told
    assert (True, "alert received", "close_notify") in told
    assert told.index((True, "started", "SIGN")) < told.index((True, "finished", "SIGN"))
    assert {event.time for event in events} == {1000.0}
    sizes = {event.size for event in events if event.name == "client_hello"}
    assert len(sizes) == 1


# --- ALPN (RFC 7301) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (["h2"], ["h2"], "h2"),
        (["http/1.1", "h2"], ["h2", "http/1.1"], "h2"),  # the server's preference
        (["h2", b"\xfe\xff"], [b"\xfe\xff"], "\xfe\xff"),
        (["h2"], [], None),
        ([], ["h2"], None),
        ([], [], None),
    ],
)
def test_alpn(ours: list[Any], theirs: list[Any], chosen: str | None) -> None:
    pair = link(client_context(alpn=ours), server_context(alpn=theirs)).handshake()
    assert pair.client.alpn == pair.server.alpn == chosen


def test_no_protocol_in_common() -> None:
    pair = link(client_context(alpn=["h2"]), server_context(alpn=["h3"])).start()
    pair.exchange()
    assert isinstance(pair.server.error, NoApplicationProtocol)
    assert isinstance(pair.client.error, PeerAlert)
    assert pair.client.error.description is AlertDescription.no_application_protocol


# --- exporters (RFC 9846 section 7.5) --------------------------------------------------------------------------------


def test_exporters_agree_and_differ() -> None:
    pair = connected()
    asked = [
        ("EXPORTER-a", b"", 32),
        ("EXPORTER-b", b"", 32),
        ("EXPORTER-a", b"context", 32),
        ("EXPORTER-a", b"context 2", 32),
        ("EXPORTER-a", b"", 48),
        ("EXPORTER-a", b"", 1),
        ("EXPORTER-a", bytes(70_000), 32),
    ]
    exported = [pair.client.export_keying_material(*each) for each in asked]
    assert exported == [pair.server.export_keying_material(*each) for each in asked]
    assert [len(each) for each in exported] == [length for _, _, length in asked]
    assert len(set(exported)) == len(asked)
    assert not exported[4].startswith(exported[0])  # the length is part of what is derived
    assert pair.client.export_keying_material(b"EXPORTER-a", None, 32) == exported[0]


def test_exporters_of_two_connections_differ() -> None:
    first, second = connected(), connected()
    assert first.client.export_keying_material("x", b"", 32) != second.client.export_keying_material("x", b"", 32)


def test_exporter_outlives_key_updates() -> None:
    pair = connected()
    before = pair.client.export_keying_material("x", b"", 32)
    pair.client.key_update(request_peer=True)
    pair.exchange()
    assert pair.client.export_keying_material("x", b"", 32) == before


@pytest.mark.parametrize(
    ("label", "length"), [("", 32), ("x" * 250, 32), ("x", 2**16), ("x", 255 * 32 + 1), ("x", -1), ("\xe4", 32)]
)
def test_exports_that_cannot_be(label: str, length: int) -> None:
    with pytest.raises(UsageError, match="export_keying_material"):
        connected().client.export_keying_material(label, b"", length)


def test_exporter_is_there_with_the_handshake() -> None:
    connection = client()
    with pytest.raises(UsageError, match="not complete"):
        connection.export_keying_material("x", b"", 32)
    pair = connected()
    pair.client.close()
    with pytest.raises(UsageError):
        pair.client.export_keying_material("x", b"", 32)


# --- key log ---------------------------------------------------------------------------------------------------------

LABELS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
}


@pytest.mark.parametrize("suite", [CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite.TLS_AES_256_GCM_SHA384])
@pytest.mark.parametrize("groups", [["x25519"], ["secp256r1"]], ids=["full", "retried"])
def test_key_log_of_both_sides_agrees(groups: list[str], suite: CipherSuite) -> None:
    logs: tuple[list[str], list[str]] = [], []
    ours = client_context(keylog=logs[0].append, cipher_suites=[suite])
    pair = link(ours, server_context(keylog=logs[1].append, groups=groups)).handshake()
    assert sorted(logs[0]) == sorted(logs[1])
    randoms = set()
    for line in logs[0]:
        label, random, secret = line.split(" ")
        assert label in LABELS
        randoms.add(random)
        assert len(bytes.fromhex(secret)) == (48 if "384" in suite.name else 32)
    assert len(logs[0]) == len(LABELS)
    (random,) = randoms
    assert len(bytes.fromhex(random)) == 32
    assert pair.client.cipher_suite is suite


def test_key_log_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    link(client_context(keylog=path), server_context(keylog=str(path))).handshake()
    lines = path.read_text().splitlines()
    assert len(lines) == 2 * len(LABELS)
    assert {line.split()[0] for line in lines} == LABELS


def test_key_log_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    context = Context.client(trust=client_context().settings.trust)
    assert context.keylog is not None
    context.keylog("a line")
    assert path.read_text() == "a line\n"
    assert Context.client(keylog=None).keylog is None
    monkeypatch.setenv("SSLKEYLOGFILE", "")
    assert Context.client().keylog is None


# --- KeyUpdate (RFC 9846 section 4.7.3) ------------------------------------------------------------------------------


@pytest.mark.parametrize("request_peer", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_key_update_both_ways(times: int, request_peer: bool) -> None:
    pair = connected()
    for number in range(times):
        for side in (pair.client, pair.server):
            side.key_update(request_peer=request_peer)
            side.write(b"%d" % number)
            pair.exchange()
    assert received(pair.server_events) == received(pair.client_events) == b"01234"[:times]
    assert pair.client.error is pair.server.error is None


def messages(puppet: Puppet) -> list[bytes]:
    """Pull, following the connection's changes of keys; the KeyUpdates among what came."""
    found = []
    data = puppet.connection.data_to_send(puppet.now)
    while data:
        stop = 5 + int.from_bytes(data[3:5], "big")
        assert puppet.read_key is not None
        inner = puppet.read_key.open_untrusted(data[:5], data[5:stop])
        data = data[stop:]
        assert inner is not None
        content_type, content = inner[-1], inner[:-1]
        if content_type == HANDSHAKE and content[0] == HandshakeType.key_update:
            found.append(content)
            puppet.read_key = puppet.read_key.next_generation()
    return found


REQUESTED = KeyUpdate(KeyUpdateRequest.update_requested).encode()
NOT_REQUESTED = KeyUpdate(KeyUpdateRequest.update_not_requested).encode()


def update(puppet: Puppet, request: KeyUpdateRequest) -> None:
    puppet.say(KeyUpdate(request))
    assert puppet.write_key is not None
    puppet.write_key = puppet.write_key.next_generation()


@Connected
def test_requests_are_answered_before_the_next_data_and_once(state: Callable[[], Puppet]) -> None:
    """ "an implementation which receives multiple KeyUpdates while it is silent to respond with a single update" """
    puppet = state()
    for _ in range(5):
        update(puppet, KeyUpdateRequest.update_requested)
    assert messages(puppet) == []
    puppet.connection.write(b"data")
    assert messages(puppet) == [NOT_REQUESTED]
    puppet.connection.write(b"data")
    assert messages(puppet) == []
    puppet.send(APPLICATION_DATA, b"under the sixth key")
    assert puppet.connection.read() == b"under the sixth key"


@Connected
def test_updates_that_ask_for_nothing_are_not_answered(state: Callable[[], Puppet]) -> None:
    puppet = state()
    update(puppet, KeyUpdateRequest.update_not_requested)
    puppet.connection.write(b"data")
    assert messages(puppet) == []


@Connected
def test_one_request_at_a_time(state: Callable[[], Puppet]) -> None:
    """RFC 9846 section 4.7.3: until the peer has updated, no second one with update_requested."""
    puppet = state()
    for _ in range(3):
        puppet.connection.key_update(request_peer=True)
    asked = messages(puppet)
    assert asked[0] == REQUESTED
    assert REQUESTED not in asked[1:]
    update(puppet, KeyUpdateRequest.update_not_requested)
    puppet.connection.key_update(request_peer=True)
    assert messages(puppet) == [REQUESTED]


@Connected
def test_old_keys_are_gone(state: Callable[[], Puppet]) -> None:
    puppet = state()
    before = puppet.write_key
    update(puppet, KeyUpdateRequest.update_not_requested)
    puppet.write_key = before
    puppet.send(APPLICATION_DATA, b"under the old key")
    refused(puppet, type(puppet.connection.error))  # type: ignore[arg-type]
    assert puppet.connection.error is not None
    assert puppet.connection.error.code == "TLS_BAD_RECORD_MAC"


@Connected
def test_new_keys_need_the_message(state: Callable[[], Puppet]) -> None:
    """ "both sides MUST enforce that a KeyUpdate with the old key is received before accepting" the new one."""
    puppet = state()
    assert puppet.write_key is not None
    puppet.write_key = puppet.write_key.next_generation()
    puppet.send(APPLICATION_DATA, b"under the new key")
    assert puppet.connection.error is not None
    assert puppet.connection.error.code == "TLS_BAD_RECORD_MAC"


@pytest.mark.parametrize("engine", [None, THROUGH_ENGINE], ids=["inline", "through an engine"])
@pytest.mark.parametrize("together", [False, True], ids=["write by write", "in one write"])
def test_update_by_itself_before_the_limit(
    together: bool, engine: InlineEngine | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9846 section 5.5: a MUST. The KeyUpdate itself is the last record under the old key."""
    pair = connected(**({} if engine is None else {"engine": engine}))
    seen: list[TraceEvent] = []
    pair.server._performer.trace = lambda kind, name, size: seen.append(TraceEvent(0, True, kind, name, size))
    limit = 5
    pair.client._writer._key.limit = limit  # type: ignore[union-attr]
    sealed: dict[RecordKey, int] = {}
    seal, seal_data = RecordKey.seal, RecordKey.seal_data

    def counting_data(key: RecordKey, data: bytes) -> bytes | None:
        record = seal_data(key, data)
        sealed[key] = sealed.get(key, 0) + (record is not None)
        return record

    def counting(key: RecordKey, content_type: int, content: bytes) -> bytes:
        sealed[key] = sealed.get(key, 0) + 1
        return seal(key, content_type, content)

    monkeypatch.setattr(RecordKey, "seal", counting)
    monkeypatch.setattr(RecordKey, "seal_data", counting_data)
    for data in [bytes(2**14) * 12] if together else [bytes(2**14)] * 12:
        pair.client.write(data)
    pair.exchange()
    assert received(pair.server_events) == bytes(2**14) * 12
    assert [event.name for event in seen if event.name == "key_update"] == ["key_update"]
    assert next(iter(sealed.values())) == limit + 1
    assert sum(sealed.values()) == 13


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_limit_of_a_key_leaves_room_for_the_update(suite: Suite) -> None:
    key = record_key(TrafficSecret(bytes(suite.hash.digest_size), suite), b"tls13 ")
    assert key.limit + 1 <= suite.aead.confidentiality_limit
    assert key.limit + 1 <= 2**64 - 1
    assert key.next_generation().limit == key.limit


def test_update_by_itself_again_and_again() -> None:
    """Every generation has the limit of its algorithm."""
    pair = connected()
    for _ in range(10):
        pair.client._writer._key.limit = 3  # type: ignore[union-attr]
        for _ in range(4):
            pair.client.write(b"x")
        pair.exchange()
    assert received(pair.server_events) == b"x" * 40
    assert pair.server.error is None


@pytest.mark.parametrize("when", ["before", "shut down", "closed", "failed"])
def test_key_update_at_the_wrong_time(when: str) -> None:
    pair = link(client_context(), server_context())
    kind: type[Exception] = UsageError
    if when != "before":
        pair.handshake()
    if when == "shut down":
        pair.client.shutdown()
    elif when == "closed":
        pair.client.close()
    elif when == "failed":
        pair.client.receive_eof(0.0)
        kind = UnexpectedEOF
    with pytest.raises(kind):
        pair.client.key_update()
    with pytest.raises(kind):
        pair.client.write(b"data")


def test_key_updates_cross() -> None:
    """RFC 9846 section 4.7.3: each side increments by two generations."""
    pair = connected()
    for _ in range(3):
        pair.client.key_update(request_peer=True)
        pair.server.key_update(request_peer=True)
        ours, theirs = pair.client.data_to_send(0.0), pair.server.data_to_send(0.0)
        pair.client.receive_data(theirs, 0.0)
        pair.server.receive_data(ours, 0.0)
        pair.client.write(b"c")
        pair.server.write(b"s")
        pair.exchange()
    assert received(pair.server_events) == b"ccc"
    assert received(pair.client_events) == b"sss"


# --- the end of each direction (RFC 9846 section 6.1) ----------------------------------------------------------------


def test_each_direction_ends_on_its_own() -> None:
    pair = connected()
    pair.client.write(b"the last")
    pair.client.shutdown()
    pair.exchange()
    assert received(pair.server_events) == b"the last"
    assert pair.server.close_notify_received
    assert not pair.server.close_notify_sent
    assert pair.client.wants_data
    assert not pair.server.wants_data
    for _ in range(3):
        pair.server.write(b"still ")
        pair.exchange()
    assert received(pair.client_events) == b"still still still "
    pair.server.shutdown()
    pair.exchange()
    assert pair.client.close_notify_received
    assert isinstance(pair.client_events[-1], CloseNotifyReceived)
    assert isinstance(pair.server_events[-1], CloseNotifyReceived)
    for side in (pair.client, pair.server):
        side.receive_eof(0.0)
        assert side.error is None


def test_shutdown_is_sent_once() -> None:
    pair = connected()
    pair.client.shutdown()
    pair.client.shutdown()
    wire = pair.client.data_to_send(0.0)
    assert len(wire) == 5 + 2 + 1 + 16
    pair.client.shutdown()
    assert pair.client.data_to_send(0.0) == b""
    with pytest.raises(UsageError, match="shutdown"):
        pair.client.write(b"data")


@Connected
def test_what_follows_close_notify_is_ignored(state: Callable[[], Puppet]) -> None:
    """ "Any data received after a closure alert has been received MUST be ignored." """
    puppet = state()
    drain(puppet.connection)
    behind = puppet.record(*CLOSE_NOTIFY) + puppet.record(APPLICATION_DATA, b"ignored")
    puppet.feed(behind + b"garbage")
    puppet.feed(b"more garbage")
    assert puppet.connection.error is None
    assert drain(puppet.connection) == [CloseNotifyReceived()]
    assert puppet.connection.read() == b""


@Connected
def test_data_and_close_notify_at_once(state: Callable[[], Puppet]) -> None:
    puppet = state()
    drain(puppet.connection)
    puppet.feed(puppet.record(APPLICATION_DATA, b"the last") + puppet.record(*CLOSE_NOTIFY))
    assert drain(puppet.connection) == [DataReceived(b"the last"), CloseNotifyReceived()]


@Connected
def test_truncation_after_our_own_end(state: Callable[[], Puppet]) -> None:
    """That we have closed does not make the peer's end any safer."""
    puppet = state()
    puppet.connection.shutdown()
    puppet.pull()
    puppet.send(APPLICATION_DATA, b"some")
    puppet.connection.receive_eof(puppet.now)
    assert isinstance(puppet.connection.error, UnexpectedEOF)
    assert puppet.connection.read() == b"some"
    assert puppet.connection.data_to_send(puppet.now) == b""


@Connected
def test_no_alert_after_close_notify(state: Callable[[], Puppet]) -> None:
    """Nothing more is sent on this connection, not even that something was wrong."""
    puppet = state()
    puppet.connection.shutdown()
    assert puppet.pull() == [CLOSE_NOTIFY]
    puppet.send(HANDSHAKE, b"")
    assert isinstance(puppet.connection.error, UnexpectedMessage)
    assert puppet.connection.data_to_send(puppet.now) == b""


@Connected
def test_no_answer_to_a_key_update_after_close_notify(state: Callable[[], Puppet]) -> None:
    puppet = state()
    puppet.connection.shutdown()
    assert puppet.pull() == [CLOSE_NOTIFY]
    update(puppet, KeyUpdateRequest.update_requested)
    puppet.send(APPLICATION_DATA, b"data")
    assert puppet.connection.read() == b"data"
    assert puppet.pull() == []


def test_shutdown_is_for_connections_that_are_made() -> None:
    """Before, there is nothing to end in order; `close` gives up."""
    for connection in (client(), server()):
        connection.advance(0.0)
        with pytest.raises(UsageError, match="shutdown"):
            connection.shutdown()
    puppet = wait_client_hello().start()
    with pytest.raises(UsageError, match="shutdown"):
        puppet.connection.shutdown()
    puppet.finish()
    puppet.connection.shutdown()
    assert puppet.pull() == [CLOSE_NOTIFY]


def test_user_canceled_and_close_notify() -> None:
    puppet = PuppetServer(client(), identity()).greet()
    puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    puppet.send(*CLOSE_NOTIFY)
    error = refused(puppet, PeerAlert)
    assert isinstance(error, PeerAlert)
    assert error.description is AlertDescription.close_notify


def test_eof_after_close_notify_is_no_error() -> None:
    puppet = client_connected()
    puppet.send(*CLOSE_NOTIFY)
    puppet.connection.receive_eof(puppet.now)
    puppet.connection.receive_eof(puppet.now)
    assert puppet.connection.error is None


def test_eof_in_the_middle_of_a_record() -> None:
    puppet = client_connected()
    drain(puppet.connection)
    puppet.feed(puppet.record(APPLICATION_DATA, b"whole") + puppet.record(APPLICATION_DATA, b"half")[:-1])
    puppet.connection.receive_eof(puppet.now)
    assert isinstance(puppet.connection.error, UnexpectedEOF)
    assert received(drain(puppet.connection)) == b"whole"


def test_use_from_within_a_callback() -> None:
    """Calling the connection from a callback of its own is refused; closing it takes effect afterwards."""
    caught: list[BaseException] = []
    holder: list[TLSConnection] = []

    def reenter(_: Any) -> None:
        try:
            holder[0].advance(0.0)
        except UsageError as error:
            caught.append(error)
        holder[0].close()
        assert not holder[0].closed

    context = server_context(select_identity=reenter)
    puppet = PuppetClient(server(context))
    holder.append(puppet.connection)
    puppet.say(puppet.hello())
    assert len(caught) == 1
    assert puppet.connection.closed
    assert puppet.connection.data_to_send(0.0) == b""
    assert puppet.connection.error is None


def test_only_bytes_are_written() -> None:
    """`bytes(5)` would be five zeros."""
    pair = connected()
    with pytest.raises(TypeError):
        pair.client.write(5)  # type: ignore[arg-type]
    pair.client.write(memoryview(b"abc"))
    pair.client.write(bytearray(b"def"))
    pair.exchange()
    assert received(pair.server_events) == b"abcdef"
