"""Hypothesis strategies that follow from the declarations: whatever a codec can hold, its strategy makes.

Values stay small; lengths near a vector's maximum are for the tables. Codes are known members, GREASE and any number.
"""

from __future__ import annotations

import string
from functools import singledispatch
from typing import Any

from hypothesis import strategies as st

from caesura.wire import codec as c
from caesura.wire import extensions as x
from caesura.wire import messages12 as m12
from caesura.wire.extensions import Extension, Extensions
from caesura.wire.messages import HandshakeMessage
from caesura.wire.registries import HandshakeType

GREASE = tuple(0x0A0A + 0x1010 * n for n in range(16))  # RFC 8701 section 2


@singledispatch
def values(codec: Any) -> st.SearchStrategy[Any]:
    """The values that `codec` can write."""
    raise TypeError(f"no strategy for {type(codec).__name__}")


@values.register
def _(codec: c.Uint) -> st.SearchStrategy[int]:
    return st.integers(0, 2 ** (8 * codec.size) - 1)


@values.register
def _(codec: c._Uint24) -> st.SearchStrategy[int]:
    return st.integers(0, 2**24 - 1)


@values.register
def _(codec: c.Fixed) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=codec.size, max_size=codec.size)


@values.register
def _(codec: c.Opaque) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=codec.minimum, max_size=min(codec.maximum, codec.minimum + 40))


@values.register
def _(codec: c.Vector) -> st.SearchStrategy[tuple[Any, ...]]:
    body = codec.body
    return (
        st.lists(values(codec.item), min_size=1 if body.minimum else 0, max_size=4)
        .map(tuple)
        .filter(lambda items: body.minimum <= len(codec.item.encode_run(items)) <= body.maximum)
    )


@values.register
def _(codec: c.One) -> st.SearchStrategy[Any]:
    return values(codec.vector.item)


@values.register
def _(codec: c._Rest) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=40)


@values.register
def _(codec: c._Empty) -> st.SearchStrategy[bool]:
    return st.just(True)


@values.register
def _(codec: c.Enumerated) -> st.SearchStrategy[int]:
    number = values(codec.number)
    known = st.sampled_from(sorted(codec.members.values()))
    return known | number | (st.sampled_from(GREASE) if codec.number.size == 2 else number)


@values.register
def _(codec: c.ClosedEnumerated) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(codec.members.values()))


@values.register
def _(codec: c.Struct) -> st.SearchStrategy[Any]:
    return st.builds(codec.cls, *[values(field) for _name, field in codec.fields])


@values.register
def _(codec: m12._ParamsCodec) -> st.SearchStrategy[Any]:
    return values(m12._PARAMS)


@values.register
def _(codec: c.Case) -> st.SearchStrategy[Any]:
    return values(codec.arm)


@values.register
def _(codec: c.Select) -> st.SearchStrategy[Any]:
    known = [st.builds(codec.cls, st.just(tag), values(arm)) for tag, arm in codec.arms.items()]
    unknown = values(codec.number).filter(lambda tag: tag not in codec.arms)
    return st.one_of(*known, st.builds(codec.cls, unknown, values(c.REST)))


@values.register
def _(codec: c.Checked) -> st.SearchStrategy[Any]:
    def passes(value: Any) -> bool:
        try:
            codec.check(value)
        except x.IllegalParameter:
            return False
        return True

    return values(codec.codec).filter(passes)


@values.register
def _(codec: c.Remembered) -> st.SearchStrategy[Any]:
    return values(codec.codec)


@values.register
def _(codec: x._HostName) -> st.SearchStrategy[str]:
    visible = string.ascii_letters + string.digits + string.punctuation
    return st.text(visible, min_size=1, max_size=40).filter(lambda name: not name.endswith("."))


@values.register
def _(codec: x._ExtensionsCodec) -> st.SearchStrategy[Extensions]:
    return st.dictionaries(st.integers(0, 2**16 - 1), st.binary(max_size=20), max_size=4).map(_of_data)


def _of_data(data: dict[int, bytes]) -> Extensions:
    extensions = Extensions()
    for code, value in data.items():
        extensions.put_data(code, value)
    return extensions


@st.composite
def extensions_in(draw: st.DrawFn, message: HandshakeType) -> Extensions:
    """Extensions that may stand in `message`, every known one well-formed, unknown ones between them."""
    rows = [row for row in x.TABLE if message in row.messages]
    known = {int(row.code) for row in x.TABLE}
    chosen: list[Extension[Any] | int] = draw(st.lists(st.sampled_from(rows), unique_by=lambda row: row.code))
    chosen += draw(st.lists(st.sampled_from(GREASE) | st.integers(0, 2**16 - 1).filter(lambda n: n not in known)))
    chosen = draw(st.permutations(list(dict.fromkeys(chosen))))
    chosen.sort(key=lambda each: each is x.PRE_SHARED_KEY_CLIENT)  # which is last where it is
    extensions = Extensions()
    for each in chosen:
        if isinstance(each, Extension):
            extensions.put(each, draw(values(each.codec)))
        else:
            extensions.put_data(each, draw(st.binary(max_size=20)))
    return extensions


def messages(cls: type[HandshakeMessage]) -> st.SearchStrategy[Any]:
    """Messages of one class."""
    return values(cls.codec)
