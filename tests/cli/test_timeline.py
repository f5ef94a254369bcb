"""The drawing of a handshake: what is read from a trace, and every column of it."""

from __future__ import annotations

from io import StringIO
from math import inf

import pytest
from rich.console import Console

from caesura.cli.timeline import LABEL, Message, Pause, Timeline, read_trace
from caesura.context import TraceEvent

CLIENT, SERVER = False, True


def at(milliseconds: float, side: bool, kind: str, name: str, size: int = 0) -> TraceEvent:
    return TraceEvent(100 + milliseconds / 1000, side, kind, name, size)


HANDSHAKE = [
    at(0, CLIENT, "started", "GENERATE_KEY"),
    at(1, CLIENT, "finished", "GENERATE_KEY"),
    at(1, CLIENT, "sent", "client_hello", 1500),
    at(3, SERVER, "received", "client_hello", 1500),
    at(3, SERVER, "started", "SIGN"),
    at(3, SERVER, "paused", "SIGN"),
    at(9, SERVER, "resumed", "SIGN"),
    at(9, SERVER, "paused", "SIGN"),
    at(11, SERVER, "resumed", "SIGN"),
    at(11, SERVER, "finished", "SIGN"),
    at(11, SERVER, "sent", "certificate_verify", 80),
    at(21, CLIENT, "received", "certificate_verify", 80),
]


def drawn(timeline: Timeline, width: int, encoding: str = "utf-8") -> str:
    class Terminal(StringIO):
        pass

    Terminal.encoding = encoding  # type: ignore[misc]
    out = Terminal()
    Console(file=out, width=width, color_system=None).print(timeline)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_messages_are_matched_and_pauses_collected() -> None:
    hello, pause, proof = read_trace(HANDSHAKE)
    assert isinstance(hello, Message)
    assert isinstance(pause, Pause)
    assert isinstance(proof, Message)
    assert (hello.name, hello.server_side, hello.size) == ("client_hello", CLIENT, 1500)
    assert hello.received - hello.begin == pytest.approx(0.002)
    assert [stop - start for start, stop in pause.spans] == pytest.approx([0.006, 0.002])
    assert pause.seconds == pytest.approx(0.008)
    assert proof.received - proof.begin == pytest.approx(0.010)


def test_messages_of_one_name_travel_in_both_directions() -> None:
    rows = read_trace(
        [
            at(0, SERVER, "sent", "finished"),
            at(1, CLIENT, "received", "finished"),
            at(2, CLIENT, "sent", "finished"),
            at(5, SERVER, "received", "finished"),
        ]
    )
    assert [
        (row.server_side, round((row.received - row.begin) * 1000)) for row in rows if isinstance(row, Message)
    ] == [
        (SERVER, 1),
        (CLIENT, 3),
    ]


def test_a_message_that_never_arrives() -> None:
    (lost,) = read_trace([at(0, CLIENT, "sent", "client_hello", 10)])
    assert isinstance(lost, Message)
    assert lost.received == inf


@pytest.mark.parametrize("end", ["finished", "failed"])
def test_work_of_a_thread_is_paused_until_its_end(end: str) -> None:
    (pause,) = read_trace(
        [at(0, SERVER, "started", "SIGN"), at(0, SERVER, "paused", "SIGN"), at(4, SERVER, end, "SIGN")]
    )
    assert isinstance(pause, Pause)
    assert pause.seconds == pytest.approx(0.004)


def test_the_same_work_twice_is_two_rows() -> None:
    events = [
        at(time + after, CLIENT, kind, "SIGN")
        for time in (0, 10)
        for after, kind in ((0, "paused"), (2, "resumed"), (2, "finished"))
    ]
    assert [row.begin for row in read_trace(events)] == [pytest.approx(100), pytest.approx(100.010)]


def test_two_pauses_at_once_are_one_time() -> None:
    timeline = Timeline(
        [
            at(0, CLIENT, "paused", "VERIFY_CHAIN"),
            at(1, CLIENT, "paused", "VERIFY_SIGNATURE"),
            at(4, CLIENT, "finished", "VERIFY_CHAIN"),
            at(6, CLIENT, "finished", "VERIFY_SIGNATURE"),
            at(8, CLIENT, "paused", "SIGN"),
            at(9, CLIENT, "finished", "SIGN"),
        ]
    )
    assert timeline.paused == pytest.approx(0.007)
    assert timeline.seconds == pytest.approx(0.009)


def test_the_drawing_is_true_to_scale() -> None:
    assert drawn(Timeline(HANDSHAKE), LABEL + 41).splitlines() == [  # two columns for a millisecond
        "                                      0 ms      5         10        15       20",
        "client → ClientHello        1,500 B   ●───▸     ┊         ┊         ┊         ┊",
        "server ‖ sign                 8.0 ms  ┊   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒         ┊         ┊",
        "server ← CertificateVerify     80 B   ┊         ┊         ●───────────────────▸",
    ]


def test_without_unicode_it_is_drawn_in_ascii() -> None:
    shown = drawn(Timeline(HANDSHAKE), LABEL + 41, "ascii")
    assert shown.isascii()
    assert "server | sign                 8.0 ms  :   #################" in shown
    assert "client > ClientHello        1,500 B   *--->" in shown


@pytest.mark.parametrize("width", [20, 40, 62, 80, 120, 300])
@pytest.mark.parametrize("scale", [0.001, 1, 1000])
def test_it_fits_every_width_and_every_duration(width: int, scale: float) -> None:
    stretched = [
        at((event.time - 100) * 1000 * scale, event.server_side, event.kind, event.name) for event in HANDSHAKE
    ]
    lines = drawn(Timeline(stretched), width).splitlines()
    assert len(lines) == 4
    assert all(len(line) <= width for line in lines)


def test_a_trace_of_nothing_is_an_empty_axis() -> None:
    timeline = Timeline([])
    assert (timeline.seconds, timeline.paused) == (0, 0)
    assert len(drawn(timeline, 80).splitlines()) == 1
