"""A few of the seeds of `quic_networks`."""

from __future__ import annotations

import pytest

from tests.soak.quic_networks import bulk, main, transfer


@pytest.mark.parametrize("seed", range(8))
def test_all_that_was_sent_comes_back(seed: int) -> None:
    transfer(seed)


@pytest.mark.parametrize("seed", range(4))
def test_five_megabytes_through_small_windows(seed: int) -> None:
    bulk(seed)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    main("3", "4")
    assert "1 seeds" in capsys.readouterr().out
