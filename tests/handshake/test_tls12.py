"""TLS 1.2 between two connections: what is agreed on, whom each side proves to be, and what both know afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from caesura.context import ClientHelloInfo, Context, Identity, PeerChain, TraceEvent, Verify
from caesura.crypto.prf import prf
from caesura.crypto.secrets import Secret
from caesura.crypto.suites import SUITES
from caesura.engines import HANDSHAKE_OPERATIONS, InlineEngine, Operation
from caesura.errors import (
    AlertDescription,
    CertificateVerifyError,
    Error,
    HandshakeFailure,
    IllegalParameter,
    InternalError,
    LocalAlert,
    NoApplicationProtocol,
    PeerAlert,
    UsageError,
)
from caesura.events import DataReceived, HandshakeCompleted, SessionReceived
from caesura.tls import TLSConnection
from caesura.tls.records12 import RecordKey12
from caesura.wire.registries import CipherSuite, NamedGroup, Version
from tests.support.link import Link, drain, link, received
from tests.support.pki import pki
from tests.tls.world import TLS12, asking_context, client_context, identity, server_context, trust

GROUPS = ("x25519", "secp256r1", "secp384r1", "secp521r1")
SUITES12 = tuple(suite for suite in SUITES.values() if suite.signers)  # those with a key: test_psk12.py
RSA_SUITE = CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
ECDSA_SUITE = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
THROUGH_ENGINE = InlineEngine(operations=HANDSHAKE_OPERATIONS | {Operation.SEAL_RECORD, Operation.OPEN_RECORD})


def client12(**settings: Any) -> Context:
    return client_context(**{**TLS12, "groups": GROUPS, **settings})


def server12(**settings: Any) -> Context:
    return server_context(**{**TLS12, "groups": GROUPS, **settings})


def connected(client: Context | None = None, server: Context | None = None, **options: Any) -> Link:
    return link(client or client12(), server or server12(), **options).handshake()


def refused(client: Context, server: Context, kind: type[LocalAlert], *, by_client: bool = False) -> Error:
    """A handshake that one side ends with an alert, which the other hears; the error of the side that refused."""
    pair = link(client, server).start().exchange()
    ours, theirs = (pair.client.error, pair.server.error) if by_client else (pair.server.error, pair.client.error)
    assert type(ours) is kind, repr(ours)
    assert isinstance(theirs, PeerAlert), repr(theirs)
    assert theirs.description is ours.description
    return ours


def carries(pair: Link, size: int = 40_000) -> None:
    """Data goes both ways, and both directions end in good order."""
    pair.client.write(b"c" * size)
    pair.server.write(b"s" * size)
    pair.exchange()
    assert received(pair.server_events) == b"c" * size
    assert received(pair.client_events) == b"s" * size
    pair.client.shutdown()
    pair.server.shutdown()
    pair.exchange()
    for side in (pair.client, pair.server):
        assert side.error is None
        assert side.close_notify_received


# --- what can be agreed on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("suite", SUITES12, ids=lambda suite: suite.name)
def test_suites_and_groups(suite: Any, group: str) -> None:
    who = identity("rsa" if "_RSA_" in suite.name else "ec")
    groups = [group, "secp256r1"] if group != "secp256r1" else [group]  # the certificate's own curve is needed too
    pair = connected(
        client12(cipher_suites=[suite.code], groups=groups),
        server12(cipher_suites=[suite.code], identity=who, groups=[group, *groups][:1]),
    )
    for side in (pair.client, pair.server):
        assert side.version is Version.TLS12
        assert side.cipher_suite is suite.code
        assert side.group is NamedGroup[group]
    carries(pair)


@pytest.mark.parametrize("name", ["ec", "p384", "p521", "ed25519", "ed448", "rsa", "rsa_pss"])
def test_kinds_of_key(name: str) -> None:
    schemes = [scheme.name for scheme in identity(name).key.schemes]
    pair = connected(client12(signature_schemes=schemes), server12(identity=identity(name), signature_schemes=schemes))
    assert pair.client.peer_certificates == identity(name).chain
    assert (pair.client.cipher_suite is RSA_SUITE) is name.startswith("rsa")
    assert (pair.client.cipher_suite is ECDSA_SUITE) is not name.startswith("rsa")
    carries(pair)


@pytest.mark.parametrize("scheme", ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512", "rsa_pss_rsae_sha384"])
def test_rsa_schemes(scheme: str) -> None:
    """PKCS #1 v1.5 still signs here, for those who know nothing else."""
    pair = connected(client12(signature_schemes=[scheme]), server12(identity=identity("rsa")))
    assert pair.client.cipher_suite is RSA_SUITE
    connected(client12(), server12(identity=identity("rsa"), signature_schemes=[scheme]))


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_any_chunking(chunk: int) -> None:
    pair = link(client12(identity=identity("client")), server12(verify=Verify.REQUIRED, trust=trust()))
    pair.chunk = chunk
    pair.handshake()
    carries(pair, 300)


def test_the_servers_order_counts() -> None:
    suites = [CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ECDSA_SUITE]
    assert connected(client12(), server12(cipher_suites=suites)).client.cipher_suite is suites[0]
    assert (
        connected(client12(cipher_suites=suites[::-1]), server12(cipher_suites=suites)).client.cipher_suite
        is (suites[0])
    )
    assert connected(client12(), server12(groups=["secp384r1", "x25519"])).client.group is NamedGroup.secp384r1


def test_hybrid_groups_are_passed_over() -> None:
    """They are defined for TLS 1.3 alone."""
    groups = ["X25519MLKEM768", "secp384r1", "secp256r1"]
    assert connected(client12(groups=groups), server12(groups=groups)).client.group is NamedGroup.secp384r1


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ({"cipher_suites": [RSA_SUITE]}, {}),  # the server's key is ECDSA
        ({"cipher_suites": [ECDSA_SUITE]}, {"identity": "rsa"}),
        (
            {"cipher_suites": [ECDSA_SUITE]},
            {"cipher_suites": [CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]},
        ),
        ({"groups": ["x25519", "secp256r1"]}, {"groups": ["secp384r1"]}),
        ({"groups": ["x25519"]}, {}),  # a certificate on secp256r1, which the client does not have
        ({"signature_schemes": ["rsa_pss_rsae_sha256", "ecdsa_secp384r1_sha384"]}, {}),
        ({}, {"signature_schemes": ["ed25519"]}),
    ],
)
def test_nothing_in_common(client: dict[str, Any], server: dict[str, Any]) -> None:
    if "identity" in server:
        server["identity"] = identity(server["identity"])
    refused(client12(**client), server12(**server), HandshakeFailure)


def test_sha1_is_no_scheme() -> None:
    with pytest.raises(Error, match="signature_schemes"):
        client12(signature_schemes=["rsa_pkcs1_sha1"])


@pytest.mark.parametrize(
    "suite",
    [0x002F, 0x009C, 0xC013, 0xC009, 0x009E, 0xC02D, 0x0033],
    ids=["RSA CBC", "RSA GCM", "ECDHE CBC", "ECDHE-ECDSA CBC", "DHE GCM", "ECDH GCM", "DHE CBC"],
)
def test_old_suites_are_unknown(suite: int) -> None:
    with pytest.raises(Error, match="cipher_suites"):
        client12(cipher_suites=[suite])


# --- identities ------------------------------------------------------------------------------------------------------


def test_the_identity_that_a_suite_can_use() -> None:
    both = [identity("rsa"), identity("ec")]
    assert connected(client12(cipher_suites=[ECDSA_SUITE]), server12(identity=both)).server.identity is both[1]
    assert connected(client12(cipher_suites=[RSA_SUITE]), server12(identity=both)).server.identity is both[0]
    assert connected(client12(groups=["x25519"]), server12(identity=both[::-1])).server.identity is both[0]


def test_server_name_chooses() -> None:
    other = pki().leaf("other", names=("another.example",))
    named = Identity.load(other.chain_pem, other.key_pem)
    server = server12(identity=[identity(), named])
    assert connected(server=server, server_hostname="another.example").server.identity is named
    pair = connected(server=server)
    assert pair.server.identity is identity()
    assert pair.server.server_hostname == "localhost"


def test_select_identity() -> None:
    seen: list[ClientHelloInfo] = []

    def select(info: ClientHelloInfo) -> Identity:
        seen.append(info)
        return identity("rsa")

    pair = connected(client12(alpn=["h2"]), server12(select_identity=select))
    assert pair.server.identity is identity("rsa")
    (info,) = seen
    assert (info.server_name, info.alpn, info.versions) == ("localhost", ("h2",), (Version.TLS12,))
    assert info.cipher_suites == client12().settings.offered_suites


def test_select_identity_brings_another_context() -> None:
    other = server12(identity=identity("rsa"), alpn=["h2"])
    pair = connected(client12(alpn=["h2"]), server12(select_identity=lambda _: other))
    assert (pair.client.alpn, pair.server.identity) == ("h2", identity("rsa"))


@pytest.mark.parametrize("name", ["ec", "rsa", "ed25519"])
def test_client_certificate(name: str) -> None:
    credential = pki().leaf(f"client {name}", key=getattr(pki(), name).key)
    who = Identity.load(credential.chain_pem, credential.key_pem)
    pair = connected(client12(identity=who), asking_context(**TLS12))
    assert pair.server.peer_certificates == who.chain
    assert pair.client.identity is who
    carries(pair)


def test_client_certificate_that_does_not_come() -> None:
    """Before TLS 1.3 there is no certificate_required (RFC 5246 section 7.4.6)."""
    pair = connected(client12(), asking_context(Verify.OPTIONAL, **TLS12))
    assert pair.server.peer_certificates == ()
    assert pair.client.identity is None
    refused(client12(), asking_context(**TLS12), HandshakeFailure)


def test_client_certificate_of_a_kind_the_server_cannot_take() -> None:
    """As far as the server says what it can take, nothing else is sent."""
    server = asking_context(
        Verify.OPTIONAL, signature_schemes=["rsa_pss_rsae_sha256"], identity=identity("rsa"), **TLS12
    )
    pair = connected(client12(identity=identity("client")), server)
    assert pair.server.peer_certificates == ()


def test_client_certificate_that_is_refused() -> None:
    stranger = pki().leaf("stranger", issuer=pki().other_root)
    who = Identity.load(stranger.chain_pem, stranger.key_pem)
    error = refused(client12(identity=who), asking_context(**TLS12), CertificateVerifyError)
    assert error.description is AlertDescription.unknown_ca


@pytest.mark.parametrize(
    ("fault", "description"),
    [
        ("expired", AlertDescription.certificate_expired),
        ("name", AlertDescription.bad_certificate),
        ("root", AlertDescription.unknown_ca),
    ],
)
def test_server_certificate_that_is_refused(fault: str, description: AlertDescription) -> None:
    names = ("another.example",) if fault == "name" else ("localhost",)
    issuer = pki().other_root if fault == "root" else pki().intermediate
    made = pki().expired if fault == "expired" else pki().leaf(f"bad {fault}", names=names, issuer=issuer)
    server = server12(identity=Identity.load(made.chain_pem, made.key_pem))
    error = refused(client12(), server, CertificateVerifyError, by_client=True)
    assert error.description is description
    assert connected(client12(verify=Verify.NONE), server).client.peer_certificates


def test_verify_peer_judges_both_sides() -> None:
    seen: list[PeerChain] = []

    def judge(facts: PeerChain) -> bool:
        seen.append(facts)
        return True

    connected(
        client12(identity=identity("client"), verify_peer=judge),
        asking_context(verify_peer=judge, ocsp_response=b"staple", **TLS12),
    )
    assert [(each.server_side, each.certificates[0], each.ocsp_response) for each in seen] == [
        (False, identity().chain[0], b"staple"),
        (True, identity("client").chain[0], None),
    ]
    error = refused(client12(verify_peer=lambda _: False), server12(), CertificateVerifyError, by_client=True)
    assert error.description is AlertDescription.certificate_unknown


def test_ocsp_staple() -> None:
    assert connected(client12(), server12(ocsp_response=b"the context's")).client.ocsp_response == b"the context's"
    own = replace(identity(), ocsp_response=b"the identity's")
    assert connected(client12(), server12(identity=own, ocsp_response=b"x")).client.ocsp_response == b"the identity's"
    assert connected().client.ocsp_response is None


# --- ALPN, exporters, the key log ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [(["h2"], ["h2"], "h2"), (["a", "b"], ["b", "a"], "b"), (["h2"], [], None), ([], ["h2"], None)],
)
def test_alpn(ours: list[str], theirs: list[str], chosen: str | None) -> None:
    pair = connected(client12(alpn=ours), server12(alpn=theirs))
    assert pair.client.alpn == pair.server.alpn == chosen


def test_no_protocol_in_common() -> None:
    refused(client12(alpn=["h2"]), server12(alpn=["h3"]), NoApplicationProtocol)


def logged(log: list[str]) -> tuple[bytes, bytes]:
    """Client random and main secret of the one line that a connection writes."""
    (line,) = log
    label, random, secret = line.split()
    assert label == "CLIENT_RANDOM"
    return bytes.fromhex(random), bytes.fromhex(secret)


def test_key_log() -> None:
    ours: list[str] = []
    theirs: list[str] = []
    client, server = client12(keylog=ours.append), server12(keylog=theirs.append)
    for resumed in (False, True):
        pair = connected(client, server)
        assert pair.client.session_reused is resumed
        assert ours == theirs
        random, secret = logged(ours)
        assert (len(random), len(secret)) == (32, 48)
        ours.clear()
        theirs.clear()


def test_exporters_by_hand() -> None:
    """RFC 5705 section 4: a PRF over label, both randoms, and the context with its length, or no context at all."""
    log: list[str] = []
    randoms: dict[bool, bytes] = {}

    def noting(size: int, *, server_side: bool, make: Callable[[int], bytes]) -> bytes:
        value = make(size)
        if size == 32:
            randoms[server_side] = value
        return value

    client, server = client12(keylog=log.append, sessions=None), server12(server_sessions=None)
    server.random = lambda size, make=server.random: noting(size, server_side=True, make=make)
    pair = connected(client, server)
    client_random, secret = logged(log)
    both = client_random + randoms[True]
    algorithm = SUITES[pair.client.cipher_suite].hash  # type: ignore[index]
    for context, seed in ((None, both), (b"", both + b"\0\0"), (b"context", both + b"\0\7context")):
        expected = prf(algorithm, Secret(secret), b"EXPORTER-mine", seed, 50).reveal()
        for side in (pair.client, pair.server):
            assert side.export_keying_material("EXPORTER-mine", context, 50) == expected
            assert side.export_keying_material(b"EXPORTER-mine", context, 10) == expected[:10]


def test_exporters_of_each_connection_are_its_own() -> None:
    client, server = client12(), server12()
    made = {connected(client, server).client.export_keying_material("EXPORTER-x", b"", 32) for _ in range(3)}
    assert len(made) == 3  # the second and the third share their main secret


@pytest.mark.parametrize(
    "label", ["client finished", "server finished", "master secret", "extended master secret", "key expansion"]
)
def test_labels_that_the_handshake_uses(label: str) -> None:
    with pytest.raises(UsageError, match="label"):
        connected().client.export_keying_material(label, None, 32)


def test_context_of_an_exporter_has_a_limit() -> None:
    pair = connected()
    assert pair.client.export_keying_material("EXPORTER-x", bytes(0xFFFF), 8)
    with pytest.raises(UsageError, match="65535"):
        pair.client.export_keying_material("EXPORTER-x", bytes(0x10000), 8)


# --- facts and events ------------------------------------------------------------------------------------------------


def test_events_in_their_order() -> None:
    pair = link(client12(), server12()).start()
    flights = [(pair.client, pair.server), (pair.server, pair.client)] * 2
    for sender, receiver in flights[:-1]:
        receiver.receive_data(sender.data_to_send(0.0), 0.0)
    assert drain(pair.server) == [HandshakeCompleted()]
    assert drain(pair.client) == []
    pair.server.write(b"at once")
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    kinds = drain(pair.client)
    assert [type(event) for event in kinds] == [HandshakeCompleted, SessionReceived, DataReceived]
    assert pair.client.session is kinds[1].session  # type: ignore[union-attr]


def test_data_right_behind_the_clients_finished() -> None:
    """Clients that start to send before they have the server's Finished are common (RFC 7918)."""
    pair = link(client12(), server12()).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    pair.client.receive_data(pair.server.data_to_send(0.0), 0.0)
    key = pair.client._writer._key
    assert isinstance(key, RecordKey12)
    early = pair.client.data_to_send(0.0) + key.seal(23, b"early")
    pair.server.receive_data(early, 0.0)
    assert drain(pair.server) == [HandshakeCompleted(), DataReceived(b"early")]


def test_trace_has_the_figure_of_the_rfc() -> None:
    """RFC 5246 section 7.3, figure 1, with the messages of RFC 5077 and RFC 6066."""
    events: list[TraceEvent] = []
    connected(
        client12(identity=identity("client"), trace=events.append), asking_context(ocsp_response=b"staple", **TLS12)
    )
    messages = [(event.kind, event.name) for event in events if event.kind in ("sent", "received")]
    server = ("server_hello", "certificate", "certificate_status", "server_key_exchange", "certificate_request")
    assert messages == [
        ("sent", "client_hello"),
        *(("received", name) for name in (*server, "server_hello_done")),
        *(("sent", name) for name in ("certificate", "client_key_exchange", "certificate_verify")),
        ("sent", "change_cipher_spec"),
        ("sent", "finished"),
        ("received", "new_session_ticket"),
        ("received", "change_cipher_spec"),
        ("received", "finished"),
    ]


def test_there_is_no_key_update() -> None:
    pair = connected()
    with pytest.raises(UsageError, match=r"TLS 1\.2"):
        pair.client.key_update()
    carries(pair)


# --- records ---------------------------------------------------------------------------------------------------------


def sizes(data: bytes) -> list[int]:
    """How long the plaintext of each protected record is."""
    found = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        found.append(length - 24)  # AES-GCM: eight bytes of nonce and sixteen of tag
        data = data[5 + length :]
    return found


@pytest.mark.parametrize(
    ("client", "server", "up", "down"),
    [
        (None, None, 16_384, 16_384),
        (100, None, 16_384, 100),  # counted without a content type, which stands outside here
        (None, 100, 16_384, 16_384),  # a server only answers
        (100, 64, 64, 100),
        (16_385, 16_385, 16_384, 16_384),
    ],
)
@pytest.mark.parametrize("engine", [InlineEngine(), THROUGH_ENGINE], ids=["inline", "through the engine"])
def test_record_size_limit(client: int | None, server: int | None, up: int, down: int, engine: Any) -> None:
    pair = connected(
        client12(record_size_limit=client, engine=engine), server12(record_size_limit=server, engine=engine)
    )
    for sender, receiver, size in ((pair.client, pair.server, up), (pair.server, pair.client, down)):
        sender.write(bytes(20_000))
        data = sender.data_to_send(0.0)
        assert max(sizes(data)) == size
        receiver.receive_data(data, 0.0)
        assert received(drain(receiver)) == bytes(20_000)
        assert receiver.error is None


def test_engine_seals_and_opens_records() -> None:
    pair = connected(client12(engine=THROUGH_ENGINE), server12(engine=THROUGH_ENGINE))
    carries(pair)


def exhausted(pair: Link) -> TLSConnection:
    """A client whose key may seal no more than two records from now on."""
    key = pair.client._writer._key
    assert isinstance(key, RecordKey12)
    key.limit = key.sequence + 2
    return pair.client


def test_key_that_is_used_up_ends_the_connection() -> None:
    """There is no KeyUpdate, and a truncated stream must not look complete: no close_notify follows."""
    pair = connected()
    client = exhausted(pair)
    client.write(b"1")
    client.write(b"2")
    with pytest.raises(InternalError):
        client.write(b"3")
    assert isinstance(client.error, InternalError)
    client.shutdown()
    pair.exchange()
    assert received(pair.server_events) == b"12"
    assert isinstance(pair.server.error, PeerAlert)
    assert pair.server.error.description is AlertDescription.internal_error


def test_key_that_is_used_up_within_one_write() -> None:
    pair = connected()
    client = exhausted(pair)
    with pytest.raises(InternalError):
        client.write(bytes(60_000))
    pair.exchange()
    assert len(received(pair.server_events)) == 2 * 2**14
    assert isinstance(pair.server.error, PeerAlert)


def test_key_that_is_used_up_in_the_engine() -> None:
    pair = connected(client12(engine=THROUGH_ENGINE), server12())
    client = exhausted(pair)
    client.write(bytes(60_000))
    pair.exchange()
    assert isinstance(client.error, InternalError)
    assert isinstance(pair.server.error, PeerAlert)


def test_limits_of_the_keys() -> None:
    for suite in SUITES12:
        pair = connected(
            client12(cipher_suites=[suite.code]),
            server12(cipher_suites=[suite.code], identity=[identity("ec"), identity("rsa")]),
        )
        key = pair.client._writer._key
        assert isinstance(key, RecordKey12)
        assert key.limit < suite.aead.confidentiality_limit
        assert key.limit < 2**64


def test_illegal_parameter_when_the_answer_to_a_size_limit_is_too_large() -> None:
    """RFC 8449 section 4: in TLS 1.2 a record holds 2^14 bytes, and not one more for the content type."""
    pair = link(client12(record_size_limit=100), server12()).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    flight = pair.server.data_to_send(0.0)
    assert b"\x00\x1c\x00\x02\x40\x00" in flight
    pair.client.receive_data(flight.replace(b"\x00\x1c\x00\x02\x40\x00", b"\x00\x1c\x00\x02\x40\x01"), 0.0)
    assert isinstance(pair.client.error, IllegalParameter)
