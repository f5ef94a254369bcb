"""What `caesura serve` does with a connection: sends back what comes, or files over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from caesura.cli.www import (
    MAX_HEAD,
    Found,
    Refused,
    Request,
    find,
    found_headers,
    parse_plain_request,
    parse_request,
    refusal,
    response_head,
)
from caesura.errors import printable

CHUNK = 65_536  # bytes read at a time
REQUEST_SECONDS = 10.0  # for a whole request to arrive
STALL_SECONDS = 60.0  # in which a client must take something of what it is sent


class Service(Protocol):
    """What is done with a connection."""

    title: str

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Serve one client until it is done; `tell` is for what an operator wants to know."""


class Echo:
    """Sends back what comes, and ends when the client does."""

    title = "an echo"

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Send everything back."""
        total = 0
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
            total += len(data)
        tell(sent_back(total))


def sent_back(total: int) -> str:
    """How much that was, for who reads along."""
    return f"{total:,} {'byte' if total == 1 else 'bytes'} sent back"


class Files:
    """Answers one HTTP/1.0 request for a file."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.title = f"the files in {printable(str(root))}"

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Read a request, and send the file or what is wrong with the request."""
        line = "no request"
        try:
            head = await read_head(reader)
            line = head.splitlines()[0].decode("latin-1")
            request = parse_request(head)
            found = await asyncio.to_thread(find, self._root, request)
        except Refused as refused:
            tell(f"{line}: {refused.status.value} {refused.status.phrase}")
            writer.write(refusal(refused, time.time()))
            return
        tell(f"{line}: {found.size:,} bytes")
        with found.file:
            await send_file(writer, request, found)


class PlainFiles(Files):
    """Answers one HTTP/0.9 request on each stream: the file and nothing else, or a reset if there is none."""

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[str], object]
    ) -> None:
        """Read a request, and send the file."""
        line = b""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as rest:  # the end of the stream ends the request too
            line = rest.partial
        except (TimeoutError, asyncio.LimitOverrunError):
            tell("no request")
            writer.transport.abort()
            return
        shown = line.rstrip().decode("latin-1")
        try:
            found = await asyncio.to_thread(find, self._root, parse_plain_request(line))
        except Refused as refused:
            tell(f"{shown}: {refused.status.phrase}")
            writer.transport.abort()
            return
        tell(f"{shown}: {found.size:,} bytes")
        with found.file:
            await send_content(writer, found)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Request line and headers; Refused when they are too long, too slow, or do not come."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            head = b""
            while b"\r\n\r\n" not in head and b"\n\n" not in head:
                data = await reader.read(MAX_HEAD + 1 - len(head))
                if not data:
                    raise Refused(HTTPStatus.BAD_REQUEST)
                head += data
                if len(head) > MAX_HEAD:
                    raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return head
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None


async def send_file(writer: asyncio.StreamWriter, request: Request, found: Found) -> None:
    """Send a file as it was when it was opened: what it has grown since is left out."""
    writer.write(response_head(HTTPStatus.OK, found_headers(found), time.time()))
    if request.method == "GET":
        await send_content(writer, found)


async def send_content(writer: asyncio.StreamWriter, found: Found) -> None:
    """Send what is in it."""
    left = found.size
    while left and (data := await asyncio.to_thread(found.file.read, min(left, CHUNK))):
        writer.write(data)
        left -= len(data)
        async with asyncio.timeout(STALL_SECONDS):
            await writer.drain()
