"""Runs the benchmarks: `python -m benchmarks`, or one row of them with `--only`."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import handshakes, jobs, loops, memory, older, quic, quic_udp, records, report, signers, stalls
from benchmarks.harness import Result, Row, machine

ROWS: tuple[Row, ...] = (
    *records.ROWS,
    *handshakes.ROWS,
    *older.ROWS,
    *quic.ROWS,
    *quic_udp.ROWS,
    *loops.ROWS,
    *jobs.ROWS,
    *signers.ROWS,
    *stalls.ROWS,
    *memory.ROWS,
)


def measure(rows: tuple[Row, ...], console: Console) -> list[Result]:
    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[row]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("measuring", total=len(rows), row="")
        for number, row in enumerate(rows):
            bar.update(task, row=row.title, completed=number)
            results.append(row.measure(lambda done, number=number: bar.update(task, completed=number + done)))  # type: ignore[misc]
    return results


@click.command()
@click.option("--only", "names", multiple=True, metavar="ROW", help="Measure this row; may be given several times.")
@click.option("--list", "listing", is_flag=True, help="Show the rows and stop.")
@click.option("--strict", is_flag=True, help="Fail if a goal is missed.")
@click.option("--save-as", default="", help="Name of the files in benchmarks/results (default: latest, or ROW).")
def main(names: tuple[str, ...], listing: bool, strict: bool, save_as: str) -> None:
    """Measure Caesura beside its peers; a ratio is our figure divided by theirs."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=report.WIDTH)
    if listing:
        for row in ROWS:
            console.print(f"{row.name:20} {row.title}", highlight=False)
        return
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        raise click.UsageError(f"no row {', '.join(sorted(unknown))}: see --list")
    rows = tuple(row for row in ROWS if not names or row.name in names)
    found = machine()
    results = measure(rows, console)
    console.print(report.table(results, found))
    data, picture = report.save(results, found, save_as or ("+".join(names) if names else "latest"))
    console.print(f"written: {data} and {picture}", highlight=False, soft_wrap=True)
    if strict and any(line.met is False for result in results for line in result.lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
