"""What a connection can say of itself (SSL_get_version(3) and others)."""

from __future__ import annotations

from caesura.context import Method
from caesura.crypto.suites import SUITES
from caesura.errors import CertificateVerifyError
from caesura.openssl.calls import Object
from caesura.openssl.calls import call as _call
from caesura.openssl.calls import failure as _failure
from caesura.openssl.constants import X509_V_OK, TLSEXT_NAMETYPE_host_name
from caesura.sslobject import SSL
from caesura.wire.registries import VERSION_NAMES


def SSL_is_init_finished(s: SSL) -> int:
    """1 when the handshake is done. SSL_is_init_finished(3)."""
    return int(s.handshake_complete)


def SSL_in_init(s: SSL) -> int:
    """1 while the handshake is not done. SSL_in_init(3)."""
    return int(not s.handshake_complete)


def SSL_is_dtls(s: Object) -> int:
    """1 for DTLS. SSL_is_dtls(3)."""
    return int(s.context.method is Method.DTLS)


def SSL_is_quic(s: Object) -> int:
    """1 for QUIC. SSL_is_quic(3)."""
    return int(s.context.method is Method.QUIC)


def SSL_is_tls(s: Object) -> int:
    """1 for TLS. SSL_is_tls(3)."""
    return int(s.context.method is Method.TLS)


def SSL_version(s: SSL) -> int:
    """The protocol version's number, the highest one's before it is known. SSL_version(3)."""
    highest = s.context.quic.versions[0] if SSL_is_quic(s) else s.context.maximum_version
    return int(s.version or highest)


def SSL_get_version(s: SSL) -> str:
    """The protocol version's name. SSL_get_version(3)."""
    return "unknown" if s.version is None else VERSION_NAMES[s.version]


def SSL_get_cipher_name(s: SSL) -> str | None:
    """OpenSSL's name of the cipher suite. SSL_get_cipher_name(3)."""
    return SUITES[s.cipher_suite].openssl_name if s.cipher_suite is not None else None


def SSL_get0_group_name(s: SSL) -> str | None:
    """The group's registry name. SSL_get0_group_name(3)."""
    return s.group.name if s.group is not None else None


def SSL_get0_alpn_selected(s: SSL) -> bytes:
    """The application protocol agreed on, empty if none. SSL_get0_alpn_selected(3)."""
    return (s.alpn or "").encode("latin-1")


def SSL_get_servername(s: SSL, nametype: int = TLSEXT_NAMETYPE_host_name) -> str | None:
    """The name the client asks for. SSL_get_servername(3)."""
    return s.server_hostname if nametype == TLSEXT_NAMETYPE_host_name else None


def SSL_get1_peer_certificate(s: SSL) -> bytes | None:
    """The peer's certificate, DER. SSL_get1_peer_certificate(3)."""
    return s.peer_certificates[0] if s.peer_certificates else None


def SSL_get_peer_cert_chain(s: SSL) -> list[bytes] | None:
    """The peer's chain as it was sent, DER, leaf first. SSL_get_peer_cert_chain(3)."""
    return list(s.peer_certificates) or None


def SSL_get_verify_result(s: SSL) -> int:
    """Why the peer's chain was refused, X509_V_OK if it was not. SSL_get_verify_result(3)."""
    error = _failure(s)
    return error.verify_code if isinstance(error, CertificateVerifyError) else X509_V_OK


def SSL_export_keying_material(
    s: SSL, olen: int, label: str | bytes, context: bytes | None, use_context: int
) -> tuple[int, bytes | None]:
    """(1, `olen` bytes that both ends derive). SSL_export_keying_material(3)."""
    given = context if use_context else None
    secret = _call(s, lambda: s.export_keying_material(label, given, olen), None)
    return (0, None) if secret is None else (1, secret)
