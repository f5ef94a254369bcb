"""Transport parameters: bytes and values in both directions, bounds, and who may declare what (RFC 9000 section 18)."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import TransportParameterError
from caesura.quic.transport_parameters import (
    LONGEST_TIME,
    MAX_UNKNOWN,
    TABLE,
    PreferredAddress,
    TransportParameters,
    VersionInformation,
    decode_untrusted,
)

TOKEN, ID = bytes(range(16)), bytes(range(20))
BIG, MAX = 2**62 - 1, "ff" * 8
STREAMS = f"d{0:015x}"  # 2**60
PREFERRED = PreferredAddress(bytes([127, 0, 0, 1]), 4433, bytes(15) + b"\1", 4434, b"id", TOKEN)

ROWS: list[tuple[str, Any, str]] = [
    ("original_destination_connection_id", ID, f"00 14 {ID.hex()}"),
    ("original_destination_connection_id", b"", "00 00"),
    ("max_idle_timeout", 30.0, "01 04 80007530"),
    ("max_idle_timeout", 0.001, "01 01 01"),
    ("stateless_reset_token", TOKEN, f"02 10 {TOKEN.hex()}"),
    ("max_udp_payload_size", 1200, "03 02 44b0"),
    ("max_udp_payload_size", BIG, f"03 08 {MAX}"),
    ("initial_max_data", 1_048_576, "04 04 80100000"),
    ("initial_max_stream_data_bidi_local", 5, "05 01 05"),
    ("initial_max_stream_data_bidi_remote", 6, "06 01 06"),
    ("initial_max_stream_data_uni", BIG, f"07 08 {MAX}"),
    ("initial_max_streams_bidi", 2**60, f"08 08 {STREAMS}"),
    ("initial_max_streams_uni", 2**60, f"09 08 {STREAMS}"),
    ("ack_delay_exponent", 20, "0a 01 14"),
    ("ack_delay_exponent", 0, "0a 01 00"),
    ("max_ack_delay", 16.383, "0b 02 7fff"),
    ("max_ack_delay", 0.0, "0b 01 00"),
    ("disable_active_migration", True, "0c 00"),
    (
        "preferred_address",
        PREFERRED,
        f"0d 2b 7f000001 1151 {'00' * 15}01 1152 02 6964 {TOKEN.hex()}",
    ),
    ("active_connection_id_limit", BIG, f"0e 08 {MAX}"),
    ("initial_source_connection_id", b"id", "0f 02 6964"),
    ("retry_source_connection_id", b"", "10 00"),
    ("version_information", VersionInformation(1, ()), "11 04 00000001"),
    ("version_information", VersionInformation(1, (1, 0x6B3343CF)), "11 0c 00000001 00000001 6b3343cf"),
    ("max_datagram_frame_size", 65_535, "20 04 8000ffff"),
    ("grease_quic_bit", True, "6ab2 00"),
    ("unknown", ((27, b"grease"), (0x1234, b"")), "1b 06 677265617365 5234 00"),
]


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(("name", "value", "encoded"), ROWS, ids=[f"{row[0]}-{row[2][:14]}" for row in ROWS])
def test_a_parameter_and_its_bytes(name: str, value: Any, encoded: str) -> None:
    parameters = TransportParameters(**{name: value})
    assert parameters.encode() == raw(encoded)
    assert decode_untrusted(raw(encoded), from_server=True) == parameters
    for size in range(1, len(raw(encoded))):
        if name == "unknown" and size == 8:
            continue  # the first of the two
        with pytest.raises(TransportParameterError):
            decode_untrusted(raw(encoded)[:size], from_server=True)


def test_every_parameter_is_tried_and_has_a_row() -> None:
    names = {each.name for each in fields(TransportParameters)}
    assert {row[0] for row in ROWS} == names
    assert {row.name for row in TABLE.values()} == names - {"unknown"}


def test_defaults_are_not_said() -> None:
    assert TransportParameters().encode() == b""
    assert decode_untrusted(b"", from_server=False) == TransportParameters()


def test_several_in_any_order() -> None:
    one, two = raw("04 01 05"), raw("0a 01 01")
    expected = TransportParameters(initial_max_data=5, ack_delay_exponent=1)
    assert decode_untrusted(two + one, from_server=False) == expected
    assert decode_untrusted(one + two, from_server=False) == expected


@pytest.mark.parametrize(
    "encoded",
    [
        "03 02 44af",  # max_udp_payload_size of 1199
        f"08 08 {int(STREAMS, 16) + 1:x}",
        f"09 08 {int(STREAMS, 16) + 1:x}",
        "0a 01 15",  # ack_delay_exponent of 21
        "0b 04 80004000",  # max_ack_delay of 16384 ms
        "0e 01 01",  # active_connection_id_limit of 1
        "01 00",  # numbers that are missing, cut short, or followed by something
        "04 01 40",
        "04 02 0500",
        "0c 01 00",  # flags that are not empty
        "6ab2 01 01",
        f"00 15 {'00' * 21}",  # ids of 21 bytes
        f"0f 15 {'00' * 21}",
        f"10 15 {'00' * 21}",
        f"02 0f {'00' * 15}",  # tokens of another length
        f"02 11 {'00' * 17}",
        f"0d 29 7f000001 1151 {'00' * 16} 1152 00 {TOKEN.hex()}",  # preferred_address with an empty id
        f"0d 3e 7f000001 1151 {'00' * 16} 1152 15 {'00' * 21} {TOKEN.hex()}",
        f"0d 2c 7f000001 1151 {'00' * 16} 1152 02 6964 {TOKEN.hex()} 00",
        "11 00",  # version_information: RFC 9368 section 4
        "11 03 000001",
        "11 06 00000001 0000",
        "11 04 00000000",
        "11 08 00000001 00000000",
        "04 01 05 04 01 05",  # twice
        "1b 00 1b 00",
        f"1b {MAX}",  # longer than anything
    ],
)
def test_what_is_not_taken(encoded: str) -> None:
    with pytest.raises(TransportParameterError):
        decode_untrusted(raw(encoded), from_server=True)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}-{row[2][:14]}" for row in ROWS])
def test_what_a_client_may_declare(row: tuple[str, Any, str]) -> None:
    name, value, encoded = row
    if name in {
        "original_destination_connection_id",
        "stateless_reset_token",
        "preferred_address",
        "retry_source_connection_id",
    }:
        with pytest.raises(TransportParameterError):
            decode_untrusted(raw(encoded), from_server=False)
    else:
        assert getattr(decode_untrusted(raw(encoded), from_server=False), name) == value


def test_of_unknown_ones_so_many_are_kept() -> None:
    many = tuple((31 * n + 27, b"x") for n in range(MAX_UNKNOWN + 5))
    parameters = decode_untrusted(TransportParameters(unknown=many).encode(), from_server=False)
    assert parameters.unknown == many[:MAX_UNKNOWN]


def test_a_time_beyond_all_timers_is_cut() -> None:
    parameters = decode_untrusted(raw(f"01 08 {MAX}"), from_server=False)
    assert parameters.max_idle_timeout == LONGEST_TIME / 1000
    assert decode_untrusted(parameters.encode(), from_server=False) == parameters


@given(st.binary(max_size=200), st.booleans())
def test_anything_is_parameters_or_an_error(data: bytes, from_server: bool) -> None:
    with contextlib.suppress(TransportParameterError):
        parameters = decode_untrusted(data, from_server=from_server)
        assert decode_untrusted(parameters.encode(), from_server=from_server) == parameters


def test_tokens_that_end_a_connection_are_not_shown() -> None:
    """Parameters are the application's to look at, and to log (RFC 9000 section 21.11)."""
    parameters = TransportParameters(stateless_reset_token=TOKEN, preferred_address=PREFERRED)
    assert "ipv4_port=4433" in repr(parameters)
    assert repr(TOKEN)[2:-1] not in repr(parameters)
    assert "token" not in repr(parameters)
