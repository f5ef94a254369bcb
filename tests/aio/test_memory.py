"""An idle connection of a server costs at most 24 KiB beyond its socket, whoever allocates them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.aio.idle import STATM

BOUNDS = {"allocated": 12 * 1024, "resident": 24 * 1024}  # bytes; what Python does not count are the keys in OpenSSL


@pytest.mark.parametrize("measure", BOUNDS)
def test_an_idle_connection(measure: str) -> None:
    if measure == "resident" and not STATM.exists():
        pytest.skip("this system does not tell")
    program = subprocess.run(
        [sys.executable, "-m", "tests.aio.idle", measure], capture_output=True, text=True, check=True, timeout=120
    )
    assert 1000 < float(program.stdout) < BOUNDS[measure]
