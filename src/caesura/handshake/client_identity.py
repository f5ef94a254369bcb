"""The identity that a client shows: chosen by what the server wants to see, and by the application if it likes.

RFC 9846 section 4.4.2, RFC 5246 section 7.4.4. A client that has nothing that fits shows nothing: the server decides
what comes of it.
"""

from __future__ import annotations

from caesura.context import CertificateRequestInfo, Settings
from caesura.crypto.identity import Identity
from caesura.engines import Operation
from caesura.errors import UsageError
from caesura.handshake.authenticate12 import CERTIFICATE_TYPES
from caesura.handshake.negotiate import choose_identity
from caesura.handshake.requests import Steps, perform
from caesura.wire.extensions import CERTIFICATE_AUTHORITIES, SIGNATURE_ALGORITHMS
from caesura.wire.messages import CertificateRequest
from caesura.wire.registries import CertificateType, SignatureScheme, Version


def describe(server_hostname: str | None, request: CertificateRequest, kind: CertificateType) -> CertificateRequestInfo:
    """What `select_client_identity` is told of a request of TLS 1.3."""
    extensions = request.extensions
    schemes, issuers = extensions.get(SIGNATURE_ALGORITHMS), extensions.get(CERTIFICATE_AUTHORITIES)
    return CertificateRequestInfo(server_hostname, kind, schemes or (), issuers or ())


def choose(
    settings: Settings, request: CertificateRequestInfo, version: Version
) -> Steps[tuple[Identity, SignatureScheme] | None]:
    """The identity that the server could take, and how it signs; None when there is none."""
    kinds = request.client_certificate_types
    fitting = [
        identity
        for identity in (yield from candidates(settings, request))
        if identity.certificate_type is request.certificate_type
        and (not kinds or CERTIFICATE_TYPES[identity.public_key.kind] in kinds)
    ]
    issuers = request.certificate_authorities
    return choose_identity(settings.client_schemes, fitting, None, request.signature_schemes, version, issuers)


def candidates(settings: Settings, request: CertificateRequestInfo) -> Steps[tuple[Identity, ...]]:
    """The identities to choose among; `select_client_identity` may name one."""
    if settings.select_client_identity is None:
        return settings.identity
    selected = yield from perform(Operation.SELECT_IDENTITY, settings.select_client_identity, request)
    if selected is None:
        return settings.identity
    if not isinstance(selected, Identity):
        raise UsageError(f"select_client_identity: expected an Identity or None, not {type(selected).__name__}")
    return (selected,)
