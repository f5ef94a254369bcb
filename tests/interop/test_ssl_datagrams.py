"""`caesura.SSL` over real UDP sockets with OpenSSL's s_client and s_server (DTLS 1.2): blocking calls, and `listen`.

asyncio and the command line meet them in tests/cli/test_dtls.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from caesura.bio import DatagramBIO
from caesura.context import Method
from caesura.engines import DelayEngine, Operation
from caesura.errors import WantRead, ZeroReturn
from caesura.wire.registries import Version
from tests.cli.process import Running
from tests.interop.peers.process import program
from tests.support import ssl_pair
from tests.support.pki import pki


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(pki().trust_pem)
    pki().ec.files(tmp_path, "server")
    return tmp_path


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)
        yield sock


def openssl(*arguments: Any) -> Running:
    return Running(*arguments, command=(program("openssl", "apt-get install openssl"),))


@pytest.mark.parametrize("delay", [None, 0.05])
def test_s_client_is_asked_for_a_cookie_and_served(files: Path, delay: float | None) -> None:
    settings = {} if delay is None else {"engine": DelayEngine(delay, operations=[Operation.SIGN])}
    with udp() as sock:
        bio = DatagramBIO(sock)
        server = ssl_pair.server(bio, method=Method.DTLS, **settings)
        with openssl(
            "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{sock.getsockname()[1]}", "-servername", "localhost",
            "-verify_hostname", "localhost", "-CAfile", files / "ca.pem", "-verify_return_error", "-quiet",
            "-no_ign_eof",
        ) as client:  # fmt: skip
            asked = 0
            while bio.address is None:
                try:
                    bio.address = server.listen()
                except WantRead:
                    asked += 1
            assert asked == 1
            server.do_handshake()
            assert server.version is Version.DTLS12
            client.send(b"hello\n")
            assert server.read() == b"hello\n"
            server.write(b"and back\n")
            assert client.receive(9) == b"and back\n"
            client.send(b"Q\n")
            with pytest.raises(ZeroReturn):
                server.read()
            server.shutdown()


def test_s_server_is_talked_to(files: Path) -> None:
    with openssl(
        "s_server", "-dtls1_2", "-accept", "127.0.0.1:0", "-cert", files / "server.pem", "-cert_chain",
        files / "server.pem", "-key", files / "server.key", "-listen",
    ) as server, udp() as sock:  # fmt: skip
        sock.connect(("127.0.0.1", int(server.out_line(rb"ACCEPT 127\.0\.0\.1:(\d+)"))))
        client = ssl_pair.client(DatagramBIO(sock), method=Method.DTLS)
        client.do_handshake()
        assert client.version is Version.DTLS12
        client.write(b"hello\n")
        assert server.out_line(rb"(hello)")
        server.send(b"and back\n")
        assert client.read() == b"and back\n"
        assert client.shutdown() is False
