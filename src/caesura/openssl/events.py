"""Events and timers (SSL_handle_events(3), SSL_get_event_timeout(3), DTLSv1_listen(3) and others)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from caesura.bio import (
    DatagramBIO,
)
from caesura.errors import WantRead
from caesura.openssl.calls import Object
from caesura.openssl.calls import call as _call
from caesura.openssl.calls import done as _done
from caesura.openssl.calls import failure as _failure
from caesura.openssl.calls import quietly as _quietly
from caesura.openssl.facts import SSL_is_dtls, SSL_is_quic
from caesura.sslobject import SSL

_NEVER: Final = 1_000_000.0  # seconds: what SSL_get_event_timeout(3) writes for callers who do not look at is_infinite


def SSL_handle_events(s: Object) -> int:
    """Serve what is due; in QUIC the whole domain. SSL_handle_events(3)."""
    if SSL_is_quic(s):
        return _quietly(s.handle_events)
    return _done(s, s.handle_events)


def SSL_get_event_timeout(s: Object) -> tuple[int, float, int]:
    """(1, seconds until SSL_handle_events has something to do, 1 if never). SSL_get_event_timeout(3)."""
    seconds = s.get_event_timeout()
    return (1, _NEVER, 1) if seconds is None else (1, seconds, 0)


def DTLSv1_get_timeout(s: SSL) -> tuple[int, float | None]:
    """(1, seconds until DTLSv1_handle_timeout has something to do); 0 if no timer runs, or not on DTLS.

    DTLSv1_get_timeout(3).
    """
    seconds = s.get_event_timeout() if SSL_is_dtls(s) else None
    return (0, None) if seconds is None else (1, seconds)


def DTLSv1_handle_timeout(s: SSL) -> int:
    """1 if a timer was due and was handled, 0 if none was, -1 on failure. DTLSv1_handle_timeout(3)."""
    due = SSL_is_dtls(s) and s.get_event_timeout() == 0.0
    return int(due) if _done(s, s.handle_events) else -1


def DTLSv1_listen(s: SSL) -> tuple[int, Any]:
    """(1, address of a client that has proved it); (0, None) when there is none yet, (-1, None) on failure.

    Cookies are ready without callbacks. Connect the socket to the address before going on. DTLSv1_listen(3).
    """
    found = _call(s, lambda: (1, s.listen()), None)
    if found is None:
        return (0 if isinstance(_failure(s), WantRead) else -1), None
    return found


def DTLS_set_timer_cb(s: SSL, cb: Callable[[SSL, int], int] | None) -> None:
    """Have `cb(ssl, us)` say how long timers run, in microseconds; until the handshake starts. DTLS_set_timer_cb(3).

    It is given 0 for the first duration, and the present one for the next.
    """

    def choose(seconds: float) -> float:
        assert cb is not None
        return cb(s, round(seconds * 1e6)) / 1e6

    s.context.dtls = replace(s.context.dtls, timer=None if cb is None else choose)


def SSL_set_mtu(s: SSL, mtu: int) -> int:
    """Bytes of a datagram of ours, without the headers of IP and UDP. SSL_set_mtu(3)."""

    def change() -> None:
        s.mtu = mtu

    return _done(s, change)


def DTLS_set_link_mtu(s: SSL, mtu: int) -> int:
    """Bytes of an IP packet of ours. DTLS_set_link_mtu(3)."""
    return SSL_set_mtu(s, mtu - (s.wbio.mtu_overhead if isinstance(s.wbio, DatagramBIO) else 28))


def DTLS_get_data_mtu(s: SSL) -> int:
    """Bytes that one SSL_write can send, 0 while that is not known. DTLS_get_data_mtu(3)."""
    return s.max_datagram


def SSL_net_read_desired(s: Object) -> int:
    """1 if the last call waits for the peer's bytes, in QUIC while anything may come. SSL_net_read_desired(3)."""
    return int(s.net_read_desired)


def SSL_net_write_desired(s: Object) -> int:
    """1 if the last call waits for the transport to take bytes. SSL_net_write_desired(3)."""
    return int(s.net_write_desired)


def SSL_get_blocking_mode(s: Object) -> int:
    """1 if calls on a QUIC object wait, 0 if not; -1 where that is the BIO's matter. SSL_get_blocking_mode(3)."""
    return int(s.blocking) if SSL_is_quic(s) else -1


def SSL_set_blocking_mode(s: Object, blocking: int) -> int:
    """Have calls on a QUIC object wait, or not; 0 where that cannot be. SSL_set_blocking_mode(3)."""

    def change() -> None:
        s.blocking = bool(blocking)

    return _quietly(change)
