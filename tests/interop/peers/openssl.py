"""OpenSSL's command line: s_server and s_client.

Both send what they read on standard input, where a line that begins with a letter may be a command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from tests.interop.peers.base import End, Facts, Peer, PipeRemote, Remote, Setup, finish, registered
from tests.interop.peers.process import Process, program

OPENSSL_GROUPS = {"x25519": "X25519", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class OpenSSLRemote(PipeRemote):
    def refused(self) -> int:
        text = self.process.wait_for(r"SSL alert number \d+")
        return int(text.rpartition(" ")[2])

    def key_update(self, request_peer: bool) -> None:
        self.process.send(b"K\n" if request_peer else b"k\n")
        self.process.wait_for(r">>> [^\n]*KeyUpdate")

    def saw_key_update(self) -> None:
        self.process.wait_for(r"<<< [^\n]*KeyUpdate")

    def close(self) -> None:
        self.process.send(b"q\n" if self.port else b"Q\n")  # q: the server stays for the next connection


class OpenSSLServer(OpenSSLRemote):
    def __init__(self, process: Process, port: int) -> None:
        super().__init__(process)
        self.port = port

    def facts(self) -> Facts:
        text = self.process.wait_for(r"CIPHER is (\S+)\n(Reused session-id\n)?Secure Renegotiation [^\n]*\n")
        suite = re.findall(r"CIPHER is (\S+)", text)
        alpn = re.findall(r"ALPN protocols selected: ([^\n]*)\n", text)
        return Facts(
            resumed="Reused session-id" in text,
            suite=registered(suite[-1]),
            alpn=alpn[-1].strip("[]") if alpn else None,
            peer_certificate="Client certificate\n" in text,
        )

    def saw_close_notify(self) -> None:
        text = self.process.wait_for("DONE\n|ERROR\n|CONNECTION CLOSED")
        assert not text.endswith("ERROR\n")


class OpenSSLClient(OpenSSLRemote):
    def facts(self) -> Facts:
        text = self.process.wait_for(
            r"(New|Reused), (\S+), Cipher is (\S+)\n.*?"
            r"Verify return code[^\n]*\n(    Extended master secret: yes\n)?---\n"
        )
        shared = re.findall(r"Server Temp Key: (?:ECDH, )?([\w-]+), \d+ bits", text)
        names = {"X25519": "x25519", "prime256v1": "secp256r1"}
        alpn = re.findall(r"ALPN protocol: (\S+)", text)
        return Facts(
            resumed=bool(re.search(r"^Reused, ", text, re.MULTILINE)),
            version=re.findall(r"TLSv(\S+), Cipher is", text)[-1],
            suite=registered(re.findall(r"Cipher is (\S+)", text)[-1]),
            group=names.get(shared[-1], shared[-1]) if shared else None,
            alpn=alpn[-1] if alpn else None,
            peer_certificate="Server certificate\n" in text,
            stapled="OCSP Response Status: successful" in text,
        )

    def saw_close_notify(self) -> None:
        text = self.process.wait_for("closed\n|errno=|:error:")
        assert text.endswith("closed\n")


class OpenSSL(Peer):
    name = "openssl"
    refusal_alerts: ClassVar = {"wrong name": 42, "expired": 45, "unknown CA": 48}
    can_serve = frozenset(
        {"ed25519", "resume", "client certificate", "retry", "key update", "one-way key update", "alpn", "bulk"}
        | {"keylog", "close", "staple"}
    )
    can_connect = can_serve | {"closes", "group"}

    @property
    def _program(self) -> str:
        return program("openssl", "apt-get install openssl")

    def _common(self, setup: Setup) -> Iterator[str]:
        yield from ("-min_protocol", f"TLSv{setup.versions[0]}", "-max_protocol", f"TLSv{setup.versions[-1]}")
        if setup.verbose:
            yield "-msg"
        if setup.chain is not None:
            leaf, end, issuers = setup.chain.read_text().partition("-----END CERTIFICATE-----\n")
            above = self.workshop.path("issuers.pem")
            above.write_text(issuers or leaf + end)
            yield from ("-cert", str(setup.chain), "-cert_chain", str(above), "-key", str(setup.key))
        if setup.alpn:
            yield from ("-alpn", ",".join(setup.alpn))
        if setup.groups:
            yield from ("-groups", ":".join(OPENSSL_GROUPS[group] for group in setup.groups))
        if setup.keylog is not None:
            yield from ("-keylogfile", str(setup.keylog))
        if setup.staple is not None:
            yield from ("-status_file", str(setup.staple))

    def serve(self, setup: Setup) -> Remote:
        arguments = [self._program, "s_server", "-accept", "127.0.0.1:0", *self._common(setup)]
        if not setup.tickets:
            arguments.append("-no_ticket")
        if setup.trust is not None:
            verify = "-Verify" if setup.require_certificate else "-verify"
            arguments += ["-CAfile", str(setup.trust), verify, "3", "-verify_return_error"]
        process = self.workshop.start(arguments)
        port = re.findall(r":(\d+)\n", process.wait_for(r"ACCEPT [^\n]*:\d+\n"))[-1]
        return OpenSSLServer(process, int(port))

    def connect(self, port: int, setup: Setup, *more: str) -> Remote:
        return OpenSSLClient(
            self.workshop.start(
                [
                    *(self._program, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", setup.server_name),
                    *(
                        "-status",
                        "-CAfile",
                        str(setup.trust),
                        "-verify_return_error",
                        "-verify_hostname",
                        setup.server_name,
                    ),
                    *self._common(setup),
                    *more,
                ]
            )
        )

    def resume(self, port: int, setup: Setup, accept: Callable[[], End]) -> tuple[End, Remote]:
        session = self.workshop.path("session.pem")
        first = self.connect(port, setup, "-sess_out", str(session))
        end = accept()
        assert first.facts().resumed is False
        first.talk(end)
        first.close()
        finish(end)
        second = self.connect(port, setup, "-sess_in", str(session))
        end = accept()
        second.talk(end)
        return end, second
