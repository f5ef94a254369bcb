"""QUIC with aioquic, in both roles, in memory and on virtual time: no sockets are needed to exchange datagrams."""

from __future__ import annotations

import datetime
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from caesura.context import QUIC_EARLY_DATA
from caesura.events import EarlyDataStatus, StreamReadable
from caesura.quic import QUICConnection
from tests.interop.peers.process import missing
from tests.quic.link import client_context, server_context
from tests.support.pki import pki

CLIENT, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 443)
DATA = bytes(range(256)) * 8000  # 2 MB
STEP = 0.005


@pytest.fixture
def aioquic(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package; it takes our certificates for valid, whose time is not today's."""
    try:
        found = importlib.import_module("aioquic")
        tls = importlib.import_module("aioquic.tls")
    except ImportError:
        missing("aioquic", "pip install aioquic")
    for name in ("configuration", "connection", "events", "packet"):
        importlib.import_module(f"aioquic.quic.{name}")
    monkeypatch.setattr(tls, "utcnow", lambda: pki().now + datetime.timedelta(seconds=60))
    return found


class Theirs:
    """An aioquic connection and what it has told."""

    def __init__(self, aioquic: ModuleType, folder: Path, *, client: bool, **settings: Any) -> None:
        self.quic = aioquic.quic
        self.handlers = {name: settings.pop(name) for name in list(settings) if name.startswith("session_ticket_")}
        offered = self.handlers.pop("session_ticket_offered", None)
        self.configuration = self.quic.configuration.QuicConfiguration(
            is_client=client, alpn_protocols=["test"], session_ticket=offered, **settings
        )
        if client:
            self.configuration.server_name = "example.test"
            self.configuration.load_verify_locations(cadata=pki().trust_pem)
        else:
            self.configuration.load_cert_chain(*pki().ec.files(folder, "ec"))
        self.client = client
        self.connection: Any = None
        self.events: list[Any] = []
        self.streams: dict[int, bytes] = {}
        self.ended: set[int] = set()

    def begin(self, now: float, datagram: bytes | None = None) -> None:
        """Connect, or be the server of who has sent this."""
        make = self.quic.connection.QuicConnection
        if datagram is None:
            self.connection = make(configuration=self.configuration, **self.handlers)
            self.connection.connect(SERVER, now=now)
        else:
            buffer = importlib.import_module("aioquic.buffer").Buffer(data=datagram)
            header = self.quic.packet.pull_quic_header(buffer, host_cid_length=8)
            self.connection = make(
                configuration=self.configuration,
                original_destination_connection_id=header.destination_cid,
                **self.handlers,
            )

    def look(self) -> None:
        while (event := self.connection.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, self.quic.events.StreamDataReceived):
                self.streams[event.stream_id] = self.streams.get(event.stream_id, b"") + event.data
                if event.end_stream:
                    self.ended.add(event.stream_id)

    def happened(self, name: str) -> list[Any]:
        return [event for event in self.events if type(event).__name__ == name]


class World:
    """Ours and theirs, and a network that takes a moment."""

    def __init__(self, ours: QUICConnection, theirs: Theirs) -> None:
        self.ours = ours
        self.theirs = theirs
        self.now = 1000.0
        self.streams: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.early: list[bytes] = []
        if theirs.client:
            theirs.begin(self.now)

    def run(self, until: Any, rounds: int = 3000) -> World:
        """Exchange datagrams until something holds."""
        for _ in range(rounds):
            if until():
                return self
            self._round()
        raise AssertionError(f"ours: {self.ours.error!r}, theirs: {self.theirs.events[-3:]}")

    def handshake(self) -> World:
        return self.run(lambda: self.ours.handshake_confirmed)

    def send(self, stream_id: int | None, data: bytes) -> int:
        if stream_id is None:
            stream_id = self.ours.open_stream()
            assert stream_id is not None
        self.ours.write_stream(stream_id, data, fin=True)
        return stream_id

    def _round(self) -> None:
        theirs = self.theirs
        for datagram, _ in self.ours.datagrams_to_send(self.now):
            if theirs.connection is None:
                theirs.begin(self.now, datagram)
            theirs.connection.receive_datagram(datagram, SERVER if theirs.client else CLIENT, self.now)
        self.now += STEP
        if theirs.connection is not None:
            self._answer(theirs)
        moment = self.ours.timeout()
        if moment is not None and moment <= self.now:
            self.ours.handle_timeout(self.now)

    def _answer(self, theirs: Theirs) -> None:
        theirs.look()
        for datagram, _ in theirs.connection.datagrams_to_send(self.now):
            self.ours.receive_datagram(datagram, CLIENT if theirs.client else SERVER, self.now)
        self._look()
        moment = theirs.connection.get_timer()
        if moment is not None and moment <= self.now:
            theirs.connection.handle_timer(self.now)

    def _look(self) -> None:
        while (event := self.ours.next_event()) is not None:
            if isinstance(event, StreamReadable):
                data, ended = self.ours.read_stream(event.stream_id)
                self.streams[event.stream_id] = self.streams.get(event.stream_id, b"") + data
                if ended:
                    self.ended.add(event.stream_id)
                if not self.ours.handshake_complete:
                    self.early.append(data)


def our_client(context: Any = None, **options: Any) -> QUICConnection:
    one = QUICConnection(
        context or client_context(), server_side=False, server_hostname="example.test", addr=SERVER, **options
    )
    one.advance(1000.0)
    return one


def our_server(**settings: Any) -> QUICConnection:
    return QUICConnection(server_context(**settings), server_side=True)


@pytest.fixture
def world(aioquic: ModuleType, tmp_path: Path) -> Any:
    """Makes a world of ours and an aioquic peer in the other role."""

    def make(ours: QUICConnection, **settings: Any) -> World:
        return World(ours, Theirs(aioquic, tmp_path, client=ours.server_side, **settings))

    return make


SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


@pytest.mark.parametrize("suite", SUITES)
def test_our_client(world: Any, suite: str) -> None:
    """Bulk in both directions, a key update, other connection ids, and a close with words."""
    made = world(our_client(client_context(cipher_suites=[suite]))).handshake()
    stream_id = made.send(None, DATA)
    made.run(lambda: stream_id in made.theirs.ended)
    assert made.theirs.streams[stream_id] == DATA
    made.theirs.connection.send_stream_data(stream_id, DATA, end_stream=True)
    made.run(lambda: stream_id in made.ended)
    assert made.streams[stream_id] == DATA
    made.ours.key_update()
    made.ours.change_connection_id()
    stream_id = made.send(None, b"under new keys")
    made.run(lambda: stream_id in made.theirs.ended)
    assert made.ours.key_updates == 1
    made.ours.shutdown(77, "because")
    made.run(lambda: made.theirs.happened("ConnectionTerminated"))
    (event,) = made.theirs.happened("ConnectionTerminated")
    assert (event.error_code, event.reason_phrase) == (77, "because")


@pytest.mark.parametrize("suite", SUITES)
def test_our_server(world: Any, suite: str) -> None:
    made = world(our_server(cipher_suites=[suite])).handshake()
    made.theirs.connection.send_stream_data(0, DATA, end_stream=True)
    made.run(lambda: 0 in made.ended)
    assert made.streams[0] == DATA
    made.send(0, DATA)
    made.run(lambda: 0 in made.theirs.ended)
    assert made.theirs.streams[0] == DATA
    made.theirs.connection.request_key_update()
    made.theirs.connection.change_connection_id()
    made.theirs.connection.send_stream_data(4, b"under new keys", end_stream=True)
    made.run(lambda: 4 in made.ended)
    assert made.ours.key_updates == 1
    made.ours.shutdown(77, "because")
    made.run(lambda: made.theirs.happened("ConnectionTerminated"))


def test_0rtt_to_our_server(world: Any) -> None:
    context = server_context(max_early_data=QUIC_EARLY_DATA)
    tickets: list[Any] = []
    made = world(QUICConnection(context, server_side=True), session_ticket_handler=tickets.append).handshake()
    made.run(lambda: tickets)
    made = world(QUICConnection(context, server_side=True), session_ticket_offered=tickets[-1])
    made.theirs.connection.send_stream_data(0, b"early", end_stream=True)
    made.handshake()
    assert made.early == [b"early"]
    assert made.ours.session_reused
    assert made.ours.early_data_status is EarlyDataStatus.ACCEPTED
    (event,) = made.theirs.happened("HandshakeCompleted")
    assert event.early_data_accepted


def test_0rtt_to_their_server(world: Any) -> None:
    context, kept = client_context(), {}
    store = {
        "session_ticket_handler": lambda ticket: kept.update({ticket.ticket: ticket}),
        "session_ticket_fetcher": kept.get,
    }
    made = world(our_client(context), **store).handshake()
    made.run(lambda: made.ours.session is not None)
    client = our_client(context, early_data=True)
    made = world(client, **store)
    stream_id = made.send(None, b"early")
    made.handshake()
    assert client.early_data_status is EarlyDataStatus.ACCEPTED
    assert made.theirs.streams[stream_id] == b"early"
    (event,) = made.theirs.happened("HandshakeCompleted")
    assert event.early_data_accepted
