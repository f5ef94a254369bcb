"""A client driven by select(): it waits for the socket or for the descriptors of whatever is paused, never blindly.

Both ends run here over a socket pair; the server's key stands for one in a device that takes 50 ms for a signature.
"""

import select
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from caesura import SSL, Context, SocketBIO, TrustStore, WantAsync, WantRead, WantWrite
from caesura.crypto.selfsigned import Authority
from caesura.engines import DelayEngine, Operation

T = TypeVar("T")


class Endpoint:
    """An SSL over a non-blocking socket, and what its last call waits for."""

    def __init__(self, ssl: SSL, sock: socket.socket) -> None:
        self.ssl = ssl
        self.socket = sock
        self.reading: list[int] = []
        self.writing: list[int] = []

    def attempt(self, call: Callable[[], T]) -> T | None:
        """Try the call; when it cannot finish, remember the descriptors that will say when to try again."""
        self.reading, self.writing = [], []
        try:
            return call()
        except WantRead:
            self.reading = [self.socket.fileno()]
        except WantWrite:
            self.writing = [self.socket.fileno()]
        except WantAsync:
            self.reading = self.ssl.get_all_async_fds()
            print("paused, waiting for the engine's descriptors:", len(self.reading))
        return None


def main() -> None:
    """Shake hands, then say hello."""
    now = datetime.now(UTC)
    authority = Authority.create("An authority for this example", now)
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    client_context = Context.client(trust=TrustStore.load(authority.pem))
    server_context = Context.server(
        identity=authority.issue("localhost", ["localhost"], now=now),
        async_mode=True,
        engine=DelayEngine(0.05, operations={Operation.SIGN}),
    )
    client = Endpoint(SSL(client_context, SocketBIO(near), server_side=False, server_hostname="localhost"), near)
    server = Endpoint(SSL(server_context, SocketBIO(far), server_side=True), far)
    while not (client.ssl.handshake_complete and server.ssl.handshake_complete):
        for endpoint in (client, server):
            endpoint.attempt(endpoint.ssl.do_handshake)
        select.select(client.reading + server.reading, client.writing + server.writing, [], 1.0)
    client.attempt(lambda: client.ssl.write(b"hello"))
    while (data := server.attempt(server.ssl.read)) is None:
        select.select(server.reading, server.writing, [], 1.0)
    print(repr(client.ssl.version), repr(client.ssl.cipher_suite), "the server got", data)
    near.close()
    far.close()


if __name__ == "__main__":
    main()
