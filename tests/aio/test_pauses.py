"""Operations that pause while the loop goes on."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from caesura import aio, jobs
from caesura.context import ClientHelloInfo, Context, PeerChain, Verify
from caesura.crypto.identity import Identity
from caesura.engines import HANDSHAKE_OPERATIONS, DelayEngine, Operation, Refused, ThreadEngine, Work
from caesura.errors import AlertDescription, OperationFailed, OperationTimeout, PeerAlert
from caesura.jobs import AsyncStatus, Completion, Pending, start_job
from caesura.wire.registries import SignatureScheme
from tests.aio.support import (
    HOST,
    ByHand,
    Echo,
    Recorder,
    Wire,
    client_context,
    close,
    connect,
    identity,
    port_of,
    protocols,
    server_context,
    serving,
    trust,
    until,
    virtual_time,
)
from tests.support.pki import pki

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("settled")]

SIGNING = frozenset({Operation.SIGN})
RECORDS = frozenset({Operation.SEAL_RECORD, Operation.OPEN_RECORD})


async def talk(port: int, context: Context | None = None) -> None:
    """Connect, have something echoed, close."""
    reader, writer = await connect(port, context)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    await close(writer)


class Key:
    """A private key that lives elsewhere; how it signs is up to its kind."""

    def __init__(self) -> None:
        self.local = identity().key
        self.schemes = self.local.schemes
        self.public_key = pki().ec.key.public_key()

    def finish(self, scheme: SignatureScheme, message: bytes) -> bytes:
        signature = self.local.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature

    def identity(self) -> Identity:
        return Identity.load(pki().ec.chain_pem, self)


# --- engines ---------------------------------------------------------------------------------------------------------


async def test_every_operation_pauses_on_both_sides() -> None:
    client = client_context(engine=DelayEngine(0.0), identity=identity(pki().client))
    server = server_context(engine=DelayEngine(0.0), verify=Verify.REQUIRED, trust=trust())
    async with serving(context=server) as port:
        await asyncio.gather(*(talk(port, client) for _ in range(5)))


async def test_delays_are_timers_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("wait", "waitcontext"):
        monkeypatch.setattr(sys.modules[f"caesura.jobs.{module}"], "call_later", None)  # the thread's
    async with serving(context=server_context(engine=DelayEngine(0.0, operations=SIGNING))) as port:
        await talk(port)


async def test_the_loop_goes_on_while_a_handshake_waits() -> None:
    engine = DelayEngine(None, operations=SIGNING)
    server = server_context(engine=engine)
    async with serving(context=server) as port:
        waiting = asyncio.create_task(talk(port))
        await until(lambda: engine.waiting)
        assert engine.waiting[0].operation is Operation.SIGN
        server.engine = DelayEngine(0.0)
        await talk(port)  # those that come later are not held up
        assert not waiting.done()
        engine.release()
        await waiting
        assert not engine.waiting


class Descriptor(Key):
    """Its jobs wait until one descriptor, shared by all, is readable; an engine reads it when it has work for all."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.writing = os.pipe()
        self.ready = False
        self.paused = 0
        self.resumed = 0

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        job = jobs.current_job()
        assert job is not None
        context = job.wait_context
        assert context is not None
        context.set_wait_fd(self, self.reading)
        self.paused += 1
        try:
            while not self.ready:
                jobs.pause_job()
                self.resumed += 1
        finally:
            self.paused -= 1
            context.clear_fd(self)
        return self.finish(scheme, message)

    def answer(self) -> None:
        self.ready = True
        os.write(self.writing, b"!")

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


@pytest.fixture
def descriptor() -> Iterator[Descriptor]:
    key = Descriptor()
    yield key
    key.close()


async def test_connections_share_a_descriptor(descriptor: Descriptor) -> None:
    server = server_context(identity=descriptor.identity(), verification_cache=None)
    async with serving(context=server) as port:
        tasks = [asyncio.create_task(talk(port)) for _ in range(3)]
        await until(lambda: descriptor.paused == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert descriptor.resumed == 0  # nobody is tried before the descriptor says so
        descriptor.answer()
        await asyncio.gather(*tasks)
        assert descriptor.paused == 0
        # Nobody watches it any more: watching it ourselves is possible, and stopping to do so is news.
        loop = asyncio.get_running_loop()
        assert not loop.remove_reader(descriptor.reading)


async def test_a_descriptor_outlives_the_job_that_named_it(descriptor: Descriptor) -> None:
    """As the wait context does (ASYNC_WAIT_CTX_new(3)): a later job of the connection may wait for it again."""
    counted = Counter(descriptor.reading)
    server = server_context(
        identity=counted.identity(), verify=Verify.REQUIRED, trust=trust(), verify_peer=counted.judge, ticket_count=0
    )
    client = client_context(identity=identity(pki().client))
    async with serving(context=server) as port:
        task = asyncio.create_task(talk(port, client))
        for pauses in (1, 2):
            await until(lambda pauses=pauses: counted.paused == pauses)
            for _ in range(500):
                await asyncio.sleep(0)
            assert counted.resumed == pauses - 1
            descriptor.answer()
            await until(lambda pauses=pauses: counted.resumed == pauses)
            os.read(descriptor.reading, 1)
        await task


class Counter(Key):
    """Names its descriptor once, and pauses once in each of two operations."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self.paused = self.resumed = 0

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        job = jobs.current_job()
        assert job is not None
        assert job.wait_context is not None
        job.wait_context.set_wait_fd(self, self.fd)
        self.pause()
        return self.finish(scheme, message)

    def judge(self, chain: PeerChain) -> None:
        self.pause()

    def pause(self) -> None:
        self.paused += 1
        jobs.pause_job()
        self.resumed += 1


async def test_a_descriptor_is_let_go_with_the_connection(descriptor: Descriptor) -> None:
    server = server_context(identity=descriptor.identity())
    async with serving(context=server) as port:
        tasks = [asyncio.create_task(talk(port)) for _ in range(2)]
        await until(lambda: descriptor.paused == 2)
        tasks[0].cancel()
        await until(lambda: descriptor.paused == 1)
        descriptor.answer()
        await tasks[1]
        assert tasks[0].cancelled()
        assert not asyncio.get_running_loop().remove_reader(descriptor.reading)


class Stubborn(Key):
    """Pauses a few times without saying what it waits for."""

    pauses = 4

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        for _ in range(self.pauses):
            jobs.pause_job()
        return self.finish(scheme, message)


@virtual_time
async def test_a_job_that_says_nothing_is_tried_again() -> None:
    async with serving(context=server_context(identity=Stubborn().identity())) as port:
        await talk(port)


class Promising(Key):
    """Promises to call back, and keeps its word."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = False
        self.resumed = 0

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        job = jobs.current_job()
        assert job is not None
        context = job.wait_context
        assert context is not None

        def complete() -> None:
            self.ready = True
            context.notify()

        context.set_status(AsyncStatus.OK)
        asyncio.get_running_loop().call_later(0.4, complete)
        while not self.ready:
            jobs.pause_job()
            self.resumed += 1
        return self.finish(scheme, message)


@virtual_time
async def test_a_job_that_promises_a_callback_is_left_alone_until_then() -> None:
    key = Promising()
    async with serving(context=server_context(identity=key.identity())) as port:
        await talk(port)
    assert key.resumed == 1


class Mixed(Stubborn):
    """Judges clients in jobs that say nothing."""

    def judge(self, chain: PeerChain) -> None:
        for _ in range(self.pauses):
            jobs.pause_job()


async def test_a_promise_that_was_kept_is_no_promise_for_the_next_job() -> None:
    key = Mixed()
    with ThreadEngine(1, operations=SIGNING) as engine:  # it calls back
        server = server_context(
            identity=key.identity(), engine=engine, verify=Verify.REQUIRED, trust=trust(), verify_peer=key.judge
        )
        async with serving(context=server) as port:
            await talk(port, client_context(identity=identity(pki().client)))


class File(Stubborn):
    """Names a descriptor that no loop can watch."""

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        job = jobs.current_job()
        assert job is not None
        assert job.wait_context is not None
        with open(__file__, "rb") as plain:
            job.wait_context.set_wait_fd(self, plain.fileno())
            try:
                return super().sign(scheme, message)
            finally:
                job.wait_context.clear_fd(self)


@virtual_time
async def test_a_descriptor_that_cannot_be_watched_is_no_obstacle() -> None:
    async with serving(context=server_context(identity=File().identity())) as port:
        await talk(port)


class Closed:
    """An engine that refuses until it is opened, and counts how often it was asked."""

    operations = SIGNING

    def __init__(self) -> None:
        self.asked = 0
        self.open = False

    def start(self, work: Work[Any]) -> Pending[Any]:
        return self.offer(work) or Refused(work, self.offer)

    def offer(self, work: Work[Any]) -> Pending[Any] | None:
        self.asked += 1
        if self.open:
            return start_job(work.run, wait_context=work.wait_context)
        assert work.wait_context is not None
        work.wait_context.notify(AsyncStatus.EAGAIN)
        return None


async def test_refused_work_is_offered_again_and_not_all_the_time() -> None:
    engine = Closed()
    async with serving(context=server_context(engine=engine)) as port:
        task = asyncio.create_task(talk(port))
        await until(lambda: engine.asked)
        for _ in range(1000):
            await asyncio.sleep(0)
        spent = engine.asked
        assert spent < 50  # a thousand turns of the loop, but only as many offers as milliseconds have passed, or fewer
        engine.open = True
        await task


async def test_more_work_than_the_threads_take() -> None:
    with ThreadEngine(1, queue=0) as engine:
        async with serving(context=server_context(engine=engine)) as port:
            await asyncio.gather(*(talk(port) for _ in range(8)))


async def test_signatures_are_made_on_other_threads() -> None:
    class Elsewhere(Key):
        threads: ClassVar[set[int]] = set()

        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            self.threads.add(threading.get_ident())
            return self.finish(scheme, message)

    key = Elsewhere()
    with ThreadEngine(2, operations=SIGNING) as engine:
        async with serving(context=server_context(identity=key.identity(), engine=engine)) as port:
            await asyncio.gather(*(talk(port) for _ in range(5)))
    assert key.threads
    assert threading.get_ident() not in key.threads


@pytest.fixture
def one_job() -> Iterator[None]:
    """This thread may have one job at a time."""
    jobs.cleanup_thread()
    jobs.init_thread(1, 0)
    yield
    jobs.cleanup_thread()


class Held(Key):
    """Signs when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Completion[None]] = []

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        held: Completion[None] = Completion()
        self.waiting.append(held)
        jobs.wait(held)
        return self.finish(scheme, message)


async def test_an_exhausted_pool_is_waited_for(one_job: None) -> None:
    key = Held()
    async with serving(context=server_context(identity=key.identity())) as port:
        tasks = [asyncio.create_task(talk(port)) for _ in range(3)]  # the clients share the one job of this thread
        for count in (1, 2, 3):
            await until(lambda count=count: len(key.waiting) == count)
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(key.waiting) == count
            key.waiting[-1].set_result(None)
        await asyncio.gather(*tasks)


# --- what awaits -----------------------------------------------------------------------------------------------------


async def test_an_identity_is_chosen_by_a_coroutine() -> None:
    asked: list[ClientHelloInfo] = []

    async def select(hello: ClientHelloInfo) -> Identity:
        asked.append(hello)
        await asyncio.sleep(0)
        return identity(pki().p384)

    async with serving(context=server_context(select_identity=select)) as port:
        _, writer = await connect(port)
        assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "p384"),),)
        await close(writer)
    assert asked[0].server_name == "localhost"


async def test_a_peer_is_judged_by_a_coroutine() -> None:
    async def judge(chain: PeerChain) -> bool:
        await asyncio.sleep(0)
        return chain.server_hostname != "example.test"

    context = client_context(verify_peer=judge)
    async with serving() as port:
        await talk(port, context)
        with pytest.raises(OSError, match="verify_peer"):
            await connect(port, context, server_hostname="example.test")


class Remote(Key):
    """A key behind a coroutine."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        self.seen.append(TENANT.get())
        await asyncio.sleep(0)
        self.seen.append(asyncio.current_task())
        return self.finish(scheme, message)


TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody")


async def test_a_key_signs_in_a_coroutine() -> None:
    key = Remote()
    async with serving(context=server_context(identity=key.identity())) as port:
        await asyncio.gather(*(talk(port) for _ in range(3)))
    assert len(key.seen) == 6


async def test_a_coroutine_on_an_engines_thread_runs_on_the_loop() -> None:
    key = Remote()
    with ThreadEngine(1, operations=SIGNING) as engine:
        server = server_context(verify=Verify.REQUIRED, trust=trust())
        client = client_context(identity=Identity.load(pki().ec.chain_pem, key), engine=engine)
        async with serving(context=server) as port:
            TENANT.set("somebody")
            await talk(port, client)
    assert key.seen[0] == "somebody"
    assert isinstance(key.seen[1], asyncio.Task)


async def test_a_coroutine_that_raises_fails_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    async def select(hello: ClientHelloInfo) -> Identity:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async with serving(context=server_context(select_identity=select)) as port:
        with pytest.raises(PeerAlert) as caught:
            await connect(port)
    assert caught.value.description is AlertDescription.internal_error
    (record,) = [each for each in caplog.records if each.name == "caesura"]
    assert record.levelname == "WARNING"
    assert "ZeroDivisionError" in record.getMessage()


async def test_a_coroutine_goes_when_its_connection_goes() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def judge(chain: PeerChain) -> bool:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return True

    async with serving() as port:
        task = asyncio.create_task(connect(port, client_context(verify_peer=judge)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()


async def test_a_coroutine_on_a_thread_goes_too() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def judge(chain: PeerChain) -> bool:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return True

    with ThreadEngine(1) as engine:
        async with serving() as port:
            task = asyncio.create_task(connect(port, client_context(verify_peer=judge, engine=engine)))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await ended.wait()


# --- context variables -----------------------------------------------------------------------------------------------


class Inheriting(Recorder):
    """Notes the context variable in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.tenants: set[str] = set()

    def note(self, call: str) -> None:
        self.tenants.add(TENANT.get())
        super().note(call)


async def test_context_variables_are_those_of_whoever_connected() -> None:
    with ThreadEngine(1) as engine:
        TENANT.set("somebody")
        async with protocols(Echo, Inheriting, client=client_context(engine=engine)) as (_, ours):
            ours.transport.write(b"data")
            await ours.told("data")
            ours.transport.close()
            await ours.told("lost")
            assert ours.tenants == {"somebody"}


# --- deadlines and failures ------------------------------------------------------------------------------------------


async def test_an_operation_past_its_deadline_fails_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    engine = DelayEngine(None, operations=SIGNING)
    async with serving(context=server_context(engine=engine, deadline=0.01)) as port:
        with pytest.raises(PeerAlert) as caught:
            await connect(port)
        assert not engine.waiting
    assert caught.value.description is AlertDescription.internal_error
    assert "SIGN" in caplog.text


async def test_a_clients_operation_past_its_deadline_is_its_error() -> None:
    engine = DelayEngine(None)
    async with serving() as port:
        with pytest.raises(OperationTimeout):
            await connect(port, client_context(engine=engine, deadline=0.01))
    assert not engine.waiting


async def test_an_engine_that_fails() -> None:
    engine = DelayEngine(0.0, fail=OSError("the token was pulled out"), operations={Operation.VERIFY_SIGNATURE})
    async with serving() as port:
        with pytest.raises(OperationFailed) as caught:
            await connect(port, client_context(engine=engine))
    assert isinstance(caught.value.__cause__, OSError)


# --- records ---------------------------------------------------------------------------------------------------------


async def test_records_go_through_the_engine_in_order() -> None:
    data = bytes(range(256)) * 400
    engine = DelayEngine(0.0, operations=HANDSHAKE_OPERATIONS | RECORDS)
    async with protocols(Echo, client=client_context(engine=engine), server=server_context(engine=engine)) as (_, ours):
        for start in range(0, len(data), 10_000):
            ours.transport.write(data[start : start + 10_000])
        await ours.has(data)


async def test_what_waits_for_a_seal_holds_the_application() -> None:
    engine = DelayEngine(None, operations={Operation.SEAL_RECORD})
    wire, transport = await _release_all(
        engine, Wire.to_server(application := Recorder(), context=server_context(engine=engine))
    )
    transport.set_write_buffer_limits(high=20_000, low=1000)
    transport.write(bytes(60_000))
    assert application.calls == ["pause"]
    assert transport.get_write_buffer_size() >= 60_000 - 16_384  # one record is in the engine's hands
    await _release_all(engine, wire.arrived(60_000))
    assert application.calls == ["pause", "resume"]
    assert wire.peer.read() == bytes(60_000)
    transport.abort()
    await application.told("lost")


async def test_close_waits_for_what_is_being_sealed() -> None:
    engine = DelayEngine(None, operations={Operation.SEAL_RECORD})
    wire, transport = await _release_all(
        engine, Wire.to_server(application := Recorder(), context=server_context(engine=engine))
    )
    transport.write(b"everything")
    transport.close()
    wire.peer.shutdown()
    wire.exchange()
    assert not wire.closing
    await _release_all(engine, application.told("lost"))
    wire.exchange()
    assert wire.peer.read() == b"everything"
    assert wire.peer.close_notify_received
    assert application.error is None


async def test_a_peer_that_ends_its_direction_still_gets_what_is_being_sealed() -> None:
    engine = DelayEngine(None, operations={Operation.SEAL_RECORD})
    wire, transport = await _release_all(
        engine, Wire.to_server(application := Recorder(), context=server_context(engine=engine))
    )
    transport.write(b"everything")
    transport.close()
    assert wire.protocol.eof_received()
    assert not wire.closing
    await _release_all(engine, application.told("lost"))
    wire.exchange()
    assert wire.peer.read() == b"everything"
    assert application.error is None


async def test_a_client_that_says_all_and_ends_is_served_after_the_pause() -> None:
    """Certificate, Finished, data, close_notify and the end of the stream arrive while the server still verifies."""
    engine = DelayEngine(None, operations={Operation.VERIFY_SIGNATURE})
    server = server_context(engine=engine, verify=Verify.REQUIRED, trust=trust(), ticket_count=0)
    answered: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered.put_nowait(await reader.read())
        await close(writer)

    async with serving(handler, server) as port:
        peer = await (await ByHand.connect(port, client_context(identity=identity(pki().client)))).handshake()
        peer.connection.write(b"all of it")
        peer.connection.shutdown()
        await peer.send()
        peer.writer.write_eof()
        await until(lambda: engine.waiting)
        for _ in range(20):
            await asyncio.sleep(0)
        engine.release()
        assert await answered.get() == b"all of it"
        await peer.close()


async def test_nothing_is_read_while_too_much_waits_to_be_opened() -> None:
    engine = DelayEngine(None, operations={Operation.OPEN_RECORD})
    wire, transport = await _release_all(
        engine, Wire.to_server(application := Recorder(), context=server_context(engine=engine))
    )
    wire.calls.clear()
    wire.peer.write(bytes(100_000))
    wire.exchange()
    assert wire.calls == ["pause_reading"]
    assert transport.is_reading()  # as far as the application is concerned
    await _release_all(engine, application.has(bytes(100_000)))
    assert wire.calls == ["pause_reading", "resume_reading"]
    transport.abort()
    await application.told("lost")


async def _release_all(engine: DelayEngine, waiting: Any) -> Any:
    """Let everything go on that comes to wait, until something has been waited for."""
    task = asyncio.ensure_future(waiting)
    async with asyncio.timeout(20):
        while not task.done():
            engine.release(len(engine.waiting))
            await asyncio.sleep(0)
    return task.result()


# --- the whole of it -------------------------------------------------------------------------------------------------


async def test_a_server_closes_with_handshakes_paused_in_every_way(descriptor: Descriptor) -> None:
    held = DelayEngine(None, operations=SIGNING)

    async def never(hello: ClientHelloInfo) -> Identity:
        await asyncio.Event().wait()
        raise AssertionError

    before = asyncio.all_tasks()
    contexts = [
        server_context(engine=held),
        server_context(engine=Closed()),
        server_context(identity=descriptor.identity()),
        server_context(identity=Stubborn().identity()),
        server_context(select_identity=never),
    ]
    contexts[3].settings.identity[0].key.pauses = 10**9
    servers = [await aio.create_server(Recorder, HOST, 0, context=context) for context in contexts]
    clients = [asyncio.create_task(connect(port_of(server))) for server in servers]
    await until(lambda: held.waiting and descriptor.paused and len(asyncio.all_tasks()) > len(before) + len(clients))
    for server in servers:
        server.close()
        await server.wait_closed()
    assert not held.waiting
    assert not descriptor.paused
    results = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(each, OSError) for each in results), results
    assert asyncio.all_tasks() == before
