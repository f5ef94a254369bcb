"""`caesura bench`: the repository's benchmarks where they are, figures of its own where they are not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import caesura
from caesura.cli import bench
from caesura.cli.group import caesura as command


def test_the_figures_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    Console(file=out, width=100).print(bench.measure_all(bench.Sides(), 0.001))
    shown = out.getvalue()
    for title in ("full handshake", "the chain's verification cached", "resumed handshake"):
        assert re.search(rf"{title} +[\d.]+ ms +[\d,]+", shown)
    assert re.search(r"record of 16,384 bytes, sealed and opened +[\d.]+ µs +[\d,]+ MB", shown)
    assert re.search(r"record of 64 bytes, sealed and opened +[\d.]+ µs +[\d,]+", shown)


def test_what_is_called_resumed_is_resumed_and_what_is_called_full_is_full() -> None:
    sides = bench.Sides()
    for client, resumed in ((sides.resuming, True), (sides.remembering, False), (sides.forgetting, False)):
        sides.handshake(client)
        assert [end.session_reused for end in sides.handshake(client)] == [resumed, resumed]


def test_a_failing_handshake_is_not_measured() -> None:
    sides = bench.Sides()
    with pytest.raises(caesura.Error):
        sides.handshake(bench.Sides().forgetting)


def test_a_measurement_is_the_median_of_its_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    lengths = iter([0.0, 1.0, 1.0, 50.0, 1.0, 2.0, 3.0])  # two calls to see how many fit, then five rounds of one

    def call() -> None:
        nonlocal now
        now += next(lengths)

    monkeypatch.setattr(bench.time, "perf_counter", lambda: now)
    assert bench.measure(call, 1.0) == 2.0


@pytest.fixture
def make_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def make(*files: str) -> Path:
        package = tmp_path / "src" / "caesura" / "__init__.py"
        for path in (package, *(tmp_path / each for each in files)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        monkeypatch.setattr(caesura, "__file__", str(package))
        return tmp_path

    return make


def test_a_checkout_is_known_by_its_benchmarks(make_checkout: Callable[..., Path]) -> None:
    root = make_checkout("pyproject.toml", "benchmarks/__main__.py")
    assert bench.checkout() == root


@pytest.mark.parametrize("files", [(), ("pyproject.toml",), ("benchmarks/__main__.py",)])
def test_anything_else_is_none(make_checkout: Callable[..., Path], files: tuple[str, ...]) -> None:
    make_checkout(*files)
    assert bench.checkout() is None


def test_arguments_and_exit_code_are_those_of_the_benchmarks(
    make_checkout: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout("pyproject.toml", "benchmarks/__main__.py")
    called = []

    def call(command: list[str], cwd: Path) -> int:
        called.append((command[1:], cwd))
        return 3

    monkeypatch.setattr(subprocess, "call", call)
    result = CliRunner().invoke(command, ["bench", "--only", "records"])
    assert called == [(["-m", "benchmarks", "--only", "records"], root)]
    assert result.exit_code == 3


def test_arguments_without_benchmarks_are_refused(make_checkout: Callable[..., Path]) -> None:
    make_checkout()
    result = CliRunner().invoke(command, ["bench", "--only", "records"])
    assert result.exit_code == 2
    assert "no benchmarks here" in result.output


def test_without_benchmarks_the_table_is_printed(
    make_checkout: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkout()
    monkeypatch.setattr(bench, "SECONDS", 0.001)
    result = CliRunner().invoke(command, ["bench"])
    assert result.exit_code == 0
    assert "full handshake" in result.output
