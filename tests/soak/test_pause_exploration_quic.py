"""Every pause that a QUIC connection can have, and every way in which it can end, on virtual time (see `exploring`).

What stands still does so for three seconds. Meanwhile the connection goes on: what comes is acknowledged, and nobody
repeats more than can be helped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from caesura.context import QUIC_EARLY_DATA, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.engines import Engine, Operation
from caesura.errors import IdleTimeout, PeerAlert, PeerClose, TransportErrorCode
from caesura.quic import QUICConnection
from caesura.quic_settings import QUICSettings
from tests.quic.link import QUICLink, client_context, server_context
from tests.quic.packet_log import PacketLog
from tests.soak.exploring import Exploration, assert_quiet, every_pause
from tests.soak.halting import HaltEngine
from tests.support.datagram_link import SERVER
from tests.tls.world import identity, trust

DEADLINE = 20.0
PAUSE = 3.0
STAGE = 0.5  # seconds that a stage of a life may take
MAX_ACK_DELAY = QUICSettings().max_ack_delay

Settings = tuple[dict[str, Any], dict[str, Any]]
FLAVOURS: dict[str, Settings] = {
    "full": ({}, {"ticket_count": 1}),
    "retried": ({}, {"groups": ["secp256r1"], "ticket_count": 1}),
    "resumed": ({}, {"ticket_count": 1}),
    "with early data": ({}, {"ticket_count": 1, "max_early_data": QUIC_EARLY_DATA}),
    "authenticated": (
        {"identity": identity("client"), "verify_peer": lambda _: True, "sessions": None},
        {
            "trust": trust(),
            "verify": Verify.REQUIRED,
            "verify_peer": lambda _: True,
            "select_identity": lambda _: None,
            "ticket_count": 0,
        },
    ),
}


class World(Exploration):
    least = 2

    def __init__(self, flavour: str) -> None:
        super().__init__()
        ours, theirs = FLAVOURS[flavour]
        self.log = PacketLog()
        common: dict[str, Any] = {"async_mode": True, "deadline": DEADLINE, "quic": {"qlog": self.log}}
        self.client = client_context(**common, **ours)
        self.server = server_context(**common, ticket_keys=TicketKeys(), **theirs)
        self.early = flavour == "with early data"
        if flavour in ("resumed", "with early data"):
            self.keep_session()

    def pair(self, ours: Engine, theirs: Engine) -> QUICLink:
        self.fresh(ours, theirs)
        session = self.session
        link = QUICLink(
            QUICConnection(
                self.client,
                server_side=False,
                server_hostname="example.test",
                addr=SERVER,
                session=session,
                early_data=self.early and session is not None,
            ),
            QUICConnection(self.server, server_side=True),
        )
        self.log.follow(link)
        return link

    def forget(self) -> None:
        super().forget()
        self.log.follow(None)

    def live(self, link: QUICLink) -> Iterator[None]:
        link.start()
        if link.client.may_write:  # 0-RTT
            link.send(b"early")
        yield
        for data in (b"from one side", b"and again"):
            link.send(data)
            link.send(data, by_client=False)
            yield
            link.client.key_update()
        link.client.shutdown()
        yield

    def rest(self, link: QUICLink, until: Callable[[], object] = lambda: False) -> None:
        link.run(until, seconds=STAGE)

    def happy(self, link: QUICLink) -> None:
        for side in (link.ours, link.theirs):
            connection = side.connection
            assert connection.error is None
            assert connection.close_notify_received is (side is link.theirs)
            assert_quiet(connection)
            heard = [data for stream_id, data in side.streams.items() if data != b"early"]
            assert heard == [b"from one side", b"and again"]

    def stand(self, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
        begin = link.now
        link.wait(PAUSE)
        assert self.log.late(begin, link.now - 2 * MAX_ACK_DELAY, 2 * MAX_ACK_DELAY) == []
        by_client = subject is link.client
        assert len(self.log.repeated(by_client=by_client)) <= 1
        blind = by_client and engine.halted is Operation.KEY_EXCHANGE  # it can open nothing, and say so of nothing
        assert len(self.log.repeated(by_client=not by_client)) <= (10 if blind else 1)

    def expire(self, link: QUICLink, subject: QUICConnection, engine: HaltEngine) -> None:
        began = link.now
        link.run(lambda: subject.error is not None, seconds=2 * DEADLINE)
        assert link.now == began + DEADLINE

    def ended(
        self, link: QUICLink, subject: QUICConnection, other: QUICConnection, engine: HaltEngine, end: str
    ) -> None:
        """The other side hears why, or learns from the silence."""
        link.run(lambda: other.terminated, seconds=1000)
        if isinstance(other.error, PeerClose):
            assert other.error.error_code is TransportErrorCode.INTERNAL_ERROR
        elif other.error is not None:
            assert isinstance(other.error, IdleTimeout | PeerAlert)
        subject.receive_datagram(b"whatever comes", SERVER, link.now)
        subject.advance(link.now)
        subject.handle_timeout(link.now + 1e6)


@every_pause
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_pause(flavour: str, kind: str, end: str, tally: Counter[str]) -> None:
    World(flavour).explore_all(kind, end, tally)
