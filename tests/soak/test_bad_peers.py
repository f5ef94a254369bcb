"""A few of the seeds of `bad_peers`."""

from __future__ import annotations

import pytest

from tests.soak.bad_peers import main, meet


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_whatever_a_peer_says_is_survived(start: int) -> None:
    for seed in range(start, start + 20):
        meet(seed)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(3, 5)
    assert "NoneType" in capsys.readouterr().out
