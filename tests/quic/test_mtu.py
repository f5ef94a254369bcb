"""The search for the path's MTU (RFC 9000 section 14.3, RFC 8899)."""

from __future__ import annotations

import pytest

from caesura.quic.mtu import BASE, PathMTU


def search(mtu: PathMTU, carries: int, now: float = 0.0) -> list[int]:
    """Probe until there is nothing to try; the sizes tried."""
    tried = []
    while size := mtu.probe_size(now):
        mtu.sent(size)
        assert mtu.probe_size(now) == 0  # one at a time
        tried.append(size)
        (mtu.acked if size <= carries else mtu.lost)(size, 0, b"")
        assert len(tried) < 100
    return tried


@pytest.mark.parametrize("carries", [1200, 1201, 1280, 1350, 1452, 1472, 4000, 8952, 8999])
def test_what_the_path_carries_is_found(carries: int) -> None:
    mtu = PathMTU(9000)
    search(mtu, carries)
    assert carries - 16 <= mtu.size <= max(carries, BASE)


def test_the_largest_size_is_tried_first_and_thrice() -> None:
    assert search(PathMTU(1452), 1500) == [1452]
    assert search(PathMTU(1452), 1400)[:4] == [1452, 1452, 1452, 1326]


def test_nothing_is_tried_where_there_is_nothing_to_gain() -> None:
    assert search(PathMTU(1200), 1500) == []
    assert search(PathMTU(1215), 1500) == []


def test_a_lost_probe_may_have_been_bad_luck() -> None:
    mtu = PathMTU(1452)
    for _ in range(2):
        mtu.sent(mtu.probe_size(0.0))
        mtu.lost(1452, 0, b"")
    mtu.sent(mtu.probe_size(0.0))
    mtu.acked(1452, 0, b"")
    assert mtu.size == 1452


def test_the_search_begins_anew_after_ten_minutes() -> None:
    mtu = PathMTU(1452)
    search(mtu, 1300)
    assert mtu.probe_size(500.0) == 0
    assert search(mtu, 1500, now=601.0) == [1452]
    assert mtu.size == 1452


def test_a_black_hole() -> None:
    mtu = PathMTU(1452)
    mtu.black_hole()
    assert search(mtu, 1500) == [1452]
    mtu.black_hole()
    assert mtu.size == BASE
    assert max(search(mtu, 1300)) < 1452
    assert 1284 <= mtu.size <= 1300
