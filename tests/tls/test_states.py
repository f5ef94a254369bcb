"""Each message in each state of both roles: the listed pairs pass, everything else is unexpected_message, once.

RFC 9846 section 4 ("A peer which receives a handshake message in an unexpected order MUST abort the handshake with an
'unexpected_message' alert"), and section 5 for records that are no handshake messages.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caesura.errors import AlertDescription, PeerAlert, UnexpectedEOF, UnexpectedMessage
from caesura.tls.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE
from caesura.wire.messages import KeyUpdate
from caesura.wire.registries import KeyUpdateRequest
from tests.support.link import drain
from tests.tls.messages import MESSAGES
from tests.tls.puppet import CCS, Puppet, PuppetClient, refused, silent, told
from tests.tls.states import (
    STATES,
    client_connected,
    server,
    server_connected,
    wait_client_hello,
    wait_end_of_early_data,
    wait_server_hello,
)
from tests.tls.world import server_context

States = pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)


@pytest.mark.parametrize("name", MESSAGES)
@States
def test_message_in_state(state: Callable[[], Puppet], name: str) -> None:
    puppet = state()
    assert puppet.connection.error is None
    drain(puppet.connection)
    puppet.say(MESSAGES[name](puppet))
    if name in STATES[state]:
        assert not isinstance(puppet.connection.error, UnexpectedMessage), puppet.connection.error
    else:
        refused(puppet, UnexpectedMessage)


@States
def test_every_listed_message_is_one_of_the_table(state: Callable[[], Puppet]) -> None:
    assert STATES[state] <= MESSAGES.keys()


# --- records that are no handshake messages --------------------------------------------------------------------------


@States
def test_application_data_only_after_the_handshake(state: Callable[[], Puppet]) -> None:
    puppet = state()
    puppet.send(APPLICATION_DATA, b"data")
    if state in (client_connected, server_connected):
        assert puppet.connection.error is None
        assert puppet.connection.read() == b"data"
    elif state is wait_end_of_early_data:
        assert puppet.connection.error is None
        assert puppet.connection.read_early_data() == b"data"
    else:
        refused(puppet, UnexpectedMessage)


@States
def test_change_cipher_spec_only_between_the_first_hello_and_the_peers_finished(state: Callable[[], Puppet]) -> None:
    """RFC 9846 section 5: dropped without further processing there, unexpected anywhere else."""
    puppet = state()
    puppet.feed(CCS)
    if state in (wait_client_hello, client_connected, server_connected):
        refused(puppet, UnexpectedMessage)
    else:
        assert puppet.connection.error is None
        assert puppet.pull() == []


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x02", b"\x01\x01"], ids=repr)
@States
def test_change_cipher_spec_of_another_value(state: Callable[[], Puppet], content: bytes) -> None:
    puppet = state()
    puppet.feed(bytes((CHANGE_CIPHER_SPEC, 3, 3, 0, len(content))) + content)
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("content_type", [0, 19, 20, 24, 25, 255])
@States
def test_record_type_that_is_none(state: Callable[[], Puppet], content_type: int) -> None:
    """Outside, and inside a protected record, where change_cipher_spec is none either (section 5)."""
    puppet = state()
    if content_type != CHANGE_CIPHER_SPEC:
        puppet.feed(bytes((content_type, 3, 3, 0, 1, 1)))
        refused(puppet, UnexpectedMessage)
        puppet = state()
    if puppet.write_key is not None and content_type != 0:
        puppet.send(content_type, b"\x01")
        refused(puppet, UnexpectedMessage)


@States
def test_unprotected_handshake_record_once_there_are_keys(state: Callable[[], Puppet]) -> None:
    puppet = state()
    if puppet.write_key is not None:
        puppet.feed(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00")
        refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("padding", [0, 9])
@pytest.mark.parametrize("content_type", [HANDSHAKE, ALERT])
@States
def test_record_without_content(state: Callable[[], Puppet], content_type: int, padding: int) -> None:
    """RFC 9846 sections 5.1 and 5.4: zero-length fragments of these types, even with padding."""
    puppet = state()
    puppet.send(content_type, b"", padding if puppet.write_key is not None else 0)
    refused(puppet, UnexpectedMessage)


@States
def test_protected_record_of_nothing_but_zeros(state: Callable[[], Puppet]) -> None:
    puppet = state()
    if puppet.write_key is not None:
        puppet.send(0, bytes(20))
        refused(puppet, UnexpectedMessage)


# --- alerts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description", [AlertDescription.handshake_failure, AlertDescription.internal_error, AlertDescription.general_error]
)
@States
def test_error_alert_ends_the_connection_silently(state: Callable[[], Puppet], description: AlertDescription) -> None:
    told(state(), description)


@pytest.mark.parametrize("level", [0, 1, 2, 255])
@States
def test_the_level_of_an_alert_is_ignored(state: Callable[[], Puppet], level: int) -> None:
    """RFC 9846 section 6: error alerts are fatal whatever their level, unknown ones too."""
    for description in (int(AlertDescription.decode_error), 199):
        puppet = state()
        puppet.send(ALERT, bytes((level, description)))
        error = refused(puppet, PeerAlert)
        assert isinstance(error, PeerAlert)
        assert error.description == description


@States
def test_close_notify_in_each_state(state: Callable[[], Puppet]) -> None:
    """Before the handshake is complete it is the end of it; after, of the peer's direction alone."""
    puppet = state()
    drain(puppet.connection)
    puppet.send(ALERT, bytes((1, AlertDescription.close_notify)))
    assert puppet.connection.close_notify_received
    if state in (client_connected, server_connected):
        assert puppet.connection.error is None
        puppet.connection.write(b"still")
        assert puppet.pull() == [(APPLICATION_DATA, b"still")]
    else:
        refused(puppet, PeerAlert)


@States
def test_user_canceled_is_ignored(state: Callable[[], Puppet]) -> None:
    """RFC 9846 section 6.1: it is followed by close_notify, and that is what counts."""
    puppet = state()
    puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
    assert puppet.connection.error is None
    assert puppet.pull() == []
    for name in sorted(STATES[state])[:1]:
        puppet.say(MESSAGES[name](puppet))
        assert not isinstance(puppet.connection.error, UnexpectedMessage)


@pytest.mark.parametrize("content", [b"\x02", b"\x02\x28\x00", b"\x02\x28\x02\x28"], ids=["half", "and more", "two"])
@States
def test_record_of_alert_that_is_not_one_alert(state: Callable[[], Puppet], content: bytes) -> None:
    """RFC 9846 section 5.1: neither fragmented nor coalesced."""
    puppet = state()
    puppet.send(ALERT, content)
    assert puppet.connection.error is not None
    refused(puppet, type(puppet.connection.error), AlertDescription.decode_error)


# --- the end of the transport ----------------------------------------------------------------------------------------


@States
def test_truncation(state: Callable[[], Puppet]) -> None:
    """The transport ends without close_notify: an error, and nobody is left to tell."""
    puppet = state()
    puppet.connection.receive_eof(puppet.now)
    refused(puppet, UnexpectedEOF)


@States
def test_close_at_any_state_is_silent(state: Callable[[], Puppet]) -> None:
    puppet = state()
    drain(puppet.connection)
    puppet.pull()
    puppet.connection.close()
    puppet.connection.close()
    silent(puppet)
    assert puppet.connection.error is None


# --- messages and records -------------------------------------------------------------------------------------------


@States
def test_nothing_between_the_fragments_of_a_message(state: Callable[[], Puppet]) -> None:
    """RFC 9846 section 5.1: no record of another type between them, not even one that is dropped elsewhere."""
    for between in (CHANGE_CIPHER_SPEC, ALERT, APPLICATION_DATA):
        puppet = state()
        name = min(STATES[state])
        message = MESSAGES[name](puppet)
        encoded = message if isinstance(message, bytes) else message.encode()
        puppet.send(HANDSHAKE, encoded[:3])
        assert puppet.connection.error is None
        if between == CHANGE_CIPHER_SPEC:
            puppet.feed(CCS)
        elif between == ALERT:
            puppet.send(ALERT, bytes((1, AlertDescription.user_canceled)))
        else:
            puppet.send(APPLICATION_DATA, b"between")
        refused(puppet, UnexpectedMessage)


def before_a_key_change() -> list[tuple[str, Callable[[], tuple[Puppet, bytes]]]]:
    """Those messages that the reader changes its keys behind."""

    def last_hello() -> tuple[Puppet, bytes]:
        puppet = wait_client_hello()
        return puppet, puppet.hello().encode()

    def server_hello_said() -> tuple[Puppet, bytes]:
        puppet = wait_server_hello()
        return puppet, puppet.hello().encode()

    def finished_in(state: Callable[[], Puppet]) -> Callable[[], tuple[Puppet, bytes]]:
        def said() -> tuple[Puppet, bytes]:
            puppet = state()
            return puppet, puppet.finished().encode()

        return said

    def key_update_in(state: Callable[[], Puppet]) -> Callable[[], tuple[Puppet, bytes]]:
        return lambda: (state(), KeyUpdate(KeyUpdateRequest.update_not_requested).encode())

    rows = [("client_hello", last_hello), ("server_hello", server_hello_said)]
    rows += [
        (f"finished in {state.__name__}", finished_in(state)) for state, may in STATES.items() if may == {"finished"}
    ]
    rows += [
        (f"key_update in {state.__name__}", key_update_in(state))
        for state, may in STATES.items()
        if "key_update" in may
    ]
    return rows


@pytest.mark.parametrize("behind", [b"\x08", b"\x08\x00\x00\x02\x00\x00"], ids=["part of a message", "a message"])
@pytest.mark.parametrize("said", [pytest.param(said, id=name) for name, said in before_a_key_change()])
def test_messages_do_not_span_key_changes(said: Callable[[], tuple[Puppet, bytes]], behind: bytes) -> None:
    """RFC 9846 section 5.1: what precedes a key change must align with a record boundary."""
    puppet, message = said()
    puppet.transcript.add(message)
    puppet.send(HANDSHAKE, message + behind)
    refused(puppet, UnexpectedMessage)


def test_second_hello_need_not_align_before_a_retry() -> None:
    """After the hello that is answered by HelloRetryRequest no key changes; what follows it is the second hello."""
    puppet = PuppetClient(server(server_context(groups=["secp256r1"])))
    puppet.send(HANDSHAKE, puppet.hello().encode() + b"\x08")
    assert puppet.connection.error is None
    puppet.send(HANDSHAKE, b"\x00\x00\x00")
    refused(puppet, UnexpectedMessage)
