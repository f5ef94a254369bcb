"""Secrets: nothing of them shows, and they compare like secrets."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from caesura.crypto.secrets import Secret, SharedSecret, TrafficSecret
from caesura.crypto.suites import SUITES

SUITE = next(iter(SUITES.values()))
MARK = b"do not show me"


@pytest.mark.parametrize("secret", [Secret(MARK), SharedSecret(MARK), TrafficSecret(MARK, SUITE)])
def test_neither_repr_nor_str_shows_the_bytes(secret: Secret) -> None:
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "show" not in text
        assert MARK.hex() not in text


def test_a_traceback_with_locals_does_not_show_the_bytes() -> None:
    def fails(secret: Secret) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        fails(Secret(bytes(MARK)))
    frames = traceback.StackSummary.extract(traceback.walk_tb(caught.value.__traceback__), capture_locals=True)
    inner = "".join(frames.format()[-1:])
    assert "<Secret of 14 bytes>" in inner
    assert "show" not in inner


def test_reveal_and_length() -> None:
    assert Secret(MARK).reveal() == MARK
    assert len(Secret(MARK)) == 14


def test_secrets_are_equal_by_their_bytes_and_never_equal_to_bytes() -> None:
    assert Secret(MARK) == SharedSecret(MARK)
    assert Secret(MARK) != Secret(MARK + b"!")
    assert Secret(MARK) != MARK


def test_secrets_have_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(Secret(MARK))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_are_not_pickled_or_copied(leak: object) -> None:
    with pytest.raises(TypeError):
        leak(Secret(MARK))  # type: ignore[operator]


def test_nothing_can_be_hung_on_a_secret() -> None:
    with pytest.raises(AttributeError):
        Secret(MARK).note = "x"  # type: ignore[attr-defined]
