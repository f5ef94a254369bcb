"""What was measured, for people and for programs: a table in the terminal, the same as a picture, and JSON."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.harness import PROCESSES, Line, Result

FOLDER = Path(__file__).parent / "results"
WIDTH = 172  # columns, where there is no terminal to ask


def table(results: Sequence[Result], machine: dict[str, Any]) -> Table:
    made = Table(
        title="Caesura and its peers, side by side",
        title_justify="left",
        caption=_caption(machine),
        caption_justify="left",
    )
    made.add_column("what", min_width=18)
    made.add_column("who", min_width=18)
    made.add_column("figure", justify="right", no_wrap=True)
    made.add_column("ratio", no_wrap=True)
    made.add_column("goal", no_wrap=True)
    made.add_column("", no_wrap=True)
    for result in results:
        made.add_section()
        title, before = result.title, ""
        for line in result.lines:
            again = line.name == before  # the same figure, set against another peer
            figure = "" if again else f"{_number(line.value)} {line.unit}"
            made.add_row(title, "" if again else line.name, figure, *_judged(line))
            title, before = "", line.name
    return made


def _judged(line: Line) -> tuple[str, str, Text]:
    ratio = "" if line.ratio is None else f"{line.ratio:.2f} of {line.against}"
    if line.lowest is not None and line.highest is not None:
        ratio += f" ({line.lowest:.2f} to {line.highest:.2f})"
    if line.must is None:
        return ratio, "", Text(line.note, style="dim")
    sign = "≥" if line.more_is_better else "≤"
    goal = f"{sign} {line.must:g}" + (f" (aim {line.aim:g})" if line.aim is not None else "")
    mark = Text("met", style="green") if line.met else Text("missed", style="bold red")
    return ratio, goal, mark


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _caption(machine: dict[str, Any]) -> str:
    return (
        f"{machine['python']}, {machine['ssl']}, cryptography {machine['cryptography']}, {machine['cores']} cores, "
        f"{machine['time']}. A ratio is our figure divided by the peer's: of "
        f"{PROCESSES} processes the median, and the lowest and highest."
    )


def save(results: Sequence[Result], machine: dict[str, Any], stem: str = "latest") -> tuple[Path, Path]:
    """Write STEM.json and STEM.svg; their paths."""
    FOLDER.mkdir(exist_ok=True)
    data, picture = FOLDER / f"{stem}.json", FOLDER / f"{stem}.svg"
    content = {"machine": machine, "results": [result.as_json() for result in results]}
    data.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(table(results, machine))
    svg = console.export_svg(title="make bench")
    # The picture stands alone: no fonts from elsewhere.
    picture.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
    return data, picture
