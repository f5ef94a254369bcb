"""Whom the peer proves to be, whatever the version: its signature, its chain, and what the application thinks of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from caesura.context import PeerChain, Settings, Verify
from caesura.crypto.certificates import Certificate as ParsedCertificate
from caesura.crypto.certificates import parse_certificate
from caesura.crypto.signatures import PublicKey, verify
from caesura.crypto.trust import TrustStore, verify_chain
from caesura.engines import Operation
from caesura.errors import AlertDescription, CertificateVerifyError, IllegalParameter, UnsupportedCertificate
from caesura.handshake import raw_keys
from caesura.handshake.requests import Perform, Steps, perform, perform_both
from caesura.handshake.state import Handshake, PeerIdentity
from caesura.handshake.tickets import MAX_LIFETIME
from caesura.wire.registries import Version


@dataclass(slots=True)
class Proof:
    """A chain, and the signature of whoever holds the key of its leaf; without a chain, of a raw public key."""

    chain: tuple[bytes, ...]  # DER, leaf first
    ocsp_response: bytes | None
    public_key: PublicKey
    algorithm: int
    signature: bytes
    signed: bytes
    timestamps: tuple[bytes, ...] = ()


def judge(hs: Handshake, version: Version, proof: Proof) -> Steps[PeerIdentity]:
    """Verify the proof; whom it proves.

    The chain and the signature are verified at the same time: neither needs the other.
    """
    settings, chain = hs.settings, proof.chain
    if proof.algorithm not in settings.peer_schemes(hs.server_side):
        raise IllegalParameter("a signature with a scheme that was not offered", section="RFC 9846 section 4.5.2")
    check_signature = partial(verify, proof.algorithm, proof.public_key, proof.signature, proof.signed, version)
    if not chain:
        yield from perform(Operation.VERIFY_SIGNATURE, check_signature)
        return (yield from judge_raw_key(hs, proof))
    if settings.verify_mode(hs.server_side) is Verify.NONE:
        path = tuple(map(parse_certificate, chain))
        if not path[0].may_sign:  # which has to be so whoever vouches for it
            raise UnsupportedCertificate(
                "its key usages are without digitalSignature", section="RFC 9846 section 4.5.1.2"
            )
        yield from perform(Operation.VERIFY_SIGNATURE, check_signature)
        expiry = earliest_expiry(path)
    else:
        _, expiry = yield from perform_both(
            Perform(Operation.VERIFY_SIGNATURE, check_signature),
            Perform(Operation.VERIFY_CHAIN, check_chain, (settings, chain, hs.server_hostname, hs.server_side)),
        )
    if settings.verify_peer is not None:
        facts = PeerChain(
            chain, hs.server_hostname, hs.server_side, proof.ocsp_response, certificate_timestamps=proof.timestamps
        )
        verdict = yield from perform(Operation.VERIFY_PEER, settings.verify_peer, facts)
        if verdict is not None and not verdict:  # whatever counts as false refuses, not False alone
            raise refused_by_callback()
    return PeerIdentity(
        chain,
        proof.ocsp_response,
        min(expiry, int(settings.clock.wall()) + MAX_LIFETIME),
        signature_scheme=proof.algorithm,
        timestamps=proof.timestamps,
    )


def judge_raw_key(hs: Handshake, proof: Proof) -> Steps[PeerIdentity]:
    """Whom a raw public key stands for whose signature is good: it is known, or it is not (RFC 7250 section 6)."""
    settings, key = hs.settings, proof.public_key
    if settings.verify_mode(hs.server_side) is not Verify.NONE:
        raw_keys.check_raw_key(settings, key)
    if settings.verify_peer is not None:
        facts = PeerChain((), hs.server_hostname, hs.server_side, None, key.spki)
        verdict = yield from perform(Operation.VERIFY_PEER, settings.verify_peer, facts)
        if verdict is None:
            verdict = not raw_keys.needs_a_yes(settings, server_side=hs.server_side)
        if not verdict:
            raise refused_by_callback()
    valid_until = int(settings.clock.wall()) + MAX_LIFETIME
    return PeerIdentity((), None, valid_until, key.spki, signature_scheme=proof.algorithm)


def judge_again(hs: Handshake, peer: PeerIdentity) -> Steps[None]:
    """Ask `verify_peer` about a peer whose session resumes, where that is wanted: before there is any early data."""
    settings = hs.settings
    if not settings.verify_resumed or settings.verify_peer is None or not (peer.certificates or peer.public_key):
        return
    facts = PeerChain(peer.certificates, hs.server_hostname, hs.server_side, peer.ocsp_response, peer.public_key)
    verdict = yield from perform(Operation.VERIFY_PEER, settings.verify_peer, facts)
    if verdict is None:
        verdict = not peer.public_key or not raw_keys.needs_a_yes(settings, server_side=hs.server_side)
    if not verdict:
        raise refused_by_callback()


def refused_by_callback() -> CertificateVerifyError:
    """What `verify_peer` has said is a verdict like any other."""
    return CertificateVerifyError(
        "verify_peer refused it", description=AlertDescription.certificate_unknown, verify_code=50
    )


def check_chain(settings: Settings, chain: tuple[bytes, ...], server_hostname: str | None, server_side: bool) -> int:
    """Verify the peer's chain against the trust store, the name and the time; until when its path is valid.

    Raises CertificateVerifyError. The answer is in seconds since 1970.
    """
    path = verify_chain(
        chain,
        trust=settings.trust if settings.trust is not None else TrustStore.system(),
        server_name=None if server_side else server_hostname,
        purpose="client" if server_side else "server",
        now=datetime.fromtimestamp(settings.clock.wall(), UTC),
        max_depth=settings.limits.certificate_chain,
        cache=settings.verification_cache,
    )
    return earliest_expiry(path)


def earliest_expiry(path: tuple[ParsedCertificate, ...]) -> int:
    """The earliest notAfter, in seconds since 1970."""
    return min([certificate.expires for certificate in path])
