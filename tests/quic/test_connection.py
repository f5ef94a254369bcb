"""Two QUIC connections and a network: handshake, streams, closing, what is dropped (RFC 9000, RFC 9001)."""

from __future__ import annotations

import gc
import weakref

import pytest

from caesura.crypto.quic import initial_secrets
from caesura.crypto.trust import TrustStore
from caesura.errors import (
    CertificateVerifyError,
    ConfigError,
    IdleTimeout,
    NoApplicationProtocol,
    PeerAlert,
    PeerClose,
    TransportErrorCode,
    UsageError,
)
from caesura.events import (
    CloseNotifyReceived,
    ConnectionTerminated,
    DatagramReadable,
    HandshakeCompleted,
    SessionReceived,
    StreamOpened,
)
from caesura.quic import QUICConnection, packets, varint
from caesura.quic.levels import INITIAL
from caesura.quic.protection import WriteKey
from caesura.quic.versions import QUIC1
from caesura.wire.registries import CipherSuite, Version
from tests.quic.forger import Forger
from tests.quic.link import START, QUICLink, client_context, linked, server_context
from tests.support.datagram_link import CLIENT, SERVER, ByHand, Lossy

DATA = bytes(range(256)) * 2000


def test_a_connection_that_nobody_has_any_more_is_gone_at_once() -> None:
    gc.disable()  # what refers to itself would wait for the collector
    try:
        client = QUICConnection(client_context(), server_side=False, server_hostname="localhost")
        server = QUICConnection(server_context(), server_side=True)
        client.advance(0.0)
        for _ in range(10):
            for side, other in ((client, server), (server, client)):
                for datagram, _address in side.datagrams_to_send(0.0):
                    other.receive_datagram(datagram, None, 0.0)
        assert client.handshake_confirmed
        assert server.handshake_confirmed
        watched = weakref.ref(client), weakref.ref(server)
        del client, server, side, other
        assert [each() for each in watched] == [None, None]
    finally:
        gc.enable()


def test_a_handshake_takes_two_round_trips_and_no_more() -> None:
    link = linked()
    link.establish()
    assert link.now - 1000.0 == pytest.approx(0.04)
    assert [each.by_client for each in link.sent[:5]] == [True, False, False, True, True]
    for side in (link.ours, link.theirs):
        assert len(side.happened(HandshakeCompleted)) == 1
        assert side.connection.version is Version.QUIC1
        assert side.connection.alpn == "test"
        assert side.connection.cipher_suite is CipherSuite.TLS_AES_128_GCM_SHA256
    link.wait(1.0)
    assert len(link.ours.happened(SessionReceived)) == 2


@pytest.mark.parametrize("suite", ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_every_suite(suite: str) -> None:
    link = linked({"cipher_suites": [suite]}).establish()
    stream_id = link.send(DATA)
    link.wait(5.0)
    assert link.theirs.streams[stream_id] == DATA


def test_a_hello_of_two_datagrams() -> None:
    groups = {"groups": ["X25519MLKEM768", "x25519"]}
    link = linked(groups, groups).establish()
    assert [len(each.data) for each in link.sent if each.by_client][:2] == [1200, 1200]
    assert link.client.group is not None
    assert link.client.group.name == "X25519MLKEM768"


def test_a_group_that_the_server_asks_for() -> None:
    linked({"groups": ["x25519", "secp256r1"]}, {"groups": ["secp256r1"]}).establish()


def test_resumption() -> None:
    client, server = client_context(), server_context()

    def connect() -> QUICLink:
        one = QUICConnection(client, server_side=False, server_hostname="example.test", addr=SERVER)
        link = QUICLink(one, QUICConnection(server, server_side=True)).establish()
        link.wait(1.0)
        return link

    assert not connect().client.session_reused
    second = connect()
    assert second.client.session_reused
    assert second.server.session_reused


def test_streams_in_both_directions_and_kinds() -> None:
    link = linked().establish()
    client, server = link.ours.connection, link.theirs.connection
    sent = {}
    for connection in (client, server):
        for unidirectional in (False, True):
            stream_id = connection.open_stream(unidirectional=unidirectional)
            assert stream_id is not None
            connection.write_stream(stream_id, DATA + stream_id.to_bytes(1, "big"), fin=True)
            sent[stream_id] = DATA + stream_id.to_bytes(1, "big")
    assert sorted(sent) == [0, 1, 2, 3]
    link.wait(10.0)
    assert {number: link.theirs.streams[number] for number in (0, 2)} == {0: sent[0], 2: sent[2]}
    assert {number: link.ours.streams[number] for number in (1, 3)} == {1: sent[1], 3: sent[3]}
    assert [each.stream_id for each in link.theirs.happened(StreamOpened)] == [0, 2]
    server.write_stream(0, b"answer", fin=True)
    link.wait(1.0)
    assert link.ours.streams[0] == b"answer"
    assert 0 in link.ours.ended


def test_datagrams() -> None:
    settings = {"quic": {"max_datagram_frame_size": 1200}}
    link = linked(settings, settings).establish()
    assert link.ours.connection.send_datagram(b"whole")
    link.wait(1.0)
    assert link.theirs.happened(DatagramReadable)
    assert link.theirs.connection.read_datagram() == b"whole"
    assert link.theirs.connection.read_datagram() is None


# --- networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_network_that_loses_doubles_and_reorders(seed: int) -> None:
    network = Lossy(seed=seed, loss=0.1, reordering=0.2, duplication=0.1, corruption=0.02)
    windows = {"quic": {"initial_max_data": 20_000, "initial_max_stream_data_bidi_remote": 10_000}}
    link = linked(windows, windows, network).establish()
    stream_id = link.send(DATA)
    link.run(lambda: stream_id in link.theirs.ended or link.failed, seconds=600)
    assert link.theirs.streams[stream_id] == DATA
    assert not link.failed


@pytest.mark.parametrize("lost", range(8))
def test_any_datagram_of_a_handshake_lost(lost: int) -> None:
    link = linked(network=ByHand(acts={lost: lambda _: []})).establish()
    stream_id = link.send(b"after it")
    link.run(lambda: stream_id in link.theirs.ended, seconds=30)
    assert link.theirs.streams[stream_id] == b"after it"


def test_an_address_that_has_proved_nothing_gets_three_times_what_came() -> None:
    link = linked(network=ByHand(acts={number: lambda _: [] for number in range(1, 1000)}))
    link.start().wait(25.0)
    first = link.sent[0]
    assert sum(len(each.data) for each in link.sent if not each.by_client) <= 3 * len(first.data)


def test_nothing_happens_for_long() -> None:
    link = linked({"quic": {"max_idle_timeout": 5.0}}).establish()
    quiet = link.now
    link.run(lambda: link.failed)
    assert 5.0 <= link.now - quiet < 6.0
    link.wait(1.0)
    assert isinstance(link.client.error, IdleTimeout)
    assert isinstance(link.server.error, IdleTimeout)
    assert all(each.at < quiet + 1 for each in link.sent)


# --- the end ----------------------------------------------------------------------------------------------------


def test_closing() -> None:
    link = linked().establish()
    link.ours.connection.shutdown()
    link.wait(0.02)
    assert link.theirs.happened(CloseNotifyReceived)
    assert link.server.error is None
    link.wait(10.0)
    assert link.ours.connection.terminated
    assert link.theirs.connection.terminated


def test_closing_with_words() -> None:
    link = linked().establish()
    link.theirs.connection.shutdown(77, "because")
    link.wait(0.02)
    error = link.client.error
    assert isinstance(error, PeerClose)
    assert (error.application, error.error_code, error.reason_phrase) == (True, 77, "because")
    assert link.ours.happened(ConnectionTerminated)


def test_a_peers_words_are_no_line_in_a_log() -> None:
    """Nor do they move the cursor of whoever reads it: what they were is in `reason_phrase`."""
    words = "gone\nERROR\x1b[2J" + "!" * 100
    link = linked().establish()
    link.ours.connection.shutdown(5, words)
    link.wait(1.0)
    error = link.server.error
    assert isinstance(error, PeerClose)
    assert error.reason_phrase == words
    assert "gone?ERROR?[2J!!" in str(error)
    assert str(error).isprintable()


def test_closing_before_the_handshake_is_complete_says_no_more_than_that() -> None:
    link = linked()
    link.start()
    link.wait(0.015)
    link.ours.connection.shutdown(77, "secret")
    link.wait(0.1)
    error = link.server.error
    assert isinstance(error, PeerClose)
    assert (error.application, error.error_code) == (False, TransportErrorCode.APPLICATION_ERROR)
    assert error.reason_phrase == ""


def test_a_certificate_that_is_refused() -> None:
    link = linked({"trust": TrustStore.empty()})
    link.start().run(lambda: link.failed)
    link.wait(1.0)
    assert isinstance(link.client.error, CertificateVerifyError)
    assert isinstance(link.server.error, PeerAlert)


def test_no_protocol_in_common() -> None:
    link = linked(server={"alpn": ["other"]})
    link.start().run(lambda: link.failed)
    assert isinstance(link.server.error, NoApplicationProtocol)
    with pytest.raises(ConfigError, match="alpn"):
        linked({"alpn": []})


@pytest.mark.parametrize("without", ["client", "server"])
def test_no_protocol_at_all(monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    """RFC 9001 section 8.1: whoever sees that there is none ends it there, a server before it answers."""
    monkeypatch.setattr("caesura.handshake.endpoint.check_role", lambda *args: None)
    link = linked(**{without: {"alpn": []}})
    link.start().run(lambda: link.failed)
    observer = link.server if without == "client" else link.client
    assert isinstance(observer.error, NoApplicationProtocol)
    assert not observer.handshake_complete
    if without == "client":
        assert not [each for each in link.sent if not each.by_client and len(each.data) > 1000]


def test_last_words_are_repeated_ever_more_rarely() -> None:
    link = linked().establish()
    link.ours.connection.shutdown()
    (said,) = link.ours.connection.datagrams_to_send(link.now)
    times = []
    for number in range(1, 40):
        link.client.receive_datagram(b"\x40" + bytes(50), SERVER, link.now)
        if link.ours.connection.datagrams_to_send(link.now) == [said]:
            times.append(number)
    assert times == [1, 2, 4, 8, 16, 32]


def test_last_words_to_where_the_peer_has_not_proved_to_be() -> None:
    """They are bounded as all that is sent there, whoever provokes them from elsewhere (RFC 9000 section 10.2.1)."""
    forger = Forger()
    forger.link.establish()
    server, now = forger.victim, forger.link.now
    server.datagrams_to_send(now)
    there = ("203.0.113.9", 9)
    said = came = 0
    for number in range(600):
        if number == 3:
            server.shutdown(0, "enough")
        if number < 3:
            datagram = forger.packet(b"\x01")
            came += len(datagram)
            server.receive_datagram(datagram, there, now)
        else:
            server.receive_datagram(b"\x40" + bytes(30), CLIENT, now)
        said += sum(len(data) for data, to in server.datagrams_to_send(now) if to == there)
    assert server.addr == there
    assert 0 < said <= 3 * came


# --- key update -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_client", [True, False])
def test_key_update(by_client: bool) -> None:
    link = linked().establish()
    link.wait(1.0)
    for _ in range(3):
        (link.ours if by_client else link.theirs).connection.key_update()
        stream_id = link.send(DATA, by_client=by_client)
        link.wait(3.0)
        assert stream_id in (link.theirs if by_client else link.ours).ended
    assert link.ours.connection.key_updates == link.theirs.connection.key_updates == 3


def test_keys_change_by_themselves_before_they_are_used_up() -> None:
    link = linked({"quic": {"key_update_packets": 100}}).establish()
    link.send(DATA * 4)
    link.wait(20.0)
    assert link.ours.connection.key_updates >= 2
    assert link.ours.connection.key_updates - link.theirs.connection.key_updates in (0, 1)
    assert link.theirs.streams == {0: DATA * 4}


# --- paths ------------------------------------------------------------------------------------------------------


def test_a_client_whose_address_changes() -> None:
    link = linked().establish()
    link.wait(1.0)
    stream_id = link.send(DATA, fin=False)
    link.client_address = ("198.51.100.9", 7000)
    link.wait(5.0)
    link.ours.connection.write_stream(stream_id, b"end", fin=True)
    link.wait(5.0)
    assert link.theirs.streams[stream_id] == DATA + b"end"
    assert link.theirs.connection.addr == link.client_address
    assert link.theirs.connection.address_validated
    link.send(DATA, by_client=False)
    link.wait(5.0)
    assert link.ours.streams[1] == DATA


def test_a_client_that_moves_by_intention_is_not_linked_to_where_it_was() -> None:
    link = linked().establish()
    link.wait(1.0)
    before = link.server.connection_ids
    assert link.client.peer_connection_id == before[0]
    link.client.migrate()
    link.client_address = ("198.51.100.9", 7000)
    stream_id = link.send(DATA)
    link.wait(5.0)
    assert link.theirs.streams[stream_id] == DATA
    assert link.server.addr == link.client_address
    assert link.client.peer_connection_id == before[1]
    assert before[0] not in link.server.connection_ids
    link.send(DATA, by_client=False)
    link.wait(5.0)
    assert link.ours.streams[1] == DATA


def test_who_may_not_move() -> None:
    link = linked(server={"quic": {"disable_active_migration": True}}).establish()
    for side, reason in ((link.client, "disable_active_migration"), (link.server, "only clients")):
        with pytest.raises(UsageError, match=reason):
            side.migrate()


def test_the_fixed_bit_may_be_anything_when_both_say_so() -> None:
    def bits(client: bool, server: bool) -> set[int]:
        link = linked({"quic": {"grease_quic_bit": client}}, {"quic": {"grease_quic_bit": server}}).establish()
        for _ in range(10):
            link.send(b"something")
            link.wait(0.3)
        assert len(link.theirs.ended) == 10
        return {each.data[0] & 0xC0 for each in link.sent if not each.data[0] & 0x80}

    assert bits(True, True) == {0x00, 0x40}
    assert bits(True, False) == bits(False, True) == {0x40}


def test_an_initial_packet_without_the_fixed_bit() -> None:
    link = linked({"quic": {"grease_quic_bit": False}}, {"quic": {"grease_quic_bit": False}})
    link.client.advance(link.now)
    ((hello, _),) = link.client.datagrams_to_send(link.now)
    link.server.receive_datagram(bytes((hello[0] & ~0x40,)) + hello[1:], CLIENT, link.now)
    assert link.server.datagrams_to_send(link.now) == []


def test_a_server_does_not_move() -> None:
    link = linked().establish()
    link.wait(1.0)
    link.theirs.connection.write_stream(link.theirs.connection.open_stream() or 0, b"data")
    ((datagram, _), *_) = link.theirs.connection.datagrams_to_send(link.now)
    link.client.receive_datagram(datagram, ("203.0.113.5", 443), link.now)
    link.ours.look()
    assert link.ours.streams == {}
    link.client.receive_datagram(datagram, SERVER, link.now)
    link.ours.look()
    assert link.ours.streams == {1: b"data"}


@pytest.mark.parametrize("by_client", [True, False])
def test_ids_change_and_are_given_back(by_client: bool) -> None:
    link = linked().establish()
    link.wait(1.0)
    ours, theirs = (link.client, link.server) if by_client else (link.server, link.client)
    for _ in range(20):
        before = theirs.connection_ids
        ours.change_connection_id()
        stream_id = link.send(b"data", by_client=by_client)
        link.wait(0.2)
        assert stream_id in (link.theirs if by_client else link.ours).ended
        after = theirs.connection_ids
        assert len(before) == len(after) == 4
        assert len(set(before) - set(after)) == 1
    assert not link.failed
    for _ in range(3):
        ours.change_connection_id()
    with pytest.raises(UsageError, match="spare"):
        ours.change_connection_id()


def test_ids_of_no_bytes() -> None:
    link = linked({"quic": {"connection_id_length": 0}}).establish()
    link.wait(1.0)
    with pytest.raises(UsageError, match="spare"):
        link.server.change_connection_id()
    assert link.client.connection_ids == (b"",)
    stream_id = link.send(DATA, by_client=False)
    link.wait(2.0)
    assert link.ours.streams[stream_id] == DATA


def test_every_probe_brings_the_hello() -> None:
    """Of the two datagrams after a silence either may arrive alone, and the server has all it needs."""
    client = linked({"groups": ["x25519"]}).ours.connection
    client.advance(START)
    assert len(client.datagrams_to_send(START)) == 1
    later = client.timeout()
    assert later is not None
    client.handle_timeout(later)
    probes = client.datagrams_to_send(later)
    assert len(probes) == 2
    for probe, _ in probes:
        server = QUICConnection(server_context(), server_side=True)
        server.receive_datagram(probe, CLIENT, later)
        assert sum(len(datagram) for datagram, _ in server.datagrams_to_send(later)) > 1200  # its whole flight


# --- what is dropped --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 6, 7, 20, 21, 100, 1199, 1200, 1500])
@pytest.mark.parametrize("first", [0x00, 0x40, 0x7F, 0x80, 0xC0, 0xC3, 0xD0, 0xE0, 0xF0, 0xFF])
def test_noise_changes_nothing(size: int, first: int) -> None:
    link = linked()
    noise = (bytes((first,)) + b"\0\0\0\1\x08" + bytes(range(256)) * 6)[:size]
    link.server.receive_datagram(noise, CLIENT, link.now)
    assert link.theirs.connection.datagrams_to_send(link.now) == []
    link.start()
    link.client.receive_datagram(noise, SERVER, link.now)
    link.establish()
    for side in (link.client, link.server):
        side.receive_datagram(noise, SERVER if side is link.client else CLIENT, link.now)
        assert side.error is None


def test_suites_that_protect_no_packets_are_not_offered() -> None:
    link = linked({"cipher_suites": ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256"]}).establish()
    assert link.client.cipher_suite is CipherSuite.TLS_AES_128_GCM_SHA256
    with pytest.raises(ConfigError, match="cipher_suites"):
        client_context(cipher_suites=["TLS_AES_128_CCM_SHA256"])


# --- tokens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "taken"), [(1, True), (1024, True), (1025, False), (60_000, False)])
def test_a_token_that_leaves_no_room_is_not_taken(length: int, taken: bool) -> None:
    """Of a Retry, of NEW_TOKEN, or from the application: no datagram is larger for it than all may be."""
    link = linked()
    link.start()
    header = packets.read_long(link.sent[0].data, 0)
    assert header is not None
    retry = packets.encode_retry(QUIC1, header.source, b"elsewhere", header.destination, bytes(length), 0)
    link.client.receive_datagram(retry, SERVER, link.now)
    for _ in range(4):
        link._pump()
        link.now = link.client.timeout() or link.now
        link.client.handle_timeout(link.now)
    said = [packets.read_long(each.data, 0) for each in link.sent]
    assert (b"elsewhere" in [each.destination for each in said if each is not None]) is taken
    assert max(len(each.data) for each in link.sent) == 1200

    forger = Forger(by_client=False)
    forger.link.establish()
    forger.say(b"\x07" + varint.encode(length) + b"t" * length)
    assert (forger.victim.new_token == b"t" * length) is taken

    if taken:
        linked(token=bytes(length))
    else:
        with pytest.raises(ConfigError, match=r"quic\.token_length"):
            linked(token=bytes(length))


def test_a_server_s_first_packets_have_no_token() -> None:
    forger = Forger(by_client=False)
    forger.link.start()
    forger.link.wait(0.015)
    found = packets.read_invariant(forger.link.sent[0].data, 0)
    assert found is not None
    secret = initial_secrets(QUIC1.initial_salt, found[1])[1]
    header = packets.long_header(QUIC1, INITIAL, found[2], b"server", b"token")
    packet = WriteKey(secret, QUIC1.label).seal(header[0], header[1:] + b"\x40\x40", 0, b"\x1e" + bytes(46))
    forger.victim.receive_datagram(packet, SERVER, forger.link.now)
    assert forger.victim.error is None
    forger.link.establish()
