"""Imported pre-shared keys on the wire (RFC 9258 section 5.1): an identity that says what its key may be used for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.wire.codec import U16, Enumerated, Opaque, Struct
from caesura.wire.registries import KDFIdentifier, Version


@dataclass(slots=True)
class ImportedIdentity:
    """The PskIdentity of an imported key: whose it is, in which context, for which protocol and which KDF."""

    external_identity: bytes
    context: bytes
    target_protocol: int
    target_kdf: int


IMPORTED_IDENTITY: Final = Struct(
    ImportedIdentity,
    external_identity=Opaque(1, 2**16 - 1),
    context=Opaque(0, 2**16 - 1),
    target_protocol=Enumerated((Version.TLS13, Version.DTLS13), U16),
    target_kdf=Enumerated(KDFIdentifier, U16),
)
