"""DTLS 1.2 against OpenSSL, GnuTLS and pion over UDP on loopback, pyOpenSSL and mbedTLS in memory, in both roles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caesura.context import Identity, TrustStore, Verify
from caesura.dtls import DTLSConnection
from caesura.wire.registries import CipherSuite, SRTPProtectionProfile, Version
from tests.interop.datagram_world import World, done
from tests.interop.peers import Workshop
from tests.interop.peers.datagrams import UDPEnd
from tests.interop.peers.datagrams12 import GnuTLS12, MbedTLS12, OpenSSL12, Pion12, PyOpenSSL12, Setup12, exchange

Kind = type[OpenSSL12] | type[GnuTLS12] | type[Pion12]
DTLS12 = Version.DTLS12
KEY = bytes(range(16))
PROFILE = SRTPProtectionProfile.SRTP_AES128_CM_HMAC_SHA1_80


def named(kind: Any) -> str:
    return str(getattr(kind, "name", kind))


every = pytest.mark.parametrize("kind", [OpenSSL12, GnuTLS12, Pion12], ids=named)


@pytest.fixture
def serving(files: dict[str, Path]) -> Setup12:
    return Setup12(chain=files["ec.chain"], key=files["ec.key"])


@pytest.fixture
def connecting(files: dict[str, Path]) -> Setup12:
    return Setup12(trust=files["root"])


def talk(kind: Kind, end: UDPEnd, peer: Any) -> None:
    """A datagram each way. GnuTLS' server and pion echo; pion's client has said something before."""
    end.write(b"from caesura\n")
    if kind is OpenSSL12 or (kind is GnuTLS12 and end.listener is not None):
        peer.heard("from caesura")
        peer.says("from the peer\n")
        assert end.read() == b"from the peer\n"
    else:
        while end.read() != b"from caesura\n":
            pass


# --- we are the client ---------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("mtu", [1200, 300])
def test_client(kind: Kind, mtu: int, workshop: Workshop, world: World, serving: Setup12) -> None:
    peer = kind(workshop).serve(replace(serving, mtu=max(mtu, 512) if kind is GnuTLS12 else mtu))
    end = world.client(peer.port, dtls={"mtu": mtu})
    assert done(end, DTLS12).peer_certificates
    talk(kind, end, peer)


def test_client_and_cookies_of_openssl(workshop: Workshop, world: World, serving: Setup12) -> None:
    peer = OpenSSL12(workshop).serve(replace(serving, cookies=True))
    end = world.client(peer.port)
    done(end, DTLS12)
    talk(OpenSSL12, end, peer)


@every
def test_client_certificate(
    kind: Kind, workshop: Workshop, world: World, serving: Setup12, files: dict[str, Path]
) -> None:
    peer = kind(workshop).serve(replace(serving, trust=files["root"]))
    end = world.client(peer.port, identity=Identity.load(files["client.chain"], files["client.key"]))
    done(end, DTLS12)
    talk(kind, end, peer)


@pytest.mark.parametrize("kind", [OpenSSL12, GnuTLS12], ids=named)
def test_client_resumes(kind: Kind, workshop: Workshop, world: World, serving: Setup12) -> None:
    peer = kind(workshop).serve(serving)
    context = world.client_context(maximum_version="DTLS12")
    end = world.client(peer.port, context=context)
    connection = done(end, DTLS12)
    talk(kind, end, peer)
    session = connection.session
    assert session is not None
    connection.shutdown()
    end.step()
    again = world.client(peer.port, context=context, session=session)
    assert done(again, DTLS12).session_reused
    talk(kind, again, peer)


# --- we are the server ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mtu"),
    # pion 2 takes a fragment for a whole message when another one stands behind it in the same record.
    [(OpenSSL12, 1200), (OpenSSL12, 300), (GnuTLS12, 1200), (GnuTLS12, 300), (Pion12, 1200)],
    ids=named,
)
def test_server(kind: Kind, mtu: int, workshop: Workshop, world: World, connecting: Setup12) -> None:
    end = world.server(dtls={"mtu": mtu})
    peer = kind(workshop).connect(end.sock.getsockname()[1], connecting)
    done(end, DTLS12)
    talk(kind, end, peer)


@every
def test_server_and_a_client_certificate(
    kind: Kind, workshop: Workshop, world: World, connecting: Setup12, files: dict[str, Path]
) -> None:
    end = world.server(verify=Verify.REQUIRED, trust=TrustStore.load(files["root"]))
    setup = replace(connecting, chain=files["client.chain"], key=files["client.key"])
    peer = kind(workshop).connect(end.sock.getsockname()[1], setup)
    assert done(end, DTLS12).peer_certificates
    talk(kind, end, peer)


@pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "session id"])
def test_server_resumes_openssl(tickets: bool, workshop: Workshop, world: World, connecting: Setup12) -> None:
    end = world.server(**({} if tickets else {"ticket_count": 0}))
    port = end.sock.getsockname()[1]
    session = workshop.path("session.pem")
    first = OpenSSL12(workshop).connect(port, replace(connecting, session_out=session))
    assert not done(end, DTLS12).session_reused
    talk(OpenSSL12, end, first)
    first.process.wait_for("Verify return code")
    first.says("Q\n")
    end.until(lambda: end.connection.close_notify_received)
    end.accepted = None
    second = OpenSSL12(workshop).connect(port, replace(connecting, session_in=session))
    assert done(end, DTLS12).session_reused
    talk(OpenSSL12, end, second)


# --- what is not on by default -------------------------------------------------------------------------------------

PSK = [
    (OpenSSL12, "TLS_PSK_WITH_AES_128_CCM_8", "PSK-AES128-CCM8:@SECLEVEL=0", ""),
    (OpenSSL12, "TLS_PSK_WITH_AES_256_GCM_SHA384", "PSK-AES256-GCM-SHA384", ""),
    (OpenSSL12, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-PSK-CHACHA20-POLY1305", ""),
    (GnuTLS12, "TLS_PSK_WITH_AES_128_GCM_SHA256", "", "NORMAL:-KX-ALL:+PSK"),
    (GnuTLS12, "TLS_PSK_WITH_AES_128_CCM", "", "NORMAL:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM"),
    (GnuTLS12, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "", "NORMAL:-KX-ALL:+ECDHE-PSK"),
    (Pion12, "TLS_PSK_WITH_AES_128_CCM_8", "", ""),
    (Pion12, "TLS_PSK_WITH_AES_128_GCM_SHA256", "", ""),
]


def psk_setup(suite: str, openssl: str, gnutls: str) -> Setup12:
    return Setup12(psk=KEY, suite=openssl, gnutls=gnutls or "NORMAL", code=CipherSuite[suite])


@pytest.mark.parametrize(("kind", "suite", "openssl", "gnutls"), PSK, ids=named)
def test_client_with_a_pre_shared_key(
    kind: Kind, suite: str, openssl: str, gnutls: str, workshop: Workshop, world: World
) -> None:
    peer = kind(workshop).serve(psk_setup(suite, openssl, gnutls))
    end = world.client(peer.port, lookup_psk=lambda _: ("psk1", KEY), cipher_suites=[suite])
    assert done(end, DTLS12).cipher_suite is CipherSuite[suite]
    talk(kind, end, peer)


@pytest.mark.parametrize(("kind", "suite", "openssl", "gnutls"), PSK, ids=named)
def test_server_with_a_pre_shared_key(
    kind: Kind, suite: str, openssl: str, gnutls: str, workshop: Workshop, world: World
) -> None:
    known = {b"psk1": KEY}
    end = world.server(
        lookup_psk=lambda name: (name, known[name]) if name in known else None,
        cipher_suites=[suite],
        psk_identity_hint="any",
    )
    peer = kind(workshop).connect(end.sock.getsockname()[1], psk_setup(suite, openssl, gnutls))
    assert done(end, DTLS12).psk_identity == b"psk1"
    if kind is not GnuTLS12 or "ECDHE" not in suite:  # there gnutls-cli 3.7 ends while it prints what was agreed on
        talk(kind, end, peer)


@pytest.mark.parametrize("suite", ["128_CCM", "256_CCM", "128_CCM_8", "256_CCM_8"])
def test_ccm_with_openssl(suite: str, workshop: Workshop, world: World, serving: Setup12, connecting: Setup12) -> None:
    name = f"TLS_ECDHE_ECDSA_WITH_AES_{suite}"
    theirs = f"ECDHE-ECDSA-AES{suite.replace('CCM_8', 'CCM8').replace('_', '-')}:@SECLEVEL=0"
    peer = OpenSSL12(workshop).serve(replace(serving, suite=theirs))
    end = world.client(peer.port, cipher_suites=[name])
    assert done(end, DTLS12).cipher_suite is CipherSuite[name]
    talk(OpenSSL12, end, peer)
    end = world.server(cipher_suites=[name])
    peer = OpenSSL12(workshop).connect(end.sock.getsockname()[1], replace(connecting, suite=theirs))
    assert done(end, DTLS12).cipher_suite is CipherSuite[name]
    talk(OpenSSL12, end, peer)


def test_srtp_with_pion(workshop: Workshop, world: World, serving: Setup12, connecting: Setup12) -> None:
    options = {"srtp_profiles": [PROFILE]}
    peer = Pion12(workshop).serve(replace(serving, srtp=PROFILE))
    connection = done(world.client(peer.port, dtls=options), DTLS12)
    assert connection.srtp_profile is PROFILE
    exported = connection.export_keying_material("EXPORTER-caesura-interop", None, 32).hex()
    peer.process.wait_for(f'"exported":"{exported}".*"srtp":1')
    end = world.server(dtls=options)
    Pion12(workshop).connect(end.sock.getsockname()[1], replace(connecting, srtp=PROFILE))
    assert done(end, DTLS12).srtp_profile is PROFILE


# --- in memory -------------------------------------------------------------------------------------------------------


def in_memory(ours: DTLSConnection, theirs: Any) -> None:
    exchange(ours, theirs)
    assert ours.error is None
    assert ours.handshake_complete
    assert ours.version is Version.DTLS12
    ours.write(b"from caesura")
    theirs.write(b"from the peer")
    exchange(ours, theirs)
    assert ours.read() == b"from the peer"
    assert theirs.read() == b"from caesura"


@pytest.mark.parametrize("cookies", [False, True])
def test_client_with_pyopenssl(cookies: bool, world: World, serving: Setup12) -> None:
    context = world.client_context(dtls={"srtp_profiles": [PROFILE]})
    ours = DTLSConnection(context, server_side=False, server_hostname="localhost", addr="peer")
    theirs = PyOpenSSL12(replace(serving, cookies=cookies, srtp=PROFILE), server_side=True)
    in_memory(ours, theirs)
    assert theirs.exported() == ours.export_keying_material("EXPORTER-caesura-interop", None, 32)
    assert theirs.connection.get_selected_srtp_profile() == b"SRTP_AES128_CM_SHA1_80"
    assert ours.srtp_profile is PROFILE


@pytest.mark.parametrize("mtu", [1200, 256])
def test_server_with_pyopenssl(mtu: int, world: World, connecting: Setup12) -> None:
    context = world.server_context(dtls={"srtp_profiles": [PROFILE], "mtu": mtu})
    ours = DTLSConnection(context, server_side=True, addr="peer")
    theirs = PyOpenSSL12(replace(connecting, srtp=PROFILE, mtu=mtu), server_side=False)
    in_memory(ours, theirs)
    assert theirs.exported() == ours.export_keying_material("EXPORTER-caesura-interop", None, 32)
    assert theirs.connection.get_selected_srtp_profile() == b"SRTP_AES128_CM_SHA1_80"


def test_client_with_mbedtls(world: World, serving: Setup12) -> None:
    """It asks for a cookie first."""
    ours = DTLSConnection(world.client_context(), server_side=False, server_hostname="localhost", addr="peer")
    in_memory(ours, MbedTLS12(serving, server_side=True))


def test_server_with_mbedtls(world: World, connecting: Setup12) -> None:
    ours = DTLSConnection(world.server_context(), server_side=True, addr="peer")
    in_memory(ours, MbedTLS12(connecting, server_side=False))


def test_server_with_a_pre_shared_key_of_mbedtls(world: World) -> None:
    context = world.server_context(lookup_psk=lambda name: (name, KEY), cipher_suites=["TLS_PSK_WITH_AES_128_CCM_8"])
    ours = DTLSConnection(context, server_side=True, addr="peer")
    in_memory(ours, MbedTLS12(Setup12(psk=KEY), server_side=False))
    assert ours.psk_identity == b"psk1"
