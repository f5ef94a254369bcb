"""How `caesura connect` carries bytes between the standard streams and an open connection."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Protocol

from caesura import aio
from caesura.cli.blocking import BlockingCalls
from caesura.cli.facts import Connection
from caesura.errors import Error

CHUNK = 65_536  # bytes read at a time


class Conversation(Protocol):
    """A connection that is open, and how bytes are carried over it."""

    connection: Connection
    peername: tuple[str, int]

    async def carry(self) -> None:
        """Carry bytes both ways until the server closes."""


class Stream:
    """Bytes over TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection: Connection = writer.get_extra_info("caesura")
        self.peername: tuple[str, int] = writer.get_extra_info("peername")[:2]
        self._reader = reader
        self._writer = writer

    async def carry(self) -> None:
        """Bytes both ways; the end of the input closes our direction."""
        sending = asyncio.create_task(self._send_input())
        write = BlockingCalls()
        try:
            while data := await self._reader.read(CHUNK):
                await write(write_all, data)
        finally:
            sending.cancel()
            self._writer.close()
        with suppress(Error, OSError):  # the server has closed already: nothing that comes now matters
            await self._writer.wait_closed()

    async def _send_input(self) -> None:
        read = BlockingCalls()
        with suppress(Error, OSError):  # what is wrong with the connection is told to who reads from it
            while data := await read(read_some, CHUNK):
                self._writer.write(data)
                await self._writer.drain()
            self._writer.write_eof()


class Datagrams:
    """Datagrams over DTLS."""

    def __init__(self, link: aio.DatagramLink) -> None:
        self.connection: Connection = link.ssl
        self.peername: tuple[str, int] = link.get_extra_info("peername")[:2]
        self._link = link

    async def carry(self) -> None:
        """Datagrams both ways; the end of the input closes the association, and what still comes is taken."""
        sending = asyncio.create_task(self._send_input())
        write = BlockingCalls()
        try:
            async for data in self._link:
                await write(write_all, data)
        finally:
            sending.cancel()
            await self._link.close()

    async def _send_input(self) -> None:
        read = BlockingCalls()
        with suppress(Error, OSError):
            while data := await read(read_some, self._link.max_datagram):
                await self._link.send(data)
            await self._link.close()


class QUICStream(Stream):
    """Bytes over one stream of QUIC."""

    def __init__(self, link: aio.QUICLink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._link = link

    async def carry(self) -> None:
        """As over TLS, and then the connection is closed."""
        try:
            await super().carry()
        finally:
            await self._link.close()


def read_some(size: int) -> bytes:
    """What standard input has, waited for; empty at its end, and if it is closed or cannot be read."""
    try:
        return os.read(sys.stdin.fileno(), size) if sys.stdin is not None else b""
    except OSError:
        return b""


def write_all(data: bytes) -> None:
    """Write to standard output."""
    if sys.stdout is None:
        return
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]
