"""Host names and addresses: one canonical form, and the matching of wildcards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto.names import matches, server_name
from caesura.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "text", "sni"),
    [
        ("example.test", "example.test", "example.test"),
        ("Example.TEST.", "example.test", "example.test"),
        ("localhost", "localhost", "localhost"),
        ("a-b.c_d.test", "a-b.c_d.test", "a-b.c_d.test"),
        ("3com.test", "3com.test", "3com.test"),
        ("münchen.test", "xn--mnchen-3ya.test", "xn--mnchen-3ya.test"),
        ("127.0.0.1", "127.0.0.1", None),
        ("::1", "::1", None),
        ("2001:DB8:0:0::1", "2001:db8::1", None),
        ("fe80::1%eth0", "fe80::1", None),
    ],
)
def test_canonical_forms(written: str, text: str, sni: str | None) -> None:
    name = server_name(written)
    assert name.text == text
    assert name.sni == sni


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "a..b",
        ".test",
        "-a.test",
        "a-.test",
        "*.test",
        "a b.test",
        "a\0.test",
        "exämple\0.test",
        "1.2.3.4.5",
        "1.2.3.256",
        "127.1",
        "[::1]",
        "example.test:443",
        "https://example.test",
        "a" * 64 + ".test",
        ".".join(["abcdefgh"] * 29),
    ],
)
def test_what_is_no_name(written: str) -> None:
    with pytest.raises(ConfigError, match="server_hostname"):
        server_name(written)


@pytest.mark.parametrize(
    ("wanted", "presented", "answer"),
    [
        ("example.test", ["example.test"], True),
        ("example.test", ["EXAMPLE.Test"], True),
        ("example.test", ["other.test", "example.test"], True),
        ("example.test", [], False),
        ("example.test", ["sub.example.test"], False),
        ("a.example.test", ["*.example.test"], True),
        ("a.b.example.test", ["*.example.test"], False),
        ("example.test", ["*.example.test"], False),
        ("example.test", ["*.test"], False),  # a wildcard under a top-level name
        ("localhost", ["*"], False),
        ("ab.example.test", ["a*.example.test", "*b.example.test"], False),
        ("a.b.test", ["a.*.test"], False),
    ],
)
def test_matching(wanted: str, presented: list[str], answer: bool) -> None:
    assert matches(server_name(wanted).text, presented) is answer


@given(st.text())
def test_any_text_is_a_name_or_a_config_error(text: str) -> None:
    try:
        name = server_name(text)
    except ConfigError:
        return
    assert server_name(name.text) == name
    assert name.text.isascii()
