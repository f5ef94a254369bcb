"""The command as a program of its own: started, spoken to, and ended, each within bounds."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import caesura

PATIENCE = 20.0  # seconds until a program that does not end is killed: far more than it needs
SOURCE = Path(caesura.__file__).parent.parent
COMMAND = (sys.executable, "-m", "caesura")


def environment(**more: str) -> dict[str, str]:
    """This process's variables, without those that change what is tested, and with the package where it is here."""
    kept = {name: value for name, value in os.environ.items() if name not in {"SSLKEYLOGFILE", "COLUMNS", "LINES"}}
    return {**kept, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "default", **more}


class Outcome:
    """What a program that has ended did."""

    def __init__(self, code: int, out: bytes, err: str) -> None:
        assert "Traceback" not in err, err
        assert "Warning" not in err, err
        self.code = code
        self.out = out
        self.err = err


def caesura_command(*arguments: object, data: bytes = b"", **variables: str) -> Outcome:
    """Run the command with `data` as standard input, which then ends."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=data,
        capture_output=True,
        timeout=PATIENCE,
        env=environment(**variables),
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr.decode())


class Running:
    """A program that runs beside a test; it is killed when it takes too long, and at the end of its `with`."""

    def __init__(self, *arguments: object, command: tuple[str, ...] = COMMAND, **variables: str) -> None:
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**variables),
            # Beside a shell that has put the tests into the background, Ctrl-C would mean nothing.
            preexec_fn=None if sys.platform == "win32" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._timer = threading.Timer(PATIENCE, self._process.kill)
        self._timer.start()
        self._err = ""

    def err_until(self, text: str) -> str:
        """What it says on standard error from here to the end of the line that contains `text`."""
        assert self._process.stderr is not None
        said = ""
        for line in iter(self._process.stderr.readline, b""):
            said += line.decode()
            if text in line.decode():
                self._err += said
                return said
        raise AssertionError(f"{self._process.args!r} ended without saying {text!r}; it said: {self._err}{said}")

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def receive(self, size: int) -> bytes:
        """So many bytes of its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout.read(size)

    def out_line(self, pattern: bytes) -> str:
        """What the pattern's first group found in a line of standard output."""
        assert self._process.stdout is not None
        for line in iter(self._process.stdout.readline, b""):
            if match := re.search(pattern, line):
                return match[1].decode()
        raise AssertionError(f"{self._process.args!r} ended without saying {pattern!r}")

    def close_output(self) -> None:
        """Nobody reads its standard output any more."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> Outcome:
        """End its input, and wait until it has ended."""
        out, err = self._process.communicate(timeout=PATIENCE)
        return Outcome(self._process.returncode, out, self._err + err.decode())

    def wait(self) -> Outcome:
        """Wait until it has ended, although its input goes on."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.wait(PATIENCE)
        out = b"" if self._process.stdout.closed else self._process.stdout.read()
        return Outcome(self._process.returncode, out, self._err + self._process.stderr.read().decode())

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.wait(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None and not stream.closed:
                stream.close()


def nobody(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this machine where nobody listens."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server(Running):
    """`caesura serve` on a free port."""

    def __init__(self, *arguments: object, host: str = "127.0.0.1", **variables: str) -> None:
        super().__init__("serve", f"{host}:0", *arguments, **variables)
        self.port = int(self.err_until("listening").split(",")[0].rpartition(":")[2])
