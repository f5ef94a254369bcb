"""Contract B through the pages' own names: codes and tuples of ASYNC_start_job(3) and its family."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from caesura import openssl as o
from caesura.bio import bio_pair
from caesura.sslobject import SSL
from tests.support.ssl_pair import PausingKey, client, handshake, pausing_server, server, small_pool


def pause_once(args: Any) -> Any:
    o.ASYNC_pause_job()
    return args


@pytest.fixture(autouse=True)
def a_pool_of_its_own() -> Iterator[None]:
    assert o.ASYNC_init_thread(0, 0) == 1
    yield
    o.ASYNC_cleanup_thread()


# --- starting and resuming


def test_B1_the_function_runs_at_once_on_the_calling_thread() -> None:
    ran: list[object] = []
    o.ASYNC_start_job(None, None, lambda args: ran.append((args, threading.get_ident())), "args")
    assert ran == [("args", threading.get_ident())]


def test_B2_null_arguments_are_null() -> None:
    assert o.ASYNC_start_job(None, None, lambda args: args is None, None) == (o.ASYNC_FINISH, None, True)


def test_B3_the_end_is_finish_with_the_value_and_no_handle() -> None:
    assert o.ASYNC_start_job(None, None, len, b"four") == (o.ASYNC_FINISH, None, 4)


def test_B4_a_pause_has_a_handle_and_no_value() -> None:
    code, job, value = o.ASYNC_start_job(None, None, pause_once, 1)
    assert (code, value) == (o.ASYNC_PAUSE, None)
    assert job is not None
    job.cancel()


def test_B5_a_resume_goes_on_after_the_pause_and_ignores_the_rest() -> None:
    _, job, _ = o.ASYNC_start_job(None, None, pause_once, "first")
    other = o.ASYNC_WAIT_CTX_new()
    assert o.ASYNC_start_job(job, other, lambda _: "not called", "second") == (o.ASYNC_FINISH, None, "first")


def test_B6_the_end_cuts_the_link_to_the_context() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    _, job, _ = o.ASYNC_start_job(None, ctx, pause_once, None)
    assert job is not None
    assert o.ASYNC_get_wait_ctx(job) is ctx
    o.ASYNC_start_job(job, None, None, None)
    assert o.ASYNC_get_wait_ctx(job) is None


def test_B7_resuming_on_another_thread_is_an_error_and_harms_nothing() -> None:
    """OpenSSL does not check."""
    _, job, _ = o.ASYNC_start_job(None, None, pause_once, "value")
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(o.ASYNC_start_job(job, None, None, None)))
    thread.start()
    thread.join()
    assert results == [(o.ASYNC_ERR, job, None)]
    assert o.ASYNC_start_job(job, None, None, None) == (o.ASYNC_FINISH, None, "value")


def test_B8_many_may_be_paused() -> None:
    started = [o.ASYNC_start_job(None, None, pause_once, i) for i in range(20)]
    assert {code for code, _, _ in started} == {o.ASYNC_PAUSE}
    assert [o.ASYNC_start_job(job, None, None, None)[2] for _, job, _ in reversed(started)] == list(range(19, -1, -1))


def test_B9_what_cannot_be_started_is_an_error() -> None:
    assert o.ASYNC_start_job(None, None, None, None) == (o.ASYNC_ERR, None, None)


def test_B9_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        o.ASYNC_start_job(None, None, lambda _: 1 / 0, None)


def test_B10_context_variables_are_the_jobs_own() -> None:
    variable = ContextVar("variable", default="default")

    def run(_args: object) -> tuple[str, str]:
        before = variable.get()
        variable.set("the job's")
        o.ASYNC_pause_job()
        return before, variable.get()

    variable.set("the starter's")
    _, job, _ = o.ASYNC_start_job(None, None, run, None)
    assert variable.get() == "the starter's"
    variable.set("changed")
    assert o.ASYNC_start_job(job, None, None, None)[2] == ("the starter's", "the job's")
    assert variable.get() == "changed"


# --- pausing


def test_B11_outside_a_job_a_pause_does_nothing() -> None:
    assert o.ASYNC_pause_job() == 1


def test_B12_a_pause_gives_control_back_and_returns_one() -> None:
    order: list[object] = []

    def run(_args: object) -> None:
        order.append("in")
        order.append(o.ASYNC_pause_job())

    _, job, _ = o.ASYNC_start_job(None, None, run, None)
    order.append("out")
    o.ASYNC_start_job(job, None, None, None)
    assert order == ["in", "out", 1]


def test_B13_a_blocked_pause_returns_at_once() -> None:
    def run(_args: object) -> int:
        o.ASYNC_block_pause()
        return o.ASYNC_pause_job()

    assert o.ASYNC_start_job(None, None, run, None) == (o.ASYNC_FINISH, None, 1)


def test_B14_blocks_nest_and_unblocking_once_too_often_is_ignored() -> None:
    o.ASYNC_block_pause()
    o.ASYNC_unblock_pause()
    order: list[str] = []

    def run(_args: object) -> None:
        for step in (o.ASYNC_unblock_pause, o.ASYNC_block_pause, o.ASYNC_block_pause, o.ASYNC_unblock_pause):
            step()
        o.ASYNC_pause_job()
        order.append("still blocked")
        o.ASYNC_unblock_pause()
        o.ASYNC_pause_job()
        order.append("resumed")

    code, job, _ = o.ASYNC_start_job(None, None, run, None)
    assert (code, order) == (o.ASYNC_PAUSE, ["still blocked"])
    assert o.ASYNC_start_job(job, None, None, None)[0] == o.ASYNC_FINISH


def test_B15_a_block_ends_with_its_job() -> None:
    """In OpenSSL it stays with the thread, and no later job there can pause."""
    o.ASYNC_start_job(None, None, lambda _: o.ASYNC_block_pause(), None)
    code, job, _ = o.ASYNC_start_job(None, None, pause_once, None)
    assert code == o.ASYNC_PAUSE
    o.ASYNC_start_job(job, None, None, None)


def test_B16_the_current_job() -> None:
    assert o.ASYNC_get_current_job() is None
    seen: list[object] = []

    def run(_args: object) -> None:
        seen.append(o.ASYNC_get_current_job())
        o.ASYNC_pause_job()
        seen.append(o.ASYNC_get_current_job())

    _, job, _ = o.ASYNC_start_job(None, None, run, None)
    assert o.ASYNC_get_current_job() is None
    o.ASYNC_start_job(job, None, None, None)
    assert seen == [job, job]


def test_B17_the_context_given_at_the_start() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()

    def run(_args: object) -> object:
        job = o.ASYNC_get_current_job()
        assert job is not None
        return o.ASYNC_get_wait_ctx(job)

    assert o.ASYNC_start_job(None, ctx, run, None)[2] is ctx


# --- nesting


def test_B18_an_ssl_call_inside_a_job_pauses_that_job() -> None:
    key = PausingKey(pauses=2)
    half, other = bio_pair()
    one, two = client(half), server(other, **pausing_server(key))
    o.SSL_do_handshake(one)
    ctx = o.ASYNC_WAIT_CTX_new()

    def run(ssl: SSL) -> tuple[int, int]:
        ret = o.SSL_do_handshake(ssl)
        return ret, o.SSL_get_error(ssl, ret)

    code, job, _ = o.ASYNC_start_job(None, ctx, run, two)
    for _ in range(2):
        assert code == o.ASYNC_PAUSE
        assert o.ASYNC_WAIT_CTX_get_all_fds(ctx) == (1, key.open)
        assert len(key.open) == 1
        code, job, value = o.ASYNC_start_job(job, None, None, None)
    assert (code, value) == (o.ASYNC_FINISH, (-1, o.SSL_ERROR_WANT_READ))
    handshake(one, two)


def test_B19_jobs_nest() -> None:
    """In OpenSSL this crashes."""

    def outer(_args: object) -> object:
        code, inner, _ = o.ASYNC_start_job(None, None, pause_once, "inner")
        assert code == o.ASYNC_PAUSE
        o.ASYNC_pause_job()
        return o.ASYNC_start_job(inner, None, None, None)

    code, job, _ = o.ASYNC_start_job(None, None, outer, None)
    assert code == o.ASYNC_PAUSE
    assert o.ASYNC_start_job(job, None, None, None) == (o.ASYNC_FINISH, None, (o.ASYNC_FINISH, None, "inner"))


# --- the pool


@pytest.mark.parametrize(("bounds", "code"), [((0, 0), 1), ((3, 0), 1), ((3, 3), 1), ((1, 2), 0), ((0, 1), 0)])
def test_B20_init_thread(bounds: tuple[int, int], code: int) -> None:
    assert o.ASYNC_init_thread(*bounds) == code


def test_B21_without_it_there_is_no_bound() -> None:
    results: list[int] = []

    def elsewhere() -> None:
        started = [o.ASYNC_start_job(None, None, pause_once, None) for _ in range(50)]
        results.extend(o.ASYNC_start_job(job, None, None, None)[0] for _, job, _ in started)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert results == [o.ASYNC_FINISH] * 50


def test_B22_an_exhausted_pool_has_no_jobs_until_one_finishes() -> None:
    with small_pool(1):
        _, job, _ = o.ASYNC_start_job(None, None, pause_once, None)
        assert o.ASYNC_start_job(None, None, pause_once, None) == (o.ASYNC_NO_JOBS, None, None)
        assert o.ASYNC_start_job(job, None, None, None)[0] == o.ASYNC_FINISH
        assert o.ASYNC_start_job(None, None, len, b"") == (o.ASYNC_FINISH, None, 0)


def test_B23_finished_jobs_are_used_again() -> None:
    with small_pool(1):
        for _ in range(3):
            assert o.ASYNC_start_job(None, None, len, b"") == (o.ASYNC_FINISH, None, 0)


def test_B24_pools_are_per_thread() -> None:
    with small_pool(1):
        _, job, _ = o.ASYNC_start_job(None, None, pause_once, None)
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(o.ASYNC_start_job(None, None, len, b"")))
        thread.start()
        thread.join()
        assert results == [(o.ASYNC_FINISH, None, 0)]
        o.ASYNC_start_job(job, None, None, None)


def test_B25_cleanup_leaves_paused_jobs_alone() -> None:
    """In OpenSSL they leak."""
    _, job, _ = o.ASYNC_start_job(None, None, pause_once, "value")
    o.ASYNC_cleanup_thread()
    assert o.ASYNC_start_job(job, None, None, None) == (o.ASYNC_FINISH, None, "value")


def test_B26_a_second_init_makes_a_new_pool() -> None:
    with small_pool(1):
        _, job, _ = o.ASYNC_start_job(None, None, pause_once, "value")
        assert o.ASYNC_init_thread(1, 1) == 1
        assert o.ASYNC_start_job(None, None, len, b"")[0] == o.ASYNC_FINISH
        assert o.ASYNC_start_job(job, None, None, None) == (o.ASYNC_FINISH, None, "value")


def test_B27_jobs_can_pause_here() -> None:
    assert o.ASYNC_is_capable() == 1


def test_B28_a_jobs_stack_is_as_deep_as_pythons() -> None:
    """OpenSSL's is 32 KiB from the heap without a guard page."""

    def deep(depth: int) -> int:
        if depth:
            return 1 + deep(depth - 1)
        o.ASYNC_pause_job()
        return 0

    code, job, _ = o.ASYNC_start_job(None, None, deep, 500)
    assert (code, *o.ASYNC_start_job(job, None, None, None)) == (o.ASYNC_PAUSE, o.ASYNC_FINISH, None, 500)
