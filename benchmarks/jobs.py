"""Jobs against the bare greenlet switches that they cannot do without, and asyncio's nearest things beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from benchmarks.harness import Contestant, Goal, Race
from caesura.jobs import pause_job, start_job

BATCH = 100  # asyncio tasks started together


def nothing() -> None:
    """A job that finishes at once."""


def start_and_finish(count: int) -> None:
    for _ in range(count):
        start_job(nothing)


def pause_and_finish(count: int) -> None:
    for _ in range(count):
        start_job(pause_job).resume()


def round_trips(each: int) -> Contestant:
    """A pooled greenlet entered and left `each` times for one operation."""
    outside = getcurrent()

    def body() -> None:
        while True:
            outside.switch()

    fiber = greenlet(body)
    fiber.switch()
    switch = fiber.switch

    def once(count: int) -> None:
        for _ in range(count):
            switch()

    def twice(count: int) -> None:
        for _ in range(count):
            switch()
            switch()

    return Contestant("greenlet switches", once if each == 1 else twice)


def tasks(loop: asyncio.AbstractEventLoop) -> Contestant:
    async def done() -> None:
        pass

    async def many(count: int) -> None:
        while count > 0:
            await asyncio.gather(*[loop.create_task(done()) for _ in range(min(count, BATCH))])
            count -= BATCH

    return Contestant("asyncio task", lambda count: loop.run_until_complete(many(count)))


def tasks_with_futures(loop: asyncio.AbstractEventLoop) -> Contestant:
    async def wait_for(future: asyncio.Future[None]) -> None:
        await future

    async def many(count: int) -> None:
        while count > 0:
            futures = [loop.create_future() for _ in range(min(count, BATCH))]
            waiting = [loop.create_task(wait_for(future)) for future in futures]
            await asyncio.sleep(0)
            for future in futures:
                future.set_result(None)
            await asyncio.gather(*waiting)
            count -= BATCH

    return Contestant("asyncio task that waits for a future", lambda count: loop.run_until_complete(many(count)))


@contextmanager
def starting() -> Iterator[Sequence[Contestant]]:
    loop = asyncio.new_event_loop()
    yield Contestant("caesura", start_and_finish), round_trips(1), tasks(loop)
    loop.close()


@contextmanager
def pausing() -> Iterator[Sequence[Contestant]]:
    loop = asyncio.new_event_loop()
    yield Contestant("caesura", pause_and_finish), round_trips(2), tasks_with_futures(loop)
    loop.close()


ROWS = (
    Race("job", "job started and finished", __name__, starting, goals=(Goal("greenlet switches", 1.6),)),
    Race(
        "job-pause",
        "job started, paused, resumed, finished",
        __name__,
        pausing,
        goals=(Goal("greenlet switches", 1.6),),
    ),
)
