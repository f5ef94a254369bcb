"""Two SSL objects over a pair of BIOs, driven through the pages' own names, and keys that pause where a test wants."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from caesura import openssl as o
from caesura.bio import bio_pair
from caesura.context import Context, Identity, TrustStore
from caesura.jobs import WaitContext, current_job, pause_job
from caesura.sslobject import SSL
from caesura.wire.registries import SignatureScheme
from tests.support.pki import pki

RETRY = (o.SSL_ERROR_WANT_READ, o.SSL_ERROR_WANT_WRITE, o.SSL_ERROR_WANT_ASYNC, o.SSL_ERROR_WANT_ASYNC_JOB)


@cache
def identity() -> Identity:
    return Identity.load(pki().ec.chain_pem, pki().ec.key_pem)


@cache
def trust() -> TrustStore:
    return TrustStore.load(pki().trust_pem)


def client_context(**settings: Any) -> Context:
    return Context(**{"trust": trust(), "sessions": None, **settings})


def server_context(**settings: Any) -> Context:
    return Context(**{"identity": identity(), "ticket_count": 0, **settings})


def client(bio: Any = None, wbio: Any = None, *, name: str | None = "localhost", **settings: Any) -> SSL:
    return SSL(client_context(**settings), bio, wbio, server_side=False, server_hostname=name)


def server(bio: Any = None, wbio: Any = None, **settings: Any) -> SSL:
    return SSL(server_context(**settings), bio, wbio, server_side=True)


def pair(
    *, size: int = 0, client_settings: dict[str, Any] | None = None, server_settings: dict[str, Any] | None = None
) -> tuple[SSL, SSL]:
    """A client and a server over a byte pair, their handshake not begun."""
    one, two = bio_pair(size, size)
    return client(one, **client_settings or {}), server(two, **server_settings or {})


def handshake(*sides: SSL, between: Callable[[SSL, int], object] | None = None) -> None:
    """Perform the handshake of all sides; `between` sees each code that asks for a retry."""
    unfinished = list(sides)
    for _ in range(200_000):
        for side in list(unfinished):
            ret = o.SSL_do_handshake(side)
            if ret == 1:
                unfinished.remove(side)
                continue
            code = o.SSL_get_error(side, ret)
            if code not in RETRY:
                raise AssertionError(f"{side}: {code}") from o.SSL_get_last_error(side)
            if between is not None:
                between(side, code)
        if not unfinished:
            return
    raise AssertionError("the handshake makes no progress")


def connected(**settings: Any) -> tuple[SSL, SSL]:
    """A client and a server whose handshake is done."""
    sides = pair(**settings)
    handshake(*sides)
    return sides


def wants(side: SSL, ret: int) -> int:
    """What SSL_get_error says of a failed call."""
    assert ret <= 0
    return o.SSL_get_error(side, ret)


def reason(side: SSL) -> str:
    """The text of the last call's failure."""
    return str(o.SSL_get_last_error(side))


@dataclass
class PausingKey:
    """The test identity's key; it pauses `pauses` times in every signature, each time with a descriptor of its own."""

    pauses: int = 1
    descriptors: bool = True
    open: list[int] = field(default_factory=list)  # read ends in use, oldest first
    cleaned: list[int] = field(default_factory=list)  # those that a cleanup has closed
    unwound: int = 0  # signatures that were left by an exception
    signatures: int = 0

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]:
        return identity().key.schemes

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        self.signatures += 1
        job = current_job()
        assert job is not None
        context = job.wait_context
        assert context is not None
        try:
            for _ in range(self.pauses):
                if self.descriptors:
                    self._wait(context)
                else:
                    pause_job()
            signature = identity().key.sign(scheme, message)
        except BaseException:
            self.unwound += 1
            raise
        assert isinstance(signature, bytes)
        return signature

    def _wait(self, context: WaitContext) -> None:
        reader, writer = os.pipe()
        os.close(writer)
        self.open.append(reader)
        context.set_wait_fd(self, reader, None, self._cleanup)
        pause_job()
        context.clear_fd(self)
        self.open.remove(reader)
        os.close(reader)

    def _cleanup(self, context: WaitContext, key: object, fd: int, custom_data: Any) -> None:
        self.open.remove(fd)
        self.cleaned.append(fd)
        os.close(fd)


def pausing_identity(key: PausingKey) -> Identity:
    """The test identity with a key that pauses."""
    return Identity.load(pki().ec.chain_pem, key)


def pausing_server(key: PausingKey | None = None, **settings: Any) -> dict[str, Any]:
    """Settings of a server whose key pauses."""
    return {"identity": pausing_identity(key or PausingKey()), "async_mode": True, **settings}


def move(source: Any, target: Any) -> int:
    """Carry what waits in one memory BIO to another."""
    data = source.read()
    target.write(data)
    return len(data)


@contextmanager
def small_pool(size: int) -> Iterator[None]:
    """This thread's pool of jobs bounded to `size`."""
    assert o.ASYNC_init_thread(size, 0) == 1
    try:
        yield
    finally:
        assert o.ASYNC_init_thread(0, 0) == 1


@dataclass
class StoppedClock:
    """A clock that the test moves; its wall stands where the test certificates are valid."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return pki().now.timestamp()
