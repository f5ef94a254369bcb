"""DTLS 1.3 peers: NSS by tstclnt, lemon-tls by a small program of our own; and our own side over a UDP socket."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from caesura.dtls import DTLSConnection, DTLSListener
from tests.interop.peers.base import Setup
from tests.interop.peers.nss import NSS, NSS_GROUPS
from tests.interop.peers.process import PATIENCE, Process, Workshop, missing, on_free_udp_port, program

REPOSITORY = Path(__file__).parents[3]


class UDPEnd:
    """Our side: a connection, or a listener that takes one client, and the socket it lives on."""

    def __init__(self, sock: socket.socket, connection: DTLSConnection | None, listener: DTLSListener | None) -> None:
        self.sock = sock
        self.listener = listener
        self.accepted = connection
        if connection is not None:
            connection.advance(time.monotonic())

    @property
    def connection(self) -> DTLSConnection:
        assert self.accepted is not None
        return self.accepted

    def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Go on until it holds; raises the connection's error, or AssertionError when it takes too long."""
        end = time.monotonic() + seconds
        while not condition():
            if self.accepted is not None and self.accepted.error is not None:
                self._send()
                raise self.accepted.error
            assert time.monotonic() < end, "the peer goes quiet"
            self.step()

    def step(self) -> None:
        """Send what is there, wait for a datagram or a timer, and serve it."""
        self._send()
        deadline = self.accepted.timeout() if self.accepted is not None else None
        wait = 0.2 if deadline is None else max(0.0, min(0.2, deadline - time.monotonic()))
        readable, _, _ = select.select([self.sock], [], [], wait)
        if readable:
            data, addr = self.sock.recvfrom(65_536)
            if self.listener is not None:
                self.listener.receive_datagram(data, addr, time.monotonic())
                self.accepted = self.listener.accept() or self.accepted
            elif self.accepted is not None:
                self.accepted.receive_datagram(data, addr, time.monotonic())
        if self.accepted is not None:
            self.accepted.handle_timeout(time.monotonic())
        self._send()

    def read(self) -> bytes:
        """The next datagram's data."""
        self.until(lambda: self.connection.pending() > 0)
        return self.connection.read()

    def write(self, data: bytes) -> None:
        self.connection.write(data)
        self._send()

    def _send(self) -> None:
        now = time.monotonic()
        for part in (self.listener, self.accepted):
            for data, addr in part.datagrams_to_send(now) if part is not None else ():
                self.sock.sendto(data, addr)  # type: ignore[arg-type]

    def close(self) -> None:
        if self.accepted is not None:
            self.accepted.close()
        self.sock.close()


def udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


@dataclass
class DatagramPeer:
    """The other side's program, and how it is heard and made to speak."""

    process: Process
    port: int

    def says(self, text: str) -> None:
        """Make it send this line, where it reads standard input."""
        self.process.send(text.encode())

    def heard(self, text: str) -> None:
        """Wait until it has received this."""
        self.process.wait_for(text, "data")


class NSSDatagrams(NSS):
    """tstclnt with -P: DTLS, either role. It sends what it reads and prints what it receives."""

    name = "nss"

    def _run(self, role: str, port: int, setup: Setup, *more: str) -> Process:
        groups = ["-I", ",".join(NSS_GROUPS[group] for group in setup.groups)] if setup.groups else []
        arguments = [
            *(program("tstclnt", "apt-get install libnss3-tools"), "-P", role, "-p", str(port)),
            *("-d", self._database(setup), "-V", "tls1.3:tls1.3", *groups, *more),
        ]
        return self.workshop.start(arguments, self._environment(setup))

    def serve_datagrams(self, setup: Setup) -> DatagramPeer:
        return DatagramPeer(
            *on_free_udp_port(lambda port: self._run("server", port, setup, "-h", "127.0.0.1", "-n", "own"))
        )

    def connect_datagrams(self, port: int, setup: Setup) -> DatagramPeer:
        identity = ["-n", "own"] if setup.chain else []
        return DatagramPeer(self._run("client", port, setup, "-h", "localhost", "-4", *identity), port)


class Lemon:
    """lemon-tls, pure JavaScript. It echoes; as a client it shows no certificate."""

    name = "lemon"

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def _run(self, role: str, port: int, setup: Setup, *, ask: bool = False) -> Process:
        folder = REPOSITORY / ".peers" / "lemon"
        if not (folder / "node_modules" / "lemon-tls").exists():
            missing("lemon-tls", "tests/interop/build_lemon_peer (needs node and npm)")
        options = {"chain": str(setup.chain), "key": str(setup.key)} if setup.chain is not None else {}
        given = json.dumps({**options, "ask": ask})
        node = program("node", "apt-get install nodejs")
        return self.workshop.start([node, str(folder / "lemon.mjs"), role, str(port), given])

    def serve_datagrams(self, setup: Setup) -> DatagramPeer:
        ask = setup.trust is not None
        return DatagramPeer(*on_free_udp_port(lambda port: self._run("server", port, setup, ask=ask), '"listening"'))

    def connect_datagrams(self, port: int, setup: Setup) -> DatagramPeer:
        return DatagramPeer(self._run("client", port, setup), port)
