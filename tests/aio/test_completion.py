"""The way from a completion, on whatever thread, to its connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from caesura.aio.alarms import Bell
from caesura.aio.awaiting import Awaiter
from caesura.aio.completion import Waker, waker_of
from caesura.errors import OperationFailed
from caesura.jobs import JobCancelled

pytestmark = pytest.mark.anyio


class Loop:
    """Counts who calls, and calls back when it is told to."""

    def __init__(self) -> None:
        self.safe: list[Callable[[], object]] = []
        self.soon: list[Callable[[], object]] = []
        self.closed = False
        self.told: list[dict[str, Any]] = []

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.safe.append(callback)

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context)


class Connection:
    def __init__(self, loop: Loop, then: Callable[[], object] = lambda: None) -> None:
        self.loop = loop
        self.count = 0
        self.then = then

    def woken(self) -> None:
        self.count += 1
        self.then()


def in_another_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_many_completions_are_one_wake_up() -> None:
    loop, waker = Loop(), Waker()
    waker.belongs_to_this_thread()
    connections = [Connection(loop) for _ in range(100)]
    in_another_thread(lambda: [waker.completed(cast("Any", each)) for each in connections])
    assert (len(loop.safe), len(loop.soon)) == (1, 0)
    loop.safe.pop()()
    assert [each.count for each in connections] == [1] * 100
    waker.completed(cast("Any", connections[0]))  # on the loop's own thread no descriptor need be written to
    assert (len(loop.safe), len(loop.soon)) == (0, 1)


def test_a_completion_during_the_wake_up_is_another_wake_up() -> None:
    loop, waker = Loop(), Waker()
    waker.belongs_to_this_thread()
    again = Connection(loop, then=lambda: again.count < 5 and waker.completed(cast("Any", again)))
    waker.completed(cast("Any", again))
    for turn in range(1, 6):
        loop.soon.pop()()
        assert again.count == turn  # once a turn: others have theirs in between
    assert not loop.soon


def test_a_completion_after_the_loop_was_closed_goes_nowhere() -> None:
    loop, waker = Loop(), Waker()
    loop.closed = True
    connection = Connection(loop)
    in_another_thread(lambda: waker.completed(cast("Any", connection)))
    assert connection.count == 0


def test_what_a_bell_completes_goes_on_at_once() -> None:
    loop, waker = Loop(), Waker()
    waker.belongs_to_this_thread()
    first, second = Connection(loop), Connection(loop)
    functions = (lambda: waker.completed(cast("Any", first)), [].pop, lambda: waker.completed(cast("Any", second)))
    waker._ring(cast("Any", loop), [Bell(waker.bells, function) for function in functions])
    assert (first.count, second.count) == (1, 1)
    assert not loop.soon
    assert not loop.safe
    assert [type(each["exception"]) for each in loop.told] == [IndexError]
    waker.completed(cast("Any", first))
    assert len(loop.soon) == 1  # and what is completed later is not forgotten


async def test_one_waker_for_each_loop() -> None:
    loop = asyncio.get_running_loop()
    assert waker_of(loop) is waker_of(loop)
    others: list[object] = []

    async def other() -> None:
        others.append(waker_of(asyncio.get_running_loop()))

    in_another_thread(lambda: asyncio.run(other()))
    assert others[0] is not waker_of(loop)


async def test_a_future_is_awaited_as_it_is() -> None:
    loop = asyncio.get_running_loop()
    awaiter = Awaiter(loop)
    future: asyncio.Future[int] = loop.create_future()
    pending = awaiter(future)
    assert not pending.done()
    future.set_result(5)
    await asyncio.sleep(0)
    assert pending.result() == 5
    cancelled: asyncio.Future[int] = loop.create_future()
    pending = awaiter(cancelled)
    cancelled.cancel()
    await asyncio.sleep(0)
    with pytest.raises(OperationFailed, match="cancelled"):
        pending.result()


async def test_what_is_cancelled_before_the_loop_comes_to_it_never_runs() -> None:
    awaiter = Awaiter(asyncio.get_running_loop())
    ran = False

    async def work() -> None:
        nonlocal ran
        ran = True

    def elsewhere() -> None:
        pending = awaiter(work())
        pending.cancel()
        with pytest.raises(JobCancelled):
            pending.result()

    in_another_thread(elsewhere)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not ran
