"""The fuzz targets under hypothesis: bytes out of nothing, and well-formed ones that were damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.wire import extensions as x
from caesura.wire.messages import ClientHello
from tests.fuzz import decoders, run, states
from tests.fuzz.decoders import SEEDS, TARGETS


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some bytes changed, put in, taken out or doubled."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        data[start:stop] = draw(
            st.binary(max_size=4)
            | st.sampled_from([b"\0", b"\xff", b"\xff\xff", b"\x0a\x0a", bytes(data[start:stop]) * 2])
        )
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_accepted(name: str) -> None:
    assert SEEDS[name]
    assert all(TARGETS[name](seed) for seed in SEEDS[name])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_refusal_or_nothing(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(st.binary(max_size=64) | damaged(SEEDS[name])))


def test_every_decoder_is_a_target() -> None:
    assert TARGETS.keys() == SEEDS.keys()
    assert {name for name in TARGETS if name.startswith("extension.")} == {
        f"extension.{name}" for name, row in vars(x).items() if row in x.TABLE
    }


def test_a_target_lets_no_other_exception_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that swallows everything would find nothing."""

    def broken(data: bytes) -> ClientHello:
        raise IndexError

    monkeypatch.setattr(ClientHello, "decode", broken)
    with pytest.raises(IndexError):
        TARGETS["ClientHello"](b"")


def test_a_target_sees_a_value_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x.Extension, "encode", lambda self, value: b"\0\1x")
    with pytest.raises(AssertionError):
        TARGETS["extension.COOKIE"](b"\0\1a")


def test_the_runner_knows_the_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == [*decoders.TARGETS, *states.TARGETS]
    assert run.main(["no such target"]) == 2
