"""One negotiation for both versions: what each range of versions leads to, and what whoever is in between can do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from caesura.context import Context
from caesura.errors import (
    AlertDescription,
    BadRecordMAC,
    ConfigError,
    DecryptError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    InappropriateFallback,
    PeerAlert,
    ProtocolVersionAlert,
)
from caesura.wire.extensions import SUPPORTED_VERSIONS_CLIENT, Extensions
from caesura.wire.messages import DOWNGRADE_TLS11, DOWNGRADE_TLS12, ClientHello, ServerHello, decode_message
from caesura.wire.registries import CipherSuite, ExtensionType, NamedGroup, Version
from tests.support.link import Link, link
from tests.tls.puppet import refused
from tests.tls.puppet12 import PuppetClient12, PuppetServer12
from tests.tls.states import client, server
from tests.tls.world import EITHER, client_context, identity, server_context

TLS12, TLS13 = Version.TLS12, Version.TLS13
RANGES = [(TLS12, TLS12), (TLS12, TLS13), (TLS13, TLS13)]
SUITES13 = ["TLS_AES_128_GCM_SHA256"]
SUITES12 = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]


def ranged(make: Callable[..., Context], versions: tuple[Version, Version], **settings: Any) -> Context:
    return make(minimum_version=versions[0], maximum_version=versions[1], **settings)


def hello_of(context: Context) -> ClientHello:
    """The first hello of a client of this context."""
    connection = client(context)
    connection.advance(0.0)
    return decode_message(ClientHello, connection.data_to_send(0.0)[5:])


# --- the matrix ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"), list(product(RANGES, RANGES)), ids=lambda pair: f"{pair[0].name}-{pair[1].name}"
)
def test_the_newest_version_of_both(ours: tuple[Version, Version], theirs: tuple[Version, Version]) -> None:
    pair = link(ranged(client_context, ours), ranged(server_context, theirs)).start().exchange()
    lowest, highest = max(ours[0], theirs[0]), min(ours[1], theirs[1])
    if lowest <= highest:
        assert pair.client.version is pair.server.version is highest
    else:
        assert isinstance(pair.server.error, ProtocolVersionAlert)
        assert isinstance(pair.client.error, PeerAlert)
        assert pair.client.error.description is AlertDescription.protocol_version


@pytest.mark.parametrize("versions", RANGES, ids=lambda pair: f"{pair[0].name}-{pair[1].name}")
def test_a_hello_offers_what_its_versions_need(versions: tuple[Version, Version]) -> None:
    """And nothing else: no suite, no share, no extension of a version that is not spoken."""
    context = ranged(client_context, versions)
    hello = hello_of(context)
    older, newer = versions[0] is TLS12, versions[1] is TLS13
    names = [CipherSuite(code).name for code in hello.cipher_suites]
    assert any("ECDHE" in name for name in names) is older
    assert any("ECDHE" not in name for name in names) is newer
    assert hello.cipher_suites == context.settings.offered_suites
    assert hello.legacy_version == 0x0303
    assert len(hello.legacy_session_id) == (32 if newer else 0)
    for code, expected in {
        ExtensionType.key_share: newer,
        ExtensionType.supported_versions: newer,
        ExtensionType.psk_key_exchange_modes: newer,
        ExtensionType.extended_master_secret: older,
        ExtensionType.renegotiation_info: older,
        ExtensionType.ec_point_formats: older,
        ExtensionType.session_ticket: older,
        ExtensionType.supported_groups: True,
        ExtensionType.signature_algorithms: True,
        ExtensionType.server_name: True,
    }.items():
        assert (code in hello.extensions) is expected, code.name
    if newer:
        assert hello.extensions.get(SUPPORTED_VERSIONS_CLIENT) == tuple(sorted(set(versions), reverse=True))


@pytest.mark.parametrize(
    ("settings", "versions"),
    [
        ({}, (TLS13, TLS12)),
        ({"maximum_version": "TLS12"}, (TLS12,)),
        ({"minimum_version": "TLS13"}, (TLS13,)),
        ({"cipher_suites": SUITES13}, (TLS13,)),
        ({"cipher_suites": SUITES12}, (TLS12,)),
        ({"cipher_suites": SUITES12 + SUITES13}, (TLS13, TLS12)),
        ({"groups": ["X25519MLKEM768"]}, (TLS13,)),
        ({"groups": ["X25519MLKEM768", "secp521r1"]}, (TLS13, TLS12)),
    ],
    ids=str,
)
def test_suites_and_groups_decide_too(settings: dict[str, Any], versions: tuple[Version, ...]) -> None:
    made = Context(**settings).settings
    assert made.versions == versions
    wanted = made.cipher_suites
    if len(versions) == 1:
        wanted = tuple(code for code in wanted if ("ECDHE" in code.name) is (versions == (TLS12,)))
    assert made.offered_suites == wanted


@pytest.mark.parametrize(
    "settings",
    [
        {"maximum_version": "TLS12", "cipher_suites": SUITES13},
        {"minimum_version": "TLS13", "cipher_suites": SUITES12},
        {"maximum_version": "TLS12", "groups": ["X25519MLKEM768"]},
    ],
    ids=str,
)
def test_no_version_is_left(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cipher_suites, groups"):
        Context(**settings)


def test_minimum_above_maximum() -> None:
    with pytest.raises(ConfigError, match="minimum_version"):
        Context(minimum_version="TLS13", maximum_version="TLS12")


def test_suites_in_any_order_do_not_mix_versions() -> None:
    """A server that lists TLS 1.2 first speaks TLS 1.3 to whoever can, with a suite of TLS 1.3."""
    suites = [*SUITES12, *SUITES13]
    pair = link(client_context(**EITHER), server_context(cipher_suites=suites, **EITHER)).handshake()
    assert pair.client.version is TLS13
    assert pair.client.cipher_suite is CipherSuite[SUITES13[0]]
    pair = link(client_context(cipher_suites=suites, **EITHER), server_context(**EITHER)).handshake()
    assert pair.client.cipher_suite is CipherSuite[SUITES13[0]]


def test_version_is_chosen_before_suites() -> None:
    """TLS 1.3 without a suite in common is no reason for TLS 1.2: a downgrade could be provoked."""
    ours = client_context(cipher_suites=["TLS_AES_256_GCM_SHA384", *SUITES12], **EITHER)
    pair = link(ours, server_context(cipher_suites=[*SUITES13, *SUITES12], **EITHER)).start().exchange()
    assert isinstance(pair.server.error, HandshakeFailure)


def test_selected_context_has_to_speak_the_version() -> None:
    inner = server_context()  # TLS 1.3 alone
    outer = server_context(select_identity=lambda _: inner, **EITHER)
    assert link(client_context(**EITHER), outer).handshake().server.version is TLS13
    pair = link(client_context(maximum_version="TLS12", minimum_version="TLS12"), outer).start().exchange()
    assert isinstance(pair.server.error, ProtocolVersionAlert)


# --- sentinels and fallbacks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
def test_server_marks_what_could_have_been_newer(resumed: bool) -> None:
    """RFC 9846 section 4.2.3: also when it resumes; and not when TLS 1.3 is out of the question."""
    older = client_context(minimum_version="TLS12", maximum_version="TLS12")
    for both, marked in ((EITHER, True), ({"minimum_version": "TLS12", "maximum_version": "TLS12"}, False)):
        context = server_context(**both)
        randoms = []
        for _ in range(2):
            pair = link(older, context).start()
            pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
            flight = pair.server.data_to_send(0.0)
            hello = flight[5 : 9 + int.from_bytes(flight[6:9], "big")]
            randoms.append(decode_message(ServerHello, hello).random)
            pair.client.receive_data(flight, 0.0)
            pair.exchange()
            assert pair.client.handshake_complete
        assert pair.client.session_reused
        assert randoms[resumed].endswith(DOWNGRADE_TLS12) is marked
        assert not randoms[resumed].endswith(DOWNGRADE_TLS11)


@pytest.mark.parametrize("mark", [DOWNGRADE_TLS12, DOWNGRADE_TLS11], ids=["TLS 1.2", "TLS 1.1"])
def test_client_heeds_the_mark(mark: bytes) -> None:
    puppet = PuppetServer12(client(client_context(**EITHER)), identity())
    puppet.server_random = bytes(24) + mark
    puppet.say(puppet.hello(random=puppet.server_random))
    refused(puppet, IllegalParameter)
    puppet = PuppetServer12(client(client_context(minimum_version="TLS13")), identity())
    puppet.say(puppet.hello(random=bytes(24) + mark))
    refused(puppet, IllegalParameter)


def test_mark_means_nothing_to_who_speaks_nothing_newer() -> None:
    context = client_context(minimum_version="TLS12", maximum_version="TLS12")
    puppet = PuppetServer12(client(context), identity())
    puppet.server_random = bytes(24) + DOWNGRADE_TLS12
    puppet.greet(puppet.hello(random=puppet.server_random)).prove_and_hear().finish()
    assert puppet.connection.handshake_complete


@pytest.mark.parametrize(
    ("settings", "offered", "refuses"),
    [
        (EITHER, None, True),
        (EITHER, b"\2\3\3", True),
        (EITHER, b"\4\3\3\3\2", True),
        ({"minimum_version": "TLS12", "maximum_version": "TLS12"}, None, False),
        ({"minimum_version": "TLS12", "maximum_version": "TLS12"}, b"\4\3\4\3\3", False),
    ],
)
def test_fallback_scsv(settings: dict[str, Any], offered: bytes | None, refuses: bool) -> None:
    """RFC 7507 section 3: who says that this is a second try with less is asked why."""
    puppet = PuppetClient12(server(server_context(**settings)))
    hello = puppet.hello()
    hello.cipher_suites = (*hello.cipher_suites, CipherSuite.TLS_FALLBACK_SCSV)
    if offered is not None:
        hello.extensions.put_data(ExtensionType.supported_versions, offered)
    puppet.say(hello)
    if refuses:
        refused(puppet, InappropriateFallback, AlertDescription.inappropriate_fallback)
    else:
        puppet.pull()
        puppet.exchange().finish()
        assert puppet.connection.handshake_complete


def test_fallback_scsv_with_the_newest_version_is_none() -> None:
    """Said with TLS 1.3 among the versions it changes nothing."""
    hello = hello_of(client_context(**EITHER))
    hello.cipher_suites = (*hello.cipher_suites, CipherSuite.TLS_FALLBACK_SCSV)
    peer = server(server_context(**EITHER))
    raw = hello.encode()
    peer.receive_data(b"\x16\3\1" + len(raw).to_bytes(2, "big") + raw, 0.0)
    assert peer.error is None
    assert peer.data_to_send(0.0)[5] == 2


# --- whoever is in between -------------------------------------------------------------------------------------------


class Between:
    """Carries bytes between two connections, and changes the first hello of each side on the way."""

    def __init__(
        self,
        change_client: Callable[[ClientHello], None] = lambda hello: None,
        change_server: Callable[[ServerHello], None] = lambda hello: None,
        **both: Any,
    ) -> None:
        versions = {**EITHER, **both}
        self.pair: Link = link(client_context(**versions), server_context(**versions)).start()
        flight = self.pair.client.data_to_send(0.0)
        self.pair.server.receive_data(self.changed(flight, ClientHello, change_client), 0.0)
        answer = self.pair.server.data_to_send(0.0)
        if answer[0] == 22:
            answer = self.changed(answer, ServerHello, change_server)
        self.pair.client.receive_data(answer, 0.0)
        self.pair.exchange()

    @staticmethod
    def changed(flight: bytes, kind: Any, change: Callable[[Any], None]) -> bytes:
        """The flight with its first message, which begins the first record, changed."""
        size = int.from_bytes(flight[3:5], "big")
        content, rest = flight[5 : 5 + size], flight[5 + size :]
        stop = 4 + int.from_bytes(content[1:4], "big")
        hello = decode_message(kind, content[:stop])
        change(hello)
        content = hello.encode() + content[stop:]
        return flight[:3] + len(content).to_bytes(2, "big") + content + rest

    @property
    def errors(self) -> tuple[Error | None, Error | None]:
        return self.pair.client.error, self.pair.server.error

    def came_to_nothing(self) -> None:
        assert not self.pair.client.handshake_complete
        assert not self.pair.server.handshake_complete


def drop_versions(hello: ClientHello) -> None:
    hello.extensions.remove(ExtensionType.supported_versions)


def older_versions(hello: ClientHello) -> None:
    hello.extensions.put(SUPPORTED_VERSIONS_CLIENT, (TLS12,))


@pytest.mark.parametrize("change", [drop_versions, older_versions])
def test_removing_tls13_from_the_hello_is_found_out(change: Callable[[ClientHello], None]) -> None:
    """By the mark in the server's random, before anything else."""
    between = Between(change)
    assert isinstance(between.errors[0], IllegalParameter)
    between.came_to_nothing()


@pytest.mark.parametrize("change", [drop_versions, older_versions])
def test_taking_the_mark_away_breaks_the_signature(change: Callable[[ClientHello], None]) -> None:
    def unmark(hello: ServerHello) -> None:
        hello.random = hello.random[:24] + bytes(8)

    between = Between(change, unmark)
    assert isinstance(between.errors[0], DecryptError)
    between.came_to_nothing()


def test_weaker_suites_are_found_out() -> None:
    """The key exchange is signed, the offers are not. But the main secret is over all of them (RFC 7627 section 4)."""

    def only_chacha(hello: ClientHello) -> None:
        hello.cipher_suites = (CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,)

    between = Between(only_chacha, maximum_version="TLS12")
    assert isinstance(between.errors[1], BadRecordMAC)
    between.came_to_nothing()


def test_other_groups_are_found_out() -> None:
    def other_group(hello: ClientHello) -> None:
        hello.extensions.put_data(ExtensionType.supported_groups, b"\0\2\0\x17")

    between = Between(other_group, maximum_version="TLS12")
    assert isinstance(between.errors[1], BadRecordMAC)
    between.came_to_nothing()


def test_extended_main_secret_cannot_be_taken_away() -> None:
    """From the hello of the client, from that of the server, or from both."""

    def drop(hello: Any) -> None:
        hello.extensions.remove(ExtensionType.extended_master_secret)

    assert isinstance(Between(drop, maximum_version="TLS12").errors[1], HandshakeFailure)
    assert isinstance(Between(change_server=drop, maximum_version="TLS12").errors[0], HandshakeFailure)


def test_server_hello_made_older_is_found_out() -> None:
    """Without supported_versions it looks like one of TLS 1.2, of which it has neither the suite nor the extensions."""

    def without_version(hello: ServerHello) -> None:
        hello.extensions.remove(ExtensionType.supported_versions)

    between = Between(change_server=without_version)
    assert isinstance(between.errors[0], IllegalParameter)

    def in_disguise(hello: ServerHello) -> None:
        hello.extensions = Extensions()
        hello.cipher_suite = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        hello.extensions.put_data(ExtensionType.extended_master_secret, b"")
        hello.extensions.put_data(ExtensionType.renegotiation_info, b"\0")

    between = Between(change_server=in_disguise)
    assert isinstance(between.errors[0], IllegalParameter)  # it echoes a session id that stands for no session


def test_no_way_back_behind_a_retry() -> None:
    """A HelloRetryRequest is TLS 1.3's: what follows cannot be older."""
    context = client_context(**{**EITHER, "groups": ["x25519", "secp256r1"]})
    pair = link(context, server_context(groups=["secp256r1"], **EITHER)).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    puppet = PuppetServer12.__new__(PuppetServer12)
    puppet.session = None
    hello = puppet.hello()
    raw = hello.encode()
    pair.client.receive_data(b"\x16\3\3" + len(raw).to_bytes(2, "big") + raw, 0.0)
    assert isinstance(pair.client.error, ProtocolVersionAlert)
    assert pair.client.group is None
    assert NamedGroup.secp256r1 in context.settings.groups
