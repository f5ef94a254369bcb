"""Contract C and D: asynchronous operations of a connection, through the pages' own names (SSL_waiting_for_async(3) and
SSL_set_async_callback(3)). Where we differ on purpose (full duplex, legal closing, late callbacks) the test says so.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from caesura import openssl as o
from caesura.bio import bio_pair
from caesura.context import Context, Identity, Method
from caesura.engines import DelayEngine, Operation, ThreadEngine, Work
from caesura.errors import OperationFailed, UsageError
from caesura.jobs import AsyncStatus, current_job, pause_job, start_job
from caesura.sslobject import SSL
from tests.support.pki import pki
from tests.support.ssl_pair import (
    PausingKey,
    client,
    connected,
    handshake,
    identity,
    pair,
    pausing_server,
    reason,
    server,
    server_context,
    small_pool,
    wants,
)

RECORDS = (Operation.SEAL_RECORD, Operation.OPEN_RECORD)


def paused(key: PausingKey | None = None, **settings: Any) -> tuple[SSL, SSL]:
    """A client, and a server whose handshake has just paused in a signature."""
    one, two = pair(server_settings=pausing_server(key, **settings))
    assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
    return one, two


def held(**settings: Any) -> tuple[SSL, SSL, DelayEngine]:
    """A client, and a server whose signature waits in an engine until the test lets it go."""
    engine = DelayEngine(None, operations=[Operation.SIGN])
    one, two = pair(server_settings={"async_mode": True, "engine": engine, **settings})
    assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ
    assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
    return one, two, engine


def slow_records() -> tuple[SSL, SSL, DelayEngine]:
    """A connected pair; the server's records wait in an engine until the test lets them go."""
    engine = DelayEngine(None, operations=RECORDS)
    one, two = pair(server_settings={"async_mode": True, "engine": engine})

    def go_on(_side: SSL, _code: int) -> None:
        engine.release(10)

    handshake(one, two, between=go_on)
    return one, two, engine


class TestInspection:
    def test_C1_waiting_is_true_exactly_while_work_is_paused(self) -> None:
        one, two = pair(server_settings=pausing_server(PausingKey(pauses=3)))
        assert o.SSL_waiting_for_async(two) == 0
        seen = []

        def check(side: SSL, code: int) -> None:
            seen.append(code)
            assert o.SSL_waiting_for_async(side) == (code == o.SSL_ERROR_WANT_ASYNC)

        handshake(one, two, between=check)
        assert seen.count(o.SSL_ERROR_WANT_ASYNC) == 3
        assert o.SSL_waiting_for_async(one) == o.SSL_waiting_for_async(two) == 0

    def test_C1_waiting_is_false_after_no_jobs(self) -> None:
        one, two = pair(server_settings={"async_mode": True})
        o.SSL_do_handshake(one)
        with small_pool(1):
            other = start_job(pause_job)
            assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC_JOB
            assert o.SSL_waiting_for_async(two) == 0
            other.resume()

    def test_C2_the_lists_exist_from_the_first_asynchronous_operation_on(self) -> None:
        one, two = pair(server_settings=pausing_server())
        o.SSL_do_handshake(one)
        assert o.SSL_get_all_async_fds(two) == (0, None)
        assert o.SSL_get_changed_async_fds(two) == (0, None, None)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        assert o.SSL_get_all_async_fds(two)[0] == o.SSL_get_changed_async_fds(two)[0] == 1
        handshake(one, two)
        assert o.SSL_get_all_async_fds(two) == (1, [])
        assert o.SSL_get_changed_async_fds(two)[0] == 1
        assert o.SSL_get_all_async_fds(one) == (0, None)  # the client was never in asynchronous mode

    def test_C3_asking_twice_gives_the_same(self) -> None:
        key = PausingKey()
        _, two = paused(key)
        for _ in range(2):
            assert o.SSL_get_all_async_fds(two) == (1, key.open)
            assert o.SSL_get_changed_async_fds(two) == (1, key.open, [])

    def test_C4_the_baseline_moves_when_the_operation_is_resumed(self) -> None:
        key = PausingKey(pauses=2)
        one, two = paused(key)
        first = list(key.open)
        assert o.SSL_get_changed_async_fds(two) == (1, first, [])
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        second = list(key.open)
        assert o.SSL_get_changed_async_fds(two) == (1, second, first)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_READ
        assert o.SSL_get_changed_async_fds(two) == (1, [], second)
        handshake(one, two)

    def test_C5_without_asynchronous_mode_a_call_waits_for_its_work(self) -> None:
        key = PausingKey(pauses=3)
        one, two = pair(server_settings=pausing_server(key, async_mode=False))
        codes = set[int]()
        handshake(one, two, between=lambda _side, code: codes.add(code))
        assert key.signatures == 1
        assert codes == {o.SSL_ERROR_WANT_READ}

    def test_C5_the_mode_does_no_harm_where_nothing_pauses(self) -> None:
        one, two = pair(client_settings={"async_mode": True}, server_settings={"async_mode": True})
        codes = set[int]()
        handshake(one, two, between=lambda _side, code: codes.add(code))
        assert codes == {o.SSL_ERROR_WANT_READ}

    def test_C5_read_write_and_shutdown_pause_too(self) -> None:
        one, two, engine = slow_records()
        assert wants(two, o.SSL_write(two, b"to the client")) == o.SSL_ERROR_WANT_ASYNC
        engine.release()
        assert o.SSL_write(two, b"to the client") == 13
        assert o.SSL_read(one, 100) == (13, b"to the client")

        o.SSL_write(one, b"to the server")
        ret, _ = o.SSL_read(two, 100)
        assert wants(two, ret) == o.SSL_ERROR_WANT_ASYNC
        engine.release()
        assert o.SSL_read(two, 100) == (13, b"to the server")

        assert wants(two, o.SSL_shutdown(two)) == o.SSL_ERROR_WANT_ASYNC
        engine.release()
        assert o.SSL_shutdown(two) == 0
        ret, _ = o.SSL_read(one, 100)
        assert wants(one, ret) == o.SSL_ERROR_ZERO_RETURN

    def test_C6_the_mode_is_set_on_a_context_or_on_a_connection(self) -> None:
        context = server_context()
        before = SSL(context)
        assert o.SSL_CTX_get_mode(context) == o.SSL_get_mode(before) == 0
        assert o.SSL_CTX_set_mode(context, o.SSL_MODE_ASYNC) == o.SSL_MODE_ASYNC
        after = SSL(context)
        assert (o.SSL_get_mode(before), o.SSL_get_mode(after)) == (0, o.SSL_MODE_ASYNC)
        assert o.SSL_set_mode(before, o.SSL_MODE_ASYNC) == o.SSL_MODE_ASYNC
        assert o.SSL_clear_mode(after, o.SSL_MODE_ASYNC) == 0
        assert o.SSL_CTX_get_mode(context) == o.SSL_MODE_ASYNC
        assert o.SSL_CTX_set_mode(context, 0) == o.SSL_MODE_ASYNC
        assert o.SSL_CTX_clear_mode(context, o.SSL_MODE_ASYNC) == 0

    def test_C6_the_mode_of_a_connection_counts(self) -> None:
        one, two = pair(server_settings=pausing_server(async_mode=False))
        o.SSL_set_mode(two, o.SSL_MODE_ASYNC)
        o.SSL_do_handshake(one)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC

    def test_C7_a_pause_is_minus_one_and_want_async(self) -> None:
        one, two = pair(server_settings=pausing_server())
        o.SSL_do_handshake(one)
        assert o.SSL_do_handshake(two) == -1
        assert o.SSL_get_error(two, -1) == o.SSL_ERROR_WANT_ASYNC == 9
        assert o.SSL_want(two) == o.SSL_ASYNC_PAUSED
        assert (o.SSL_want_async(two), o.SSL_want_read(two), o.SSL_want_nothing(two)) == (1, 0, 0)
        handshake(one, two)
        assert o.SSL_want_async(two) == 0

    def test_C8_no_job_is_want_async_job_and_damages_nothing(self) -> None:
        one, two = pair(server_settings={"async_mode": True})
        o.SSL_do_handshake(one)
        with small_pool(1):
            other = start_job(pause_job)
            for _ in range(2):
                assert o.SSL_do_handshake(two) == -1
                assert o.SSL_get_error(two, -1) == o.SSL_ERROR_WANT_ASYNC_JOB == 10
                assert (o.SSL_want(two), o.SSL_want_async_job(two)) == (o.SSL_ASYNC_NO_JOBS, 1)
            other.resume()
            handshake(one, two)

    def test_C8_no_job_for_a_record(self) -> None:
        engine = DelayEngine(0, operations=RECORDS)
        one, two = connected(server_settings={"async_mode": False, "engine": engine})
        assert o.SSL_write(one, b"first") == 5
        assert o.SSL_write(one, b"second") == 6
        with small_pool(1):
            other = start_job(pause_job)
            ret, _ = o.SSL_read(two, 5)
            assert wants(two, ret) == o.SSL_ERROR_WANT_ASYNC_JOB
            assert wants(two, o.SSL_write(two, b"answer")) == o.SSL_ERROR_WANT_ASYNC_JOB
            other.resume()
        assert o.SSL_read(two, 5) == (5, b"first")
        assert o.SSL_read(two, 6) == (6, b"second")
        assert o.SSL_write(two, b"answer") == 6
        assert o.SSL_read(one, 100) == (6, b"answer")

    def test_C9_an_operation_that_fails_is_an_ssl_error(self) -> None:
        engine = DelayEngine(0, operations=[Operation.SIGN], fail=OSError("the device is gone"))
        one, two = pair(server_settings={"async_mode": True, "engine": engine})
        o.SSL_do_handshake(one)
        ret = o.SSL_do_handshake(two)
        while o.SSL_get_error(two, ret) == o.SSL_ERROR_WANT_ASYNC:
            ret = o.SSL_do_handshake(two)
        assert ret == -1
        assert o.SSL_get_error(two, ret) == o.SSL_ERROR_SSL
        error = o.SSL_get_last_error(two)
        assert isinstance(error, OperationFailed)
        assert str(error.__cause__) == "the device is gone"
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_SSL
        assert "internal_error" in reason(one)

    def test_C10_another_call_never_takes_the_paused_ones_result(self) -> None:
        """OpenSSL resumes the paused job from whatever call comes and returns that job's result as this call's own."""
        one, two, engine = held()
        for _ in range(2):
            assert o.SSL_read(two, 100) == (-1, b"")
            assert o.SSL_get_error(two, -1) == o.SSL_ERROR_WANT_ASYNC
            assert wants(two, o.SSL_write(two, b"not taken yet")) == o.SSL_ERROR_WANT_ASYNC
            assert wants(two, o.SSL_shutdown(two)) == o.SSL_ERROR_SSL
        engine.release()
        ret, _ = o.SSL_read(two, 100)  # finishes the signature, and then waits for the client
        assert wants(two, ret) == o.SSL_ERROR_WANT_READ
        handshake(one, two)
        assert o.SSL_write(two, b"the only write") == 14
        assert o.SSL_read(one, 100) == (14, b"the only write")

    def test_C10_a_paused_write_is_finished_by_the_same_bytes_or_none(self) -> None:
        one, two, engine = slow_records()
        assert wants(two, o.SSL_write(two, b"first")) == o.SSL_ERROR_WANT_ASYNC
        assert wants(two, o.SSL_write(two, b"other")) == o.SSL_ERROR_SSL
        assert "a write of 5 bytes is not finished" in reason(two)
        assert wants(two, o.SSL_write(two, b"first")) == o.SSL_ERROR_WANT_ASYNC
        engine.release()
        assert o.SSL_write(two, b"") == 5
        assert o.SSL_read(one, 100) == (5, b"first")
        assert wants(two, o.SSL_write(two, b"other")) == o.SSL_ERROR_WANT_ASYNC
        engine.release()
        assert o.SSL_write(two, b"other") == 5
        assert o.SSL_read(one, 100) == (5, b"other")

    def test_C11_a_read_and_a_write_may_be_paused_at_once(self) -> None:
        """OpenSSL has one slot per connection; here the two directions wait separately."""
        one, two, engine = slow_records()
        assert o.SSL_write(one, b"to the server") == 13
        assert wants(two, o.SSL_write(two, b"to the client")) == o.SSL_ERROR_WANT_ASYNC
        ret, _ = o.SSL_read(two, 100)
        assert wants(two, ret) == o.SSL_ERROR_WANT_ASYNC
        assert {work.operation for work in engine.waiting} == set(RECORDS)
        engine.release(2)
        assert o.SSL_read(two, 100) == (13, b"to the server")
        assert o.SSL_read(one, 100) == (13, b"to the client")
        assert o.SSL_write(two, b"") == 13
        assert o.SSL_waiting_for_async(two) == 0

    def test_C12_pauses_and_other_waits_alternate_in_one_handshake(self) -> None:
        engines = DelayEngine(None), DelayEngine(None)
        sides = pair(
            client_settings={"async_mode": True, "engine": engines[0]},
            server_settings={"async_mode": True, "engine": engines[1], "ticket_count": 2},
        )
        codes: list[int] = []

        def between(side: SSL, code: int) -> None:
            codes.append(code)
            engines[sides.index(side)].release()

        handshake(*sides, between=between)
        assert codes.count(o.SSL_ERROR_WANT_ASYNC) >= 5
        first, last = (f(i for i, code in enumerate(codes) if code == o.SSL_ERROR_WANT_READ) for f in (min, max))
        assert o.SSL_ERROR_WANT_ASYNC in codes[first:last]

    def test_C13_waiting_for_the_peer_holds_no_job(self) -> None:
        with small_pool(1):
            one, two = pair(server_settings={"async_mode": True})
            assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_READ
            assert start_job(lambda: "the only job is free").result()
            handshake(one, two)

    def test_C14_the_mode_is_one_of_quic_too(self) -> None:
        """OpenSSL ignores it there. How a QUIC connection pauses is in tests/quic."""
        assert Context(Method.QUIC, alpn="echo", async_mode=True).async_mode

    def test_C15_freeing_cancels_the_paused_job(self) -> None:
        """In OpenSSL the job's stack and its place in the pool are lost, and nothing in it is unwound."""
        key = PausingKey()
        with small_pool(1):
            _, two = paused(key)
            descriptors = list(key.open)
            o.SSL_free(two)
            assert key.unwound == 1
            assert key.cleaned == descriptors
            assert start_job(lambda: "its place is free").result()
        assert o.SSL_waiting_for_async(two) == 0
        o.SSL_free(two)
        assert key.cleaned == descriptors

    def test_C15_freeing_tells_the_engine_to_drop_the_work(self) -> None:
        _, two, engine = held()
        assert len(engine.waiting) == 1
        o.SSL_free(two)
        assert engine.waiting == []
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_SSL
        assert "closed" in reason(two)

    def test_C16_clearing_cancels_and_starts_over(self) -> None:
        """In OpenSSL the job stays, and its next resume crashes."""
        key = PausingKey()
        _, two = paused(key)
        assert o.SSL_clear(two) == 1
        assert key.unwound == 1
        assert o.SSL_waiting_for_async(two) == 0
        half, other = bio_pair()
        o.SSL_set_bio(two, half, half)
        one = client(other)
        handshake(one, two)
        assert key.signatures == 2
        assert o.SSL_write(two, b"again") == 5
        assert o.SSL_read(one, 100) == (5, b"again")


class Device:
    """A key in a device that refuses the first submission and calls the wait context's callback by the page's rules."""

    schemes = property(lambda self: identity().key.schemes)

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.ready = False
        self.finish: Any = None  # what the device's interrupt calls
        self.returned: list[object] = []

    def sign(self, scheme: Any, message: bytes) -> bytes:
        job = current_job()
        assert job is not None
        context = job.wait_context
        assert context is not None
        found = context.get_callback()
        assert found is not None
        callback, arg = found
        while self.refusals:
            self.refusals -= 1
            context.set_status(AsyncStatus.EAGAIN)
            self.returned.append(callback(arg))
            pause_job()
        context.set_status(AsyncStatus.OK)
        self.finish = lambda: self.returned.append(callback(arg))
        while not self.ready:
            pause_job()
        signature = identity().key.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


def device_settings(device: Device, **settings: Any) -> dict[str, Any]:
    return {"identity": Identity.load(pki().ec.chain_pem, device), "async_mode": True, **settings}


class Calls(list[tuple[SSL, object]]):
    """A callback that remembers."""

    def __init__(self, answer: object = None) -> None:
        super().__init__()
        self.answer = answer

    def __call__(self, ssl: SSL, arg: object) -> object:
        self.append((ssl, arg))
        return self.answer


class TestCallback:
    def test_D1_all_setters_say_one_and_need_a_connection(self) -> None:
        context, ssl, callback = server_context(), server(), Calls()
        assert o.SSL_CTX_set_async_callback(context, callback) == 1
        assert o.SSL_CTX_set_async_callback_arg(context, "arg") == 1
        assert o.SSL_set_async_callback(ssl, callback) == 1
        assert o.SSL_set_async_callback_arg(ssl, "arg") == 1
        assert o.SSL_set_async_callback(None, callback) == 0
        assert o.SSL_set_async_callback_arg(None, "arg") == 0

    def test_D2_a_connection_copies_what_its_context_says(self) -> None:
        old, new = Calls(), Calls()
        engine = DelayEngine(None, operations=[Operation.SIGN])
        context = server_context(async_mode=True, engine=engine)
        o.SSL_CTX_set_async_callback(context, old)
        o.SSL_CTX_set_async_callback_arg(context, "old")
        half, other = bio_pair()
        two = SSL(context, half, server_side=True)
        o.SSL_CTX_set_async_callback(context, new)
        o.SSL_CTX_set_async_callback_arg(context, "new")
        one = client(other)
        o.SSL_do_handshake(one)
        o.SSL_do_handshake(two)
        engine.release()
        assert old == [(two, "old")]
        assert new == []

    def test_D3_a_callback_that_is_set_late_is_honoured(self) -> None:
        """OpenSSL looks for a callback once, at the first asynchronous operation."""
        one, two, engine = held()
        callback = Calls()
        o.SSL_set_async_callback(two, callback)
        assert callback == []
        engine.release()
        assert callback == [(two, None)]
        handshake(one, two)

    def test_D3_a_callback_that_is_set_after_the_end_hears_of_it_at_once(self) -> None:
        _, two, engine = held()
        engine.release()
        callback = Calls()
        o.SSL_set_async_callback(two, callback)
        assert callback == [(two, None)]

    def test_D4_the_latest_callback_counts(self) -> None:
        first, second = Calls(), Calls()
        _, two, engine = held(async_callback=first)
        o.SSL_set_async_callback(two, second)
        engine.release()
        assert (first, second) == ([], [(two, None)])

    def test_D4_without_it_a_descriptor_says_so_again(self) -> None:
        """Replaced by NULL, OpenSSL calls address zero."""
        callback = Calls()
        engine = DelayEngine(None, operations=[Operation.SIGN])
        one, two = pair(server_settings={"async_mode": True, "engine": engine, "async_callback": callback})
        o.SSL_set_async_callback(two, None)
        o.SSL_do_handshake(one)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        assert len(o.SSL_get_all_async_fds(two)[1] or ()) == 1
        engine.release()
        assert callback == []
        handshake(one, two)

    def test_D5_the_argument_is_looked_up_when_the_callback_is_called(self) -> None:
        callback = Calls()
        _, two, engine = held(async_callback=callback, async_callback_arg="early")
        o.SSL_set_async_callback_arg(two, "late")
        engine.release()
        assert callback == [(two, "late")]

    def test_D6_the_callback_gets_the_connection_and_its_answer_goes_back(self) -> None:
        device, callback = Device(), Calls(answer=42)
        one, two = pair(
            server_settings=device_settings(device, async_callback=callback, async_callback_arg="arg"),
        )
        o.SSL_do_handshake(one)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        device.finish()
        assert callback == [(two, "arg")]
        assert device.returned == [42]

    def test_D7_the_callback_runs_where_the_work_ends(self) -> None:
        threads: list[int] = []
        called = threading.Event()

        def callback(_ssl: SSL, _arg: object) -> None:
            threads.append(threading.get_ident())
            called.set()

        with ThreadEngine(1, operations=[Operation.SIGN]) as engine:
            one, two = pair(server_settings={"async_mode": True, "engine": engine, "async_callback": callback})
            o.SSL_do_handshake(one)
            assert wants(two, o.SSL_do_handshake(two)) in (o.SSL_ERROR_WANT_ASYNC, o.SSL_ERROR_WANT_READ)
            assert called.wait(30)
            handshake(one, two)
        assert threading.get_ident() not in threads

    def test_D7_the_callback_may_come_before_the_call_has_returned_and_must_not_call_back(self) -> None:
        refused: list[str] = []

        def callback(ssl: SSL, _arg: object) -> None:
            assert o.SSL_waiting_for_async(ssl) in (0, 1)
            with pytest.raises(UsageError) as caught:
                ssl.do_handshake()
            refused.append(str(caught.value))

        one, two = pair(server_settings=device_settings(Device(refusals=1), async_callback=callback))
        o.SSL_do_handshake(one)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        assert len(refused) == 1
        assert "in use" in refused[0]

    def test_D8_the_status_is_unsupported_until_somebody_sets_it(self) -> None:
        key = PausingKey()
        one, two = pair(server_settings=pausing_server(key))
        assert o.SSL_get_async_status(two) == (0, None)
        o.SSL_do_handshake(one)
        o.SSL_do_handshake(two)
        assert o.SSL_get_async_status(two) == (1, o.ASYNC_STATUS_UNSUPPORTED)
        assert two.wait_context is not None
        o.ASYNC_WAIT_CTX_set_status(two.wait_context, 17)
        assert o.SSL_get_async_status(two) == (1, 17)

    def test_D9_the_pages_nine_steps(self) -> None:
        device, callback = Device(refusals=1), Calls()
        one, two = pair(server_settings=device_settings(device, async_mode=False))
        o.SSL_set_async_callback(two, callback)  # 1
        o.SSL_set_async_callback_arg(two, "arg")
        o.SSL_set_mode(two, o.SSL_MODE_ASYNC)  # 2
        o.SSL_do_handshake(one)
        ret = o.SSL_do_handshake(two)  # 3: and the engine's submission is refused (4, 5)
        assert callback == [(two, "arg")]
        assert wants(two, ret) == o.SSL_ERROR_WANT_ASYNC
        assert o.SSL_get_async_status(two) == (1, o.ASYNC_STATUS_EAGAIN)
        ret = o.SSL_do_handshake(two)  # again, as the status asks: now it is taken, and pauses (6)
        assert wants(two, ret) == o.SSL_ERROR_WANT_ASYNC
        assert o.SSL_get_async_status(two) == (1, o.ASYNC_STATUS_OK)
        assert len(callback) == 1
        device.ready = True
        device.finish()  # 7: the completion calls back
        assert callback == [(two, "arg")] * 2
        handshake(one, two)  # 8, 9

    def test_D9_an_engine_that_refuses(self) -> None:
        callback = Calls()
        engine = DelayEngine(None, operations=[Operation.SIGN], refuse=1)
        one, two = pair(server_settings={"async_mode": True, "engine": engine, "async_callback": callback})
        o.SSL_do_handshake(one)
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        assert callback == [(two, None)]
        assert o.SSL_get_async_status(two) == (1, o.ASYNC_STATUS_EAGAIN)
        assert engine.waiting == []
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_WANT_ASYNC
        assert o.SSL_get_async_status(two) == (1, o.ASYNC_STATUS_OK)
        works: list[Work[Any]] = engine.waiting
        assert [work.operation for work in works] == [Operation.SIGN]
        engine.release()
        assert len(callback) == 2
        handshake(one, two)
