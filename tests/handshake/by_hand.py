"""Handshakes without connections: two generators, and a hand that answers what they ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caesura.context import Context
from caesura.crypto.secrets import TrafficSecret
from caesura.events import EarlyDataReason
from caesura.handshake import hello
from caesura.handshake.requests import Perform, PerformBoth, Request, Steps
from caesura.handshake.state import Established, Handshake
from caesura.handshake.transport import Epoch, Profile
from caesura.sessions import Session
from caesura.tls.connection import PROFILE
from caesura.wire.extensions import Extensions
from caesura.wire.messages import HandshakeMessage, decode_message
from caesura.wire.registries import HandshakeType, Version


@dataclass
class FakeTransport:
    """A MessageTransport that writes down what it is told."""

    sent: deque[bytes] = field(default_factory=deque)
    told: list[str] = field(default_factory=list)
    secrets: dict[str, TrafficSecret] = field(default_factory=dict)
    established: Established | None = None
    version: Version | None = None
    takes_early_data: bool = True

    def send(self, epoch: Epoch, message: bytes) -> bytes:
        self.sent.append(message)
        self.told.append(f"{epoch.name.lower()}: {HandshakeType(message[0]).name}")
        return message

    def install_read(self, epoch: Epoch, secret: TrafficSecret) -> None:
        self.told.append(f"read {epoch.name.lower()}")
        self.secrets[f"read {epoch.name.lower()}"] = secret

    def install_write(self, epoch: Epoch, secret: TrafficSecret) -> None:
        self.told.append(f"write {epoch.name.lower()}")
        self.secrets[f"write {epoch.name.lower()}"] = secret

    def version_chosen(self, version: Version) -> None:
        self.version = version

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:
        return Extensions()

    def peer_extensions(self, extensions: Extensions) -> None:
        pass

    def context_selected(self, context: Context) -> None:
        self.told.append("another context")

    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:
        self.told.append(f"{'' if accepted else 'no '}early data: {reason.value}")

    def accepts_early_data(self, ticket_state: bytes) -> bool:
        return self.takes_early_data

    def ticket_state(self) -> bytes:
        return b""

    def accepts(self, ticket_state: bytes) -> bool:
        return not ticket_state

    def completed(self, established: Established) -> None:
        self.told.append("completed")
        self.established = established


class Hand:
    """One side: its generator, what it asked so far, and the request that is open."""

    def __init__(
        self,
        context: Context,
        *,
        server_side: bool,
        session: Session | None = None,
        profile: Profile = PROFILE,
        early_data: int | None = None,
    ) -> None:
        self.transport = FakeTransport()
        name = None if server_side else "localhost"
        hs = Handshake(context.settings, self.transport, profile, server_side, name, session, early_data)
        self.handshake = hs
        self.steps: Steps[None] = hello.accept(hs) if server_side else hello.connect(hs)
        self.asked: list[str] = []
        self.done = False
        self.request: Request | None = None
        self._go_on(lambda: next(self.steps))

    def answer(self, value: Any) -> None:
        """Send an answer to the open request."""
        self._go_on(lambda: self.steps.send(value))

    def _go_on(self, step: Callable[[], Request]) -> None:
        self.request = None
        try:
            self.request = step()
        except StopIteration:
            self.done = True
        else:
            self.asked.append(name_of(self.request))

    def perform(self) -> bool:
        """Do the work that is asked for, if it is work."""
        if isinstance(self.request, Perform):
            self.answer(self.request.function(*self.request.args))
            return True
        if isinstance(self.request, PerformBoth):
            both = (self.request.first, self.request.second)
            self.answer(tuple(each.function(*each.args) for each in both))
            return True
        return False

    def receive(self, raw: bytes) -> None:
        """Hand over one message, which must be of a type that is asked for."""
        assert isinstance(self.request, tuple)
        self.answer(self.decode(raw))

    def decode(self, raw: bytes) -> HandshakeMessage:
        assert isinstance(self.request, tuple)
        (kind,) = [each for each in self.request if each.msg_type == raw[0]]
        return decode_message(kind, raw)

    def step(self, other: Hand) -> bool:
        """One answer, from the work or from the other side; false when there is none."""
        if self.done or self.request is None:
            return False
        if self.perform():
            return True
        if other.transport.sent:
            self.receive(other.transport.sent.popleft())
            return True
        return False


def name_of(request: Request) -> str:
    """A request in a word."""
    if isinstance(request, tuple):
        return "receive " + " or ".join(each.__name__ for each in request)
    if isinstance(request, Perform):
        return request.operation.name
    return f"{request.first.operation.name} and {request.second.operation.name}"


def pair_of(client: Context, server: Context, session: Session | None = None) -> tuple[Hand, Hand]:
    """Both sides, at their first requests."""
    return Hand(client, server_side=False, session=session), Hand(server, server_side=True)


def run(client: Hand, server: Hand) -> None:
    """Answer everything."""
    while client.step(server) or server.step(client):
        pass
