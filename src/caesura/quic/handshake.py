"""The handshake of QUIC: what tells it from that of TLS, and what transport parameters say about it.

RFC 9001 sections 4 and 8, RFC 9000 section 7.3. The handshake itself is that of TLS 1.3, over CRYPTO frames instead of
records. Connection ids are chosen in the clear; the parameters, which the handshake protects, confirm them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from caesura.errors import TransportParameterError
from caesura.handshake.transport import Profile
from caesura.quic.connection_ids import LocalConnectionIds
from caesura.quic.preferred_address import announce
from caesura.quic.transport_parameters import TransportParameters, VersionInformation
from caesura.quic_settings import QUICSettings
from caesura.wire.registries import Version

_PROFILE: Final = Profile(
    name=b"quic",
    compatibility_session_id=False,  # RFC 9001 section 8.4
    echoes_session_id=False,
    refuses_session_id=True,
    end_of_early_data=False,  # section 8.3
    post_handshake_auth=False,  # section 4.4
)
PROFILES: Final = {
    Version.QUIC1: _PROFILE,
    Version.QUIC2: replace(_PROFILE, name=b"quicv2"),  # no ticket of the one is good in the other (RFC 9369 section 5)
}

_SECTION: Final = "RFC 9000 section 7.3"


@dataclass(slots=True)
class HandshakeIds:
    """The ids that stood in the first long headers, beside those that stay.

    `original` is where the client's first Initial packet went, `retry` where it went after a Retry.
    """

    original: bytes
    retry: bytes | None = None


def own_parameters(
    settings: QUICSettings,
    ids: HandshakeIds,
    local: LocalConnectionIds,
    information: VersionInformation,
    noise: bytes,
    *,
    server_side: bool,
) -> TransportParameters:
    """What we declare. `noise`: some random bytes, for a parameter that means nothing (RFC 9000 section 18.1)."""
    parameters = TransportParameters(
        max_idle_timeout=settings.max_idle_timeout,
        max_udp_payload_size=settings.max_udp_payload_size,
        initial_max_data=settings.initial_max_data,
        initial_max_stream_data_bidi_local=settings.initial_max_stream_data_bidi_local,
        initial_max_stream_data_bidi_remote=settings.initial_max_stream_data_bidi_remote,
        initial_max_stream_data_uni=settings.initial_max_stream_data_uni,
        initial_max_streams_bidi=settings.initial_max_streams_bidi,
        initial_max_streams_uni=settings.initial_max_streams_uni,
        ack_delay_exponent=settings.ack_delay_exponent,
        max_ack_delay=settings.max_ack_delay,
        disable_active_migration=settings.disable_active_migration,
        active_connection_id_limit=settings.active_connection_id_limit,
        initial_source_connection_id=local.first,
        version_information=information,
        max_datagram_frame_size=settings.max_datagram_frame_size,
        grease_quic_bit=settings.grease_quic_bit,
        unknown=((31 * noise[0] + 27, noise[1:]),),
    )
    if server_side:
        if settings.preferred_address:
            parameters.preferred_address = announce(settings.preferred_address, *local.prefer())
        parameters.original_destination_connection_id = ids.original
        parameters.retry_source_connection_id = ids.retry
        if local.length and 0 in local.ids:  # a ticket may be made when that one is retired
            parameters.stateless_reset_token = local.reset_token(0)
    return parameters


def check_ids(peer: TransportParameters, ids: HandshakeIds, source: bytes, *, server_side: bool) -> None:
    """Hold what the peer declares against what its packets said. Raises TransportParameterError.

    `source`: the Source Connection ID of the peer's first packet.
    """
    if peer.initial_source_connection_id != source:
        raise TransportParameterError("initial_source_connection_id is not what packets have said", section=_SECTION)
    if server_side:
        return
    if peer.original_destination_connection_id != ids.original:
        raise TransportParameterError("original_destination_connection_id is another one", section=_SECTION)
    if peer.retry_source_connection_id != ids.retry:
        raise TransportParameterError("retry_source_connection_id is another one", section=_SECTION)
    if peer.preferred_address is not None and not source:
        raise TransportParameterError("a preferred address without connection ids", section="RFC 9000 section 18.2")
