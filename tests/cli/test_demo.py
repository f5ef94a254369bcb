"""`caesura demo`: every figure is of something that happened, and it works on any terminal and on none."""

from __future__ import annotations

import asyncio
import re
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from caesura.cli.demo import NOTICEABLE, Outcome, Plan, comparison, conclusion, perform, together
from caesura.cli.group import caesura as command

SMALL = Plan(clients=6, delay=0.001, concurrency=3)


@pytest.fixture(scope="module")
def shown() -> str:
    """The demonstration as one sees it where there is no terminal."""
    result = CliRunner().invoke(command, ["demo", "--clients", "6", "--delay", "1", "--concurrency", "3"])
    assert result.exit_code == 0, result.output
    return result.output


HANDSHAKE = [
    ("client", "→", "ClientHello"),
    ("server", "‖", "select identity"),
    ("server", "←", "ServerHello"),
    ("server", "←", "EncryptedExtensions"),
    ("server", "←", "CertificateRequest"),
    ("server", "←", "Certificate"),
    ("server", "‖", "sign"),
    ("server", "←", "CertificateVerify"),
    ("server", "←", "Finished"),
    ("client", "→", "Certificate"),
    ("client", "‖", "sign"),
    ("client", "→", "CertificateVerify"),
    ("client", "→", "Finished"),
    ("server", "‖", "verify peer"),
]


def drawn(shown: str) -> list[tuple[str, str, str]]:
    """The rows of a drawing: who, what kind of thing, which one."""
    return re.findall(r"^(client|server) (.) (\w+(?: \w+)*?)  +[\d.,]+ (?:B|ms) ", shown, re.MULTILINE)


def test_handshakes_and_pauses_are_counted(shown: str) -> None:
    assert re.search(r"^ +pausing +blocking +key in memory *$", shown, re.MULTILINE)
    blocks = re.split(r"^(?:D?TLS 1\.3|QUIC) *$", shown, flags=re.MULTILINE)[1:]
    assert len(blocks) == 3
    for block in blocks:
        assert re.search(r"^ +handshakes +6 +6 +6 *$", block, re.MULTILINE)
        assert re.search(r"^ +pauses +6 +0 +0 *$", block, re.MULTILINE)
        assert re.search(r"^ +handshakes per second +[\d,]+ +[\d,]+ +[\d,]+ *$", block, re.MULTILINE)
        assert re.search(r"^ +longest stall of the event loop +[\d,]+ ms +[\d,]+ ms +[\d,]+ ms *$", block, re.MULTILINE)


def test_the_drawn_handshake_has_all_its_messages_and_pauses_in_order(shown: str) -> None:
    assert drawn(shown.split("The same over QUIC")[0]) == HANDSHAKE


def test_over_quic_acknowledgments_go_on_in_the_pauses(shown: str) -> None:
    rows = drawn(shown.split("The same over QUIC")[1])
    assert [row for row in rows if row[2] not in ("Ack", "Ping")] == HANDSHAKE
    first_pause, second_pause = rows.index(("server", "‖", "select identity")), rows.index(("server", "‖", "sign"))
    assert ("server", "←", "Ack") in rows[first_pause:second_pause]
    assert ("client", "→", "Ack") in rows[second_pause:]


def test_without_a_terminal_it_is_plain_text(shown: str) -> None:
    assert "\x1b" not in shown
    assert "━" not in shown, "progress bars are for terminals"
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_there_are_colours_and_progress_bars(width: int) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system="standard", highlight=False)
    asyncio.run(perform(console, SMALL))
    assert out.getvalue().count("6/6") >= 9
    assert "\x1b[33m" in out.getvalue()
    for line in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "\n").splitlines():
        assert len(line) <= width


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = StringIO()
    asyncio.run(perform(Console(file=out, force_terminal=True, width=80, highlight=False), SMALL))
    assert not re.search(r"\x1b\[(\d+;)*3\d", out.getvalue())


def outcome(rate: float, stall: float) -> Outcome:
    return Outcome(handshakes=100, pauses=100, seconds=100 / rate, longest_stall=stall)


def test_what_is_concluded() -> None:
    in_memory = outcome(700, 0.010)
    both = conclusion(outcome(600, 0.010), outcome(150, 0.150), in_memory).plain
    assert both.startswith("Pausing brings 4.0 times the handshakes that blocking does, ")
    assert both.endswith("the loop's longest stall is 15.0 times shorter.")
    one = conclusion(outcome(600, 0.100), outcome(150, 0.100), in_memory).plain
    assert one == "Pausing brings 4.0 times the handshakes that blocking does."
    nothing = conclusion(outcome(100 * NOTICEABLE - 1, 0.010), outcome(100, 0.150), in_memory).plain
    assert nothing.endswith("there is little to be gained by pausing.")


def test_transports_are_added_up() -> None:
    tls = [Outcome(10, 10, 1.0, 0.1), Outcome(10, 0, 2.0, 0.3), Outcome(10, 0, 0.5, 0.0)]
    dtls = [Outcome(20, 20, 2.0, 0.2), Outcome(20, 0, 3.0, 0.2), Outcome(20, 0, 1.5, 0.1)]
    assert together([tls, dtls]) == [
        Outcome(30, 30, 3.0, 0.2),
        Outcome(30, 0, 5.0, 0.3),
        Outcome(30, 0, 2.0, 0.1),
    ]


def test_the_table_shows_the_measured_figures() -> None:
    out = StringIO()
    table = comparison(["one", "two"], {"both": [Outcome(1000, 7, 2.0, 0.25), Outcome(1000, 0, 4.0, 1.5)]})
    Console(file=out, width=80).print(table)
    figures = [line.split()[-4:] for line in out.getvalue().splitlines()]
    assert figures[2][-2:] == ["1,000", "1,000"]
    assert figures[3][-2:] == ["7", "0"]
    assert figures[4][-2:] == ["2.00", "4.00"]
    assert figures[5][-2:] == ["500", "250"]
    assert figures[6] == ["250", "ms", "1,500", "ms"]
