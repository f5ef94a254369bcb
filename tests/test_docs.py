"""The pages in docs are true. What Python stands on one is one program, from top to bottom, and runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from caesura import openssl
from tests.support.pki import pki

DOCS = Path(__file__).parent.parent / "docs"


def program(page: Path) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return "\n".join(blocks)


PAGES = sorted(page for page in DOCS.glob("*.md") if program(page))


def test_there_are_programs() -> None:
    assert PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_runs(page: Path, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(pki().ec.chain_pem)
    (tmp_path / "key.pem").write_bytes(pki().ec.key_pem)
    (tmp_path / "ca.pem").write_bytes(pki().trust_pem)
    code = compile(program(page), page.name, "exec")  # a SyntaxError names the page
    assert code
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program(page)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    busy = re.compile(r"Executing <.*> took [0-9.]+ seconds\n")  # asyncio's debug mode, of a machine that is
    assert busy.sub("", finished.stderr) == ""


def test_the_names_of_the_manual_pages() -> None:
    """Every name that the table gives for `caesura.openssl` is there."""
    rows = [
        line.split("|")[3] for line in (DOCS / "manual-pages.md").read_text().splitlines() if line.startswith("| `")
    ]
    names = {name for row in rows for name in re.findall(r"\b[A-Z]+(?:v1)?_\w+(?=\()", row)}
    assert len(names) > 40
    assert [name for name in sorted(names) if not hasattr(openssl, name)] == []
