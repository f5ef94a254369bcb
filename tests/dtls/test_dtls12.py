"""DTLS 1.2 (RFC 6347): versions, cookies, sessions, records, and what of a handshake is sent again.

Faults, lossy links and pauses: the same files as for DTLS 1.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.context import Limits, TraceEvent, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.dtls import DTLSConnection
from caesura.errors import (
    BadRecordMAC,
    HandshakeFailure,
    IllegalParameter,
    InternalError,
    NoRenegotiation,
    PeerAlert,
    ProtocolVersionAlert,
    UnexpectedMessage,
    UsageError,
)
from caesura.events import HandshakeCompleted, SessionReceived
from caesura.sessions import ServerSessionCache
from caesura.wire.dtls import Fragment, HelloVerifyRequest, decode_fragments
from caesura.wire.messages import DOWNGRADE_TLS12
from caesura.wire.registries import CipherSuite, NamedGroup, Version
from tests.dtls.tap12 import ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, Tap12, random_of, tapped12
from tests.dtls.test_acks import losing, plain
from tests.dtls.test_faults import split
from tests.dtls.world import DTLS12, DTLS13, EITHER, asking_context, client_context, linked, server_context
from tests.support.datagram_link import CLIENT, DatagramLink, Network, datagram_link, received
from tests.tls.world import identity

FINISHED = 20


def established(**options: Any) -> tuple[DatagramLink, Tap12]:
    link, log = tapped12(**options)
    link.handshake()
    tap = Tap12(link, log)
    link.sent.clear()
    return link, tap


def talk(link: DatagramLink) -> None:
    link.client.write(b"from the client")
    link.server.write(b"from the server")
    link.run()
    assert received(link.server_events)[-1] == b"from the client"
    assert received(link.client_events)[-1] == b"from the server"


def messages(link: DatagramLink, by_client: bool) -> list[int]:
    """The types of the messages in the clear, as they were sent."""
    records = [record for data in link.datagrams(by_client) for record in split(data, 0)]
    clear = [record[13:] for record in records if record[0] == HANDSHAKE and record[3:5] == b"\0\0"]
    return [fragment.msg_type for content in clear for fragment in decode_fragments(content)]


# --- handshakes -----------------------------------------------------------------------------------------------------


def test_full_handshake() -> None:
    link = linked(DTLS12, DTLS12).handshake()
    for side in (link.client, link.server):
        assert side.version is Version.DTLS12
        assert side.cipher_suite is CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        assert side.group is NamedGroup.x25519
        assert not side.session_reused
    assert [type(event) for event in link.client_events] == [HandshakeCompleted, SessionReceived]
    assert [type(event) for event in link.server_events] == [HandshakeCompleted]
    assert link.client.peer_certificates == identity().chain
    assert messages(link, by_client=True) == [1, 16]
    assert messages(link, by_client=False) == [2, 11, 12, 14, 4]
    talk(link)


def test_what_both_sides_export() -> None:
    link = linked(DTLS12, DTLS12).handshake()
    exported = [side.export_keying_material("EXPORTER-x", None, 32) for side in (link.client, link.server)]
    assert exported[0] == exported[1]
    assert exported[0] != link.client.export_keying_material("EXPORTER-x", b"", 32)


@pytest.mark.parametrize("suite", ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"])
@pytest.mark.parametrize("length", [0, 4])
def test_every_suite(suite: str, length: int) -> None:
    settings: dict[str, Any] = {"cipher_suites": [f"TLS_ECDHE_ECDSA_WITH_{suite}"], "dtls": {"connection_id": length}}
    link = linked({**DTLS12, **settings}, DTLS12 | {"dtls": {"connection_id": length}}).handshake()
    assert link.server.cipher_suite is CipherSuite[f"TLS_ECDHE_ECDSA_WITH_{suite}"]
    talk(link)


@pytest.mark.parametrize(
    ("client", "server", "version"),
    [
        (EITHER, EITHER, Version.DTLS13),
        (EITHER, DTLS12, Version.DTLS12),
        (DTLS12, EITHER, Version.DTLS12),
        (EITHER, DTLS13, Version.DTLS13),
        (DTLS13, EITHER, Version.DTLS13),
    ],
)
@pytest.mark.parametrize("listener", [False, True])
def test_which_version(client: dict[str, Any], server: dict[str, Any], version: Version, listener: bool) -> None:
    link = linked(client, server, listener=listener).handshake()
    assert link.client.version is link.server.version is version
    talk(link)


def test_no_version_in_common() -> None:
    for client, server in ((DTLS12, DTLS13), (DTLS13, DTLS12)):
        link = linked(client, server).start().run()
        assert isinstance(link.client.error, PeerAlert)


def test_a_server_that_could_do_better_says_so_in_its_random() -> None:
    link = linked(DTLS12, EITHER).handshake()
    assert random_of(link, 2).endswith(DOWNGRADE_TLS12)
    link = linked(DTLS12, DTLS12).handshake()
    assert not random_of(link, 2).endswith(DOWNGRADE_TLS12)


def test_and_a_client_that_asked_for_better_hears_it() -> None:
    """Somebody has taken supported_versions out of the hello: the server thinks that we speak DTLS 1.2 only."""

    class Meddling(Network):
        def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
            return [(self.delay, datagram.replace(b"\x00\x2b\x00\x05\x04", b"\x2a\x2a\x00\x05\x04"))]

    link = linked(EITHER, EITHER, Meddling()).start().run()
    assert isinstance(link.client.error, IllegalParameter)
    assert not link.server.handshake_complete


def test_client_certificate() -> None:
    link = datagram_link(client_context(identity=identity("client"), **DTLS12), asking_context(**DTLS12)).handshake()
    assert link.server.peer_certificates == identity("client").chain
    link = datagram_link(client_context(**DTLS12), asking_context(Verify.OPTIONAL, **DTLS12)).handshake()
    assert link.server.peer_certificates == ()
    link = datagram_link(client_context(**DTLS12), asking_context(**DTLS12)).start().run(seconds=1)
    assert isinstance(link.server.error, HandshakeFailure)


@pytest.mark.parametrize("tickets", [True, False])
def test_resumption(tickets: bool) -> None:
    server: dict[str, Any] = {"ticket_keys": TicketKeys(), "server_sessions": ServerSessionCache(), **DTLS12}
    if not tickets:
        server["ticket_count"] = 0
    link = linked(DTLS12, server).handshake()
    assert link.client.session is not None
    assert bool(link.client.session.ticket) is tickets
    again = linked(DTLS12, server, session=link.client.session).handshake()
    assert again.client.session_reused
    assert again.server.session_reused
    talk(again)


@pytest.mark.parametrize(
    "act",
    [
        lambda datagram: [(0.01, datagram)],
        lambda datagram: [(0.01, datagram), (0.02, datagram)],
        lambda datagram: [(0.01, each) for each in reversed(split(datagram, 0))],
    ],
    ids=["once", "twice", "in the wrong order"],
)
def test_change_cipher_spec_is_traced_once_where_it_takes_effect(
    act: Callable[[bytes], list[tuple[float, bytes]]],
) -> None:
    events: list[TraceEvent] = []

    class Meddling(Network):
        def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
            return act(datagram)

    settings = {"trace": events.append, **DTLS12}
    linked(settings, settings, Meddling()).handshake().wait(1.0)
    told = [
        (event.server_side, event.name)
        for event in events
        if event.kind == "received" and event.name in ("change_cipher_spec", "finished")
    ]
    assert told == [(side, name) for side in (True, False) for name in ("change_cipher_spec", "finished")]
    sent = [event.server_side for event in events if (event.kind, event.name) == ("sent", "change_cipher_spec")]
    assert sent == [False, True]


def test_a_session_of_one_version_is_not_offered_for_the_other() -> None:
    server = {"ticket_keys": TicketKeys()}
    link = linked(DTLS12, {**server, **DTLS12}).handshake()
    again = linked(EITHER, {**server, **EITHER}, session=link.client.session).handshake()
    assert again.client.version is Version.DTLS13
    assert not again.client.session_reused


def test_without_extended_master_secret_there_is_no_handshake() -> None:
    class Meddling(Network):
        def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
            return [(self.delay, datagram.replace(b"\x00\x17\x00\x00", b"\x2a\x2a\x00\x00"))]

    link = linked(DTLS12, DTLS12, Meddling()).start().run(seconds=1)
    assert isinstance(link.server.error, HandshakeFailure)


# --- cookies --------------------------------------------------------------------------------------------------------


def test_a_listener_keeps_nothing_until_the_cookie_comes_back() -> None:
    link = linked(DTLS12, DTLS12, listener=True).start()
    link.run(lambda: len(link.sent) == 2)
    assert link.listener is not None
    assert link.listener.connections == ()
    request = link.sent[1].data
    assert request[13] == 3  # hello_verify_request
    assert request[25:27] == b"\xfe\xff"  # whatever is agreed on later (RFC 6347 section 4.2.1)
    assert len(request) < len(link.sent[0].data)
    link.run(lambda: link.client.handshake_complete)
    first, second = (each.data for each in link.sent if each.by_client and each.data[13] == 1)
    assert request[5:11] == first[5:11]  # the record's number, too
    cookie = request[28:]
    at = 13 + 12 + 34 + 1
    assert first[at] == 0
    assert second[at : at + 1 + len(cookie)] == bytes((len(cookie),)) + cookie
    assert second[at + 1 + len(cookie) :] == first[at + 1 :]  # nothing else has changed
    talk(link)


def test_a_cookie_is_good_for_its_client_and_its_hello() -> None:
    context = server_context(**DTLS12)
    link = datagram_link(client_context(**DTLS12), context, listener=True).start()
    link.run(lambda: len(link.sent) == 3)
    assert link.listener is not None
    hello = link.sent[2].data
    for addr, datagram in (
        (("192.0.2.9", 1), hello),
        ((CLIENT[0], CLIENT[1] + 1), hello),
        (CLIENT, hello[:30] + bytes((hello[30] ^ 1,)) + hello[31:]),  # another random
        (CLIENT, hello[:65] + bytes((hello[65] ^ 1,)) + hello[66:]),  # another cookie
    ):
        assert link.listener.receive_datagram(datagram, addr, 0.0) is None
        ((answer, to),) = link.listener.datagrams_to_send(0.0)
        assert answer[13] == 3  # as if there were none, with the number of the hello
        assert answer[17:19] == b"\0\1"
        assert to == addr
    assert link.listener.receive_datagram(hello, CLIENT, 0.0) is not None


def test_a_cookie_that_is_too_old_is_followed_by_another() -> None:
    context = server_context(**DTLS12)
    link = datagram_link(client_context(**DTLS12), context, listener=True).start()
    link.run(lambda: len(link.sent) == 3)
    context.clock.advance(61.0)
    link.run(lambda: link.client.handshake_complete)
    assert link.client.handshake_complete
    assert messages(link, by_client=True)[:3] == [1, 1, 1]
    talk(link)


def verify_request(message_seq: int, cookie: bytes | None = None) -> bytes:
    body = HelloVerifyRequest(0xFEFF, b"cookie %d" % message_seq if cookie is None else cookie).encode()[4:]
    return plain(HANDSHAKE, Fragment(3, len(body), message_seq, 0, body).encode(), message_seq)


def test_limit_of_verify_requests() -> None:
    client = {**DTLS12, "limits": Limits(verify_requests=2)}
    link = linked(client, DTLS12, losing(*range(100))).start()
    for seq in range(2):
        link.deliver(verify_request(seq), to_server=False)
    assert link.client.error is None
    assert messages(link, by_client=True) == [1, 1, 1]
    link.deliver(verify_request(2), to_server=False)
    assert isinstance(link.client.error, UnexpectedMessage)


@pytest.mark.parametrize("cookie", [b"cookie", b""])
def test_dtls13_behind_a_verify_request(cookie: bytes) -> None:
    """RFC 9147 section 5.3: a server of DTLS 1.3 refuses a hello with such a cookie, so none can have agreed to it."""
    link = linked(EITHER, EITHER, losing(*range(100))).start()
    link.deliver(verify_request(0, cookie), to_server=False)
    body = b"\xfe\xfd" + bytes(32) + bytes.fromhex("00 1301 00 0006 002b 0002 fefc")
    link.deliver(plain(HANDSHAKE, Fragment(2, len(body), 1, 0, body).encode()), to_server=False)
    assert isinstance(link.client.error, IllegalParameter)
    assert link.client.error.section == "RFC 9147 section 5.3"


# --- records --------------------------------------------------------------------------------------------------------


def test_records_as_the_rfc_has_them() -> None:
    link, tap = established()
    link.client.write(b"one")
    link.client.write(b"two")
    link.server.write(b"three")
    link.run()
    assert [tap.client.open(data) for data in link.datagrams(True)] == [(1, DATA, b"one"), (2, DATA, b"two")]
    assert [tap.server.open(data) for data in link.datagrams(False)] == [(1, DATA, b"three")]
    link.deliver(tap.client.seal(70, DATA, b"seventy"), to_server=True)
    assert received(link.server_events)[-1] == b"seventy"


def test_records_with_a_connection_id_as_the_rfc_has_them() -> None:
    """RFC 9146 sections 4 and 5.3."""
    link, log = tapped12({"dtls": {"connection_id": 3}}, {"dtls": {"connection_id": 5}})
    link.handshake()
    tap = Tap12(link, log, (link.server.connection_ids[0], link.client.connection_ids[0]))
    assert len(tap.client.id) == 5
    link.sent.clear()
    link.client.write(b"one")
    link.server.write(b"two")
    link.run()
    assert tap.client.open(link.datagrams(True)[0]) == (1, DATA, b"one")
    assert tap.server.open(link.datagrams(False)[0]) == (1, DATA, b"two")
    link.deliver(tap.client.seal(9, DATA, b"padded", padding=20), to_server=True)
    assert received(link.server_events)[-1] == b"padded"
    tap.client.id = bytes(5)
    link.deliver(tap.client.seal(10, DATA, b"for another"), to_server=True)
    tap.client.id = b""
    link.deliver(tap.client.seal(11, DATA, b"without an id"), to_server=True)
    assert received(link.server_events)[-1] == b"padded"
    assert link.server.error is None


def test_a_connection_id_in_one_direction() -> None:
    link, log = tapped12({"dtls": {"connection_id": 0}}, {"dtls": {"connection_id": 5}})
    link.handshake()
    tap = Tap12(link, log, (link.server.connection_ids[0], b""))
    link.sent.clear()
    link.client.write(b"one")
    link.server.write(b"two")
    link.run()
    assert tap.client.open(link.datagrams(True)[0]) == (1, DATA, b"one")
    assert tap.server.open(link.datagrams(False)[0]) == (1, DATA, b"two")


def test_a_listener_finds_connections_by_id() -> None:
    link = linked({**DTLS12, "dtls": {"connection_id": 0}}, {**DTLS12, "dtls": {"connection_id": 6}}, listener=True)
    link.handshake()
    assert link.listener is not None
    link.client.write(b"from elsewhere")
    ((datagram, _),) = link.client.datagrams_to_send(link.now)
    assert link.listener.receive_datagram(datagram, ("198.51.100.7", 9), link.now) is link.server
    assert link.server.read() == b"from elsewhere"
    assert link.server.addr == CLIENT


def test_replays_and_numbers_of_48_bits() -> None:
    link, tap = established()
    numbers = [40, 300, 2**32 + 7, 2**48 - 1]
    records = [tap.client.seal(number, DATA, b"%d" % number) for number in numbers]
    for record in records * 2:
        link.deliver(record, to_server=True)
    assert received(link.server_events) == [b"%d" % number for number in numbers]


def test_every_bit_of_a_record_turned_over() -> None:
    link, tap = established()
    record = tap.client.seal(50, DATA, b"genuine")
    for bit in range(len(record) * 8):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        link.deliver(bytes(changed), to_server=True)
    for size in range(len(record)):
        link.deliver(record[:size], to_server=True)
    assert received(link.server_events) == []
    assert link.sent == []
    assert link.server.error is None
    talk(link)


NONSENSE = [
    plain(HANDSHAKE, b"x"),
    plain(HANDSHAKE, Fragment(FINISHED, 12, 9, 0, bytes(12)).encode()),
    plain(HANDSHAKE, Fragment(0, 0, 0, 0, b"").encode()),
    plain(ALERT, bytes((2, 40))),
    plain(ALERT, bytes((1, 0))),
    plain(DATA, b"data"),
    plain(CHANGE_CIPHER_SPEC, b"\1"),
    plain(CHANGE_CIPHER_SPEC, b"\2"),
    plain(26, bytes(2)),
    b"\x2d\x00\x00\x00\x20" + bytes(32),
    b"\x19\xfe\xfd\x00\x01" + bytes(6) + b"\0\x20" + bytes(32),
    b"\x17\xfe\xfd\x00\x01" + bytes(6) + b"\0\x08" + bytes(8),
    b"\x17\xfe\xfd\x00\x02" + bytes(6) + b"\0\x20" + bytes(32),
]


@pytest.mark.parametrize("datagram", NONSENSE, ids=lambda datagram: datagram[:14].hex())
def test_nonsense_after_the_handshake(datagram: bytes) -> None:
    link, _ = established()
    for to_server in (True, False):
        link.deliver(datagram, to_server=to_server)
    assert link.sent == []
    talk(link)


# --- what overtakes, and what comes again ---------------------------------------------------------------------------


def test_data_that_overtakes_the_finished_waits_for_it() -> None:
    """A client that does not wait for our Finished sends data behind its own, in the same epoch."""
    link, log = tapped12(network=losing(2))
    link.start().run(lambda: len(link.sent) == 3)
    tap = Tap12(link, log)
    flight = link.sent[2].data
    link.deliver(tap.client.seal(20, DATA, b"before there are keys"), to_server=True)
    key_exchange, _, finished = split(flight, 0)
    link.deliver(key_exchange, to_server=True)
    link.deliver(tap.client.seal(21, DATA, b"before the Finished"), to_server=True)
    assert link.server.read() == b""
    assert not link.server.handshake_complete
    link.deliver(finished, to_server=True)  # that no ChangeCipherSpec came does not matter
    assert link.server.handshake_complete
    assert received(link.server_events) == [b"before there are keys", b"before the Finished"]


def test_and_is_bounded() -> None:
    link, log = tapped12(server={"limits": Limits(early_bytes=1000)}, network=losing(2))
    link.start().run(lambda: len(link.sent) == 3)
    tap = Tap12(link, log)
    flight = link.sent[2].data
    key_exchange, _, finished = split(flight, 0)
    for number in range(20, 40):
        link.deliver(tap.client.seal(number, DATA, bytes(100)), to_server=True)
    link.deliver(key_exchange, to_server=True)
    for number in range(40, 60):
        link.deliver(tap.client.seal(number, DATA, bytes(100)), to_server=True)
    link.deliver(finished, to_server=True)
    assert link.server.handshake_complete
    assert len(received(link.server_events)) <= 1000 // 100


def test_the_final_flight_is_sent_again_when_the_peer_repeats_itself() -> None:
    link = linked(DTLS12, DTLS12, losing(3)).start().run()
    assert link.client.handshake_complete
    assert link.timeouts == [(pytest.approx(1.02), True)]  # the client's; a server that is done has no timer
    assert [each.by_client for each in link.sent] == [True, False, True, False, True, False]
    talk(link)


def test_but_not_for_ever() -> None:
    link, log = tapped12(server={"dtls": {"old_epoch_lifetime": 30.0}})
    link.handshake()
    tap = Tap12(link, log)
    finished = split(link.sent[2].data, 0)[2]
    _, _, content = tap.client.open(finished)
    link.sent.clear()
    link.now = 29.0
    link.deliver(tap.client.seal(30, HANDSHAKE, content), to_server=True)
    assert len(link.sent) == 1
    link.now = 31.0
    link.deliver(tap.client.seal(31, HANDSHAKE, content), to_server=True)
    assert len(link.sent) == 1


def test_the_timer_runs_until_the_whole_flight_is_there() -> None:
    """There are no ACKs: of a flight that came in part, only a repetition of ours brings the rest."""
    settings = {**DTLS12, "dtls": {"mtu": 300}}
    link = linked(settings, settings, losing(3))
    link.start().run()
    assert link.client.handshake_complete
    assert (pytest.approx(1.0), True) in link.timeouts


# --- afterwards -----------------------------------------------------------------------------------------------------


def test_renegotiation_is_refused() -> None:
    link, tap = established()
    request = Fragment(0, 0, 0, 0, b"").encode()
    link.deliver(tap.server.seal(50, HANDSHAKE, request), to_server=False)
    assert tap.client.open(link.sent[-1].data)[1:] == (ALERT, b"\x01\x64")
    link.run()
    talk(link)
    link.deliver(tap.client.seal(50, HANDSHAKE, Fragment(1, 0, 0, 0, b"").encode()), to_server=True)
    assert isinstance(link.server.error, NoRenegotiation)


def test_limit_of_hello_requests() -> None:
    link, tap = established(client={"limits": Limits(key_updates=3)})
    request = Fragment(0, 0, 0, 0, b"").encode()
    for number in range(50, 53):
        link.deliver(tap.server.seal(number, HANDSHAKE, request), to_server=False)
    assert link.client.error is None
    link.deliver(tap.server.seal(53, HANDSHAKE, request), to_server=False)
    assert isinstance(link.client.error, UnexpectedMessage)


@pytest.mark.parametrize("msg_type", [4, 11, 16, 24])
def test_other_messages_after_the_handshake(msg_type: int) -> None:
    link, tap = established()
    link.deliver(tap.client.seal(50, HANDSHAKE, Fragment(msg_type, 4, 3, 0, bytes(4)).encode()), to_server=True)
    assert isinstance(link.server.error, UnexpectedMessage)


def test_authentic_alerts() -> None:
    link, tap = established()
    for number in range(50, 54):
        link.deliver(tap.client.seal(number, ALERT, b"\x01\x64"), to_server=True)
    assert link.server.error is None
    link.deliver(tap.client.seal(60, ALERT, b"\x01\x64"), to_server=True)
    assert isinstance(link.server.error, UnexpectedMessage)  # limits.warning_alerts
    link, tap = established()
    link.deliver(tap.client.seal(50, ALERT, b"\x02\x28"), to_server=True)
    assert isinstance(link.server.error, PeerAlert)
    link, tap = established()
    link.deliver(tap.client.seal(50, ALERT, b"\x03\x28"), to_server=True)
    assert isinstance(link.server.error, IllegalParameter)


@pytest.mark.parametrize("by_client", [True, False])
def test_an_alert_in_the_clear_is_believed_when_the_peer_stays_silent(by_client: bool) -> None:
    """Anybody may have written it. Somebody who answers has not."""
    link = linked(DTLS12, DTLS12, losing(*range(2, 100)))
    link.start().wait(0.05)
    subject = link.client if by_client else link.server
    for content in (bytes((1, 40)), bytes((2,)), bytes((2, 40))):
        link.deliver(plain(ALERT, content), to_server=not by_client)
    assert subject.error is None
    link.wait(1.1)
    assert subject.error is None
    link.run(seconds=2.1)
    assert isinstance(subject.error, PeerAlert)


@pytest.mark.parametrize("alert", [bytes((2, 40)), bytes((1, 0)), bytes((2, 0))])
def test_but_not_when_the_peer_goes_on(alert: bytes) -> None:
    for at in (0.015, 0.025, 0.035):
        for to_server in (True, False):
            link = linked(DTLS12, DTLS12, losing(3)).start().wait(at)
            if to_server or at > 0.02:
                link.deliver(plain(ALERT, alert), to_server=to_server)
            link.run()
            assert link.client.error is link.server.error is None
            assert link.client.handshake_complete
            assert link.server.handshake_complete


def test_nor_when_the_peer_repeats_itself_for_long() -> None:
    """A server that does not hear us, but says so: it is alive."""

    class Deaf(Network):
        heard = 0

        def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
            self.heard += to_server
            return [] if to_server and 1 < self.heard < 8 else [(self.delay, datagram)]

    link = linked(DTLS12, DTLS12, Deaf()).start().wait(0.025)
    link.deliver(plain(ALERT, bytes((2, 40))), to_server=False)
    link.run()
    assert len([at for at, by_client in link.timeouts if by_client]) >= 2
    assert link.client.error is None
    assert link.server.handshake_complete


def test_closing() -> None:
    link, _ = established()
    link.client.shutdown()
    link.run()
    assert link.server.close_notify_received
    assert link.server.error is None


def test_what_dtls12_does_not_have() -> None:
    link, _ = established()
    for call in (link.client.key_update, link.client.new_connection_ids, link.client.change_connection_id):
        with pytest.raises(UsageError, match=r"DTLS 1\.2"):
            call()


def test_record_size_limit() -> None:
    """RFC 8449 section 4: in DTLS 1.2 it counts the plaintext alone."""
    link, tap = established(client={"record_size_limit": 100}, server={"record_size_limit": 200})
    assert link.server.max_datagram == 100
    assert link.client.max_datagram == 200
    link.deliver(tap.client.seal(50, DATA, bytes(200)), to_server=True)
    assert received(link.server_events) == [bytes(200)]
    link.deliver(tap.client.seal(51, DATA, bytes(201)), to_server=True)
    assert link.server.error is not None


@pytest.mark.parametrize("version", [DTLS12, DTLS13], ids=["DTLS12", "DTLS13"])
def test_one_connection_that_asks_for_cookies(version: dict[str, Any]) -> None:
    """Without a listener: it answers whoever comes, and becomes the connection of the first that proves its address."""
    groups = {"groups": ["X25519MLKEM768", "x25519", "secp256r1"], "dtls": {"mtu": 300}}
    client = client_context(**version, **groups)
    server = DTLSConnection(server_context(**version, **groups), server_side=True, address_validated=False)
    ours = DTLSConnection(client, server_side=False, server_hostname="localhost", addr="server")
    stranger = DTLSConnection(client, server_side=False, server_hostname="localhost", addr="server")
    for side in (ours, stranger, server):
        side.advance(0.0)
    for datagram, _ in stranger.datagrams_to_send(0.0):
        server.receive_datagram(datagram, "forged", 0.0)
    answers = server.datagrams_to_send(0.0)
    assert [addr for _, addr in answers] == ["forged"]
    server.receive_datagram(b"\x16nonsense", "forged", 0.0)
    for _ in range(8):
        for datagram, _ in ours.datagrams_to_send(0.0):
            server.receive_datagram(datagram, "client", 0.0)
        for datagram, addr in server.datagrams_to_send(0.0):
            assert addr == "client"
            ours.receive_datagram(datagram, None, 0.0)
    assert ours.handshake_complete
    assert server.handshake_complete
    assert server.addr == "client"
    ours.write(b"from the client")
    server.receive_datagram(ours.datagrams_to_send(0.0)[0][0], "client", 0.0)
    assert server.read() == b"from the client"


def test_record_versions() -> None:
    """RFC 9147 section 4: of a first hello that of DTLS 1.0, for servers that look at it; then that of DTLS 1.2."""
    link = linked(DTLS12, DTLS12, listener=True).handshake()
    hellos = [data for data in link.datagrams(True) if data[13] == 1]
    assert [data[1:3] for data in hellos] == [b"\xfe\xff"] * 2
    assert {data[1:3] for data in link.datagrams() if data not in hellos} == {b"\xfe\xfd"}
    link = linked(DTLS13, {**DTLS13, "groups": ["secp256r1"]}).handshake()
    assert [data[1:3] for data in link.datagrams(True) if data[0] == HANDSHAKE] == [b"\xfe\xff", b"\xfe\xfd"]


def test_a_request_for_a_cookie_where_dtls12_is_not_spoken() -> None:
    link = linked(DTLS13, DTLS13, losing(*range(100))).start()
    link.deliver(verify_request(0), to_server=False)
    assert isinstance(link.client.error, ProtocolVersionAlert)


@pytest.mark.parametrize("settings", [{}, {"limits": Limits(forged_records=50)}], ids=["the algorithm's", "ours"])
def test_limit_of_forged_records(settings: dict[str, Any]) -> None:
    """RFC 9147 section 4.5.3: with tags of eight bytes 2^7 records may fail to open; there is no other key to go to."""
    bound = 50 if settings else 128
    common = {**DTLS12, "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"]}
    link = linked(common, {**common, **settings}).handshake()
    forged = b"\x17\xfe\xfd\0\1" + bytes(5) + b"\x09\0\x20" + bytes(32)
    for _ in range(bound - 1):
        link.deliver(forged, to_server=True)
    talk(link)
    link.deliver(forged, to_server=True)
    assert isinstance(link.server.error, BadRecordMAC)


STARTS = st.sampled_from(
    [b"\x14", b"\x15", b"\x16\xfe\xfd\0\0", b"\x16\xfe\xfd\0\1", b"\x17\xfe\xfd\0\1", b"\x19", b"\x2e"]
)


@hypothesis.settings(max_examples=40, deadline=None)
@given(datagrams=st.lists(st.tuples(STARTS, st.binary(max_size=60)), max_size=8))
def test_anything_after_the_handshake(datagrams: list[tuple[bytes, bytes]]) -> None:
    link = linked(DTLS12, DTLS12).handshake()
    for start, rest in datagrams:
        for to_server in (True, False):
            link.deliver(start + rest, to_server=to_server)
    talk(link)


@hypothesis.settings(max_examples=60, deadline=None)
@given(
    at=st.sampled_from([0.005, 0.015, 0.025, 0.035]),
    pieces=st.lists(
        st.tuples(st.sampled_from([1, 2, 3, 4, 11, 12, 14, 16, 20]), st.integers(0, 6), st.binary(max_size=40)),
        min_size=1,
        max_size=6,
    ),
    to_server=st.booleans(),
)
def test_any_message_during_the_handshake(at: float, pieces: list[tuple[int, int, bytes]], to_server: bool) -> None:
    """Whoever can write to us can end an attempt that is in the clear still, but do nothing else."""
    link = linked(DTLS12, DTLS12).start().wait(at)
    for msg_type, seq, body in pieces:
        piece = Fragment(msg_type, len(body), seq, 0, body).encode()
        link.deliver(plain(HANDSHAKE, piece), to_server=to_server)
    link.run(seconds=20)
    for side in (link.client, link.server):
        assert not isinstance(side.error, InternalError), side.error
