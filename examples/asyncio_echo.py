"""An echo server and its client on asyncio, with a private key that is somewhere else.

The key signs in a coroutine: here it only pretends to ask a remote machine, but nothing in the server knows that. While
one handshake waits for its signature, the loop serves everybody else. Run it: it makes a certificate for itself,
serves on a free port, connects ten times at once, resumes once, and ends.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import caesura
from caesura import SignatureScheme, aio


class RemoteKey:
    """What a private key has to be: the schemes it knows, and `sign`, which may be `async def`."""

    schemes = (SignatureScheme.ecdsa_secp256r1_sha256,)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    async def sign(self, _scheme: SignatureScheme, message: bytes) -> bytes:
        await asyncio.sleep(0.02)  # the way to the machine that has the key, and back
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


def make_identity() -> tuple[caesura.Identity, caesura.TrustStore]:
    """A certificate for localhost that is its own authority, and the store that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    ).public_bytes(Encoding.PEM)
    return caesura.Identity.load(certificate, RemoteKey(key)), caesura.TrustStore.load(certificate)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every line back, until the client has said its last."""
    async for line in reader:
        writer.write(line)
        await writer.drain()
    writer.close()


async def ask(port: int, context: caesura.Context, question: str) -> str:
    """One connection: a line there, a line back."""
    reader, writer = await aio.open_connection("127.0.0.1", port, context=context, server_hostname="localhost")
    writer.write(f"{question}\n".encode())
    writer.write_eof()  # close_notify: our direction ends, and we go on reading
    answer = (await reader.read()).decode().rstrip()
    facts = writer.get_extra_info("ssl_object")
    how = "resumed" if facts.session_reused else facts.group()
    writer.close()
    await writer.wait_closed()
    return f"{answer} ({facts.version()}, {facts.cipher()[0]}, {how})"


async def main() -> None:
    identity, trust = make_identity()
    server_context = caesura.Context.server(identity=identity)
    client_context = caesura.Context.client(trust=trust)
    async with await aio.start_server(echo, "127.0.0.1", 0, context=server_context) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"serving on port {port}")
        started = asyncio.get_running_loop().time()
        for line in await asyncio.gather(*(ask(port, client_context, f"line {number}") for number in range(10))):
            print(line)
        spent = asyncio.get_running_loop().time() - started
        print(f"ten handshakes whose signatures take 20 ms each: {spent * 1000:.0f} ms in all")
        print(await ask(port, client_context, "once more"))


if __name__ == "__main__":
    asyncio.run(main())
