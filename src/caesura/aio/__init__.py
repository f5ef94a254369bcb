"""TLS, DTLS and QUIC for asyncio, in asyncio's own shapes: `context=` stands where asyncio has `ssl=`.

Streams (`open_connection`, `start_server`), protocols (`create_connection`, `create_server`) and upgrades
(`start_tls`), on asyncio's loop or any other that follows its public interfaces. Operations of a handshake may pause:
callbacks and keys may be `async def`, engines may work on threads or wait for descriptors, and the loop goes on. The
loop waits by itself, so a context's `async_mode` and `async_callback` have no part here.

How a connection ends is said once, in `caesura.aio.protocol`. DTLS has links instead of streams (`connect_datagram`,
`serve_datagram`); how those end is in `caesura.aio.datagram_link`. QUIC has connections with streams (`connect_quic`,
`serve_quic`): `caesura.aio.quic_link`.
"""

from caesura.aio.connect import create_connection
from caesura.aio.datagram_link import DatagramLink
from caesura.aio.datagrams import DatagramServer, connect_datagram, serve_datagram
from caesura.aio.info import SSLObjectView
from caesura.aio.quic import QUICServer, connect_quic, serve_quic
from caesura.aio.quic_link import QUICLink
from caesura.aio.server import Server, create_server
from caesura.aio.streams import open_connection, start_server
from caesura.aio.transport import TLSTransport, wait_handshake
from caesura.aio.upgrade import start_tls

__all__ = [
    "DatagramLink",
    "DatagramServer",
    "QUICLink",
    "QUICServer",
    "SSLObjectView",
    "Server",
    "TLSTransport",
    "connect_datagram",
    "connect_quic",
    "create_connection",
    "create_server",
    "open_connection",
    "serve_datagram",
    "serve_quic",
    "start_server",
    "start_tls",
    "wait_handshake",
]
