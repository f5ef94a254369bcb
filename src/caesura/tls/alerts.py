"""Alerts as they stand in records (RFC 9846 section 6, RFC 5246 section 7.2)."""

from __future__ import annotations

from typing import Final

from caesura.errors import ALERTS, AlertDescription, DecodeError, IllegalParameter, UnexpectedMessage

WARNING: Final = 1  # AlertLevel
FATAL: Final = 2


def read_untrusted(content: bytes, *, tls12: bool) -> tuple[int, AlertDescription | int]:
    """Level and description of the one alert that a record holds."""
    if not content:
        raise UnexpectedMessage("an empty alert record", section="RFC 9846 section 5.4")
    if len(content) != 2:
        raise DecodeError("a record of type alert holds one alert", section="RFC 9846 section 5.1")
    if tls12 and content[0] not in (WARNING, FATAL):
        raise IllegalParameter(f"an alert of level {content[0]}", section="RFC 5246 section 7.2")
    return content[0], ALERTS.get(content[1], content[1])
