"""Certificate, CertificateVerify and Finished of TLS 1.3, the same for both sides (RFC 9846 section 4.5)."""

from __future__ import annotations

from functools import lru_cache
from hmac import compare_digest
from typing import Final

from caesura.compression import CertificateCompression
from caesura.context import Settings
from caesura.crypto.certificates import parse_certificate
from caesura.crypto.hkdf import verify_data
from caesura.crypto.identity import Identity
from caesura.crypto.secrets import TrafficSecret
from caesura.engines import Operation
from caesura.errors import BadCertificate, DecodeError, DecryptError, IllegalParameter
from caesura.handshake import raw_keys
from caesura.handshake.authenticate import Proof, judge
from caesura.handshake.compression import compressed
from caesura.handshake.requests import Steps, perform
from caesura.handshake.state import Handshake, PeerIdentity
from caesura.wire.extensions import SIGNED_CERTIFICATE_TIMESTAMP_LIST, STATUS_RESPONSE, Extensions
from caesura.wire.messages import Certificate, CertificateEntry, CertificateVerify, Finished
from caesura.wire.registries import CertificateType, HandshakeType, SignatureScheme

_CONTEXT: Final = {True: b"TLS 1.3, server CertificateVerify", False: b"TLS 1.3, client CertificateVerify"}


def to_sign(transcript_hash: bytes, *, by_server: bool) -> bytes:
    """What a CertificateVerify signs (RFC 9846 section 4.5.2)."""
    return b" " * 64 + _CONTEXT[by_server] + b"\x00" + transcript_hash


# --- our own side -------------------------------------------------------------------------------------------------


def prove_identity(
    hs: Handshake,
    identity: Identity,
    scheme: SignatureScheme,
    *,
    context: bytes = b"",
    ocsp_response: bytes | None = None,
    timestamps: tuple[bytes, ...] = (),
    compression: CertificateCompression | None = None,
) -> Steps[None]:
    """Send the chain, and a signature over everything so far."""
    if compression is not None:
        hs.send(compressed(identity, certificate_message(identity, context, ocsp_response, timestamps), compression))
    elif context:
        hs.send(certificate_message(identity, context, ocsp_response, timestamps))
    else:
        certificate = _same_for_all(identity.chain, ocsp_response, timestamps)
        hs.send(certificate, certificate.raw)
    message = to_sign(hs.transcript.digest(), by_server=hs.server_side)
    signature = yield from perform(Operation.SIGN, identity.key.sign, scheme, message)
    hs.send(CertificateVerify(scheme, signature))


def certificate_message(
    identity: Identity | None, context: bytes, ocsp_response: bytes | None, timestamps: tuple[bytes, ...] = ()
) -> Certificate:
    """A Certificate with the identity's chain; without an identity, an empty one."""
    return _certificate(identity.chain if identity is not None else (), context, ocsp_response, timestamps)


def _certificate(
    chain: tuple[bytes, ...], context: bytes, ocsp_response: bytes | None, timestamps: tuple[bytes, ...]
) -> Certificate:
    entries = [CertificateEntry(der, Extensions()) for der in chain]
    if entries and ocsp_response is not None:
        entries[0].extensions.put(STATUS_RESPONSE, ocsp_response)
    if entries and timestamps:
        entries[0].extensions.put(SIGNED_CERTIFICATE_TIMESTAMP_LIST, timestamps)
    return Certificate(context, tuple(entries))


@lru_cache(maxsize=32)
def _same_for_all(chain: tuple[bytes, ...], ocsp_response: bytes | None, timestamps: tuple[bytes, ...]) -> Certificate:
    """The Certificate of a handshake, encoded. Kept by what is in it: the identity's key is not held fast so."""
    certificate = _certificate(chain, b"", ocsp_response, timestamps)
    certificate.encode()
    return certificate


def send_finished(hs: Handshake, secret: TrafficSecret) -> None:
    """Confirm everything so far with our own handshake traffic secret."""
    hs.send(Finished(verify_data(secret.suite.hash, secret, hs.transcript.digest(), hs.profile.label_prefix)))


# --- the peer's side ----------------------------------------------------------------------------------------------


def authenticate_peer(
    hs: Handshake, message: Certificate, offered: Extensions, kind: CertificateType, context: bytes = b""
) -> Steps[PeerIdentity]:
    """Take the peer's chain or raw key (not an empty list) and its CertificateVerify; whom they prove."""
    chain, ocsp_response = _read_chain(hs.settings, message, offered, context)
    timestamps = message.certificate_list[0].extensions.get(SIGNED_CERTIFICATE_TIMESTAMP_LIST) or ()
    if kind is raw_keys.RAW:
        chain, key = (), raw_keys.read(message.certificate_list)
    else:
        key = parse_certificate(chain[0]).public_key
    proof = yield from hs.receive_raw(CertificateVerify)
    signed = to_sign(hs.transcript.digest(), by_server=not hs.server_side)
    peer = yield from judge(
        hs,
        hs.profile.version13,
        Proof(chain, ocsp_response, key, proof.algorithm, proof.signature, signed, timestamps),
    )
    hs.transcript.add(proof.raw)
    return peer


def receive_finished(hs: Handshake, secret: TrafficSecret) -> Steps[None]:
    """Take the peer's Finished, made with its handshake traffic secret; it joins the transcript once it is proven."""
    finished = yield from hs.receive_raw(Finished)
    expected = verify_data(secret.suite.hash, secret, hs.transcript.digest(), hs.profile.label_prefix)
    if len(finished.verify_data) != len(expected):
        raise DecodeError(f"a Finished of {len(finished.verify_data)} bytes", section="RFC 9846 section 4.5.3")
    if not compare_digest(finished.verify_data, expected):
        raise DecryptError("the peer's Finished does not verify", section="RFC 9846 section 4.5.3")
    hs.transcript.add(finished.raw)


def _read_chain(
    settings: Settings, message: Certificate, offered: Extensions, context: bytes
) -> tuple[tuple[bytes, ...], bytes | None]:
    if message.certificate_request_context != context:
        raise IllegalParameter("a certificate_request_context that nobody asked with", section="RFC 9846 section 4.5.1")
    if len(message.certificate_list) > settings.limits.certificate_chain:
        raise BadCertificate(f"more than {settings.limits.certificate_chain} certificates")
    for entry in message.certificate_list:
        entry.extensions.check(HandshakeType.certificate, offered)
    chain = tuple(entry.cert_data for entry in message.certificate_list)
    return chain, message.certificate_list[0].extensions.get(STATUS_RESPONSE)
