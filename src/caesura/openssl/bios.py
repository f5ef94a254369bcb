"""BIOs (BIO_new(3), BIO_s_bio(3), BIO_s_datagram(3) and others)."""
# ruff: noqa: ARG001 - C's arguments, also where Python does not need them

from __future__ import annotations

from typing import Any

from caesura.bio import (
    BIO,
    DatagramBIO,
    DatagramPairBIO,
    MemoryBIO,
    PairBIO,
    SocketBIO,
    bio_pair,
    borrow_datagram_socket,
    borrow_socket,
    datagram_pair,
)
from caesura.errors import Error
from caesura.wire.data import Data


def BIO_s_mem() -> type[MemoryBIO]:
    """Bytes in memory. BIO_s_mem(3)."""
    return MemoryBIO


def BIO_new(kind: type[MemoryBIO]) -> MemoryBIO:
    """A BIO of this kind. BIO_new(3)."""
    return kind()


def BIO_new_bio_pair(writebuf1: int, writebuf2: int) -> tuple[int, PairBIO | None, PairBIO | None]:
    """(1, one half, the other half) of a byte pair; size 0 stands for 17 KiB. BIO_new_bio_pair(3)."""
    try:
        return (1, *bio_pair(writebuf1, writebuf2))
    except Error:
        return 0, None, None


def BIO_new_bio_dgram_pair() -> tuple[int, DatagramPairBIO, DatagramPairBIO]:
    """(1, one half, the other half) of a datagram pair. BIO_new_bio_dgram_pair(3)."""
    return (1, *datagram_pair())


def BIO_new_socket(sock: int) -> SocketBIO:
    """A BIO over the socket with this descriptor, which stays the caller's to close. BIO_new_socket(3)."""
    return borrow_socket(sock)


def BIO_new_dgram(fd: int, close_flag: int) -> DatagramBIO:
    """A BIO over the datagram socket with this descriptor, which stays the caller's to close. BIO_new_dgram(3)."""
    return borrow_datagram_socket(fd)


def BIO_dgram_set_peer(b: DatagramBIO, peer: Any) -> int:
    """The peer's address, in the form `recvfrom` gives; others are not heard. BIO_dgram_set_peer(3)."""
    b.address = peer
    return 1


def BIO_dgram_get_peer(b: DatagramBIO) -> tuple[int, Any]:
    """(1, the peer's address), 0 if none was set. BIO_dgram_get_peer(3)."""
    return (0, None) if b.address is None else (1, b.address)


def BIO_read(b: BIO, dlen: int) -> tuple[int, bytes]:
    """(how many bytes, the bytes); 0 at the end, -1 when there is nothing now or the BIO failed. BIO_read(3)."""
    try:
        data = b.read(dlen)
    except OSError:
        return -1, b""
    return len(data) or (0 if b.eof else -1), data


def BIO_write(b: BIO, data: Data) -> int:
    """How many bytes were taken, -1 when none can be now or the BIO failed. BIO_write(3)."""
    try:
        return b.write(data) or (-1 if data else 0)
    except OSError:
        return -1


def BIO_eof(b: BIO) -> int:
    """1 when all is read and nothing more will come. BIO_eof(3)."""
    return int(b.eof)


def BIO_pending(b: BIO) -> int:
    """Bytes that can be read. BIO_pending(3)."""
    return b.pending


def BIO_ctrl_pending(b: BIO) -> int:
    """Bytes that can be read. BIO_ctrl_pending(3)."""
    return b.pending


def BIO_wpending(b: PairBIO) -> int:
    """Bytes the other half has not read. BIO_wpending(3)."""
    return b.wpending


def BIO_ctrl_wpending(b: PairBIO) -> int:
    """Bytes the other half has not read. BIO_ctrl_wpending(3)."""
    return b.wpending


def BIO_get_write_guarantee(b: PairBIO) -> int:
    """Bytes a write will take now. BIO_get_write_guarantee(3)."""
    return b.get_write_guarantee()


def BIO_get_read_request(b: PairBIO) -> int:
    """Bytes the other half asked for and could not get. BIO_get_read_request(3)."""
    return b.get_read_request()


def BIO_ctrl_reset_read_request(b: PairBIO) -> int:
    """Forget what the other half asked for. BIO_ctrl_reset_read_request(3)."""
    b.reset_read_request()
    return 1


def BIO_reset(b: PairBIO) -> int:
    """Drop what this half wrote and the other has not read. BIO_reset(3)."""
    b.reset()
    return 1


def BIO_shutdown_wr(b: BIO) -> int:
    """Write nothing more. BIO_shutdown_wr(3)."""
    b.write_eof()
    return 1


def BIO_destroy_bio_pair(b: PairBIO) -> int:
    """Break the pair. BIO_destroy_bio_pair(3)."""
    b.close()
    return 1


def BIO_free(b: BIO | None) -> int:
    """Free the BIO, which breaks the pair it is half of; 0 for NULL. BIO_free(3)."""
    if isinstance(b, PairBIO):
        b.close()
    return int(b is not None)
