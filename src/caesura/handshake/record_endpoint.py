"""What a connection of records is beside what every connection is: early data of its own, sizes of records, alerts.

In QUIC early data is in streams, as any other, and alerts are error codes.
"""

from __future__ import annotations

from abc import abstractmethod

from caesura.errors import AlertDescription, PeerAlert, UnexpectedMessage, UnsupportedExtension, UsageError
from caesura.events import EarlyDataReceived, Event
from caesura.handshake import record_size
from caesura.handshake.early_state import EarlyBytes
from caesura.handshake.endpoint import Endpoint
from caesura.wire.alerts import WARNING
from caesura.wire.data import Data
from caesura.wire.extensions import RECORD_SIZE_LIMIT, Extensions
from caesura.wire.registries import ExtensionType


def early_data_asked(data: Data | bool | None, *, server_side: bool) -> bytes | None:
    """What `early_data=` asks for: a client's bytes to begin with; None for no early data at all.

    Raises UsageError for bytes of a server's.
    """
    if server_side and data not in (None, True, False):
        raise UsageError("early_data: a server receives it")
    if data is False or (data is None and not server_side):
        return None
    return b"" if data is None or data is True else bytes(data)


class RecordEndpoint(Endpoint):
    """The client or the server of a connection of records."""

    __slots__ = ()

    _early: EarlyBytes

    # --- early data -----------------------------------------------------------------------------------------------

    def write_early_data(self, data: Data) -> int:
        """Send early data: how many bytes were taken, 0 when none may go, or no more.

        A stream takes as many as there is room for; over datagrams it is one datagram, which goes whole or not at all.
        What was taken may yet be rejected, and over datagrams get lost: `early_data_status` knows when the handshake is
        complete. Raises UsageError for more than fits a datagram.
        """
        if self.error is not None or self._closed:
            raise self._cannot_write()
        if self.server_side:
            raise UsageError("write_early_data: a server sends none")
        return self._write_early(data)

    @abstractmethod
    def _write_early(self, data: Data) -> int:
        """Send as much of it as may go; how many bytes that is."""

    def read_early_data(self, size: int = -1) -> bytes:
        """Up to `size` bytes of early data that have come (all by default); b"" when there are none now.

        Over datagrams they are those of the oldest one, and the rest of it comes the next time. They may be a copy,
        made by anybody, of what was sent before (RFC 9846 section 8).
        """
        return self._early.read(size)

    def next_event(self) -> Event | None:
        """What happened, in order; None when there is no more for now."""
        if self._early.unread:
            return EarlyDataReceived(self._early.read(-1))
        return super().next_event()

    @property
    def early_data_decided(self) -> bool:
        """Whether it is known if there will be early data: a client knows with its hello, a server with its answer."""
        return self._early.decided

    @property
    def early_data_ended(self) -> bool:
        """Whether no more early data will be sent, or come; what has come may still be there to be read."""
        return self._early.ended or self.handshake_complete or self.error is not None or self._closed

    # --- the version ----------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _older(self) -> bool:
        """Whether 1.2 is agreed on, or all that may be."""

    # --- what the handshake says (MessageTransport) ---------------------------------------------------------------

    def peer_extensions(self, extensions: Extensions) -> None:
        """The peer's record_size_limit; it puts our own into force."""
        if ExtensionType.quic_transport_parameters in extensions:
            raise UnsupportedExtension("quic_transport_parameters without QUIC", section="RFC 9001 section 8.2")
        limit = extensions.get(RECORD_SIZE_LIMIT)
        if limit is not None:
            own = self._settings.record_size_limit
            self._limit_records(*record_size.agreed(limit, own, older=self._older, server_side=self.server_side))

    @abstractmethod
    def _limit_records(self, content: int, inner: int) -> None:
        """Our records may hold so much content from now on, the peer's so much with all that is sealed."""

    def accepts_early_data(self, ticket_state: bytes) -> bool:  # noqa: ARG002
        """What a ticket remembers of this transport is nothing, and that has not changed."""
        return True

    # --- alerts ---------------------------------------------------------------------------------------------------

    def _alerted(self, level: int, description: int, *, undecided: bool) -> None:
        """An alert has come, not close_notify: it ends the connection, unless it is a warning, and there were few.

        In 1.3 only user_canceled is one, in 1.2 whatever says so (RFC 5246 section 7.2.2). While the version is
        `undecided`, a server may warn that it does not know our name (RFC 6066 section 3).
        """
        warns = self._older or (undecided and description is AlertDescription.unrecognized_name)
        if description is not AlertDescription.user_canceled and not (warns and level == WARNING):
            raise PeerAlert(description)
        self._warnings += 1
        if self._warnings > self._settings.limits.warning_alerts:
            raise UnexpectedMessage(f"more than {self._settings.limits.warning_alerts} warnings")
