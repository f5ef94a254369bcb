"""The record layer (RFC 9846 section 5): sizes, authenticity, padding, unprotected records, early data passed over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caesura.context import Limits, Verify
from caesura.crypto.secrets import Secret, TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.engines import HANDSHAKE_OPERATIONS, InlineEngine, Operation
from caesura.errors import BadRecordMAC, IllegalParameter, PeerAlert, RecordOverflow, UnexpectedMessage
from caesura.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE, RecordKey, record_key
from caesura.wire.extensions import EARLY_DATA, RECORD_SIZE_LIMIT, Extensions
from caesura.wire.messages import EncryptedExtensions, KeyUpdate, decode_message
from caesura.wire.registries import CipherSuite, ExtensionType, HandshakeType, KeyUpdateRequest
from tests.support.link import link, received
from tests.tls.puppet import PREFIX, Puppet, PuppetClient, PuppetServer, refused
from tests.tls.states import (
    STATES,
    client,
    client_connected,
    fresh_session,
    server,
    server_connected,
    wait_client_certificate,
    wait_client_finished,
    wait_client_finished_resumed,
    wait_client_hello,
    wait_client_hello_again,
    wait_server_hello,
)
from tests.tls.world import asking_context, client_context, identity, server_context

Connected = pytest.mark.parametrize("state", [client_connected, server_connected], ids=lambda state: state.__name__)
Protected = pytest.mark.parametrize(
    "state",
    [state for state in STATES if state().write_key is not None],
    ids=lambda state: state.__name__,
)
THROUGH_ENGINE = InlineEngine(operations=HANDSHAKE_OPERATIONS | {Operation.SEAL_RECORD, Operation.OPEN_RECORD})


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_record_that_is_too_long(state: Callable[[], Puppet]) -> None:
    """Known from its header: not a byte of it is waited for."""
    limit = 2**14 if state().write_key is None else 2**14 + 256
    for length in (limit + 1, 2**16 - 1):
        puppet = state()
        puppet.feed(bytes((23 if puppet.write_key else 22, 3, 3)) + length.to_bytes(2, "big"))
        refused(puppet, RecordOverflow)
    puppet = state()
    puppet.feed(bytes((23 if puppet.write_key else 22, 3, 3)) + limit.to_bytes(2, "big"))
    assert puppet.connection.error is None


@Connected
def test_longest_record_there_may_be(state: Callable[[], Puppet]) -> None:
    puppet = state()
    puppet.send(APPLICATION_DATA, bytes(2**14))
    puppet.send(APPLICATION_DATA, bytes(2**14 - 9), 9)
    assert puppet.connection.read() == bytes(2**15 - 9)
    assert puppet.connection.error is None


@pytest.mark.parametrize(("content", "padding"), [(2**14 + 1, 0), (2**14, 1), (0, 2**14 + 1), (10, 2**14)])
@Connected
def test_inner_plaintext_that_is_too_long(state: Callable[[], Puppet], content: int, padding: int) -> None:
    """RFC 9846 section 5.4: content, type and padding together are at most 2^14 + 1 bytes."""
    puppet = state()
    puppet.send(APPLICATION_DATA, bytes(content), padding)
    refused(puppet, RecordOverflow)


@pytest.mark.parametrize("engine", [None, THROUGH_ENGINE], ids=["inline", "through an engine"])
def test_what_we_send_is_cut_into_records_of_full_size(engine: InlineEngine | None) -> None:
    settings = {} if engine is None else {"engine": engine}
    pair = link(client_context(**settings), server_context(**settings)).handshake()
    data = bytes(range(256)) * 200
    pair.client.write(data)
    records = []
    wire = pair.client.data_to_send(0.0)
    while wire:
        stop = 5 + int.from_bytes(wire[3:5], "big")
        records.append(stop - 5)
        pair.server.receive_data(wire[:stop], 0.0)
        wire = wire[stop:]
    assert records == [2**14 + 17] * 3 + [len(data) - 3 * 2**14 + 17]
    assert pair.server.read() == data


@pytest.mark.parametrize("size", [1, 5, 100])
def test_read_gives_as_much_as_is_asked_for(size: int) -> None:
    pair = link(client_context(), server_context()).handshake()
    for piece in (b"one", b"two and more", b"three"):
        pair.client.write(piece)
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert pair.server.pending() == 20
    assert pair.server.read(0) == b""
    got = []
    while piece := pair.server.read(size):
        assert len(piece) <= size
        got.append(piece)
    assert b"".join(got) == b"onetwo and morethree"
    assert pair.server.pending() == 0


def test_data_that_came_in_many_small_records_is_read_in_few_calls() -> None:
    """How finely a peer cuts its data must not decide how long it takes to read it."""
    pair = link(client_context(), server_context()).handshake()
    data = bytes(index % 251 for index in range(3000))
    for index in range(len(data)):
        pair.client.write(data[index : index + 1])
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    assert pair.server.pending() == len(data)
    found = [pair.server.read(size) for size in (1, 1, 7, 1000, 0, 1500, 4096, 5)]
    assert [len(each) for each in found] == [1, 1, 7, 1000, 0, 1500, 491, 0]
    assert b"".join(found) == data


def test_nothing_is_sent_for_nothing() -> None:
    pair = link(client_context(), server_context()).handshake()
    pair.client.write(b"")
    assert pair.client.data_to_send(0.0) == b""


# --- authenticity ----------------------------------------------------------------------------------------------------


@Protected
def test_record_that_does_not_open(state: Callable[[], Puppet]) -> None:
    puppet = state()
    record = puppet.record(APPLICATION_DATA, b"data")
    puppet.feed(record[:-1] + bytes((record[-1] ^ 1,)))
    refused(puppet, BadRecordMAC)


@pytest.mark.parametrize("position", [1, 2, 3], ids=["version", "version", "length"])
@Connected
def test_header_is_authenticated(state: Callable[[], Puppet], position: int) -> None:
    puppet = state()
    record = bytearray(puppet.record(APPLICATION_DATA, bytes(1000)))
    record[position] ^= 1
    puppet.feed(bytes(record) + bytes(256))
    refused(puppet, BadRecordMAC)


@pytest.mark.parametrize("length", range(17))
@Connected
def test_record_shorter_than_a_tag_and_a_type(state: Callable[[], Puppet], length: int) -> None:
    puppet = state()
    puppet.feed(bytes((23, 3, 3, 0, length)) + bytes(length))
    refused(puppet, BadRecordMAC)


@Connected
def test_record_of_a_tag_alone_has_no_type(state: Callable[[], Puppet]) -> None:
    """It opens, and holds not even the byte that says what it is (RFC 9846 section 5.4)."""
    puppet = state()
    assert puppet.write_key is not None
    key = puppet.write_key
    header = bytes((23, 3, 3, 0, 16))
    puppet.feed(header + key._encrypt((key._iv ^ key.sequence).to_bytes(12, "big"), b"", header))
    refused(puppet, UnexpectedMessage)


@Connected
def test_records_neither_repeat_nor_change_places(state: Callable[[], Puppet]) -> None:
    puppet = state()
    first, second = (puppet.record(APPLICATION_DATA, text) for text in (b"first", b"second"))
    puppet.feed(first)
    puppet.feed(first)
    refused(puppet, BadRecordMAC)
    assert puppet.connection.read() == b""  # given out by the events of `refused`
    puppet = state()
    first, second = (puppet.record(APPLICATION_DATA, text) for text in (b"first", b"second"))
    puppet.feed(second)
    refused(puppet, BadRecordMAC)


@Connected
def test_data_before_a_failure_is_still_given_out(state: Callable[[], Puppet]) -> None:
    puppet = state()
    good = puppet.record(APPLICATION_DATA, b"good")
    puppet.feed(good + good)
    assert isinstance(puppet.connection.error, BadRecordMAC)
    assert puppet.connection.read() == b"good"


@pytest.mark.parametrize("suite", SUITES, ids=lambda code: CipherSuite(code).name)
def test_the_short_way_seals_the_same_bytes(suite: CipherSuite) -> None:
    """Of every size; and a record is its own even when the next one is sealed."""
    secret = TrafficSecret(bytes(range(SUITES[suite].hash.digest_size)), SUITES[suite])
    short, long = record_key(secret, PREFIX), record_key(secret, PREFIX)
    sizes = [1, 2047, 2048, 2049, 16383, 16384, 3000, 16384]
    contents = [bytes((number,)) * size for number, size in enumerate(sizes)]
    records = [short.seal_data(content) for content in contents]
    if records[0] is not None:  # the suite has a short way
        assert records == [long.seal(APPLICATION_DATA, content) for content in contents]


@pytest.mark.parametrize("suite", SUITES, ids=lambda code: CipherSuite(code).name)
def test_ciphertext_is_that_of_the_suite(suite: CipherSuite) -> None:
    """Each record has a nonce of its own, and the two directions have keys of their own."""
    keys = [
        RecordKey(TrafficSecret(bytes((side,)) * SUITES[suite].hash.digest_size, SUITES[suite]), PREFIX)
        for side in (1, 2)
    ]
    sealed = {key.seal(APPLICATION_DATA, b"the same") for key in keys for _ in range(20)}
    assert len(sealed) == 40
    following = keys[0].next_generation()
    assert following.sequence == 0
    assert following.seal(APPLICATION_DATA, b"the same") not in sealed


# --- unprotected records where there are keys ------------------------------------------------------------------------

ALERT_IN_THE_CLEAR = bytes((ALERT, 3, 3, 0, 2, 2, 40))
CLOSE_NOTIFY_IN_THE_CLEAR = bytes((ALERT, 3, 3, 0, 2, 1, 0))
MAY_FAIL_BEFORE_IT_HAS_KEYS = (wait_client_finished, wait_client_finished_resumed, wait_client_certificate)


@pytest.mark.parametrize("record", [ALERT_IN_THE_CLEAR, CLOSE_NOTIFY_IN_THE_CLEAR], ids=["error", "close_notify"])
@Protected
def test_unprotected_alert(state: Callable[[], Puppet], record: bytes) -> None:
    """A client that cannot take the ServerHello has no keys to say so with. Nobody else has such an excuse.

    An attacker who could end the data of a connection with an alert of his own could cut it short unnoticed.
    """
    puppet = state()
    puppet.feed(record)
    refused(puppet, PeerAlert if state in MAY_FAIL_BEFORE_IT_HAS_KEYS else UnexpectedMessage)


@Connected
def test_unprotected_alert_after_a_key_update(state: Callable[[], Puppet]) -> None:
    puppet = state()
    puppet.say(KeyUpdate(KeyUpdateRequest.update_not_requested))
    puppet.feed(CLOSE_NOTIFY_IN_THE_CLEAR)
    refused(puppet, UnexpectedMessage)


def test_unprotected_alert_behind_a_protected_record() -> None:
    puppet = wait_client_certificate()
    puppet.say(puppet.certificate(identity("client")))
    puppet.feed(ALERT_IN_THE_CLEAR)
    refused(puppet, UnexpectedMessage)


# --- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [1, 2, 100, 2**14 - 4])
@Connected
def test_padding_is_removed(state: Callable[[], Puppet], padding: int) -> None:
    puppet = state()
    puppet.send(APPLICATION_DATA, b"data", padding)
    puppet.send(APPLICATION_DATA, b"zeros\x00\x00", 3)
    assert puppet.connection.read() == b"datazeros\x00\x00"


def test_padded_handshake_messages() -> None:
    puppet = wait_server_hello().greet()
    for message in (puppet.encrypted_extensions(), puppet.certificate()):
        puppet.transcript.add(message.encode())
        puppet.send(HANDSHAKE, message.raw, 50)
    proof = puppet.prove(puppet.identity)
    puppet.transcript.add(proof.encode())
    puppet.send(HANDSHAKE, proof.raw, 1)
    puppet.finish()
    assert puppet.connection.handshake_complete


# --- record_size_limit (RFC 8449) -----------------------------------------------------------------------------------


def sizes(wire: bytes) -> list[int]:
    """The inner lengths of protected records."""
    found = []
    while wire:
        stop = 5 + int.from_bytes(wire[3:5], "big")
        if wire[0] == APPLICATION_DATA:
            found.append(stop - 5 - 16)
        wire = wire[stop:]
    return found


@pytest.mark.parametrize(("ours", "theirs"), [(64, 64), (100, None), (512, 4096), (16_385, 64)])
def test_record_size_limit_is_kept_both_ways(ours: int, theirs: int | None) -> None:
    """A client's limit binds the server from its first protected record on, a server's the client's."""
    pair = link(client_context(record_size_limit=ours), server_context(record_size_limit=theirs)).start()
    pair.server.receive_data(pair.client.data_to_send(0.0), 0.0)
    flight = pair.server.data_to_send(0.0)
    assert max(sizes(flight)) <= ours
    pair.client.receive_data(flight, 0.0)
    flight = pair.client.data_to_send(0.0)
    assert max(sizes(flight)) <= (theirs or 16_385)
    pair.server.receive_data(flight, 0.0)
    pair.exchange()
    assert pair.client.handshake_complete
    assert pair.server.handshake_complete
    data = bytes(2000)
    pair.client.write(data)
    wire = pair.client.data_to_send(0.0)
    assert max(sizes(wire)) == min(theirs or 16_385, 2001)
    pair.server.receive_data(wire, 0.0)
    assert pair.server.read() == data
    pair.server.write(data)
    wire = pair.server.data_to_send(0.0)
    assert max(sizes(wire)) == min(ours, 2001)
    pair.client.receive_data(wire, 0.0)
    assert pair.client.read() == data


def test_without_the_clients_wish_there_is_no_limit() -> None:
    """The extension is the client's to offer; a server's setting alone changes nothing."""
    pair = link(client_context(), server_context(record_size_limit=64)).handshake()
    pair.client.write(bytes(1000))
    wire = pair.client.data_to_send(0.0)
    assert sizes(wire) == [1001]
    pair.server.receive_data(wire, 0.0)
    assert pair.server.read() == bytes(1000)


def limited_server() -> PuppetClient:
    puppet = PuppetClient(server(server_context(record_size_limit=100)))
    hello = puppet.hello()
    hello.extensions.put(RECORD_SIZE_LIMIT, 2**16 - 1)  # beyond what the protocol has: a server must not mind
    return puppet.start(hello).finish()


def limited_client() -> PuppetServer:
    puppet = PuppetServer(client(client_context(record_size_limit=100)), identity())
    puppet.greet()
    extensions = Extensions()
    extensions.put(RECORD_SIZE_LIMIT, 64)
    puppet.say(EncryptedExtensions(extensions))
    puppet.say(puppet.certificate_request())
    for start in range(0, len(raw := puppet.certificate().encode()), 99):
        puppet.send(HANDSHAKE, raw[start : start + 99])
    puppet.transcript.add(raw)
    puppet.say(puppet.prove(puppet.identity))
    return puppet.finish()


@pytest.mark.parametrize("state", [limited_server, limited_client], ids=["server", "client"])
def test_record_beyond_the_limit_we_asked_for(state: Callable[[], Puppet]) -> None:
    """Padding counts, so does the content type."""
    puppet = state()
    assert puppet.connection.handshake_complete
    puppet.send(APPLICATION_DATA, bytes(99))
    puppet.send(APPLICATION_DATA, bytes(90), 9)
    assert puppet.connection.error is None
    puppet.send(APPLICATION_DATA, bytes(90), 10)
    refused(puppet, RecordOverflow)
    puppet = state()
    puppet.send(APPLICATION_DATA, bytes(100))
    refused(puppet, RecordOverflow)


def test_server_answers_with_its_limit() -> None:
    for limit in (None, 100):
        puppet = PuppetClient(server(server_context(record_size_limit=limit)))
        hello = puppet.hello()
        hello.extensions.put(RECORD_SIZE_LIMIT, 2**14)
        puppet.start(hello)
        answer = decode_message(EncryptedExtensions, puppet.messages[1])
        assert answer.extensions.get(RECORD_SIZE_LIMIT) == (limit or 16_385)


@pytest.mark.parametrize(("limit", "kind"), [(63, IllegalParameter), (16_386, IllegalParameter)])
def test_limit_that_none_may_answer(limit: int, kind: type[IllegalParameter]) -> None:
    """RFC 8449 section 4: below 64, and on a client beyond that of the protocol."""
    puppet = PuppetServer(client(client_context(record_size_limit=100)), identity())
    puppet.greet()
    extensions = Extensions()
    extensions.put_data(ExtensionType.record_size_limit, limit.to_bytes(2, "big"))
    puppet.say(EncryptedExtensions(extensions))
    refused(puppet, kind)


# --- early data, which is refused (RFC 9846 section 4.3.10) ----------------------------------------------------------


def early(puppet: PuppetClient) -> PuppetClient:
    """Offer early data."""
    hello = puppet.hello()
    hello.extensions.put(EARLY_DATA, True)
    return puppet.start(hello)


def undecipherable(size: int) -> bytes:
    key = RecordKey(TrafficSecret(bytes(32), SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]), PREFIX)
    return key.seal(APPLICATION_DATA, bytes(size - 17))


@pytest.mark.parametrize("engine", [InlineEngine(), THROUGH_ENGINE], ids=["inline", "through an engine"])
def test_early_data_is_passed_over(engine: InlineEngine) -> None:
    puppet = early(PuppetClient(server(server_context(engine=engine))))
    for size in (17, 100, 2**14):
        puppet.feed(undecipherable(size))
    assert puppet.connection.error is None
    puppet.finish()
    assert puppet.connection.handshake_complete
    puppet.feed(undecipherable(100))  # over: the client has shown its keys
    refused(puppet, BadRecordMAC)


def test_early_data_is_passed_over_before_a_second_hello() -> None:
    session, _, context = fresh_session()
    context = server_context(groups=["secp256r1"], ticket_keys=context.ticket_keys)
    puppet = PuppetClient(server(context))
    hello = puppet.hello()
    hello.extensions.put(EARLY_DATA, True)
    puppet.bind(hello, session)
    puppet.start(hello)
    assert puppet.retry is not None
    for size in (17, 2**14 + 200):  # longer than a record in the clear may be
        puppet.feed(undecipherable(size))
    assert puppet.connection.error is None
    assert not puppet.pull()


@pytest.mark.parametrize("groups", [["x25519"], ["secp256r1"]], ids=["answered", "asked to retry"])
def test_more_early_data_than_is_passed_over(groups: list[str]) -> None:
    puppet = early(PuppetClient(server(server_context(groups=groups, limits=Limits(early_data_skipped=1000)))))
    puppet.feed(undecipherable(990))
    assert puppet.connection.error is None
    puppet.feed(undecipherable(17))
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("state", [wait_client_hello, wait_client_hello_again, wait_client_finished])
def test_early_data_that_was_not_offered(state: Callable[[], PuppetClient]) -> None:
    puppet = state()
    puppet.feed(undecipherable(100))
    refused(puppet, BadRecordMAC if puppet.write_key is not None else UnexpectedMessage)


def test_early_data_is_not_accepted() -> None:
    puppet = early(PuppetClient(server()))
    extensions = decode_message(EncryptedExtensions, puppet.messages[1]).extensions
    assert ExtensionType.early_data not in extensions
    assert [raw[0] for raw in puppet.messages].count(HandshakeType.end_of_early_data) == 0


# --- failures are told under the keys of the moment ------------------------------------------------------------------


def test_client_that_cannot_take_the_server_hello_says_so_in_the_clear() -> None:
    puppet = wait_server_hello()
    puppet.say(puppet.hello(cipher_suite=CipherSuite.TLS_AES_256_GCM_SHA384, legacy_compression_method=1))
    assert puppet.connection.data_to_send(0.0) == bytes((ALERT, 3, 3, 0, 2, 2, 47))


def test_server_that_cannot_take_the_hello_says_so_in_the_clear() -> None:
    puppet = wait_client_hello()
    puppet.say(puppet.hello(legacy_compression_methods=b"\x01"))
    assert puppet.connection.data_to_send(0.0) == bytes((ALERT, 3, 3, 0, 2, 2, 47))


def test_server_that_refuses_a_client_tells_it_under_application_keys() -> None:
    """RFC 9846 section 4.5.3: what follows the server's Finished is under the application keys."""
    pair = link(client_context(), asking_context(Verify.REQUIRED)).start()
    pair.exchange()
    assert isinstance(pair.client.error, PeerAlert)
    assert pair.client.handshake_complete  # it had sent its Finished, and hears of it afterwards


def test_secret_is_a_secret() -> None:
    """Keys and secrets of a connection do not show themselves."""
    puppet = client_connected()
    shown = repr(puppet.read_key) + repr(puppet.application) + repr(puppet.secret)
    assert puppet.application is not None
    assert isinstance(puppet.application.client, Secret)
    assert puppet.application.client.reveal().hex() not in shown
    assert repr(puppet.application.client.reveal()) not in shown


def test_received_helper_collects_data() -> None:
    pair = link(client_context(), server_context()).handshake()
    pair.server.write(b"hello")
    pair.exchange()
    assert received(pair.client_events) == b"hello"
