"""GnuTLS: gnutls-serv and gnutls-cli."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from tests.interop.peers.base import EchoServer, End, Facts, Peer, PipeRemote, Remote, Setup, finish
from tests.interop.peers.process import Process, on_free_port, program


def gnutls_priority(setup: Setup) -> str:
    """A priority string for the versions and groups asked for."""
    priority = "NORMAL:-VERS-ALL" + "".join(f":+VERS-TLS{version}" for version in setup.versions)
    if setup.groups:
        priority += ":-GROUP-ALL" + "".join(f":+GROUP-{group.upper()}" for group in setup.groups)
    return priority


GNUTLS_SUITES = {
    "AES-128-GCM": "TLS_AES_128_GCM_SHA256",
    "AES-256-GCM": "TLS_AES_256_GCM_SHA384",
    "CHACHA20-POLY1305": "TLS_CHACHA20_POLY1305_SHA256",
}


def gnutls_suite(version: str, parts: list[str]) -> str | None:
    """The registry's name; None for one of TLS 1.2 that resumes, which does not say whose signature it had."""
    suite = GNUTLS_SUITES[parts[-1]]
    if version == "1.3":
        return suite
    return suite.replace("TLS_", f"TLS_ECDHE_{parts[1].partition('-')[0]}_WITH_") if len(parts) > 2 else None


def gnutls_facts(text: str) -> Facts:
    # (TLS1.3-X.509)-(ECDHE-X25519)-(ECDSA-SECP256R1-SHA256)-(AES-128-GCM), or (TLS1.3-X.509)--(AES-128-GCM) if resumed
    # (TLS1.2-X.509)-(ECDHE-X25519)-(ECDSA-SHA256)-(AES-128-GCM), or the group of the first time and no signature
    version, description = re.findall(r"- Description: \(TLS(1\.[23])-X\.509\)([^\n]*)", text)[-1]
    parts = re.findall(r"\(([^)]*)\)", description)
    alpn = re.findall(r"- Application protocol: (\S+)", text)
    return Facts(
        resumed="*** This is a resumed session" in text,
        version=version,
        suite=gnutls_suite(version, parts),
        group=parts[0].removeprefix("ECDHE-").lower() if len(parts) > 1 else None,
        alpn=alpn[-1] if alpn else None,
        peer_certificate="- Got a certificate list of" in text,
    )


class GnuTLSServer(EchoServer):
    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    def facts(self) -> Facts:
        return gnutls_facts(self.process.wait_for(r"- Channel bindings\n.*?'tls-exporter'[^\n]*\n"))

    def refused(self) -> int:
        text = self.process.wait_for(r"Received alert '\d+'")
        return int(text.split("'")[-2])

    def close(self) -> None:
        raise AssertionError("gnutls-serv closes no connection by itself")

    def saw_close_notify(self) -> None:
        # It says nothing of an orderly end, and this of any other.
        assert not self.process.said("non-properly terminated")


class GnuTLSClient(PipeRemote):
    most = 2_000_000  # it reads and prints byte by byte: 20 MB would take half a minute

    def facts(self) -> Facts:
        return gnutls_facts(
            self.process.wait_for(
                r"Handshake was completed\n(\*\*\* This is a resumed session\n)?.*?Simple Client Mode"
            )
        )

    def refused(self) -> int:
        text = self.process.wait_for(r"Received alert \[\d+\]")
        return int(text.rpartition("[")[2].rstrip("]"))

    def key_update(self, request_peer: bool) -> None:
        assert request_peer, "gnutls-cli asks the peer to change its keys too"
        self.process.send(b"^rekey^\n")
        self.process.wait_for("Rekey was completed")

    def saw_close_notify(self) -> None:
        self.process.wait_for("- Peer has closed the GnuTLS connection")


class GnuTLS(Peer):
    name = "gnutls"
    refusal_alerts: ClassVar = {"wrong name": 42, "expired": 42, "unknown CA": 42}
    can_serve = frozenset(
        {"ed25519", "resume", "client certificate", "retry", "alpn", "bulk", "keylog", "group", "staple", "record size"}
    )
    can_connect = can_serve - {"staple"} | {"key update", "close", "closes"}

    @staticmethod
    def _common(setup: Setup) -> Iterator[str]:
        yield from ("--priority", gnutls_priority(setup))
        if setup.chain is not None:
            yield from ("--x509certfile", str(setup.chain), "--x509keyfile", str(setup.key))
        if setup.trust is not None:
            yield from ("--x509cafile", str(setup.trust))
        if setup.record_size is not None:
            yield from ("--recordsize", str(setup.record_size))
        for protocol in setup.alpn:
            yield from ("--alpn", protocol)

    def _start(self, name: str, arguments: list[str], setup: Setup) -> Process:
        path = program(name, "apt-get install gnutls-bin")
        env = {"SSLKEYLOGFILE": str(setup.keylog)} if setup.keylog is not None else {}
        # Its output is for a terminal: without stdbuf it would keep what it says until its end.
        return self.workshop.start([program("stdbuf", "apt-get install coreutils"), "-oL", path, *arguments], env)

    def serve(self, setup: Setup) -> Remote:
        arguments = ["--echo", *self._common(setup)]
        if setup.staple is not None:
            arguments += ["--ocsp-response", str(setup.staple)]
        if not setup.tickets:
            arguments.append("--noticket")
        if setup.trust is None:
            arguments.append("--disable-client-cert")
        elif setup.require_certificate:
            arguments += ["--require-client-cert", "--verify-client-cert"]
        else:
            arguments.append("--verify-client-cert")
        process, port = on_free_port(
            lambda port: self._start("gnutls-serv", ["--port", str(port), *arguments], setup),
            r"listening on IPv4 [^\n]*done",
        )
        return GnuTLSServer(process, port)

    def connect(self, port: int, setup: Setup, *more: str) -> Remote:
        arguments = [
            *("--port", str(port), "127.0.0.1", "--single-key-share"),
            *("--sni-hostname", setup.server_name, "--verify-hostname", setup.server_name),
            *(["--inline-commands"] if setup.verbose else []),
            *self._common(setup),
            *more,
        ]
        return GnuTLSClient(self._start("gnutls-cli", arguments, setup))

    def resume(self, port: int, setup: Setup, accept: Callable[[], End]) -> tuple[End, Remote]:
        client = self.connect(port, setup, "--resume", "--waitresumption")  # both connections in one process
        finish(accept())
        end = accept()
        client.talk(end)
        return end, client
