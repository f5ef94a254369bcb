"""What a connection does, as a log that tools can read: qlog in JSON text sequences (draft-ietf-quic-qlog-main-schema,
draft-ietf-quic-qlog-quic-events; RFC 7464).

The parts know nothing of it. A connection that is logged hands over the frames of each packet as they went, or came,
over the wire, and they are read a second time; one that is not has None in place of a `Qlog` and pays for a comparison.
Of what the application sends there are lengths in it, never bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from caesura.context import Settings
from caesura.errors import (
    TRANSPORT_ERRORS,
    Error,
    IdleTimeout,
    PeerClose,
    StatelessReset,
    TransportError,
    TransportErrorCode,
)
from caesura.jobs.wakeup import report
from caesura.quic import frames
from caesura.quic.frames import AckRanges, EcnCounts
from caesura.quic.levels import HANDSHAKE, INITIAL, ONE_RTT, ZERO_RTT
from caesura.quic.loss_detection import LossDetection
from caesura.quic.transport_parameters import TransportParameters

_EVENTS: Final = "urn:ietf:params:qlog:events:quic-13"  # drafts carry their number
_PACKET_TYPES: Final = {INITIAL: "initial", ZERO_RTT: "0RTT", HANDSHAKE: "handshake", ONE_RTT: "1RTT"}
_SPACES: Final = ("initial", "handshake", "1RTT")  # as packet types, for packets of which only the space is known
_LOGGED_PARAMETERS: Final = tuple(
    each.name for each in fields(TransportParameters) if each.name not in ("stateless_reset_token", "unknown")
)
_UNNAMED: Final = TransportErrorCode.VERSION_NEGOTIATION_ERROR  # the schema has no name for it

Json = dict[str, Any]


def log_of(settings: Settings, group: bytes, now: float, *, client: bool) -> Qlog | None:
    """The log of a connection that begins now; None when there is none. `group`: see `Qlog`."""
    write = settings.quic.qlog_writer(f"{group.hex()}_{'client' if client else 'server'}")
    if write is None:
        return None
    moment = datetime.fromtimestamp(settings.clock.wall(), UTC)
    wall = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Qlog(write, client=client, group=group, now=now, wall=wall)


def _nowhere(record: str) -> None:
    """Where the records go of a log that could not be written."""


class Qlog:
    """The log of one connection. `write` takes whole records, each with its separator in front and a newline behind.

    `group`: what both ends call the connection, the client's first destination connection id. `now` is monotonic, in
    seconds, and `wall` the same moment as RFC 3339 has it. `exponent` and `peer_exponent`: of ACK Delay fields.
    """

    __slots__ = ("_began", "_metrics", "_write", "exponent", "peer_exponent")

    def __init__(self, write: Callable[[str], object], *, client: bool, group: bytes, now: float, wall: str) -> None:
        self._write = write
        self._began = now
        self._metrics: Json = {}
        self.exponent = self.peer_exponent = 3
        self._record(
            {
                "file_schema": "urn:ietf:params:qlog:file:sequential",
                "serialization_format": "application/qlog+json-seq",
                "trace": {
                    "vantage_point": {"type": "client" if client else "server"},
                    "common_fields": {
                        "group_id": group.hex(),
                        "time_format": "relative_to_epoch",
                        "reference_time": {"clock_type": "monotonic", "epoch": "unknown", "wall_clock_time": wall},
                    },
                    "event_schemas": [_EVENTS],
                },
            }
        )

    def _record(self, value: Json) -> None:
        try:
            self._write("\x1e" + json.dumps(value, separators=(",", ":")) + "\n")
        except Exception as error:  # noqa: BLE001 - a log that cannot be written ends, and no connection with it
            report(error)
            self._write = _nowhere

    def event(self, name: str, now: float, data: Json) -> None:
        """One event of the quic namespace."""
        self._record({"time": round((now - self._began) * 1000, 3), "name": "quic:" + name, "data": data})

    # --- packets --------------------------------------------------------------------------------------------------

    def packet_sent(self, level: int, number: int, size: int, payload: bytes, now: float) -> None:
        """`payload`: the frames; `size`: bytes of the whole packet."""
        self.event("packet_sent", now, _packet(level, number, size, payload, self.exponent))

    def packet_received(self, level: int, number: int, size: int, payload: bytes, now: float) -> None:
        """The same of one that came and could be opened."""
        self.event("packet_received", now, _packet(level, number, size, payload, self.peer_exponent))

    def packet_dropped(self, size: int, now: float) -> None:
        """One that came and is not the peer's, or can never be read."""
        self.event("packet_dropped", now, {"raw": {"length": size}, "trigger": "general"})

    def packet_buffered(self, level: int, size: int, now: float) -> None:
        """One that came before its keys, and is kept until they are there: then `packet_received` follows."""
        header = {"packet_type": _PACKET_TYPES[level]}
        self.event("packet_buffered", now, {"header": header, "raw": {"length": size}, "trigger": "keys_unavailable"})

    def packet_lost(self, space: int, number: int, by_number: bool, now: float) -> None:
        """Loss detection has given one up."""
        header = {"packet_type": _SPACES[space], "packet_number": number}
        trigger = "reordering_threshold" if by_number else "time_threshold"
        self.event("packet_lost", now, {"header": header, "trigger": trigger})

    # --- what was agreed on -----------------------------------------------------------------------------------------

    def version_information(self, ours: Iterable[int], chosen: int, now: float, *, client: bool) -> None:
        """The versions we speak, and the one that is used."""
        versions = [f"{version:08x}" for version in ours]
        name = "client_versions" if client else "server_versions"
        self.event("version_information", now, {name: versions, "chosen_version": f"{chosen:08x}"})

    def alpn_information(self, chosen: str, now: float) -> None:
        """The application protocol."""
        self.event("alpn_information", now, {"chosen_alpn": {"string_value": chosen}})

    def parameters_set(self, parameters: TransportParameters, now: float, *, local: bool) -> None:
        """One side's transport parameters."""
        data: Json = {"initiator": "local" if local else "remote"}
        for name in _LOGGED_PARAMETERS:
            value = getattr(parameters, name)
            if isinstance(value, bytes):
                data[name] = value.hex()
            elif isinstance(value, float):
                data[name] = round(value * 1000)
            elif isinstance(value, int):
                data[name] = value
        if parameters.unknown:
            data["unknown_parameters"] = [{"id": code, "value": value.hex()} for code, value in parameters.unknown]
        self.event("parameters_set", now, data)

    def key_updated(self, server_side: bool, phase: int, now: float) -> None:
        """We have begun to write with the next 1-RTT key; which one it is is not logged."""
        key_type = "server_1rtt_secret" if server_side else "client_1rtt_secret"
        self.event("key_updated", now, {"key_type": key_type, "key_phase": phase, "trigger": "local_update"})

    def connection_closed(self, error: Error | None, now: float, *, by_us: bool) -> None:
        """The end. `error`: why, if it is a failure."""
        data: Json = {"initiator": "local" if by_us else "remote"}
        if isinstance(error, PeerClose):
            data |= {"application_error": "unknown", "error_code": error.error_code} if error.application else {}
            data |= {} if error.application else _renamed(transport_error(error.error_code))
        elif isinstance(error, TransportError):
            data |= _renamed(transport_error(error.error_code))
        if isinstance(error, IdleTimeout):
            data["trigger"] = "idle_timeout"
        elif isinstance(error, StatelessReset):
            data["trigger"] = "stateless_reset"
        else:
            data["trigger"] = "application" if error is None else "error"
        if error is not None:
            data["reason"] = error.strerror or ""
        self.event("connection_closed", now, data)

    # --- recovery -------------------------------------------------------------------------------------------------

    def recovery_metrics(self, loss: LossDetection, now: float) -> None:
        """What has changed of the estimates and the window since the last time."""
        estimate, congestion = loss.round_trip, loss.congestion
        found: Json = {
            "min_rtt": round(estimate.minimum * 1000, 3),
            "smoothed_rtt": round(estimate.smoothed * 1000, 3),
            "latest_rtt": round(estimate.latest * 1000, 3),
            "rtt_variance": round(estimate.variation * 1000, 3),
            "pto_count": loss.pto_count,
            "congestion_window": congestion.window,
            "bytes_in_flight": congestion.bytes_in_flight,
        }
        if not congestion.slow_start:
            found["ssthresh"] = int(congestion.threshold)
        changed = {name: value for name, value in found.items() if self._metrics.get(name) != value}
        if changed:
            self._metrics = found
            self.event("recovery_metrics_updated", now, changed)


def _packet(level: int, number: int, size: int, payload: bytes, exponent: int) -> Json:
    return {
        "header": {"packet_type": _PACKET_TYPES[level], "packet_number": number},
        "raw": {"length": size},
        "frames": frames_of(payload, level, exponent),
    }


def frames_of(payload: bytes, level: int, exponent: int = 3) -> list[Json]:
    """The frames of a packet as qlog has them; what cannot be read is `unknown`, and ends it."""
    reader, pos, size = _FrameReader(exponent), 0, len(payload)
    found = reader.found
    while pos < size:
        code, start = payload[pos], pos
        try:
            pos = frames.READERS[code](payload, pos + 1, code, level, reader)
        except (KeyError, TransportError):
            found.append({"frame_type": "unknown", "frame_type_bytes": code})
            break
        if code == frames.PADDING:
            found.append({"frame_type": "padding", "raw": {"payload_length": pos - start}})
        elif code == frames.PING:
            found.append({"frame_type": "ping"})
    return found


class _FrameReader:
    """Hears of each frame (frames.FrameReceiver), and writes it down."""

    __slots__ = ("_exponent", "found")

    def __init__(self, exponent: int) -> None:
        self._exponent = exponent
        self.found: list[Json] = []

    def _add(self, frame_type: str, **values: Any) -> None:
        self.found.append({"frame_type": frame_type, **values})

    def on_ack(self, level: int, ranges: AckRanges, delay: int, ecn: EcnCounts | None) -> None:  # noqa: ARG002
        acked = [[start] if stop - start == 1 else [start, stop - 1] for start, stop in ranges]
        marks = {} if ecn is None else dict(zip(("ect0", "ect1", "ce"), ecn, strict=True))
        self._add("ack", ack_delay=(delay << self._exponent) / 1000, acked_ranges=acked, **marks)

    def on_reset_stream(self, stream_id: int, error_code: int, final_size: int) -> None:
        self._add("reset_stream", stream_id=stream_id, error="unknown", error_code=error_code, final_size=final_size)

    def on_stop_sending(self, stream_id: int, error_code: int) -> None:
        self._add("stop_sending", stream_id=stream_id, error="unknown", error_code=error_code)

    def on_crypto(self, level: int, offset: int, data: bytes) -> None:  # noqa: ARG002
        self._add("crypto", offset=offset, raw={"length": len(data)})

    def on_new_token(self, token: bytes) -> None:
        self._add("new_token", token={"raw": {"length": len(token)}})

    def on_stream(self, stream_id: int, offset: int, data: bytes, fin: bool) -> None:
        self._add("stream", stream_id=stream_id, offset=offset, fin=fin, raw={"length": len(data)})

    def on_max_data(self, maximum: int) -> None:
        self._add("max_data", maximum=maximum)

    def on_max_stream_data(self, stream_id: int, maximum: int) -> None:
        self._add("max_stream_data", stream_id=stream_id, maximum=maximum)

    def on_max_streams(self, maximum: int, unidirectional: bool) -> None:
        self._add("max_streams", stream_type=_stream_type(unidirectional), maximum=maximum)

    def on_data_blocked(self, limit: int) -> None:
        self._add("data_blocked", limit=limit)

    def on_stream_data_blocked(self, stream_id: int, limit: int) -> None:
        self._add("stream_data_blocked", stream_id=stream_id, limit=limit)

    def on_streams_blocked(self, limit: int, unidirectional: bool) -> None:
        self._add("streams_blocked", stream_type=_stream_type(unidirectional), limit=limit)

    def on_new_connection_id(
        self,
        sequence_number: int,
        retire_prior_to: int,
        connection_id: bytes,
        reset_token: bytes,  # noqa: ARG002 - whoever has it can end the connection
    ) -> None:
        self._add(
            "new_connection_id",
            sequence_number=sequence_number,
            retire_prior_to=retire_prior_to,
            connection_id=connection_id.hex(),
        )

    def on_retire_connection_id(self, sequence_number: int) -> None:
        self._add("retire_connection_id", sequence_number=sequence_number)

    def on_path_challenge(self, data: bytes) -> None:
        self._add("path_challenge", data=data.hex())

    def on_path_response(self, data: bytes) -> None:
        self._add("path_response", data=data.hex())

    def on_connection_close(self, error_code: int, frame_type: int | None, reason: bytes) -> None:
        values: Json = {"reason": reason.decode("utf-8", "replace")}
        if frame_type is None:
            self._add("connection_close", error_space="application", error="unknown", error_code=error_code, **values)
            return
        self._add(
            "connection_close",
            error_space="transport",
            **transport_error(error_code),
            **values,
            trigger_frame_type=frame_type,
        )

    def on_handshake_done(self) -> None:
        self._add("handshake_done")

    def on_datagram(self, data: bytes, size: int) -> None:
        self._add("datagram", raw={"length": size, "payload_length": len(data)})


def transport_error(error_code: int) -> Json:
    """A transport's error code, as the schema names it."""
    if 0x100 <= error_code <= 0x1FF:
        return {"error": f"crypto_error_0x{error_code:x}"}
    if error_code in TRANSPORT_ERRORS and error_code != _UNNAMED:
        return {"error": TRANSPORT_ERRORS[error_code].name.lower()}
    return {"error": "unknown", "error_code": error_code}


def _renamed(error: Json) -> Json:
    """An error as events have it, which is not as frames have it."""
    return {"connection_error" if name == "error" else name: value for name, value in error.items()}


def _stream_type(unidirectional: bool) -> str:
    return "unidirectional" if unidirectional else "bidirectional"
