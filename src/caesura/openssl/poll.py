"""Waiting for several objects at once (SSL_poll(3))."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TypeVar

from caesura.errors import UsageError
from caesura.openssl.constants import SSL_POLL_FLAG_NO_HANDLE_EVENTS
from caesura.polling import Item, poll
from caesura.readiness import PollEvent

_T = TypeVar("_T")


def SSL_as_poll_descriptor(s: _T) -> _T:
    """What stands for the object in an item of `SSL_poll`: the object. SSL_as_poll_descriptor(3)."""
    return s


def SSL_poll(items: Iterable[Item], timeout: float | None = None, flags: int = 0) -> tuple[int, list[PollEvent], int]:
    """(1, what holds of each item, of how many anything does), as soon as something does that was asked for.

    An item is a pair: an object, a socket, or None; and the events. `timeout`: seconds, 0 for no waiting, None for
    ever; when it has passed nothing holds of any. 0 if an item has SSL_POLL_EVENT_F: it cannot be polled; or, with the
    count 0, if the call makes no sense. SSL_poll(3), but TLS and DTLS connections and sockets can be polled too.
    """
    pairs: list[Item] = []
    found: list[PollEvent] | None = None
    with suppress(UsageError, TypeError):
        pairs += items
        if not flags & ~SSL_POLL_FLAG_NO_HANDLE_EVENTS:
            found = poll(pairs, timeout, handle_events=not flags)
    if found is None:
        return 0, [PollEvent.NONE] * len(pairs), 0
    count = sum(map(bool, found))
    return int(not any(each & PollEvent.F for each in found)), found, count
