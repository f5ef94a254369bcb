"""CPython's `ssl` in threads of this process: a server that echoes, and a client that wants an echo."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
from collections.abc import Callable
from typing import Any, ClassVar

from tests.interop.peers.base import (
    EchoClient,
    EchoServer,
    End,
    Facts,
    Peer,
    Remote,
    Setup,
    finish,
    registered,
    text_payload,
)
from tests.interop.peers.process import PATIENCE, background, listen

ALERTS = {
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSL/TLS_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSL/TLS_ALERT_CERTIFICATE_EXPIRED": 45,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": 116,
}
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
CURVES = {"x25519": "X25519", "secp256r1": "prime256v1", "secp384r1": "secp384r1", "secp521r1": "secp521r1"}


def context(setup: Setup, server_side: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = VERSIONS[setup.versions[0]]
    made.maximum_version = VERSIONS[setup.versions[-1]]
    if not setup.tickets:
        made.options |= ssl.OP_NO_TICKET
    if setup.chain is not None:
        made.load_cert_chain(setup.chain, setup.key)
    if setup.trust is not None:
        made.load_verify_locations(setup.trust)
        if server_side:
            made.verify_mode = ssl.CERT_REQUIRED if setup.require_certificate else ssl.CERT_OPTIONAL
    if setup.alpn:
        made.set_alpn_protocols(list(setup.alpn))
    if setup.keylog is not None:
        made.keylog_filename = str(setup.keylog)
    if len(setup.groups) == 1:
        made.set_ecdh_curve(CURVES[setup.groups[0]])
    return made


class StdlibRemote(Remote):
    """Reports come out of a queue: Facts, the SSLError of a failed handshake, or how a connection ended."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.reports: queue.Queue[Facts | OSError | bool] = queue.Queue()

    def note(self, sock: ssl.SSLSocket) -> None:
        cipher = sock.cipher()
        self.reports.put(
            Facts(
                resumed=sock.session_reused,
                version=(sock.version() or "").removeprefix("TLSv"),
                suite=registered(cipher[0]) if cipher else None,
                alpn=sock.selected_alpn_protocol(),
                peer_certificate=bool(sock.getpeercert(binary_form=True)),
            )
        )

    def facts(self) -> Facts:
        report = self.reports.get(timeout=PATIENCE)
        assert isinstance(report, Facts), report
        return report

    def refused(self) -> int:
        report = self.reports.get(timeout=PATIENCE)
        if isinstance(report, Facts):  # a client of TLS 1.3 hears only afterwards what the server thinks of it
            report = self.reports.get(timeout=PATIENCE)
        assert isinstance(report, ssl.SSLError), report
        return ALERTS[report.reason or ""]

    def saw_close_notify(self) -> None:
        while isinstance(report := self.reports.get(timeout=PATIENCE), Facts):
            pass
        assert report is True


class StdlibServer(StdlibRemote, EchoServer):
    def __init__(self, setup: Setup) -> None:
        self._context = context(setup, server_side=True)
        self._listener = listen()
        self._listener.settimeout(None)
        super().__init__(self._listener.getsockname()[1])
        self._thread = background(self._accept)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(PATIENCE)
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            with self._context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as secured:
                self.note(secured)
                while data := secured.recv(65536):
                    secured.sendall(data)
                self.reports.put(True)
                with contextlib.suppress(OSError):
                    secured.unwrap()
        except OSError as error:
            self.reports.put(error)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def close(self) -> None:
        """It does so when our side has closed."""


class StdlibClient(StdlibRemote, EchoClient):
    def __init__(
        self, port: int, setup: Setup, made: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
    ) -> None:
        super().__init__()
        self.size = setup.size
        self.context = made or context(setup, server_side=False)
        self.session: ssl.SSLSession | None = None
        self._thread = background(lambda: self._connect(port, setup.server_name, session))

    def _connect(self, port: int, server_name: str, session: ssl.SSLSession | None) -> None:
        options: Any = {"server_hostname": server_name, "session": session, "suppress_ragged_eofs": False}
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock,
                self.context.wrap_socket(sock, **options) as secured,
            ):
                self.note(secured)
                self._expect_echo(secured)
                self.session = secured.session
                secured.unwrap()
                self.reports.put(True)
        except OSError as error:
            self.reports.put(error)

    def _expect_echo(self, secured: ssl.SSLSocket) -> None:
        payload = text_payload(self.size)
        for start in range(0, self.size, 16384):
            piece = payload[start : start + 16384]
            secured.sendall(piece)
            returned = b""
            while len(returned) < len(piece):
                returned += secured.recv(16384) or b"the server closed" * 1024
            if returned != piece:
                raise OSError("what came back is not what was sent")

    def stop(self) -> None:
        self._thread.join(PATIENCE)


class Stdlib(Peer):
    name = "ssl"
    refusal_alerts: ClassVar = {"wrong name": 42, "expired": 45, "unknown CA": 48}
    can_serve = frozenset({"ed25519", "resume", "client certificate", "retry", "alpn", "bulk", "keylog", "close"})
    can_connect = can_serve | {"closes"}

    def serve(self, setup: Setup) -> Remote:
        server = StdlibServer(setup)
        self.workshop.later(server.stop)
        return server

    def connect(self, port: int, setup: Setup) -> Remote:
        client = StdlibClient(port, setup)
        self.workshop.later(client.stop)
        return client

    def resume(self, port: int, setup: Setup, accept: Callable[[], End]) -> tuple[End, Remote]:
        first = StdlibClient(port, setup)
        self.workshop.later(first.stop)
        end = accept()
        assert first.facts().resumed is False
        first.talk(end)
        finish(end)
        first.saw_close_notify()
        second = StdlibClient(port, setup, first.context, first.session)
        self.workshop.later(second.stop)
        end = accept()
        second.talk(end)
        return end, second
