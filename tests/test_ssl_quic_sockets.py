"""QUIC in `caesura.SSL` over real UDP sockets: calls that block, select, threads, jobs, and close from elsewhere."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import pytest

from caesura import SSL, DatagramBIO, Listener, Method
from caesura import openssl as o
from caesura.engines import DelayEngine, Operation, ThreadEngine
from caesura.errors import UsageError, WantAsync, WantRead, WantWrite
from caesura.jobs import JobState, start_job
from caesura.sslobject.quic import QUICSSL
from caesura.wire.registries import SignatureScheme
from tests.support import ssl_pair
from tests.support.ssl_pair import PausingKey
from tests.support.udp import everything

T = TypeVar("T")
SETTINGS: dict[str, Any] = {"method": Method.QUIC, "alpn": ["test"], "groups": ["x25519"]}
LONG = 30.0  # seconds: nothing here takes so long


@contextmanager
def udp(*, blocking: bool = False) -> Iterator[socket.socket]:
    """A socket on the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(blocking)
        yield sock


@contextmanager
def listening(**settings: Any) -> Iterator[tuple[Listener, Any]]:
    """A listener, and where it is."""
    with udp() as sock:
        listener = Listener(ssl_pair.server_context(**{**SETTINGS, **settings}), DatagramBIO(sock))
        try:
            yield listener, sock.getsockname()
        finally:
            listener.close()


@contextmanager
def calling(address: Any, *, blocking: bool = False, connect: bool = True, **settings: Any) -> Iterator[QUICSSL]:
    """A client, whose socket blocks or not."""
    with udp(blocking=blocking) as sock:
        if connect:
            sock.connect(address)
        client = ssl_pair.client(DatagramBIO(sock), **{**SETTINGS, **settings})
        assert isinstance(client, QUICSSL)
        try:
            yield client
        finally:
            client.close()


def echo_once(listener: Listener) -> bytes:
    """Accept a connection, take a stream, say in capitals what it says, and close when the client has."""
    connection = listener.accept_connection()
    assert isinstance(connection, QUICSSL)
    stream = connection.accept_stream()
    assert stream is not None
    said = everything(stream)
    stream.write(said.upper(), conclude=True)
    connection.shutdown(wait_peer=True)
    return said


@contextmanager
def in_thread(function: Callable[..., T], *arguments: Any) -> Iterator[Future[T]]:
    """Run it in a thread, which has to end."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(function, *arguments)


@pytest.mark.parametrize("blocking", [False, True], ids=["socket that does not block", "socket that blocks"])
def test_blocking_calls_on_both_sides(blocking: bool) -> None:
    with listening() as (listener, address), in_thread(echo_once, listener) as served:
        with calling(address, blocking=blocking) as client:
            assert client.blocking
            stream = client.new_stream()
            assert stream is not None
            assert stream.blocking
            assert stream.write(b"hello " * 50_000, conclude=True) == 300_000
            assert everything(stream) == b"HELLO " * 50_000
            assert client.shutdown(code=3)
            assert client.close_info is not None
        assert served.result(LONG) == b"hello " * 50_000


def test_the_peers_address_may_be_given_to_the_connection() -> None:
    with listening() as (listener, address), in_thread(echo_once, listener) as served:
        with calling(address, connect=False) as client:
            assert o.SSL_set1_initial_peer_addr(client, address) == 1
            stream = client.new_stream()
            assert stream is not None
            stream.write(b"hello", conclude=True)
            assert everything(stream) == b"HELLO"
            client.shutdown()
        assert served.result(LONG) == b"hello"


def test_select_and_nothing_blocks() -> None:
    with listening() as (listener, address), calling(address) as client:
        listener.blocking = client.blocking = False
        server: QUICSSL | None = None
        sockets = [o.SSL_get_rpoll_descriptor(each)[1] for each in (listener, client)]
        said = b""
        client_done = False
        for _ in range(1000):
            server = server or listener.accept_connection()  # type: ignore[assignment]
            try:
                client.do_handshake()
                if not client_done:
                    client.write(b"hello")
                    client_done = True
                if server is not None:
                    said = server.read()
                    break
            except (WantRead, WantWrite):
                pass
            timeouts = [each.get_event_timeout() for each in (listener, client)]
            pause = min([each for each in timeouts if each is not None], default=1.0)
            assert listener.net_read_desired
            select.select(sockets, [], [], pause)
            listener.handle_events()
            client.handle_events()
        assert said == b"hello"


def test_each_connection_of_a_listener_in_a_thread_of_its_own() -> None:
    def serve(connection: QUICSSL) -> None:
        connection.write(connection.read().upper())
        connection.shutdown(wait_peer=True)

    def accept(listener: Listener, pool: ThreadPoolExecutor, count: int) -> list[Future[None]]:
        found = []
        for _ in range(count):
            connection = listener.accept_connection()
            assert isinstance(connection, QUICSSL)
            found.append(pool.submit(serve, connection))
        return found

    with ThreadPoolExecutor(10) as pool, listening() as (listener, address):
        accepting = pool.submit(accept, listener, pool, 4)
        answers = [pool.submit(talk, address, number) for number in range(4)]
        assert [each.result(LONG) for each in answers] == [b"CLIENT %d" % number for number in range(4)]
        for each in accepting.result(LONG):
            each.result(LONG)


def talk(address: Any, number: int) -> bytes:
    with calling(address) as client:
        client.write(b"client %d" % number)
        answer = client.read()
        client.shutdown(rapid=True)
        return answer


def test_two_threads_on_two_streams_of_one_connection() -> None:
    def answer(listener: Listener) -> None:
        connection = listener.accept_connection()
        assert isinstance(connection, QUICSSL)
        with ThreadPoolExecutor(2) as pool:
            for _ in range(2):
                stream = connection.accept_stream()
                assert stream is not None
                pool.submit(lambda each: each.write(everything(each).upper(), conclude=True), stream)
        connection.shutdown(wait_peer=True)

    with listening() as (listener, address), in_thread(answer, listener) as served, calling(address) as client:
        streams = [client.new_stream() for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            answers = []
            for number, stream in enumerate(streams):
                assert stream is not None
                stream.write(b"stream %d" % number, conclude=True)
                answers.append(pool.submit(everything, stream))
            assert [each.result(LONG) for each in answers] == [b"STREAM 0", b"STREAM 1"]
        client.shutdown()
        served.result(LONG)


def test_a_call_that_waits_is_woken_by_close() -> None:
    with listening() as (listener, _), in_thread(listener.accept_connection) as waiting:
        while not (listener.domain and listener.domain.waiting):
            pass
        listener.close()
        with pytest.raises(UsageError, match="closed"):
            waiting.result(LONG)


def test_work_that_another_thread_has_left_behind_holds_nobody_up() -> None:
    class Stuck(PausingKey):
        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            if self.signatures == 1:
                self.pauses, self.descriptors = 1_000_000, False
            return super().sign(scheme, message)

    key = Stuck()
    with (
        listening(identity=ssl_pair.pausing_identity(key)) as (listener, address),
        calling(address) as first,
        calling(address) as second,
    ):
        with in_thread(listener.accept_connection) as accepting:
            first.do_handshake()
            known = accepting.result(LONG)
        assert known is not None
        with in_thread(listener.accept_connection) as accepting:
            second.blocking = False
            with pytest.raises(WantRead):
                second.do_handshake()
            while key.signatures < 2:
                second.handle_events()
            listener.close()
            with pytest.raises(UsageError, match="closed"):
                accepting.result(LONG)
        first.write(b"hello")
        assert known.read() == b"hello"


def test_a_callback_may_wait_for_another_connection_of_the_domain() -> None:
    with listening() as (listener, address), calling(address) as first, calling(address) as second:
        with in_thread(listener.accept_connection) as accepting:
            first.do_handshake()
            known = accepting.result(LONG)
        assert known is not None
        domain = listener.domain
        assert domain is not None
        assert domain.listener is not None
        taken: list[Any] = []
        domain.listener.context.select_identity = lambda hello: taken.append(known.accept_stream())
        with in_thread(listener.accept_connection) as accepting:
            second.blocking = False
            with pytest.raises(WantRead):
                second.do_handshake()
            while not domain.paused:
                second.handle_events()
            stream = first.new_stream()
            assert stream is not None
            stream.write(b"hello")
            second.blocking = True
            second.do_handshake()
            assert accepting.result(LONG) is not None
        assert [each.read() for each in taken] == [b"hello"]


def test_a_blocking_connection_is_used_by_one_thread_at_a_time() -> None:
    with udp() as nobody, calling(nobody.getsockname()) as client, in_thread(client.do_handshake) as waiting:
        while not (client.domain and client.domain.waiting):
            pass
        with pytest.raises(UsageError, match="in use"):
            client.read()
        client.close()
        with pytest.raises(UsageError, match="closed"):
            waiting.result(LONG)


def test_blocking_calls_wait_for_threads_that_sign() -> None:
    with (
        ThreadEngine(1) as engine,
        listening(engine=engine) as (listener, address),
        in_thread(echo_once, listener) as served,
        calling(address) as client,
    ):
        stream = client.new_stream()
        assert stream is not None
        stream.write(b"hello", conclude=True)
        assert everything(stream) == b"HELLO"
        client.shutdown()
        assert served.result(LONG) == b"hello"


def test_a_call_that_waits_is_woken_by_work_that_ends() -> None:
    engine = DelayEngine(None, operations=[Operation.SIGN])
    with listening(engine=engine) as (listener, address), calling(address) as client:
        client.blocking = False
        with pytest.raises(WantRead):
            client.do_handshake()
        with in_thread(listener.accept_connection) as accepted:
            while not engine.waiting:
                select.select([client.rbio], [], [], 0.01)  # the Retry, and then nothing: the client waits for us
                client.handle_events()
            readable = client.rbio.socket  # type: ignore[union-attr]
            while select.select([readable], [], [], 0.1)[0]:
                readable.recv(2000)
            engine.release()
            assert select.select([readable], [], [], 10)[0]  # the server's flight, though nothing has come from here
            assert accepted.result(LONG) is not None


def test_asynchronous_mode_with_select() -> None:
    engine = DelayEngine(0.02, operations=[Operation.SIGN])
    with listening(async_mode=True, engine=engine) as (listener, address), calling(address) as client:
        listener.blocking = client.blocking = False
        server: SSL | None = None
        paused = 0
        for _ in range(1000):
            server = server or listener.accept_connection()
            watched = [o.SSL_get_rpoll_descriptor(listener)[1], o.SSL_get_rpoll_descriptor(client)[1]]
            watched += listener.get_all_async_fds()
            for side in (client, server):
                if side is None:
                    continue
                try:
                    side.do_handshake()
                except WantRead:
                    pass
                except WantAsync:
                    paused += 1
                    watched += side.get_all_async_fds()
            if server is not None and server.handshake_complete and client.handshake_complete:
                break
            timeouts = [each.get_event_timeout() for each in (listener, client)]
            select.select(watched, [], [], min([each for each in timeouts if each is not None], default=1.0))
            listener.handle_events()
        assert client.handshake_complete
        assert engine.waiting == []


def test_a_job_pauses_where_a_thread_would_block() -> None:
    with ExitStack() as stack:
        listener, address = stack.enter_context(listening())
        client = stack.enter_context(calling(address))

        def ask() -> bytes:
            stream = client.new_stream()
            assert stream is not None
            stream.write(b"hello", conclude=True)
            answer = everything(stream)
            client.shutdown()
            return answer

        jobs = [start_job(echo_once, listener), start_job(ask)]
        while any(job.state is JobState.PAUSED for job in jobs):
            fds = [fd for job in jobs if job.wait_context is not None for fd in job.wait_context.get_all_fds()]
            select.select(fds, [], [], 1.0)
            for job in jobs:
                if job.state is JobState.PAUSED:
                    job.resume()
        assert [job.result() for job in jobs] == [b"hello", b"HELLO"]


def test_it_is_not_loaded_by_who_does_not_use_it() -> None:
    program = "import sys, caesura; caesura.SSL(caesura.Context()); assert 'caesura.quic.connection' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
