"""Every pause that a DTLS connection can have, and every way in which it can end, on virtual time (see `exploring`).

What stands still does so for three seconds. Meanwhile the network and the other side's timers go on: nobody may lose
patience, nor repeat itself more often than its own timer says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from caesura.context import Context, Verify
from caesura.crypto.tickets import TicketKeys
from caesura.dtls import DTLSConnection
from caesura.engines import Engine, Operation
from caesura.errors import AlertDescription, PeerAlert, ReadTimeoutExpired
from caesura.wire.registries import Version
from tests.dtls.world import DTLS12, DTLS13, asking_context, client_context, server_context
from tests.soak.exploring import Exploration, assert_quiet, every_pause
from tests.soak.halting import HaltEngine
from tests.support.datagram_link import CLIENT, SERVER, DatagramLink, drain, received
from tests.tls.world import identity

DEADLINE = 30.0
PAUSE = 3.0
PSK_SUITES = {"cipher_suites": ["TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"], "lookup_psk": lambda _: ("who", bytes(32))}

Settings = tuple[dict[str, Any], dict[str, Any], Callable[..., Context]]
AUTHENTICATED: Settings = (
    {"identity": identity("client"), "verify_peer": lambda _: True, "sessions": None},
    {"verify": Verify.REQUIRED, "verify_peer": lambda _: True, "select_identity": lambda _: None, "ticket_count": 0},
    asking_context,
)
FLAVOURS: dict[str, tuple[dict[str, Any], Settings]] = {
    "DTLS 1.2, full": (DTLS12, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.2, resumed": (DTLS12, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.2, authenticated": (DTLS12, AUTHENTICATED),
    "DTLS 1.2, with a pre-shared key": (
        DTLS12,
        ({"trust": None, **PSK_SUITES}, {"identity": None, "ticket_count": 1, **PSK_SUITES}, server_context),
    ),
    "DTLS 1.3, full": (DTLS13, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.3, retried": (DTLS13, ({}, {"groups": ["secp256r1"], "ticket_count": 1}, server_context)),
    "DTLS 1.3, resumed": (DTLS13, ({}, {"ticket_count": 1}, server_context)),
    "DTLS 1.3, authenticated": (DTLS13, AUTHENTICATED),
}


class World(Exploration):
    least = 7

    def __init__(self, flavour: str) -> None:
        super().__init__()
        version, (ours, theirs, make) = FLAVOURS[flavour]
        common = {**version, "async_mode": True, "deadline": DEADLINE}
        self.client = client_context(**common, **ours)
        self.server = make(**common, ticket_keys=TicketKeys(), **theirs)
        if flavour.endswith("resumed"):
            self.keep_session()

    def pair(self, ours: Engine, theirs: Engine) -> DatagramLink:
        self.fresh(ours, theirs)
        return DatagramLink(
            DTLSConnection(
                self.client, server_side=False, server_hostname="localhost", addr=SERVER, session=self.session
            ),
            DTLSConnection(self.server, server_side=True, addr=CLIENT),
        )

    def live(self, link: DatagramLink) -> Iterator[None]:
        link.start()
        yield
        link.client.write(b"from the client")
        link.server.write(b"from the server")
        yield
        if link.client.version is Version.DTLS13:
            link.client.key_update(request_peer=True)
            yield
        link.client.write(b", again")
        link.server.write(b", again")
        yield
        link.client.shutdown()
        link.server.shutdown()
        yield

    def rest(self, link: DatagramLink, until: Callable[[], object] = lambda: False) -> None:
        link.run(until)

    def happy(self, link: DatagramLink) -> None:
        for side in link.sides:
            assert side.error is None
            assert side.close_notify_received
            assert side.timeout() is None
            assert_quiet(side)
        assert received(link.server_events) == [b"from the client", b", again"]
        assert received(link.client_events) == [b"from the server", b", again"]

    def stand(self, link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
        paused_at, handshaking = link.now, not subject.handshake_complete
        link.wait(PAUSE)
        if handshaking:
            patient(link, subject, paused_at)

    def expire(self, link: DatagramLink, subject: DTLSConnection, engine: HaltEngine) -> None:
        began = link.now
        link.run(lambda: subject.error is not None)
        assert link.now == began + DEADLINE

    def ended(
        self, link: DatagramLink, subject: DTLSConnection, other: DTLSConnection, engine: HaltEngine, end: str
    ) -> None:
        """The other side hears why, or learns from the silence."""
        link.run(seconds=1000)
        if isinstance(other.error, PeerAlert):
            assert other.error.description is AlertDescription.internal_error
        elif other.error is not None:
            assert isinstance(other.error, ReadTimeoutExpired)
        subject.receive_datagram(b"whatever comes", None, link.now)
        subject.advance(link.now)
        subject.handle_timeout(link.now + 1e6)
        drain(subject)
        if engine.halted in (Operation.SEAL_RECORD, Operation.OPEN_RECORD, Operation.STORE_SESSION) and subject.error:
            assert isinstance(other.error, PeerAlert) or other.close_notify_received  # the keys are there to say so


def patient(link: DatagramLink, subject: DTLSConnection, paused_at: float) -> None:
    """The other side repeats itself as its timer says, after 1 s and 3 s; what is paused says no more than "I know"."""
    by_client = subject is link.client
    later = [each for each in link.sent if each.at > paused_at + 2 * link.network.delay]
    repetitions = {each.at for each in later if each.by_client is not by_client}
    own = [each for each in later if each.by_client is by_client]
    assert len(repetitions) <= 2
    assert len(own) <= (0 if subject.version is Version.DTLS12 else len(repetitions))  # ACKs
    assert all(len(each.data) < 100 for each in own)


@every_pause
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_pause(flavour: str, kind: str, end: str, tally: Counter[str]) -> None:
    World(flavour).explore_all(kind, end, tally)
