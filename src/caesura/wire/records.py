"""The TLS record header and its bounds: finding whole records in a buffer, nothing more (RFC 9846 section 5.1).

Opening, sealing and what a record means belong to the connection. DTLS records have headers of their own elsewhere.
"""

from __future__ import annotations

import struct
from typing import Final

from caesura.errors import RecordOverflow, UnexpectedMessage
from caesura.wire.data import Data
from caesura.wire.registries import ContentType

HEADER: Final = struct.Struct(">BHH")
"""ContentType, legacy_record_version, length; for a TLSCiphertext these five bytes are also the additional data."""

HEADER_LENGTH: Final = HEADER.size
LEGACY_RECORD_VERSION: Final = 0x0303
INITIAL_RECORD_VERSION: Final = 0x0301
"""What a record with an initial ClientHello says, for servers that stumble over anything newer."""

MAX_PLAINTEXT: Final = 2**14
"""Bytes of TLSPlaintext.fragment, and of TLSInnerPlaintext.content (RFC 9846 section 5.1)."""

MAX_INNER_PLAINTEXT: Final = MAX_PLAINTEXT + 1
"""Bytes of a TLSInnerPlaintext: content, type and padding together (RFC 9846 section 5.4)."""

MAX_CIPHERTEXT: Final = MAX_PLAINTEXT + 256
"""Bytes of TLSCiphertext.encrypted_record (RFC 9846 section 5.2)."""

MAX_CIPHERTEXT_TLS12: Final = MAX_PLAINTEXT + 2048
"""The same in TLS 1.2 (RFC 5246 section 6.2.3)."""

_FIRST_TYPE: Final = int(ContentType.change_cipher_spec)
_LAST_TYPE: Final = int(ContentType.application_data)


def split_records(buffer: Data, pos: int = 0, limit: int = MAX_CIPHERTEXT) -> list[tuple[int, int, int]]:
    """Return (content type, start, stop) of each whole record from `pos` on; nothing is copied.

    `start` is where the fragment begins, behind its header; the next record begins at `stop`. A short tail is normal.
    A header that no record may have ends the list, and raises when it is the first: `UnexpectedMessage` for a type that
    TLS does not have, `RecordOverflow` for more than `limit` bytes. So what came before is handed over first, and a
    peer that does not speak TLS is found out by five bytes.
    """
    found: list[tuple[int, int, int]] = []
    size = len(buffer)
    while size - pos >= HEADER_LENGTH:
        content_type, _version, length = HEADER.unpack_from(buffer, pos)
        if length > limit or not _FIRST_TYPE <= content_type <= _LAST_TYPE:
            if not found:
                raise _bad_header(content_type, length, limit)
            break
        start = pos + HEADER_LENGTH
        stop = start + length
        if stop > size:
            break
        found.append((content_type, start, stop))
        pos = stop
    return found


def _bad_header(content_type: int, length: int, limit: int) -> UnexpectedMessage | RecordOverflow:
    if not _FIRST_TYPE <= content_type <= _LAST_TYPE:
        return UnexpectedMessage(f"{content_type} is no record type of TLS", section="RFC 9846 section 5")
    return RecordOverflow(f"a record of {length} bytes where {limit} are allowed", section="RFC 9846 section 5.2")
