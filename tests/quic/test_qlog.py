"""The log that tools read: records of JSON text sequences, and every frame in the schema's words."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from caesura.errors import Error, FlowControlError, IdleTimeout, PeerClose, StatelessReset
from caesura.quic import QUICConnection, frames
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE, INITIAL, ONE_RTT
from caesura.quic.qlog import Qlog, frames_of, transport_error
from caesura.quic.transport_parameters import TransportParameters
from tests.quic.link import client_context, server_context
from tests.quic.recovery import Sender
from tests.quic.world import Bottleneck, quic_link
from tests.support.datagram_link import CLIENT, SERVER


def new() -> tuple[Qlog, list[dict[str, Any]]]:
    """A log, and its records as a tool would read them."""
    records: list[dict[str, Any]] = []

    def write(record: str) -> None:
        assert record[0] == "\x1e"
        assert record[-1] == "\n"
        assert "\n" not in record[:-1]
        records.append(json.loads(record[1:]))

    qlog = Qlog(write, client=True, group=b"\x01\x02", now=100.0, wall="2026-01-01T00:00:00.000Z")
    return qlog, records


def test_the_first_record_says_what_the_rest_is() -> None:
    _, (head,) = new()
    assert head["file_schema"] == "urn:ietf:params:qlog:file:sequential"
    assert head["serialization_format"] == "application/qlog+json-seq"
    assert head["trace"]["vantage_point"] == {"type": "client"}
    assert head["trace"]["common_fields"]["group_id"] == "0102"
    assert head["trace"]["event_schemas"][0].startswith("urn:ietf:params:qlog:events:quic")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\0" * 5, {"frame_type": "padding", "raw": {"payload_length": 5}}),
        (b"\x01", {"frame_type": "ping"}),
        (frames.ack([(7, 10), (3, 4)], 5), {"frame_type": "ack", "ack_delay": 0.04, "acked_ranges": [[7, 9], [3]]}),
        (
            frames.ack([(7, 8)], 0, (1, 2, 3)),
            {"frame_type": "ack", "ack_delay": 0.0, "acked_ranges": [[7]], "ect0": 1, "ect1": 2, "ce": 3},
        ),
        (
            frames.numbers(frames.RESET_STREAM, 4, 9, 100),
            {"frame_type": "reset_stream", "stream_id": 4, "error": "unknown", "error_code": 9, "final_size": 100},
        ),
        (
            frames.numbers(frames.STOP_SENDING, 4, 9),
            {"frame_type": "stop_sending", "stream_id": 4, "error": "unknown", "error_code": 9},
        ),
        (frames.crypto(5, b"secret"), {"frame_type": "crypto", "offset": 5, "raw": {"length": 6}}),
        (frames.new_token(b"token"), {"frame_type": "new_token", "token": {"raw": {"length": 5}}}),
        (
            frames.stream(8, 70, b"secret", True),
            {"frame_type": "stream", "stream_id": 8, "offset": 70, "fin": True, "raw": {"length": 6}},
        ),
        (frames.numbers(frames.MAX_DATA, 5), {"frame_type": "max_data", "maximum": 5}),
        (
            frames.numbers(frames.MAX_STREAM_DATA, 4, 5),
            {"frame_type": "max_stream_data", "stream_id": 4, "maximum": 5},
        ),
        (
            frames.numbers(frames.MAX_STREAMS_UNI, 5),
            {"frame_type": "max_streams", "stream_type": "unidirectional", "maximum": 5},
        ),
        (frames.numbers(frames.DATA_BLOCKED, 5), {"frame_type": "data_blocked", "limit": 5}),
        (
            frames.numbers(frames.STREAM_DATA_BLOCKED, 4, 5),
            {"frame_type": "stream_data_blocked", "stream_id": 4, "limit": 5},
        ),
        (
            frames.numbers(frames.STREAMS_BLOCKED_BIDI, 5),
            {"frame_type": "streams_blocked", "stream_type": "bidirectional", "limit": 5},
        ),
        (
            frames.new_connection_id(3, 1, b"\xab\xcd", bytes(16)),
            {
                "frame_type": "new_connection_id",
                "sequence_number": 3,
                "retire_prior_to": 1,
                "connection_id": "abcd",
            },
        ),
        (
            frames.numbers(frames.RETIRE_CONNECTION_ID, 3),
            {"frame_type": "retire_connection_id", "sequence_number": 3},
        ),
        (frames.path_challenge(bytes(8)), {"frame_type": "path_challenge", "data": "00" * 8}),
        (frames.path_response(bytes(8)), {"frame_type": "path_response", "data": "00" * 8}),
        (
            frames.connection_close(0x0A, 6, b"why"),
            {
                "frame_type": "connection_close",
                "error_space": "transport",
                "error": "protocol_violation",
                "reason": "why",
                "trigger_frame_type": 6,
            },
        ),
        (
            frames.connection_close(7, None, b"\xff"),
            {
                "frame_type": "connection_close",
                "error_space": "application",
                "error": "unknown",
                "error_code": 7,
                "reason": "\ufffd",
            },
        ),
        (b"\x1e", {"frame_type": "handshake_done"}),
        (frames.datagram(b"secret"), {"frame_type": "datagram", "raw": {"length": 8, "payload_length": 6}}),
        (b"\x3f", {"frame_type": "unknown", "frame_type_bytes": 0x3F}),
        (b"\x06\x00", {"frame_type": "unknown", "frame_type_bytes": 6}),  # cut short
    ],
)
def test_each_frame_in_the_words_of_the_schema(payload: bytes, said: dict[str, Any]) -> None:
    assert frames_of(payload, ONE_RTT) == [said]
    assert b"secret" not in json.dumps(frames_of(payload, ONE_RTT)).encode()


def test_packets_with_all_their_frames() -> None:
    qlog, records = new()
    payload = frames.crypto(0, bytes(10)) + b"\x01" + bytes(3)
    qlog.packet_sent(INITIAL, 0, 1200, payload, 100.0015)
    qlog.exponent, qlog.peer_exponent = 5, 0
    qlog.packet_received(HANDSHAKE, 7, 300, frames.ack([(0, 1)], 100), 100.02)
    qlog.packet_dropped(50, 100.03)
    qlog.packet_lost(APPLICATION_SPACE, 4, True, 101.0)
    sent, received, dropped, lost = records[1:]
    assert (sent["time"], sent["name"]) == (1.5, "quic:packet_sent")
    assert sent["data"]["header"] == {"packet_type": "initial", "packet_number": 0}
    assert sent["data"]["raw"] == {"length": 1200}
    assert [each["frame_type"] for each in sent["data"]["frames"]] == ["crypto", "ping", "padding"]
    assert received["data"]["frames"][0]["ack_delay"] == 0.1
    assert dropped["data"]["raw"] == {"length": 50}
    assert lost["data"] == {
        "header": {"packet_type": "1RTT", "packet_number": 4},
        "trigger": "reordering_threshold",
    }


def test_what_was_agreed_on() -> None:
    qlog, records = new()
    qlog.version_information([1, 0x6B3343CF], 1, 100.0, client=True)
    qlog.alpn_information("h3", 100.0)
    parameters = TransportParameters(
        initial_max_data=5, max_idle_timeout=30.0, initial_source_connection_id=b"\xaa", stateless_reset_token=bytes(16)
    )
    qlog.parameters_set(parameters, 100.0, local=False)
    qlog.key_updated(True, 1, 100.0)
    qlog.connection_closed(None, 100.0, by_us=True)
    versions, alpn, said, key, closed = [each["data"] for each in records[1:]]
    assert versions == {"client_versions": ["00000001", "6b3343cf"], "chosen_version": "00000001"}
    assert alpn == {"chosen_alpn": {"string_value": "h3"}}
    assert (said["initiator"], said["initial_max_data"], said["max_idle_timeout"]) == ("remote", 5, 30_000)
    assert said["initial_source_connection_id"] == "aa"
    assert "stateless_reset_token" not in said
    assert key == {"key_type": "server_1rtt_secret", "key_phase": 1, "trigger": "local_update"}
    assert closed == {"initiator": "local", "trigger": "application"}


def test_metrics_when_they_change() -> None:
    qlog, records = new()
    sender = Sender()
    sender.send(5)
    qlog.recovery_metrics(sender.loss, 100.0)
    qlog.recovery_metrics(sender.loss, 100.1)
    sender.now = 0.05
    sender.ack(0, 1, 4)
    qlog.recovery_metrics(sender.loss, 100.2)
    first, second = [each["data"] for each in records[1:]]
    assert first["bytes_in_flight"] == 6000
    assert second["latest_rtt"] == 50.0
    assert "pto_count" not in second


def test_losses_are_told_with_their_reason() -> None:
    qlog, records = new()
    sender = Sender()
    sender.loss.on_lost = qlog.packet_lost
    sender.send(5)
    sender.now = 100.1
    sender.ack(3)
    sender.now = 300.0
    sender.loss.handle_timeout(300.0)
    lost = [(each["data"]["header"]["packet_number"], each["data"]["trigger"]) for each in records[1:]]
    assert lost == [(0, "reordering_threshold"), (1, "time_threshold"), (2, "time_threshold")]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0x0A, {"error": "protocol_violation"}),
        (0x12A, {"error": "crypto_error_0x12a"}),
        (0x11, {"error": "unknown", "error_code": 0x11}),
        (0x5000, {"error": "unknown", "error_code": 0x5000}),
    ],
)
def test_errors_have_the_schemas_names(code: int, said: dict[str, Any]) -> None:
    assert transport_error(code) == said


@pytest.mark.parametrize(
    ("error", "by_us", "said"),
    [
        (FlowControlError("why"), True, {"connection_error": "flow_control_error", "trigger": "error"}),
        (PeerClose(0x0A), False, {"connection_error": "protocol_violation", "trigger": "error"}),
        (PeerClose(7, application=True), False, {"application_error": "unknown", "error_code": 7, "trigger": "error"}),
        (IdleTimeout("why"), False, {"trigger": "idle_timeout"}),
        (StatelessReset(), False, {"trigger": "stateless_reset"}),
    ],
)
def test_why_it_ended(error: Error, by_us: bool, said: dict[str, Any]) -> None:
    qlog, records = new()
    qlog.connection_closed(error, 100.0, by_us=by_us)
    data = records[1]["data"]
    assert data.pop("reason")
    assert data == {"initiator": "local" if by_us else "remote", **said}


def test_the_log_of_two_connections() -> None:
    """All they have sent is in it, and nothing of what the application has."""
    written: dict[str, list[str]] = {}
    settings = {"quic": {"qlog": lambda name: written.setdefault(name, []).append}}
    link = quic_link(settings, settings, Bottleneck(queue=8000)).handshake()
    link.client.connection.key_update()
    stream_id = link.client.say(None, b"nobody else's business" * 3000)
    link.run(lambda: stream_id in link.client.ended)
    link.client.connection.shutdown()
    link.wait(5.0)
    client, server = sorted(written)
    assert client.removesuffix("_client") == server.removesuffix("_server")
    for name, by_client in ((client, True), (server, False)):
        records = [json.loads(each[1:]) for each in written[name]]
        assert "business" not in "".join(written[name])
        assert records[0]["trace"]["common_fields"]["reference_time"]["wall_clock_time"].endswith("Z")
        times = [each["time"] for each in records[1:]]
        assert times == sorted(times)
        names = {each["name"].removeprefix("quic:") for each in records[1:]}
        assert names >= {
            "packet_sent",
            "packet_received",
            "parameters_set",
            "version_information",
            "alpn_information",
            "recovery_metrics_updated",
            "connection_closed",
            "packet_lost",
        }
        assert ("key_updated" in names) is by_client
        sizes = [each["data"]["raw"]["length"] for each in records if each.get("name") == "quic:packet_sent"]
        assert 0 <= sum(map(len, link.datagrams(by_client))) - sum(sizes) < 100  # but for the last words
        (closed,) = [each["data"] for each in records if each.get("name") == "quic:connection_closed"]
        assert closed["initiator"] == ("local" if by_client else "remote")


def logged() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Settings of a connection that logs, and its records."""
    records: list[dict[str, Any]] = []
    return {"quic": {"qlog": lambda _: lambda record: records.append(json.loads(record[1:]))}}, records


def named(records: list[dict[str, Any]]) -> list[str]:
    return [each.get("name", "").removeprefix("quic:") for each in records]


def meet(client: QUICConnection, server: QUICConnection) -> None:
    """Let them talk until the client, and only the client, has completed the handshake."""
    for _ in range(9):
        if client.handshake_complete:
            return
        for datagram, _ in client.datagrams_to_send(0.0):
            server.receive_datagram(datagram, CLIENT, 0.0)
        for datagram, _ in server.datagrams_to_send(0.0):
            client.receive_datagram(datagram, SERVER, 0.0)
    raise AssertionError("no handshake")


def two(client: dict[str, Any], server: dict[str, Any]) -> tuple[QUICConnection, QUICConnection]:
    """A client that has begun, and a server."""
    one = QUICConnection(client_context(**client), server_side=False, server_hostname="example.test", addr=SERVER)
    one.advance(0.0)
    return one, QUICConnection(server_context(**server), server_side=True)


def test_what_comes_before_its_keys_is_buffered_and_not_dropped() -> None:
    log, records = logged()
    client, server = two({}, log)
    meet(client, server)
    stream_id = client.open_stream()
    assert stream_id is not None
    client.write_stream(stream_id, bytes(3000), fin=True)
    finished, *data = [datagram for datagram, _ in client.datagrams_to_send(0.0)]
    alone = [datagram for datagram in data if not datagram[0] & 0x80]
    assert alone
    before = len(records)
    for datagram in (*alone, b"\x40" + bytes(50), finished):
        server.receive_datagram(datagram, CLIENT, 0.0)
    names = named(records[before:])
    assert names[: len(alone) + 1] == ["packet_buffered"] * len(alone) + ["packet_dropped"]
    assert {"packet_buffered", "packet_dropped"}.isdisjoint(names[len(alone) + 1 :])
    assert server.read_stream(stream_id) == (bytes(3000), True)
    assert records[before]["data"] == {
        "header": {"packet_type": "1RTT"},
        "raw": {"length": len(alone[0])},
        "trigger": "keys_unavailable",
    }


def test_what_is_buffered_is_told_once_however_often_it_is_tried() -> None:
    log, records = logged()
    client, server = two(log, {})
    hello = client.datagrams_to_send(0.0)
    client.receive_datagram(b"\x40" + client.connection_ids[0] + bytes(50), SERVER, 0.0)
    for datagram, _ in hello:
        server.receive_datagram(datagram, CLIENT, 0.0)
    meet(client, server)  # tried with the keys of the handshake, and in vain with those of 1-RTT packets
    assert named(records).count("packet_buffered") == 1


@pytest.mark.parametrize("left", [0, 1, 2, 9])
@pytest.mark.parametrize("server_side", [False, True])
def test_a_log_that_cannot_be_written_ends_and_nothing_else(
    left: int, server_side: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason for a connection to fail; it is reported once."""
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(str(arguments.exc_value)))
    room = left

    def write(record: str) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError("no space left")

    logged = {"quic": {"qlog": lambda name: write}}
    link = quic_link(**({"server": logged} if server_side else {"client": logged})).handshake()
    link.client.connection.shutdown()
    link.run(lambda: link.client.connection.terminated and link.server.connection.terminated)
    assert link.server.connection.close_notify_received
    assert reported == ["no space left"]
