"""External pre-shared keys in TLS 1.2 and DTLS 1.2, alone and with a key exchange (RFC 4279, RFC 5489)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from caesura.context import PSK, Context, Method, Verify
from caesura.crypto.hkdf import SHA256
from caesura.crypto.prf import prf
from caesura.crypto.secrets import Secret, SharedSecret
from caesura.crypto.suites import SUITES
from caesura.crypto.tickets import TicketKeys
from caesura.errors import (
    BadRecordMAC,
    ConfigError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    PeerAlert,
    UnexpectedMessage,
    UnknownPSKIdentity,
    UsageError,
)
from caesura.handshake.schedule12 import preliminary_of_psk
from caesura.tls import TLSConnection
from caesura.wire.messages import decode_message
from caesura.wire.messages12 import (
    ECDHEPSKClientKeyExchange,
    ECDHEPSKServerKeyExchange,
    PSKClientKeyExchange,
    PSKServerKeyExchange,
    ServerECDHParams,
)
from caesura.wire.registries import CipherSuite, NamedGroup, Version
from tests.support.clock import FakeClock
from tests.support.datagram_link import datagram_link, received
from tests.support.link import Link
from tests.support.link import received as stream
from tests.tls.world import TLS12, WALL, identity, trust

KEY = bytes(range(32))
SUITES_PSK = [suite for suite in SUITES.values() if suite.psk]
PLAIN, WITH_ECDHE = "TLS_PSK_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"
DTLS = {"method": Method.DTLS, "minimum_version": "DTLS12", "maximum_version": "DTLS12"}


def settings(seed: int, **more: Any) -> dict[str, Any]:
    common: dict[str, Any] = {
        **TLS12,
        "groups": ["x25519", "secp256r1"],
        "clock": FakeClock(wall_time=WALL),
        "random": random.Random(seed).randbytes,
        "keylog": None,
        "cipher_suites": [PLAIN],
    }
    return {**common, **more}


def client(found: Any = ("psk1", KEY), **more: Any) -> Context:
    """A client that has this key, and nothing to judge certificates by."""
    return Context.client(**settings(1, lookup_psk=lambda _: found, **more))


def server(keys: dict[bytes, Any] | None = None, **more: Any) -> Context:
    """A server that knows these keys."""
    known = {b"psk1": KEY} if keys is None else keys

    def lookup(name: bytes | None) -> Any:
        key = known.get(name or b"")
        return key if key is None or isinstance(key, PSK) else (name, key)

    return Context.server(**settings(2, lookup_psk=lookup, **more))


def pair(ours: Context, theirs: Context, **options: Any) -> Link:
    name = options.pop("server_hostname", None)
    return Link(
        TLSConnection(ours, server_side=False, server_hostname=name, **options), TLSConnection(theirs, server_side=True)
    )


def refused(link: Link) -> tuple[Error | None, Error | None]:
    link.start().exchange()
    return link.client.error, link.server.error


# --- what is agreed on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES_PSK, ids=lambda suite: suite.name)
def test_every_suite(suite: Any) -> None:
    link = pair(client(cipher_suites=[suite.code]), server(cipher_suites=[suite.code])).handshake()
    for side in (link.client, link.server):
        assert side.version is Version.TLS12
        assert side.cipher_suite is suite.code
        assert side.group is (NamedGroup.x25519 if suite.ecdhe else None)
        assert side.psk_identity == b"psk1"
        assert side.peer_certificates == ()
    link.client.write(b"to the server")
    link.server.write(b"to the client")
    link.exchange()
    assert stream(link.server_events) == b"to the server"
    assert stream(link.client_events) == b"to the client"


@pytest.mark.parametrize("suite", [PLAIN, WITH_ECDHE, "TLS_PSK_WITH_AES_128_CCM_8"])
@pytest.mark.parametrize("listener", [False, True])
def test_over_dtls(suite: str, listener: bool) -> None:
    ours, theirs = client(cipher_suites=[suite], **DTLS), server(cipher_suites=[suite], **DTLS)
    link = datagram_link(ours, theirs, server_hostname=None, listener=listener).handshake()
    assert link.server.psk_identity == b"psk1"
    link.client.write(b"reading")
    link.run()
    assert received(link.server_events) == [b"reading"]


def test_what_the_main_secret_is_made_of() -> None:
    """RFC 4279 section 2: zeros stand for what was exchanged; RFC 5489 section 2: the shared secret itself."""
    key, shared = Secret(b"0123456789abcdef"), SharedSecret(b"z" * 32)
    assert preliminary_of_psk(key, None).reveal() == b"\0\x10" + bytes(16) + b"\0\x100123456789abcdef"
    assert preliminary_of_psk(key, shared).reveal() == b"\0\x20" + b"z" * 32 + b"\0\x100123456789abcdef"
    assert prf(SHA256, preliminary_of_psk(key, None), b"x", b"", 4) != prf(
        SHA256, preliminary_of_psk(key, shared), b"x", b"", 4
    )


def test_messages_on_the_wire() -> None:
    params = ServerECDHParams(NamedGroup.x25519, b"P")
    for message, hexes in (
        (PSKServerKeyExchange(b"hint"), "0c 000006 0004 68696e74"),
        (PSKClientKeyExchange(b"me"), "10 000004 0002 6d65"),
        (ECDHEPSKServerKeyExchange(b"", params), "0c 000007 0000 03 001d 01 50"),
        (ECDHEPSKClientKeyExchange(b"me", b"Q"), "10 000006 0002 6d65 01 51"),
    ):
        assert message.encode() == bytes.fromhex(hexes)
        assert decode_message(type(message), message.raw) == message


@pytest.mark.parametrize("suite", [PLAIN, WITH_ECDHE])
@pytest.mark.parametrize("hint", [None, b"use the first one"])
def test_the_hint(suite: str, hint: bytes | None) -> None:
    theirs = server(cipher_suites=[suite], psk_identity_hint=hint)
    link = pair(client(cipher_suites=[suite]), theirs).handshake()
    assert link.client.psk_identity_hint == hint


def test_the_first_of_several_keys_is_used() -> None:
    """An imported one too: in TLS 1.2 it is what it is (RFC 9258 section 1)."""
    found = [PSK.imported("psk2", KEY), PSK("psk1", KEY)]
    link = pair(client(found), server({b"psk2": PSK.imported("psk2", KEY)})).handshake()
    assert link.server.psk_identity == b"psk2"


def test_the_servers_order_decides_between_keys_and_certificates() -> None:
    certified = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    for suites, with_key in (([certified, PLAIN], False), ([PLAIN, certified], True)):
        ours = client(cipher_suites=[PLAIN, certified], trust=trust())
        theirs = server(cipher_suites=suites, identity=identity())
        link = pair(ours, theirs, server_hostname="localhost").handshake()
        assert (link.server.psk_identity == b"psk1") is with_key
        assert bool(link.client.peer_certificates) is not with_key


def test_a_client_without_a_key_offers_no_suite_that_needs_one() -> None:
    certified = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    ours = client(None, cipher_suites=[PLAIN, certified], trust=trust())
    theirs = server(cipher_suites=[PLAIN, certified], identity=identity())
    link = pair(ours, theirs, server_hostname="localhost").handshake()
    assert link.client.cipher_suite is CipherSuite[certified]
    link = pair(client(None), server()).start()
    assert isinstance(link.client.error, UsageError)


def test_a_key_stands_in_for_a_client_certificate() -> None:
    link = pair(client(), server(verify=Verify.REQUIRED, trust=trust())).handshake()
    assert link.server.psk_identity == b"psk1"


@pytest.mark.parametrize("tickets", [True, False])
def test_resumption_remembers_whose_key_it_was(tickets: bool) -> None:
    theirs = server(ticket_keys=TicketKeys(), ticket_count=int(tickets))
    ours = client()
    link = pair(ours, theirs).handshake().exchange()
    session = link.client.session
    assert session is not None
    assert bool(session.ticket) is tickets
    again = pair(ours, theirs, session=session).handshake()
    for side in (again.client, again.server):
        assert side.session_reused
        assert side.psk_identity == b"psk1"


def test_both_versions_on_offer() -> None:
    """One key, used in whichever version is agreed on."""
    both = {"maximum_version": "TLS13", "cipher_suites": ["TLS_AES_128_GCM_SHA256", PLAIN]}
    for theirs, version in ((server(**both), Version.TLS13), (server(), Version.TLS12)):
        link = pair(client(**both), theirs).handshake()
        assert link.client.version is version
        assert link.server.psk_identity == b"psk1"


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [PLAIN, WITH_ECDHE])
def test_an_identity_that_is_nobodys(suite: str) -> None:
    ours, theirs = refused(pair(client(("stranger", KEY), cipher_suites=[suite]), server(cipher_suites=[suite])))
    assert isinstance(theirs, UnknownPSKIdentity)
    assert isinstance(ours, PeerAlert)


@pytest.mark.parametrize("suite", [PLAIN, WITH_ECDHE])
def test_another_key(suite: str) -> None:
    _, theirs = refused(pair(client(("psk1", b"x" * 32), cipher_suites=[suite]), server(cipher_suites=[suite])))
    assert isinstance(theirs, BadRecordMAC)


def test_none_without_lookup_psk() -> None:
    """The suites alone are not enough on either side."""
    theirs = Context.server(**settings(2, identity=identity(), cipher_suites=[PLAIN]))
    ours, error = refused(pair(client(), theirs))
    assert isinstance(error, HandshakeFailure)
    assert isinstance(ours, PeerAlert)
    with pytest.raises(ConfigError, match="lookup_psk"):
        pair(Context.client(**settings(1, trust=trust())), theirs, server_hostname="localhost")


def test_none_among_the_default_suites() -> None:
    assert not any(SUITES[code].psk or "CCM" in SUITES[code].name for code in Context().cipher_suites)
    with pytest.raises(ConfigError, match="lookup_psk"):
        pair(
            Context.client(**{**settings(1, lookup_psk=lambda _: None), "cipher_suites": Context().cipher_suites}),
            server(),
        )


def test_a_curve_that_was_not_offered() -> None:
    ours = client(cipher_suites=[WITH_ECDHE], groups=["x25519"])
    theirs = server(cipher_suites=[WITH_ECDHE], groups=["secp256r1"])
    _, error = refused(pair(ours, theirs))
    assert isinstance(error, HandshakeFailure)
    link = pair(client(cipher_suites=[WITH_ECDHE]), server(cipher_suites=[WITH_ECDHE])).start()
    link.server.receive_data(link.client.data_to_send(0.0), 0.0)
    flight = link.server.data_to_send(0.0)
    assert b"\x00\x00\x03\x00\x1d" in flight
    link.client.receive_data(flight.replace(b"\x00\x00\x03\x00\x1d", b"\x00\x00\x03\x00\x19"), 0.0)
    assert isinstance(link.client.error, IllegalParameter)


def test_a_certificate_where_a_key_was_agreed_on() -> None:
    link = pair(client(), server(psk_identity_hint="hint")).start()
    link.server.receive_data(link.client.data_to_send(0.0), 0.0)
    flight = bytearray(link.server.data_to_send(0.0))
    at = flight.index(b"\x0c\x00\x00\x06\x00\x04hint")
    flight[at] = 11
    link.client.receive_data(bytes(flight), 0.0)
    assert isinstance(link.client.error, UnexpectedMessage)


@pytest.mark.parametrize("hint", ["", b"", 5, "x" * 65536])
def test_a_hint_that_is_none(hint: Any) -> None:
    with pytest.raises(ConfigError, match="psk_identity_hint"):
        Context(psk_identity_hint=hint)
