"""The benchmarks run and judge as they say; what they find is no test's business."""

from __future__ import annotations

import hashlib
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import harness, memory, older, primitives, quic, report, signers, stalls
from benchmarks.__main__ import ROWS
from benchmarks.harness import Contestant, Goal, Line, Race, Result, machine, quantile

RACES = [row for row in ROWS if isinstance(row, Race)]


def ignore(_done: float) -> None:
    """A progress bar that nobody looks at."""


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", RACES, ids=lambda row: row.name)
def test_every_contestant_runs(row: Race) -> None:
    with row.setting() as contestants:
        names = {contestant.name for contestant in contestants}
        for contestant in contestants:
            contestant.run(2)
    assert {goal.ours for goal in row.goals} | {goal.against for goal in row.goals} <= names


def test_signers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signers, "ROUNDS", 1)
    monkeypatch.setattr(signers, "HANDSHAKES", 2)
    monkeypatch.setattr(signers, "DELAYS", (0.001,))
    at_once, crowd, slow = signers.probe(ignore)
    assert at_once.value > 0
    assert crowd.value > 0
    assert slow.ratio is not None
    assert slow.must == 0.90


def test_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "ROUNDS", 1)
    monkeypatch.setattr(stalls, "WINDOW", 0.05)
    idle, *threads, inline = stalls.probe(ignore)
    assert (idle.name, inline.name) == ("idle", "inline")
    assert [line.against for line in threads] == ["idle", "inline"] * (len(threads) // 2)
    assert [line.must for line in threads[-2:]] == [3.0, 0.1]


@pytest.mark.parametrize("settings", [older.DTLS12, older.DTLS13], ids=["DTLS12", "DTLS13"])
def test_memory_of_an_association(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "BEFORE", 3)
    monkeypatch.setattr(memory, "ASSOCIATIONS", 10)
    try:
        assert 1_000 < memory.association(memory.allocated, settings) < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("package", ["caesura", *quic.installed("aioquic", "qh3")])
def test_memory_of_a_connection_of_quic(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "BEFORE", 3)
    monkeypatch.setattr(memory, "QUIC", 10)
    try:
        assert 1_000 < memory.quic(memory.allocated, quic.maker(package)) < 200_000
    finally:
        tracemalloc.stop()


def test_memory_of_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "BEFORE", 3)
    monkeypatch.setattr(memory, "PAUSED", 20)
    try:
        assert 1_000 < memory.paused(memory.allocated) < 100_000
    finally:
        tracemalloc.stop()


def test_a_race_alternates_and_compares() -> None:
    order = []

    @contextmanager
    def setting() -> Iterator[Sequence[Contestant]]:
        def contestant(name: str, work: int) -> Contestant:
            def run(count: int) -> None:
                order.append(name)
                for _ in range(count):
                    sum(range(work))

            return Contestant(name, run)

        yield contestant("caesura", 200), contestant("peer", 20_000)

    race = Race("made-up", "a made-up race", __name__, setting, goals=(Goal("peer", 0.5),), rounds=4, sample=0.001)
    ours, theirs = race.result([race.samples()]).lines
    assert ours.ratio is not None
    assert ours.ratio == pytest.approx(ours.value / theirs.value)
    assert ours.met
    assert theirs.met is None
    rounds = order[-8:]
    assert [set(rounds[i : i + 2]) for i in (0, 2, 4, 6)] == [{"caesura", "peer"}] * 4
    assert rounds[0:2] == rounds[4:6] != rounds[2:4]


def test_of_several_processes_the_median_counts() -> None:
    def never() -> AbstractContextManager[Sequence[Contestant]]:
        raise AssertionError("nothing is measured here")

    race = Race("made-up", "a made-up race", __name__, never, goals=(Goal("peer", 0.5),))
    runs = [{"caesura": [2e-6], "peer": [peer * 1e-6]} for peer in (4, 1, 8)]
    ours, theirs = race.result(runs).lines
    assert (ours.value, theirs.value) == pytest.approx((2, 4))
    assert (ours.lowest, ours.ratio, ours.highest) == pytest.approx((0.25, 0.5, 2.0))


def test_primitives_are_those_that_were_called() -> None:
    def handshake(count: int) -> None:
        for _ in range(count):
            state = hashlib.sha384(b"once")
            state.copy().digest()
            state.copy().digest()

    seen: Counter[str] = Counter()

    def count(_frame: object, event: str, function: Any) -> None:
        if event == "c_call":
            seen[function.__qualname__] += 1

    contestant = primitives.alone("its primitives alone", handshake)
    sys.setprofile(count)
    contestant.run(3)
    sys.setprofile(None)
    seen.pop("setprofile")
    assert seen == {"openssl_sha384": 3, "HASH.copy": 6, "HASH.digest": 6}


def test_a_race_is_run_in_fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "PROCESSES", 2)
    done: list[float] = []
    (row,) = (row for row in RACES if row.name == "job")
    result = row.measure(done.append)
    assert done == [0.5, 1.0]
    assert {line.name for line in result.lines} == set(result.spread)
    assert all(line.value > 0 for line in result.lines)


@pytest.mark.parametrize(
    ("line", "met"),
    [
        (Line("a", 5, "µs", ratio=0.7, against="b", must=0.75), True),
        (Line("a", 5, "µs", ratio=0.8, against="b", must=0.75), False),
        (Line("a", 5, "/s", ratio=0.8, against="b", must=0.75, more_is_better=True), True),
        (Line("a", 13, "KiB", must=12), False),
        (Line("a", 13, "KiB"), None),
    ],
)
def test_goals(line: Line, met: bool | None) -> None:
    assert line.met is met


def test_quantiles() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([1, 2], 0.25) == 1.25
    assert quantile([7], 0.99) == 7


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FOLDER", tmp_path / "results")
    lines = [Line("caesura", 5, "µs", ratio=0.8, against="peer", must=0.75), Line("peer", 6, "µs")]
    data, picture = report.save([Result("row", "a row", lines)], machine())
    written = json.loads(data.read_text(encoding="utf-8"))
    assert [line["met"] for line in written["results"][0]["lines"]] == [False, None]
    assert {"python", "ssl", "cryptography", "cores"} <= written["machine"].keys()
    text = picture.read_text(encoding="utf-8")
    assert "missed" in text
    assert "@font-face" not in text
