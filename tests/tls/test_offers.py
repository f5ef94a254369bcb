"""What a client's hello has in it by settings; and how an application refuses a peer."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.context import Context
from caesura.errors import AccessDenied, AlertDescription, ConfigError, PeerAlert
from caesura.tls import TLSConnection
from caesura.wire.extensions import KEY_SHARE_CLIENT, SUPPORTED_GROUPS
from caesura.wire.messages import ClientHello, decode_message
from caesura.wire.registries import NamedGroup
from tests.support.link import link
from tests.tls.world import client_context, server_context

G = NamedGroup


def hello_of(**settings: Any) -> ClientHello:
    """The first hello of a client with these settings."""
    client = TLSConnection(client_context(**settings), server_side=False, server_hostname="localhost")
    client.advance(0.0)
    return decode_message(ClientHello, client.data_to_send(0.0)[5:])


@pytest.mark.parametrize(
    ("groups", "key_shares", "expected"),
    [
        (("x25519", "secp256r1"), None, (G.x25519,)),
        (("X25519MLKEM768", "x25519"), None, (G.X25519MLKEM768, G.x25519)),
        (("X25519MLKEM768", "MLKEM1024", "secp256r1"), None, (G.X25519MLKEM768, G.secp256r1)),
        (("MLKEM1024",), None, (G.MLKEM1024,)),
        (("x25519", "secp256r1"), ("secp256r1",), (G.secp256r1,)),
        (("x25519", "secp256r1"), ("secp256r1", "x25519"), (G.x25519, G.secp256r1)),
        (("x25519", "secp256r1"), (), ()),
    ],
)
def test_key_shares(groups: tuple[str, ...], key_shares: tuple[str, ...] | None, expected: tuple[int, ...]) -> None:
    """RFC 9846 section 4.3.8: in the order of supported_groups; none at all asks for a HelloRetryRequest."""
    settings = {"groups": groups, "key_shares": key_shares}
    shares = hello_of(**settings).extensions.get(KEY_SHARE_CLIENT)
    assert shares is not None
    assert tuple(share.group for share in shares) == expected
    pair = link(client_context(**settings), server_context(groups=groups)).handshake()
    assert pair.client.group in {NamedGroup[name] for name in groups}


def test_key_shares_are_for_groups_that_are_offered() -> None:
    with pytest.raises(ConfigError, match="key_shares"):
        Context(groups=["x25519"], key_shares=["secp256r1"])


def test_hello_that_offers_nothing_newer_than_tls12_has_groups_of_it_alone() -> None:
    """RFC 8422 section 5.1.1; groups with ML-KEM are defined for TLS 1.3 (draft-ietf-tls-ecdhe-mlkem)."""
    groups = ("X25519MLKEM768", "x25519", "secp256r1")
    assert hello_of(groups=groups, minimum_version="TLS12", maximum_version="TLS12").extensions.get(
        SUPPORTED_GROUPS
    ) == (G.x25519, G.secp256r1)


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_largest_fragment_that_we_send(version: str) -> None:
    """SSL_CTX_set_max_send_fragment(3): of handshake messages too, in the clear and protected."""
    versions = {"minimum_version": version, "maximum_version": version}
    client = client_context(max_send_fragment=512, alpn=["x" * 255] * 5, **versions)
    pair = link(client, server_context(record_size_limit=900, max_send_fragment=2000, **versions)).start()
    lengths = []
    for _ in range(6):
        data = pair.client.data_to_send(0.0)
        pair.server.receive_data(data, 0.0)
        pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
        if pair.client.handshake_complete and not pair.client.plaintext:
            pair.client.write(bytes(3000))
        while data:
            lengths.append(int.from_bytes(data[3:5], "big"))
            data = data[5 + lengths[-1] :]
    assert pair.server.error is None
    assert pair.server.pending() >= 3000
    assert max(lengths) == 512 + (17 if version == "TLS13" else 24)
    assert lengths[:2] == [512, 512]


@pytest.mark.parametrize("complete", [False, True])
def test_an_application_refuses_its_peer(complete: bool) -> None:
    pair = link(client_context(), server_context())
    if complete:
        pair.handshake()
    else:
        pair.start()
    refusal = AccessDenied("not today")
    pair.server.abort(refusal)
    pair.server.abort(AccessDenied("again"))
    pair.exchange()
    assert pair.server.error is refusal
    assert isinstance(pair.client.error, PeerAlert)
    assert pair.client.error.description is AlertDescription.access_denied
