"""What `quic=` takes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from caesura.errors import ConfigError
from caesura.quic_settings import QUICSettings

BOUNDED = [each for each in fields(QUICSettings) if "low" in each.metadata]


@pytest.mark.parametrize("each", BOUNDED, ids=lambda each: each.name)
def test_a_number_is_taken_within_its_bounds_alone(each: Any) -> None:
    low, high = each.metadata["low"], each.metadata["high"]
    for value in (low, high):
        assert getattr(QUICSettings(**{each.name: value}), each.name) == value
    for value in (
        low - 1,
        high + 1,
        None,
        "1",
        True,
        float("nan"),
        *((low + 0.5,) if "whole" in each.metadata else ()),
    ):
        with pytest.raises(ConfigError, match=rf"quic\.{each.name}: "):
            QUICSettings(**{each.name: value})


@pytest.mark.parametrize("name", [each.name for each in fields(QUICSettings) if "low" not in each.metadata])
def test_other_settings_have_a_kind(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"quic\.{name}: "):
        QUICSettings(**{name: "on"})
