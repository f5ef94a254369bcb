"""0-RTT: what it may rely on, and what became of it (RFC 9000 section 7.4.1, RFC 9001 section 4.6).

A client sends under the limits that the server had the last time; both remember them with the ticket. A server that
would permit less today refuses. Whether 0-RTT is offered and taken is for the handshake to say
(`handshake.early_data`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from caesura.errors import TransportParameterError
from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.handshake.early_state import EarlyState
from caesura.quic.transport_parameters import TransportParameters, decode_untrusted

_LIMITS: Final = (
    "active_connection_id_limit",
    "initial_max_data",
    "initial_max_stream_data_bidi_local",
    "initial_max_stream_data_bidi_remote",
    "initial_max_stream_data_uni",
    "initial_max_streams_bidi",
    "initial_max_streams_uni",
    "max_datagram_frame_size",  # RFC 9221 section 3
)
"""What a server must not lower while it takes 0-RTT."""


def remember(parameters: TransportParameters) -> bytes:
    """A server's parameters as they are remembered: without those that are of one connection alone."""
    return replace(
        parameters,
        original_destination_connection_id=None,
        stateless_reset_token=None,
        ack_delay_exponent=3,
        max_ack_delay=0.025,
        preferred_address=None,
        initial_source_connection_id=None,
        retry_source_connection_id=None,
        version_information=None,
        unknown=(),
    ).encode()


def recall(state: bytes) -> TransportParameters | None:
    """What `remember` has written; None for anything else."""
    try:
        return decode_untrusted(state, from_server=True) if state else None
    except TransportParameterError:
        return None


def nothing_lowered(before: TransportParameters, now: TransportParameters) -> bool:
    """Whether what was permitted before is permitted now."""
    return all(getattr(now, name) >= getattr(before, name) for name in _LIMITS)


class EarlyData(EarlyState):
    """What became of one connection's 0-RTT. `remembered`: the limits that a client goes by."""

    __slots__ = ("remembered",)

    def __init__(self, *, wanted: bool) -> None:
        super().__init__(wanted=wanted)
        self.remembered: TransportParameters | None = None

    @property
    def open(self) -> bool:
        """Whether data may be sent before the handshake is complete."""
        return self.status in (EarlyDataStatus.PENDING, EarlyDataStatus.ACCEPTED)

    def told(self, accepted: bool, reason: EarlyDataReason) -> bool:
        """What the handshake says; True when what was open is rejected."""
        rejected = not accepted and self.status is EarlyDataStatus.PENDING
        if accepted:
            pending = reason is EarlyDataReason.UNKNOWN
            self.status = EarlyDataStatus.PENDING if pending else EarlyDataStatus.ACCEPTED
        elif rejected:
            self.status = EarlyDataStatus.REJECTED
        self.reason = reason
        return rejected
