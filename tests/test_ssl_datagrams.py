"""SSL over DTLS: what the contract does not say. Clauses are in tests/contract/test_dtls_events.py."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from caesura.bio import DatagramBIO
from caesura.context import Limits, Method
from caesura.engines import Operation, ThreadEngine
from caesura.errors import (
    ConfigError,
    IdleTimeout,
    ReadTimeoutExpired,
    UsageError,
    WantAsync,
    WantRead,
    WantWrite,
    ZeroReturn,
)
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.jobs import JobState, start_job
from caesura.replay import ReplayCache
from caesura.sessions import SessionCache
from caesura.sslobject import SSL
from caesura.wire.registries import SignatureScheme, Version
from tests.support import ssl_pair
from tests.support.datagram_wire import DTLS_VERSIONS, Pair, WireBIO, connected, pair

every_version = pytest.mark.parametrize("version", DTLS_VERSIONS, ids=lambda version: version.name)


@contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two UDP sockets, the first connected to the second."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        for each in (ours, theirs):
            each.bind(("127.0.0.1", 0))
            each.settimeout(30)
        ours.connect(theirs.getsockname())
        yield ours, theirs


# --- sockets that block -------------------------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize("own_timeout", [None, 30])
def test_blocking_sockets(version: Version, own_timeout: float | None) -> None:
    def serve() -> tuple[bool, bool]:
        while True:
            try:
                theirs.connect(server.listen())
                break
            except WantRead:
                pass
        server.do_handshake()
        server.write(b"echo: " + server.read())
        with pytest.raises(ZeroReturn):
            server.read()
        return server.shutdown(), server.shutdown()

    settings = {"method": Method.DTLS, "minimum_version": version, "maximum_version": version}
    with sockets() as (ours, theirs), ThreadPoolExecutor(1) as thread:
        for each in (ours, theirs):
            each.settimeout(own_timeout)
        server = ssl_pair.server(DatagramBIO(theirs), **settings)
        served = thread.submit(serve)
        client = ssl_pair.client(DatagramBIO(ours), **settings)
        client.do_handshake()
        assert client.version is version
        client.write(b"hello")
        assert client.read() == b"echo: hello"
        assert client.shutdown() is False
        assert client.shutdown() is True
        assert served.result(30) == (True, True)
        assert ours.gettimeout() == own_timeout


def test_a_blocking_call_serves_timers_while_it_waits() -> None:
    dtls = {"initial_timeout": 0.005, "retransmissions": 3}
    with sockets() as (ours, theirs):
        client = ssl_pair.client(DatagramBIO(ours), method=Method.DTLS, dtls=dtls)
        with pytest.raises(ReadTimeoutExpired):
            client.do_handshake()
        assert len([theirs.recv(2000) for _ in range(4)]) == 4
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(2000)
        assert ours.gettimeout() == 30


def test_a_timeout_of_the_sockets_own() -> None:
    with sockets() as (ours, _):
        ours.settimeout(0.01)
        client = ssl_pair.client(DatagramBIO(ours), method=Method.DTLS)
        for _ in range(2):
            with pytest.raises(TimeoutError) as raised:
                client.do_handshake()
            assert not isinstance(raised.value, ReadTimeoutExpired)


def test_a_read_that_waits_only_so_long() -> None:
    with sockets() as (ours, theirs):
        bio = DatagramBIO(theirs, ours.getsockname())
        for seconds in (0.0, 0.002):
            bio.set_next_timeout(seconds)
            assert bio.read() == b""
        ours.send(b"")  # nothing, but it wakes a reader
        ours.send(b"here")
        bio.set_next_timeout(20)
        assert bio.read() == b"here"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"stranger", theirs.getsockname())
        ours.send(b"again")
        assert bio.read() == b"again"
        bio.set_next_timeout(None)
        ours.send(b"and again")
        assert bio.read(3) == b"and"
        assert theirs.gettimeout() == 30


# --- pauses -------------------------------------------------------------------------------------------------------


def test_a_call_that_waits_for_its_work_lets_the_peer_know() -> None:
    """DTLS 1.3: what has come is acknowledged before the signature is waited for."""
    acknowledged: list[bytes] = []

    class Key(ssl_pair.PausingKey):
        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            before = len(both.by(client=False))
            signature = super().sign(scheme, message)
            acknowledged.extend(both.by(client=False)[before:])
            return signature

    both = pair(Version.DTLS13, server={"identity": ssl_pair.pausing_identity(Key())})
    both.handshake().quiet()
    assert len(acknowledged) == 1
    assert len(acknowledged[0]) < 60


@every_version
def test_a_bio_that_waits_does_not_while_work_is_paused(version: Version) -> None:
    class Patient(WireBIO):
        asked: float | None = -1.0

        def set_next_timeout(self, seconds: float | None) -> None:
            self.asked = seconds

    both = pair(version, server=ssl_pair.pausing_server())
    with pytest.raises(WantRead):
        both.client.do_handshake()
    bio = Patient(both.ends[1].wire, False)
    bio.arrived, bio.other = both.ends[1].arrived, both.ends[0]
    both.server.set_bio(bio)
    with pytest.raises(WantAsync):
        both.server.do_handshake()
    assert bio.asked == 0.0
    with pytest.raises(WantRead):
        both.server.do_handshake()
    assert bio.asked == 1.0


@every_version
def test_inside_a_job_of_the_users_the_job_pauses(version: Version) -> None:
    key = ssl_pair.PausingKey()
    both = pair(version, server={"identity": ssl_pair.pausing_identity(key)})

    def serve() -> str:
        while True:
            try:
                both.server.do_handshake()
            except WantRead:
                return "waits for the peer"

    with pytest.raises(WantRead):
        both.client.do_handshake()
    job = start_job(serve)
    assert job.state is JobState.PAUSED
    assert key.open
    job.resume()
    assert job.result() == "waits for the peer"
    both.handshake().quiet()


@every_version
def test_closing_cancels_what_is_paused(version: Version) -> None:
    key = ssl_pair.PausingKey()
    both = pair(version, server=ssl_pair.pausing_server(key))
    with pytest.raises(WantRead):
        both.client.do_handshake()
    with pytest.raises(WantAsync):
        both.server.do_handshake()
    both.server.close()
    assert key.unwound == 1
    assert both.server.get_event_timeout() is None
    both.server.handle_events()
    with pytest.raises(UsageError, match="closed"):
        both.server.do_handshake()


def test_records_that_pause() -> None:
    """An engine that seals and opens records: reads and writes wait for it, each on its own."""
    for version in DTLS_VERSIONS:
        engine = ThreadEngine(workers=1, operations=[Operation.SEAL_RECORD, Operation.OPEN_RECORD])
        both = pair(version, engine=engine)
        both.handshake()
        assert both.client.write(b"there") == 5
        assert both.server.read() == b"there"
        engine.close()


# --- the transport ------------------------------------------------------------------------------------------------


@every_version
def test_what_a_full_transport_does_not_take_is_bounded(version: Version) -> None:
    both = pair(version, client={"limits": Limits(unsent_datagrams=4), "dtls": {"retransmissions": 50}})
    both.ends[0].full = True
    with pytest.raises(WantWrite):
        both.client.do_handshake()
    for _ in range(30):
        both.clock.now += both.client.get_event_timeout() or 0.0
        both.client.handle_events()
    both.ends[0].full = False
    with pytest.raises(WantRead):
        both.client.do_handshake()
    assert len(both.sent) == 4
    both.handshake().quiet()


def test_a_datagram_that_is_too_long_for_the_path() -> None:
    both = pair(Version.DTLS13, client={"alpn": ["x" * 250] * 8})
    both.ends[0].error = OSError(errno.EMSGSIZE, "too long")
    with pytest.raises(WantRead):
        both.client.do_handshake()
    both.ends[0].error = None
    both.sleep()
    both.client.handle_events()
    assert max(map(len, both.sent[0][1:])) == both.client.mtu == 548
    both.handshake().quiet()


@every_version
def test_data_that_is_too_long_for_the_path_is_lost(version: Version) -> None:
    both = connected(version)
    both.ends[0].error = OSError(errno.EMSGSIZE, "too long")
    with pytest.raises(OSError, match="too long"):
        both.client.write(bytes(1000))
    assert both.client.mtu == 548
    both.ends[0].error = None
    assert both.client.write(b"short") == 5
    assert both.server.read() == b"short"


@every_version
def test_a_transport_that_fails(version: Version) -> None:
    both = pair(version)
    both.ends[0].error = OSError(errno.ENETUNREACH, "unreachable")
    with pytest.raises(OSError, match="unreachable"):
        both.client.do_handshake()
    both.ends[0].error = None
    both.handshake().quiet()  # the timer makes up for it


@every_version
def test_nothing_comes_for_too_long(version: Version) -> None:
    both = pair(version, client={"dtls": {"idle_timeout": 10}}).handshake()
    both.listen(both.client, both.server, both.client)
    left = both.client.get_event_timeout()
    assert left is not None
    assert left <= 10
    both.clock.now += 10
    with pytest.raises(IdleTimeout):
        both.client.handle_events()
    with pytest.raises(IdleTimeout):
        both.client.read()


# --- what is as on a stream, and what is not ----------------------------------------------------------------------


@every_version
def test_sessions_resume(version: Version) -> None:
    cache = SessionCache()
    server = ssl_pair.server_context(method=Method.DTLS, ticket_count=1)
    settings = {"client": {"sessions": cache}, "server": {"ticket_keys": server.ticket_keys, "ticket_count": 1}}
    assert not connected(version, **settings).client.session_reused
    again = connected(version, **settings)
    assert again.client.session_reused
    assert again.server.session_reused


@every_version
def test_facts(version: Version) -> None:
    both = connected(version, alpn=["coap"])
    for side in (both.client, both.server):
        assert side.version is version
        assert side.alpn == "coap"
        assert side.server_hostname == "localhost"
    assert both.client.peer_certificates == ssl_pair.identity().chain
    exported = [side.export_keying_material("EXPERIMENTAL", b"", 16) for side in (both.client, both.server)]
    assert exported[0] == exported[1]
    with pytest.raises(UsageError, match="has not offered"):
        both.server.verify_client_post_handshake()
    assert not both.server.authentication_pending
    assert both.client.write_early_data(b"x") == 0  # too late
    assert both.client.early_data_status is EarlyDataStatus.NOT_SENT
    assert both.client.early_data_reason is EarlyDataReason.DISABLED


class Acquainted:
    """A client that has tickets of a server that takes early data."""

    def __init__(self) -> None:
        keys = ssl_pair.server_context(method=Method.DTLS).ticket_keys
        self.settings: dict[str, Any] = {
            "client": {"sessions": SessionCache()},
            "server": {"ticket_keys": keys, "ticket_count": 1, "max_early_data": 1000, "replay_store": ReplayCache()},
        }
        connected(Version.DTLS13, **self.settings)

    def pair(self) -> Pair:
        return pair(Version.DTLS13, **self.settings)


def test_early_data() -> None:
    both = Acquainted().pair()
    one, two = both.client, both.server
    assert one.write_early_data(b"first") == 5
    assert one.write_early_data(b"second") == 6
    assert two.read_early_data(2) == b"fi"
    assert two.read_early_data() == b"rst"
    assert two.read_early_data() == b"second"
    with pytest.raises(WantRead):
        two.read_early_data()
    assert two.write_early_data(b"no answer before the end") == 0
    both.handshake().quiet()
    assert two.read_early_data() == b""
    assert one.write_early_data(b"too late") == 0
    for side in (one, two):
        assert side.early_data_status is EarlyDataStatus.ACCEPTED
        assert side.session_reused
    one.write(b"later")
    assert two.read() == b"later"


def test_early_data_that_nobody_reads_is_rejected() -> None:
    both = Acquainted().pair()
    both.client.write_early_data(b"early")
    both.handshake().quiet()
    assert both.client.early_data_status is EarlyDataStatus.REJECTED
    with pytest.raises(WantRead):
        both.server.read()


def test_post_handshake_authentication() -> None:
    client = {"identity": ssl_pair.identity(), "post_handshake_auth": True}
    both = connected(Version.DTLS13, client=client, server={"trust": ssl_pair.trust(), "verify_peer": lambda _: True})
    both.server.verify_client_post_handshake()
    assert both.server.authentication_pending
    both.quiet()
    assert not both.server.authentication_pending
    assert both.server.peer_certificates == ssl_pair.identity().chain


def test_key_update() -> None:
    both = connected(Version.DTLS13)
    both.client.key_update(request_peer=True)
    both.quiet()
    both.client.write(b"after")
    assert both.server.read() == b"after"


def test_mtu() -> None:
    both = pair(DTLS_VERSIONS[-1])
    assert (both.client.mtu, both.client.max_datagram) == (1400, 0)
    both.client.mtu = 500
    both.handshake().quiet()
    assert both.client.mtu == 500
    assert 460 < both.client.max_datagram < 480
    with pytest.raises(ConfigError, match=r"dtls\.mtu"):
        both.client.mtu = 1
    stream = ssl_pair.client()
    assert stream.max_datagram == 0
    with pytest.raises(UsageError, match="stream"):
        _ = stream.mtu


def test_a_context_of_another_method_is_another_connection() -> None:
    both = pair(DTLS_VERSIONS[-1])
    assert isinstance(both, Pair)
    stream = SSL(ssl_pair.client_context(), both.ends[0], server_side=False, server_hostname="localhost")
    with pytest.raises(WantRead):
        stream.do_handshake()
    assert both.sent[0][1][:3] == b"\x16\x03\x01"


# --- bad input ----------------------------------------------------------------------------------------------------


def test_whatever_comes_to_a_listening_server_is_answered_shortly_or_not_at_all() -> None:
    dice = random.Random(9147)
    for version in DTLS_VERSIONS:
        both = pair(version)
        hellos = []
        for _ in range(2):  # a first one, and one with a cookie
            with pytest.raises(WantRead):
                both.client.do_handshake()
            hellos.append(both.ends[1].arrived[0])
            if len(hellos) == 1:
                with pytest.raises(WantRead):
                    both.server.listen()
        both.ends[1].arrived.clear()
        both.sent.clear()
        for _ in range(400):
            datagram = bytearray(dice.choice(hellos))
            for _ in range(dice.randint(1, 4)):
                datagram[dice.randrange(len(datagram))] = dice.randrange(256)
            del datagram[dice.choice([len(datagram), dice.randrange(len(datagram))]) :]
            both.ends[1].arrived.append(bytes(datagram))
            before = len(both.sent)
            with suppress(WantRead):
                both.server.listen()
            assert sum(len(each) for _, each in both.sent[before:]) <= 3 * len(datagram)
            assert not both.ends[1].arrived
