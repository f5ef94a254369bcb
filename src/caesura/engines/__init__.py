"""Engines: where the operations of a handshake run (inline, on threads, delayed; a key may live anywhere).

Context(identity=..., engine=ThreadEngine(workers=4))
"""

from __future__ import annotations

from caesura.engines.base import (
    ALL_OPERATIONS,
    HANDSHAKE_OPERATIONS,
    Answer,
    Engine,
    Operation,
    PrivateKey,
    Refused,
    Work,
)
from caesura.engines.delay import DelayEngine
from caesura.engines.inline import InlineEngine
from caesura.engines.threads import ThreadEngine

__all__ = [
    "ALL_OPERATIONS",
    "HANDSHAKE_OPERATIONS",
    "Answer",
    "DelayEngine",
    "Engine",
    "InlineEngine",
    "Operation",
    "PrivateKey",
    "Refused",
    "ThreadEngine",
    "Work",
]
