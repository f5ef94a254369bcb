"""Contract F44 and F45: SSL_poll(3), for TLS and DTLS connections, which OpenSSL cannot poll, and sockets.

QUIC's objects are in `test_quic_poll`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import caesura
from caesura import openssl as o
from caesura.bio import DatagramBIO, MemoryBIO, SocketBIO
from caesura.context import Context, Method
from caesura.engines import DelayEngine, Operation, ThreadEngine
from caesura.errors import UsageError, WantAsync, WantRead, WantWrite
from caesura.jobs import start_job
from caesura.sslobject import SSL
from tests.support import ssl_pair
from tests.support.datagram_wire import DTLS_VERSIONS, pair
from tests.support.ssl_pair import connected, handshake, wants
from tests.support.udp import datagram_sockets

R, W, RW = o.SSL_POLL_EVENT_R, o.SSL_POLL_EVENT_W, o.SSL_POLL_EVENT_RW
EC, ECD, F = o.SSL_POLL_EVENT_EC, o.SSL_POLL_EVENT_ECD, o.SSL_POLL_EVENT_F
NONE, ALL = o.SSL_POLL_EVENT_NONE, (1 << 13) - 1


def now(*items: Any) -> list[o.PollEvent]:
    """What holds of each, of all that can."""
    code, found, count = o.SSL_poll([(each, ALL) for each in items], 0)
    assert code == 1
    assert count == sum(map(bool, found))
    return found


# --- what a call returns ------------------------------------------------------------------------------------------


def test_F44_the_return_and_the_count() -> None:
    one, two = connected()
    assert o.SSL_poll([(one, R), (two, R)], 0) == (1, [NONE, NONE], 0)  # nothing in time
    assert o.SSL_poll([(one, R), (two, RW)], 0) == (1, [NONE, W], 1)
    assert o.SSL_poll([(one, W), (two, RW)], 0) == (1, [W, W], 2)
    assert o.SSL_poll([], 0) == (1, [], 0)


def test_F44_what_cannot_be_polled_has_the_failure_event() -> None:
    one, two = connected()
    o.SSL_free(two)
    assert o.SSL_poll([(one, W), (two, R), (object(), 0)], 0) == (0, [W, F, F], 3)
    assert o.SSL_poll([(o.SSL_new(ssl_pair.client_context()), R)], 0) == (0, [F], 1)  # without BIOs
    with socket.socket() as closed:
        pass
    assert o.SSL_poll([(closed, R)], 0) == (0, [F], 1)


def test_F44_whom_nobody_would_hear_of_cannot_be_waited_for() -> None:
    one, _ = connected()  # over memory
    assert o.SSL_poll([(one, R)], 0) == (1, [NONE], 0)
    assert o.SSL_poll([(one, R)], None) == (0, [F], 1)
    assert o.SSL_poll([(one, RW)], None) == (1, [W], 1)


@pytest.mark.parametrize(
    ("items", "timeout", "flags"),
    [
        ([(None, R), (None, 1 << 13)], 0, 0),
        ([(None, R), (None, -1)], 0, 0),
        ([(None, R), None], 0, 0),
        ([(None, R), (None,)], 0, 0),
        ([(None, R), (None, "R")], 0, 0),
        ([(None, R), (None, R)], -1, 0),
        ([(None, R), (None, R)], float("nan"), 0),
        ([(None, R), (None, R)], 0, 2),
    ],
)
def test_F44_misuse_is_0_and_0_and_says_nothing_of_anybody(items: list[Any], timeout: float, flags: int) -> None:
    assert o.SSL_poll(items, timeout, flags) == (0, [NONE, NONE], 0)
    if not flags:
        with pytest.raises(UsageError):
            caesura.poll(items, timeout)


def test_F44_misuse_without_a_list() -> None:
    assert o.SSL_poll(5, 0) == (0, [], 0)  # type: ignore[arg-type]


def test_F44_none_is_ignored() -> None:
    one, _ = connected()
    assert o.SSL_poll([(None, ALL), (one, W), (None, 0)], 0) == (1, [NONE, W, NONE], 1)
    assert o.SSL_poll([(o.SSL_as_poll_descriptor(one), W)], 0) == (1, [W], 1)


def test_F44_level_triggered() -> None:
    one, two = connected()
    o.SSL_write(two, b"some bytes")
    for left in (b"some", b" bytes"):
        assert now(one) == now(one) == [RW]
        assert o.SSL_read(one, len(left)) == (len(left), left)
    assert now(one) == [W]


def test_F45_events_that_do_not_apply_are_ignored() -> None:
    one, _ = connected()
    others = o.SSL_POLL_EVENT_I | o.SSL_POLL_EVENT_OS | o.SSL_POLL_EVENT_EL
    assert o.SSL_poll([(one, others)], 0) == (1, [NONE], 0)
    assert o.SSL_poll([(one, others | W)], 0) == (1, [W], 1)


def test_F45_the_numbers_are_the_page_s() -> None:
    names = ["F", "EL", "EC", "ECD", "ER", "EW", "R", "W", "IC", "ISB", "ISU", "OSB", "OSU"]
    assert [getattr(o, f"SSL_POLL_EVENT_{name}") for name in names] == [1 << bit for bit in range(13)]
    assert o.SSL_POLL_EVENT_NONE == 0
    assert o.SSL_POLL_EVENT_RWE == R | W | o.SSL_POLL_EVENT_ER | o.SSL_POLL_EVENT_EW
    assert o.SSL_POLL_EVENT_ISE == o.SSL_POLL_EVENT_ISB | o.SSL_POLL_EVENT_ISU | EC
    assert o.SSL_POLL_EVENT_I == o.SSL_POLL_EVENT_IS | o.SSL_POLL_EVENT_IC


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_F45_a_handshake() -> None:
    """Readable is who has something to read; writable is nobody before it is done."""
    one, two = ssl_pair.pair()
    assert now(one, two) == [NONE, NONE]
    assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ
    assert now(one, two) == [NONE, R]
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_READ
    assert now(one, two) == [R, NONE]
    assert o.SSL_do_handshake(one) == 1
    assert now(one, two) == [W, R]
    assert o.SSL_do_handshake(two) == 1
    assert now(one, two) == [W, W]


def test_F45_a_full_pair_is_not_writable() -> None:
    one, two = connected(size=20_000)
    while o.SSL_write(one, bytes(5000)) > 0:
        pass
    assert o.SSL_want(one) == o.SSL_WRITING
    assert now(one, two) == [NONE, RW]
    while o.SSL_read(two, 20_000)[0] > 0:
        pass
    assert now(one, two) == [W, W]


def test_F45_the_end() -> None:
    one, two = connected()
    assert o.SSL_shutdown(one) == 0
    assert now(one, two) == [EC, RW]
    assert o.SSL_read(two, 10) == (0, b"")
    assert now(two) == [EC | RW]
    assert o.SSL_shutdown(two) == 1
    assert now(two) == [EC | ECD | R]
    assert o.SSL_shutdown(one) == 1
    assert now(one) == [EC | ECD | R]


def test_F45_a_failure_is_told_by_reading_and_by_writing() -> None:
    one, two = connected()
    assert two.wbio is not None
    two.wbio.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert now(one) == [RW]
    assert wants(one, o.SSL_read(one, 10)[0]) == o.SSL_ERROR_SSL
    assert now(one) == [EC | ECD | RW]


def test_F45_memory_that_has_ended_is_readable() -> None:
    incoming, outgoing = MemoryBIO(), MemoryBIO()
    ssl = ssl_pair.client(incoming, outgoing)
    assert wants(ssl, o.SSL_do_handshake(ssl)) == o.SSL_ERROR_WANT_READ
    assert now(ssl) == [NONE]
    incoming.write_eof()
    assert now(ssl) == [R]


def test_F45_paused_work_is_waited_for_and_not_what_has_come_meanwhile() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    one, two = ssl_pair.pair(server_settings={"async_mode": True, "engine": engine})
    o.SSL_do_handshake(one)
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
    assert one.wbio is not None
    one.wbio.write(b"\x17")
    assert now(two) == [NONE]
    assert o.SSL_get_all_async_fds(two) != (0, [])
    engine.release()
    assert now(two) == [RW]  # the call can be made again
    assert o.SSL_poll([(two, R)], None) == (1, [R], 1)


# --- DTLS ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", DTLS_VERSIONS, ids=lambda version: version.name)
def test_F44_timers_are_served_unless_the_flag_says_no(version: Any) -> None:
    both = pair(version, carry=lambda number, datagram: [])
    client = both.client
    assert wants(client, o.SSL_do_handshake(client)) == o.SSL_ERROR_WANT_READ
    sent = both.ends[0].wire.sent
    assert now(client) == [NONE]
    assert len(sent) == 1
    both.clock.now += 1
    assert o.SSL_poll([(client, R)], 0, o.SSL_POLL_FLAG_NO_HANDLE_EVENTS) == (1, [NONE], 0)
    assert len(sent) == 1
    assert now(client) == [NONE]
    assert len(sent) == 2


# --- real sockets -------------------------------------------------------------------------------------------------


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        one.setblocking(False)
        two.setblocking(False)
        yield one, two


def drive(sides: list[SSL], seconds: float = 20) -> None:
    """Perform the handshakes of all with nothing but `poll` to wait with."""
    waiting: dict[SSL, caesura.PollEvent] = dict.fromkeys(sides, R)
    ready = sides
    while waiting:
        for side in ready:
            try:
                side.do_handshake()
                waiting.pop(side)
            except WantRead:
                waiting[side] = R
            except WantWrite:
                waiting[side] = W
            except WantAsync:
                waiting[side] = RW
        if waiting:
            found = caesura.poll(waiting.items(), seconds)
            assert any(found), "nobody is ready"
            ready = [side for side, events in zip(list(waiting), found, strict=True) if events]


def sides_over(one: socket.socket, two: socket.socket, method: Method, **settings: Any) -> list[SSL]:
    bio: Callable[[socket.socket], Any] = SocketBIO if method is Method.TLS else DatagramBIO
    client = ssl_pair.client(bio(one), method=method)
    return [client, ssl_pair.server(bio(two), method=method, **settings)]


@pytest.mark.parametrize("method", [Method.TLS, Method.DTLS])
def test_F44_waiting_for_several(method: Method, sockets: tuple[socket.socket, socket.socket]) -> None:
    """Handshakes over sockets, with signatures that an engine's threads make, and one poll for all."""
    pairs = [sockets if method is Method.TLS else datagram_sockets(), datagram_sockets()]
    methods = [method, Method.DTLS]
    with ThreadEngine(2) as engine:
        settings = {"engine": engine, "async_mode": True}
        both = [sides_over(*two, kind, **settings) for two, kind in zip(pairs, methods, strict=True)]
        drive([side for sides in both for side in sides])
    client, server = both[0]
    for side in both[0]:  # of DTLS, acknowledgements may be there: readable is what has something to read
        with pytest.raises(WantRead):
            side.read()
    assert caesura.poll([(client, R), (server, R)], 0) == [NONE, NONE]
    client.write(b"hello")
    assert caesura.poll([(client, R), (server, R), (pairs[0][1], R)], 20) == [NONE, R, R]
    assert server.read() == b"hello"
    for one, two in pairs:
        one.close()
        two.close()


def test_F44_a_time_that_passes(sockets: tuple[socket.socket, socket.socket]) -> None:
    one, two = sockets
    assert caesura.poll([(one, R), (two.fileno(), R)], 0.001) == [NONE, NONE]
    assert caesura.poll([(one, RW), (two, R)], 20) == [W, NONE]
    one.send(b"x")
    assert caesura.poll([(one, R), (two, RW)], None) == [NONE, RW]
    one.close()
    assert caesura.poll([(two, RW)], None)[0] & (RW | EC) == RW


def test_F44_inside_a_job_the_job_pauses(sockets: tuple[socket.socket, socket.socket]) -> None:
    """Its application is shown what is waited for."""
    one, two = sockets
    client, server = sides_over(one, two, Method.TLS)
    handshake(client, server)
    context = caesura.jobs.WaitContext()
    job = start_job(lambda: (caesura.poll([(server, R), (None, R)]), server.read()), wait_context=context)
    assert job.state.name == "PAUSED"
    assert context.get_all_fds() == [two.fileno()]
    job.resume()  # for nothing
    assert job.state.name == "PAUSED"
    client.write(b"hello")
    job.resume()
    assert job.result() == ([R, NONE], b"hello")
    assert context.get_all_fds() == []


def test_F44_inside_a_job_even_memory_can_be_waited_for() -> None:
    """Whoever resumes the job may have put something there."""
    one, two = connected()
    job = start_job(lambda: caesura.poll([(one, R)]))
    job.resume()
    assert job.state.name == "PAUSED"
    two.write(b"x")
    job.resume()
    assert job.result() == [R]


def test_F44_a_blocking_socket_is_never_waited_in(sockets: tuple[socket.socket, socket.socket]) -> None:
    one, two = sockets
    sides = sides_over(one, two, Method.TLS)
    handshake(*sides)
    one.setblocking(True)
    assert caesura.poll([(sides[0], R)], 0) == [NONE]


def test_an_item_is_polled_for_each_time_it_stands_there() -> None:
    one, two = connected()
    o.SSL_write(two, b"x")
    assert caesura.poll([(one, R), (one, W), (one, 0)], 0) == [R, W, NONE]


def test_a_context_of_quic_is_no_item() -> None:
    assert caesura.poll([(Context(), R)], 0) == [F]
