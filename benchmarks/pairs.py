"""Connected pairs in memory: client and server of one implementation, sharing buffers, with the same algorithms.

TLS 1.3, TLS_AES_256_GCM_SHA384, X25519, an ECDSA P-256 leaf under a P-256 root, ALPN, name and chain verified.
pyOpenSSL cannot be told the group, so its handshakes use X25519MLKEM768, which is more work.
"""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from OpenSSL import SSL, crypto

import caesura
from caesura.tls import TLSConnection
from tests.support.pki import Credential, pki

SUITE = "TLS_AES_256_GCM_SHA384"
NAME = "localhost"
ALPN = "bench"


@cache
def server_credential() -> Credential:
    return pki().leaf("benchmark", issuer=pki().root)


@cache
def credential_files() -> tuple[Path, Path, Path]:
    """Chain, key and trust anchor."""
    folder = Path(tempfile.mkdtemp(prefix="caesura-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    chain, key = server_credential().files(folder)
    root = folder / "root.pem"
    root.write_bytes(pki().trust_pem)
    return chain, key, root


class End(Protocol):
    """What the record rows use: `ssl.SSLObject`, `caesura.SSL`."""

    def write(self, data: bytes) -> object: ...

    def read(self, size: int) -> bytes: ...


# --- Caesura ---------------------------------------------------------------------------------------------------------


def caesura_contexts(**changes: Any) -> tuple[caesura.Context, caesura.Context]:
    """A client's and a server's; `changes` are for both."""
    both = {"cipher_suites": SUITE, "groups": "x25519", "alpn": ALPN, **changes}
    credential = server_credential()
    identity = caesura.Identity.load(credential.chain_pem, credential.key_pem)
    client = caesura.Context.client(trust=caesura.TrustStore.load(pki().trust_pem), **both)
    return client, caesura.Context.server(identity=identity, **both)


def caesura_pair(
    client_context: caesura.Context, server_context: caesura.Context, session: Any = None
) -> tuple[caesura.SSL, caesura.SSL]:
    """Not yet connected."""
    to_server, to_client = caesura.MemoryBIO(), caesura.MemoryBIO()
    client = caesura.SSL(client_context, to_client, to_server, server_side=False, server_hostname=NAME, session=session)
    return client, caesura.SSL(server_context, to_server, to_client, server_side=True)


def caesura_connections(
    client_context: caesura.Context, server_context: caesura.Context, session: Any = None
) -> tuple[TLSConnection, TLSConnection]:
    """Not yet connected, and without BIOs: the sans-I/O machines, whose interface is memory."""
    client = TLSConnection(client_context, server_side=False, server_hostname=NAME, session=session)
    return client, TLSConnection(server_context, server_side=True)


def connect(client: TLSConnection, server: TLSConnection) -> None:
    """Complete the handshake of two connections; tickets of the server's are taken too."""
    client.advance(0.0)
    while flight := client.data_to_send(0.0):
        server.receive_data(flight, 0.0)
        client.receive_data(server.data_to_send(0.0), 0.0)
    assert client.handshake_complete
    assert server.handshake_complete


# --- ssl -------------------------------------------------------------------------------------------------------------


def stdlib_contexts(tickets: int = 0) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    chain, key, root = credential_files()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(root)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    server.num_tickets = tickets
    for context in (client, server):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([ALPN])
    return client, server


def stdlib_pair(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, session: Any = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Not yet connected."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=NAME, session=session)
    return client, server_context.wrap_bio(to_server, to_client, server_side=True)


# --- pyOpenSSL -------------------------------------------------------------------------------------------------------


def pyopenssl_contexts() -> tuple[SSL.Context, SSL.Context]:
    chain, key, root = credential_files()
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.load_verify_locations(str(root))
    client.set_verify(SSL.VERIFY_PEER)
    client.set_alpn_protos([ALPN.encode()])
    server = SSL.Context(SSL.TLS_SERVER_METHOD)
    server.use_certificate_chain_file(str(chain))
    server.use_privatekey_file(str(key), crypto.FILETYPE_PEM)
    server.set_alpn_select_callback(lambda _connection, _offered: ALPN.encode())
    for context in (client, server):
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(SUITE.encode())
    return client, server


class PyOpenSSLEnd:
    """A `Connection` over memory, with the other end's bytes moved after each call."""

    def __init__(self, connection: SSL.Connection) -> None:
        self.connection = connection
        self.other = self

    def do_handshake(self) -> None:
        try:
            self.connection.do_handshake()
        except SSL.WantReadError as want:
            self.deliver()
            raise ssl.SSLWantReadError from want
        self.deliver()

    def deliver(self) -> None:
        with suppress(SSL.WantReadError):
            self.other.connection.bio_write(self.connection.bio_read(1 << 20))

    def write(self, data: bytes) -> None:
        self.connection.send(data)
        self.other.connection.bio_write(self.connection.bio_read(1 << 18))

    def read(self, size: int) -> bytes:
        return self.connection.recv(size)


def pyopenssl_pair(client_context: SSL.Context, server_context: SSL.Context) -> tuple[PyOpenSSLEnd, PyOpenSSLEnd]:
    """Not yet connected."""
    client = PyOpenSSLEnd(SSL.Connection(client_context, None))
    server = PyOpenSSLEnd(SSL.Connection(server_context, None))
    client.other, server.other = server, client
    client.connection.set_tlsext_host_name(NAME.encode())
    client.connection.set_verify(SSL.VERIFY_PEER)
    client.connection.set_connect_state()
    server.connection.set_accept_state()
    return client, server


# --- all of them -----------------------------------------------------------------------------------------------------


def shake_hands(client: Any, server: Any) -> None:
    """Complete the handshake of a pair, each side going as far as it can in turn."""
    client_done = server_done = False
    while not (client_done and server_done):
        if not client_done:
            client_done = _step(client.do_handshake)
        if not server_done:
            server_done = _step(server.do_handshake)


def _step(handshake: Callable[[], object]) -> bool:
    try:
        handshake()
    except ssl.SSLWantReadError:
        return False
    return True
