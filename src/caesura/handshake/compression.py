"""Compressed Certificate messages of TLS 1.3 (RFC 8879), the same for both sides.

Nothing is compressed twice: what an identity's Certificate became is kept with the identity.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from caesura.compression import CertificateCompression
from caesura.context import Settings
from caesura.crypto.identity import Identity
from caesura.errors import BadCertificate, IllegalParameter
from caesura.wire.extensions import COMPRESS_CERTIFICATE, Extensions
from caesura.wire.messages import Certificate, CompressedCertificate, HandshakeMessage

_SECTION = "RFC 8879 section 4"


def offer(settings: Settings, extensions: Extensions) -> None:
    """Say which algorithms the peer may use, in a ClientHello or a CertificateRequest."""
    if settings.certificate_compression:
        extensions.put(COMPRESS_CERTIFICATE, tuple(each.code for each in settings.certificate_compression))


def choose(settings: Settings, peer: Extensions) -> CertificateCompression | None:
    """The first algorithm of ours that the peer can unpack; None when our Certificate goes as it is."""
    if not settings.certificate_compression:
        return None
    theirs = peer.get(COMPRESS_CERTIFICATE) or ()
    return next((each for each in settings.certificate_compression if each.code in theirs), None)


_kept: WeakKeyDictionary[Identity, dict[CertificateCompression, tuple[bytes, CompressedCertificate]]] = (
    WeakKeyDictionary()
)


def compressed(identity: Identity, message: Certificate, algorithm: CertificateCompression) -> CompressedCertificate:
    """The identity's Certificate, compressed now or earlier. Of each algorithm the latest is kept."""
    body = Certificate.codec.encode(message)
    if message.certificate_request_context:  # of an exchange after the handshake: it will not come again
        return CompressedCertificate(algorithm.code, len(body), algorithm.compress(body))
    by_algorithm = _kept.setdefault(identity, {})
    plain, packed = by_algorithm.get(algorithm, (b"", None))
    if packed is None or plain != body:
        packed = CompressedCertificate(algorithm.code, len(body), algorithm.compress(body))
        by_algorithm[algorithm] = (body, packed)
    return packed


def certificate_messages(settings: Settings) -> tuple[type[HandshakeMessage], ...]:
    """The messages that may bring the peer's certificate: compressed ones only where we have said so."""
    return (Certificate, CompressedCertificate) if settings.certificate_compression else (Certificate,)


def expanded(settings: Settings, message: HandshakeMessage) -> Certificate:
    """The Certificate in a message. The transcript keeps what was sent, not this.

    A length beyond that of any message is not believed: nothing is unpacked then.
    """
    if isinstance(message, Certificate):
        return message
    assert isinstance(message, CompressedCertificate)
    for algorithm in settings.certificate_compression:
        if algorithm.code == message.algorithm:
            break
    else:
        raise IllegalParameter(f"certificate compression {message.algorithm} was not offered", section=_SECTION)
    length = message.uncompressed_length
    if length > settings.limits.handshake_message:
        raise BadCertificate(f"a Certificate of {length} bytes, compressed", section=_SECTION)
    try:
        body = algorithm.decompress(message.compressed_certificate_message, length)
    except Exception as error:  # each algorithm has its own, and all mean that the peer is wrong
        raise BadCertificate(f"a compressed Certificate: {error}", section=_SECTION) from error
    if len(body) != length:
        raise BadCertificate(f"a compressed Certificate of {len(body)} bytes, announced as {length}", section=_SECTION)
    return Certificate.decode(body)
