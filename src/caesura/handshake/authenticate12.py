"""Certificate, CertificateVerify and Finished of TLS 1.2, the same for both sides (RFC 5246 section 7.4)."""

from __future__ import annotations

from functools import lru_cache
from hmac import compare_digest
from typing import Final

from caesura.crypto.certificates import parse_certificate
from caesura.crypto.identity import Identity
from caesura.crypto.rawkeys import parse_public_key
from caesura.crypto.signatures import KeyKind, PublicKey
from caesura.engines import Operation
from caesura.errors import BadCertificate, DecodeError, DecryptError
from caesura.handshake import raw_keys
from caesura.handshake.requests import Steps, perform
from caesura.handshake.schedule12 import MainSecret12
from caesura.handshake.state import Handshake
from caesura.wire.messages import CertificateVerify, Finished
from caesura.wire.messages12 import Certificate, RawPublicKeyCertificate
from caesura.wire.registries import CertificateType, ClientCertificateType, NamedGroup, SignatureScheme

CURVES: Final = {
    KeyKind.P256: NamedGroup.secp256r1,
    KeyKind.P384: NamedGroup.secp384r1,
    KeyKind.P521: NamedGroup.secp521r1,
}
"""Keys of an ECDSA certificate are on a curve that the client has in supported_groups (RFC 8422 section 5.1.1)."""

CERTIFICATE_TYPES: Final = {
    kind: ClientCertificateType.rsa_sign if kind in (KeyKind.RSA, KeyKind.RSA_PSS) else ClientCertificateType.ecdsa_sign
    for kind in KeyKind
}
"""What a CertificateRequest calls each kind of key; EdDSA goes as ECDSA (RFC 8422 section 5.5)."""


def send_certificate(hs: Handshake, identity: Identity | None, kind: CertificateType) -> None:
    """Send a Certificate of this type with the identity's chain or raw key; without an identity, an empty one."""
    message = _same_for_all(identity.chain if identity is not None else (), kind)
    hs.send(message, message.raw)


@lru_cache(maxsize=32)
def _same_for_all(shown: tuple[bytes, ...], kind: CertificateType) -> Certificate | RawPublicKeyCertificate:
    """The message, encoded. Kept by what is in it: the identity's key is not held fast so."""
    message = RawPublicKeyCertificate(b"".join(shown)) if kind is raw_keys.RAW else Certificate(shown)
    message.encode()
    return message


def receive_certificate(hs: Handshake, kind: CertificateType) -> Steps[tuple[tuple[bytes, ...], PublicKey | None]]:
    """Take the peer's Certificate: its chain, which a raw public key has not, and its key. No key: it shows nothing."""
    if kind is raw_keys.RAW:
        spki = (yield from hs.receive(RawPublicKeyCertificate)).subject_public_key_info
        return (), parse_public_key(spki) if spki else None
    chain = (yield from hs.receive(Certificate)).certificate_list
    limit = hs.settings.limits.certificate_chain
    if len(chain) > limit:
        raise BadCertificate(f"more than {limit} certificates")
    return chain, parse_certificate(chain[0]).public_key if chain else None


def sign_messages(hs: Handshake, identity: Identity, scheme: SignatureScheme) -> Steps[None]:
    """Send a CertificateVerify: a signature over the messages so far, and not over their hash (section 7.4.8)."""
    signature = yield from perform(Operation.SIGN, identity.key.sign, scheme, hs.transcript.messages())
    hs.send(CertificateVerify(scheme, signature))


def send_finished(hs: Handshake, main: MainSecret12) -> None:
    """Confirm everything so far."""
    hs.send(Finished(main.verify_data(hs.transcript.digest(), by_server=hs.server_side)))


def receive_finished(hs: Handshake, main: MainSecret12) -> Steps[None]:
    """Take the peer's Finished; it joins the transcript once it is proven."""
    section = "RFC 5246 section 7.4.9"
    finished = yield from hs.receive_raw(Finished)
    expected = main.verify_data(hs.transcript.digest(), by_server=not hs.server_side)
    if len(finished.verify_data) != len(expected):
        raise DecodeError(f"a Finished of {len(finished.verify_data)} bytes", section=section)
    if not compare_digest(finished.verify_data, expected):
        raise DecryptError("the peer's Finished does not verify", section=section)
    hs.transcript.add(finished.raw)
