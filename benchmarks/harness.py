"""How a row is measured: short samples of all contestants, interleaved in one process, in alternating order.

A machine's speed wanders by tens of percents within seconds, so absolute times say little and times of different runs
compare badly. What lasts is the ratio between two contestants whose samples lie side by side. Each row says which
quantile of the samples it takes: the median, or the lower quartile where disturbances are long. A race has no waiting
in it, so it is timed on the process' own clock, which stands still while others have the processor.

Where the system puts a program in memory favours now one contestant, now another, for as long as the process lives. So
a race is run in several processes one after the other, and what counts is the median of their ratios.

A `Race` is such a row; a `Probe` measures something else (memory, stalls) by a function of its own. Both give a
`Result`, which knows the goals and whether they were met.
"""

from __future__ import annotations

import gc
import os
import platform
import ssl
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from typing import Any, Protocol, TypeAlias

from cryptography.hazmat.backends.openssl import backend

SAMPLE = 0.005  # seconds that a sample lasts, about
PROCESSES = 5
ROUNDS = 24  # in each process
WARM_UP = 5  # samples of each contestant that are thrown away

Progress: TypeAlias = Callable[[float], object]
"""Told the fraction of a row that is done."""

Samples: TypeAlias = dict[str, list[float]]
"""By contestant: processor seconds for one operation, in the order in which they were taken."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that does one operation `count` times when it is called."""

    name: str
    run: Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Goal:
    """The time of `ours` divided by that of `against`: at most `must`, if that is given, and better still `aim`."""

    against: str
    must: float | None = None
    aim: float | None = None
    ours: str = "caesura"


@dataclass(slots=True)
class Line:
    """One figure of a result."""

    name: str
    value: float
    unit: str
    ratio: float | None = None  # to `against`
    against: str = ""
    must: float | None = None
    aim: float | None = None
    lowest: float | None = None  # the ratio in the process where it was best, and
    highest: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None where there is none."""
        figure = self.value if self.ratio is None else self.ratio
        if self.must is None:
            return None
        return figure >= self.must if self.more_is_better else figure <= self.must


@dataclass(slots=True)
class Result:
    """What a row found."""

    row: str
    title: str
    lines: list[Line] = field(default_factory=list)
    spread: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # quartiles, in the lines' unit
    seconds: float = 0.0  # how long it took to find out

    def as_json(self) -> dict[str, Any]:
        lines = [{**asdict(line), "met": line.met} for line in self.lines]
        return {**asdict(self), "lines": lines}


class Row(Protocol):
    """Something that can be measured and shown."""

    @property
    def name(self) -> str:
        """What `--only` takes."""

    @property
    def title(self) -> str:
        """One line for the table."""

    def measure(self, progress: Progress) -> Result:
        """Measure it."""


@dataclass(frozen=True, slots=True)
class Race:
    """A row of contestants that do the same thing.

    `setting` is a context manager that gives the contestants; what it opens is closed after the row. `module` has the
    race among its `ROWS`, where other processes find it.
    """

    name: str
    title: str
    module: str
    setting: Callable[[], AbstractContextManager[Sequence[Contestant]]]
    goals: Sequence[Goal] = ()
    unit: str = "µs"
    quantile: float = 0.5
    rounds: int = ROUNDS
    sample: float = SAMPLE

    def measure(self, progress: Progress) -> Result:
        began = time.perf_counter()
        runs = []
        for number in range(PROCESSES):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                runs.append(fresh.submit(_samples, self.module, self.name).result())
            progress((number + 1) / PROCESSES)
        result = self.result(runs)
        result.seconds = time.perf_counter() - began
        return result

    def samples(self) -> Samples:
        """Those of one process, which is this one."""
        with self.setting() as contestants:
            return interleaved(contestants, self.rounds, self.sample)

    def result(self, runs: Sequence[Samples]) -> Result:
        """What the samples of several processes say."""
        scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[self.unit]
        result = Result(self.name, self.title)
        figures = [{name: quantile(times, self.quantile) for name, times in run.items()} for run in runs]
        for name in figures[0]:
            times = [each for run in runs for each in run[name]]
            low, middle, high = (quantile(times, q) * scale for q in (0.25, 0.5, 0.75))
            result.spread[name] = (low, middle, high)
            figure = statistics.median(run[name] for run in figures) * scale
            lines = []
            for goal in self.goals:
                if goal.ours == name:
                    ratios = [run[name] / run[goal.against] for run in figures]
                    line = Line(name, figure, self.unit, statistics.median(ratios), goal.against, goal.must, goal.aim)
                    line.lowest, line.highest = min(ratios), max(ratios)
                    lines.append(line)
            result.lines += lines or [Line(name, figure, self.unit)]
        return result


def _samples(module: str, name: str) -> Samples:
    """In another process: those of the race of this name."""
    rows: Sequence[Row] = import_module(module).ROWS
    race = next(row for row in rows if row.name == name)
    assert isinstance(race, Race)
    return race.samples()


@dataclass(frozen=True, slots=True)
class Probe:
    """A row that measures in its own way."""

    name: str
    title: str
    probe: Callable[[Progress], Sequence[Line]]

    def measure(self, progress: Progress) -> Result:
        began = time.perf_counter()
        result = Result(self.name, self.title, list(self.probe(progress)))
        result.seconds = time.perf_counter() - began
        return result


def interleaved(contestants: Sequence[Contestant], rounds: int, sample: float) -> Samples:
    """Let each do its operation for about `sample` seconds in turn, `rounds` times."""
    counts = {each.name: _operations_in(each, sample) for each in contestants}
    samples: Samples = {each.name: [] for each in contestants}
    for number in range(-WARM_UP, rounds):
        for each in contestants if number % 2 else reversed(contestants):
            count = counts[each.name]
            began = time.process_time()
            each.run(count)
            took = time.process_time() - began
            if number >= 0:
                samples[each.name].append(took / count)
        gc.collect()  # between samples, so that nobody pays for another's garbage; it stays switched on within them
    return samples


def _operations_in(contestant: Contestant, seconds: float) -> int:
    """How many operations last about this long."""
    count = 1
    while True:
        began = time.process_time()
        contestant.run(count)
        took = time.process_time() - began
        if took >= seconds / 4:
            return max(1, round(count * seconds / took))
        count *= 2


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile, interpolated."""
    ordered = sorted(values)
    if len(ordered) == 1:
        return ordered[0]
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures by; nothing that names the machine."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "ssl": ssl.OPENSSL_VERSION,
        "cryptography": f"{version('cryptography')} ({backend.openssl_version_text()})",
        "packages": {name: found for name in ("greenlet", "pyopenssl", "uvloop") if (found := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
