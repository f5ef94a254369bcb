"""As much of HTTP/3 (RFC 9114) as it takes to exchange bodies with peers that speak nothing else.

Requests and answers of a few fields, whose QPACK (RFC 9204) needs the static table alone. What the peer sends on its
one-way streams is not read: it may use no dynamic table, since our SETTINGS are empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from caesura.aio import QUICLink
from caesura.quic import varint

DATA, HEADERS, SETTINGS = 0x00, 0x01, 0x04
CONTROL = b"\0"  # a stream's type
POST, HTTPS, STATUS_200 = 20, 23, 25  # fields of the static table, values included
AUTHORITY, PATH, CONTENT_LENGTH = 0, 1, 4  # names of the static table


def frame(kind: int, payload: bytes) -> bytes:
    return varint.encode(kind) + varint.encode(len(payload)) + payload


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    pos = 0
    while pos < len(data):
        kind, pos = varint.decode(data, pos)
        size, pos = varint.decode(data, pos)
        assert pos + size <= len(data)
        yield kind, data[pos : pos + size]
        pos += size


def fields(*whole: int) -> bytes:
    """Field lines that the static table has whole, after the prefix that says: no dynamic table."""
    return b"\0\0" + bytes(0xC0 | index for index in whole)


def field(name: int, value: str) -> bytes:
    """A field line with a name of the static table; the value is not Huffman coded and below 127 bytes."""
    return bytes([0x50 | name, len(value)]) + value.encode()


async def begin(conn: QUICLink) -> None:
    """Open the control stream."""
    _, control = await conn.open_stream(unidirectional=True)
    assert control is not None
    control.write(CONTROL + frame(SETTINGS, b""))


async def request(reader: Any, writer: Any, path: str, body: bytes) -> tuple[int, bytes]:
    """The status and the body that come in answer."""
    lines = fields(POST, HTTPS) + field(AUTHORITY, "localhost") + field(PATH, path)
    writer.write(frame(HEADERS, lines + field(CONTENT_LENGTH, str(len(body)))) + frame(DATA, body))
    writer.write_eof()
    answered = list(frames(await reader.read()))
    (headers,) = (payload for kind, payload in answered if kind == HEADERS)
    status = 200 if headers.startswith(fields(STATUS_200)) else 0
    return status, b"".join(payload for kind, payload in answered if kind == DATA)


async def serve(conn: QUICLink) -> None:
    """Answer every request with its own body."""
    await begin(conn)
    async with asyncio.TaskGroup() as group:
        async for reader, writer in conn.streams():
            if writer is not None:
                group.create_task(answer(reader, writer))


async def answer(reader: Any, writer: Any) -> None:
    body = b"".join(payload for kind, payload in frames(await reader.read()) if kind == DATA)
    writer.write(frame(HEADERS, fields(STATUS_200) + field(CONTENT_LENGTH, str(len(body)))) + frame(DATA, body))
    writer.write_eof()
