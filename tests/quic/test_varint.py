"""Variable-length integers (RFC 9000 section 16)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.errors import FrameEncodingError
from caesura.quic import varint

ROWS = [
    (0, "00"),
    (37, "25"),  # from here to the long one: RFC 9000 appendix A.1
    (15_293, "7bbd"),
    (494_878_333, "9d7f3e7d"),
    (151_288_809_941_952_652, "c2197c5eff14e88c"),
    (63, "3f"),
    (64, "4040"),
    (16_383, "7fff"),
    (16_384, "80004000"),
    (2**30 - 1, "bfffffff"),
    (2**30, "c000000040000000"),
    (varint.MAX, "ff" * 8),
]


@pytest.mark.parametrize(("value", "encoded"), ROWS)
def test_a_number_and_its_bytes(value: int, encoded: str) -> None:
    raw = bytes.fromhex(encoded)
    assert varint.encode(value) == raw
    assert varint.size(value) == len(raw)
    assert varint.decode(b"\xff" + raw + b"\xff", 1) == (value, 1 + len(raw))


@pytest.mark.parametrize(("encoded", "value"), [("4025", 37), ("80000025", 37), ("c000000000000025", 37), ("4000", 0)])
def test_longer_forms_are_read(encoded: str, value: int) -> None:
    assert varint.decode(bytes.fromhex(encoded), 0) == (value, len(encoded) // 2)


@pytest.mark.parametrize("encoded", ["", "40", "800000", "80", "c0", "c0000000000000"])
def test_what_is_cut_short(encoded: str) -> None:
    with pytest.raises(FrameEncodingError):
        varint.decode(bytes.fromhex(encoded), 0)
    with pytest.raises(FrameEncodingError):
        varint.decode(b"\0" + bytes.fromhex(encoded), 1)


@pytest.mark.parametrize("value", [-1, varint.MAX + 1])
def test_what_cannot_be_written(value: int) -> None:
    with pytest.raises(ValueError, match="variable-length"):
        varint.encode(value)


def test_two_bytes_whatever_the_number() -> None:
    assert [varint.encode_two(value).hex() for value in (0, 37, 16_383)] == ["4000", "4025", "7fff"]


@given(st.integers(0, varint.MAX))
def test_every_number_comes_back(value: int) -> None:
    raw = varint.encode(value)
    assert varint.decode(raw, 0) == (value, len(raw))
    assert len(raw) == varint.size(value)
