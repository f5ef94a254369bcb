"""DTLSPlaintext: the records of epoch 0, which anybody can write (RFC 9147 section 4, figure 2).

Those of DTLS 1.2 that are protected, in epoch 1, have the same header (RFC 6347 section 4.1).
"""

from __future__ import annotations

from caesura.errors import InternalError
from caesura.wire.dtls import MAX_PLAINTEXT_SEQUENCE, PLAINTEXT_HEADER, PLAINTEXT_HEADER_LENGTH, RECORD_VERSION

_pack_header = PLAINTEXT_HEADER.pack


class PlaintextWriter:
    """Writes the records of epoch 0; the same verbs as a key that seals."""

    __slots__ = ("sequence", "version")

    epoch = 0
    overhead = PLAINTEXT_HEADER_LENGTH

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence
        self.version = RECORD_VERSION

    def seal(self, content_type: int, content: bytes) -> bytes:
        """One whole record."""
        sequence = self.sequence
        if sequence > MAX_PLAINTEXT_SEQUENCE:
            raise InternalError("no record number is left", section="RFC 9147 section 4")
        self.sequence = sequence + 1
        header: bytes = _pack_header(content_type, self.version, sequence, len(content))
        return header + content


def plaintext_record(content_type: int, sequence: int, content: bytes) -> bytes:
    """A record of epoch 0 with this number."""
    header: bytes = _pack_header(content_type, RECORD_VERSION, sequence, len(content))
    return header + content


def split_plaintext(datagram: bytes, pos: int) -> tuple[int, int, int, int, int] | None:
    """Content type, epoch, sequence number, and where content starts and stops, of the record at `pos`.

    None for what is cut short. The version is ignored, as RFC 9147 section 4 demands.
    """
    start = pos + PLAINTEXT_HEADER_LENGTH
    if start > len(datagram):
        return None
    content_type, _version, number, length = PLAINTEXT_HEADER.unpack_from(datagram, pos)
    stop = start + length
    return None if stop > len(datagram) else (content_type, number >> 48, number & MAX_PLAINTEXT_SEQUENCE, start, stop)
