"""QUIC over datagrams: a connection's parts, one noun of RFC 9000, 9001 or 9002 per file.

Nothing here does I/O, reads a clock or makes randomness: time (`now`: seconds, monotonic) and random bytes are handed
in. Knows nothing of TLS records or DTLS.
"""

from caesura.quic.connection import QUICConnection
from caesura.quic.listener import QUICListener

__all__ = ["QUICConnection", "QUICListener"]
