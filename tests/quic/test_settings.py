"""What `quic=` takes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from caesura.context import Context, Method
from caesura.errors import ConfigError
from caesura.quic_settings import QUICSettings
from caesura.wire.registries import Version

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


def test_a_log_goes_to_a_directory_or_a_function(tmp_path: Path) -> None:
    assert QUICSettings().qlog_writer("one") is None
    records: list[str] = []
    writer = QUICSettings(qlog=lambda name: lambda record: records.append(name + record)).qlog_writer("one")
    assert writer is not None
    writer("!")
    assert records == ["one!"]
    writer = QUICSettings(qlog=tmp_path).qlog_writer("two")
    assert writer is not None
    writer("a")
    writer("b")
    assert (tmp_path / "two.sqlog").read_text() == "ab"
    with pytest.raises(ConfigError, match=r"quic\.qlog"):
        QUICSettings(qlog=tmp_path / "nowhere")


def test_versions_are_members_or_names() -> None:
    for given in (["QUIC2"], (Version.QUIC2,), ["QUIC2", Version.QUIC1]):
        context = Context(Method.QUIC, quic={"versions": given})
        assert context.settings.quic.versions[0] is Version.QUIC2
    for wrong in (["QUIC3"], ["TLS13"], [], "QUIC1", ["QUIC1", "QUIC1"]):
        with pytest.raises(ConfigError, match=r"quic\.versions: "):
            Context(Method.QUIC, quic={"versions": wrong})
