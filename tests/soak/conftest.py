"""What the explorations share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """How many cases there were, for the end of the report."""
    counts: Counter[str] = Counter()
    yield counts
    writer = request.config.get_terminal_writer()
    writer.line()
    for what, number in counts.items():
        writer.line(f"{number:6} {what}")
