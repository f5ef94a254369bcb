"""One well-formed message of each type, as whoever speaks to a state at hand would say it there."""

from __future__ import annotations

from collections.abc import Callable

from caesura.wire.extensions import KEY_SHARE_CLIENT, Extensions, KeyShareEntry
from caesura.wire.messages import (
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    NewSessionTicket,
)
from caesura.wire.registries import KeyUpdateRequest, NamedGroup
from tests.tls.puppet import Puppet, PuppetClient, PuppetServer
from tests.tls.states import server, wait_client_hello, wait_server_hello
from tests.tls.world import identity


def a_server() -> PuppetServer:
    """Somebody who can write what servers write."""
    return wait_server_hello()


def a_client() -> PuppetClient:
    return wait_client_hello()


def second_hello(puppet: Puppet) -> HandshakeMessage:
    """What the state at hand would take as a ClientHello."""
    if not isinstance(puppet, PuppetClient):
        return a_client().hello()
    hello = puppet.hello()
    if puppet.retry is not None:
        hello.extensions.put(KEY_SHARE_CLIENT, (KeyShareEntry(NamedGroup.secp256r1, p256_share()),))
    return hello


def p256_share() -> bytes:
    return PuppetClient(server(), group="secp256r1").pair.share


def proof(puppet: Puppet) -> HandshakeMessage:
    signer = identity("client") if isinstance(puppet, PuppetClient) else identity()
    if puppet.handshake is not None:
        return puppet.prove(signer)
    return a_server().greet().prove(signer)


def finished(puppet: Puppet) -> HandshakeMessage:
    return Finished(bytes(32)) if puppet.handshake is None else puppet.finished()


def certificate(puppet: Puppet) -> HandshakeMessage:
    return a_client().certificate(identity("client")) if isinstance(puppet, PuppetClient) else a_server().certificate()


def server_hello(puppet: Puppet) -> HandshakeMessage:
    return (puppet if isinstance(puppet, PuppetServer) else a_server()).hello()


def hello_retry_request(puppet: Puppet) -> HandshakeMessage:
    return (puppet if isinstance(puppet, PuppetServer) else a_server()).retry_request()


def raw(msg_type: int) -> Callable[[Puppet], bytes]:
    return lambda _: bytes((msg_type, 0, 0, 0))


MESSAGES: dict[str, Callable[[Puppet], HandshakeMessage | bytes]] = {
    "hello_request": raw(0),  # of TLS 1.2
    "client_hello": second_hello,
    "server_hello": server_hello,
    "hello_verify_request": raw(3),  # of DTLS
    "new_session_ticket": lambda _: NewSessionTicket(60, 0, b"", b"ticket", Extensions()),
    "end_of_early_data": lambda _: EndOfEarlyData(),
    "hello_retry_request": hello_retry_request,
    "encrypted_extensions": lambda _: EncryptedExtensions(Extensions()),
    "certificate": certificate,
    "empty certificate": lambda _: a_client().certificate(None),
    "server_key_exchange": raw(12),  # of TLS 1.2
    "certificate_request": lambda _: a_server().certificate_request(),
    "server_hello_done": raw(14),  # of TLS 1.2
    "certificate_verify": proof,
    "client_key_exchange": raw(16),  # of TLS 1.2
    "finished": finished,
    "certificate_status": raw(22),  # of TLS 1.2
    "key_update": lambda _: KeyUpdate(KeyUpdateRequest.update_not_requested),
    "compressed_certificate": raw(25),  # RFC 8879, not offered
    "message_hash": raw(254),
    "an unknown one": raw(99),
}
