"""Programs that run beside a test: started, listened to, waited for within bounds, and ended by their process id.

What a program says goes to a file in the test's folder too, so that it can be read after a failure.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

PATIENCE = 30.0  # seconds for anything a program is waited for; far more than it ever needs
LONGEST_MATCH = 65_536  # bytes


def background(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def missing(what: str, how: str) -> None:
    """Skip the test, or fail it where every peer has to be there."""
    reason = f"{what} is not installed: {how}"
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI runs against every peer)")
    pytest.skip(reason)


def program(name: str, how: str) -> str:
    """The path of a program, looked for where servers' packages put them too."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(name, how)
    assert found is not None
    return found


class Process:
    """A running program: its output is collected as it comes, searched front to back, and kept in a file.

    What it says of the connection and what it received from it come in one stream, so there is a cursor for each:
    `track` is "facts" or "data".
    """

    def __init__(self, arguments: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._seen = {"facts": 0, "data": 0}
        self._output = bytearray()
        self._ended = False
        self._changed = threading.Condition()
        environment = {name: value for name, value in os.environ.items() if name != "SSLKEYLOGFILE"}
        # A socket, not a pipe: at its end a program that polls is told that it can read, and some wait for just that.
        self._input, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            arguments,
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **(env or {})},
            cwd=log.parent,
        )
        theirs.close()
        self._reader = background(self._collect)

    def _collect(self) -> None:
        assert self._process.stdout is not None
        with self.log.open("wb") as log:
            while chunk := os.read(self._process.stdout.fileno(), 1 << 18):
                log.write(chunk)
                with self._changed:
                    self._output += chunk
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, track: str = "facts") -> str:
        """All new output of this track up to the end of the first match of `pattern`, which ends what is new.

        Raises AssertionError with the end of the output when the program ends or goes quiet first.
        """
        wanted = re.compile(pattern.encode(), re.DOTALL)
        with self._changed:
            begin = start = self._seen[track]
            found: list[re.Match[bytes]] = []

            def arrived() -> bool:
                nonlocal start
                if match := wanted.search(self._output, start):
                    found.append(match)
                start = max(begin, len(self._output) - LONGEST_MATCH)
                return bool(found) or self._ended

            self._changed.wait_for(arrived, PATIENCE)
            if not found:
                raise AssertionError(f"{self._described()} without saying {pattern!r}; it said: {self._tail()}")
            self._seen[track] = found[0].end()
            return bytes(self._output[begin : found[0].end()]).decode(errors="replace")

    def _described(self) -> str:
        return f"{self._process.args!r} {'ended' if self._ended else 'is still running'}"

    def _tail(self) -> str:
        return bytes(self._output[-2000:]).decode(errors="replace")

    def said(self, pattern: str) -> bool:
        """Whether the output so far, read or not, matches."""
        with self._changed:
            return re.search(pattern.encode(), bytes(self._output)) is not None

    def wait_until_bound(self, port: int) -> None:
        """Wait until it holds this UDP port, for programs that do not say so.

        Its sockets are looked at. To try whether the port is taken would take it, perhaps just when the program does.
        """
        with self._changed:
            bound = False
            deadline = time.monotonic() + PATIENCE
            while not (bound or self._ended) and time.monotonic() < deadline:
                self._changed.wait(0.01)
                with contextlib.suppress(psutil.NoSuchProcess):
                    sockets = psutil.Process(self._process.pid).net_connections("udp")
                    bound = any(each.laddr.port == port for each in sockets)
            if not bound:
                raise AssertionError(f"{self._described()} without opening UDP port {port}; it said: {self._tail()}")

    def wait_for_bytes(self, size: int) -> bytes:
        """The next `size` bytes of the data track; raises AssertionError when they do not come."""
        with self._changed:
            begin = self._seen["data"]
            self._changed.wait_for(lambda: len(self._output) >= begin + size or self._ended, PATIENCE)
            assert len(self._output) >= begin + size, f"{len(self._output) - begin} of {size} bytes came"
            self._seen["data"] = begin + size
            return bytes(self._output[begin : begin + size])

    def wait(self) -> None:
        """Wait until the program has ended; raises AssertionError with the end of its output when it has failed."""
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert code == 0, f"{self._process.args!r} ended with {code}; it said: {self._tail()}"

    def send(self, data: bytes) -> None:
        self._input.sendall(data)

    def close_input(self) -> None:
        with contextlib.suppress(OSError):
            self._input.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)
        self._input.close()
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Workshop:
    """A test's folder, and what runs in it until the test is over."""

    folder: Path
    _stop: list[Callable[[], None]] = field(default_factory=list)

    def path(self, stem: str) -> Path:
        return self.folder / f"{len(self._stop)}-{stem}"

    def start(self, arguments: list[str], env: Mapping[str, str] | None = None) -> Process:
        process = Process(arguments, self.path(f"{Path(arguments[0]).name}.log"), env)
        self.later(process.stop)
        return process

    def later(self, stop: Callable[[], None]) -> None:
        self._stop.append(stop)

    def close(self) -> None:
        while self._stop:
            self._stop.pop()()


def listen() -> socket.socket:
    """A listening socket on a free loopback port, with bounded waits."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)
    return listener


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def on_free_port(start: Callable[[int], Process], ready: str) -> tuple[Process, int]:
    """Start a server on a free TCP port and wait until it says `ready`; if another had the port, on another."""
    return _on_free_port(start, socket.SOCK_STREAM, lambda process, port: process.wait_for(ready))


def on_free_udp_port(start: Callable[[int], Process], ready: str | None = None) -> tuple[Process, int]:
    """The same for UDP; one that says nothing is ready when it has the port."""
    return _on_free_port(
        start,
        socket.SOCK_DGRAM,
        lambda process, port: process.wait_for(ready) if ready else process.wait_until_bound(port),
    )


def _on_free_port(
    start: Callable[[int], Process], kind: socket.SocketKind, wait: Callable[[Process, int], object]
) -> tuple[Process, int]:
    for _ in range(4):
        port = free_port(kind)
        process = start(port)
        try:
            wait(process, port)
        except AssertionError:
            if not process.said("(?i)in use|bind"):
                raise
            process.stop()
        else:
            return process, port
    raise AssertionError("no free port in four attempts")
