"""The transport: what `asyncio.Transport` promises, over TLS."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from typing import Any

import pytest

from caesura import aio
from caesura.context import Context, Verify
from caesura.errors import BadRecordMAC, PeerAlert, UnexpectedEOF
from caesura.tls import TLSConnection
from tests.aio.support import (
    HOST,
    ByHand,
    Echo,
    Recorder,
    Wire,
    alive,
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


class Filler(Recorder, asyncio.BufferedProtocol):
    """A BufferedProtocol with a small buffer of its own, which it offers again and again."""

    def __init__(self, buffer: Any = None) -> None:
        super().__init__()
        self.buffer = bytearray(1000) if buffer is None else buffer
        self.hints: list[int] = []
        self.hold_at = -1

    def get_buffer(self, sizehint: int) -> Any:
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += bytes(self.buffer[:nbytes])
        if self.hold_at >= 0 and len(self.received) >= self.hold_at:
            self.transport.pause_reading()
        self.note("data")


def assert_in_order(calls: list[str], *expected: str) -> None:
    """The calls, each kind once in a row."""
    squeezed = [call for call, before in zip(calls, ["", *calls], strict=False) if call != before]
    assert squeezed == list(expected)


async def test_a_life() -> None:
    async with protocols(Echo) as (theirs, ours):
        assert isinstance(ours.transport, asyncio.Transport)
        ours.transport.write(b"hello")
        await ours.has(b"hello")
        ours.transport.close()
        assert ours.transport.is_closing()
        await ours.told("lost")
        await theirs.told("lost")
        assert_in_order(ours.calls, "made", "data", "lost")
        assert_in_order(theirs.calls, "made", "data", "eof", "lost")
        assert ours.error is None
        assert theirs.error is None


async def test_what_is_written_before_close_arrives() -> None:
    data = bytes(3_000_000)
    async with protocols() as (theirs, ours):
        ours.transport.write(data)
        ours.transport.close()
        await theirs.told("eof")
        assert theirs.received == data
        await ours.told("lost")
        assert ours.error is None


async def test_both_may_close_at_once() -> None:
    async with protocols() as (theirs, ours):
        theirs.transport.close()
        ours.transport.close()
        await ours.told("lost")
        await theirs.told("lost")
        assert (ours.error, theirs.error) == (None, None)
        assert_in_order(ours.calls, "made", "lost")


async def test_close_twice_and_abort_afterwards() -> None:
    async with protocols() as (_, ours):
        ours.transport.close()
        ours.transport.close()
        ours.transport.abort()
        ours.transport.abort()
        await ours.told("lost")
        assert ours.error is None


@pytest.mark.parametrize("pieces", [1, 2])
async def test_after_close_no_data_is_told(pieces: int) -> None:
    wire, transport = await Wire.to_server(application := Recorder())
    transport.close()
    wire.peer.write(b"too ")
    if pieces == 2:
        wire.exchange()
    wire.peer.write(b"late")
    wire.peer.shutdown()
    wire.exchange()
    await application.told("lost")
    assert application.calls == ["lost"]


async def test_while_reading_is_paused_no_data_is_told() -> None:
    wire, transport = await Wire.to_server(application := Recorder())
    transport.pause_reading()
    wire.peer.write(b"later")  # it was on its way when the raw transport was told to pause
    wire.exchange()
    assert application.calls == []
    transport.resume_reading()
    await application.has(b"later")
    transport.abort()
    await application.told("lost")


async def test_abort_tells_the_peer_that_something_is_missing() -> None:
    async with protocols() as (theirs, ours):
        ours.transport.abort()
        await ours.told("lost")
        assert ours.error is None
        await theirs.told("lost")
        assert isinstance(theirs.error, UnexpectedEOF | ConnectionError)
        assert "eof" not in theirs.calls


async def test_either_direction_may_go_on_alone() -> None:
    async with protocols(lambda: Recorder(keep_open=True)) as (theirs, ours):
        ours.transport.write(b"question")
        ours.transport.write_eof()
        ours.transport.write_eof()
        await theirs.told("eof")
        assert not theirs.transport.is_closing()
        theirs.transport.write(b"answer ")
        await ours.has(b"answer ")
        theirs.transport.write(b"in parts")
        theirs.transport.close()
        await ours.has(b"answer in parts")
        await theirs.told("lost")
        await ours.told("lost")
        assert (ours.error, theirs.error) == (None, None)
        assert theirs.received == b"question"


async def test_a_peer_that_goes_after_its_close_notify_is_noticed_by_the_next_writes() -> None:
    async with protocols(lambda: Recorder(keep_open=True)) as (theirs, ours):
        ours.transport.write_eof()
        await theirs.told("eof")
        ours.transport.abort()
        await ours.told("lost")
        while "lost" not in theirs.calls:
            theirs.transport.write(b"anybody there?")
            await asyncio.sleep(0)
        assert isinstance(theirs.error, ConnectionError)


@virtual_time
async def test_nobody_waits_for_ever_for_the_peers_close_notify() -> None:
    async with protocols(lambda: Recorder(keep_open=True)) as (theirs, ours):
        ours.transport.write(b"all of it")
        ours.transport.close()
        await ours.told("lost")
        assert ours.error is None  # nothing was left to send
        await theirs.told("eof")
        assert theirs.received == b"all of it"


async def test_how_the_peer_goes_after_close_does_not_matter() -> None:
    wire, transport = await Wire.to_server(application := Recorder())
    transport.close()
    wire.protocol.connection_lost(ConnectionResetError())
    assert application.calls == ["lost"]
    assert application.error is None


@virtual_time
async def test_what_could_not_be_sent_in_time_is_an_error() -> None:
    async with protocols() as (theirs, ours):
        theirs.transport.pause_reading()
        ours.transport.write(bytes(20_000_000))
        ours.transport.close()
        await ours.told("lost")
        assert isinstance(ours.error, TimeoutError)


# --- writing ---------------------------------------------------------------------------------------------------------


async def test_writes_after_the_end_go_nowhere_and_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    async with protocols() as (_, ours):
        ours.transport.close()
        ours.transport.write(b"nobody hears this")
        await ours.told("lost")
        with caplog.at_level(logging.WARNING, "caesura"):
            for _ in range(3):
                ours.transport.write(b"nor this")
            assert not caplog.records
            ours.transport.write(b"and now there is a warning")
            assert caplog.records
        ours.transport.write_eof()
        ours.transport.close()
        ours.transport.abort()


async def test_writes_after_write_eof_are_refused() -> None:
    async with protocols(lambda: Recorder(keep_open=True)) as (_, ours):
        ours.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            ours.transport.write(b"more")


async def test_only_bytes_are_written() -> None:
    async with protocols() as (theirs, ours):
        with pytest.raises(TypeError):
            ours.transport.write("text")
        mutable = bytearray(b"a")
        ours.transport.write(mutable)
        mutable[:] = b"?"
        ours.transport.write(memoryview(b"b"))
        ours.transport.write(b"")
        ours.transport.writelines([b"c", b"d"])
        await theirs.has(b"abcd")


async def test_a_full_transport_holds_the_application() -> None:
    async with protocols() as (theirs, ours):
        ours.transport.set_write_buffer_limits(high=100_000, low=10_000)
        assert ours.transport.get_write_buffer_limits() == (10_000, 100_000)
        theirs.transport.pause_reading()
        written = 0
        while "pause" not in ours.calls:
            ours.transport.write(bytes(65_536))
            written += 65_536
        assert ours.transport.get_write_buffer_size() >= 100_000
        assert "resume" not in ours.calls
        theirs.transport.resume_reading()
        await ours.told("resume")
        await theirs.until(lambda: len(theirs.received) == written)
        assert ours.transport.get_write_buffer_size() == 0


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [(None, None, (16_384, 65_536)), (None, 100, (100, 400)), (400, None, (100, 400)), (0, None, (0, 0))],
)
async def test_write_limits_are_counted_as_asyncio_does(
    high: int | None, low: int | None, expected: tuple[int, int]
) -> None:
    async with protocols() as (_, ours):
        ours.transport.set_write_buffer_limits(high, low)
        assert ours.transport.get_write_buffer_limits() == expected


async def test_write_limits_that_make_no_sense_are_refused() -> None:
    async with protocols() as (_, ours):
        with pytest.raises(ValueError):
            ours.transport.set_write_buffer_limits(high=1, low=2)
        assert ours.transport.get_write_buffer_limits() == (16_384, 65_536)


class Answers(Recorder):
    """Answers one request with several writes."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        for piece in (b"head ", b"and ", b"body"):
            self.transport.write(piece)


async def test_the_writes_of_one_callback_are_one_write_of_the_socket() -> None:
    wire, transport = await Wire.to_server(application := Answers())
    application.transport = transport
    wire.peer.write(b"?")
    wire.exchange()
    assert len(wire.written) == 1
    wire.exchange()
    assert wire.peer.read() == b"head and body"
    assert transport.get_write_buffer_size() == 0
    transport.write(b"a callback that has returned ")
    transport.write(b"gathers nothing")
    assert len(wire.written) == 3
    transport.abort()
    await application.told("lost")


class Flood(Recorder):
    """Writes inside its callback until it is told to pause."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.set_write_buffer_limits(high=1000)
        while "pause" not in self.calls:
            self.transport.write(bytes(10_000))


async def test_a_callback_that_writes_much_is_told_to_pause_while_it_runs() -> None:
    async with protocols(Flood) as (theirs, ours):
        ours.transport.pause_reading()
        ours.transport.write(b"?")
        await theirs.told("pause")


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_reading_can_be_paused() -> None:
    async with protocols() as (theirs, ours):
        assert theirs.transport.is_reading()
        theirs.transport.pause_reading()
        theirs.transport.pause_reading()
        assert not theirs.transport.is_reading()
        ours.transport.write(b"wait")
        ours.transport.write_eof()
        for _ in range(20):
            await asyncio.sleep(0)
        assert theirs.calls == ["made"]
        theirs.transport.resume_reading()
        theirs.transport.resume_reading()
        assert theirs.calls == ["made"]  # not from within the call
        await theirs.told("eof")
        assert_in_order(theirs.calls, "made", "data", "eof", *theirs.calls[3:])
        assert theirs.received == b"wait"


class Pauses(Recorder):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()


async def test_the_end_waits_while_reading_is_paused() -> None:
    async with protocols(Pauses) as (theirs, ours):
        ours.transport.write(b"data and the end together")
        ours.transport.close()
        await theirs.told("data")
        for _ in range(20):
            await asyncio.sleep(0)
        assert "eof" not in theirs.calls
        theirs.transport.resume_reading()
        await theirs.told("eof")
        await ours.told("lost")


async def test_close_while_reading_is_paused() -> None:
    async with protocols(lambda: Recorder(keep_open=True)) as (theirs, ours):
        ours.transport.pause_reading()
        theirs.transport.write(bytes(1_000_000))
        ours.transport.close()
        await theirs.told("eof")
        theirs.transport.close()
        await ours.told("lost")
        assert ours.error is None


@pytest.mark.parametrize("buffer", [bytearray(1000), memoryview(bytearray(777)), bytearray(1)], ids=repr)
async def test_an_application_with_a_buffered_protocol(buffer: Any) -> None:
    data = bytes(range(250)) * 20
    async with protocols(lambda: Filler(buffer)) as (theirs, ours):
        ours.transport.write(data)
        await theirs.has(data)
        assert all(hint > 0 for hint in theirs.hints)
        assert len(bytes(buffer)) in (1000, 777, 1)


async def test_a_buffered_protocol_may_pause_in_the_middle() -> None:
    async with protocols(Filler) as (theirs, ours):
        theirs.hold_at = 2000
        ours.transport.write(bytes(5000))
        await theirs.until(lambda: len(theirs.received) >= 2000)
        assert len(theirs.received) == 2000
        theirs.hold_at = -1
        theirs.transport.resume_reading()
        await theirs.has(bytes(5000))


async def test_the_protocol_can_be_changed() -> None:
    async with protocols() as (theirs, ours):
        other = Recorder()
        ours.transport.write(b"one")
        await theirs.has(b"one")
        other.transport = theirs.transport
        theirs.transport.set_protocol(other)
        assert theirs.transport.get_protocol() is other
        ours.transport.write(b"two")
        await other.has(b"two")
        filler = Filler()
        filler.transport = theirs.transport
        theirs.transport.set_protocol(filler)
        ours.transport.write(b"three")
        await filler.has(b"three")
        theirs.transport.set_protocol(theirs)


# --- facts -----------------------------------------------------------------------------------------------------------


async def test_facts_of_the_connection() -> None:
    client = client_context(alpn=["h2", "http/1.1"])
    server = server_context(alpn=["http/1.1"])
    async with protocols(client=client, server=server) as (theirs, ours):
        info = ours.transport.get_extra_info
        assert info("peername") == theirs.transport.get_extra_info("sockname")
        assert isinstance(info("socket").fileno(), int)
        assert info("no such fact") is None
        assert info("no such fact", "default") == "default"
        assert info("sslcontext") is client
        assert theirs.transport.get_extra_info("sslcontext") is server
        assert info("compression") is None
        assert isinstance(info("caesura"), TLSConnection)
        assert info("cipher") == ("TLS_AES_128_GCM_SHA256", "TLSv1.3", 128)
        assert info("peercert")["subject"] == ((("commonName", "ec"),),)
        facts = info("ssl_object")
        assert facts.version() == "TLSv1.3"
        assert facts.cipher() == info("cipher")
        assert facts.group() == "x25519"
        assert facts.compression() is None
        assert facts.shared_ciphers() is None
        assert facts.selected_alpn_protocol() == "http/1.1"
        assert facts.server_hostname == "localhost"
        assert not facts.server_side
        assert facts.context is client
        assert not facts.session_reused
        assert facts.pending() == 0
        assert facts.getpeercert(binary_form=True) == pki().ec.der
        assert facts.getpeercert() == info("peercert")
        assert facts.get_unverified_chain() == list(pki().ec.chain)
        assert facts.get_verified_chain() == [*pki().ec.chain, pki().root.der]
        seen = theirs.transport.get_extra_info("ssl_object")
        assert seen.server_side
        assert seen.getpeercert() is None
        assert seen.get_unverified_chain() == seen.get_verified_chain() == []
        assert seen.server_hostname == "localhost"
        with pytest.raises(AttributeError):
            facts.read(1)


async def test_both_sides_have_the_same_channel_binding() -> None:
    async with protocols() as (theirs, ours):
        view, seen = (each.transport.get_extra_info("ssl_object") for each in (ours, theirs))
        assert len(view.get_channel_binding("tls-exporter")) == 32
        assert view.get_channel_binding() == seen.get_channel_binding()
        exported = ours.transport.get_extra_info("caesura").export_keying_material("EXPORTER-Channel-Binding", b"", 32)
        assert exported == view.get_channel_binding()
        with pytest.raises(ValueError, match="tls-unique"):
            view.get_channel_binding("tls-unique")


async def test_a_certificate_that_was_not_verified_is_described_by_nothing() -> None:
    async with protocols(client=client_context(verify=Verify.NONE)) as (_, ours):
        facts = ours.transport.get_extra_info("ssl_object")
        assert facts.getpeercert() == {}
        assert facts.getpeercert(True) == pki().ec.der
        assert facts.get_verified_chain() == []


async def test_a_clients_certificate_is_seen_by_the_server() -> None:
    server = server_context(verify=Verify.REQUIRED, trust=trust())
    client = client_context(identity=identity(pki().client))
    async with protocols(server=server, client=client) as (theirs, _):
        facts = theirs.transport.get_extra_info("ssl_object")
        assert facts.getpeercert()["subject"] == ((("commonName", "client"),),)
        assert facts.get_verified_chain()[0] == pki().client.der


async def test_facts_outlive_the_connection() -> None:
    async with protocols() as (theirs, ours):
        peername = ours.transport.get_extra_info("peername")
        ours.transport.close()
        await ours.told("lost")
        await theirs.told("lost")
        assert ours.transport.get_extra_info("peername") == peername
        assert ours.transport.get_extra_info("cipher") is not None
        assert ours.transport.get_write_buffer_size() == 0
        assert ours.transport.get_protocol() is None
        assert "lost" in repr(ours.transport)


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_forged_record_ends_the_connection() -> None:
    lost: asyncio.Queue[Any] = asyncio.Queue()

    def factory() -> Recorder:
        lost.put_nowait(recorder := Recorder())
        return recorder

    async with await aio.create_server(factory, HOST, 0, context=server_context(ticket_count=0)) as server:
        peer = await (await ByHand.connect(port_of(server))).handshake()
        peer.connection.write(b"good")
        good = peer.connection.data_to_send(0.0)
        peer.writer.write(good + good)  # the second time it is a replay
        recorder = await lost.get()
        await recorder.told("lost")
        assert recorder.received == b"good"
        assert isinstance(recorder.error, BadRecordMAC)
        await peer.finish()
        assert isinstance(peer.connection.error, PeerAlert)
        await peer.close()


@virtual_time
async def test_a_peer_that_ends_its_transport_while_we_close_is_not_waited_for() -> None:
    lost: asyncio.Queue[Recorder] = asyncio.Queue()

    def factory() -> Recorder:
        lost.put_nowait(recorder := Recorder())
        return recorder

    loop = asyncio.get_running_loop()
    async with await aio.create_server(factory, HOST, 0, context=server_context(ticket_count=0)) as server:
        peer = await (await ByHand.connect(port_of(server))).handshake()
        recorder = await lost.get()
        began = loop.time()
        recorder.transport.close()
        peer.writer.write_eof()
        await recorder.told("lost")
        assert loop.time() - began < 1
        assert recorder.error is None
        await peer.close()


async def test_a_connection_that_is_over_is_held_by_nobody() -> None:
    gc.collect()
    gc.disable()  # what holds itself would stay
    try:
        async with serving() as port:
            await close((await connect(port))[1])
            await until(lambda: not alive)
    finally:
        gc.enable()


async def test_an_answer_to_the_data_before_a_forged_record_is_nobodys_mistake() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    wire, transport = await Wire.to_server(application := Echo())
    application.transport = transport
    wire.peer.write(b"good")
    good = wire.peer.data_to_send(0.0)
    wire.feed(good + good)
    await application.told("lost")
    assert isinstance(application.error, BadRecordMAC)
    assert not reported


class Breaks(Recorder):
    """Raises in one of its callbacks."""

    def __init__(self, where: str) -> None:
        super().__init__(keep_open=True)
        self.where = where

    def note(self, call: str) -> None:
        super().note(call)
        if call == self.where:
            raise ZeroDivisionError(call)


@pytest.mark.parametrize("where", ["made", "data", "eof"])
async def test_an_application_that_raises_is_reported_and_dropped(where: str) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with protocols(lambda: Breaks(where)) as (theirs, ours):
        ours.transport.write(b"data")
        if where == "eof":
            ours.transport.write_eof()
        await theirs.told("lost")
        assert isinstance(theirs.error, ZeroDivisionError)
        await ours.told("lost")
    assert [type(each["exception"]) for each in reported] == [ZeroDivisionError]


async def test_a_factory_that_raises_is_the_callers_error() -> None:
    def factory() -> asyncio.Protocol:
        raise ZeroDivisionError

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with await aio.create_server(Recorder, HOST, 0, context=server_context()) as server:
        with pytest.raises(ZeroDivisionError):
            await aio.create_connection(
                factory, HOST, port_of(server), context=client_context(), server_hostname="localhost"
            )
    assert reported


# --- the loop's own arguments ----------------------------------------------------------------------------------------


async def test_a_socket_may_be_given() -> None:
    listener = socket.create_server((HOST, 0))
    async with await aio.create_server(Echo, sock=listener, context=server_context()) as server:
        with socket.create_connection((HOST, port_of(server))) as sock:
            sock.setblocking(False)
            transport, protocol = await aio.create_connection(
                Recorder, sock=sock.dup(), context=client_context(), server_hostname="localhost"
            )
            transport.write(b"echo")
            await protocol.has(b"echo")
            transport.close()
            await protocol.told("lost")


async def test_happy_eyeballs_is_the_loops_affair(anyio_backend: Any) -> None:
    if anyio_backend[1]:
        pytest.skip("uvloop does not know it")
    async with await aio.create_server(Echo, HOST, 0, context=server_context()) as server:
        transport, protocol = await aio.create_connection(
            Recorder, "localhost", port_of(server), context=client_context(), happy_eyeballs_delay=0.25
        )
        transport.close()
        await protocol.told("lost")


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
async def test_timeouts_are_more_than_nothing(name: str) -> None:
    arguments: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=name):
        await aio.create_connection(Recorder, HOST, 1, context=client_context(), **arguments)
    with pytest.raises(ValueError, match=name):
        await aio.create_server(Recorder, HOST, 0, context=server_context(), **arguments)


async def test_a_context_of_another_kind_is_refused() -> None:
    wrong: Any = object()
    with pytest.raises(ValueError, match="context"):
        await aio.create_connection(Recorder, HOST, 1, context=wrong)
    with pytest.raises(ValueError, match="identity"):
        await aio.create_server(Recorder, HOST, 0, context=Context())
