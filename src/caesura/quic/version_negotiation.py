"""Which version is spoken, and whether anybody has meddled with the choice (RFC 9368, RFC 9369 sections 4 and 5).

Versions 1 and 2 are compatible: a server may go on in the other one than the client has begun with, if the client
offers it. A server that can read neither sends a Version Negotiation packet, and the client begins anew. What was said
in the clear is checked afterwards against the version_information that the handshake protects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caesura.errors import TransportParameterError, VersionNegotiationError
from caesura.quic.transport_parameters import VersionInformation
from caesura.wire.registries import Version

_SECTION = "RFC 9368 section 4"


def is_reserved(version: int) -> bool:
    """Whether it is one of those that exercise negotiation and are never spoken (RFC 9000 section 15)."""
    return version & 0x0F0F0F0F == 0x0A0A0A0A


def reserved(noise: bytes) -> int:
    """A reserved version made of four random bytes."""
    return int.from_bytes(noise, "big") & 0xF0F0F0F0 | 0x0A0A0A0A


# --- servers ----------------------------------------------------------------------------------------------------


def select(chosen: int, information: VersionInformation | None, ours: Sequence[int]) -> int:
    """The version a server goes on in. `ours`: those it speaks, the preferred one first.

    `chosen` is the version of the client's packets, of which `information` is part. Raises TransportParameterError and
    VersionNegotiationError for information that cannot be or belongs to another version.
    """
    if information is None:
        return chosen
    if information.chosen_version not in information.available_versions:
        raise TransportParameterError("version_information without the version that is in use", section=_SECTION)
    if information.chosen_version != chosen:
        raise VersionNegotiationError("packets of another version than the client has chosen", section=_SECTION)
    offered = information.available_versions
    return next((version for version in ours if version in offered), chosen)


# --- clients ----------------------------------------------------------------------------------------------------


def choose(original: int, offered: Iterable[int], ours: Sequence[int]) -> int | None:
    """What a client tries after a Version Negotiation packet with the versions `offered`.

    None for a packet to ignore: it names the version that was tried (section 4). Raises VersionNegotiationError when
    there is nothing in common. `ours`: the preferred one first.
    """
    versions = set(offered)
    if original in versions:
        return None
    found = next((version for version in ours if version in versions), None)
    if found is None:
        names = ", ".join(f"{version:#x}" for version in sorted(versions) if not is_reserved(version))
        raise VersionNegotiationError(f"no version in common: the server speaks {names or 'none'}", section=_SECTION)
    return found


def check_server(
    information: VersionInformation | None, negotiated: int, ours: Sequence[int], *, chosen: int, reacted: bool
) -> None:
    """Judge what the server says at the end. Raises VersionNegotiationError.

    `negotiated` is the version of its packets, `chosen` that of our first flight; `reacted` tells that a Version
    Negotiation packet has led to that one. `ours`: what we offer, the preferred one first.
    """
    if information is None and reacted and chosen == Version.QUIC1:
        # Servers that know nothing but version 1, and nothing of this parameter, speak for themselves (section 8).
        information = VersionInformation(chosen, (chosen,))
    if information is None:
        if reacted or negotiated != chosen:
            raise VersionNegotiationError("a version was negotiated, and nothing confirms it", section=_SECTION)
        return
    if information.chosen_version != negotiated:
        raise VersionNegotiationError("packets of another version than the server has chosen", section=_SECTION)
    if information.chosen_version not in ours:
        raise VersionNegotiationError("a version that was not offered", section=_SECTION)
    if reacted:
        known = {*information.available_versions, negotiated}
        if not information.available_versions or next((each for each in ours if each in known), None) != chosen:
            raise VersionNegotiationError("somebody has made us choose this version", section=_SECTION)
