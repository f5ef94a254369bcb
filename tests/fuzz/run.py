"""Runs fuzz targets under atheris, each in a process of its own.

    python tests/fuzz/run.py                    every target, FUZZ_SECONDS (20) seconds each
    python tests/fuzz/run.py NAME               the target of that name, or those whose names begin with it
    python tests/fuzz/run.py NAME SECONDS
    python tests/fuzz/run.py --list

What was found lies in build/fuzz/TARGET: the corpus, and inputs that failed as crash-*, timeout-* or oom-*. A failing
input is tried again with `python tests/fuzz/run.py NAME FILE`. The exit status is 0 when no target failed.
"""

# ruff: noqa: T201  it talks to a terminal

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOUND = ROOT / "build" / "fuzz"
MODULES = ("tests.fuzz.decoders", "tests.fuzz.states")  # each has TARGETS and SEEDS

LONGEST_INPUT = 8192  # bytes
LONGEST_RUN = 5  # seconds for one input, more is a failure
MOST_MEMORY = 1024  # MiB


def load() -> tuple[dict[str, Callable[[bytes], object]], dict[str, tuple[bytes, ...]]]:
    targets: dict[str, Callable[[bytes], object]] = {}
    seeds: dict[str, tuple[bytes, ...]] = {}
    for name in MODULES:
        module = import_module(name)
        targets |= module.TARGETS
        seeds |= module.SEEDS
    return targets, seeds


def fuzz(name: str, seconds: str) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["caesura"]):
        targets, seeds = load()
    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={LONGEST_RUN}",
        f"-rss_limit_mb={MOST_MEMORY}",
        f"-artifact_prefix={corpus}/",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], targets[name])
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    if arguments[:1] == ["--one"]:
        fuzz(*arguments[1:])
    targets, _seeds = load()
    if arguments == ["--list"]:
        print("\n".join(targets))
        return 0
    wanted = arguments[0] if arguments else ""
    last = arguments[1] if len(arguments) > 1 else os.environ.get("FUZZ_SECONDS", "20")
    names = [wanted] if wanted in targets else [name for name in targets if name.startswith(wanted)]
    if not names:
        print(f"no target begins with {wanted!r}; --list names them", file=sys.stderr)
        return 2
    if not last.isdigit():
        print("accepted" if targets[names[0]](Path(last).read_bytes()) else "refused")
        return 0
    failed = [name for name in names if run(name, last)]
    print(f"{len(names) - len(failed)} of {len(names)} targets held" + "".join(f"\nFAILED: {name}" for name in failed))
    return 1 if failed else 0


def run(name: str, seconds: str) -> int:
    print(f"{name}: {seconds} seconds", flush=True)
    done = subprocess.run([sys.executable, __file__, "--one", name, seconds], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    else:
        executed = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print("  " + "".join(executed).replace("stat::number_of_executed_units:", "").strip() + " inputs", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
