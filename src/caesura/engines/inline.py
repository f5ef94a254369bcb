"""The engine that does the work at once, as a job on the calling thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from caesura.engines.base import HANDSHAKE_OPERATIONS, Operation, Work
from caesura.jobs import Job, start_job

__all__ = ["InlineEngine"]

T = TypeVar("T")


class InlineEngine:
    """Runs work as a job with the connection's wait context, so that plain code may pause in it.

    What does not pause is done when `start` returns.
    """

    __slots__ = ("operations",)

    def __init__(self, *, operations: Iterable[Operation] = HANDSHAKE_OPERATIONS) -> None:
        self.operations = frozenset(operations)

    def start(self, work: Work[T]) -> Job[T]:
        """The finished or paused job. Raises `NoJobs` when the pool of this thread is exhausted."""
        return start_job(work.run, wait_context=work.wait_context)
