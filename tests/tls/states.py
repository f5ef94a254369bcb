"""Every state that either role of a TLS 1.3 connection waits in, each with a puppet that has brought it there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from caesura.context import Context, Verify
from caesura.sessions import Session
from caesura.tls import TLSConnection
from tests.support.link import link
from tests.tls.early import Acquainted, EarlyClient, EarlyServer, with_early_data
from tests.tls.puppet import Puppet, PuppetClient, PuppetServer
from tests.tls.world import asking_context, client_context, identity, server_context


@cache
def _contexts() -> tuple[Context, Context]:
    return client_context(), server_context()


@cache
def _known() -> Acquainted:
    return Acquainted()


def _acquainted() -> Acquainted:
    """Contexts that have met, with a session nobody has used."""
    known = _known()
    known.session = known.meet()
    return known


def fresh_session() -> tuple[Session, Context, Context]:
    """A session nobody has used, with the client's and the server's context it was made by."""
    client, server = _contexts()
    made = link(client, server).handshake().client
    assert made.session is not None
    while client.settings.sessions.take(made.session.binding):  # each state begins with an empty store
        pass
    return made.session, client, server


def client(context: Context | None = None, session: Session | None = None) -> TLSConnection:
    return TLSConnection(context or client_context(), server_side=False, server_hostname="localhost", session=session)


def server(context: Context | None = None) -> TLSConnection:
    return TLSConnection(context or server_context(), server_side=True)


# --- clients -----------------------------------------------------------------------------------------------------


def wait_server_hello() -> PuppetServer:
    return PuppetServer(client(), identity())


def wait_server_hello_again() -> PuppetServer:
    return wait_server_hello().ask_again()


def wait_encrypted_extensions() -> PuppetServer:
    return wait_server_hello().greet()


def wait_certificate_or_request() -> PuppetServer:
    puppet = wait_encrypted_extensions()
    puppet.say(puppet.encrypted_extensions())
    return puppet


def wait_certificate_after_request() -> PuppetServer:
    puppet = wait_certificate_or_request()
    puppet.say(puppet.certificate_request())
    return puppet


def wait_server_certificate_verify() -> PuppetServer:
    puppet = wait_certificate_or_request()
    puppet.say(puppet.certificate())
    return puppet


def wait_server_finished() -> PuppetServer:
    puppet = wait_server_certificate_verify()
    puppet.say(puppet.prove(puppet.identity))
    return puppet


def wait_encrypted_extensions_resumed() -> PuppetServer:
    session, context, _ = fresh_session()
    return PuppetServer(client(context, session), identity(), session).greet()


def wait_server_finished_resumed() -> PuppetServer:
    puppet = wait_encrypted_extensions_resumed()
    puppet.say(puppet.encrypted_extensions())
    return puppet


def client_connected() -> PuppetServer:
    return wait_server_hello().run()


def wait_server_hello_early() -> PuppetServer:
    """It has sent early data, as in the next two."""
    return EarlyServer(_acquainted())


def wait_encrypted_extensions_early() -> PuppetServer:
    return EarlyServer(_acquainted()).accept()


def wait_server_finished_early() -> PuppetServer:
    puppet = EarlyServer(_acquainted()).accept()
    puppet.say(with_early_data())
    return puppet


# --- servers -----------------------------------------------------------------------------------------------------


def wait_client_hello() -> PuppetClient:
    return PuppetClient(server())


def wait_client_hello_again() -> PuppetClient:
    return PuppetClient(server(server_context(groups=["secp256r1"]))).start()


def wait_client_finished() -> PuppetClient:
    return wait_client_hello().start()


def wait_client_finished_resumed() -> PuppetClient:
    session, _, context = fresh_session()
    return PuppetClient(server(context), session=session).start()


def wait_client_certificate() -> PuppetClient:
    return PuppetClient(server(asking_context(Verify.OPTIONAL))).start()


def wait_client_certificate_verify() -> PuppetClient:
    puppet = wait_client_certificate()
    puppet.say(puppet.certificate(identity("client")))
    return puppet


def wait_client_finished_certified() -> PuppetClient:
    puppet = wait_client_certificate_verify()
    puppet.say(puppet.prove(identity("client")))
    return puppet


def wait_client_finished_anonymous() -> PuppetClient:
    puppet = wait_client_certificate()
    puppet.say(puppet.certificate(None))
    return puppet


def wait_end_of_early_data() -> PuppetClient:
    return EarlyClient(_acquainted()).begin()


def wait_client_finished_early() -> PuppetClient:
    return EarlyClient(_acquainted()).begin().end()


def server_connected() -> PuppetClient:
    return wait_client_finished().finish()


# What may come in each state, by the names of `tests/tls/test_states.py`; everything else is unexpected_message.
STATES: dict[Callable[[], Puppet], frozenset[str]] = {
    wait_server_hello: frozenset({"server_hello", "hello_retry_request"}),
    wait_server_hello_again: frozenset({"server_hello"}),
    wait_encrypted_extensions: frozenset({"encrypted_extensions"}),
    wait_certificate_or_request: frozenset({"certificate", "empty certificate", "certificate_request"}),
    wait_certificate_after_request: frozenset({"certificate", "empty certificate"}),
    wait_server_certificate_verify: frozenset({"certificate_verify"}),
    wait_server_finished: frozenset({"finished"}),
    wait_encrypted_extensions_resumed: frozenset({"encrypted_extensions"}),
    wait_server_finished_resumed: frozenset({"finished"}),
    wait_server_hello_early: frozenset({"server_hello", "hello_retry_request"}),
    wait_encrypted_extensions_early: frozenset({"encrypted_extensions"}),
    wait_server_finished_early: frozenset({"finished"}),
    client_connected: frozenset({"new_session_ticket", "key_update"}),
    wait_client_hello: frozenset({"client_hello"}),
    wait_client_hello_again: frozenset({"client_hello"}),
    wait_client_finished: frozenset({"finished"}),
    wait_client_finished_resumed: frozenset({"finished"}),
    wait_client_certificate: frozenset({"certificate", "empty certificate"}),
    wait_client_certificate_verify: frozenset({"certificate_verify"}),
    wait_client_finished_certified: frozenset({"finished"}),
    wait_client_finished_anonymous: frozenset({"finished"}),
    wait_end_of_early_data: frozenset({"end_of_early_data"}),
    wait_client_finished_early: frozenset({"finished"}),
    server_connected: frozenset({"key_update"}),
}
