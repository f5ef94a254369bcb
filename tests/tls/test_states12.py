"""TLS 1.2: each message in each state of both roles, and every kind of record; what is not listed is refused, once.

RFC 5246 section 7.4 ("sending handshake messages in an unexpected order results in a fatal error") and sections 7.1 and
7.2 for ChangeCipherSpec and alerts, which are not what they are in TLS 1.3.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caesura.context import Limits
from caesura.errors import (
    AlertDescription,
    BadRecordMAC,
    IllegalParameter,
    NoRenegotiation,
    PeerAlert,
    UnexpectedEOF,
    UnexpectedMessage,
)
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE
from caesura.wire.extensions import Extensions
from caesura.wire.messages import (
    CertificateVerify,
    EncryptedExtensions,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    NewSessionTicket,
)
from caesura.wire.messages12 import ClientKeyExchange, HelloRequest, ServerHelloDone
from caesura.wire.registries import KeyUpdateRequest
from tests.support.link import drain
from tests.tls.puppet import CCS, refused, silent, told
from tests.tls.puppet12 import Puppet12, PuppetClient12, PuppetServer12
from tests.tls.states import client, server
from tests.tls.states12 import (
    CONNECTED,
    SPEC,
    STATES12,
    State12,
    client12,
    client_connected,
    server_connected,
    wait_client_certificate_verify,
    wait_client_hello,
    wait_client_key_exchange,
    wait_client_spec,
    wait_server_certificate,
    wait_server_hello,
    wait_server_spec,
    wait_server_ticket,
)
from tests.tls.world import EITHER, client_context, identity, server_context

States = pytest.mark.parametrize("state", STATES12, ids=lambda state: state.__name__)
Connected = pytest.mark.parametrize(
    "state", sorted(CONNECTED, key=lambda state: state.__name__), ids=lambda s: s.__name__
)


def a_server() -> PuppetServer12:
    """Somebody who can write what servers write."""
    return wait_server_hello()


def a_client() -> PuppetClient12:
    return wait_client_hello()


def either_server() -> PuppetClient12:
    """A server that speaks both versions."""
    return PuppetClient12(server(server_context(**EITHER)))


def finished(puppet: Puppet12) -> HandshakeMessage:
    return puppet.finished() if puppet.main is not None else Finished(bytes(12))


def exchange(puppet: Puppet12) -> HandshakeMessage:
    share = puppet.share if isinstance(puppet, PuppetClient12) and puppet.share else bytes(range(32))
    return ClientKeyExchange(share)


def raw(msg_type: int) -> Callable[[Puppet12], bytes]:
    return lambda _: bytes((msg_type, 0, 0, 0))


def of_server(name: str) -> Callable[[Puppet12], HandshakeMessage]:
    return lambda puppet: getattr(puppet if isinstance(puppet, PuppetServer12) else a_server(), name)()


MESSAGES: dict[str, Callable[[Puppet12], HandshakeMessage | bytes]] = {
    "hello_request": lambda _: HelloRequest(),
    "client_hello": lambda puppet: (puppet if isinstance(puppet, PuppetClient12) else a_client()).hello(),
    "server_hello": of_server("hello"),
    "hello_verify_request": raw(3),  # of DTLS
    "new_session_ticket": of_server("ticket"),
    "new_session_ticket of TLS 1.3": lambda _: NewSessionTicket(60, 0, b"", b"ticket", Extensions()),
    "end_of_early_data": raw(5),  # of TLS 1.3
    "encrypted_extensions": lambda _: EncryptedExtensions(Extensions()),
    "certificate": lambda puppet: (
        a_client().certificate(identity("client")) if isinstance(puppet, PuppetClient12) else a_server().certificate()
    ),
    "empty certificate": lambda _: a_client().certificate(None),
    "server_key_exchange": of_server("key_exchange"),
    "certificate_request": of_server("certificate_request"),
    "server_hello_done": lambda _: ServerHelloDone(),
    "certificate_verify": lambda puppet: puppet.prove(identity("client")),
    "client_key_exchange": exchange,
    "finished": finished,
    "certificate_status": of_server("status"),
    "key_update": lambda _: KeyUpdate(KeyUpdateRequest.update_not_requested),
    "message_hash": raw(254),
    "an unknown one": raw(99),
}


@pytest.mark.parametrize("name", MESSAGES)
@States
def test_message_in_state(state: State12, name: str) -> None:
    puppet = state()
    assert puppet.connection.error is None
    drain(puppet.connection)
    puppet.pull()
    puppet.say(MESSAGES[name](puppet))
    may = name in STATES12[state] or (
        name == "new_session_ticket of TLS 1.3" and "new_session_ticket" in STATES12[state]
    )
    if may:
        assert not isinstance(puppet.connection.error, UnexpectedMessage), puppet.connection.error
    else:
        refused(puppet, UnexpectedMessage)


@States
def test_every_listed_message_is_one_of_the_table(state: State12) -> None:
    assert STATES12[state] <= MESSAGES.keys()


@States
def test_states_are_where_they_say(state: State12) -> None:
    """The puppets have brought the connections there without anything going wrong, and no further."""
    puppet = state()
    connection = puppet.connection
    assert connection.error is None
    assert connection.handshake_complete is (state in CONNECTED)


# --- ChangeCipherSpec (section 7.1) ----------------------------------------------------------------------------------


@States
def test_change_cipher_spec_in_state(state: State12) -> None:
    """It may come where it has to, and nowhere else: not even once too often."""
    puppet = state()
    puppet.pull()
    if state in SPEC:
        puppet.spec()
        assert puppet.connection.error is None
        puppet.write_key = None
    puppet.feed(CCS)
    if state in SPEC:
        refused(puppet, UnexpectedMessage)
    else:
        assert isinstance(puppet.connection.error, UnexpectedMessage)


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x02", b"\x01\x01"], ids=repr)
@States
def test_change_cipher_spec_of_another_value(state: State12, content: bytes) -> None:
    puppet = state()
    puppet.feed(bytes((CHANGE_CIPHER_SPEC, 3, 3, 0, len(content))) + content)
    assert isinstance(puppet.connection.error, UnexpectedMessage)


def test_change_cipher_spec_before_any_hello_is_found_out() -> None:
    """A client that also speaks TLS 1.3 passes it over at first, and knows better when the ServerHello comes."""
    puppet = PuppetServer12(client(client_context(**EITHER)), identity())
    puppet.feed(CCS)
    assert puppet.connection.error is None
    puppet.say(puppet.hello())
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("state", [wait_server_spec, wait_client_spec], ids=lambda state: state.__name__)
def test_finished_without_change_cipher_spec(state: State12) -> None:
    """In the clear it proves nothing, and protected it cannot be opened yet."""
    puppet = state()
    puppet.say(puppet.finished())
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("state", sorted(SPEC, key=lambda state: state.__name__), ids=lambda state: state.__name__)
def test_part_of_a_message_before_the_keys_change(state: State12) -> None:
    puppet = state()
    puppet.pull()
    puppet.send(HANDSHAKE, b"\x14\x00")
    assert puppet.connection.error is None
    puppet.feed(CCS)
    refused(puppet, UnexpectedMessage)


def before_a_key_change() -> list[tuple[str, Callable[[], tuple[Puppet12, bytes]]]]:
    """Those messages behind which nothing but ChangeCipherSpec may come."""

    def last_of_server() -> tuple[Puppet12, bytes]:
        puppet = wait_server_certificate()
        puppet.say(puppet.certificate(), puppet.key_exchange())
        return puppet, ServerHelloDone().encode()

    def ticket() -> tuple[Puppet12, bytes]:
        puppet = wait_server_ticket()
        return puppet, puppet.ticket().encode()

    def exchange_of_client() -> tuple[Puppet12, bytes]:
        puppet = wait_client_key_exchange()
        return puppet, ClientKeyExchange(puppet.share).encode()

    def proof() -> tuple[Puppet12, bytes]:
        puppet = wait_client_certificate_verify()
        return puppet, puppet.prove(identity("client")).encode()

    return [
        ("server_hello_done", last_of_server),
        ("new_session_ticket", ticket),
        ("client_key_exchange", exchange_of_client),
        ("certificate_verify", proof),
    ]


@pytest.mark.parametrize("behind", [b"\x14", b"\x14\x00\x00\x02\x00\x00"], ids=["part of a message", "a message"])
@pytest.mark.parametrize("said", [pytest.param(said, id=name) for name, said in before_a_key_change()])
def test_messages_do_not_span_key_changes(said: Callable[[], tuple[Puppet12, bytes]], behind: bytes) -> None:
    puppet, message = said()
    puppet.send(HANDSHAKE, message + behind)
    assert isinstance(puppet.connection.error, UnexpectedMessage)


@pytest.mark.parametrize("state", [wait_server_spec, wait_client_spec], ids=lambda state: state.__name__)
def test_message_behind_the_finished(state: State12) -> None:
    """The handshake is over with it; a HelloRequest in the same record was never sent in good faith."""
    puppet = state()
    puppet.spec()
    puppet.send(HANDSHAKE, puppet.finished().encode() + HelloRequest().encode())
    assert isinstance(puppet.connection.error, UnexpectedMessage)
    assert not puppet.connection.handshake_complete


# --- records ---------------------------------------------------------------------------------------------------------


@States
def test_application_data_only_after_the_handshake(state: State12) -> None:
    """Not between ChangeCipherSpec and Finished either: whoever sends it has confirmed nothing."""
    for data in (b"data", b""):
        puppet = state()
        puppet.pull()
        puppet.send(APPLICATION_DATA, data)
        if state in CONNECTED:
            assert puppet.connection.error is None
            assert puppet.connection.read() == data
        else:
            refused(puppet, UnexpectedMessage)


@States
def test_record_that_is_not_protected_as_it_must_be(state: State12) -> None:
    """There is no difference between a record in the clear and one that was tampered with."""
    for content_type in (HANDSHAKE, APPLICATION_DATA, ALERT):
        puppet = state()
        puppet.pull()
        if puppet.write_key is not None:
            puppet.feed(bytes((content_type, 3, 3, 0, 40)) + bytes(40))
            refused(puppet, BadRecordMAC)


@States
def test_protected_record_that_is_too_short(state: State12) -> None:
    for size in (0, 1, 8, 23):
        puppet = state()
        puppet.pull()
        if puppet.write_key is not None:
            puppet.feed(bytes((APPLICATION_DATA, 3, 3, 0, size)) + bytes(size))
            refused(puppet, BadRecordMAC)


@pytest.mark.parametrize("content_type", [0, 19, 24, 25, 255])
@States
def test_record_type_that_is_none(state: State12, content_type: int) -> None:
    puppet = state()
    puppet.pull()
    puppet.send(content_type, b"\x01")
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("content_type", [HANDSHAKE, ALERT])
@States
def test_record_without_content(state: State12, content_type: int) -> None:
    """RFC 5246 section 6.2.1: only application data may be empty."""
    puppet = state()
    puppet.pull()
    puppet.send(content_type, b"")
    refused(puppet, UnexpectedMessage)


@Connected
def test_empty_records_have_a_limit(state: State12) -> None:
    limit = Limits().empty_records
    puppet = state()
    for _ in range(limit):
        puppet.send(APPLICATION_DATA, b"")
    puppet.send(APPLICATION_DATA, b"x")
    for _ in range(limit):
        puppet.send(APPLICATION_DATA, b"")
    assert puppet.connection.error is None
    puppet.send(APPLICATION_DATA, b"")
    refused(puppet, UnexpectedMessage)


@Connected
def test_record_is_not_opened_twice(state: State12) -> None:
    puppet = state()
    record = puppet.record(APPLICATION_DATA, b"once")
    puppet.feed(record)
    puppet.feed(record)
    assert puppet.connection.read() == b"once"
    refused(puppet, BadRecordMAC)


@Connected
def test_record_of_another_version(state: State12) -> None:
    """The version is authenticated with the record: it may be ignored, but not changed on the way."""
    puppet = state()
    record = puppet.record(APPLICATION_DATA, b"data")
    puppet.feed(record[:2] + b"\x02" + record[3:])
    refused(puppet, BadRecordMAC)


@Connected
def test_the_type_of_a_record_is_authenticated(state: State12) -> None:
    puppet = state()
    record = puppet.record(APPLICATION_DATA, bytes((1, 0)))
    puppet.feed(bytes((ALERT,)) + record[1:])
    refused(puppet, BadRecordMAC)


# --- alerts (section 7.2) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description",
    [AlertDescription.handshake_failure, AlertDescription.internal_error, AlertDescription.bad_certificate],
)
@States
def test_fatal_alert_ends_the_connection_silently(state: State12, description: AlertDescription) -> None:
    puppet = state()
    puppet.pull()
    told(puppet, description)


@States
def test_close_notify_in_each_state(state: State12) -> None:
    puppet = state()
    drain(puppet.connection)
    puppet.pull()
    puppet.send(ALERT, bytes((1, AlertDescription.close_notify)))
    assert puppet.connection.close_notify_received
    if state in CONNECTED:
        assert puppet.connection.error is None
        puppet.connection.write(b"still")
        assert puppet.pull() == [(APPLICATION_DATA, b"still")]
    else:
        refused(puppet, PeerAlert)


@States
def test_warnings_only_warn(state: State12) -> None:
    """As often as the limit says; the next one ends the connection."""
    puppet = state()
    puppet.pull()
    for number in range(Limits().warning_alerts):
        puppet.send(ALERT, bytes((1, AlertDescription.no_renegotiation if number % 2 else 199)))
        assert puppet.connection.error is None
    assert puppet.pull() == []
    puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    refused(puppet, UnexpectedMessage)


def test_warnings_end_what_may_become_tls13() -> None:
    """There the level says nothing (RFC 9846 section 6): only one warning is known to precede a hello of TLS 1.2."""
    for puppet in (PuppetServer12(client(client_context(**EITHER)), identity()), either_server()):
        puppet.send(ALERT, bytes((1, AlertDescription.no_renegotiation)))
        refused(puppet, PeerAlert)


def test_server_may_warn_of_the_name_before_its_hello() -> None:
    """RFC 6066 section 3 advises against it, and servers do it."""
    warning = bytes((1, AlertDescription.unrecognized_name))
    for context in (client12(), client_context(**EITHER)):
        puppet = PuppetServer12(client(context), identity())
        puppet.send(ALERT, warning)
        assert puppet.connection.error is None
        puppet.greet().prove_and_hear().finish()
        assert puppet.connection.handshake_complete
    puppet = PuppetServer12(client(client_context()), identity())  # TLS 1.3 alone
    puppet.send(ALERT, warning)
    refused(puppet, PeerAlert)
    puppet = wait_server_hello()
    puppet.send(ALERT, bytes((2, AlertDescription.unrecognized_name)))
    refused(puppet, PeerAlert)


@pytest.mark.parametrize("level", [0, 3, 255])
@States
def test_level_that_is_none(state: State12, level: int) -> None:
    puppet = state()
    puppet.pull()
    puppet.send(ALERT, bytes((level, AlertDescription.internal_error)))
    refused(puppet, IllegalParameter)


@pytest.mark.parametrize("content", [b"\x02", b"\x02\x28\x00", b"\x02\x28\x02\x28"], ids=["half", "and more", "two"])
@States
def test_record_of_alert_that_is_not_one_alert(state: State12, content: bytes) -> None:
    puppet = state()
    puppet.pull()
    puppet.send(ALERT, content)
    assert puppet.connection.error is not None
    refused(puppet, type(puppet.connection.error), AlertDescription.decode_error)


# --- renegotiation ---------------------------------------------------------------------------------------------------


def test_hello_requests_are_declined() -> None:
    """With a warning, and nothing else changes (RFC 5246 section 7.4.1.1); as often as the limit says without data."""
    limit = Limits().key_updates
    puppet = client_connected()
    declined = (ALERT, bytes((1, AlertDescription.no_renegotiation)))
    for _ in range(limit):
        puppet.send(HANDSHAKE, HelloRequest().encode())
        assert puppet.pull() == [declined]
    puppet.send(APPLICATION_DATA, b"data")
    assert puppet.connection.read() == b"data"
    puppet.send(HANDSHAKE, HelloRequest().encode() * limit)
    assert puppet.pull() == [declined] * limit
    puppet.send(HANDSHAKE, HelloRequest().encode())
    refused(puppet, UnexpectedMessage)


def test_hello_request_after_our_close_notify_hears_nothing() -> None:
    puppet = client_connected()
    puppet.connection.shutdown()
    puppet.pull()
    puppet.send(HANDSHAKE, HelloRequest().encode())
    assert puppet.pull() == []
    assert puppet.connection.error is None


def test_renegotiating_client_is_refused() -> None:
    puppet = server_connected()
    puppet.say(puppet.hello())
    refused(puppet, NoRenegotiation, AlertDescription.no_renegotiation)


# --- the end ---------------------------------------------------------------------------------------------------------


@States
def test_truncation(state: State12) -> None:
    puppet = state()
    puppet.pull()
    puppet.connection.receive_eof(puppet.now)
    refused(puppet, UnexpectedEOF)


@States
def test_close_at_any_state_is_silent(state: State12) -> None:
    puppet = state()
    drain(puppet.connection)
    puppet.pull()
    puppet.connection.close()
    puppet.connection.close()
    silent(puppet)
    assert puppet.connection.error is None


@States
def test_nothing_between_the_fragments_of_a_message(state: State12) -> None:
    for between in (ALERT, APPLICATION_DATA):
        puppet = state()
        puppet.pull()
        puppet.send(HANDSHAKE, b"\x14\x00\x00")
        assert puppet.connection.error is None
        puppet.send(between, bytes((1, AlertDescription.user_canceled)))
        refused(puppet, UnexpectedMessage)


def test_proof_of_another_transcript_is_no_proof() -> None:
    """For good measure: what the puppet signs is what counts, not that it signs."""
    puppet = wait_client_certificate_verify()
    proof = puppet.prove(identity("client"))
    puppet.messages.pop()
    other = puppet.prove(identity("client"))
    assert isinstance(proof, CertificateVerify)
    puppet.say(other)
    assert puppet.connection.error is not None
