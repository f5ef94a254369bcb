"""The traces of RFC 8448, byte for byte, in both roles.

What is random in a trace is injected: key shares by a group that makes the trace's keys, the server's and the client's
signatures by identities whose keys return them, the hellos and the server's parameters (NSS orders extensions in its
own way, and sends some that we do not) by replacing the functions that write them. All else, from the transcript to
the last record, is done by the code under test. Section 4 needs 0-RTT; there the key schedule and the records are held
against the trace without a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caesura.context import Context, Identity, TrustStore, Verify
from caesura.crypto.certificates import parse_certificate
from caesura.crypto.groups import GROUPS, Group, KeyPair
from caesura.crypto.hkdf import SHA256, verify_data, write_key
from caesura.crypto.secrets import Secret, SharedSecret, TrafficSecret
from caesura.crypto.signatures import verify
from caesura.crypto.suites import SUITES
from caesura.events import CloseNotifyReceived, DataReceived, HandshakeCompleted
from caesura.handshake import authenticate, hello, server13
from caesura.handshake.schedule13 import EarlySecret, ticket_psk
from caesura.handshake.state import Handshake
from caesura.handshake.transcript import Transcript
from caesura.handshake.transport import Epoch
from caesura.tls import TLSConnection
from caesura.tls.connection import PROFILE
from caesura.tls.records import HANDSHAKE, RecordKey, split_inner
from caesura.wire.extensions import KEY_SHARE_SERVER, PRE_SHARED_KEY_CLIENT
from caesura.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    ServerHello,
    decode_message,
)
from caesura.wire.registries import CipherSuite, ExtensionType, NamedGroup, SignatureScheme
from tests.support.clock import FakeClock
from tests.support.link import drain, pieces
from tests.vectors.rfc8448 import (
    BINDER,
    CLIENT_AUTHENTICATION,
    COMPATIBILITY,
    KEYS,
    RESUMED,
    RETRY,
    SECRETS,
    SHARED_SECRET,
    SIMPLE,
    Trace,
    message,
)

PREFIX = b"tls13 "
SUITE = SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]
TRACES = [
    pytest.param(trace, id=f"section {trace.section}")
    for trace in (SIMPLE, RETRY, CLIENT_AUTHENTICATION, COMPATIBILITY)
]
CLOCK = FakeClock(
    0.0, 1_483_228_800.0
)  # the first hour of 2017: the certificates of the traces are valid from 2016 to 2026


# --- what is injected ----------------------------------------------------------------------------------------------


def x25519_pair(private: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    key = x25519.X25519PrivateKey.from_private_bytes(private)
    return key.public_key().public_bytes_raw(), lambda peer: key.exchange(
        x25519.X25519PublicKey.from_public_bytes(peer)
    )


def secp256r1_pair(private: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
    share = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return share, lambda peer: key.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer)
    )


PAIRS = {"x25519": x25519_pair, "secp256r1": secp256r1_pair}


class TraceGroup(Group):
    """A group that makes the key of a trace, once."""

    def __init__(self, name: str, private: bytes) -> None:
        real = GROUPS[NamedGroup[name]]
        super().__init__(real.code, real.client_share_length, real.server_share_length)
        self._pair: Iterator[tuple[bytes, Callable[[bytes], bytes]]] = iter([PAIRS[name](private)])

    def generate(self) -> KeyPair:
        share, agree = next(self._pair)
        return KeyPair(self, share, agree)

    def _respond(self, peer_share: bytes) -> tuple[bytes, bytes]:
        share, agree = next(self._pair)
        return share, agree(peer_share)


class TraceKey:
    """A key that has made one signature. It holds that the right bytes are to be signed: the signature verifies."""

    def __init__(self, certificate: bytes, certificate_verify: bytes) -> None:
        chain = decode_message(Certificate, certificate).certificate_list
        proof = decode_message(CertificateVerify, certificate_verify)
        self.der = chain[0].cert_data
        self.schemes = (SignatureScheme(proof.algorithm),)
        self._signature = proof.signature

    def sign(self, scheme: SignatureScheme, to_sign: bytes) -> bytes:
        verify(scheme, parse_certificate(self.der).public_key, self._signature, to_sign)
        return self._signature

    @property
    def identity(self) -> Identity:
        return Identity.load(self.der, self)


def client_of(trace: Trace, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> TLSConnection:
    """A client that says what the trace's client says."""
    for name, private in trace.client_private:
        monkeypatch.setitem(GROUPS, NamedGroup[name], TraceGroup(name, private))
    hellos = [
        decode_message(ClientHello, message(data)) for side, data in trace.wire if side == "client" and data[0] == 22
    ]

    def client_hello(*_: Any) -> ClientHello:
        return decode_message(ClientHello, hellos[0].encode())

    def send_hello(hs: Handshake, offer: Any) -> None:
        if offer.hello != hellos[0]:  # the second one: ours says the same, in another order, and does not pad
            ours, theirs = (
                {code: h.extensions.get_data(code) for code in h.extensions.codes} for h in (offer.hello, hellos[1])
            )
            assert theirs.pop(ExtensionType.padding) is not None
            assert ours == theirs
            offer.hello = hellos[1]
        first_send(hs, offer)

    first_send = hello.send_hello
    monkeypatch.setattr(hello, "client_hello", client_hello)
    monkeypatch.setattr(hello, "send_hello", send_hello)
    identity = None
    if trace.client_certificate:
        identity = TraceKey(trace.client_certificate, trace.client_certificate_verify).identity
    context = Context.client(
        verify=Verify.NONE,
        groups=[name for name, _ in trace.client_private],
        identity=identity,
        clock=CLOCK,
        keylog=log.append,
        record_size_limit=16_385,
    )
    return TLSConnection(context, server_side=False, server_hostname="server")


def server_of(trace: Trace, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> TLSConnection:
    """A server that says what the trace's server says."""
    name, private = trace.server_private
    monkeypatch.setitem(GROUPS, NamedGroup[name], TraceGroup(name, private))
    hellos = [
        decode_message(ServerHello, message(data)) for side, data in trace.wire if side == "server" and data[0] == 22
    ]

    def said(extensions: Any, suite: Any, session_id: bytes) -> ServerHello:
        theirs = hellos.pop(0)
        for code in extensions.codes:
            assert extensions.get_data(code) == theirs.extensions.get_data(code)
        assert suite.code == theirs.cipher_suite
        assert session_id == theirs.legacy_session_id_echo
        return theirs

    def server_hello(_hs: Handshake, client: ClientHello, suite: Any, extensions: Any) -> ServerHello:
        return said(extensions, suite, client.legacy_session_id)

    def retry_request(profile: Any, session_id: bytes, suite: Any, group: Any, cookie: Any) -> ServerHello:
        ours = first_request(profile, session_id, suite, group, cookie)
        return said(ours.extensions, suite, session_id)

    first_request = hello.hello_retry_request
    monkeypatch.setattr(hello, "hello_retry_request", retry_request)
    monkeypatch.setattr(server13, "server_hello", server_hello)
    monkeypatch.setattr(
        server13, "encrypted_extensions", lambda *_: decode_message(EncryptedExtensions, trace.encrypted_extensions)
    )
    asking: dict[str, Any] = {}
    if trace.certificate_request:  # nobody has issued the client's certificate: its chain is not judged here
        asking = {"verify": Verify.OPTIONAL, "trust": TrustStore.empty()}
        monkeypatch.setattr(authenticate, "check_chain", lambda *_: 2**31)
        monkeypatch.setattr(
            server13, "certificate_request", lambda *_: decode_message(CertificateRequest, trace.certificate_request)
        )
    context = Context.server(
        identity=TraceKey(trace.certificate, trace.certificate_verify).identity,
        groups=[name],
        clock=CLOCK,
        keylog=log.append,
        ticket_count=0,
        **asking,
    )
    return TLSConnection(context, server_side=True)


def play(trace: Trace, side: str, connection: TLSConnection, chunk: int | None) -> list[Any]:
    """Let the connection live through the trace; every byte it sends is the trace's. Its events."""
    actions: list[Callable[[], object]] = [connection.shutdown]
    if data := trace.client_data if side == "client" else trace.server_data:
        actions.insert(0, lambda: connection.write(data))
    if trace.new_session_ticket and side == "server":  # NSS's own format, and for 0-RTT
        actions.insert(0, lambda: connection.send(Epoch.APPLICATION, trace.new_session_ticket))
    events = []
    connection.advance(0.0)
    for number, (who, wire) in enumerate(trace.wire):
        if who != side:
            for piece in pieces(wire, chunk):
                connection.receive_data(piece, 0.0)
        else:
            sent = connection.data_to_send(0.0)
            if not sent:
                actions.pop(0)()
                connection.advance(0.0)
                sent = connection.data_to_send(0.0)
            assert sent.hex() == wire.hex(), f"flight {number}"
        events += drain(connection)
        assert connection.error is None
    assert not actions
    assert connection.data_to_send(0.0) == b""
    return events


# --- the traces -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 1, 7], ids=["whole flights", "1 byte", "7 bytes"])
@pytest.mark.parametrize("trace", TRACES)
def test_client_plays_the_trace(trace: Trace, chunk: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = client_of(trace, monkeypatch, [])
    events = play(trace, "client", connection, chunk)
    assert isinstance(events[0], HandshakeCompleted)
    assert isinstance(events[-1], CloseNotifyReceived)
    assert b"".join(event.data for event in events if isinstance(event, DataReceived)) == trace.server_data
    assert connection.group is NamedGroup[trace.server_private[0]]
    assert connection.peer_certificates == (TraceKey(trace.certificate, trace.certificate_verify).der,)
    if trace.new_session_ticket:
        assert connection.session is not None
        assert connection.session.psk.reveal() == SECRETS["resumption_psk"]
        assert connection.session.ticket_lifetime == 30


@pytest.mark.parametrize("chunk", [None, 1, 7], ids=["whole flights", "1 byte", "7 bytes"])
@pytest.mark.parametrize("trace", TRACES)
def test_server_plays_the_trace(trace: Trace, chunk: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = server_of(trace, monkeypatch, [])
    events = play(trace, "server", connection, chunk)
    assert isinstance(events[0], HandshakeCompleted)
    assert isinstance(events[-1], CloseNotifyReceived)
    assert b"".join(event.data for event in events if isinstance(event, DataReceived)) == trace.client_data
    assert connection.server_hostname == "server"
    if trace.client_certificate:
        proven = TraceKey(trace.client_certificate, trace.client_certificate_verify)
        assert connection.peer_certificates == (proven.der,)


@pytest.mark.parametrize("make", [client_of, server_of])
def test_key_log_has_the_secrets_of_section_3(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    connection = make(SIMPLE, monkeypatch, log)
    play(SIMPLE, "server" if connection.server_side else "client", connection, None)
    random = decode_message(ClientHello, message(SIMPLE.flight("client", 0))).random.hex()
    logged = {}
    for line in log:
        label, of, secret = line.split(" ")
        assert of == random
        logged[label] = bytes.fromhex(secret)
    assert logged == {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET": SECRETS["client_handshake"],
        "SERVER_HANDSHAKE_TRAFFIC_SECRET": SECRETS["server_handshake"],
        "CLIENT_TRAFFIC_SECRET_0": SECRETS["client_application"],
        "SERVER_TRAFFIC_SECRET_0": SECRETS["server_application"],
        "EXPORTER_SECRET": SECRETS["exporter"],
    }


# --- the key schedule -----------------------------------------------------------------------------------------------


def test_key_schedule_of_section_3() -> None:
    transcript = Transcript()
    transcript.start(SHA256)
    transcript.add(message(SIMPLE.flight("client", 0)))
    transcript.add(message(SIMPLE.flight("server", 0)))
    handshake = EarlySecret(SHA256, PREFIX, None).handshake(SUITE, SharedSecret(SHARED_SECRET))
    traffic = handshake.traffic(transcript.digest())
    assert traffic.client.reveal() == SECRETS["client_handshake"]
    assert traffic.server.reveal() == SECRETS["server_handshake"]
    for each in (SIMPLE.encrypted_extensions, SIMPLE.certificate, SIMPLE.certificate_verify):
        transcript.add(each)
    assert verify_data(SHA256, traffic.server, transcript.digest(), PREFIX) == SIMPLE.finished[0][4:]
    transcript.add(SIMPLE.finished[0])
    main = handshake.main()
    application = main.traffic(transcript.digest())
    assert application.client.reveal() == SECRETS["client_application"]
    assert application.server.reveal() == SECRETS["server_application"]
    assert main.exporter(transcript.digest()).reveal() == SECRETS["exporter"]
    assert verify_data(SHA256, traffic.client, transcript.digest(), PREFIX) == SIMPLE.finished[1][4:]
    transcript.add(SIMPLE.finished[1])
    resumption = main.resumption(transcript.digest())
    assert resumption.reveal() == SECRETS["resumption"]
    assert ticket_psk(SHA256, resumption, b"\x00\x00", PREFIX).reveal() == SECRETS["resumption_psk"]


@pytest.mark.parametrize("name", KEYS)
def test_traffic_keys_of_section_3(name: str) -> None:
    aead, iv = write_key(TrafficSecret(SECRETS[name], SUITE), PREFIX)
    expected_key, expected_iv = KEYS[name]
    assert aead.encrypt(bytes(12), b"sealed", None) == SUITE.aead.new(Secret(expected_key)).encrypt(
        bytes(12), b"sealed", None
    )
    assert iv.to_bytes(12, "big") == expected_iv


def records(data: bytes) -> Iterator[bytes]:
    while data:
        stop = 5 + int.from_bytes(data[3:5], "big")
        yield data[:stop]
        data = data[stop:]


def opened(key: RecordKey, record: bytes) -> tuple[int, bytes]:
    inner = key.open_untrusted(record[:5], record[5:])
    assert inner is not None
    return split_inner(inner)


def test_key_schedule_and_records_of_section_4() -> None:
    """A resumption, from the pre-shared key of section 3 to the last record. Early data is accepted there."""
    first = message(RESUMED.flight("client", 0))
    offered = decode_message(ClientHello, first)
    psks = offered.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert psks is not None
    assert psks.identities[0].identity in SIMPLE.new_session_ticket
    early = EarlySecret(SHA256, PREFIX, Secret(SECRETS["resumption_psk"]))
    binder = early.binder(SHA256.digest(offered.without_binders(first)))
    assert binder == BINDER == psks.binders[0]

    answer = message(RESUMED.flight("server", 0))
    share = decode_message(ServerHello, answer).extensions.get(KEY_SHARE_SERVER)
    assert share is not None
    _, agree = x25519_pair(RESUMED.client_private[0][1])
    handshake = early.handshake(SUITE, SharedSecret(agree(share.key_exchange)))
    transcript = Transcript()
    transcript.add(first)
    transcript.start(SHA256)
    transcript.add(answer)
    traffic = handshake.traffic(transcript.digest())
    flight = RESUMED.encrypted_extensions + RESUMED.finished[0]
    assert [
        opened(RecordKey(traffic.server, PREFIX), r) for r in records(RESUMED.flight("server", 0)[5 + len(answer) :])
    ] == [(HANDSHAKE, flight)]
    transcript.add(RESUMED.encrypted_extensions)
    assert verify_data(SHA256, traffic.server, transcript.digest(), PREFIX) == RESUMED.finished[0][4:]
    transcript.add(RESUMED.finished[0])
    main = handshake.main()
    application = main.traffic(transcript.digest())
    end_of_early_data = bytes.fromhex("05000000")
    transcript.add(end_of_early_data)
    assert verify_data(SHA256, traffic.client, transcript.digest(), PREFIX) == RESUMED.finished[1][4:]
    _, finished = records(RESUMED.flight("client", 1))
    assert RecordKey(traffic.client, PREFIX).seal(HANDSHAKE, RESUMED.finished[1]) == finished

    for side, secret, data in (
        ("client", application.client, RESUMED.client_data),
        ("server", application.server, RESUMED.server_data),
    ):
        key = RecordKey(secret, PROFILE.label_prefix)
        flights = [wire for who, wire in RESUMED.wire if who == side]
        assert key.seal(23, data) == flights[-2]
        assert key.seal(21, b"\x01\x00") == flights[-1]
