"""TLS over a stream: the connection and its records. Knows nothing of sockets, DTLS or QUIC."""

from caesura.tls.connection import TLSConnection

__all__ = ["TLSConnection"]
