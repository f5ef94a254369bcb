"""The reading half of a TLS connection's record layer: bytes become records, opened and bounded (RFC 9846 section 5).

Nothing is opened ahead: the connection asks for one record at a time, so that what follows a message which may change
the keys stays ciphertext until the handshake has consumed it.
"""

from __future__ import annotations

from caesura.crypto.secrets import TrafficSecret
from caesura.engines import Operation
from caesura.errors import BadRecordMAC, RecordOverflow, UnexpectedMessage
from caesura.handshake.performer import NOT_YET, Ongoing, Performer, Working
from caesura.handshake.requests import Perform
from caesura.jobs import NoJobs
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, RecordKey, split_inner
from caesura.tls.records12 import AnyRecordKey
from caesura.wire.records import HEADER, HEADER_LENGTH, MAX_CIPHERTEXT, MAX_INNER_PLAINTEXT, MAX_PLAINTEXT

_unpack_header = HEADER.unpack_from
_VIEW_FROM = 4096  # bytes: from here on a memoryview of the fragment is cheaper than a copy

Record = tuple[int, bytes]


class RecordReader(Working):
    """Takes the transport's bytes; gives one record after the other."""

    __slots__ = (
        "_buffer",
        "_key",
        "_may_fail_in_the_clear",
        "_more",
        "_ongoing_size",
        "_performer",
        "_pos",
        "_skip",
        "_through_engine",
        "max_inner",
    )

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._through_engine = performer.takes(Operation.OPEN_RECORD)
        self._key: AnyRecordKey | None = None
        self._buffer = b""
        self._pos = 0
        self._more = bytearray()  # what came behind `_buffer` and completes no record yet
        self._skip = 0
        self._ongoing = None
        self._ongoing_size = 0
        self._may_fail_in_the_clear = False
        self.max_inner = MAX_INNER_PLAINTEXT

    def carried_data(self) -> bool:
        """Whether data came by the short way since this was last asked."""
        key = self._key
        if key is None or not key.carried_data:
            return False
        key.carried_data = False
        return True

    # --- bytes in ---

    def quiet_key(self) -> AnyRecordKey | None:
        """The key, while a whole record may be opened with it past this reader: nothing waits here."""
        if self.buffered or self._through_engine or self._skip or self._key is None:
            return None
        self._key.max_content = self.max_inner - 1
        return self._key

    def run_key(self) -> AnyRecordKey | None:
        """As `quiet_key`, but a record may have begun."""
        if self._through_engine or self._skip or self._key is None or self._ongoing is not None:
            return None
        self._key.max_content = self.max_inner - 1
        return self._key

    def open_run(self, key: AnyRecordKey, data: memoryview, contents: list[bytes]) -> memoryview | None:
        """Open the whole records of data that `data` goes on with; what is left for the long way, if anything."""
        pos = 0
        begun = self.buffered
        if begun:
            missing = self._needed() - begun
            if begun < HEADER_LENGTH or len(data) < missing:
                return data
            record = b"".join((self._buffer[self._pos :], self._more, data[:missing]))
            content = key.open_data(record)
            if content is None:
                return data
            contents.append(content)
            self._buffer, self._pos = b"", 0
            self._more.clear()
            pos = missing
        pos = key.open_run(data, pos, contents)
        left = len(data) - pos
        if left >= HEADER_LENGTH:
            content_type, _version, length = _unpack_header(data, pos)
            if content_type != APPLICATION_DATA or length > MAX_CIPHERTEXT or HEADER_LENGTH + length <= left:
                return data[pos:]
        self._buffer, self._pos = bytes(data[pos:]), 0  # the beginning of another one, or nothing
        return None

    def feed(self, data: bytes) -> None:
        """More bytes of the transport. The tail of a record is gathered without copying it for every piece."""
        rest = len(self._buffer) - self._pos
        if not rest:
            self._buffer, self._pos = data, 0
        elif not self._more and rest + len(data) >= self._needed():
            self._buffer, self._pos = self._buffer[self._pos :] + data, 0
        else:
            self._more += data
            if rest + len(self._more) >= self._needed():
                self._buffer, self._pos = self._buffer[self._pos :] + self._more, 0
                self._more = bytearray()

    def _needed(self) -> int:
        """How many bytes the next record, or its header, must have before anything can be done."""
        if len(self._buffer) - self._pos < HEADER_LENGTH:
            return HEADER_LENGTH
        return HEADER_LENGTH + int(_unpack_header(self._buffer, self._pos)[2])

    @property
    def buffered(self) -> int:
        """Ciphertext bytes that wait."""
        return len(self._buffer) - self._pos + len(self._more)

    # --- records out ---

    def next_record(self, now: float) -> Record | None:
        """The next record, opened; None while it is not all there, or paused.

        Raises the alert for one that may not be: too long, of no type, or not authentic.
        """
        while True:
            if self._ongoing is not None:
                inner = self._ongoing.answer()
                if inner is NOT_YET:
                    return None
                self._ongoing = None
                size = self._ongoing_size
            else:
                before = (self._buffer, self._pos) if self._through_engine else None
                found = self._next_fragment()
                if found is None:
                    return None
                content_type, header, fragment = found
                key = self._key
                size = len(fragment)
                if content_type == CHANGE_CIPHER_SPEC or key is None:
                    if content_type == APPLICATION_DATA and self._skipped(size):
                        continue
                    return content_type, bytes(fragment)
                if content_type != APPLICATION_DATA and key.hides_type:
                    return self._unprotected(key, content_type, bytes(fragment))
                if before is not None:
                    request = Perform(Operation.OPEN_RECORD, key.open_untrusted, (header, bytes(fragment)))
                    try:
                        inner = self._performer.perform(request, now)
                    except NoJobs:
                        self._buffer, self._pos = before  # it is still to be opened
                        raise
                    if isinstance(inner, Ongoing):
                        self._ongoing, self._ongoing_size = inner, size
                        return None
                else:
                    inner = key.open_untrusted(header, fragment)
            if inner is None and self._skipped(size):
                continue
            return self._judged(inner)

    def _next_fragment(self) -> tuple[int, bytes, bytes | memoryview] | None:
        buffer, pos = self._buffer, self._pos
        size = len(buffer)
        start = pos + HEADER_LENGTH
        if start > size:
            return None
        content_type, _version, length = _unpack_header(buffer, pos)
        if not CHANGE_CIPHER_SPEC <= content_type <= APPLICATION_DATA:
            raise UnexpectedMessage(f"record type {content_type}", section="RFC 9846 section 5")
        if length > (MAX_PLAINTEXT if self._key is None and not self._skip else MAX_CIPHERTEXT):
            raise RecordOverflow(f"a record of {length} bytes", section="RFC 9846 section 5.1")
        stop = start + length
        if stop > size:
            return None
        fragment = memoryview(buffer)[start:stop] if length >= _VIEW_FROM else buffer[start:stop]
        if stop == size:
            self._buffer, self._pos = b"", 0
        else:
            self._pos = stop
        return content_type, buffer[pos:start], fragment

    def _judged(self, inner: bytes | None) -> Record:
        if inner is None:
            raise BadRecordMAC(section="RFC 9846 section 5.2")
        if len(inner) > self.max_inner:
            raise RecordOverflow(f"{len(inner)} bytes in a record", section="RFC 9846 section 5.4")
        content_type, content = split_inner(inner)
        if content_type not in (ALERT, HANDSHAKE, APPLICATION_DATA):
            raise UnexpectedMessage(f"a protected record of type {content_type}", section="RFC 9846 section 5")
        self._skip = 0
        return content_type, content

    def _unprotected(self, key: AnyRecordKey, content_type: int, fragment: bytes) -> Record:
        """A record in the clear although a key is in use."""
        if content_type == ALERT and self._may_fail_in_the_clear and key.sequence == 0:
            return content_type, fragment
        raise UnexpectedMessage("an unprotected record after keys were agreed", section="RFC 9846 section 5")

    # --- keys ---

    def install(self, key: AnyRecordKey, *, may_fail_in_the_clear: bool = False) -> None:
        """Open with this key from now on.

        `may_fail_in_the_clear`: the peer may turn out unable to derive its own key, and has nothing to protect the
        alert with that says so. Nowhere else is an alert believed that anybody can forge: a close_notify would cut the
        data short unnoticed.
        """
        self._key = key
        self._may_fail_in_the_clear = may_fail_in_the_clear

    @property
    def secret(self) -> TrafficSecret:
        """The traffic secret in use."""
        assert isinstance(self._key, RecordKey)
        return self._key.secret

    def update_key(self) -> None:
        """The peer has sent a KeyUpdate."""
        assert isinstance(self._key, RecordKey)
        self.install(self._key.next_generation())

    def skip(self, limit: int) -> None:
        """Pass over early data that was refused: records that do not open, up to `limit` bytes of them."""
        self._skip = limit

    def _skipped(self, size: int) -> bool:
        """Whether a record may be refused early data (RFC 9846 section 4.3.10)."""
        if not self._skip:
            return False
        if size > self._skip:
            raise UnexpectedMessage("more early data than may be passed over", section="RFC 9846 section 4.3.10")
        self._skip -= size
        return True

    # --- opening through the engine ---

    def close(self) -> None:
        """Cancel what is under way, forget the bytes and the key."""
        self._key = None
        self._buffer, self._pos = b"", 0
        self._more.clear()
        self._cancel()
