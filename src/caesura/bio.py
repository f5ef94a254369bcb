"""Where bytes or datagrams come from and go: memory, a pair, a socket (bio(7), BIO_s_bio(3), BIO_s_dgram_pair(3)).

A BIO is any object with the methods of `ssl.MemoryBIO`, so two real `ssl.MemoryBIO` objects serve as well as these.
What it says is one convention, and it is the one `ssl.MemoryBIO` follows already:

- `read(n)` gives up to `n` bytes. `b""` means *nothing now* while `eof` is false, and *the end* once `eof` is true.
- `eof` becomes true when everything has been read and nothing more will come.
- `write(data)` tells how many bytes it took. Fewer than all means *full now*: offer the rest again later.
- A transport that fails raises `OSError` (not one of ours: the network broke, TLS did not).

A blocking BIO therefore needs no flag: it simply never says *nothing now*, nor *full now*. A datagram BIO follows the
same convention and moves one whole datagram a call: it takes all of it or nothing.

Nothing here knows TLS, and no BIO closes a socket that was handed to it.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final, Protocol

from caesura.errors import ConfigError, UsageError
from caesura.wire.data import Data

_ANCILLARY: Final = 64  # bytes for what comes beside a datagram
_TRAFFIC_CLASS: Final = frozenset(  # how a system names the byte that ECN is in
    {
        (socket.IPPROTO_IP, getattr(socket, "IP_TOS", 1)),
        (socket.IPPROTO_IP, getattr(socket, "IP_RECVTOS", 13)),
        (socket.IPPROTO_IPV6, getattr(socket, "IPV6_TCLASS", 67)),
    }
)

_OF_EARLIER: Final = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "EMSGSIZE", "ENETUNREACH", "ENONET",
        "ENOPROTOOPT", "EOPNOTSUPP", "EPROTO",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""What the next call on a connected socket fails with once an ICMP message has come (udp(7), "Error handling")."""

_STRANGERS: Final = 64  # datagrams of others that one read passes over; more could keep it for as long as they like
_REFUSALS: Final = 64  # such failures in a row, behind which it is the socket itself that fails

PAIR_SIZE = 17_408  # bytes each way: 17 KiB, room for one TLS record of any size (BIO_s_bio(3))
PAIR_DATAGRAMS = 64  # datagrams each way


class BIO(Protocol):
    """What an SSL needs of its transport: the methods of `ssl.MemoryBIO`."""

    @property
    def eof(self) -> bool:
        """Whether everything has been read and nothing more will come."""

    @property
    def pending(self) -> int:
        """How many bytes can be read at once, as far as that is known."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all there are if negative; b"" when there are none."""

    def write(self, data: Data, /) -> int:
        """Give bytes to the transport; how many it took."""

    def write_eof(self) -> None:
        """Nothing more will be written."""


def descriptor(bio: BIO | None) -> int | None:
    """What to wait on for a BIO, if it can be waited for."""
    fileno = getattr(bio, "fileno", None)
    return None if fileno is None else int(fileno())


class MemoryBIO:
    """Bytes that one side puts in and another takes out, without a bound, as `ssl.MemoryBIO` (BIO_s_mem(3)).

    What is written in one piece and read in one piece is never copied.
    """

    __slots__ = ("_ended", "_first", "_rest")

    def __init__(self) -> None:
        self._first = b""
        self._rest: deque[bytes] = deque()  # filled only while `_first` has bytes
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all there are if negative."""
        data = self._first
        if self._rest:
            return self._gather(size)
        if size < 0 or size >= len(data):
            self._first = b""
            return data
        self._first = data[size:]
        return data[:size]

    def _gather(self, size: int) -> bytes:
        if size < 0:
            size = self.pending
        pieces = []
        while size > 0 and (piece := self._first):
            if len(piece) > size:
                pieces.append(piece[:size])
                self._first = piece[size:]
                break
            pieces.append(piece)
            size -= len(piece)
            self._first = self._rest.popleft() if self._rest else b""
        return b"".join(pieces)

    def write(self, data: Data, /) -> int:
        """Put bytes in, all of them; raises `UsageError` after `write_eof`."""
        if self._ended:
            raise UsageError("nothing can be written after write_eof()")
        if type(data) is not bytes:
            data = bytes(data)
        if self._first:
            if data:
                self._rest.append(data)
        else:
            self._first = data
        return len(data)

    def write_eof(self) -> None:
        """Nothing more will be written: `eof` holds once the rest is read."""
        self._ended = True

    @property
    def pending(self) -> int:
        """Bytes that can be read."""
        return len(self._first) + sum(map(len, self._rest))

    @property
    def eof(self) -> bool:
        """Whether all is read and nothing more will be written."""
        return self._ended and not self._first


class _Direction:
    """One direction of a byte pair: a buffer of bounded size."""

    __slots__ = ("broken", "data", "ended", "requested", "size")

    def __init__(self, size: int) -> None:
        self.data = bytearray()
        self.size = size
        self.requested = 0  # bytes the reader last asked for and could not get
        self.ended = False
        self.broken = False


class PairBIO:
    """One half of a byte pair: what one half writes the other reads (BIO_s_bio(3)). Made by `bio_pair`."""

    __slots__ = ("_in", "_out")

    def __init__(self, incoming: _Direction, outgoing: _Direction) -> None:
        self._in = incoming
        self._out = outgoing

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; what could not be given is remembered as the other half's `get_read_request`."""
        incoming = self._in
        incoming.requested = 0
        if not incoming.data:
            if not incoming.ended:
                incoming.requested = incoming.size if size < 0 else min(size, incoming.size)
            return b""
        if size < 0 or size > len(incoming.data):
            size = len(incoming.data)
        data = bytes(memoryview(incoming.data)[:size])
        del incoming.data[:size]
        return data

    def write(self, data: Data, /) -> int:
        """Write what fits and tell how much that was; raises `BrokenPipeError` after `write_eof` or `close`."""
        outgoing = self._out
        if outgoing.ended:
            raise BrokenPipeError("the pair is broken" if outgoing.broken else "this half's writing was shut down")
        outgoing.requested = 0
        room = outgoing.size - len(outgoing.data)
        if len(data) > room:
            data = data[:room]
        outgoing.data += data
        return len(data)

    def write_eof(self) -> None:
        """Shut writing down: the other half drains what is there, then sees the end (BIO_shutdown_wr)."""
        self._out.ended = True

    def close(self) -> None:
        """Free this half, which breaks the pair: unread bytes are dropped, the other half sees the end."""
        for direction in (self._in, self._out):
            direction.data.clear()
            direction.requested = 0
            direction.ended = direction.broken = True

    def reset(self) -> None:
        """Drop what this half wrote and the other has not read (BIO_reset)."""
        self._out.data.clear()

    @property
    def pending(self) -> int:
        """Bytes that can be read."""
        return len(self._in.data)

    @property
    def wpending(self) -> int:
        """Bytes written here that the other half has not read."""
        return len(self._out.data)

    @property
    def eof(self) -> bool:
        """Whether all is read and the other half will write no more."""
        return self._in.ended and not self._in.data

    def get_write_guarantee(self) -> int:
        """How many bytes a write will take now; 0 once writing is shut down."""
        return 0 if self._out.ended else self._out.size - len(self._out.data)

    def get_read_request(self) -> int:
        """How many bytes the other half last asked for and could not get; 0 after a read or a write."""
        return self._out.requested

    def reset_read_request(self) -> None:
        """Forget what the other half asked for."""
        self._out.requested = 0


def bio_pair(size1: int = PAIR_SIZE, size2: int = PAIR_SIZE) -> tuple[PairBIO, PairBIO]:
    """Two halves joined by bounded buffers; `size1` bytes for what the first writes, `size2` for the second.

    0 stands for the default of 17 KiB (BIO_new_bio_pair(3)). Whoever waits for input over a half must first hand on
    what that half has written, or both ends wait for ever.
    """
    for size in (size1, size2):
        if size < 0:
            raise ConfigError("size: 0 bytes or more")
    forth, back = _Direction(size1 or PAIR_SIZE), _Direction(size2 or PAIR_SIZE)
    return PairBIO(back, forth), PairBIO(forth, back)


class SocketBIO:
    """A connected stream socket, blocking or not (BIO_s_socket(3)). The socket stays its owner's to close.

    A socket with a timeout raises `TimeoutError` when it passes, as the socket itself would.
    """

    __slots__ = ("_eof", "socket")

    pending = 0  # what the kernel holds is not known here

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._eof = False

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes (64 KiB if negative); waits for the first when the socket is blocking."""
        size = size if size >= 0 else 65_536
        while True:
            try:
                data = self.socket.recv(size)
            except BlockingIOError:
                return b""
            except InterruptedError:  # EINTR says nothing about the socket
                continue
            if not data and size:
                self._eof = True
            return data

    def write(self, data: Data, /) -> int:
        """Send what the socket takes; a blocking one takes all."""
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            try:
                sent += self.socket.send(view[sent:])
            except InterruptedError:
                continue
            except BlockingIOError:
                break
            except TimeoutError:
                if not sent:
                    raise
                break  # what was sent must be counted; the next write meets the timeout again
        return sent

    def write_eof(self) -> None:
        """Shut the socket's writing direction down."""
        self.socket.shutdown(socket.SHUT_WR)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self.socket.fileno()

    @property
    def eof(self) -> bool:
        """Whether the peer has closed its direction."""
        return self._eof


def borrow_socket(fd: int) -> SocketBIO:
    """A SocketBIO over the descriptor of a socket that somebody else owns and will close (BIO_NOCLOSE)."""
    return SocketBIO(_BorrowedSocket(fileno=fd))


def borrow_datagram_socket(fd: int) -> DatagramBIO:
    """The same over a datagram socket."""
    return DatagramBIO(_BorrowedSocket(fileno=fd))


class _BorrowedSocket(socket.socket):
    def __del__(self) -> None:
        self.detach()


def set_ecn(sock: socket.socket, ecn: int) -> None:
    """Have the IP headers of what a socket sends carry these two ECN bits (RFC 3168), if the system lets it."""
    options = [(socket.IPPROTO_IP, socket.IP_TOS)]  # on IPv6 sockets too: what is sent to mapped addresses is IPv4
    if sock.family == socket.AF_INET6:
        options.append((socket.IPPROTO_IPV6, getattr(socket, "IPV6_TCLASS", 67)))
    for level, option in options:
        with suppress(OSError):
            sock.setsockopt(level, option, ecn)


def _tell_ecn(sock: socket.socket) -> bool:
    """Have the system tell the bits of what comes; whether it does."""
    options = [(socket.IPPROTO_IP, getattr(socket, "IP_RECVTOS", None))]
    if sock.family == socket.AF_INET6:
        options.append((socket.IPPROTO_IPV6, getattr(socket, "IPV6_RECVTCLASS", None)))
    told = False
    for level, option in options:
        if option is not None:
            with suppress(OSError):
                sock.setsockopt(level, option, 1)
                told = True
    return told


def _ecn_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The two ECN bits, out of what recvmsg gives beside a datagram; 0 if they are not there."""
    for level, kind, value in ancillary:
        if (level, kind) in _TRAFFIC_CLASS:
            return (value[0] if len(value) == 1 else int.from_bytes(value[:4], sys.byteorder)) & 3
    return 0


def _blocks(fd: int) -> bool:
    """Whether a descriptor blocks: of one that is borrowed, the socket object does not know it."""
    return os.get_blocking(fd) if sys.platform != "win32" else True


class _DatagramDirection:
    """One direction of a datagram pair: a queue of bounded length."""

    __slots__ = ("datagrams", "ended", "limit")

    def __init__(self, limit: int) -> None:
        self.datagrams: deque[bytes] = deque()
        self.limit = limit
        self.ended = False


class DatagramPairBIO:
    """One half of a datagram pair. Made by `datagram_pair`."""

    __slots__ = ("_in", "_out")

    def __init__(self, incoming: _DatagramDirection, outgoing: _DatagramDirection) -> None:
        self._in = incoming
        self._out = outgoing

    def read(self, size: int = -1, /) -> bytes:
        """The next datagram, cut to `size` bytes if it is longer, as a socket cuts it."""
        if not self._in.datagrams:
            return b""
        datagram = self._in.datagrams.popleft()
        return datagram if size < 0 else datagram[:size]

    def write(self, datagram: Data, /) -> int:
        """Write one datagram: its length, or 0 when as many wait as may wait. An empty one is dropped."""
        if self._out.ended:
            raise BrokenPipeError("this half's writing was shut down")
        if len(self._out.datagrams) >= self._out.limit:
            return 0
        if datagram:
            self._out.datagrams.append(bytes(datagram))
        return len(datagram)

    def write_eof(self) -> None:
        """Nothing more will be written: the other half drains what is there, then sees the end."""
        self._out.ended = True

    @property
    def pending(self) -> int:
        """Bytes of the next datagram."""
        return len(self._in.datagrams[0]) if self._in.datagrams else 0

    @property
    def eof(self) -> bool:
        """Whether all is read and the other half will write no more."""
        return self._in.ended and not self._in.datagrams


def datagram_pair(datagrams: int = PAIR_DATAGRAMS) -> tuple[DatagramPairBIO, DatagramPairBIO]:
    """Two halves that exchange whole datagrams; up to `datagrams` wait each way (BIO_new_bio_dgram_pair(3))."""
    if datagrams < 1:
        raise ConfigError("datagrams: 1 or more")
    forth, back = _DatagramDirection(datagrams), _DatagramDirection(datagrams)
    return DatagramPairBIO(back, forth), DatagramPairBIO(forth, back)


class DatagramBIO:
    """A datagram socket and one peer (BIO_s_datagram(3)). The socket stays its owner's to close.

    Without `address` the socket must be connected. With it (in the form `recvfrom` gives) datagrams go there
    and those of anybody else are dropped: OpenSSL's BIO answers whoever sent last, so that one forged datagram turns
    the conversation round. A server that does not know its peer yet begins without either, and gives the BIO the
    address that `SSL.listen` returns.
    """

    __slots__ = ("_ecn", "_next_timeout", "_told", "address", "received_ecn", "socket")

    pending = 0  # what the kernel holds is not known here
    eof = False  # datagrams have no end

    def __init__(self, sock: socket.socket, address: tuple[Any, ...] | str | None = None) -> None:
        self.socket = sock
        self.address = address
        self._next_timeout: float | None = None
        self._told = False  # the system tells of ECN bits
        self._ecn = 0  # those that are sent
        self.received_ecn = 0  # those of the last datagram that was read

    @property
    def mtu_overhead(self) -> int:
        """Bytes of the headers of IP and UDP around a datagram (BIO_CTRL_DGRAM_GET_MTU_OVERHEAD)."""
        return 48 if self.socket.family == socket.AF_INET6 else 28

    def set_next_timeout(self, seconds: float | None) -> None:
        """A blocking socket waits for so long, and then there is nothing now: a timer wants its turn.

        The name is that of BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT (BIO_s_datagram(3)). A timeout of the socket's own that
        passes first raises `TimeoutError`.
        """
        self._next_timeout = seconds

    def tell_ecn(self) -> None:
        """Learn the two ECN bits of what comes: `received_ecn`, where the system tells (RFC 3168)."""
        if not self._told and hasattr(self.socket, "recvmsg"):
            self._told = _tell_ecn(self.socket)

    def set_ecn(self, ecn: int) -> None:
        """Send with these two ECN bits from now on, where the system lets us."""
        if ecn != self._ecn:
            self._ecn = ecn
            set_ecn(self.socket, ecn)

    def read(self, size: int = -1, /) -> bytes:
        """The next datagram of the peer; waits for one when the socket is blocking."""
        return self._read(size, self.address)[0]

    def read_from(self, size: int = -1, /) -> tuple[bytes, Any]:
        """The next datagram of anybody, and who sent it."""
        return self._read(size, None)

    def _read(self, size: int, expected: object) -> tuple[bytes, Any]:
        sock, own = self.socket, self.socket.gettimeout()
        if own is None and not _blocks(sock.fileno()):
            own = 0.0
        size = size if size >= 0 else 65_536
        seconds = self._next_timeout
        if own == 0 or seconds is None or (own is not None and own <= seconds):
            return self._receive(size, expected, most=_STRANGERS if own == 0 else None) or (b"", None)
        deadline = time.monotonic() + seconds
        try:
            while True:
                sock.settimeout(max(0.0, deadline - time.monotonic()))
                found = self._receive(size, expected, most=0)
                if found is None or found[0]:
                    return found or (b"", None)
        except TimeoutError:
            return b"", None
        finally:
            sock.settimeout(own)

    def _receive(self, size: int, expected: object, *, most: int | None) -> tuple[bytes, Any] | None:
        """A datagram and its sender; None when there is nothing now, (b"", …) behind `most` that are none for us."""
        passed = refused = 0
        while True:
            try:
                if self._told:
                    datagram, ancillary, _, sender = self.socket.recvmsg(size, _ANCILLARY)
                    self.received_ecn = _ecn_of(ancillary)
                else:
                    datagram, sender = self.socket.recvfrom(size)
            except BlockingIOError:
                return None
            except InterruptedError:
                datagram = b""
            except OSError as error:
                refused += 1
                if error.errno not in _OF_EARLIER or refused > _REFUSALS:
                    raise
                datagram = b""  # it was an ICMP message about an earlier one, which ends nothing and may be forged
            if datagram and (expected is None or sender == expected):
                return datagram, sender
            if most is not None and passed >= most:
                return b"", None
            passed += 1

    def write(self, datagram: Data, /) -> int:
        """Send one datagram: its length, or 0 when the socket is full."""
        return self.write_to(datagram, self.address)

    def write_to(self, datagram: Data, address: Any, /) -> int:
        """Send one datagram to somebody; None stands for whom the socket is connected to."""
        refused = False
        while True:
            try:
                if address is None:
                    return self.socket.send(datagram)
                return self.socket.sendto(datagram, address)
            except BlockingIOError:
                return 0
            except (InterruptedError, ConnectionRefusedError):
                continue
            except OSError as error:
                if error.errno not in _OF_EARLIER or refused:
                    raise
                refused = True  # it may have been said of an earlier one: then this one can be sent

    def write_eof(self) -> None:
        """Do nothing: datagrams have no end."""

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self.socket.fileno()
