"""Which version is spoken, and that nobody else decides it (RFC 9368)."""

from __future__ import annotations

import pytest

from caesura.errors import Error, TransportParameterError, VersionNegotiationError
from caesura.quic.transport_parameters import VersionInformation
from caesura.quic.version_negotiation import check_server, choose, is_reserved, reserved, select

ONE, TWO, GREASE = 1, 0x6B3343CF, 0x1A2A3A4A


@pytest.mark.parametrize(
    ("chosen", "available", "ours", "selected"),
    [
        (ONE, (ONE, TWO), (TWO, ONE), TWO),
        (ONE, (ONE, TWO), (ONE, TWO), ONE),
        (ONE, (GREASE, ONE), (TWO, ONE), ONE),
        (TWO, (TWO, ONE), (ONE,), ONE),
        (ONE, None, (TWO, ONE), ONE),
    ],
)
def test_what_a_server_goes_on_in(
    chosen: int, available: tuple[int, ...] | None, ours: tuple[int, ...], selected: int
) -> None:
    information = None if available is None else VersionInformation(chosen, available)
    assert select(chosen, information, ours) == selected


@pytest.mark.parametrize(
    ("information", "error"),
    [
        (VersionInformation(ONE, ()), TransportParameterError),
        (VersionInformation(ONE, (TWO,)), TransportParameterError),
        (VersionInformation(TWO, (ONE, TWO)), VersionNegotiationError),
    ],
)
def test_what_a_server_does_not_take(information: VersionInformation, error: type[Error]) -> None:
    with pytest.raises(error):
        select(ONE, information, (ONE, TWO))


def test_what_a_client_tries_next() -> None:
    assert choose(ONE, [GREASE, TWO], (ONE, TWO)) == TWO
    assert choose(ONE, [ONE, TWO], (ONE, TWO)) is None
    with pytest.raises(VersionNegotiationError, match="0x2"):
        choose(ONE, [GREASE, 2], (ONE, TWO))
    with pytest.raises(VersionNegotiationError, match="none"):
        choose(ONE, [GREASE], (ONE, TWO))


@pytest.mark.parametrize(
    ("information", "negotiated", "chosen", "reacted", "good"),
    [
        (VersionInformation(ONE, (ONE, TWO)), ONE, ONE, False, True),
        (VersionInformation(TWO, (ONE, TWO)), TWO, ONE, False, True),
        (VersionInformation(ONE, ()), ONE, ONE, False, True),
        (None, ONE, ONE, False, True),
        (None, TWO, ONE, False, False),  # nothing says that the server meant it
        (None, ONE, ONE, True, True),  # it knows version 1 alone (RFC 9368 section 8)
        (None, TWO, ONE, True, False),
        (None, TWO, TWO, True, False),
        (VersionInformation(ONE, (ONE, TWO)), TWO, ONE, False, False),  # the long header says something else
        (VersionInformation(3, (3,)), 3, ONE, False, False),  # never offered
        (VersionInformation(ONE, (ONE,)), ONE, ONE, True, True),
        (VersionInformation(ONE, ()), ONE, ONE, True, False),
        (VersionInformation(ONE, (ONE, TWO)), ONE, ONE, True, False),  # we would have chosen the other
        (VersionInformation(TWO, (ONE, TWO)), TWO, TWO, True, True),
    ],
)
def test_what_a_client_checks_at_the_end(
    information: VersionInformation | None, negotiated: int, chosen: int, reacted: bool, good: bool
) -> None:
    def check() -> None:
        check_server(information, negotiated, (TWO, ONE), chosen=chosen, reacted=reacted)

    if good:
        check()
    else:
        with pytest.raises(VersionNegotiationError):
            check()


def test_reserved_versions() -> None:
    for noise in (bytes(4), b"\xff" * 4, b"\x12\x34\x56\x78"):
        assert is_reserved(reserved(noise))
    assert is_reserved(GREASE)
    assert not is_reserved(ONE)
    assert not is_reserved(TWO)
