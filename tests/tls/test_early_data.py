"""Early data (RFC 9846 sections 2.3, 4.3.10 and 8): both roles, every condition, every refusal, and every copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.context import PSK, Limits
from caesura.crypto.groups import GROUPS
from caesura.crypto.tickets import TicketKeys
from caesura.engines import DelayEngine, Operation
from caesura.errors import (
    BadRecordMAC,
    DecodeError,
    Error,
    IllegalParameter,
    OperationFailed,
    OperationTimeout,
    PeerAlert,
    ProtocolVersionAlert,
    RecordOverflow,
    UnexpectedEOF,
    UnexpectedMessage,
    UnsupportedExtension,
    UsageError,
)
from caesura.events import (
    CloseNotifyReceived,
    DataReceived,
    EarlyDataReason,
    EarlyDataReceived,
    EarlyDataRejected,
    EarlyDataStatus,
    HandshakeCompleted,
)
from caesura.jobs import Completion
from caesura.replay import ReplayCache
from caesura.sessions import Session
from caesura.tls import TLSConnection
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, RecordKey
from caesura.wire.extensions import (
    EARLY_DATA,
    EARLY_DATA_TICKET,
    KEY_SHARE_CLIENT,
    RECORD_SIZE_LIMIT,
    Extensions,
    KeyShareEntry,
)
from caesura.wire.messages import (
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    decode_message,
)
from caesura.wire.registries import CipherSuite, ExtensionType, HandshakeType, KeyUpdateRequest, NamedGroup
from tests.support.link import Link, drain, received
from tests.tls.early import MOST, PING, Acquainted, EarlyClient, EarlyServer, early, early_key, reasons, with_early_data
from tests.tls.puppet import CCS, PuppetClient, PuppetServer, refused
from tests.tls.states import client, fresh_session, server
from tests.tls.world import EITHER, TLS12, client_context, identity, server_context

ACCEPTED = (EarlyDataStatus.ACCEPTED, EarlyDataReason.ACCEPT)


def outcome(connection: Any) -> tuple[EarlyDataStatus, EarlyDataReason]:
    return connection.early_data_status, connection.early_data_reason


def records(data: bytes) -> list[int]:
    """The types of the records on the wire."""
    types = []
    while data:
        types.append(data[0])
        data = data[5 + int.from_bytes(data[3:5], "big") :]
    return types


# --- it arrives, before anything else --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "both",
    [
        {},
        {"groups": ["secp256r1"]},
        {"groups": ["X25519MLKEM768", "x25519"]},
        {"cipher_suites": ["TLS_AES_256_GCM_SHA384"]},
        {"cipher_suites": ["TLS_CHACHA20_POLY1305_SHA256"]},
        {"alpn": ["h2", "http/1.1"]},
        {"record_size_limit": 100},
        EITHER,
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 50, MOST])
def test_it_arrives_in_the_first_flight(both: dict[str, Any], size: int) -> None:
    known = Acquainted(both, both)
    data = bytes(range(256)) * 64
    pair = known.pair(data[:size])
    pair.client.advance(0.0)
    assert outcome(pair.client) == (EarlyDataStatus.PENDING, EarlyDataReason.UNKNOWN)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert early(drain(pair.server)) == data[:size]
    assert outcome(pair.server) == ACCEPTED
    assert not pair.server.handshake_complete
    assert not pair.server.early_data_ended
    pair.exchange()
    assert pair.server_events == [HandshakeCompleted()]
    assert pair.client_events[0] == HandshakeCompleted()
    assert outcome(pair.client) == outcome(pair.server) == ACCEPTED
    assert pair.server.early_data_ended
    assert pair.client.early_data_ended
    pair.client.write(b"later")
    pair.server.write(b"later, too")
    pair.exchange()
    assert received(pair.server_events) == b"later"
    assert received(pair.client_events) == b"later, too"


def test_off_by_default() -> None:
    made = Link(client(), server()).handshake()
    assert made.client.session is not None
    assert made.client.session.max_early_data == 0
    for side in (made.client, made.server):
        assert outcome(side) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.DISABLED)
    assert made.client.write_early_data(b"x") == 0
    assert made.server.read_early_data() == b""


def test_a_session_is_not_used_for_early_data_unasked() -> None:
    known = Acquainted()
    pair = known.pair(None).handshake()
    assert pair.client.session_reused
    assert outcome(pair.client) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.DISABLED)
    assert outcome(pair.server) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.PEER_DECLINED)


def test_what_stands_on_the_wire() -> None:
    """RFC 9846 figure 4; ChangeCipherSpec right behind the hello (appendix E.4), and EndOfEarlyData before Finished."""
    known = Acquainted()
    names: list[str] = []
    known.client.trace = lambda event: names.append(event.name) if event.kind == "sent" else None
    pair = known.pair()
    pair.client.advance(0.0)
    flight = pair.client.data_to_send(0.0)
    assert records(flight) == [HANDSHAKE, CHANGE_CIPHER_SPEC, APPLICATION_DATA]
    pair.server.receive_data(flight, 0.0)
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    assert records(pair.client.data_to_send(0.0)) == [APPLICATION_DATA, APPLICATION_DATA]
    assert names == ["client_hello", "end_of_early_data", "finished"]


def test_early_secret_is_logged_by_both() -> None:
    lines: list[str] = []
    known = Acquainted()
    known.client.keylog = known.server.keylog = lines.append
    known.pair().handshake()
    logged = [line for line in lines if line.startswith("CLIENT_EARLY_TRAFFIC_SECRET ")]
    assert len(logged) == 2
    assert len(set(logged)) == 1


def test_nothing_but_the_offer() -> None:
    """True: there may be early data, and there is none."""
    known = Acquainted()
    pair = known.pair(True).handshake()
    assert early(pair.server_events) == b""
    assert outcome(pair.client) == outcome(pair.server) == ACCEPTED


def test_written_as_it_comes() -> None:
    """Until the server's Finished (RFC 9846 section 4.3.11.3)."""
    known = Acquainted(most=100)
    pair = known.pair(True)
    assert pair.client.write_early_data(b"too soon") == 0
    pair.client.advance(0.0)
    assert pair.client.write_early_data(b"") == 0
    assert pair.client.write_early_data(b"one, ") == 5
    assert pair.client.write_early_data(memoryview(b"two, ")) == 5
    assert pair.client.write_early_data(bytearray(200)) == 90
    assert pair.client.write_early_data(b"more") == 0
    assert not pair.client.early_data_ended
    pair.exchange()
    assert early(pair.server_events) == b"one, two, " + bytes(90)
    assert pair.client.early_data_ended
    assert pair.client.write_early_data(b"late") == 0


def test_no_more_than_one_key_may_protect() -> None:
    """RFC 9846 section 5.5: there is no other key to change to."""
    pair = Acquainted(most=10**6).pair(True)
    pair.client.advance(0.0)
    assert pair.client._early._records > 2**20
    pair.client._early._records = 3
    assert pair.client.write_early_data(bytes(2**14 + 1)) == 2**14 + 1
    assert pair.client.write_early_data(bytes(2**15)) == 2**14
    assert pair.client.write_early_data(b"x") == 0
    assert pair.exchange().server.handshake_complete


def test_written_behind_the_servers_hello() -> None:
    name = "a name that fills a record"
    known = Acquainted({"record_size_limit": 64, "alpn": name}, {"alpn": name})
    pair = known.pair(b"before, ")
    pair.client.advance(0.0)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    flight = pair.server.data_to_send(0.0)
    pair.client.receive_data(flight[:-20], 0.0)  # all but the end of the Finished
    assert outcome(pair.client) == ACCEPTED
    assert pair.client.write_early_data(b"behind") == 6
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    pair.client.receive_data(flight[-20:], 0.0)
    assert pair.client.early_data_ended
    pair.exchange()
    assert early(pair.server_events) == b"before, behind"
    assert pair.server.handshake_complete


def test_read_in_pieces() -> None:
    known = Acquainted()
    pair = known.pair(b"abcdef")
    pair.client.advance(0.0)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert [pair.server.read_early_data(size) for size in (0, 1, 3)] == [b"", b"a", b"bcd"]
    assert pair.server.next_event() == EarlyDataReceived(b"ef")
    assert pair.server.read_early_data() == b""


def test_unread_early_data_stays_before_everything_else() -> None:
    known = Acquainted()
    pair = known.pair(PING)
    pair.start()
    while True:
        to_server, to_client = pair.client.data_to_send(0.0), pair.server.data_to_send(0.0)
        if not to_server and not to_client:
            break
        pair.server.receive_data(to_server, 0.0)
        pair.client.receive_data(to_client, 0.0)
    pair.client.write(b"data")
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert drain(pair.server) == [EarlyDataReceived(PING), HandshakeCompleted(), DataReceived(b"data")]


def test_the_client_of_a_store_finds_its_session() -> None:
    known = Acquainted()
    Link(known.ours(None), known.theirs()).handshake()
    assert outcome(Link(known.ours(PING), known.theirs()).handshake().client) == ACCEPTED


def test_a_session_goes_on_allowing_it() -> None:
    known = Acquainted(most=77)
    for _ in range(4):
        pair = known.pair(session=Session.from_bytes(known.session.to_bytes())).handshake()
        assert outcome(pair.client) == ACCEPTED
        assert pair.client.session is not None
        assert pair.client.session.max_early_data == 77
        known.session = pair.client.session


def test_ticket_says_how_much() -> None:
    puppet = PuppetClient(server(server_context(max_early_data=12_345))).start().finish()
    tickets = [raw for raw in puppet.messages if raw[0] == HandshakeType.new_session_ticket]
    assert len(tickets) == 2
    assert {decode_message(NewSessionTicket, raw).extensions.get(EARLY_DATA_TICKET) for raw in tickets} == {12_345}


@given(
    pieces=st.lists(st.binary(max_size=300), max_size=8),
    chunk=st.one_of(st.none(), st.integers(1, 700)),
    both=st.sampled_from([{}, {"record_size_limit": 70}, {"alpn": ["h2"]}]),
)
@settings(max_examples=60, deadline=None)
def test_any_pieces_in_any_chunks(pieces: list[bytes], chunk: int | None, both: dict[str, Any]) -> None:
    known = Acquainted(both, both)
    pair = known.pair(True)
    pair.chunk = chunk
    pair.client.advance(0.0)
    for piece in pieces:
        assert pair.client.write_early_data(piece) == len(piece)
    pair.exchange()
    assert early(pair.server_events) == b"".join(pieces)
    assert outcome(pair.client) == outcome(pair.server) == ACCEPTED
    assert pair.server.handshake_complete


def test_taken_as_ordinary_data() -> None:
    """In one stream with what follows, for adapters that look at `handshake_complete`."""
    known = Acquainted()
    pair = known.pair(b"one, ", taken=True)
    pair.client.advance(0.0)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert pair.server.pending() == 5
    assert pair.server.read_early_data() == b""
    assert not pair.server.handshake_complete
    pair.client.write_early_data(b"two, ")
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    pair.client.write(b"three")
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert drain(pair.server) == [HandshakeCompleted(), DataReceived(b"one, two, three")]


# --- what a server writes before the client's Finished ---------------------------------------------------------------


def answering(known: Acquainted) -> Link:
    """A pair of which the server has heard the early data, and nothing more."""
    pair = known.pair()
    pair.client.advance(0.0)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert drain(pair.server) == [EarlyDataReceived(PING)]
    return pair


def test_answer_needs_one_round_trip() -> None:
    pair = answering(Acquainted())
    pair.server.write(b"pong")
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    assert drain(pair.client) == [HandshakeCompleted(), DataReceived(b"pong")]
    assert not pair.server.handshake_complete
    pair.exchange()
    assert pair.server.handshake_complete
    assert pair.client.session is not None  # the tickets come behind it
    pair.server.write(b"more")
    assert received(pair.exchange().client_events) == b"more"


def test_answer_and_end() -> None:
    pair = answering(Acquainted())
    pair.server.write(b"pong")
    pair.server.shutdown()
    with pytest.raises(UsageError, match="shutdown"):
        pair.server.write(b"more")
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    assert drain(pair.client) == [HandshakeCompleted(), DataReceived(b"pong"), CloseNotifyReceived()]
    pair.client.write(b"the other direction is open")
    pair.client.shutdown()
    pair.exchange()
    assert pair.server.handshake_complete
    assert received(pair.server_events) == b"the other direction is open"
    assert pair.server.close_notify_received
    assert pair.client.session is None  # no ticket follows a close_notify
    assert pair.server.error is None
    assert pair.client.error is None


@pytest.mark.parametrize("offers", [PING, None], ids=["refused", "none"])
def test_no_answer_where_there_is_no_early_data(offers: bytes | None) -> None:
    known = Acquainted()
    pair = known.pair(offers, taken=False)
    pair.client.advance(0.0)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    for call in (lambda: pair.server.write(b"x"), pair.server.shutdown, lambda: pair.server.key_update()):
        with pytest.raises(UsageError, match="not complete"):
            call()


def test_client_writes_nothing_before_it_is_complete() -> None:
    known = Acquainted()
    pair = known.pair()
    pair.client.advance(0.0)
    for call in (lambda: pair.client.write(b"x"), pair.client.shutdown, lambda: pair.client.key_update()):
        with pytest.raises(UsageError, match="not complete"):
            call()


def test_answer_is_under_the_servers_limit_for_records() -> None:
    known = Acquainted({"record_size_limit": 100})
    pair = answering(known)
    pair.server.write(bytes(300))
    wire = pair.server.data_to_send(0.0)
    assert records(wire)[-4:] == [APPLICATION_DATA] * 4
    pair.client.receive_data(wire, 0.0)
    assert received(drain(pair.client)) == bytes(300)


def test_answer_to_a_client_that_never_comes_back() -> None:
    pair = answering(Acquainted())
    pair.server.write(b"pong")
    pair.server.receive_eof(0.0)
    assert isinstance(pair.server.error, UnexpectedEOF)
    with pytest.raises(UnexpectedEOF):
        pair.server.write(b"x")


# --- every refusal, and that nothing is sent again -------------------------------------------------------------------

Change = Callable[[Acquainted], object]


def other_groups(known: Acquainted) -> None:
    known.server.groups = ["secp256r1"]


def other_keys(known: Acquainted) -> None:
    known.server.ticket_keys = TicketKeys()


def less(known: Acquainted) -> None:
    known.server.max_early_data = MOST - 1


def other_suite(known: Acquainted) -> None:
    known.server.cipher_suites = ["TLS_CHACHA20_POLY1305_SHA256"]


def other_protocol(known: Acquainted) -> None:
    known.server.alpn = ["http/1.1"]


def restarted(known: Acquainted) -> None:
    known.server.replay_store = ReplayCache()


def full(known: Acquainted) -> None:
    cache = ReplayCache(size=1)
    cache._zone = known.server.replay_store.zone
    cache.first_use(b"another", known.clock.wall(), known.clock.wall() + 10)
    known.server.replay_store = cache


def both(*changes: Change) -> Change:
    return lambda known: [change(known) for change in changes]


REFUSALS: dict[str, tuple[Change, str, str]] = {
    "off by now": (lambda k: setattr(k.server, "max_early_data", 0), "disabled", "peer_declined"),
    "off, and a retry": (
        both(lambda k: setattr(k.server, "max_early_data", 0), other_groups),
        "disabled",
        "hello_retry_request",
    ),
    "less by now": (less, "unsupported_for_session", "peer_declined"),
    "a ticket of others": (other_keys, "session_not_resumed", "session_not_resumed"),
    "a ticket of others, and a retry": (
        both(other_keys, other_groups),
        "session_not_resumed",
        "hello_retry_request",
    ),
    "a retry": (other_groups, "hello_retry_request", "hello_retry_request"),
    "another suite": (other_suite, "cipher_suite_mismatch", "peer_declined"),
    "another suite, and a retry": (both(other_suite, other_groups), "cipher_suite_mismatch", "hello_retry_request"),
    "another protocol": (other_protocol, "alpn_mismatch", "peer_declined"),
    "no protocol": (lambda k: setattr(k.server, "alpn", None), "alpn_mismatch", "peer_declined"),
    "too late": (lambda k: setattr(k.clock, "wall_time", k.clock.wall_time + 10.5), "ticket_age_skew", "peer_declined"),
    "another memory": (restarted, "unsupported_for_session", "peer_declined"),
    "a full memory": (full, "replay", "peer_declined"),
}


@pytest.mark.parametrize("chunk", [None, 100])
@pytest.mark.parametrize("size", [0, 11, MOST])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(name: str, size: int, chunk: int | None) -> None:
    change, theirs, ours = REFUSALS[name]
    known = Acquainted({"alpn": ["h2", "http/1.1"]}, {"alpn": ["h2"]})
    pair = known.pair(bytes(size) or True)
    pair.chunk = chunk
    pair.client.advance(0.0)  # the hello is on its way
    change(known)
    pair.server = known.theirs()
    pair.handshake()
    assert outcome(pair.server) == (EarlyDataStatus.REJECTED, EarlyDataReason(theirs))
    assert outcome(pair.client) == (EarlyDataStatus.REJECTED, EarlyDataReason(ours))
    assert pair.client_events[0] == EarlyDataRejected(EarlyDataReason(ours))
    assert reasons(pair.client_events) == [ours]
    assert pair.server.early_data_ended
    assert pair.server.read_early_data() == b""
    assert pair.client.write_early_data(b"late") == 0
    pair.client.write(b"again, by the application")
    pair.exchange()
    assert early(pair.server_events) == b""
    assert received(pair.server_events) == b"again, by the application"
    assert pair.client.session_reused is ("ticket of others" not in name)


def test_refusal_by_this_connection_alone() -> None:
    known = Acquainted()
    pair = known.pair(taken=False).handshake()
    assert outcome(pair.server) == (EarlyDataStatus.REJECTED, EarlyDataReason.DISABLED)
    assert outcome(pair.client) == (EarlyDataStatus.REJECTED, EarlyDataReason.PEER_DECLINED)


def test_refusal_by_the_context_that_was_selected() -> None:
    """Its own settings count: the session is of another memory, or it takes no early data."""
    known = Acquainted()
    known.server.select_identity = lambda _: server_context(clock=known.clock, ticket_keys=known.server.ticket_keys)
    pair = known.pair().handshake()
    assert outcome(pair.server) == (EarlyDataStatus.REJECTED, EarlyDataReason.DISABLED)
    assert pair.client.session_reused


def test_taken_by_the_context_that_was_selected() -> None:
    other = server_context(max_early_data=50)
    known = Acquainted(server={"max_early_data": 0, "select_identity": lambda _: other})
    known.clock = other.clock
    known.client.clock = other.clock
    assert known.session.max_early_data == 50
    assert outcome(known.pair().handshake().server) == ACCEPTED


# --- where a client offers nothing -----------------------------------------------------------------------------------

SILENCES: dict[str, tuple[dict[str, Any], dict[str, Any], Change, str]] = {
    "no session": ({}, {}, lambda k: setattr(k.session, "resumable", False), "no_session_offered"),
    "an old session": ({}, {}, lambda k: k.clock.advance(86_401), "no_session_offered"),
    "a session for another name": (
        {},
        {},
        lambda k: setattr(k.session, "binding", bytes(32)),
        "no_session_offered",
    ),
    "a session without": ({}, {"max_early_data": 0}, lambda _: None, "unsupported_for_session"),
    "a session with too little": ({}, {"max_early_data": len(PING) - 1}, lambda _: None, "limit"),
    "another protocol": ({"alpn": "h2"}, {"alpn": "h2"}, lambda k: setattr(k.client, "alpn", "h3"), "alpn_mismatch"),
    "no protocol": ({"alpn": "h2"}, {"alpn": "h2"}, lambda k: setattr(k.client, "alpn", None), "alpn_mismatch"),
    "another suite": (
        {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]},
        {},
        lambda k: setattr(k.client, "cipher_suites", ["TLS_CHACHA20_POLY1305_SHA256"]),
        "cipher_suite_mismatch",
    ),
    "another hash": (
        {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]},
        {},
        lambda k: setattr(k.client, "cipher_suites", ["TLS_AES_256_GCM_SHA384"]),
        "no_session_offered",
    ),
    "an older version": (EITHER, {}, lambda k: setattr(k.client, "maximum_version", "TLS12"), "protocol_version"),
    "a session of an older version": (EITHER, TLS12, lambda _: None, "no_session_offered"),
}


@pytest.mark.parametrize("name", SILENCES)
def test_nothing_is_offered(name: str) -> None:
    client_settings, server_settings, change, reason = SILENCES[name]
    known = Acquainted(client_settings, server_settings)
    change(known)
    connection = known.ours(PING, session=known.session)
    assert outcome(connection) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.UNKNOWN)
    connection.advance(0.0)
    flight = connection.data_to_send(0.0)
    assert records(flight) == [HANDSHAKE]
    assert ExtensionType.early_data not in decode_message(ClientHello, flight[5:]).extensions
    assert drain(connection) == [EarlyDataRejected(EarlyDataReason(reason))]
    assert outcome(connection) == (EarlyDataStatus.NOT_SENT, EarlyDataReason(reason))
    assert connection.write_early_data(b"x") == 0
    assert connection.early_data_ended


def test_every_byte_of_the_room_is_there() -> None:
    known = Acquainted(most=len(PING))
    assert outcome(known.pair(PING).handshake().client) == ACCEPTED


def test_server_says_why_nothing_came() -> None:
    known = Acquainted()
    assert outcome(known.pair(None).handshake().server)[1] is EarlyDataReason.PEER_DECLINED
    known.session.resumable = False
    assert outcome(known.pair(None).handshake().server)[1] is EarlyDataReason.NO_SESSION_OFFERED
    known.client.maximum_version = "TLS13"
    older = Acquainted(TLS12, EITHER | {"max_early_data": MOST})
    assert outcome(older.pair(None).handshake().server) == (
        EarlyDataStatus.NOT_SENT,
        EarlyDataReason.PROTOCOL_VERSION,
    )


def test_server_of_an_older_version() -> None:
    """RFC 9846 appendix E.3: what was sent may not have been understood at all."""
    known = Acquainted(EITHER, EITHER)
    pair = known.pair()
    pair.client.advance(0.0)
    pair.server = server(server_context(**TLS12))
    flight = pair.client.data_to_send(0.0)
    pair.server.receive_data(flight[: 5 + int.from_bytes(flight[3:5], "big")], 0.0)
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    assert isinstance(pair.client.error, ProtocolVersionAlert)
    assert outcome(pair.client) == (EarlyDataStatus.REJECTED, EarlyDataReason.PROTOCOL_VERSION)
    assert pair.client.session is None


@pytest.mark.parametrize("value", [b"x", b"longer"])
def test_server_has_nothing_to_send(value: bytes) -> None:
    with pytest.raises(UsageError, match="early_data"):
        TLSConnection(server_context(), server_side=True, early_data=value)
    with pytest.raises(UsageError, match="server"):
        server().write_early_data(value)


def test_the_end_is_told_to_whoever_writes() -> None:
    known = Acquainted()
    pair = known.pair()
    pair.client.advance(0.0)
    pair.client.close()
    with pytest.raises(UsageError, match="closed"):
        pair.client.write_early_data(b"x")


def test_fate_is_open_where_the_answer_never_came() -> None:
    known = Acquainted()
    pair = known.pair()
    pair.client.advance(0.0)
    pair.client.receive_eof(0.0)
    assert isinstance(pair.client.error, UnexpectedEOF)
    assert outcome(pair.client) == (EarlyDataStatus.PENDING, EarlyDataReason.UNKNOWN)
    with pytest.raises(UnexpectedEOF):
        pair.client.write_early_data(b"x")


# --- copies ----------------------------------------------------------------------------------------------------------


def flight_of(known: Acquainted, session: Session | None = None) -> bytes:
    """A client's first flight."""
    connection = known.ours(PING, session=session or known.copy())
    connection.advance(0.0)
    return connection.data_to_send(0.0)


def heard(known: Acquainted, flight: bytes) -> tuple[bytes, EarlyDataReason]:
    """What a server makes of a flight."""
    connection = known.theirs()
    connection.receive_data(flight, 0.0)
    assert connection.error is None
    return early(drain(connection)), connection.early_data_reason


def test_a_copy_of_the_flight() -> None:
    known = Acquainted()
    flight = flight_of(known)
    assert heard(known, flight) == (PING, EarlyDataReason.ACCEPT)
    for seconds in (0, 0, 5, 4.999, 0.001):
        known.clock.advance(seconds)
        assert heard(known, flight) == (b"", EarlyDataReason.REPLAY)
    for seconds in (0.001, 1, 5, 9, 10, 1000):
        known.clock.advance(seconds)
        assert heard(known, flight) == (b"", EarlyDataReason.TICKET_AGE_SKEW)


def test_a_copy_that_comes_first() -> None:
    known = Acquainted()
    flight = flight_of(known)
    known.clock.advance(9)
    assert heard(known, flight) == (PING, EarlyDataReason.ACCEPT)
    assert heard(known, flight) == (b"", EarlyDataReason.REPLAY)


def test_a_ticket_used_twice() -> None:
    """Two hellos, both fresh, with one ticket: single use."""
    known = Acquainted()
    assert heard(known, flight_of(known)) == (PING, EarlyDataReason.ACCEPT)
    known.clock.advance(3)
    assert heard(known, flight_of(known)) == (b"", EarlyDataReason.REPLAY)


def test_a_copy_that_comes_at_the_same_moment() -> None:
    """The memory is asked before anything is taken, and answers once."""
    known = Acquainted()
    engine = DelayEngine(None, operations=[Operation.CHECK_REPLAY])
    known.server.engine, known.server.async_mode = engine, True
    flight = flight_of(known)
    connections = [known.theirs() for _ in range(3)]
    for connection in connections:
        connection.receive_data(flight, 0.0)
        assert connection.handshake_paused
        assert drain(connection) == []
    engine.release(3)
    for connection in connections:
        connection.advance(0.0)
    assert sorted(early(drain(connection)) for connection in connections) == [b"", b"", PING]


def test_a_copy_to_a_server_that_was_started_again() -> None:
    keys = TicketKeys([bytes(32)])
    known = Acquainted(server={"ticket_keys": keys})
    flight = flight_of(known)
    assert heard(known, flight) == (PING, EarlyDataReason.ACCEPT)
    known.server = server_context(clock=known.clock, ticket_keys=TicketKeys([bytes(32)]), max_early_data=MOST)
    assert heard(known, flight) == (b"", EarlyDataReason.UNSUPPORTED_FOR_SESSION)


def test_servers_that_share_a_memory() -> None:
    known = Acquainted()
    flight = flight_of(known)
    assert heard(known, flight) == (PING, EarlyDataReason.ACCEPT)
    known.server = server_context(
        clock=known.clock,
        ticket_keys=known.server.ticket_keys,
        replay_store=known.server.replay_store,
        max_early_data=MOST,
    )
    assert heard(known, flight) == (b"", EarlyDataReason.REPLAY)


@pytest.mark.parametrize("window", [0.5, 10, 60])
@pytest.mark.parametrize(("off", "taken"), [(1.0, True), (-1.0, True), (1.01, False), (-1.01, False)])
def test_window(window: float, off: float, taken: bool) -> None:
    """RFC 9846 section 8.3: the client's word on the age of its ticket, and ours."""
    known = Acquainted(server={"early_data_window": window})
    known.clock.advance(3600)
    known.session.received += off * window  # the client makes it younger, or older
    pair = known.pair()
    if off < 0:
        pair.handshake()
    else:
        known.client.clock = type(known.clock)(wall_time=known.clock.wall_time)
        pair = known.pair()
        pair.handshake()
    skew = pair.server.ticket_age_skew
    assert skew is not None
    assert skew == pytest.approx(-off * window, abs=0.002)
    assert outcome(pair.server) == (ACCEPTED if taken else (EarlyDataStatus.REJECTED, EarlyDataReason.TICKET_AGE_SKEW))
    assert pair.client.session_reused


def test_age_is_known_where_there_is_no_early_data() -> None:
    made = Link(*(c for c in (client(), server())))
    assert made.handshake().server.ticket_age_skew is None
    known = Acquainted(server={"max_early_data": 0})
    known.clock.advance(100)
    known.session.received -= 7
    pair = known.pair(None).handshake()
    assert pair.server.ticket_age_skew == pytest.approx(7, abs=0.002)
    assert pair.client.ticket_age_skew is None


def test_age_of_centuries() -> None:
    """It is counted modulo 2^32, and judged like any other."""
    known = Acquainted()
    known.session.ticket_age_add = (known.session.ticket_age_add - 1) % 2**32
    pair = known.pair()
    pair.handshake()
    assert outcome(pair.server)[1] is EarlyDataReason.TICKET_AGE_SKEW
    assert pair.server.ticket_age_skew == pytest.approx(2**32 / 1000, rel=0.01)


# --- the memory pauses, or fails -------------------------------------------------------------------------------------


class Store:
    """A memory that is somewhere else."""

    zone = b"elsewhere"

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[bytes, float, float]] = []

    def first_use(self, key: bytes, now: float, until: float) -> Any:
        self.asked.append((key, now, until))
        return self.answer()


def test_store_is_asked_once() -> None:
    store = Store(lambda: True)
    known = Acquainted(server={"replay_store": store})
    known.clock.advance(100)
    known.pair().handshake()
    ((key, now, until),) = store.asked
    assert len(key) == 32
    assert now == known.clock.wall()
    assert until == pytest.approx(now + 10, abs=0.002)


@pytest.mark.parametrize("name", ["no session", "none offered", "refused for another reason"])
def test_store_is_not_asked_for_nothing(name: str) -> None:
    store = Store(lambda: True)
    known = Acquainted(server={"replay_store": store})
    if name == "no session":
        known.session.resumable = False
    elif name == "refused for another reason":
        known.server.groups = ["secp256r1"]
    known.pair(None if name == "none offered" else PING).handshake()
    assert store.asked == []


@pytest.mark.parametrize("verdict", [True, False])
def test_store_that_pauses(verdict: bool) -> None:
    completion: Completion[bool] = Completion()
    known = Acquainted(server={"replay_store": Store(lambda: completion), "async_mode": True})
    pair = known.pair().start().exchange()
    assert pair.server.handshake_paused
    assert outcome(pair.server)[0] is EarlyDataStatus.NOT_SENT
    completion.set_result(verdict)
    pair.server.advance(0.0)
    pair.exchange()
    assert outcome(pair.server)[0] is (EarlyDataStatus.ACCEPTED if verdict else EarlyDataStatus.REJECTED)
    assert early(pair.server_events) == (PING if verdict else b"")


@pytest.mark.parametrize("answer", [None, 1, "yes", b""])
def test_store_that_does_not_say_yes_or_no(answer: object) -> None:
    known = Acquainted(server={"replay_store": Store(lambda: answer)})
    pair = known.pair().start().exchange()
    assert isinstance(pair.server.error, UsageError)
    assert isinstance(pair.client.error, PeerAlert)


def test_store_that_fails() -> None:
    def answer() -> bool:
        raise ConnectionError("the database is gone")

    known = Acquainted(server={"replay_store": Store(answer)})
    pair = known.pair().start().exchange()
    assert isinstance(pair.server.error, OperationFailed)


def test_store_that_is_late() -> None:
    known = Acquainted(server={"replay_store": Store(Completion), "async_mode": True, "deadline": 5})
    pair = known.pair().start().exchange()
    pair.server.handle_timeout(5.0)
    assert isinstance(pair.server.error, OperationTimeout)


# --- pauses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.CHECK_REPLAY, Operation.OPEN_TICKET, Operation.KEY_EXCHANGE])
def test_paused_handshake_keeps_early_data_within_bounds(operation: Operation) -> None:
    engine = DelayEngine(None, operations=[operation])
    known = Acquainted(most=10**6)
    known.server.engine, known.server.async_mode = engine, True
    known.server.limits = Limits(parked_bytes=20_000)
    pair = known.pair(bytes(60_000))
    pair.client.advance(0.0)
    flight = pair.client.data_to_send(0.0)
    pos = 0
    while pair.server.wants_data:
        pair.server.receive_data(flight[pos : pos + 5000], 0.0)
        pos += 5000
    assert 20_000 <= pos <= 26_000
    assert pair.server.read_early_data() == b""
    engine.release()
    pair.server.advance(0.0)
    assert pair.server.wants_data
    pair.server.receive_data(flight[pos:], 0.0)
    pair.exchange()
    assert early(pair.server_events) == bytes(60_000)
    assert pair.server.handshake_complete


@pytest.mark.parametrize("refused_", [False, True], ids=["accepted", "refused"])
@pytest.mark.parametrize("when", ["before the answer", "behind the answer"])
def test_record_of_early_data_that_pauses(when: str, refused_: bool) -> None:
    """What is sealed late goes out in order; what is refused before that goes nowhere."""
    engine = DelayEngine(None, operations=[Operation.SEAL_RECORD])
    known = Acquainted()
    known.client.engine, known.client.async_mode = engine, True
    pair = known.pair(bytes(100), taken=False if refused_ else None)
    pair.client.advance(0.0)
    assert pair.client.write_paused
    assert pair.client.write_early_data(bytes(50)) == 50
    assert pair.client.write_backlog == 50
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    if when == "behind the answer":
        pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
        assert pair.client.early_data_ended
    for _ in range(20):
        while engine.waiting:
            engine.release()
        pair.client.advance(0.0)
        pair.exchange()
    assert pair.client.error is None
    assert pair.server.handshake_complete
    assert early(pair.server_events) == (b"" if refused_ else bytes(150))


def test_record_of_early_data_that_pauses_is_opened_before_what_follows() -> None:
    engine = DelayEngine(None, operations=[Operation.OPEN_RECORD])
    known = Acquainted()
    known.server.engine, known.server.async_mode = engine, True
    pair = known.pair(b"first")
    pair.client.advance(0.0)
    pair.client.write_early_data(b", second")
    pair.exchange()
    assert pair.server.read_paused
    assert pair.server.read_early_data() == b""
    for _ in range(20):
        while engine.waiting:
            engine.release()
        pair.server.advance(0.0)
        pair.exchange()
    assert early(pair.server_events) == b"first, second"
    assert pair.server.handshake_complete


def test_closing_with_early_data_under_way() -> None:
    engine = DelayEngine(None, operations=[Operation.SEAL_RECORD])
    known = Acquainted()
    known.client.engine, known.client.async_mode = engine, True
    connection = known.ours(PING, session=known.session)
    connection.advance(0.0)
    connection.close()
    assert not engine.waiting
    assert connection.data_to_send(0.0) == b""


# --- a server and what a client may do wrong -------------------------------------------------------------------------


def begun(**settings: Any) -> EarlyClient:
    """A client whose offer the server has taken."""
    puppet = EarlyClient(Acquainted(server=settings)).begin()
    assert outcome(puppet.connection) == ACCEPTED
    return puppet


def test_puppet_is_heard() -> None:
    puppet = begun()
    puppet.send(APPLICATION_DATA, b"one")
    puppet.send(APPLICATION_DATA, b"", 30)
    puppet.send(APPLICATION_DATA, b"two", 30)
    puppet.feed(CCS)
    puppet.end().finish()
    assert drain(puppet.connection) == [EarlyDataReceived(b"onetwo"), HandshakeCompleted()]
    answer = decode_message(EncryptedExtensions, puppet.messages[1])
    assert answer.extensions.get(EARLY_DATA) is True


def test_limit_of_the_ticket() -> None:
    """RFC 9846 section 4.7.1: content counts, padding does not."""
    puppet = begun(max_early_data=100)
    puppet.send(APPLICATION_DATA, bytes(60), 500)
    puppet.send(APPLICATION_DATA, bytes(40), 500)
    assert puppet.connection.error is None
    puppet.send(APPLICATION_DATA, b"x")
    refused(puppet, UnexpectedMessage)


def test_limit_of_the_ticket_in_one_record() -> None:
    puppet = begun(max_early_data=100)
    puppet.send(APPLICATION_DATA, bytes(101))
    refused(puppet, UnexpectedMessage)


def test_empty_records_in_a_row() -> None:
    puppet = begun(limits=Limits(empty_records=3))
    for _ in range(3):
        puppet.send(APPLICATION_DATA, b"")
    puppet.send(APPLICATION_DATA, b"x")
    for _ in range(3):
        puppet.send(APPLICATION_DATA, b"")
    assert puppet.connection.error is None
    puppet.send(APPLICATION_DATA, b"")
    refused(puppet, UnexpectedMessage)


def test_size_of_records_during_and_after() -> None:
    """Our limit holds once the client has heard of it (RFC 8449 section 4)."""
    puppet = EarlyClient(Acquainted(server={"record_size_limit": 100}))
    hello = puppet.hello()
    hello.extensions.put(RECORD_SIZE_LIMIT, 16_385)
    puppet.begin(hello)
    puppet.send(APPLICATION_DATA, bytes(500))
    assert early(drain(puppet.connection)) == bytes(500)
    puppet.end().finish()
    puppet.send(APPLICATION_DATA, bytes(99))
    assert puppet.connection.read() == bytes(99)
    puppet.send(APPLICATION_DATA, bytes(100))
    refused(puppet, RecordOverflow)


def handshake_key(puppet: EarlyClient) -> RecordKey:
    return RecordKey(puppet.own(puppet.handshake), b"tls13 ")


def no_end(puppet: EarlyClient) -> None:
    """Finished under its own keys, but EndOfEarlyData is missing."""
    puppet.write_key = handshake_key(puppet)
    puppet.say(puppet.finished())


def finished_early(puppet: EarlyClient) -> None:
    puppet.say(puppet.finished())


def end_and_finished(puppet: EarlyClient) -> None:
    puppet.say(EndOfEarlyData(), Finished(bytes(32)))


def end_with_a_body(puppet: EarlyClient) -> None:
    puppet.say(b"\5\0\0\1\0")


def end_twice(puppet: EarlyClient) -> None:
    puppet.say(EndOfEarlyData())
    puppet.send(HANDSHAKE, EndOfEarlyData().encode())


def ends_twice(puppet: EarlyClient) -> None:
    puppet.say(EndOfEarlyData(), EndOfEarlyData())


def end_under_the_next_keys(puppet: EarlyClient) -> None:
    puppet.write_key = handshake_key(puppet)
    puppet.say(EndOfEarlyData())


def end_again_under_the_next_keys(puppet: EarlyClient) -> None:
    puppet.end().say(EndOfEarlyData())


def data_behind_the_end(puppet: EarlyClient) -> None:
    puppet.end().send(APPLICATION_DATA, b"x")


def early_data_behind_the_end(puppet: EarlyClient) -> None:
    puppet.end().feed(puppet.early.seal(APPLICATION_DATA, b"x"))


def data_within_the_end(puppet: EarlyClient) -> None:
    puppet.send(HANDSHAKE, b"\5\0")
    puppet.send(APPLICATION_DATA, b"x")


def key_update(puppet: EarlyClient) -> None:
    puppet.say(KeyUpdate(KeyUpdateRequest.update_not_requested))


def second_hello(puppet: EarlyClient) -> None:
    puppet.say(puppet.hello())


def damaged(puppet: EarlyClient) -> None:
    record = bytearray(puppet.record(APPLICATION_DATA, b"x"))
    record[-1] ^= 1
    puppet.feed(bytes(record))


def out_of_order(puppet: EarlyClient) -> None:
    puppet.record(APPLICATION_DATA, b"x")
    puppet.send(APPLICATION_DATA, b"y")


def twice(puppet: EarlyClient) -> None:
    record = puppet.record(APPLICATION_DATA, b"x")
    puppet.feed(record)
    puppet.feed(record)


def in_the_clear(puppet: EarlyClient) -> None:
    puppet.write_key = None
    puppet.send(HANDSHAKE, EndOfEarlyData().encode())


def alert_in_the_clear(puppet: EarlyClient) -> None:
    """Whoever can write early data can protect an alert."""
    puppet.write_key = None
    puppet.send(ALERT, b"\2\50")


def alert_in_the_clear_behind_the_end(puppet: EarlyClient) -> None:
    puppet.end()
    alert_in_the_clear(puppet)


def of_no_type(puppet: EarlyClient) -> None:
    puppet.send(CHANGE_CIPHER_SPEC, b"\1")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (no_end, BadRecordMAC),
        (finished_early, UnexpectedMessage),
        (end_and_finished, UnexpectedMessage),
        (end_with_a_body, DecodeError),
        (end_twice, BadRecordMAC),
        (ends_twice, UnexpectedMessage),
        (end_under_the_next_keys, BadRecordMAC),
        (end_again_under_the_next_keys, UnexpectedMessage),
        (data_behind_the_end, UnexpectedMessage),
        (early_data_behind_the_end, BadRecordMAC),
        (data_within_the_end, UnexpectedMessage),
        (key_update, UnexpectedMessage),
        (second_hello, UnexpectedMessage),
        (damaged, BadRecordMAC),
        (out_of_order, BadRecordMAC),
        (twice, BadRecordMAC),
        (in_the_clear, UnexpectedMessage),
        (alert_in_the_clear, UnexpectedMessage),
        (alert_in_the_clear_behind_the_end, UnexpectedMessage),
        (of_no_type, UnexpectedMessage),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("before", [b"", b"some"])
def test_client_does_wrong(before: bytes, wrong: Callable[[EarlyClient], None], kind: type[Error]) -> None:
    puppet = begun()
    if before:
        puppet.send(APPLICATION_DATA, before)
    wrong(puppet)
    assert puppet.connection.read_early_data() in (before, before + b"x")
    refused(puppet, kind)


def test_alert_under_the_early_keys() -> None:
    puppet = begun()
    puppet.send(ALERT, b"\2\50")
    assert isinstance(puppet.connection.error, PeerAlert)


def test_wrong_finished_behind_early_data() -> None:
    puppet = begun()
    puppet.send(APPLICATION_DATA, b"x")
    puppet.end()
    puppet.say(Finished(bytes(32)))
    assert type(puppet.connection.error).__name__ == "DecryptError"
    assert early(drain(puppet.connection)) == b"x"


def test_offer_without_a_session() -> None:
    """It is passed over; the client has broken a rule that costs us nothing."""
    known = Acquainted()
    puppet = PuppetClient(known.theirs())
    hello = puppet.hello()
    hello.extensions.put(EARLY_DATA, True)
    puppet.start(hello)
    puppet.feed(early_key(puppet, known.session, hello.encode()).seal(APPLICATION_DATA, b"x"))
    assert outcome(puppet.connection) == (EarlyDataStatus.REJECTED, EarlyDataReason.NO_SESSION_OFFERED)
    assert puppet.finish().connection.handshake_complete


def test_early_data_of_another_session_than_the_one_that_is_resumed() -> None:
    """RFC 9846 section 4.3.10: it is that of the first."""
    known = Acquainted()
    unknown = replace(known.session, ticket=b"of others")
    puppet = PuppetClient(known.theirs(), session=None)
    hello = puppet.hello()
    hello.extensions.put(EARLY_DATA, True)
    puppet.bind(hello, unknown, known.session)
    puppet.say(hello)
    puppet.session = known.session
    puppet.pull()
    assert outcome(puppet.connection) == (EarlyDataStatus.REJECTED, EarlyDataReason.SESSION_NOT_RESUMED)
    puppet.feed(early_key(puppet, known.session, hello.encode()).seal(APPLICATION_DATA, b"x"))
    assert puppet.finish().connection.handshake_complete
    assert puppet.connection.session_reused
    assert puppet.connection.read_early_data() == b""


def test_as_much_is_passed_over_as_could_come() -> None:
    """The bound on what is skipped grows with what our tickets allow."""
    for most, taken in ((0, 1000), (5000, 6000)):
        puppet = PuppetClient(server(server_context(max_early_data=most, limits=Limits(early_data_skipped=1000))))
        hello = puppet.hello()
        hello.extensions.put(EARLY_DATA, True)
        puppet.start(hello)
        key = early_key(puppet, fresh_session()[0], b"")
        puppet.feed(key.seal(APPLICATION_DATA, bytes(taken - 27)))
        assert puppet.connection.error is None
        puppet.feed(key.seal(APPLICATION_DATA, b""))
        refused(puppet, UnexpectedMessage)


def test_nothing_is_passed_over_behind_a_second_hello() -> None:
    known = Acquainted()
    known.server.groups = ["secp256r1"]
    puppet = EarlyClient(known)
    hello = puppet.hello()
    hello.extensions.put(EARLY_DATA, True)
    puppet.start(hello)
    assert puppet.retry is not None
    early_record = early_key(puppet, known.session, hello.encode()).seal(APPLICATION_DATA, b"x")
    puppet.feed(early_record)
    again = PuppetClient.hello(puppet)
    puppet.pair = GROUPS[NamedGroup.secp256r1].generate()
    again.extensions.remove(ExtensionType.key_share)
    again.extensions.put(KEY_SHARE_CLIENT, (KeyShareEntry(NamedGroup.secp256r1, puppet.pair.share),))
    puppet.start(again)
    assert outcome(puppet.connection) == (EarlyDataStatus.REJECTED, EarlyDataReason.HELLO_RETRY_REQUEST)
    puppet.feed(early_record)
    refused(puppet, BadRecordMAC)


# --- a client and what a server may do wrong -------------------------------------------------------------------------


def test_puppet_takes_early_data() -> None:
    puppet = EarlyServer(Acquainted())
    assert puppet.heard[-1] == (APPLICATION_DATA, PING)
    puppet.accept().say(with_early_data())
    assert outcome(puppet.connection) == ACCEPTED
    puppet.connection.write_early_data(b"more")
    puppet.finish()
    assert puppet.heard[-3] == (APPLICATION_DATA, b"more")
    assert [raw[0] for raw in puppet.messages] == [1, 5, 20]
    assert puppet.connection.handshake_complete


def test_puppet_refuses_early_data() -> None:
    puppet = EarlyServer(Acquainted())
    puppet.accept()
    puppet.read_key = RecordKey(puppet.theirs(puppet.handshake), b"tls13 ")
    puppet.say(puppet.encrypted_extensions())
    assert drain(puppet.connection) == [EarlyDataRejected(EarlyDataReason.PEER_DECLINED)]
    puppet.finish()
    assert [raw[0] for raw in puppet.messages] == [1, 20]
    assert puppet.connection.handshake_complete


def test_early_data_with_another_key() -> None:
    """RFC 9846 section 4.3.11: it belongs to the first."""
    key = PSK("who", bytes(range(32)))
    known = Acquainted({"lookup_psk": lambda _: key})
    puppet = EarlyServer(known)
    external: Any = replace(known.session, psk=key.key)
    puppet.session = external
    puppet.accept(index=1)
    puppet.say(with_early_data())
    refused(puppet, IllegalParameter)


def test_early_data_without_a_session() -> None:
    puppet = EarlyServer(Acquainted())
    puppet.session = None
    puppet.accept(index=None)
    puppet.say(with_early_data())
    refused(puppet, UnsupportedExtension)


def test_early_data_with_another_suite() -> None:
    puppet = EarlyServer(Acquainted())
    puppet.accept(cipher_suite=CipherSuite.TLS_CHACHA20_POLY1305_SHA256)
    puppet.say(with_early_data())
    refused(puppet, IllegalParameter)


@pytest.mark.parametrize("alpn", [None, b"h3"])
def test_early_data_with_another_protocol(alpn: bytes | None) -> None:
    puppet = EarlyServer(Acquainted({"alpn": ["h2", "h3"]}, {"alpn": "h2"}))
    puppet.accept().say(with_early_data(alpn))
    refused(puppet, IllegalParameter)


def test_early_data_with_the_protocol_of_its_session() -> None:
    puppet = EarlyServer(Acquainted({"alpn": ["h2", "h3"]}, {"alpn": "h2"}))
    puppet.accept().say(with_early_data(b"h2"))
    assert puppet.finish().connection.handshake_complete


def test_early_data_behind_a_retry() -> None:
    puppet = EarlyServer(Acquainted())
    early_record = puppet.read_key
    puppet.read_key = None
    puppet.ask_again()
    assert ExtensionType.early_data not in puppet.client_hello.extensions
    assert outcome(puppet.connection) == (EarlyDataStatus.REJECTED, EarlyDataReason.HELLO_RETRY_REQUEST)
    assert early_record is not None
    puppet.greet()
    puppet.say(with_early_data())
    refused(puppet, UnsupportedExtension)


def test_answer_that_is_not_empty() -> None:
    puppet = EarlyServer(Acquainted())
    extensions = Extensions()
    extensions.put_data(ExtensionType.early_data, b"\0\0\0\1")
    puppet.accept().say(EncryptedExtensions(extensions))
    refused(puppet, DecodeError)


def test_end_of_early_data_from_a_server() -> None:
    """RFC 9846 section 4.6."""
    puppet = EarlyServer(Acquainted())
    puppet.accept().say(with_early_data())
    puppet.say(EndOfEarlyData())
    refused(puppet, UnexpectedMessage)


def test_failure_is_told_under_the_early_keys() -> None:
    """Until the server's answer is known there are no others that it would read with."""
    puppet = EarlyServer(Acquainted())
    puppet.accept().say(Finished(bytes(32)))
    assert puppet.pull() == [(ALERT, b"\2\x0a")]


def test_failure_behind_a_retry_is_told_in_the_clear() -> None:
    puppet = EarlyServer(Acquainted())
    puppet.read_key = None
    puppet.ask_again()
    puppet.say(puppet.retry_request())
    assert puppet.connection.data_to_send(0.0)[:1] == bytes((ALERT,))
    assert isinstance(puppet.connection.error, UnexpectedMessage)


def test_session_with_a_strange_limit() -> None:
    """A ticket's word has four bytes."""
    puppet = PuppetServer(client(client_context()), identity()).run()
    for data, kind in ((b"\0\0\0\1", None), (b"", DecodeError)):
        extensions = Extensions()
        extensions.put_data(ExtensionType.early_data, data)
        puppet.send(HANDSHAKE, NewSessionTicket(100, 5, b"n", b"ticket", extensions).encode())
        if kind is None:
            assert puppet.connection.session is not None
            assert puppet.connection.session.max_early_data == 1
        else:
            refused(puppet, kind)
