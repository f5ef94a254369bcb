"""Files over HTTP/1.0: which requests are good, and that nothing outside the directory is ever given out."""

from __future__ import annotations

import os
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.cli.www import Refused, Request, find, found_headers, parse_request, refusal, response_head


def refused(head: bytes) -> HTTPStatus:
    with pytest.raises(Refused) as found:
        parse_request(head)
    return found.value.status


@pytest.mark.parametrize(
    ("line", "parts", "names_directory"),
    [
        (b"GET / HTTP/1.0", (), True),
        (b"GET /a HTTP/1.0", ("a",), False),
        (b"GET /a/b/ HTTP/1.1", ("a", "b"), True),
        (b"GET //a/./b HTTP/1.0", ("a", "b"), False),
        (b"GET /a%20b?c=d#e HTTP/1.0", ("a b",), False),
        (b"GET /%C3%BC HTTP/1.0", ("ü",), False),
        (b"GET /%2e/a%2fb HTTP/1.0", ("a", "b"), False),
    ],
)
def test_good_requests(line: bytes, parts: tuple[str, ...], names_directory: bool) -> None:
    assert parse_request(line + b"\r\nHost: x\r\n\r\n") == Request("GET", parts, names_directory)
    assert parse_request(line + b"\n\n") == Request("GET", parts, names_directory)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET /",
        b"GET  / HTTP/1.0",
        b"GET / HTTP/2.0",
        b"GET http://x/ HTTP/1.0",
        b"GET * HTTP/1.0",
        b"\xff / HTTP/1.0",
        b"GET /\x1b[2J HTTP/1.0",
        b"GET /a b HTTP/1.0",
    ],
)
def test_bad_requests(line: bytes) -> None:
    assert refused(line + b"\r\n\r\n") is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"CONNECT", b"get", b"OPTIONS"])
def test_other_methods(method: bytes) -> None:
    assert refused(method + b" / HTTP/1.0\r\n\r\n") is HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    "path", [b"/..", b"/../a", b"/a/../b", b"/%2e%2e/a", b"/..%2fa", b"/a%00b", b"/..%5ca", b"/c:/a", b"/a/%2E%2e"]
)
def test_ways_out_are_refused_before_the_file_system_is_asked(path: bytes) -> None:
    assert refused(b"GET " + path + b" HTTP/1.0\r\n\r\n") is HTTPStatus.NOT_FOUND


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(head: bytes) -> None:
    try:
        request = parse_request(b"GET /" + head)
    except Refused:
        return
    assert ".." not in request.parts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`site`, with something beside it that must stay there."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site-two").mkdir()
    (tmp_path / "site-two" / "secret.txt").write_text("secret")
    site = tmp_path / "site"
    (site / "empty").mkdir(parents=True)
    (site / "page.html").write_text("a page")
    (site / "sub").mkdir()
    (site / "sub" / "index.html").write_text("the index")
    (site / "name with ü").write_text("odd")
    return site.resolve()


def get(root: Path, *parts: str, directory: bool = False) -> bytes:
    found = find(root, Request("GET", parts, directory))
    with found.file:
        content = found.file.read()
    assert len(content) == found.size
    return content


def status(root: Path, *parts: str, directory: bool = False) -> HTTPStatus:
    with pytest.raises(Refused) as raised:
        find(root, Request("GET", parts, directory))
    return raised.value.status


def test_files_and_indexes(root: Path) -> None:
    assert get(root, "page.html") == b"a page"
    assert get(root, "sub", directory=True) == b"the index"
    assert get(root, "name with ü") == b"odd"


def test_what_is_not_there(root: Path) -> None:
    assert status(root, "nothing") is HTTPStatus.NOT_FOUND
    assert status(root, "empty", directory=True) is HTTPStatus.NOT_FOUND
    assert status(root, "page.html", directory=True) is HTTPStatus.NOT_FOUND
    assert status(root, "page.html", "below") is HTTPStatus.NOT_FOUND
    assert status(root, "x" * 5000) is HTTPStatus.NOT_FOUND


def test_a_directory_is_redirected_to_its_slash_and_never_to_another_host(root: Path) -> None:
    with pytest.raises(Refused) as raised:
        find(root, parse_request(b"GET //sub HTTP/1.0\r\n\r\n"))
    assert raised.value.status is HTTPStatus.MOVED_PERMANENTLY
    assert raised.value.headers == (("Location", "/sub/"),)


def test_links_inside_are_followed_and_links_out_are_not(root: Path) -> None:
    (root / "inside").symlink_to("page.html")
    (root / "file").symlink_to("../secret.txt")
    (root / "directory").symlink_to("..")
    (root / "sibling").symlink_to("../site-two")  # its path begins with the root's, as text
    (root / "loop").symlink_to("loop")
    (root / "trap").mkdir()
    (root / "trap" / "index.html").symlink_to(root.parent / "secret.txt")
    assert get(root, "inside") == b"a page"
    assert status(root, "file") is HTTPStatus.NOT_FOUND
    assert status(root, "directory", "secret.txt") is HTTPStatus.NOT_FOUND
    assert status(root, "directory") is HTTPStatus.NOT_FOUND
    assert status(root, "directory", directory=True) is HTTPStatus.NOT_FOUND
    assert status(root, "sibling", "secret.txt") is HTTPStatus.NOT_FOUND
    assert status(root, "loop") is HTTPStatus.NOT_FOUND
    assert status(root, "trap", directory=True) is HTTPStatus.NOT_FOUND


def test_pipes_and_devices_are_neither_opened_for_long_nor_given_out(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert status(root, "pipe") is HTTPStatus.NOT_FOUND


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(root: Path) -> None:
    (root / "page.html").chmod(0)
    assert status(root, "page.html") is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"),
        ("a.txt", "text/plain"),
        ("a", "application/octet-stream"),
        ("a.txt.gz", "application/octet-stream"),
    ],
)
def test_content_types(root: Path, name: str, kind: str) -> None:
    (root / name).write_bytes(b"12345")
    found = find(root, Request("GET", (name,), names_directory=False))
    found.file.close()
    headers = dict(found_headers(found))
    assert headers["Content-Type"] == kind
    assert headers["Content-Length"] == "5"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert parsedate_to_datetime(headers["Last-Modified"]).timestamp() == int(found.modified)


def test_answers() -> None:
    head = response_head(HTTPStatus.OK, [("A", "b")], 0)
    assert head == b"HTTP/1.0 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\nA: b\r\n\r\n"
    whole = refusal(Refused(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD")), 0)
    assert whole.endswith(b"Content-Length: 23\r\nAllow: GET, HEAD\r\n\r\n405 Method Not Allowed\n")
