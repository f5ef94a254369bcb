"""One UDP socket of a loop, read and written in batches.

On Linux one system call carries many datagrams of the same size: UDP_SEGMENT when sending, UDP_GRO when receiving
(udp(7)). That takes a packet's cost in the kernel from some 4 to 0.6 us. What the system or a route cannot do is found
out at run time; then each datagram has a call of its own. The ECN bits of what comes are told along where the system
gives them. Loops that watch no descriptors carry datagrams by their own transport.

Nothing here knows QUIC or DTLS.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from caesura.bio import set_ecn

Address = Any
"""Where a datagram comes from or goes to, as the socket module has it."""

Datagram = tuple[bytes, Address]
Received = tuple[list[bytes], Address, int]
"""Datagrams that came together, where they came from, and the two ECN bits of their IP headers."""

_LINUX: Final = sys.platform == "linux"
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103  # linux/udp.h; the socket module has no names for these
_UDP_GRO: Final = 104
_IP_MTU_DISCOVER: Final = 10  # linux/in.h
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_PROBE: Final = 3  # never fragment, and let the sender find out what gets through
_IP_TOS: Final = 1
_IPV6_TCLASS: Final = 67

_LARGEST: Final = 65_535  # bytes one read may bring
_ANCILLARY: Final = 128  # bytes for what comes beside a datagram
_TURN: Final = 64  # datagrams in a row, or somewhat more, before others have their turn
_SEGMENTS: Final = 64  # that one call carries at most (UDP_MAX_SEGMENTS)
_SEGMENTED: Final = 64_000  # bytes of them: an IP packet's, before it is cut
_BUFFER: Final = 4_194_304  # bytes of the system's buffers, where it grants so much
_NO_SEGMENTS: Final = frozenset({errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
_U16: Final = struct.Struct("=H").pack


class Receiver(Protocol):
    """What is told of a socket."""

    def datagrams_received(self, batches: list[Received]) -> None:
        """So many have come."""

    def error_received(self, exc: OSError) -> None:
        """The system refused to send a datagram, or says that one was not wanted."""

    def resume_writing(self) -> None:
        """What waited was sent; `full` is false again."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""


class UDPSocket(asyncio.BaseTransport):
    """A socket, bound or connected, that belongs to this object from now on. `start` begins to read.

    With `offload` calls carry many datagrams where the system can do that, ECN is told, and nothing is ever fragmented
    on its way; it is for those who send much, and find out what the path takes. `full`: the system takes no more for
    the moment. What is sent then waits here.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, receiver: Receiver, *, offload: bool
    ) -> None:
        super().__init__()
        sock.setblocking(False)
        self.full = False
        self._loop = loop
        self._sock = sock
        self._receiver = receiver
        self._closing = False
        self._queue: deque[tuple[Sequence[Datagram], int]] = deque()  # with their ECN bits
        self._ecn = 0  # those that the socket sets
        self._portable: _Portable | None = None
        try:
            self._peer: Address = sock.getpeername()
        except OSError:
            self._peer = None
        self._name = sock.getsockname()
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, buffer, _BUFFER)
        self.segments, self._ancillary = _prepare(sock) if offload and _LINUX else (False, False)

    async def start(self) -> None:
        """Read from now on."""
        try:
            self._loop.add_reader(self._sock.fileno(), self._readable)
        except NotImplementedError:
            self._portable = _Portable(self, self._receiver)
            await self._loop.create_datagram_endpoint(lambda: cast("_Portable", self._portable), sock=self._sock)

    # --- receiving --------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        found: list[Received] = []
        sock, error, count = self._sock, None, 0
        try:
            while count < _TURN:
                if self._ancillary:
                    data, ancillary, _, addr = sock.recvmsg(_LARGEST, _ANCILLARY)
                    datagrams, ecn = _received(data, ancillary)
                else:
                    data, addr = sock.recvfrom(_LARGEST)
                    datagrams, ecn = [data], 0
                count += len(datagrams)
                if found and found[-1][1] == addr and found[-1][2] == ecn:  # many at once cost less than one by one
                    found[-1][0].extend(datagrams)
                else:
                    found.append((datagrams, addr, ecn))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as refused:
            error = refused
        if found:
            self._receiver.datagrams_received(found)
        if error is not None:
            self._receiver.error_received(error)

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self, datagrams: Sequence[Datagram], ecn: int = 0) -> int:
        """Send them, in order. On a connected socket the address says nothing. `ecn`: the two bits of their IP headers.

        Returns the length of one that is longer than the route takes (EMSGSIZE), the longest if there are several; 0
        if there was none, or none is known yet.
        """
        if self._closing:
            return 0
        if self._portable is not None:
            self._portable.send(datagrams, to_peer=self._peer is not None)
        elif self._queue:
            self._queue.append((datagrams, ecn))
        else:
            return self._send(datagrams, ecn)
        return 0

    def _send(self, datagrams: Sequence[Datagram], ecn: int) -> int:
        start, count, too_long = 0, len(datagrams), 0
        if ecn != self._ecn:  # once in a connection's life, on a server now and then: cheaper than with each call
            self._ecn = ecn
            set_ecn(self._sock, ecn)
        while start < count and not self._closing:
            stop = self._together(datagrams, start) if self.segments else start + 1
            try:
                self._call(datagrams[start:stop])
            except (BlockingIOError, InterruptedError):
                self._wait(datagrams[start:], ecn)
                break
            except OSError as error:
                if stop - start > 1 and error.errno in _NO_SEGMENTS:
                    self.segments = False
                    continue
                if error.errno == errno.EMSGSIZE:
                    too_long = max(too_long, len(datagrams[start][0]))
                self._receiver.error_received(error)  # it is lost, as a network may lose it
            start = stop
        return too_long

    def _together(self, datagrams: Sequence[Datagram], start: int) -> int:
        """Up to where one call can carry them: to one address, all of one size, of which the last may fall short."""
        first, addr = datagrams[start]
        size, last = len(first), min(len(datagrams), start + min(_SEGMENTS, _SEGMENTED // max(len(first), 1)))
        stop = start + 1
        while stop < last:
            data, to = datagrams[stop]
            if not 0 < len(data) <= size or to != addr:
                break
            stop += 1
            if len(data) < size:
                break
        return stop

    def _call(self, datagrams: Sequence[Datagram]) -> None:
        data, addr = datagrams[0]
        if len(datagrams) == 1:
            if self._peer is not None:
                self._sock.send(data)
            else:
                self._sock.sendto(data, addr)
            return
        size = [(_SOL_UDP, _UDP_SEGMENT, _U16(len(data)))]
        parts = [each for each, _ in datagrams]
        if self._peer is not None:
            self._sock.sendmsg(parts, size)
        else:
            self._sock.sendmsg(parts, size, 0, addr)

    def _wait(self, datagrams: Sequence[Datagram], ecn: int) -> None:
        self._queue.append((datagrams, ecn))
        if not self.full:
            self.full = True
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def _writable(self) -> None:
        waiting = list(self._queue)
        self._queue.clear()
        while waiting and not self._queue:
            self._send(*waiting.pop(0))
        self._queue.extend(waiting)
        if not self._queue and not self._closing:
            self._loop.remove_writer(self._sock.fileno())
            self.full = False
            self._receiver.resume_writing()

    # --- transports' calls --------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, `sockname`, `peername`."""
        if name == "socket":
            return self._sock
        found = {"sockname": self._name, "peername": self._peer}.get(name)
        return default if found is None else found

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Close the socket. What waits to be sent is lost."""
        if self._closing:
            return
        self._closing = True
        self._queue.clear()
        if self._portable is not None:
            self._portable.close()
            return
        self._loop.remove_reader(self._sock.fileno())
        if self.full:
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._loop.call_soon(self._receiver.connection_lost, None)

    def __repr__(self) -> str:
        return f"<UDPSocket {self._name} {'closing' if self._closing else 'open'}>"


class _Portable(asyncio.DatagramProtocol):
    """The loop's own transport of datagrams, where it watches no descriptors (Windows)."""

    _raw: asyncio.DatagramTransport | None = None

    def __init__(self, owner: UDPSocket, receiver: Receiver) -> None:
        self._owner = owner
        self._receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.DatagramTransport", transport)

    def send(self, datagrams: Sequence[Datagram], *, to_peer: bool) -> None:
        assert self._raw is not None
        for data, addr in datagrams:
            self._raw.sendto(data, None if to_peer else addr)

    def close(self) -> None:
        if self._raw is not None:  # else whoever waits for it is cancelled, and the loop looks after it
            self._raw.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._receiver.datagrams_received([([data], addr, 0)])

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self._receiver.error_received(exc)

    def pause_writing(self) -> None:
        self._owner.full = True

    def resume_writing(self) -> None:
        self._owner.full = False
        self._receiver.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connection_lost(exc)


def _prepare(sock: socket.socket) -> tuple[bool, bool]:
    """Switch on what Linux offers: whether it sends segments, and whether it tells more than the bytes."""
    both = [(socket.IPPROTO_IP, socket.IP_RECVTOS, 1), (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)]
    if sock.family == socket.AF_INET6:
        both.append((socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1))
        both.append((socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE))
    for level, option, value in (*both, (_SOL_UDP, _UDP_GRO, 1)):
        with suppress(OSError):
            sock.setsockopt(level, option, value)
    try:
        sock.setsockopt(_SOL_UDP, _UDP_SEGMENT, 0)
    except OSError:
        return False, True
    return True, True


def _received(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> tuple[list[bytes], int]:
    """The datagrams that one call has brought, and their ECN bits."""
    size = ecn = 0
    for level, kind, value in ancillary:
        if level == _SOL_UDP:
            if kind == _UDP_GRO:
                size = int.from_bytes(value[:4], sys.byteorder)
        elif kind in (_IP_TOS, _IPV6_TCLASS):
            ecn = (value[0] if len(value) == 1 else int.from_bytes(value[:4], sys.byteorder)) & 3
    if not size or len(data) <= size:
        return [data], ecn
    return [data[start : start + size] for start in range(0, len(data), size)], ecn


# --- sockets ------------------------------------------------------------------------------------------------------


async def addresses(
    loop: asyncio.AbstractEventLoop, host: str | None, port: int, family: int, *, passive: bool = False
) -> list[tuple[int, Address]]:
    """Family and address of each address of a host, in the resolver's order. Raises OSError when there are none."""
    flags = socket.AI_PASSIVE if passive else 0
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM, flags=flags)
    return [(each[0], each[4]) for each in found]


def connected(family: int, peer: Address, local: Address | None) -> socket.socket:
    """A socket that hears one peer alone. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if local is not None:
            sock.bind(local)
        sock.connect(peer)
    except BaseException:
        sock.close()
        raise
    return sock


async def bound(
    loop: asyncio.AbstractEventLoop, host: str | None, port: int, family: int, *, reuse_port: bool
) -> socket.socket:
    """A socket at an address of this machine; without a host, at all of them. Raises OSError."""
    every = not host and not family and socket.has_dualstack_ipv6()
    if every:
        found: tuple[int, Address] = socket.AF_INET6, ("::", port)
    else:
        found = (await addresses(loop, host or None, port, family or 0, passive=True))[0]
    sock = socket.socket(found[0], socket.SOCK_DGRAM)
    try:
        if every:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(found[1])
    except BaseException:
        sock.close()
        raise
    return sock
