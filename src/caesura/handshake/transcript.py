"""The transcript hash (RFC 9846 section 4.1).

Until the hash is known, the messages themselves are kept; from `start` on, one running hash.
"""

from __future__ import annotations

from collections.abc import Callable

from caesura.crypto.hkdf import Hash, RunningHash
from caesura.wire.messages import message_hash


class Transcript:
    """Every handshake message so far, hashed. `add` appends one whole message, header included."""

    __slots__ = ("_messages", "_running", "add")

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._running: RunningHash | None = None
        self.add: Callable[[bytes], object] = self._messages.append

    def start(self, algorithm: Hash) -> None:
        """The hash is known; what was kept goes into it. A second call changes nothing."""
        if self._running is None:
            self._run(algorithm.new(b"".join(self._messages)))
            self._messages = []

    def _run(self, running: RunningHash) -> None:
        self._running = running
        self.add = running.update

    def begin_anew(self) -> None:
        """Forget what was kept: a HelloVerifyRequest and the hello before it are no part of it (RFC 6347 4.2.1)."""
        self._messages.clear()

    def revise(self, change: Callable[[bytes], bytes]) -> None:
        """What was kept enters in another form."""
        self._messages[:] = map(change, self._messages)

    def retry(self, algorithm: Hash) -> None:
        """A HelloRetryRequest follows: the first ClientHello is replaced by its hash (section 4.1)."""
        hello = b"".join(self._messages)
        self._messages = [message_hash(algorithm.digest(hello))]
        self.start(algorithm)

    def restart(self, algorithm: Hash, hello_hash: bytes, request: bytes) -> None:
        """Begin behind a HelloRetryRequest that was sent without keeping anything."""
        self._messages = [message_hash(hello_hash), request]
        self.start(algorithm)

    def copy(self) -> Transcript:
        """A second one that goes on from here by itself."""
        assert self._running is not None
        other = Transcript()
        other._run(self._running.copy())
        return other

    def messages(self) -> bytes:
        """The messages themselves, before `start`: what a CertificateVerify of TLS 1.2 signs."""
        assert self._running is None
        return b"".join(self._messages)

    def digest(self) -> bytes:
        """Transcript-Hash of all messages so far."""
        assert self._running is not None
        return self._running.copy().digest()

    def digest_with(self, algorithm: Hash, partial: bytes) -> bytes:
        """Transcript-Hash of all messages so far and a truncated one, which is not added (section 4.3.11.2)."""
        running = algorithm.new(b"".join(self._messages)) if self._running is None else self._running.copy()
        running.update(partial)
        return running.digest()
