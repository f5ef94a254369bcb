"""Alerts as they stand in records (RFC 9846 section 6, RFC 5246 section 7.2)."""

from __future__ import annotations

from typing import Final

from caesura.errors import ALERTS, AlertDescription, DecodeError, IllegalParameter

WARNING: Final = 1  # AlertLevel
FATAL: Final = 2


def read_untrusted(content: bytes, *, older: bool) -> tuple[int, AlertDescription | int]:
    """Level and description of the one alert that a record holds; in 1.3 any level will do, not so in `older`."""
    if len(content) != 2:
        raise DecodeError("a record of type alert holds one alert", section="RFC 9846 section 5.1")
    if older and content[0] not in (WARNING, FATAL):
        raise IllegalParameter(f"an alert of level {content[0]}", section="RFC 5246 section 7.2")
    return content[0], ALERTS.get(content[1], content[1])


def warning(description: AlertDescription) -> bytes:
    """The content of a record that leaves the connection as it is, or ends one direction."""
    return bytes((WARNING, description))


def fatal(description: AlertDescription) -> bytes:
    """The content of a record that ends the connection."""
    return bytes((FATAL, description))
