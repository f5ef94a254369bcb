"""SSL as Python code uses it: exceptions, standard-library BIOs, back-pressure, closing at any moment, threads.

What the manual pages promise is in tests/contract; here is what they do not say.
"""

from __future__ import annotations

import select
import socket
import ssl as standard
import threading
from contextlib import suppress
from typing import Any

import pytest

from caesura.bio import MemoryBIO, SocketBIO, bio_pair
from caesura.context import Limits
from caesura.engines import DelayEngine, InlineEngine, Operation, ThreadEngine, Work
from caesura.errors import (
    BadRecordMAC,
    CertificateVerifyError,
    ConfigError,
    OperationFailed,
    OperationTimeout,
    PeerAlert,
    UnexpectedEOF,
    UsageError,
    WantAsync,
    WantRead,
    WantWrite,
    ZeroReturn,
)
from caesura.jobs import Completion, JobCancelled, Pending, current_job, pause_job, start_job, wait
from caesura.sessions import SessionCache
from caesura.sslobject import SSL, Want
from caesura.wire.data import Data
from caesura.wire.messages12 import HelloRequest
from caesura.wire.registries import CipherSuite, NamedGroup, Version
from tests.support.pki import pki
from tests.support.ssl_pair import (
    PausingKey,
    client,
    client_context,
    connected,
    handshake,
    pair,
    pausing_server,
    server,
    server_context,
    small_pool,
)

RECORDS = (Operation.SEAL_RECORD, Operation.OPEN_RECORD)


def paused(key: PausingKey | None = None, **settings: Any) -> tuple[SSL, SSL]:
    """A client, and a server whose handshake has just paused in a signature."""
    one, two = pair(server_settings=pausing_server(key, **settings))
    with pytest.raises(WantRead):
        one.do_handshake()
    with pytest.raises(WantAsync):
        two.do_handshake()
    return one, two


def held_signature(**settings: Any) -> tuple[SSL, SSL, DelayEngine]:
    """A client, and a server whose signature waits in an engine until the test lets it go."""
    engine = DelayEngine(None, operations=[Operation.SIGN])
    one, two = pair(server_settings={"async_mode": True, "engine": engine, **settings})
    with pytest.raises(WantRead):
        one.do_handshake()
    with pytest.raises(WantAsync):
        two.do_handshake()
    return one, two, engine


class TestDriving:
    def test_the_standard_librarys_bios_and_exceptions_serve(self) -> None:
        forth, back = standard.MemoryBIO(), standard.MemoryBIO()
        one, two = client(back, forth), server(forth, back)
        with pytest.raises(standard.SSLWantReadError):
            one.do_handshake()
        handshake(one, two)
        assert one.write(b"hello") == 5
        assert two.read(100) == b"hello"
        with pytest.raises(standard.SSLWantReadError):
            two.read(100)
        one.shutdown()
        with pytest.raises(standard.SSLZeroReturnError):
            two.read(100)
        forth.write_eof()
        back.write_eof()
        with pytest.raises(standard.SSLError):
            two.read(100)

    def test_a_pause_is_not_a_wait_for_bytes(self) -> None:
        one, two = pair(server_settings=pausing_server())
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(WantAsync) as caught:
            two.do_handshake()
        assert not isinstance(caught.value, standard.SSLWantReadError)

    def test_want(self) -> None:
        one, two = paused()
        assert (one.want, two.want) == (Want.READING, Want.ASYNC_PAUSED)
        handshake(one, two)
        assert (one.want, two.want) == (Want.NOTHING, Want.NOTHING)
        with pytest.raises(WantRead):
            one.read()
        assert one.want is Want.READING
        two.write(b"x")
        one.read()
        assert one.want is Want.NOTHING

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_bytes_can_be_written(self, kind: type[Any]) -> None:
        one, two = connected()
        assert one.write(kind(b"some bytes")) == 10
        assert two.read() == b"some bytes"

    def test_nothing_is_read_or_written_for_nothing(self) -> None:
        one, two = connected()
        assert one.write(b"") == 0
        two.write(b"data")
        assert one.read(0) == b""
        assert one.read(1) == b"d"
        assert one.pending() == 3
        assert one.read(0) == b""
        assert one.read() == b"ata"

    def test_large_writes_arrive_whole(self) -> None:
        forth, back = MemoryBIO(), MemoryBIO()
        one, two = client(back, forth), server(forth, back)
        handshake(one, two)
        data = bytes(range(256)) * 1000
        assert one.write(data) == len(data)
        received = bytearray()
        while len(received) < len(data):
            received += two.read(10_000)
        assert received == data

    def test_data_that_came_with_the_end_of_the_handshake_is_kept(self) -> None:
        forth, back = MemoryBIO(), MemoryBIO()
        one, two = client(back, forth), server(forth, back)
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(WantRead):
            two.do_handshake()
        one.do_handshake()
        one.write(b"together with the Finished")
        one.shutdown()
        two.do_handshake()
        assert two.read() == b"together with the Finished"
        with pytest.raises(ZeroReturn):
            two.read()

    def test_a_server_writes_once_the_client_has_finished(self) -> None:
        one, two = pair()
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(WantRead):
            two.write(b"early")
        with pytest.raises(WantRead):
            two.write(b"changed its mind")
        one.do_handshake()
        assert two.write(b"changed its mind") == 16
        assert one.read() == b"changed its mind"

    def test_a_server_does_not_wait_for_its_tickets_to_leave(self) -> None:
        """A client that writes before it reads would otherwise be waited for for ever."""
        half, other = bio_pair(0, 200)
        one, two = client(half, sessions=SessionCache()), server(other, ticket_count=4)
        for _ in range(100):
            try:
                one.do_handshake()
                break
            except (WantRead, WantWrite):
                with pytest.raises((WantRead, WantWrite)):
                    two.do_handshake()
        two.do_handshake()
        assert half.pending == 200
        one.write(b"a client that writes first")
        assert two.read() == b"a client that writes first"
        with pytest.raises(WantRead):
            one.read()

    def test_what_this_side_owes_is_pushed_out_by_reading(self) -> None:
        half, other = bio_pair(30, 0)
        one, two = client(half), server(other)
        handshake(one, two)
        one.write(b"12345678")  # and the pair is full
        one.key_update()
        with pytest.raises(WantWrite):
            one.read()
        assert two.read() == b"12345678"
        with pytest.raises(WantRead):
            one.read()

    def test_what_a_write_has_left_is_the_writers_to_wait_for(self) -> None:
        half, other = bio_pair(30, 0)
        one, two = client(half), server(other)
        handshake(one, two)
        with pytest.raises(WantWrite):
            one.write(b"too long for the pair")
        with pytest.raises(WantRead):
            one.read()
        two.write(b"meanwhile")
        assert one.read() == b"meanwhile"

    def test_what_is_stuck_goes_out_before_what_is_written_later(self) -> None:
        half, other = bio_pair(30, 0)
        one, two = client(half), server(other)
        handshake(one, two)
        one.write(b"12345678")
        one.key_update()  # stuck: the pair is full
        assert two.read() == b"12345678"
        with pytest.raises(WantWrite):
            one.write(b"x")
        with pytest.raises(WantRead):
            two.read()
        assert one.write(b"x") == 1
        assert two.read() == b"x"

    def test_a_finished_handshake_is_finished_whatever_is_stuck(self) -> None:
        half, other = bio_pair(30, 0)
        one, two = client(half), server(other)
        handshake(one, two)
        with pytest.raises(WantWrite):
            one.write(b"too long for the pair")
        one.do_handshake()

    def test_data_before_a_bad_record_is_given_and_then_the_failure(self) -> None:
        forth, back = MemoryBIO(), MemoryBIO()
        one, two = client(back, forth), server(forth, back)
        handshake(one, two)
        one.write(b"good")
        forth.write(bytes.fromhex("17 0303 0020") + bytes(32))
        assert two.read() == b"good"
        with pytest.raises(BadRecordMAC):
            two.write(b"an answer")
        with pytest.raises(PeerAlert, match="bad_record_mac"):
            one.read()
        with pytest.raises(BadRecordMAC):
            two.do_handshake()
        with pytest.raises(BadRecordMAC):
            two.read()

    def test_reading_waits_for_paused_tickets_when_there_is_nothing_to_read(self) -> None:
        engine = DelayEngine(None, operations=[Operation.SEAL_TICKET])
        one, two = pair(
            client_settings={"sessions": SessionCache()},
            server_settings={"async_mode": True, "engine": engine, "ticket_count": 1},
        )
        handshake(one, two)
        assert two.handshake_complete
        with pytest.raises(WantAsync):
            two.read()
        one.write(b"data comes first")
        assert two.read() == b"data comes first"
        assert two.write(b"and is answered") == 15
        assert one.read() == b"and is answered"
        engine.release()
        with pytest.raises(WantRead):
            two.read()
        with pytest.raises(WantRead):
            one.read()
        assert one.session is not None

    def test_key_updates_in_both_directions(self) -> None:
        one, two = connected()
        for _ in range(3):
            one.key_update(request_peer=True)
            one.write(b"under the new keys")
            assert two.read() == b"under the new keys"
            two.write(b"and the answer")
            assert one.read() == b"and the answer"

    def test_a_read_that_has_data_sends_what_is_owed(self) -> None:
        """A server's wish to renegotiate came in one piece with data; the next read may wait for ever."""
        forth, back = MemoryBIO(), MemoryBIO()
        one, two = client(back, forth, maximum_version="TLS12"), server(forth, back)
        handshake(one, two)
        assert two._connection is not None
        two._connection._writer.handshake(HelloRequest().encode())
        two._connection._writer.end_flight()
        two.write(b"and data")
        assert one.read() == b"and data"
        assert forth.pending

    def test_a_paused_record_does_not_empty_the_transport(self) -> None:
        """What is not taken stays with the transport, so that the peer feels the pause."""
        engine = DelayEngine(None, operations=[Operation.OPEN_RECORD])
        limits = Limits(parked_bytes=30_000)
        forth, back = MemoryBIO(), MemoryBIO()
        one = client(back, forth)
        two = server(forth, back, async_mode=True, engine=engine, limits=limits)
        handshake(one, two, between=lambda *_: engine.release(10))
        data = bytes(400_000)
        one.write(data)
        sent = forth.pending
        for _ in range(50):
            with pytest.raises(WantAsync):
                two.read()
        assert sent - forth.pending <= 30_000 + 2 * 16_645
        received = 0
        while received < len(data):
            engine.release()
            with suppress(WantAsync):
                received += len(two.read())
        assert received == len(data)

    def test_a_paused_handshake_does_not_empty_the_transport(self) -> None:
        forth, back = MemoryBIO(), MemoryBIO()
        one = client(back, forth)
        engine = DelayEngine(None, operations=[Operation.SIGN])
        two = server(forth, back, async_mode=True, engine=engine)
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(WantAsync):
            two.do_handshake()
        forth.write(bytes(1_000_000))
        for _ in range(200):
            with pytest.raises(WantAsync):
                two.do_handshake()
        assert forth.pending > 900_000

    def test_a_transport_that_times_out_loses_no_record(self) -> None:
        class Slow(MemoryBIO):
            fails = 0

            def write(self, data: Data, /) -> int:
                if self.fails:
                    self.fails -= 1
                    raise TimeoutError("timed out")
                return super().write(data)

        forth, back = Slow(), MemoryBIO()
        one, two = client(back, forth), server(forth, back)
        forth.fails = 1
        with pytest.raises(TimeoutError):
            one.do_handshake()
        handshake(one, two)
        forth.fails = 2
        for _ in range(2):
            with pytest.raises(TimeoutError):
                one.write(b"important")
        assert one.write(b"important") == 9
        assert one.write(b"next") == 4
        assert two.read(9) == b"important"
        assert two.read() == b"next"

    def test_why_an_alert_had_to_be_sent_is_told_even_if_it_finds_nobody(self) -> None:
        half, other = bio_pair()
        one, two = client(half, name="elsewhere.test"), server(other)
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(WantRead):
            two.do_handshake()
        half.write_eof()
        with pytest.raises(CertificateVerifyError):
            one.do_handshake()

    def test_a_nonblocking_socket(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            one, two = client(SocketBIO(ours)), server(SocketBIO(theirs))
            handshake(one, two)
            data = bytes(3_000_000)
            with pytest.raises(WantWrite):
                one.write(data)
            received = 0
            while received < len(data):
                try:
                    received += len(two.read())
                except WantRead:
                    with suppress(WantWrite):
                        assert one.write(b"") in (0, len(data))
            ours.close()
            with pytest.raises(UnexpectedEOF):
                two.read()


class TestWorkThatIsWaitedFor:
    """Outside asynchronous mode."""

    def test_every_operation_may_be_slow(self) -> None:
        engine = DelayEngine(0, operations=list(Operation))
        one, two = pair(
            client_settings={"engine": engine, "sessions": SessionCache()},
            server_settings={"engine": engine, "ticket_count": 1},
        )
        handshake(one, two)
        assert one.write(b"question") == 8
        assert two.read() == b"question"
        assert two.write(b"answer") == 6
        assert one.read() == b"answer"
        assert two.shutdown() is False
        with pytest.raises(ZeroReturn):
            one.read()
        assert one.shutdown() is True
        assert one.get_all_async_fds() == two.get_all_async_fds() == []

    def test_threads_do_it(self) -> None:
        with ThreadEngine(1) as engine:
            one, two = pair(server_settings={"engine": engine})
            handshake(one, two)
            assert one.version is Version.TLS13

    def test_a_key_that_polls(self) -> None:
        one, two = pair(server_settings=pausing_server(PausingKey(pauses=3, descriptors=False), async_mode=False))
        handshake(one, two)
        assert two.handshake_complete

    def test_a_deadline_ends_the_wait(self) -> None:
        engine = DelayEngine(None, operations=[Operation.SIGN])
        one, two = pair(server_settings={"engine": engine, "deadline": 0.001})
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(OperationTimeout, match="SIGN"):
            two.do_handshake()
        assert engine.waiting == []

    def test_inside_a_job_it_pauses_that_job(self) -> None:
        engine = DelayEngine(None, operations=[Operation.SIGN])
        one, two = pair(server_settings={"engine": engine})
        with pytest.raises(WantRead):
            one.do_handshake()
        job = start_job(two.do_handshake)
        assert not job.done()
        engine.release()
        job.resume()
        with pytest.raises(WantRead):
            job.result()
        handshake(one, two)

    def test_inside_a_job_also_for_what_was_paused_before(self) -> None:
        one, two, engine = held_signature()
        job = start_job(two.do_handshake)
        assert not job.done()
        engine.release()
        job.resume()
        with pytest.raises(WantRead):
            job.result()
        handshake(one, two)

    def test_nobody_is_called_back(self) -> None:
        called: list[object] = []
        engine = DelayEngine(0, operations=[Operation.SIGN])
        one, two = pair(server_settings={"engine": engine, "async_callback": lambda *args: called.append(args)})
        handshake(one, two)
        assert called == []

    def test_closing_from_another_thread_wakes_it(self) -> None:
        key = Blocking()
        half, other = bio_pair()
        one, two = client(half), server(other, identity=pausing_server(key)["identity"])  # type: ignore[arg-type]
        with pytest.raises(WantRead):
            one.do_handshake()
        closer = threading.Thread(target=lambda: (key.started.wait(30), two.close()))
        closer.start()
        with pytest.raises(UsageError, match="closed"):
            two.do_handshake()
        closer.join()
        assert key.unwound == [threading.get_ident()]


class Blocking(PausingKey):
    """A key that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()
        self.unwound: list[int] = []  # type: ignore[assignment]

    def sign(self, scheme: Any, message: bytes) -> bytes:
        self.started.set()
        try:
            while True:
                pause_job()
        except JobCancelled:
            self.unwound.append(threading.get_ident())
            raise


class TestClosing:
    def test_it_sends_nothing_and_may_be_repeated(self) -> None:
        one, two = connected()
        one.close()
        one.close()
        assert two.rbio is not None
        assert two.rbio.pending == 0
        for call in (one.do_handshake, one.read, one.shutdown, one.clear, lambda: one.write(b"x")):
            with pytest.raises(UsageError, match="closed"):
                call()
        assert one.version is Version.TLS13
        assert one.get_event_timeout() is None
        one.handle_events()

    def test_before_anything_began(self) -> None:
        one = SSL(client_context())
        one.close()
        with pytest.raises(UsageError, match="closed"):
            one.set_connect_state()

    def test_a_paused_read_and_a_paused_write_are_cancelled(self) -> None:
        engine = DelayEngine(None, operations=RECORDS)
        one, two = pair(server_settings={"async_mode": True, "engine": engine})
        handshake(one, two, between=lambda *_: engine.release(10))
        one.write(b"question")
        with pytest.raises(WantAsync):
            two.read()
        with pytest.raises(WantAsync):
            two.write(b"answer")
        assert len(engine.waiting) == 2
        two.close()
        assert engine.waiting == []
        assert not two.waiting_for_async()

    @pytest.mark.parametrize("callback", ["verify_peer", "sign"])
    def test_inside_a_callback_it_takes_effect_when_the_call_ends(self, callback: str) -> None:
        seen: list[bool] = []
        key = PausingKey(pauses=0)
        sides: list[SSL] = []

        class Closing(PausingKey):
            def sign(self, scheme: Any, message: bytes) -> bytes:
                sides[1].close()
                seen.append(sides[1].waiting_for_async())
                return key.sign(scheme, message)

        def verify_peer(_chain: object) -> bool:
            sides[0].close()
            seen.append(True)
            return True

        if callback == "sign":
            sides += pair(server_settings=pausing_server(Closing()))
        else:
            sides += pair(client_settings={"verify_peer": verify_peer})
        one, two = sides
        closing = two if callback == "sign" else one
        with pytest.raises(WantRead):
            one.do_handshake()
        if closing is two:
            with pytest.raises(UsageError, match="closed"):
                two.do_handshake()
        else:
            with pytest.raises(WantRead):
                two.do_handshake()
            with suppress(UsageError):
                one.do_handshake()
        assert len(seen) == 1
        with pytest.raises(UsageError, match="closed"):
            closing.do_handshake()

    def test_inside_the_asynchronous_callback(self) -> None:
        _, two, engine = held_signature()
        two.set_async_callback(lambda ssl, _arg: ssl.close())
        engine.release()
        with pytest.raises(UsageError, match="closed"):
            two.do_handshake()
        assert not two.waiting_for_async()

    def test_from_another_thread_the_job_is_unwound_on_its_own(self) -> None:
        key = PausingKey()
        where: list[int] = []

        class Watched(PausingKey):
            def sign(self, scheme: Any, message: bytes) -> bytes:
                try:
                    return key.sign(scheme, message)
                finally:
                    where.append(threading.get_ident())

        with small_pool(2):
            one, two = paused(Watched())
            wakeups = two.get_all_async_fds()
            thread = threading.Thread(target=two.close)
            thread.start()
            thread.join()
            assert where == []
            assert two.wait_context is not None
            assert two.wait_context.signalled
            assert wakeups == key.open
            with pytest.raises(UsageError, match="closed"):
                two.do_handshake()
            assert where == [threading.get_ident()]
            assert key.unwound == 1
            assert not two.waiting_for_async()
            jobs = [start_job(pause_job) for _ in range(2)]  # both places are free again
            for job in jobs:
                job.resume()
        assert not one.waiting_for_async()

    def test_from_another_thread_with_a_callback(self) -> None:
        called: list[SSL] = []
        _, two = paused(async_callback=lambda ssl, _arg: called.append(ssl))
        thread = threading.Thread(target=two.close)
        thread.start()
        thread.join()
        assert called == [two]

    def test_a_late_answer_goes_nowhere(self) -> None:
        release = threading.Event()

        class Late(PausingKey):
            def sign(self, scheme: Any, message: bytes) -> bytes:
                release.wait(30)
                return b"late"

        with ThreadEngine(1, operations=[Operation.SIGN]) as engine:
            one, two = pair(server_settings=pausing_server(Late(), engine=engine))
            with pytest.raises(WantRead):
                one.do_handshake()
            with pytest.raises(WantAsync):
                two.do_handshake()
            two.close()
            release.set()
            wait(engine.start(Work(Operation.SIGN, int)))  # one worker: the late answer was there before this one
        assert two.get_all_async_fds() == []

    def test_starting_over_leaves_nothing_behind(self) -> None:
        half, other = bio_pair(30, 0)
        one, two = client(half), server(other)
        handshake(one, two)
        with pytest.raises(WantWrite):
            one.write(b"never to be finished")
        one.clear()
        fresh, peer = bio_pair()
        one.set_bio(fresh)
        handshake(one, server(peer))
        assert one.write(b"new") == 3


class TestThreads:
    def test_one_thread_at_a_time(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            reading = threading.Event()

            class Told(SocketBIO):
                def read(self, size: int = -1, /) -> bytes:
                    reading.set()
                    return super().read(size)

            two = server(Told(ours))
            errors: list[BaseException] = []

            def serve() -> None:
                try:
                    two.do_handshake()
                except UnexpectedEOF as error:
                    errors.append(error)

            thread = threading.Thread(target=serve)
            thread.start()
            assert reading.wait(30)
            for call in (two.do_handshake, two.read, two.shutdown, lambda: two.write(b"x"), two.clear):
                with pytest.raises(UsageError, match="another thread"):
                    call()
            assert not two.waiting_for_async()
            theirs.close()
            thread.join()
            assert len(errors) == 1

    def test_a_job_of_another_thread_cannot_be_resumed_here_and_is_not_harmed(self) -> None:
        one, two = paused()
        errors: list[BaseException] = []

        def elsewhere() -> None:
            try:
                two.do_handshake()
            except UsageError as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(errors) == 1
        assert "thread" in str(errors[0])
        handshake(one, two)

    def test_a_completion_can_be_seen_by_who_asks_late(self) -> None:
        """The work is done before the application has asked for the descriptors."""
        with ThreadEngine(1, operations=[Operation.SIGN]) as engine:
            one, two = pair(server_settings={"async_mode": True, "engine": engine})
            with pytest.raises(WantRead):
                one.do_handshake()
            with pytest.raises(WantAsync):
                two.do_handshake()
            wait(engine.start(Work(Operation.SIGN, int)))  # one worker: the signature was done before this
            assert two.waiting_for_async()
            fds = two.get_all_async_fds()
            assert len(fds) == 1
            assert two.get_changed_async_fds() == (fds, [])
            assert select.select(fds, [], [], 0)[0] == fds
            handshake(one, two)
            assert two.get_all_async_fds() == []
            assert two.get_changed_async_fds() == ([], fds)

    def test_work_that_ends_before_the_call_returns_can_be_seen_too(self) -> None:
        works: list[tuple[Work[Any], Completion[Any]]] = []

        class Elsewhere(InlineEngine):
            """Seals one record at once; what comes behind it takes longer."""

            sealed = -1  # the flight of the handshake is one record, too

            def start(self, work: Work[Any]) -> Pending[Any]:
                self.sealed += 1
                if self.sealed <= 1:
                    return super().start(work)
                works.append((work, Completion()))
                return works[-1][1]

        class Meanwhile(MemoryBIO):
            """While bytes are handed out, the work ends."""

            def write(self, data: Data, /) -> int:
                while works:
                    work, pending = works.pop()
                    pending.set_result(work.run())
                    assert work.wait_context is not None
                    work.wait_context.notify()
                return super().write(data)

        forth, back = MemoryBIO(), Meanwhile()
        engine = Elsewhere(operations={Operation.SEAL_RECORD})
        one, two = client(back, forth), server(forth, back, async_mode=True, engine=engine)
        handshake(one, two)
        assert engine.sealed == 0
        with pytest.raises(WantAsync):
            two.write(bytes(20_000))
        fds = two.get_all_async_fds()
        assert select.select(fds, [], [], 0)[0] == fds != []
        assert two.write(b"") == 20_000

    def test_the_descriptor_is_drained_by_the_next_call(self) -> None:
        engine = DelayEngine(None, operations=[Operation.KEY_EXCHANGE, Operation.SIGN])
        one, two = pair(server_settings={"async_mode": True, "engine": engine})
        with pytest.raises(WantRead):
            one.do_handshake()
        for _ in range(2):
            with pytest.raises(WantAsync):
                two.do_handshake()
            fds = two.get_all_async_fds()
            assert select.select(fds, [], [], 0)[0] == []
            engine.release()
            assert select.select(fds, [], [], 0)[0] == fds != []
        handshake(one, two)


class TestSettings:
    def test_a_connection_keeps_the_settings_it_began_with(self) -> None:
        context = client_context(alpn=["h2"])
        half, other = bio_pair()
        one = SSL(context, half, server_side=False, server_hostname="localhost")
        context.alpn = ["http/1.1"]
        two = server(other, alpn=["http/1.1", "h2"])
        handshake(one, two)
        assert one.alpn == two.alpn == "h2"
        assert context.alpn == ("http/1.1",)

    def test_its_own_can_be_changed_until_the_handshake_starts(self) -> None:
        one, two = pair(server_settings={"alpn": ["a", "b"]})
        one.context.alpn = ["b"]
        with pytest.raises(WantRead):
            one.do_handshake()
        one.context.alpn = ["a"]
        with pytest.raises(UsageError, match="server_hostname"):
            one.server_hostname = "elsewhere.test"
        with pytest.raises(UsageError, match="session"):
            one.set_session(None)
        handshake(one, two)
        assert one.alpn == "b"

    def test_what_a_role_is_missing_is_named_by_the_handshake(self) -> None:
        half, other = bio_pair()
        with pytest.raises(ConfigError, match="identity"):
            SSL(client_context(), half, server_side=True).do_handshake()
        with pytest.raises(UsageError, match="server_hostname"):
            client(other, name=None).do_handshake()

    def test_the_facts(self) -> None:
        one, two = pair(
            client_settings={"alpn": ["h2"], "groups": ["x25519"]},
            server_settings={"alpn": ["h2"], "cipher_suites": ["TLS_CHACHA20_POLY1305_SHA256"]},
        )
        assert (one.version, one.cipher_suite, one.group, one.alpn, one.session) == (None, None, None, None, None)
        assert (one.server_hostname, two.server_hostname) == ("localhost", None)
        assert (one.server_side, two.server_side) == (False, True)
        assert one.peer_certificates == ()
        assert not one.handshake_complete
        with pytest.raises(UsageError):
            one.export_keying_material("EXPORTER-test", None, 16)
        handshake(one, two)
        for side in (one, two):
            assert side.version is Version.TLS13
            assert side.cipher_suite is CipherSuite.TLS_CHACHA20_POLY1305_SHA256
            assert side.group is NamedGroup.x25519
            assert side.alpn == "h2"
            assert side.server_hostname == "localhost"
            assert not side.session_reused
        assert one.peer_certificates == pki().ec.chain
        assert two.peer_certificates == ()
        secret = one.export_keying_material("EXPORTER-test", b"context", 40)
        assert len(secret) == 40
        assert secret == two.export_keying_material("EXPORTER-test", b"context", 40)
        assert repr(one) == "<SSL client>"
        one.close()
        assert repr(one) == "<SSL client, closed>"

    def test_an_operation_that_raises_fails_the_handshake(self) -> None:
        def verify_peer(_chain: object) -> bool:
            raise RuntimeError("the directory is down")

        one, two = pair(client_settings={"verify_peer": verify_peer})
        with pytest.raises(WantRead):
            one.do_handshake()
        with pytest.raises(WantRead):
            two.do_handshake()
        with pytest.raises(OperationFailed) as caught:
            one.do_handshake()
        assert str(caught.value.__cause__) == "the directory is down"

    def test_a_callback_runs_in_a_job_with_the_connections_wait_context(self) -> None:
        seen: list[object] = []

        def verify_peer(_chain: object) -> bool:
            job = current_job()
            assert job is not None
            seen.append(job.wait_context)
            return True

        one, two = pair(client_settings={"verify_peer": verify_peer, "async_mode": True})
        handshake(one, two)
        assert seen == [one.wait_context]

    def test_resumption(self) -> None:
        server_settings = server_context(ticket_count=2)
        sessions: list[Any] = []
        for expected in (False, True):
            half, other = bio_pair()
            one = SSL(client_context(sessions=SessionCache()), half, server_side=False, server_hostname="localhost")
            if sessions:
                one.set_session(sessions[0])
            two = SSL(server_settings, other, server_side=True)
            handshake(one, two)
            with pytest.raises(WantRead):
                one.read()
            assert one.session_reused is two.session_reused is expected
            assert one.session is not None
            sessions.append(one.session)
            one.shutdown()
            one.close()
