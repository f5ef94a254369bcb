"""TLS 1.2 and DTLS in memory against OpenSSL through pyOpenSSL: handshakes, and records of 1200 bytes.

Everybody uses TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 and X25519, and verifies name and chain; no tickets. DTLS 1.3 has
no peer here: it runs beside the others for comparison.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from OpenSSL import SSL, crypto

import caesura
from benchmarks import primitives
from benchmarks.handshakes import nothing_cached, repeated
from benchmarks.harness import Contestant, Goal, Race
from benchmarks.pairs import (
    ALPN,
    NAME,
    SUITE,
    caesura_connections,
    caesura_contexts,
    connect,
    credential_files,
    pyopenssl_pair,
    shake_hands,
)
from caesura.dtls import DTLSConnection

SUITE12 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
OPENSSL12 = b"ECDHE-ECDSA-AES256-GCM-SHA384"
TLS12 = {"cipher_suites": SUITE12, "maximum_version": "TLS12"}
DTLS12 = {"cipher_suites": SUITE12, "method": caesura.Method.DTLS, "maximum_version": "DTLS12"}
DTLS13 = {"cipher_suites": SUITE, "method": caesura.Method.DTLS, "minimum_version": "DTLS13"}
NO_SESSIONS = {"ticket_count": 0, "sessions": None, "server_sessions": None, "groups": ("x25519", "secp256r1")}


# --- Caesura ---------------------------------------------------------------------------------------------------------


def dtls_connections(client: caesura.Context, server: caesura.Context) -> tuple[DTLSConnection, DTLSConnection]:
    """Not yet connected."""
    return (
        DTLSConnection(client, server_side=False, server_hostname=NAME, addr="server"),
        DTLSConnection(server, server_side=True, addr="client"),
    )


def dtls_connect(client: DTLSConnection, server: DTLSConnection) -> tuple[DTLSConnection, DTLSConnection]:
    """Complete the handshake of two connections, and what is acknowledged after it."""
    client.advance(0.0)
    moved = True
    while moved:
        moved = False
        for side, other in ((client, server), (server, client)):
            for datagram, _addr in side.datagrams_to_send(0.0):
                other.receive_datagram(datagram, None, 0.0)
                moved = True
    assert client.handshake_complete
    assert server.handshake_complete
    return client, server


def caesura_courier(client: DTLSConnection, server: DTLSConnection, message: bytes) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            client.write(message)
            for datagram, _addr in client.datagrams_to_send(0.0):
                server.receive_datagram(datagram, None, 0.0)
            server.read()

    while server.next_event() is not None:
        pass
    return run


# --- pyOpenSSL -------------------------------------------------------------------------------------------------------


def pyopenssl_contexts(*, datagrams: bool) -> tuple[SSL.Context, SSL.Context]:
    chain, key, root = credential_files()
    client = SSL.Context(SSL.DTLS_CLIENT_METHOD if datagrams else SSL.TLS_CLIENT_METHOD)
    client.load_verify_locations(str(root))
    client.set_alpn_protos([ALPN.encode()])
    server = SSL.Context(SSL.DTLS_SERVER_METHOD if datagrams else SSL.TLS_SERVER_METHOD)
    server.use_certificate_chain_file(str(chain))
    server.use_privatekey_file(str(key), crypto.FILETYPE_PEM)
    server.set_alpn_select_callback(lambda _connection, _offered: ALPN.encode())
    for context in (client, server):
        if not datagrams:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(OPENSSL12)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
    return client, server


class PyOpenSSLDatagrams:
    """One end; each datagram of the other's is moved by itself."""

    def __init__(self, context: SSL.Context, *, server_side: bool) -> None:
        self.connection = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(1400)
        self.other = self
        if server_side:
            self.connection.set_accept_state()
        else:
            self.connection.set_tlsext_host_name(NAME.encode())
            self.connection.set_verify(SSL.VERIFY_PEER)
            self.connection.set_connect_state()

    def do_handshake(self) -> None:
        try:
            self.connection.do_handshake()
        except SSL.WantReadError as want:
            self.deliver()
            raise ssl.SSLWantReadError from want
        self.deliver()

    def deliver(self) -> None:
        while True:
            try:
                datagram = self.connection.bio_read(65_536)
            except SSL.WantReadError:
                return
            self.other.connection.bio_write(datagram)
            with suppress(SSL.WantReadError):  # a memory BIO has no edges: one datagram at a time
                self.other.connection.do_handshake()


def pyopenssl_datagrams(client_context: SSL.Context, server_context: SSL.Context) -> tuple[PyOpenSSLDatagrams, ...]:
    """Not yet connected."""
    client = PyOpenSSLDatagrams(client_context, server_side=False)
    server = PyOpenSSLDatagrams(server_context, server_side=True)
    client.other, server.other = server, client
    return client, server


def pyopenssl_courier(client: SSL.Connection, server: SSL.Connection, message: bytes) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            client.send(message)
            server.bio_write(client.bio_read(65_536))
            server.recv(65_536)

    return run


# --- the rows --------------------------------------------------------------------------------------------------------


@contextmanager
def tls_handshakes() -> Iterator[Sequence[Contestant]]:
    uncached = caesura_contexts(**TLS12, **NO_SESSIONS, verification_cache=None)
    cached = caesura_contexts(**TLS12, **NO_SESSIONS)
    theirs = pyopenssl_contexts(datagrams=False)
    fast = repeated(lambda: connect(*caesura_connections(*cached)))
    yield (
        Contestant("caesura, nothing cached", nothing_cached(lambda: connect(*caesura_connections(*uncached)))),
        Contestant("caesura, verification cached", fast),
        primitives.alone("its primitives alone", fast),
        Contestant("pyOpenSSL", repeated(lambda: shake_hands(*pyopenssl_pair(*theirs)))),
    )


@contextmanager
def dtls_handshakes() -> Iterator[Sequence[Contestant]]:
    uncached = caesura_contexts(**DTLS12, **NO_SESSIONS, verification_cache=None)
    cached = caesura_contexts(**DTLS12, **NO_SESSIONS)
    newer = caesura_contexts(**DTLS13, **NO_SESSIONS)
    theirs = pyopenssl_contexts(datagrams=True)
    fast = repeated(lambda: one_handshake(*cached))
    yield (
        Contestant("caesura, nothing cached", nothing_cached(lambda: one_handshake(*uncached))),
        Contestant("caesura, verification cached", fast),
        primitives.alone("its primitives alone", fast),
        Contestant("caesura, DTLS 1.3, cached", repeated(lambda: one_handshake(*newer))),
        Contestant("pyOpenSSL", repeated(lambda: shake_hands(*pyopenssl_datagrams(*theirs)))),
    )


def one_handshake(client: caesura.Context, server: caesura.Context) -> None:
    dtls_connect(*dtls_connections(client, server))


@contextmanager
def dtls_records(size: int) -> Iterator[Sequence[Contestant]]:
    message = os.urandom(size)
    found = []
    for name, settings in (("caesura", DTLS12), ("caesura, DTLS 1.3", DTLS13)):
        pair = dtls_connect(*dtls_connections(*caesura_contexts(**settings, **NO_SESSIONS)))
        found.append(Contestant(name, caesura_courier(*pair, message)))
    ends = pyopenssl_datagrams(*pyopenssl_contexts(datagrams=True))
    shake_hands(*ends)
    client, server = (end.connection for end in ends)
    found.append(Contestant("pyOpenSSL", pyopenssl_courier(client, server, message)))
    yield found


ROWS = (
    Race(
        "tls12-handshake",
        "full handshake, TLS 1.2",
        __name__,
        tls_handshakes,
        goals=(
            Goal("pyOpenSSL", 0.90, 0.75, ours="caesura, verification cached"),
            Goal("pyOpenSSL", ours="its primitives alone"),
        ),
        quantile=0.25,
    ),
    Race(
        "dtls-handshake",
        "full handshake, DTLS 1.2",
        __name__,
        dtls_handshakes,
        goals=(
            Goal("pyOpenSSL", 0.90, 0.75, ours="caesura, verification cached"),
            Goal("pyOpenSSL", ours="its primitives alone"),
        ),
        quantile=0.25,
    ),
    Race(
        "dtls-records-1200",
        "1200 B record, DTLS",
        __name__,
        lambda: dtls_records(1200),
        goals=(Goal("pyOpenSSL", 1.20, 0.90), Goal("pyOpenSSL", 1.20, 1.00, ours="caesura, DTLS 1.3")),
    ),
)
