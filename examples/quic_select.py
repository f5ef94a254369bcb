"""QUIC driven by select(): a listener, its connection and a client in one loop over UDP, and nothing that blocks.

A call on any object of a domain moves all that share its socket; here a domain is told when its socket is readable or
its time has come. The server's key stands for one in a device that takes 50 ms for a signature: meanwhile packets are
acknowledged, and other connections would not notice.
"""

import select
import socket
from datetime import UTC, datetime

from caesura import SSL, Context, DatagramBIO, Listener, Method, TrustStore, WantAsync, WantRead, ZeroReturn
from caesura.crypto.selfsigned import Authority
from caesura.engines import DelayEngine, Operation


def answer(connection: SSL) -> bool:
    """Say in capitals what the client says on its first stream; whether that is done."""
    try:
        connection.write(connection.read().upper())
    except WantRead:
        return False
    except WantAsync:
        print("paused in a signature; packets are read and acknowledged all the same")
        return False
    return True


def ask(client: SSL, said: bool) -> tuple[bool, bytes]:
    """Say hello once the handshake is done, and read the answer: whether it was said, and what has come."""
    try:
        if not said:
            client.write(b"hello over quic")
            client.conclude()
            said = True
        return said, client.read()
    except (WantRead, ZeroReturn):
        return said, b""


def main() -> None:
    """Shake hands, say hello, close."""
    now = datetime.now(UTC)
    authority = Authority.create("An authority for this example", now)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        for sock in (near, far):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        near.connect(far.getsockname())
        serving = Context.server(
            method=Method.QUIC,
            identity=authority.issue("localhost", ["localhost"], now=now),
            alpn=["example"],
            async_mode=True,
            engine=DelayEngine(0.05, operations={Operation.SIGN}),
        )
        asking = Context.client(method=Method.QUIC, trust=TrustStore.load(authority.pem), alpn=["example"])
        listener = Listener(serving, DatagramBIO(far))
        client = SSL(asking, DatagramBIO(near), server_side=False, server_hostname="localhost")
        listener.blocking = client.blocking = False

        connection: SSL | None = None
        said, heard, answered = False, b"", False
        while not heard:
            said, heard = ask(client, said)
            connection = connection or listener.accept_connection()
            if connection is not None and not answered:
                answered = answer(connection)
            paused = [] if connection is None else connection.get_all_async_fds()
            times = [each.get_event_timeout() for each in (listener, client)]
            wait = min((seconds for seconds in times if seconds is not None), default=1.0)
            select.select([near.fileno(), far.fileno(), *paused], [], [], wait)
            listener.handle_events()
        print(repr(client.version), repr(client.cipher_suite), "the client heard", heard)
        client.shutdown()
        listener.close()


if __name__ == "__main__":
    main()
