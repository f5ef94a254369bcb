"""One handshake drawn on a time axis, from what `Context.trace` told of its two sides.

    client → ClientHello       1,566 B   ●▸
    server ‖ sign               5.1 ms     ▒▒▒▒▒▒▒▒▒▒▒
    server ← CertificateVerify    79 B                ●▸

A row for each message, at the moment it was sent; a row for each piece of work that paused, as long as it took. The
axis is true to scale. Work that is done at once is not drawn: it is the distance between the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from math import inf

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from caesura.context import TraceEvent

__all__ = ["Message", "Pause", "Timeline", "read_trace"]

LABEL = 38  # columns before the axis
NARROWEST, WIDEST = 24, 96  # columns of the axis
TICK_DISTANCE = 9  # columns, at least

SIDES = {False: "client", True: "server"}
COLOURS = {False: "cyan", True: "magenta"}
PAUSED = "yellow"
DIM = "bright_black"


@dataclass(slots=True)
class Message:
    """A handshake message on its way; `received` is infinite until the other side has taken it."""

    server_side: bool  # of its sender
    name: str
    begin: float  # seconds, as are all times here
    size: int  # bytes
    received: float = inf


@dataclass(slots=True)
class Pause:
    """A piece of work that paused; `spans` are its pauses, from each stop to each resumption."""

    server_side: bool
    name: str
    begin: float
    spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was paused in all."""
        return sum(stop - start for start, stop in self.spans)


Row = Message | Pause


def read_trace(events: Iterable[TraceEvent]) -> list[Row]:
    """Messages and paused work of one handshake, in the order in which they began."""
    rows: list[Row] = []
    travelling: dict[tuple[bool, str], list[Message]] = {}
    under_way: dict[tuple[bool, str], Pause] = {}
    for event in events:
        side, name = event.server_side, event.name
        match event.kind:
            case "sent":
                message = Message(side, name, event.time, event.size)
                rows.append(message)
                travelling.setdefault((side, name), []).append(message)
            case "received":
                waiting = travelling.get((not side, name))
                if waiting:
                    waiting.pop(0).received = event.time
            case "paused":
                pause = under_way.get((side, name))
                if pause is None:
                    pause = under_way[side, name] = Pause(side, name, event.time)
                    rows.append(pause)
                pause.spans.append((event.time, event.time))
            case "resumed":
                pause = under_way.get((side, name))
                if pause is not None:
                    _stop(pause, event.time)
            case "finished" | "failed":
                pause = under_way.pop((side, name), None)
                if pause is not None and len(pause.spans) == 1 and pause.seconds == 0:  # a thread's work is not resumed
                    _stop(pause, event.time)
    return sorted(rows, key=lambda row: row.begin)


def _stop(pause: Pause, time: float) -> None:
    pause.spans[-1] = (pause.spans[-1][0], time)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What the drawing is made of."""

    sent: str
    way: str
    arrived: str
    pause: str
    grid: str
    directions: dict[bool, str]  # by who sends
    caesura: str  # the sign of a pause, as in a score


UNICODE = Glyphs("●", "─", "▸", "▒", "┊", {False: "→", True: "←"}, "‖")
ASCII = Glyphs("*", "-", ">", "#", ":", {False: ">", True: "<"}, "|")


class Timeline:
    """The drawing, as wide as the terminal allows (rich renders it)."""

    def __init__(self, events: Iterable[TraceEvent]) -> None:
        self.rows = read_trace(events)

    @property
    def seconds(self) -> float:
        """From the first thing to the last."""
        return self._end - self._begin

    @property
    def paused(self) -> float:
        """Seconds during which something was paused: each counted once, although two things may pause together."""
        total, reached = 0.0, -inf
        for start, stop in sorted(span for row in self.rows if isinstance(row, Pause) for span in row.spans):
            total += max(0.0, stop - max(start, reached))
            reached = max(reached, stop)
        return total

    @property
    def _begin(self) -> float:
        return min((row.begin for row in self.rows), default=0.0)

    @property
    def _end(self) -> float:
        ends = [row.begin if isinstance(row, Message) else row.spans[-1][1] for row in self.rows]
        arrivals = [row.received for row in self.rows if isinstance(row, Message) and row.received < inf]
        return max(ends + arrivals, default=0.0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = ASCII if options.ascii_only else UNICODE
        width = max(NARROWEST, min(WIDEST, options.max_width - LABEL))
        axis = Axis(self._begin, max(self.seconds, 1e-6), width)
        yield axis.header()
        for row in self.rows:
            yield Text.assemble(_label(row, glyphs), axis.line(row, glyphs), no_wrap=True, overflow="crop")


class Axis:
    """Where a moment stands among the columns."""

    def __init__(self, begin: float, seconds: float, width: int) -> None:
        self.begin = begin
        self.width = width
        self.scale = (width - 1) / seconds  # columns for a second
        self.step = next(step for step in _steps() if step * self.scale >= TICK_DISTANCE)
        last = int(seconds / self.step + 1e-6)  # times are differences of floats: 19.999999 ms are 20
        self.ticks = {round(number * self.step * self.scale): number for number in range(last + 1)}

    def column(self, time: float) -> int:
        """The column of a moment, kept within the axis."""
        return max(0, min(self.width - 1, round((time - self.begin) * self.scale)))

    def header(self) -> Text:
        """The numbers of the ticks, in milliseconds."""
        line = ""
        for column, number in self.ticks.items():
            text = f"{number * self.step * 1000:g}" + (" ms" if number == 0 else "")
            line = line.ljust(min(column, self.width - len(text))) + text
        return Text(" " * LABEL + line, style=DIM, no_wrap=True)

    def line(self, row: Row, glyphs: Glyphs) -> Text:
        """One row of the drawing."""
        cells = [(glyphs.grid, DIM) if column in self.ticks else (" ", "") for column in range(self.width)]
        if isinstance(row, Message):
            self._draw_message(cells, row, glyphs)
        else:
            self._draw_pause(cells, row, glyphs)
        runs = groupby(cells, key=lambda cell: cell[1])
        return Text.assemble(*(("".join(char for char, _ in run), style) for style, run in runs))

    def _draw_message(self, cells: list[tuple[str, str]], row: Message, glyphs: Glyphs) -> None:
        start = self.column(row.begin)
        stop = start if row.received == inf else self.column(row.received)
        colour = COLOURS[row.server_side]
        for column in range(start + 1, stop):
            cells[column] = (glyphs.way, colour)
        cells[stop] = (glyphs.arrived, colour)
        cells[start] = (glyphs.sent, colour)

    def _draw_pause(self, cells: list[tuple[str, str]], row: Pause, glyphs: Glyphs) -> None:
        for begin, end in row.spans:
            for column in range(self.column(begin), self.column(end) + 1):
                cells[column] = (glyphs.pause, PAUSED)


def _steps() -> Iterator[float]:
    """Distances of ticks in seconds: 0.1 ms, 0.2, 0.5, 1 …"""
    exponent = -4
    while True:
        yield from (factor * 10.0**exponent for factor in (1, 2, 5))
        exponent += 1


def _label(row: Row, glyphs: Glyphs) -> Text:
    """Who, what, how large or how long."""
    colour = COLOURS[row.server_side]
    who = (f"{SIDES[row.server_side]} ", colour)
    if isinstance(row, Message):
        name = "".join(word.capitalize() for word in row.name.split("_"))
        what, extent = f"{glyphs.directions[row.server_side]} {name}", _bytes(row.size)
        return Text.assemble(who, (f"{what:<21}", colour), (f"{extent:>8}", DIM), "  ")
    what = f"{glyphs.caesura} {row.name.lower().replace('_', ' ')}"
    return Text.assemble(who, (f"{what:<21}", PAUSED), (f"{row.seconds * 1000:>5.1f} ms", f"bold {PAUSED}"), "  ")


def _bytes(size: int) -> str:
    return f"{size:,} B "
