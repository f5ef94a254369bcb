"""Files over HTTP/1.0 (RFC 1945): what a request asks for, and which file that is. No sockets.

Only GET and HEAD are answered, and only regular files beneath one directory are given out: `..` is refused, and where
symbolic links lead is looked at before anything is opened.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

MAX_HEAD: Final = 8192  # bytes of request line and headers

# A named pipe is not waited for, and a link put there at the last moment is not followed (open(2)).
_OPEN_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: HTTPStatus, *headers: tuple[str, str]) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a file: `parts` are the names on the way to it, beneath the directory."""

    method: str
    parts: tuple[str, ...]
    names_directory: bool  # it ended in a slash


def parse_request(head: bytes) -> Request:
    """The request of which these are the request line and the headers; Refused if it is not a good one."""
    line = head.partition(b"\n")[0].rstrip(b"\r")
    try:
        method, target, version = line.decode("ascii").split(" ")
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST) from None
    if not (version.startswith("HTTP/1.") and target.startswith("/") and target.isprintable()):
        raise Refused(HTTPStatus.BAD_REQUEST)
    if method not in {"GET", "HEAD"}:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
    path = os.fsdecode(unquote_to_bytes(target.partition("?")[0].partition("#")[0]))
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    # A backslash or a colon in a name would be a way out on some systems.
    if any(part == ".." or {"\0", "\\", ":", os.sep} & set(part) for part in parts):
        raise Refused(HTTPStatus.NOT_FOUND)
    return Request(method, parts, path.endswith("/"))


def parse_plain_request(line: bytes) -> Request:
    """The request of HTTP/0.9, as `hq-interop` has it: "GET /path", and nothing else. Refused if it is not that."""
    words = line.rstrip(b"\r\n").split(b" ")
    if len(words) != 2 or words[0] != b"GET":
        raise Refused(HTTPStatus.BAD_REQUEST)
    return parse_request(b" ".join((*words, b"HTTP/1.0")))


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is open for reading, to be closed by who asked for it."""

    file: BufferedReader
    size: int  # bytes
    modified: float  # seconds since 1970
    content_type: str


def find(root: Path, request: Request) -> Found:
    """The file that is asked for; `index.html` stands for its directory. Refused if there is none to be given out.

    `root` must be resolved. May block, as file systems do.
    """
    try:
        path = root.joinpath(*request.parts).resolve(strict=True)
        if path.is_dir() and path.is_relative_to(root):
            if not request.names_directory:  # its page's relative links would lead elsewhere
                here = "".join("/" + quote(os.fsencode(part)) for part in request.parts)
                raise Refused(HTTPStatus.MOVED_PERMANENTLY, ("Location", here + "/"))
            path = (path / "index.html").resolve(strict=True)
        elif request.names_directory:
            raise Refused(HTTPStatus.NOT_FOUND)
        if not path.is_relative_to(root):
            raise Refused(HTTPStatus.NOT_FOUND)
        return _open(path)
    except PermissionError:
        raise Refused(HTTPStatus.FORBIDDEN) from None
    except (OSError, ValueError, RuntimeError):  # not there, no possible name, a loop of links
        raise Refused(HTTPStatus.NOT_FOUND) from None


def _open(path: Path) -> Found:
    file = open(os.open(path, _OPEN_FLAGS), "rb")  # noqa: SIM115 - who asked closes it
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        file.close()
        raise Refused(HTTPStatus.NOT_FOUND)
    kind, encoding = mimetypes.guess_type(path.name)
    content_type = "application/octet-stream" if kind is None or encoding is not None else kind
    return Found(file, facts.st_size, facts.st_mtime, content_type)


def response_head(status: HTTPStatus, headers: Iterable[tuple[str, str]], now: float) -> bytes:
    """The status line and the headers of an answer; `now` in seconds since 1970."""
    lines = [f"HTTP/1.0 {status.value} {status.phrase}", f"Date: {formatdate(now, usegmt=True)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def found_headers(found: Found) -> list[tuple[str, str]]:
    """What is said of a file."""
    return [
        ("Content-Type", found.content_type),
        ("Content-Length", str(found.size)),
        ("Last-Modified", formatdate(found.modified, usegmt=True)),
        ("X-Content-Type-Options", "nosniff"),
    ]


def refusal(refused: Refused, now: float) -> bytes:
    """The whole answer to a request that is refused."""
    body = f"{refused.status.value} {refused.status.phrase}\n".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *refused.headers]
    return response_head(refused.status, headers, now) + body
