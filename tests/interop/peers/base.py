"""The verbs a test uses, whatever program is at the other end, and what both ends agree on.

The test's own side of a connection is an `End`: blocking `read` and `write` of plaintext. The other is a `Remote`.
What a program cannot tell or do, its class says: `can_serve`, `can_connect`, a None in `Facts`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from tests.interop.peers.process import PATIENCE, Process, Workshop, background


class End(Protocol):
    """The test's side of an established connection; its calls block."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" after the peer's close_notify."""

    def write(self, data: bytes) -> None:
        """All of it."""

    def close(self) -> None:
        """Send close_notify, wait until the peer closes too, and close the socket."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a peer is told. Files are PEM; groups are the registry's names, in order of preference."""

    versions: tuple[str, ...] = ("1.3",)  # the oldest first
    chain: Path | None = None
    key: Path | None = None
    trust: Path | None = None  # of a client: for the server; of a server: asks clients for a certificate
    require_certificate: bool = False
    server_name: str = "localhost"
    alpn: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    keylog: Path | None = None
    staple: Path | None = None  # a server's OCSP response, DER
    record_size: int | None = None  # bytes of data that the other side may put into a record (RFC 8449)
    tickets: bool = True  # a server's; without them it keeps sessions of TLS 1.2 itself, by their ids
    verbose: bool = False  # tell of every handshake message and take commands, if it can
    size: int = 64  # bytes that a program sends which does so by itself: Go's and CPython's clients, selfserv


@dataclass(frozen=True)
class Facts:
    """What a peer says it negotiated; None where it does not say."""

    resumed: bool | None = None
    version: str | None = None
    suite: str | None = None
    group: str | None = None
    alpn: str | None = None
    peer_certificate: bool | None = None
    hello_retry: bool | None = None
    stapled: bool | None = None
    exported: str | None = None  # hex, of `EXPORTER`


OPENSSL_SUITES = {
    f"ECDHE-{auth}-{name}": f"TLS_ECDHE_{auth}_WITH_{suite}"
    for auth in ("ECDSA", "RSA")
    for name, suite in {
        "AES128-GCM-SHA256": "AES_128_GCM_SHA256",
        "AES256-GCM-SHA384": "AES_256_GCM_SHA384",
        "CHACHA20-POLY1305": "CHACHA20_POLY1305_SHA256",
    }.items()
}


def registered(suite: str) -> str:
    """The registry's name of a suite that OpenSSL names: its own for TLS 1.2."""
    return OPENSSL_SUITES.get(suite, suite)


EXPORTER = ("EXPORTER-caesura-interop", b"context", 32)  # label, context, bytes


def read_exactly(end: End, size: int) -> bytes:
    pieces, missing = [], size
    while missing:
        piece = end.read(min(missing, 65536))
        assert piece, f"the peer closed with {missing} of {size} bytes still to come"
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def echo(end: End, size: int) -> None:
    """Hand back the first `size` bytes that come."""
    while size:
        piece = end.read(min(size, 65536))
        assert piece, f"the peer closed with {size} bytes still to echo"
        end.write(piece)
        size -= len(piece)


def text_payload(size: int) -> bytes:
    """Lines of digits: no two alike, and none of them a command to openssl's or GnuTLS' programs."""
    lines = (size + 1023) // 1024
    return b"".join(b"%01023d\n" % number for number in range(lines))[: size - 1] + b"\n"


class Remote(ABC):
    """The other side: one connection after the other if it is a server, one if it is a client."""

    port: int = 0

    @abstractmethod
    def facts(self) -> Facts:
        """What was negotiated on the next connection that it tells about."""

    @abstractmethod
    def refused(self) -> int:
        """The code of the alert it received instead of completing the next handshake."""

    @abstractmethod
    def talk(self, end: End) -> None:
        """A few bytes each way, checked at both ends."""

    @abstractmethod
    def bulk(self, end: End, size: int) -> None:
        """`size` bytes each way, checked at both ends."""

    def hear(self, end: End, size: int) -> None:
        """One line of `size` bytes from our side, checked at the other."""
        raise AssertionError(f"{type(self).__name__} does not show what it hears")

    def key_update(self, request_peer: bool) -> None:
        """Change its write keys, and ask for ours to be changed too."""
        raise AssertionError(f"{type(self).__name__} cannot start a key update")

    def saw_key_update(self) -> None:  # noqa: B027  most programs do not tell
        """Wait until it says that a KeyUpdate of ours has come, if it says such things."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection in the orderly way, with close_notify."""

    @abstractmethod
    def saw_close_notify(self) -> None:
        """Wait until it says that our side has closed in the orderly way."""


class Peer(ABC):
    """One implementation, as a server and as a client."""

    name: ClassVar[str]
    refusal_alerts: ClassVar[Mapping[str, int]]  # what its client sends for these faults in our certificate
    can_serve: ClassVar[frozenset[str]]
    can_connect: ClassVar[frozenset[str]]

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    @abstractmethod
    def serve(self, setup: Setup) -> Remote:
        """Start a server that takes connections until the test is over."""

    @abstractmethod
    def connect(self, port: int, setup: Setup) -> Remote:
        """Start a client that connects now."""

    @abstractmethod
    def resume(self, port: int, setup: Setup, accept: Callable[[], End]) -> tuple[End, Remote]:
        """Connect twice, the second time with the session of the first; the second connection is handed out.

        `accept` takes a connection and completes the handshake. Both ends have talked if the program can do so.
        """


def finish(end: End) -> None:
    """Read to the end of a connection that the other side closes, and close it here too."""
    while end.read(65536):
        pass
    end.close()


class PipeRemote(Remote):
    """A program that sends what it reads on standard input, and prints what it receives."""

    most: ClassVar = 1 << 30  # bytes each way that can be asked of it

    def __init__(self, process: Process) -> None:
        self.process = process

    def talk(self, end: End) -> None:
        end.write(b"0-from-us\n")
        self.process.wait_for("0-from-us\n", "data")
        self.process.send(b"1-from-the-peer\n")
        assert read_exactly(end, 16) == b"1-from-the-peer\n"

    def hear(self, end: End, size: int) -> None:
        end.write(b"7" * (size - 1) + b"\n")
        self.process.wait_for("7" * (size - 1) + "\n", "data")

    def bulk(self, end: End, size: int) -> None:
        size = min(size, self.most)
        payload = text_payload(size)
        end.write(b"START\n" + payload)
        self.process.wait_for("START\n", "data")
        assert self.process.wait_for_bytes(size) == payload
        sending = background(lambda: self.process.send(payload))
        assert read_exactly(end, size) == payload
        sending.join(PATIENCE)

    def close(self) -> None:
        self.process.close_input()


class EchoServer(Remote):
    """A program that sends back what it receives."""

    def talk(self, end: End) -> None:
        end.write(b"there and back\n")
        assert read_exactly(end, 15) == b"there and back\n"

    def hear(self, end: End, size: int) -> None:
        end.write(line := b"7" * (size - 1) + b"\n")
        assert read_exactly(end, size) == line

    def bulk(self, end: End, size: int) -> None:
        payload = text_payload(size)
        for start in range(0, size, 16000):  # one piece under way at a time, or both could wait to write
            piece = payload[start : start + 16000]
            end.write(piece)
            assert read_exactly(end, len(piece)) == piece


class EchoClient(Remote):
    """A program that sends `Setup.size` bytes as soon as it is connected, wants them back, and closes."""

    size: int

    def talk(self, end: End) -> None:
        echo(end, self.size)

    def bulk(self, end: End, size: int) -> None:
        assert size == self.size
        echo(end, size)

    def close(self) -> None:
        """It does so by itself."""
