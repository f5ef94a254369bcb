"""TLS, DTLS and QUIC in which every cryptographic operation may pause instead of block."""

__version__ = "0.1.0"
