"""Everything here runs on asyncio's own loop, and again on uvloop where that is installed."""

from __future__ import annotations

import gc
import importlib.util
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


@pytest.fixture(autouse=True)
def nothing_stays(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """When a test's loop is gone so are its connections: no reader, timer, task or cache holds one."""
    yield
    caplog.get_records("call").clear()  # tracebacks hold what they show
    gc.collect()
    left = [each for each in gc.get_objects() if isinstance(each, TLSProtocol)]
    assert not left, f"still held: {left}"
