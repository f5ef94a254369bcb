"""All that an SSL may be asked to do. What a kind of SSL does not say itself is not of its kind, and refused here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caesura.errors import UsageError
from caesura.wire.data import Data

if TYPE_CHECKING:
    from caesura.sslobject.quic_stream import QUICStream


class Verbs:
    """The calls of every kind of SSL: first those that each has, then those of TLS and DTLS, then those of QUIC."""

    __slots__ = ()

    def _not_here(self, verb: str) -> UsageError:
        return UsageError(f"{verb}: {type(self).__name__} has no such thing")

    # --- TLS, DTLS and QUIC ---------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        """Perform the handshake; return when it is done, at once when it is done already (SSL_do_handshake(3)).

        Raises a Want… exception when it must be called again, `ZeroReturn` when the peer closed instead, `UsageError`
        naming what is missing, and the handshake's failure, then and at every later call.
        """
        raise self._not_here("do_handshake")

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        """Up to `size` bytes of data, at least one; all that is there when `size` is negative (SSL_read(3)).

        Performs the handshake if it is not done. Raises `ZeroReturn` after the peer's end, a Want… exception when there
        is nothing now.
        """
        raise self._not_here("read")

    def write(self, data: Data) -> int:  # noqa: ARG002
        """Send all of `data`; its length (SSL_write(3)). Performs the handshake if it is not done."""
        raise self._not_here("write")

    def pending(self) -> int:
        """Bytes of data that have been opened and not been read (SSL_pending(3))."""
        raise self._not_here("pending")

    def shutdown(self) -> bool:
        """Close; whether that is done on both sides (SSL_shutdown(3))."""
        raise self._not_here("shutdown")

    def key_update(self, request_peer: bool = False) -> None:  # noqa: ARG002
        """Change the keys this side writes with, and ask the peer to do so too (SSL_key_update(3))."""
        raise self._not_here("key_update")

    def handle_events(self) -> None:
        """Serve what is due (SSL_handle_events(3))."""
        raise self._not_here("handle_events")

    def get_event_timeout(self) -> float | None:
        """Seconds until `handle_events` has something to do, 0.0 if now, None if never (SSL_get_event_timeout(3))."""
        raise self._not_here("get_event_timeout")

    @property
    def net_read_desired(self) -> bool:
        """Whether the transport should be watched for input (SSL_net_read_desired(3))."""
        raise self._not_here("net_read_desired")

    @property
    def net_write_desired(self) -> bool:
        """Whether the transport should be watched for output (SSL_net_write_desired(3))."""
        raise self._not_here("net_write_desired")

    # --- TLS and DTLS ---------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Be ready for another connection in the same role; paused work is cancelled (SSL_clear(3))."""
        raise self._not_here("clear")

    def listen(self) -> Any:
        """Be the server of whoever has proved its address (DTLSv1_listen(3))."""
        raise self._not_here("listen")

    def write_early_data(self, data: Data) -> int:  # noqa: ARG002
        """Send data before the handshake is complete; how many bytes were taken (SSL_write_early_data(3))."""
        raise self._not_here("write_early_data")

    def read_early_data(self, size: int = -1) -> bytes:  # noqa: ARG002
        """Up to `size` bytes of early data, at least one; b"" when there is none (SSL_read_early_data(3))."""
        raise self._not_here("read_early_data")

    def verify_client_post_handshake(self) -> None:
        """Ask the client for its certificate, on a connection that is open (SSL_verify_client_post_handshake(3))."""
        raise self._not_here("verify_client_post_handshake")

    @property
    def authentication_pending(self) -> bool:
        """Whether the client has still to answer a `verify_client_post_handshake`."""
        return False

    @property
    def mtu(self) -> int:
        """Bytes that a datagram of ours may have; what is sent from now on heeds a change."""
        raise self._not_here("mtu")

    @mtu.setter
    def mtu(self, value: int) -> None:  # noqa: ARG002
        raise self._not_here("mtu")

    @property
    def max_datagram(self) -> int:
        """How many bytes a `write` on DTLS takes; 0 before the handshake is complete."""
        return 0

    # --- QUIC -----------------------------------------------------------------------------------------------------

    def new_stream(
        self,
        unidirectional: bool = False,  # noqa: ARG002
        advance: bool = False,  # noqa: ARG002
        no_block: bool = False,  # noqa: ARG002
    ) -> QUICStream | None:
        """A new stream; None when the peer permits no more now (SSL_new_stream(3))."""
        raise self._not_here("new_stream")

    def accept_stream(
        self,
        no_block: bool = False,  # noqa: ARG002
        *,
        unidirectional: bool | None = None,  # noqa: ARG002
    ) -> QUICStream | None:
        """The next stream that the peer has opened; None when there is none (SSL_accept_stream(3))."""
        raise self._not_here("accept_stream")

    def conclude(self) -> None:
        """Conclude the default stream: nothing more will be written to it (SSL_stream_conclude(3))."""
        raise self._not_here("conclude")

    @property
    def blocking(self) -> bool:
        """Whether calls wait instead of saying what they wait for (SSL_set_blocking_mode(3))."""
        raise self._not_here("blocking")

    @blocking.setter
    def blocking(self, value: bool) -> None:  # noqa: ARG002
        raise self._not_here("blocking")
