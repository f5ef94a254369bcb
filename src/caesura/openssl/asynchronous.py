"""Asynchronous operations of a connection (SSL_waiting_for_async(3), SSL_set_async_callback(3) and others)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caesura.context import Context
from caesura.openssl.calls import set_all as _set
from caesura.sslobject import SSL


def SSL_waiting_for_async(s: SSL) -> int:
    """1 while work of the connection is paused. SSL_waiting_for_async(3)."""
    return int(s.waiting_for_async())


def SSL_get_all_async_fds(s: SSL) -> tuple[int, list[int] | None]:
    """(1, descriptors, newest first); 0 before the first asynchronous operation. SSL_get_all_async_fds(3)."""
    return (0, None) if s.wait_context is None else (1, s.get_all_async_fds())


def SSL_get_changed_async_fds(s: SSL) -> tuple[int, list[int] | None, list[int] | None]:
    """(1, added, deleted); 0 before the first asynchronous operation. SSL_get_changed_async_fds(3)."""
    return (0, None, None) if s.wait_context is None else (1, *s.get_changed_async_fds())


def SSL_CTX_set_async_callback(ctx: Context, callback: Callable[[SSL, Any], object] | None) -> int:
    """The callback of connections made from now on. SSL_CTX_set_async_callback(3)."""
    return _set(ctx, async_callback=callback)


def SSL_CTX_set_async_callback_arg(ctx: Context, arg: Any) -> int:
    """The callback's argument for connections made from now on. SSL_CTX_set_async_callback_arg(3)."""
    return _set(ctx, async_callback_arg=arg)


def SSL_set_async_callback(s: SSL | None, callback: Callable[[SSL, Any], object] | None) -> int:
    """Call this when paused work may go on; None unsets it. SSL_set_async_callback(3)."""
    if s is None:
        return 0
    s.set_async_callback(callback, s.async_callback_arg)
    return 1


def SSL_set_async_callback_arg(s: SSL | None, arg: Any) -> int:
    """The callback's argument, looked up when it is called. SSL_set_async_callback_arg(3)."""
    if s is None:
        return 0
    s.async_callback_arg = arg
    return 1


def SSL_get_async_status(s: SSL) -> tuple[int, int | None]:
    """(1, what the engine last said); 0 before the first asynchronous operation. SSL_get_async_status(3)."""
    return (0, None) if s.wait_context is None else (1, s.get_async_status())
