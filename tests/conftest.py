"""What every test shares: hypothesis profiles, the event loop, and no skipped peers where all peers must be there."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from caesura.jobs import WaitContext, cleanup_thread, init_thread

# No deadline: a slow machine is not a failure. In CI the examples are the same each time, so that red means a change.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure(config: pytest.Config) -> None:
    """Where Python is to leave no bytecode beside its sources, programs that tests start would compile all of them."""
    if sys.dont_write_bytecode and os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = tempfile.TemporaryDirectory()
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_finish() -> None:
    """What is there before the first test stays; tests that look for what they have left need not go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def own_pool() -> Iterator[None]:
    """This thread has no jobs yet, and none are left."""
    init_thread()
    yield
    cleanup_thread()


@pytest.fixture
def context() -> Iterator[WaitContext]:
    """A wait context of nobody's."""
    with WaitContext() as made:
        yield made
