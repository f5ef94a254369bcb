"""Sessions (SSL_SESSION_is_resumable(3) and others)."""

from __future__ import annotations

from caesura.errors import Error
from caesura.openssl.calls import done as _done
from caesura.sessions import Session
from caesura.sslobject import SSL


def SSL_get_session(s: SSL) -> Session | None:
    """The session the connection can be resumed with. SSL_get_session(3)."""
    return s.session


def SSL_get1_session(s: SSL) -> Session | None:
    """The session the connection can be resumed with. SSL_get1_session(3)."""
    return s.session


def SSL_set_session(s: SSL, session: Session | None) -> int:
    """Offer a session for resumption. SSL_set_session(3)."""
    return _done(s, lambda: s.set_session(session))


def SSL_session_reused(s: SSL) -> int:
    """1 if the handshake resumed a session. SSL_session_reused(3)."""
    return int(s.session_reused)


def SSL_SESSION_is_resumable(session: Session) -> int:
    """1 if the session has not been used up. SSL_SESSION_is_resumable(3)."""
    return int(session.resumable)


def SSL_SESSION_get_max_early_data(session: Session) -> int:
    """How many bytes of early data the session allows. SSL_SESSION_get_max_early_data(3)."""
    return session.max_early_data


def i2d_SSL_SESSION(session: Session) -> tuple[int, bytes]:
    """(how many bytes, the bytes): the session with its secret, in this library's own format. i2d_SSL_SESSION(3)."""
    data = session.to_bytes()
    return len(data), data


def d2i_SSL_SESSION(data: bytes) -> Session | None:
    """The session that i2d_SSL_SESSION wrote, None for anything else. d2i_SSL_SESSION(3)."""
    try:
        return Session.from_bytes(data)
    except Error:
        return None
