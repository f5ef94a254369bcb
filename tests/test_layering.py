"""Holds the order of the layers and the list of files that may touch the outside world.

Every import in `src/caesura` is read with `ast`, wherever it stands: at the top, inside a function, under
`if TYPE_CHECKING`, or as `import_module("name")`. The rules are the tables below; `violations` is tried on made-up
sources first, because a rule that reports nothing proves nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = "caesura"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

# From the bottom up. A layer may import those before it, and itself.
ORDER = (
    "errors", "clock", "deadlines", "wire", "jobs", "crypto", "engines", "sessions", "replay", "compression",
    "quic_settings", "settings", "checks", "context", "events", "handshake", "tls", "dtls", "quic", "bio", "transfer",
    "readiness", "assist", "sslobject", "polling", "openssl", "aio", "cli", "__main__",
)  # fmt: skip

# These may import less than what stands before them.
NARROWER: Mapping[str, frozenset[str]] = {
    "clock": frozenset(),
    "deadlines": frozenset(),
    "wire": frozenset({"errors"}),
    "compression": frozenset({"wire"}),
    "quic_settings": frozenset({"errors", "wire", "crypto"}),
    "readiness": frozenset({"errors", "jobs"}),
    "jobs": frozenset({"errors"}),  # jobs know nothing of TLS
    "crypto": frozenset({"errors", "wire"}),
    "engines": frozenset({"errors", "wire", "jobs", "crypto"}),
}
TRANSPORTS = frozenset({"tls", "dtls", "quic"})  # never see each other

# The package itself gathers the public names, so it stands above what it gathers; only the command line uses it.
MAY_IMPORT_PACKAGE = frozenset({"cli"})

OUTSIDE = frozenset({"socket", "select", "selectors", "threading", "asyncio", "time"})
MAY_TOUCH_OUTSIDE = frozenset(
    {"clock.py", "assist.py", "bio", "sslobject", "polling", "aio", "engines", "cli", "jobs/pool.py", "jobs/wakeup.py"}
)

# One door each.
DOORS: Mapping[str, str] = {
    "cryptography": "crypto",
    "hashlib": "crypto",
    "hmac": "crypto",
    "greenlet": "jobs",
    "click": "cli",
    "rich": "cli",
}
EVERYWHERE = frozenset({"hmac.compare_digest"})
NOWHERE = frozenset({"random"})  # randomness is handed in, and comes from the system


def allowed_layers(layer: str) -> frozenset[str]:
    """The layers that `layer` may import."""
    below = NARROWER.get(layer, frozenset(ORDER[: ORDER.index(layer)]))
    return (below - TRANSPORTS if layer in TRANSPORTS else below) | {layer}


def imported(tree: ast.AST, module: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a module imports; `module` is the package it lives in, for relative imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=name, names=names, level=level):
                base = module[: len(module) - level + 1] if level else ()
                start = ".".join((*base, *([name] if name else [])))
                for alias in names:
                    yield node.lineno, f"{start}.{alias.name}"
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def uses_only_compare_digest(tree: ast.AST) -> bool:
    """Whether a module with `import hmac` takes nothing else from it."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "hmac"
    }
    return all(
        node.attr == "compare_digest"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
    )


def violations(path: str, source: str) -> list[str]:
    """What one file, named relative to the package (`tls/records.py`), imports against the rules."""
    parts = path.removesuffix(".py").split("/")
    layer = "" if parts == ["__init__"] else parts[0]
    tree = ast.parse(source)
    package = (PACKAGE, *parts[:-1])
    found = []
    for line, name in imported(tree, package):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        where = f"{path}:{line} imports {name}"
        if top == PACKAGE and layer:
            if target in ORDER:
                if target not in allowed_layers(layer):
                    found.append(f"{where}: {layer} is not above {target}")
            elif layer not in MAY_IMPORT_PACKAGE:
                found.append(f"{where}: public names are gathered above {layer}")
        elif top in NOWHERE:
            found.append(f"{where}: nobody may")
        elif top in OUTSIDE and MAY_TOUCH_OUTSIDE.isdisjoint((path, layer)):
            found.append(f"{where}: sockets, loops, threads and clocks stay outside")
        elif top in DOORS and layer != DOORS[top]:
            if name in EVERYWHERE or (name == "hmac" and uses_only_compare_digest(tree)):
                continue
            found.append(f"{where}: only {DOORS[top]} may")
    return found


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_upward(path: Path) -> None:
    found = violations(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_every_module_belongs_to_a_layer() -> None:
    layers = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in sources()}
    assert layers - {"__init__"} <= set(ORDER)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        # the order
        ("wire/codec.py", "from caesura.jobs import Job"),
        ("wire/codec.py", "import caesura.crypto.aead"),
        ("wire/codec.py", "from ..tls.connection import TLSConnection"),
        ("errors.py", "from . import wire"),
        ("errors.py", "from .wire import codec"),
        ("jobs/job.py", "from caesura.wire.codec import U8"),
        ("crypto/suites.py", "from caesura.jobs import wait"),
        ("engines/base.py", "from caesura.context import Context"),
        ("context.py", "from caesura.handshake.tickets import Session"),
        ("handshake/driver.py", "from ..tls import records"),
        ("handshake/driver.py", "def late() -> None:\n    from caesura.tls import records"),
        ("handshake/driver.py", "if TYPE_CHECKING:\n    from caesura.tls import records"),
        ("handshake/driver.py", "import_module('caesura.tls.records')"),
        ("handshake/driver.py", "importlib.import_module('caesura.tls.records')"),
        ("sslobject.py", "from caesura.aio import streams"),
        # transports
        ("dtls/connection.py", "from caesura.tls.records import split"),
        ("quic/connection.py", "from caesura.dtls import replay"),
        ("tls/connection.py", "from caesura import quic"),
        # the package
        ("tls/connection.py", "from caesura import Context"),
        ("aio/streams.py", "import caesura"),
        ("aio/streams.py", "from .. import Context"),
        # the outside
        ("tls/connection.py", "import socket"),
        ("tls/connection.py", "from time import monotonic"),
        ("jobs/job.py", "import threading"),
        ("handshake/driver.py", "def f() -> None:\n    import asyncio.events"),
        ("context.py", "import time as clock"),
        ("openssl/events.py", "import select, selectors"),
        # one door each
        ("tls/records.py", "from cryptography.hazmat.primitives.ciphers.aead import AESGCM"),
        ("handshake/schedule13.py", "import hashlib"),
        ("handshake/tickets.py", "import hmac\nhmac.new(b'', b'', 'sha256')"),
        ("handshake/tickets.py", "import hmac as mac\nmac.digest(b'', b'', 'sha256')"),
        ("handshake/tickets.py", "from hmac import digest"),
        ("aio/streams.py", "import greenlet"),
        ("engines/base.py", "from rich.table import Table"),
        # nowhere
        ("cli/demo.py", "import random"),
        ("crypto/groups.py", "from random import SystemRandom"),
    ],
)
def test_a_broken_rule_is_reported(path: str, source: str) -> None:
    assert violations(path, source), "this import should have been reported"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("wire/messages.py", "from .codec import U8\nfrom ..errors import DecodeError\nimport struct"),
        ("wire/__init__.py", "from .codec import U8\nfrom caesura.wire import codec"),
        ("jobs/pool.py", "import threading\nfrom greenlet import greenlet"),
        ("jobs/wakeup.py", "import select, socket, time"),
        ("crypto/aead.py", "from cryptography.exceptions import InvalidTag\nimport hashlib, hmac"),
        ("engines/threads.py", "import threading\nfrom caesura.jobs import wait"),
        ("handshake/tickets.py", "import hmac\nhmac.compare_digest(b'', b'')"),
        ("handshake/tickets.py", "from hmac import compare_digest"),
        ("context.py", "from caesura.engines import Engine\nfrom caesura import jobs"),
        (
            "aio/streams.py",
            "import asyncio\nfrom caesura.tls import connection\nfrom caesura import quic",
        ),
        ("cli/demo.py", "import caesura\nfrom rich.table import Table\nfrom caesura import Context"),
        ("__init__.py", "from caesura.context import Context\nfrom . import jobs"),
    ],
)
def test_what_the_rules_allow_is_not_reported(path: str, source: str) -> None:
    assert violations(path, source) == []
