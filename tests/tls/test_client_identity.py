"""`select_client_identity`: the application chooses what a client shows, in each version, after the handshake too."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.context import CertificateRequestInfo, Context, Identity, Verify
from caesura.engines import DelayEngine, Operation
from caesura.errors import AccessDenied, CertificateRequired, HandshakeFailure, OperationFailed, PeerAlert, UsageError
from caesura.wire.registries import CertificateType, ClientCertificateType
from tests.support.link import Link, link
from tests.tls.test_raw_keys import known, raw
from tests.tls.world import TLS12, asking_context, client_context, identity, trust

NAME = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a"  # CN=a

Versions = pytest.mark.parametrize("versions", [TLS12, {}], ids=["TLS 1.2", "TLS 1.3"])


def linked(select: Any, client: dict[str, Any], server: dict[str, Any] | None = None) -> Link:
    ours = client_context(select_client_identity=select, **client)
    return link(ours, asking_context(**(server or {})))


@Versions
def test_what_is_chosen_is_shown_and_nothing_else(versions: dict[str, Any]) -> None:
    told: list[CertificateRequestInfo] = []

    def select(request: CertificateRequestInfo) -> Identity:
        told.append(request)
        return identity("client")

    authorities = {"certificate_authorities": [NAME], **versions}
    made = linked(select, {"identity": identity("rsa"), **versions}, authorities).handshake()
    assert made.server.peer_certificates == identity("client").chain
    assert made.client.identity is identity("client")
    (request,) = told
    older = bool(versions)
    assert (request.server_hostname, request.certificate_type) == ("localhost", CertificateType.X509)
    assert request.signature_schemes == asking_context(**versions).settings.client_schemes
    assert request.certificate_authorities == (NAME,)
    assert (ClientCertificateType.ecdsa_sign in request.client_certificate_types) is older


async def _later(_request: CertificateRequestInfo) -> Identity:
    return identity("client")


@Versions
@pytest.mark.parametrize("select", [lambda _: None, _later], ids=["no opinion", "a coroutine"])
def test_it_may_have_no_opinion_and_be_a_coroutine(versions: dict[str, Any], select: Any) -> None:
    made = linked(select, {"identity": identity("client"), **versions}, versions).handshake()
    assert made.server.peer_certificates == identity("client").chain


@Versions
@pytest.mark.parametrize("chosen", [identity("client"), raw("client")], ids=["scheme", "type"])
def test_what_does_not_fit_is_not_shown(versions: dict[str, Any], chosen: Identity) -> None:
    options = {"client_signature_schemes": ["rsa_pss_rsae_sha256"], **versions}
    made = linked(lambda _: chosen, {"identity": identity("rsa"), **versions}, options).start().exchange()
    assert type(made.server.error) is (HandshakeFailure if versions else CertificateRequired)
    made = linked(lambda _: chosen, versions, {"verify": Verify.OPTIONAL, **options}).handshake()
    assert made.client.identity is None


@Versions
def test_a_raw_key_where_one_is_asked_for(versions: dict[str, Any]) -> None:
    options = {"own_certificate_types": ["RawPublicKey", "X509"], **versions}
    made = linked(lambda _: raw("client"), options, {"trust": known("client"), **versions}).handshake()
    assert made.server.peer_public_key == raw("client").chain[0]


def failing(_request: CertificateRequestInfo) -> Identity:
    raise OSError("no smart card")


def refusing(_request: CertificateRequestInfo) -> Identity:
    raise AccessDenied("not to them")


@Versions
@pytest.mark.parametrize(
    ("select", "kind"), [(failing, OperationFailed), (refusing, AccessDenied), (lambda _: "me", UsageError)]
)
def test_it_may_fail(versions: dict[str, Any], select: Any, kind: type[Exception]) -> None:
    made = linked(select, versions, versions).start().exchange()
    assert isinstance(made.client.error, kind)
    assert isinstance(made.server.error, PeerAlert)


@Versions
def test_it_may_pause(versions: dict[str, Any]) -> None:
    engine = DelayEngine(None, operations=[Operation.SELECT_IDENTITY])
    options = {"engine": engine, "async_mode": True, **versions}
    made = linked(lambda _: identity("client"), options, versions).start().exchange()
    assert made.client.waiting_for_async
    engine.release()
    made.client.advance(0.0)
    assert made.exchange().server.peer_certificates == identity("client").chain


@Versions
def test_who_is_not_asked_chooses_nothing(versions: dict[str, Any]) -> None:
    theirs: Context = asking_context(Verify.NONE, trust=trust(), **versions)
    link(client_context(select_client_identity=failing, **versions), theirs).handshake()
    ours = client_context(select_client_identity=_once(), **versions)
    theirs = asking_context(**versions)
    assert not link(ours, theirs).handshake().client.session_reused
    made = link(ours, theirs).handshake()
    assert made.client.session_reused  # and nobody was asked again
    assert made.server.peer_certificates == identity("client").chain


def _once() -> Any:
    answers = [identity("client")]
    return lambda _: answers.pop()


def test_after_the_handshake() -> None:
    told: list[CertificateRequestInfo] = []

    def select(request: CertificateRequestInfo) -> Identity:
        told.append(request)
        return identity("client")

    made = linked(select, {"post_handshake_auth": True}, {"verify": Verify.NONE}).handshake()
    assert not told
    made.server.verify_client_post_handshake()
    made.exchange()
    assert made.server.peer_certificates == identity("client").chain
    assert [request.server_hostname for request in told] == ["localhost"]
