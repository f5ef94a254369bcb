"""Contract A through the pages' own names: codes and tuples of ASYNC_WAIT_CTX_new(3) and its family."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from caesura import openssl as o
from caesura.jobs import Job, WaitContext

Cleanup = Callable[[WaitContext, object, int, Any], object]


class Key:
    """A key: any object."""


KEY, OTHER = Key(), Key()


class Log(list[tuple[object, ...]]):
    """A cleanup that remembers how it was called."""

    def __call__(self, *args: object) -> None:
        self.append(args)


def job_of(*legs: Callable[[WaitContext], object], ctx: WaitContext | None = None) -> tuple[WaitContext, Job[Any]]:
    """A job, paused after its first leg; each leg is given the context."""
    ctx = ctx or o.ASYNC_WAIT_CTX_new()

    def run(_args: object) -> None:
        for leg in legs:
            leg(ctx)
            o.ASYNC_pause_job()

    code, job, _ = o.ASYNC_start_job(None, ctx, run, None)
    assert code == o.ASYNC_PAUSE
    assert job is not None
    return ctx, job


def add(key: object, fd: int) -> Callable[[WaitContext], object]:
    return lambda ctx: o.ASYNC_WAIT_CTX_set_wait_fd(ctx, key, fd, None, None)


def clear(key: object) -> Callable[[WaitContext], object]:
    return lambda ctx: o.ASYNC_WAIT_CTX_clear_fd(ctx, key)


def both(*legs: Callable[[WaitContext], object]) -> Callable[[WaitContext], object]:
    return lambda ctx: [leg(ctx) for leg in legs]


def nothing(_ctx: WaitContext) -> None:
    pass


def resume(job: Job[Any]) -> int:
    return o.ASYNC_start_job(job, None, None, None)[0]


# --- lifecycle


def test_A1_a_new_context_is_empty() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    assert o.ASYNC_WAIT_CTX_get_all_fds(ctx) == (1, [])
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [], [])
    assert o.ASYNC_WAIT_CTX_get_callback(ctx) == (0, None, None)
    assert o.ASYNC_WAIT_CTX_get_status(ctx) == o.ASYNC_STATUS_UNSUPPORTED == 0


def test_A2_freeing_null_does_nothing() -> None:
    o.ASYNC_WAIT_CTX_free(None)


def test_A3_free_runs_every_cleanup_once() -> None:
    ctx, log = o.ASYNC_WAIT_CTX_new(), Log()
    o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 11, "data", log)
    o.ASYNC_WAIT_CTX_set_wait_fd(ctx, OTHER, 12, None, None)
    o.ASYNC_WAIT_CTX_free(ctx)
    o.ASYNC_WAIT_CTX_free(ctx)
    assert log == [(ctx, KEY, 11, "data")]
    assert o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 11, None, None) == 0


def test_A4_the_newest_first() -> None:
    ctx, log = o.ASYNC_WAIT_CTX_new(), Log()
    for fd in (11, 12, 13):
        o.ASYNC_WAIT_CTX_set_wait_fd(ctx, Key(), fd, None, log)
    o.ASYNC_WAIT_CTX_free(ctx)
    assert [args[2] for args in log] == [13, 12, 11]


def test_A5_not_of_what_was_cleared() -> None:
    log = Log()
    ctx, job = job_of(lambda ctx: o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 11, None, log), nothing)
    resume(job)
    o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY)
    o.ASYNC_WAIT_CTX_free(ctx)
    assert log == []
    job.cancel()


def test_A6_a_context_serves_one_job_after_the_other_and_several_at_once() -> None:
    ctx, first = job_of(add(KEY, 11))
    _, second = job_of(add(OTHER, 12), ctx=ctx)
    assert o.ASYNC_WAIT_CTX_get_all_fds(ctx) == (1, [12, 11])
    assert resume(first) == resume(second) == o.ASYNC_FINISH


def test_A7_a_context_outlives_its_jobs() -> None:
    ctx, job = job_of(add(KEY, 11))
    assert resume(job) == o.ASYNC_FINISH
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, KEY) == (1, 11, None)


# --- set, get, clear


def test_A8_A9_the_newest_entry_of_a_key_counts() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    assert o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 11, "old", None) == 1
    assert o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 12, "new", None) == 1
    assert o.ASYNC_WAIT_CTX_get_all_fds(ctx) == (1, [12, 11])
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, KEY) == (1, 12, "new")


def test_A10_an_unknown_key_leaves_the_outputs_untouched() -> None:
    ctx, job = job_of(add(KEY, 11), nothing)
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, OTHER) == (0, None, None)
    resume(job)
    o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY)
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, KEY) == (0, None, None)
    job.cancel()


def test_A11_keys_compare_by_identity() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    key, equal = str(4711), str(4711)
    assert key == equal
    o.ASYNC_WAIT_CTX_set_wait_fd(ctx, key, 11, None, None)
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, equal)[0] == 0
    assert o.ASYNC_WAIT_CTX_clear_fd(ctx, equal) == 0
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, key)[0] == 1


def test_A12_A17_clearing_what_is_not_there_is_zero() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    assert o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY) == 0
    o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 11, None, None)
    assert o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY) == 1
    assert o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY) == 0


def test_A13_clearing_calls_no_cleanup() -> None:
    ctx, log = o.ASYNC_WAIT_CTX_new(), Log()
    o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, 11, None, log)
    o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY)
    assert log == []


def test_A14_A23_added_and_cleared_before_the_pause_was_never_there() -> None:
    ctx, job = job_of(both(add(KEY, 11), clear(KEY)))
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [], [])
    resume(job)


def test_A15_A19_A21_an_older_entry_is_reported_as_deleted() -> None:
    ctx, job = job_of(add(KEY, 11), both(clear(KEY), add(OTHER, 12)), nothing)
    assert resume(job) == o.ASYNC_PAUSE
    assert o.ASYNC_WAIT_CTX_get_all_fds(ctx) == (1, [12])
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [12], [11])
    assert resume(job) == o.ASYNC_PAUSE
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [], [])
    job.cancel()


def test_A16_clearing_a_key_twice_given_brings_the_older_one_back() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    add(KEY, 11)(ctx)
    add(KEY, 12)(ctx)
    assert o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY) == 1
    assert o.ASYNC_WAIT_CTX_get_fd(ctx, KEY) == (1, 11, None)


# --- lists


def test_A18_A20_asking_for_the_count_first_is_harmless() -> None:
    ctx, job = job_of(both(add(KEY, 11), add(OTHER, 12)))
    for _ in range(2):
        code, fds = o.ASYNC_WAIT_CTX_get_all_fds(ctx)
        assert (code, len(fds)) == (1, 2)
    assert fds == [12, 11]
    for _ in range(2):
        assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [12, 11], [])
    resume(job)


def test_A22_the_lists_are_reset_by_the_resume() -> None:
    ctx, job = job_of(add(KEY, 11), nothing)
    for _ in range(2):
        assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [11], [])
    resume(job)
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [], [])
    job.cancel()


def test_A24_the_same_number_again_is_in_both_lists() -> None:
    ctx, job = job_of(add(KEY, 11), both(clear(KEY), add(KEY, 11)))
    resume(job)
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [11], [11])
    job.cancel()


def test_A25_added_after_the_last_pause_is_still_added_at_the_end_and_at_the_next_pause() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()

    def run(_args: object) -> None:
        o.ASYNC_pause_job()
        add(KEY, 11)(ctx)

    code, job, _ = o.ASYNC_start_job(None, ctx, run, None)
    assert job is not None
    assert (code, resume(job)) == (o.ASYNC_PAUSE, o.ASYNC_FINISH)
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [11], [])
    _, second = job_of(nothing, ctx=ctx)
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [11], [])
    resume(second)


def test_A26_what_was_reported_as_added_is_reported_as_deleted() -> None:
    """In OpenSSL it disappears silently."""
    ctx, job = job_of(add(KEY, 11))
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [11], [])
    o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY)
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [], [11])
    resume(job)


def test_A27_at_the_first_pause_everything_is_added() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    add(KEY, 11)(ctx)
    _, job = job_of(add(OTHER, 12), ctx=ctx)
    assert o.ASYNC_WAIT_CTX_get_changed_fds(ctx) == (1, [12, 11], [])
    resume(job)


# --- callback and status


def test_A28_A29_the_callback() -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    assert o.ASYNC_WAIT_CTX_set_callback(ctx, repr, "arg") == 1
    assert o.ASYNC_WAIT_CTX_get_callback(ctx) == (1, repr, "arg")
    assert o.ASYNC_WAIT_CTX_set_callback(ctx, None, None) == 1
    assert o.ASYNC_WAIT_CTX_get_callback(ctx) == (0, None, None)
    assert o.ASYNC_WAIT_CTX_set_callback(None, repr, "arg") == 0


@pytest.mark.parametrize("status", [0, 1, 2, 3, -1, 4711])
def test_A30_any_integer_is_a_status(status: int) -> None:
    ctx = o.ASYNC_WAIT_CTX_new()
    assert o.ASYNC_WAIT_CTX_set_status(ctx, status) == 1
    assert o.ASYNC_WAIT_CTX_get_status(ctx) == status


def test_A31_a_job_neither_calls_nor_sets_by_itself() -> None:
    calls: list[object] = []
    ctx = o.ASYNC_WAIT_CTX_new()
    o.ASYNC_WAIT_CTX_set_callback(ctx, calls.append, "arg")
    _, job = job_of(add(KEY, 11), ctx=ctx)
    assert resume(job) == o.ASYNC_FINISH
    assert calls == []
    assert o.ASYNC_WAIT_CTX_get_status(ctx) == o.ASYNC_STATUS_UNSUPPORTED


def test_A32_A33_A34_asynchronous_code_prefers_the_callback() -> None:
    """The status says OK before the pause; the callback comes from within the starting call, and only takes a note."""
    ready: list[object] = []
    ctx = o.ASYNC_WAIT_CTX_new()
    o.ASYNC_WAIT_CTX_set_callback(ctx, ready.append, "retry")

    def run(_args: object) -> str:
        found, callback, arg = o.ASYNC_WAIT_CTX_get_callback(ctx)
        assert found == 1
        assert callback is not None
        o.ASYNC_WAIT_CTX_set_status(ctx, o.ASYNC_STATUS_OK)
        callback(arg)
        o.ASYNC_pause_job()
        return "done"

    code, job, _ = o.ASYNC_start_job(None, ctx, run, None)
    assert (code, ready) == (o.ASYNC_PAUSE, ["retry"])
    assert o.ASYNC_WAIT_CTX_get_status(ctx) == o.ASYNC_STATUS_OK
    assert o.ASYNC_start_job(job, None, None, None) == (o.ASYNC_FINISH, None, "done")


def test_A35_ready_is_readable_and_the_asynchronous_code_drains() -> None:
    reader, writer = os.pipe()
    ctx = o.ASYNC_WAIT_CTX_new()

    def run(_args: object) -> bytes:
        o.ASYNC_WAIT_CTX_set_wait_fd(ctx, KEY, reader, None, None)
        o.ASYNC_pause_job()
        o.ASYNC_WAIT_CTX_clear_fd(ctx, KEY)
        return os.read(reader, 1)

    try:
        _, job, _ = o.ASYNC_start_job(None, ctx, run, None)
        os.write(writer, b"!")
        assert o.ASYNC_start_job(job, None, None, None) == (o.ASYNC_FINISH, None, b"!")
    finally:
        os.close(reader)
        os.close(writer)


def test_A36_a_pause_without_a_descriptor_is_legal() -> None:
    ctx, job = job_of(nothing)
    assert o.ASYNC_WAIT_CTX_get_all_fds(ctx) == (1, [])
    assert resume(job) == o.ASYNC_FINISH
