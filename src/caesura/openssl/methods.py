"""Methods: what a context is for (TLS_method(3), DTLS_method(3), OSSL_QUIC_client_method(3))."""

from __future__ import annotations

from caesura.context import Method
from caesura.openssl.quic_methods import QUICMethod


def TLS_method() -> Method:
    """TLS in either role. TLS_method(3)."""
    return Method.TLS


def TLS_client_method() -> Method:
    """TLS; the role is set on the connection. TLS_method(3)."""
    return Method.TLS


def TLS_server_method() -> Method:
    """TLS; the role is set on the connection. TLS_method(3)."""
    return Method.TLS


def DTLS_method() -> Method:
    """DTLS in either role. DTLS_method(3)."""
    return Method.DTLS


def DTLS_client_method() -> Method:
    """DTLS; the role is set on the connection. DTLS_method(3)."""
    return Method.DTLS


def DTLS_server_method() -> Method:
    """DTLS; the role is set on the connection. DTLS_method(3)."""
    return Method.DTLS


def OSSL_QUIC_client_method() -> QUICMethod:
    """QUIC, as a client. OSSL_QUIC_client_method(3)."""
    return QUICMethod.CLIENT


def OSSL_QUIC_client_thread_method() -> QUICMethod:
    """QUIC, as a client that a thread keeps alive between calls. OSSL_QUIC_client_thread_method(3)."""
    return QUICMethod.CLIENT_THREAD


def OSSL_QUIC_server_method() -> QUICMethod:
    """QUIC, as a server: its connections are made by a listener. OSSL_QUIC_server_method(3)."""
    return QUICMethod.SERVER
