"""Contract F34 to F42: streams of a QUIC connection, by the pages' names and by the objects' own, on virtual time.

SSL_new_stream(3), SSL_accept_stream(3), SSL_stream_conclude(3), SSL_stream_reset(3), SSL_get_stream_read_state(3),
SSL_set_default_stream_mode(3), SSL_set_incoming_stream_policy(3).
"""

from __future__ import annotations

import pytest

from caesura import QUICStream
from caesura import openssl as o
from caesura.errors import StreamReset, StreamStopped, UnexpectedEOF, UsageError, WantRead, ZeroReturn
from caesura.sslobject.quic import QUICSSL
from tests.support import ssl_pair
from tests.support.quic_ssl import Pair, connected, drive, pair
from tests.support.ssl_pair import reason, wants

ACCEPT = o.SSL_INCOMING_STREAM_POLICY_ACCEPT


def accepting(**settings: object) -> Pair:
    """A connected pair whose sides take all streams."""
    both = connected(**settings)
    for side in (both.client, both.server):
        assert o.SSL_set_incoming_stream_policy(side, ACCEPT, 0) == 1
    return both


def stream(side: QUICSSL, flags: int = 0) -> QUICStream:
    found = o.SSL_new_stream(side, flags)
    assert found is not None, o.SSL_get_last_error(side)
    return found


def accepted(side: QUICSSL, flags: int = 0) -> QUICStream:
    found = o.SSL_accept_stream(side, flags)
    assert found is not None
    return found


def joined(both: Pair, flags: int = 0) -> tuple[QUICStream, QUICStream]:
    """A stream of the client's, and the server's end of it."""
    ours = stream(both.client, flags)
    assert o.SSL_write(ours, b"hello") == 5
    theirs = accepted(both.server)
    assert o.SSL_read(theirs, 100) == (5, b"hello")
    return ours, theirs


# --- F34: new streams -----------------------------------------------------------------------------------------------


def test_F34_ids() -> None:
    both = accepting()
    uni = o.SSL_STREAM_FLAG_UNI
    assert [stream(both.client).id for _ in range(3)] == [0, 4, 8]
    assert [stream(both.client, uni).id for _ in range(2)] == [2, 6]
    assert [stream(both.server).id for _ in range(2)] == [1, 5]
    assert [stream(both.server, uni).id for _ in range(2)] == [3, 7]


def test_F34_kinds() -> None:
    both = accepting()
    two_way, theirs = joined(both)
    assert o.SSL_get_stream_id(theirs) == two_way.id == 0
    assert (o.SSL_is_stream_local(two_way), o.SSL_is_stream_local(theirs)) == (1, 0)
    assert o.SSL_get_stream_type(two_way) == o.SSL_get_stream_type(theirs) == o.SSL_STREAM_TYPE_BIDI
    one_way, far = joined(both, o.SSL_STREAM_FLAG_UNI)
    assert (o.SSL_get_stream_type(one_way), o.SSL_get_stream_type(far)) == (
        o.SSL_STREAM_TYPE_WRITE,
        o.SSL_STREAM_TYPE_READ,
    )
    assert o.SSL_get_stream_read_state(one_way) == o.SSL_get_stream_write_state(far) == o.SSL_STREAM_STATE_WRONG_DIR
    assert o.SSL_get_stream_read_error_code(one_way) == (-1, None)
    with pytest.raises(UsageError, match="ours alone"):
        one_way.read()
    with pytest.raises(UsageError, match="the peer's to write"):
        far.write(b"x")
    for call in (far.conclude, far.reset, one_way.stop_sending):
        with pytest.raises(UsageError):
            call()
    assert o.SSL_is_connection(both.client) == 1
    assert o.SSL_is_connection(one_way) == o.SSL_is_listener(one_way) == 0
    assert o.SSL_get0_connection(one_way) is both.client
    assert o.SSL_get0_connection(both.client) is both.client
    assert o.SSL_get0_listener(one_way) is None


def test_F34_the_limit() -> None:
    both = accepting(server={"quic": {"initial_max_streams_bidi": 2}})
    streams = [stream(both.client) for _ in range(2)]
    assert o.SSL_get_quic_stream_bidi_local_avail(both.client) == (1, 0)
    for flags in (0, o.SSL_STREAM_FLAG_NO_BLOCK):
        assert o.SSL_new_stream(both.client, flags) is None
        assert "stream count limited" in reason(both.client)
    assert stream(both.client, o.SSL_STREAM_FLAG_UNI).id == 2
    streams[0].write(b"done", conclude=True)
    theirs = accepted(both.server)
    assert theirs.read() == b"done"
    theirs.conclude()
    both.quiet()
    assert stream(both.client).id == 8


def test_F34_advance_makes_it_anyway_and_queues() -> None:
    both = accepting(server={"quic": {"initial_max_streams_bidi": 1}})
    first = stream(both.client)
    second, third, fourth = (stream(both.client, o.SSL_STREAM_FLAG_ADVANCE) for _ in range(3))
    assert [each.id for each in (second, third, fourth)] == [4, 8, 12]
    assert second.write(b"wait", conclude=True) == 4
    assert third.write(b"given up") == 8
    third.reset(7)
    third.stop_sending(9)
    with pytest.raises(WantRead):
        second.read()
    assert o.SSL_get_stream_write_buf_used(fourth) == (1, 0)
    assert fourth.write(b"later") == 5
    assert o.SSL_get_stream_write_buf_used(fourth) == (1, 5)
    first.write(b"first", conclude=True)
    for number, text in ((0, b"first"), (4, b"wait")):
        found = drive(both.clock, lambda: taken(both))[0]
        assert (found.id, found.read()) == (number, text)
        found.conclude()
        for _ in range(10):
            both.server.handle_events()
            both.client.handle_events()  # if what has come permits one more, it is sent by the same tick
            assert o.SSL_get_event_timeout(both.client)[1] > 0
            both.clock.now += 0.03
        both.quiet()
    found = drive(both.clock, lambda: taken(both))[0]
    with pytest.raises(StreamReset):
        found.read()
    assert o.SSL_get_stream_read_error_code(found) == (1, 7)
    assert o.SSL_get_stream_write_error_code(found) == (1, 9)
    both.quiet()
    found = drive(both.clock, lambda: taken(both))[0]
    assert (found.id, found.read()) == (12, b"later")


def taken(both: Pair) -> QUICStream:
    """The next stream of the client's."""
    both.client.handle_events()
    found = both.server.accept_stream()
    if found is None:
        raise WantRead
    return found


def test_F34_not_on_streams_nor_on_tls() -> None:
    both = accepting()
    ours = stream(both.client)
    assert o.SSL_new_stream(ours, 0) is None
    assert wants(ours, -1) == o.SSL_ERROR_SSL
    assert o.SSL_accept_stream(ours, 0) is None
    tls = ssl_pair.server()
    assert o.SSL_new_stream(tls, 0) is None
    assert o.SSL_get_stream_id(tls) == 2**64 - 1
    assert o.SSL_get_stream_type(tls) == o.SSL_STREAM_TYPE_BIDI
    assert o.SSL_is_stream_local(tls) == -1


def test_F34_a_new_stream_performs_the_handshake() -> None:
    both = pair()
    found, _ = drive(both.clock, both.client.new_stream, both.server.do_handshake)
    assert found.id == 0


# --- F35: accepting -------------------------------------------------------------------------------------------------


def test_F35_accepting() -> None:
    both = accepting()
    for flags in (0, o.SSL_ACCEPT_STREAM_NO_BLOCK):
        assert o.SSL_accept_stream(both.server, flags) is None
    for flags in (0, o.SSL_STREAM_FLAG_UNI, 0, o.SSL_STREAM_FLAG_UNI):
        stream(both.client, flags).write(b"x")
    assert o.SSL_get_accept_stream_queue_len(both.server) == 0  # it looks at nothing
    both.server.handle_events()
    assert o.SSL_get_accept_stream_queue_len(both.server) == 4
    assert accepted(both.server, o.SSL_ACCEPT_STREAM_UNI).id == 2
    assert accepted(both.server, o.SSL_ACCEPT_STREAM_BIDI).id == 0
    assert accepted(both.server, o.SSL_ACCEPT_STREAM_UNI | o.SSL_ACCEPT_STREAM_BIDI).id == 4
    assert accepted(both.server).id == 6
    assert o.SSL_get_accept_stream_queue_len(both.server) == 0


def test_F35_none_when_the_connection_is_closed() -> None:
    both = accepting()
    both.client.shutdown(rapid=True)
    both.server.handle_events()
    assert o.SSL_accept_stream(both.server, 0) is None
    assert both.server.close_info is not None


# --- F36: the default stream ----------------------------------------------------------------------------------------


def test_F36_the_first_write_opens_it() -> None:
    both = connected()
    assert o.SSL_get_stream_id(both.client) == 2**64 - 1
    assert o.SSL_get_stream_type(both.client) == o.SSL_STREAM_TYPE_NONE
    assert o.SSL_get_stream_read_state(both.client) == o.SSL_STREAM_STATE_NONE
    assert o.SSL_write(both.client, b"hello") == 5
    assert o.SSL_get_stream_id(both.client) == 0
    assert both.client.default_stream is not None
    assert o.SSL_set_default_stream_mode(both.client, o.SSL_DEFAULT_STREAM_MODE_NONE) == 0  # too late
    assert o.SSL_read(both.server, 3) == (3, b"hel")
    assert o.SSL_pending(both.server) == 2
    assert o.SSL_read(both.server, 100) == (2, b"lo")
    assert o.SSL_get_stream_id(both.server) == 0
    assert o.SSL_write(both.server, b"back") == 4
    assert o.SSL_read(both.client, 100) == (4, b"back")
    assert o.SSL_stream_conclude(both.client, 0) == 1
    with pytest.raises(ZeroReturn):
        both.server.read()


def test_F36_a_read_waits_for_the_peers() -> None:
    both = connected()
    assert wants(both.client, o.SSL_read(both.client, 10)[0]) == o.SSL_ERROR_WANT_READ
    both.server.new_stream(unidirectional=True).write(b"of another kind")  # type: ignore[union-attr]
    assert wants(both.client, o.SSL_read(both.client, 10)[0]) == o.SSL_ERROR_WANT_READ
    ours = both.server.new_stream()
    assert ours is not None
    ours.write(b"hello")
    assert o.SSL_read(both.client, 100) == (5, b"hello")
    assert o.SSL_get_stream_id(both.client) == 1


def test_F36_one_way() -> None:
    both = connected()
    for side in (both.client, both.server):
        assert o.SSL_set_default_stream_mode(side, o.SSL_DEFAULT_STREAM_MODE_AUTO_UNI) == 1
    assert o.SSL_write(both.client, b"hello") == 5
    assert o.SSL_get_stream_id(both.client) == 2
    assert o.SSL_read(both.server, 10) == (5, b"hello")
    assert wants(both.client, o.SSL_read(both.client, 10)[0]) == o.SSL_ERROR_SSL


def test_F36_none() -> None:
    both = connected()
    assert o.SSL_set_default_stream_mode(both.client, 9) == 0
    assert o.SSL_set_default_stream_mode(both.client, o.SSL_DEFAULT_STREAM_MODE_NONE) == 1
    for ret in (lambda: o.SSL_write(both.client, b"x"), lambda: o.SSL_read(both.client, 1)[0]):
        assert wants(both.client, ret()) == o.SSL_ERROR_SSL
        assert "no stream" in reason(both.client)
    with pytest.raises(UsageError, match="no stream"):
        both.client.conclude()


@pytest.mark.parametrize("call", [o.SSL_new_stream, o.SSL_accept_stream])
def test_F36_who_makes_or_takes_streams_gets_no_default(call: object) -> None:
    both = connected()
    call(both.client, 0)  # type: ignore[operator]
    assert o.SSL_write(both.client, b"x") == -1
    assert "no stream" in reason(both.client)


# --- F37: what the peer opens ---------------------------------------------------------------------------------------


def test_F37_automatic() -> None:
    both = connected()
    first = stream(both.client)
    first.write(b"the default")
    assert both.server.read() == b"the default"
    second = stream(both.client)
    second.write(b"too many")
    both.tick()
    assert o.SSL_accept_stream(both.server, 0) is None
    assert o.SSL_get_stream_write_error_code(second) == (1, 0)
    assert o.SSL_get_stream_read_error_code(second) == (1, 0)
    assert o.SSL_set_incoming_stream_policy(both.server, ACCEPT, 0) == 1
    stream(both.client).write(b"accepted")
    assert accepted(both.server).read() == b"accepted"


def test_F37_without_a_default_stream_all_are_accepted() -> None:
    both = connected()
    o.SSL_set_default_stream_mode(both.server, o.SSL_DEFAULT_STREAM_MODE_NONE)
    for _ in range(2):
        stream(both.client).write(b"x")
    both.tick()
    assert o.SSL_get_accept_stream_queue_len(both.server) == 2


def test_F37_refusing_with_a_code() -> None:
    both = connected()
    assert o.SSL_set_incoming_stream_policy(both.server, o.SSL_INCOMING_STREAM_POLICY_REJECT, 42) == 1
    assert o.SSL_set_incoming_stream_policy(both.server, 9, 42) == 0
    ours = stream(both.client)
    ours.write(b"x")
    one_way = stream(both.client, o.SSL_STREAM_FLAG_UNI)
    one_way.write(b"x")
    both.tick()
    assert o.SSL_get_accept_stream_queue_len(both.server) == 0
    for each in (ours, one_way):
        assert o.SSL_get_stream_write_state(each) == o.SSL_STREAM_STATE_RESET_REMOTE
        assert o.SSL_get_stream_write_error_code(each) == (1, 42)
        with pytest.raises(StreamStopped):
            each.write(b"more")
    assert o.SSL_get_stream_read_state(ours) == o.SSL_STREAM_STATE_RESET_REMOTE
    assert o.SSL_get_stream_read_error_code(ours) == (1, 42)


# --- F38 to F40: the end of a stream --------------------------------------------------------------------------------


def test_F38_F39_conclude() -> None:
    both = accepting()
    ours, theirs = joined(both)
    assert o.SSL_write(ours, b"last") == 4
    assert o.SSL_stream_conclude(ours, 0) == 1
    assert o.SSL_stream_conclude(ours, 0) == 1  # the page's answer
    assert o.SSL_get_stream_write_state(ours) == o.SSL_STREAM_STATE_FINISHED  # and its state
    assert o.SSL_get_stream_write_error_code(ours) == (0, None)
    assert wants(ours, o.SSL_write(ours, b"x")) == o.SSL_ERROR_SSL
    assert "stream finished" in reason(ours)
    assert o.SSL_write(theirs, b"still open") == 10
    assert o.SSL_read(ours, 100) == (10, b"still open")
    both.quiet()
    assert o.SSL_stream_conclude(ours, 0) == 1
    assert o.SSL_get_stream_write_state(ours) == o.SSL_STREAM_STATE_FINISHED


def test_F38_conclude_with_the_write() -> None:
    both = accepting()
    ours = stream(both.client)
    assert o.SSL_write_ex2(ours, b"all", o.SSL_WRITE_FLAG_CONCLUDE) == (1, 3)
    theirs = accepted(both.server)
    assert o.SSL_read(theirs, 100) == (3, b"all")
    assert wants(theirs, o.SSL_read(theirs, 100)[0]) == o.SSL_ERROR_ZERO_RETURN
    assert o.SSL_write_ex2(ssl_pair.server(), b"x", o.SSL_WRITE_FLAG_CONCLUDE) == (0, 0)


def test_F40_the_peers_end() -> None:
    both = accepting()
    ours, theirs = joined(both)
    ours.write(b"buffered", conclude=True)
    theirs.handle_events()
    assert o.SSL_get_stream_read_state(theirs) == o.SSL_STREAM_STATE_FINISHED  # the end has come, though not been read
    assert o.SSL_read(theirs, 4) == (4, b"buff")
    assert o.SSL_read(theirs, 100) == (4, b"ered")
    for _ in range(2):
        assert wants(theirs, o.SSL_read(theirs, 100)[0]) == o.SSL_ERROR_ZERO_RETURN
    assert o.SSL_get_stream_read_state(theirs) == o.SSL_STREAM_STATE_FINISHED
    assert o.SSL_get_stream_read_error_code(theirs) == (0, None)
    assert o.SSL_get_stream_write_state(theirs) == o.SSL_STREAM_STATE_OK
    assert o.SSL_get_stream_write_error_code(theirs) == (-1, None)


def test_F40_an_empty_stream_ends() -> None:
    both = accepting()
    stream(both.client).conclude()
    with pytest.raises(ZeroReturn):
        accepted(both.server).read()


def test_a_connection_that_is_closed_before_a_streams_end() -> None:
    both = accepting()
    ours, theirs = joined(both)
    ours.write(b"the rest is missing")
    both.client.shutdown(rapid=True)
    theirs.handle_events()
    assert o.SSL_get_stream_read_state(theirs) == o.SSL_get_stream_write_state(theirs) == o.SSL_STREAM_STATE_CONN_CLOSED
    assert theirs.read() == b"the rest is missing"
    with pytest.raises(UnexpectedEOF):
        theirs.read()
    with pytest.raises(UnexpectedEOF):
        theirs.write(b"x")
    assert o.SSL_get_stream_read_error_code(theirs) == o.SSL_get_stream_write_error_code(theirs) == (-1, None)
    with pytest.raises(UsageError, match="protocol is shutdown"):
        ours.write(b"x")


# --- F41, F42: giving up --------------------------------------------------------------------------------------------


def test_F41_reset() -> None:
    both = accepting()
    ours, theirs = joined(both)
    ours.write(b"never read")
    assert o.SSL_stream_reset(ours, 2**62 - 1) == 1
    assert o.SSL_stream_reset(ours, 5) == 1  # the first code counts
    assert o.SSL_get_stream_write_state(ours) == o.SSL_STREAM_STATE_RESET_LOCAL
    assert o.SSL_get_stream_write_error_code(ours) == (1, 2**62 - 1)
    assert wants(ours, o.SSL_write(ours, b"x")) == o.SSL_ERROR_SSL
    theirs.handle_events()
    assert o.SSL_get_stream_read_state(theirs) == o.SSL_STREAM_STATE_RESET_REMOTE
    for _ in range(2):
        assert wants(theirs, o.SSL_read(theirs, 10)[0]) == o.SSL_ERROR_SSL
        assert isinstance(o.SSL_get_last_error(theirs), StreamReset)
    assert o.SSL_get_stream_read_error_code(theirs) == (1, 2**62 - 1)
    assert o.SSL_write(theirs, b"the other way") == 13
    assert ours.read() == b"the other way"
    both.quiet()
    assert o.SSL_stream_reset(ours, None) == 1


def test_F41_a_code_has_62_bits() -> None:
    both = accepting()
    ours, _ = joined(both)
    assert o.SSL_stream_reset(ours, 2**62) == 0
    with pytest.raises(UsageError, match="62 bits"):
        ours.stop_sending(-1)


def test_F41_stop_sending() -> None:
    both = accepting()
    ours, theirs = joined(both)
    theirs.stop_sending(6)
    theirs.stop_sending(7)
    assert theirs.read_code == 6
    assert o.SSL_get_stream_read_state(theirs) == o.SSL_STREAM_STATE_RESET_LOCAL
    with pytest.raises(UsageError, match="given up here"):
        theirs.read()
    both.tick()
    assert o.SSL_get_stream_write_state(ours) == o.SSL_STREAM_STATE_RESET_REMOTE
    assert o.SSL_get_stream_write_error_code(ours) == (1, 6)
    with pytest.raises(StreamStopped):
        ours.write(b"x")


def test_F41_after_all_has_arrived_nothing_is_given_up() -> None:
    both = accepting()
    ours, theirs = joined(both)
    ours.conclude()
    both.quiet()
    assert o.SSL_stream_reset(ours, 5) == 1
    assert o.SSL_get_stream_write_state(ours) == o.SSL_STREAM_STATE_FINISHED
    with pytest.raises(ZeroReturn):
        theirs.read()


def test_F41_freeing_an_unfinished_stream_gives_it_up() -> None:
    both = accepting()
    ours, theirs = joined(both)
    o.SSL_free(ours)
    o.SSL_free(ours)
    both.tick()
    assert o.SSL_get_stream_read_error_code(theirs) == (1, 0)
    assert o.SSL_get_stream_write_error_code(theirs) == (1, 0)
    with pytest.raises(UsageError, match="closed"):
        ours.write(b"x")


def test_F41_freeing_a_finished_stream_gives_nothing_up() -> None:
    both = accepting()
    ours, theirs = joined(both)
    ours.write(b"all of it", conclude=True)
    theirs.conclude()
    with pytest.raises(ZeroReturn):
        ours.read()
    o.SSL_free(ours)
    both.tick()
    assert theirs.read() == b"all of it"
    with pytest.raises(ZeroReturn):
        theirs.read()


def test_F42_freeing_in_either_order() -> None:
    both = accepting()
    ours, theirs = joined(both)
    o.SSL_free(ours)
    o.SSL_free(both.client)
    o.SSL_free(both.server)
    with pytest.raises(UsageError, match="closed"):
        theirs.read()
    assert o.SSL_get_stream_read_state(theirs) == o.SSL_STREAM_STATE_CONN_CLOSED
    o.SSL_free(theirs)
    o.SSL_free(None)


def test_nothing_is_kept_of_streams_that_are_over() -> None:
    both = accepting()
    for _ in range(300):
        ours = stream(both.client)
        ours.write(b"x", conclude=True)
        theirs = accepted(both.server)
        assert theirs.read() == b"x"
        theirs.conclude()
        with pytest.raises(ZeroReturn):
            theirs.read()
        with pytest.raises(ZeroReturn):
            ours.read()
        both.quiet()
    assert len(both.client._streams) < 3
    assert len(both.server._streams) < 3


@pytest.mark.parametrize("mode", ["refused", "stopped before", "ahead"])
def test_the_peers_end_comes_with_what_would_be_answered(mode: str) -> None:
    both = connected(server={"quic": {"initial_max_streams_bidi": 1}}, client={"quic": {"initial_max_streams_bidi": 1}})
    if mode == "ahead":
        first, second = stream(both.server), stream(both.server, o.SSL_STREAM_FLAG_ADVANCE)
        second.write(b"x")
        second.reset(1)
        first.write(b"x", conclude=True)
        theirs = accepted(both.client)
        assert theirs.read() == b"x"
        theirs.conclude()
        with pytest.raises(ZeroReturn):
            theirs.read()
        both.clock.now += 1
        both.client.handle_events()
    else:
        o.SSL_set_incoming_stream_policy(both.server, o.SSL_INCOMING_STREAM_POLICY_REJECT, 1)
        ours = stream(both.client)
        ours.write(b"x")
        if mode == "stopped before":
            ours.stop_sending(3)
    both.client.shutdown(code=5, rapid=True)
    assert o.SSL_handle_events(both.server) == 1
    assert both.server.close_info is not None
