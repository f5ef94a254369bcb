"""DTLS 1.3 against NSS and lemon-tls, in both roles, over UDP on loopback."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caesura.context import TrustStore, Verify
from caesura.errors import CertificateRequired
from caesura.wire.registries import NamedGroup, Version
from tests.interop.datagram_world import World, done
from tests.interop.peers import Setup, Workshop
from tests.interop.peers.datagrams import Lemon, NSSDatagrams

DTLS13 = Version.DTLS13
Kind = type[NSSDatagrams] | type[Lemon]
both = pytest.mark.parametrize("kind", [NSSDatagrams, Lemon], ids=["nss", "lemon"])
nss = pytest.mark.parametrize("kind", [NSSDatagrams], ids=["nss"])


@pytest.fixture
def serving(files: dict[str, Path]) -> Setup:
    return Setup(chain=files["ec.chain"], key=files["ec.key"])


@pytest.fixture
def connecting(files: dict[str, Path]) -> Setup:
    return Setup(trust=files["root"])


# --- we are the client ---------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("update", [False, True], ids=["data", "after a key update"])
def test_client(kind: Kind, update: bool, workshop: Workshop, world: World, serving: Setup) -> None:
    peer = kind(workshop).serve_datagrams(serving)
    end = world.client(peer.port, groups=["x25519", "secp256r1"])
    connection = done(end, DTLS13)
    end.until(lambda: connection.timeout() is None)  # our last flight is acknowledged
    if update:
        connection.key_update(request_peer=True)
        end.until(lambda: connection.timeout() is None)
    end.write(b"from caesura\n")
    if kind is Lemon:
        assert end.read() == b"from caesura\n"
    else:
        peer.heard("from caesura")
        peer.says("from nss\n")
        assert end.read() == b"from nss\n"


@nss
def test_client_and_a_retry(kind: Kind, workshop: Workshop, world: World, serving: Setup) -> None:
    peer = kind(workshop).serve_datagrams(replace(serving, groups=("secp384r1",)))
    end = world.client(peer.port, groups=["x25519", "secp384r1"])
    assert done(end, DTLS13).group is NamedGroup.secp384r1


@both
def test_client_with_small_datagrams(kind: Kind, workshop: Workshop, world: World, serving: Setup) -> None:
    peer = kind(workshop).serve_datagrams(serving)
    done(world.client(peer.port, groups=["x25519"], dtls={"mtu": 256}), DTLS13)


# --- we are the server ---------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("mtu", [1400, 300])
def test_server(kind: Kind, mtu: int, workshop: Workshop, world: World, connecting: Setup) -> None:
    end = world.server(dtls={"mtu": mtu}, groups=["x25519", "secp256r1"])
    peer = kind(workshop).connect_datagrams(end.sock.getsockname()[1], connecting)
    connection = done(end, DTLS13)
    end.until(lambda: connection.timeout() is None)  # the tickets are acknowledged
    if kind is not Lemon:
        peer.says("from nss\n")
    assert end.read().startswith(b"from ")
    connection.key_update(request_peer=True)
    end.until(lambda: connection.timeout() is None)
    end.write(b"from caesura\n")
    peer.heard("from caesura")


@both
def test_server_that_asks_for_another_share(kind: Kind, workshop: Workshop, world: World, connecting: Setup) -> None:
    end = world.server(groups=["secp256r1"])
    kind(workshop).connect_datagrams(end.sock.getsockname()[1], connecting)
    assert done(end, DTLS13).group is NamedGroup.secp256r1


@nss
def test_server_and_a_post_quantum_share(kind: Kind, workshop: Workshop, world: World, connecting: Setup) -> None:
    end = world.server(groups=["X25519MLKEM768", "x25519"], dtls={"mtu": 600})
    kind(workshop).connect_datagrams(end.sock.getsockname()[1], connecting)
    assert done(end, DTLS13).group is NamedGroup.X25519MLKEM768


@nss
def test_server_and_a_client_certificate(
    kind: Kind, workshop: Workshop, world: World, connecting: Setup, files: dict[str, Path]
) -> None:
    end = world.server(verify=Verify.REQUIRED, trust=TrustStore.load(files["root"]), groups=["x25519"])
    setup = replace(connecting, chain=files["client.chain"], key=files["client.key"])
    kind(workshop).connect_datagrams(end.sock.getsockname()[1], setup)
    assert done(end, DTLS13).peer_certificates


@both
def test_server_that_misses_a_client_certificate(
    kind: Kind, workshop: Workshop, world: World, connecting: Setup, files: dict[str, Path]
) -> None:
    end = world.server(verify=Verify.REQUIRED, trust=TrustStore.load(files["root"]), groups=["x25519"])
    kind(workshop).connect_datagrams(end.sock.getsockname()[1], connecting)
    with pytest.raises(CertificateRequired):
        done(end, DTLS13)
