"""Everything here runs on asyncio's own loop, and again on uvloop where that is installed."""

from __future__ import annotations

import gc
import importlib.util
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from caesura.aio.protocol import TLSProtocol

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


class Tracked(TLSProtocol):
    """A connection that can be seen to go."""

    __slots__ = ("__weakref__",)

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        _alive.add(self)


_alive: weakref.WeakSet[Tracked] = weakref.WeakSet()


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """When a test's loop is gone so are its connections: no reader, timer, task or cache holds one."""
    for module in ("connect", "server", "upgrade"):
        monkeypatch.setattr(f"caesura.aio.{module}.TLSProtocol", Tracked)
    yield
    if _alive:
        caplog.get_records("call").clear()  # tracebacks hold what they show
        gc.collect()
    left = list(_alive)
    _alive.clear()
    assert not left, f"still held: {left}"
