"""Contexts: every setting refused when it is given, named, and nothing shared with connections that exist."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from caesura.clock import SystemClock
from caesura.context import Context, DTLSSettings, Limits, QUICSettings, Settings, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.crypto.trust import VerificationCache
from caesura.engines import InlineEngine
from caesura.errors import ConfigError
from caesura.replay import ReplayCache
from caesura.sessions import ServerSessionCache, SessionCache
from caesura.tls import TLSConnection
from caesura.wire.registries import CipherSuite, NamedGroup, SignatureScheme, Version
from tests.support.clock import FakeClock
from tests.tls.world import client_context, identity, server_context, trust


class NoOperations:
    def start(self, work: object) -> None:
        pass


class NoZone:
    def __init__(self, *zone: object) -> None:
        if zone:
            (self.zone,) = zone

    def first_use(self, key: bytes, now: float, until: float) -> bool:
        return False


BAD: dict[str, list[Any]] = {
    "identity": ["server.pem", b"---", 5, [identity(), "x"], object()],
    "trust": ["ca.pem", b"---", 5, [trust()], True],
    "verify": [True, "REQUIRED", 2, "required"],
    "minimum_version": [None, 0x0304, "TLS10", "SSLv3", "DTLS12", Version.DTLS13, 5],
    "maximum_version": [None, 0x0303, "TLS1.3", Version.DTLS12, Version.QUIC1],
    "cipher_suites": [[], (), None, 5, "TLS_RSA_WITH_RC4_128_MD5", [0x1306], [0x1301, 0x1301], [None], [[]], 0xC013],
    "groups": [[], None, "x448", ["x25519", "x25519"], [0x0100], [None], [{}], "ffdhe2048"],
    "key_shares": ["x448", ["x25519", "x25519"], 5.0],
    "signature_schemes": [[], None, "rsa_pkcs1_sha1", [0x0201], ["ed25519", "ed25519"], 5.0, [()]],
    "client_signature_schemes": [[], "rsa_pkcs1_sha1", ["ed25519", "ed25519"], 5.0],
    "alpn": [[""], ["x" * 256], [5], 5, ["\u20ac"], [None], [b""], ["a"] * 40_000],
    "async_mode": [None, 1, "yes"],
    "async_callback": [5, "function"],
    "engine": [None, 5, "inline", InlineEngine, NoOperations()],
    "select_identity": [5, "function", identity()],
    "select_client_identity": [5, "function", identity()],
    "verify_peer": [5, True],
    "verify_resumed": [None, 1],
    "lookup_psk": [5, {b"identity": b"key"}, (b"identity", bytes(32))],
    "verification_cache": [5, {}, True],
    "sessions": [5, {}, object(), SessionCache],
    "server_sessions": [5, {}, SessionCache(), ServerSessionCache],
    "ticket_keys": [None, b"key", [bytes(32)], 5],
    "ticket_count": [-1, 17, None, "2", True, 1.5, float("nan")],
    "ticket_lifetime": [0, -1, 604_801, None, "1h", 1.5, True],
    "max_early_data": [-1, 2**32, None, "16384", True, 1.5],
    "early_data_window": [0, -1, 3601, None, "10", True, float("nan")],
    "replay_store": [None, 5, {}, SessionCache(), ReplayCache, NoZone(), NoZone("zone"), NoZone(bytes(256))],
    "psk_identity_hint": ["", b"", 5, bytes(2**16), bytearray(b"x")],
    "ocsp_response": ["staple", 5, bytearray(b"x")],
    "certificate_timestamps": [None, 1],
    "max_send_fragment": [None, 511, 16_385, 1000.5],
    "certificate_authorities": [None, [b""], ["CN=x"], b"name", [bytes(17_000)]],
    "certificate_compression": ["gzip", 4, 7.5, ["zlib", "zlib"], ["zlib", 1], [None], [[]], object()],
    "own_certificate_types": [[], "OpenPGP", 1, [0, 0], 5.0, "X509,RawPublicKey"],
    "peer_certificate_types": [[], "OpenPGP", 1, [2, 2], object()],
    "post_handshake_auth": [None, 1, "yes"],
    "record_size_limit": [63, 16_386, 0, "64", 100.5, True],
    "deadline": [0, -1, 86_401, "30", True, float("nan"), float("inf")],
    "dtls": [None, 5, "mtu", [("mtu", 1200)], {"mtu": 255}, {"nothing": 1}, {5: 5}],
    "quic": [None, 5, "retry", [("retry", True)], {"max_udp_payload_size": 1199}, {"nothing": 1}, {5: 5}],
    "keylog": [5.5, "/no/such/directory/keys.log", b"/no/such/directory/keys.log"],
    "trace": [5, "function"],
    "limits": [None, {}, 5],
    "clock": [None, 5, object(), FakeClock],
    "random": [None, 5, b"random"],
}
GOOD: dict[str, list[Any]] = {
    "identity": [None, [], identity(), [identity(), identity("rsa")]],
    "trust": [None, trust()],
    "verify": [None, *Verify],
    "minimum_version": ["TLS12", Version.TLS12, "TLS13", Version.TLS13],
    "maximum_version": ["TLS12", Version.TLS12, "TLS13", Version.TLS13],
    "cipher_suites": [
        "TLS_AES_256_GCM_SHA384",
        "tls_aes_256_gcm_sha384",
        CipherSuite.TLS_AES_256_GCM_SHA384,
        [0x1302],
        [0xC02F],
        iter(["TLS_AES_256_GCM_SHA384"]),
    ],
    "groups": ["x25519", "X25519", NamedGroup.x25519, (0x1D,), "SECP256R1", "X25519MLKEM768"],
    "key_shares": [None, (), "x25519", ["secp256r1", "x25519"]],
    "signature_schemes": ["ed25519", SignatureScheme.ed25519, ["ed25519", 0x0403], "ed448"],
    "client_signature_schemes": [None, "ed25519", ["ed25519", 0x0403]],
    "alpn": [None, [], "h2", b"h2", ["h2", b"http/1.1"], ("\xff" * 255,)],
    "async_mode": [True, False],
    "async_callback": [None, print],
    "async_callback_arg": [None, 5, object()],
    "engine": [InlineEngine()],
    "select_identity": [None, print],
    "select_client_identity": [None, print],
    "verify_peer": [None, print],
    "verify_resumed": [True, False],
    "lookup_psk": [None, print],
    "verification_cache": [None, VerificationCache()],
    "sessions": [None, SessionCache()],
    "server_sessions": [None, ServerSessionCache()],
    "ticket_keys": [TicketKeys()],
    "ticket_count": [0, 16],
    "ticket_lifetime": [1, 604_800],
    "max_early_data": [0, 1, 2**32 - 1],
    "early_data_window": [0.001, 10, 3600],
    "replay_store": [ReplayCache(), NoZone(b"")],
    "psk_identity_hint": [None, "hint", b"hint"],
    "ocsp_response": [None, b"staple"],
    "certificate_timestamps": [True, False],
    "max_send_fragment": [512, 16_384],
    "certificate_authorities": [(), [b"0\x01\x00"]],
    "certificate_compression": [None, [], "zlib", "ZLIB", 1, ["zlib"]],
    "own_certificate_types": [None, "X509", 2, ["RawPublicKey", "X509"]],
    "peer_certificate_types": [None, "rawpublickey", [0], ["RawPublicKey", "X509"]],
    "post_handshake_auth": [True, False],
    "record_size_limit": [None, 64, 16_385],
    "deadline": [None, 0.001, 86_400, 5],
    "dtls": [{}, {"mtu": 1200}, DTLSSettings()],
    "quic": [{}, {"initial_max_data": 0}, QUICSettings()],
    "keylog": [None, print],
    "trace": [None, print],
    "limits": [Limits()],
    "clock": [SystemClock(), FakeClock()],
    "random": [bytes],
}


def rows(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name} {number}")
        for name, values in table.items()
        for number, value in enumerate(values)
    ]


def test_every_setting_is_in_the_tables() -> None:
    names = {each.name for each in dataclasses.fields(Settings) if each.init} - {"method"}
    assert GOOD.keys() == names
    assert BAD.keys() == names - {"async_callback_arg"}


@pytest.mark.parametrize(("name", "value"), rows(BAD))
def test_bad_setting_is_refused_and_named(name: str, value: Any) -> None:
    """As a keyword, and as an attribute, where the old value stays."""
    with pytest.raises(ConfigError, match=f"^.*{name}"):
        Context(**{name: value})
    context = Context()
    before = context.settings
    with pytest.raises(ConfigError, match=f"^.*{name}"):
        setattr(context, name, value)
    assert context.settings is before


@pytest.mark.parametrize(("name", "value"), rows(GOOD))
def test_good_setting_is_taken(name: str, value: Any) -> None:
    context = Context(**{name: value})
    found = getattr(context, name)
    assert found == getattr(context.settings, name)
    if name in ("cipher_suites", "groups", "signature_schemes"):
        assert isinstance(found, tuple)
        assert all(isinstance(each, CipherSuite | NamedGroup | SignatureScheme) for each in found)
    elif name in ("alpn", "identity"):
        assert isinstance(found, tuple)
    elif name == "dtls":
        assert isinstance(found, DTLSSettings)
    setattr(context, name, found)
    assert getattr(context, name) == found


@pytest.mark.parametrize("name", ["idenity", "method", "settings", "verify_mode", "certfile", ""])
def test_setting_that_there_is_not(name: str) -> None:
    context = Context()
    with pytest.raises(ConfigError, match="no such setting"):
        setattr(context, name, None)
    if name != "method":
        with pytest.raises(ConfigError, match="no such setting"):
            Context(**{name: None})
    with pytest.raises(AttributeError, match="idenity"):
        context.idenity  # noqa: B018


@pytest.mark.parametrize("method", [None, "TLS", 1])
def test_a_method_is_a_method(method: Any) -> None:
    with pytest.raises(ConfigError, match="method"):
        Context(method)


def test_roles() -> None:
    """What a role cannot do without is asked for when a context for it is made, or at the latest a connection."""
    with pytest.raises(ConfigError, match="identity"):
        Context.server()
    with pytest.raises(ConfigError, match="identity"):
        TLSConnection(Context(), server_side=True)
    with pytest.raises(ConfigError, match="trust"):
        Context.server(identity=identity(), verify=Verify.OPTIONAL)
    Context.client()
    Context.server(select_identity=lambda _: None)
    context = server_context()
    context.identity = None
    with pytest.raises(ConfigError, match="identity"):
        TLSConnection(context, server_side=True)


def test_defaults_of_the_roles() -> None:
    settings = Context().settings
    assert settings.verify_mode(server_side=False) is Verify.REQUIRED
    assert settings.verify_mode(server_side=True) is Verify.NONE
    assert Context(verify=Verify.NONE).settings.verify_mode(server_side=False) is Verify.NONE


def test_secure_by_default() -> None:
    settings = Context().settings
    assert settings.versions == (Version.TLS13, Version.TLS12)
    assert settings.groups[0] is NamedGroup.X25519MLKEM768
    names = [scheme.name for scheme in settings.signature_schemes]
    assert not [name for name in names if "sha1" in name]
    assert ["pkcs1" in name for name in names] == [False] * (len(names) - 3) + [True] * 3  # the last choice of TLS 1.2
    assert settings.deadline is not None


def test_settings_are_frozen() -> None:
    context = client_context()
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.settings.alpn = ("h2",)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.settings.limits.key_updates = 5  # type: ignore[misc]


def test_change_makes_new_settings_and_leaves_the_old_alone() -> None:
    context = client_context()
    before = context.settings
    context.alpn = ["h2"]
    assert before.alpn == ()
    assert context.settings is not before
    assert context.settings.alpn == ("h2",)
    assert context.settings.sessions is before.sessions
    assert context.settings.ticket_keys is before.ticket_keys


def test_contexts_share_nothing() -> None:
    first, second = Context(), Context()
    for name in ("sessions", "ticket_keys", "verification_cache", "engine"):
        assert getattr(first, name) is not getattr(second, name)


def test_a_lists_later_changes_do_not_matter() -> None:
    protocols = ["h2"]
    context = Context(alpn=protocols)
    protocols.append("h3")
    assert context.alpn == ("h2",)


def test_key_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keylog"):
        Context(keylog=tmp_path)


def test_context_shows_no_secrets() -> None:
    assert repr(server_context()) == "<Context TLS>"
    assert "key" not in repr(identity()).lower() or "private" not in repr(identity()).lower()


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", None, True])
def test_bad_limits(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value})


def test_random_that_is_too_short_does_not_pass() -> None:
    """A source of randomness that gives less than it is asked for fails the handshake instead of weakening it."""
    connection = TLSConnection(
        client_context(random=lambda n: bytes(n - 1)), server_side=False, server_hostname="localhost"
    )
    connection.advance(0.0)
    assert connection.error is not None
    assert connection.data_to_send(0.0)[:1] in (b"", b"\x15")
