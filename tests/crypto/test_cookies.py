"""Cookies: for one address, for a while, and of our own making."""

from __future__ import annotations

import pytest

from caesura.crypto.cookies import CookieKeys
from caesura.errors import ConfigError

HERE, THERE = b"192.0.2.1:1", b"192.0.2.1:2"


def test_a_cookie_comes_back() -> None:
    keys = CookieKeys()
    cookie = keys.seal(b"state", HERE, 1000.0)
    assert keys.open_untrusted(cookie, HERE, 1000.0) == b"state"
    assert keys.open_untrusted(cookie, HERE, 1060.0) == b"state"


def test_a_cookie_is_for_its_address() -> None:
    keys = CookieKeys()
    assert keys.open_untrusted(keys.seal(b"state", HERE, 1000.0), THERE, 1000.0) is None
    moved = keys.seal(HERE[-1:] + b"state", HERE[:-1], 1000.0)  # address and state cannot be cut elsewhere
    assert keys.open_untrusted(moved[:8] + moved[9:], HERE, 1000.0) is None


def test_a_cookie_grows_old() -> None:
    keys = CookieKeys([bytes(32)], lifetime=10)
    cookie = keys.seal(b"state", HERE, 1000.0)
    assert keys.open_untrusted(cookie, HERE, 1010.0) == b"state"
    assert keys.open_untrusted(cookie, HERE, 1010.1) is None
    assert keys.open_untrusted(cookie, HERE, 900.0) is None  # of a clock that was set back


def test_secrets_change_by_themselves_and_overlap() -> None:
    keys = CookieKeys(period=60, lifetime=1000)
    cookie = keys.seal(b"state", HERE, 1000.0)
    keys.seal(b"", THERE, 1060.0)
    assert keys.open_untrusted(cookie, HERE, 1060.0) == b"state"
    keys.seal(b"", THERE, 1120.0)
    assert keys.open_untrusted(cookie, HERE, 1120.0) is None


def test_given_secrets_stay_and_are_shared() -> None:
    one, two = CookieKeys([bytes(32)]), CookieKeys([b"n" * 32, bytes(32)])
    cookie = one.seal(b"state", HERE, 1000.0)
    assert two.open_untrusted(cookie, HERE, 1000.0) == b"state"
    one.rotate(b"n" * 32)
    assert two.open_untrusted(one.seal(b"state", HERE, 1000.0), HERE, 1000.0) == b"state"
    assert one.open_untrusted(cookie, HERE, 1000.0) == b"state"
    one.rotate()
    assert one.open_untrusted(cookie, HERE, 1000.0) is None


@pytest.mark.parametrize("at", [0, 7, 8, 12, -17, -16, -1])
def test_any_change_is_noticed(at: int) -> None:
    keys = CookieKeys()
    cookie = bytearray(keys.seal(b"state", HERE, 1000.0))
    cookie[at] ^= 1
    assert keys.open_untrusted(bytes(cookie), HERE, 1000.0) is None


@pytest.mark.parametrize("size", range(25))
def test_short_cookies(size: int) -> None:
    assert CookieKeys().open_untrusted(bytes(size), HERE, 1000.0) is None


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ConfigError, match="cookie_keys"):
        CookieKeys([bytes(31)])
    with pytest.raises(ConfigError, match="cookie_keys"):
        CookieKeys().rotate(bytes(31))
