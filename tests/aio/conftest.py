"""Everything here runs on asyncio's own loop, and again on uvloop where that is installed."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.aio.support import Tracked, TrackedDatagrams, TrackedQUIC, alive, until

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is not installed"),
        ),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def settled() -> AsyncIterator[None]:
    """A test is over when its connections are gone and its tasks have ended; loops do not like to be closed before."""
    yield
    with suppress(TimeoutError):
        await until(lambda: not unsettled())
    assert not unsettled()


def unsettled() -> list[object]:
    """Tasks, but not those of the test runner, and connections."""
    tasks = [each for each in asyncio.all_tasks() if "TestRunner" not in repr(each.get_coro())]
    return [*tasks, *(each for each in alive if not each.settled)]


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """When a test's loop is gone so are its connections: no reader, timer, task or cache holds one."""
    for module in ("connect", "server", "upgrade"):
        monkeypatch.setattr(f"caesura.aio.{module}.TLSProtocol", Tracked)
    monkeypatch.setattr("caesura.aio.datagrams.DatagramLink", TrackedDatagrams)
    monkeypatch.setattr("caesura.aio.quic.QUICLink", TrackedQUIC)
    yield
    if alive:
        caplog.get_records("call").clear()  # tracebacks hold what they show
        gc.collect()
    left = list(alive)
    alive.clear()
    assert not left, f"still held: {left}"
