"""Certificate types: X.509 certificates or raw public keys, negotiated for each direction (RFC 7250 section 4).

A client says in its hello what it takes from the server and what it could show itself; where that is nothing but X.509
it says nothing. The server chooses. Whose a raw key is, the application knows: its trust store holds the key, or its
`verify_peer` says yes to it. Nothing else makes one acceptable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from caesura.context import Settings, Verify
from caesura.crypto.identity import Identity
from caesura.crypto.rawkeys import parse_public_key
from caesura.crypto.signatures import PublicKey
from caesura.errors import AlertDescription, CertificateVerifyError, DecodeError, UnsupportedCertificate
from caesura.wire.extensions import (
    CLIENT_CERTIFICATE_TYPE,
    CLIENT_CERTIFICATE_TYPES,
    SERVER_CERTIFICATE_TYPE,
    SERVER_CERTIFICATE_TYPES,
    Extensions,
)
from caesura.wire.messages import CertificateEntry
from caesura.wire.registries import CertificateType, ExtensionType

X509: Final = CertificateType.X509
RAW: Final = CertificateType.RawPublicKey
DEFAULT: Final = (X509,)
_SECTION: Final = "RFC 7250 section 4.2"
_RAW_KEY_UNTRUSTED: Final = 95  # X509_V_ERR_RPK_UNTRUSTED of X509_STORE_CTX_get_error(3)


# --- the client ---------------------------------------------------------------------------------------------------


def offer(settings: Settings, extensions: Extensions) -> None:
    """Say in a hello what we take and what we could show, where that is not just X.509."""
    taken, shown = settings.accepted_types, settings.shown_types
    if shown != DEFAULT:
        extensions.put(CLIENT_CERTIFICATE_TYPES, shown)
    if taken != DEFAULT:
        extensions.put(SERVER_CERTIFICATE_TYPES, taken)


def server_type(settings: Settings, answer: Extensions) -> CertificateType:
    """What the server will show; UnsupportedCertificate for what we do not take."""
    return _agreed(answer.get(SERVER_CERTIFICATE_TYPE), settings.accepted_types, "shows")


def client_type(settings: Settings, answer: Extensions) -> CertificateType:
    """What the server wants to see of us; UnsupportedCertificate for what we have not offered.

    For a server that has sent a CertificateRequest: without one it is of no interest what it has not said.
    """
    return _agreed(answer.get(CLIENT_CERTIFICATE_TYPE), settings.shown_types, "asks for")


def _agreed(chosen: int | None, offered: Sequence[CertificateType], does: str) -> CertificateType:
    kind = X509 if chosen is None else chosen
    if kind not in offered:
        raise UnsupportedCertificate(f"the server {does} a certificate of type {kind}", section=_SECTION)
    return offered[offered.index(kind)]


# --- the server ---------------------------------------------------------------------------------------------------


def acceptable(identities: tuple[Identity, ...], hello: Extensions) -> tuple[Identity, ...]:
    """Those of our identities that the client takes; UnsupportedCertificate when it takes none of their types."""
    found = fitting(identities, hello)
    if identities and not found:
        raise UnsupportedCertificate("no certificate type in common for the server", section=_SECTION)
    return found


def fitting(identities: tuple[Identity, ...], hello: Extensions) -> tuple[Identity, ...]:
    """Those of our identities that the client takes."""
    theirs = hello.get(SERVER_CERTIFICATE_TYPES) or DEFAULT
    return tuple(each for each in identities if each.certificate_type in theirs)


def choose_client_type(settings: Settings, hello: Extensions) -> CertificateType:
    """What a client that is asked for a certificate shall show: the first of ours that it has offered."""
    theirs = hello.get(CLIENT_CERTIFICATE_TYPES) or DEFAULT
    for kind in settings.accepted_types:
        if kind in theirs:
            return kind
    raise UnsupportedCertificate("no certificate type in common for the client", section=_SECTION)


def later_client_type(settings: Settings, hello: Extensions) -> CertificateType:
    """The same for a client that may be asked after the handshake: where nothing fits, it is the default."""
    theirs = hello.get(CLIENT_CERTIFICATE_TYPES) or DEFAULT
    return next((kind for kind in settings.accepted_types if kind in theirs), X509)


def answer(hello: Extensions, extensions: Extensions, server: Identity | None, client: CertificateType | None) -> None:
    """Say what was chosen, to a client that has asked; None for what there will be no certificate of."""
    if client is not None and ExtensionType.client_certificate_type in hello:
        extensions.put(CLIENT_CERTIFICATE_TYPE, client)
    if server is not None and ExtensionType.server_certificate_type in hello:
        extensions.put(SERVER_CERTIFICATE_TYPE, server.certificate_type)


# --- either side --------------------------------------------------------------------------------------------------


def read(entries: Sequence[CertificateEntry]) -> PublicKey:
    """The raw public key in a Certificate, which holds nothing else (RFC 9846 section 4.5.1)."""
    if len(entries) != 1:
        raise DecodeError(f"{len(entries)} raw public keys in a Certificate", section="RFC 9846 section 4.5.1")
    return parse_public_key(entries[0].cert_data)


def check_raw_key(settings: Settings, key: PublicKey) -> None:
    """Hold that the trust store vouches for the key, or that there is a `verify_peer` which will have to.

    Raises CertificateVerifyError.
    """
    trust = settings.trust
    if trust is not None and trust.vouches_for(key):
        return
    if settings.verify_peer is None or (trust is not None and trust.keys):
        raise CertificateVerifyError(
            "a raw public key that nobody vouches for",
            description=AlertDescription.bad_certificate,
            verify_code=_RAW_KEY_UNTRUSTED,
        )


def needs_a_yes(settings: Settings, *, server_side: bool) -> bool:
    """Whether `verify_peer` alone decides on a raw key: then only yes is yes."""
    judged = settings.verify_mode(server_side) is not Verify.NONE
    return judged and (settings.trust is None or not settings.trust.keys)
