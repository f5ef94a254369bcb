"""What tests of early data begin with: two contexts on one clock that have met before, and puppets that have too."""

from __future__ import annotations

from typing import Any

from caesura.crypto.suites import SUITES
from caesura.events import EarlyDataReceived, EarlyDataRejected, Event
from caesura.handshake.schedule13 import EarlySecret
from caesura.sessions import Session
from caesura.tls import TLSConnection
from caesura.tls.records import RecordKey
from caesura.wire.extensions import ALPN_SERVER, EARLY_DATA, PRE_SHARED_KEY_SERVER, Extensions
from caesura.wire.messages import ClientHello, EncryptedExtensions, EndOfEarlyData
from caesura.wire.registries import ExtensionType, HandshakeType
from tests.support.clock import FakeClock
from tests.support.link import Link
from tests.tls.puppet import PREFIX, Puppet, PuppetClient, PuppetServer
from tests.tls.world import WALL, client_context, identity, server_context

MOST = 16_384
PING = b"ping, early"


class Acquainted:
    """A client's and a server's context that have made a session with room for early data."""

    def __init__(
        self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, most: int = MOST
    ) -> None:
        self.clock = FakeClock(wall_time=WALL)
        self.client = client_context(clock=self.clock, **(client or {}))
        self.server = server_context(clock=self.clock, **{"max_early_data": most, **(server or {})})
        self.session = self.meet()

    def meet(self) -> Session:
        """A session of a new connection, which the client's store does not know."""
        made = Link(self.ours(None), self.theirs()).handshake()
        assert made.client.session is not None
        while self.client.sessions.take(made.client.session.binding):
            pass
        return made.client.session

    def ours(self, early_data: bytes | bool | None = PING, *, session: Session | None = None) -> TLSConnection:
        """A client's connection."""
        return TLSConnection(
            self.client, server_side=False, server_hostname="localhost", session=session, early_data=early_data
        )

    def theirs(self, early_data: bool | None = None) -> TLSConnection:
        """A server's connection."""
        return TLSConnection(self.server, server_side=True, early_data=early_data)

    def pair(
        self, early_data: bytes | bool | None = PING, *, session: Session | None = None, taken: bool | None = None
    ) -> Link:
        """Both, with the session; `taken` is the server's word on early data."""
        return Link(self.ours(early_data, session=session or self.session), self.theirs(taken))

    def copy(self) -> Session:
        """The session once more, as a client would have it that uses a ticket twice."""
        return Session.from_bytes(self.session.to_bytes())


def early(events: list[Event]) -> bytes:
    """The early data among the events."""
    return b"".join(event.data for event in events if isinstance(event, EarlyDataReceived))


def reasons(events: list[Event]) -> list[str]:
    """Why early data did not get through, by the events."""
    return [event.reason.value for event in events if isinstance(event, EarlyDataRejected)]


def early_key(puppet: Puppet, session: Session, hello: bytes) -> RecordKey:
    """The key of the early data behind this hello."""
    suite = SUITES[session.cipher_suite]
    secret = EarlySecret(suite.hash, PREFIX, session.psk).client_traffic(suite, suite.hash.digest(hello))
    return RecordKey(secret, PREFIX)


class EarlyClient(PuppetClient):
    """A client that has offered early data and heard the server's flight; it writes under the early key."""

    def __init__(self, acquainted: Acquainted, **options: Any) -> None:
        super().__init__(acquainted.theirs(**options), session=acquainted.session)

    def begin(self, hello: ClientHello | None = None) -> EarlyClient:
        """Say a hello that offers early data."""
        assert self.session is not None
        hello = hello or self.hello()
        hello.extensions.put(EARLY_DATA, True)
        self.start(hello)
        self.early = early_key(self, self.session, hello.encode())
        self.write_key = self.early
        return self

    def end(self, message: EndOfEarlyData | bytes | None = None) -> EarlyClient:
        """Say EndOfEarlyData and change keys."""
        self.say(message or EndOfEarlyData())
        self.write_key = RecordKey(self.own(self.handshake), PREFIX)
        return self


class EarlyServer(PuppetServer):
    """A server that a client has offered early data, and sent some."""

    def __init__(self, acquainted: Acquainted, early_data: bytes | bool = PING) -> None:
        self.acquainted_with = acquainted.session
        super().__init__(acquainted.ours(early_data, session=acquainted.session), identity(), acquainted.session)

    def hear(self, raw: bytes) -> None:
        super().hear(raw)
        if raw[0] == HandshakeType.client_hello and ExtensionType.early_data in self.client_hello.extensions:
            self.read_key = early_key(self, self.acquainted_with, raw)
        elif raw[0] == HandshakeType.end_of_early_data:
            self.read_key = RecordKey(self.theirs(self.handshake), PREFIX)

    def accept(self, **changes: Any) -> EarlyServer:
        """Say ServerHello; what the client writes stays early data."""
        before = self.read_key
        index = changes.pop("index", 0)
        hello = self.hello(**changes)
        hello.extensions.remove(ExtensionType.pre_shared_key)
        if index is not None:
            hello.extensions.put(PRE_SHARED_KEY_SERVER, index)
        self.greet(hello)
        self.read_key = before
        return self


def with_early_data(alpn: bytes | None = None) -> EncryptedExtensions:
    """EncryptedExtensions that take early data."""
    extensions = Extensions()
    extensions.put(EARLY_DATA, True)
    if alpn is not None:
        extensions.put(ALPN_SERVER, alpn)
    return EncryptedExtensions(extensions)
