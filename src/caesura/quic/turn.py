"""Whose turn it is: the application's, or that of somebody who only keeps the connection alive.

In the application's turn everything goes on. In the other one (the assist thread's, OSSL_QUIC_client_thread_method(3))
datagrams are read, acknowledged and sent again, timers run, and keys that are there are used, but nothing that the
application has written is called: neither the handshake nor its engine, nor what comes behind it (tickets, sessions),
nor the unwinding of what is paused. All that waits for the application: `QUICConnection.advance`.
"""

from __future__ import annotations


class Turn:
    """One for all connections that are served together. Whoever changes it holds the lock that keeps others out."""

    __slots__ = ("handshakes",)

    def __init__(self) -> None:
        self.handshakes = True
        """Whether handshakes go on; False in the turn of whoever must not call the application."""
