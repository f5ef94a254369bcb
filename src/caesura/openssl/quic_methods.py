"""Which method of QUIC a context was made with: the object has the method alone, the pages' have a role too."""

from __future__ import annotations

from enum import Enum, auto, unique
from weakref import WeakKeyDictionary

from caesura.context import Context


@unique
class QUICMethod(Enum):
    """QUIC, and the role: there is no method for both."""

    CLIENT = auto()
    CLIENT_THREAD = auto()
    SERVER = auto()


_of_contexts: WeakKeyDictionary[Context, QUICMethod] = WeakKeyDictionary()


def remember(ctx: Context, method: QUICMethod) -> None:
    """The context was made with this method."""
    _of_contexts[ctx] = method


def quic_method(ctx: Context) -> QUICMethod | None:
    """The method of QUIC that a context was made with, if it was."""
    return _of_contexts.get(ctx)
