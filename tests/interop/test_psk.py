"""External pre-shared keys with OpenSSL and GnuTLS, both ways. Neither imports keys (RFC 9258)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from caesura import PSK, Context
from tests.interop.direct import accepted, connected, listening, read_exactly
from tests.interop.peers import Workshop
from tests.interop.peers.process import Process, on_free_port, program

KEY = bytes(range(32))
GNUTLS = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+DHE-PSK:+ECDHE-PSK:+PSK"


def openssl_server(workshop: Workshop) -> tuple[Process, int]:
    path = program("openssl", "apt-get install openssl")
    process = workshop.start(
        [
            *(path, "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-nocert"),
            *("-psk_identity", "who", "-psk", KEY.hex()),
        ]
    )
    return process, int(re.findall(r":(\d+)\n", process.wait_for(r"ACCEPT [^\n]*:\d+\n"))[-1])


def gnutls(workshop: Workshop, name: str, *arguments: str) -> Process:
    path = program(name, "apt-get install gnutls-bin")
    return workshop.start([program("stdbuf", "apt-get install coreutils"), "-oL", path, *arguments])


def gnutls_server(workshop: Workshop) -> tuple[Process, int]:
    passwords = workshop.path("psk.txt")
    passwords.write_text(f"who:{KEY.hex()}\n")
    return on_free_port(
        lambda port: gnutls(
            workshop,
            *("gnutls-serv", "--port", str(port), "--echo", "--pskpasswd", str(passwords), "--priority", GNUTLS),
        ),
        r"listening on IPv4 [^\n]*done",
    )


@pytest.mark.parametrize("serve", [openssl_server, gnutls_server], ids=["openssl", "gnutls"])
def test_our_client(workshop: Workshop, serve: Callable[[Workshop], tuple[Process, int]]) -> None:
    process, port = serve(workshop)
    context = Context.client(lookup_psk=lambda _: (b"who", KEY))
    for resumed in (False, True):
        with connected(port, context, None) as tls:
            tls.do_handshake()
            tls.write(b"there\n")
            if serve is gnutls_server:
                assert read_exactly(tls, 6) == b"there\n"
            else:
                process.wait_for("there\n", "data")
                process.send(b"and back\n")
                assert read_exactly(tls, 9) == b"and back\n"
            assert tls.session_reused is resumed
            assert tls.psk_identity == b"who"
            tls.shutdown()


@pytest.mark.parametrize("serve", [openssl_server, gnutls_server], ids=["openssl", "gnutls"])
def test_our_client_with_another_key(workshop: Workshop, serve: Callable[[Workshop], tuple[Process, int]]) -> None:
    _, port = serve(workshop)
    context = Context.client(lookup_psk=lambda _: (b"who", KEY[::-1]))
    with connected(port, context, None) as tls, pytest.raises(Exception, match="alert"):
        tls.do_handshake()


def openssl_client(workshop: Workshop, port: int) -> Process:
    path = program("openssl", "apt-get install openssl")
    where = ("-connect", f"127.0.0.1:{port}", "-tls1_3")
    return workshop.start([path, "s_client", *where, "-psk_identity", "who", "-psk", KEY.hex()])


def gnutls_client(workshop: Workshop, port: int) -> Process:
    key = ("--pskusername", "who", "--pskkey", KEY.hex())
    return gnutls(workshop, "gnutls-cli", "--port", str(port), "127.0.0.1", *key, "--priority", GNUTLS)


@pytest.mark.parametrize("connect", [openssl_client, gnutls_client], ids=["openssl", "gnutls"])
def test_our_server(workshop: Workshop, connect: Callable[[Workshop, int], Process]) -> None:
    asked: list[bytes | None] = []

    def look_up(identity: bytes | None) -> PSK | None:
        asked.append(identity)
        return PSK("who", KEY) if identity == b"who" else None

    context = Context.server(lookup_psk=look_up)
    with listening() as listener:
        client = connect(workshop, listener.getsockname()[1])
        with accepted(listener, context) as tls:
            tls.do_handshake()
            assert tls.psk_identity == b"who"
            tls.write(b"hello\n")
            client.wait_for("hello\n", "data")
            client.send(b"good day\n")
            assert read_exactly(tls, 9) == b"good day\n"
    assert asked == [b"who"]


@pytest.mark.parametrize("connect", [openssl_client, gnutls_client], ids=["openssl", "gnutls"])
def test_our_server_with_another_key(workshop: Workshop, connect: Callable[[Workshop, int], Process]) -> None:
    context = Context.server(lookup_psk=lambda _: (b"who", KEY[::-1]))
    with listening() as listener:
        client = connect(workshop, listener.getsockname()[1])
        with accepted(listener, context) as tls, pytest.raises(Exception, match="binder"):
            tls.do_handshake()
        client.wait_for(r"alert number 51|Received alert \[51\]")
