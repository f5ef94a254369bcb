"""The shim itself, without the runner: its flags, its promises as a process, and a case against our own server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from caesura.context import QUIC_EARLY_DATA, Context, Method, TrustStore, Verify
from caesura.errors import AlertDescription
from caesura.events import DataReceived, EarlyDataReceived, SessionReceived
from caesura.sessions import Session
from caesura.tls import TLSConnection
from tests.bogo.flags import INITIAL, RESUME, RETRY, Unimplemented, parse
from tests.bogo.link import HEADER
from tests.bogo.quic import RecordConnection
from tests.bogo.run import block_of, outcomes_in, read_config
from tests.support.pki import pki
from tests.tls.world import identity

SHIM = Path(__file__).with_name("shim.py")


def run(*args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SHIM), *args], capture_output=True, text=True, timeout=timeout, check=False
    )


# --- flags -----------------------------------------------------------------------------------------------------------


def test_flags_of_each_connection() -> None:
    flags = parse(
        ["-port", "1", "-on-resume-expect-session-miss", "-on-shim-on-retry-mtu", "256", "-on-handshaker-async"]
    )
    assert "expect-session-miss" in flags[RESUME]
    assert "expect-session-miss" not in flags[INITIAL]
    assert flags[RETRY].get("mtu") == 256
    assert all(each.get("port") == 1 and "async" not in each for each in flags)


def test_credential_flags_belong_to_the_newest_credential() -> None:
    args = ["-cert-file", "a", "-new-x509-credential", "-cert-file", "b", "-signing-prefs", "1", "-signing-prefs", "2"]
    default, new = parse(args)[INITIAL].credentials
    assert (default.get("cert-file"), default.get("signing-prefs")) == ("a", None)
    assert (new.get("cert-file"), new.get("signing-prefs")) == ("b", [1, 2])


def test_values_are_bytes_where_bytes_are_meant() -> None:
    flags = parse(["-advertise-alpn", os.fsdecode(b"\x03foo\xff"), "-expect-ocsp-response", "AQI="])[INITIAL]
    assert flags.get("advertise-alpn") == b"\x03foo\xff"
    assert flags.get("expect-ocsp-response") == b"\x01\x02"


@pytest.mark.parametrize("args", [["-no-such-flag"], ["stray"], ["-port"], ["-on-resume-no-such-flag"]])
def test_what_is_not_known(args: list[str]) -> None:
    with pytest.raises(Unimplemented):
        parse(args)


# --- the process -----------------------------------------------------------------------------------------------------


def test_there_is_no_handshaker() -> None:
    done = run("-is-handshaker-supported", "-some-extra-flag")
    assert (done.returncode, done.stdout, done.stderr) == (0, "No\n", "")


def test_status_of_what_is_not_known() -> None:
    assert run("-port", "1", "-no-such-flag").returncode == 89


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(60)
        yield made


def serve(listener: socket.socket, context: Context, heard: list[bytes]) -> None:
    """Serve one connection: take the shim's number and its data, send some, close."""
    connection = TLSConnection(context, server_side=True)
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(60)
        heard.append(peer.recv(8, socket.MSG_WAITALL))
        connection.advance(0.0)
        sent = False
        while data := peer.recv(65536):
            connection.receive_data(data, 0.0)
            if connection.handshake_complete and not sent:
                connection.write(b"\x00\x0f\xff")
                sent = True
            heard.append(connection.read())
            if b"\xff\xf0\x00" in b"".join(heard[1:]):
                connection.shutdown()
                peer.sendall(connection.data_to_send(0.0))
                break
            peer.sendall(connection.data_to_send(0.0))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_case_against_our_own_server(listener: socket.socket, tmp_path: Path, asynchronous: bool) -> None:
    """It says its number, shakes hands, shows a certificate, speaks first, and sends back turned bits."""
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.write_bytes(pki().client.chain_pem)
    key.write_bytes(pki().client.key_pem)
    heard: list[bytes] = []
    context = Context(identity=identity("ec"), verify=Verify.REQUIRED, trust=identity_trust())
    server = threading.Thread(target=serve, args=(listener, context, heard))
    server.start()
    done = run(
        "-port", str(listener.getsockname()[1]), "-shim-id", "258", "-shim-writes-first",
        "-cert-file", str(certificate), "-key-file", str(key),
        "-expect-version", "772", "-expect-curve-id", "4588", *(["-async"] if asynchronous else []),
    )  # fmt: skip
    server.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert heard[0] == (258).to_bytes(8, "little")
    assert b"".join(heard[1:]) == b"hello" + b"\xff\xf0\x00"


def identity_trust() -> object:
    from tests.tls.world import trust

    return trust()


def test_failed_expectation_is_a_failed_case(listener: socket.socket) -> None:
    heard: list[bytes] = []
    server = threading.Thread(target=serve, args=(listener, Context(identity=identity("ec")), heard))
    server.start()
    done = run("-port", str(listener.getsockname()[1]), "-expect-version", "771")
    server.join()
    assert done.returncode == 1
    assert done.stderr == "version: 772 instead of 771\n"


# --- QUIC -----------------------------------------------------------------------------------------------------------


class Pair:
    """Two of the connections that the shim uses for QUIC, and the records between them."""

    def __init__(self, context: Context, server: Context, session: Session | None, conditions: bytes) -> None:
        self.client = RecordConnection(
            context,
            parameters=b"ours",
            conditions=b"",
            server_side=False,
            server_hostname="example.test",
            session=session,
            early_data=True,
        )
        self.server = RecordConnection(server, parameters=b"theirs", conditions=conditions, server_side=True)
        self.heard: list[tuple[str, object]] = []

    def run(self) -> None:
        self.client.advance(0.0)
        while self._pass(self.client, self.server) + self._pass(self.server, self.client):
            pass

    def _pass(self, sender: RecordConnection, receiver: RecordConnection) -> int:
        data = sender.data_to_send(0.0)
        at = 0
        while at < len(data):
            header = data[at : at + HEADER.size]
            stop = at + HEADER.size + HEADER.unpack(header)[-1]
            receiver.receive_record(header, data[at + HEADER.size : stop], 0.0)
            at = stop
        while (event := receiver.next_event()) is not None:
            self.heard.append(("server" if receiver.server_side else "client", event))
        return len(data)


def test_quic_over_records() -> None:
    """Parameters that are none, the same secrets on both sides, 0-RTT under the conditions of the ticket alone."""
    context = Context(Method.QUIC, trust=identity_trust(), alpn=["foo"])
    server = Context(Method.QUIC, identity=identity("ec"), alpn=["foo"], max_early_data=QUIC_EARLY_DATA)
    first = Pair(context, server, None, b"conditions")
    first.run()
    first.server.write(b"words")
    first.run()
    assert ("client", DataReceived(b"words")) in first.heard
    assert (first.server.peer_bytes, first.client.peer_bytes) == (b"ours", b"theirs")
    sessions = [event.session for _, event in first.heard if isinstance(event, SessionReceived)]
    for session, conditions, taken in ((sessions[0], b"others", False), (sessions[1], b"conditions", True)):
        again = Pair(context, server, session, conditions)
        again.client.advance(0.0)
        assert again.client.write_early_data(b"early") == 5
        again.run()
        assert again.client.session_reused
        assert (("server", EarlyDataReceived(b"early")) in again.heard) is taken
        assert again.client.early_data_status.name == ("ACCEPTED" if taken else "REJECTED")


def test_quic_alert_is_a_record() -> None:
    pair = Pair(
        Context(Method.QUIC, trust=TrustStore.empty(), alpn=["foo"]),
        Context(Method.QUIC, identity=identity("ec"), alpn=["foo"]),
        None,
        b"",
    )
    pair.client.advance(0.0)
    pair._pass(pair.client, pair.server)
    pair._pass(pair.server, pair.client)
    out = pair.client.data_to_send(0.0)
    assert HEADER.unpack(out[: HEADER.size])[:2] == (21, 2)
    assert out[-2:] == bytes((2, AlertDescription.unknown_ca))


# --- the command -----------------------------------------------------------------------------------------------------


def test_every_disabled_pattern_has_a_reason() -> None:
    config = read_config()
    assert config["DisabledTests"]
    for pattern, reason in config["DisabledTests"].items():
        assert len(reason) > 20, pattern


def test_outcomes_are_read_from_what_the_runner_prints() -> None:
    text = ["PASSED (A-TLS12)\n", "FAILED (B)\n", "unexpected failure\n", "UNIMPLEMENTED (C)\n", "\n", "PASS\n"]
    assert dict(outcomes_in(text)) == {"A-TLS12": "PASSED", "B": "FAILED", "C": "UNIMPLEMENTED"}


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("Basic-Client-TLS-Sync", "TLS"),
        ("CurveTest-Server-P-256-TLS12", "TLS 1.2"),
        ("TLS13-DuplicateTicketEarlyDataSupport", "TLS 1.3"),
        ("DTLS-Retransmit-Timeout-TLS13", "DTLS 1.3"),
        ("SendCCS-DTLS12", "DTLS 1.2"),
        ("Alert-DTLS", "DTLS"),
        ("PSK-Client-AcceptFirst-TLS", "external PSK"),
        ("CertificateSelection-Server-RawPublicKey-SignatureAlgorithm-MatchSecond-TLS-TLS13", "raw public keys"),
        ("CertificateSelection-Client-ClientCertificateTypes-RSA-MatchNone-TLS-TLS12", "TLS 1.2"),
        ("TLS-ECH-Client-Reject", "out of scope"),
        ("Basic-Client-QUIC-TLS13", "QUIC"),
        ("QUIC-TLS13-AES_128_GCM_SHA256-LargeRecord", "QUIC"),
        ("QUICTransportParams-NonQUICServer-ClientBoth-ServerLegacy-DTLS-TLS12", "DTLS 1.2"),
        ("QUICTransportParams-Server-ClientBoth-ServerLegacy-QUIC-TLS13", "out of scope"),
        ("PSK-Client-AcceptFirst-QUIC", "external PSK"),
        ("TLS-TLS1-RSA_WITH_3DES_EDE_CBC_SHA-server", "out of scope"),
    ],
)
def test_blocks(name: str, block: str) -> None:
    assert block_of(name) == block
