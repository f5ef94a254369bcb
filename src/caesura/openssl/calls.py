"""Errors belong to the call, and are kept with the object it was about: there is no queue of the thread's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from caesura.context import Context
from caesura.errors import Error
from caesura.sslobject import SSL
from caesura.sslobject.quic_listener import Listener
from caesura.sslobject.quic_stream import QUICStream

T = TypeVar("T")

Object: TypeAlias = SSL | QUICStream | Listener
"""What C calls an SSL."""

_errors: WeakKeyDictionary[Object | Context, Error | OSError] = WeakKeyDictionary()


def call(about: Object | Context, function: Callable[[], T], failed: T) -> T:
    """What `function` returns; `failed` when it raises an error, which is kept."""
    _errors.pop(about, None)
    try:
        return function()
    except (Error, OSError) as error:
        _errors[about] = error.with_traceback(None)  # its frames hold the object, which could then never be freed
        return failed


def done(about: Object | Context, action: Callable[[], object], failed: int = 0) -> int:
    """1 when `action` succeeds."""
    return call(about, lambda: (action(), 1)[1], failed)


def quietly(action: Callable[[], object]) -> int:
    """The same for a call that is no I/O, in QUIC: what the last one that is has come to stays (SSL_get_error(3))."""
    try:
        action()
    except (Error, OSError):
        return 0
    return 1


def failure(about: Object | Context) -> Error | OSError | None:
    """What the last call on it raised, None if it succeeded."""
    return _errors.get(about)


def set_all(about: SSL | Context, **settings: object) -> int:
    """Change settings of a context, or of a connection's own; 1 when they are good."""
    context = about.context if isinstance(about, SSL) else about

    def change() -> None:
        for name, value in settings.items():
            setattr(context, name, value)

    return done(about, change)
