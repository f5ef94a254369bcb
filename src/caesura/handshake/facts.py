"""What a connection can say of itself once its handshake is complete, the same on every transport."""

from __future__ import annotations

from caesura.crypto.identity import Identity
from caesura.errors import UsageError
from caesura.handshake.schedule12 import Exporter12
from caesura.handshake.schedule13 import export
from caesura.handshake.state import Established
from caesura.handshake.transport import Profile
from caesura.wire.registries import CipherSuite, NamedGroup, Version


class Facts:
    """The public facts of a connection, read from what its handshake has left (`_established`)."""

    __slots__ = ()

    _profile: Profile
    _established: Established | None
    _closed: bool

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def version(self) -> Version | None:
        """The protocol version, once it is agreed."""
        return self._established.version if self._established is not None else None

    @property
    def cipher_suite(self) -> CipherSuite | None:
        """The cipher suite, once it is agreed."""
        return self._established.suite.code if self._established is not None else None

    @property
    def group(self) -> NamedGroup | None:
        """The group of the key exchange, once it is agreed; where a session of TLS 1.2 resumes, of its own."""
        return self._established.group if self._established is not None else None

    @property
    def alpn(self) -> str | None:
        """The application protocol, if one was agreed (RFC 7301)."""
        return self._established.alpn if self._established is not None else None

    @property
    def identity(self) -> Identity | None:
        """The identity we showed."""
        return self._established.identity if self._established is not None else None

    @property
    def peer_certificates(self) -> tuple[bytes, ...]:
        """The peer's chain as it was sent, DER, leaf first; empty when it showed none."""
        return self._established.peer.certificates if self._established is not None else ()

    @property
    def peer_public_key(self) -> bytes | None:
        """The peer's raw public key (SubjectPublicKeyInfo, DER), if it showed that and no certificate (RFC 7250)."""
        return self._established.peer.public_key if self._established is not None else None

    @property
    def peer_signature_scheme(self) -> int | None:
        """The scheme that the peer signed with (SSL_get0_peer_signature_name(3)), when its session was made."""
        return self._established.peer.signature_scheme if self._established is not None else None

    @property
    def psk_identity(self) -> bytes | None:
        """The identity of the external pre-shared key that both sides hold, if one was used."""
        return self._established.peer.psk_identity if self._established is not None else None

    @property
    def psk_identity_hint(self) -> bytes | None:
        """What a server of TLS 1.2 said to help us choose a pre-shared key. Nothing is made of it (RFC 4279 5.2)."""
        return self._established.peer.psk_identity_hint if self._established is not None else None

    @property
    def ocsp_response(self) -> bytes | None:
        """The OCSP response stapled to the peer's leaf, DER, not judged."""
        return self._established.peer.ocsp_response if self._established is not None else None

    @property
    def certificate_timestamps(self) -> tuple[bytes, ...]:
        """Where the server's certificate was logged, by its own account (RFC 6962 section 3.3), not judged."""
        return self._established.peer.timestamps if self._established is not None else ()

    @property
    def session_reused(self) -> bool:
        """Whether this connection resumed a session."""
        return self._established is not None and self._established.session_reused

    @property
    def ticket_age_skew(self) -> float | None:
        """By how many seconds the client's word on its ticket's age was above ours, on a server that has resumed it.

        Early data is taken within the setting `early_data_window` (RFC 9846 section 8.3).
        """
        return self._established.ticket_age_skew if self._established is not None else None

    def export_keying_material(self, label: str | bytes, context: bytes | None, length: int) -> bytes:
        """`length` bytes that both sides and nobody else can derive (RFC 9846 section 7.5, RFC 5705).

        In TLS 1.2 no context (None) gives other bytes than an empty one.
        """
        done = self._established
        if done is None or self._closed:
            raise UsageError("export_keying_material: the handshake is not complete")
        try:
            as_bytes = label.encode("ascii") if isinstance(label, str) else label
            if isinstance(done.exporter, Exporter12):
                return done.exporter(as_bytes, context, length)
            return export(done.suite.hash, done.exporter, as_bytes, context or b"", length, self._profile.label_prefix)
        except ValueError as error:
            raise UsageError(f"export_keying_material: {error}") from None
