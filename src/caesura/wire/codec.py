"""The presentation language of RFC 9846 section 3, said once: small codecs that compose.

A format is declared in the RFC's own words and order, and the declaration is reader, writer and bounds in one:

    KEY_SHARE_ENTRY = Struct(KeyShareEntry, group=Enumerated(NamedGroup, U16), key_exchange=Opaque(1, 2**16 - 1))

Reading is strict: what is cut short, left over or out of bounds is a `DecodeError` that names the field. A reader never
looks beyond the `bytes` it was given, so a vector's items are read from the slice that is the vector's body, and a
length that points outside is found there and nowhere else. Writing out of bounds is a `ValueError`: that is our
mistake, not the peer's.

No codec here knows a protocol; the formats are in the modules that use them.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import IntEnum
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast

from caesura.errors import DecodeError, IllegalParameter

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)


class Codec(ABC, Generic[T]):
    """How values of one type stand on the wire."""

    __slots__ = ()

    @abstractmethod
    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Return the value that starts at `pos` and the place where it stops. Raises `DecodeError`."""

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """Return the value as bytes. Raises `ValueError` when it is out of bounds."""

    def decode(self, data: bytes) -> T:
        """Return the value that fills `data` exactly. Raises `DecodeError`."""
        value, stop = self.read(data, 0)
        if stop != len(data):
            raise DecodeError(f"{len(data) - stop} bytes left over")
        return value

    def read_run(self, data: bytes) -> tuple[T, ...]:
        """Return the values, one behind the other, that fill `data` exactly: the body of a vector."""
        values: list[T] = []
        pos, size = 0, len(data)
        while pos < size:
            value, pos = self.read(data, pos)
            values.append(value)
        return tuple(values)

    def encode_run(self, values: Iterable[T]) -> bytes:
        """Return the values one behind the other."""
        return b"".join([self.encode(value) for value in values])


# --- numbers (section 3.3) ---------------------------------------------------------------------------------------


class Uint(Codec[int]):
    """An unsigned number, most significant byte first; `letter` is what the struct module calls it."""

    __slots__ = ("_unpack_from", "letter", "pack", "size")

    def __init__(self, letter: str) -> None:
        layout = struct.Struct(f">{letter}")
        self.letter: Final = letter
        self.size: Final = layout.size
        self.pack: Final = layout.pack
        self._unpack_from: Final = layout.unpack_from

    def read(self, data: bytes, pos: int) -> tuple[int, int]:
        """Read the number."""
        try:
            return self._unpack_from(data, pos)[0], pos + self.size
        except struct.error:
            raise _cut_short(data, pos, self.size) from None

    def encode(self, value: int) -> bytes:
        """Write the number."""
        try:
            return value.to_bytes(self.size, "big")
        except OverflowError:
            raise ValueError(f"{value} does not fit {self.size} bytes") from None

    def encode_run(self, values: Iterable[int]) -> bytes:
        """Write all numbers at once."""
        numbers = tuple(values)
        try:
            return struct.pack(f">{len(numbers)}{self.letter}", *numbers)
        except struct.error as error:
            raise ValueError(str(error)) from None

    def read_run(self, data: bytes) -> tuple[int, ...]:
        """Read all numbers at once: lists of codes are the longest thing in a hello."""
        count, rest = divmod(len(data), self.size)
        if rest:
            raise DecodeError(f"{len(data)} bytes are no whole number of {self.size}-byte items")
        return struct.unpack(f">{count}{self.letter}", data)


class _Uint24(Codec[int]):
    """The width that the struct module does not have."""

    __slots__ = ()

    def read(self, data: bytes, pos: int) -> tuple[int, int]:
        stop = pos + 3
        if stop > len(data):
            raise _cut_short(data, pos, 3)
        return int.from_bytes(data[pos:stop], "big"), stop

    def encode(self, value: int) -> bytes:
        if not 0 <= value < 2**24:
            raise ValueError(f"{value} does not fit 3 bytes")
        return value.to_bytes(3, "big")


U8: Final = Uint("B")
U16: Final = Uint("H")
U24: Final = _Uint24()
U32: Final = Uint("I")
U64: Final = Uint("Q")


# --- opaque bytes and vectors (section 3.4) ------------------------------------------------------------------------


class Fixed(Codec[bytes]):
    """`opaque name[size]`: bytes whose number is known."""

    __slots__ = ("letter", "size")

    def __init__(self, size: int) -> None:
        self.letter: Final = f"{size}s"
        self.size: Final = size

    def read(self, data: bytes, pos: int) -> tuple[bytes, int]:
        """Read the bytes."""
        stop = pos + self.size
        if stop > len(data):
            raise _cut_short(data, pos, self.size)
        return data[pos:stop], stop

    def encode(self, value: bytes) -> bytes:
        """Write the bytes."""
        if len(value) != self.size:
            raise ValueError(f"{len(value)} bytes where {self.size} must stand")
        return value


class Opaque(Codec[bytes]):
    """`opaque name<minimum..maximum>`: bytes behind their length, whose width follows from `maximum`."""

    __slots__ = ("maximum", "minimum", "width")

    def __init__(self, minimum: int, maximum: int) -> None:
        self.minimum: Final = minimum
        self.maximum: Final = maximum
        self.width: Final = 1 if maximum < 2**8 else 2 if maximum < 2**16 else 3

    def read(self, data: bytes, pos: int) -> tuple[bytes, int]:
        """Read length and bytes. The length is read here and not by a codec of its own: nothing is read more often."""
        width = self.width
        start = pos + width
        try:
            if width == 1:
                length = data[pos]
            elif width == 2:
                length = data[pos] << 8 | data[pos + 1]
            else:
                length = data[pos] << 16 | data[pos + 1] << 8 | data[pos + 2]
        except IndexError:
            raise _cut_short(data, pos, width) from None
        stop = start + length
        if stop > len(data):
            raise _cut_short(data, start, length)
        if not self.minimum <= length <= self.maximum:
            raise DecodeError(f"{length} bytes where {self.minimum} to {self.maximum} may stand")
        return data[start:stop], stop

    def encode(self, value: bytes) -> bytes:
        """Write length and bytes."""
        length = len(value)
        if not self.minimum <= length <= self.maximum:
            raise ValueError(f"{length} bytes where {self.minimum} to {self.maximum} may stand")
        return length.to_bytes(self.width, "big") + value


class Vector(Codec[tuple[T, ...]]):
    """`Item name<minimum..maximum>`: items behind their length, which like the bounds counts bytes, not items."""

    __slots__ = ("body", "item")

    def __init__(self, item: Codec[T], minimum: int, maximum: int) -> None:
        self.item: Final = item
        self.body: Final = Opaque(minimum, maximum)

    def read(self, data: bytes, pos: int) -> tuple[tuple[T, ...], int]:
        """Read length and items."""
        body, stop = self.body.read(data, pos)
        return self.item.read_run(body), stop

    def decode(self, data: bytes) -> tuple[T, ...]:
        """Read what is length and items and nothing else: most extensions are one vector."""
        return self.item.read_run(self.body.decode(data))

    def encode(self, value: tuple[T, ...]) -> bytes:
        """Write length and items."""
        return self.body.encode(self.item.encode_run(value))


class One(Codec[T]):
    """A vector that must hold exactly one item; the value is the item."""

    __slots__ = ("vector",)

    def __init__(self, vector: Vector[T]) -> None:
        self.vector: Final = vector

    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Read the vector's one item."""
        values, stop = self.vector.read(data, pos)
        if len(values) != 1:
            raise DecodeError(f"{len(values)} items where one must stand")
        return values[0], stop

    def encode(self, value: T) -> bytes:
        """Write a vector of one item."""
        return self.vector.encode((value,))


class _Rest(Codec[bytes]):
    """Bytes without a length of their own: whatever the enclosing message or extension still holds."""

    __slots__ = ()

    def read(self, data: bytes, pos: int) -> tuple[bytes, int]:
        return data[pos:], len(data)

    def encode(self, value: bytes) -> bytes:
        return value


class _Empty(Codec[bool]):
    """`struct {}`: no bytes at all. Its value is True, so that "present" differs from "absent"."""

    __slots__ = ()

    def read(self, data: bytes, pos: int) -> tuple[bool, int]:  # noqa: ARG002  nothing to read
        return True, pos

    def encode(self, value: bool) -> bytes:
        if not value:
            raise ValueError("an empty structure is there (True) or it is not written at all")
        return b""


REST: Final = _Rest()
EMPTY: Final = _Empty()


# --- enumerateds (section 3.5) -------------------------------------------------------------------------------------


class Enumerated(Codec[int]):
    """A code: the member that has it, or the plain int where none does, which is no error (section 3.5).

    `members` is an enum class, or some members of one where the others have no meaning in this place.
    """

    __slots__ = ("members", "number")

    def __init__(self, members: Iterable[IntEnum], number: Uint) -> None:
        self.number: Final = number
        self.members: Final[dict[int, int]] = {int(member): member for member in members}

    def read(self, data: bytes, pos: int) -> tuple[int, int]:
        """Read a code."""
        code, stop = self.number.read(data, pos)
        return self.members.get(code, code), stop

    def encode(self, value: int) -> bytes:
        """Write a code."""
        return self.number.encode(value)

    def encode_run(self, values: Iterable[int]) -> bytes:
        """Write a list of codes."""
        return self.number.encode_run(values)

    def read_run(self, data: bytes) -> tuple[int, ...]:
        """Read a list of codes."""
        codes = self.number.read_run(data)
        return tuple(map(self.members.get, codes, codes))


class ClosedEnumerated(Codec[E]):
    """A code that must be one of the members; any other is an `IllegalParameter`."""

    __slots__ = ("members", "name", "number")

    def __init__(self, members: type[E], number: Uint) -> None:
        self.number: Final = number
        self.name: Final = members.__name__
        self.members: Final[dict[int, E]] = {int(member): member for member in members}

    def read(self, data: bytes, pos: int) -> tuple[E, int]:
        """Read a code."""
        code, stop = self.number.read(data, pos)
        member = self.members.get(code)
        if member is None:
            raise IllegalParameter(f"{code} is no {self.name}")
        return member, stop

    def encode(self, value: E) -> bytes:
        """Write a code."""
        return self.number.encode(value)


# --- constructed types and variants (sections 3.6 to 3.8) ----------------------------------------------------------


class Struct(Codec[T]):
    """`struct`: a dataclass, field after field.

    The names must be the dataclass's own, in its order; that is checked when the declaration is read, at import. Fields
    that the constructor does not take are not on the wire.

    Every message and most extensions are one. So what can be is looked up when the declaration is read, and fields of
    known size that stand side by side are read in one step.
    """

    __slots__ = ("_readers", "_writers", "cls", "fields")

    def __init__(self, cls: type[T], /, **codecs: Codec[Any]) -> None:
        expected = [field.name for field in fields(cls) if field.init]  # type: ignore[arg-type]  # checked: a dataclass
        if list(codecs) != expected:
            raise TypeError(f"{cls.__name__} has the fields {expected}, its format {list(codecs)}")
        self.cls: Final = cls
        self.fields: Final = tuple(codecs.items())
        self._readers: Final = tuple(_readers(codecs.values()))
        self._writers: Final = tuple([(attrgetter(name), _encoder(codec)) for name, codec in self.fields])

    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Read all fields."""
        values: list[Any] = []
        try:
            for read, size in self._readers:
                if size:
                    values += read(data, pos)
                    pos += size
                else:
                    value, pos = read(data, pos)
                    values.append(value)
        except DecodeError as error:
            raise self._flaw(len(values), error) from None
        except struct.error:
            raise self._cut_short(len(values), data, pos) from None
        return self.cls(*values), pos

    def encode(self, value: T) -> bytes:
        """Write all fields."""
        try:
            return b"".join([encode(get(value)) for get, encode in self._writers])
        except struct.error as error:
            raise ValueError(f"{self.cls.__name__}: {error}") from None

    def _flaw(self, index: int, error: DecodeError) -> DecodeError:
        return DecodeError(f"{self.cls.__name__}.{self.fields[index][0]}: {error.strerror}")

    def _cut_short(self, index: int, data: bytes, pos: int) -> DecodeError:
        """Of fields that were to be read in one step, the first that is not there."""
        while True:
            try:
                _, pos = self.fields[index][1].read(data, pos)
            except DecodeError as error:
                return self._flaw(index, error)
            index += 1


def _encoder(codec: Codec[Any]) -> Callable[[Any], bytes]:
    if isinstance(codec, Enumerated | ClosedEnumerated):
        codec = codec.number
    return codec.pack if isinstance(codec, Uint) else codec.encode


def _readers(codecs: Iterable[Codec[Any]]) -> Iterator[tuple[Callable[[bytes, int], Any], int]]:
    """What reads fields: of known sizes several in one step, which are so many bytes; any other by itself, size 0."""
    for known, group in groupby(codecs, lambda codec: isinstance(codec, Uint | Fixed)):
        if known:
            layout = struct.Struct(">" + "".join(codec.letter for codec in cast("Iterable[Uint | Fixed]", group)))
            yield layout.unpack_from, layout.size
        else:
            yield from ((codec.read, 0) for codec in group)


class Case(Codec[T]):
    """One arm of a `select`, where no other can be understood: the tag is checked and the value is the arm's."""

    __slots__ = ("arm", "number", "tag")

    def __init__(self, number: Uint, tag: int, arm: Codec[T]) -> None:
        self.number: Final = number
        self.tag: Final = tag
        self.arm: Final = arm

    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Read tag and arm."""
        tag, pos = self.number.read(data, pos)
        if tag != self.tag:
            raise DecodeError(f"type {tag} where {int(self.tag)} must stand")
        return self.arm.read(data, pos)

    def encode(self, value: T) -> bytes:
        """Write tag and arm."""
        return self.number.encode(self.tag) + self.arm.encode(value)


class Select(Codec[T]):
    """`select`: a dataclass of two fields, the tag and the arm that the tag chooses.

    The arm of an unknown tag is the bytes up to the end, so a select stands last in what encloses it.
    """

    __slots__ = ("_arm", "_tag", "arms", "cls", "number")

    def __init__(self, cls: type[T], number: Codec[int], arms: Mapping[int, Codec[Any]]) -> None:
        self._tag, self._arm = (field.name for field in fields(cls) if field.init)  # type: ignore[arg-type]
        self.cls: Final[Callable[[int, Any], T]] = cls
        self.arms: Final = arms
        self.number: Final = number

    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Read the tag, then its arm."""
        tag, pos = self.number.read(data, pos)
        arm, pos = self.arms.get(tag, REST).read(data, pos)
        return self.cls(tag, arm), pos

    def encode(self, value: T) -> bytes:
        """Write the tag, then its arm."""
        tag = getattr(value, self._tag)
        return self.number.encode(tag) + self.arms.get(tag, REST).encode(getattr(value, self._arm))


class Checked(Codec[T]):
    """A format with a rule that bytes alone do not say: `check` raises for a value that breaks it.

    Only what was received is checked; what we send is built by code that knows the rule.
    """

    __slots__ = ("check", "codec")

    def __init__(self, codec: Codec[T], check: Callable[[T], None]) -> None:
        self.codec: Final = codec
        self.check: Final = check

    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Read the value and check it."""
        value, stop = self.codec.read(data, pos)
        self.check(value)
        return value, stop

    def encode(self, value: T) -> bytes:
        """Write the value."""
        return self.codec.encode(value)


class Remembered(Codec[T]):
    """A format whose values come again and again and cannot change: decoded once, then handed out again.

    Clients of one kind send the same lists of suites, groups, schemes and versions in every hello, and looking a short
    list up costs a fifth of reading it. Bounded, so that nobody fills memory with lists that never come again: `kept`
    values of at most `longest` bytes, the least recently used go first. Only for values that cannot be changed, as
    several connections get the same; `writing` too is remembered only where they can be hashed.
    """

    __slots__ = ("_decode", "_encode", "_encode_run", "_read_run", "codec", "longest")

    def __init__(self, codec: Codec[T], *, kept: int = 64, longest: int = 64, writing: bool = True) -> None:
        self.codec: Final = codec
        self.longest: Final = longest
        self._decode: Final[Callable[[bytes], T]] = lru_cache(kept)(codec.decode)
        self._read_run: Final[Callable[[bytes], tuple[T, ...]]] = lru_cache(kept)(codec.read_run)
        remember = lru_cache(kept) if writing else _identity
        self._encode: Final[Callable[[T], bytes]] = remember(codec.encode)
        self._encode_run = cast("Callable[[Iterable[T]], bytes]", remember(codec.encode_run))

    def read(self, data: bytes, pos: int) -> tuple[T, int]:
        """Read the value; only what fills its input is remembered."""
        return self.codec.read(data, pos)

    def decode(self, data: bytes) -> T:
        """Return the value that fills `data` exactly, as it was decoded before or anew."""
        return self._decode(data) if len(data) <= self.longest else self.codec.decode(data)

    def read_run(self, data: bytes) -> tuple[T, ...]:
        """Return the values that fill `data`, as they were read before or anew."""
        return self._read_run(data) if len(data) <= self.longest else self.codec.read_run(data)

    def encode(self, value: T) -> bytes:
        """Write the value, as it was written before or anew."""
        return self._encode(value)

    def encode_run(self, values: Iterable[T]) -> bytes:
        """Write the values one behind the other, as they were written before or anew."""
        return self._encode_run(values)


def _identity(function: Any) -> Any:
    return function


def _cut_short(data: bytes, pos: int, needed: int) -> DecodeError:
    return DecodeError(f"cut short: {needed} bytes needed, {max(len(data) - pos, 0)} there")
