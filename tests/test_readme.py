"""The programs in the README run as they stand there, the client against the server; only the port is another one."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pki import pki

README = Path(__file__).parent.parent / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(mark: str) -> str:
    (found,) = [each for each in blocks() if mark in each]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chain.pem").write_bytes(pki().ec.chain_pem)
    (tmp_path / "key.pem").write_bytes(pki().ec.key_pem)
    (tmp_path / "ca.pem").write_bytes(pki().trust_pem)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The asyncio program of the README, listening; gives its port."""
    with socket.create_server(("localhost", 0)) as finder:
        port = str(finder.getsockname()[1])
    program = block("aio.start_server").replace("8443", port)
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stderr=stderr)
    try:
        wait_until_it_listens(process, int(port))
        yield port
    finally:
        process.kill()
        process.wait()


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail("the server ended")
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except ConnectionRefusedError:
            subprocess.run([sys.executable, "-c", ""], check=True)  # not listening yet: something that takes a moment
        else:
            return
    pytest.fail("the server does not listen")


def test_the_client_talks_to_the_server(server: str, folder: Path) -> None:
    program = block("select.select").replace("8443", server)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"b'hello'\n", b"")


@pytest.mark.parametrize("mark", ["aio.start_server", "class RemoteKey", "select.select"])
def test_every_program_compiles(mark: str) -> None:
    compile(block(mark), "README.md", "exec")


def test_no_program_is_left_out() -> None:
    assert len(blocks()) == 3
