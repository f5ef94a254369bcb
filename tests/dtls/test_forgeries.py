"""Contract F18: what is forged, damaged, cut short or repeated is dropped without a word, and changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.errors import (
    AlertDescription,
    DecodeError,
    Error,
    IllegalParameter,
    PeerAlert,
    ProtocolVersionAlert,
    RecordOverflow,
    UnexpectedMessage,
)
from caesura.wire.dtls import Fragment
from caesura.wire.registries import HandshakeType
from tests.dtls.tap import ALERT, DATA, HANDSHAKE, Tap
from tests.dtls.test_acks import losing, plain
from tests.dtls.world import DTLS12, DTLS13, connected, linked, tapped
from tests.support.datagram_link import DatagramLink, received

FINISHED = int(HandshakeType.finished)
SERVER_HELLO = int(HandshakeType.server_hello)


def established() -> tuple[DatagramLink, Tap]:
    link, tap = tapped()
    link.handshake()
    link.sent.clear()
    return link, tap


def unmoved(link: DatagramLink) -> None:
    """Nothing was said, nothing has ended, and the two can still talk."""
    assert link.sent == []
    for side in (link.client, link.server):
        assert side.error is None
        assert side.timeout() is None
    link.client.write(b"still here")
    link.server.write(b"so am I")
    link.run()
    assert received(link.server_events) == [b"still here"]
    assert received(link.client_events) == [b"so am I"]


# --- after the handshake ------------------------------------------------------------------------------------------

NONSENSE = [
    b"",
    b"\x00",
    b"\x16",
    b"\xff" * 100,
    b"GET / HTTP/1.0\r\n\r\n",
    bytes(1500),
    b"\x2f",
    b"\x2f\x00\x00\x00\x00",
    b"\x2f\x00\x00\xff\xff" + bytes(40),
    b"\x2f\x00\x00\x00\x20" + bytes(32),
    b"\x2b\x00\x00" + bytes(15),
    b"\x3f\x00\x00\x00\x20" + bytes(32),
    b"\x20" + bytes(17),
    plain(HANDSHAKE, b"x"),
    plain(HANDSHAKE, Fragment(FINISHED, 32, 9, 0, bytes(32)).encode()),
    plain(ALERT, bytes((2, 40))),
    plain(ALERT, bytes((1, 0))),
    plain(DATA, b"data"),
    plain(20, b"\x01"),
    plain(99, b"\x01"),
]


@pytest.mark.parametrize("datagram", NONSENSE, ids=lambda datagram: datagram[:8].hex())
def test_nonsense(datagram: bytes) -> None:
    link, _ = established()
    for to_server in (True, False):
        link.deliver(datagram, to_server=to_server)
    unmoved(link)


def test_every_bit_of_a_record_turned_over() -> None:
    link, tap = established()
    record = tap.keys(True, 3).seal(3, 50, DATA, b"genuine")
    for bit in range(len(record) * 8):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        link.deliver(bytes(changed), to_server=True)
    for size in range(len(record)):
        link.deliver(record[:size], to_server=True)
    assert received(link.server_events) == []
    unmoved(link)


def test_records_behind_a_forged_one_are_read() -> None:
    link, tap = established()
    keys = tap.keys(True, 3)
    forged = bytearray(keys.seal(3, 50, DATA, b"forged"))
    forged[-1] ^= 1
    link.deliver(bytes(forged) + keys.seal(3, 51, DATA, b"genuine"), to_server=True)
    assert received(link.server_events) == [b"genuine"]


def test_records_of_a_type_that_there_is_not() -> None:
    """RFC 9147 section 4.5.2: such a record is discarded, protected or not."""
    link, tap = established()
    for sequence, content_type in enumerate((1, 20, 24, 25, 99), start=50):
        link.deliver(tap.keys(True, 3).seal(3, sequence, content_type, b"x"), to_server=True)
    link.deliver(tap.keys(True, 3).seal(3, 60, 0, b"", padding=20), to_server=True)
    unmoved(link)


def test_replays() -> None:
    link, tap = established()
    records = [
        tap.keys(True, 3).seal(3, sequence, DATA, b"%d" % sequence) for sequence in (20_000, 50_000, 50_001, 80_000)
    ]
    for record in records:
        for _ in range(3):
            link.deliver(record, to_server=True)
    for record in records:
        link.deliver(record, to_server=True)
    assert received(link.server_events) == [b"20000", b"50000", b"50001", b"80000"]


def test_numbers_far_back_are_dropped_and_within_the_window_taken() -> None:
    link, tap = established()
    keys = tap.keys(True, 3)
    link.deliver(keys.seal(3, 1000, DATA, b"1000"), to_server=True)
    for sequence in (1000 - 255, 1000 - 256, 999):
        link.deliver(keys.seal(3, sequence, DATA, b"%d" % sequence), to_server=True)
    assert received(link.server_events) == [b"1000", b"745", b"999"]


@settings(max_examples=60)
@given(
    datagrams=st.lists(st.binary(max_size=80), max_size=8), first=st.sampled_from([0x16, 0x15, 0x1A, 0x2E, 0x2F, 0x2C])
)
def test_anything(datagrams: list[bytes], first: int) -> None:
    link = connected()
    for datagram in datagrams:
        for to_server in (True, False):
            link.deliver(bytes((first,)) + datagram, to_server=to_server)
    unmoved(link)


# --- during the handshake -----------------------------------------------------------------------------------------


def waiting_client() -> DatagramLink:
    """A client that waits for a server's hello."""
    return linked(network=losing(*range(100))).start()


def waiting_server() -> tuple[DatagramLink, Tap]:
    """A server that waits for a client's last flight."""
    link, tap = tapped(network=losing(*range(1, 100)))
    link.start().wait(0.02)
    link.client.close()
    link.sent.clear()
    return link, tap


def piece(message_seq: int, msg_type: int, length: int, offset: int, data: bytes) -> bytes:
    return Fragment(msg_type, length, message_seq, offset, data).encode()


MALFORMED = [
    plain(HANDSHAKE, b""),
    plain(HANDSHAKE, b"x" * 11),
    plain(HANDSHAKE, piece(0, SERVER_HELLO, 90, 0, b"x" * 40)[:-1]),
    plain(HANDSHAKE, piece(0, SERVER_HELLO, 5, 4, b"xx")),
    plain(HANDSHAKE, piece(0, SERVER_HELLO, 2**24 - 1, 0, b"x")),
    plain(DATA, b"data"),
    plain(20, b"\x01"),
    plain(99, b""),
    plain(ALERT, b"\x02"),
    plain(ALERT, b"\x02\x28\x02\x28"),
]


@pytest.mark.parametrize("datagram", [*NONSENSE[:13], *MALFORMED], ids=lambda datagram: datagram[:20].hex())
def test_a_client_that_waits_for_a_hello_drops_what_is_malformed(datagram: bytes) -> None:
    link = waiting_client()
    link.sent.clear()
    link.deliver(datagram, to_server=False)
    assert link.client.error is None
    assert link.sent == []
    assert link.client.timeout() == 1.0


@pytest.mark.parametrize("datagram", MALFORMED[:7] + MALFORMED[8:], ids=lambda datagram: datagram[:20].hex())
def test_a_transport_that_nobody_else_writes_to_makes_it_an_error(datagram: bytes) -> None:
    link = linked({"dtls": {"forgery_resistant": True}}, network=losing(*range(100))).start()
    link.deliver(datagram, to_server=False)
    assert isinstance(link.client.error, DecodeError | IllegalParameter | UnexpectedMessage)


def test_contradicting_fragments_in_the_clear() -> None:
    link = waiting_client()
    link.deliver(plain(HANDSHAKE, piece(0, SERVER_HELLO, 90, 0, b"x")), to_server=False)
    link.deliver(plain(HANDSHAKE, piece(0, SERVER_HELLO, 91, 1, b"x")), to_server=False)
    assert link.client.error is None


def test_a_whole_hello_that_is_wrong_ends_the_attempt() -> None:
    """There is no other way to learn that a server speaks something else."""
    link = waiting_client()
    body = b"\xfe\xfd" + bytes(32) + b"\x00\x13\x01\x00"
    link.deliver(plain(HANDSHAKE, piece(0, SERVER_HELLO, len(body), 0, body)), to_server=False)
    assert isinstance(link.client.error, ProtocolVersionAlert)
    assert link.sent[-1].data[:1] == bytes((ALERT,))


def test_a_servers_alert_before_its_hello_is_believed() -> None:
    link = waiting_client()
    link.deliver(plain(ALERT, bytes((2, AlertDescription.handshake_failure))), to_server=False)
    assert isinstance(link.client.error, PeerAlert)


def test_but_not_after_it() -> None:
    link, _ = tapped({"dtls": {"mtu": 300}}, {"dtls": {"mtu": 300}}, losing(2, 3, 4))
    link.start().wait(0.05)
    link.deliver(plain(ALERT, bytes((2, AlertDescription.handshake_failure))), to_server=False)
    assert link.client.error is None


def test_a_server_believes_no_alert_in_the_clear() -> None:
    link, _ = waiting_server()
    for content in (bytes((2, 40)), bytes((1, 0)), bytes((1, 90)), b"x"):
        link.deliver(plain(ALERT, content), to_server=True)
    assert link.server.error is None
    link = linked()
    link.deliver(plain(ALERT, bytes((2, 40))), to_server=True)
    assert link.server.error is None


def test_messages_in_the_clear_once_there_are_keys() -> None:
    link, _ = waiting_server()
    link.deliver(plain(HANDSHAKE, piece(1, FINISHED, 32, 0, bytes(32))), to_server=True)
    link.deliver(plain(HANDSHAKE, piece(1, 11, 4, 0, bytes(4))), to_server=True)
    assert link.server.error is None
    assert link.server.timeout() == pytest.approx(1.01)


@pytest.mark.parametrize(
    ("content_type", "content", "kind"),
    [
        (HANDSHAKE, b"", DecodeError),
        (HANDSHAKE, b"x", DecodeError),
        (HANDSHAKE, piece(1, FINISHED, 5, 4, b"xx")[:-2] + b"", DecodeError),
        (HANDSHAKE, piece(1, 11, 1, 0, b"")[:9] + b"\x00\x00\x02xx", IllegalParameter),
        (HANDSHAKE, piece(1, FINISHED, 2**24 - 1, 0, b"x"), IllegalParameter),
        (HANDSHAKE, piece(1, 11, 9, 0, b"x") + piece(1, 11, 8, 1, b"x"), IllegalParameter),
        (HANDSHAKE, piece(1, 11, 9, 0, b"x") + piece(1, 15, 9, 1, b"x"), IllegalParameter),
        (HANDSHAKE, piece(1, 11, 4, 0, bytes(4)), UnexpectedMessage),
        (DATA, b"data", UnexpectedMessage),
        (DATA, b"", UnexpectedMessage),
        (ALERT, b"\x02", DecodeError),
        (ALERT, b"", DecodeError),
        (ALERT, b"\x02\x28\x00", DecodeError),
        (ALERT, bytes((2, 40)), PeerAlert),
        (ALERT, bytes((1, 0)), PeerAlert),
        (DATA, bytes(2**14 + 1), RecordOverflow),
    ],
)
def test_what_is_wrong_and_authentic_ends_the_connection(content_type: int, content: bytes, kind: type[Error]) -> None:
    link, tap = waiting_server()
    link.deliver(tap.keys(True, 2).seal(2, 0, content_type, content), to_server=True)
    assert type(link.server.error) is kind


def test_a_message_of_the_old_epoch_when_the_handshake_is_over() -> None:
    link, tap = established()
    link.deliver(tap.keys(True, 2).seal(2, 50, HANDSHAKE, piece(2, FINISHED, 32, 0, bytes(32))), to_server=True)
    assert isinstance(link.server.error, UnexpectedMessage)


@pytest.mark.parametrize("order", [(4, 5), (5, 4)])
def test_a_message_too_many_before_the_keys_change(order: tuple[int, int]) -> None:
    """Another Finished behind the server's, or before it."""
    link, tap = tapped(network=losing(1))
    link.start().wait(0.02)
    seen = link.seen(tap, by_client=False)
    flight = [f for each in seen if each.epoch == 2 for f in each.fragments]
    link.deliver(link.sent[1].data[: 13 + 98], to_server=False)  # the ServerHello
    keys = tap.keys(False, 2)
    extra = piece(5, FINISHED, 32, 0, bytes(32))
    contents = {f.message_seq: f.encode() for f in flight} | {5: extra}
    for sequence, seq in enumerate((1, 2, 3, *order), start=50):
        link.deliver(keys.seal(2, sequence, HANDSHAKE, contents[seq]), to_server=False)
    assert isinstance(link.client.error, UnexpectedMessage)
    assert link.client.error.section.startswith("RFC 9147")


@pytest.mark.parametrize("version", [DTLS12, DTLS13])
def test_handshake_where_nobody_can_forge(version: dict[str, str]) -> None:
    """The peer's own ChangeCipherSpec is no malformed record (RFC 6347 section 4.1)."""
    either = {"dtls": {"forgery_resistant": True}, **version}
    linked(either, either).handshake()
