"""A few of the seeds of `quic_networks`."""

from __future__ import annotations

import pytest

from tests.soak.quic_networks import main, transfer


@pytest.mark.parametrize("seed", range(8))
def test_all_that_was_sent_comes_back(seed: int) -> None:
    transfer(seed)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    main("3", "4")
    assert "1 seeds" in capsys.readouterr().out
