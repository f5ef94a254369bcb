"""Shims by the thousand: a process that has everything imported forks one for each case.

An import of the library takes ten times as long as most cases. So the runner is given a small program that hands its
arguments and its output descriptors over a Unix socket and waits for the exit status; who listens there is `serve`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import stat
import sys
import traceback
from pathlib import Path

_PRELOADED = (
    "caesura",
    "caesura.tls.connection",
    "caesura.dtls.connection",
    "tests.bogo.quic",
    "tests.bogo.endpoint",
    "tests.bogo.flags",
)

_LAUNCHER = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
words = json.dumps([os.fsencode(each).decode("latin-1") for each in sys.argv[1:]]).encode()
socket.send_fds(connection, [len(words).to_bytes(4, "big")], [1, 2])
connection.sendall(words)
sys.exit((connection.recv(1) or b"\\x01")[0])
"""


def write_launcher(directory: Path) -> tuple[Path, str]:
    """The program for the runner, and the address it will call."""
    address = str(directory / "forks")
    launcher = directory / "shim"
    launcher.write_text(_LAUNCHER.format(python=sys.executable, address=address), encoding="utf-8")
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    return launcher, address


def serve(address: str) -> None:
    """Fork a shim for each caller, until this process is ended."""
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> None:
    """Be the shim of this caller."""
    status = 1
    try:
        length, (out, err), _, _ = socket.recv_fds(connection, 4, 2)
        os.dup2(out, 1)
        os.dup2(err, 2)
        words = b""
        while len(words) < int.from_bytes(length, "big"):
            words += connection.recv(65536)
        from tests.bogo.shim import main

        status = main([os.fsdecode(each.encode("latin-1")) for each in json.loads(words)])
    except BaseException:  # noqa: BLE001 - whatever it is, the runner shall read it
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        connection.sendall(bytes((status,)))
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
