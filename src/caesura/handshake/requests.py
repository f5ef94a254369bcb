"""What a handshake may ask of its driver: the peer's next message, or a piece of work that may take long.

A handshake is a generator (`Steps`) and a `yield` in it is one of these requests, nothing else. So a test can answer
every request by hand: canned messages, canned signatures, a failure or a cancellation at any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from caesura.engines import Answer, Operation
from caesura.wire.messages import HandshakeMessage

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
M = TypeVar("M", bound=HandshakeMessage)


Receive = tuple[type[HandshakeMessage], ...]
"""The peer's next message, which must be of one of these types."""


@dataclass(slots=True)
class Perform(Generic[T]):
    """One piece of work: `function(*args)`, run by the engine."""

    operation: Operation
    function: Callable[..., Answer[T]]
    args: tuple[Any, ...] = field(default=(), repr=False)  # plaintext and keys are among them


@dataclass(slots=True)
class PerformBoth(Generic[A, B]):
    """Two pieces of work that do not depend on each other; the first failure cancels the other."""

    first: Perform[A]
    second: Perform[B]


Request = Receive | Perform[Any] | PerformBoth[Any, Any]
Steps = Generator[Request, Any, T]


def receive(*types: type[M]) -> Steps[M]:
    """The peer's next message. One of another type is unexpected_message."""
    message: M = yield types
    return message


def perform(operation: Operation, function: Callable[..., Answer[T]], *args: Any) -> Steps[T]:
    """The result of `function(*args)`, which may pause."""
    result: T = yield Perform(operation, function, args)
    return result


def perform_both(first: Perform[A], second: Perform[B]) -> Steps[tuple[A, B]]:
    """Both results, when both are there."""
    results: tuple[A, B] = yield PerformBoth(first, second)
    return results
