"""Every state that either role of a TLS 1.2 connection waits in, each with a puppet that has brought it there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from caesura.context import Context, Verify
from caesura.sessions import Session
from caesura.wire.registries import ExtensionType
from tests.support.link import link
from tests.tls.puppet12 import Puppet12, PuppetClient12, PuppetServer12
from tests.tls.states import client, server
from tests.tls.world import TLS12, asking_context, client_context, identity, server_context

State12 = Callable[[], Puppet12]


def client12(**settings: object) -> Context:
    return client_context(**{**TLS12, **settings})


def server12(**settings: object) -> Context:
    return server_context(**{**TLS12, **settings})


@cache
def _contexts(by_ticket: bool) -> tuple[Context, Context]:
    return client12(), server12(ticket_count=2 if by_ticket else 0)


def fresh_session12(*, by_ticket: bool = True) -> tuple[Session, Context, Context]:
    """A session nobody has used, with the client's and the server's context it was made by."""
    contexts = _contexts(by_ticket)
    made = link(*contexts).handshake().client
    assert made.session is not None
    assert bool(made.session.ticket) is by_ticket
    while contexts[0].settings.sessions.take(made.session.binding):  # each state begins with an empty store
        pass
    made.session.resumable = True
    return made.session, *contexts


# --- clients -----------------------------------------------------------------------------------------------------


def wait_server_hello() -> PuppetServer12:
    return PuppetServer12(client(client12()), identity())


def wait_server_certificate() -> PuppetServer12:
    return wait_server_hello().greet()


def wait_status_or_key_exchange() -> PuppetServer12:
    puppet = wait_server_hello()
    puppet.greet(puppet.extended(ExtensionType.status_request))
    puppet.say(puppet.certificate())
    return puppet


def wait_key_exchange_after_status() -> PuppetServer12:
    puppet = wait_status_or_key_exchange()
    puppet.say(puppet.status())
    return puppet


def wait_server_key_exchange() -> PuppetServer12:
    puppet = wait_server_certificate()
    puppet.say(puppet.certificate())
    return puppet


def wait_request_or_done() -> PuppetServer12:
    puppet = wait_server_key_exchange()
    puppet.say(puppet.key_exchange())
    return puppet


def wait_done_after_request() -> PuppetServer12:
    puppet = wait_request_or_done()
    puppet.say(puppet.certificate_request())
    return puppet


def wait_server_ticket() -> PuppetServer12:
    puppet = wait_server_hello()
    return puppet.greet(puppet.extended(ExtensionType.session_ticket)).prove_and_hear()


def wait_server_spec() -> PuppetServer12:
    return wait_server_certificate().prove_and_hear()


def wait_server_spec_after_ticket() -> PuppetServer12:
    puppet = wait_server_ticket()
    puppet.say(puppet.ticket())
    return puppet


def wait_server_finished() -> PuppetServer12:
    puppet = wait_server_spec()
    puppet.spec()
    return puppet


def resuming_server() -> PuppetServer12:
    session, context, _ = fresh_session12()
    return PuppetServer12(client(context, session), identity(), session)


def wait_server_spec_resumed() -> PuppetServer12:
    return resuming_server().greet()


def wait_server_ticket_resumed() -> PuppetServer12:
    puppet = resuming_server()
    return puppet.greet(puppet.extended(ExtensionType.session_ticket))


def wait_server_finished_resumed() -> PuppetServer12:
    puppet = wait_server_spec_resumed()
    puppet.spec()
    return puppet


def client_connected() -> PuppetServer12:
    return wait_server_spec().finish()


def client_connected_resumed() -> PuppetServer12:
    return wait_server_spec_resumed().finish()


# --- servers -----------------------------------------------------------------------------------------------------


def wait_client_hello() -> PuppetClient12:
    return PuppetClient12(server(server12()))


def wait_client_key_exchange() -> PuppetClient12:
    return wait_client_hello().start()


def wait_client_spec() -> PuppetClient12:
    return wait_client_key_exchange().exchange()


def wait_client_finished() -> PuppetClient12:
    puppet = wait_client_spec()
    puppet.spec()
    return puppet


def wait_client_certificate() -> PuppetClient12:
    return PuppetClient12(server(asking_context(Verify.OPTIONAL, **TLS12))).start()


def wait_client_key_exchange_certified() -> PuppetClient12:
    puppet = wait_client_certificate()
    puppet.say(puppet.certificate(identity("client")))
    return puppet


def wait_client_key_exchange_anonymous() -> PuppetClient12:
    puppet = wait_client_certificate()
    puppet.say(puppet.certificate(None))
    return puppet


def wait_client_certificate_verify() -> PuppetClient12:
    return wait_client_key_exchange_certified().exchange()


def wait_client_spec_certified() -> PuppetClient12:
    puppet = wait_client_certificate_verify()
    puppet.say(puppet.prove(identity("client")))
    return puppet


def wait_client_spec_resumed() -> PuppetClient12:
    session, _, context = fresh_session12()
    return PuppetClient12(server(context), session).start()


def wait_client_finished_resumed() -> PuppetClient12:
    puppet = wait_client_spec_resumed()
    puppet.spec()
    return puppet


def server_connected() -> PuppetClient12:
    return wait_client_spec().finish()


def server_connected_resumed() -> PuppetClient12:
    return wait_client_spec_resumed().finish()


# What may come in each state, by the names of `tests/tls/test_states12.py`; everything else is unexpected_message.
STATES12: dict[State12, frozenset[str]] = {
    wait_server_hello: frozenset({"server_hello"}),
    wait_server_certificate: frozenset({"certificate", "empty certificate"}),
    wait_status_or_key_exchange: frozenset({"certificate_status", "server_key_exchange"}),
    wait_key_exchange_after_status: frozenset({"server_key_exchange"}),
    wait_server_key_exchange: frozenset({"server_key_exchange"}),
    wait_request_or_done: frozenset({"certificate_request", "server_hello_done"}),
    wait_done_after_request: frozenset({"server_hello_done"}),
    wait_server_ticket: frozenset({"new_session_ticket"}),
    wait_server_spec: frozenset(),
    wait_server_spec_after_ticket: frozenset(),
    wait_server_finished: frozenset({"finished"}),
    wait_server_spec_resumed: frozenset(),
    wait_server_ticket_resumed: frozenset({"new_session_ticket"}),
    wait_server_finished_resumed: frozenset({"finished"}),
    client_connected: frozenset({"hello_request"}),
    client_connected_resumed: frozenset({"hello_request"}),
    wait_client_hello: frozenset({"client_hello"}),
    wait_client_key_exchange: frozenset({"client_key_exchange"}),
    wait_client_spec: frozenset(),
    wait_client_finished: frozenset({"finished"}),
    wait_client_certificate: frozenset({"certificate", "empty certificate"}),
    wait_client_key_exchange_certified: frozenset({"client_key_exchange"}),
    wait_client_key_exchange_anonymous: frozenset({"client_key_exchange"}),
    wait_client_certificate_verify: frozenset({"certificate_verify"}),
    wait_client_spec_certified: frozenset(),
    wait_client_spec_resumed: frozenset(),
    wait_client_finished_resumed: frozenset({"finished"}),
    server_connected: frozenset({"client_hello"}),  # which is answered by no_renegotiation
    server_connected_resumed: frozenset({"client_hello"}),
}
SPEC: frozenset[State12] = frozenset(state for state, may in STATES12.items() if not may)
"""Where ChangeCipherSpec is what has to come."""

CONNECTED: frozenset[State12] = frozenset(
    {client_connected, client_connected_resumed, server_connected, server_connected_resumed}
)
