"""Whole handshakes over a network that does its best."""

from __future__ import annotations

from caesura.context import Verify
from caesura.crypto.tickets import TicketKeys
from caesura.events import HandshakeCompleted, SessionReceived
from caesura.wire.registries import CipherSuite, NamedGroup, Version
from tests.dtls.world import asking_context, client_context, linked
from tests.support.datagram_link import datagram_link, received
from tests.tls.world import identity


def test_full_handshake() -> None:
    link = linked().handshake()
    for side in (link.client, link.server):
        assert side.version is Version.DTLS13
        assert side.cipher_suite is CipherSuite.TLS_AES_128_GCM_SHA256
        assert side.group is NamedGroup.x25519
        assert not side.session_reused
    assert [type(event) for event in link.client_events] == [HandshakeCompleted, SessionReceived, SessionReceived]
    assert [type(event) for event in link.server_events] == [HandshakeCompleted]
    assert link.client.peer_certificates == identity().chain
    assert link.client.export_keying_material("label", b"context", 32) == link.server.export_keying_material(
        "label", b"context", 32
    )


def test_every_suite() -> None:
    for suite in (
        CipherSuite.TLS_AES_128_GCM_SHA256,
        CipherSuite.TLS_AES_256_GCM_SHA384,
        CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    ):
        link = linked({"cipher_suites": [suite]}).handshake()
        assert link.server.cipher_suite is suite
        link.client.write(b"to the server")
        link.server.write(b"to the client")
        link.run()
        assert received(link.server_events) == [b"to the server"]
        assert received(link.client_events) == [b"to the client"]


def test_resumption() -> None:
    server = {"ticket_keys": TicketKeys()}
    link = linked(server=server).handshake()
    assert link.client.session is not None
    again = linked(server=server, session=link.client.session).handshake()
    assert again.client.session_reused
    assert again.server.session_reused


def test_client_certificate() -> None:
    link = datagram_link(client_context(identity=identity("client")), asking_context()).handshake()
    assert link.server.peer_certificates == identity("client").chain
    link = datagram_link(client_context(), asking_context(Verify.OPTIONAL)).handshake()
    assert link.server.peer_certificates == ()


def test_a_post_quantum_share_waits_for_the_retry() -> None:
    groups = ["X25519MLKEM768", "x25519", "secp256r1"]
    link = linked({"groups": groups}, {"groups": groups}).handshake()
    assert link.server.group is NamedGroup.x25519  # a server does not pay a round trip for it
    assert len(link.sent[0].data) < 300
    link = linked({"groups": groups}, {"groups": ["X25519MLKEM768"]}).handshake()
    assert link.server.group is NamedGroup.X25519MLKEM768
    link = linked({"groups": ["X25519MLKEM768"]}, {"groups": groups}).handshake()
    assert link.server.group is NamedGroup.X25519MLKEM768
    assert len(link.sent[0].data) > 1200
