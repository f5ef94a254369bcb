"""Transport parameters: what each side declares in the handshake (RFC 9000 section 18; RFC 9221, 9287, 9368).

`TABLE` says each once: number, format, bounds, and whether only a server declares it. What is malformed, out of bounds,
there twice, or a client's that only a server may declare, is TRANSPORT_PARAMETER_ERROR. What two parameters mean
together, and whether connection ids are the right ones, is for the connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from caesura.crypto.quic import RESET_TOKEN_LENGTH
from caesura.errors import DecodeError, FrameEncodingError, TransportParameterError
from caesura.quic import varint
from caesura.quic.frames import MAX_STREAMS_LIMIT
from caesura.quic.packets import MAX_ID_LENGTH
from caesura.wire.codec import EMPTY, U16, U32, Checked, Codec, Fixed, Opaque, Struct

LONGEST_TIME: Final = 2**31 - 1
"""Milliseconds, some 25 days: what any timer of an operating system takes, and a float holds exactly."""

MAX_UNKNOWN: Final = 64
"""Parameters that we do not know and keep all the same; those beyond are passed over."""


@dataclass(slots=True)
class PreferredAddress:
    """Where a server would rather be reached (RFC 9000 section 18.2). An address family it has none of is all zeros."""

    ipv4_address: bytes
    ipv4_port: int
    ipv6_address: bytes
    ipv6_port: int
    connection_id: bytes
    stateless_reset_token: bytes = field(repr=False)  # whoever has it can end the connection


@dataclass(slots=True)
class VersionInformation:
    """RFC 9368 section 3."""

    chosen_version: int
    available_versions: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class TransportParameters:
    """One side's parameters, bytes and seconds; the defaults are what their absence means.

    `unknown` are the rest, by number, in their order.
    """

    original_destination_connection_id: bytes | None = None
    max_idle_timeout: float = 0.0  # 0: none
    stateless_reset_token: bytes | None = field(default=None, repr=False)
    max_udp_payload_size: int = 65_527
    initial_max_data: int = 0
    initial_max_stream_data_bidi_local: int = 0
    initial_max_stream_data_bidi_remote: int = 0
    initial_max_stream_data_uni: int = 0
    initial_max_streams_bidi: int = 0
    initial_max_streams_uni: int = 0
    ack_delay_exponent: int = 3
    max_ack_delay: float = 0.025
    disable_active_migration: bool = False
    preferred_address: PreferredAddress | None = None
    active_connection_id_limit: int = 2
    initial_source_connection_id: bytes | None = None
    retry_source_connection_id: bytes | None = None
    version_information: VersionInformation | None = None
    max_datagram_frame_size: int = 0  # 0: no DATAGRAM frames
    grease_quic_bit: bool = False
    unknown: tuple[tuple[int, bytes], ...] = ()

    def encode(self) -> bytes:
        """The extension_data: what differs from the default, in the order of the table, then what is unknown."""
        pieces: list[bytes] = []
        for name, code, encode, default in _ENCODING:
            value = getattr(self, name)
            if value != default:
                data = encode(value)
                pieces += code, varint.encode(len(data)), data
        for number, data in self.unknown:
            pieces += varint.encode(number), varint.encode(len(data)), data
        return b"".join(pieces)


# --- formats ----------------------------------------------------------------------------------------------------


class _Number(Codec[int]):
    """A variable-length integer between two bounds."""

    __slots__ = ("high", "low")

    def __init__(self, low: int = 0, high: int = varint.MAX) -> None:
        self.low: Final = low
        self.high: Final = high

    def read(self, data: bytes, pos: int) -> tuple[int, int]:
        try:
            value, stop = varint.decode(data, pos)
        except FrameEncodingError as error:
            raise DecodeError(error.strerror or "") from None
        if not self.low <= value <= self.high:
            raise DecodeError(f"{value} where {self.low} to {self.high} may stand")
        return value, stop

    def encode(self, value: int) -> bytes:
        return varint.encode(value)


class _Milliseconds(Codec[float]):
    """Seconds, on the wire in milliseconds; what is longer than LONGEST_TIME is read as that."""

    __slots__ = ("number",)

    def __init__(self, high: int = varint.MAX) -> None:
        self.number: Final = _Number(0, high)

    def read(self, data: bytes, pos: int) -> tuple[float, int]:
        value, stop = self.number.read(data, pos)
        return min(value, LONGEST_TIME) / 1000, stop

    def encode(self, value: float) -> bytes:
        return self.number.encode(round(value * 1000))


class _Id(Codec[bytes]):
    """A connection id that fills the parameter."""

    __slots__ = ()

    def read(self, data: bytes, pos: int) -> tuple[bytes, int]:
        if len(data) - pos > MAX_ID_LENGTH:
            raise DecodeError(f"a connection id of {len(data) - pos} bytes")
        return data[pos:], len(data)

    def encode(self, value: bytes) -> bytes:
        return value


class _Versions(Codec[tuple[int, ...]]):
    """Version numbers up to the end."""

    __slots__ = ()

    def read(self, data: bytes, pos: int) -> tuple[tuple[int, ...], int]:
        return U32.read_run(data[pos:]), len(data)

    def encode(self, value: tuple[int, ...]) -> bytes:
        return U32.encode_run(value)


def _no_version_zero(value: VersionInformation) -> None:
    if not value.chosen_version or not all(value.available_versions):
        raise DecodeError("version 0")


_TOKEN: Final = Fixed(RESET_TOKEN_LENGTH)
_PREFERRED_ADDRESS: Final = Struct(
    PreferredAddress,
    ipv4_address=Fixed(4),
    ipv4_port=U16,
    ipv6_address=Fixed(16),
    ipv6_port=U16,
    connection_id=Opaque(1, MAX_ID_LENGTH),
    stateless_reset_token=_TOKEN,
)
_VERSION_INFORMATION: Final = Checked(
    Struct(
        VersionInformation,
        chosen_version=U32,
        available_versions=_Versions(),
    ),
    _no_version_zero,
)


class Parameter(NamedTuple):
    """One row of the table."""

    name: str
    codec: Codec[Any]
    server_only: bool = False


TABLE: Final[dict[int, Parameter]] = {
    0x00: Parameter("original_destination_connection_id", _Id(), server_only=True),
    0x01: Parameter("max_idle_timeout", _Milliseconds()),
    0x02: Parameter("stateless_reset_token", _TOKEN, server_only=True),
    0x03: Parameter("max_udp_payload_size", _Number(low=1200)),
    0x04: Parameter("initial_max_data", _Number()),
    0x05: Parameter("initial_max_stream_data_bidi_local", _Number()),
    0x06: Parameter("initial_max_stream_data_bidi_remote", _Number()),
    0x07: Parameter("initial_max_stream_data_uni", _Number()),
    0x08: Parameter("initial_max_streams_bidi", _Number(high=MAX_STREAMS_LIMIT)),
    0x09: Parameter("initial_max_streams_uni", _Number(high=MAX_STREAMS_LIMIT)),
    0x0A: Parameter("ack_delay_exponent", _Number(high=20)),
    0x0B: Parameter("max_ack_delay", _Milliseconds(high=2**14 - 1)),
    0x0C: Parameter("disable_active_migration", EMPTY),
    0x0D: Parameter("preferred_address", _PREFERRED_ADDRESS, server_only=True),
    0x0E: Parameter("active_connection_id_limit", _Number(low=2)),
    0x0F: Parameter("initial_source_connection_id", _Id()),
    0x10: Parameter("retry_source_connection_id", _Id(), server_only=True),
    0x11: Parameter("version_information", _VERSION_INFORMATION),  # RFC 9368
    0x20: Parameter("max_datagram_frame_size", _Number()),  # RFC 9221
    0x2AB2: Parameter("grease_quic_bit", EMPTY),  # RFC 9287
}

_DEFAULTS: Final = {each.name: each.default for each in fields(TransportParameters)}
_ENCODING: Final = tuple(
    (row.name, varint.encode(code), row.codec.encode, _DEFAULTS[row.name]) for code, row in TABLE.items()
)


def decode_untrusted(data: bytes, *, from_server: bool) -> TransportParameters:
    """The peer's parameters. Raises TransportParameterError."""
    found: dict[str, Any] = {}
    unknown: list[tuple[int, bytes]] = []
    seen: set[int] = set()
    pos, size, name = 0, len(data), ""
    try:
        while pos < size:
            code, pos = varint.decode(data, pos)
            length, pos = varint.decode(data, pos)
            value, pos = data[pos : pos + length], pos + length
            if code in seen:
                raise TransportParameterError(f"parameter {code:#x} twice", section=_SECTION)
            seen.add(code)
            if pos > size:
                raise TransportParameterError(f"parameter {code:#x} is cut short", section=_SECTION)
            row = TABLE.get(code)
            if row is None:
                if len(unknown) < MAX_UNKNOWN:
                    unknown.append((code, value))
                continue
            name, codec, server_only = row
            if server_only and not from_server:
                raise TransportParameterError(f"{name} of a client", section="RFC 9000 section 18.2")
            found[name] = codec.decode(value)
    except FrameEncodingError as error:
        raise TransportParameterError(error.strerror or "", section=_SECTION) from None
    except DecodeError as error:
        raise TransportParameterError(f"{name}: {error.strerror}", section="RFC 9000 section 18.2") from None
    return TransportParameters(**found, unknown=tuple(unknown))


_SECTION: Final = "RFC 9000 section 7.4"
