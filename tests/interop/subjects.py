"""Who is under test: Caesura, over blocking sockets. CPython's `ssl` can take its place, to see whose fault it is.

`INTEROP_SUBJECT=ssl python -m pytest tests/interop` runs the same tests with `ssl` as the subject; what it cannot do is
skipped then, and only then.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytest

from caesura import (
    SSL,
    Context,
    Identity,
    LocalAlert,
    PeerAlert,
    SocketBIO,
    TrustStore,
    UnexpectedEOF,
    Verify,
    Version,
    ZeroReturn,
)
from caesura.context import PeerChain
from tests.interop.peers import EXPORTER, Facts, Setup
from tests.interop.peers.base import registered
from tests.interop.peers.stdlib import ALERTS, context


class Refused(Exception):
    """A connection that failed with an alert: its code, and who sent it."""

    def __init__(self, code: int | None, by_peer: bool, text: str) -> None:
        super().__init__(f"alert {code}, {'from the peer' if by_peer else 'ours'}: {text}")
        self.code = code
        self.by_peer = by_peer


class Connection(ABC):
    """The subject's side of a connection that is established."""

    @property
    @abstractmethod
    def session(self) -> Any:
        """What a later connection may resume."""

    @abstractmethod
    def facts(self) -> Facts: ...

    @abstractmethod
    def read(self, size: int) -> bytes: ...

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    def key_update(self, request_peer: bool) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class Subject(ABC):
    """Makes connections over a connected socket; a failed handshake raises `Refused`."""

    cannot: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def close(self) -> None:
        """Close every socket it was given: a test that expects a refusal has nothing to close."""
        for sock in self._sockets:
            sock.close()

    @abstractmethod
    def connect(self, sock: socket.socket, setup: Setup, session: Any = None) -> Connection: ...

    @abstractmethod
    def accept(self, sock: socket.socket, setup: Setup) -> Connection: ...


class CaesuraConnection(Connection):
    stapled: bool | None = None

    def __init__(self, tls: SSL, sock: socket.socket) -> None:
        self._tls = tls
        self._sock = sock

    @property
    def session(self) -> Any:
        return self._tls.session

    def facts(self) -> Facts:
        tls = self._tls
        assert tls.version is not None
        assert tls.cipher_suite is not None
        return Facts(
            resumed=tls.session_reused,
            version={Version.TLS12: "1.2", Version.TLS13: "1.3"}[tls.version],
            suite=tls.cipher_suite.name,
            group=tls.group.name if tls.group is not None else None,
            alpn=tls.alpn,
            peer_certificate=bool(tls.peer_certificates),
            stapled=self.stapled,
            exported=tls.export_keying_material(*EXPORTER).hex(),
        )

    def read(self, size: int) -> bytes:
        try:
            return self._tls.read(size)
        except ZeroReturn:
            return b""
        except (PeerAlert, LocalAlert) as error:
            raise refused(error) from error

    def write(self, data: bytes) -> None:
        assert self._tls.write(data) == len(data)

    def key_update(self, request_peer: bool) -> None:
        self._tls.key_update(request_peer)

    def close(self) -> None:
        with contextlib.suppress(UnexpectedEOF, ConnectionError):  # several peers leave without a word
            self._tls.shutdown()
            while self.read(65536):
                pass
        self._tls.close()
        self._sock.close()


def refused(error: PeerAlert | LocalAlert) -> Refused:
    return Refused(int(error.description), isinstance(error, PeerAlert), str(error))


class CaesuraSubject(Subject):
    def __init__(self) -> None:
        super().__init__()
        self._contexts: dict[tuple[Setup, bool], Context] = {}
        self._stapled: bool | None = None

    def _context(self, setup: Setup, server_side: bool) -> Context:
        """One context for each set-up: a server that made a new one could not open its own tickets."""
        if (setup, server_side) not in self._contexts:
            settings: dict[str, Any] = {"alpn": setup.alpn, "keylog": setup.keylog}
            settings["minimum_version"], settings["maximum_version"] = (
                "TLS" + version.replace(".", "") for version in (setup.versions[0], setup.versions[-1])
            )
            if not setup.tickets:
                settings["ticket_count"] = 0
            if setup.chain is not None and setup.key is not None:
                settings["identity"] = Identity.load(setup.chain, setup.key)
            if setup.trust is not None:
                settings["trust"] = TrustStore.load(setup.trust)
            if setup.groups:
                settings["groups"] = setup.groups
            if setup.staple is not None:
                settings["ocsp_response"] = setup.staple.read_bytes()
            if setup.record_size is not None:
                settings["record_size_limit"] = setup.record_size
            if not server_side:
                settings["verify_peer"] = self._look
            if server_side and setup.trust is not None:
                settings["verify"] = Verify.REQUIRED if setup.require_certificate else Verify.OPTIONAL
            make = Context.server if server_side else Context.client
            self._contexts[setup, server_side] = make(**settings)
        return self._contexts[setup, server_side]

    def _look(self, peer: PeerChain) -> None:
        self._stapled = peer.ocsp_response is not None

    def connect(self, sock: socket.socket, setup: Setup, session: Any = None) -> Connection:
        made = self._context(setup, server_side=False)
        tls = SSL(made, SocketBIO(sock), server_side=False, server_hostname=setup.server_name, session=session)
        connection = self._handshake(tls, sock)
        connection.stapled = self._stapled
        return connection

    def accept(self, sock: socket.socket, setup: Setup) -> Connection:
        return self._handshake(SSL(self._context(setup, True), SocketBIO(sock), server_side=True), sock)

    def _handshake(self, tls: SSL, sock: socket.socket) -> CaesuraConnection:
        self._sockets.append(sock)
        try:
            tls.do_handshake()
        except (PeerAlert, LocalAlert) as error:
            raise refused(error) from error
        return CaesuraConnection(tls, sock)


# --- ssl in its place ------------------------------------------------------------------------------------------------


class StdlibConnection(Connection):
    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock

    @property
    def session(self) -> Any:
        return self._sock.context, self._sock.session

    def facts(self) -> Facts:
        cipher = self._sock.cipher()
        return Facts(
            resumed=self._sock.session_reused,
            version=(self._sock.version() or "").removeprefix("TLSv"),
            suite=registered(cipher[0]) if cipher else None,
            alpn=self._sock.selected_alpn_protocol(),
            peer_certificate=bool(self._sock.getpeercert(binary_form=True)),
        )

    def read(self, size: int) -> bytes:
        try:
            return self._sock.recv(size)
        except ssl.SSLError as error:
            raise refusal(error) from error

    def write(self, data: bytes) -> None:
        self._sock.sendall(data)

    def key_update(self, request_peer: bool) -> None:
        raise AssertionError("ssl cannot start a key update")

    def close(self) -> None:
        try:
            self._sock.unwrap().close()
        except OSError:
            self._sock.close()


def refusal(error: ssl.SSLError) -> Refused:
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = {10: 45, 62: 42, 64: 42}.get(error.verify_code, 48)
        return Refused(code, False, str(error))
    return Refused(ALERTS.get(reason), "ALERT" in reason, str(error))


class StdlibSubject(Subject):
    # OpenSSL 3.0's client refuses a server with an alert in the clear, which only OpenSSL's server understands.
    cannot: ClassVar = frozenset({"key update", "hybrid", "protected alert", "staple", "record size"})

    def connect(self, sock: socket.socket, setup: Setup, session: Any = None) -> Connection:
        made, kept = session or (context(setup, server_side=False), None)
        return self._wrap(made, sock, server_hostname=setup.server_name, session=kept)

    def accept(self, sock: socket.socket, setup: Setup) -> Connection:
        if not hasattr(self, "_context"):
            self._context = context(setup, server_side=True)  # one, or nothing could be resumed
        return self._wrap(self._context, sock, server_side=True)

    def _wrap(self, made: ssl.SSLContext, sock: socket.socket, **options: Any) -> Connection:
        wrapped = made.wrap_socket(sock, suppress_ragged_eofs=False, do_handshake_on_connect=False, **options)
        self._sockets.append(wrapped)
        try:
            wrapped.do_handshake()
        except ssl.SSLError as error:
            raise refusal(error) from error
        return StdlibConnection(wrapped)


SUBJECT: type[Subject] = StdlibSubject if os.environ.get("INTEROP_SUBJECT") == "ssl" else CaesuraSubject


def needs(ability: str) -> pytest.MarkDecorator:
    """For a test that `ssl` cannot take; Caesura takes them all."""
    return pytest.mark.skipif(ability in SUBJECT.cannot, reason=f"this subject cannot: {ability}")
