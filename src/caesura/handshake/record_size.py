"""record_size_limit (RFC 8449): how much one record may hold. In 1.3 the limit counts the content type too."""

from __future__ import annotations

from caesura.errors import IllegalParameter
from caesura.wire.extensions import RECORD_SIZE_LIMIT, Extensions
from caesura.wire.records import MAX_INNER_PLAINTEXT, MAX_PLAINTEXT
from caesura.wire.registries import HandshakeType


def put_own(
    extensions: Extensions, limit: int | None, message: HandshakeType, peer: Extensions | None, *, older: bool
) -> None:
    """What we say in a message: offered when a limit is set, answered always."""
    if peer is None:
        wanted = limit is not None
    else:
        answer = HandshakeType.server_hello if older else HandshakeType.encrypted_extensions
        wanted = RECORD_SIZE_LIMIT.code in peer and message is answer
    if wanted:
        most = MAX_PLAINTEXT if older else MAX_INNER_PLAINTEXT
        extensions.put(RECORD_SIZE_LIMIT, min(limit or most, most))


def agreed(peer: int, own: int | None, *, older: bool, server_side: bool) -> tuple[int, int]:
    """What our records may hold, and what the peer's may with all that is sealed, once both have said their limits."""
    counted = 0 if older else 1
    if not server_side and peer > MAX_PLAINTEXT + counted:
        raise IllegalParameter("a record_size_limit beyond that of the protocol", section="RFC 8449 section 4")
    return min(peer - counted, MAX_PLAINTEXT), min((own or MAX_INNER_PLAINTEXT) + 1 - counted, MAX_INNER_PLAINTEXT)
