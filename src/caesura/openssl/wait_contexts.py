"""Wait contexts (ASYNC_WAIT_CTX_new(3))."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caesura.errors import UsageError
from caesura.jobs import WaitContext


def ASYNC_WAIT_CTX_new() -> WaitContext:
    """A wait context. ASYNC_WAIT_CTX_new(3)."""
    return WaitContext()


def ASYNC_WAIT_CTX_free(ctx: WaitContext | None) -> None:
    """Run the cleanups, newest first. ASYNC_WAIT_CTX_free(3)."""
    if ctx is not None:
        ctx.close()


def ASYNC_WAIT_CTX_set_wait_fd(
    ctx: WaitContext,
    key: object,
    fd: int,
    custom_data: Any,
    cleanup: Callable[[WaitContext, object, int, Any], object] | None,
) -> int:
    """Add a descriptor under a key. ASYNC_WAIT_CTX_set_wait_fd(3)."""
    try:
        ctx.set_wait_fd(key, fd, custom_data, cleanup)
    except UsageError:
        return 0
    return 1


def ASYNC_WAIT_CTX_get_fd(ctx: WaitContext, key: object) -> tuple[int, int | None, Any]:
    """(1, descriptor, custom data) of the newest entry with this key. ASYNC_WAIT_CTX_get_fd(3)."""
    found = ctx.get_fd(key)
    return (0, None, None) if found is None else (1, *found)


def ASYNC_WAIT_CTX_get_all_fds(ctx: WaitContext) -> tuple[int, list[int]]:
    """(1, all descriptors, newest first). ASYNC_WAIT_CTX_get_all_fds(3)."""
    return 1, ctx.get_all_fds()


def ASYNC_WAIT_CTX_get_changed_fds(ctx: WaitContext) -> tuple[int, list[int], list[int]]:
    """(1, added, deleted) since the last resume. ASYNC_WAIT_CTX_get_changed_fds(3)."""
    return (1, *ctx.get_changed_fds())


def ASYNC_WAIT_CTX_clear_fd(ctx: WaitContext, key: object) -> int:
    """Remove the newest entry with this key, without its cleanup; 0 if there is none. ASYNC_WAIT_CTX_clear_fd(3)."""
    return int(ctx.clear_fd(key))


def ASYNC_WAIT_CTX_set_callback(ctx: WaitContext | None, callback: Callable[[Any], object] | None, arg: Any) -> int:
    """Have `callback(arg)` called when the job may go on. ASYNC_WAIT_CTX_set_callback(3)."""
    if ctx is None:
        return 0
    ctx.set_callback(callback, arg)
    return 1


def ASYNC_WAIT_CTX_get_callback(ctx: WaitContext) -> tuple[int, Callable[[Any], object] | None, Any]:
    """(1, callback, argument); 0 if none is set. ASYNC_WAIT_CTX_get_callback(3)."""
    found = ctx.get_callback()
    return (0, None, None) if found is None else (1, *found)


def ASYNC_WAIT_CTX_set_status(ctx: WaitContext, status: int) -> int:
    """Say how the last submission went. ASYNC_WAIT_CTX_set_status(3)."""
    ctx.set_status(status)
    return 1


def ASYNC_WAIT_CTX_get_status(ctx: WaitContext) -> int:
    """What was last said. ASYNC_WAIT_CTX_get_status(3)."""
    return ctx.get_status()
