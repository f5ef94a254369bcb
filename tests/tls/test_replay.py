"""The memory of what early data was taken: at most once, in bounds, whatever the clock does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.replay import ReplayCache


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_once() -> None:
    cache = ReplayCache()
    assert cache.first_use(key(1), 100.0, 110.0)
    assert not cache.first_use(key(1), 100.0, 110.0)
    assert not cache.first_use(key(1), 110.0, 120.0)  # until its time is over, not only before
    assert cache.first_use(key(2), 110.0, 120.0)
    assert len(cache) == 2


def test_forgotten_behind_its_time() -> None:
    cache = ReplayCache()
    for number in range(10):
        assert cache.first_use(key(number), 100.0, 110.0 + number)
    assert cache.first_use(key(100), 114.5, 124.5)
    assert len(cache) == 6
    assert cache.first_use(key(1), 114.5, 124.5)  # another hello with the same ticket: not a copy of the first


def test_full() -> None:
    """Nothing gives way: a flood of fresh tickets must not make room for a copy."""
    cache = ReplayCache(size=3)
    assert [cache.first_use(key(number), 100.0, 110.0) for number in range(5)] == [True] * 3 + [False] * 2
    assert not cache.first_use(key(0), 100.0, 110.0)
    assert cache.first_use(key(9), 110.5, 120.5)
    assert len(cache) == 1


def test_clock_that_goes_back() -> None:
    """What has been forgotten counts as used."""
    cache = ReplayCache()
    assert cache.first_use(key(1), 100.0, 110.0)
    assert cache.first_use(key(2), 1000.0, 1010.0)
    assert not cache.first_use(key(1), 100.0, 110.0)
    assert not cache.first_use(key(3), 100.0, 109.0)
    assert cache.first_use(key(3), 101.0, 111.0)


def test_zone_of_each_memory() -> None:
    zones = {ReplayCache().zone for _ in range(10)}
    assert len(zones) == 10
    cache = ReplayCache()
    assert cache.zone == cache.zone


def test_zone_of_a_forked_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing of what its siblings take from now on, so it is another zone, with an empty memory."""
    cache = ReplayCache()
    before = cache.zone
    assert cache.first_use(key(1), 100.0, 110.0)
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    assert cache.zone != before
    assert len(cache) == 0
    assert cache.zone == cache.zone


@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100), st.floats(0, 20)), max_size=60),
    st.integers(1, 10),
)
def test_never_twice_within_its_time(uses: list[tuple[int, float, float]], size: int) -> None:
    """Whatever the order of times: a use until T is followed by no other of the same T, nor by any before T."""
    cache = ReplayCache(size=size)
    taken: dict[int, float] = {}
    for number, now, window in uses:
        until = now + window
        if cache.first_use(key(number), now, until):
            assert number not in taken or taken[number] < max(now, until)
            assert taken.get(number) != until
            taken[number] = until
        assert len(cache) <= size


def test_many_threads_at_once() -> None:
    cache = ReplayCache(size=100_000)
    barrier = threading.Barrier(8)
    taken: list[int] = []

    def use() -> None:
        barrier.wait()
        taken.extend(
            number for number in range(2000) if cache.first_use(key(number), float(number // 100), number // 100 + 3.0)
        )

    in_threads([use] * 8)
    assert sorted(taken) == list(range(2000))


def in_threads(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
