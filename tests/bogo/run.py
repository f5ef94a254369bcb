"""Runs BoGo's runner with our shim, in shards, and counts by block what passed, failed, is unimplemented or disabled.

The runner does not tell what it leaves out. So the disabled cases are listed by a second, short run, with a shim that
knows nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Any

from tests.bogo.forks import write_launcher

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONFIG = HERE / "config.json"

OUTCOMES = ("PASSED", "FAILED", "UNIMPLEMENTED", "DISABLED")
OUT_OF_SCOPE = "out of scope"
CORE = ("TLS 1.2", "TLS 1.3", "TLS", "DTLS 1.2", "DTLS 1.3", "DTLS", "QUIC")
BLOCKS = (*CORE, "raw public keys", "external PSK", OUT_OF_SCOPE)

_LINE = re.compile(r"^(PASSED|FAILED|UNIMPLEMENTED) \((.*)\)$")
_RAW_KEYS = re.compile(r"RawPublicKey|^(Client|Server)CertificateType-|-CertificateType-")
_QUIC = re.compile(r"(^|-)QUIC(-|$)|^QUICCompat")
_KNOWS_NOTHING = '#!/bin/sh\nif [ "$1" = -is-handshaker-supported ]; then echo No; exit 0; fi\nexit 89\n'


def main() -> int:
    """Run; 0 if nothing failed and the runner ended well."""
    parser = argparse.ArgumentParser(prog="python -m tests.bogo", description=__doc__)
    parser.add_argument("--runner", required=True, type=Path, help="the compiled runner (ssl/test/runner of BoringSSL)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="another configuration file")
    parser.add_argument("--test", default="", help="patterns of cases to run, separated by semicolons")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="shards that run at a time")
    parser.add_argument("--include-disabled", action="store_true", help="run the disabled cases too")
    parser.add_argument("--show", action="store_true", help="print what the runner says of all that has not passed")
    parser.add_argument("--results", type=Path, help="write one line for each case: outcome and name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        launcher, address = write_launcher(Path(directory))
        forks = subprocess.Popen(
            [sys.executable, "-m", "tests.bogo.forks", address],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
        )
        try:
            while not os.path.exists(address):
                if forks.poll() is not None:
                    return 1
                time.sleep(0.05)
            outcomes, unwell = _run(options, launcher)
        finally:
            forks.terminate()
            forks.wait()
        if options.config == CONFIG and not (options.test or options.include_disabled):
            outcomes.update(dict.fromkeys(_disabled(options, Path(directory)), "DISABLED"))
    if options.results:
        lines = (f"{outcome} {name}\n" for name, outcome in sorted(outcomes.items()))
        options.results.write_text("".join(lines), encoding="utf-8")
    _print_table(outcomes)
    for index, status in unwell:
        print(f"the runner of shard {index} ended with status {status} before all its cases were done")
    return 1 if "FAILED" in outcomes.values() or unwell else 0


def _run(options: argparse.Namespace, launcher: Path) -> tuple[dict[str, str], list[tuple[int, int]]]:
    """The outcome of each case that ran, from as many runners as there are workers; and which of those broke down."""
    outcomes: dict[str, str] = {}
    unwell: list[tuple[int, int]] = []
    shards = [
        threading.Thread(target=_shard, args=(options, launcher, index, outcomes, unwell))
        for index in range(options.workers)
    ]
    for shard in shards:
        shard.start()
    for shard in shards:
        shard.join()
    return outcomes, unwell


def _shard(
    options: argparse.Namespace,
    launcher: Path,
    index: int,
    outcomes: dict[str, str],
    unwell: list[tuple[int, int]],
) -> None:
    command = [*_runner(options, launcher, options.config), "-num-workers", "1"]
    if options.test:
        command += ["-test", options.test]
    if options.include_disabled:
        command.append("-include-disabled")
    shard = {"TEST_TOTAL_SHARDS": str(options.workers), "TEST_SHARD_INDEX": str(index)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **shard},
        text=True,
        errors="replace",
    ) as runner:
        assert runner.stdout is not None
        outcomes.update(outcomes_in(_told(runner.stdout) if options.show else runner.stdout))
    if runner.returncode not in (0, 1):  # 1: something failed
        unwell.append((index, runner.returncode))


def _runner(options: argparse.Namespace, shim: Path, config: Path) -> list[str]:
    command = [str(options.runner.resolve()), "-shim-path", str(shim), "-shim-config", str(config.resolve())]
    return [*command, "-pipe", "-allow-unimplemented"]


def _told(lines: Iterable[str]) -> Iterator[str]:
    """The lines, of which those about cases that have not passed are printed on the way."""
    for line in lines:
        if not line.startswith("PASSED"):
            print(line, end="", flush=True)
        yield line


def outcomes_in(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and outcome of each case in what the runner prints."""
    for line in lines:
        if found := _LINE.match(line.rstrip("\n")):
            yield found[2], found[1]


def _disabled(options: argparse.Namespace, directory: Path) -> list[str]:
    """The names of the disabled cases."""
    shim, config = directory / "knows-nothing", directory / "empty.json"
    shim.write_text(_KNOWS_NOTHING, encoding="utf-8")
    shim.chmod(0o755)
    config.write_text("{}", encoding="utf-8")
    patterns = ";".join(read_config(options.config)["DisabledTests"])
    command = [*_runner(options, shim, config), "-num-workers", str(options.workers), "-test", patterns]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return [name for name, _ in outcomes_in(done.stdout.splitlines())]


# --- counting --------------------------------------------------------------------------------------------------------


@cache
def read_config(path: Path = CONFIG) -> dict[str, Any]:
    """The configuration: reasons by pattern, our codes by the runner's."""
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@cache
def _foreign() -> re.Pattern[str]:
    """What the names of cases look like that are about other protocols than those of this release."""
    disabled = read_config()["DisabledTests"]
    patterns = [pattern for pattern, reason in disabled.items() if reason.startswith(OUT_OF_SCOPE)]
    return re.compile("|".join(translate(pattern.replace("[^", "[!")) for pattern in patterns))  # Go's globs and ours


def block_of(name: str) -> str:
    """Which part of the whole a case belongs to, by its name; "TLS" and "DTLS" are for names without a version."""
    if _foreign().match(name):
        return OUT_OF_SCOPE
    if name.startswith("PSK-"):
        return "external PSK"
    if _RAW_KEYS.search(name):
        return "raw public keys"
    if _QUIC.search(name):
        return "QUIC"
    protocol = "DTLS" if "DTLS" in name else "TLS"
    found = re.findall(r"TLS1([23])", name)
    return f"{protocol} 1.{max(found)}" if found else protocol


def _print_table(outcomes: dict[str, str]) -> None:
    counts = Counter((block_of(name), outcome) for name, outcome in outcomes.items())
    rows = [(block, [counts[block, each] for each in OUTCOMES]) for block in BLOCKS]
    core = [sum(column) for column in zip(*(numbers for block, numbers in rows[: len(CORE)]), strict=True)]
    rows.insert(len(CORE), ("all of these", core))
    print(f"{'':16}" + "".join(f"{each.lower():>15}" for each in (*OUTCOMES, "all")))
    for block, numbers in rows:
        print(f"{block:16}" + "".join(f"{each:15}" for each in (*numbers, sum(numbers))))
