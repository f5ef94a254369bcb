from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.errors import DecodeError, IllegalParameter
from caesura.wire import codec as c
from tests.wire.strategies import values


class Colour(IntEnum):
    red = 3
    blue = 5


@dataclass(slots=True)
class Pair:
    left: int
    right: bytes


@dataclass(slots=True)
class Tagged:
    tag: int
    body: object


PAIR = c.Struct(Pair, left=c.U16, right=c.Opaque(0, 9))
TAGGED = c.Select(Tagged, c.U8, {1: c.U16})


def even(number: int) -> None:
    if number % 2:
        raise IllegalParameter("odd")


# codec, value, bytes: read in both directions
ROWS = [
    (c.U8, 7, "07"),
    (c.U8, 255, "ff"),
    (c.U16, 0x0304, "0304"),
    (c.U24, 0x010203, "010203"),
    (c.U32, 16909060, "01020304"),  # the example of RFC 9846 section 3.3
    (c.U64, 2**64 - 1, "ff" * 8),
    (c.Fixed(3), b"abc", "616263"),
    (c.Opaque(0, 255), b"", "00"),
    (c.Opaque(0, 256), b"a", "000161"),
    (c.Opaque(300, 400), b"x" * 300, "012c" + "78" * 300),  # "mandatory" of section 3.4
    (c.Opaque(0, 2**16 - 1), b"a", "000161"),
    (c.Opaque(0, 2**16), b"a", "00000161"),
    (c.Opaque(1, 2**24 - 1), b"ab", "0000026162"),
    (c.Vector(c.U16, 0, 800), (), "0000"),  # "longer" of section 3.4
    (c.Vector(c.U16, 0, 800), (1, 2), "000400010002"),
    (c.Vector(c.U8, 1, 255), (1, 2), "020102"),
    (c.Vector(c.U24, 0, 255), (1, 2), "06000001000002"),
    (c.Vector(c.Opaque(1, 255), 2, 65535), (b"h2", b"x"), "0005026832" + "0178"),
    (c.Vector(PAIR, 0, 255), (Pair(1, b""), Pair(2, b"a")), "07000100" + "00020161"),
    (c.One(c.Vector(c.U16, 2, 254)), 9, "020009"),
    (c.Enumerated(Colour, c.U8), Colour.blue, "05"),
    (c.Enumerated(Colour, c.U16), 4, "0004"),
    (c.Vector(c.Enumerated(Colour, c.U16), 0, 8), (Colour.red, 4), "0400030004"),
    (c.ClosedEnumerated(Colour, c.U8), Colour.red, "03"),
    (PAIR, Pair(1, b"ab"), "0001026162"),
    (c.Case(c.U8, 7, c.U16), 1, "070001"),
    (TAGGED, Tagged(1, 2), "010002"),
    (c.Checked(c.U16, even), 2, "0002"),
    (c.Remembered(c.Vector(c.U8, 1, 255)), (1, 2), "020102"),
]


def name(row: Any) -> str | None:
    return type(row).__name__ if isinstance(row, c.Codec) else None


@pytest.mark.parametrize(("codec", "value", "text"), ROWS, ids=name)
class TestRows:
    def test_read(self, codec: c.Codec[Any], value: object, text: str) -> None:
        assert codec.decode(bytes.fromhex(text)) == value

    def test_written(self, codec: c.Codec[Any], value: object, text: str) -> None:
        assert codec.encode(value).hex() == text

    def test_read_between_other_bytes(self, codec: c.Codec[Any], value: object, text: str) -> None:
        data = bytes.fromhex(text)
        if not isinstance(codec, c.Select):
            assert codec.read(b"\xff\xff" + data + b"\xff", 2) == (value, 2 + len(data))

    def test_every_truncation_fails(self, codec: c.Codec[Any], value: object, text: str) -> None:
        data = bytes.fromhex(text)
        for length in range(len(data)):
            with pytest.raises(DecodeError):
                codec.decode(data[:length])

    def test_a_byte_too_many_fails(self, codec: c.Codec[Any], value: object, text: str) -> None:
        with pytest.raises(DecodeError, match="left over"):
            codec.decode(bytes.fromhex(text) + b"\0")

    @settings(max_examples=30)
    @given(data=st.data())
    def test_round_trip(self, codec: c.Codec[Any], value: object, text: str, data: st.DataObject) -> None:
        drawn = data.draw(values(codec))
        assert codec.decode(codec.encode(drawn)) == drawn


def test_known_codes_become_members_and_others_stay_numbers() -> None:
    codec = c.Enumerated(Colour, c.U16)
    assert codec.decode(b"\0\3") is Colour.red
    assert type(codec.decode(b"\0\4")) is int
    assert [type(code) for code in c.Vector(codec, 0, 8).decode(b"\4\0\3\0\4")] == [Colour, int]


def test_some_members_of_an_enum_only() -> None:
    assert type(c.Enumerated((Colour.red,), c.U8).decode(b"\5")) is int


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (c.Opaque(1, 255), "00"),
        (c.Opaque(0, 8), "09" + "00" * 9),
        (c.Vector(c.U16, 2, 8), "00"),
        (c.Vector(c.U16, 0, 8), "03000102"),  # no whole number of items
        (c.Vector(c.U24, 0, 8), "0400010203"),
        (c.Vector(c.U16, 0, 4), "06000100020003"),
        (c.Vector(c.Fixed(3), 0, 255), "04" + "00" * 4),
        (c.Vector(c.Opaque(0, 255), 0, 255), "020261"),  # an item longer than the vector around it
        (c.One(c.Vector(c.U8, 0, 255)), "00"),
        (c.One(c.Vector(c.U8, 0, 255)), "020102"),
        (c.Case(c.U8, 7, c.U16), "080001"),
    ],
    ids=name,
)
def test_out_of_bounds_or_out_of_shape_is_a_decode_error(codec: c.Codec[Any], text: str) -> None:
    with pytest.raises(DecodeError):
        codec.decode(bytes.fromhex(text))


def test_a_length_behind_the_end_of_the_vector_does_not_reach_what_follows() -> None:
    inner = c.Vector(c.Opaque(0, 255), 0, 255)
    assert inner.read(bytes.fromhex("020161") + b"tail", 0) == ((b"a",), 3)
    with pytest.raises(DecodeError):
        inner.read(bytes.fromhex("020261") + b"tail", 0)


def test_illegal_parameter() -> None:
    with pytest.raises(IllegalParameter, match="7 is no Colour"):
        c.ClosedEnumerated(Colour, c.U8).decode(b"\7")
    with pytest.raises(IllegalParameter, match="odd"):
        c.Checked(c.U16, even).decode(b"\0\1")


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (c.U8, 256),
        (c.U8, -1),
        (c.U24, 2**24),
        (c.U24, -1),
        (c.Fixed(2), b"abc"),
        (c.Opaque(1, 8), b""),
        (c.Opaque(0, 8), bytes(9)),
        (c.Vector(c.U16, 2, 8), ()),
        (c.Vector(c.U16, 2, 8), (1, 2, 3, 4, 5)),
        (c.Vector(c.U16, 2, 8), (2**16,)),
        (c.Enumerated(Colour, c.U8), 256),
        (c.EMPTY, False),
    ],
    ids=name,
)
def test_writing_out_of_bounds_is_a_value_error(codec: c.Codec[Any], value: object) -> None:
    with pytest.raises(ValueError):
        codec.encode(value)


def test_an_error_names_the_field() -> None:
    outer = c.Struct(Tagged, tag=c.U8, body=c.Vector(PAIR, 0, 255))
    with pytest.raises(DecodeError, match=r"Tagged\.body: Pair\.right: cut short"):
        outer.decode(bytes.fromhex("01" + "03" + "000102"))


@pytest.mark.parametrize("fields", [{"right": c.U16, "left": c.U16}, {"left": c.U16}, {"left": c.U16, "rigth": c.U8}])
def test_a_struct_whose_names_are_not_the_dataclass_s_is_refused(fields: dict[str, c.Codec[Any]]) -> None:
    with pytest.raises(TypeError, match="Pair"):
        c.Struct(Pair, **fields)


def test_an_unknown_arm_keeps_its_bytes() -> None:
    assert TAGGED.decode(b"\2abc") == Tagged(2, b"abc")
    assert TAGGED.encode(Tagged(2, b"abc")) == b"\2abc"


def test_empty_is_present() -> None:
    assert c.EMPTY.decode(b"") is True
    assert c.EMPTY.encode(True) == b""
    with pytest.raises(DecodeError):
        c.EMPTY.decode(b"\0")


def test_rest_takes_what_is_there() -> None:
    assert c.REST.decode(b"") == b""
    assert c.REST.read(b"abcd", 2) == (b"cd", 4)


class Counting(c.Codec[tuple[int, ...]]):
    def __init__(self) -> None:
        self.calls = 0

    def read(self, data: bytes, pos: int) -> tuple[tuple[int, ...], int]:
        self.calls += 1
        return tuple(data[pos:]), len(data)

    def encode(self, value: tuple[int, ...]) -> bytes:
        return bytes(value)


def test_what_comes_again_is_decoded_once() -> None:
    counting = Counting()
    codec = c.Remembered(counting, kept=2, longest=4)
    assert codec.decode(b"abcd") is codec.decode(b"abcd")
    assert counting.calls == 1


def test_what_is_remembered_is_bounded_in_number_and_length() -> None:
    counting = Counting()
    codec = c.Remembered(counting, kept=2, longest=4)
    codec.decode(b"abcde")
    codec.decode(b"abcde")
    assert counting.calls == 2
    for data in (b"a", b"b", b"c", b"a"):  # the third drops the first
        codec.decode(data)
    assert counting.calls == 6
