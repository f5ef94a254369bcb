"""DTLS: a connection without I/O, and a listener for many on one socket (RFC 9147)."""

from caesura.dtls.connection import DTLSConnection
from caesura.dtls.listener import DTLSListener

__all__ = ["DTLSConnection", "DTLSListener"]
