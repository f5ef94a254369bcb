"""Early data through SSL, and through the pages' own names (SSL_read_early_data(3))."""

from __future__ import annotations

from typing import Any

import pytest

from caesura import openssl as o
from caesura.bio import bio_pair
from caesura.context import Context
from caesura.engines import DelayEngine, Operation
from caesura.errors import LocalAlert, PeerAlert, UnexpectedEOF, UsageError, WantAsync, WantRead, WantWrite
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.sessions import Session, SessionCache
from caesura.sslobject import SSL, Want
from tests.support.ssl_pair import client_context, handshake, server_context, wants

MOST = 16_384
ACCEPTED = (EarlyDataStatus.ACCEPTED, EarlyDataReason.ACCEPT)


class Acquainted:
    """Two contexts, and a session that allows early data."""

    def __init__(self, *, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.client = client_context(**{"sessions": SessionCache(), **(client or {})})
        self.server = server_context(**{"ticket_count": 1, "max_early_data": MOST, **(server or {})})
        one, two = self.pair(session=None)
        handshake(one, two)
        with pytest.raises(WantRead):
            one.read()
        session = one.session
        assert session is not None
        self.session = session.to_bytes()
        self.client.sessions = SessionCache()

    def pair(self, *, size: int = 0, session: Session | bool | None = True) -> tuple[SSL, SSL]:
        half, other = bio_pair(size, size)
        offered = Session.from_bytes(self.session) if session is True else session or None
        return (
            SSL(self.client, half, server_side=False, server_hostname="localhost", session=offered),
            SSL(self.server, other, server_side=True),
        )


def outcome(side: SSL) -> tuple[EarlyDataStatus, EarlyDataReason]:
    return side.early_data_status, side.early_data_reason


def everything(side: SSL, size: int = -1) -> bytes:
    """All early data that is there now."""
    data = b""
    try:
        while piece := side.read_early_data(size):
            data += piece
    except (WantRead, WantWrite):
        pass
    return data


def test_there_and_back_in_one_round_trip() -> None:
    one, two = Acquainted().pair()
    assert outcome(one) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.UNKNOWN)
    assert one.write_early_data(b"ping") == 4
    assert one.write_early_data(bytearray(b", again")) == 7
    assert outcome(one) == (EarlyDataStatus.PENDING, EarlyDataReason.UNKNOWN)
    assert two.read_early_data(3) == b"pin"
    assert two.read_early_data() == b"g, again"
    with pytest.raises(WantRead):
        two.read_early_data()
    assert outcome(two) == ACCEPTED
    assert not two.handshake_complete
    assert two.write_early_data(b"pong") == 4
    one.do_handshake()
    assert outcome(one) == ACCEPTED
    assert one.read() == b"pong"
    assert one.write_early_data(b"too late") == 0
    assert two.read_early_data() == b""
    two.do_handshake()
    assert two.write_early_data(b"too late") == 0
    assert one.write(b"data") == 4
    assert two.read() == b"data"
    assert one.session_reused


def test_read_after_the_handshake_is_only_what_came_after_it() -> None:
    one, two = Acquainted().pair()
    one.write_early_data(b"early")
    assert two.read_early_data(1) == b"e"
    handshake(one, two)
    one.write(b"data")
    assert two.read() == b"data"
    assert two.read_early_data() == b"arly"
    assert two.read_early_data() == b""


def test_a_write_waits_for_the_handshake() -> None:
    """Only `write_early_data` sends before the client's Finished."""
    one, two = Acquainted().pair()
    one.write_early_data(b"early")
    assert two.read_early_data() == b"early"
    with pytest.raises(WantRead):
        two.write(b"x")
    one.do_handshake()
    with pytest.raises(WantRead):
        one.read()
    assert two.write(b"x") == 1
    assert one.read() == b"x"


def test_server_that_does_not_ask_rejects() -> None:
    one, two = Acquainted().pair()
    one.write_early_data(b"early")
    handshake(one, two)
    assert outcome(one) == (EarlyDataStatus.REJECTED, EarlyDataReason.PEER_DECLINED)
    assert outcome(two) == (EarlyDataStatus.REJECTED, EarlyDataReason.DISABLED)
    assert two.read_early_data() == b""
    assert two.write_early_data(b"x") == 0
    one.write(b"data")
    assert two.read() == b"data"


def test_server_that_asks_and_is_offered_none() -> None:
    known = Acquainted()
    one, two = known.pair()
    with pytest.raises(WantRead):
        two.read_early_data()
    with pytest.raises(WantRead):
        one.do_handshake()
    assert two.read_early_data() == b""
    assert outcome(two) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.PEER_DECLINED)
    handshake(one, two)


def test_server_that_asks_and_has_not_switched_it_on() -> None:
    known = Acquainted(server={"max_early_data": 0})
    one, two = known.pair()
    with pytest.raises(WantRead):
        one.do_handshake()
    assert two.read_early_data() == b""
    handshake(one, two)
    assert outcome(two)[0] is EarlyDataStatus.NOT_SENT


@pytest.mark.parametrize(
    ("settings", "session", "why"),
    [
        ({}, None, EarlyDataReason.NO_SESSION_OFFERED),
        ({"max_early_data": 0}, True, EarlyDataReason.UNSUPPORTED_FOR_SESSION),
    ],
    ids=["no session", "a session without"],
)
def test_client_that_may_not(settings: dict[str, Any], session: bool | None, why: EarlyDataReason) -> None:
    one, two = Acquainted(server=settings).pair(session=session)
    assert one.write_early_data(b"x") == 0
    assert outcome(one) == (EarlyDataStatus.NOT_SENT, why)
    handshake(one, two)
    assert one.write_early_data(b"x") == 0


def test_client_that_begins_with_another_call() -> None:
    one, two = Acquainted().pair()
    with pytest.raises(WantRead):
        one.do_handshake()
    assert one.write_early_data(b"x") == 0
    assert outcome(one) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.DISABLED)
    handshake(one, two)


def test_as_much_as_the_session_allows() -> None:
    one, two = Acquainted(server={"max_early_data": 100}).pair()
    assert one.write_early_data(bytes(60)) == 60
    assert one.write_early_data(bytes(60)) == 40
    assert one.write_early_data(bytes(60)) == 0
    assert everything(two, 33) == bytes(100)
    handshake(one, two)


def test_transport_that_takes_little() -> None:
    one, two = Acquainted().pair(size=512)
    data = bytes(range(250)) * 20
    heard = b""
    for _ in range(100):
        try:
            assert one.write_early_data(data) == len(data)
            break
        except WantWrite:
            assert one.want is Want.WRITING
        with pytest.raises(UsageError, match="not finished"):
            one.write_early_data(b"other")
        heard += everything(two)
    heard += everything(two)
    assert heard == data
    handshake(one, two)
    assert outcome(one) == outcome(two) == ACCEPTED


def test_handshake_finishes_what_a_write_has_left() -> None:
    one, two = Acquainted().pair(size=512)
    with pytest.raises(WantWrite):
        one.write_early_data(bytes(2000))
    heard = b""
    for _ in range(20):
        try:
            one.do_handshake()
            break
        except (WantRead, WantWrite):
            heard += everything(two)
    assert one.write_early_data(bytes(2000)) == 2000
    handshake(one, two)
    assert heard + everything(two) == bytes(2000)


def test_closed_before_it_was_read() -> None:
    one, two = Acquainted().pair()
    one.write_early_data(b"early")
    assert one.wbio is not None
    one.wbio.write_eof()
    assert two.read_early_data() == b"early"
    with pytest.raises(UnexpectedEOF):
        two.read_early_data()


def test_failure_is_told_to_who_writes_and_reads() -> None:
    one, two = Acquainted().pair()
    one.write_early_data(b"early")
    assert two.rbio is not None
    two.rbio.read(1)  # of the hello's record
    for call in (two.read_early_data, two.read_early_data, lambda: two.write_early_data(b"x")):
        with pytest.raises(LocalAlert):
            call()
    for call in (one.do_handshake, lambda: one.write_early_data(b"x")):
        with pytest.raises(PeerAlert):
            call()


@pytest.mark.parametrize("operation", [Operation.GENERATE_KEY, Operation.SEAL_RECORD])
def test_client_whose_work_pauses(operation: Operation) -> None:
    known = Acquainted()
    engine = DelayEngine(None, operations=[operation])
    known.client.engine, known.client.async_mode = engine, True
    one, two = known.pair()
    pauses = 0
    for _ in range(20):
        try:
            assert one.write_early_data(b"early") == 5
            break
        except WantAsync:
            pauses += 1
            engine.release()
    assert pauses
    assert two.read_early_data() == b"early"
    known.client.engine = engine
    while engine.waiting:
        engine.release()
    for _ in range(20):
        for side in (one, two):
            try:
                side.do_handshake()
            except (WantRead, WantAsync):
                while engine.waiting:
                    engine.release()
    assert outcome(one) == outcome(two) == ACCEPTED


@pytest.mark.parametrize("operation", [Operation.CHECK_REPLAY, Operation.KEY_EXCHANGE, Operation.OPEN_RECORD])
def test_server_whose_work_pauses(operation: Operation) -> None:
    known = Acquainted()
    engine = DelayEngine(None, operations=[operation])
    known.server.engine, known.server.async_mode = engine, True
    one, two = known.pair()
    one.write_early_data(b"early")
    pauses = 0
    for _ in range(20):
        try:
            assert two.read_early_data() == b"early"
            break
        except WantAsync:
            assert two.want is Want.ASYNC_PAUSED
            pauses += 1
            engine.release()
    assert pauses == 1
    two.close()


@pytest.mark.parametrize("operation", [Operation.CHECK_REPLAY, Operation.OPEN_RECORD])
def test_blocking_server_waits_itself(operation: Operation) -> None:
    known = Acquainted()
    known.server.engine = DelayEngine(0.001, operations=[operation])
    one, two = known.pair()
    one.write_early_data(b"early")
    assert two.read_early_data() == b"early"


def test_misuse() -> None:
    known = Acquainted()
    one, two = known.pair()
    with pytest.raises(UsageError, match="client receives none"):
        one.read_early_data()
    assert two.write_early_data(b"x") == 0  # nothing has come yet
    assert two.read_early_data(0) == b""
    nobody = SSL(known.client)
    for call in (nobody.read_early_data, lambda: nobody.write_early_data(b"x")):
        with pytest.raises(UsageError, match="uninitialized"):
            call()


def test_clear_begins_without() -> None:
    known = Acquainted()
    one, two = known.pair()
    one.write_early_data(b"early")
    one.clear()
    assert outcome(one) == (EarlyDataStatus.NOT_SENT, EarlyDataReason.UNKNOWN)
    two.close()


# --- the pages' names ------------------------------------------------------------------------------------------------


def contexts() -> tuple[Context, Context]:
    return client_context(sessions=SessionCache()), server_context(ticket_count=1)


def test_a_program_as_it_would_be_in_c() -> None:
    client, server = contexts()
    assert o.SSL_CTX_get_max_early_data(server) == 0
    assert o.SSL_CTX_set_max_early_data(server, 1000) == 1
    assert o.SSL_CTX_get_max_early_data(server) == 1000
    assert o.SSL_CTX_set_max_early_data(server, -1) == 0
    session = None
    for early in (b"", b"early"):
        _, half, other = o.BIO_new_bio_pair(0, 0)
        one, two = o.SSL_new(client), o.SSL_new(server)
        o.SSL_set_bio(one, half, half)
        o.SSL_set_bio(two, other, other)
        o.SSL_set_connect_state(one)
        o.SSL_set_accept_state(two)
        o.SSL_set_tlsext_host_name(one, "localhost")
        assert o.SSL_get_early_data_status(one) == o.SSL_EARLY_DATA_NOT_SENT
        if early:
            assert session is not None
            assert o.SSL_SESSION_get_max_early_data(session) == 1000
            assert o.SSL_set_session(one, session) == 1
            assert o.SSL_write_early_data(one, early) == (1, 5)
            assert o.SSL_get_early_data_status(one) == o.SSL_EARLY_DATA_REJECTED
            assert o.SSL_read_early_data(two, 100) == (o.SSL_READ_EARLY_DATA_SUCCESS, early)
            assert o.SSL_write_early_data(two, b"answer") == (1, 6)
            code, data = o.SSL_read_early_data(two, 100)
            assert (code, data) == (o.SSL_READ_EARLY_DATA_ERROR, b"")
            assert wants(two, code) == o.SSL_ERROR_WANT_READ
            assert o.SSL_connect(one) == 1
            assert o.SSL_read(one, 100) == (6, b"answer")
            assert o.SSL_read_early_data(two, 100) == (o.SSL_READ_EARLY_DATA_FINISH, b"")
            assert o.SSL_accept(two) == 1
            assert o.SSL_get_early_data_status(one) == o.SSL_EARLY_DATA_ACCEPTED
            assert o.SSL_get_early_data_status(two) == o.SSL_EARLY_DATA_ACCEPTED
        else:
            handshake(one, two)
            assert o.SSL_write_early_data(one, b"x") == (0, 0)
            assert wants(one, 0) == o.SSL_ERROR_SSL
            assert "disabled" in str(o.SSL_get_last_error(one))
            assert o.SSL_read(one, 1)[0] == -1
            session = o.SSL_get1_session(one)


def test_limit_of_one_connection() -> None:
    client, server = contexts()
    two = o.SSL_new(server)
    assert o.SSL_set_max_early_data(two, 7) == 1
    assert o.SSL_get_max_early_data(two) == 7
    assert o.SSL_CTX_get_max_early_data(server) == 0
    assert client.max_early_data == 0
