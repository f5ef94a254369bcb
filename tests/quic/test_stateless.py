"""What a server says to packets of nobody (RFC 9000 sections 5.2.2, 6, 8.1.2, 10.3, 20.1)."""

from __future__ import annotations

import pytest

from caesura.context import Context, Method
from caesura.crypto.quic import initial_secrets
from caesura.errors import ConnectionRefused, InvalidToken
from caesura.quic import frames, packets
from caesura.quic.levels import INITIAL
from caesura.quic.packets import LongHeader
from caesura.quic.protection import ReadKey
from caesura.quic.stateless import StatelessAnswers, address_bytes
from caesura.quic.stateless_reset import token_of
from caesura.quic.tokens import AddressTokens, Validated
from caesura.quic.version_negotiation import is_reserved
from caesura.quic.versions import QUIC1, QUIC2, VersionParameters
from tests.tls import world

ADDR, ELSEWHERE = ("192.0.2.1", 5000), ("192.0.2.9", 5000)
ORIGINAL, SOURCE = b"original", b"client"


def answers(**quic: object) -> StatelessAnswers:
    context: Context = world.server_context(method=Method.QUIC, alpn=["x"], quic=quic)
    settings = context.settings
    return StatelessAnswers(settings, AddressTokens(settings.quic.token_keys, 15.0, 86_400.0, 100), [1, 0x6B3343CF])


def initial(token: bytes = b"", destination: bytes = ORIGINAL, parameters: VersionParameters = QUIC1) -> LongHeader:
    """An Initial packet of a client's, as far as its header goes."""
    start = packets.long_header(parameters, INITIAL, destination, SOURCE, token)
    header = packets.read_long(start + b"\x44\x00" + bytes(1024), 0)
    assert header is not None
    return header


def test_version_negotiation_says_what_is_spoken() -> None:
    packet = answers().version_negotiation(ORIGINAL, SOURCE)
    found = packets.read_version_negotiation(packet)
    assert found is not None
    destination, source, versions = found
    assert (destination, source) == (SOURCE, ORIGINAL)
    assert versions[:2] == (1, 0x6B3343CF)
    assert is_reserved(versions[2])


@pytest.mark.parametrize("parameters", [QUIC1, QUIC2], ids=["version 1", "version 2"])
@pytest.mark.parametrize("length", [0, 4, 8, 20])
def test_a_retry_brings_a_token_that_proves_the_address(parameters: VersionParameters, length: int) -> None:
    server = answers(connection_id_length=length)
    header = initial(parameters=parameters)
    packet = server.retry(header, ADDR, 1e9)
    retry = packets.read_long(packet, 0)
    assert retry is not None
    assert packets.retry_is_genuine(retry, packet, ORIGINAL)
    assert (retry.destination, len(retry.source)) == (SOURCE, max(length, 8))
    assert len(packet) < 1200
    again = initial(retry.token, retry.source, parameters)
    assert server.prove(again, ADDR, 1e9 + 1) == Validated(ORIGINAL, retry.source)
    for header, addr, wall in (
        (again, ELSEWHERE, 1e9 + 1),
        (again, ADDR, 1e9 + 16),
        (initial(retry.token, ORIGINAL, parameters), ADDR, 1e9 + 1),
    ):
        with pytest.raises(InvalidToken):
            server.prove(header, addr, wall)


@pytest.mark.parametrize("token", [b"", b"x", bytes(100)])
def test_what_is_no_token_of_ours_proves_nothing(token: bytes) -> None:
    assert answers().prove(initial(token), ADDR, 1e9) is None


@pytest.mark.parametrize("parameters", [QUIC1, QUIC2], ids=["version 1", "version 2"])
@pytest.mark.parametrize("error", [InvalidToken(), ConnectionRefused()])
def test_a_refusal_is_a_packet_that_the_client_can_read(
    parameters: VersionParameters, error: InvalidToken | ConnectionRefused
) -> None:
    header = initial(parameters=parameters)
    packet = answers().refuse(header, error)
    assert len(packet) < 100
    found = packets.read_long(packet, 0)
    assert found is not None
    assert (found.kind, found.destination, found.stop) == (INITIAL, SOURCE, len(packet))
    _, server = initial_secrets(parameters.initial_salt, ORIGINAL)
    opened = ReadKey(server, parameters.label).open_untrusted(packet, 0, found.number_at, found.stop, -1)
    assert opened == (0, frames.connection_close(error.error_code, 0, b""))


def test_a_reset_carries_the_token_of_the_id() -> None:
    server, other = answers(), answers()
    packet = server.reset(b"12345678", 1200)
    assert packet is not None
    assert not packet[0] & packets.LONG_HEADER
    again = server.reset(b"12345678", 1200)
    assert again is not None
    assert token_of(packet) == token_of(again)
    strange = other.reset(b"12345678", 1200)
    assert strange is not None
    assert token_of(packet) != token_of(strange)


@pytest.mark.parametrize("size", [22, 30, 43, 100, 1200])
def test_a_reset_is_smaller_than_what_it_answers(size: int) -> None:
    packet = answers().reset(b"12345678", size)
    assert packet is not None
    assert len(packet) < size
    assert answers().reset(b"12345678", 21) is None


@pytest.mark.parametrize(
    ("addr", "host"),
    [
        (("192.0.2.1", 5000), "'192.0.2.1'"),
        (("::1", 5000, 0, 0), "'::1'"),
        ("pipe", "'pipe'"),
        (None, "None"),
        ((), "()"),
    ],
)
def test_a_token_for_the_next_time_goes_by_the_host(addr: object, host: str) -> None:
    assert address_bytes(addr) == (repr(addr).encode(), host.encode())
