"""DTLS 1.2 peers: programs over UDP (openssl, GnuTLS, pion), and libraries in this process (pyOpenSSL, mbedTLS)."""

from __future__ import annotations

import importlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from caesura.dtls import DTLSConnection
from tests.interop.peers.datagrams import REPOSITORY, DatagramPeer
from tests.interop.peers.process import Process, Workshop, missing, on_free_udp_port, program


@dataclass(frozen=True, kw_only=True)
class Setup12:
    """What a peer is told. Files are PEM."""

    chain: Path | None = None
    key: Path | None = None
    trust: Path | None = None  # of a client: for the server; of a server: asks clients for a certificate
    psk: bytes = b""
    identity: str = "psk1"
    suite: str = ""  # OpenSSL's name
    gnutls: str = "NORMAL"  # GnuTLS' priorities
    code: int = 0  # the suite's, for pion
    srtp: int = 0  # a profile's code
    mtu: int = 1200
    cookies: bool = False
    session_out: Path | None = None
    session_in: Path | None = None


SRTP_NAMES = {1: "SRTP_AES128_CM_SHA1_80", 7: "SRTP_AEAD_AES_128_GCM"}


class OpenSSL12:
    """s_server and s_client with -dtls1_2."""

    name = "openssl"
    facts = r"Cipher is ([^\s,]+)"

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def _common(self, setup: Setup12) -> list[str]:
        found = ["-dtls1_2", "-mtu", str(setup.mtu)]
        if setup.chain is not None:
            found += ["-cert", str(setup.chain), "-key", str(setup.key), "-cert_chain", str(setup.chain)]
        if setup.psk:
            found += ["-psk", setup.psk.hex(), "-psk_identity", setup.identity]
        if setup.suite:
            found += ["-cipher", setup.suite]
        if setup.srtp:
            found += ["-use_srtp", SRTP_NAMES[setup.srtp]]
        return found

    def serve(self, setup: Setup12) -> DatagramPeer:
        arguments = [program("openssl", "apt-get install openssl"), "s_server", *self._common(setup)]
        if setup.cookies:
            arguments.append("-listen")
        if setup.trust is not None:
            arguments += ["-CAfile", str(setup.trust), "-Verify", "3", "-verify_return_error"]
        if setup.chain is None:
            arguments.append("-nocert")
        return DatagramPeer(*on_free_udp_port(lambda port: self.workshop.start([*arguments, "-accept", str(port)])))

    def connect(self, port: int, setup: Setup12) -> DatagramPeer:
        arguments = [program("openssl", "apt-get install openssl"), "s_client", "-connect", f"127.0.0.1:{port}"]
        arguments += ["-servername", "localhost", *self._common(setup)]
        if setup.trust is not None:
            arguments += ["-CAfile", str(setup.trust), "-verify_return_error", "-verify_hostname", "localhost"]
        if setup.session_out is not None:
            arguments += ["-sess_out", str(setup.session_out)]
        if setup.session_in is not None:
            arguments += ["-sess_in", str(setup.session_in)]
        return DatagramPeer(self.workshop.start(arguments), port)


class GnuTLS12:
    """gnutls-serv and gnutls-cli with --udp. The server echoes, and asks for a cookie first."""

    name = "gnutls"

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def _start(self, name: str, *arguments: str) -> Process:
        path = program(name, "apt-get install gnutls-bin")
        return self.workshop.start([program("stdbuf", "apt-get install coreutils"), "-oL", path, "--udp", *arguments])

    def _common(self, setup: Setup12) -> list[str]:
        found = ["--mtu", str(setup.mtu), "--priority", setup.gnutls]
        if setup.chain is not None:
            found += ["--x509certfile", str(setup.chain), "--x509keyfile", str(setup.key)]
        if setup.trust is not None:
            found += ["--x509cafile", str(setup.trust)]
        return found

    def serve(self, setup: Setup12) -> DatagramPeer:
        arguments = ["--echo", *self._common(setup)]
        if setup.psk:
            passwords = self.workshop.path("psk.txt")
            passwords.write_text(f"{setup.identity}:{setup.psk.hex()}\n")
            arguments += ["--pskpasswd", str(passwords)]
        arguments += ["--require-client-cert", "--verify-client-cert"] if setup.trust else ["--disable-client-cert"]
        return DatagramPeer(*on_free_udp_port(lambda port: self._start("gnutls-serv", "--port", str(port), *arguments)))

    def connect(self, port: int, setup: Setup12) -> DatagramPeer:
        arguments = ["--port", str(port), "127.0.0.1", *self._common(setup)]
        if setup.psk:
            arguments += ["--pskusername", setup.identity, "--pskkey", setup.psk.hex()]
        else:
            arguments += ["--sni-hostname", "localhost", "--verify-hostname", "localhost"]
        return DatagramPeer(self._start("gnutls-cli", *arguments), port)


class Pion12:
    """pion/dtls, by a program of our own (tests/interop/pion). It echoes; a client greets first."""

    name = "pion"

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def _start(self, role: str, port: int, setup: Setup12) -> Process:
        path = REPOSITORY / ".peers" / "pionpeer"
        if not path.exists():
            missing("pion", "tests/interop/build_pion_peer (needs golang-github-pion-dtls.v2-dev)")
        files = {"chain": setup.chain, "key": setup.key, "ca": setup.trust}
        given: dict[str, object] = {name: str(file) for name, file in files.items() if file is not None}
        given |= {"suite": setup.code, "srtp": setup.srtp, "mtu": setup.mtu, "ask": role == "server" and "ca" in given}
        if setup.psk:
            given |= {"psk": setup.psk.hex(), "identity": setup.identity}
        return self.workshop.start([str(path), role, str(port), json.dumps(given)])

    def serve(self, setup: Setup12) -> DatagramPeer:
        return DatagramPeer(*on_free_udp_port(lambda port: self._start("server", port, setup), '"listening"'))

    def connect(self, port: int, setup: Setup12) -> DatagramPeer:
        return DatagramPeer(self._start("client", port, setup), port)


# --- in this process -------------------------------------------------------------------------------------------------


class PyOpenSSL12:
    """One end, by datagrams in memory."""

    name = "pyopenssl"

    def __init__(self, setup: Setup12, *, server_side: bool) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        if setup.chain is not None:
            context.use_certificate_chain_file(str(setup.chain))
            context.use_privatekey_file(str(setup.key))
        if setup.trust is not None:
            context.load_verify_locations(str(setup.trust))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        if setup.srtp:
            context.set_tlsext_use_srtp(SRTP_NAMES[setup.srtp].encode())
        if setup.suite:
            context.set_cipher_list(setup.suite.encode())
        if setup.cookies:
            context.set_options(SSL.OP_COOKIE_EXCHANGE)
            context.set_cookie_generate_callback(lambda _: b"cookie")
            context.set_cookie_verify_callback(lambda _, cookie: cookie == b"cookie")
        self.connection = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(setup.mtu)
        (self.connection.set_accept_state if server_side else self.connection.set_connect_state)()

    def receive(self, datagram: bytes) -> None:
        self.connection.bio_write(datagram)
        self.step()

    def step(self) -> None:
        with suppress(SSL.WantReadError):
            self.connection.do_handshake()

    def to_send(self) -> list[bytes]:
        found = []
        with suppress(SSL.WantReadError):
            while True:
                found.append(self.connection.bio_read(65_536))
        return found

    def write(self, data: bytes) -> None:
        self.connection.send(data)

    def read(self) -> bytes:
        return self.connection.recv(65_536)

    def exported(self) -> bytes:
        return self.connection.export_keying_material(b"EXPORTER-caesura-interop", 32)


class MbedTLS12:
    """One end of python-mbedtls, in memory. What it sends in one go arrives as one datagram."""

    name = "mbedtls"

    def __init__(self, setup: Setup12, *, server_side: bool) -> None:
        try:
            self._tls = importlib.import_module("mbedtls.tls")
        except ImportError:
            missing("python-mbedtls", "pip install python-mbedtls")
        x509, pk = importlib.import_module("mbedtls.x509"), importlib.import_module("mbedtls.pk")
        settings: dict[str, Any] = {}
        if setup.trust is not None:
            store = self._tls.TrustStore()
            store.add(x509.CRT.from_PEM(setup.trust.read_text()))
            settings |= {"trust_store": store, "validate_certificates": True}
        if setup.chain is not None and setup.key is not None:
            end = "-----END CERTIFICATE-----\n"
            pieces = [each + end for each in setup.chain.read_text().split(end) if each.strip()]
            own = [x509.CRT.from_PEM(each) for each in pieces], pk.ECC.from_PEM(setup.key.read_text())
            settings |= {"certificate_chain": own, "validate_certificates": setup.trust is not None}
        if setup.psk:
            settings |= {"ciphers": ("TLS-PSK-WITH-AES-128-CCM-8",), "validate_certificates": False}
            settings |= (
                {"pre_shared_key_store": {setup.identity: setup.psk}}
                if server_side
                else {"pre_shared_key": (setup.identity, setup.psk)}
            )
        configuration = self._tls.DTLSConfiguration(**settings)
        self._server_side = server_side
        self._context = (self._tls.ServerContext if server_side else self._tls.ClientContext)(configuration)
        self._renew()

    def _renew(self) -> None:
        self._end = self._context.wrap_buffers() if self._server_side else self._context.wrap_buffers("localhost")
        if self._server_side:
            self._end.setcookieparam(b"somebody")

    def receive(self, datagram: bytes) -> None:
        self._end.receive_from_network(datagram)
        self.step()

    def step(self) -> None:
        for _ in range(24):  # it takes a step at a time
            if self._end._handshake_state is self._tls.HandshakeStep.HANDSHAKE_OVER:
                return
            try:
                self._end.do_handshake()
            except self._tls.HelloVerifyRequest:
                self._verify = self._outgoing()
                self._renew()
                return
            except (self._tls.WantReadError, self._tls.WantWriteError):
                pass

    _verify = b""

    def _outgoing(self) -> bytes:
        found: bytes = self._end.peek_outgoing(65_536)
        self._end.consume_outgoing(len(found))
        return found

    def to_send(self) -> list[bytes]:
        first, self._verify = self._verify, b""
        return [each for each in (first, self._outgoing()) if each]

    def write(self, data: bytes) -> None:
        self._end.write(data)

    def read(self) -> bytes:
        found: bytes = self._end.read(65_536)
        return found


def exchange(ours: DTLSConnection, theirs: PyOpenSSL12 | MbedTLS12) -> None:
    """Move datagrams until none is left. Nothing is lost, so no timer is needed."""
    ours.advance(0.0)
    theirs.step()
    for _ in range(50):
        to_them = [datagram for datagram, _ in ours.datagrams_to_send(0.0)]
        for datagram in to_them:
            theirs.receive(datagram)
        to_us = theirs.to_send()
        for datagram in to_us:
            ours.receive_datagram(datagram, "peer", 0.0)
        if not (to_them or to_us):
            return
    pytest.fail("no end of datagrams")
