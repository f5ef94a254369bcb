"""DTLS on asyncio: a server with many peers on one UDP socket, and clients that ask again until they are answered.

Run it: it makes a certificate for itself, serves on a free port, is asked ten times at once, and ends. The key signs in
a coroutine, as one would that lives elsewhere: meanwhile the server hears its other peers.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from caesura import Context, Identity, Method, SignatureScheme, TrustStore, aio
from caesura.crypto.selfsigned import Authority


class RemoteKey:
    """What a private key has to be: the schemes it knows, and `sign`, which may be `async def`."""

    def __init__(self, identity: Identity) -> None:
        self.schemes = identity.key.schemes
        self._key = identity.key

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        await asyncio.sleep(0.02)  # the way there and back
        signature: bytes = self._key.sign(scheme, message)
        return signature


async def echo(link: aio.DatagramLink) -> None:
    """What the server does with a peer that has proved its address and whose handshake is complete."""
    async for datagram in link:  # ends when the peer closes
        await link.send(b"echo: " + datagram)


async def ask(port: int, context: Context, question: bytes) -> bytes:
    """What a client does: datagrams may get lost, and DTLS does not send them again, so it asks again."""
    async with await aio.connect_datagram("127.0.0.1", port, context=context, server_hostname="localhost") as link:
        while True:
            await link.send(question)
            try:
                async with asyncio.timeout(1):
                    return await link.recv()
            except TimeoutError:
                continue


async def main() -> None:
    now = datetime.now(UTC)
    authority = Authority.create("an example's CA", now)
    identity = authority.issue("an example's server", ["localhost"], now=now)
    identity = replace(identity, key=RemoteKey(identity))
    serving = Context.server(method=Method.DTLS, identity=identity, dtls={"idle_timeout": 60})
    asking = Context.client(method=Method.DTLS, trust=TrustStore.load(authority.pem))
    async with await aio.serve_datagram(echo, "127.0.0.1", 0, context=serving) as server:
        port = server.sockets[0].getsockname()[1]
        answers = await asyncio.gather(*(ask(port, asking, b"question %d" % number) for number in range(10)))
    for answer in answers:
        print(answer.decode())


if __name__ == "__main__":
    asyncio.run(main())
