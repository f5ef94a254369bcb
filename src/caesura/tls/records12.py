"""Record protection of TLS 1.2, one direction at a time (RFC 5246 section 6.2.3.3).

A `RecordKey12` has the methods of a `RecordKey`, so that nobody who seals or opens records asks which one it is. The
difference that shows is that here the content type stands outside.
"""

from __future__ import annotations

from typing import Final, NoReturn

from caesura.crypto.protection12 import Protection12, additional_data
from caesura.errors import InternalError
from caesura.tls.records import APPLICATION_DATA, RecordKey
from caesura.wire.records import HEADER, HEADER_LENGTH, LEGACY_RECORD_VERSION, MAX_PLAINTEXT

_pack_header = HEADER.pack
_unpack_header = HEADER.unpack
_VERSION: Final = LEGACY_RECORD_VERSION  # which is what TLS 1.2 is
_VIEW_FROM: Final = 4096  # bytes: from here on a memoryview of the fragment is cheaper than a copy
_TYPES: Final[tuple[bytes, ...]] = tuple(bytes((code,)) for code in range(256))


class RecordKey12:
    """One direction's key with its sequence number.

    A key seals `limit` records of data. There is no KeyUpdate behind them: the connection has to end (RFC 9325 section
    4.4).
    """

    __slots__ = ("_protection", "carried_data", "limit", "max_content", "sequence")

    hides_type: Final = False

    def __init__(self, protection: Protection12) -> None:
        self._protection = protection
        self.limit = min(protection.suite.aead.confidentiality_limit, 2**63) - 1
        self.sequence = 0
        self.carried_data = False  # whether open_data has opened anything
        self.max_content = MAX_PLAINTEXT  # bytes in a record that takes the short way

    def seal(self, content_type: int, content: bytes) -> bytes:
        """One whole record, header included."""
        sequence = self.sequence
        self.sequence = sequence + 1
        associated = additional_data(sequence, content_type, _VERSION, len(content))
        fragment = self._protection.seal(sequence, content, associated)
        header: bytes = _pack_header(content_type, _VERSION, len(fragment))
        return header + fragment

    def open_untrusted(self, header: bytes, fragment: bytes | memoryview) -> bytes | None:
        """The content with its type behind it, as a TLSInnerPlaintext has them; None when it was not sealed so."""
        content_type: int
        content_type, version, length = _unpack_header(header)
        size = length - self._protection.expansion
        if size < 0:
            return None
        sequence = self.sequence
        content = self._protection.open_untrusted(
            sequence, fragment, additional_data(sequence, content_type, version, size)
        )
        if content is None:
            return None
        self.sequence = sequence + 1
        return content + _TYPES[content_type]

    def seal_data(self, data: bytes) -> bytes | None:
        """One whole record of application data; None, and nothing is done, when it is too long or the key used up."""
        if self.sequence >= self.limit or not 0 < len(data) <= self.max_content:
            return None
        return self.seal(APPLICATION_DATA, data)

    def open_data(self, record: bytes) -> bytes | None:
        """What one whole record of application data holds; None, and nothing is done, for anything else.

        None is no verdict: the long way opens and judges whatever was declined here.
        """
        protection = self._protection
        length = len(record) - HEADER_LENGTH
        size = length - protection.expansion
        if not 0 < size <= self.max_content:
            return None
        if record[:HEADER_LENGTH] != _pack_header(APPLICATION_DATA, _VERSION, length):
            return None
        fragment = record[HEADER_LENGTH:] if length < _VIEW_FROM else memoryview(record)[HEADER_LENGTH:]
        sequence = self.sequence
        content = protection.open_untrusted(
            sequence, fragment, additional_data(sequence, APPLICATION_DATA, _VERSION, size)
        )
        if content is not None:
            self.sequence = sequence + 1
            self.carried_data = True
        return content

    def seal_run(self, data: bytes, out: list[bytes]) -> bool:  # noqa: ARG002 - the long way serves TLS 1.2
        """Nothing is done: long data goes the long way."""
        return False

    def open_run(self, data: memoryview, pos: int, contents: list[bytes]) -> int:  # noqa: ARG002
        """Nothing is done: what comes in a run goes the long way."""
        return pos

    def next_generation(self) -> NoReturn:
        """There is none: the key has sealed all it may."""
        raise InternalError("a key of TLS 1.2 has sealed all it may, and cannot be changed", section="RFC 9325 4.4")


AnyRecordKey = RecordKey | RecordKey12
