"""Contract F44 and F45 for QUIC: connections, streams and listeners in SSL_poll(3). The rest is in `test_poll`."""

from __future__ import annotations

from typing import Any

import pytest

import caesura
from caesura import PollEvent
from caesura.errors import StreamReset, StreamStopped, WantRead, WantWrite, ZeroReturn
from caesura.sslobject.quic_object import EventHandling
from caesura.sslobject.quic_stream import QUICStream
from tests.support import ssl_pair
from tests.support.quic_ssl import Pair, calling, connected, drive, listening, pair

F, EL, EC, ECD = PollEvent.F, PollEvent.EL, PollEvent.EC, PollEvent.ECD
R, W, RW, ER, EW = PollEvent.R, PollEvent.W, PollEvent.RW, PollEvent.ER, PollEvent.EW
IC, ISB, ISU, OS = PollEvent.IC, PollEvent.ISB, PollEvent.ISU, PollEvent.OS
NONE = PollEvent.NONE
ALL = PollEvent((1 << 13) - 1)


def now(*things: Any) -> list[PollEvent]:
    """What holds of each, after what can be done at once is done, on both sides."""
    caesura.poll([(each, ALL) for each in things], 0)
    return caesura.poll([(each, ALL) for each in things], 0)


def streams(both: Pair, *, unidirectional: bool = False) -> tuple[QUICStream, QUICStream]:
    """One stream, on both sides."""
    ours = both.client.new_stream(unidirectional=unidirectional)
    assert ours is not None
    ours.write(b"x")
    both.tick()
    theirs = both.server.accept_stream()
    assert theirs is not None
    assert theirs.read() == b"x"
    return ours, theirs


def test_F45_a_connection_that_has_not_begun() -> None:
    both = pair()
    assert now(both.client) == [NONE]
    assert caesura.poll([(both.client, ALL)], None) == [F]  # nobody would hear of it


def test_F45_connections_and_streams_to_be_opened() -> None:
    both = pair(server={"quic": {"initial_max_streams_bidi": 1, "initial_max_streams_uni": 0}})
    drive(both.clock, both.client.do_handshake, both.server.do_handshake)
    assert now(both.client, both.server) == [PollEvent.OSB, OS]
    ours = both.client.new_stream()
    assert ours is not None
    assert now(both.client) == [NONE]
    assert both.client.new_stream() is None
    ours.write(b"x", conclude=True)
    both.tick()
    theirs = both.server.accept_stream()
    assert theirs is not None
    with pytest.raises(WantRead):
        ours.read()
    assert theirs.read() == b"x"
    theirs.conclude()
    both.quiet()
    assert now(both.client) == [PollEvent.OSB]


def test_F45_streams_that_come() -> None:
    both = connected()
    two_ways = both.client.new_stream()
    one_way = both.client.new_stream(unidirectional=True)
    assert two_ways is not None
    assert one_way is not None
    two_ways.write(b"x")
    assert now(both.client, both.server) == [OS, OS | ISB]
    one_way.write(b"x")
    assert now(both.client, both.server) == [OS, OS | PollEvent.IS]
    assert both.server.accept_stream(unidirectional=False) is not None
    assert now(both.server) == [OS | ISU]


def test_F45_reading_and_the_end_of_it() -> None:
    both = connected()
    ours, theirs = streams(both)
    assert now(ours, theirs) == [W, W]
    ours.write(b"hello", conclude=True)
    assert now(ours, theirs) == [NONE, RW]
    assert theirs.read(3) == b"hel"
    assert now(theirs) == [RW]
    assert theirs.read() == b"lo"
    assert now(theirs) == [RW]  # the end is to be read
    with pytest.raises(ZeroReturn):
        theirs.read()
    assert now(theirs) == [W]
    theirs.conclude()
    assert now(ours, theirs) == [R, NONE]


def test_F45_one_way_streams_have_one_direction() -> None:
    both = connected()
    ours, theirs = streams(both, unidirectional=True)
    assert now(ours, theirs) == [W, NONE]
    ours.write(b"x")
    assert now(ours, theirs) == [W, R]


def test_F45_resets() -> None:
    both = connected()
    ours, theirs = streams(both)
    ours.reset(7)
    assert now(ours, theirs) == [NONE, ER | W]
    with pytest.raises(StreamReset):
        theirs.read()
    assert now(theirs) == [ER | W]
    ours.stop_sending(8)
    assert now(ours, theirs) == [NONE, ER | EW]
    with pytest.raises(StreamStopped):
        theirs.write(b"x")


def test_F45_a_stream_that_has_enough_to_send() -> None:
    both = connected(quic={"initial_max_data": 2000, "max_data_window": 2000, "stream_write_buffer": 5000})
    ours, theirs = streams(both)
    assert ours.write(bytes(10_000)) == 10_000
    assert now(ours) == [NONE]
    with pytest.raises(WantWrite):
        ours.write(b"x")
    while theirs.pending() or now(theirs) == [RW]:
        theirs.read()
        both.quiet()
    assert now(ours) == [W]


def test_F45_the_default_stream_is_polled_as_the_connection() -> None:
    both = connected()
    assert now(both.client) == [OS]
    both.client.write(b"hello")
    assert now(both.client, both.server) == [OS | W, OS | ISB]
    assert both.server.read() == b"hello"
    assert now(both.server) == [OS | W]
    both.server.write(b"hello")
    assert now(both.server, both.client)[1] == OS | RW


def test_F45_the_end_of_a_connection() -> None:
    """A stream's poll ends too, which is ours: the page would have it wait."""
    both = connected()
    ours, theirs = streams(both)
    ours.write(b"last")
    both.tick()
    assert not both.client.shutdown(no_stream_flush=True)
    assert now(both.client, both.server) == [EC, EC]
    assert now(ours, theirs) == [ER | EW, R | EW]
    assert theirs.read() == b"last"
    assert now(ours, theirs) == [ER | EW, ER | EW]
    both.clock.now += 10
    assert now(both.client, both.server) == [EC | ECD, EC | ECD]
    both.client.close()
    assert now(both.client) == [F]
    assert now(ours) == [ER | EW]


def test_F45_the_end_of_the_bios() -> None:
    """Of that a stream's poll hears too."""
    both = connected()
    ours, theirs = streams(both)
    one_way, other_way = streams(both, unidirectional=True)
    theirs.write(b"last")
    both.tick()
    for side in (both.client, both.server):
        assert side.domain is not None
        side.domain.failure = OSError("the network is gone")
    assert now(ours, one_way, other_way, both.client) == [R | EW, EW, ER, EC | ECD]
    assert ours.read() == b"last"
    assert now(ours) == [ER | EW]


def test_F45_a_listener() -> None:
    listener, net, clock = listening()
    assert now(listener) == [NONE]
    one = calling(net, clock)
    listener.listen()
    drive(clock, one.do_handshake, meanwhile=lambda: caesura.poll([(listener, IC)], 0))
    assert now(listener) == now(listener) == [IC]
    first = listener.accept_connection()
    assert first is not None
    assert now(listener, first) == [NONE, OS]
    net.ends[listener.rbio.address].error = OSError("the network is gone")  # type: ignore[union-attr]
    assert now(listener, first) == [EL, EC | ECD]
    listener.close()
    assert now(listener) == [F]


def test_F44_any_mix_in_one_call() -> None:
    both = connected()
    ours, theirs = streams(both)
    one, two = ssl_pair.connected()
    one.write(b"x")
    theirs.write(b"y")
    items = [(None, ALL), (two, R), (both.client, R), (ours, R), (both.server, OS)]
    assert caesura.poll(items, 0) == [NONE, R, NONE, R, OS]


def test_F44_polling_handles_events_unless_told_otherwise() -> None:
    both = connected()
    ours, theirs = streams(both)
    for mode, flagged in ((EventHandling.INHERIT, True), (EventHandling.EXPLICIT, False)):
        theirs.event_handling = both.server.event_handling = mode
        ours.write(b"x")
        assert caesura.poll([(theirs, R)], 0, handle_events=not flagged) == [NONE]
        both.server.handle_events()
        assert caesura.poll([(theirs, R)], 0, handle_events=not flagged) == [R]
        assert theirs.read() == b"x"
    theirs.event_handling = both.server.event_handling = EventHandling.INHERIT
    ours.write(b"x")
    assert caesura.poll([(theirs, R)], 0) == [R]


def test_F44_a_handshake_is_carried_on_by_polling() -> None:
    """And its paused work goes on."""
    both = pair()
    for each in (both.client, both.server):
        with pytest.raises(WantRead):
            each.do_handshake()
    for _ in range(50):
        if caesura.poll([(both.client, OS), (both.server, OS)], 0) == [OS, OS]:
            break
        both.clock.now += 0.001
    assert both.client.handshake_complete
    assert both.server.handshake_complete


def test_F44_timers_are_served() -> None:
    both = connected(quic={"max_idle_timeout": 5.0})
    ours, _ = streams(both)
    both.quiet()
    both.clock.now += 6
    assert caesura.poll([(both.client, EC), (ours, R)], 0) == [EC, NONE]
